//! The columns of a source as the job takes them.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema};

use crate::error::{Error, ErrorKind, Result};
use crate::fate::is_text;
use crate::job::Empty;
use crate::schema::{ALL_TYPES, EMPTY_IS_NULL, NUMBERS, RESERVED, with_metadata};
use crate::source::TableShape;

/// `shape`, whose columns of text say what the `empty` ones are.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) for a name that columns of change feeds have.
pub(super) fn usable(shape: TableShape, empty: Option<Empty>) -> Result<TableShape> {
    if let Some(field) = shape.schema.fields().iter().find(|field| RESERVED.contains(&field.name().as_str())) {
        return Err(Error::new(ErrorKind::Unsupported, "this name is reserved for change feeds")
            .with_hint("read the column under another name by --query, or rename it in the source")
            .at("column", field.name()));
    }
    let types = match empty {
        None => return Ok(shape),
        Some(Empty::NullForNumbers) => NUMBERS,
        Some(Empty::NullButForText) => ALL_TYPES,
    };
    let marked = |field: &FieldRef| {
        if is_text(field.data_type()) {
            Arc::new(with_metadata(field.as_ref().clone(), EMPTY_IS_NULL, types))
        } else {
            Arc::clone(field)
        }
    };
    let fields: Vec<FieldRef> = shape.schema.fields().iter().map(marked).collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, shape.schema.metadata().clone()));
    Ok(TableShape { schema, ..shape })
}
