//! `streamreader` makes rows, `streamwriter` prints or drops them.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value as Json, json};

use super::columns::type_word;
use super::lacks::{STREAM_COLUMNS, STREAM_READER, STREAM_WRITER};
use super::{Context, Source, Target, flag_of, present, text_of, unsupported};
use crate::error::Result;
use crate::job::Place;
use crate::job::locator::FILE;
use crate::job::tree::Node;
use crate::object::ObjectRef;
use crate::sink::WriteMode;

/// More rows than anybody waits for.
const ENDLESS: u64 = 1_000_000_000_000_000;

/// The rows that `parameter` of `streamreader` describes.
pub(super) fn source(parameter: &Node<'_>, context: &mut Context<'_>) -> Result<Source> {
    context.idle(STREAM_READER, parameter);
    let rows = rows(parameter, context)?;
    let list = parameter.need("column")?;
    let (mut names, mut columns, mut values) = (Vec::new(), Vec::new(), Map::new());
    for (place, node) in list.elements()?.iter().enumerate() {
        let name = text_of(node, "name")?.filter(|name| !names.contains(name));
        let name = name.unwrap_or_else(|| format!("c{}", place + 1));
        context.idle(STREAM_COLUMNS, node);
        let (kind, value) = column(node)?;
        columns.push(format!("\"{}\":{kind}", utf8_percent_encode(&name, NON_ALPHANUMERIC)));
        if let Some(value) = value {
            values.insert(name.clone(), Json::from(value));
        }
        names.push(name);
    }
    if columns.is_empty() {
        return Err(list.error("no column is named"));
    }
    let options = json!({"url": format!("gen:{}", columns.join(",")), "rows": rows, "values": values});
    Ok(Source::plain(Place::new("stream", options, ObjectRef::Whole), Some(columns.len())))
}

/// How many rows all channels make together.
fn rows(parameter: &Node<'_>, context: &mut Context<'_>) -> Result<u64> {
    let channels = context.settings.channels;
    let counts = match present(parameter, "sliceRecordCount") {
        None => Vec::new(),
        Some(node) => node.one_or_more().iter().map(Node::integer).collect::<Result<Vec<_>>>()?,
    };
    let of_channel = |channel: usize| counts.get(channel).and_then(|rows| u64::try_from(*rows).ok());
    let each: Option<Vec<u64>> = (0..channels).map(|channel| of_channel(channel).filter(|rows| *rows > 0)).collect();
    let Some(each) = each else {
        context.note("a channel without a number in sliceRecordCount makes rows without end: Ctrl-C stops it");
        return Ok(ENDLESS);
    };
    if counts.len() > channels {
        context.note(format!("sliceRecordCount has {} numbers, and there are {channels} channels", counts.len()));
    }
    Ok(each.into_iter().fold(0, u64::saturating_add).min(ENDLESS))
}

/// The type of a column in the words of `gen:`, and its value where it has one.
fn column(node: &Node<'_>) -> Result<(&'static str, Option<String>)> {
    let named = node.need("type")?;
    let word = type_word(&named)?;
    if word.ends_with("[]") {
        return Err(unsupported(&named, "lists are not made here", "make the columns that are to be tried"));
    }
    let kind = match word.as_str() {
        "id" => "seq",
        "int" | "integer" => "int",
        "bigint" | "long" => "bigint",
        "smallint" | "short" => "smallint",
        "tinyint" | "byte" => "smallint(-128..127)",
        "boolean" | "bool" => "bool",
        "char" | "character" => "text(1)",
        "float" => "float",
        "double" => "double",
        "decimal" | "numeric" => "decimal(38,18)",
        "date" => "date",
        "time" => "time",
        "timestamp" | "datetime" => "timestamp",
        "string" | "varchar" | "text" => "text",
        "binary" | "bytes" | "blob" => "bytes",
        _ => {
            return Err(named.error(format!("there is no column type {word:?}")).with_hint(
                "the types are id, int, bigint, smallint, tinyint, boolean, char, float, double, decimal, date, time, \
                 timestamp, string and binary",
            ));
        }
    };
    let Some(value) = node.get("value") else { return Ok((kind, None)) };
    Ok(match value.text()? {
        text if text == "null" => ("text~1", None),
        // One value for all rows is no sequence, and may have any length.
        text => match kind {
            "seq" => ("bigint", Some(text)),
            "text(1)" => ("text", Some(text)),
            _ => (kind, Some(text)),
        },
    })
}

/// Where `parameter` of `streamwriter` leads: standard output, or nowhere.
pub(super) fn target(parameter: &Node<'_>, context: &mut Context<'_>) -> Result<Target> {
    context.idle(STREAM_WRITER, parameter);
    let place = if flag_of(parameter, "print")? {
        let options = json!({"url": "-", "format": "csv", "loose": {"delimiter": ",", "null": "null"}});
        Place::new(FILE, options, ObjectRef::Whole)
    } else {
        Place::new("stream", json!({"url": "null:"}), ObjectRef::Whole)
    };
    Ok(Target::plain(place, WriteMode::Append))
}
