//! What an endpoint of files is told: its place, format and options. Parsed and validated, nothing opened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::connector::OptionDoc;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::compress::Compression;
use crate::formats::csv::{Csv, CsvOptions};
use crate::formats::json::JsonLines;
use crate::formats::{RecordFormat, Typing, ipc, parquet, value};

/// Every option, in the order of the help.
pub(super) const OPTIONS: &[OptionDoc] = &[
    option("url", "string", "", "a path, a glob, a folder, - for standard input or output, or a file: URL"),
    option("format", "string", "by extension", "csv, tsv, jsonl, parquet, arrow (file) or arrows (stream)"),
    option(
        "compression",
        "string",
        "by extension",
        "none, gz or zstd; within Parquet also snappy; within Arrow also lz4",
    ),
    option("level", "integer", "", "effort of the compression"),
    option("header", "boolean", "true", "whether the first CSV record names the columns"),
    option("delimiter", "string", ",", "the character between CSV fields"),
    option("quote", "string", "\"", "the character around CSV fields; empty for none"),
    option("null", "string", "", "the unquoted CSV text that means NULL"),
    option("casts", "object", "", "column to type: how the text of a column is parsed"),
    option("allStrings", "boolean", "false", "every column of a text file is text"),
    option("fileBytes", "bytes", "256MB", "size of the part files in a target folder"),
    option("rowGroupRows", "integer", "1048576", "rows of a Parquet row group, at most"),
    option("rowGroupBytes", "bytes", "64MB", "memory that a Parquet row group takes while it is built"),
];

const fn option(name: &'static str, kind: &'static str, default: &'static str, meaning: &'static str) -> OptionDoc {
    OptionDoc { name, kind, default, meaning }
}

/// What one file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Format {
    Csv,
    Tsv,
    Jsonl,
    Parquet,
    Arrow,
    Arrows,
}

impl Format {
    /// What the file name says: format and compression by its last extensions.
    pub(super) fn of_path(path: &Path) -> (Option<Self>, Option<Compression>) {
        let extension = |path: &Path| path.extension().and_then(|text| text.to_str()).map(str::to_ascii_lowercase);
        let compression = extension(path).as_deref().and_then(Compression::of_extension);
        let inner = if compression.is_some() { path.with_extension("") } else { path.to_owned() };
        let format = extension(&inner).and_then(|word| Self::of_extension(&word));
        (format, compression)
    }

    fn of_extension(word: &str) -> Option<Self> {
        Some(match word {
            "csv" => Self::Csv,
            "tsv" | "tab" => Self::Tsv,
            "jsonl" | "ndjson" | "json" => Self::Jsonl,
            "parquet" | "pq" => Self::Parquet,
            "arrow" | "ipc" | "feather" => Self::Arrow,
            "arrows" | "stream" => Self::Arrows,
            _ => return None,
        })
    }

    /// The extension of files that are written, without a dot.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Jsonl => "jsonl",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::Arrows => "arrows",
        }
    }

    /// Its name in messages.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Jsonl => "JSON lines",
            Self::Parquet => "Parquet",
            Self::Arrow => "Arrow IPC",
            Self::Arrows => "an Arrow IPC stream",
        }
    }

    /// Whether it is text records one after the other.
    pub(super) fn is_records(self) -> bool {
        matches!(self, Self::Csv | Self::Tsv | Self::Jsonl)
    }
}

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Standard input or output.
    Standard,
    /// A path, folder or glob, as the user wrote it.
    Path(String),
}

/// The options of one endpoint.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) place: Place,
    pub(super) format: Option<Format>,
    pub(super) compression: Option<String>,
    pub(super) level: Option<i32>,
    csv: CsvOptions,
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
    null: Option<String>,
    #[serde(default)]
    casts: BTreeMap<String, String>,
    #[serde(default)]
    all_strings: bool,
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

impl Config {
    /// Parses the options of a locator.
    pub(super) fn parse(options: &Json) -> Result<Self> {
        let raw: Raw = Raw::deserialize(options)
            .map_err(|source| usage("an option of this file is not understood").with_source(source))?;
        let format = raw.format.as_deref().map(parse_format).transpose()?;
        let casts = raw
            .casts
            .iter()
            .map(|(column, text)| Ok(Arc::new(value::parse_type(text).at("column", || column)?.with_name(column))));
        let typing = Typing { all_strings: raw.all_strings, casts: casts.collect::<Result<_>>()? };
        let defaults = CsvOptions::default();
        let csv = CsvOptions {
            header: raw.header.unwrap_or(defaults.header),
            delimiter: match raw.delimiter.as_deref() {
                None if format == Some(Format::Tsv) => b'\t',
                None => defaults.delimiter,
                Some("\\t" | "tab") => b'\t',
                Some(text) => single("delimiter", text)?,
            },
            quote: match raw.quote.as_deref() {
                None => defaults.quote,
                Some("" | "none") => None,
                Some(text) => Some(single("quote", text)?),
            },
            null: raw.null.unwrap_or(defaults.null),
            typing,
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
        let mut options = self.csv.clone();
        if format == Format::Tsv && options.delimiter == b',' {
            options.delimiter = b'\t';
        }
        Ok(Arc::new(Csv::new(options)?))
    }

    /// Whether CSV files have a header.
    pub(super) fn has_header(&self) -> bool {
        self.csv.header
    }

    /// How whole files are compressed when written: the option, else the extension.
    pub(super) fn outer_compression(&self, path: Option<&Path>) -> Result<Compression> {
        let by_name = path.and_then(|path| Format::of_path(path).1).unwrap_or(Compression::None);
        match self.compression.as_deref() {
            None => Ok(by_name),
            Some("none") => Ok(Compression::None),
            Some(word) => Compression::of_extension(word)
                .ok_or_else(|| usage(format!("text files cannot be compressed with {word:?}")).with_hint(USE_CODEC)),
        }
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

const USE_CODEC: &str = "use none, gz or zstd";

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
    Format::of_extension(&word.to_ascii_lowercase()).ok_or_else(|| {
        usage(format!("there is no format {word:?}")).with_hint("use csv, tsv, jsonl, parquet, arrow or arrows")
    })
}

fn parse_compression(word: &str) -> Result<()> {
    match word {
        "none" | "gz" | "gzip" | "zst" | "zstd" | "snappy" | "lz4" => Ok(()),
        _ => Err(usage(format!("there is no compression {word:?}")).with_hint(USE_CODEC)),
    }
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
    fn formats_come_from_the_last_extensions() {
        let of = |path: &str| Format::of_path(Path::new(path));
        assert_eq!(of("a.csv"), (Some(Format::Csv), None));
        assert_eq!(of("a.b.JSONL.GZ"), (Some(Format::Jsonl), Some(Compression::Gzip)));
        assert_eq!(of("a.parquet.zst"), (Some(Format::Parquet), Some(Compression::Zstd)));
        assert_eq!(of("a.gz"), (None, Some(Compression::Gzip)));
        assert_eq!(of(".csv"), (None, None));
        assert_eq!(of("data"), (None, None));
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
        ] {
            assert_eq!(parse(wrong.clone()).unwrap_err(), ErrorKind::Usage, "{wrong}");
        }
    }
}
