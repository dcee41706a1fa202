//! Joins and cuts batches to the rows and bytes of a scan.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::schema::batch_bytes;
use crate::source::Scan;

/// Offsets of text are 32 bits wide.
const MOST_BATCH_BYTES: usize = 1 << 30;

/// Batches on their way to the size that is wanted.
#[derive(Debug)]
pub(super) struct Cutter {
    schema: SchemaRef,
    most_rows: usize,
    most_bytes: usize,
    held: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl Cutter {
    pub(super) fn new(scan: &Scan) -> Self {
        Self {
            schema: scan.schema.clone(),
            most_rows: scan.batch_rows.max(1),
            most_bytes: scan.batch_bytes.clamp(1, MOST_BATCH_BYTES),
            held: Vec::new(),
            rows: 0,
            bytes: 0,
        }
    }

    /// Takes `batch` in, and puts what is full into `full`.
    pub(super) fn add(&mut self, batch: RecordBatch, full: &mut impl Extend<RecordBatch>) -> Result<()> {
        let mut rest = batch;
        while rest.num_rows() > 0 {
            let (count, bytes) = self.fitting(&rest);
            self.held.push(rest.slice(0, count));
            self.rows += count;
            self.bytes += bytes;
            rest = rest.slice(count, rest.num_rows() - count);
            if self.rows >= self.most_rows || self.bytes >= self.most_bytes {
                full.extend([self.take()?]);
            }
        }
        Ok(())
    }

    /// What is left.
    pub(super) fn end(&mut self, full: &mut impl Extend<RecordBatch>) -> Result<()> {
        if self.rows > 0 {
            full.extend([self.take()?]);
        }
        Ok(())
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

    #[test]
    fn batches_have_the_rows_that_are_wanted() {
        let numbers: ArrayRef = Arc::new((0..10).collect::<Int64Array>());
        let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        let scan =
            Scan { schema: batch.schema(), filters: Vec::new(), limit: None, batch_rows: 4, batch_bytes: 1 << 20 };
        let (mut cutter, mut full) = (Cutter::new(&scan), Vec::new());
        cutter.add(batch.clone(), &mut full).unwrap();
        cutter.add(batch.slice(0, 1), &mut full).unwrap();
        cutter.end(&mut full).unwrap();
        assert_eq!(full.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [4, 4, 3]);
        // A row has eight bytes, and the one that fills a batch is in.
        let (mut cutter, mut full) = (Cutter::new(&Scan { batch_rows: 100, batch_bytes: 20, ..scan }), Vec::new());
        cutter.add(batch, &mut full).unwrap();
        assert_eq!(full.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [3, 3, 3]);
    }
}
