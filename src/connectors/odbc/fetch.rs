//! Blocks of fetched values to arrays. Each value is checked to be whole: not all drivers warn of what they cut.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, BinaryBuilder, BooleanArray, Float32Array, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow_odbc::odbc_api::Bit;
use arrow_odbc::odbc_api::buffers::{AnyColumnBufferSlice, TextColumnSlice};

use super::columns::{Column, Form};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::parting::{Refuse, told};
use crate::formats::value::parse::{Form as Taken, Misfit, Texts, sift_column};

/// The values of `column` in one block. Each that was cut, or is none of the column's type, is given to `refuse`, and NULL in the
/// array.
///
/// # Errors
/// Those that are no matter of a value.
pub(super) fn array(column: &Column, values: AnyColumnBufferSlice<'_>, refuse: &mut Refuse<'_>) -> Result<ArrayRef> {
    match column.form {
        Form::Text(most) => parsed(column, &Block(values.as_text().ok_or_else(other_buffer)?, most), refuse),
        Form::Bytes(most) => {
            let bytes = values.as_binary().ok_or_else(other_buffer)?;
            refuse_long(bytes.iter(), most, refuse);
            let whole = bytes.iter().map(|value| value.filter(|value| value.len() <= most));
            if column.field.data_type() == &DataType::Boolean {
                let is_set = |value: &[u8]| value.iter().any(|byte| *byte != 0);
                return Ok(Arc::new(whole.map(|value| value.map(is_set)).collect::<BooleanArray>()));
            }
            let total = bytes.iter().flatten().map(<[u8]>::len).sum();
            let mut builder = BinaryBuilder::with_capacity(bytes.len(), total);
            for value in whole {
                builder.append_option(value);
            }
            Ok(Arc::new(builder.finish()))
        }
        Form::Whole => {
            let numbers = values.as_nullable_slice::<i64>().ok_or_else(other_buffer)?;
            let numbers: Int64Array = numbers.map(Option::<&i64>::copied).collect();
            narrowed(&numbers, column.field.data_type(), refuse)
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

/// The texts of `block` as values of `column`.
fn parsed(column: &Column, block: &Block<'_>, refuse: &mut Refuse<'_>) -> Result<ArrayRef> {
    let Block(texts, most) = *block;
    refuse_long(texts.iter(), most, refuse);
    let mut note = |misfit: Misfit| {
        let (Misfit::Row(row) | Misfit::Encoding(row, _)) = misfit else { return Err(misfit) };
        refuse(row, texts.get(row).map(told), misfitting(column, misfit));
        Ok(())
    };
    sift_column(block, &column.field, Taken::Any, &mut note).map_err(|misfit| misfitting(column, misfit))
}

/// The same numbers in `data_type`.
fn narrowed(numbers: &Int64Array, data_type: &DataType, refuse: &mut Refuse<'_>) -> Result<ArrayRef> {
    let array = cast(numbers, data_type)?;
    if array.null_count() > numbers.null_count() {
        for (row, number) in numbers.iter().enumerate() {
            if let Some(number) = number.filter(|_| array.is_null(row)) {
                let error = Error::new(ErrorKind::Value, format!("a number of the driver is no {data_type}"));
                let error = error.with_hint("cast the column to a wider type in a --query");
                refuse(row, Some(number.to_string()), error);
            }
        }
    }
    Ok(array)
}

/// Refuses values that are longer than what is read. Of such a one the driver gives the beginning, which fills the buffer.
fn refuse_long<'v>(values: impl Iterator<Item = Option<&'v [u8]>>, most: usize, refuse: &mut Refuse<'_>) {
    for (row, value) in values.enumerate() {
        if value.is_some_and(|value| value.len() > most) {
            let error = Error::new(ErrorKind::Value, format!("a value has more than the {most} bytes that are read"));
            let hint = "raise it with textBytes=… behind ? of the locator, or cast the column to text in a --query";
            refuse(row, None, error.with_hint(hint));
        }
    }
}

fn misfitting(column: &Column, misfit: Misfit) -> Error {
    match misfit {
        Misfit::Row(_) => {
            let message = format!("what the driver reads is no value of {}", column.field.data_type());
            Error::new(ErrorKind::Value, message).with_hint("cast the column to text in a --query")
        }
        Misfit::Encoding(..) => Error::new(ErrorKind::Value, "the text that the driver reads is no UTF-8")
            .with_hint("set the driver's character set to UTF-8: CHARSET=utf8mb4, NLS_LANG=.AL32UTF8"),
        Misfit::Type => Error::new(ErrorKind::Internal, format!("no text is read as {}", column.field.data_type())),
        Misfit::Size => {
            Error::new(ErrorKind::Resource, "the texts of a block are too long").with_hint("lower textBytes")
        }
    }
}

/// The texts of one column in a block, of at most so many bytes each. Longer ones are NULL.
struct Block<'c>(TextColumnSlice<'c, u8>, usize);

impl Texts for Block<'_> {
    fn rows(&self) -> usize {
        self.0.len()
    }

    fn text<'a>(&'a self, row: usize, _scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        self.0.get(row).filter(|text| text.len() <= self.1)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray as _, Decimal128Array};
    use arrow::datatypes::{Decimal128Type, Field, Int16Type};
    use arrow_odbc::odbc_api::buffers::{AnyColumnBuffer, BufferDesc, Slice as _, TextColumn};

    use super::*;

    /// The array, and what was refused: row, text and reason.
    fn parsed(data_type: DataType, most: usize, values: &[Option<&str>]) -> (ArrayRef, Vec<(usize, String, Error)>) {
        let column = Column { field: Field::new("v", data_type, true), form: Form::Text(most) };
        let BufferDesc::Text { max_str_len } = column.form.buffer() else { panic!("{column:?}") };
        let mut texts = TextColumn::<u8>::new(values.len(), max_str_len);
        for (row, value) in values.iter().enumerate() {
            // As a driver that cuts between characters.
            let is_kept = |value: &str, at: usize| at <= max_str_len && value.is_char_boundary(at);
            let fits = |value: &str| (0..=value.len()).rev().find(|at| is_kept(value, *at)).unwrap();
            texts.set_value(row, value.map(|value| &value.as_bytes()[..fits(value)]));
        }
        let texts: Box<dyn AnyColumnBuffer> = Box::new(texts);
        let mut refused = Vec::new();
        let mut refuse =
            |row: usize, text: Option<String>, error: Error| refused.push((row, text.unwrap_or_default(), error));
        let array = array(&column, texts.slice(values.len()), &mut refuse).unwrap();
        (array, refused)
    }

    #[test]
    fn texts_are_parsed_exactly() {
        let values = [Some("12.5"), None, Some("-.25")];
        let (array, refused) = parsed(DataType::Decimal128(5, 2), 128, &values);
        let expected = Decimal128Array::from(vec![Some(1250), None, Some(-25)]);
        assert_eq!(array.as_primitive::<Decimal128Type>(), &expected.with_precision_and_scale(5, 2).unwrap());
        assert!(refused.is_empty());
        assert_eq!(parsed(DataType::Utf8, 9, &[Some(""), None]).0.null_count(), 1);
    }

    #[test]
    fn what_is_no_value_is_refused_with_its_row() {
        for text in ["NaN", "1.234", "123456"] {
            let (array, refused) = parsed(DataType::Decimal128(5, 2), 128, &[Some("1"), Some(text), Some("2")]);
            assert_eq!(array.as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>(), [Some(100), None, Some(200)]);
            let [(1, told, error)] = &refused[..] else { panic!("{refused:?}") };
            assert_eq!((told.as_str(), error.kind()), (text, ErrorKind::Value));
            assert!(!error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn a_value_that_was_cut_is_refused_and_one_at_the_limit_is_not() {
        let values = [Some("abcd"), Some("abcde"), Some("abcdefghijk"), Some("a"), Some("abc😀")];
        let (array, refused) = parsed(DataType::Utf8, 4, &values);
        let texts: Vec<_> = array.as_string::<i32>().iter().collect();
        assert_eq!(texts, [Some("abcd"), None, None, Some("a"), None]);
        assert_eq!(refused.iter().map(|(row, ..)| *row).collect::<Vec<_>>(), [1, 2, 4]);
        for (_, told, error) in refused {
            assert_eq!((told.as_str(), error.message()), ("", "a value has more than the 4 bytes that are read"));
            assert!(error.hint().unwrap().contains("textBytes"), "{error:?}");
        }
    }

    #[test]
    fn a_number_that_is_too_great_is_refused() {
        let numbers = Int64Array::from(vec![Some(32_767), None, Some(32_768), Some(-32_768)]);
        let mut refused = Vec::new();
        let mut refuse = |row: usize, text: Option<String>, _: Error| refused.push((row, text));
        let array = narrowed(&numbers, &DataType::Int16, &mut refuse).unwrap();
        let expected = [Some(32_767), None, None, Some(-32_768)];
        assert_eq!(array.as_primitive::<Int16Type>().iter().collect::<Vec<_>>(), expected);
        assert_eq!(refused, [(2, Some("32768".to_owned()))]);
    }
}
