//! How rows land: the pure part of the sink. What it decides the plan shows, and writers and commit do.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use serde::{Deserialize, Serialize};

use super::catalog::{FilledBy, Table};
use super::ddl;
use super::name::{Name, check_name, identifiers};
use super::typemap::{Kind, SqlType};
use crate::error::{Error, ErrorKind, Result};
use crate::reject::Refusals;
use crate::sink::{Agreement, ColumnFate, Guarantee, Kept, Publish, Visible, WriteMode, WriteRequest, Writers};
use crate::source::TableShape;
use crate::sql::beside::Before;
use crate::sql::columns::{Draft, Known, Names, refuse_none};

/// What is known of the target before the agreement.
#[derive(Debug)]
pub(super) enum Target {
    /// Its schema is named.
    Missing(Name),
    Table {
        table: Box<Table>,
        filled: bool,
    },
}

/// A column that is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Column {
    pub(super) name: String,
    /// The type as SQL has it.
    pub(super) declared: String,
    /// Where it is not that of the database.
    pub(super) collation: Option<String>,
    pub(super) not_null: bool,
}

/// What writers and commit need to know; private to this connector.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Detail {
    pub(super) target: Name,
    /// The columns that are written, in the order of the agreement's target.
    pub(super) columns: Vec<Column>,
    /// The statement that makes the target; none when it is there.
    pub(super) create: Option<String>,
    /// What becomes of rows that are there.
    pub(super) before: Before,
    /// Whether a column is written that the server would number by itself.
    pub(super) numbers: Numbers,
    /// Which job it is: one run of it alone writes at a time.
    pub(super) job: Option<String>,
    /// Bytes that one writer may hold.
    pub(super) memory_bytes: u64,
}

/// Who numbers the rows of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Numbers {
    /// Nobody, or the server.
    AsItIs,
    /// What comes, into a column with IDENTITY.
    Given,
}

impl Detail {
    /// What stands in `agreement`.
    pub(super) fn of(agreement: &Agreement) -> Result<Self> {
        Self::deserialize(&agreement.detail).map_err(|source| {
            Error::new(ErrorKind::Internal, "this is not an agreement with SQL Server").with_source(source)
        })
    }

    /// What the columns hold.
    pub(super) fn kinds(&self) -> Result<Vec<Kind>> {
        let lost = || Error::new(ErrorKind::Internal, "the agreement names a type that is not known");
        let kind = |column: &Column| SqlType::declared(&column.declared).map(|sql_type| sql_type.kind).ok_or_else(lost);
        self.columns.iter().map(kind).collect()
    }

    /// Whom the locks on a target that is there keep waiting.
    pub(super) fn holds_up(&self) -> Option<&'static str> {
        match (&self.create, self.before) {
            (Some(_), _) => None,
            (None, Before::Refuse | Before::Empty) => Some(
                "while rows are inserted at the end nobody else can write into the table, nor read it unless under SNAPSHOT or \
                 READ_COMMITTED_SNAPSHOT",
            ),
            (None, Before::Keep) => Some(
                "while rows are inserted at the end others wait who come to one of them; where they are thousands, the server may lock \
                 the whole table",
            ),
        }
    }

    /// Inserts the rows of `stage`, which is quoted, into the target.
    pub(super) fn insert(&self, stage: &str) -> String {
        let columns = identifiers(self.columns.iter().map(|column| column.name.as_str()));
        let staged: Vec<String> = (0..self.columns.len()).map(ddl::staged).collect();
        // Nobody else looks at a table that is new or emptied.
        let lock = if self.create.is_some() || self.before == Before::Empty { " WITH (TABLOCK)" } else { "" };
        format!("INSERT INTO {}{lock} ({columns}) SELECT {} FROM {stage}", self.target.quoted(), staged.join(", "))
    }
}

/// How `incoming` lands in `target`.
pub(super) fn agree(incoming: &TableShape, request: &WriteRequest, target: &Target) -> Result<Agreement> {
    if let WriteMode::Upsert(_) | WriteMode::Sync(_) | WriteMode::Changes { .. } = &request.mode {
        let message = "rows that replace others by their key are not written into SQL Server yet";
        return Err(Error::new(ErrorKind::Unsupported, message)
            .with_hint("append to a table beside it and MERGE that one by --post-sql, or use --mode replace"));
    }
    refuse_none(incoming)?;
    let (name, agreed) = match target {
        Target::Missing(name) => (name, missing(incoming, request, name)),
        Target::Table { table, filled } => (&table.name, existing(incoming, request, (table.as_ref(), *filled))),
    };
    agreed.map_err(|error| error.at("table", name.quoted()))
}

fn missing(incoming: &TableShape, request: &WriteRequest, name: &Name) -> Result<Agreement> {
    check_name(&name.table, "table")?;
    for field in incoming.schema.fields() {
        check_name(field.name(), "column")?;
    }
    Names::AnyCase.refuse_doubled(incoming.schema.fields(), "SQL Server")?;
    let key = incoming.whole_key();
    let mut draft = Draft::default();
    let mut columns = Vec::new();
    for field in incoming.schema.fields() {
        let sql_type = ddl::new_type(field, key.contains(field.name()))?;
        let not_null = !field.is_nullable() || key.contains(field.name());
        columns.push((field.name().as_str(), sql_type.clone(), not_null));
        fill(&mut draft, field, Place { name: field.name(), sql_type: &sql_type, not_null, collation: None })?;
    }
    let create = ddl::create(&name.quoted(), &columns, key);
    let detail = Detail {
        target: name.clone(),
        columns: draft.types.clone(),
        create: Some(create),
        before: Before::Keep,
        numbers: Numbers::AsItIs,
        job: request.job.clone(),
        memory_bytes: request.memory_bytes,
    };
    finish(request, draft, &detail)
}

fn existing(incoming: &TableShape, request: &WriteRequest, (table, filled): (&Table, bool)) -> Result<Agreement> {
    if table.is_view {
        return Err(Error::new(ErrorKind::Unsupported, "it is a view: rows go into tables only"));
    }
    if request.mode == WriteMode::Create && filled {
        return Err(has_rows());
    }
    let known: Vec<Known<'_>> = table.columns.iter().map(super::catalog::Column::matched).collect();
    let mut numbers = Numbers::AsItIs;
    let draft = Draft::matched(incoming, (&known, Names::AnyCase), request.schema, |draft, field, place| {
        let column = &table.columns[place];
        if column.filled_by == FilledBy::Identity {
            numbers = Numbers::Given;
        }
        let place = Place {
            name: &column.name,
            sql_type: column.known()?,
            not_null: !column.nullable,
            collation: column.collation.as_deref(),
        };
        fill(draft, field, place)
    })?;
    let detail = Detail {
        target: table.name.clone(),
        columns: draft.types.clone(),
        create: None,
        before: Before::of(&request.mode),
        numbers,
        job: request.job.clone(),
        memory_bytes: request.memory_bytes,
    };
    finish(request, draft, &detail)
}

/// The error of a table with rows where none may be.
pub(super) fn has_rows() -> Error {
    Error::new(ErrorKind::AlreadyExists, "the table exists and has rows")
        .with_hint("use --mode append to add to them, or --mode replace")
}

/// Where a column goes.
#[derive(Clone, Copy)]
struct Place<'a> {
    name: &'a str,
    sql_type: &'a SqlType,
    not_null: bool,
    collation: Option<&'a str>,
}

fn fill(draft: &mut Draft<Column>, from: &Field, place: Place<'_>) -> Result<()> {
    let Place { name, sql_type, not_null, collation } = place;
    let to = sql_type.arrow_field(name, !not_null);
    let to = to.clone().with_data_type(reached(from.data_type(), to.data_type(), sql_type.kind));
    let column = Column {
        name: name.to_owned(),
        declared: sql_type.name.clone(),
        collation: collation.map(str::to_owned),
        not_null,
    };
    let plan = draft.fill(from, to, (sql_type.name.as_str(), column))?;
    let note = note(sql_type.kind, from.data_type());
    // A value that the type would change is refused before the server sees it, or before it is seen.
    if note.is_some() && plan.fate == ColumnFate::Exact && !is_own(from, sql_type) {
        plan.fate = ColumnFate::Lossy;
    }
    plan.note = note.map(str::to_owned);
    Ok(())
}

/// Whether `from` comes from a column of the same type of SQL Server.
fn is_own(from: &Field, sql_type: &SqlType) -> bool {
    crate::schema::native_of(from, super::typemap::PRODUCT).is_some_and(|native| native == sql_type.name)
}

/// In which form the engine delivers a column. Seven digits of a second need nanoseconds, which reach no further than 2262: what has
/// fewer comes in microseconds.
fn reached(from: &DataType, to: &DataType, kind: Kind) -> DataType {
    let is_fine = |unit: TimeUnit| unit == TimeUnit::Nanosecond;
    match (kind, from) {
        (Kind::DateTime2(7), DataType::Timestamp(unit, _)) if is_fine(*unit) => to.clone(),
        (Kind::DateTime2(7), _) => DataType::Timestamp(TimeUnit::Microsecond, None),
        (Kind::DateTimeOffset(7), DataType::Timestamp(unit, _)) if is_fine(*unit) => to.clone(),
        (Kind::DateTimeOffset(7), _) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        _ => to.clone(),
    }
}

/// What the user should know of a column of `kind` that gets values of `from`.
fn note(kind: Kind, from: &DataType) -> Option<&'static str> {
    let is_nano = |data_type: &DataType| {
        matches!(data_type, DataType::Timestamp(TimeUnit::Nanosecond, _) | DataType::Time64(TimeUnit::Nanosecond))
    };
    match kind {
        Kind::Text(_) => Some("letters that its code page lacks are refused before the commit"),
        Kind::Real | Kind::Float => Some("NaN and infinities, which SQL Server has not, are refused"),
        Kind::DateTime => Some("it keeps steps of 1/300 s from 1753 on: what would be moved is refused"),
        Kind::SmallDateTime => Some("it keeps minutes from 1900 to 2079: what would be moved is refused"),
        Kind::Xml => Some("the server takes it apart: spaces between elements and the like are not kept"),
        Kind::DateTime2(7) | Kind::DateTimeOffset(7) | Kind::Time(7) if is_nano(from) => {
            Some("it keeps steps of 100 ns: what lies between is refused")
        }
        Kind::Date | Kind::DateTime2(_) | Kind::DateTimeOffset(_) => Some("it has the years 1 to 9999"),
        _ => None,
    }
}

fn finish(request: &WriteRequest, draft: Draft<Column>, detail: &Detail) -> Result<Agreement> {
    let mut notes = vec![
        "each attempt of a task fills a table of its own beside the target; the last step, one transaction, brings all rows into it"
            .to_owned(),
    ];
    if detail.before == Before::Empty {
        notes.push(
            "the table keeps its definition: it is emptied by DELETE and refilled in that transaction".to_owned(),
        );
    }
    if detail.numbers == Numbers::Given {
        notes.push("the numbers that come are kept, by SET IDENTITY_INSERT".to_owned());
    }
    if request.visible == Visible::PerTask {
        notes.push("all rows are seen at the end: this target knows no other way".to_owned());
    }
    Ok(Agreement {
        label: detail.target.quoted(),
        target: Arc::new(Schema::new(draft.fields)),
        columns: draft.plans,
        ddl: shown(detail),
        writers: Writers::Any,
        publish: Publish::AtOnce,
        guarantee: Guarantee::ExactlyOnce,
        kept: Kept::Tasks,
        marked: true,
        refusals: Refusals::Fail,
        task_bytes: None,
        notes,
        detail: serde_json::to_value(detail)?,
    })
}

/// The statements as the plan shows them, with the stage under a name without token.
fn shown(detail: &Detail) -> Vec<String> {
    let mut statements: Vec<String> = detail.create.iter().cloned().collect();
    if detail.before == Before::Empty {
        statements.push(format!("DELETE FROM {}", detail.target.quoted()));
    }
    statements.push(detail.insert("(stage)"));
    statements
}

#[cfg(test)]
mod tests {
    use super::super::catalog;
    use super::*;

    fn incoming(columns: &[(&str, DataType)]) -> TableShape {
        let field = |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), true);
        TableShape::of(Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())))
    }

    fn column(name: &str, declared: &str, filled_by: FilledBy) -> catalog::Column {
        catalog::Column {
            name: name.to_owned(),
            declared: declared.to_owned(),
            sql_type: SqlType::declared(declared),
            nullable: true,
            filled_by,
            collation: None,
        }
    }

    fn table(columns: Vec<catalog::Column>, filled: bool) -> Target {
        let name = Name { schema: Some("dbo".to_owned()), table: "t".to_owned() };
        let table = Table { name, is_view: false, columns, key: Vec::new(), rows: None, bytes: None };
        Target::Table { table: Box::new(table), filled }
    }

    fn two() -> Vec<catalog::Column> {
        vec![column("id", "int", FilledBy::Identity), column("note", "varchar(20)", FilledBy::Nobody)]
    }

    #[test]
    fn the_plan_says_what_is_promised() {
        let rows = incoming(&[("id", DataType::Int32), ("note", DataType::Utf8)]);
        let missing = Target::Missing(Name { schema: Some("dbo".to_owned()), table: "t".to_owned() });
        let agreement = agree(&rows, &WriteRequest::new(WriteMode::Create), &missing).unwrap();
        assert_eq!((agreement.publish, agreement.guarantee), (Publish::AtOnce, Guarantee::ExactlyOnce));
        assert_eq!(
            agreement.ddl,
            [
                "CREATE TABLE [dbo].[t] (\n  [id] int,\n  [note] nvarchar(max)\n)",
                "INSERT INTO [dbo].[t] WITH (TABLOCK) ([id], [note]) SELECT [c1], [c2] FROM (stage)",
            ]
        );
        let agreement = agree(&rows, &WriteRequest::new(WriteMode::Replace), &table(two(), true)).unwrap();
        assert_eq!(agreement.ddl[0], "DELETE FROM [dbo].[t]");
        let detail = Detail::of(&agreement).unwrap();
        assert_eq!((detail.numbers, detail.before), (Numbers::Given, Before::Empty));
        assert!(detail.holds_up().unwrap().contains("nobody else can write"));
        assert_eq!(agreement.columns[1].fate, ColumnFate::Lossy, "a code page may lack letters");
        let agreement = agree(&rows, &WriteRequest::new(WriteMode::Append), &table(two(), true)).unwrap();
        assert_eq!(agreement.ddl, ["INSERT INTO [dbo].[t] ([id], [note]) SELECT [c1], [c2] FROM (stage)"]);
    }

    #[test]
    fn what_cannot_be_done_is_refused_before() {
        let rows = incoming(&[("id", DataType::Int32), ("note", DataType::Utf8)]);
        let refused =
            |mode: WriteMode, target: &Target| agree(&rows, &WriteRequest::new(mode), target).unwrap_err().kind();
        assert_eq!(refused(WriteMode::Create, &table(two(), true)), ErrorKind::AlreadyExists);
        let merge = crate::sink::Merge::default;
        assert_eq!(refused(WriteMode::Upsert(merge()), &table(two(), true)), ErrorKind::Unsupported);
        assert_eq!(refused(WriteMode::Sync(merge()), &table(two(), true)), ErrorKind::Unsupported);
        let strange = vec![column("id", "int", FilledBy::Nobody), column("note", "sql_variant", FilledBy::Nobody)];
        assert_eq!(refused(WriteMode::Append, &table(strange, false)), ErrorKind::Unsupported);
    }

    #[test]
    fn seven_digits_do_not_narrow_what_has_six() {
        let columns = || vec![column("at", "datetime2(7)", FilledBy::Nobody)];
        for (unit, expected) in [
            (TimeUnit::Microsecond, TimeUnit::Microsecond),
            (TimeUnit::Second, TimeUnit::Microsecond),
            (TimeUnit::Nanosecond, TimeUnit::Nanosecond),
        ] {
            let rows = incoming(&[("at", DataType::Timestamp(unit, None))]);
            let agreement = agree(&rows, &WriteRequest::new(WriteMode::Append), &table(columns(), false)).unwrap();
            assert_eq!(*agreement.target.field(0).data_type(), DataType::Timestamp(expected, None));
        }
    }
}
