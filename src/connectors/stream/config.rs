//! What a locator of `gen:` or `null:` and its options ask for.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value as Json};

use super::columns::{self, Column};
use super::fill;
use super::tpch::Tpch;
use crate::connector::{OptionDoc, option};
use crate::error::{Context as _, Error, ErrorKind, Result};

pub(super) const OPTIONS: &[OptionDoc] = &[
    option("url", "string", "", "What is made, or that nothing is kept.")
        .required()
        .within("gen:, gen:COLUMNS, gen:tpch, gen:tpch.TABLE, null:"),
    option("rows", "integer", "1000", "How many rows to make of columns.").within("0 to 2^64-1"),
    option("seed", "integer", "0", "Another seed is another table.").within("0 to 2^64-1"),
    option("values", "object", "", "Column to text: what every row of it holds."),
    option("sf", "number", "1", "The scale factor of TPC-H.").within("0.001 to 100000"),
];

/// One endpoint.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Config {
    Null,
    Columns(Table),
    Tpch(Tpch),
}

/// A generated table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: u64,
    pub(super) seed: u64,
}

/// Reads the options; those behind `?` of the url are options like the others.
pub(super) fn parse(options: &Json) -> Result<Config> {
    let mut options = options.as_object().cloned().unwrap_or_default();
    let Some(Json::String(url)) = options.remove("url") else {
        return Err(usage("the locator is missing").with_hint("write gen: or null:"));
    };
    let (scheme, rest) = url.split_once(':').unwrap_or((&url, ""));
    let (body, query) = rest.split_once('?').unwrap_or((rest, ""));
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if options.insert(decode(key)?, Json::String(decode(value)?)).is_some() {
            return Err(usage(format!("the option {key} is set twice")));
        }
    }
    let body = decode(body)?;
    let config = match scheme {
        "null" if body.is_empty() => Config::Null,
        "null" => return Err(usage("nothing may stand behind null:")),
        "gen" if body == "tpch" || body.starts_with("tpch.") => {
            let table = body.strip_prefix("tpch.");
            Config::Tpch(Tpch::new(table, take(&mut options, "sf")?.unwrap_or(1.0))?)
        }
        "gen" => Config::Columns(Table {
            columns: with_values(columns::parse(if body.is_empty() { columns::MIXED } else { &body })?, &mut options)?,
            rows: take(&mut options, "rows")?.unwrap_or(1000),
            seed: take(&mut options, "seed")?.unwrap_or(0),
        }),
        _ => return Err(usage(format!("{scheme:?} is neither gen: nor null:"))),
    };
    match options.keys().next() {
        Some(key) => Err(usage(format!("{scheme}: has no option {key:?} here")).with_hint("see etl connectors")),
        None => Ok(config),
    }
}

/// `columns`, of which those that the option `values` names hold a text of their type.
fn with_values(mut columns: Vec<Column>, options: &mut Map<String, Json>) -> Result<Vec<Column>> {
    let values = match options.remove("values") {
        None => return Ok(columns),
        Some(Json::Object(values)) => values,
        Some(_) => return Err(usage("the option values is an object of columns and texts")),
    };
    for (name, value) in values {
        let column = columns.iter_mut().find(|column| column.name == name);
        let column =
            column.ok_or_else(|| usage("the option values names a column that is not made").at("column", &name))?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        column.value = Some(text);
        fill::repeated(column, 1).ok_or_else(|| usage("its value is none of its type").at("column", name))?;
    }
    Ok(columns)
}

/// The option `key`, which may stand as a number or as text.
fn take<T: std::str::FromStr>(options: &mut Map<String, Json>, key: &'static str) -> Result<Option<T>> {
    let text = match options.remove(key) {
        None => return Ok(None),
        Some(Json::String(text)) => text,
        Some(value) => value.to_string(),
    };
    text.parse().map(Some).map_err(|_| usage(format!("{text:?} is not a number it can be"))).at("option", || key)
}

fn decode(text: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|source| usage("the locator is not UTF-8").with_source(source))
}

fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message)
}
