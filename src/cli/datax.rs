//! `etl datax`: the flags of datax.py, and what DataX prints at the end.

use std::time::Duration;

use chrono::{DateTime, FixedOffset, Utc};
use clap::Args;

use super::job_file::{Compat, JobFileArgs};
use super::printer;
use super::run::{self, Ended, RunArgs};
use super::template::{self, TemplateArgs};
use super::voice::{Lines, Underway, Voice, java_exit_code};
use crate::flow::meter::{Reading, Transformed};
use crate::job::tree::Tree;
use crate::run::report::Summary;

/// Exit code of datax.py where its words are wrong.
pub(super) const BAD_USAGE: u8 = 255;

#[derive(Debug, Args)]
pub(super) struct DataxArgs {
    /// Job file: a path, or an http(s) URL
    #[arg(value_name = "JOB", required_unless_present_all = ["reader", "writer"])]
    job: Option<String>,
    /// With -w: print an example of a job from this reader, and do nothing
    #[arg(short, long, value_name = "NAME", requires = "writer")]
    reader: Option<String>,
    /// The writer of the example
    #[arg(short, long, value_name = "NAME", requires = "reader")]
    writer: Option<String>,
    /// Variables of the job: "-Dk=v -Dk2=v2"
    #[arg(short, long, value_name = "DEFINITIONS", allow_hyphen_values = true)]
    params: Vec<String>,
    /// Of no use here: options of the Java machine
    #[arg(short, long, value_name = "OPTIONS", allow_hyphen_values = true)]
    jvm: Option<String>,
    /// Of no use here: how DataX runs
    #[arg(short, long, value_name = "MODE")]
    mode: Option<String>,
    /// Of no use here: the number that DataX is known by
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    jobid: Option<String>,
    /// Of no use here: how much DataX writes to its log
    #[arg(long, value_name = "LEVEL")]
    loglevel: Option<String>,
    /// Of no use here: waits for a debugger
    #[arg(short, long)]
    debug: bool,
}

/// Runs a job as `etl run --compat datax` does, or prints an example of one.
pub(super) async fn run(args: DataxArgs) -> Ended {
    if let (Some(reader), Some(writer)) = (args.reader, args.writer) {
        let result = template::run(&TemplateArgs { reader, writer, compat: Some(Compat::Datax) });
        return Ended { result, code: java_exit_code };
    }
    let idle = [
        ("--jvm", args.jvm.is_some()),
        ("--mode", args.mode.is_some()),
        ("--jobid", args.jobid.is_some()),
        ("--loglevel", args.loglevel.is_some()),
        ("--debug", args.debug),
    ];
    for (flag, _) in idle.into_iter().filter(|(_, given)| *given) {
        printer::talk(&format!("note: {flag} of DataX does nothing here"));
    }
    let job = args.job.expect("a job is required without an example");
    let file = JobFileArgs { job, params: args.params, compat: Some(Compat::Datax), ..JobFileArgs::default() };
    run::run(&RunArgs { file, ..RunArgs::default() }).await
}

/// What those who know DataX read.
pub(super) const VOICE: Voice = Voice {
    dialect: Some("datax"),
    exit_code: java_exit_code,
    shows_each: false,
    failure: None,
    report: Some(|finished| report(finished.summaries, [finished.began, finished.ended], zone(finished.tree))),
    lines: Some(Lines { every, line: |underway| progress(underway, zone(underway.tree)) }),
};

/// The time zone of the job's log: `common.column.timeZone`, else DataX's own, GMT+8.
fn zone(tree: &Tree) -> FixedOffset {
    let zone = tree.root().at("common.column.timeZone").and_then(|zone| zone.text().ok());
    zone.as_deref().and_then(offset).unwrap_or_else(|| FixedOffset::east_opt(8 * HOUR).expect("8 hours are no day"))
}

/// Milliseconds between lines of progress unless the job names others.
const REPORT_MILLIS: u64 = 10_000;

/// How often a line of progress is printed: `core.container.job.reportInterval`, but not without a pause.
fn every(tree: &Tree) -> Duration {
    let named = tree.root().at("core.container.job.reportInterval").and_then(|millis| millis.integer().ok());
    let millis = named.and_then(|millis| u64::try_from(millis).ok()).unwrap_or(REPORT_MILLIS);
    Duration::from_millis(millis.max(100))
}

const HOUR: i32 = 3600;

/// `GMT+8`, `GMT-03:30`, `UTC`: zones that are numbers, as Java writes them.
fn offset(zone: &str) -> Option<FixedOffset> {
    let rest = zone.trim().strip_prefix("GMT").or_else(|| zone.trim().strip_prefix("UTC"))?;
    let (sign, rest) = match rest.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, rest.strip_prefix('+').unwrap_or(rest)),
    };
    if rest.is_empty() {
        return FixedOffset::east_opt(0);
    }
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "0"));
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    FixedOffset::east_opt(sign * (i32::from(hours) * HOUR + i32::from(minutes) * 60))
}

/// What DataX counts of a job. Bytes are those of rows in memory.
#[derive(Clone, Debug, Default)]
struct Counts {
    rows: u64,
    failed: u64,
    bytes: u64,
    /// Seconds that channels waited for reader, functions and writer.
    waited: [f64; 3],
    transformed: Option<Transformed>,
}

impl Counts {
    /// Those of transfers that are done.
    fn of(summaries: &[Summary]) -> Self {
        let of = |summary: &Summary| {
            let (rows, failed) = (summary.rows + summary.rejected, summary.rejected);
            Self { rows, failed, ..Self::while_reading(&summary.meter) }
        };
        summaries.iter().map(of).fold(Self::default(), |all, one| all.and(&one))
    }

    /// Those of a transfer that runs.
    fn while_reading(reading: &Reading) -> Self {
        let failed = reading.rejected;
        Self {
            // Rows that could not be read are counted nowhere else.
            rows: reading.rows_read.max(reading.rows_written + failed),
            failed,
            bytes: reading.bytes_read,
            waited: reading.waited_seconds,
            transformed: reading.transformed,
        }
    }

    fn and(self, more: &Self) -> Self {
        let transformed = match (self.transformed, more.transformed) {
            (Some(all), Some(one)) => Some(Transformed {
                succeeded: all.succeeded + one.succeeded,
                failed: all.failed + one.failed,
                filtered: all.filtered + one.filtered,
            }),
            (one, other) => one.or(other),
        };
        Self {
            rows: self.rows + more.rows,
            failed: self.failed + more.failed,
            bytes: self.bytes + more.bytes,
            waited: std::array::from_fn(|part| self.waited[part] + more.waited[part]),
            transformed,
        }
    }

    /// The line of progress at `stamp`, of a job of which a `share` is done at this speed.
    fn line(&self, stamp: &str, (flow, speed): (&str, u64), share: f64) -> String {
        let Self { rows, failed, bytes, waited: [reader, functions, writer], transformed } = self;
        let steps = transformed.map_or_else(String::new, |Transformed { succeeded, failed, filtered }| {
            format!(
                "Transfermor Success {succeeded} records | Transformer Error {failed} records | Transformer Filter \
                 {filtered} records | Transformer usedTime {functions:.3}s | "
            )
        });
        format!(
            "{stamp} [job-0] INFO  StandAloneJobContainerCommunicator - Total {rows} records, {bytes} bytes | Speed {flow}, \
             {speed} records/s | Error {failed} records, 0 bytes |  All Task WaitWriterTime {writer:.3}s |  All Task \
             WaitReaderTime {reader:.3}s | {steps}Percentage {:.2}%\n",
            share * 100.0
        )
    }
}

fn stamp(time: DateTime<Utc>, zone: FixedOffset) -> String {
    time.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// What DataX prints while a job runs. Its speed is that since the last line; done are the splits of which all rows are written.
fn progress(underway: &Underway<'_>, zone: FixedOffset) -> String {
    let Underway { summaries, transfers, reading, last, now, .. } = underway;
    let all = Counts::of(summaries).and(&Counts::while_reading(reading));
    let (seconds, rows, bytes) = last.map_or((0.0, 0, 0), |last| (last.seconds, last.rows_read, last.bytes_read));
    let seconds = ((reading.seconds - seconds) as u64).max(1);
    let since = |now: u64, then: u64| now.saturating_sub(then) / seconds;
    let speed = (flow(since(reading.bytes_read, bytes)), since(reading.rows_read, rows));
    let splits = reading.splits_done as f64 / reading.splits_total.max(1) as f64;
    let share = (summaries.len() as f64 + splits.min(1.0)) / (*transfers).max(1) as f64;
    all.line(&stamp(*now, zone), (&speed.0, speed.1), share)
}

/// What DataX prints at the end of a job that ran from the one time to the other: its last line of progress, and its summary.
fn report(summaries: &[Summary], [began, ended]: [DateTime<Utc>; 2], zone: FixedOffset) -> String {
    let all = Counts::of(summaries);
    let moved: f64 = summaries.iter().map(|summary| summary.meter.seconds).sum();
    let seconds = (moved as u64).max(1);
    let (flow, speed) = (flow(all.bytes / seconds), all.rows / seconds);
    let stamp = stamp(ended, zone);
    let mut out = all.line(&stamp, (&flow, speed), 1.0);
    out.extend([format!("{stamp} [job-0] INFO  JobContainer - \n")]);
    let Counts { rows, failed, transformed, .. } = all;
    let time =
        |time: DateTime<Utc>| format!("{:<18}", time.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string());
    let figure = |figure: String| format!("{figure:>19}");
    let lines = [
        ("任务启动时刻", time(began)),
        ("任务结束时刻", time(ended)),
        ("任务总计耗时", figure(format!("{}s", (ended - began).num_seconds()))),
        ("任务平均流量", figure(flow)),
        ("记录写入速度", figure(format!("{speed}rec/s"))),
        ("读出记录总数", figure(rows.to_string())),
        ("读写失败总数", figure(failed.to_string())),
    ];
    out.extend(lines.map(|(label, value)| format!("{label:<26}: {value}\n")));
    if let Some(Transformed { succeeded, failed, filtered }) = transformed {
        out.extend([format!("{stamp} [job-0] INFO  JobContainer - \n")]);
        let lines = [
            ("Transformer成功记录总数", succeeded),
            ("Transformer失败记录总数", failed),
            ("Transformer过滤记录总数", filtered),
        ];
        out.extend(lines.map(|(label, rows)| format!("{label:<26}: {rows:>19}\n")));
    }
    out
}

/// Bytes per second in DataX's units.
fn flow(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["B", "KB", "MB", "GB", "TB"].into_iter();
    while value >= 1024.0 && units.len() > 1 {
        value /= 1024.0;
        units.next();
    }
    let unit = units.next().unwrap_or("TB");
    if unit == "B" { format!("{bytes}B/s") } else { format!("{value:.2}{unit}/s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The block of datax.md §1.5.
    #[test]
    fn the_summary_is_that_of_datax() {
        let meter = Reading { bytes_read: 40, ..Reading::default() };
        let summary = Summary { rows: 10, meter, ..Summary::default() };
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let times = [at("2026-11-20T17:53:15.900Z"), at("2026-11-20T17:53:16.100Z")];
        let mut stepped = summary.clone();
        stepped.meter.transformed = Some(Transformed { succeeded: 10, failed: 0, filtered: 0 });
        let text = report(&[stepped], times, offset("GMT+8").unwrap());
        let functions = "\
[job-0] INFO  JobContainer - 
Transformer成功记录总数         :                  10
Transformer失败记录总数         :                   0
Transformer过滤记录总数         :                   0
";
        assert!(text.ends_with(functions), "{text}");
        assert!(text.contains("| Transfermor Success 10 records | Transformer Error 0 records |"), "{text}");
        let text = report(&[summary], times, offset("GMT+8").unwrap());
        let block = "\
任务启动时刻                    : 2026-11-21 01:53:15
任务结束时刻                    : 2026-11-21 01:53:16
任务总计耗时                    :                  0s
任务平均流量                    :               40B/s
记录写入速度                    :             10rec/s
读出记录总数                    :                  10
读写失败总数                    :                   0
";
        let (head, found) = text.split_once("JobContainer - \n").unwrap();
        assert_eq!(found, block);
        assert!(
            head.contains(
                "Total 10 records, 40 bytes | Speed 40B/s, 10 records/s | Error 0 records, 0 bytes |  All Task"
            )
        );
        assert!(head.starts_with("2026-11-21 01:53:16.100 [job-0] INFO  StandAloneJobContainerCommunicator - Total"));
    }

    /// The line of DataX's `StandAloneJobContainerCommunicator`, with the speed since the last one.
    #[test]
    fn a_line_of_progress_is_that_of_datax() {
        let tree = |text: &str| crate::job::syntax::parse(text, crate::job::syntax::Syntax::Json).unwrap().into_tree();
        let plain = tree("{}");
        let then = Reading { seconds: 10.0, rows_read: 3000, bytes_read: 3 << 20, ..Reading::default() };
        let reading = Reading {
            seconds: 20.9,
            rows_read: 5000,
            bytes_read: 13 << 20,
            rejected: 7,
            splits_total: 8,
            splits_done: 2,
            waited_seconds: [0.5, 0.0, 1.25],
            ..then.clone()
        };
        let now = "2026-11-20T17:53:16.100Z".parse().unwrap();
        let (last, transfers) = (Some(&then), 2);
        let underway = Underway { summaries: &[], transfers, reading: &reading, last, now, tree: &plain };
        let line = (VOICE.lines.unwrap().line)(&underway);
        let expected = "2026-11-21 01:53:16.100 [job-0] INFO  StandAloneJobContainerCommunicator - Total 5000 records, \
            13631488 bytes | Speed 1.00MB/s, 200 records/s | Error 7 records, 0 bytes |  All Task WaitWriterTime 1.250s |  All \
            Task WaitReaderTime 0.500s | Percentage 12.50%\n";
        assert_eq!(line, expected);
        let every = |text: &str| every(&tree(text)).as_millis();
        assert_eq!(every("{}"), 10_000);
        assert_eq!(every(r#"{"core": {"container": {"job": {"reportInterval": "5000"}}}}"#), 5000);
        assert_eq!(every(r#"{"core": {"container": {"job": {"reportInterval": 0}}}}"#), 100);
    }

    #[test]
    fn flows_and_zones_are_those_of_datax() {
        assert_eq!([0, 1023, 1024, 1_572_864].map(flow), ["0B/s", "1023B/s", "1.00KB/s", "1.50MB/s"]);
        let seconds = |zone: &str| offset(zone).map(|offset| offset.local_minus_utc());
        assert_eq!(seconds("GMT+8"), Some(28_800));
        assert_eq!(seconds("GMT-03:30"), Some(-12_600));
        assert_eq!(seconds("UTC"), Some(0));
        assert_eq!((seconds("Asia/Shanghai"), seconds("GMT+99")), (None, None));
    }
}
