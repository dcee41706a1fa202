//! Readers of one file at one point in time: connections of a driver that blocks, each in its transaction and on its thread.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::blocking::{Ended, Outlet, Worker, insist};
use crate::error::{Error, ErrorKind, Result};

/// Stops the statement that a connection runs, from another thread; with nothing under way it does nothing.
pub type Interrupt = Box<dyn Fn() + Send + Sync>;

/// The readers of one session.
pub struct Readers<C> {
    idle: Mutex<Vec<Reader<C>>>,
    free: Arc<Semaphore>,
    count: usize,
}

/// A connection on its thread.
struct Reader<C> {
    worker: Worker<C>,
    interrupt: Interrupt,
}

/// One reader, given back when dropped. A statement that still runs then is stopped.
pub struct Lease<C> {
    readers: Arc<Readers<C>>,
    reader: Option<Reader<C>>,
    _permit: OwnedSemaphorePermit,
}

impl<C: Send + 'static> Readers<C> {
    /// Gives each of `connections` a thread called `name`; `interrupt` makes what stops it.
    ///
    /// # Errors
    /// When no thread was to be had.
    pub fn start(name: &str, connections: Vec<C>, interrupt: impl Fn(&C) -> Interrupt) -> Result<Arc<Self>> {
        let reader = |connection: C| -> Result<Reader<C>> {
            let interrupt = interrupt(&connection);
            Ok(Reader { worker: Worker::start(name, connection)?, interrupt })
        };
        let idle = connections.into_iter().map(reader).collect::<Result<Vec<_>>>()?;
        let (count, free) = (idle.len(), Arc::new(Semaphore::new(idle.len())));
        Ok(Arc::new(Self { idle: Mutex::new(idle), free, count }))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// A reader, once one is free.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) when they were released.
    pub async fn lease(self: &Arc<Self>) -> Result<Lease<C>> {
        let closed = || Error::new(ErrorKind::Internal, "the point in time of this database was given up already");
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(|_| closed())?;
        let reader = self.idle.lock().pop().ok_or_else(closed)?;
        Ok(Lease { readers: Arc::clone(self), reader: Some(reader), _permit: permit })
    }

    /// Whether they are there. The transactions live in this process: nobody else can end them.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) when they were released.
    pub fn check(&self) -> Result<()> {
        if self.free.is_closed() {
            return Err(Error::new(ErrorKind::Internal, "the point in time of this database was given up"));
        }
        Ok(())
    }

    /// Ends the transactions of all readers that are idle, and gives no reader out any more. When it returns, their
    /// connections are gone.
    pub async fn release(&self) {
        self.free.close();
        let readers = std::mem::take(&mut *self.idle.lock());
        // A thread ends, and with it the transaction, once nothing runs on it.
        let ending: Vec<(Ended, Interrupt)> =
            readers.into_iter().map(|reader| (reader.worker.ended(), reader.interrupt)).collect();
        for (ended, interrupt) in ending {
            insist(ended.wait(), &interrupt).await;
        }
    }
}

impl<C> fmt::Debug for Readers<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("count", &self.count).finish_non_exhaustive()
    }
}

impl<C> Lease<C> {
    /// The thread of the connection to read on.
    pub fn worker(&self) -> &Worker<C> {
        &self.reader.as_ref().expect("a lease holds its reader until it is dropped").worker
    }
}

impl<C: Send + 'static> Lease<C> {
    /// Runs `read` on the reader; what it puts into its outlet is the stream. Dropping the stream ends it, and gives the reader
    /// back.
    ///
    /// # Errors
    /// Those of [`Worker::stream`].
    pub async fn stream<F>(self, read: F) -> Result<BoxStream<'static, Result<RecordBatch>>>
    where
        F: FnOnce(&mut C, &Outlet) -> Result<()> + Send + 'static,
    {
        let batches = self.worker().stream(read).await?;
        Ok(batches
            .map(move |batch| {
                let _held = &self;
                batch
            })
            .boxed())
    }
}

impl<C> Drop for Lease<C> {
    fn drop(&mut self) {
        let Some(reader) = self.reader.take() else { return };
        // Nobody wants what it may still be computing.
        (reader.interrupt)();
        let mut idle = self.readers.idle.lock();
        // Asked under the lock: a session that closes now either finds the reader or is seen to be closed.
        if !self.readers.free.is_closed() {
            idle.push(reader);
        }
    }
}

impl<C> fmt::Debug for Lease<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lease")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn readers_come_back_until_they_are_released() {
        let told = Arc::new(AtomicUsize::new(0));
        let interrupt = |_: &u8| -> Interrupt {
            let told = Arc::clone(&told);
            Box::new(move || {
                told.fetch_add(1, Ordering::SeqCst);
            })
        };
        let readers = Readers::start("test", vec![7_u8], interrupt).unwrap();
        for _ in 0..2 {
            let lease = readers.lease().await.unwrap();
            assert_eq!(lease.worker().call(|connection| Ok(*connection)).await.unwrap(), 7);
        }
        let batches = readers.lease().await.unwrap().stream(|_, _| Ok(())).await.unwrap();
        assert_eq!(batches.count().await, 0);
        assert_eq!((readers.count(), told.load(Ordering::SeqCst)), (1, 3));
        readers.check().unwrap();
        readers.release().await;
        assert!(readers.check().is_err() && readers.lease().await.is_err());
    }
}
