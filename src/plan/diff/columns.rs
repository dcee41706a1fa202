//! Which columns are compared, and as what.
//!
//! A column of A is cast to B's type, as a copy from A to B would cast it. Where such a cast may refuse values and the
//! other way round it never does, B's values are cast instead: so a comparison is as exact as the two types allow.

use std::collections::HashSet;

use arrow::datatypes::{Field, SchemaRef};

use super::Side;
use crate::error::{Error, ErrorKind, Result};
use crate::fate::{self, plain};
use crate::schema::{EXTENSION, EXTENSION_UUID, is_uuid, with_metadata};
use crate::sink::ColumnFate;

/// The columns that one side has.
#[derive(Clone, Debug)]
pub struct Given {
    /// All of them, as they are read.
    pub schema: SchemaRef,
    /// Columns of its primary key.
    pub key: Vec<String>,
    /// Columns that are text only because nobody said what they hold: they are parsed as the other side's type.
    pub untyped: HashSet<String>,
}

/// What to compare.
#[derive(Clone, Debug)]
pub struct Columns {
    /// The columns that tell which row is which.
    pub key: Vec<Column>,
    /// All others that are compared.
    pub values: Vec<Column>,
    /// Columns that only one side has.
    pub unmatched: Vec<(Side, String)>,
    /// Whether a side promises that no key stands twice.
    pub is_unique: bool,
}

/// One column of both sides.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name on both sides.
    pub name: String,
    /// How each side has it, A first.
    pub given: [Field; 2],
    /// What its values are compared as.
    pub compared: Field,
    /// The side with values that may not fit what they are compared as; such a value differs from all others.
    pub refusing: Option<Side>,
}

impl Columns {
    /// The columns that both sides have, or those of `select`, and the key: `key`, else the primary key of A, else of B.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) without a key or for a name that is not there, [`Schema`](ErrorKind::Schema) where
    /// the types of a column have nothing in common.
    pub fn of(given: [&Given; 2], key: &[String], select: &[String]) -> Result<Self> {
        let key = [key, &given[0].key, &given[1].key].into_iter().find(|key| !key.is_empty()).ok_or_else(|| {
            Error::new(ErrorKind::Usage, "neither side has a primary key")
                .with_hint("name the columns that tell rows apart with --key a,b")
        })?;
        let [a, b] = given.map(|side| names(&side.schema));
        let chosen: Vec<&str> = match select {
            [] => a.iter().copied().filter(|name| b.contains(name)).collect(),
            select => select.iter().map(String::as_str).collect(),
        };
        let values = chosen.into_iter().filter(|name| !key.iter().any(|part| part == name));
        let unmatched = |side: Side, own: &[&str], other: &[&str]| -> Vec<(Side, String)> {
            let lacking = own.iter().filter(|name| select.is_empty() && !other.contains(name));
            lacking.map(|name| (side, (*name).to_owned())).collect()
        };
        let unique = |side: &Given| {
            let not_null = |name: &String| side.schema.field_with_name(name).is_ok_and(|field| !field.is_nullable());
            !side.key.is_empty() && side.key.iter().all(|name| key.contains(name) && not_null(name))
        };
        Ok(Self {
            key: key.iter().map(|name| Column::of(name, given)).collect::<Result<_>>()?,
            values: values.map(|name| Column::of(name, given)).collect::<Result<_>>()?,
            unmatched: [unmatched(Side::A, &a, &b), unmatched(Side::B, &b, &a)].concat(),
            is_unique: given.into_iter().any(unique),
        })
    }

    /// The key, then all others.
    pub fn all(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().chain(&self.values)
    }
}

fn names(schema: &SchemaRef) -> Vec<&str> {
    schema.fields().iter().map(|field| field.name().as_str()).collect()
}

impl Column {
    fn of(name: &str, given: [&Given; 2]) -> Result<Self> {
        let field = |side: Side| {
            let schema = &given[side as usize].schema;
            schema.field_with_name(name).map(bare).map_err(|_| {
                Error::new(ErrorKind::Usage, format!("{side} has no column {name:?}"))
                    .with_hint(format!("its columns are {}", names(schema).join(", ")))
            })
        };
        let (a, b) = (field(Side::A)?, field(Side::B)?);
        let untyped = given.map(|side| side.untyped.contains(name));
        let cast = cast_side(&a, &b, untyped).ok_or_else(|| {
            let message = format!("{} and {} cannot be compared", a.data_type(), b.data_type());
            Error::new(ErrorKind::Schema, message).with_hint("leave the column out with --select").at("column", name)
        })?;
        let (from, to) = if cast == Side::A { (&a, &b) } else { (&b, &a) };
        let refuses = from.data_type() != to.data_type() && fate::fate(from, to) == ColumnFate::Lossy;
        let compared = bare(to).with_data_type(plain(to.data_type()).clone());
        Ok(Self { name: name.to_owned(), compared, refusing: refuses.then_some(cast), given: [a, b] })
    }
}

/// Which side's values are cast to the type of the other.
fn cast_side(a: &Field, b: &Field, untyped: [bool; 2]) -> Option<Side> {
    let judge = |from: &Field, to: &Field| fate::possible(from, to).then(|| fate::fate(from, to));
    match (judge(a, b), judge(b, a), untyped) {
        (Some(_), _, [true, false]) => Some(Side::A),
        (_, Some(_), [false, true]) => Some(Side::B),
        (Some(ColumnFate::Lossy), Some(ColumnFate::Exact | ColumnFate::Widened), _) => Some(Side::B),
        (Some(_), _, _) => Some(Side::A),
        (None, Some(_), _) => Some(Side::B),
        (None, None, _) => None,
    }
}

/// `field` without all that says nothing of its values: whether there are NULLs, how long they may be, where they are from.
fn bare(field: &Field) -> Field {
    let bare = Field::new(field.name(), field.data_type().clone(), true);
    if is_uuid(field) { with_metadata(bare, EXTENSION, EXTENSION_UUID) } else { bare }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Schema, TimeUnit};

    use super::*;

    fn given(columns: &[(&str, DataType)], key: &[&str]) -> Given {
        let fields: Vec<Field> =
            columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), !key.contains(name))).collect();
        let key = key.iter().map(|&name| name.to_owned()).collect();
        Given { schema: Arc::new(Schema::new(fields)), key, untyped: HashSet::new() }
    }

    /// What values of types `a` and `b` are compared as, and whose may not fit.
    fn meet(a: DataType, b: DataType, untyped: [bool; 2]) -> Option<(DataType, Option<Side>)> {
        let [mut a, mut b] = [a, b].map(|kind| given(&[("v", kind)], &[]));
        for (side, untyped) in [&mut a, &mut b].into_iter().zip(untyped) {
            side.untyped.extend(untyped.then(|| "v".to_owned()));
        }
        let column = Column::of("v", [&a, &b]).ok()?;
        Some((column.compared.data_type().clone(), column.refusing))
    }

    #[test]
    fn types_meet_where_nothing_is_lost() {
        use DataType::{Boolean, Date32, Decimal128, Float64, Int32, Int64, Utf8};
        let typed = [false, false];
        assert_eq!(meet(Int32, Int64, typed), Some((Int64, None)));
        assert_eq!(meet(Int64, Int32, typed), Some((Int64, None)));
        assert_eq!(meet(Decimal128(12, 4), Decimal128(12, 2), typed), Some((Decimal128(12, 2), Some(Side::A))));
        let at = |unit| DataType::Timestamp(unit, None);
        let (second, micro) = (at(TimeUnit::Second), at(TimeUnit::Microsecond));
        assert_eq!(meet(micro.clone(), second, typed), Some((micro, None)));
        assert_eq!(meet(Int64, Utf8, typed), Some((Utf8, None)));
        assert_eq!(meet(Utf8, Int64, typed), Some((Int64, Some(Side::A))));
        // A double has 15 digits, and these have 12.
        assert_eq!(meet(Float64, Decimal128(12, 2), typed), Some((Float64, None)));
        assert_eq!(meet(Float64, Decimal128(18, 2), typed), Some((Decimal128(18, 2), Some(Side::A))));
        assert_eq!(meet(Date32, Boolean, typed), None);
    }

    #[test]
    fn untyped_text_is_parsed_as_the_other_side() {
        use DataType::{Int64, Utf8};
        assert_eq!(meet(Int64, Utf8, [false, true]), Some((Int64, Some(Side::B))));
        assert_eq!(meet(Utf8, Int64, [true, false]), Some((Int64, Some(Side::A))));
        assert_eq!(meet(Utf8, Utf8, [true, false]), Some((Utf8, None)));
    }

    #[test]
    fn the_key_is_what_was_said_else_a_primary_key() {
        use DataType::{Int64, Utf8};
        let a = given(&[("x", Int64), ("id", Int64), ("name", Utf8)], &[]);
        let b = given(&[("id", Int64), ("name", Utf8), ("y", Utf8)], &["id"]);
        let columns = Columns::of([&a, &b], &[], &[]).unwrap();
        let names = |columns: &[Column]| columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
        assert_eq!((names(&columns.key), names(&columns.values)), (vec!["id".to_owned()], vec!["name".to_owned()]));
        assert_eq!(columns.unmatched, [(Side::A, "x".to_owned()), (Side::B, "y".to_owned())]);
        assert!(columns.is_unique);
        let said = Columns::of([&a, &b], &["name".to_owned()], &["name".to_owned()]).unwrap();
        assert_eq!((names(&said.key), names(&said.values)), (vec!["name".to_owned()], vec![]));
        assert!(said.unmatched.is_empty() && !said.is_unique);
        let error = Columns::of([&a, &a], &[], &[]).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Usage, "neither side has a primary key"));
        let error = Columns::of([&a, &b], &["y".to_owned()], &[]).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Usage, "A has no column \"y\""));
    }
}
