//! Rows of a server with a value that has no place in Arrow: they are left out, and told in text beside the others.

use std::collections::BTreeMap;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, SchemaRef};

use super::{Fault, Fields, Indexed, Span};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::parting::{self, Column, Parting};
use crate::reject::Sifted;
use crate::schema::record_batch;

/// How the columns of rows are decoded.
pub trait Decoder {
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
pub fn sift(schema: &SchemaRef, (indexed, rows): (&Indexed<'_>, usize), decoder: &impl Decoder) -> Result<Sifted> {
    let mut faults = BTreeMap::new();
    let columns = 0..schema.fields().len();
    let arrays: Vec<Option<ArrayRef>> = columns
        .map(|position| whole(position, indexed.column(position), decoder, &mut faults))
        .collect::<Result<_, _>>()
        .map_err(|(position, fault)| decoder.error(position, &fault))?;
    if faults.is_empty() {
        return Ok((record_batch(schema, arrays.into_iter().flatten().collect(), rows)?, None));
    }
    let errors = faults.iter().map(|(row, (position, fault))| (*row, decoder.error(*position, fault)));
    let parting = Parting::new(rows, errors.collect());
    let mut columns = Vec::with_capacity(arrays.len());
    for (position, (array, field)) in arrays.into_iter().zip(schema.fields()).enumerate() {
        if let Some(array) = array {
            columns.push(Column::Whole(array));
            continue;
        }
        let values = indexed.column(position);
        let of = |spans: &[Span]| decoder.array(position, Fields::new(values.bytes, spans));
        let spans: Vec<Span> = parting.rows().map(|row| values.spans[row]).collect();
        let staying = of(&spans).map_err(|fault| decoder.error(position, &fault))?;
        let text = |row: usize| {
            let value = values.get(values.spans[row])?;
            let told = decoder.text(position, value);
            // What is no text is told by its bytes.
            told.or_else(|| (*field.data_type() == DataType::Utf8).then(|| parting::hex(value)))
        };
        columns.push(parting.parted(field, staying, |row| of(&[values.spans[row]]).ok(), text)?);
    }
    let (staying, rejects) = parting.batches(schema, columns)?;
    Ok((staying, Some(rejects)))
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
