//! Reads a source ahead of the tasks, into the buffer of the job.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt as _;
use tokio::sync::OwnedRwLockReadGuard;
use tokio::task::JoinSet;

use crate::error::{self, Error, ErrorKind, Result};
use crate::flow::buffer::{Buffer, Filler};
use crate::plan::context::Ends;
use crate::plan::intake::Intake;
use crate::plan::tasks::find_read;
use crate::plan::trail;
use crate::source::Split;

/// Reads `splits` of the source under `root` into `buffer`, `readers` of them at once, and returns when the source is not
/// needed any more. Failures that may pass are told to the task that wants the split, which is then begun anew.
///
/// # Errors
/// Those of the source that do not pass, and those of the buffer.
pub async fn read_ahead(
    root: &Arc<dyn ExecutionPlan>,
    context: &TaskContext,
    (splits, readers): (&[Split], usize),
    buffer: &Arc<Buffer>,
) -> Result<()> {
    let ends = Ends::of(context)?;
    let no_source = || Error::new(ErrorKind::Internal, "the plan reads nothing");
    let read = find_read(root).ok_or_else(no_source)?;
    let splits: HashMap<u32, Split> = splits.iter().map(|split| (split.id, split.clone())).collect();
    let splits = Arc::new(splits);
    let mut running = JoinSet::new();
    for _ in 0..readers.clamp(1, splits.len().max(1)) {
        let intake = Intake::new(read.spec(), Arc::clone(&ends), read.schema())?;
        let alive = Arc::clone(&ends.readers).try_read_owned().ok();
        running.spawn(fill(intake, Arc::clone(&splits), buffer.filler(), alive));
    }
    let ended = async {
        while let Some(ended) = running.join_next().await {
            ended.map_err(unforeseen)??;
        }
        Ok(())
    };
    let read_out = async {
        buffer.read_out().await;
        Ok(())
    };
    tokio::try_join!(ended, read_out).map(drop)
}

/// One reader: takes splits until there are no more.
async fn fill(
    intake: Intake,
    splits: Arc<HashMap<u32, Split>>,
    mut filler: Filler,
    _alive: Option<OwnedRwLockReadGuard<()>>,
) -> Result<()> {
    while let Some(id) = filler.next().await {
        let split = splits.get(&id).ok_or_else(|| Error::new(ErrorKind::Internal, "the buffer wants another split"))?;
        let name = trail::name_of(split);
        let located = |error| trail::name_split(error, &name).at("source", &intake.spec.label);
        let batches = intake.open(split, None).await;
        let read = match batches {
            Ok(mut batches) => loop {
                let batch = match batches.try_next().await {
                    Ok(Some(batch)) if batch.num_rows() == 0 => continue,
                    Ok(Some(batch)) => intake.pass(batch).await.map_err(located)?,
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                };
                if !filler.put(&batch).await? {
                    break Ok(());
                }
            },
            Err(error) => Err(error),
        };
        match read {
            Err(error) if !error::retry(error.kind()) => return Err(located(error)),
            read => filler.end(read),
        }
    }
    Ok(())
}

fn unforeseen(death: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Internal, "reading failed in an unforeseen way").with_source(death)
}
