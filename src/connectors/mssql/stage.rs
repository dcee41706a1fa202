//! What stands beside a target while a token is written, who holds it, and the sweep of what nobody holds any more.
//!
//! ```text
//! prepare   sp_getapplock etl_TARGET_RUN, held by a connection that stays open: the server gives it back when the process is gone;
//!           who goes on with a run has it before it looks
//! task      CREATE TABLE etl_TARGET_RUN_ATTEMPT · INSERT BULK …
//! commit    the tables that receipts name, into the target (publish.rs) · DROP
//! ```
//! Attempts that no receipt names are never looked at and go with the others.

use super::agree::Detail;
use super::connect::{Connection, text};
use super::ddl;
use super::name::{Name, literal};
use crate::attempt::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::sink::Receipt;
use crate::sql::beside::digest;

/// How long the lock of a run, or of a job, is waited for: what is left of a process that was killed may hold it for a moment still.
const LOCK_WAIT_MILLIS: u32 = 3000;
/// How long somebody is waited for who still uses a table that is to go.
const DROP_WAIT_MILLIS: u32 = 10_000;

/// Names that carry the token, so that no run meets another's.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    target: Name,
    /// What its tables begin with, and what the lock is called that is held while the run lives.
    run: String,
}

impl Stage {
    /// The stage of `token` for `target`.
    pub(super) fn of(target: &Name, token: &Token) -> Self {
        let run = digest(&format!("{token} {}", target.quoted()));
        Self { run: format!("{}{run:016x}", prefix(target)), target: target.clone() }
    }

    /// Where the rows of an attempt are.
    pub(super) fn table(&self, attempt: &str) -> Name {
        self.target.beside(format!("{}_{attempt}", self.run))
    }

    /// Makes the table of an attempt.
    pub(super) async fn make(&self, connection: &mut Connection, detail: &Detail, attempt: &str) -> Result<Name> {
        let table = self.table(attempt);
        connection.run(&ddl::create_stage(&table.quoted(), &detail.kinds()?)).await?;
        Ok(table)
    }

    /// Takes the lock that says that the run lives; says whether it was free.
    pub(super) async fn hold(&self, connection: &mut Connection) -> Result<bool> {
        lock(connection, &self.run, LOCK_WAIT_MILLIS).await
    }

    /// How many rows an attempt has there; none where its table is gone.
    pub(super) async fn count(&self, connection: &mut Connection, attempt: &str) -> Result<Option<u64>> {
        let table = self.table(attempt);
        if !exists(connection, &table).await? {
            return Ok(None);
        }
        count(connection, &table).await.map(Some)
    }

    /// Those of `receipts` whose rows are still there.
    pub(super) async fn kept(&self, connection: &mut Connection, receipts: &[Receipt]) -> Result<Vec<Receipt>> {
        let mut kept = Vec::new();
        for receipt in receipts {
            if self.count(connection, &receipt.attempt).await? == Some(receipt.rows) {
                kept.push(receipt.clone());
            }
        }
        Ok(kept)
    }

    /// Removes all of it.
    pub(super) async fn drop(&self, connection: &mut Connection) -> Result<()> {
        let all = tables(connection, &self.target, &self.run).await?;
        drop_all(connection, &self.target, &all).await
    }
}

/// What the tables of all runs on `target` begin with.
fn prefix(target: &Name) -> String {
    format!("etl_{:016x}_", digest(&target.quoted()))
}

/// How many rows are in `table`.
pub(super) async fn count(connection: &mut Connection, table: &Name) -> Result<u64> {
    let sql = format!("SELECT COUNT_BIG(*) FROM {}", table.quoted());
    Ok(connection.number(&sql).await?.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
}

/// Whether there is such a table.
pub(super) async fn exists(connection: &mut Connection, table: &Name) -> Result<bool> {
    let sql = format!("SELECT CAST(OBJECT_ID({}, N'U') AS bigint)", literal(&table.quoted()));
    Ok(connection.number(&sql).await?.is_some())
}

/// Takes the lock `name`, which the connection holds to its end.
async fn lock(connection: &mut Connection, name: &str, millis: u32) -> Result<bool> {
    let sql = format!(
        "DECLARE @got int; EXEC @got = sp_getapplock @Resource = {}, @LockMode = N'Exclusive', @LockOwner = N'Session', \
         @LockTimeout = {millis}; SELECT CAST(@got AS bigint)",
        literal(name)
    );
    Ok(connection.number(&sql).await?.is_some_and(|got| got >= 0))
}

/// Takes the lock of the job of `detail` on its target, on a connection that stays open.
///
/// # Errors
/// [`Busy`](ErrorKind::Busy) while another run of the same job writes into the target.
pub(super) async fn hold_job(connection: &mut Connection, detail: &Detail) -> Result<()> {
    let Some(job) = &detail.job else { return Ok(()) };
    let name = format!("etl_job_{:016x}", digest(&format!("{job} {}", detail.target.quoted())));
    if lock(connection, &name, LOCK_WAIT_MILLIS).await? {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Busy, "another run of the same job writes into the table")
        .with_hint("it may have been started on another machine, or with another state log: wait for its end"))
}

/// Removes the stages of runs on `target` whose process is gone. What cannot be removed stays for the next run.
pub(super) async fn sweep_orphans(connection: &mut Connection, target: &Name) -> Result<()> {
    let prefix = prefix(target);
    let all = tables(connection, target, &prefix).await?;
    let mut runs: Vec<&str> = all.iter().filter_map(|table| table.get(..prefix.len() + 16)).collect();
    runs.dedup();
    for run in runs {
        if !lock(connection, run, 0).await? {
            continue;
        }
        let own: Vec<String> = all.iter().filter(|table| table.starts_with(run)).cloned().collect();
        let _ = drop_all(connection, target, &own).await;
        let release = format!("EXEC sp_releaseapplock @Resource = {}, @LockOwner = N'Session'", literal(run));
        connection.run(&release).await?;
    }
    Ok(())
}

/// The tables beside `target` that begin with `start`, sorted.
async fn tables(connection: &mut Connection, target: &Name, start: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT o.name FROM sys.objects o WHERE o.type = 'U' AND o.schema_id = SCHEMA_ID({}) \
         AND LEFT(o.name, {}) = {} ORDER BY o.name",
        literal(target.schema.as_deref().unwrap_or("dbo")),
        start.len(),
        literal(start)
    );
    Ok(connection.rows(&sql).await?.iter().filter_map(|row| text(row, 0)).collect())
}

async fn drop_all(connection: &mut Connection, target: &Name, tables: &[String]) -> Result<()> {
    // One that writes into a table although its run is over is not waited for.
    connection.run(&format!("SET LOCK_TIMEOUT {DROP_WAIT_MILLIS}")).await?;
    for table in tables {
        connection.run(&format!("DROP TABLE {}", target.beside(table.as_str()).quoted())).await?;
    }
    connection.run("SET LOCK_TIMEOUT -1").await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_target_run_and_attempt() {
        let target = Name { schema: Some("dbo".to_owned()), table: "t".to_owned() };
        let token = |run: &str| Token { run: run.to_owned(), transfer: 0, sink: 0, epoch: 0 };
        let (one, other) = (Stage::of(&target, &token("a")), Stage::of(&target, &token("b")));
        assert_ne!(one.run, other.run);
        let table = one.table(&"f".repeat(32));
        assert!(table.table.starts_with(&prefix(&target)) && table.table.len() <= 128, "{table:?}");
        assert_eq!(one.run.len(), prefix(&target).len() + 16);
        assert_eq!(table.schema.as_deref(), Some("dbo"));
    }
}
