//! The append-only log of a run: what was planned, written and committed.

use std::fmt::Debug;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::error::{Error, ErrorKind, Result};
use crate::object::{Snapshot, Step};
use crate::shape::{Cut, Split};
use crate::sink::{Agreement, Kept, Receipt};

/// How long a lease holds that is not renewed, by the clock of the log.
pub const LEASE_SECONDS: u32 = 120;

/// Keeps the records of runs, in their order. A record outlives the process when `append` returns. It outlives a power
/// cut too if later steps rest on it; `Started`, `Held`, `Aborted` and `Finished` may wait for the next one that does.
///
/// A log without leases lets the same job run twice at once, and nobody goes on with a run of it.
#[async_trait]
pub trait StateLog: Debug + Send + Sync {
    /// All records of `run`, oldest first.
    async fn read(&self, run: &str) -> Result<Vec<StateRecord>>;

    /// Adds one record to `run`.
    async fn append(&self, run: &str, record: &StateRecord) -> Result<()>;

    /// The runs in the log, oldest first.
    async fn runs(&self) -> Result<Vec<RunEntry>>;

    /// Takes the lease of `job` for `run`, or renews it: for so long nobody else has it.
    ///
    /// # Errors
    /// [`Busy`](crate::error::ErrorKind::Busy), naming the other, when another run that may be alive has it.
    async fn lease(&self, _job: &str, _run: &str) -> Result<()> {
        Ok(())
    }

    /// Gives the lease of `job` back, if `run` has it.
    async fn release(&self, _job: &str, _run: &str) -> Result<()> {
        Ok(())
    }

    /// Who has leases: runs that are alive, and those that ended without giving theirs back.
    async fn holders(&self) -> Result<Vec<Holder>> {
        Ok(Vec::new())
    }

    /// Removes all records of `run`.
    async fn forget(&self, _run: &str) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "this log forgets nothing"))
    }
}

/// A run in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunEntry {
    /// Its id.
    pub run: String,
    /// When its first record was written, in UTC: `2026-11-25 19:45:24.123`.
    pub began: String,
    /// When its last one was.
    pub last: String,
}

/// Who has a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Of which job.
    pub job: String,
    /// Which run.
    pub run: String,
    /// The process, for people: `process 4711 on db1`.
    pub process: String,
    /// What is known of it.
    pub life: Life,
}

/// Why `holder` keeps another run of its job from beginning.
pub fn busy(holder: Option<Holder>) -> Error {
    let by = holder.map_or_else(String::new, |holder| format!(": run {} by {}", holder.run, holder.process));
    Error::new(ErrorKind::Busy, format!("the same job is under way{by}")).with_hint("wait for its end, or stop it")
}

/// Whether a process still works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Life {
    /// It may.
    Alive,
    /// It has ended, or has not been heard of for long.
    Gone,
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
    /// A transfer was cut into splits and agreed on. What was written before this record does not count any more.
    Planned {
        /// Which transfer.
        transfer: u32,
        /// The point in time that the splits belong to.
        #[serde(default)]
        snapshot: Snapshot,
        /// Its splits.
        splits: Vec<Split>,
        /// By what they were cut.
        #[serde(default)]
        cut: Cut,
        /// When that point in time was opened, in UTC and about: `2026-11-25 19:45:24`.
        #[serde(default)]
        at: Option<String>,
        /// Whether its tasks have the splits all together: none of them is of use without the others.
        #[serde(default)]
        together: bool,
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
    /// A task is held by the target in a transaction that ends with this process.
    Held {
        /// Which transfer.
        transfer: u32,
        /// What it wrote.
        receipt: Receipt,
    },
    /// SQL of the user is about to be run.
    StepBegun {
        /// Before or after.
        step: Step,
        /// Which of them, from 0.
        #[serde(default)]
        index: u32,
    },
    /// SQL of the user was run.
    Step {
        /// Before or after.
        step: Step,
        /// Which of them, from 0.
        #[serde(default)]
        index: u32,
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
        /// [`Agreement::marked`]: the target says so, too.
        #[serde(default)]
        marked: bool,
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
        /// Rows that were read.
        #[serde(default)]
        read: u64,
        /// Rows of these that were rejected.
        #[serde(default)]
        rejected: u64,
    },
}

impl StateRecord {
    /// The record that a log kept as JSON.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt).
    pub fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "a record is not one that this version of etl writes").with_source(error)
        })
    }

    /// Whether what comes after it rests on it: a stage is made, a task is not done again, SQL is not run again.
    pub fn is_relied_on(&self) -> bool {
        match self {
            Self::Started { .. } | Self::Held { .. } | Self::Aborted { .. } | Self::Finished { .. } => false,
            // Where nothing outlives the process, nothing has to be found again.
            Self::Planned { agreements, .. } => agreements.iter().any(|agreement| agreement.kept == Kept::Tasks),
            Self::Committed { position, marked, .. } => !marked || position.is_some(),
            Self::Wrote { .. } | Self::StepBegun { .. } | Self::Step { .. } => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_commit_rests_on_its_record_unless_the_target_tells_all_of_it() {
        let committed = |marked, position| StateRecord::Committed { transfer: 0, sink: 0, epoch: 0, position, marked };
        assert!(committed(false, None).is_relied_on());
        assert!(committed(true, Some(json!({"value": "7"}))).is_relied_on(), "the position is the log's alone");
        assert!(!committed(true, None).is_relied_on());
    }
}
