//! The state log in one SQLite file: append-only, one row per record, shared by all runs of a user; and their leases.
//!
//! Records go to SQLite's write-ahead log: they outlive the process when `append` returns. Those that later steps rest on
//! are synced, so they outlive a power cut too, with all records and leases before them; a sync takes milliseconds, and nothing is
//! lost with a `Started`, `Held`, `Finished` or a lease alone. For the same reason the last connection leaves the write-ahead log where
//! it is. Several processes append at once. Only this user can read the file: records tell what is moved where.
//! Secrets are not its business: records hold references.

mod lease;

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};

use crate::bridge::blocking::{self, Worker};
use crate::error::{Error, ErrorKind, Result};
use crate::state::{Holder, RunEntry, StateLog, StateRecord};

/// Version of the layout below, in SQLite's `user_version`.
const LAYOUT: i64 = 2;
/// How long an append waits for those of other processes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two tries where `SQLite` itself does not wait.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// Pages of the write-ahead log that are carried over into the file: it is read whole when the log is opened.
const LOG_PAGES: u32 = 200;

/// From here on what is written outlives a power cut, with all that was written before.
const SYNCED: &str = "PRAGMA synchronous = FULL";
/// From here on it outlives the process: whoever holds a lease dies with a power cut, too.
const NOT_SYNCED: &str = "PRAGMA synchronous = NORMAL";

/// Held while the file is made: closing it ends the locks that this process has on it.
static MAKING: Mutex<()> = Mutex::new(());

/// The first layout.
const RECORDS: &str = "
CREATE TABLE record (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    written_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    body TEXT NOT NULL
) STRICT;
CREATE INDEX record_by_run ON record (run);";

/// What the second one has beside it.
const LEASES: &str = "
CREATE TABLE lease (
    job TEXT PRIMARY KEY,
    run TEXT NOT NULL,
    process TEXT NOT NULL,
    renewed_at REAL NOT NULL
) STRICT;
PRAGMA user_version = 2;";

/// The file that a user's runs share: `$XDG_STATE_HOME/etl/state.db`, else `~/.local/state/etl/state.db`.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) when neither variable is set to an absolute path.
pub fn default_path() -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    let none = || Error::new(ErrorKind::Usage, "there is no folder for the state of runs");
    Ok(state.ok_or_else(|| none().with_hint("set HOME or XDG_STATE_HOME"))?.join("etl/state.db"))
}

/// A [`StateLog`] in an SQLite file.
#[derive(Debug)]
pub struct SqliteStateLog {
    worker: Worker<Connection>,
    path: PathBuf,
}

impl SqliteStateLog {
    /// Opens the log at `path`, and makes it, readable by this user alone, when it is missing.
    ///
    /// # Errors
    /// [`Permission`](ErrorKind::Permission), [`Resource`](ErrorKind::Resource) or [`Io`](ErrorKind::Io) where the file
    /// cannot be used, [`Corrupt`](ErrorKind::Corrupt) when it is no state log,
    /// [`Unsupported`](ErrorKind::Unsupported) when a later version of this program made it.
    pub async fn open(path: &Path) -> Result<Self> {
        let path = path.to_owned();
        let file = path.clone();
        let opened = blocking::run("state-open", move || open(&file)).await;
        let connection = opened.map_err(|error| error.at("state log", path.display()))?;
        Ok(Self { worker: Worker::start("state", connection)?, path })
    }

    /// Refuses a file that can be read alone.
    ///
    /// # Errors
    /// [`Permission`](ErrorKind::Permission).
    pub async fn check_writable(&self) -> Result<()> {
        // SQLite tells it at a statement that writes. Whether others write at this moment says nothing.
        let nothing = "DELETE FROM lease WHERE job = ''";
        match self.call(move |connection| connection.execute_batch(nothing).map_err(failed)).await {
            Err(error) if error.kind() == ErrorKind::Permission => Err(error),
            _ => Ok(()),
        }
    }

    async fn call<T: Send + 'static>(&self, work: impl FnOnce(&Connection) -> Result<T> + Send + 'static) -> Result<T> {
        let done = self.worker.call(move |connection| work(connection)).await;
        done.map_err(|error| error.at("state log", self.path.display()))
    }
}

#[async_trait]
impl StateLog for SqliteStateLog {
    async fn read(&self, run: &str) -> Result<Vec<StateRecord>> {
        let run = run.to_owned();
        self.call(move |connection| {
            let sql = "SELECT body FROM record WHERE run = ?1 ORDER BY id";
            texts(connection, sql, &[&run])?.iter().map(|body| StateRecord::parse(body)).collect()
        })
        .await
    }

    async fn append(&self, run: &str, record: &StateRecord) -> Result<()> {
        let (run, body, is_relied_on) = (run.to_owned(), serde_json::to_string(record)?, record.is_relied_on());
        self.call(move |connection| {
            if !is_relied_on {
                return insert(connection, &run, &body);
            }
            connection.execute_batch(SYNCED).map_err(failed)?;
            let inserted = insert(connection, &run, &body);
            connection.execute_batch(NOT_SYNCED).map_err(failed)?;
            inserted
        })
        .await
    }

    async fn runs(&self) -> Result<Vec<RunEntry>> {
        self.call(|connection| {
            let sql = "SELECT run, min(written_at), max(written_at) FROM record GROUP BY run ORDER BY min(id)";
            let mut statement = connection.prepare_cached(sql).map_err(failed)?;
            let entry = |row: &Row<'_>| Ok(RunEntry { run: row.get(0)?, began: row.get(1)?, last: row.get(2)? });
            statement.query_map([], entry).and_then(Iterator::collect).map_err(failed)
        })
        .await
    }

    async fn lease(&self, job: &str, run: &str) -> Result<()> {
        let (job, run) = (job.to_owned(), run.to_owned());
        self.call(move |connection| lease::take(connection, &job, &run)).await
    }

    async fn release(&self, job: &str, run: &str) -> Result<()> {
        let (job, run) = (job.to_owned(), run.to_owned());
        self.call(move |connection| lease::release(connection, &job, &run)).await
    }

    async fn holders(&self) -> Result<Vec<Holder>> {
        self.call(lease::holders).await
    }

    async fn forget(&self, run: &str) -> Result<()> {
        let run = run.to_owned();
        self.call(move |connection| {
            connection.execute("DELETE FROM record WHERE run = ?1", [&run]).map_err(failed).map(drop)
        })
        .await
    }
}

fn insert(connection: &Connection, run: &str, body: &str) -> Result<()> {
    let sql = "INSERT INTO record (run, body) VALUES (?1, ?2)";
    let mut insert = connection.prepare_cached(sql).map_err(failed)?;
    insert.execute([run, body]).map_err(failed).map(drop)
}

fn open(path: &Path) -> Result<Connection> {
    make_private(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    refuse_foreign(&connection)?;
    match layout(&connection)? {
        LAYOUT => {}
        0 | 1 => create(&mut connection)?,
        _ => {
            let message = "the state log was made by a later version of etl";
            return Err(Error::new(ErrorKind::Unsupported, message).with_hint("use that version, or another file"));
        }
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    connection.query_row(&format!("PRAGMA wal_autocheckpoint = {LOG_PAGES}"), [], |_| Ok(())).map_err(failed)?;
    connection.execute_batch(NOT_SYNCED).map_err(failed)?;
    Ok(connection)
}

/// Makes folder and file, so that SQLite's own files beside it get the same permissions. A file that is there is left
/// alone: it is opened through SQLite only.
fn make_private(path: &Path) -> Result<()> {
    let mut folders = DirBuilder::new();
    let mut file = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        folders.mode(0o700);
        file.mode(0o600);
    }
    if let Some(folder) = path.parent().filter(|folder| *folder != Path::new("")) {
        folders.recursive(true).create(folder)?;
    }
    let _alone = MAKING.lock();
    match file.create_new(true).write(true).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
        Err(_) if path.is_dir() => Err(io::Error::from(io::ErrorKind::IsADirectory).into()),
        _ => Ok(()),
    }
}

/// Refuses a database of something else, before anything in it is changed.
fn refuse_foreign(connection: &Connection) -> Result<()> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema) AND \
               (SELECT count(*) FROM pragma_table_info('record') WHERE name IN ('run', 'written_at', 'body')) < 3";
    let is_foreign: bool = connection.query_row(sql, [], |row| row.get(0)).map_err(failed)?;
    if is_foreign { Err(foreign()) } else { Ok(()) }
}

fn foreign() -> Error {
    Error::new(ErrorKind::Corrupt, "this is a database of something else").with_hint("name a file of its own")
}

fn layout(connection: &Connection) -> Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)
}

/// Makes the tables, unless another process has done it meanwhile.
fn create(connection: &mut Connection) -> Result<()> {
    use_write_ahead_log(connection)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
    let found = layout(&transaction)?;
    if found == 0 {
        let taken: bool = transaction
            .query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
            .map_err(failed)?;
        if taken {
            return Err(foreign());
        }
        transaction.execute_batch(RECORDS).map_err(failed)?;
    }
    if found < LAYOUT {
        transaction.execute_batch(LEASES).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

/// Where there is no shared memory, as on some network file systems, the journal stays as it is.
///
/// `SQLite` does not wait here when another connection is at the same change, since both would wait for ever: this does.
fn use_write_ahead_log(connection: &Connection) -> Result<()> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < deadline => {
                std::thread::sleep(BUSY_PAUSE);
            }
            done => return done.map_err(failed),
        }
    }
}

fn texts(connection: &Connection, sql: &str, parameters: &[&String]) -> Result<Vec<String>> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let rows = statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get(0)).map_err(failed)?;
    rows.collect::<Result<_, _>>().map_err(failed)
}

fn failed(error: rusqlite::Error) -> Error {
    let (kind, message) = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => (ErrorKind::Corrupt, "the file is no state log"),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            (ErrorKind::Permission, "the file cannot be written")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (ErrorKind::Transient, "another process keeps the file")
        }
        Some(ErrorCode::DiskFull) => (ErrorKind::Resource, "the disk is full"),
        _ => (ErrorKind::Io, "reading or writing it failed"),
    };
    Error::new(kind, message).with_source(error)
}

#[cfg(test)]
mod tests;
