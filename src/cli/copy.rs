//! `etl copy`: runs a job, shows its progress and says what came of it.

use super::args::{CopyArgs, Output};
use super::interrupt::Interrupt;
use super::settings::{self, CopySettings};
use super::transfer::{self, Transfer};
use super::{job_file, printer};
use crate::error::Result;

pub(super) async fn run(args: &CopyArgs) -> Result<()> {
    let CopySettings { job, talk, resume } = settings::copy(args)?;
    if args.into.emit_job {
        return job_file::print(&[job]);
    }
    transfer::refuse_both_on_stdout(&job, talk)?;
    let interrupt = Interrupt::listen()?;
    let transfer = Transfer { job: &job, talk, aside: None, resume, record: &args.into.record };
    let Some(summary) = transfer::run(transfer, &interrupt).await? else { return Ok(()) };
    transfer::show(&summary, talk);
    if talk.output == Output::Json { printer::json(&summary) } else { Ok(()) }
}
