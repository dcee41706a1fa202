//! Drivers of ODBC through the suite of all connectors, and against the clients of their databases, which say what is true.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use arrow_etl::connectors;
use arrow_etl::endpoint::{Endpoint, ObjectRef};
use arrow_etl::error::Result;
use arrow_etl::testing::conformance::{self, Fixture, Target};
use arrow_etl::testing::generate::{self, Limits};
use async_trait::async_trait;
use serde_json::json;

use crate::program::{command, copied, etl, refused, run};
use crate::server::{beside, mariadb, mariadb_client, postgres, psql, sqlite3};

fn endpoint(url: &str) -> Result<Arc<dyn Endpoint>> {
    connectors::find("odbc")?.endpoint(&json!({ "url": url }))
}

/// A locator without its table, for the database at `url`: `postgres://user@host:port/database`.
fn through(driver: &str, url: &str) -> String {
    let (_, rest) = url.split_once("://").unwrap();
    let (user, rest) = rest.split_once('@').unwrap();
    let (host, rest) = rest.split_once(':').unwrap();
    let (port, database) = rest.split_once('/').unwrap();
    format!("odbc:?Driver={driver}&Server={host}&Port={port}&Database={database}&UID={user}")
}

pub(crate) fn of_postgres(url: &str) -> String {
    through("PostgreSQL Unicode", url)
}

fn of_mariadb(url: &str) -> String {
    format!("{}&CHARSET=utf8mb4", through("MariaDB Unicode", url))
}

pub(crate) fn of_sqlite(path: &Path) -> String {
    format!("odbc:?Driver=SQLite3&Database={}", path.display())
}

/// Of whole numbers all but those of 64 bits without sign come back in the next type with a sign.
fn signed(field: &Field) -> DataType {
    match field.data_type() {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        other => other.clone(),
    }
}

const LONGEST: usize = 1 << 20;

#[derive(Debug)]
struct Postgres;

#[async_trait]
impl Fixture for Postgres {
    async fn target(&self) -> Result<Target> {
        let url = format!("{}&textBytes={}", of_postgres(&postgres()), LONGEST + 1);
        Target::opened_by(move || endpoint(&url), ObjectRef::Table("conformance".to_owned()))
    }

    fn fields(&self) -> Vec<Field> {
        // UUIDs go as texts, which Arrow's own cast does not make of them.
        generate::fields_without(&["timestamptz", "duration", "interval", "int32_list", "text_list", "json", "uuid"])
    }

    fn limits(&self) -> Limits {
        Limits { nul: false, ..Limits::default() }
    }

    fn returned(&self, field: &Field) -> DataType {
        signed(field)
    }

    fn widest(&self) -> usize {
        100
    }

    fn longest(&self) -> usize {
        LONGEST
    }
}

#[derive(Debug)]
struct MariaDb;

#[async_trait]
impl Fixture for MariaDb {
    async fn target(&self) -> Result<Target> {
        let url = format!("{}&textBytes={}", of_mariadb(&mariadb()), LONGEST + 1);
        Target::opened_by(move || endpoint(&url), ObjectRef::Table("conformance".to_owned()))
    }

    fn fields(&self) -> Vec<Field> {
        generate::fields_without(&[
            "timestamptz",
            "duration",
            "interval",
            "int32_list",
            "text_list",
            "json",
            "uuid",
            "decimal_76_0",
            "decimal_76_38",
        ])
    }

    fn limits(&self) -> Limits {
        Limits { nan: false, infinity: false, negative_zero: false, ..Limits::default() }
    }

    fn returned(&self, field: &Field) -> DataType {
        match field.data_type() {
            // A tinyint, and a double by another name.
            DataType::Boolean => DataType::Int16,
            DataType::Float32 => DataType::Float64,
            _ => signed(field),
        }
    }

    fn widest(&self) -> usize {
        100
    }

    fn longest(&self) -> usize {
        LONGEST
    }
}

#[derive(Debug)]
struct Sqlite;

#[async_trait]
impl Fixture for Sqlite {
    async fn target(&self) -> Result<Target> {
        let folder = tempfile::tempdir()?;
        let url = format!("{}&textBytes={}", of_sqlite(&folder.path().join("conformance.db")), LONGEST + 1);
        let table = ObjectRef::Table("conformance".to_owned());
        Ok(Target::opened_by(move || endpoint(&url), table)?.keeping(folder))
    }

    fn fields(&self) -> Vec<Field> {
        // The driver reads floats with 15 digits.
        generate::fields_named(&[
            "bool",
            "int8",
            "int16",
            "int32",
            "int64",
            "uint8",
            "uint16",
            "uint32",
            "text",
            "binary",
            "date",
            "timestamp",
        ])
    }

    fn limits(&self) -> Limits {
        Limits { nul: false, ..Limits::default() }
    }

    fn returned(&self, field: &Field) -> DataType {
        if field.data_type().is_integer() { DataType::Int64 } else { field.data_type().clone() }
    }

    fn widest(&self) -> usize {
        100
    }

    fn longest(&self) -> usize {
        LONGEST
    }

    async fn debris(&self, target: &Target) -> Result<Vec<String>> {
        let label = target.endpoint.label();
        let (_, path) = label.split_once("Database=").unwrap();
        Ok(beside(Path::new(path), "conformance"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance() {
    for fixture in [&Postgres as &dyn Fixture, &MariaDb, &Sqlite] {
        let report = conformance::check(fixture).await;
        assert!(report.passed(), "{fixture:?}: {report}");
    }
}

const POSTGRES_TABLE: &str =
    "(id int, s smallint, b bigint, r real, d double precision, n numeric(12,3), yes boolean, t text,
    v varchar(5), c char(3), raw bytea, da date, ti time, ts timestamp, u uuid, j json)";

#[test]
fn postgres_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let url = postgres();
    psql(
        &url,
        &format!(
            "create schema \"S 1\"; create table \"S 1\".t {POSTGRES_TABLE};
             insert into \"S 1\".t values (1, -32768, 9223372036854775807, 'NaN', 5e-324, -123456789.001, true, E'ü😀\\n', 'vvüüü',
               'c', '\\x00ff', '1999-12-31', '23:59:59.999999', '0001-01-01 00:00:00.000001',
               'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{{\"a\": 1.50}}'),
               (3, 0, 0, 1.1, 0.1::float8 + 0.2::float8, 0, false, '', '', '', '', '2024-02-29', '00:00', '2024-02-29 12:00',
               'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12', '{{}}');
             insert into \"S 1\".t (id) values (2)"
        ),
    );
    let driver = of_postgres(&url);
    psql(&url, &format!("create table there {POSTGRES_TABLE}"));
    let from = format!("{driver}#\"S 1\".t");
    copied(folder.path(), &[&from, &format!("{driver}#made"), "--verify", "count"]);
    copied(folder.path(), &[&from, &format!("{driver}#there"), "--mode", "append"]);
    copied(folder.path(), &[&from, "t.parquet"]);
    copied(folder.path(), &["t.parquet", &format!("{driver}#there"), "--mode", "replace"]);
    let rows = |table: &str| psql(&url, &format!("select * from {table} order by id"));
    assert_eq!(rows("there"), rows("\"S 1\".t"));
    // A char(3) comes as its three letters, which a text column keeps.
    let same = "id, s, b, r, d, n, yes, t, v, raw, da, ti, ts, u, j";
    let of = |table: &str| psql(&url, &format!("select {same} from {table} order by id"));
    assert_eq!(of("made"), of("\"S 1\".t"));
    let types = "select string_agg(data_type, ',' order by ordinal_position) from information_schema.columns where table_name = 'made'";
    let expected = "integer,smallint,bigint,real,double precision,numeric,boolean,text,text,text,bytea,date,\
                    time without time zone,timestamp without time zone,uuid,text";
    assert_eq!(psql(&url, types), expected);
    // A query, and one that is cut short.
    let query = "select id, count(*) over () as many from \"S 1\".t order by id";
    copied(folder.path(), &[&driver, "q.csv", "--query", query]);
    assert_eq!(std::fs::read_to_string(folder.path().join("q.csv")).unwrap(), "id,many\n1,3\n2,3\n3,3\n");
    let listed = etl(folder.path(), &["ping", &driver]);
    assert!(listed.code == 0 && listed.stdout.contains("PostgreSQL"), "{}{}", listed.stdout, listed.stderr);
}

const MARIADB_TABLE: &str = "(id int, u int unsigned, ub bigint unsigned, s smallint, t tinyint, f float, d double,
    n decimal(12,3), wide decimal(60,10), bi bit(1), c char(3), v varchar(9), txt longtext, vb varbinary(9), bl longblob,
    da date, ti time(6), dt datetime(6), e enum('a','long word'), y year)";

#[test]
fn mariadb_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let url = mariadb();
    let values = "(1, 4294967295, 18446744073709551615, -32768, -128, 1.5, 5e-324, -123456789.001,
          12345678901234567890123456789012345678901234567890.5, 1, 'ü😀', 'nine €€€€', 'zwei\nZeilen', x'00ff', x'5c27', '2024-02-29',
          '23:59:59.999999', '2024-02-29 12:00:00.000001', 'long word', 2024), (3, 0, 0, 0, 0, 0, 0.1 + 2e-1, 0, 0, 0, '', '', '', '',
          '', '1000-01-01', '00:00:00', '9999-12-31 23:59:59', 'a', 1901)";
    mariadb_client(
        &url,
        &format!("create table t {MARIADB_TABLE}; insert into t values {values}; insert into t (id) values (2)"),
    );
    let driver = of_mariadb(&url);
    let from = format!("{driver}#t");
    mariadb_client(&url, &format!("create table there {MARIADB_TABLE}"));
    copied(folder.path(), &[&from, &format!("{driver}#made"), "--verify", "count"]);
    copied(folder.path(), &[&from, &format!("{driver}#there"), "--mode", "append"]);
    let columns = "id, u, ub, s, t, f, d, n, wide, bi + 0, c, v, txt, hex(vb), hex(bl), da, ti, dt, e, y";
    let rows = |table: &str| mariadb_client(&url, &format!("select {columns} from {table} order by id"));
    assert_eq!(rows("there"), rows("t"));
    assert_eq!(rows("made"), rows("t"));
    // A row that does not fit, among others: none of them is there, nor is the table.
    std::fs::write(folder.path().join("odd.csv"), "id,v\n1,1.5\n2,NaN\n").unwrap();
    let said = refused(folder.path(), &["odd.csv", &format!("{driver}#odd"), "--cast", "v:double"]);
    assert!(said.contains("NaN and infinity have no place in SQL") && said.contains("column v"), "{said}");
    assert_eq!(mariadb_client(&url, "show tables like 'odd'"), "");
    // Zero dates are no dates.
    mariadb_client(&url, "set sql_mode = ''; create table zero (da date); insert into zero values ('0000-00-00')");
    let said = refused(folder.path(), &[&format!("{driver}#zero"), "zero.csv"]);
    assert!(said.contains("what the driver reads is no value of Date32"), "{said}");
}

const SQLITE_ROWS: &str = "create table orders (id integer primary key, price real, note varchar(5), raw blob, at timestamp);
    insert into orders values (1, 12.5, 'zwei
Zeilen, ''ü''', x'00ff', '2024-02-29 12:00:00.000001'), (2, -0.25, '', x'', null), (-9223372036854775808, 1e300, null, null, null);";

#[test]
fn sqlite_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    sqlite3(&path("shop.db"), SQLITE_ROWS);
    let values = "select id, quote(price), quote(note), quote(raw), quote(at) from orders order by id";
    let expected = sqlite3(&path("shop.db"), values);
    let (from, to) =
        (format!("{}#orders", of_sqlite(&path("shop.db"))), format!("{}#orders", of_sqlite(&path("new.db"))));
    copied(folder.path(), &[&from, "orders.parquet"]);
    copied(folder.path(), &["orders.parquet", &to, "--verify", "count"]);
    assert_eq!(sqlite3(&path("new.db"), values), expected);
    // A table that is there is emptied, or added to.
    copied(folder.path(), &["orders.parquet", &to, "--mode", "replace"]);
    assert_eq!(sqlite3(&path("new.db"), values), expected);
    sqlite3(&path("new.db"), "delete from orders where id = 1");
    copied(folder.path(), &["orders.parquet", &to, "--where", "id = 1", "--mode", "append"]);
    assert_eq!(sqlite3(&path("new.db"), values), expected);
    // Text in a column of numbers is no number, and no NULL either.
    sqlite3(&path("shop.db"), "create table mixed (v integer); insert into mixed values (1), ('secret')");
    let said = refused(folder.path(), &[&format!("{}#mixed", of_sqlite(&path("shop.db"))), "mixed.csv"]);
    assert!(said.contains("what the driver reads is no value of Int64") && !said.contains("secret"), "{said}");
    // Its driver calls the column `b`, which in double quotes would be a text.
    sqlite3(&path("shop.db"), "create table dotted (id integer, \"a.b\" text); insert into dotted values (1, 'value')");
    copied(folder.path(), &[&format!("{}#dotted", of_sqlite(&path("shop.db"))), "dotted.csv"]);
    assert_eq!(std::fs::read_to_string(path("dotted.csv")).unwrap(), "id,a.b\n1,value\n");
    let done = etl(folder.path(), &["plan", &from, "a.parquet"]);
    assert!(done.stdout.contains("reads floats with 15 digits"), "{}", done.stdout);
}

/// Drivers give the columns of a query by their places, whatever they are called.
#[test]
fn columns_of_one_name_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    sqlite3(&folder.path().join("shop.db"), SQLITE_ROWS);
    let query = "select 1 as a, 2 as b, 3 as a";
    for from in [of_postgres(&postgres()), of_mariadb(&mariadb()), of_sqlite(&folder.path().join("shop.db"))] {
        let read = |words: &[&str]| {
            let words = [&[from.as_str(), "rows.csv", "--mode", "replace", "--query", query], words].concat();
            copied(folder.path(), &words);
            std::fs::read_to_string(folder.path().join("rows.csv")).unwrap()
        };
        assert_eq!(read(&[]), "a,b,a_2\n1,2,3\n", "{from}");
        assert_eq!(read(&["--drop", "a"]), "b,a_2\n2,3\n", "{from}");
    }
}

#[test]
fn a_value_beyond_the_limit_is_an_error_and_never_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (pg, maria, lite) = (postgres(), mariadb(), folder.path().join("long.db"));
    let table = |bytes: &str| format!("create table wordy (id int, t {bytes}); insert into wordy values");
    let hundred = "x".repeat(100);
    psql(&pg, &format!("{} (1, '{hundred}'), (2, 'é')", table("text")));
    mariadb_client(&maria, &format!("{} (1, '{hundred}'), (2, 'é')", table("longtext")));
    sqlite3(&lite, &format!("{} (1, '{hundred}'), (2, 'é')", table("text")));
    for driver in [of_postgres(&pg), of_mariadb(&maria), of_sqlite(&lite)] {
        // At the limit all is there.
        copied(folder.path(), &[&format!("{driver}&textBytes=100#wordy"), "long.csv", "--mode", "replace"]);
        let read = std::fs::read_to_string(folder.path().join("long.csv")).unwrap();
        assert_eq!(read, format!("id,t\n1,{hundred}\n2,é\n"), "{driver}");
        let said = refused(folder.path(), &[&format!("{driver}&textBytes=99#wordy"), "cut.csv"]);
        assert!(said.contains("more than the 99 bytes"), "{driver}: {said}");
        assert!(said.contains("column t") && said.contains("textBytes"), "{driver}: {said}");
        assert!(!folder.path().join("cut.csv").exists());
    }
    // Bytes as well.
    psql(&pg, "create table raw (b bytea); insert into raw values (decode(repeat('00', 100), 'hex'))");
    let said = refused(folder.path(), &[&format!("{}&textBytes=99#raw", of_postgres(&pg)), "raw.parquet"]);
    assert!(said.contains("column b") && said.contains("textBytes"), "{said}");
    copied(folder.path(), &[&format!("{}&textBytes=100#raw", of_postgres(&pg)), "raw.parquet"]);
}

#[test]
fn numbers_that_a_driver_would_change_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let url = postgres();
    // What no bound is known of is told as numeric(28,6).
    psql(&url, "create table n (v numeric); insert into n values (1.5)");
    let from = format!("{}#n", of_postgres(&url));
    copied(folder.path(), &[&from, "n.csv"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("n.csv")).unwrap(), "v\n1.500000\n");
    for value in ["'NaN'", "0.1234567", "123456789012345678901234567890"] {
        psql(&url, &format!("truncate n; insert into n values ({value})"));
        let said = refused(folder.path(), &[&from, "odd.csv"]);
        assert!(said.contains("what the driver reads is no value of Decimal128(28, 6)"), "{value}: {said}");
    }
    copied(folder.path(), &[&of_postgres(&url), "n.csv", "--query", "select v::text as v from n", "--mode", "replace"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("n.csv")).unwrap(), "v\n123456789012345678901234567890\n");
    // A NUL would end the text.
    let query = "select convert(x'610062' using utf8mb4) as t";
    let said =
        refused(folder.path(), &[&of_mariadb(&mariadb()), &format!("{}#z", of_postgres(&url)), "--query", query]);
    assert!(said.contains("the driver ends a text at a NUL"), "{said}");
    assert_eq!(psql(&url, "select count(*) from information_schema.tables where table_name = 'z'"), "0");
}

#[test]
fn days_that_a_driver_would_change_are_those_of_the_table_or_errors() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(
        &url,
        "create table far (d date, m timestamp);
         insert into far values ('0044-03-15 BC', '0044-03-15 12:00:00 BC'), ('10000-01-01', '10000-01-01 12:00:00'), (null, null)",
    );
    let from = format!("{}#far", of_postgres(&url));
    copied(folder.path(), &[&from, "far.csv"]);
    let expected = "d,m\n0044-03-15 BC,0044-03-15 12:00:00 BC\n10000-01-01,10000-01-01 12:00:00\n,\n";
    assert_eq!(std::fs::read_to_string(folder.path().join("far.csv")).unwrap(), expected);
    for column in ["d", "m"] {
        psql(&url, &format!("truncate far; insert into far ({column}) values ('infinity')"));
        let said = refused(folder.path(), &[&from, "odd.csv"]);
        assert!(said.contains(&format!("row 1: column {column}: what the driver reads is no value of")), "{said}");
    }
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let url = postgres();
    psql(&url, "create table t (id int primary key, v varchar(3)); insert into t values (1, 'a')");
    let to = format!("{}#t", of_postgres(&url));
    std::fs::write(folder.path().join("t.csv"), "id,v\n2,b\n1,c\n3,d\n").unwrap();
    let said = refused(folder.path(), &["t.csv", &to]);
    assert!(said.contains("the table has rows already"), "{said}");
    let said = refused(folder.path(), &["t.csv", &to, "--mode", "upsert", "--key", "id"]);
    assert!(said.contains("no way in which rows replace others by their key"), "{said}");
    // One row of a block fails: all of it, and all before it, are taken back.
    let said = refused(folder.path(), &["t.csv", &to, "--mode", "append"]);
    assert!(said.contains("the target refuses a row"), "{said}");
    assert_eq!(psql(&url, "select * from t"), "1|a");
    // What was emptied is there again.
    std::fs::write(folder.path().join("long.csv"), "id,v\n2,b\n3,long\n").unwrap();
    let said = refused(folder.path(), &["long.csv", &to, "--mode", "replace"]);
    assert!(!said.contains("long\""), "{said}");
    assert_eq!(psql(&url, "select * from t"), "1|a");
    std::fs::write(folder.path().join("zoned.csv"), "at\n2024-01-01 00:00:00+00\n").unwrap();
    let said =
        refused(folder.path(), &["zoned.csv", &format!("{}#zoned", of_postgres(&url)), "--cast", "at:timestamptz"]);
    assert!(said.contains("no portable column takes values of Timestamp"), "{said}");
}

#[test]
fn a_read_that_fails_in_its_midst_leaves_the_target_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (pg, maria) = (postgres(), mariadb());
    let query = "select i, 1000 / (50000 - i) as v from generate_series(1, 60000) as i";
    for to in [of_postgres(&pg), of_mariadb(&maria)] {
        let to = format!("{to}#made");
        let said = refused(folder.path(), &[&of_postgres(&pg), &to, "--query", query]);
        assert!(said.contains("division by zero"), "{said}");
    }
    assert_eq!(psql(&pg, "select count(*) from information_schema.tables where table_name = 'made'"), "0");
    assert_eq!(mariadb_client(&maria, "show tables"), "");
}

#[test]
fn a_missing_driver_is_told_with_its_package() {
    let folder = tempfile::tempdir().unwrap();
    let without = |url: &str| {
        let mut etl = command(folder.path(), &["ping", url]);
        run(etl.env("ODBCSYSINI", folder.path()).env("ODBCINI", folder.path().join("odbc.ini")))
    };
    for (driver, package) in [
        ("PostgreSQL Unicode", "odbc-postgresql"),
        ("Oracle 19c ODBC driver", "Oracle Instant Client"),
        ("Nope", "package"),
    ] {
        let done = without(&format!("odbc:?Driver={driver}&Server=db"));
        assert_ne!(done.code, 0);
        let words = format!("the ODBC driver {driver}, or a library that it needs, is not on this machine");
        assert!(done.stderr.contains(&words) && done.stderr.contains(package), "{}", done.stderr);
    }
    let done = without("odbc:SHOP");
    assert!(done.stderr.contains("this machine has no ODBC data source SHOP"), "{}", done.stderr);
    std::fs::write(folder.path().join("odbc.ini"), "[SHOP]\nDriver=/nowhere/libshop.so\n").unwrap();
    let done = without("odbc:SHOP");
    assert!(done.stderr.contains("the ODBC driver of the data source SHOP"), "{}", done.stderr);
}

#[test]
fn a_data_source_is_found_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    sqlite3(&path, SQLITE_ROWS);
    let source = format!("[SHOP]\nDriver=SQLite3\nDatabase={}\n", path.display());
    std::fs::write(folder.path().join("odbc.ini"), source).unwrap();
    let found = |words: &[&str]| run(command(folder.path(), words).env("ODBCINI", folder.path().join("odbc.ini")));
    let done =
        found(&["copy", "-q", "odbc:SHOP", "ids.csv", "--query", "select id from orders where id > 0 order by id"]);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    assert_eq!(std::fs::read_to_string(folder.path().join("ids.csv")).unwrap(), "id\n1\n2\n");
    let done = found(&["plan", "odbc:SHOP#orders", "a.parquet"]);
    assert!(done.code == 0 && !done.stdout.contains("unproven"), "{}{}", done.stdout, done.stderr);
}

#[test]
fn no_message_shows_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let (pg, maria) = (postgres(), mariadb());
    for from in [
        format!("{}&PWD=s3cret-word#t", of_postgres(&pg).replace("UID=postgres", "UID=nobody_here")),
        format!("{}&PWD=s3cret-word#t", of_mariadb(&maria).replace("UID=root", "UID=nobody_here")),
        "odbc:?Driver=PostgreSQL Unicode&Server=127.0.0.1&Port=1&UID=ada&PWD=s3cret;word@#t".to_owned(),
        "odbc:?Driver=Nope s3&PWD=s3cret-word#t".to_owned(),
        "odbc:Driver=PostgreSQL Unicode;PWD=s3cret-word#t".to_owned(),
    ] {
        for words in [&["copy", &from, "a.csv"][..], &["plan", &from, "a.csv"], &["ping", &from]] {
            let done = etl(folder.path(), words);
            assert_ne!(done.code, 0, "{words:?}");
            assert!(
                !done.stderr.contains("s3cret") && !done.stderr.contains("t-word") && !done.stderr.contains("word@"),
                "{}",
                done.stderr
            );
        }
    }
}

#[test]
fn statements_of_a_session_are_run_first() {
    let (folder, url) = (tempfile::tempdir().unwrap(), of_postgres(&postgres()));
    let told = |session: &str| format!("{url}&session={session}");
    let query = ["--query", "select current_setting('application_name') as name"];
    copied(folder.path(), &[&[&*told("set application_name = 'told'"), "one.csv"], &query[..]].concat());
    assert_eq!(std::fs::read_to_string(folder.path().join("one.csv")).unwrap(), "name\ntold\n");
    let list = told("[\"set application_name = 'first'\", \"set application_name = 'a;b'\"]");
    copied(folder.path(), &[&[&*list, "two.csv"], &query[..]].concat());
    assert_eq!(std::fs::read_to_string(folder.path().join("two.csv")).unwrap(), "name\na;b\n");
    let said = refused(folder.path(), &[&[&*told("set nonsense"), "three.csv"], &query[..]].concat());
    assert!(said.contains("session"), "{said}");
    assert!(!folder.path().join("three.csv").exists());
}

#[test]
fn what_no_test_has_run_against_is_marked() {
    let folder = tempfile::tempdir().unwrap();
    let list = etl(folder.path(), &["connectors"]).stdout;
    let line = list.lines().find(|line| line.starts_with("odbc")).unwrap();
    assert!(line.ends_with("oracle, db2, dm, other drivers"), "{list}");
    let path = folder.path().join("shop.db");
    sqlite3(&path, SQLITE_ROWS);
    // The same library under a name that nobody has heard of.
    let system = std::env::var("ODBCSYSINI").unwrap_or_else(|_| "/etc".to_owned());
    let known = std::fs::read_to_string(Path::new(&system).join("odbcinst.ini")).unwrap();
    let renamed = known.replace("[SQLite3]", "[Unheard Of]");
    std::fs::write(folder.path().join("odbcinst.ini"), renamed).unwrap();
    let mut plan = command(
        folder.path(),
        &["plan", &format!("odbc:?Driver=Unheard Of&Database={}#orders", path.display()), "a.parquet"],
    );
    let done = run(plan.env("ODBCSYSINI", folder.path()));
    let words = "unproven: no test has run the driver Unheard Of of odbc against a real server";
    assert!(done.code == 0 && done.stdout.contains(words), "{}{}", done.stdout, done.stderr);
    let done = etl(folder.path(), &["plan", &format!("{}#orders", of_sqlite(&path)), "a.parquet"]);
    assert!(done.code == 0 && !done.stdout.contains("unproven"), "{}{}", done.stdout, done.stderr);
}
