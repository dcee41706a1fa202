//! What a plan and a finished run say: plain data for the command line and for scripts.

use serde::Serialize;

use crate::flow::meter::Reading;
use crate::reject::Classes;
use crate::run::resume::Resume;
use crate::run::sizing::Sizing;
use crate::run::stages::Landed;
use crate::schema::NATIVE;
use crate::sink::{Agreement, ColumnPlan, Guarantee, Merged, Publish, Receipt, Writers};
use crate::source::TableShape;

/// What `etl plan` prints.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanReport {
    /// Source without secrets.
    pub source: String,
    /// The target.
    #[serde(flatten)]
    pub target: TargetReport,
    /// The targets beside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<TargetReport>,
    /// The way the source is read, and why; one sentence each.
    pub reading: Vec<String>,
    /// What the source does by itself: columns, filters, limit; one sentence each.
    pub pushed_down: Vec<String>,
    /// The operators, outermost first, one line each.
    pub operators: Vec<String>,
    /// Number of splits.
    pub splits: usize,
    /// Estimated rows.
    pub rows: Option<u64>,
    /// Estimated bytes.
    pub bytes: Option<u64>,
    /// Time that the limits of speed leave to it, in seconds; none without a limit.
    pub least_seconds: Option<f64>,
    /// Channels and groups, with the arithmetic.
    pub sizing: Sizing,
    /// Speed, rejected rows and further attempts; one sentence each.
    pub limits: Vec<String>,
    /// How rows wait on disk, and when the source is let go; one sentence each. Empty without a buffer.
    pub buffer: Vec<String>,
    /// Where the run would be recorded, without secrets, where a place was asked for.
    pub state: Option<String>,
    /// The file that is told what is said, where one was asked for.
    pub log: Option<String>,
    /// What the user should know, one sentence each.
    pub notes: Vec<String>,
    /// Every task as it would be cut without measured speed.
    pub tasks: Vec<TaskReport>,
}

/// What a plan says of one target.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetReport {
    /// Its name, without secrets.
    #[serde(rename = "target")]
    pub label: String,
    /// One entry per column.
    pub columns: Vec<ColumnReport>,
    /// Statements that will run on the target.
    pub ddl: Vec<String>,
    /// How many writers.
    pub writers: Writers,
    /// When rows become visible.
    pub publish: Publish,
    /// What is promised.
    pub guarantee: Guarantee,
    /// How an interrupted run goes on.
    pub resume: Resume,
}

impl TargetReport {
    /// What `agreement` over `shape` says.
    pub(super) fn of(agreement: &Agreement, shape: &TableShape, resume: Resume) -> Self {
        Self {
            label: agreement.label.clone(),
            columns: agreement.columns.iter().map(|plan| ColumnReport::of(plan, shape)).collect(),
            ddl: agreement.ddl.clone(),
            writers: agreement.writers.clone(),
            publish: agreement.publish,
            guarantee: agreement.guarantee,
            resume,
        }
    }
}

/// One column of a plan.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ColumnReport {
    /// Type in the source's own words, else in Arrow's; none for a column that only the target has.
    pub incoming_type: Option<String>,
    /// What happens to it.
    #[serde(flatten)]
    pub plan: ColumnPlan,
}

impl ColumnReport {
    /// `plan` beside the type that its column has in `shape`.
    pub(super) fn of(plan: &ColumnPlan, shape: &TableShape) -> Self {
        let field = plan.incoming.as_ref().and_then(|name| shape.schema.field_with_name(name).ok());
        let incoming_type = field.map(|field| {
            let native = field.metadata().get(NATIVE).and_then(|native| native.split_once(':'));
            native.map_or_else(|| field.data_type().to_string(), |(_, name)| name.to_owned())
        });
        Self { incoming_type, plan: plan.clone() }
    }
}

/// One task of a plan.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskReport {
    /// Which task.
    pub task: u32,
    /// Which group's queue it starts in.
    pub group: usize,
    /// Its splits.
    pub splits: Vec<u32>,
    /// Estimated rows.
    pub rows: Option<u64>,
    /// Estimated bytes.
    pub bytes: Option<u64>,
}

/// What a finished run says.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Id of the run.
    pub run: String,
    /// Source without secrets.
    pub source: String,
    /// Target without secrets.
    pub target: String,
    /// Rows that became visible.
    pub rows: u64,
    /// Rows that were read, where some may be rejected; at least those that became visible and those that were rejected.
    #[serde(skip)]
    pub read: u64,
    /// What they did to the target, where they were merged by key.
    pub merged: Option<Merged>,
    /// Where the next incremental copy goes on.
    pub position: Option<String>,
    /// Rows that were refused and left out, of all targets or of some.
    pub rejected: u64,
    /// By what was wrong with them.
    pub rejected_by: Classes,
    /// The file that holds them; none where there is none.
    pub rejects: Option<String>,
    /// Bytes written to all targets, encoded.
    pub bytes_written: u64,
    /// Each of the targets; the first is the one above.
    pub targets: Vec<TargetSummary>,
    /// Tasks that ran.
    pub tasks: usize,
    /// Channels.
    pub channels: usize,
    /// The counters at the end.
    pub meter: Reading,
    /// What the user should know, one sentence each.
    pub notes: Vec<String>,
}

/// What a finished run says of one target.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetSummary {
    /// Its name, without secrets.
    pub target: String,
    /// Rows that became visible.
    pub rows: u64,
    /// What they did, where they were merged by key.
    pub merged: Option<Merged>,
    /// Rows that it did not get.
    pub rejected: u64,
    /// Bytes written, encoded.
    pub bytes_written: u64,
}

impl Summary {
    /// This one and `next`, of the next round of the same transfer, as one.
    #[must_use]
    pub fn and(self, next: Self) -> Self {
        let meter = Reading {
            seconds: self.meter.seconds + next.meter.seconds,
            rows_read: self.meter.rows_read + next.meter.rows_read,
            bytes_read: self.meter.bytes_read + next.meter.bytes_read,
            rows_written: self.meter.rows_written + next.meter.rows_written,
            retries: self.meter.retries + next.meter.retries,
            ..next.meter
        };
        Self {
            rows: self.rows + next.rows,
            read: self.read + next.read,
            position: next.position.or(self.position),
            rejected: self.rejected + next.rejected,
            rejected_by: self.rejected_by.with(next.rejected_by, u64::saturating_add),
            rejects: next.rejects.or(self.rejects),
            bytes_written: self.bytes_written + next.bytes_written,
            tasks: self.tasks + next.tasks,
            meter,
            ..next
        }
    }
}

impl TargetSummary {
    pub(super) fn of(Landed { agreement, receipts, refused, merged, .. }: &Landed) -> Self {
        let sum = |of: fn(&Receipt) -> u64| receipts.iter().map(of).sum::<u64>();
        Self {
            target: agreement.label.clone(),
            rows: sum(|receipt| receipt.rows) - refused,
            merged: *merged,
            rejected: sum(|receipt| receipt.rejected) + refused,
            bytes_written: sum(|receipt| receipt.bytes),
        }
    }
}
