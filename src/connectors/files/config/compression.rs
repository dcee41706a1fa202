//! How what is written is compressed: what the option `compression` means to each format.

use std::path::Path;

use super::{Config, usage};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::compress::Compression;
use crate::formats::extension::{self, Format};
use crate::formats::{avro, ipc, parquet, workbook};

const USE_CODEC: &str = "use none, gz, zstd, bz2, xz, lz4, snappy, hadoop-snappy or zip";

impl Config {
    /// How whole files are compressed when written: the option, else the extension.
    pub(in super::super) fn outer_compression(&self, path: Option<&Path>) -> Result<Compression> {
        let by_name = path.and_then(|path| extension::of_path(path).1).unwrap_or(Compression::None);
        match self.compression.as_deref() {
            None => Ok(by_name),
            Some("none") => Ok(Compression::None),
            Some(word) => Compression::named(word)
                .ok_or_else(|| usage(format!("text files cannot be compressed with {word:?}")).with_hint(USE_CODEC)),
        }
    }

    /// The compression that was said, where no file shows that it has it.
    pub(in super::super) fn unseen_compression(&self) -> Compression {
        let said = self.compression.as_deref().and_then(Compression::named);
        said.filter(|said| !said.is_seen()).unwrap_or(Compression::None)
    }

    /// Whether text is read as other programs read it.
    pub(in super::super) fn is_loose(&self) -> bool {
        self.loose.is_some()
    }

    /// Whether it would be read as it is packed by them, since the job names no compression.
    pub(in super::super) fn takes_as_said(&self) -> bool {
        self.is_loose() && self.compression.is_none()
    }

    /// How the pages of Parquet are written.
    pub(in super::super) fn parquet(&self) -> Result<parquet::Settings> {
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
    pub(in super::super) fn avro(&self, sync: [u8; 16]) -> Result<avro::Settings> {
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
    pub(in super::super) fn ipc(&self) -> Result<ipc::Codec> {
        match self.compression.as_deref() {
            None | Some("none") => Ok(ipc::Codec::None),
            Some("zstd" | "zst") => Ok(ipc::Codec::Zstd),
            Some("lz4") => Ok(ipc::Codec::Lz4),
            Some(word) => Err(usage(format!("Arrow IPC cannot be written with {word:?}")).with_hint("use zstd or lz4")),
        }
    }

    /// An error when a text file is compressed in another way than was said.
    pub(in super::super) fn check_compression(&self, found: Compression) -> Result<()> {
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

    /// How a workbook is written.
    pub(in super::super) fn workbook(&self, format: Format) -> Result<workbook::Settings> {
        if format != Format::Xlsx {
            let message = format!("{} is only read", format.title());
            return Err(Error::new(ErrorKind::Unsupported, message).with_hint("write .xlsx"));
        }
        if let Some(word) = self.compression.as_deref().filter(|word| *word != "none") {
            return Err(usage(format!("a workbook cannot be written with {word:?}"))
                .with_hint("leave it out: workbooks are compressed in their own way"));
        }
        let (sheet, sheets) = (self.sheet.clone(), self.sheets.clone());
        let (header, null) = (self.csv.header, self.null.clone());
        Ok(workbook::Settings { sheet, sheets, sheet_rows: self.sheet_rows, header, null })
    }
}

/// An error for a word that no format knows.
pub(super) fn check(word: &str) -> Result<()> {
    match word {
        "none" | "deflate" => Ok(()),
        word if Compression::named(word).is_some() => Ok(()),
        _ => Err(usage(format!("there is no compression {word:?}")).with_hint(USE_CODEC)),
    }
}
