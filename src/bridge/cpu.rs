//! The door to rayon: all processor work of a split (decode, align, encode, compress) goes through here.
//!
//! One pool for the process. A tokio worker never computes for long; a pool thread never waits for I/O.

use std::sync::OnceLock;

use rayon::ThreadPool;
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind, Result};

static POOL: OnceLock<ThreadPool> = OnceLock::new();

/// Sets the number of threads. Without a call it is the number of cores.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) when the pool runs already with another size.
pub fn set_threads(threads: usize) -> Result<()> {
    let pool = POOL.get_or_init(|| build(threads));
    if pool.current_num_threads() == threads {
        return Ok(());
    }
    let message = format!("the processor pool already runs with {} threads", pool.current_num_threads());
    Err(Error::new(ErrorKind::Usage, message))
}

/// How many threads the pool has.
pub fn threads() -> usize {
    pool().current_num_threads()
}

/// Runs `work` on the pool and awaits its result. Inside, rayon's parallel iterators use the same pool.
///
/// # Errors
/// [`Internal`](ErrorKind::Internal) when `work` panicked.
pub async fn run<T, F>(work: F) -> Result<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    pool().spawn(move || {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        // A dropped receiver means that the caller was cancelled: the result is not wanted.
        let _ = sender.send(result);
    });
    match receiver.await {
        Ok(Ok(result)) => Ok(result),
        _ => Err(Error::new(ErrorKind::Internal, "processing a batch failed in an unforeseen way")),
    }
}

/// Runs `work` on the pool for a thread that may wait: one of [`blocking`](super::blocking), never a tokio worker.
///
/// # Errors
/// [`Internal`](ErrorKind::Internal) when `work` panicked.
pub fn run_blocking<T, F>(work: F) -> Result<T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    pool()
        .install(|| std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)))
        .map_err(|_| Error::new(ErrorKind::Internal, "processing a batch failed in an unforeseen way"))
}

fn pool() -> &'static ThreadPool {
    POOL.get_or_init(|| build(std::thread::available_parallelism().map_or(1, usize::from)))
}

fn build(threads: usize) -> ThreadPool {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("etl-cpu-{index}"))
        .build()
        .expect("the system grants threads at start")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn two_splits_are_in_the_pool_at_once() {
        assert!(threads() >= 2, "this test needs a machine with two cores");
        let (to_second, from_first) = mpsc::channel();
        let (to_first, from_second) = mpsc::channel();
        let limit = Duration::from_secs(30);
        // Each waits for the other: only two that run at the same time come through.
        let first = run(move || to_second.send(()).is_ok() && from_second.recv_timeout(limit).is_ok());
        let second = run(move || to_first.send(()).is_ok() && from_first.recv_timeout(limit).is_ok());
        let (first, second) = tokio::join!(first, second);
        assert!(first.unwrap() && second.unwrap());
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let error = run(|| Vec::<u8>::new()[0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
    }

    #[tokio::test]
    async fn another_size_is_refused_once_it_runs() {
        let threads = threads();
        assert!(set_threads(threads).is_ok());
        assert_eq!(set_threads(threads + 1).unwrap_err().kind(), ErrorKind::Usage);
    }
}
