//! How incoming columns land in a table: the pure part of a sink's agreement.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use serde_json::Value as Json;

use super::catalog::{Column, Name, Relation};
use super::merge::Merging;
use super::stage::{Before, Detail};
use super::typemap::{Kind, kind_for};
use crate::error::{Error, ErrorKind, Result};
use crate::fate::{fate, possible};
use crate::reject::Refusals;
use crate::schema::NATIVE;
use crate::sink::{
    Agreement, ColumnFate, ColumnPlan, Form, Guarantee, Kept, Merge, Publish, SchemaPolicy, Visible, WriteMode,
    WriteRequest, Writers,
};
use crate::source::TableShape;
use crate::sql::ddl;
use crate::sql::dialect::DuckDb;

/// What is known of the target before the agreement.
pub(super) enum Target {
    /// There is no such table; `new_file` tells whether there is no database either.
    Missing { name: Name, new_file: bool },
    /// A table, and whether it has rows.
    Table { relation: Relation, filled: bool },
}

/// The columns of an agreement while it grows.
#[derive(Default)]
struct Draft {
    plans: Vec<ColumnPlan>,
    fields: Vec<Field>,
    kinds: Vec<Kind>,
}

impl Draft {
    fn fill(&mut self, from: &Field, to: Field, kind: &Kind) -> Result<()> {
        if !possible(from, &to) {
            let message = format!("no cast leads from {} to {}", from.data_type(), kind.sql());
            return Err(Error::new(ErrorKind::Schema, message)
                .with_hint("convert the column with --cast or --set")
                .at("column", from.name()));
        }
        // Text of one kind only is taken: of another one it may not be.
        let judged = kind.is_text_of_its_own() && from.metadata().get(NATIVE) != to.metadata().get(NATIVE);
        self.plans.push(ColumnPlan {
            incoming: Some(from.name().clone()),
            target: Some(to.name().clone()),
            target_type: kind.sql(),
            form: Form::Arrow,
            fate: if judged { ColumnFate::Lossy } else { fate(from, &to) },
            note: note(kind).map(str::to_owned),
        });
        self.fields.push(to);
        self.kinds.push(kind.clone());
        Ok(())
    }

    /// What comes into the columns `names` of the target; a name into which nothing comes stays as it is.
    fn incoming_names(&self, names: &[String]) -> Vec<String> {
        let incoming = |name: &String| {
            let plan = self.plans.iter().find(|plan| plan.target.as_ref() == Some(name));
            plan.and_then(|plan| plan.incoming.clone()).unwrap_or_else(|| name.clone())
        };
        names.iter().map(incoming).collect()
    }

    /// How rows with these columns are merged; those of the key are to hold no NULL.
    fn merging(&mut self, merge: &Merge, mode: &WriteMode) -> Result<Merging> {
        let target = |name: &str| {
            let plan = self.plans.iter().find(|plan| plan.incoming.as_deref() == Some(name));
            plan.and_then(|plan| plan.target.clone())
        };
        let merging = Merging::new(merge, mode, target)?;
        for field in self.fields.iter_mut().filter(|field| merging.key.contains(field.name())) {
            field.set_nullable(false);
        }
        Ok(merging)
    }

    fn leave(&mut self, from: &Field, note: &str) {
        self.plans.push(ColumnPlan {
            incoming: Some(from.name().clone()),
            target: None,
            target_type: String::new(),
            form: Form::Arrow,
            fate: ColumnFate::Dropped,
            note: Some(note.to_owned()),
        });
    }

    fn add(&mut self, column: &Column) {
        self.plans.push(ColumnPlan {
            incoming: None,
            target: Some(column.name.clone()),
            target_type: column.declared.clone(),
            form: Form::Arrow,
            fate: ColumnFate::Added,
            note: column.generated.then(|| "the table computes it".to_owned()),
        });
    }
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
    if incoming.schema.fields().is_empty() {
        return Err(Error::new(ErrorKind::Schema, "there are no columns to write"));
    }
    let agreed = match target {
        Target::Missing { name, new_file } => create(incoming, &request.mode, name, *new_file),
        Target::Table { relation, filled } => fill(incoming, request, relation, *filled),
    };
    let (mut agreement, mut detail) = agreed.map_err(|error| error.at("table", target.name()))?;
    detail.advance.clone_from(&request.advance);
    detail.refusals = request.refusals;
    agreement.refusals = request.refusals;
    if request.visible == Visible::PerTask {
        agreement.notes.push("all rows are seen at once, at the end: this target knows no other way".to_owned());
    }
    agreement.detail = serde_json::to_value(detail)?;
    Ok(agreement)
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
    for (place, field) in fields.iter().enumerate() {
        if fields[..place].iter().any(|other| other.name().eq_ignore_ascii_case(field.name())) {
            let message = "DuckDB takes this name for that of another column";
            return Err(Error::new(ErrorKind::Schema, message)
                .with_hint("rename one of them with --rename")
                .at("column", field.name()));
        }
    }
    let key: Vec<String> = match &merge {
        Some(merge) => merge.key.clone(),
        None => known_key(incoming),
    };
    for field in fields {
        let kind = kind_for(field).ok_or_else(|| unsupported(field))?;
        let nullable = field.is_nullable() && !key.contains(field.name());
        draft.fill(field, kind.column(field.name(), nullable), &kind)?;
    }
    let types: Vec<String> = draft.kinds.iter().map(Kind::sql).collect();
    let columns = draft.fields.iter().zip(&types).map(|(field, native_type)| ddl::Column {
        name: field.name(),
        native_type,
        not_null: !field.is_nullable(),
    });
    let create = ddl::create_table(&DuckDb, &name.quoted(), &columns.collect::<Vec<_>>(), &key);
    let merging = merge.map(|merge| draft.merging(&merge, mode)).transpose()?;
    let mut detail = detail(&draft, name, (Before::Keep, merging));
    detail.create = Some(key);
    let mut agreement = agreement(draft, &detail, Some(create));
    if new_file {
        agreement.notes.push("a new database file is made".to_owned());
    }
    Ok((agreement, detail))
}

/// The key of the source, where all of it arrives.
fn known_key(incoming: &TableShape) -> Vec<String> {
    let arrives = |name: &String| incoming.schema.column_with_name(name).is_some();
    if incoming.key.iter().all(arrives) { incoming.key.clone() } else { Vec::new() }
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
    let before = match request.mode {
        WriteMode::Create if filled => return Err(super::stage::has_rows(name)),
        WriteMode::Create => Before::Refuse,
        WriteMode::Truncate | WriteMode::Replace => Before::Empty,
        _ => Before::Keep,
    };
    let mut draft = matched(incoming, request.schema, relation)?;
    let primary = draft.incoming_names(&relation.key);
    let merge = request.mode.merge().map(|merge| merge.settled(&primary, incoming)).transpose()?;
    let merging = merge.map(|merge| draft.merging(&merge, &request.mode)).transpose()?;
    let detail = detail(&draft, name, (before, merging));
    let mut agreement = agreement(draft, &detail, None);
    if before == Before::Empty {
        agreement
            .notes
            .push("the table keeps its definition: it is emptied and refilled in one transaction".to_owned());
    }
    Ok((agreement, detail))
}

/// Columns by name: as they are written first, then as DuckDB compares names.
fn matched(incoming: &TableShape, policy: SchemaPolicy, relation: &Relation) -> Result<Draft> {
    let partner = |name: &str| -> Option<usize> {
        let exact = relation.columns.iter().position(|column| column.name == name);
        exact.or_else(|| relation.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name)))
    };
    let mut draft = Draft::default();
    let mut filled = vec![false; relation.columns.len()];
    let mut surplus = Vec::new();
    for field in incoming.schema.fields() {
        let Some(place) = partner(field.name()) else {
            surplus.push(field.name().as_str());
            draft.leave(field, "the target has no such column");
            continue;
        };
        let column = &relation.columns[place];
        if std::mem::replace(&mut filled[place], true) {
            let error = Error::new(ErrorKind::Schema, "two columns would fill the same column of the target");
            return Err(error.at("column", &column.name));
        }
        if column.generated {
            draft.leave(field, "the table computes it");
            continue;
        }
        let kind = column.kind.as_ref().ok_or_else(|| {
            let message = format!("columns of the type {} are not written", column.declared);
            Error::new(ErrorKind::Unsupported, message).with_hint("leave it out with --drop").at("column", &column.name)
        })?;
        draft.fill(field, kind.column(&column.name, !column.not_null), kind)?;
    }
    let empty: Vec<&Column> = relation
        .columns
        .iter()
        .zip(&filled)
        .filter(|(column, filled)| !**filled && !column.generated)
        .map(|(column, _)| column)
        .collect();
    if policy == SchemaPolicy::Strict && !(surplus.is_empty() && empty.is_empty()) {
        return Err(differences(&surplus, &empty));
    }
    for column in empty {
        if column.not_null && !column.has_default {
            let message = "nothing fills this column, which takes no NULL and has no default";
            return Err(Error::new(ErrorKind::Schema, message).at("column", &column.name));
        }
        draft.add(column);
    }
    if draft.fields.is_empty() {
        return Err(Error::new(ErrorKind::Schema, "source and target have no column in common"));
    }
    Ok(draft)
}

fn differences(surplus: &[&str], empty: &[&Column]) -> Error {
    let mut parts = Vec::new();
    if !surplus.is_empty() {
        parts.push(format!("the target lacks {}", surplus.join(", ")));
    }
    if !empty.is_empty() {
        let names: Vec<&str> = empty.iter().map(|column| column.name.as_str()).collect();
        parts.push(format!("the source lacks {}", names.join(", ")));
    }
    Error::new(ErrorKind::Schema, format!("the columns differ: {}", parts.join("; ")))
        .with_hint("name columns alike with --rename, leave some out with --drop, or use --schema ignore")
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
        types: draft.kinds.iter().map(Kind::sql).collect(),
        not_null: draft.fields.iter().map(|field| !field.is_nullable()).collect(),
        refusals: Refusals::Fail,
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
