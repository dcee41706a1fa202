//! Proof that a target holds what it was sent: the stage before the commit, each row after it.

use futures::future::try_join_all;
use serde_json::Value as Json;

use super::Surroundings;
use super::clock;
use super::diff::{self, Comparison};
use super::stages::{endpoint, parsed_as_cast, understands};
use super::targets;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::job::{Job, OnError, Place, Transform};
use crate::plan::pipeline::Target;
use crate::proof::{Verdict, Verify};
use crate::sink::{Agreement, ColumnFate, Receipt, WriteMode};

/// Refuses a job that wants more proof than its target or its transform allows.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for a target that cannot compare sums, and for rows that are not to be found again one by one.
pub(super) fn check_way(job: &Job, key: &[String], Target { sink, agreement, .. }: &Target) -> Result<()> {
    match job.verify {
        Verify::Checksum if sink.checksum(agreement).is_none() => {
            let message = "this target cannot compare sums before rows become visible";
            Err(Error::new(ErrorKind::Usage, message)
                .with_hint("use --verify rows, which reads the target after the commit, or --verify count")
                .at("option", "--verify checksum"))
        }
        Verify::Rows => check_rows(job, key, agreement).at("option", || "--verify rows"),
        _ => Ok(()),
    }
}

/// Rows can be compared where the target holds those of the source and no others, and can be read again.
fn check_rows(job: &Job, key: &[String], agreement: &Agreement) -> Result<()> {
    let Transform { steps, sql, trim, empty, date_formats, integers, set, rename, limit, .. } = &job.transform;
    let changed = !steps.is_empty() || sql.is_some() || trim.is_some() || empty.is_some() || !set.is_empty();
    let changed = changed || !date_formats.is_empty() || integers.is_some() || !rename.is_empty() || limit.is_some();
    let is_lossy = agreement.columns.iter().any(|plan| plan.fate == ColumnFate::LossAllowed);
    let message = match job.mode {
        _ if !job.union.is_empty() => "rows of several sources are compared with none of them",
        _ if changed => "rows that are changed on their way are not those of the source",
        _ if clock::is_used(agreement) => "what a clock shows is not the instant itself",
        _ if is_lossy => "values that are rounded or cut are not those of the source",
        WriteMode::Append | WriteMode::Upsert(_) => "a target that is added to holds other rows, too",
        _ if job.errors.on_error == OnError::Skip => "rows that are left out are not in the target",
        _ if key.is_empty() => "the source has no primary key to tell rows apart",
        _ if agreement.is_pipe() => "what goes into a pipe cannot be read again",
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::Usage, message).with_hint("use --verify checksum, or compare with etl diff"))
}

/// How the proof is made and about what it costs, for the plan.
pub(super) fn note(job: &Job, target: &Target) -> Option<String> {
    match job.verify {
        Verify::None | Verify::Count => None,
        Verify::Checksum => target.sink.checksum(&target.agreement),
        Verify::Rows => {
            Some("after the commit source and target are read once more and compared row by row".to_owned())
        }
    }
}

/// Compares the stages with what was sent, before the first commit.
///
/// # Errors
/// [`Mismatch`](ErrorKind::Mismatch) when one holds something else.
pub(super) async fn stages(job: &Job, all: &[Target], receipts: &[Receipt]) -> Result<()> {
    if job.verify == Verify::None {
        return Ok(());
    }
    let verified = all.iter().map(|target| async move {
        targets::named(stage(target, &targets::of(receipts, &[target.token.sink])).await, target, all)
    });
    try_join_all(verified).await.map(drop)
}

async fn stage(Target { sink, agreement, token, .. }: &Target, receipts: &[Receipt]) -> Result<()> {
    match sink.verify(agreement, token, receipts).await.at("step", || "verify")? {
        Verdict::Equal | Verdict::Unknown => Ok(()),
        Verdict::Unequal(found) => Err(Error::new(ErrorKind::Mismatch, found)
            .with_hint("something else changed the rows on their way; the target is as it was")
            .at("step", "verify")),
    }
}

/// Compares each row of every target with that of the source, after the commit, where that is wanted.
///
/// # Errors
/// [`Mismatch`](ErrorKind::Mismatch) when they differ.
pub(super) async fn rows(job: &Job, surroundings: &Surroundings) -> Result<()> {
    if job.verify != Verify::Rows {
        return Ok(());
    }
    for target in job.targets() {
        let compared = rows_of(job, target.clone(), surroundings).await;
        compared.map_err(|error| match job.also.as_slice() {
            [] => error,
            _ => error.at("target", shown(target)),
        })?;
    }
    Ok(())
}

/// A target for people, as far as its place tells.
fn shown(target: &Place) -> String {
    endpoint(target).map_or_else(|_| target.connector.clone(), |endpoint| endpoint.label())
}

async fn rows_of(job: &Job, mut target: Place, surroundings: &Surroundings) -> Result<()> {
    // The source knows what the texts of a file mean. A filter needs types from the start, which are guessed then.
    if let (None, Json::Object(options)) = (&job.transform.filter, &mut target.options)
        && understands(&target.connector, "allStrings")
    {
        options.insert("allStrings".to_owned(), Json::Bool(true));
    }
    let comparison = Comparison {
        places: [parsed_as_cast(job, &job.source), target],
        key: Vec::new(),
        select: job.transform.select.clone(),
        filter: job.transform.filter.clone(),
        shown: 0,
        resend: None,
        limits: job.limits.clone(),
    };
    let compared = Box::pin(diff::diff(&comparison, surroundings)).await;
    let report = compared.at("step", || "verify").at("the data are", || "committed")?;
    let unequal = report.rows_a.max(report.rows_b) - report.equal;
    if unequal == 0 {
        return Ok(());
    }
    let message = format!("rows of source and target that are not equal: {unequal}");
    Err(Error::new(ErrorKind::Mismatch, message)
        .with_hint("etl diff shows them; somebody may have changed the source since it was read")
        .at("step", "verify")
        .at("the data are", "committed"))
}
