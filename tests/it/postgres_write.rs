//! Writing into PostgreSQL: every mode, who is made visible when, and what is left when something fails.
//! What the database holds is asked of `psql`.

mod faults;
mod killed;
mod locks;
mod lost;
mod modes;
mod prepared;
mod raw;
mod replace;
mod types;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow_etl::attempt::{Attempt, Token};
use arrow_etl::endpoint::ObjectRef;
use arrow_etl::error::Result;
use arrow_etl::sink::{Agreement, Merge, Receipt, Sink, Tasks, WriteMode, WriteRequest};
use arrow_etl::source::TableShape;

use crate::postgres_read::endpoint;

/// A sink of `table` in the database at `url`.
fn sink(url: &str, table: &str) -> Arc<dyn Sink> {
    endpoint(url).sink(&ObjectRef::Table(table.to_owned())).unwrap()
}

fn request(mode: WriteMode, tasks: Tasks) -> WriteRequest {
    WriteRequest { tasks, ..WriteRequest::new(mode) }
}

/// Merges by `id`.
fn upsert() -> WriteMode {
    WriteMode::Upsert(Merge { key: vec!["id".to_owned()], ..Merge::default() })
}

fn token() -> Token {
    Token { run: uuid::Uuid::now_v7().to_string(), transfer: 0, sink: 0, epoch: 0 }
}

/// `id` integer not null, `name` text, from pairs.
fn batch(rows: &[(i32, Option<&str>)]) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("id", DataType::Int32, false), Field::new("name", DataType::Utf8, true)]);
    let ids: Int32Array = rows.iter().map(|row| row.0).collect::<Vec<_>>().into();
    let names: StringArray = rows.iter().map(|row| row.1).collect();
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids) as ArrayRef, Arc::new(names)]).unwrap()
}

fn shape(batch: &RecordBatch) -> TableShape {
    TableShape::of(batch.schema())
}

/// The batch with the fields of the agreement; the arrays already have its types.
fn fitted(batch: &RecordBatch, agreement: &Agreement) -> RecordBatch {
    RecordBatch::try_new(Arc::clone(&agreement.target), batch.columns().to_vec()).unwrap()
}

/// Writes `batch` as task `task` in one attempt.
async fn task(
    sink: &dyn Sink,
    agreement: &Agreement,
    token: &Token,
    (task, batch): (u32, &RecordBatch),
) -> Result<Receipt> {
    let attempt = Attempt::new(token.clone(), task, vec![task]);
    let mut writer = sink.writer(agreement, &attempt).await?;
    writer.write(fitted(batch, agreement)).await?;
    writer.flush(token).await
}

/// A whole copy of `batches`, one task each.
async fn copy(
    sink: &dyn Sink,
    shape: &TableShape,
    request: &WriteRequest,
    batches: &[RecordBatch],
) -> Result<Agreement> {
    let agreement = sink.agree(shape, request).await?;
    let token = token();
    sink.prepare(&agreement, &token).await?;
    let mut receipts = Vec::new();
    for (index, batch) in batches.iter().enumerate() {
        receipts.push(task(sink, &agreement, &token, (index as u32, batch)).await?);
    }
    sink.commit(&agreement, &token, &receipts).await?;
    Ok(agreement)
}

/// Tables of this program that are left in the database, but for the markers.
const LEFT: &str = "select relname from pg_class where relname like 'etl\\_stage%' or relname like 'etl\\_own%'";
