//! A job file without an end: its transfers are run again and again, until Ctrl-C.

use std::time::Duration;

use tokio::time::sleep;

use super::interrupt::Interrupt;
use super::record::{self, StateArgs};
use super::settings::{Resume, Talk};
use super::transfer::{self, Transfer};
use crate::error::Result;
use crate::job::Job;
use crate::run::report::Summary;

/// Runs `jobs`, whose first round is `done`, again after each `pause`, and adds up what came of them. Ctrl-C within a pause ends it in
/// order.
pub(super) async fn run(
    (jobs, pause): (&[Job], Duration),
    (talk, state): (Talk, &StateArgs),
    interrupt: &Interrupt,
    done: &mut [Summary],
) -> Result<()> {
    loop {
        let waited = interrupt.or_stop(async {
            sleep(pause).await;
            Ok(())
        });
        if waited.await.is_err() {
            return Ok(());
        }
        for (job, all) in jobs.iter().zip(done.iter_mut()) {
            let resume = Resume::NextRound;
            let transfer = Transfer { job, talk, aside: None, resume, record: state, watched: None };
            // Nobody reads its rows any more.
            let Some(next) = transfer::run(transfer, interrupt).await? else { return Ok(()) };
            if next.rows + next.rejected > 0 {
                transfer::show(&next, talk);
            }
            forget(state, &all.run, talk).await;
            *all = all.clone().and(next);
        }
    }
}

/// Of rounds without end the last one alone stays in the record: it says where all of them ended.
async fn forget(state: &StateArgs, run: &str, talk: Talk) {
    let Ok(place) = record::named(state) else { return };
    let Ok(log) = record::open(place.as_ref()).await else { return };
    if let Err(error) = log.forget(run).await {
        transfer::note(talk, &format!("the record of run {run} stays: {error}"));
    }
}
