//! Rows that wait on disk: when they do, what is said of it, and the source that is let go before the end.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use crate::endpoint::{ObjectRef, Session, Snapshot};
use crate::error::Result;
use crate::flow::buffer::{Buffer, Replay};
use crate::job::{Job, OnError};
use crate::runner::PlanShape;
use crate::source::Source;

/// The shape of a plan before it was arranged for the target, and after.
type Shapes = (PlanShape, PlanShape);

/// The buffer of `job`; none where it wants none or has no use for one.
pub(super) fn of(job: &Job, snapshot: &Snapshot, shapes: Shapes) -> Option<Arc<Buffer>> {
    let limit = job.limits.buffer.as_ref()?;
    let replay = use_of(job, snapshot, shapes).ok()?;
    Some(Arc::new(Buffer::new(Path::new(&limit.folder), limit.bytes, replay)))
}

/// How a buffer would be used, or why it is not.
fn use_of(job: &Job, snapshot: &Snapshot, (drafted, arranged): Shapes) -> Result<Replay, &'static str> {
    match (snapshot, drafted, arranged) {
        (Snapshot::Lasting(_) | Snapshot::None, ..) => Err("the source holds nothing that could be let go"),
        (_, PlanShape::Wide, _) => Err("the query reads rows as it needs them"),
        _ if job.transform.limit.is_some() => Err("with --limit no more is read than is copied"),
        _ if job.errors.on_error == OnError::Skip => {
            Err("with --on-error skip rows are read by the task that judges them")
        }
        (_, _, PlanShape::Rowwise) => Ok(Replay::Always),
        (_, _, PlanShape::Wide) => Ok(Replay::WhileRoom),
    }
}

/// What a plan says of the buffer.
pub(super) fn plan_notes(job: &Job, snapshot: &Snapshot, shapes: Shapes) -> Vec<String> {
    let Some(limit) = &job.limits.buffer else { return Vec::new() };
    let replay = match use_of(job, snapshot, shapes) {
        Ok(replay) => replay,
        Err(reason) => return vec![format!("not used: {reason}")],
    };
    let anew = match replay {
        Replay::Always => "a task that fails finds its rows there; where they had no room, the source is kept for it",
        Replay::WhileRoom => {
            "if it has room for all rows, a failure that passes finds them there; else it ends the run"
        }
    };
    vec![
        format!(
            "rows wait in {}, in no more than {}; when it is full, the source waits",
            limit.folder,
            size(limit.bytes)
        ),
        "snapshot, locks and connections of the source are released when the last row is read, not when it is written"
            .to_owned(),
        anew.to_owned(),
    ]
}

/// What a finished run says of it.
pub(super) fn note(buffer: Option<&Buffer>) -> Option<String> {
    let buffer = buffer?;
    let released = buffer.is_released().then(|| {
        let peak = size(buffer.peak_bytes());
        format!("the source was released before all rows were written; at most {peak} waited on disk")
    });
    let full = "the disk of the buffer was full: the source waited for the target from then on".to_owned();
    let notes: Vec<String> = released.into_iter().chain(buffer.disk_was_full().then_some(full)).collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(unit, _)| bytes >= 10 * unit || bytes.is_multiple_of(*unit) && bytes > 0);
    unit.map_or_else(|| format!("{bytes} bytes"), |(unit, name)| format!("{} {name}", bytes.div_ceil(unit)))
}

/// `session`, which may be closed while the run goes on.
pub(super) fn releasable(session: Arc<dyn Session>) -> Arc<dyn Session> {
    Arc::new(Releasable { session, is_closed: Mutex::new(false) })
}

/// A session whose point in time is not missed any more once it is closed.
#[derive(Debug)]
struct Releasable {
    session: Arc<dyn Session>,
    is_closed: Mutex<bool>,
}

#[async_trait]
impl Session for Releasable {
    fn snapshot(&self) -> Snapshot {
        self.session.snapshot()
    }

    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        self.session.source(object)
    }

    async fn check(&self) -> Result<()> {
        let is_closed = self.is_closed.lock().await;
        if *is_closed { Ok(()) } else { self.session.check().await }
    }

    async fn close(&self) -> Result<()> {
        let mut is_closed = self.is_closed.lock().await;
        *is_closed = true;
        self.session.close().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        let shown =
            [(10 << 30, "10 GiB"), (64 << 20, "64 MiB"), (1_000_000, "977 KiB"), (100, "100 bytes"), (0, "0 bytes")];
        for (bytes, text) in shown {
            assert_eq!(size(bytes), text);
        }
    }
}
