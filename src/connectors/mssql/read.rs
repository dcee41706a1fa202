//! Reading one table, view or query: SELECTs whose rows go into columns as they come.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::logical_expr::Expr;
use futures::{StreamExt as _, TryStreamExt as _};
use tiberius::QueryItem;
use tokio::sync::mpsc;

use super::catalog::{Column, Table};
use super::decode::Rows;
use super::errors::of_driver;
use super::name::identifier;
use super::session::{Lease, Pool};
use super::split::{self, Part};
use super::typemap::Kind;
use crate::attempt::Attempt;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::reject::Tray;
use crate::source::{BatchStream, Pushdown, ReadPlan, Scan, Source, Split, SplitGoal, TableShape};
use crate::sql::dialect::MsSql;
use crate::sql::filter::{self, Compares};
use crate::sql::select::{list, select};

/// Bytes of a batch, at most: a single value may be large.
const MOST_BATCH_BYTES: usize = 1 << 29;
/// Batches that wait until somebody takes them.
const WAITING: usize = 1;
/// After so many rows it is seen whether anybody still wants them.
const LOOK_UP_ROWS: usize = 1024;

/// What is read.
#[derive(Debug)]
pub(super) enum What {
    Table(Box<Table>),
    /// Without its final semicolon.
    Query {
        sql: String,
        columns: Vec<Column>,
    },
}

impl What {
    /// The table, where it is one.
    pub(super) fn table(&self) -> Option<&Table> {
        match self {
            Self::Table(table) => Some(table),
            Self::Query { .. } => None,
        }
    }

    fn columns(&self) -> &[Column] {
        match self {
            Self::Table(table) => &table.columns,
            Self::Query { columns, .. } => columns,
        }
    }
}

/// One object of a session.
#[derive(Debug)]
pub(super) struct MsSource {
    pool: Arc<Pool>,
    what: What,
}

/// What filters may know of the columns.
struct Facts<'a> {
    columns: &'a [Column],
    types: Vec<DataType>,
}

/// A SELECT, and where the wanted columns are among those that it gives.
struct Select {
    sql: String,
    places: Vec<usize>,
}

impl MsSource {
    pub(super) fn new(pool: Arc<Pool>, what: What) -> Self {
        Self { pool, what }
    }

    /// How errors name the source.
    fn label(&self) -> (&'static str, String) {
        match &self.what {
            What::Table(table) => ("table", table.name.quoted()),
            What::Query { .. } => ("query", "of the source".to_owned()),
        }
    }

    fn field(column: &Column) -> Field {
        match &column.sql_type {
            Some(sql_type) => sql_type.arrow_field(&column.name, column.nullable),
            None => Field::new(&column.name, DataType::Binary, column.nullable),
        }
    }

    fn facts(&self) -> Facts<'_> {
        let columns = self.what.columns();
        Facts { columns, types: columns.iter().map(|column| Self::field(column).data_type().clone()).collect() }
    }

    fn place(&self, name: &str) -> Result<usize> {
        let place = self.what.columns().iter().position(|column| column.name == name);
        place.ok_or_else(|| Error::new(ErrorKind::NotFound, "the source has no such column").at("column", name))
    }

    /// The SELECT for `part` of `scan`. A query runs as it was written: it may begin with WITH, or end with ORDER BY.
    fn select(&self, scan: &Scan, part: &Part) -> Result<Select> {
        let fields = scan.schema.fields();
        let places = fields.iter().map(|field| self.place(field.name())).collect::<Result<Vec<_>>>()?;
        let table = match &self.what {
            What::Query { sql, .. } => return Ok(Select { sql: sql.clone(), places }),
            What::Table(table) => table,
        };
        let named = |place: &usize| {
            let column = &table.columns[*place];
            Ok(column.known()?.kind.selected(&column.name))
        };
        let list = list(&places.iter().map(named).collect::<Result<Vec<_>>>()?);
        let (filters, exact) = filter::conditions(&scan.filters, &self.facts(), &MsSql)?;
        let conditions: Vec<String> = part.condition(identifier).into_iter().chain(filters).collect();
        let top = scan.limit.filter(|_| exact).map(|limit| format!("TOP ({limit}) ")).unwrap_or_default();
        let sql = select(&format!("{top}{list}"), &table.name.quoted(), &conditions, None);
        Ok(Select { sql, places: (0..places.len()).collect() })
    }
}

impl filter::Columns for Facts<'_> {
    fn column(&self, name: &str) -> Option<filter::Column<'_>> {
        let place = self.columns.iter().position(|column| column.name == name)?;
        let column = &self.columns[place];
        let compares = match column.sql_type.as_ref()?.kind {
            Kind::TinyInt | Kind::SmallInt | Kind::Int | Kind::BigInt | Kind::Decimal(..) => Compares::Order,
            Kind::Money | Kind::SmallMoney | Kind::Date | Kind::SmallDateTime => Compares::Order,
            Kind::DateTime2(_) | Kind::DateTimeOffset(_) => Compares::Order,
            // A bit is no condition; others compare by collation, by steps of 1/300 s, or in an order of their own.
            _ => Compares::No,
        };
        Some(filter::Column { sql: identifier(name).into(), data_type: &self.types[place], compares })
    }
}

#[async_trait]
impl Source for MsSource {
    async fn describe(&self) -> Result<TableShape> {
        let fields: Vec<Field> = self.what.columns().iter().map(Self::field).collect();
        let table = self.what.table();
        Ok(TableShape {
            key: table.map(|table| table.key.clone()).unwrap_or_default(),
            rows: table.and_then(|table| table.rows),
            bytes: table.and_then(|table| table.bytes),
            ..TableShape::of(Arc::new(Schema::new(fields)))
        })
    }

    fn pushdown(&self, _shape: &TableShape, filter: &Expr) -> Pushdown {
        match self.what {
            What::Table(_) => filter::pushdown(filter, &self.facts(), &MsSql),
            What::Query { .. } => Pushdown::None,
        }
    }

    async fn plan(&self, scan: &Scan, goal: &SplitGoal) -> Result<ReadPlan> {
        let (what, which) = self.label();
        for field in scan.schema.fields() {
            self.what.columns()[self.place(field.name())?].known().at(what, || &which)?;
        }
        let readers = self.pool.readers();
        let mut plan = match self.what.table() {
            Some(table) => {
                let mut lease = self.pool.lease().await?;
                split::plan(lease.connection(), (table, readers), scan, goal).await.at(what, || which)?
            }
            None => split::whole(None, "a query is not cut")?,
        };
        plan.notes.insert(0, self.pool.note().to_owned());
        plan.readers = Some(readers).filter(|readers| *readers < goal.channels);
        Ok(plan)
    }

    async fn read(
        &self,
        scan: &Scan,
        split: &Split,
        _attempt: &Attempt,
        tray: Option<&Arc<Tray>>,
    ) -> Result<BatchStream> {
        let (what, which) = self.label();
        let part: Part = serde_json::from_value(split.detail.clone())?;
        let select = self.select(scan, &part).at(what, || &which)?;
        let rows = Rows::new(&scan.schema, tray)?;
        let lease = self.pool.lease().await?;
        let (sender, receiver) = mpsc::channel(WAITING);
        let size = (scan.batch_rows.max(1), scan.batch_bytes.clamp(1, MOST_BATCH_BYTES));
        // The rows borrow the connection, so both live in a task. It ends when nobody reads any more.
        tokio::spawn(async move {
            if let Err(error) = pour(lease, &select, rows, (size, &sender)).await {
                // Nobody is there to hear it.
                let _ = sender.send(Err(error)).await;
            }
        });
        let batches = futures::stream::unfold(receiver, |mut receiver| async move {
            let batch: Result<RecordBatch> = receiver.recv().await?;
            Some((batch, receiver))
        });
        Ok(batches.map_err(move |error| error.at(what, &which)).boxed())
    }
}

/// Sends the rows of `select` as batches, which are closed at so many rows, or at the first row that reaches so many bytes.
async fn pour(
    mut lease: Lease,
    select: &Select,
    mut rows: Rows,
    ((most_rows, most_bytes), sender): ((usize, usize), &mpsc::Sender<Result<RecordBatch>>),
) -> Result<()> {
    let connection = lease.connection();
    let mut stream = connection.open(&select.sql).await?;
    let mut wanted = true;
    while let Some(item) = stream.try_next().await.map_err(of_driver)? {
        let QueryItem::Row(row) = item else { continue };
        push(&mut rows, &row, select)?;
        if rows.len() >= most_rows || rows.bytes() >= most_bytes {
            wanted = sender.send(Ok(rows.finish()?)).await.is_ok();
        } else if rows.len().is_multiple_of(LOOK_UP_ROWS) {
            wanted = !sender.is_closed();
        }
        if !wanted {
            break;
        }
    }
    drop(stream);
    if !wanted {
        return connection.stop().await;
    }
    connection.ended();
    // The reader is free for others while the last rows are taken.
    drop(lease);
    if rows.len() > 0 {
        let _ = sender.send(rows.finish()).await;
    }
    Ok(())
}

fn push(rows: &mut Rows, row: &tiberius::Row, select: &Select) -> Result<()> {
    let missing = || Error::new(ErrorKind::Schema, "the source has other columns than when it was planned");
    if select.places.iter().any(|place| *place >= row.len()) {
        return Err(missing());
    }
    rows.push(select.places.iter().filter_map(|place| row.get_column_data(*place).ok()))
}
