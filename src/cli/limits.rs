//! How fast, how much at once, and how often again: the flags, and the limits of a job that they mean.

use clap::{Args, ValueEnum};

use super::settings::usage;
use super::size::{BufferFolder, Bytes, Pause, Rate};
use crate::error::Result;
use crate::job::{Limits, RetryGrowth, Speed};

#[derive(Debug, Args)]
#[command(next_help_heading = "Speed and memory")]
pub(super) struct LimitArgs {
    /// Channels: splits that are moved at once [default: number of cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    jobs: Option<u32>,
    /// Writers that share all rows evenly [default: one for each channel]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    writers: Option<u32>,
    /// Channels of a task group, which have one queue [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    group: Option<u32>,
    /// Threads for decoding, casting and encoding [default: number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    /// Memory for rows in flight, 64MiB at least [default: 512MiB]
    #[arg(long, value_name = "SIZE")]
    memory: Option<Bytes>,
    /// Let rows wait on disk for a slow DST, 10GiB at most, and free SRC
    #[arg(long, value_name = "DIR[:SIZE]")]
    buffer: Option<BufferFolder>,
    /// Speed of the whole copy: '50MB/s', '100k rows/s', or one of each
    #[arg(long, value_name = "SPEED")]
    limit_rate: Vec<Rate>,
    /// Speed of a channel; with --limit-rate it gives the number of channels
    #[arg(long, value_name = "SPEED")]
    channel_rate: Vec<Rate>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "After a failure that may pass")]
pub(super) struct RetryArgs {
    /// Further attempts of a task [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
    retry: Option<u32>,
    /// The pause before the first of them: '10s', '500ms' [default: 1s]
    #[arg(long, value_name = "TIME")]
    retry_pause: Option<Pause>,
    /// The longest pause before one [default: 60s]
    #[arg(long, value_name = "TIME")]
    retry_max: Option<Pause>,
    /// How pauses grow: doubling, or constant [default: doubling]
    #[arg(long, value_enum, value_name = "HOW", hide_possible_values = true)]
    retry_growth: Option<Growth>,
    /// Let failures that are longer ago not count [default: all count]
    #[arg(long, value_name = "TIME")]
    retry_within: Option<Pause>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Growth {
    /// Each is twice as long as the one before
    Doubling,
    /// All are as long as the first
    Constant,
}

/// The limits that were typed.
pub(super) fn limits(args: &LimitArgs, retries: &RetryArgs) -> Result<Limits> {
    let (job_bytes, job_rows) = one_of_each("--limit-rate", &args.limit_rate)?;
    let (channel_bytes, channel_rows) = one_of_each("--channel-rate", &args.channel_rate)?;
    let count = |number: Option<u32>| number.map(|number| number as usize);
    Ok(Limits {
        jobs: count(args.jobs),
        writers: count(args.writers),
        group_channels: count(args.group),
        threads: count(args.threads),
        memory_bytes: args.memory.map(|memory| memory.0),
        retries: retries.retry,
        retry_first_milliseconds: retries.retry_pause.map(|pause| pause.0),
        retry_max_milliseconds: retries.retry_max.map(|pause| pause.0),
        retry_growth: match retries.retry_growth {
            None | Some(Growth::Doubling) => RetryGrowth::Doubling,
            Some(Growth::Constant) => RetryGrowth::Constant,
        },
        retry_within_milliseconds: retries.retry_within.map(|time| time.0),
        answer_milliseconds: None,
        split_bytes: None,
        buffer: args.buffer.clone().map(|buffer| buffer.0),
        speed: Speed { job_bytes, job_rows, channel_bytes, channel_rows },
    })
}

/// Bytes and rows per second of `flag`, which takes one speed of each unit.
fn one_of_each(flag: &str, typed: &[Rate]) -> Result<(Option<u64>, Option<u64>)> {
    let (mut bytes, mut rows) = (None, None);
    for rate in typed {
        let (slot, limit) = match *rate {
            Rate::Bytes(limit) => (&mut bytes, limit),
            Rate::Rows(limit) => (&mut rows, limit),
        };
        if slot.replace(limit).is_some() {
            return Err(usage(format!("{flag} was given twice in the same unit")).with_hint("give each unit once"));
        }
    }
    Ok((bytes, rows))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        limits: LimitArgs,
        #[command(flatten)]
        retries: RetryArgs,
    }

    fn of(words: &str) -> Result<Limits> {
        let typed = Typed::try_parse_from(["etl"].into_iter().chain(words.split('|').filter(|word| !word.is_empty())));
        let Typed { limits, retries } = typed.unwrap();
        super::limits(&limits, &retries)
    }

    #[test]
    fn nothing_typed_limits_nothing() {
        assert_eq!(of("").unwrap(), Limits::default());
    }

    #[test]
    fn a_speed_is_given_once_in_each_unit() {
        let limits = of("--limit-rate|1MB/s|--limit-rate|5 rows/s|-j3|--channel-rate|10kB/s|--channel-rate|2 rows/s");
        let speed =
            Speed { job_bytes: Some(1_000_000), job_rows: Some(5), channel_bytes: Some(10_000), channel_rows: Some(2) };
        assert_eq!(limits.unwrap(), Limits { jobs: Some(3), speed, ..Limits::default() });
        for twice in ["--limit-rate|1MB/s|--limit-rate|2MB/s", "--channel-rate|1 rows/s|--channel-rate|2 rows/s"] {
            let flag = twice.split('|').next().unwrap();
            assert!(of(twice).unwrap_err().message().starts_with(flag), "{twice}");
        }
    }

    #[test]
    fn each_flag_has_its_limit() {
        let words = "--writers|4|--group|2|--retry|7|--retry-pause|10s|--retry-growth|constant|--retry-within|1m";
        let wanted = Limits {
            writers: Some(4),
            group_channels: Some(2),
            retries: Some(7),
            retry_first_milliseconds: Some(10_000),
            retry_growth: RetryGrowth::Constant,
            retry_within_milliseconds: Some(60_000),
            ..Limits::default()
        };
        assert_eq!(of(words).unwrap(), wanted);
    }
}
