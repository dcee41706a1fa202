//! What of a run is still there whose process is gone: asked by the process that goes on with it.

use serde_json::Value as Json;

use super::super::agree::{Detail, Path};
use super::super::connect::Connection;
use super::super::marker;
use super::super::stage::Stage;
use super::Shared;
use crate::attempt::{Attempt, Token};
use crate::error::Result;
use crate::sink::{Progress, Receipt};
use crate::sql::beside::notes_are_gone;
use crate::sql::tasks;

impl Shared {
    /// Ends what the other process left, and reads what stands in marks and stage.
    pub(super) async fn progress(&self, detail: &Detail, token: &Token, logged: &[Receipt]) -> Result<Progress> {
        let stage = Stage::of(&detail.target, token);
        let mut connection = self.connections.take().await?;
        stage.lock_commit(&mut connection).await?;
        let progress = if marker::stands(&mut connection, &detail.target, token).await? {
            Progress::Committed
        } else if detail.path.held() {
            Progress::Kept(Vec::new())
        } else {
            // From now on, so that no other run sweeps what is found in it before this one goes on.
            let lease = self.hold(&stage, token).await?;
            self.state.lock().leases.insert(token.clone(), lease);
            stage.dismiss(&mut connection).await?;
            Progress::Kept(kept(&mut connection, (&stage, detail.path), (token, logged)).await?)
        };
        stage.unlock_commit(&mut connection).await?;
        self.connections.put_back(connection);
        Ok(progress)
    }
}

/// The receipts of the tasks whose rows are in the stage.
async fn kept(
    connection: &mut Connection,
    (stage, path): (&Stage, Path),
    (token, logged): (&Token, &[Receipt]),
) -> Result<Vec<Receipt>> {
    if !stage.is_there(connection, path).await? {
        if path == Path::PerTask && !logged.is_empty() {
            return Err(notes_are_gone(&stage.done.quoted()));
        }
        return Ok(Vec::new());
    }
    let mut task = logged.iter().map(|receipt| receipt.task + 1).max().unwrap_or(0);
    let mut receipts = Vec::new();
    for (id, parts, rows) in stage.tasks(connection).await? {
        let splits: Option<Vec<u32>> = parts.iter().map(|part| tasks::split_of(part)).collect();
        // A task of a plan that is not cut by splits: it cannot be gone on with.
        let Some(mut splits) = splits else { return Ok(Vec::new()) };
        splits.sort_unstable();
        let known = logged.iter().find(|receipt| receipt.attempt == id && receipt.splits == splits).cloned();
        // Else it was written by a process that died before it could note it.
        let receipt = known.unwrap_or_else(|| {
            let attempt = Attempt { token: token.clone(), task, splits, id, rows: None };
            task += 1;
            Receipt::of(&attempt, rows, 0, Json::Null)
        });
        receipts.push(Receipt { rows, ..receipt });
    }
    Ok(receipts)
}
