//! Rows that the table did not take when they came, where such rows are left out.
//!
//! A row that refers to one which is not there waits in a temporary table, and is tried again when all are there; so do rows
//! that were written aside. What is refused in the end goes to another one, with its reason, and is told from there: however
//! many they are, they need no memory.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::catalog::{self, quoted};
use super::error::{failed, named};
use super::keys;
use super::load::{Insert, Rows, Tried, tried};
use super::merge::{Merging, WAITING};
use super::stage::Detail;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::parting::hex;
use crate::reject::Refused;
use crate::sink::Merged;
use crate::sql::ddl::identifiers;
use crate::sql::dialect::Sqlite;
use crate::sql::merge::PLACE;

/// The table of rows that are to be tried again. Its column [`PLACE`] is the row id, as in the others.
const AGAIN: &str = "temp.etl_again";
/// The table of rows that are left out; its first column is the reason.
const OUT: &str = "temp.etl_left_out";
/// Rows that are told at once.
const TOLD_ROWS: usize = 1000;

/// The way of rows into [`AGAIN`].
pub(super) struct Left(Insert);

/// Makes the two tables.
pub(super) fn make_left(connection: &Connection, columns: &[String]) -> Result<()> {
    let names = identifiers(&Sqlite, columns);
    let names = format!("{names}, {PLACE} INTEGER PRIMARY KEY");
    let sql = format!("CREATE TABLE {AGAIN} ({names}); CREATE TABLE {OUT} (__reason, {names})");
    connection.execute_batch(&sql).map_err(failed)
}

impl Left {
    pub(super) fn new(columns: &[String]) -> Self {
        Self(Insert::new(AGAIN, columns))
    }

    /// What fills the table.
    pub(super) fn insert(&self) -> &Insert {
        &self.0
    }

    /// Keeps row `row` of a batch.
    pub(super) fn keep(&self, connection: &Connection, rows: &Rows<'_>, row: usize) -> Result<()> {
        self.0.row(connection, rows, row)
    }

    /// Tries all rows again, as long as one of them gets in, and leaves the others out.
    pub(super) fn settle(connection: &Connection, detail: &Detail) -> Result<()> {
        let columns = identifiers(&Sqlite, &detail.columns);
        let insert = Some(format!(
            "INSERT OR ABORT INTO {} ({columns}) SELECT {columns} FROM {AGAIN} WHERE {PLACE} = ?1",
            quoted(&detail.table)
        ));
        let forget = Some(format!("DELETE FROM {AGAIN} WHERE {PLACE} = ?1"));
        let both = [insert, forget];
        loop {
            let (mut came, mut waits, mut last) = (false, false, 0);
            while let Some(row) = next(connection, AGAIN, last)? {
                last = row;
                match tried(connection, &both, &[row])? {
                    Tried::Done(_) => came = true,
                    Tried::Refused { refers: true, .. } => waits = true,
                    Tried::Refused { error, .. } => move_out(connection, detail, (AGAIN, PLACE, row), &error)?,
                }
            }
            if !came || !waits {
                break;
            }
        }
        let mut last = 0;
        while let Some(row) = next(connection, AGAIN, last)? {
            last = row;
            let message = "the target refuses a row: what it refers to is not there";
            move_out(connection, detail, (AGAIN, PLACE, row), &Error::new(ErrorKind::Constraint, message))?;
        }
        Ok(())
    }
}

/// Merges the rows that wait, in halves where one is refused, down to the rows that are left out.
pub(super) fn merge(connection: &Connection, detail: &Detail, merging: &Merging) -> Result<Merged> {
    merging.settle(connection)?;
    let part = format!("(SELECT * FROM {WAITING} WHERE {PLACE} BETWEEN ?1 AND ?2)");
    let statements = merging.statements(detail, &part);
    let last: Option<i64> =
        connection.query_row(&format!("SELECT max({PLACE}) FROM {WAITING}"), [], |row| row.get(0)).map_err(failed)?;
    let mut merged = Merged::default();
    let mut try_part = |first: i64, last: i64| -> Result<Tried> {
        let tried = tried(connection, &statements, &[first, last])?;
        if let Tried::Done(counts) = &tried {
            merged.updated += counts[1];
            merged.inserted += counts[2];
        }
        Ok(tried)
    };
    let mut waiting: Vec<i64> = Vec::new();
    let mut parts = vec![(1, last.unwrap_or(0))];
    while let Some((first, last)) = parts.pop() {
        match try_part(first, last)? {
            Tried::Done(_) => {}
            Tried::Refused { .. } if first < last => {
                let middle = first + (last - first) / 2;
                parts.extend([(middle + 1, last), (first, middle)]);
            }
            Tried::Refused { refers: true, .. } => waiting.push(first),
            Tried::Refused { error, .. } => move_out(connection, detail, (WAITING, PLACE, first), &error)?,
        }
    }
    // A row may refer to one that came after it.
    loop {
        let before = waiting.len();
        let mut reasons = Vec::new();
        let mut left = Vec::new();
        for row in waiting {
            if let Tried::Refused { error, .. } = try_part(row, row)? {
                left.push(row);
                reasons.push(error);
            }
        }
        if left.len() == before {
            for (row, error) in left.into_iter().zip(reasons) {
                move_out(connection, detail, (WAITING, PLACE, row), &error)?;
            }
            break;
        }
        waiting = left;
    }
    connection.execute_batch(&format!("DROP TABLE {WAITING}")).map_err(failed)?;
    Ok(merged)
}

/// Leaves out the rows of a table that was emptied and refilled which refer to rows that are not there.
pub(super) fn orphans(connection: &Connection, detail: &Detail) -> Result<()> {
    // Where columns hide every name of the row id, no row can be taken out alone.
    let Some(place) = catalog::row_id(connection, &detail.table)? else { return Ok(()) };
    loop {
        let rows = keys::new_orphans(connection, &detail.table)?;
        if rows.is_empty() {
            return Ok(());
        }
        let message = "the target refuses a row: what it refers to is not there";
        for row in rows {
            let table = quoted(&detail.table);
            move_out(connection, detail, (&table, place, row), &Error::new(ErrorKind::Constraint, message))?;
        }
    }
}

/// Moves a row out of `from`: a table, what the row id is called there, and that of the row.
fn move_out(
    connection: &Connection,
    detail: &Detail,
    (from, place, row): (&str, &str, i64),
    error: &Error,
) -> Result<()> {
    let columns = identifiers(&Sqlite, &detail.columns);
    let copy = format!("INSERT INTO {OUT} (__reason, {columns}) SELECT ?1, {columns} FROM {from} WHERE {place} = ?2");
    let reason = error.message();
    connection.prepare_cached(&copy).and_then(|mut copy| copy.execute((reason, row))).map_err(failed)?;
    let delete = format!("DELETE FROM {from} WHERE {place} = ?1");
    connection.prepare_cached(&delete).and_then(|mut delete| delete.execute([row])).map_err(failed).map(drop)
}

/// The id of the row of `table` behind row `last`.
fn next(connection: &Connection, table: &str, last: i64) -> Result<Option<i64>> {
    let sql = format!("SELECT min({PLACE}) FROM {table} WHERE {PLACE} > ?1");
    let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
    statement.query_row([last], |row| row.get(0)).map_err(failed)
}

/// Takes some of the rows that are left out.
pub(super) fn take(connection: &Connection, columns: &[String]) -> Result<Option<Refused>> {
    let sql = format!("SELECT * FROM {OUT} ORDER BY {PLACE} LIMIT {TOLD_ROWS}");
    let mut statement = connection.prepare(&sql).map_err(failed)?;
    let texts = |row: &Row<'_>| (0..=columns.len()).map(|at| Ok(text(row.get_ref(at)?))).collect();
    let rows = statement.query_map([], texts).map_err(failed)?;
    let rows: Vec<Vec<Option<String>>> = rows.collect::<Result<_, _>>().map_err(failed)?;
    if rows.is_empty() {
        return Ok(None);
    }
    let told = format!("SELECT {PLACE} FROM {OUT} ORDER BY {PLACE} LIMIT {TOLD_ROWS}");
    let delete = format!("DELETE FROM {OUT} WHERE {PLACE} IN ({told})");
    connection.execute(&delete, []).map_err(failed)?;
    let column = |at: usize| Arc::new(rows.iter().map(|row| row[at].as_deref()).collect::<StringArray>()) as ArrayRef;
    let fields: Vec<Field> = columns.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), (1..=columns.len()).map(column).collect())?;
    let reason = |row: &Vec<Option<String>>| row[0].clone().unwrap_or_default();
    let errors = rows.iter().map(|row| named(Error::new(ErrorKind::Constraint, reason(row))));
    Ok(Some(Refused { rows: batch, places: vec![None; rows.len()], errors: errors.collect() }))
}

/// A value as text; bytes as `\x…`.
fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(value) => Some(value.to_string()),
        ValueRef::Real(value) => Some(value.to_string()),
        ValueRef::Text(value) => Some(String::from_utf8_lossy(value).into_owned()),
        ValueRef::Blob(value) => Some(hex(value)),
    }
}
