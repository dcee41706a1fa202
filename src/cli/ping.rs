//! `etl ping`: reaches a place and says what it is and what is missing.

use serde_json::json;

use super::args::{Output, PingArgs};
use super::interrupt::Interrupt;
use super::{place, printer};
use crate::connectors;
use crate::endpoint::Ping;
use crate::error::{Context, Result};

pub(super) async fn run(args: &PingArgs) -> Result<()> {
    let place = place::located(&args.locator)?;
    let endpoint = connectors::find(&place.connector)?.endpoint(&place.options)?;
    let label = endpoint.label();
    let ping = Interrupt::listen()?.or_stop(endpoint.ping()).await.at("ping", || &label)?;
    match args.output.output {
        Output::Text => printer::data(&text(&label, &ping)),
        Output::Json => printer::json(&json!({ "place": label, "ping": ping })),
    }
}

fn text(label: &str, ping: &Ping) -> String {
    let head = format!("{label}: {}\n", ping.server);
    let facts = ping.facts.iter().map(|fact| format!("  {fact}\n"));
    let missing = ping.missing.iter().map(|missing| format!("  missing: {missing}\n"));
    std::iter::once(head).chain(facts).chain(missing).collect()
}
