//! What our operators of one input have in common before DataFusion. One that has expressions stands by itself (`rowwise`).

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as PlanResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties as _, Partitioning, PlanProperties,
};

/// What an operator does with its input. A plan shows it behind its name.
pub trait Operation: fmt::Debug + fmt::Display + Send + Sync + Sized + 'static {
    /// Its name in plans.
    const NAME: &'static str;

    /// When it gives batches.
    const EMISSION: EmissionType = EmissionType::Incremental;

    /// The columns that it gives.
    fn schema(&self, input: &Arc<dyn ExecutionPlan>) -> SchemaRef {
        input.schema()
    }

    /// The partitions that it gives.
    fn partitions(&self, input: &Arc<dyn ExecutionPlan>) -> usize {
        input.output_partitioning().partition_count()
    }

    /// The same for another input, with nothing under way.
    #[must_use]
    fn again(&self) -> Self;

    /// The batches of one of its partitions over `input`.
    fn execute(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> PlanResult<SendableRecordBatchStream>;
}

/// An operator of one input.
#[derive(Debug)]
pub struct Unary<O> {
    pub(super) operation: O,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl<O: Operation> Unary<O> {
    /// `operation` over `input`.
    pub(super) fn over(input: Arc<dyn ExecutionPlan>, operation: O) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(operation.schema(&input)),
            Partitioning::UnknownPartitioning(operation.partitions(&input)),
            O::EMISSION,
            input.boundedness(),
        );
        Self { operation, input, properties: Arc::new(properties) }
    }
}

impl<O: Operation> DisplayAs for Unary<O> {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", O::NAME, self.operation)
    }
}

impl<O: Operation> ExecutionPlan for Unary<O> {
    fn name(&self) -> &'static str {
        O::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        // A split stays in its task.
        vec![false]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        // The order of splits says nothing of that of rows; with `true` a sort by the first column is put below.
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
        Ok(Arc::new(Self::over(children.swap_remove(0), self.operation.again())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> PlanResult<SendableRecordBatchStream> {
        self.operation.execute(&self.input, partition, context)
    }
}
