//! Tasks that wait in prepared transactions until all are there.
//!
//! ```text
//! task:    BEGIN · rows in done · COPY into the target … · PREPARE TRANSACTION
//! commit:  BEGIN · lock of the commit · those that wait are those of the receipts · comment on done · mark · COMMIT
//!          COMMIT PREPARED · COMMIT PREPARED … · DROP done
//! ```
//!
//! With the first COMMIT it is decided. Whoever comes next, in this process or in another one, carries out what is left of it, and
//! misses what somebody has rolled back since. Before, one is rolled back by who holds the lock of the commit alone, so that nobody
//! decides meanwhile. A transaction has all that is known of its task in its name: target, run, splits and rows.

use std::time::Duration;

use serde_json::Value as Json;
use tokio::time::sleep;

use super::agree::Detail;
use super::connect::Connection;
use super::connections::Connections;
use super::errors;
use super::name::{Name, literal};
use super::patience::{self, BEFORE_WRITING};
use super::publish;
use super::stage::{self, Stage};
use crate::attempt::{Attempt, Token};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::Receipt;
use crate::sql::tasks;

/// How comments on what notes tasks that wait begin.
const NOTES: &str = "tasks of an etl run in prepared transactions, ";

/// The comment before it is decided whether they count.
pub(super) const UNDECIDED: &str = "tasks of an etl run in prepared transactions, which may still be rolled back";

/// The beginning of the comment once they do; behind it stands how many rows of its table come with them.
const DECIDED: &str = "tasks of an etl run in prepared transactions, to be committed, parts: ";

/// What the server says of a transaction that another session is just ending.
const BUSY: &str = "55000";

/// Between two looks whether somebody else has come to an end, and how many there are.
const PAUSE: Duration = Duration::from_millis(20);
const LOOKS: usize = 1000;

/// What a task stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// From the first to the last of these splits.
    Splits(u32, u32),
    /// A task without splits of its own, by its number.
    Task(u32),
}

impl Part {
    /// That of a task, whose splits are neighbours.
    fn of(splits: &[u32], task: u32) -> Result<Self> {
        match (splits.first(), splits.last()) {
            (Some(first), Some(last)) if splits.iter().copied().eq(*first..=*last) => Ok(Self::Splits(*first, *last)),
            (None, _) => Ok(Self::Task(task)),
            _ => Err(Error::new(ErrorKind::Internal, "the splits of a task are no neighbours")),
        }
    }

    /// Whether both stand for the same rows, in part at least.
    fn meets(self, other: Self) -> bool {
        match (self, other) {
            (Self::Splits(first, last), Self::Splits(from, to)) => first <= to && from <= last,
            (one, other) => one == other,
        }
    }
}

/// A task that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Waiting {
    name: String,
    part: Part,
    rows: u64,
}

impl Waiting {
    fn of(stage: &Stage, attempt: &Attempt, rows: u64) -> Result<Self> {
        let part = Part::of(&attempt.splits, attempt.task)?;
        let shown = match part {
            Part::Splits(first, last) => format!("{first}-{last}"),
            Part::Task(task) => format!("task {task}"),
        };
        Ok(Self { name: format!("{}:{shown}:{rows}", stage.table.table), part, rows })
    }

    /// From its name.
    fn parse(name: &str) -> Option<Self> {
        let mut words = name.split(':').skip(1);
        let (part, rows) = (words.next()?, words.next()?.parse().ok()?);
        let part = match (part.strip_prefix("task "), part.split_once('-')) {
            (Some(task), _) => Part::Task(task.parse().ok()?),
            (None, Some((first, last))) => Part::Splits(first.parse().ok()?, last.parse().ok()?),
            (None, None) => return None,
        };
        Some(Self { name: name.to_owned(), part, rows })
    }
}

/// The statement that ends the transaction of `attempt`, which has written `rows` rows, and lets it wait.
pub(super) fn wait(stage: &Stage, attempt: &Attempt, rows: u64) -> Result<String> {
    Ok(format!("PREPARE TRANSACTION {}", literal(&Waiting::of(stage, attempt, rows)?.name)))
}

/// The rows of an earlier attempt at the same task that waits, where there is one.
pub(super) async fn standing(connection: &Connection, stage: &Stage, attempt: &Attempt) -> Result<Option<u64>> {
    let part = Part::of(&attempt.splits, attempt.task)?;
    let waiting = waiting(connection, stage).await?;
    Ok(waiting.iter().find(|waiting| waiting.part == part).map(|waiting| waiting.rows))
}

/// Rolls back what waits for any of the rows of `attempt`: nobody has its receipt, or who has it lost the run to this process.
pub(super) async fn roll_back_elders(connections: &Connections, stage: &Stage, attempt: &Attempt) -> Result<()> {
    let part = Part::of(&attempt.splits, attempt.task)?;
    roll_back(connections, stage, Some(part)).await.map(drop)
}

/// Rolls back what waits for `stage`, or for any of the rows of `part` alone. `false` where it is decided that all of it counts: then
/// nothing is done.
async fn roll_back(connections: &Connections, stage: &Stage, part: Option<Part>) -> Result<bool> {
    let (guard, connection) = (connections.take().await?, connections.take().await?);
    patience::run(&guard, &publish::hold(&guard, stage)).await?;
    let is_open = roll_back_under((&guard, &connection), stage, part).await?;
    guard.run("ROLLBACK").await?;
    connections.put_back(guard);
    connections.put_back(connection);
    Ok(is_open)
}

/// The same where `guard` holds the lock of the commit, in a transaction; `connection` rolls back, which is done in none.
async fn roll_back_under(
    (guard, connection): (&Connection, &Connection),
    stage: &Stage,
    part: Option<Part>,
) -> Result<bool> {
    if decided(guard, stage).await?.is_some() {
        return Ok(false);
    }
    for waiting in waiting(connection, stage).await? {
        if part.is_none_or(|part| waiting.part.meets(part)) {
            end(connection, &waiting.name, "ROLLBACK").await?;
        }
    }
    Ok(true)
}

/// How many rows of what notes the tasks come with them, once it is decided that they count. Under the lock of the commit the answer
/// stays right; as long as one of them waits, nobody can remove that table.
async fn decided(connection: &Connection, stage: &Stage) -> Result<Option<u64>> {
    let sql = format!("SELECT obj_description(to_regclass({}), 'pg_class')", literal(&stage.done.quoted()));
    let rows = connection.rows(&sql).await?;
    let comment = rows.first().and_then(|row| row.get(0));
    Ok(comment.and_then(|comment| comment.strip_prefix(DECIDED)?.parse().ok()))
}

/// Ends those who still write for `stage`. When they have ended each has let its task wait, or has rolled it back.
pub(super) async fn end_writers(connection: &Connection, stage: &Stage) -> Result<()> {
    patience::run(connection, &stage.dismissal()).await?;
    for _ in 0..LOOKS {
        if connection.rows(&stage.at_work()).await?.is_empty() {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
    Err(Error::new(ErrorKind::Timeout, "the server does not end what an earlier process of this run does there"))
}

/// Opens a transaction and readies the decision that exactly `receipts` count, but for its COMMIT. `false` where that was
/// decided before; then, and after an error, no transaction is open.
pub(super) async fn decide(
    (connection, detail): (&Connection, &Detail),
    token: &Token,
    receipts: &[Receipt],
) -> Result<bool> {
    let stage = Stage::of(&detail.target, token);
    end_writers(connection, &stage).await?;
    let decided = ready((connection, detail), (token, &stage), receipts).await;
    if !matches!(decided, Ok(true)) {
        // The first error counts; a broken connection has rolled back by itself.
        let _ = connection.run("ROLLBACK").await;
    }
    decided
}

async fn ready(
    (connection, detail): (&Connection, &Detail),
    (token, stage): (&Token, &Stage),
    receipts: &[Receipt],
) -> Result<bool> {
    patience::run(connection, &publish::begin(connection, stage)).await?;
    if detail.marker.stands(connection, token).await? {
        return Ok(false);
    }
    check(connection, stage, receipts).await?;
    refuse_others(connection, stage).await?;
    let parts = receipts.iter().map(|receipt| tasks::keys(&receipt.splits, receipt.task).len());
    let comment = format!("{DECIDED}{}", parts.sum::<usize>());
    connection.run(&format!("COMMENT ON TABLE {} IS {}", stage.done.quoted(), literal(&comment))).await?;
    detail.marker.set(connection, token).await?;
    Ok(true)
}

/// What waits must be what the receipts say, no more and no less.
async fn check(connection: &Connection, stage: &Stage, receipts: &[Receipt]) -> Result<()> {
    let waiting = waiting(connection, stage).await?;
    let mut found: Vec<(Part, u64)> = waiting.iter().map(|waiting| (waiting.part, waiting.rows)).collect();
    let said = |receipt: &Receipt| Ok((Part::of(&receipt.splits, receipt.task)?, receipt.rows));
    let mut wanted: Vec<(Part, u64)> = receipts.iter().map(said).collect::<Result<_>>()?;
    found.sort_unstable();
    wanted.sort_unstable();
    if found == wanted {
        return Ok(());
    }
    let rows = |parts: &[(Part, u64)]| parts.iter().map(|(_, rows)| rows).sum::<u64>();
    let message = format!(
        "the server holds {} rows of {} tasks in prepared transactions, the receipts say {} of {}",
        rows(&found),
        found.len(),
        rows(&wanted),
        wanted.len()
    );
    Err(Error::new(ErrorKind::Mismatch, message).with_hint("somebody may have rolled them back: run the copy again"))
}

/// Refuses to decide over what was prepared by a user whose transactions this one may not commit.
async fn refuse_others(connection: &Connection, stage: &Stage) -> Result<()> {
    let sql = format!(
        "SELECT owner {} AND owner <> current_user \
         AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) LIMIT 1",
        of_stage(stage)
    );
    let rows = connection.rows(&sql).await?;
    let Some(owner) = rows.first().and_then(|row| row.get(0)) else { return Ok(()) };
    let message = format!("the rows wait in transactions that user {owner:?} has prepared");
    Err(Error::new(ErrorKind::Permission, message).with_hint("go on with the run as that user, or as a superuser"))
}

/// Carries out what was decided.
///
/// # Errors
/// [`Mismatch`](ErrorKind::Mismatch) where somebody has rolled back a part of it.
pub(super) async fn finish(connection: &Connection, stage: &Stage) -> Result<()> {
    for waiting in waiting(connection, stage).await? {
        end(connection, &waiting.name, "COMMIT").await?;
    }
    // Without it somebody else has carried it out.
    let Some(wanted) = decided(connection, stage).await? else { return Ok(()) };
    let done = stage.done.quoted();
    let found = match connection.rows(&format!("SELECT count(*) FROM {done}")).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    let found: Option<u64> = found.first().and_then(|row| row.get(0)?.parse().ok());
    if found != Some(wanted) {
        let message = format!(
            "{} of {wanted} parts of the rows are there: prepared transactions that were to be committed were rolled back",
            found.unwrap_or(0)
        );
        return Err(Error::new(ErrorKind::Mismatch, message)
            .at("noted in", done)
            .with_hint("remove the rows of this run, give it up by 'etl jobs clean --records-only', and begin anew"));
    }
    match remove(connection, stage).await {
        // Who looks at it keeps it for the next run, which removes it. The rows are there.
        Err(error) if error.kind() == ErrorKind::Timeout => Ok(()),
        removed => removed,
    }
}

/// Rolls back what waits for `stage`; where it is decided already, that is carried out.
pub(super) async fn give_up(connections: &Connections, stage: &Stage) -> Result<()> {
    let connection = connections.take().await?;
    end_writers(&connection, stage).await?;
    if !roll_back(connections, stage, None).await? {
        finish(&connection, stage).await?;
    }
    connections.put_back(connection);
    Ok(())
}

/// The receipts of the tasks that wait; none where they are not told apart by splits.
pub(super) async fn kept(
    connection: &Connection,
    stage: &Stage,
    token: &Token,
    logged: &[Receipt],
) -> Result<Vec<Receipt>> {
    let mut task = logged.iter().map(|receipt| receipt.task + 1).max().unwrap_or(0);
    let mut receipts = Vec::new();
    for Waiting { name, part, rows } in waiting(connection, stage).await? {
        let Part::Splits(first, last) = part else { return Ok(Vec::new()) };
        let splits: Vec<u32> = (first..=last).collect();
        let known = logged.iter().find(|receipt| receipt.splits == splits).cloned();
        // Else its process died before it could note it.
        let receipt = known.unwrap_or_else(|| {
            let attempt = Attempt { token: token.clone(), task, splits, id: name, rows: None };
            task += 1;
            Receipt::of(&attempt, rows, 0, Json::Null)
        });
        receipts.push(Receipt { rows, ..receipt });
    }
    Ok(receipts)
}

/// Ends what other runs than that of `own` on `target` let wait whose process is gone: as it was decided, else it is rolled back. What
/// cannot be ended stays for the next run. Whether one was committed so.
pub(super) async fn sweep_orphans(
    connections: &Connections,
    connection: &Connection,
    (target, own): (&Name, &Stage),
) -> Result<bool> {
    let prefix = stage::prefix(target);
    let schema = target.schema.as_deref().map_or_else(|| "current_schema()".to_owned(), literal);
    let run = prefix.len() + 1;
    let sql = format!(
        "SELECT substr(gid, {run}, 16) FROM pg_prepared_xacts \
         WHERE database = current_database() AND gid ~ '^{prefix}[0-9a-f]{{16}}:' \
         UNION SELECT substr(c.relname, {run}, 16) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = {schema} AND c.relkind = 'r' AND c.relname ~ '^{prefix}[0-9a-f]{{16}}_done$' \
         AND left(obj_description(c.oid, 'pg_class'), {}) = {}",
        NOTES.len(),
        literal(NOTES)
    );
    let rows = connection.rows(&sql).await?;
    let runs: Vec<u64> = rows.iter().filter_map(|row| u64::from_str_radix(row.get(0)?, 16).ok()).collect();
    let mut is_one_committed = false;
    for run in runs.into_iter().filter(|run| !own.is_of_run(*run)) {
        let stage = Stage::of_run(target, run);
        is_one_committed |= sweep_orphan(connections, connection, &stage).await.unwrap_or(false);
    }
    Ok(is_one_committed)
}

/// Whether it was committed.
async fn sweep_orphan(connections: &Connections, connection: &Connection, stage: &Stage) -> Result<bool> {
    // Who is at work holds it, and is not waited for. Asked in no transaction, it is given back at once.
    if !stage::is_free(connection, stage).await? {
        return Ok(false);
    }
    let guard = connections.take().await?;
    patience::run(&guard, &publish::hold(&guard, stage)).await?;
    // Somebody may have gone on with that run since. If not, it is held to the end: who does so then finds nothing that goes
    // away under it.
    let is_free = stage::is_free(&guard, stage).await?;
    let is_committed = is_free && !roll_back_under((&guard, connection), stage, None).await?;
    if is_committed {
        finish(connection, stage).await?;
    } else if is_free {
        remove(connection, stage).await?;
    }
    guard.run("ROLLBACK").await?;
    connections.put_back(guard);
    Ok(is_committed)
}

/// What waits for `stage`.
async fn waiting(connection: &Connection, stage: &Stage) -> Result<Vec<Waiting>> {
    let rows = connection.rows(&format!("SELECT gid {}", of_stage(stage))).await?;
    Ok(rows.iter().filter_map(|row| Waiting::parse(row.get(0)?)).collect())
}

fn of_stage(stage: &Stage) -> String {
    let beginning = format!("{}:", stage.table.table);
    let length = beginning.len();
    format!(
        "FROM pg_prepared_xacts WHERE database = current_database() AND left(gid, {length}) = {}",
        literal(&beginning)
    )
}

/// Commits or rolls back one that waits; one that is gone was ended by somebody else.
async fn end(connection: &Connection, name: &str, how: &str) -> Result<()> {
    let sql = format!("{how} PREPARED {}", literal(name));
    for _ in 0..LOOKS {
        match patience::run(connection, &sql).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            // It may be the session of a connection that broke.
            Err(error) if errors::state(&error) == Some(BUSY) => sleep(PAUSE).await,
            ended => return ended,
        }
    }
    Err(Error::new(ErrorKind::Timeout, "another session is ending a prepared transaction, and does not come to an end"))
}

/// Removes what notes the tasks. After an error the connection can still be used.
async fn remove(connection: &Connection, stage: &Stage) -> Result<()> {
    let sql = format!("DROP TABLE IF EXISTS {}", stage.done.quoted());
    let removed = patience::commit(connection, &sql, &stage.done, BEFORE_WRITING).await;
    if removed.is_err() {
        connection.run("ROLLBACK").await?;
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_all_of_its_task() {
        let target = Name { schema: Some("s".into()), table: "t".repeat(63) };
        let token = Token { run: "r".to_owned(), transfer: 0, sink: 0, epoch: 0 };
        let stage = Stage::of(&target, &token);
        for (splits, part) in [(vec![7, 8, 9], Part::Splits(7, 9)), (vec![], Part::Task(4))] {
            let waiting = Waiting::of(&stage, &Attempt::new(token.clone(), 4, splits), u64::MAX).unwrap();
            assert_eq!((waiting.part, waiting.rows), (part, u64::MAX));
            assert!(waiting.name.len() < 200, "the server takes no more");
            assert_eq!(Waiting::parse(&waiting.name), Some(waiting));
        }
        assert!(Part::of(&[1, 3], 0).is_err());
        for other in ["etl_stage", "a:b:c", "a:1-2", "a:1:2", "a:task x:1"] {
            assert_eq!(Waiting::parse(other), None);
        }
    }

    #[test]
    fn comments_begin_alike_and_differ() {
        assert!(UNDECIDED.starts_with(NOTES) && DECIDED.starts_with(NOTES) && !UNDECIDED.starts_with(DECIDED));
    }

    #[test]
    fn tasks_that_were_cut_anew_meet() {
        let splits = Part::Splits;
        assert!(
            splits(0, 4).meets(splits(4, 9)) && splits(4, 9).meets(splits(0, 4)) && splits(0, 9).meets(splits(3, 3))
        );
        assert!(!splits(0, 4).meets(splits(5, 9)) && !splits(0, 4).meets(Part::Task(0)));
        assert!(Part::Task(3).meets(Part::Task(3)) && !Part::Task(3).meets(Part::Task(4)));
    }
}
