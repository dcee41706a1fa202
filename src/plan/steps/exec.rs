//! The operator that takes the steps.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::error::Result as PlanResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;

use super::Steps;
use crate::plan::batchwise;
use crate::plan::unary::{Operation, Unary};

/// Takes the steps with each batch of its input.
pub type StepsExec = Unary<Taking>;

/// What a [`StepsExec`] does.
#[derive(Debug)]
pub struct Taking(Arc<Steps>);

impl StepsExec {
    /// `steps` over `input`, for whose columns they were made.
    pub fn new(steps: Arc<Steps>, input: Arc<dyn ExecutionPlan>) -> Self {
        Self::over(input, Taking(steps))
    }

    /// The steps.
    pub fn steps(&self) -> &Arc<Steps> {
        &self.operation.0
    }
}

impl fmt::Display for Taking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Operation for Taking {
    const NAME: &'static str = "StepsExec";

    fn schema(&self, _: &Arc<dyn ExecutionPlan>) -> SchemaRef {
        Arc::clone(self.0.schema())
    }

    fn again(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    fn execute(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> PlanResult<SendableRecordBatchStream> {
        batchwise::stream(&self.0, (input, partition), &context, self.schema(input))
    }
}
