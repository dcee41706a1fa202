//! `SpreadExec`: many partitions in, their batches dealt in turn to as many partitions as there are writers.
//!
//! For a job that wants its writers apart from its readers. DataFusion's own repartition makes batches anew by their rows,
//! which frames do not survive, and its queues are not bounded in bytes; here batches pass as they are, each output through
//! a lane.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::Result as PlanResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties as _};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::flow::board::TaskMeter;
use crate::flow::channel::{LaneReceiver, LaneSender, lane};
use crate::plan::context::Ends;
use crate::plan::error::{from_datafusion, to_datafusion};
use crate::plan::unary::{Operation, Unary};
use crate::schema::batch_bytes;

/// Deals the batches of its input's partitions to its own.
pub type SpreadExec = Unary<Spread>;

/// What a [`SpreadExec`] does.
#[derive(Debug)]
pub struct Spread {
    readers: usize,
    writers: usize,
    /// The dealing, once an output was asked for.
    dealing: Mutex<Option<Dealing>>,
}

impl SpreadExec {
    /// At most `readers` partitions of `input` are open at once, and `writers` share what they give.
    pub fn new(input: Arc<dyn ExecutionPlan>, readers: usize, writers: usize) -> Self {
        Self::over(input, Spread::new(readers.max(1), writers.max(1)))
    }

    /// Partitions that are open at once.
    pub fn readers(&self) -> usize {
        self.operation.readers
    }

    /// Partitions that share their batches.
    pub fn writers(&self) -> usize {
        self.operation.writers
    }
}

impl Spread {
    fn new(readers: usize, writers: usize) -> Self {
        Self { readers, writers, dealing: Mutex::default() }
    }

    /// The lane of an output, and the readers that fill it. The first one who asks sets them to work.
    fn lane(&self, input: &Arc<dyn ExecutionPlan>, output: usize, context: &Arc<TaskContext>) -> Result<Output> {
        let mut dealing = self.dealing.lock();
        if dealing.is_none() {
            *dealing = Some(self.deal(input, context)?);
        }
        let taken = || Error::new(ErrorKind::Internal, "an output of the plan was asked for twice");
        let Some(Dealing { lanes, readers }) = &mut *dealing else { return Err(taken()) };
        let lane = lanes.get_mut(output).and_then(Option::take).ok_or_else(taken)?;
        Ok(Output { lane, readers: Arc::clone(readers) })
    }

    fn deal(&self, input: &Arc<dyn ExecutionPlan>, context: &Arc<TaskContext>) -> Result<Dealing> {
        let ends = Ends::of(context)?;
        let (senders, lanes): (Vec<_>, Vec<_>) =
            (0..self.writers).map(|_| lane(ends.lane_bytes, &TaskMeter::of(&ends.meter))).unzip();
        let lanes = lanes.into_iter().map(Some).collect();
        let partitions = input.output_partitioning().partition_count();
        let turns = Arc::new(Turns { senders, next_partition: AtomicUsize::new(0), next_lane: AtomicUsize::new(0) });
        let ended = Arc::new(AtomicUsize::new(0));
        let read = |_| {
            let (input, context) = (Arc::clone(input), Arc::clone(context));
            let (turns, ended) = (Arc::clone(&turns), Arc::clone(&ended));
            SpawnedTask::spawn(async move {
                turns.run(&input, &context, partitions).await;
                ended.fetch_add(1, Ordering::Release);
            })
        };
        let tasks = (0..self.readers.min(partitions.max(1))).map(read).collect();
        Ok(Dealing { lanes, readers: Arc::new(Readers { tasks, ended }) })
    }
}

/// What the outputs share until each has its own.
#[derive(Debug)]
struct Dealing {
    lanes: Vec<Option<LaneReceiver>>,
    readers: Arc<Readers>,
}

/// Those who fill the lanes. They end with the plan, or when they find that an output is gone.
#[derive(Debug)]
struct Readers {
    tasks: Vec<SpawnedTask<()>>,
    /// How many came to their end, also by a failure that they have told.
    ended: Arc<AtomicUsize>,
}

/// Whose turn it is.
struct Turns {
    senders: Vec<LaneSender>,
    next_partition: AtomicUsize,
    next_lane: AtomicUsize,
}

impl Turns {
    /// One reader: takes partitions until none is left, an output has gone, or a failure was told to one.
    async fn run(&self, input: &Arc<dyn ExecutionPlan>, context: &Arc<TaskContext>, partitions: usize) {
        loop {
            let partition = self.next_partition.fetch_add(1, Ordering::Relaxed);
            if partition >= partitions {
                return;
            }
            let mut batches = match input.execute(partition, Arc::clone(context)) {
                Ok(batches) => batches.map_err(from_datafusion).boxed(),
                Err(error) => stream::iter([Err(from_datafusion(error))]).boxed(),
            };
            while let Some(item) = batches.next().await {
                let (bytes, is_failure) = (item.as_ref().map_or(0, batch_bytes), item.is_err());
                let lane = self.next_lane.fetch_add(1, Ordering::Relaxed) % self.senders.len();
                if !self.senders[lane].send(item, bytes).await || is_failure {
                    return;
                }
            }
        }
    }
}

/// One output. Whoever sees a failure fails the whole plan: to the others their lane simply ends.
struct Output {
    lane: LaneReceiver,
    readers: Arc<Readers>,
}

impl Output {
    async fn next(mut self) -> Option<(Result<RecordBatch>, Self)> {
        if let Some(item) = self.lane.receive().await {
            return Some((item, self));
        }
        // A reader that died without a word must not look like the end of the rows.
        if self.readers.ended.load(Ordering::Acquire) == self.readers.tasks.len() {
            return None;
        }
        Some((Err(Error::new(ErrorKind::Internal, "reading failed in an unforeseen way")), self))
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "readers={}, writers={}", self.readers, self.writers)
    }
}

impl Operation for Spread {
    const NAME: &'static str = "SpreadExec";

    fn partitions(&self, _: &Arc<dyn ExecutionPlan>) -> usize {
        self.writers
    }

    fn again(&self) -> Self {
        Self::new(self.readers, self.writers)
    }

    fn execute(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        output: usize,
        context: Arc<TaskContext>,
    ) -> PlanResult<SendableRecordBatchStream> {
        let output = self.lane(input, output, &context).map_err(to_datafusion)?;
        let batches = stream::unfold(output, Output::next).map_err(to_datafusion);
        Ok(Box::pin(RecordBatchStreamAdapter::new(input.schema(), batches)))
    }
}
