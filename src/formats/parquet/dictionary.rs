//! Which columns have a dictionary: those that it makes smaller.
//!
//! A dictionary costs a look-up of each value, and its codes hardly compress. Where values are seldom alike, they make the smaller file
//! as they are, in less time. Whether it is so shows in row groups that were written.

use std::sync::Arc;

use ::parquet::file::metadata::ColumnChunkMetaData;
use parking_lot::Mutex;

/// Bytes of a chunk before compression from which on it says something of other row groups.
const TELLING_BYTES: i64 = 64 << 10;

/// Bytes per value before compression, codes and dictionary together, up to which nothing else is tried.
const SURE_BYTES: i64 = 2;

/// Row groups after which all is forgotten: later values may be others.
const REMEMBERED: u32 = 32;

/// What was learned of the columns of a table, for all who write it.
#[derive(Clone, Debug, Default)]
pub struct Dictionaries(Arc<Mutex<Learned>>);

#[derive(Debug, Default)]
struct Learned {
    /// Row groups that were begun since all was forgotten.
    begun: u32,
    leaves: Vec<Leaf>,
}

/// Compressed bytes per value of one leaf.
#[derive(Clone, Debug, Default)]
struct Leaf {
    /// With a dictionary; none where that is surely good.
    with: Option<f64>,
    /// Without one.
    without: Option<f64>,
}

impl Dictionaries {
    /// Which of so many leaves go without a dictionary in the row group that begins.
    pub(super) fn left_out(&self, leaves: usize) -> Vec<usize> {
        let mut learned = self.0.lock();
        if learned.begun == REMEMBERED {
            *learned = Learned::default();
        }
        learned.begun += 1;
        learned.leaves.resize(leaves, Leaf::default());
        (0..leaves).filter(|leaf| learned.leaves[*leaf].goes_without()).collect()
    }

    /// Learns from the chunks of a row group, one for each leaf.
    pub(super) fn learn<'a>(&self, chunks: impl Iterator<Item = &'a ColumnChunkMetaData>) {
        let mut learned = self.0.lock();
        learned.leaves.iter_mut().zip(chunks).for_each(|(leaf, chunk)| leaf.learn(chunk));
    }
}

impl Leaf {
    fn learn(&mut self, chunk: &ColumnChunkMetaData) {
        let (values, bytes) = (chunk.num_values(), chunk.uncompressed_size());
        if bytes < TELLING_BYTES {
            return;
        }
        let cost = chunk.compressed_size() as f64 / values as f64;
        if chunk.dictionary_page_offset().is_none() {
            self.without = Some(cost);
        } else {
            self.with = (bytes > SURE_BYTES * values).then_some(cost);
        }
    }

    /// It is tried once, and stays so where it is no larger.
    fn goes_without(&self) -> bool {
        self.with.is_some_and(|with| self.without.is_none_or(|without| without <= with))
    }
}

#[cfg(test)]
mod tests {
    use ::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
    use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt64Array};
    use bytes::Bytes;

    use super::super::{Codec, Encoder, RowGroupLimit, Settings};
    use super::*;

    /// Each batch as a row group of a file.
    fn written(batches: &[RecordBatch], codec: Codec, dictionaries: &Dictionaries) -> Bytes {
        let settings = Settings { codec, level: None, row_group: RowGroupLimit { rows: 1, bytes: 64 << 20 } };
        let encoder = Encoder::new(Vec::new(), &batches[0].schema(), &settings, None).unwrap();
        let mut encoder = encoder.with_dictionaries(dictionaries.clone());
        for batch in batches {
            assert!(encoder.encode(std::slice::from_ref(batch)).unwrap());
            encoder.close_group().unwrap();
            encoder.write_groups().unwrap();
        }
        Bytes::from(encoder.finish().unwrap())
    }

    /// The row groups of `file` in which the leaf has a dictionary.
    fn with_dictionary(file: &Bytes, leaf: usize) -> Vec<usize> {
        let metadata = ArrowReaderMetadata::load(file, ArrowReaderOptions::new()).unwrap();
        let groups = metadata.metadata().row_groups().iter().enumerate();
        let with = groups.filter(|(_, group)| group.column(leaf).dictionary_page_offset().is_some());
        with.map(|(index, _)| index).collect()
    }

    fn ids(rows: i64) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row * 7919)))
    }

    /// The generator `splitmix64`.
    fn mixed(number: u64) -> u64 {
        let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    /// Numbers of which each is there once; 20,000 without a pattern, in any order; and three.
    fn batch() -> RecordBatch {
        let rows = 60_000;
        let keys = UInt64Array::from_iter_values((0..rows).map(|row| mixed(1 + mixed(row) % 20_000)));
        let kinds = UInt64Array::from_iter_values((0..rows).map(|row| row % 3));
        let columns: [(&str, ArrayRef); 3] = [("id", ids(60_000)), ("key", Arc::new(keys)), ("kind", Arc::new(kinds))];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn a_column_goes_without_where_that_is_smaller() {
        let (batch, dictionaries) = (batch(), Dictionaries::default());
        let file = written(&vec![batch.clone(); 4], Codec::Zstd, &dictionaries);
        assert_eq!([0, 1, 2].map(|leaf| with_dictionary(&file, leaf)), [vec![0], vec![0, 2, 3], vec![0, 1, 2, 3]]);
        let next = written(std::slice::from_ref(&batch), Codec::Zstd, &dictionaries);
        assert_eq!([0, 1, 2].map(|leaf| with_dictionary(&next, leaf).len()), [0, 1, 1], "another file knows it, too");
        let read = ::parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 60_000).unwrap();
        let read: Vec<RecordBatch> = read.map(Result::unwrap).collect();
        assert_eq!(read.len(), 4);
        assert!(read.iter().all(|read| read.columns() == batch.columns()));
    }

    #[test]
    fn nothing_is_learned_for_ever_from_few_rows_or_without_compression() {
        let of = |rows| RecordBatch::try_from_iter([("id", ids(rows))]).unwrap();
        for (rows, codec, expected) in [
            (10_000, Codec::Zstd, vec![0, 32]),
            (1000, Codec::Zstd, (0..34).collect()),
            (10_000, Codec::None, (0..34).collect()),
        ] {
            let file = written(&vec![of(rows); 34], codec, &Dictionaries::default());
            assert_eq!(with_dictionary(&file, 0), expected, "{rows} rows, {codec:?}");
        }
    }
}
