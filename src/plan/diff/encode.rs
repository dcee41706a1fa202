//! Rows as bytes: one binary column that is the key, one that is all else.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray as _, BinaryArray, BooleanArray, RecordBatch, StringBuilder,
    new_null_array,
};
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Field, Float16Type, Float32Type, Float64Type, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use num_traits::Float;

use super::Side;
use super::columns::Columns;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::align::{Kernel, kernel};
use crate::formats::value::print;

/// What encoded rows look like.
pub(super) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![Field::new("key", DataType::Binary, false), Field::new("row", DataType::Binary, false)]))
});

/// The bytes of both sides' rows, and back. Equal bytes are equal values, and keys are ordered as their bytes are.
#[derive(Debug)]
pub struct Codec {
    /// The columns of rows that are decoded: the key, then all others.
    schema: SchemaRef,
    key: RowConverter,
    /// Values, then the texts of those that did not fit.
    row: RowConverter,
    /// Each value alone, to tell which of them differ.
    values: Vec<RowConverter>,
    /// Which values may not fit.
    refusing: Vec<usize>,
}

/// Rows that are columns again.
#[derive(Debug)]
pub struct Decoded {
    /// Key and values.
    pub batch: RecordBatch,
    /// Beside each column the texts of values that did not fit: these are NULL in the batch.
    pub misfits: Vec<Option<ArrayRef>>,
}

impl Decoded {
    /// Names and texts of the values of `row` that did not fit.
    pub fn misfits_of(&self, row: usize) -> impl Iterator<Item = (&str, &str)> {
        let columns = self.batch.schema_ref().fields().iter().zip(&self.misfits);
        columns.filter_map(move |(field, texts)| {
            let texts = texts.as_ref()?.as_string::<i32>();
            texts.is_valid(row).then(|| (field.name().as_str(), texts.value(row)))
        })
    }
}

impl Codec {
    /// The codec of `columns`.
    ///
    /// # Errors
    /// Arrow's for types that have no row format.
    pub fn new(columns: &Columns) -> Result<Self> {
        let kind = |column: &super::columns::Column| SortField::new(column.compared.data_type().clone());
        let refusing: Vec<usize> =
            columns.values.iter().enumerate().filter_map(|(at, column)| column.refusing.map(|_| at)).collect();
        // Never without a column: rows of none would not be counted.
        let misfits = std::iter::repeat_with(|| SortField::new(DataType::Utf8)).take(refusing.len().max(1));
        let alone = |column| Ok(RowConverter::new(vec![kind(column)])?);
        Ok(Self {
            schema: Arc::new(Schema::new(columns.all().map(|column| column.compared.clone()).collect::<Vec<_>>())),
            key: RowConverter::new(columns.key.iter().map(kind).collect())?,
            row: RowConverter::new(columns.values.iter().map(kind).chain(misfits).collect())?,
            values: columns.values.iter().map(alone).collect::<Result<_>>()?,
            refusing,
        })
    }

    fn key_columns(&self) -> usize {
        self.schema.fields().len() - self.values.len()
    }

    /// The columns of `keys` and `rows`, which belong together.
    ///
    /// # Errors
    /// Arrow's for bytes that this codec did not make.
    pub fn decode(&self, keys: &[&[u8]], rows: &[&[u8]]) -> Result<Decoded> {
        let parser = self.key.parser();
        let mut arrays = self.key.convert_rows(keys.iter().map(|key| parser.parse(key)))?;
        let (values, misfits) = self.values_of(rows)?;
        arrays.extend(values);
        // Dictionaries within lists and structs come back as what they stand for.
        let field =
            |(field, array): (&Arc<Field>, &ArrayRef)| field.as_ref().clone().with_data_type(array.data_type().clone());
        let schema = Schema::new(self.schema.fields().iter().zip(&arrays).map(field).collect::<Vec<_>>());
        let batch = RecordBatch::try_new(Arc::new(schema), arrays)?;
        let before = std::iter::repeat_n(None, self.key_columns());
        Ok(Decoded { batch, misfits: before.chain(misfits).collect() })
    }

    /// Per value the number of `pairs` of rows in which it differs.
    pub(super) fn differing(&self, pairs: &[[Vec<u8>; 2]]) -> Result<Vec<u64>> {
        let side = |side: usize| {
            let rows: Vec<&[u8]> = pairs.iter().map(|pair| pair[side].as_slice()).collect();
            self.values_of(&rows)
        };
        let ((a, a_misfits), (b, b_misfits)) = (side(0)?, side(1)?);
        let count = |at: usize| {
            let rows = |array: &ArrayRef| self.values[at].convert_columns(std::slice::from_ref(array));
            let (a, b) = (rows(&a[at])?, rows(&b[at])?);
            let misfit = |row| [&a_misfits[at], &b_misfits[at]].into_iter().flatten().any(|texts| texts.is_valid(row));
            let differs = |row: &usize| a.row(*row) != b.row(*row) || misfit(*row);
            Ok((0..pairs.len()).filter(differs).count() as u64)
        };
        (0..self.values.len()).map(count).collect()
    }

    fn values_of(&self, rows: &[&[u8]]) -> Result<(Vec<ArrayRef>, Vec<Option<ArrayRef>>)> {
        let parser = self.row.parser();
        let mut values = self.row.convert_rows(rows.iter().map(|row| parser.parse(row)))?;
        let texts = values.split_off(self.values.len());
        let mut misfits = vec![None; self.values.len()];
        for (at, texts) in self.refusing.iter().zip(texts) {
            misfits[*at] = Some(texts);
        }
        Ok((values, misfits))
    }
}

/// Encodes the rows of one side.
#[derive(Debug)]
pub(super) struct Encoder {
    codec: Arc<Codec>,
    casts: Vec<Cast>,
}

#[derive(Debug)]
struct Cast {
    given: Field,
    kernel: Kernel,
}

impl Encoder {
    /// The encoder of `side`, which gives `columns` in their order.
    pub(super) fn new(codec: Arc<Codec>, columns: &Columns, side: Side) -> Result<Self> {
        let cast = |column: &super::columns::Column| {
            let given = &column.given[side as usize];
            let kernel = kernel(given, &column.compared).ok_or_else(|| {
                let message = format!("no cast leads from {} to {}", given.data_type(), column.compared.data_type());
                Error::new(ErrorKind::Schema, message).at("column", &column.name)
            })?;
            Ok(Cast { given: given.clone(), kernel })
        };
        Ok(Self { codec, casts: columns.all().map(cast).collect::<Result<_>>()? })
    }

    /// The rows of `batch` as [`SCHEMA`] has them.
    ///
    /// # Errors
    /// [`Value`](ErrorKind::Value) for a key that does not fit what keys are compared as.
    pub(super) fn encode(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let codec = &self.codec;
        let mut arrays = Vec::with_capacity(self.casts.len() + codec.refusing.len());
        let mut misfits: Vec<Option<ArrayRef>> = vec![None; self.casts.len()];
        for (at, (cast, array)) in self.casts.iter().zip(batch.columns()).enumerate() {
            let run = |array| cast.kernel.run(array).map_err(|error| error.at("column", cast.given.name()));
            let mut done = run(array)?;
            if let Some((rows, reason)) = done.misfits {
                if at < codec.key_columns() {
                    return Err(Error::new(ErrorKind::Value, reason.to_string())
                        .with_hint("keys must be values of one type on both sides: choose others with --key")
                        .at("column", cast.given.name()));
                }
                let rows = BooleanArray::new(rows, None);
                misfits[at] = Some(texts(array, &cast.given, &rows));
                // Of a column with misfits nothing is to be used: it is cast again without them.
                done = run(&nullif(array, &rows)?)?;
            }
            arrays.push(one_nan(done.array));
        }
        let keys = codec.key.convert_columns(&arrays[..codec.key_columns()])?.try_into_binary()?;
        let mut values = arrays.split_off(codec.key_columns());
        let mut misfits = misfits.split_off(codec.key_columns());
        let none = || new_null_array(&DataType::Utf8, batch.num_rows());
        values.extend(codec.refusing.iter().map(|at| misfits[*at].take().unwrap_or_else(none)));
        if codec.refusing.is_empty() {
            values.push(none());
        }
        let rows = codec.row.convert_columns(&values)?.try_into_binary()?;
        Ok(RecordBatch::try_new(Arc::clone(&SCHEMA), vec![Arc::new(keys), Arc::new(rows)])?)
    }
}

/// Keys and rows of an encoded batch.
pub(super) fn parts(batch: &RecordBatch) -> (&BinaryArray, &BinaryArray) {
    (batch.column(0).as_binary(), batch.column(1).as_binary())
}

/// NaN has many bit patterns, and all of them are one value here.
fn one_nan(array: ArrayRef) -> ArrayRef {
    fn mended<T: ArrowPrimitiveType<Native: Float>>(array: &ArrayRef) -> ArrayRef {
        let mended = |value: T::Native| if value.is_nan() { T::Native::nan() } else { value };
        Arc::new(array.as_primitive::<T>().unary::<_, T>(mended))
    }
    match array.data_type() {
        DataType::Float16 => mended::<Float16Type>(&array),
        DataType::Float32 => mended::<Float32Type>(&array),
        DataType::Float64 => mended::<Float64Type>(&array),
        _ => array,
    }
}

/// The texts of `rows` of a column; NULL elsewhere, and an empty text where a value has none.
fn texts(array: &ArrayRef, field: &Field, rows: &BooleanArray) -> ArrayRef {
    let printed = print::column(array.as_ref(), field);
    let mut texts = StringBuilder::new();
    let mut text = Vec::new();
    for row in 0..array.len() {
        text.clear();
        if let Some(column) = printed.as_ref().filter(|_| rows.value(row)) {
            (column.print)(row, &mut text);
        }
        texts.append_option(rows.value(row).then(|| String::from_utf8_lossy(&text)));
    }
    Arc::new(texts.finish())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use arrow::array::{Float64Array, Int64Array, StringArray};

    use super::super::columns::Given;
    use super::*;

    /// The encoded rows of `id` and `v` on both sides, and their codec.
    fn encoded(a: ArrayRef, b: ArrayRef) -> (Arc<Codec>, [RecordBatch; 2]) {
        let batch = |values: ArrayRef| {
            let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..values.len() as i64));
            RecordBatch::try_from_iter_with_nullable([("id", ids, false), ("v", values, true)]).unwrap()
        };
        let batches = [batch(a), batch(b)];
        let given = [0, 1].map(|side: usize| Given {
            schema: batches[side].schema(),
            key: vec!["id".to_owned()],
            untyped: HashSet::new(),
        });
        let columns = Columns::of([&given[0], &given[1]], &[], &[]).unwrap();
        let codec = Arc::new(Codec::new(&columns).unwrap());
        let rows = [Side::A, Side::B].map(|side| {
            let encoder = Encoder::new(Arc::clone(&codec), &columns, side).unwrap();
            encoder.encode(&batches[side as usize]).unwrap()
        });
        (codec, rows)
    }

    /// Which rows have the same bytes on both sides.
    fn equal(a: ArrayRef, b: ArrayRef) -> Vec<bool> {
        let (_, [a, b]) = encoded(a, b);
        let (a, b) = (parts(&a).1, parts(&b).1);
        (0..a.len()).map(|row| a.value(row) == b.value(row)).collect()
    }

    #[test]
    fn nan_is_nan_and_null_is_null_and_zero_has_a_sign() {
        let other_nan = f64::from_bits(0xFFF8_0000_0000_0001);
        let a = Float64Array::from(vec![Some(f64::NAN), None, Some(0.0), None, Some(1.5)]);
        let b = Float64Array::from(vec![Some(other_nan), None, Some(-0.0), Some(0.0), Some(1.5)]);
        assert_eq!(equal(Arc::new(a), Arc::new(b)), [true, true, false, false, true]);
    }

    #[test]
    fn a_value_that_does_not_fit_differs_from_all_others_and_keeps_its_text() {
        let a: ArrayRef = Arc::new(StringArray::from(vec![Some("7"), Some("x"), None, Some("08")]));
        let b: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None, None, Some(8)]));
        assert_eq!(equal(Arc::clone(&a), Arc::clone(&b)), [true, false, true, true]);
        let (codec, [a, b]) = encoded(a, b);
        let pair = |row: usize| [&a, &b].map(|side| parts(side).1.value(row).to_vec());
        assert_eq!(codec.differing(&[pair(0), pair(1), pair(2)]).unwrap(), [1]);
        let decoded = codec.decode(&[parts(&a).0.value(1)], &[parts(&a).1.value(1)]).unwrap();
        assert_eq!(decoded.misfits_of(0).collect::<Vec<_>>(), [("v", "x")]);
        assert!(decoded.batch.column(1).is_null(0));
    }

    #[test]
    fn keys_are_ordered_as_their_values() {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["b", "", "ab", "a"]));
        let (_, [a, _]) = encoded(Arc::clone(&column), column);
        let keys: Vec<&[u8]> = parts(&a).0.iter().flatten().collect();
        assert!(keys.is_sorted());
    }
}
