//! What of a run is still there whose process is gone: asked by the process that goes on with it.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::super::agree::{Detail, Path};
use super::super::connect::Connection;
use super::super::patience;
use super::super::prepared;
use super::super::publish;
use super::super::stage::{self, Stage};
use super::Shared;
use crate::attempt::{Attempt, Token};
use crate::error::Result;
use crate::sink::{Progress, Receipt};
use crate::sql::beside::{notes_are_gone, still_held};
use crate::sql::tasks;

/// Longest wait for the end of writers that were told to go.
const WAIT: &str = "20s";

impl Shared {
    /// Ends what the other process left, and reads what stands in marks and stage.
    pub(super) async fn progress(&self, detail: &Detail, token: &Token, logged: &[Receipt]) -> Result<Progress> {
        let stage = Stage::of(&detail.target, token);
        let connection = self.connections.take().await?;
        if detail.path == Path::Prepared {
            prepared::end_writers(&connection, &stage).await?;
        } else {
            patience::run(&connection, &stage.dismissal()).await?;
        }
        patience::run(&connection, &publish::hold(&connection, &stage)).await?;
        let progress = if detail.marker.stands(&connection, token).await? {
            Progress::Committed
        } else if !detail.path.held() {
            self.claim(&stage, token).await?;
            Progress::Kept(match detail.path {
                Path::Prepared => prepared::kept(&connection, &stage, token, logged).await?,
                path => kept(&connection, (&stage, path), token, logged).await?,
            })
        } else {
            Progress::Kept(Vec::new())
        };
        connection.run("ROLLBACK").await?;
        if (detail.path, &progress) == (Path::Prepared, &Progress::Committed) {
            // Its process may have died before it had carried this out.
            prepared::finish(&connection, &stage).await?;
        }
        self.connections.put_back(connection);
        Ok(progress)
    }

    /// Holds `stage` from now on, so that no other run sweeps what is found in it before this one goes on.
    async fn claim(&self, stage: &Stage, token: &Token) -> Result<()> {
        if self.registry.is_leased(token) || self.registry.is_claimed(token) {
            return Ok(());
        }
        let claim = self.connections.open().await?;
        if !stage::claim(&claim, stage).await? {
            return Err(still_held());
        }
        self.registry.claim(token, claim);
        Ok(())
    }
}

/// The receipts of the tasks whose rows are in the stage.
async fn kept(
    connection: &Connection,
    (stage, path): (&Stage, Path),
    token: &Token,
    logged: &[Receipt],
) -> Result<Vec<Receipt>> {
    if connection.rows(&stage.lookup(path)).await?.is_empty() {
        if path == Path::PerTask && !logged.is_empty() {
            return Err(notes_are_gone(&stage.done.quoted()));
        }
        return Ok(Vec::new());
    }
    // Writers that were told to go may be at their COMMIT.
    let lock = format!("SET LOCAL lock_timeout = '{WAIT}'; LOCK TABLE {} IN SHARE MODE", stage.done.quoted());
    patience::run(connection, &lock).await?;
    let done = connection.rows(&format!("SELECT attempt, part, rows FROM {}", stage.done.quoted())).await?;
    let mut attempts: BTreeMap<&str, (Vec<u32>, u64)> = BTreeMap::new();
    for row in &done {
        let (Some(attempt), Some(split), Some(rows)) =
            (row.get(0), row.get(1).and_then(tasks::split_of), row.get(2).and_then(|rows| rows.parse::<u64>().ok()))
        else {
            // A task of a plan that is not cut by splits: it cannot be gone on with.
            return Ok(Vec::new());
        };
        let (splits, sum) = attempts.entry(attempt).or_default();
        splits.push(split);
        *sum += rows;
    }
    let mut task = logged.iter().map(|receipt| receipt.task + 1).max().unwrap_or(0);
    let mut receipts = Vec::new();
    for (id, (mut splits, rows)) in attempts {
        splits.sort_unstable();
        let known = logged.iter().find(|receipt| receipt.attempt == id && receipt.splits == splits).cloned();
        // Else it was written by a process that died before it could note it.
        let receipt = known.unwrap_or_else(|| {
            let attempt = Attempt { token: token.clone(), task, splits, id: id.to_owned(), rows: None };
            task += 1;
            Receipt::of(&attempt, rows, 0, Json::Null)
        });
        receipts.push(Receipt { rows, ..receipt });
    }
    Ok(receipts)
}
