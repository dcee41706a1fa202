//! Rows of a stage that the target refuses when they are brought into it: found by halves, left out, and told.
//!
//! What only shows when all rows are there is found here: keys that are there already, references, checks, triggers. A row may refer to
//! one that comes after it, so rows that are refused are tried again as long as one of them gets in.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::agree::{Detail, refill};
use super::connect::Connection;
use super::encode::Column;
use super::errors::{code_of, is_reply};
use super::merge::{Merging, ROW};
use super::name::identifier;
use super::typemap::Kind;
use crate::error::{Error, ErrorKind, Result};
use crate::reject::{Refuse, Refused};
use crate::sink::Merged;

/// Rows that are told at once.
const TOLD_ROWS: usize = 1000;

/// How rows of the stage get into the target.
#[derive(Clone, Copy)]
pub(super) enum Landing<'a> {
    Insert,
    Merge(&'a Merging),
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Landed {
    /// Rows that are in the target, or as they should be there.
    pub(super) rows: u64,
    pub(super) refused: u64,
    pub(super) merged: Merged,
}

/// A row of the stage that the target refuses.
struct Left {
    row: u64,
    error: Error,
}

/// Brings the rows of `stage`, which is quoted, into the target, in the transaction that is open; those that it refuses go to
/// `refuse`.
pub(super) async fn land(
    connection: &mut Connection,
    (detail, stage): (&Detail, &str),
    landing: Landing<'_>,
    refuse: &dyn Refuse,
) -> Result<Landed> {
    let row = identifier(ROW);
    let ends = connection.rows(&format!("SELECT MIN({row}), MAX({row}), COUNT(*) FROM {stage}")).await?;
    let end = |index: usize| ends.first().and_then(|found| found.number::<u64>(index));
    let (Some(first), Some(last)) = (end(0), end(1)) else { return Ok(Landed::default()) };
    let mut landed = Landed::default();
    let mut left = Vec::new();
    let mut parts = vec![(first, last)];
    while let Some((from, to)) = parts.pop() {
        let Some(error) = part(connection, (detail, stage), landing, (from, to), &mut landed).await? else { continue };
        if from == to {
            left.push(Left { row: from, error });
        } else {
            let middle = from + (to - from) / 2;
            parts.extend([(middle + 1, to), (from, middle)]);
        }
    }
    loop {
        let before = left.len();
        let mut again = Vec::new();
        for Left { row, .. } in left {
            if let Some(error) = part(connection, (detail, stage), landing, (row, row), &mut landed).await? {
                again.push(Left { row, error });
            }
        }
        left = again;
        if left.len() == before || left.is_empty() {
            break;
        }
    }
    landed.refused = left.len() as u64;
    landed.rows = end(2).unwrap_or(0) - landed.refused;
    for left in chunks(left) {
        refuse.refuse(told(connection, (detail, stage), left).await?).await?;
    }
    Ok(landed)
}

fn chunks(left: Vec<Left>) -> Vec<Vec<Left>> {
    let mut chunks: Vec<Vec<Left>> = Vec::new();
    for left in left {
        match chunks.last_mut().filter(|last| last.len() < TOLD_ROWS) {
            Some(last) => last.push(left),
            None => chunks.push(vec![left]),
        }
    }
    chunks
}

/// Brings the rows numbered from the one to the other into the target, all or none: then the error of the server comes back.
async fn part(
    connection: &mut Connection,
    (detail, stage): (&Detail, &str),
    landing: Landing<'_>,
    (from, to): (u64, u64),
    landed: &mut Landed,
) -> Result<Option<Error>> {
    let rows = format!("(SELECT * FROM {stage} WHERE {} BETWEEN {from} AND {to})", identifier(ROW));
    connection.run("SAVEPOINT etl_part").await?;
    let done = match landing {
        Landing::Insert => {
            connection.affected(&refill(detail, &format!("{rows} AS s"))).await.map(|_| Merged::default())
        }
        Landing::Merge(merging) => merging.merge_part(connection, detail, &rows).await,
    };
    match done {
        Ok(merged) => {
            landed.merged.inserted += merged.inserted;
            landed.merged.updated += merged.updated;
            connection.run("RELEASE SAVEPOINT etl_part").await?;
            Ok(None)
        }
        Err(error) if is_refusal(&error) => {
            connection.run("ROLLBACK TO SAVEPOINT etl_part").await?;
            Ok(Some(error))
        }
        Err(error) => Err(error),
    }
}

fn is_refusal(error: &Error) -> bool {
    is_reply(error) && code_of(error).is_some() && matches!(error.kind(), ErrorKind::Value | ErrorKind::Constraint)
}

/// Rows that are left out, as they were staged.
async fn told(connection: &mut Connection, (detail, stage): (&Detail, &str), left: Vec<Left>) -> Result<Refused> {
    let text = |column: &Column| {
        let name = identifier(&column.name);
        match column.kind() {
            Some(Kind::Binary | Kind::Geometry) => format!("CONCAT('\\\\x', LOWER(HEX({name})))"),
            // As a text a float has six digits, as a double all of them.
            Some(Kind::Float) => format!("CAST({name} + 0E0 AS CHAR)"),
            // The session's zone is UTC.
            Some(Kind::Timestamp(_)) => format!("CONCAT(CAST({name} AS CHAR), '+00:00')"),
            Some(Kind::Bit(_)) => format!("CAST({name} + 0 AS CHAR)"),
            _ => format!("CAST({name} AS CHAR)"),
        }
    };
    let list: Vec<String> = detail.columns.iter().map(text).collect();
    let places: Vec<String> = left.iter().map(|left| left.row.to_string()).collect();
    let row = identifier(ROW);
    let sql = format!("SELECT {} FROM {stage} WHERE {row} IN ({}) ORDER BY {row}", list.join(", "), places.join(", "));
    let rows = connection.rows(&sql).await?;
    let column = |index: usize| Arc::new(rows.iter().map(|row| row.get(index)).collect::<StringArray>()) as ArrayRef;
    let fields: Vec<Field> =
        detail.columns.iter().map(|column| Field::new(&column.name, DataType::Utf8, true)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), (0..detail.columns.len()).map(column).collect())?;
    let places = vec![None; left.len()];
    let mut left = left;
    left.sort_by_key(|left| left.row);
    Ok(Refused { rows: batch, places, errors: left.into_iter().map(|left| left.error).collect() })
}
