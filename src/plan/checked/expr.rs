//! Expressions that tell when a calculation does not fit, where DataFusion's wrap around.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::kernels::numeric::neg;
use arrow::datatypes::{
    DECIMAL32_MAX_PRECISION, DECIMAL64_MAX_PRECISION, DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType,
    Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, FieldRef, Schema,
};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, IsNotNullExpr, IsNullExpr, NegativeExpr, TryCastExpr,
};
use datafusion::scalar::ScalarValue;

use super::cast::CheckedCast;
use crate::error::{Error, ErrorKind};
use crate::plan::error::to_datafusion;
use crate::schema::FORM;

/// `expr` over `schema` with checked arithmetic and casts. Idempotent.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported), wrapped, when it computes with a column in native form.
pub fn check_expr(expr: Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    refuse_native(&expr, schema)?;
    expr.transform_up(|expr| check_node(expr, schema)).map(|transformed| transformed.data)
}

fn check_node(expr: Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Transformed<Arc<dyn PhysicalExpr>>> {
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        let arithmetic = matches!(binary.op(), Operator::Plus | Operator::Minus | Operator::Multiply);
        if !arithmetic {
            return Ok(Transformed::no(expr));
        }
        let checked: Arc<dyn PhysicalExpr> = Arc::new(binary.clone().with_fail_on_overflow(true));
        if is_widest_decimal(&checked.data_type(schema)?) {
            return Ok(Transformed::yes(Arc::new(CheckedPrecision { expr: checked })));
        }
        return Ok(Transformed::yes(checked));
    }
    if let Some(negative) = expr.downcast_ref::<NegativeExpr>() {
        return Ok(Transformed::yes(Arc::new(CheckedNegative { expr: Arc::clone(negative.arg()) })));
    }
    if expr.is::<CastExpr>() || expr.is::<TryCastExpr>() {
        return Ok(match CheckedCast::replace(&expr, schema)? {
            Some(checked) => Transformed::yes(Arc::new(checked)),
            None => Transformed::no(expr),
        });
    }
    Ok(Transformed::no(expr))
}

/// Native forms are bytes and texts that only their own product understands.
fn refuse_native(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<()> {
    if expr.is::<Column>() {
        return Ok(());
    }
    expr.apply(|node| {
        if node.is::<IsNullExpr>() || node.is::<IsNotNullExpr>() {
            // Whether there is a value can be seen in any form, where it is asked of the column itself.
            let plain = node.children().iter().all(|child| child.is::<Column>());
            return Ok(if plain { TreeNodeRecursion::Jump } else { TreeNodeRecursion::Continue });
        }
        if let Some(column) = node.downcast_ref::<Column>()
            && schema.fields().get(column.index()).is_some_and(|field| field.metadata().contains_key(FORM))
        {
            let message = "an expression cannot compute with the native form of a column";
            return Err(to_datafusion(Error::new(ErrorKind::Unsupported, message).at("column", column.name())));
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map(|_| ())
}

/// Arrow bounds the precision of a result by its type and does not look whether the value has so few digits.
fn is_widest_decimal(data_type: &DataType) -> bool {
    match data_type {
        DataType::Decimal32(precision, _) => *precision == DECIMAL32_MAX_PRECISION,
        DataType::Decimal64(precision, _) => *precision == DECIMAL64_MAX_PRECISION,
        DataType::Decimal128(precision, _) => *precision == DECIMAL128_MAX_PRECISION,
        DataType::Decimal256(precision, _) => *precision == DECIMAL256_MAX_PRECISION,
        _ => false,
    }
}

/// Fails where a decimal has more digits than its type.
pub(super) fn within_precision(array: &dyn Array) -> Result<()> {
    use DataType as T;
    let fits = match array.data_type() {
        T::Decimal32(precision, _) => array.as_primitive::<Decimal32Type>().validate_decimal_precision(*precision),
        T::Decimal64(precision, _) => array.as_primitive::<Decimal64Type>().validate_decimal_precision(*precision),
        T::Decimal128(precision, _) => array.as_primitive::<Decimal128Type>().validate_decimal_precision(*precision),
        T::Decimal256(precision, _) => array.as_primitive::<Decimal256Type>().validate_decimal_precision(*precision),
        _ => Ok(()),
    };
    fits.map_err(|_| overflow())
}

pub(super) fn overflow() -> DataFusionError {
    to_datafusion(
        Error::new(ErrorKind::Value, "the result of a calculation does not fit its type")
            .with_hint("cast the operands to a wider type: CAST(a AS decimal(38,0)) + b"),
    )
}

/// Decimal arithmetic whose results are counted.
#[derive(Debug)]
pub(super) struct CheckedPrecision {
    /// A [`BinaryExpr`] that fails on overflow.
    pub(super) expr: Arc<dyn PhysicalExpr>,
}

// By hand: the derived one moves out of the pointer.
impl PartialEq for CheckedPrecision {
    fn eq(&self, other: &Self) -> bool {
        self.expr.eq(&other.expr)
    }
}

impl Eq for CheckedPrecision {}

impl Hash for CheckedPrecision {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expr.hash(state);
    }
}

impl fmt::Display for CheckedPrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)
    }
}

impl PhysicalExpr for CheckedPrecision {
    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.expr.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let value = self.expr.evaluate(batch)?;
        let array = match &value {
            ColumnarValue::Array(array) => Arc::clone(array),
            ColumnarValue::Scalar(scalar) => scalar.to_array()?,
        };
        within_precision(&array)?;
        Ok(value)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.expr.children()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self { expr: Arc::clone(&self.expr).with_new_children(children)? }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt_sql(f)
    }
}

/// Negation that knows that the smallest integer has no positive counterpart.
#[derive(Debug)]
pub(super) struct CheckedNegative {
    expr: Arc<dyn PhysicalExpr>,
}

// By hand: the derived one moves out of the pointer.
impl PartialEq for CheckedNegative {
    fn eq(&self, other: &Self) -> bool {
        self.expr.eq(&other.expr)
    }
}

impl Eq for CheckedNegative {}

impl Hash for CheckedNegative {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expr.hash(state);
    }
}

impl fmt::Display for CheckedNegative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(- {})", self.expr)
    }
}

impl PhysicalExpr for CheckedNegative {
    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.expr.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        map_values(self.expr.evaluate(batch)?, |array| neg(array).map_err(|_| overflow()))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.expr]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let expr = children.pop().unwrap_or_else(|| Arc::clone(&self.expr));
        Ok(Arc::new(Self { expr }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(- ")?;
        self.expr.fmt_sql(f)?;
        f.write_str(")")
    }
}

/// Applies `function` to an array, or to a scalar as an array of one.
pub(super) fn map_values(
    value: ColumnarValue,
    function: impl Fn(&dyn Array) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    match value {
        ColumnarValue::Array(array) => function(&array).map(ColumnarValue::Array),
        ColumnarValue::Scalar(scalar) => {
            let array = function(&scalar.to_array()?)?;
            ScalarValue::try_from_array(&array, 0).map(ColumnarValue::Scalar)
        }
    }
}
