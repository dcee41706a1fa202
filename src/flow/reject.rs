//! What becomes of rejected rows: they are counted against the limit of the job, and written to a file.
//!
//! A rejects file is a target like others, written by the sink of files. Each attempt of a task has a [`Basket`] with a
//! writer of its own, whose part counts only if the attempt's receipt does: an attempt that is begun anew leaves no reject
//! behind. What waits for that is on the disk, in the hidden stage beside the file; in memory are a few rows, which go there
//! together.

mod rows;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::Schema;
use parking_lot::Mutex;

use crate::attempt::{Attempt, Token};
use crate::bridge::cpu;
use crate::endpoint::Endpoint;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::flow::align::Aligner;
use crate::flow::meter::Meter;
use crate::reject::{Class, Classes, Judged, MaxErrors, Others, Rejects};
use crate::schema::batch_bytes;
use crate::sink::{Agreement, Receipt, Sink, Writer};
use rows::shown;

pub use rows::{Layout, as_records};

/// Rows, and bytes of them, that wait until they are written together: each time the rows that go on are held up.
const WAITING_ROWS: usize = 2000;
const WAITING_BYTES: usize = 1 << 20;

/// Reasons that a run without a rejects file shows.
const SHOWN: usize = 5;

/// The rejects of a run.
#[derive(Debug)]
pub struct RejectLog {
    max_errors: Option<MaxErrors>,
    others: Others,
    /// The source, for rows that name no file.
    source: String,
    file: Option<RejectFile>,
    state: Mutex<State>,
}

/// The file into which they go.
#[derive(Debug)]
pub struct RejectFile {
    /// Where it is.
    pub endpoint: Arc<dyn Endpoint>,
    /// Writes it.
    pub sink: Arc<dyn Sink>,
    /// How rows of `layout` land in it.
    pub agreement: Agreement,
    /// For whom.
    pub token: Token,
    /// Casts to what the sink takes.
    pub aligner: Aligner,
    /// What they are before that.
    pub layout: Layout,
}

#[derive(Default)]
struct State {
    /// Of attempts that count or may still count.
    read: u64,
    rejected: u64,
    classes: Classes,
    /// The limit was exceeded.
    exceeded: bool,
    /// By the attempt of the receipt that they belong to.
    sealed: HashMap<String, Sealed>,
    /// Of attempts that count, by their id: the places of their rows.
    places: HashMap<String, Places>,
    kept: Vec<Receipt>,
    shown: Vec<String>,
}

/// The rejects of an attempt that is complete.
struct Sealed {
    part: Option<Receipt>,
    counts: Counts,
    /// By the attempt at each target.
    places: Vec<(String, Places)>,
}

/// Puts the place of a row in its source before an error. Rows count from 0, in the order in which their attempt wrote them.
pub type Places = Box<dyn Fn(u64, Error) -> Error + Send + Sync>;

impl RejectLog {
    /// A log of rejects of `source`; without a file they are only counted.
    pub fn new(max_errors: Option<MaxErrors>, source: String, file: Option<RejectFile>) -> Self {
        Self { max_errors, others: Others::default(), source, file, state: Mutex::default() }
    }

    /// The same, whose limit is one with that of `others`.
    #[must_use]
    pub fn beside(mut self, others: Others) -> Self {
        self.others = others;
        self
    }

    /// How many rows were rejected.
    pub fn rejected(&self) -> u64 {
        self.state.lock().rejected
    }

    /// How many rows were read.
    pub fn read(&self) -> u64 {
        self.state.lock().read
    }

    /// How many of each class.
    pub fn classes(&self) -> Classes {
        self.state.lock().classes
    }

    /// The name of the file.
    pub fn file(&self) -> Option<&str> {
        self.file.as_ref().map(|file| file.agreement.label.as_str())
    }

    /// The first reasons of a run without a file, each with its place.
    pub fn shown(&self) -> Vec<String> {
        self.state.lock().shown.clone()
    }

    /// Makes the stage of the file.
    pub async fn prepare(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        file.sink.prepare(&file.agreement, &file.token).await.at("rejects file", || &file.agreement.label)
    }

    /// A basket for `attempt`.
    pub fn basket(self: &Arc<Self>, attempt: &Attempt) -> Basket {
        Basket {
            log: Arc::clone(self),
            attempt: attempt.clone(),
            meter: None,
            counts: Mutex::default(),
            outgoing: tokio::sync::Mutex::default(),
        }
    }

    /// The attempt of `receipt` counts, and so do its rejects.
    pub fn accept(&self, receipt: &Receipt) {
        let mut state = self.state.lock();
        if let Some(Sealed { part, counts, places }) = state.sealed.remove(&receipt.attempt) {
            state.kept.extend(part);
            state.shown.extend(counts.shown);
            state.shown.truncate(SHOWN);
            state.places.extend(places);
        }
    }

    /// The attempt of `receipt` does not count after all: neither do its rejects.
    pub fn forget(&self, receipt: &Receipt) {
        let mut state = self.state.lock();
        if let Some(Sealed { counts, .. }) = state.sealed.remove(&receipt.attempt) {
            state.uncount(&counts);
        }
    }

    /// `error` of a row that an attempt which counts wrote as its `row`th, from 0, with the place of that in the source.
    pub fn locate(&self, error: Error, attempt: &str, row: u64) -> Error {
        match self.state.lock().places.get(attempt) {
            Some(places) => places(row, error),
            None => error,
        }
    }

    /// Publishes the file, if there is a reject, when all rows of the source are read. To be called before the target is committed.
    ///
    /// # Errors
    /// [`Value`](ErrorKind::Value) when too many rows were rejected, and those of the file.
    pub async fn commit(&self) -> Result<()> {
        self.judge(true)?;
        self.publish().await
    }

    /// The end of a run that failed with `error`: only of one with too many rejects the file is kept.
    pub async fn abandon(&self, error: Error) -> Error {
        if self.state.lock().exceeded {
            return match self.publish().await {
                Ok(()) => error,
                Err(also) => error.at("the rejects file could not be written", format!("({also})")),
            };
        }
        if let Some(file) = &self.file
            && let Err(also) = file.sink.abort(&file.agreement, &file.token).await
        {
            return error.at("the stage of the rejects file could not be removed", format!("({also})"));
        }
        error
    }

    async fn publish(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let kept = self.state.lock().kept.clone();
        let done = if kept.is_empty() {
            file.sink.abort(&file.agreement, &file.token).await
        } else {
            match file.sink.commit(&file.agreement, &file.token, &kept).await {
                Ok(()) => file.endpoint.finish(std::slice::from_ref(&file.agreement)).await,
                failed => failed,
            }
        };
        done.at("rejects file", || &file.agreement.label)
    }

    /// An error when more rows are rejected than may be; `complete` when all rows of the source are read.
    fn judge(&self, complete: bool) -> Result<()> {
        let Some(max) = self.max_errors else { return Ok(()) };
        let Others { before, more_follow } = self.others;
        let mut state = self.state.lock();
        let Judged { read, rejected } = before.and(Judged { read: state.read, rejected: state.rejected });
        let Some(exceeded) = max.exceeded(rejected, read, complete && !more_follow) else { return Ok(()) };
        state.exceeded = true;
        let message = if let Some(most) = exceeded.rows() {
            format!("more rows were rejected than the {most} that may be")
        } else {
            let most = exceeded.percent().unwrap_or_default();
            format!("{rejected} of {read} rows were rejected, and only {most} % may be")
        };
        let counted =
            if before.read > 0 { "; those of the transfers before count, and what these wrote stays" } else { "" };
        let error = Error::new(ErrorKind::Value, format!("{message}{counted}"));
        Err(match self.file() {
            Some(file) => error.with_hint(format!(
                "the rejected rows are in {file}: mend what is wrong with them, or allow more with --max-errors"
            )),
            None => error.with_hint(
                "keep the rejected rows with --rejects FILE, or allow more with --max-errors; a job file says both itself",
            ),
        })
    }
}

/// The rejects of one attempt of a task. Dropping it unsealed forgets them.
pub struct Basket {
    log: Arc<RejectLog>,
    attempt: Attempt,
    /// Counts them for who looks on.
    meter: Option<Arc<Meter>>,
    counts: Mutex<Counts>,
    outgoing: tokio::sync::Mutex<Outgoing>,
}

/// What goes into the file.
#[derive(Default)]
struct Outgoing {
    waiting: Vec<Rejects>,
    /// How many rows and bytes wait.
    rows: usize,
    bytes: usize,
    writer: Slot,
}

/// The writer of a basket.
#[derive(Default)]
enum Slot {
    /// There was no reject yet.
    #[default]
    Empty,
    Open(Box<dyn Writer>),
    /// Its part is complete.
    Closed,
}

#[derive(Debug, Default)]
struct Counts {
    read: u64,
    rejected: u64,
    classes: Classes,
    shown: Vec<String>,
    fate: Fate,
}

/// What became of a basket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Open,
    /// Its rejects are complete.
    Sealed,
    /// They do not count.
    Forgotten,
}

impl State {
    /// Takes back what an attempt has counted that does not count.
    fn uncount(&mut self, counts: &Counts) {
        self.read -= counts.read;
        // A run that failed for its rejects is done with counting.
        self.rejected -= counts.rejected;
        self.classes = self.classes.with(counts.classes, u64::saturating_sub);
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read, rejected, exceeded, .. } = self;
        write!(f, "State {{ read: {read}, rejected: {rejected}, exceeded: {exceeded} }}")
    }
}

impl fmt::Debug for Basket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Basket").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

impl Drop for Basket {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Basket {
    /// The same, which `meter` hears of.
    #[must_use]
    pub fn told_to(mut self, meter: &Arc<Meter>) -> Self {
        self.meter = Some(Arc::clone(meter));
        self
    }

    /// Counts rows that left the source.
    pub fn read(&self, rows: u64) {
        let mut counts = self.counts.lock();
        if counts.fate == Fate::Open {
            counts.read += rows;
            self.log.state.lock().read += rows;
        }
    }

    /// Takes rejects. Their errors say in frames where each row is.
    ///
    /// # Errors
    /// [`Value`](ErrorKind::Value) when these are too many for the job, and those of the file.
    /// [`Unsupported`](ErrorKind::Unsupported) when the attempt is complete: a task of a query can end before readers that it
    /// shares with others.
    pub async fn add(&self, rejects: Rejects) -> Result<()> {
        match self.count(&rejects) {
            Fate::Open => {}
            Fate::Sealed => {
                let message = "a row was rejected for a task of the query that had ended";
                return Err(Error::new(ErrorKind::Unsupported, message).with_hint("copy by one channel: -j 1"));
            }
            Fate::Forgotten => return Ok(()),
        }
        self.write(rejects).await?;
        let Err(too_many) = self.log.judge(false) else { return Ok(()) };
        // What led to this is what the user wants to see.
        let part = self.flush().await?;
        self.log.state.lock().kept.extend(part);
        let first = self.counts.lock().shown.first().cloned();
        Err(first.into_iter().fold(too_many, Error::with_source))
    }

    /// No rejects come any more: they belong to `receipt` now, if it is accepted. How many they are.
    /// Where more of its rows may be refused later, `places` say where these come from, by the attempt at each target.
    pub async fn seal(&self, receipt: &Receipt, places: Vec<(String, Places)>) -> Result<u64> {
        let part = self.flush().await?;
        let sealed = Counts { fate: Fate::Sealed, ..Counts::default() };
        let counts = std::mem::replace(&mut *self.counts.lock(), sealed);
        let rejected = counts.rejected;
        self.log.state.lock().sealed.insert(receipt.attempt.clone(), Sealed { part, counts, places });
        Ok(rejected)
    }

    /// The attempt does not count: neither do its rejects.
    pub fn forget(&self) {
        let mut counts = self.counts.lock();
        if counts.fate == Fate::Open {
            counts.fate = Fate::Forgotten;
            self.log.state.lock().uncount(&counts);
        }
    }

    /// Counts `rejects`, where they still count.
    fn count(&self, rejects: &Rejects) -> Fate {
        let mut counts = self.counts.lock();
        if counts.fate != Fate::Open {
            return counts.fate;
        }
        let rows = rejects.count;
        counts.rejected += rows;
        let room = SHOWN.saturating_sub(counts.shown.len());
        counts.shown.extend(rejects.errors.iter().take(room).map(shown));
        let mut classes = Classes::default();
        rejects.errors.iter().for_each(|error| *classes.of(Class::of(error)) += 1);
        counts.classes = counts.classes.with(classes, u64::saturating_add);
        let mut state = self.log.state.lock();
        state.rejected += rows;
        state.classes = state.classes.with(classes, u64::saturating_add);
        drop(state);
        if let Some(meter) = &self.meter {
            meter.rejected(rows);
        }
        Fate::Open
    }

    async fn write(&self, rejects: Rejects) -> Result<()> {
        let Some(file) = &self.log.file else { return Ok(()) };
        let records = rejects.records.iter().flatten().map(String::len).sum::<usize>();
        let mut outgoing = self.outgoing.lock().await;
        outgoing.rows += rejects.errors.len();
        outgoing.bytes += batch_bytes(&rejects.rows) + records;
        outgoing.waiting.push(rejects);
        if outgoing.rows < WAITING_ROWS && outgoing.bytes < WAITING_BYTES {
            return Ok(());
        }
        self.write_waiting(file, &mut outgoing).await
    }

    async fn write_waiting(&self, file: &RejectFile, outgoing: &mut Outgoing) -> Result<()> {
        let waiting = std::mem::take(&mut outgoing.waiting);
        (outgoing.rows, outgoing.bytes) = (0, 0);
        if waiting.is_empty() {
            return Ok(());
        }
        let (log, named) = (Arc::clone(&self.log), || &file.agreement.label);
        let batch = cpu::run(move || log.together(waiting)).await?;
        let batch = batch.at("rejects file", named)?;
        if matches!(outgoing.writer, Slot::Empty) {
            let attempt = Attempt { token: file.token.clone(), ..self.attempt.clone() };
            outgoing.writer = Slot::Open(file.sink.writer(&file.agreement, &attempt).await.at("rejects file", named)?);
        }
        match &mut outgoing.writer {
            Slot::Open(writer) => writer.write(batch).await.at("rejects file", named),
            Slot::Empty | Slot::Closed => Ok(()),
        }
    }

    async fn flush(&self) -> Result<Option<Receipt>> {
        let Some(file) = &self.log.file else { return Ok(None) };
        let mut outgoing = self.outgoing.lock().await;
        self.write_waiting(file, &mut outgoing).await?;
        match std::mem::replace(&mut outgoing.writer, Slot::Closed) {
            Slot::Open(mut writer) => {
                writer.flush(&file.token).await.map(Some).at("rejects file", || &file.agreement.label)
            }
            Slot::Empty | Slot::Closed => Ok(None),
        }
    }
}

impl RejectLog {
    /// All of `waiting` as rows of the file.
    fn together(&self, waiting: Vec<Rejects>) -> Result<RecordBatch> {
        let Some(file) = &self.file else { return Ok(RecordBatch::new_empty(Arc::new(Schema::empty()))) };
        let part = |rejects| -> Result<RecordBatch> {
            let rows = file.layout.batch(rejects, &self.source)?;
            Ok(file.aligner.align(&rows)?)
        };
        let parts = waiting.into_iter().map(part).collect::<Result<Vec<_>>>()?;
        let schema = parts.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
        Ok(concat_batches(&schema, &parts)?)
    }
}

#[cfg(test)]
mod tests;
