//! Values of columns as the texts that stand in fields.

use arrow::array::types::{
    ArrowPrimitiveType, Date32Type, DurationMicrosecondType, Float32Type, Float64Type, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::array::{Array, AsArray as _};
use arrow::datatypes::{DataType, Field, TimeUnit};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use chrono::FixedOffset;

use super::options::{BytesForm, FloatForm, LooseOptions};
use super::pattern::{self, DAY_MICROS};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::json;
use crate::formats::value::Pattern;
use crate::formats::value::print::{self, Print};
use crate::formats::value::time::{self, Zone};
use crate::schema::NATIVE;

/// How values are printed: the options, looked through once.
#[derive(Clone, Debug)]
pub(super) struct Forms {
    pattern: Option<Pattern>,
    /// Whose clocks show moments that have a zone.
    zone: FixedOffset,
    bytes: BytesForm,
    floats: FloatForm,
}

/// A column ready to be printed.
pub(super) struct Column<'a> {
    nulls: Option<arrow::buffer::NullBuffer>,
    /// Prints the value of a row that is not NULL.
    pub(super) print: TryPrint<'a>,
}

/// Prints the value of a row, or says why it cannot.
type TryPrint<'a> = Box<dyn Fn(usize, &mut Vec<u8>) -> Result<()> + 'a>;

impl Column<'_> {
    pub(super) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }
}

/// What is printed of a moment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Date,
    Time,
    Both,
}

impl Forms {
    pub(super) fn new(options: &LooseOptions) -> Result<Self> {
        let utc = FixedOffset::east_opt(0).ok_or_else(|| Error::new(ErrorKind::Internal, "there is no zone"))?;
        Ok(Self {
            pattern: options.date_format.as_deref().map(Pattern::lenient).transpose()?,
            zone: options.zone.as_deref().and_then(pattern::offset).unwrap_or(utc),
            bytes: options.bytes,
            floats: options.floats,
        })
    }

    /// `array`, whose column is `field`, ready to be printed.
    pub(super) fn column<'a>(&'a self, array: &'a dyn Array, field: &Field) -> Result<Column<'a>> {
        let nulls = array.logical_nulls();
        let own = || {
            self.zoned_times(array, field)
                .or_else(|| floats(array, self.floats))
                .or_else(|| bytes(array, field, self.bytes))
        };
        let print = match self.moments(array) {
            Some(print) => print,
            None => match own().or_else(|| print::column(array, field).map(|column| column.print)) {
                Some(print) => surely(print),
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
    fn moments<'a>(&'a self, array: &'a dyn Array) -> Option<TryPrint<'a>> {
        Some(match array.data_type() {
            DataType::Date32 => {
                self.moment::<Date32Type>(array, (Part::Date, false), |days| i64::from(days).checked_mul(DAY_MICROS))
            }
            DataType::Time32(TimeUnit::Second) => {
                self.moment::<Time32SecondType>(array, (Part::Time, false), |value| Some(i64::from(value) * 1_000_000))
            }
            DataType::Time32(_) => {
                self.moment::<Time32MillisecondType>(array, (Part::Time, false), |value| Some(i64::from(value) * 1000))
            }
            DataType::Time64(TimeUnit::Nanosecond) => {
                self.moment::<Time64NanosecondType>(array, (Part::Time, false), |value| Some(value.div_euclid(1000)))
            }
            DataType::Time64(_) => self.moment::<Time64MicrosecondType>(array, (Part::Time, false), Some),
            DataType::Timestamp(unit, zone) => {
                let told = (Part::Both, zone.is_some());
                match unit {
                    TimeUnit::Second => self.moment::<TimestampSecondType>(array, told, |v| v.checked_mul(1_000_000)),
                    TimeUnit::Millisecond => {
                        self.moment::<TimestampMillisecondType>(array, told, |v| v.checked_mul(1000))
                    }
                    TimeUnit::Microsecond => self.moment::<TimestampMicrosecondType>(array, told, Some),
                    TimeUnit::Nanosecond => {
                        self.moment::<TimestampNanosecondType>(array, told, |v| Some(v.div_euclid(1000)))
                    }
                }
            }
            DataType::Duration(TimeUnit::Microsecond) => {
                let values = array.as_primitive::<DurationMicrosecondType>();
                surely(Box::new(move |row, out: &mut Vec<u8>| {
                    time::print_time(values.value(row) / 1_000_000, TimeUnit::Second, out);
                }))
            }
            _ => return None,
        })
    }

    /// Values that `micros` turns into microseconds, where these have a number: of the moment where they have a zone, else of the
    /// clock on the wall.
    fn moment<'a, T: ArrowPrimitiveType>(
        &'a self,
        array: &'a dyn Array,
        (part, zoned): (Part, bool),
        micros: impl Fn(T::Native) -> Option<i64> + 'a,
    ) -> TryPrint<'a> {
        let values = array.as_primitive::<T>();
        let east = i64::from(self.zone.local_minus_utc()) * 1_000_000;
        // What the clock on the wall shows, and the moment.
        let told = move |row: usize| {
            let value = micros(values.value(row))?;
            if zoned { Some((value.checked_add(east)?, value)) } else { Some((value, value.checked_sub(east)?)) }
        };
        Box::new(move |row, out: &mut Vec<u8>| {
            let (clock, moment) = told(row).ok_or_else(too_far)?;
            let seconds = clock.div_euclid(1_000_000);
            match (&self.pattern, part) {
                (Some(pattern), _) => pattern::write(pattern, moment, self.zone, out),
                (None, Part::Date) => time::print_date(seconds.div_euclid(time::DAY_SECONDS), out),
                (None, Part::Time) => time::print_time(seconds, TimeUnit::Second, out),
                (None, Part::Both) => time::print_timestamp(seconds, TimeUnit::Second, Zone::Local, out),
            }
            Ok(())
        })
    }
}

/// The error of a date that microseconds do not count.
fn too_far() -> Error {
    Error::new(ErrorKind::Value, "the date is more than 292,000 years away, and is not written in this form")
}

/// What is always printed.
fn surely(print: Print<'_>) -> TryPrint<'_> {
    Box::new(move |row, out: &mut Vec<u8>| {
        print(row, out);
        Ok(())
    })
}

/// Floats, of which the infinite ones are written out.
fn floats(array: &dyn Array, form: FloatForm) -> Option<Print<'_>> {
    let named = |value: f64| match value {
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        _ => None,
    };
    let field = Field::new("", array.data_type().clone(), true);
    let pointed = print::column(array, &field)?.print;
    let usual = move |row: usize, out: &mut Vec<u8>| {
        let start = out.len();
        pointed(row, out);
        if form == FloatForm::Short {
            without_point(out, start);
        }
    };
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

/// Of the float that begins at `start` leaves the point out where no fraction is behind it.
fn without_point(out: &mut Vec<u8>, start: usize) {
    let text = &out[start..];
    let end = memchr::memchr(b'e', text).unwrap_or(text.len());
    if text[..end].ends_with(b".0") {
        out.drain(start + end - 2..start + end);
    }
}

/// Bytes as the text that they are, of which what is no UTF-8 is replaced, as nothing else can stand in a text; or in base64.
fn bytes<'a>(array: &'a dyn Array, field: &Field, form: BytesForm) -> Option<Print<'a>> {
    let text = move |value: &[u8], out: &mut Vec<u8>| match form {
        BytesForm::Text => out.extend_from_slice(String::from_utf8_lossy(value).as_bytes()),
        BytesForm::Base64 => out.extend_from_slice(BASE64_STANDARD.encode(value).as_bytes()),
    };
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
