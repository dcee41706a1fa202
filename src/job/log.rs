//! A file that is told what a run says.

use serde::{Deserialize, Serialize};

/// A file of lines, each with the time at which it was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogFile {
    /// Where it is. What it holds stays.
    pub path: String,
    /// How large it may become, about: then it is renamed, with `.1` behind its name, and begun anew.
    #[serde(default = "LogFile::default_bytes")]
    pub bytes: u64,
    /// What goes into it.
    #[serde(default)]
    pub level: LogLevel,
}

impl LogFile {
    /// How large it becomes when nothing is said.
    pub const BYTES: u64 = 10 << 20;

    fn default_bytes() -> u64 {
        Self::BYTES
    }
}

/// What of a run's talk is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LogLevel {
    /// Failures alone.
    Error,
    /// And notes.
    Note,
    /// And progress and results.
    #[default]
    All,
}
