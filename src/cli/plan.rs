//! `etl plan`: what a copy would do, said before it is done.

use super::args::{CopyArgs, Output};
use super::interrupt::Interrupt;
use super::record::StateArgs;
use super::{amount, job_file, place, printer, record, settings, table};
use crate::error::Result;
use crate::job::Job;
use crate::run;
use crate::run::report::{ColumnReport, PlanReport, TargetReport};
use crate::run::resume::{Resume, ResumeGrade};
use crate::sink::{ColumnFate, Guarantee, Publish, Writers};

pub(super) async fn run(args: &CopyArgs) -> Result<()> {
    let job = settings::copy(args)?.job;
    if args.into.emit_job {
        return job_file::print(&[job]);
    }
    let mut report = of(&job, &args.into.record, &Interrupt::listen()?).await?;
    report.log = args.talk.log.file().map(|file| file.path);
    match args.talk.output {
        Output::Text => printer::data(&text(&report)),
        Output::Json => printer::json(&report),
    }
}

/// What would be done for `job`.
pub(super) async fn of(job: &Job, record: &StateArgs, interrupt: &Interrupt) -> Result<PlanReport> {
    let state = record::named_for(record, job)?.as_ref().map(run::state::label).transpose()?;
    let between = run::Between::of(job)?;
    let from = between.source.label();
    let to: Vec<String> = between.targets().map(|target| target.label()).collect();
    let mut report = interrupt.or_stop(run::plan(job, between)).await?;
    report.source = place::sources_label(&from, job);
    for (target, endpoint) in std::iter::once(&mut report.target).chain(&mut report.also).zip(&to) {
        target.label = run::label(endpoint, &target.label);
    }
    report.state = state;
    Ok(report)
}

/// Characters before the text of each part.
const MARGIN: usize = 13;

/// A plan for people.
pub(super) fn text(report: &PlanReport) -> String {
    let mut out = String::new();
    part(&mut out, "source", std::slice::from_ref(&report.source));
    part(&mut out, "target", std::slice::from_ref(&report.target.label));
    let also: Vec<String> = report.also.iter().map(|target| target.label.clone()).collect();
    part(&mut out, "also", &also);
    part(&mut out, "estimate", &[estimate(report)]);
    part(&mut out, "reading", &report.reading);
    part(&mut out, "source does", &report.pushed_down);
    part(&mut out, "channels", &report.sizing.arithmetic);
    part(&mut out, "limits", &report.limits);
    part(&mut out, "operators", &report.operators);
    part(&mut out, "buffer", &report.buffer);
    part(&mut out, "record", report.state.as_slice());
    part(&mut out, "log", report.log.as_slice());
    if also.is_empty() {
        parts_of(&mut out, &report.target);
        part(&mut out, "note", &report.notes);
        columns_of(&mut out, &report.target);
        return out;
    }
    part(&mut out, "note", &report.notes);
    for target in std::iter::once(&report.target).chain(&report.also) {
        out.push('\n');
        part(&mut out, "into", std::slice::from_ref(&target.label));
        parts_of(&mut out, target);
        columns_of(&mut out, target);
    }
    out
}

fn part(out: &mut String, head: &str, lines: &[String]) {
    for (at, line) in lines.iter().enumerate() {
        let head = if at == 0 { head } else { "" };
        let line = line.replace('\n', &format!("\n{:MARGIN$}", ""));
        out.push_str(format!("{head:<MARGIN$}{line}").trim_end());
        out.push('\n');
    }
}

fn parts_of(out: &mut String, target: &TargetReport) {
    part(out, "writing", &[writing(target)]);
    part(out, "resume", &[resume(&target.resume)]);
    part(out, "runs", &target.ddl);
}

fn columns_of(out: &mut String, target: &TargetReport) {
    out.push_str("\ncolumns\n");
    let rows: Vec<Vec<String>> = target.columns.iter().map(column).collect();
    out.push_str(&table::aligned(&["source", "type", "target", "type", "values", ""], &rows, "  "));
}

fn estimate(report: &PlanReport) -> String {
    let mut parts = vec![amount::counted(report.splits as u64, "split")];
    parts.extend(report.rows.map(|rows| format!("about {}", amount::counted(rows, "row"))));
    parts.extend(report.bytes.map(|bytes| amount::bytes(bytes as f64)));
    parts.push(amount::counted(report.tasks.len() as u64, "task"));
    parts.extend(
        report.least_seconds.map(|time| format!("no less than {} at the limited speed", amount::seconds(time))),
    );
    parts.join(", ")
}

fn writing(target: &TargetReport) -> String {
    let writers = match &target.writers {
        Writers::Any => "a writer per channel".to_owned(),
        Writers::One => "one writer, in the order of the source".to_owned(),
        Writers::ByKey(key) => format!("writers by key ({})", key.join(", ")),
    };
    let publish = match target.publish {
        Publish::Held => "one transaction",
        Publish::AtOnce => "staged, then published in one step",
        Publish::Prepared => "prepared transactions, committed one after the other when all are there",
        Publish::PerTask => "visible task by task",
    };
    let guarantee = match target.guarantee {
        Guarantee::AtLeastOnce => "a repeated attempt may double rows",
        Guarantee::IdempotentByKey => "a repeated attempt overwrites by key",
        Guarantee::ExactlyOnce => "every row exactly once",
    };
    format!("{writers}; {publish}; {guarantee}")
}

fn resume(resume: &Resume) -> String {
    let grade = match resume.grade {
        ResumeGrade::Exact => "exact",
        ResumeGrade::Mixed => "mixed",
        ResumeGrade::Restart => "begins again",
    };
    format!("{grade}: {}", resume.reason)
}

fn column(column: &ColumnReport) -> Vec<String> {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let plan = &column.plan;
    vec![
        or_none(&plan.incoming),
        or_none(&column.incoming_type),
        or_none(&plan.target),
        plan.target_type.clone(),
        fate(plan.fate).to_owned(),
        plan.note.clone().filter(|note| note != fate(plan.fate)).unwrap_or_default(),
    ]
}

pub(super) fn fate(fate: ColumnFate) -> &'static str {
    match fate {
        ColumnFate::Exact => "exact",
        ColumnFate::Widened => "widened",
        ColumnFate::Lossy | ColumnFate::LossAllowed => "lossy",
        ColumnFate::Stringified => "as text",
        ColumnFate::Added => "its default",
        ColumnFate::Dropped => "not copied",
    }
}
