//! Rows of a server with a value that has no place in Arrow: they are left out, and told in text beside the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::{Fault, Fields, Indexed, Span};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::value::print;
use crate::reject::{Rejects, Stage};

/// How the columns of rows are decoded.
pub(crate) trait Decoder {
    /// The column at `position`.
    fn array(&self, position: usize, fields: Fields<'_>) -> Result<ArrayRef, Fault>;

    /// The text of a value at `position` that has no place in the column; none where it has none.
    fn text(&self, position: usize, value: &[u8]) -> Option<String>;

    /// `fault` with its column and its row.
    fn error(&self, position: usize, fault: &Fault) -> Error;
}

/// Decodes `rows` rows with the columns of `schema`. Those that have a value which their column does not hold come beside the
/// others.
///
/// # Errors
/// Those that are no matter of a value.
pub(crate) fn sift(
    schema: &SchemaRef,
    (indexed, rows): (&Indexed<'_>, usize),
    decoder: &impl Decoder,
) -> Result<(RecordBatch, Option<Rejects>)> {
    let mut faults = BTreeMap::new();
    let columns = 0..schema.fields().len();
    let arrays: Vec<Option<ArrayRef>> = columns
        .map(|position| whole(position, indexed.column(position), decoder, &mut faults))
        .collect::<Result<_, _>>()
        .map_err(|(position, fault)| decoder.error(position, &fault))?;
    if faults.is_empty() {
        return Ok((batch(schema, arrays.into_iter().flatten().collect(), rows)?, None));
    }
    let good = BooleanBuffer::collect_bool(rows, |row| !faults.contains_key(&row));
    let (kept, refused) = (BooleanArray::new(good.clone(), None), BooleanArray::new(!&good, None));
    let (mut fitting, mut told, mut fields) = (Vec::new(), Vec::new(), Vec::<FieldRef>::new());
    for (position, (array, field)) in arrays.iter().zip(schema.fields()).enumerate() {
        let values = indexed.column(position);
        if let Some(array) = array {
            fitting.push(filter(array, &kept)?);
            told.push(filter(array, &refused)?);
            fields.push(Arc::clone(field));
        } else {
            let spans: Vec<Span> = good.set_indices().map(|row| values.spans[row]).collect();
            let array = decoder.array(position, Fields::new(values.bytes, &spans));
            fitting.push(array.map_err(|fault| decoder.error(position, &fault))?);
            let texts: StringArray = faults.keys().map(|row| text(position, values, *row, field, decoder)).collect();
            told.push(Arc::new(texts));
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
        }
    }
    let errors: Vec<Error> = faults.values().map(|(position, fault)| decoder.error(*position, fault)).collect();
    let told = batch(&Arc::new(Schema::new(fields)), told, errors.len())?;
    let fitting = batch(schema, fitting, rows - errors.len())?;
    Ok((fitting, Some(Rejects::new(Stage::Read, told, errors))))
}

/// The column at `position`, if it holds all values. Rows with one that it does not hold are noted in `faults`, each with its
/// first column.
fn whole(
    position: usize,
    fields: Fields<'_>,
    decoder: &impl Decoder,
    faults: &mut BTreeMap<usize, (usize, Fault)>,
) -> Result<Option<ArrayRef>, (usize, Fault)> {
    let mut from = 0;
    loop {
        let fault = match decoder.array(position, Fields::new(fields.bytes, &fields.spans[from..])) {
            Ok(array) => return Ok((from == 0).then_some(array)),
            Err(fault) => Fault { row: from + fault.row, ..fault },
        };
        if fault.kind != ErrorKind::Value || fault.row >= fields.spans.len() {
            return Err((position, fault));
        }
        from = fault.row + 1;
        faults.entry(fault.row).or_insert((position, fault));
    }
}

/// The text of the value in `row` of a column in which another one, if not this, has no place.
fn text(position: usize, values: Fields<'_>, row: usize, field: &Field, decoder: &impl Decoder) -> Option<String> {
    let span = values.spans[row];
    let value = values.get(span)?;
    let Ok(array) = decoder.array(position, Fields::new(values.bytes, &[span])) else {
        return decoder.text(position, value);
    };
    if array.is_null(0) {
        return None;
    }
    let mut text = Vec::new();
    (print::column(array.as_ref(), field)?.print)(0, &mut text);
    String::from_utf8(text).ok()
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
