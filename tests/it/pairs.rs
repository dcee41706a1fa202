//! `etl copy` over all pairs of {PostgreSQL, SQLite, CSV, JSON lines, Parquet, Arrow IPC}, value by value.
//!
//! The truth is a table that `psql` and `sqlite3` were told in SQL. Whatever a pair has written is copied back into both
//! databases, where those clients compare it with their own table.

use std::path::{Path, PathBuf};

use crate::program::copied;
use crate::server;

const KINDS: [&str; 6] = ["postgres", "sqlite", "csv", "parquet", "arrow", "jsonl"];

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

/// A world with the true table in it, in both databases.
struct World {
    folder: tempfile::TempDir,
    postgres: String,
}

impl World {
    fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap(), postgres: server::postgres() };
        let postgres = "create table truth (id bigint primary key, name text, price numeric(12,4), ok boolean, day date, \
                        at timestamp, ratio double precision)";
        server::psql(&world.postgres, &format!("{postgres}; insert into truth values {ROWS}"));
        let sqlite = "create table truth (id bigint primary key, name text, price decimal_text(12,4), ok boolean, \
                      day date, at timestamp, ratio double)";
        server::sqlite3(&world.database("truth"), &format!("{sqlite}; insert into truth values {ROWS}"));
        world
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn database(&self, name: &str) -> PathBuf {
        self.path().join(format!("{name}.db"))
    }

    /// The locator of `name` in a place of `kind`.
    fn place(&self, kind: &str, name: &str) -> String {
        match kind {
            "postgres" => format!("{}#{name}", self.postgres),
            "sqlite" => format!("{name}.db#{name}"),
            extension => format!("{name}.{extension}"),
        }
    }

    fn copy(&self, source: &str, target: &str) {
        copied(self.path(), &[source, target]);
    }

    /// The true table as a place of `kind`.
    fn truth(&self, kind: &str) -> String {
        let place = self.place(kind, "truth");
        if !["postgres", "sqlite"].contains(&kind) {
            self.copy(&self.place("postgres", "truth"), &place);
        }
        place
    }

    /// Compares what is at `place` with the truth, in both databases.
    fn is_true(&self, kind: &str, name: &str) {
        let back = format!("{name}_back");
        let in_postgres = if kind == "postgres" { name } else { back.as_str() };
        let in_sqlite = if kind == "sqlite" { name } else { back.as_str() };
        if kind != "postgres" {
            self.copy(&self.place(kind, name), &self.place("postgres", &back));
        }
        if kind != "sqlite" {
            self.copy(&self.place(kind, name), &self.place("sqlite", &back));
        }
        assert_eq!(self.postgres_differs(in_postgres), "", "{name} in PostgreSQL");
        assert_eq!(self.sqlite_differs(in_sqlite), "", "{name} in SQLite");
    }

    /// Rows that only one of the two tables has. A text file knows less of types than a table: values are compared.
    fn postgres_differs(&self, table: &str) -> String {
        let rows = |table: &str| {
            format!(
                "select id::bigint, name::text, price::numeric(12,4)::text, ok::boolean, day::date, at::timestamp, \
                 ratio::double precision::text from {table}"
            )
        };
        let (truth, copy) = (rows("truth"), rows(table));
        let sql = format!(
            "select 'lost', * from ({truth} except all {copy}) a union all select 'new', * from ({copy} except all {truth}) b"
        );
        server::psql(&self.postgres, &sql)
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

/// Copies the true table out of a place of `kind` into one of every kind.
fn every_value_arrives_from(kind: &str) {
    let world = World::new();
    let source = world.truth(kind);
    for target in KINDS {
        let name = format!("from_{kind}_to_{target}");
        world.copy(&source, &world.place(target, &name));
        world.is_true(target, &name);
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
fn every_value_arrives_from_arrow() {
    every_value_arrives_from("arrow");
}

#[test]
fn the_same_append_twice_doubles_the_rows() {
    let world = World::new();
    // Without a key, which would refuse them.
    server::psql(&world.postgres, "create table keyless as table truth");
    let source = world.place("postgres", "keyless");
    for kind in KINDS {
        let target = world.place(kind, &format!("twice_{kind}"));
        for _ in 0..2 {
            copied(world.path(), &[&source, &target, "--mode", "append"]);
        }
        world.copy(&target, &world.place("postgres", &format!("counted_{kind}")));
        let sql = format!("select count(*), count(distinct id), count(name) from counted_{kind}");
        assert_eq!(server::psql(&world.postgres, &sql), "22|11|20", "{kind}");
    }
}
