//! What a job holds between its steps: what was opened, and what was agreed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlanProperties as _;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::attempt::Token;
use crate::bridge::cpu;
use crate::connectors;
use crate::endpoint::{Endpoint, OpenRequest, Session};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::flow::heavy::HeavyDoor;
use crate::flow::reject::RejectLog;
use crate::flow::throttle::Throttle;
use crate::job::{Job, Limits, OnError, Place, Transform};
use crate::plan::context::Ends;
use crate::plan::pipeline::{Draft, Parts, Pipeline, Planned, Target};
use crate::proof::Verify;
use crate::run::budget::{self, Budget, Work};
use crate::run::fingerprint;
use crate::run::incremental::Window;
use crate::run::local::LocalRunner;
use crate::run::queue::{self, Queues};
use crate::run::rejects;
use crate::run::report::{ColumnReport, PlanReport, Summary, TaskReport};
use crate::run::resume::{self, Unfinished, can_complete};
use crate::run::retry::Renewal;
use crate::run::sizing::{self, Sizing, Wanted};
use crate::run::verify;
use crate::run::{Between, Surroundings};
use crate::runner::{PlanShape, Transfer};
use crate::schema::RESERVED;
use crate::sink::{Agreement, Merged, Publish, Receipt, Sink, Tasks, Visible, WriteRequest};
use crate::source::{Cut, Split, SplitGoal, TableShape};
use crate::state::{StateLog, StateRecord};

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
    window: Option<Window>,
    sizing: Sizing,
    budget: Budget,
    /// Where rejected rows go, where rows may be rejected.
    pub(super) rejects: Option<Arc<RejectLog>>,
}

/// A job whose target has agreed.
pub(super) struct Agreed {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) agreement: Agreement,
    pub(super) planned: Planned,
    pub(super) sizing: Sizing,
}

/// What was committed.
pub(super) struct Committed {
    pub(super) agreement: Agreement,
    pub(super) receipts: Vec<Receipt>,
    pub(super) channels: usize,
    /// What merging by key did.
    pub(super) merged: Option<Merged>,
    /// Where the next incremental copy begins.
    pub(super) position: Option<Json>,
    /// How it came about, where that was not in one go.
    pub(super) note: Option<String>,
}

/// What is known of earlier runs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Past<'a> {
    /// The log: it is asked for the position of an incremental copy where the target does not know it.
    pub(super) state: Option<&'a dyn StateLog>,
    /// The run that is gone on with.
    pub(super) resume: Option<&'a Unfinished>,
}

/// The endpoint of a place, built and not opened.
pub(super) fn endpoint(place: &Place) -> Result<Arc<dyn Endpoint>> {
    connectors::find(&place.connector)?.endpoint(&place.options)
}

impl Opened {
    /// Opens the source of `job` and cuts it. The target is reached meanwhile and not touched: one that is not there is
    /// heard of before anything is moved.
    ///
    /// A run that is gone on with keeps its id, and its splits where the source is as it was.
    pub(super) async fn open(job: &Job, between: Between, past: Past<'_>) -> Result<Self> {
        let target = Arc::clone(&between.target);
        let reached = async { target.reach().await.at("target", || target.label()) };
        Ok(futures::try_join!(Box::pin(Self::cut(job, between, past)), reached)?.0)
    }

    async fn cut(job: &Job, between: Between, Past { state, resume }: Past<'_>) -> Result<Self> {
        if let Some(threads) = job.limits.threads {
            cpu::set_threads(threads)?;
        }
        let (place, Between { source, target }) = (&job.source, between);
        let run = resume.map_or_else(|| Uuid::now_v7().simple().to_string(), |unfinished| unfinished.run.clone());
        let token = Token { run, transfer: 0, sink: 0, epoch: 0 };
        // What memory cannot do is said before anybody is asked for anything.
        let memory_bytes = budget::memory(job.limits.memory_bytes)?;
        let work = if job.transform.sql.is_some() { Work::Query } else { Work::Rows };
        let wanted = Wanted::of(&job.limits, cores()).at_most(budget::channels_max(memory_bytes, work), |most| {
            format!("{most} channels are all that {} of memory feed", size(memory_bytes))
        });
        let request =
            OpenRequest { objects: vec![place.object.clone()], readers: wanted.channels, join: job.snapshot.clone() };
        let session = source.open(&request).await.at("source", || source.label())?;
        let reader = session.source(&place.object)?;
        let shape = reader.describe().await.and_then(without_reserved).at("source", || source.label())?;
        let wanted = for_rows_of(wanted, &shape, memory_bytes);
        let budget = budget::divide(memory_bytes, wanted.channels, work).paced(&job.limits.speed);
        let split_bytes = sizing::split_bytes(&job.limits, shape.bytes, wanted.channels);
        let sink = target.sink(&job.target.object)?;
        let mut window = Window::begin(job, &shape, &*sink, state).await?;
        let parts = |window: Option<Expr>| Parts {
            endpoint: SOURCE.to_owned(),
            connector: place.connector.clone(),
            label: source.label(),
            object: place.object.clone(),
            source: Arc::clone(&reader),
            goal: SplitGoal { cut: job.cut, ..SplitGoal::new(split_bytes, wanted.channels) },
            shape: shape.clone(),
            window,
            transform: job.transform.clone(),
            batch_rows: budget.batch_rows,
            batch_bytes: budget.batch_bytes,
            memory_bytes: budget.operator_bytes,
            token: token.clone(),
        };
        if let Some(window) = &mut window {
            find_end(window, parts(window.probe()), (&session, &budget)).await?;
        }
        let pipeline = Pipeline::new(parts(window.as_ref().map(Window::filter)))?;
        let mut draft = pipeline.draft().await?;
        if let Some(unfinished) = resume {
            unfinished.refuse_other(&fingerprint::of(job, &draft.shape.schema))?;
            let plan = unfinished.planned.as_ref();
            if let Some(plan) = plan.filter(|plan| can_complete(job, plan, &session.snapshot())) {
                draft.reading.splits.clone_from(&plan.splits);
            }
        }
        let sizing = wanted.over(draft.reading.splits.len(), draft.reading.readers);
        // A rejects file that exists is heard of before anything is touched.
        let rejects = rejects::log(job, &draft.columns, source.label(), (&token, budget.writer_bytes as u64)).await?;
        Ok(Self { target, session, token, source, pipeline, draft, window, sizing, budget, rejects })
    }

    /// The first record of the run.
    pub(super) fn started(&self, job: &Job) -> StateRecord {
        let mut what = fingerprint::recorded(job);
        what["sourceLabel"] = Json::from(self.source.label());
        what["targetLabel"] = Json::from(self.target.label());
        let fingerprint = fingerprint::of(job, &self.draft.shape.schema);
        StateRecord::Started { job: what, fingerprint }
    }

    /// Asks the target how the rows would land, and plans the transfer.
    pub(super) async fn agree(&self, job: &Job) -> Result<Agreed> {
        let sink = self.target.sink(&job.target.object)?;
        let request = WriteRequest {
            mode: self.window.as_ref().map_or_else(|| job.mode.clone(), |window| window.mode(&job.mode)),
            schema: job.schema,
            tasks: self.tasks(job),
            visible: job.visible,
            memory_bytes: self.budget.writer_bytes as u64,
            advance: self.window.as_ref().map(Window::advance).transpose()?.flatten(),
            job: Some(fingerprint::identity(job)),
        };
        let agreed = sink.agree(&self.draft.shape, &request).await.at("target", || self.target.label());
        let agreement = agreed.map_err(|error| self.without_position(error))?;
        verify::check_way(job, &self.draft.shape.key, &sink, &agreement)?;
        self.check_visible(job, &agreement).at("option", || "--publish task")?;
        self.planned(job, sink, agreement, None).await
    }

    /// Plans the transfer as `agreement` has it, over `splits` where these were cut before.
    pub(super) async fn planned(
        &self,
        job: &Job,
        sink: Arc<dyn Sink>,
        agreement: Agreement,
        splits: Option<&[Split]>,
    ) -> Result<Agreed> {
        let (tasks, verify) = (self.tasks(job), job.verify);
        let target = Target { endpoint: SINK, sink: &sink, tasks, splits, verify };
        let planned = self.pipeline.transfer(&self.draft, agreement.clone(), target).await?;
        let sizing = self.sized(&planned.transfer);
        if agreement.tasks_stay() && planned.transfer.shape == PlanShape::Wide {
            let message = "all rows are needed together, so none can be seen before the others";
            return Err(Error::new(ErrorKind::Usage, message).at("option", "--publish task"));
        }
        Ok(Agreed { sink, agreement, planned, sizing })
    }

    fn tasks(&self, job: &Job) -> Tasks {
        let several = job.visible == Visible::PerTask || self.sizing.channels > 1;
        let alone = self.draft.parts <= 1 || !several;
        // Sums are compared in a stage, which one writer alone would do without.
        if alone && job.verify < Verify::Checksum { Tasks::One } else { Tasks::Many }
    }

    /// Refuses a job whose rows are to be seen task by task, by a target that does not do so, or where a failure would leave
    /// rows that nobody could go on behind.
    fn check_visible(&self, job: &Job, agreement: &Agreement) -> Result<()> {
        if job.visible == Visible::AtOnce || self.tasks(job) == Tasks::One {
            return Ok(());
        }
        if job.errors.on_error == OnError::Skip {
            return Err(Error::new(ErrorKind::Usage, "what was rejected is known to its process alone"));
        }
        if agreement.publish == Publish::PerTask {
            return Ok(());
        }
        let message = "this target shows all rows at once, when all are there";
        Err(Error::new(ErrorKind::Unsupported, message).with_hint("leave --publish task out"))
    }

    /// The first incremental copy found rows in its target.
    fn without_position(&self, error: Error) -> Error {
        if self.window.is_none() || error.kind() != ErrorKind::AlreadyExists {
            return error;
        }
        error.with_hint(
            "no position of this copy is known: name a --key, so that all rows are merged, or empty the target",
        )
    }

    /// By what the source was cut.
    pub(super) fn was_cut(&self) -> Cut {
        self.draft.reading.cut
    }

    /// The position of an incremental copy, for the log.
    pub(super) fn position(&self) -> Option<Json> {
        self.window.as_ref().and_then(Window::record)
    }

    /// What is to be said of this run: by the target, and of its position.
    fn notes(&self, agreement: &Agreement) -> Vec<String> {
        let position = self.window.iter().flat_map(Window::notes);
        position.chain(agreement.notes.iter().cloned()).collect()
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
            rejects: self.rejects.clone(),
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

    /// Notes in the meter what is to be moved; what is `done` is not moved again.
    pub(super) fn expect(&self, job: &Job, surroundings: &Surroundings, done: &[Receipt]) {
        let settled: HashSet<u32> = done.iter().flat_map(|receipt| receipt.splits.iter().copied()).collect();
        let splits = self.draft.reading.splits.iter().filter(|split| !settled.contains(&split.id));
        let (count, bytes) = splits.fold((0, 0), |(count, bytes), split| (count + 1, bytes + split.bytes.unwrap_or(0)));
        let there: u64 = done.iter().map(|receipt| receipt.rows).sum();
        surroundings.meter.expect(count, self.rows(job).unwrap_or(0).saturating_sub(there), bytes);
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
            resume: resume::grade(
                job,
                (&self.session.snapshot(), self.was_cut()),
                planned.transfer.shape,
                (agreement.kept, agreement.publish),
            ),
            notes: self
                .notes(agreement)
                .into_iter()
                .chain(verify::note(job, agreed))
                .chain(rejects::plan_note(job))
                .collect(),
            tasks: task_reports(&planned.transfer, sizing),
        }
    }

    /// What a finished run says.
    pub(super) fn summary(&self, committed: &Committed, surroundings: &Surroundings) -> Summary {
        let Committed { agreement, receipts, .. } = committed;
        let (meter, mut notes) = (surroundings.meter.reading(), self.notes(agreement));
        notes.extend(committed.note.clone());
        match meter.retries {
            0 => {}
            1 => notes.push("a task was begun anew after a failure that passed".to_owned()),
            count => notes.push(format!("tasks were begun anew {count} times after failures that passed")),
        }
        let rejected = receipts.iter().map(|receipt| receipt.rejected).sum();
        let log = self.rejects.as_deref();
        notes.extend(log.map(RejectLog::shown).unwrap_or_default().into_iter().map(|text| format!("rejected: {text}")));
        Summary {
            run: self.token.run.clone(),
            source: self.source.label(),
            target: agreement.label.clone(),
            rows: receipts.iter().map(|receipt| receipt.rows).sum(),
            merged: committed.merged,
            position: committed.position.as_ref().and_then(|position| position["value"].as_str()).map(str::to_owned),
            rejected,
            rejects: log.and_then(RejectLog::file).filter(|_| rejected > 0).map(str::to_owned),
            bytes_written: receipts.iter().map(|receipt| receipt.bytes).sum(),
            tasks: receipts.len(),
            channels: committed.channels,
            meter,
            notes,
        }
    }
}

/// Reads the cursors of the rows of `parts` to find where `window` ends.
async fn find_end(window: &mut Window, parts: Parts, (session, budget): (&Arc<dyn Session>, &Budget)) -> Result<()> {
    let label = parts.label.clone();
    let Transform { filter, pushdown, .. } = parts.transform;
    let transform = Transform { filter, pushdown, ..Transform::default() };
    let ends = Ends {
        sessions: HashMap::from([(SOURCE.to_owned(), Arc::clone(session))]),
        heavy: HeavyDoor::new(budget.memory_bytes, budget.batch_bytes),
        lane_bytes: budget.lane_bytes,
        ..Ends::default()
    };
    let pipeline = Pipeline::new(Parts { transform, ..parts })?;
    let (highest, nulls) = pipeline.highest(window.cursor(), Arc::new(ends)).await?;
    window.end(highest, nulls).at("source", || label)
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
