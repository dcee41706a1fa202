//! One point in time of a database file: readers whose transactions all began while a guard held the write lock.
//!
//! ```text
//! guard:    BEGIN IMMEDIATE ----------------------------- ROLLBACK
//! reader 1:                  BEGIN, first read ............................ many SELECTs ... ROLLBACK
//! reader 2:                         BEGIN, first read ..................... many SELECTs ... ROLLBACK
//! ```
//!
//! Nobody can commit while the guard is there, so all readers see the same commit. One reader needs no guard.
//! Every connection lives on a thread of its own. Whoever commits into a file that is also read closes the session
//! first: with a rollback journal its readers stand in the way.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::Connection;

use super::config::Config;
use super::error::failed;
use super::read::SqliteSource;
use crate::bridge::readers::Readers;
use crate::endpoint::{ObjectRef, OpenRequest, Session, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::source::Source;
use crate::sql::located::Located as _;

/// Smaller files are read faster by one reader than several can be opened.
const SMALL_FILE_BYTES: u64 = 8 << 20;
/// More readers than this only wait for each other.
const MOST_READERS: usize = 64;

/// The readers of one session, and what is known of their database.
#[derive(Debug)]
pub(super) struct Pool {
    config: Config,
    pub(super) readers: Arc<Readers<Connection>>,
    /// How it was opened, one sentence each, for plans.
    pub(super) notes: Vec<String>,
    /// Whether text is stored as UTF-8, so that its byte order is Arrow's.
    pub(super) is_utf8: bool,
}

struct Opened {
    readers: Vec<Connection>,
    notes: Vec<String>,
    is_utf8: bool,
}

impl Pool {
    pub(super) fn place(&self, error: Error) -> Error {
        self.config.placed(error)
    }
}

/// The open point in time of one file.
#[derive(Debug)]
pub(super) struct SqliteSession {
    pool: Arc<Pool>,
    sources: Mutex<HashMap<ObjectRef, Arc<SqliteSource>>>,
}

impl SqliteSession {
    pub(super) async fn open(config: &Config, request: &OpenRequest) -> Result<Self> {
        if request.join.is_some() {
            let message = "a point in time of SQLite cannot be joined by its id";
            return Err(config.placed(Error::new(ErrorKind::Unsupported, message)));
        }
        let wanted = request.readers.max(request.objects.len()).clamp(1, MOST_READERS);
        let needed = request.objects.len().clamp(1, MOST_READERS);
        let opened = config.asked("open", move |config| open_readers(config, wanted, needed)).await?;
        let readers = Readers::start("sqlite-read", opened.readers, |connection| {
            let handle = connection.get_interrupt_handle();
            Box::new(move || handle.interrupt())
        })?;
        let pool = Pool { config: config.clone(), readers, notes: opened.notes, is_utf8: opened.is_utf8 };
        Ok(Self { pool: Arc::new(pool), sources: Mutex::default() })
    }
}

/// Opens `wanted` readers at one point in time, or fewer where that is better, but no less than `needed`.
fn open_readers(config: &Config, wanted: usize, needed: usize) -> Result<Opened> {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let wal = PathBuf::from(format!("{}-wal", config.path.display()));
    let count = if size(&config.path) + size(&wal) < SMALL_FILE_BYTES { needed } else { wanted };
    let mut notes = Vec::new();
    let guard = if count > 1 { guard(config, &mut notes)? } else { None };
    let count = if guard.is_some() { count } else { 1 };
    let readers = (0..count).map(|_| config.open_to_read()).collect::<Result<Vec<_>>>()?;
    if let Some(guard) = guard {
        guard.execute_batch("ROLLBACK").map_err(failed)?;
        notes.push(format!("{count} readers began at one point in time under the write lock"));
    }
    let text = |pragma: &str| {
        readers[0].query_row(&format!("PRAGMA main.{pragma}"), [], |row| row.get::<_, String>(0)).map_err(failed)
    };
    if text("journal_mode")? != "wal" {
        notes.push(
            "the file has a rollback journal: whoever writes to it waits with the commit until all is read".into(),
        );
    }
    let is_utf8 = text("encoding")?.eq_ignore_ascii_case("UTF-8");
    Ok(Opened { readers, notes, is_utf8 })
}

/// The connection that holds the write lock; none, with a note, where it cannot be had.
fn guard(config: &Config, notes: &mut Vec<String>) -> Result<Option<Connection>> {
    let locked = config.open_to_write().and_then(|connection| {
        connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
        Ok(connection)
    });
    let why = match locked {
        Ok(connection) => return Ok(Some(connection)),
        Err(error) if error.kind() == ErrorKind::Permission => "the file cannot be written",
        Err(error) if error.kind() == ErrorKind::Transient => "another program writes to it",
        Err(error) => return Err(error),
    };
    notes.push(format!("one reader only: {why}, so several cannot begin at one point in time"));
    Ok(None)
}

#[async_trait]
impl Session for SqliteSession {
    fn snapshot(&self) -> Snapshot {
        Snapshot::Private
    }

    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        let mut sources = self.sources.lock();
        let make = || Arc::new(SqliteSource::new(Arc::clone(&self.pool), object.clone()));
        let source: Arc<SqliteSource> = Arc::clone(sources.entry(object.clone()).or_insert_with(make));
        Ok(source)
    }

    async fn check(&self) -> Result<()> {
        self.pool.readers.check().map_err(|error| self.pool.place(error))
    }

    async fn close(&self) -> Result<()> {
        self.pool.readers.release().await;
        Ok(())
    }
}
