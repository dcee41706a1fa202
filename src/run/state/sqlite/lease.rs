//! Leases: one run of a job at a time.
//!
//! A lease ends when it is given back, when its process is known to be dead, or when nobody has renewed it for
//! [`LEASE_SECONDS`]. Whether a process is dead can be told on its own machine only.

use std::fs;

use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};

use super::failed;
use crate::error::{Error, ErrorKind, Result};
use crate::state::{Holder, Life};

/// How long a lease holds that is not renewed.
const LEASE_SECONDS: f64 = 120.0;

const NOW: &str = "unixepoch('subsec')";

/// A process, so that another one can tell whether it is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    host: String,
    /// Start of the machine and space of process numbers: within one, a number names one process.
    space: String,
    number: u32,
    /// When the process began, in ticks since the start of the machine: numbers are used again.
    began: u64,
}

impl Process {
    /// This one.
    fn own() -> Self {
        let text = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let numbers = fs::read_link("/proc/self/ns/pid").map(|link| link.display().to_string()).unwrap_or_default();
        let number = std::process::id();
        Self {
            host: text("/proc/sys/kernel/hostname"),
            space: format!("{} {numbers}", text("/proc/sys/kernel/random/boot_id")),
            number,
            began: began(number).unwrap_or(0),
        }
    }

    /// Whether it is certain that this process has ended.
    fn is_dead(&self) -> bool {
        self.space == Self::own().space && began(self.number) != Some(self.began)
    }
}

/// When the process with this number began; none when there is none that works. See `proc_pid_stat(5)`, fields 3 and 22.
fn began(number: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The name, in brackets, may hold blanks.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let works = fields.next().is_some_and(|state| !matches!(state, "Z" | "X"));
    fields.nth(18).filter(|_| works)?.parse().ok()
}

/// Takes the lease of `job` for `run`, or renews it.
///
/// # Errors
/// [`Busy`](ErrorKind::Busy).
pub(super) fn take(connection: &Connection, job: &str, run: &str) -> Result<()> {
    let process = serde_json::to_string(&Process::own())?;
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
    fn process(&self) -> Option<Process> {
        serde_json::from_str(&self.process).ok()
    }

    fn is_dead(&self) -> bool {
        self.process().is_some_and(|process| process.is_dead())
    }

    fn holder(self) -> Holder {
        let shown = |process: Process| format!("process {} on {}", process.number, process.host);
        Holder {
            process: self.process().map_or_else(|| "another process".to_owned(), shown),
            life: if self.is_over || self.is_dead() { Life::Gone } else { Life::Alive },
            job: self.job,
            run: self.run,
        }
    }
}

fn leases(connection: &Connection) -> Result<Vec<Lease>> {
    let sql = format!("SELECT job, run, process, renewed_at < {NOW} - {LEASE_SECONDS} FROM lease ORDER BY run");
    let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
    let lease =
        |row: &Row<'_>| Ok(Lease { job: row.get(0)?, run: row.get(1)?, process: row.get(2)?, is_over: row.get(3)? });
    statement.query_map([], lease).and_then(Iterator::collect).map_err(failed)
}

fn busy(holder: Option<Holder>) -> Error {
    let by = holder.map_or_else(String::new, |holder| format!(": run {} by {}", holder.run, holder.process));
    Error::new(ErrorKind::Busy, format!("the same job is under way{by}")).with_hint("wait for its end, or stop it")
}

#[cfg(test)]
mod tests;
