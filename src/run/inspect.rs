//! A look at one place: its shape, its first rows, its number of rows. Nothing is written.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use futures::TryStreamExt as _;

use crate::attempt::{Attempt, Token};
use crate::endpoint::{Endpoint, OpenRequest, Ping, Session};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::job::Place;
use crate::run::stages::endpoint;
use crate::run::{Surroundings, budget};
use crate::schema::{FORM, TEXT, with_metadata};
use crate::source::{Scan, Source, SplitGoal, TableShape};

/// Reaches a place and says what it is.
pub async fn ping(place: &Place) -> Result<Ping> {
    endpoint(place)?.ping().await
}

/// The shape of one place.
pub async fn describe(place: &Place) -> Result<TableShape> {
    let open = Open::of(place).await?;
    open.session.close().await?;
    Ok(open.shape)
}

/// The first `rows` rows of one place, and its shape. A column with a value that Arrow cannot hold, such as an infinite
/// date, is read as text.
pub async fn head(place: &Place, rows: u64) -> Result<(TableShape, Vec<RecordBatch>)> {
    let mut open = Open::of(place).await?;
    let batches = loop {
        match open.first(rows).await {
            Err(error) if open.turns_to_text(&error) => {}
            batches => break batches?,
        }
    };
    open.session.close().await?;
    Ok((open.shape, batches))
}

/// The number of rows of one place, counted by reading them without any column.
pub async fn count(place: &Place, surroundings: &Surroundings) -> Result<u64> {
    let open = Open::of(place).await?;
    let mut rows = 0;
    surroundings.meter.expect(0, open.shape.rows.unwrap_or(0), open.shape.bytes.unwrap_or(0));
    open.read(None, |batch| {
        rows += batch.num_rows() as u64;
        surroundings.meter.read(batch.num_rows() as u64, crate::schema::batch_bytes(&batch) as u64);
        true
    })
    .await?;
    open.session.close().await?;
    Ok(rows)
}

/// A place that is open for one reader.
struct Open {
    source: Arc<dyn Source>,
    session: Arc<dyn Session>,
    shape: TableShape,
    endpoint: Arc<dyn Endpoint>,
}

impl Open {
    async fn of(place: &Place) -> Result<Self> {
        let endpoint = endpoint(place)?;
        let label = endpoint.label();
        let request = OpenRequest { objects: vec![place.object.clone()], readers: 1, ..OpenRequest::default() };
        let session = endpoint.open(&request).await.at("source", || &label)?;
        let source = session.source(&place.object)?;
        let shape = source.describe().await.at("source", || &label)?;
        Ok(Self { source, session, shape, endpoint })
    }

    /// The first `rows` rows.
    async fn first(&self, rows: u64) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        let mut left = rows as usize;
        let take = |batch: RecordBatch| {
            let part = batch.slice(0, batch.num_rows().min(left));
            left -= part.num_rows();
            batches.push(part);
            left > 0
        };
        self.read(Some(rows), take).await?;
        Ok(batches)
    }

    /// Whether the column in `error` has a text form and was not read in it yet; from now on it is.
    fn turns_to_text(&mut self, error: &Error) -> bool {
        let named = error.frames().iter().find(|frame| frame.what == "column");
        let index = named.and_then(|frame| self.shape.schema.index_of(&frame.which).ok());
        let Some(index) = index.filter(|_| error.kind() == ErrorKind::Value) else { return false };
        if self.shape.native[index].take().is_none() {
            return false;
        }
        let mut fields: Vec<_> = self.shape.schema.fields().iter().map(Arc::clone).collect();
        let text = Field::new(fields[index].name(), DataType::Utf8, fields[index].is_nullable());
        fields[index] = Arc::new(with_metadata(text, FORM, TEXT));
        self.shape.schema = Arc::new(Schema::new(fields));
        true
    }

    /// Reads split by split until `take` has enough. Without a limit no column is read: rows are counted.
    async fn read(&self, limit: Option<u64>, mut take: impl FnMut(RecordBatch) -> bool) -> Result<()> {
        let schema = if limit.is_some() { Arc::clone(&self.shape.schema) } else { Arc::new(Schema::empty()) };
        let scan =
            Scan { schema, filters: Vec::new().into(), limit, batch_rows: budget::BATCH_ROWS, batch_bytes: 1 << 20 };
        let token = Token { run: uuid::Uuid::now_v7().simple().to_string(), transfer: 0, sink: 0, epoch: 0 };
        let plan = self.source.plan(&scan, &SplitGoal::new(64 << 20, 1)).await?;
        for split in &plan.splits {
            let attempt = Attempt::new(token.clone(), split.id, vec![split.id]);
            let mut batches =
                self.source.read(&scan, split, &attempt, None).await.at("source", || self.endpoint.label())?;
            while let Some(batch) = batches.try_next().await.at("source", || self.endpoint.label())? {
                if !take(batch) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
