//! What comes from a source, split by split: opened, held to the limits of speed, counted and checked.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, BinaryArray, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::timeout;

use crate::attempt::Attempt;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::board::TaskMeter;
use crate::flow::meter::Wait;
use crate::flow::throttle::Throttle;
use crate::plan::context::Ends;
use crate::plan::read::ReadSpec;
use crate::reject::Tray;
use crate::schema::batch_bytes;
use crate::source::{BatchStream, Source, Split};

/// One reader of a source.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) spec: Arc<ReadSpec>,
    pub(super) ends: Arc<Ends>,
    source: Arc<dyn Source>,
    throttle: Throttle,
    /// Of the task that reads; none is where rows are read ahead.
    pub(super) meter: TaskMeter,
    schema: SchemaRef,
}

impl Intake {
    /// A reader of what `spec` names, as batches of `schema`.
    pub(super) fn new(spec: &Arc<ReadSpec>, ends: Arc<Ends>, schema: SchemaRef) -> Result<Self> {
        let source = ends.source(&spec.endpoint, &spec.object)?;
        let throttle = ends.channel_throttle.another();
        let meter = TaskMeter::of(&ends.meter);
        Ok(Self { spec: Arc::clone(spec), ends, source, throttle, meter, schema })
    }

    /// The same for a task.
    #[must_use]
    pub(super) fn with_meter(self, meter: TaskMeter) -> Self {
        Self { meter, ..self }
    }

    /// Asks the source for `split`, whose first rows come in time. Rows that it cannot decode go into `tray`, where there is one.
    ///
    /// # Errors
    /// Those of the source, and [`Timeout`](ErrorKind::Timeout).
    pub(super) async fn open(&self, split: &Split, tray: Option<&Arc<Tray>>) -> Result<BatchStream> {
        let Some(patience) = self.ends.answer else { return self.asked(split, tray).await };
        let answered = async {
            let mut batches = self.asked(split, tray).await?;
            let first = batches.try_next().await?;
            Ok(stream::iter(first.map(Ok)).chain(batches).boxed())
        };
        timeout(patience, answered).await.unwrap_or_else(|_| {
            let message = format!("the source gave no row within {} s", patience.as_secs_f64());
            Err(Error::new(ErrorKind::Timeout, message).with_hint("look what it waits for, or give it more time"))
        })
    }

    async fn asked(&self, split: &Split, tray: Option<&Arc<Tray>>) -> Result<BatchStream> {
        let attempt = Attempt::new(self.spec.token.clone(), split.id, vec![split.id]);
        if self.spec.encoding.is_none() {
            return self.source.read(&self.spec.scan, split, &attempt, tray).await;
        }
        let frames = self.source.read_raw(&self.spec.scan, split, &attempt).await?;
        Ok(frames.map(|frame| frame.and_then(|(bytes, rows)| frame_batch(bytes, rows))).boxed())
    }

    /// Lets a batch of the source pass, in its time.
    pub(super) async fn pass(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let (rows, bytes) = self.measure(&batch);
        let waiting = self.meter.waiting(Wait::Throttle);
        tokio::join!(self.throttle.pass(bytes, rows), self.ends.throttle.pass(bytes, rows));
        drop(waiting);
        self.ends.meter.read(rows, bytes);
        self.declared(batch)
    }

    /// Rows and bytes of a batch of columns or of one raw frame.
    pub(super) fn measure(&self, batch: &RecordBatch) -> (u64, u64) {
        let is_raw = self.spec.encoding.is_some();
        let rows = if is_raw { frame(batch).map_or(0, |(_, rows)| rows) } else { batch.num_rows() as u64 };
        (rows, batch_bytes(batch) as u64)
    }

    /// `batch` under the declared schema: what a source promised is checked here, once for all connectors.
    pub(super) fn declared(&self, batch: RecordBatch) -> Result<RecordBatch> {
        if Arc::ptr_eq(batch.schema_ref(), &self.schema) {
            return Ok(batch);
        }
        let (_, columns, rows) = batch.into_parts();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map_err(|error| {
            let message = "the source gave other columns than it had described";
            Error::new(ErrorKind::Schema, message).with_source(error)
        })
    }
}

pub(super) fn frame_schema() -> SchemaRef {
    let frame = Field::new("frame", DataType::Binary, false);
    Arc::new(Schema::new(vec![frame, Field::new("rows", DataType::UInt64, false)]))
}

/// One raw frame as a batch of one row, without copying its bytes.
fn frame_batch(bytes: Bytes, rows: u64) -> Result<RecordBatch> {
    let offsets = OffsetBuffer::from_lengths([bytes.len()]);
    let frame: ArrayRef = Arc::new(BinaryArray::try_new(offsets, Buffer::from(bytes), None)?);
    let rows: ArrayRef = Arc::new(UInt64Array::from(vec![rows]));
    Ok(RecordBatch::try_new(frame_schema(), vec![frame, rows])?)
}

/// Bytes and rows of the frame in `batch`, without copying.
pub(super) fn frame(batch: &RecordBatch) -> Option<(Bytes, u64)> {
    let frame = batch.column(0).as_any().downcast_ref::<BinaryArray>()?;
    let rows = batch.column(1).as_any().downcast_ref::<UInt64Array>()?;
    let length = frame.value(0).len();
    let bytes = Bytes::from_owner(ScalarBuffer::<u8>::from(frame.values().clone()));
    Some((bytes.slice(..length), rows.value(0)))
}
