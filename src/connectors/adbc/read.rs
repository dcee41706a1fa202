//! Reading one table or query: one statement, whose Arrow batches are cut to size.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, SchemaRef};
use async_trait::async_trait;
use datafusion::logical_expr::Expr;
use futures::StreamExt as _;
use serde_json::Value as Json;
use tokio::sync::OnceCell;

use super::database::Connection;
use super::error::failed;
use super::session::Opened;
use super::typemap::{normal, read};
use crate::attempt::Attempt;
use crate::bridge::adbc::Interrupt;
use crate::bridge::blocking::{self, Outlet};
use crate::driven::origin::{Origin, changed, described};
use crate::endpoint::ObjectRef;
use crate::error::Result;
use crate::formats::cut::Cutter;
use crate::reject::Tray;
use crate::source::{BatchStream, Cut, Pushdown, ReadPlan, Scan, Source, Split, SplitGoal, TableShape};

/// One object of a session.
#[derive(Debug)]
pub(super) struct AdbcSource {
    opened: Arc<Opened>,
    object: ObjectRef,
    columns: OnceCell<SchemaRef>,
}

impl AdbcSource {
    pub(super) fn new(opened: Arc<Opened>, object: ObjectRef) -> Self {
        Self { opened, object, columns: OnceCell::new() }
    }

    async fn columns(&self) -> Result<&SchemaRef> {
        let look = async || {
            let from = self.opened.origin(&self.object)?;
            let sql = from.sql(None, self.opened.config().quote);
            let columns = self.opened.connected("adbc-describe", move |mut connection| connection.columns(&sql)).await;
            let fields: Result<Vec<Field>> =
                columns.and_then(|columns| columns.fields().iter().map(|field| read(field)).collect());
            let checked = fields.and_then(described);
            checked.map_err(|error| self.opened.place(error.at("table", from.shown())))
        };
        self.columns.get_or_try_init(look).await
    }
}

#[async_trait]
impl Source for AdbcSource {
    async fn describe(&self) -> Result<TableShape> {
        Ok(TableShape::of(Arc::clone(self.columns().await?)))
    }

    fn pushdown(&self, _shape: &TableShape, _filter: &Expr) -> Pushdown {
        // What a comparison means is not the same for all that is reached through a driver.
        Pushdown::None
    }

    async fn plan(&self, _scan: &Scan, _goal: &SplitGoal) -> Result<ReadPlan> {
        let split = Split { id: 0, source: 0, rows: None, bytes: None, place: None, detail: Json::Null };
        let notes = vec!["one stream: drivers have no way in common to cut a table".to_owned()];
        Ok(ReadPlan { splits: vec![split], notes, cut: Cut::ByKey, ..ReadPlan::default() })
    }

    async fn read(
        &self,
        scan: &Scan,
        _split: &Split,
        _attempt: &Attempt,
        _tray: Option<&Arc<Tray>>,
    ) -> Result<BatchStream> {
        let from = self.opened.origin(&self.object)?;
        let connected = self.opened.connected("adbc-connect", |connection| Ok((connection.interrupt(), connection)));
        let (interrupt, connection) = connected.await?;
        let stop = Stop(interrupt);
        let (opened, scan) = (Arc::clone(&self.opened), scan.clone());
        let stream = blocking::stream("adbc-read", move |outlet| {
            let poured = pour(connection, &from, &scan, outlet);
            poured.map_err(|error| opened.place(error.at("table", from.shown())))
        })?;
        Ok(stream
            .map(move |batch| {
                let _held = &stop;
                batch
            })
            .boxed())
    }
}

/// Stops the statement when nobody reads its rows any more.
struct Stop(Interrupt);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

/// All rows, cut to size; ends early when there are enough or nobody reads any more.
fn pour(mut connection: Connection, from: &Origin, scan: &Scan, outlet: &Outlet) -> Result<()> {
    let config = connection.config().clone();
    let rows = connection.query(&from.sql(Some(&scan.schema), config.quote))?;
    let given = rows.schema();
    let names: Vec<&str> = given.fields().iter().map(|field| field.name().as_str()).collect();
    let places = from.places(&names, &scan.schema)?;
    let mut cutter = Cutter::new(Arc::clone(&scan.schema), scan.batch_rows, scan.batch_bytes);
    let mut left = scan.limit.unwrap_or(u64::MAX);
    for batch in rows {
        let batch = batch.map_err(|failure| failed(&config, &failure))?;
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(batch.num_rows());
        let batch = decoded(&batch.slice(0, wanted), &places, &scan.schema)?;
        left -= wanted as u64;
        if !cutter.add(batch, |batch| outlet.send(batch))? {
            return Ok(());
        }
        if left == 0 {
            break;
        }
    }
    if let Some(rest) = cutter.end()? {
        outlet.send(rest);
    }
    Ok(())
}

fn decoded(batch: &RecordBatch, places: &[usize], schema: &SchemaRef) -> Result<RecordBatch> {
    let column = |(place, field): (&usize, &Arc<Field>)| {
        alike(batch.column(*place), field.data_type()).map_err(|error| error.at("column", field.name()))
    };
    let columns = places.iter().zip(schema.fields()).map(column).collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// `array` as what it was described as; a driver that looks at rows may find another type at each reading.
fn alike(array: &ArrayRef, described: &DataType) -> Result<ArrayRef> {
    if array.data_type() == described {
        return Ok(Arc::clone(array));
    }
    if normal(array.data_type()) == *described {
        return Ok(cast(array, described)?);
    }
    Err(changed(array.data_type(), described))
}
