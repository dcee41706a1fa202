//! The reads of one job. Drivers have no way in common to share a point in time: each read has a connection of its own, and sees
//! what the database shows it then.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::bridge::blocking;
use crate::endpoint::{ObjectRef, OpenRequest, Session, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::source::Source;
use crate::sql::located::Located;

/// What the reads of a session share: the database `C`, and `H`, which stays open until the session is closed.
#[derive(Debug)]
pub struct Opened<C, H> {
    config: C,
    held: Mutex<Option<Arc<H>>>,
}

impl<C: Located, H: Send + Sync + 'static> Opened<C, H> {
    /// The database.
    pub fn config(&self) -> &C {
        &self.config
    }

    /// What stays open.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) when the session was closed.
    pub fn held(&self) -> Result<Arc<H>> {
        let held = self.held.lock().clone();
        held.ok_or_else(|| self.config.placed(Error::new(ErrorKind::Internal, "this session was closed already")))
    }

    /// Runs `work`, which blocks, on a thread that is named for what it `does`.
    ///
    /// # Errors
    /// Those of `work`, and of [`Opened::held`].
    pub async fn asked<T: Send + 'static>(
        &self,
        does: &str,
        work: impl FnOnce(&C, &Arc<H>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let held = self.held()?;
        self.config.asked(does, move |config| work(config, &held)).await
    }
}

/// What makes the source of an object.
pub type Make<C, H> = fn(Arc<Opened<C, H>>, ObjectRef) -> Arc<dyn Source>;

/// The session.
#[derive(Debug)]
pub struct DriverSession<C, H> {
    opened: Arc<Opened<C, H>>,
    source: Make<C, H>,
}

impl<C: Located, H: Send + Sync + 'static> DriverSession<C, H> {
    /// Opens one by `hold`, which finds out whether the database can be reached; `source` makes its sources.
    ///
    /// # Errors
    /// Those of `hold`; [`Unsupported`](ErrorKind::Unsupported) where the point in time of somebody else is to be joined.
    pub async fn open(
        config: &C,
        request: &OpenRequest,
        hold: impl FnOnce(&C) -> Result<Arc<H>> + Send + 'static,
        source: Make<C, H>,
    ) -> Result<Self> {
        if request.join.is_some() {
            let message = "a driver joins no point in time of others";
            return Err(config.placed(Error::new(ErrorKind::Unsupported, message)));
        }
        let held = config.asked("open", hold).await?;
        let opened = Opened { config: config.clone(), held: Mutex::new(Some(held)) };
        Ok(Self { opened: Arc::new(opened), source })
    }
}

#[async_trait]
impl<C: Located, H: fmt::Debug + Send + Sync + 'static> Session for DriverSession<C, H> {
    fn snapshot(&self) -> Snapshot {
        Snapshot::None
    }

    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        Ok((self.source)(Arc::clone(&self.opened), object.clone()))
    }

    async fn check(&self) -> Result<()> {
        self.opened.held().map(drop)
    }

    async fn close(&self) -> Result<()> {
        let held = self.opened.held.lock().take();
        // Whoever drops it last closes it, which may take its time.
        blocking::run(&format!("{}-close", C::CONNECTOR), move || {
            drop(held);
            Ok(())
        })
        .await
    }
}
