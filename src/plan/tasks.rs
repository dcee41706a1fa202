//! Cuts one plan into tasks: the same operators over other splits.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode as _};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties as _, Partitioning};

use crate::error::Result;
use crate::plan::error::{from_datafusion, to_datafusion};
use crate::plan::read::ReadExec;
use crate::plan::write::{WriteExec, WriteSpec};
use crate::runner::{PlanShape, Task, Transfer};
use crate::source::Split;

/// `root` with one partition per task, each reading its own splits.
pub fn assign(root: &Arc<dyn ExecutionPlan>, tasks: &[(Task, Vec<Split>)]) -> Result<Arc<dyn ExecutionPlan>> {
    let partitions: Vec<Vec<Split>> = tasks.iter().map(|(_, splits)| splits.clone()).collect();
    let reading = over_splits(root, &partitions)?;
    let named = tasks.iter().map(|(task, _)| task.clone()).collect();
    let Some(write) = reading.downcast_ref::<WriteExec>() else { return Ok(reading) };
    Ok(Arc::new(WriteExec::new(Arc::clone(write.spec()), named, Arc::clone(write.children()[0]))))
}

/// `transfer` of `splits` alone, into those of its targets alone that have a number in `sinks`.
pub fn narrowed(transfer: &Transfer, sinks: &[u32], splits: Vec<Split>) -> Transfer {
    let mut root = Arc::clone(&transfer.root);
    if let Some(write) = transfer.root.downcast_ref::<WriteExec>() {
        let mut spec = WriteSpec::clone(write.spec());
        spec.targets.retain(|target| sinks.contains(&target.token.sink));
        root = Arc::new(WriteExec::new(Arc::new(spec), write.tasks().to_vec(), Arc::clone(write.children()[0])));
    }
    Transfer { root, splits, ..transfer.clone() }
}

/// One task per partition. Which splits a partition of a wide plan holds nobody knows: its first task stands for all of
/// them, the others for none. They are durable together or not at all.
pub(super) fn one_per_partition(splits: &[Split], partitions: usize) -> Vec<Task> {
    let all: Vec<u32> = splits.iter().map(|split| split.id).collect();
    let splits_of = |task: usize| if task == 0 { all.clone() } else { Vec::new() };
    (0..partitions).map(|task| Task { id: task as u32, splits: splits_of(task), rows: None }).collect()
}

/// `root` with its reader over `partitions` of splits.
pub(super) fn over_splits(root: &Arc<dyn ExecutionPlan>, partitions: &[Vec<Split>]) -> Result<Arc<dyn ExecutionPlan>> {
    let rewritten = Arc::clone(root).transform_up(|node| {
        let Some(read) = node.downcast_ref::<ReadExec>() else { return Ok(Transformed::no(node)) };
        let read = ReadExec::of_splits(Arc::clone(read.spec()), partitions).map_err(to_datafusion)?;
        Ok(Transformed::yes(Arc::new(read) as Arc<dyn ExecutionPlan>))
    });
    Ok(rewritten.map_err(from_datafusion)?.data)
}

/// The first [`ReadExec`] under `root`.
pub(super) fn find_read(root: &Arc<dyn ExecutionPlan>) -> Option<&ReadExec> {
    if let Some(read) = root.downcast_ref::<ReadExec>() {
        return Some(read);
    }
    root.children().into_iter().find_map(find_read)
}

/// `root` with `partitions` partitions, if it has more: a UNION ALL has those of all its inputs.
pub(super) fn brought_to(root: Arc<dyn ExecutionPlan>, partitions: usize) -> Result<Arc<dyn ExecutionPlan>> {
    if root.output_partitioning().partition_count() <= partitions {
        return Ok(root);
    }
    if partitions == 1 {
        return Ok(Arc::new(CoalescePartitionsExec::new(root)));
    }
    let dealt = RepartitionExec::try_new(root, Partitioning::RoundRobinBatch(partitions));
    Ok(Arc::new(dealt.map_err(from_datafusion)?))
}

/// Row-wise when each output row depends on its own split alone.
pub(super) fn shape_of(root: &Arc<dyn ExecutionPlan>) -> PlanShape {
    const ROWWISE: [&str; 6] =
        ["RowwiseExec", "StepsExec", "ProjectionExec", "FilterExec", "CoalesceBatchesExec", "CooperativeExec"];
    let mut node = root;
    loop {
        match (node.name(), node.children().as_slice()) {
            ("ReadExec", _) => return PlanShape::Rowwise,
            (name, [child]) if ROWWISE.contains(&name) => node = child,
            _ => return PlanShape::Wide,
        }
    }
}
