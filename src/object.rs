//! What a job names of an endpoint: its objects, and the steps in which its own SQL runs. Plain data.

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
