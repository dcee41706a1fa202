//! What a job holds between its steps: what was opened, and what was agreed.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlanProperties as _;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::attempt::Token;
use crate::bridge::cpu;
use crate::connectors;
use crate::endpoint::{Endpoint, OpenRequest, Session};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::flow::heavy::HeavyDoor;
use crate::flow::throttle::Throttle;
use crate::job::{Job, Limits, Place};
use crate::plan::context::Ends;
use crate::plan::pipeline::{Draft, Parts, Pipeline, Planned, Target};
use crate::proof::Verify;
use crate::run::budget::{self, Budget, Work};
use crate::run::fingerprint;
use crate::run::local::LocalRunner;
use crate::run::queue::{self, Queues};
use crate::run::report::{ColumnReport, PlanReport, Summary, TaskReport};
use crate::run::retry::Renewal;
use crate::run::sizing::{self, Sizing, Wanted};
use crate::run::verify;
use crate::run::{Between, Surroundings};
use crate::runner::{PlanShape, Transfer};
use crate::schema::RESERVED;
use crate::sink::{Agreement, Receipt, Sink, Tasks, WriteRequest};
use crate::source::{Split, SplitGoal, TableShape};
use crate::state::StateRecord;

/// Names of the ends of a transfer with one source and one sink.
const SOURCE: &str = "source0";
const SINK: &str = "sink0";

/// A job whose source is open, described and cut.
pub(super) struct Opened {
    pub(super) target: Arc<dyn Endpoint>,
    pub(super) session: Arc<dyn Session>,
    pub(super) token: Token,
    source: Arc<dyn Endpoint>,
    pipeline: Pipeline,
    draft: Draft,
    sizing: Sizing,
    budget: Budget,
}

/// A job whose target has agreed.
pub(super) struct Agreed {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) agreement: Agreement,
    pub(super) planned: Planned,
    pub(super) sizing: Sizing,
}

/// The endpoint of a place, built and not opened.
pub(super) fn endpoint(place: &Place) -> Result<Arc<dyn Endpoint>> {
    connectors::find(&place.connector)?.endpoint(&place.options)
}

impl Opened {
    /// Opens the source of `job` and cuts it. The target is reached meanwhile and not touched: one that is not there is
    /// heard of before anything is moved.
    pub(super) async fn open(job: &Job, between: Between) -> Result<Self> {
        let target = Arc::clone(&between.target);
        let reached = async { target.reach().await.at("target", || target.label()) };
        Ok(futures::try_join!(Box::pin(Self::cut(job, between)), reached)?.0)
    }

    async fn cut(job: &Job, between: Between) -> Result<Self> {
        if let Some(threads) = job.limits.threads {
            cpu::set_threads(threads)?;
        }
        let (place, Between { source, target }) = (&job.source, between);
        let token = Token { run: Uuid::now_v7().simple().to_string(), transfer: 0, sink: 0, epoch: 0 };
        // What memory cannot do is said before anybody is asked for anything.
        let memory_bytes = budget::memory(job.limits.memory_bytes)?;
        let work = if job.transform.sql.is_some() { Work::Query } else { Work::Rows };
        let wanted = Wanted::of(&job.limits, cores()).at_most(budget::channels_max(memory_bytes, work), |most| {
            format!("{most} channels are all that {} of memory feed", size(memory_bytes))
        });
        let request = OpenRequest { objects: vec![place.object.clone()], readers: wanted.channels, join: None };
        let session = source.open(&request).await.at("source", || source.label())?;
        let reader = session.source(&place.object)?;
        let shape = reader.describe().await.and_then(without_reserved).at("source", || source.label())?;
        let wanted = for_rows_of(wanted, &shape, memory_bytes);
        let budget = budget::divide(memory_bytes, wanted.channels, work).paced(&job.limits.speed);
        let split_bytes = sizing::split_bytes(&job.limits, shape.bytes, wanted.channels);
        let pipeline = Pipeline::new(Parts {
            endpoint: SOURCE.to_owned(),
            connector: place.connector.clone(),
            label: source.label(),
            object: place.object.clone(),
            source: reader,
            goal: SplitGoal { split_bytes, channels: wanted.channels },
            shape,
            transform: job.transform.clone(),
            batch_rows: budget.batch_rows,
            batch_bytes: budget.batch_bytes,
            memory_bytes: budget.operator_bytes,
            token: token.clone(),
        })?;
        let draft = pipeline.draft().await?;
        let sizing = wanted.over(draft.reading.splits.len(), draft.reading.readers);
        Ok(Self { target, session, token, source, pipeline, draft, sizing, budget })
    }

    /// The first record of the run.
    pub(super) fn started(&self, job: &Job) -> StateRecord {
        let what = json!({
            "source": self.source.label(),
            "target": self.target.label(),
            "sourceObject": job.source.object,
            "targetObject": job.target.object,
            "transform": job.transform,
            "mode": job.mode,
            "schema": job.schema,
        });
        let fingerprint = fingerprint::of(job, &self.draft.shape.schema);
        StateRecord::Started { job: what, fingerprint }
    }

    /// Asks the target how the rows would land, and plans the transfer.
    pub(super) async fn agree(&self, job: &Job) -> Result<Agreed> {
        let sink = self.target.sink(&job.target.object)?;
        let writers = self.draft.parts.min(self.sizing.channels);
        // Sums are compared in a stage, which one writer alone would do without.
        let tasks = if writers <= 1 && job.verify < Verify::Checksum { Tasks::One } else { Tasks::Many };
        let request = WriteRequest {
            mode: job.mode.clone(),
            schema: job.schema,
            tasks,
            memory_bytes: self.budget.writer_bytes as u64,
        };
        let agreement = sink.agree(&self.draft.shape, &request).await.at("target", || self.target.label())?;
        verify::check_way(job, &self.draft.shape.key, &sink, &agreement)?;
        let target = Target { endpoint: SINK, sink: &sink, tasks, verify: job.verify };
        let planned = self.pipeline.transfer(&self.draft, agreement.clone(), target).await?;
        let sizing = self.sized(&planned.transfer);
        Ok(Agreed { sink, agreement, planned, sizing })
    }

    /// The sizing of an agreed transfer: where it is one plan, who reads and writes.
    fn sized(&self, transfer: &Transfer) -> Sizing {
        if transfer.shape == PlanShape::Rowwise {
            return self.sizing.clone();
        }
        let writers = transfer.root.output_partitioning().partition_count();
        self.sizing.clone().as_one_plan(self.sizing.channels, writers)
    }

    /// The runner of an agreed transfer.
    pub(super) fn runner(&self, agreed: &Agreed, limits: &Limits, surroundings: &Surroundings) -> LocalRunner {
        let (speed, budget) = (&limits.speed, &self.budget);
        let heavy = HeavyDoor::new(budget.memory_bytes, budget.batch_bytes);
        let ends = Ends {
            sessions: HashMap::from([(SOURCE.to_owned(), Arc::clone(&self.session))]),
            sinks: HashMap::from([(SINK.to_owned(), Arc::clone(&agreed.sink))]),
            meter: Arc::clone(&surroundings.meter),
            throttle: Throttle::new(speed.job_bytes, speed.job_rows),
            channel_throttle: Throttle::new(speed.channel_bytes, speed.channel_rows),
            heavy: match agreed.planned.transfer.shape {
                PlanShape::Rowwise => heavy.holding(budget.heavy_bytes),
                PlanShape::Wide => heavy,
            },
            lane_bytes: budget.lane_bytes,
            readers: Arc::default(),
        };
        LocalRunner {
            sizing: agreed.sizing.clone(),
            context: self.pipeline.task_context(Arc::new(ends)),
            meter: Arc::clone(&surroundings.meter),
            renewal: Renewal::new(limits, &self.session, (&agreed.sink, &agreed.agreement), &self.token),
            // The run may also end its tasks itself, when it has lost its point in time.
            stop: surroundings.stop.child_token(),
        }
    }

    /// Estimated rows that will be read: of the splits where all say it, else of the whole; no more than the limit.
    pub(super) fn rows(&self, job: &Job) -> Option<u64> {
        let splits = &self.draft.reading.splits;
        let cut: Option<u64> = splits.iter().map(|split| split.rows).sum();
        let rows = cut.filter(|_| !splits.is_empty()).or(self.draft.shape.rows);
        rows.map(|rows| job.transform.limit.map_or(rows, |limit| limit.min(rows)))
    }

    /// Notes in the meter what is to be moved.
    pub(super) fn expect(&self, job: &Job, surroundings: &Surroundings) {
        let splits = &self.draft.reading.splits;
        let bytes = splits.iter().filter_map(|split| split.bytes).sum();
        surroundings.meter.expect(splits.len() as u64, self.rows(job).unwrap_or(0), bytes);
    }

    /// What `etl plan` says.
    pub(super) fn report(&self, job: &Job, agreed: &Agreed) -> PlanReport {
        let Agreed { agreement, planned, sizing, .. } = agreed;
        PlanReport {
            source: self.source.label(),
            target: agreement.label.clone(),
            reading: self.draft.reading.notes.clone(),
            pushed_down: planned.pushed_down.clone(),
            operators: planned.operators.clone(),
            splits: planned.transfer.splits.len(),
            rows: self.draft.shape.rows,
            bytes: self.draft.shape.bytes,
            least_seconds: least_seconds(job, self.draft.shape.rows, self.draft.shape.bytes),
            sizing: sizing.clone(),
            columns: agreement.columns.iter().map(|plan| ColumnReport::of(plan, &self.draft.shape)).collect(),
            ddl: agreement.ddl.clone(),
            writers: agreement.writers.clone(),
            publish: agreement.publish,
            guarantee: agreement.guarantee,
            notes: verify::notes(job, agreed),
            tasks: task_reports(&planned.transfer, sizing),
        }
    }

    /// What a finished run says.
    pub(super) fn summary(&self, agreed: &Agreed, receipts: &[Receipt], surroundings: &Surroundings) -> Summary {
        let (meter, mut notes) = (surroundings.meter.reading(), agreed.agreement.notes.clone());
        match meter.retries {
            0 => {}
            1 => notes.push("a task was begun anew after a failure that passed".to_owned()),
            count => notes.push(format!("tasks were begun anew {count} times after failures that passed")),
        }
        Summary {
            run: self.token.run.clone(),
            source: self.source.label(),
            target: agreed.agreement.label.clone(),
            rows: receipts.iter().map(|receipt| receipt.rows).sum(),
            bytes_written: receipts.iter().map(|receipt| receipt.bytes).sum(),
            tasks: receipts.len(),
            channels: agreed.sizing.channels,
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

/// Columns of change feeds have names that no other column may have.
fn without_reserved(shape: TableShape) -> Result<TableShape> {
    match shape.schema.fields().iter().find(|field| RESERVED.contains(&field.name().as_str())) {
        Some(field) => Err(Error::new(ErrorKind::Unsupported, "this name is reserved for change feeds")
            .with_hint("read the column under another name by --query, or rename it in the source")
            .at("column", field.name())),
        None => Ok(shape),
    }
}

/// In text files a cast sets how the text is parsed, so the source must hear of it.
pub(super) fn parsed_as_cast(job: &Job) -> Place {
    let mut place = job.source.clone();
    let understood = understands(&place.connector, "casts");
    if let Some(options) = place.options.as_object_mut()
        && understood
        && job.transform.sql.is_none()
    {
        // A cast comes after --set: a column that has a new value by then is not the one in the file.
        let read = |name: &String| !job.transform.set.iter().any(|(assigned, _)| assigned == name);
        let casts = job.transform.cast.iter().filter(|(name, _)| read(name));
        let casts: serde_json::Map<String, Json> =
            casts.map(|(name, kind)| (name.clone(), Json::from(kind.as_str()))).collect();
        if !casts.is_empty() {
            options.insert("casts".to_owned(), Json::Object(casts));
        }
    }
    place
}

/// Whether `connector` has an option of this name.
pub(super) fn understands(connector: &str, option: &str) -> bool {
    connectors::find(connector).is_ok_and(|connector| connector.options().iter().any(|known| known.name == option))
}

/// No more channels than can hold one row each, as long as the rows of `shape` are on average.
fn for_rows_of(wanted: Wanted, shape: &TableShape, memory_bytes: u64) -> Wanted {
    let (Some(rows), Some(bytes)) = (shape.rows.filter(|rows| *rows > 0), shape.bytes) else { return wanted };
    let row = bytes / rows;
    wanted.at_most(budget::channels_of_rows(memory_bytes, row), |most| {
        let channels = if most == 1 { "1 channel is" } else { &format!("{most} channels are") };
        format!("rows of about {row} bytes: {channels} all that {} of memory feed", size(memory_bytes))
    })
}

/// The time that the limits of speed leave to a job of so many rows and bytes, in seconds.
fn least_seconds(job: &Job, rows: Option<u64>, bytes: Option<u64>) -> Option<f64> {
    let speed = &job.limits.speed;
    let time = |amount: Option<u64>, limit: Option<u64>| Some(amount? as f64 / limit?.max(1) as f64);
    [time(rows, speed.job_rows), time(bytes, speed.job_bytes)].into_iter().flatten().reduce(f64::max)
}

/// A size as it is typed.
fn size(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 20) { format!("{} MiB", bytes >> 20) } else { format!("{} MB", bytes / 1_000_000) }
}

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
