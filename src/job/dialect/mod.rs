//! Job files of other programs, told in ours. Engine and connectors know nothing of them.

mod datax;
mod flinkx;
mod jdbc;
mod name;
mod product;

use std::time::Duration;

use serde_json::Value as Json;

use crate::error::Result;
use crate::job::Job;
use crate::job::tree::Tree;

/// The job files of one program.
#[derive(Debug)]
pub struct Dialect {
    /// What `--compat` calls it.
    pub name: &'static str,
    /// What it is called, for people.
    pub title: &'static str,
    /// Whether a file looks like one of these.
    pub recognizes: fn(&Json) -> bool,
    /// Where a file has variables.
    pub variables: VariablesIn,
    /// The transfers of a file. Pure: opens nothing.
    pub translate: fn(&Tree) -> Result<Translation>,
}

/// Where the variables of a job file stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariablesIn {
    /// Anywhere in the text, which may be no JSON before they are replaced.
    Text,
    /// Anywhere in the text, but only those that the command line gives: all others are text.
    Given,
    /// Nowhere: `$` means itself.
    Nothing,
}

/// All dialects, in the order in which they are asked whether a file is theirs.
pub const DIALECTS: &[Dialect] = &[flinkx::FLINKX, datax::DATAX];

/// What a foreign job file asks for.
#[derive(Debug, Default)]
pub struct Translation {
    /// Its transfers, in order.
    pub jobs: Vec<Job>,
    /// What is not done as the other program would do it, one line each.
    pub notes: Vec<String>,
    /// Whether the job is only to be checked.
    pub dry_run: bool,
    /// How long after its end the job is run again, without end; none runs it once.
    pub again_after: Option<Duration>,
    /// Where what is said is written, too.
    pub log: Option<LogFile>,
}

/// A file for what is said while the jobs run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// The folder that gets it.
    pub folder: String,
    /// How much of it is written.
    pub level: LogLevel,
}

/// How much is written to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Errors.
    Error,
    /// Errors and notes.
    Warning,
    /// Everything.
    All,
}
