//! One-dimensional arrays into a List. Others (more dimensions, another lower bound) have only their native form.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::FieldRef;

use super::super::typemap::Read;
use super::column;
use crate::formats::fields::{Fault, Fields, Span, nulls};

/// Decodes arrays whose elements are read as `read`.
pub(super) fn list(read: Read, item: &FieldRef, fields: Fields<'_>) -> Result<ArrayRef, Fault> {
    let mut spans = Vec::with_capacity(fields.spans.len() * 2);
    let mut offsets = Vec::with_capacity(fields.spans.len() + 1);
    offsets.push(0);
    for (row, span) in fields.spans.iter().enumerate() {
        if span.length >= 0 {
            elements(fields, *span, row, &mut spans)?;
        }
        offsets.push(i32::try_from(spans.len()).map_err(|_| Fault::corrupt(row))?);
    }
    let inner = Fields::new(fields.bytes, &spans);
    let values = column::scalar(read, item.data_type(), inner).map_err(|fault| {
        // The row of an element is that of its array.
        let row = offsets.partition_point(|offset| *offset as usize <= fault.row).saturating_sub(1);
        Fault { row, ..fault }
    })?;
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let array = ListArray::try_new(Arc::clone(item), offsets, values, nulls(fields));
    Ok(Arc::new(array.map_err(|_| Fault::corrupt(0))?))
}

/// Adds the spans of the elements of one array: number of dimensions, a flag, the element's OID, then per dimension
/// size and lower bound, then the elements.
fn elements(fields: Fields<'_>, span: Span, row: usize, spans: &mut Vec<Span>) -> Result<(), Fault> {
    let corrupt = || Fault::corrupt(row);
    let bytes = fields.get(span).ok_or_else(corrupt)?;
    let word = |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|word| i32::from_be_bytes(*word));
    match word(0).ok_or_else(corrupt)? {
        0 if bytes.len() == 12 => return Ok(()),
        1 => {}
        2.. => return Err(Fault::value(row, "an array of several dimensions has no place in an Arrow list")),
        _ => return Err(corrupt()),
    }
    let size = usize::try_from(word(12).ok_or_else(corrupt)?).map_err(|_| corrupt())?;
    if word(16).ok_or_else(corrupt)? != 1 {
        return Err(Fault::value(row, "an array whose first index is not 1 has no place in an Arrow list"));
    }
    let mut at = 20;
    for _ in 0..size {
        let length = word(at).ok_or_else(corrupt)?;
        at += 4;
        spans.push(Span { start: span.start + at as u32, length });
        match usize::try_from(length) {
            Ok(length) => at += length,
            Err(_) if length == -1 => {}
            Err(_) => return Err(corrupt()),
        }
        if at > bytes.len() {
            return Err(corrupt());
        }
    }
    if at == bytes.len() { Ok(()) } else { Err(corrupt()) }
}
