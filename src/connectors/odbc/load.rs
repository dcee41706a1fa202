//! One connection that fills a table by inserts with arrays of parameters.

use std::time::Duration;

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, SchemaRef};

use super::catalog;
use super::config::Config;
use super::database::Connection;
use super::typemap::misfit;
use crate::driven::agree::{Before, Terms, Transactions};
use crate::driven::load::Filler;
use crate::error::{Error, ErrorKind, Result};

/// Bytes and rows that go to the driver at once, as arrays of parameters.
const BLOCK_BYTES: usize = 8 << 20;
const BLOCK_ROWS: usize = 1000;
/// Bytes of a value of fixed size, with its length.
const FIXED_BYTES: usize = 64;

/// The connection of one run.
pub(super) struct Load {
    connection: Connection,
    terms: Terms,
    insert: String,
    /// Rows that were there before; none where nobody needs to know.
    there: Option<u64>,
    /// Whether this run made the table.
    made: bool,
}

impl Load {
    /// Connects, to fill the table of `terms` with rows of `schema`.
    pub(super) fn connect(config: &Config, terms: &Terms, schema: &SchemaRef) -> Result<Self> {
        let connection = Connection::open(config)?;
        let quote = connection.quote();
        let names: Vec<String> = schema.fields().iter().map(|field| quote.around(field.name())).collect();
        let places = vec!["?"; names.len()].join(", ");
        let insert = format!("INSERT INTO {} ({}) VALUES ({places})", terms.name.quoted(quote), names.join(", "));
        Ok(Self { connection, terms: terms.clone(), insert, there: None, made: false })
    }

    /// Whether the table that this run made survived the end of its transaction: some databases commit what makes tables.
    fn is_still_there(&self) -> Result<bool> {
        let there = catalog::columns(&self.connection, &self.terms.name)?.is_some();
        if self.terms.transactions == Transactions::Had {
            // A name that is not known may have ended this one as well.
            self.connection.rollback()?;
        }
        Ok(there)
    }

    /// Drops the table that this run made, where it outlived the transaction and nobody else has filled it.
    fn drop_table(&self) -> Result<()> {
        if self.is_still_there()? && !catalog::is_filled(&self.connection, &self.terms.name)? {
            let table = self.terms.name.quoted(self.connection.quote());
            self.connection.execute(&format!("DROP TABLE {table}"))?;
            self.connection.commit()?;
        }
        Ok(())
    }
}

impl Filler for Load {
    const PATIENCE: Duration = Duration::ZERO;

    fn stop(&self) -> Box<dyn Fn() + Send + Sync> {
        Box::new(|| {})
    }

    fn begin(&mut self) -> Result<()> {
        self.connection.begin()
    }

    fn make(&mut self) -> Result<()> {
        let there = self.made && self.is_still_there()?;
        if !there {
            self.connection.execute(&self.terms.first)?;
            self.made = true;
        }
        Ok(())
    }

    fn empty(&mut self) -> Result<()> {
        self.connection.execute(&self.terms.first)
    }

    fn keep(&mut self) -> Result<()> {
        if !self.connection.product().fails_whole_blocks() {
            self.there = self.count()?;
        }
        Ok(())
    }

    fn is_filled(&mut self) -> Result<bool> {
        catalog::is_filled(&self.connection, &self.terms.name)
    }

    fn count(&mut self) -> Result<Option<u64>> {
        catalog::count(&self.connection, &self.terms.name)
    }

    fn misfit(&self, batch: &RecordBatch) -> Option<(usize, FieldRef, &'static str)> {
        misfit(self.connection.product(), batch)
    }

    fn fill(&mut self, batches: Vec<RecordBatch>) -> Result<()> {
        batches.iter().try_for_each(|batch| self.connection.write(&self.insert, batch, block_rows(batch)))
    }

    /// A driver may tell of rows that failed within a block by a mere warning.
    fn check(&mut self, rows: u64) -> Result<()> {
        if self.connection.product().fails_whole_blocks() {
            return Ok(());
        }
        let before = if self.terms.before == Before::Keep { self.there } else { Some(0) };
        let (Some(before), Some(now)) = (before, self.count()?) else { return Ok(()) };
        // Others may have added rows.
        if now >= before + rows {
            return Ok(());
        }
        let message = format!("the driver took {rows} rows, and only {} are there", now.saturating_sub(before));
        Err(Error::new(ErrorKind::Mismatch, message).with_hint("some of them do not fit the table: none were kept"))
    }

    fn commit(&mut self) -> Result<()> {
        self.connection.commit()
    }

    fn rollback(&mut self) -> Result<()> {
        self.connection.rollback()
    }

    fn abort(&mut self) -> Result<()> {
        // Where this fails the end of the connection does it.
        if self.connection.rollback().is_ok() && self.made {
            self.drop_table()?;
        }
        Ok(())
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
