//! Blocks of fetched values to arrays. Each value is checked to be whole: not all drivers warn of what they cut.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, BooleanArray, Float32Array, Float64Array, Int64Array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use arrow_odbc::odbc_api::Bit;
use arrow_odbc::odbc_api::buffers::{AnyColumnBufferSlice, Indicator, TextColumnSlice};

use super::columns::{Column, Form};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::value::parse::{Form as Taken, Misfit, Texts, parse_column};

/// The values of `column` in one block; `before` rows came before it.
///
/// # Errors
/// [`Value`](ErrorKind::Value) for one that was cut, or is none of the column's type.
pub(super) fn array(column: &Column, values: AnyColumnBufferSlice<'_>, before: u64) -> Result<ArrayRef> {
    decoded(column, values, before).map_err(|error| error.at("column", column.field.name()))
}

fn decoded(column: &Column, values: AnyColumnBufferSlice<'_>, before: u64) -> Result<ArrayRef> {
    match column.form {
        Form::Text(most) => {
            let texts = values.as_text().ok_or_else(other_buffer)?;
            whole(texts.has_truncated_values(), most)?;
            parse_column(&Block(texts), &column.field, Taken::Any).map_err(|misfit| misfitting(column, misfit, before))
        }
        Form::Bytes(most) => {
            let bytes = values.as_binary().ok_or_else(other_buffer)?;
            whole(bytes.has_truncated_values(), most)?;
            if column.field.data_type() == &DataType::Boolean {
                let is_set = |value: &[u8]| value.iter().any(|byte| *byte != 0);
                return Ok(Arc::new(bytes.iter().map(|value| value.map(is_set)).collect::<BooleanArray>()));
            }
            let total = bytes.iter().flatten().map(<[u8]>::len).sum();
            let mut builder = BinaryBuilder::with_capacity(bytes.len(), total);
            for value in bytes.iter() {
                builder.append_option(value);
            }
            Ok(Arc::new(builder.finish()))
        }
        Form::Whole => {
            let numbers = values.as_nullable_slice::<i64>().ok_or_else(other_buffer)?;
            let array: Int64Array = numbers.map(Option::<&i64>::copied).collect();
            let strict = CastOptions { safe: false, ..CastOptions::default() };
            cast_with_options(&array, column.field.data_type(), &strict).map_err(|_| {
                let message = format!("a number of the driver is no {}", column.field.data_type());
                Error::new(ErrorKind::Value, message).with_hint("cast the column to a wider type in a --query")
            })
        }
        Form::Float => {
            let numbers = values.as_nullable_slice::<f64>().ok_or_else(other_buffer)?;
            Ok(match column.field.data_type() {
                DataType::Float32 => {
                    Arc::new(numbers.map(|number| number.map(|number| *number as f32)).collect::<Float32Array>())
                }
                _ => Arc::new(numbers.map(Option::<&f64>::copied).collect::<Float64Array>()),
            })
        }
        Form::Bit => {
            let bits = values.as_nullable_slice::<Bit>().ok_or_else(other_buffer)?;
            Ok(Arc::new(bits.map(|bit| bit.map(|bit| bit.0 != 0)).collect::<BooleanArray>()))
        }
    }
}

fn other_buffer() -> Error {
    Error::new(ErrorKind::Internal, "the column was fetched in another form than it was asked for")
}

/// Refuses values of which the end is missing.
fn whole(cut: Option<Indicator>, most: usize) -> Result<()> {
    let Some(indicator) = cut else { return Ok(()) };
    let message = match indicator.length() {
        Some(bytes) => format!("a value has {bytes} bytes, and at most {most} are read"),
        None => format!("a value has more than the {most} bytes that are read"),
    };
    Err(Error::new(ErrorKind::Value, message)
        .with_hint("raise it with textBytes=… behind ? of the locator, or cast the column to text in a --query"))
}

fn misfitting(column: &Column, misfit: Misfit, before: u64) -> Error {
    let at = |error: Error, row: usize| error.at("row", before + row as u64 + 1);
    match misfit {
        Misfit::Row(row) => {
            let message = format!("what the driver reads is no value of {}", column.field.data_type());
            let error = Error::new(ErrorKind::Value, message);
            at(error.with_hint("cast the column to text in a --query"), row)
        }
        Misfit::Encoding(row, _) => {
            let error = Error::new(ErrorKind::Value, "the text that the driver reads is no UTF-8");
            at(error.with_hint("set the driver's character set to UTF-8: CHARSET=utf8mb4, NLS_LANG=.AL32UTF8"), row)
        }
        Misfit::Type => Error::new(ErrorKind::Internal, format!("no text is read as {}", column.field.data_type())),
        Misfit::Size => {
            Error::new(ErrorKind::Resource, "the texts of a block are too long").with_hint("lower textBytes")
        }
    }
}

/// The texts of one column in a block.
struct Block<'c>(TextColumnSlice<'c, u8>);

impl Texts for Block<'_> {
    fn rows(&self) -> usize {
        self.0.len()
    }

    fn text<'a>(&'a self, row: usize, _scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        self.0.get(row)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array as _, AsArray as _, Decimal128Array};
    use arrow::datatypes::{Decimal128Type, Field};
    use arrow_odbc::odbc_api::buffers::{AnyColumnBuffer, Slice as _, TextColumn};

    use super::*;

    fn parsed(data_type: DataType, most: usize, values: &[Option<&str>]) -> Result<ArrayRef> {
        let longest = values.iter().flatten().map(|value| value.len()).max().unwrap_or(0);
        let mut texts = TextColumn::<u8>::new(values.len(), longest);
        for (row, value) in values.iter().enumerate() {
            texts.set_value(row, value.map(str::as_bytes));
        }
        let texts: Box<dyn AnyColumnBuffer> = Box::new(texts);
        let column = Column { field: Field::new("v", data_type, true), form: Form::Text(most) };
        array(&column, texts.slice(values.len()), 10)
    }

    #[test]
    fn texts_are_parsed_exactly() {
        let values = [Some("12.5"), None, Some("-.25")];
        let array = parsed(DataType::Decimal128(5, 2), 128, &values).unwrap();
        let expected = Decimal128Array::from(vec![Some(1250), None, Some(-25)]);
        assert_eq!(array.as_primitive::<Decimal128Type>(), &expected.with_precision_and_scale(5, 2).unwrap());
        assert_eq!(parsed(DataType::Utf8, 9, &[Some(""), None]).unwrap().null_count(), 1);
    }

    #[test]
    fn what_is_no_value_is_an_error_with_its_row() {
        for text in ["NaN", "1.234", "123456"] {
            let error = parsed(DataType::Decimal128(5, 2), 128, &[Some("1"), Some(text)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Value, "{text}");
            assert!(error.to_string().contains("row 12") && !error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn a_value_that_was_cut_is_an_error() {
        for (indicator, words) in [(Indicator::Length(99), "has 99 bytes"), (Indicator::NoTotal, "more than the 64")] {
            let error = whole(Some(indicator), 64).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.hint().unwrap().contains("textBytes"), "{error:?}");
        }
        assert!(whole(None, 64).is_ok());
    }
}
