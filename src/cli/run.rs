//! `etl run`: the transfers of a job file, one after the other.

use chrono::Utc;
use clap::Args;
use serde_json::json;

use super::args::{Output, TalkArgs};
use super::http::{Address, Server};
use super::interrupt::Interrupt;
use super::job_file::{self, AfterFailure, JobFileArgs, Loaded, Refused, WrongOptions};
use super::progress::Aside;
use super::record::StateArgs;
use super::settings::{self, Resume, Talk};
use super::transfer::{self, Transfer};
use super::voice::{self, Finished, Underway};
use super::{amount, log, plan, printer, rounds};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::meter::Reading;
use crate::job::{Job, Judged, Others};
use crate::run::Between;
use crate::run::report::{PlanReport, Summary};

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  etl run nightly.yaml
  etl run job.json -p '-Dday=2026-01-31' --set job.setting.speed.channel=4
  etl run old.json --compat datax --dry-run
  curl -s https://config/job.json | etl run - --strict

Exit codes are those of etl; for a job of DataX those of DataX: 0, 1, and 143 when it is interrupted;
for a job of go-etl 0 and 1, for one of FlinkX as for one of DataX.";

#[derive(Debug, Default, Args)]
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
    /// Serve metrics, tasks and profiles there while it runs: ':6080'
    #[arg(long, value_name = "ADDR", help_heading = "Output", conflicts_with = "dry_run")]
    pub(super) http: Option<Address>,
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
    of(args, job_file::load(&args.file, WrongOptions::Refused)).await
}

/// Runs what `loading` gives, which changes nothing itself.
pub(super) async fn of(args: &RunArgs, loading: impl Future<Output = Result<Loaded, Refused>>) -> Ended {
    let named = args.file.compat.and_then(job_file::Compat::name);
    let (result, dialect) = match Interrupt::listen() {
        Ok(interrupt) => match interrupt.or_stop(async { Ok(loading.await) }).await {
            Ok(Ok(loaded)) => {
                // Several runs lie within this one.
                (Box::pin(run_loaded(&loaded, args, &interrupt)).await, loaded.dialect_name())
            }
            Ok(Err(Refused { error, dialect })) => (Err(error), named.or(dialect)),
            Err(error) => (Err(error), named),
        },
        Err(error) => (Err(error), named),
    };
    let voice = voice::of(dialect);
    if let (Err(error), Some(told)) = (&result, voice.failure)
        && transfer::is_for_people(settings::talk(&args.talk))
    {
        // Where it cannot be printed, stderr has the failure all the same.
        let _ = printer::data(&told(error));
    }
    Ended { result, code: voice.exit_code }
}

fn nothing_to_resume() -> Error {
    Error::new(ErrorKind::Usage, "no transfer of this file was interrupted, and which of them are done is not known")
        .with_hint("run the file without --resume, which begins with its first transfer")
}

async fn run_loaded(loaded: &Loaded, args: &RunArgs, interrupt: &Interrupt) -> Result<()> {
    let talk = settings::talk(&args.talk);
    let is_dry = args.dry_run || loaded.translation.dry_run;
    // A log that was asked for by a flag is open already.
    let log = loaded.translation.log.as_ref().filter(|_| !is_dry && args.talk.log.file().is_none());
    log.map_or(Ok(()), log::open)?;
    for text in loaded.notes.iter().chain(&loaded.translation.notes) {
        transfer::note(talk, text);
    }
    let jobs = &loaded.translation.jobs;
    if is_dry {
        return show_plans(loaded, args, interrupt).await;
    }
    jobs.iter().try_for_each(|job| transfer::refuse_both_on_stdout(job, talk))?;
    refuse_mistakes(loaded)?;
    let server = Server::start(args.http.as_ref(), jobs.len(), talk).await?;
    let ran = Box::pin(run_jobs(loaded, args, interrupt, server.as_ref())).await;
    Server::stop(server).await;
    ran
}

/// Refuses options of places that their connectors do not take, before the first of several transfers begins.
fn refuse_mistakes(loaded: &Loaded) -> Result<()> {
    let jobs = &loaded.translation.jobs;
    // One alone is refused when it begins, and others may run beside one that fails.
    if jobs.len() < 2 || matches!(loaded.after_failure, AfterFailure::GoOn { .. }) {
        return Ok(());
    }
    let checked =
        |(at, job): (usize, &Job)| Between::of(job).map(drop).map_err(|error| of_several(error, at, jobs.len()));
    jobs.iter().enumerate().try_for_each(checked)
}

async fn run_jobs(loaded: &Loaded, args: &RunArgs, interrupt: &Interrupt, server: Option<&Server>) -> Result<()> {
    let (talk, jobs) = (settings::talk(&args.talk), &loaded.translation.jobs);
    let began = Utc::now();
    let voice = voice::of(loaded.dialect_name());
    let lines = voice.lines.filter(|_| transfer::is_for_people(talk));
    let again_after = loaded.translation.again_after;
    let resume = match (args.resume_required, args.resume) {
        (true, _) if again_after.is_some() => Resume::Rounds,
        (true, _) => Resume::Required,
        (_, true) => Resume::Wanted,
        _ => Resume::Unwanted,
    };
    let (done, mut judged) = match (resume, jobs.len()) {
        (Resume::Unwanted, _) | (_, 1) => (0, Judged::default()),
        _ => past(loaded, args, interrupt).await?,
    };
    let (mut summaries, mut failed) = (Vec::new(), Failed::default());
    for (at, job) in jobs.iter().enumerate().skip(done) {
        let others = Others { before: judged, more_follow: at + 1 < jobs.len() };
        let limited = loaded.translation.shares_errors.then(|| limited_with(job, others));
        let job = limited.as_ref().unwrap_or(job);
        let tell = |reading: &Reading, last: Option<&Reading>| {
            let Some(lines) = lines else { return };
            let (summaries, transfers, tree) = (summaries.as_slice(), jobs.len(), &loaded.tree);
            let underway = Underway { summaries, transfers, reading, last, now: Utc::now(), tree };
            // Where it cannot be printed, the report will say so.
            let _ = tell_users(jobs, &(lines.line)(&underway));
        };
        let aside = lines.map(|lines| Aside { every: (lines.every)(&loaded.tree), tell: &tell });
        let watched = server.map(|server| server.watched(at + 1));
        let transfer = Transfer { job, talk, aside, resume, record: &args.record, watched };
        match transfer::run(transfer, interrupt).await {
            // Nobody reads its rows any more; those behind it have places of their own.
            Ok(None) => {}
            Ok(Some(summary)) => {
                if voice.shows_each {
                    transfer::show(&summary, talk);
                } else {
                    transfer::show_notes(&summary, talk);
                }
                judged = judged.and(Judged { read: summary.read, rejected: summary.rejected });
                summaries.push(summary);
            }
            Err(error) if jobs.len() == 1 => return Err(error),
            Err(error) => match &loaded.after_failure {
                AfterFailure::GoOn { names } if error.kind() != ErrorKind::Cancelled => failed.add(error, &names[at]),
                _ => {
                    tell_left([at - failed.names.len(), jobs.len() - at - 1], talk);
                    return Err(of_several(error, at, jobs.len()));
                }
            },
        }
    }
    if let Some(pause) = again_after.filter(|_| summaries.len() == jobs.len()) {
        let rounds = rounds::run((jobs.as_slice(), pause), (talk, &args.record), interrupt, &mut summaries);
        Box::pin(rounds).await?;
    }
    if !summaries.is_empty() {
        show_all(&summaries, talk)?;
    }
    failed.refused(jobs.len())?;
    let Some(report) = voice.report.filter(|_| transfer::is_for_people(talk) && !summaries.is_empty()) else {
        return Ok(());
    };
    let text = report(&Finished { summaries: &summaries, began, ended: Utc::now(), tree: &loaded.tree });
    tell_users(jobs, &text)
}

/// How many transfers were done when another one was interrupted, and the rows by which a limit judges them.
async fn past(loaded: &Loaded, args: &RunArgs, interrupt: &Interrupt) -> Result<(usize, Judged)> {
    let (talk, jobs) = (settings::talk(&args.talk), &loaded.translation.jobs);
    // The rows of those that are done would come twice.
    let done = transfer::first_interrupted(jobs, &args.record, interrupt).await?.ok_or_else(nothing_to_resume)?;
    if done > 0 {
        let told = amount::counted(done as u64, "transfer");
        transfer::note(talk, &format!("{told} before the interrupted one not run again"));
    }
    if done == 0 || !loaded.translation.shares_errors {
        return Ok((done, Judged::default()));
    }
    let judged = transfer::judged(&jobs[..done], &args.record, interrupt).await?;
    if judged.is_none() {
        transfer::note(talk, "what these left out is not in the record any more, and does not count against the limit");
    }
    Ok((done, judged.unwrap_or_default()))
}

/// `job`, whose limit of rows that may be refused is one with that of `others`.
fn limited_with(job: &Job, others: Others) -> Job {
    let mut job = job.clone();
    job.errors.others = others;
    job
}

/// Prints `text` for those who know another program: they read its stdout, unless the rows of `jobs` go there.
fn tell_users(jobs: &[Job], text: &str) -> Result<()> {
    if !jobs.iter().any(settings::to_stdout) {
        return printer::data(text);
    }
    printer::talk(text.trim_end());
    Ok(())
}

/// Transfers that failed, where the others run all the same.
#[derive(Debug, Default)]
struct Failed<'a> {
    names: Vec<&'a str>,
    /// That of the first.
    kind: Option<ErrorKind>,
}

impl<'a> Failed<'a> {
    /// Tells of a failure at once, and keeps its name.
    fn add(&mut self, error: Error, name: &'a str) {
        self.kind.get_or_insert(error.kind());
        self.names.push(name);
        printer::talk(&printer::failure(&error.at("pair", name)));
    }

    /// Fails where one of `all` transfers did.
    fn refused(&self, all: usize) -> Result<()> {
        let Some(kind) = self.kind else { return Ok(()) };
        let failed = format!("{} of {} failed", self.names.len(), amount::counted(all as u64, "transfer"));
        Err(Error::new(kind, format!("{failed}: {}", self.names.join("; "))).with_hint("what each lacks is said above"))
    }
}

/// Says what a failure leaves undone.
fn tell_left([done, left]: [usize; 2], talk: Talk) {
    let counts = [(done, "done"), (left, "not run")].into_iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> =
        counts.map(|(count, what)| format!("{} {what}", amount::counted(count as u64, "transfer"))).collect();
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

/// `error` of the transfer `at`, of so many.
fn of_several(error: Error, at: usize, count: usize) -> Error {
    error.at("transfer", format!("{} of {count}", at + 1))
}

async fn show_plans(loaded: &Loaded, args: &RunArgs, interrupt: &Interrupt) -> Result<()> {
    let mut plans = Vec::new();
    let log = args.talk.log.file().or_else(|| loaded.translation.log.clone()).map(|file| file.path);
    let jobs = &loaded.translation.jobs;
    for (at, job) in jobs.iter().enumerate() {
        let planned = plan::of(job, &args.record, interrupt).await;
        let report =
            planned.map_err(|error| if jobs.len() == 1 { error } else { of_several(error, at, jobs.len()) })?;
        plans.push(PlanReport { log: log.clone(), ..report });
    }
    match args.talk.output {
        Output::Json => printer::json(&json!({ "plans": plans })),
        Output::Text => printer::data(&plans.iter().map(plan::text).collect::<Vec<_>>().join("\n")),
    }
}
