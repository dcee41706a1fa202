//! A connector whose tables live in memory: a source of given batches and splits, a sink that stages and commits
//! by receipts. It counts what it was asked for, so that tests see how an engine treats a connector.

mod merge;
mod read;
mod write;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use glob::Pattern;
use parking_lot::Mutex;
use serde_json::Value as Json;

use crate::attempt::Token;
use crate::connector::{Connector, OptionDoc, option};
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, StepToken};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Agreement, Merged, Sink};

/// A set of tables in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Store>>);

/// One table.
#[derive(Clone, Debug)]
pub struct Table {
    /// The columns.
    pub schema: SchemaRef,
    /// The columns of the key.
    pub key: Vec<String>,
    /// All rows.
    pub rows: RecordBatch,
    /// Into how many splits it is cut.
    pub splits: usize,
}

/// What was asked of the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions opened.
    pub sessions: usize,
    /// Sessions closed or dropped.
    pub closed: usize,
    /// Splits read.
    pub reads: usize,
    /// Splits that are being read.
    pub open_reads: usize,
    /// The most of them at once.
    pub peak_reads: usize,
    /// Writers opened.
    pub writers: usize,
    /// Writers that are open.
    pub open_writers: usize,
    /// The most of them at once.
    pub peak_writers: usize,
    /// Commits that changed something.
    pub commits: usize,
    /// Aborts called.
    pub aborts: usize,
}

#[derive(Debug, Default)]
struct Store {
    tables: BTreeMap<String, Table>,
    /// Batches flushed and not committed, by token and attempt.
    staged: HashMap<(Token, String), Vec<RecordBatch>>,
    committed: HashSet<Token>,
    merged: HashMap<Token, Merged>,
    /// Of incremental copies, by stream.
    positions: HashMap<String, String>,
    counts: Counts,
    readers: Option<usize>,
}

/// The stores that were asked for by name.
static NAMED: LazyLock<Mutex<HashMap<String, Memory>>> = LazyLock::new(Mutex::default);

impl Memory {
    /// An empty set of tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// The set of tables that this process knows as `name`, made at the first call: what `memory:NAME` means.
    pub fn named(name: &str) -> Self {
        let mut named = NAMED.lock();
        named.entry(name.to_owned()).or_default().clone()
    }

    /// Adds the table `name` of `rows`, read in `splits` splits.
    pub fn insert(&self, name: &str, rows: RecordBatch, splits: usize) {
        let table = Table { schema: rows.schema(), key: Vec::new(), rows, splits };
        self.store(|store| store.tables.insert(name.to_owned(), table));
    }

    /// From now on sessions have no more than `readers` readers: a read beyond them is refused.
    pub fn limit_readers(&self, readers: usize) {
        self.store(|store| store.readers = Some(readers));
    }

    /// The table `name` as a reader sees it now.
    pub fn table(&self, name: &str) -> Option<Table> {
        self.store(|store| store.tables.get(name).cloned())
    }

    /// What was asked so far.
    pub fn counts(&self) -> Counts {
        self.store(|store| store.counts)
    }

    /// How many attempts have staged rows that are neither committed nor swept.
    pub fn staged(&self) -> usize {
        self.store(|store| store.staged.len())
    }

    /// The endpoint of these tables.
    pub fn endpoint(&self) -> Arc<dyn Endpoint> {
        Arc::new(self.clone())
    }

    fn store<T>(&self, use_it: impl FnOnce(&mut Store) -> T) -> T {
        use_it(&mut self.0.lock())
    }
}

impl Table {
    /// An empty table of `schema`.
    fn empty(schema: SchemaRef) -> Self {
        Self { rows: RecordBatch::new_empty(Arc::clone(&schema)), schema, key: Vec::new(), splits: 3 }
    }

    fn add(&mut self, batches: &[RecordBatch]) -> Result<()> {
        self.rows = concat_batches(&self.schema, std::iter::once(&self.rows).chain(batches))?;
        Ok(())
    }
}

/// `memory:NAME` as a connector; its tables are those of [`Memory::named`].
#[derive(Debug)]
pub struct MemoryConnector;

impl Connector for MemoryConnector {
    fn name(&self) -> &'static str {
        "memory"
    }
    fn summary(&self) -> &'static str {
        "tables in the memory of this process, for tests"
    }
    fn page(&self) -> &'static str {
        "Tables in the memory of this process, for tests: no user meets them.\n"
    }
    fn options(&self) -> &'static [OptionDoc] {
        const OPTIONS: &[OptionDoc] = &[option("url", "string", "", "memory:NAME").required()];
        OPTIONS
    }
    fn endpoint(&self, options: &Json) -> Result<Arc<dyn Endpoint>> {
        let url = options.get("url").and_then(Json::as_str).and_then(|url| url.strip_prefix("memory:"));
        url.map(|name| Memory::named(name).endpoint())
            .ok_or_else(|| Error::new(ErrorKind::Usage, "a set of tables in memory is named memory:NAME"))
    }
}

#[async_trait]
impl Endpoint for Memory {
    fn label(&self) -> String {
        "memory:".to_owned()
    }

    async fn list(&self, pattern: &str) -> Result<Vec<ObjectRef>> {
        let pattern = Pattern::new(pattern)
            .map_err(|source| Error::new(ErrorKind::Usage, "this pattern is malformed").with_source(source))?;
        let names: Vec<String> = self.store(|store| store.tables.keys().cloned().collect());
        Ok(names.into_iter().filter(|name| pattern.matches(name)).map(ObjectRef::Table).collect())
    }

    async fn ping(&self) -> Result<Ping> {
        Ok(Ping { server: "memory".to_owned(), facts: Vec::new(), missing: Vec::new() })
    }

    async fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Session>> {
        let tables = request.objects.iter().map(|object| {
            let name = name_of(object)?;
            let table = self.table(name).ok_or_else(|| missing(name))?;
            Ok((name.to_owned(), table))
        });
        let tables = tables.collect::<Result<_>>()?;
        self.store(|store| store.counts.sessions += 1);
        Ok(Arc::new(read::MemorySession { memory: self.clone(), tables }))
    }

    async fn execute(&self, _step: &StepToken, _sql: &str) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "memory: runs no SQL"))
    }

    async fn finish(&self, _transfers: &[Agreement]) -> Result<()> {
        Ok(())
    }

    fn sink(&self, object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(write::MemorySink { memory: self.clone(), name: name_of(object)?.to_owned() }))
    }
}

fn name_of(object: &ObjectRef) -> Result<&str> {
    match object {
        ObjectRef::Table(name) => Ok(name),
        ObjectRef::Whole | ObjectRef::Query(_) => {
            Err(Error::new(ErrorKind::Usage, "memory: knows tables by their names alone"))
        }
    }
}

fn missing(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, "there is no such table").at("object", name)
}

/// Keeps the count of what is open right.
#[derive(Debug)]
enum Open {
    Read(Memory),
    Writer(Memory),
}

impl Open {
    fn read(memory: &Memory) -> Result<Self> {
        memory.store(|Store { counts, readers, .. }| {
            if readers.is_some_and(|readers| counts.open_reads >= readers) {
                return Err(Error::new(
                    ErrorKind::Internal,
                    "more splits are read at once than the session has readers",
                ));
            }
            counts.reads += 1;
            counts.open_reads += 1;
            counts.peak_reads = counts.peak_reads.max(counts.open_reads);
            Ok(())
        })?;
        Ok(Self::Read(memory.clone()))
    }

    fn writer(memory: &Memory) -> Self {
        memory.store(|Store { counts, .. }| {
            counts.writers += 1;
            counts.open_writers += 1;
            counts.peak_writers = counts.peak_writers.max(counts.open_writers);
        });
        Self::Writer(memory.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        match self {
            Self::Read(memory) => memory.store(|store| store.counts.open_reads -= 1),
            Self::Writer(memory) => memory.store(|store| store.counts.open_writers -= 1),
        }
    }
}
