//! `etl snapshot hold`: keeps a point in time open, so that copies by several processes read the same rows.

use clap::Subcommand;

use super::args::SourceArgs;
use super::files::FileArgs;
use super::interrupt::Interrupt;
use super::{place, printer};
use crate::endpoint::SnapshotId;
use crate::error::Result;
use crate::run;

const SNAPSHOT_EXAMPLES: &str = "\
Example:
  etl snapshot hold 'postgres://ada@db/shop#orders' > id &
  until [ -s id ]; do sleep 1; done
  etl copy 'postgres://ada@db/shop#orders' orders.parquet --snapshot \"$(cat id)\" --resume

The table is locked against being rewritten or dropped, and dead rows pile up, for as long as it is
held.";

#[derive(Debug, Subcommand)]
pub(super) enum SnapshotCommand {
    /// Print the id of a new point in time on stdout, and hold it until Ctrl-C
    #[command(after_help = SNAPSHOT_EXAMPLES)]
    Hold {
        /// Place to read
        #[arg(value_name = "SRC")]
        source: String,
        #[command(flatten)]
        from: SourceArgs,
    },
}

pub(super) async fn hold(source: &str, from: &SourceArgs) -> Result<()> {
    let side = place::source(source, from)?;
    let place = place::read_place(&side, &FileArgs::default(), &[])?;
    let interrupt = Interrupt::listen()?;
    let held = interrupt.or_stop(run::hold(&place)).await?;
    let SnapshotId(id) = &held.id;
    printer::data(&format!("{id}\n"))?;
    printer::talk("held until Ctrl-C; copies read it by --snapshot");
    held.until(&interrupt.token()).await
}
