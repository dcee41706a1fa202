//! Matches incoming columns with the target's and chooses, for each, the form, the Arrow type and the fate.
//!
//! A native form of the target's own type goes through as it is, with a check where the target's modifiers would make
//! the server round or cut. Everything else is asked of the engine in the Arrow type that the encoder knows.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::super::ddl;
use super::super::encode::{Check, Column, Format, Layout, wire_readable};
use super::super::read::ENCODING;
use super::super::target::{Catalog, Resolved, Table, TableColumn};
use super::super::typemap::{BASE, PRODUCT, oid_of};
use super::super::typename::type_name;
use super::fate;
use crate::error::{Error, ErrorKind, Result};
use crate::fate::{is_text, possible, remedy};
use crate::schema;
use crate::sink::{ColumnFate, ColumnPlan, Form, SchemaPolicy};
use crate::source::{Encoding, TableShape};
use crate::sql::columns::{Known, Names, Offer, offers, refuse_differences};

/// Types of which the server takes no values, in any form: their text is kept.
const WITHOUT_INPUT: [&str; 7] = [
    "pg_node_tree",
    "pg_ndistinct",
    "pg_dependencies",
    "pg_mcv_list",
    "pg_brin_bloom_summary",
    "pg_brin_minmax_multi_summary",
    "gtsvector",
];

/// The columns as they will be copied.
pub(super) struct Matched {
    pub(super) plans: Vec<ColumnPlan>,
    pub(super) target: SchemaRef,
    pub(super) copied: Vec<Column>,
    pub(super) format: Format,
    /// The encoding that can be passed through, when there is one.
    pub(super) raw: Option<Encoding>,
    /// Whether every column so far is of the very type that comes in.
    same: bool,
}

/// Where a column goes.
struct Place<'a> {
    name: &'a str,
    shown: &'a str,
    resolved: Resolved,
    not_null: bool,
}

/// What was chosen for one column that is copied.
struct Chosen {
    field: Field,
    column: Column,
    form: Form,
    fate: ColumnFate,
    note: Option<String>,
}

/// All names of PostgreSQL types that `incoming` speaks of, or that a new table for it would have.
pub(super) fn type_names(incoming: &TableShape) -> Vec<String> {
    let mut names = vec!["text".to_owned()];
    for field in incoming.schema.fields() {
        names.extend(schema::native_of(field, PRODUCT).map(str::to_owned));
        names.extend(base_of(field).map(str::to_owned));
        names.extend(type_name(&plain(field)).ok());
    }
    names
}

/// The base type where the native type of `field` is a domain.
fn base_of(field: &Field) -> Option<&str> {
    field.metadata().get(BASE)?.strip_prefix(PRODUCT)?.strip_prefix(':')
}

/// `field` without its native type.
fn plain(field: &Field) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.remove(schema::NATIVE);
    field.clone().with_metadata(metadata)
}

/// Matches `incoming` with the columns of `table`, by name. Those of `key` are to hold no NULL.
///
/// # Errors
/// [`Schema`](ErrorKind::Schema) listing what differs, when `policy` does not allow it.
pub(super) fn match_existing(
    catalog: &Catalog,
    table: &Table,
    incoming: &TableShape,
    (policy, key): (SchemaPolicy, &[String]),
) -> Result<Matched> {
    let known: Vec<Known<'_>> = table.columns.iter().map(TableColumn::known).collect();
    refuse_differences(incoming, (&known, Names::Exact), policy)?;
    let find = |name: &str| table.columns.iter().find(|column| column.name == name);
    let place = |column: &TableColumn| catalog.type_of(column);
    let format = if offers(incoming).any(|offer| {
        find(offer.arrow.name()).is_some_and(|column| !column.generated && needs_text(catalog, offer, &place(column)))
    }) {
        Format::Text
    } else {
        Format::Binary
    };
    let mut matched = Matched::empty(format);
    for offer in offers(incoming) {
        let name = offer.arrow.name();
        match find(name) {
            Some(column) if column.generated => matched.drop(name, "the target computes this column"),
            Some(column) => {
                let resolved = place(column);
                let place =
                    Place { name, shown: &column.shown, resolved, not_null: column.not_null || key.contains(name) };
                matched.take(catalog, offer, &place)?;
            }
            None => matched.drop(name, "the target has no such column"),
        }
    }
    for column in &known {
        if incoming.schema.field_with_name(column.name).is_err() {
            matched.plans.push(column.added());
        }
    }
    Ok(matched.finish(incoming))
}

/// Plans a new table for `incoming`, with its own key where `key` is empty.
pub(super) fn plan_new(catalog: &Catalog, incoming: &TableShape, key: &[String]) -> Result<(Matched, ddl::NewTable)> {
    let mut columns = Vec::new();
    for offer in offers(incoming) {
        ddl::check_name(offer.arrow.name(), "column")?;
        let mut column = new_column(catalog, offer.arrow)?;
        column.not_null |= key.contains(&column.name);
        columns.push(column);
    }
    let needs_text = offers(incoming)
        .zip(&columns)
        .any(|(offer, column)| needs_text(catalog, offer, &resolve(catalog, &column.sql_type)));
    let mut matched = Matched::empty(if needs_text { Format::Text } else { Format::Binary });
    for (offer, column) in offers(incoming).zip(&columns) {
        let resolved = resolve(catalog, &column.sql_type);
        let name = offer.arrow.name();
        matched.take(catalog, offer, &Place { name, shown: &column.sql_type, resolved, not_null: column.not_null })?;
    }
    let key = if key.is_empty() { incoming.whole_key() } else { key };
    let create = ddl::NewTable { columns, key: key.to_vec(), comment: incoming.comment.clone() };
    Ok((matched.finish(incoming), create))
}

/// What the user should know of types of `incoming` that a new table cannot have, because the server does not know them.
pub(super) fn lacking(catalog: &Catalog, incoming: &TableShape) -> Option<String> {
    let names = incoming.schema.fields().iter().filter_map(|field| schema::native_of(field, PRODUCT));
    let mut names: Vec<&str> = names.filter(|name| catalog.named(name, -1).is_none()).collect();
    names.sort_unstable();
    names.dedup();
    let all_built_in = names.iter().all(|name| oid_of(name).is_some());
    let (lacking, remedy) = match names[..] {
        [] => return None,
        [name] => (format!("type {name}, and its columns get another"), "it or its extension"),
        _ => (format!("types {}, and their columns get others", names.join(", ")), "them or their extensions"),
    };
    let remedy = if all_built_in { String::new() } else { format!(": make {remedy} before, as with --pre-sql") };
    Some(format!("the target has no {lacking}{remedy}"))
}

/// The type of a new column: its own where the server has it, below its domain else, and what its Arrow type asks for.
fn new_column(catalog: &Catalog, field: &Field) -> Result<ddl::NewColumn> {
    let native = schema::native_of(field, PRODUCT);
    let known = |name: &&str| catalog.named(name, -1).is_some() && !WITHOUT_INPUT.contains(name);
    let sql_type = match native.filter(known).or_else(|| base_of(field).filter(known)) {
        Some(name) => name.to_owned(),
        // Its own type is not there: its text is kept.
        None if native.is_some() && matches!(field.data_type(), DataType::Utf8) => "text".to_owned(),
        None => type_name(&plain(field))?,
    };
    Ok(ddl::NewColumn {
        name: field.name().clone(),
        sql_type,
        not_null: !field.is_nullable(),
        comment: field.metadata().get(schema::COMMENT).cloned(),
    })
}

/// The type that the server knows under `name`, with the modifiers that stand in it.
fn resolve(catalog: &Catalog, name: &str) -> Resolved {
    let resolved = catalog.named(name, -1);
    let Some(mut resolved) = resolved else {
        return Resolved { oid: 25, scalar: 25, modifier: -1, fixed: false, layout: Layout::Text };
    };
    if let Some(modifier) = fate::modifier(resolved.scalar, name) {
        resolved.modifier = modifier;
    }
    resolved
}

/// Whether a column can only be sent as text.
fn needs_text(catalog: &Catalog, offer: Offer<'_>, place: &Resolved) -> bool {
    if wire_form(catalog, offer, place) {
        return false;
    }
    match &place.layout {
        Layout::Other => true,
        Layout::Array { element, .. } => {
            is_text(offer.arrow.data_type()) || **element == Layout::Other || native_text(catalog, offer, place)
        }
        _ => false,
    }
}

/// Whether the native form is the wire form of exactly the target's type.
fn wire_form(catalog: &Catalog, offer: Offer<'_>, place: &Resolved) -> bool {
    let Some(native) = offer.native else { return false };
    let form = native.metadata().get(schema::FORM).map(String::as_str);
    form == Some(schema::WIRE) && native_oid(catalog, native) == Some(place.oid) && {
        // The elements of an array are not looked into: its modifiers must already hold.
        check_of(catalog, native, place) == Check::None || !matches!(place.layout, Layout::Array { .. })
    }
}

/// Whether the native form is the text of exactly the target's type.
fn native_text(catalog: &Catalog, offer: Offer<'_>, place: &Resolved) -> bool {
    let Some(native) = offer.native else { return false };
    let form = native.metadata().get(schema::FORM).map(String::as_str);
    form == Some(schema::TEXT) && native_oid(catalog, native) == Some(place.oid)
}

/// The OID in the target of the type below `native`'s domains.
fn native_oid(catalog: &Catalog, native: &Field) -> Option<u32> {
    catalog.named(offered_type(native)?, -1).map(|resolved| resolved.oid)
}

/// What must be looked at in values of `field` before the server rounds or cuts them.
fn check_of(catalog: &Catalog, field: &Field, place: &Resolved) -> Check {
    if place.fixed && native_oid(catalog, field) == Some(place.oid) {
        return Check::None;
    }
    fate::check(place, schema::native_of(field, PRODUCT).and(offered_type(field)))
}

/// The name of the offered type below its domains, with its modifiers.
fn offered_type(native: &Field) -> Option<&str> {
    base_of(native).or_else(|| schema::native_of(native, PRODUCT))
}

impl Matched {
    fn empty(format: Format) -> Self {
        Self { plans: Vec::new(), target: Arc::new(Schema::empty()), copied: Vec::new(), format, raw: None, same: true }
    }

    fn drop(&mut self, name: &str, why: &str) {
        self.plans.push(ColumnPlan::dropped(name, why));
    }

    fn take(&mut self, catalog: &Catalog, offer: Offer<'_>, place: &Place<'_>) -> Result<()> {
        self.same &= native_oid(catalog, offer.arrow) == Some(place.resolved.oid);
        let chosen = choose(catalog, offer, place, self.format);
        let Chosen { field, column, form, fate, note } = chosen.map_err(|error| error.at("column", place.name))?;
        self.plans.push(ColumnPlan {
            incoming: Some(offer.arrow.name().clone()),
            form,
            fate,
            note,
            ..ColumnPlan::exact(place.name, place.shown)
        });
        let mut fields: Vec<FieldRef> = self.target.fields().iter().cloned().collect();
        fields.push(Arc::new(field));
        self.target = Arc::new(Schema::new(fields));
        self.copied.push(column);
        Ok(())
    }

    /// Notes the raw encoding when every column is the incoming one, unchecked and of the same built-in type.
    fn finish(mut self, incoming: &TableShape) -> Self {
        let same = self.same
            && self.copied.len() == incoming.schema.fields().len()
            && self.copied.iter().all(|column| column.check == Check::None);
        let word = |field: &FieldRef| {
            let native = schema::native_of(field, PRODUCT)?;
            Some(base_of(field).unwrap_or(native).to_owned())
        };
        let columns: Option<Vec<String>> = incoming.schema.fields().iter().map(word).collect();
        self.raw = columns.filter(|_| same).map(|columns| Encoding { name: ENCODING.to_owned(), columns });
        self
    }
}

/// Form, Arrow type and fate of one column.
fn choose(catalog: &Catalog, offer: Offer<'_>, place: &Place<'_>, format: Format) -> Result<Chosen> {
    let Place { name, resolved, .. } = place;
    let layout = resolved.layout.clone();
    let nullable = !place.not_null;
    let wire = wire_form(catalog, offer, resolved) && (format == Format::Binary || wire_readable(&layout));
    if let (Some(native), true) = (offer.native, wire || native_text(catalog, offer, resolved)) {
        let check = check_of(catalog, native, resolved);
        let fate = if check == Check::None { ColumnFate::Exact } else { ColumnFate::Lossy };
        let note = (check != Check::None).then(|| format!("a value that does not fit {} is refused", place.shown));
        let field = native.clone().with_name(*name).with_nullable(nullable);
        let column = Column { name: (*name).to_owned(), layout, wire, check };
        return Ok(Chosen { field, column, form: Form::Native, fate, note });
    }
    if let Some(native) = offer.native.filter(|native| fate::takes_infinity(resolved, native)) {
        let check = check_of(catalog, offer.arrow, resolved);
        let field = native.clone().with_name(*name).with_nullable(nullable);
        let (fate, note) = fate::of(native, &field, resolved, check);
        let column = Column { name: (*name).to_owned(), layout, wire: true, check };
        return Ok(Chosen { field, column, form: Form::Native, fate, note });
    }
    let from = offer.arrow.data_type();
    let wanted = fate::arrow_for(resolved, from).ok_or_else(|| no_way(from, place.shown))?;
    let mut field = Field::new(*name, wanted, nullable);
    for key in [schema::EXTENSION, schema::NATIVE] {
        let kept = offer.arrow.metadata().get(key).filter(|_| field.data_type() == from);
        if let Some(value) = kept {
            field = schema::with_metadata(field, key, value);
        }
    }
    if !possible(offer.arrow, &field) {
        return Err(no_way(from, place.shown).with_hint(remedy(offer.arrow, &field)));
    }
    let check = fate::left(check_of(catalog, offer.arrow, resolved), from, field.data_type());
    if let (Check::Characters(most), Layout::Text) = (check, &resolved.layout) {
        // The engine looks at it before, row by row. Of an array it is the length of the elements.
        field = schema::with_metadata(field, schema::MAX_CHARS, &most.to_string());
    }
    if let (Check::Micros(step), false) = (check, matches!(resolved.layout, Layout::Array { .. })) {
        field = schema::with_metadata(field, schema::STEP_MICROS, &step.to_string());
    }
    let (fate, note) = if check == Check::None && native_oid(catalog, offer.arrow) == Some(resolved.oid) {
        (ColumnFate::Exact, None)
    } else {
        fate::of(offer.arrow, &field, resolved, check)
    };
    let column = Column { name: (*name).to_owned(), layout, wire: false, check };
    Ok(Chosen { field, column, form: Form::Arrow, fate, note })
}

fn no_way(from: &DataType, shown: &str) -> Error {
    Error::new(ErrorKind::Schema, format!("values of the type {from} have no way into {shown}"))
        .with_hint("convert the column with --set or --cast, or leave it out with --drop")
}
