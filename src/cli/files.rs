//! How files are read and written, as it is typed. `place` makes options of it.

use clap::Args;

use super::size::Bytes;

/// How text files are read; where SRC is none, how the target file is written.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Files")]
pub(super) struct FileArgs {
    /// Format of SRC: csv, tsv, jsonl, parquet, avro, arrow, arrows, xlsx, xls, ods [default: by extension]
    #[arg(long, value_name = "FORMAT")]
    pub(super) from_format: Option<String>,
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
    /// Character before a quote, and before itself, within quotes [default: quotes are doubled]
    #[arg(long, value_name = "CHAR")]
    pub(super) escape: Option<String>,
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
