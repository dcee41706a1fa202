//! What an endpoint of files is told: its place, format and options. Parsed and validated, nothing opened.

mod compression;
mod parse;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::Schema;

use crate::connector::{OptionDoc, option};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::charset::Charset;
use crate::formats::csv::{Csv, CsvOptions};
use crate::formats::extension::Format;
use crate::formats::json::JsonLines;
use crate::formats::loose::{Loose, LooseOptions};
use crate::formats::{RecordFormat, Typing, parquet, workbook};

use parse::Given;

/// Every option, in the order of the help.
pub(super) const OPTIONS: &[OptionDoc] = &[
    option("url", "string", "", "A path, a glob, a folder, - for standard input or output, or a file: URL.").required(),
    option("format", "string", "by extension", "The format; arrow is a file, arrows a stream.")
        .within("csv, tsv, jsonl, parquet, avro, arrow, arrows, xlsx; xls and ods are only read"),
    option(
        "compression",
        "string",
        "by extension; zstd in Parquet, deflate in Avro",
        "The compression of a file that is written: around a text file, within the others. A text file that is read must have it.",
    )
    .within("text: none, gz, zstd, bz2, xz, lz4, snappy, zip; Parquet: none, gz, snappy, zstd; Avro: none, deflate, snappy, zstd; Arrow: none, lz4, zstd"),
    option("level", "integer", "6 for gz, zip and xz, 9 for bz2, 3 for deflate, 1 for zstd", "The effort of the compression.")
        .within("0 to 9 for gz, zip, xz, bz2 and deflate, 1 to 22 for zstd"),
    option("encoding", "string", "utf-8", "The encoding of a text file.")
        .within("utf-8, utf-16, gbk, gb18030, big5, shift-jis, euc-kr, latin1, windows-1252 and all others of the Encoding Standard"),
    option("dateFormat", "string", "as PostgreSQL prints them", "The form of dates and times in a text file.")
        .within("Java's letters, as yyyy-MM-dd HH:mm:ss, or strftime's, as %d.%m.%Y"),
    option("header", "boolean", "true", "Whether the first record of CSV, or row of a sheet, names the columns."),
    option("delimiter", "string", "a comma in CSV, a tab in TSV", "The character between fields.")
        .within("one ASCII character, or tab"),
    option("quote", "string", "\"", "The character around CSV fields.").within("one ASCII character, or none"),
    option("comment", "string", "", "What CSV lines begin with that are no records.").within("one ASCII character"),
    option("trim", "boolean", "false", "Whether spaces and tabs around CSV fields are dropped."),
    option("null", "string", "the empty text; in a sheet a blank cell", "The unquoted CSV text, or text in a sheet, that means NULL."),
    option("sheet", "string", "the first; written: Sheet1", "The sheet of a workbook, by its name or its number from 1."),
    option("range", "string", "all", "The cells of a sheet that are read.").within("such as A1:F200 or A:F"),
    option("casts", "object", "", "Column to type: how the text of a column is parsed; on the command line --cast.")
        .within("types of SQL; those of dates and times also with a form of their own, as date('dd.MM.yyyy')"),
    option("allStrings", "boolean", "false", "Whether every column of a text file or a sheet is text."),
    option("loose", "object", "", "Delimited text as other programs take and write it; see below. Not with header, delimiter, quote and null."),
    option("paths", "list", "", "Further paths, globs and folders that are read with it, as if they were one."),
    option("prefix", "string", "", "The begin of the names of part files in a target folder; other files there are left alone."),
    option("fileBytes", "bytes", "256MB", "The size of the part files in a target folder.").within("1 or more"),
    option("rowGroupRows", "integer", "1048576", "Rows of a Parquet row group, at most.").within("1 or more"),
    option("rowGroupBytes", "bytes", "64MB", "Memory that a Parquet row group takes while it is built, at most.")
        .within("1 or more"),
];

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Standard input or output.
    Standard,
    /// A path, folder or glob, as the user wrote it.
    Path(String),
}

/// Which files of a folder are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    /// Those of a known format, or of this one.
    Known(Option<Format>),
    /// Those whose names begin so, with `__` behind it.
    Prefixed(&'a str),
    /// All, also those in folders within.
    All,
}

/// The options of one endpoint.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) place: Place,
    pub(super) format: Option<Format>,
    pub(super) compression: Option<String>,
    pub(super) level: Option<i32>,
    csv: CsvOptions,
    /// The delimiter that was named; else it is that of the format.
    delimiter: Option<u8>,
    given: Given,
    sheet: Option<String>,
    area: workbook::Area,
    /// The text that means NULL, where one was named.
    null: Option<String>,
    /// The encoding of text.
    pub(super) charset: Charset,
    loose: Option<LooseOptions>,
    /// What is read besides.
    pub(super) paths: Vec<String>,
    /// What the part files of a folder are told by.
    pub(super) prefix: Option<String>,
    pub(super) file_bytes: u64,
    pub(super) row_group: parquet::RowGroupLimit,
}

impl Config {
    /// The name of the place, for messages.
    pub(super) fn label(&self) -> &str {
        match &self.place {
            Place::Standard => "-",
            Place::Path(path) => path,
        }
    }

    /// The codec of a text format.
    pub(super) fn records(&self, format: Format) -> Result<Arc<dyn RecordFormat>> {
        if format == Format::Jsonl {
            return Ok(Arc::new(JsonLines::new(self.csv.typing.clone())));
        }
        if let Some(loose) = &self.loose {
            return Ok(Arc::new(Loose::new(loose)?));
        }
        let usual = if format == Format::Tsv { b'\t' } else { b',' };
        let options = CsvOptions { delimiter: self.delimiter.unwrap_or(usual), ..self.csv.clone() };
        Ok(Arc::new(Csv::new(options)?))
    }

    /// The same for one part in a stage, of which every text of a type is taken for it.
    pub(super) fn of_part(&self, path: &Path, format: Format, charset: Charset) -> Self {
        let typing = Typing { all_strings: true, casts: Vec::new(), ..self.csv.typing.clone() };
        let csv = CsvOptions { typing, ..self.csv.clone() };
        Self { place: Place::Path(path.display().to_string()), format: Some(format), csv, charset, ..self.clone() }
    }

    /// The same for one workbook in a stage, whose columns are those that were written.
    pub(super) fn of_sheet_part(&self, path: &Path, format: Format, schema: &Schema) -> Self {
        let typing = Typing { casts: schema.fields().iter().map(Arc::clone).collect(), ..Typing::default() };
        let csv = CsvOptions { typing, ..self.csv.clone() };
        Self { csv, area: workbook::Area::default(), ..self.of_part(path, format, Charset::default()) }
    }

    /// An error when an option was given that files of `format` do not have.
    pub(super) fn check(&self, format: Format) -> Result<()> {
        let Some((option, of)) = self.given.unfit(format) else { return Ok(()) };
        let message = format!("the option {option} is for {of}, and this is {}", format.title());
        Err(usage(message).at("file", self.label()).with_hint("leave it out, or name the format"))
    }

    /// How the sheets of workbooks are read.
    pub(super) fn sheets(&self) -> workbook::Options {
        workbook::Options {
            sheet: self.sheet.clone(),
            area: self.area.clone(),
            header: self.csv.header,
            null: self.null.clone(),
            typing: self.csv.typing.clone(),
        }
    }

    /// Whether CSV files and sheets have a header.
    pub(super) fn has_header(&self) -> bool {
        self.csv.header && self.loose.is_none()
    }

    /// Which files of a folder are meant.
    pub(super) fn wanted(&self) -> Wanted<'_> {
        match (&self.prefix, &self.loose) {
            (Some(prefix), _) => Wanted::Prefixed(prefix),
            (None, Some(_)) => Wanted::All,
            (None, None) => Wanted::Known(self.format),
        }
    }
}

fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message)
}
