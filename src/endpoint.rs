//! An endpoint is one database, file or folder; a session is the open point in time of it.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Agreement, Sink};
use crate::source::Source;
use crate::state::StateLog;

pub use crate::object::{ObjectRef, Snapshot, SnapshotId, Step, StepToken};

/// Where data live. Cheap to clone behind its `Arc`; nothing is open before a call.
#[async_trait]
pub trait Endpoint: Debug + Send + Sync {
    /// The locator without secrets, for messages and plans.
    fn label(&self) -> String;

    /// Why this place is no proven one, in one sentence: no test has run against a real server of its kind.
    fn unproven(&self) -> Option<String> {
        None
    }

    /// The objects whose names match `pattern` (`public.*`, a glob). An empty list is no error.
    async fn list(&self, pattern: &str) -> Result<Vec<ObjectRef>>;

    /// Reaches it and says what it is: product, version, user, and what is missing for bulk work.
    async fn ping(&self) -> Result<Ping>;

    /// Opens the one point in time that all reads of a job share.
    async fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Session>>;

    /// Opens what the first write will need, such as a login, while others are at work. Changes nothing.
    async fn reach(&self) -> Result<()> {
        Ok(())
    }

    /// Whether it is a database that runs SQL of the user.
    fn runs_sql(&self) -> bool {
        true
    }

    /// Runs SQL of the user in a transaction of its own, and notes `step` with it where that can be done.
    async fn execute(&self, step: &StepToken, sql: &str) -> Result<()>;

    /// Whether `step`, which an earlier process began, was executed; none where nobody can tell.
    async fn executed(&self, _step: &StepToken) -> Result<Option<bool>> {
        Ok(None)
    }

    /// Called once after all transfers into this endpoint have committed: statistics, sequences.
    async fn finish(&self, transfers: &[Agreement]) -> Result<()>;

    /// Opens the record of runs in `object`, and makes it where it is missing. [`ObjectRef::Whole`] is the place that the
    /// connector has for it.
    ///
    /// # Errors
    /// [`Unsupported`](crate::error::ErrorKind::Unsupported) where none can be kept.
    async fn state_log(&self, _object: &ObjectRef) -> Result<Arc<dyn StateLog>> {
        let message = format!("{} keeps no record of runs", self.label());
        Err(Error::new(ErrorKind::Unsupported, message).with_hint("name a PostgreSQL database or an SQLite file"))
    }

    /// The sink of `object`. Opens nothing. [`ObjectRef::Query`] is an error.
    fn sink(&self, object: &ObjectRef) -> Result<Arc<dyn Sink>>;
}

/// Answer of [`Endpoint::ping`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ping {
    /// Product and version: `PostgreSQL 15.18`.
    pub server: String,
    /// What was seen, one line each: user, database, role, encoding.
    pub facts: Vec<String>,
    /// What is missing or limits the speed, one sentence each.
    pub missing: Vec<String>,
}

/// What a session is opened for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenRequest {
    /// All objects that the job reads through this session.
    pub objects: Vec<ObjectRef>,
    /// How many splits will be read at once, at most.
    pub readers: usize,
    /// A point in time that somebody else holds open.
    pub join: Option<SnapshotId>,
    /// Bytes of the longest row that the memory of the job can hold; none where nothing bounds them.
    pub row_bytes_max: Option<u64>,
}

/// The open point in time of one endpoint, shared by all reads of a job. Dropping it releases everything.
#[async_trait]
pub trait Session: Debug + Send + Sync {
    /// Who can see this point in time.
    fn snapshot(&self) -> Snapshot;

    /// A source of `object`, which stood in the request. Opens nothing.
    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>>;

    /// Still the same point in time? Its loss fails the run at once.
    async fn check(&self) -> Result<()>;

    /// Releases locks and connections. Idempotent.
    async fn close(&self) -> Result<()>;
}
