//! Columns as DuckDB hands them out, as the Arrow types of `typemap`. A value that Arrow has no place for is an error.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, BooleanArray, FixedSizeBinaryArray, IntervalMonthDayNanoArray};
use arrow::datatypes::{
    ArrowPrimitiveType, Date32Type, Int8Type, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};

use super::form::Form;
use super::typemap::Kind;
use crate::formats::exchange::{self, Fit, Misfit};
use crate::formats::value::interval::interval;

/// Microseconds and nanoseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;
const DAY_NANOS: i64 = DAY_MICROS * 1000;

/// What is said of values that Arrow has no place for.
pub(super) const INFINITE: &str = "infinity is no point in time that Arrow has";
const MIDNIGHT: &str = "24:00:00 is no time that Arrow has";

/// `array`, which DuckDB gave for `kind` or its carrier, in the type of the kind and the form `form`.
pub(super) fn decode(kind: &Kind, form: Form, array: &ArrayRef) -> Fit {
    match kind {
        Kind::Date | Kind::Timestamp(_) if form == Form::Infinite => same(kind, array),
        Kind::Instant if form == Form::Infinite => utc(array),
        Kind::Boolean => Ok(boolean(array)),
        Kind::Huge { signed } => huge(array, *signed),
        Kind::Date => finite::<Date32Type>(array, |days| days.unsigned_abs() < i32::MAX.unsigned_abs()),
        Kind::Time(TimeUnit::Nanosecond) => of_day::<Time64NanosecondType>(array, DAY_NANOS),
        Kind::Time(_) => of_day::<Time64MicrosecondType>(array, DAY_MICROS),
        Kind::Timestamp(TimeUnit::Second) => finite::<TimestampSecondType>(array, is_finite),
        Kind::Timestamp(TimeUnit::Millisecond) => finite::<TimestampMillisecondType>(array, is_finite),
        Kind::Timestamp(TimeUnit::Nanosecond) => finite::<TimestampNanosecondType>(array, is_finite),
        Kind::Timestamp(TimeUnit::Microsecond) => finite::<TimestampMicrosecondType>(array, is_finite),
        Kind::Instant => utc(&finite::<TimestampMicrosecondType>(array, is_finite)?),
        Kind::Interval => intervals(array),
        Kind::List(_) | Kind::Array(..) | Kind::Struct(_) | Kind::Map(_) => nested(kind, array),
        _ => same(kind, array),
    }
}

/// What is told of the value of `kind` in `row`, which has no place in Arrow.
pub(super) fn text_of(kind: &Kind, array: &ArrayRef, row: usize) -> Option<String> {
    let endless = |at: i64| if at < 0 { "-infinity" } else { "infinity" };
    Some(match kind {
        Kind::Date => endless(array.as_primitive_opt::<Date32Type>()?.value(row).into()).to_owned(),
        // The units do not matter.
        Kind::Timestamp(_) | Kind::Instant => {
            let counted = array.to_data();
            endless(*counted.buffers().first()?.typed_data::<i64>().get(counted.offset() + row)?).to_owned()
        }
        Kind::Time(_) => "24:00:00".to_owned(),
        Kind::Interval => array.as_string_opt::<i32>()?.value(row).to_owned(),
        _ => return None,
    })
}

fn same(kind: &Kind, array: &ArrayRef) -> Fit {
    if *array.data_type() == kind.data_type() { Ok(Arc::clone(array)) } else { Err(unexpected(array)) }
}

fn utc(array: &ArrayRef) -> Fit {
    let instants = array.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| unexpected(array))?;
    Ok(Arc::new(instants.clone().with_timezone("UTC")))
}

fn is_finite(moment: i64) -> bool {
    moment.unsigned_abs() < i64::MAX.unsigned_abs()
}

fn unexpected(array: &ArrayRef) -> Misfit {
    Misfit::of_column(format!("DuckDB gave {} here, which was not expected", array.data_type()))
}

/// One byte each, where types are kept as they are.
fn boolean(array: &ArrayRef) -> ArrayRef {
    match array.as_primitive_opt::<Int8Type>() {
        Some(bytes) => Arc::new(BooleanArray::from_unary(bytes, |byte| byte != 0)),
        None => Arc::clone(array),
    }
}

/// Sixteen bytes each, the lowest first.
fn huge(array: &ArrayRef, signed: bool) -> Fit {
    let bytes = array.as_fixed_size_binary_opt().filter(|bytes| bytes.value_length() == 16);
    let bytes: &FixedSizeBinaryArray = bytes.ok_or_else(|| unexpected(array))?;
    Ok(exchange::huge_decimals(bytes, signed))
}

fn finite<T: ArrowPrimitiveType>(array: &ArrayRef, fit: impl Fn(T::Native) -> bool) -> Fit {
    exchange::kept::<T>(array, fit, INFINITE, unexpected)
}

fn of_day<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef, day: i64) -> Fit {
    exchange::kept::<T>(array, |time| (0..day).contains(&time), MIDNIGHT, unexpected)
}

/// Texts such as `1 year 2 months -3 days 04:05:06.5`.
fn intervals(array: &ArrayRef) -> Fit {
    let texts = array.as_string_opt::<i32>().ok_or_else(|| unexpected(array))?;
    let mut values = Vec::with_capacity(texts.len());
    for row in 0..texts.len() {
        if texts.is_null(row) {
            values.push(None);
            continue;
        }
        let value = interval(texts.value(row).as_bytes());
        let why = "the interval has more hours than Arrow's nanoseconds can count";
        values.push(Some(value.ok_or_else(|| Misfit::of_value(row, why))?));
    }
    Ok(Arc::new(IntervalMonthDayNanoArray::from(values)))
}

fn nested(kind: &Kind, array: &ArrayRef) -> Fit {
    let child = |place, column: &ArrayRef| match kind.child(place) {
        Some(member) => decode(member, Form::Arrow, column),
        None => Err(unexpected(column)),
    };
    exchange::nested(array, &kind.data_type(), child, unexpected)
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Date32Array, Int32Array, ListArray, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    };
    use arrow::datatypes::DataType;

    use super::*;

    fn of(kind: &str, array: impl Array + 'static) -> Fit {
        decode(&Kind::parse(kind).unwrap(), Form::Arrow, &(Arc::new(array) as ArrayRef))
    }

    #[test]
    fn values_that_arrow_has_no_place_for_are_told_by_row() {
        let row = |fit: Fit| fit.unwrap_err().row.unwrap();
        assert_eq!(row(of("DATE", Date32Array::from(vec![Some(1), None, Some(i32::MAX)]))), 2);
        assert_eq!(row(of("DATE", Date32Array::from(vec![-i32::MAX]))), 0);
        assert_eq!(row(of("TIMESTAMP", TimestampMicrosecondArray::from(vec![0, -i64::MAX]))), 1);
        assert_eq!(row(of("TIME", Time64MicrosecondArray::from(vec![0, DAY_MICROS]))), 1);
        assert_eq!(row(of("INTERVAL", StringArray::from(vec!["1 day", "3000000:00:00"]))), 1);
        assert!(of("DATE", Date32Array::from(vec![i32::MAX - 1, 1 - i32::MAX])).is_ok());
    }

    #[test]
    fn infinity_is_kept_in_its_own_form_and_told_by_its_name() {
        let days: ArrayRef = Arc::new(Date32Array::from(vec![i32::MAX, -i32::MAX]));
        assert_eq!(&decode(&Kind::Date, Form::Infinite, &days).unwrap(), &days);
        let moments: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![0, -i64::MAX, i64::MAX]));
        let told = |array: &ArrayRef, row| text_of(&Kind::Instant, array, row).unwrap();
        assert_eq!(
            [told(&moments, 1), told(&moments, 2), told(&moments.slice(2, 1), 0)].join(" "),
            "-infinity infinity infinity"
        );
        assert_eq!(text_of(&Kind::Date, &days, 1).as_deref(), Some("-infinity"));
        let kept = decode(&Kind::Instant, Form::Infinite, &moments).unwrap();
        assert_eq!(*kept.data_type(), Kind::Instant.data_type());
    }

    #[test]
    fn rows_of_nested_values_are_those_of_the_list() {
        let item = Arc::new(arrow::datatypes::Field::new("l", DataType::Date32, true));
        let offsets = arrow::buffer::OffsetBuffer::from_lengths([1, 0, 2]);
        let days: ArrayRef = Arc::new(Date32Array::from(vec![0, 1, i32::MAX]));
        let lists = ListArray::new(item, offsets, days, None);
        assert_eq!(of("DATE[]", lists).unwrap_err().row, Some(2));
    }

    #[test]
    fn huge_integers_keep_their_sign_and_all_bits() {
        let bytes = [i128::MIN, i128::MAX, -1].map(i128::to_le_bytes);
        let array = FixedSizeBinaryArray::try_from_iter(bytes.iter()).unwrap();
        let text = |fit: Fit| {
            let array = fit.unwrap();
            let array = array.as_primitive::<arrow::datatypes::Decimal256Type>().clone();
            (0..array.len()).map(|row| array.value_as_string(row)).collect::<Vec<_>>()
        };
        assert_eq!(text(of("HUGEINT", array.clone())), [i128::MIN.to_string(), i128::MAX.to_string(), "-1".to_owned()]);
        assert_eq!(text(of("UHUGEINT", array))[2], u128::MAX.to_string());
        assert!(of("HUGEINT", Int32Array::from(vec![1])).is_err());
    }
}
