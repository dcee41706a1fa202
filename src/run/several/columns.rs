//! The columns of several sources as those of one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};

use crate::error::{Error, ErrorKind, Result};
use crate::source::TableShape;

/// One shape for all of `shapes`, each with the label of its source: the columns of the first in its order, those of the
/// others by name, in types that hold the values of all. Keys of one source are not those of all, so there is none.
///
/// # Errors
/// [`Schema`](ErrorKind::Schema) for a column that one lacks, or whose types have none in common.
pub(super) fn reconciled(shapes: &[(&str, &TableShape)]) -> Result<TableShape> {
    let [(first_label, first), others @ ..] = shapes else {
        return Err(Error::new(ErrorKind::Internal, "a transfer has no source"));
    };
    for (label, shape) in shapes {
        let mut seen = HashSet::new();
        if let Some(field) = shape.schema.fields().iter().find(|field| !seen.insert(field.name())) {
            let message = "several sources are read as one by the names of columns, and this one comes twice";
            return Err(Error::new(ErrorKind::Schema, message).at("column", field.name()).at("source", label));
        }
    }
    for (label, shape) in others {
        let extra = shape.schema.fields().iter().find(|field| first.schema.column_with_name(field.name()).is_none());
        if let Some(field) = extra {
            return Err(lacking(field.name(), first_label));
        }
        if let Some(field) = first.schema.fields().iter().find(|field| shape.schema.index_of(field.name()).is_err()) {
            return Err(lacking(field.name(), label));
        }
    }
    let mut fields = Vec::new();
    let mut native = Vec::new();
    for (index, field) in first.schema.fields().iter().enumerate() {
        let mut common = Arc::clone(field);
        let mut form = first.native[index].clone();
        for (label, shape) in others {
            let at = shape.schema.index_of(field.name())?;
            let other = shape.schema.field(at);
            if other.data_type() != field.data_type() || shape.native[at] != first.native[index] {
                form = None;
            }
            common = joined(&common, other).ok_or_else(|| unlike(&common, other, label))?;
        }
        fields.push(common);
        native.push(form);
    }
    let sum = |of: fn(&TableShape) -> Option<u64>| shapes.iter().map(|(_, shape)| of(shape)).sum();
    Ok(TableShape {
        native,
        comment: first.comment.clone(),
        rows: sum(|shape| shape.rows),
        bytes: sum(|shape| shape.bytes),
        ..TableShape::of(Arc::new(Schema::new(fields)))
    })
}

fn lacking(column: &str, label: &str) -> Error {
    Error::new(ErrorKind::Schema, "several sources are read as one, and this one lacks a column")
        .with_hint("name the same columns of each, by queries where the tables differ")
        .at("column", column)
        .at("source", label)
}

fn unlike(one: &Field, other: &Field, label: &str) -> Error {
    let message =
        format!("{} here and {} in the sources before have no type in common", other.data_type(), one.data_type());
    Error::new(ErrorKind::Schema, message)
        .with_hint("cast one of them by a query")
        .at("column", one.name())
        .at("source", label)
}

/// The field that holds the values of both. What only one says of its column is not said of both.
fn joined(one: &FieldRef, other: &Field) -> Option<FieldRef> {
    let data_type = common(one.data_type(), other.data_type())?;
    let said: HashMap<String, String> = one
        .metadata()
        .iter()
        .filter(|(key, value)| other.metadata().get(*key) == Some(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let field = Field::new(one.name(), data_type, one.is_nullable() || other.is_nullable());
    Some(Arc::new(field.with_metadata(said)))
}

/// The narrowest type that holds every value of both exactly.
fn common(one: &DataType, other: &DataType) -> Option<DataType> {
    use DataType::{Binary, Float32, Float64, LargeBinary, LargeUtf8, Null, Utf8};
    if let (Some(one), Some(other)) = (whole(one), whole(other)) {
        return Some(integer(one, other));
    }
    if let (Some(one), Some(other)) = (digits(one), digits(other)) {
        return decimal(one, other);
    }
    match (one, other) {
        _ if one == other => Some(one.clone()),
        (Null, kind) | (kind, Null) => Some(kind.clone()),
        (Float32, Float64) | (Float64, Float32) => Some(Float64),
        (Utf8, LargeUtf8) | (LargeUtf8, Utf8) => Some(LargeUtf8),
        (Binary, LargeBinary) | (LargeBinary, Binary) => Some(LargeBinary),
        _ => None,
    }
}

/// Whether an integer type has a sign, and how many bits it has.
fn whole(kind: &DataType) -> Option<(bool, usize)> {
    let bits = 8 * kind.primitive_width()?;
    (kind.is_integer()).then_some((kind.is_signed_integer(), bits))
}

fn integer((signed, bits): (bool, usize), (other_signed, other_bits): (bool, usize)) -> DataType {
    let wanted = match (signed, other_signed) {
        (true, false) => bits.max(2 * other_bits),
        (false, true) => other_bits.max(2 * bits),
        _ => bits.max(other_bits),
    };
    match (signed || other_signed, wanted) {
        (true, 8) => DataType::Int8,
        (true, 16) => DataType::Int16,
        (true, 32) => DataType::Int32,
        (true, 64) => DataType::Int64,
        // 2^64 and a sign.
        (true, _) => DataType::Decimal128(20, 0),
        (false, 8) => DataType::UInt8,
        (false, 16) => DataType::UInt16,
        (false, 32) => DataType::UInt32,
        (false, _) => DataType::UInt64,
    }
}

/// Digits before the point and behind it.
fn digits(kind: &DataType) -> Option<(i16, i16)> {
    match kind {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            Some((i16::from(*precision) - i16::from(*scale), i16::from(*scale)))
        }
        _ => None,
    }
}

fn decimal(one: (i16, i16), other: (i16, i16)) -> Option<DataType> {
    let scale = one.1.max(other.1);
    let precision = u8::try_from((one.0.max(other.0) + scale).max(1)).ok()?;
    let scale = i8::try_from(scale).ok()?;
    match precision {
        1..=38 => Some(DataType::Decimal128(precision, scale)),
        39..=76 => Some(DataType::Decimal256(precision, scale)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType::{
        Date32, Decimal128, Decimal256, Float64, Int8, Int16, Int32, Int64, LargeUtf8, UInt8, UInt32, UInt64, Utf8,
    };

    use super::*;

    fn shape(columns: &[(&str, DataType)]) -> TableShape {
        let fields: Vec<Field> = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), false)).collect();
        TableShape { rows: Some(3), key: vec!["id".to_owned()], ..TableShape::of(Arc::new(Schema::new(fields))) }
    }

    #[test]
    fn types_widen_until_they_hold_the_values_of_both() {
        let cases = [
            (Int16, Int64, Some(Int64)),
            (UInt8, Int8, Some(Int16)),
            (UInt32, Int32, Some(Int64)),
            (UInt64, Int8, Some(Decimal128(20, 0))),
            (Utf8, LargeUtf8, Some(LargeUtf8)),
            (Decimal128(5, 2), Decimal128(9, 0), Some(Decimal128(11, 2))),
            (Decimal128(38, 2), Decimal128(10, 9), Some(Decimal256(45, 9))),
            (Int32, Float64, None),
            (Int32, Utf8, None),
            (Date32, Utf8, None),
        ];
        for (one, other, wanted) in cases {
            assert_eq!(common(&one, &other), wanted, "{one} and {other}");
            assert_eq!(common(&other, &one), wanted, "{other} and {one}");
        }
    }

    #[test]
    fn columns_are_found_by_name() {
        let (one, other) = (shape(&[("id", Int32), ("name", Utf8)]), shape(&[("name", Utf8), ("id", Int64)]));
        let both = reconciled(&[("a", &one), ("b", &other)]).unwrap();
        assert_eq!(both.schema.fields().iter().map(|field| field.data_type()).collect::<Vec<_>>(), [&Int64, &Utf8]);
        assert_eq!((both.rows, both.bytes, both.key.len()), (Some(6), None, 0));
    }

    #[test]
    fn a_column_that_one_lacks_is_named_with_its_source() {
        let (one, other) = (shape(&[("id", Int32), ("name", Utf8)]), shape(&[("id", Int32)]));
        for (shapes, source) in [([("a", &one), ("b", &other)], "b"), ([("b", &other), ("a", &one)], "b")] {
            let error = reconciled(&shapes).unwrap_err().to_string();
            assert!(error.contains("name") && error.contains(&format!("source {source}")), "{error}");
        }
        let error = reconciled(&[("a", &shape(&[("id", Utf8), ("id", Utf8)])), ("b", &other)]).unwrap_err().to_string();
        assert!(error.contains("comes twice") && error.contains("source a"), "{error}");
        let error = reconciled(&[("a", &one), ("b", &shape(&[("id", Utf8), ("name", Utf8)]))]).unwrap_err().to_string();
        assert!(error.contains("Utf8 here and Int32 in the sources before"), "{error}");
    }
}
