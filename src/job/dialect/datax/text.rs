//! `txtfilereader` and `txtfilewriter`: delimited text by place, told in the option `loose` of files.

use serde_json::{Map, Value as Json, json};

use super::super::name::is_star;
use super::columns::{self, Kind};
use super::{Context, Source, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::job::Place;
use crate::job::locator::FILE;
use crate::job::tree::Node;
use crate::object::ObjectRef;
use crate::sink::WriteMode;

/// The source that `parameter` of `txtfilereader` names.
pub(super) fn source(parameter: &Node<'_>, context: &mut Context<'_>) -> Result<Source> {
    let mut paths = parameter.need("path")?.one_or_more().iter().map(Node::text).collect::<Result<Vec<_>>>()?;
    if paths.is_empty() {
        return Err(parameter.need("path")?.error("no path is named"));
    }
    let mut loose = Map::new();
    loose.insert("delimiter".to_owned(), delimiter(parameter.get("fieldDelimiter"))?.into());
    let null = parameter.get("nullFormat").map(|node| node.text()).transpose()?;
    let any = is_star(&parameter.need("column")?);
    let fields = if any { Vec::new() } else { fields(&parameter.need("column")?)? };
    let width = (!any).then_some(fields.len());
    let ragged = any && !context.goal.is_table();
    if ragged {
        loose.insert("records".to_owned(), "ragged".into());
    }
    if ragged && null.is_some() {
        context.notes.push("records that are shorter than others are written with NULL at their end".to_owned());
    }
    if let Some(null) = &null {
        loose.insert("null".to_owned(), null.as_str().into());
    }
    if !fields.is_empty() {
        loose.insert("fields".to_owned(), Json::Array(fields));
    }
    if context.empty_is_null {
        loose.insert("emptyIsNull".to_owned(), true.into());
    }
    if !context.goal.is_table() {
        loose.insert("zone".to_owned(), context.settings.zone.as_str().into());
    }
    if parameter.get("skipHeader").map_or(Ok(false), |node| node.flag())? {
        loose.insert("skipLines".to_owned(), 1.into());
    }
    if let Some(config) = parameter.get("csvReaderConfig") {
        reader_config(&config, &mut loose)?;
    }
    context.idle(parameter, &["bufferSize"]);
    let mut options = files_options(parameter, paths.remove(0))?;
    if !paths.is_empty() {
        options.insert("paths".to_owned(), paths.into());
    }
    options.insert("loose".to_owned(), Json::Object(loose));
    let place = Place::new(FILE, Json::Object(options), ObjectRef::Whole);
    Ok(Source { place, select: Vec::new(), width, ragged: ragged && null.is_none() })
}

/// The target that `parameter` of `txtfilewriter` names; `ragged` where records may be shorter than others.
pub(super) fn target(parameter: &Node<'_>, ragged: bool, context: &mut Context<'_>) -> Result<Target> {
    let path = parameter.need("path")?.text()?;
    let name = parameter.need("fileName")?;
    let prefix = name.text()?;
    if prefix.is_empty() || prefix.contains('/') {
        return Err(name.error("a file name is no path, and not empty"));
    }
    let word = parameter.need("writeMode")?;
    let mode = match word.text()?.to_lowercase().as_str() {
        "truncate" => {
            context
                .notes
                .push(format!("truncate removes the files {prefix}__… alone, not all whose names begin with {prefix}"));
            WriteMode::Replace
        }
        "append" => WriteMode::Append,
        "nonconflict" => WriteMode::Create,
        other => {
            let error = word.error(format!("there is no write mode {other:?} for files"));
            return Err(error.with_hint("the modes are truncate, append and nonConflict"));
        }
    };
    let mut options = files_options(parameter, format!("{}/", path.trim_end_matches('/')))?;
    options.insert("prefix".to_owned(), prefix.into());
    options.insert("loose".to_owned(), Json::Object(written(parameter, ragged, context)?));
    Ok(Target::plain(Place::new(FILE, Json::Object(options), ObjectRef::Whole), mode))
}

/// How records are written.
fn written(parameter: &Node<'_>, ragged: bool, context: &mut Context<'_>) -> Result<Map<String, Json>> {
    let text = |key: &str| parameter.get(key).map(|node| node.text()).transpose();
    let mut loose = Map::new();
    let mut insert = |key: &str, value: Json| loose.insert(key.to_owned(), value);
    insert(
        "delimiter",
        text("fieldDelimiter")?.filter(|text| !text.is_empty()).unwrap_or_else(|| ",".to_owned()).into(),
    );
    // The text, and not what the pages say.
    insert("null", text("nullFormat")?.unwrap_or_else(|| "null".to_owned()).into());
    insert("zone", context.settings.zone.as_str().into());
    if ragged {
        insert("records", "ragged".into());
    }
    if let Some(format) = text("dateFormat")?.or(text("format")?).filter(|format| !format.is_empty()) {
        insert("dateFormat", format.into());
    }
    if let Some(header) = parameter.get("header") {
        insert("header", header.elements()?.iter().map(Node::text).collect::<Result<Vec<_>>>()?.into());
    }
    if let Some(end) = text("lineDelimiter")?.filter(|end| !end.is_empty()) {
        insert("lineEnd", end.into());
    }
    let quoting = match text("fileFormat")?.unwrap_or_else(|| "text".to_owned()).to_lowercase().as_str() {
        "text" => "never",
        "csv" => {
            context.notes.push("blanks around the values of CSV are left out, as DataX does".to_owned());
            csv_quoting(parameter)?
        }
        other => {
            let error = parameter.need("fileFormat")?.error(format!("files are not written as {other:?} here"));
            let hint = "write csv or text; a database is loaded without a file of statements";
            return Err(Error::new(ErrorKind::Unsupported, error.to_string()).with_hint(hint));
        }
    };
    insert("quoting", quoting.into());
    context.idle(parameter, &["byteEncoding", "suffix"]);
    Ok(loose)
}

fn csv_quoting(parameter: &Node<'_>) -> Result<&'static str> {
    if let Some(delimiter) = parameter.get("fieldDelimiter")
        && delimiter.text()?.chars().count() > 1
    {
        return Err(delimiter.error("fields of CSV are separated by one character"));
    }
    let Some(config) = parameter.get("csvWriterConfig") else { return Ok("needed") };
    let mut quoting = "needed";
    for (key, node) in config.entries()? {
        match key {
            "forceQualifier" if node.flag()? => quoting = "always",
            "useTextQualifier" if !node.flag()? => return Ok("never"),
            "textQualifier" if node.text()? != "\"" => return Err(node.error("fields are quoted with \" alone")),
            "escapeMode" if node.integer()? != 1 => return Err(node.error("quotes are doubled, and nothing else")),
            "forceQualifier" | "useTextQualifier" | "textQualifier" | "escapeMode" => {}
            _ => return Err(node.error(format!("the setting {key} of CSV has no meaning here"))),
        }
    }
    Ok(quoting)
}

/// Settings of the CSV parser.
fn reader_config(config: &Node<'_>, loose: &mut Map<String, Json>) -> Result<()> {
    for (key, node) in config.entries()? {
        let (name, value): (&str, Json) = match key {
            "trimWhitespace" => ("trim", node.flag()?.into()),
            "skipEmptyRecords" => ("keepBlankLines", (!node.flag()?).into()),
            "useTextQualifier" if node.flag()? => continue,
            "useTextQualifier" => ("quote", "".into()),
            // One after it would not win over no quotes at all.
            "textQualifier" if loose.contains_key("quote") => continue,
            "textQualifier" => ("quote", node.text()?.into()),
            "delimiter" => ("delimiter", delimiter(Some(node))?.into()),
            // How long a field may be, and what is kept of a record for its caller.
            "safetySwitch" | "captureRawRecord" | "caseSensitive" => continue,
            "useComments" if !node.flag()? => continue,
            "comment" => continue,
            "escapeMode" if node.integer()? == 1 => continue,
            "recordDelimiter" if node.text()? == "\n" => continue,
            _ => {
                let error = node.error(format!("the setting {key} of CSV cannot be had here as it is"));
                return Err(Error::new(ErrorKind::Unsupported, error.to_string()));
            }
        };
        loose.insert(name.to_owned(), value);
    }
    Ok(())
}

/// What is common to reading and writing.
fn files_options(parameter: &Node<'_>, url: String) -> Result<Map<String, Json>> {
    let mut options = Map::new();
    options.insert("url".to_owned(), url.into());
    options.insert("format".to_owned(), "csv".into());
    let text = |key: &str| parameter.get(key).map(|node| node.text()).transpose();
    if let Some(encoding) = text("encoding")?.filter(|name| !name.is_empty() && !is_utf8(name)) {
        options.insert("encoding".to_owned(), encoding.into());
    }
    if let Some(codec) = text("compress")?.filter(|codec| !codec.is_empty()) {
        let codec = match codec.to_lowercase().as_str() {
            "gzip" => "gz".to_owned(),
            "bzip2" => "bz2".to_owned(),
            other => other.to_owned(),
        };
        options.insert("compression".to_owned(), codec.into());
    }
    Ok(options)
}

fn is_utf8(name: &str) -> bool {
    name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("utf8")
}

fn delimiter(node: Option<Node<'_>>) -> Result<String> {
    let Some(node) = node else { return Ok(",".to_owned()) };
    let text = node.text()?;
    if text.len() != 1 {
        let error = node.error(format!("fields are separated by one ASCII character, not {text:?}"));
        return Err(error.with_hint("write \"\\t\" for a tab"));
    }
    Ok(text)
}

fn fields(column: &Node<'_>) -> Result<Vec<Json>> {
    column.elements()?.iter().enumerate().map(|(place, node)| field(place, node)).collect()
}

fn field(place: usize, node: &Node<'_>) -> Result<Json> {
    if !node.is_object() {
        return Err(node.error("a column is an object with index and type, or value and type; \"*\" stands alone"));
    }
    let kind = match columns::kind(node)? {
        Kind::Text => "text",
        Kind::Long => "whole",
        // Its text is written as it was read.
        Kind::Double => "number",
        Kind::Bool => "truth",
        Kind::Date => "moment",
        Kind::Bytes => return Err(node.error("text has no columns of bytes").with_hint("use string")),
    };
    let mut field = json!({"name": format!("c{}", place + 1), "type": kind});
    match (node.get("index"), node.get("value")) {
        (Some(_), Some(_)) => return Err(node.error("a column has either an index or a value")),
        (Some(index), None) => {
            let index_number = usize::try_from(index.integer()?);
            field["index"] = index_number.map_err(|_| index.error("fields are counted from 0"))?.into();
        }
        (None, Some(value)) => field["value"] = value.text()?.into(),
        (None, None) => return Err(node.error("a column needs an index or a value")),
    }
    let format = node.get("format").map(|format| format.text()).transpose()?.filter(|format| !format.is_empty());
    if let Some(format) = format.filter(|_| kind == "moment") {
        field["format"] = format.into();
    }
    Ok(field)
}
