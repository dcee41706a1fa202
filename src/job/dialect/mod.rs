//! Job files of other programs, told in ours. Engine and connectors know nothing of them.

mod datax;

use serde_json::Value as Json;

use crate::error::Result;
use crate::job::Job;
use crate::job::tree::Tree;

/// The job files of one program.
#[derive(Debug)]
pub struct Dialect {
    /// What `--compat` calls it.
    pub name: &'static str,
    /// Whether a file looks like one of these.
    pub recognizes: fn(&Json) -> bool,
    /// The transfers of a file. Pure: opens nothing.
    pub translate: fn(&Tree) -> Result<Translation>,
}

/// All dialects, in the order in which they are asked whether a file is theirs.
pub const DIALECTS: &[Dialect] = &[datax::DATAX];

/// What a foreign job file asks for.
#[derive(Debug, Default)]
pub struct Translation {
    /// Its transfers, in order.
    pub jobs: Vec<Job>,
    /// What is not done as the other program would do it, one line each.
    pub notes: Vec<String>,
    /// Whether the job is only to be checked.
    pub dry_run: bool,
}
