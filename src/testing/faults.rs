//! Wrappers of the contract's traits that fail, hang or dawdle at a chosen call, or let a test stand between the engine and the
//! writers, for tests of what happens then.
//!
//! ```
//! use arrow_etl::error::ErrorKind;
//! use arrow_etl::testing::{faults::{Fault, Faults, Point}, memory::Memory};
//!
//! let faults = Faults::new().nth(Point::Flush, 2, Fault::FailAfter(ErrorKind::Connection));
//! let endpoint = faults.endpoint(Memory::new().endpoint());
//! ```

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::logical_expr::Expr;
use futures::stream::BoxStream;
use futures::{StreamExt as _, stream};
use parking_lot::Mutex;

use crate::attempt::{Attempt, Token};
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, Snapshot, StepToken};
use crate::error::{Error, ErrorKind, Result};
use crate::proof::{Prover, Verdict, Verify};
use crate::reject::{Refusal, Refusals, Refuse, Settled, Tray};
use crate::sink::{Agreement, Merged, Noted, Progress, Receipt, Sink, WriteRequest, Writer};
use crate::source::{
    BatchStream, Encoding, Late, Mark, Pushdown, RawStream, ReadPlan, Scan, Source, Split, SplitGoal, TableShape,
};
use crate::state::StateLog;

/// A call at which something can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// [`Endpoint::open`].
    Open,
    /// [`Endpoint::reach`].
    Reach,
    /// [`Endpoint::execute`].
    Execute,
    /// [`Endpoint::finish`].
    Finish,
    /// [`Session::check`].
    Check,
    /// [`Session::close`].
    Close,
    /// [`Source::describe`].
    Describe,
    /// [`Source::plan`].
    Plan,
    /// [`Source::read`] and [`Source::read_raw`].
    Read,
    /// Each batch, or each piece of raw bytes, of a stream that was read.
    Batch,
    /// [`Sink::agree`].
    Agree,
    /// [`Sink::prepare`].
    Prepare,
    /// [`Sink::writer`].
    Writer,
    /// [`Writer::write`] and [`Writer::write_raw`].
    Write,
    /// [`Writer::flush`].
    Flush,
    /// [`Sink::progress`].
    Progress,
    /// [`Sink::verify`].
    Verify,
    /// [`Sink::sift`].
    Sift,
    /// [`Sink::commit`].
    Commit,
    /// [`Sink::abort`].
    Abort,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call does nothing and fails.
    Fail(ErrorKind),
    /// The call does its work and fails all the same: the answer is lost.
    FailAfter(ErrorKind),
    /// The call refuses what it is given, for good: of a batch to be written the first row alone, where such rows are left out.
    Reject,
    /// The call never returns.
    Hang,
    /// The call is late.
    Slow(Duration),
}

/// Which calls go wrong, counted over everything that was wrapped with it.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    inner: Arc<Mutex<Inner>>,
    wrap: Option<Wrap>,
}

/// What stands between the engine and a writer.
#[derive(Clone)]
struct Wrap(Arc<Wrapper>);

type Wrapper = dyn Fn(Box<dyn Writer>) -> Box<dyn Writer> + Send + Sync;

impl fmt::Debug for Wrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wrap")
    }
}

#[derive(Debug, Default)]
struct Inner {
    rules: Vec<(Point, Option<usize>, Fault)>,
    calls: HashMap<Point, usize>,
}

impl Faults {
    /// No fault yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `fault` at every call of `point`.
    #[must_use]
    pub fn each(self, point: Point, fault: Fault) -> Self {
        self.inner(|inner| inner.rules.push((point, None, fault)));
        self
    }

    /// `fault` at the `nth` call of `point`, from 1.
    #[must_use]
    pub fn nth(self, point: Point, nth: usize, fault: Fault) -> Self {
        self.inner(|inner| inner.rules.push((point, Some(nth), fault)));
        self
    }

    /// Each writer as `wrap` makes it: it gets columns, never raw bytes.
    #[must_use]
    pub fn wrapping(self, wrap: impl Fn(Box<dyn Writer>) -> Box<dyn Writer> + Send + Sync + 'static) -> Self {
        Self { wrap: Some(Wrap(Arc::new(wrap))), ..self }
    }

    /// How often `point` was called.
    pub fn calls(&self, point: Point) -> usize {
        self.inner(|inner| inner.calls.get(&point).copied().unwrap_or(0))
    }

    /// `endpoint`, and all that comes from it, with these faults.
    pub fn endpoint(&self, endpoint: Arc<dyn Endpoint>) -> Arc<dyn Endpoint> {
        Arc::new(FaultyEndpoint { inner: endpoint, faults: self.clone() })
    }

    /// `source` with these faults.
    pub fn source(&self, source: Arc<dyn Source>) -> Arc<dyn Source> {
        Arc::new(FaultySource { inner: source, faults: self.clone() })
    }

    /// `sink`, and its writers, with these faults.
    pub fn sink(&self, sink: Arc<dyn Sink>) -> Arc<dyn Sink> {
        Arc::new(FaultySink { inner: sink, faults: self.clone() })
    }

    fn inner<T>(&self, use_it: impl FnOnce(&mut Inner) -> T) -> T {
        use_it(&mut self.inner.lock())
    }

    fn next(&self, point: Point) -> Option<Fault> {
        self.inner(|inner| {
            let calls = inner.calls.entry(point).or_default();
            *calls += 1;
            let hit = |rule: &&(Point, Option<usize>, Fault)| rule.0 == point && rule.1.is_none_or(|nth| nth == *calls);
            inner.rules.iter().find(hit).map(|(_, _, fault)| *fault)
        })
    }

    /// `call`, or what goes wrong with it.
    async fn at<T>(&self, point: Point, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        spoilt(self.next(point), point, call).await
    }

    /// Whether rows are to be rejected.
    fn has_rejects(&self) -> bool {
        self.inner(|inner| inner.rules.iter().any(|rule| (rule.0, rule.2) == (Point::Write, Fault::Reject)))
    }
}

/// `call` of `point`, or what `fault` makes of it.
async fn spoilt<T>(fault: Option<Fault>, point: Point, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
    match fault {
        None => call.await,
        Some(Fault::Fail(kind)) => Err(broken(kind, point)),
        Some(Fault::FailAfter(kind)) => {
            call.await?;
            Err(broken(kind, point))
        }
        Some(Fault::Reject) => Err(broken(ErrorKind::Constraint, point)),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Slow(time)) => {
            tokio::time::sleep(time).await;
            call.await
        }
    }
}

fn broken(kind: ErrorKind, point: Point) -> Error {
    Error::new(kind, format!("a fault at {point:?}, as asked for"))
}

impl Faults {
    /// `items`, each with what goes wrong with it.
    fn items<T: Send + 'static>(&self, items: BoxStream<'static, Result<T>>) -> BoxStream<'static, Result<T>> {
        let faulty = stream::unfold((items, self.clone()), |(mut items, faults)| async move {
            let item = faults.at(Point::Batch, async { items.next().await.transpose() }).await.transpose()?;
            Some((item, (items, faults)))
        });
        faulty.boxed()
    }
}

#[derive(Debug)]
struct FaultyEndpoint {
    inner: Arc<dyn Endpoint>,
    faults: Faults,
}

#[async_trait]
impl Endpoint for FaultyEndpoint {
    fn label(&self) -> String {
        self.inner.label()
    }
    fn unproven(&self) -> Option<String> {
        self.inner.unproven()
    }
    async fn list(&self, pattern: &str) -> Result<Vec<ObjectRef>> {
        self.inner.list(pattern).await
    }
    async fn ping(&self) -> Result<Ping> {
        self.inner.ping().await
    }
    async fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Session>> {
        let inner = self.faults.at(Point::Open, self.inner.open(request)).await?;
        Ok(Arc::new(FaultySession { inner, faults: self.faults.clone() }))
    }
    async fn reach(&self) -> Result<()> {
        self.faults.at(Point::Reach, self.inner.reach()).await
    }
    async fn execute(&self, step: &StepToken, sql: &str) -> Result<()> {
        self.faults.at(Point::Execute, self.inner.execute(step, sql)).await
    }
    async fn executed(&self, step: &StepToken) -> Result<Option<bool>> {
        self.inner.executed(step).await
    }
    async fn finish(&self, transfers: &[Agreement]) -> Result<()> {
        self.faults.at(Point::Finish, self.inner.finish(transfers)).await
    }
    async fn state_log(&self, object: &ObjectRef) -> Result<Arc<dyn StateLog>> {
        self.inner.state_log(object).await
    }
    fn sink(&self, object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        Ok(self.faults.sink(self.inner.sink(object)?))
    }
}

#[derive(Debug)]
struct FaultySession {
    inner: Arc<dyn Session>,
    faults: Faults,
}

#[async_trait]
impl Session for FaultySession {
    fn snapshot(&self) -> Snapshot {
        self.inner.snapshot()
    }
    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        Ok(self.faults.source(self.inner.source(object)?))
    }
    async fn check(&self) -> Result<()> {
        self.faults.at(Point::Check, self.inner.check()).await
    }
    async fn close(&self) -> Result<()> {
        self.faults.at(Point::Close, self.inner.close()).await
    }
}

#[derive(Debug)]
struct FaultySource {
    inner: Arc<dyn Source>,
    faults: Faults,
}

#[async_trait]
impl Source for FaultySource {
    async fn describe(&self) -> Result<TableShape> {
        self.faults.at(Point::Describe, self.inner.describe()).await
    }
    fn pushdown(&self, shape: &TableShape, filter: &Expr) -> Pushdown {
        self.inner.pushdown(shape, filter)
    }
    async fn plan(&self, scan: &Scan, goal: &SplitGoal) -> Result<ReadPlan> {
        self.faults.at(Point::Plan, self.inner.plan(scan, goal)).await
    }
    async fn mark(&self) -> Result<Option<Mark>> {
        self.inner.mark().await
    }
    async fn late(&self, mark: &Mark) -> Result<Late> {
        self.inner.late(mark).await
    }
    async fn read(
        &self,
        scan: &Scan,
        split: &Split,
        attempt: &Attempt,
        tray: Option<&Arc<Tray>>,
    ) -> Result<BatchStream> {
        let batches = self.faults.at(Point::Read, self.inner.read(scan, split, attempt, tray)).await?;
        Ok(self.faults.items(batches))
    }
    fn encoding(&self, scan: &Scan) -> Option<Encoding> {
        self.inner.encoding(scan)
    }
    async fn read_raw(&self, scan: &Scan, split: &Split, attempt: &Attempt) -> Result<RawStream> {
        let frames = self.faults.at(Point::Read, self.inner.read_raw(scan, split, attempt)).await?;
        Ok(self.faults.items(frames))
    }
}

#[derive(Debug)]
struct FaultySink {
    inner: Arc<dyn Sink>,
    faults: Faults,
}

#[async_trait]
impl Sink for FaultySink {
    async fn agree(&self, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
        let agreement = self.faults.at(Point::Agree, self.inner.agree(incoming, request)).await?;
        let refusals = if self.faults.has_rejects() { request.refusals } else { agreement.refusals };
        Ok(Agreement { refusals, ..agreement })
    }
    async fn prepare(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        self.faults.at(Point::Prepare, self.inner.prepare(agreement, token)).await
    }
    async fn writer(&self, agreement: &Agreement, attempt: &Attempt) -> Result<Box<dyn Writer>> {
        let inner = self.faults.at(Point::Writer, self.inner.writer(agreement, attempt)).await?;
        let inner = match &self.faults.wrap {
            Some(Wrap(wrap)) => wrap(inner),
            None => inner,
        };
        let (faults, refusals) = (self.faults.clone(), agreement.refusals);
        Ok(Box::new(FaultyWriter { inner, faults, refusals, rows: 0, refused: Vec::new() }))
    }
    async fn progress(&self, agreement: &Agreement, token: &Token, logged: &[Receipt]) -> Result<Progress> {
        self.faults.at(Point::Progress, self.inner.progress(agreement, token, logged)).await
    }
    async fn verify(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<Verdict> {
        self.faults.at(Point::Verify, self.inner.verify(agreement, token, receipts)).await
    }
    fn checksum(&self, agreement: &Agreement) -> Option<String> {
        self.inner.checksum(agreement)
    }
    fn holds_up(&self, agreement: &Agreement) -> Option<String> {
        self.inner.holds_up(agreement)
    }
    fn prover(&self, agreement: &Agreement) -> Result<Prover> {
        self.inner.prover(agreement)
    }
    async fn sift(
        &self,
        agreement: &Agreement,
        token: &Token,
        receipts: &[Receipt],
        refuse: &dyn Refuse,
    ) -> Result<()> {
        self.faults.at(Point::Sift, self.inner.sift(agreement, token, receipts, refuse)).await
    }
    async fn commit(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<()> {
        self.faults.at(Point::Commit, self.inner.commit(agreement, token, receipts)).await
    }
    async fn abort(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        self.faults.at(Point::Abort, self.inner.abort(agreement, token)).await
    }
    async fn position(&self, stream: &str) -> Result<Noted> {
        self.inner.position(stream).await
    }
    fn merged(&self, token: &Token) -> Option<Merged> {
        self.inner.merged(token)
    }
    fn notes(&self, token: &Token) -> Vec<String> {
        self.inner.notes(token)
    }
    fn takes(&self, agreement: &Agreement, encoding: &Encoding, verify: Verify) -> bool {
        self.faults.wrap.is_none() && self.inner.takes(agreement, encoding, verify)
    }
}

struct FaultyWriter {
    inner: Box<dyn Writer>,
    faults: Faults,
    refusals: Refusals,
    rows: u64,
    /// Rows that were rejected since somebody asked. The sink behind must refuse none by itself.
    refused: Vec<Refusal>,
}

#[async_trait]
impl Writer for FaultyWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let (fault, row) = (self.faults.next(Point::Write), self.rows);
        self.rows += batch.num_rows() as u64;
        if (fault, self.refusals) == (Some(Fault::Reject), Refusals::LeftOut) {
            self.refused.push(Refusal { row, error: broken(ErrorKind::Constraint, Point::Write) });
            return self.inner.write(batch.slice(1, batch.num_rows() - 1)).await;
        }
        spoilt(fault, Point::Write, self.inner.write(batch)).await
    }
    async fn write_raw(&mut self, bytes: Bytes, rows: u64) -> Result<()> {
        self.faults.at(Point::Write, self.inner.write_raw(bytes, rows)).await
    }
    fn settled(&mut self) -> Settled {
        let mut settled = self.inner.settled();
        settled.refused.append(&mut self.refused);
        settled
    }
    async fn flush(&mut self, token: &Token) -> Result<Receipt> {
        self.faults.at(Point::Flush, self.inner.flush(token)).await
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use futures::TryStreamExt as _;
    use serde_json::json;

    use super::*;

    /// Three pieces of raw bytes.
    #[derive(Debug)]
    struct Raw;

    #[async_trait]
    impl Source for Raw {
        async fn describe(&self) -> Result<TableShape> {
            Ok(TableShape::of(Arc::new(Schema::empty())))
        }
        fn pushdown(&self, _: &TableShape, _: &Expr) -> Pushdown {
            Pushdown::None
        }
        async fn plan(&self, _: &Scan, _: &SplitGoal) -> Result<ReadPlan> {
            Ok(ReadPlan::default())
        }
        async fn read(&self, _: &Scan, _: &Split, _: &Attempt, _: Option<&Arc<Tray>>) -> Result<BatchStream> {
            Ok(stream::empty().boxed())
        }
        async fn read_raw(&self, _: &Scan, _: &Split, _: &Attempt) -> Result<RawStream> {
            Ok(stream::iter((0..3).map(|rows| Ok((Bytes::from_static(b"x"), rows)))).boxed())
        }
    }

    #[tokio::test]
    async fn raw_bytes_have_faults_too() {
        let faults = Faults::new().nth(Point::Batch, 2, Fault::Fail(ErrorKind::Connection));
        let source = faults.source(Arc::new(Raw));
        let schema = source.describe().await.unwrap().schema;
        let scan = Scan { schema, filters: Vec::new().into(), limit: None, batch_rows: 1, batch_bytes: 1 };
        let split = Split { id: 0, source: 0, rows: None, bytes: None, place: None, detail: json!(null) };
        let token = Token { run: "r".to_owned(), transfer: 0, sink: 0, epoch: 0 };
        let mut frames = source.read_raw(&scan, &split, &Attempt::new(token, 0, vec![0])).await.unwrap();
        assert!(frames.try_next().await.unwrap().is_some());
        assert_eq!(frames.try_next().await.unwrap_err().kind(), ErrorKind::Connection);
        assert!(frames.try_next().await.unwrap().is_some());
    }
}
