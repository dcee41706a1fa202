//! `etl connectors`: what can be read and written, and the page of each.

use serde_json::json;

use super::args::{ConnectorsArgs, Output};
use super::{printer, table};
use crate::connector::Connector;
use crate::connectors::{CONNECTORS, find};
use crate::error::Result;

pub(super) fn run(args: &ConnectorsArgs) -> Result<()> {
    match (&args.name, args.output.output) {
        (Some(name), Output::Text) => printer::data(find(name)?.page()),
        (Some(name), Output::Json) => printer::json(&described(find(name)?)),
        (None, Output::Text) => printer::data(&list()),
        (None, Output::Json) => {
            let all: Vec<_> = CONNECTORS.iter().map(|connector| described(*connector)).collect();
            printer::json(&json!({ "connectors": all }))
        }
    }
}

fn list() -> String {
    let rows: Vec<Vec<String>> = CONNECTORS
        .iter()
        .map(|connector| {
            vec![
                connector.name().to_owned(),
                connector.aliases().join(", "),
                connector.summary().to_owned(),
                connector.unproven().join(", "),
            ]
        })
        .collect();
    format!(
        "{}\n'etl connectors NAME' shows the page of one.\n",
        table::aligned(&["name", "also", "what", "unproven"], &rows, "")
    )
}

fn described(connector: &dyn Connector) -> serde_json::Value {
    let options: Vec<_> = connector
        .options()
        .iter()
        .map(|option| {
            json!({
                "name": option.name,
                "type": option.kind,
                "required": option.required,
                "default": option.default,
                "range": option.range,
                "meaning": option.meaning,
            })
        })
        .collect();
    json!({
        "name": connector.name(),
        "aliases": connector.aliases(),
        "summary": connector.summary(),
        "unproven": connector.unproven(),
        "options": options,
    })
}
