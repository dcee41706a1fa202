//! How many channels, groups and bytes per split: pure arithmetic, shown by `etl plan`.
//!
//! The rules are DataX's (`JobContainer`: total speed over channel speed, the smaller of bytes and rows, five
//! channels to a task group), with our own defaults where nothing is limited.

use serde::Serialize;

use crate::job::Limits;
use crate::run::budget::{self, Work};
use crate::runner::share;
use crate::shape::{TableShape, counted};

/// Channels of one task group when nothing is said, as in DataX.
pub const GROUP_CHANNELS: usize = 5;

/// No job has more channels than this: each may hold a connection on either side.
pub const CHANNELS_MAX: usize = 1024;

/// Bytes of a split, between which the goal is chosen.
const SPLIT_BYTES: std::ops::RangeInclusive<u64> = (8 << 20)..=(64 << 20);

/// Splits per channel that even out differences between them.
const SPLITS_PER_CHANNEL: u64 = 8;

/// Rows that a channel of a query holds at least, as parts of the memory that one row needs: two sorted ones to merge.
const GATHERED_ROWS: u64 = 3;

/// Bytes of a row where nobody knows how long they are.
const UNKNOWN_ROW_BYTES: u64 = 256;

/// Rows of so many bytes on average are long, and the longest of them about so many times as long.
const LONG_AVERAGE_BYTES: u64 = 32 << 10;
const LONGEST_OF_AVERAGE: u64 = 16;

/// Bytes of a short text and its offset.
const SHORT_VALUE_BYTES: usize = 16;

/// Channels that a job wants, before it is known what there is to move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// How many.
    pub channels: usize,
    /// Channels of a task group.
    group_channels: usize,
    arithmetic: Vec<String>,
}

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

impl Wanted {
    /// The channels that the limits ask for, else one for each of `cores`.
    pub fn of(limits: &Limits, cores: usize) -> Self {
        let (channels, arithmetic) = asked(limits, cores);
        let group_channels = limits.group_channels.unwrap_or(GROUP_CHANNELS).max(1);
        Self { channels, group_channels, arithmetic }
            .at_most(CHANNELS_MAX, |most| format!("a job has no more than {most} channels"))
    }

    /// No more than `most`, which a sentence explains where it matters.
    #[must_use]
    pub fn at_most(mut self, most: usize, sentence: impl FnOnce(usize) -> String) -> Self {
        let most = most.max(1);
        if self.channels > most {
            self.channels = most;
            self.arithmetic.push(sentence(most));
        }
        self
    }

    /// The groups, now that the source is cut into `splits` of which `readers` may be read at once.
    ///
    /// A channel without work is not made.
    pub fn over(self, splits: usize, readers: Option<usize>) -> Sizing {
        let Self { channels, group_channels, mut arithmetic } = self
            .at_most(readers.unwrap_or(usize::MAX), |most| {
                format!("the source lets {} be read at once", counted(most, "split"))
            })
            .at_most(splits, |_| match splits {
                0 | 1 => "1 split needs no more than 1 channel".to_owned(),
                _ => format!("{splits} splits need no more than {splits} channels"),
            });
        let count = channels.div_ceil(group_channels);
        let groups: Vec<usize> = (0..count).map(|group| share(channels, count, group)).collect();
        let (channel, group) = (counted(channels, "channel"), counted(count, "task group"));
        arithmetic.push(format!("{channel} ÷ {group_channels} = {group}"));
        Sizing { channels, groups, arithmetic }
    }
}

impl Sizing {
    /// The same with one group: all channels take their tasks from one queue, in the order of the splits.
    #[must_use]
    pub fn as_one_group(mut self) -> Self {
        if self.groups.len() > 1 {
            self.arithmetic.push("one group: tasks begin in the order in which the buffer is filled".to_owned());
            self.groups = vec![self.channels];
        }
        self
    }

    /// The same for a plan that runs as a whole: `readers` splits are read at once for `writers` writers.
    #[must_use]
    pub fn as_one_plan(mut self, readers: usize, writers: usize) -> Self {
        // Its channels are not dealt to groups.
        self.arithmetic.pop();
        self.groups = vec![self.channels];
        self.arithmetic.push(format!("{}, {}: one plan", counted(writers, "writer"), counted(readers, "reader")));
        self
    }
}

fn asked(limits: &Limits, cores: usize) -> (usize, Vec<String>) {
    let speed = &limits.speed;
    let by = |what: &str, job: Option<u64>, channel: Option<u64>| {
        let (job, channel) = (job?, channel?.max(1));
        let count = usize::try_from(job / channel).unwrap_or(usize::MAX).max(1);
        let channels = counted(count, "channel");
        Some((count, format!("{job} {what}/s ÷ {channel} {what}/s per channel = {channels}")))
    };
    let limited: Vec<_> =
        [by("bytes", speed.job_bytes, speed.channel_bytes), by("rows", speed.job_rows, speed.channel_rows)]
            .into_iter()
            .flatten()
            .collect();
    if let Some(least) = limited.iter().map(|(count, _)| *count).min() {
        let mut arithmetic: Vec<String> = limited.into_iter().map(|(_, sentence)| sentence).collect();
        if arithmetic.len() > 1 {
            arithmetic.push(format!("the smaller holds: {}", counted(least, "channel")));
        }
        return (least, arithmetic);
    }
    match limits.jobs.map(|jobs| jobs.max(1)) {
        Some(1) => (1, vec!["1 channel was asked for".to_owned()]),
        Some(jobs) => (jobs, vec![format!("{jobs} channels were asked for")]),
        None => (cores.max(1), vec![format!("{} = {}", counted(cores, "core"), counted(cores.max(1), "channel"))]),
    }
}

/// Writers that share all batches, where the limits want them apart from the channels: at most `most`, and no more than can hold one row
/// each, as long as the rows of `shape` are on average.
pub(super) fn writers(limits: &Limits, most: usize, (shape, memory_bytes): (&TableShape, u64)) -> Option<usize> {
    let fed = row_bytes(shape).map_or(most, |row| most.min(budget::channels_of_rows(memory_bytes, row)));
    limits.writers.map(|writers| writers.clamp(1, fed.clamp(1, CHANNELS_MAX)))
}

/// Bytes of a split: what the limits say, else such that each channel gets several, none of them tiny or huge.
pub fn split_bytes(limits: &Limits, source_bytes: Option<u64>, channels: usize) -> u64 {
    if let Some(bytes) = limits.split_bytes {
        return bytes.max(1);
    }
    let Some(bytes) = source_bytes else { return *SPLIT_BYTES.start() };
    (bytes / (channels as u64 * SPLITS_PER_CHANNEL)).clamp(*SPLIT_BYTES.start(), *SPLIT_BYTES.end())
}

/// No more channels than can hold one row each, as long as the rows of `shape` are on average, or gather them.
pub(super) fn for_rows_of(wanted: Wanted, shape: &TableShape, work: Work, memory_bytes: u64) -> Wanted {
    let Some(row) = row_bytes(shape) else { return wanted };
    let most = match work {
        Work::Rows => budget::channels_of_rows(memory_bytes, row),
        Work::Query => gathering_channels(shape, memory_bytes),
    };
    wanted.at_most(most, |most| {
        let channels = if most == 1 { "1 channel is" } else { &format!("{most} channels are") };
        format!("rows of about {row} bytes: {channels} all that {} of memory feed", budget::size(memory_bytes))
    })
}

/// How many channels of a query can gather rows of `shape` at the same time.
pub(super) fn gathering_channels(shape: &TableShape, memory_bytes: u64) -> usize {
    budget::channels_of_rows(memory_bytes, gathered_row_bytes(shape).saturating_mul(GATHERED_ROWS))
}

/// Bytes of a row of `shape` on average.
fn row_bytes(shape: &TableShape) -> Option<u64> {
    Some(shape.bytes? / shape.rows.filter(|rows| *rows > 0)?)
}

/// Bytes of a row of `shape` that is gathered in Arrow: the average, where it is known, and at least what its columns take with
/// short values. Where rows are long on average, some are much longer.
pub(super) fn gathered_row_bytes(shape: &TableShape) -> u64 {
    let columns = shape.schema.fields().iter();
    let least = columns.map(|field| field.data_type().primitive_width().unwrap_or(SHORT_VALUE_BYTES) as u64).sum();
    let row = row_bytes(shape).unwrap_or(UNKNOWN_ROW_BYTES).max(least);
    if row < LONG_AVERAGE_BYTES { row } else { row.saturating_mul(LONGEST_OF_AVERAGE) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::job::Speed;

    fn size(limits: &Limits, cores: usize, splits: usize) -> Sizing {
        Wanted::of(limits, cores).over(splits, None)
    }

    fn limits(jobs: Option<usize>, speed: Speed) -> Limits {
        Limits { jobs, speed, ..Limits::default() }
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
    fn a_gathered_row_counts_its_average_and_at_least_its_columns_and_a_long_one_more() {
        let fields =
            [("id", DataType::Int64), ("name", DataType::Utf8)].map(|(name, kind)| Field::new(name, kind, true));
        let mut shape = TableShape::of(Arc::new(Schema::new(fields.to_vec())));
        assert_eq!(gathered_row_bytes(&shape), 256);
        (shape.rows, shape.bytes) = (Some(10), Some(50));
        assert_eq!(gathered_row_bytes(&shape), 24);
        shape.bytes = Some(5000);
        assert_eq!(gathered_row_bytes(&shape), 500);
        shape.bytes = Some(3_000_000);
        assert_eq!(gathered_row_bytes(&shape), 4_800_000);
        assert_eq!([128 << 20, 512 << 20].map(|memory_bytes| gathering_channels(&shape, memory_bytes)), [1, 4]);
    }

    #[test]
    fn a_job_limit_alone_does_not_change_the_channels() {
        let speed = Speed { job_bytes: Some(10), ..Speed::default() };
        assert_eq!(size(&limits(Some(3), speed), 8, 1000).channels, 3);
        assert_eq!(size(&limits(None, speed), 8, 1000).channels, 8);
    }

    #[test]
    fn never_more_channels_than_splits_or_readers() {
        let sizing = size(&limits(Some(16), Speed::default()), 2, 3);
        assert_eq!((sizing.channels, sizing.arithmetic[1].as_str()), (3, "3 splits need no more than 3 channels"));
        let sizing = size(&limits(Some(2), Speed::default()), 2, 1);
        assert_eq!(sizing.arithmetic[1], "1 split needs no more than 1 channel");
        assert_eq!(size(&limits(None, Speed::default()), 2, 0).channels, 1);
        let sizing = Wanted::of(&limits(Some(8), Speed::default()), 2).over(100, Some(3));
        assert_eq!((sizing.channels, sizing.arithmetic[1].as_str()), (3, "the source lets 3 splits be read at once"));
    }

    #[test]
    fn groups_are_as_large_as_is_asked_for() {
        let grouped = |channels| Limits { group_channels: Some(channels), ..limits(Some(7), Speed::default()) };
        let sizing = size(&grouped(3), 2, 100);
        assert_eq!((sizing.groups, sizing.arithmetic[1].as_str()), (vec![3, 2, 2], "7 channels ÷ 3 = 3 task groups"));
        assert_eq!(size(&grouped(0), 2, 100).groups.len(), 7);
        assert_eq!(size(&limits(Some(7), Speed::default()), 2, 100).groups, [4, 3]);
    }

    #[test]
    fn what_bounds_the_channels_is_said() {
        let sizing = size(&limits(Some(5000), Speed::default()), 2, 100_000);
        assert_eq!(sizing.channels, CHANNELS_MAX);
        assert_eq!(sizing.arithmetic[..2], ["5000 channels were asked for", "a job has no more than 1024 channels"]);
        let wanted = Wanted::of(&limits(Some(64), Speed::default()), 2);
        let fed = wanted.at_most(32, |most| format!("{most} are fed")).over(100, None);
        assert_eq!((fed.channels, fed.arithmetic[1].as_str()), (32, "32 are fed"));
    }

    #[test]
    fn no_more_writers_than_hold_a_row_each() {
        let limits = Limits { writers: Some(8), ..Limits::default() };
        let unknown = TableShape::of(Arc::new(Schema::empty()));
        let long = TableShape { rows: Some(10), bytes: Some(300 << 20), ..unknown.clone() };
        let memory_bytes = 512 << 20;
        assert_eq!(writers(&limits, 100, (&unknown, memory_bytes)), Some(8));
        assert_eq!(writers(&limits, 3, (&unknown, memory_bytes)), Some(3));
        // Each row is there up to eight times.
        assert_eq!(writers(&limits, 100, (&long, memory_bytes)), Some(2));
        assert_eq!(writers(&Limits::default(), 100, (&unknown, memory_bytes)), None);
    }

    #[test]
    fn a_plan_of_one_piece_says_who_reads_and_writes() {
        let sizing = size(&limits(Some(7), Speed::default()), 2, 100).as_one_plan(7, 1);
        assert_eq!(sizing.arithmetic, ["7 channels were asked for", "1 writer, 7 readers: one plan"]);
    }

    #[test]
    fn a_split_is_as_large_as_asked_for_or_as_its_channels_need() {
        let asked = Limits { split_bytes: Some(8192), ..Limits::default() };
        assert_eq!(split_bytes(&asked, Some(1 << 30), 2), 8192);
        assert_eq!(split_bytes(&Limits::default(), Some(1 << 30), 2), 64 << 20);
        assert_eq!(split_bytes(&Limits::default(), None, 2), 8 << 20);
    }
}
