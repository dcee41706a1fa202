//! Digests that do not depend on the order of rows: one per bucket of keys, to find where two sets of rows differ.
//!
//! A row counts as a 64-bit hash of its bytes (XXH64), a bucket as the number of its rows and the sum of their hashes.
//! Two different buckets look alike with a chance of 2^-64, if nobody made their rows to that end.

use arrow::array::{Array as _, BinaryArray};
use arrow::buffer::BooleanBuffer;
use twox_hash::XxHash64;

/// So many buckets that a few rows that differ leave nearly all of them alike.
const BUCKETS: usize = 1 << 16;

/// Rows and digest of each bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets(Vec<Bucket>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bucket {
    rows: u64,
    sum: u64,
}

impl Default for Buckets {
    fn default() -> Self {
        Self(vec![Bucket::default(); BUCKETS])
    }
}

impl Buckets {
    /// Counts rows: each has its key in `keys` and all else in `rows`.
    pub fn add(&mut self, keys: &BinaryArray, rows: &BinaryArray) {
        for (key, row) in keys.iter().flatten().zip(rows.iter().flatten()) {
            let hash = hash(key);
            let bucket = &mut self.0[bucket_of(hash)];
            bucket.rows += 1;
            // Seeded with the key, so that rows that exchange all else are noticed.
            bucket.sum = bucket.sum.wrapping_add(XxHash64::oneshot(hash, row));
        }
    }

    /// Counts the rows of `other` too.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, more) in self.0.iter_mut().zip(&other.0) {
            bucket.rows += more.rows;
            bucket.sum = bucket.sum.wrapping_add(more.sum);
        }
    }

    /// The buckets in which `other` is not the same.
    pub fn unlike(&self, other: &Self) -> BucketSet {
        BucketSet(BooleanBuffer::collect_bool(BUCKETS, |index| self.0[index] != other.0[index]))
    }

    /// Rows of all buckets that are not in `set`.
    pub fn rows_outside(&self, set: &BucketSet) -> u64 {
        self.0.iter().zip(&set.0).map(|(bucket, inside)| if inside { 0 } else { bucket.rows }).sum()
    }
}

/// Some of the buckets.
#[derive(Clone, Debug)]
pub struct BucketSet(BooleanBuffer);

impl BucketSet {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.count_set_bits() == 0
    }

    /// Which of `keys` belong to them.
    pub fn holds(&self, keys: &BinaryArray) -> BooleanBuffer {
        BooleanBuffer::collect_bool(keys.len(), |row| self.0.value(bucket_of(hash(keys.value(row)))))
    }
}

fn hash(key: &[u8]) -> u64 {
    XxHash64::oneshot(0, key)
}

fn bucket_of(hash: u64) -> usize {
    hash as usize % BUCKETS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The buckets of rows such as `a=1`.
    fn buckets(rows: &[&str]) -> Buckets {
        let parts: Vec<(&str, &str)> = rows.iter().map(|row| row.split_once('=').unwrap()).collect();
        let column = |values: Vec<&str>| BinaryArray::from_iter_values(values);
        let mut buckets = Buckets::default();
        let keys = column(parts.iter().map(|(key, _)| *key).collect());
        buckets.add(&keys, &column(parts.iter().map(|(_, row)| *row).collect()));
        buckets
    }

    #[test]
    fn the_order_of_rows_does_not_matter_and_each_value_does() {
        let (one, two) = (buckets(&["a=1", "b=2", "c=3"]), buckets(&["c=3", "a=1", "b=2"]));
        assert!(one.unlike(&two).is_empty());
        assert_eq!(one.rows_outside(&one.unlike(&two)), 3);
        for other in [&["a=1", "b=2"][..], &["a=2", "b=1", "c=3"], &["a=1", "b=2", "c=3", "c=3"], &["a=1", "b=2", "c="]]
        {
            assert!(!one.unlike(&buckets(other)).is_empty(), "{other:?}");
        }
    }

    #[test]
    fn only_what_differs_is_in_the_set() {
        let (one, two) = (buckets(&["a=1", "b=2", "c=3"]), buckets(&["a=1", "b=2", "c=4"]));
        let set = one.unlike(&two);
        let held = set.holds(&BinaryArray::from_iter_values(["a", "b", "c"]));
        assert_eq!(held.iter().collect::<Vec<_>>(), [false, false, true]);
        assert_eq!((one.rows_outside(&set), held.len()), (2, 3));
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let mut parts = buckets(&["a=1"]);
        parts.merge(&buckets(&["b=2", "c=3"]));
        assert_eq!(parts, buckets(&["c=3", "b=2", "a=1"]));
    }
}
