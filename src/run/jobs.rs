//! The runs of the log: what became of each, and the end of those that nobody goes on with.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize as _, Serialize};
use serde_json::Value as Json;

use crate::attempt::Token;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::job::Place;
use crate::job::locator::{DUCKDB, SQLITE, unmask};
use crate::run::resume::Unfinished;
use crate::run::stages::endpoint;
use crate::sink::Agreement;
use crate::state::{Holder, Life, RunEntry, StateLog, StateRecord};

/// A run and what became of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRun {
    /// Id and times.
    #[serde(flatten)]
    pub entry: RunEntry,
    /// What became of it.
    pub status: Status,
    /// Source without secrets.
    pub source: String,
    /// Target without secrets.
    pub target: String,
    /// The targets beside it.
    pub also: Vec<String>,
    /// Rows that became visible, or are known to be staged.
    pub rows: u64,
    /// Why it failed; which process it is.
    pub detail: Option<String>,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// Its process is at work.
    Running,
    /// Its process is gone, and it has not ended.
    Interrupted,
    /// It failed, and left nothing but rows that were committed.
    Failed,
    /// All was done.
    Finished,
}

/// All runs, oldest first.
pub async fn list(state: &dyn StateLog) -> Result<Vec<JobRun>> {
    let holders = state.holders().await?.into_iter().map(|holder| (holder.run.clone(), holder));
    let holders: HashMap<String, Holder> = holders.collect();
    let mut all = Vec::new();
    for entry in state.runs().await? {
        let records = state.read(&entry.run).await?;
        let holder = holders.get(&entry.run);
        all.push(told(entry, &records, holder));
    }
    Ok(all)
}

/// The run whose id begins with `beginning`.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound), and [`Usage`](ErrorKind::Usage) where several do.
pub async fn find(state: &dyn StateLog, beginning: &str) -> Result<String> {
    let mut runs = state.runs().await?.into_iter().map(|entry| entry.run).filter(|run| run.starts_with(beginning));
    match (runs.next(), runs.next()) {
        (Some(run), None) => Ok(run),
        (Some(_), Some(_)) => Err(Error::new(ErrorKind::Usage, "several runs begin so").at("run", beginning)),
        (None, _) => Err(Error::new(ErrorKind::NotFound, "there is no such run")
            .at("run", beginning)
            .with_hint("etl jobs lists the runs")),
    }
}

/// What `records` say of a run.
fn told(entry: RunEntry, records: &[StateRecord], holder: Option<&Holder>) -> JobRun {
    let alive = holder.filter(|holder| holder.life == Life::Alive);
    let status = if alive.is_some() { Status::Running } else { Status::Interrupted };
    let detail = alive.map(|holder| holder.process.clone());
    let (source, target, also) = (String::new(), String::new(), Vec::new());
    let mut run = JobRun { entry, status, source, target, also, rows: 0, detail };
    let (mut rows, mut committed): (HashMap<u32, u64>, Vec<u32>) = (HashMap::new(), Vec::new());
    for record in records {
        match record {
            StateRecord::Started { job, .. } => {
                run.source = shown(&job["source"], &job["sourceLabel"]);
                run.target = shown(&job["target"], &job["targetLabel"]);
                let also = job["also"].as_array().into_iter().flatten().enumerate();
                run.also = also.map(|(index, place)| shown(place, &job["alsoLabels"][index])).collect();
            }
            StateRecord::Planned { .. } => rows.retain(|sink, _| committed.contains(sink)),
            StateRecord::Wrote { receipt, .. } | StateRecord::Held { receipt, .. } => {
                *rows.entry(receipt.sink).or_default() += receipt.rows;
            }
            StateRecord::Finished { rows: all, .. } => {
                run.status = Status::Finished;
                rows = HashMap::from([(0, *all)]);
            }
            StateRecord::Aborted { reason } => {
                (run.status, run.detail) = (Status::Failed, Some(reason.clone()));
                rows.retain(|sink, _| committed.contains(sink));
            }
            StateRecord::Committed { sink, .. } => committed.push(*sink),
            StateRecord::StepBegun { .. } | StateRecord::Step { .. } => {}
        }
    }
    // Each target gets all of them.
    run.rows = rows.into_values().max().unwrap_or(0);
    run
}

/// A place with its object, for people.
fn shown(place: &Json, label: &Json) -> String {
    let label = label.as_str().unwrap_or_default();
    match place["object"]["table"].as_str() {
        Some(table) => format!("{label}#{table}"),
        None => label.to_owned(),
    }
}

/// How much of a run is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// What it staged in its target, then its records.
    Whole,
    /// Its records alone.
    Records,
}

/// Gives `run` up: nobody can go on with it afterwards. The answer names the targets in which rows of tasks that had ended stay.
///
/// # Errors
/// [`Busy`](ErrorKind::Busy) while its process is at work, and those of its target.
pub async fn clean(state: &dyn StateLog, run: &str, removal: Removal) -> Result<Vec<String>> {
    let holder = state.holders().await?.into_iter().find(|holder| holder.run == run);
    if let Some(alive) = holder.as_ref().filter(|holder| holder.life == Life::Alive) {
        let message = format!("the run is under way, by {}", alive.process);
        return Err(Error::new(ErrorKind::Busy, message).at("run", run));
    }
    let mut stay = Vec::new();
    if removal == Removal::Whole
        && let Some(unfinished) = Unfinished::of(run, state.read(run).await?)
    {
        let hint = "the next copy into the same target removes it; --records-only forgets the run all the same";
        let swept = match targets(&unfinished) {
            Ok(places) => sweep(&unfinished, &places).await,
            Err(error) => Err(error),
        };
        stay = swept.map_err(|error| error.with_hint(hint)).at("run", || run)?;
    }
    state.forget(run).await?;
    if let Some(holder) = holder {
        state.release(&holder.job, run).await?;
    }
    Ok(stay)
}

/// Removes what `run` staged and did not commit in `places`, its targets. One in which that fails keeps it from none of the others. The
/// answer names those in which rows of tasks stay.
pub(super) async fn sweep<'a>(run: &Unfinished, places: impl IntoIterator<Item = &'a Place>) -> Result<Vec<String>> {
    let Some(plan) = &run.planned else { return Ok(Vec::new()) };
    let (mut stay, mut swept) = (Vec::new(), Ok(()));
    for ((sink, place), agreement) in (0..).zip(places).zip(&plan.agreements) {
        if run.committed.contains(&sink) {
            continue;
        }
        let token = Token { run: run.run.clone(), transfer: 0, sink, epoch: 0 };
        let removed = unstage(place, agreement, &token).await;
        swept = swept.and(removed);
        if agreement.tasks_stay() {
            stay.push(agreement.label.clone());
        }
    }
    swept.map(|()| stay)
}

/// Removes what `token` staged in the target at `place`.
async fn unstage(place: &Place, agreement: &Agreement, token: &Token) -> Result<()> {
    endpoint(place)?.sink(&place.object)?.abort(agreement, token).await
}

/// The targets of `run`, as its record names them.
fn targets(run: &Unfinished) -> Result<Vec<Place>> {
    let place = |recorded: &Json| -> Result<Place> {
        let mut place = Place::deserialize(recorded)?;
        // Where the password was hidden, another way to it is tried: a pass file, the environment.
        if let Some(url) = place.options["url"].as_str().map(unmask) {
            place.options["url"] = Json::from(from_anywhere(&url, &place.connector, run.job["folder"].as_str()));
        }
        Ok(place)
    };
    let also = run.job["also"].as_array().into_iter().flatten();
    std::iter::once(&run.job["target"]).chain(also).map(place).collect()
}

/// The `url` of a place of `connector`. A database that is a file was named from the `folder` in which its run began, and this process
/// may be in another one; sinks of files know theirs.
fn from_anywhere(url: &str, connector: &str, folder: Option<&str>) -> String {
    let Some(folder) = folder.filter(|_| [SQLITE, DUCKDB].contains(&connector)) else { return url.to_owned() };
    let (scheme, path) = url.split_once(':').unwrap_or((connector, url));
    format!("{scheme}:{}", Path::new(folder).join(path).display())
}

#[cfg(test)]
mod tests;
