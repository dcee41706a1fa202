//! Joins and cuts batches to the rows and bytes that are asked for.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::schema::batch_bytes;

/// Offsets of text are 32 bits wide.
const MOST_BATCH_BYTES: usize = 1 << 30;

/// Batches on their way to the size that is wanted.
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
    /// Makes batches of `schema` with at most `rows` rows, which end at the first row that reaches `bytes` bytes.
    pub fn new(schema: SchemaRef, rows: usize, bytes: usize) -> Self {
        Self {
            schema,
            most_rows: rows.max(1),
            most_bytes: bytes.clamp(1, MOST_BATCH_BYTES),
            held: Vec::new(),
            rows: 0,
            bytes: 0,
        }
    }

    /// Takes `batch` in, and sends what is full. `false` as soon as `send` says so: nobody reads any more.
    pub fn add(&mut self, batch: RecordBatch, mut send: impl FnMut(RecordBatch) -> bool) -> Result<bool> {
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

    /// What is left; none where nothing is.
    pub fn end(&mut self) -> Result<Option<RecordBatch>> {
        (self.rows > 0).then(|| self.take()).transpose()
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
                RecordBatch::try_new_with_options(self.schema.clone(), Vec::new(), &options)?
            }
            _ => concat_batches(&self.schema, &held)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    /// Rows of the batches that `batches` become.
    fn cut(batches: &[RecordBatch], rows: usize, bytes: usize) -> Vec<usize> {
        let mut full = Vec::new();
        let mut cutter = Cutter::new(batches[0].schema(), rows, bytes);
        for batch in batches {
            let taken = |batch: RecordBatch| {
                full.push(batch.num_rows());
                true
            };
            assert!(cutter.add(batch.clone(), taken).unwrap());
        }
        full.extend(cutter.end().unwrap().map(|batch| batch.num_rows()));
        assert!(cutter.end().unwrap().is_none());
        full
    }

    #[test]
    fn batches_have_the_rows_that_are_wanted() {
        let numbers: ArrayRef = Arc::new((0..10).collect::<Int64Array>());
        let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        assert_eq!(cut(&[batch.clone(), batch.slice(0, 1)], 4, 1 << 20), [4, 4, 3]);
        // A row has eight bytes, and the one that fills a batch is in.
        assert_eq!(cut(std::slice::from_ref(&batch), 100, 20), [3, 3, 3, 1]);
        let mut cutter = Cutter::new(batch.schema(), 4, 1 << 20);
        assert!(!cutter.add(batch, |_| false).unwrap(), "nobody reads any more");
    }
}
