//! The options of one database file, and how connections to it are opened.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, ffi};
use serde_json::Value as Json;

use super::error::failed;
use crate::connector::{OptionDoc, option};
use crate::error::{Error, ErrorKind, Result};

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
        let object = options.as_object().ok_or_else(|| usage("the options are no JSON object"))?;
        if let Some(unknown) = object.keys().find(|key| OPTIONS.iter().all(|option| option.name != key.as_str())) {
            let names: Vec<&str> = OPTIONS.iter().map(|option| option.name).collect();
            let message = format!("sqlite has no option {unknown:?}");
            return Err(usage(message).with_hint(format!("it has {}", names.join(", "))));
        }
        let url = object.get("url").and_then(Json::as_str).ok_or_else(|| usage("the option url is missing"))?;
        let seconds = match object.get("busyTimeout") {
            None | Some(Json::Null) => 3,
            Some(value) => value
                .as_u64()
                .or_else(|| value.as_str()?.parse().ok())
                .filter(|seconds| *seconds <= 86_400)
                .ok_or_else(|| usage("the option busyTimeout is a number of seconds, up to 86400"))?,
        };
        Ok(Self { path: path(url)?, busy_timeout: Duration::from_secs(seconds) })
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

fn path(url: &str) -> Result<PathBuf> {
    let rest = ["sqlite3:", "sqlite:"].iter().find_map(|scheme| url.strip_prefix(scheme)).unwrap_or(url);
    // `sqlite:///abs` has an empty host, `sqlite://rel` what looks like one.
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    if rest.is_empty() {
        return Err(usage("the locator names no database file").with_hint("write sqlite:shop.db#orders"));
    }
    if rest == ":memory:" {
        return Err(usage("a database in memory cannot be reached from here").with_hint("name a file"));
    }
    Ok(PathBuf::from(rest))
}

fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message)
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
