//! The targets of a transfer: what holds for all of them, and what is done to all alike.
//!
//! Each has an agreement, a stage and a commit of its own, under the token of its sink. A split is done when all have it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::try_join_all;

use crate::endpoint::Endpoint;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::job::locator::{FILE, SQLITE};
use crate::job::{Job, OnError, Place};
use crate::plan::pipeline::Target;
use crate::plan::tasks::narrowed;
use crate::runner::Transfer;
use crate::sink::{Agreement, Form, Kept, Publish, Receipt, SchemaPolicy, Tasks, Visible};
use crate::source::{Split, TableShape};

/// A target that is to be written.
#[derive(Clone, Debug)]
pub(super) struct Goal<'a> {
    /// The number of its sink.
    pub(super) sink: u32,
    pub(super) endpoint: &'a Arc<dyn Endpoint>,
    pub(super) place: &'a Place,
}

/// The target's own name, with its endpoint where the name does not say it.
pub fn label(endpoint: &str, target: &str) -> String {
    if target.contains(endpoint) { target.to_owned() } else { format!("{endpoint}#{target}") }
}

/// Refuses files that are named twice, as they would be in the way of each other.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage).
pub(super) fn refuse_files_twice(job: &Job) -> Result<()> {
    let mut known: HashMap<(&str, PathBuf), &Place> = HashMap::new();
    let rejects = job.errors.rejects.as_ref();
    let written = job.targets().chain(rejects);
    for place in written.filter(|place| [FILE, SQLITE].contains(&place.connector.as_str())) {
        let url = place.options["url"].as_str().unwrap_or_default();
        let path = sqlite_file(place).unwrap_or(url);
        let Some(other) = known.insert((&place.connector, absolute(path)), place) else { continue };
        return Err(match place.connector.as_str() {
            SQLITE if other.object != place.object => {
                let message = "an SQLite file takes rows from one writer at a time, and two of its tables are targets";
                Error::new(ErrorKind::Usage, message)
                    .with_hint("copy into one table after the other, or into a file of its own")
                    .at("file", path)
            }
            _ if rejects.is_some_and(|rejects| std::ptr::eq(rejects, place)) => {
                Error::new(ErrorKind::Usage, "the rejects file is a target, too")
                    .with_hint("name another one")
                    .at("file", path)
            }
            _ if url == "-" => Error::new(ErrorKind::Usage, "stdout can be a target but once"),
            _ => twice(path),
        });
    }
    Ok(())
}

fn twice(label: &str) -> Error {
    Error::new(ErrorKind::Usage, "this target is named twice").with_hint("name it once").at("target", label)
}

/// The path of an SQLite file; none for other places.
pub(super) fn sqlite_file(place: &Place) -> Option<&str> {
    let url = place.options["url"].as_str().filter(|_| place.connector == SQLITE)?;
    Some(url.split_once(':').map_or(url, |(_, path)| path))
}

/// `path` as it is from the root, as far as that is known.
pub(super) fn absolute(path: &str) -> PathBuf {
    let path = Path::new(path);
    let whole = || path.canonicalize().ok();
    let folder = || {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(parent.canonicalize().ok()?.join(path.file_name()?))
    };
    whole().or_else(folder).unwrap_or_else(|| path.to_owned())
}

/// Refuses targets that turned out to be the same. What keeps nothing may be there as often as one likes.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage).
pub(super) fn refuse_twice(targets: &[Target]) -> Result<()> {
    let mut known = HashSet::new();
    let kept = targets.iter().filter(|target| target.agreement.kept != Kept::Nothing);
    match kept.map(|target| target.agreement.label.as_str()).find(|label| !known.insert(*label)) {
        Some(label) => Err(twice(label)),
        None => Ok(()),
    }
}

/// Whether rows are only passed on, or counted: then the same job may be done by many at once.
pub(super) fn pass_on(targets: &[Target]) -> bool {
    let passes_on =
        |Target { agreement, .. }: &Target| agreement.kept == Kept::Nothing && agreement.publish != Publish::Held;
    targets.iter().all(passes_on)
}

/// Refuses a job of so many tasks whose rows are to be seen otherwise than at once, by a target that does not do so, or where a
/// failure would leave rows that nobody could go on behind.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage).
pub(super) fn check_visible(job: &Job, tasks: Tasks, agreement: &Agreement) -> Result<()> {
    if tasks == Tasks::One {
        return Ok(());
    }
    let (flag, wanted, message) = match job.visible {
        Visible::AtOnce => return Ok(()),
        Visible::PerTask if job.errors.on_error == OnError::Skip => {
            let message = "what was rejected is known to its process alone";
            return Err(Error::new(ErrorKind::Usage, message).at("option", "--publish task"));
        }
        Visible::PerTask => {
            ("--publish task", Publish::PerTask, "this target shows all rows at once, when all are there")
        }
        Visible::Prepared => ("--publish prepared", Publish::Prepared, "this target has no prepared transactions"),
    };
    if agreement.publish == wanted {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Usage, message).with_hint(format!("leave {flag} out"));
    Err(error.at("option", flag))
}

/// Gives the columns that come their own names where sinks were offered them under those of the target: plans of these stand in the order
/// in which they come.
pub(super) fn name_as_they_come(policy: SchemaPolicy, shape: &TableShape, agreement: &mut Agreement) {
    if policy != SchemaPolicy::ByPlace {
        return;
    }
    let plans = agreement.columns.iter_mut().filter(|plan| plan.incoming.is_some());
    for (plan, field) in plans.zip(shape.schema.fields()) {
        plan.incoming = Some(field.name().clone());
    }
}

/// The columns that some of `targets` want in their native form, and others as Arrow values. A column is read in one form.
pub(super) fn disputed(targets: &[Target]) -> Vec<String> {
    let plans = || targets.iter().flat_map(|target| &target.agreement.columns).filter(|plan| plan.target.is_some());
    let wanted = |form| plans().filter(move |plan| plan.form == form).filter_map(|plan| plan.incoming.as_ref());
    let as_values: HashSet<&String> = wanted(Form::Arrow).collect();
    let both: HashSet<&String> = wanted(Form::Native).filter(|name| as_values.contains(name)).collect();
    let mut both: Vec<String> = both.into_iter().cloned().collect();
    both.sort_unstable();
    both
}

/// Makes the stages of all.
pub(super) async fn prepare(targets: &[Target]) -> Result<()> {
    let prepared = targets.iter().map(|target| async move {
        named(target.sink.prepare(&target.agreement, &target.token).await, target, targets)
    });
    try_join_all(prepared).await.map(drop)
}

/// Sweeps the stages of all.
pub(super) async fn abort(targets: &[Target]) -> Result<()> {
    let swept = targets.iter().map(|Target { sink, agreement, token, .. }| sink.abort(agreement, token));
    try_join_all(swept).await.map(drop)
}

/// Those of `receipts` that are of `sinks`.
pub(super) fn of(receipts: &[Receipt], sinks: &[u32]) -> Vec<Receipt> {
    receipts.iter().filter(|receipt| sinks.contains(&receipt.sink)).cloned().collect()
}

/// The splits that each of `targets` has, by the receipts in `done`.
fn there<'a>(targets: &'a [Target], done: &'a [Receipt]) -> impl Iterator<Item = (u32, HashSet<u32>)> + 'a {
    targets.iter().map(|target| {
        let sink = target.token.sink;
        let own = done.iter().filter(move |receipt| receipt.sink == sink);
        (sink, own.flat_map(|receipt| receipt.splits.iter().copied()).collect())
    })
}

/// The splits that all of `targets` have.
pub(super) fn settled(targets: &[Target], done: &[Receipt]) -> HashSet<u32> {
    let all = there(targets, done)
        .map(|(_, splits)| splits)
        .reduce(|all, splits| all.intersection(&splits).copied().collect());
    all.unwrap_or_default()
}

/// What of `transfer` is left to do: all of it as long as nothing is `done`, else a part for the splits that are missing in
/// the same targets. Each with the numbers of these.
pub(super) fn left(transfer: &Transfer, targets: &[Target], done: &[Receipt]) -> Vec<(Vec<u32>, Transfer)> {
    if done.is_empty() {
        return vec![(targets.iter().map(|target| target.token.sink).collect(), transfer.clone())];
    }
    let there: Vec<(u32, HashSet<u32>)> = there(targets, done).collect();
    let mut parts: Vec<(Vec<u32>, Vec<Split>)> = Vec::new();
    for split in &transfer.splits {
        let lack = there.iter().filter(|(_, splits)| !splits.contains(&split.id));
        let sinks: Vec<u32> = lack.map(|(sink, _)| *sink).collect();
        match parts.iter_mut().find(|(known, _)| *known == sinks) {
            Some((_, splits)) => splits.push(split.clone()),
            None => parts.push((sinks, vec![split.clone()])),
        }
    }
    parts.retain(|(sinks, _)| !sinks.is_empty());
    let part = |(sinks, splits): (Vec<u32>, _)| (sinks.clone(), narrowed(transfer, &sinks, splits));
    parts.into_iter().map(part).collect()
}

/// Adds the target to an error where it is one of several.
pub(super) fn named<T, A>(result: Result<T>, target: &Target, all: &[A]) -> Result<T> {
    if all.len() > 1 { result.at("target", || &target.agreement.label) } else { result }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::Token;
    use crate::endpoint::ObjectRef;
    use crate::sink::{WriteMode, WriteRequest};
    use crate::testing::memory::Memory;

    #[tokio::test]
    async fn one_transaction_is_not_passed_on() {
        let sink = Memory::new().endpoint().sink(&ObjectRef::Table("t".to_owned())).unwrap();
        let shape = TableShape::of(Arc::new(arrow::datatypes::Schema::empty()));
        let agreement = sink.agree(&shape, &WriteRequest::new(WriteMode::Append)).await.unwrap();
        let token = Token { run: "r".to_owned(), transfer: 0, sink: 0, epoch: 0 };
        let target = |kept, publish| {
            let agreement = Agreement { publish, kept, ..agreement.clone() };
            Target { endpoint: String::new(), sink: Arc::clone(&sink), agreement, token: token.clone() }
        };
        assert!(pass_on(&[target(Kept::Nothing, Publish::PerTask), target(Kept::Nothing, Publish::AtOnce)]));
        assert!(!pass_on(&[target(Kept::Nothing, Publish::PerTask), target(Kept::Nothing, Publish::Held)]));
        assert!(!pass_on(&[target(Kept::Tasks, Publish::AtOnce)]));
    }
}
