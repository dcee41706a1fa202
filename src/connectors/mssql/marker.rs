//! The marks of commits: one row per token in a table beside the target, written in the transaction that brings the rows.

use super::connect::Connection;
use super::name::{Name, literal};
use super::stage::exists;
use crate::attempt::Token;
use crate::error::Result;

/// The table of marks.
pub(super) const TABLE: &str = "etl_commits";
/// How long a mark may be asked for, in days.
const KEPT_DAYS: u32 = 90;

/// Makes the table that the commit will write into.
pub(super) async fn make(connection: &mut Connection, target: &Name) -> Result<()> {
    let table = target.beside(TABLE);
    if exists(connection, &table).await? {
        return Ok(());
    }
    let sql = format!(
        "CREATE TABLE {} (token varchar(255) COLLATE Latin1_General_BIN2 NOT NULL PRIMARY KEY, \
         committed_at datetime2(0) NOT NULL DEFAULT SYSUTCDATETIME())",
        table.quoted()
    );
    let made = connection.run(&sql).await;
    // Another run may have been faster.
    if made.is_err() && exists(connection, &table).await? { Ok(()) } else { made }
}

/// The statement that sets the mark of `token`.
pub(super) fn set(target: &Name, token: &Token) -> String {
    format!("INSERT INTO {} (token) VALUES ({})", target.beside(TABLE).quoted(), literal(&token.to_string()))
}

/// Whether `token` is committed. A commit that is still under way is waited for.
pub(super) async fn stands(connection: &mut Connection, target: &Name, token: &Token) -> Result<bool> {
    let table = target.beside(TABLE);
    if !exists(connection, &table).await? {
        return Ok(false);
    }
    let sql = format!(
        "SELECT COUNT_BIG(*) FROM {} WITH (UPDLOCK, HOLDLOCK) WHERE token = {}",
        table.quoted(),
        literal(&token.to_string())
    );
    Ok(connection.number(&sql).await?.unwrap_or(0) > 0)
}

/// Forgets marks that nobody will ask for any more.
pub(super) async fn forget(connection: &mut Connection, target: &Name) -> Result<()> {
    let table = target.beside(TABLE).quoted();
    let sql = format!("DELETE FROM {table} WHERE committed_at < DATEADD(day, -{KEPT_DAYS}, SYSUTCDATETIME())");
    connection.run(&sql).await
}
