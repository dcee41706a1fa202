//! `job.setting` and `core`: channels, speed, how many rows may be dirty, the zone of dates.

use super::lacks::{CORE, JOB, LACKS};
use crate::error::Result;
use crate::job::tree::Node;
use crate::job::{ErrorPolicy, Limits, MaxErrors, OnError, RetryGrowth, Speed};

/// The zone of every date unless the job names another one.
const ZONE: &str = "+08:00";

/// In which forms a text is a date beside the usual ones, as `core.json` is shipped.
const EXTRA_FORMATS: [&str; 1] = ["yyyyMMdd"];

/// The pause between attempts of a task unless the job names another one.
const FAIL_OVER_MILLISECONDS: u64 = 10_000;

/// What holds for the whole job.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) limits: Limits,
    pub(super) errors: ErrorPolicy,
    /// How many channels the job asks for.
    pub(super) channels: u64,
    pub(super) zone: String,
    /// In which forms a text is a date beside the usual ones, in Java's notation.
    pub(super) extra_formats: Vec<String>,
    pub(super) dry_run: bool,
    pub(super) notes: Vec<String>,
    /// Keys that do nothing here.
    pub(super) idle: Vec<String>,
}

impl Settings {
    pub(super) fn read(root: &Node<'_>, job: &Node<'_>) -> Result<Self> {
        let mut notes = Vec::new();
        let setting = job.get("setting");
        let (limits, channels) = limits(root, job, &mut notes)?;
        let errors = errors(setting.as_ref(), &mut notes)?;
        let dry_run = setting.as_ref().and_then(|setting| setting.get("dryRun"));
        // It is for who prints what the job does.
        _ = root.at("core.container.job.reportInterval");
        Ok(Self {
            limits,
            errors,
            channels,
            zone: zone(root)?,
            extra_formats: extra_formats(root)?,
            dry_run: dry_run.map_or(Ok(false), |node| node.flag())?,
            notes,
            idle: [LACKS.given(CORE, root), LACKS.given(JOB, job)].concat(),
        })
    }
}

/// A positive number; nothing for absence, an empty text, zero and below.
fn positive(node: Option<Node<'_>>) -> Result<Option<u64>> {
    let Some(node) = node else { return Ok(None) };
    if node.text().is_ok_and(|text| text.is_empty()) {
        return Ok(None);
    }
    Ok(u64::try_from(node.integer()?).ok().filter(|number| *number > 0))
}

fn limits(root: &Node<'_>, job: &Node<'_>, notes: &mut Vec<String>) -> Result<(Limits, u64)> {
    let speed = job.need("setting")?.need("speed")?;
    let channel = |key: &str| positive(root.at(&format!("core.transport.channel.speed.{key}")));
    let (channel_bytes, channel_rows) = (channel("byte")?, channel("record")?);
    let (job_bytes, job_rows, jobs) = if speed.is_object() {
        let jobs = speed.get("channel").map(|node| node.integer()).transpose()?;
        (positive(speed.get("byte"))?, positive(speed.get("record"))?, jobs.and_then(|jobs| u64::try_from(jobs).ok()))
    } else {
        notes.push("job.setting.speed is a number: it is taken as bytes per second of the job".to_owned());
        (positive(Some(speed.clone()))?, None, None)
    };
    let by = |total: Option<u64>, each: Option<u64>| Some((total? / each?).max(1));
    let least = [by(job_bytes, channel_bytes), by(job_rows, channel_rows)].into_iter().flatten().min();
    let total = job_bytes.or(job_rows).is_some();
    let jobs = jobs.filter(|jobs| *jobs > 0);
    if least.is_none() && total {
        notes.push(
            "a speed of the job without that of a channel is a limit of the whole job, with one channel".to_owned(),
        );
    }
    let channels = match (least, total, jobs) {
        (Some(least), ..) => least,
        (None, true, _) => 1,
        (None, false, Some(jobs)) => jobs,
        (None, false, None) => {
            return Err(speed
                .error("the speed names neither channel nor byte nor record")
                .with_hint("say \"channel\": 1"));
        }
    };
    let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let limits = Limits {
        jobs: Some(whole(channels)),
        group_channels: positive(root.at("core.container.taskGroup.channel"))?.map(whole),
        speed: Speed { job_bytes, job_rows, channel_bytes, channel_rows },
        ..fail_over(root)?
    };
    Ok((limits, channels))
}

/// Attempts of a task, where the job names their number, and the pause between them.
fn fail_over(root: &Node<'_>) -> Result<Limits> {
    let path = "core.container.task.failOver";
    let Some(attempts) = positive(root.at(&format!("{path}.maxRetryTimes")))? else { return Ok(Limits::default()) };
    let pause = positive(root.at(&format!("{path}.retryIntervalInMsec")))?.unwrap_or(FAIL_OVER_MILLISECONDS);
    Ok(Limits {
        retries: Some(u32::try_from(attempts - 1).unwrap_or(u32::MAX)),
        retry_first_milliseconds: Some(pause),
        retry_max_milliseconds: Some(pause),
        retry_growth: RetryGrowth::Constant,
        ..Limits::default()
    })
}

/// Dirty rows are left out, without a limit unless the job sets one; a number of rows wins over a share.
fn errors(setting: Option<&Node<'_>>, notes: &mut Vec<String>) -> Result<ErrorPolicy> {
    let limit = setting.and_then(|setting| setting.get("errorLimit"));
    // An empty text is none, as in DataX.
    let said = |key: &str| limit.as_ref()?.get(key).filter(|node| !node.text().is_ok_and(|text| text.is_empty()));
    let (record, percentage) = (said("record"), said("percentage"));
    let share = percentage.map(|node| (node.number(), node));
    let share = match share {
        Some((number, node)) => {
            let share = number?;
            if !(0.0..=1.0).contains(&share) {
                return Err(node.error("a share of dirty rows lies between 0 and 1"));
            }
            // 0.29 of 100 is 29, and not the binary fraction just below it.
            Some(MaxErrors::Percent((share * 1e11).round() / 1e9))
        }
        None => None,
    };
    let rows = match record {
        Some(node) => {
            let rows = u64::try_from(node.integer()?);
            Some(MaxErrors::Rows(rows.map_err(|_| node.error("a number of dirty rows is 0 or more"))?))
        }
        None => None,
    };
    let max_errors = rows.or(share);
    if max_errors.is_none() {
        notes.push("no errorLimit is set: any number of dirty rows is left out, and the job succeeds".to_owned());
    }
    Ok(ErrorPolicy { on_error: OnError::Skip, max_errors, ..ErrorPolicy::default() })
}

fn extra_formats(root: &Node<'_>) -> Result<Vec<String>> {
    match root.at("common.column.extraFormats") {
        Some(node) => node.one_or_more().iter().map(Node::text).collect(),
        None => Ok(EXTRA_FORMATS.map(str::to_owned).into()),
    }
}

fn zone(root: &Node<'_>) -> Result<String> {
    let Some(node) = root.at("common.column.timeZone") else { return Ok(ZONE.to_owned()) };
    let text = node.text()?;
    let offset = match text.as_str() {
        "" | "Asia/Shanghai" | "PRC" | "CTT" => Some(ZONE.to_owned()),
        "UTC" | "GMT" | "Etc/UTC" | "Z" => Some("+00:00".to_owned()),
        other => offset(other.strip_prefix("GMT").or_else(|| other.strip_prefix("UTC")).unwrap_or(other)),
    };
    offset
        .ok_or_else(|| node.error(format!("the zone {text:?} is not known")).with_hint("write it as an offset: GMT+8"))
}

/// `+8`, `-03:30` or `+0530` as `+08:00`, `-03:30`, `+05:30`.
fn offset(text: &str) -> Option<String> {
    let sign = text.chars().next().filter(|sign| matches!(sign, '+' | '-'))?;
    let digits = &text[1..];
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 && digits.is_ascii() => digits.split_at(2),
        None => (digits, "0"),
    };
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 19 && minutes < 60).then(|| format!("{sign}{hours:02}:{minutes:02}"))
}
