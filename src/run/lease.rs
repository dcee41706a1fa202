//! The lease of a job while one of its runs is alive: no second run of the same job begins meanwhile.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Result};
use crate::job::Place;
use crate::run::jobs;
use crate::run::resume::Unfinished;
use crate::state::{StateLog, StateRecord};

/// How often a lease is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(20);

/// A lease that is renewed until it is given back or dropped.
#[derive(Debug)]
pub(super) struct Lease {
    state: Arc<dyn StateLog>,
    job: String,
    run: String,
    heartbeat: JoinHandle<()>,
    lost: CancellationToken,
}

impl Lease {
    /// Takes the lease of `job` for `run`. What a run before it staged in `places`, the targets of the job, and whose process is gone, is
    /// removed: nobody goes on with it.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) when another run of the job is alive, [`Step`](ErrorKind::Step) when one that is gone had made some of
    /// its rows visible.
    pub(super) async fn take<'a>(
        state: &Arc<dyn StateLog>,
        job: String,
        run: &str,
        places: impl IntoIterator<Item = &'a Place>,
    ) -> Result<Self> {
        let before = state.holders().await?.into_iter().find(|holder| holder.job == job && holder.run != run);
        state.lease(&job, run).await?;
        if let Some(before) = before
            && let Some(unfinished) = Unfinished::of(&before.run, state.read(&before.run).await?)
        {
            let mut reason = format!("it was interrupted, and run {run} of the same job began in its place");
            match sweep(&unfinished, places).await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Step => {
                    // Some of its rows are visible, and would come twice: it stays one that can be gone on with.
                    state.release(&job, run).await?;
                    state.lease(&job, &before.run).await?;
                    return Err(error.at("run", &before.run));
                }
                Err(error) => {
                    let _ = write!(reason, "; what it had staged could not be removed ({error})");
                }
            }
            state.append(&before.run, &StateRecord::Aborted { reason }).await?;
        }
        let lost = CancellationToken::new();
        let heartbeat = tokio::spawn(beat(Arc::clone(state), job.clone(), run.to_owned(), lost.clone()));
        Ok(Self { state: Arc::clone(state), job, run: run.to_owned(), heartbeat, lost })
    }

    /// Resolves when another run has taken it: this process was not heard of for too long.
    pub(super) async fn lost(&self) -> Error {
        self.lost.cancelled().await;
        let message = "another run of the same job has begun, because this one was not heard of for long";
        Error::new(ErrorKind::Busy, message).with_hint("the other run does the work: look at `etl jobs`")
    }

    /// Renews it at once.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) when another run has taken it.
    pub(super) async fn renew(&self) -> Result<()> {
        let renewed = self.state.lease(&self.job, &self.run).await;
        if renewed.as_ref().is_err_and(|error| error.kind() == ErrorKind::Busy) {
            self.lost.cancel();
        }
        renewed
    }

    /// Whether another run has taken it. Asked of the log, for no longer than `limit`: this process may have slept since it was last
    /// heard of.
    pub(super) async fn is_lost_now(&self, limit: Duration) -> bool {
        // A log that does not answer knows of nobody.
        let _ = timeout(limit, self.renew()).await;
        self.lost.is_cancelled()
    }

    /// Gives it back. What cannot be given back runs out.
    pub(super) async fn release(&self) {
        self.heartbeat.abort();
        let _ = self.state.release(&self.job, &self.run).await;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

/// Removes what `run` staged in `places`.
async fn sweep<'a>(run: &Unfinished, places: impl IntoIterator<Item = &'a Place>) -> Result<()> {
    // The lease has to be renewed behind it.
    let swept = timeout(RENEW_EVERY, jobs::sweep(run, places)).await;
    swept.unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, "the target does not answer"))).map(drop)
}

async fn beat(state: Arc<dyn StateLog>, job: String, run: String, lost: CancellationToken) {
    loop {
        sleep(RENEW_EVERY).await;
        // A log that cannot be written at this moment is asked again.
        if state.lease(&job, &run).await.is_err_and(|error| error.kind() == ErrorKind::Busy) {
            return lost.cancel();
        }
    }
}
