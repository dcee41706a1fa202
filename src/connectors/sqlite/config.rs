//! The options of one database file, and how connections to it are opened.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, ffi};
use serde_json::Value as Json;

use super::error::failed;
use crate::connector::{OptionDoc, option};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::file;
use crate::sql::located::Located;

pub(super) const OPTIONS: &[OptionDoc] = &[
    option("url", "string", "", "Path of the database file: sqlite:shop.db.").required(),
    option("busyTimeout", "integer", "3", "Seconds to wait for a lock that another program holds.")
        .within("0 to 86400"),
];

/// One database file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) path: PathBuf,
    pub(super) busy_timeout: Duration,
}

impl Config {
    /// Parses `options` and opens nothing.
    pub(super) fn parse(options: &Json) -> Result<Self> {
        let names: Vec<&str> = OPTIONS.iter().map(|option| option.name).collect();
        let options = file::options(options, "sqlite", &names)?;
        let busy_timeout = file::busy_timeout(options)?;
        Ok(Self { path: file::path(options, &["sqlite", "sqlite3"], Self::EXAMPLE)?, busy_timeout })
    }

    /// A connection that cannot write, in a transaction that has read: all it reads is of one point in time.
    pub(super) fn open_to_read(&self) -> Result<Connection> {
        let connection = self.open(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        self.begin_to_read(&connection).map_err(|error| self.placed(error))?;
        Ok(connection)
    }

    /// What a process that died in a transaction left in the journal is rolled back first, which only a connection that may write
    /// can do. A journal that another connection is just removing looks the same to SQLite (its ticket 3883): then there is nothing
    /// to be done but to look again.
    fn begin_to_read(&self, reader: &Connection) -> Result<()> {
        let began = Instant::now();
        for again in std::iter::once(false).chain(std::iter::repeat(true)) {
            let Err(error) = reader.execute_batch("BEGIN; SELECT 1 FROM main.sqlite_schema LIMIT 1") else { break };
            let code = error.sqlite_error().map(|error| error.extended_code);
            if code != Some(ffi::SQLITE_READONLY_ROLLBACK) || (again && began.elapsed() > self.busy_timeout) {
                return Err(unreadable(failed(error)));
            }
            if !reader.is_autocommit() {
                reader.execute_batch("ROLLBACK").map_err(failed)?;
            }
            let writer = connect(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE, self.busy_timeout)?;
            writer.query_row("PRAGMA schema_version", [], |_| Ok(())).map_err(failed)?;
        }
        Ok(())
    }

    /// A connection that can write into an existing file.
    pub(super) fn open_to_write(&self) -> Result<Connection> {
        self.open(OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    /// A connection that can write; makes the file when it is missing.
    pub(super) fn open_or_create(&self) -> Result<Connection> {
        self.open(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
    }

    fn open(&self, flags: OpenFlags) -> Result<Connection> {
        let is_made = flags.contains(OpenFlags::SQLITE_OPEN_CREATE);
        let checked = if is_made { Ok(()) } else { file::check(&self.path) };
        checked.and_then(|()| connect(&self.path, flags, self.busy_timeout)).map_err(|error| self.placed(error))
    }
}

impl Located for Config {
    const CONNECTOR: &'static str = "sqlite";
    const EXAMPLE: &'static str = "sqlite:shop.db#orders";

    fn label(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }

    fn placed(&self, error: Error) -> Error {
        error.at("database", self.path.display())
    }
}

/// A connection with a statement cache of its own and no mutex: each is used by one thread at a time.
pub(super) fn connect(path: &Path, flags: OpenFlags, busy_timeout: Duration) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
    connection.busy_timeout(busy_timeout).map_err(failed)?;
    Ok(connection)
}

fn unreadable(error: Error) -> Error {
    let hint = "a database in WAL mode needs a folder that can be written: copy the file elsewhere, with its -wal file";
    if error.kind() == ErrorKind::Permission { error.with_hint(hint) } else { error }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_are_taken_as_they_stand() {
        let cases = [
            ("sqlite:shop.db", "shop.db"),
            ("sqlite:/tmp/shop.db", "/tmp/shop.db"),
            ("sqlite:///tmp/shop.db", "/tmp/shop.db"),
            ("sqlite://shop.db", "shop.db"),
            ("shop db.sqlite", "shop db.sqlite"),
        ];
        for (url, path) in cases {
            assert_eq!(Config::parse(&json!({ "url": url })).unwrap().path, PathBuf::from(path));
        }
    }

    #[test]
    fn wrong_options_are_usage_errors() {
        for options in [
            json!({}),
            json!({"url": "sqlite:"}),
            json!({"url": "sqlite::memory:"}),
            json!({"url": "a.db", "mode": "rw"}),
            json!({"url": "a.db", "busyTimeout": "soon"}),
        ] {
            assert_eq!(Config::parse(&options).unwrap_err().kind(), ErrorKind::Usage, "{options}");
        }
    }

    #[test]
    fn files_that_are_not_there_or_no_database_say_so() {
        let folder = tempfile::tempdir().unwrap();
        let config = |name: &str| {
            let url = folder.path().join(name).display().to_string();
            Config::parse(&json!({ "url": url })).unwrap()
        };
        assert_eq!(config("missing.db").open_to_read().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(config("").open_to_read().unwrap_err().kind(), ErrorKind::Usage);
    }

    /// A journal that is just removed is not taken for one that a dead process left.
    #[test]
    fn readers_may_begin_while_somebody_rolls_back() {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().join("shop.db").display().to_string();
        let config = Config::parse(&json!({ "url": url })).unwrap();
        config.open_or_create().unwrap().execute_batch("create table t (a); insert into t values (1)").unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let connection = config.open_to_write().unwrap();
                // The rows reach the file, and with them its pages the journal.
                connection.execute_batch("pragma cache_size = 1").unwrap();
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let rows = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 300) \
                                insert into t select i from n";
                    connection.execute_batch(&format!("begin immediate; {rows}; rollback")).unwrap();
                }
            });
            for _ in 0..2000 {
                let reader = config.open_to_read().unwrap();
                let rows: i64 = reader.query_row("select count(*) from t", [], |row| row.get(0)).unwrap();
                assert_eq!(rows, 1);
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            writer.join().unwrap();
        });
    }
}
