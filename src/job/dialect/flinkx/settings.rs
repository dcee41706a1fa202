//! `job.setting`: channels and speed, rows that may be refused, how a run is gone on with and begun again, the log.

use serde_json::json;

use super::{flag_of, integer_of, present, text_of, unsupported};
use crate::error::Result;
use crate::job::locator::FILE;
use crate::job::tree::Node;
use crate::job::{
    ErrorPolicy, Limits, LogFile, LogLevel, MaxErrors, OnError, Place, RejectsFormat, RetryGrowth, Speed,
};
use crate::object::ObjectRef;

/// The folder of the log, unless the job says it.
const LOG_FOLDER: &str = "out/dtstack/flinkx/";

/// The log in it: runs have no number by which it could be called.
const LOG_NAME: &str = "job.log";

/// What holds for the whole job.
#[derive(Debug)]
pub(super) struct Settings<'a> {
    pub(super) limits: Limits,
    pub(super) errors: ErrorPolicy,
    /// How many readers the job asks for.
    pub(super) channels: usize,
    pub(super) restore: Restore<'a>,
    pub(super) log: Option<LogFile>,
    pub(super) notes: Vec<String>,
}

/// Whether a run that was interrupted is to be gone on with.
#[derive(Debug)]
pub(super) enum Restore<'a> {
    Off,
    On {
        /// Where the column is named that tells how far a run came.
        column: Option<Node<'a>>,
    },
}

impl<'a> Settings<'a> {
    /// What `setting` says; `restart` may stand in one of the `parameters` of reader and writer, too.
    pub(super) fn read(setting: Option<&Node<'a>>, parameters: [&Node<'a>; 2]) -> Result<Self> {
        let mut notes = Vec::new();
        let block = |key: &str| setting.and_then(|setting| setting.get(key));
        let restore = restore(block("restore").as_ref())?;
        let (mut limits, channels) = speed(block("speed").as_ref(), &restore)?;
        let errors = errors(block("errorLimit").as_ref(), block("dirty").as_ref(), &restore, &mut notes)?;
        let restart = block("restart").or_else(|| parameters.iter().find_map(|parameter| parameter.get("restart")));
        if let Some(restart) = restart {
            self::restart(&restart, &mut limits, &mut notes)?;
        }
        let log = block("log").map_or(Ok(None), |log| self::log(&log))?;
        if let Some(test) = block("test") {
            tested(&test)?;
        }
        Ok(Self { limits, errors, channels, restore, log, notes })
    }
}

/// A number of channels; none for absence and −1.
fn channels(speed: &Node<'_>, key: &str) -> Result<Option<usize>> {
    let number = integer_of(speed, key)?;
    Ok(number.and_then(|number| usize::try_from(number).ok()).filter(|number| *number > 0))
}

fn speed(speed: Option<&Node<'_>>, restore: &Restore<'_>) -> Result<(Limits, usize)> {
    let Some(speed) = speed else { return Ok((Limits { jobs: Some(1), ..Limits::default() }, 1)) };
    let all = channels(speed, "channel")?.unwrap_or(1);
    let readers = channels(speed, "readerChannel")?.unwrap_or(all);
    let writers = channels(speed, "writerChannel")?.unwrap_or(all);
    // What is gone on with is known by the splits that one task wrote, and not by rows of all of them.
    let is_dealt = flag_of(speed, "rebalance")? && readers > 1 && matches!(restore, Restore::Off);
    // The greatest number stands for no limit.
    let bytes = present(speed, "bytes").map(|bytes| bytes.number()).transpose()?;
    let bytes = bytes.filter(|bytes| (1.0..i64::MAX as f64).contains(bytes)).map(|bytes| bytes as u64);
    let limits = Limits {
        jobs: Some(readers),
        writers: (readers != writers || is_dealt).then_some(writers),
        speed: Speed { job_bytes: bytes, ..Speed::default() },
        ..Limits::default()
    };
    Ok((limits, readers))
}

/// Rows that are refused: without the block none, and in it no limit where a key is absent.
fn errors(
    limit: Option<&Node<'_>>,
    dirty: Option<&Node<'_>>,
    restore: &Restore<'_>,
    notes: &mut Vec<String>,
) -> Result<ErrorPolicy> {
    let rows = limit.map_or(Ok(Some(0)), |limit| integer_of(limit, "record"))?;
    let rows = rows.and_then(|rows| u64::try_from(rows).ok());
    let percent = limit.map_or(Ok(None), percentage)?;
    let rejects = dirty.map_or(Ok(None), rejects)?;
    let max_errors = match (rows, percent) {
        (None, None) => None,
        (Some(rows), None) => Some(MaxErrors::Rows(rows)),
        (None, Some(percent)) => Some(MaxErrors::Percent(percent)),
        (Some(rows), Some(percent)) => Some(MaxErrors::Both { rows, percent }),
    };
    if matches!(restore, Restore::On { .. }) {
        if limit.is_some() || rejects.is_some() {
            notes.push(
                "with isRestore the first row that is refused ends the job, as with FlinkX: errorLimit and dirty have no use"
                    .to_owned(),
            );
        }
        return Ok(ErrorPolicy::default());
    }
    if rows == Some(0) && rejects.is_none() {
        return Ok(ErrorPolicy::default());
    }
    if max_errors.is_none() {
        notes.push(
            "errorLimit has neither record nor percentage: any number of rows is left out, and the job succeeds"
                .to_owned(),
        );
    }
    let (on_error, rejects_format) = (OnError::Skip, RejectsFormat::Flinkx);
    Ok(ErrorPolicy { on_error, max_errors, rejects, rejects_format, ..ErrorPolicy::default() })
}

/// How many of a hundred rows; none for absence and −1.
fn percentage(limit: &Node<'_>) -> Result<Option<f64>> {
    let Some(node) = present(limit, "percentage") else { return Ok(None) };
    match node.number()? {
        number if number < 0.0 => Ok(None),
        number if number > 100.0 => Err(node.error("a share of rows lies between 0 and 100")),
        number => Ok(Some(number)),
    }
}

/// The folder for rows that are refused.
fn rejects(dirty: &Node<'_>) -> Result<Option<Place>> {
    let Some(node) = present(dirty, "path") else { return Ok(None) };
    let path = node.text()?;
    let path = path.trim().strip_prefix("file://").unwrap_or(path.trim());
    if path.contains("://") {
        let hint = "name a folder of this machine, and copy it with hdfs dfs -put";
        return Err(unsupported(&node, "rows that are refused are written to this machine alone", hint));
    }
    let options = json!({"url": format!("{}/", path.trim_end_matches('/')), "prefix": "dirty"});
    Ok(Some(Place::new(FILE, options, ObjectRef::Whole)))
}

fn restore<'a>(restore: Option<&Node<'a>>) -> Result<Restore<'a>> {
    let Some(restore) = restore else { return Ok(Restore::Off) };
    let name = present(restore, "restoreColumnName");
    let place = present(restore, "restoreColumnIndex").filter(|place| !place.integer().is_ok_and(|place| place < 0));
    Ok(if flag_of(restore, "isRestore")? { Restore::On { column: name.or(place) } } else { Restore::Off })
}

/// How tasks that failed are begun again.
fn restart(restart: &Node<'_>, limits: &mut Limits, notes: &mut Vec<String>) -> Result<()> {
    let strategy = text_of(restart, "strategy")?.unwrap_or_else(|| "fixedDelay".to_owned());
    let number = |key: &str, default: u64| -> Result<u64> {
        let Some(node) = present(restart, key) else { return Ok(default) };
        u64::try_from(node.integer()?).map_err(|_| node.error("it is 0 or more"))
    };
    let (attempts, seconds) = (number("restartAttempts", 5)?, number("delayInterval", 10)?);
    let (failures, interval) = (number("failureRate", 2)?, number("failureInterval", 60)?);
    let times = match strategy.to_lowercase().as_str() {
        "fixeddelay" => attempts,
        "failurerate" => {
            notes.push(format!("failureRate: {failures} failures of one task within {interval} s end the job"));
            limits.retry_within_milliseconds = Some(interval.saturating_mul(1000));
            failures
        }
        "norestart" => 0,
        _ => {
            let node = restart.need("strategy")?;
            let error = node.error(format!("there is no strategy {strategy:?}"));
            return Err(error.with_hint("the strategies are fixedDelay, failureRate and NoRestart"));
        }
    };
    let pause = seconds.saturating_mul(1000);
    limits.retries = Some(u32::try_from(times).unwrap_or(u32::MAX));
    limits.retry_first_milliseconds = Some(pause);
    limits.retry_max_milliseconds = Some(pause);
    limits.retry_growth = RetryGrowth::Constant;
    notes.push(format!("restart: a task that fails is begun again {times} times at most, {seconds} s later each time"));
    Ok(())
}

/// Where what is said is written, too.
fn log(log: &Node<'_>) -> Result<Option<LogFile>> {
    let level = text_of(log, "level")?.unwrap_or_else(|| "info".to_owned());
    let level = match level.to_lowercase().as_str() {
        "error" | "fatal" => Some(LogLevel::Error),
        "warn" | "warning" => Some(LogLevel::Note),
        "info" | "debug" | "trace" | "all" => Some(LogLevel::All),
        "off" => None,
        _ => return Err(log.need("level")?.error(format!("there is no level {level:?}"))),
    };
    let folder = text_of(log, "path")?.unwrap_or_else(|| LOG_FOLDER.to_owned());
    if !flag_of(log, "isLogger")? {
        return Ok(None);
    }
    let path = format!("{}/{LOG_NAME}", folder.trim_end_matches('/'));
    Ok(level.map(|level| LogFile { path, bytes: LogFile::BYTES, level }))
}

/// What is there to try `FlinkX` itself.
fn tested(test: &Node<'_>) -> Result<()> {
    let Some(node) = present(test, "speedTest").filter(|node| node.text().is_ok_and(|side| side != "none")) else {
        test.json();
        return Ok(());
    };
    let hint = "copy to null: to measure the reader, and from gen: to measure the writer";
    Err(unsupported(&node, "sides are not measured by a key of the job", hint))
}
