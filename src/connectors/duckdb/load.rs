//! The rows of one attempt on their way into the stage: one transaction on one connection, through the bulk path.
//!
//! DuckDB writes a group of rows to the file while the transaction is open once it is whole, by all connections at once. Groups
//! that are not whole it puts together with their neighbours later, and writes these anew: so the last rows of an attempt wait
//! beside a stage that becomes the table, and rows that may be the last ones are held until half a group of them is there.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, DictionaryArray, Int8Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int8Type, Schema, SchemaRef};

use super::catalog::Name;
use super::database::Connection;
use super::encode::{encode, field};
use super::form::Form;
use super::memory::COLUMN_BYTES;
use super::read::GROUP_ROWS;
use super::stage::{self, ATTEMPT, Detail};
use super::typemap::Kind;
use crate::attempt::Attempt;
use crate::bridge::adbc::Interrupt;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::exchange::{self, Misfit, Sent};
use crate::reject::{Refusal, Refusals};
use crate::schema::batch_bytes;

/// Rows of a group that are held where they may be the last: groups of more than half are seldom put together.
const FIRST_ROWS: u64 = GROUP_ROWS / 2;
/// Rows that are sent at once else. The first of a group let DuckDB write the one before.
const NEXT_ROWS: u64 = GROUP_ROWS / 15;
/// Rows of one statement, about: DuckDB copies all of them before it adds any to the group.
const FILL_ROWS: usize = 8192;
/// Rows of one batch, at most. For those of a column that it casts DuckDB has room for so many, and goes on writing behind it.
const VECTOR_ROWS: usize = 2048;
/// Fewer are sent at once where they have so many bytes.
const SENT_BYTES: u64 = 32 << 20;

/// One attempt.
pub(super) struct Load {
    connection: Connection,
    stage: Name,
    /// Where the last rows go that would leave a group less than half filled behind whole ones.
    rest: Option<Name>,
    kinds: Vec<Kind>,
    /// The columns as DuckDB is given them, with the id of the attempt.
    schema: SchemaRef,
    table: String,
    attempt: String,
    /// Rows that the attempt will have, as far as that is known.
    expected: u64,
    /// Rows that wait to be sent.
    held: Vec<RecordBatch>,
    held_rows: u64,
    held_bytes: u64,
    most_bytes: u64,
    /// Rows that are in the stage.
    sent_rows: u64,
    /// Rows of the attempt.
    rows: u64,
    refusals: Refusals,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// A statement failed: a COMMIT would say nothing and do nothing.
    Failed,
    Done,
}

impl Load {
    /// Begins the transaction of `attempt`.
    pub(super) fn begin(mut connection: Connection, detail: &Detail, attempt: Attempt) -> Result<Self> {
        let stage = detail.stage(&attempt.token);
        if !stage::exists(&mut connection, &stage)? {
            return Err(Error::new(ErrorKind::Internal, "the stage of this run is not there"));
        }
        let kinds = detail.kinds()?;
        let fields = kinds.iter().zip(&detail.columns).map(|(kind, name)| field(kind, stage::waits_as(name)));
        let mut fields: Vec<Field> = fields.collect();
        let words = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        fields.push(Field::new(ATTEMPT, words, true));
        connection.execute("BEGIN TRANSACTION")?;
        connection.needs(fields.len() as u64 * COLUMN_BYTES);
        Ok(Self {
            connection,
            stage,
            rest: detail.rest(&attempt.token),
            kinds,
            schema: Arc::new(Schema::new(fields)),
            table: detail.name().shown(),
            attempt: attempt.id,
            expected: attempt.rows.unwrap_or(0),
            held: Vec::new(),
            held_rows: 0,
            held_bytes: 0,
            most_bytes: detail.memory_bytes.min(SENT_BYTES),
            sent_rows: 0,
            rows: 0,
            refusals: detail.refusals,
            state: State::Open,
        })
    }

    pub(super) fn interrupt(&self) -> Interrupt {
        self.connection.interrupt()
    }

    /// Adds the rows of `batch`, before which the attempt had `before`. Those that are refused come back, where they are left out.
    pub(super) fn add(&mut self, batch: &RecordBatch, before: u64) -> Result<Vec<Refusal>> {
        self.still_open()?;
        let added = self.try_add(batch, before);
        if added.is_err() {
            self.state = State::Failed;
        }
        added.map_err(|error| error.at("table", &self.table))
    }

    fn try_add(&mut self, batch: &RecordBatch, before: u64) -> Result<Vec<Refusal>> {
        let (mut batch, refused) = exchange::fitting(batch, before, self.refusals, |batch| self.encoded(batch))?;
        self.rows += batch.num_rows() as u64;
        loop {
            let rows = self.sent_rows + self.held_rows;
            let room = room(rows, self.rest.as_ref().map(|_| self.expected)) as usize;
            if batch.num_rows() < room {
                break;
            }
            self.hold(batch.slice(0, room));
            batch = batch.slice(room, batch.num_rows() - room);
            self.send_to_stage()?;
        }
        if batch.num_rows() > 0 {
            self.hold(batch);
        }
        if self.held_bytes >= self.most_bytes {
            self.send_to_stage()?;
        }
        Ok(refused)
    }

    fn hold(&mut self, batch: RecordBatch) {
        self.held_rows += batch.num_rows() as u64;
        self.held_bytes += batch_bytes(&batch) as u64;
        self.held.push(batch);
    }

    fn send_to_stage(&mut self) -> Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.sent_rows += self.held_rows;
        let stage = self.stage.clone();
        self.send(&stage)
    }

    /// Sends what is held: beside the stage where it comes after whole groups.
    fn send_rest(&mut self) -> Result<()> {
        let after_whole = self.sent_rows > 0 && self.sent_rows.is_multiple_of(GROUP_ROWS);
        // What is brought from there by one transaction, and is less than a group, DuckDB holds in memory.
        let is_wide = self.held_bytes * FIRST_ROWS > self.held_rows * SENT_BYTES;
        match self.rest.clone() {
            Some(rest) if after_whole && !is_wide && !self.held.is_empty() => self.send(&rest),
            _ => self.send_to_stage(),
        }
    }

    fn send(&mut self, table: &Name) -> Result<()> {
        let group_bytes = (self.held_bytes / self.held_rows.max(1)).saturating_mul(GROUP_ROWS);
        let columns_bytes = self.schema.flattened_fields().len() as u64 * COLUMN_BYTES;
        // DuckDB's own form of rows that are not compressed yet takes more than Arrow's.
        self.connection.needs(group_bytes.saturating_add(group_bytes / 4).saturating_add(columns_bytes));
        (self.held_rows, self.held_bytes) = (0, 0);
        let (mut batches, mut rows) = (Vec::new(), 0);
        for batch in std::mem::take(&mut self.held).into_iter().flat_map(vectors) {
            rows += batch.num_rows();
            batches.push(batch);
            if rows >= FILL_ROWS {
                self.connection.fill(table, (Arc::clone(&self.schema), std::mem::take(&mut batches)))?;
                rows = 0;
            }
        }
        if !batches.is_empty() {
            self.connection.fill(table, (Arc::clone(&self.schema), batches))?;
        }
        // Where there was no memory for the rows, the bulk path says that all are there. The transaction knows better.
        self.connection.number("SELECT 1::BIGINT").map(drop)
    }

    /// The columns as DuckDB takes them; else the first value that it would not keep, and its column.
    fn encoded(&self, batch: &RecordBatch) -> Sent {
        let mut columns = Vec::with_capacity(self.kinds.len() + 1);
        for ((kind, array), field) in self.kinds.iter().zip(batch.columns()).zip(batch.schema_ref().fields()) {
            let named = |misfit| (misfit, field.name().clone());
            if let Some(row) = null_of(field, array) {
                return Err(named(Misfit::of_value(row, "the column takes no NULL")));
            }
            columns.push(encode(kind, Form::of(field), array).map_err(named)?);
        }
        let words = Arc::new(StringArray::from(vec![self.attempt.as_str()]));
        let same = Int8Array::from(vec![0; batch.num_rows()]);
        let attempt: ArrayRef = Arc::new(DictionaryArray::<Int8Type>::new(same, words));
        columns.push(attempt);
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| (Misfit::of_column(format!("the columns are not as agreed: {error}")), String::new()))
    }

    /// Commits, and says how many rows the attempt has.
    pub(super) fn end(&mut self) -> Result<u64> {
        self.still_open()?;
        self.state = State::Failed;
        self.send_rest().map_err(|error| error.at("table", &self.table))?;
        let database = Arc::clone(self.connection.database());
        // A commit or abort of the run that comes first takes the stage away: then there is nothing to add to.
        let _held = database.hold_commits();
        let mut look = database.connect()?;
        if !stage::exists(&mut look, &self.stage)? {
            let message = "the run of these rows is over: they came too late";
            return Err(Error::new(ErrorKind::Internal, message).at("table", &self.table));
        }
        self.connection.execute("COMMIT")?;
        self.state = State::Done;
        Ok(self.rows)
    }

    fn still_open(&self) -> Result<()> {
        match self.state {
            State::Open => Ok(()),
            State::Failed => Err(Error::new(ErrorKind::Internal, "an earlier statement of this attempt has failed")),
            State::Done => Err(Error::new(ErrorKind::Internal, "this attempt is over")),
        }
    }
}

/// How many rows are sent next where the attempt has `rows`, those included that are held. Of one whose last rows may wait beside the
/// stage it is known how many are `expected`.
fn room(rows: u64, expected: Option<u64>) -> u64 {
    let in_group = rows % GROUP_ROWS;
    let begun = rows - in_group;
    let may_be_last = begun > 0 && expected.is_some_and(|expected| expected < begun + FIRST_ROWS);
    if may_be_last && in_group < FIRST_ROWS { FIRST_ROWS - in_group } else { NEXT_ROWS - in_group % NEXT_ROWS }
}

/// `batch` in pieces that are not too long for DuckDB.
fn vectors(batch: RecordBatch) -> impl Iterator<Item = RecordBatch> {
    let starts = (0..batch.num_rows()).step_by(VECTOR_ROWS);
    starts.map(move |start| batch.slice(start, VECTOR_ROWS.min(batch.num_rows() - start)))
}

fn null_of(field: &Field, array: &ArrayRef) -> Option<usize> {
    if field.is_nullable() || array.null_count() == 0 {
        return None;
    }
    (0..array.len()).find(|row| array.is_null(*row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sent_by_small_parts_but_for_those_that_may_be_the_last_behind_whole_groups() {
        let (group, half) = (GROUP_ROWS, GROUP_ROWS / 2);
        let rows = [0, 1, half, half + 4096, group - 1, group, group + 1, group + half];
        let small = [8192, 8191, 4096, 8192, 1, 8192, 8191, 4096];
        // No rows wait beside the stage; more are expected; nothing is known.
        assert_eq!(rows.map(|rows| room(rows, None)), small);
        assert_eq!(rows.map(|rows| room(rows, Some(group + half))), small);
        assert_eq!(rows.map(|rows| room(rows, Some(0))), [8192, 8191, 4096, 8192, 1, half, half - 1, 4096]);
    }

    #[test]
    fn a_batch_is_cut_to_what_is_cast_at_once() {
        let batch = RecordBatch::try_from_iter([("a", Arc::new(Int8Array::from(vec![0; 5000])) as ArrayRef)]).unwrap();
        let rows: Vec<usize> = vectors(batch).map(|piece| piece.num_rows()).collect();
        assert_eq!(rows, [2048, 2048, 904]);
    }
}
