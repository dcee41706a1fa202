//! Joins and cuts batches to the rows and bytes that are asked for.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::reject::{Sifted, Tray, set_aside};
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
    /// Rows, and their bytes, that were put into a tray since a batch was sent.
    aside: (usize, usize),
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
            aside: (0, 0),
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

    /// As [`Cutter::add`], of a batch whose rejects are put into `tray` first. Where these are as many as a batch may have, and no batch
    /// is full, an empty one is sent, so that who reads hears of them.
    ///
    /// # Errors
    /// That of the first reject, where there is no tray.
    pub fn add_sifted(
        &mut self,
        tray: Option<&Tray>,
        sifted: Sifted,
        mut send: impl FnMut(RecordBatch) -> bool,
    ) -> Result<bool> {
        let aside = sifted.1.as_ref().map_or((0, 0), |rejects| (rejects.errors.len(), batch_bytes(&rejects.rows)));
        let batch = set_aside(tray, sifted)?;
        self.aside = (self.aside.0 + aside.0, self.aside.1 + aside.1);
        if !self.add(batch, &mut send)? {
            return Ok(false);
        }
        if self.aside.0 < self.most_rows && self.aside.1 < self.most_bytes {
            return Ok(true);
        }
        self.aside = (0, 0);
        Ok(send(RecordBatch::new_empty(self.schema.clone())))
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
        (self.rows, self.bytes, self.aside) = (0, 0, (0, 0));
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
    use crate::error::{Error, ErrorKind};
    use crate::reject::{Rejects, Stage};

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

    #[test]
    fn an_empty_batch_tells_of_rows_of_which_none_is_left() {
        let numbers: ArrayRef = Arc::new((0..3).collect::<Int64Array>());
        let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        let rejects = || {
            let errors = (0..3).map(|row| Error::new(ErrorKind::Value, format!("row {row}"))).collect();
            Some(Rejects::new(Stage::Read, batch.clone(), errors))
        };
        let (mut cutter, tray) = (Cutter::new(batch.schema(), 5, 1 << 20), Tray::default());
        let mut sent = Vec::new();
        for kept in [0, 2, 0, 0] {
            let sifted = (batch.slice(0, kept), rejects());
            assert!(
                cutter
                    .add_sifted(Some(&tray), sifted, |batch| {
                        sent.push(batch.num_rows());
                        true
                    })
                    .unwrap()
            );
        }
        // After six of them, and after six more: the two rows that are held wait for others.
        assert_eq!((sent, tray.take().len()), (vec![0, 0], 4));
        assert_eq!(cutter.end().unwrap().unwrap().num_rows(), 2);
        let error = cutter.add_sifted(None, (batch.slice(0, 0), rejects()), |_| true).unwrap_err();
        assert_eq!(error.message(), "row 0");
    }
}
