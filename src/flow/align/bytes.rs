//! Kernels between byte strings of any length and of a fixed one.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryArrayType, FixedSizeBinaryBuilder};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;

use super::Reason;
use super::kernel::{Cast, Kernel, misfits, reshaped};
use crate::error::Result;
use crate::fate::is_bytes;

/// The kernel between two types of bytes of which one has a fixed width.
pub(super) fn kernel(from: &DataType, to: &DataType) -> Option<Kernel> {
    match (from, to) {
        (DataType::FixedSizeBinary(_), to) if is_bytes(to) => Some(reshaped(to)),
        (from, DataType::FixedSizeBinary(width)) if is_bytes(from) => {
            let width = *width;
            Some(Kernel::map(move |array| match array.data_type() {
                DataType::Binary => fixed(&array.as_binary::<i32>(), width),
                DataType::LargeBinary => fixed(&array.as_binary::<i64>(), width),
                _ => fixed(&array.as_binary_view(), width),
            }))
        }
        _ => None,
    }
}

fn fixed<'a>(source: &impl BinaryArrayType<'a>, width: i32) -> Result<Cast> {
    let size = width as usize;
    let other = |row: usize| source.is_valid(row) && source.value(row).len() != size;
    let rows = BooleanBuffer::collect_bool(source.len(), other);
    let mut builder = FixedSizeBinaryBuilder::with_capacity(source.len(), width);
    for row in 0..source.len() {
        if source.is_valid(row) && source.value(row).len() == size {
            builder.append_value(source.value(row))?;
        } else {
            builder.append_null();
        }
    }
    let misfits = misfits(rows, None, Reason::Bytes { width: size });
    Ok(Cast { array: Arc::new(builder.finish()), misfits })
}
