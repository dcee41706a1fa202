//! Names and values that SQL, shells and file formats take for something else, from end to end by the real binary.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::program::{copied, etl};
use crate::server::{postgres, psql};

const SCHEMA: &str = "a\"b;c.d";
const TABLE: &str = "it's $1\n\\x; drop table t; --";
const KEY: &str = "k\"; drop table t; --";

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The columns behind the key; the last has the longest name that PostgreSQL takes, in bytes.
fn texts() -> Vec<String> {
    let long = format!("{}x", "ü".repeat(31));
    ["$1", "back\\slash", "new\nline", "it's 'so'", "%s {} ${HOME}", "select", &long].map(str::to_owned).to_vec()
}

/// A database with a table of 20 rows: the values are the names, but for two rows.
struct World {
    folder: tempfile::TempDir,
    url: String,
    table: String,
}

impl World {
    fn new() -> Self {
        let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
        let world = Self { folder, url, table: in_schema(TABLE) };
        let columns: Vec<String> = texts().iter().map(|name| format!("{} text", quoted(name))).collect();
        let (key, columns) = (quoted(KEY), columns.join(", "));
        let create = format!("create table {} ({key} bigint primary key, {columns})", world.table);
        world.psql(&format!("create schema {}; {create}; create table t as select 7 as kept", quoted(SCHEMA)));
        for row in 1..=20 {
            let value = |text: &String| match row {
                3 => "null".to_owned(),
                4 => "''".to_owned(),
                _ => literal(&format!("{text}{row}")),
            };
            let values: Vec<String> = texts().iter().map(value).collect();
            world.psql(&format!("insert into {} values ({row}, {})", world.table, values.join(", ")));
        }
        world
    }

    fn psql(&self, sql: &str) -> String {
        psql(&self.url, sql)
    }

    /// Copies the table into `other` with `flags`.
    fn copied(&self, other: &str, flags: &[&str]) {
        let words = [&*self.url, &self.url, "--table", &self.table, "--into", other];
        copied(self.folder.path(), &[&words[..], flags].concat());
    }

    /// Checks that `other` is the same table.
    fn check(&self, other: &str, case: &str) {
        let pair = [(&*self.table, other), (other, &*self.table)];
        for (one, two) in pair {
            assert_eq!(self.psql(&format!("select count(*) from (table {one} except table {two}) d")), "0", "{case}");
        }
        let names = |table: &str| {
            let of = format!("attrelid = {}::regclass and attnum > 0", literal(table));
            self.psql(&format!("select json_agg(attname order by attnum) from pg_attribute where {of}"))
        };
        assert_eq!(names(other), names(&self.table), "{case}");
        assert_eq!(self.psql("select * from t"), "7", "{case}");
    }
}

fn in_schema(table: &str) -> String {
    format!("{}.{}", quoted(SCHEMA), quoted(table))
}

/// As in a URL.
fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[test]
fn names_are_names_in_every_mode() {
    let (world, key) = (World::new(), quoted(KEY));
    let other = in_schema("copy' of \"it\" $2");
    world.copied(&other, &["--verify", "checksum"]);
    world.check(&other, "create");
    let some = format!("{key} > 10");
    let ways: [(&str, &[&str]); 8] = [
        ("append", &["--mode", "append", "--where", &some, "--verify", "checksum"]),
        ("append alone", &["--mode", "append", "--where", &some, "-j", "1"]),
        ("append, prepared", &["--mode", "append", "--where", &some, "--publish", "prepared", "-j", "2"]),
        ("append, skipping", &["--mode", "append", "--where", &some, "--on-error", "skip"]),
        ("upsert", &["--mode", "upsert", "--key", &key]),
        ("sync", &["--mode", "sync", "--key", &key]),
        ("truncate", &["--mode", "truncate"]),
        ("replace", &["--mode", "replace", "--verify", "checksum"]),
    ];
    for (way, flags) in ways {
        world.psql(&format!("delete from {other} where {some}"));
        world.copied(&other, flags);
        world.check(&other, way);
    }
    let other = in_schema("incremental\\");
    for _ in 0..2 {
        world.copied(&other, &["--mode", "incremental", "--cursor", &key, "--key", &key]);
        world.check(&other, "incremental");
    }
    let places = [&world.table, &other].map(|table| format!("{}#{}", world.url, encoded(table)));
    let compared = etl(world.folder.path(), &["diff", &places[0], &places[1]]);
    assert_eq!(compared.code, 0, "{}{}", compared.stdout, compared.stderr);
}

#[test]
fn names_and_values_pass_through_files_and_sqlite() {
    let world = World::new();
    let inner = quoted(TABLE);
    for kind in ["db", "parquet", "arrow", "jsonl", "csv"] {
        let file = format!("through.{kind}");
        let object = |flag| if kind == "db" { vec![flag, &*inner] } else { Vec::new() };
        let out = [&*world.url, &file, "--table", &world.table];
        copied(world.folder.path(), &[&out[..], &object("--into")].concat());
        let back = in_schema(&format!("back from {kind}"));
        world.psql(&format!("create table {back} (like {} including all)", world.table));
        let into = [&*file, &world.url, "--into", &back, "--mode", "append"];
        copied(world.folder.path(), &[&into[..], &object("--table")].concat());
        world.check(&back, kind);
    }
}
