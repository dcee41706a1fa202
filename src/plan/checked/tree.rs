//! Goes over a physical plan and puts checked expressions in the place of DataFusion's.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::AggregateUDF;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateInputMode, PhysicalGroupBy};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::limit::LocalLimitExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;

use super::expr::check_expr;
use super::mean::CheckedMean;
use super::sum::CheckedSum;
use crate::error::{Error, ErrorKind};
use crate::plan::error::to_datafusion;
use crate::plan::rowwise::RowwiseExec;

type Plan = Arc<dyn ExecutionPlan>;
type Expr = Arc<dyn PhysicalExpr>;

/// `plan` with row-wise operators of our own and checked expressions everywhere. Idempotent.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported), wrapped, where an operator computes in a way that cannot be checked, or an
/// expression uses a native form.
pub fn check_plan(plan: Plan) -> Result<Plan> {
    plan.transform_up(|node| Ok(Transformed::yes(check(node)?))).map(|transformed| transformed.data)
}

fn check(node: Plan) -> Result<Plan> {
    if let Some(filter) = node.downcast_ref::<FilterExec>() {
        return rowwise_filter(filter);
    }
    if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
        return rowwise_projection(&node, projection);
    }
    if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        return check_aggregate(aggregate);
    }
    if let Some(sort) = node.downcast_ref::<SortExec>() {
        return check_sort(&node, sort);
    }
    if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        return check_hash_join(join);
    }
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
        return check_loop_join(join);
    }
    refuse_unchecked(&node)?;
    Ok(node)
}

fn rowwise_filter(filter: &FilterExec) -> Result<Plan> {
    let input = Arc::clone(filter.input());
    let schema = input.schema();
    let column = |index: &usize| {
        let name = schema.field(*index).name();
        ProjectionExpr { expr: Arc::new(Column::new(name, *index)), alias: name.clone() }
    };
    let projection = filter.projection().as_ref().map(|indices| indices.iter().map(column).collect());
    let rowwise: Plan = Arc::new(RowwiseExec::try_new(Some(Arc::clone(filter.predicate())), projection, input)?);
    Ok(match filter.fetch() {
        Some(fetch) => Arc::new(LocalLimitExec::new(rowwise, fetch)),
        None => rowwise,
    })
}

fn rowwise_projection(node: &Plan, projection: &ProjectionExec) -> Result<Plan> {
    let input = projection.input();
    let exprs = projection.expr().to_vec();
    if let Some(below) = input.downcast_ref::<RowwiseExec>()
        && let Some(exprs) = through(&exprs, below.projection())?
    {
        let source = Arc::clone(below.children()[0]);
        return Ok(Arc::new(RowwiseExec::try_new(below.predicate().cloned(), Some(exprs), source)?));
    }
    // Picking columns is no work.
    if exprs.iter().all(|expr| expr.expr.is::<Column>() || expr.expr.is::<Literal>()) {
        return Ok(Arc::clone(node));
    }
    Ok(Arc::new(RowwiseExec::try_new(None, Some(exprs), Arc::clone(input))?))
}

/// `exprs` over the input of the operator below, where that only filters and picks columns.
fn through(exprs: &[ProjectionExpr], below: Option<&[ProjectionExpr]>) -> Result<Option<Vec<ProjectionExpr>>> {
    let Some(below) = below else { return Ok(Some(exprs.to_vec())) };
    if !below.iter().all(|expr| expr.expr.is::<Column>()) {
        return Ok(None);
    }
    let deeper = |expr: &ProjectionExpr| {
        let replaced = Arc::clone(&expr.expr).transform_up(|node| {
            let source = node.downcast_ref::<Column>().and_then(|column| below.get(column.index()));
            Ok(source.map_or_else(
                || Transformed::no(Arc::clone(&node)),
                |source| Transformed::yes(Arc::clone(&source.expr)),
            ))
        })?;
        Ok(ProjectionExpr { expr: replaced.data, alias: expr.alias.clone() })
    };
    exprs.iter().map(deeper).collect::<Result<_>>().map(Some)
}

fn check_aggregate(aggregate: &AggregateExec) -> Result<Plan> {
    let schema = aggregate.input_schema();
    let raw = aggregate.mode().input_mode() == AggregateInputMode::Raw;
    let group = aggregate.group_expr();
    // After a partial step groups are plain columns, of another schema than the arguments.
    let named = |exprs: &[(Expr, String)]| -> Result<Vec<(Expr, String)>> {
        let check = |(expr, name): &(Expr, String)| Ok((check_expr(Arc::clone(expr), &schema)?, name.clone()));
        if raw { exprs.iter().map(check).collect() } else { Ok(exprs.to_vec()) }
    };
    let checked_group = PhysicalGroupBy::new(
        named(group.expr())?,
        named(group.null_expr())?,
        group.groups().to_vec(),
        group.has_grouping_set(),
    );
    let functions =
        aggregate.aggr_expr().iter().map(|function| check_function(function, &schema)).collect::<Result<_>>()?;
    let filter = |filter: &Option<Expr>| match filter {
        Some(expr) => check_expr(Arc::clone(expr), &schema).map(Some),
        None => Ok(None),
    };
    let filters = aggregate.filter_expr().iter().map(filter).collect::<Result<_>>()?;
    let checked = AggregateExec::try_new(
        *aggregate.mode(),
        checked_group,
        functions,
        filters,
        Arc::clone(aggregate.input()),
        schema,
    )?;
    Ok(Arc::new(checked.with_limit_options(aggregate.limit_options())))
}

fn check_function(function: &Arc<AggregateFunctionExpr>, schema: &SchemaRef) -> Result<Arc<AggregateFunctionExpr>> {
    let ours = match function.fun().name() {
        "sum" => Some(AggregateUDF::new_from_impl(CheckedSum::default())),
        "avg" => Some(AggregateUDF::new_from_impl(CheckedMean::default())),
        _ => None,
    };
    if ours.is_some_and(|ours| ours != *function.fun()) {
        return Err(to_datafusion(Error::new(ErrorKind::Internal, "a plan sums without checks")));
    }
    let parts = function.all_expressions();
    let check = |exprs: Vec<Expr>| exprs.into_iter().map(|expr| check_expr(expr, schema)).collect::<Result<Vec<_>>>();
    let (args, order_by) = (check(parts.args)?, check(parts.order_by_exprs)?);
    let unsupported = || unchecked("this aggregate");
    function.with_new_expressions(args, order_by).map(Arc::new).ok_or_else(unsupported)
}

fn check_sort(node: &Plan, sort: &SortExec) -> Result<Plan> {
    let schema = sort.input().schema();
    let check = |key: &PhysicalSortExpr| {
        refuse_native_key(&key.expr, &schema)?;
        Ok(PhysicalSortExpr { expr: check_expr(Arc::clone(&key.expr), &schema)?, options: key.options })
    };
    let keys = sort.expr().iter().map(check).collect::<Result<Vec<_>>>()?;
    if keys.iter().zip(sort.expr().iter()).all(|(new, old)| new.expr.eq(&old.expr)) {
        return Ok(Arc::clone(node));
    }
    let keys = LexOrdering::new(keys).ok_or_else(|| unchecked("this ORDER BY"))?;
    let checked = SortExec::new(keys, Arc::clone(sort.input()))
        .with_preserve_partitioning(sort.preserve_partitioning())
        .with_fetch(sort.fetch());
    Ok(Arc::new(checked))
}

/// The order of wire bytes is not that of the values.
fn refuse_native_key(expr: &Expr, schema: &Schema) -> Result<()> {
    let native = expr
        .downcast_ref::<Column>()
        .and_then(|column| schema.fields().get(column.index()))
        .filter(|field| field.metadata().contains_key(crate::schema::FORM));
    match native {
        Some(field) => {
            let message = "rows cannot be sorted or joined by the native form of a column";
            Err(to_datafusion(Error::new(ErrorKind::Unsupported, message).at("column", field.name())))
        }
        None => Ok(()),
    }
}

fn check_hash_join(join: &HashJoinExec) -> Result<Plan> {
    let (left, right) = (join.left().schema(), join.right().schema());
    let check = |expr: &Expr, schema: &Schema| {
        refuse_native_key(expr, schema)?;
        check_expr(Arc::clone(expr), schema)
    };
    let on = join.on().iter().map(|(one, other)| Ok((check(one, &left)?, check(other, &right)?)));
    let on = on.collect::<Result<Vec<_>>>()?;
    let filter = join.filter().map(check_filter).transpose()?;
    join.builder().with_on(on).with_filter(filter).build_exec()
}

fn check_loop_join(join: &NestedLoopJoinExec) -> Result<Plan> {
    let filter = join.filter().map(check_filter).transpose()?;
    let projection = join.projection().as_ref().map(|projection| projection.to_vec());
    let (left, right) = (Arc::clone(join.left()), Arc::clone(join.right()));
    Ok(Arc::new(NestedLoopJoinExec::try_new(left, right, filter, join.join_type(), projection)?))
}

fn check_filter(filter: &JoinFilter) -> Result<JoinFilter> {
    let expr = check_expr(Arc::clone(filter.expression()), filter.schema())?;
    Ok(JoinFilter::new(expr, filter.column_indices().to_vec(), Arc::clone(filter.schema())))
}

/// Other operators are left alone when they hold nothing that wants a check.
fn refuse_unchecked(node: &Plan) -> Result<()> {
    // These only move rows, by expressions that were computed before, or at least alike on both sides.
    let moves = node.is::<RepartitionExec>() || node.is::<SortPreservingMergeExec>() || node.is::<RowwiseExec>();
    let children = node.children();
    let Some(schema) = children.first().map(|child| child.schema()).filter(|_| !moves) else { return Ok(()) };
    if children.len() > 1 {
        // Which side an expression is over only the operator knows.
        let mut plain = true;
        node.apply_expressions(&mut |expr| {
            plain &= expr.is::<Column>() || expr.is::<Literal>();
            Ok(TreeNodeRecursion::Continue)
        })?;
        return if plain { Ok(()) } else { Err(unchecked(node.name())) };
    }
    node.apply_expressions(&mut |expr| {
        let checked = check_expr(Arc::clone(expr), &schema)?;
        if checked.eq(expr) { Ok(TreeNodeRecursion::Continue) } else { Err(unchecked(node.name())) }
    })
    .map(|_| ())
}

fn unchecked(what: &str) -> datafusion::error::DataFusionError {
    let message = format!("{what} computes with values in a way that cannot be checked");
    to_datafusion(
        Error::new(ErrorKind::Unsupported, message).with_hint("compute the value in a subquery, then use its column"),
    )
}
