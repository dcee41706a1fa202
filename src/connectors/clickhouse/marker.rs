//! The mark of a commit: one row per token in a table beside the target.
//!
//! Whoever lost the answer of a commit finds it there, also from another process. ClickHouse itself takes it away after a time.

use super::connect::Server;
use super::errors::{code, code_of};
use super::name::{Name, literal};
use crate::attempt::Token;
use crate::error::Result;

/// The table of marks.
pub(super) const TABLE: &str = "etl_commits";

fn table(target: &Name) -> String {
    target.beside(TABLE.to_owned()).quoted()
}

/// Sets the mark of `token` beside `target`.
pub(super) async fn set(server: &Server, target: &Name, token: &Token) -> Result<()> {
    if stands(server, target, token).await? {
        return Ok(());
    }
    let table = table(target);
    server
        .run(&format!(
            "CREATE TABLE IF NOT EXISTS {table} (token String, committed_at DateTime DEFAULT now()) \
             ENGINE = MergeTree ORDER BY token TTL committed_at + INTERVAL 90 DAY COMMENT 'etl: what was committed'"
        ))
        .await?;
    server.run(&format!("INSERT INTO {table} (token) VALUES ({})", literal(&token.to_string()))).await
}

/// Whether `token` is committed.
pub(super) async fn stands(server: &Server, target: &Name, token: &Token) -> Result<bool> {
    let sql = format!("SELECT count() FROM {} WHERE token = {}", table(target), literal(&token.to_string()));
    match server.number(&sql).await {
        Ok(count) => Ok(count.is_some_and(|count| count > 0)),
        Err(error) if matches!(code_of(&error), Some(code::UNKNOWN_TABLE | code::UNKNOWN_DATABASE)) => Ok(false),
        Err(error) => Err(error),
    }
}
