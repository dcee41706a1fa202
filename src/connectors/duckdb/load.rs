//! The rows of one attempt on their way into the stage: one transaction on one connection, through the bulk path.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, DictionaryArray, Int8Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int8Type, Schema, SchemaRef};

use super::catalog::Name;
use super::database::Connection;
use super::encode::{encode, field};
use super::stage::{self, ATTEMPT, Detail};
use super::typemap::Kind;
use crate::attempt::Token;
use crate::bridge::adbc::Interrupt;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::exchange::{self, Misfit, Sent};
use crate::reject::{Refusal, Refusals};

/// One attempt.
pub(super) struct Load {
    connection: Connection,
    stage: Name,
    kinds: Vec<Kind>,
    /// The columns as DuckDB is given them, with the id of the attempt.
    schema: SchemaRef,
    table: String,
    attempt: String,
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
    pub(super) fn begin(mut connection: Connection, detail: &Detail, token: &Token, attempt: String) -> Result<Self> {
        let stage = detail.stage(token);
        if !stage::exists(&mut connection, &stage)? {
            return Err(Error::new(ErrorKind::Internal, "the stage of this run is not there"));
        }
        let kinds = detail.kinds()?;
        let mut fields: Vec<Field> = kinds.iter().zip(&detail.columns).map(|(kind, name)| field(kind, name)).collect();
        let words = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        fields.push(Field::new(ATTEMPT, words, true));
        connection.execute("BEGIN TRANSACTION")?;
        Ok(Self {
            connection,
            stage,
            kinds,
            schema: Arc::new(Schema::new(fields)),
            table: detail.name().shown(),
            attempt,
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
        let (batch, refused) = exchange::fitting(batch, before, self.refusals, |batch| self.encoded(batch))?;
        if batch.num_rows() > 0 {
            let rows = batch.num_rows() as u64;
            self.connection.fill(&self.stage, (Arc::clone(&self.schema), vec![batch]))?;
            self.rows += rows;
        }
        Ok(refused)
    }

    /// The columns as DuckDB takes them; else the first value that it would not keep, and its column.
    fn encoded(&self, batch: &RecordBatch) -> Sent {
        let mut columns = Vec::with_capacity(self.kinds.len() + 1);
        for ((kind, array), field) in self.kinds.iter().zip(batch.columns()).zip(batch.schema_ref().fields()) {
            let named = |misfit| (misfit, field.name().clone());
            if let Some(row) = null_of(field, array) {
                return Err(named(Misfit { row, why: "the column takes no NULL".to_owned() }));
            }
            columns.push(encode(kind, array).map_err(named)?);
        }
        let words = Arc::new(StringArray::from(vec![self.attempt.as_str()]));
        let same = Int8Array::from(vec![0; batch.num_rows()]);
        let attempt: ArrayRef = Arc::new(DictionaryArray::<Int8Type>::new(same, words));
        columns.push(attempt);
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| (Misfit { row: 0, why: format!("the columns are not as agreed: {error}") }, String::new()))
    }

    /// Commits, and says how many rows the attempt has.
    pub(super) fn end(&mut self) -> Result<u64> {
        self.still_open()?;
        self.state = State::Failed;
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

fn null_of(field: &Field, array: &ArrayRef) -> Option<usize> {
    if field.is_nullable() || array.null_count() == 0 {
        return None;
    }
    (0..array.len()).find(|row| array.is_null(*row))
}
