//! What columns of raw frames add to a proof beside their hashes, told from the bytes that came.

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
        digest: None,
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
