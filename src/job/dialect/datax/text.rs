//! `txtfilereader` and `txtfilewriter`: delimited text by place, told in the option `loose` of files.

use serde_json::{Map, Value as Json, json};

use super::super::name::is_star;
use super::columns::{self, Kind};
use super::lacks::{TEXT_READER, TEXT_WRITER};
use super::{Context, Goal, Source, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::job::locator::FILE;
use crate::job::tree::Node;
use crate::job::{Job, Place};
use crate::object::ObjectRef;
use crate::sink::{SchemaPolicy, WriteMode};

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
    let ragged = any && matches!(context.goal, Goal::Text | Goal::Nowhere);
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
    loose.insert("extraFormats".to_owned(), context.settings.extra_formats.clone().into());
    if !context.goal.is_table() {
        loose.insert("zone".to_owned(), context.settings.zone.as_str().into());
    }
    if parameter.get("skipHeader").map_or(Ok(false), |node| node.flag())? {
        loose.insert("skipLines".to_owned(), 1.into());
    }
    if let Some(config) = parameter.get("csvReaderConfig") {
        reader_config(&config, &mut loose)?;
    }
    context.idle(TEXT_READER, parameter);
    let mut options = files_options(parameter, paths.remove(0))?;
    if !paths.is_empty() {
        options.insert("paths".to_owned(), paths.into());
    }
    options.insert("loose".to_owned(), Json::Object(loose));
    let place = Place::new(FILE, Json::Object(options), ObjectRef::Whole);
    Ok(Source { place, select: Vec::new(), query: None, width, ragged: ragged && null.is_none() })
}

/// As many columns as tables have that DataX fills: those of PostgreSQL, of which tables of `InnoDB` and SQL Server have fewer.
const MOST_COLUMNS: usize = 1600;

/// A file without a record does not say its columns: where the source of `job` is text of which all fields are read, it has those that
/// are written, or that functions look at; and as many as any table, where they are paired with all of one by their places.
pub(super) fn know_columns(job: &mut Job) {
    let loose = job.source.options.get_mut("loose").and_then(Json::as_object_mut);
    if let Some(loose) = loose.filter(|loose| !loose.contains_key("fields")) {
        let least = if job.schema == SchemaPolicy::ByPlace { MOST_COLUMNS } else { 1 };
        let examined = job.transform.steps.iter().map(|step| step.column_index.saturating_add(1));
        let named = Some(job.transform.names.len()).filter(|named| *named > 0);
        let columns = named.unwrap_or_else(|| examined.fold(least, usize::max));
        loose.insert("columnsWhenEmpty".to_owned(), columns.into());
    }
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
    options.insert("makeFolders".to_owned(), true.into());
    options.insert("loose".to_owned(), Json::Object(written(parameter, ragged, context)?));
    Ok(Target::plain(Place::new(FILE, Json::Object(options), ObjectRef::Whole), mode))
}

/// Whether `parameter` of `txtfilewriter` asks for statements of SQL.
pub(super) fn is_sql(parameter: &Node<'_>) -> bool {
    parameter.get("fileFormat").is_some_and(|format| format.text().is_ok_and(|text| text.eq_ignore_ascii_case("sql")))
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
    // As the drivers of databases tell them.
    insert("floats", "short".into());
    if ragged {
        insert("records", "ragged".into());
    }
    if let Some(format) = text("dateFormat")?.or(text("format")?).filter(|format| !format.is_empty()) {
        insert("dateFormat", format.into());
    }
    if let Some(header) = parameter.get("header") {
        insert("header", header.elements()?.iter().map(Node::text).collect::<Result<Vec<_>>>()?.into());
    }
    if let Some(form) = parameter.get("byteEncoding").filter(|form| form.text().is_ok_and(|form| !form.is_empty())) {
        if !form.text()?.eq_ignore_ascii_case("base64") {
            return Err(form
                .error("bytes are written as base64, or as the text that they are")
                .with_hint("leave it out"));
        }
        insert("bytes", "base64".into());
    }
    let line_end = text("lineDelimiter")?.filter(|end| !end.is_empty());
    match text("fileFormat")?.unwrap_or_else(|| "text".to_owned()).to_lowercase().as_str() {
        "text" => loose.extend(line_end.map(|end| ("lineEnd".to_owned(), end.into()))),
        "csv" => {
            // Of more than one character the others are not seen.
            let first = line_end.and_then(|end| end.chars().next());
            loose.extend(first.map(|end| ("lineEnd".to_owned(), end.to_string().into())));
            context.notes.push("blanks around the values of CSV are left out, as DataX does".to_owned());
            writer_config(parameter, &mut loose)?;
        }
        "sql" => {
            loose.extend(line_end.map(|end| ("lineEnd".to_owned(), end.into())));
            loose.insert("insert".to_owned(), statements(parameter)?);
        }
        other => {
            let error = parameter.need("fileFormat")?.error(format!("files are not written as {other:?} here"));
            return Err(Error::new(ErrorKind::Unsupported, error.to_string()).with_hint("write csv, text or sql"));
        }
    }
    context.idle(TEXT_WRITER, parameter);
    Ok(loose)
}

/// The statements of a file in SQL.
fn statements(parameter: &Node<'_>) -> Result<Json> {
    let table = parameter.need("table")?.text()?;
    let quote = parameter.need("quoteChar")?.text()?;
    // It names the columns.
    parameter.need("header")?;
    let rows = match parameter.get("commitSize") {
        Some(node) => match usize::try_from(node.integer()?) {
            Ok(rows) if rows > 0 => rows,
            _ => return Err(node.error("a commit stands behind 1 record or more")),
        },
        None => 2000,
    };
    Ok(json!({"table": table, "quote": quote, "commitRows": rows}))
}

/// How the CSV is quoted that is written.
fn writer_config(parameter: &Node<'_>, loose: &mut Map<String, Json>) -> Result<()> {
    if let Some(delimiter) = parameter.get("fieldDelimiter")
        && delimiter.text()?.chars().count() > 1
    {
        return Err(delimiter.error("fields of CSV are separated by one character"));
    }
    let config = parameter.get("csvWriterConfig");
    let flag = |key: &str, otherwise: bool| {
        let node = config.as_ref().and_then(|config| config.get(key));
        node.map_or(Ok(otherwise), |node| node.flag())
    };
    let quoting = match (flag("forceQualifier", false)?, flag("useTextQualifier", true)?) {
        (true, _) => "always",
        (false, true) => "needed",
        (false, false) => "never",
    };
    loose.insert("quoting".to_owned(), quoting.into());
    let Some(config) = config else { return Ok(()) };
    csv_marks(&config, loose)?;
    if let Some(comment) = config.get("comment") {
        loose.insert("comment".to_owned(), single(&comment)?.into());
    }
    Ok(())
}

/// How the CSV is taken apart that is read.
fn reader_config(config: &Node<'_>, loose: &mut Map<String, Json>) -> Result<()> {
    let flag = |key: &str| config.get(key).map(|node| node.flag()).transpose();
    csv_marks(config, loose)?;
    if flag("useTextQualifier")? == Some(false) {
        loose.insert("quote".to_owned(), "".into());
    }
    loose.extend(flag("trimWhitespace")?.map(|trim| ("trim".to_owned(), trim.into())));
    loose.extend(flag("skipEmptyRecords")?.map(|skip| ("keepBlankLines".to_owned(), (!skip).into())));
    let comment = config.get("comment").map_or_else(|| Ok("#".to_owned()), |comment| single(&comment))?;
    if flag("useComments")? == Some(true) {
        loose.insert("comment".to_owned(), comment.into());
    }
    Ok(())
}

/// What readers and writers of CSV are told alike.
fn csv_marks(config: &Node<'_>, loose: &mut Map<String, Json>) -> Result<()> {
    if !config.is_object() {
        return Err(config.error("the settings of CSV are an object"));
    }
    for (key, name) in [("delimiter", "delimiter"), ("textQualifier", "quote"), ("recordDelimiter", "lineEnd")] {
        if let Some(node) = config.get(key) {
            loose.insert(name.to_owned(), single(&node)?.into());
        }
    }
    if let Some(node) = config.get("escapeMode") {
        match node.integer()? {
            1 => {}
            2 => _ = loose.insert("escape".to_owned(), "backslash".into()),
            _ => return Err(node.error("quotes are doubled, which is 1, or stand behind a backslash, which is 2")),
        }
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
    if let Some(node) = parameter.get("compress") {
        options.extend(compression(&node)?.map(|codec| ("compression".to_owned(), codec.into())));
    }
    Ok(options)
}

/// The word of files for the codec that `node` names; none for an empty text.
fn compression(node: &Node<'_>) -> Result<Option<&'static str>> {
    let word = node.text()?.to_lowercase();
    Ok(Some(match word.as_str() {
        "" => return Ok(None),
        "gzip" | "gz" => "gz",
        "bzip2" | "bz2" => "bz2",
        "zip" => "zip",
        "framing-snappy" | "snappy" => "snappy",
        "hadoop-snappy" => "hadoop-snappy",
        "zstd" | "zst" => "zstd",
        "xz" => "xz",
        "lz4" => "lz4",
        _ => {
            let error =
                node.error(format!("files are neither read nor written here that are compressed with {word:?}"));
            let hint = "use gzip, bzip2, zip, hadoop-snappy or framing-snappy, or unpack the files first";
            return Err(Error::new(ErrorKind::Unsupported, error.to_string()).with_hint(hint));
        }
    }))
}

fn is_utf8(name: &str) -> bool {
    name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("utf8")
}

/// One character of CSV.
fn single(node: &Node<'_>) -> Result<String> {
    let text = node.text()?;
    if text.len() != 1 {
        return Err(node.error(format!("one ASCII character is wanted here, and not {text:?}")));
    }
    Ok(text)
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
        // It may be of any length: whether it fits is a matter of the column that it goes to.
        Kind::Long => "integer",
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
