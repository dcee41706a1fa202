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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rusqlite::{Connection, InterruptHandle};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::Config;
use super::error::failed;
use super::read::SqliteSource;
use crate::bridge::blocking::{self, Ended, Worker};
use crate::endpoint::{ObjectRef, OpenRequest, Session, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::source::Source;

/// Smaller files are read faster by one reader than several can be opened.
const SMALL_FILE_BYTES: u64 = 8 << 20;
/// More readers than this only wait for each other.
const MOST_READERS: usize = 64;

/// The readers of one session.
pub(super) struct Pool {
    config: Config,
    idle: Mutex<Vec<Reader>>,
    free: Arc<Semaphore>,
    readers: usize,
    /// How it was opened, one sentence each, for plans.
    pub(super) notes: Vec<String>,
    /// Whether text is stored as UTF-8, so that its byte order is Arrow's.
    pub(super) is_utf8: bool,
}

/// A connection in its transaction, on its thread.
struct Reader {
    worker: Worker<Connection>,
    interrupt: InterruptHandle,
}

/// One reader, given back when dropped. A statement that still runs then is stopped.
pub(super) struct Lease {
    pool: Arc<Pool>,
    reader: Option<Reader>,
    _permit: OwnedSemaphorePermit,
}

struct Opened {
    readers: Vec<Connection>,
    notes: Vec<String>,
    is_utf8: bool,
}

impl Pool {
    pub(super) fn readers(&self) -> usize {
        self.readers
    }

    pub(super) fn place(&self, error: Error) -> Error {
        self.config.place(error)
    }

    /// A reader, once one is free.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease> {
        let closed = || Error::new(ErrorKind::Internal, "the point in time of this database was given up already");
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(|_| closed())?;
        let reader = self.idle().pop().ok_or_else(closed)?;
        Ok(Lease { pool: Arc::clone(self), reader: Some(reader), _permit: permit })
    }

    /// Ends the transactions of all readers that are idle, and gives no reader out any more. When it returns, their
    /// locks are gone.
    async fn release(&self) {
        self.free.close();
        let readers = std::mem::take(&mut *self.idle());
        let ending: Vec<(Ended, InterruptHandle)> = readers.into_iter().map(Reader::end).collect();
        for (ended, interrupt) in ending {
            blocking::insist(ended.wait(), || interrupt.interrupt()).await;
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("config", &self.config).field("readers", &self.readers).finish_non_exhaustive()
    }
}

impl Reader {
    fn start(connection: Connection) -> Result<Self> {
        let interrupt = connection.get_interrupt_handle();
        Ok(Self { worker: Worker::start("sqlite-read", connection)?, interrupt })
    }

    /// Ends the thread, and with it the transaction, once nothing runs on it; says when it has.
    fn end(self) -> (Ended, InterruptHandle) {
        (self.worker.ended(), self.interrupt)
    }
}

impl Lease {
    pub(super) fn worker(&self) -> &Worker<Connection> {
        &self.reader.as_ref().expect("a lease holds its reader until it is dropped").worker
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(reader) = self.reader.take() else { return };
        // Nobody wants what it may still be computing. With nothing under way this does nothing.
        reader.interrupt.interrupt();
        let mut idle = self.pool.idle();
        // Asked under the lock: a session that closes now either finds the reader or is seen to be closed.
        if !self.pool.free.is_closed() {
            idle.push(reader);
        }
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
            return Err(config.place(Error::new(ErrorKind::Unsupported, message)));
        }
        let wanted = request.readers.max(request.objects.len()).clamp(1, MOST_READERS);
        let needed = request.objects.len().clamp(1, MOST_READERS);
        let settings = config.clone();
        let opened = blocking::run("sqlite-open", move || {
            open_readers(&settings, wanted, needed).map_err(|error| placed(&settings, error))
        })
        .await?;
        let readers = opened.readers.into_iter().map(Reader::start).collect::<Result<Vec<_>>>()?;
        let pool = Pool {
            config: config.clone(),
            free: Arc::new(Semaphore::new(readers.len())),
            readers: readers.len(),
            idle: Mutex::new(readers),
            notes: opened.notes,
            is_utf8: opened.is_utf8,
        };
        Ok(Self { pool: Arc::new(pool), sources: Mutex::default() })
    }
}

/// `error` with its database, unless it names it already.
pub(super) fn placed(config: &Config, error: Error) -> Error {
    let named = error.frames().iter().any(|frame| frame.what == "database");
    if named { error } else { config.place(error) }
}

/// Opens `wanted` readers at one point in time, or fewer where that is better, but no less than `needed`.
fn open_readers(config: &Config, wanted: usize, needed: usize) -> Result<Opened> {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let wal = PathBuf::from(format!("{}-wal", config.path.display()));
    let count = if size(&config.path) + size(&wal) < SMALL_FILE_BYTES { needed } else { wanted };
    let mut notes = Vec::new();
    let guard = if count > 1 { guard(config, &mut notes)? } else { None };
    let count = if guard.is_some() { count } else { 1 };
    let readers = (0..count).map(|_| reader(config)).collect::<Result<Vec<_>>>()?;
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

fn reader(config: &Config) -> Result<Connection> {
    let connection = config.open_to_read()?;
    // The first read takes the lock and fixes the point in time.
    connection
        .execute_batch("BEGIN; SELECT 1 FROM main.sqlite_schema LIMIT 1")
        .map_err(|error| unreadable(config, failed(error)))?;
    Ok(connection)
}

fn unreadable(config: &Config, error: Error) -> Error {
    let folder_matters = matches!(error.kind(), ErrorKind::Permission);
    let hint = "a database in WAL mode needs a folder that can be written: copy the file elsewhere, with its -wal file";
    config.place(if folder_matters { error.with_hint(hint) } else { error })
}

#[async_trait]
impl Session for SqliteSession {
    fn snapshot(&self) -> Snapshot {
        Snapshot::Private
    }

    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(SqliteSource::new(Arc::clone(&self.pool), object.clone()));
        let source: Arc<SqliteSource> = Arc::clone(sources.entry(object.clone()).or_insert_with(make));
        Ok(source)
    }

    async fn check(&self) -> Result<()> {
        // The transactions live in this process: nobody else can end them.
        if self.pool.free.is_closed() {
            let error = Error::new(ErrorKind::Internal, "the point in time of this database was given up");
            return Err(self.pool.place(error));
        }
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        self.pool.release().await;
        Ok(())
    }
}
