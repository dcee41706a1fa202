//! Job files of other programs, told in ours. Engine and connectors know nothing of them.

mod datax;
mod driver;
mod flinkx;
pub mod go_etl;
mod jdbc;
pub mod lacks;
mod name;
mod product;
mod sql;
mod target;
pub mod template;
mod transformers;

use std::time::Duration;

use serde_json::Value as Json;

use crate::error::Result;
use crate::job::tree::Tree;
use crate::job::{Job, LogFile};
use template::Templates;

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
    /// Examples of its files, where there are some.
    pub templates: Option<&'static Templates>,
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
pub const DIALECTS: &[Dialect] = &[go_etl::GO_ETL, flinkx::FLINKX, datax::DATAX];

/// What of the job files of each program does nothing here.
pub const LACKS: &[lacks::Lacks] = &[datax::LACKS, go_etl::LACKS, flinkx::LACKS, product::LACKS];

/// What a foreign job file asks for.
#[derive(Debug, Default)]
pub struct Translation {
    /// Its transfers, in order.
    pub jobs: Vec<Job>,
    /// What is not done as the other program would do it, one line each.
    pub notes: Vec<String>,
    /// Whether the job is only to be checked.
    pub dry_run: bool,
    /// Whether the limit of rows that may be refused is one for all transfers.
    pub shares_errors: bool,
    /// How long after its end the job is run again, without end; none runs it once.
    pub again_after: Option<Duration>,
    /// Where what is said goes as well.
    pub log: Option<LogFile>,
}

/// `host`, `host:port`, `[::1]:port`.
fn server(text: &str) -> Option<(String, Option<String>)> {
    let text = text.trim();
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, rest)) => (name, rest.strip_prefix(':')),
        None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    let digits = port.is_none_or(|port| port.parse::<u16>().is_ok());
    (digits && !name.is_empty()).then(|| (name.to_owned(), port.map(str::to_owned)))
}
