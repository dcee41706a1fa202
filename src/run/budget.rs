//! How the memory of a job is divided: pure arithmetic.
//!
//! A half is for batches on their way, a quarter for what writers gather, and a quarter is left for what no part
//! counts: buffers of connections, of the decoder and the allocator. A query that may sort or join gets up to a half
//! for that, and its batches are smaller.

use crate::error::{Error, ErrorKind, Result};
use crate::flow::heavy;
use crate::flow::throttle::batch_share;
use crate::job::Speed;

/// What a job may use when nothing is said.
pub const DEFAULT_BYTES: u64 = 512 << 20;

/// Less than this cannot hold even small batches on both sides.
const LEAST_BYTES: u64 = 64_000_000;

/// Rows of a batch, at most.
pub const BATCH_ROWS: usize = 16_384;

/// Batches of one channel that exist at the same time: read, in the lane, in transformation, written, encoded.
const BATCHES_PER_CHANNEL: u64 = 16;

/// Further ones for each target beside the first: cast for it, and encoded.
const BATCHES_PER_TARGET: u64 = 2;

/// Between these a batch's bytes are chosen. With smaller ones the work per batch would outweigh that per row.
const BATCH_BYTES: std::ops::RangeInclusive<u64> = (128 << 10)..=(2 << 20);

/// What operators hold beside what they count.
const UNCOUNTED_BYTES: u64 = 32 << 20;

/// How rows go through a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Every row goes through by itself.
    Rows,
    /// A query may gather rows before it gives any.
    Query,
}

/// Where the memory goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// All of it.
    pub memory_bytes: u64,
    /// Rows of one batch.
    pub batch_rows: usize,
    /// Bytes of one batch.
    pub batch_bytes: usize,
    /// Bytes that may wait in one lane.
    pub lane_bytes: usize,
    /// Bytes that one writer may hold beside its batch.
    pub writer_bytes: usize,
    /// Bytes that sorting, grouping and joining may hold before they spill.
    pub operator_bytes: usize,
    /// Bytes of rows longer than a batch that may be in use at once.
    pub heavy_bytes: usize,
}

/// The memory that a job may use.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) when it is too little.
pub fn memory(asked_bytes: Option<u64>) -> Result<u64> {
    let memory = asked_bytes.unwrap_or(DEFAULT_BYTES);
    if memory < LEAST_BYTES {
        let message = format!("{memory} bytes of memory are too little");
        let hint = format!("give --memory at least {}MB", LEAST_BYTES / 1_000_000);
        return Err(Error::new(ErrorKind::Usage, message).with_hint(hint));
    }
    Ok(memory)
}

/// Batches of one channel that exist at the same time.
fn batches(targets: usize) -> u64 {
    BATCHES_PER_CHANNEL + BATCHES_PER_TARGET * (targets.max(1) as u64 - 1)
}

/// How many channels into so many `targets` `memory_bytes` can feed with batches of the smallest size.
pub fn channels_max(memory_bytes: u64, targets: usize, work: Work) -> usize {
    (batches_bytes(memory_bytes, work) / (batches(targets) * BATCH_BYTES.start())).max(1) as usize
}

/// How many channels can have a row of `row_bytes` in all its copies at the same time.
pub fn channels_of_rows(memory_bytes: u64, row_bytes: u64) -> usize {
    usize::try_from(heavy::row_bytes_max(memory_bytes) / row_bytes.max(1)).unwrap_or(usize::MAX).max(1)
}

/// Divides `memory_bytes` among `channels`, at most [`channels_max`] of them, each with a writer for each of its `targets`.
pub fn divide(memory_bytes: u64, channels: usize, targets: usize, work: Work) -> Budget {
    let channels = channels.max(1) as u64;
    let each = batches_bytes(memory_bytes, work) / (channels * batches(targets));
    let batch_bytes = each.clamp(*BATCH_BYTES.start(), *BATCH_BYTES.end()) as usize;
    Budget {
        memory_bytes,
        batch_rows: BATCH_ROWS,
        batch_bytes,
        lane_bytes: 2 * batch_bytes,
        writer_bytes: (memory_bytes / (4 * channels * targets.max(1) as u64)) as usize,
        operator_bytes: (memory_bytes / 2).saturating_sub(UNCOUNTED_BYTES).max(memory_bytes / 4) as usize,
        heavy_bytes: (memory_bytes / 8) as usize,
    }
}

fn batches_bytes(memory_bytes: u64, work: Work) -> u64 {
    match work {
        Work::Rows => memory_bytes / 2,
        Work::Query => memory_bytes / 8,
    }
}

impl Budget {
    /// Its parts by name, in bytes, for who looks.
    pub fn shares(&self) -> Vec<(&'static str, u64)> {
        let parts = [
            ("batch", self.batch_bytes),
            ("lane", self.lane_bytes),
            ("writer", self.writer_bytes),
            ("operators", self.operator_bytes),
            ("long rows", self.heavy_bytes),
        ];
        std::iter::once(("all", self.memory_bytes)).chain(parts.map(|(name, bytes)| (name, bytes as u64))).collect()
    }

    /// The same for operators that gather rows of about `row_bytes`: they count batches by rows, however long these are.
    #[must_use]
    pub fn gathering(mut self, row_bytes: u64) -> Self {
        let rows = usize::try_from(self.batch_bytes as u64 / row_bytes.max(1)).unwrap_or(usize::MAX);
        self.batch_rows = self.batch_rows.min(rows).max(1);
        self
    }

    /// The same with batches that pass several times a second under the limits of `speed`.
    #[must_use]
    pub fn paced(mut self, speed: &Speed) -> Self {
        for rows in [speed.job_rows, speed.channel_rows].into_iter().flatten() {
            self.batch_rows = self.batch_rows.min(batch_share(rows));
        }
        for bytes in [speed.job_bytes, speed.channel_bytes].into_iter().flatten() {
            self.batch_bytes = self.batch_bytes.min(batch_share(bytes));
        }
        self
    }
}

/// A size as it is typed.
pub(super) fn size(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 20) { format!("{} MiB", bytes >> 20) } else { format!("{} MB", bytes / 1_000_000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    #[test]
    fn no_division_exceeds_the_memory() {
        for memory_bytes in [LEAST_BYTES, 128 * MB, DEFAULT_BYTES, 8 << 30] {
            for work in [Work::Rows, Work::Query] {
                for targets in [1, 3] {
                    let most = channels_max(memory_bytes, targets, work);
                    for channels in [1, 2, 5, 17, 64, 1024].map(|channels| most.min(channels)) {
                        let budget = divide(memory_bytes, channels, targets, work);
                        let batches = budget.batch_bytes as u64 * batches(targets) * channels as u64;
                        let writers = (budget.writer_bytes * channels * targets) as u64;
                        let operators = if work == Work::Query { budget.operator_bytes as u64 } else { 0 };
                        assert!(batches + writers + operators <= memory_bytes, "{memory_bytes} {channels} {work:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_floor_of_a_batch_bounds_the_channels() {
        assert_eq!(channels_max(128 * MB, 1, Work::Rows), 32);
        assert_eq!(channels_max(128 * MB, 1, Work::Query), 8);
        assert_eq!(channels_max(DEFAULT_BYTES, 1, Work::Rows), 128);
        assert_eq!(channels_max(DEFAULT_BYTES, 9, Work::Rows), 64);
    }

    #[test]
    fn long_rows_bound_the_channels() {
        assert_eq!(channels_of_rows(512 * MB, 30 * MB), 2);
        assert_eq!(channels_of_rows(64 * MB, 50 * MB), 1);
        assert!(channels_of_rows(128 * MB, 100) > 1024);
    }

    #[test]
    fn operators_gather_as_many_rows_as_fill_a_batch() {
        let rows = |row_bytes| divide(128 * MB, 2, 1, Work::Query).gathering(row_bytes).batch_rows;
        assert_eq!((rows(0), rows(8), rows(8 << 10), rows(5 * MB)), (BATCH_ROWS, BATCH_ROWS, 64, 1));
    }

    #[test]
    fn what_the_hint_names_is_enough() {
        let error = memory(Some(1)).unwrap_err();
        assert_eq!((error.kind(), error.hint()), (ErrorKind::Usage, Some("give --memory at least 64MB")));
        assert!(memory(Some(64_000_000)).is_ok());
        assert_eq!(memory(None).unwrap(), DEFAULT_BYTES);
    }

    #[test]
    fn a_limited_job_has_small_batches() {
        let budget = divide(DEFAULT_BYTES, 2, 1, Work::Rows);
        let slow = budget.paced(&Speed { job_rows: Some(80), job_bytes: Some(8000), ..Speed::default() });
        assert_eq!((slow.batch_rows, slow.batch_bytes), (10, 1000));
        assert_eq!(budget.paced(&Speed::default()), budget);
    }
}
