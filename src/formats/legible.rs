//! What comes back of a text file: values of the types that a text is parsed to, and of all others the text.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::json;
use super::value::parse::{Form, Misfit, Texts, parse_column};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::schema::{EXTENSION, EXTENSION_JSON, is_json, record_batch, with_metadata};

/// Whether the texts are members of JSON objects, where NULL and the JSON value `null` are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// Fields of CSV.
    Csv,
    /// Members of JSON lines.
    Json,
}

/// The columns of `schema` as they can be read again.
pub fn schema(schema: &Schema, within: Within) -> SchemaRef {
    let field =
        |field: &FieldRef| if is_kept(field, within) { Arc::clone(field) } else { Arc::new(text(field, within)) };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

/// `batch` as it comes back where each value is written and read as it should be.
///
/// # Errors
/// Those of writing it.
pub fn batch(batch: &RecordBatch, within: Within) -> Result<RecordBatch> {
    let schema = schema(batch.schema_ref(), within);
    let columns = batch.schema_ref().fields().iter().zip(batch.columns());
    let columns = columns.map(|(field, array)| {
        let kept = is_kept(field, within);
        if kept { Ok(Arc::clone(array)) } else { texts(array, field).at("column", || field.name()) }
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    record_batch(&schema, columns, batch.num_rows())
}

/// Whether values of `field` come back as values of its type.
fn is_kept(field: &Field, within: Within) -> bool {
    let rewritten = within == Within::Json && is_json(field);
    !rewritten && !matches!(parse_column(&Nothing, field, Form::Any), Err(Misfit::Type))
}

fn text(field: &Field, within: Within) -> Field {
    let text = Field::new(field.name(), DataType::Utf8, true);
    let raw = within == Within::Json && (field.data_type().is_nested() || is_json(field));
    if raw { with_metadata(text, EXTENSION, EXTENSION_JSON) } else { text }
}

/// The values as they stand in JSON, strings without their quotes.
fn texts(array: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    let write = json::writer(array.as_ref(), field)?;
    let raw = field.data_type().is_nested() || is_json(field);
    let mut texts = StringBuilder::new();
    let mut out = Vec::new();
    for row in 0..array.len() {
        out.clear();
        write(row, &mut out)?;
        let text = match out.as_slice() {
            b"null" => None,
            [b'"', text @ .., b'"'] if !raw => Some(text),
            text => Some(text),
        };
        let text = text.map(std::str::from_utf8).transpose();
        texts.append_option(text.map_err(|_| Error::new(ErrorKind::Internal, "a text that was written is not UTF-8"))?);
    }
    Ok(Arc::new(texts.finish()))
}

/// A column of no rows.
struct Nothing;

impl Texts for Nothing {
    fn rows(&self) -> usize {
        0
    }

    fn text<'a>(&'a self, _row: usize, _scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray as _, Int32Array, ListArray, StringArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn lists_are_texts_and_numbers_stay_numbers() {
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
        let words: ArrayRef = Arc::new(StringArray::from(vec![Some("{\"a\":\n1}"), Some("null"), None]));
        let columns: [(&str, ArrayRef); 2] = [("n", Arc::new(Int32Array::from(vec![1, 2, 3]))), ("l", Arc::new(lists))];
        let mut fields: Vec<Field> = RecordBatch::try_from_iter(columns.clone())
            .unwrap()
            .schema()
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(true))
            .collect();
        fields.push(with_metadata(Field::new("j", DataType::Utf8, true), EXTENSION, EXTENSION_JSON));
        let columns = columns.into_iter().map(|(_, column)| column).chain([words]).collect();
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let texts = |batch: &RecordBatch, at: usize| {
            batch.column(at).as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>()
        };
        let text = |text: &str| Some(text.to_owned());
        for within in [Within::Csv, Within::Json] {
            let read = batch(&rows, within).unwrap();
            assert_eq!(read.column(0), rows.column(0));
            assert_eq!(texts(&read, 1), [text("[1,null]"), None, text("[]")]);
        }
        assert_eq!(texts(&batch(&rows, Within::Csv).unwrap(), 2), [text("{\"a\":\n1}"), text("null"), None]);
        assert_eq!(texts(&batch(&rows, Within::Json).unwrap(), 2), [text("{\"a\": 1}"), None, None]);
    }
}
