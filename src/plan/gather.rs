//! `GatherExec`: many partitions in, one out, in the order of the partitions.
//!
//! For a target that takes one writer. DataFusion's own coalescing starts every input at once and mixes their
//! rows; this one has at most `channels` inputs open, which fill their lanes while the first is passed on.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use datafusion::error::Result as PlanResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties as _};
use futures::stream::{self, Peekable};
use futures::{Stream as _, StreamExt as _};

use crate::plan::trail::{self, Trail};
use crate::plan::unary::{Operation, Unary};

/// Passes on its input's partitions one after the other.
pub type GatherExec = Unary<Gather>;

/// What a [`GatherExec`] does.
#[derive(Debug)]
pub struct Gather {
    channels: usize,
}

impl GatherExec {
    /// At most `channels` partitions of `input` are open at once.
    pub fn new(input: Arc<dyn ExecutionPlan>, channels: usize) -> Self {
        Self::over(input, Gather { channels: channels.max(1) })
    }

    /// Partitions that are open at once.
    pub fn channels(&self) -> usize {
        self.operation.channels
    }
}

impl fmt::Display for Gather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "channels={}", self.channels)
    }
}

impl Operation for Gather {
    const NAME: &'static str = "GatherExec";

    fn partitions(&self, _: &Arc<dyn ExecutionPlan>) -> usize {
        1
    }

    fn again(&self) -> Self {
        Self { channels: self.channels }
    }

    fn execute(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        _: usize,
        context: Arc<TaskContext>,
    ) -> PlanResult<SendableRecordBatchStream> {
        let partitions = input.output_partitioning().partition_count();
        let gathered = Gathered {
            input: Arc::clone(input),
            trail: trail::upward(&context),
            context,
            waiting: 0..partitions,
            open: VecDeque::new(),
            channels: self.channels,
        };
        let batches =
            stream::unfold(
                gathered,
                |mut gathered| async move { gathered.next().await.map(|batch| (batch, gathered)) },
            );
        Ok(Box::pin(RecordBatchStreamAdapter::new(input.schema(), batches)))
    }
}

struct Gathered {
    input: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    trail: Option<Arc<Trail>>,
    waiting: std::ops::Range<usize>,
    open: VecDeque<Open>,
    channels: usize,
}

/// A partition that is read, and has at most one batch ready beside those in its lane.
struct Open {
    batches: Pin<Box<Peekable<SendableRecordBatchStream>>>,
    trail: Option<Arc<Trail>>,
}

impl Gathered {
    async fn next(&mut self) -> Option<PlanResult<RecordBatch>> {
        loop {
            while self.open.len() < self.channels {
                let Some(partition) = self.waiting.next() else { break };
                match self.open(partition) {
                    Ok(open) => self.open.push_back(open),
                    Err(error) => return Some(Err(error)),
                }
            }
            if self.open.is_empty() {
                return None;
            }
            if let Some(item) = poll_fn(|context| self.poll(context)).await {
                self.note();
                return Some(item);
            }
            self.open.pop_front();
        }
    }

    fn open(&self, partition: usize) -> PlanResult<Open> {
        let (context, trail) = trail::follow(&self.input, &self.context);
        let batches = Box::pin(self.input.execute(partition, context)?.peekable());
        Ok(Open { batches, trail })
    }

    /// Polls the front, then the others, which start to read at their first poll: in this order readers get their grants,
    /// so the front never waits for one that a later partition holds.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<PlanResult<RecordBatch>>> {
        let mut open = self.open.iter_mut();
        let front = open.next().map_or(Poll::Ready(None), |open| open.batches.as_mut().poll_next(context));
        for behind in open {
            // What is ready stays there until its turn.
            let _ = behind.batches.as_mut().poll_peek(context);
        }
        front
    }

    /// Hands the origin of the front's batch on.
    fn note(&self) {
        let origin = self.open.front().and_then(|open| open.trail.as_ref()?.pop());
        if let (Some(trail), Some(origin)) = (&self.trail, origin) {
            trail.push(origin);
        }
    }
}
