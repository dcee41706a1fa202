//! What the operators of a plan find in their task's context: the live ends that a plan itself does not carry.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::error::Result as PlanResult;
use datafusion::execution::TaskContext;
use tokio::sync::{OwnedSemaphorePermit, RwLock, Semaphore};

use crate::endpoint::{ObjectRef, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::board::TaskMeter;
use crate::flow::buffer::Buffer;
use crate::flow::heavy::HeavyDoor;
use crate::flow::meter::Meter;
use crate::flow::reject::{Basket, RejectLog};
use crate::flow::throttle::Throttle;
use crate::schema::batch_bytes;
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
    /// How long a source may take until the first rows of a split come; none waits as long as it takes.
    pub answer: Option<Duration>,
    /// Where rows wait on disk; without it each task reads its splits itself.
    pub buffer: Option<Arc<Buffer>>,
    /// Where rejected rows go; without it a row that is refused fails the run.
    pub rejects: Option<Arc<RejectLog>>,
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

    /// Whether `batch` holds a row much longer than a batch should be: then no other is worked on beside it.
    pub(super) fn is_long(&self, batch: &PlanResult<RecordBatch>) -> bool {
        batch.as_ref().is_ok_and(|batch| self.heavy.is_heavy(batch_bytes(batch) as u64))
    }
}

/// Grants open reads: never more at once than the session has readers, in the order in which they were asked for.
///
/// A reader asks when it is first polled, not when the plan is set up, holds its grant for one split, and asks anew for the
/// next one. So operators that read one input to its end before they touch the other (joins) or before they give
/// anything out (sorts, groups) never wait for a grant that their own other input holds.
#[derive(Clone, Debug)]
pub(super) struct Reads(Arc<Semaphore>);

impl Reads {
    /// At most `readers` at once.
    pub(super) fn new(readers: usize) -> Self {
        Self(Arc::new(Semaphore::new(readers.clamp(1, Semaphore::MAX_PERMITS))))
    }

    /// The grants of the task that runs in `context`; without any, each task has its own.
    pub(super) fn of(context: &TaskContext) -> Self {
        let reads = context.session_config().get_extension::<Self>();
        reads.map_or_else(|| Self::new(Semaphore::MAX_PERMITS), |reads| Self::clone(&reads))
    }

    /// Waits until one more split may be read; dropping the grant gives it back.
    pub(super) async fn grant(&self) -> Result<OwnedSemaphorePermit> {
        let granted = Arc::clone(&self.0).acquire_owned().await;
        granted.map_err(|_| Error::new(ErrorKind::Internal, "no split may be read any more"))
    }
}

/// `context` of the task for which `meter` counts.
pub fn of_task(context: &TaskContext, meter: TaskMeter) -> Arc<TaskContext> {
    with_extension(context, Arc::new(meter))
}

/// Counts for the task that runs in `context`, where it is one, and for its transfer.
pub(super) fn task_meter(context: &TaskContext) -> TaskMeter {
    let noted = context.session_config().get_extension::<TaskMeter>();
    let of_transfer = || Ends::of(context).map(|ends| TaskMeter::of(&ends.meter)).unwrap_or_default();
    noted.map_or_else(of_transfer, |meter| TaskMeter::clone(&meter))
}

/// Where the operators of the attempt that runs in `context` put the rows that they refuse; none where the first fails it.
pub(super) fn basket(context: &TaskContext) -> Option<Arc<Basket>> {
    context.session_config().get_extension::<Basket>()
}

/// `context` with one more, or another, extension.
pub(super) fn with_extension<T: Send + Sync + 'static>(context: &TaskContext, extension: Arc<T>) -> Arc<TaskContext> {
    Arc::new(TaskContext::new(
        context.task_id(),
        context.session_id(),
        context.session_config().clone().with_extension(extension),
        context.scalar_functions().clone(),
        context.higher_order_functions().clone(),
        context.aggregate_functions().clone(),
        context.window_functions().clone(),
        context.runtime_env(),
    ))
}
