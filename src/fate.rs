//! What happens to the values of a column when its field becomes another one.
//!
//! The same rules as the engine's cast (`flow/align`): `Exact`, `Widened` and `Stringified` never refuse a value,
//! `Lossy` refuses those that would change, and what is impossible is refused before any row is read. [`loss`] says what
//! a job may allow instead. Sinks ask here in `agree`. Nullability is not judged: a NULL for a column that takes none is
//! refused row by row.

use arrow::array::timezone::Tz;
use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

use crate::schema::{CLOCK, DIGITS, FORM, MAX_CHARS, NATIVE, STEP_MICROS, is_json, is_whole};
use crate::sink::ColumnFate;

mod number;

use number::Number;

/// What happens to values of `from` in a column `to`. Of a cast that [`possible`] denies it says `Lossy`.
pub fn fate(from: &Field, to: &Field) -> ColumnFate {
    judge(from, to).unwrap_or(ColumnFate::Lossy)
}

/// Whether the engine has any cast from `from` to `to`. Without one a transfer is refused at plan time.
pub fn possible(from: &Field, to: &Field) -> bool {
    judge(from, to).is_some()
}

/// The clock by which an instant becomes a timestamp without a zone, or the reverse, and a text that names no zone an instant: that of
/// the product whose column holds the instant, where it says one, else that of the transfer. None for other pairs, where nobody says a
/// clock, and where it is not known.
pub fn clock(from: &Field, to: &Field) -> Option<Tz> {
    clock_name(from, to)?.parse().ok()
}

/// The same clock, as it was named.
pub(crate) fn clock_name<'a>(from: &'a Field, to: &'a Field) -> Option<&'a str> {
    let (instant, other) = match (has_zone(from), has_zone(to)) {
        (Some(true), Some(false)) => (from, to),
        (Some(false), Some(true)) => (to, from),
        (None, Some(true)) if may_name_times(from) => (to, from),
        _ => return None,
    };
    let said = |field: &'a Field| field.metadata().get(CLOCK);
    said(instant).or_else(|| said(other)).map(String::as_str)
}

/// What helps where no cast leads from `from` to `to`.
pub(crate) fn remedy(from: &Field, to: &Field) -> &'static str {
    match (has_zone(from), has_zone(to)) {
        _ if clock_name(from, to).is_some() => {
            "the clock of the server has no zone that is known here: name one in its session, by its offset or as Europe/Berlin"
        }
        (Some(have), Some(want)) if have != want => {
            "an instant has a zone and the other has none: say with --clock by which clock they stand for each other"
        }
        _ => "convert the column in the source, with --cast or with --set",
    }
}

/// Whether the timestamps of `field` are instants; none where it holds something else.
pub(crate) fn has_zone(field: &Field) -> Option<bool> {
    match plain(field.data_type()) {
        DataType::Timestamp(_, zone) => Some(zone.is_some()),
        _ => None,
    }
}

/// Whether the texts of `field` may be times: it holds texts, and not numbers as such.
pub(crate) fn may_name_times(field: &Field) -> bool {
    is_text(plain(field.data_type())) && !field.metadata().contains_key(DIGITS)
}

/// The most characters that a text column `field` takes: metadata [`MAX_CHARS`], else the length in a native type
/// such as `postgres:character varying(10)`. SQLite writes lengths and does not mean them.
pub fn max_chars(field: &Field) -> Option<usize> {
    if let Some(text) = field.metadata().get(MAX_CHARS) {
        return text.parse().ok();
    }
    let (product, native) = field.metadata().get(NATIVE)?.split_once(':')?;
    if product == "sqlite" {
        return None;
    }
    let (name, rest) = native.split_once('(')?;
    let name = name.trim().to_ascii_lowercase();
    let limited = ["character varying", "varchar", "nvarchar", "character", "char", "nchar", "bpchar"];
    limited.contains(&name.as_str()).then(|| rest.trim_end_matches(')').trim().parse().ok()).flatten()
}

/// Whether `field` comes from a column that pads its texts with blanks.
pub(crate) fn is_padded(field: &Field) -> bool {
    let native = field.metadata().get(NATIVE).and_then(|native| native.split_once(':'));
    let padding = |name: &str| ["char(", "nchar(", "character(", "bpchar"].iter().any(|word| name.starts_with(word));
    // SQLite pads nothing, whatever a column is declared as.
    native.is_some_and(|(product, name)| product != "sqlite" && padding(&name.to_ascii_lowercase()))
}

/// The microseconds of which a time column keeps multiples, where these are coarser than its type: metadata [`STEP_MICROS`].
pub(crate) fn step_micros(field: &Field) -> Option<i64> {
    field.metadata().get(STEP_MICROS)?.parse().ok().filter(|step| *step > 1)
}

/// What a value loses that does not fit its column, where the job allows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Digits: it becomes the nearest value that the target holds. Of decimals, and in integers, halves go away from zero.
    Rounded,
    /// The end of its text, or the part of its time that is below the target's unit.
    Cut,
}

/// What values of `from` may lose on their way into `to`, where the job allows it. None where nothing but their range can
/// be in the way; within lists, structs and maps none is allowed.
pub fn loss(from: &Field, to: &Field) -> Option<Loss> {
    if from.metadata().contains_key(FORM) || to.metadata().contains_key(FORM) || !possible(from, to) {
        return None;
    }
    let (source, target) = (plain(from.data_type()), plain(to.data_type()));
    if is_text(target) {
        // The first digits of a number are another number.
        let cut = is_text(source) && !is_number_as_text(from);
        let room = max_chars(to).filter(|room| max_chars(from).is_none_or(|have| have > *room));
        return room.filter(|_| cut).map(|_| Loss::Cut);
    }
    let rounded = match (Number::of(source), Number::of(target)) {
        (_, Some(Number::Float(11))) => false,
        (Some(from), Some(to)) => from.rounds_in(to),
        (None, Some(_)) => is_text(source),
        _ => false,
    };
    let cut = if source.is_temporal() {
        is_coarser(source, target) || step_micros(to).is_some()
    } else {
        may_name_times(from) && matches!(target, DataType::Date32 | DataType::Date64)
    };
    rounded.then_some(Loss::Rounded).or(cut.then_some(Loss::Cut))
}

/// Whether `field` has numbers as text, because no bound of their digits is known.
fn is_number_as_text(field: &Field) -> bool {
    let native = field.metadata().get(NATIVE).and_then(|native| native.split_once(':'));
    let named = |name: &str| ["numeric", "decimal"].iter().any(|word| name.to_ascii_lowercase().starts_with(word));
    field.metadata().contains_key(DIGITS) || native.is_some_and(|(_, name)| named(name))
}

/// Whether a cast that is possible leads to a coarser unit.
fn is_coarser(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    match (from, to) {
        (T::Timestamp(from, _), T::Timestamp(to, _))
        | (T::Time32(from) | T::Time64(from), T::Time32(to) | T::Time64(to))
        | (T::Duration(from), T::Duration(to)) => to < from,
        (T::Timestamp(..), T::Date32 | T::Date64) | (T::Date64, T::Date32 | T::Timestamp(TimeUnit::Second, _)) => true,
        _ => false,
    }
}

fn judge(from: &Field, to: &Field) -> Option<ColumnFate> {
    if from.metadata().contains_key(FORM) || to.metadata().contains_key(FORM) {
        return same_form(from, to).then_some(ColumnFate::Exact);
    }
    let (source, target) = (plain(from.data_type()), plain(to.data_type()));
    if is_text(target) {
        return (is_text(source) || source.is_null() || is_scalar(source) || is_written(source))
            .then(|| text_fate(from, to, source));
    }
    if source == target {
        return Some(ColumnFate::Exact);
    }
    if is_barred(from, target) {
        return None;
    }
    if is_text(source) && target.is_nested() {
        return is_read(target).then_some(ColumnFate::Lossy);
    }
    if clock_name(from, to).is_some() {
        // What a clock shows twice is another instant for each time, and what it never shows is none.
        return clock(from, to).map(|_| ColumnFate::Lossy);
    }
    types(source, target).or_else(|| nested(source, target))
}

/// Whether `from` has whole numbers as text, and `target` takes none: digits that look like a date or like bytes are no such.
pub(crate) fn is_barred(from: &Field, target: &DataType) -> bool {
    is_whole(from) && !(is_text(target) || target.is_numeric() || *target == DataType::Boolean)
}

/// A native form goes nowhere but into itself.
fn same_form(from: &Field, to: &Field) -> bool {
    let key = |key: &str| from.metadata().get(key) == to.metadata().get(key);
    key(FORM) && key(NATIVE) && from.data_type() == to.data_type()
}

/// The values' type of an encoding that changes no value.
pub(crate) fn plain(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        other => other,
    }
}

pub(crate) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

pub(crate) fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

fn text_fate(from: &Field, to: &Field, source: &DataType) -> ColumnFate {
    let fits = match (max_chars(from), max_chars(to)) {
        (_, None) => true,
        (Some(have), Some(room)) => is_text(source) && have <= room,
        (None, Some(_)) => source.is_null(),
    };
    if !fits || (is_json(to) && is_text(source) && !is_json(from)) {
        ColumnFate::Lossy
    } else if is_text(source) || source.is_null() {
        ColumnFate::Exact
    } else {
        ColumnFate::Stringified
    }
}

/// Casts between two different scalar types, neither of them a target text.
fn types(from: &DataType, to: &DataType) -> Option<ColumnFate> {
    use DataType as T;
    if let (Some(from), Some(to)) = (Number::of(from), Number::of(to)) {
        return Some(from.fate_in(to));
    }
    match (from, to) {
        (T::Null, _) => Some(ColumnFate::Exact),
        (T::Boolean, to) if to.is_integer() => Some(ColumnFate::Widened),
        (from, T::Boolean) if from.is_integer() => Some(ColumnFate::Lossy),
        (from, to) if is_text(from) && is_scalar(to) => Some(ColumnFate::Lossy),
        (from, to) if is_bytes(to) && (is_bytes(from) || matches!(from, T::FixedSizeBinary(_))) => {
            Some(ColumnFate::Exact)
        }
        (from, T::FixedSizeBinary(_)) if is_bytes(from) => Some(ColumnFate::Lossy),
        (from, to) => temporal_fate(from, to),
    }
}

/// Casts between two different types of dates and times. Years beyond ±290,000 do not count as a loss (they are
/// refused): no product but Arrow has them.
fn temporal_fate(from: &DataType, to: &DataType) -> Option<ColumnFate> {
    use DataType as T;
    let fits = match (from, to) {
        (T::Timestamp(from, zone), T::Timestamp(to, other)) if zone.is_some() == other.is_some() => {
            if from == to {
                return Some(ColumnFate::Exact);
            }
            from < to && *to != TimeUnit::Nanosecond
        }
        (T::Date32, T::Date64) | (T::Interval(_), T::Interval(IntervalUnit::MonthDayNano)) => true,
        (T::Date32, T::Timestamp(unit, None)) => *unit != TimeUnit::Nanosecond,
        (T::Date64, T::Timestamp(unit, None)) => matches!(unit, TimeUnit::Millisecond | TimeUnit::Microsecond),
        (T::Date64, T::Date32)
        | (T::Timestamp(_, None), T::Date32 | T::Date64)
        | (T::Interval(IntervalUnit::MonthDayNano), T::Interval(_)) => false,
        (T::Time32(from) | T::Time64(from), T::Time32(to) | T::Time64(to)) => from < to,
        (T::Duration(from), T::Duration(to)) => from < to && *to != TimeUnit::Nanosecond,
        // An interval counts nanoseconds: it holds 292 years of them.
        (T::Duration(from), T::Interval(IntervalUnit::MonthDayNano)) => *from == TimeUnit::Nanosecond,
        _ => return None,
    };
    Some(if fits { ColumnFate::Widened } else { ColumnFate::Lossy })
}

fn is_scalar(data_type: &DataType) -> bool {
    use DataType as T;
    data_type.is_numeric()
        || data_type.is_temporal()
        || is_bytes(data_type)
        || matches!(data_type, T::Boolean | T::FixedSizeBinary(_) | T::Interval(_))
}

/// Whether it is a list, a struct or a map whose values have a text each: it is written as JSON.
fn is_written(data_type: &DataType) -> bool {
    of_parts(data_type, |part| part.is_null() || is_text(part) || is_scalar(part))
}

/// Whether it is a list, a struct or a map whose values are read from texts: it is read from JSON.
fn is_read(data_type: &DataType) -> bool {
    of_parts(data_type, |part| is_text(part) || is_scalar(part))
}

/// Whether all parts of a nested type are nested as well, or `ends` says so.
fn of_parts(data_type: &DataType, ends: fn(&DataType) -> bool) -> bool {
    use DataType as T;
    let part = |field: &Field| {
        let of = match field.data_type() {
            T::Dictionary(_, values) => values,
            other => other,
        };
        ends(of) || of_parts(of, ends)
    };
    match data_type {
        T::List(item) | T::LargeList(item) | T::FixedSizeList(item, _) => part(item),
        T::Struct(fields) => fields.iter().all(|field| part(field)),
        T::Map(entries, _) => {
            matches!(entries.data_type(), T::Struct(fields) if fields.len() == 2 && fields.iter().all(|field| part(field)))
        }
        _ => false,
    }
}

/// Lists by element, structs by field name, maps by key and value: the worst of them.
fn nested(from: &DataType, to: &DataType) -> Option<ColumnFate> {
    use DataType as T;
    if let (Some(source), Some(target)) = (element(from), element(to)) {
        let inner = judge(source, target)?;
        return match (from, to) {
            (T::FixedSizeList(_, have), T::FixedSizeList(_, want)) => (have == want).then_some(inner),
            (_, T::FixedSizeList(..)) => Some(ColumnFate::Lossy),
            _ => Some(inner),
        };
    }
    match (from, to) {
        (T::Struct(from), T::Struct(to)) if from.len() == to.len() => {
            let pairs = to.iter().map(|field| from.find(field.name()).and_then(|(_, source)| judge(source, field)));
            pairs.reduce(worse).unwrap_or(Some(ColumnFate::Exact))
        }
        (T::Map(from, _), T::Map(to, _)) => match (from.data_type(), to.data_type()) {
            (T::Struct(from), T::Struct(to)) if from.len() == 2 && to.len() == 2 => {
                worse(judge(&from[0], &to[0]), judge(&from[1], &to[1]))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The field of a list's elements.
pub(crate) fn element(data_type: &DataType) -> Option<&Field> {
    use DataType as T;
    match data_type {
        T::List(field)
        | T::LargeList(field)
        | T::ListView(field)
        | T::LargeListView(field)
        | T::FixedSizeList(field, _) => Some(field),
        _ => None,
    }
}

fn worse(a: Option<ColumnFate>, b: Option<ColumnFate>) -> Option<ColumnFate> {
    let rank = |fate: ColumnFate| match fate {
        ColumnFate::Exact | ColumnFate::Added | ColumnFate::Dropped => 0,
        ColumnFate::Widened => 1,
        ColumnFate::Stringified => 2,
        ColumnFate::Lossy | ColumnFate::LossAllowed => 3,
    };
    let (a, b) = (a?, b?);
    Some(if rank(a) >= rank(b) { a } else { b })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{WHOLE, WIRE, with_metadata, with_native};
    use ColumnFate::{Exact, Lossy, Stringified, Widened};
    use DataType as T;
    use std::sync::Arc;

    fn of(data_type: DataType) -> Field {
        Field::new("c", data_type, true)
    }

    fn list(data_type: DataType) -> DataType {
        T::List(Arc::new(Field::new("item", data_type, true)))
    }

    #[test]
    fn the_table() {
        let us = T::Timestamp(TimeUnit::Microsecond, None);
        let utc = |unit| T::Timestamp(unit, Some("UTC".into()));
        let oslo = T::Timestamp(TimeUnit::Microsecond, Some("Europe/Oslo".into()));
        let dictionary = T::Dictionary(Box::new(T::Int32), Box::new(T::Utf8));
        let cases: Vec<(DataType, DataType, Option<ColumnFate>)> = vec![
            (T::Int32, T::Int32, Some(Exact)),
            (T::Int32, T::Int64, Some(Widened)),
            (T::Int64, T::Int32, Some(Lossy)),
            (T::UInt32, T::Int64, Some(Widened)),
            (T::UInt32, T::Int32, Some(Lossy)),
            (T::Int32, T::UInt64, Some(Lossy)),
            (T::Int32, T::Float64, Some(Widened)),
            (T::Int64, T::Float64, Some(Lossy)),
            (T::Int16, T::Float32, Some(Widened)),
            (T::Float32, T::Float64, Some(Widened)),
            (T::Float64, T::Float32, Some(Lossy)),
            (T::Float64, T::Int64, Some(Lossy)),
            (T::Int64, T::Decimal128(19, 0), Some(Widened)),
            (T::Int64, T::Decimal128(20, 2), Some(Lossy)),
            (T::UInt64, T::Decimal128(20, 0), Some(Widened)),
            (T::UInt64, T::Decimal128(19, 0), Some(Lossy)),
            (T::Decimal128(5, 2), T::Decimal128(7, 3), Some(Widened)),
            (T::Decimal128(5, 2), T::Decimal128(5, 3), Some(Lossy)),
            (T::Decimal128(5, 2), T::Decimal64(5, 2), Some(Exact)),
            (T::Decimal128(18, 0), T::Int64, Some(Widened)),
            (T::Decimal128(19, 0), T::Int64, Some(Lossy)),
            (T::Decimal128(15, 2), T::Float64, Some(Widened)),
            (T::Decimal128(16, 2), T::Float64, Some(Lossy)),
            (T::Boolean, T::Int64, Some(Widened)),
            (T::Int64, T::Boolean, Some(Lossy)),
            (T::Boolean, T::Float64, None),
            (T::Utf8, T::LargeUtf8, Some(Exact)),
            (dictionary, T::Utf8View, Some(Exact)),
            (T::Int32, T::Utf8, Some(Stringified)),
            (T::Utf8, T::Date32, Some(Lossy)),
            (T::Utf8, list(T::Int32), Some(Lossy)),
            (T::Binary, T::LargeBinary, Some(Exact)),
            (T::Binary, T::FixedSizeBinary(16), Some(Lossy)),
            (T::Binary, T::Utf8, Some(Stringified)),
            (T::Date32, us.clone(), Some(Widened)),
            (us.clone(), T::Date32, Some(Lossy)),
            (T::Timestamp(TimeUnit::Millisecond, None), us.clone(), Some(Widened)),
            (us.clone(), T::Timestamp(TimeUnit::Nanosecond, None), Some(Lossy)),
            (us.clone(), utc(TimeUnit::Microsecond), None),
            (utc(TimeUnit::Microsecond), us, None),
            (utc(TimeUnit::Microsecond), oslo, Some(Exact)),
            (T::Time32(TimeUnit::Second), T::Time64(TimeUnit::Microsecond), Some(Widened)),
            (T::Date32, T::Int32, None),
            (T::Date32, utc(TimeUnit::Microsecond), None),
            (T::Duration(TimeUnit::Nanosecond), T::Interval(IntervalUnit::MonthDayNano), Some(Widened)),
            (T::Duration(TimeUnit::Second), T::Interval(IntervalUnit::MonthDayNano), Some(Lossy)),
            (T::Duration(TimeUnit::Second), T::Interval(IntervalUnit::DayTime), None),
            (list(T::Int32), list(T::Int64), Some(Widened)),
            (list(T::Int64), list(T::Utf8), Some(Stringified)),
            (list(T::Int64), T::Utf8, Some(Stringified)),
            (T::Null, T::Int32, Some(Exact)),
        ];
        for (from, to, expected) in cases {
            assert_eq!(judge(&of(from.clone()), &of(to.clone())), expected, "{from} -> {to}");
        }
    }

    #[test]
    fn lengths_count_in_characters_and_only_where_they_are_meant() {
        let varchar = |n: u32| with_native(of(T::Utf8), &format!("postgres:character varying({n})"));
        assert_eq!(max_chars(&varchar(10)), Some(10));
        assert_eq!(max_chars(&with_metadata(of(T::Utf8), MAX_CHARS, "7")), Some(7));
        assert_eq!(max_chars(&with_native(of(T::Utf8), "sqlite:varchar(10)")), None);
        assert_eq!(max_chars(&with_native(of(T::Decimal128(10, 2)), "postgres:numeric(10,2)")), None);
        assert_eq!(fate(&of(T::Utf8), &varchar(10)), Lossy);
        assert_eq!(fate(&varchar(10), &varchar(10)), Exact);
        assert_eq!(fate(&varchar(11), &varchar(10)), Lossy);
        assert_eq!(fate(&varchar(11), &of(T::Utf8)), Exact);
    }

    #[test]
    fn native_forms_pass_only_into_themselves() {
        let native = |name: &str| with_metadata(with_native(of(T::Binary), name), FORM, WIRE);
        assert!(possible(&native("postgres:numeric"), &native("postgres:numeric")));
        assert!(!possible(&native("postgres:numeric"), &native("postgres:text")));
        assert!(!possible(&native("postgres:numeric"), &of(T::Binary)));
        assert!(!possible(&of(T::Binary), &native("postgres:bytea")));
        assert!(!possible(&native("postgres:numeric"), &of(T::Utf8)));
    }

    #[test]
    fn whole_numbers_as_text_are_numbers() {
        let whole = with_metadata(of(T::Utf8), DIGITS, WHOLE);
        for target in [T::Int64, T::UInt64, T::Float64, T::Decimal128(20, 0), T::Boolean] {
            assert_eq!(judge(&whole, &of(target.clone())), Some(Lossy), "{target}");
        }
        assert_eq!(judge(&whole, &of(T::Utf8)), Some(Exact));
        for target in [T::Date32, T::Timestamp(TimeUnit::Second, None), T::Binary, list(T::Int64)] {
            assert_eq!(judge(&whole, &of(target.clone())), None, "{target}");
        }
    }

    #[test]
    fn structs_match_by_name() {
        let shape =
            |a: &str, b: &str| T::Struct(vec![Field::new(a, T::Int32, true), Field::new(b, T::Int64, true)].into());
        let flipped = T::Struct(vec![Field::new("b", T::Int64, true), Field::new("a", T::Int64, true)].into());
        assert_eq!(judge(&of(shape("a", "b")), &of(flipped)), Some(Widened));
        assert_eq!(judge(&of(shape("a", "b")), &of(shape("a", "c"))), None);
    }
}
