//! `etl datax`: the flags of datax.py, and what DataX prints at the end.

use chrono::{DateTime, FixedOffset, Utc};
use clap::Args;

use super::args::{Output, Progress, TalkArgs};
use super::job_file::{Compat, JobFileArgs};
use super::printer;
use super::record::StateArgs;
use super::run::{self, Ended, RunArgs};
use super::voice::Voice;
use crate::error::ErrorKind;
use crate::flow::meter::Transformed;
use crate::job::tree::Tree;
use crate::run::report::Summary;

/// Exit code of datax.py where its words are wrong.
pub(super) const BAD_USAGE: u8 = 255;

#[derive(Debug, Args)]
pub(super) struct DataxArgs {
    /// Job file: a path, or an http(s) URL
    #[arg(value_name = "JOB")]
    job: String,
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

/// Runs a job as `etl run --compat datax` does.
pub(super) async fn run(args: DataxArgs) -> Ended {
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
    let file =
        JobFileArgs { job: args.job, params: args.params, compat: Some(Compat::Datax), ..JobFileArgs::default() };
    let talk = TalkArgs { progress: Progress::Auto, output: Output::Text, quiet: false, verbose: false };
    let (resume, resume_required, record) = (false, false, StateArgs::default());
    run::run(&RunArgs { file, resume, resume_required, record, dry_run: false, talk }).await
}

/// What those who know DataX read.
pub(super) const VOICE: Voice = Voice {
    dialect: Some("datax"),
    exit_code,
    shows_each: false,
    report: Some(|finished| report(finished.summaries, [finished.began, finished.ended], zone(finished.tree))),
};

/// Exit code of DataX: 1 for every failure, 143 where it was killed.
fn exit_code(kind: ErrorKind) -> u8 {
    if kind == ErrorKind::Cancelled { 143 } else { 1 }
}

/// The time zone of the job's log: `common.column.timeZone`, else DataX's own, GMT+8.
fn zone(tree: &Tree) -> FixedOffset {
    let zone = tree.root().get("common").and_then(|common| common.get("column")?.get("timeZone")?.text().ok());
    zone.as_deref().and_then(offset).unwrap_or_else(|| FixedOffset::east_opt(8 * HOUR).expect("8 hours are no day"))
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

/// What DataX prints at the end of a job that ran from the one time to the other: its last line of progress, and its summary.
/// Bytes are those of rows in memory.
fn report(summaries: &[Summary], [began, ended]: [DateTime<Utc>; 2], zone: FixedOffset) -> String {
    let sum = |of: fn(&Summary) -> u64| summaries.iter().map(of).sum::<u64>();
    let failed = sum(|summary| summary.rejected);
    let rows = sum(|summary| summary.rows) + failed;
    let bytes = sum(|summary| summary.meter.bytes_read);
    let waited = |part: usize| summaries.iter().map(|summary| summary.meter.waited_seconds[part]).sum::<f64>();
    let moved: f64 = summaries.iter().map(|summary| summary.meter.seconds).sum();
    let seconds = (moved as u64).max(1);
    let (flow, speed) = (flow(bytes / seconds), rows / seconds);
    let transformed = transformed(summaries);
    let steps = transformed.map_or_else(String::new, |Transformed { succeeded, failed, filtered }| {
        format!(
            "Transfermor Success {succeeded} records | Transformer Error {failed} records | Transformer Filter {filtered} \
             records | Transformer usedTime {:.3}s | ",
            waited(1)
        )
    });
    let stamp = ended.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S%.3f");
    let mut out = format!(
        "{stamp} [job-0] INFO  StandAloneJobContainerCommunicator - Total {rows} records, {bytes} bytes | Speed {flow}, \
         {speed} records/s | Error {failed} records, 0 bytes |  All Task WaitWriterTime {:.3}s |  All Task WaitReaderTime \
         {:.3}s | {steps}Percentage 100.00%\n{stamp} [job-0] INFO  JobContainer - \n",
        waited(2),
        waited(0),
    );
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

/// What became of all rows that came to functions; none where no row did.
fn transformed(summaries: &[Summary]) -> Option<Transformed> {
    let each = summaries.iter().filter_map(|summary| summary.meter.transformed);
    each.reduce(|all, one| Transformed {
        succeeded: all.succeeded + one.succeeded,
        failed: all.failed + one.failed,
        filtered: all.filtered + one.filtered,
    })
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
    use crate::flow::meter::Meter;
    use crate::reject::Classes;

    /// The block of datax.md §1.5.
    #[test]
    fn the_summary_is_that_of_datax() {
        let mut meter = Meter::default().reading();
        meter.bytes_read = 40;
        let summary = Summary {
            run: String::new(),
            source: String::new(),
            target: String::new(),
            rows: 10,
            merged: None,
            position: None,
            rejected: 0,
            rejected_by: Classes::default(),
            rejects: None,
            bytes_written: 0,
            targets: Vec::new(),
            tasks: 1,
            channels: 1,
            meter,
            notes: Vec::new(),
        };
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
