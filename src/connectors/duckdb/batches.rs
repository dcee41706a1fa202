//! The batches of one statement, which begins with as little memory as its connection has said.
//!
//! What a row needs shows when it is read: one long text may need more than the thousands of rows before it. Where DuckDB has no
//! memory for what comes next, the statement is run anew with all that the options allow, and passes over what was handed over
//! already. A table gives its rows in their order, and nobody changes it meanwhile: who says that little is enough reads a
//! table of a file that is open to be read.

use arrow::array::RecordBatch;

use super::database::Connection;
use super::error::failed;
use crate::bridge::adbc::Rows;
use crate::error::{Error, ErrorKind, Result};

/// The batches of a statement, in their order.
pub(super) struct Batches<'a> {
    connection: &'a mut Connection,
    sql: &'a str,
    /// None until it runs.
    rows: Option<Rows>,
    /// Rows that were handed over.
    given: u64,
    /// How many of them the statement gives once more.
    again: u64,
}

impl<'a> Batches<'a> {
    pub(super) fn of(connection: &'a mut Connection, sql: &'a str) -> Self {
        Self { connection, sql, rows: None, given: 0, again: 0 }
    }

    /// What the statement gives next.
    fn advance(&mut self) -> Result<Option<RecordBatch>> {
        if self.rows.is_none() {
            self.rows = Some(self.connection.query(self.sql)?);
        }
        match self.rows.as_mut().and_then(Iterator::next) {
            Some(batch) => batch.map(Some).map_err(failed),
            None if self.again > 0 => Err(Error::new(ErrorKind::Internal, "rows that were there are gone")),
            None => Ok(None),
        }
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let batch = match self.advance() {
                Err(error) if error.kind() == ErrorKind::Resource && !self.connection.has_all() => {
                    self.rows = None;
                    self.connection.read_anew_with_all()?;
                    self.again = self.given;
                    continue;
                }
                advanced => advanced?,
            };
            let Some(batch) = batch else { return Ok(None) };
            let (passed, rest) = passed_over(self.again, batch.num_rows());
            self.again -= passed as u64;
            if rest > 0 {
                self.given += rest as u64;
                return Ok(Some(batch.slice(passed, rest)));
            }
        }
    }
}

impl Iterator for Batches<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

/// How many of the first of `rows` are among those that come `again`, and how many are left.
fn passed_over(again: u64, rows: usize) -> (usize, usize) {
    let passed = usize::try_from(again).map_or(rows, |again| again.min(rows));
    (passed, rows - passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_come_again_are_passed_over() {
        let cases = [(0, 5), (3, 5), (5, 5), (9, 5)].map(|(again, rows)| passed_over(again, rows));
        assert_eq!(cases, [(0, 5), (3, 2), (5, 0), (5, 0)]);
    }
}
