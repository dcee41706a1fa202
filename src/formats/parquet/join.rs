//! Joining: the row groups of several files in one, their column chunks copied without decoding.

use std::io::Write;
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use ::parquet::column::writer::ColumnCloseResult;
use ::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use ::parquet::file::reader::ChunkReader;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::SchemaDescriptor;
use arrow::datatypes::SchemaRef;

use super::write::{Settings, open, output};
use super::{File, damage};
use crate::error::{Error, ErrorKind, Result};

/// Makes one file of the row groups of others, which all have its Parquet schema. All of it is I/O.
pub struct Joiner<W: Write + Send> {
    file: SerializedFileWriter<W>,
}

impl<W: Write + Send> std::fmt::Debug for Joiner<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Joiner").finish_non_exhaustive()
    }
}

impl<W: Write + Send> Joiner<W> {
    /// A joiner into a file of `schema`, in the Parquet schema `layout` where one is given.
    pub fn new(out: W, schema: &SchemaRef, settings: &Settings, layout: Option<SchemaDescriptor>) -> Result<Self> {
        Ok(Self { file: open(out, schema, settings, layout)?.0 })
    }

    /// Copies all row groups of `part`.
    ///
    /// # Errors
    /// [`Schema`](ErrorKind::Schema) when its columns are laid out differently.
    pub fn append<R: ChunkReader>(&mut self, part: &R) -> Result<()> {
        // Page indexes that are damaged or absent are left out; the data do not depend on them.
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load(part, options).map_err(damage)?;
        let metadata = metadata.metadata();
        if !same_layout(self.file.schema_descr(), metadata.file_metadata().schema_descr()) {
            return Err(Error::new(ErrorKind::Schema, "the columns of the files are laid out differently"));
        }
        for index in 0..metadata.num_row_groups() {
            self.append_group(part, metadata, index)?;
        }
        Ok(())
    }

    fn append_group<R: ChunkReader>(&mut self, part: &R, metadata: &ParquetMetaData, index: usize) -> Result<()> {
        let source = metadata.row_group(index);
        let mut group = self.file.next_row_group().map_err(output)?;
        for (leaf, chunk) in source.columns().iter().enumerate() {
            let close = ColumnCloseResult {
                bytes_written: u64::try_from(chunk.compressed_size()).unwrap_or(0),
                rows_written: u64::try_from(source.num_rows()).unwrap_or(0),
                metadata: chunk.clone(),
                bloom_filter: None,
                column_index: metadata.column_index().and_then(|all| all.get(index)?.get(leaf).cloned()),
                offset_index: metadata.offset_index().and_then(|all| all.get(index)?.get(leaf).cloned()),
            };
            group.append_column(part, close).map_err(output)?;
        }
        group.close().map_err(output)?;
        Ok(())
    }

    /// Writes the footer.
    pub fn finish(self) -> Result<W> {
        self.file.into_inner().map_err(output)
    }
}

/// The Parquet schema of `file`, if rows of its Arrow schema can be written in it.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) when the file holds a column in a form that is only read: 96-bit times.
pub fn check_appendable(file: &File, settings: &Settings) -> Result<SchemaDescriptor> {
    let layout = file.layout();
    let refused = |source: Error| {
        Error::new(ErrorKind::Unsupported, "rows cannot be appended to this Parquet file as it is laid out")
            .with_hint("append to a folder of Parquet files, or write the file anew with --mode replace")
            .with_source(source)
    };
    let old = |leaf: usize| layout.column(leaf).physical_type() == ::parquet::basic::Type::INT96;
    if (0..layout.num_columns()).any(old) {
        return Err(refused(Error::new(ErrorKind::Unsupported, "a column holds 96-bit times")));
    }
    super::Encoder::new(std::io::sink(), file.schema(), settings, Some(layout.clone())).map_err(refused)?;
    Ok(layout)
}

impl File {
    /// The file's own Parquet schema.
    pub fn layout(&self) -> SchemaDescriptor {
        SchemaDescriptor::clone(self.parquet_schema())
    }
}

fn same_layout(left: &SchemaDescriptor, right: &SchemaDescriptor) -> bool {
    let columns = |schema: &SchemaDescriptor| schema.root_schema().get_fields().to_vec();
    let (left, right) = (columns(left), columns(right));
    left.len() == right.len() && left.iter().zip(&right).all(|(left, right)| Arc::ptr_eq(left, right) || left == right)
}
