//! Wire bytes of built-in types into text that the server's input functions read as the same value.
//!
//! Only what COPY's text format needs: types whose Arrow form is narrower than the type itself. ISO dates and plain
//! numbers read the same under every setting of the session.

use std::fmt::Write as _;

use arrow::array::{BinaryArray, StringArray};

use super::super::decode::numeric_text;
use super::Layout;
use crate::formats::value::binary::hex_digits;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Whether [`put`] knows `layout`.
pub(crate) fn readable(layout: &Layout) -> bool {
    match layout {
        Layout::Other => false,
        Layout::Array { element, .. } => readable(element),
        _ => true,
    }
}

/// The texts of `wires`, values of the type called `name`, as another column of it is read from a text; none where a type is not
/// known here by its name, or a value is none of it.
pub(crate) fn texts(name: &str, wires: &BinaryArray) -> Option<StringArray> {
    let is_local = name.ends_with("without time zone");
    let layout = match name.split(['(', ' ']).next()? {
        _ if name.ends_with(']') => return None,
        "numeric" => Layout::Numeric,
        "date" => Layout::Date,
        "time" if is_local => Layout::Time,
        "timestamp" => Layout::Timestamp,
        _ => return None,
    };
    let text = |wire: Option<&[u8]>| {
        let Some(wire) = wire else { return Some(None) };
        let mut text = String::new();
        put(&layout, wire, &mut text)?;
        Some(Some(if is_local { text.replacen("+00", "", 1) } else { text }))
    };
    wires.iter().map(text).collect()
}

/// Appends the text of `wire`; none when it is not a value of `layout`.
pub(super) fn put(layout: &Layout, wire: &[u8], out: &mut String) -> Option<()> {
    match layout {
        Layout::Bool => out.push_str(if *wire.first()? == 0 { "f" } else { "t" }),
        Layout::Int2 => write!(out, "{}", i16::from_be_bytes(wire.try_into().ok()?)).ok()?,
        Layout::Int4 => write!(out, "{}", int4(wire)?).ok()?,
        Layout::Int8 => write!(out, "{}", int8(wire)?).ok()?,
        Layout::Oid => write!(out, "{}", u32::from_be_bytes(wire.try_into().ok()?)).ok()?,
        Layout::Float4 => write!(out, "{:e}", f32::from_be_bytes(wire.try_into().ok()?)).ok()?,
        Layout::Float8 => write!(out, "{:e}", f64::from_be_bytes(wire.try_into().ok()?)).ok()?,
        Layout::Numeric => {
            let mut text = Vec::new();
            numeric_text(wire, &mut text).then_some(())?;
            out.push_str(std::str::from_utf8(&text).ok()?);
        }
        Layout::Text => out.push_str(std::str::from_utf8(wire).ok()?),
        Layout::Jsonb => out.push_str(std::str::from_utf8(wire.strip_prefix(&[1])?).ok()?),
        Layout::Bytea => put_hex(wire, out),
        Layout::Date => match int4(wire)? {
            i32::MIN => out.push_str("-infinity"),
            i32::MAX => out.push_str("infinity"),
            days => put_date(days.into(), out),
        },
        Layout::Time => put_time(int8(wire)?, out),
        Layout::Timestamp => match int8(wire)? {
            i64::MIN => out.push_str("-infinity"),
            i64::MAX => out.push_str("infinity"),
            micros => put_timestamp(micros, out),
        },
        Layout::Interval => put_interval(int4(wire.get(12..)?)?, int4(wire.get(8..12)?)?, int8(wire.get(..8)?)?, out),
        Layout::Uuid => write!(out, "{}", uuid::Uuid::from_slice(wire).ok()?).ok()?,
        Layout::Array { element, .. } => put_array(element, wire, out)?,
        Layout::Other => return None,
    }
    Some(())
}

fn int4(wire: &[u8]) -> Option<i32> {
    wire.try_into().ok().map(i32::from_be_bytes)
}

fn int8(wire: &[u8]) -> Option<i64> {
    wire.try_into().ok().map(i64::from_be_bytes)
}

/// Appends `\x` and the bytes in hexadecimal.
pub(super) fn put_hex(bytes: &[u8], out: &mut String) {
    out.push_str("\\x");
    out.extend(bytes.iter().flat_map(|byte| hex_digits(*byte)).map(char::from));
}

/// Appends `text` as an element of an array.
pub(super) fn put_quoted(text: &str, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        if matches!(char, '"' | '\\') {
            out.push('\\');
        }
        out.push(char);
    }
    out.push('"');
}

/// Appends the date that is `days` after 2000-01-01; what stands before year 1 is marked BC.
pub(super) fn put_date(days: i64, out: &mut String) {
    let (year, month, day) = civil(days);
    put_ymd(year, month, day, out);
    put_era(year, out);
}

/// Appends a time of day, 24:00 included.
pub(super) fn put_time(micros: i64, out: &mut String) {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    // Writing into memory does not fail.
    let _ = write!(out, "{hour:02}:{minute:02}:{second:02}.{fraction:06}");
}

/// Appends a point in time in UTC. A type without zone does not look at the `+00`.
pub(super) fn put_timestamp(micros: i64, out: &mut String) {
    let (year, month, day) = civil(micros.div_euclid(MICROS_PER_DAY));
    put_ymd(year, month, day, out);
    out.push(' ');
    put_time(micros.rem_euclid(MICROS_PER_DAY), out);
    out.push_str("+00");
    put_era(year, out);
}

/// Appends an interval with a sign at every field.
pub(super) fn put_interval(months: i32, days: i32, micros: i64, out: &mut String) {
    let size = micros.unsigned_abs();
    let (seconds, fraction) = (size / 1_000_000, size % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let sign = if micros < 0 { '-' } else { '+' };
    let _ = write!(out, "{months:+} mons {days:+} days {sign}{hour:02}:{minute:02}:{second:02}.{fraction:06}");
}

fn put_ymd(year: i64, month: i64, day: i64, out: &mut String) {
    let shown = if year > 0 { year } else { 1 - year };
    let _ = write!(out, "{shown:04}-{month:02}-{day:02}");
}

fn put_era(year: i64, out: &mut String) {
    if year <= 0 {
        out.push_str(" BC");
    }
}

/// Year (0 is 1 BC), month and day of the Gregorian calendar, from days since 2000-01-01.
///
/// Counted in years that begin in March, so that the leap day is the last one; 146,097 days are 400 years.
fn civil(days: i64) -> (i64, i64, i64) {
    // 2000-03-01 is day 60.
    let days = days - 60;
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (2000 + cycle * 400 + year + carry, month, day)
}

/// `{…}` with the bounds before it where they are not 1.
fn put_array(element: &Layout, wire: &[u8], out: &mut String) -> Option<()> {
    let dimensions = usize::try_from(int4(wire.get(..4)?)?).ok()?;
    let mut lengths = Vec::new();
    let mut bounds = String::new();
    let mut rest = wire.get(12..)?;
    let mut shifted = false;
    for _ in 0..dimensions {
        let (length, lower) = (int4(rest.get(..4)?)?, int4(rest.get(4..8)?)?);
        rest = &rest[8..];
        lengths.push(usize::try_from(length).ok()?);
        shifted |= lower != 1;
        write!(bounds, "[{lower}:{}]", i64::from(lower) + i64::from(length) - 1).ok()?;
    }
    if shifted {
        out.push_str(&bounds);
        out.push('=');
    }
    if lengths.is_empty() {
        out.push_str("{}");
        return Some(());
    }
    put_level(element, &lengths, &mut rest, out)
}

fn put_level(element: &Layout, lengths: &[usize], rest: &mut &[u8], out: &mut String) -> Option<()> {
    let (&length, inner) = lengths.split_first()?;
    out.push('{');
    for index in 0..length {
        if index > 0 {
            out.push(',');
        }
        if !inner.is_empty() {
            put_level(element, inner, rest, out)?;
            continue;
        }
        let size = int4(rest.get(..4)?)?;
        *rest = &rest[4..];
        if size < 0 {
            out.push_str("NULL");
            continue;
        }
        let mut text = String::new();
        put(element, rest.get(..size as usize)?, &mut text)?;
        *rest = &rest[size as usize..];
        put_quoted(&text, out);
    }
    out.push('}');
    Some(())
}
