//! Rows that a writer has got and whose fate its target has not decided: kept until it has, so that a row that it refuses is
//! told as it came from the source. How many these are is bounded by the writer, which must be able to send them again.

use std::collections::VecDeque;

use arrow::array::{BooleanArray, BooleanBufferBuilder, RecordBatch};
use arrow::compute::filter_record_batch;

use crate::error::{Error, ErrorKind, Result};
use crate::plan::trail::Origin;
use crate::reject::{Refusal, Settled};

/// One batch that was written.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) batch: RecordBatch,
    pub(super) origin: Option<Origin>,
    /// The rows that the target has refused.
    pub(super) refused: Vec<(usize, Error)>,
}

impl Pending {
    /// The rows that the target has taken.
    pub(super) fn taken(&self) -> Result<RecordBatch> {
        if self.refused.is_empty() {
            return Ok(self.batch.clone());
        }
        let mut kept = BooleanBufferBuilder::new(self.batch.num_rows());
        kept.append_n(self.batch.num_rows(), true);
        self.refused.iter().for_each(|(row, _)| kept.set_bit(*row, false));
        Ok(filter_record_batch(&self.batch, &BooleanArray::new(kept.finish(), None))?)
    }
}

/// What was written of one task, and is not settled.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    pending: VecDeque<Pending>,
    /// Rows before the first that is pending.
    settled: u64,
}

impl Unsettled {
    /// Notes `batch`, which is about to be written.
    pub(super) fn add(&mut self, batch: &RecordBatch, origin: Option<&Origin>) {
        self.pending.push_back(Pending { batch: batch.clone(), origin: origin.cloned(), refused: Vec::new() });
    }

    /// The batches that the target has decided on.
    pub(super) fn settle(&mut self, news: Settled) -> Result<Vec<Pending>> {
        for Refusal { row, error } in news.refused {
            let (pending, row) = self.find(row)?;
            pending.refused.push((row, error));
        }
        let mut done = Vec::new();
        while let Some(first) = self.pending.front() {
            let end = self.settled + first.batch.num_rows() as u64;
            if end > news.rows {
                break;
            }
            self.settled = end;
            done.extend(self.pending.pop_front());
        }
        Ok(done)
    }

    fn find(&mut self, row: u64) -> Result<(&mut Pending, usize)> {
        let mut first = self.settled;
        for pending in &mut self.pending {
            let end = first + pending.batch.num_rows() as u64;
            if (first..end).contains(&row) {
                return Ok((pending, (row - first) as usize));
            }
            first = end;
        }
        Err(Error::new(ErrorKind::Internal, "the target refused a row that it had taken"))
    }
}
