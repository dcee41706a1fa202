//! The open point in time: one leader that locks, exports and measures, and a pool of workers that join it.
//!
//! ```text
//! leader:  BEGIN · LOCK … ACCESS SHARE · pg_export_snapshot() · sizes · describe, plan · small reads · close
//! worker:  BEGIN · SET TRANSACTION SNAPSHOT · LOCK … NOWAIT · COPY · COPY · …                       · close
//! ```
//! There are never more workers than readers were asked for; a worker serves one split after the other. With one
//! reader, or a snapshot that cannot be shared, the leader reads all.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio_postgres::SimpleQueryMessage;

use super::catalog::{self, Found, Relation};
use super::config::Config;
use super::connect::{Connection, connect};
use super::errors;
use super::read::TableSource;
use crate::endpoint::{ObjectRef, OpenRequest, Session, Snapshot, SnapshotId};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::source::Source;

/// How long a worker may take to join before the plan does without it: a pooler may have none to give.
const JOIN_LIMIT: Duration = Duration::from_secs(10);

/// The session.
#[derive(Debug)]
pub(super) struct PgSession {
    core: Arc<Core>,
    sources: HashMap<ObjectRef, Arc<TableSource>>,
}

/// What all reads share.
#[derive(Debug)]
pub(super) struct Core {
    config: Config,
    leader: Mutex<Option<Arc<Connection>>>,
    /// Who has it reads on the leader.
    turn: Arc<Turn<()>>,
    /// How many workers may be open; none when only the leader reads.
    workers: usize,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
    snapshot: Snapshot,
    /// First statements of a worker.
    join: String,
    /// What the plan should say about how the session was opened.
    notes: Vec<String>,
}

/// One connection for one COPY.
#[derive(Debug)]
pub(super) enum Lane {
    Leader(Arc<Connection>, OwnedMutexGuard<()>),
    Worker(Box<Connection>, OwnedSemaphorePermit),
}

impl Lane {
    /// The connection to read on.
    pub(super) fn connection(&self) -> &Connection {
        match self {
            Self::Leader(connection, _) => connection,
            Self::Worker(connection, _) => connection,
        }
    }
}

impl PgSession {
    /// Opens the leader and its point in time.
    pub(super) async fn open(config: &Config, request: &OpenRequest) -> Result<Self> {
        let leader = connect(config, "leader").await?;
        let names: Vec<&str> = request.objects.iter().filter_map(table_name).collect::<Result<_>>()?;
        let found = catalog::find(&leader, &names).await?;
        let opened = begin(&leader, &found, request).await?;
        let workers = if opened.shared.is_some() && request.readers > 1 { request.readers } else { 0 };
        let snapshot = opened.shared.map_or(Snapshot::Private, |id| Snapshot::Shared(SnapshotId(id)));
        let join = match &snapshot {
            Snapshot::Shared(SnapshotId(id)) => join_sql(&leader, id, &opened.locked),
            _ => String::new(),
        };
        let core = Arc::new(Core {
            config: config.clone(),
            leader: Mutex::new(Some(Arc::new(leader))),
            turn: Arc::default(),
            workers,
            permits: Arc::new(Semaphore::new(workers)),
            idle: Mutex::default(),
            snapshot,
            join,
            notes: opened.notes,
        });
        let mut relations = opened.relations.into_iter();
        let mut sources = HashMap::new();
        for object in &request.objects {
            let source = match object {
                ObjectRef::Query(query) => TableSource::query(Arc::clone(&core), query),
                object => {
                    let gone = || Error::new(ErrorKind::NotFound, "it was dropped at this moment").at("table", object);
                    TableSource::table(Arc::clone(&core), object.to_string(), relations.next().ok_or_else(gone)?)
                }
            };
            sources.insert(object.clone(), Arc::new(source));
        }
        Ok(Self { core, sources })
    }
}

fn table_name(object: &ObjectRef) -> Option<Result<&str>> {
    match object {
        ObjectRef::Table(name) => Some(Ok(name)),
        ObjectRef::Query(_) => None,
        ObjectRef::Whole => Some(Err(Error::new(ErrorKind::Usage, "no table is named")
            .with_hint("write it after #, as in postgres://host/db#schema.table, or use --query"))),
    }
}

/// What the leader's first statements gave.
struct Opened {
    relations: Vec<Relation>,
    /// The LOCK list of the tables that are locked; empty when none is.
    locked: String,
    shared: Option<String>,
    notes: Vec<String>,
}

/// Begins the leader's transaction: locks first, then the snapshot, then sizes inside it. What the server refuses is
/// left out, and said.
async fn begin(leader: &Connection, found: &[Found], request: &OpenRequest) -> Result<Opened> {
    let mut notes = Vec::new();
    let mut lockable: Vec<&Found> =
        found.iter().filter(|found| found.lockable && matches!(found.kind, b'r' | b'p' | b'v')).collect();
    let mut export = true;
    loop {
        let locked = lockable.iter().map(|found| found.sql.as_str()).collect::<Vec<_>>().join(", ");
        let error = match attempt(leader, found, request.join.as_ref(), (&locked, export)).await {
            Ok((relations, _)) if relations.len() != found.len() => {
                return Err(Error::new(ErrorKind::NotFound, "a table was dropped or renamed at this moment"));
            }
            Ok((relations, shared)) => {
                let unlocked = found.len() - lockable.len();
                if unlocked > 0 {
                    notes.push(format!(
                        "{unlocked} of {} tables cannot be locked by this user or are of a kind without locks: \
                         a TRUNCATE during the copy would show",
                        found.len()
                    ));
                }
                return Ok(Opened { relations, locked, shared, notes });
            }
            Err(error) => error,
        };
        leader.run("ROLLBACK").await?;
        let refused = matches!(error.kind(), ErrorKind::Permission | ErrorKind::Unsupported | ErrorKind::Usage);
        if refused && lockable.iter().any(|found| found.kind == b'v') {
            lockable.retain(|found| found.kind != b'v');
        } else if refused && export && request.join.is_none() {
            export = false;
            notes.push("the server exports no snapshot: one connection reads everything".to_owned());
        } else {
            return Err(error);
        }
    }
}

async fn attempt(
    leader: &Connection,
    found: &[Found],
    join: Option<&SnapshotId>,
    (locked, export): (&str, bool),
) -> Result<(Vec<Relation>, Option<String>)> {
    let mut sql = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ".to_owned();
    if let Some(SnapshotId(id)) = join {
        let _ = write!(sql, "SET TRANSACTION SNAPSHOT {}; ", catalog::literal(id));
    }
    sql.push_str(&leader.server().settings());
    if !locked.is_empty() {
        let nowait = if join.is_some() { " NOWAIT" } else { "" };
        let _ = write!(sql, "LOCK TABLE {locked} IN ACCESS SHARE MODE{nowait}; ");
    }
    match join {
        Some(SnapshotId(id)) => {
            let _ = write!(sql, "SELECT {}; ", catalog::literal(id));
        }
        None if export => sql.push_str("SELECT pg_export_snapshot(); "),
        None => sql.push_str("SELECT NULL; "),
    }
    let names: Vec<&str> = found.iter().map(|found| found.sql.as_str()).collect();
    sql.push_str(&catalog::sizes_sql(&names, leader.server().version_number));
    let mut sets = Vec::new();
    for message in leader.simple_query(&sql).await.map_err(errors::error)? {
        match message {
            SimpleQueryMessage::RowDescription(_) => sets.push(Vec::new()),
            SimpleQueryMessage::Row(row) => sets.last_mut().map(|set| set.push(row)).unwrap_or_default(),
            _ => {}
        }
    }
    let shared = sets.first().and_then(|set| set.first()?.get(0)).map(str::to_owned);
    let relations = sets.get(1).map(|set| catalog::relations(set)).unwrap_or_default();
    Ok((relations, shared))
}

fn join_sql(leader: &Connection, id: &str, locked: &str) -> String {
    let mut sql = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}; {}",
        catalog::literal(id),
        leader.server().settings()
    );
    if !locked.is_empty() {
        let _ = write!(sql, "LOCK TABLE {locked} IN ACCESS SHARE MODE NOWAIT; ");
    }
    sql
}

impl Core {
    /// The leader, for questions to the catalog.
    pub(super) fn leader(&self) -> Result<Arc<Connection>> {
        let leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner).clone();
        leader.ok_or_else(|| Error::new(ErrorKind::Cancelled, "the session is closed"))
    }

    /// What the plan should say about how the session was opened.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// How many workers may read at once beside the leader; 0 when only the leader reads.
    pub(super) fn workers(&self) -> usize {
        self.workers
    }

    /// A connection to read on. `alone` says that the object has this one split only, so that the leader will do.
    pub(super) async fn lane(&self, alone: bool) -> Result<Lane> {
        if alone && let Ok(guard) = Arc::clone(&self.turn).try_lock_owned() {
            return Ok(Lane::Leader(self.leader()?, guard));
        }
        if self.workers == 0 || self.permits.is_closed() {
            let guard = Arc::clone(&self.turn).lock_owned().await;
            return Ok(Lane::Leader(self.leader()?, guard));
        }
        let closed = |_| Error::new(ErrorKind::Cancelled, "the session is closed");
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(closed)?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle.filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => self.worker().await?,
        };
        Ok(Lane::Worker(Box::new(connection), permit))
    }

    /// Takes a lane back after a COPY that ended in order.
    pub(super) fn put_back(&self, lane: Lane) {
        if let Lane::Worker(connection, permit) = lane {
            // A closed pool takes nothing back: the connection ends here.
            if !self.permits.is_closed() {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(*connection);
            }
            drop(permit);
        }
    }

    /// Opens up to `wanted` workers now: later, a waiting TRUNCATE would keep new ones out. Says how many there are,
    /// and why there are not more.
    pub(super) async fn warm_up(&self, wanted: usize) -> (usize, Option<Error>) {
        let wanted = wanted.min(self.workers);
        let have = self.idle.lock().unwrap_or_else(PoisonError::into_inner).len();
        let missing = (have..wanted).map(|_| async {
            let late = |_| Err(Error::new(ErrorKind::Timeout, "a further connection did not come in time"));
            tokio::time::timeout(JOIN_LIMIT, self.worker()).await.unwrap_or_else(late)
        });
        let mut refusal = None;
        for opened in futures::future::join_all(missing).await {
            match opened {
                Ok(worker) => self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker),
                Err(error) => refusal = Some(error),
            }
        }
        let have = self.idle.lock().unwrap_or_else(PoisonError::into_inner).len();
        if refusal.is_some() {
            // Reads wait for a worker that is there rather than ask the server once more.
            self.permits.forget_permits(self.workers.saturating_sub(have));
            if have == 0 {
                self.permits.close();
            }
        }
        (have, refusal)
    }

    async fn worker(&self) -> Result<Connection> {
        let worker = connect(&self.config, "reader").await?;
        worker.run(&self.join).await.map_err(|error| match error.kind() {
            ErrorKind::Timeout => {
                error.with_hint("another session waits to change a table of the copy: try again later")
            }
            ErrorKind::Usage => error.with_hint("the snapshot is gone, or a pooler led to another server"),
            _ => error,
        })?;
        Ok(worker)
    }
}

#[async_trait]
impl Session for PgSession {
    fn snapshot(&self) -> Snapshot {
        self.core.snapshot.clone()
    }

    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        let source = self.sources.get(object).cloned();
        let source = source.ok_or_else(|| Error::new(ErrorKind::Internal, "the session was not opened for it"));
        Ok(source.at("object", || object)?)
    }

    async fn check(&self) -> Result<()> {
        let lost = || {
            Error::new(ErrorKind::Connection, "the connection that holds the point in time is lost")
                .with_hint("look into the server's log, then start the run anew")
        };
        let leader = self.core.leader()?;
        if leader.is_closed() {
            return Err(lost());
        }
        // While the leader copies, its connection answers nothing else.
        if let Ok(_guard) = Arc::clone(&self.core.turn).try_lock_owned() {
            leader.run("SELECT 1").await.map_err(|error| lost().with_source(error))?;
        }
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        self.core.permits.close();
        let idle = std::mem::take(&mut *self.core.idle.lock().unwrap_or_else(PoisonError::into_inner));
        let leader = self.core.leader.lock().unwrap_or_else(PoisonError::into_inner).take();
        let leader = leader.and_then(Arc::into_inner);
        futures::future::join_all(idle.into_iter().chain(leader).map(Connection::close)).await;
        Ok(())
    }
}
