//! How incoming columns land in a table: the pure part of a sink's agreement.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde_json::Value as Json;
use std::sync::Arc;

use super::catalog::Column;
use super::describe::Described;
use super::merge::{Merging, WAITING};
use super::stage::Detail;
use super::typemap::{Affinity, Kind, kind_for, landing, proposed};
use crate::error::{Error, ErrorKind, Result};
use crate::proof::Verify;
use crate::reject::Refusals;
use crate::sink::{Agreement, Guarantee, Kept, Publish, SchemaPolicy, WriteMode, WriteRequest, Writers};
use crate::source::TableShape;
use crate::sql::beside::{Before, has_rows};
use crate::sql::columns::{self, Known, Names, Unfilled};
use crate::sql::ddl;
use crate::sql::dialect::{Dialect as _, Sqlite};

/// What is known of the target before the agreement.
pub(super) enum Target {
    /// There is no such table; `file` tells whether there is a database.
    Missing { name: String, file: File },
    /// A table, and whether it has rows.
    Table { described: Described, filled: bool },
}

/// Whether the database file is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    Missing,
    There,
}

/// The columns of an agreement while it grows, with their declared types.
type Draft = columns::Draft<String>;

/// Lets `from` into `to`, which is declared as `declared`.
fn take(draft: &mut Draft, from: &Field, to: Field, declared: &str) -> Result<()> {
    let note = note(&to, declared);
    let shown = if declared.is_empty() { "ANY" } else { declared };
    draft.fill(from, to, (shown, declared.to_owned()))?.note = note;
    Ok(())
}

fn note(to: &Field, declared: &str) -> Option<String> {
    let numeric = Affinity::of(declared).turns_text_into_numbers();
    match to.data_type() {
        DataType::Float32 | DataType::Float64 => Some("NaN is refused, and zero has no sign".to_owned()),
        DataType::Utf8 if numeric => Some("text that SQLite would turn into another number is refused".to_owned()),
        DataType::Decimal128(16.., _) | DataType::Decimal256(..) if numeric => {
            Some("a decimal with more digits than a number keeps is refused".to_owned())
        }
        _ => None,
    }
}

/// How `incoming` lands in `target`.
pub(super) fn agree(incoming: &TableShape, request: &WriteRequest, target: &Target) -> Result<Agreement> {
    if let WriteMode::Changes { .. } = &request.mode {
        return Err(Error::new(ErrorKind::Unsupported, "SQLite takes no change feed yet"));
    }
    columns::refuse_none(incoming)?;
    let agreed = match target {
        Target::Missing { name, file } => create(incoming, &request.mode, name, *file),
        Target::Table { described, filled } => fill(incoming, request, described, *filled),
    };
    let (mut agreement, mut detail) = agreed.map_err(|error| error.at("table", target.name()))?;
    detail.advance.clone_from(&request.advance);
    detail.sums = request.verify >= Verify::Checksum;
    detail.refusals = request.refusals;
    agreement.refusals = request.refusals;
    agreement.detail = serde_json::to_value(detail)?;
    Ok(agreement)
}

impl Target {
    fn name(&self) -> &str {
        match self {
            Self::Missing { name, .. } => name,
            Self::Table { described, .. } => &described.relation.name,
        }
    }
}

fn create(incoming: &TableShape, mode: &WriteMode, name: &str, file: File) -> Result<(Agreement, Detail)> {
    let mut draft = Draft::default();
    let merge = mode.merge().map(|merge| merge.settled(&[], incoming)).transpose()?;
    let fields = incoming.schema.fields();
    Names::AsciiCase.refuse_doubled(fields, "SQLite")?;
    let key = match &merge {
        Some(merge) => merge.key.clone(),
        None => incoming.whole_key().to_vec(),
    };
    for field in fields {
        let Some(mut landing) = landing(field) else {
            let message = format!("SQLite has no way to hold {}", field.data_type());
            return Err(Error::new(ErrorKind::Unsupported, message)
                .with_hint("leave it out with --drop, or convert it with --cast or --set")
                .at("column", field.name()));
        };
        let is_integer = matches!(landing.kind, Kind::Int16 | Kind::Int32 | Kind::Int64);
        if is_integer && key == [field.name().as_str()] {
            // Spelled like this, the key is the row id itself and needs no index.
            "INTEGER".clone_into(&mut landing.declared);
        }
        let nullable = field.is_nullable() && !key.contains(field.name());
        let to = landing.kind.field(field.name(), &landing.declared, nullable);
        take(&mut draft, field, to, &landing.declared)?;
    }
    let columns: Vec<ddl::Column<'_>> = draft
        .fields
        .iter()
        .zip(&draft.types)
        .map(|(field, declared)| ddl::Column {
            name: field.name(),
            native_type: declared,
            not_null: !field.is_nullable(),
        })
        .collect();
    let create = ddl::create_table(&Sqlite, &Sqlite.identifier(name), &columns, &key);
    let merging = merge.map(|merge| draft.merge(&merge)).transpose()?.map(|merge| Merging::new(merge, mode));
    let (mut agreement, detail) = agreement(draft, name, (Before::Keep, merging), Some(create));
    if file == File::Missing {
        agreement.publish = Publish::AtOnce;
        agreement.notes.push("a new database file is built beside its name and linked to it at the end".to_owned());
    }
    Ok((agreement, detail))
}

fn fill(
    incoming: &TableShape,
    request: &WriteRequest,
    described: &Described,
    filled: bool,
) -> Result<(Agreement, Detail)> {
    let relation = &described.relation;
    if !relation.is_table() {
        return Err(Error::new(ErrorKind::Unsupported, "this is a view, which takes no rows"));
    }
    if request.mode == WriteMode::Create && filled {
        return Err(has_rows(&relation.name));
    }
    let before = Before::of(&request.mode);
    let mut draft = matched(incoming, request.schema, described)?;
    let primary = draft.incoming_names(&relation.key());
    request.mode.merge().map_or(Ok(()), |merge| merge.refuse_defaults("SQLite"))?;
    let merge = request.mode.merge().map(|merge| merge.settled(&primary, incoming)).transpose()?;
    let merge = merge.map(|merge| draft.merge(&merge)).transpose()?;
    let merging = merge.map(|merge| Merging::new(merge, &request.mode));
    let (mut agreement, detail) = agreement(draft, &relation.name, (before, merging), None);
    if before == Before::Empty {
        agreement.notes.push(
            "the table keeps its definition: it is emptied and refilled in one transaction, and its triggers fire"
                .to_owned(),
        );
    }
    Ok((agreement, detail))
}

/// Columns by name, as SQLite compares names.
fn matched(incoming: &TableShape, policy: SchemaPolicy, described: &Described) -> Result<Draft> {
    let columns = &described.relation.columns;
    let table: Vec<Known<'_>> = columns.iter().map(known).collect();
    Draft::matched(incoming, (&table, Names::AsciiCase), policy, |draft, field, place| {
        let column = &columns[place];
        let kind = kind_in(described, place, field)?;
        take(draft, field, kind.field(&column.name, &column.declared, !column.not_null), &column.declared)
    })
}

fn known(column: &Column) -> Known<'_> {
    let unfilled = match column {
        Column { generated: true, .. } => Unfilled::Computed,
        Column { has_default: true, .. } | Column { is_rowid: true, .. } => Unfilled::Default,
        Column { not_null: true, .. } => Unfilled::Refused,
        _ => Unfilled::Null,
    };
    Known { name: &column.name, native_type: &column.declared, unfilled }
}

/// The kind that values of `field` get for column `place` of a table: what a read of it gives, where it says anything.
fn kind_in(described: &Described, place: usize, field: &Field) -> Result<Kind> {
    let column = &described.relation.columns[place];
    let natural = kind_for(field);
    let held = described.kinds[place];
    let silent = proposed(&column.declared);
    let has_values = described.has_values[place];
    let unsupported = || {
        let message = format!("SQLite has no way to hold {}", field.data_type());
        Error::new(ErrorKind::Unsupported, message).at("column", field.name())
    };
    if held == Kind::Mixed || (silent.is_empty() && !has_values) {
        return natural.ok_or_else(unsupported);
    }
    // The text of a time says its own precision, and that of an instant whether it is one.
    if let Some(natural @ (Kind::Timestamp { .. } | Kind::Time(_))) = natural {
        let same_clock = match (natural, held) {
            (Kind::Timestamp { zoned, .. }, Kind::Timestamp { zoned: other, .. }) => zoned == other || !has_values,
            (Kind::Time(_), Kind::Time(_)) => true,
            _ => false,
        };
        if same_clock && silent.contains(&natural) {
            return Ok(natural);
        }
    }
    let temporal = matches!(natural, Some(Kind::Date | Kind::Time(_) | Kind::Timestamp { .. }));
    if temporal && matches!(held, Kind::Int64 | Kind::Float64) && !silent.contains(&held) {
        let message = "the target holds numbers for dates or times, and nothing says which unit they have";
        return Err(Error::new(ErrorKind::Schema, message)
            .with_hint("convert the column with --set to the number that the target means")
            .at("column", &column.name));
    }
    // Integers of any width are stored alike.
    let narrow = matches!(held, Kind::Int16 | Kind::Int32);
    Ok(if narrow && matches!(natural, Some(Kind::Int16 | Kind::Int32 | Kind::Int64)) { Kind::Int64 } else { held })
}

fn agreement(
    draft: Draft,
    table: &str,
    (before, merging): (Before, Option<Merging>),
    create: Option<String>,
) -> (Agreement, Detail) {
    let target: SchemaRef = Arc::new(Schema::new(draft.fields));
    let columns = target.fields().iter().map(|field| field.name().clone()).collect();
    let mut ddl: Vec<String> = create.iter().cloned().collect();
    if before == Before::Empty {
        ddl.push(format!("DELETE FROM {}", Sqlite.identifier(table)));
    }
    let mut notes = vec!["one writer, one transaction: SQLite takes rows from one connection at a time".to_owned()];
    notes.extend(merging.iter().flat_map(Merging::notes));
    let detail = Detail {
        table: table.to_owned(),
        create,
        before,
        merging,
        advance: None,
        sums: false,
        columns,
        declared: draft.types,
        refusals: Refusals::Fail,
    };
    ddl.extend(detail.merging.iter().flat_map(|merging| merging.statements(&detail, WAITING)).flatten());
    let agreement = Agreement {
        label: Sqlite.identifier(table),
        target,
        columns: draft.plans,
        ddl,
        writers: Writers::One,
        publish: Publish::Held,
        guarantee: Guarantee::ExactlyOnce,
        kept: Kept::Commit,
        marked: false,
        refusals: Refusals::Fail,
        task_bytes: None,
        notes,
        detail: Json::Null,
    };
    (agreement, detail)
}
