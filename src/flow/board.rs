//! The tasks of a transfer, for who looks at it while it runs: which they are, what they moved, what they wait for.
//!
//! A task is counted as it goes, with a few additions a batch; nothing waits for who looks. It is shown from its begin on, and
//! for a while after its end.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use crate::flow::meter::{Meter, Transformed, Wait};
use crate::flow::reject::RejectLog;
use crate::source::Split;

/// Tasks that are shown: when there are more, those that ended first are left out.
const SHOWN: usize = 1000;

/// Splits of a task that are named; of more it tells the number.
const NAMED: usize = 16;

/// Which task it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Card {
    /// Its number in the transfer.
    pub task: u32,
    /// Its group; a plan that runs as a whole is one.
    pub group: usize,
    /// Its first splits.
    pub splits: Vec<SplitName>,
    /// How many it has.
    pub split_count: usize,
}

/// How a split is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SplitName {
    /// Its number in the transfer.
    pub id: u32,
    /// What of the source it is, in the source's words.
    pub place: Option<String>,
}

impl Card {
    /// Task number `task` of `group`, over `splits`.
    pub fn new(task: u32, group: usize, splits: &[Split]) -> Self {
        let named = splits.iter().take(NAMED).map(|split| SplitName { id: split.id, place: split.place.clone() });
        Self { task, group, splits: named.collect(), split_count: splits.len() }
    }
}

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It has not ended.
    Running,
    /// Its rows are durable.
    Done,
    /// It is not begun anew.
    Failed,
}

/// What is known of a task at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskReading {
    /// Which it is.
    #[serde(flatten)]
    pub card: Card,
    /// How far it is.
    pub state: State,
    /// What it waits for just now.
    pub waits_for: Option<Wait>,
    /// Attempts, from 1.
    pub attempts: u32,
    /// Time from its begin to now, or to its end, in seconds.
    pub seconds: f64,
    /// Rows that entered its lane; those of attempts that failed are counted, too.
    pub rows_read: u64,
    /// Bytes of their Arrow form.
    pub bytes_read: u64,
    /// Rows in its lane now.
    pub rows_in_lane: u64,
    /// Bytes in its lane now.
    pub bytes_in_lane: u64,
    /// Rows that its writer has taken.
    pub rows_written: u64,
}

/// What one task has counted.
#[derive(Debug)]
struct Tally {
    card: Card,
    began: Instant,
    ended: OnceLock<(State, Duration)>,
    retries: AtomicU32,
    rows_read: AtomicU64,
    bytes_read: AtomicU64,
    rows_in_lane: AtomicU64,
    bytes_in_lane: AtomicU64,
    rows_written: AtomicU64,
    /// How many of its parts wait, by what they wait for.
    waiting: [AtomicU32; Wait::ALL.len()],
}

impl Tally {
    fn new(card: Card) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            card,
            began: Instant::now(),
            ended: OnceLock::new(),
            retries: AtomicU32::new(0),
            rows_read: zero(),
            bytes_read: zero(),
            rows_in_lane: zero(),
            bytes_in_lane: zero(),
            rows_written: zero(),
            waiting: Wait::ALL.map(|_| AtomicU32::new(0)),
        }
    }

    /// What holds the task up. The parts wait for each other: what the last one waits for counts.
    fn waits_for(&self) -> Option<Wait> {
        let order = [Wait::Retry, Wait::Writer, Wait::Transform, Wait::Throttle, Wait::Reader];
        order.into_iter().find(|wait| self.waiting[*wait as usize].load(Ordering::Relaxed) > 0)
    }

    fn reading(&self) -> TaskReading {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let ended = self.ended.get().copied();
        let (state, time) = ended.unwrap_or_else(|| (State::Running, self.began.elapsed()));
        TaskReading {
            card: self.card.clone(),
            state,
            waits_for: if state == State::Running { self.waits_for() } else { None },
            attempts: self.retries.load(Ordering::Relaxed) + 1,
            seconds: time.as_secs_f64(),
            rows_read: load(&self.rows_read),
            bytes_read: load(&self.bytes_read),
            rows_in_lane: load(&self.rows_in_lane),
            bytes_in_lane: load(&self.bytes_in_lane),
            rows_written: load(&self.rows_written),
        }
    }
}

/// Counts for one task, and for the transfer that it is of.
#[derive(Clone, Debug)]
pub struct TaskMeter {
    meter: Arc<Meter>,
    tally: Arc<Tally>,
}

impl Default for TaskMeter {
    fn default() -> Self {
        Self::of(&Arc::default())
    }
}

impl TaskMeter {
    /// Counts for a transfer alone: for what is no task of it.
    pub fn of(meter: &Arc<Meter>) -> Self {
        Self { meter: Arc::clone(meter), tally: Arc::new(Tally::new(Card::default())) }
    }

    /// Begins the task of `card`, which is shown on the board of `meter` from now on.
    pub fn begin(meter: &Arc<Meter>, card: Card) -> Self {
        let tally = Arc::new(Tally::new(card));
        meter.board().add(Arc::clone(&tally));
        Self { meter: Arc::clone(meter), tally }
    }

    /// Rows enter the lane; they are in it until what this gives is dropped.
    #[must_use]
    pub fn load(&self, rows: u64, bytes: u64) -> Load {
        let Tally { rows_read, bytes_read, rows_in_lane, bytes_in_lane, .. } = &*self.tally;
        for (counter, more) in [(rows_read, rows), (bytes_read, bytes), (rows_in_lane, rows), (bytes_in_lane, bytes)] {
            counter.fetch_add(more, Ordering::Relaxed);
        }
        Load { tally: Arc::clone(&self.tally), rows, bytes }
    }

    /// The writer took rows.
    pub fn wrote(&self, rows: u64) {
        self.tally.rows_written.fetch_add(rows, Ordering::Relaxed);
        self.meter.wrote(rows);
    }

    /// Rows came through the steps of the transform.
    pub fn transformed(&self, transformed: Transformed) {
        self.meter.transformed(transformed);
    }

    /// A part of the task waits until what this gives is dropped; the time counts.
    #[must_use]
    pub fn waiting(&self, wait: Wait) -> Waiting<'_> {
        let mut waiting = self.starting(wait);
        waiting.since = Some(Instant::now());
        waiting
    }

    /// As [`waiting`](Self::waiting) for what comes before the first row, whose time does not count.
    #[must_use]
    pub fn starting(&self, wait: Wait) -> Waiting<'_> {
        self.tally.waiting[wait as usize].fetch_add(1, Ordering::Relaxed);
        Waiting { of: self, wait, since: None }
    }

    /// The task is begun anew, which `sentence` tells.
    pub fn retried(&self, sentence: String) {
        self.tally.retries.fetch_add(1, Ordering::Relaxed);
        self.meter.retried(sentence);
    }

    /// The task has ended; the first end stands.
    pub fn ended(&self, state: State) {
        let _ = self.tally.ended.set((state, self.tally.began.elapsed()));
    }
}

/// Rows in the lane of a task.
#[derive(Debug)]
pub struct Load {
    tally: Arc<Tally>,
    rows: u64,
    bytes: u64,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.tally.rows_in_lane.fetch_sub(self.rows, Ordering::Relaxed);
        self.tally.bytes_in_lane.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A part of a task that waits.
#[derive(Debug)]
pub struct Waiting<'a> {
    of: &'a TaskMeter,
    wait: Wait,
    since: Option<Instant>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.of.tally.waiting[self.wait as usize].fetch_sub(1, Ordering::Relaxed);
        if let Some(since) = self.since {
            self.of.meter.waited(self.wait, since.elapsed());
        }
    }
}

/// The tasks of a transfer, and what others know of it.
#[derive(Debug, Default)]
pub struct Board {
    tasks: Mutex<VecDeque<Arc<Tally>>>,
    around: OnceLock<Around>,
}

/// What others know of a transfer whose tasks run.
pub struct Around {
    /// How its memory is divided: names and bytes.
    pub shares: Vec<(&'static str, u64)>,
    /// Bytes that sorting, grouping and joining hold now.
    pub operator_bytes: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Where rejected rows go, where rows may be rejected.
    pub rejects: Option<Arc<RejectLog>>,
}

impl fmt::Debug for Around {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Around").field("shares", &self.shares).finish_non_exhaustive()
    }
}

impl Board {
    /// Those that are shown, in the order of their begin.
    pub fn tasks(&self) -> Vec<TaskReading> {
        self.tasks.lock().iter().map(|task| task.reading()).collect()
    }

    /// Notes what others know; the first who does stands.
    pub fn surround(&self, around: Around) {
        let _ = self.around.set(around);
    }

    /// What others know; none before the tasks.
    pub fn around(&self) -> Option<&Around> {
        self.around.get()
    }

    /// Shows one more task. One of the same number is the same task for other targets.
    fn add(&self, task: Arc<Tally>) {
        let mut all = self.tasks.lock();
        all.retain(|known| known.card.task != task.card.task);
        if all.len() >= SHOWN
            && let Some(first) = all.iter().position(|known| known.ended.get().is_some())
        {
            all.remove(first);
        }
        all.push_back(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(meter: &Arc<Meter>, number: u32) -> TaskMeter {
        TaskMeter::begin(meter, Card { task: number, ..Card::default() })
    }

    #[test]
    fn a_task_counts_for_itself_and_for_its_transfer() {
        let meter = Arc::<Meter>::default();
        let (one, other) = (task(&meter, 0), task(&meter, 1));
        let load = one.load(10, 800);
        one.wrote(4);
        other.wrote(3);
        other.retried("once more".to_owned());
        let lane = |meter: &Meter| meter.board().tasks().iter().map(|task| task.bytes_in_lane).sum::<u64>();
        assert_eq!(lane(&meter), 800);
        drop(load);
        let tasks = meter.board().tasks();
        assert_eq!((tasks[0].rows_read, tasks[0].bytes_read, tasks[0].rows_written), (10, 800, 4));
        assert_eq!((tasks[1].rows_written, tasks[1].attempts, lane(&meter)), (3, 2, 0));
        assert_eq!((meter.reading().rows_written, meter.reading().retries), (7, 1));
    }

    #[test]
    fn what_the_last_part_waits_for_counts() {
        let meter = Arc::<Meter>::default();
        let task = task(&meter, 0);
        let waits = || meter.board().tasks()[0].waits_for;
        assert_eq!(waits(), None);
        let reader = task.waiting(Wait::Reader);
        assert_eq!(waits(), Some(Wait::Reader));
        let throttle = task.waiting(Wait::Throttle);
        assert_eq!(waits(), Some(Wait::Throttle), "the source is not slow, it is held");
        let writer = task.starting(Wait::Writer);
        assert_eq!(waits(), Some(Wait::Writer), "the limit does not matter while the target is slower");
        drop((throttle, writer));
        assert_eq!(waits(), Some(Wait::Reader));
        std::thread::sleep(Duration::from_millis(2));
        drop(reader);
        assert_eq!(waits(), None);
        assert!(meter.waited_seconds(Wait::Reader) >= 0.002);
        assert!(meter.waited_seconds(Wait::Writer) <= 0.0, "a start does not count");
    }

    #[test]
    fn of_very_many_tasks_those_that_ended_first_are_left_out() {
        let meter = Arc::<Meter>::default();
        let running = task(&meter, 0);
        for number in 1..=2 * SHOWN as u32 {
            task(&meter, number).ended(State::Done);
        }
        let tasks = meter.board().tasks();
        let numbers = |from: usize| tasks[from].card.task as usize;
        assert_eq!((tasks.len(), numbers(0), numbers(1)), (SHOWN, 0, SHOWN + 2));
        running.ended(State::Failed);
        running.ended(State::Done);
        assert_eq!(meter.board().tasks()[0].state, State::Failed, "the first end stands");
    }

    #[test]
    fn a_task_of_many_splits_names_some() {
        let split = |id| Split { id, source: 0, rows: None, bytes: None, place: None, detail: serde_json::Value::Null };
        let card = Card::new(3, 1, &(0..100).map(split).collect::<Vec<_>>());
        assert_eq!((card.splits.len(), card.split_count, card.splits[NAMED - 1].id), (NAMED, 100, 15));
    }
}
