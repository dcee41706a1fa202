//! How the bytes of a block are compressed.

use std::borrow::Cow;
use std::io::{Read, Write as _};

use serde::{Deserialize, Serialize};

use super::{damaged, too_large};
use crate::error::{Error, ErrorKind, Result};

/// Bytes of the checksum behind a Snappy block.
const CHECKSUM_BYTES: usize = 4;

/// How blocks are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Codec {
    /// Not at all.
    None,
    /// Deflate, which every reader of Avro has.
    Deflate,
    /// Snappy, with a checksum.
    Snappy,
    /// Zstandard.
    Zstd,
}

impl Codec {
    /// Its name in headers.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "null",
            Self::Deflate => "deflate",
            Self::Snappy => "snappy",
            Self::Zstd => "zstandard",
        }
    }

    /// That of a header; none is named in files that are not compressed.
    pub(super) fn of_name(name: Option<&[u8]>) -> Result<Self> {
        let Some(name) = name else { return Ok(Self::None) };
        let known = [Self::None, Self::Deflate, Self::Snappy, Self::Zstd];
        known.into_iter().find(|codec| codec.name().as_bytes() == name).ok_or_else(|| {
            let message = format!("its blocks are compressed with {:?}", String::from_utf8_lossy(name));
            Error::new(ErrorKind::Unsupported, message).with_hint("write it anew with deflate, snappy or zstandard")
        })
    }

    /// The plain bytes of a block.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt); [`Resource`](ErrorKind::Resource) for more than `most` bytes.
    pub(super) fn decompress(self, stored: &[u8], most: usize) -> Result<Cow<'_, [u8]>> {
        let plain = match self {
            Self::None => {
                return if stored.len() > most { Err(too_large("a block")) } else { Ok(stored.into()) };
            }
            Self::Deflate => read(flate2::bufread::DeflateDecoder::new(stored), stored.len(), most)?,
            Self::Zstd => read(zstd::stream::Decoder::with_buffer(stored).map_err(wrong)?, stored.len(), most)?,
            Self::Snappy => snappy(stored, most)?,
        };
        Ok(plain.into())
    }

    /// `plain` as it stands in a file.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for a level that Zstandard does not have.
    pub(super) fn compress(self, level: Option<i32>, plain: Vec<u8>) -> Result<Vec<u8>> {
        match self {
            Self::None => Ok(plain),
            Self::Deflate => {
                let level = flate2::Compression::new(level.unwrap_or(DEFLATE_LEVEL).clamp(0, 9) as u32);
                let mut encoder = flate2::write::DeflateEncoder::new(Vec::with_capacity(plain.len() / 3), level);
                encoder.write_all(&plain)?;
                Ok(encoder.finish()?)
            }
            Self::Zstd => Ok(zstd::bulk::compress(&plain, level.unwrap_or(1))?),
            Self::Snappy => {
                let compressed = snap::raw::Encoder::new().compress_vec(&plain);
                let mut stored = compressed.map_err(|source| too_large("a block").with_source(source))?;
                stored.extend_from_slice(&checksum(&plain).to_be_bytes());
                Ok(stored)
            }
        }
    }
}

/// Between the quickest and the usual one.
const DEFLATE_LEVEL: i32 = 3;

fn read(decoder: impl Read, stored: usize, most: usize) -> Result<Vec<u8>> {
    let mut plain = Vec::with_capacity(stored.saturating_mul(3).min(most));
    decoder.take(most as u64 + 1).read_to_end(&mut plain).map_err(wrong)?;
    if plain.len() > most { Err(too_large("a block")) } else { Ok(plain) }
}

fn snappy(stored: &[u8], most: usize) -> Result<Vec<u8>> {
    let (stored, sum) = stored.split_last_chunk::<CHECKSUM_BYTES>().ok_or_else(damaged)?;
    let length = snap::raw::decompress_len(stored).map_err(|source| damaged().with_source(source))?;
    // A byte of Snappy stands for less than 32.
    if length > most || length / 32 > stored.len() {
        return Err(if length > most { too_large("a block") } else { damaged() });
    }
    let plain = snap::raw::Decoder::new().decompress_vec(stored).map_err(|source| damaged().with_source(source))?;
    if checksum(&plain) == u32::from_be_bytes(*sum) { Ok(plain) } else { Err(damaged()) }
}

fn checksum(plain: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(plain);
    sum.sum()
}

fn wrong(source: std::io::Error) -> Error {
    damaged().with_source(source)
}
