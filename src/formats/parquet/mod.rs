//! Parquet: row groups to batches, batches to row groups, files joined by their column chunks.
//!
//! Works on a [`ChunkReader`](::parquet::file::reader::ChunkReader) and a [`Write`](std::io::Write) handed in, opens
//! nothing. Columns of one row group are decoded and encoded in parallel on the pool that the caller runs on.

mod again;
mod dictionary;
mod join;
mod pages;
mod read;
mod types;
mod write;

#[cfg(test)]
mod tests;

use ::parquet::errors::ParquetError;

use crate::bridge::guard::guarded;
use crate::error::{Error, ErrorKind, Result};

pub use dictionary::Dictionaries;
pub use join::{Joiner, check_appendable};
pub use read::{Bounds, File, GroupReader, GroupScan, GroupSize};
pub use types::{Fit, fit};
pub use write::{Codec, Encoder, RowGroupLimit, Settings};

/// First and last bytes of a Parquet file.
pub const MAGIC: &[u8] = b"PAR1";

/// What the library takes from a file. It panics at some numbers of a damaged one.
fn taken<T>(work: impl FnOnce() -> ::parquet::errors::Result<T>) -> Result<T> {
    guarded(work).map_err(|panic| damaged().with_source(panic))?.map_err(damage)
}

fn damaged() -> Error {
    Error::new(ErrorKind::Corrupt, "the Parquet data are damaged")
}

/// What an error of the library means: an I/O error keeps its kind, all else is damage of the file.
fn damage(source: ParquetError) -> Error {
    match source {
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(io) => (*io).into(),
            Err(other) => damaged().with_source(other),
        },
        ParquetError::NYI(_) => {
            Error::new(ErrorKind::Unsupported, "this Parquet file uses a feature that cannot be read")
                .with_source(source)
        }
        ParquetError::EOF(_) => Error::new(ErrorKind::Corrupt, "the Parquet data end too early").with_source(source),
        source => damaged().with_source(source),
    }
}
