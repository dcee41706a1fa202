//! `job.setting` and `core`: channels, speed, attempts.

use std::time::Duration;

use super::duration::duration;
use super::flag;
use super::lacks::{CORE, JOB, LACKS};
use crate::error::Result;
use crate::job::tree::Node;
use crate::job::{ErrorPolicy, Limits, OnError, RetryGrowth, Speed};

/// What holds for the whole job.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) limits: Limits,
    pub(super) errors: ErrorPolicy,
    pub(super) notes: Vec<String>,
    /// Keys that do nothing here.
    pub(super) idle: Vec<String>,
}

impl Settings {
    pub(super) fn read(root: &Node<'_>, job: &Node<'_>) -> Result<Self> {
        let mut notes = Vec::new();
        refuse_part(root)?;
        // What go-etl wants, or asks for only where the job names no channels.
        for value in ["core.container.job.id", "core.transport.channel.speed"].iter().filter_map(|path| root.at(path)) {
            value.json();
        }
        let setting = job.get("setting");
        let speed = setting.as_ref().and_then(|setting| setting.get("speed"));
        let mut limits = limits(root, speed.as_ref(), &mut notes)?;
        let group = positive(root.at("core.container.taskGroup.channel"), &mut notes)?;
        limits.group_channels = group.and_then(|channels| usize::try_from(channels).ok());
        let mut errors = ErrorPolicy::default();
        if let Some(retry) = setting.as_ref().and_then(|setting| setting.get("retry")) {
            if flag(&retry, "ignoreOneByOneError")? {
                errors.on_error = OnError::Skip;
                notes.push(
                    "ignoreOneByOneError: rows that are refused are left out and counted; in a job file of our own \
                     (etl convert) errors.rejects names a file that keeps them"
                        .to_owned(),
                );
            }
            if let Err(error) = attempts(&retry, &mut limits) {
                notes.push(format!("{error}: it is left out, as go-etl does"));
            }
        }
        let idle = [LACKS.given(CORE, root), LACKS.given(JOB, job)].concat();
        Ok(Self { limits, errors, notes, idle })
    }
}

/// Refuses a part of a job.
fn refuse_part(root: &Node<'_>) -> Result<()> {
    let Some(model) = root.at("core.container.model") else { return Ok(()) };
    if model.text()?.eq_ignore_ascii_case("taskGroup") {
        return Err(model
            .error("this is a part of a job that go-etl has cut up")
            .with_hint("run the whole job, which is cut up here by itself"));
    }
    Ok(())
}

/// A number above zero; nothing for absence, zero and below. A text is taken as the number that it is, which is said.
fn positive(node: Option<Node<'_>>, notes: &mut Vec<String>) -> Result<Option<u64>> {
    let Some(node) = node else { return Ok(None) };
    let number = node.integer()?;
    if node.json().is_string() {
        notes.push(format!("{} is a text: it is taken as {number}, where go-etl leaves it out", node.path()));
    }
    Ok(u64::try_from(number).ok().filter(|number| *number > 0))
}

/// Channels: those that are asked for, else the smaller of bytes and rows over those of a channel.
fn limits(root: &Node<'_>, speed: Option<&Node<'_>>, notes: &mut Vec<String>) -> Result<Limits> {
    let said = |key: &str| speed.and_then(|speed| speed.get(key));
    let (asked, bytes, rows) =
        (positive(said("channel"), notes)?, positive(said("byte"), notes)?, positive(said("record"), notes)?);
    let jobs = |channels: u64| Some(usize::try_from(channels).unwrap_or(usize::MAX));
    if rows.is_some() {
        notes.push(
            "speed.record is how many rows wait in go-etl, and no speed: here they wait by their bytes".to_owned(),
        );
    }
    if asked.is_some() || said("channel").is_none() {
        // Without a number of its own go-etl has one channel for a table, and one for each file.
        let channels = asked.or(bytes.map(|_| 1));
        if let Some(bytes) = bytes {
            notes.push(format!("speed.byte holds for each channel, as in go-etl: {bytes} bytes per second"));
        }
        let speed = Speed { channel_bytes: bytes, ..Speed::default() };
        return Ok(Limits { jobs: channels.and_then(jobs), speed, ..Limits::default() });
    }
    let mut each = |key: &str| positive(root.at(&format!("core.transport.channel.speed.{key}")), notes);
    let (channel_bytes, channel_rows) = (each("byte")?, each("record")?);
    let by = |total: Option<u64>, each: Option<u64>| Some((total? / each?).max(1));
    let least = [by(bytes, channel_bytes), by(rows, channel_rows)].into_iter().flatten().min();
    if least.is_none() {
        let Some(speed) = speed.filter(|_| bytes.or(rows).is_none()) else {
            let limit = if bytes.is_some() { ", and is a limit of the whole job" } else { "" };
            notes.push(format!("a speed of the job without that of a channel makes one channel{limit}"));
            let speed = Speed { job_bytes: bytes, ..Speed::default() };
            return Ok(Limits { jobs: Some(1), speed, ..Limits::default() });
        };
        return Err(speed.error("the speed names neither channel nor byte nor record").with_hint("say \"channel\": 1"));
    }
    let speed = Speed { job_bytes: bytes, ..Speed::default() };
    Ok(Limits { jobs: least.and_then(jobs), speed, ..Limits::default() })
}

/// How often a task is tried again, and after which pauses.
fn attempts(retry: &Node<'_>, limits: &mut Limits) -> Result<()> {
    let Some(kind) = retry.get("type") else { return Ok(()) };
    let strategy = retry.get("strategy").unwrap_or_else(|| retry.clone());
    let time = |key: &str| duration(&strategy.need(key)?);
    let (retries, first, longest, growth) = match kind.text()?.to_lowercase().as_str() {
        "ntimes" => {
            // The first attempt is one of them.
            let times = strategy.need("n")?;
            let all = u32::try_from(times.integer()?).map_err(|_| times.error("a number of attempts is 1 or more"))?;
            let wait = time("wait")?;
            (all.saturating_sub(1), wait, wait, RetryGrowth::Constant)
        }
        "forever" => {
            let wait = time("wait")?;
            (u32::MAX, wait, wait, RetryGrowth::Constant)
        }
        "exponential" => {
            let (first, longest) = (time("init")?, time("max")?);
            (doublings(first, longest), first, longest, RetryGrowth::Doubling)
        }
        other => {
            return Err(kind
                .error(format!("there is no way {other:?} to try again"))
                .with_hint("there are ntimes, exponential and forever"));
        }
    };
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).ok();
    limits.retries = Some(retries);
    limits.retry_first_milliseconds = milliseconds(first);
    limits.retry_max_milliseconds = milliseconds(longest);
    limits.retry_growth = growth;
    Ok(())
}

/// How often `first` can be doubled before it is `longest`: go-etl gives up then.
fn doublings(first: Duration, longest: Duration) -> u32 {
    let waits = std::iter::successors(Some(first.max(Duration::from_nanos(1))), |wait| wait.checked_mul(2));
    waits.take_while(|wait| *wait < longest).count() as u32
}
