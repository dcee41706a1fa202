//! How many channels, groups and bytes per split: pure arithmetic, shown by `etl plan`.
//!
//! The rules are DataX's (`JobContainer`: total speed over channel speed, the smaller of bytes and rows, five
//! channels to a task group), with our own defaults where nothing is limited.

use serde::Serialize;

use crate::job::Limits;
use crate::runner::share;

/// Channels of one task group, as in DataX.
pub const GROUP_CHANNELS: usize = 5;

/// More channels than this are refused: each may hold a connection on either side.
pub const CHANNELS_MAX: usize = 1024;

/// Bytes of a split, between which the goal is chosen.
const SPLIT_BYTES: std::ops::RangeInclusive<u64> = (8 << 20)..=(64 << 20);

/// Splits per channel that even out differences between them.
const SPLITS_PER_CHANNEL: u64 = 8;

/// Channels and groups of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sizing {
    /// Splits that are moved at once.
    pub channels: usize,
    /// Channels of each group; their sum is `channels`.
    pub groups: Vec<usize>,
    /// How it was reckoned, one sentence each.
    pub arithmetic: Vec<String>,
}

/// Reckons channels and groups of a job from its limits, the cores, and what there is to move.
///
/// `splits` bounds the groups: a group without work is not made.
pub fn size(limits: &Limits, cores: usize, splits: usize) -> Sizing {
    let (wanted, mut arithmetic) = channels(limits, cores);
    let channels = wanted.min(splits.max(1));
    if channels < wanted {
        arithmetic.push(format!("{splits} splits need no more than {channels} channels"));
    }
    let count = channels.div_ceil(GROUP_CHANNELS);
    let groups: Vec<usize> = (0..count).map(|group| share(channels, count, group)).collect();
    arithmetic.push(format!("{channels} channels ÷ {GROUP_CHANNELS} = {count} task groups"));
    Sizing { channels, groups, arithmetic }
}

/// Reckons the channels that the limits ask for, before anything is known of the source.
pub fn channels(limits: &Limits, cores: usize) -> (usize, Vec<String>) {
    let speed = &limits.speed;
    let by = |what: &str, job: Option<u64>, channel: Option<u64>| {
        let (job, channel) = (job?, channel?.max(1));
        let count = usize::try_from(job / channel).unwrap_or(usize::MAX).clamp(1, CHANNELS_MAX);
        Some((count, format!("{job} {what}/s ÷ {channel} {what}/s per channel = {count} channels")))
    };
    let limited: Vec<_> =
        [by("bytes", speed.job_bytes, speed.channel_bytes), by("rows", speed.job_rows, speed.channel_rows)]
            .into_iter()
            .flatten()
            .collect();
    if let Some(least) = limited.iter().map(|(count, _)| *count).min() {
        let mut arithmetic: Vec<String> = limited.into_iter().map(|(_, sentence)| sentence).collect();
        if arithmetic.len() > 1 {
            arithmetic.push(format!("the smaller holds: {least} channels"));
        }
        return (least, arithmetic);
    }
    match limits.jobs {
        Some(jobs) => (jobs.clamp(1, CHANNELS_MAX), vec![format!("{jobs} channels were asked for")]),
        None => (cores.max(1), vec![format!("{cores} cores = {} channels", cores.max(1))]),
    }
}

/// Bytes of a split, so that each channel gets several, none of them tiny or huge.
pub fn split_bytes(source_bytes: Option<u64>, channels: usize) -> u64 {
    let Some(bytes) = source_bytes else { return *SPLIT_BYTES.start() };
    (bytes / (channels as u64 * SPLITS_PER_CHANNEL)).clamp(*SPLIT_BYTES.start(), *SPLIT_BYTES.end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Speed;

    fn limits(jobs: Option<usize>, speed: Speed) -> Limits {
        Limits { jobs, speed, ..Limits::default() }
    }

    #[test]
    fn a_hundred_tables_at_twenty_channels_are_four_groups_of_five_channels_and_25_tables() {
        let sizing = size(&limits(Some(20), Speed::default()), 2, 100);
        assert_eq!(sizing.groups, [5, 5, 5, 5]);
        let tables: Vec<usize> = (0..4).map(|group| share(100, sizing.groups.len(), group)).collect();
        assert_eq!(tables, [25, 25, 25, 25]);
    }

    #[test]
    fn the_smaller_of_bytes_and_rows_holds_and_each_is_at_least_one() {
        let speed =
            Speed { job_bytes: Some(10_000), channel_bytes: Some(100), job_rows: Some(5_000), channel_rows: Some(100) };
        assert_eq!(size(&limits(Some(1), speed), 2, 1000).channels, 50);
        let slow = Speed { job_bytes: Some(10), channel_bytes: Some(100), ..Speed::default() };
        assert_eq!(size(&limits(None, slow), 8, 1000).channels, 1);
    }

    #[test]
    fn a_job_limit_alone_does_not_change_the_channels() {
        let speed = Speed { job_bytes: Some(10), ..Speed::default() };
        assert_eq!(size(&limits(Some(3), speed), 8, 1000).channels, 3);
        assert_eq!(size(&limits(None, speed), 8, 1000).channels, 8);
    }

    #[test]
    fn never_more_channels_than_splits() {
        assert_eq!(size(&limits(Some(16), Speed::default()), 2, 3).channels, 3);
        assert_eq!(size(&limits(None, Speed::default()), 2, 0).channels, 1);
    }
}
