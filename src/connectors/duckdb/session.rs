//! The readers of one database file at one point in time.
//!
//! Nobody else can write while this process has the file open, and a commit of its own is kept out until all readers have
//! begun their transactions: so they see the same. A file that this job alone reads is opened to read, which others may do,
//! too; where an endpoint of the same file could be written as well, this process takes it for itself.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Weak};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::config::Config;
use super::database::{Access, Connection, Database};
use super::read::DuckdbSource;
use crate::bridge::readers::Readers;
use crate::endpoint::{ObjectRef, OpenRequest, Session, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::source::Source;
use crate::sql::located::Located as _;

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
        let mut all = INTENTS.lock();
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
#[derive(Debug)]
pub(super) struct Pool {
    config: Config,
    pub(super) readers: Arc<Readers<Connection>>,
    /// How it was opened, one sentence each, for plans.
    pub(super) notes: Vec<String>,
}

impl Pool {
    pub(super) fn place(&self, error: Error) -> Error {
        self.config.placed(error)
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
            return Err(config.placed(Error::new(ErrorKind::Unsupported, message)));
        }
        let count = request.readers.max(request.objects.len()).clamp(1, MOST_READERS);
        let access = if intent.is_shared() { Access::Write } else { Access::Read };
        let opened = config.asked("open", move |config| open_readers(config, access, count)).await?;
        let readers = Readers::start("duckdb-read", opened.readers, |connection| {
            let handle = connection.interrupt();
            Box::new(move || handle.interrupt())
        })?;
        let pool = Pool { config: config.clone(), readers, notes: opened.notes };
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
        connection.begin_reading()?;
        // Until it is asked to read.
        connection.needs(0);
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
        let mut sources = self.sources.lock();
        let make = || Arc::new(DuckdbSource::new(Arc::clone(&self.pool), object.clone()));
        let source: Arc<DuckdbSource> = Arc::clone(sources.entry(object.clone()).or_insert_with(make));
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
