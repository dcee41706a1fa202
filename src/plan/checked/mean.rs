//! AVG that fails where DataFusion's wraps around: over decimals of up to 76 digits and over durations.
//!
//! All other types DataFusion sums in a type with room for a billion rows, or in floats.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowNativeType as _, ArrowNativeTypeOp, DataType, Decimal128Type, Decimal256Type, DecimalType, Field, FieldRef,
};
use datafusion::error::Result;
use datafusion::functions_aggregate::average::Avg;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature};
use datafusion::scalar::ScalarValue;

use super::expr::{overflow, within_precision};
use super::sum::{Steps, filtered, state_type};
use crate::error::{Error, ErrorKind};
use crate::plan::error::to_datafusion;

/// AVG, under the name and with the types of DataFusion's.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct CheckedMean {
    original: Avg,
}

impl AggregateUDFImpl for CheckedMean {
    fn name(&self) -> &str {
        self.original.name()
    }

    fn aliases(&self) -> &[String] {
        self.original.aliases()
    }

    fn signature(&self) -> &Signature {
        self.original.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.original.return_type(arg_types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let Some(state) = wraps(args.expr_fields) else { return self.original.accumulator(args) };
        if args.is_distinct {
            let message = "AVG(DISTINCT …) of such wide values is not supported";
            return Err(to_datafusion(
                Error::new(ErrorKind::Unsupported, message).with_hint("average over a SELECT DISTINCT in a subquery"),
            ));
        }
        let divide = Divide::of(&args, state)?;
        Ok(match divide.steps.state {
            DataType::Decimal256(..) => Box::new(Mean::<Decimal256Type>::new(divide)),
            _ => Box::new(Mean::<Decimal128Type>::new(divide)),
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        match wraps(args.input_fields) {
            Some(state) if !args.is_distinct => Ok(vec![
                Arc::new(Field::new(format!("{}[count]", args.name), DataType::UInt64, true)),
                Arc::new(Field::new(format!("{}[sum]", args.name), state, true)),
            ]),
            _ => self.original.state_fields(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.original.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let Some(state) = wraps(args.expr_fields) else { return self.original.create_groups_accumulator(args) };
        let divide = Divide::of(&args, state)?;
        Ok(match divide.steps.state {
            DataType::Decimal256(..) => Box::new(Means::<Decimal256Type>::new(divide)),
            _ => Box::new(Means::<Decimal128Type>::new(divide)),
        })
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if wraps(args.expr_fields).is_none() {
            return self.original.create_sliding_accumulator(args);
        }
        self.accumulator(args)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.original.reverse_expr()
    }
}

/// The decimal in which we sum such values; none for those that DataFusion's own sum has room for.
fn wraps(fields: &[FieldRef]) -> Option<DataType> {
    let data_type = fields.first()?.data_type();
    matches!(data_type, DataType::Decimal256(..) | DataType::Duration(_)).then(|| state_type(data_type))?
}

/// From sums and counts to means.
#[derive(Debug)]
struct Divide {
    steps: Steps,
    result: DataType,
    /// Digits that the result has more behind the point than the sum.
    digits: u32,
}

impl Divide {
    fn of(args: &AccumulatorArgs, state: DataType) -> Result<Self> {
        let source = args.expr_fields.first().map_or_else(|| args.return_field.data_type(), |field| field.data_type());
        let result = args.return_field.data_type().clone();
        let digits = match (&state, &result) {
            (DataType::Decimal256(_, from), DataType::Decimal256(_, to)) => {
                u32::try_from(to - from).unwrap_or_default()
            }
            _ => 0,
        };
        Ok(Self { steps: Steps::between(source, state.clone(), state)?, result, digits })
    }

    /// The mean as a number of the result's last digit; towards zero, as DataFusion has it.
    fn mean<T: DecimalType>(&self, sum: T::Native, count: u64) -> Result<T::Native> {
        let native = |number: usize| T::Native::from_usize(number).ok_or_else(overflow);
        let scale = native(10)?.pow_checked(self.digits).map_err(|_| overflow())?;
        let scaled = sum.mul_checked(scale).map_err(|_| overflow())?;
        scaled.div_checked(native(usize::try_from(count).map_err(|_| overflow())?)?).map_err(|_| overflow())
    }

    fn means<T: DecimalType>(&self, sums: &[T::Native], counts: &[u64]) -> Result<ArrayRef> {
        let mean = |(sum, count): (&T::Native, &u64)| (*count > 0).then(|| self.mean::<T>(*sum, *count)).transpose();
        let means: PrimitiveArray<T> = sums.iter().zip(counts).map(mean).collect::<Result<_>>()?;
        if let DataType::Duration(_) = self.result {
            let whole = cast(&means.with_data_type(self.steps.state.clone()), &DataType::Int64)?;
            return Ok(cast(&whole, &self.result)?);
        }
        let means = means.with_data_type(self.result.clone());
        within_precision(&means)?;
        Ok(Arc::new(means))
    }

    fn sums<T: DecimalType>(&self, sums: Vec<T::Native>) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::new(sums.into(), None).with_data_type(self.steps.state.clone()))
    }
}

/// One mean: a group of its own.
#[derive(Debug)]
struct Mean<T: DecimalType>(Means<T>);

impl<T: DecimalType> Mean<T> {
    fn new(divide: Divide) -> Self {
        let mut means = Means::new(divide);
        means.resize(1);
        Self(means)
    }
}

impl<T: DecimalType + Debug> Accumulator for Mean<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = self.0.divide.steps.widen(&values[0])?;
        self.0.add(&values, &vec![0; values.len()], 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge(states, &vec![0; states[0].len()], 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = self.0.divide.steps.widen(&values[0])?;
        for value in values.as_primitive::<T>().iter().flatten() {
            self.0.sums[0] = self.0.sums[0].sub_checked(value).map_err(|_| overflow())?;
            self.0.counts[0] -= 1;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (count, sum) = (self.0.counts[0], self.0.divide.sums::<T>(self.0.sums.clone()));
        Ok(vec![ScalarValue::UInt64(Some(count)), ScalarValue::try_from_array(&sum, 0)?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.0.divide.means::<T>(&self.0.sums, &self.0.counts)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// One mean per group.
#[derive(Debug)]
struct Means<T: DecimalType> {
    divide: Divide,
    sums: Vec<T::Native>,
    counts: Vec<u64>,
}

impl<T: DecimalType> Means<T> {
    fn new(divide: Divide) -> Self {
        Self { divide, sums: Vec::new(), counts: Vec::new() }
    }

    fn resize(&mut self, groups: usize) {
        self.sums.resize(groups, T::Native::ZERO);
        self.counts.resize(groups, 0);
    }

    fn add(&mut self, values: &ArrayRef, groups: &[usize], group_count: usize) -> Result<()> {
        self.resize(group_count);
        let values = values.as_primitive::<T>();
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| values.is_valid(*row)) {
            self.sums[*group] = self.sums[*group].add_checked(values.value(row)).map_err(|_| overflow())?;
            self.counts[*group] += 1;
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[usize], group_count: usize) -> Result<()> {
        self.resize(group_count);
        let (counts, sums) = (states[0].as_primitive::<arrow::datatypes::UInt64Type>(), states[1].as_primitive::<T>());
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| sums.is_valid(*row)) {
            self.sums[*group] = self.sums[*group].add_checked(sums.value(row)).map_err(|_| overflow())?;
            self.counts[*group] += counts.value(row);
        }
        Ok(())
    }
}

impl<T: DecimalType + Debug> GroupsAccumulator for Means<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let values = filtered(&self.divide.steps.widen(&values[0])?, opt_filter)?;
        self.add(&values, group_indices, total_num_groups)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.merge(values, group_indices, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (sums, counts) = (emit_to.take_needed(&mut self.sums), emit_to.take_needed(&mut self.counts));
        self.divide.means::<T>(&sums, &counts)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let counts = UInt64Array::from(emit_to.take_needed(&mut self.counts));
        Ok(vec![Arc::new(counts), self.divide.sums::<T>(emit_to.take_needed(&mut self.sums))])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = filtered(&self.divide.steps.widen(&values[0])?, opt_filter)?;
        let counts: UInt64Array = (0..values.len()).map(|row| Some(u64::from(values.is_valid(row)))).collect();
        Ok(vec![Arc::new(counts), values])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<T::Native>() + self.counts.capacity() * size_of::<u64>()
    }
}
