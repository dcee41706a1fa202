//! A point in time of a place, held open for other processes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::endpoint::{OpenRequest, Session, Snapshot, SnapshotId};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::job::Place;
use crate::run::stages::endpoint;

/// How often the holder looks whether it still holds.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// A point in time that is held until this is dropped.
#[derive(Debug)]
pub struct Held {
    /// What others join it by.
    pub id: SnapshotId,
    session: Arc<dyn Session>,
}

/// Opens a point in time of `place`.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) where others cannot join one.
pub async fn hold(place: &Place) -> Result<Held> {
    let endpoint = endpoint(place)?;
    // As for several readers: with one alone nobody has to join.
    let request = OpenRequest { objects: vec![place.object.clone()], readers: 2, ..OpenRequest::default() };
    let session = endpoint.open(&request).await.at("source", || endpoint.label())?;
    match session.snapshot() {
        Snapshot::Shared(id) => Ok(Held { id, session }),
        Snapshot::Lasting(_) => {
            Err(Error::new(ErrorKind::Unsupported, "this source needs no holder: it is the same at any time")
                .at("source", endpoint.label()))
        }
        Snapshot::Private | Snapshot::None => {
            Err(Error::new(ErrorKind::Unsupported, "a point in time of this source cannot be joined by others")
                .at("source", endpoint.label()))
        }
    }
}

impl Held {
    /// Holds it until `stop` is cancelled.
    ///
    /// # Errors
    /// When it is lost before.
    pub async fn until(self, stop: &CancellationToken) -> Result<()> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return self.session.close().await,
                () = sleep(CHECK_EVERY) => self.session.check().await?,
            }
        }
    }
}
