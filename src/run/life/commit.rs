//! The commits of a run: one for each target, in the order in which they were named.
//!
//! Until the first is done, all targets are as they were. From then on the run can only be completed: the others are
//! committed as far as they can be. Where one cannot, the run stays unfinished, and a resume writes that one alone.

use std::collections::HashMap;

use futures::future::join_all;
use tokio::time::timeout;

use super::past::names;
use super::{Failure, Left, Life, begun};
use crate::error::{Context as _, Error, ErrorKind};
use crate::job::Toggle;
use crate::plan::pipeline::Target;
use crate::run::resume::always_whole;
use crate::run::stages::{Agreed, Committed, Landed};
use crate::run::targets;
use crate::sink::{Kept, Progress, Receipt};

impl Life<'_> {
    /// Commits `receipts`, but for the rows that were `refused`, in every target; some may have `landed` before.
    pub(super) async fn commit(
        &self,
        agreed: &Agreed,
        (receipts, refused): (&[Receipt], &HashMap<u32, u64>),
        mut landed: Vec<Landed>,
        note: Option<String>,
    ) -> Result<Committed, Failure> {
        let (mut logged, mut failed) = (Ok(()), None);
        let mut left: Vec<Target> = Vec::new();
        for target in &agreed.targets {
            if failed.is_some() && landed.is_empty() {
                left.push(target.clone());
                continue;
            }
            let wrote = targets::of(receipts, &[target.token.sink]);
            let committed = target.sink.commit(&target.agreement, &target.token, &wrote).await;
            match committed.map_err(unanswered).at("step", || "commit") {
                Ok(()) => {
                    logged = logged.and(self.log.append(&self.opened.committed(target)).await);
                    let refused = refused.get(&target.token.sink).copied().unwrap_or(0);
                    landed.push(Landed { refused, ..Landed::of(target, wrote) });
                }
                Err(error) => {
                    failed = failed.or(Some(error));
                    left.push(target.clone());
                }
            }
        }
        if let Some(error) = failed {
            return Err(self.swept(&left, &landed, begun(error)).await);
        }
        landed.sort_by_key(|landed| landed.sink);
        Ok(Committed { landed, channels: agreed.sizing.channels, note, logged })
    }

    /// What is left after `error`, by which `targets` did not get their rows.
    pub(super) async fn swept(&self, targets: &[Target], landed: &[Landed], error: Error) -> Failure {
        let (error, left) = self.sweep(targets, error).await;
        if landed.is_empty() {
            return Failure { error, left };
        }
        Failure { error: self.in_part(error, landed, targets), left: Left::Part }
    }

    /// Sweeps what was staged in `targets`. A failure to do so is told beside the one that led here. Where rows are seen they
    /// stay, and so does what is staged beside them, and what the job wants to be kept.
    async fn sweep(&self, targets: &[Target], mut error: Error) -> (Error, Left) {
        if let Some(lease) = self.lease.get()
            && lease.is_lost_now(self.sweep_time).await
        {
            // Who has the lease now may have gone on with this very run: the stages are theirs.
            return (error, Left::Stage);
        }
        for Target { sink, agreement, token, .. } in targets.iter().filter(|target| target.agreement.tasks_stay()) {
            let standing = timeout(self.sweep_time, sink.progress(agreement, token, &[])).await;
            if !matches!(&standing, Ok(Ok(Progress::Kept(kept))) if kept.is_empty()) {
                let error = error.at("the rows of tasks that had ended", "stay, and --resume goes on behind them");
                return (error, Left::Stage);
            }
        }
        if let Some(rejects) = &self.opened.rejects {
            error = rejects.abandon(error).await;
        }
        let (kept, swept): (Vec<&Target>, Vec<&Target>) = targets.iter().partition(|target| self.keeps(target));
        let mut left = Left::Nothing;
        if !kept.is_empty() {
            error = error.at("what was staged", "stays, and the run can be gone on with");
            left = Left::Stage;
        }
        let sweeps = swept.iter().map(|Target { sink, agreement, token, .. }| sink.abort(agreement, token));
        for swept in join_all(sweeps.map(|sweep| timeout(self.sweep_time, sweep))).await {
            let seconds = self.sweep_time.as_secs();
            error = match swept {
                Ok(Ok(())) => continue,
                Ok(Err(also)) => error.at("what was staged could not be removed", format!("({also})")),
                Err(_) => error.at("what was staged was not removed within", format!("{seconds} s")),
            };
            left = Left::Stage;
        }
        (error, left)
    }

    /// Whether what is staged in `target` stays, as the job asks for, and is of use to a run that goes on.
    fn keeps(&self, target: &Target) -> bool {
        let is_of_use = target.agreement.kept == Kept::Tasks && always_whole(self.job).is_none();
        is_of_use && self.job.keep_stage == Toggle::On && self.surroundings.state.is_some()
    }

    /// `error`, after which some targets have the rows and others not.
    fn in_part(&self, error: Error, landed: &[Landed], rest: &[Target]) -> Error {
        let done = names(landed.iter().map(|landed| &landed.agreement));
        let open = names(rest.iter().map(|target| &target.agreement));
        let next = match self.surroundings.state {
            Some(_) => "run it again with --resume: it writes those that are not committed, and no other",
            None => "copy into those that are not committed, and no other",
        };
        let hint = error.hint().map_or_else(|| next.to_owned(), |hint| format!("{hint}; then {next}"));
        error.with_hint(hint).at("committed:", format!("{done}; not committed: {open}"))
    }
}

/// A commit whose answer was lost may have been done.
fn unanswered(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Connection | ErrorKind::Timeout => {
            error.with_hint("the answer was lost: look whether the rows are there before you run it again")
        }
        _ => error,
    }
}
