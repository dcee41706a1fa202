//! `etl jobs`: the runs that this user started, what became of each, and the end of those that are given up.

use clap::{Args, Subcommand};
use serde_json::json;

use super::args::{Output, OutputArgs};
use super::record::StateArgs;
use super::{amount, printer, record, table};
use crate::error::Result;
use crate::run::jobs::{self, JobRun, Removal, Status};
use crate::state::StateLog;

pub(super) const JOBS_EXAMPLES: &str = "\
Examples:
  etl jobs
  etl jobs show 019a2144
  etl jobs clean 019a2144
  etl jobs --state 'postgres://ada@dw/shop'

An interrupted copy goes on with the same command and --resume.";
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct JobsArgs {
    #[command(subcommand)]
    pub(super) command: Option<JobsCommand>,
    /// List all runs, not the last 20 alone
    #[arg(long)]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) record: StateArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum JobsCommand {
    /// Show what is known of one run
    Show {
        /// Its id, or the beginning of it
        #[arg(value_name = "RUN")]
        run: String,
        #[command(flatten)]
        record: StateArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Forget runs: those named, with what they staged in their targets; else all that ended
    Clean {
        /// Their ids, or the beginnings of them
        #[arg(value_name = "RUN")]
        runs: Vec<String>,
        /// Leave in the target what an interrupted run staged there
        #[arg(long)]
        records_only: bool,
        #[command(flatten)]
        record: StateArgs,
    },
}

/// Runs that are listed when not all are wanted.
const LISTED: usize = 20;

pub(super) async fn run(args: &JobsArgs) -> Result<()> {
    let record = match &args.command {
        None => &args.record,
        Some(JobsCommand::Show { record, .. } | JobsCommand::Clean { record, .. }) => record,
    };
    let state = record::open(record::named(record)?.as_ref()).await?;
    match &args.command {
        None => list(&*state, args.all, args.output.output).await,
        Some(JobsCommand::Show { run, output, .. }) => show(&*state, run, output.output).await,
        Some(JobsCommand::Clean { runs, records_only, .. }) => {
            let removal = if *records_only { Removal::Records } else { Removal::Whole };
            clean(&*state, runs, removal).await
        }
    }
}

async fn list(state: &dyn StateLog, all: bool, output: Output) -> Result<()> {
    let runs = jobs::list(state).await?;
    let first = if all { 0 } else { runs.len().saturating_sub(LISTED) };
    let runs = &runs[first..];
    if output == Output::Json {
        return printer::json(&json!({ "runs": runs }));
    }
    let row = |run: &JobRun| {
        let began = run.entry.began.split('.').next().unwrap_or_default().to_owned();
        vec![
            run.entry.run.clone(),
            began,
            word(run.status).to_owned(),
            amount::counted(run.rows, "row"),
            format!("{} to {}", run.source, [std::slice::from_ref(&run.target), &run.also].concat().join(", ")),
        ]
    };
    let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
    printer::data(&table::aligned(&["run", "began (UTC)", "status", "rows", "what"], &rows, ""))
}

async fn show(state: &dyn StateLog, beginning: &str, output: Output) -> Result<()> {
    let id = jobs::find(state, beginning).await?;
    let records = state.read(&id).await?;
    let run = jobs::list(state).await?.into_iter().find(|run| run.entry.run == id);
    if output == Output::Json {
        return printer::json(&json!({ "run": run, "records": records }));
    }
    run.map_or(Ok(()), |run| printer::data(&text(&run)))
}

fn text(run: &JobRun) -> String {
    let mut lines = vec![
        vec!["run".to_owned(), run.entry.run.clone()],
        vec!["status".to_owned(), word(run.status).to_owned()],
        vec!["began".to_owned(), format!("{} UTC", run.entry.began)],
        vec!["last heard".to_owned(), format!("{} UTC", run.entry.last)],
        vec!["source".to_owned(), run.source.clone()],
        vec!["target".to_owned(), run.target.clone()],
    ];
    lines.extend(run.also.iter().map(|also| vec!["also".to_owned(), also.clone()]));
    lines.push(vec!["rows".to_owned(), run.rows.to_string()]);
    lines.extend(run.detail.clone().map(|detail| vec!["detail".to_owned(), detail]));
    if run.status == Status::Interrupted {
        let advice = "the same command with --resume goes on; etl jobs clean RUN gives it up";
        lines.push(vec!["next".to_owned(), advice.to_owned()]);
    }
    table::aligned(&["", ""], &lines, "")
}

/// Without names: all that ended.
async fn clean(state: &dyn StateLog, named: &[String], removal: Removal) -> Result<()> {
    let mut runs = Vec::new();
    for beginning in named {
        runs.push(jobs::find(state, beginning).await?);
    }
    if named.is_empty() {
        let ended = |run: &JobRun| matches!(run.status, Status::Failed | Status::Finished);
        runs.extend(jobs::list(state).await?.into_iter().filter(ended).map(|run| run.entry.run));
    }
    for run in &runs {
        for target in jobs::clean(state, run, removal).await? {
            let stays = format!("what tasks of run {run} wrote that had ended stays in {target}");
            printer::talk(&format!("note: {stays}: remove it before the copy begins anew"));
        }
    }
    printer::talk(&format!("{} forgotten", amount::counted(runs.len() as u64, "run")));
    Ok(())
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Running => "running",
        Status::Interrupted => "interrupted",
        Status::Failed => "failed",
        Status::Finished => "finished",
    }
}
