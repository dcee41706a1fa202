//! How the memory of a job is divided: pure arithmetic.

use crate::error::{Error, ErrorKind, Result};

/// What a job may use when nothing is said.
pub const DEFAULT_BYTES: u64 = 512 << 20;

/// Less than this cannot hold even small batches on both sides.
const LEAST_BYTES: u64 = 64 << 20;

/// Rows of a batch, at most.
pub const BATCH_ROWS: usize = 16_384;

/// Batches of one channel that exist at the same time: read, in the lane, in transformation, written, encoded.
const BATCHES_PER_CHANNEL: u64 = 16;

/// Between these a batch's bytes are chosen.
const BATCH_BYTES: std::ops::RangeInclusive<u64> = (64 << 10)..=(2 << 20);

/// Where the memory goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of one batch.
    pub batch_bytes: usize,
    /// Bytes that may wait in one lane.
    pub lane_bytes: usize,
    /// Bytes that one writer may hold beside its batch.
    pub writer_bytes: usize,
    /// Bytes that sorting, grouping and joining may hold before they spill.
    pub operator_bytes: usize,
}

/// Divides `memory_bytes` among `channels`.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) when it is too little.
pub fn divide(memory_bytes: Option<u64>, channels: usize) -> Result<Budget> {
    let memory = memory_bytes.unwrap_or(DEFAULT_BYTES);
    if memory < LEAST_BYTES {
        let message = format!("{memory} bytes of memory are too little");
        let hint = format!("give --memory at least {} MB", LEAST_BYTES >> 20);
        return Err(Error::new(ErrorKind::Usage, message).with_hint(hint));
    }
    let batch =
        (memory / (channels.max(1) as u64 * BATCHES_PER_CHANNEL)).clamp(*BATCH_BYTES.start(), *BATCH_BYTES.end());
    Ok(Budget {
        batch_bytes: batch as usize,
        lane_bytes: 2 * batch as usize,
        writer_bytes: (memory / (4 * channels.max(1) as u64)) as usize,
        operator_bytes: (memory / 2) as usize,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_channels_get_smaller_batches() {
        let few = divide(Some(128 << 20), 2).unwrap();
        let many = divide(Some(128 << 20), 64).unwrap();
        assert!(many.batch_bytes < few.batch_bytes);
        assert!(many.batch_bytes as u64 * BATCHES_PER_CHANNEL * 64 <= 128 << 20);
    }

    #[test]
    fn too_little_is_refused() {
        assert_eq!(divide(Some(1), 1).unwrap_err().kind(), ErrorKind::Usage);
    }
}
