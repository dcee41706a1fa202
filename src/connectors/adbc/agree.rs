//! How rows land: the pure part of the sink. What it decides the plan shows, and writers and commit do.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::catalog::Name;
use super::config::{Config, Quote};
use super::driver::Product;
use super::typemap::{carrier, into_column};
use crate::error::{Error, ErrorKind, Result};
use crate::reject::Refusals;
use crate::sink::{Agreement, Guarantee, Kept, Publish, SchemaPolicy, Visible, WriteMode, WriteRequest, Writers};
use crate::source::TableShape;
use crate::sql::columns::{self, Known, Names, Unfilled};

/// What is known of the target before the agreement.
pub(super) struct Target {
    pub(super) name: Name,
    /// The table that is there.
    pub(super) table: Option<Table>,
    pub(super) transactions: Transactions,
}

/// A table that is there.
pub(super) struct Table {
    /// In the driver's own form.
    pub(super) columns: SchemaRef,
    /// What SQLite's columns are declared as; empty for others.
    pub(super) declared: Vec<(String, String)>,
    pub(super) filled: bool,
}

/// Whether the driver has transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Transactions {
    Had,
    Missing,
}

/// What happens to the table before it takes rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Before {
    /// The driver makes it.
    Make,
    /// It must have no rows.
    Refuse,
    /// Its rows stay.
    Keep,
    /// Its rows are deleted.
    Empty,
}

/// What writers and commit need to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Detail {
    pub(super) name: Name,
    pub(super) before: Before,
    pub(super) transactions: Transactions,
    /// Bytes of rows that are gathered for one load.
    pub(super) memory_bytes: u64,
}

/// How `incoming` lands in `target`, through the driver of `config`.
pub(super) fn agree(
    config: &Config,
    incoming: &TableShape,
    request: &WriteRequest,
    target: &Target,
) -> Result<Agreement> {
    let before = before(request, target)?;
    if incoming.schema.fields().is_empty() {
        return Err(Error::new(ErrorKind::Schema, "there are no columns to write"));
    }
    let draft = match &target.table {
        None => new_table(config.product, incoming)?,
        Some(table) => matched(config.product, incoming, request.schema, table)?,
    };
    let detail = Detail {
        name: target.name.clone(),
        before,
        transactions: target.transactions,
        memory_bytes: request.memory_bytes,
    };
    let has_transactions = target.transactions == Transactions::Had;
    let label = target.name.quoted(Quote::Double);
    let emptied = format!("DELETE FROM {}", target.name.quoted(config.quote));
    Ok(Agreement {
        target: Arc::new(Schema::new(draft.fields)),
        columns: draft.plans,
        ddl: if before == Before::Empty { vec![emptied] } else { Vec::new() },
        writers: Writers::One,
        publish: if has_transactions { Publish::Held } else { Publish::PerTask },
        guarantee: Guarantee::AtLeastOnce,
        kept: Kept::Nothing,
        marked: false,
        refusals: Refusals::Fail,
        task_bytes: None,
        notes: notes(request, &detail),
        detail: serde_json::to_value(detail)?,
        label,
    })
}

fn before(request: &WriteRequest, target: &Target) -> Result<Before> {
    let before = match (&request.mode, &target.table) {
        (WriteMode::Upsert(_) | WriteMode::Sync(_) | WriteMode::Changes { .. }, _) => {
            let message = "a driver of ADBC has no way in which rows replace others by their key";
            return Err(Error::new(ErrorKind::Unsupported, message)
                .with_hint("append to a table beside it and merge that one by --post-sql"));
        }
        (_, None) => Before::Make,
        (WriteMode::Create, Some(table)) if table.filled => {
            return Err(has_rows(&target.name));
        }
        (WriteMode::Create, Some(_)) => Before::Refuse,
        (WriteMode::Truncate | WriteMode::Replace, Some(_)) => Before::Empty,
        (WriteMode::Append, Some(_)) => Before::Keep,
    };
    if before == Before::Empty && target.transactions == Transactions::Missing {
        let message = "the driver has no transaction in which a table is emptied and refilled";
        return Err(
            Error::new(ErrorKind::Unsupported, message).with_hint("empty it by --pre-sql, and use --mode append")
        );
    }
    Ok(before)
}

/// The error of a table with rows where none may be.
pub(super) fn has_rows(name: &Name) -> Error {
    Error::new(ErrorKind::AlreadyExists, "the table has rows already")
        .with_hint("use --mode append to add to them, or --mode replace")
        .at("table", name.quoted(Quote::Double))
}

fn notes(request: &WriteRequest, detail: &Detail) -> Vec<String> {
    let mut notes = Vec::new();
    if detail.before == Before::Make {
        notes.push("the driver makes the table, with types of its own choice".to_owned());
    }
    if detail.before == Before::Empty {
        notes.push("the table keeps its definition: it is emptied and refilled in one transaction".to_owned());
    }
    match detail.transactions {
        Transactions::Had => {
            notes.push(
                "the target notes nothing of the commit: where its answer is lost, look whether the rows are there before \
                 you run it again"
                    .to_owned(),
            );
            if request.visible == Visible::PerTask {
                notes.push("all rows are seen at the end: this target knows no other way".to_owned());
            }
        }
        Transactions::Missing => notes.push(
            "the driver has no transactions: rows are seen while they are loaded, and those of a copy that fails stay"
                .to_owned(),
        ),
    }
    notes
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

fn matched(product: Product, incoming: &TableShape, policy: SchemaPolicy, table: &Table) -> Result<Draft> {
    let columns = table.columns.fields();
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

/// What of an agreement this connector noted for itself.
pub(super) fn detail(agreement: &Agreement) -> Result<Detail> {
    let noted: Json = agreement.detail.clone();
    Ok(serde_json::from_value(noted)?)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};
    use serde_json::json;

    use super::*;

    fn config(url: &str) -> Config {
        Config::parse(&json!({ "url": url })).unwrap()
    }

    fn incoming(columns: &[(&str, DataType)]) -> TableShape {
        let field = |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), true);
        TableShape::of(Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())))
    }

    fn target(filled: Option<bool>, transactions: Transactions) -> Target {
        let columns = incoming(&[("id", DataType::Int64), ("note", DataType::Utf8)]).schema;
        let table = filled.map(|filled| Table { columns, declared: Vec::new(), filled });
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
        let refused = |mode: WriteMode, target: &Target| {
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
