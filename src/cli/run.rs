//! `etl run`: the transfers of a job file, one after the other.

use chrono::Utc;
use clap::Args;
use serde_json::json;

use super::args::{Output, TalkArgs};
use super::interrupt::Interrupt;
use super::job_file::{self, JobFileArgs, Loaded, Refused};
use super::progress::Aside;
use super::record::StateArgs;
use super::settings::{self, Resume, Talk};
use super::transfer::{self, Transfer};
use super::voice::{self, Finished, Underway};
use super::{amount, plan, printer};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::meter::Reading;
use crate::job::Job;
use crate::run::report::Summary;

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  etl run nightly.yaml
  etl run job.json -p '-Dday=2026-01-31' --set job.setting.speed.channel=4
  etl run old.json --compat datax --dry-run
  curl -s https://config/job.json | etl run - --strict

Exit codes are those of etl; for a job of DataX those of DataX: 0, 1, and 143 when it is interrupted.";

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) file: JobFileArgs,
    /// Go on with those runs of its transfers that were interrupted
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) resume: bool,
    #[command(flatten)]
    pub(super) record: StateArgs,
    /// Say what would be done, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) talk: TalkArgs,
}

/// How a job file ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) result: Result<()>,
    /// Exit codes as those who wrote the file know them.
    pub(super) code: fn(ErrorKind) -> u8,
}

/// Loads a file and runs it.
pub(super) async fn run(args: &RunArgs) -> Ended {
    let named = args.file.compat.and_then(job_file::Compat::name);
    let interrupt = match Interrupt::listen() {
        Ok(interrupt) => interrupt,
        Err(error) => return Ended { result: Err(error), code: voice::of(named).exit_code },
    };
    let loading = async { Ok(job_file::load(&args.file).await) };
    match interrupt.or_stop(loading).await {
        Ok(Ok(loaded)) => {
            // Several runs lie within this one.
            let result = Box::pin(run_loaded(&loaded, args, &interrupt)).await;
            Ended { result, code: voice::of(loaded.dialect_name()).exit_code }
        }
        Ok(Err(Refused { error, dialect })) => {
            Ended { result: Err(error), code: voice::of(named.or(dialect)).exit_code }
        }
        Err(error) => Ended { result: Err(error), code: voice::of(named).exit_code },
    }
}

fn nothing_to_resume() -> Error {
    Error::new(ErrorKind::Usage, "no transfer of this file was interrupted, and which of them are done is not known")
        .with_hint("run the file without --resume, which begins with its first transfer")
}

async fn run_loaded(loaded: &Loaded, args: &RunArgs, interrupt: &Interrupt) -> Result<()> {
    let talk = settings::talk(&args.talk);
    for text in loaded.notes.iter().chain(&loaded.translation.notes) {
        transfer::note(talk, text);
    }
    let jobs = &loaded.translation.jobs;
    if args.dry_run || loaded.translation.dry_run {
        return show_plans(jobs, args, interrupt).await;
    }
    jobs.iter().try_for_each(|job| transfer::refuse_both_on_stdout(job, talk))?;
    let began = Utc::now();
    let voice = voice::of(loaded.dialect_name());
    let (report, lines) = (voice.report, voice.lines.filter(|_| transfer::is_for_people(talk)));
    let resume = if args.resume { Resume::Wanted } else { Resume::Unwanted };
    let mut summaries = Vec::new();
    let done = match (resume, jobs.len()) {
        (Resume::Unwanted, _) | (_, 1) => 0,
        // The rows of those that are done would come twice.
        _ => transfer::first_interrupted(jobs, &args.record, interrupt).await?.ok_or_else(nothing_to_resume)?,
    };
    if done > 0 {
        let told = amount::counted(done as u64, "transfer");
        transfer::note(talk, &format!("{told} before the interrupted one not run again"));
    }
    for (at, job) in jobs.iter().enumerate().skip(done) {
        let tell = |reading: &Reading, last: Option<&Reading>| {
            let Some(lines) = lines else { return };
            let (summaries, transfers, tree) = (summaries.as_slice(), jobs.len(), &loaded.tree);
            let underway = Underway { summaries, transfers, reading, last, now: Utc::now(), tree };
            // Where it cannot be printed, the report will say so.
            let _ = tell_users(jobs, &(lines.line)(&underway));
        };
        let aside = lines.map(|lines| Aside { every: (lines.every)(&loaded.tree), tell: &tell });
        let transfer = Transfer { job, talk, aside, resume, record: &args.record };
        match transfer::run(transfer, interrupt).await {
            // Nobody reads its rows any more; those behind it have places of their own.
            Ok(None) => {}
            Ok(Some(summary)) => {
                if report.is_none() {
                    transfer::show(&summary, talk);
                }
                summaries.push(summary);
            }
            Err(error) if jobs.len() == 1 => return Err(error),
            Err(error) => {
                tell_left(at, jobs.len(), talk);
                return Err(error.at("transfer", format!("{} of {}", at + 1, jobs.len())));
            }
        }
    }
    if summaries.is_empty() {
        return Ok(());
    }
    show_all(&summaries, talk)?;
    if let Some(report) = report.filter(|_| transfer::is_for_people(talk)) {
        let text = report(&Finished { summaries: &summaries, began, ended: Utc::now(), tree: &loaded.tree });
        return tell_users(jobs, &text);
    }
    Ok(())
}

/// Prints `text` for those who know another program: they read its stdout, unless the rows of `jobs` go there.
fn tell_users(jobs: &[Job], text: &str) -> Result<()> {
    if !jobs.iter().any(settings::to_stdout) {
        return printer::data(text);
    }
    printer::talk(text.trim_end());
    Ok(())
}

/// Says what a failure leaves undone.
fn tell_left(failed: usize, all: usize, talk: Talk) {
    let done = (failed > 0).then(|| format!("{} done", amount::counted(failed as u64, "transfer")));
    let left = all - failed - 1;
    let left = (left > 0).then(|| format!("{} not run", amount::counted(left as u64, "transfer")));
    let told: Vec<String> = [done, left].into_iter().flatten().collect();
    transfer::note(talk, &told.join(", "));
}

/// The transfers together: for programs all of them, for people a line where there are several.
fn show_all(summaries: &[Summary], talk: Talk) -> Result<()> {
    let rows: u64 = summaries.iter().map(|summary| summary.rows).sum();
    let rejected: u64 = summaries.iter().map(|summary| summary.rejected).sum();
    if talk.output == Output::Json {
        return printer::json(&json!({ "rows": rows, "rejected": rejected, "transfers": summaries }));
    }
    if summaries.len() > 1 && transfer::is_for_people(talk) {
        let seconds: f64 = summaries.iter().map(|summary| summary.meter.seconds).sum();
        let transfers = amount::counted(summaries.len() as u64, "transfer");
        printer::talk(&format!("{transfers}: {} in {}", amount::counted(rows, "row"), amount::seconds(seconds)));
    }
    Ok(())
}

async fn show_plans(jobs: &[Job], args: &RunArgs, interrupt: &Interrupt) -> Result<()> {
    let mut plans = Vec::new();
    for job in jobs {
        plans.push(plan::of(job, &args.record, interrupt).await?);
    }
    match args.talk.output {
        Output::Json => printer::json(&json!({ "plans": plans })),
        Output::Text => printer::data(&plans.iter().map(plan::text).collect::<Vec<_>>().join("\n")),
    }
}
