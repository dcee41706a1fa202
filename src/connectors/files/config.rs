//! What an endpoint of files is told: its place, format and options. Parsed and validated, nothing opened.

mod compression;
mod parse;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::Schema;

use crate::error::{Error, ErrorKind, Result};
use crate::formats::charset::Charset;
use crate::formats::csv::{Csv, CsvOptions, LineEnd};
use crate::formats::extension::Format;
use crate::formats::json::JsonLines;
use crate::formats::loose::{Loose, LooseOptions};
use crate::formats::{RecordFormat, Typing, parquet, workbook};

use parse::Given;

/// The size of the part files of a folder, unless another is named.
const FILE_BYTES: u64 = 256_000_000;

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
    /// Those that are written behind it, each when the one before is full.
    sheets: Vec<String>,
    sheet_rows: Option<u32>,
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
    /// The size of the part files of a folder, where it was named.
    pub(super) file_bytes: Option<u64>,
    /// Whether folders above a target are made that are missing.
    pub(super) makes_folders: bool,
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

    /// The size of the part files of a folder.
    pub(super) fn part_bytes(&self) -> u64 {
        self.file_bytes.unwrap_or(FILE_BYTES)
    }

    /// The codec of a text format.
    pub(super) fn records(&self, format: Format) -> Result<Arc<dyn RecordFormat>> {
        self.records_with(format, LineEnd::default())
    }

    /// The same, which ends lines of CSV with `line_end`.
    pub(super) fn records_with(&self, format: Format, line_end: LineEnd) -> Result<Arc<dyn RecordFormat>> {
        if format == Format::Jsonl {
            return Ok(Arc::new(JsonLines::new(self.csv.typing.clone())));
        }
        if let Some(loose) = &self.loose {
            return Ok(Arc::new(Loose::new(loose)?));
        }
        let usual = if format == Format::Tsv { b'\t' } else { b',' };
        let options = CsvOptions { delimiter: self.delimiter.unwrap_or(usual), line_end, ..self.csv.clone() };
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

    /// What the column at `place`, from 0, is called that no header names.
    pub(super) fn column_name(&self, place: usize) -> String {
        self.csv.numbers.name(place)
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
