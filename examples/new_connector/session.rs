//! The open point in time that all reads of a job share: connections, a snapshot, locks. Dropping it releases all.

use std::sync::Arc;

use async_trait::async_trait;

use super::config::Config;
use super::read::SampleSource;
use crate::endpoint::{ObjectRef, Session, Snapshot};
use crate::error::Result;
use crate::source::Source;

/// The session.
#[derive(Debug)]
pub(super) struct SampleSession {
    config: Config,
}

impl SampleSession {
    pub(super) fn open(config: Config) -> Self {
        Self { config }
    }
}

#[async_trait]
impl Session for SampleSession {
    /// `None` promises nothing: say more when several reads see the same moment.
    fn snapshot(&self) -> Snapshot {
        Snapshot::None
    }

    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(SampleSource::new(self.config.clone(), object.clone())))
    }

    async fn check(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
