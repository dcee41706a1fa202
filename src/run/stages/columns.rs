//! The columns of a source as the job takes them.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema};

use crate::error::{Error, ErrorKind, Result};
use crate::fate::is_text;
use crate::formats::value::Pattern;
use crate::job::{Empty, Integers, Transform};
use crate::schema::{ALL_TYPES, BY_VALUE, DATE_FORMATS, EMPTY_IS_NULL, INTEGERS, NUMBERS, RESERVED, with_metadata};
use crate::source::TableShape;

/// `shape`, whose columns of text, and those that steps make texts of, say what `transform` makes of their texts.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) for a name that columns of change feeds have, [`Usage`](ErrorKind::Usage) for a form of dates
/// that is none.
pub(super) fn usable(shape: TableShape, transform: &Transform) -> Result<TableShape> {
    if let Some(field) = shape.schema.fields().iter().find(|field| RESERVED.contains(&field.name().as_str())) {
        return Err(Error::new(ErrorKind::Unsupported, "this name is reserved for change feeds")
            .with_hint("read the column under another name by --query, or rename it in the source")
            .at("column", field.name()));
    }
    let marks = marks(transform)?;
    if marks.is_empty() {
        return Ok(shape);
    }
    let has_step = |place: usize| transform.steps.iter().any(|step| step.column_index == place);
    let marked = |(place, field): (usize, &FieldRef)| {
        if is_text(field.data_type()) || has_step(place) {
            let mark = |field, (key, value): &(&str, String)| with_metadata(field, key, value);
            Arc::new(marks.iter().fold(field.as_ref().clone(), mark))
        } else {
            Arc::clone(field)
        }
    };
    let fields: Vec<FieldRef> = shape.schema.fields().iter().enumerate().map(marked).collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, shape.schema.metadata().clone()));
    Ok(TableShape { schema, ..shape })
}

/// What columns of text have in their metadata.
fn marks(transform: &Transform) -> Result<Vec<(&'static str, String)>> {
    let Transform { empty, date_formats, integers, .. } = transform;
    let types = empty.map(|empty| match empty {
        Empty::NullForNumbers => NUMBERS,
        Empty::NullButForText => ALL_TYPES,
    });
    for format in date_formats {
        Pattern::lenient(format)?;
    }
    let dates = (!date_formats.is_empty()).then(|| date_formats.join("\n"));
    let integers = integers.map(|Integers::ByValue| BY_VALUE.to_owned());
    let marks = [(EMPTY_IS_NULL, types.map(str::to_owned)), (DATE_FORMATS, dates), (INTEGERS, integers)];
    Ok(marks.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
}
