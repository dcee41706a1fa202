//! Arrow columns as DuckDB's bulk path takes them, where nothing checks values: what it would change, or take for
//! something else, is refused here.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, FixedSizeBinaryArray, FixedSizeListArray, ListArray, MapArray, PrimitiveArray,
    StructArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal256Type, Field, FieldRef, Fields, IntervalMonthDayNanoType,
    Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, i256,
};
use arrow::error::ArrowError;

use super::decode::{Fit, Misfit};
use super::typemap::Kind;
use super::zero;
use crate::schema::{EXTENSION, with_metadata};

/// Arrow's metadata of an extension type.
const EXTENSION_DETAIL: &str = "ARROW:extension:metadata";
/// Days and moments beyond these are DuckDB's infinities, or before its calendar. See its `Date` and `Timestamp`.
const LAST_DAY: i32 = i32::MAX - 1;
const FIRST_MICRO: i64 = -9_223_372_022_400_000_000;

/// `array`, of the type of `kind`, for DuckDB.
pub(super) fn encode(kind: &Kind, array: &ArrayRef) -> Fit {
    match kind {
        Kind::Huge { signed } => huge(array, *signed),
        Kind::Float | Kind::Double => Ok(zero::unsigned(array)),
        Kind::Date => kept::<Date32Type>(array, |day| (-LAST_DAY..=LAST_DAY).contains(&day)),
        Kind::Time(TimeUnit::Nanosecond) => kept::<Time64NanosecondType>(array, |time| (0..DAY_NANOS).contains(&time)),
        Kind::Time(_) => kept::<Time64MicrosecondType>(array, |time| (0..DAY_NANOS / 1000).contains(&time)),
        Kind::Timestamp(TimeUnit::Second) => kept::<TimestampSecondType>(array, |at| in_micros(at, 1_000_000)),
        Kind::Timestamp(TimeUnit::Millisecond) => kept::<TimestampMillisecondType>(array, |at| in_micros(at, 1000)),
        Kind::Timestamp(TimeUnit::Nanosecond) => {
            kept::<TimestampNanosecondType>(array, |at| (-i64::MAX + 1..i64::MAX).contains(&at))
        }
        Kind::Timestamp(TimeUnit::Microsecond) | Kind::Instant => {
            kept::<TimestampMicrosecondType>(array, |at| in_micros(at, 1))
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

fn wrong(array: &ArrayRef) -> Misfit {
    Misfit { row: 0, why: format!("{} came here, which was not agreed on", array.data_type()) }
}

/// Values that all are `fit`; the others stay out.
fn kept<T: ArrowPrimitiveType>(array: &ArrayRef, fit: impl Fn(T::Native) -> bool) -> Fit {
    let typed: &PrimitiveArray<T> = array.as_primitive_opt::<T>().ok_or_else(|| wrong(array))?;
    if typed.values().iter().all(|value| fit(*value)) {
        return Ok(Arc::clone(array));
    }
    match (0..typed.len()).find(|row| typed.is_valid(*row) && !fit(typed.value(*row))) {
        None => Ok(Arc::clone(array)),
        Some(row) => Err(Misfit { row, why: "DuckDB has no such value: it would become another one".to_owned() }),
    }
}

fn text(array: &ArrayRef, fit: impl Fn(&str) -> bool, why: &str) -> Fit {
    let texts = array.as_string_opt::<i32>().ok_or_else(|| wrong(array))?;
    match (0..texts.len()).find(|row| texts.is_valid(*row) && !fit(texts.value(*row))) {
        None => Ok(Arc::clone(array)),
        Some(row) => Err(Misfit { row, why: format!("the text {why}") }),
    }
}

fn huge(array: &ArrayRef, signed: bool) -> Fit {
    let values = array.as_primitive_opt::<Decimal256Type>().ok_or_else(|| wrong(array))?;
    let mut bytes = vec![0; values.len() * 16];
    for (row, place) in bytes.chunks_exact_mut(16).enumerate().filter(|(row, _)| values.is_valid(*row)) {
        let huge = value_of(values.value(row), signed);
        place
            .copy_from_slice(&huge.ok_or_else(|| Misfit { row, why: "the number has more than 128 bits".to_owned() })?);
    }
    let array = FixedSizeBinaryArray::try_new(16, bytes.into(), values.nulls().cloned());
    Ok(Arc::new(array.expect("every value has 16 bytes")))
}

fn value_of(value: i256, signed: bool) -> Option<[u8; 16]> {
    if signed {
        return value.to_i128().map(i128::to_le_bytes);
    }
    let (low, high) = value.to_parts();
    (high == 0).then(|| low.to_le_bytes())
}

/// The inner values, and the names and metadata by which DuckDB knows them.
fn nested(kind: &Kind, array: &ArrayRef) -> Fit {
    let of_row = |offsets: &[i32], misfit: Misfit| {
        let after = offsets.partition_point(|offset| usize::try_from(*offset).is_ok_and(|at| at <= misfit.row));
        Misfit { row: after.saturating_sub(1), ..misfit }
    };
    match (kind, data_type(kind)) {
        (Kind::List(item), DataType::List(field)) => {
            let lists = array.as_list_opt::<i32>().ok_or_else(|| wrong(array))?;
            let values = encode(item, lists.values()).map_err(|misfit| of_row(lists.offsets(), misfit))?;
            made(ListArray::try_new(field, lists.offsets().clone(), values, lists.nulls().cloned()), array)
        }
        (Kind::Array(item, count), DataType::FixedSizeList(field, _)) => {
            let lists = array.as_fixed_size_list_opt().ok_or_else(|| wrong(array))?;
            let width = usize::try_from(*count).unwrap_or(1).max(1);
            let row = |misfit: Misfit| Misfit { row: misfit.row / width, ..misfit };
            let values = encode(item, lists.values()).map_err(row)?;
            made(FixedSizeListArray::try_new(field, *count, values, lists.nulls().cloned()), array)
        }
        (Kind::Struct(members), DataType::Struct(fields)) => {
            let structs = array.as_struct_opt().ok_or_else(|| wrong(array))?;
            let columns = members.iter().zip(structs.columns()).map(|((_, kind), column)| encode(kind, column));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            made(StructArray::try_new(fields, columns, structs.nulls().cloned()), array)
        }
        (Kind::Map(both), DataType::Map(field, _)) => {
            let maps = array.as_map_opt().ok_or_else(|| wrong(array))?;
            let of =
                |kind: &Kind, column: &ArrayRef| encode(kind, column).map_err(|misfit| of_row(maps.offsets(), misfit));
            let columns = vec![of(&both.0, maps.keys())?, of(&both.1, maps.values())?];
            let DataType::Struct(fields) = field.data_type() else { return Err(wrong(array)) };
            let entries = StructArray::try_new(fields.clone(), columns, None).map_err(|_| wrong(array))?;
            made(MapArray::try_new(field, maps.offsets().clone(), entries, maps.nulls().cloned(), false), array)
        }
        _ => Err(wrong(array)),
    }
}

fn made<A: Array + 'static>(made: Result<A, ArrowError>, array: &ArrayRef) -> Fit {
    made.map(|made| Arc::new(made) as ArrayRef).map_err(|_| wrong(array))
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
    use arrow::array::{Date32Array, IntervalMonthDayNanoArray, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::IntervalMonthDayNano;

    use super::*;

    fn refused(kind: &str, array: impl Array + 'static) -> Option<usize> {
        encode(&Kind::parse(kind).unwrap(), &(Arc::new(array) as ArrayRef)).err().map(|misfit| misfit.row)
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
