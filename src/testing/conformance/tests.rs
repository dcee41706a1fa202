//! The suite finds what it is there to find: each defect, put into a sound connector, fails the checks named.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field};
use async_trait::async_trait;
use datafusion::logical_expr::Expr;
use futures::{StreamExt as _, stream};
use parking_lot::Mutex;

use super::{Fixture, Target, check, check_parts};
use crate::attempt::{Attempt, Token};
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, Snapshot, StepToken};
use crate::error::Result;
use crate::proof::Verdict;
use crate::reject::Tray;
use crate::sink::{Agreement, Receipt, Sink, WriteMode, WriteRequest, Writer};
use crate::source::{BatchStream, Pushdown, ReadPlan, Scan, Source, Split, SplitGoal, TableShape};
use crate::testing::generate;
use crate::testing::memory::{Memory, MemoryConnector};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Defect {
    None,
    /// A second commit adds the rows again.
    CommitsAgain,
    /// Rows are visible when they are flushed.
    VisibleAtFlush,
    /// A later attempt of a task adds to an earlier one.
    KeepsOldAttempts,
    /// An empty text becomes NULL.
    EmptyIsNull,
    /// A split has no rows when it is read again.
    ReadsOnce,
    /// Batches are as large as splits.
    LargeBatches,
    /// The columns come in the order of the table.
    OwnColumns,
    /// A batch is closed at four times the bytes.
    WideBatches,
    /// A source reads splits that it has cut itself alone.
    NeedsPlan,
    /// Abort sweeps nothing.
    KeepsStage,
    /// Every stage is what its receipts say.
    TrustsReceipts,
    /// A table that is to be emptied is empty before the commit.
    EmptiesEarly,
}

#[derive(Clone, Debug)]
struct Broken {
    defect: Defect,
    memory: Memory,
    reads: Arc<AtomicUsize>,
    flushed: Arc<Mutex<Vec<RecordBatch>>>,
    /// The tables of the last target.
    latest: Arc<Mutex<Memory>>,
}

impl Broken {
    fn add(&self, batches: &[RecordBatch]) {
        let Some(first) = batches.first() else { return };
        let old = self.memory.table("t").map_or_else(|| RecordBatch::new_empty(first.schema()), |table| table.rows);
        self.memory.insert("t", concat_batches(&first.schema(), std::iter::once(&old).chain(batches)).unwrap(), 7);
    }
}

#[async_trait]
impl Fixture for Broken {
    async fn target(&self) -> Result<Target> {
        let fresh = Self { memory: Memory::new(), reads: Arc::default(), flushed: Arc::default(), ..self.clone() };
        *self.latest.lock() = fresh.memory.clone();
        Ok(Target::new(Arc::new(fresh), ObjectRef::Table("t".to_owned())))
    }
    fn fields(&self) -> Vec<Field> {
        generate::fields_named(&["int64", "text", "float64"])
    }
    fn longest(&self) -> usize {
        1 << 20
    }
    async fn debris(&self, _target: &Target) -> Result<Vec<String>> {
        let staged = self.latest.lock().staged();
        Ok((0..staged).map(|_| "rows of an attempt".to_owned()).collect())
    }
}

#[async_trait]
impl Endpoint for Broken {
    fn label(&self) -> String {
        String::new()
    }
    async fn list(&self, pattern: &str) -> Result<Vec<ObjectRef>> {
        Endpoint::list(&self.memory, pattern).await
    }
    async fn ping(&self) -> Result<Ping> {
        self.memory.ping().await
    }
    async fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Session>> {
        let inner = Endpoint::open(&self.memory, request).await?;
        Ok(Arc::new(BrokenSession { inner, broken: self.clone() }))
    }
    async fn execute(&self, step: &StepToken, sql: &str) -> Result<()> {
        self.memory.execute(step, sql).await
    }
    async fn finish(&self, transfers: &[Agreement]) -> Result<()> {
        self.memory.finish(transfers).await
    }
    fn sink(&self, object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(BrokenSink { inner: Endpoint::sink(&self.memory, object)?, broken: self.clone() }))
    }
}

#[derive(Debug)]
struct BrokenSession {
    inner: Arc<dyn Session>,
    broken: Broken,
}

#[async_trait]
impl Session for BrokenSession {
    fn snapshot(&self) -> Snapshot {
        self.inner.snapshot()
    }
    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        let inner = self.inner.source(object)?;
        Ok(Arc::new(BrokenSource { inner, broken: self.broken.clone(), planned: AtomicUsize::new(0) }))
    }
    async fn check(&self) -> Result<()> {
        self.inner.check().await
    }
    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[derive(Debug)]
struct BrokenSource {
    inner: Arc<dyn Source>,
    broken: Broken,
    planned: AtomicUsize,
}

#[async_trait]
impl Source for BrokenSource {
    async fn describe(&self) -> Result<TableShape> {
        self.inner.describe().await
    }
    fn pushdown(&self, shape: &TableShape, filter: &Expr) -> Pushdown {
        self.inner.pushdown(shape, filter)
    }
    async fn plan(&self, scan: &Scan, goal: &SplitGoal) -> Result<ReadPlan> {
        self.planned.fetch_add(1, Ordering::SeqCst);
        self.inner.plan(scan, goal).await
    }
    async fn read(
        &self,
        scan: &Scan,
        split: &Split,
        attempt: &Attempt,
        tray: Option<&Arc<Tray>>,
    ) -> Result<BatchStream> {
        let mut scan = scan.clone();
        match self.broken.defect {
            Defect::ReadsOnce if self.broken.reads.fetch_add(1, Ordering::SeqCst) >= 3 => {
                return Ok(stream::empty().boxed());
            }
            Defect::NeedsPlan if self.planned.load(Ordering::SeqCst) == 0 => return Ok(stream::empty().boxed()),
            Defect::WideBatches => scan.batch_bytes *= 4,
            Defect::LargeBatches => (scan.batch_rows, scan.batch_bytes) = (usize::MAX, usize::MAX),
            Defect::OwnColumns => {
                let all = self.inner.describe().await?.schema;
                scan.schema = Arc::new(all.project(&(0..scan.schema.fields().len()).collect::<Vec<_>>())?);
            }
            _ => {}
        }
        self.inner.read(&scan, split, attempt, tray).await
    }
}

#[derive(Debug)]
struct BrokenSink {
    inner: Arc<dyn Sink>,
    broken: Broken,
}

#[async_trait]
impl Sink for BrokenSink {
    async fn agree(&self, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
        self.inner.agree(incoming, request).await
    }
    async fn prepare(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        if let (Defect::EmptiesEarly, Some(table)) = (self.broken.defect, self.broken.memory.table("t"))
            && serde_json::from_value::<WriteMode>(agreement.detail["mode"].clone())? == WriteMode::Truncate
        {
            self.broken.memory.insert("t", RecordBatch::new_empty(table.schema), 7);
        }
        self.inner.prepare(agreement, token).await
    }
    async fn writer(&self, agreement: &Agreement, attempt: &Attempt) -> Result<Box<dyn Writer>> {
        let inner = self.inner.writer(agreement, attempt).await?;
        Ok(Box::new(BrokenWriter { inner, broken: self.broken.clone(), batches: Vec::new() }))
    }
    async fn verify(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<Verdict> {
        match self.broken.defect {
            Defect::TrustsReceipts => Ok(Verdict::Equal),
            _ => self.inner.verify(agreement, token, receipts).await,
        }
    }
    fn checksum(&self, agreement: &Agreement) -> Option<String> {
        self.inner.checksum(agreement)
    }
    async fn commit(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<()> {
        let before = self.broken.memory.counts().commits;
        self.inner.commit(agreement, token, receipts).await?;
        let first = self.broken.memory.counts().commits > before;
        let flushed = self.broken.flushed.lock().clone();
        match self.broken.defect {
            Defect::CommitsAgain if !first => self.broken.add(&flushed),
            Defect::KeepsOldAttempts if first && flushed.len() > receipts.len() => self.broken.add(&flushed[1..]),
            _ => {}
        }
        Ok(())
    }
    async fn abort(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        if self.broken.defect == Defect::KeepsStage {
            return Ok(());
        }
        self.inner.abort(agreement, token).await
    }
}

struct BrokenWriter {
    inner: Box<dyn Writer>,
    broken: Broken,
    batches: Vec<RecordBatch>,
}

#[async_trait]
impl Writer for BrokenWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let batch = if self.broken.defect == Defect::EmptyIsNull { emptied(&batch) } else { batch };
        self.batches.push(batch.clone());
        self.inner.write(batch).await
    }
    async fn flush(&mut self, token: &Token) -> Result<Receipt> {
        if self.broken.defect == Defect::VisibleAtFlush {
            self.broken.add(&self.batches);
        }
        self.broken.flushed.lock().append(&mut self.batches);
        self.inner.flush(token).await
    }
}

fn emptied(batch: &RecordBatch) -> RecordBatch {
    let column = |array: &ArrayRef| -> ArrayRef {
        if *array.data_type() != DataType::Utf8 {
            return Arc::clone(array);
        }
        let texts = array.as_string::<i32>().iter();
        Arc::new(texts.map(|text| text.filter(|text| !text.is_empty())).collect::<StringArray>())
    };
    RecordBatch::try_new(batch.schema(), batch.columns().iter().map(column).collect()).unwrap()
}

#[tokio::test]
async fn defects_are_found() {
    let cases: [(Defect, &[&str]); 13] = [
        (Defect::None, &[]),
        (Defect::CommitsAgain, &["commit twice"]),
        (Defect::VisibleAtFlush, &["several writers", "abort twice", "killed after flush"]),
        (Defect::KeepsOldAttempts, &["attempt after a flushed one", "begun anew"]),
        (Defect::EmptyIsNull, &["types", "long values"]),
        (Defect::ReadsOnce, &["split read twice"]),
        (Defect::LargeBatches, &["batch limits"]),
        (Defect::OwnColumns, &["some columns"]),
        (Defect::WideBatches, &["batch limits"]),
        (Defect::NeedsPlan, &["split read twice"]),
        (Defect::KeepsStage, &["abort twice", "killed after flush"]),
        (Defect::TrustsReceipts, &["verify"]),
        (Defect::EmptiesEarly, &["abort twice", "killed before flush"]),
    ];
    for (defect, expected) in cases {
        let report = check(&broken(defect)).await;
        let failed: Vec<_> = report.failed.iter().map(|(name, _)| *name).collect();
        assert!(expected.iter().all(|name| failed.contains(name)), "{defect:?}: {report}");
        assert_eq!(defect == Defect::None, report.passed(), "{defect:?}: {report}");
    }
}

fn broken(defect: Defect) -> Broken {
    Broken { defect, memory: Memory::new(), reads: Arc::default(), flushed: Arc::default(), latest: Arc::default() }
}

/// Of the connector in memory all is written but its page, as no user meets it. What a new one lacks is seen by the tests of
/// the example that begins one.
#[tokio::test]
async fn parts_that_are_written_are_not_named() {
    let report = check_parts(&MemoryConnector, &broken(Defect::None)).await;
    let failed: Vec<_> = report.failed.iter().map(|(part, _)| *part).collect();
    assert_eq!(failed, ["page"; 8], "{report}");
    assert_eq!(report.checks, 23);
}
