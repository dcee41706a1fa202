//! The reads of one job. ODBC has no portable way to share a point in time: each read has a connection of its own, and sees what
//! the database shows it then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::config::Config;
use super::database::Connection;
use super::endpoint::placed;
use super::read::OdbcSource;
use crate::bridge::blocking;
use crate::driven::origin::Origin;
use crate::endpoint::{ObjectRef, OpenRequest, Session, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::source::Source;

/// What the reads of a session share.
#[derive(Debug)]
pub(super) struct Opened {
    config: Config,
    closed: AtomicBool,
}

impl Opened {
    pub(super) fn place(&self, error: Error) -> Error {
        placed(&self.config, error)
    }

    /// What `object` names.
    pub(super) fn origin(&self, object: &ObjectRef) -> Result<Origin> {
        Origin::of(object, "odbc:DSN#orders").map_err(|error| self.place(error))
    }

    fn check(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(self.place(Error::new(ErrorKind::Internal, "this session was closed already")));
        }
        Ok(())
    }

    /// A new connection, with what `work` makes of it.
    pub(super) async fn connected<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.check()?;
        let config = self.config.clone();
        let connected = blocking::run(name, move || work(Connection::open(&config)?)).await;
        connected.map_err(|error| self.place(error))
    }
}

/// The session.
#[derive(Debug)]
pub(super) struct OdbcSession(Arc<Opened>);

impl OdbcSession {
    pub(super) async fn open(config: &Config, request: &OpenRequest) -> Result<Self> {
        if request.join.is_some() {
            let message = "an ODBC driver joins no point in time of others";
            return Err(placed(config, Error::new(ErrorKind::Unsupported, message)));
        }
        let opened = Arc::new(Opened { config: config.clone(), closed: AtomicBool::new(false) });
        // Whether it can be reached is to be known now.
        opened.connected("odbc-open", |_| Ok(())).await?;
        Ok(Self(opened))
    }
}

#[async_trait]
impl Session for OdbcSession {
    fn snapshot(&self) -> Snapshot {
        Snapshot::None
    }

    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(OdbcSource::new(Arc::clone(&self.0), object.clone())))
    }

    async fn check(&self) -> Result<()> {
        self.0.check()
    }

    async fn close(&self) -> Result<()> {
        self.0.closed.store(true, Ordering::Release);
        Ok(())
    }
}
