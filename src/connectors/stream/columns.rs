//! The grammar of generated columns: `id:seq,price:decimal(18,4)(0..1000),note:text(5..20)~0.1`.
//!
//! Text to [`Column`] and its Arrow field. Makes no values: that is `fill`.

use std::ops::RangeInclusive;

use arrow::datatypes::{DataType, Field, TimeUnit};
use chrono::{NaiveDate, NaiveDateTime};

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::schema::{EXTENSION, EXTENSION_JSON, EXTENSION_UUID, with_metadata};

/// The table of `gen:` without columns: one of each common type.
pub(super) const MIXED: &str = "id:seq,flag:bool,small:smallint,quantity:int(0..1000),big:bigint,ratio:double,\
     price:decimal(18,4)(0..100000),name:text(5..20),note:text(0..80)~0.2,day:date,at:timestamp,seen:timestamptz~0.1,\
     code:uuid,extra:json~0.1,raw:bytes(0..32)";

/// Longest text or byte string that is made.
const LENGTH_LIMIT: u32 = 256 << 20;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// One column of a generated table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Share of NULLs, 0 to 1.
    pub(super) nulls: f64,
    /// What every row holds, as a text of the type.
    pub(super) value: Option<String>,
}

/// What the values of a column are; ranges hold both ends, except those of binary fractions.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Sequence(i64),
    /// Share of those that are true, 0 to 1.
    Boolean(f64),
    Int16(RangeInclusive<i64>),
    Int32(RangeInclusive<i64>),
    Int64(RangeInclusive<i64>),
    Float32(f64, f64),
    Float64(f64, f64),
    Decimal {
        precision: u8,
        scale: u8,
        range: RangeInclusive<i128>,
    },
    Text(RangeInclusive<u32>),
    Unicode(RangeInclusive<u32>),
    Bytes(RangeInclusive<u32>),
    Json,
    Uuid,
    /// Days since 1970.
    Date(RangeInclusive<i64>),
    Time,
    /// Microseconds since 1970.
    Timestamp(RangeInclusive<i64>),
    /// Microseconds since 1970, UTC.
    TimestampTz(RangeInclusive<i64>),
}

impl Column {
    /// The column in Arrow.
    pub(super) fn field(&self) -> Field {
        let data_type = match &self.kind {
            Kind::Sequence(_) | Kind::Int64(_) => DataType::Int64,
            Kind::Boolean(_) => DataType::Boolean,
            Kind::Int16(_) => DataType::Int16,
            Kind::Int32(_) => DataType::Int32,
            Kind::Float32(..) => DataType::Float32,
            Kind::Float64(..) => DataType::Float64,
            Kind::Decimal { precision, scale, .. } => DataType::Decimal128(*precision, *scale as i8),
            Kind::Text(_) | Kind::Unicode(_) | Kind::Json => DataType::Utf8,
            Kind::Bytes(_) => DataType::Binary,
            Kind::Uuid => DataType::FixedSizeBinary(16),
            Kind::Date(_) => DataType::Date32,
            Kind::Time => DataType::Time64(TimeUnit::Microsecond),
            Kind::Timestamp(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
            Kind::TimestampTz(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        };
        let field = Field::new(&self.name, data_type, self.nulls > 0.0);
        match self.kind {
            Kind::Json => with_metadata(field, EXTENSION, EXTENSION_JSON),
            Kind::Uuid => with_metadata(field, EXTENSION, EXTENSION_UUID),
            _ => field,
        }
    }

    /// Bytes of a value in Arrow: on average, and at most.
    pub(super) fn width(&self) -> (u64, u64) {
        let spread = |range: &RangeInclusive<u32>, each: u64| {
            let (low, high) = (u64::from(*range.start()), u64::from(*range.end()));
            (4 + (low + high) * each.div_ceil(2) / 2, 4 + high * each)
        };
        let is_long = matches!(self.kind, Kind::Text(_) | Kind::Bytes(_) | Kind::Unicode(_) | Kind::Json);
        if let Some(value) = self.value.as_ref().filter(|_| is_long) {
            let bytes = 4 + value.len() as u64;
            return (bytes, bytes);
        }
        match &self.kind {
            Kind::Text(range) | Kind::Bytes(range) => spread(range, 1),
            Kind::Unicode(range) => spread(range, 4),
            Kind::Boolean(_) => (1, 1),
            Kind::Int16(_) => (2, 2),
            Kind::Int32(_) | Kind::Float32(..) | Kind::Date(_) => (4, 4),
            Kind::Decimal { .. } | Kind::Uuid => (16, 16),
            Kind::Json => (60, 100),
            _ => (8, 8),
        }
    }
}

/// Reads a list of columns.
pub(super) fn parse(text: &str) -> Result<Vec<Column>> {
    let columns = pieces(text).into_iter().map(column).collect::<Result<Vec<_>>>()?;
    for (at, column) in columns.iter().enumerate() {
        if columns[..at].iter().any(|other| other.name == column.name) {
            return Err(usage("this column stands twice").at("column", &column.name));
        }
    }
    Ok(columns)
}

/// `text` cut at the commas outside brackets and quotes.
fn pieces(text: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut start, mut found) = (0_i32, false, 0, Vec::new());
    for (at, sign) in text.char_indices() {
        match sign {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                found.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&text[start..]);
    found
}

fn column(text: &str) -> Result<Column> {
    let (name, rest) = match text.trim().strip_prefix('"') {
        Some(quoted) => quoted.split_once("\":").map(|(name, rest)| (name.to_owned(), rest)),
        None => text.trim().split_once(':').map(|(name, rest)| (name.to_owned(), rest)),
    }
    .filter(|(name, _)| !name.is_empty())
    .ok_or_else(|| usage(format!("{text:?} is no column")).with_hint("write NAME:TYPE, as in amount:decimal(18,4)"))?;
    let (definition, nulls) = match rest.rsplit_once('~') {
        Some((definition, share)) => (definition, fraction(share, "NULLs").at("column", || &name)?),
        None => (rest, 0.0),
    };
    let kind = kind(definition.trim()).at("column", || &name)?;
    if nulls > 0.0 && matches!(kind, Kind::Sequence(_)) {
        return Err(usage("a sequence has no NULLs").at("column", name));
    }
    Ok(Column { name, kind, nulls, value: None })
}

fn fraction(text: &str, of: &str) -> Result<f64> {
    let share = text.trim().parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| usage(format!("the share of {of} {text:?} is no number from 0 to 1")))
}

fn kind(text: &str) -> Result<Kind> {
    let (word, arguments) = text.split_at(text.find('(').unwrap_or(text.len()));
    let arguments = brackets(arguments)?;
    if word == "decimal" {
        return decimal(&arguments);
    }
    if arguments.len() > 1 {
        return Err(usage(format!("{word} takes one pair of brackets")));
    }
    let range = arguments.first().copied();
    Ok(match word {
        "seq" => Kind::Sequence(range.map_or(Ok(1), |first| number(first, i64::MIN..=i64::MAX))?),
        "smallint" => Kind::Int16(whole(range, i64::from(i16::MIN)..=i64::from(i16::MAX))?),
        "int" => Kind::Int32(whole(range, i64::from(i32::MIN)..=i64::from(i32::MAX))?),
        "bigint" => Kind::Int64(whole(range, i64::MIN..=i64::MAX)?),
        "float" => real(range, f64::from(f32::MAX)).map(|(low, high)| Kind::Float32(low, high))?,
        "double" => real(range, f64::MAX).map(|(low, high)| Kind::Float64(low, high))?,
        "text" => Kind::Text(length(range, 0..=32)?),
        "unicode" => Kind::Unicode(length(range, 0..=32)?),
        "bytes" => Kind::Bytes(length(range, 16..=16)?),
        "date" => Kind::Date(days(range)?),
        "timestamp" => Kind::Timestamp(instants(range)?),
        "timestamptz" => Kind::TimestampTz(instants(range)?),
        "time" | "uuid" | "json" if range.is_some() => return Err(usage(format!("{word} takes no range"))),
        "bool" => Kind::Boolean(range.map_or(Ok(0.5), |share| fraction(share, "true values"))?),
        "time" => Kind::Time,
        "uuid" => Kind::Uuid,
        "json" => Kind::Json,
        _ => {
            return Err(usage(format!("there is no type {word:?}")).with_hint(
                "use seq, bool, smallint, int, bigint, float, double, decimal(p,s), text, unicode, bytes, date, time, \
                 timestamp, timestamptz, uuid or json",
            ));
        }
    })
}

/// What stands in the brackets of `(18,4)(0..10)`.
fn brackets(text: &str) -> Result<Vec<&str>> {
    let mut rest = text.trim();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let inner = rest.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        let (argument, after) = inner.ok_or_else(|| usage(format!("the brackets of {text:?} do not match")))?;
        found.push(argument.trim());
        rest = after.trim_start();
    }
    Ok(found)
}

fn decimal(arguments: &[&str]) -> Result<Kind> {
    let size = arguments.first().and_then(|size| size.split_once(','));
    let size = size.and_then(|(p, s)| Some((p.trim().parse::<u8>().ok()?, s.trim().parse::<u8>().ok()?)));
    let fits = |(precision, scale): &(u8, u8)| (1..=38).contains(precision) && scale <= precision;
    let (precision, scale) = size.filter(fits).filter(|_| arguments.len() <= 2).ok_or_else(|| {
        usage("a decimal is written decimal(digits,scale) with 1 to 38 digits, then perhaps a range (A..B)")
    })?;
    let limit = 10_i128.pow(u32::from(precision)) - 1;
    let range = match arguments.get(1) {
        Some(range) => ordered(range, |text| scaled(text, scale).filter(|value| (-limit..=limit).contains(value)))?,
        None => -limit..=limit,
    };
    Ok(Kind::Decimal { precision, scale, range })
}

/// The digits of `text` as a whole number of units of `scale`.
fn scaled(text: &str, scale: u8) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if part.len() > usize::from(scale) || !digits.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit()) {
        return None;
    }
    let value: i128 = format!("{whole}{part:0<width$}", width = usize::from(scale)).parse().ok()?;
    Some(if negative { -value } else { value })
}

fn ordered<T: PartialOrd + Clone>(text: &str, read: impl Fn(&str) -> Option<T>) -> Result<RangeInclusive<T>> {
    let ends = text.split_once("..").and_then(|(low, high)| Some((read(low.trim())?, read(high.trim())?)));
    let range = ends.filter(|(low, high)| low <= high).map(|(low, high)| low..=high);
    range.ok_or_else(|| usage(format!("({text}) is no range of this type")).with_hint("write (A..B) with A up to B"))
}

fn number(text: &str, limits: RangeInclusive<i64>) -> Result<i64> {
    let value = text.parse().ok().filter(|value| limits.contains(value));
    value.ok_or_else(|| usage(format!("{text:?} is no whole number that fits this type")))
}

fn whole(range: Option<&str>, limits: RangeInclusive<i64>) -> Result<RangeInclusive<i64>> {
    range.map_or(Ok(limits.clone()), |text| ordered(text, |end| number(end, limits.clone()).ok()))
}

fn real(range: Option<&str>, limit: f64) -> Result<(f64, f64)> {
    let read = |text: &str| text.parse::<f64>().ok().filter(|value| value.abs() <= limit);
    let Some(text) = range else { return Ok((0.0, 1.0)) };
    let range = ordered(text, read)?;
    Ok((*range.start(), *range.end()))
}

fn length(range: Option<&str>, default: RangeInclusive<u32>) -> Result<RangeInclusive<u32>> {
    let read = |text: &str| text.parse().ok().filter(|length| *length <= LENGTH_LIMIT);
    match range {
        None => Ok(default),
        Some(text) if text.contains("..") => ordered(text, read),
        Some(text) => read(text).map(|length| length..=length).ok_or_else(|| usage(format!("{text:?} is no length"))),
    }
}

/// The range of days that is meant where none is named.
const DAYS: &str = "1970-01-01..2069-12-31";

fn day(text: &str) -> Option<i64> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.signed_duration_since(NaiveDate::default()).num_days())
}

fn days(range: Option<&str>) -> Result<RangeInclusive<i64>> {
    ordered(range.unwrap_or(DAYS), day)
}

/// From one moment to the other. A day stands for all of it.
fn instants(range: Option<&str>) -> Result<RangeInclusive<i64>> {
    let read = |text: &str| match NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f") {
        Ok(at) => Some((at.and_utc().timestamp_micros(), 0)),
        Err(_) => Some((day(text)?.checked_mul(MICROS_PER_DAY)?, MICROS_PER_DAY - 1)),
    };
    let range = ordered(range.unwrap_or(DAYS), read)?;
    let ((first, _), (last, rest)) = (*range.start(), *range.end());
    Ok(first..=last.saturating_add(rest))
}

fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message)
}
