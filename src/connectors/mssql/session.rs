//! The open point in time: connections whose transactions all see the same, and who reads on which of them.
//!
//! ```text
//! locker        BEGIN · SELECT TOP (1) … WITH (TABLOCK, HOLDLOCK) of each table ···························· ROLLBACK
//! every reader                    SNAPSHOT · BEGIN · SELECT TOP (1) … of a table, which fixes what it sees · SELECT · …
//! ```
//! While the tables are locked against writers no transaction on them is open, so all snapshots that begin then are one. Where the
//! database allows none, or the lock is not to be had, one connection reads all.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::catalog::{self, Table};
use super::config::Config;
use super::connect::{Connection, connect, number};
use super::errors::{self, number_of};
use super::name::Name;
use super::read::{MsSource, What};
use crate::bridge::pinned::{Pinned, Taken};
use crate::endpoint::{ObjectRef, OpenRequest, Session, Snapshot};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::source::Source;

/// More readers than this only wait for each other.
const MOST_READERS: usize = 32;
/// Longest wait for the lock on a table, in milliseconds: writers queue behind it.
const LOCK_WAIT_MILLIS: u32 = 3000;
/// What the session of a reader begins with. A statement that is ended must not take the transaction with it.
const SETTINGS: &str = "SET XACT_ABORT OFF; SET LOCK_TIMEOUT -1";
const BEGIN: &str = "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION";

/// The session.
#[derive(Debug)]
pub(super) struct MsSession {
    pool: Arc<Pool>,
    sources: HashMap<ObjectRef, Arc<MsSource>>,
}

/// The readers of one session.
#[derive(Debug)]
pub(super) struct Pool {
    connections: Pinned<Connection>,
    note: String,
    is_one_point_in_time: bool,
}

/// One reader, given back when it is done.
#[derive(Debug)]
pub(super) struct Lease {
    pool: Arc<Pool>,
    taken: Option<Taken<Connection>>,
}

/// Readers that have begun.
struct Begun {
    readers: Vec<Connection>,
    note: String,
    is_one_point_in_time: bool,
}

impl MsSession {
    /// Looks for the objects, and opens the point in time.
    pub(super) async fn open(config: &Config, request: &OpenRequest) -> Result<Self> {
        if request.join.is_some() {
            let message = "a point in time of SQL Server cannot be joined by another process";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let mut first = connect(config).await?;
        let mut wanted = Vec::new();
        for object in &request.objects {
            wanted.push((object.clone(), look(&mut first, object).await?));
        }
        let tables: Option<Vec<&Table>> = wanted.iter().map(|(_, what)| what.table()).collect();
        let readers = request.readers.clamp(1, MOST_READERS);
        let begun = begin(config, first, tables.as_deref(), readers).await?;
        let pool = Arc::new(Pool::new(begun));
        let source = |(object, what)| (object, Arc::new(MsSource::new(Arc::clone(&pool), what)));
        Ok(Self { sources: wanted.into_iter().map(source).collect(), pool })
    }
}

async fn look(connection: &mut Connection, object: &ObjectRef) -> Result<What> {
    match object {
        ObjectRef::Query(query) => {
            let sql = query.trim().trim_end_matches(';').trim_end().to_owned();
            let columns = catalog::of_query(connection, &sql).await.at("query", || "of the source")?;
            Ok(What::Query { sql, columns })
        }
        ObjectRef::Table(typed) => {
            let found = catalog::expect(connection, &Name::typed(typed)?).await;
            Ok(What::Table(Box::new(found.at("table", || typed)?)))
        }
        ObjectRef::Whole => Err(Error::new(ErrorKind::Usage, "no table is named")
            .with_hint("write it after #, as in mssql://host/database#schema.table, or use --query")),
    }
}

/// Opens up to `readers` connections, of which `first` is one, at one point in time. Which `tables` are read is known unless there is
/// a query among the objects.
async fn begin(config: &Config, mut first: Connection, tables: Option<&[&Table]>, readers: usize) -> Result<Begun> {
    first.run(SETTINGS).await?;
    let sql = "SELECT CAST(snapshot_isolation_state AS bigint), CAST(is_read_committed_snapshot_on AS bigint) FROM sys.databases \
               WHERE database_id = DB_ID()";
    let rows = first.rows(sql).await?;
    let has = |index: usize| rows.first().and_then(|row| number(row, index)) == Some(1);
    if !has(0) {
        let sees = if has(1) {
            "each statement sees one point in time (READ_COMMITTED_SNAPSHOT)"
        } else {
            "what others write meanwhile may show"
        };
        let note = format!("one reader: the database has no ALLOW_SNAPSHOT_ISOLATION; {sees}");
        return Ok(Begun { readers: vec![first], note, is_one_point_in_time: false });
    }
    if let (Some(tables), true) = (tables.filter(|tables| !tables.is_empty()), readers > 1) {
        return begin_locked(config, first, tables, readers).await;
    }
    first.run(BEGIN).await?;
    let note = if readers > 1 {
        "one reader under SNAPSHOT: which tables a query reads is not known"
    } else {
        "one reader under SNAPSHOT"
    };
    Ok(Begun { readers: vec![first], note: note.to_owned(), is_one_point_in_time: true })
}

async fn begin_locked(config: &Config, first: Connection, tables: &[&Table], readers: usize) -> Result<Begun> {
    let mut connections = vec![first];
    for connection in futures::future::join_all((1..readers).map(|_| connect(config))).await {
        // With fewer it goes on, too.
        let Ok(mut connection) = connection else { break };
        connection.run(SETTINGS).await?;
        connections.push(connection);
    }
    let mut locker = connect(config).await?;
    let locks: Vec<String> = tables
        .iter()
        .map(|table| format!("SELECT TOP (1) 1 FROM {} WITH (TABLOCK, HOLDLOCK)", table.name.quoted()))
        .collect();
    let lock = format!("SET LOCK_TIMEOUT {LOCK_WAIT_MILLIS}; BEGIN TRANSACTION; {}", locks.join("; "));
    let locked = match locker.run(&lock).await {
        Ok(()) => true,
        Err(error) if number_of(&error) == Some(errors::number::LOCK_TIMEOUT) => false,
        Err(error) => return Err(error),
    };
    if !locked {
        connections.truncate(1);
    }
    // A snapshot is of the moment at which its transaction first looks at a table.
    let fix = format!("{BEGIN}; SELECT TOP (1) 1 FROM {}", tables[0].name.quoted());
    for begun in futures::future::join_all(connections.iter_mut().map(|reader| reader.run(&fix))).await {
        begun?;
    }
    locker.run("IF @@TRANCOUNT > 0 ROLLBACK").await?;
    locker.close().await;
    let note = match connections.len() {
        count if locked && count > 1 => {
            format!(
                "{count} readers under SNAPSHOT began at one point in time, while the tables were locked for a moment"
            )
        }
        _ if locked => "one reader under SNAPSHOT: no more connections were to be had".to_owned(),
        _ => "one reader under SNAPSHOT: writers held the tables, so that several could not begin at once".to_owned(),
    };
    Ok(Begun { readers: connections, note, is_one_point_in_time: true })
}

impl Pool {
    fn new(Begun { readers, note, is_one_point_in_time }: Begun) -> Self {
        Self { connections: Pinned::new(readers), note, is_one_point_in_time }
    }

    /// How it was opened, in one sentence, for plans.
    pub(super) fn note(&self) -> &str {
        &self.note
    }

    /// How many splits can be read at once.
    pub(super) fn readers(&self) -> usize {
        self.connections.count()
    }

    /// A reader, once one is free.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease> {
        let taken = self.connections.take().await?;
        Ok(Lease { pool: Arc::clone(self), taken: Some(taken) })
    }
}

impl Lease {
    /// The connection to read on.
    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.taken.as_mut().expect("a lease holds its connection until it is dropped").connection
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(taken) = self.taken.take() else { return };
        if taken.connection.is_ready() {
            self.pool.connections.put_back(taken);
        } else {
            self.pool.connections.lose(taken);
        }
    }
}

#[async_trait]
impl Session for MsSession {
    fn snapshot(&self) -> Snapshot {
        if self.pool.is_one_point_in_time { Snapshot::Private } else { Snapshot::None }
    }

    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        let source = self.sources.get(object).cloned();
        let source = source.ok_or_else(|| Error::new(ErrorKind::Internal, "the session was not opened for it"));
        Ok(source.at("object", || object)?)
    }

    async fn check(&self) -> Result<()> {
        self.pool.connections.check()
    }

    async fn close(&self) -> Result<()> {
        futures::future::join_all(self.pool.connections.close().into_iter().map(Connection::close)).await;
        Ok(())
    }
}
