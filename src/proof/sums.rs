//! What a batch adds to the proof of a job: sums over its columns, as exact integers.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayAccessor, ArrayIter, ArrayRef, ArrowNativeTypeOp as _, AsArray as _, GenericByteArray, PrimitiveArray,
    RecordBatch,
};
use arrow::compute::{max, min};
use arrow::datatypes::{
    ArrowNativeType as _, ArrowPrimitiveType, ByteArrayType, DataType, Date32Type, Decimal128Type, Float16Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType, ToByteSlice, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::downcast_primitive_array;
use arrow::row::{RowConverter, SortField};
use num_traits::Float;

use crate::error::Result;
use crate::proof::hash::{hash, hash_within, of_word, of_words};
use crate::proof::{ColumnProof, Integers};
use crate::schema::record_batch;

/// The proof of each column of `batch`.
pub fn of(batch: &RecordBatch) -> Vec<ColumnProof> {
    batch.columns().iter().map(|array| ColumnProof { digest: digest(array), ..counted(array) }).collect()
}

/// `batch` with every zero of a float without its sign: as it comes back from a target that keeps none.
pub fn without_signed_zeros(batch: &RecordBatch) -> Result<RecordBatch> {
    let column = |array: &ArrayRef| -> ArrayRef {
        match array.data_type() {
            DataType::Float32 => {
                Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(|value| value + 0.0))
            }
            DataType::Float64 => {
                Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(|value| value + 0.0))
            }
            _ => Arc::clone(array),
        }
    };
    let columns = batch.columns().iter().map(column).collect();
    record_batch(batch.schema_ref(), columns, batch.num_rows())
}

/// The proof of a column, without a digest.
pub fn counted(array: &ArrayRef) -> ColumnProof {
    let nulls = array.logical_null_count() as u64;
    let values = array.len() as u64 - nulls;
    ColumnProof { values, nulls, integers: integers(array), bytes: bytes(array), ..ColumnProof::default() }
}

/// The sum of what `hashed` gives of each value that is not NULL, modulo 2^64. Values come in runs, over which the compiler can
/// use vector instructions.
pub fn digest_of<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, mut hashed: impl FnMut(T::Native) -> u64) -> u64 {
    let mut all = 0_u64;
    each_run(array, |run| {
        let values = &array.values()[run];
        all = values.iter().fold(all, |all, value| all.wrapping_add(hashed(*value)));
    });
    all
}

/// The sum of the hashes of texts or binary values, modulo 2^64.
pub fn digest_of_bytes<T: ByteArrayType>(array: &GenericByteArray<T>) -> u64 {
    let (bytes, offsets) = (array.value_data(), array.value_offsets());
    let mut all = 0_u64;
    each_run(array, |run| {
        let ends = offsets[run.start..=run.end].windows(2);
        let hashed = |ends: &[T::Offset]| hash_within(bytes, ends[0].as_usize()..ends[1].as_usize());
        all = ends.fold(all, |all, ends| all.wrapping_add(hashed(ends)));
    });
    all
}

/// Calls `run` with the places of each run of values that are not NULL, the first to the last.
fn each_run(array: &dyn Array, mut run: impl FnMut(Range<usize>)) {
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => run(0..array.len()),
        Some(nulls) => nulls.valid_slices().for_each(|(from, to)| run(from..to)),
    }
}

/// None for other types, for a sum that outgrows 128 bits, and where there is no value.
fn integers(array: &dyn Array) -> Option<Integers> {
    match array.data_type() {
        DataType::Int8 => sum::<Int8Type>(array),
        DataType::Int16 => sum::<Int16Type>(array),
        DataType::Int32 => sum::<Int32Type>(array),
        DataType::Int64 => sum::<Int64Type>(array),
        DataType::UInt8 => sum::<UInt8Type>(array),
        DataType::UInt16 => sum::<UInt16Type>(array),
        DataType::UInt32 => sum::<UInt32Type>(array),
        DataType::UInt64 => sum::<UInt64Type>(array),
        DataType::Decimal128(..) => decimals(array),
        DataType::Date32 => sum::<Date32Type>(array),
        DataType::Time64(TimeUnit::Microsecond) => sum::<Time64MicrosecondType>(array),
        DataType::Timestamp(TimeUnit::Microsecond, _) => sum::<TimestampMicrosecondType>(array),
        DataType::Boolean => {
            let values = array.as_boolean();
            let (trues, all) = (values.true_count() as i128, (values.len() - values.null_count()) as i128);
            let least = i128::from(trues == all);
            (all > 0).then(|| Integers { sum: trues, least, greatest: i128::from(trues > 0) })
        }
        _ => None,
    }
}

/// Of values of at most 64 bits, of which a batch has fewer than 2^63: their sum does not outgrow 128 bits.
fn sum<T: ArrowPrimitiveType<Native: Into<i128> + Ord>>(array: &dyn Array) -> Option<Integers> {
    let array = array.as_primitive::<T>();
    let mut all = (T::Native::MAX_TOTAL_ORDER, T::Native::MIN_TOTAL_ORDER, 0_i128);
    each_run(array, |run| {
        all = array.values()[run].iter().fold(all, |(least, greatest, sum), value| {
            (least.min(*value), greatest.max(*value), sum + Into::<i128>::into(*value))
        });
    });
    let (least, greatest, sum) = all;
    (least <= greatest).then(|| Integers { sum, least: least.into(), greatest: greatest.into() })
}

/// Of decimals, most of which fit 64 bits and are compared as such.
fn decimals(array: &dyn Array) -> Option<Integers> {
    let array = array.as_primitive::<Decimal128Type>();
    // The last are the bits of the upper halves that say more than the sign of the lower ones.
    let mut all = (i64::MAX, i64::MIN, 0_i128, 0_i64);
    each_run(array, |run| {
        all = array.values()[run].iter().fold(all, |(least, greatest, sum, more), value| {
            let (low, high) = (*value as i64, (*value >> i64::BITS) as i64);
            (least.min(low), greatest.max(low), sum + i128::from(low), more | (high ^ (low >> (i64::BITS - 1))))
        });
    });
    let (least, greatest, sum, more) = all;
    if more == 0 {
        return (least <= greatest).then(|| Integers { sum, least: least.into(), greatest: greatest.into() });
    }
    let sum = array.iter().flatten().try_fold(0_i128, i128::checked_add)?;
    Some(Integers { sum, least: min(array)?, greatest: max(array)? })
}

fn bytes(array: &dyn Array) -> Option<u64> {
    match array.data_type() {
        DataType::Utf8 => Some(lengths(array.as_string::<i32>())),
        DataType::Binary => Some(lengths(array.as_binary::<i32>())),
        _ => None,
    }
}

/// The bytes of all values. Those of a NULL are arbitrary.
fn lengths<T: ByteArrayType<Offset = i32>>(array: &GenericByteArray<T>) -> u64 {
    let offsets = array.value_offsets();
    let mut all = 0;
    each_run(array, |run| all += (offsets[run.end] - offsets[run.start]) as u64);
    all
}

fn digest(array: &ArrayRef) -> Option<u64> {
    let array = array.as_ref();
    match array.data_type() {
        DataType::Float16 => return Some(floats::<Float16Type>(array)),
        DataType::Float32 => return Some(floats::<Float32Type>(array)),
        DataType::Float64 => return Some(floats::<Float64Type>(array)),
        _ => {}
    }
    Some(downcast_primitive_array!(
        array => digest_of(array, |value| of_bytes(value.to_byte_slice())),
        DataType::Utf8 => digest_of_bytes(array.as_string::<i32>()),
        DataType::LargeUtf8 => digest_of_bytes(array.as_string::<i64>()),
        DataType::Binary => digest_of_bytes(array.as_binary::<i32>()),
        DataType::LargeBinary => digest_of_bytes(array.as_binary::<i64>()),
        DataType::FixedSizeBinary(_) => sum_of(array.as_fixed_size_binary(), hash),
        DataType::Boolean => sum_of(array.as_boolean(), |value| hash(&[u8::from(value)])),
        _ => return rows(array),
    ))
}

/// NaN has many bit patterns, and all of them are one value here.
fn floats<T: ArrowPrimitiveType<Native: Float>>(array: &dyn Array) -> u64 {
    let one = |value: T::Native| if value.is_nan() { T::Native::nan() } else { value };
    digest_of(array.as_primitive::<T>(), |value| of_bytes(one(value).to_byte_slice()))
}

/// The hash of the bytes of a number. Their count is known where this is compiled.
#[inline]
fn of_bytes(bytes: &[u8]) -> u64 {
    let word = <[u8; 4]>::try_from(bytes).map(u32::from_le_bytes);
    let words = <[u8; 8]>::try_from(bytes).map(u64::from_le_bytes);
    match (word, words) {
        (Ok(word), _) => of_word(word),
        (_, Ok(words)) => of_words(words),
        _ => hash(bytes),
    }
}

/// The digest of a type that has no bytes of its own: by those of its rows. None for types that have no row format.
fn rows(array: &dyn Array) -> Option<u64> {
    let converter = RowConverter::new(vec![SortField::new(array.data_type().clone())]).ok()?;
    let rows = converter.convert_columns(&[arrow::array::make_array(array.to_data())]).ok()?;
    let nulls = array.logical_nulls();
    let valid = |row: &usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row));
    Some((0..rows.num_rows()).filter(valid).fold(0, |all, row| all.wrapping_add(hash(rows.row(row).as_ref()))))
}

fn sum_of<A: ArrayAccessor>(array: A, hashed: impl Fn(A::Item) -> u64) -> u64 {
    ArrayIter::new(array).flatten().fold(0, |all, value| all.wrapping_add(hashed(value)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray, UInt64Array};

    use super::*;

    fn proof(array: impl Array + 'static) -> ColumnProof {
        let column: ArrayRef = Arc::new(array);
        of(&RecordBatch::try_from_iter([("c", column)]).unwrap()).remove(0)
    }

    fn integers(sum: i128, least: i128, greatest: i128) -> Integers {
        Integers { sum, least, greatest }
    }

    #[test]
    fn sums_are_exact_where_64_bits_are_not_enough() {
        let found = proof(Int64Array::from(vec![Some(i64::MAX), None, Some(i64::MAX), Some(-1)]));
        assert_eq!((found.values, found.nulls), (3, 1));
        assert_eq!(found.integers, Some(integers(18_446_744_073_709_551_613, -1, i64::MAX.into())));
        let cents = Decimal128Array::from(vec![150, -25]).with_precision_and_scale(12, 2).unwrap();
        assert_eq!(proof(cents).integers, Some(integers(125, -25, 150)));
        let large = |values: Vec<Option<i128>>| proof(Decimal128Array::from(values)).integers;
        let (most, more) = (i128::from(i64::MAX), i128::from(i64::MAX) + 1);
        assert_eq!(large(vec![Some(most), None, Some(-more)]), Some(integers(-1, -more, most)));
        assert_eq!(large(vec![Some(more), None, Some(-1)]), Some(integers(most, -1, more)));
        assert_eq!(large(vec![Some(-more - 1), Some(0)]), Some(integers(-more - 1, -more - 1, 0)));
        assert_eq!(large(vec![Some(i128::MAX), Some(1)]), None);
        assert_eq!(large(vec![None]), None);
        let unsigned = proof(UInt64Array::from(vec![Some(u64::MAX), None, Some(1)]));
        assert_eq!(unsigned.integers, Some(integers(18_446_744_073_709_551_616, 1, u64::MAX.into())));
        let bits = proof(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]));
        assert_eq!(bits.integers, Some(integers(2, 0, 1)));
    }

    #[test]
    fn digests_know_values_and_not_their_order() {
        let digest = |values: Vec<Option<f64>>| proof(Float64Array::from(values)).digest;
        assert_eq!(digest(vec![Some(1.0), None, Some(2.0)]), digest(vec![Some(2.0), Some(1.0)]));
        assert_ne!(digest(vec![Some(1.0), Some(2.0)]), digest(vec![Some(1.0), Some(2.5)]));
        assert_ne!(digest(vec![Some(0.0)]), digest(vec![Some(-0.0)]));
        let text = |values: Vec<&str>| proof(StringArray::from(values)).digest;
        assert_eq!(text(vec!["ab", "c"]), text(vec!["c", "ab"]));
        assert_ne!(text(vec!["ab", "c"]), text(vec!["a", "bc"]));
    }

    #[test]
    fn digests_of_texts_are_sums_of_hashes_whatever_lies_around_them() {
        let texts =
            [Some("before"), Some(""), None, Some("abcdefghijklm"), Some("c"), Some("a text of many more bytes")];
        let digest = |from: usize, to: usize| {
            let hashes = texts[from..to].iter().flatten().map(|text| hash(text.as_bytes()));
            Some(hashes.fold(0_u64, u64::wrapping_add))
        };
        let array = StringArray::from(texts.to_vec());
        for (from, to) in [(0, 6), (1, 5), (2, 3), (3, 3)] {
            let part = proof(array.slice(from, to - from));
            assert_eq!(part.digest, digest(from, to), "{from} to {to}");
            let bytes: usize = texts[from..to].iter().flatten().map(|text| text.len()).sum();
            assert_eq!(part.bytes, Some(bytes as u64), "{from} to {to}");
        }
    }

    #[test]
    fn texts_count_their_bytes_and_floats_are_counted_alone() {
        let texts = proof(StringArray::from(vec![Some("é"), None, Some("ab")]));
        assert_eq!((texts.bytes, texts.integers), (Some(4), None));
        let floats = proof(Float64Array::from(vec![0.5, 1.5]));
        assert_eq!((floats.values, floats.integers, floats.bytes), (2, None, None));
        assert_eq!(proof(Int64Array::from(vec![None, None])).integers, None);
    }
}
