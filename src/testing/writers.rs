//! An endpoint whose writers are wrapped, for tests that change or note what writers get.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::attempt::{Attempt, Token};
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, StepToken};
use crate::error::Result;
use crate::proof::{Prover, Verdict};
use crate::reject::Refuse;
use crate::sink::{Agreement, Merged, Noted, Progress, Receipt, Sink, WriteRequest, Writer};
use crate::source::TableShape;
use crate::state::StateLog;

type Wrap = Arc<dyn Fn(Box<dyn Writer>) -> Box<dyn Writer> + Send + Sync>;

/// `inner` with each of its writers as `wrap` makes it. They get columns, never raw bytes.
pub fn wrapped(
    inner: Arc<dyn Endpoint>,
    wrap: impl Fn(Box<dyn Writer>) -> Box<dyn Writer> + Send + Sync + 'static,
) -> Arc<dyn Endpoint> {
    Arc::new(Wrapped { inner, wrap: Arc::new(wrap) })
}

struct Wrapped<T: ?Sized> {
    inner: Arc<T>,
    wrap: Wrap,
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Wrapped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wrapped").field(&self.inner).finish()
    }
}

#[async_trait]
impl Endpoint for Wrapped<dyn Endpoint> {
    fn label(&self) -> String {
        self.inner.label()
    }
    async fn list(&self, pattern: &str) -> Result<Vec<ObjectRef>> {
        self.inner.list(pattern).await
    }
    async fn ping(&self) -> Result<Ping> {
        self.inner.ping().await
    }
    async fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Session>> {
        self.inner.open(request).await
    }
    async fn reach(&self) -> Result<()> {
        self.inner.reach().await
    }
    async fn execute(&self, step: &StepToken, sql: &str) -> Result<()> {
        self.inner.execute(step, sql).await
    }
    async fn executed(&self, step: &StepToken) -> Result<Option<bool>> {
        self.inner.executed(step).await
    }
    async fn finish(&self, transfers: &[Agreement]) -> Result<()> {
        self.inner.finish(transfers).await
    }
    async fn state_log(&self, object: &ObjectRef) -> Result<Arc<dyn StateLog>> {
        self.inner.state_log(object).await
    }
    fn sink(&self, object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(Wrapped::<dyn Sink> { inner: self.inner.sink(object)?, wrap: Arc::clone(&self.wrap) }))
    }
}

#[async_trait]
impl Sink for Wrapped<dyn Sink> {
    async fn agree(&self, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
        self.inner.agree(incoming, request).await
    }
    async fn prepare(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        self.inner.prepare(agreement, token).await
    }
    async fn writer(&self, agreement: &Agreement, attempt: &Attempt) -> Result<Box<dyn Writer>> {
        Ok((self.wrap)(self.inner.writer(agreement, attempt).await?))
    }
    async fn progress(&self, agreement: &Agreement, token: &Token, logged: &[Receipt]) -> Result<Progress> {
        self.inner.progress(agreement, token, logged).await
    }
    async fn verify(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<Verdict> {
        self.inner.verify(agreement, token, receipts).await
    }
    fn checksum(&self, agreement: &Agreement) -> Option<String> {
        self.inner.checksum(agreement)
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
        self.inner.sift(agreement, token, receipts, refuse).await
    }
    async fn commit(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<()> {
        self.inner.commit(agreement, token, receipts).await
    }
    async fn abort(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        self.inner.abort(agreement, token).await
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
}
