//! The marks of commits and the positions of incremental copies, in the transaction of the rows that they stand for.
//!
//! Where a table takes the target's place, its comment is the mark until the run is finished: then it gets its own comment back, and
//! a mark like the others.

use super::connect::Connection;
use super::errors::{self, code};
use super::name::{Name, literal};
use super::stage::{exists, has_mark};
use crate::attempt::Token;
use crate::error::Result;
use crate::sink::{Advance, Noted, moved_meanwhile};

/// The table of marks.
pub(super) const TABLE: &str = "etl_commits";
/// The table of positions, which stays.
pub(super) const POSITIONS: &str = "etl_positions";
/// How long a mark may be asked for.
const KEPT: &str = "90 DAY";

/// Makes the tables that the commit will write into: a definition would end its transaction.
pub(super) async fn make(connection: &mut Connection, target: &Name, advance: Option<&Advance>) -> Result<()> {
    let commits = format!(
        "CREATE TABLE IF NOT EXISTS {} (token varchar(255) CHARACTER SET ascii PRIMARY KEY, \
         committed_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP) ENGINE = InnoDB",
        target.beside(TABLE).quoted()
    );
    connection.run(&commits).await?;
    if advance.is_some() {
        let positions = format!(
            "CREATE TABLE IF NOT EXISTS {} (stream varchar(255) CHARACTER SET ascii PRIMARY KEY, \
             position longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, \
             moved_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP) ENGINE = InnoDB",
            target.beside(POSITIONS).quoted()
        );
        connection.run(&positions).await?;
    }
    Ok(())
}

/// Moves the position and sets the mark of `token`, in the transaction that is open.
pub(super) async fn set(
    connection: &mut Connection,
    target: &Name,
    (token, advance): (&Token, Option<&Advance>),
) -> Result<()> {
    if let Some(advance) = advance {
        self::advance(connection, target, advance).await?;
    }
    let table = target.beside(TABLE).quoted();
    connection.run(&format!("INSERT INTO {table} (token) VALUES ({})", literal(&token.to_string()))).await
}

async fn advance(connection: &mut Connection, target: &Name, advance: &Advance) -> Result<()> {
    let table = target.beside(POSITIONS).quoted();
    let (stream, to) = (literal(&advance.stream), literal(&advance.to));
    let insert = format!("INTO {table} (stream, position) VALUES ({stream}, {to})");
    let moved = match &advance.from {
        Noted::NoTarget => connection.affected(&format!("REPLACE {insert}")).await?.min(1),
        Noted::Nothing | Noted::Nowhere => match connection.affected(&format!("INSERT {insert}")).await {
            Err(error) if errors::code_of(&error) == Some(code::DUPLICATE) => 0,
            inserted => inserted?,
        },
        Noted::At(from) => {
            let from = literal(from);
            let same = format!("SELECT COUNT(*) FROM {table} WHERE stream = {stream} AND position = {from} FOR UPDATE");
            let found = connection.number(&same).await?.unwrap_or(0);
            if found > 0 {
                connection.run(&format!("UPDATE {table} SET position = {to} WHERE stream = {stream}")).await?;
            }
            found
        }
    };
    if moved == 1 { Ok(()) } else { Err(moved_meanwhile()) }
}

/// What is noted of `stream`.
pub(super) async fn noted(connection: &mut Connection, target: &Name, stream: &str) -> Result<Noted> {
    if !exists(connection, target).await? {
        return Ok(Noted::NoTarget);
    }
    let positions = target.beside(POSITIONS);
    if !exists(connection, &positions).await? {
        return Ok(Noted::Nothing);
    }
    let sql = format!("SELECT position FROM {} WHERE stream = {}", positions.quoted(), literal(stream));
    Ok(connection.text(&sql).await?.map_or(Noted::Nothing, Noted::At))
}

/// Whether `token` is committed: by its mark, or by the comment of the target.
pub(super) async fn stands(connection: &mut Connection, target: &Name, token: &Token) -> Result<bool> {
    if comment(connection, target).await?.is_some_and(|comment| has_mark(&comment, token)) {
        return Ok(true);
    }
    let table = target.beside(TABLE);
    if !exists(connection, &table).await? {
        return Ok(false);
    }
    // A commit whose answer is lost may still be under way: it is waited for.
    let sql =
        format!("SELECT COUNT(*) FROM {} WHERE token = {} FOR UPDATE", table.quoted(), literal(&token.to_string()));
    Ok(connection.number(&sql).await?.unwrap_or(0) > 0)
}

/// The comment of a table; none where there is no such table.
pub(super) async fn comment(connection: &mut Connection, table: &Name) -> Result<Option<String>> {
    let sql = format!(
        "SELECT TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        literal(&table.database),
        literal(&table.table)
    );
    connection.text(&sql).await
}

/// Notes that `token` is committed, where its mark was a comment so far, and forgets marks that nobody will ask for any more.
pub(super) async fn keep(connection: &mut Connection, target: &Name, token: &str) -> Result<()> {
    make(connection, target, None).await?;
    let table = target.beside(TABLE).quoted();
    let insert = format!("INSERT IGNORE INTO {table} (token) VALUES ({})", literal(token));
    connection.run(&insert).await?;
    connection.run(&format!("DELETE FROM {table} WHERE committed_at < NOW() - INTERVAL {KEPT}")).await
}
