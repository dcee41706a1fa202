//! Delimited text by place, in files of this machine: told in the option `loose` of files.

use serde_json::{Map, Value as Json, json};

use super::super::name::is_star;
use super::columns::{kind_of, type_word};
use super::lacks::{TEXT, TEXT_WRITERS};
use super::{Context, Source, Target, flag_of, present, text_of, unsupported};
use crate::error::Result;
use crate::job::locator::FILE;
use crate::job::tree::Node;
use crate::job::{Place, TextKind};
use crate::object::ObjectRef;
use crate::sink::WriteMode;

/// The files that `parameter` names.
pub(super) fn source(parameter: &Node<'_>, context: &mut Context<'_>) -> Result<Source> {
    refuse_servers(parameter, context)?;
    let node = parameter.need("path")?;
    let mut paths = Vec::new();
    for element in node.one_or_more() {
        let list = element.text()?;
        paths.extend(list.split(',').map(local).filter(|path| !path.is_empty()).map(str::to_owned));
    }
    if paths.is_empty() {
        return Err(node.error("no path is named"));
    }
    let list = parameter.need("column")?;
    let fields = if is_star(&list) { Vec::new() } else { fields(&list)? };
    let width = Some(fields.len()).filter(|width| *width > 0);
    let mut loose = json!({
        "delimiter": delimiter(parameter)?,
        // A record is parted wherever the delimiter stands.
        "quote": "",
        "trim": false,
        "keepBlankLines": true,
        "records": if fields.is_empty() { "even" } else { "ragged" },
        "fields": fields,
    });
    if flag_of(parameter, "isFirstLineHeader")? {
        loose["skipLines"] = 1.into();
    }
    let mut options = options(parameter, paths.remove(0))?;
    if !paths.is_empty() {
        options.insert("paths".to_owned(), paths.into());
    }
    options.insert("loose".to_owned(), loose);
    Ok(Source::plain(Place::new(FILE, Json::Object(options), ObjectRef::Whole), width))
}

/// The folder that `parameter` names.
pub(super) fn target(parameter: &Node<'_>, context: &mut Context<'_>) -> Result<Target> {
    refuse_servers(parameter, context)?;
    context.idle(TEXT_WRITERS, parameter);
    let path = parameter.need("path")?.text()?;
    let word = text_of(parameter, "writeMode")?.unwrap_or_else(|| "append".to_owned());
    let mode = match word.trim().to_lowercase().as_str() {
        "append" | "insert" => WriteMode::Append,
        "overwrite" => WriteMode::Replace,
        other => {
            let error = parameter.need("writeMode")?.error(format!("there is no write mode {other:?} for files"));
            return Err(error.with_hint("the modes are append and overwrite"));
        }
    };
    let mut options = options(parameter, format!("{}/", local(&path).trim_end_matches('/')))?;
    options.insert("makeFolders".to_owned(), true.into());
    if let Some(node) = present(parameter, "fileName") {
        let name = node.text()?;
        if name.contains('/') {
            return Err(node.error("a file name is no path"));
        }
        options.insert("prefix".to_owned(), name.into());
    }
    options.insert("loose".to_owned(), json!({"delimiter": delimiter(parameter)?, "null": ""}));
    Ok(Target::plain(Place::new(FILE, Json::Object(options), ObjectRef::Whole), mode))
}

/// Refuses files of other machines.
fn refuse_servers(parameter: &Node<'_>, context: &mut Context<'_>) -> Result<()> {
    let protocol = present(parameter, "protocol");
    let is_local = match &protocol {
        Some(protocol) => ["file", "local"].contains(&protocol.text()?.trim().to_lowercase().as_str()),
        None => present(parameter, "host").is_none(),
    };
    if !is_local {
        let node = protocol.as_ref().unwrap_or(parameter);
        let hint = "copy the files with sftp or curl, and name their folder with \"protocol\": \"file\"";
        return Err(unsupported(node, "files of other machines are not read or written here", hint));
    }
    context.idle(TEXT, parameter);
    Ok(())
}

/// `path` of this machine.
fn local(path: &str) -> &str {
    let path = path.trim();
    path.strip_prefix("file://").unwrap_or(path)
}

/// What is common to reading and writing.
fn options(parameter: &Node<'_>, url: String) -> Result<Map<String, Json>> {
    let mut options = Map::new();
    options.insert("url".to_owned(), url.into());
    options.insert("format".to_owned(), "csv".into());
    let utf8 = |name: &String| ["utf-8", "utf8"].contains(&name.to_lowercase().as_str());
    if let Some(encoding) = text_of(parameter, "encoding")?.filter(|name| !utf8(name)) {
        options.insert("encoding".to_owned(), encoding.into());
    }
    if let Some(codec) = text_of(parameter, "compress")?.or(text_of(parameter, "compressType")?) {
        let codec = match codec.to_lowercase().as_str() {
            "gzip" => "gz".to_owned(),
            "bzip2" => "bz2".to_owned(),
            other => other.to_owned(),
        };
        options.insert("compression".to_owned(), codec.into());
    }
    Ok(options)
}

/// What stands between fields; also as it is escaped in Java: `\t`, `\001`, `\u0001`.
fn delimiter(parameter: &Node<'_>) -> Result<String> {
    let text = parameter.get("fieldDelimiter").map(|node| node.text()).transpose()?.unwrap_or_default();
    let code = text.strip_prefix("\\u").map(|digits| (digits, 16)).or_else(|| Some((text.strip_prefix('\\')?, 8)));
    let sign = code.and_then(|(digits, base)| char::from_u32(u32::from_str_radix(digits, base).ok()?));
    Ok(match text.as_str() {
        "" => ",".to_owned(),
        "\\t" => "\t".to_owned(),
        _ => sign.map_or_else(|| text.clone(), String::from),
    })
}

fn fields(list: &Node<'_>) -> Result<Vec<Json>> {
    let mut names: Vec<String> = Vec::new();
    let mut fields = Vec::new();
    for (place, node) in list.one_or_more().iter().enumerate() {
        let name = if node.is_object() { text_of(node, "name")? } else { Some(node.text()?) };
        let name = name.filter(|name| !names.contains(name)).unwrap_or_else(|| format!("c{}", place + 1));
        let mut field = json!({"name": name});
        names.push(name);
        match (present(node, "index"), node.get("value")) {
            // A value stands for a field that is nowhere.
            (None, Some(value)) => field["value"] = value.text()?.into(),
            (None, None) => field["index"] = place.into(),
            (Some(index), value) => {
                if let Some(value) = value {
                    return Err(value.error("a column of text has either an index or a value"));
                }
                let number = usize::try_from(index.integer()?);
                field["index"] = number.map_err(|_| index.error("fields are counted from 0"))?.into();
            }
        }
        let kind = present(node, "type").map_or(Ok("text"), |kind| kind_word(&kind))?;
        field["type"] = kind.into();
        if kind != "text" {
            field["null"] = "".into();
        }
        if let Some(format) = text_of(node, "format")?.filter(|_| kind == "moment") {
            field["format"] = format.into();
        }
        fields.push(field);
    }
    Ok(fields)
}

/// What the text of a column of this type is read as.
fn kind_word(node: &Node<'_>) -> Result<&'static str> {
    Ok(match kind_of(node)? {
        Some(TextKind::Whole) => "whole",
        Some(TextKind::Double) => "double",
        Some(TextKind::Truth) => "truth",
        Some(TextKind::Moment) => "moment",
        None if ["decimal", "numeric"].contains(&type_word(node)?.as_str()) => "number",
        None => "text",
    })
}
