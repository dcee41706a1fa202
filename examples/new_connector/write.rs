//! The sink: a stage that nobody sees, the writer of one attempt, and the commit that publishes exactly its receipts.

use arrow::array::RecordBatch;
use async_trait::async_trait;

use super::agree;
use super::config::Config;
use super::endpoint::missing;
use crate::attempt::{Attempt, Token};
use crate::endpoint::ObjectRef;
use crate::error::{Error, Result};
use crate::sink::{Agreement, Receipt, Sink, WriteRequest, Writer};
use crate::source::TableShape;

/// The sink of one object.
#[derive(Debug)]
pub(super) struct SampleSink {
    config: Config,
    object: ObjectRef,
}

/// The bulk path of one attempt. Dropping it discards what it has not flushed.
struct SampleWriter {
    label: String,
}

impl SampleSink {
    pub(super) fn new(config: Config, object: ObjectRef) -> Self {
        Self { config, object }
    }

    fn label(&self) -> String {
        format!("{}#{}", self.config.label(), self.object)
    }

    fn missing(&self, what: &str) -> Error {
        missing(what).at("target", self.label())
    }

    /// Rows of the target; none where it is missing.
    #[expect(clippy::unused_async, reason = "the place will be asked")]
    async fn rows(&self) -> Result<Option<u64>> {
        Err(self.missing("look what is in the place of the target (write.rs)"))
    }
}

#[async_trait]
impl Sink for SampleSink {
    async fn agree(&self, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
        agree::agree(incoming, request, (self.label(), self.rows().await?))
    }

    /// May be called twice for one token.
    async fn prepare(&self, _agreement: &Agreement, _token: &Token) -> Result<()> {
        Err(self.missing("make a stage for the rows (write.rs)"))
    }

    async fn writer(&self, _agreement: &Agreement, _attempt: &Attempt) -> Result<Box<dyn Writer>> {
        Ok(Box::new(SampleWriter { label: self.label() }))
    }

    /// What `receipts` name becomes visible at once, nothing else does, and a second call changes nothing.
    async fn commit(&self, _agreement: &Agreement, _token: &Token, _receipts: &[Receipt]) -> Result<()> {
        Err(self.missing("make the rows of its receipts visible (write.rs)"))
    }

    async fn abort(&self, _agreement: &Agreement, _token: &Token) -> Result<()> {
        Err(self.missing("sweep what was staged and not committed (write.rs)"))
    }
}

#[async_trait]
impl Writer for SampleWriter {
    async fn write(&mut self, _batch: RecordBatch) -> Result<()> {
        Err(missing("send a batch (write.rs)").at("target", &self.label))
    }

    async fn flush(&mut self, _token: &Token) -> Result<Receipt> {
        Err(missing("make what it sent durable and give a receipt (write.rs)").at("target", &self.label))
    }
}
