//! Filter and projection, row by row, on the processor pool.
//!
//! Arithmetic and casts are checked; when a batch
//! fails it is halved down to the row, so that the error names the row, the expression and the option that it stands in,
//! but no value. The row is that of the split, also behind filters; where rows have no split any more, as above a grouping,
//! they count from the begin of the partition.

mod work;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::physical_expr::fmt_sql;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, apply_expression_roots};
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use serde::{Deserialize, Serialize};

use super::batchwise;
use super::checked::check_expr;
use super::error::to_datafusion;
use crate::error::{Error, ErrorKind};
use work::{Step, Work};

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
    /// Of filters: `--where`.
    pub filter: Option<String>,
    /// Of a column by its name: `--set total`.
    pub columns: BTreeMap<String, String>,
    /// Of all other columns, and of operators over several rows: `--sql`.
    pub others: Option<String>,
}

/// `error` of a query with the `options` that it may come from, unless it has a place: operators over several rows give none.
pub(super) fn placed(error: Error, options: Option<&str>) -> Error {
    match options {
        Some(options) if error.kind() == ErrorKind::Value && error.frames().is_empty() => error.at("option", options),
        _ => error,
    }
}

/// `root`, whose row-wise operators know the options that their expressions come from.
pub(super) fn labelled(root: Arc<dyn ExecutionPlan>, labels: &Arc<Labels>) -> Result<Arc<dyn ExecutionPlan>> {
    let labelled = root.transform_up(|node| {
        let Some(rowwise) = node.downcast_ref::<RowwiseExec>() else { return Ok(Transformed::no(node)) };
        let rowwise = RowwiseExec::clone(rowwise).with_labels(Arc::clone(labels));
        Ok(Transformed::yes(Arc::new(rowwise) as Arc<dyn ExecutionPlan>))
    });
    Ok(labelled?.data)
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
        let steps = self.work.predicate.iter().chain(self.work.projection.iter().flatten());
        apply_expression_roots(steps.map(|step| &step.expr), f)
    }

    // Deprecated in DataFusion 55, yet required: `replace_children` comes to it.
    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children
            .pop()
            .filter(|_| children.is_empty())
            .ok_or_else(|| to_datafusion(Error::new(ErrorKind::Internal, "a row-wise operator has one input")))?;
        let same = Self::try_new(self.predicate.clone(), self.projection.clone(), input)?;
        Ok(Arc::new(same.with_labels(Arc::clone(&self.labels))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        batchwise::stream(&self.work, (&self.input, partition), &context, self.schema())
    }
}
