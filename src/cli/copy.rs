//! `etl copy`: runs a job, shows its progress and says what came of it.

use super::args::{CopyArgs, Output};
use super::http::Server;
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
    let server = Server::start(args.http.as_ref(), 1, talk).await?;
    let watched = server.as_ref().map(|server| server.watched(1));
    let transfer = Transfer { job: &job, talk, aside: None, resume, record: &args.into.record, watched };
    let ran = transfer::run(transfer, &interrupt).await;
    Server::stop(server).await;
    let Some(summary) = ran? else { return Ok(()) };
    transfer::show(&summary, talk);
    if talk.output == Output::Json { printer::json(&summary) } else { Ok(()) }
}
