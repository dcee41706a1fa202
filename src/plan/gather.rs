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
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as PlanResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties as _, Partitioning, PlanProperties,
};
use futures::stream::{self, Peekable};
use futures::{Stream as _, StreamExt as _};

use crate::plan::trail::{self, Trail};

/// Passes on its input's partitions one after the other.
#[derive(Debug)]
pub struct GatherExec {
    input: Arc<dyn ExecutionPlan>,
    channels: usize,
    properties: Arc<PlanProperties>,
}

impl GatherExec {
    /// At most `channels` partitions of `input` are open at once.
    pub fn new(input: Arc<dyn ExecutionPlan>, channels: usize) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            input.boundedness(),
        );
        Self { input, channels: channels.max(1), properties: Arc::new(properties) }
    }

    /// Partitions that are open at once.
    pub fn channels(&self) -> usize {
        self.channels
    }
}

impl DisplayAs for GatherExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GatherExec: channels={}", self.channels)
    }
}

impl ExecutionPlan for GatherExec {
    fn name(&self) -> &'static str {
        "GatherExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> PlanResult<TreeNodeRecursion>,
    ) -> PlanResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(children.swap_remove(0), self.channels)))
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> PlanResult<SendableRecordBatchStream> {
        let partitions = self.input.output_partitioning().partition_count();
        let gathered = Gathered {
            input: Arc::clone(&self.input),
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
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
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
