//! `CAST` and `TRY_CAST` that keep the value: by the engine's own kernels instead of Arrow's, which round and truncate.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, make_array};
use arrow::compute::{CastOptions, cast_with_options, nullif};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::TryCastExpr;

use super::expr::map_values;
use crate::error::{Error, ErrorKind};
use crate::fate::{fate, is_bytes, is_text};
use crate::flow::align::{Kernel, kernel};
use crate::plan::error::to_datafusion;
use crate::sink::ColumnFate;

/// A cast that fails (`CAST`) or gives NULL (`TRY_CAST`) where the value would change.
///
/// What a cast means is SQL's and DataFusion's: text is made as Arrow makes it, a timestamp without zone is taken in the
/// zone of the target, types that the engine itself does not cast (a number of seconds as a timestamp) go by Arrow.
pub(super) struct CheckedCast {
    /// The cast of DataFusion: what this one is but for its evaluation.
    original: Arc<dyn PhysicalExpr>,
    steps: Arc<Steps>,
}

struct Steps {
    target: DataType,
    /// A kernel that may take all values; where it does not, the other steps are gone.
    strict: Option<Kernel>,
    /// Arrow's cast that comes first, where the target has a zone and the value none, or the other way round.
    zone: Option<DataType>,
    /// None where Arrow's cast is right.
    kernel: Option<Kernel>,
}

impl CheckedCast {
    /// In the place of `original`, a cast or try-cast; none where Arrow's cast cannot change a value.
    pub(super) fn replace(original: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Self>> {
        let source = match original.children().first() {
            Some(child) => child.data_type(schema)?,
            None => return Ok(None),
        };
        let target = original.data_type(schema)?;
        if is_safe(&source, &target) {
            return Ok(None);
        }
        let steps = Arc::new(Steps::of(&source, target));
        Ok(Some(Self { original: Arc::clone(original), steps }))
    }

    /// The cast without the check.
    pub(super) fn original(&self) -> &Arc<dyn PhysicalExpr> {
        &self.original
    }

    fn is_try(&self) -> bool {
        self.original.is::<TryCastExpr>()
    }

    fn cast(&self, array: &dyn Array) -> Result<ArrayRef> {
        let options = CastOptions { safe: self.is_try(), ..CastOptions::default() };
        let mut array = make_array(array.to_data());
        if let Some(strict) = &self.steps.strict {
            let cast = strict.run(&array).map_err(to_datafusion)?;
            if cast.misfits.is_none() {
                return Ok(cast.array);
            }
        }
        if let Some(zoned) = &self.steps.zone {
            array = cast_with_options(&array, zoned, &options)?;
        }
        let Some(kernel) = &self.steps.kernel else {
            return Ok(cast_with_options(&array, &self.steps.target, &options)?);
        };
        let cast = kernel.run(&array).map_err(to_datafusion)?;
        match cast.misfits {
            None => Ok(cast.array),
            Some((rows, _)) if self.is_try() => {
                // The array of a cast with misfits is not to be used: the others are cast without them.
                let others = nullif(&array, &BooleanArray::new(rows, None))?;
                kernel.run(&others).map(|cast| cast.array).map_err(to_datafusion)
            }
            Some((_, reason)) => Err(to_datafusion(
                Error::new(ErrorKind::Value, reason.to_string()).with_hint(format!(
                    "round or truncate it yourself before the cast, or use TRY_CAST, which gives NULL: the target is {}",
                    self.steps.target
                )),
            )),
        }
    }
}

/// Text as Arrow prints it, and numbers that become wider ones: what DataFusion adds itself for many a function.
fn is_safe(source: &DataType, target: &DataType) -> bool {
    let field = |data_type: &DataType| Field::new("", data_type.clone(), true);
    let numbers = source.is_numeric() && target.is_numeric() && !(source.is_decimal() && target.is_floating());
    let wider = || matches!(fate(&field(source), &field(target)), ColumnFate::Exact | ColumnFate::Widened);
    is_text(target) && !source.is_nested() || numbers && wider()
}

impl Steps {
    fn of(source: &DataType, target: DataType) -> Self {
        let field = |data_type: &DataType| Field::new("", data_type.clone(), true);
        // Between text and bytes SQL means the bytes of the text, not `\x00ff`.
        if is_text(&target) || (is_text(source) && is_bytes(&target)) {
            return Self { target, strict: None, zone: None, kernel: None };
        }
        if let (DataType::Timestamp(unit, zone), DataType::Timestamp(_, other)) = (source, &target)
            && zone.is_some() != other.is_some()
        {
            // The zone first, in the unit of the source, so that the step after it sees what gets lost.
            let zoned = DataType::Timestamp(*unit, other.clone());
            let kernel = kernel(&field(&zoned), &field(&target));
            return Self { target, strict: None, zone: Some(zoned), kernel };
        }
        let kernel_of = |from: &DataType| kernel(&field(from), &field(&target));
        if let (true, DataType::Timestamp(_, zone @ Some(_))) = (is_text(source), &target) {
            // A text that names no zone is taken in the one of the target, by Arrow, and in nanoseconds lest digits get lost.
            let zoned = DataType::Timestamp(TimeUnit::Nanosecond, zone.clone());
            let (strict, kernel) = (kernel_of(source), kernel_of(&zoned));
            return Self { target, strict, zone: Some(zoned), kernel };
        }
        let kernel = kernel_of(source);
        Self { target, strict: None, zone: None, kernel }
    }
}

impl fmt::Debug for CheckedCast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CheckedCast").field(&self.original).finish()
    }
}

impl fmt::Display for CheckedCast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.original.fmt(f)
    }
}

impl PartialEq for CheckedCast {
    fn eq(&self, other: &Self) -> bool {
        self.original.eq(&other.original)
    }
}

impl Eq for CheckedCast {}

impl Hash for CheckedCast {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.original.hash(state);
    }
}

impl PhysicalExpr for CheckedCast {
    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.original.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let children = self.original.children();
        let child =
            children.first().ok_or_else(|| to_datafusion(Error::new(ErrorKind::Internal, "a cast has no operand")))?;
        map_values(child.evaluate(batch)?, |array| self.cast(array))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.original.children()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let original = Arc::clone(&self.original).with_new_children(children)?;
        Ok(Arc::new(Self { original, steps: Arc::clone(&self.steps) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.original.fmt_sql(f)
    }
}
