//! What a job holds between its steps: what was opened, and what was agreed.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::attempt::Token;
use crate::bridge::cpu;
use crate::connectors;
use crate::endpoint::{Endpoint, OpenRequest, Session};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::flow::throttle::Throttle;
use crate::job::{Job, Limits, Place};
use crate::plan::context::Ends;
use crate::plan::pipeline::{Draft, Parts, Pipeline, Planned, Target};
use crate::run::budget::{self, Budget};
use crate::run::local::LocalRunner;
use crate::run::queue::{self, Queues};
use crate::run::report::{ColumnReport, PlanReport, Summary, TaskReport};
use crate::run::sizing::{self, Sizing};
use crate::run::{Between, Surroundings};
use crate::runner::{PlanShape, Transfer};
use crate::sink::{Agreement, Receipt, Sink, Tasks, WriteRequest};
use crate::source::{Split, SplitGoal};
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
}

/// The endpoint of a place, built and not opened.
pub(super) fn endpoint(place: &Place) -> Result<Arc<dyn Endpoint>> {
    connectors::find(&place.connector)?.endpoint(&place.options)
}

impl Opened {
    /// Opens the source of `job` and cuts it. The target is built and not touched.
    pub(super) async fn open(job: &Job, between: Between, surroundings: &Surroundings) -> Result<Self> {
        if let Some(threads) = job.limits.threads {
            cpu::set_threads(threads)?;
        }
        let (place, Between { source, target }) = (&job.source, between);
        let token = Token { run: Uuid::now_v7().simple().to_string(), transfer: 0, sink: 0, epoch: 0 };
        let (channels, _) = sizing::channels(&job.limits, cores());
        let request = OpenRequest { objects: vec![place.object.clone()], readers: channels, join: None };
        let opening = source.open(&request);
        let session = tokio::select! {
            () = surroundings.stop.cancelled() => return Err(Error::new(ErrorKind::Cancelled, "the run was stopped")),
            session = opening => session.at("source", || source.label())?,
        };
        let reader = session.source(&place.object)?;
        let shape = reader.describe().await.at("source", || source.label())?;
        let budget = budget::divide(job.limits.memory_bytes, channels)?;
        let pipeline = Pipeline::new(Parts {
            endpoint: SOURCE.to_owned(),
            connector: place.connector.clone(),
            object: place.object.clone(),
            source: reader,
            goal: SplitGoal { split_bytes: sizing::split_bytes(shape.bytes, channels), channels },
            shape,
            transform: job.transform.clone(),
            batch_rows: budget::BATCH_ROWS,
            batch_bytes: budget.batch_bytes,
            memory_bytes: budget.operator_bytes,
            token: token.clone(),
        })?;
        let draft = pipeline.draft().await?;
        let sizing = sizing::size(&job.limits, cores(), draft.parts);
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
        let mut digest = DefaultHasher::new();
        what.to_string().hash(&mut digest);
        let fingerprint = format!("{:016x}", digest.finish());
        StateRecord::Started { job: what, fingerprint }
    }

    /// Asks the target how the rows would land, and plans the transfer.
    pub(super) async fn agree(&self, job: &Job) -> Result<Agreed> {
        let sink = self.target.sink(&job.target.object)?;
        let tasks = if self.sizing.channels == 1 { Tasks::One } else { Tasks::Many };
        let request = WriteRequest {
            mode: job.mode.clone(),
            schema: job.schema,
            tasks,
            memory_bytes: self.budget.writer_bytes as u64,
        };
        let agreement = sink.agree(&self.draft.shape, &request).await.at("target", || self.target.label())?;
        let target = Target { endpoint: SINK, sink: &sink, tasks };
        let planned = self.pipeline.transfer(&self.draft, agreement.clone(), target).await?;
        Ok(Agreed { sink, agreement, planned })
    }

    /// The runner of an agreed transfer.
    pub(super) fn runner(&self, agreed: &Agreed, limits: &Limits, surroundings: &Surroundings) -> LocalRunner {
        let ends = Ends {
            sessions: HashMap::from([(SOURCE.to_owned(), Arc::clone(&self.session))]),
            sinks: HashMap::from([(SINK.to_owned(), Arc::clone(&agreed.sink))]),
            meter: Arc::clone(&surroundings.meter),
            throttle: Throttle::new(limits.speed.job_bytes, limits.speed.job_rows),
            lane_bytes: self.budget.lane_bytes,
        };
        LocalRunner {
            sizing: self.sizing.clone(),
            context: self.pipeline.task_context(Arc::new(ends)),
            meter: Arc::clone(&surroundings.meter),
            stop: surroundings.stop.clone(),
        }
    }

    /// Estimated rows of the transfer.
    pub(super) fn rows(&self) -> Option<u64> {
        self.draft.shape.rows
    }

    /// What `etl plan` says.
    pub(super) fn report(&self, agreed: &Agreed) -> PlanReport {
        let Agreed { agreement, planned, .. } = agreed;
        PlanReport {
            source: self.source.label(),
            target: agreement.label.clone(),
            reading: self.draft.reading.notes.clone(),
            pushed_down: planned.pushed_down.clone(),
            operators: planned.operators.clone(),
            splits: planned.transfer.splits.len(),
            rows: self.draft.shape.rows,
            bytes: self.draft.shape.bytes,
            sizing: self.sizing.clone(),
            columns: agreement.columns.iter().map(|plan| ColumnReport::of(plan, &self.draft.shape)).collect(),
            ddl: agreement.ddl.clone(),
            writers: agreement.writers.clone(),
            publish: agreement.publish,
            guarantee: agreement.guarantee,
            notes: agreement.notes.clone(),
            tasks: task_reports(&planned.transfer, &self.sizing),
        }
    }

    /// What a finished run says.
    pub(super) fn summary(&self, agreed: &Agreed, receipts: &[Receipt], surroundings: &Surroundings) -> Summary {
        Summary {
            run: self.token.run.clone(),
            source: self.source.label(),
            target: agreed.agreement.label.clone(),
            rows: receipts.iter().map(|receipt| receipt.rows).sum(),
            bytes_written: receipts.iter().map(|receipt| receipt.bytes).sum(),
            tasks: receipts.len(),
            channels: self.sizing.channels,
            meter: surroundings.meter.reading(),
            notes: agreed.agreement.notes.clone(),
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

/// In text files a cast sets how the text is parsed, so the source must hear of it.
pub(super) fn parsed_as_cast(job: &Job) -> Place {
    let mut place = job.source.clone();
    let understood = connectors::find(&place.connector)
        .is_ok_and(|connector| connector.options().iter().any(|option| option.name == "casts"));
    if let Some(options) = place.options.as_object_mut()
        && understood
        && job.transform.sql.is_none()
        && !job.transform.cast.is_empty()
    {
        let casts: serde_json::Map<String, Json> =
            job.transform.cast.iter().map(|(name, kind)| (name.clone(), Json::from(kind.as_str()))).collect();
        options.insert("casts".to_owned(), Json::Object(casts));
    }
    place
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
