//! How rows land: the pure part of the sink. What it decides the plan shows, and writers and commit do.

use std::sync::Arc;

use arrow::datatypes::Field;
use serde_json::Value as Json;

use super::typemap;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::reject::Refusals;
use crate::sink::{Agreement, ColumnPlan, Guarantee, Kept, Publish, WriteMode, WriteRequest, Writers};
use crate::source::TableShape;

/// How `incoming` lands in the target called `label`, which has `rows` rows; none where it is missing.
pub(super) fn agree(
    incoming: &TableShape,
    request: &WriteRequest,
    (label, rows): (String, Option<u64>),
) -> Result<Agreement> {
    match (&request.mode, rows) {
        (WriteMode::Create | WriteMode::Append, None | Some(0)) => {}
        (WriteMode::Create, Some(_)) => {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("{label} has rows")));
        }
        _ => return Err(Error::new(ErrorKind::Unsupported, "sample only adds rows to what is new")),
    }
    let plan = |field: &Arc<Field>| -> Result<ColumnPlan> {
        let type_name = typemap::type_name(field.data_type()).at("column", || field.name())?;
        Ok(ColumnPlan::exact(field.name(), type_name))
    };
    Ok(Agreement {
        label,
        target: Arc::clone(&incoming.schema),
        columns: incoming.schema.fields().iter().map(plan).collect::<Result<_>>()?,
        ddl: Vec::new(),
        writers: Writers::One,
        publish: Publish::AtOnce,
        guarantee: Guarantee::AtLeastOnce,
        kept: Kept::Nothing,
        marked: false,
        refusals: Refusals::Fail,
        task_bytes: None,
        notes: Vec::new(),
        detail: Json::Null,
    })
}
