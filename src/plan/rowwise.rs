//! Filter and projection, row by row, on the processor pool.
//!
//! One job per batch, the order is kept, and one batch is worked on ahead. Arithmetic and casts are checked; when a batch
//! fails it is halved down to the row, so that the error names the row and the expression, but no value. Rows are counted
//! from the begin of the stream of a partition.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::physical_expr::fmt_sql;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions};
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use futures::StreamExt as _;

use super::checked::check_expr;
use super::error::{from_datafusion, to_datafusion};
use crate::bridge::cpu;
use crate::error::{Error, ErrorKind};

/// Filters rows, then computes columns. See the [module](self).
#[derive(Debug)]
pub struct RowwiseExec {
    input: Arc<dyn ExecutionPlan>,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    projection: Option<Vec<ProjectionExpr>>,
    work: Arc<Work>,
    properties: Arc<PlanProperties>,
}

/// What is done with a batch.
#[derive(Debug)]
struct Work {
    predicate: Option<Step>,
    projection: Option<Vec<Step>>,
    schema: SchemaRef,
}

/// One checked expression, with what an error says of it.
#[derive(Debug)]
struct Step {
    expr: Arc<dyn PhysicalExpr>,
    text: String,
}

impl RowwiseExec {
    /// Keeps the rows of `input` that satisfy `predicate`, all without one, and computes the columns of `projection`
    /// of them; without one the columns stay.
    ///
    /// # Errors
    /// Those of [`check_expr`], and DataFusion's for expressions that do not fit the input.
    pub fn try_new(
        predicate: Option<Arc<dyn PhysicalExpr>>,
        projection: Option<Vec<ProjectionExpr>>,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Self> {
        let model = model(predicate.as_ref(), projection.as_deref(), Arc::clone(&input))?;
        let properties = Arc::clone(model.properties());
        let schema = input.schema();
        let step = |expr: &Arc<dyn PhysicalExpr>| {
            let text = fmt_sql(expr.as_ref()).to_string();
            Ok::<_, DataFusionError>(Step { expr: check_expr(Arc::clone(expr), &schema)?, text })
        };
        let steps = |exprs: &Vec<ProjectionExpr>| exprs.iter().map(|expr| step(&expr.expr)).collect::<Result<_>>();
        let work = Work {
            predicate: predicate.as_ref().map(step).transpose()?,
            projection: projection.as_ref().map(steps).transpose()?,
            schema: model.schema(),
        };
        Ok(Self { input, predicate, projection, work: Arc::new(work), properties })
    }

    /// The filter, as it was given.
    pub fn predicate(&self) -> Option<&Arc<dyn PhysicalExpr>> {
        self.predicate.as_ref()
    }

    /// The computed columns, as they were given.
    pub fn projection(&self) -> Option<&[ProjectionExpr]> {
        self.projection.as_deref()
    }

    /// What the operator does, without its input, for a codec.
    ///
    /// # Errors
    /// DataFusion's when an expression has no serial form.
    pub fn to_bytes(&self, codec: &dyn PhysicalExtensionCodec) -> Result<Vec<u8>> {
        // DataFusion serializes plans: the pair of operators that this one stands for, over nothing.
        let nothing = Arc::new(EmptyExec::new(self.input.schema()));
        let model = model(self.predicate.as_ref(), self.projection.as_deref(), nothing)?;
        Ok(physical_plan_to_bytes_with_extension_codec(model, codec)?.to_vec())
    }

    /// What [`RowwiseExec::to_bytes`] wrote, over `input`.
    ///
    /// # Errors
    /// DataFusion's when the bytes are no such plan or name functions that `context` does not have.
    pub fn from_bytes(
        bytes: &[u8],
        input: Arc<dyn ExecutionPlan>,
        context: &TaskContext,
        codec: &dyn PhysicalExtensionCodec,
    ) -> Result<Self> {
        let mut model = physical_plan_from_bytes_with_extension_codec(bytes, context, codec)?;
        let mut projection = None;
        if let Some(outer) = model.downcast_ref::<ProjectionExec>() {
            projection = Some(outer.expr().to_vec());
            model = Arc::clone(outer.input());
        }
        let predicate = model.downcast_ref::<FilterExec>().map(|filter| Arc::clone(filter.predicate()));
        Self::try_new(predicate, projection, input)
    }
}

/// DataFusion's operators for the same: they know schema, ordering and partitioning of the result.
fn model(
    predicate: Option<&Arc<dyn PhysicalExpr>>,
    projection: Option<&[ProjectionExpr]>,
    input: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let filtered: Arc<dyn ExecutionPlan> = match predicate {
        Some(predicate) => Arc::new(FilterExec::try_new(Arc::clone(predicate), input)?),
        None => input,
    };
    Ok(match projection {
        Some(projection) => Arc::new(ProjectionExec::try_new(projection.to_vec(), filtered)?),
        None => filtered,
    })
}

impl DisplayAs for RowwiseExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowwiseExec:")?;
        if let Some(step) = &self.work.predicate {
            write!(f, " where={}", step.text)?;
        }
        if let (Some(steps), Some(exprs)) = (&self.work.projection, &self.projection) {
            let columns: Vec<String> =
                steps.iter().zip(exprs).map(|(step, expr)| format!("{} as {}", step.text, expr.alias)).collect();
            write!(f, " select=[{}]", columns.join(", "))?;
        }
        Ok(())
    }
}

impl ExecutionPlan for RowwiseExec {
    fn name(&self) -> &'static str {
        "RowwiseExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        // A split stays in its task.
        vec![false]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let columns = self.work.projection.iter().flatten();
        let mut recursion = TreeNodeRecursion::Continue;
        for step in self.work.predicate.iter().chain(columns) {
            recursion = f(&step.expr)?;
            if recursion == TreeNodeRecursion::Stop {
                break;
            }
        }
        Ok(recursion)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children
            .pop()
            .filter(|_| children.is_empty())
            .ok_or_else(|| to_datafusion(Error::new(ErrorKind::Internal, "a row-wise operator has one input")))?;
        Ok(Arc::new(Self::try_new(self.predicate.clone(), self.projection.clone(), input)?))
    }

    // Deprecated in DataFusion 55, yet required.
    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(datafusion::physical_plan::ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let work = Arc::clone(&self.work);
        let mut rows = 0u64;
        let jobs = input.map(move |batch| {
            let first_row = rows;
            rows += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
            let work = Arc::clone(&work);
            async move {
                let batch = batch?;
                let done = cpu::run(move || work.run(&batch, first_row)).await;
                done.and_then(|result| result).map_err(to_datafusion)
            }
        });
        // Two at once: the one that is waited for, and one ahead.
        let stream = jobs.buffered(2).filter(|batch| {
            let empty = batch.as_ref().is_ok_and(|batch| batch.num_rows() == 0);
            std::future::ready(!empty)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream)))
    }
}

impl Work {
    fn run(&self, batch: &RecordBatch, first_row: u64) -> crate::error::Result<RecordBatch> {
        let filtered = match &self.predicate {
            None => None,
            Some(step) => {
                let keep = step.evaluate(batch).map_err(|error| step.locate(batch, error, |row| first_row + row))?;
                let keep = keep.as_boolean_opt().cloned().unwrap_or_else(|| BooleanArray::new_null(batch.num_rows()));
                let kept = filter_record_batch(batch, &keep)?;
                Some((keep, kept))
            }
        };
        let (source, keep) = match &filtered {
            None => (batch, None),
            Some((keep, kept)) => (kept, Some(keep)),
        };
        let Some(steps) = &self.projection else { return Ok(source.clone()) };
        let row_of = |row: u64| first_row + keep.map_or(row, |keep| nth_kept(keep, row));
        let evaluate = |step: &Step| step.evaluate(source).map_err(|error| step.locate(source, error, row_of));
        let columns = steps.iter().map(evaluate).collect::<crate::error::Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(source.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

/// Where the row with number `row` among those that are kept stands among all.
fn nth_kept(keep: &BooleanArray, row: u64) -> u64 {
    let kept = (0..keep.len()).filter(|row| keep.is_valid(*row) && keep.value(*row));
    kept.map(|row| row as u64).nth(row as usize).unwrap_or(row)
}

impl Step {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        self.expr.evaluate(batch)?.into_array(batch.num_rows())
    }

    /// `error` of `batch`, with the first row that gives one.
    fn locate(&self, batch: &RecordBatch, error: DataFusionError, row_of: impl Fn(u64) -> u64) -> Error {
        let mut error = from_datafusion(error);
        let (mut start, mut length) = (0, batch.num_rows());
        let mut found = length == 1;
        while length > 1 {
            let half = length / 2;
            let first = self.evaluate(&batch.slice(start, half));
            let (next, rows) = match first {
                Err(error) => ((start, half), Some(error)),
                Ok(_) => match self.evaluate(&batch.slice(start + half, length - half)) {
                    Err(error) => ((start + half, length - half), Some(error)),
                    // Neither half fails alone: it is no matter of a row.
                    Ok(_) => ((start, 0), None),
                },
            };
            found = rows.is_some() && next.1 == 1;
            if let Some(rows) = rows {
                error = from_datafusion(rows);
            }
            (start, length) = next;
        }
        let error = error.at("expression", &self.text);
        if found { error.at("row", row_of(start as u64)) } else { error }
    }
}
