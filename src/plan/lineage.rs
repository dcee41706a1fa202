//! Where each output column of a row-wise query comes from, and which source columns an expression looks at.
//!
//! Only a column that passes untouched can travel in its native form, and only such columns keep a key.

use std::collections::BTreeSet;

use arrow::datatypes::Fields;
use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::steps::Steps;

/// What is known of a query's columns.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lineage {
    /// Per output column the source column that it is, if it is one, untouched.
    pub(super) origins: Vec<Option<String>>,
    /// Source columns that an expression looks at.
    pub(super) examined: BTreeSet<String>,
    /// Whether each output row comes from one source row of its own.
    pub(super) rowwise: bool,
}

impl Lineage {
    /// That of a query whose columns are `fields`, those of the source, which nothing looks at.
    pub(super) fn of_all(fields: &Fields) -> Self {
        let origins = fields.iter().map(|field| Some(field.name().clone())).collect();
        Self { origins, examined: BTreeSet::new(), rowwise: true }
    }

    /// The same, where `steps` came before: no column that they changed is one of the source.
    pub(super) fn after(mut self, steps: &Steps) -> Self {
        for origin in &mut self.origins {
            if steps.changed().any(|name| origin.as_ref() == Some(name)) {
                *origin = None;
            }
        }
        self.examined.extend(steps.examined().cloned());
        self
    }
}

/// The lineage of `plan`. Operators other than projection and filter over the one scan give none.
pub(super) fn lineage(plan: &LogicalPlan) -> Lineage {
    let mut lineage = Lineage::default();
    if let Some(origins) = trace(plan, &mut lineage.examined) {
        return Lineage { origins, rowwise: true, ..lineage };
    }
    Lineage { origins: vec![None; plan.schema().fields().len()], ..Lineage::default() }
}

fn trace(plan: &LogicalPlan, examined: &mut BTreeSet<String>) -> Option<Vec<Origin>> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            Some(scan.projected_schema.fields().iter().map(|field| Some(field.name().clone())).collect())
        }
        LogicalPlan::SubqueryAlias(alias) => trace(&alias.input, examined),
        LogicalPlan::Filter(filter) => {
            let below = trace(&filter.input, examined)?;
            examine(&filter.predicate, &filter.input, &below, examined)?;
            Some(below)
        }
        LogicalPlan::Projection(projection) => {
            let below = trace(&projection.input, examined)?;
            projection.expr.iter().map(|expr| origin(expr, &projection.input, &below, examined)).collect()
        }
        _ => None,
    }
}

/// Where one output column comes from: the source column that it is, or none for an expression.
type Origin = Option<String>;

/// The origin of `expr`; none for what is not row-wise.
fn origin(expr: &Expr, input: &LogicalPlan, below: &[Origin], examined: &mut BTreeSet<String>) -> Option<Origin> {
    match expr {
        Expr::Column(column) => Some(below[input.schema().maybe_index_of_column(column)?].clone()),
        Expr::Alias(alias) => origin(&alias.expr, input, below, examined),
        other => {
            examine(other, input, below, examined)?;
            Some(None)
        }
    }
}

fn examine(expr: &Expr, input: &LogicalPlan, below: &[Origin], examined: &mut BTreeSet<String>) -> Option<()> {
    let mut rowwise = true;
    let walked = expr.apply(|part| {
        match part {
            Expr::Column(column) => {
                let index = input.schema().maybe_index_of_column(column);
                examined.extend(index.and_then(|index| below[index].clone()));
            }
            Expr::AggregateFunction(_)
            | Expr::WindowFunction(_)
            | Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::ScalarSubquery(_) => rowwise = false,
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    (walked.is_ok() && rowwise).then_some(())
}
