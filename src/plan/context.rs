//! What the operators of a plan find in their task's context: the live ends that a plan itself does not carry.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::execution::TaskContext;
use tokio::sync::RwLock;

use crate::endpoint::{ObjectRef, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::heavy::HeavyDoor;
use crate::flow::meter::Meter;
use crate::flow::throttle::Throttle;
use crate::sink::Sink;
use crate::source::Source;

/// The live ends of a job in this process. A decoded plan finds them by the names it holds.
#[derive(Debug, Default)]
pub struct Ends {
    /// Open sessions by endpoint name (`source0`).
    pub sessions: HashMap<String, Arc<dyn Session>>,
    /// Sinks by endpoint name (`sink0`).
    pub sinks: HashMap<String, Arc<dyn Sink>>,
    /// Counts what moves.
    pub meter: Arc<Meter>,
    /// Holds the job to its limits.
    pub throttle: Throttle,
    /// The limits of one channel: each read has [another](Throttle::another) of it.
    pub channel_throttle: Throttle,
    /// Where rows pass that are longer than a batch.
    pub heavy: HeavyDoor,
    /// Bytes that may wait between a reader and its writer.
    pub lane_bytes: usize,
    /// Shared by every reader that is alive: who gets it for itself knows that none is left.
    pub readers: Arc<RwLock<()>>,
}

impl Ends {
    /// The ends of the task that runs in `context`.
    pub fn of(context: &TaskContext) -> Result<Arc<Self>> {
        context
            .session_config()
            .get_extension::<Self>()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "the plan runs without open sessions"))
    }

    /// The source of `object` in the session of `endpoint`.
    pub fn source(&self, endpoint: &str, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        let session = self.sessions.get(endpoint);
        let session = session.ok_or_else(|| Error::new(ErrorKind::Internal, "the plan names no open session"))?;
        session.source(object)
    }

    /// The sink of `endpoint`.
    pub fn sink(&self, endpoint: &str) -> Result<Arc<dyn Sink>> {
        let sink = self.sinks.get(endpoint).map(Arc::clone);
        sink.ok_or_else(|| Error::new(ErrorKind::Internal, "the plan names no sink"))
    }
}
