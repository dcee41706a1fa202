//! Tasks that wait in prepared transactions: their commit, over new connections where one breaks, and their end.

use tokio::time::sleep;

use super::super::agree::Detail;
use super::super::prepared;
use super::super::stage::Stage;
use super::Shared;
use super::verdict::PAUSES;
use crate::attempt::{Attempt, Token};
use crate::error::{Error, ErrorKind, Result, retry};
use crate::sink::Receipt;

/// What makes rows visible of which it is decided that they count.
const GO_ON: &str = "run it again with --resume, which makes all of them visible";

impl Shared {
    /// Decides that `receipts` count, and carries it out.
    pub(super) async fn commit_prepared(&self, detail: &Detail, token: &Token, receipts: &[Receipt]) -> Result<()> {
        let connection = self.connections.take().await?;
        if prepared::decide((&connection, detail), token, receipts).await? {
            self.conclude(connection, detail, token).await?;
        } else {
            self.connections.put_back(connection);
        }
        self.finish_prepared(detail, token).await
    }

    /// Carries out what was decided.
    async fn finish_prepared(&self, detail: &Detail, token: &Token) -> Result<()> {
        let stage = Stage::of(&detail.target, token);
        let mut broken = None;
        for pause in PAUSES {
            sleep(pause).await;
            match self.try_to_finish(&stage).await {
                Ok(()) => return Ok(()),
                Err(error) if retry(error.kind()) => broken = Some(error),
                Err(error) => return Err(unseen(error)),
            }
        }
        broken.map_or(Ok(()), |error| Err(unseen(error)))
    }

    async fn try_to_finish(&self, stage: &Stage) -> Result<()> {
        let connection = self.connections.take().await?;
        prepared::finish(&connection, stage).await?;
        self.connections.put_back(connection);
        Ok(())
    }

    /// The same for a run that has failed: all its rows are visible then, so it has to be completed and not swept.
    pub(super) async fn finish_failed(&self, detail: &Detail, token: &Token) -> Result<()> {
        self.finish_prepared(detail, token).await?;
        Err(Error::new(ErrorKind::Connection, "the rows were committed after all").with_hint(GO_ON))
    }

    /// Rolls back what an earlier attempt, of which nobody hears any more, lets wait for rows of `attempt`.
    pub(super) async fn roll_back_elders(&self, stage: &Stage, attempt: &Attempt) -> Result<()> {
        let connection = self.connections.take().await?;
        prepared::roll_back_elders(&connection, stage, attempt).await?;
        self.connections.put_back(connection);
        Ok(())
    }
}

fn unseen(error: Error) -> Error {
    error.at("the rows are", "committed, and not all of them can be seen").with_hint(GO_ON)
}
