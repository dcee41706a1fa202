//! How rows land: the pure part of the sink. What it decides the plan shows, and writers and commit do.

use arrow::datatypes::SchemaRef;

use super::config::Config;
use super::driver::Product;
use super::typemap::{carrier, into_column};
use crate::driven::agree::{Before, Target, Terms};
use crate::error::Result;
use crate::sink::{Agreement, SchemaPolicy, WriteRequest};
use crate::source::TableShape;
use crate::sql::columns::{self, Known, Names, Unfilled};

/// The columns of a table that is there.
pub(super) struct Columns {
    /// In the driver's own form.
    pub(super) schema: SchemaRef,
    /// What SQLite's columns are declared as; empty for others.
    pub(super) declared: Vec<(String, String)>,
}

/// How `incoming` lands in `target`, through the driver of `config`.
pub(super) fn agree(
    config: &Config,
    incoming: &TableShape,
    request: &WriteRequest,
    target: &Target<Columns>,
) -> Result<Agreement> {
    let before = Before::of("a driver of ADBC", incoming, &request.mode, target)?;
    let draft = match &target.table {
        None => new_table(config.product, incoming)?,
        Some(table) => matched(config.product, incoming, request.schema, &table.columns)?,
    };
    let mut notes = Vec::new();
    let mut first = String::new();
    match before {
        Before::Make => notes.push("the driver makes the table, with types of its own choice".to_owned()),
        Before::Empty => first = format!("DELETE FROM {}", target.name.quoted(config.quote)),
        Before::Refuse | Before::Keep => {}
    }
    let terms = Terms {
        name: target.name.clone(),
        before,
        transactions: target.transactions,
        first,
        memory_bytes: request.memory_bytes,
    };
    terms.agreement(draft, notes, request.visible)
}

/// The columns of an agreement while it grows. Their types are the driver's.
type Draft = columns::Draft<()>;

fn new_table(product: Product, incoming: &TableShape) -> Result<Draft> {
    let mut draft = Draft::default();
    for field in incoming.schema.fields() {
        let to = carrier(product, field)?;
        let native_type = to.data_type().to_string();
        draft.fill(field, to, (&native_type, ()))?;
    }
    Ok(draft)
}

fn matched(product: Product, incoming: &TableShape, policy: SchemaPolicy, table: &Columns) -> Result<Draft> {
    let columns = table.schema.fields();
    let declared = |name: &str| {
        let found = table.declared.iter().find(|(column, text)| column == name && !text.is_empty());
        found.map(|(_, text)| text.as_str())
    };
    let types: Vec<String> = columns
        .iter()
        .map(|column| declared(column.name()).map_or_else(|| column.data_type().to_string(), str::to_owned))
        .collect();
    // A driver says nothing of defaults.
    let known: Vec<Known<'_>> = columns
        .iter()
        .zip(&types)
        .map(|(column, native_type)| Known { name: column.name(), native_type, unfilled: Unfilled::Null })
        .collect();
    Draft::matched(incoming, (&known, Names::Exact), policy, |draft, field, place| {
        let column = &columns[place];
        let to = into_column(product, field, column, declared(column.name()))?;
        draft.fill(field, to, (&types[place], ())).map(|_| ())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use serde_json::json;

    use super::*;
    use crate::driven::agree::{Table, Transactions};
    use crate::driven::name::Name;
    use crate::error::ErrorKind;
    use crate::sink::{Guarantee, Publish, WriteMode};

    fn config(url: &str) -> Config {
        Config::parse(&json!({ "url": url })).unwrap()
    }

    fn incoming(columns: &[(&str, DataType)]) -> TableShape {
        let field = |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), true);
        TableShape::of(Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())))
    }

    fn target(filled: Option<bool>, transactions: Transactions) -> Target<Columns> {
        let schema = incoming(&[("id", DataType::Int64), ("note", DataType::Utf8)]).schema;
        let table = filled.map(|filled| Table { columns: Columns { schema, declared: Vec::new() }, filled });
        Target { name: Name::parse("S.t").unwrap(), table, transactions }
    }

    #[test]
    fn the_plan_says_what_is_promised() {
        let rows = incoming(&[("id", DataType::UInt64), ("note", DataType::Utf8)]);
        let request = WriteRequest::new(WriteMode::Create);
        let config = config("adbc:postgresql?uri=postgresql://db/shop");
        let agreement = agree(&config, &rows, &request, &target(None, Transactions::Had)).unwrap();
        assert_eq!((agreement.publish, agreement.guarantee), (Publish::Held, Guarantee::AtLeastOnce));
        assert_eq!(agreement.label, r#""S"."t""#);
        assert_eq!(*agreement.target.field(0).data_type(), DataType::Decimal128(20, 0));
        let agreement = agree(&config, &rows, &request, &target(None, Transactions::Missing)).unwrap();
        assert_eq!(agreement.publish, Publish::PerTask);
        assert!(
            agreement.notes.iter().any(|note| note.contains("seen while they are loaded")),
            "{:?}",
            agreement.notes
        );
        let replace = WriteRequest::new(WriteMode::Replace);
        let agreement = agree(&config, &rows, &replace, &target(Some(true), Transactions::Had)).unwrap();
        assert_eq!(agreement.ddl, [r#"DELETE FROM "S"."t""#]);
    }

    #[test]
    fn what_cannot_be_done_is_refused_before() {
        let config = config("adbc:snowflake?uri=ada@account/db");
        let rows = incoming(&[("id", DataType::Int64), ("note", DataType::Utf8)]);
        let refused = |mode: WriteMode, target: &Target<Columns>| {
            agree(&config, &rows, &WriteRequest::new(mode), target).unwrap_err().kind()
        };
        let filled = target(Some(true), Transactions::Had);
        assert_eq!(refused(WriteMode::Create, &filled), ErrorKind::AlreadyExists);
        assert_eq!(refused(WriteMode::Upsert(crate::sink::Merge::default()), &filled), ErrorKind::Unsupported);
        let visible = target(Some(true), Transactions::Missing);
        assert_eq!(refused(WriteMode::Replace, &visible), ErrorKind::Unsupported);
        let other = incoming(&[("id", DataType::Int64), ("more", DataType::Utf8)]);
        let append = WriteRequest::new(WriteMode::Append);
        let error = agree(&config, &other, &append, &filled).unwrap_err();
        assert_eq!(error.to_string(), "the columns differ: the target lacks more; the source lacks note");
        let ignoring = WriteRequest { schema: SchemaPolicy::Ignore, ..append };
        assert_eq!(agree(&config, &other, &ignoring, &filled).unwrap().target.fields().len(), 1);
    }
}
