//! The session and the source: the tables as they were when the session was opened.
//!
//! The source pushes down: filters as a superset, so that whoever does not filter again is found out, and the limit.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::common::tree_node::{Transformed, TreeNode as _};
use datafusion::common::{Column, DFSchema};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::{Memory, Open, Table, missing, name_of};
use crate::attempt::Attempt;
use crate::endpoint::{ObjectRef, Session, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::reject::Tray;
use crate::schema::batch_bytes;
use crate::source::{BatchStream, Pushdown, ReadPlan, Scan, Source, Split, SplitGoal, TableShape};

#[derive(Debug)]
pub(super) struct MemorySession {
    pub(super) memory: Memory,
    pub(super) tables: BTreeMap<String, Table>,
}

impl Drop for MemorySession {
    fn drop(&mut self) {
        self.memory.store(|store| store.counts.closed += 1);
    }
}

#[async_trait]
impl Session for MemorySession {
    fn snapshot(&self) -> Snapshot {
        Snapshot::Private
    }

    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        let name = name_of(object)?;
        let table = self.tables.get(name).cloned().ok_or_else(|| missing(name))?;
        Ok(Arc::new(MemorySource { memory: self.memory.clone(), table }))
    }

    async fn check(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct MemorySource {
    memory: Memory,
    table: Table,
}

#[derive(Serialize, Deserialize)]
struct RowRange {
    from: usize,
    to: usize,
}

#[async_trait]
impl Source for MemorySource {
    async fn describe(&self) -> Result<TableShape> {
        let mut shape = TableShape::of(Arc::clone(&self.table.schema));
        shape.key.clone_from(&self.table.key);
        shape.rows = Some(self.table.rows.num_rows() as u64);
        shape.bytes = Some(self.table.rows.get_array_memory_size() as u64);
        Ok(shape)
    }

    fn pushdown(&self, _shape: &TableShape, filter: &Expr) -> Pushdown {
        if predicate(filter, &self.table.schema).is_ok() { Pushdown::Superset } else { Pushdown::None }
    }

    async fn plan(&self, _scan: &Scan, _goal: &SplitGoal) -> Result<ReadPlan> {
        let (rows, count) = (self.table.rows.num_rows(), self.table.splits.max(1));
        let split = |at: usize| {
            let (from, to) = (rows * at / count, rows * (at + 1) / count);
            let detail = serde_json::to_value(RowRange { from, to })?;
            Ok(Split { id: at as u32, source: 0, rows: Some((to - from) as u64), bytes: None, place: None, detail })
        };
        let readers = self.memory.store(|store| store.readers);
        Ok(ReadPlan { splits: (0..count).map(split).collect::<Result<_>>()?, readers, ..ReadPlan::default() })
    }

    /// Rows in memory are read as they are.
    async fn read(
        &self,
        scan: &Scan,
        split: &Split,
        _attempt: &Attempt,
        _tray: Option<&Arc<Tray>>,
    ) -> Result<BatchStream> {
        let RowRange { from, to } = serde_json::from_value(split.detail.clone())?;
        let rows = self.table.rows.slice(from, to - from);
        let rows = project(&filtered(&rows, scan)?, scan)?;
        let rows = rows.slice(0, rows.num_rows().min(scan.limit.unwrap_or(u64::MAX) as usize));
        let step = batch_rows(&rows, scan);
        let open = Open::read(&self.memory)?;
        let starts = (0..rows.num_rows()).step_by(step);
        let batches = starts.map(move |start| {
            let _held_until_the_stream_ends = &open;
            Ok(rows.slice(start, step.min(rows.num_rows() - start)))
        });
        Ok(stream::iter(batches).boxed())
    }
}

fn project(rows: &RecordBatch, scan: &Scan) -> Result<RecordBatch> {
    let column = |field: &Arc<arrow::datatypes::Field>| {
        let lacking = || Error::new(ErrorKind::NotFound, "there is no such column").at("column", field.name());
        rows.column_by_name(field.name()).cloned().ok_or_else(lacking)
    };
    let columns = scan.schema.fields().iter().map(column).collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(&scan.schema), columns, &options)?)
}

/// `filter` as DataFusion computes it, over the columns of a table by their bare names.
fn predicate(filter: &Expr, schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
    let bare = filter.clone().transform(|node| match node {
        Expr::Column(column) => Ok(Transformed::yes(Expr::Column(Column::from_name(column.name)))),
        other => Ok(Transformed::no(other)),
    });
    let columns = DFSchema::try_from(Schema::clone(schema)).map_err(refused)?;
    let (properties, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
    create_physical_expr(&bare.map_err(refused)?.data, &columns, &properties, &context).map_err(refused)
}

fn refused(_: DataFusionError) -> Error {
    Error::new(ErrorKind::Unsupported, "memory: cannot apply this filter")
}

/// The rows that all filters keep, and every fifth of the others.
fn filtered(rows: &RecordBatch, scan: &Scan) -> Result<RecordBatch> {
    let mut kept = rows.clone();
    for filter in scan.filters.iter() {
        let answer = predicate(filter, &kept.schema())?.evaluate(&kept).map_err(refused)?;
        let answer = answer.into_array(kept.num_rows()).map_err(refused)?;
        let answer = answer.as_boolean();
        let keep = (0..kept.num_rows()).map(|row| row % 5 == 0 || answer.is_valid(row) && answer.value(row));
        kept = filter_record_batch(&kept, &keep.map(Some).collect::<BooleanArray>())?;
    }
    Ok(kept)
}

/// Rows of a batch: by their number, and by their bytes on average.
fn batch_rows(rows: &RecordBatch, scan: &Scan) -> usize {
    let each = (batch_bytes(rows) / rows.num_rows().max(1)).max(1);
    (scan.batch_bytes / each).clamp(1, scan.batch_rows.max(1))
}
