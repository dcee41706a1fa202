//! Compares two places by key.
//!
//! Where a primary key promises that no key stands twice, both sides are first only counted in buckets of keys, and the
//! rows of buckets that differ are read again, sorted and merged. Else duplicates must be found too: all rows are sorted.

mod open;
mod report;
mod resend;

use std::sync::Arc;
use std::time::Duration;

use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties as _};
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::open::{Open, turn_to_text};
use self::resend::Spool;
use super::Surroundings;
use crate::bridge::cpu;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::job::{Limits, Place};
use crate::plan::diff::columns::Columns;
use crate::plan::diff::merge::{Findings, Wishes, merge};
use crate::plan::diff::side::Rows;
use crate::plan::diff::{Codec, Side};
use crate::plan::error::from_datafusion;
use crate::sink::WriteMode;

pub use self::report::{ColumnReport, Report, Shown, Values, What};

/// How long the end waits for readers that were told to end.
const END_TIME: Duration = Duration::from_secs(30);

/// What is to be compared.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The two places, A first.
    pub places: [Place; 2],
    /// Columns of the key; empty takes the primary key of A, else of B.
    pub key: Vec<String>,
    /// Columns to compare beside the key; empty compares all.
    pub select: Vec<String>,
    /// Only rows for which this is true are compared, on both sides.
    pub filter: Option<String>,
    /// How many differences are told one by one.
    pub shown: usize,
    /// Where rows of A go that B lacks or has otherwise, if that is wanted.
    pub resend: Option<Resend>,
    /// Channels and memory.
    pub limits: Limits,
}

/// Where rows are sent again.
#[derive(Clone, Debug)]
pub struct Resend {
    /// The target.
    pub target: Place,
    /// What happens to what it holds.
    pub mode: WriteMode,
}

/// Compares two places. That they differ is no error: the report says it.
pub async fn diff(comparison: &Comparison, surroundings: &Surroundings) -> Result<Report> {
    if let Some(threads) = comparison.limits.threads {
        cpu::set_threads(threads)?;
    }
    let [a, b] = &comparison.places;
    let opened = async { futures::try_join!(Open::of(Side::A, a, comparison), Open::of(Side::B, b, comparison)) };
    let (a, b) = surroundings.or_stop(opened).await?;
    let mut sides = [a, b];
    let result = loop {
        let mut spool = comparison.resend.as_ref().map(|_| Spool::open()).transpose()?;
        let compared = surroundings.or_stop(Box::pin(compare(comparison, &sides, &mut spool, surroundings))).await;
        match compared {
            Err(error) if turn_to_text(&mut sides, &error) => {}
            compared => break compared.map(|report| (report, spool)),
        }
    };
    for side in &sides {
        // Readers that were told to end may still hold a read of the session.
        let _ = timeout(END_TIME, side.readers.write()).await;
        let _ = timeout(END_TIME, side.session.close()).await;
    }
    let (mut report, spool) = result?;
    if let (Some(resend), Some(spool)) = (&comparison.resend, spool) {
        report.sent = Some(Box::pin(spool.send(comparison, resend, surroundings)).await?);
    }
    Ok(report)
}

async fn compare(
    comparison: &Comparison,
    sides: &[Open; 2],
    spool: &mut Option<Spool>,
    surroundings: &Surroundings,
) -> Result<Report> {
    let [a, b] = sides;
    let columns = Columns::of([&a.given(), &b.given()], &comparison.key, &comparison.select)?;
    let codec = Arc::new(Codec::new(&columns)?);
    let rows = async |open: &Open| {
        let rows = open.rows(comparison, (&codec, &columns), surroundings).await;
        rows.at("side", || open.side)
    };
    let rows = [rows(a).await?, rows(b).await?];
    let partitions = a.channels().min(b.channels());
    let missing = spool.as_ref().and_then(Spool::outlet);
    let wishes = Wishes { shown: comparison.shown, missing };
    let findings = if columns.is_unique {
        let (a, b) = futures::try_join!(rows[0].buckets(), rows[1].buckets())?;
        let unlike = Arc::new(a.unlike(&b));
        let mut findings = if unlike.is_empty() {
            Findings::default()
        } else {
            let sorted = [rows[0].sorted(Some(&unlike), partitions)?, rows[1].sorted(Some(&unlike), partitions)?];
            merged(&rows, sorted, &codec, &wishes).await?
        };
        let alike = [a, b].map(|buckets| buckets.rows_outside(&unlike));
        findings.equal += alike[0];
        findings.rows = [0, 1].map(|side| findings.rows[side] + alike[side]);
        findings
    } else {
        let sorted = [rows[0].sorted(None, partitions)?, rows[1].sorted(None, partitions)?];
        merged(&rows, sorted, &codec, &wishes).await?
    };
    drop(wishes);
    if let Some(spool) = spool {
        spool.close().await?;
    }
    report::of([a.label(), b.label()], &columns, &codec, &findings)
}

/// Merges all partitions, each on its own.
async fn merged(
    rows: &[Rows; 2],
    sorted: [Arc<dyn ExecutionPlan>; 2],
    codec: &Arc<Codec>,
    wishes: &Wishes,
) -> Result<Findings> {
    let partitions = sorted[0].output_partitioning().partition_count();
    let mut running = JoinSet::new();
    for partition in 0..partitions {
        let stream = |side: usize| sorted[side].execute(partition, Arc::clone(rows[side].context()));
        let streams = [stream(0).map_err(from_datafusion)?, stream(1).map_err(from_datafusion)?];
        running.spawn(merge(streams, Arc::clone(codec), wishes.clone()));
    }
    let mut all = Findings::default();
    while let Some(done) = running.join_next().await {
        let done = done.map_err(|death| {
            Error::new(ErrorKind::Internal, "comparing rows failed in an unforeseen way").with_source(death)
        })?;
        all.merge(done?, wishes.shown);
    }
    Ok(all)
}
