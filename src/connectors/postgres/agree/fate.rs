//! What happens to the values on their way from an Arrow type into a type of the target.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, IntervalUnit, TimeUnit};

use super::super::encode::{Check, Layout};
use super::super::target::Resolved;
use super::super::typemap::PRODUCT;
use crate::fate::{self, element, is_text, plain};
use crate::schema;
use crate::sink::ColumnFate;

const VARCHAR: u32 = 1043;
const BPCHAR: u32 = 1042;
const CHAR: u32 = 18;
const NAME: u32 = 19;
const TEXT: u32 = 25;
const NUMERIC: u32 = 1700;
const TIME: u32 = 1083;
const TIMETZ: u32 = 1266;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;
const INTERVAL: u32 = 1186;
const JSONB: u32 = 3802;
const MONEY: u32 = 790;

/// Bytes that a `name` keeps.
const NAME_BYTES: u32 = 63;

/// Digits after the point that `money` keeps in nearly all locales.
const MONEY_DIGITS: i32 = 2;

/// Fields of an interval in its modifier, above the 16 bits of its digits.
const MONTH: i32 = 1 << 1;
const YEAR: i32 = 1 << 2;
const DAY: i32 = 1 << 3;
const HOUR: i32 = 1 << 10;
const MINUTE: i32 = 1 << 11;
const SECOND: i32 = 1 << 12;
const ALL_FIELDS: i32 = 0x7fff;
const ALL_DIGITS: i32 = 0xffff;

/// The modifier of the type `oid` that stands in its name, packed as the catalog has it.
pub(in super::super) fn modifier(oid: u32, name: &str) -> Option<i32> {
    if oid == INTERVAL {
        return interval_modifier(name.trim_end_matches("[]"));
    }
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

/// `interval(3)`, `interval year to month`, `interval day to second(3)`.
fn interval_modifier(name: &str) -> Option<i32> {
    let rest = name.strip_prefix("interval")?;
    let (words, digits) = match rest.split_once('(') {
        Some((words, digits)) => (words, digits.split_once(')')?.0.trim().parse().ok()?),
        None => (rest, ALL_DIGITS),
    };
    let fields = match words.trim() {
        "" if digits == ALL_DIGITS => return None,
        "" => ALL_FIELDS,
        "year" => YEAR,
        "month" => MONTH,
        "day" => DAY,
        "hour" => HOUR,
        "minute" => MINUTE,
        "second" => SECOND,
        "year to month" => YEAR | MONTH,
        "day to hour" => DAY | HOUR,
        "day to minute" => DAY | HOUR | MINUTE,
        "day to second" => DAY | HOUR | MINUTE | SECOND,
        "hour to minute" => HOUR | MINUTE,
        "hour to second" => HOUR | MINUTE | SECOND,
        "minute to second" => MINUTE | SECOND,
        _ => return None,
    };
    Some((fields << 16) | digits)
}

/// Precision and scale in a modifier of numeric.
fn precision(modifier: i32) -> Option<(i32, i32)> {
    let packed = modifier.checked_sub(4).filter(|packed| *packed >= 0)?;
    Some((packed >> 16, ((packed & 0x7ff) ^ 1024) - 1024))
}

/// What must be looked at in values of the type named `from` (none: any value) before the server rounds or cuts them.
pub(super) fn check(place: &Resolved, from: Option<&str>) -> Check {
    let is = |name: &str| from.is_some_and(|from| from.trim_end_matches("[]") == name);
    match place.scalar {
        NAME => return if is("name") { Check::None } else { Check::Bytes(NAME_BYTES) },
        CHAR => return if is("\"char\"") { Check::None } else { Check::OneByte },
        MONEY => return if is("money") { Check::None } else { Check::Fraction(MONEY_DIGITS) },
        _ if place.modifier < 0 => return Check::None,
        _ => {}
    }
    let given = from.and_then(|name| modifier(place.scalar, name));
    match place.scalar {
        NUMERIC => match (precision(place.modifier), given.and_then(precision)) {
            (Some((_, scale)), Some((_, given))) if given <= scale => Check::None,
            (Some((_, scale)), _) => Check::Fraction(scale),
            (None, _) => Check::None,
        },
        VARCHAR | BPCHAR if given.is_some_and(|given| given <= place.modifier) => Check::None,
        // Blanks at the end of such a text mean nothing, and only they are cut.
        BPCHAR if from.is_some_and(is_padded) => Check::None,
        VARCHAR | BPCHAR => Check::Characters((place.modifier - 4).max(0) as u32),
        TIME | TIMETZ | TIMESTAMP | TIMESTAMPTZ if given.is_some_and(|given| given <= place.modifier) => Check::None,
        TIME | TIMETZ | TIMESTAMP | TIMESTAMPTZ => match place.modifier {
            0..=5 => Check::Micros(10_i64.pow(6 - place.modifier as u32)),
            _ => Check::None,
        },
        INTERVAL if given == Some(place.modifier) => Check::None,
        INTERVAL => interval(place.modifier),
        _ => Check::None,
    }
}

/// Whether the type of this name fills its texts up with blanks.
fn is_padded(name: &str) -> bool {
    let plain = name.split('(').next().unwrap_or(name).trim_end_matches("[]");
    matches!(plain, "character" | "bpchar")
}

/// What is left of `check` for values of `from` that the engine has cast to `to`.
pub(super) fn left(check: Check, from: &DataType, to: &DataType) -> Check {
    use TimeUnit::{Millisecond, Second};
    let unit = match leaf(from) {
        DataType::Timestamp(Second, _) | DataType::Time32(Second) => 1_000_000,
        DataType::Timestamp(Millisecond, _) | DataType::Time32(Millisecond) => 1_000,
        _ => 1,
    };
    match (check, leaf(to)) {
        (Check::Fraction(most), DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale))
            if i32::from(*scale) <= most =>
        {
            Check::None
        }
        (Check::Micros(step), _) if unit % step == 0 => Check::None,
        (check, _) => check,
    }
}

/// The type of the values themselves: below encodings and lists.
fn leaf(data_type: &DataType) -> &DataType {
    let values = plain(data_type);
    element(values).map_or(values, |item| leaf(item.data_type()))
}

/// The fields that an interval with this modifier keeps: a mask of fields above, digits of the second below.
fn interval(modifier: i32) -> Check {
    let (fields, digits) = ((modifier >> 16) & ALL_FIELDS, modifier & ALL_DIGITS);
    let second = if digits < 6 { 10_i64.pow(6 - digits as u32) } else { 1 };
    let (months, days, micros) = match fields {
        ALL_FIELDS => (1, true, second),
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
        Layout::Array { element: inner, .. } if is_list(from) => {
            let item = element(from)?;
            // Lists of lists are the further dimensions of one array.
            let item = if is_list(item.data_type()) {
                arrow_for(place, item.data_type())?
            } else {
                let scalar = Resolved { oid: place.scalar, layout: (**inner).clone(), ..place.clone() };
                arrow_for(&scalar, item.data_type())?
            };
            DataType::List(Arc::new(Field::new("item", item, true)))
        }
        // Which fields an interval has cannot be told from its text.
        Layout::Array { .. } if text && place.scalar == INTERVAL && place.modifier >= 0 => return None,
        Layout::Array { .. } if text => from.clone(),
        Layout::Array { .. } => return None,
        // Written as JSON.
        Layout::Text | Layout::Jsonb if nested => DataType::Utf8,
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

/// Whether `native` is a date or timestamp that may be infinite, and `place` takes such.
pub(super) fn takes_infinity(place: &Resolved, native: &Field) -> bool {
    let is_infinite = native.metadata().get(schema::FORM).is_some_and(|form| form == schema::INFINITE);
    is_infinite
        && match (native.data_type(), &place.layout) {
            (DataType::Date32, Layout::Date) => true,
            (DataType::Timestamp(TimeUnit::Microsecond, zone), Layout::Timestamp) => {
                zone.is_some() == (place.scalar == TIMESTAMPTZ)
            }
            _ => false,
        }
}

/// Fate of values of `from` that the engine casts to `to` for `place`, and a note where it is not plain.
pub(super) fn of(from: &Field, to: &Field, place: &Resolved, check: Check) -> (ColumnFate, Option<String>) {
    let note = |text: &str| Some(text.to_owned());
    let text_target = matches!(place.scalar, TEXT | VARCHAR | BPCHAR | NAME);
    let native = schema::native_of(from, PRODUCT);
    if check != Check::None {
        return (ColumnFate::Lossy, note("a value that does not fit the type is refused"));
    }
    if text_target && native.is_some_and(|native| !textual(native)) {
        return (ColumnFate::Stringified, None);
    }
    if is_text(leaf(from.data_type())) && !text_target {
        return match place.layout {
            Layout::Text if schema::is_json(from) => (ColumnFate::Exact, None),
            Layout::Jsonb if native == Some("jsonb") => (ColumnFate::Exact, None),
            _ if place.scalar == JSONB && schema::is_json(from) => {
                (ColumnFate::Lossy, note("jsonb keeps neither blanks nor the order of keys nor doubled keys"))
            }
            _ => (ColumnFate::Lossy, note("read from text; what does not parse is refused")),
        };
    }
    (fate::fate(from, to), None)
}

/// Whether a type of PostgreSQL is text by nature.
fn textual(native: &str) -> bool {
    let plain = native.split('(').next().unwrap_or(native).trim_end_matches("[]");
    ["text", "character varying", "character", "name", "\"char\"", "bpchar"].contains(&plain)
}

fn is_list(data_type: &DataType) -> bool {
    element(data_type).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_stand_in_names() {
        assert_eq!(modifier(NUMERIC, "numeric(5,-2)").and_then(precision), Some((5, -2)));
        assert_eq!(modifier(VARCHAR, "character varying(7)[]"), Some(11));
        assert_eq!(modifier(INTERVAL, "interval"), None);
        assert_eq!(modifier(INTERVAL, "interval(3)[]"), Some((ALL_FIELDS << 16) | 3));
        assert_eq!(modifier(INTERVAL, "interval year to month"), Some(((YEAR | MONTH) << 16) | ALL_DIGITS));
        assert_eq!(modifier(INTERVAL, "interval minute to second(0)"), Some((MINUTE | SECOND) << 16));
    }
}
