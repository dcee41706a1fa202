//! What a job holds between its steps: what was opened, and what was agreed.

mod columns;
mod told;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use datafusion::physical_plan::ExecutionPlanProperties as _;
use futures::future::try_join_all;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::attempt::Token;
use crate::bridge::cpu;
use crate::connectors;
use crate::endpoint::{Endpoint, OpenRequest, Session};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::flow::buffer::Buffer;
use crate::flow::heavy::{self, HeavyDoor};
use crate::flow::reject::RejectLog;
use crate::flow::throttle::Throttle;
use crate::job::{Job, Limits, Place, Transform};
use crate::plan::context::Ends;
use crate::plan::pipeline::{Chosen, Draft, Parts, Pipeline, Planned, Target, Terms};
use crate::proof::Verify;
use crate::reject::Refusals;
use crate::run::budget::{self, Budget, Work};
use crate::run::buffer;
use crate::run::clock;
use crate::run::fingerprint;
use crate::run::incremental::Window;
use crate::run::local::LocalRunner;
use crate::run::loss;
use crate::run::rejects;
use crate::run::resume::{PREPARED, Unfinished, can_complete};
use crate::run::retry::Renewal;
use crate::run::sizing::{self, Sizing, Wanted};
use crate::run::targets::{self, Goal};
use crate::run::verify;
use crate::run::{Between, PreSql, Surroundings};
use crate::runner::{PlanShape, Transfer};
use crate::sink::{Agreement, Merged, Receipt, Sink, Tasks, Visible, WriteRequest};
use crate::source::{Cut, Split, SplitGoal, TableShape};
use crate::state::{StateLog, StateRecord};

/// Name of the end of a transfer with one source.
const SOURCE: &str = "source0";

/// A job whose source is open, described and cut.
pub(super) struct Opened {
    /// The first target, which SQL of the user is for.
    pub(super) target: Arc<dyn Endpoint>,
    also: Vec<Arc<dyn Endpoint>>,
    pub(super) session: Arc<dyn Session>,
    pub(super) token: Token,
    source: Arc<dyn Endpoint>,
    pipeline: Pipeline,
    draft: Draft,
    window: Option<Window>,
    sizing: Sizing,
    /// How many writers share all rows, where the job says so.
    writers: Option<usize>,
    budget: Budget,
    /// Where rejected rows go, where rows may be rejected.
    pub(super) rejects: Option<Arc<RejectLog>>,
}

/// A job whose targets have agreed.
pub(super) struct Agreed {
    /// Those that are written, ascending by the number of their sink.
    pub(super) targets: Vec<Target>,
    pub(super) planned: Planned,
    pub(super) sizing: Sizing,
    /// Where rows wait on disk.
    pub(super) buffer: Option<Arc<Buffer>>,
}

/// What was committed.
pub(super) struct Committed {
    /// One for each target.
    pub(super) landed: Vec<Landed>,
    pub(super) channels: usize,
    /// How it came about, where that was not in one go.
    pub(super) note: Option<String>,
    /// Whether the log has it.
    pub(super) logged: Result<()>,
}

/// A target that holds all rows.
pub(super) struct Landed {
    /// The number of its sink.
    pub(super) sink: u32,
    pub(super) agreement: Agreement,
    pub(super) receipts: Vec<Receipt>,
    /// Rows of these receipts that were taken out of the stage.
    pub(super) refused: u64,
    /// What merging by key did.
    pub(super) merged: Option<Merged>,
    /// What the user should know of its commit.
    pub(super) notes: Vec<String>,
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

/// `memory_bytes` of `job`, which moves rows of `shape`, for so many `sides`.
fn divided(job: &Job, work: Work, shape: &TableShape, (memory_bytes, sides): (u64, usize)) -> Budget {
    let budget = budget::divide(memory_bytes, sides, job.targets().count(), work);
    let budget = match work {
        Work::Rows => budget,
        Work::Query => budget.gathering(sizing::gathered_row_bytes(shape)),
    };
    budget.paced(&job.limits.speed)
}

impl Opened {
    /// Opens the source of `job` and cuts it. The target is reached meanwhile and not touched: one that is not there is
    /// heard of before anything is moved.
    ///
    /// A run that is gone on with keeps its id, and its splits where the source is as it was.
    pub(super) async fn open(job: &Job, between: Between, past: Past<'_>) -> Result<Self> {
        targets::refuse_files_twice(job)?;
        clock::check(job)?;
        let all: Vec<_> = between.targets().cloned().collect();
        let reach = |target: Arc<dyn Endpoint>| async move { target.reach().await.at("target", || target.label()) };
        let reached = try_join_all(all.into_iter().map(reach));
        Ok(futures::try_join!(Box::pin(Self::cut(job, between, past)), reached)?.0)
    }

    async fn cut(job: &Job, between: Between, Past { state, resume }: Past<'_>) -> Result<Self> {
        if let Some(threads) = job.limits.threads {
            cpu::set_threads(threads)?;
        }
        let (place, Between { source, target, also }) = (&job.source, between);
        let run = resume.map_or_else(|| Uuid::now_v7().simple().to_string(), |unfinished| unfinished.run.clone());
        let token = Token { run, transfer: 0, sink: 0, epoch: 0 };
        // What memory cannot do is said before anybody is asked for anything.
        let memory_bytes = budget::memory(job.limits.memory_bytes)?;
        let work = if job.transform.sql.is_some() { Work::Query } else { Work::Rows };
        let count = job.targets().count();
        let fed = budget::channels_max(memory_bytes, count, work);
        let wanted = Wanted::of(&job.limits, cores())
            .at_most(fed, |most| format!("{most} channels are all that {} of memory feed", budget::size(memory_bytes)));
        if let Some(limit) = &job.limits.buffer {
            Buffer::probe(Path::new(&limit.folder))?;
        }
        let request = OpenRequest {
            objects: vec![place.object.clone()],
            readers: wanted.channels,
            join: job.snapshot.clone(),
            row_bytes_max: Some(heavy::row_bytes_max(memory_bytes)),
        };
        let session = source.open(&request).await.at("source", || source.label())?;
        let session = if job.limits.buffer.is_some() { buffer::releasable(session) } else { session };
        let reader = session.source(&place.object)?;
        let described = reader.describe().await.and_then(|shape| columns::usable(shape, &job.transform));
        let shape = described.at("source", || source.label())?;
        let wanted = sizing::for_rows_of(wanted, &shape, work, memory_bytes);
        // With a limit rows pass one writer.
        let writers = sizing::writers(&job.limits, fed, (&shape, memory_bytes));
        let writers = writers.filter(|_| job.transform.limit.is_none());
        let sides = wanted.channels.max(writers.unwrap_or(1));
        let budget = divided(job, work, &shape, (memory_bytes, sides));
        let split_bytes = sizing::split_bytes(&job.limits, shape.bytes, wanted.channels);
        let all: Vec<Goal<'_>> = goals(job, &target, &also).collect();
        let has = |goal: &&Goal<'_>| resume.is_some_and(|unfinished| unfinished.committed.contains(&goal.sink));
        let open: Vec<Goal<'_>> = all.iter().filter(|goal| !has(goal)).cloned().collect();
        let mut window =
            Window::begin(job, (&*reader, &shape), if open.is_empty() { &all } else { &open }, state).await?;
        let parts = |window: Option<Chosen>| Parts {
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
        let pipeline = Pipeline::new(parts(window.as_ref().map(Window::rows)))?;
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
        let rejects =
            rejects::log(job, &draft.columns, (source.label(), &reader), (&token, budget.writer_bytes as u64)).await?;
        Ok(Self { target, also, session, token, source, pipeline, draft, window, sizing, writers, budget, rejects })
    }

    /// The first record of the run; of a target that was prepared before it says so.
    pub(super) fn started(&self, job: &Job, pre_sql: PreSql) -> StateRecord {
        let mut what = fingerprint::recorded(job);
        if pre_sql == PreSql::Done {
            what[PREPARED] = Json::from(true);
        }
        what["sourceLabel"] = Json::from(self.source.label());
        what["targetLabel"] = Json::from(self.target.label());
        what["alsoLabels"] = self.also.iter().map(|target| target.label()).collect();
        let fingerprint = fingerprint::of(job, &self.draft.shape.schema);
        StateRecord::Started { job: what, fingerprint }
    }

    /// The endpoint of a sink, and its place in `job`.
    pub(super) fn goal<'a>(&'a self, job: &'a Job, sink: u32) -> Result<Goal<'a>> {
        let goal = goals(job, &self.target, &self.also).find(|goal| goal.sink == sink);
        goal.ok_or_else(|| Error::new(ErrorKind::Internal, "this job has no such target"))
    }

    /// The target with this number, which has agreed.
    pub(super) fn target(&self, job: &Job, sink: u32, agreement: Agreement) -> Result<Target> {
        let Goal { endpoint, place, .. } = self.goal(job, sink)?;
        Ok(self.named(sink, endpoint.sink(&place.object)?, agreement))
    }

    fn named(&self, number: u32, sink: Arc<dyn Sink>, agreement: Agreement) -> Target {
        let token = Token { sink: number, ..self.token.clone() };
        Target { endpoint: format!("sink{number}"), sink, agreement, token }
    }

    /// Asks the targets how the rows would land, and plans the transfer. Those in `landed` have them already.
    pub(super) async fn agree(&self, job: &Job, landed: &[Landed]) -> Result<Agreed> {
        let mut shape = self.draft.shape.clone();
        loss::offer_values(job, &mut shape);
        clock::offer(job, &mut shape);
        let mut settled = Vec::new();
        loop {
            let goals = goals(job, &self.target, &self.also);
            let goals = goals.filter(|goal| landed.iter().all(|landed| landed.sink != goal.sink));
            let mut agreed = try_join_all(goals.map(|goal| self.agree_one(job, goal, &shape))).await?;
            let disputed = targets::disputed(&agreed);
            if disputed.is_empty() {
                targets::refuse_twice(&agreed)?;
                let before = landed.iter().map(|landed| &landed.agreement);
                let all: Vec<_> = before.chain(agreed.iter().map(|target| &target.agreement)).collect();
                loss::refuse_useless(job, &shape, &all)?;
                if let (Some(first), false) = (agreed.first_mut(), settled.is_empty()) {
                    first.agreement.notes.push(in_one_form(&settled));
                }
                return self.planned(job, agreed, None).await;
            }
            let fields = shape.schema.fields().iter().zip(&mut shape.native);
            fields.filter(|(field, _)| disputed.contains(field.name())).for_each(|(_, native)| *native = None);
            settled.extend(disputed);
        }
    }

    async fn agree_one(&self, job: &Job, goal: Goal<'_>, shape: &TableShape) -> Result<Target> {
        let Goal { sink: number, endpoint, place } = goal;
        let request = WriteRequest {
            mode: self.window.as_ref().map_or_else(|| job.mode.clone(), |window| window.mode(&job.mode)),
            schema: job.schema,
            tasks: self.tasks(job),
            visible: job.visible,
            memory_bytes: self.budget.writer_bytes as u64,
            advance: self.window.as_ref().map(|window| window.advance(number)).transpose()?.flatten(),
            job: Some(fingerprint::identity(job)),
            verify: job.verify,
            refusals: rejects::refusals(job),
        };
        let sink = endpoint.sink(&place.object)?;
        let agreed = sink.agree(shape, &request).await.at("target", || endpoint.label());
        let mut agreement = agreed.map_err(|error| self.without_position(error))?;
        targets::name_as_they_come(job.schema, shape, &mut agreement);
        loss::allow(job, shape, &mut agreement);
        clock::settle(shape, &mut agreement);
        if !job.also.is_empty() {
            agreement.label = targets::label(&endpoint.label(), &agreement.label);
        }
        let target = self.named(number, sink, agreement);
        let checked = verify::check_way(job, &self.draft.shape.key, &target)
            .and_then(|()| targets::check_visible(job, self.tasks(job), &target.agreement));
        if job.also.is_empty() { checked } else { checked.at("target", || &target.agreement.label) }?;
        Ok(target)
    }

    /// Plans the transfer as `targets` agreed on it, over `splits` where these were cut before.
    pub(super) async fn planned(&self, job: &Job, targets: Vec<Target>, splits: Option<&[Split]>) -> Result<Agreed> {
        let terms = Terms { tasks: self.tasks(job), splits, verify: job.verify, writers: self.writers };
        let planned = self.pipeline.transfer(&self.draft, &targets, terms).await?;
        let (mut sizing, draft) = (self.sized(&planned.transfer), self.draft.plan_shape);
        let buffer = buffer::of(job, &self.session.snapshot(), (draft, planned.transfer.shape));
        if buffer.is_some() {
            sizing = sizing.as_one_group();
        }
        let stay = targets.iter().any(|target| target.agreement.tasks_stay());
        if stay && planned.transfer.shape == PlanShape::Wide {
            let message = "all rows are needed together, so none can be seen before the others";
            return Err(Error::new(ErrorKind::Usage, message).at("option", "--publish task"));
        }
        Ok(Agreed { targets, planned, sizing, buffer })
    }

    /// Takes the rows out of the stages that the targets refuse, and gives their number for each sink.
    pub(super) async fn sift(&self, targets: &[Target], receipts: &[Receipt]) -> Result<HashMap<u32, u64>> {
        let Some(log) = &self.rejects else { return Ok(HashMap::new()) };
        let mut refused = HashMap::new();
        for target in targets.iter().filter(|target| target.agreement.refusals == Refusals::LeftOut) {
            let wrote = targets::of(receipts, &[target.token.sink]);
            let unchanged = self.draft.unchanged(&target.agreement);
            let sifted = rejects::sift(log, (target, targets), unchanged, &wrote).await;
            let sifted = targets::named(sifted, target, targets);
            refused.insert(target.token.sink, sifted?);
        }
        Ok(refused)
    }

    fn tasks(&self, job: &Job) -> Tasks {
        let several = job.visible == Visible::PerTask || self.sizing.channels > 1;
        let alone = self.writers.map_or(self.draft.parts <= 1 || !several, |writers| writers == 1);
        // Sums are compared in a stage, which one writer alone would do without.
        if alone && job.verify < Verify::Checksum { Tasks::One } else { Tasks::Many }
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

    /// The record of the commit of `target`, with the position of an incremental copy.
    pub(super) fn committed(&self, target: &Target) -> StateRecord {
        let Token { transfer, epoch, sink, .. } = target.token;
        let marked = target.agreement.marked;
        let position = self.window.as_ref().and_then(|window| window.record(sink));
        StateRecord::Committed { transfer, sink, epoch, position, marked }
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
            sinks: agreed.targets.iter().map(|to| (to.endpoint.clone(), Arc::clone(&to.sink))).collect(),
            meter: Arc::clone(&surroundings.meter),
            throttle: Throttle::new(speed.job_bytes, speed.job_rows),
            channel_throttle: Throttle::new(speed.channel_bytes, speed.channel_rows),
            heavy: match agreed.planned.transfer.shape {
                PlanShape::Rowwise => heavy.holding(budget.heavy_bytes),
                PlanShape::Wide => heavy,
            },
            lane_bytes: budget.lane_bytes,
            answer: limits.answer_milliseconds.map(Duration::from_millis),
            buffer: agreed.buffer.clone(),
            rejects: self.rejects.clone(),
            readers: Arc::default(),
        };
        let context = self.pipeline.task_context(Arc::new(ends));
        surroundings.meter.board().surround(self.around(&context));
        LocalRunner {
            sizing: agreed.sizing.clone(),
            context,
            meter: Arc::clone(&surroundings.meter),
            renewal: Renewal::new(limits, &self.session, &agreed.targets).with_buffer(agreed.buffer.clone()),
            readers: self.draft.readers,
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

    /// Notes in the meter what is to be moved; what is `done` in all targets is not moved again.
    pub(super) fn expect(&self, job: &Job, surroundings: &Surroundings, agreed: &Agreed, done: &[Receipt]) {
        let settled = targets::settled(&agreed.targets, done);
        let splits = self.draft.reading.splits.iter().filter(|split| !settled.contains(&split.id));
        let (count, bytes) = splits.fold((0, 0), |(count, bytes), split| (count + 1, bytes + split.bytes.unwrap_or(0)));
        let first = agreed.targets.first().map(|target| target.token.sink);
        let of_first = done.iter().filter(|receipt| Some(receipt.sink) == first);
        let all = |receipt: &&Receipt| receipt.splits.iter().all(|split| settled.contains(split));
        let there: u64 = of_first.filter(all).map(|receipt| receipt.rows).sum();
        surroundings.meter.expect(count, self.rows(job).unwrap_or(0).saturating_sub(there), bytes);
    }
}

/// The targets of `job`, with their endpoints.
fn goals<'a>(
    job: &'a Job,
    target: &'a Arc<dyn Endpoint>,
    also: &'a [Arc<dyn Endpoint>],
) -> impl Iterator<Item = Goal<'a>> {
    let endpoints = std::iter::once(target).chain(also);
    (0..).zip(endpoints.zip(job.targets())).map(|(sink, (endpoint, place))| Goal { sink, endpoint, place })
}

/// What the user should know of columns that not all targets take in the source's own form.
fn in_one_form(columns: &[String]) -> String {
    format!("read as plain values, since not all targets take the source's own form: {}", columns.join(", "))
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

/// The sources of `job` as they are read.
pub(super) fn read_places(job: &Job) -> Vec<Place> {
    job.sources().map(|place| parsed_as_cast(job, place)).collect()
}

/// In text files a cast sets how the text is parsed, so the source must hear of it.
pub(super) fn parsed_as_cast(job: &Job, place: &Place) -> Place {
    let mut place = place.clone();
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

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
