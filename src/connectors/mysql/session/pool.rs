//! Who reads on which connection.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::config::Config;
use super::super::connect::{Connection, cancel};
use super::begin::Begun;
use crate::bridge::farewell;
use crate::error::{Error, ErrorKind, Result};

/// The readers of one session.
#[derive(Debug)]
pub(in super::super) struct Pool {
    config: Config,
    idle: Mutex<Vec<Connection>>,
    free: Arc<Semaphore>,
    /// Which of the products it is.
    product: &'static str,
    /// The zone whose clock stands for instants where the other side has no zone.
    clock: Option<String>,
    readers: usize,
    /// Those whose connection is not lost.
    alive: AtomicUsize,
    notes: Vec<String>,
    is_one_point_in_time: bool,
}

/// One reader, given back when dropped.
#[derive(Debug)]
pub(in super::super) struct Lease {
    pool: Arc<Pool>,
    connection: Option<Connection>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Pool {
    pub(super) fn new(config: Config, begun: Begun) -> Self {
        Self {
            config,
            product: begun.readers.first().map_or("mysql", |reader| reader.server().product()),
            clock: begun.readers.first().and_then(|reader| reader.server().clock.clone()),
            readers: begun.readers.len(),
            alive: AtomicUsize::new(begun.readers.len()),
            free: Arc::new(Semaphore::new(begun.readers.len())),
            idle: Mutex::new(begun.readers),
            notes: begun.notes,
            is_one_point_in_time: begun.is_one_point_in_time,
        }
    }

    /// Which of the products it is.
    pub(in super::super) fn product(&self) -> &'static str {
        self.product
    }

    /// The zone whose clock stands for instants where the other side has no zone.
    pub(in super::super) fn clock(&self) -> Option<&str> {
        self.clock.as_deref()
    }

    /// How columns are read.
    pub(in super::super) fn config(&self) -> &Config {
        &self.config
    }

    /// How it was opened, one sentence each, for plans.
    pub(in super::super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// How many splits can be read at once.
    pub(in super::super) fn readers(&self) -> usize {
        self.readers
    }

    pub(super) fn is_one_point_in_time(&self) -> bool {
        self.is_one_point_in_time
    }

    /// A reader, once one is free.
    pub(in super::super) async fn lease(self: &Arc<Self>) -> Result<Lease> {
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(|_| self.over())?;
        let connection = self.idle().pop().ok_or_else(lost)?;
        Ok(Lease { pool: Arc::clone(self), connection: Some(connection), permit: Some(permit) })
    }

    /// A reader is gone: there is one fewer. With the last of them the point in time is lost.
    fn lose(&self, permit: OwnedSemaphorePermit) {
        permit.forget();
        if self.alive.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.free.close();
        }
    }

    /// Why no reader is to be had.
    fn over(&self) -> Error {
        if self.alive.load(Ordering::Relaxed) == 0 {
            return lost();
        }
        Error::new(ErrorKind::Cancelled, "the session is closed")
    }

    /// Every reader that is idle still answers. Those at work will be heard of.
    pub(super) async fn check(self: &Arc<Self>) -> Result<()> {
        if self.free.is_closed() {
            return Err(self.over());
        }
        let mut result = Ok(());
        let mut asked = Vec::new();
        // Each keeps its permit meanwhile: who wants one waits, and does not miss it.
        while let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            let Some(reader) = self.idle().pop() else { break };
            asked.push((reader, permit));
        }
        for (mut reader, permit) in asked {
            match reader.run("DO 0").await {
                Ok(()) => {
                    self.put_back(reader);
                    drop(permit);
                }
                Err(error) => {
                    self.lose(permit);
                    result = Err(lost().with_source(error));
                }
            }
        }
        result
    }

    pub(super) async fn close(&self) {
        self.free.close();
        let idle = std::mem::take(&mut *self.idle());
        futures::future::join_all(idle.into_iter().map(Connection::close)).await;
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_back(&self, connection: Connection) {
        let mut idle = self.idle();
        // Asked under the lock: a session that closes now either finds the reader or is seen to be closed.
        if !self.free.is_closed() {
            idle.push(connection);
        }
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Connection, "a connection that holds the point in time is lost")
        .with_hint("look into the server's log, then start the run anew")
}

impl Lease {
    /// The connection to read on.
    pub(in super::super) fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("a lease holds its connection until it is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(connection), Some(permit)) = (self.connection.take(), self.permit.take()) else { return };
        let pool = Arc::clone(&self.pool);
        if connection.is_ready() {
            pool.put_back(connection);
            drop(permit);
        } else if connection.is_reading() && tokio::runtime::Handle::try_current().is_ok() {
            farewell::say(recover(pool, connection, permit));
        } else {
            pool.lose(permit);
        }
    }
}

/// Ends a statement whose rows nobody wants, without an end to the transaction around it.
async fn recover(pool: Arc<Pool>, mut connection: Connection, permit: OwnedSemaphorePermit) {
    // Should it not be ended, all its rows come.
    let _ = cancel(&pool.config, connection.id()).await;
    while connection.is_reading() {
        if connection.next_rows(usize::MAX, 1 << 20).await.is_err() {
            break;
        }
    }
    // A word that came too late for the statement would hit the next one: it hits this.
    if connection.is_ready() && (connection.run("DO 0").await.is_ok() || connection.run("DO 0").await.is_ok()) {
        pool.put_back(connection);
        drop(permit);
    } else {
        pool.lose(permit);
    }
}
