//! The life of one run, and what a failure leaves at each of its steps.
//!
//! ```text
//! Started → pre-SQL → agree → Planned → prepare → tasks (Wrote …) → check → commit ║ Committed → finish → post-SQL → Finished
//!           └──── a failure or a stop: sweep the stage, Aborted ───────────────────╨── a failure: "the data are committed" ──
//! ```

use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{sleep, timeout};

use super::{Surroundings, stopped};
use crate::endpoint::{Session, Step};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::job::Job;
use crate::run::local::LocalRunner;
use crate::run::report::Summary;
use crate::run::stages::{Agreed, Opened};
use crate::runner::{RunEvents, Runner as _};
use crate::sink::Receipt;
use crate::state::{StateLog, StateRecord};

/// How often a run asks whether its point in time is still there.
const CHECK_EVERY: Duration = Duration::from_secs(30);

/// How long sweeping may take: the user waits for it after a failure or a stop.
const SWEEP_TIME: Duration = Duration::from_secs(30);

/// One run of an opened job.
pub(super) struct Life<'a> {
    job: &'a Job,
    opened: &'a Opened,
    surroundings: &'a Surroundings,
    log: Log<'a>,
}

/// What was committed.
struct Committed {
    agreed: Agreed,
    receipts: Vec<Receipt>,
}

impl<'a> Life<'a> {
    pub(super) fn new(job: &'a Job, opened: &'a Opened, surroundings: &'a Surroundings) -> Self {
        let log = Log { state: surroundings.state.as_deref(), run: &opened.token.run };
        Self { job, opened, surroundings, log }
    }

    /// From the first record to the last.
    pub(super) async fn live(&self) -> Result<Summary> {
        self.surroundings.or_stop(self.log.append(&self.opened.started(self.job))).await?;
        match self.committed().await {
            Ok(committed) => {
                self.completed(&committed).await.map_err(|error| begun(error).at("the data are", "committed"))
            }
            Err(error) => {
                // The failure itself is what the user must see, whatever session and log say to it.
                let _ = timeout(SWEEP_TIME, self.opened.session.close()).await;
                let _ = self.log.append(&StateRecord::Aborted { reason: error.to_string() }).await;
                Err(error)
            }
        }
    }

    /// Everything up to the commit. What pre-SQL did stays after a failure, and the error says so.
    async fn committed(&self) -> Result<Committed> {
        let mut ran = 0;
        let result = match self.pre_sql(&mut ran).await {
            Ok(()) => self.moved().await,
            Err(error) => Err(error),
        };
        result.map_err(|error| match ran {
            0 => error,
            _ => begun(error).at("after pre-SQL,", "whose changes stay"),
        })
    }

    async fn pre_sql(&self, ran: &mut usize) -> Result<()> {
        for (index, sql) in self.job.pre_sql.iter().enumerate() {
            let executed = self.surroundings.or_stop(self.opened.target.execute(Step::PreSql, sql)).await;
            // A statement that was given up may have been executed all the same.
            let lost = |error: &Error| matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Connection);
            *ran += usize::from(executed.as_ref().err().is_none_or(lost));
            executed.map_err(begun).at("pre-SQL", || index + 1)?;
            self.surroundings.or_stop(self.log.append(&StateRecord::Step { step: Step::PreSql })).await?;
        }
        Ok(())
    }

    /// From the agreement to the commit.
    async fn moved(&self) -> Result<Committed> {
        let agreed = self.surroundings.or_stop(self.opened.agree(self.job)).await?;
        let splits = agreed.planned.transfer.splits.clone();
        let planned = StateRecord::Planned { transfer: 0, splits, agreements: vec![agreed.agreement.clone()] };
        self.surroundings.or_stop(self.log.append(&planned)).await?;
        self.opened.expect(self.job, self.surroundings);
        match self.written(&agreed).await {
            Ok(receipts) => Ok(Committed { agreed, receipts }),
            Err(error) => Err(swept(self.opened, &agreed, begun(error)).await),
        }
    }

    /// Prepares the stage, runs the tasks and commits.
    async fn written(&self, agreed: &Agreed) -> Result<Vec<Receipt>> {
        let (sink, session) = (&agreed.sink, &self.opened.session);
        self.surroundings.or_stop(sink.prepare(&agreed.agreement, &self.opened.token)).await?;
        let runner = self.opened.runner(agreed, &self.job.limits, self.surroundings);
        let receipts = self.run(&runner, agreed).await?;
        // All rows are there: locks and snapshot of the source are not needed while the target is published.
        self.surroundings.or_stop(session.check()).await?;
        self.surroundings.or_stop(session.close()).await?;
        if self.surroundings.stop.is_cancelled() {
            return Err(stopped());
        }
        let committed = sink.commit(&agreed.agreement, &self.opened.token, &receipts).await;
        committed.map_err(unanswered).at("step", || "commit")?;
        Ok(receipts)
    }

    /// Runs the tasks, and ends them when the source's point in time is lost.
    async fn run(&self, runner: &LocalRunner, agreed: &Agreed) -> Result<Vec<Receipt>> {
        let mut running = pin!(runner.run(&agreed.planned.transfer, &[], &self.log));
        tokio::select! {
            receipts = &mut running => receipts,
            error = lost(&*self.opened.session) => {
                // Waits until no task holds a writer any more.
                runner.stop.cancel();
                let _ = running.await;
                Err(error)
            }
        }
    }

    /// All that follows the commit. The log alone keeps nothing from being done.
    async fn completed(&self, committed: &Committed) -> Result<Summary> {
        let Committed { agreed, receipts } = committed;
        let token = &self.opened.token;
        let (transfer, sink, epoch) = (token.transfer, token.sink, token.epoch);
        let mut logged = self.log.append(&StateRecord::Committed { transfer, sink, epoch, position: None }).await;
        let finished = self.opened.target.finish(std::slice::from_ref(&agreed.agreement)).await;
        finished.at("step", || "finishing the target")?;
        for (index, sql) in self.job.post_sql.iter().enumerate() {
            let executed = self.surroundings.or_stop(self.opened.target.execute(Step::PostSql, sql)).await;
            executed.at("post-SQL", || index + 1)?;
            logged = logged.and(self.log.append(&StateRecord::Step { step: Step::PostSql }).await);
        }
        let mut summary = self.opened.summary(agreed, receipts, self.surroundings);
        logged.and(self.log.append(&StateRecord::Finished { rows: summary.rows }).await)?;
        if self.surroundings.stop.is_cancelled() {
            summary.notes.push("it was to stop when its commit had begun, so it was finished".to_owned());
        }
        Ok(summary)
    }
}

/// Resolves when the session has lost its point in time.
async fn lost(session: &dyn Session) -> Error {
    loop {
        sleep(CHECK_EVERY).await;
        if let Err(error) = session.check().await {
            return error;
        }
    }
}

/// Sweeps what was staged. A failure to do so is told beside the one that led here.
async fn swept(opened: &Opened, agreed: &Agreed, error: Error) -> Error {
    match timeout(SWEEP_TIME, agreed.sink.abort(&agreed.agreement, &opened.token)).await {
        Ok(Ok(())) => error,
        Ok(Err(also)) => error.at("what was staged could not be removed", format!("({also})")),
        Err(_) => error.at("what was staged was not removed within", format!("{} s", SWEEP_TIME.as_secs())),
    }
}

/// A run that has begun to change something did not fail by bad usage.
fn begun(error: Error) -> Error {
    if error.kind() == ErrorKind::Usage { error.as_kind(ErrorKind::Step) } else { error }
}

/// A commit whose answer was lost may have been done.
fn unanswered(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Connection | ErrorKind::Timeout => {
            error.with_hint("the answer was lost: look whether the rows are there before you run it again")
        }
        _ => error,
    }
}

/// The log of one run.
struct Log<'a> {
    state: Option<&'a dyn StateLog>,
    run: &'a str,
}

impl Log<'_> {
    async fn append(&self, record: &StateRecord) -> Result<()> {
        match self.state {
            Some(state) => state.append(self.run, record).await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl RunEvents for Log<'_> {
    async fn wrote(&self, receipt: &Receipt) -> Result<()> {
        self.append(&StateRecord::Wrote { transfer: 0, receipt: receipt.clone() }).await
    }
}
