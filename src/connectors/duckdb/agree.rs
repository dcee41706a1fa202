//! How incoming columns land in a table: the pure part of a sink's agreement.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use serde_json::Value as Json;

use super::catalog::{Column, Name, Relation};
use super::form;
use super::merge::Merging;
use super::read::GROUP_ROWS;
use super::stage::Detail;
use super::typemap::{Kind, kind_for};
use crate::error::{Error, ErrorKind, Result};
use crate::reject::Refusals;
use crate::schema::NATIVE;
use crate::sink::{
    Agreement, ColumnFate, Form, Guarantee, Kept, Publish, SchemaPolicy, Visible, WriteMode, WriteRequest, Writers,
};
use crate::source::TableShape;
use crate::sql::beside::{Before, has_rows};
use crate::sql::columns::{self, Known, Names, Offer, Unfilled, offers};
use crate::sql::ddl;
use crate::sql::dialect::DuckDb;

/// Rows of a task, where there are so many for each channel.
const TASK_ROWS: u64 = 2 * GROUP_ROWS;

/// What is known of the target before the agreement.
pub(super) enum Target {
    /// There is no such table; `new_file` tells whether there is no database either.
    Missing { name: Name, new_file: bool },
    /// A table, and whether it has rows.
    Table { relation: Relation, filled: bool },
}

/// The columns of an agreement while it grows, with their types.
type Draft = columns::Draft<Kind>;

/// Lets what is offered into `to`, which is of `kind`.
fn take(draft: &mut Draft, offer: Offer<'_>, to: Field, kind: &Kind) -> Result<()> {
    if let Some(native) = offer.native.filter(|native| form::is_taken(native, kind)) {
        let to = native.clone().with_name(to.name()).with_nullable(to.is_nullable());
        draft.fill(native, to, (&kind.sql(), kind.clone()))?.form = Form::Native;
        return Ok(());
    }
    let from = offer.arrow;
    // Text of one kind only is taken: of another one it may not be.
    let judged = kind.is_text_of_its_own() && from.metadata().get(NATIVE) != to.metadata().get(NATIVE);
    let plan = draft.fill(from, to, (&kind.sql(), kind.clone()))?;
    plan.note = note(kind).map(str::to_owned);
    if judged {
        plan.fate = ColumnFate::Lossy;
    }
    Ok(())
}

fn note(kind: &Kind) -> Option<&'static str> {
    match kind {
        Kind::Float | Kind::Double => Some("zero has no sign"),
        Kind::Interval => Some("parts of a microsecond are refused"),
        Kind::Bit | Kind::Bignum | Kind::TimeTz | Kind::Enum(_) => Some("text that is none of this type is refused"),
        Kind::List(item) | Kind::Array(item, _) => note(item),
        Kind::Struct(members) => members.iter().find_map(|(_, member)| note(member)),
        Kind::Map(both) => note(&both.0).or_else(|| note(&both.1)),
        _ => None,
    }
}

/// How `incoming` lands in `target`.
pub(super) fn agree(incoming: &TableShape, request: &WriteRequest, target: &Target) -> Result<Agreement> {
    if let WriteMode::Changes { .. } = &request.mode {
        return Err(Error::new(ErrorKind::Unsupported, "DuckDB takes no change feed yet"));
    }
    columns::refuse_none(incoming)?;
    let agreed = match target {
        Target::Missing { name, new_file } => create(incoming, &request.mode, name, *new_file),
        Target::Table { relation, filled } => fill(incoming, request, relation, *filled),
    };
    let (mut agreement, mut detail) = agreed.map_err(|error| error.at("table", target.name()))?;
    detail.advance.clone_from(&request.advance);
    detail.refusals = request.refusals;
    detail.memory_bytes = request.memory_bytes;
    agreement.refusals = request.refusals;
    agreement.task_bytes = task_bytes(incoming);
    if request.visible == Visible::PerTask {
        agreement.notes.push("all rows are seen at once, at the end: this target knows no other way".to_owned());
    }
    agreement.detail = serde_json::to_value(detail)?;
    Ok(agreement)
}

/// About the bytes of a task of whole groups: rows of smaller tasks go through the log first.
fn task_bytes(incoming: &TableShape) -> Option<u64> {
    let rows = incoming.rows.filter(|rows| *rows > 0)?;
    Some(incoming.bytes?.saturating_mul(TASK_ROWS) / rows)
}

impl Target {
    fn name(&self) -> String {
        match self {
            Self::Missing { name, .. } => name.shown(),
            Self::Table { relation, .. } => relation.shown(),
        }
    }
}

fn unsupported(field: &Field) -> Error {
    Error::new(ErrorKind::Unsupported, format!("DuckDB has no way to hold {}", field.data_type()))
        .with_hint("leave it out with --drop, or convert it with --cast or --set")
        .at("column", field.name())
}

fn create(incoming: &TableShape, mode: &WriteMode, name: &Name, new_file: bool) -> Result<(Agreement, Detail)> {
    let mut draft = Draft::default();
    let merge = mode.merge().map(|merge| merge.settled(&[], incoming)).transpose()?;
    let fields = incoming.schema.fields();
    Names::AsciiCase.refuse_doubled(fields, "DuckDB")?;
    let key = match &merge {
        Some(merge) => merge.key.clone(),
        None => incoming.whole_key().to_vec(),
    };
    for offer in offers(incoming) {
        let field = offer.arrow;
        let kind = kind_for(field).ok_or_else(|| unsupported(field))?;
        let nullable = field.is_nullable() && !key.contains(field.name());
        take(&mut draft, offer, kind.column(field.name(), nullable), &kind)?;
    }
    let types: Vec<String> = draft.types.iter().map(Kind::sql).collect();
    let columns = draft.fields.iter().zip(&types).map(|(field, native_type)| ddl::Column {
        name: field.name(),
        native_type,
        not_null: !field.is_nullable(),
    });
    let create = ddl::create_table(&DuckDb, &name.quoted(), &columns.collect::<Vec<_>>(), &key);
    let merging = merge.map(|merge| draft.merge(&merge)).transpose()?.map(|merge| Merging::new(merge, mode));
    let mut detail = detail(&draft, name, (Before::Keep, merging));
    detail.create = Some(key);
    let mut agreement = agreement(draft, &detail, Some(create));
    if new_file {
        agreement.notes.push("a new database file is made".to_owned());
    }
    Ok((agreement, detail))
}

fn fill(
    incoming: &TableShape,
    request: &WriteRequest,
    relation: &Relation,
    filled: bool,
) -> Result<(Agreement, Detail)> {
    let Some(name) = relation.name.as_ref().filter(|_| relation.is_table()) else {
        return Err(Error::new(ErrorKind::Unsupported, "this is a view, which takes no rows"));
    };
    if request.mode == WriteMode::Create && filled {
        return Err(has_rows(name.shown()));
    }
    let before = Before::of(&request.mode);
    let mut draft = matched(incoming, request.schema, relation)?;
    let primary = draft.incoming_names(&relation.key);
    request.mode.merge().map_or(Ok(()), |merge| merge.refuse_defaults("DuckDB"))?;
    let merge = request.mode.merge().map(|merge| merge.settled(&primary, incoming)).transpose()?;
    let merge = merge.map(|merge| draft.merge(&merge)).transpose()?;
    let merging = merge.map(|merge| Merging::new(merge, &request.mode));
    let detail = detail(&draft, name, (before, merging));
    let mut agreement = agreement(draft, &detail, None);
    if before == Before::Empty {
        agreement
            .notes
            .push("the table keeps its definition: it is emptied and refilled in one transaction".to_owned());
    }
    Ok((agreement, detail))
}

/// Columns by name, as DuckDB compares names.
fn matched(incoming: &TableShape, policy: SchemaPolicy, relation: &Relation) -> Result<Draft> {
    let table: Vec<Known<'_>> = relation.columns.iter().map(known).collect();
    Draft::matched(incoming, (&table, Names::AsciiCase), policy, |draft, field, place| {
        let column = &relation.columns[place];
        let kind = column.kind.as_ref().ok_or_else(|| {
            let message = format!("columns of the type {} are not written", column.declared);
            Error::new(ErrorKind::Unsupported, message).with_hint("leave it out with --drop").at("column", &column.name)
        })?;
        let native = incoming.schema.index_of(field.name()).ok().and_then(|index| incoming.native.get(index));
        let offer = Offer { arrow: field, native: native.and_then(|native| native.as_deref()) };
        take(draft, offer, kind.column(&column.name, !column.not_null), kind)
    })
}

fn known(column: &Column) -> Known<'_> {
    let unfilled = match column {
        Column { generated: true, .. } => Unfilled::Computed,
        Column { has_default: true, .. } => Unfilled::Default,
        Column { not_null: true, .. } => Unfilled::Refused,
        _ => Unfilled::Null,
    };
    Known { name: &column.name, native_type: &column.declared, unfilled }
}

fn detail(draft: &Draft, name: &Name, (before, merging): (Before, Option<Merging>)) -> Detail {
    Detail {
        schema: name.schema.clone(),
        table: name.table.clone(),
        create: None,
        before,
        merging,
        advance: None,
        columns: draft.fields.iter().map(|field| field.name().clone()).collect(),
        types: draft.types.iter().map(Kind::sql).collect(),
        not_null: draft.fields.iter().map(|field| !field.is_nullable()).collect(),
        refusals: Refusals::Fail,
        memory_bytes: 0,
    }
}

fn agreement(draft: Draft, detail: &Detail, create: Option<String>) -> Agreement {
    let target: SchemaRef = Arc::new(Schema::new(draft.fields));
    let mut notes = vec![
        "each task fills a stage in the same file by a transaction of its own; the last one shows all rows".to_owned(),
    ];
    notes.extend(detail.merging.iter().flat_map(Merging::notes));
    let mut ddl: Vec<String> = create.into_iter().collect();
    if detail.create.is_none() || detail.merging.is_some() {
        ddl.extend(detail.statements("the stage"));
    }
    Agreement {
        label: detail.name().quoted(),
        target,
        columns: draft.plans,
        ddl,
        writers: Writers::Any,
        publish: Publish::AtOnce,
        guarantee: Guarantee::ExactlyOnce,
        kept: Kept::Tasks,
        marked: false,
        refusals: Refusals::Fail,
        task_bytes: None,
        notes,
        detail: Json::Null,
    }
}
