//! The mark of a commit, one row per token, written by the same transaction as the rows that it stands for; and the positions of
//! incremental copies.
//!
//! Whoever lost the answer of a commit finds it there, also from another process. `finish` takes the row away again, and the
//! table with the last row.

use super::database::Connection;
use crate::attempt::Token;
use crate::error::Result;
use crate::sink::{Advance, Noted, moved_meanwhile};
use crate::sql::dialect::{Dialect as _, DuckDb};

/// The table of marks. It is there between commit and finish alone, and after a run that died between them.
pub(super) const TABLE: &str = "etl_commits";
/// How long the mark of such a run is kept.
const KEPT: &str = "INTERVAL 90 DAYS";
/// The table of the positions of incremental copies, which stays.
pub(super) const POSITIONS: &str = "etl_positions";

/// Moves the position of an incremental copy in the transaction that is open, if it is still where it was when the copy
/// was planned.
pub(super) fn advance(connection: &mut Connection, advance: &Advance) -> Result<()> {
    connection.execute(&format!(
        "CREATE TABLE IF NOT EXISTS main.{POSITIONS} \
         (stream VARCHAR PRIMARY KEY, position VARCHAR NOT NULL, moved_at TIMESTAMPTZ NOT NULL DEFAULT now())"
    ))?;
    let (stream, to) = (literal(&advance.stream), literal(&advance.to));
    let moved = match &advance.from {
        Noted::NoTarget => {
            let insert = format!("INSERT OR REPLACE INTO main.{POSITIONS} (stream, position) VALUES ({stream}, {to})");
            connection.count(&insert)?
        }
        Noted::Nothing | Noted::Nowhere => {
            let insert = format!("INSERT OR IGNORE INTO main.{POSITIONS} (stream, position) VALUES ({stream}, {to})");
            connection.count(&insert)?
        }
        Noted::At(from) => connection.count(&format!(
            "UPDATE main.{POSITIONS} SET position = {to}, moved_at = now() WHERE stream = {stream} AND position = {}",
            literal(from)
        ))?,
    };
    if moved == 1 { Ok(()) } else { Err(moved_meanwhile()) }
}

/// What is noted of `stream`.
pub(super) fn noted(connection: &mut Connection, stream: &str) -> Result<Noted> {
    if !exists(connection, POSITIONS)? {
        return Ok(Noted::Nothing);
    }
    let sql = format!("SELECT position FROM main.{POSITIONS} WHERE stream = {}", literal(stream));
    let rows = connection.texts(&sql)?;
    Ok(rows.into_iter().flatten().flatten().next().map_or(Noted::Nothing, Noted::At))
}

/// Sets the mark of `token`, in the transaction that is open.
pub(super) fn set(connection: &mut Connection, token: &Token) -> Result<()> {
    connection.execute(&format!(
        "CREATE TABLE IF NOT EXISTS main.{TABLE} \
         (token VARCHAR PRIMARY KEY, committed_at TIMESTAMPTZ NOT NULL DEFAULT now())"
    ))?;
    connection.execute(&format!("INSERT INTO main.{TABLE} (token) VALUES ({})", literal(&token.to_string())))
}

/// Whether `token` is committed.
pub(super) fn stands(connection: &mut Connection, token: &Token) -> Result<bool> {
    if !exists(connection, TABLE)? {
        return Ok(false);
    }
    let sql = format!("SELECT count(*) FROM main.{TABLE} WHERE token = {}", literal(&token.to_string()));
    Ok(connection.number(&sql)? == Some(1))
}

/// Takes the marks of `tokens` away, with those of runs that nobody will ask for any more.
pub(super) fn forget(connection: &mut Connection, tokens: &[Token]) -> Result<()> {
    if tokens.is_empty() || !exists(connection, TABLE)? {
        return Ok(());
    }
    let tokens: Vec<String> = tokens.iter().map(|token| literal(&token.to_string())).collect();
    let tokens = tokens.join(", ");
    let old = format!("committed_at < now() - {KEPT}");
    let left = format!("SELECT count(*) FROM main.{TABLE} WHERE NOT (token IN ({tokens}) OR {old})");
    connection.transaction(|connection| {
        // A row of a table that is dropped need not be deleted first.
        let sql = match connection.number(&left)? {
            Some(0) => format!("DROP TABLE main.{TABLE}"),
            _ => format!("DELETE FROM main.{TABLE} WHERE token IN ({tokens}) OR {old}"),
        };
        connection.execute(&sql)
    })
}

/// Whether the schema `main` has this table.
fn exists(connection: &mut Connection, table: &str) -> Result<bool> {
    let sql = format!(
        "SELECT count(*) FROM duckdb_tables() WHERE database_name = current_database() AND schema_name = 'main' \
         AND table_name = {}",
        literal(table)
    );
    Ok(connection.number(&sql)? == Some(1))
}

/// A text of ours, which holds no NUL.
pub(super) fn literal(text: &str) -> String {
    DuckDb.text(&text.replace('\0', "\u{FFFD}")).expect("there is no NUL in it any more")
}
