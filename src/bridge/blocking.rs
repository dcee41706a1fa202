//! The door to drivers that block: each gets a thread of its own, never a tokio worker.

use std::future::Future;
use std::time::Duration;

use arrow::array::RecordBatch;
use futures::stream::BoxStream;
use futures::{StreamExt as _, stream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::{Error, ErrorKind, Result};

/// Batches that may wait between the thread and its reader. The lane after it counts bytes.
const QUEUE_BATCHES: usize = 1;
/// How often work that is to end is told so again.
const NUDGE: Duration = Duration::from_millis(20);

/// Runs `work` once on a thread of its own.
///
/// # Errors
/// That of `work`; [`Internal`](ErrorKind::Internal) when it panicked or no thread was to be had.
pub async fn run<T, F>(name: &str, work: F) -> Result<T>
where
    F: FnOnce() -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let body = move || drop(sender.send(work()));
    std::thread::Builder::new().name(name.to_owned()).spawn(body)?;
    receiver.await.unwrap_or_else(|_| Err(unforeseen()))
}

/// Where a blocking reader puts its batches, or pieces of bytes.
#[derive(Debug)]
pub struct Outlet<T = RecordBatch>(mpsc::Sender<Result<T>>);

impl<T> Outlet<T> {
    /// Hands a batch over, waiting while the queue is full. `false` when nobody reads any more: stop then.
    pub fn send(&self, batch: T) -> bool {
        self.0.blocking_send(Ok(batch)).is_ok()
    }
}

/// Runs `read` on a thread of its own; what it puts into its outlet is the stream. Dropping the stream ends it.
///
/// # Errors
/// When no thread was to be had. An error of `read` is the last item of the stream.
pub fn stream<T, F>(name: &str, read: F) -> Result<BoxStream<'static, Result<T>>>
where
    F: FnOnce(&Outlet<T>) -> Result<()> + Send + 'static,
    T: Send + 'static,
{
    let (sender, receiver) = mpsc::channel(QUEUE_BATCHES);
    let body = move || pour(sender, read);
    std::thread::Builder::new().name(name.to_owned()).spawn(body)?;
    Ok(items(receiver))
}

/// A thread that owns one connection of a driver; jobs run on it one after the other. Dropping it ends the thread
/// after the job that runs. A job that nobody waits for any more is left out.
pub struct Worker<S> {
    jobs: mpsc::Sender<Job<S>>,
    ended: Ended,
}

/// Tells when the thread of a [`Worker`] is over and what it owned is dropped.
#[derive(Clone, Debug)]
pub struct Ended(CancellationToken);

impl Ended {
    /// Waits for it.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }
}

/// Waits for `work`, and calls `nudge` at once and again while it lasts: an interrupt that comes before its statement
/// has begun is lost.
pub async fn insist<T>(work: impl Future<Output = T>, nudge: impl Fn()) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        nudge();
        if let Ok(done) = tokio::time::timeout(NUDGE, &mut work).await {
            return done;
        }
    }
}

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

impl<S: Send + 'static> Worker<S> {
    /// Gives `state` a thread of its own.
    ///
    /// # Errors
    /// When no thread was to be had.
    pub fn start(name: &str, state: S) -> Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job<S>>(1);
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || serve(guard, queue, state))?;
        Ok(Self { jobs, ended: Ended(ended) })
    }

    /// What tells that the thread is over.
    pub fn ended(&self) -> Ended {
        self.ended.clone()
    }

    /// Runs `work` after all jobs before it.
    ///
    /// # Errors
    /// That of `work`; [`Internal`](ErrorKind::Internal) when it or one before it panicked.
    pub async fn call<T, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&mut S) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Job<S> = Box::new(move |state| {
            if !sender.is_closed() {
                drop(sender.send(work(state)));
            }
        });
        self.jobs.send(job).await.map_err(|_| unforeseen())?;
        receiver.await.unwrap_or_else(|_| Err(unforeseen()))
    }

    /// Runs `read` after all jobs before it; what it puts into its outlet is the stream. Dropping the stream ends it.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) when a job before it panicked. An error of `read` is the last item.
    pub async fn stream<F>(&self, read: F) -> Result<BoxStream<'static, Result<RecordBatch>>>
    where
        F: FnOnce(&mut S, &Outlet) -> Result<()> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(QUEUE_BATCHES);
        let job: Job<S> = Box::new(move |state| pour(sender, |outlet| read(state, outlet)));
        self.jobs.send(job).await.map_err(|_| unforeseen())?;
        Ok(items(receiver))
    }
}

impl<S> std::fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("open", &!self.jobs.is_closed()).finish_non_exhaustive()
    }
}

/// Runs jobs until nobody can send another. Parameters are dropped last to first: the signal comes after the state.
fn serve<S>(_ended: DropGuard, mut queue: mpsc::Receiver<Job<S>>, mut state: S) {
    while let Some(job) = queue.blocking_recv() {
        job(&mut state);
    }
}

/// Runs `read` with an outlet into `sender`; its error or panic is the last item.
fn pour<T>(sender: mpsc::Sender<Result<T>>, read: impl FnOnce(&Outlet<T>) -> Result<()>) {
    if sender.is_closed() {
        return;
    }
    let outlet = Outlet(sender);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read(&outlet)));
    let error = match result {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(_) => unforeseen(),
    };
    // Nobody may be listening any more: then the error has no reader either.
    let _ = outlet.0.blocking_send(Err(error));
}

fn items<T: Send + 'static>(receiver: mpsc::Receiver<Result<T>>) -> BoxStream<'static, Result<T>> {
    stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|item| (item, receiver)) }).boxed()
}

fn unforeseen() -> Error {
    Error::new(ErrorKind::Internal, "a driver failed in an unforeseen way")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Says when it is dropped.
    struct State(Arc<AtomicBool>);

    impl Drop for State {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn the_end_is_told_after_the_state_is_gone() {
        for panics in [false, true] {
            let gone = Arc::new(AtomicBool::new(false));
            let worker = Worker::start("test", State(Arc::clone(&gone))).unwrap();
            worker.call(|_| Ok(())).await.unwrap();
            let ended = worker.ended();
            if panics {
                assert!(worker.call(|_| -> Result<()> { panic!("as asked for") }).await.is_err());
            } else {
                drop(worker);
            }
            ended.wait().await;
            assert!(gone.load(Ordering::SeqCst));
        }
    }

    #[tokio::test]
    async fn a_job_that_nobody_waits_for_is_left_out() {
        let worker = Worker::start("test", false).unwrap();
        let (open, opened) = std::sync::mpsc::channel::<()>();
        let first = worker.call(move |_| {
            let _ = opened.recv();
            Ok(())
        });
        let mut first = Box::pin(first);
        // The first job runs, the second one waits behind it and is given up.
        assert!(futures::poll!(&mut first).is_pending());
        let mut second = Box::pin(worker.call(|ran| {
            *ran = true;
            Ok(())
        }));
        assert!(futures::poll!(&mut second).is_pending());
        drop(second);
        drop(open);
        first.await.unwrap();
        assert!(!worker.call(|ran| Ok(*ran)).await.unwrap());
    }
}
