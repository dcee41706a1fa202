//! The formats of files, and what file names say of them: the one list of extensions.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::compress::Compression;

/// Every extension that names a format, in lower case and without a dot; the first of each format is the one that
/// written files get.
pub const FORMATS: &[(&str, Format)] = &[
    ("csv", Format::Csv),
    ("tsv", Format::Tsv),
    ("tab", Format::Tsv),
    ("jsonl", Format::Jsonl),
    ("ndjson", Format::Jsonl),
    ("json", Format::Jsonl),
    ("parquet", Format::Parquet),
    ("pq", Format::Parquet),
    ("avro", Format::Avro),
    ("arrow", Format::Arrow),
    ("ipc", Format::Arrow),
    ("feather", Format::Arrow),
    ("arrows", Format::Arrows),
    ("xlsx", Format::Xlsx),
    ("xlsm", Format::Xlsx),
    ("xls", Format::Xls),
    ("ods", Format::Ods),
];

/// Every extension that names a compression around a whole file.
pub const COMPRESSIONS: &[(&str, Compression)] = &[
    ("gz", Compression::Gzip),
    ("gzip", Compression::Gzip),
    ("zst", Compression::Zstd),
    ("zstd", Compression::Zstd),
    ("bz2", Compression::Bzip2),
    ("bzip2", Compression::Bzip2),
    ("xz", Compression::Xz),
    ("lz4", Compression::Lz4),
    ("sz", Compression::Snappy),
    ("snappy", Compression::Snappy),
    ("zip", Compression::Zip),
];

/// What one file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Format {
    /// Records with commas between fields.
    Csv,
    /// Records with tabs between fields.
    Tsv,
    /// One JSON object per line, or one array of objects.
    Jsonl,
    /// Parquet.
    Parquet,
    /// An Avro object container file.
    Avro,
    /// An Arrow IPC file.
    Arrow,
    /// An Arrow IPC stream.
    Arrows,
    /// A sheet of an Excel workbook.
    Xlsx,
    /// A sheet of an Excel workbook from before 2007, which is only read.
    Xls,
    /// A sheet of an `OpenDocument` workbook, which is only read.
    Ods,
}

impl Format {
    /// The format that an extension or a word of the user names.
    pub fn of_extension(word: &str) -> Option<Self> {
        FORMATS.iter().find(|(known, _)| word.eq_ignore_ascii_case(known)).map(|(_, format)| *format)
    }

    /// The extension of files that are written, without a dot.
    pub fn extension(self) -> &'static str {
        FORMATS.iter().find(|(_, format)| *format == self).map_or("", |(extension, _)| *extension)
    }

    /// Its name in messages.
    pub fn title(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Jsonl => "JSON lines",
            Self::Parquet => "Parquet",
            Self::Avro => "Avro",
            Self::Arrow => "Arrow IPC",
            Self::Arrows => "an Arrow IPC stream",
            Self::Xlsx => "an Excel workbook",
            Self::Xls => "an old Excel workbook",
            Self::Ods => "an OpenDocument workbook",
        }
    }

    /// Whether it is text records one after the other.
    pub fn is_records(self) -> bool {
        matches!(self, Self::Csv | Self::Tsv | Self::Jsonl)
    }

    /// Whether it has fields with delimiters between them.
    pub fn is_delimited(self) -> bool {
        matches!(self, Self::Csv | Self::Tsv)
    }

    /// Whether it is a sheet of a workbook.
    pub fn is_workbook(self) -> bool {
        matches!(self, Self::Xlsx | Self::Xls | Self::Ods)
    }

    /// Whether its first row may name the columns.
    pub fn may_have_header(self) -> bool {
        self.is_delimited() || self.is_workbook()
    }

    /// Whether it tells how many rows there are that have no columns.
    pub fn counts_rows(self) -> bool {
        matches!(self, Self::Jsonl | Self::Avro | Self::Arrow | Self::Arrows)
    }

    /// Whether nothing in it tells the types of columns but the values themselves.
    pub fn is_guessed(self) -> bool {
        self.is_records() || self.is_workbook()
    }
}

/// What a file name says by its last extensions: the format, and the compression around it.
pub fn of_path(path: &Path) -> (Option<Format>, Option<Compression>) {
    let extension = |path: &Path| path.extension().and_then(|text| text.to_str()).map(str::to_owned);
    let compression = extension(path).as_deref().and_then(Compression::of_extension);
    let inner = if compression.is_some() { path.with_extension("") } else { path.to_owned() };
    (extension(&inner).as_deref().and_then(Format::of_extension), compression)
}

/// Whether an extension says something of what a file holds, and is no part of its name.
pub fn is_known(extension: &str) -> bool {
    Format::of_extension(extension).is_some() || Compression::of_extension(extension).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_come_from_the_last_extensions() {
        let of = |path: &str| of_path(Path::new(path));
        assert_eq!(of("a.csv"), (Some(Format::Csv), None));
        assert_eq!(of("a.b.JSONL.GZ"), (Some(Format::Jsonl), Some(Compression::Gzip)));
        assert_eq!(of("a.parquet.zst"), (Some(Format::Parquet), Some(Compression::Zstd)));
        assert_eq!(of("a.gz"), (None, Some(Compression::Gzip)));
        assert_eq!(of("a.csv.bz2"), (Some(Format::Csv), Some(Compression::Bzip2)));
        assert_eq!(of("a.tsv.snappy"), (Some(Format::Tsv), Some(Compression::Snappy)));
        assert_eq!(of(".csv"), (None, None));
        assert_eq!(of("data"), (None, None));
        assert_eq!(of("readme.txt"), (None, None));
    }

    #[test]
    fn every_format_has_the_extension_that_names_it() {
        for (word, format) in FORMATS {
            assert_eq!(Format::of_extension(word), Some(*format));
            assert_eq!(Format::of_extension(format.extension()), Some(*format));
            assert!(is_known(word));
        }
        assert!(is_known("ZST") && !is_known("db"));
    }
}
