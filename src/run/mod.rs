//! The control plane: the life of a job.
//!
//! open → describe → cut into splits → pre-SQL → agree → prepare → tasks → commit → finish → post-SQL.
//! Until commit the target is as it was, but for what pre-SQL did; after an error the stage is swept.

pub mod budget;
mod inspect;
pub mod local;
mod queue;
pub mod report;
pub mod sizing;
mod stages;
pub mod state;

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::endpoint::{Endpoint, Step};
use crate::error::{Context as _, Result};
use crate::flow::meter::Meter;
use crate::job::Job;
use crate::run::local::LocalRunner;
use crate::run::report::{PlanReport, Summary};
use crate::run::stages::{Agreed, Opened, endpoint, parsed_as_cast};
use crate::runner::{RunEvents, Runner as _};
use crate::sink::Receipt;
use crate::state::{StateLog, StateRecord};

pub use inspect::{count, describe, head, ping};

/// What a run needs from its surroundings.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Counts what moves.
    pub meter: Arc<Meter>,
    /// Cancelled by Ctrl-C: the run stops, sweeps and fails.
    pub stop: CancellationToken,
    /// Where the run is recorded; none keeps no record.
    pub state: Option<Arc<dyn StateLog>>,
}

/// The two endpoints of a job, built and not opened.
#[derive(Clone, Debug)]
pub struct Between {
    /// Where rows come from.
    pub source: Arc<dyn Endpoint>,
    /// Where rows go.
    pub target: Arc<dyn Endpoint>,
}

impl Between {
    /// The endpoints that `job` names, from the list of connectors.
    pub fn of(job: &Job) -> Result<Self> {
        Ok(Self { source: endpoint(&parsed_as_cast(job))?, target: endpoint(&job.target)? })
    }
}

/// Plans `job` without changing anything. Pre-SQL is not run: what it would change is not seen.
pub async fn plan(job: &Job, between: Between) -> Result<PlanReport> {
    let opened = Opened::open(job, between, &Surroundings::default()).await?;
    let agreed = opened.agree(job).await;
    opened.session.close().await?;
    let mut report = opened.report(&agreed?);
    if !job.pre_sql.is_empty() {
        report.notes.push("pre-SQL was not run for this plan: what it changes is not seen here".to_owned());
    }
    Ok(report)
}

/// Runs `job` to its end. On an error the target is as it was, but for what pre-SQL did.
pub async fn copy(job: &Job, between: Between, surroundings: &Surroundings) -> Result<Summary> {
    let opened = Opened::open(job, between, surroundings).await?;
    let log = Log { state: surroundings.state.clone(), run: opened.token.run.clone() };
    log.append(&opened.started(job)).await?;
    let result = changed(job, &opened, surroundings, &log).await;
    let closed = opened.session.close().await;
    match result {
        Ok(summary) => {
            closed?;
            log.append(&StateRecord::Finished { rows: summary.rows }).await?;
            Ok(summary)
        }
        Err(error) => {
            // The failure itself is what the user must see, whatever the log says to it.
            let _ = log.append(&StateRecord::Aborted { reason: error.to_string() }).await;
            Err(error)
        }
    }
}

/// Everything that may change the target.
async fn changed(job: &Job, opened: &Opened, surroundings: &Surroundings, log: &Log) -> Result<Summary> {
    for sql in &job.pre_sql {
        opened.target.execute(Step::PreSql, sql).await.at("step", || "pre-SQL")?;
        log.append(&StateRecord::Step { step: Step::PreSql }).await?;
    }
    let result = moved(job, opened, surroundings, log).await;
    result.map_err(|error| if job.pre_sql.is_empty() { error } else { error.at("after pre-SQL", "its changes stay") })
}

/// From the agreement to the end of post-SQL.
async fn moved(job: &Job, opened: &Opened, surroundings: &Surroundings, log: &Log) -> Result<Summary> {
    let agreed = opened.agree(job).await?;
    let transfer = &agreed.planned.transfer;
    let planned = StateRecord::Planned {
        transfer: 0,
        splits: transfer.splits.clone(),
        agreements: vec![agreed.agreement.clone()],
    };
    log.append(&planned).await?;
    surroundings.meter.expect(
        transfer.splits.len() as u64,
        opened.rows().unwrap_or(0),
        transfer.splits.iter().filter_map(|split| split.bytes).sum(),
    );
    let runner = opened.runner(&agreed, &job.limits, surroundings);
    let receipts = match written(opened, &agreed, &runner, log).await {
        Ok(receipts) => receipts,
        Err(error) => return Err(swept(opened, &agreed, error).await),
    };
    let token = &opened.token;
    let committed =
        StateRecord::Committed { transfer: token.transfer, sink: token.sink, epoch: token.epoch, position: None };
    log.append(&committed).await?;
    opened.target.finish(std::slice::from_ref(&agreed.agreement)).await.at("step", || "finishing the target")?;
    for sql in &job.post_sql {
        opened.target.execute(Step::PostSql, sql).await.at("step", || "post-SQL, after the data were committed")?;
        log.append(&StateRecord::Step { step: Step::PostSql }).await?;
    }
    Ok(opened.summary(&agreed, &receipts, surroundings))
}

/// Prepares the stage, runs the tasks and commits.
async fn written(opened: &Opened, agreed: &Agreed, runner: &LocalRunner, log: &Log) -> Result<Vec<Receipt>> {
    let sink = &agreed.sink;
    sink.prepare(&agreed.agreement, &opened.token).await?;
    let receipts = runner.run(&agreed.planned.transfer, &[], log).await?;
    // All rows are there: locks and snapshot of the source are not needed while the target is published.
    opened.session.check().await?;
    opened.session.close().await?;
    sink.commit(&agreed.agreement, &opened.token, &receipts).await?;
    Ok(receipts)
}

/// Sweeps what was staged. A failure to do so is told beside the one that led here.
async fn swept(opened: &Opened, agreed: &Agreed, error: crate::error::Error) -> crate::error::Error {
    match agreed.sink.abort(&agreed.agreement, &opened.token).await {
        Ok(()) => error,
        Err(also) => error.at("and its stage could not be removed", also),
    }
}

/// The log of one run.
struct Log {
    state: Option<Arc<dyn StateLog>>,
    run: String,
}

impl Log {
    async fn append(&self, record: &StateRecord) -> Result<()> {
        match &self.state {
            Some(state) => state.append(&self.run, record).await.at("state log", || "append"),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl RunEvents for Log {
    async fn wrote(&self, receipt: &Receipt) -> Result<()> {
        self.append(&StateRecord::Wrote { transfer: 0, receipt: receipt.clone() }).await
    }
}
