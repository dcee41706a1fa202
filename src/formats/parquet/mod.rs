//! Parquet: row groups to batches, batches to row groups, files joined by their column chunks.
//!
//! Works on a [`ChunkReader`](::parquet::file::reader::ChunkReader) and a [`Write`](std::io::Write) handed in, opens
//! nothing. Columns of one row group are decoded and encoded in parallel on the pool that the caller runs on.

mod join;
mod pages;
mod read;
mod types;
mod write;

#[cfg(test)]
mod tests;

use ::parquet::errors::ParquetError;

use crate::error::{Error, ErrorKind};

pub use join::{Joiner, check_appendable};
pub use read::{Bounds, File, GroupReader, GroupScan, GroupSize};
pub use types::{Fit, fit};
pub use write::{Codec, Encoder, RowGroupLimit, Settings};

/// First and last bytes of a Parquet file.
pub const MAGIC: &[u8] = b"PAR1";

/// What an error of the library means: an I/O error keeps its kind, all else is damage of the file.
fn damage(source: ParquetError) -> Error {
    match source {
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(io) => (*io).into(),
            Err(other) => Error::new(ErrorKind::Corrupt, "the Parquet data are damaged").with_source(other),
        },
        ParquetError::NYI(_) => {
            Error::new(ErrorKind::Unsupported, "this Parquet file uses a feature that cannot be read")
                .with_source(source)
        }
        ParquetError::EOF(_) => Error::new(ErrorKind::Corrupt, "the Parquet data end too early").with_source(source),
        source => Error::new(ErrorKind::Corrupt, "the Parquet data are damaged").with_source(source),
    }
}
