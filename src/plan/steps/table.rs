//! The table `src` of a transform with steps: a query sees rows after them.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;

use super::{Steps, StepsExec};
use crate::plan::error::to_datafusion;
use crate::plan::table::SourceTable;

/// A source after its steps. They count all rows: the source filters none of them before.
#[derive(Debug)]
pub(in crate::plan) struct SteppedTable {
    source: Arc<SourceTable>,
    steps: Arc<Steps>,
}

impl SteppedTable {
    /// `source` after `steps`, which were made for its columns.
    pub(in crate::plan) fn new(source: Arc<SourceTable>, steps: Arc<Steps>) -> Self {
        Self { source, steps }
    }

    /// All rows that are left.
    pub(in crate::plan) async fn read_all(&self) -> crate::error::Result<StepsExec> {
        Ok(StepsExec::new(Arc::clone(&self.steps), Arc::new(self.source.read_all().await?)))
    }
}

#[async_trait]
impl TableProvider for SteppedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.steps.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let stepped: Arc<dyn ExecutionPlan> = Arc::new(self.read_all().await.map_err(to_datafusion)?);
        let Some(wanted) = projection else { return Ok(stepped) };
        let schema = self.steps.schema();
        let column = |index: &usize| {
            let name = schema.field(*index).name();
            (Arc::new(Column::new(name, *index)) as Arc<dyn PhysicalExpr>, name.clone())
        };
        Ok(Arc::new(ProjectionExec::try_new(wanted.iter().map(column), stepped)?))
    }
}
