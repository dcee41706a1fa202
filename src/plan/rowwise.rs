//! Filter and projection, row by row, on the processor pool.
//!
//! One job per batch, the order is kept, and one batch is worked on ahead. Arithmetic and casts are checked; when a batch
//! fails it is halved down to the row, so that the error names the row, the expression and the option that it stands in,
//! but no value. The row is that of the split, also behind filters; where rows have no split any more, as above a grouping,
//! they count from the begin of the partition.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
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
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};

use super::checked::check_expr;
use super::error::{from_datafusion, to_datafusion};
use super::trail::{self, Origin};
use crate::bridge::cpu;
use crate::error::{Error, ErrorKind};
use crate::flow::meter::Part;
use crate::plan::context::Ends;

/// Filters rows, then computes columns. See the [module](self).
#[derive(Clone, Debug)]
pub struct RowwiseExec {
    input: Arc<dyn ExecutionPlan>,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    projection: Option<Vec<ProjectionExpr>>,
    labels: Arc<Labels>,
    work: Arc<Work>,
    properties: Arc<PlanProperties>,
}

/// Which options of the user the expressions come from, for errors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Labels {
    /// Of the filter: `--where`.
    pub filter: Option<String>,
    /// Of a column by its name: `--set total`.
    pub columns: BTreeMap<String, String>,
    /// Of all other columns: `--sql`.
    pub others: Option<String>,
}

/// What is done with a batch.
#[derive(Debug)]
struct Work {
    predicate: Option<Step>,
    /// Which columns outlive the filter: the projection's steps count these alone. All of them without one.
    kept: Option<Vec<usize>>,
    projection: Option<Vec<Step>>,
    schema: SchemaRef,
}

/// One checked expression, with what an error says of it.
#[derive(Debug)]
struct Step {
    expr: Arc<dyn PhysicalExpr>,
    text: String,
    option: Option<String>,
}

/// What became of a batch: the rows, and which of the incoming ones they are.
type Done = (RecordBatch, Option<BooleanArray>);

/// Why there is none, and in which incoming row.
struct Failed {
    error: Error,
    row: Option<u64>,
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
            Ok::<_, DataFusionError>(Step { expr: check_expr(Arc::clone(expr), &schema)?, text, option: None })
        };
        let steps = |exprs: &Vec<ProjectionExpr>| exprs.iter().map(|expr| step(&expr.expr)).collect::<Result<_>>();
        let work = Work {
            predicate: predicate.as_ref().map(step).transpose()?,
            kept: None,
            projection: projection.as_ref().map(steps).transpose()?,
            schema: model.schema(),
        };
        let work = Arc::new(work.narrowed()?);
        Ok(Self { input, predicate, projection, labels: Arc::default(), work, properties })
    }

    /// The same, with the options that its expressions come from.
    #[must_use]
    pub fn with_labels(mut self, labels: Arc<Labels>) -> Self {
        let aliases: Vec<String> = self.projection.iter().flatten().map(|expr| expr.alias.clone()).collect();
        let label = |step: &Step, option: Option<&String>| Step {
            expr: Arc::clone(&step.expr),
            text: step.text.clone(),
            option: option.cloned(),
        };
        let column =
            |(step, alias): (&Step, &String)| label(step, labels.columns.get(alias).or(labels.others.as_ref()));
        self.work = Arc::new(Work {
            predicate: self.work.predicate.as_ref().map(|step| label(step, labels.filter.as_ref())),
            kept: self.work.kept.clone(),
            projection: self.work.projection.as_ref().map(|steps| steps.iter().zip(&aliases).map(column).collect()),
            schema: Arc::clone(&self.work.schema),
        });
        self.labels = labels;
        self
    }

    /// Which options its expressions come from.
    pub fn labels(&self) -> &Arc<Labels> {
        &self.labels
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
        let same = Self::try_new(self.predicate.clone(), self.projection.clone(), input)?;
        Ok(Arc::new(same.with_labels(Arc::clone(&self.labels))))
    }

    // Deprecated in DataFusion 55, yet required.
    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(datafusion::physical_plan::ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let upward = trail::upward(&context);
        let meter = Ends::of(&context).ok().map(|ends| Arc::clone(&ends.meter));
        let (context, trail) = trail::follow(&self.input, &context);
        let input = self.input.execute(partition, context)?;
        let work = Arc::clone(&self.work);
        let mut rows = 0u64;
        let jobs = input.map(move |batch| {
            let first_row = rows;
            rows += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
            let origin = if batch.is_ok() { trail.as_ref().and_then(|trail| trail.pop()) } else { None };
            let (work, meter) = (Arc::clone(&work), meter.clone());
            async move {
                let batch = batch?;
                let start = Instant::now();
                let done = cpu::run(move || work.run(&batch)).await.map_err(to_datafusion)?;
                meter.inspect(|meter| meter.waited(Part::Transform, start.elapsed()));
                match done {
                    Ok((batch, keep)) => Ok((batch, origin.map(|origin| origin.filtered(keep)))),
                    Err(failed) => Err(to_datafusion(failed.located(origin.as_ref(), first_row))),
                }
            }
        });
        // Two at once: the one that is waited for, and one ahead.
        let full = jobs.buffered(2).try_filter(|(batch, _)| std::future::ready(batch.num_rows() > 0));
        let stream = full.map_ok(move |(batch, origin)| {
            if let (Some(upward), Some(origin)) = (&upward, origin) {
                upward.push(origin);
            }
            batch
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream)))
    }
}

impl Work {
    /// The same, in which the filter copies only the columns that the projection looks at.
    fn narrowed(mut self) -> Result<Self> {
        let (Some(_), Some(steps)) = (&self.predicate, &mut self.projection) else { return Ok(self) };
        let mut kept: Vec<usize> =
            steps.iter().flat_map(|step| collect_columns(&step.expr)).map(|column| column.index()).collect();
        kept.sort_unstable();
        kept.dedup();
        for step in steps {
            let place = |node: Arc<dyn PhysicalExpr>| {
                let Some(column) = node.downcast_ref::<Column>() else { return Ok(Transformed::no(node)) };
                let index = kept.binary_search(&column.index()).unwrap_or(column.index());
                Ok(Transformed::yes(Arc::new(Column::new(column.name(), index)) as Arc<dyn PhysicalExpr>))
            };
            step.expr = Arc::clone(&step.expr).transform_up(place)?.data;
        }
        self.kept = Some(kept);
        Ok(self)
    }

    fn run(&self, batch: &RecordBatch) -> Result<Done, Failed> {
        let Some(filter) = &self.predicate else { return Ok((self.project(batch, None)?, None)) };
        let keep = filter.evaluate(batch).map_err(|error| filter.locate(batch, error, |row| row))?;
        let keep = keep.as_boolean_opt().cloned().unwrap_or_else(|| BooleanArray::new_null(batch.num_rows()));
        let kept = match &self.kept {
            Some(columns) => filter_record_batch(&batch.project(columns)?, &keep)?,
            None => filter_record_batch(batch, &keep)?,
        };
        Ok((self.project(&kept, Some(&keep))?, Some(keep)))
    }

    fn project(&self, batch: &RecordBatch, keep: Option<&BooleanArray>) -> Result<RecordBatch, Failed> {
        let Some(steps) = &self.projection else { return Ok(batch.clone()) };
        let row_of = |row: u64| keep.map_or(row, |keep| trail::nth_kept(keep, row));
        let evaluate = |step: &Step| step.evaluate(batch).map_err(|error| step.locate(batch, error, row_of));
        let columns = steps.iter().map(evaluate).collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

impl Failed {
    fn located(self, origin: Option<&Origin>, first_row: u64) -> Error {
        match (self.row, origin) {
            (None, _) => self.error,
            (Some(row), Some(origin)) => origin.locate(self.error, row),
            // People count from 1.
            (Some(row), None) => self.error.at("row", first_row + row + 1),
        }
    }
}

impl From<ArrowError> for Failed {
    fn from(error: ArrowError) -> Self {
        Self { error: error.into(), row: None }
    }
}

impl Step {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        self.expr.evaluate(batch)?.into_array(batch.num_rows())
    }

    /// `error` of `batch`, with the first row that gives one.
    fn locate(&self, batch: &RecordBatch, error: DataFusionError, row_of: impl Fn(u64) -> u64) -> Failed {
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
        let error = match &self.option {
            Some(option) => error.at("option", option),
            None => error,
        };
        Failed { error, row: found.then(|| row_of(start as u64)) }
    }
}
