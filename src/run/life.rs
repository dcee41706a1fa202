//! The life of one run, and what a failure leaves at each of its steps.
//!
//! ```text
//! Started → pre-SQL → agree → Planned → prepare → tasks (Wrote …) → check, verify → commit ║ Committed → finish → post-SQL → Finished
//!           └──── a failure or a stop: sweep the stage, Aborted ───────────────────╨── a failure: "the data are committed" ──
//! ```
//!
//! A run whose process died is gone on with by another one: it asks the target what is there, and goes on behind that.

use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use super::{Surroundings, fingerprint, stopped};
use crate::endpoint::{Session, Step};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::flow::reject::RejectLog;
use crate::job::{Job, Toggle};
use crate::run::lease::Lease;
use crate::run::local::LocalRunner;
use crate::run::report::Summary;
use crate::run::resume::{Plan, can_complete, mixes};
use crate::run::stages::{Agreed, Committed, Opened};
use crate::run::steps::Steps;
use crate::run::verify;
use crate::runner::{PlanShape, RunEvents, Runner as _};
use crate::sink::{Kept, Progress, Receipt, WriteMode};
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
    lease: OnceCell<Lease>,
    check_every: Duration,
    sweep_time: Duration,
}

/// What an earlier process of the run left.
enum Past {
    /// Nothing, or nothing that was of use.
    Nothing { note: Option<String> },
    /// The stage of this plan, with the tasks of these receipts.
    Staged { plan: Plan, receipts: Vec<Receipt> },
    /// All of it.
    Committed(Committed),
}

impl<'a> Life<'a> {
    pub(super) fn new(job: &'a Job, opened: &'a Opened, surroundings: &'a Surroundings) -> Self {
        let (state, rejects) = (surroundings.state.as_deref(), opened.rejects.as_deref());
        let log = Log { state, run: &opened.token.run, kept: OnceLock::new(), rejects };
        let (check_every, sweep_time) = (CHECK_EVERY, SWEEP_TIME);
        Self { job, opened, surroundings, log, lease: OnceCell::new(), check_every, sweep_time }
    }

    /// From the first record to the last.
    pub(super) async fn live(&self) -> Result<Summary> {
        let resumed = self.surroundings.resume.as_ref();
        if resumed.is_some() || !self.job.pre_sql.is_empty() {
            self.surroundings.or_stop(self.hold(Kept::Commit)).await?;
        }
        if let (Some(resumed), Some(state)) = (resumed, &self.surroundings.state) {
            self.surroundings.or_stop(resumed.refuse_moved(&**state)).await?;
        }
        if resumed.is_none() {
            self.surroundings.or_stop(self.log.append(&self.opened.started(self.job))).await?;
        }
        match self.committed().await {
            Ok(committed) => {
                self.completed(&committed).await.map_err(|error| begun(error).at("the data are", "committed"))
            }
            Err(Failure { error, left }) => {
                // The failure itself is what the user must see, whatever session and log say to it.
                let _ = timeout(self.sweep_time, self.opened.session.close()).await;
                // What an earlier process left is there until it is swept.
                if left == Left::Nothing || left == Left::AsBefore && resumed.is_none() {
                    let _ = self.log.append(&StateRecord::Aborted { reason: error.to_string() }).await;
                    self.release().await;
                }
                Err(error)
            }
        }
    }

    /// Takes the lease of the job, once. What leaves nothing behind may be done by many at once: there it is the run's own.
    async fn hold(&self, kept: Kept) -> Result<()> {
        let Some(state) = &self.surroundings.state else { return Ok(()) };
        let run = &self.opened.token.run;
        let job = if kept == Kept::Nothing { run.clone() } else { fingerprint::identity(self.job) };
        let take = || Lease::take(state, job.clone(), run);
        self.lease.get_or_try_init(take).await.map(drop)
    }

    async fn release(&self) {
        if let Some(lease) = self.lease.get() {
            lease.release().await;
        }
    }

    /// Everything up to the commit. What pre-SQL did stays after a failure, and the error says so.
    async fn committed(&self) -> Result<Committed, Failure> {
        let past = self.past().await?;
        if let Past::Committed(committed) = past {
            return Ok(committed);
        }
        let mut ran = 0;
        let result = match self.pre_sql(&mut ran).await {
            Ok(()) => self.moved(past).await,
            Err(error) => Err(error.into()),
        };
        result.map_err(|failure| match ran {
            0 => failure,
            _ => Failure { error: begun(failure.error).at("after pre-SQL,", "whose changes stay"), ..failure },
        })
    }

    /// What is left of the run that is gone on with. What is of no use is removed.
    async fn past(&self) -> Result<Past> {
        let plan = self.surroundings.resume.as_ref().and_then(|resumed| Some((resumed, resumed.planned.as_ref()?)));
        let Some((resumed, plan)) = plan else { return Ok(Past::Nothing { note: None }) };
        let (token, agreement) = (&self.opened.token, &plan.agreement);
        let sink = self.opened.target.sink(&self.job.target.object)?;
        let committed = |receipts: &[Receipt], note: &str| {
            let (agreement, receipts) = (agreement.clone(), receipts.to_vec());
            let (merged, position) = (None, None);
            Past::Committed(Committed {
                agreement,
                receipts,
                channels: 0,
                merged,
                position,
                note: Some(note.to_owned()),
            })
        };
        if resumed.committed {
            return Ok(committed(&resumed.wrote, "the rows were committed before; what comes after was done now"));
        }
        let kept = match self.surroundings.or_stop(sink.progress(agreement, token, &resumed.wrote)).await? {
            Progress::Committed => {
                return Ok(committed(&resumed.wrote, "the rows were committed when it was interrupted"));
            }
            Progress::Kept(kept) => kept,
        };
        let can_complete = can_complete(self.job, plan, &self.opened.session.snapshot());
        if can_complete && agreement.kept == Kept::Tasks {
            return Ok(Past::Staged { plan: plan.clone(), receipts: kept });
        }
        if agreement.tasks_stay() && !kept.is_empty() {
            let message =
                "the rows of its tasks are in the target, and the source is not at their point in time any more";
            return Err(Error::new(ErrorKind::Step, message)
                .at("run", &token.run)
                .with_hint("remove its rows, give it up by 'etl jobs clean', and begin anew"));
        }
        self.surroundings.or_stop(sink.abort(agreement, token)).await?;
        let note = match (agreement.kept, can_complete) {
            (Kept::Tasks, _) => "it was begun again: the source is not at the point in time of the interrupted run",
            _ => "it was begun again: the target keeps nothing of an interrupted copy",
        };
        Ok(Past::Nothing { note: Some(note.to_owned()) })
    }

    async fn pre_sql(&self, ran: &mut usize) -> Result<()> {
        for (index, sql) in self.job.pre_sql.iter().enumerate() {
            let executed = self.steps().run(&self.opened.token.run, (Step::PreSql, index as u32), sql).await;
            // A statement that was given up may have been executed all the same.
            let lost = |error: &Error| matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Connection);
            *ran += usize::from(executed.as_ref().err().is_none_or(lost));
            executed.at("pre-SQL", || index + 1)?;
            let done = StateRecord::Step { step: Step::PreSql, index: index as u32 };
            self.surroundings.or_stop(self.log.append(&done)).await?;
        }
        Ok(())
    }

    fn steps(&self) -> Steps<'_> {
        Steps {
            endpoint: &*self.opened.target,
            surroundings: self.surroundings,
            log: &self.log,
            resumed: self.surroundings.resume.as_ref(),
        }
    }

    /// From the agreement to the commit.
    async fn moved(&self, past: Past) -> Result<Committed, Failure> {
        let (agreed, done, note) = match past {
            Past::Staged { plan, receipts } => self.staged(plan, receipts).await?,
            Past::Nothing { note } => (self.agreed().await?, Vec::new(), note),
            Past::Committed(committed) => return Ok(committed),
        };
        let _ = self.log.kept.set(agreed.agreement.kept);
        self.opened.expect(self.job, self.surroundings, &done);
        match self.written(&agreed, done).await {
            Ok(receipts) => {
                let (channels, merged) = (agreed.sizing.channels, agreed.sink.merged(&self.opened.token));
                let (agreement, position) = (agreed.agreement, self.opened.position());
                Ok(Committed { agreement, receipts, channels, merged, position, note })
            }
            Err(error) => Err(self.swept(&agreed, begun(error)).await),
        }
    }

    /// The agreement of a stage that is there, with what is in it.
    async fn staged(&self, plan: Plan, receipts: Vec<Receipt>) -> Result<(Agreed, Vec<Receipt>, Option<String>)> {
        let sink = self.opened.target.sink(&self.job.target.object)?;
        let mixed = mixes(self.job, &plan, &self.opened.session.snapshot());
        let Plan { agreement, splits, at, .. } = plan;
        let agreed = self.surroundings.or_stop(self.opened.planned(self.job, sink, agreement, Some(&splits))).await?;
        if agreed.planned.transfer.shape == PlanShape::Wide {
            self.surroundings.or_stop(agreed.sink.abort(&agreed.agreement, &self.opened.token)).await?;
            let note = "it was begun again: all rows are needed together";
            return Ok((self.agreed().await?, Vec::new(), Some(note.to_owned())));
        }
        let splits = agreed.planned.transfer.splits.len();
        let there: usize = receipts.iter().map(|receipt| receipt.splits.len()).sum();
        let mut note = format!("{there} of {splits} splits were there from before it was interrupted");
        if mixed && there > 0 {
            let then = at.as_deref().unwrap_or("the time of the interrupted run");
            note = format!("not one point in time: {then} to {} UTC; {note}", now());
        }
        Ok((agreed, receipts, Some(note)))
    }

    /// A new agreement, under the lease of the job.
    async fn agreed(&self) -> Result<Agreed> {
        let agreed = self.surroundings.or_stop(self.opened.agree(self.job)).await?;
        self.surroundings.or_stop(self.hold(agreed.agreement.kept)).await?;
        let planned = StateRecord::Planned {
            transfer: 0,
            snapshot: self.opened.session.snapshot(),
            splits: agreed.planned.transfer.splits.clone(),
            cut: self.opened.was_cut(),
            at: Some(now()),
            agreements: vec![agreed.agreement.clone()],
        };
        self.surroundings.or_stop(self.log.append(&planned)).await?;
        Ok(agreed)
    }

    /// Prepares the stage, runs the tasks that are not `done` and commits.
    async fn written(&self, agreed: &Agreed, done: Vec<Receipt>) -> Result<Vec<Receipt>> {
        let (sink, session) = (&agreed.sink, &self.opened.session);
        self.surroundings.or_stop(sink.prepare(&agreed.agreement, &self.opened.token)).await?;
        let runner = self.opened.runner(agreed, &self.job.limits, self.surroundings);
        if let Some(rejects) = &self.opened.rejects {
            self.surroundings.or_stop(rejects.prepare()).await?;
        }
        let mut receipts = self.run(&runner, agreed, &done).await?;
        receipts.extend(done);
        refuse_empty_sync(self.job, &receipts)?;
        // All rows are there: locks and snapshot of the source are not needed while the target is published.
        self.surroundings.or_stop(session.check()).await?;
        self.surroundings.or_stop(session.close()).await?;
        self.surroundings.or_stop(verify::stage(self.job, agreed, &self.opened.token, &receipts)).await?;
        if self.surroundings.stop.is_cancelled() {
            return Err(stopped());
        }
        if let Some(lease) = self.lease.get() {
            self.surroundings.or_stop(lease.renew()).await?;
        }
        if let Some(rejects) = &self.opened.rejects {
            // First: rows that stand nowhere must not be missed in the target.
            rejects.commit().await?;
        }
        let committed = sink.commit(&agreed.agreement, &self.opened.token, &receipts).await;
        committed.map_err(unanswered).at("step", || "commit")?;
        Ok(receipts)
    }

    /// Sweeps what was staged. A failure to do so is told beside the one that led here. Rows that are seen stay.
    async fn swept(&self, agreed: &Agreed, mut error: Error) -> Failure {
        if agreed.agreement.tasks_stay() {
            let (agreement, token) = (&agreed.agreement, &self.opened.token);
            let standing = timeout(self.sweep_time, agreed.sink.progress(agreement, token, &[])).await;
            if !matches!(&standing, Ok(Ok(Progress::Kept(kept))) if kept.is_empty()) {
                let error = error.at("the rows of tasks that had ended", "stay, and --resume goes on behind them");
                return Failure { error, left: Left::Stage };
            }
        }
        if let Some(rejects) = &self.opened.rejects {
            error = rejects.abandon(error).await;
        }
        let error = match timeout(self.sweep_time, agreed.sink.abort(&agreed.agreement, &self.opened.token)).await {
            Ok(Ok(())) => return Failure { error, left: Left::Nothing },
            Ok(Err(also)) => error.at("what was staged could not be removed", format!("({also})")),
            Err(_) => error.at("what was staged was not removed within", format!("{} s", self.sweep_time.as_secs())),
        };
        Failure { error, left: Left::Stage }
    }

    /// Runs the tasks, and ends them when the source's point in time or the lease is lost.
    async fn run(&self, runner: &LocalRunner, agreed: &Agreed, done: &[Receipt]) -> Result<Vec<Receipt>> {
        let mut running = pin!(runner.run(&agreed.planned.transfer, done, &self.log));
        let overtaken = async {
            match self.lease.get() {
                Some(lease) => lease.lost().await,
                None => std::future::pending().await,
            }
        };
        let error = tokio::select! {
            receipts = &mut running => return receipts,
            error = lost(&*self.opened.session, self.check_every) => error,
            error = overtaken => error,
        };
        // Waits until no task holds a writer any more.
        runner.stop.cancel();
        let _ = running.await;
        Err(error)
    }

    /// All that follows the commit. The log alone keeps nothing from being done.
    async fn completed(&self, committed: &Committed) -> Result<Summary> {
        let token = &self.opened.token;
        let (transfer, sink, epoch) = (token.transfer, token.sink, token.epoch);
        let position = committed.position.clone();
        let mut logged = self.log.append(&StateRecord::Committed { transfer, sink, epoch, position }).await;
        if logged.is_ok() {
            // It may take the target's own mark away, which is all that says so otherwise.
            let finished = self.opened.target.finish(std::slice::from_ref(&committed.agreement)).await;
            finished.at("step", || "finishing the target")?;
        }
        for (index, sql) in self.job.post_sql.iter().enumerate() {
            let executed = self.steps().run(&token.run, (Step::PostSql, index as u32), sql).await;
            executed.at("post-SQL", || index + 1)?;
            let done = StateRecord::Step { step: Step::PostSql, index: index as u32 };
            logged = logged.and(self.log.append(&done).await);
        }
        let mut summary = self.opened.summary(committed, self.surroundings);
        logged.and(self.log.append(&StateRecord::Finished { rows: summary.rows }).await)?;
        self.release().await;
        if self.surroundings.stop.is_cancelled() {
            summary.notes.push("it was to stop when its commit had begun, so it was finished".to_owned());
        }
        Ok(summary)
    }
}

/// Why a run ended before its commit.
struct Failure {
    error: Error,
    left: Left,
}

/// What it left in the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Nothing of this process.
    AsBefore,
    /// Nothing at all: it was swept.
    Nothing,
    /// It could not be removed: the run can be gone on with.
    Stage,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, left: Left::AsBefore }
    }
}

/// This moment in UTC, as the log has times.
fn now() -> String {
    chrono::Utc::now().format("%F %T").to_string()
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
pub(super) fn begun(error: Error) -> Error {
    if error.kind() == ErrorKind::Usage { error.as_kind(ErrorKind::Step) } else { error }
}

/// A source that gives no rows by mistake (a wrong filter, a load that failed) must not empty the target.
fn refuse_empty_sync(job: &Job, receipts: &[Receipt]) -> Result<()> {
    let rows: u64 = receipts.iter().map(|receipt| receipt.rows).sum();
    if rows > 0 || job.empty_sync == Toggle::On || !matches!(job.mode, WriteMode::Sync(_)) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Constraint, "no row came, and a sync would delete all rows of the target")
        .with_hint("look why the source is empty; if it is meant to be, use --allow-empty"))
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
pub(super) struct Log<'a> {
    state: Option<&'a dyn StateLog>,
    run: &'a str,
    /// What the target keeps, once that is agreed on.
    kept: OnceLock<Kept>,
    rejects: Option<&'a RejectLog>,
}

impl Log<'_> {
    pub(super) async fn append(&self, record: &StateRecord) -> Result<()> {
        match self.state {
            Some(state) => state.append(self.run, record).await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl RunEvents for Log<'_> {
    async fn wrote(&self, receipt: &Receipt) -> Result<()> {
        let outlives = self.kept.get() == Some(&Kept::Tasks);
        let (transfer, logged) = (0, receipt.clone());
        let record = if outlives {
            StateRecord::Wrote { transfer, receipt: logged }
        } else {
            StateRecord::Held { transfer, receipt: logged }
        };
        self.append(&record).await?;
        if let Some(rejects) = self.rejects {
            rejects.accept(receipt);
        }
        Ok(())
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
    use crate::run::stages;
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
        let opened = Opened::open(&job, between, stages::Past::default()).await.unwrap();
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
