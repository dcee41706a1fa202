//! Columns as ClickHouse hands them out in Arrow's stream, as the Arrow types of `typemap`.
//!
//! What it makes of a type has changed from version to version (a Date as 16 bits, an Enum as its number): each shape that is known
//! is taken for what it is, any other one is an error.

use std::fmt::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, BinaryArray, BooleanArray, Date32Array, FixedSizeBinaryArray, PrimitiveArray,
    StringArray, StringBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Field, Int8Type, Int16Type, Int32Type, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type,
};

use super::typemap::{Kind, Type, digits_of, unit_of};
use crate::formats::exchange::{self, Fit, Misfit};
use crate::formats::parting::{hex, printed};
use crate::formats::value::time::print_time;

pub(super) mod vast;

/// What is said of a time that no clock shows, and of bytes that are no text.
const NO_TIME_OF_DAY: &str = "a negative time, or one of 24 hours or more, has no place in an Arrow time of day";
const NO_TEXT: &str = "the String holds bytes that are no UTF-8";

/// `array`, which ClickHouse gave for `kind`, in the type of the kind.
pub(super) fn decode(declared: &Type, array: &ArrayRef) -> Fit {
    if let DataType::Dictionary(_, values) = array.data_type() {
        let plain = cast(array, values).map_err(|_| unexpected(array))?;
        return decode(declared, &plain);
    }
    let decoded = of_kind(&declared.kind, array)?;
    if !declared.nullable && decoded.null_count() > 0 {
        // A sign of a misunderstanding.
        return Err(Misfit::of_column("the server gave NULL for a type that has none"));
    }
    Ok(decoded)
}

/// What is told of the value of `kind` in `row`, which has no place in Arrow.
pub(super) fn text_of(kind: &Kind, array: &ArrayRef, row: usize) -> Option<String> {
    let time = |value: i64, unit| {
        let mut text = Vec::new();
        print_time(value, unit, &mut text);
        String::from_utf8(text).ok()
    };
    match kind {
        Kind::Text | Kind::Json | Kind::JsonText => Some(hex(bytes(array).ok()?.value(row))),
        Kind::Time => time(array.as_primitive_opt::<Int32Type>()?.value(row).into(), TimeUnit::Second),
        Kind::Time64(digits) => {
            let unit = unit_of(*digits);
            let step = 10_i128.pow(u32::from(digits_of(unit) - digits));
            let ticks = array.as_primitive_opt::<Decimal128Type>()?.value(row).checked_mul(step)?;
            time(i64::try_from(ticks).ok()?, unit)
        }
        _ => printed(array.as_ref(), &Field::new("", array.data_type().clone(), true), row),
    }
}

fn of_kind(kind: &Kind, array: &ArrayRef) -> Fit {
    match kind {
        Kind::Boolean => match array.as_primitive_opt::<UInt8Type>() {
            Some(bytes) => Ok(Arc::new(BooleanArray::from_unary(bytes, |byte| byte != 0))),
            None => same(kind, array),
        },
        Kind::Huge { signed } => Ok(exchange::huge_decimals(&fixed(array, 16)?, *signed)),
        Kind::Vast { signed } => vast(array, *signed),
        Kind::Decimal { .. } | Kind::DateTime64(..) | Kind::Wall(_) => retyped(kind, array),
        Kind::Text | Kind::Json | Kind::JsonText => text(array),
        Kind::Bytes => Ok(Arc::new(bytes(array)?)),
        Kind::Fixed(width) => Ok(Arc::new(fixed(array, *width)?)),
        Kind::Uuid => Ok(Arc::new(fixed(array, 16)?)),
        Kind::Date | Kind::Date32 => match array.as_primitive_opt::<UInt16Type>() {
            Some(days) => {
                let days: Date32Array = days.unary(i32::from);
                Ok(Arc::new(days))
            }
            None => same(kind, array),
        },
        Kind::DateTime(_) => match array.as_primitive_opt::<UInt32Type>() {
            Some(seconds) => {
                let seconds: PrimitiveArray<TimestampSecondType> = seconds.unary(i64::from);
                Ok(Arc::new(seconds.with_timezone("UTC")))
            }
            None => retyped(kind, array),
        },
        Kind::Time if array.data_type() == &DataType::Int32 => {
            let of_day = |seconds| (0..86_400).contains(&seconds);
            retyped(kind, &exchange::kept::<Int32Type>(array, of_day, NO_TIME_OF_DAY, unexpected)?)
        }
        Kind::Time => retyped(kind, array),
        Kind::Time64(digits) => match array.data_type() {
            DataType::Decimal128(_, scale) if i16::from(*scale) == i16::from(*digits) => clock(array, *digits),
            _ => retyped(kind, array),
        },
        Kind::Duration(_) => retyped(kind, array),
        Kind::Enum(_, names) => labels(array, names),
        Kind::Ipv4 => ipv4(array),
        Kind::Ipv6 => ipv6(array),
        Kind::Array(_) | Kind::Map(_) | Kind::Tuple(_) => nested(kind, array),
        Kind::Integer { .. } | Kind::Float | Kind::Double => same(kind, array),
    }
}

fn unexpected(array: &ArrayRef) -> Misfit {
    Misfit::of_column(format!("ClickHouse gave {} here, which was not expected", array.data_type()))
}

fn same(kind: &Kind, array: &ArrayRef) -> Fit {
    if *array.data_type() == kind.data_type() { Ok(Arc::clone(array)) } else { Err(unexpected(array)) }
}

/// The same numbers under another name of their type: another zone, digits of a decimal, an integer that counts time.
fn retyped(kind: &Kind, array: &ArrayRef) -> Fit {
    use DataType as T;
    let wanted = kind.data_type();
    let same_numbers = match (array.data_type(), &wanted) {
        (given, wanted) if given == wanted => return Ok(Arc::clone(array)),
        (T::Timestamp(given, _), T::Timestamp(wanted, _)) => given == wanted,
        (T::Decimal128(_, given), T::Decimal128(_, wanted)) | (T::Decimal256(_, given), T::Decimal256(_, wanted)) => {
            given == wanted
        }
        (T::Int64, T::Duration(_)) => true,
        (T::Int32, T::Time32(TimeUnit::Second)) => *kind == Kind::Time,
        _ => false,
    };
    if !same_numbers {
        return Err(unexpected(array));
    }
    let data = array.to_data().into_builder().data_type(wanted).build().map_err(|_| unexpected(array))?;
    Ok(arrow::array::make_array(data))
}

/// Times of day as numbers, whose unit is the last of `digits` places of a second.
fn clock(array: &ArrayRef, digits: u8) -> Fit {
    let day = 86_400 * 10_i128.pow(u32::from(digits));
    let ticks = exchange::kept::<Decimal128Type>(array, |tick| (0..day).contains(&tick), NO_TIME_OF_DAY, unexpected)?;
    let ticks = ticks.as_primitive::<Decimal128Type>();
    let unit = unit_of(digits);
    let step = 10_i64.pow(u32::from(digits_of(unit) - digits));
    // What stands in the place of a NULL may be any number.
    let time = |tick: i128| (tick as i64).wrapping_mul(step);
    let times: ArrayRef = match unit {
        TimeUnit::Second => Arc::new(ticks.unary::<_, Time32SecondType>(|tick| time(tick) as i32)),
        TimeUnit::Millisecond => Arc::new(ticks.unary::<_, Time32MillisecondType>(|tick| time(tick) as i32)),
        TimeUnit::Microsecond => Arc::new(ticks.unary::<_, Time64MicrosecondType>(time)),
        TimeUnit::Nanosecond => Arc::new(ticks.unary::<_, Time64NanosecondType>(time)),
    };
    Ok(times)
}

/// Texts, each of which is UTF-8.
fn text(array: &ArrayRef) -> Fit {
    if array.data_type() == &DataType::Utf8 {
        return Ok(Arc::clone(array));
    }
    let bytes = bytes(array)?;
    if let Ok(texts) = StringArray::try_from_binary(bytes.clone()) {
        return Ok(Arc::new(texts));
    }
    // The bytes may be those of rows that a slice does not show.
    let mut builder = StringBuilder::with_capacity(bytes.len(), bytes.value_data().len());
    for (row, value) in bytes.iter().enumerate() {
        match value.map(simdutf8::basic::from_utf8) {
            None => builder.append_null(),
            Some(Ok(text)) => builder.append_value(text),
            Some(Err(_)) => {
                return Err(Misfit::of_value(row, NO_TEXT));
            }
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn bytes(array: &ArrayRef) -> Result<BinaryArray, Misfit> {
    match array.data_type() {
        DataType::Binary => Ok(array.as_binary::<i32>().clone()),
        DataType::Utf8 | DataType::LargeBinary | DataType::LargeUtf8 => {
            let plain = cast(array, &DataType::Binary).map_err(|_| unexpected(array))?;
            Ok(plain.as_binary::<i32>().clone())
        }
        _ => Err(unexpected(array)),
    }
}

fn fixed(array: &ArrayRef, width: i32) -> Result<FixedSizeBinaryArray, Misfit> {
    if let Some(fixed) = array.as_fixed_size_binary_opt().filter(|fixed| fixed.value_length() == width) {
        return Ok(fixed.clone());
    }
    let plain = bytes(array)?;
    let cast = cast(&plain, &DataType::FixedSizeBinary(width)).map_err(|_| unexpected(array))?;
    // A cast makes NULL of what has another width.
    if cast.null_count() == plain.null_count() {
        Ok(cast.as_fixed_size_binary().clone())
    } else {
        Err(unexpected(array))
    }
}

/// 32 bytes each, the lowest first, as their digits.
fn vast(array: &ArrayRef, signed: bool) -> Fit {
    let bytes = fixed(array, 32)?;
    Ok(texts(&bytes, |row, out| {
        let mut value = [0; 32];
        value.copy_from_slice(bytes.value(row));
        vast::print(value, signed, out)
    }))
}

/// The texts that `print` makes of the rows of `array`; NULL is one.
fn texts(array: &dyn Array, print: impl Fn(usize, &mut StringBuilder) -> fmt::Result) -> ArrayRef {
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 16);
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_null();
            continue;
        }
        print(row, &mut builder).expect("a builder takes every text");
        // The end of what was printed.
        builder.append_value("");
    }
    Arc::new(builder.finish())
}

/// The names of an Enum: itself, or the numbers that stand for them.
fn labels(array: &ArrayRef, names: &[(String, i16)]) -> Fit {
    let mut sorted: Vec<(i16, &str)> = names.iter().map(|(name, number)| (*number, name.as_str())).collect();
    sorted.sort_unstable();
    match array.data_type() {
        DataType::Int8 => named(array.as_primitive::<Int8Type>(), &sorted),
        DataType::Int16 => named(array.as_primitive::<Int16Type>(), &sorted),
        DataType::Utf8 | DataType::Binary => text(array),
        _ => Err(unexpected(array)),
    }
}

/// What `names`, in the order of their numbers, call `numbers`.
fn named<T: ArrowPrimitiveType<Native: Into<i16>>>(numbers: &PrimitiveArray<T>, names: &[(i16, &str)]) -> Fit {
    let mut builder = StringBuilder::with_capacity(numbers.len(), numbers.len() * 8);
    for (row, number) in numbers.iter().enumerate() {
        let Some(number) = number.map(Into::<i16>::into) else {
            builder.append_null();
            continue;
        };
        let Ok(place) = names.binary_search_by_key(&number, |(number, _)| *number) else {
            return Err(Misfit::of_value(row, "the number stands for none of the names of the type"));
        };
        builder.append_value(names[place].1);
    }
    Ok(Arc::new(builder.finish()))
}

fn ipv4(array: &ArrayRef) -> Fit {
    let Some(numbers) = array.as_primitive_opt::<UInt32Type>() else { return text(array) };
    Ok(texts(numbers, |row, out| write!(out, "{}", Ipv4Addr::from(numbers.value(row)))))
}

fn ipv6(array: &ArrayRef) -> Fit {
    let bytes = fixed(array, 16)?;
    Ok(texts(&bytes, |row, out| {
        let mut value = [0; 16];
        value.copy_from_slice(bytes.value(row));
        write!(out, "{}", Ipv6Addr::from(value))
    }))
}

fn nested(kind: &Kind, array: &ArrayRef) -> Fit {
    let child = |place, column: &ArrayRef| match kind.child(place) {
        Some(member) => decode(member, column),
        None => Err(unexpected(column)),
    };
    exchange::nested(array, &kind.data_type(), child, unexpected)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Int8Array, Int32Array, ListArray, UInt16Array, UInt32Array};
    use arrow::buffer::OffsetBuffer;

    use super::*;

    fn of(declared: &str, array: impl Array + 'static) -> Fit {
        decode(&Type::parse(declared).unwrap(), &(Arc::new(array) as ArrayRef))
    }

    fn shown(array: &ArrayRef) -> Vec<String> {
        let texts = cast(array, &DataType::Utf8).unwrap();
        texts.as_string::<i32>().iter().map(|text| text.unwrap_or("NULL").to_owned()).collect()
    }

    #[test]
    fn numbers_become_what_they_stand_for() {
        let names = "Nullable(Enum8('a' = -1, 'b' = 2))";
        assert_eq!(shown(&of(names, Int8Array::from(vec![Some(2), Some(-1), None])).unwrap()), ["b", "a", "NULL"]);
        assert_eq!(of(names, Int8Array::from(vec![2, 7])).unwrap_err().row, Some(1));
        assert_eq!(shown(&of("IPv4", UInt32Array::from(vec![0x0102_0304])).unwrap()), ["1.2.3.4"]);
        assert_eq!(shown(&of("Date", UInt16Array::from(vec![0, u16::MAX])).unwrap()), ["1970-01-01", "2149-06-06"]);
        let last = of("DateTime", UInt32Array::from(vec![u32::MAX])).unwrap();
        assert_eq!(last.as_primitive::<TimestampSecondType>().value(0), i64::from(u32::MAX));
    }

    #[test]
    fn bytes_that_are_no_text_are_told_by_row() {
        let bytes = BinaryArray::from(vec![Some(b"a\0b".as_slice()), None, Some(b"\xff")]);
        assert_eq!(of("Nullable(String)", bytes.clone()).unwrap_err().row, Some(2));
        assert!(of("Nullable(String)", bytes.slice(0, 2)).is_ok());
        assert_eq!(text_of(&Kind::Text, &(Arc::new(bytes.clone()) as ArrayRef), 2).unwrap(), r"\xff");
        let whole = decode(&Type::parse("Nullable(String)").unwrap().into_bytes(), &(Arc::new(bytes) as ArrayRef));
        assert_eq!(whole.unwrap().as_binary::<i32>().value(2), b"\xff");
    }

    #[test]
    fn times_beyond_a_day_are_told_by_row() {
        assert_eq!(
            of("Nullable(Time)", Int32Array::from(vec![Some(86_399), None, Some(86_400)])).unwrap_err().row,
            Some(2)
        );
        let ticks = |ticks: Vec<i128>| Decimal128Array::from(ticks).with_precision_and_scale(18, 1).unwrap();
        assert_eq!(of("Time64(1)", ticks(vec![0, -1])).unwrap_err().row, Some(1));
        let told = |kind, array: ArrayRef| text_of(&kind, &array, 0).unwrap();
        assert_eq!(told(Kind::Time64(1), Arc::new(ticks(vec![-935_995]))), "-25:59:59.5");
        assert_eq!(told(Kind::Time, Arc::new(Int32Array::from(vec![3_599_999]))), "999:59:59");
        let times = of("Time64(1)", ticks(vec![5, 863_999])).unwrap();
        assert_eq!(times.as_primitive::<Time32MillisecondType>().values()[..], [500, 86_399_900]);
        assert_eq!(shown(&of("Time", Int32Array::from(vec![0, 86_399])).unwrap()), ["00:00:00", "23:59:59"]);
    }

    #[test]
    fn what_is_not_expected_is_refused() {
        assert!(of("Int32", Int8Array::from(vec![1])).is_err());
        assert!(of("Int8", Int8Array::from(vec![None])).is_err());
        assert!(of("UUID", BinaryArray::from(vec![b"short".as_slice()])).is_err());
        assert!(
            of("Decimal(5, 2)", arrow::array::Decimal128Array::from(vec![1]).with_precision_and_scale(5, 3).unwrap())
                .is_err()
        );
    }

    #[test]
    fn rows_of_nested_values_are_those_of_the_list() {
        let item = Arc::new(Field::new_list_field(DataType::Binary, false));
        let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![b"a".as_slice(), b"b", b"\xff"]));
        let lists = ListArray::new(item, OffsetBuffer::from_lengths([1, 0, 2]), bytes, None);
        assert_eq!(of("Array(String)", lists).unwrap_err().row, Some(2));
    }

    #[test]
    fn huge_integers_keep_their_sign_and_all_bits() {
        let bytes = [i128::MIN, i128::MAX, -1].map(i128::to_le_bytes);
        let array = FixedSizeBinaryArray::try_from_iter(bytes.iter()).unwrap();
        assert_eq!(
            shown(&of("Int128", array.clone()).unwrap()),
            [i128::MIN.to_string(), i128::MAX.to_string(), "-1".to_owned()]
        );
        assert_eq!(shown(&of("UInt128", array).unwrap())[2], u128::MAX.to_string());
    }
}
