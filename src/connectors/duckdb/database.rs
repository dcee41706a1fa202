//! The open databases of this process: one for each file, whoever reads or writes it.
//!
//! DuckDB keeps other processes off a file by a lock that belongs to the process: a second instance within it would not be
//! seen and would destroy the file. So all connections to one file share one instance, which is closed with the last of
//! them; who comes while it closes waits. Nobody else can write meanwhile.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use parking_lot::{Mutex, MutexGuard};

use super::catalog::Name;
use super::config::Config;
use super::error::failed;
use super::memory::{Memory, Share};
use crate::bridge::adbc::{self, Fill, Interrupt, Library, Place, Rows};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::file;
use crate::sql::located::Located as _;

static OPEN: LazyLock<Mutex<HashMap<PathBuf, Weak<Database>>>> = LazyLock::new(Mutex::default);

/// How long to wait before a file is tried again.
const PAUSE: Duration = Duration::from_millis(10);
/// The first version whose Arrow types are those that `decode` knows.
const LEAST_VERSION: (u32, u32) = (1, 2);

/// What a database is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Others may read, too.
    Read,
    /// For this process alone; the file is there.
    Write,
    /// The same; the file is made where it is missing.
    Create,
}

/// The one instance of a file in this process.
#[derive(Debug)]
pub(super) struct Database {
    /// None only while it closes.
    instance: Option<adbc::Database>,
    path: PathBuf,
    writable: bool,
    memory: Memory,
    /// Held while something is committed, and while readers begin at one point in time.
    commits: Mutex<()>,
}

impl Drop for Database {
    fn drop(&mut self) {
        let mut open = OPEN.lock();
        self.instance = None;
        open.remove(&self.path);
    }
}

impl Database {
    /// The database of `config`: the open one, else it is opened.
    pub(super) fn open(config: &Config, access: Access) -> Result<Arc<Self>> {
        Self::try_open(config, access).map_err(|error| config.placed(error))
    }

    fn try_open(config: &Config, access: Access) -> Result<Arc<Self>> {
        look_at_file(&config.path, access)?;
        let path = resolved(&config.path)?;
        let deadline = Instant::now() + config.busy_timeout;
        loop {
            let error = match Self::once(config, &path, access)? {
                Ok(database) => return Ok(database),
                Err(error) => error,
            };
            if Instant::now() >= deadline {
                return Err(error);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// One try; the inner error is one that may pass.
    fn once(config: &Config, path: &Path, access: Access) -> Result<Result<Arc<Self>>> {
        let mut all = OPEN.lock();
        if let Some(known) = all.get(path) {
            let known = known.upgrade();
            drop(all);
            let busy = |message: &str| Error::new(ErrorKind::Transient, message);
            return Ok(match known {
                Some(known) if access == Access::Read || known.writable => Ok(known),
                Some(_) => Err(busy("the database file is being read by this process and cannot be written meanwhile")),
                None => Err(busy("the database file is being closed")),
            });
        }
        let writable = access != Access::Read;
        let opened = instance(config, path, writable);
        match opened {
            Ok(instance) => {
                let database = Arc::new(Self {
                    instance: Some(instance),
                    path: path.to_owned(),
                    writable,
                    memory: Memory::new(config.memory_limit_bytes),
                    commits: Mutex::default(),
                });
                all.insert(path.to_owned(), Arc::downgrade(&database));
                Ok(Ok(database))
            }
            Err(error) if error.kind() == ErrorKind::Transient => Ok(Err(error)),
            Err(error) => Err(error),
        }
    }

    /// Whether this process alone has the file.
    pub(super) fn is_writable(&self) -> bool {
        self.writable
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Keeps commits of this process out until it is dropped.
    pub(super) fn hold_commits(&self) -> MutexGuard<'_, ()> {
        self.commits.lock()
    }

    /// A new connection.
    pub(super) fn connect(self: &Arc<Self>) -> Result<Connection> {
        let mut connection = Connection { connection: self.bare()?, memory: Share::whole(self) };
        // Types as they are, and instants in UTC.
        connection.execute("SET arrow_lossless_conversion = true; SET TimeZone = 'UTC'")?;
        Ok(connection)
    }

    /// Tells DuckDB how much it may hold in memory.
    pub(super) fn limit_memory(&self, bytes: u64) -> Result<()> {
        self.bare()?.execute(&format!("SET memory_limit = '{bytes}B'")).map_err(failed)
    }

    fn bare(&self) -> Result<adbc::Connection> {
        self.instance.as_ref().expect("it is open until it is dropped").connect().map_err(failed)
    }
}

fn instance(config: &Config, path: &Path, writable: bool) -> Result<adbc::Database> {
    let driver = Library::DUCKDB.driver()?;
    let (file, was_there) = (path, path.exists());
    let path = path.to_str().ok_or_else(|| Error::new(ErrorKind::Unsupported, "the path is not UTF-8"))?;
    let access = if writable { "READ_WRITE" } else { "READ_ONLY" };
    // Each of our readers and writers brings a thread of its own. Threads of the engine beside them take a third more processor
    // time for the same rows.
    let memory_limit = format!("{}B", config.memory_limit_bytes);
    let limits = [("threads", "1"), ("memory_limit", memory_limit.as_str())];
    let options = [[("path", path), ("access_mode", access)], limits].concat();
    let instance = driver.open(&options).map_err(failed)?;
    let mut connection = instance.connect().map_err(failed)?;
    let version = text(&mut connection, "SELECT library_version FROM pragma_version()")?;
    if !is_known(&version) {
        drop((connection, instance));
        if !was_there {
            // It was made just now, and nothing is in it.
            let _ = std::fs::remove_file(file);
        }
        let (major, minor) = LEAST_VERSION;
        let message = format!("this library is DuckDB {version}, and {major}.{minor} is the first that is understood");
        return Err(Error::new(ErrorKind::Unsupported, message).with_hint(Library::DUCKDB.advice));
    }
    // Each group of rows is written when it is whole, while others are filled: else that is left to the commits, which wait for
    // each other, and takes more memory. Versions that gather no groups do not know the setting.
    let _ = connection.execute("SET write_buffer_row_group_count = 1");
    Ok(instance)
}

fn is_known(version: &str) -> bool {
    let mut parts = version.trim_start_matches('v').split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= LEAST_VERSION
}

fn text(connection: &mut adbc::Connection, sql: &str) -> Result<String> {
    let rows = connection.query(sql).map_err(failed)?;
    let batches = rows.collect::<Result<Vec<RecordBatch>, _>>().map_err(failed)?;
    let column = batches.first().and_then(|batch| batch.columns().first()?.as_string_opt::<i32>());
    Ok(column.filter(|column| !column.is_empty()).map(|column| column.value(0).to_owned()).unwrap_or_default())
}

/// Says what is wrong with the path.
pub(super) fn look_at_file(path: &Path, access: Access) -> Result<()> {
    match file::check(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && access == Access::Create => file::check_folder(path),
        checked => checked,
    }
}

/// The one name of a file, which may be missing.
fn resolved(path: &Path) -> Result<PathBuf> {
    if let Ok(whole) = path.canonicalize() {
        return Ok(whole);
    }
    let name = path.file_name().ok_or_else(|| Error::new(ErrorKind::Usage, "the path names no file"))?;
    Ok(file::folder(path).canonicalize()?.join(name))
}

/// A connection, with its database.
#[derive(Debug)]
pub(super) struct Connection {
    // Dropped in this order: the database, which the share holds, closes with its last connection.
    connection: adbc::Connection,
    memory: Share,
}

impl Connection {
    /// One more to the same database.
    pub(super) fn another(&self) -> Result<Self> {
        self.database().connect()
    }

    /// Needs no more memory than `bytes` from now on; at first it is all that the options allow.
    pub(super) fn needs(&mut self, bytes: u64) {
        self.memory.resize(bytes);
    }

    /// Needs all that the options allow.
    pub(super) fn needs_all(&mut self) {
        self.memory.resize(u64::MAX);
    }

    /// Whether it needs all that the options allow.
    pub(super) fn has_all(&self) -> bool {
        self.memory.is_whole()
    }

    /// Begins to read at one point in time.
    pub(super) fn begin_reading(&mut self) -> Result<()> {
        self.execute("BEGIN TRANSACTION READ ONLY")?;
        // The first look at the file fixes it.
        self.number("SELECT count(*) FROM duckdb_tables()").map(drop)
    }

    /// Begins to read once more, with all memory, where a statement had too little: its transaction takes no other. In a file that is
    /// open to be read it is the same point in time.
    pub(super) fn read_anew_with_all(&mut self) -> Result<()> {
        self.needs_all();
        // Where there is none any more, that is as well.
        let _ = self.execute("ROLLBACK");
        self.begin_reading()
    }

    pub(super) fn interrupt(&self) -> Interrupt {
        self.connection.interrupt()
    }

    pub(super) fn database(&self) -> &Arc<Database> {
        self.memory.database()
    }

    pub(super) fn execute(&mut self, sql: &str) -> Result<()> {
        self.connection.execute(sql).map_err(failed)
    }

    pub(super) fn query(&mut self, sql: &str) -> Result<Rows> {
        self.connection.query(sql).map_err(failed)
    }

    /// Adds all rows of `batches`, which have the columns `schema`, to `table` by one statement.
    pub(super) fn fill(&mut self, table: &Name, (schema, batches): (SchemaRef, Vec<RecordBatch>)) -> Result<()> {
        let place = Place { catalog: None, schema: Some(&table.schema), table: &table.table };
        self.connection.fill(&place, Fill::Append, (schema, batches)).map_err(failed)
    }

    /// The rows of `sql`, all of whose columns are texts.
    pub(super) fn texts(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let mut all = Vec::new();
        for batch in self.query(sql)? {
            let batch = batch.map_err(failed)?;
            let columns =
                batch.columns().iter().map(|column| column.as_string_opt::<i32>()).collect::<Option<Vec<_>>>();
            let columns = columns.ok_or_else(|| Error::new(ErrorKind::Internal, "a text was asked for"))?;
            let value = |row: usize| {
                let of =
                    |column: &&arrow::array::StringArray| column.is_valid(row).then(|| column.value(row).to_owned());
                columns.iter().map(of).collect()
            };
            all.extend((0..batch.num_rows()).map(value));
        }
        Ok(all)
    }

    /// The first value of `sql`, a BIGINT; of a statement that changes rows their number.
    pub(super) fn number(&mut self, sql: &str) -> Result<Option<i64>> {
        let mut first = None;
        for batch in self.query(sql)? {
            let batch = batch.map_err(failed)?;
            if let Some(column) = batch.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>())
                && first.is_none()
                && !column.is_empty()
                && column.is_valid(0)
            {
                first = Some(column.value(0));
            }
        }
        Ok(first)
    }

    /// How many rows `sql` changes.
    pub(super) fn count(&mut self, sql: &str) -> Result<u64> {
        Ok(self.number(sql)?.map_or(0, i64::unsigned_abs))
    }

    /// Lets `work` have all processors, while nobody else uses the database: merging, building a key, writing the file out.
    pub(super) fn with_all_threads<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.execute(&format!("SET threads = {threads}"))?;
        let worked = work(self);
        // Where it fails, what comes next is only slower.
        let _ = self.execute("SET threads = 1");
        worked
    }

    /// Runs `work` in a transaction, which is rolled back where it fails. No other commit of this process comes between.
    pub(super) fn transaction<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let database = Arc::clone(self.database());
        let _held = database.hold_commits();
        self.execute("BEGIN TRANSACTION")?;
        let done = work(self).and_then(|value| self.execute("COMMIT").map(|()| value));
        if done.is_err() {
            // A COMMIT that failed has ended the transaction already.
            let _ = self.execute("ROLLBACK");
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_that_are_too_old() {
        for version in ["v1.2.0", "1.5.6", "v2.0.0-dev1"] {
            assert!(is_known(version), "{version}");
        }
        for version in ["v1.1.3", "v0.10.2", "unknown", ""] {
            assert!(!is_known(version), "{version}");
        }
    }
}
