//! The append-only log of a run: what was planned, written and committed.

use std::fmt::Debug;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::error::Result;
use crate::object::Step;
use crate::shape::Split;
use crate::sink::{Agreement, Receipt};

/// Keeps the records of runs, in their order. A record outlives the process when `append` returns. It outlives a power
/// cut too if later steps rest on it; `Started`, `Aborted` and `Finished` may wait for the next one that does.
#[async_trait]
pub trait StateLog: Debug + Send + Sync {
    /// All records of `run`, oldest first.
    async fn read(&self, run: &str) -> Result<Vec<StateRecord>>;

    /// Adds one record to `run`.
    async fn append(&self, run: &str, record: &StateRecord) -> Result<()>;

    /// The runs in the log, oldest first.
    async fn runs(&self) -> Result<Vec<String>>;
}

/// One step in the life of a run. Secrets in it are references, never values.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "record")]
pub enum StateRecord {
    /// The run began.
    Started {
        /// What is moved: source and target labels, flags.
        job: Json,
        /// Digest over source, target, columns and transform.
        fingerprint: String,
    },
    /// A transfer was cut into splits and agreed on.
    Planned {
        /// Which transfer.
        transfer: u32,
        /// Its splits.
        splits: Vec<Split>,
        /// One per sink.
        agreements: Vec<Agreement>,
    },
    /// A task is durable and not yet visible.
    Wrote {
        /// Which transfer.
        transfer: u32,
        /// What it wrote.
        receipt: Receipt,
    },
    /// SQL of the user was run.
    Step {
        /// Which.
        step: Step,
    },
    /// An epoch is visible.
    Committed {
        /// Which transfer.
        transfer: u32,
        /// Which sink.
        sink: u32,
        /// Which epoch.
        epoch: u64,
        /// Where a feed goes on.
        position: Option<Json>,
    },
    /// The run failed and was swept.
    Aborted {
        /// One sentence on why.
        reason: String,
    },
    /// All is done.
    Finished {
        /// Rows that became visible.
        rows: u64,
    },
}
