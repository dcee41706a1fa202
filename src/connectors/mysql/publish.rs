//! Makes what was written visible.
//!
//! A new name is one statement, which the server does as a whole or not at all; its mark is the comment of the table. Everything else
//! is one transaction, with a mark of its own.

use super::agree::{Detail, Emptying, Path, definition, refill, refuse_rows};
use super::connect::Connection;
use super::errors::{self, code};
use super::marker;
use super::sift::{self, Landing};
use super::stage::Stage;
use crate::attempt::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::reject::Refuse;
use crate::sink::{Merged, Receipt};

/// Waits of three seconds each when all rows are there and only have to be published.
const WAITS: usize = 40;

/// How far a commit is.
pub(super) enum Ready {
    /// It is done.
    Done,
    /// A transaction is open that only needs its COMMIT. Where rows were merged by key, what that did.
    ToCommit(Option<Merged>),
}

/// Readies the stage of `token`, with exactly `receipts`, for its COMMIT, or publishes it where that is one statement. The
/// connection keeps other commits of the token out until it is done, or ends.
pub(super) async fn staged(
    connection: &mut Connection,
    detail: &Detail,
    (token, receipts): (&Token, &[Receipt]),
    refuse: Option<&dyn Refuse>,
) -> Result<Ready> {
    let stage = Stage::of(&detail.target, token);
    stage.lock_commit(connection).await?;
    let ready = ready(connection, detail, (&stage, token, receipts), refuse).await?;
    if matches!(ready, Ready::Done) {
        stage.unlock_commit(connection).await?;
    }
    Ok(ready)
}

async fn ready(
    connection: &mut Connection,
    detail: &Detail,
    (stage, token, receipts): (&Stage, &Token, &[Receipt]),
    refuse: Option<&dyn Refuse>,
) -> Result<Ready> {
    if marker::stands(connection, &detail.target, token).await? {
        return Ok(Ready::Done);
    }
    stage.check(connection, receipts).await?;
    connection.run("SET lock_wait_timeout = 3").await?;
    if detail.path.renames() {
        rename(connection, detail, stage).await?;
        return Ok(Ready::Done);
    }
    marker::make(connection, &detail.target, detail.advance.as_ref()).await?;
    let merged = match transaction(connection, detail, (stage, receipts), refuse).await {
        Ok(merged) => merged,
        Err(error) => {
            // The first error counts; a broken connection has rolled back by itself.
            let _ = connection.run("ROLLBACK").await;
            return Err(error);
        }
    };
    let marked = marker::set(connection, &detail.target, (token, detail.advance.as_ref())).await;
    if marked.is_err() {
        let _ = connection.run("ROLLBACK").await;
    }
    marked.map(|()| Ready::ToCommit(merged))
}

/// Brings the rows into the target, in a transaction that stays open.
async fn transaction(
    connection: &mut Connection,
    detail: &Detail,
    (stage, receipts): (&Stage, &[Receipt]),
    refuse: Option<&dyn Refuse>,
) -> Result<Option<Merged>> {
    let table = stage.table.quoted();
    if let (Some(new), Path::Refill(_) | Path::Merge) = (&detail.create, detail.path) {
        let create = new.create(&format!("IF NOT EXISTS {}", detail.target.quoted()), &detail.comment);
        connection.run(&create).await?;
    }
    if let Some(merging) = &detail.merging {
        merging.settle(connection, detail, &stage.table).await?;
        connection.run("START TRANSACTION").await?;
        let Some(refuse) = refuse else { return merging.merge(connection, detail, &table).await.map(Some) };
        let deleted = merging.delete_absent(connection, detail, &table).await?;
        let landed = sift::land(connection, (detail, &table), Landing::Merge(merging), refuse).await?;
        return Ok(Some(Merged { deleted, ..landed.merged }));
    }
    connection.run("START TRANSACTION").await?;
    let Path::Refill(emptying) = detail.path else { return Ok(None) };
    if detail.must_be_empty {
        refuse_rows(connection, &detail.target).await?;
    }
    if emptying == Emptying::Delete {
        connection.run(&format!("DELETE FROM {}", detail.target.quoted())).await?;
    }
    let sent: u64 = receipts.iter().map(|receipt| receipt.rows).sum();
    match refuse {
        Some(refuse) => {
            let landed = sift::land(connection, (detail, &table), Landing::Insert, refuse).await?;
            check_rows(landed.rows + landed.refused, sent)?;
        }
        None => check_rows(connection.affected(&refill(detail, &table)).await?, sent)?,
    }
    Ok(None)
}

/// Gives the stage the name of the target.
async fn rename(connection: &mut Connection, detail: &Detail, stage: &Stage) -> Result<()> {
    let aside = if detail.must_be_empty { &stage.unseen } else { &stage.old };
    let (target, table, old) = (detail.target.quoted(), stage.table.quoted(), aside.quoted());
    if detail.path == Path::NewStaged {
        return patiently(connection, &format!("RENAME TABLE {table} TO {target}")).await.map_err(taken);
    }
    if Some(definition(connection, &detail.target).await?) != detail.definition {
        let message = "the table was changed while it was being copied: its definition is not as it was";
        return Err(Error::new(ErrorKind::Schema, message)
            .with_hint("start the copy anew: it is planned for the table as it is then"));
    }
    patiently(connection, &format!("RENAME TABLE {target} TO {old}, {table} TO {target}")).await?;
    if detail.must_be_empty
        && let Err(error) = refuse_rows(connection, aside).await
    {
        // Somebody wrote into it meanwhile: it gets its name back with all its rows.
        patiently(connection, &format!("RENAME TABLE {target} TO {table}, {old} TO {target}")).await?;
        return Err(match error.kind() {
            ErrorKind::AlreadyExists => Error::new(ErrorKind::AlreadyExists, format!("{target} exists and has rows")),
            _ => error,
        });
    }
    Ok(())
}

/// A statement that waits for others in short slices: whoever comes behind us does not wait for the whole of our wait.
async fn patiently(connection: &mut Connection, sql: &str) -> Result<()> {
    for _ in 1..WAITS {
        match connection.run(sql).await {
            Err(error) if errors::code_of(&error) == Some(code::LOCK_WAIT_TIMEOUT) => {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
            done => return done,
        }
    }
    connection.run(sql).await
}

/// A new table whose name somebody else took in the meantime.
fn taken(error: Error) -> Error {
    match error.kind() {
        ErrorKind::AlreadyExists => {
            Error::new(ErrorKind::AlreadyExists, "somebody else made this table while it was being copied")
                .with_source(error)
        }
        _ => error,
    }
}

/// Refuses a count of the server that is not what was sent.
fn check_rows(taken: u64, sent: u64) -> Result<()> {
    if taken == sent {
        return Ok(());
    }
    let message = format!("the server took {taken} of {sent} rows");
    Err(Error::new(ErrorKind::Mismatch, message).with_hint("a trigger of the target may leave rows out"))
}
