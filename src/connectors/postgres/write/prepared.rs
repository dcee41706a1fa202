//! The commit of tasks that wait in prepared transactions, over new connections where one breaks.

use tokio::time::sleep;

use super::super::agree::Detail;
use super::super::prepared;
use super::super::stage::Stage;
use super::Shared;
use super::registry::Commit;
use super::verdict::PAUSES;
use crate::attempt::Token;
use crate::error::{Error, ErrorKind, Result, retry};
use crate::sink::Receipt;

/// What makes rows visible of which it is decided that they count.
const GO_ON: &str = "run it again with --resume, which makes all of them visible";

impl Shared {
    /// Decides that `receipts` count, and carries it out.
    pub(super) async fn commit_prepared(&self, detail: &Detail, token: &Token, receipts: &[Receipt]) -> Result<()> {
        let connection = self.connections.take().await?;
        if prepared::decide((&connection, detail), token, receipts).await? {
            let concluded = self.conclude(connection, detail, token).await;
            if self.registry.commit(token) == Some(Commit::Doubtful) {
                return concluded.map_err(|error| {
                    let place = detail.marker.place(token);
                    let hint = format!("go on with it by --resume, which makes them visible if they count; {place}");
                    error.as_kind(ErrorKind::Transient).with_hint(hint)
                });
            }
            concluded?;
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
}

/// Some of the rows wait still, or are lost. It is no lost answer: what was decided is known.
fn unseen(error: Error) -> Error {
    if error.kind() == ErrorKind::Mismatch {
        return error;
    }
    let error = if retry(error.kind()) { error.as_kind(ErrorKind::Transient) } else { error };
    error.at("the rows are", "committed, and not all of them can be seen").with_hint(GO_ON)
}
