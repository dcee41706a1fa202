//! Makes staged rows visible in one transaction, and sweeps what was staged and not wanted.

use tokio_postgres::SimpleQueryMessage;

use super::agree::{Detail, Path};
use super::connect::Connection;
use super::ddl::Stage;
use super::errors;
use super::name::{Name, identifier, literal};
use crate::attempt::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::sink::Receipt;

/// Generates the statements that put a stage in the place of its target.
const SWAP: &str = include_str!("swap.sql");

/// Longest wait for the end of a writer that was told to go.
const SWEEP_LIMIT: &str = "30s";

/// One key per split; a task without splits has a key of its own.
pub(super) fn parts(splits: &[u32], task: u32) -> Vec<String> {
    if splits.is_empty() {
        return vec![format!("task {task}")];
    }
    splits.iter().map(|split| format!("split {split}")).collect()
}

/// Publishes the stage of `token` with exactly `receipts`.
pub(super) async fn staged(
    connection: &Connection,
    detail: &Detail,
    token: &Token,
    receipts: &[Receipt],
) -> Result<()> {
    detail.marker.ensure(connection).await?;
    if detail.marker.stands(connection, token).await? {
        return Ok(());
    }
    let stage = Stage::of(&detail.target, token);
    let rows: u64 = receipts.iter().map(|receipt| receipt.rows).sum();
    // An attempt that nobody waits for any more would keep the stage locked.
    connection.run(&dismissal(&stage)).await?;
    check_done(connection, &stage, receipts, rows).await?;
    let outcome = transaction(connection, detail, token, (&stage, rows)).await;
    if outcome.is_err() {
        // The first error counts; a broken connection has rolled back by itself.
        let _ = connection.run("ROLLBACK").await;
    }
    outcome
}

async fn transaction(
    connection: &Connection,
    detail: &Detail,
    token: &Token,
    (stage, rows): (&Stage, u64),
) -> Result<()> {
    let begin = format!("BEGIN; {}", connection.server().settings());
    let table = stage.table.quoted();
    let statements = match (&detail.create, detail.path) {
        (Some(new), _) => {
            let target = detail.target.quoted();
            let mut statements = vec![
                format!("COMMENT ON TABLE {table} IS NULL"),
                format!("ALTER TABLE {table} RENAME TO {}", identifier(&detail.target.table)),
            ];
            statements.extend(new.finish(&target));
            format!("{begin}{}", statements.join("; "))
        }
        (None, Path::Swap) => {
            let sql = SWAP
                .replace("$OLD", &literal(&detail.target.quoted()))
                .replace("$STAGE", &literal(&table))
                .replace("$TEMPORARY", &literal(&stage.table.table));
            // In the same transaction, so that the definition is the one that is carried over.
            let lock = format!("{begin}LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE; {sql}", detail.target.quoted());
            let rows = connection.rows(&lock).await?;
            let statements: Vec<&str> = rows.iter().filter_map(|row| row.get(0)).collect();
            statements.join("; ")
        }
        (None, Path::Refill(emptying)) => {
            let sql = format!("{begin}{}", detail.refill(emptying, &stage.table));
            let inserted = affected(connection, &sql).await?;
            check_rows(inserted, rows)?;
            format!("DROP TABLE {table}")
        }
        (None, _) => return Err(Error::new(ErrorKind::Internal, "this agreement has no stage")),
    };
    let sql = format!("{statements}; DROP TABLE {}; {} COMMIT", stage.done.quoted(), detail.marker.set(token));
    connection.run(&sql).await
}

/// Runs `sql` and gives the count of its last statement.
pub(super) async fn affected(connection: &Connection, sql: &str) -> Result<u64> {
    let messages = connection.simple_query(sql).await.map_err(errors::error)?;
    let count = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::CommandComplete(count) => Some(*count),
        _ => None,
    };
    Ok(messages.iter().rev().find_map(count).unwrap_or(0))
}

/// Refuses a count of the server that is not what was sent.
pub(super) fn check_rows(taken: u64, sent: u64) -> Result<()> {
    if taken == sent {
        return Ok(());
    }
    let message = format!("the server took {taken} of {sent} rows");
    Err(Error::new(ErrorKind::Internal, message).with_hint("a trigger or rule of the target may leave rows out"))
}

/// The stage must hold what the receipts say, no more and no less.
async fn check_done(connection: &Connection, stage: &Stage, receipts: &[Receipt], rows: u64) -> Result<()> {
    let sql = format!("SELECT count(*), coalesce(sum(rows), 0) FROM {}", stage.done.quoted());
    let found = connection.rows(&sql).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            Error::new(ErrorKind::NotFound, "the table that held the rows before the commit is gone")
                .with_hint("run the copy again")
        }
        _ => error,
    })?;
    let number = |index| found.first().and_then(|row| row.get(index)?.parse::<u64>().ok());
    let wanted: usize = receipts.iter().map(|receipt| parts(&receipt.splits, receipt.task).len()).sum();
    if number(0) == Some(wanted as u64) && number(1) == Some(rows) {
        return Ok(());
    }
    let message = format!(
        "the stage holds {} rows of {} splits, the receipts say {rows} of {wanted}",
        number(1).unwrap_or(0),
        number(0).unwrap_or(0)
    );
    Err(Error::new(ErrorKind::Internal, message))
}

/// Ends the writers of `stage` that are still there and removes it.
pub(super) async fn sweep(connection: &Connection, stage: &Stage, path: Path) -> Result<()> {
    let mut sql = dismissal(stage);
    if path.stages() {
        sql = format!("{sql}; BEGIN; SET LOCAL lock_timeout = '{SWEEP_LIMIT}'; {}; COMMIT", stage.drop());
    }
    let swept = connection.run(&sql).await;
    if swept.is_err() {
        let _ = connection.run("ROLLBACK").await;
    }
    swept
}

/// Ends the server processes of writers of `stage` that are in a transaction.
fn dismissal(stage: &Stage) -> String {
    format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = {} \
         AND pid <> pg_backend_pid() AND datname = current_database() AND usename = current_user",
        literal(&stage.writer)
    )
}

/// Publishes what one open transaction wrote: into the target, or into its own table `own`.
pub(super) fn held(detail: &Detail, own: &Name, token: &Token) -> String {
    let mut statements = Vec::new();
    if let Some(new) = &detail.create {
        statements.push(format!("ALTER TABLE {} RENAME TO {}", own.quoted(), identifier(&detail.target.table)));
        statements.extend(new.finish(&detail.target.quoted()));
    }
    statements.push(detail.marker.set(token));
    statements.push("COMMIT".to_owned());
    statements.join("; ")
}
