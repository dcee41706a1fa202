//! Reading one table, view or query: SELECTs over ranges of the row id, whose Arrow batches are cut to size.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::logical_expr::Expr;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::batches::Batches;
use super::catalog::{self, Relation, Shape};
use super::database::Connection;
use super::decode::{INFINITE, decode, text_of};
use super::form::Form;
use super::memory::COLUMN_BYTES;
use super::session::Pool;
use super::typemap::{Kind, Way};
use crate::attempt::Attempt;
use crate::bridge::blocking::Outlet;
use crate::endpoint::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::cut::Cutter;
use crate::formats::exchange::{self, Fit, Misfit};
use crate::reject::{Sifted, Tray};
use crate::schema::{COMMENT, batch_bytes, with_metadata};
use crate::shape::counted;
use crate::source::{BatchStream, Cut, Pushdown, ReadPlan, Scan, Source, Split, SplitGoal, TableShape};
use crate::sql::dialect::{Dialect as _, DuckDb};
use crate::sql::filter::{self, Column, Columns, Compares};
use crate::sql::keyset::KeyRange;
use crate::sql::select::{list, select};

/// Rows of a row group: DuckDB reads and skips whole ones, so a split is made of them.
pub(super) const GROUP_ROWS: u64 = 122_880;
const MOST_SPLITS: u64 = 10_000;
/// Rows by which the width of a row is judged.
const SAMPLE_ROWS: usize = 2000;
/// Rows that a reader holds at once: DuckDB reads 2048 at a time, and a few such pieces are on their way.
const HELD_ROWS: u64 = 4 * 2048;

/// One object of a session.
#[derive(Debug)]
pub(super) struct DuckdbSource {
    pool: Arc<Pool>,
    object: ObjectRef,
    described: OnceCell<Arc<Described>>,
}

/// A relation and its size.
#[derive(Debug)]
struct Described {
    relation: Relation,
    /// Rows of a table, and one more than its greatest row id.
    rows: Option<u64>,
    end: u64,
    row_bytes: u64,
    /// Whether what is needed to read it was too little once.
    is_greedy: AtomicBool,
}

/// What a split holds: a range of the row id.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    range: KeyRange,
}

impl DuckdbSource {
    pub(super) fn new(pool: Arc<Pool>, object: ObjectRef) -> Self {
        Self { pool, object, described: OnceCell::new() }
    }

    async fn described(&self) -> Result<&Arc<Described>> {
        let look = async || {
            let object = self.object.clone();
            let lease = self.pool.readers.lease().await?;
            let work = move |connection: &mut Connection| {
                connection.needs_all();
                let relation = catalog::relation(connection, &object);
                let described = relation.and_then(|relation| Described::of(connection, relation));
                connection.needs(0);
                described.map(Arc::new)
            };
            lease.worker().call(work).await.map_err(|error| self.pool.place(error))
        };
        self.described.get_or_try_init(look).await
    }
}

impl Described {
    fn of(connection: &mut Connection, relation: Relation) -> Result<Self> {
        let mut described = Self { rows: None, end: 0, row_bytes: 0, is_greedy: AtomicBool::new(false), relation };
        let Shape::Table { rowid } = described.relation.shape else { return Ok(described) };
        let table = described.relation.sql();
        let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
        let rows = number(connection.number(&format!("SELECT count(*) FROM {table}"))?).unwrap_or(0);
        described.rows = Some(rows);
        if rowid && rows > 0 {
            let last = connection.number(&format!("SELECT max(rowid) FROM {table}"))?;
            described.end = number(last).map_or(0, |last| last + 1);
        }
        let columns = &described.relation.columns;
        let places: Vec<usize> = (0..columns.len()).filter(|place| columns[*place].kind.is_some()).collect();
        let schema = Arc::new(described.relation.schema().project(&places)?);
        let select = Select::new(&described.relation, &schema, &[], Some(SAMPLE_ROWS as u64))?;
        let (mut sampled, mut bytes) = (0, 0);
        select.each(connection, |(batch, _)| {
            sampled += batch.num_rows() as u64;
            bytes += batch_bytes(&batch) as u64;
            Ok(true)
        })?;
        described.row_bytes = bytes / sampled.max(1);
        Ok(described)
    }

    /// What `connection` needs to read `columns` columns of it, as far as that can be told: all, where something is computed, or where
    /// the file may change, since then nothing could be read anew.
    fn needed(&self, connection: &Connection, columns: usize) -> u64 {
        let is_modest = self.relation.is_table() && !connection.database().is_writable();
        if !is_modest || self.is_greedy.load(Ordering::Relaxed) {
            return u64::MAX;
        }
        modest_bytes(columns, self.row_bytes)
    }

    /// Runs `read`, which reads `columns` columns of it, with what that needs.
    fn reading(
        &self,
        connection: &mut Connection,
        columns: usize,
        read: impl FnOnce(&mut Connection) -> Result<()>,
    ) -> Result<()> {
        let needed = self.needed(connection, columns);
        connection.needs(needed);
        let done = read(connection);
        if connection.has_all() {
            self.is_greedy.store(true, Ordering::Relaxed);
        }
        connection.needs(0);
        done
    }
}

/// What DuckDB needs to read `columns` columns of rows of `row_bytes`, if none is much longer.
fn modest_bytes(columns: usize, row_bytes: u64) -> u64 {
    (columns as u64 * COLUMN_BYTES).saturating_add(row_bytes.saturating_mul(HELD_ROWS))
}

impl Relation {
    /// Its columns in their Arrow form. Those that are not read are among them, as bytes: a plan that wants one is refused.
    fn schema(&self) -> SchemaRef {
        let field = |column: &catalog::Column| {
            let field = match &column.kind {
                Some(kind) => kind.column(&column.name, !column.not_null),
                None => Field::new(&column.name, DataType::Binary, !column.not_null),
            };
            match &column.comment {
                Some(comment) => with_metadata(field, COMMENT, comment),
                None => field,
            }
        };
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    /// What the values of the column called `name` are.
    fn kind(&self, name: &str) -> Result<&Kind> {
        let column = self.columns.iter().find(|column| column.name == name);
        let missing = || Error::new(ErrorKind::NotFound, "there is no such column").at("column", name);
        column.ok_or_else(missing).and_then(catalog::Column::kind).map_err(|error| error.at("table", self.shown()))
    }

    /// The native forms of its columns, beside `arrow`, their Arrow forms.
    fn native(&self, arrow: &Schema) -> Vec<Option<FieldRef>> {
        let native = |(column, field): (&catalog::Column, &FieldRef)| {
            let native = column.kind.as_ref()?.native(&column.name, field.is_nullable())?;
            let comment = field.metadata().get(COMMENT);
            Some(Arc::new(comment.map_or(native.clone(), |comment| with_metadata(native, COMMENT, comment))))
        };
        self.columns.iter().zip(arrow.fields()).map(native).collect()
    }
}

#[async_trait]
impl Source for DuckdbSource {
    async fn describe(&self) -> Result<TableShape> {
        let described = self.described().await?;
        let relation = &described.relation;
        let schema = relation.schema();
        Ok(TableShape {
            native: relation.native(&schema),
            key: relation.key.clone(),
            comment: relation.comment.clone(),
            rows: described.rows,
            bytes: described.rows.map(|rows| rows.saturating_mul(described.row_bytes)),
            ..TableShape::of(schema)
        })
    }

    fn pushdown(&self, shape: &TableShape, filter: &Expr) -> Pushdown {
        let relation = self.described.get().map(|described| &described.relation);
        filter::pushdown(filter, &Facts { schema: &shape.schema, relation }, &DuckDb)
    }

    async fn plan(&self, scan: &Scan, goal: &SplitGoal) -> Result<ReadPlan> {
        let described = self.described().await?;
        for field in scan.schema.fields() {
            described.relation.kind(field.name()).map_err(|error| self.pool.place(error))?;
        }
        let mut notes = self.pool.notes.clone();
        let ranges = ranges(described, scan, goal, self.pool.readers.count(), &mut notes);
        let rows = described.rows.map(|rows| rows / ranges.len() as u64);
        let split = |(id, range): (usize, &KeyRange)| {
            let detail = serde_json::to_value(Detail { range: *range })?;
            let bytes = rows.map(|rows| rows.saturating_mul(described.row_bytes));
            Ok(Split { id: id as u32, source: 0, rows, bytes, place: range.shown("row ids"), detail })
        };
        let splits = ranges.iter().enumerate().map(split).collect::<Result<Vec<_>>>()?;
        // One range means all rows at any time; a row gets another id where the file is written anew.
        let cut = if splits.len() == 1 { Cut::ByKey } else { Cut::Fastest };
        Ok(ReadPlan { splits, notes, cut, ..ReadPlan::default() })
    }

    async fn read(
        &self,
        scan: &Scan,
        split: &Split,
        _attempt: &Attempt,
        tray: Option<&Arc<Tray>>,
    ) -> Result<BatchStream> {
        let described = Arc::clone(self.described().await?);
        let detail: Detail = serde_json::from_value(split.detail.clone())?;
        let (conditions, exact) = conditions(&described.relation, scan, &detail.range)?;
        let limit = scan.limit.filter(|_| exact);
        let select = Select::new(&described.relation, &scan.schema, &conditions, limit)?;
        let cutter = Cutter::new(Arc::clone(&scan.schema), scan.batch_rows, scan.batch_bytes);
        let lease = self.pool.readers.lease().await?;
        let (pool, tray) = (Arc::clone(&self.pool), tray.cloned());
        let columns = scan.schema.flattened_fields().len();
        lease
            .stream(move |connection, outlet| {
                let pour = |connection: &mut Connection| select.pour(connection, cutter, (tray.as_deref(), outlet));
                described.reading(connection, columns, pour).map_err(|error| pool.place(error))
            })
            .await
    }
}

/// Which ranges of the row id become splits.
fn ranges(
    described: &Described,
    scan: &Scan,
    goal: &SplitGoal,
    readers: usize,
    notes: &mut Vec<String>,
) -> Vec<KeyRange> {
    let whole = |notes: &mut Vec<String>, why: &str| {
        notes.push(format!("one stream: {why}"));
        vec![KeyRange::ALL]
    };
    match described.relation.shape {
        Shape::View => return whole(notes, "a view has no row ids to cut it by"),
        Shape::Query(_) => return whole(notes, "a query has no row ids to cut it by"),
        Shape::Table { rowid: false } => return whole(notes, "a column of the table hides its row ids"),
        Shape::Table { rowid: true } => {}
    }
    if goal.cut == Cut::ByKey {
        return whole(notes, "row ids are no key");
    }
    if readers == 1 || goal.channels == 1 {
        return whole(notes, "there is one reader");
    }
    if described.end <= GROUP_ROWS {
        return whole(notes, "the table has one group of rows");
    }
    if scan.limit.is_some_and(|limit| limit < GROUP_ROWS) {
        return whole(notes, "few rows are wanted");
    }
    let groups = described.end.div_ceil(GROUP_ROWS);
    let bytes = described.rows.unwrap_or(0).saturating_mul(described.row_bytes);
    let by_size = bytes.div_ceil(goal.split_bytes.max(1)).max(goal.channels as u64);
    let wanted = by_size.min(groups).clamp(1, MOST_SPLITS);
    let borders: Vec<i64> = (1..wanted).map(|place| ((groups * place / wanted) * GROUP_ROWS) as i64).collect();
    notes.push(format!(
        "{} of {} of rows: {} rows of about {} bytes, {} bytes a split",
        counted(wanted as usize, "range"),
        counted(groups as usize, "group"),
        described.rows.unwrap_or(0),
        described.row_bytes,
        goal.split_bytes
    ));
    KeyRange::between(&borders)
}

/// What filters may know of the columns of a shape.
struct Facts<'a> {
    schema: &'a SchemaRef,
    relation: Option<&'a Relation>,
}

impl Columns for Facts<'_> {
    fn column(&self, name: &str) -> Option<Column<'_>> {
        let (_, field) = self.schema.column_with_name(name)?;
        let column = self.relation?.columns.iter().find(|column| column.name == name)?;
        let compares = match column.kind.as_ref()? {
            Kind::Boolean | Kind::Integer { .. } | Kind::Float | Kind::Double | Kind::Date => Compares::Order,
            Kind::Timestamp(_) | Kind::Instant => Compares::Order,
            Kind::Text if !column.collated => Compares::Order,
            _ => Compares::No,
        };
        Some(Column { sql: DuckDb.identifier(name).into(), data_type: field.data_type(), compares })
    }
}

/// One SELECT and how its rows become batches.
pub(super) struct Select {
    sql: String,
    object: String,
    schema: SchemaRef,
    kinds: Vec<Kind>,
}

impl Select {
    fn new(relation: &Relation, schema: &SchemaRef, conditions: &[String], limit: Option<u64>) -> Result<Self> {
        let kinds = schema.fields().iter().map(|field| relation.kind(field.name()).cloned()).collect::<Result<_>>()?;
        Ok(Self::of(&relation.sql(), (schema, kinds), conditions, limit).named(relation.shown()))
    }

    /// The columns of `schema`, which are of `kinds`, out of `from`, which is quoted.
    pub(super) fn of(
        from: &str,
        (schema, kinds): (&SchemaRef, Vec<Kind>),
        conditions: &[String],
        limit: Option<u64>,
    ) -> Self {
        let column = |(field, kind): (&Arc<Field>, &Kind)| {
            let name = DuckDb.identifier(field.name());
            let carrier = if Form::of(field) == Form::Text { Some(Kind::Text) } else { kind.carrier(Way::Out) };
            match carrier {
                Some(carrier) => format!("CAST({name} AS {}) AS {name}", carrier.sql()),
                None => name,
            }
        };
        let columns: Vec<String> = schema.fields().iter().zip(&kinds).map(column).collect();
        let sql = select(&list(&columns), from, conditions, limit);
        Self { sql, object: from.to_owned(), schema: Arc::clone(schema), kinds }
    }

    fn named(self, object: String) -> Self {
        Self { object, ..self }
    }

    /// Hands the batches of DuckDB over, decoded, until `take` has enough.
    pub(super) fn each(&self, connection: &mut Connection, mut take: impl FnMut(Sifted) -> Result<bool>) -> Result<()> {
        let mut before = 0;
        for batch in Batches::of(connection, &self.sql) {
            let batch = batch?;
            let sifted = exchange::sift(&self.schema, &batch, &Rows { select: self, before });
            if !sifted.and_then(&mut take).map_err(|error| error.at("table", &self.object))? {
                return Ok(());
            }
            before += batch.num_rows() as u64;
        }
        Ok(())
    }

    /// All rows, cut to size; ends early when nobody reads any more.
    fn pour(
        &self,
        connection: &mut Connection,
        mut cutter: Cutter,
        (tray, outlet): (Option<&Tray>, &Outlet),
    ) -> Result<()> {
        let mut wanted = true;
        self.each(connection, |sifted| {
            wanted = cutter.add_sifted(tray, sifted, |batch| outlet.send(batch))?;
            Ok(wanted)
        })?;
        if wanted && let Some(rest) = cutter.end()? {
            outlet.send(rest);
        }
        Ok(())
    }
}

/// Rows that a SELECT gave, before which it gave others.
struct Rows<'a> {
    select: &'a Select,
    before: u64,
}

impl exchange::Decoder for Rows<'_> {
    fn array(&self, position: usize, given: &ArrayRef) -> Fit {
        let form = Form::of(self.select.schema.field(position));
        let kind = if form == Form::Text { &Kind::Text } else { &self.select.kinds[position] };
        decode(kind, form, given)
    }

    fn text(&self, position: usize, given: &ArrayRef, row: usize) -> Option<String> {
        text_of(&self.select.kinds[position], given, row)
    }

    fn error(&self, position: usize, misfit: Misfit) -> Error {
        let hint = match misfit.why.as_str() {
            INFINITE => {
                "cast it to VARCHAR in a --query, leave it out with --drop, or write to DuckDB or PostgreSQL, which can hold it"
            }
            _ => "cast it to VARCHAR in a --query, or leave it out with --drop",
        };
        misfit.unread(self.select.schema.field(position).name(), self.before).with_hint(hint)
    }
}

/// The conditions of a scan, and whether they keep exactly the rows that are wanted.
fn conditions(relation: &Relation, scan: &Scan, range: &KeyRange) -> Result<(Vec<String>, bool)> {
    let schema = relation.schema();
    let facts = Facts { schema: &schema, relation: Some(relation) };
    let (filters, exact) = filter::conditions(&scan.filters, &facts, &DuckDb)?;
    Ok((range.condition("rowid").into_iter().chain(filters).collect(), exact))
}
