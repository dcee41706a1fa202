//! The control plane: the life of a job.
//!
//! open → describe → cut into splits → pre-SQL → agree → prepare → tasks → verify → commit → finish → post-SQL.
//! Until commit the target is as it was, but for what pre-SQL did; after an error the stage is swept. Once the commit
//! has begun it is finished, and nothing that fails later looks as if the data were not there.

pub mod budget;
mod buffer;
mod clock;
pub mod diff;
mod fingerprint;
mod hold;
mod incremental;
mod inspect;
pub mod jobs;
mod lease;
mod life;
pub mod local;
mod loss;
mod queue;
mod rejects;
pub mod report;
pub mod resume;
pub mod retry;
mod several;
pub mod sizing;
mod stages;
pub mod state;
mod steps;
mod targets;
mod verify;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::meter::Meter;
use crate::job::Job;
use crate::run::life::Life;
use crate::run::report::{PlanReport, Summary};
use crate::run::resume::Unfinished;
use crate::run::stages::{Opened, Past, endpoint, read_places};
use crate::state::StateLog;

pub use hold::{Held, hold};
pub use inspect::{count, describe, head, ping};
pub use targets::label;

/// What a run needs from its surroundings.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Counts what moves.
    pub meter: Arc<Meter>,
    /// Cancelled by Ctrl-C: the run stops, sweeps and fails.
    pub stop: CancellationToken,
    /// Where the run is recorded; none keeps no record.
    pub state: Option<Arc<dyn StateLog>>,
    /// The run to go on with, from the same log; none begins a new one.
    pub resume: Option<Unfinished>,
    /// Whether SQL before the rows is still to be run.
    pub pre_sql: PreSql,
}

/// What becomes of the user's SQL before the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PreSql {
    /// It is run.
    #[default]
    Wanted,
    /// An earlier run of the job has prepared the target. The first record of this one says so: it may have to be gone on with.
    Done,
}

/// The endpoints of a job, built and not opened.
#[derive(Clone, Debug)]
pub struct Between {
    /// Where rows come from.
    pub source: Arc<dyn Endpoint>,
    /// Where rows go.
    pub target: Arc<dyn Endpoint>,
    /// Where they go besides.
    pub also: Vec<Arc<dyn Endpoint>>,
}

impl Between {
    /// The endpoints that `job` names, from the list of connectors.
    pub fn of(job: &Job) -> Result<Self> {
        let also = job.also.iter().map(endpoint).collect::<Result<_>>()?;
        let source = several::endpoint_of(&read_places(job), job.union_by)?;
        Ok(Self { source, target: endpoint(&job.target)?, also })
    }

    /// All endpoints where rows go, in the order of [`Job::targets`].
    pub fn targets(&self) -> impl Iterator<Item = &Arc<dyn Endpoint>> {
        std::iter::once(&self.target).chain(&self.also)
    }
}

/// Refuses SQL for a target that runs none: behind the commit it would be too late.
fn check_sql(job: &Job, target: &dyn Endpoint) -> Result<()> {
    let option = match (job.pre_sql.is_empty(), job.post_sql.is_empty()) {
        (false, _) => "--pre-sql",
        (true, false) => "--post-sql",
        (true, true) => return Ok(()),
    };
    if target.runs_sql() {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Usage, format!("{} is no database and runs no SQL", target.label()));
    Err(error.with_hint(format!("leave {option} out")).at("option", option))
}

/// Plans `job` without changing anything. Pre-SQL is not run: what it would change is not seen.
pub async fn plan(job: &Job, between: Between) -> Result<PlanReport> {
    check_sql(job, &*between.target)?;
    let mut unproven: Vec<String> =
        std::iter::once(&between.source).chain(between.targets()).filter_map(|place| place.unproven()).collect();
    unproven.dedup();
    let opened = Opened::open(job, between, Past::default()).await?;
    let agreed = opened.agree(job, &[]).await;
    opened.session.close().await?;
    let mut report = opened.report(job, &agreed?)?;
    report.notes.extend(unproven.into_iter().map(|why| format!("unproven: {why}")));
    if !job.pre_sql.is_empty() {
        report.notes.push("pre-SQL was not run for this plan: what it changes is not seen here".to_owned());
    }
    if job.incremental.is_some() {
        report.notes.push("the log of runs was not asked for a position for this plan, the target was".to_owned());
    }
    Ok(report)
}

/// Runs `job` to its end. On an error the targets are as they were, but for what pre-SQL did; an error after the commit
/// says that the data are committed, and one between the commits of several targets, which of them have the rows.
pub async fn copy(job: &Job, between: Between, surroundings: &Surroundings) -> Result<Summary> {
    check_sql(job, &*between.target)?;
    // Boxed: both hold all that a run holds.
    let past = Past { state: surroundings.state.as_deref(), resume: surroundings.resume.as_ref() };
    let opened = surroundings.or_stop(Box::pin(Opened::open(job, between, past))).await?;
    let summary = Box::pin(Life::new(job, &opened, surroundings).live()).await?;
    drop(opened);
    verify::rows(job, surroundings).await?;
    Ok(summary)
}

impl Surroundings {
    /// `work`, dropped when the run is stopped.
    async fn or_stop<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(stopped()),
            result = work => result,
        }
    }
}

/// What a stop from outside makes of a run.
fn stopped() -> Error {
    Error::new(ErrorKind::Cancelled, "the run was stopped")
}
