//! Who writes: one attempt of one task of one run.

use serde::{Deserialize, Serialize};

/// What a commit is idempotent on: one epoch of one sink of one transfer of one run.
///
/// `run` is new for every start and kept only by a resume, so the same append started twice is two tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Id of the run, unique over all time.
    pub run: String,
    /// Which transfer of the job, from 0.
    pub transfer: u32,
    /// Which sink of the transfer, from 0.
    pub sink: u32,
    /// What is committed at once, from 0. A bounded job has epoch 0 alone.
    pub epoch: u64,
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}.{}", self.run, self.transfer, self.sink, self.epoch)
    }
}

/// One attempt of one task: a plain id. Two attempts never share `id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// What it works for.
    pub token: Token,
    /// Which task, from 0.
    pub task: u32,
    /// The splits of the task, ascending by id; empty for a task of a wide plan.
    pub splits: Vec<u32>,
    /// Unique over all attempts of all runs: names staged files, tables and connections.
    pub id: String,
    /// Rows of its splits, where the source has said so of each of them. More may come, or fewer.
    pub rows: Option<u64>,
}

impl Attempt {
    /// A new attempt of `task`.
    pub fn new(token: Token, task: u32, splits: Vec<u32>) -> Self {
        Self { token, task, splits, id: uuid::Uuid::now_v7().simple().to_string(), rows: None }
    }

    /// The same, where the source says that its splits have so many rows.
    #[must_use]
    pub fn of_rows(self, rows: Option<u64>) -> Self {
        Self { rows, ..self }
    }
}
