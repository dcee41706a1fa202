//! From the options of a locator to a [`Config`].

use std::collections::BTreeMap;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value as Json;

use super::super::options::OPTIONS;
use super::{Config, Place, compression, usage};
use crate::error::{Context as _, Result};
use crate::formats::charset::Charset;
use crate::formats::csv::{CsvOptions, Numbers};
use crate::formats::extension::Format;
use crate::formats::loose::LooseOptions;
use crate::formats::value::{self, Pattern};
use crate::formats::{Typing, parquet, workbook};

/// The options as they are written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    url: String,
    format: Option<String>,
    compression: Option<String>,
    level: Option<i32>,
    header: Option<bool>,
    delimiter: Option<String>,
    quote: Option<String>,
    escape: Option<String>,
    comment: Option<String>,
    trim: Option<bool>,
    column_names: Option<ColumnNames>,
    columns_when_empty: Option<usize>,
    skip_records: Option<usize>,
    null: Option<String>,
    date_formats: Option<BTreeMap<usize, String>>,
    short_decimals: Option<bool>,
    sheet: Option<SheetName>,
    sheets: Option<Vec<String>>,
    sheet_rows: Option<u32>,
    range: Option<String>,
    encoding: Option<String>,
    date_format: Option<String>,
    #[serde(default)]
    casts: BTreeMap<String, String>,
    #[serde(default)]
    all_strings: bool,
    loose: Option<LooseOptions>,
    #[serde(default)]
    paths: Vec<String>,
    prefix: Option<String>,
    #[serde(default)]
    make_folders: bool,
    file_bytes: Option<Bytes>,
    row_group_rows: Option<usize>,
    row_group_bytes: Option<Bytes>,
}

/// A number of bytes, or text such as `256MB`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Bytes {
    Number(u64),
    Text(String),
}

/// What columns are called that no header names: by the name of the first.
#[derive(Clone, Copy, Debug, Deserialize)]
enum ColumnNames {
    #[serde(rename = "c1")]
    FromOne,
    #[serde(rename = "0")]
    FromZero,
}

/// The name of a sheet, or its number.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SheetName {
    Number(u64),
    Name(String),
}

impl SheetName {
    fn into_text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Name(name) => name,
        }
    }
}

/// Options that were given and that not all formats have: the first of each kind.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// Only formats with delimiters have it.
    delimited: Option<&'static str>,
    /// Only formats with delimiters and workbooks have it.
    of_rows: Option<&'static str>,
    /// Only workbooks have it.
    of_sheets: Option<&'static str>,
    /// Only text formats have it.
    textual: Option<&'static str>,
    /// Only Parquet has it.
    of_groups: Option<&'static str>,
}

impl Given {
    fn of(raw: &Raw) -> Self {
        let delimited = [
            ("delimiter", raw.delimiter.is_some()),
            ("quote", raw.quote.is_some()),
            ("escape", raw.escape.is_some()),
            ("comment", raw.comment.is_some()),
            ("trim", raw.trim.is_some()),
            ("loose", raw.loose.is_some()),
            ("columnNames", raw.column_names.is_some()),
            ("columnsWhenEmpty", raw.columns_when_empty.is_some()),
            ("skipRecords", raw.skip_records.is_some()),
            ("dateFormats", raw.date_formats.is_some()),
            ("shortDecimals", raw.short_decimals.is_some()),
        ];
        Self {
            delimited: first_given(delimited),
            of_rows: first_given([("header", raw.header.is_some()), ("null", raw.null.is_some())]),
            of_sheets: first_given([
                ("sheet", raw.sheet.is_some()),
                ("sheets", raw.sheets.is_some()),
                ("sheetRows", raw.sheet_rows.is_some()),
                ("range", raw.range.is_some()),
            ]),
            textual: first_given([("encoding", raw.encoding.is_some()), ("dateFormat", raw.date_format.is_some())]),
            of_groups: first_given([
                ("rowGroupRows", raw.row_group_rows.is_some()),
                ("rowGroupBytes", raw.row_group_bytes.is_some()),
            ]),
        }
    }

    /// An option that files of `format` do not have, and what files it is for.
    pub(super) fn unfit(&self, format: Format) -> Option<(&'static str, &'static str)> {
        let kinds = [
            (self.of_sheets, format.is_workbook(), "workbooks"),
            (self.of_rows, format.may_have_header(), "CSV, TSV and workbooks"),
            (self.delimited, format.is_delimited(), "CSV and TSV"),
            (self.textual, format.is_records(), "text files"),
            (self.of_groups, format == Format::Parquet, "Parquet"),
        ];
        kinds.into_iter().find_map(|(option, fits, of)| Some((option.filter(|_| !fits)?, of)))
    }
}

impl Config {
    /// Parses the options of a locator.
    pub(in super::super) fn parse(options: &Json) -> Result<Self> {
        refuse_unknown(options)?;
        let raw: Raw = serde_path_to_error::deserialize(options).map_err(|error| {
            let wrong = match error.path().to_string().as_str() {
                "." => usage("the options of a file are not understood"),
                name => usage("its value is not understood").at("option", name),
            };
            wrong.with_source(error.into_inner())
        })?;
        let format = raw.format.as_deref().map(parse_format).transpose()?;
        let pattern = raw.date_format.as_deref().map(Pattern::parse).transpose()?;
        let mut typing = Typing { all_strings: raw.all_strings, pattern, ..Typing::default() };
        for (column, text) in &raw.casts {
            let (field, pattern) = value::parse_cast(text).at("column", || column)?;
            typing.casts.push(Arc::new(field.with_name(column)));
            typing.patterns.extend(pattern.map(|pattern| (column.clone(), pattern)));
        }
        let delimiter = match raw.delimiter.as_deref() {
            Some("\\t" | "tab") => Some(b'\t'),
            given => given.map(|text| single("delimiter", text)).transpose()?,
        };
        let given = Given::of(&raw);
        if let (Some(_), Some(other)) = (&raw.loose, given.delimited.filter(|name| *name != "loose").or(given.of_rows))
        {
            return Err(usage(format!("loose text has its own settings, and {other} is none of them")));
        }
        if raw.prefix.as_ref().is_some_and(|prefix| prefix.is_empty() || prefix.contains('/')) {
            return Err(usage("a prefix begins the name of a file, and is no path"));
        }
        if raw.sheet_rows.is_some_and(|rows| !(2..=workbook::SHEET_ROWS).contains(&rows)) {
            return Err(usage(format!("sheetRows is not between 2 and {}", workbook::SHEET_ROWS)));
        }
        let csv = csv_options(&raw, typing)?;
        let charset = raw.encoding.as_deref().map(Charset::parse).transpose().at("option", || "encoding")?;
        if let Some(word) = raw.compression.as_deref() {
            compression::check(word)?;
        }
        let row_group = parquet::RowGroupLimit {
            rows: raw.row_group_rows.unwrap_or(1 << 20).max(1),
            bytes: raw.row_group_bytes.map_or(Ok(64_000_000), Bytes::parse)?.max(1) as usize,
        };
        Ok(Self {
            place: parse_place(&raw.url)?,
            format,
            compression: raw.compression,
            level: raw.level,
            csv,
            delimiter,
            given,
            sheet: raw.sheet.map(SheetName::into_text),
            sheets: raw.sheets.unwrap_or_default(),
            sheet_rows: raw.sheet_rows,
            area: raw.range.as_deref().map(workbook::Area::parse).transpose()?.unwrap_or_default(),
            null: raw.null,
            charset: charset.unwrap_or_default(),
            loose: raw.loose,
            paths: raw.paths,
            prefix: raw.prefix,
            makes_folders: raw.make_folders,
            file_bytes: raw.file_bytes.map(Bytes::parse).transpose()?.map(|bytes| bytes.max(1)),
            row_group,
        })
    }
}

fn refuse_unknown(options: &Json) -> Result<()> {
    let is_none = |name: &str| OPTIONS.iter().all(|option| option.name != name);
    match options.as_object().into_iter().flatten().find(|(name, _)| is_none(name)) {
        Some((name, _)) => {
            Err(usage(format!("file has no option {name:?}")).with_hint("'etl connectors file' lists all there are"))
        }
        None => Ok(()),
    }
}

/// How CSV is written and read.
fn csv_options(raw: &Raw, typing: Typing) -> Result<CsvOptions> {
    let defaults = CsvOptions::default();
    let form = |(number, text): (&usize, &String)| {
        let place = number.checked_sub(1).ok_or_else(|| usage("columns are counted from 1"));
        place.and_then(|place| Ok((place, Pattern::lenient(text)?))).at("option", || "dateFormats")
    };
    let quote = match raw.quote.as_deref() {
        None => defaults.quote,
        Some("" | "none") => None,
        Some(text) => Some(single("quote", text)?),
    };
    let escape = raw.escape.as_deref().map(|text| single("escape", text)).transpose()?;
    Ok(CsvOptions {
        header: raw.header.unwrap_or(defaults.header),
        numbers: match raw.column_names {
            None | Some(ColumnNames::FromOne) => Numbers::FromOne,
            Some(ColumnNames::FromZero) => Numbers::FromZero,
        },
        columns_when_empty: raw.columns_when_empty.or(defaults.columns_when_empty),
        skip_records: raw.skip_records.unwrap_or(defaults.skip_records),
        quote,
        // A quote before a quote is a doubled one.
        escape: escape.filter(|escape| Some(*escape) != quote),
        comment: raw.comment.as_deref().map(|text| single("comment", text)).transpose()?,
        trim: raw.trim.unwrap_or(defaults.trim),
        null: raw.null.clone().unwrap_or(defaults.null),
        typing,
        forms: raw.date_formats.iter().flatten().map(form).collect::<Result<_>>()?,
        short_decimals: raw.short_decimals.unwrap_or(defaults.short_decimals),
        ..defaults
    })
}

impl Bytes {
    fn parse(self) -> Result<u64> {
        let text = match self {
            Self::Number(number) => return Ok(number),
            Self::Text(text) => text,
        };
        let wrong = || usage(format!("{text:?} is not a number of bytes")).with_hint("write it like 256MB");
        value::size::bytes(&text).ok_or_else(wrong)
    }
}

fn parse_place(url: &str) -> Result<Place> {
    if url == "-" {
        return Ok(Place::Standard);
    }
    let path = match url.strip_prefix("file:") {
        None => url.to_owned(),
        Some(rest) => {
            let rest = rest.strip_prefix("//localhost").or_else(|| rest.strip_prefix("//")).unwrap_or(rest);
            percent_decode_str(rest).decode_utf8().map_err(|_| usage("a path in a file: URL is UTF-8"))?.into_owned()
        }
    };
    if path.is_empty() {
        return Err(usage("the path is empty"));
    }
    Ok(Place::Path(path))
}

fn parse_format(word: &str) -> Result<Format> {
    Format::of_extension(word).ok_or_else(|| {
        usage(format!("there is no format {word:?}"))
            .with_hint("use csv, tsv, jsonl, parquet, avro, arrow, arrows or xlsx")
    })
}

/// The first option that was given.
fn first_given<const N: usize>(options: [(&'static str, bool); N]) -> Option<&'static str> {
    options.into_iter().find_map(|(name, given)| given.then_some(name))
}

fn single(option: &str, text: &str) -> Result<u8> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err(usage(format!("{option} is one ASCII character, not {text:?}"))),
    }
}
