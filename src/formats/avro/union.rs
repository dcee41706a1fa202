//! Unions of several types: each branch in a column of its own, put together at the end.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Field};

use super::decode::{Column, has_room};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::json;
use crate::schema::is_json;

/// Values of one branch of a union.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) column: Column,
    pub(super) field: Field,
    pub(super) rows: usize,
}

/// The values of all branches in the order of `rows`, as values of `data_type` or as JSON.
pub(super) fn union(branches: &mut [Branch], rows: &[(usize, usize)], data_type: &DataType) -> Result<ArrayRef> {
    let mut arrays = Vec::with_capacity(branches.len() + 1);
    let of = Field::new("", data_type.clone(), true);
    let types = branches.iter().filter(|branch| !branch.field.data_type().is_null());
    // Texts of several types are told apart by being JSON.
    let json = *data_type == DataType::Utf8
        && types.clone().any(|branch| *branch.field.data_type() != DataType::Utf8 || is_json(&branch.field));
    for branch in branches {
        branch.rows = 0;
        let array = branch.column.finish()?;
        arrays.push(if json && !array.data_type().is_null() {
            as_json(&array, &branch.field)?
        } else {
            arrow::compute::cast(&array, of.data_type())?
        });
    }
    arrays.push(new_null_array(data_type, 1));
    let arrays: Vec<&dyn arrow::array::Array> = arrays.iter().map(AsRef::as_ref).collect();
    Ok(interleave(&arrays, rows)?)
}

fn as_json(array: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    let write = json::writer(array.as_ref(), field)?;
    let mut texts = StringBuilder::new();
    let mut out = Vec::new();
    for row in 0..array.len() {
        out.clear();
        write(row, &mut out)?;
        let text = std::str::from_utf8(&out);
        let text = text.map_err(|_| Error::new(ErrorKind::Internal, "a JSON text that was made is not UTF-8"))?;
        has_room(texts.values_slice().len(), text.len())?;
        texts.append_value(text);
    }
    Ok(Arc::new(texts.finish()))
}
