//! Which row groups a filter excludes, by their bounds. Unknown means kept: what is kept is filtered again.

use arrow::datatypes::{DataType, Schema};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;

use crate::formats::parquet::Bounds;

/// Whether bounds of columns of `schema` can ever exclude a row group by `filter`.
pub(super) fn can_prune(filter: &Expr, schema: &Schema) -> bool {
    let column = |expr: &Expr| comparable(expr, schema);
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            can_prune(left, schema) || can_prune(right, schema)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            can_prune(left, schema) && can_prune(right, schema)
        }
        Expr::BinaryExpr(binary) => sides(binary).is_some_and(|(expr, _, _)| column(expr)),
        Expr::Between(between) => !between.negated && column(&between.expr),
        Expr::InList(list) => !list.negated && column(&list.expr),
        Expr::IsNull(expr) | Expr::IsNotNull(expr) => column(expr),
        _ => false,
    }
}

/// Whether rows within `bounds` (by column name) may pass `filter`.
pub(super) fn may_match(filter: &Expr, bounds: &dyn Fn(&str) -> Option<Bounds>) -> bool {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            may_match(left, bounds) && may_match(right, bounds)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            may_match(left, bounds) || may_match(right, bounds)
        }
        Expr::BinaryExpr(binary) => sides(binary).is_none_or(|(expr, op, value)| compare(expr, op, value, bounds)),
        Expr::Between(between) if !between.negated => {
            let side = |op, value: &Expr| literal(value).is_none_or(|value| compare(&between.expr, op, value, bounds));
            side(Operator::GtEq, &between.low) && side(Operator::LtEq, &between.high)
        }
        Expr::InList(list) if !list.negated => list
            .list
            .iter()
            .any(|value| literal(value).is_none_or(|value| compare(&list.expr, Operator::Eq, value, bounds))),
        Expr::IsNull(expr) => known(expr, bounds).is_none_or(|bounds| bounds.nulls != Some(0)),
        Expr::IsNotNull(expr) => known(expr, bounds).is_none_or(|bounds| bounds.nulls != Some(bounds.rows)),
        _ => true,
    }
}

fn compare(expr: &Expr, op: Operator, value: &ScalarValue, bounds: &dyn Fn(&str) -> Option<Bounds>) -> bool {
    let Some(bounds) = known(expr, bounds) else { return true };
    if bounds.nulls == Some(bounds.rows) || value.is_null() {
        // No row passes: comparing with NULL is never true.
        return false;
    }
    // Only values of the very same type are compared: no cast can change the answer.
    let bound = |array: &dyn arrow::array::Array| {
        let bound = ScalarValue::try_from_array(array, 0).ok()?;
        (!bound.is_null() && bound.data_type() == value.data_type()).then_some(bound)
    };
    let (min, max) = (bound(&bounds.min), bound(&bounds.max));
    let below = |ok: fn(std::cmp::Ordering) -> bool| min.as_ref().and_then(|min| min.partial_cmp(value)).is_none_or(ok);
    let above = |ok: fn(std::cmp::Ordering) -> bool| max.as_ref().and_then(|max| max.partial_cmp(value)).is_none_or(ok);
    match op {
        Operator::Eq => below(std::cmp::Ordering::is_le) && above(std::cmp::Ordering::is_ge),
        Operator::Lt => below(std::cmp::Ordering::is_lt),
        Operator::LtEq => below(std::cmp::Ordering::is_le),
        Operator::Gt => above(std::cmp::Ordering::is_gt),
        Operator::GtEq => above(std::cmp::Ordering::is_ge),
        _ => true,
    }
}

/// A comparison as column, operator, literal.
fn sides(binary: &BinaryExpr) -> Option<(&Expr, Operator, &ScalarValue)> {
    let ordering = matches!(binary.op, Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq);
    if !ordering {
        return None;
    }
    match (literal(&binary.left), literal(&binary.right)) {
        (None, Some(value)) => Some((&binary.left, binary.op, value)),
        (Some(value), None) => Some((&binary.right, binary.op.swap()?, value)),
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

fn known(expr: &Expr, bounds: &dyn Fn(&str) -> Option<Bounds>) -> Option<Bounds> {
    match expr {
        Expr::Column(column) => bounds(column.name()),
        _ => None,
    }
}

/// A column whose order in Parquet is that of Arrow. Floating point is not: NaN and the two zeros.
fn comparable(expr: &Expr, schema: &Schema) -> bool {
    let Expr::Column(column) = expr else { return false };
    let Ok(field) = schema.field_with_name(column.name()) else { return false };
    let data_type = field.data_type();
    data_type.is_integer()
        || data_type.is_decimal()
        || matches!(
            data_type,
            DataType::Boolean
                | DataType::Date32
                | DataType::Utf8
                | DataType::Binary
                | DataType::Timestamp(..)
                | DataType::Time32(_)
                | DataType::Time64(_)
        )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, StringArray};
    use arrow::datatypes::Field;
    use datafusion::prelude::{col, lit};

    use super::*;

    fn bounds(name: &str) -> Option<Bounds> {
        match name {
            "n" => Some(Bounds {
                min: Arc::new(Int32Array::from(vec![10])),
                max: Arc::new(Int32Array::from(vec![20])),
                nulls: Some(0),
                rows: 5,
            }),
            "s" => Some(Bounds {
                min: Arc::new(StringArray::from(vec!["b"])),
                max: Arc::new(StringArray::from(vec![None::<&str>])),
                nulls: None,
                rows: 5,
            }),
            "empty" => Some(Bounds {
                min: Arc::new(Int32Array::from(vec![None])),
                max: Arc::new(Int32Array::from(vec![None])),
                nulls: Some(5),
                rows: 5,
            }),
            _ => None,
        }
    }

    #[test]
    fn only_what_cannot_match_is_excluded() {
        for (filter, kept) in [
            (col("n").eq(lit(9)), false),
            (col("n").eq(lit(10)), true),
            (col("n").gt(lit(20)), false),
            (col("n").gt_eq(lit(20)), true),
            (lit(10).gt(col("n")), false),
            (lit(10).gt_eq(col("n")), true),
            (col("n").eq(lit(9i64)), true),
            (col("n").not_eq(lit(9)), true),
            (col("n").lt(lit(5)).or(col("n").gt(lit(19))), true),
            (col("n").gt(lit(12)).and(col("s").lt(lit("b"))), false),
            (col("s").gt(lit("zzz")), true),
            (col("n").between(lit(21), lit(30)), false),
            (col("n").in_list(vec![lit(1), lit(15)], false), true),
            (col("n").in_list(vec![lit(1), lit(2)], false), false),
            (col("n").in_list(vec![lit(1)], true), true),
            (col("n").is_null(), false),
            (col("s").is_null(), true),
            (col("empty").is_not_null(), false),
            (col("empty").eq(lit(1)), false),
            (col("n").eq(lit(ScalarValue::Int32(None))), false),
            (col("unknown").eq(lit(1)), true),
        ] {
            assert_eq!(may_match(&filter, &bounds), kept, "{filter}");
        }
    }

    #[test]
    fn floating_point_is_not_pruned() {
        let schema =
            Schema::new(vec![Field::new("x", DataType::Float64, true), Field::new("n", DataType::Int32, true)]);
        assert!(!can_prune(&col("x").gt(lit(1.0)), &schema));
        assert!(can_prune(&col("n").gt(lit(1)).and(col("x").gt(lit(1.0))), &schema));
        assert!(!can_prune(&col("n").gt(lit(1)).or(col("x").gt(lit(1.0))), &schema));
    }
}
