//! Who runs a planned transfer: this process, later a cluster.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::physical_plan::ExecutionPlan;
use serde::{Deserialize, Serialize};

use crate::attempt::Token;
use crate::error::Result;
use crate::sink::Receipt;
use crate::source::Split;

/// Runs the tasks of a transfer and gives one receipt per task and target. Commits nothing.
#[async_trait]
pub trait Runner: Debug + Send + Sync {
    /// Runs `transfer` except for the splits that `done` holds. The first error ends all tasks.
    async fn run(&self, transfer: &Transfer, done: &[Receipt], events: &dyn RunEvents) -> Result<Vec<Receipt>>;
}

/// What the control plane wants to hear while tasks run.
#[async_trait]
pub trait RunEvents: Send + Sync {
    /// A task is durable. Called before the runner counts it as done; an error ends the run.
    async fn wrote(&self, receipt: &Receipt) -> Result<()>;
}

/// One planned transfer: the plan, and how it may be cut into tasks.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// `WriteExec` over any operators over `ReadExec` over an in-memory leaf of splits.
    pub root: Arc<dyn ExecutionPlan>,
    /// All splits, in the order of the source.
    pub splits: Vec<Split>,
    /// How splits become tasks.
    pub shape: PlanShape,
    /// What the commit will be idempotent on.
    pub token: Token,
    /// Bytes that one task should carry at least; none leaves it to the measured speed.
    pub task_bytes: Option<u64>,
}

/// What one writer gets: splits of a row-wise plan, or one partition of a wide one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Which task of the transfer, from 0.
    pub id: u32,
    /// Ids of its splits, ascending; of a wide plan only task 0 lists them, and all of them.
    pub splits: Vec<u32>,
    /// Their rows, where the source has said so of each; none of a wide plan.
    pub rows: Option<u64>,
}

/// How the splits of a plan become tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanShape {
    /// Rows depend on their own split alone: any run of splits is a task.
    Rowwise,
    /// All partitions run together, one task per output partition.
    Wide,
}

/// What place `index` of `parts` gets of `whole`, as evenly as can be.
pub fn share(whole: usize, parts: usize, index: usize) -> usize {
    whole / parts + usize::from(index < whole % parts)
}
