//! The life of one run, and what a failure leaves at each of its steps.
//!
//! ```text
//! Started → pre-SQL → agree → Planned → prepare → tasks (Wrote …) → check, verify → commit ║ Committed → finish → post-SQL → Finished
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
use crate::run::verify;
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
    check_every: Duration,
    sweep_time: Duration,
}

/// What was committed.
struct Committed {
    agreed: Agreed,
    receipts: Vec<Receipt>,
}

impl<'a> Life<'a> {
    pub(super) fn new(job: &'a Job, opened: &'a Opened, surroundings: &'a Surroundings) -> Self {
        let log = Log { state: surroundings.state.as_deref(), run: &opened.token.run };
        Self { job, opened, surroundings, log, check_every: CHECK_EVERY, sweep_time: SWEEP_TIME }
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
                let _ = timeout(self.sweep_time, self.opened.session.close()).await;
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
            Err(error) => Err(self.swept(&agreed, begun(error)).await),
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
        self.surroundings.or_stop(verify::stage(self.job, agreed, &self.opened.token, &receipts)).await?;
        if self.surroundings.stop.is_cancelled() {
            return Err(stopped());
        }
        let committed = sink.commit(&agreed.agreement, &self.opened.token, &receipts).await;
        committed.map_err(unanswered).at("step", || "commit")?;
        Ok(receipts)
    }

    /// Sweeps what was staged. A failure to do so is told beside the one that led here.
    async fn swept(&self, agreed: &Agreed, error: Error) -> Error {
        match timeout(self.sweep_time, agreed.sink.abort(&agreed.agreement, &self.opened.token)).await {
            Ok(Ok(())) => error,
            Ok(Err(also)) => error.at("what was staged could not be removed", format!("({also})")),
            Err(_) => error.at("what was staged was not removed within", format!("{} s", self.sweep_time.as_secs())),
        }
    }

    /// Runs the tasks, and ends them when the source's point in time is lost.
    async fn run(&self, runner: &LocalRunner, agreed: &Agreed) -> Result<Vec<Receipt>> {
        let mut running = pin!(runner.run(&agreed.planned.transfer, &[], &self.log));
        tokio::select! {
            receipts = &mut running => receipts,
            error = lost(&*self.opened.session, self.check_every) => {
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
async fn lost(session: &dyn Session, check_every: Duration) -> Error {
    loop {
        sleep(check_every).await;
        if let Err(error) = session.check().await {
            return error;
        }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};

    use super::*;
    use crate::endpoint::ObjectRef;
    use crate::job::Place;
    use crate::run::Between;
    use crate::testing::faults::{Fault, Faults, Point};
    use crate::testing::memory::Memory;

    const SOON: Duration = Duration::from_millis(5);

    /// Runs a copy of ten rows between tables in memory, both of which have `faults`, with short times.
    async fn failing(faults: Faults) -> (Error, Memory) {
        let (source, target) = (Memory::new(), Memory::new());
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
        source.insert("t", RecordBatch::try_from_iter([("id", ids)]).unwrap(), 5);
        let between =
            Between { source: faults.endpoint(source.endpoint()), target: faults.endpoint(target.endpoint()) };
        let place = || Place::new("memory", serde_json::Value::Null, ObjectRef::Table("t".to_owned()));
        let (job, surroundings) = (Job::new(place(), place()), Surroundings::default());
        let opened = Opened::open(&job, between).await.unwrap();
        let life = Life { check_every: SOON, sweep_time: SOON, ..Life::new(&job, &opened, &surroundings) };
        (life.live().await.unwrap_err(), target)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_lost_point_in_time_ends_the_tasks_at_once() {
        let faults = Faults::new().each(Point::Flush, Fault::Hang);
        let (error, target) = failing(faults.each(Point::Check, Fault::Fail(ErrorKind::Transient))).await;
        assert_eq!(error.kind(), ErrorKind::Transient, "{error:?}");
        assert_eq!((target.staged(), target.counts().open_writers, target.counts().aborts), (0, 0, 1));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sweeping_and_closing_that_hang_are_given_up() {
        let faults = Faults::new().each(Point::Flush, Fault::Fail(ErrorKind::Constraint));
        let faults = faults.each(Point::Abort, Fault::Hang).each(Point::Close, Fault::Hang);
        let (error, _) = failing(faults).await;
        assert_eq!(error.kind(), ErrorKind::Constraint);
        assert!(error.to_string().starts_with("what was staged was not removed within 0 s: "), "{error}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_failure_to_sweep_is_told_beside_the_first() {
        let faults = Faults::new().each(Point::Commit, Fault::Fail(ErrorKind::Constraint));
        let (error, _) = failing(faults.each(Point::Abort, Fault::Fail(ErrorKind::Io))).await;
        assert_eq!(error.kind(), ErrorKind::Constraint);
        assert!(error.to_string().starts_with("what was staged could not be removed (a fault at Abort"), "{error}");
    }
}
