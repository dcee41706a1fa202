//! Writing: the columns of a row group are encoded side by side, then put into the file one after the other.

use std::io::Write;
use std::sync::Arc;

use ::parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriter, ArrowWriterOptions, compute_leaves,
};
use ::parquet::basic::{Compression, GzipLevel, ZstdLevel};
use ::parquet::file::metadata::SortingColumn;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::SchemaDescriptor;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{FieldRef, SchemaRef};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Dictionaries, damage, types};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::batch_bytes;

/// Arrow bytes of a row group per encoded byte, at most: keeps row groups small for those who decode them.
const DECODED_RATIO: usize = 8;

/// Bytes of one column of a row group from which on a dictionary is worth its own memory, some 80 kB before the first
/// value. Of a thousand columns each has fewer.
const DICTIONARY_BYTES: usize = 128 << 10;

/// Bytes of a row from which on it stands in a row group of long rows, whose values go through a column writer as they are: a
/// dictionary, and the least and the greatest value of a page, would keep three more copies of each.
const LONG_ROW_BYTES: usize = 4 << 20;

/// Bytes of a page of long rows from which on the next one begins: one of 2 GiB cannot be written.
const LONG_PAGE_BYTES: usize = 1 << 30;

/// A row group of long rows ends at this part of the usual bytes: what was encoded is not to wait for one more row.
const LONG_ROWS_SHARE: usize = 4;

/// How pages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Codec {
    /// Not at all.
    None,
    /// Snappy.
    Snappy,
    /// Zstandard.
    Zstd,
    /// gzip.
    Gzip,
}

/// When a row group is closed: at the first batch that reaches one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RowGroupLimit {
    /// Rows.
    pub rows: usize,
    /// Bytes held while it is built.
    pub bytes: usize,
}

/// How a file is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// How pages are compressed.
    pub codec: Codec,
    /// With which effort; none is that of the codec.
    pub level: Option<i32>,
    /// When a row group is closed.
    pub row_group: RowGroupLimit,
}

impl Settings {
    fn properties(&self, columns: usize) -> Result<WriterPropertiesBuilder> {
        let refused =
            |source| Error::new(ErrorKind::Usage, "this compression level is not possible").with_source(source);
        let compression = match (self.codec, self.level) {
            (Codec::None, _) => Compression::UNCOMPRESSED,
            (Codec::Snappy, _) => Compression::SNAPPY,
            (Codec::Zstd, level) => Compression::ZSTD(ZstdLevel::try_new(level.unwrap_or(1)).map_err(refused)?),
            (Codec::Gzip, level) => {
                let level = u32::try_from(level.unwrap_or(6)).unwrap_or(u32::MAX);
                Compression::GZIP(GzipLevel::try_new(level).map_err(refused)?)
            }
        };
        let sorting: Option<Vec<SortingColumn>> = None;
        Ok(WriterProperties::builder()
            .set_compression(compression)
            .set_dictionary_enabled(self.row_group.bytes / columns.max(1) >= DICTIONARY_BYTES)
            .set_created_by(concat!("arrow-etl ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_sorting_columns(sorting))
    }
}

/// Opens the writer of a file of `schema`, in the Parquet schema `layout` where one is given.
pub(super) fn open<W: Write + Send>(
    out: W,
    schema: &SchemaRef,
    settings: &Settings,
    layout: Option<SchemaDescriptor>,
) -> Result<(SerializedFileWriter<W>, ArrowRowGroupWriterFactory)> {
    let layout = layout.map_or_else(|| types::parquet_schema(schema), Ok)?;
    let options = ArrowWriterOptions::new()
        .with_properties(settings.properties(layout.num_columns())?.build())
        .with_parquet_schema(layout);
    let writer = ArrowWriter::try_new_with_options(out, Arc::clone(schema), options).map_err(damage)?;
    writer.into_serialized_writer().map_err(damage)
}

/// What opens the columns of row groups with `properties` of a file of `schema`, in the Parquet schema `layout`.
fn factory_with(
    layout: &SchemaDescriptor,
    schema: &SchemaRef,
    properties: WriterPropertiesBuilder,
) -> Result<ArrowRowGroupWriterFactory> {
    let model = SerializedFileWriter::new(std::io::sink(), layout.root_schema_ptr(), Arc::new(properties.build()));
    Ok(ArrowRowGroupWriterFactory::new(&model.map_err(damage)?, Arc::clone(schema)))
}

/// Makes one file. [`encode`](Self::encode) and [`close_group`](Self::close_group) are processor work, the rest I/O.
pub struct Encoder<W: Write + Send> {
    schema: SchemaRef,
    settings: Settings,
    dictionaries: Dictionaries,
    /// The leaves that `factory` gives no dictionary.
    left_out: Vec<usize>,
    factory: ArrowRowGroupWriterFactory,
    /// Makes the columns of a row group of long rows.
    long: ArrowRowGroupWriterFactory,
    file: SerializedFileWriter<W>,
    /// Empty before the first row of a row group.
    columns: Vec<Column>,
    /// Whether the rows of the row group are long.
    long_rows: bool,
    rows: usize,
    decoded_bytes: usize,
    groups: usize,
    /// Row groups that are to be written.
    closed: Vec<Vec<ArrowColumnChunk>>,
}

/// The leaf writers of one top-level column.
struct Column {
    field: FieldRef,
    leaves: Vec<ArrowColumnWriter>,
}

impl<W: Write + Send> std::fmt::Debug for Encoder<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("schema", &self.schema).field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl<W: Write + Send> Encoder<W> {
    /// An encoder of a file of `schema`, in the Parquet schema `layout` where one is given. Writes the magic.
    pub fn new(out: W, schema: &SchemaRef, settings: &Settings, layout: Option<SchemaDescriptor>) -> Result<Self> {
        let (file, factory) = open(out, schema, settings, layout)?;
        let plain = settings.properties(file.schema_descr().num_columns())?;
        // A page is made when the row group is closed, where the arrays that it is made of are gone.
        let plain = plain
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_data_page_size_limit(LONG_PAGE_BYTES);
        let long = factory_with(file.schema_descr(), schema, plain)?;
        // A type that cannot be written shows here, not in the midst of the rows.
        long.create_column_writers(0).map_err(unsupported)?;
        Ok(Self {
            schema: Arc::clone(schema),
            settings: settings.clone(),
            dictionaries: Dictionaries::default(),
            left_out: Vec::new(),
            factory,
            long,
            file,
            columns: Vec::new(),
            long_rows: false,
            rows: 0,
            decoded_bytes: 0,
            groups: 0,
            closed: Vec::new(),
        })
    }

    /// Goes by what `dictionaries` has learned, and adds to it.
    #[must_use]
    pub fn with_dictionaries(self, dictionaries: Dictionaries) -> Self {
        Self { dictionaries, ..self }
    }

    /// Encodes the rows of `batches`, every column on its own thread. True: the row group is full, close it.
    pub fn encode(&mut self, batches: &[RecordBatch]) -> Result<bool> {
        let rows = batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        let bytes = batches.iter().map(batch_bytes).sum::<usize>();
        let limit = self.settings.row_group;
        let long_group_bytes = limit.bytes / LONG_ROWS_SHARE;
        let long_row_bytes = LONG_ROW_BYTES.min(long_group_bytes);
        let long_rows = batches.iter().any(|batch| has_row_of(batch, long_row_bytes));
        if long_rows && !self.long_rows {
            // They go into a row group of their own.
            self.close_group()?;
        }
        if self.columns.is_empty() {
            self.long_rows = long_rows;
            if !self.long_rows {
                self.choose_dictionaries()?;
            }
            self.columns = self.open_columns(if self.long_rows { &self.long } else { &self.factory })?;
        }
        self.columns
            .par_iter_mut()
            .enumerate()
            .try_for_each(|(index, column)| batches.iter().try_for_each(|batch| column.encode(batch.column(index))))?;
        self.rows += rows;
        self.decoded_bytes += bytes;
        let held: usize = self.columns.iter().map(Column::memory_size).sum();
        if self.long_rows && held >= long_group_bytes {
            return Ok(true);
        }
        Ok(self.rows >= limit.rows
            || held >= limit.bytes
            || self.decoded_bytes >= limit.bytes.saturating_mul(DECODED_RATIO))
    }

    /// Compresses what is left of the row group. Nothing happens without rows.
    pub fn close_group(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let columns = std::mem::take(&mut self.columns);
        let chunks = columns.into_par_iter().map(Column::close).collect::<Result<Vec<_>>>()?;
        let chunks: Vec<_> = chunks.into_iter().flatten().collect();
        if !self.long_rows {
            self.dictionaries.learn(chunks.iter().map(|chunk| &chunk.close().metadata));
        }
        self.closed.push(chunks);
        self.groups += 1;
        (self.rows, self.decoded_bytes, self.long_rows) = (0, 0, false);
        Ok(())
    }

    /// Writes the row groups that were closed. Blocks.
    pub fn write_groups(&mut self) -> Result<()> {
        for chunks in self.closed.drain(..) {
            let mut group = self.file.next_row_group().map_err(output)?;
            for chunk in chunks {
                chunk.append_to_row_group(&mut group).map_err(output)?;
            }
            group.close().map_err(output)?;
        }
        Ok(())
    }

    /// Bytes written so far.
    pub fn bytes_written(&self) -> u64 {
        self.file.bytes_written() as u64
    }

    /// Writes the footer after the last row group. Blocks.
    pub fn finish(self) -> Result<W> {
        self.file.into_inner().map_err(output)
    }

    /// Sees to it that the columns of the row group that begins have the dictionaries that are good for them.
    fn choose_dictionaries(&mut self) -> Result<()> {
        // Values that are not compressed would stay large where later ones are alike.
        if self.settings.codec == Codec::None {
            return Ok(());
        }
        let layout = self.file.schema_descr();
        let left_out = self.dictionaries.left_out(layout.num_columns());
        if left_out != self.left_out {
            let properties = self.settings.properties(layout.num_columns())?;
            let properties = left_out.iter().fold(properties, |properties, leaf| {
                properties.set_column_dictionary_enabled(layout.column(*leaf).path().clone(), false)
            });
            self.factory = factory_with(layout, &self.schema, properties)?;
            self.left_out = left_out;
        }
        Ok(())
    }

    fn open_columns(&self, factory: &ArrowRowGroupWriterFactory) -> Result<Vec<Column>> {
        let mut writers = factory.create_column_writers(self.groups).map_err(unsupported)?.into_iter();
        let layout = self.file.schema_descr();
        let mut counts = vec![0; self.schema.fields().len()];
        for leaf in 0..layout.num_columns() {
            counts[layout.get_column_root_idx(leaf)] += 1;
        }
        let column = |(field, count): (&FieldRef, usize)| Column {
            field: Arc::clone(field),
            leaves: writers.by_ref().take(count).collect(),
        };
        Ok(self.schema.fields().iter().zip(counts).map(column).collect())
    }
}

impl Column {
    fn encode(&mut self, array: &ArrayRef) -> Result<()> {
        let leaves = compute_leaves(&self.field, array).map_err(|error| self.refused(error))?;
        for (writer, leaf) in self.leaves.iter_mut().zip(&leaves) {
            writer.write(leaf).map_err(|source| {
                Error::new(ErrorKind::Unsupported, "Parquet cannot hold this column")
                    .with_source(source)
                    .at("column", self.field.name())
            })?;
        }
        Ok(())
    }

    fn close(self) -> Result<Vec<ArrowColumnChunk>> {
        let field = self.field;
        let close =
            |writer: ArrowColumnWriter| writer.close().map_err(|error| output(error).at("column", field.name()));
        self.leaves.into_iter().map(close).collect()
    }

    fn memory_size(&self) -> usize {
        self.leaves.iter().map(ArrowColumnWriter::memory_size).sum()
    }

    fn refused(&self, source: ::parquet::errors::ParquetError) -> Error {
        unsupported(source).at("column", self.field.name())
    }
}

/// Whether a row has so many bytes. Looks closely only where one may.
fn has_row_of(batch: &RecordBatch, bytes: usize) -> bool {
    let rows = batch.num_rows();
    if rows == 0 || batch_bytes(batch) < bytes {
        return false;
    }
    let half = rows / 2;
    rows == 1 || has_row_of(&batch.slice(0, half), bytes) || has_row_of(&batch.slice(half, rows - half), bytes)
}

fn unsupported(source: ::parquet::errors::ParquetError) -> Error {
    Error::new(ErrorKind::Unsupported, "Parquet cannot hold this column").with_source(source)
}

/// An error while writing: what the system reported, else a defect, since what is written is ours.
pub(super) fn output(source: ::parquet::errors::ParquetError) -> Error {
    match source {
        ::parquet::errors::ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(io) => (*io).into(),
            Err(other) => Error::new(ErrorKind::Io, "writing Parquet failed").with_source(other),
        },
        source => Error::new(ErrorKind::Io, "writing Parquet failed").with_source(source),
    }
}
