//! SUM that fails where DataFusion's wraps around.
//!
//! Integers, decimals and durations are summed in a wider decimal, which the intermediate states carry too, so that only
//! the final result has to fit. Floats and intervals are left to DataFusion.

use std::fmt;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, nullif, sum_checked};
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Decimal128Type, Decimal256Type, DecimalType, Field,
    FieldRef,
};
use datafusion::error::Result;
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
};
use datafusion::scalar::ScalarValue;

use super::expr::{overflow, within_precision};
use crate::error::{Error, ErrorKind};
use crate::flow::align::{Kernel, kernel};
use crate::plan::error::to_datafusion;

/// SUM, under the name and with the types of DataFusion's.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct CheckedSum {
    original: Sum,
}

impl AggregateUDFImpl for CheckedSum {
    fn name(&self) -> &str {
        self.original.name()
    }

    fn signature(&self) -> &Signature {
        self.original.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.original.return_type(arg_types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let Some(state) = state_type(args.return_field.data_type()) else { return self.original.accumulator(args) };
        if args.is_distinct {
            let message = "SUM(DISTINCT …) beside other aggregates is not supported";
            return Err(to_datafusion(
                Error::new(ErrorKind::Unsupported, message).with_hint("sum over a SELECT DISTINCT in a subquery"),
            ));
        }
        let steps = Steps::of(&args, state)?;
        Ok(match steps.state {
            DataType::Decimal256(..) => Box::new(Total::<Decimal256Type>::new(steps)),
            _ => Box::new(Total::<Decimal128Type>::new(steps)),
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        match state_type(args.return_field.data_type()) {
            Some(state) if !args.is_distinct => {
                Ok(vec![Arc::new(Field::new(format!("{}[sum]", args.name), state, true))])
            }
            _ => self.original.state_fields(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.original.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let Some(state) = state_type(args.return_field.data_type()) else {
            return self.original.create_groups_accumulator(args);
        };
        let steps = Steps::of(&args, state)?;
        Ok(match steps.state {
            DataType::Decimal256(..) => Box::new(Totals::<Decimal256Type>::new(steps)),
            _ => Box::new(Totals::<Decimal128Type>::new(steps)),
        })
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if state_type(args.return_field.data_type()).is_none() {
            return self.original.create_sliding_accumulator(args);
        }
        self.accumulator(args)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.original.reverse_expr()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.original.order_sensitivity()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.original.set_monotonicity(data_type)
    }
}

/// The decimal in which sums of a type are kept; none for those that DataFusion sums itself.
pub(super) fn state_type(sum: &DataType) -> Option<DataType> {
    use DataType as T;
    match sum {
        T::Int64 | T::UInt64 | T::Duration(_) => Some(T::Decimal128(DECIMAL128_MAX_PRECISION, 0)),
        T::Decimal32(_, scale) | T::Decimal64(_, scale) | T::Decimal128(_, scale) => {
            Some(T::Decimal128(DECIMAL128_MAX_PRECISION, *scale))
        }
        T::Decimal256(_, scale) => Some(T::Decimal256(DECIMAL256_MAX_PRECISION, *scale)),
        _ => None,
    }
}

/// From values to their wide form, and from a wide total to the result.
pub(super) struct Steps {
    pub(super) state: DataType,
    result: DataType,
    widen: Kernel,
    narrow: Kernel,
}

impl Steps {
    fn of(args: &AccumulatorArgs, state: DataType) -> Result<Self> {
        let source = args.expr_fields.first().map_or_else(|| args.return_field.data_type(), |field| field.data_type());
        Self::between(source, state, args.return_field.data_type().clone())
    }

    /// From values of `source` over totals of `state` to `result`.
    pub(super) fn between(source: &DataType, state: DataType, result: DataType) -> Result<Self> {
        let (widen, narrow) = (steps(count_type(source), &state)?, steps(&state, count_type(&result))?);
        Ok(Self { state, result, widen, narrow })
    }

    pub(super) fn widen(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let values = match values.data_type() {
            DataType::Duration(_) => cast(values, &DataType::Int64)?,
            _ => Arc::clone(values),
        };
        run(&self.widen, &values)
    }

    fn narrow(&self, totals: &ArrayRef) -> Result<ArrayRef> {
        // A total may have more digits than its type says: it is only counted here.
        within_precision(totals)?;
        let sums = run(&self.narrow, totals)?;
        Ok(if *sums.data_type() == self.result { sums } else { cast(&sums, &self.result)? })
    }
}

/// Durations are summed as the integers that they are.
fn count_type(data_type: &DataType) -> &DataType {
    if matches!(data_type, DataType::Duration(_)) { &DataType::Int64 } else { data_type }
}

fn steps(from: &DataType, to: &DataType) -> Result<Kernel> {
    let field = |data_type: &DataType| Field::new("", data_type.clone(), true);
    kernel(&field(from), &field(to))
        .ok_or_else(|| to_datafusion(Error::new(ErrorKind::Internal, format!("{from} cannot be summed as {to}"))))
}

fn run(kernel: &Kernel, array: &ArrayRef) -> Result<ArrayRef> {
    let cast = kernel.run(array).map_err(to_datafusion)?;
    if cast.misfits.is_some() { Err(overflow()) } else { Ok(cast.array) }
}

impl Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steps").field("state", &self.state).field("result", &self.result).finish_non_exhaustive()
    }
}

/// One total.
#[derive(Debug)]
struct Total<T: ArrowPrimitiveType> {
    steps: Steps,
    sum: T::Native,
    /// Values in the sum: without any it is NULL.
    count: u64,
}

impl<T: DecimalType> Total<T> {
    fn new(steps: Steps) -> Self {
        Self { steps, sum: T::Native::ZERO, count: 0 }
    }

    fn add(&mut self, values: &ArrayRef) -> Result<()> {
        let values = values.as_primitive::<T>();
        if let Some(sum) = sum_checked(values).map_err(|_| overflow())? {
            self.sum = self.sum.add_checked(sum).map_err(|_| overflow())?;
            self.count += (values.len() - values.null_count()) as u64;
        }
        Ok(())
    }

    fn total(&self) -> ArrayRef {
        let sum = (self.count > 0).then_some(self.sum);
        let array: PrimitiveArray<T> = std::iter::once(sum).collect();
        Arc::new(array.with_data_type(self.steps.state.clone()))
    }
}

impl<T: DecimalType + Debug> Accumulator for Total<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = self.steps.widen(&values[0])?;
        self.add(&values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.add(&states[0])
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = self.steps.widen(&values[0])?;
        let values = values.as_primitive::<T>();
        if let Some(sum) = sum_checked(values).map_err(|_| overflow())? {
            self.sum = self.sum.sub_checked(sum).map_err(|_| overflow())?;
            self.count -= (values.len() - values.null_count()) as u64;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::try_from_array(&self.total(), 0)?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.steps.narrow(&self.total())?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// One total per group.
#[derive(Debug)]
struct Totals<T: ArrowPrimitiveType> {
    steps: Steps,
    sums: Vec<T::Native>,
    /// Which groups have a value.
    seen: Vec<bool>,
}

impl<T: DecimalType> Totals<T> {
    fn new(steps: Steps) -> Self {
        Self { steps, sums: Vec::new(), seen: Vec::new() }
    }

    fn add(&mut self, values: &ArrayRef, groups: &[usize], group_count: usize) -> Result<()> {
        self.sums.resize(group_count, T::Native::ZERO);
        self.seen.resize(group_count, false);
        let values = values.as_primitive::<T>();
        for (row, group) in groups.iter().enumerate() {
            if values.is_valid(row) {
                let sum = &mut self.sums[*group];
                *sum = sum.add_checked(values.value(row)).map_err(|_| overflow())?;
                self.seen[*group] = true;
            }
        }
        Ok(())
    }

    fn take(&mut self, emit_to: EmitTo) -> ArrayRef {
        let sums = emit_to.take_needed(&mut self.sums);
        let nulls = NullBuffer::from(emit_to.take_needed(&mut self.seen));
        let array = PrimitiveArray::<T>::new(sums.into(), Some(nulls));
        Arc::new(array.with_data_type(self.steps.state.clone()))
    }
}

impl<T: DecimalType + Debug> GroupsAccumulator for Totals<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let values = filtered(&self.steps.widen(&values[0])?, opt_filter)?;
        self.add(&values, group_indices, total_num_groups)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.add(&values[0], group_indices, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let totals = self.take(emit_to);
        self.steps.narrow(&totals)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.take(emit_to)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        Ok(vec![filtered(&self.steps.widen(&values[0])?, opt_filter)?])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<T::Native>() + self.seen.capacity()
    }
}

/// NULL where the filter does not say true.
pub(super) fn filtered(values: &ArrayRef, filter: Option<&BooleanArray>) -> Result<ArrayRef> {
    let Some(filter) = filter else { return Ok(Arc::clone(values)) };
    let keep = match filter.nulls() {
        Some(nulls) => filter.values() & nulls.inner(),
        None => filter.values().clone(),
    };
    Ok(nullif(values, &BooleanArray::new(!&keep, None))?)
}
