//! How incoming columns land in a table: the pure part of a sink's agreement.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use serde_json::Value as Json;

use super::catalog::{Column, DefaultKind, Relation, Table};
use super::ddl::{NewColumn, NewTable, order_for, sorts};
use super::name::{Name, check_name};
use super::split::HIDDEN;
use super::stage::{Action, Detail, Swap};
use super::typemap::{Kind, Type, type_for};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::NATIVE;
use crate::sink::{
    Agreement, ColumnFate, Guarantee, Kept, Publish, SchemaPolicy, Visible, WriteMode, WriteRequest, Writers,
};
use crate::source::TableShape;
use crate::sql::beside::{Before, has_rows};
use crate::sql::columns::{self, Known, Names, Unfilled};

/// What is known of the target before the agreement.
pub(super) enum Target {
    /// There is no such table.
    Missing(Name),
    /// A table, and whether it has rows.
    Table { relation: Relation, filled: bool },
}

/// The columns of an agreement while it grows, with their types.
type Draft = columns::Draft<Type>;

/// Lets `from` into the column `name`, which is declared as `declared`.
fn take(draft: &mut Draft, from: &Field, name: &str, declared: Type) -> Result<()> {
    let to = declared.column(name);
    // Text of one kind only is taken: of another one it may not be.
    let judged = declared.kind.is_text_of_its_own() && from.metadata().get(NATIVE) != to.metadata().get(NATIVE);
    let note = note(from, &declared).map(str::to_owned);
    let plan = draft.fill(from, to, (&declared.sql(), declared))?;
    plan.note = note;
    if judged {
        plan.fate = ColumnFate::Lossy;
    }
    Ok(())
}

/// The columns of `draft` as a new table has them.
fn new_columns(draft: &Draft) -> Vec<NewColumn> {
    draft.fields.iter().zip(&draft.types).map(|(field, declared)| NewColumn::of(field.name(), declared)).collect()
}

fn note(from: &Field, declared: &Type) -> Option<&'static str> {
    match declared.kind {
        Kind::Array(_) | Kind::Map(_) | Kind::Tuple(_) if from.is_nullable() => {
            Some("the type takes no NULL: a row with one is refused")
        }
        Kind::Date => Some("days before 1970 and after 2149-06-06 are refused"),
        Kind::DateTime(_) => Some("moments before 1970 and after 2106-02-07 are refused"),
        Kind::Date32 | Kind::DateTime64(..) => Some("years before 1900 and after 2299 are refused"),
        Kind::Wall(_) => {
            Some("a comment on the column marks it as without a zone; years before 1900 and after 2299 are refused")
        }
        Kind::Bytes => Some("a comment on the column marks it as bytes"),
        Kind::JsonText => Some("a comment on the column marks it as JSON"),
        Kind::Vast { .. } | Kind::Ipv4 | Kind::Ipv6 | Kind::Enum(..) => {
            Some("text that is none of this type is refused")
        }
        _ => None,
    }
}

/// How `incoming` lands in `target`.
pub(super) fn agree(incoming: &TableShape, request: &WriteRequest, target: &Target) -> Result<Agreement> {
    if let WriteMode::Upsert(_) | WriteMode::Sync(_) | WriteMode::Changes { .. } = &request.mode {
        let message = "ClickHouse has no transaction in which rows replace others by their key";
        return Err(Error::new(ErrorKind::Unsupported, message)
            .with_hint("append to a table of the engine ReplacingMergeTree, or use --mode replace"));
    }
    columns::refuse_none(incoming)?;
    let agreed = match target {
        Target::Missing(name) => create(incoming, name),
        Target::Table { relation, filled } => fill(incoming, request, relation, *filled),
    };
    let (mut agreement, mut detail) = agreed.map_err(|error| error.at("table", target.name()))?;
    detail.refusals = request.refusals;
    detail.memory_bytes = request.memory_bytes;
    agreement.refusals = request.refusals;
    if request.visible == Visible::PerTask {
        agreement.notes.push("all rows are seen at the end: this target knows no other way".to_owned());
    }
    agreement.detail = serde_json::to_value(detail)?;
    Ok(agreement)
}

impl Target {
    fn name(&self) -> String {
        match self {
            Self::Missing(name) => name.shown(),
            Self::Table { relation, .. } => relation.shown(),
        }
    }
}

fn unsupported(field: &Field) -> Error {
    Error::new(ErrorKind::Unsupported, format!("ClickHouse has no way to hold {} exactly", field.data_type()))
        .with_hint("leave it out with --drop, or convert it with --cast or --set")
        .at("column", field.name())
}

fn create(incoming: &TableShape, name: &Name) -> Result<(Agreement, Detail)> {
    check_name(&name.table)?;
    let mut draft = Draft::default();
    let mut order = order_for(incoming);
    for field in incoming.schema.fields() {
        let declared = type_for(field).ok_or_else(|| unsupported(field))?;
        if order.contains(field.name()) && !sorts(&declared.kind) {
            order.clear();
        }
        let nullable = declared.nullable && !order.contains(field.name());
        take(&mut draft, field, field.name(), Type { nullable, ..declared })?;
    }
    let new = NewTable { columns: new_columns(&draft), order };
    let ddl = new.create(&name.quoted(), incoming.comment.as_deref().unwrap_or_default(), &[]);
    let mut detail = detail(&draft, name, Action::Rename(new));
    detail.comment = incoming.comment.clone().unwrap_or_default();
    let agreement = agreement(draft, &detail, Guarantee::ExactlyOnce, vec![ddl]);
    Ok((agreement, detail))
}

fn fill(
    incoming: &TableShape,
    request: &WriteRequest,
    relation: &Relation,
    filled: bool,
) -> Result<(Agreement, Detail)> {
    let Some(table) = relation.table().filter(|table| !table.is_view()) else {
        return Err(Error::new(ErrorKind::Unsupported, "this is a view, which takes no rows"));
    };
    if request.mode == WriteMode::Create && filled {
        return Err(has_rows(table.name.shown()));
    }
    let draft = matched(incoming, request.schema, relation)?;
    let replaces = matches!(request.mode, WriteMode::Truncate | WriteMode::Replace);
    let action = if replaces { Action::Exchange(swap(table)?) } else { addition(table) };
    let mut detail = detail(&draft, &table.name, action);
    detail.comment.clone_from(&relation.comment);
    if request.mode == WriteMode::Create {
        detail.before = Before::Refuse;
    }
    if detail.action == Action::Insert && detail.columns.iter().any(|column| HIDDEN.contains(&column.name.as_str())) {
        let message = "a column is called _part or _part_offset, which hides the parts of the stage";
        return Err(Error::new(ErrorKind::Unsupported, message).with_hint("rename it in the target"));
    }
    let (guarantee, note) = promise(table, &detail.action);
    let statements = statements(&detail);
    let mut agreement = agreement(draft, &detail, guarantee, statements);
    agreement.notes.push(note);
    Ok((agreement, detail))
}

/// How rows are added to `table`.
fn addition(table: &Table) -> Action {
    let plain = table.engine == "MergeTree" && !table.forgets && !table.feeds;
    // One that remembers tokens takes each block once, which a move does not promise.
    if plain && table.window == 0 { Action::Move } else { Action::Insert }
}

/// How `table` is exchanged for a new one.
fn swap(table: &Table) -> Result<Swap> {
    let refused = |why: String| {
        Error::new(ErrorKind::Unsupported, format!("the table cannot be replaced in one step: {why}"))
            .with_hint("use --mode append, after a TRUNCATE of your own where it has to be empty")
    };
    if !table.has_parts() || table.is_replicated() {
        return Err(refused(format!("its engine is {}", table.engine)));
    }
    if table.feeds {
        return Err(refused("materialized views are fed by it".to_owned()));
    }
    Ok(match (table.atomic, table.engine == "MergeTree" && !table.forgets) {
        (true, true) => Swap::Attached,
        (true, false) => Swap::Inserted,
        (false, true) => Swap::Renamed,
        (false, false) => return Err(refused("its database is not of the engine Atomic".to_owned())),
    })
}

/// What is promised, and why.
fn promise(table: &Table, action: &Action) -> (Guarantee, String) {
    match action {
        Action::Rename(_) => (Guarantee::ExactlyOnce, String::new()),
        Action::Exchange(Swap::Renamed) => (
            Guarantee::ExactlyOnce,
            "the table keeps its definition; for a moment it is missing, since its database is not Atomic".to_owned(),
        ),
        Action::Exchange(_) => (
            Guarantee::ExactlyOnce,
            "the table keeps its definition: it is exchanged for one that is filled beside it".to_owned(),
        ),
        Action::Move => (
            Guarantee::AtLeastOnce,
            "the parts of the stage move into the table, which remembers no blocks (non_replicated_deduplication_window = 0, or \
             the user's profile has deduplicate_insert = disable): a server that dies in the midst of it may leave rows in both"
                .to_owned(),
        ),
        Action::Insert if table.window > 0 => (
            Guarantee::ExactlyOnce,
            format!(
                "blocks go into the table one after the other, each under a token: it remembers the last {} and takes none twice",
                table.window
            ),
        ),
        Action::Insert => (
            Guarantee::AtLeastOnce,
            format!(
                "blocks go into the table one after the other; the engine {} remembers none: one whose answer is lost may come twice",
                table.engine
            ),
        ),
    }
}

/// Columns by name.
fn matched(incoming: &TableShape, policy: SchemaPolicy, relation: &Relation) -> Result<Draft> {
    let table: Vec<Known<'_>> = relation.columns.iter().map(known).collect();
    Draft::matched(incoming, (&table, Names::Exact), policy, |draft, field, place| {
        let column = &relation.columns[place];
        let declared = column.known()?;
        if declared.kind == Kind::Json {
            let message = "a JSON of ClickHouse is not written: it keeps neither the order of keys nor all numbers";
            let hint = "leave it out with --drop, or write into a String";
            return Err(Error::new(ErrorKind::Unsupported, message).with_hint(hint).at("column", &column.name));
        }
        take(draft, field, &column.name, declared.clone())
    })
}

/// Every column has a default, if it be that of its type.
fn known(column: &Column) -> Known<'_> {
    let computed = column.default == DefaultKind::Computed;
    let unfilled = if computed { Unfilled::Computed } else { Unfilled::Default };
    Known { name: &column.name, native_type: &column.declared, unfilled }
}

fn detail(draft: &Draft, name: &Name, action: Action) -> Detail {
    Detail {
        name: name.clone(),
        action,
        before: Before::Keep,
        columns: new_columns(draft),
        comment: String::new(),
        refusals: crate::reject::Refusals::Fail,
        memory_bytes: 0,
    }
}

/// What will run on a table that is there, for the plan.
fn statements(detail: &Detail) -> Vec<String> {
    let table = detail.name.quoted();
    vec![match &detail.action {
        Action::Rename(_) => return Vec::new(),
        Action::Exchange(Swap::Renamed) => format!("RENAME TABLE {table} TO (old), (stage) TO {table}"),
        Action::Exchange(_) => format!("EXCHANGE TABLES (stage) AND {table}"),
        Action::Move => format!("ALTER TABLE (stage) MOVE PARTITION … TO TABLE {table}"),
        Action::Insert => format!("INSERT INTO {table} SELECT … FROM (stage)"),
    }]
}

fn agreement(draft: Draft, detail: &Detail, guarantee: Guarantee, ddl: Vec<String>) -> Agreement {
    let target: SchemaRef = Arc::new(Schema::new(draft.fields));
    let notes = vec![
        "each attempt of a task fills a table of its own beside the target; the last step shows all rows".to_owned(),
    ];
    Agreement {
        label: detail.name.quoted(),
        target,
        columns: draft.plans,
        ddl,
        writers: Writers::Any,
        publish: Publish::AtOnce,
        guarantee,
        kept: Kept::Tasks,
        marked: true,
        refusals: crate::reject::Refusals::Fail,
        task_bytes: None,
        notes,
        detail: Json::Null,
    }
}
