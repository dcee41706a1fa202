//! Counters of a running transfer, and who is waiting for whom.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use crate::flow::board::Board;

/// Counts what moves. Shared by all channels; read at any time.
#[derive(Debug)]
pub struct Meter {
    started: Instant,
    rows_total: AtomicU64,
    bytes_total: AtomicU64,
    splits_total: AtomicU64,
    splits_done: AtomicU64,
    rows_read: AtomicU64,
    bytes_read: AtomicU64,
    rows_written: AtomicU64,
    bytes_done: AtomicU64,
    bytes_written: AtomicU64,
    retries: AtomicU64,
    told: Mutex<Vec<String>>,
    rejected: AtomicU64,
    transformed: [AtomicU64; 3],
    waited: [AtomicU64; Wait::ALL.len()],
    board: Board,
}

/// Sentences that wait until somebody takes them, at most.
const TOLD: usize = 100;

/// Rows that came to the steps of a transform, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transformed {
    /// No step failed for them: those that a filter dropped are among these.
    pub succeeded: u64,
    /// A step failed for them.
    pub failed: u64,
    /// A filter dropped them.
    pub filtered: u64,
}

/// The three parts of a channel. What the other two wait for is the bottleneck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// The source: its server, network or decoding.
    Reader,
    /// Expressions and casts.
    Transform,
    /// The target: encoding, network or its server.
    Writer,
}

/// What a task can wait for: a part of its channel, or what holds it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "&'static str")]
pub enum Wait {
    /// The source, or a turn to read it.
    Reader,
    /// Expressions and casts.
    Transform,
    /// The target.
    Writer,
    /// The limit of speed.
    Throttle,
    /// The pause before it is begun anew.
    Retry,
}

impl Wait {
    /// All of them; the parts of a channel come first, in their order.
    pub const ALL: [Self; 5] = [Self::Reader, Self::Transform, Self::Writer, Self::Throttle, Self::Retry];

    /// In a word or two.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Transform => "transform",
            Self::Writer => "writer",
            Self::Throttle => "throttle",
            Self::Retry => "retry pause",
        }
    }
}

impl From<Wait> for &'static str {
    fn from(wait: Wait) -> Self {
        wait.word()
    }
}

impl From<Part> for Wait {
    fn from(part: Part) -> Self {
        Self::ALL[part as usize]
    }
}

/// What the counters said at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    /// Time since the start, in seconds.
    pub seconds: f64,
    /// Estimated rows of the source; 0 when unknown.
    pub rows_total: u64,
    /// Estimated bytes of the source; 0 when unknown.
    pub bytes_total: u64,
    /// Planned splits; 0 before planning.
    pub splits_total: u64,
    /// Splits whose rows are durable in the target.
    pub splits_done: u64,
    /// Rows that left the source.
    pub rows_read: u64,
    /// Bytes of their Arrow form.
    pub bytes_read: u64,
    /// Rows that a writer has taken.
    pub rows_written: u64,
    /// Estimated source bytes of the splits done.
    pub bytes_done: u64,
    /// How often a task was begun anew. Rows of attempts that failed are counted, too.
    pub retries: u64,
    /// Rows that were left out so far, those of attempts that failed among them.
    pub rejected: u64,
    /// What became of rows in the steps of the transform; none where no row came to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transformed: Option<Transformed>,
    /// Time that channels spent waiting for reader, transform and writer, in seconds.
    pub waited_seconds: [f64; 3],
}

impl Default for Meter {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            started: Instant::now(),
            rows_total: zero(),
            bytes_total: zero(),
            splits_total: zero(),
            splits_done: zero(),
            rows_read: zero(),
            bytes_read: zero(),
            rows_written: zero(),
            bytes_done: zero(),
            bytes_written: zero(),
            retries: zero(),
            told: Mutex::default(),
            rejected: zero(),
            transformed: [zero(), zero(), zero()],
            waited: Wait::ALL.map(|_| zero()),
            board: Board::default(),
        }
    }
}

impl Meter {
    /// Notes what is to be moved.
    pub fn expect(&self, splits: u64, rows: u64, bytes: u64) {
        self.splits_total.fetch_add(splits, Ordering::Relaxed);
        self.rows_total.fetch_add(rows, Ordering::Relaxed);
        self.bytes_total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Rows left the source.
    pub fn read(&self, rows: u64, bytes: u64) {
        self.rows_read.fetch_add(rows, Ordering::Relaxed);
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A writer took rows.
    pub fn wrote(&self, rows: u64) {
        self.rows_written.fetch_add(rows, Ordering::Relaxed);
    }

    /// Splits became durable.
    pub fn settled(&self, splits: u64, bytes: u64) {
        self.splits_done.fetch_add(splits, Ordering::Relaxed);
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A receipt says that a target holds `bytes` of its own form.
    pub fn landed(&self, bytes: u64) {
        self.bytes_written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A task is begun anew, which `sentence` tells.
    pub fn retried(&self, sentence: String) {
        self.retries.fetch_add(1, Ordering::Relaxed);
        let mut told = self.told.lock();
        if told.len() < TOLD {
            told.push(sentence);
        }
    }

    /// What was told since the last time.
    pub fn take_told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock())
    }

    /// Rows were left out.
    pub fn rejected(&self, rows: u64) {
        self.rejected.fetch_add(rows, Ordering::Relaxed);
    }

    /// Rows came through the steps of the transform.
    pub fn transformed(&self, Transformed { succeeded, failed, filtered }: Transformed) {
        for (counter, rows) in self.transformed.iter().zip([succeeded, failed, filtered]) {
            counter.fetch_add(rows, Ordering::Relaxed);
        }
    }

    /// A channel waited for a part of it, or was held back.
    pub fn waited(&self, what: impl Into<Wait>, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.waited[what.into() as usize].fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Time that all channels together waited for `what`, in seconds.
    pub fn waited_seconds(&self, what: Wait) -> f64 {
        self.waited[what as usize].load(Ordering::Relaxed) as f64 / 1e9
    }

    /// Bytes that targets hold of tasks that are done, in their own form.
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written.load(Ordering::Relaxed)
    }

    /// The tasks.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// What the counters say now.
    pub fn reading(&self) -> Reading {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [succeeded, failed, filtered] = [0, 1, 2].map(|fate| load(&self.transformed[fate]));
        let transformed = Transformed { succeeded, failed, filtered };
        Reading {
            seconds: self.started.elapsed().as_secs_f64(),
            rows_total: load(&self.rows_total),
            bytes_total: load(&self.bytes_total),
            splits_total: load(&self.splits_total),
            splits_done: load(&self.splits_done),
            rows_read: load(&self.rows_read),
            bytes_read: load(&self.bytes_read),
            rows_written: load(&self.rows_written),
            bytes_done: load(&self.bytes_done),
            retries: load(&self.retries),
            rejected: load(&self.rejected),
            transformed: (succeeded + failed > 0).then_some(transformed),
            waited_seconds: [Part::Reader, Part::Transform, Part::Writer].map(|part| self.waited_seconds(part.into())),
        }
    }
}

impl Reading {
    /// The part that the others wait for most; none before anything waited.
    pub fn bottleneck(&self) -> Option<Part> {
        let [reader, transform, writer] = self.waited_seconds;
        let most = reader.max(transform).max(writer);
        [(reader, Part::Reader), (transform, Part::Transform), (writer, Part::Writer)]
            .into_iter()
            .find(|(time, _)| most > 0.0 && *time >= most)
            .map(|(_, part)| part)
    }

    /// Done share of the work from 0 to 1; none when the size of the source is unknown.
    ///
    /// Rows as they are read are the best measure. Bytes of splits that are done come next; those of the split under
    /// way are known in their Arrow form alone, which may be larger than what is stored, so they never say "done".
    pub fn share(&self) -> Option<f64> {
        let of = |done: u64, total: u64| (total > 0).then(|| (done as f64 / total as f64).min(1.0));
        let under_way = self.bytes_read.min(self.bytes_total / 100 * 99);
        of(self.rows_read, self.rows_total)
            .or_else(|| of(self.bytes_done.max(under_way), self.bytes_total))
            .or_else(|| of(self.splits_done, self.splits_total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_of_one_split_moves_while_it_is_read() {
        let rows = Meter::default();
        rows.expect(1, 1000, 0);
        rows.read(250, 9);
        assert_eq!(rows.reading().share(), Some(0.25));
        let bytes = Meter::default();
        bytes.expect(1, 0, 1000);
        bytes.read(5, 400);
        assert_eq!(bytes.reading().share(), Some(0.4));
        bytes.read(5, 4000);
        assert!(bytes.reading().share() < Some(1.0), "the Arrow form is larger than what is stored");
        bytes.settled(1, 1000);
        assert_eq!(bytes.reading().share(), Some(1.0));
    }

    #[test]
    fn without_rows_and_bytes_splits_count() {
        let meter = Meter::default();
        assert_eq!(meter.reading().share(), None);
        meter.expect(4, 0, 0);
        meter.settled(1, 0);
        assert_eq!(meter.reading().share(), Some(0.25));
    }

    #[test]
    fn the_bottleneck_is_what_was_waited_for_most() {
        let meter = Meter::default();
        assert_eq!(meter.reading().bottleneck(), None);
        meter.waited(Part::Reader, Duration::from_secs(1));
        meter.waited(Part::Transform, Duration::from_secs(2));
        assert_eq!(meter.reading().bottleneck(), Some(Part::Transform));
    }
}
