//! Rows of a batch on their way into a table, by bound inserts of many rows, and which row was refused.

use std::ops::Range;

use arrow::array::{Array as _, RecordBatch};
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, Statement, ffi};

use super::encode::{Encoder, Scratch};
use super::error::{failed, is_foreign_key};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::ddl::identifiers;
use crate::sql::dialect::Sqlite;

/// Parameters of one statement; SQLite's own limit.
const MOST_PARAMETERS: usize = 32_766;
/// Rows of one statement: measured, more gain nothing.
const STATEMENT_ROWS: usize = 16;

/// The statements that fill one table.
pub(super) struct Insert {
    columns: Vec<String>,
    one: String,
    many: String,
    many_rows: usize,
}

/// The rows of one batch.
pub(super) struct Rows<'a> {
    pub(super) encoders: Vec<Encoder<'a>>,
    pub(super) count: usize,
    /// Rows of the attempt before this batch.
    pub(super) before: u64,
}

/// A row that the table does not take.
pub(super) struct Left {
    /// Its place in the batch, from 0.
    pub(super) row: usize,
    pub(super) error: Error,
    /// What it refers to is not there, and may still come.
    pub(super) refers: bool,
}

/// What became of a statement.
enum Put {
    Stored,
    Failed(rusqlite::Error),
}

impl Insert {
    /// Statements that fill `columns` of the table `into`, which is quoted.
    pub(super) fn new(into: &str, columns: &[String]) -> Self {
        let many_rows = (MOST_PARAMETERS / columns.len().max(1)).clamp(1, STATEMENT_ROWS);
        let tuple = format!("({})", vec!["?"; columns.len()].join(","));
        // `OR ABORT`, because a constraint of the table may say that refused rows are to be ignored or replaced.
        let sql = |rows: usize| {
            let tuples = vec![tuple.as_str(); rows].join(",");
            format!("INSERT OR ABORT INTO {into} ({}) VALUES {tuples}", identifiers(&Sqlite, columns))
        };
        Self { one: sql(1), many: sql(many_rows), many_rows, columns: columns.to_vec() }
    }

    /// Inserts all of `rows`, in the transaction that is open.
    pub(super) fn all(&self, connection: &Connection, rows: &Rows<'_>) -> Result<()> {
        let mut one = connection.prepare_cached(&self.one).map_err(failed)?;
        let mut many = connection.prepare_cached(&self.many).map_err(failed)?;
        let mut scratch = Scratch::default();
        let mut start = 0;
        while start < rows.count {
            still_open(connection)?;
            let whole = rows.count - start >= self.many_rows;
            let (statement, count) = if whole { (&mut many, self.many_rows) } else { (&mut one, 1) };
            let range = start..start + count;
            if let Put::Failed(error) = self.put(statement, rows, range.clone(), &mut scratch)? {
                let left_nothing = is_refusal(&error) && !connection.is_autocommit();
                if count > 1 && left_nothing {
                    self.find_refused(&mut one, rows, range.clone(), &mut scratch)?;
                }
                return Err(within(failed(error), rows.before, &range));
            }
            start += count;
        }
        Ok(())
    }

    /// One row at a time tells which of `range` is refused: that is the error.
    fn find_refused(
        &self,
        one: &mut Statement<'_>,
        rows: &Rows<'_>,
        range: Range<usize>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        for row in range {
            if let Put::Failed(error) = self.put(one, rows, row..row + 1, scratch)? {
                return Err(within(failed(error), rows.before, &(row..row + 1)));
            }
        }
        Ok(())
    }

    /// Inserts those of `rows` that the table takes, in the transaction that is open, and gives the others.
    pub(super) fn sparing(&self, connection: &Connection, rows: &Rows<'_>) -> Result<Vec<Left>> {
        let mut one = connection.prepare_cached(&self.one).map_err(failed)?;
        let mut many = connection.prepare_cached(&self.many).map_err(failed)?;
        let mut scratch = Scratch::default();
        let mut left = Vec::new();
        let mut start = 0;
        while start < rows.count {
            still_open(connection)?;
            let range = start..rows.count.min(start + self.many_rows);
            start = range.end;
            let whole = range.len() == self.many_rows && range.len() > 1;
            if whole && behind(connection, || self.put(&mut many, rows, range.clone(), &mut scratch))?.is_none() {
                continue;
            }
            for row in range {
                let refused = behind(connection, || self.put(&mut one, rows, row..row + 1, &mut scratch))?;
                left.extend(refused.map(|(error, refers)| Left { row, error, refers }));
            }
        }
        Ok(left)
    }

    fn put(
        &self,
        statement: &mut Statement<'_>,
        rows: &Rows<'_>,
        range: Range<usize>,
        scratch: &mut Scratch,
    ) -> Result<Put> {
        let count = range.len();
        let mut index = 1;
        for row in range {
            for (encoder, column) in rows.encoders.iter().zip(&self.columns) {
                encoder
                    .bind(statement, index, row, scratch)
                    .map_err(|error| error.at("column", column).at("row", rows.before + row as u64 + 1))?;
                index += 1;
            }
        }
        match statement.raw_execute() {
            Ok(stored) => every_row(stored, count).map(|()| Put::Stored),
            Err(error) => Ok(Put::Failed(error)),
        }
    }

    /// Inserts one row of `rows`, in the transaction that is open.
    pub(super) fn row(&self, connection: &Connection, rows: &Rows<'_>, row: usize) -> Result<()> {
        let mut one = connection.prepare_cached(&self.one).map_err(failed)?;
        match self.put(&mut one, rows, row..row + 1, &mut Scratch::default())? {
            Put::Stored => Ok(()),
            Put::Failed(error) => Err(failed(error)),
        }
    }

    /// Inserts what the statement `select` gives on another connection: the same columns, as they are stored there.
    pub(super) fn fetch(&self, connection: &Connection, mut select: Statement<'_>) -> Result<()> {
        let mut one = connection.prepare_cached(&self.one).map_err(failed)?;
        let mut rows = select.query([]).map_err(failed)?;
        let mut place = 0_u64;
        while let Some(row) = rows.next().map_err(failed)? {
            place += 1;
            for column in 0..self.columns.len() {
                let value = ToSqlOutput::Borrowed(row.get_ref(column).map_err(failed)?);
                one.raw_bind_parameter(column + 1, value).map_err(failed)?;
            }
            let stored = one.raw_execute().map_err(|error| failed(error).at("row", place))?;
            every_row(stored, 1)?;
        }
        Ok(())
    }
}

/// Does `work` behind a savepoint. Where a row is refused nothing is done, and the error comes back, with whether what the row
/// refers to is not there.
fn behind(connection: &Connection, work: impl FnOnce() -> Result<Put>) -> Result<Option<(Error, bool)>> {
    let run = |sql: &str| connection.prepare_cached(sql).and_then(|mut sql| sql.execute([])).map_err(failed).map(drop);
    run("SAVEPOINT etl_rows")?;
    let refused = match work() {
        Ok(Put::Stored) => None,
        Ok(Put::Failed(error)) if is_refusal(&error) => {
            let refers = is_foreign_key(&error);
            Some((failed(error), refers))
        }
        Ok(Put::Failed(error)) => return Err(failed(error)),
        Err(error) if error.kind() == ErrorKind::Value => Some((error, false)),
        Err(error) => return Err(error),
    };
    still_open(connection)?;
    if refused.is_some() {
        run("ROLLBACK TO etl_rows")?;
    }
    run("RELEASE etl_rows")?;
    Ok(refused)
}

/// Runs `sql`, each behind the same savepoint, and gives the sums of their changes. Where a row is refused nothing is done, and
/// the error comes back, with whether what the row refers to is not there.
pub(super) fn tried(connection: &Connection, sql: &[Option<String>], parameters: &[i64]) -> Result<Tried> {
    let mut counts = Vec::new();
    let refused = behind(connection, || {
        for sql in sql {
            let Some(sql) = sql else {
                counts.push(0);
                continue;
            };
            let mut statement = connection.prepare_cached(sql).map_err(failed)?;
            match statement.execute(rusqlite::params_from_iter(parameters)) {
                Ok(count) => counts.push(count as u64),
                Err(error) => return Ok(Put::Failed(error)),
            }
        }
        Ok(Put::Stored)
    })?;
    Ok(match refused {
        None => Tried::Done(counts),
        Some((error, refers)) => Tried::Refused { error, refers },
    })
}

/// What became of statements that were tried.
pub(super) enum Tried {
    Done(Vec<u64>),
    Refused { error: Error, refers: bool },
}

/// A full disk, or a trigger, may end a transaction by itself: what came after it would be visible at once.
pub(super) fn still_open(connection: &Connection) -> Result<()> {
    if connection.is_autocommit() {
        return Err(Error::new(ErrorKind::Io, "SQLite has rolled the transaction back after an earlier failure"));
    }
    Ok(())
}

fn is_refusal(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(code, _) if code.extended_code & 0xff == ffi::SQLITE_CONSTRAINT)
}

fn within(error: Error, before: u64, range: &Range<usize>) -> Error {
    let first = before + range.start as u64 + 1;
    match range.len() {
        1 => error.at("row", first),
        count => error.at("rows", format!("{first} to {}", first + count as u64 - 1)),
    }
}

/// A trigger may drop a row without an error.
fn every_row(stored: usize, wanted: usize) -> Result<()> {
    if stored == wanted {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Constraint, "a trigger of the target drops rows that are inserted"))
}

/// NULL where a column takes none: an INTEGER PRIMARY KEY would number the row by itself.
pub(super) fn refuse_nulls(batch: &RecordBatch, before: u64) -> Result<()> {
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
