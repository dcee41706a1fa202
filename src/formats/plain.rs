//! Encodings of Arrow made plain: dictionaries, runs and views unpacked, 64-bit offsets made 32-bit ones.
//!
//! Columnar files may hold any of them; what follows in the program sees one form per type. Values stay the same.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array as _, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::schema::{batch_bytes, record_batch};

/// `schema` with plain types; names, nullability and metadata stay.
///
/// # Errors
/// [`Schema`](ErrorKind::Schema) when two columns have the same name.
pub fn schema(schema: &Schema) -> Result<SchemaRef> {
    let mut names = std::collections::HashSet::new();
    for field in schema.fields() {
        if !names.insert(field.name()) {
            let message = format!("two columns are named {:?}", field.name());
            return Err(Error::new(ErrorKind::Schema, message).with_hint("columns are chosen by name: rename one"));
        }
    }
    let fields: Vec<FieldRef> = schema.fields().iter().map(plain_field).collect();
    Ok(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
}

/// The wanted columns of `batch` by name, in the types of `schema`, which are plain.
///
/// # Errors
/// [`Resource`](ErrorKind::Resource) when a column of one batch does not fit 32-bit offsets.
pub fn select(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let given = batch.schema_ref().fields();
    let mut places: Option<HashMap<&str, usize>> = None;
    let column = |(index, field): (usize, &FieldRef)| {
        // Most often a column stands where it is wanted.
        let there = given.get(index).is_some_and(|there| there.name() == field.name());
        let by_name = || given.iter().enumerate().map(|(place, field)| (field.name().as_str(), place)).collect();
        let place =
            if there { Some(index) } else { places.get_or_insert_with(by_name).get(field.name().as_str()).copied() };
        let column = batch.column(place.ok_or_else(|| missing(field))?);
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        cast_with_options(column, field.data_type(), &options).at("column", || field.name())
    };
    let columns = schema.fields().iter().enumerate().map(column).collect::<Result<Vec<_>>>()?;
    record_batch(schema, columns, batch.num_rows())
}

/// `batch` in slices of at most `rows` rows and about `bytes` bytes.
pub fn cut(batch: &RecordBatch, rows: usize, bytes: usize) -> Vec<RecordBatch> {
    let total = batch.num_rows();
    let by_bytes = (bytes.max(1) as u128 * total as u128 / batch_bytes(batch).max(1) as u128) as usize;
    let step = rows.min(by_bytes).max(1);
    (0..total).step_by(step).map(|start| batch.slice(start, step.min(total - start))).collect()
}

fn missing(field: &Field) -> Error {
    Error::new(ErrorKind::Schema, "the file has no such column").at("column", field.name())
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let data_type = plain_type(field.data_type());
    if data_type == *field.data_type() {
        return Arc::clone(field);
    }
    Arc::new(Field::new(field.name(), data_type, field.is_nullable()).with_metadata(field.metadata().clone()))
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
            DataType::List(plain_field(item))
        }
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(plain_field(item), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(plain_field(entries), *sorted),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        ArrayRef, AsArray as _, DictionaryArray, Int32Array, LargeStringArray, StringViewArray, StructArray,
    };
    use arrow::datatypes::{Int8Type, Int32Type};

    use super::*;

    #[test]
    fn encodings_become_plain_and_keep_their_values() {
        let words: DictionaryArray<Int8Type> = vec![Some("a"), None, Some("b"), Some("a")].into_iter().collect();
        let views = StringViewArray::from(vec![Some("x"), Some("a longer text than inline"), None, Some("")]);
        let large = LargeStringArray::from(vec!["1", "2", "3", "4"]);
        let inner = Arc::new(Field::new("v", DataType::Utf8View, true));
        let nested = StructArray::from(vec![(inner, Arc::new(views.clone()) as ArrayRef)]);
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("d", Arc::new(words) as ArrayRef, true),
            ("v", Arc::new(views) as ArrayRef, true),
            ("l", Arc::new(large) as ArrayRef, false),
            ("s", Arc::new(nested) as ArrayRef, false),
        ])
        .unwrap();
        let plain = select(&batch, &schema(batch.schema_ref()).unwrap()).unwrap();
        assert_eq!(
            plain.column(0).as_string::<i32>().iter().collect::<Vec<_>>(),
            [Some("a"), None, Some("b"), Some("a")]
        );
        assert_eq!(plain.column(1).as_string::<i32>().value(1), "a longer text than inline");
        assert_eq!(plain.column(2).data_type(), &DataType::Utf8);
        assert_eq!(plain.column(3).as_struct().column(0).as_string::<i32>().value(0), "x");
    }

    #[test]
    fn cutting_honours_rows_and_bytes_and_loses_nothing() {
        let column = Arc::new(Int32Array::from_iter_values(0..1000)) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        for (rows, bytes, pieces) in [(1000, 1 << 20, 1), (300, 1 << 20, 4), (1000, 400, 10), (1, 1, 1000)] {
            let cut = cut(&batch, rows, bytes);
            assert_eq!(cut.len(), pieces);
            let values = cut.iter().flat_map(|batch| batch.column(0).as_primitive::<Int32Type>().values().to_vec());
            assert!(values.eq(0..1000));
        }
    }

    #[test]
    fn a_name_twice_is_refused() {
        let twice = Schema::new(vec![Field::new("a", DataType::Int32, true), Field::new("a", DataType::Utf8, true)]);
        assert_eq!(schema(&twice).unwrap_err().kind(), ErrorKind::Schema);
    }
}
