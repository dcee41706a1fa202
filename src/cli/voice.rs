//! How a run of a job file speaks to those who know the program it was written for: exit codes, and what is printed at the end.

use chrono::{DateTime, Utc};

use super::{datax, flinkx};
use crate::error::{self, ErrorKind};
use crate::job::tree::Tree;
use crate::run::report::Summary;

/// The voice of one program.
#[derive(Debug)]
pub(super) struct Voice {
    /// The name of its dialect; none is our own.
    pub(super) dialect: Option<&'static str>,
    /// The exit code of a failure.
    pub(super) exit_code: fn(ErrorKind) -> u8,
    /// Whether each transfer is shown when it is done, as ours are.
    pub(super) shows_each: bool,
    /// What is printed when all transfers are done.
    pub(super) report: Option<fn(&Finished<'_>) -> String>,
}

/// A job file whose transfers are done.
#[derive(Debug)]
pub(super) struct Finished<'a> {
    pub(super) summaries: &'a [Summary],
    pub(super) began: DateTime<Utc>,
    pub(super) ended: DateTime<Utc>,
    /// What stands in the file.
    pub(super) tree: &'a Tree,
}

const OURS: Voice = Voice { dialect: None, exit_code: error::exit_code, shows_each: true, report: None };

/// The voices that are not ours.
const VOICES: &[Voice] = &[datax::VOICE, flinkx::VOICE];

/// The voice for job files of `dialect`.
pub(super) fn of(dialect: Option<&str>) -> &'static Voice {
    VOICES.iter().find(|voice| dialect.is_some() && voice.dialect == dialect).unwrap_or(&OURS)
}
