//! How a run of a job file speaks to those who know the program it was written for: exit codes, and what is printed meanwhile and at
//! the end.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{datax, flinkx, go_etl};
use crate::error::{self, Error, ErrorKind};
use crate::flow::meter::Reading;
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
    /// What is printed on stdout after a failure, besides what is told on stderr.
    pub(super) failure: Option<fn(&Error) -> String>,
    /// What is printed every so often while they run.
    pub(super) lines: Option<Lines>,
}

/// Lines of progress, as another program prints them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    /// How often, by what the file says.
    pub(super) every: fn(&Tree) -> Duration,
    pub(super) line: fn(&Underway<'_>) -> String,
}

/// A job file of which one transfer runs.
#[derive(Debug)]
pub(super) struct Underway<'a> {
    /// Those that are done.
    pub(super) summaries: &'a [Summary],
    /// How many there are.
    pub(super) transfers: usize,
    /// What the counters of the one that runs say, and what they said when the last line was printed.
    pub(super) reading: &'a Reading,
    pub(super) last: Option<&'a Reading>,
    pub(super) now: DateTime<Utc>,
    /// What stands in the file.
    pub(super) tree: &'a Tree,
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

const OURS: Voice =
    Voice { dialect: None, exit_code: error::exit_code, shows_each: true, report: None, failure: None, lines: None };

/// Exit code of programs that run on Java: 1 for every failure, 143 where they were killed.
pub(super) fn java_exit_code(kind: ErrorKind) -> u8 {
    if kind == ErrorKind::Cancelled { 143 } else { 1 }
}

/// The voices that are not ours.
const VOICES: &[Voice] = &[datax::VOICE, flinkx::VOICE, go_etl::VOICE];

/// The voice for job files of `dialect`.
pub(super) fn of(dialect: Option<&str>) -> &'static Voice {
    VOICES.iter().find(|voice| dialect.is_some() && voice.dialect == dialect).unwrap_or(&OURS)
}
