//! The in-memory leaf of a plan: one row per split, as JSON.
//!
//! Splits are rows and not partitions of a leaf of our own, because Ballista slices only leaves that it knows.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::physical_plan::ExecutionPlan;

use crate::error::{Error, ErrorKind, Result};
use crate::plan::error::from_datafusion;
use crate::source::Split;

static SCHEMA: LazyLock<SchemaRef> =
    LazyLock::new(|| Arc::new(Schema::new(vec![Field::new("split", DataType::Utf8, false)])));

/// A leaf whose partitions hold the given splits.
pub(super) fn leaf(partitions: &[Vec<Split>]) -> Result<Arc<dyn ExecutionPlan>> {
    let batches: Vec<Vec<RecordBatch>> =
        partitions.iter().map(|splits| rows(splits).map(|batch| vec![batch])).collect::<Result<_>>()?;
    let leaf = MemorySourceConfig::try_new_exec(&batches, Arc::clone(&SCHEMA), None).map_err(from_datafusion)?;
    Ok(leaf)
}

/// The splits in the rows of a leaf's batch.
pub(super) fn splits(batch: &RecordBatch) -> Result<Vec<Split>> {
    let column = batch.column(0).as_any().downcast_ref::<StringArray>();
    let column = column.ok_or_else(|| Error::new(ErrorKind::Internal, "the leaf of the plan holds no splits"))?;
    column.iter().flatten().map(|json| serde_json::from_str(json).map_err(Error::from)).collect()
}

fn rows(splits: &[Split]) -> Result<RecordBatch> {
    let json: Vec<String> = splits.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    let column: ArrayRef = Arc::new(StringArray::from(json));
    Ok(RecordBatch::try_new(Arc::clone(&SCHEMA), vec![column])?)
}
