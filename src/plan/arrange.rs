//! The operators between rows and writers: as many partitions as all targets take writers, and how splits become tasks.

use std::sync::Arc;

use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties as _};

use crate::error::{Error, ErrorKind, Result};
use crate::plan::gather::GatherExec;
use crate::plan::pipeline::Target;
use crate::plan::spread::SpreadExec;
use crate::plan::table::deal;
use crate::plan::tasks::{brought_to, over_splits, shape_of};
use crate::runner::PlanShape;
use crate::sink::{Tasks, Writers};
use crate::source::Split;

/// What decides about it, beside the targets.
#[derive(Debug)]
pub(super) struct Arrangement<'a> {
    pub(super) splits: &'a [Split],
    /// What the sinks were told when they agreed.
    pub(super) tasks: Tasks,
    /// How many writers share all batches, where the job says so.
    pub(super) writers: Option<usize>,
    /// Splits that are read at once.
    pub(super) readers: usize,
    pub(super) channels: usize,
    /// No more rows than this.
    pub(super) limit: Option<u64>,
}

impl Arrangement<'_> {
    /// `root`, arranged for `targets`.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for a target whose writers are chosen by key.
    pub(super) fn of(
        &self,
        root: Arc<dyn ExecutionPlan>,
        targets: &[Target],
    ) -> Result<(Arc<dyn ExecutionPlan>, PlanShape)> {
        let mut writers = targets.iter().map(|target| &target.agreement.writers);
        if writers.clone().any(|writers| matches!(writers, Writers::ByKey(_))) {
            let message = "a target whose writers are chosen by key cannot be written yet";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let single = self.limit.is_some() || writers.any(|writers| *writers == Writers::One);
        let wide = |root: Arc<dyn ExecutionPlan>| Ok((root, PlanShape::Wide));
        match (shape_of(&root), self.writers) {
            (PlanShape::Rowwise, wanted) if single || wanted == Some(1) => {
                wide(self.limited(Arc::new(GatherExec::new(self.apart(&root)?, self.readers))))
            }
            (PlanShape::Rowwise, Some(writers)) => {
                wide(Arc::new(SpreadExec::new(self.apart(&root)?, self.readers, writers)))
            }
            (PlanShape::Rowwise, None) if self.tasks == Tasks::One => {
                wide(over_splits(&root, &[self.splits.to_vec()])?)
            }
            (PlanShape::Rowwise, None) => {
                Ok((over_splits(&root, &deal(self.splits, self.readers))?, PlanShape::Rowwise))
            }
            (PlanShape::Wide, _) if single || self.tasks == Tasks::One => wide(self.limited(brought_to(root, 1)?)),
            (PlanShape::Wide, Some(writers)) => {
                let partitions = root.output_partitioning().partition_count();
                wide(Arc::new(SpreadExec::new(root, partitions, writers)))
            }
            (PlanShape::Wide, None) => {
                let writers = writers_of(&root, self.channels);
                wide(brought_to(root, writers)?)
            }
        }
    }

    /// `root` with a partition for each split, and with one where there is none.
    fn apart(&self, root: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let apart: Vec<Vec<Split>> = self.splits.iter().map(|split| vec![split.clone()]).collect();
        over_splits(root, &if apart.is_empty() { vec![Vec::new()] } else { apart })
    }

    fn limited(&self, root: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        match self.limit {
            Some(limit) => Arc::new(GlobalLimitExec::new(root, 0, Some(limit as usize))),
            None => root,
        }
    }
}

/// Writers of a wide plan: one per partition, but no more than channels.
pub(super) fn writers_of(root: &Arc<dyn ExecutionPlan>, channels: usize) -> usize {
    root.output_partitioning().partition_count().min(channels.max(1))
}
