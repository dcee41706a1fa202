//! Matches incoming columns with the target's and chooses, for each, the form, the Arrow type and the fate.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::super::catalog::{self, Table};
use super::super::check::{Check, JsonFloats};
use super::super::config::TimeForm;
use super::super::connect::Server;
use super::super::ddl::{NewTable, new_columns};
use super::super::encode::{Column, Kept};
use super::super::name::{check_name, identifier};
use super::super::stage;
use super::super::typemap::{Kind, MyType, PRODUCT};
use crate::error::{Error, ErrorKind, Result};
use crate::fate::{fate, is_padded, is_text, plain, possible, remedy};
use crate::schema;
use crate::sink::{ColumnFate, ColumnPlan, Form, SchemaPolicy};
use crate::source::TableShape;
use crate::sql::columns::{Known, Names, Offer, offers, refuse_differences};

/// The columns as they will be written.
pub(super) struct Matched {
    pub(super) plans: Vec<ColumnPlan>,
    pub(super) target: SchemaRef,
    pub(super) columns: Vec<Column>,
    /// Of a table beside that has these columns alone.
    pub(super) definitions: Vec<String>,
    /// Whether JSON is kept as the text that it came as.
    json: JsonKept,
    zero: Zero,
}

/// What the server makes of JSON that it takes apart.
const JSON_NOTE: &str =
    "json keeps neither blanks nor the order of keys nor doubled keys; a number that it would round is refused";

/// Whether a float keeps the sign of zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zero {
    Signed,
    WithoutSign,
}

/// How the server keeps JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JsonKept {
    AsText,
    /// Taken apart: numbers are rounded that have no place in 64 bits.
    TakenApart(JsonFloats),
}

/// Where a column goes.
struct Place<'a> {
    name: &'a str,
    my_type: &'a MyType,
    nullable: bool,
    definition: String,
    /// The zone whose clock stands for its instants where the other side has no zone.
    clock: Option<&'a str>,
}

/// Matches `incoming` with the columns of `table`, by name. Those of `key` are to hold no NULL.
///
/// # Errors
/// [`Schema`](ErrorKind::Schema) listing what differs, when `policy` does not allow it.
pub(super) fn match_existing(
    table: &Table,
    incoming: &TableShape,
    (policy, key): (SchemaPolicy, &[String]),
    server: &Server,
) -> Result<Matched> {
    let known: Vec<Known<'_>> = table.columns.iter().map(catalog::Column::known).collect();
    refuse_differences(incoming, (&known, Names::AnyCase), policy)?;
    let mut matched = Matched::empty(server);
    for offer in offers(incoming) {
        let name = offer.arrow.name();
        let Some(column) = table.column(name) else {
            matched.drop(name, "the target has no such column");
            continue;
        };
        if column.generated {
            matched.drop(name, "the target computes this column");
            continue;
        }
        let my_type = column.my_type.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("type {} is not written", column.declared))
                .with_hint("leave the column out with --drop")
                .at("column", name)
        })?;
        let nullable = column.nullable && !key.contains(name);
        let definition = stage::definition(&catalog::Column { nullable, ..column.clone() });
        let clock = server.clock.as_deref();
        matched.take(offer, Place { name: &column.name, my_type, nullable, definition, clock })?;
    }
    for column in &known {
        let filled = |plan: &ColumnPlan| plan.target.as_deref() == Some(column.name);
        if !matched.plans.iter().any(filled) {
            matched.plans.push(column.added());
        }
    }
    Ok(matched)
}

/// Plans a new table for `incoming` with `key`.
pub(super) fn plan_new(incoming: &TableShape, key: &[String], server: &Server) -> Result<(Matched, NewTable)> {
    let fields = incoming.schema.fields();
    for field in fields {
        check_name(field.name(), "column")?;
    }
    Names::AnyCase.refuse_doubled(fields, "MySQL")?;
    let columns = new_columns(fields.iter().map(AsRef::as_ref), key, server)?;
    let mut matched = Matched::empty(server);
    for (offer, column) in offers(incoming).zip(&columns) {
        let my_type = type_of_new(&column.sql_type)?;
        let null = if column.not_null { "NOT NULL" } else { "NULL" };
        let definition = format!("{} {} {null}", identifier(&column.name), column.sql_type);
        let (name, nullable, clock) = (&column.name, !column.not_null, server.clock.as_deref());
        let place = Place { name, my_type: &my_type, nullable, definition, clock };
        matched.take(offer, place)?;
    }
    Ok((matched, NewTable { columns, key: key.to_vec(), comment: incoming.comment.clone() }))
}

/// What a new column of `sql_type` holds.
fn type_of_new(sql_type: &str) -> Result<MyType> {
    let plain = sql_type.split(" COLLATE ").next().unwrap_or(sql_type);
    let plain = plain.split(" CHARACTER SET ").next().unwrap_or(plain);
    MyType::declared(plain)
        .ok_or_else(|| Error::new(ErrorKind::Internal, format!("a new column cannot be of type {sql_type}")))
}

impl Matched {
    fn empty(server: &Server) -> Self {
        let json = match server.is_mariadb {
            true => JsonKept::AsText,
            // The first long-term version that was seen to do so.
            false if server.is_mysql_from(90_700) => JsonKept::TakenApart(JsonFloats::Nearest),
            false => JsonKept::TakenApart(JsonFloats::Nearby),
        };
        let zero = if server.is_mariadb { Zero::WithoutSign } else { Zero::Signed };
        let target = Arc::new(Schema::empty());
        Self { plans: Vec::new(), target, columns: Vec::new(), definitions: Vec::new(), json, zero }
    }

    fn drop(&mut self, name: &str, why: &str) {
        self.plans.push(ColumnPlan::dropped(name, why));
    }

    fn take(&mut self, offer: Offer<'_>, place: Place<'_>) -> Result<()> {
        if self.columns.iter().any(|column| column.name == place.name) {
            let error = Error::new(ErrorKind::Schema, "two columns would fill the same column of the target");
            return Err(error.at("column", offer.arrow.name()));
        }
        let (mut field, form) = form(offer, &place)?;
        let checks = checks(offer.arrow, &place, (form, self.json));
        for check in &checks {
            if let Some(step) = check.step_micros() {
                field = schema::with_metadata(field, schema::STEP_MICROS, &step.to_string());
            }
        }
        let fate = if form == Form::Native { ColumnFate::Exact } else { fate(offer.arrow, &field) };
        self.plans.push(ColumnPlan {
            incoming: Some(offer.arrow.name().clone()),
            form,
            fate: if fate == ColumnFate::Exact && !checks.is_empty() { ColumnFate::Lossy } else { fate },
            note: match place.my_type.kind {
                Kind::Float | Kind::Double if self.zero == Zero::WithoutSign => Some("zero has no sign".to_owned()),
                _ if checks.is_empty() => None,
                Kind::Json => Some(JSON_NOTE.to_owned()),
                _ => Some(format!("a value that {} would change is refused", place.my_type.name)),
            },
            ..ColumnPlan::exact(place.name, &place.my_type.name)
        });
        let mut fields: Vec<FieldRef> = self.target.fields().iter().cloned().collect();
        fields.push(Arc::new(field));
        self.target = Arc::new(Schema::new(fields));
        let kept = match place.my_type.kind {
            Kind::Json if self.json != JsonKept::AsText => Kept::WrittenAnew,
            Kind::Text if place.my_type.members().is_some() && is_padded(offer.arrow) => Kept::WithoutPadding,
            _ => Kept::AsTheyCame,
        };
        self.columns.push(Column { name: place.name.to_owned(), sql_type: place.my_type.name.clone(), checks, kept });
        self.definitions.push(place.definition);
        Ok(())
    }
}

/// The field that the engine delivers, and in which form it takes the column.
fn form(offer: Offer<'_>, place: &Place<'_>) -> Result<(Field, Form)> {
    let from = offer.arrow;
    if let Some(native) = offer.native.filter(|native| is_same_type(native, place.my_type)) {
        return Ok((native.clone().with_name(place.name).with_nullable(place.nullable), Form::Native));
    }
    let times = match plain(from.data_type()) {
        DataType::Duration(_) => TimeForm::Duration,
        // It may tell of more than a day.
        text if is_text(text) => TimeForm::Duration,
        _ => TimeForm::Time,
    };
    let mut field = place.my_type.arrow_field(place.name, place.nullable, times);
    if place.my_type.kind == Kind::Text && schema::is_uuid(from) {
        // Its text has always 36 letters.
        field = Field::new(place.name, DataType::Utf8, place.nullable);
    }
    if let (Kind::Timestamp(_), Some(clock)) = (place.my_type.kind, place.clock) {
        field = schema::with_metadata(field, schema::CLOCK, clock);
    }
    if !possible(from, &field) {
        let message = format!("no cast leads from {} to {}", from.data_type(), place.my_type.name);
        return Err(Error::new(ErrorKind::Schema, message).with_hint(remedy(from, &field)).at("column", from.name()));
    }
    Ok((field, Form::Arrow))
}

/// Whether `native` is the text of a date or a time of the target's own type, with no more digits than that keeps.
fn is_same_type(native: &Field, target: &MyType) -> bool {
    let source = schema::native_of(native, PRODUCT).and_then(MyType::declared);
    let is_text = native.metadata().get(schema::FORM).is_some_and(|form| form == schema::TEXT);
    let fits = |source: &MyType| match (source.kind, target.kind) {
        (Kind::Date, Kind::Date) => true,
        (Kind::DateTime(have), Kind::DateTime(room))
        | (Kind::Timestamp(have), Kind::Timestamp(room))
        | (Kind::Time(have), Kind::Time(room)) => have <= room,
        _ => false,
    };
    is_text && source.as_ref().is_some_and(fits)
}

/// What has to be looked at in values of `from` before the server would change them.
fn checks(from: &Field, place: &Place<'_>, (form, json): (Form, JsonKept)) -> Vec<Check> {
    let source = schema::native_of(from, PRODUCT).and_then(MyType::declared);
    // JSON is looked at whatever it was: MariaDB has it as text, and MySQL prints decimals that it would read as floats.
    let is_json = place.my_type.kind == Kind::Json;
    if form == Form::Native || source.as_ref() == Some(place.my_type) && !is_json {
        return Vec::new();
    }
    let digits = |digits: u8| (digits < 6).then_some(Check::Digits(digits));
    let word = place.my_type.name.as_str();
    match place.my_type.kind {
        Kind::Date => vec![Check::Years],
        Kind::DateTime(kept) => [Some(Check::Years), digits(kept)].into_iter().flatten().collect(),
        Kind::Timestamp(kept) => [Some(Check::Instants), digits(kept)].into_iter().flatten().collect(),
        Kind::Time(kept) => [Some(Check::Times), digits(kept)].into_iter().flatten().collect(),
        // Spaces at the end of a `char(n)` mean nothing in any product.
        Kind::Text if word.starts_with("char(") && !is_padded(from) => vec![Check::TrailingSpaces],
        Kind::Binary => match word.strip_prefix("binary(").and_then(|rest| rest.trim_end_matches(')').parse().ok()) {
            Some(width) => vec![Check::Width(width)],
            None => Vec::new(),
        },
        Kind::Text => {
            let check: fn(Vec<String>) -> Check = if word.starts_with("set(") { Check::SomeOf } else { Check::OneOf };
            place.my_type.members().map(check).into_iter().collect()
        }
        Kind::Year => vec![Check::FullYears],
        Kind::Float | Kind::Double => place.my_type.rounds_to().map(Check::Decimals).into_iter().collect(),
        Kind::Json => match json {
            JsonKept::TakenApart(floats) => vec![Check::JsonNumbers(floats)],
            JsonKept::AsText => Vec::new(),
        },
        _ => Vec::new(),
    }
}
