//! `etl run`: the transfers of a job file, one after the other.

use chrono::Utc;
use clap::Args;
use serde_json::json;

use super::args::{Output, TalkArgs};
use super::interrupt::Interrupt;
use super::job_file::{self, JobFileArgs, Loaded, Refused};
use super::record::StateArgs;
use super::settings::{self, Resume, Talk};
use super::transfer::{self, Transfer};
use super::voice::{self, Finished};
use super::{amount, log, plan, printer, rounds};
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::run::report::Summary;

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  etl run nightly.yaml
  etl run job.json -p '-Dday=2026-01-31' --set job.setting.speed.channel=4
  etl run old.json --compat datax --dry-run
  curl -s https://config/job.json | etl run - --strict

Exit codes are those of etl; for a job of DataX those of DataX: 0, 1, and 143 when it is interrupted;
for a job of FlinkX alike.";

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) file: JobFileArgs,
    /// Go on with those runs of its transfers that were interrupted
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) resume: bool,
    /// Nothing begins anew where none was
    #[arg(skip)]
    pub(super) resume_required: bool,
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
    if let Some(file) = &loaded.translation.log {
        log::open(file)?;
    }
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
    let resume = match (args.resume_required, args.resume) {
        (true, _) => Resume::Required,
        (_, true) => Resume::Wanted,
        _ => Resume::Unwanted,
    };
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
        let transfer = Transfer { job, talk, resume, record: &args.record };
        match transfer::run(transfer, interrupt).await {
            // Nobody reads its rows any more; those behind it have places of their own.
            Ok(None) => {}
            Ok(Some(summary)) => {
                if voice.shows_each {
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
    if let Some(pause) = loaded.translation.again_after.filter(|_| summaries.len() == jobs.len()) {
        let rounds = rounds::run((jobs.as_slice(), pause), (talk, &args.record), interrupt, &mut summaries);
        Box::pin(rounds).await?;
    }
    if summaries.is_empty() {
        return Ok(());
    }
    show_all(&summaries, talk)?;
    if let Some(report) = voice.report.filter(|_| transfer::is_for_people(talk)) {
        let text = report(&Finished { summaries: &summaries, began, ended: Utc::now(), tree: &loaded.tree });
        // Who reads what such a program prints reads its stdout.
        if !jobs.iter().any(settings::to_stdout) {
            return printer::data(&text);
        }
        printer::talk(&text);
    }
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
