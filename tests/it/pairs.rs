//! `etl copy` over all pairs of {PostgreSQL, SQLite, MySQL, MariaDB, DuckDB, ClickHouse, CSV, JSON lines, Parquet, Avro, Arrow IPC},
//! value by value.
//!
//! The truth is a table that `psql`, `sqlite3`, `mariadb`, DuckDB's own client and ClickHouse were told in SQL. Whatever a pair has
//! written is copied back into the first two, where those clients compare it with their own table; what is in the other databases is
//! compared there, too.

use std::path::{Path, PathBuf};

use crate::program::copied;
use crate::server::{self, Databases};

const KINDS: [&str; 11] =
    ["postgres", "sqlite", "mysql", "mariadb", "duckdb", "clickhouse", "csv", "parquet", "avro", "arrow", "jsonl"];

/// Those that were told the truth in SQL.
const DATABASES: [&str; 6] = ["postgres", "sqlite", "mysql", "mariadb", "duckdb", "clickhouse"];

/// id, name, price, ok, day, at, ratio.
const ROWS: &str = r#"
    (1, 'plain', '12.5000', true, '2024-02-29', '2024-02-29 12:34:56.123456', 0.1),
    (2, 'say "hi", it''s me', '-0.0001', false, '1969-12-31', '1969-12-31 23:59:59', -1.5),
    (3, 'two
lines', '99999999.9999', NULL, '9999-12-31', '9999-12-31 23:59:59.999999', 1e300),
    (4, '', '0.0000', true, '0001-01-01', '0001-01-01 00:00:00', 1e-7),
    (5, NULL, NULL, NULL, NULL, NULL, NULL),
    (6, '  padded	with a tab ', '1.1000', false, '2000-01-01', '2000-01-01 00:00:00.000001', 3.141592653589793),
    (7, '007', '7.0000', true, '1970-01-01', '1970-01-01 00:00:00', 123456789.125),
    (8, 'NULL', '8.1230', true, '2024-12-31', '2024-06-30 23:59:59.999', -2e-300),
    (9, 'ünïcödé 雪 😀 \x41 a,b;c|d', '9.0900', false, '2024-01-01', '2024-01-01 01:01:01.1', 5.5),
    (9223372036854775807, '{"a": [1, null]}', '10.0000', true, '1582-10-15', '1582-10-15 00:00:00', 1.25),
    (-9223372036854775808, 'true', '-11.1111', false, '2024-03-31', '2024-03-31 02:30:00', 2.5)"#;

/// The years of the rows.
#[derive(Clone, Copy)]
enum Years {
    /// 1 to 9999.
    All,
    /// 1900 to 2299: ClickHouse refuses others.
    OfClickhouse,
}

impl Years {
    fn rows(self) -> String {
        match self {
            Self::All => ROWS.to_owned(),
            Self::OfClickhouse => {
                ROWS.replace("'9999-", "'2299-").replace("'0001-", "'1900-").replace("'1582-", "'1901-")
            }
        }
    }
}

/// A world with the true table in it, in all databases; in ClickHouse where it has the years.
struct World {
    folder: tempfile::TempDir,
    databases: Databases,
}

impl World {
    fn new(years: Years) -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap(), databases: Databases::new() };
        let rows = years.rows();
        let postgres = "create table truth (id bigint primary key, name text, price numeric(12,4), ok boolean, day date, \
                        at timestamp, ratio double precision)";
        server::psql(&world.databases.postgres, &format!("{postgres}; insert into truth values {rows}"));
        let sqlite = "create table truth (id bigint primary key, name text, price decimal_text(12,4), ok boolean, \
                      day date, at timestamp, ratio double)";
        server::sqlite3(&world.database("truth"), &format!("{sqlite}; insert into truth values {rows}"));
        let mysql = "set sql_mode = 'STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES'; create table truth (id bigint primary key, \
                     name longtext, price decimal(12,4), ok boolean, day date, at datetime(6), ratio double) \
                     default character set utf8mb4";
        for url in [&world.databases.mysql, &world.databases.mariadb] {
            server::mariadb_client(url, &format!("{mysql}; insert into truth values {rows}"));
        }
        let duckdb = "create table truth (id bigint primary key, name varchar, price decimal(12,4), ok boolean, \
                      day date, \"at\" timestamp, ratio double)";
        server::duckdb(&world.duckdb("truth"), &format!("{duckdb}; insert into truth values {rows}"));
        if let Years::OfClickhouse = years {
            let clickhouse = "create table truth (id Int64, name Nullable(String), price Nullable(Decimal(12, 4)), \
                              ok Nullable(Bool), day Nullable(Date32), \
                              at Nullable(DateTime64(6, 'UTC')) comment 'etl: without time zone', \
                              ratio Nullable(Float64)) engine = MergeTree order by id";
            server::clickhouse_client(&world.databases.clickhouse, clickhouse);
            let rows = rows.replace('\\', r"\\");
            server::clickhouse_client(&world.databases.clickhouse, &format!("insert into truth values {rows}"));
        }
        world
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn database(&self, name: &str) -> PathBuf {
        self.path().join(format!("{name}.db"))
    }

    fn duckdb(&self, name: &str) -> PathBuf {
        self.path().join(format!("{name}.duckdb"))
    }

    /// The locator of `name` in a place of `kind`.
    fn place(&self, kind: &str, name: &str) -> String {
        self.databases.place(kind, name)
    }

    fn copy(&self, source: &str, target: &str) {
        copied(self.path(), &[source, target]);
    }

    /// The true table as a place of `kind`.
    fn truth(&self, kind: &str) -> String {
        let place = self.place(kind, "truth");
        if !DATABASES.contains(&kind) {
            self.copy(&self.place("postgres", "truth"), &place);
        }
        place
    }

    /// Compares what is at `place` with the truth, in all databases.
    fn is_true(&self, kind: &str, name: &str) {
        let back = format!("{name}_back");
        let [in_postgres, in_sqlite] = ["postgres", "sqlite"].map(|database| {
            if kind == database {
                return name;
            }
            self.copy(&self.place(kind, name), &self.place(database, &back));
            back.as_str()
        });
        assert_eq!(self.postgres_differs(in_postgres), "", "{name} in PostgreSQL");
        assert_eq!(self.sqlite_differs(in_sqlite), "", "{name} in SQLite");
        match kind {
            "mysql" => assert_eq!(mysql_differs(&self.databases.mysql, name), "", "{name} in MySQL"),
            "mariadb" => assert_eq!(mysql_differs(&self.databases.mariadb, name), "", "{name} in MariaDB"),
            "duckdb" => assert_eq!(self.duckdb_differs(name), "", "{name} in DuckDB"),
            "clickhouse" => assert_eq!(self.clickhouse_differs(name), "", "{name} in ClickHouse"),
            _ => {}
        }
    }

    /// Rows that only one of the two tables has. A text file knows less of types than a table: values are compared.
    fn postgres_differs(&self, table: &str) -> String {
        let rows = |table: &str| {
            format!(
                "select id::bigint, name::text, price::numeric(12,4)::text, ok::text::boolean, day::date, at::timestamp, \
                 ratio::double precision::text from {table}"
            )
        };
        let (truth, copy) = (rows("truth"), rows(table));
        let sql = format!(
            "select 'lost', * from ({truth} except all {copy}) a union all select 'new', * from ({copy} except all {truth}) b"
        );
        server::psql(&self.databases.postgres, &sql)
    }

    fn duckdb_differs(&self, table: &str) -> String {
        let rows = |table: &str| {
            format!(
                "select id::bigint, name::varchar, price::decimal(12,4)::varchar, ok::boolean, day::date, \"at\"::timestamp, \
                 ratio::double from {table}"
            )
        };
        let (truth, copy) = (rows("truth"), rows(&format!("other.{table}")));
        let sql = format!(
            "attach '{}' as other; select 'lost', * from ({truth} except all {copy}) a \
             union all select 'new', * from ({copy} except all {truth}) b",
            self.duckdb(table).display()
        );
        server::duckdb(&self.duckdb("truth"), &sql)
    }

    fn clickhouse_differs(&self, table: &str) -> String {
        let rows = |table: &str| {
            format!(
                "select id, name, toDecimal64(toString(price), 4) as price, ok, toDate32(day) as day, \
                 toDateTime64(at, 6, 'UTC') as at, ratio from {table}"
            )
        };
        let (truth, copy) = (rows("truth"), rows(table));
        let sql = format!(
            "select 'lost', * from ({truth} except {copy}) union all select 'new', * from ({copy} except {truth}) union all \
             select 'count', * from ({truth}) where (select count() from {table}) <> (select count() from truth)"
        );
        server::clickhouse_client(&self.databases.clickhouse, &sql)
    }

    /// SQLite compares kinds of values, too: a number as text is another value. Of decimals it keeps digits as they come.
    fn sqlite_differs(&self, table: &str) -> String {
        let rows = |table: &str| {
            format!("select id, name, iif(price is null, null, printf('%.4f', price)), ok, day, at, ratio from {table}")
        };
        let (truth, copy) = (rows("truth"), rows(&format!("other.{table}")));
        let sql = format!(
            "attach '{}' as other; \
             select 'lost', * from ({truth} except {copy}); \
             select 'new', * from ({copy} except {truth}); \
             select 'count', count(*) from other.{table} having count(*) <> (select count(*) from truth);",
            self.database(table).display()
        );
        server::sqlite3(&self.database("truth"), &sql)
    }
}

/// Rows of the truth that `table` has not or has otherwise, and its number of rows if that is another one.
fn mysql_differs(url: &str, table: &str) -> String {
    let sql = format!(
        "select 'lost', t.id from truth t left join {table} c on c.id = t.id and cast(c.name as binary) <=> \
         cast(t.name as binary) and c.price <=> t.price and c.ok <=> t.ok and c.day <=> t.day and c.at <=> t.at and \
         c.ratio <=> t.ratio where c.id is null; \
         select 'count', count(*) from {table} having count(*) <> (select count(*) from truth)"
    );
    server::mariadb_client(url, &sql)
}

/// Copies the true table out of a place of `kind` into one of every kind.
fn every_value_arrives_from(kind: &str) {
    let by_clickhouse = |target: &&str| kind == "clickhouse" || *target == "clickhouse";
    let (few, all): (Vec<&str>, Vec<&str>) = KINDS.into_iter().partition(by_clickhouse);
    for (years, targets) in [(Years::OfClickhouse, few), (Years::All, all)] {
        if targets.is_empty() {
            continue;
        }
        let world = World::new(years);
        let source = world.truth(kind);
        for target in targets {
            let name = format!("from_{kind}_to_{target}");
            world.copy(&source, &world.place(target, &name));
            world.is_true(target, &name);
        }
    }
}

#[test]
fn every_value_arrives_from_postgres() {
    every_value_arrives_from("postgres");
}

#[test]
fn every_value_arrives_from_sqlite() {
    every_value_arrives_from("sqlite");
}

#[test]
fn every_value_arrives_from_mysql() {
    every_value_arrives_from("mysql");
}

#[test]
fn every_value_arrives_from_mariadb() {
    every_value_arrives_from("mariadb");
}

#[test]
fn every_value_arrives_from_duckdb() {
    every_value_arrives_from("duckdb");
}

#[test]
fn every_value_arrives_from_clickhouse() {
    every_value_arrives_from("clickhouse");
}

#[test]
fn every_value_arrives_from_csv() {
    every_value_arrives_from("csv");
}

#[test]
fn every_value_arrives_from_json_lines() {
    every_value_arrives_from("jsonl");
}

#[test]
fn every_value_arrives_from_parquet() {
    every_value_arrives_from("parquet");
}

#[test]
fn every_value_arrives_from_avro() {
    every_value_arrives_from("avro");
}

#[test]
fn every_value_arrives_from_arrow() {
    every_value_arrives_from("arrow");
}

#[test]
fn the_same_append_twice_doubles_the_rows() {
    let world = World::new(Years::OfClickhouse);
    // Without a key, which would refuse them.
    server::psql(&world.databases.postgres, "create table keyless as table truth");
    let source = world.place("postgres", "keyless");
    for kind in KINDS {
        let target = world.place(kind, &format!("twice_{kind}"));
        for _ in 0..2 {
            copied(world.path(), &[&source, &target, "--mode", "append"]);
        }
        world.copy(&target, &world.place("postgres", &format!("counted_{kind}")));
        let sql = format!("select count(*), count(distinct id), count(name) from counted_{kind}");
        assert_eq!(server::psql(&world.databases.postgres, &sql), "22|11|20", "{kind}");
    }
}
