//! The run of one job, shown while it goes on: of a `copy`, and of each transfer of a job file.

use std::sync::Arc;

use serde_json::json;

use super::args::{Output, Progress};
use super::http::Watched;
use super::interrupt::Interrupt;
use super::progress::Aside;
use super::record::StateArgs;
use super::settings::{self, Level, Resume, Talk, usage};
use super::{amount, place, printer, progress, record};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::meter::{Meter, Reading};
use crate::job::{Job, Judged};
use crate::run::report::{Summary, TargetSummary};
use crate::run::resume::{self, Ending, Unfinished};
use crate::run::{self, PreSql, Surroundings};
use crate::sink::Merged;
use crate::state::StateLog;

/// A job that is to run, and how.
#[derive(Clone, Copy)]
pub(super) struct Transfer<'a> {
    pub(super) job: &'a Job,
    pub(super) talk: Talk,
    /// What is told beside the progress.
    pub(super) aside: Option<Aside<'a>>,
    pub(super) resume: Resume,
    pub(super) record: &'a StateArgs,
    /// Where it is shown over HTTP.
    pub(super) watched: Option<Watched<'a>>,
}

/// Refuses a result in JSON where rows go to stdout.
pub(super) fn refuse_both_on_stdout(job: &Job, talk: Talk) -> Result<()> {
    if settings::to_stdout(job) && talk.output == Output::Json {
        return Err(usage("stdout cannot hold both the rows and --output json").with_hint("leave --output json out"));
    }
    Ok(())
}

/// Runs it to its end. None where the reader of stdout went away.
pub(super) async fn run(transfer: Transfer<'_>, interrupt: &Interrupt) -> Result<Option<Summary>> {
    let Transfer { job, talk, aside, resume, record, watched } = transfer;
    let named = record::named_for(record, job)?;
    let state = match interrupt.or_stop(record::open_to_write(named.as_ref())).await {
        Err(error) if named.is_some() || error.kind() == ErrorKind::Cancelled => return Err(error),
        record => record.map_err(|error| note(talk, &format!("this run is not recorded: {error}"))).ok(),
    };
    let (resume, pre_sql) = match (&state, resume) {
        (_, Resume::NextRound) => (None, PreSql::Done),
        (Some(state), _) => interrupt.or_stop(interrupted(job, &**state, resume, talk)).await?,
        (None, Resume::Unwanted) => (None, PreSql::Wanted),
        (None, _) => {
            return Err(Error::new(ErrorKind::Resource, "without a record of runs nobody knows what to go on with")
                .with_hint("set HOME or XDG_STATE_HOME to a folder that can be written"));
        }
    };
    let (meter, stop) = (Arc::new(Meter::default()), interrupt.token());
    let surroundings = Surroundings { meter, stop, state, resume, pre_sql };
    let between = run::Between::of(job)?;
    let from = between.source.label();
    let to: Vec<String> = between.targets().map(|target| target.label()).collect();
    if let Some(watched) = watched {
        watched.show(place::sources_label(&from, job), &to, &surroundings.meter);
    }
    let copying = run::copy(job, between, &surroundings);
    let copied = progress::watch(copying, &surroundings.meter, (talk.progress, aside), &surroundings.stop).await;
    let mut summary = match copied {
        Ok(summary) => summary,
        Err(error) if settings::to_stdout(job) && printer::is_closed_pipe(&error) => return Ok(None),
        Err(error) => return Err(stopped(error, &surroundings)),
    };
    summary.source = place::sources_label(&from, job);
    for (target, endpoint) in summary.targets.iter_mut().zip(&to) {
        target.target = run::label(endpoint, &target.target);
    }
    summary.target = summary.targets.first().map_or(summary.target, |first| first.target.clone());
    if talk.progress == Progress::Json {
        summary.notes.iter().for_each(|text| note(talk, text));
        printer::event("finished", &summary.meter);
    }
    Ok(Some(summary))
}

/// The place of the first of `jobs` that was interrupted. Those before it are done: a file goes on only after success.
pub(super) async fn first_interrupted(
    jobs: &[Job],
    record: &StateArgs,
    interrupt: &Interrupt,
) -> Result<Option<usize>> {
    let state = interrupt.or_stop(record::open(record::named(record)?.as_ref())).await?;
    for (at, job) in jobs.iter().enumerate() {
        if interrupt.or_stop(resume::unfinished(job, &*state)).await?.is_some() {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// The rows by which a limit judges the jobs that are `done`: they ended in an earlier run. None where the record does not have all
/// of them.
pub(super) async fn judged(done: &[Job], record: &StateArgs, interrupt: &Interrupt) -> Result<Option<Judged>> {
    let state = interrupt.or_stop(record::open(record::named(record)?.as_ref())).await?;
    let mut all = Judged::default();
    for job in done {
        let Some(judged) = interrupt.or_stop(resume::judged(job, &*state)).await? else { return Ok(None) };
        all = all.and(judged);
    }
    Ok(Some(all))
}

/// Shows what came of it, where people read.
pub(super) fn show(summary: &Summary, talk: Talk) {
    if is_for_people(talk) {
        printer::talk(&text(summary, talk.level));
    }
}

/// Shows what the user should know of it where another program's report says the rest: above all why rows were refused.
pub(super) fn show_notes(summary: &Summary, talk: Talk) {
    if is_for_people(talk) {
        summary.notes.iter().for_each(|text| note(talk, text));
    }
}

/// Whether a result is shown to people, on stderr.
pub(super) fn is_for_people(talk: Talk) -> bool {
    talk.output == Output::Text && talk.level != Level::Quiet && talk.progress != Progress::Json
}

/// The interrupted run that is gone on with, and whether the target is prepared. Where there is one and that is not wanted, the user is
/// told.
async fn interrupted(
    job: &Job,
    state: &dyn StateLog,
    wanted: Resume,
    talk: Talk,
) -> Result<(Option<Unfinished>, PreSql)> {
    let found = resume::unfinished(job, state).await?;
    match (&found, wanted) {
        (Some(run), Resume::Wanted | Resume::Required | Resume::Rounds) => {
            note(talk, &format!("going on with run {}", run.run));
        }
        (None, Resume::Wanted) => {
            resume::refuse_changed(job, state).await?;
            note(talk, "no run of this job was interrupted: this one begins anew");
        }
        (None, Resume::Required | Resume::Rounds) => {
            resume::refuse_changed(job, state).await?;
            return Ok((None, ended(job, state, wanted, talk).await?));
        }
        (Some(run), Resume::Unwanted | Resume::NextRound) => {
            run.refuse_anew()?;
            note(
                talk,
                &format!("run {} of this job was interrupted; this one begins anew (--resume goes on)", run.run),
            );
            return Ok((None, PreSql::Wanted));
        }
        (None, Resume::Unwanted | Resume::NextRound) => resume::refuse_beside(job, state).await?,
    }
    let pre_sql = found.as_ref().map_or(PreSql::Wanted, Unfinished::pre_sql);
    Ok((found, pre_sql))
}

/// How a run of `job` begins that must go on where the last one ended, since none was interrupted.
async fn ended(job: &Job, state: &dyn StateLog, wanted: Resume, talk: Talk) -> Result<PreSql> {
    match (resume::ending(job, state).await?, wanted) {
        (Some(Ending::Finished | Ending::Failed { prepared: true }), Resume::Rounds) => {
            note(talk, "the last round of this job has ended: this one takes the rows that are new since");
            Ok(PreSql::Done)
        }
        (Some(Ending::Failed { .. }), _) => {
            note(talk, "the last run of this job failed and left nothing: this one begins anew");
            Ok(PreSql::Wanted)
        }
        (Some(Ending::Finished) | None, _) => {
            let error = usage("no run of this job was interrupted: there is none to go on with");
            Err(error.with_hint("etl jobs says what became of its runs; leave -s out to begin anew"))
        }
    }
}

/// Tells what the user should know, beside the result.
pub(super) fn note(talk: Talk, text: &str) {
    match talk {
        Talk { level: Level::Quiet, .. } => {}
        Talk { progress: Progress::Json, .. } => printer::event("note", &json!({ "text": text })),
        _ => printer::talk(&format!("note: {text}")),
    }
}

/// After Ctrl-C every failure means that the run was interrupted, and its exit code says so.
fn stopped(error: Error, surroundings: &Surroundings) -> Error {
    if surroundings.stop.is_cancelled() && error.kind() != ErrorKind::Cancelled {
        return Error::new(ErrorKind::Cancelled, "interrupted").with_source(error);
    }
    error
}

fn text(summary: &Summary, level: Level) -> String {
    let meter = &summary.meter;
    let seconds = meter.seconds.max(1e-9);
    let mut lines = vec![format!(
        "{} from {} to {} in {}: {} rows/s, {}/s{}",
        amount::counted(summary.rows, "row"),
        summary.source,
        summary.targets.iter().map(|target| target.target.as_str()).collect::<Vec<_>>().join(", "),
        amount::seconds(meter.seconds),
        amount::short(summary.rows as f64 / seconds),
        amount::bytes(meter.bytes_read as f64 / seconds),
        meter.bottleneck().map_or(String::new(), |part| format!(", waited for the {}", progress::word(part))),
    )];
    match summary.targets.as_slice() {
        [one] => lines.extend(one.merged.map(|merged| format!("  {}", told(merged)))),
        several => lines.extend(several.iter().map(of_target)),
    }
    if summary.rejected > 0 {
        let they = if summary.rejected == 1 { "it is" } else { "they are" };
        let place = summary.rejects.as_deref().map_or_else(String::new, |file| format!(", {they} in {file}"));
        lines.push(format!("{} rejected{place}", amount::counted(summary.rejected, "row")));
    }
    if level == Level::Verbose {
        lines.push(verbose(summary, meter));
    }
    lines.extend(summary.notes.iter().map(|note| format!("note: {note}")));
    lines.join("\n")
}

/// One of several targets.
fn of_target(TargetSummary { target, rows, merged, rejected, .. }: &TargetSummary) -> String {
    let mut line = format!("  {target}: {}", amount::counted(*rows, "row"));
    if let Some(merged) = merged {
        line = format!("{line}, {}", told(*merged));
    }
    if *rejected > 0 {
        line = format!("{line}, {} rejected", amount::count(*rejected));
    }
    line
}

fn told(Merged { inserted, updated, deleted }: Merged) -> String {
    let counts = [(inserted, "inserted"), (updated, "updated"), (deleted, "deleted")];
    counts.map(|(rows, what)| format!("{} {what}", amount::count(rows))).join(", ")
}

fn verbose(summary: &Summary, meter: &Reading) -> String {
    let [reader, transform, writer] = meter.waited_seconds.map(amount::seconds);
    format!(
        "  run {}\n  {}, {}, {}\n  {} as Arrow, {} written\n  waited for reader {reader}, transform {transform}, \
         writer {writer}",
        summary.run,
        amount::counted(summary.tasks as u64, "task"),
        amount::counted(summary.channels as u64, "channel"),
        amount::counted(meter.splits_total, "split"),
        amount::bytes(meter.bytes_read as f64),
        amount::bytes(summary.bytes_written as f64),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let meter = Meter::default();
        meter.expect(4, 1000, 0);
        meter.waited(crate::flow::meter::Part::Writer, std::time::Duration::from_secs(1));
        let meter = Reading { seconds: 2.0, bytes_read: 4_000_000, ..meter.reading() };
        Summary {
            run: "r1".to_owned(),
            source: "a.csv".to_owned(),
            target: "shop.db#a".to_owned(),
            rows: 1000,
            bytes_written: 1_500_000,
            targets: vec![TargetSummary { target: "shop.db#a".to_owned(), rows: 1000, ..TargetSummary::default() }],
            tasks: 2,
            channels: 1,
            meter,
            notes: vec!["the table was made".to_owned()],
            ..Summary::default()
        }
    }

    #[test]
    fn a_summary_is_one_line_and_its_notes() {
        let line = "1,000 rows from a.csv to shop.db#a in 2.00 s: 500 rows/s, 2.00 MB/s, waited for the writer";
        let note = "note: the table was made";
        assert_eq!(text(&summary(), Level::Normal), format!("{line}\n{note}"));
        let rejected = Summary { rejected: 1, rejects: Some("bad.jsonl".to_owned()), ..summary() };
        let told = "1 row rejected, it is in bad.jsonl";
        assert_eq!(text(&rejected, Level::Normal), format!("{line}\n{told}\n{note}"));
        let parquet = TargetSummary { target: "a.parquet".to_owned(), rows: 990, rejected: 10, ..Default::default() };
        let several = Summary { targets: [summary().targets, vec![parquet]].concat(), ..summary() };
        let both = line.replace("shop.db#a", "shop.db#a, a.parquet");
        let each = "  shop.db#a: 1,000 rows\n  a.parquet: 990 rows, 10 rejected";
        assert_eq!(text(&several, Level::Normal), format!("{both}\n{each}\n{note}"));
        let more = "  run r1\n  2 tasks, 1 channel, 4 splits\n  4.00 MB as Arrow, 1.50 MB written\n  \
                    waited for reader 0.00 s, transform 0.00 s, writer 1.00 s";
        assert_eq!(text(&summary(), Level::Verbose), format!("{line}\n{more}\n{note}"));
    }
}
