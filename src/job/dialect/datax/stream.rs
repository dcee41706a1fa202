//! `streamreader` makes rows, `streamwriter` prints or drops them.

use bytes::Bytes;
use chrono::{FixedOffset, NaiveDate, NaiveDateTime, TimeDelta};
use serde_json::{Map, json};

use super::columns::{self, Kind};
use super::lacks::STREAM_WRITER;
use super::{Context, Source, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::job::Place;
use crate::job::locator::FILE;
use crate::job::tree::Node;
use crate::object::ObjectRef;
use crate::sink::WriteMode;

/// How a date of a column is read unless it says so.
const DATE_FORMAT: &str = "yyyy-MM-dd HH:mm:ss";

/// Formats that are read alike: a date may lack its time.
const USUAL: [&str; 3] = ["", DATE_FORMAT, "yyyy-MM-dd"];

/// Whether nothing is printed or written.
pub(super) fn is_silent(parameter: &Node<'_>) -> Result<bool> {
    let prints = parameter.get("print").map_or(Ok(true), |print| print.flag())?;
    Ok(!prints && parameter.get("path").is_none())
}

/// The rows that `parameter` of `streamreader` describes.
pub(super) fn source(parameter: &Node<'_>, context: &mut Context<'_>) -> Result<Source> {
    let count = parameter.need("sliceRecordCount")?;
    let each = u64::try_from(count.integer()?).ok().filter(|rows| *rows > 0);
    let each = each.ok_or_else(|| count.error("a channel makes 1 row or more"))?;
    let list = parameter.need("column")?;
    let (mut columns, mut values) = (Vec::new(), Map::new());
    for (place, node) in list.elements()?.iter().enumerate() {
        let name = format!("c{}", place + 1);
        let (kind, value) = column(place, node, context)?;
        columns.push(format!("{name}:{kind}"));
        if let Some(value) = value {
            values.insert(name, value.into());
        }
    }
    if columns.is_empty() {
        return Err(list.error("no column is named"));
    }
    let rows = each.saturating_mul(context.settings.channels);
    if context.settings.channels > 1 {
        context.notes.push(format!("{each} rows for each of {} channels: {rows}", context.settings.channels));
    }
    let width = Some(columns.len());
    let url = format!("gen:{}", columns.join(","));
    let options = json!({"url": url, "rows": rows, "values": values});
    let place = Place::new("stream", options, ObjectRef::Whole);
    Ok(Source { place, select: Vec::new(), query: None, width, ragged: false })
}

/// The type of a column in the words of `gen:`, and its value where it has one.
fn column(place: usize, node: &Node<'_>, context: &mut Context<'_>) -> Result<(String, Option<String>)> {
    let kind = columns::kind(node)?;
    let said = |key: &str| node.get(key).filter(|node| !node.text().is_ok_and(|text| text.trim().is_empty()));
    match (said("value"), said("random")) {
        (None, Some(random)) => return made(kind, &random, node, context),
        (Some(_), Some(random)) => {
            context.notes.push(format!("{} is left out: the column has a value, as in DataX", random.path()));
        }
        (_, None) => {}
    }
    let value = node.need("value").map_err(|error| error.with_hint("a column has a value, or a random range"))?;
    let text = value.text()?;
    if text.trim().is_empty() {
        return Err(value.error("the value is blank"));
    }
    let kind = match kind {
        Kind::Text => "text",
        Kind::Long => {
            value.integer()?;
            "bigint"
        }
        Kind::Double if context.is_filtered(place) => "double",
        // A number that keeps its text.
        Kind::Double => "text",
        Kind::Bool => {
            value.flag()?;
            "bool"
        }
        Kind::Bytes => "bytes",
        Kind::Date => {
            let text = moment(&text, &value, node)?.format("%Y-%m-%d %H:%M:%S").to_string();
            let stamped = !context.goal.is_table();
            let text = if stamped { format!("{text}{}", context.settings.zone) } else { text };
            return Ok(((if stamped { "timestamptz" } else { "timestamp" }).to_owned(), Some(text)));
        }
    };
    let text = if kind == "bytes" { format!("\\x{:x}", Bytes::from(text)) } else { text };
    Ok((kind.to_owned(), Some(text)))
}

/// The date that `text`, of `value`, is in the `dateFormat` of the column `node`.
fn moment(text: &str, value: &Node<'_>, node: &Node<'_>) -> Result<NaiveDateTime> {
    let text = text.trim();
    let format =
        node.get("dateFormat").filter(|format| format.text().is_ok_and(|text| !USUAL.contains(&text.as_str())));
    let forms = match &format {
        Some(format) => vec![strftime(&format.text()?).ok_or_else(|| unknown_letters(format))?],
        None => vec!["%Y-%m-%d %H:%M:%S".to_owned(), "%Y-%m-%d".to_owned()],
    };
    let read = |form: &String| {
        let day = || NaiveDate::parse_from_str(text, form).ok()?.and_hms_opt(0, 0, 0);
        NaiveDateTime::parse_from_str(text, form).ok().or_else(day)
    };
    forms.iter().find_map(read).ok_or_else(|| {
        let form = format.and_then(|format| format.text().ok()).unwrap_or_else(|| DATE_FORMAT.to_owned());
        value.error(format!("{text:?} is no date of the form {form}"))
    })
}

fn unknown_letters(format: &Node<'_>) -> Error {
    let error = format.error("dates of rows that are made have the letters yyyy, MM, dd, HH, mm and ss alone");
    Error::new(ErrorKind::Unsupported, error.to_string())
        .with_hint(format!("write the date with the format {DATE_FORMAT}"))
}

/// A format in Java's letters as strftime has it; none where it has letters beside those of a date and a time.
fn strftime(format: &str) -> Option<String> {
    let mut found = String::new();
    let mut rest = format;
    while let Some(sign) = rest.chars().next() {
        let behind = rest.trim_start_matches(sign);
        let (alike, count) =
            (&rest[..rest.len() - behind.len()], rest.chars().take_while(|other| *other == sign).count());
        match (sign, count) {
            ('y', 4) => found.push_str("%Y"),
            ('M', 1 | 2) => found.push_str("%m"),
            ('d', 1 | 2) => found.push_str("%d"),
            ('H', 1 | 2) => found.push_str("%H"),
            ('m', 1 | 2) => found.push_str("%M"),
            ('s', 1 | 2) => found.push_str("%S"),
            ('\'' | '%', _) => return None,
            _ if sign.is_ascii_alphabetic() => return None,
            _ => found.push_str(alike),
        }
        rest = behind;
    }
    Some(found)
}

/// A column of values by chance.
fn made(kind: Kind, random: &Node<'_>, node: &Node<'_>, context: &mut Context<'_>) -> Result<(String, Option<String>)> {
    let text = random.text()?;
    let wrong = || random.error(format!("{text:?} is no range")).with_hint("write two ends: \"1,10\"");
    let (low, high) = text.split_once(',').map(|(low, high)| (low.trim(), high.trim())).ok_or_else(wrong)?;
    let number = |text: &str| text.parse::<i64>().map_err(|_| wrong());
    let made = match kind {
        Kind::Text => format!("text({}..{})", number(low)?, number(high)?),
        Kind::Bytes => format!("bytes({}..{})", number(low)?, number(high)?),
        Kind::Long => format!("bigint({}..{})", number(low)?, number(high)?),
        // The upper end is one more, and not reached.
        Kind::Double => format!("double({}..{})", number(low)?, number(high)?.saturating_add(1)),
        Kind::Bool => {
            let shares = (number(low)?, number(high)?);
            let Some(share) = share_of_true(shares) else {
                return Err(random.error("shares of false and true are 0 or more"));
            };
            if shares.0 == shares.1 && shares.0 > 0 {
                context.notes.push(format!("{}: of equal shares DataX makes true alone", random.path()));
            }
            format!("bool({share})")
        }
        Kind::Date => {
            let is_table = context.goal.is_table();
            let word = if is_table { "timestamp" } else { "timestamptz" };
            let east = if is_table { 0 } else { east_seconds(&context.settings.zone) };
            let end = |text: &str| {
                let at = moment(text, random, node)?.checked_sub_signed(TimeDelta::seconds(east)).ok_or_else(wrong)?;
                Ok::<_, Error>(at.format("%Y-%m-%dT%H:%M:%S").to_string())
            };
            format!("{word}({}..{})", end(low)?, end(high)?)
        }
    };
    Ok((made, None))
}

/// How many of all are true, where so many are to be false and true; none for what is no share. DataX draws a number from 0 up to
/// their sum, and takes one up to that of false for false; it knows no equal shares.
fn share_of_true((no, yes): (i64, i64)) -> Option<f64> {
    if no < 0 || yes < 0 {
        return None;
    }
    Some(if no == 0 || no == yes { 1.0 } else { yes as f64 / (no as f64 + yes as f64 + 1.0) })
}

/// How far east of UTC `zone` is, which is written as `+08:00`.
fn east_seconds(zone: &str) -> i64 {
    zone.parse::<FixedOffset>().map_or(0, |offset| i64::from(offset.local_minus_utc()))
}

/// Where `parameter` of `streamwriter` leads: standard output, one file, or nowhere.
pub(super) fn target(parameter: &Node<'_>, ragged: bool, context: &mut Context<'_>) -> Result<Target> {
    context.idle(STREAM_WRITER, parameter);
    let separator = parameter.get("fieldDelimiter").map(|node| node.text()).transpose()?;
    if is_silent(parameter)? {
        return Ok(Target::plain(Place::new("stream", json!({"url": "null:"}), ObjectRef::Whole), WriteMode::Append));
    }
    let file = match (parameter.get("path"), parameter.get("fileName")) {
        (Some(path), Some(name)) => Some(format!("{}/{}", path.text()?.trim_end_matches('/'), name.text()?)),
        (Some(path), None) => return Err(path.error("a path needs a fileName")),
        (None, _) => None,
    };
    let mode = if file.is_some() { WriteMode::Replace } else { WriteMode::Append };
    let loose = json!({
        "delimiter": separator.filter(|text| !text.is_empty()).unwrap_or_else(|| "\t".to_owned()),
        "null": "null",
        "zone": context.settings.zone,
        "floats": "short",
        "records": if ragged { "ragged" } else { "even" },
    });
    let mut options = json!({"url": file.as_deref().unwrap_or("-"), "format": "csv", "loose": loose});
    if file.is_some() {
        options["makeFolders"] = true.into();
    }
    Ok(Target::plain(Place::new(FILE, options, ObjectRef::Whole), mode))
}
