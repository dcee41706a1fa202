//! The open transaction of one commit: tables made or emptied, rows of attempts behind savepoints, then all or nothing.
//!
//! ```text
//! BEGIN IMMEDIATE, DDL | SAVEPOINT of attempt 1, rows | SAVEPOINT of attempt 2, rows | ... | indexes, checks, COMMIT
//! ```
//!
//! An attempt that was not flushed is rolled back when the next one begins. A second attempt of a task whose first one
//! was flushed goes to a temporary database: the commit says which of the two counts. This lives on one worker thread.

use arrow::array::{Array as _, RecordBatch};
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, ffi};
use serde::{Deserialize, Serialize};

use super::catalog::{self, quoted};
use super::encode::Encoder;
use super::error::failed;
use super::typemap::Affinity;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::ddl::identifiers;
use crate::sql::dialect::{Dialect as _, Sqlite};

/// Parameters of one statement; SQLite's own limit.
const MOST_PARAMETERS: usize = 32_766;
/// Rows of one statement: measured, more gain nothing.
const STATEMENT_ROWS: usize = 16;

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
    /// Columns that are filled, in the order of the agreement's target, and their declared types.
    pub(super) columns: Vec<String>,
    pub(super) declared: Vec<String>,
}

/// What happens to the rows that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Before {
    /// There must be none.
    Refuse,
    /// They stay.
    Keep,
    /// They are deleted in the same transaction.
    Empty,
}

/// The connection of a stage and what was done in its transaction.
pub(super) struct Stage {
    connection: Connection,
    detail: Detail,
    affinities: Vec<Affinity>,
    /// Indexes that were dropped for the load.
    indexes: Vec<String>,
    /// Rows with broken references before the load, when the table was emptied.
    orphans: Option<u64>,
    attempts: Vec<AttemptRows>,
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
    pub(super) fn begin(connection: Connection, detail: Detail) -> Result<Self> {
        let affinities = detail.declared.iter().map(|declared| Affinity::of(declared)).collect();
        // What is emptied and refilled may be referred to meanwhile: its references are checked at the end.
        let keys = if detail.before == Before::Empty { "OFF" } else { "ON" };
        connection
            .execute_batch(&format!("PRAGMA foreign_keys = {keys}; PRAGMA cache_size = -32000; BEGIN IMMEDIATE"))
            .map_err(failed)?;
        let mut stage =
            Self { connection, detail, affinities, indexes: Vec::new(), orphans: None, attempts: Vec::new() };
        stage.prepare()?;
        Ok(stage)
    }

    fn prepare(&mut self) -> Result<()> {
        if let Some(create) = &self.detail.create {
            return self.connection.execute_batch(create).map_err(failed);
        }
        let table = quoted(&self.detail.table);
        match self.detail.before {
            Before::Keep => Ok(()),
            Before::Refuse => {
                let sql = format!("SELECT 1 FROM {table}");
                let filled = self.connection.prepare(&sql).and_then(|mut all| all.exists([])).map_err(failed)?;
                if filled { Err(has_rows(&self.detail.table)) } else { Ok(()) }
            }
            Before::Empty => {
                self.orphans = Some(self.count_orphans()?);
                self.drop_indexes()?;
                self.connection.execute(&format!("DELETE FROM {table}"), []).map_err(failed).map(drop)
            }
        }
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

    /// Rows of the target and of tables that refer to it whose reference leads nowhere.
    fn count_orphans(&self) -> Result<u64> {
        let sql = "SELECT DISTINCT m.name FROM main.sqlite_schema AS m, pragma_foreign_key_list(m.name, 'main') AS f \
                   WHERE m.type = 'table' AND (f.\"table\" = ?1 COLLATE NOCASE OR m.name = ?1)";
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let names = statement.query_map([&self.detail.table], |row| row.get::<_, String>(0)).map_err(failed)?;
        let mut orphans = 0;
        for name in names {
            let name = name.map_err(failed)?;
            let sql = "SELECT count(*) FROM pragma_foreign_key_check(?1, 'main')";
            let count: u64 = self.connection.query_row(sql, [name], |row| row.get(0)).map_err(failed)?;
            orphans += count;
        }
        Ok(orphans)
    }

    /// Opens `attempt` of `task`; one that was open and not flushed is rolled back.
    pub(super) fn open(&mut self, attempt: &str, task: u32) -> Result<()> {
        self.still_open()?;
        self.forget_unflushed()?;
        let again = self.attempts.iter().any(|other| other.task == task || other.is_aside());
        let place = if again { Place::Aside(self.temporary()?) } else { Place::Target };
        let rows = AttemptRows { id: attempt.to_owned(), task, rows: 0, flushed: false, place };
        if !again {
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

    /// Inserts the rows of `batch` for `attempt`, which must be the one opened last.
    pub(super) fn insert(&mut self, attempt: &str, batch: &RecordBatch) -> Result<()> {
        self.still_open()?;
        let superseded = || Error::new(ErrorKind::Internal, "this writer was given up when another one was opened");
        let rows = self.attempts.last().filter(|last| last.id == attempt && !last.flushed).ok_or_else(superseded)?;
        let before = rows.rows;
        refuse_nulls(batch, before).map_err(|error| error.at("table", &self.detail.table))?;
        let (connection, into) = match &rows.place {
            Place::Target => (&self.connection, quoted(&self.detail.table)),
            Place::Aside(connection) => (connection, ASIDE.to_owned()),
        };
        let encoders: Vec<Encoder<'_>> = batch
            .columns()
            .iter()
            .zip(&self.affinities)
            .map(|(array, affinity)| Encoder::new(array, *affinity))
            .collect::<Result<_>>()?;
        let load = Load { connection, into, columns: &self.detail.columns, encoders };
        load.all(batch.num_rows(), before).map_err(|error| error.at("table", &self.detail.table))?;
        if let Some(rows) = self.attempts.last_mut() {
            rows.rows += batch.num_rows() as u64;
        }
        Ok(())
    }

    /// Settles `attempt` and says how many rows it has.
    pub(super) fn flush(&mut self, attempt: &str) -> Result<u64> {
        let gone = || Error::new(ErrorKind::Internal, "this writer was given up when another one was opened");
        let rows = self.attempts.iter_mut().find(|rows| rows.id == attempt).ok_or_else(gone)?;
        rows.flushed = true;
        Ok(rows.rows)
    }

    /// A full disk ends a transaction by itself: what came after it would be visible at once.
    fn still_open(&self) -> Result<()> {
        if self.connection.is_autocommit() {
            return Err(Error::new(ErrorKind::Io, "SQLite has rolled the transaction back after an earlier failure"));
        }
        Ok(())
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

    /// Leaves exactly the rows of the `wanted` attempts in the target, and makes it whole again.
    pub(super) fn settle(&mut self, wanted: &[&str]) -> Result<()> {
        self.still_open()?;
        self.forget_unflushed()?;
        let is_wanted = |rows: &AttemptRows| wanted.contains(&rows.id.as_str());
        if wanted.iter().any(|id| self.attempts.iter().all(|rows| rows.id != *id)) {
            let message = "a receipt names rows that this transaction does not hold";
            return Err(Error::new(ErrorKind::Internal, message));
        }
        let in_target: Vec<&AttemptRows> = self.attempts.iter().filter(|rows| !rows.is_aside()).collect();
        if let Some(first) = in_target.iter().position(|rows| !is_wanted(rows)) {
            if in_target[first..].iter().any(|rows| is_wanted(rows)) {
                let message = "rows of a task that was written twice lie before those of others";
                return Err(Error::new(ErrorKind::Transient, message).with_hint("run the copy again"));
            }
            self.undo(in_target[first])?;
        }
        for rows in self.attempts.iter().filter(|rows| is_wanted(rows)) {
            if let Place::Aside(connection) = &rows.place {
                self.fetch(connection)?;
            }
        }
        self.attempts.clear();
        for index in self.indexes.drain(..) {
            self.connection.execute_batch(&index).map_err(failed)?;
        }
        match self.orphans.take() {
            Some(before) if self.count_orphans()? > before => {
                let message = "after the copy there would be rows that refer to rows which are no longer there";
                Err(Error::new(ErrorKind::Constraint, message)
                    .with_hint("PRAGMA foreign_key_check lists those that are there now"))
            }
            _ => Ok(()),
        }
    }

    /// Copies the rows of an attempt that were kept aside into the target.
    fn fetch(&self, aside: &Connection) -> Result<()> {
        let columns = identifiers(&Sqlite, &self.detail.columns);
        let marks = vec!["?"; self.detail.columns.len()].join(",");
        let sql = format!("INSERT OR ABORT INTO {} ({columns}) VALUES ({marks})", quoted(&self.detail.table));
        let mut insert = self.connection.prepare(&sql).map_err(failed)?;
        let mut select = aside.prepare(&format!("SELECT {columns} FROM {ASIDE}")).map_err(failed)?;
        let mut rows = select.query([]).map_err(failed)?;
        let mut place = 0_u64;
        while let Some(row) = rows.next().map_err(failed)? {
            place += 1;
            for column in 0..self.detail.columns.len() {
                let value = ToSqlOutput::Borrowed(row.get_ref(column).map_err(failed)?);
                insert.raw_bind_parameter(column + 1, value).map_err(failed)?;
            }
            let stored = insert.raw_execute().map_err(|error| failed(error).at("row", place))?;
            every_row(stored, 1)?;
        }
        Ok(())
    }

    /// Makes what [`Stage::settle`] left visible. A lock in the way leaves the transaction open: call again.
    pub(super) fn commit(&mut self) -> Result<()> {
        match self.connection.execute_batch("COMMIT") {
            Ok(()) => Ok(()),
            Err(error) if is_foreign_key(&error) => {
                Err(Error::new(ErrorKind::Constraint, "the target refuses the rows: FOREIGN KEY constraint failed"))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Whether the file keeps a rollback journal, so that readers stand in the way of a commit.
    pub(super) fn is_wal(&self) -> bool {
        let mode = self.connection.query_row("PRAGMA main.journal_mode", [], |row| row.get::<_, String>(0));
        mode.is_ok_and(|mode| mode == "wal")
    }

    /// Ends the transaction and the connection, and keeps what was committed.
    pub(super) fn close(self) -> Result<()> {
        self.connection.close().map_err(|(_, error)| failed(error))
    }
}

/// The error of mode `create` for a table with rows.
pub(super) fn has_rows(table: &str) -> Error {
    Error::new(ErrorKind::AlreadyExists, "the table exists and has rows").at("table", table)
}

fn is_foreign_key(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(code, _) if code.extended_code == ffi::SQLITE_CONSTRAINT_FOREIGNKEY)
}

fn is_refusal(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(code, _) if code.extended_code & 0xff == ffi::SQLITE_CONSTRAINT)
}

fn savepoint(rows: &AttemptRows) -> String {
    Sqlite.identifier(&format!("etl_{}", rows.id))
}

/// A trigger may drop a row without an error.
fn every_row(stored: usize, wanted: usize) -> Result<()> {
    if stored == wanted {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Constraint, "a trigger of the target drops rows that are inserted"))
}

/// NULL where a column takes none: an INTEGER PRIMARY KEY would number the row by itself.
fn refuse_nulls(batch: &RecordBatch, before: u64) -> Result<()> {
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if field.is_nullable() || array.null_count() == 0 {
            continue;
        }
        let row = (0..array.len()).find(|row| array.is_null(*row)).unwrap_or(0);
        let error = Error::new(ErrorKind::Constraint, "the target refuses a row: the column takes no NULL");
        return Err(error.at("column", field.name()).at("row", before + row as u64 + 1));
    }
    Ok(())
}

/// The rows of one batch on their way into a table.
struct Load<'a> {
    connection: &'a Connection,
    /// The table, quoted.
    into: String,
    columns: &'a [String],
    encoders: Vec<Encoder<'a>>,
}

impl Load<'_> {
    fn all(&self, count: usize, before: u64) -> Result<()> {
        let per_statement = (MOST_PARAMETERS / self.columns.len().max(1)).clamp(1, STATEMENT_ROWS);
        let mut text = String::new();
        let mut start = 0;
        while start < count {
            let rows = if count - start >= per_statement { per_statement } else { 1 };
            self.some(start, rows, before, &mut text)?;
            start += rows;
        }
        Ok(())
    }

    /// Inserts `rows` rows from `start` by one statement, and finds the one that is refused.
    fn some(&self, start: usize, rows: usize, before: u64, text: &mut String) -> Result<()> {
        let mut statement = self.connection.prepare_cached(&self.sql(rows)).map_err(failed)?;
        let mut index = 1;
        for row in start..start + rows {
            for (encoder, column) in self.encoders.iter().zip(self.columns) {
                encoder
                    .bind(&mut statement, index, row, text)
                    .map_err(|error| error.at("column", column).at("row", before + row as u64 + 1))?;
                index += 1;
            }
        }
        match statement.raw_execute() {
            Ok(stored) => every_row(stored, rows),
            Err(error) if rows > 1 && is_refusal(&error) => {
                // The statement left nothing behind: one row at a time tells which it was.
                (start..start + rows).try_for_each(|row| self.some(row, 1, before, text))
            }
            Err(error) => Err(failed(error).at("row", before + start as u64 + 1)),
        }
    }

    /// `OR ABORT`, because a constraint of the table may say that refused rows are to be ignored or replaced.
    fn sql(&self, rows: usize) -> String {
        let marks = vec!["?"; self.columns.len()].join(",");
        let tuples = vec![format!("({marks})"); rows].join(",");
        format!("INSERT OR ABORT INTO {} ({}) VALUES {tuples}", self.into, identifiers(&Sqlite, self.columns))
    }
}

/// Whether the target has any row. Used before anything is locked.
pub(super) fn is_filled(connection: &Connection, relation: &catalog::Relation) -> Result<bool> {
    let sql = format!("SELECT 1 FROM {}", relation.sql());
    connection.prepare(&sql).and_then(|mut all| all.exists([])).map_err(failed)
}
