//! Plans whose arithmetic and casts never change a value silently.
//!
//! [`check_plan`] goes over a finished physical plan: filters and projections become
//! [`RowwiseExec`](super::rowwise::RowwiseExec), expressions within other operators are replaced where they stand, and
//! what cannot be replaced is refused. [`register`] makes a session plan with the checked SUM and AVG, and evaluate
//! constants with the same checks before the optimizer folds them without.
//!
//! Serialized, the expressions are DataFusion's own again: a plan has to be checked anew after it was decoded.

mod cast;
mod constant;
mod expr;
mod mean;
mod sum;
mod tree;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::logical_expr::AggregateUDF;
use datafusion::prelude::SessionContext;

pub use expr::check_expr;
pub use tree::check_plan;
pub(in crate::plan) use wire::CheckedWire;

/// Makes `context` plan with a checked SUM and AVG and checked constants.
pub fn register(context: &SessionContext) {
    context.register_udaf(AggregateUDF::new_from_impl(sum::CheckedSum::default()));
    context.register_udaf(AggregateUDF::new_from_impl(mean::CheckedMean::default()));
    context.add_analyzer_rule(Arc::new(constant::CheckedConstants));
}
