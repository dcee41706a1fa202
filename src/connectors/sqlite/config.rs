//! The options of one database file, and how connections to it are opened.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, ffi};
use serde_json::Value as Json;

use super::error::failed;
use crate::connector::{OptionDoc, option};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::file;

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
        Ok(Self { path: file::path(options, &["sqlite", "sqlite3"], "sqlite:shop.db#orders")?, busy_timeout })
    }

    /// The locator, for messages and plans.
    pub(super) fn label(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }

    /// A connection that cannot write.
    pub(super) fn open_to_read(&self) -> Result<Connection> {
        let connection = self.open(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        recover(&connection, &self.path, self.busy_timeout).map_err(|error| self.place(error))?;
        Ok(connection)
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
        if !flags.contains(OpenFlags::SQLITE_OPEN_CREATE) {
            self.look_at_file()?;
        }
        connect(&self.path, flags, self.busy_timeout).map_err(|error| self.place(error))
    }

    /// Says what is wrong with the path better than SQLite's one code for all. It does not open the file: closing it
    /// would end every lock that this process holds on it.
    fn look_at_file(&self) -> Result<()> {
        let metadata = std::fs::metadata(&self.path).map_err(|error| self.place(error.into()))?;
        if metadata.is_dir() {
            return Err(self.place(Error::new(ErrorKind::Usage, "this is a directory, not a database file")));
        }
        Ok(())
    }

    /// `error` with the file that it concerns.
    pub(super) fn place(&self, error: Error) -> Error {
        error.at("database", self.path.display())
    }
}

/// A connection with a statement cache of its own and no mutex: each is used by one thread at a time.
pub(super) fn connect(path: &Path, flags: OpenFlags, busy_timeout: Duration) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
    connection.busy_timeout(busy_timeout).map_err(failed)?;
    Ok(connection)
}

/// Rolls back what a process that died in a transaction left in the journal, which only a connection that may write can do.
/// Where nothing was left, it does nothing.
fn recover(reader: &Connection, path: &Path, busy_timeout: Duration) -> Result<()> {
    let look = |connection: &Connection| connection.query_row("PRAGMA schema_version", [], |row| row.get::<_, i64>(0));
    let left = look(reader).err().and_then(|error| error.sqlite_error().map(|code| code.extended_code));
    if left == Some(ffi::SQLITE_READONLY_ROLLBACK) {
        look(&connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, busy_timeout)?).map_err(failed)?;
    }
    Ok(())
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
}
