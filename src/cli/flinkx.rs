//! `etl flinkx`: the flags of FlinkX and of ChunJun, and what they print at the end.

mod conf;
mod savepoint;

use std::ffi::OsString;

use clap::Args;

use self::conf::Conf;
use super::job_file::{Compat, JobFileArgs};
use super::printer;
use super::record::StateArgs;
use super::run::{self, Ended, RunArgs};
use super::voice::{Voice, java_exit_code};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::run::report::Summary;

/// Exit code of its launcher where words are wrong.
pub(super) const BAD_USAGE: u8 = 1;

pub(super) const FLINKX_EXAMPLES: &str = "\
Examples:
  etl flinkx -mode local -job job.json -pluginRoot syncplugins
  etl flinkx -job job.json -confProp '{\"flink.checkpoint.stateBackend\": \"file:///var/lib/state\"}'
  etl flinkx -job job.json -s '/var/lib/state/chk-*'

Flags stand behind one dash or two. Those without a meaning here are named in a note.";

#[derive(Debug, Args)]
pub(super) struct FlinkxArgs {
    /// Job file: a path, or an http(s) URL
    #[arg(long, value_name = "JOB")]
    job: String,
    /// Where it would run; here it runs on this machine, as in local mode
    #[arg(long, alias = "model", value_name = "MODE")]
    mode: Option<String>,
    /// Go on with the last run, which is recorded here: the folder of flink.checkpoint.stateBackend, or chk-* in it
    #[arg(short, value_name = "PATH")]
    savepoint: Option<String>,
    /// Settings of Flink, as JSON, which may be encoded for a URL
    #[arg(long = "confProp", value_name = "JSON")]
    conf_prop: Option<String>,
    /// Variables of the job: "k=v, k2=v2"
    #[arg(short, long = "pj", value_name = "DEFINITIONS", allow_hyphen_values = true)]
    params: Vec<String>,
    /// sync; SQL jobs are not run here
    #[arg(long = "jobType", value_name = "TYPE")]
    job_type: Option<String>,
    #[command(flatten)]
    idle: IdleArgs,
}

/// Flags of no use here.
#[derive(Debug, Args)]
struct IdleArgs {
    /// Of no use here: where plugins are
    #[arg(long = "pluginRoot", alias = "plugin", value_name = "DIR")]
    plugin_root: Option<String>,
    /// Of no use here: where they are on other machines
    #[arg(long = "remotePluginPath", value_name = "DIR", alias = "remoteChunJunDistDir")]
    remote_plugin_path: Option<String>,
    /// Of no use here: how they get there
    #[arg(long = "pluginLoadMode", value_name = "MODE")]
    plugin_load_mode: Option<String>,
    /// Of no use here: settings of Flink
    #[arg(long, value_name = "DIR", alias = "flinkConfDir")]
    flinkconf: Option<String>,
    /// Of no use here: settings of Hadoop
    #[arg(long, value_name = "DIR", alias = "hadoopConfDir")]
    yarnconf: Option<String>,
    /// Of no use here: libraries of Flink
    #[arg(long = "flinkLibJar", value_name = "DIR", alias = "flinkLibDir")]
    flink_lib_jar: Option<String>,
    /// Of no use here: where ChunJun is
    #[arg(long = "chunjunDistDir", value_name = "DIR")]
    chunjun_dist_dir: Option<String>,
    /// Of no use here: the queue of YARN
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// Of no use here: how much the job matters
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    priority: Option<String>,
    /// Of no use here: the setting speed of the job says it
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    parallelism: Option<String>,
    /// Of no use here: what Flink calls the job
    #[arg(long, value_name = "NAME", alias = "jobName")]
    jobid: Option<String>,
    /// Of no use here: who watches it
    #[arg(long, value_name = "URL")]
    monitor: Option<String>,
    /// Of no use here: how Flink takes it
    #[arg(long = "runMode", value_name = "MODE")]
    run_mode: Option<String>,
    /// Of no use here: libraries that go with it
    #[arg(long, value_name = "FILES")]
    addjar: Option<String>,
    /// Of no use here: files that go with it
    #[arg(long = "addShipfile", value_name = "FILES")]
    add_shipfile: Option<String>,
}

impl IdleArgs {
    /// The flags that were given.
    fn given(&self) -> impl Iterator<Item = &'static str> {
        let flags = [
            ("pluginRoot", &self.plugin_root),
            ("remotePluginPath", &self.remote_plugin_path),
            ("pluginLoadMode", &self.plugin_load_mode),
            ("flinkconf", &self.flinkconf),
            ("yarnconf", &self.yarnconf),
            ("flinkLibJar", &self.flink_lib_jar),
            ("chunjunDistDir", &self.chunjun_dist_dir),
            ("queue", &self.queue),
            ("priority", &self.priority),
            ("parallelism", &self.parallelism),
            ("jobid", &self.jobid),
            ("monitor", &self.monitor),
            ("runMode", &self.run_mode),
            ("addjar", &self.addjar),
            ("addShipfile", &self.add_shipfile),
        ];
        flags.map(|(name, value)| value.is_some().then_some(name)).into_iter().flatten()
    }
}

/// The words of a command line whose flags may have one dash, as this program takes them. Each flag has a value, which stays as it is.
pub(super) fn with_two_dashes(words: Vec<OsString>) -> Vec<OsString> {
    let mut is_value = false;
    let taken = words.into_iter().enumerate().map(|(at, word)| {
        let flag = word.to_str().filter(|_| at > 1 && !is_value).and_then(|word| word.strip_prefix('-'));
        let Some(flag) = flag.map(|flag| flag.trim_start_matches('-').to_owned()) else {
            is_value = false;
            return word;
        };
        let (name, value) = flag.split_once('=').map_or((flag.as_str(), None), |(name, value)| (name, Some(value)));
        is_value = value.is_none() && !["h", "help"].contains(&name);
        let dashes = if name.len() == 1 { "-" } else { "--" };
        format!("{dashes}{flag}").into()
    });
    taken.collect()
}

/// Runs a job as `etl run --compat flinkx` does.
pub(super) async fn run(args: FlinkxArgs) -> Ended {
    let FlinkxArgs { job, mode, savepoint, conf_prop, params, job_type, idle } = args;
    if let Some(mode) = mode.filter(|mode| !mode.eq_ignore_ascii_case("local")) {
        printer::talk(&format!("note: -mode {mode}: the job runs on this machine, as in local mode"));
    }
    for flag in idle.given() {
        printer::talk(&format!("note: -{flag} of FlinkX does nothing here"));
    }
    let (set, state) = match settled(job_type.as_deref(), conf_prop.as_deref(), savepoint.as_deref()) {
        Ok(settled) => settled,
        Err(error) => return Ended { result: Err(error), code: java_exit_code },
    };
    let params = params.iter().flat_map(|list| definitions(list)).collect();
    let file = JobFileArgs { job, params, compat: Some(Compat::Flinkx), set, ..JobFileArgs::default() };
    let (resume, record) = (savepoint.is_some(), StateArgs { state });
    run::run(&RunArgs { file, resume, resume_required: resume, record, ..RunArgs::default() }).await
}

/// What the job file is told besides, and where its runs are recorded.
fn settled(
    job_type: Option<&str>,
    conf_prop: Option<&str>,
    savepoint: Option<&str>,
) -> Result<(Vec<String>, Option<String>)> {
    if job_type.is_some_and(|job_type| !job_type.eq_ignore_ascii_case("sync")) {
        let error = Error::new(ErrorKind::Unsupported, "SQL jobs of ChunJun are not run here");
        return Err(error.with_hint("write a sync job with a transformSql, or use etl copy with --sql"));
    }
    let Conf { state, set, notes } = conf_prop.map_or(Ok(Conf::default()), conf::read).at("option", || "-confProp")?;
    for note in notes {
        printer::talk(&format!("note: {note}"));
    }
    let state = match savepoint {
        Some(path) => savepoint::find(path, state).at("option", || "-s")?,
        None => state,
    };
    Ok((set, state))
}

/// The pairs of `k=v, k2=v2` as `-p` of this program has them.
fn definitions(list: &str) -> Vec<String> {
    let pairs = list.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let quoted = |pair: &str| match pair.strip_prefix("-D").unwrap_or(pair).split_once('=') {
        Some((name, value)) => {
            let value = value.trim();
            let quote = if value.contains('\'') { '"' } else { '\'' };
            format!("-D{}={quote}{value}{quote}", name.trim())
        }
        None => pair.to_owned(),
    };
    pairs.map(quoted).collect()
}

/// What those who know FlinkX read.
pub(super) const VOICE: Voice = Voice {
    dialect: Some("flinkx"),
    exit_code: java_exit_code,
    shows_each: true,
    report: Some(|finished| report(finished.summaries)),
    failure: None,
    lines: None,
};

/// Around the table of metrics.
const STARS: &str = "*********************************************";

/// What FlinkX prints at the end of a job in local mode. Bytes read are those of rows in memory, durations milliseconds.
fn report(summaries: &[Summary]) -> String {
    let sum = |of: fn(&Summary) -> u64| summaries.iter().map(of).sum::<u64>();
    let milliseconds = sum(|summary| (summary.meter.seconds * 1000.0) as u64);
    let read = sum(|summary| {
        let known = summary.rows + summary.rejected;
        // Rows of attempts that failed are counted, too.
        if summary.meter.retries == 0 { known.max(summary.meter.rows_read) } else { known }
    });
    let metrics = [
        ("numRead", read),
        ("byteRead", sum(|summary| summary.meter.bytes_read)),
        ("readDuration", milliseconds),
        ("numWrite", sum(|summary| summary.rows)),
        ("byteWrite", sum(|summary| summary.bytes_written)),
        ("writeDuration", milliseconds),
        ("nErrors", sum(|summary| summary.rejected)),
        ("nullErrors", sum(|summary| summary.rejected_by.null)),
        ("duplicateErrors", sum(|summary| summary.rejected_by.duplicate)),
        ("conversionErrors", sum(|summary| summary.rejected_by.conversion)),
        ("otherErrors", sum(|summary| summary.rejected_by.other)),
    ];
    let mut lines: Vec<(&str, String)> = metrics.map(|(name, value)| (name, value.to_string())).to_vec();
    lines.extend(summaries.iter().filter_map(|summary| Some(("endLocation", summary.position.clone()?))));
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 5;
    let mut out = format!("\n{STARS}\n");
    out.extend(lines.iter().map(|(name, value)| format!("{name:<width$}|  {value}\n")));
    out + STARS + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::meter::Reading;
    use crate::reject::Classes;

    #[test]
    fn flags_stand_behind_one_dash_or_two() {
        let taken = |words: &[&str]| {
            let words = ["etl", "flinkx"].iter().chain(words).map(OsString::from).collect();
            with_two_dashes(words).into_iter().skip(2).map(|word| word.into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(taken(&["-mode", "local", "--job", "-a"]), ["--mode", "local", "--job", "-a"]);
        assert_eq!(
            taken(&["-job=a=b", "-s", "-x", "-p", "-Dk=v", "-pj", "k=v"]),
            ["--job=a=b", "-s", "-x", "-p", "-Dk=v", "--pj", "k=v"]
        );
        assert_eq!(taken(&["-help", "-job"]), ["--help", "--job"]);
    }

    #[test]
    fn definitions_are_parted_by_commas() {
        assert_eq!(definitions("day=1, who=O'Hara ,-Dx=a b"), ["-Dday='1'", "-Dwho=\"O'Hara\"", "-Dx='a b'"]);
    }

    /// The names and the form of its documentation.
    #[test]
    fn the_table_is_that_of_flinkx() {
        let meter = Reading { seconds: 1.5, rows_read: 12, bytes_read: 40, ..Reading::default() };
        let summary = Summary {
            rows: 10,
            position: Some("42".to_owned()),
            rejected: 2,
            rejected_by: Classes { null: 1, duplicate: 0, conversion: 1, other: 0 },
            bytes_written: 30,
            meter,
            ..Summary::default()
        };
        let expected = "
*********************************************
numRead              |  12
byteRead             |  40
readDuration         |  1500
numWrite             |  10
byteWrite            |  30
writeDuration        |  1500
nErrors              |  2
nullErrors           |  1
duplicateErrors      |  0
conversionErrors     |  1
otherErrors          |  0
endLocation          |  42
*********************************************
";
        assert_eq!(report(&[summary]), expected);
    }
}
