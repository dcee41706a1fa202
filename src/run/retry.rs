//! When a task is begun anew, and what must still hold then.
//!
//! Only failures that may pass are worth another attempt, and only where an attempt that failed leaves nothing visible behind. The
//! source must still be at its point in time; the target is prepared again, since a server that was started anew has
//! forgotten who holds the stage.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::physical_plan::ExecutionPlanProperties as _;
use tokio::time::sleep;

use crate::endpoint::Session;
use crate::error::{self, Error, ErrorKind, Result};
use crate::flow::board::TaskMeter;
use crate::flow::buffer::Buffer;
use crate::flow::meter::Wait;
use crate::job::{Limits, RetryGrowth};
use crate::plan::pipeline::Target;
use crate::run::targets;
use crate::runner::{PlanShape, Transfer};
use crate::shape::counted;
use crate::source::Split;

/// Further attempts of a task when nothing is said.
const AGAIN: u32 = 3;

/// The longest pause before one when nothing is said.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// The pause before the first of them when nothing is said.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// How often a task is begun anew, and after which pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Retry {
    again: u32,
    /// Failures that are longer ago do not count.
    within: Option<Duration>,
    pause_first: Duration,
    pause_max: Duration,
    growth: RetryGrowth,
}

impl Retry {
    fn of(limits: &Limits) -> Self {
        Self {
            again: limits.retries.unwrap_or(AGAIN),
            within: limits.retry_within_milliseconds.map(Duration::from_millis),
            pause_first: limits.retry_first_milliseconds.map_or(FIRST_PAUSE, Duration::from_millis),
            pause_max: limits.retry_max_milliseconds.map_or(PAUSE_MAX, Duration::from_millis),
            growth: limits.retry_growth,
        }
    }

    /// The pause after the `failed`th attempt, from 1, shortened to between a half and the whole by `chance` in `0..=255`, so
    /// that channels which failed together do not come back together; none when no further attempt is due.
    fn pause(self, failed: u32, kind: ErrorKind, chance: u8) -> Option<Duration> {
        if failed > self.again || !error::retry(kind) {
            return None;
        }
        let factor = match self.growth {
            RetryGrowth::Doubling => 1_u32.checked_shl(failed - 1).unwrap_or(u32::MAX),
            RetryGrowth::Constant => 1,
        };
        Some(self.pause_first.saturating_mul(factor).min(self.pause_max).mul_f64(0.5 + f64::from(chance) / 510.0))
    }
}

/// What a plan says of further attempts of `transfer` to `targets` under `limits`.
pub(super) fn told(limits: &Limits, targets: &[Target], transfer: &Transfer) -> String {
    let partitions = transfer.root.output_partitioning().partition_count();
    if targets.iter().any(|target| target.agreement.is_pipe()) {
        return "a failure ends the run: what was written is seen at once".to_owned();
    }
    match transfer.shape {
        PlanShape::Wide if partitions > 1 => attempts(limits, "where a task fails in passing, all of them are"),
        PlanShape::Wide | PlanShape::Rowwise => attempts(limits, "a task that fails in passing is"),
    }
}

/// How often what is named by `whose` is begun anew.
fn attempts(limits: &Limits, whose: &str) -> String {
    let Retry { again, within, pause_first, pause_max, growth } = Retry::of(limits);
    if again == 0 {
        return "a task that fails is not begun anew".to_owned();
    }
    let (times, seconds) = (counted(again as usize, "time"), |pause: Duration| format!("{} s", pause.as_secs_f64()));
    let pauses = match growth {
        RetryGrowth::Doubling if pause_first < pause_max => {
            format!("{}, doubling up to {}", seconds(pause_first), seconds(pause_max))
        }
        RetryGrowth::Doubling | RetryGrowth::Constant => seconds(pause_first.min(pause_max)),
    };
    let within = within.map_or_else(String::new, |within| format!(" within {}", seconds(within)));
    format!("{whose} begun anew up to {times}{within}, after pauses of {pauses}")
}

/// What a further attempt needs.
#[derive(Clone, Debug)]
pub struct Renewal {
    retry: Retry,
    session: Arc<dyn Session>,
    targets: Vec<Target>,
    /// Where the rows of a task are found again.
    buffer: Option<Arc<Buffer>>,
}

impl Renewal {
    /// Further attempts under `limits`; none where what an attempt wrote is visible at once, as in a pipe.
    pub fn new(limits: &Limits, session: &Arc<dyn Session>, targets: &[Target]) -> Self {
        let mut retry = Retry::of(limits);
        if targets.iter().any(|target| target.agreement.is_pipe()) {
            retry.again = 0;
        }
        Self { retry, session: Arc::clone(session), targets: targets.to_vec(), buffer: None }
    }

    /// The same, with rows that are found again in `buffer`.
    #[must_use]
    pub(super) fn with_buffer(self, buffer: Option<Arc<Buffer>>) -> Self {
        Self { buffer, ..self }
    }

    /// Checks the source and lets it go.
    pub(super) async fn release(&self) -> Result<()> {
        self.session.check().await?;
        self.session.close().await
    }

    /// Waits until a task of `splits` that failed with `error` may be begun anew, and counts the failure; with the failures
    /// [of all](Failures::of_all) until all may be, of which nothing is staged any more. The error comes back, with the one
    /// before it, when it does not pass or came too often.
    pub(super) async fn after(
        &self,
        mut error: Error,
        (splits, failures): (&[Split], &mut Failures),
        meter: &TaskMeter,
    ) -> Result<()> {
        loop {
            let failed = failures.add(Instant::now(), self.retry.within);
            // The last byte of a new id is as good as random.
            let [.., chance] = *uuid::Uuid::now_v7().as_bytes();
            let Some(pause) = self.retry.pause(failed, error.kind(), chance) else {
                return Err(failures.told_with(error));
            };
            let who = if failures.are_of_all { "all tasks are" } else { "a task is" };
            meter.retried(format!("{who} begun anew in {:.1} s: {error}", pause.as_secs_f64()));
            failures.last = Some(error.to_string());
            let waiting = meter.waiting(Wait::Retry);
            sleep(pause).await;
            drop(waiting);
            // What fails for want of its point in time fails again.
            self.session.check().await.map_err(|lost| failures.told_with(lost))?;
            if let Some(buffer) = &self.buffer {
                let ids: Vec<u32> = splits.iter().map(|split| split.id).collect();
                buffer.rewind(&ids).map_err(|gone| failures.told_with(gone))?;
            }
            let swept = if failures.are_of_all { targets::abort(&self.targets).await } else { Ok(()) };
            let ready = match swept {
                Ok(()) => targets::prepare(&self.targets).await,
                failed => failed,
            };
            match ready {
                Ok(()) => return Ok(()),
                Err(again) => error = again,
            }
        }
    }
}

/// The failures of one task so far, or of all tasks of a plan.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// Nobody knows which rows a task gets in another attempt: what the others have staged is of no use.
    are_of_all: bool,
    count: u32,
    /// Those that still count.
    times: Vec<Instant>,
    last: Option<String>,
}

impl Failures {
    /// Of tasks that share all rows, and are begun anew together.
    pub(super) fn of_all() -> Self {
        Self { are_of_all: true, ..Self::default() }
    }

    /// Takes one more, and says how many `within` this time count.
    fn add(&mut self, now: Instant, within: Option<Duration>) -> u32 {
        self.count = self.count.saturating_add(1);
        let Some(within) = within else { return self.count };
        self.times.retain(|time| now.duration_since(*time) <= within);
        self.times.push(now);
        u32::try_from(self.times.len()).unwrap_or(u32::MAX)
    }

    /// `error`, which ends the task, and the failure after which that was tried.
    fn told_with(&self, error: Error) -> Error {
        match &self.last {
            Some(last) if *last == error.to_string() => error.at("attempt", format!("{0} of {0}", self.count)),
            Some(last) => error.at("after", format!("another failure ({last})")),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_up_to_their_limit_and_end() {
        let retry = Retry { again: 4, pause_max: 5 * SECOND, ..Retry::of(&Limits::default()) };
        let pauses = (1..=5).map(|failed| retry.pause(failed, ErrorKind::Connection, 255));
        let seconds = [Some(1), Some(2), Some(4), Some(5), None];
        assert!(pauses.eq(seconds.map(|pause| pause.map(Duration::from_secs))));
        assert_eq!(retry.pause(2, ErrorKind::Timeout, 0), Some(SECOND), "half of it at least");
        let constant = Retry { growth: RetryGrowth::Constant, pause_first: 2 * SECOND, ..retry };
        assert_eq!([1, 4].map(|failed| constant.pause(failed, ErrorKind::Connection, 255)), [Some(2 * SECOND); 2]);
        assert_eq!(Retry { again: u32::MAX, ..retry }.pause(u32::MAX, ErrorKind::Transient, 255), Some(5 * SECOND));
    }

    /// Two failures in a minute are allowed, as FlinkX's failure rate has it; the third one ends it.
    #[test]
    fn failures_that_are_long_ago_do_not_count() {
        let (mut failures, begin) = (Failures::default(), Instant::now());
        let mut at = |seconds: u32| failures.add(begin + seconds * SECOND, Some(60 * SECOND));
        assert_eq!([at(0), at(50), at(70), at(71), at(200)], [1, 2, 2, 3, 1]);
        let mut all = Failures::default();
        assert_eq!([0, 1000].map(|seconds: u32| all.add(begin + seconds * SECOND, None)), [1, 2]);
    }

    #[test]
    fn a_plan_says_how_often_and_after_which_pauses() {
        let told = |limits: Limits| attempts(&limits, "a task that fails in passing is");
        let often = "a task that fails in passing is begun anew up to";
        assert_eq!(told(Limits::default()), format!("{often} 3 times, after pauses of 1 s, doubling up to 60 s"));
        let constant = Limits {
            retries: Some(1),
            retry_first_milliseconds: Some(500),
            retry_growth: RetryGrowth::Constant,
            retry_within_milliseconds: Some(60_000),
            ..Limits::default()
        };
        assert_eq!(told(constant), format!("{often} 1 time within 60 s, after pauses of 0.5 s"));
        let shorter = Limits { retry_max_milliseconds: Some(200), ..Limits::default() };
        assert_eq!(told(shorter), format!("{often} 3 times, after pauses of 0.2 s"));
        assert_eq!(told(Limits { retries: Some(0), ..Limits::default() }), "a task that fails is not begun anew");
    }

    #[test]
    fn what_does_not_pass_is_not_tried_again() {
        let retry = Retry::of(&Limits::default());
        assert_eq!((retry.again, retry.pause_first, retry.pause_max), (AGAIN, FIRST_PAUSE, PAUSE_MAX));
        for kind in [ErrorKind::Constraint, ErrorKind::Value, ErrorKind::Internal, ErrorKind::Cancelled] {
            assert_eq!(retry.pause(1, kind, 255), None, "{kind:?}");
        }
    }
}
