//! Hostile values of every type, over every ordered pair of places and back, compared by the databases' own clients.
//!
//! `matrix/PRODUCT.sql` makes the true table of a database. What a pair refuses, or brings back otherwise and says so, is listed
//! in `src/cli/values.txt` with the reason: all else has to come back as it was, and what is listed has to be so.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use crate::program::{copied, etl};
use crate::server::{self, Databases};

const DATABASES: [&str; 6] = ["postgres", "mysql", "mariadb", "sqlite", "duckdb", "clickhouse"];
const FILES: [&str; 5] = ["parquet", "arrow", "avro", "csv", "jsonl"];

fn kinds() -> impl Iterator<Item = &'static str> {
    DATABASES.into_iter().chain(FILES)
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/matrix").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What happens to a column that does not come back as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is refused on its way there, or back.
    Refused,
    /// It comes back otherwise, and the plan says so.
    Changed,
}

/// One line of the list.
struct Exception {
    fate: Fate,
    sources: Vec<String>,
    columns: Vec<String>,
    targets: Vec<String>,
    /// What the error or the plan says.
    told: String,
}

impl Exception {
    fn parse(line: &str) -> Self {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let [fate, source, columns, targets, told, values] = fields[..] else { panic!("six fields in {line:?}") };
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let fate = match fate {
            "refused" => Fate::Refused,
            "changed" => Fate::Changed,
            other => panic!("what is {other:?}?"),
        };
        assert!(!told.is_empty() && !values.is_empty(), "{line:?} has no reason");
        Self { fate, sources: words(source), columns: words(columns), targets: words(targets), told: told.to_owned() }
    }

    fn is_of(&self, (source, target): (&str, &str)) -> bool {
        self.sources.iter().any(|name| name == source)
            && (self.targets == ["*"] || self.targets.iter().any(|name| name == target))
    }
}

fn exceptions() -> Vec<Exception> {
    include_str!("../../src/cli/values.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(Exception::parse)
        .collect()
}

/// A column of the true table, and its type as the database says it.
type Column = (String, String);

/// All databases, empty, and a folder for files.
struct World {
    folder: tempfile::TempDir,
    databases: Databases,
    exceptions: Vec<Exception>,
    made: Cell<u32>,
}

impl World {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            databases: Databases::new(),
            exceptions: exceptions(),
            made: Cell::new(0),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the client of `database` prints for `sql`.
    fn told(&self, database: &str, sql: &str) -> String {
        match database {
            "postgres" => server::psql(&self.databases.postgres, sql),
            "mysql" => server::mariadb_client(&self.databases.mysql, sql),
            "mariadb" => server::mariadb_client(&self.databases.mariadb, sql),
            "sqlite" => server::sqlite3(&self.path("world.db"), sql),
            "duckdb" => server::duckdb(&self.path("world.duckdb"), sql),
            "clickhouse" => {
                // A request takes one statement.
                let told = sql.split(";\n").filter(|statement| !statement.trim().is_empty());
                told.map(|statement| server::clickhouse_client(&self.databases.clickhouse, statement)).last().unwrap()
            }
            other => panic!("{other} has no client"),
        }
    }

    fn place(&self, kind: &str, table: &str) -> String {
        match kind {
            "sqlite" => format!("world.db#{table}"),
            "duckdb" => format!("world.duckdb#{table}"),
            _ => self.databases.place(kind, table),
        }
    }

    /// A table or file that is not there yet.
    fn new_place(&self, kind: &str) -> String {
        self.made.set(self.made.get() + 1);
        self.place(kind, &format!("there_{}", self.made.get()))
    }

    /// Makes the true table, and an empty one like it; gives its columns.
    fn truth(&self, database: &str) -> Vec<Column> {
        let sql = read(&format!("{}.sql", database.replace("mariadb", "mysql")));
        self.told(database, &sql);
        let again: Vec<&str> =
            sql.lines().filter(|line| !line.starts_with("create type") && !line.starts_with("create domain")).collect();
        self.told(
            database,
            &again
                .join("\n")
                .replace("table truth", "table back")
                .replace("into truth", "into back")
                .replace("update truth", "update back"),
        );
        let (question, between) = match database {
            "postgres" => (
                "select column_name, data_type from information_schema.columns where table_name = 'truth' order by ordinal_position",
                '|',
            ),
            "mysql" | "mariadb" => (
                "select column_name, data_type from information_schema.columns where table_name = 'truth' and table_schema = database() order by ordinal_position",
                '\t',
            ),
            "sqlite" => ("select name, type from pragma_table_info('truth')", '|'),
            "clickhouse" => (
                "select name, type from system.columns where table = 'truth' and database = currentDatabase() order by position",
                '\t',
            ),
            _ => (
                "select column_name, data_type from duckdb_columns() where table_name = 'truth' order by column_index",
                '|',
            ),
        };
        let columns = self.told(database, question);
        let columns = columns.lines().map(|line| line.split_once(between).unwrap());
        let columns: Vec<Column> = columns.map(|(name, data_type)| (name.to_owned(), data_type.to_owned())).collect();
        assert!(columns.len() > 20 && columns[0].0 == "id", "{database}: {columns:?}");
        columns[1..].to_vec()
    }

    /// Rows of the true table of `database` that are not in `back`, by their columns `names` as its client writes them.
    fn lost(&self, database: &str, columns: &[Column], names: &[&str]) -> String {
        let text = |name: &&str| {
            let (_, data_type) = columns.iter().find(|(column, _)| column == name).unwrap();
            match (database, data_type.as_str()) {
                // Blanks and the order of keys are no part of the value.
                ("postgres", "json" | "jsonb") => format!("{name}::jsonb"),
                ("postgres", _) => format!("{name}::text"),
                // All digits.
                ("mysql" | "mariadb", "float") => format!("hex(concat(cast({name} as double)))"),
                ("mysql" | "mariadb", _) => format!("hex(concat({name}))"),
                ("sqlite", _) => format!("quote({name})"),
                // As a member of a tuple NULL is another text than a value that looks like it. What may hold any bytes is shown as hex.
                ("clickhouse", text) if text.contains("String") => format!("hex(toString(tuple({name})))"),
                ("clickhouse", _) => format!("toString(tuple({name}))"),
                _ => format!("{name}::varchar"),
            }
        };
        let list: Vec<String> = std::iter::once("id".to_owned()).chain(names.iter().map(text)).collect();
        let list = list.join(", ");
        self.told(database, &format!("select * from (select {list} from truth except select {list} from back) as lost"))
    }

    fn empty_back(&self, database: &str) {
        self.told(database, if database == "clickhouse" { "truncate table back" } else { "delete from back" });
    }

    fn exceptions_of(&self, pair: (&str, &str)) -> Vec<(&str, &Exception)> {
        let of = self.exceptions.iter().filter(|exception| exception.is_of(pair));
        of.flat_map(|exception| exception.columns.iter().map(move |column| (column.as_str(), exception))).collect()
    }

    /// Copies columns `names` of the true table of `source` to `target` and back; the error, if there is one.
    fn there_and_back(&self, (source, target): (&str, &str), names: &[&str]) -> Result<(), String> {
        let there = self.new_place(target);
        let (truth, back) = (self.place(source, "truth"), self.place(source, "back"));
        self.empty_back(source);
        self.copy(&truth, &there, &["--select", &with_id(names)])?;
        self.copy(&there, &back, &["--mode", "append", "--schema", "ignore"])
    }

    fn copy(&self, from: &str, to: &str, words: &[&str]) -> Result<(), String> {
        let done = etl(self.folder.path(), &[&["copy", "-q", from, to], words].concat());
        if done.code == 0 { Ok(()) } else { Err(done.stderr) }
    }

    /// All columns of `source` go to `target` and come back as they were, but for those on the list.
    fn database_to(&self, (source, target): (&str, &str), columns: &[Column]) {
        let listed = self.exceptions_of((source, target));
        let is_listed = |name: &str| listed.iter().any(|(column, _)| *column == name);
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).filter(|name| !is_listed(name)).collect();
        let done = self.there_and_back((source, target), &names);
        assert_eq!(done, Ok(()), "{source} to {target}");
        assert_eq!(self.lost(source, columns, &names), "", "{source} to {target}");
        for (column, exception) in listed {
            assert!(columns.iter().any(|(name, _)| name == column), "{source} has no column {column}");
            let done = self.there_and_back((source, target), &[column]);
            let place = format!("{source} to {target}: {column}");
            match exception.fate {
                Fate::Refused => {
                    let error = done.expect_err(&place);
                    assert!(
                        error.contains(&exception.told) && error.contains(&format!("column {column}")),
                        "{place}: {error}"
                    );
                }
                Fate::Changed => {
                    assert_eq!(done, Ok(()), "{place}");
                    assert_ne!(self.lost(source, columns, &[column]), "", "{place} comes back as it was");
                    let (from, to) = (self.place(source, "truth"), self.new_place(target));
                    let plan = etl(self.folder.path(), &["plan", &from, &to, "--select", &with_id(&[column])]);
                    assert!(plan.stdout.contains(&exception.told), "{place}: {}", plan.stdout);
                }
            }
        }
    }

    /// What PostgreSQL has put into a file of `source` goes to `target` and back into another one, and comes home as it was.
    fn file_to(&self, (source, target): (&str, &str), columns: &[Column]) {
        let (first, listed) = (self.exceptions_of(("postgres", source)), self.exceptions_of((source, target)));
        let is_listed = |name: &str| first.iter().chain(&listed).any(|(column, _)| *column == name);
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).filter(|name| !is_listed(name)).collect();
        let done = self.file_there_and_back((source, target), &names);
        assert_eq!(done, Ok(()), "{source} to {target}");
        assert_eq!(self.lost("postgres", columns, &names), "", "{source} to {target}");
        for (column, exception) in listed {
            let place = format!("{source} to {target}: {column}");
            let done = self.file_there_and_back((source, target), &[column]);
            match exception.fate {
                Fate::Refused => {
                    let error = done.expect_err(&place);
                    assert!(error.contains(&exception.told), "{place}: {error}");
                }
                Fate::Changed => {
                    assert_eq!(done, Ok(()), "{place}");
                    assert_ne!(self.lost("postgres", columns, &[column]), "", "{place} comes back as it was");
                }
            }
        }
    }

    fn file_there_and_back(&self, (source, target): (&str, &str), names: &[&str]) -> Result<(), String> {
        let (file, there, again) = (self.new_place(source), self.new_place(target), self.new_place(source));
        self.empty_back("postgres");
        copied(self.folder.path(), &[&self.place("postgres", "truth"), &file, "--select", &with_id(names)]);
        self.copy(&file, &there, &[])?;
        self.copy(&there, &again, &[])?;
        self.copy(&again, &self.place("postgres", "back"), &["--mode", "append", "--schema", "ignore"])
    }
}

fn with_id(names: &[&str]) -> String {
    [&["id"], names].concat().join(",")
}

fn from_database(source: &str) {
    let world = World::new();
    let columns = world.truth(source);
    for target in kinds().filter(|target| *target != source) {
        world.database_to((source, target), &columns);
    }
}

#[test]
fn from_postgres() {
    from_database("postgres");
}

#[test]
fn from_mysql() {
    from_database("mysql");
}

#[test]
fn from_mariadb() {
    from_database("mariadb");
}

#[test]
fn from_sqlite() {
    from_database("sqlite");
}

#[test]
fn from_duckdb() {
    from_database("duckdb");
}

#[test]
fn from_clickhouse() {
    from_database("clickhouse");
}

fn from_file(source: &str) {
    let world = World::new();
    let columns = world.truth("postgres");
    for target in kinds().filter(|target| *target != source) {
        world.file_to((source, target), &columns);
    }
}

#[test]
fn from_parquet() {
    from_file("parquet");
}

#[test]
fn from_arrow() {
    from_file("arrow");
}

#[test]
fn from_avro() {
    from_file("avro");
}

#[test]
fn from_csv() {
    from_file("csv");
}

#[test]
fn from_json_lines() {
    from_file("jsonl");
}

/// A line that speaks of nothing would never fail.
#[test]
fn exceptions_are_of_places_that_are_tested() {
    let known: Vec<&str> = kinds().collect();
    for exception in exceptions() {
        assert!(exception.sources.iter().all(|source| known.contains(&source.as_str())), "{:?}", exception.sources);
        let is_known = |target: &String| target == "*" || known.contains(&target.as_str());
        assert!(exception.targets.iter().all(is_known), "{:?}", exception.targets);
    }
}
