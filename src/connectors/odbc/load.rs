//! The rows of one run on their way into the target: one connection, and one transaction where the driver has them.
//!
//! A transaction has no parts that could be taken back. So an attempt that was lost is undone with all of it, which then begins
//! anew; where another task is in it already, or nothing can be undone, there is no second attempt.

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};

use super::agree::{Before, Detail, Transactions, has_rows};
use super::catalog;
use super::config::Config;
use super::database::Connection;
use super::typemap::misfit;
use crate::error::{Error, ErrorKind, Result};
use crate::proof::Verdict;

/// Bytes and rows that go to the driver at once, as arrays of parameters.
const BLOCK_BYTES: usize = 8 << 20;
const BLOCK_ROWS: usize = 1000;
/// Bytes of a value of fixed size, with its length.
const FIXED_BYTES: usize = 64;

/// One run.
pub(super) struct Load {
    connection: Connection,
    detail: Detail,
    insert: String,
    /// The attempt that writes: its id, its task, and what it wrote.
    open: Option<Open>,
    /// Attempts that are complete, with their tasks.
    flushed: Vec<(String, u32)>,
    /// Rows that the driver took since the transaction began.
    taken: u64,
    /// Rows that were there before; none where nobody needs to know.
    there: Option<u64>,
    /// Whether this run made the table.
    made: bool,
    state: State,
}

struct Open {
    id: String,
    task: u32,
    rows: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// A statement failed: what is in the transaction is not known.
    Failed,
    Done,
}

impl Load {
    /// Opens a connection, begins, and makes or empties the table as `detail` has it.
    pub(super) fn begin(config: &Config, detail: Detail, schema: &SchemaRef) -> Result<Self> {
        let connection = Connection::open(config)?;
        if detail.transactions == Transactions::Had {
            connection.begin()?;
        }
        let quote = connection.quote();
        let names: Vec<String> = schema.fields().iter().map(|field| catalog::quoted(field.name(), quote)).collect();
        let places = vec!["?"; names.len()].join(", ");
        let insert = format!("INSERT INTO {} ({}) VALUES ({places})", detail.name.quoted(quote), names.join(", "));
        let mut load = Self {
            connection,
            detail,
            insert,
            open: None,
            flushed: Vec::new(),
            taken: 0,
            there: None,
            made: false,
            state: State::Open,
        };
        load.first().map_err(|error| load.placed(error))?;
        Ok(load)
    }

    /// What comes before the rows.
    fn first(&mut self) -> Result<()> {
        match self.detail.before {
            Before::Make => {
                let there = self.made && self.is_still_there()?;
                if !there {
                    self.connection.execute(&self.detail.first)?;
                    self.made = true;
                }
            }
            Before::Refuse => {
                if catalog::is_filled(&self.connection, &self.detail.name)? {
                    return Err(has_rows(&self.detail.name));
                }
            }
            Before::Keep if self.connection.product().fails_whole_blocks() => {}
            Before::Keep => self.there = catalog::count(&self.connection, &self.detail.name)?,
            Before::Empty => self.connection.execute(&self.detail.first)?,
        }
        Ok(())
    }

    /// Whether the table that this run made survived the end of its transaction: some databases commit what makes tables.
    fn is_still_there(&self) -> Result<bool> {
        let there = catalog::columns(&self.connection, &self.detail.name)?.is_some();
        if self.detail.transactions == Transactions::Had {
            // A name that is not known may have ended this one as well.
            self.connection.rollback()?;
        }
        Ok(there)
    }

    /// Makes room for the attempt `id` of `task`.
    pub(super) fn open(&mut self, id: &str, task: u32) -> Result<()> {
        if self.flushed.iter().any(|(_, known)| *known == task) {
            return Err(self.placed(no_second("its rows are in the target's transaction already")));
        }
        if self.state == State::Failed || self.open.as_ref().is_some_and(|lost| lost.rows > 0) {
            self.undo()?;
        }
        self.open = Some(Open { id: id.to_owned(), task, rows: 0 });
        Ok(())
    }

    /// Begins anew without the rows of the attempt that was lost.
    fn undo(&mut self) -> Result<()> {
        if self.detail.transactions == Transactions::Missing {
            return Err(self.placed(no_second("the driver has no transaction that would take back what it wrote")));
        }
        if !self.flushed.is_empty() {
            return Err(self.placed(no_second("it is in one transaction with other tasks")));
        }
        self.connection.rollback()?;
        self.taken = 0;
        self.state = State::Open;
        self.first().map_err(|error| self.placed(error))
    }

    /// Takes a batch of the attempt `id`.
    pub(super) fn write(&mut self, id: &str, batch: &RecordBatch) -> Result<()> {
        self.still(id)?;
        let before = self.open.as_ref().map_or(0, |open| open.rows);
        if let Some((row, column, why)) = misfit(self.connection.product(), batch) {
            let error = Error::new(ErrorKind::Value, why).at("column", column.name());
            return Err(self.placed(error.at("row", before + row as u64 + 1)));
        }
        let rows = batch.num_rows() as u64;
        if rows == 0 {
            return Ok(());
        }
        // Noted before: what fails may have left some of them where nothing takes them back.
        self.state = State::Failed;
        self.taken += rows;
        if let Some(open) = &mut self.open {
            open.rows += rows;
        }
        let written = self.connection.write(&self.insert, batch, block_rows(batch));
        written.map_err(|error| self.placed(error))?;
        self.state = State::Open;
        Ok(())
    }

    /// Ends the attempt `id`, and says how many rows it has.
    pub(super) fn flush(&mut self, id: &str) -> Result<u64> {
        self.still(id)?;
        let open = self.open.take().ok_or_else(over)?;
        self.flushed.push((open.id, open.task));
        Ok(open.rows)
    }

    /// Compares the rows of the target with `sent`, where none were there before.
    pub(super) fn verify(&mut self, sent: u64) -> Result<Verdict> {
        if self.detail.before == Before::Keep {
            return Ok(Verdict::Unknown);
        }
        Ok(match catalog::count(&self.connection, &self.detail.name)? {
            Some(rows) if rows == sent => Verdict::Equal,
            Some(rows) => Verdict::Unequal(format!("the target has {rows} rows, and {sent} were sent")),
            None => Verdict::Unknown,
        })
    }

    /// A driver may tell of rows that failed within a block by a mere warning: whether all of them are there.
    fn count(&self) -> Result<()> {
        let before = if self.detail.before == Before::Keep { self.there } else { Some(0) };
        let now = catalog::count(&self.connection, &self.detail.name)?;
        let (Some(before), Some(now)) = (before, now) else { return Ok(()) };
        // Others may have added rows.
        if now >= before + self.taken {
            return Ok(());
        }
        let message = format!("the driver took {} rows, and only {} are there", self.taken, now.saturating_sub(before));
        Err(Error::new(ErrorKind::Mismatch, message).with_hint("some of them do not fit the table: none were kept"))
    }

    /// Commits, if what is there are exactly the `attempts`.
    pub(super) fn commit(&mut self, attempts: &[String]) -> Result<()> {
        let alone = self.open.as_ref().is_none_or(|open| open.rows == 0);
        let same = attempts.len() == self.flushed.len()
            && self.flushed.iter().all(|(id, _)| attempts.iter().any(|wanted| wanted == id));
        if self.state != State::Open || !same || !alone {
            let message = "what is in the transaction of this run are not the rows of its tasks";
            return Err(self.placed(Error::new(ErrorKind::Internal, message)));
        }
        if !self.connection.product().fails_whole_blocks() {
            self.count().map_err(|error| self.placed(error))?;
        }
        if self.detail.transactions == Transactions::Had {
            self.state = State::Failed;
            self.connection.commit()?;
        }
        self.state = State::Done;
        Ok(())
    }

    /// Takes back what was written, as far as that can be done.
    pub(super) fn abort(&mut self) -> Result<()> {
        if self.state == State::Done {
            return Ok(());
        }
        self.state = State::Done;
        if self.detail.transactions == Transactions::Missing {
            if self.taken == 0 {
                return Ok(());
            }
            let message = "the driver has no transactions: rows of this copy stay in the target";
            return Err(self.placed(Error::new(ErrorKind::Unsupported, message)));
        }
        // Where this fails the end of the connection does it.
        if self.connection.rollback().is_ok() && self.made {
            self.drop_table().map_err(|error| self.placed(error))?;
        }
        Ok(())
    }

    /// Drops the table that this run made, where it outlived the transaction and nobody else has filled it.
    fn drop_table(&self) -> Result<()> {
        if self.is_still_there()? && !catalog::is_filled(&self.connection, &self.detail.name)? {
            let table = self.detail.name.quoted(self.connection.quote());
            self.connection.execute(&format!("DROP TABLE {table}"))?;
            self.connection.commit()?;
        }
        Ok(())
    }

    fn still(&self, id: &str) -> Result<()> {
        let writes = self.open.as_ref().is_some_and(|open| open.id == id);
        if writes && self.state == State::Open { Ok(()) } else { Err(over()) }
    }

    fn placed(&self, error: Error) -> Error {
        error.at("table", self.detail.name.shown())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if self.state != State::Done && self.detail.transactions == Transactions::Had {
            // A driver refuses to disconnect within a transaction.
            let _ = self.connection.rollback();
        }
    }
}

/// How many rows of `batch` go at once. Each value of a column gets the room of its longest.
fn block_rows(batch: &RecordBatch) -> usize {
    let row_bytes: usize = batch.columns().iter().map(|array| longest(array).max(FIXED_BYTES)).sum();
    (BLOCK_BYTES / row_bytes.max(1)).clamp(1, BLOCK_ROWS)
}

/// Bytes of the longest value.
fn longest(array: &dyn Array) -> usize {
    let lengths = |offsets: &[i32]| offsets.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0) as usize;
    match array.data_type() {
        DataType::Utf8 => lengths(array.as_string::<i32>().value_offsets()),
        DataType::Binary => lengths(array.as_binary::<i32>().value_offsets()),
        _ => FIXED_BYTES,
    }
}

fn over() -> Error {
    Error::new(ErrorKind::Internal, "this attempt is over")
}

fn no_second(why: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("a task cannot be begun anew: {why}")).with_hint("run the copy again")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn long_values_go_a_few_at_a_time() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let texts = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec!["a", text])) };
        let rows =
            |text: &str| block_rows(&RecordBatch::try_from_iter([("n", numbers.clone()), ("t", texts(text))]).unwrap());
        assert_eq!(rows("b"), BLOCK_ROWS);
        assert_eq!(rows(&"b".repeat(1 << 20)), 7);
        assert_eq!(rows(&"b".repeat(16 << 20)), 1);
    }
}
