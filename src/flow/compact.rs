//! Batches that hold no more than their own rows.
//!
//! A slice keeps the whole buffers alive of which it shows a part, and DataFusion's pool counts all of them for each
//! slice. Operators that keep batches (sorts, joins, groupings) would run out of memory that nobody uses.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;

use crate::bridge::cpu;
use crate::error::Result;
use crate::schema::batch_bytes;

/// Bytes beyond the rows' own that are not worth a copy.
const SLACK_BYTES: usize = 64 << 10;

/// `batch`, copied if its buffers are more than twice as large as its rows.
pub async fn compact(batch: RecordBatch) -> Result<RecordBatch> {
    if batch.get_array_memory_size() <= 2 * batch_bytes(&batch) + SLACK_BYTES {
        return Ok(batch);
    }
    cpu::run(move || {
        let all = UInt32Array::from_iter_values(0..batch.num_rows() as u32);
        Ok(take_record_batch(&batch, &all)?)
    })
    .await?
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[tokio::test]
    async fn a_slice_leaves_the_rest_behind_and_a_whole_is_not_copied() {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100_000));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..100_000).map(|row| format!("row {row}"))));
        let whole = RecordBatch::try_from_iter([("n", numbers), ("t", texts)]).unwrap();
        let same = compact(whole.clone()).await.unwrap();
        assert!(Arc::ptr_eq(same.column(0), whole.column(0)));
        let slice = whole.slice(50_000, 10);
        let small = compact(slice.clone()).await.unwrap();
        assert_eq!(small, slice);
        assert!(small.get_array_memory_size() < 4096, "{}", small.get_array_memory_size());
    }
}
