use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};

use super::*;
use crate::schema::with_metadata;
use crate::sink::ColumnFate;

fn incoming(names: &[&str]) -> TableShape {
    let field = |name: &&str| Field::new(*name, DataType::Int64, true);
    TableShape::of(Arc::new(Schema::new(names.iter().map(field).collect::<Vec<_>>())))
}

fn known(name: &str, unfilled: Unfilled) -> Known<'_> {
    Known { name, native_type: "BIGINT", unfilled }
}

fn matched(names: &[&str], table: &[Known<'_>], policy: SchemaPolicy) -> Result<Draft<()>> {
    let into = |name: &str| Field::new(name, DataType::Int64, true);
    Draft::matched(&incoming(names), (table, Names::AsciiCase), policy, |draft, field, place| {
        draft.fill(field, into(table[place].name), ("BIGINT", ()))?;
        Ok(())
    })
}

#[test]
fn names_that_are_written_alike_come_first() {
    let find = |names: Names, name: &str| names.find(["a", "A", "É"].into_iter(), name);
    assert_eq!(find(Names::AsciiCase, "A"), Some(1));
    assert_eq!(find(Names::Exact, "é"), None);
    assert_eq!(find(Names::AsciiCase, "é"), None);
    assert_eq!(find(Names::AnyCase, "é"), Some(2));
    let doubled = incoming(&["a", "b", "B"]);
    assert!(Names::Exact.refuse_doubled(doubled.schema.fields(), "X").is_ok());
    let error = Names::AsciiCase.refuse_doubled(doubled.schema.fields(), "X").unwrap_err();
    assert_eq!(error.message(), "X takes this name for that of another column: b");
}

#[test]
fn columns_find_each_other_by_name() {
    let table = [known("ID", Unfilled::Refused), known("sum", Unfilled::Computed), known("extra", Unfilled::Null)];
    let mut draft = matched(&["id", "sum", "name"], &table, SchemaPolicy::Ignore).unwrap();
    let fates: Vec<_> =
        draft.plans.iter().map(|plan| (plan.incoming.as_deref(), plan.target.as_deref(), plan.fate)).collect();
    let expected = [
        (Some("id"), Some("ID"), ColumnFate::Exact),
        (Some("sum"), None, ColumnFate::Dropped),
        (Some("name"), None, ColumnFate::Dropped),
        (None, Some("extra"), ColumnFate::Added),
    ];
    assert_eq!(fates, expected);
    assert_eq!(draft.incoming_names(&["ID".to_owned(), "other".to_owned()]), ["id", "other"]);
    let merge = |key: &str| Merge { key: vec![key.to_owned()], ..Merge::default() };
    assert_eq!(draft.merge(&merge("id")).unwrap().key, ["ID"]);
    assert!(!draft.fields[0].is_nullable());
    assert_eq!(draft.merge(&merge("name")).unwrap_err().kind(), ErrorKind::Usage);
    let some = Merge { updates: Some(vec!["id".to_owned()]), ..merge("id") };
    assert_eq!(draft.merge(&some).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn columns_that_differ_are_refused() {
    let table = [known("id", Unfilled::Null), known("extra", Unfilled::Default)];
    let error = matched(&["id", "name"], &table, SchemaPolicy::Strict).unwrap_err();
    assert_eq!(error.message(), "the columns differ: the target lacks name; the source lacks extra");
    let cases: [(&[&str], &[Known<'_>]); 3] = [
        (&["id", "ID"], &table),
        (&["name"], &table),
        (&["id"], &[known("id", Unfilled::Null), known("extra", Unfilled::Refused)]),
    ];
    for (names, table) in cases {
        let error = matched(names, table, SchemaPolicy::Ignore).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema, "{names:?}");
    }
}

#[test]
fn columns_are_paired_by_their_places_where_that_is_wanted() {
    let table = [known("id", Unfilled::Refused), known("sum", Unfilled::Computed), known("name", Unfilled::Null)];
    let draft = matched(&["0", "1", "id"], &table, SchemaPolicy::ByPlace).unwrap();
    let pairs: Vec<_> = draft.plans.iter().map(|plan| (plan.incoming.as_deref(), plan.target.as_deref())).collect();
    assert_eq!(pairs, [(Some("0"), Some("id")), (Some("1"), None), (Some("id"), Some("name"))]);
    let error = matched(&["0", "1"], &table, SchemaPolicy::ByPlace).unwrap_err();
    assert_eq!(error.message(), "columns are paired by their places: 2 come, and the target has 3");
    let names = || ["a", "b"].into_iter();
    let shape = TableShape { key: vec!["y".to_owned()], ..incoming(&["x", "y"]) };
    let renamed = by_place(&shape, names(), SchemaPolicy::ByPlace).unwrap();
    assert_eq!((renamed.schema.field(1).name().as_str(), renamed.key.as_slice()), ("b", &["b".to_owned()][..]));
    assert_eq!(by_place(&shape, names(), SchemaPolicy::Strict).unwrap().schema, shape.schema);
    assert!(by_place(&incoming(&["x"]), names(), SchemaPolicy::ByPlace).is_err());
}

/// A file without a record does not say how many it has.
#[test]
fn columns_that_are_only_perhaps_there_are_as_many_as_the_target_has() {
    let perhaps = |name: &&str| with_metadata(Field::new(*name, DataType::Utf8, true), PERHAPS, "");
    let shape = TableShape::of(Arc::new(Schema::new(["c1", "c2", "c3"].iter().map(perhaps).collect::<Vec<_>>())));
    let table = [known("id", Unfilled::Refused), known("name", Unfilled::Refused)];
    let draft =
        Draft::<()>::matched(&shape, (table.as_slice(), Names::Exact), SchemaPolicy::ByPlace, |draft, field, place| {
            draft.fill(field, Field::new(table[place].name, DataType::Int64, true), ("BIGINT", ()))?;
            Ok(())
        });
    let pairs: Vec<_> =
        draft.unwrap().plans.into_iter().map(|plan| (plan.incoming.unwrap(), plan.target.unwrap())).collect();
    assert_eq!(pairs, [("c1", "id"), ("c2", "name")].map(|(come, there)| (come.to_owned(), there.to_owned())));
    let renamed = by_place(&shape, ["id", "name"].into_iter(), SchemaPolicy::ByPlace).unwrap();
    assert_eq!(renamed.schema.fields().iter().map(|field| field.name()).collect::<Vec<_>>(), ["id", "name"]);
    assert_eq!(renamed.native.len(), 2);
    assert!(by_place(&shape, ["a", "b", "c", "d"].into_iter(), SchemaPolicy::ByPlace).is_err());
}

#[test]
fn what_has_a_default_needs_nothing_to_come() {
    let refused = |names: &[&str], table: &[Known<'_>], policy| {
        let refused = refuse_differences(&incoming(names), (table, Names::Exact), policy);
        refused.err().map(|error| error.message().to_owned())
    };
    let table = [known("id", Unfilled::Null), known("at", Unfilled::Default), known("sum", Unfilled::Computed)];
    assert_eq!(refused(&["id"], &table, SchemaPolicy::Strict), None);
    let message = refused(&["ID", "at"], &table, SchemaPolicy::Strict).unwrap();
    let expected = "the columns of source and target differ: id is missing in the source and has no default in the \
                    target; ID is not in the target (it has id)";
    assert_eq!(message, expected);
    assert_eq!(refused(&["ID", "at"], &table, SchemaPolicy::Ignore), None);
    assert!(refused(&["sum"], &table, SchemaPolicy::Ignore).unwrap().ends_with("no column has the same name"));
    let table = [known("id", Unfilled::Null), known("needed", Unfilled::Refused)];
    assert!(refused(&["id"], &table, SchemaPolicy::Ignore).unwrap().contains("needed is missing"));
}
