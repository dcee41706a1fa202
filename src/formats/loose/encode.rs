//! Columns to records.

use arrow::array::types::{
    ArrowPrimitiveType, Date32Type, DurationMicrosecondType, Float32Type, Float64Type, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Field, TimeUnit};
use chrono::FixedOffset;

use super::options::{LooseOptions, Quoting, Records};
use super::pattern::{self, DAY_MICROS};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::json;
use crate::formats::value::Pattern;
use crate::formats::value::print::{self, Print};
use crate::formats::value::time::{self, Zone};
use crate::schema::NATIVE;

/// How records are written: the options, looked through once.
#[derive(Clone, Debug)]
pub(super) struct Writing {
    options: LooseOptions,
    null: Vec<u8>,
    pattern: Option<Pattern>,
    /// Whose clocks show moments that have a zone.
    zone: FixedOffset,
}

/// What is printed of a moment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Date,
    Time,
    Both,
}

impl Writing {
    pub(super) fn new(options: &LooseOptions) -> Result<Self> {
        let utc = FixedOffset::east_opt(0).ok_or_else(|| Error::new(ErrorKind::Internal, "there is no zone"))?;
        Ok(Self {
            null: options.null.clone().unwrap_or_default().into_bytes(),
            pattern: options.date_format.as_deref().map(Pattern::lenient).transpose()?,
            zone: options.zone.as_deref().and_then(pattern::offset).unwrap_or(utc),
            options: options.clone(),
        })
    }

    /// The first line.
    pub(super) fn header(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.options.header.is_empty() {
            return out;
        }
        for (index, name) in self.options.header.iter().enumerate() {
            self.begin(index, &mut out);
            let start = out.len();
            out.extend_from_slice(name.as_bytes());
            self.quote(index, &mut out, start);
        }
        out.extend_from_slice(self.options.line_end.as_bytes());
        out
    }

    /// Appends one record per row.
    pub(super) fn encode(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let schema = batch.schema_ref();
        let columns = schema.fields().iter().zip(batch.columns());
        let columns: Vec<Column<'_>> =
            columns.map(|(field, array)| self.column(array, field)).collect::<Result<_>>()?;
        out.reserve(batch.num_rows() * columns.len() * 8);
        for row in 0..batch.num_rows() {
            let there = match self.options.records {
                Records::Even => columns.len(),
                Records::Ragged => columns.iter().rposition(|column| !column.is_null(row)).map_or(0, |last| last + 1),
            };
            for (index, column) in columns[..there].iter().enumerate() {
                self.begin(index, out);
                let start = out.len();
                if column.is_null(row) {
                    out.extend_from_slice(&self.null);
                    continue;
                }
                (column.print)(row, out).map_err(|error| error.at("column", schema.field(index).name()))?;
                self.quote(index, out, start);
            }
            out.extend_from_slice(self.options.line_end.as_bytes());
        }
        Ok(())
    }

    fn begin(&self, index: usize, out: &mut Vec<u8>) {
        if index > 0 {
            out.extend_from_slice(self.options.delimiter.as_bytes());
        }
    }

    /// Puts quotes around the field that begins at `start`, where it is to have them.
    fn quote(&self, index: usize, out: &mut Vec<u8>, start: usize) {
        let (Some(quote), true) = (self.options.mark(), self.options.quoting != Quoting::Never) else { return };
        if self.options.trim {
            trim(out, start);
        }
        let text = &out[start..];
        let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        let needs = || {
            let first = index == 0 && (text.is_empty() || text[0] == b'#');
            let special = memchr::memchr3(quote, b'\n', b'\r', text).is_some()
                || memchr::memmem::find(text, self.options.delimiter.as_bytes()).is_some();
            first || special || blank(text.first()) || blank(text.last()) || (text == self.null && !text.is_empty())
        };
        if self.options.quoting == Quoting::Needed && !needs() {
            return;
        }
        let field = out.split_off(start);
        out.push(quote);
        for byte in field {
            if byte == quote {
                out.push(quote);
            }
            out.push(byte);
        }
        out.push(quote);
    }

    fn column<'a>(&'a self, array: &'a dyn Array, field: &Field) -> Result<Column<'a>> {
        let nulls = array.logical_nulls();
        let print: TryPrint<'a> = match self
            .moments(array)
            .or_else(|| self.zoned_times(array, field))
            .or_else(|| floats(array))
            .or_else(|| bytes(array, field))
        {
            Some(print) => Box::new(move |row, out: &mut Vec<u8>| {
                print(row, out);
                Ok(())
            }),
            None => match print::column(array, field) {
                Some(column) => Box::new(move |row, out: &mut Vec<u8>| {
                    (column.print)(row, out);
                    Ok(())
                }),
                None => json::writer(array, field)?,
            },
        };
        Ok(Column { nulls, print })
    }

    /// Times with a zone, which come as texts of that type: as the clocks of the zone show them.
    fn zoned_times<'a>(&'a self, array: &'a dyn Array, field: &Field) -> Option<Print<'a>> {
        let (_, native) = field.metadata().get(NATIVE)?.split_once(':')?;
        let word = native.split(['(', ' ']).next();
        if word != Some("time") || !native.ends_with("with time zone") {
            return None;
        }
        let texts = array.as_string_opt::<i32>()?;
        let east = i64::from(self.zone.local_minus_utc());
        Some(Box::new(move |row, out: &mut Vec<u8>| match pattern::zoned_seconds(texts.value(row)) {
            Some(seconds) => time::print_time((seconds + east).rem_euclid(time::DAY_SECONDS), TimeUnit::Second, out),
            None => out.extend_from_slice(texts.value(row).as_bytes()),
        }))
    }

    /// Dates and times.
    fn moments<'a>(&'a self, array: &'a dyn Array) -> Option<Print<'a>> {
        Some(match array.data_type() {
            DataType::Date32 => {
                self.moment::<Date32Type>(array, (Part::Date, false), |days| i64::from(days).saturating_mul(DAY_MICROS))
            }
            DataType::Time32(TimeUnit::Second) => {
                self.moment::<Time32SecondType>(array, (Part::Time, false), |value| i64::from(value) * 1_000_000)
            }
            DataType::Time32(_) => {
                self.moment::<Time32MillisecondType>(array, (Part::Time, false), |value| i64::from(value) * 1000)
            }
            DataType::Time64(TimeUnit::Nanosecond) => {
                self.moment::<Time64NanosecondType>(array, (Part::Time, false), |value| value.div_euclid(1000))
            }
            DataType::Time64(_) => self.moment::<Time64MicrosecondType>(array, (Part::Time, false), |value| value),
            DataType::Timestamp(unit, zone) => {
                let told = (Part::Both, zone.is_some());
                match unit {
                    TimeUnit::Second => {
                        self.moment::<TimestampSecondType>(array, told, |v| v.saturating_mul(1_000_000))
                    }
                    TimeUnit::Millisecond => {
                        self.moment::<TimestampMillisecondType>(array, told, |v| v.saturating_mul(1000))
                    }
                    TimeUnit::Microsecond => self.moment::<TimestampMicrosecondType>(array, told, |v| v),
                    TimeUnit::Nanosecond => self.moment::<TimestampNanosecondType>(array, told, |v| v.div_euclid(1000)),
                }
            }
            DataType::Duration(TimeUnit::Microsecond) => {
                let values = array.as_primitive::<DurationMicrosecondType>();
                Box::new(move |row, out: &mut Vec<u8>| {
                    time::print_time(values.value(row) / 1_000_000, TimeUnit::Second, out);
                })
            }
            _ => return None,
        })
    }

    /// Values that `micros` turns into microseconds: of the moment where they have a zone, else of the clock on the wall.
    fn moment<'a, T: ArrowPrimitiveType>(
        &'a self,
        array: &'a dyn Array,
        (part, zoned): (Part, bool),
        micros: impl Fn(T::Native) -> i64 + 'a,
    ) -> Print<'a> {
        let values = array.as_primitive::<T>();
        let east = i64::from(self.zone.local_minus_utc()) * 1_000_000;
        match &self.pattern {
            Some(pattern) => Box::new(move |row, out: &mut Vec<u8>| {
                let value = micros(values.value(row));
                let moment = if zoned { value } else { value.saturating_sub(east) };
                pattern::write(pattern, moment, self.zone, out);
            }),
            None => Box::new(move |row, out: &mut Vec<u8>| {
                let value = micros(values.value(row));
                let clock = if zoned { value.saturating_add(east) } else { value };
                let seconds = clock.div_euclid(1_000_000);
                match part {
                    Part::Date => time::print_date(seconds.div_euclid(time::DAY_SECONDS), out),
                    Part::Time => time::print_time(seconds, TimeUnit::Second, out),
                    Part::Both => time::print_timestamp(seconds, TimeUnit::Second, Zone::Local, out),
                }
            }),
        }
    }
}

/// Removes blanks around the text that begins at `start`.
fn trim(out: &mut Vec<u8>, start: usize) {
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let behind = out[start..].iter().rev().take_while(blank).count();
    out.truncate(out.len() - behind);
    let before = out[start..].iter().take_while(blank).count();
    out.drain(start..start + before);
}

/// Prints the value of a row, or says why it cannot.
type TryPrint<'a> = Box<dyn Fn(usize, &mut Vec<u8>) -> Result<()> + 'a>;

/// A column ready to be written.
struct Column<'a> {
    nulls: Option<arrow::buffer::NullBuffer>,
    print: TryPrint<'a>,
}

impl Column<'_> {
    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }
}

/// Floats, of which the infinite ones are written out.
fn floats(array: &dyn Array) -> Option<Print<'_>> {
    let named = |value: f64| match value {
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        _ => None,
    };
    let field = Field::new("", array.data_type().clone(), true);
    let usual = print::column(array, &field)?.print;
    Some(match array.data_type() {
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            Box::new(move |row, out: &mut Vec<u8>| match named(values.value(row).into()) {
                Some(name) => out.extend_from_slice(name.as_bytes()),
                None => usual(row, out),
            })
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            Box::new(move |row, out: &mut Vec<u8>| match named(values.value(row)) {
                Some(name) => out.extend_from_slice(name.as_bytes()),
                None => usual(row, out),
            })
        }
        _ => return None,
    })
}

/// Bytes as the text that they are; what is no UTF-8 is replaced, as nothing else can stand in a text.
fn bytes<'a>(array: &'a dyn Array, field: &Field) -> Option<Print<'a>> {
    let text = |value: &[u8], out: &mut Vec<u8>| out.extend_from_slice(String::from_utf8_lossy(value).as_bytes());
    Some(match field.data_type() {
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            Box::new(move |row, out: &mut Vec<u8>| text(values.value(row), out))
        }
        DataType::LargeBinary => {
            let values = array.as_binary::<i64>();
            Box::new(move |row, out: &mut Vec<u8>| text(values.value(row), out))
        }
        _ => return None,
    })
}
