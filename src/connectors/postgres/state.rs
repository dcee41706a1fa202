//! The record of runs as two tables: their records, append-only, and the leases of their jobs. For processes on several
//! machines, so time is the server's.
//!
//! ```text
//! etl.state        id, mark, run, written_at, body      one row per record; mark makes an append that is repeated one row
//! etl.state_lease  job, run, process, renewed_at        who is at work on a job, and when it was last heard of
//! ```
//! A connection that is lost is opened again: a run must outlive a server that is restarted, its log as well as its target.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::SimpleQueryRow;
use uuid::Uuid;

use super::config::Config;
use super::connect::{Connection, connect};
use super::ddl::NAME_BYTES;
use super::name::{Name, identifier, literal};
use super::patience;
use crate::bridge::process::Process;
use crate::endpoint::ObjectRef;
use crate::error::{self, Context as _, Error, ErrorKind, Result};
use crate::state::{Holder, LEASE_SECONDS, Life, RunEntry, StateLog, StateRecord, busy};

/// The table of records when none is named.
const TABLE: &str = "etl.state";

/// What the name of the table of leases ends in.
const LEASES: &str = "_lease";

/// What says, as the comment of the table, that it is ours and how it is laid out.
const LAYOUT: &str = "records of etl, layout 1";
/// What all layouts begin with.
const ANY_LAYOUT: &str = "records of etl, layout ";

/// How long a server that is away is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one answer may take. A server that is cut off says nothing.
const ANSWER_TIME: Duration = Duration::from_secs(20);
/// The pause before the second try; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest one.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Tries at making the tables: two are lost where others make the schema, and then the tables, at the same moment.
const MAKING: u32 = 3;

/// The record of runs.
#[derive(Debug)]
pub(super) struct PgStateLog {
    config: Config,
    /// One at a time: a log must not take the connections that channels need.
    idle: Mutex<Option<Connection>>,
    label: String,
    records: String,
    leases: String,
}

impl PgStateLog {
    /// Opens the record in `object`, a table, and makes it where it is missing.
    pub(super) async fn open(config: Config, object: &ObjectRef) -> Result<Self> {
        let object = match object {
            ObjectRef::Whole => &ObjectRef::Table(TABLE.to_owned()),
            named => named,
        };
        let name = Name::of(object)?;
        if name.table.len() + LEASES.len() > NAME_BYTES {
            let message =
                format!("the name is too long: the table of leases beside it is called so, with {LEASES} behind");
            return Err(Error::new(ErrorKind::Usage, message).at("state log", object));
        }
        let leases = name.beside(&format!("{}{LEASES}", name.table)).quoted();
        let records = name.quoted();
        let label = format!("{}#{object}", config.label());
        let log = Self { config, idle: Mutex::default(), label, records, leases };
        log.make(name.schema.as_deref()).await.at("state log", || &log.label)?;
        Ok(log)
    }

    /// Makes the tables, unless they are there.
    async fn make(&self, schema: Option<&str>) -> Result<()> {
        let mut tries = 1;
        while let Some(sql) = self.missing(schema).await? {
            match self.once(&sql).await {
                Ok(_) => return Ok(()),
                // Another process was at it.
                Err(error) if tries < MAKING && is_there(error.kind()) => tries += 1,
                Err(error) if error.kind() == ErrorKind::Permission => {
                    return Err(error.with_hint("name a table that you may make: --state 'postgres://…#schema.table'"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What makes the tables; none when they are there.
    async fn missing(&self, schema: Option<&str>) -> Result<Option<String>> {
        let Self { records, leases, .. } = self;
        let table = literal(records);
        let known_schema = schema.map_or_else(
            || "true".to_owned(),
            |schema| format!("to_regnamespace({}) IS NOT NULL", literal(&identifier(schema))),
        );
        // Names are looked up in what is there now, comments in what was there when the question began. The table is looked
        // for as comments are: else one that another process commits in between would be seen without its comment.
        let question = format!(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = to_regclass({table})), \
             obj_description(to_regclass({table}), 'pg_class'), {known_schema}"
        );
        let rows = self.once(&question).await?;
        let fact = |at: usize| rows.first().and_then(|row| row.get(at)).unwrap_or_default();
        if fact(0) == "t" {
            return if fact(1) == LAYOUT { Ok(None) } else { Err(foreign(fact(1))) };
        }
        // Without the right to make schemas even `IF NOT EXISTS` fails.
        let schema = schema.filter(|_| fact(2) != "t");
        let schema = schema.map_or_else(String::new, |schema| format!("CREATE SCHEMA {}; ", identifier(schema)));
        Ok(Some(format!(
            "BEGIN; {schema}CREATE TABLE {records} (id bigint GENERATED ALWAYS AS IDENTITY, mark text NOT NULL UNIQUE, \
             run text NOT NULL, written_at timestamptz NOT NULL DEFAULT clock_timestamp(), body text NOT NULL, \
             PRIMARY KEY (run, id)); \
             CREATE TABLE {leases} (job text PRIMARY KEY, run text NOT NULL, process text NOT NULL, \
             renewed_at timestamptz NOT NULL); \
             COMMENT ON TABLE {records} IS {}; COMMIT",
            literal(LAYOUT)
        )))
    }

    /// Runs `sql`, which may be run twice: again when the server was away.
    async fn rows(&self, sql: &str) -> Result<Vec<SimpleQueryRow>> {
        let begin = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.once(sql).await {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            if !error::retry(error.kind()) || begin.elapsed() + pause > PATIENCE {
                return Err(error).at("state log", || &self.label);
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn once(&self, sql: &str) -> Result<Vec<SimpleQueryRow>> {
        let mut idle = self.idle.lock().await;
        let asked = async {
            // Taken: one that failed may be in a transaction, and is closed by the drop.
            let connection = match idle.take().filter(|connection| !connection.is_closed()) {
                Some(connection) => connection,
                None => connect(&self.config, "state").await?,
            };
            let rows = patience::rows(&connection, sql).await?;
            *idle = Some(connection);
            Ok(rows)
        };
        timeout(ANSWER_TIME, asked).await.unwrap_or_else(|_| Err(silent()))
    }
}

#[async_trait]
impl StateLog for PgStateLog {
    async fn read(&self, run: &str) -> Result<Vec<StateRecord>> {
        let sql = format!("SELECT body FROM {} WHERE run = {} ORDER BY id", self.records, literal(run));
        let rows = self.rows(&sql).await?;
        let records: Result<_> = rows.iter().map(|row| StateRecord::parse(text(row, 0))).collect();
        records.at("state log", || &self.label)
    }

    async fn append(&self, run: &str, record: &StateRecord) -> Result<()> {
        let commit = if record.is_relied_on() { "on" } else { "off" };
        let mark = Uuid::now_v7().simple();
        let sql = format!(
            "BEGIN; SET LOCAL synchronous_commit = {commit}; INSERT INTO {} (mark, run, body) VALUES ('{mark}', {}, {}) \
             ON CONFLICT (mark) DO NOTHING; COMMIT",
            self.records,
            literal(run),
            literal(&ascii(&serde_json::to_string(record)?)),
        );
        self.rows(&sql).await.map(drop)
    }

    async fn runs(&self) -> Result<Vec<RunEntry>> {
        let time = |of: &str| format!("to_char({of}(written_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS')");
        let (began, last) = (time("min"), time("max"));
        let sql = format!("SELECT run, {began}, {last} FROM {} GROUP BY run ORDER BY min(id)", self.records);
        let own = |row: &SimpleQueryRow, at| text(row, at).to_owned();
        let entry = |row: &SimpleQueryRow| RunEntry { run: own(row, 0), began: own(row, 1), last: own(row, 2) };
        Ok(self.rows(&sql).await?.iter().map(entry).collect())
    }

    async fn lease(&self, job: &str, run: &str) -> Result<()> {
        let process = serde_json::to_string(Process::own())?;
        // What a dead process holds is free; asked again in the statement that takes it, as another may come between.
        let held = self.rows(&format!("SELECT process FROM {} WHERE job = {}", self.leases, literal(job))).await?;
        let dead = held.first().map(|row| text(row, 0)).filter(|process| Process::parse(process).is_dead());
        let sql = format!(
            "INSERT INTO {} AS l (job, run, process, renewed_at) VALUES ({}, {}, {}, clock_timestamp()) \
             ON CONFLICT (job) DO UPDATE SET run = excluded.run, process = excluded.process, \
             renewed_at = excluded.renewed_at WHERE l.run = excluded.run AND l.process = excluded.process \
             OR l.process = {} OR {} RETURNING 1",
            self.leases,
            literal(job),
            literal(run),
            literal(&process),
            literal(dead.unwrap_or_default()),
            is_over(),
        );
        if self.rows(&sql).await?.is_empty() {
            let holder = self.holders().await?.into_iter().find(|holder| holder.job == job);
            return Err(busy(holder));
        }
        Ok(())
    }

    async fn release(&self, job: &str, run: &str) -> Result<()> {
        // One that cannot be given back runs out: nobody waits for that.
        let sql = format!("DELETE FROM {} WHERE job = {} AND run = {}", self.leases, literal(job), literal(run));
        self.once(&sql).await.at("state log", || &self.label).map(drop)
    }

    async fn holders(&self) -> Result<Vec<Holder>> {
        let sql = format!("SELECT job, run, process, {} FROM {} l ORDER BY run", is_over(), self.leases);
        let holder = |row: &SimpleQueryRow| {
            let process = Process::parse(text(row, 2));
            let life = if text(row, 3) == "t" || process.is_dead() { Life::Gone } else { Life::Alive };
            Holder { job: text(row, 0).to_owned(), run: text(row, 1).to_owned(), process: process.shown(), life }
        };
        Ok(self.rows(&sql).await?.iter().map(holder).collect())
    }

    async fn forget(&self, run: &str) -> Result<()> {
        self.rows(&format!("DELETE FROM {} WHERE run = {}", self.records, literal(run))).await.map(drop)
    }
}

/// `json` with escapes for what not every encoding of a database can hold. Such characters stand in its strings alone.
fn ascii(json: &str) -> String {
    let mut units = [0; 2];
    json.chars().fold(String::with_capacity(json.len()), |mut ascii, letter| {
        match letter {
            '\0'..='\x7f' => ascii.push(letter),
            _ => ascii.extend(letter.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}"))),
        }
        ascii
    })
}

fn text(row: &SimpleQueryRow, at: usize) -> &str {
    row.get(at).unwrap_or_default()
}

/// The condition that nobody has renewed the lease `l` for long.
fn is_over() -> String {
    format!("l.renewed_at < clock_timestamp() - interval '{LEASE_SECONDS} seconds'")
}

/// Whether a failure of this kind says that somebody has made the same at the same moment: a constraint of the catalog
/// where both were at it, else the name.
fn is_there(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::AlreadyExists | ErrorKind::Constraint)
}

fn silent() -> Error {
    let message = format!("the server gave no answer within {} seconds", ANSWER_TIME.as_secs());
    Error::new(ErrorKind::Timeout, message).with_hint("look whether it can be reached, and whether a lock is held")
}

/// Why a table with `comment` is not written to.
fn foreign(comment: &str) -> Error {
    if comment.starts_with(ANY_LAYOUT) {
        let message = "the state log was made by a later version of etl";
        return Error::new(ErrorKind::Unsupported, message).with_hint("use that version, or another table");
    }
    Error::new(ErrorKind::Corrupt, "this is a table of something else").with_hint("name another table after #")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_fit_into_every_encoding() {
        let aborted = StateRecord::Aborted { reason: "é\u{1F600}\"\n".to_owned() };
        let json = serde_json::to_string(&aborted).unwrap();
        assert!(ascii(&json).is_ascii());
        assert_eq!(serde_json::to_string(&StateRecord::parse(&ascii(&json)).unwrap()).unwrap(), json);
    }
}
