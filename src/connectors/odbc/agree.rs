//! How rows land: the pure part of the sink. What it decides the plan shows, and writers and commit do.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::catalog::{Name, quoted};
use super::columns::Column;
use super::config::Config;
use super::driver::Product;
use super::typemap::{carrier, into_column};
use crate::error::{Error, ErrorKind, Result};
use crate::fate::{fate, possible};
use crate::reject::Refusals;
use crate::sink::{
    Agreement, ColumnFate, ColumnPlan, Form, Guarantee, Kept, Publish, SchemaPolicy, Visible, WriteMode, WriteRequest,
    Writers,
};
use crate::source::TableShape;

/// What is known of the target before the agreement.
pub(super) struct Target {
    pub(super) name: Name,
    pub(super) product: Product,
    /// What stands around names.
    pub(super) quote: Option<char>,
    /// The table that is there.
    pub(super) table: Option<Table>,
    pub(super) transactions: Transactions,
}

/// A table that is there.
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
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
    /// It is made.
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
    /// The statement that makes or empties the table; empty where neither is done.
    pub(super) first: String,
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
        None => new_table(config, incoming, target)?,
        Some(table) => matched(incoming, request.schema, (target.product, table))?,
    };
    let table = target.name.quoted(target.quote);
    let first = match before {
        Before::Make => {
            let columns = draft.plans.iter().zip(&draft.fields);
            let column = |(plan, field): (&ColumnPlan, &Field)| {
                format!("{} {}", quoted(field.name(), target.quote), plan.target_type)
            };
            format!("CREATE TABLE {table} ({})", columns.map(column).collect::<Vec<_>>().join(", "))
        }
        Before::Empty => format!("DELETE FROM {table}"),
        Before::Refuse | Before::Keep => String::new(),
    };
    let ddl = if first.is_empty() { Vec::new() } else { vec![first.clone()] };
    let detail = Detail { name: target.name.clone(), before, transactions: target.transactions, first };
    let has_transactions = target.transactions == Transactions::Had;
    Ok(Agreement {
        target: Arc::new(Schema::new(draft.fields)),
        columns: draft.plans,
        ddl,
        writers: Writers::One,
        publish: if has_transactions { Publish::Held } else { Publish::PerTask },
        guarantee: Guarantee::AtLeastOnce,
        kept: Kept::Nothing,
        marked: false,
        refusals: Refusals::Fail,
        task_bytes: None,
        notes: notes(request, target, &detail),
        label: target.name.shown(),
        detail: serde_json::to_value(detail)?,
    })
}

fn before(request: &WriteRequest, target: &Target) -> Result<Before> {
    let before = match (&request.mode, &target.table) {
        (WriteMode::Upsert(_) | WriteMode::Sync(_) | WriteMode::Changes { .. }, _) => {
            let message = "ODBC has no way in which rows replace others by their key";
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
        .at("table", name.shown())
}

fn notes(request: &WriteRequest, target: &Target, detail: &Detail) -> Vec<String> {
    let mut notes = Vec::new();
    if target.product == Product::Sqlite {
        notes.push(
            "dates, times and decimals go to the driver of SQLite as text: 'sqlite:' writes them as such".to_owned(),
        );
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

/// The columns of an agreement while it grows.
#[derive(Default)]
struct Draft {
    plans: Vec<ColumnPlan>,
    fields: Vec<Field>,
}

impl Draft {
    fn fill(&mut self, from: &Field, to: Field, type_name: String) -> Result<()> {
        if !possible(from, &to) {
            let message = format!("no cast leads from {} to {}", from.data_type(), to.data_type());
            return Err(Error::new(ErrorKind::Schema, message)
                .with_hint("convert the column with --cast or --set")
                .at("column", from.name()));
        }
        self.plans.push(ColumnPlan {
            incoming: Some(from.name().clone()),
            target: Some(to.name().clone()),
            target_type: type_name,
            form: Form::Arrow,
            fate: fate(from, &to),
            note: None,
        });
        self.fields.push(to);
        Ok(())
    }
}

fn new_table(config: &Config, incoming: &TableShape, target: &Target) -> Result<Draft> {
    let mut draft = Draft::default();
    for field in incoming.schema.fields() {
        let (to, type_name) = carrier(target.product, config, field)?;
        draft.fill(field, to, type_name)?;
    }
    Ok(draft)
}

/// Columns by name, as it is written.
fn matched(incoming: &TableShape, policy: SchemaPolicy, (product, table): (Product, &Table)) -> Result<Draft> {
    let mut draft = Draft::default();
    let mut surplus = Vec::new();
    let named = |name: &str| table.columns.iter().find(|column| column.field.name() == name);
    for field in incoming.schema.fields() {
        let Some(column) = named(field.name()) else {
            surplus.push(field.name().as_str());
            draft.plans.push(left(field));
            continue;
        };
        draft.fill(field, into_column(product, column), column.field.data_type().to_string())?;
    }
    let fills = |name: &String| incoming.schema.column_with_name(name).is_some();
    let empty: Vec<&String> =
        table.columns.iter().map(|column| column.field.name()).filter(|name| !fills(name)).collect();
    if policy == SchemaPolicy::Strict && !(surplus.is_empty() && empty.is_empty()) {
        return Err(differences(&surplus, &empty));
    }
    for name in empty {
        let column = named(name).expect("it is one of these columns");
        draft.plans.push(ColumnPlan {
            incoming: None,
            target: Some(name.clone()),
            target_type: column.field.data_type().to_string(),
            form: Form::Arrow,
            fate: ColumnFate::Added,
            note: None,
        });
    }
    if draft.fields.is_empty() {
        return Err(Error::new(ErrorKind::Schema, "source and target have no column in common"));
    }
    Ok(draft)
}

fn left(from: &Field) -> ColumnPlan {
    ColumnPlan {
        incoming: Some(from.name().clone()),
        target: None,
        target_type: String::new(),
        form: Form::Arrow,
        fate: ColumnFate::Dropped,
        note: Some("the target has no such column".to_owned()),
    }
}

fn differences(surplus: &[&str], empty: &[&String]) -> Error {
    let mut parts = Vec::new();
    if !surplus.is_empty() {
        parts.push(format!("the target lacks {}", surplus.join(", ")));
    }
    if !empty.is_empty() {
        let names: Vec<&str> = empty.iter().map(|name| name.as_str()).collect();
        parts.push(format!("the source lacks {}", names.join(", ")));
    }
    Error::new(ErrorKind::Schema, format!("the columns differ: {}", parts.join("; ")))
        .with_hint("name columns alike with --rename, leave some out with --drop, or use --schema ignore")
}

/// What of an agreement this connector noted for itself.
pub(super) fn detail(agreement: &Agreement) -> Result<Detail> {
    let noted: Json = agreement.detail.clone();
    Ok(serde_json::from_value(noted)?)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;
    use serde_json::json;

    use super::super::columns::Form as Fetched;
    use super::*;

    fn config() -> Config {
        Config::parse(&json!({"url": "odbc:SHOP"})).unwrap()
    }

    fn incoming(columns: &[(&str, DataType)]) -> TableShape {
        let field = |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), true);
        TableShape::of(Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())))
    }

    fn target(filled: Option<bool>, transactions: Transactions) -> Target {
        let column =
            |name: &str, data_type: DataType, form: Fetched| Column { field: Field::new(name, data_type, true), form };
        let columns =
            || vec![column("id", DataType::Int64, Fetched::Whole), column("note", DataType::Utf8, Fetched::Text(100))];
        let table = filled.map(|filled| Table { columns: columns(), filled });
        let name = Name::parse("S.t").unwrap();
        Target { name, product: Product::MariaDb, quote: Some('`'), table, transactions }
    }

    #[test]
    fn the_plan_says_what_is_promised() {
        let rows = incoming(&[("id", DataType::UInt64), ("note", DataType::Utf8)]);
        let request = WriteRequest::new(WriteMode::Create);
        let agreement = agree(&config(), &rows, &request, &target(None, Transactions::Had)).unwrap();
        assert_eq!((agreement.publish, agreement.guarantee), (Publish::Held, Guarantee::AtLeastOnce));
        assert_eq!(agreement.label, r#""S"."t""#);
        assert_eq!(agreement.ddl, ["CREATE TABLE `S`.`t` (`id` DECIMAL(20,0), `note` LONGTEXT)"]);
        assert_eq!(*agreement.target.field(0).data_type(), DataType::Decimal128(20, 0));
        let agreement = agree(&config(), &rows, &request, &target(None, Transactions::Missing)).unwrap();
        assert_eq!(agreement.publish, Publish::PerTask);
        let notes = &agreement.notes;
        assert!(notes.iter().any(|note| note.contains("seen while they are loaded")), "{notes:?}");
        let replace = WriteRequest::new(WriteMode::Replace);
        let agreement = agree(&config(), &rows, &replace, &target(Some(true), Transactions::Had)).unwrap();
        assert_eq!(agreement.ddl, ["DELETE FROM `S`.`t`"]);
    }

    #[test]
    fn what_cannot_be_done_is_refused_before() {
        let rows = incoming(&[("id", DataType::Int64), ("note", DataType::Utf8)]);
        let refused = |mode: WriteMode, target: &Target| {
            agree(&config(), &rows, &WriteRequest::new(mode), target).unwrap_err().kind()
        };
        let filled = target(Some(true), Transactions::Had);
        assert_eq!(refused(WriteMode::Create, &filled), ErrorKind::AlreadyExists);
        assert_eq!(refused(WriteMode::Upsert(crate::sink::Merge::default()), &filled), ErrorKind::Unsupported);
        let visible = target(Some(true), Transactions::Missing);
        assert_eq!(refused(WriteMode::Replace, &visible), ErrorKind::Unsupported);
        let other = incoming(&[("id", DataType::Int64), ("more", DataType::Utf8)]);
        let append = WriteRequest::new(WriteMode::Append);
        let error = agree(&config(), &other, &append, &filled).unwrap_err();
        assert_eq!(error.to_string(), "the columns differ: the target lacks more; the source lacks note");
        let ignoring = WriteRequest { schema: SchemaPolicy::Ignore, ..append };
        assert_eq!(agree(&config(), &other, &ignoring, &filled).unwrap().target.fields().len(), 1);
    }
}
