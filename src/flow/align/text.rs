//! Kernels between texts and types, by the printers and parsers that files use too, and the length of texts.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanBufferBuilder, StringArray, StringArrayType, new_null_array};
use arrow::buffer::{BooleanBuffer, Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, IntervalUnit};

use super::Reason;
use super::kernel::{Cast, Kernel, misfits, reshaped};
use super::{number, temporal};
use crate::error::{Error, ErrorKind, Result};
use crate::fate::{is_text, max_chars, plain};
use crate::formats::value::parse::{Form, Misfit, Texts, parse_column, sift_column};
use crate::formats::value::print;

/// Values as text, the way CSV prints them.
pub(super) fn print(from: &Field, to: &Field) -> Option<Kernel> {
    let from = Field::new("", plain(from.data_type()).clone(), true).with_metadata(from.metadata().clone());
    let none = new_null_array(from.data_type(), 0);
    print::column(&none, &from)?;
    let kernel = Kernel::map(move |array| printed(array, &from));
    let target = plain(to.data_type());
    Some(if *target == DataType::Utf8 { kernel } else { kernel.then(reshaped(target)) })
}

fn printed(array: &ArrayRef, from: &Field) -> Result<Cast> {
    let column = print::column(array, from).ok_or_else(|| Error::new(ErrorKind::Internal, "a column has no text"))?;
    let mut text = Vec::with_capacity(array.len() * 8);
    let mut ends = Vec::with_capacity(array.len() + 1);
    ends.push(0i32);
    for row in 0..array.len() {
        if !column.is_null(row) {
            (column.print)(row, &mut text);
        }
        let too_long = |_| Error::new(ErrorKind::Resource, "the texts of a batch are longer than 2 GB");
        ends.push(i32::try_from(text.len()).map_err(too_long)?);
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
    let nulls = column.nulls.clone();
    Ok(Cast::exact(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(text), nulls)?)))
}

/// Texts as values of `to`, by the exact parsers that files use.
pub(super) fn parse(to: &Field) -> Option<Kernel> {
    use DataType as T;
    let target = plain(to.data_type());
    // Types that have no parser of their own go by way of one that has.
    let (between, next) = match target {
        T::Decimal32(precision, scale) | T::Decimal64(precision, scale) => {
            let wide = T::Decimal128(*precision, *scale);
            (wide.clone(), number::kernel(&wide, target)?)
        }
        T::Float16 => (T::Float32, number::kernel(&T::Float32, target)?),
        T::Date64 => (T::Date32, temporal::kernel(&T::Date32, target)?),
        T::BinaryView => (T::LargeBinary, reshaped(target)),
        T::Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime) => {
            let wide = T::Interval(IntervalUnit::MonthDayNano);
            (wide.clone(), temporal::kernel(&wide, target)?)
        }
        other => (other.clone(), Kernel::Same),
    };
    let field = Field::new("", between, true).with_metadata(to.metadata().clone());
    let none: &dyn Array = &StringArray::new_null(0);
    parse_column(&Rows(none.as_string::<i32>(), PhantomData), &field, Form::Any).ok()?;
    Some(Kernel::map(move |array| parsed(array, &field)).then(next))
}

fn parsed(array: &ArrayRef, to: &Field) -> Result<Cast> {
    match array.data_type() {
        DataType::Utf8 => parsed_from(array.as_string::<i32>(), to),
        DataType::LargeUtf8 => parsed_from(array.as_string::<i64>(), to),
        _ => parsed_from(array.as_string_view(), to),
    }
}

fn parsed_from<'a>(texts: impl StringArrayType<'a>, to: &Field) -> Result<Cast> {
    let count = texts.len();
    let mut bad = Vec::new();
    let parsed = sift_column(&Rows(texts, PhantomData), to, Form::Any, &mut |misfit| match misfit {
        Misfit::Row(row) | Misfit::Encoding(row, _) => {
            bad.push(row);
            Ok(())
        }
        misfit => Err(misfit),
    });
    match parsed {
        Ok(array) if bad.is_empty() => Ok(Cast::exact(array)),
        Ok(array) => {
            let mut rows = BooleanBufferBuilder::new(count);
            rows.append_n(count, false);
            for row in bad {
                rows.set_bit(row, true);
            }
            Ok(Cast { array, misfits: misfits(rows.finish(), None, Reason::Text) })
        }
        Err(Misfit::Row(_) | Misfit::Encoding(..)) => Err(Error::new(ErrorKind::Internal, "a text was refused twice")),
        Err(Misfit::Type) => Err(Error::new(ErrorKind::Internal, "this type has no text form")),
        Err(Misfit::Size) => Err(Error::new(ErrorKind::Resource, "the texts of a batch are longer than 2 GB")),
    }
}

/// The texts of an array.
struct Rows<'b, S>(S, PhantomData<&'b str>);

impl<'b, S: StringArrayType<'b>> Texts for Rows<'b, S> {
    fn rows(&self) -> usize {
        self.0.len()
    }

    fn text<'a>(&'a self, row: usize, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        self.0.is_valid(row).then(|| self.0.value(row).as_bytes())
    }
}

/// Refuses texts with more characters than `to` takes; nothing where `from` has no longer ones.
pub(super) fn limit(from: &Field, to: &Field) -> Kernel {
    let Some(room) = max_chars(to).filter(|_| is_text(plain(to.data_type()))) else { return Kernel::Same };
    if is_text(plain(from.data_type())) && max_chars(from).is_some_and(|have| have <= room) {
        return Kernel::Same;
    }
    Kernel::map(move |array| {
        let misfits = match array.data_type() {
            DataType::Utf8 => longer(&array.as_string::<i32>(), room),
            DataType::LargeUtf8 => longer(&array.as_string::<i64>(), room),
            _ => longer(&array.as_string_view(), room),
        };
        Ok(Cast { array: Arc::clone(array), misfits })
    })
}

fn longer<'a>(texts: &impl StringArrayType<'a>, room: usize) -> Option<(BooleanBuffer, Reason)> {
    // A character has a byte at least: most texts need not be counted.
    let long = |row: usize| {
        let text = texts.value(row);
        text.len() > room && text.chars().count() > room
    };
    let rows = BooleanBuffer::collect_bool(texts.len(), |row| texts.is_valid(row) && long(row));
    misfits(rows, None, Reason::Length { room })
}
