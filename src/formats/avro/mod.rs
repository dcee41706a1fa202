//! Avro object container files: blocks of records to batches, batches to blocks.
//!
//! Works on a [`ChunkReader`](::parquet::file::reader::ChunkReader) and bytes handed in, opens nothing. `schema` is what a
//! header says of types, `types` what is said of them in headers of our own, `file` finds blocks, `read` and `write` go
//! over blocks, `decode` and `encode` over records. A record is decoded against the schema of its file alone: every length, branch and
//! symbol is looked at, every block must be used up and end with the marker of its file, so damage is an error and never
//! other rows.
//!
//! Source of all rules: the Avro 1.12 specification.

mod codec;
mod cursor;
mod decode;
mod encode;
mod file;
mod read;
mod schema;
mod skip;
mod types;
mod union;
mod write;

#[cfg(test)]
mod tests;

use crate::error::{Error, ErrorKind};

pub use codec::Codec;
pub use file::{File, Segment};
pub use read::{Reader, Wanted};
pub use types::held;
pub use write::{Encoder, Settings};

/// First bytes of an Avro file.
pub const MAGIC: &[u8] = b"Obj\x01";

/// Bytes of the marker behind every block.
const SYNC_BYTES: usize = 16;

/// Bytes that a block may take once it is decompressed, and that the values of a batch may take.
const BLOCK_BYTES: usize = 1 << 30;

fn damaged() -> Error {
    Error::new(ErrorKind::Corrupt, "the Avro data are damaged")
}

fn cut_off() -> Error {
    Error::new(ErrorKind::Corrupt, "the Avro data end too early").with_hint("get the file anew from where it came from")
}

fn too_large(what: &str) -> Error {
    Error::new(ErrorKind::Resource, format!("{what} of the Avro file takes more than {BLOCK_BYTES} bytes of memory"))
}
