//! Drivers of ADBC through the suite of all connectors, and against the clients of their databases, which say what is true.

use std::path::{Path, PathBuf};
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
use crate::server::{adbc_driver, beside, duckdb, postgres, psql, sqlite3};

fn endpoint(url: &str) -> Result<Arc<dyn Endpoint>> {
    connectors::find("adbc")?.endpoint(&json!({ "url": url }))
}

/// A locator without its table, by the path of the driver.
fn sqlite(path: &Path) -> String {
    format!("adbc:{}?uri={}", adbc_driver("sqlite").display(), path.display())
}

#[derive(Debug)]
struct Sqlite;

#[async_trait]
impl Fixture for Sqlite {
    async fn target(&self) -> Result<Target> {
        let folder = tempfile::tempdir()?;
        let url = sqlite(&folder.path().join("conformance.db"));
        let table = ObjectRef::Table("conformance".to_owned());
        Ok(Target::opened_by(move || endpoint(&url), table)?.keeping(folder))
    }

    fn fields(&self) -> Vec<Field> {
        generate::fields_named(&[
            "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "float32", "float64", "text",
            "binary",
        ])
    }

    fn limits(&self) -> Limits {
        Limits { nan: false, negative_zero: false, ..Limits::default() }
    }

    fn returned(&self, field: &Field) -> DataType {
        match field.data_type() {
            DataType::Float32 => DataType::Float64,
            number if *number == DataType::Boolean || number.is_integer() => DataType::Int64,
            other => other.clone(),
        }
    }

    fn keeps_empty_columns(&self) -> bool {
        // The driver tells types by the rows.
        false
    }

    async fn debris(&self, target: &Target) -> Result<Vec<String>> {
        let label = target.endpoint.label();
        let (_, path) = label.split_once("?uri=").unwrap();
        Ok(beside(Path::new(path), "conformance"))
    }
}

#[derive(Debug)]
struct DuckDb;

#[async_trait]
impl Fixture for DuckDb {
    async fn target(&self) -> Result<Target> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("conformance.duckdb");
        duckdb(&path, "create schema \"S 1\"");
        let url = format!("adbc:duckdb?path={}", path.display());
        let table = ObjectRef::Table("\"S 1\".conformance".to_owned());
        Ok(Target::opened_by(move || endpoint(&url), table)?.keeping(folder))
    }

    fn fields(&self) -> Vec<Field> {
        // Lists come back with the name of their column within, UUIDs as text; intervals, as which durations are written, not at all.
        let other = ["decimal_76_0", "decimal_76_38", "uuid", "duration", "interval", "int32_list", "text_list"];
        generate::fields().into_iter().filter(|field| !other.contains(&field.name().as_str())).collect()
    }

    fn limits(&self) -> Limits {
        // Its compression takes the two zeros for one.
        Limits { negative_zero: false, ..Limits::default() }
    }
}

#[derive(Debug)]
struct Postgres;

#[async_trait]
impl Fixture for Postgres {
    async fn target(&self) -> Result<Target> {
        let url = format!("adbc:{}?uri={}", adbc_driver("postgresql").display(), postgres());
        Target::opened_by(move || endpoint(&url), ObjectRef::Table("conformance".to_owned()))
    }

    fn fields(&self) -> Vec<Field> {
        // Decimals come back as text, durations as intervals.
        let kept = |field: &Field| {
            let decimal = matches!(field.data_type(), DataType::Decimal128(..) | DataType::Decimal256(..));
            !decimal && !["uint64", "duration"].contains(&field.name().as_str())
        };
        generate::fields().into_iter().filter(kept).collect()
    }

    fn limits(&self) -> Limits {
        Limits { nul: false, ..Limits::default() }
    }

    fn returned(&self, field: &Field) -> DataType {
        match field.data_type() {
            DataType::Int8 | DataType::UInt8 => DataType::Int16,
            DataType::UInt16 => DataType::Int32,
            DataType::UInt32 => DataType::Int64,
            other => other.clone(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance() {
    for fixture in [&Sqlite as &dyn Fixture, &DuckDb, &Postgres] {
        let report = conformance::check(fixture).await;
        assert!(report.passed(), "{fixture:?}: {report}");
    }
}

const SQLITE_ROWS: &str = "create table orders (id integer primary key, price real, note text, raw blob, at text);
    insert into orders values (1, 12.5, 'zwei
Zeilen, ''ü''', x'00ff', '2024-02-29 12:00:00'), (2, -0.25, '', x'', null), (-9223372036854775808, 1e300, null, null, '');";

#[test]
fn sqlite_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    sqlite3(&path("shop.db"), SQLITE_ROWS);
    let values = "select id, quote(price), quote(note), quote(raw), quote(at) from orders order by id";
    let expected = sqlite3(&path("shop.db"), values);
    copied(folder.path(), &["adbc:sqlite?uri=shop.db#orders", "orders.parquet"]);
    copied(folder.path(), &["orders.parquet", "adbc:sqlite?uri=new.db#orders", "--verify", "count"]);
    assert_eq!(sqlite3(&path("new.db"), values), expected);
    // A table that is there is emptied, or added to.
    copied(folder.path(), &["orders.parquet", "adbc:sqlite?uri=new.db#orders", "--mode", "replace"]);
    assert_eq!(sqlite3(&path("new.db"), values), expected);
    sqlite3(&path("new.db"), "delete from orders where id = 1");
    let one = ["orders.parquet", "adbc:sqlite?uri=new.db#orders", "--where", "id = 1", "--mode", "append"];
    copied(folder.path(), &one);
    assert_eq!(sqlite3(&path("new.db"), values), expected);
    // Columns of some declared types take what they keep.
    sqlite3(&path("new.db"), "create table typed (id int, price double precision, note varchar(9), at text, raw)");
    copied(folder.path(), &["orders.parquet", "adbc:sqlite?uri=new.db#typed", "--mode", "append"]);
    let kinds = "select distinct typeof(id), typeof(price), typeof(raw) from typed where raw is not null";
    assert_eq!(sqlite3(&path("new.db"), kinds), "integer|real|blob");
    let query = "select note, count(*) as n from orders group by note order by n, note";
    copied(folder.path(), &["adbc:sqlite?uri=shop.db", "notes.csv", "--query", query]);
    let lines = std::fs::read_to_string(path("notes.csv")).unwrap().lines().count();
    assert_eq!(lines, 5, "a head, and three notes, of which one has two lines");
}

const POSTGRES_COLUMNS: &str = "id, s, b, r, d, n, yes, t, v, c, raw, da, ti, ts, tz, iv, j, jb, u, li, lt";
const POSTGRES_TABLE: &str = "(id int, s smallint, b bigint, r real, d double precision, n numeric(12,3), yes boolean, t text,
    v varchar(5), c char(3), raw bytea, da date, ti time, ts timestamp, tz timestamptz, iv interval, j json, jb jsonb, u uuid,
    li int[], lt text[])";

#[test]
fn postgres_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let url = postgres();
    psql(
        &url,
        &format!(
            "create schema \"S 1\"; create table \"S 1\".t {POSTGRES_TABLE};
             insert into \"S 1\".t values (1, -32768, 9223372036854775807, 'NaN', 5e-324, -123456789.001, true, E'ü\\n', 'v', 'c',
               '\\x00ff', '1999-12-31', '23:59:59.999999', '0001-01-01 00:00:00.000001', '2024-06-30 23:59:59.5+05:30',
               '1 mon -2 days 3.5 sec', '{{\"a\": 1.50}}', '{{\"a\": [null]}}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
               '{{1,null}}', '{{}}');
             insert into \"S 1\".t (id) values (2)"
        ),
    );
    let driver = format!("adbc:postgresql?uri={url}");
    psql(&url, &format!("create table there {POSTGRES_TABLE}"));
    let digits = ["--cast", "n:decimal(12,3)"];
    let from = format!("{driver}#\"S 1\".t");
    copied(folder.path(), &[&from, &format!("{driver}#made"), digits[0], digits[1]]);
    copied(folder.path(), &[&from, &format!("{driver}#there"), digits[0], digits[1], "--mode", "append"]);
    let text = POSTGRES_COLUMNS.split(", ").map(|name| format!("{name}::text")).collect::<Vec<_>>().join(", ");
    let rows = |table: &str| psql(&url, &format!("select {text} from {table} order by id"));
    assert_eq!(rows("there"), rows("\"S 1\".t"));
    // What the driver makes of a char(3) is text, which keeps the blanks; of a jsonb it makes a json.
    let made =
        psql(&url, "select id, s, b, r, d, n, yes, t, v, raw, ts, tz, iv, jb::text, u, li, lt from made order by id");
    let of = "select id, s, b, r, d, n, yes, t, v, raw, ts, tz, iv, jb::text, u, li, lt from \"S 1\".t order by id";
    assert_eq!(made, psql(&url, of));
    // Great unsigned numbers are kept, which the driver alone would wrap.
    let wide = format!("{driver}#wide");
    let query = "select 18446744073709551615::ubigint as n";
    copied(folder.path(), &["adbc:duckdb?path=none.duckdb", &wide, "--query", query]);
    assert_eq!(psql(&url, "select n from wide"), "18446744073709551615");
    psql(&url, "create table odd (id int, address inet)");
    let said = refused(folder.path(), &[&format!("{driver}#odd"), "odd.csv"]);
    assert!(said.contains("column address: values of the type inet are not copied"), "{said}");
    psql(&url, "insert into odd values (7, '10.0.0.1')");
    copied(folder.path(), &[&format!("{driver}#odd"), "odd.csv", "--drop", "address"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("odd.csv")).unwrap(), "id\n7\n");
}

#[test]
fn duckdb_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let values = "(1, 18446744073709551615, 0.1, 'zwei\nZeilen', '\\x00\\xFF'::blob, 99.99, '2024-02-29', '2024-02-29 12:00:00.000001', \
                  '2024-02-29 12:00:00+00', true, [1, null]), (2, null, null, null, null, null, null, null, null, null, null)";
    let columns = "(id int, u ubigint, d double, t varchar, raw blob, n decimal(18,2), da date, ts timestamp, tz timestamptz, b bool, l int[])";
    duckdb(&path("shop.duckdb"), &format!("create table t {columns}; insert into t values {values}"));
    copied(folder.path(), &["adbc:duckdb?path=shop.duckdb#t", "adbc:duckdb?path=new.duckdb#t"]);
    copied(folder.path(), &["adbc:duckdb?path=shop.duckdb#t", "adbc:duckdb?path=shop.duckdb#again"]);
    // The client needs a module more for instants.
    let all = "select * replace (epoch_us(tz) as tz) from t order by id";
    assert_eq!(duckdb(&path("new.duckdb"), all), duckdb(&path("shop.duckdb"), all));
    let types = "select column_name, data_type from duckdb_columns() where table_name = 't' order by 1";
    assert_eq!(duckdb(&path("new.duckdb"), types), duckdb(&path("shop.duckdb"), types));
    let lost = "select count(*) from (select * from t except all select * from again)";
    assert_eq!(duckdb(&path("shop.duckdb"), lost), "0");
}

/// Drivers give the columns of a query by their places, whatever they are called.
#[test]
fn columns_of_one_name_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    sqlite3(&folder.path().join("shop.db"), SQLITE_ROWS);
    let (query, of_postgres) = ("select 1 as a, 2 as b, 3 as a", format!("adbc:postgresql?uri={}", postgres()));
    for from in ["adbc:sqlite?uri=shop.db", "adbc:duckdb?path=none.duckdb", &of_postgres] {
        let read = |words: &[&str]| {
            let words = [&[from, "rows.csv", "--mode", "replace", "--query", query], words].concat();
            copied(folder.path(), &words);
            std::fs::read_to_string(folder.path().join("rows.csv")).unwrap()
        };
        assert_eq!(read(&[]), "a,b,a_2\n1,2,3\n", "{from}");
        assert_eq!(read(&["--drop", "a"]), "b,a_2\n2,3\n", "{from}");
    }
}

#[test]
fn what_a_driver_would_change_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let from = "adbc:duckdb?path=odd.duckdb";
    for (value, declared) in [
        ("340282366920938463463374607431768211455::uhugeint", "UHUGEINT"),
        ("[1::hugeint]", "HUGEINT[]"),
        ("interval '3000000 hours'", "INTERVAL"),
        ("'12:00:00+05'::timetz", "TIME WITH TIME ZONE"),
        ("'0101'::bit", "BIT"),
    ] {
        let said = refused(folder.path(), &[from, "odd.csv", "--query", &format!("select 1 as id, {value} as v; ")]);
        assert!(said.contains(&format!("column v: values of the type {declared} are not copied")), "{said}");
    }
    let query = "select 'x' as v, '0101'::bit as b, 1 as v";
    copied(folder.path(), &[from, "some.csv", "--query", query, "--drop", "b"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("some.csv")).unwrap(), "v,v_2\nx,1\n");
    let huge = "select '-170141183460469231731687303715884105728'::hugeint as v";
    let said = refused(folder.path(), &[from, "odd.csv", "--query", huge]);
    assert!(said.contains("row 1: column v: the driver has no more than 38 digits"), "{said}");
    copied(
        folder.path(),
        &[from, "sum.csv", "--query", "select sum(i) as v, now() as at from range(5) r(i)", "--drop", "at"],
    );
    assert_eq!(std::fs::read_to_string(folder.path().join("sum.csv")).unwrap(), "v\n10\n");
    let url = postgres();
    let late = "select '294247-01-10 04:00:54.775807'::timestamp as v union all select '294247-01-10 04:00:54.775808'";
    let said = refused(folder.path(), &[&format!("adbc:postgresql?uri={url}"), "late.csv", "--query", late]);
    assert!(said.contains("row 2: column v: the driver wraps a moment that is so late"), "{said}");
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("shop.db");
    sqlite3(&db, SQLITE_ROWS);
    let to = "adbc:sqlite?uri=shop.db#orders";
    copied(folder.path(), &["adbc:sqlite?uri=shop.db#orders", "orders.parquet"]);
    let said = refused(folder.path(), &["orders.parquet", to]);
    assert!(said.contains("the table has rows already"), "{said}");
    let said = refused(folder.path(), &["orders.parquet", to, "--mode", "upsert", "--key", "id"]);
    assert!(said.contains("no way in which rows replace others by their key"), "{said}");
    // The last row is one that the driver would change: none of them is there, nor is the table.
    std::fs::write(folder.path().join("odd.csv"), "id,v\n1,1.5\n2,NaN\n").unwrap();
    let said = refused(folder.path(), &["odd.csv", "adbc:sqlite?uri=shop.db#odd", "--cast", "v:double"]);
    assert!(said.contains("SQLite keeps no NaN") && said.contains("column v"), "{said}");
    assert_eq!(sqlite3(&db, "select name from sqlite_master where type = 'table'"), "orders");
    assert_eq!(sqlite3(&db, "select count(*) from orders"), "3");
}

#[test]
fn a_driver_that_fails_in_the_midst_of_its_rows_leaves_the_target_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("shop.db");
    let numbers = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 50000) insert into mixed select i from n";
    sqlite3(&db, &format!("create table mixed (v); {numbers}; insert into mixed values ('secret')"));
    let said = refused(folder.path(), &["adbc:sqlite?uri=shop.db#mixed", "adbc:sqlite?uri=new.db#mixed"]);
    assert!(said.contains("Type mismatch") && !said.contains("secret"), "{said}");
    assert_eq!(sqlite3(&folder.path().join("new.db"), "select count(*) from sqlite_master"), "0");
}

#[test]
fn a_missing_driver_is_told_with_its_package() {
    let folder = tempfile::tempdir().unwrap();
    let without = |words: &[&str]| run(command(folder.path(), words).env("ADBC_DRIVER_PATH", folder.path()));
    let done = without(&["ping", "adbc:sqlite?uri=a.db"]);
    assert_ne!(done.code, 0);
    for words in
        ["libadbc_driver_sqlite.so, is not on this machine", "adbc-driver-sqlite from PyPI", "ADBC_DRIVER_PATH"]
    {
        assert!(done.stderr.contains(words), "{}", done.stderr);
    }
    let done = without(&["ping", "adbc:./libnothing.so"]);
    assert!(done.stderr.contains("there is no library of the ADBC driver ./libnothing.so here"), "{}", done.stderr);
    std::fs::write(folder.path().join("libtext.so"), "no library").unwrap();
    let done = without(&["ping", "adbc:./libtext.so"]);
    assert!(done.stderr.contains("does not load"), "{}", done.stderr);
    // A library, but no driver under this name.
    let library = std::env::var_os("DUCKDB_LIB").expect("tests/run sets it");
    std::os::unix::fs::symlink(library, folder.path().join("libother.so")).unwrap();
    let done = without(&["ping", "adbc:./libother.so"]);
    assert!(done.stderr.contains("speaks ADBC: it has no function"), "{}", done.stderr);
    // By a manifest of ADBC.
    let manifest = format!("[Driver]\nshared = \"{}\"\n", adbc_driver("sqlite").display());
    std::fs::write(folder.path().join("sqlite.toml"), manifest).unwrap();
    let done = without(&["ping", "adbc:sqlite?uri=a.db"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stdout.contains("SQLite"), "{}", done.stdout);
}

#[test]
fn no_message_shows_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let url = postgres();
    let (_, place) = url.split_once('@').unwrap();
    for from in [
        format!("adbc:postgresql?uri=postgresql://nobody_here:s3cret-word@{place}#t"),
        "adbc:postgresql?uri=postgresql://ada:s3cret-word@127.0.0.1:9x9/shop#t".to_owned(),
        format!("adbc:postgresql?uri={url}&odd.option=s3cret-word#t"),
        "adbc:sqlite?uri=a.db&odd=s3cret-word#t".to_owned(),
    ] {
        for words in [&["copy", &from, "a.csv"][..], &["plan", &from, "a.csv"], &["ping", &from]] {
            let done = etl(folder.path(), words);
            assert_ne!(done.code, 0, "{words:?}");
            assert!(!done.stderr.contains("s3cret") && !done.stderr.contains("word@"), "{}", done.stderr);
        }
    }
}

#[test]
fn what_no_test_has_run_against_is_marked() {
    let folder = tempfile::tempdir().unwrap();
    let list = etl(folder.path(), &["connectors"]).stdout;
    let line = list.lines().find(|line| line.starts_with("adbc")).unwrap();
    assert!(line.ends_with("snowflake, bigquery, flightsql, other drivers"), "{list}");
    assert!(list.lines().any(|line| line.starts_with("postgres") && !line.contains("unproven")), "{list}");
    sqlite3(&folder.path().join("shop.db"), SQLITE_ROWS);
    std::fs::copy(adbc_driver("sqlite"), folder.path().join("libunheard.so")).unwrap();
    let plan = |from: &str| etl(folder.path(), &["plan", from, "a.parquet"]);
    let done = plan("adbc:./libunheard.so?uri=shop.db#orders");
    let words = "unproven: no test has run the driver ./libunheard.so of adbc against a real server";
    assert!(done.code == 0 && done.stdout.contains(words), "{}{}", done.stdout, done.stderr);
    let done = plan("adbc:sqlite?uri=shop.db#orders");
    assert!(done.code == 0 && !done.stdout.contains("unproven"), "{}{}", done.stdout, done.stderr);
    let listed = etl(folder.path(), &["ping", "adbc:sqlite?uri=shop.db"]);
    assert!(listed.stdout.contains("ADBC SQLite Driver"), "{}", listed.stdout);
}
