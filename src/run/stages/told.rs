//! What a plan and a finished run say of what was opened, agreed and committed.

use std::sync::Arc;

use datafusion::execution::TaskContext;

use super::{Agreed, Committed, Landed, Opened};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::board::Around;
use crate::flow::reject::RejectLog;
use crate::job::{Job, Speed};
use crate::plan::pipeline::Target;
use crate::run::incremental::Window;
use crate::run::queue::{self, Queues};
use crate::run::report::{PlanReport, Summary, TargetReport, TargetSummary, TaskReport};
use crate::run::sizing::Sizing;
use crate::run::{Surroundings, buffer, rejects, resume, retry, verify};
use crate::runner::{PlanShape, Transfer};
use crate::shape::counted;
use crate::sink::Agreement;
use crate::source::Split;

impl Opened {
    /// What is to be said of this run: of its position, by the source, and by the targets.
    fn notes<'a>(&self, agreements: impl Iterator<Item = &'a Agreement>) -> Vec<String> {
        let said =
            |agreement: &'a Agreement| agreement.notes.iter().map(|note| self.told(&agreement.label, note.clone()));
        let found = self.draft.reading.warnings.iter().cloned();
        self.window.iter().flat_map(Window::notes).chain(found).chain(agreements.flat_map(said)).collect()
    }

    /// `note` of one target, which is named where there are several.
    fn told(&self, label: &str, note: String) -> String {
        if self.also.is_empty() { note } else { format!("{label}: {note}") }
    }

    /// What is told of the run whose tasks run in `context`, beside what they count.
    pub(super) fn around(&self, context: &TaskContext) -> Around {
        let pool = Arc::clone(&context.runtime_env().memory_pool);
        Around {
            shares: self.budget.shares(),
            operator_bytes: Box::new(move || pool.reserved() as u64),
            rejects: self.rejects.clone(),
        }
    }

    /// What `etl plan` says.
    pub(in crate::run) fn report(&self, job: &Job, agreed: &Agreed) -> Result<PlanReport> {
        let Agreed { targets, planned, sizing, .. } = agreed;
        let (snapshot, cut, shape) = (self.session.snapshot(), self.was_cut(), planned.transfer.shape);
        let told = |target: &Target| {
            let Agreement { kept, publish, .. } = target.agreement;
            let resume = resume::grade(job, (&snapshot, cut), shape, (kept, publish));
            TargetReport::of(&target.agreement, &self.draft.shape, resume)
        };
        let mut reports = targets.iter().map(told);
        let none = || Error::new(ErrorKind::Internal, "the plan has no target");
        Ok(PlanReport {
            source: self.source.label(),
            target: reports.next().ok_or_else(none)?,
            also: reports.collect(),
            reading: self.draft.reading.notes.clone(),
            pushed_down: planned.pushed_down.clone(),
            operators: planned.operators.clone(),
            splits: planned.transfer.splits.len(),
            rows: self.draft.shape.rows,
            bytes: self.draft.shape.bytes,
            least_seconds: least_seconds(job, self.draft.shape.rows, self.draft.shape.bytes),
            sizing: sizing.clone(),
            limits: limits(job, retry::told(&job.limits, targets, &planned.transfer)),
            buffer: buffer::plan_notes(job, &snapshot, (self.draft.plan_shape, shape)),
            state: None,
            log: None,
            notes: self
                .notes(targets.iter().map(|target| &target.agreement))
                .into_iter()
                .chain(targets.iter().flat_map(|to| {
                    let notes = [to.sink.holds_up(&to.agreement), verify::note(job, to), rejects::note(job, to)];
                    notes.into_iter().flatten().map(move |note| self.told(&to.agreement.label, note))
                }))
                .collect(),
            tasks: task_reports(&planned.transfer, sizing),
        })
    }

    /// What a finished run says.
    pub(in crate::run) fn summary(&self, committed: &Committed, surroundings: &Surroundings) -> Summary {
        let Committed { landed, channels, .. } = committed;
        let meter = surroundings.meter.reading();
        let mut notes = self.notes(landed.iter().map(|landed| &landed.agreement));
        notes.extend(committed.note.clone());
        for Landed { agreement, notes: of_commit, .. } in landed {
            notes.extend(of_commit.iter().map(|note| self.told(&agreement.label, note.clone())));
        }
        match meter.retries {
            0 => {}
            1 => notes.push("a task was begun anew after a failure that passed".to_owned()),
            count => notes.push(format!("tasks were begun anew {count} times after failures that passed")),
        }
        let log = self.rejects.as_deref();
        notes.extend(log.map(RejectLog::shown).unwrap_or_default().into_iter().map(|text| format!("rejected: {text}")));
        let targets: Vec<TargetSummary> = landed.iter().map(TargetSummary::of).collect();
        // A row that several targets refuse is one row.
        let most = targets.iter().map(|target| target.rejected).max().unwrap_or(0);
        let rejected = log.map_or(0, RejectLog::rejected).max(most);
        let first = targets.first().cloned().unwrap_or_default();
        // What an earlier process committed, this one has not read.
        let read = log.map_or(0, RejectLog::read).max(first.rows + rejected);
        Summary {
            run: self.token.run.clone(),
            source: self.source.label(),
            target: first.target,
            rows: first.rows,
            read,
            merged: first.merged,
            position: self.window.as_ref().filter(|_| *channels > 0).and_then(Window::reached),
            rejected,
            rejected_by: log.map(RejectLog::classes).unwrap_or_default(),
            rejects: log.and_then(RejectLog::file).filter(|_| rejected > 0).map(str::to_owned),
            bytes_written: targets.iter().map(|target| target.bytes_written).sum(),
            tasks: landed.first().map_or(0, |landed| landed.receipts.len()),
            channels: *channels,
            targets,
            meter,
            notes,
        }
    }
}

/// The tasks as they would be cut if nothing were measured: one split each, or what the target asks for.
fn task_reports(transfer: &Transfer, sizing: &Sizing) -> Vec<TaskReport> {
    let report = |task: usize, group: usize, splits: &[Split]| TaskReport {
        task: task as u32,
        group,
        splits: splits.iter().map(|split| split.id).collect(),
        rows: splits.iter().map(|split| split.rows).sum(),
        bytes: splits.iter().map(|split| split.bytes).sum(),
    };
    if transfer.shape == PlanShape::Wide {
        return vec![report(0, 0, &transfer.splits)];
    }
    let mut queues = Queues::new(&transfer.splits, &sizing.groups);
    let least_bytes = queue::least_bytes(&transfer.splits, sizing.channels, transfer.task_bytes);
    let mut tasks = Vec::new();
    let mut group = 0;
    loop {
        let splits = queues.take(group, 0, least_bytes);
        if splits.is_empty() {
            return tasks;
        }
        tasks.push(report(tasks.len(), group, &splits));
        group = (group + 1) % sizing.groups.len();
    }
}

/// What else limits a job, one sentence each: its speed, rows that are rejected, `attempts` of a task.
fn limits(job: &Job, attempts: String) -> Vec<String> {
    let Speed { job_bytes, job_rows, channel_bytes, channel_rows } = job.limits.speed;
    let speed = |bytes: Option<u64>, rows: Option<u64>, who: &str| {
        let parts = [bytes.map(|bytes| format!("{bytes} bytes/s")), rows.map(|rows| format!("{rows} rows/s"))];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| format!("{who} no faster than {}", parts.join(" and ")))
    };
    let most = job.errors.max_errors.map(|most| {
        let share = most.percent().map(|percent| format!("{percent} % of those read"));
        let parts: Vec<String> =
            most.rows().map(|rows| counted(rows as usize, "row")).into_iter().chain(share).collect();
        format!("the copy fails when more than {} are rejected", parts.join(" or "))
    });
    let speeds = [speed(job_bytes, job_rows, "all channels"), speed(channel_bytes, channel_rows, "each channel")];
    speeds.into_iter().flatten().chain(most).chain([attempts]).collect()
}

/// The time that the limits of speed leave to a job of so many rows and bytes, in seconds.
fn least_seconds(job: &Job, rows: Option<u64>, bytes: Option<u64>) -> Option<f64> {
    let speed = &job.limits.speed;
    let time = |amount: Option<u64>, limit: Option<u64>| Some(amount? as f64 / limit?.max(1) as f64);
    [time(rows, speed.job_rows), time(bytes, speed.job_bytes)].into_iter().flatten().reduce(f64::max)
}
