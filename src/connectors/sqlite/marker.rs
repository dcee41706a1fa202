//! The marker of a commit: one row per token, written by the same transaction as the rows that it stands for.
//!
//! Whoever lost the answer of a commit finds it there, also from another process. `finish` takes the row away again,
//! and the table with the last row.

use rusqlite::{Connection, OptionalExtension as _};

use super::error::failed;
use crate::attempt::Token;
use crate::error::Result;
use crate::sink::{Advance, Noted, moved_meanwhile};

/// The table of markers. It is there between commit and finish alone, and after a run that died between them.
pub(super) const TABLE: &str = "etl_commits";
/// How long the marker of such a run is kept.
const KEPT: &str = "-90 days";

/// The table of the positions of incremental copies, which stays.
pub(super) const POSITIONS: &str = "etl_positions";

/// Moves the position of an incremental copy in the transaction that is open, if it is still where it was when the copy
/// was planned.
pub(super) fn advance(connection: &Connection, advance: &Advance) -> Result<()> {
    let make = format!(
        "CREATE TABLE IF NOT EXISTS main.{POSITIONS} (stream TEXT PRIMARY KEY, position TEXT NOT NULL, \
         moved_at TEXT NOT NULL DEFAULT (datetime('now'))) WITHOUT ROWID"
    );
    connection.execute_batch(&make).map_err(failed)?;
    let Advance { stream, from, to } = advance;
    let moved = match from {
        Noted::NoTarget => {
            let sql = format!("INSERT OR REPLACE INTO main.{POSITIONS} (stream, position) VALUES (?1, ?2)");
            connection.execute(&sql, [stream, to])
        }
        Noted::Nothing | Noted::Nowhere => {
            let sql = format!("INSERT OR IGNORE INTO main.{POSITIONS} (stream, position) VALUES (?1, ?2)");
            connection.execute(&sql, [stream, to])
        }
        Noted::At(from) => {
            let sql = format!(
                "UPDATE main.{POSITIONS} SET position = ?2, moved_at = datetime('now') \
                 WHERE stream = ?1 AND position = ?3"
            );
            connection.execute(&sql, [stream, to, from])
        }
    };
    if moved.map_err(failed)? == 1 { Ok(()) } else { Err(moved_meanwhile()) }
}

/// What is noted of `stream`.
pub(super) fn noted(connection: &Connection, stream: &str) -> Result<Noted> {
    if !exists(connection, POSITIONS)? {
        return Ok(Noted::Nothing);
    }
    let sql = format!("SELECT position FROM main.{POSITIONS} WHERE stream = ?1");
    let position = connection.query_row(&sql, [stream], |row| row.get(0)).optional().map_err(failed)?;
    Ok(position.map_or(Noted::Nothing, Noted::At))
}

/// Sets the mark of `token`, in the transaction that is open.
pub(super) fn set(connection: &Connection, token: &Token) -> Result<()> {
    let make = format!(
        "CREATE TABLE IF NOT EXISTS main.{TABLE} \
         (token TEXT PRIMARY KEY, committed_at TEXT NOT NULL DEFAULT (datetime('now'))) WITHOUT ROWID"
    );
    connection.execute_batch(&make).map_err(failed)?;
    let insert = format!("INSERT INTO main.{TABLE} (token) VALUES (?1)");
    connection.execute(&insert, [token.to_string()]).map_err(failed).map(drop)
}

/// Whether `token` is committed.
pub(super) fn stands(connection: &Connection, token: &Token) -> Result<bool> {
    if !exists(connection, TABLE)? {
        return Ok(false);
    }
    let sql = format!("SELECT 1 FROM main.{TABLE} WHERE token = ?1");
    let row = connection.query_row(&sql, [token.to_string()], |_| Ok(())).optional().map_err(failed)?;
    Ok(row.is_some())
}

/// Takes the marks of `tokens` away, with those of runs that nobody will ask for any more.
pub(super) fn forget(connection: &mut Connection, tokens: &[Token]) -> Result<()> {
    let behavior = rusqlite::TransactionBehavior::Immediate;
    let transaction = connection.transaction_with_behavior(behavior).map_err(failed)?;
    if !exists(&transaction, TABLE)? {
        return Ok(());
    }
    let delete = format!("DELETE FROM main.{TABLE} WHERE token = ?1 OR committed_at < datetime('now', '{KEPT}')");
    for token in tokens {
        transaction.execute(&delete, [token.to_string()]).map_err(failed)?;
    }
    let left = transaction
        .prepare(&format!("SELECT 1 FROM main.{TABLE}"))
        .and_then(|mut all| all.exists([]))
        .map_err(failed)?;
    if !left {
        transaction.execute_batch(&format!("DROP TABLE main.{TABLE}")).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

fn exists(connection: &Connection, table: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ?1";
    connection.prepare_cached(sql).and_then(|mut found| found.exists([table])).map_err(failed)
}
