//! The open transaction of one commit: tables made or emptied, rows of attempts behind savepoints, then all or nothing.
//!
//! ```text
//! BEGIN IMMEDIATE, DDL | SAVEPOINT of attempt 1, rows | SAVEPOINT of attempt 2, rows | ... | indexes, checks, mark, COMMIT
//! ```
//!
//! An attempt that was not flushed is rolled back when the next one begins. A second attempt of a task whose first one
//! was flushed goes to a temporary database: the commit says which of the two counts. This lives on one worker thread.
//!
//! With a rollback journal, readers keep a transaction that outgrows its cache from writing into the file. Where
//! somebody reads such a file when the copy begins (a copy within one file does), all rows go to temporary databases
//! first, and the target is touched by the commit alone: by then our own readers are gone.

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::catalog::quoted;
use super::encode::Encoder;
use super::error::{failed, is_foreign_key, named};
use super::left::{self, Left, make_left};
use super::load::{Insert, Rows, refuse_nulls, still_open};
use super::merge::{Merging, WAITING, make_waiting};
use super::proof::{Sums, sums_of};
use super::typemap::Affinity;
use super::{keys, marker};
use crate::attempt::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::proof::{Verdict, total};
use crate::reject::{Refusal, Refusals, Refused};
use crate::sink::{Advance, Merged, Receipt};
use crate::sql::beside::{Before, has_rows};
use crate::sql::ddl::identifiers;
use crate::sql::dialect::{Dialect as _, Sqlite};

/// The table of an attempt that is kept aside.
const ASIDE: &str = "aside";

/// What is to be done to the target: the sink's own part of an agreement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Detail {
    /// The exact name of the table.
    pub(super) table: String,
    /// The statement that makes it; none when it is there.
    pub(super) create: Option<String>,
    pub(super) before: Before,
    /// How rows are merged by key; none where they are added.
    pub(super) merging: Option<Merging>,
    /// The position that the commit moves.
    pub(super) advance: Option<Advance>,
    /// Whether sums will be asked for: then those of the rows that are there are taken at the start.
    #[serde(default)]
    pub(super) sums: bool,
    /// Columns that are filled, in the order of the agreement's target, and their declared types.
    pub(super) columns: Vec<String>,
    pub(super) declared: Vec<String>,
    /// What becomes of rows that the table does not take.
    pub(super) refusals: Refusals,
}

/// The connection of a stage and what was done in its transaction.
pub(super) struct Stage {
    pub(super) connection: Connection,
    detail: Detail,
    affinities: Vec<Affinity>,
    into_target: Insert,
    into_aside: Insert,
    left: Left,
    /// Whether a row that is not there may still come.
    refers_to_itself: bool,
    /// How long the commit waits for others.
    busy_timeout: Duration,
    /// Whether the target is touched by the commit alone: readers stand in the way, or rows are merged by key.
    is_late: bool,
    /// Indexes that were dropped for the load.
    indexes: Vec<String>,
    attempts: Vec<AttemptRows>,
    /// What the target held before.
    before: Sums,
    phase: Phase,
    merged: Option<Merged>,
}

/// How far a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Writers may come.
    Loading,
    /// The transaction is being made to hold exactly what is to be committed; it stays like this when that fails.
    Settling,
    /// It holds that: COMMIT may be tried, and tried again.
    Settled,
    Committed,
}

/// The rows of one attempt.
struct AttemptRows {
    id: String,
    task: u32,
    rows: u64,
    flushed: bool,
    place: Place,
}

enum Place {
    /// In the target, behind a savepoint.
    Target,
    /// In a temporary database of their own, which no rollback of the target touches.
    Aside(Connection),
}

impl AttemptRows {
    fn is_aside(&self) -> bool {
        matches!(self.place, Place::Aside(_))
    }
}

impl Stage {
    /// Begins the transaction on `connection` and makes the target ready for rows.
    pub(super) fn begin(
        connection: Connection,
        (detail, schema): (Detail, &SchemaRef),
        busy_timeout: Duration,
    ) -> Result<Self> {
        // What is emptied and refilled may be referred to meanwhile: its references are checked at the end.
        let foreign_keys = if detail.before == Before::Empty { "OFF" } else { "ON" };
        let settings = format!("PRAGMA foreign_keys = {foreign_keys}; PRAGMA cache_size = -32000");
        connection.execute_batch(&settings).map_err(failed)?;
        let is_late = has_readers(&connection)? || detail.merging.is_some();
        connection.busy_timeout(busy_timeout).map_err(failed)?;
        connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
        // A full cache that cannot be written because of a reader grows: waiting for each page would be of no use.
        connection.busy_timeout(Duration::ZERO).map_err(failed)?;
        let mut stage = Self {
            affinities: detail.declared.iter().map(|declared| Affinity::of(declared)).collect(),
            into_target: Insert::new(&quoted(&detail.table), &detail.columns),
            into_aside: Insert::new(ASIDE, &detail.columns),
            left: Left::new(&detail.columns),
            refers_to_itself: false,
            connection,
            detail,
            busy_timeout,
            is_late,
            indexes: Vec::new(),
            attempts: Vec::new(),
            before: Sums::default(),
            phase: Phase::Loading,
            merged: None,
        };
        stage.refuse_rows()?;
        if let Some(merging) = &stage.detail.merging {
            merging.check(&stage.connection, &stage.detail.table)?;
        }
        if stage.leaves_out() {
            make_left(&stage.connection, &stage.detail.columns)?;
            stage.refers_to_itself = keys::refers_to_itself(&stage.connection, &stage.detail.table)?;
        }
        if !stage.is_late {
            stage.make_ready()?;
            if stage.detail.sums && stage.detail.before == Before::Keep {
                stage.before = sums_of(&stage.connection, &quoted(&stage.detail.table), schema)?;
            }
        }
        Ok(stage)
    }

    /// Whether rows are left out that the table does not take.
    fn leaves_out(&self) -> bool {
        self.detail.refusals == Refusals::LeftOut
    }

    fn refuse_rows(&self) -> Result<()> {
        if self.detail.create.is_some() || self.detail.before != Before::Refuse {
            return Ok(());
        }
        let filled = is_filled(&self.connection, &quoted(&self.detail.table))?;
        if filled { Err(has_rows(&self.detail.table)) } else { Ok(()) }
    }

    /// Makes the table, or empties it.
    fn make_ready(&mut self) -> Result<()> {
        if let Some(create) = &self.detail.create {
            return self.connection.execute_batch(create).map_err(failed);
        }
        let table = &self.detail.table;
        if self.detail.before == Before::Empty {
            keys::note_orphans(&self.connection, table)?;
            self.drop_indexes()?;
            let delete = format!("DELETE FROM {}", quoted(&self.detail.table));
            return self.connection.execute(&delete, []).map_err(failed).map(drop);
        }
        if !self.leaves_out() && keys::refers_to_itself(&self.connection, table)? {
            self.connection.execute_batch("PRAGMA defer_foreign_keys = ON").map_err(failed)?;
        }
        Ok(())
    }

    /// Drops the indexes that only serve speed; they are made anew over the loaded rows, which is faster.
    fn drop_indexes(&mut self) -> Result<()> {
        let sql = "SELECT m.name, m.sql FROM pragma_index_list(?1, 'main') AS l JOIN main.sqlite_schema AS m \
                   ON m.type = 'index' AND m.name = l.name WHERE l.origin = 'c' AND NOT l.\"unique\"";
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let rows = statement
            .query_map([&self.detail.table], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
            .map_err(failed)?;
        let found: Vec<(String, String)> = rows.collect::<Result<_, _>>().map_err(failed)?;
        for (name, sql) in found {
            self.connection.execute_batch(&format!("DROP INDEX {}", quoted(&name))).map_err(failed)?;
            self.indexes.push(sql);
        }
        Ok(())
    }

    /// Opens `attempt` of `task`; one that was open and not flushed is rolled back.
    pub(super) fn open(&mut self, attempt: &str, task: u32) -> Result<()> {
        self.still_loading()?;
        self.forget_unflushed()?;
        let again = self.attempts.iter().any(|other| other.task == task || other.is_aside());
        let place = if again || self.is_late { Place::Aside(self.temporary()?) } else { Place::Target };
        let rows = AttemptRows { id: attempt.to_owned(), task, rows: 0, flushed: false, place };
        if !rows.is_aside() {
            self.connection.execute_batch(&format!("SAVEPOINT {}", savepoint(&rows))).map_err(failed)?;
        }
        self.attempts.push(rows);
        Ok(())
    }

    fn temporary(&self) -> Result<Connection> {
        let connection = Connection::open("").map_err(failed)?;
        // Columns without a type keep values as they are bound; the target's own rules come at the commit.
        let columns = identifiers(&Sqlite, &self.detail.columns);
        connection.execute_batch(&format!("CREATE TABLE {ASIDE} ({columns}); BEGIN")).map_err(failed)?;
        Ok(connection)
    }

    /// Inserts the rows of `batch` for `attempt`, which must be the one opened last. Those that are refused come back, where they
    /// are left out.
    pub(super) fn insert(&mut self, attempt: &str, batch: &RecordBatch) -> Result<Vec<Refusal>> {
        self.still_loading()?;
        let superseded = || Error::new(ErrorKind::Internal, "this writer was given up when another one was opened");
        let rows = self.attempts.last().filter(|last| last.id == attempt && !last.flushed).ok_or_else(superseded)?;
        let before = rows.rows;
        let (connection, insert) = match &rows.place {
            Place::Target => (&self.connection, &self.into_target),
            Place::Aside(connection) => (connection, &self.into_aside),
        };
        let columns = batch.columns().iter().zip(&self.affinities);
        let encoders = columns.map(|(array, affinity)| Encoder::new(array, *affinity)).collect::<Result<_>>()?;
        let table = |error: Error| error.at("table", &self.detail.table);
        refuse_nulls(batch, before).map_err(table)?;
        let batch = Rows { encoders, count: batch.num_rows(), before };
        let mut refused = Vec::new();
        if self.leaves_out() {
            for left in insert.sparing(connection, &batch).map_err(table)? {
                if left.refers && self.refers_to_itself {
                    self.left.keep(&self.connection, &batch, left.row)?;
                } else {
                    refused.push(Refusal { row: left.row as u64, error: named(left.error) });
                }
            }
        } else {
            insert.all(connection, &batch).map_err(table)?;
        }
        let taken = (batch.count - refused.len()) as u64;
        if let Some(rows) = self.attempts.last_mut() {
            rows.rows += taken;
        }
        Ok(refused)
    }

    /// Settles `attempt` and says how many rows it has.
    pub(super) fn flush(&mut self, attempt: &str) -> Result<u64> {
        self.still_loading()?;
        let gone = || Error::new(ErrorKind::Internal, "this writer was given up when another one was opened");
        let rows = self.attempts.iter_mut().find(|rows| rows.id == attempt).ok_or_else(gone)?;
        rows.flushed = true;
        Ok(rows.rows)
    }

    /// Whether the rows of the attempts in `receipts`, and no others, are what these say.
    pub(super) fn verify(&mut self, receipts: &[Receipt], schema: &SchemaRef) -> Result<Verdict> {
        self.still_loading()?;
        let wanted: Vec<String> = receipts.iter().map(|receipt| receipt.attempt.clone()).collect();
        self.keep_only(&wanted)?;
        let held: u64 = self.attempts.iter().filter(|rows| wanted.contains(&rows.id)).map(|rows| rows.rows).sum();
        let sent = Sums {
            rows: receipts.iter().map(|receipt| receipt.rows).sum(),
            columns: total(receipts.iter().map(|receipt| receipt.columns.as_ref())),
        };
        if sent.columns.is_none() || !self.detail.sums || held != sent.rows {
            return Ok(Sums { rows: held, columns: None }.compare(&sent, schema));
        }
        let mut found = Sums::default();
        for rows in self.attempts.iter().filter(|rows| wanted.contains(&rows.id)) {
            if let Place::Aside(aside) = &rows.place {
                found = found.and(&sums_of(aside, ASIDE, schema)?);
            }
        }
        if !self.is_late {
            found = found.and(&sums_of(&self.connection, &quoted(&self.detail.table), schema)?);
        }
        Ok(found.compare(&self.before.and(&sent), schema))
    }

    fn still_loading(&self) -> Result<()> {
        if self.phase != Phase::Loading {
            return Err(Error::new(ErrorKind::Internal, "this transaction takes no more rows: its commit has begun"));
        }
        still_open(&self.connection)
    }

    fn forget_unflushed(&mut self) -> Result<()> {
        while let Some(rows) = self.attempts.pop_if(|last| !last.flushed) {
            self.undo(&rows)?;
        }
        Ok(())
    }

    /// Rows aside are gone with their connection.
    fn undo(&self, rows: &AttemptRows) -> Result<()> {
        if rows.is_aside() {
            return Ok(());
        }
        let sql = format!("ROLLBACK TO {0}; RELEASE {0}", savepoint(rows));
        self.connection.execute_batch(&sql).map_err(failed)
    }

    /// Leaves exactly the rows of the `wanted` attempts in the target, makes it whole again and marks it with `token`.
    /// Once that is done, a second call does nothing.
    pub(super) fn settle(&mut self, wanted: &[String], token: &Token) -> Result<()> {
        match self.phase {
            Phase::Settled | Phase::Committed => return Ok(()),
            Phase::Settling => return Err(Error::new(ErrorKind::Internal, "an earlier commit of these rows failed")),
            Phase::Loading => {}
        }
        self.still_loading()?;
        self.phase = Phase::Settling;
        self.keep_only(wanted)?;
        if self.is_late {
            self.make_ready()?;
        }
        self.fetch(wanted).map_err(|error| error.at("table", &self.detail.table))?;
        if self.leaves_out() {
            Left::settle(&self.connection, &self.detail)?;
        }
        self.attempts.clear();
        for index in self.indexes.drain(..) {
            self.connection.execute_batch(&index).map_err(failed)?;
        }
        if self.detail.create.is_none() && self.detail.before == Before::Empty {
            if self.leaves_out() {
                left::orphans(&self.connection, &self.detail)?;
            }
            keys::refuse_new_orphans(&self.connection, &self.detail.table)?;
        }
        still_open(&self.connection)?;
        if let Some(advance) = &self.detail.advance {
            marker::advance(&self.connection, advance)?;
        }
        marker::set(&self.connection, token)?;
        self.phase = Phase::Settled;
        Ok(())
    }

    /// Brings the rows that `wanted` attempts have aside into the target.
    fn fetch(&mut self, wanted: &[String]) -> Result<()> {
        let waiting = Insert::new(WAITING, &self.detail.columns);
        let into = if self.detail.merging.is_some() {
            make_waiting(&self.connection, &self.detail)?;
            &waiting
        } else {
            &self.into_target
        };
        for rows in self.attempts.iter().filter(|rows| wanted.contains(&rows.id)) {
            if let Place::Aside(aside) = &rows.place {
                let sql = format!("SELECT {} FROM {ASIDE}", identifiers(&Sqlite, &self.detail.columns));
                // Each is tried where those wait that were refused at first.
                let into = if self.leaves_out() && self.detail.merging.is_none() { self.left.insert() } else { into };
                into.fetch(&self.connection, aside.prepare(&sql).map_err(failed)?)?;
            }
        }
        if let Some(merging) = &self.detail.merging {
            self.merged = Some(match self.detail.refusals {
                Refusals::Fail => merging.merge(&self.connection, &self.detail)?,
                Refusals::LeftOut => left::merge(&self.connection, &self.detail, merging)?,
            });
        }
        Ok(())
    }

    /// Some of the rows that were left out after they were written, which are forgotten then; none when there are no more.
    pub(super) fn left_out(&self) -> Result<Option<Refused>> {
        left::take(&self.connection, &self.detail.columns)
    }

    /// What the commit did by key.
    pub(super) fn merged(&self) -> Option<Merged> {
        self.merged
    }

    /// Takes out of the target what no receipt names.
    fn keep_only(&mut self, wanted: &[String]) -> Result<()> {
        self.forget_unflushed()?;
        let is_wanted = |rows: &AttemptRows| wanted.contains(&rows.id);
        if wanted.iter().any(|id| self.attempts.iter().all(|rows| rows.id != *id)) {
            let message = "a receipt names rows that this transaction does not hold";
            return Err(Error::new(ErrorKind::Internal, message));
        }
        let in_target: Vec<&AttemptRows> = self.attempts.iter().filter(|rows| !rows.is_aside()).collect();
        let Some(first) = in_target.iter().position(|rows| !is_wanted(rows)) else { return Ok(()) };
        if in_target[first..].iter().any(|rows| is_wanted(rows)) {
            let message = "rows of a task that was written twice lie before those of others";
            return Err(Error::new(ErrorKind::Transient, message).with_hint("run the copy again"));
        }
        self.undo(in_target[first])?;
        self.attempts.retain(|rows| rows.is_aside() || wanted.contains(&rows.id));
        Ok(())
    }

    /// Makes what [`Stage::settle`] left visible. A lock in the way leaves the transaction open: call again.
    pub(super) fn commit(&mut self) -> Result<()> {
        match self.phase {
            Phase::Committed => return Ok(()),
            Phase::Settled => still_open(&self.connection)?,
            _ => return Err(Error::new(ErrorKind::Internal, "these rows were not settled before their commit")),
        }
        self.connection.busy_timeout(self.busy_timeout).map_err(failed)?;
        match self.connection.execute_batch("COMMIT") {
            Ok(()) => {
                self.phase = Phase::Committed;
                Ok(())
            }
            Err(error) if is_foreign_key(&error) => Err(keys::broken(&self.connection, &self.detail.table)),
            Err(error) => Err(failed(error)),
        }
    }

    /// Ends the transaction and the connection, and keeps what was committed.
    pub(super) fn close(self) -> Result<()> {
        drop(self.attempts);
        self.connection.close().map_err(|(_, error)| failed(error))
    }

    /// Stops the statement that runs, from another thread.
    pub(super) fn interrupt_handle(&self) -> rusqlite::InterruptHandle {
        self.connection.get_interrupt_handle()
    }
}

/// Whether somebody reads the file whose readers stand in the way of a writer: one with a rollback journal.
fn has_readers(connection: &Connection) -> Result<bool> {
    let mode = connection.query_row("PRAGMA main.journal_mode", [], |row| row.get::<_, String>(0)).map_err(failed)?;
    if ["wal", "memory", "off"].contains(&mode.as_str()) {
        return Ok(false);
    }
    connection.busy_timeout(Duration::ZERO).map_err(failed)?;
    match connection.execute_batch("BEGIN EXCLUSIVE; ROLLBACK").map_err(failed) {
        Err(error) if error.kind() == ErrorKind::Transient => Ok(true),
        // What else is wrong is told by the transaction itself.
        _ => Ok(false),
    }
}

fn savepoint(rows: &AttemptRows) -> String {
    Sqlite.identifier(&format!("etl_{}", rows.id))
}

/// Whether `table`, which is quoted, has any row.
pub(super) fn is_filled(connection: &Connection, table: &str) -> Result<bool> {
    connection.prepare(&format!("SELECT 1 FROM {table}")).and_then(|mut all| all.exists([])).map_err(failed)
}
