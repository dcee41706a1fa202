//! The types of a server without additions, for `etl types`.

use super::agree;
use super::read::refused;
use super::typemap::{BUILT_IN, Codec, PgType, Read, oid_of};
use crate::connector::NativeType;

/// Types with modifiers, and one array for all.
const MODIFIED: &[&str] = &[
    "numeric(18,4)",
    "numeric(76,20)",
    "numeric(100,0)",
    "character(10)",
    "character varying(10)",
    "timestamp(3) without time zone",
    "integer[]",
    "numeric(18,4)[]",
    "text[]",
];

/// All types that are built in, some of them once more with modifiers, and what users make.
pub(super) fn types() -> Vec<NativeType> {
    let mut types: Vec<NativeType> = BUILT_IN.iter().map(|entry| native(&of(entry.sql_name()))).collect();
    types.extend(MODIFIED.iter().map(|name| native(&of(name))));
    let made = |name: &str, class| PgType { class, oid: u32::MAX, ..of(name) };
    types.extend([native(&made("an enumeration", b'e')), native(&made("a composite type", b'c'))]);
    types
}

/// What the catalog says of a column of the type `name`.
fn of(name: &str) -> PgType {
    let oid = oid_of(name).unwrap_or(u32::MAX);
    let element = name.strip_suffix("[]").and_then(oid_of);
    PgType {
        name: name.to_owned(),
        base: None,
        oid,
        typmod: agree::modifier(element.unwrap_or(oid), name).unwrap_or(-1),
        class: b'b',
        element: element.map(|oid| (oid, b'b')),
        delimiter: element.map(|_| b','),
        output: String::new(),
    }
}

fn native(pg: &PgType) -> NativeType {
    if pg.codec() == Codec::Scalar(Read::Refused) {
        return NativeType { name: pg.name.clone(), table: Err(refused(&pg.name)) };
    }
    let column = NativeType::COLUMN;
    NativeType::new(&pg.name, pg.arrow_field(column, true), pg.native_field(column, true))
}
