//! `ReadExec`: split rows in, batches out. Each partition reads its splits one after the other, from its first poll on, and
//! each split under a grant of `Reads`, so that there are never more open reads than channels.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::Result as PlanResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedRwLockReadGuard, OwnedSemaphorePermit};

use crate::attempt::Token;
use crate::endpoint::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::channel::{LaneReceiver, LaneSender, lane};
use crate::flow::compact::compact;
use crate::flow::meter::Wait;
use crate::flow::reject::Basket;
use crate::plan::context::{Ends, Reads, basket, task_meter};
use crate::plan::error::{from_datafusion, to_datafusion};
use crate::plan::intake::{Intake, frame_schema};
use crate::plan::leaf;
use crate::plan::trail::{self, Origin, Trail};
use crate::plan::unary::{Operation, Unary};
use crate::reject::Tray;
use crate::source::{BatchStream, Encoding, Scan, Split};

/// What a [`ReadExec`] reads: plain data, without secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadSpec {
    /// Name of the endpoint among the job's [`Ends`].
    pub endpoint: String,
    /// Name of its connector.
    pub connector: String,
    /// Its locator without secrets, for messages.
    pub label: String,
    /// Which object of it.
    pub object: ObjectRef,
    /// What of the object.
    pub scan: Scan,
    /// Raw frames in this encoding instead of columns.
    pub encoding: Option<Encoding>,
    /// For whom.
    pub token: Token,
}

/// Reads the splits in the rows of its input.
pub type ReadExec = Unary<Read>;

/// What a [`ReadExec`] does.
#[derive(Debug)]
pub struct Read(Arc<ReadSpec>);

impl ReadExec {
    /// Reads what the rows of `leaf` name, one output partition per input partition.
    pub fn new(spec: Arc<ReadSpec>, leaf: Arc<dyn ExecutionPlan>) -> Self {
        Self::over(leaf, Read(spec))
    }

    /// Reads `partitions` of splits.
    pub(super) fn of_splits(spec: Arc<ReadSpec>, partitions: &[Vec<Split>]) -> Result<Self> {
        Ok(Self::new(spec, leaf::leaf(partitions)?))
    }

    /// What is read.
    pub fn spec(&self) -> &Arc<ReadSpec> {
        &self.operation.0
    }
}

/// Columns that a plan names; of more it tells the number.
const SHOWN_COLUMNS: usize = 20;

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(spec) = self;
        let fields = spec.scan.schema.fields();
        let named: Vec<&str> = fields.iter().take(SHOWN_COLUMNS).map(|field| field.name().as_str()).collect();
        let more = if fields.len() > named.len() { format!(", … {} in all", fields.len()) } else { String::new() };
        write!(f, "{} {}, columns=[{}{more}]", spec.connector, spec.object, named.join(", "))?;
        if let Some(encoding) = &spec.encoding {
            write!(f, ", raw={}", encoding.name)?;
        }
        if !spec.scan.filters.is_empty() {
            let filters: Vec<String> = spec.scan.filters.iter().map(ToString::to_string).collect();
            write!(f, ", filters=[{}]", filters.join(", "))?;
        }
        spec.scan.limit.map_or(Ok(()), |limit| write!(f, ", limit={limit}"))
    }
}

impl Operation for Read {
    const NAME: &'static str = "ReadExec";

    fn schema(&self, _: &Arc<dyn ExecutionPlan>) -> SchemaRef {
        if self.0.encoding.is_some() { frame_schema() } else { Arc::clone(&self.0.scan.schema) }
    }

    fn again(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    fn execute(
        &self,
        leaf: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> PlanResult<SendableRecordBatchStream> {
        let schema = self.schema(leaf);
        let ends = Ends::of(&context).map_err(to_datafusion)?;
        let alive = Arc::clone(&ends.readers).try_read_owned().ok();
        let intake = Intake::new(&self.0, ends, Arc::clone(&schema)).map_err(to_datafusion)?;
        let intake = intake.with_meter(task_meter(&context));
        let (reads, trail, basket) = (Reads::of(&context), trail::upward(&context), basket(&context));
        let rows = leaf.execute(partition, context)?;
        let reader = Reader {
            is_kept: trail.is_none() && self.0.encoding.is_none(),
            intake,
            reads,
            origins: Arc::default(),
            basket,
            _alive: alive,
        };
        let reading = Reading { trail, state: State::Waiting(Box::new((reader, rows))) };
        let batches = stream::unfold(reading, Reading::next).map_err(to_datafusion);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// The stream of one partition.
struct Reading {
    trail: Option<Arc<Trail>>,
    state: State,
}

/// Reading begins when the stream is first polled. An operator that sets up both its inputs and then drains one must not
/// find that the readers of the other have taken all grants.
enum State {
    Waiting(Box<(Reader, SendableRecordBatchStream)>),
    Running(Lane),
    Ended,
}

struct Lane {
    batches: LaneReceiver,
    origins: Arc<Trail>,
    filling: SpawnedTask<()>,
}

impl Reading {
    async fn next(mut self) -> Option<(Result<RecordBatch>, Self)> {
        let mut lane = match self.state {
            State::Waiting(waiting) => {
                let (reader, rows) = *waiting;
                match reader.start(rows).await {
                    Ok(lane) => lane,
                    Err(error) => return Some((Err(error), Self { state: State::Ended, ..self })),
                }
            }
            State::Running(lane) => lane,
            State::Ended => return None,
        };
        if let Some(item) = lane.batches.receive().await {
            let origin = if item.is_ok() { lane.origins.pop() } else { None };
            if let (Some(trail), Some(origin)) = (&self.trail, origin) {
                trail.push(origin);
            }
            self.state = State::Running(lane);
            return Some((item, self));
        }
        // A reader that died without a word must not look like the end of the rows.
        let death = lane.filling.join().await.err()?;
        let error = Error::new(ErrorKind::Internal, "reading failed in an unforeseen way").with_source(death);
        Some((Err(error), Self { state: State::Ended, ..self }))
    }
}

/// Fills a lane with the batches of some splits.
struct Reader {
    intake: Intake,
    /// Whether operators above may keep its batches.
    is_kept: bool,
    reads: Reads,
    origins: Arc<Trail>,
    /// Where rows go that cannot be read.
    basket: Option<Arc<Basket>>,
    /// A reader that was told to end may still hold a read of the source: the runner waits for it.
    _alive: Option<OwnedRwLockReadGuard<()>>,
}

impl Reader {
    /// Starts to read once there is a grant. It is awaited here and not in the task, so that readers get grants in the order
    /// in which they are polled.
    async fn start(self, rows: SendableRecordBatchStream) -> Result<Lane> {
        let grant = self.granted().await?;
        let (sender, batches) = lane(self.intake.ends.lane_bytes, &self.intake.meter);
        let origins = Arc::clone(&self.origins);
        Ok(Lane { batches, origins, filling: SpawnedTask::spawn(self.fill(rows, sender, grant)) })
    }

    async fn granted(&self) -> Result<OwnedSemaphorePermit> {
        let _waiting = self.intake.meter.starting(Wait::Reader);
        self.reads.grant().await
    }

    async fn fill(self, rows: SendableRecordBatchStream, sender: LaneSender, grant: OwnedSemaphorePermit) {
        tokio::select! {
            () = sender.closed() => {}
            result = self.read_all(rows, &sender, grant) => if let Err(error) = result {
                sender.send(Err(error), 0).await;
            }
        }
    }

    async fn read_all(
        &self,
        mut rows: SendableRecordBatchStream,
        sender: &LaneSender,
        grant: OwnedSemaphorePermit,
    ) -> Result<()> {
        let mut first = Some(grant);
        let mut last_bytes = 0;
        while let Some(batch) = rows.try_next().await.map_err(from_datafusion)? {
            for split in leaf::splits(&batch)? {
                let _granted = match first.take() {
                    Some(grant) => grant,
                    None => self.granted().await?,
                };
                let name = trail::name_of(&split);
                let read = self.read((&split, &name), sender, &mut last_bytes).await;
                read.map_err(|error| trail::name_split(error, &name).at("source", &self.intake.spec.label))?;
            }
        }
        Ok(())
    }

    /// Reads one split. `last_bytes` are those of the batch before.
    async fn read(&self, (split, name): (&Split, &Arc<str>), sender: &LaneSender, last_bytes: &mut u64) -> Result<()> {
        let tray = Arc::<Tray>::default();
        let mut batches = self.open(split, &tray).await?;
        let mut done = 0;
        loop {
            // Behind a long row there is most often another: it is not decoded before there is room for it.
            let room = self.intake.ends.heavy.room(*last_bytes).await;
            let next = batches.try_next().await?;
            self.set_aside(&tray, name).await?;
            let Some(batch) = next else { return Ok(()) };
            if batch.num_rows() == 0 {
                continue;
            }
            let ends = &self.intake.ends;
            let batch = match &ends.buffer {
                // It passed when it was read.
                Some(_) => self.intake.declared(batch)?,
                None => self.intake.pass(batch).await?,
            };
            let (rows, bytes) = self.intake.measure(&batch);
            let heavy = ends.heavy.pass((rows, bytes), room).await?;
            *last_bytes = bytes;
            let batch = if self.is_kept { compact(batch).await? } else { batch };
            let shown = self.basket.as_ref().map(|basket| {
                basket.read(rows);
                batch.clone()
            });
            self.origins.push(Origin::new(name, done).with_batch(shown));
            done += rows;
            if !sender.send_heavy(Ok(batch), (rows, bytes as usize), heavy).await {
                return Ok(());
            }
        }
    }

    /// Takes what the source has put into `tray` while it read a part of the split `name`.
    async fn set_aside(&self, tray: &Tray, name: &str) -> Result<()> {
        let Some(basket) = &self.basket else { return Ok(()) };
        for mut rejects in tray.take() {
            basket.read(rejects.errors.len() as u64);
            if !name.is_empty() {
                rejects.errors = rejects.errors.into_iter().map(|error| error.at("split", name)).collect();
            }
            basket.add(rejects).await?;
        }
        Ok(())
    }

    /// The rows of `split`: from the buffer, where there is one, else from the source.
    async fn open(&self, split: &Split, tray: &Arc<Tray>) -> Result<BatchStream> {
        match &self.intake.ends.buffer {
            Some(buffer) => Ok(buffer.rows(split.id)),
            None => self.intake.open(split, self.basket.is_some().then_some(tray)).await,
        }
    }
}
