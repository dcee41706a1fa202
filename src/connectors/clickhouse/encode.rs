//! Arrow columns as ClickHouse takes them. It clamps, cuts and wraps without a word what does not fit a type (a moment beyond its
//! calendar, the digits of a second, a NULL in place of an array): such values are refused here.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, BinaryArray, Int32Array, StringArray, UInt32Array};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Field, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};

use super::decode::vast;
use super::typemap::{Kind, Type, digits_of, fields, unit_of};
use crate::formats::exchange::{self, Fit, Misfit, bytes};

/// Days of Date32: 1900-01-01 to 2299-12-31.
const DAYS: std::ops::RangeInclusive<i32> = -25_567..=120_529;
/// Seconds of `DateTime64`: the same years.
const SECONDS: std::ops::Range<i64> = -2_208_988_800..10_413_792_000;

/// `array`, of the type of `declared`, for ClickHouse.
pub(super) fn encode(declared: &Type, array: &ArrayRef) -> Fit {
    if !declared.nullable
        && array.null_count() > 0
        && let Some(row) = (0..array.len()).find(|row| array.is_null(*row))
    {
        return Err(Misfit::of_value(row, format!("{} takes no NULL", declared.sql())));
    }
    match &declared.kind {
        Kind::Huge { signed } => exchange::huge_bytes(array, *signed, wrong),
        Kind::Vast { signed } => vast_numbers(array, *signed),
        Kind::Date => kept::<Date32Type>(array, |day| u16::try_from(day).is_ok()),
        Kind::Date32 => kept::<Date32Type>(array, |day| DAYS.contains(&day)),
        Kind::DateTime(_) => kept::<TimestampSecondType>(array, |at| u32::try_from(at).is_ok()),
        Kind::DateTime64(digits, _) | Kind::Wall(digits) => moments(array, *digits),
        Kind::Time => {
            let times = kept::<Time32SecondType>(array, |time| (0..86_400).contains(&time))?;
            let seconds: Int32Array = times.as_primitive::<Time32SecondType>().reinterpret_cast();
            Ok(Arc::new(seconds))
        }
        Kind::Time64(digits) => times(array, *digits),
        Kind::Enum(_, names) => {
            let known = |text: &str| names.iter().any(|(name, _)| name == text);
            exchange::kept_texts(array, known, "is none of the names of the type", wrong)
        }
        Kind::Ipv4 => addresses_of_four(array),
        Kind::Ipv6 => addresses_of_six(array),
        Kind::Array(_) | Kind::Map(_) | Kind::Tuple(_) => nested(&declared.kind, array),
        _ => Ok(Arc::clone(array)),
    }
}

/// How a column of `declared` is called on the way in.
pub(super) fn field(declared: &Type, name: &str) -> Field {
    Field::new(name, data_type(&declared.kind), true)
}

fn data_type(kind: &Kind) -> DataType {
    match kind {
        Kind::Huge { .. } => DataType::FixedSizeBinary(16),
        Kind::Vast { .. } => DataType::FixedSizeBinary(32),
        Kind::Time => DataType::Int32,
        Kind::Ipv4 => DataType::UInt32,
        Kind::Ipv6 => DataType::FixedSizeBinary(16),
        Kind::Array(item) => DataType::List(Arc::new(inner(item, Field::LIST_FIELD_DEFAULT_NAME))),
        Kind::Map(both) => {
            let entries = vec![inner(&both.0, "key").with_nullable(false), inner(&both.1, "value")];
            DataType::Map(Arc::new(Field::new_struct("entries", entries, false)), false)
        }
        Kind::Tuple(members) => DataType::Struct(fields(members, &inner)),
        // The zone is that of the column, whatever stands here.
        other => other.data_type(),
    }
}

/// The same within a nested type, where no mark tells bytes from text: a String takes both as bytes.
fn inner(declared: &Type, name: &str) -> Field {
    let field = field(declared, name);
    if matches!(declared.kind, Kind::Text) { field.with_data_type(DataType::Binary) } else { field }
}

fn wrong(array: &ArrayRef) -> Misfit {
    Misfit::of_column(format!("{} came here, which was not agreed on", array.data_type()))
}

/// Values that all are `fit`; the others stay out.
fn kept<T: ArrowPrimitiveType>(array: &ArrayRef, fit: impl Fn(T::Native) -> bool) -> Fit {
    exchange::kept::<T>(array, fit, "ClickHouse has no such value: it would become another one", wrong)
}

fn moments(array: &ArrayRef, digits: u8) -> Fit {
    let unit = unit_of(digits);
    let (each, step) = steps(unit, digits);
    let fit = |at: i64| SECONDS.contains(&at.div_euclid(each)) && at % step == 0;
    match unit {
        TimeUnit::Second => kept::<TimestampSecondType>(array, fit),
        TimeUnit::Millisecond => kept::<TimestampMillisecondType>(array, fit),
        TimeUnit::Microsecond => kept::<TimestampMicrosecondType>(array, fit),
        TimeUnit::Nanosecond => kept::<TimestampNanosecondType>(array, fit),
    }
}

fn times(array: &ArrayRef, digits: u8) -> Fit {
    let unit = unit_of(digits);
    let (each, step) = steps(unit, digits);
    let fit = |time: i64| (0..86_400 * each).contains(&time) && time % step == 0;
    match unit {
        TimeUnit::Second => kept::<Time32SecondType>(array, |time| fit(i64::from(time))),
        TimeUnit::Millisecond => kept::<Time32MillisecondType>(array, |time| fit(i64::from(time))),
        TimeUnit::Microsecond => kept::<Time64MicrosecondType>(array, fit),
        TimeUnit::Nanosecond => kept::<Time64NanosecondType>(array, fit),
    }
}

/// How many of `unit` make a second, and how many of them the last of `digits` places is worth.
fn steps(unit: TimeUnit, digits: u8) -> (i64, i64) {
    let places = digits_of(unit);
    (10_i64.pow(u32::from(places)), 10_i64.pow(u32::from(places.saturating_sub(digits))))
}

fn strings(array: &ArrayRef) -> Result<&StringArray, Misfit> {
    array.as_string_opt::<i32>().ok_or_else(|| wrong(array))
}

fn vast_numbers(array: &ArrayRef, signed: bool) -> Fit {
    let texts = strings(array)?;
    bytes::<32>(array, "the text is no whole number of 256 bits as ClickHouse prints it", |row| {
        vast::bytes(texts.value(row), signed)
    })
}

const NO_ADDRESS: &str = "the text is no address as it is usually printed";

fn addresses_of_four(array: &ArrayRef) -> Fit {
    let texts = strings(array)?;
    let mut values = Vec::with_capacity(texts.len());
    for row in 0..texts.len() {
        let address = texts.is_valid(row).then(|| texts.value(row).parse::<Ipv4Addr>()).transpose();
        values.push(address.map_err(|_| Misfit::of_value(row, NO_ADDRESS))?.map(u32::from));
    }
    Ok(Arc::new(UInt32Array::from(values)))
}

/// Other spellings of an address would come back as this one.
fn addresses_of_six(array: &ArrayRef) -> Fit {
    let texts = strings(array)?;
    bytes::<16>(array, NO_ADDRESS, |row| {
        let text = texts.value(row);
        let address: Ipv6Addr = text.parse().ok()?;
        (address.to_string() == text).then(|| address.octets())
    })
}

/// The inner values, under the names by which ClickHouse knows them.
fn nested(kind: &Kind, array: &ArrayRef) -> Fit {
    let child = |place, column: &ArrayRef| -> Fit {
        let member = kind.child(place).ok_or_else(|| wrong(column))?;
        let column = encode(member, column)?;
        match column.as_string_opt::<i32>() {
            Some(texts) if matches!(member.kind, Kind::Text) => {
                Ok(Arc::new(BinaryArray::from(texts.clone())) as ArrayRef)
            }
            _ => Ok(column),
        }
    };
    exchange::nested(array, &data_type(kind), child, wrong)
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Date32Array, ListArray, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
        TimestampSecondArray,
    };
    use arrow::datatypes::i256;

    use super::*;

    fn refused(declared: &str, array: impl Array + 'static) -> Option<usize> {
        encode(&Type::parse(declared).unwrap(), &(Arc::new(array) as ArrayRef)).err().and_then(|misfit| misfit.row)
    }

    #[test]
    fn what_clickhouse_would_clamp_is_refused() {
        assert_eq!(refused("Nullable(Date)", Date32Array::from(vec![Some(0), None, Some(65_536)])), Some(2));
        assert_eq!(refused("Date", Date32Array::from(vec![-1])), Some(0));
        assert_eq!(refused("Date32", Date32Array::from(vec![-25_567, 120_529])), None);
        assert_eq!(refused("Date32", Date32Array::from(vec![0, -25_568])), Some(1));
        assert_eq!(refused("Date32", Date32Array::from(vec![120_530])), Some(0));
        assert_eq!(refused("DateTime", TimestampSecondArray::from(vec![0, i64::from(u32::MAX)])), None);
        assert_eq!(refused("DateTime", TimestampSecondArray::from(vec![0, 1 << 32])), Some(1));
        let (first, last) = (-2_208_988_800_000_000, 10_413_791_999_999_999);
        assert_eq!(refused("DateTime64(6)", TimestampMicrosecondArray::from(vec![first, last])), None);
        assert_eq!(refused("DateTime64(6)", TimestampMicrosecondArray::from(vec![first - 1])), Some(0));
        assert_eq!(refused("DateTime64(6)", TimestampMicrosecondArray::from(vec![last + 1])), Some(0));
    }

    #[test]
    fn digits_that_clickhouse_would_cut_are_refused() {
        assert_eq!(refused("DateTime64(1)", TimestampMillisecondArray::from(vec![500, -100])), None);
        assert_eq!(refused("DateTime64(1)", TimestampMillisecondArray::from(vec![500, 550])), Some(1));
        assert_eq!(refused("Time64(6)", Time64MicrosecondArray::from(vec![0, 86_399_999_999])), None);
        assert_eq!(refused("Time64(5)", Time64MicrosecondArray::from(vec![10, 11])), Some(1));
    }

    #[test]
    fn a_null_is_not_taken_for_an_empty_array() {
        let lists = |valid: bool, item: Option<i32>| {
            let item: ArrayRef = Arc::new(Int32Array::from(vec![item]));
            let nulls = arrow::buffer::NullBuffer::from(vec![valid]);
            let field = Arc::new(Field::new_list_field(DataType::Int32, true));
            ListArray::new(field, arrow::buffer::OffsetBuffer::from_lengths([1]), item, Some(nulls))
        };
        assert_eq!(refused("Array(Nullable(Int32))", lists(true, None)), None);
        assert_eq!(refused("Array(Nullable(Int32))", lists(false, Some(1))), Some(0));
        assert_eq!(refused("Array(Int32)", lists(true, None)), Some(0));
    }

    /// A String within a tuple has no mark, whatever it holds.
    #[test]
    fn texts_and_bytes_are_taken_within_nested_types() {
        let declared = Type::parse("Tuple(`a` String, `b` String)").unwrap();
        let fields = [("a", DataType::Utf8), ("b", DataType::Binary)];
        let fields: Vec<Field> = fields.into_iter().map(|(name, kind)| Field::new(name, kind, false)).collect();
        let columns: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from(vec!["x"])), Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..]]))];
        let came = arrow::array::StructArray::try_new(fields.into(), columns, None).unwrap();
        let taken = encode(&declared, &(Arc::new(came) as ArrayRef)).unwrap();
        assert_eq!(taken.data_type(), field(&declared, "t").data_type());
        let taken = taken.as_struct().columns().iter().map(|column| column.as_binary::<i32>().value(0).to_vec());
        assert_eq!(taken.collect::<Vec<_>>(), [b"x".to_vec(), b"\x00\xff".to_vec()]);
    }

    #[test]
    fn texts_that_would_come_back_otherwise_are_refused() {
        let texts = |texts: &[&str]| StringArray::from(texts.to_vec());
        assert_eq!(refused("Enum8('a' = 1)", texts(&["a", "b"])), Some(1));
        assert_eq!(refused("IPv6", texts(&["::1", "2001:db8::ff"])), None);
        assert_eq!(refused("IPv6", texts(&["::1", "2001:DB8::FF"])), Some(1));
        assert_eq!(refused("IPv4", texts(&["1.2.3.4", "1.2.3"])), Some(1));
        assert_eq!(refused("UInt256", texts(&["0", "-1"])), Some(1));
    }

    #[test]
    fn numbers_beyond_128_bits_are_refused() {
        let of =
            |value: i256| arrow::array::Decimal256Array::from(vec![value]).with_precision_and_scale(39, 0).unwrap();
        let most = i256::from_i128(i128::MAX);
        assert_eq!(refused("Int128", of(most)), None);
        assert_eq!(refused("Int128", of(most + i256::ONE)), Some(0));
        assert_eq!(refused("UInt128", of(i256::from_parts(u128::MAX, 0))), None);
        assert_eq!(refused("UInt128", of(i256::MINUS_ONE)), Some(0));
    }
}
