//! Token buckets that hold a job, or one of its channels, to a number of bytes and rows per second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a bucket saves up while nothing moves, as time.
const BURST: Duration = Duration::from_millis(200);

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

    /// Waits until `bytes` and `rows` may pass.
    pub async fn pass(&self, bytes: u64, rows: u64) {
        let now = Instant::now();
        if let Some(due) = self.due(now, bytes, rows).filter(|due| *due > now) {
            tokio::time::sleep_until(due.into()).await;
        }
    }

    /// Promises `bytes` and `rows` at `now`, and says from when on they may pass.
    fn due(&self, now: Instant, bytes: u64, rows: u64) -> Option<Instant> {
        let take = |bucket: &Option<Bucket>, amount| bucket.as_ref().map(|bucket| bucket.take(now, amount));
        take(&self.bytes, bytes).max(take(&self.rows, rows))
    }
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

    /// Promises `amount` and says from when on it may pass.
    fn take(&self, now: Instant, amount: u64) -> Instant {
        let mut promised = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        let start = promised.unwrap_or(now).max(now.checked_sub(BURST).unwrap_or(now));
        *promised = Some(start + Duration::from_secs_f64(amount as f64 / self.per_second as f64));
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds after which the last of `calls` passes, all of them made at once.
    fn last(throttle: &Throttle, calls: usize, bytes: u64, rows: u64) -> f64 {
        let now = Instant::now();
        let dues: Vec<Instant> = (0..calls).filter_map(|_| throttle.due(now, bytes, rows)).collect();
        dues.last().map_or(0.0, |due| due.saturating_duration_since(now).as_secs_f64())
    }

    #[test]
    fn a_rate_holds_over_many_callers() {
        let seconds = last(&Throttle::new(Some(1000), None), 10, 500, 1);
        assert!((4.2..=4.6).contains(&seconds), "{seconds}");
    }

    #[test]
    fn the_slower_of_bytes_and_rows_holds() {
        let seconds = last(&Throttle::new(Some(1_000_000), Some(10)), 21, 10, 1);
        assert!((1.7..=2.1).contains(&seconds), "{seconds}");
    }

    #[test]
    fn no_limit_never_waits() {
        assert!(Throttle::default().due(Instant::now(), u64::MAX, u64::MAX).is_none());
    }
}
