//! What stands beside a target while a token is written, who holds it, and the sweep of what nobody holds any more.
//!
//! The connection that made a stage keeps a lock on its name for as long as the run lives. The server gives the lock
//! back when the process is gone, however it ended; the next run on the same target then removes the stage.

use super::agree::{Detail, Path};
use super::connect::Connection;
use super::name::{Name, identifier, literal};
use super::patience;
use super::prepared;
use crate::attempt::{Attempt, Token};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::beside::digest;

/// The columns of a stage that say where a row comes from, where rows may be taken out of it: which part, and its place
/// among the rows of that, from 0.
pub(super) const PART: &str = "__etl_part";
pub(super) const ROW: &str = "__etl_row";

/// The number of the part that a task writes: its first split. Parts are in the order of the source.
pub(super) fn part(splits: &[u32], task: u32) -> i32 {
    splits.first().copied().unwrap_or(task) as i32
}

/// Names that carry the token, so that no run meets another's.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    /// The hidden table.
    pub(super) table: Name,
    /// Which splits are in it.
    pub(super) done: Name,
    /// `application_name` of those who write into it, or its beginning.
    pub(super) writer: String,
    /// The lock that is held from the commit's first statement to its end.
    pub(super) commit_lock: i64,
    /// The lock that is held while the run lives.
    lease: i64,
}

impl Stage {
    /// The stage of `token` for `target`.
    pub(super) fn of(target: &Name, token: &Token) -> Self {
        Self::of_run(target, digest(&format!("{token} {}", target.quoted())))
    }

    /// The one with the number `run`, which its names have in them.
    pub(super) fn of_run(target: &Name, run: u64) -> Self {
        let table = format!("{}{run:016x}", prefix(target));
        Self {
            done: target.beside(&format!("{table}_done")),
            table: target.beside(&table),
            writer: format!("etl_write_{run:016x}"),
            commit_lock: digest(&format!("commit {run:016x}")) as i64,
            lease: run as i64,
        }
    }

    /// Whether it is the one with the number `run`.
    pub(super) fn is_of_run(&self, run: u64) -> bool {
        self.lease == run as i64
    }

    /// The table that attempt `id` makes for itself inside its own transaction.
    pub(super) fn own(target: &Name, id: &str) -> Name {
        target.beside(&format!("etl_own_{:016x}", digest(&format!("{id} {}", target.quoted()))))
    }

    /// `application_name` of one attempt.
    pub(super) fn writer_of(&self, attempt: &Attempt) -> String {
        format!("{}_{:08x}", self.writer, digest(&attempt.id) as u32)
    }

    /// Statements that make the stage. Doing them again changes nothing.
    pub(super) fn create(&self, detail: &Detail, token: &Token) -> String {
        match detail.path {
            Path::PerTask => {
                let tasks = format!("which tasks of the unfinished etl run {token} are in {}", detail.target.quoted());
                return self.create_beside(detail, &tasks);
            }
            Path::Prepared => return self.create_beside(detail, prepared::UNDECIDED),
            _ => {}
        }
        let table = self.table.quoted();
        let target = detail.target.quoted();
        let kind = if detail.unlogged { "UNLOGGED TABLE" } else { "TABLE" };
        let create = match (&detail.create, detail.path) {
            (Some(new), _) => {
                let create = new.create(&format!("IF NOT EXISTS {table}"));
                let (part, row) = (identifier(PART), identifier(ROW));
                let places = format!("ADD COLUMN IF NOT EXISTS {part} int4, ADD COLUMN IF NOT EXISTS {row} int8");
                if detail.is_placed() { format!("{create}; ALTER TABLE {table} {places}") } else { create }
            }
            (None, Path::Swap) => {
                format!("CREATE {kind} IF NOT EXISTS {table} (LIKE {target} INCLUDING ALL EXCLUDING INDEXES)")
            }
            (None, _) => {
                let mut columns = detail.column_list();
                if detail.is_placed() {
                    let (part, row) = (identifier(PART), identifier(ROW));
                    columns = format!("{columns}, 0::int4 AS {part}, 0::int8 AS {row}");
                }
                format!(
                    "CREATE {kind} IF NOT EXISTS {table} AS SELECT {columns} FROM {target} WITH NO DATA{}{}",
                    self.checks(detail),
                    self.key(detail)
                )
            }
        };
        let comment = literal(&format!("rows of the unfinished etl run {token}"));
        format!("{create}; COMMENT ON TABLE {table} IS {comment}; {}", self.create_done(kind))
    }

    /// Statements that make the target where it is missing, and what notes which tasks are in it, with a comment.
    fn create_beside(&self, detail: &Detail, comment: &str) -> String {
        let target = detail.target.quoted();
        let new = detail.create.iter().flat_map(|new| [vec![new.create(&target)], new.finish(&target)].concat());
        let kind = if detail.unlogged { "UNLOGGED TABLE" } else { "TABLE" };
        let done = format!("COMMENT ON TABLE {} IS {}", self.done.quoted(), literal(comment));
        new.chain([self.create_done(kind), done]).collect::<Vec<_>>().join("; ")
    }

    fn create_done(&self, kind: &str) -> String {
        let columns = "part text PRIMARY KEY, attempt text NOT NULL, rows bigint NOT NULL";
        format!("CREATE {kind} IF NOT EXISTS {} ({columns})", self.done.quoted())
    }

    /// The statement that gives a row where all of it is there.
    pub(super) fn lookup(&self, path: Path) -> String {
        let there = |table: &Name| format!("to_regclass({}) IS NOT NULL", literal(&table.quoted()));
        let table = if path.stages() { there(&self.table) } else { "true".to_owned() };
        format!("SELECT 1 WHERE {table} AND {}", there(&self.done))
    }

    /// The target's checks, so that a row that it will refuse is refused while it can still be named.
    fn checks(&self, detail: &Detail) -> String {
        let table = self.table.quoted();
        let check = |check: &super::target::Constraint| {
            let name = identifier(&check.name);
            format!(
                "; ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}; ALTER TABLE {table} ADD CONSTRAINT {name} {}",
                check.definition
            )
        };
        detail.checks.iter().map(check).collect()
    }

    /// No NULL in the columns of a key to merge by: such a row would find none.
    fn key(&self, detail: &Detail) -> String {
        let table = self.table.quoted();
        let columns = detail.merging.iter().flat_map(|merging| &merging.key);
        let set = |name: &String| format!("; ALTER TABLE {table} ALTER COLUMN {} SET NOT NULL", identifier(name));
        columns.map(set).collect()
    }

    /// The statement that removes it.
    pub(super) fn drop(&self) -> String {
        format!("DROP TABLE IF EXISTS {}, {}", self.table.quoted(), self.done.quoted())
    }

    /// Ends the server processes of those who write into it, or publish it.
    pub(super) fn dismissal(&self) -> String {
        dismissal(&self.writers())
    }

    /// The statement that gives a row while one of them is at work.
    pub(super) fn at_work(&self) -> String {
        format!("SELECT 1 {} LIMIT 1", of_others(&self.writers()))
    }

    fn writers(&self) -> String {
        format!("application_name LIKE {}", literal(&format!("{}%", self.writer.replace('_', "\\_"))))
    }

    /// Ends the server processes of attempts under the same token that the one of `writer` waits for.
    pub(super) fn dismissal_of_elders(&self, writer: &str) -> String {
        let blocking = format!(
            "SELECT unnest(pg_blocking_pids(own.pid)) FROM pg_stat_activity own \
             WHERE own.datname = current_database() AND own.application_name = {}",
            literal(writer)
        );
        format!("{} AND pid IN ({blocking})", self.dismissal())
    }

    /// Ends the server processes of the attempt that wrote as `writer`.
    pub(super) fn dismissal_of(writer: &str) -> String {
        dismissal(&format!("application_name = {}", literal(writer)))
    }
}

fn dismissal(condition: &str) -> String {
    format!("SELECT pg_terminate_backend(pid) {}", of_others(condition))
}

/// The server processes of this user in this database for which `condition` holds, but for our own.
fn of_others(condition: &str) -> String {
    format!(
        "FROM pg_stat_activity WHERE {condition} \
         AND pid <> pg_backend_pid() AND datname = current_database() AND usename = session_user"
    )
}

/// How the names of all stages for `target` begin.
pub(super) fn prefix(target: &Name) -> String {
    format!("etl_stage_{:08x}_", digest(&target.quoted()) as u32)
}

/// Holds the lease of `stage` and of its job on `connection`, in a transaction that stays open; behind a pooler, too, it is ours.
/// Where another connection of this run has them already, that one goes on to hold them.
///
/// # Errors
/// [`Busy`](ErrorKind::Busy) while another run of the same job writes into the target.
pub(super) async fn hold(connection: &Connection, stage: &Stage, detail: &Detail) -> Result<()> {
    if claim(connection, stage).await? {
        hold_job(connection, &job_lock(detail)).await?;
    }
    Ok(())
}

/// Holds the lease of `stage` alone, in the same way. `false` where somebody has it.
pub(super) async fn claim(connection: &Connection, stage: &Stage) -> Result<bool> {
    let settings = connection.server().settings();
    // At this level an idle transaction keeps no snapshot, which would hold up the clearing of dead rows.
    patience::run(connection, &format!("BEGIN ISOLATION LEVEL READ COMMITTED; {settings}")).await?;
    is_free(connection, stage).await
}

/// The statements that keep other runs of the same job out, to the end of the transaction. What is left of a process that
/// was killed may hold it for a moment still.
pub(super) fn job_lock(detail: &Detail) -> String {
    let Some(job) = &detail.job else { return String::new() };
    let key = digest(&format!("job {job} {}", detail.target.quoted())) as i64;
    format!("SET LOCAL lock_timeout = '3s'; SELECT pg_advisory_xact_lock({key}); SET LOCAL lock_timeout = 0; ")
}

/// Runs statements that end with those of [`job_lock`].
///
/// # Errors
/// [`Busy`](ErrorKind::Busy) when another run of the same job has the lock.
pub(super) async fn hold_job(connection: &Connection, sql: &str) -> Result<()> {
    patience::run(connection, sql).await.map_err(|error| match error.kind() {
        ErrorKind::Timeout => Error::new(ErrorKind::Busy, "another run of the same job writes into the table")
            .with_hint("it may have been started on another machine, or with another state log: wait for its end"),
        _ => error,
    })
}

/// Whether nobody holds `stage`. Asked in an open transaction, which holds it then.
pub(super) async fn is_free(connection: &Connection, stage: &Stage) -> Result<bool> {
    let sql = format!("SELECT pg_try_advisory_xact_lock({})", stage.lease);
    Ok(connection.rows(&sql).await?.first().is_some_and(|row| row.get(0) == Some("t")))
}

/// Removes stages of other runs than that of `own` on `target` whose process is gone. What cannot be removed stays for the next run;
/// what notes tasks whose rows are in the target, too: they would come again.
pub(super) async fn sweep_orphans(connection: &Connection, (target, own): (&Name, &Stage)) -> Result<()> {
    let prefix = prefix(target);
    let schema = target.schema.as_deref().map_or_else(|| "current_schema()".to_owned(), literal);
    let sql = format!(
        "SELECT substr(c.relname, {}, 16) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = {schema} AND c.relkind = 'r' AND c.relname ~ '^{prefix}[0-9a-f]{{16}}$'",
        prefix.len() + 1
    );
    for row in connection.rows(&sql).await? {
        let run = row.get(0).and_then(|run| u64::from_str_radix(run, 16).ok());
        if let Some(run) = run.filter(|run| !own.is_of_run(*run))
            && sweep_orphan(connection, &Stage::of_run(target, run)).await.is_err()
        {
            connection.run("ROLLBACK").await?;
        }
    }
    Ok(())
}

async fn sweep_orphan(connection: &Connection, stage: &Stage) -> Result<()> {
    connection.run("BEGIN; SET LOCAL lock_timeout = '3s'").await?;
    let drop = if is_free(connection, stage).await? { format!("{}; ", stage.drop()) } else { String::new() };
    patience::run(connection, &format!("{drop}COMMIT")).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::postgres::ddl::NAME_BYTES;

    #[test]
    fn names_fit_the_server() {
        let target = Name { schema: Some("s".into()), table: "t".repeat(63) };
        let token = Token { run: "r".repeat(99), transfer: 1, sink: 2, epoch: 3 };
        let stage = Stage::of(&target, &token);
        assert!(stage.done.table.len() <= NAME_BYTES);
        assert!(stage.table.table.starts_with(&prefix(&target)));
        assert!(stage.writer_of(&Attempt::new(token.clone(), 0, Vec::new())).len() <= NAME_BYTES);
        assert_eq!(stage.table, Stage::of(&target, &token).table);
        assert_ne!(stage.table, Stage::of(&target, &Token { epoch: 4, ..token }).table);
    }
}
