//! Kernels to and from floats. A float counts as its shortest text: `0.1` is a tenth.

// Exactly equal is what is asked here.
#![allow(clippy::float_cmp)]

use arrow::array::ArrowPrimitiveType;
use arrow::datatypes::{
    DECIMAL256_MAX_PRECISION, DataType, Decimal128Type, Decimal256Type, Float16Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type, i256,
};
use num_traits::{AsPrimitive, Bounded, Float as _};

use super::Reason;
use super::exact::Wide;
use super::kernel::{Kernel, primitive};
use super::number::from_decimal128;
use crate::formats::value::number as text;

pub(super) fn integer_to_float<I, O>(to: &DataType, significand_bits: usize) -> Kernel
where
    I: ArrowPrimitiveType,
    O: ArrowPrimitiveType,
    I::Native: AsPrimitive<i128> + AsPrimitive<O::Native>,
    O::Native: AsPrimitive<i128>,
{
    if size_of::<I::Native>() * 8 <= significand_bits {
        return primitive::<I, O>(to, Reason::Digits, |value| (value.as_(), true));
    }
    let dense = 1i128 << significand_bits;
    primitive::<I, O>(to, Reason::Digits, move |value| {
        let (whole, float): (i128, O::Native) = (value.as_(), value.as_());
        // Up to 2^53 every integer is a double; beyond, some are.
        (float, (-dense <= whole && whole <= dense) || whole == float.as_())
    })
}

pub(super) fn from_single(to: &DataType) -> Option<Kernel> {
    use DataType as T;
    match to {
        T::Float64 => Some(primitive::<Float32Type, Float64Type>(to, Reason::Digits, |value| (value.into(), true))),
        T::Float16 => Some(from_single(&T::Float64)?.then(double_to_half())),
        T::Decimal32(..) | T::Decimal64(..) | T::Decimal128(..) | T::Decimal256(..) => {
            float_to_decimal::<Float32Type>(to, |_, _| None)
        }
        _ => Some(from_single(&T::Float64)?.then(from_double(to)?)),
    }
}

pub(super) fn from_double(to: &DataType) -> Option<Kernel> {
    use DataType as T;
    Some(match to {
        T::Float16 => double_to_half(),
        T::Float32 => primitive::<Float64Type, Float32Type>(to, Reason::Digits, |value| {
            let narrow = value as f32;
            (narrow, f64::from(narrow) == value || value.is_nan())
        }),
        T::Int8 => float_to_integer::<Int8Type>(to),
        T::Int16 => float_to_integer::<Int16Type>(to),
        T::Int32 => float_to_integer::<Int32Type>(to),
        T::Int64 => float_to_integer::<Int64Type>(to),
        T::UInt8 => float_to_integer::<UInt8Type>(to),
        T::UInt16 => float_to_integer::<UInt16Type>(to),
        T::UInt32 => float_to_integer::<UInt32Type>(to),
        T::UInt64 => float_to_integer::<UInt64Type>(to),
        _ => return float_to_decimal::<Float64Type>(to, quick_unscaled),
    })
}

/// Doubles that were read from digits as single floats: a float that has the same digits is the same number.
pub(super) fn from_digits(to: &DataType) -> Kernel {
    primitive::<Float64Type, Float32Type>(to, Reason::Digits, |value| {
        let narrow = value as f32;
        (narrow, f64::from(narrow) == value || value.is_nan() || text::is_printed_as(narrow, value))
    })
}

pub(super) fn double_to_half() -> Kernel {
    primitive::<Float64Type, Float16Type>(&DataType::Float16, Reason::Digits, |value| {
        let narrow = <Float16Type as ArrowPrimitiveType>::Native::from_f64(value);
        (narrow, narrow.to_f64() == value || value.is_nan())
    })
}

fn float_to_integer<O>(to: &DataType) -> Kernel
where
    O: ArrowPrimitiveType,
    O::Native: Bounded + AsPrimitive<f64>,
    f64: AsPrimitive<O::Native>,
{
    let low: f64 = O::Native::min_value().as_();
    // The largest integer plus one: a power of two, which is exact where the largest itself is not.
    let bits = size_of::<O::Native>() * 8 - usize::from(low < 0.0);
    let end = 2f64.powi(bits as i32);
    primitive::<Float64Type, O>(to, Reason::Digits, move |value| {
        (value.as_(), value.trunc() == value && low <= value && value < end)
    })
}

/// A float with a text.
pub(super) trait Binary: text::Float + AsPrimitive<f64> {
    /// Up to here every integer is such a float.
    const DENSE: f64;
}

impl Binary for f32 {
    const DENSE: f64 = 16_777_216.0;
}

impl Binary for f64 {
    const DENSE: f64 = 9_007_199_254_740_992.0;
}

/// Floats as decimals: their shortest text counts, and for integers beyond 2^53 (2^24) their exact value must be the same.
fn float_to_decimal<I>(to: &DataType, quick: fn(I::Native, i8) -> Option<i128>) -> Option<Kernel>
where
    I: ArrowPrimitiveType,
    I::Native: Binary,
{
    use DataType as T;
    let (precision, scale, wide) = match to {
        T::Decimal32(precision, scale) | T::Decimal64(precision, scale) | T::Decimal128(precision, scale) => {
            (*precision, *scale, false)
        }
        T::Decimal256(precision, scale) => (*precision, *scale, true),
        _ => return None,
    };
    if wide {
        return Some(primitive::<I, Decimal256Type>(to, Reason::Digits, move |value| {
            fitting(unscaled_wide(value, precision, scale))
        }));
    }
    let between = T::Decimal128(precision, scale);
    let limit = 10i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
    let kernel = primitive::<I, Decimal128Type>(&between, Reason::Digits, move |value| {
        let quick = quick(value, scale).filter(|unscaled| unscaled.abs() < limit);
        fitting(quick.or_else(|| unscaled_wide(value, precision, scale).and_then(i256::to_i128)))
    });
    if *to == between { Some(kernel) } else { Some(kernel.then(from_decimal128((38, scale), to)?)) }
}

fn fitting<T: Default>(value: Option<T>) -> (T, bool) {
    let fits = value.is_some();
    (value.unwrap_or_default(), fits)
}

/// The powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Doubles differ from each other within this many digits, so a decimal of so many that gives the double is its text.
const SAFE: f64 = 1e15;

/// The decimal of up to 15 digits whose double is `value`, if there is one.
fn quick_unscaled(value: f64, scale: i8) -> Option<i128> {
    let factor = *POWERS.get(usize::try_from(scale).ok()?)?;
    let unscaled = (value * factor).round();
    // The division of two exact doubles is rounded correctly, as a text is when it is parsed.
    (unscaled.abs() < SAFE && unscaled / factor == value).then_some(unscaled as i128)
}

/// By way of the shortest text.
fn unscaled_wide<F: Binary>(value: F, precision: u8, scale: i8) -> Option<i256> {
    let mut digits = Vec::with_capacity(32);
    text::print_float(value, &mut digits);
    let unscaled = text::decimal256(&digits, precision, scale)?;
    let value: f64 = value.as_();
    (value.abs() <= F::DENSE || wide_of_integer(value)? == integer_of(unscaled, scale)?).then_some(unscaled)
}

/// The integer that a double beyond 2^53 is, if it fits.
fn wide_of_integer(value: f64) -> Option<i256> {
    if !value.is_finite() {
        return None;
    }
    let (mantissa, exponent, sign) = value.integer_decode();
    let power = i256::from_i128(2).checked_pow(u32::try_from(exponent).ok()?)?;
    i256::from_i128(i128::from(mantissa) * i128::from(sign)).checked_mul(power)
}

/// `unscaled × 10^-scale`, which is known to be an integer.
fn integer_of(unscaled: i256, scale: i8) -> Option<i256> {
    let factor = i256::ten_to(u32::from(scale.unsigned_abs()))?;
    if scale < 0 { unscaled.checked_mul(factor) } else { Some(unscaled.wrapping_div(factor)) }
}

pub(super) fn decimal_to_float<I: ArrowPrimitiveType, O: ArrowPrimitiveType>(
    to: &DataType,
    function: impl Fn(I::Native) -> Option<O::Native> + Send + Sync + 'static,
) -> Kernel {
    primitive::<I, O>(to, Reason::Digits, move |value| fitting(function(value)))
}

pub(super) fn double(unscaled: i128, scale: i8) -> Option<f64> {
    let factor = usize::try_from(scale).ok().and_then(|scale| POWERS.get(scale));
    match factor {
        Some(factor) if unscaled.unsigned_abs() < SAFE as u128 => Some(unscaled as f64 / factor),
        _ => double_of_wide(i256::from_i128(unscaled), scale),
    }
}

/// The float whose shortest text is the decimal, or that is the decimal exactly, as 2^60 is.
fn float_of<F: Binary>(unscaled: i256, scale: i8) -> Option<F> {
    let mut digits = Vec::with_capacity(80);
    text::print_decimal256(unscaled, scale, &mut digits);
    let value: F = lexical_core::parse(&digits).ok()?;
    digits.clear();
    text::print_float(value, &mut digits);
    let same = text::decimal256(&digits, DECIMAL256_MAX_PRECISION, scale) == Some(unscaled);
    (same || is_exactly(value.as_(), unscaled, scale)).then_some(value)
}

fn is_exactly(value: f64, unscaled: i256, scale: i8) -> bool {
    let whole = match i256::ten_to(u32::from(scale.unsigned_abs())) {
        Some(factor) if scale > 0 => unscaled.wrapping_rem(factor) == i256::ZERO,
        Some(_) => true,
        None => false,
    };
    whole && integer_of(unscaled, scale).is_some_and(|integer| wide_of_integer(value) == Some(integer))
}

pub(super) fn double_of_wide(unscaled: i256, scale: i8) -> Option<f64> {
    float_of(unscaled, scale)
}

pub(super) fn single(unscaled: i128, scale: i8) -> Option<f32> {
    float_of(i256::from_i128(unscaled), scale)
}

pub(super) fn single_of_wide(unscaled: i256, scale: i8) -> Option<f32> {
    float_of(unscaled, scale)
}
