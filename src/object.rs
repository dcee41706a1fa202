//! What a job names of an endpoint: its objects, its points in time, and the steps in which its own SQL runs. Plain data.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One object of an endpoint, as the user named it. The connector parses and quotes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ObjectRef {
    /// What the endpoint itself names: the files of a path, the only table of a generator.
    Whole,
    /// A table or view: `orders`, `public.orders`, `"My Schema"."Order.s"`.
    Table(String),
    /// A SELECT in the source's own SQL.
    Query(String),
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("(whole)"),
            Self::Table(name) => f.write_str(name),
            Self::Query(_) => f.write_str("(query)"),
        }
    }
}

/// Which SQL of the user [`Endpoint::execute`](crate::endpoint::Endpoint::execute) runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// Before the target is looked at.
    PreSql,
    /// Making the new data visible.
    Publish,
    /// Once, after success.
    PostSql,
}

/// One piece of the user's SQL in one run: what its execution is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepToken {
    /// Id of the run.
    pub run: String,
    /// Before or after.
    pub step: Step,
    /// Which of them, from 0.
    pub index: u32,
}

impl fmt::Display for StepToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            Step::PreSql => "pre",
            Step::Publish => "publish",
            Step::PostSql => "post",
        };
        write!(f, "{}.{step}.{}", self.run, self.index)
    }
}

/// The name of a point in time that other processes can join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotId(pub String);

/// Who can see the point in time of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Snapshot {
    /// Any process that joins by the id.
    Shared(SnapshotId),
    /// Any process, at any time, for as long as the text stays the same: it tells names, sizes and times of files.
    Lasting(String),
    /// This process only.
    Private,
    /// There is none: reads may see different points in time.
    #[default]
    None,
}
