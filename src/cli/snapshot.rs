//! `etl snapshot hold`: keeps a point in time open, so that copies by several processes read the same rows.

use super::args::SourceArgs;
use super::interrupt::Interrupt;
use super::place::{self, Machine};
use super::printer;
use crate::endpoint::SnapshotId;
use crate::error::Result;
use crate::run;

pub(super) async fn hold(source: &str, from: &SourceArgs) -> Result<()> {
    let side = place::source(source, from)?;
    let place = side.locator.place(side.object, &Machine)?;
    let interrupt = Interrupt::listen()?;
    let held = interrupt.or_stop(run::hold(&place)).await?;
    let SnapshotId(id) = &held.id;
    printer::data(&format!("{id}\n"))?;
    printer::talk("held until Ctrl-C; copies read it by --snapshot");
    held.until(&interrupt.token()).await
}
