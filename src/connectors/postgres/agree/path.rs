//! How rows become visible, from the mode, the number of tasks and what hangs on the target.

use serde::{Deserialize, Serialize};

use super::super::target::{Look, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::reject::Refusals;
use crate::sink::{Publish, Tasks, Visible, WriteMode, WriteRequest};
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
    /// Each task is a transaction on the target itself, which the server holds until all are there.
    Prepared,
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

    /// When the rows are seen.
    pub(super) fn publish(self) -> Publish {
        match self {
            Self::Prepared => Publish::Prepared,
            Self::PerTask => Publish::PerTask,
            path if path.held() => Publish::Held,
            _ => Publish::AtOnce,
        }
    }

    /// Whether there is a table beside the target.
    pub(crate) fn stages(self) -> bool {
        !matches!(self, Self::Held(_) | Self::Prepared | Self::PerTask)
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
/// [`Usage`](ErrorKind::Usage) where rows shall be seen otherwise than a new table lets them be.
pub(super) fn new(request: &WriteRequest, key: &[String]) -> Result<Choice> {
    if tasks::are_seen_alone(request)? {
        return Ok(Choice { path: Path::PerTask, notes: vec![tasks::STAY.to_owned()] });
    }
    if are_to_be_prepared(request) {
        return Err(unprepared(ErrorKind::Usage, "rows of a table that is made are written once in any case"));
    }
    // Of a table beside the keys can be settled before it gets its name.
    let settles = request.mode.merge().is_some() || request.refusals == Refusals::LeftOut && !key.is_empty();
    let path = if request.tasks == Tasks::One && !settles { Path::NewHeld } else { Path::NewStaged };
    Ok(Choice { path, notes: Vec::new() })
}

/// What the way into a table that is there rests on.
pub(super) fn look(request: &WriteRequest) -> Look {
    match request.mode {
        WriteMode::Truncate => Look::Readers,
        WriteMode::Replace => Look::Exchange,
        WriteMode::Create if request.tasks == Tasks::Many => Look::Exchange,
        _ => Look::Plain,
    }
}

/// The way into `table`, which was read with [`look`].
///
/// # Errors
/// [`Constraint`](ErrorKind::Constraint) when emptying the table would change others; [`Usage`](ErrorKind::Usage) and
/// [`Unsupported`](ErrorKind::Unsupported) where rows shall be seen otherwise than they can be.
pub(super) fn existing(table: &Table, request: &WriteRequest, prepared_max: u32) -> Result<Choice> {
    let sifted = is_sifted(table, request);
    let one = request.tasks == Tasks::One && !sifted;
    let mut notes = Vec::new();
    let path = match request.mode {
        _ if tasks::are_seen_alone(request)? => {
            notes.push(tasks::STAY.to_owned());
            Path::PerTask
        }
        _ if are_to_be_prepared(request) => {
            can_be_prepared(table, request, prepared_max)?;
            notes.push(format!(
                "each task waits in a prepared transaction until all are there; the server holds {prepared_max} of them, for all \
                 programs together"
            ));
            Path::Prepared
        }
        WriteMode::Truncate => match emptying(table)? {
            Emptying::Truncate if one && !table.access.read_here => Path::Held(Emptying::Truncate),
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
        notes.extend(of_refill(table, emptying));
        if can_be_prepared(table, request, prepared_max).is_ok() {
            notes.push("--publish prepared writes them once".to_owned());
        }
    }
    if table.triggers {
        notes.push("the target's own triggers fire for the rows".to_owned());
    }
    Ok(Choice { path, notes })
}

/// What the user should know of rows that are inserted into `table` from one beside.
fn of_refill(table: &Table, emptying: Emptying) -> Vec<String> {
    let mut notes = vec!["rows are written twice: into a table beside, then from there into the target".to_owned()];
    if emptying == Emptying::Delete {
        let others: Vec<&str> = table.referenced.iter().map(|key| key.table.as_str()).collect();
        notes.push(format!(
            "the old rows are deleted, not truncated, because foreign keys of {} refer to them; \
             rows that are referred to must come again",
            others.join(", ")
        ));
    }
    notes
}

/// Rows that are refused are found in a table beside, which the target cannot take as it is.
fn is_sifted(table: &Table, request: &WriteRequest) -> bool {
    request.refusals == Refusals::LeftOut && table.guarded
}

/// Whether several tasks are to wait in transactions of their own. One alone is one anyway.
fn are_to_be_prepared(request: &WriteRequest) -> bool {
    request.visible == Visible::Prepared && request.tasks == Tasks::Many
}

/// Whether each task can be a transaction on `table` that the server holds.
fn can_be_prepared(table: &Table, request: &WriteRequest, prepared_max: u32) -> Result<()> {
    let (kind, message) = match table {
        _ if request.mode != WriteMode::Append => {
            (ErrorKind::Usage, "only rows that are added to a table can wait in prepared transactions")
        }
        _ if prepared_max == 0 => {
            let message = "the server holds no prepared transactions";
            return Err(unprepared(ErrorKind::Unsupported, message).with_hint(
                "set max_prepared_transactions above the number of channels, or leave --publish prepared out",
            ));
        }
        Table { kind: 'r', persistence: 'p', .. } if is_sifted(table, request) => {
            (ErrorKind::Usage, "rows that the table may refuse are looked for in a table beside")
        }
        Table { kind: 'r', persistence: 'p', refers_to_itself: true, .. } => {
            (ErrorKind::Unsupported, "the table refers to itself, and tasks do not see the rows of others")
        }
        Table { kind: 'r', persistence: 'p', .. } => return Ok(()),
        // Such a transaction outlives a crash, the rows of an unlogged table do not.
        _ => (ErrorKind::Unsupported, "only plain and logged tables can be written in prepared transactions"),
    };
    Err(unprepared(kind, message))
}

fn unprepared(kind: ErrorKind, message: &str) -> Error {
    Error::new(kind, message).at("option", "--publish prepared").with_hint("leave --publish prepared out")
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_table_takes_the_place_of_one_when_it_is_not_known_what_hangs_on_that() {
        let table: Table = serde_json::from_value(json!({
            "kind": "r", "persistence": "p", "schema": "public", "name": "t", "columns": [], "uniques": [], "checks": [],
            "access": {"insert": true, "lock": true, "merge": true, "delete": true, "readHere": false},
            "published": false, "guarded": false, "triggers": false, "refersToItself": false, "referenced": [],
        }))
        .unwrap();
        for (mode, emptying) in [(WriteMode::Replace, Emptying::Truncate), (WriteMode::Create, Emptying::Keep)] {
            let request = WriteRequest::new(mode);
            assert_eq!(look(&request), Look::Exchange);
            assert_eq!(existing(&table, &request, 0).unwrap().path, Path::Refill(emptying));
        }
        assert_eq!(look(&WriteRequest::new(WriteMode::Truncate)), Look::Readers);
        assert_eq!(look(&WriteRequest::new(WriteMode::Append)), Look::Plain);
    }
}
