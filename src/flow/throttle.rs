//! Token buckets that hold a job, or one of its channels, to a number of bytes and rows per second.
//!
//! What passes has waited until its own time is over, so that after any number of seconds no more than so many times
//! the limit went through, but for what a pause saved up.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What a bucket saves up while nothing moves, as time.
const BURST: Duration = Duration::from_millis(200);

/// Batches of a limited job are so small that this many of them pass in a second.
const BATCHES_PER_SECOND: u64 = 8;

/// Limits bytes and rows per second. Shared by all channels when it limits the job.
#[derive(Debug, Default)]
pub struct Throttle {
    bytes: Option<Bucket>,
    rows: Option<Bucket>,
}

impl Throttle {
    /// A throttle; an absent limit does not hold anything back.
    pub fn new(bytes_per_second: Option<u64>, rows_per_second: Option<u64>) -> Self {
        Self { bytes: bytes_per_second.map(Bucket::new), rows: rows_per_second.map(Bucket::new) }
    }

    /// Another one with the same limits, through which nothing has passed yet.
    #[must_use]
    pub fn another(&self) -> Self {
        let limit = |bucket: &Option<Bucket>| bucket.as_ref().map(|bucket| bucket.per_second);
        Self::new(limit(&self.bytes), limit(&self.rows))
    }

    /// Waits until `bytes` and `rows` have passed.
    pub async fn pass(&self, bytes: u64, rows: u64) {
        let now = Instant::now();
        if let Some(due) = self.due(now, bytes, rows).filter(|due| *due > now) {
            tokio::time::sleep_until(due.into()).await;
        }
    }

    /// Promises `bytes` and `rows` at `now`, and says when they will have passed.
    fn due(&self, now: Instant, bytes: u64, rows: u64) -> Option<Instant> {
        let take = |bucket: &Option<Bucket>, amount| bucket.as_ref().map(|bucket| bucket.take(now, amount));
        take(&self.bytes, bytes).max(take(&self.rows, rows))
    }
}

/// How much of `per_second` one batch should hold, so that a limited job moves evenly.
pub fn batch_share(per_second: u64) -> usize {
    usize::try_from(per_second / BATCHES_PER_SECOND).unwrap_or(usize::MAX).max(1)
}

/// One rate. Keeps the moment at which all that was promised so far will have passed.
#[derive(Debug)]
struct Bucket {
    per_second: u64,
    promised: Mutex<Option<Instant>>,
}

impl Bucket {
    fn new(per_second: u64) -> Self {
        Self { per_second: per_second.max(1), promised: Mutex::new(None) }
    }

    /// Promises `amount` and says when it will have passed.
    fn take(&self, now: Instant, amount: u64) -> Instant {
        let mut promised = self.promised.lock();
        let start = promised.unwrap_or(now).max(now.checked_sub(BURST).unwrap_or(now));
        let end = start + Duration::from_secs_f64(amount as f64 / self.per_second as f64);
        *promised = Some(end);
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds that `calls` take, each made when the one before has passed. No clock runs: time is what `due` says.
    fn seconds(throttle: &Throttle, calls: usize, bytes: u64, rows: u64) -> f64 {
        let start = Instant::now();
        let end = (0..calls).fold(start, |now, _| throttle.due(now, bytes, rows).unwrap_or(now).max(now));
        (end - start).as_secs_f64()
    }

    #[test]
    fn the_first_batch_takes_its_time_as_every_other() {
        for calls in [1, 10] {
            let seconds = seconds(&Throttle::new(Some(1000), None), calls, 500, 1);
            let expected = calls as f64 / 2.0;
            assert!((seconds - expected).abs() < 0.001, "{seconds}");
        }
    }

    #[test]
    fn a_rate_holds_over_many_callers_at_once() {
        let (throttle, now) = (Throttle::new(Some(1000), None), Instant::now());
        let last = (0..10).filter_map(|_| throttle.due(now, 500, 1)).max().unwrap();
        assert!(((last - now).as_secs_f64() - 5.0).abs() < 0.001);
    }

    #[test]
    fn the_slower_of_bytes_and_rows_holds() {
        let seconds = seconds(&Throttle::new(Some(1_000_000), Some(10)), 21, 10, 1);
        assert!((seconds - 2.1).abs() < 0.001, "{seconds}");
    }

    #[test]
    fn a_pause_saves_up_no_more_than_the_burst() {
        let (throttle, start) = (Throttle::new(None, Some(100)), Instant::now());
        throttle.due(start, 0, 1);
        let late = start + Duration::from_mins(1);
        let due = throttle.due(late, 0, 100).unwrap();
        assert!(((due - late).as_secs_f64() - (1.0 - BURST.as_secs_f64())).abs() < 0.001);
    }

    #[test]
    fn no_limit_never_waits() {
        assert!(Throttle::default().due(Instant::now(), u64::MAX, u64::MAX).is_none());
    }

    #[test]
    fn another_has_the_limits_and_nothing_else() {
        let throttle = Throttle::new(Some(10), None);
        let first = seconds(&throttle, 3, 10, 1);
        assert!((first - 3.0).abs() < 0.001);
        assert!((seconds(&throttle.another(), 3, 10, 1) - 3.0).abs() < 0.001);
    }

    #[test]
    fn a_batch_is_a_small_part_of_a_second_and_never_nothing() {
        assert_eq!((batch_share(800), batch_share(3), batch_share(0)), (100, 1, 1));
    }
}
