//! What is seen while rows move: a bar, lines or JSON on stderr, drawn from the meter's counters.
//!
//! The run never waits for it: counters are read a few times a second, beside the run.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::args::Progress;
use super::{amount, printer};
use crate::error::Result;
use crate::flow::meter::{Meter, Part, Reading};

/// The figures have a line of their own: beside a bar 80 columns would cut off who is waited for.
const BAR: &str = "{spinner} [{wide_bar}]\n{wide_msg}";

/// Steps of a full bar.
const STEPS: u64 = 1000;

/// Speed is the mean over so many readings.
const WINDOW: usize = 16;

const STOPPING: &str = "stopping: the target stays as it was (once more ends the program at once)";

/// What is told beside it, every so often, of what the counters say and of what they said when it was told last.
#[derive(Clone, Copy)]
pub(super) struct Aside<'a> {
    pub(super) every: Duration,
    pub(super) tell: &'a dyn Fn(&Reading, Option<&Reading>),
}

/// Awaits `run` while it shows what `meter` counts. Says so when `stop` is cancelled.
pub(super) async fn watch<T>(
    run: impl Future<Output = Result<T>>,
    meter: &Meter,
    (wanted, aside): (Progress, Option<Aside<'_>>),
    stop: &CancellationToken,
) -> Result<T> {
    let mut view = View::new(wanted);
    let mut ticks = ticks(view.period());
    let mut asides = aside.map(|aside| (aside, self::ticks(aside.every), None));
    let mut run = std::pin::pin!(run);
    let mut told = false;
    loop {
        tokio::select! {
            result = &mut run => {
                view.tell(meter);
                view.end(&meter.reading(), result.is_ok());
                return result;
            }
            _ = ticks.tick() => {
                view.tell(meter);
                view.show(&meter.reading());
            }
            () = next(&mut asides) => {
                if let Some((aside, _, last)) = &mut asides {
                    let reading = meter.reading();
                    view.aside(|| (aside.tell)(&reading, last.as_ref()));
                    *last = Some(reading);
                }
            }
            () = stop.cancelled(), if !told => {
                told = true;
                view.say(STOPPING);
            }
        }
    }
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// What is told beside, its ticks, and what the counters said at the last of them.
type Asides<'a> = Option<(Aside<'a>, Interval, Option<Reading>)>;

/// Waits for the next tick; where there is none for ever.
async fn next(asides: &mut Asides<'_>) {
    match asides {
        Some((_, ticks, _)) => _ = ticks.tick().await,
        None => std::future::pending().await,
    }
}

/// One way to show progress.
enum View {
    Bar(ProgressBar, Recent),
    Log(Recent),
    Json,
    None,
}

impl View {
    fn new(wanted: Progress) -> Self {
        let auto = if std::io::stderr().is_terminal() { Progress::Bar } else { Progress::Log };
        match if wanted == Progress::Auto { auto } else { wanted } {
            Progress::Bar => Self::Bar(bar(), Recent::default()),
            Progress::Log | Progress::Auto => Self::Log(Recent::default()),
            Progress::Json => Self::Json,
            Progress::None => Self::None,
        }
    }

    fn period(&self) -> Duration {
        match self {
            Self::Bar(..) => Duration::from_millis(200),
            Self::Log(_) => Duration::from_secs(5),
            Self::Json => Duration::from_secs(1),
            Self::None => Duration::from_hours(1),
        }
    }

    fn show(&mut self, reading: &Reading) {
        match self {
            Self::Bar(bar, recent) => {
                recent.add(reading);
                bar.set_position((reading.share().unwrap_or(0.0) * STEPS as f64) as u64);
                bar.set_message(line(recent, reading));
                bar.tick();
            }
            Self::Log(recent) => {
                recent.add(reading);
                printer::talk(&line(recent, reading));
            }
            Self::Json => printer::event("progress", reading),
            Self::None => {}
        }
    }

    /// Says what happened since the last time.
    fn tell(&self, meter: &Meter) {
        for text in meter.take_told() {
            match self {
                Self::Bar(bar, _) => bar.suspend(|| printer::talk(&format!("note: {text}"))),
                Self::Log(_) => printer::talk(&format!("note: {text}")),
                Self::Json => printer::event("note", &json!({ "text": text })),
                Self::None => {}
            }
        }
    }

    /// Prints what is no part of it.
    fn aside(&self, print: impl FnOnce()) {
        match self {
            Self::Bar(bar, _) => bar.suspend(print),
            Self::Log(_) | Self::Json | Self::None => print(),
        }
    }

    fn say(&self, text: &str) {
        match self {
            Self::Bar(..) | Self::Log(_) => self.aside(|| printer::talk(text)),
            Self::Json => printer::event("stopping", &json!({ "text": text })),
            Self::None => {}
        }
    }

    /// Clears the bar. A program is shown how far a run came that failed; after success it is told with the result.
    fn end(&self, reading: &Reading, succeeded: bool) {
        match self {
            Self::Bar(bar, _) => bar.finish_and_clear(),
            Self::Json if !succeeded => printer::event("progress", reading),
            Self::Json | Self::Log(_) | Self::None => {}
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(BAR);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar
}

/// The last readings.
#[derive(Debug, Default)]
struct Recent(VecDeque<Reading>);

/// What happened per second of late.
#[derive(Debug, Default, PartialEq)]
struct Speed {
    rows: f64,
    bytes: f64,
    waits_for: Option<Part>,
}

impl Recent {
    fn add(&mut self, reading: &Reading) {
        if self.0.len() == WINDOW {
            self.0.pop_front();
        }
        self.0.push_back(reading.clone());
    }

    /// Between the oldest reading kept and the newest; from the start where there is but one.
    fn speed(&self) -> Speed {
        let Some(last) = self.0.back() else { return Speed::default() };
        let first = self.0.front().filter(|first| first.seconds < last.seconds);
        let since = |of: fn(&Reading) -> f64| of(last) - first.map_or(0.0, of);
        let seconds = since(|reading| reading.seconds).max(1e-9);
        let waited =
            [0, 1, 2].map(|part| last.waited_seconds[part] - first.map_or(0.0, |first| first.waited_seconds[part]));
        Speed {
            rows: since(|reading| reading.rows_written as f64) / seconds,
            bytes: since(|reading| reading.bytes_read as f64) / seconds,
            waits_for: Reading { waited_seconds: waited, ..last.clone() }.bottleneck(),
        }
    }
}

/// ` 45%  1.23M rows  350k rows/s  52.4 MB/s  ETA 12.0 s  waiting for the writer`.
fn line(recent: &Recent, reading: &Reading) -> String {
    let speed = recent.speed();
    let share = reading.share();
    let mut parts = Vec::new();
    parts.extend(share.map(|share| format!("{:3.0}%", share * 100.0)));
    parts.push(format!("{} rows", amount::short(reading.rows_written as f64)));
    parts.push(format!("{} rows/s", amount::short(speed.rows)));
    parts.push(format!("{}/s", amount::bytes(speed.bytes)));
    parts.extend(share.and_then(|share| remaining(reading, share)).map(|eta| format!("ETA {eta}")));
    parts.extend(speed.waits_for.map(|part| format!("waiting for the {}", word(part))));
    parts.join("  ")
}

/// The time left at the mean speed so far.
fn remaining(reading: &Reading, share: f64) -> Option<String> {
    (share > 0.001 && share < 1.0).then(|| amount::seconds(reading.seconds * (1.0 - share) / share))
}

/// A part in one word.
pub(super) fn word(part: Part) -> &'static str {
    match part {
        Part::Reader => "reader",
        Part::Transform => "transform",
        Part::Writer => "writer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(seconds: f64, rows: u64, waited: [f64; 3]) -> Reading {
        Reading {
            seconds,
            rows_total: 1_000_000,
            bytes_total: 0,
            splits_total: 8,
            splits_done: 0,
            rows_read: rows,
            bytes_read: rows * 100,
            rows_written: rows,
            bytes_done: 0,
            retries: 0,
            rejected: 0,
            transformed: None,
            waited_seconds: waited,
        }
    }

    #[test]
    fn a_line_shows_recent_speed_and_who_is_waited_for() {
        let mut recent = Recent::default();
        recent.add(&reading(1.0, 100_000, [0.9, 0.0, 0.0]));
        assert_eq!(recent.speed().rows.round() as u64, 100_000);
        let now = reading(2.0, 250_000, [0.9, 0.1, 0.7]);
        recent.add(&now);
        assert_eq!(line(&recent, &now), " 25%  250k rows  150k rows/s  15.0 MB/s  ETA 6.00 s  waiting for the writer");
    }

    #[test]
    fn a_line_of_a_terminal_is_the_line_s_alone() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
        assert!(BAR.lines().any(|line| line == "{wide_msg}"), "{BAR}");
    }

    #[test]
    fn an_unknown_size_has_neither_share_nor_eta() {
        let unknown = Reading { rows_total: 0, splits_total: 0, ..reading(1.0, 10, [0.0; 3]) };
        let mut recent = Recent::default();
        recent.add(&unknown);
        assert_eq!(line(&recent, &unknown), "10 rows  10 rows/s  1.00 kB/s");
    }

    #[tokio::test]
    async fn the_result_of_the_run_comes_through() {
        let run = async {
            tokio::task::yield_now().await;
            Ok(7)
        };
        let stop = CancellationToken::new();
        assert_eq!(watch(run, &Meter::default(), (Progress::None, None), &stop).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn what_is_told_beside_knows_what_was_told_last() {
        let meter = Meter::default();
        let told = std::cell::RefCell::new(Vec::new());
        let run = async {
            while told.borrow().len() < 2 {
                meter.read(1, 0);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok(())
        };
        let tell = |now: &Reading, last: Option<&Reading>| {
            told.borrow_mut().push((now.rows_read, last.map(|last| last.rows_read)));
        };
        let aside = Aside { every: Duration::from_millis(3), tell: &tell };
        watch(run, &meter, (Progress::None, Some(aside)), &CancellationToken::new()).await.unwrap();
        let told = told.into_inner();
        assert!(told[0].0 > 0 && told[1].0 >= told[0].0, "{told:?}");
        assert_eq!([told[0].1, told[1].1], [None, Some(told[0].0)]);
    }
}
