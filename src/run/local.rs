//! `LocalRunner`: runs the tasks of a transfer in this process, in groups of channels.

use std::collections::HashSet;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties as _};
use futures::TryStreamExt as _;
use futures::stream::{FuturesUnordered, StreamExt as _};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Result};
use crate::flow::board::{Card, State, TaskMeter};
use crate::flow::buffer::Buffer;
use crate::flow::meter::Meter;
use crate::plan::ahead::read_ahead;
use crate::plan::context::{Ends, of_task};
use crate::plan::error::from_datafusion;
use crate::plan::tasks::assign;
use crate::plan::write::receipts;
use crate::run::queue::{self, Queues};
use crate::run::retry::{Failures, Renewal};
use crate::run::sizing::Sizing;
use crate::run::stopped;
use crate::runner::{PlanShape, RunEvents, Runner, Task, Transfer};
use crate::sink::Receipt;
use crate::source::Split;

/// How long a channel should work on one task.
const TASK_TIME: Duration = Duration::from_secs(3);

/// How long the end of a run waits for readers that were told to end.
const END_TIME: Duration = Duration::from_secs(30);

/// Runs tasks on this process's tokio runtime. Dropping a run ends all its tasks.
#[derive(Clone, Debug)]
pub struct LocalRunner {
    /// Channels and groups.
    pub sizing: Sizing,
    /// Where plans find the job's ends.
    pub context: Arc<TaskContext>,
    /// Counts what is done.
    pub meter: Arc<Meter>,
    /// Begins tasks anew.
    pub renewal: Renewal,
    /// Splits that are read at once, where a buffer reads them ahead.
    pub readers: usize,
    /// Ends the run from outside.
    pub stop: CancellationToken,
}

#[async_trait]
impl Runner for LocalRunner {
    async fn run(&self, transfer: &Transfer, done: &[Receipt], events: &dyn RunEvents) -> Result<Vec<Receipt>> {
        let (alive, mut gone) = mpsc::channel(1);
        let settled: HashSet<u32> = done.iter().flat_map(|receipt| receipt.splits.iter().copied()).collect();
        let left: Vec<Split> = transfer.splits.iter().filter(|split| !settled.contains(&split.id)).cloned().collect();
        let ends = Ends::of(&self.context)?;
        if let Some(buffer) = &ends.buffer {
            buffer.begin(left.iter().map(|split| split.id));
        }
        let result = {
            let running = async {
                match transfer.shape {
                    PlanShape::Rowwise => self.run_rowwise(transfer, (&left, done), &alive, events).await,
                    PlanShape::Wide => self.run_wide(transfer, &alive, events).await,
                }
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => Err(stopped()),
                result = running => result,
                error = self.read_ahead(transfer, &left, ends.buffer.as_ref()) => Err(error),
            }
        };
        // Tasks that were told to end may still hold a writer: the stage is swept after they are gone. So may their
        // readers hold a read of the session, which is closed next.
        drop(alive);
        gone.recv().await;
        // A driver that does not let go within this time is left to the end of the program.
        let _ = timeout(END_TIME, ends.readers.write()).await;
        result
    }
}

/// Held by every task; when all are dropped, no task is left.
type Alive = mpsc::Sender<()>;

impl LocalRunner {
    /// Reads ahead into `buffer`, and lets the source go as soon as it is not needed any more. Comes back with a failure alone.
    async fn read_ahead(&self, transfer: &Transfer, left: &[Split], buffer: Option<&Arc<Buffer>>) -> Error {
        let Some(buffer) = buffer else { return pending().await };
        let read = read_ahead(&transfer.root, &self.context, (left, self.readers), buffer).await;
        let released = match read {
            Ok(()) => self.renewal.release().await,
            Err(error) => Err(error),
        };
        match released {
            Ok(()) => pending().await,
            Err(error) => error,
        }
    }

    /// Any run of splits is a task: each channel cuts its next one from its group's queue.
    async fn run_rowwise(
        &self,
        transfer: &Transfer,
        (left, done): (&[Split], &[Receipt]),
        alive: &Alive,
        events: &dyn RunEvents,
    ) -> Result<Vec<Receipt>> {
        let next_task = done.iter().map(|receipt| receipt.task + 1).max().unwrap_or(0);
        let group = Arc::new(Shared {
            root: Arc::clone(&transfer.root),
            context: Arc::clone(&self.context),
            queues: Mutex::new(Queues::new(left, &self.sizing.groups)),
            next_task: AtomicU32::new(next_task),
            least_bytes: queue::least_bytes(left, self.sizing.channels, transfer.task_bytes),
            alive: alive.clone(),
        });
        let channels = self.sizing.groups.iter().enumerate();
        let channels = channels.flat_map(|(index, count)| std::iter::repeat_n(index, *count));
        let mut running: FuturesUnordered<_> =
            channels.map(|index| self.channel(Arc::clone(&group), index, events)).collect();
        let mut all = Vec::new();
        while let Some(receipts) = running.next().await {
            all.extend(receipts?);
        }
        Ok(all)
    }

    /// One channel: takes tasks from its group's queue until nothing is left.
    async fn channel(&self, shared: Arc<Shared>, group: usize, events: &dyn RunEvents) -> Result<Vec<Receipt>> {
        let buffer = Ends::of(&self.context)?.buffer.clone();
        let mut speed = Speed::default();
        let mut all = Vec::new();
        loop {
            let splits = shared.take(group, speed.goal_bytes());
            if splits.is_empty() {
                return Ok(all);
            }
            let bytes = splits.iter().filter_map(|split| split.bytes).sum();
            let start = Instant::now();
            let (id, plan) = shared.plan(&splits)?;
            let meter = TaskMeter::begin(&self.meter, Card::new(id, group, &splits));
            let mut failures = Failures::default();
            let receipts = loop {
                // On a task of the runtime, so that channels run on different threads.
                let mut task = JoinSet::new();
                let ends = (Arc::clone(&shared.context), meter.clone());
                task.spawn(run_partition(Arc::clone(&plan), 0, ends, shared.alive.clone()));
                match joined(&mut task).await {
                    Ok(receipts) => {
                        meter.ended(State::Done);
                        break receipts;
                    }
                    Err(error) => {
                        let again = self.renewal.after(error, (&splits, &mut failures), &meter).await;
                        again.inspect_err(|_| meter.ended(State::Failed))?;
                    }
                }
            };
            for receipt in receipts {
                events.wrote(&receipt).await?;
                self.meter.landed(receipt.bytes);
                if let Some(buffer) = &buffer {
                    buffer.settled(&receipt.splits);
                }
                all.push(receipt);
            }
            speed.measured(bytes, start.elapsed());
            self.meter.settled(splits.len() as u64, bytes);
        }
    }

    /// All partitions run together, one task each. Which rows one of several gets may differ from attempt to attempt: they
    /// are begun anew together, and their receipts count when all are there.
    async fn run_wide(&self, transfer: &Transfer, alive: &Alive, events: &dyn RunEvents) -> Result<Vec<Receipt>> {
        // Which splits a partition holds nobody knows: the first task stands for all of them.
        let splits = |task: usize| if task == 0 { transfer.splits.as_slice() } else { &[] };
        let partitions = 0..transfer.root.output_partitioning().partition_count();
        let begin = |task: usize| TaskMeter::begin(&self.meter, Card::new(task as u32, 0, splits(task)));
        let meters: Vec<TaskMeter> = partitions.map(begin).collect();
        let ended = |state: State| meters.iter().for_each(|meter| meter.ended(state));
        let mut failures = if meters.len() > 1 { Failures::of_all() } else { Failures::default() };
        let all = loop {
            let error = match self.run_whole(transfer, &meters, alive).await {
                Ok(receipts) => break receipts,
                Err(error) => error,
            };
            let again = match meters.first() {
                Some(first) => self.renewal.after(error, (&transfer.splits, &mut failures), first).await,
                None => Err(error),
            };
            again.inspect_err(|_| ended(State::Failed))?;
        };
        ended(State::Done);
        for receipt in &all {
            events.wrote(receipt).await?;
            self.meter.landed(receipt.bytes);
        }
        let bytes = transfer.splits.iter().filter_map(|split| split.bytes).sum();
        self.meter.settled(transfer.splits.len() as u64, bytes);
        Ok(all)
    }

    /// One attempt of all partitions. After a failure it waits until none is at work any more, and what the others have
    /// rejected does not count.
    async fn run_whole(&self, transfer: &Transfer, meters: &[TaskMeter], alive: &Alive) -> Result<Vec<Receipt>> {
        // A copy of its own: operators keep their running inputs in themselves, and these must end with the attempt.
        let root = reset_plan_states(Arc::clone(&transfer.root)).map_err(from_datafusion)?;
        let mut running = JoinSet::new();
        for (partition, meter) in meters.iter().enumerate() {
            let ends = (Arc::clone(&self.context), meter.clone());
            running.spawn(run_partition(Arc::clone(&root), partition, ends, alive.clone()));
        }
        let (mut all, mut failed) = (Vec::new(), None);
        while !running.is_empty() {
            match joined(&mut running).await {
                Ok(receipts) => all.extend(receipts),
                Err(error) => {
                    running.abort_all();
                    // Those behind it fail because they were told to end, or for want of what it had.
                    failed = failed.or(Some(error));
                }
            }
        }
        let Some(error) = failed else { return Ok(all) };
        if let Some(rejects) = &Ends::of(&self.context)?.rejects {
            for receipt in &all {
                rejects.forget(receipt);
            }
        }
        Err(error)
    }
}

/// What the channels of a run share.
struct Shared {
    root: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    queues: Mutex<Queues>,
    next_task: AtomicU32,
    least_bytes: u64,
    alive: Alive,
}

impl Shared {
    fn take(&self, group: usize, goal_bytes: u64) -> Vec<Split> {
        let mut queues = self.queues.lock();
        queues.take(group, goal_bytes, self.least_bytes)
    }

    /// The next task, and its plan.
    fn plan(&self, splits: &[Split]) -> Result<(u32, Arc<dyn ExecutionPlan>)> {
        let id = self.next_task.fetch_add(1, Ordering::Relaxed);
        let rows = splits.iter().map(|split| split.rows).sum();
        let task = Task { id, splits: splits.iter().map(|split| split.id).collect(), rows };
        Ok((id, assign(&self.root, &[(task, splits.to_vec())])?))
    }
}

/// What one channel has measured.
#[derive(Default)]
struct Speed {
    bytes_per_second: f64,
}

impl Speed {
    /// Bytes of a task that takes about [`TASK_TIME`]; one split as long as nothing was measured.
    fn goal_bytes(&self) -> u64 {
        (self.bytes_per_second * TASK_TIME.as_secs_f64()) as u64
    }

    fn measured(&mut self, bytes: u64, time: Duration) {
        self.bytes_per_second = bytes as f64 / time.as_secs_f64().max(0.001);
    }
}

async fn run_partition(
    plan: Arc<dyn ExecutionPlan>,
    partition: usize,
    (context, meter): (Arc<TaskContext>, TaskMeter),
    _alive: Alive,
) -> Result<Vec<Receipt>> {
    let mut batches = plan.execute(partition, of_task(&context, meter)).map_err(from_datafusion)?;
    let mut all = Vec::new();
    while let Some(batch) = batches.try_next().await.map_err(from_datafusion)? {
        all.extend(receipts(&batch)?);
    }
    Ok(all)
}

async fn joined(tasks: &mut JoinSet<Result<Vec<Receipt>>>) -> Result<Vec<Receipt>> {
    match tasks.join_next().await {
        None => Ok(Vec::new()),
        Some(Ok(result)) => result,
        Some(Err(death)) => {
            Err(Error::new(ErrorKind::Internal, "a task failed in an unforeseen way").with_source(death))
        }
    }
}
