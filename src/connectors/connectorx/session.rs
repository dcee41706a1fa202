//! The reads of one job. ConnectorX shares no point in time: each read logs in anew, and sees what the database shows it then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::config::Config;
use super::database::reach;
use super::endpoint::placed;
use super::read::ConnectorXSource;
use crate::bridge::blocking;
use crate::driven::origin::Origin;
use crate::endpoint::{ObjectRef, OpenRequest, Session, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::source::Source;

/// What the reads of a session share.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) config: Config,
    closed: AtomicBool,
}

impl Opened {
    pub(super) fn place(&self, error: Error) -> Error {
        placed(&self.config, error)
    }

    /// What `object` names.
    pub(super) fn origin(&self, object: &ObjectRef) -> Result<Origin> {
        Origin::of(object, "connectorx:postgresql://ada@db/shop#orders").map_err(|error| self.place(error))
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(self.place(Error::new(ErrorKind::Internal, "this session was closed already")));
        }
        Ok(())
    }

    /// Runs `work`, which blocks.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Config) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.check()?;
        let config = self.config.clone();
        blocking::run(name, move || work(&config)).await.map_err(|error| self.place(error))
    }
}

/// The session.
#[derive(Debug)]
pub(super) struct ConnectorXSession(Arc<Opened>);

impl ConnectorXSession {
    pub(super) async fn open(config: &Config, request: &OpenRequest) -> Result<Self> {
        if request.join.is_some() {
            let error = Error::new(ErrorKind::Unsupported, "ConnectorX joins no point in time of others");
            return Err(placed(config, error));
        }
        let opened = Arc::new(Opened { config: config.clone(), closed: AtomicBool::new(false) });
        // Whether it can be reached is to be known now.
        opened.run("connectorx-open", reach).await?;
        Ok(Self(opened))
    }
}

#[async_trait]
impl Session for ConnectorXSession {
    fn snapshot(&self) -> Snapshot {
        Snapshot::None
    }

    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(ConnectorXSource::new(Arc::clone(&self.0), object.clone())))
    }

    async fn check(&self) -> Result<()> {
        self.0.check()
    }

    async fn close(&self) -> Result<()> {
        self.0.closed.store(true, Ordering::Release);
        Ok(())
    }
}
