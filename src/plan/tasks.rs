//! Cuts one plan into tasks: the same operators over other splits.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode as _};
use datafusion::physical_plan::ExecutionPlan;

use crate::error::Result;
use crate::plan::error::{from_datafusion, to_datafusion};
use crate::plan::read::ReadExec;
use crate::plan::write::WriteExec;
use crate::runner::Task;
use crate::source::Split;

/// `root` with one partition per task, each reading its own splits.
pub fn assign(root: &Arc<dyn ExecutionPlan>, tasks: &[(Task, Vec<Split>)]) -> Result<Arc<dyn ExecutionPlan>> {
    let partitions: Vec<Vec<Split>> = tasks.iter().map(|(_, splits)| splits.clone()).collect();
    let reading = over_splits(root, &partitions)?;
    let named = tasks.iter().map(|(task, _)| task.clone()).collect();
    let Some(write) = (&*reading as &dyn std::any::Any).downcast_ref::<WriteExec>() else { return Ok(reading) };
    Ok(Arc::new(WriteExec::new(Arc::clone(write.spec()), named, Arc::clone(write.children()[0]))))
}

/// `root` with its reader over `partitions` of splits.
pub(super) fn over_splits(root: &Arc<dyn ExecutionPlan>, partitions: &[Vec<Split>]) -> Result<Arc<dyn ExecutionPlan>> {
    let rewritten = Arc::clone(root).transform_up(|node| {
        let Some(read) = (&*node as &dyn std::any::Any).downcast_ref::<ReadExec>() else {
            return Ok(Transformed::no(node));
        };
        let read = ReadExec::of_splits(Arc::clone(read.spec()), partitions).map_err(to_datafusion)?;
        Ok(Transformed::yes(Arc::new(read) as Arc<dyn ExecutionPlan>))
    });
    Ok(rewritten.map_err(from_datafusion)?.data)
}

/// The first [`ReadExec`] under `root`.
pub(super) fn find_read(root: &Arc<dyn ExecutionPlan>) -> Option<&ReadExec> {
    if let Some(read) = (&**root as &dyn std::any::Any).downcast_ref::<ReadExec>() {
        return Some(read);
    }
    root.children().into_iter().find_map(find_read)
}
