//! The columns of several sources as those of one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};

use crate::error::{Error, ErrorKind, Result};
use crate::flow::align::kernel;
use crate::job::UnionBy;
use crate::schema::{CLOCK, SEVERAL_CLOCKS};
use crate::source::TableShape;

/// One shape for all of `shapes`, each with the label of its source: the columns of the first in its order, those of the
/// others by name or place, in types that hold the values of all. Keys of one source are not those of all, so there is none.
///
/// # Errors
/// [`Schema`](ErrorKind::Schema) for a column that one lacks, or whose types have none in common.
pub(super) fn reconciled(shapes: &[(&str, &TableShape)], by: UnionBy) -> Result<TableShape> {
    let [(first_label, first), others @ ..] = shapes else {
        return Err(Error::new(ErrorKind::Internal, "a transfer has no source"));
    };
    for (label, shape) in shapes {
        let mut seen = HashSet::new();
        if let Some(field) = shape.schema.fields().iter().find(|field| !seen.insert(field.name())) {
            let message = "several sources are read as one, and a column of this name comes twice";
            return Err(Error::new(ErrorKind::Schema, message).at("column", field.name()).at("source", label));
        }
    }
    for other in others {
        match by {
            UnionBy::Name => refuse_lacking((first_label, first), *other)?,
            UnionBy::Place => refuse_other_width(first, *other)?,
        }
    }
    let mut fields = Vec::new();
    let mut native = Vec::new();
    for (index, field) in first.schema.fields().iter().enumerate() {
        let mut common = Arc::clone(field);
        let mut form = first.native[index].clone();
        for (label, shape) in others {
            let at = place(shape, by, (index, field.name()))?;
            let other = shape.schema.field(at);
            if other.data_type() != field.data_type() || shape.native[at] != first.native[index] {
                form = None;
            }
            let found = match by {
                UnionBy::Name => joined(&common, other),
                UnionBy::Place => joined(&common, other).or_else(|| text(&common, other)),
            };
            common = found.ok_or_else(|| unlike(&common, other, label))?;
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

/// Where `shape` has the column that stands at `index` of those of all, under the name `name`.
pub(super) fn place(shape: &TableShape, by: UnionBy, (index, name): (usize, &str)) -> Result<usize> {
    match by {
        UnionBy::Name => Ok(shape.schema.index_of(name)?),
        UnionBy::Place => Ok(index),
    }
}

type Labelled<'a> = (&'a str, &'a TableShape);

fn refuse_lacking((first_label, first): Labelled<'_>, (label, shape): Labelled<'_>) -> Result<()> {
    let lacks = |one: &TableShape, other: &TableShape| {
        let fields = other.schema.fields().iter();
        fields.map(|field| field.name().clone()).find(|name| one.schema.index_of(name).is_err())
    };
    match (lacks(first, shape), lacks(shape, first)) {
        (Some(column), _) => Err(lacking(&column, first_label)),
        (None, Some(column)) => Err(lacking(&column, label)),
        (None, None) => Ok(()),
    }
}

fn refuse_other_width(first: &TableShape, (label, shape): Labelled<'_>) -> Result<()> {
    let (wanted, found) = (first.schema.fields().len(), shape.schema.fields().len());
    if wanted == found {
        return Ok(());
    }
    let message =
        format!("several sources are read as one by the places of columns, and this one has {found} of {wanted}");
    Err(Error::new(ErrorKind::Schema, message).with_hint("read as many columns of each").at("source", label))
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
    let mut said: HashMap<String, String> = one
        .metadata()
        .iter()
        .filter(|(key, value)| other.metadata().get(*key) == Some(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if one.metadata().get(CLOCK) != other.metadata().get(CLOCK) {
        said.insert(CLOCK.to_owned(), SEVERAL_CLOCKS.to_owned());
    }
    let field = Field::new(one.name(), data_type, one.is_nullable() || other.is_nullable());
    Some(Arc::new(field.with_metadata(said)))
}

/// Texts for the values of both, as files have them.
fn text(one: &FieldRef, other: &Field) -> Option<FieldRef> {
    let text = Field::new(one.name(), DataType::Utf8, one.is_nullable() || other.is_nullable());
    (kernel(one, &text).is_some() && kernel(other, &text).is_some()).then(|| Arc::new(text))
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
    use arrow::datatypes::TimeUnit;

    use super::*;
    use crate::fate::possible;
    use crate::schema::with_metadata;

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
        let both = reconciled(&[("a", &one), ("b", &other)], UnionBy::Name).unwrap();
        assert_eq!(both.schema.fields().iter().map(|field| field.data_type()).collect::<Vec<_>>(), [&Int64, &Utf8]);
        assert_eq!((both.rows, both.bytes, both.key.len()), (Some(6), None, 0));
    }

    #[test]
    fn a_column_that_one_lacks_is_named_with_its_source() {
        let (one, other) = (shape(&[("id", Int32), ("name", Utf8)]), shape(&[("id", Int32)]));
        for (shapes, source) in [([("a", &one), ("b", &other)], "b"), ([("b", &other), ("a", &one)], "b")] {
            let error = reconciled(&shapes, UnionBy::Name).unwrap_err().to_string();
            assert!(error.contains("name") && error.contains(&format!("source {source}")), "{error}");
        }
        let refused = |one: &TableShape, other: &TableShape| {
            reconciled(&[("a", one), ("b", other)], UnionBy::Name).unwrap_err().to_string()
        };
        let error = refused(&shape(&[("id", Utf8), ("id", Utf8)]), &other);
        assert!(error.contains("comes twice") && error.contains("source a"), "{error}");
        let error = refused(&one, &shape(&[("id", Utf8), ("name", Utf8)]));
        assert!(error.contains("Utf8 here and Int32 in the sources before"), "{error}");
    }

    #[test]
    fn instants_of_servers_whose_clocks_differ_go_by_none() {
        let instant = |clock: Option<&str>| {
            let field = Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true);
            Arc::new(clock.map_or(field.clone(), |clock| with_metadata(field, CLOCK, clock)))
        };
        let local = Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true);
        let both = |one, other| joined(&instant(one), &instant(other)).unwrap();
        assert!(possible(&both(Some("+08:00"), Some("+08:00")), &local));
        for (one, other) in [(Some("+08:00"), Some("+09:00")), (Some("+08:00"), None), (None, Some("+08:00"))] {
            assert!(!possible(&both(one, other), &local));
            assert!(possible(&both(one, other), &instant(None)));
        }
    }

    #[test]
    fn columns_at_the_same_place_are_the_same_whatever_they_are_called() {
        let by_place = |others: &[&TableShape]| {
            let shapes: Vec<(&str, &TableShape)> = others.iter().map(|shape| ("s", *shape)).collect();
            reconciled(&shapes, UnionBy::Place).map(|all| {
                let told = |field: &FieldRef| (field.name().clone(), field.data_type().clone());
                all.schema.fields().iter().map(told).collect::<Vec<_>>()
            })
        };
        let column = |name: &str, kind: DataType| (name.to_owned(), kind);
        let (one, other) = (shape(&[("id", Int32), ("v", Utf8)]), shape(&[("n", Int64), ("w", Date32)]));
        assert_eq!(by_place(&[&one, &other]).unwrap(), [column("id", Int64), column("v", Utf8)]);
        assert_eq!(by_place(&[&other, &one]).unwrap(), [column("n", Int64), column("w", Utf8)]);
        let swapped = shape(&[("v", Utf8), ("id", Int32)]);
        assert_eq!(by_place(&[&one, &other, &swapped]).unwrap(), [column("id", Utf8), column("v", Utf8)]);
        let error = by_place(&[&one, &shape(&[("id", Int32)])]).unwrap_err().to_string();
        assert!(error.contains("source s") && error.contains("has 1 of 2"), "{error}");
    }
}
