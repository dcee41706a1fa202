//! Arrow columns as DuckDB's bulk path takes them, where nothing checks values: what it would change, or take for
//! something else, is refused here.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Field, FieldRef, Fields, IntervalMonthDayNanoType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};

use super::form::{self, Form};
use super::typemap::Kind;
use super::zero;
use crate::formats::exchange::{self, Fit, Misfit};
use crate::schema::{EXTENSION, with_metadata};

/// Arrow's metadata of an extension type.
const EXTENSION_DETAIL: &str = "ARROW:extension:metadata";
/// Days and moments beyond these are DuckDB's infinities, or before its calendar. See its `Date` and `Timestamp`.
pub(super) const LAST_DAY: i32 = i32::MAX - 1;
pub(super) const FIRST_MICRO: i64 = -9_223_372_022_400_000_000;
/// What is said of a value that is beyond those.
pub(super) const NO_SUCH_VALUE: &str = "DuckDB has no such value: it would become another one";

/// `array`, of the type of `kind` in the form `form`, for DuckDB.
pub(super) fn encode(kind: &Kind, form: Form, array: &ArrayRef) -> Fit {
    // Which numbers are infinity, where it may come.
    let is_endless = |at: i64, most: i64| form == Form::Infinite && at.unsigned_abs() == most.unsigned_abs();
    let is_moment = |at: i64, each: i64| in_micros(at, each) || is_endless(at, i64::MAX);
    match kind {
        _ if form == Form::Wire => form::of_wire(kind, array),
        Kind::Huge { signed } => exchange::huge_bytes(array, *signed, wrong),
        Kind::Float | Kind::Double => Ok(zero::unsigned(array)),
        Kind::Date => {
            let is_day = |day: i32| (-LAST_DAY..=LAST_DAY).contains(&day) || is_endless(day.into(), i32::MAX.into());
            kept::<Date32Type>(array, is_day)
        }
        Kind::Time(TimeUnit::Nanosecond) => kept::<Time64NanosecondType>(array, |time| (0..DAY_NANOS).contains(&time)),
        Kind::Time(_) => kept::<Time64MicrosecondType>(array, |time| (0..DAY_NANOS / 1000).contains(&time)),
        Kind::Timestamp(TimeUnit::Second) => kept::<TimestampSecondType>(array, |at| is_moment(at, 1_000_000)),
        Kind::Timestamp(TimeUnit::Millisecond) => kept::<TimestampMillisecondType>(array, |at| is_moment(at, 1000)),
        Kind::Timestamp(TimeUnit::Nanosecond) => {
            let is_finite = |at: i64| (-i64::MAX + 1..i64::MAX).contains(&at);
            kept::<TimestampNanosecondType>(array, |at| is_finite(at) || is_endless(at, i64::MAX))
        }
        Kind::Timestamp(TimeUnit::Microsecond) | Kind::Instant => {
            kept::<TimestampMicrosecondType>(array, |at| is_moment(at, 1))
        }
        Kind::Interval => kept::<IntervalMonthDayNanoType>(array, |value| value.nanoseconds % 1000 == 0),
        Kind::TimeTz => text(array, is_time_tz, "is no time with a zone"),
        Kind::Bit => text(array, is_bits, "is no row of bits"),
        Kind::Bignum => text(array, is_whole, "is no whole number as DuckDB prints it"),
        Kind::Enum(labels) => text(array, |text| labels.iter().any(|label| label == text), "is none of the labels"),
        Kind::List(_) | Kind::Array(..) | Kind::Struct(_) | Kind::Map(_) => nested(kind, array),
        _ => Ok(Arc::clone(array)),
    }
}

const DAY_NANOS: i64 = 86_400_000_000_000;

/// Whether DuckDB has this moment, and it is no infinity.
fn in_micros(at: i64, each: i64) -> bool {
    at.checked_mul(each).is_some_and(|micros| (FIRST_MICRO..i64::MAX).contains(&micros))
}

/// How `kind` is called on the way in.
pub(super) fn field(kind: &Kind, name: &str) -> Field {
    let field = Field::new(name, data_type(kind), true);
    let opaque = |field, name: &str| {
        let detail = format!(r#"{{"type_name":"{name}","vendor_name":"DuckDB"}}"#);
        with_metadata(with_metadata(field, EXTENSION, "arrow.opaque"), EXTENSION_DETAIL, &detail)
    };
    match kind {
        Kind::Huge { signed: true } => opaque(field, "hugeint"),
        Kind::Huge { signed: false } => opaque(field, "uhugeint"),
        Kind::Uuid | Kind::Json => kind.field(name, true),
        _ => field,
    }
}

fn data_type(kind: &Kind) -> DataType {
    let item = |item: &Kind| Arc::new(field(item, Field::LIST_FIELD_DEFAULT_NAME));
    match kind {
        Kind::Huge { .. } => DataType::FixedSizeBinary(16),
        Kind::List(inner) => DataType::List(item(inner)),
        Kind::Array(inner, count) => DataType::FixedSizeList(item(inner), *count),
        Kind::Struct(members) => DataType::Struct(fields(members)),
        Kind::Map(both) => {
            let entries = vec![field(&both.0, "key").with_nullable(false), field(&both.1, "value")];
            DataType::Map(Arc::new(Field::new_struct("entries", entries, false)), false)
        }
        other => other.data_type(),
    }
}

fn fields(members: &[(String, Kind)]) -> Fields {
    members.iter().map(|(name, kind)| Arc::new(field(kind, name)) as FieldRef).collect()
}

pub(super) fn wrong(array: &ArrayRef) -> Misfit {
    Misfit::of_column(format!("{} came here, which was not agreed on", array.data_type()))
}

/// Values that all are `fit`; the others stay out.
fn kept<T: ArrowPrimitiveType>(array: &ArrayRef, fit: impl Fn(T::Native) -> bool) -> Fit {
    exchange::kept::<T>(array, fit, NO_SUCH_VALUE, wrong)
}

fn text(array: &ArrayRef, fit: impl Fn(&str) -> bool, why: &str) -> Fit {
    exchange::kept_texts(array, fit, why, wrong)
}

/// The inner values, and the names and metadata by which DuckDB knows them.
fn nested(kind: &Kind, array: &ArrayRef) -> Fit {
    let child = |place, column: &ArrayRef| match kind.child(place) {
        Some(member) => encode(member, Form::Arrow, column),
        None => Err(wrong(column)),
    };
    exchange::nested(array, &data_type(kind), child, wrong)
}

fn is_bits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0' | b'1'))
}

/// `-12`: no sign but minus, no zeros in front, no minus zero.
fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && (!digits.starts_with('0') || text == "0")
}

/// `12:30:01.5+05:30`, as DuckDB prints it.
fn is_time_tz(text: &str) -> bool {
    let Some(at) = text.rfind(['+', '-']) else { return false };
    let (clock, zone) = (&text[..at], &text[at + 1..]);
    let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(clock, fraction)| (clock, Some(fraction)));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let two = |part: &str, most: u8| part.len() == 2 && digits(part) && part.parse().is_ok_and(|part: u8| part <= most);
    let parts: Vec<&str> = clock.split(':').collect();
    let whole =
        matches!(parts.as_slice(), [hour, minute, second] if two(hour, 23) && two(minute, 59) && two(second, 59));
    let exact = fraction.is_none_or(|part| (1..=6).contains(&part.len()) && digits(part) && !part.ends_with('0'));
    let mut zone = zone.split(':');
    let hours = zone.next().is_some_and(|hours| two(hours, 15));
    whole && exact && hours && zone.clone().count() <= 2 && zone.all(|part| two(part, 59))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Date32Array, IntervalMonthDayNanoArray, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::{IntervalMonthDayNano, i256};

    use super::*;

    fn refused(kind: &str, array: impl Array + 'static) -> Option<usize> {
        let array: ArrayRef = Arc::new(array);
        encode(&Kind::parse(kind).unwrap(), Form::Arrow, &array).err().and_then(|misfit| misfit.row)
    }

    #[test]
    fn what_duckdb_would_take_for_infinity_or_cut_is_refused() {
        assert_eq!(refused("DATE", Date32Array::from(vec![Some(0), None, Some(i32::MIN)])), Some(2));
        assert_eq!(refused("DATE", Date32Array::from(vec![i32::MAX])), Some(0));
        assert_eq!(refused("DATE", Date32Array::from(vec![i32::MAX - 1, 1 - i32::MAX])), None);
        assert_eq!(refused("TIMESTAMP", TimestampMicrosecondArray::from(vec![FIRST_MICRO, i64::MAX - 1])), None);
        assert_eq!(refused("TIMESTAMP", TimestampMicrosecondArray::from(vec![0, i64::MAX])), Some(1));
        assert_eq!(refused("TIMESTAMP", TimestampMicrosecondArray::from(vec![FIRST_MICRO - 1])), Some(0));
        let interval = |nanos| IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(1, 2, nanos)]);
        assert_eq!(refused("INTERVAL", interval(1000)), None);
        assert_eq!(refused("INTERVAL", interval(1001)), Some(0));
    }

    #[test]
    fn infinity_passes_in_its_own_form() {
        let fits = |kind: &str, array: ArrayRef| encode(&Kind::parse(kind).unwrap(), Form::Infinite, &array).is_ok();
        assert!(fits("DATE", Arc::new(Date32Array::from(vec![i32::MAX, -i32::MAX, 0]))));
        assert!(!fits("DATE", Arc::new(Date32Array::from(vec![i32::MIN]))));
        assert!(fits("TIMESTAMP", Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX, -i64::MAX, 0]))));
        assert!(!fits("TIMESTAMP", Arc::new(TimestampMicrosecondArray::from(vec![FIRST_MICRO - 1]))));
    }

    #[test]
    fn texts_that_would_come_back_otherwise_are_refused() {
        let texts = |texts: &[&str]| StringArray::from(texts.to_vec());
        assert_eq!(refused("BIGNUM", texts(&["0", "-5", "123456789012345678901234567890123456789012345"])), None);
        for wrong in ["007", "+1", "-0", "", "1.0", "-"] {
            assert_eq!(refused("BIGNUM", texts(&[wrong])), Some(0), "{wrong}");
        }
        assert_eq!(refused("BIT", texts(&["0101", "1"])), None);
        assert_eq!(refused("BIT", texts(&["1", ""])), Some(1));
        let right = ["12:30:00+05:30", "00:00:00-15:59:59", "23:59:59.999999+00"];
        assert_eq!(refused("TIME WITH TIME ZONE", texts(&right)), None);
        for wrong in ["12:30+00", "12:30:00", "12:30:00.10+00", "25:00:00+00", "12:30:00+16", "12:30:00.+00", "x+00"] {
            assert_eq!(refused("TIME WITH TIME ZONE", texts(&[wrong])), Some(0), "{wrong}");
        }
        assert_eq!(refused("ENUM('a', 'b')", texts(&["a", "c"])), Some(1));
    }

    #[test]
    fn numbers_beyond_128_bits_are_refused() {
        let of = |value| arrow::array::Decimal256Array::from(vec![value]).with_precision_and_scale(39, 0).unwrap();
        let most = i256::from_i128(i128::MAX);
        assert_eq!(refused("HUGEINT", of(most)), None);
        assert_eq!(refused("HUGEINT", of(most + i256::ONE)), Some(0));
        assert_eq!(refused("UHUGEINT", of(i256::from_parts(u128::MAX, 0))), None);
        assert_eq!(refused("UHUGEINT", of(i256::MINUS_ONE)), Some(0));
    }
}
