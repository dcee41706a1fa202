//! Tasks that wait in prepared transactions until all are there.
//!
//! ```text
//! task:    BEGIN · rows in done · COPY into the target … · PREPARE TRANSACTION
//! commit:  BEGIN · lock of the commit · those that wait are those of the receipts · comment on done · mark · COMMIT
//!          COMMIT PREPARED · COMMIT PREPARED … · DROP done
//! ```
//!
//! With the first COMMIT it is decided. Whoever comes next, in this process or in another one, carries out what is left of it. A
//! transaction has all that is known of its task in its name: target, run, splits and rows.

use std::time::Duration;

use serde_json::Value as Json;
use tokio::time::sleep;

use super::agree::Detail;
use super::connect::Connection;
use super::name::{Name, literal};
use super::patience;
use super::publish;
use super::stage::{self, Stage};
use crate::attempt::{Attempt, Token};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::Receipt;

/// The comment on what notes tasks that wait.
pub(super) const UNDECIDED: &str = "tasks of an unfinished etl run that wait in prepared transactions";

/// The comment once it is decided that they count.
const DECIDED: &str = "tasks of an etl run that are being committed";

/// Between two looks whether writers have ended, and how many there are.
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

/// The rows of an earlier attempt at the same task that waits, where there is one. Those that stand for a part of its rows are
/// rolled back: nobody has their receipts, or who has them lost the run to this process.
pub(super) async fn standing(connection: &Connection, stage: &Stage, attempt: &Attempt) -> Result<Option<u64>> {
    let part = Part::of(&attempt.splits, attempt.task)?;
    let mut rows = None;
    for waiting in waiting(connection, &stage.table.table).await? {
        if waiting.part == part {
            rows = Some(waiting.rows);
        } else if waiting.part.meets(part) {
            end(connection, &waiting.name, "ROLLBACK").await?;
        }
    }
    Ok(rows)
}

/// Rolls back what waits for any of the rows of `attempt`.
pub(super) async fn roll_back_elders(connection: &Connection, stage: &Stage, attempt: &Attempt) -> Result<()> {
    let part = Part::of(&attempt.splits, attempt.task)?;
    for waiting in waiting(connection, &stage.table.table).await? {
        if waiting.part.meets(part) {
            end(connection, &waiting.name, "ROLLBACK").await?;
        }
    }
    Ok(())
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
    let note = format!("COMMENT ON TABLE {} IS {}", stage.done.quoted(), literal(DECIDED));
    connection.run(&note).await?;
    detail.marker.set(connection, token).await?;
    Ok(true)
}

/// What waits must be what the receipts say, no more and no less.
async fn check(connection: &Connection, stage: &Stage, receipts: &[Receipt]) -> Result<()> {
    let waiting = waiting(connection, &stage.table.table).await?;
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

/// Carries out what was decided.
pub(super) async fn finish(connection: &Connection, stage: &Stage) -> Result<()> {
    end_all(connection, &stage.table.table, "COMMIT").await?;
    patience::run(connection, &format!("DROP TABLE IF EXISTS {}", stage.done.quoted())).await
}

/// Rolls back what waits for `token`; where it is decided already, that is carried out.
pub(super) async fn give_up((connection, detail): (&Connection, &Detail), token: &Token) -> Result<()> {
    let stage = Stage::of(&detail.target, token);
    end_writers(connection, &stage).await?;
    patience::run(connection, &publish::begin(connection, &stage)).await?;
    let is_decided = detail.marker.stands(connection, token).await?;
    connection.run("ROLLBACK").await?;
    if is_decided {
        finish(connection, &stage).await
    } else {
        end_all(connection, &stage.table.table, "ROLLBACK").await
    }
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
    for Waiting { name, part, rows } in waiting(connection, &stage.table.table).await? {
        let Part::Splits(first, last) = part else { return Ok(Vec::new()) };
        let splits: Vec<u32> = (first..=last).collect();
        let known = logged.iter().find(|receipt| receipt.splits == splits).cloned();
        // Else its process died before it could note it.
        let receipt = known.unwrap_or_else(|| {
            let attempt = Attempt { token: token.clone(), task, splits, id: name };
            task += 1;
            Receipt::of(&attempt, rows, 0, Json::Null)
        });
        receipts.push(Receipt { rows, ..receipt });
    }
    Ok(receipts)
}

/// Ends what earlier runs on `target` let wait whose process is gone: as it was decided, else it is rolled back. What cannot be
/// ended stays for the next run.
pub(super) async fn sweep_orphans(connection: &Connection, target: &Name) -> Result<()> {
    let prefix = stage::prefix(target);
    let schema = target.schema.as_deref().map_or_else(|| "current_schema()".to_owned(), literal);
    let run = prefix.len() + 1;
    let sql = format!(
        "SELECT substr(gid, {run}, 16) FROM pg_prepared_xacts \
         WHERE database = current_database() AND gid ~ '^{prefix}[0-9a-f]{{16}}:' \
         UNION SELECT substr(c.relname, {run}, 16) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = {schema} AND c.relkind = 'r' AND c.relname ~ '^{prefix}[0-9a-f]{{16}}_done$' \
         AND obj_description(c.oid, 'pg_class') IN ({}, {})",
        literal(UNDECIDED),
        literal(DECIDED)
    );
    for row in connection.rows(&sql).await? {
        if let Some(run) = row.get(0).and_then(|run| u64::from_str_radix(run, 16).ok()) {
            let _ = sweep_orphan(connection, target, run).await;
        }
    }
    Ok(())
}

async fn sweep_orphan(connection: &Connection, target: &Name, run: u64) -> Result<()> {
    let table = format!("{}{run:016x}", stage::prefix(target));
    let done = target.beside(&format!("{table}_done")).quoted();
    // Who is at work holds this lock; it is given back at once.
    let sql = format!(
        "SELECT pg_try_advisory_xact_lock({}), obj_description(to_regclass({}), 'pg_class')",
        run as i64,
        literal(&done)
    );
    let rows = connection.rows(&sql).await?;
    let fact = |at| rows.first().and_then(|row| row.get(at));
    if fact(0) != Some("t") {
        return Ok(());
    }
    end_all(connection, &table, if fact(1) == Some(DECIDED) { "COMMIT" } else { "ROLLBACK" }).await?;
    connection.run(&format!("DROP TABLE IF EXISTS {done}")).await
}

/// What waits for the stage whose table is called `table`.
async fn waiting(connection: &Connection, table: &str) -> Result<Vec<Waiting>> {
    let sql = format!(
        "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() AND left(gid, {}) = {}",
        table.len() + 1,
        literal(&format!("{table}:"))
    );
    let rows = connection.rows(&sql).await?;
    Ok(rows.iter().filter_map(|row| Waiting::parse(row.get(0)?)).collect())
}

async fn end_all(connection: &Connection, table: &str, how: &str) -> Result<()> {
    for waiting in waiting(connection, table).await? {
        end(connection, &waiting.name, how).await?;
    }
    Ok(())
}

/// Commits or rolls back one that waits; one that is gone was ended by somebody else.
async fn end(connection: &Connection, name: &str, how: &str) -> Result<()> {
    match patience::run(connection, &format!("{how} PREPARED {}", literal(name))).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        ended => ended,
    }
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
    fn tasks_that_were_cut_anew_meet() {
        let splits = Part::Splits;
        assert!(
            splits(0, 4).meets(splits(4, 9)) && splits(4, 9).meets(splits(0, 4)) && splits(0, 9).meets(splits(3, 3))
        );
        assert!(!splits(0, 4).meets(splits(5, 9)) && !splits(0, 4).meets(Part::Task(0)));
        assert!(Part::Task(3).meets(Part::Task(3)) && !Part::Task(3).meets(Part::Task(4)));
    }
}
