//! How files are read and written, as it is typed. `place` gives it to the right side.

use clap::Args;
use serde_json::{Map, Value as Json, json};

use super::settings::usage;
use super::size::Bytes;
use crate::error::Error;
use crate::formats::extension::Format;

/// How text files are read; where SRC is none, how the target file is written.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Files")]
pub(super) struct FileArgs {
    /// Format of SRC: csv, tsv, jsonl, parquet, avro, arrow, arrows, xlsx, xls, ods [default: by extension]
    #[arg(long, value_name = "FORMAT")]
    pub(super) from_format: Option<String>,
    /// Sheet of a workbook by name or number, as '#sheet' [default: first]
    #[arg(long, value_name = "NAME")]
    pub(super) sheet: Option<String>,
    /// Cells of the sheet that are read: 'A5:F200', 'A:F' [default: all]
    #[arg(long, value_name = "CELLS")]
    pub(super) range: Option<String>,
    /// CSV, or a sheet, has a line of column names (the default)
    #[arg(long, overrides_with = "no_header")]
    pub(super) header: bool,
    /// CSV, or a sheet, has no line of column names
    #[arg(long, overrides_with = "header")]
    pub(super) no_header: bool,
    /// Character between fields; 'tab' is one [default: , or by extension]
    #[arg(long, value_name = "CHAR")]
    pub(super) delim: Option<String>,
    /// Character around CSV fields; 'none' where none is one [default: "]
    #[arg(long, value_name = "CHAR")]
    pub(super) quote: Option<String>,
    /// Character before a quote within quotes [default: quotes are doubled]
    #[arg(long, value_name = "CHAR")]
    pub(super) escape: Option<String>,
    /// Character that lines of CSV begin with that are no records
    #[arg(long, value_name = "CHAR")]
    pub(super) comment: Option<String>,
    /// Text that stands for NULL [default: an unquoted empty field]
    #[arg(long, value_name = "TEXT")]
    pub(super) null: Option<String>,
    /// Read every column of a text file as text
    #[arg(long)]
    pub(super) all_strings: bool,
    /// Encoding of text: utf-16, gbk, latin1, … [default: utf-8]
    #[arg(long, value_name = "NAME")]
    pub(super) encoding: Option<String>,
    /// Form of dates in text: 'dd.MM.yyyy HH:mm', '%d.%m.%Y'
    #[arg(long, value_name = "FORM")]
    pub(super) date_format: Option<String>,
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Files")]
pub(super) struct TargetFileArgs {
    /// Format of DST: csv, tsv, jsonl, parquet, avro, arrow, arrows, xlsx [default: by extension]
    #[arg(long, value_name = "FORMAT")]
    pub(super) to_format: Option<String>,
    /// Encoding of the text of DST [default: utf-8]
    #[arg(long, value_name = "NAME")]
    pub(super) to_encoding: Option<String>,
    /// Codec of DST: gz, zstd, bz2, xz, lz4, snappy, hadoop-snappy, zip, none
    #[arg(long, value_name = "NAME")]
    pub(super) compress: Option<String>,
    /// Size of each part file in a folder [default: 256MB]
    #[arg(long, value_name = "SIZE")]
    pub(super) file_bytes: Option<Bytes>,
}

/// Whether files of a format have an option.
pub(super) type IsMeant = fn(Format) -> bool;

/// Flags that belong to the same files: what they say, which files these are, and the error where there is none.
pub(super) fn kinds(files: &FileArgs) -> [(Map<String, Json>, IsMeant, Error); 4] {
    [
        (header_options(files), Format::may_have_header, no_file(files)),
        (delimited_options(files), Format::is_delimited, no_file(files)),
        (text_options(files), Format::is_records, no_text(files)),
        (sheet_options(files), Format::is_workbook, no_sheet("--sheet", "there is none here")),
    ]
}

pub(super) fn no_sheet(flag: &str, why: &str) -> Error {
    usage(format!("{flag} is for workbooks, and {why}")).with_hint(format!("leave {flag} out"))
}

fn no_text(files: &FileArgs) -> Error {
    let flag = if files.encoding.is_some() { "--encoding" } else { "--date-format" };
    usage(format!("{flag} is for text files, and there is none here")).with_hint(format!("leave {flag} out"))
}

fn no_file(files: &FileArgs) -> Error {
    let flag = match files {
        FileArgs { delim: Some(_), .. } => "--delim",
        FileArgs { quote: Some(_), .. } => "--quote",
        FileArgs { escape: Some(_), .. } => "--escape",
        FileArgs { comment: Some(_), .. } => "--comment",
        FileArgs { null: Some(_), .. } => "--null",
        FileArgs { no_header: true, .. } => "--no-header",
        _ => "--header",
    };
    usage(format!("{flag} is for CSV files, and there is none here")).with_hint(format!("leave {flag} out"))
}

/// Options that files with delimiters and workbooks have.
fn header_options(files: &FileArgs) -> Map<String, Json> {
    let mut options = Map::new();
    if files.header || files.no_header {
        options.insert("header".to_owned(), json!(files.header));
    }
    if let Some(null) = &files.null {
        options.insert("null".to_owned(), Json::from(null.as_str()));
    }
    options
}

/// Options that only files with delimiters have.
fn delimited_options(files: &FileArgs) -> Map<String, Json> {
    let mut options = Map::new();
    if let Some(delimiter) = &files.delim {
        let delimiter = if matches!(delimiter.as_str(), "tab" | "\\t") { "\t" } else { delimiter };
        options.insert("delimiter".to_owned(), json!(delimiter));
    }
    let named = [("quote", &files.quote), ("escape", &files.escape), ("comment", &files.comment)];
    options.extend(named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?)))));
    options
}

/// Options that all text files have.
fn text_options(files: &FileArgs) -> Map<String, Json> {
    let named = [("encoding", &files.encoding), ("dateFormat", &files.date_format)];
    named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?)))).collect()
}

/// Options that only workbooks have.
fn sheet_options(files: &FileArgs) -> Map<String, Json> {
    files.sheet.iter().map(|sheet| ("sheet".to_owned(), json!(sheet))).collect()
}
