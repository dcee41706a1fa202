//! Going on with a run whose process is gone: what its records say, and how much of it can be kept.

use serde::Serialize;
use serde_json::Value as Json;

use crate::endpoint::{Snapshot, Step};
use crate::error::{Error, ErrorKind, Result};
use crate::job::{Job, OnError};
use crate::proof::Verify;
use crate::reject::Judged;
use crate::run::{PreSql, fingerprint};
use crate::runner::PlanShape;
use crate::sink::{Agreement, Kept, Publish, Receipt};
use crate::source::{Cut, Split};
use crate::state::{Life, StateLog, StateRecord};

/// The member of a recorded job that says that an earlier run had prepared its target.
pub(super) const PREPARED: &str = "prepared";

/// A run that was interrupted: it neither finished nor failed, and its process is gone.
#[derive(Clone, Debug, Default)]
pub struct Unfinished {
    /// Its id.
    pub run: String,
    pub(super) fingerprint: String,
    pub(super) planned: Option<Plan>,
    /// What its log has of the tasks of this plan.
    pub(super) wrote: Vec<Receipt>,
    /// The sinks of which its log says that the rows are visible.
    pub(super) committed: Vec<u32>,
    pub(super) job: Json,
    /// Number of its records.
    records: usize,
    steps: Vec<(Step, u32, Past)>,
}

/// The transfer as it was planned.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) snapshot: Snapshot,
    pub(super) splits: Vec<Split>,
    pub(super) cut: Cut,
    pub(super) at: Option<String>,
    /// Its tasks have the splits all together.
    pub(super) together: bool,
    /// One for each sink.
    pub(super) agreements: Vec<Agreement>,
}

/// How far a step of the user came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Past {
    NotBegun,
    Begun,
    Done,
}

impl Unfinished {
    /// What `records` say of `run`; none when it ended in order, or has no records.
    pub(super) fn of(run: &str, records: Vec<StateRecord>) -> Option<Self> {
        let mut unfinished = Self { run: run.to_owned(), records: records.len(), ..Self::default() };
        for record in records {
            match record {
                StateRecord::Started { job, fingerprint } => {
                    (unfinished.job, unfinished.fingerprint) = (job, fingerprint);
                }
                StateRecord::Planned { snapshot, splits, cut, at, together, agreements, .. } => {
                    // What is visible stays so.
                    let Self { wrote, committed, .. } = &mut unfinished;
                    wrote.retain(|receipt| committed.contains(&receipt.sink));
                    unfinished.planned = Some(Plan { snapshot, splits, cut, at, together, agreements });
                }
                StateRecord::Wrote { receipt, .. } | StateRecord::Held { receipt, .. } => {
                    unfinished.wrote.push(receipt);
                }
                StateRecord::StepBegun { step, index } => unfinished.steps.push((step, index, Past::Begun)),
                StateRecord::Step { step, index } => unfinished.steps.push((step, index, Past::Done)),
                StateRecord::Committed { sink, .. } => unfinished.committed.push(sink),
                StateRecord::Aborted { .. } | StateRecord::Finished { .. } => return None,
            }
        }
        (!unfinished.fingerprint.is_empty()).then_some(unfinished)
    }

    /// How far this step came.
    pub(super) fn past(&self, step: Step, index: u32) -> Past {
        let known = self.steps.iter().rev().find(|(one, at, _)| (*one, *at) == (step, index));
        known.map_or(Past::NotBegun, |(_, _, past)| *past)
    }

    /// Whether its SQL before the rows is still wanted.
    pub fn pre_sql(&self) -> PreSql {
        if self.job[PREPARED] == true { PreSql::Done } else { PreSql::Wanted }
    }

    /// Refuses to begin anew beside what this run left to be seen in the target.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists).
    pub fn refuse_anew(&self) -> Result<()> {
        let agreements = (0..).zip(self.planned.iter().flat_map(|plan| &plan.agreements));
        let mut open = agreements.filter(|(sink, _)| !self.committed.contains(sink));
        let (message, hint) = if open.any(|(_, agreement)| agreement.tasks_stay()) {
            let message = "it was interrupted, and the rows of its tasks stay in the target: they would come twice";
            (message, "go on with it by --resume; or remove its rows, give it up by 'etl jobs clean', and begin anew")
        } else if !self.committed.is_empty() && self.adds_alone() {
            let message =
                "its rows are in the target, or in one of several, and it was not finished: they would come twice";
            (message, "--resume does what is left; to add the rows once more, give it up by 'etl jobs clean' before")
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::AlreadyExists, message).at("run", &self.run).with_hint(hint))
    }

    /// Whether another run of this job would add all rows once more, as far as is known: SQL before them may take the first away.
    fn adds_alone(&self) -> bool {
        let has_pre_sql = self.job["preSql"].as_array().is_some_and(|sql| !sql.is_empty());
        self.job["mode"] == "append" && self.job["incremental"].is_null() && !has_pre_sql
    }

    /// Refuses a run that another process has gone on with since its records were read. Asked under the lease.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy).
    pub(super) async fn refuse_moved(&self, state: &dyn StateLog) -> Result<()> {
        if state.read(&self.run).await?.len() == self.records {
            return Ok(());
        }
        let message = format!("another process went on with run {} at this moment", self.run);
        Err(Error::new(ErrorKind::Busy, message).with_hint("etl jobs says what became of it"))
    }

    /// Refuses a source whose columns have changed.
    ///
    /// # Errors
    /// [`Schema`](ErrorKind::Schema).
    pub(super) fn refuse_other(&self, fingerprint: &str) -> Result<()> {
        if self.fingerprint == fingerprint {
            return Ok(());
        }
        let message = format!("the columns of the source are not those that run {} began with", self.run);
        Err(Error::new(ErrorKind::Schema, message).with_hint("start the copy anew, without --resume"))
    }
}

/// The last run of `job`, if it was interrupted.
///
/// # Errors
/// Those of the log.
pub async fn unfinished(job: &Job, state: &dyn StateLog) -> Result<Option<Unfinished>> {
    let identity = fingerprint::identity(job);
    let holders = state.holders().await?;
    let Some(gone) = holders.iter().find(|holder| holder.job == identity && holder.life == Life::Gone) else {
        return Ok(None);
    };
    Ok(Unfinished::of(&gone.run, state.read(&gone.run).await?))
}

/// Refuses a job that was changed since it was interrupted. Called when no run of `job` itself can be gone on with.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage), naming what differs.
pub async fn refuse_changed(job: &Job, state: &dyn StateLog) -> Result<()> {
    let now = fingerprint::recorded(job);
    let same_places =
        |then: &Json| ["source", "union", "target", "folder"].iter().all(|place| then[place] == now[place]);
    for holder in state.holders().await? {
        if holder.life == Life::Alive {
            continue;
        }
        let Some(other) = Unfinished::of(&holder.run, state.read(&holder.run).await?) else { continue };
        let differs = differing(&other.job, &now);
        // A run of this very job that is not gone on with has left nothing.
        if !same_places(&other.job) || differs.is_empty() {
            continue;
        }
        let message = format!("run {} is of another job, which differs in {}", other.run, differs.join(", "));
        return Err(Error::new(ErrorKind::Usage, message)
            .with_hint("give the same flags as then, or start the copy anew, without --resume"));
    }
    Ok(())
}

/// Refuses to begin `job` beside rows that an interrupted run left to be seen in the target, where it is the same job but for when
/// rows are seen, and for the SQL after them. Called when no run of `job` itself can be gone on with.
///
/// # Errors
/// [`AlreadyExists`](ErrorKind::AlreadyExists).
pub async fn refuse_beside(job: &Job, state: &dyn StateLog) -> Result<()> {
    let now = fingerprint::recorded(job);
    for holder in state.holders().await?.into_iter().filter(|holder| holder.life == Life::Gone) {
        // Of records that cannot be read nobody knows what they are of.
        let Ok(records) = state.read(&holder.run).await else { continue };
        let Some(other) = Unfinished::of(&holder.run, records) else { continue };
        let differs = differing(&other.job, &now);
        if !differs.is_empty() && differs.iter().all(|name| ["publish", "postSql"].contains(name)) {
            other.refuse_anew()?;
        }
    }
    Ok(())
}

/// The members of `now`, a job as the log has it, that are otherwise in `then`.
fn differing<'a>(then: &Json, now: &'a Json) -> Vec<&'a str> {
    let members = now.as_object().into_iter().flatten();
    members.filter(|(name, value)| then[name] != **value).map(|(name, _)| name.as_str()).collect()
}

/// How the last run of a job ended that cannot be gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All was done.
    Finished,
    /// It failed and left nothing, but for what its pre-SQL did.
    Failed {
        /// Whether all of that was done.
        prepared: bool,
    },
}

/// How the last run of `job` ended; none where the log has none, or it is under way.
///
/// # Errors
/// Those of the log.
pub async fn ending(job: &Job, state: &dyn StateLog) -> Result<Option<Ending>> {
    let now = fingerprint::recorded(job);
    for entry in state.runs().await?.iter().rev() {
        let records = state.read(&entry.run).await?;
        let Some(StateRecord::Started { job: then, .. }) = records.first() else { continue };
        if !differing(then, &now).is_empty() {
            continue;
        }
        if matches!(records.last(), Some(StateRecord::Finished { .. })) {
            return Ok(Some(Ending::Finished));
        }
        if state.holders().await?.iter().any(|holder| holder.run == entry.run && holder.life == Life::Alive) {
            return Ok(None);
        }
        let done = records.iter().filter_map(|record| match record {
            StateRecord::Step { step: Step::PreSql, index } => Some(*index),
            _ => None,
        });
        let done: Vec<u32> = done.collect();
        let prepared = then[PREPARED] == true || (0..).zip(&job.pre_sql).all(|(index, _)| done.contains(&index));
        return Ok(Some(Ending::Failed { prepared }));
    }
    Ok(None)
}

/// The rows by which a limit judges the last run of `job` that finished; none where the log has none.
///
/// # Errors
/// Those of the log.
pub async fn judged(job: &Job, state: &dyn StateLog) -> Result<Option<Judged>> {
    let now = fingerprint::recorded(job);
    for entry in state.runs().await?.iter().rev() {
        let records = state.read(&entry.run).await?;
        let (Some(StateRecord::Started { job: then, .. }), Some(StateRecord::Finished { read, rejected, .. })) =
            (records.first(), records.last())
        else {
            continue;
        };
        if differing(then, &now).is_empty() {
            return Ok(Some(Judged { read: *read, rejected: *rejected }));
        }
    }
    Ok(None)
}

/// How a run goes on after its process is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ResumeGrade {
    /// Tasks that were written stay, the others are read at the same point in time.
    Exact,
    /// Tasks that were written stay, the others are read at another point in time, by key.
    Mixed,
    /// What was written is removed, and the copy begins again.
    Restart,
}

/// What can be promised, and why it is not more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resume {
    /// The grade.
    pub grade: ResumeGrade,
    /// One sentence.
    pub reason: String,
}

/// The grade of `job`, read at `snapshot` by what it was `cut`, of plans of `shape`, into a target that keeps and shows rows so.
pub(super) fn grade(
    job: &Job,
    (snapshot, cut): (&Snapshot, Cut),
    shape: PlanShape,
    (kept, publish): (Kept, Publish),
) -> Resume {
    let restart = |reason: &str| Resume {
        grade: ResumeGrade::Restart,
        reason: if (kept, publish) == (Kept::Tasks, Publish::PerTask) {
            format!("{reason}, and the rows of its tasks must be removed before")
        } else {
            reason.to_owned()
        },
    };
    let exact = |reason: &str| Resume { grade: ResumeGrade::Exact, reason: reason.to_owned() };
    if let Some(reason) = always_whole(job) {
        return restart(reason);
    }
    match (kept, shape, snapshot) {
        (Kept::Nothing, ..) => restart("the target keeps nothing of an interrupted copy"),
        (Kept::Commit, ..) => restart("all rows are in one transaction, which ends with its process"),
        (Kept::Tasks, PlanShape::Wide, _) => restart("all rows go through one writer, or are needed together"),
        (Kept::Tasks, _, Snapshot::Lasting(_)) => exact("as long as the source is unchanged"),
        (Kept::Tasks, _, Snapshot::Shared(_)) if job.snapshot.is_some() => exact("as long as the snapshot is held"),
        (Kept::Tasks, _, Snapshot::Shared(_) | Snapshot::Private) if (job.cut, cut) == (Cut::ByKey, Cut::ByKey) => {
            let reason = "the rest is read at another point in time, by key".to_owned();
            Resume { grade: ResumeGrade::Mixed, reason }
        }
        (Kept::Tasks, _, Snapshot::Shared(_)) => {
            restart("the source's point in time ends with its process; one of 'etl snapshot hold' outlives it")
        }
        (Kept::Tasks, _, Snapshot::Private | Snapshot::None) => {
            restart("the source's point in time ends with its process")
        }
    }
}

/// Whether tasks of `job` that were read as `plan` has it can be completed at `now`.
pub(super) fn can_complete(job: &Job, plan: &Plan, now: &Snapshot) -> bool {
    same_point(job, &plan.snapshot, now) || mixes(job, plan, now)
}

/// Whether they can be completed at another point in time alone, as the user allows.
pub(super) fn mixes(job: &Job, plan: &Plan, now: &Snapshot) -> bool {
    let by_key = (job.cut, plan.cut) == (Cut::ByKey, Cut::ByKey);
    by_key && always_whole(job).is_none() && !same_point(job, &plan.snapshot, now)
}

/// Whether what was read at `then` can be completed at `now` without anybody seeing it.
pub(super) fn same_point(job: &Job, then: &Snapshot, now: &Snapshot) -> bool {
    let lasts = match now {
        Snapshot::Lasting(_) => true,
        // Servers give the same ids again after their next start: nobody but its holder knows that one is still the same.
        Snapshot::Shared(_) => job.snapshot.is_some(),
        Snapshot::Private | Snapshot::None => false,
    };
    always_whole(job).is_none() && lasts && then == now
}

/// Why a job is never completed by another process.
pub(super) fn always_whole(job: &Job) -> Option<&'static str> {
    match (&job.incremental, job.errors.on_error) {
        (Some(_), _) => Some("the end of an incremental copy is looked for anew"),
        (None, OnError::Skip) => Some("what was rejected is known to its process alone"),
        (None, OnError::Fail) if job.verify >= Verify::Checksum => Some("its sums are those of one process"),
        (None, OnError::Fail) => None,
    }
}

#[cfg(test)]
mod tests;
