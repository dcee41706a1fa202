//! The life of one run, and what a failure leaves at each of its steps.
//!
//! ```text
//! Started → pre-SQL → agree → Planned → prepare → tasks (Wrote …) → check, verify, sift → commit ║ Committed → finish → post-SQL → Finished
//!           └──── a failure or a stop: sweep the stage, Aborted ───────────────────╨── a failure: "the data are committed" ──
//! ```
//!
//! Of several targets each has its commit. A run whose process died is gone on with by another one: it asks the targets what
//! is there, and goes on behind that. So is one that failed, where its job wants the stage to be kept: it has no `Aborted`.

mod commit;
mod past;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join;
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use self::past::Past;
use super::{PreSql, Surroundings, buffer, fingerprint, stopped};
use crate::endpoint::{Session, Step};
use crate::error::{Context as _, Error, ErrorKind, Result, retry};
use crate::flow::reject::RejectLog;
use crate::job::{Job, Toggle};
use crate::run::lease::Lease;
use crate::run::local::LocalRunner;
use crate::run::report::Summary;
use crate::run::stages::{Agreed, Committed, Landed, Opened};
use crate::run::steps::{Steps, keeps_columns};
use crate::run::{targets, verify};
use crate::runner::{PlanShape, RunEvents, Runner as _, Transfer};
use crate::sink::{Kept, Receipt, WriteMode};
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
            self.surroundings.or_stop(self.hold(fingerprint::identity(self.job))).await?;
        }
        if let (Some(resumed), Some(state)) = (resumed, &self.surroundings.state) {
            self.surroundings.or_stop(resumed.refuse_moved(&**state)).await?;
        }
        if resumed.is_none() {
            let started = self.opened.started(self.job, self.surroundings.pre_sql);
            self.surroundings.or_stop(self.log.append(&started)).await?;
        }
        match self.committed().await {
            Ok(committed) => {
                self.completed(committed).await.map_err(|error| begun(error).at("the data are", "committed"))
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

    /// Takes the lease of `job`, once.
    async fn hold(&self, job: String) -> Result<()> {
        let Some(state) = &self.surroundings.state else { return Ok(()) };
        let take = || Lease::take(state, job, &self.opened.token.run, self.job.targets());
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
        if past.landed.len() == self.job.targets().count() {
            return Ok(past.into());
        }
        let mut ran = 0;
        let result = match self.pre_sql(&mut ran).await {
            Ok(last) => self.moved(past, last).await,
            Err(error) => Err(error.into()),
        };
        result.map_err(|failure| match ran {
            0 => failure,
            _ => Failure { error: begun(failure.error).at("after pre-SQL,", "whose changes stay"), ..failure },
        })
    }

    /// Runs the pieces of SQL that come before the rows. Gives the record of the last, which is to be logged before anything rests
    /// on it.
    async fn pre_sql(&self, ran: &mut usize) -> Result<Option<StateRecord>> {
        let mut last = None;
        if self.surroundings.pre_sql == PreSql::Done {
            return Ok(last);
        }
        self.refuse_other_columns().await?;
        for (index, sql) in self.job.pre_sql.iter().enumerate() {
            self.logged(last.take()).await?;
            let executed = self.steps().run(&self.opened.token.run, (Step::PreSql, index as u32), sql).await;
            // A statement that was given up may have been executed all the same.
            let lost = |error: &Error| matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Connection);
            *ran += usize::from(executed.as_ref().err().is_none_or(lost));
            executed.at("pre-SQL", || index + 1)?;
            last = Some(StateRecord::Step { step: Step::PreSql, index: index as u32 });
        }
        Ok(last)
    }

    /// Asks the targets once before SQL that takes rows away and can mend no column: of a job whose columns differ they stay.
    async fn refuse_other_columns(&self) -> Result<()> {
        let is_added_to = matches!(self.job.mode, WriteMode::Append | WriteMode::Upsert(_));
        let pre_sql = &self.job.pre_sql;
        if !is_added_to || pre_sql.is_empty() || !pre_sql.iter().all(|sql| keeps_columns(sql)) {
            return Ok(());
        }
        match self.asked(&[]).await {
            Err(error) if error.kind() == ErrorKind::Schema => Err(error),
            // What else there is to say is said when the target is as it will be.
            _ => Ok(()),
        }
    }

    async fn logged(&self, record: Option<StateRecord>) -> Result<()> {
        match record {
            Some(record) => self.surroundings.or_stop(self.log.append(&record)).await,
            None => Ok(()),
        }
    }

    fn steps(&self) -> Steps<'_> {
        Steps {
            endpoint: &*self.opened.target,
            surroundings: self.surroundings,
            log: &self.log,
            resumed: self.surroundings.resume.as_ref(),
        }
    }

    /// From the agreement to the commits, with a record that is to be logged on the way.
    async fn moved(
        &self,
        Past { landed, staged, note }: Past,
        last: Option<StateRecord>,
    ) -> Result<Committed, Failure> {
        let (agreed, done, note) = if let Some(staged) = staged {
            self.logged(last).await?;
            self.staged(staged, &landed, note).await?
        } else {
            // The log is synced while the targets are asked: nothing is changed before both are done.
            let (agreed, logged) = join(self.asked(&landed), self.logged(last)).await;
            logged?;
            (self.planned(agreed?, &landed).await?, Vec::new(), note)
        };
        let kept = agreed.targets.iter().map(|target| (target.token.sink, target.agreement.kept));
        let _ = self.log.kept.set(kept.collect());
        self.opened.expect(self.job, self.surroundings, &agreed, &done);
        match self.written(&agreed, done).await {
            Ok((receipts, refused)) => {
                let note = past::both(note, buffer::note(agreed.buffer.as_deref()));
                self.commit(&agreed, (&receipts, &refused), landed, note).await
            }
            Err(error) => Err(self.swept(&agreed.targets, &landed, begun(error)).await),
        }
    }

    /// A new agreement, under the lease of the job, with the targets that have not `landed`.
    async fn agreed(&self, landed: &[Landed]) -> Result<Agreed> {
        self.planned(self.asked(landed).await?, landed).await
    }

    /// What the targets agree to. It changes nothing.
    async fn asked(&self, landed: &[Landed]) -> Result<Agreed> {
        self.surroundings.or_stop(self.opened.agree(self.job, landed)).await
    }

    /// `agreed`, when the job is held and the log has it.
    async fn planned(&self, agreed: Agreed, landed: &[Landed]) -> Result<Agreed> {
        // What may be done by many at once has a lease of its own.
        let run = &self.opened.token.run;
        let job = if targets::pass_on(&agreed.targets) { run.clone() } else { fingerprint::identity(self.job) };
        self.surroundings.or_stop(self.hold(job)).await?;
        let before = landed.iter().map(|landed| (landed.sink, &landed.agreement));
        let new = agreed.targets.iter().map(|target| (target.token.sink, &target.agreement));
        let mut agreements: Vec<_> = before.chain(new).collect();
        agreements.sort_by_key(|(sink, _)| *sink);
        let planned = StateRecord::Planned {
            transfer: 0,
            snapshot: self.opened.session.snapshot(),
            splits: agreed.planned.transfer.splits.clone(),
            cut: self.opened.was_cut(),
            at: Some(now()),
            together: agreed.planned.transfer.shape == PlanShape::Wide,
            agreements: agreements.into_iter().map(|(_, agreement)| agreement.clone()).collect(),
        };
        self.surroundings.or_stop(self.log.append(&planned)).await?;
        Ok(agreed)
    }

    /// Prepares the stages and runs the tasks that are not `done`, up to the first commit. The receipts, and how many of their
    /// rows each target refused.
    async fn written(&self, agreed: &Agreed, done: Vec<Receipt>) -> Result<(Vec<Receipt>, HashMap<u32, u64>)> {
        let session = &self.opened.session;
        self.surroundings.or_stop(targets::prepare(&agreed.targets)).await?;
        let runner = self.opened.runner(agreed, &self.job.limits, self.surroundings);
        if let Some(rejects) = &self.opened.rejects {
            self.surroundings.or_stop(rejects.prepare()).await?;
        }
        let mut receipts = done;
        for (sinks, part) in targets::left(&agreed.planned.transfer, &agreed.targets, &receipts) {
            let more = self.run(&runner, &part, &targets::of(&receipts, &sinks)).await?;
            receipts.extend(more);
        }
        refuse_empty_sync(self.job, &receipts)?;
        // All rows are there: locks and snapshot of the source are not needed while the target is published.
        self.surroundings.or_stop(session.check()).await?;
        self.surroundings.or_stop(session.close()).await?;
        self.surroundings.or_stop(verify::stages(self.job, &agreed.targets, &receipts)).await?;
        let refused = self.surroundings.or_stop(self.opened.sift(&agreed.targets, &receipts)).await?;
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
        Ok((receipts, refused))
    }

    /// Runs the tasks, and ends them when the source's point in time or the lease is lost.
    async fn run(&self, runner: &LocalRunner, transfer: &Transfer, done: &[Receipt]) -> Result<Vec<Receipt>> {
        let mut running = pin!(runner.run(transfer, done, &self.log));
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

    /// All that follows the commits. The log alone keeps nothing from being done.
    async fn completed(&self, mut committed: Committed) -> Result<Summary> {
        let token = &self.opened.token;
        let mut logged = std::mem::replace(&mut committed.logged, Ok(()));
        if let Some(lease) = self.lease.get()
            && lease.is_lost_now(self.sweep_time).await
        {
            // Who has it now finds the rows by the target's own mark, and does what comes after them.
            return Err(lease.lost().await);
        }
        if logged.is_ok() {
            for Landed { sink, agreement, .. } in &committed.landed {
                // It may take the target's own mark away, which is all that says so otherwise.
                let endpoint = self.opened.goal(self.job, *sink)?.endpoint;
                endpoint.finish(std::slice::from_ref(agreement)).await.at("step", || "finishing the target")?;
            }
        }
        for (index, sql) in self.job.post_sql.iter().enumerate() {
            let executed = self.steps().run(&token.run, (Step::PostSql, index as u32), sql).await;
            executed.at("post-SQL", || index + 1)?;
            let done = StateRecord::Step { step: Step::PostSql, index: index as u32 };
            logged = logged.and(self.log.append(&done).await);
        }
        let mut summary = self.opened.summary(&committed, self.surroundings);
        let Summary { rows, read, rejected, .. } = summary;
        logged.and(self.log.append(&StateRecord::Finished { rows, read, rejected }).await)?;
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
    /// The rows themselves, and others have them not: the run can be gone on with.
    Part,
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

/// The log of one run.
pub(super) struct Log<'a> {
    state: Option<&'a dyn StateLog>,
    run: &'a str,
    /// What each sink keeps, once that is agreed on.
    kept: OnceLock<Vec<(u32, Kept)>>,
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
        let outlives = self.kept.get().is_some_and(|kept| kept.contains(&(receipt.sink, Kept::Tasks)));
        let (transfer, logged) = (0, receipt.clone());
        let record = if outlives {
            StateRecord::Wrote { transfer, receipt: logged }
        } else {
            StateRecord::Held { transfer, receipt: logged }
        };
        // A log is waited for by itself. The task did not fail, and is not begun anew.
        let lasting = |error: Error| if retry(error.kind()) { error.as_kind(ErrorKind::Io) } else { error };
        self.append(&record).await.map_err(lasting)?;
        if let Some(rejects) = self.rejects {
            rejects.accept(receipt);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
