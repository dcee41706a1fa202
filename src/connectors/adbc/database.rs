//! The open databases of this process: one for each set of options, whoever reads or writes it.
//!
//! A driver such as DuckDB's must not open one file twice in a process. So all connections with the same options share one
//! instance, which is closed with the last of them; who comes while it closes waits.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

use super::config::Config;
use super::error::failed;
use crate::bridge::adbc::{self, Failure, Fill, Interrupt, Place, Rows};
use crate::error::Result;

/// A driver, and its options in their order.
type Key = (String, Vec<(String, String)>);

static OPEN: LazyLock<Mutex<HashMap<Key, Weak<Database>>>> = LazyLock::new(Mutex::default);

/// How long to wait before one that closes is looked for again.
const PAUSE: Duration = Duration::from_millis(10);

/// The one instance of a database in this process.
pub(super) struct Database {
    /// None only while it closes.
    instance: Option<adbc::Database>,
    key: Key,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key holds passwords.
        f.debug_struct("Database").field("driver", &self.key.0).finish_non_exhaustive()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let mut open = OPEN.lock();
        self.instance = None;
        open.remove(&self.key);
    }
}

impl Database {
    /// The database of `config`: the open one, else it is opened.
    pub(super) fn open(config: &Config) -> Result<Arc<Self>> {
        let options: Vec<(&str, &str)> =
            config.options.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
        let owned = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let key: Key = (config.driver.clone(), owned.collect());
        loop {
            let mut all = OPEN.lock();
            let known = all.get(&key).map(Weak::upgrade);
            match known {
                Some(Some(known)) => return Ok(known),
                Some(None) => {
                    drop(all);
                    std::thread::sleep(PAUSE);
                }
                None => {
                    let driver = config.library.driver()?;
                    let instance = driver.open(&options).map_err(|failure| failed(config, &failure))?;
                    let database = Arc::new(Self { instance: Some(instance), key: key.clone() });
                    all.insert(key, Arc::downgrade(&database));
                    return Ok(database);
                }
            }
        }
    }

    /// A new connection.
    pub(super) fn connect(self: &Arc<Self>, config: &Config) -> Result<Connection> {
        let instance = self.instance.as_ref().expect("it is open until it is dropped");
        let raw = instance.connect().map_err(|failure| failed(config, &failure))?;
        Ok(Connection { raw, config: config.clone(), _database: Arc::clone(self) })
    }
}

/// A connection, with its database.
#[derive(Debug)]
pub(super) struct Connection {
    // Dropped in this order: the database closes with its last connection.
    raw: adbc::Connection,
    config: Config,
    _database: Arc<Database>,
}

impl Connection {
    /// The first connection to the database of `config`, or another one.
    pub(super) fn open(config: &Config) -> Result<Self> {
        Database::open(config)?.connect(config)
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn interrupt(&self) -> Interrupt {
        self.raw.interrupt()
    }

    pub(super) fn execute(&mut self, sql: &str) -> Result<()> {
        let done = self.raw.execute(sql);
        self.told(done)
    }

    pub(super) fn query(&mut self, sql: &str) -> Result<Rows> {
        let rows = self.raw.query(sql);
        self.told(rows)
    }

    /// All batches of `sql`, which gives few.
    pub(super) fn batches(&mut self, sql: &str) -> Result<Vec<RecordBatch>> {
        let batches = self.query(sql)?.collect::<Result<Vec<_>, _>>();
        self.told(batches)
    }

    pub(super) fn columns(&mut self, sql: &str) -> Result<SchemaRef> {
        let columns = self.raw.columns(sql);
        self.told(columns)
    }

    pub(super) fn fill(
        &mut self,
        place: &Place<'_>,
        fill: Fill,
        (schema, batches): (SchemaRef, Vec<RecordBatch>),
    ) -> Result<()> {
        let done = self.raw.fill(place, fill, (schema, batches));
        self.told(done)
    }

    /// Begins a transaction; when it ends the next one begins.
    pub(super) fn begin(&mut self) -> Result<()> {
        let done = self.raw.begin();
        self.told(done)
    }

    pub(super) fn commit(&mut self) -> Result<()> {
        let done = self.raw.commit();
        self.told(done)
    }

    pub(super) fn rollback(&mut self) -> Result<()> {
        let done = self.raw.rollback();
        self.told(done)
    }

    pub(super) fn info(&mut self) -> Result<Vec<RecordBatch>> {
        let info = self.raw.info();
        self.told(info)
    }

    pub(super) fn tables(&mut self) -> Result<Vec<RecordBatch>> {
        let tables = self.raw.tables();
        self.told(tables)
    }

    fn told<T>(&self, outcome: Result<T, Failure>) -> Result<T> {
        outcome.map_err(|failure| failed(&self.config, &failure))
    }
}
