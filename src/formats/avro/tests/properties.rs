//! What holds of any rows.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::cursor::{Cursor, put_long};
use super::*;

/// A column of one type with any values in it.
fn any_column(rows: usize) -> impl Strategy<Value = ArrayRef> {
    let of = |values: BoxedStrategy<ArrayRef>| values;
    prop_oneof![
        of(vec(any::<Option<i64>>(), rows).prop_map(|values| Arc::new(Int64Array::from(values)) as ArrayRef).boxed()),
        of(vec(any::<Option<u32>>(), rows).prop_map(|values| Arc::new(UInt32Array::from(values)) as ArrayRef).boxed()),
        of(vec(any::<Option<i8>>(), rows).prop_map(|values| Arc::new(Int8Array::from(values)) as ArrayRef).boxed()),
        of(vec(any::<Option<bool>>(), rows)
            .prop_map(|values| Arc::new(BooleanArray::from(values)) as ArrayRef)
            .boxed()),
        of(vec(any::<Option<String>>(), rows)
            .prop_map(|values| Arc::new(StringArray::from(values)) as ArrayRef)
            .boxed()),
        of(vec(proptest::option::of(-(10i128.pow(38) - 1)..10i128.pow(38)), rows).prop_map(decimals).boxed()),
        of(vec(proptest::option::of(vec(any::<Option<i32>>(), 0..4)), rows).prop_map(lists).boxed()),
    ]
}

fn decimals(values: Vec<Option<i128>>) -> ArrayRef {
    let small = Decimal128Array::from(values).with_precision_and_scale(38, 7).unwrap();
    Arc::new(small)
}

fn lists(values: Vec<Option<Vec<Option<i32>>>>) -> ArrayRef {
    Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(values))
}

fn any_batch() -> impl Strategy<Value = RecordBatch> {
    (0..40usize).prop_flat_map(|rows| vec(any_column(rows), 1..6)).prop_map(|columns| {
        let named = columns.into_iter().enumerate().map(|(at, column)| (format!("c {at}"), column, true));
        RecordBatch::try_from_iter_with_nullable(named).unwrap()
    })
}

proptest! {
    #[test]
    fn any_rows_come_back(batch in any_batch(), at in any::<prop::sample::Index>()) {
        let cut = at.index(batch.num_rows() + 1);
        let parts = [batch.slice(0, cut), batch.slice(cut, batch.num_rows() - cut)];
        for codec in [Codec::None, Codec::Snappy] {
            prop_assert_eq!(&read_all(&write(&parts, codec).unwrap()).unwrap(), &batch);
        }
    }

    #[test]
    fn any_number_comes_back_in_as_few_bytes_as_it_needs(value: i64) {
        let mut out = Vec::new();
        put_long(&mut out, value);
        let bits = 64 - ((value << 1) ^ (value >> 63)).leading_zeros();
        prop_assert_eq!(out.len(), bits.div_ceil(7).max(1) as usize);
        let mut cursor = Cursor::new(&out);
        prop_assert_eq!(cursor.long().unwrap(), value);
        prop_assert_eq!(cursor.left(), 0);
    }

    #[test]
    fn any_bytes_are_refused_or_read(schema in 0..4usize, rows in 0..9u8, data in vec(any::<u8>(), 0..60)) {
        let types = [
            r#"["null", {"type": "map", "values": {"type": "array", "items": ["long", "null", "string"]}}]"#,
            r#"{"type": "record", "name": "x", "fields": [{"name": "b", "type": ["null", "bytes"]}, {"name": "c", "type": "float"}]}"#,
            r#"{"type": "array", "items": {"type": "bytes", "logicalType": "decimal", "precision": 50, "scale": 3}}"#,
            r#"{"type": "array", "items": {"type": "record", "name": "e", "fields": [{"name": "n", "type": "null"}]}}"#,
        ];
        let schema = format!(r#"{{"type": "record", "name": "r", "fields": [{{"name": "a", "type": {}}}]}}"#, types[schema]);
        let mut bytes = header(&schema, "null").to_vec();
        bytes.extend_from_slice(&[rows * 2, data.len() as u8 * 2]);
        bytes.extend_from_slice(&data);
        bytes.extend_from_slice(b"another marker..");
        if let Ok(read) = read_all(&Bytes::from(bytes)) {
            prop_assert_eq!(read.num_rows(), usize::from(rows));
        }
    }
}
