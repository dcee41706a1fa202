//! `etl connectors`: what can be read and written, and with which options.

use serde_json::json;

use super::args::{ConnectorsArgs, Output};
use super::{printer, table};
use crate::connector::Connector;
use crate::connectors::{CONNECTORS, find};
use crate::error::Result;

pub(super) fn run(args: &ConnectorsArgs) -> Result<()> {
    match (&args.name, args.output.output) {
        (Some(name), Output::Text) => printer::data(&options(find(name)?)),
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
            vec![connector.name().to_owned(), connector.aliases().join(", "), connector.summary().to_owned()]
        })
        .collect();
    format!(
        "{}\n'etl connectors NAME' shows the options of one.\n",
        table::aligned(&["name", "also", "what"], &rows, "")
    )
}

fn options(connector: &dyn Connector) -> String {
    let rows: Vec<Vec<String>> = connector
        .options()
        .iter()
        .map(|option| [option.name, option.kind, option.default, option.meaning].map(str::to_owned).to_vec())
        .collect();
    let head = format!("{}: {}\n", connector.name(), connector.summary());
    if rows.is_empty() {
        return head;
    }
    format!("{head}\n{}", table::aligned(&["option", "type", "default", "meaning"], &rows, ""))
}

fn described(connector: &dyn Connector) -> serde_json::Value {
    let options: Vec<_> = connector
        .options()
        .iter()
        .map(|option| {
            let (name, default) = (option.name, option.default);
            json!({ "name": name, "type": option.kind, "default": default, "meaning": option.meaning })
        })
        .collect();
    json!({
        "name": connector.name(),
        "aliases": connector.aliases(),
        "summary": connector.summary(),
        "options": options,
    })
}
