//! How a stage becomes visible.
//!
//! | | |
//! |---|---|
//! | a new table | `RENAME TABLE`: one step |
//! | truncate, replace | `EXCHANGE TABLES`: one step; in a database that is not Atomic, a `RENAME` of two tables |
//! | append to a plain `MergeTree` | `MOVE PARTITION`: one step per partition. What has moved is no more in the stage |
//! | append to any other table | `INSERT … SELECT` of each part, under a token, then `DROP PART` |
//!
//! A table that remembers tokens takes a part once; what was inserted is no more in the stage. So whoever goes on with a commit does
//! what is left. Without such a memory a part whose insert was done and not heard of comes twice.
//!
//! The last two take several steps: a commit of theirs that has begun is never swept, since some of its rows are visible. It is
//! finished by whoever goes on with its run.

use super::catalog;
use super::connect::Server;
use super::marker;
use super::name::{Name, identifiers, literal};
use super::request::Setting;
use super::stage::{self, Action, Detail, State, Swap};
use crate::attempt::Token;
use crate::error::{Error, ErrorKind, Result, retry};
use crate::sink::Receipt;
use crate::sql::beside::{Before, has_rows};

/// Makes exactly the rows of `receipts` visible and marks that with `token`. A second call does nothing.
pub(super) async fn commit(server: &Server, detail: &Detail, token: &Token, receipts: &[Receipt]) -> Result<()> {
    if !is_committed(server, detail, token).await? {
        let taken = stage::take(server, detail, token).await?;
        match taken {
            Some((stage, State::Publishing)) => {
                publish(server, detail, (&stage, token), receipts, &mut Shown::Some).await?;
            }
            Some((taken, _)) => {
                refuse_rows(server, detail).await?;
                let stage = fill(server, detail, (&taken, token), receipts).await?;
                stage::set_comment(server, &stage, &stage::publishing(token)).await?;
                begin(server, detail, (&stage, token), receipts).await?;
            }
            // Another process of the run was faster.
            None if is_committed(server, detail, token).await? => {}
            None => {
                let message = "the stage of this run is gone: none of its rows were kept";
                return Err(Error::new(ErrorKind::Internal, message));
            }
        }
        marker::set(server, &detail.name, token).await?;
    }
    clean(server, detail, token).await
}

/// How much of a stage is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Nothing,
    /// Some of its rows, or all.
    Some,
}

/// The first try to publish. Where the server refuses its first step nothing is visible, so that all may be swept.
async fn begin(server: &Server, detail: &Detail, (stage, token): (&Name, &Token), receipts: &[Receipt]) -> Result<()> {
    let mut shown = Shown::Nothing;
    let published = publish(server, detail, (stage, token), receipts, &mut shown).await;
    if shown == Shown::Nothing && published.as_ref().is_err_and(|error| !retry(error.kind())) {
        // Should this fail, too, the stage stays.
        let _ = stage::set_comment(server, stage, &stage::staging(token)).await;
    }
    published
}

/// Sweeps the stage of `token`.
///
/// # Errors
/// [`Step`](ErrorKind::Step) where some of its rows may be visible.
pub(super) async fn abort(server: &Server, detail: &Detail, token: &Token) -> Result<()> {
    let in_steps = matches!(detail.action, Action::Move | Action::Insert);
    if in_steps
        && stage::state(server, detail, token).await? == State::Publishing
        && !is_committed(server, detail, token).await?
    {
        let message = "its commit has begun: some of its rows are in the table, the others still beside it";
        return Err(Error::new(ErrorKind::Step, message).with_hint("go on with it by --resume"));
    }
    clean(server, detail, token).await
}

/// Whether the rows of `token` are visible.
pub(super) async fn is_committed(server: &Server, detail: &Detail, token: &Token) -> Result<bool> {
    if marker::stands(server, &detail.name, token).await? {
        return Ok(true);
    }
    Ok(match detail.action {
        Action::Rename(_) | Action::Exchange(_) => is_published(server, detail, token).await?,
        Action::Move | Action::Insert => false,
    })
}

/// Whether the target was the stage a moment ago.
async fn is_published(server: &Server, detail: &Detail, token: &Token) -> Result<bool> {
    Ok(catalog::comment(server, &detail.name).await?.is_some_and(|comment| comment == stage::publishing(token)))
}

/// Gives the target its own comment, and sweeps what is left.
pub(super) async fn clean(server: &Server, detail: &Detail, token: &Token) -> Result<()> {
    if is_published(server, detail, token).await? {
        // The mark stays where the comment goes.
        marker::set(server, &detail.name, token).await?;
        stage::set_comment(server, &detail.name, &detail.comment).await?;
    }
    stage::drop_all(server, detail, token).await
}

async fn refuse_rows(server: &Server, detail: &Detail) -> Result<()> {
    if detail.before == Before::Refuse && catalog::count(server, &detail.name).await?.is_some_and(|rows| rows > 0) {
        return Err(has_rows(detail.name.shown()));
    }
    Ok(())
}

/// Puts the rows of `receipts` into a stage in the place of the one that was `taken`, and gives it. Where they go out from the tables of
/// the attempts it is that one.
async fn fill(server: &Server, detail: &Detail, (taken, token): (&Name, &Token), receipts: &[Receipt]) -> Result<Name> {
    let mut all = 0;
    for receipt in receipts {
        if !holds(server, detail, token, receipt).await? {
            return Err(Error::new(ErrorKind::Internal, "the stage does not hold the rows that its receipts name"));
        }
        all += receipt.rows;
    }
    if detail.action == Action::Insert {
        return Ok(taken.clone());
    }
    // What an earlier try has put into the other one comes again.
    let stage = stage::renew(server, detail, token, taken).await?;
    let quoted = stage.quoted();
    for receipt in receipts.iter().filter(|receipt| receipt.rows > 0) {
        let attempt = detail.attempt(token, &receipt.attempt);
        if detail.action == Action::Exchange(Swap::Inserted) {
            let columns = columns(detail);
            let insert = format!("INSERT INTO {quoted} ({columns}) SELECT {columns} FROM {}", attempt.quoted());
            server.run(&insert).await?;
        } else {
            for partition in partitions(server, &attempt).await? {
                let partition = literal(&partition);
                let attach = format!("ALTER TABLE {quoted} ATTACH PARTITION ID {partition} FROM {}", attempt.quoted());
                server.run(&attach).await?;
            }
        }
    }
    // An engine that merges rows has fewer of them.
    let counted = detail.action != Action::Exchange(Swap::Inserted);
    if counted && catalog::count(server, &stage).await? != Some(all) {
        return Err(Error::new(ErrorKind::Internal, "the stage does not hold the rows of its attempts"));
    }
    Ok(stage)
}

async fn publish(
    server: &Server,
    detail: &Detail,
    (stage, token): (&Name, &Token),
    receipts: &[Receipt],
    shown: &mut Shown,
) -> Result<()> {
    let target = detail.name.quoted();
    let quoted = stage.quoted();
    match &detail.action {
        Action::Rename(_) => server.run(&format!("RENAME TABLE {quoted} TO {target}")).await,
        Action::Exchange(Swap::Attached | Swap::Inserted) => {
            server.run(&format!("EXCHANGE TABLES {quoted} AND {target}")).await
        }
        Action::Exchange(Swap::Renamed) => {
            let old = stage.beside(format!("{}_old", stage.table)).quoted();
            server.run(&format!("RENAME TABLE {target} TO {old}, {quoted} TO {target}")).await
        }
        Action::Move => {
            for partition in partitions(server, stage).await? {
                let partition = literal(&partition);
                server.run(&format!("ALTER TABLE {quoted} MOVE PARTITION ID {partition} TO TABLE {target}")).await?;
                *shown = Shown::Some;
            }
            Ok(())
        }
        Action::Insert => {
            for receipt in receipts {
                insert(server, detail, token, &detail.attempt(token, &receipt.attempt), shown).await?;
            }
            Ok(())
        }
    }
}

/// Inserts the parts of an attempt, each as one block under a token of its own.
async fn insert(server: &Server, detail: &Detail, token: &Token, attempt: &Name, shown: &mut Shown) -> Result<()> {
    let columns = columns(detail);
    let sql = format!(
        "SELECT name FROM system.parts WHERE {} AND active AND rows > 0 ORDER BY min_block_number",
        attempt.is("table")
    );
    for part in server.rows(&sql).await?.into_iter().flatten().flatten() {
        let settings: [Setting<'_>; 9] = [
            ("insert_deduplication_token", format!("{token} {} {part}", attempt.table)),
            ("insert_deduplicate", "1".to_owned()),
            ("async_insert", "0".to_owned()),
            // One thread and no borders: all of it is one block.
            ("max_threads", "1".to_owned()),
            ("max_insert_threads", "1".to_owned()),
            ("min_insert_block_size_rows", u32::MAX.to_string()),
            ("min_insert_block_size_bytes", "0".to_owned()),
            ("max_partitions_per_insert_block", "0".to_owned()),
            ("insert_null_as_default", "0".to_owned()),
        ];
        let part = literal(&part);
        let insert = format!(
            "INSERT INTO {} ({columns}) SELECT {columns} FROM {} WHERE _part = {part}",
            detail.name.quoted(),
            attempt.quoted()
        );
        server.run_with(&insert, &settings).await?;
        *shown = Shown::Some;
        server.run(&format!("ALTER TABLE {} DROP PART {part}", attempt.quoted())).await?;
    }
    Ok(())
}

fn columns(detail: &Detail) -> String {
    identifiers(detail.columns.iter().map(|column| column.name.as_str()))
}

/// The partitions in which a table has rows.
async fn partitions(server: &Server, name: &Name) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT DISTINCT partition_id FROM system.parts WHERE {} AND active AND rows > 0 ORDER BY partition_id",
        name.is("table")
    );
    Ok(server.rows(&sql).await?.into_iter().flatten().flatten().collect())
}

/// Whether the rows of `receipt` are in the table of its attempt.
pub(super) async fn holds(server: &Server, detail: &Detail, token: &Token, receipt: &Receipt) -> Result<bool> {
    Ok(catalog::count(server, &detail.attempt(token, &receipt.attempt)).await? == Some(receipt.rows))
}
