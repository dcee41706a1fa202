//! One place: what is in it, its sessions and its sinks. Nothing is open before a call.

use std::sync::Arc;

use async_trait::async_trait;

use super::config::Config;
//# source
use super::session::SampleSession;
//# end
//# sink
use super::write::SampleSink;
//# end
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, StepToken};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Agreement, Sink};

/// The endpoint.
#[derive(Debug)]
pub(super) struct SampleEndpoint {
    config: Config,
}

/// The error of a part that is still to be written; conformance lists them all. It goes with the last of them.
pub(super) fn missing(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("sample does not yet {what}"))
}

impl SampleEndpoint {
    pub(super) fn new(config: Config) -> Self {
        Self { config }
    }
}

#[async_trait]
impl Endpoint for SampleEndpoint {
    fn label(&self) -> String {
        self.config.label()
    }

    async fn list(&self, _pattern: &str) -> Result<Vec<ObjectRef>> {
        Err(missing("list the objects whose names match a pattern (endpoint.rs)"))
    }

    async fn ping(&self) -> Result<Ping> {
        Err(missing("say what it has reached and what is missing for bulk work (endpoint.rs)"))
    }

//# source
    async fn open(&self, _request: &OpenRequest) -> Result<Arc<dyn Session>> {
        Ok(Arc::new(SampleSession::open(self.config.clone())))
    }
//# no source
    async fn open(&self, _request: &OpenRequest) -> Result<Arc<dyn Session>> {
        Err(Error::new(ErrorKind::Unsupported, "sample takes rows and gives none"))
    }
//# end

    async fn execute(&self, _step: &StepToken, _sql: &str) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "sample runs no SQL"))
    }

    async fn finish(&self, _transfers: &[Agreement]) -> Result<()> {
        Ok(())
    }

//# sink
    fn sink(&self, object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(SampleSink::new(self.config.clone(), object.clone())))
    }
//# no sink
    fn sink(&self, _object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        Err(Error::new(ErrorKind::Unsupported, "sample gives rows and takes none"))
    }
//# end
}
