//! What columns of raw frames add to a proof beside their hashes, told from the bytes that came: of types that are known here it
//! is what [`sums::counted`](crate::proof::sums::counted) tells of the same values in a batch.

use arrow::datatypes::{DataType, Field, TimeUnit};

use super::super::encode::{Column, EPOCH_DAYS, EPOCH_MICROS, Layout};
use crate::formats::fields::Fields;
use crate::proof::{ColumnProof, Integers};

/// The proof of `fields` without a digest.
pub(super) fn counted(column: &Column, field: &Field, fields: Fields<'_>) -> ColumnProof {
    let nulls = fields.null_count();
    let has_bytes = matches!(
        (&column.layout, field.data_type()),
        (Layout::Text, DataType::Utf8) | (Layout::Bytea, DataType::Binary)
    );
    ColumnProof {
        values: (fields.spans.len() - nulls) as u64,
        nulls: nulls as u64,
        integers: integers(column, field, fields),
        bytes: has_bytes.then(|| fields.iter().flatten().map(|value| value.len() as u64).sum()),
        ..ColumnProof::default()
    }
}

/// Sum, least and greatest of the whole numbers in `fields`, in the unit of their Arrow type; none of other types, and where one is
/// infinite.
fn integers(column: &Column, field: &Field, fields: Fields<'_>) -> Option<Integers> {
    match (&column.layout, field.data_type()) {
        (Layout::Bool, DataType::Boolean) => total(fields, |[byte]| Some((byte != 0).into())),
        (Layout::Int2, DataType::Int16) => total(fields, |wire| Some(i16::from_be_bytes(wire).into())),
        (Layout::Int4, DataType::Int32) => total(fields, |wire| Some(i32::from_be_bytes(wire).into())),
        (Layout::Int8, DataType::Int64) => total(fields, |wire| Some(i64::from_be_bytes(wire))),
        (Layout::Oid, DataType::UInt32) => total(fields, |wire| Some(u32::from_be_bytes(wire).into())),
        (Layout::Date, DataType::Date32) => total(fields, |wire| match i32::from_be_bytes(wire) {
            i32::MIN | i32::MAX => None,
            day => Some(i64::from(day) + i64::from(EPOCH_DAYS)),
        }),
        (Layout::Time, DataType::Time64(TimeUnit::Microsecond)) => total(fields, |wire| Some(i64::from_be_bytes(wire))),
        (Layout::Timestamp, DataType::Timestamp(TimeUnit::Microsecond, _)) => {
            total(fields, |wire| match i64::from_be_bytes(wire) {
                i64::MIN | i64::MAX => None,
                micros => micros.checked_add(EPOCH_MICROS),
            })
        }
        _ => None,
    }
}

/// None without a value, and where one is none.
fn total<const N: usize>(fields: Fields<'_>, value: impl Fn([u8; N]) -> Option<i64>) -> Option<Integers> {
    let (mut sum, mut least, mut greatest) = (0_i128, i64::MAX, i64::MIN);
    for wire in fields.iter().flatten() {
        let value = value(wire.try_into().ok()?)?;
        sum += i128::from(value);
        least = least.min(value);
        greatest = greatest.max(value);
    }
    (least <= greatest).then(|| Integers { sum, least: least.into(), greatest: greatest.into() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Int16Array, Int32Array, Int64Array, StringArray,
        Time64MicrosecondArray, TimestampMicrosecondArray, UInt32Array,
    };

    use super::*;
    use crate::connectors::postgres::encode::{Check, wires};
    use crate::formats::fields::Span;
    use crate::proof::sums;

    fn of(layout: Layout, data_type: DataType) -> (Column, Field) {
        let name = "c".to_owned();
        (Column { name, layout, wire: false, check: Check::None }, Field::new("c", data_type, true))
    }

    fn counted_wires(column: &Column, field: &Field, wires: &[Option<&[u8]>]) -> ColumnProof {
        let (mut bytes, mut spans) = (Vec::<u8>::new(), Vec::new());
        for wire in wires {
            spans.push(wire.map_or(Span::NULL, |wire| Span { start: bytes.len() as u32, length: wire.len() as i32 }));
            bytes.extend_from_slice(wire.unwrap_or_default());
        }
        counted(column, field, Fields::new(&bytes, &spans))
    }

    #[test]
    fn what_is_told_from_bytes_is_what_batches_tell() {
        let times =
            || TimestampMicrosecondArray::from(vec![Some(1_795_610_096_789_012), None, Some(-14_182_940_000_000)]);
        let cases: [(Layout, ArrayRef); 14] = [
            (Layout::Bool, Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]))),
            (Layout::Bool, Arc::new(BooleanArray::from(vec![Some(true), Some(true)]))),
            (Layout::Bool, Arc::new(BooleanArray::from(vec![false]))),
            (Layout::Int2, Arc::new(Int16Array::from(vec![Some(i16::MIN), None, Some(i16::MAX)]))),
            (Layout::Int4, Arc::new(Int32Array::from(vec![Some(i32::MAX), None, Some(i32::MAX)]))),
            (Layout::Int8, Arc::new(Int64Array::from(vec![Some(i64::MAX), None, Some(i64::MAX), Some(-1)]))),
            (Layout::Int8, Arc::new(Int64Array::from(vec![None, None]))),
            (Layout::Oid, Arc::new(UInt32Array::from(vec![Some(u32::MAX), None, Some(26)]))),
            (Layout::Date, Arc::new(Date32Array::from(vec![Some(20_782), None, Some(-1)]))),
            (Layout::Time, Arc::new(Time64MicrosecondArray::from(vec![Some(0), None, Some(86_399_999_999)]))),
            (Layout::Timestamp, Arc::new(times())),
            (Layout::Timestamp, Arc::new(times().with_timezone("UTC"))),
            (Layout::Text, Arc::new(StringArray::from(vec![Some("é"), None, Some("ab")]))),
            (Layout::Bytea, Arc::new(BinaryArray::from(vec![Some(&b"\xff\0"[..]), None]))),
        ];
        for (layout, array) in cases {
            let (column, field) = of(layout, array.data_type().clone());
            let sent = wires(&column, &array).unwrap();
            let found = counted_wires(&column, &field, &sent.iter().collect::<Vec<_>>());
            assert_eq!(found, sums::counted(&array), "{:?} {array:?}", column.layout);
        }
    }

    #[test]
    fn infinity_and_damage_have_no_sum() {
        let proof = ColumnProof { values: 2, nulls: 1, ..ColumnProof::default() };
        let (column, field) = of(Layout::Date, DataType::Date32);
        let day = 1_i32.to_be_bytes();
        for endless in [i32::MIN, i32::MAX] {
            let found = counted_wires(&column, &field, &[Some(&day[..]), None, Some(&endless.to_be_bytes()[..])]);
            assert_eq!(found, proof, "{endless}");
        }
        assert_eq!(counted_wires(&column, &field, &[Some(&day[..]), None, Some(&day[1..])]), proof);
        let (column, field) = of(Layout::Timestamp, DataType::Timestamp(TimeUnit::Microsecond, None));
        for endless in [i64::MIN, i64::MAX] {
            let found = counted_wires(&column, &field, &[Some(&[0_u8; 8][..]), None, Some(&endless.to_be_bytes()[..])]);
            assert_eq!(found, proof, "{endless}");
        }
    }
}
