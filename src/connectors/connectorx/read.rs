//! Reading one table or query: each split is one query to ConnectorX, whose batches are decoded and cut to size as they come.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use async_trait::async_trait;
use datafusion::logical_expr::Expr;
use tokio::sync::OnceCell;

use super::backend::Backend;
use super::config::Config;
use super::database;
use super::decode::decoded;
use super::pull::Taker;
use super::session::Opened;
use super::split::{self, Part};
use super::table::Table;
use crate::attempt::Attempt;
use crate::bridge::blocking::{self, Outlet};
use crate::driven::origin::Origin;
use crate::endpoint::ObjectRef;
use crate::error::Result;
use crate::formats::cut::Cutter;
use crate::reject::Tray;
use crate::schema::batch_bytes;
use crate::source::{BatchStream, Pushdown, ReadPlan, Scan, Source, Split, SplitGoal, TableShape};
use crate::sql::located::Located as _;

/// Rows of a batch of ConnectorX that may have long values: its bytes are known when it is full.
const LONG_ROWS: usize = 256;

/// One object of a session.
#[derive(Debug)]
pub(super) struct ConnectorXSource {
    opened: Arc<Opened>,
    object: ObjectRef,
    known: OnceCell<Arc<Table>>,
}

impl ConnectorXSource {
    /// That of `object`.
    pub(super) fn of(opened: Arc<Opened>, object: ObjectRef) -> Arc<dyn Source> {
        Arc::new(Self { opened, object, known: OnceCell::new() })
    }

    async fn known(&self) -> Result<&Arc<Table>> {
        let look = async || {
            let from = Origin::of(self.opened.config(), &self.object)?;
            let shown = from.shown();
            let table = self.opened.asked("describe", move |config, _| Table::look(config, from)).await;
            table.map(Arc::new).map_err(|error| error.at("table", shown))
        };
        self.known.get_or_try_init(look).await
    }
}

#[async_trait]
impl Source for ConnectorXSource {
    async fn describe(&self) -> Result<TableShape> {
        let table = self.known().await?;
        let shape = TableShape::of(Arc::clone(&table.schema));
        Ok(TableShape { key: table.stock.key.clone(), rows: table.stock.rows, bytes: table.stock.bytes, ..shape })
    }

    fn pushdown(&self, _shape: &TableShape, _filter: &Expr) -> Pushdown {
        // What a comparison means is not the same for all that is reached through ConnectorX.
        Pushdown::None
    }

    async fn plan(&self, scan: &Scan, goal: &SplitGoal) -> Result<ReadPlan> {
        let table = Arc::clone(self.known().await?);
        let checked = table.check(&scan.schema);
        checked.map_err(|error| self.opened.config().placed(error.at("table", table.shown())))?;
        let (wanted, goal) = (scan.clone(), *goal);
        let cut = Arc::clone(&table);
        let work = move |config: &Config, _: &Arc<()>| split::plan(config, &cut, &wanted, &goal);
        let mut plan = self.opened.asked("plan", work).await?;
        plan.notes.extend(notes(self.opened.config().backend, &table));
        Ok(plan)
    }

    async fn read(
        &self,
        scan: &Scan,
        split: &Split,
        _attempt: &Attempt,
        tray: Option<&Arc<Tray>>,
    ) -> Result<BatchStream> {
        self.opened.held()?;
        let table = Arc::clone(self.known().await?);
        let part: Part = serde_json::from_value(split.detail.clone())?;
        let (opened, scan, tray) = (Arc::clone(&self.opened), scan.clone(), tray.cloned());
        blocking::stream("connectorx-read", move |outlet| {
            let poured = pour(opened.config(), &table, &scan, &part, (tray.as_deref(), outlet));
            poured.map_err(|error| opened.config().placed(error.at("table", table.shown())))
        })
    }
}

/// What becomes of columns, and of the order of a query.
fn notes(backend: Backend, table: &Table) -> Vec<String> {
    let mut notes = Vec::new();
    let texts = table.texts();
    if !texts.is_empty() {
        notes.push(format!("asked for as text, since ConnectorX may change their values: {}", texts.join(", ")));
    }
    if table.is_rewritten() && table.name().is_none() {
        notes.push("the query stands in a SELECT of ours: an ORDER BY at its end may have no effect".to_owned());
    }
    if backend == Backend::Sqlite && table.name().is_none() {
        let note = "columns of a query that SQLite computes have the type of their first row: a whole number among floats is \
                    read as a float";
        notes.push(note.to_owned());
    }
    notes
}

/// The rows of `part`, cut to size, without those that go into the tray; ends early when there are enough or nobody reads any more.
fn pour(
    config: &Config,
    table: &Table,
    scan: &Scan,
    part: &Part,
    (tray, outlet): (Option<&Tray>, &Outlet),
) -> Result<()> {
    let condition = part.condition(|column| config.backend.quote().around(column));
    let sql = table.sql(&scan.schema, condition.as_deref(), scan.limit);
    let mut cutter = Cutter::new(Arc::clone(&scan.schema), scan.batch_rows, scan.batch_bytes);
    let mut left = scan.limit.unwrap_or(u64::MAX);
    let mut before = 0;
    let mut wanted = true;
    // Of a query as it was written all columns come.
    let given = if table.is_rewritten() { &scan.schema } else { &table.schema };
    let most = most_rows(given, scan.batch_rows);
    let mut take = |batch: RecordBatch| -> Result<Option<usize>> {
        let places = table.places(&batch.schema(), &scan.schema)?;
        let rows = usize::try_from(left).unwrap_or(usize::MAX).min(batch.num_rows());
        let sifted = decoded(config.backend, &batch.slice(0, rows), &places, &scan.schema, before)?;
        before += rows as u64;
        left -= rows as u64;
        let next = next_rows(batch_bytes(&sifted.0), sifted.0.num_rows(), most, scan.batch_bytes);
        wanted = cutter.add_sifted(tray, sifted, |batch| outlet.send(batch))?;
        Ok((wanted && left > 0).then_some(next))
    };
    database::read(config, &sql, Taker { rows: most, take: &mut take })?;
    if let Some(rest) = cutter.end()?.filter(|_| wanted) {
        outlet.send(rest);
    }
    Ok(())
}

/// The most rows of a batch of ConnectorX.
fn most_rows(schema: &Schema, batch_rows: usize) -> usize {
    let has_long = schema.fields().iter().any(|field| matches!(field.data_type(), DataType::Utf8 | DataType::Binary));
    batch_rows.clamp(1, if has_long { LONG_ROWS } else { usize::MAX })
}

/// Rows of the next batch after one of `rows` rows with `bytes` bytes.
fn next_rows(bytes: usize, rows: usize, most: usize, batch_bytes: usize) -> usize {
    let row_bytes = (bytes / rows.max(1)).max(1);
    (batch_bytes / row_bytes).clamp(1, most)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use arrow::datatypes::Field;
    use futures::StreamExt as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn batches_of_long_values_are_short() {
        let field = |data_type: DataType| Field::new("c", data_type, true);
        assert_eq!(most_rows(&Schema::new(vec![field(DataType::Int64)]), 8192), 8192);
        assert_eq!(most_rows(&Schema::new(vec![field(DataType::Utf8)]), 8192), LONG_ROWS);
        assert_eq!(most_rows(&Schema::new(vec![field(DataType::Utf8)]), 0), 1);
        assert_eq!(next_rows(256 << 20, 256, 256, 8 << 20), 8);
        assert_eq!(next_rows(0, 0, 256, 8 << 20), 256);
        assert_eq!(next_rows(1 << 30, 1, 256, 8 << 20), 1);
    }

    /// A reader that sleeps holds the source still: what was fetched is bounded by what it took.
    #[tokio::test]
    async fn no_row_is_fetched_while_nobody_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.db");
        let database = rusqlite::Connection::open(&path).unwrap();
        let rows = "CREATE TABLE t (id integer, note text); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
                    WHERE i < 100000) INSERT INTO t SELECT i, 'note ' || i FROM n";
        database.execute_batch(rows).unwrap();
        let config = Config::parse(&json!({ "url": format!("connectorx:sqlite:{}", path.display()) })).unwrap();
        let taken = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&taken);
        let mut stream = blocking::stream("test", move |outlet: &Outlet| {
            let mut take = |batch: RecordBatch| {
                counted.fetch_add(batch.num_rows(), Ordering::SeqCst);
                Ok(outlet.send(batch).then_some(100))
            };
            database::read(&config, "SELECT id, note FROM t", Taker { rows: 100, take: &mut take })
        })
        .unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap().num_rows(), 100);
        tokio::time::sleep(Duration::from_millis(300)).await;
        // The batch that was taken, the one in the queue, and the one that waits for it.
        assert!(taken.load(Ordering::SeqCst) <= 300, "{taken:?}");
        let mut rest = 0;
        while let Some(batch) = stream.next().await {
            rest += batch.unwrap().num_rows();
        }
        assert_eq!(rest, 99_900);
    }
}
