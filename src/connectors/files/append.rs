//! The file that rows are appended to: its columns, and how what comes is written as it is.

use std::fs;
use std::path::PathBuf;

use arrow::datatypes::Schema;

use super::columns::Existing;
use super::config::Config;
use super::input::{self, Footer, Input};
use super::landing::{Encoding, Shape};
use super::leftover::Settled;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::compress::Compression;
use crate::formats::csv::LineEnd;
use crate::formats::{HEADER_BYTES, SAMPLE_BYTES, avro, parquet, plain};

/// A file whose columns new rows must have.
pub(super) fn old_file(config: &Config, shape: &Shape, files: &[Settled]) -> Result<Option<Input>> {
    let path: Option<PathBuf> = match shape {
        Shape::Single(path) if path.exists() => Some(path.clone()),
        // Files that are told by their names need not have the same columns.
        Shape::Folder(_) if config.prefix.is_none() => files.first().map(|file| file.now.clone()),
        _ => None,
    };
    let Some(path) = path else { return Ok(None) };
    if fs::metadata(&path).at("file", || path.display())?.len() == 0 {
        let empty = Error::new(ErrorKind::Schema, "the file is empty, so rows cannot be appended to its columns");
        return Err(empty.at("file", path.display()).with_hint("use --mode replace"));
    }
    input::open(config, &path).map(Some)
}

/// Rows appended to one file are compressed, and their lines ended, as it is.
pub(super) fn continue_file(config: &Config, old: &Input, encoding: &mut Encoding) -> Result<()> {
    let mut its_line_end = LineEnd::default();
    if old.format.is_records() {
        let records = config.records(old.format)?;
        let looked = old.look(HEADER_BYTES, |head, extent| {
            let start = records.start(head, extent)?;
            let end = records.scanner().feed(&head[start.data_start..]).map_or(0, |end| end.offset);
            let line_end = LineEnd::of(&head[..start.data_start + end]);
            Ok((start, line_end))
        });
        let (start, line_end) = looked.at("file", || &old.name)?;
        its_line_end = line_end;
        if !start.extendable {
            let message = "the file is one JSON array, and rows cannot be added behind its end";
            return Err(Error::new(ErrorKind::Unsupported, message)
                .at("file", &old.name)
                .with_hint("write it anew as JSON lines with --mode replace"));
        }
    }
    match encoding {
        Encoding::Workbook(_) => {
            let message = "rows cannot be appended to a workbook";
            return Err(Error::new(ErrorKind::Unsupported, message)
                .at("file", &old.name)
                .with_hint("append to a folder of workbooks, or write the file anew with --mode replace"));
        }
        Encoding::Records { .. } if !old.compression.is_joinable() => {
            let message = format!("rows cannot be added to a file of {}", old.compression.title());
            return Err(Error::new(ErrorKind::Unsupported, message)
                .at("file", &old.name)
                .with_hint("append to a folder of such files, or write the file anew with --mode replace"));
        }
        Encoding::Records { compression, charset, line_end, .. } => {
            (*compression, *charset, *line_end) = (old.compression, old.charset, its_line_end);
        }
        Encoding::Parquet(_) | Encoding::Avro(_) | Encoding::Arrow(_) if old.compression != Compression::None => {
            let message = "rows cannot be appended to a file that is compressed as a whole";
            return Err(Error::new(ErrorKind::Unsupported, message).at("file", &old.name));
        }
        Encoding::Parquet(settings) => {
            if let Footer::Parquet(file) = old.footer().at("file", || &old.name)? {
                parquet::check_appendable(file, settings).at("file", || &old.name)?;
            }
        }
        Encoding::Avro(settings) => {
            if let Footer::Avro(file) = old.footer().at("file", || &old.name)? {
                check_avro(file, settings).at("file", || &old.name)?;
            }
        }
        Encoding::Arrow(_) => {}
    }
    Ok(())
}

/// Whether rows can be written as they stand in `file`.
fn check_avro(file: &avro::File, settings: &avro::Settings) -> Result<()> {
    avro::Encoder::new(file.schema(), settings, Some(file)).map(drop).map_err(|source| {
        Error::new(ErrorKind::Unsupported, "rows cannot be appended to this Avro file as it is laid out")
            .with_hint("append to a folder of Avro files, or write the file anew with --mode replace")
            .with_source(source)
    })
}

/// The columns of `old`, as those that come find theirs.
pub(super) fn existing(config: &Config, old: &Input, incoming: &Schema) -> Result<Existing> {
    let typed = !old.format.is_guessed();
    let schema = if old.format.is_records() {
        let records = config.records(old.format)?;
        old.look(SAMPLE_BYTES, |head, extent| records.infer(head, extent)).at("file", || &old.name)?.schema
    } else {
        super::read::columns_of(old)?.0
    };
    if old.format.may_have_header() && !config.has_header() {
        // Without a header the place of a column is its name.
        let (there, come) = (schema.fields().len(), incoming.fields().len());
        if there != come {
            let message = format!("the file has {there} columns without names, but {come} come");
            return Err(Error::new(ErrorKind::Schema, message).at("file", &old.name));
        }
        return Ok(Existing { schema: plain::schema(incoming)?, typed });
    }
    Ok(Existing { schema, typed })
}
