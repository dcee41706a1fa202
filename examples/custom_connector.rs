//! A source and a sink of one's own: squares are computed on one side and printed on the other.
//!
//! `cargo run --example custom_connector`
#![allow(clippy::print_stdout, clippy::unused_self, reason = "an example shows what it did")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::pretty::pretty_format_batches;
use arrow_etl::attempt::{Attempt, Token};
use arrow_etl::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, Snapshot, StepToken};
use arrow_etl::error::{Error, ErrorKind, Result};
use arrow_etl::job::{Job, Place};
use arrow_etl::reject::{Refusals, Tray};
use arrow_etl::run::{Between, Surroundings, copy};
use arrow_etl::sink::{Agreement, ColumnPlan, Guarantee, Kept, Publish, Receipt, Sink, WriteRequest, Writer, Writers};
use arrow_etl::source::{BatchStream, Pushdown, ReadPlan, Scan, Source, Split, SplitGoal, TableShape};
use async_trait::async_trait;
use datafusion::logical_expr::Expr;
use futures::StreamExt as _;
use serde_json::{Value as Json, json};

const ROWS_PER_SPLIT: i64 = 4;

/// Both ends live in one endpoint here; most endpoints are a database, a file or a service.
#[derive(Debug, Default)]
struct Squares {
    staged: Arc<Mutex<BTreeMap<String, Vec<RecordBatch>>>>,
}

#[async_trait]
impl Endpoint for Squares {
    fn label(&self) -> String {
        "squares".to_owned()
    }

    async fn list(&self, _: &str) -> Result<Vec<ObjectRef>> {
        Ok(vec![ObjectRef::Whole])
    }

    async fn ping(&self) -> Result<Ping> {
        Ok(Ping { server: "arithmetic".to_owned(), facts: Vec::new(), missing: Vec::new() })
    }

    async fn open(&self, _: &OpenRequest) -> Result<Arc<dyn Session>> {
        Ok(Arc::new(Timeless))
    }

    async fn execute(&self, _: &StepToken, _: &str) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "squares answer no SQL"))
    }

    async fn finish(&self, _: &[Agreement]) -> Result<()> {
        Ok(())
    }

    fn sink(&self, _: &ObjectRef) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(Print { staged: Arc::clone(&self.staged) }))
    }
}

/// Squares do not change, so every point in time is the same.
#[derive(Debug)]
struct Timeless;

#[async_trait]
impl Session for Timeless {
    fn snapshot(&self) -> Snapshot {
        Snapshot::Private
    }

    fn source(&self, _: &ObjectRef) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(Numbers { rows: 10 }))
    }

    async fn check(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// The numbers from 0 and their squares.
#[derive(Debug)]
struct Numbers {
    rows: i64,
}

#[async_trait]
impl Source for Numbers {
    async fn describe(&self) -> Result<TableShape> {
        let column = |name| Field::new(name, DataType::Int64, false);
        let schema = Arc::new(Schema::new(vec![column("number"), column("square")]));
        Ok(TableShape { key: vec!["number".to_owned()], rows: Some(self.rows as u64), ..TableShape::of(schema) })
    }

    fn pushdown(&self, _: &TableShape, _: &Expr) -> Pushdown {
        Pushdown::None
    }

    /// A split is anything that JSON can hold: here the first number of a range.
    async fn plan(&self, _: &Scan, _: &SplitGoal) -> Result<ReadPlan> {
        let starts = (0..self.rows).step_by(ROWS_PER_SPLIT as usize);
        let split = |(id, start): (usize, i64)| Split {
            id: id as u32,
            source: 0,
            rows: Some(ROWS_PER_SPLIT as u64),
            bytes: None,
            place: Some(format!("from {start} on")),
            detail: json!(start),
        };
        let splits = starts.enumerate().map(split).collect();
        Ok(ReadPlan { splits, notes: vec![format!("ranges of {ROWS_PER_SPLIT} numbers")], ..ReadPlan::default() })
    }

    /// Only the columns of the scan, in its order: the engine checks that. Every number can be read, so no row goes into the tray.
    async fn read(&self, scan: &Scan, split: &Split, _: &Attempt, _: Option<&Arc<Tray>>) -> Result<BatchStream> {
        let start =
            split.detail.as_i64().ok_or_else(|| Error::new(ErrorKind::Internal, "a split of another source"))?;
        let numbers = start..(start + ROWS_PER_SPLIT).min(self.rows);
        let column = |field: &Arc<Field>| -> ArrayRef {
            let power = if field.name() == "square" { 2 } else { 1 };
            Arc::new(Int64Array::from_iter_values(numbers.clone().map(|number| number.pow(power))))
        };
        let columns = scan.schema.fields().iter().map(column).collect();
        let batch = RecordBatch::try_new(Arc::clone(&scan.schema), columns)?;
        Ok(futures::stream::iter([Ok(batch)]).boxed())
    }
}

/// Keeps what tasks wrote until the commit, then prints it.
#[derive(Debug)]
struct Print {
    staged: Arc<Mutex<BTreeMap<String, Vec<RecordBatch>>>>,
}

impl Print {
    fn staged(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<RecordBatch>>> {
        self.staged.lock().expect("no writer panics while it stages")
    }
}

#[async_trait]
impl Sink for Print {
    async fn agree(&self, incoming: &TableShape, _: &WriteRequest) -> Result<Agreement> {
        let exact = |field: &Arc<Field>| ColumnPlan::exact(field.name(), &field.data_type().to_string());
        Ok(Agreement {
            label: "the terminal".to_owned(),
            target: Arc::clone(&incoming.schema),
            columns: incoming.schema.fields().iter().map(exact).collect(),
            ddl: Vec::new(),
            writers: Writers::Any,
            publish: Publish::AtOnce,
            guarantee: Guarantee::AtLeastOnce,
            kept: Kept::Nothing,
            marked: false,
            refusals: Refusals::Fail,
            task_bytes: None,
            notes: Vec::new(),
            detail: Json::Null,
        })
    }

    async fn prepare(&self, _: &Agreement, _: &Token) -> Result<()> {
        Ok(())
    }

    async fn writer(&self, _: &Agreement, attempt: &Attempt) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Stage { staged: Arc::clone(&self.staged), attempt: attempt.clone(), batches: Vec::new() }))
    }

    /// Exactly the attempts of the receipts become visible, in the order of their splits.
    async fn commit(&self, agreement: &Agreement, _: &Token, receipts: &[Receipt]) -> Result<()> {
        let mut receipts: Vec<&Receipt> = receipts.iter().collect();
        receipts.sort_by_key(|receipt| receipt.splits.first().copied());
        let staged = std::mem::take(&mut *self.staged());
        let chosen = receipts.iter().filter_map(|receipt| staged.get(&receipt.attempt)).flatten();
        let batches: Vec<RecordBatch> = chosen.cloned().collect();
        println!("{}\n{}", agreement.label, pretty_format_batches(&batches)?);
        Ok(())
    }

    async fn abort(&self, _: &Agreement, _: &Token) -> Result<()> {
        self.staged().clear();
        Ok(())
    }
}

/// The writer of one attempt. What it has not flushed is gone with it.
struct Stage {
    staged: Arc<Mutex<BTreeMap<String, Vec<RecordBatch>>>>,
    attempt: Attempt,
    batches: Vec<RecordBatch>,
}

#[async_trait]
impl Writer for Stage {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.batches.push(batch);
        Ok(())
    }

    async fn flush(&mut self, _: &Token) -> Result<Receipt> {
        let batches = std::mem::take(&mut self.batches);
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let bytes = batches.iter().map(|batch| batch.get_array_memory_size() as u64).sum();
        self.staged.lock().expect("no writer panics while it stages").insert(self.attempt.id.clone(), batches);
        Ok(Receipt::of(&self.attempt, rows, bytes, Json::Null))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let squares: Arc<dyn Endpoint> = Arc::new(Squares::default());
    let place = Place::new("squares", Json::Null, ObjectRef::Whole);
    let mut job = Job::new(place.clone(), place);
    job.transform.filter = Some("square % 2 = 0".to_owned());
    let between = Between { source: Arc::clone(&squares), target: squares, also: Vec::new() };
    let summary = copy(&job, between, &Surroundings::default()).await?;
    println!("{} rows", summary.rows);
    Ok(())
}
