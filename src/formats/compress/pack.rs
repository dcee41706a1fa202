//! Writing: raw bytes to pieces that follow each other in a file.

use std::io::{self, Write as _};

use super::zip::{self, Archive};
use super::{Compression, FRAME_BYTES, SNAPPY_MAGIC, hadoop};
use crate::error::Result;

/// Compresses the pieces of one file. [`Packer::pack`] works on any thread, the rest goes in the order of the file.
#[derive(Debug)]
pub struct Packer {
    compression: Compression,
    level: Option<i32>,
    /// What a zip file has around its pieces.
    archive: Option<Archive>,
}

/// A piece of a file, compressed.
#[derive(Debug)]
pub struct Packed {
    pub(super) bytes: Vec<u8>,
    /// Checksum and number of the raw bytes, for zip.
    pub(super) raw: flate2::Crc,
    pub(super) raw_bytes: u64,
}

impl Packer {
    /// A file of `compression`; `name` is that of the member of a zip file.
    pub fn new(compression: Compression, level: Option<i32>, name: &str) -> Self {
        let archive = (compression == Compression::Zip).then(|| Archive::new(name));
        Self { compression, level, archive }
    }

    /// The bytes before the first piece.
    pub fn start(&self) -> Vec<u8> {
        self.archive.as_ref().map_or_else(Vec::new, Archive::start)
    }

    /// Compresses one piece.
    pub fn pack(&self, bytes: Vec<u8>) -> Result<Packed> {
        let (mut raw, raw_bytes) = (flate2::Crc::new(), bytes.len() as u64);
        if self.archive.is_some() {
            raw.update(&bytes);
        }
        let bytes = frame(self.compression, self.level, bytes)?;
        Ok(Packed { bytes, raw, raw_bytes })
    }

    /// The bytes of the piece that comes next in the file.
    pub fn add(&mut self, piece: Packed) -> Vec<u8> {
        if let Some(archive) = self.archive.as_mut() {
            archive.add(&piece);
        }
        piece.bytes
    }

    /// The bytes after the last piece.
    pub fn end(&mut self) -> Vec<u8> {
        self.archive.as_mut().map_or_else(Vec::new, Archive::end)
    }
}

/// `bytes` as one member, stream or frame; as they are without compression.
fn frame(compression: Compression, level: Option<i32>, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let level_within = |usual: i32, least: i32| level.unwrap_or(usual).clamp(least, 9) as u32;
    match compression {
        Compression::None => Ok(bytes),
        Compression::Gzip => {
            let level = flate2::Compression::new(level_within(6, 0));
            let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(bytes.len() / 3), level);
            encoder.write_all(&bytes)?;
            Ok(encoder.finish()?)
        }
        Compression::Zstd => Ok(zstd::bulk::compress(&bytes, level.unwrap_or(1))?),
        Compression::Bzip2 => {
            let level = bzip2::Compression::new(level_within(9, 1));
            let mut encoder = bzip2::write::BzEncoder::new(Vec::with_capacity(bytes.len() / 3), level);
            encoder.write_all(&bytes)?;
            Ok(encoder.finish()?)
        }
        Compression::Xz => {
            let mut options = lzma_rust2::XzOptions::with_preset(level_within(6, 0));
            // A window beyond the piece would take memory for nothing.
            options.lzma_options.dict_size = options.lzma_options.dict_size.min(FRAME_BYTES as u32);
            let mut encoder = lzma_rust2::XzWriter::new(Vec::with_capacity(bytes.len() / 3), options)?;
            encoder.write_all(&bytes)?;
            Ok(encoder.finish()?)
        }
        Compression::Lz4 => {
            let info = lz4_flex::frame::FrameInfo::new().content_checksum(true);
            let out = Vec::with_capacity(bytes.len() / 2);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, out);
            encoder.write_all(&bytes)?;
            Ok(encoder.finish().map_err(io::Error::from)?)
        }
        Compression::Snappy => {
            let mut out = Vec::with_capacity(bytes.len() / 2);
            {
                let mut encoder = snap::write::FrameEncoder::new(&mut out);
                encoder.write_all(&bytes)?;
                encoder.flush()?;
            }
            if out.is_empty() {
                out.extend_from_slice(SNAPPY_MAGIC);
            }
            Ok(out)
        }
        Compression::HadoopSnappy => Ok(hadoop::blocks(&bytes)?),
        Compression::Zip => zip::piece(level_within(6, 0), &bytes),
    }
}
