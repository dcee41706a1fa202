//! The door to drivers that block: each gets a thread of its own, never a tokio worker.

use arrow::array::RecordBatch;
use futures::stream::BoxStream;
use futures::{StreamExt as _, stream};
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, ErrorKind, Result};

/// Batches that may wait between the thread and its reader. The lane after it counts bytes.
const QUEUE_BATCHES: usize = 1;

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
/// after the job that runs.
pub struct Worker<S> {
    jobs: mpsc::Sender<Job<S>>,
}

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

impl<S: Send + 'static> Worker<S> {
    /// Gives `state` a thread of its own.
    ///
    /// # Errors
    /// When no thread was to be had.
    pub fn start(name: &str, mut state: S) -> Result<Self> {
        let (jobs, mut queue) = mpsc::channel::<Job<S>>(1);
        let body = move || {
            while let Some(job) = queue.blocking_recv() {
                job(&mut state);
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(body)?;
        Ok(Self { jobs })
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
        let job: Job<S> = Box::new(move |state| drop(sender.send(work(state))));
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

/// Runs `read` with an outlet into `sender`; its error or panic is the last item.
fn pour<T>(sender: mpsc::Sender<Result<T>>, read: impl FnOnce(&Outlet<T>) -> Result<()>) {
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
