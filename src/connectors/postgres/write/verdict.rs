//! What became of a commit whose answer is not known: asked of the server over fresh connections.
//!
//! The answer to a COMMIT can be lost although the server carried it out. Whoever wrote is ended first and the commit's
//! lock is waited for, so that nothing is under way any more when the marker is looked for.

use std::time::Duration;

use super::super::agree::Detail;
use super::super::connect::Connection;
use super::super::patience;
use super::super::publish;
use super::super::stage::Stage;
use super::Shared;
use crate::attempt::Token;
use crate::error::{Error, ErrorKind, Result};

/// Pauses before each try to ask.
pub(super) const PAUSES: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// Longest wait for the end of a commit that is under way.
const WAIT: &str = "20s";

/// What is known of the commit of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Committed,
    RolledBack,
    Unknown,
}

impl Shared {
    /// Asks whether `token` is committed.
    pub(super) async fn verdict(&self, detail: &Detail, token: &Token) -> Verdict {
        if !detail.marker.is_kept() {
            return Verdict::Unknown;
        }
        for pause in PAUSES {
            tokio::time::sleep(pause).await;
            let Ok(connection) = self.connections.open().await else { continue };
            if let Ok(stands) = asked(&connection, detail, token).await {
                connection.close().await;
                return if stands { Verdict::Committed } else { Verdict::RolledBack };
            }
        }
        Verdict::Unknown
    }

    /// The outcome of a commit whose last statements gave `error`.
    pub(super) async fn outcome(&self, detail: &Detail, token: &Token, error: Error) -> Result<()> {
        match self.verdict(detail, token).await {
            Verdict::Committed => Ok(()),
            Verdict::RolledBack => Err(error),
            // An error that the server itself gives, such as that of a deferred constraint, says that it rolled back.
            Verdict::Unknown if !matches!(error.kind(), ErrorKind::Connection | ErrorKind::Internal) => Err(error),
            Verdict::Unknown => {
                self.registry.doubt(token);
                Err(unknown(detail, token).with_source(error))
            }
        }
    }
}

/// The error where nobody can say whether the rows are in the target.
pub(super) fn unknown(detail: &Detail, token: &Token) -> Error {
    let message = "the connection broke during the commit, and it is not known whether the rows were committed";
    Error::new(ErrorKind::Connection, message).with_hint(detail.marker.place(token))
}

async fn asked(connection: &Connection, detail: &Detail, token: &Token) -> Result<bool> {
    let stage = Stage::of(&detail.target, token);
    let sql = format!(
        "{}; BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '{WAIT}'; {}",
        stage.dismissal(),
        publish::commit_lock(&stage)
    );
    patience::run(connection, &sql).await?;
    let stands = detail.marker.stands(connection, token).await?;
    connection.run("ROLLBACK").await?;
    Ok(stands)
}
