//! Constants, computed with checks before DataFusion's optimizer folds them without.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{BinaryExpr, ColumnarValue, Expr, LogicalPlan, Operator, Volatility};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_expr::create_physical_expr;
use datafusion::scalar::ScalarValue;

use super::expr::check_expr;

/// Replaces `CAST(2.0 AS INT)` and `1 + 1` by their values, and fails for `CAST(1.9 AS INT)`.
#[derive(Debug)]
pub(super) struct CheckedConstants;

impl AnalyzerRule for CheckedConstants {
    fn name(&self) -> &'static str {
        "checked_constants"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| {
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(fold(expr)?.update_data(|expr| name.restore(expr)))
            })
        })
        .map(|transformed| transformed.data)
    }
}

fn fold(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_down(|expr| {
        if !computes(&expr) || !is_constant(&expr)? {
            return Ok(Transformed::no(expr));
        }
        match evaluate(&simplified(expr.clone())?)? {
            Some(value) => Ok(Transformed::new(Expr::Literal(value, None), true, TreeNodeRecursion::Jump)),
            None => Ok(Transformed::no(expr)),
        }
    })
}

/// Whether its value can be another one with checks than without. What is around it is left to DataFusion.
fn computes(expr: &Expr) -> bool {
    match expr {
        Expr::Cast(_) | Expr::TryCast(_) | Expr::Negative(_) | Expr::Case(_) | Expr::ScalarFunction(_) => true,
        Expr::BinaryExpr(BinaryExpr { op, .. }) => {
            matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo)
        }
        _ => false,
    }
}

fn is_constant(expr: &Expr) -> Result<bool> {
    let mut constant = true;
    expr.apply(|node| {
        constant = match node {
            Expr::Literal(..)
            | Expr::Alias(_)
            | Expr::BinaryExpr(_)
            | Expr::Not(_)
            | Expr::Negative(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::Between(_)
            | Expr::Case(_)
            | Expr::Cast(_)
            | Expr::TryCast(_)
            | Expr::InList(_) => true,
            Expr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Immutable,
            _ => false,
        };
        Ok(if constant { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(constant)
}

/// Calls that stand for other expressions, as `arrow_cast` for a cast, as those.
fn simplified(expr: Expr) -> Result<Expr> {
    let context = SimplifyContext::default();
    let simplify = |node| match node {
        Expr::ScalarFunction(ScalarFunction { func, args }) => Ok(match func.simplify(args, &context)? {
            ExprSimplifyResult::Simplified(expr) => Transformed::yes(expr),
            ExprSimplifyResult::Original(args) => Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })),
        }),
        node => Ok(Transformed::no(node)),
    };
    expr.transform_up(simplify).map(|transformed| transformed.data)
}

/// The value; none where DataFusion cannot plan the expression, and will say so itself.
fn evaluate(expr: &Expr) -> Result<Option<ScalarValue>> {
    let (properties, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
    let Ok(planned) = create_physical_expr(expr, &DFSchema::empty(), &properties, &context) else { return Ok(None) };
    let schema = Arc::new(Schema::empty());
    let checked = check_expr(planned, &schema)?;
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(schema, vec![], &options)?;
    match checked.evaluate(&row)? {
        ColumnarValue::Scalar(value) => Ok(Some(value)),
        ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0).map(Some),
    }
}
