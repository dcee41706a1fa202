//! What an endpoint of files is told: its place, format and options. Parsed and validated, nothing opened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::Schema;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::connector::{OptionDoc, option};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::charset::Charset;
use crate::formats::compress::Compression;
use crate::formats::csv::{Csv, CsvOptions};
use crate::formats::extension::{self, Format};
use crate::formats::json::JsonLines;
use crate::formats::loose::{Loose, LooseOptions};
use crate::formats::value::{self, Pattern};
use crate::formats::{RecordFormat, Typing, avro, ipc, parquet, workbook};

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
    .within("text: none, gz, zstd, bz2, xz, lz4, snappy, hadoop-snappy, zip; Parquet: none, gz, snappy, zstd; Avro: none, deflate, snappy, zstd; Arrow: none, lz4, zstd"),
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
    option("escape", "string", "quotes are doubled", "The character before a quote, and before itself, within CSV quotes.")
        .within("one ASCII character"),
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

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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
    null: Option<String>,
    sheet: Option<SheetName>,
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
struct Given {
    /// Only formats with delimiters have it.
    delimited: Option<&'static str>,
    /// Only formats with delimiters and workbooks have it.
    of_rows: Option<&'static str>,
    /// Only workbooks have it.
    of_sheets: Option<&'static str>,
    /// Only text formats have it.
    textual: Option<&'static str>,
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
        ];
        Self {
            delimited: first_given(delimited),
            of_rows: first_given([("header", raw.header.is_some()), ("null", raw.null.is_some())]),
            of_sheets: first_given([("sheet", raw.sheet.is_some()), ("range", raw.range.is_some())]),
            textual: first_given([("encoding", raw.encoding.is_some()), ("dateFormat", raw.date_format.is_some())]),
        }
    }

    /// An option that files of `format` do not have, and what files it is for.
    fn unfit(&self, format: Format) -> Option<(&'static str, &'static str)> {
        let kinds = [
            (self.of_sheets, format.is_workbook(), "workbooks"),
            (self.of_rows, format.may_have_header(), "CSV, TSV and workbooks"),
            (self.delimited, format.is_delimited(), "CSV and TSV"),
            (self.textual, format.is_records(), "text files"),
        ];
        kinds.into_iter().find_map(|(option, fits, of)| Some((option.filter(|_| !fits)?, of)))
    }
}

impl Config {
    /// Parses the options of a locator.
    pub(super) fn parse(options: &Json) -> Result<Self> {
        let raw: Raw = Raw::deserialize(options)
            .map_err(|source| usage("an option of this file is not understood").with_source(source))?;
        let format = raw.format.as_deref().map(parse_format).transpose()?;
        let pattern = raw.date_format.as_deref().map(Pattern::parse).transpose()?;
        let mut typing = Typing { all_strings: raw.all_strings, pattern, ..Typing::default() };
        for (column, text) in &raw.casts {
            let (field, pattern) = value::parse_cast(text).at("column", || column)?;
            typing.casts.push(Arc::new(field.with_name(column)));
            typing.patterns.extend(pattern.map(|pattern| (column.clone(), pattern)));
        }
        let defaults = CsvOptions::default();
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
        let null = raw.null.clone();
        let quote = match raw.quote.as_deref() {
            None => defaults.quote,
            Some("" | "none") => None,
            Some(text) => Some(single("quote", text)?),
        };
        let escape = raw.escape.as_deref().map(|text| single("escape", text)).transpose()?;
        let csv = CsvOptions {
            header: raw.header.unwrap_or(defaults.header),
            quote,
            // A quote before a quote is a doubled one.
            escape: escape.filter(|escape| Some(*escape) != quote),
            comment: raw.comment.as_deref().map(|text| single("comment", text)).transpose()?,
            trim: raw.trim.unwrap_or(defaults.trim),
            null: raw.null.unwrap_or(defaults.null),
            typing,
            ..defaults
        };
        if let Some(word) = raw.compression.as_deref() {
            parse_compression(word)?;
        }
        let bytes = |given: Option<Bytes>, default: u64| given.map_or(Ok(default), Bytes::parse);
        let row_group = parquet::RowGroupLimit {
            rows: raw.row_group_rows.unwrap_or(1 << 20).max(1),
            bytes: bytes(raw.row_group_bytes, 64_000_000)?.max(1) as usize,
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
            area: raw.range.as_deref().map(workbook::Area::parse).transpose()?.unwrap_or_default(),
            null,
            charset: raw.encoding.as_deref().map(Charset::parse).transpose()?.unwrap_or_default(),
            loose: raw.loose,
            paths: raw.paths,
            prefix: raw.prefix,
            file_bytes: bytes(raw.file_bytes, 256_000_000)?.max(1),
            row_group,
        })
    }

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

    /// An error when a text file is compressed in another way than was said.
    pub(super) fn check_compression(&self, found: Compression) -> Result<()> {
        let Some(said) = self.compression.as_deref() else { return Ok(()) };
        if self.outer_compression(None)? == found {
            return Ok(());
        }
        let message = match found {
            Compression::None => format!("it is said to be compressed with {said}, and is not"),
            found => format!("it is said to be compressed with {said}, but it is with {}", found.title()),
        };
        Err(usage(message).with_hint("leave the option compression out: what a file holds is seen by its first bytes"))
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

    /// How a workbook is written.
    pub(super) fn workbook(&self, format: Format) -> Result<workbook::Settings> {
        if format != Format::Xlsx {
            let message = format!("{} is only read", format.title());
            return Err(Error::new(ErrorKind::Unsupported, message).with_hint("write .xlsx"));
        }
        if let Some(word) = self.compression.as_deref().filter(|word| *word != "none") {
            return Err(usage(format!("a workbook cannot be written with {word:?}"))
                .with_hint("leave it out: workbooks are compressed in their own way"));
        }
        Ok(workbook::Settings { sheet: self.sheet.clone(), header: self.csv.header, null: self.null.clone() })
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

    /// How whole files are compressed when written: the option, else the extension.
    pub(super) fn outer_compression(&self, path: Option<&Path>) -> Result<Compression> {
        let by_name = path.and_then(|path| extension::of_path(path).1).unwrap_or(Compression::None);
        match self.compression.as_deref() {
            None => Ok(by_name),
            Some("none") => Ok(Compression::None),
            Some(word) => Compression::named(word)
                .ok_or_else(|| usage(format!("text files cannot be compressed with {word:?}")).with_hint(USE_CODEC)),
        }
    }

    /// The compression that was said, where no file shows that it has it.
    pub(super) fn unseen_compression(&self) -> Compression {
        let said = self.compression.as_deref().and_then(Compression::named);
        said.filter(|said| !said.is_seen()).unwrap_or(Compression::None)
    }

    /// How the pages of Parquet are written.
    pub(super) fn parquet(&self) -> Result<parquet::Settings> {
        let codec = match self.compression.as_deref() {
            None | Some("zstd" | "zst") => parquet::Codec::Zstd,
            Some("none") => parquet::Codec::None,
            Some("snappy") => parquet::Codec::Snappy,
            Some("gz" | "gzip") => parquet::Codec::Gzip,
            Some(word) => return Err(usage(format!("Parquet cannot be written with {word:?}"))),
        };
        Ok(parquet::Settings { codec, level: self.level, row_group: self.row_group })
    }

    /// How the blocks of Avro are written, with `sync` behind each.
    pub(super) fn avro(&self, sync: [u8; 16]) -> Result<avro::Settings> {
        let codec = match self.compression.as_deref() {
            None | Some("deflate") => avro::Codec::Deflate,
            Some("none") => avro::Codec::None,
            Some("snappy") => avro::Codec::Snappy,
            Some("zstd" | "zst") => avro::Codec::Zstd,
            Some(word) => {
                let message = format!("Avro cannot be written with {word:?}");
                return Err(usage(message).with_hint("use deflate, snappy, zstd or none"));
            }
        };
        Ok(avro::Settings { codec, level: self.level, sync })
    }

    /// How the buffers of Arrow IPC are written.
    pub(super) fn ipc(&self) -> Result<ipc::Codec> {
        match self.compression.as_deref() {
            None | Some("none") => Ok(ipc::Codec::None),
            Some("zstd" | "zst") => Ok(ipc::Codec::Zstd),
            Some("lz4") => Ok(ipc::Codec::Lz4),
            Some(word) => Err(usage(format!("Arrow IPC cannot be written with {word:?}")).with_hint("use zstd or lz4")),
        }
    }
}

const USE_CODEC: &str = "use none, gz, zstd, bz2, xz, lz4, snappy, hadoop-snappy or zip";

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

fn parse_compression(word: &str) -> Result<()> {
    match word {
        "none" | "deflate" => Ok(()),
        word if Compression::named(word).is_some() => Ok(()),
        _ => Err(usage(format!("there is no compression {word:?}")).with_hint(USE_CODEC)),
    }
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

fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message)
}

/// `path` if it names no glob, or a file of just this name exists.
pub(super) fn literal_path(path: &str) -> Option<PathBuf> {
    let literal = PathBuf::from(path);
    let globbing = path.contains(['*', '?', '[']);
    (!globbing || literal.symlink_metadata().is_ok()).then_some(literal)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_delimiter_that_is_named_holds_in_every_format() {
        let separated = |options: Json, format: Format| {
            let schema = arrow::datatypes::Schema::new(vec![
                arrow::datatypes::Field::new("a", arrow::datatypes::DataType::Utf8, true),
                arrow::datatypes::Field::new("b", arrow::datatypes::DataType::Utf8, true),
            ]);
            let records = Config::parse(&options).unwrap().records(format).unwrap();
            String::from_utf8(records.header(&Arc::new(schema)).unwrap()).unwrap()
        };
        assert_eq!(separated(json!({"url": "t"}), Format::Tsv), "a\tb\n");
        assert_eq!(separated(json!({"url": "t", "delimiter": ","}), Format::Tsv), "a,b\n");
        assert_eq!(separated(json!({"url": "t", "format": "tsv", "delimiter": ","}), Format::Tsv), "a,b\n");
        assert_eq!(separated(json!({"url": "t"}), Format::Csv), "a,b\n");
        let config = Config::parse(&json!({"url": "t", "null": "-"})).unwrap();
        assert_eq!(config.check(Format::Parquet).unwrap_err().kind(), ErrorKind::Usage);
        assert!(config.check(Format::Tsv).is_ok() && config.check(Format::Xlsx).is_ok());
        let sheet = Config::parse(&json!({"url": "t", "sheet": 2, "range": "A:F", "header": false})).unwrap();
        assert_eq!(sheet.sheets().sheet.as_deref(), Some("2"));
        assert!(sheet.check(Format::Xls).is_ok());
        assert_eq!(
            sheet.check(Format::Csv).unwrap_err().message(),
            "the option sheet is for workbooks, and this is CSV"
        );
        assert_eq!(sheet.workbook(Format::Ods).unwrap_err().kind(), ErrorKind::Unsupported);
        let encoded = Config::parse(&json!({"url": "t", "encoding": "gbk"})).unwrap();
        assert!(encoded.check(Format::Jsonl).is_ok() && encoded.check(Format::Parquet).is_err());
        assert!(encoded.check(Format::Xlsx).is_err());
    }

    #[test]
    fn options_are_checked() {
        let parse = |options: Json| Config::parse(&options).map_err(|error| error.kind());
        assert_eq!(parse(json!({"url": "file:///tmp/a%20b.csv"})).unwrap().place, Place::Path("/tmp/a b.csv".into()));
        assert_eq!(parse(json!({"url": "-", "fileBytes": "16 MB"})).unwrap().file_bytes, 16_000_000);
        for wrong in [
            json!({"url": ""}),
            json!({"url": "a", "nonsense": 1}),
            json!({"url": "a", "format": "xml"}),
            json!({"url": "a", "compression": "rar"}),
            json!({"url": "a", "delimiter": "ab"}),
            json!({"url": "a", "fileBytes": "many"}),
            json!({"url": "a", "encoding": "klingon"}),
            json!({"url": "a", "dateFormat": "yyyy-QQ"}),
            json!({"url": "a", "casts": {"d": "int('yyyy-MM-dd')"}}),
            json!({"url": "a", "comment": "//"}),
        ] {
            assert_eq!(parse(wrong.clone()).unwrap_err(), ErrorKind::Usage, "{wrong}");
        }
    }
}
