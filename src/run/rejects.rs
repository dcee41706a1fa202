//! The rejects of a job: which log and file it has, by what the user asked for.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::stages::endpoint;
use crate::attempt::{Attempt, Token};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::flow::align::Aligner;
use crate::flow::reject::{Basket, Layout, RejectFile, RejectLog, as_records};
use crate::job::locator::FILE;
use crate::job::{Job, OnError, Place, RejectsFormat};
use crate::plan::pipeline::{Target, Unchanged};
use crate::reject::{Refusals, Refuse, Refused, Rejects, Stage};
use crate::shape::TableShape;
use crate::sink::{Receipt, WriteMode, WriteRequest};
use crate::source::Source;

/// The log of a job that reads `columns` of a source, of which its name is told; none where the first refused row fails it. Its file must
/// be a new one, where it is not one more in a folder, and nothing is written yet. `memory_bytes` are for each of its writers.
pub(super) async fn log(
    job: &Job,
    columns: &SchemaRef,
    (name, source): (String, &Arc<dyn Source>),
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
        return Ok(Some(Arc::new(RejectLog::new(job.errors.max_errors, name, None).beside(job.errors.others))));
    };
    let format = job.errors.rejects_format;
    let (file, layout) = (endpoint(&formatted(place, format))?, Layout::new(columns, format));
    let layout = layout.told_by(Arc::clone(source));
    let sink = file.sink(&place.object)?;
    let is_folder = place.options["url"].as_str().is_some_and(|url| url.ends_with('/'));
    let mode = if is_folder { WriteMode::Append } else { WriteMode::Create };
    let request = WriteRequest { memory_bytes, ..WriteRequest::new(mode) };
    let agreement = sink.agree(&TableShape::of(Arc::clone(layout.schema())), &request).await;
    let agreement = agreement.map_err(taken).at("rejects file", || file.label())?;
    let aligner = Aligner::new(layout.schema(), &agreement.target, &agreement.columns)?;
    // The sink behind those of the targets.
    let token = Token { sink: job.targets().count() as u32, ..token.clone() };
    let file = RejectFile { endpoint: file, sink, agreement, token, aligner, layout };
    Ok(Some(Arc::new(RejectLog::new(job.errors.max_errors, name, Some(file)).beside(job.errors.others))))
}

/// The modes of a copy are for its targets: a rejects file is always new.
fn taken(error: Error) -> Error {
    match error.kind() {
        ErrorKind::AlreadyExists => error.with_hint("move it away, or name another --rejects file"),
        _ => error,
    }
}

/// The place of a rejects file, told how its lines are written.
fn formatted(place: &Place, format: RejectsFormat) -> Place {
    let mut place = place.clone();
    if let (RejectsFormat::Flinkx, FILE, Json::Object(options)) = (format, place.connector.as_str(), &mut place.options)
    {
        options.insert("format".to_owned(), "csv".into());
        options.insert("loose".to_owned(), json!({"delimiter": "\u{1}"}));
    }
    place
}

/// What `job` asks of its target.
pub(super) fn refusals(job: &Job) -> Refusals {
    match job.errors.on_error {
        OnError::Fail => Refusals::Fail,
        OnError::Skip => Refusals::LeftOut,
    }
}

/// What a plan says of the rows that `target` refuses.
pub(super) fn note(job: &Job, target: &Target) -> Option<String> {
    let note = match target.agreement.refusals {
        Refusals::LeftOut => {
            "rows that cannot be read, computed or cast, or that the target itself refuses, are left out"
        }
        Refusals::Fail => {
            "rows that cannot be read, computed or cast are left out; a row that the target itself refuses fails the copy"
        }
    };
    (job.errors.on_error == OnError::Skip).then(|| note.to_owned())
}

/// Takes the rows out of the stage of `target`, one of `all`, that it refuses, and gives their number. Then the stage can be
/// committed.
pub(super) async fn sift(
    log: &Arc<RejectLog>,
    (target, all): (&Target, &[Target]),
    unchanged: Unchanged,
    receipts: &[Receipt],
) -> Result<u64> {
    let Target { sink, agreement, token, .. } = target;
    let task = receipts.iter().map(|receipt| receipt.task + 1).max().unwrap_or(0);
    // Behind the rejects of all splits.
    let attempt = Attempt::new(token.clone(), task, vec![u32::MAX]);
    let label = (all.len() > 1).then_some(agreement.label.as_str());
    let sifted = Sifted { log, basket: log.basket(&attempt), unchanged, label };
    sink.sift(agreement, token, receipts, &sifted).await.at("step", || "leaving out refused rows")?;
    let receipt = Receipt::of(&attempt, 0, 0, Json::Null);
    let refused = sifted.basket.seal(&receipt, Vec::new()).await?;
    log.accept(&receipt);
    Ok(refused)
}

/// Takes the rows that are refused in a stage.
struct Sifted<'a> {
    log: &'a RejectLog,
    basket: Basket,
    unchanged: Unchanged,
    /// The target, where there are several.
    label: Option<&'a str>,
}

#[async_trait]
impl Refuse for Sifted<'_> {
    async fn refuse(&self, refused: Refused) -> Result<()> {
        let places = refused.places.into_iter().zip(refused.errors);
        let errors = places.map(|(place, error)| {
            let error = match place {
                Some((attempt, row)) => self.log.locate(error, &attempt, row),
                None => error,
            };
            self.label.iter().fold(error, |error, label| error.at("target", label))
        });
        let (rows, records) = self.as_it_came(&refused.rows)?;
        let rejects = Rejects::new(Stage::Write, rows, errors.collect());
        let records = records.unwrap_or(rejects.records);
        self.basket.add(Rejects { records, ..rejects }).await
    }
}

impl Sifted<'_> {
    /// `staged` under the names of the source, or as records where that is not all of them.
    fn as_it_came(&self, staged: &RecordBatch) -> Result<(RecordBatch, Option<Vec<Option<String>>>)> {
        let options = RecordBatchOptions::new().with_row_count(Some(staged.num_rows()));
        if !self.unchanged.whole {
            let nothing = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?;
            return Ok((nothing, Some(as_records(staged)?)));
        }
        let columns = staged.schema_ref().fields().iter().zip(staged.columns());
        let named = columns.filter_map(|(field, column)| {
            let name = self.unchanged.columns.get(field.name())?;
            Some((field.as_ref().clone().with_name(name), Arc::clone(column)))
        });
        let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = named.unzip();
        Ok((RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?, None))
    }
}
