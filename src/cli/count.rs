//! `etl count`: the number of rows, by reading them.

use serde_json::json;

use super::args::{CountArgs, Output};
use super::interrupt::Interrupt;
use super::{place, printer};
use crate::error::Result;
use crate::run::{self, Surroundings};

pub(super) async fn run(args: &CountArgs) -> Result<()> {
    let place = place::read_place(&place::source(&args.source, &args.from)?, &args.files, &[])?;
    let interrupt = Interrupt::listen()?;
    let surroundings = Surroundings { stop: interrupt.token(), ..Surroundings::default() };
    let rows = interrupt.or_stop(run::count(&place, &surroundings)).await?;
    match args.output.output {
        Output::Text => printer::data(&format!("{rows}\n")),
        Output::Json => printer::json(&json!({ "rows": rows })),
    }
}
