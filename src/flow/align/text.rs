//! Kernels between texts and types, by the printers and parsers that files use too, and the length of texts.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, BooleanBufferBuilder, LargeStringArray, PrimitiveArray,
    StringArray, StringArrayType, new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Field, IntervalUnit};

use super::Reason;
use super::kernel::{Cast, Kernel, misfits, reshaped};
use super::{number, temporal};
use crate::error::{Error, ErrorKind, Result};
use crate::fate::{self, is_text, max_chars, plain};
use crate::formats::json;
use crate::formats::value::parse::{Form, Misfit, Texts, parse_column, sift_column};
use crate::formats::value::{Dates, Pattern, TimesOfDay, print};
use crate::schema::{ALL_TYPES, DATE_FORMATS, DIGITS, EMPTY_IS_NULL, INTEGERS};

/// Values as text, the way CSV prints them: lists, structs and maps as JSON.
pub(super) fn print(from: &Field, to: &Field) -> Option<Kernel> {
    let from = Field::new("", plain(from.data_type()).clone(), true).with_metadata(from.metadata().clone());
    let none = new_null_array(from.data_type(), 0);
    let kernel = if from.data_type().is_nested() {
        let _ = json::writer(&none, &from).ok()?;
        Kernel::map(move |array| written(array, &from))
    } else {
        print::column(&none, &from)?;
        Kernel::map(move |array| printed(array, &from))
    };
    let target = plain(to.data_type());
    Some(if *target == DataType::Utf8 { kernel } else { kernel.then(reshaped(target)) })
}

fn printed(array: &ArrayRef, from: &Field) -> Result<Cast> {
    let column = print::column(array, from).ok_or_else(|| Error::new(ErrorKind::Internal, "a column has no text"))?;
    texts(column.nulls.clone(), array.len(), |row, text| {
        (column.print)(row, text);
        Ok(())
    })
}

fn written(array: &ArrayRef, from: &Field) -> Result<Cast> {
    let write = json::writer(array, from)?;
    texts(array.logical_nulls(), array.len(), |row, text| write(row, text))
}

fn texts(nulls: Option<NullBuffer>, rows: usize, write: impl FnMut(usize, &mut Vec<u8>) -> Result<()>) -> Result<Cast> {
    Ok(Cast::exact(Arc::new(print::texts(nulls, rows, write)?)))
}

/// Texts as values of `to`, by the exact parsers that files use.
pub(super) fn parse(from: &Field, to: &Field) -> Option<Kernel> {
    parse_with(from, to, TimesOfDay::Refused)
}

/// Texts as the days of `to`, without the times that stand behind them.
pub(super) fn days(from: &Field, to: &Field) -> Option<Kernel> {
    parse_with(from, to, TimesOfDay::Cut)
}

fn parse_with(from: &Field, to: &Field, times: TimesOfDay) -> Option<Kernel> {
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
    let taken = Taken::of((from, to), field.data_type(), times)?;
    let parse = Kernel::map(move |array| parsed(array, &field, taken.form())).then(next);
    let optional = match from.metadata().get(EMPTY_IS_NULL) {
        Some(types) if types == ALL_TYPES => !matches!(target, T::Binary | T::LargeBinary | T::BinaryView),
        Some(_) => target.is_numeric(),
        None => false,
    };
    Some(if optional { Kernel::map(without_empty).then(parse) } else { parse })
}

/// Which texts are taken for values: what the column that they come from says.
enum Taken {
    Usual,
    /// Numbers that have the value of an integer, too.
    ByValue,
    /// These dates, too.
    Also(Dates),
}

impl Taken {
    /// What the column `from` says of values of `target`, which are those of `to` or become them. None where they go by a clock that is not
    /// known.
    fn of((from, to): (&Field, &Field), target: &DataType, times: TimesOfDay) -> Option<Self> {
        let said = from.metadata();
        if target.is_integer() && said.contains_key(INTEGERS) {
            return Some(Self::ByValue);
        }
        let clock = if fate::clock_name(from, to).is_some() { Some(fate::clock(from, to)?) } else { None };
        // What is a number is no date.
        let formats = said.get(DATE_FORMATS).filter(|_| !said.contains_key(DIGITS));
        let is_date = matches!(target, DataType::Date32 | DataType::Timestamp(..));
        if !is_date || formats.is_none() && clock.is_none() && times == TimesOfDay::Refused {
            return Some(Self::Usual);
        }
        // They were looked at when they were noted.
        let patterns = formats.iter().flat_map(|formats| formats.split('\n'));
        Some(Self::Also(Dates {
            patterns: patterns.filter_map(|format| Pattern::lenient(format).ok()).collect(),
            clock,
            times,
        }))
    }

    fn form(&self) -> Form<'_> {
        match self {
            Self::Usual => Form::Any,
            Self::ByValue => Form::ByValue,
            Self::Also(dates) => Form::Also(dates),
        }
    }
}

/// Texts, of which the empty ones become NULL.
fn without_empty(array: &ArrayRef) -> Result<Cast> {
    let rows = array.len();
    let empty = match array.data_type() {
        DataType::Utf8 => BooleanBuffer::collect_bool(rows, |row| array.as_string::<i32>().value(row).is_empty()),
        DataType::LargeUtf8 => BooleanBuffer::collect_bool(rows, |row| array.as_string::<i64>().value(row).is_empty()),
        _ => BooleanBuffer::collect_bool(rows, |row| array.as_string_view().value(row).is_empty()),
    };
    Ok(Cast::exact(nullif(array, &BooleanArray::new(empty, None))?))
}

fn parsed(array: &ArrayRef, to: &Field, form: Form<'_>) -> Result<Cast> {
    match array.data_type() {
        DataType::Utf8 => parsed_from(array.as_string::<i32>(), to, form),
        DataType::LargeUtf8 => parsed_from(array.as_string::<i64>(), to, form),
        _ => parsed_from(array.as_string_view(), to, form),
    }
}

fn parsed_from<'a>(texts: impl StringArrayType<'a>, to: &Field, form: Form<'_>) -> Result<Cast> {
    let count = texts.len();
    let mut bad = Vec::new();
    let parsed = sift_column(&Rows(texts, PhantomData), to, form, &mut |misfit| match misfit {
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

/// Texts without what `to` has no room for.
pub(super) fn cut(to: &Field) -> Option<Kernel> {
    let room = max_chars(to)?;
    let cut = Kernel::map(move |array| {
        let first = |text: &'_ str| text.char_indices().nth(room).map_or(text.len(), |(end, _)| end);
        let texts = array.as_string::<i64>().iter();
        Ok(Cast::exact(Arc::new(texts.map(|text| text.map(|text| &text[..first(text)])).collect::<LargeStringArray>())))
    });
    Some(reshaped(&DataType::LargeUtf8).then(cut).then(reshaped(plain(to.data_type()))))
}

/// Texts of numbers as values of `to`, each the one that `function` finds.
pub(super) fn numbers<O: ArrowPrimitiveType>(
    to: &DataType,
    function: impl Fn(&[u8]) -> Option<O::Native> + Send + Sync + 'static,
) -> Kernel {
    let to = to.clone();
    let parse = Kernel::map(move |array| {
        let texts = array.as_string::<i64>();
        let values: PrimitiveArray<O> =
            texts.iter().map(|text| text.and_then(|text| function(text.trim_ascii().as_bytes()))).collect();
        let bad = BooleanBuffer::collect_bool(texts.len(), |row| texts.is_valid(row) && values.is_null(row));
        Ok(Cast { array: Arc::new(values.with_data_type(to.clone())), misfits: misfits(bad, None, Reason::Text) })
    });
    reshaped(&DataType::LargeUtf8).then(parse)
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
