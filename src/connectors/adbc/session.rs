//! The reads of one job. Drivers have no portable way to share a point in time: each read has a connection of its own, and sees
//! what the database shows it then.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::config::Config;
use super::database::{Connection, Database};
use super::endpoint::placed;
use super::read::AdbcSource;
use crate::bridge::blocking;
use crate::driven::origin::Origin;
use crate::endpoint::{ObjectRef, OpenRequest, Session, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::source::Source;

/// The database of a session, which stays open until the session is closed.
#[derive(Debug)]
pub(super) struct Opened {
    config: Config,
    database: Mutex<Option<Arc<Database>>>,
}

impl Opened {
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    fn database(&self) -> Result<Arc<Database>> {
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        database.clone().ok_or_else(|| self.place(Error::new(ErrorKind::Internal, "this session was closed already")))
    }

    pub(super) fn place(&self, error: Error) -> Error {
        placed(&self.config, error)
    }

    /// What `object` names.
    pub(super) fn origin(&self, object: &ObjectRef) -> Result<Origin> {
        Origin::of(object, "adbc:sqlite?uri=shop.db#orders").map_err(|error| self.place(error))
    }

    /// A new connection, with what `work` makes of it.
    pub(super) async fn connected<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (database, config) = (self.database()?, self.config.clone());
        let connected = blocking::run(name, move || work(database.connect(&config)?)).await;
        connected.map_err(|error| self.place(error))
    }
}

/// The session.
#[derive(Debug)]
pub(super) struct AdbcSession(Arc<Opened>);

impl AdbcSession {
    pub(super) async fn open(config: &Config, request: &OpenRequest) -> Result<Self> {
        if request.join.is_some() {
            let message = "a driver of ADBC joins no point in time of others";
            return Err(placed(config, Error::new(ErrorKind::Unsupported, message)));
        }
        let settings = config.clone();
        let opened = blocking::run("adbc-open", move || Database::open(&settings)).await;
        let database = opened.map_err(|error| placed(config, error))?;
        Ok(Self(Arc::new(Opened { config: config.clone(), database: Mutex::new(Some(database)) })))
    }
}

#[async_trait]
impl Session for AdbcSession {
    fn snapshot(&self) -> Snapshot {
        Snapshot::None
    }

    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(AdbcSource::new(Arc::clone(&self.0), object.clone())))
    }

    async fn check(&self) -> Result<()> {
        self.0.database().map(drop)
    }

    async fn close(&self) -> Result<()> {
        let database = self.0.database.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last one closes it, which may take its time.
        blocking::run("adbc-close", move || {
            drop(database);
            Ok(())
        })
        .await
    }
}
