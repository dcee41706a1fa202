//! Connections whose transactions hold one point in time of a server. No other can join it later: there are as many from the
//! start as there will ever be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, ErrorKind, Result};

/// All of them.
#[derive(Debug)]
pub struct Pinned<C> {
    idle: Mutex<Vec<C>>,
    free: Arc<Semaphore>,
    count: usize,
    /// Those that are not lost.
    alive: AtomicUsize,
}

/// One that somebody reads on, who puts it back or says that it is lost.
#[derive(Debug)]
pub struct Taken<C> {
    /// The connection.
    pub connection: C,
    permit: OwnedSemaphorePermit,
}

impl<C> Pinned<C> {
    /// These, all of them idle.
    pub fn new(connections: Vec<C>) -> Self {
        let (count, free) = (connections.len(), Arc::new(Semaphore::new(connections.len())));
        Self { idle: Mutex::new(connections), free, count, alive: AtomicUsize::new(count) }
    }

    /// How many there were at the start.
    pub fn count(&self) -> usize {
        self.count
    }

    /// One of them, once one is free.
    ///
    /// # Errors
    /// Those of [`Pinned::check`].
    pub async fn take(&self) -> Result<Taken<C>> {
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(|_| self.over())?;
        let connection = self.idle.lock().pop().ok_or_else(lost)?;
        Ok(Taken { connection, permit })
    }

    /// One that is idle at this moment.
    pub fn take_idle(&self) -> Option<Taken<C>> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        let connection = self.idle.lock().pop()?;
        Some(Taken { connection, permit })
    }

    /// Gives one back that can go on.
    pub fn put_back(&self, taken: Taken<C>) {
        let Taken { connection, permit } = taken;
        let mut idle = self.idle.lock();
        // Asked under the lock: who closes now either finds the connection or is seen to have closed.
        if !self.free.is_closed() {
            idle.push(connection);
        }
        drop(idle);
        // Whoever waits for it finds the connection.
        drop(permit);
    }

    /// There is one fewer. With the last of them the point in time is lost.
    pub fn lose(&self, taken: Taken<C>) {
        taken.permit.forget();
        if self.alive.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.free.close();
        }
    }

    /// Whether there are any.
    ///
    /// # Errors
    /// [`Connection`](ErrorKind::Connection) when all are lost, [`Cancelled`](ErrorKind::Cancelled) when they were closed.
    pub fn check(&self) -> Result<()> {
        if self.free.is_closed() { Err(self.over()) } else { Ok(()) }
    }

    /// Gives none out any more. Those that are idle are left to be ended.
    pub fn close(&self) -> Vec<C> {
        self.free.close();
        std::mem::take(&mut *self.idle.lock())
    }

    /// Why none is to be had.
    fn over(&self) -> Error {
        if self.alive.load(Ordering::Relaxed) == 0 {
            return lost();
        }
        Error::new(ErrorKind::Cancelled, "the session is closed")
    }
}

/// The error of one that is lost.
pub fn lost() -> Error {
    Error::new(ErrorKind::Connection, "a connection that holds the point in time is lost")
        .with_hint("look into the server's log, then start the run anew")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_point_in_time_is_lost_with_the_last_connection() {
        let pinned = Pinned::new(vec![1, 2]);
        let (two, one) = (pinned.take().await.unwrap(), pinned.take_idle().unwrap());
        assert!(pinned.take_idle().is_none());
        pinned.lose(one);
        pinned.check().unwrap();
        assert_eq!((two.connection, pinned.count()), (2, 2));
        pinned.put_back(two);
        pinned.lose(pinned.take().await.unwrap());
        assert_eq!(pinned.check().unwrap_err().kind(), ErrorKind::Connection);
        assert_eq!(pinned.take().await.unwrap_err().kind(), ErrorKind::Connection);
    }

    #[tokio::test]
    async fn what_is_put_back_after_the_end_is_dropped() {
        let pinned = Pinned::new(vec![1, 2]);
        let taken = pinned.take().await.unwrap();
        assert_eq!(pinned.close(), [1]);
        pinned.put_back(taken);
        assert!(pinned.close().is_empty());
        assert_eq!(pinned.take().await.unwrap_err().kind(), ErrorKind::Cancelled);
    }
}
