//! The rows of one run on their way into the target: one connection, and one transaction where the driver has them.
//!
//! A transaction has no parts that could be taken back. So an attempt that was lost is undone with all of it, which then begins
//! anew; where another task is in it already, or nothing can be undone, there is no second attempt.

use std::fmt;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::FieldRef;

use super::agree::{Before, Terms, Transactions, has_rows};
use crate::error::{Error, ErrorKind, Result};
use crate::proof::Verdict;
use crate::schema::batch_bytes;

/// How long to wait before a database that somebody else writes is tried again.
pub const PAUSE: Duration = Duration::from_millis(20);

/// One connection that fills a table. Its calls block; each comes when the one before has ended.
pub trait Filler: Send + 'static {
    /// How long to try again while somebody else writes the database.
    const PATIENCE: Duration;

    /// What stops the call that runs, from another thread; where nothing does, it does nothing.
    fn stop(&self) -> Box<dyn Fn() + Send + Sync>;

    /// Begins a transaction; when it ends the next one begins.
    fn begin(&mut self) -> Result<()>;

    /// Makes the table.
    fn make(&mut self) -> Result<()>;

    /// Deletes the rows of the table.
    fn empty(&mut self) -> Result<()>;

    /// Looks at the rows of the table, which stay.
    fn keep(&mut self) -> Result<()> {
        Ok(())
    }

    /// Whether the table has rows.
    fn is_filled(&mut self) -> Result<bool>;

    /// How many rows the table has; none where the driver does not tell.
    fn count(&mut self) -> Result<Option<u64>>;

    /// A value that the driver would change without a word: its row within `batch`, its column, and why.
    fn misfit(&self, batch: &RecordBatch) -> Option<(usize, FieldRef, &'static str)>;

    /// Adds rows to the table.
    fn fill(&mut self, batches: Vec<RecordBatch>) -> Result<()>;

    /// Refuses to go on where the driver took `rows` rows and did not keep them all.
    fn check(&mut self, _rows: u64) -> Result<()> {
        Ok(())
    }

    /// Commits.
    fn commit(&mut self) -> Result<()>;

    /// Takes back what the transaction holds.
    fn rollback(&mut self) -> Result<()>;

    /// Takes back all that the run did. What cannot be done now the end of the connection does.
    fn abort(&mut self) -> Result<()> {
        let _ = self.rollback();
        Ok(())
    }
}

/// One run.
pub struct Load<F: Filler> {
    filler: F,
    terms: Terms,
    /// The attempt that writes.
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

impl<F: Filler> fmt::Debug for Load<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load").field("terms", &self.terms).finish_non_exhaustive()
    }
}

impl<F: Filler> Load<F> {
    /// Connects by `connect`, begins, and makes or empties the table as `terms` have it.
    ///
    /// # Errors
    /// Those of the driver; [`AlreadyExists`](ErrorKind::AlreadyExists) for rows that came since the agreement.
    pub fn begin(terms: &Terms, connect: impl Fn() -> Result<F>) -> Result<Self> {
        let deadline = Instant::now() + F::PATIENCE;
        loop {
            match connect().and_then(|filler| Self::try_begin(filler, terms.clone())) {
                Err(error) if error.kind() == ErrorKind::Transient && Instant::now() < deadline => {
                    std::thread::sleep(PAUSE);
                }
                begun => return begun,
            }
        }
    }

    fn try_begin(mut filler: F, terms: Terms) -> Result<Self> {
        if terms.transactions == Transactions::Had {
            filler.begin()?;
        }
        let mut load = Self {
            filler,
            terms,
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
        match self.terms.before {
            Before::Make => self.filler.make(),
            Before::Refuse if self.filler.is_filled()? => Err(has_rows(&self.terms.name)),
            Before::Refuse => Ok(()),
            Before::Keep => self.filler.keep(),
            Before::Empty => self.filler.empty(),
        }
    }

    /// What stops the call that runs, from another thread.
    pub fn stop(&self) -> Box<dyn Fn() + Send + Sync> {
        self.filler.stop()
    }

    /// Makes room for the attempt `id` of `task`.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) where the attempt before cannot be taken back; those of the driver.
    pub fn open(&mut self, id: &str, task: u32) -> Result<()> {
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
        if self.terms.transactions == Transactions::Missing {
            return Err(self.placed(no_second("the driver has no transaction that would take back what it wrote")));
        }
        if !self.flushed.is_empty() {
            return Err(self.placed(no_second("it is in one transaction with other tasks")));
        }
        self.filler.rollback()?;
        self.taken = 0;
        self.state = State::Open;
        self.first().map_err(|error| self.placed(error))
    }

    /// Takes a batch of the attempt `id`. Several go to the driver at once.
    ///
    /// # Errors
    /// [`Value`](ErrorKind::Value) for one that the driver would change; those of the driver.
    pub fn write(&mut self, id: &str, batch: RecordBatch) -> Result<()> {
        self.still(id)?;
        let before = self.open.as_ref().map_or(0, |open| open.rows);
        if let Some((row, column, why)) = self.filler.misfit(&batch) {
            let error = Error::new(ErrorKind::Value, why).at("column", column.name());
            return Err(self.placed(error.at("row", before + row as u64 + 1)));
        }
        if let Some(open) = &mut self.open {
            open.rows += batch.num_rows() as u64;
        }
        self.pending_bytes += batch_bytes(&batch) as u64;
        self.pending.push(batch);
        if self.pending_bytes >= self.terms.memory_bytes { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<()> {
        let batches = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let rows: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        if rows == 0 {
            return Ok(());
        }
        self.state = State::Failed;
        let is_first = self.taken == 0 && self.terms.transactions == Transactions::Had;
        // Noted before: a load that fails may have left some of them where nothing takes them back.
        self.taken += rows;
        if let Some(open) = &mut self.open {
            open.sent = true;
        }
        let deadline = Instant::now() + F::PATIENCE;
        let mut filled = self.filler.fill(batches.clone());
        // The first rows meet whoever else writes. Nothing is lost by beginning anew.
        while is_first && is_transient(&filled) && Instant::now() < deadline {
            std::thread::sleep(PAUSE);
            filled =
                self.filler.rollback().and_then(|()| self.first()).and_then(|()| self.filler.fill(batches.clone()));
        }
        filled.map_err(|error| self.placed(error))?;
        self.state = State::Open;
        Ok(())
    }

    /// Ends the attempt `id`, and says how many rows it has.
    ///
    /// # Errors
    /// Those of the driver.
    pub fn flush(&mut self, id: &str) -> Result<u64> {
        self.still(id)?;
        self.send()?;
        let open = self.open.take().ok_or_else(over)?;
        self.flushed.push((open.id, open.task));
        Ok(open.rows)
    }

    /// Compares the rows of the target with `sent`, where none were there before.
    ///
    /// # Errors
    /// Those of the driver.
    pub fn verify(&mut self, sent: u64) -> Result<Verdict> {
        if self.terms.before == Before::Keep {
            return Ok(Verdict::Unknown);
        }
        Ok(match self.filler.count()? {
            Some(rows) if rows == sent => Verdict::Equal,
            Some(rows) => Verdict::Unequal(format!("the target has {rows} rows, and {sent} were sent")),
            None => Verdict::Unknown,
        })
    }

    /// Commits, if what is there are exactly the `attempts`.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) if not; those of the driver.
    pub fn commit(&mut self, attempts: &[String]) -> Result<()> {
        let alone = self.open.as_ref().is_none_or(|open| !open.sent);
        let same = attempts.len() == self.flushed.len()
            && self.flushed.iter().all(|(id, _)| attempts.iter().any(|wanted| wanted == id));
        if self.state != State::Open || !same || !alone {
            let message = "what is in the transaction of this run are not the rows of its tasks";
            return Err(self.placed(Error::new(ErrorKind::Internal, message)));
        }
        self.filler.check(self.taken).map_err(|error| self.placed(error))?;
        if self.terms.transactions == Transactions::Had {
            self.state = State::Failed;
            self.filler.commit()?;
        }
        self.state = State::Done;
        Ok(())
    }

    /// Takes back what was written, as far as that can be done.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) where rows stay.
    pub fn abort(&mut self) -> Result<()> {
        if self.state == State::Done {
            return Ok(());
        }
        self.state = State::Done;
        if self.terms.transactions == Transactions::Had {
            return self.filler.abort().map_err(|error| self.placed(error));
        }
        if self.taken == 0 {
            return Ok(());
        }
        let message = "the driver has no transactions: rows of this copy stay in the target";
        Err(self.placed(Error::new(ErrorKind::Unsupported, message)))
    }

    fn still(&self, id: &str) -> Result<()> {
        let writes = self.open.as_ref().is_some_and(|open| open.id == id);
        if writes && self.state == State::Open { Ok(()) } else { Err(over()) }
    }

    fn placed(&self, error: Error) -> Error {
        error.at("table", self.terms.name.shown())
    }
}

impl<F: Filler> Drop for Load<F> {
    fn drop(&mut self) {
        if self.state != State::Done && self.terms.transactions == Transactions::Had {
            // Some drivers refuse to disconnect within a transaction, or do not say what becomes of it.
            let _ = self.filler.rollback();
        }
    }
}

/// Whether somebody else was faster, and another try may do.
pub fn is_transient(done: &Result<()>) -> bool {
    done.as_ref().is_err_and(|error| error.kind() == ErrorKind::Transient)
}

fn over() -> Error {
    Error::new(ErrorKind::Internal, "this attempt is over")
}

fn no_second(why: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("a task cannot be begun anew: {why}")).with_hint("run the copy again")
}

#[cfg(test)]
mod tests;
