//! Kernels between integers, decimals and booleans, and the table of all numbers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{
    DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type, i256,
};
use num_traits::{AsPrimitive, Bounded};

use super::Reason;
use super::exact::{Ratio, exact256, ranged};
use super::float;
use super::kernel::{Cast, Kernel, misfits, primitive, relabelled};

/// The kernel between two different numeric or boolean types.
pub(super) fn kernel(from: &DataType, to: &DataType) -> Option<Kernel> {
    use DataType as T;
    match from {
        T::Int8 => from_integer::<Int8Type>(to),
        T::Int16 => from_integer::<Int16Type>(to),
        T::Int32 => from_integer::<Int32Type>(to),
        T::Int64 => from_integer::<Int64Type>(to),
        T::UInt8 => from_integer::<UInt8Type>(to),
        T::UInt16 => from_integer::<UInt16Type>(to),
        T::UInt32 => from_integer::<UInt32Type>(to),
        T::UInt64 => from_integer::<UInt64Type>(to),
        // Half precision goes by way of the wider types: it is rare.
        T::Float16 => {
            let wider =
                primitive::<Float16Type, Float32Type>(&T::Float32, Reason::Range, |value| (value.to_f32(), true));
            if *to == T::Float32 { Some(wider) } else { Some(wider.then(float::from_single(to)?)) }
        }
        T::Float32 => float::from_single(to),
        T::Float64 => float::from_double(to),
        T::Decimal32(have, scale) => from_decimal::<Decimal32Type>((*have, *scale), to),
        T::Decimal64(have, scale) => from_decimal::<Decimal64Type>((*have, *scale), to),
        T::Decimal128(have, scale) => from_decimal::<Decimal128Type>((*have, *scale), to),
        T::Decimal256(have, scale) => from_decimal256((*have, *scale), to),
        T::Boolean => from_boolean(to),
        _ => None,
    }
}

fn from_integer<I>(to: &DataType) -> Option<Kernel>
where
    I: ArrowPrimitiveType,
    I::Native: AsPrimitive<i128> + AsPrimitive<f32> + AsPrimitive<f64> + Bounded + PartialOrd,
    i128: AsPrimitive<I::Native>,
{
    use DataType as T;
    match to {
        T::Boolean => Some(to_boolean::<I>()),
        T::Float16 => Some(from_integer::<I>(&T::Float64)?.then(float::double_to_half())),
        T::Float32 => Some(float::integer_to_float::<I, Float32Type>(to, 24)),
        T::Float64 => Some(float::integer_to_float::<I, Float64Type>(to, 53)),
        _ => small(to).map_or_else(
            || {
                decimal256(to)
                    .map(|target| exact256::<I, Decimal256Type>(0, target, |v| i256::from_i128(v.as_()), |v| v))
            },
            |target| target.exact::<I>(0, Reason::Range),
        ),
    }
}

fn from_decimal<I>((precision, scale): (u8, i8), to: &DataType) -> Option<Kernel>
where
    I: ArrowPrimitiveType,
    I::Native: AsPrimitive<i128>,
    i128: AsPrimitive<I::Native>,
{
    use DataType as T;
    match to {
        T::Float16 => Some(from_decimal::<I>((precision, scale), &T::Float64)?.then(float::double_to_half())),
        T::Float32 => {
            Some(float::decimal_to_float::<I, Float32Type>(to, move |value| float::single(value.as_(), scale)))
        }
        T::Float64 => {
            Some(float::decimal_to_float::<I, Float64Type>(to, move |value| float::double(value.as_(), scale)))
        }
        _ if to.is_decimal() && relabels::<I>((precision, scale), to) => Some(relabelled(to)),
        _ => small(to).map_or_else(
            || {
                decimal256(to)
                    .map(|target| exact256::<I, Decimal256Type>(scale, target, |v| i256::from_i128(v.as_()), |v| v))
            },
            |target| target.exact::<I>(scale, Reason::Digits),
        ),
    }
}

pub(super) fn from_decimal128((precision, scale): (u8, i8), to: &DataType) -> Option<Kernel> {
    from_decimal::<Decimal128Type>((precision, scale), to)
}

fn from_decimal256((precision, scale): (u8, i8), to: &DataType) -> Option<Kernel> {
    use DataType as T;
    match to {
        T::Float16 => Some(from_decimal256((precision, scale), &T::Float64)?.then(float::double_to_half())),
        T::Float32 => {
            Some(float::decimal_to_float::<Decimal256Type, Float32Type>(to, move |v| float::single_of_wide(v, scale)))
        }
        T::Float64 => {
            Some(float::decimal_to_float::<Decimal256Type, Float64Type>(to, move |v| float::double_of_wide(v, scale)))
        }
        T::Decimal256(room, target) if *target == scale && *room >= precision => Some(relabelled(to)),
        T::Decimal256(..) => {
            decimal256(to).map(|target| exact256::<Decimal256Type, Decimal256Type>(scale, target, |v| v, |v| v))
        }
        _ => small(to)?.exact_of_wide(scale),
    }
}

/// Whether the decimals are the same numbers under another type.
fn relabels<I: ArrowPrimitiveType>((precision, scale): (u8, i8), to: &DataType) -> bool {
    use DataType as T;
    let same_width = std::mem::discriminant(&I::DATA_TYPE) == std::mem::discriminant(to);
    match to {
        T::Decimal32(room, target) | T::Decimal64(room, target) | T::Decimal128(room, target) => {
            same_width && *target == scale && *room >= precision
        }
        _ => false,
    }
}

/// A target whose values are integers times a power of ten within 128 bits.
struct Small<'a> {
    to: &'a DataType,
    scale: i8,
    low: i128,
    high: i128,
}

fn small(to: &DataType) -> Option<Small<'_>> {
    use DataType as T;
    let (scale, low, high) = match to {
        T::Int8 => (0, i8::MIN.into(), i8::MAX.into()),
        T::Int16 => (0, i16::MIN.into(), i16::MAX.into()),
        T::Int32 => (0, i32::MIN.into(), i32::MAX.into()),
        T::Int64 => (0, i64::MIN.into(), i64::MAX.into()),
        T::UInt8 => (0, 0, u8::MAX.into()),
        T::UInt16 => (0, 0, u16::MAX.into()),
        T::UInt32 => (0, 0, u32::MAX.into()),
        T::UInt64 => (0, 0, u64::MAX.into()),
        T::Decimal32(precision, scale) | T::Decimal64(precision, scale) | T::Decimal128(precision, scale) => {
            let high = 10i128.checked_pow(u32::from(*precision))? - 1;
            (*scale, -high, high)
        }
        _ => return None,
    };
    Some(Small { to, scale, low, high })
}

/// Precision and scale of a 256 bit target.
fn decimal256(to: &DataType) -> Option<(&DataType, u8, i8)> {
    match to {
        DataType::Decimal256(precision, scale) => Some((to, *precision, *scale)),
        _ => None,
    }
}

impl Small<'_> {
    /// From integers times `10^-scale`.
    fn exact<I>(&self, scale: i8, reason: Reason) -> Option<Kernel>
    where
        I: ArrowPrimitiveType,
        I::Native: AsPrimitive<i128>,
        i128: AsPrimitive<I::Native>,
    {
        use DataType as T;
        let ratio = Ratio::<i128>::ten(i32::from(self.scale) - i32::from(scale));
        Some(match self.to {
            T::Int8 => rescale::<I, Int8Type>(self, ratio, reason),
            T::Int16 => rescale::<I, Int16Type>(self, ratio, reason),
            T::Int32 => rescale::<I, Int32Type>(self, ratio, reason),
            T::Int64 => rescale::<I, Int64Type>(self, ratio, reason),
            T::UInt8 => rescale::<I, UInt8Type>(self, ratio, reason),
            T::UInt16 => rescale::<I, UInt16Type>(self, ratio, reason),
            T::UInt32 => rescale::<I, UInt32Type>(self, ratio, reason),
            T::UInt64 => rescale::<I, UInt64Type>(self, ratio, reason),
            T::Decimal32(..) => rescale::<I, Decimal32Type>(self, ratio, reason),
            T::Decimal64(..) => rescale::<I, Decimal64Type>(self, ratio, reason),
            T::Decimal128(..) => rescale::<I, Decimal128Type>(self, ratio, reason),
            _ => return None,
        })
    }

    /// From 256 bits: into 128 bits first, with the target's scale and range.
    fn exact_of_wide(&self, scale: i8) -> Option<Kernel> {
        let (low, high) = (i256::from_i128(self.low), i256::from_i128(self.high));
        let ratio = Ratio::<i256>::ten(i32::from(self.scale) - i32::from(scale));
        let between = DataType::Decimal128(38, self.scale.max(0));
        let narrow = primitive::<Decimal256Type, Decimal128Type>(&between, Reason::Digits, move |value| {
            let (value, fits) = ratio.apply(value, low, high);
            (value.to_i128().unwrap_or_default(), fits)
        });
        // The scales are equal now: what is left is another width.
        Some(narrow.then(self.exact::<Decimal128Type>(self.scale, Reason::Digits)?))
    }
}

fn rescale<I, O>(target: &Small<'_>, ratio: Ratio<i128>, reason: Reason) -> Kernel
where
    I: ArrowPrimitiveType,
    O: ArrowPrimitiveType,
    I::Native: AsPrimitive<i128>,
    i128: AsPrimitive<O::Native>,
{
    ranged::<I, O>(target.to, ratio, (target.low, target.high), reason)
}

fn from_boolean(to: &DataType) -> Option<Kernel> {
    use DataType as T;
    Some(match to {
        T::Int8 => boolean_to_integer::<Int8Type>(),
        T::Int16 => boolean_to_integer::<Int16Type>(),
        T::Int32 => boolean_to_integer::<Int32Type>(),
        T::Int64 => boolean_to_integer::<Int64Type>(),
        T::UInt8 => boolean_to_integer::<UInt8Type>(),
        T::UInt16 => boolean_to_integer::<UInt16Type>(),
        T::UInt32 => boolean_to_integer::<UInt32Type>(),
        T::UInt64 => boolean_to_integer::<UInt64Type>(),
        _ => return None,
    })
}

fn boolean_to_integer<O>() -> Kernel
where
    O: ArrowPrimitiveType,
    O::Native: From<bool>,
{
    Kernel::map(|array| {
        let source = array.as_boolean();
        let values: Vec<O::Native> = source.values().iter().map(O::Native::from).collect();
        let array: ArrayRef = Arc::new(PrimitiveArray::<O>::new(values.into(), source.nulls().cloned()));
        Ok(Cast::exact(array))
    })
}

fn to_boolean<I>() -> Kernel
where
    I: ArrowPrimitiveType,
    I::Native: AsPrimitive<i128>,
{
    Kernel::map(|array| {
        let source = array.as_primitive::<I>();
        let value = |row: usize| -> i128 { source.values()[row].as_() };
        let truth = BooleanBuffer::collect_bool(source.len(), |row| value(row) == 1);
        let neither = BooleanBuffer::collect_bool(source.len(), |row| !(0..=1).contains(&value(row)));
        let misfits = misfits(neither, source.nulls(), Reason::Range);
        Ok(Cast { array: Arc::new(BooleanArray::new(truth, source.nulls().cloned())), misfits })
    })
}
