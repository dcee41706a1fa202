//! Who reads on which connection.
//!
//! There are never more workers than readers were asked for; a worker serves one split after the other. They are opened
//! together by the first read that wants one, so that a plan alone opens none, and as many as are really there read at
//! once: whoever comes late waits for one of them. With one reader, with a snapshot that cannot be shared, or when no
//! worker could join, the leader reads all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Mutex as Turn, OnceCell, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::super::buffers::Buffers;
use super::super::config::{Config, Timestamps};
use super::super::connect::{Connection, connect};
use super::super::unseen;
use crate::endpoint::Snapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::shape::Mark;

/// How long a worker may take to join before the reads do without it: a pooler may have none to give.
const JOIN_LIMIT: Duration = Duration::from_secs(10);

/// What all reads share.
#[derive(Debug)]
pub(in super::super) struct Core {
    config: Config,
    leader: Mutex<Option<Arc<Connection>>>,
    /// Who has it reads on the leader.
    turn: Arc<Turn<()>>,
    /// How many workers may be open; none when only the leader reads.
    workers: usize,
    /// How many of them the plans so far have work for.
    wanted: AtomicUsize,
    /// Who has it opens workers, or gives one up.
    opened: Turn<Opened>,
    /// One for each open worker.
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
    /// One for each reader: those that are read into and decoded just now are not among them.
    buffers: Buffers,
    snapshot: Snapshot,
    /// What the snapshot does not show, once that is asked for.
    mark: OnceCell<Option<Mark>>,
    /// First statements of a worker.
    join: String,
    notes: Vec<String>,
}

/// The workers that there are, busy or idle.
#[derive(Debug, Default)]
struct Opened {
    count: usize,
    /// The server gave no more: it is not asked again.
    refused: bool,
}

/// What the beginning of a session gave.
pub(super) struct Begun {
    pub(super) leader: Connection,
    pub(super) workers: usize,
    pub(super) snapshot: Snapshot,
    pub(super) join: String,
    /// What the plan should say about how the session was opened.
    pub(super) notes: Vec<String>,
}

/// One connection for one COPY.
#[derive(Debug)]
pub(in super::super) enum Lane {
    Leader(Arc<Connection>, OwnedMutexGuard<()>),
    Worker(Box<Connection>, OwnedSemaphorePermit),
}

impl Lane {
    /// The connection to read on.
    pub(in super::super) fn connection(&self) -> &Connection {
        match self {
            Self::Leader(connection, _) => connection,
            Self::Worker(connection, _) => connection,
        }
    }
}

impl Core {
    pub(super) fn new(config: Config, begun: Begun) -> Self {
        Self {
            config,
            leader: Mutex::new(Some(Arc::new(begun.leader))),
            turn: Arc::default(),
            workers: begun.workers,
            wanted: AtomicUsize::new(0),
            opened: Turn::default(),
            permits: Arc::new(Semaphore::new(0)),
            idle: Mutex::default(),
            buffers: Buffers::new(begun.workers.max(1)),
            snapshot: begun.snapshot,
            mark: OnceCell::new(),
            join: begun.join,
            notes: begun.notes,
        }
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The leader, for questions to the catalog.
    pub(in super::super) fn leader(&self) -> Result<Arc<Connection>> {
        let leader = self.leader.lock().clone();
        leader.ok_or_else(|| Error::new(ErrorKind::Cancelled, "the session is closed"))
    }

    /// What is to be kept of this point in time.
    pub(in super::super) async fn mark(&self) -> Result<Option<Mark>> {
        let leader = self.leader()?;
        self.mark.get_or_try_init(|| unseen::mark(&leader)).await.cloned()
    }

    /// How instants are read.
    pub(in super::super) fn timestamps(&self) -> Timestamps {
        self.config.timestamps
    }

    /// What rows are read into.
    pub(in super::super) fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    /// What the plan should say about how the session was opened.
    pub(in super::super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// How many workers may read at once beside the leader; 0 when only the leader reads.
    pub(in super::super) fn workers(&self) -> usize {
        self.workers
    }

    /// A plan has work for `count` workers; they are opened by the first read.
    pub(in super::super) fn expect(&self, count: usize) {
        self.wanted.fetch_add(count, Ordering::Relaxed);
    }

    /// How many splits can be read at once, where that is known to be fewer than `wanted`.
    pub(in super::super) async fn fewer_than(&self, wanted: usize) -> Option<usize> {
        let opened = self.opened.lock().await;
        let most = if opened.refused { opened.count } else { self.workers };
        Some(most.max(1)).filter(|most| *most < wanted)
    }

    /// A connection to read on. `alone` says that the object has this one split only, so that the leader will do.
    pub(in super::super) async fn lane(&self, alone: bool) -> Result<Lane> {
        if alone && let Ok(guard) = Arc::clone(&self.turn).try_lock_owned() {
            return Ok(Lane::Leader(self.leader()?, guard));
        }
        loop {
            let permit = match self.open_workers().await {
                0 => None,
                _ => Arc::clone(&self.permits).acquire_owned().await.ok(),
            };
            let Some(permit) = permit else {
                // Closed, or no worker is left; which of them the leader knows.
                let guard = Arc::clone(&self.turn).lock_owned().await;
                return Ok(Lane::Leader(self.leader()?, guard));
            };
            let idle = self.idle.lock().pop();
            match idle.filter(|connection| !connection.is_closed()) {
                Some(connection) => return Ok(Lane::Worker(Box::new(connection), permit)),
                // Its connection ended with a read that was given up.
                None => match self.worker().await {
                    Ok(connection) => return Ok(Lane::Worker(Box::new(connection), permit)),
                    Err(_) => self.give_up(permit).await,
                },
            }
        }
    }

    /// Takes a lane back after a COPY that ended in order.
    pub(in super::super) fn put_back(&self, lane: Lane) {
        if let Lane::Worker(connection, permit) = lane {
            // A closed pool takes nothing back: the connection ends here.
            if !self.permits.is_closed() {
                self.idle.lock().push(*connection);
            }
            drop(permit);
        }
    }

    /// Opens the workers that are wanted and not there yet; says how many there are.
    async fn open_workers(&self) -> usize {
        if self.workers == 0 {
            return 0;
        }
        let mut opened = self.opened.lock().await;
        let wanted = self.wanted.load(Ordering::Relaxed).clamp(1, self.workers);
        if opened.refused || opened.count >= wanted || self.permits.is_closed() {
            return opened.count;
        }
        let missing = (opened.count..wanted).map(|_| self.worker());
        for worker in futures::future::join_all(missing).await {
            let Ok(worker) = worker else {
                opened.refused = true;
                continue;
            };
            self.idle.lock().push(worker);
            opened.count += 1;
            self.permits.add_permits(1);
        }
        if opened.count == 0 {
            self.permits.close();
        }
        opened.count
    }

    /// One worker fewer: its connection is gone and no other came. The last one leaves the reads to the leader.
    async fn give_up(&self, permit: OwnedSemaphorePermit) {
        let mut opened = self.opened.lock().await;
        opened.refused = true;
        opened.count = opened.count.saturating_sub(1);
        permit.forget();
        if opened.count == 0 {
            self.permits.close();
        }
    }

    async fn worker(&self) -> Result<Connection> {
        let join = async {
            let worker = connect(&self.config, "reader").await?;
            worker.run(&self.join).await?;
            Ok(worker)
        };
        let late = |_| Err(Error::new(ErrorKind::Timeout, "a further connection did not come in time"));
        tokio::time::timeout(JOIN_LIMIT, join).await.unwrap_or_else(late)
    }

    pub(super) async fn check(&self) -> Result<()> {
        let lost = || {
            Error::new(ErrorKind::Connection, "the connection that holds the point in time is lost")
                .with_hint("look into the server's log, then start the run anew")
        };
        let leader = self.leader()?;
        if leader.is_closed() {
            return Err(match leader.last_word() {
                Some(said) => lost().with_source(said),
                None => lost(),
            });
        }
        // While the leader copies, its connection answers nothing else.
        if let Ok(_guard) = Arc::clone(&self.turn).try_lock_owned() {
            leader.run("SELECT 1").await.map_err(|error| lost().with_source(error))?;
        }
        Ok(())
    }

    pub(super) async fn close(&self) {
        self.permits.close();
        self.buffers.clear();
        let idle = std::mem::take(&mut *self.idle.lock());
        let leader = self.leader.lock().take();
        let leader = leader.and_then(Arc::into_inner);
        futures::future::join_all(idle.into_iter().chain(leader).map(Connection::close)).await;
    }
}
