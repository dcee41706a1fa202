//! The rejects of a job: which log and file it has, by what the user asked for.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::stages::endpoint;
use crate::attempt::Token;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::flow::align::Aligner;
use crate::flow::reject::{RejectFile, RejectLog, file_schema};
use crate::job::{Job, OnError};
use crate::shape::TableShape;
use crate::sink::{WriteMode, WriteRequest};

/// The log of a job that reads `columns` of `source`; none where the first refused row fails it. Its file must be a new one, and nothing
/// is written yet. `memory_bytes` are for each of its writers.
pub(super) async fn log(
    job: &Job,
    columns: &SchemaRef,
    source: String,
    (token, memory_bytes): (&Token, u64),
) -> Result<Option<Arc<RejectLog>>> {
    if job.errors.on_error == OnError::Fail {
        return Ok(None);
    }
    if matches!(job.mode, WriteMode::Sync(_)) {
        let message = "a sync deletes rows that do not come, and so those whose new values are rejected";
        return Err(Error::new(ErrorKind::Usage, message).with_hint("use --mode upsert, or leave --on-error skip out"));
    }
    let Some(place) = &job.errors.rejects else {
        return Ok(Some(Arc::new(RejectLog::new(job.errors.max_errors, source, None))));
    };
    let (file, schema) = (endpoint(place)?, file_schema(columns));
    let sink = file.sink(&place.object)?;
    let request = WriteRequest { memory_bytes, ..WriteRequest::new(WriteMode::Create) };
    let agreement = sink.agree(&TableShape::of(Arc::clone(&schema)), &request).await;
    let agreement = agreement.at("rejects file", || file.label())?;
    let aligner = Aligner::new(&schema, &agreement.target, &agreement.columns)?;
    // The sink behind those of the targets.
    let token = Token { sink: job.targets().count() as u32, ..token.clone() };
    let file = RejectFile { endpoint: file, sink, agreement, token, aligner, schema };
    Ok(Some(Arc::new(RejectLog::new(job.errors.max_errors, source, Some(file)))))
}

/// What a plan says of rejects.
pub(super) fn plan_note(job: &Job) -> Option<String> {
    let note = "rows that cannot be read, computed or cast are left out; a row that the target itself refuses, such as one \
                that breaks a unique or foreign key or a check, still fails the copy";
    (job.errors.on_error == OnError::Skip).then(|| note.to_owned())
}
