//! The readers of one database file at one point in time.
//!
//! Nobody else can write while this process has the file open, and a commit of its own is kept out until all readers have
//! begun their transactions: so they see the same. A file that this job alone reads is opened to read, which others may do,
//! too; where an endpoint of the same file could be written as well, this process takes it for itself.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::Config;
use super::database::{Access, Connection, Database};
use super::read::DuckdbSource;
use crate::bridge::adbc::Interrupt;
use crate::bridge::blocking::{self, Ended, Worker};
use crate::endpoint::{ObjectRef, OpenRequest, Session, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::source::Source;

/// More readers than this only wait for each other.
const MOST_READERS: usize = 64;

static INTENTS: LazyLock<Mutex<HashMap<PathBuf, Weak<()>>>> = LazyLock::new(Mutex::default);

/// Stands for one endpoint of a file, as long as it lives.
#[derive(Clone, Debug)]
pub(super) struct Intent(Arc<()>);

impl Intent {
    /// That of an endpoint of `path`.
    pub(super) fn of(path: &Path) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut all = INTENTS.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, intent| intent.strong_count() > 0);
        let intent = all.get(&path).and_then(Weak::upgrade).unwrap_or_default();
        all.insert(path, Arc::downgrade(&intent));
        Self(intent)
    }

    /// Whether another endpoint of the same file is there, which may be written.
    fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// The readers of one session.
pub(super) struct Pool {
    config: Config,
    idle: Mutex<Vec<Reader>>,
    free: Arc<Semaphore>,
    readers: usize,
    /// How it was opened, one sentence each, for plans.
    pub(super) notes: Vec<String>,
}

/// A connection in its transaction, on its thread.
struct Reader {
    worker: Worker<Connection>,
    interrupt: Interrupt,
}

/// One reader, given back when dropped. A statement that still runs then is stopped.
pub(super) struct Lease {
    pool: Arc<Pool>,
    reader: Option<Reader>,
    _permit: OwnedSemaphorePermit,
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
    /// connections are gone.
    async fn release(&self) {
        self.free.close();
        let readers = std::mem::take(&mut *self.idle());
        let ending: Vec<(Ended, Interrupt)> =
            readers.into_iter().map(|reader| (reader.worker.ended(), reader.interrupt)).collect();
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
pub(super) struct DuckdbSession {
    pool: Arc<Pool>,
    snapshot: Snapshot,
    sources: Mutex<HashMap<ObjectRef, Arc<DuckdbSource>>>,
}

struct Opened {
    readers: Vec<Connection>,
    notes: Vec<String>,
    snapshot: Snapshot,
}

impl DuckdbSession {
    pub(super) async fn open(config: &Config, intent: &Intent, request: &OpenRequest) -> Result<Self> {
        if request.join.is_some() {
            let message = "a point in time of DuckDB cannot be joined by its id";
            return Err(config.place(Error::new(ErrorKind::Unsupported, message)));
        }
        let count = request.readers.max(request.objects.len()).clamp(1, MOST_READERS);
        let (settings, shared) = (config.clone(), intent.is_shared());
        let opened = blocking::run("duckdb-open", move || {
            open_readers(&settings, if shared { Access::Write } else { Access::Read }, count)
                .map_err(|error| settings.place(error))
        })
        .await?;
        let reader = |connection: Connection| -> Result<Reader> {
            let interrupt = connection.interrupt();
            Ok(Reader { worker: Worker::start("duckdb-read", connection)?, interrupt })
        };
        let readers = opened.readers.into_iter().map(reader).collect::<Result<Vec<_>>>()?;
        let pool = Pool {
            config: config.clone(),
            free: Arc::new(Semaphore::new(readers.len())),
            readers: readers.len(),
            idle: Mutex::new(readers),
            notes: opened.notes,
        };
        Ok(Self { pool: Arc::new(pool), snapshot: opened.snapshot, sources: Mutex::default() })
    }
}

/// Opens `count` readers whose transactions see the same.
fn open_readers(config: &Config, access: Access, count: usize) -> Result<Opened> {
    // A file that cannot be written, or that others read, can still be read.
    let database = match Database::open(config, access) {
        Err(error) if access == Access::Write && error.kind() != ErrorKind::NotFound => {
            Database::open(config, Access::Read).map_err(|_| error)?
        }
        opened => opened?,
    };
    let _held = database.hold_commits();
    let reader = |_| -> Result<Connection> {
        let mut connection = database.connect()?;
        // The first look at the file fixes the point in time.
        connection.execute("BEGIN TRANSACTION READ ONLY")?;
        connection.number("SELECT count(*) FROM duckdb_tables()")?;
        Ok(connection)
    };
    let readers = (0..count).map(reader).collect::<Result<Vec<_>>>()?;
    let (note, snapshot) = if database.is_writable() {
        ("one point in time: until all is read no other program can open the file", Snapshot::Private)
    } else {
        (
            "one point in time: until all is read other programs can read the file and none can write it",
            lasting(config)?,
        )
    };
    Ok(Opened { readers, notes: vec![note.to_owned()], snapshot })
}

/// The state of a file that nobody writes: it is the same as long as this text is.
fn lasting(config: &Config) -> Result<Snapshot> {
    let part = |path: &Path| -> Result<String> {
        let Ok(metadata) = std::fs::metadata(path) else { return Ok("none".to_owned()) };
        let modified = metadata.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Ok(format!("{} bytes of {}.{:09}", metadata.len(), modified.as_secs(), modified.subsec_nanos()))
    };
    let path = config.path.canonicalize()?;
    let log = PathBuf::from(format!("{}.wal", path.display()));
    Ok(Snapshot::Lasting(format!("{}: {}, log {}", path.display(), part(&path)?, part(&log)?)))
}

#[async_trait]
impl Session for DuckdbSession {
    fn snapshot(&self) -> Snapshot {
        self.snapshot.clone()
    }

    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(DuckdbSource::new(Arc::clone(&self.pool), object.clone()));
        let source: Arc<DuckdbSource> = Arc::clone(sources.entry(object.clone()).or_insert_with(make));
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
