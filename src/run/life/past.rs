//! What an earlier process of the run left in each of its targets.

use super::{Life, now};
use crate::attempt::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::pipeline::Target;
use crate::run::resume::{Plan, can_complete, mixes};
use crate::run::stages::{Agreed, Committed, Landed};
use crate::run::targets;
use crate::runner::PlanShape;
use crate::sink::{Agreement, Kept, Progress, Receipt};
use crate::state::StateRecord;

/// What is left of the run that is gone on with.
#[derive(Default)]
pub(super) struct Past {
    /// Targets that have all rows: they are not written again.
    pub(super) landed: Vec<Landed>,
    /// The stages of the others, where they are of use.
    pub(super) staged: Option<Staged>,
    /// What the user should know of it.
    pub(super) note: Option<String>,
}

/// The stages of a plan, with the tasks of these receipts.
pub(super) struct Staged {
    targets: Vec<Target>,
    plan: Plan,
    receipts: Vec<Receipt>,
}

impl Life<'_> {
    /// What is left of the run that is gone on with. What is of no use is removed.
    pub(super) async fn past(&self) -> Result<Past> {
        let plan = self.surroundings.resume.as_ref().and_then(|resumed| Some((resumed, resumed.planned.as_ref()?)));
        let Some((resumed, plan)) = plan else { return Ok(Past::default()) };
        let agreements = &plan.agreements;
        let (mut landed, mut rest, mut receipts) = (Vec::new(), Vec::new(), Vec::new());
        for (sink, agreement) in (0..).zip(agreements) {
            let target = self.opened.target(self.job, sink, agreement.clone())?;
            let wrote = targets::of(&resumed.wrote, &[sink]);
            if resumed.committed.contains(&sink) {
                landed.push(Landed::of(&target, wrote));
                continue;
            }
            let progress = target.sink.progress(&target.agreement, &target.token, &wrote);
            match targets::named(self.surroundings.or_stop(progress).await, &target, agreements)? {
                Progress::Committed => {
                    let Token { transfer, epoch, .. } = target.token;
                    let marked = target.agreement.marked;
                    // Its position has moved with the rows, or nobody knows it.
                    let committed = StateRecord::Committed { transfer, sink, epoch, position: None, marked };
                    self.surroundings.or_stop(self.log.append(&committed)).await?;
                    landed.push(Landed::of(&target, wrote));
                }
                Progress::Kept(kept) => {
                    receipts.extend(kept);
                    rest.push(target);
                }
            }
        }
        let note = (!landed.is_empty()).then(|| match rest.as_slice() {
            [] if resumed.committed.len() == landed.len() => {
                "the rows were committed before; what comes after was done now".to_owned()
            }
            [] => "the rows were committed when it was interrupted".to_owned(),
            _ => {
                let before = names(landed.iter().map(|landed| &landed.agreement));
                format!("the rows had been committed before, and were not written again: {before}")
            }
        });
        let can_complete = can_complete(self.job, plan, &self.opened.session.snapshot());
        let (useful, useless): (Vec<Target>, Vec<Target>) =
            rest.iter().cloned().partition(|target| can_complete && target.agreement.kept == Kept::Tasks);
        let seen = |target: &Target| {
            target.agreement.tasks_stay() && receipts.iter().any(|receipt| receipt.sink == target.token.sink)
        };
        if useless.iter().any(seen) {
            let message =
                "the rows of its tasks are in the target, and the source is not at their point in time any more";
            return Err(Error::new(ErrorKind::Step, message)
                .at("run", &resumed.run)
                .with_hint("remove its rows, give it up by 'etl jobs clean', and begin anew"));
        }
        self.surroundings.or_stop(targets::abort(&useless)).await?;
        receipts.retain(|receipt| useful.iter().any(|target| target.token.sink == receipt.sink));
        if !useful.is_empty() {
            return Ok(Past { landed, staged: Some(Staged { targets: rest, plan: plan.clone(), receipts }), note });
        }
        let staged = rest.iter().any(|target| target.agreement.kept == Kept::Tasks);
        let why = if staged {
            "the source is not at the point in time of the interrupted run"
        } else {
            "the target keeps nothing of an interrupted copy"
        };
        let anew = (!rest.is_empty()).then(|| format!("it was begun again: {why}"));
        Ok(Past { landed, staged: None, note: both(note, anew) })
    }

    /// The agreement of stages that are there, with what is in them.
    pub(super) async fn staged(
        &self,
        Staged { targets, plan, receipts }: Staged,
        landed: &[Landed],
        note: Option<String>,
    ) -> Result<(Agreed, Vec<Receipt>, Option<String>)> {
        let mixed = mixes(self.job, &plan, &self.opened.session.snapshot());
        let agreed = self.surroundings.or_stop(self.opened.planned(self.job, targets, Some(&plan.splits))).await?;
        // Its tasks, or ours: the job may have other writers now.
        if plan.together || agreed.planned.transfer.shape == PlanShape::Wide {
            self.surroundings.or_stop(targets::abort(&agreed.targets)).await?;
            let anew = "it was begun again: all rows are needed together";
            return Ok((self.agreed(landed).await?, Vec::new(), both(note, Some(anew.to_owned()))));
        }
        let there = targets::settled(&agreed.targets, &receipts).len();
        let splits = agreed.planned.transfer.splits.len();
        let mut kept = format!("{there} of {splits} splits were there from before it was interrupted");
        if mixed && (there > 0 || !landed.is_empty()) {
            let then = plan.at.as_deref().unwrap_or("the time of the interrupted run");
            kept = format!("{kept}; not one point in time: {then} to {} UTC", now());
        }
        Ok((agreed, receipts, both(note, Some(kept))))
    }
}

impl From<Past> for Committed {
    /// Where nothing is left to be written.
    fn from(Past { landed, note, .. }: Past) -> Self {
        Self { landed, channels: 0, note, logged: Ok(()) }
    }
}

impl Landed {
    /// `target`, which has the rows of `receipts`.
    pub(super) fn of(target: &Target, receipts: Vec<Receipt>) -> Self {
        let Target { sink, agreement, token, .. } = target;
        let (merged, notes) = (sink.merged(token), sink.notes(token));
        Self { sink: token.sink, agreement: agreement.clone(), receipts, refused: 0, merged, notes }
    }
}

/// The names of some of the targets.
pub(super) fn names<'a>(agreements: impl Iterator<Item = &'a Agreement>) -> String {
    agreements.map(|agreement| agreement.label.as_str()).collect::<Vec<_>>().join(", ")
}

pub(super) fn both(one: Option<String>, other: Option<String>) -> Option<String> {
    match (one, other) {
        (Some(one), Some(other)) => Some(format!("{one}; {other}")),
        (one, other) => one.or(other),
    }
}
