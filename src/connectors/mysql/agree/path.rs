//! How rows become visible, from the mode, the number of tasks and what hangs on the target.

use serde::{Deserialize, Serialize};

use super::super::catalog::{Table, Ties};
use crate::error::{Error, ErrorKind, Result};
use crate::proof::Verify;
use crate::reject::Refusals;
use crate::sink::{Tasks, WriteMode, WriteRequest};
use crate::sql::tasks;

/// The way of the rows into the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Path {
    /// The target is missing. A hidden table beside is filled, then gets its name.
    NewStaged,
    /// One transaction on the target itself stays open until commit.
    Held(Emptying),
    /// A hidden table beside is filled, then inserted into the target.
    Refill(Emptying),
    /// A hidden table beside is filled, then merged into the target by key.
    Merge,
    /// A hidden table beside is filled, then takes the target's place.
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
    /// DELETE, in the transaction that brings the new ones: `TRUNCATE` would commit by itself.
    Delete,
}

impl Path {
    /// Whether one transaction is held open from the first row to the commit.
    pub(crate) fn held(self) -> bool {
        matches!(self, Self::Held(_))
    }

    /// Whether a table takes the name of the target, so that its comment is the mark of the commit.
    pub(crate) fn renames(self) -> bool {
        matches!(self, Self::NewStaged | Self::Swap)
    }
}

/// A way and what the user should know of it.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) path: Path,
    pub(super) notes: Vec<String>,
    /// Whether the engine of the target can take back what was not committed.
    pub(super) transactional: bool,
}

/// The way into a table that is to be made.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) where rows shall be seen sooner than they are complete.
pub(super) fn new(request: &WriteRequest) -> Result<Choice> {
    let mut notes = Vec::new();
    let path = if tasks::are_seen_alone(request)? {
        notes.push(tasks::STAY.to_owned());
        Path::PerTask
    } else if request.mode.merge().is_some() {
        Path::Merge
    } else if request.advance.is_some() {
        // The position moves in the transaction of the rows, which a new name has not.
        Path::Refill(Emptying::Keep)
    } else {
        Path::NewStaged
    };
    if matches!(path, Path::Merge | Path::Refill(_)) {
        notes.push("the new table is there, without rows, a moment before the commit".to_owned());
    }
    Ok(Choice { path, notes, transactional: true })
}

/// The way into `table`.
///
/// # Errors
/// [`Constraint`](ErrorKind::Constraint) when emptying the table would change others; those of [`new`].
pub(super) fn existing(table: &Table, ties: &Ties, request: &WriteRequest) -> Result<Choice> {
    let transactional = table.is_transactional();
    let in_the_way = ties.in_the_way();
    // Rows are proved where they stand alone; a row that is refused may refer to one that comes later.
    let is_sifted = request.refusals == Refusals::LeftOut && ties.refuse_rows();
    let one = request.tasks == Tasks::One && transactional && request.verify < Verify::Checksum && !is_sifted;
    let mut notes = Vec::new();
    let path = match request.mode {
        _ if tasks::are_seen_alone(request)? => {
            notes.push(tasks::STAY.to_owned());
            Path::PerTask
        }
        WriteMode::Truncate | WriteMode::Replace if in_the_way.is_empty() && request.advance.is_none() => {
            notes.push("a new table takes the place of the old one, with its columns, indexes and checks".to_owned());
            Path::Swap
        }
        WriteMode::Truncate | WriteMode::Replace => {
            refuse_to_empty(ties)?;
            if !in_the_way.is_empty() {
                notes.push(format!(
                    "the table is emptied and refilled in one transaction, not exchanged, because of {}",
                    in_the_way.join(", ")
                ));
            }
            if one { Path::Held(Emptying::Delete) } else { Path::Refill(Emptying::Delete) }
        }
        WriteMode::Upsert(_) | WriteMode::Sync(_) => Path::Merge,
        // Nobody misses the rows of an empty table: another one can take its place, and no row is written twice.
        WriteMode::Create if in_the_way.is_empty() && request.advance.is_none() && !one => {
            notes.push(
                "the table is empty: at the end a new one takes its place, with its columns, indexes and checks"
                    .to_owned(),
            );
            Path::Swap
        }
        _ if one => Path::Held(Emptying::Keep),
        _ => Path::Refill(Emptying::Keep),
    };
    if let Path::Refill(_) = path {
        notes.push("rows are written twice: into a table beside, then from there into the target".to_owned());
    }
    if !transactional && !matches!(path, Path::Swap) {
        let engine = table.engine.as_deref().unwrap_or("its engine");
        notes.push(format!(
            "{engine} has no transactions: rows are seen as they come, and those of a copy that fails in the middle of the \
             last step stay"
        ));
    }
    if ties.triggers > 0 {
        notes.push("the target's own triggers fire for the rows".to_owned());
    }
    Ok(Choice { path, notes, transactional: transactional || path == Path::Swap })
}

/// Refuses to delete rows with which others would go or change.
fn refuse_to_empty(ties: &Ties) -> Result<()> {
    let Some((other, rule)) = ties.referenced_by.first() else { return Ok(()) };
    let message = match rule.as_str() {
        "CASCADE" | "SET NULL" | "SET DEFAULT" => {
            format!("emptying it would change rows of {other}, whose foreign key refers to it")
        }
        _ => format!("it cannot be emptied: a foreign key of {other} refers to its rows"),
    };
    Err(Error::new(ErrorKind::Constraint, message).with_hint(
        "drop that foreign key before (--pre-sql) and make it again after (--post-sql), or use --mode append or upsert",
    ))
}
