//! The sources of `gen:`: splits are ranges of rows, or parts of TPC-H.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::logical_expr::Expr;
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::config;
use super::fill::{self, Placed};
use super::tpch::{self, Part};
use crate::attempt::Attempt;
use crate::bridge::cpu;
use crate::error::{Error, ErrorKind, Result};
use crate::reject::Tray;
use crate::shape::counted;
use crate::source::{BatchStream, Pushdown, ReadPlan, Scan, Source, Split, SplitGoal, TableShape};

/// Rows of a split, at least; fewer are not worth a task.
const SPLIT_ROWS: u64 = 8192;
/// Bytes of a batch, at most: an Arrow text column ends at 2 GB.
const BATCH_BYTES: usize = 1 << 30;
/// Splits of a table, at most.
const SPLIT_LIMIT: u64 = 10_000;

/// A table of generated columns.
#[derive(Debug)]
pub(super) struct Columns {
    table: config::Table,
    schema: SchemaRef,
}

/// One table of TPC-H.
#[derive(Debug)]
pub(super) struct TpchTable {
    pub(super) table: &'static tpch::Table,
    pub(super) scale: f64,
}

#[derive(Serialize, Deserialize)]
struct RowRange {
    from: u64,
    to: u64,
}

#[derive(Serialize, Deserialize)]
struct PartOf {
    part: i32,
    parts: i32,
}

impl Columns {
    pub(super) fn new(table: config::Table) -> Self {
        let schema = Arc::new(Schema::new(table.columns.iter().map(super::columns::Column::field).collect::<Vec<_>>()));
        Self { table, schema }
    }

    /// Bytes of a row: on average, and at most.
    fn width(&self) -> (u64, u64) {
        let widths = self.table.columns.iter().map(super::columns::Column::width);
        widths.fold((0, 0), |sum, width| (sum.0 + width.0, sum.1 + width.1))
    }

    /// The rows of a batch, so that the longest values fit its bytes.
    fn batch_rows(&self, scan: &Scan) -> u64 {
        let fitting = scan.batch_bytes.min(BATCH_BYTES) as u64 / self.width().1.max(1);
        fitting.clamp(1, scan.batch_rows.max(1) as u64)
    }
}

#[async_trait]
impl Source for Columns {
    async fn describe(&self) -> Result<TableShape> {
        let sequence = |column: &&super::columns::Column| matches!(column.kind, super::columns::Kind::Sequence(_));
        let key = self.table.columns.iter().find(sequence).map(|column| column.name.clone());
        let mut shape = TableShape::of(Arc::clone(&self.schema));
        shape.key = key.into_iter().collect();
        shape.rows = Some(self.table.rows);
        shape.bytes = Some(self.table.rows.saturating_mul(self.width().0));
        Ok(shape)
    }

    fn pushdown(&self, _shape: &TableShape, _filter: &Expr) -> Pushdown {
        Pushdown::None
    }

    async fn plan(&self, scan: &Scan, goal: &SplitGoal) -> Result<ReadPlan> {
        places(scan, &self.schema)?;
        let rows = self.table.rows.min(scan.limit.unwrap_or(u64::MAX));
        let size = split_rows(rows, self.width().0, goal);
        let split = |at: u64| {
            let (from, to) = (at * size, (at + 1).saturating_mul(size).min(rows));
            Ok(Split {
                id: at as u32,
                source: 0,
                rows: Some(to - from),
                bytes: Some((to - from).saturating_mul(self.width().0)),
                place: Some(format!("rows {} to {to}", from + 1)),
                detail: serde_json::to_value(RowRange { from, to })?,
            })
        };
        let splits: Vec<Split> = (0..rows.div_ceil(size)).map(split).collect::<Result<_>>()?;
        let notes =
            vec![format!("{} made in {} of {size}", counted(rows as usize, "row"), counted(splits.len(), "range"))];
        Ok(ReadPlan { splits, notes, ..ReadPlan::default() })
    }

    /// Every row that is made is one of its columns.
    async fn read(
        &self,
        scan: &Scan,
        split: &Split,
        _attempt: &Attempt,
        _tray: Option<&Arc<Tray>>,
    ) -> Result<BatchStream> {
        let range: RowRange = serde_json::from_value(split.detail.clone())?;
        let places = places(scan, &self.schema)?;
        let wanted =
            places.iter().map(|place| Placed { place: *place as u64, column: self.table.columns[*place].clone() });
        let (columns, schema) = (Arc::new(wanted.collect::<Vec<_>>()), Arc::clone(&scan.schema));
        let (step, seed) = (self.batch_rows(scan), self.table.seed);
        let pieces = (range.from..range.to).step_by(usize::try_from(step).unwrap_or(usize::MAX));
        let batches = stream::iter(pieces).then(move |from| {
            let (columns, schema) = (Arc::clone(&columns), Arc::clone(&schema));
            let rows: Range<u64> = from..from.saturating_add(step).min(range.to);
            async move { cpu::run(move || fill::batch(&schema, &columns, seed, &rows)).await? }
        });
        Ok(batches.boxed())
    }
}

#[async_trait]
impl Source for TpchTable {
    async fn describe(&self) -> Result<TableShape> {
        let mut shape = TableShape::of(self.table.schema());
        shape.key = self.table.key.iter().map(|&name| name.to_owned()).collect();
        shape.rows = Some(self.table.rows(self.scale));
        shape.bytes = Some(self.table.rows(self.scale).saturating_mul(self.table.width));
        Ok(shape)
    }

    fn pushdown(&self, _shape: &TableShape, _filter: &Expr) -> Pushdown {
        Pushdown::None
    }

    async fn plan(&self, scan: &Scan, goal: &SplitGoal) -> Result<ReadPlan> {
        places(scan, &self.table.schema())?;
        let rows = self.table.rows(self.scale);
        let parts = self.table.parts(self.scale, split_rows(rows, self.table.width, goal));
        let split = |at: u64| {
            Ok(Split {
                id: at as u32,
                source: 0,
                rows: Some(rows / parts),
                bytes: Some((rows / parts).saturating_mul(self.table.width)),
                place: Some(format!("part {} of {parts}", at + 1)),
                detail: serde_json::to_value(PartOf { part: at as i32 + 1, parts: parts as i32 })?,
            })
        };
        let splits = (0..parts).map(split).collect::<Result<_>>()?;
        let notes = vec![format!("about {rows} rows made in {} of TPC-H", counted(parts as usize, "part"))];
        Ok(ReadPlan { splits, notes, ..ReadPlan::default() })
    }

    /// Every row that is made is one of its columns.
    async fn read(
        &self,
        scan: &Scan,
        split: &Split,
        _attempt: &Attempt,
        _tray: Option<&Arc<Tray>>,
    ) -> Result<BatchStream> {
        let PartOf { part, parts } = serde_json::from_value(split.detail.clone())?;
        let places = Arc::new(places(scan, &self.table.schema())?);
        let schema = Arc::clone(&scan.schema);
        let (table, part) = (self.table, Part { scale: self.scale, number: part, count: parts });
        let fitting = scan.batch_bytes as u64 / table.width;
        let rows = fitting.clamp(1, scan.batch_rows.max(1) as u64) as usize;
        let batches = cpu::run(move || table.batches(part, rows)).await?;
        let stream = stream::try_unfold(batches, move |mut batches| {
            let (places, schema) = (Arc::clone(&places), Arc::clone(&schema));
            async move {
                let made = cpu::run(move || {
                    let batch = batches.next().map(|batch| tpch::project(&batch?, &places, &schema));
                    (batch, batches)
                });
                let (batch, batches) = made.await?;
                Ok::<_, Error>(batch.transpose()?.map(|batch| (batch, batches)))
            }
        });
        Ok(stream.boxed())
    }
}

/// Rows of a split: its bytes, but enough splits for all channels to work and not more than are of use.
fn split_rows(rows: u64, width: u64, goal: &SplitGoal) -> u64 {
    if goal.channels <= 1 {
        return rows.max(1);
    }
    let by_bytes = goal.split_bytes / width.max(1);
    let by_channels = rows.div_ceil(goal.channels as u64);
    by_bytes.min(by_channels).max(SPLIT_ROWS).max(rows.div_ceil(SPLIT_LIMIT))
}

/// Where the wanted columns stand in the table.
fn places(scan: &Scan, schema: &Schema) -> Result<Vec<usize>> {
    let place = |name: &str| {
        let missing = || Error::new(ErrorKind::NotFound, "the generated table has no such column").at("column", name);
        schema.index_of(name).map_err(|_| missing())
    };
    scan.schema.fields().iter().map(|field| place(field.name())).collect()
}
