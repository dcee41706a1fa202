//! Checked expressions as plain data, so that a plan that holds them can cross processes.
//!
//! What is decoded is DataFusion's expression without checks: the plan is checked anew as a whole, by
//! [`check_plan`](super::check_plan), which knows the schemas.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, NegativeExpr, TryCastExpr};
use serde::{Deserialize, Serialize};

use super::cast::CheckedCast;
use super::expr::{CheckedNegative, CheckedPrecision};
use crate::error::{Error, ErrorKind, Result};

/// One checked expression without its operands.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "expression")]
pub(in crate::plan) enum CheckedWire {
    /// `CAST` or `TRY_CAST`.
    Cast {
        /// The target as the only field of a schema.
        #[serde(with = "crate::wire::schema")]
        target: SchemaRef,
        /// Whether the field's metadata are the result's.
        explicit: bool,
        /// Whether it is `TRY_CAST`.
        tries: bool,
    },
    /// Decimal arithmetic.
    Arithmetic {
        /// `+`, `-` or `*`.
        operator: String,
    },
    /// Negation.
    Negative,
}

impl CheckedWire {
    /// `expr` as plain data, if it is one of ours.
    pub(in crate::plan) fn of(expr: &Arc<dyn PhysicalExpr>) -> Option<Self> {
        if let Some(cast) = expr.downcast_ref::<CheckedCast>() {
            return cast_of(cast.original());
        }
        if let Some(precise) = expr.downcast_ref::<CheckedPrecision>() {
            let binary = precise.expr.downcast_ref::<BinaryExpr>()?;
            return Some(Self::Arithmetic { operator: binary.op().to_string() });
        }
        expr.is::<CheckedNegative>().then_some(Self::Negative)
    }

    /// DataFusion's expression over `inputs`.
    pub(in crate::plan) fn over(self, inputs: &[Arc<dyn PhysicalExpr>]) -> Result<Arc<dyn PhysicalExpr>> {
        let malformed = || Error::new(ErrorKind::Corrupt, "the plan holds an expression that is none");
        let input = || inputs.first().cloned().ok_or_else(malformed);
        Ok(match self {
            Self::Cast { target, explicit, tries } => {
                let field = target.fields().first().cloned().ok_or_else(malformed)?;
                cast(input()?, field, explicit, tries)
            }
            Self::Arithmetic { operator } => {
                let operator = match operator.as_str() {
                    "+" => Operator::Plus,
                    "-" => Operator::Minus,
                    "*" => Operator::Multiply,
                    _ => return Err(malformed()),
                };
                let [left, right] = inputs else { return Err(malformed()) };
                Arc::new(BinaryExpr::new(Arc::clone(left), operator, Arc::clone(right)))
            }
            Self::Negative => Arc::new(NegativeExpr::new(input()?)),
        })
    }
}

fn cast_of(original: &Arc<dyn PhysicalExpr>) -> Option<CheckedWire> {
    let wire = |field: &FieldRef, explicit: bool, tries: bool| CheckedWire::Cast {
        target: Arc::new(Schema::new(vec![Field::clone(field)])),
        explicit,
        tries,
    };
    if let Some(cast) = original.downcast_ref::<CastExpr>() {
        return Some(wire(cast.target_field(), cast.target_metadata().is_some(), false));
    }
    let cast = original.downcast_ref::<TryCastExpr>()?;
    Some(wire(cast.target_field(), cast.target_metadata().is_some(), true))
}

fn cast(input: Arc<dyn PhysicalExpr>, field: FieldRef, explicit: bool, tries: bool) -> Arc<dyn PhysicalExpr> {
    let data_type = field.data_type().clone();
    match (tries, explicit) {
        (false, true) => Arc::new(CastExpr::new_with_target_field(input, field, None)),
        (false, false) => Arc::new(CastExpr::new(input, data_type, None)),
        (true, true) => Arc::new(TryCastExpr::new_with_target_field(input, field)),
        (true, false) => Arc::new(TryCastExpr::new(input, data_type)),
    }
}
