//! Reading one table, view or query: SELECTs over ranges of the row id, stepped into Arrow builders.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::logical_expr::Expr;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::catalog::{self, Shape};
use super::decode::{Decoder, told};
use super::describe::{Described, describe};
use super::error::failed;
use super::session::Pool;
use super::typemap::{Affinity, Kind, PRODUCT};
use crate::attempt::Attempt;
use crate::bridge::blocking::Outlet;
use crate::endpoint::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::parting::Odd;
use crate::reject::{Tray, set_aside};
use crate::schema::native_of;
use crate::shape::counted;
use crate::source::{BatchStream, Cut, Pushdown, ReadPlan, Scan, Source, Split, SplitGoal, TableShape};
use crate::sql::ddl::identifiers;
use crate::sql::dialect::{Dialect as _, Sqlite};
use crate::sql::filter::{self, Column, Columns, Compares};
use crate::sql::keyset::KeyRange;
use crate::sql::select::select;

/// A split has at least so many rows, and a table at most so many splits.
const LEAST_SPLIT_ROWS: u64 = 4096;
const MOST_SPLITS: u64 = 10_000;
/// Offsets of text are 32 bits wide, and a value may have 1 GB.
const MOST_BATCH_BYTES: usize = 1 << 30;

/// One object of a session.
#[derive(Debug)]
pub(super) struct SqliteSource {
    pool: Arc<Pool>,
    object: ObjectRef,
    described: OnceCell<Arc<Described>>,
}

/// What a split holds: a range of the key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    range: KeyRange,
}

impl SqliteSource {
    pub(super) fn new(pool: Arc<Pool>, object: ObjectRef) -> Self {
        Self { pool, object, described: OnceCell::new() }
    }

    async fn described(&self) -> Result<&Arc<Described>> {
        let look = async || {
            let object = self.object.clone();
            let lease = self.pool.readers.lease().await?;
            let work = move |connection: &mut Connection| {
                describe(connection, catalog::relation(connection, &object)?).map(Arc::new)
            };
            lease.worker().call(work).await.map_err(|error| self.pool.place(error))
        };
        self.described.get_or_try_init(look).await
    }
}

#[async_trait]
impl Source for SqliteSource {
    async fn describe(&self) -> Result<TableShape> {
        let described = self.described().await?;
        let columns = described.relation.columns.iter().zip(&described.kinds);
        let fields: Vec<Field> =
            columns.map(|(column, kind)| kind.field(&column.name, &column.declared, !column.not_null)).collect();
        Ok(TableShape {
            // Where SQLite lets NULL into a key, no other database would take its rows.
            key: if described.relation.has_null_keys() { Vec::new() } else { described.relation.key() },
            rows: described.rows,
            bytes: described.rows.map(|rows| rows.saturating_mul(described.row_bytes)),
            ..TableShape::of(Arc::new(Schema::new(fields)))
        })
    }

    fn pushdown(&self, shape: &TableShape, filter: &Expr) -> Pushdown {
        filter::pushdown(filter, &Facts { schema: &shape.schema, is_utf8: self.pool.is_utf8 }, &Sqlite)
    }

    async fn plan(&self, scan: &Scan, goal: &SplitGoal) -> Result<ReadPlan> {
        let described = self.described().await?;
        let mut notes = self.pool.notes.clone();
        notes.extend(mixed_columns(described));
        if described.relation.has_null_keys() {
            let note =
                "the primary key is not passed on: its columns may hold NULL, for they are not declared NOT NULL";
            notes.push(note.to_owned());
        }
        let ranges = ranges(described, scan, goal, self.pool.readers.count(), &mut notes);
        let share = |total: Option<u64>| total.map(|total| total / ranges.len() as u64);
        let rows = share(described.rows);
        let split = |(id, range): (usize, &KeyRange)| {
            let detail = serde_json::to_value(Detail { range: *range })?;
            let bytes = rows.map(|rows| rows.saturating_mul(described.row_bytes));
            let has_rowids = matches!(described.relation.shape, Shape::Rowid { .. });
            let keys = described.stock.as_ref().map(|stock| if has_rowids { "row ids" } else { stock.key.as_str() });
            let place = keys.and_then(|keys| range.shown(keys));
            Ok(Split { id: id as u32, source: 0, rows, bytes, place, detail })
        };
        let splits = ranges.iter().enumerate().map(split).collect::<Result<_>>()?;
        // One range means all rows at any time; row ids that are no key of the user mean others after a VACUUM.
        let lasting = ranges.len() == 1 || described.relation.is_ordered_by_key();
        let cut = if lasting { Cut::ByKey } else { Cut::Fastest };
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
        let select = Select::new(&described, scan, &detail.range, self.pool.is_utf8)?;
        let lease = self.pool.readers.lease().await?;
        let (pool, tray) = (Arc::clone(&self.pool), tray.cloned());
        let pour = move |connection: &mut Connection, outlet: &Outlet| {
            select.pour(connection, tray.as_deref(), outlet).map_err(|error| pool.place(error))
        };
        lease.stream(pour).await
    }
}

/// Which ranges of the key become splits.
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
    let rows = described.rows.unwrap_or(0);
    let Some(stock) = &described.stock else {
        let why = match described.relation.shape {
            Shape::View => "a view has no key to cut it by",
            Shape::Query(_) => "a query has no key to cut it by",
            _ if described.rows.is_some() => "the table is small",
            _ => "the table has no integer key to cut it by",
        };
        return whole(notes, why);
    };
    if readers == 1 || goal.channels == 1 {
        return whole(notes, "there is one reader");
    }
    if scan.limit.is_some_and(|limit| limit < LEAST_SPLIT_ROWS) {
        return whole(notes, "few rows are wanted");
    }
    let bytes = rows.saturating_mul(described.row_bytes);
    let by_size = bytes.div_ceil(goal.split_bytes.max(1)).max(goal.channels as u64);
    let wanted = by_size.min(rows / LEAST_SPLIT_ROWS).clamp(1, MOST_SPLITS);
    let ranges = stock.ranges(wanted as usize);
    notes.push(format!(
        "{} of {}: about {rows} rows of {} bytes by sampling, {} bytes a split",
        counted(ranges.len(), "range"),
        stock.key,
        described.row_bytes,
        goal.split_bytes
    ));
    ranges
}

fn mixed_columns(described: &Described) -> Option<String> {
    let columns = described.relation.columns.iter().zip(&described.kinds);
    let mixed: Vec<&str> =
        columns.filter(|(_, kind)| **kind == Kind::Mixed).map(|(column, _)| column.name.as_str()).collect();
    (!mixed.is_empty()).then(|| format!("numbers and text in one column are read as text: {}", mixed.join(", ")))
}

/// What filters may know of the columns of a shape.
struct Facts<'a> {
    schema: &'a SchemaRef,
    is_utf8: bool,
}

impl Columns for Facts<'_> {
    fn column(&self, name: &str) -> Option<Column<'_>> {
        let (_, field) = self.schema.column_with_name(name)?;
        let affinity = Affinity::of(native_of(field, PRODUCT).unwrap_or_default());
        let quoted = Sqlite.identifier(name);
        let (sql, compares) = match Kind::of(field)? {
            Kind::Boolean | Kind::Int16 | Kind::Int32 | Kind::Int64 | Kind::Float64 => (quoted, Compares::Order),
            // The text of a date is unique, but years beyond 9999 sort before all others.
            Kind::Date => (quoted, Compares::Equality),
            // Whatever collation the column has, this comparison is by bytes.
            Kind::Text if !affinity.turns_text_into_numbers() => {
                let compares = if self.is_utf8 { Compares::Order } else { Compares::Equality };
                (format!("{quoted} COLLATE BINARY"), compares)
            }
            _ => (quoted, Compares::No),
        };
        Some(Column { sql: sql.into(), data_type: field.data_type(), compares })
    }
}

/// One SELECT and how its rows become batches.
struct Select {
    sql: String,
    object: String,
    schema: SchemaRef,
    /// The last column is the row id, for messages.
    has_rowid: bool,
    batch_rows: usize,
    batch_bytes: usize,
}

impl Select {
    fn new(described: &Described, scan: &Scan, range: &KeyRange, is_utf8: bool) -> Result<Self> {
        let relation = &described.relation;
        let mut columns = Vec::new();
        for field in scan.schema.fields() {
            // SQLite reads a quoted name that it does not know as a text.
            if relation.columns.iter().all(|column| column.name != *field.name()) {
                let error = Error::new(ErrorKind::NotFound, "there is no such column").at("column", field.name());
                return Err(error.at("table", &relation.name));
            }
            columns.push(field.name().as_str());
        }
        let mut list = identifiers(&Sqlite, &columns);
        let alias = if let Shape::Rowid { alias } = &relation.shape { Some(alias.as_str()) } else { None };
        let rest = alias.or(columns.is_empty().then_some("1"));
        if let Some(rest) = rest {
            let comma = if columns.is_empty() { "" } else { ", " };
            list = format!("{list}{comma}{rest}");
        }
        let (conditions, exact) = conditions(described, scan, range, is_utf8)?;
        // A covering index would give the rows in another order.
        let is_whole = relation.is_table() && alias.is_some() && conditions.is_empty();
        let from = format!("{}{}", relation.sql(), if is_whole { " NOT INDEXED" } else { "" });
        Ok(Self {
            sql: select(&list, &from, &conditions, scan.limit.filter(|_| exact)),
            object: relation.name.clone(),
            schema: Arc::clone(&scan.schema),
            has_rowid: alias.is_some(),
            batch_rows: scan.batch_rows.max(1),
            batch_bytes: scan.batch_bytes.clamp(1, MOST_BATCH_BYTES),
        })
    }

    /// Steps through the rows; ends early when nobody reads any more. Rows with a value that does not fit its column go into `tray`.
    fn pour(&self, connection: &Connection, tray: Option<&Tray>, outlet: &Outlet) -> Result<()> {
        let fields = self.schema.fields();
        let mut decoders = fields.iter().map(|field| Decoder::new(field)).collect::<Result<Vec<_>>>()?;
        let mut statement = connection.prepare(&self.sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let (mut done, mut count, mut bytes) = (0_u64, 0, 0);
        let mut odd = Odd::default();
        while let Some(row) = rows.next().map_err(failed)? {
            for (place, decoder) in decoders.iter_mut().enumerate() {
                let value = row.get_ref(place).map_err(failed)?;
                if let Ok(size) = decoder.append(value) {
                    bytes += size;
                    continue;
                }
                let error = decoder.error(value, fields[place].name());
                if tray.is_none() {
                    return Err(self.place(error, row, done + count as u64));
                }
                let text = told(value);
                bytes += text.as_ref().map_or(0, String::len);
                odd.note((place, count), text, self.reject(error, row, done + count as u64));
                decoder.append_nothing();
            }
            count += 1;
            if count >= self.batch_rows || bytes >= self.batch_bytes {
                if !outlet.send(self.batch(&mut decoders, count, (&mut odd, tray))?) {
                    return Ok(());
                }
                done += count as u64;
                (count, bytes) = (0, 0);
            }
        }
        if count > 0 {
            outlet.send(self.batch(&mut decoders, count, (&mut odd, tray))?);
        }
        Ok(())
    }

    fn batch(
        &self,
        decoders: &mut [Decoder],
        count: usize,
        (odd, tray): (&mut Odd, Option<&Tray>),
    ) -> Result<RecordBatch> {
        let arrays = decoders.iter_mut().map(Decoder::finish).collect();
        set_aside(tray, odd.part(&self.schema, count, arrays)?)
    }

    /// `error` with its row: the row id, else its place among the rows of the split.
    fn place(&self, error: Error, row: &rusqlite::Row<'_>, before: u64) -> Error {
        let error = match self.rowid(row) {
            Some(rowid) => error.at("row", format!("with rowid {rowid}")),
            None => error.at("row", before + 1),
        };
        error.at("table", &self.object)
    }

    /// `error` of a row that is left out: with both.
    fn reject(&self, error: Error, row: &rusqlite::Row<'_>, before: u64) -> Error {
        self.rowid(row).into_iter().fold(error, |error, rowid| error.at("rowid", rowid)).at("row", before + 1)
    }

    fn rowid(&self, row: &rusqlite::Row<'_>) -> Option<i64> {
        self.has_rowid.then(|| row.get(self.schema.fields().len()).ok()).flatten()
    }
}

/// The conditions of a scan, and whether they keep exactly the rows that are wanted.
fn conditions(described: &Described, scan: &Scan, range: &KeyRange, is_utf8: bool) -> Result<(Vec<String>, bool)> {
    let columns = described.relation.columns.iter().zip(&described.kinds);
    let fields: Vec<Field> = columns.map(|(column, kind)| kind.field(&column.name, &column.declared, true)).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let facts = Facts { schema: &schema, is_utf8 };
    let (filters, exact) = filter::conditions(&scan.filters, &facts, &Sqlite)?;
    let within = described.stock.iter().filter_map(|stock| range.condition(&stock.key));
    Ok((within.chain(filters).collect(), exact))
}
