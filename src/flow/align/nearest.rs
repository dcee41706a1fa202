//! Kernels of columns in which loss is allowed: a value that does not fit becomes the nearest one that does.
//!
//! Most of them round or cut the value in its own type, to what the target can express, and leave it to the exact cast to
//! judge the range. So what does not fit then is a misfit as ever, and nothing wraps.

use arrow::array::ArrowPrimitiveType;
use arrow::datatypes::{
    DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Field, Float32Type, Float64Type, i256,
};
use num_traits::{AsPrimitive, Float};

use super::Reason;
use super::exact::nearest_multiple;
use super::float::Binary;
use super::kernel::{Kernel, primitive};
use super::{clock, number, temporal, text};
use crate::fate::{is_text, plain, step_micros};
use crate::formats::value::number as spelled;

/// The kernel between the values of two fields of which [`loss`](crate::fate::loss) says what is lost.
pub(super) fn kernel(from: &Field, to: &Field) -> Option<Kernel> {
    use DataType as T;
    let (source, target) = (plain(from.data_type()), plain(to.data_type()));
    match (source, target) {
        (_, target) if is_text(target) => text::cut(to),
        (source, T::Date32 | T::Date64) if is_text(source) => text::days(from, to),
        (source, target) if is_text(source) => from_text(target),
        (source, target) if source.is_temporal() => {
            let by_clock = || clock::kernel(from, to);
            let cast = if source == target { Some(Kernel::Same) } else { temporal::kernel(source, target) };
            let cast = cast.or_else(by_clock)?;
            let step = step_micros(to).map_or(Kernel::Same, |step| temporal::floor_to(target, step));
            Some(temporal::floor(source, target)?.then(cast).then(step))
        }
        (T::Float16, target) => Some(number::kernel(source, &T::Float32)?.then(from_float::<Float32Type>(target)?)),
        (T::Float32, target) => from_float::<Float32Type>(target),
        (T::Float64, target) => from_float::<Float64Type>(target),
        (source, target) if source.is_integer() => {
            let decimal = T::Decimal128(20, 0);
            Some(number::kernel(source, &decimal)?.then(from_decimal(&decimal, target)?))
        }
        (source, target) => from_decimal(source, target),
    }
}

fn from_text(to: &DataType) -> Option<Kernel> {
    match to {
        DataType::Float32 => Some(text::numbers::<Float32Type>(to, spelled::nearest_float)),
        DataType::Float64 => Some(text::numbers::<Float64Type>(to, spelled::nearest_float)),
        _ => {
            let (between, precision, scale) = widest(to)?;
            let nearest = move |text: &[u8]| spelled::nearest_decimal256(text, precision, scale);
            within(text::numbers::<Decimal256Type>(&between, nearest), &between, to)
        }
    }
}

/// The type of 256 bits that has the digits of the decimal or integer type `to`.
fn widest(to: &DataType) -> Option<(DataType, u8, i8)> {
    use DataType as T;
    let (precision, scale) = match to {
        T::Decimal32(precision, scale)
        | T::Decimal64(precision, scale)
        | T::Decimal128(precision, scale)
        | T::Decimal256(precision, scale) => (*precision, *scale),
        to if to.is_integer() => (20, 0),
        _ => return None,
    };
    Some((T::Decimal256(precision, scale), precision, scale))
}

/// `nearest`, which gives `between`, and the exact cast to `to`.
fn within(nearest: Kernel, between: &DataType, to: &DataType) -> Option<Kernel> {
    if between == to { Some(nearest) } else { Some(nearest.then(number::kernel(between, to)?)) }
}

fn from_float<I: ArrowPrimitiveType>(to: &DataType) -> Option<Kernel>
where
    I::Native: Binary + Float + AsPrimitive<f32>,
{
    if *to == DataType::Float32 {
        return Some(primitive::<I, Float32Type>(to, Reason::Range, |value| {
            let nearest: f32 = value.as_();
            (nearest, nearest.is_finite() || !value.is_finite())
        }));
    }
    if to.is_integer() {
        // Halves go away from zero here, too.
        let whole = primitive::<I, I>(&I::DATA_TYPE, Reason::Digits, |value| (value.round(), true));
        return within(whole, &I::DATA_TYPE, to);
    }
    let (between, precision, scale) = widest(to)?;
    let nearest = primitive::<I, Decimal256Type>(&between, Reason::Digits, move |value| {
        let nearest = spelled::nearest_decimal256(&text_of(value), precision, scale);
        (nearest.unwrap_or_default(), nearest.is_some())
    });
    within(nearest, &between, to)
}

/// The text that counts: the shortest one, but where floats are integers with gaps between them the exact one.
fn text_of<F: Binary>(value: F) -> Vec<u8> {
    let mut text = Vec::with_capacity(32);
    if AsPrimitive::<f64>::as_(value).abs() <= F::DENSE {
        spelled::print_float(value, &mut text);
        return text;
    }
    format!("{:.0}", AsPrimitive::<f64>::as_(value)).into_bytes()
}

fn from_decimal(from: &DataType, to: &DataType) -> Option<Kernel> {
    use DataType as T;
    match from {
        T::Decimal32(_, scale) => decimal::<Decimal32Type>((from, *scale), to),
        T::Decimal64(_, scale) => decimal::<Decimal64Type>((from, *scale), to),
        T::Decimal128(_, scale) => decimal::<Decimal128Type>((from, *scale), to),
        T::Decimal256(_, scale) if to.is_floating() => to_float::<Decimal256Type>(*scale, to, |value| value),
        T::Decimal256(_, scale) => {
            let power = digits_lost(*scale, to)?;
            let nearest = move |value| (nearest_multiple::<i256>(value, power), true);
            within(primitive::<Decimal256Type, Decimal256Type>(from, Reason::Digits, nearest), from, to)
        }
        _ => None,
    }
}

fn decimal<I: ArrowPrimitiveType>((from, scale): (&DataType, i8), to: &DataType) -> Option<Kernel>
where
    I::Native: AsPrimitive<i128>,
    i128: AsPrimitive<I::Native>,
{
    if to.is_floating() {
        return to_float::<I>(scale, to, |value| i256::from_i128(value.as_()));
    }
    let power = digits_lost(scale, to)?;
    let nearest = move |value: I::Native| {
        let wide: i128 = nearest_multiple(value.as_(), power);
        let narrow: I::Native = wide.as_();
        (narrow, AsPrimitive::<i128>::as_(narrow) == wide)
    };
    within(primitive::<I, I>(from, Reason::Digits, nearest), from, to)
}

/// How many digits less than `scale` the decimal or integer type `to` has behind its point.
fn digits_lost(scale: i8, to: &DataType) -> Option<u32> {
    let (_, _, target) = widest(to)?;
    u32::try_from(i32::from(scale) - i32::from(target)).ok()
}

fn to_float<I: ArrowPrimitiveType>(
    scale: i8,
    to: &DataType,
    widen: impl Fn(I::Native) -> i256 + Copy + Send + Sync + 'static,
) -> Option<Kernel> {
    fn nearest<F: spelled::Float + Float + Default>(unscaled: i256, scale: i8) -> (F, bool) {
        let mut digits = Vec::with_capacity(80);
        spelled::print_decimal256(unscaled, scale, &mut digits);
        let value = spelled::nearest_float(&digits);
        (value.unwrap_or_default(), value.is_some())
    }
    match to {
        DataType::Float32 => {
            Some(primitive::<I, Float32Type>(to, Reason::Range, move |value| nearest(widen(value), scale)))
        }
        DataType::Float64 => {
            Some(primitive::<I, Float64Type>(to, Reason::Range, move |value| nearest(widen(value), scale)))
        }
        _ => None,
    }
}
