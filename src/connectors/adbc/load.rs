//! The rows of one run on their way into the target: one connection, and one transaction where the driver has them.
//!
//! A transaction has no parts that could be taken back. So an attempt that was lost is undone with all of it, which then begins
//! anew; where another task is in it already, or nothing can be undone, there is no second attempt.

use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::agree::{Before, Detail, Transactions, has_rows};
use super::catalog;
use super::config::{Config, Quote};
use super::database::Connection;
use super::driver::Product;
use super::typemap::misfit;
use crate::bridge::adbc::{Fill, Interrupt};
use crate::error::{Error, ErrorKind, Result};
use crate::proof::Verdict;
use crate::schema::batch_bytes;

/// How long to wait for a database that somebody else writes.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// One run.
pub(super) struct Load {
    connection: Connection,
    detail: Detail,
    schema: SchemaRef,
    /// The attempt that writes: its id, its task, and what it wrote.
    open: Option<Open>,
    /// Attempts that are complete, with their tasks.
    flushed: Vec<(String, u32)>,
    pending: Vec<RecordBatch>,
    pending_bytes: u64,
    /// Rows that the driver took since the transaction began.
    taken: u64,
    state: State,
}

struct Open {
    id: String,
    task: u32,
    rows: u64,
    /// Whether the driver has some of them.
    sent: bool,
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
    pub(super) fn begin(config: &Config, detail: &Detail, schema: &SchemaRef) -> Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Self::try_begin(config, detail, schema) {
                Err(error) if error.kind() == ErrorKind::Transient && Instant::now() < deadline => {
                    std::thread::sleep(PAUSE);
                }
                begun => return begun,
            }
        }
    }

    fn try_begin(config: &Config, detail: &Detail, schema: &SchemaRef) -> Result<Self> {
        let mut connection = Connection::open(config)?;
        if detail.transactions == Transactions::Had {
            connection.begin()?;
        }
        let mut load = Self {
            connection,
            detail: detail.clone(),
            schema: SchemaRef::clone(schema),
            open: None,
            flushed: Vec::new(),
            pending: Vec::new(),
            pending_bytes: 0,
            taken: 0,
            state: State::Open,
        };
        load.first().map_err(|error| load.placed(error))?;
        Ok(load)
    }

    /// What comes before the rows.
    fn first(&mut self) -> Result<()> {
        match self.detail.before {
            Before::Make => {
                let rows = (SchemaRef::clone(&self.schema), Vec::new());
                self.connection.fill(&self.detail.name.place(), Fill::Create, rows)
            }
            Before::Refuse => {
                let filled = catalog::is_filled(&mut self.connection, &self.detail.name)?;
                if filled { Err(has_rows(&self.detail.name)) } else { Ok(()) }
            }
            Before::Keep => Ok(()),
            Before::Empty => {
                let table = self.detail.name.quoted(self.connection.config().quote);
                self.connection.execute(&format!("DELETE FROM {table}"))
            }
        }
    }

    pub(super) fn interrupt(&self) -> Interrupt {
        self.connection.interrupt()
    }

    /// Makes room for the attempt `id` of `task`.
    pub(super) fn open(&mut self, id: &str, task: u32) -> Result<()> {
        if self.flushed.iter().any(|(_, known)| *known == task) {
            return Err(self.placed(no_second("its rows are in the target's transaction already")));
        }
        if self.state == State::Failed || self.open.as_ref().is_some_and(|lost| lost.sent) {
            self.undo()?;
        }
        (self.pending, self.pending_bytes) = (Vec::new(), 0);
        self.open = Some(Open { id: id.to_owned(), task, rows: 0, sent: false });
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

    /// Takes a batch of the attempt `id`. Several go to the driver at once.
    pub(super) fn write(&mut self, id: &str, batch: RecordBatch) -> Result<()> {
        self.still(id)?;
        let product = self.connection.config().product;
        let before = self.open.as_ref().map_or(0, |open| open.rows);
        if let Some((row, column, why)) = misfit(product, &batch) {
            return Err(self.placed(
                Error::new(ErrorKind::Value, why).at("column", column.name()).at("row", before + row as u64 + 1),
            ));
        }
        if let Some(open) = &mut self.open {
            open.rows += batch.num_rows() as u64;
        }
        self.pending_bytes += batch_bytes(&batch) as u64;
        self.pending.push(batch);
        if self.pending_bytes >= self.detail.memory_bytes { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<()> {
        let batches = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let rows: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        if rows == 0 {
            return Ok(());
        }
        self.state = State::Failed;
        let is_first = self.taken == 0 && self.detail.transactions == Transactions::Had;
        // Noted before: a load that fails may have left some of them where nothing takes them back.
        self.taken += rows;
        if let Some(open) = &mut self.open {
            open.sent = true;
        }
        let deadline = Instant::now() + PATIENCE;
        let mut filled = self.fill(batches.clone());
        // The first rows meet whoever else writes. Nothing is lost by beginning anew.
        while is_first && is_transient(&filled) && Instant::now() < deadline {
            std::thread::sleep(PAUSE);
            filled = self.connection.rollback().and_then(|()| self.first()).and_then(|()| self.fill(batches.clone()));
        }
        filled.map_err(|error| self.placed(error))?;
        self.state = State::Open;
        Ok(())
    }

    fn fill(&mut self, batches: Vec<RecordBatch>) -> Result<()> {
        let rows = (SchemaRef::clone(&self.schema), batches);
        self.connection.fill(&self.detail.name.place(), Fill::Append, rows)
    }

    /// Ends the attempt `id`, and says how many rows it has.
    pub(super) fn flush(&mut self, id: &str) -> Result<u64> {
        self.still(id)?;
        self.send()?;
        let open = self.open.take().ok_or_else(over)?;
        self.flushed.push((open.id, open.task));
        Ok(open.rows)
    }

    /// Compares the rows of the target with `sent`, where none were there before.
    pub(super) fn verify(&mut self, sent: u64) -> Result<Verdict> {
        if self.detail.before == Before::Keep {
            return Ok(Verdict::Unknown);
        }
        Ok(match catalog::count(&mut self.connection, &self.detail.name)? {
            Some(rows) if rows == sent => Verdict::Equal,
            Some(rows) => Verdict::Unequal(format!("the target has {rows} rows, and {sent} were sent")),
            None => Verdict::Unknown,
        })
    }

    /// Commits, if what is there are exactly the `attempts`.
    pub(super) fn commit(&mut self, attempts: &[String]) -> Result<()> {
        let alone = self.open.as_ref().is_none_or(|open| !open.sent);
        let same = attempts.len() == self.flushed.len()
            && self.flushed.iter().all(|(id, _)| attempts.iter().any(|wanted| wanted == id));
        if self.state != State::Open || !same || !alone {
            let message = "what is in the transaction of this run are not the rows of its tasks";
            return Err(self.placed(Error::new(ErrorKind::Internal, message)));
        }
        if self.detail.transactions == Transactions::Had {
            self.state = State::Failed;
            let deadline = Instant::now() + PATIENCE;
            let mut committed = self.connection.commit();
            // A file that somebody reads: the transaction stays open until they have done.
            let waits = self.connection.config().product == Product::Sqlite;
            while waits && is_transient(&committed) && Instant::now() < deadline {
                std::thread::sleep(PAUSE);
                committed = self.connection.commit();
            }
            committed?;
        }
        self.state = State::Done;
        Ok(())
    }

    /// Takes back what was written, as far as that can be done.
    pub(super) fn abort(&mut self) -> Result<()> {
        match self.detail.transactions {
            Transactions::Had if self.state != State::Done => {
                self.state = State::Done;
                // Where this fails the end of the connection does it.
                let _ = self.connection.rollback();
                Ok(())
            }
            Transactions::Missing if self.state != State::Done && self.taken > 0 => {
                self.state = State::Done;
                let message = "the driver has no transactions: rows of this copy stay in the target";
                Err(self.placed(Error::new(ErrorKind::Unsupported, message)))
            }
            _ => Ok(()),
        }
    }

    fn still(&self, id: &str) -> Result<()> {
        let writes = self.open.as_ref().is_some_and(|open| open.id == id);
        if writes && self.state == State::Open { Ok(()) } else { Err(over()) }
    }

    fn placed(&self, error: Error) -> Error {
        error.at("table", self.detail.name.quoted(Quote::Double))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if self.state != State::Done && self.detail.transactions == Transactions::Had {
            // Closing the connection does it, too; not all drivers say so.
            let _ = self.connection.rollback();
        }
    }
}

fn is_transient(done: &Result<()>) -> bool {
    done.as_ref().is_err_and(|error| error.kind() == ErrorKind::Transient)
}

fn over() -> Error {
    Error::new(ErrorKind::Internal, "this attempt is over")
}

fn no_second(why: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("a task cannot be begun anew: {why}")).with_hint("run the copy again")
}
