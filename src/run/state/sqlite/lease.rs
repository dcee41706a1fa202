//! Leases: one run of a job at a time.
//!
//! A lease ends when it is given back, when its process is known to be dead, or when nobody has renewed it for
//! [`LEASE_SECONDS`]. Whether a process is dead can be told on its own machine only.

use rusqlite::{Connection, Row};

use super::failed;
use crate::bridge::process::Process;
use crate::error::Result;
use crate::state::{Holder, LEASE_SECONDS, Life, busy};

const NOW: &str = "unixepoch('subsec')";

/// Takes the lease of `job` for `run`, or renews it.
///
/// # Errors
/// [`Busy`](crate::error::ErrorKind::Busy).
pub(super) fn take(connection: &Connection, job: &str, run: &str) -> Result<()> {
    let process = serde_json::to_string(Process::own())?;
    // What a dead process holds is free; asked again in the statement that takes it, as another may come between.
    let held = leases(connection)?.into_iter().find(|lease| lease.job == job);
    let dead = held.filter(Lease::is_dead).map(|lease| lease.process).unwrap_or_default();
    let sql = format!(
        "INSERT INTO lease (job, run, process, renewed_at) VALUES (?1, ?2, ?3, {NOW}) \
         ON CONFLICT (job) DO UPDATE SET run = excluded.run, process = excluded.process, renewed_at = excluded.renewed_at \
         WHERE lease.run = excluded.run AND lease.process = excluded.process \
         OR lease.process = ?4 OR lease.renewed_at < {NOW} - {LEASE_SECONDS}"
    );
    match connection.execute(&sql, [job, run, &process, &dead]).map_err(failed)? {
        0 => Err(busy(holders(connection)?.into_iter().find(|holder| holder.job == job))),
        _ => Ok(()),
    }
}

/// Gives it back.
pub(super) fn release(connection: &Connection, job: &str, run: &str) -> Result<()> {
    connection.execute("DELETE FROM lease WHERE job = ?1 AND run = ?2", [job, run]).map_err(failed).map(drop)
}

/// Who has leases.
pub(super) fn holders(connection: &Connection) -> Result<Vec<Holder>> {
    Ok(leases(connection)?.into_iter().map(Lease::holder).collect())
}

struct Lease {
    job: String,
    run: String,
    /// A [`Process`] as JSON.
    process: String,
    /// Whether nobody has renewed it for long.
    is_over: bool,
}

impl Lease {
    fn is_dead(&self) -> bool {
        Process::parse(&self.process).is_dead()
    }

    fn holder(self) -> Holder {
        let process = Process::parse(&self.process);
        let life = if self.is_over || process.is_dead() { Life::Gone } else { Life::Alive };
        Holder { job: self.job, run: self.run, process: process.shown(), life }
    }
}

fn leases(connection: &Connection) -> Result<Vec<Lease>> {
    let sql = format!("SELECT job, run, process, renewed_at < {NOW} - {LEASE_SECONDS} FROM lease ORDER BY run");
    let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
    let lease =
        |row: &Row<'_>| Ok(Lease { job: row.get(0)?, run: row.get(1)?, process: row.get(2)?, is_over: row.get(3)? });
    statement.query_map([], lease).and_then(Iterator::collect).map_err(failed)
}

#[cfg(test)]
mod tests;
