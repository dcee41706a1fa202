//! Batches of drivers, cut to the size that a scan wants.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::schema::batch_bytes;

/// Offsets of text are 32 bits wide.
const MOST_BATCH_BYTES: usize = 1 << 30;

/// Joins and cuts batches to the rows and bytes of a scan.
#[derive(Debug)]
pub struct Cutter {
    schema: SchemaRef,
    most_rows: usize,
    most_bytes: usize,
    held: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl Cutter {
    /// For batches of `schema` with no more than `rows` rows, closed at the first row that reaches `bytes`.
    pub fn new(schema: &SchemaRef, rows: usize, bytes: usize) -> Self {
        Self {
            schema: Arc::clone(schema),
            most_rows: rows.max(1),
            most_bytes: bytes.clamp(1, MOST_BATCH_BYTES),
            held: Vec::new(),
            rows: 0,
            bytes: 0,
        }
    }

    /// Takes `batch` in, and sends what is full. `false` when nobody reads any more.
    ///
    /// # Errors
    /// Where batches of one size cannot be made of those held.
    pub fn add(&mut self, batch: RecordBatch, send: impl Fn(RecordBatch) -> bool) -> Result<bool> {
        let mut rest = batch;
        while rest.num_rows() > 0 {
            let (count, bytes) = self.fitting(&rest);
            self.held.push(rest.slice(0, count));
            self.rows += count;
            self.bytes += bytes;
            rest = rest.slice(count, rest.num_rows() - count);
            if (self.rows >= self.most_rows || self.bytes >= self.most_bytes) && !send(self.take()?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How many of the first rows of `batch` still have room, and their bytes: the row that fills it is in.
    fn fitting(&self, batch: &RecordBatch) -> (usize, usize) {
        let most = batch.num_rows().min(self.most_rows - self.rows);
        let room = self.most_bytes - self.bytes;
        let bytes = |count: usize| batch_bytes(&batch.slice(0, count));
        let all = bytes(most);
        if all <= room {
            return (most, all);
        }
        let (mut few, mut many) = (0, most);
        while many - few > 1 {
            let middle = few + (many - few) / 2;
            if bytes(middle) < room { few = middle } else { many = middle }
        }
        (many, bytes(many).max(room))
    }

    fn take(&mut self) -> Result<RecordBatch> {
        let held = std::mem::take(&mut self.held);
        (self.rows, self.bytes) = (0, 0);
        Ok(match held.as_slice() {
            [one] => one.clone(),
            _ if self.schema.fields().is_empty() => {
                let count = held.iter().map(RecordBatch::num_rows).sum();
                let options = RecordBatchOptions::new().with_row_count(Some(count));
                RecordBatch::try_new_with_options(Arc::clone(&self.schema), Vec::new(), &options)?
            }
            _ => concat_batches(&self.schema, &held)?,
        })
    }

    /// Sends what is left.
    ///
    /// # Errors
    /// Those of [`Cutter::add`].
    pub fn end(&mut self, send: impl Fn(RecordBatch) -> bool) -> Result<()> {
        if self.rows > 0 {
            send(self.take()?);
        }
        Ok(())
    }
}
