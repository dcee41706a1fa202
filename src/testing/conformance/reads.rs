//! Checks of a source: splits can be read alone, again and in any order, and hold every row once.

use std::sync::Arc;

use arrow::array::{Array as _, RecordBatch};
use arrow::datatypes::Schema;

use super::drive::{Reading, ids, load, numbered};
use super::{Fixture, Target, expect};
use crate::endpoint::{Endpoint, ObjectRef};
use crate::error::Result;
use crate::sink::WriteMode;

/// Rows of the tables that are read here.
const ROWS: i64 = 3000;

/// A filled target and its reader; none where nothing is kept.
async fn filled(fixture: &dyn Fixture) -> Result<Option<(Target, Arc<dyn Endpoint>)>> {
    let target = fixture.target().await?;
    let rows = numbered(0..ROWS)?;
    load(&target, &rows, WriteMode::Create).await?;
    Ok(fixture.reader(&target, &rows.schema())?.map(|endpoint| (target, endpoint)))
}

/// Every split twice, backwards and in parallel; together all rows, each once.
pub(super) async fn twice(fixture: &dyn Fixture) -> Result<()> {
    let Some((target, endpoint)) = filled(fixture).await? else { return Ok(()) };
    twice_of(&endpoint, &target.object).await?;
    let reading = Reading::start(&endpoint, &target.object).await?;
    let scan = reading.scan();
    let plan = reading.plan(&scan).await?;
    let mut seen = ids(&reading.rows(&scan, &plan.splits).await?);
    seen.sort_unstable();
    expect(seen.iter().copied().eq(0..ROWS), || format!("of {ROWS} rows the splits hold {} other ones", seen.len()))?;
    reading.close().await
}

/// Every split twice, backwards and two at once.
pub(super) async fn twice_of(endpoint: &Arc<dyn Endpoint>, object: &ObjectRef) -> Result<()> {
    let reading = Reading::start(endpoint, object).await?;
    let scan = reading.scan();
    let plan = reading.plan(&scan).await?;
    let whole = reading.rows(&scan, &plan.splits).await?;
    let mut end = whole.num_rows();
    for pair in plan.splits.rchunks(2) {
        let (first, last) = (&pair[0], &pair[pair.len() - 1]);
        let (one, other) = tokio::try_join!(
            reading.rows(&scan, std::slice::from_ref(first)),
            reading.rows(&scan, std::slice::from_ref(last))
        )?;
        let split =
            |rows: &RecordBatch, end: usize| whole.slice(end - rows.num_rows().min(end), rows.num_rows().min(end));
        expect(split(&other, end) == other, || format!("split {} is another one at its second reading", last.id))?;
        end -= other.num_rows();
        if first.id != last.id {
            expect(split(&one, end) == one, || format!("split {} is another one at its second reading", first.id))?;
            end -= one.num_rows();
        }
    }
    expect(end == 0, || format!("at the second reading {end} rows are missing"))?;
    reading.close().await
}

/// The columns that the scan wants, in its order; none at all still counts rows.
pub(super) async fn columns(fixture: &dyn Fixture) -> Result<()> {
    let Some((target, endpoint)) = filled(fixture).await? else { return Ok(()) };
    columns_of(&endpoint, &target.object).await
}

pub(super) async fn columns_of(endpoint: &Arc<dyn Endpoint>, object: &ObjectRef) -> Result<()> {
    let reading = Reading::start(endpoint, object).await?;
    let mut scan = reading.scan();
    let plan = reading.plan(&scan).await?;
    let whole = reading.rows(&scan, &plan.splits).await?;
    let last = whole.num_columns() - 1;
    for places in [vec![last, 0], vec![last], vec![]] {
        let fields: Vec<_> = places.iter().map(|&place| whole.schema().fields()[place].clone()).collect();
        scan.schema = Arc::new(Schema::new(fields));
        let plan = reading.plan(&scan).await?;
        let some = reading.rows(&scan, &plan.splits).await?;
        let columns = places.iter().map(|&place| whole.column(place));
        let equal = some.num_rows() == whole.num_rows() && some.columns().iter().eq(columns);
        expect(equal, || format!("a scan of the columns {places:?} gives other values than one of all"))?;
    }
    reading.close().await
}

/// Batches keep to the rows and bytes of the scan.
pub(super) async fn batches(fixture: &dyn Fixture) -> Result<()> {
    let Some((target, endpoint)) = filled(fixture).await? else { return Ok(()) };
    batches_of(&endpoint, &target.object).await
}

pub(super) async fn batches_of(endpoint: &Arc<dyn Endpoint>, object: &ObjectRef) -> Result<()> {
    let reading = Reading::start(endpoint, object).await?;
    let mut scan = reading.scan();
    for (batch_rows, batch_bytes) in [(64, 16 << 20), (8192, 2048)] {
        (scan.batch_rows, scan.batch_bytes) = (batch_rows, batch_bytes);
        let plan = reading.plan(&scan).await?;
        for split in &plan.splits {
            for batch in reading.split(&scan, split).await? {
                let (rows, bytes) = (batch.num_rows(), byte_count(&batch)?);
                expect(rows <= batch_rows, || format!("a batch of {rows} rows where {batch_rows} are wanted"))?;
                // The row that reaches the limit is in, and what a row takes may be an estimate.
                let most = 2 * batch_bytes;
                expect(bytes <= most, || format!("a batch of {bytes} bytes where {batch_bytes} are wanted"))?;
            }
        }
    }
    reading.close().await
}

/// Bytes of the rows of `batch` alone, which may be a slice.
fn byte_count(batch: &RecordBatch) -> Result<usize> {
    let sizes = batch.columns().iter().map(|column| Ok(column.to_data().get_slice_memory_size()?));
    sizes.sum()
}
