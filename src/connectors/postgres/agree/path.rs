//! How rows become visible, from the mode, the number of tasks and what hangs on the target.

use serde::{Deserialize, Serialize};

use super::super::target::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::reject::Refusals;
use crate::sink::{Tasks, WriteMode, WriteRequest};
use crate::sql::tasks;

/// The way of the rows into the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Path {
    /// The target is missing. One transaction makes a table, fills it, renames it and stays open until commit.
    NewHeld,
    /// The target is missing. A hidden table beside is filled by many, then renamed.
    NewStaged,
    /// One transaction on the target itself stays open until commit.
    Held(Emptying),
    /// A hidden table beside is filled by many, then inserted into the target.
    Refill(Emptying),
    /// A hidden table beside is filled by many, then merged into the target by key.
    Merge,
    /// A hidden table beside is filled by many, then takes the target's place.
    Swap,
    /// Each task is a transaction on the target itself.
    PerTask,
}

/// What happens to the rows that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Emptying {
    /// They stay.
    Keep,
    /// TRUNCATE.
    Truncate,
    /// DELETE in the statement that inserts, so that foreign keys are checked against the new rows.
    Delete,
}

impl Path {
    /// Whether one transaction is held open from the first row to the commit.
    pub(crate) fn held(self) -> bool {
        matches!(self, Self::NewHeld | Self::Held(_))
    }

    /// Whether there is a table beside the target.
    pub(crate) fn stages(self) -> bool {
        !matches!(self, Self::Held(_) | Self::PerTask)
    }
}

/// A way and what the user should know of it.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) path: Path,
    pub(super) notes: Vec<String>,
}

/// The way into a table that is to be made with `key`.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) where rows shall be seen sooner than they are complete.
pub(super) fn new(request: &WriteRequest, key: &[String]) -> Result<Choice> {
    if tasks::are_seen_alone(request)? {
        return Ok(Choice { path: Path::PerTask, notes: vec![tasks::STAY.to_owned()] });
    }
    // Of a table beside the keys can be settled before it gets its name.
    let settles = request.mode.merge().is_some() || request.refusals == Refusals::LeftOut && !key.is_empty();
    let path = if request.tasks == Tasks::One && !settles { Path::NewHeld } else { Path::NewStaged };
    Ok(Choice { path, notes: Vec::new() })
}

/// The way into `table`.
///
/// # Errors
/// [`Constraint`](ErrorKind::Constraint) when emptying the table would change others; those of [`new`].
pub(super) fn existing(table: &Table, request: &WriteRequest) -> Result<Choice> {
    // Rows that are refused are found in a table beside, which the target cannot take as it is.
    let sifted = request.refusals == Refusals::LeftOut && table.guarded;
    let one = request.tasks == Tasks::One && !sifted;
    let mut notes = Vec::new();
    let path = match request.mode {
        _ if tasks::are_seen_alone(request)? => {
            notes.push(tasks::STAY.to_owned());
            Path::PerTask
        }
        WriteMode::Truncate => match emptying(table)? {
            Emptying::Truncate if one && !table.access.read_here => {
                notes.push("the table is locked from the first row to the commit".to_owned());
                Path::Held(Emptying::Truncate)
            }
            emptying => {
                if one && table.access.read_here {
                    notes.push("the table is being read, so that it can only be emptied when that is done".to_owned());
                }
                Path::Refill(emptying)
            }
        },
        WriteMode::Replace => {
            let refused = sifted.then_some("rows that it may refuse");
            let reasons: Vec<&str> = refused.into_iter().chain(table.in_the_way()).collect();
            if reasons.is_empty() {
                notes.push(
                    "a new table takes the place of the old one, with its indexes, constraints and grants".to_owned(),
                );
                Path::Swap
            } else {
                notes.push(format!(
                    "the table is emptied and refilled in one transaction, not exchanged, because of {}",
                    reasons.join(", ")
                ));
                Path::Refill(emptying(table)?)
            }
        }
        WriteMode::Upsert(_) | WriteMode::Sync(_) => Path::Merge,
        _ if one => Path::Held(Emptying::Keep),
        // Nobody misses the rows of an empty table: another one can take its place, and no row is written twice.
        WriteMode::Create if !sifted && table.in_the_way().next().is_none() => {
            notes.push(
                "the table is empty: at the end a new one takes its place, with its indexes, constraints and grants"
                    .to_owned(),
            );
            Path::Swap
        }
        _ => Path::Refill(Emptying::Keep),
    };
    if let Path::Refill(emptying) = path {
        notes.push("rows are written twice: into a table beside, then from there into the target".to_owned());
        if emptying == Emptying::Delete {
            let others: Vec<&str> = table.referenced.iter().map(|key| key.table.as_str()).collect();
            notes.push(format!(
                "the old rows are deleted, not truncated, because foreign keys of {} refer to them; \
                 rows that are referred to must come again",
                others.join(", ")
            ));
        }
    }
    if table.triggers {
        notes.push("the target's own triggers fire for the rows".to_owned());
    }
    Ok(Choice { path, notes })
}

/// How `table` can be emptied without touching others.
fn emptying(table: &Table) -> Result<Emptying> {
    if let Some(key) = table.referenced.iter().find(|key| matches!(key.action, 'c' | 'n' | 'd' | 'r')) {
        let message = match key.action {
            'r' => format!("it cannot be emptied: a foreign key of {} restricts the deletion of its rows", key.table),
            _ => format!("emptying it would change rows of {}, whose foreign key refers to it", key.table),
        };
        return Err(Error::new(ErrorKind::Constraint, message).with_hint(
            "drop that foreign key before (--pre-sql) and make it again after (--post-sql), or use --mode append",
        ));
    }
    Ok(if table.referenced.is_empty() { Emptying::Truncate } else { Emptying::Delete })
}
