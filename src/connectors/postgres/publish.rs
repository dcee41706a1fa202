//! Makes what was written visible. Everything but the COMMIT is done here, in an open transaction; the answer to that may
//! be lost (see `write/verdict.rs`).

use super::agree::{Detail, Emptying, Lock, Path};
use super::connect::Connection;
use super::name::{Name, filled, identifier, literal};
use super::patience::{self, BEFORE_COMMIT, BEFORE_WRITING, affected};
use super::sift::{Landing, Sieve};
use super::stage::{PART, ROW, Stage};
use super::target::{COLUMNS, Catalog, Look, all_columns};
use crate::attempt::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::reject::Refuse;
use crate::sink::{Merged, Receipt};
use crate::sql::tasks;

/// Generates the statements that put a stage in the place of its target.
const SWAP: &str = include_str!("swap.sql");

/// Compares a target with the stage that was made after it.
const DEFINITION: &str = include_str!("definition.sql");

/// Longest wait for the end of a writer that was told to go.
const SWEEP_LIMIT: &str = "30s";

/// How far a transaction is from its COMMIT.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// The token is committed already: no transaction is open.
    Committed,
    /// The COMMIT can be sent. Where rows were merged by key, what that did.
    ToCommit(Option<Merged>),
}

/// Opens a transaction and readies the stage of `token`, with exactly `receipts`, for its COMMIT. Rows that the target refuses
/// go to `refuse`, where they are left out. After an error no transaction is open.
pub(super) async fn staged(
    (connection, detail): (&Connection, &Detail),
    token: &Token,
    receipts: &[Receipt],
    refuse: Option<&dyn Refuse>,
) -> Result<Ready> {
    let ready = ready((connection, detail), token, receipts, refuse).await;
    if !matches!(ready, Ok(Ready::ToCommit(_))) {
        // The first error counts; a broken connection has rolled back by itself.
        let _ = connection.run("ROLLBACK").await;
    }
    ready
}

async fn ready(
    (connection, detail): (&Connection, &Detail),
    token: &Token,
    receipts: &[Receipt],
    refuse: Option<&dyn Refuse>,
) -> Result<Ready> {
    let stage = Stage::of(&detail.target, token);
    // An attempt that nobody waits for any more would keep the stage locked.
    connection.run(&stage.dismissal()).await?;
    patience::run(connection, &begin(connection, &stage)).await?;
    if detail.marker.stands(connection, token).await? {
        return Ok(Ready::Committed);
    }
    let rows: u64 = receipts.iter().map(|receipt| receipt.rows).sum();
    check_done(connection, &stage, receipts, rows).await?;
    let table = stage.table.quoted();
    let mut merged = None;
    if let Some(merging) = &detail.merging {
        let left_out = merging.settle_keys(connection, &table).await?;
        merged = Some(Merged { inserted: rows - left_out, ..Merged::default() });
    }
    let is_sifted = detail.is_placed() || detail.create.as_ref().is_some_and(|new| !new.key.is_empty());
    let sieve = match refuse.filter(|_| is_sifted) {
        Some(refuse) => Some(Sieve::new((connection, detail), &stage, receipts, refuse).await?),
        None => None,
    };
    match (&detail.create, &detail.merging, detail.path) {
        (_, _, Path::PerTask) => {}
        (Some(new), ..) => {
            if let (Some(sieve), None) = (&sieve, &detail.merging) {
                sieve.settle_key(&new.key).await?;
            }
            let places = if detail.is_placed() {
                format!("ALTER TABLE {table} DROP COLUMN {}, DROP COLUMN {}; ", identifier(PART), identifier(ROW))
            } else {
                String::new()
            };
            let rename = format!(
                "{places}COMMENT ON TABLE {table} IS NULL; ALTER TABLE {table} RENAME TO {}; ",
                identifier(&detail.target.table)
            );
            patience::run(connection, &(rename + &new.finish(&detail.target.quoted()).join("; "))).await?;
        }
        (None, Some(merging), _) => {
            keep_others_out(connection, detail, BEFORE_COMMIT).await?;
            refuse_changes(connection, detail, &stage).await?;
            merged = Some(match &sieve {
                Some(sieve) => sieve.land(Landing::Merge(merging)).await?.merged,
                None => merging.merge(connection, detail, &table).await?,
            });
            connection.run(&format!("DROP TABLE {table}")).await?;
        }
        (None, None, Path::Swap) => swap(connection, detail, &stage).await?,
        (None, None, Path::Refill(emptying)) => {
            make_room(connection, detail, &stage, emptying).await?;
            let (inserted, refused) = refill(connection, detail, &table, (emptying, sieve.as_ref())).await?;
            check_rows(inserted, rows - refused)?;
            connection.run(&format!("DROP TABLE {table}")).await?;
        }
        (None, None, _) => return Err(Error::new(ErrorKind::Internal, "this agreement has no stage")),
    }
    connection.run(&format!("DROP TABLE {}", stage.done.quoted())).await?;
    detail.marker.set(connection, token).await?;
    Ok(Ready::ToCommit(merged))
}

/// The statements that begin the transaction of a commit.
pub(super) fn begin(connection: &Connection, stage: &Stage) -> String {
    let settings = connection.server().settings();
    let name = literal(&format!("{}_publish", stage.writer));
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; {settings}SET LOCAL application_name = {name}; {}",
        commit_lock(stage)
    )
}

/// The statements that begin a transaction in which nothing is committed: who wants to waits for its end.
pub(super) fn hold(connection: &Connection, stage: &Stage) -> String {
    let settings = connection.server().settings();
    format!("BEGIN ISOLATION LEVEL READ COMMITTED; {settings}{}", commit_lock(stage))
}

/// Waits for another commit of the same token, and makes who asks for its outcome wait for this one.
pub(super) fn commit_lock(stage: &Stage) -> String {
    format!("SELECT pg_advisory_xact_lock({})", stage.commit_lock)
}

/// Puts the stage in the target's place, but for the COMMIT.
async fn swap(connection: &Connection, detail: &Detail, stage: &Stage) -> Result<()> {
    let old = &detail.target;
    // In the same transaction, so that the definition is the one that is carried over.
    let weak = format!("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE", old.quoted());
    patience::lock(connection, &weak, old, BEFORE_COMMIT).await?;
    let values = [
        ("OLD", &*literal(&old.quoted())),
        ("STAGE", &literal(&stage.table.quoted())),
        ("TEMPORARY", &literal(&stage.table.table)),
        (COLUMNS, all_columns(connection.server().version_number)),
    ];
    let sql = filled(SWAP, &values);
    let rows = connection.rows(&sql).await?;
    let statements = |before: bool| {
        let wanted = if before { "t" } else { "f" };
        let texts: Vec<&str> =
            rows.iter().filter(|row| row.get(0) == Some(wanted)).filter_map(|row| row.get(1)).collect();
        texts.join("; ")
    };
    // Indexes take long: the target is read on while they are built.
    patience::run(connection, &statements(true)).await?;
    let strong = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", old.quoted());
    patience::lock(connection, &strong, old, BEFORE_COMMIT).await?;
    if detail.must_be_empty {
        refuse_rows(connection, old).await?;
    }
    refuse_changes(connection, detail, stage).await?;
    patience::run(connection, &statements(false)).await
}

/// Inserts the rows of the stage `table`, and gives how many the server took and how many it refused.
async fn refill(
    connection: &Connection,
    detail: &Detail,
    table: &str,
    (emptying, sieve): (Emptying, Option<&Sieve<'_>>),
) -> Result<(u64, u64)> {
    if let Some(sieve) = sieve {
        let landed = sieve.land(Landing::Insert(emptying)).await?;
        return Ok((landed.rows, landed.refused));
    }
    Ok((affected(connection, &detail.refill(emptying, table)).await?, 0))
}

/// Locks the target, and empties it where that is done before the rows of the stage are inserted.
async fn make_room(connection: &Connection, detail: &Detail, stage: &Stage, emptying: Emptying) -> Result<()> {
    if emptying == Emptying::Truncate {
        patience::lock(connection, &detail.truncate(), &detail.target, BEFORE_COMMIT).await?;
    } else {
        keep_others_out(connection, detail, BEFORE_COMMIT).await?;
    }
    refuse_changes(connection, detail, stage).await
}

/// Locks the target as far as the mode asks for: against changes of its definition, and where it must be empty, against
/// other writers, before it is looked at.
pub(super) async fn keep_others_out(connection: &Connection, detail: &Detail, waits: usize) -> Result<()> {
    if let Some(lock) = detail.lock {
        take(connection, detail, lock, waits).await?;
    }
    if detail.must_be_empty {
        refuse_rows(connection, &detail.target).await?;
    }
    Ok(())
}

/// Locks a target that is there against changes of its definition alone, before a task of several writes into it.
pub(super) async fn keep_definition(connection: &Connection, detail: &Detail) -> Result<()> {
    match detail.lock {
        Some(_) => take(connection, detail, Lock::Definition, BEFORE_WRITING).await,
        None => Ok(()),
    }
}

async fn take(connection: &Connection, detail: &Detail, lock: Lock, waits: usize) -> Result<()> {
    let mode = match lock {
        Lock::Definition => "ROW EXCLUSIVE",
        Lock::Rows => "SHARE ROW EXCLUSIVE",
    };
    let lock = format!("LOCK TABLE {} IN {mode} MODE", detail.alone());
    patience::lock(connection, &lock, &detail.target, waits).await
}

/// Refuses a target that has rows.
///
/// # Errors
/// [`AlreadyExists`](ErrorKind::AlreadyExists).
pub(super) async fn refuse_rows(connection: &Connection, target: &Name) -> Result<()> {
    let sql = format!("SELECT 1 FROM {} LIMIT 1", target.quoted());
    if connection.rows(&sql).await?.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::AlreadyExists, format!("{} exists and has rows", target.quoted())))
}

/// Refuses a target that was changed since the agreement, so that nothing of the change is lost.
async fn refuse_changes(connection: &Connection, detail: &Detail, stage: &Stage) -> Result<()> {
    let whole = detail.path == Path::Swap;
    let values = [
        ("OLD", &*literal(&detail.target.quoted())),
        ("STAGE", &literal(&stage.table.quoted())),
        ("WHOLE", if whole { "true" } else { "false" }),
    ];
    let sql = filled(DEFINITION, &values);
    let rows = connection.rows(&sql).await?;
    let mut change = rows.first().and_then(|row| row.get(0)).map(str::to_owned);
    if whole && change.is_none() {
        let catalog = Catalog::read(connection, &detail.target, &[], Look::Exchange).await?;
        change = match catalog.table {
            Some(table) => table.in_the_way().next().map(str::to_owned),
            None => Some("its name".to_owned()),
        };
    }
    let Some(change) = change else { return Ok(()) };
    let message = format!("the table was changed while it was being copied, which shows in {change}");
    Err(Error::new(ErrorKind::Schema, message)
        .with_hint("start the copy anew: it is planned for the table as it is then"))
}

/// Refuses a count of the server that is not what was sent.
pub(super) fn check_rows(taken: u64, sent: u64) -> Result<()> {
    if taken == sent {
        return Ok(());
    }
    let message = format!("the server took {taken} of {sent} rows");
    Err(Error::new(ErrorKind::Mismatch, message).with_hint("a trigger or rule of the target may leave rows out"))
}

/// The stage must hold what the receipts say, no more and no less.
pub(super) async fn check_done(connection: &Connection, stage: &Stage, receipts: &[Receipt], rows: u64) -> Result<()> {
    let sql = format!("SELECT count(*), coalesce(sum(rows), 0) FROM {}", stage.done.quoted());
    let found = connection.rows(&sql).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            Error::new(ErrorKind::NotFound, "the table that held the rows before the commit is gone")
                .with_hint("run the copy again")
        }
        _ => error,
    })?;
    let number = |index| found.first().and_then(|row| row.get(index)?.parse::<u64>().ok());
    let wanted: usize = receipts.iter().map(|receipt| tasks::keys(&receipt.splits, receipt.task).len()).sum();
    if number(0) == Some(wanted as u64) && number(1) == Some(rows) {
        return Ok(());
    }
    let message = format!(
        "the stage holds {} rows of {} splits, the receipts say {rows} of {wanted}",
        number(1).unwrap_or(0),
        number(0).unwrap_or(0)
    );
    Err(Error::new(ErrorKind::Mismatch, message))
}

/// Ends the writers of `stage` that are still there and removes it.
pub(super) async fn sweep(connection: &Connection, stage: &Stage, path: Path) -> Result<()> {
    let mut sql = stage.dismissal();
    if !path.held() {
        sql = format!("{sql}; BEGIN; SET LOCAL lock_timeout = '{SWEEP_LIMIT}'; {}; COMMIT", stage.drop());
    }
    let swept = patience::run(connection, &sql).await;
    if swept.is_err() {
        let _ = connection.run("ROLLBACK").await;
    }
    swept
}

/// Readies what the open transaction of an attempt wrote, into the target or into its own table `own`, for its COMMIT.
/// `false` when the token is committed already.
pub(super) async fn held(connection: &Connection, detail: &Detail, own: &Name, token: &Token) -> Result<bool> {
    if !detail.marker.set_under(connection, token, &commit_lock(&Stage::of(&detail.target, token))).await? {
        return Ok(false);
    }
    if let Some(new) = &detail.create {
        let rename = format!("ALTER TABLE {} RENAME TO {}; ", own.quoted(), identifier(&detail.target.table));
        patience::run(connection, &(rename + &new.finish(&detail.target.quoted()).join("; "))).await?;
    }
    Ok(true)
}
