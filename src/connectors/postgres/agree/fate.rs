//! What happens to the values on their way from an Arrow type into a type of the target.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, IntervalUnit, TimeUnit};

use super::super::encode::{Check, Layout};
use super::super::target::Resolved;
use crate::schema;
use crate::sink::ColumnFate;

const VARCHAR: u32 = 1043;
const BPCHAR: u32 = 1042;
const NAME: u32 = 19;
const TEXT: u32 = 25;
const NUMERIC: u32 = 1700;
const TIME: u32 = 1083;
const TIMETZ: u32 = 1266;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;
const INTERVAL: u32 = 1186;
const JSONB: u32 = 3802;

/// Bytes that a `name` keeps.
const NAME_BYTES: u32 = 63;

/// The modifier of the type `oid` that stands in parentheses in its name, packed as the catalog has it.
pub(super) fn modifier(oid: u32, name: &str) -> Option<i32> {
    let inner = name.split_once('(')?.1.split_once(')')?.0;
    let numbers: Option<Vec<i32>> = inner.split(',').map(|number| number.trim().parse().ok()).collect();
    match (oid, numbers?.as_slice()) {
        (NUMERIC, [precision]) => Some((precision << 16) + 4),
        (NUMERIC, [precision, scale]) => Some(((precision << 16) | (scale & 0x7ff)) + 4),
        (VARCHAR | BPCHAR, [length]) => Some(length + 4),
        (TIME | TIMETZ | TIMESTAMP | TIMESTAMPTZ, [digits]) => Some(*digits),
        _ => None,
    }
}

/// Precision and scale in a modifier of numeric.
fn precision(modifier: i32) -> Option<(i32, i32)> {
    let packed = modifier.checked_sub(4).filter(|packed| *packed >= 0)?;
    Some((packed >> 16, ((packed & 0x7ff) ^ 1024) - 1024))
}

/// What must be looked at in values of the type named `from` (none: any value) before the server rounds or cuts them.
pub(super) fn check(place: &Resolved, from: Option<&str>) -> Check {
    if place.scalar == NAME {
        return if from == Some("name") { Check::None } else { Check::Bytes(NAME_BYTES) };
    }
    if place.modifier < 0 {
        return Check::None;
    }
    let given = from.and_then(|name| modifier(place.scalar, name));
    match place.scalar {
        NUMERIC => match (precision(place.modifier), given.and_then(precision)) {
            (Some((_, scale)), Some((_, given))) if given <= scale => Check::None,
            (Some((_, scale)), _) => Check::Fraction(scale),
            (None, _) => Check::None,
        },
        VARCHAR if given.is_some_and(|given| given <= place.modifier) => Check::None,
        VARCHAR => Check::Characters((place.modifier - 4).max(0) as u32),
        TIME | TIMETZ | TIMESTAMP | TIMESTAMPTZ if given.is_some_and(|given| given <= place.modifier) => Check::None,
        TIME | TIMETZ | TIMESTAMP | TIMESTAMPTZ => match place.modifier {
            0..=5 => Check::Micros(10_i64.pow(6 - place.modifier as u32)),
            _ => Check::None,
        },
        INTERVAL => interval(place.modifier),
        _ => Check::None,
    }
}

/// The fields that an interval with this modifier keeps: a mask of fields above, digits of the second below.
fn interval(modifier: i32) -> Check {
    const MONTH: i32 = 1 << 1;
    const YEAR: i32 = 1 << 2;
    const DAY: i32 = 1 << 3;
    const HOUR: i32 = 1 << 10;
    const MINUTE: i32 = 1 << 11;
    const SECOND: i32 = 1 << 12;
    let (fields, digits) = ((modifier >> 16) & 0x7fff, modifier & 0xffff);
    let second = if digits < 6 { 10_i64.pow(6 - digits as u32) } else { 1 };
    let (months, days, micros) = match fields {
        0x7fff => (1, true, second),
        _ if fields & SECOND != 0 => (1, true, second),
        _ if fields & MINUTE != 0 => (1, true, 60_000_000),
        _ if fields & HOUR != 0 => (1, true, 3_600_000_000),
        _ if fields & DAY != 0 => (1, true, 0),
        _ if fields & MONTH != 0 => (1, false, 0),
        _ if fields & YEAR != 0 => (12, false, 0),
        _ => (1, true, second),
    };
    if (months, days, micros) == (1, true, 1) { Check::None } else { Check::Interval { months, days, micros } }
}

/// The Arrow type that the encoder takes for `place`, as near to `from` as it goes; none when there is no way.
pub(super) fn arrow_for(place: &Resolved, from: &DataType) -> Option<DataType> {
    if let DataType::Dictionary(_, value) = from {
        return arrow_for(place, value);
    }
    if let DataType::RunEndEncoded(_, values) = from {
        return arrow_for(place, values.data_type());
    }
    let text = is_text(from);
    let nested = matches!(from, DataType::Struct(_) | DataType::Map(..) | DataType::Union(..)) || is_list(from);
    Some(match &place.layout {
        Layout::Array { element, .. } if is_list(from) => {
            let item = item_of(from)?;
            // Lists of lists are the further dimensions of one array.
            let inner = if is_list(item.data_type()) {
                arrow_for(place, item.data_type())?
            } else {
                let scalar = Resolved { oid: place.scalar, layout: (**element).clone(), ..place.clone() };
                arrow_for(&scalar, item.data_type())?
            };
            DataType::List(Arc::new(Field::new("item", inner, true)))
        }
        Layout::Array { .. } if text => from.clone(),
        Layout::Array { .. } => return None,
        _ if nested => return None,
        Layout::Bool => DataType::Boolean,
        Layout::Int2 => DataType::Int16,
        Layout::Int4 => DataType::Int32,
        Layout::Int8 => DataType::Int64,
        Layout::Oid => DataType::UInt32,
        Layout::Float4 => DataType::Float32,
        Layout::Float8 => DataType::Float64,
        Layout::Numeric => numeric(place.modifier, from)?,
        Layout::Text | Layout::Jsonb | Layout::Other | Layout::Uuid if text => from.clone(),
        Layout::Text | Layout::Jsonb | Layout::Other => DataType::Utf8,
        Layout::Bytea => match from {
            DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => from.clone(),
            _ => DataType::Binary,
        },
        Layout::Uuid => DataType::FixedSizeBinary(16),
        Layout::Date => DataType::Date32,
        Layout::Time => DataType::Time64(TimeUnit::Microsecond),
        Layout::Timestamp if place.scalar == TIMESTAMPTZ => match from {
            DataType::Timestamp(_, Some(zone)) => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(zone))),
            _ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        },
        Layout::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        Layout::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
    })
}

/// What the encoder takes for a numeric: with bounds a decimal of these bounds, else the number as it comes.
fn numeric(modifier: i32, from: &DataType) -> Option<DataType> {
    if let Some((digits, scale)) = precision(modifier)
        && scale >= 0
        && digits >= scale
        && digits <= i32::from(DECIMAL256_MAX_PRECISION)
    {
        let (digits, scale) = (digits as u8, scale as i8);
        let small = digits <= DECIMAL128_MAX_PRECISION;
        return Some(if small { DataType::Decimal128(digits, scale) } else { DataType::Decimal256(digits, scale) });
    }
    Some(match from {
        DataType::Decimal32(digits, scale) | DataType::Decimal64(digits, scale) => {
            DataType::Decimal128(*digits, *scale)
        }
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => {
            DataType::Int64
        }
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Decimal128(..)
        | DataType::Decimal256(..)
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Null => from.clone(),
        _ if is_text(from) => from.clone(),
        _ => return None,
    })
}

/// Fate of values of `from` that the engine casts to `to` for `place`, and a note where it is not plain.
pub(super) fn of(from: &Field, to: &DataType, place: &Resolved, check: Check) -> (ColumnFate, Option<String>) {
    let note = |text: &str| Some(text.to_owned());
    let text_target = matches!(place.scalar, TEXT | VARCHAR | BPCHAR | NAME);
    let data_type = value_type(from.data_type());
    if text_target && !is_text(data_type) && !is_list(data_type) && *data_type != DataType::Null {
        return (ColumnFate::Stringified, None);
    }
    if text_target && schema::native_of(from, super::super::typemap::PRODUCT).is_some_and(|native| !textual(native)) {
        return (ColumnFate::Stringified, None);
    }
    if check != Check::None {
        return (ColumnFate::Lossy, note("a value that does not fit the type is refused"));
    }
    if is_text(data_type) && !text_target {
        return match place.layout {
            Layout::Text if schema::is_json(from) => (ColumnFate::Exact, None),
            Layout::Jsonb if schema::native_of(from, super::super::typemap::PRODUCT) == Some("jsonb") => {
                (ColumnFate::Exact, None)
            }
            _ if place.scalar == JSONB && schema::is_json(from) => {
                (ColumnFate::Lossy, note("jsonb keeps neither blanks nor the order of keys nor doubled keys"))
            }
            _ => (ColumnFate::Lossy, note("read from text; what does not parse is refused")),
        };
    }
    (movement(data_type, to), None)
}

/// Whether a type of PostgreSQL is text by nature.
fn textual(native: &str) -> bool {
    let plain = native.split('(').next().unwrap_or(native).trim_end_matches("[]");
    ["text", "character varying", "character", "name", "\"char\"", "bpchar"].contains(&plain)
}

/// What a cast between two Arrow types does to values.
fn movement(from: &DataType, to: &DataType) -> ColumnFate {
    use DataType as T;
    if from == to || *from == T::Null {
        return ColumnFate::Exact;
    }
    let widened = match (from, to) {
        (T::List(from) | T::LargeList(from) | T::FixedSizeList(from, _), T::List(to)) => {
            return movement(from.data_type(), to.data_type());
        }
        (T::Utf8 | T::LargeUtf8 | T::Utf8View, T::Utf8 | T::LargeUtf8 | T::Utf8View)
        | (
            T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_),
            T::Binary | T::LargeBinary | T::BinaryView,
        ) => return ColumnFate::Exact,
        (T::Float16, T::Float32 | T::Float64)
        | (T::Float32, T::Float64)
        | (T::Date32 | T::Date64, T::Timestamp(..))
        | (T::Time32(_), T::Time64(_))
        | (T::Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime), T::Interval(_)) => true,
        (T::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, from), T::Timestamp(_, to)) => from == to,
        (_, T::Float64) => digits(from).is_some_and(|(whole, fraction)| whole <= 15 && fraction == 0),
        (_, T::Float32) => digits(from).is_some_and(|(whole, fraction)| whole <= 6 && fraction == 0),
        _ => match (digits(from), room(to)) {
            (Some(from), Some(to)) => from.0 <= to.0 && from.1 <= to.1,
            _ => false,
        },
    };
    if widened { ColumnFate::Widened } else { ColumnFate::Lossy }
}

/// Digits before and after the point that values of a type may have.
fn digits(data_type: &DataType) -> Option<(i32, i32)> {
    use DataType as T;
    Some(match data_type {
        T::Int8 | T::UInt8 => (3, 0),
        T::Int16 | T::UInt16 => (5, 0),
        T::Int32 | T::UInt32 => (10, 0),
        T::Int64 => (19, 0),
        T::UInt64 => (20, 0),
        T::Decimal32(p, s) | T::Decimal64(p, s) | T::Decimal128(p, s) | T::Decimal256(p, s) => {
            (i32::from(*p) - i32::from(*s), i32::from(*s))
        }
        _ => return None,
    })
}

/// Digits before and after the point that a type surely holds.
fn room(data_type: &DataType) -> Option<(i32, i32)> {
    use DataType as T;
    Some(match data_type {
        T::Int16 => (4, 0),
        // An unsigned 16 bits number has five digits, an unsigned 32 bits one ten.
        T::Int32 => (9, 0),
        T::Int64 => (18, 0),
        _ => return digits(data_type).filter(|_| matches!(data_type, T::Decimal128(..) | T::Decimal256(..))),
    })
}

fn value_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, value) => value,
        DataType::RunEndEncoded(_, values) => values.data_type(),
        other => other,
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_list(data_type: &DataType) -> bool {
    item_of(data_type).is_some()
}

fn item_of(data_type: &DataType) -> Option<&Field> {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => Some(item),
        _ => None,
    }
}
