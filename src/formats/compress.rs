//! Compression around whole files: told by their first bytes, read as a stream, written in pieces.
//!
//! A written file is a row of complete members or frames, so that compressing goes in parallel and files are joined byte by
//! byte; a zip file alone has a frame of its own around them. Parquet, Avro and Arrow IPC compress inside themselves and do
//! not come here when written.

mod hadoop;
mod pack;
mod zip;

use std::fmt;
use std::io::{self, BufRead, Read};

use serde::{Deserialize, Serialize};

use super::extension::COMPRESSIONS;
use crate::error::{Error, ErrorKind, Result};

pub use pack::{Packed, Packer};

/// Raw bytes that are worth a gzip member or zstd frame of their own.
pub const FRAME_BYTES: usize = 4 << 20;

const BUFFER_BYTES: usize = 256 << 10;

/// The largest window of a zstd frame, as `zstd --long=31` writes it. Memory for it is taken only when a frame asks.
const WINDOW_LOG_MAX: u32 = 31;

/// Memory that an xz stream may ask for: several times what `xz -9` makes.
const XZ_MEMORY_KIB: u32 = 512 << 10;

/// What a framed snappy stream begins with.
const SNAPPY_MAGIC: &[u8; 10] = b"\xff\x06\x00\x00sNaPpY";

/// How a whole file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, RFC 1952; several members make one file.
    Gzip,
    /// Zstandard, RFC 8878; several frames make one file.
    Zstd,
    /// bzip2; several streams make one file.
    Bzip2,
    /// xz; several streams make one file.
    Xz,
    /// lz4 in frames; several make one file.
    Lz4,
    /// Snappy in its framing format; several streams make one file.
    Snappy,
    /// Snappy in the blocks of Hadoop; several files make one.
    HadoopSnappy,
    /// A zip file with one member.
    Zip,
}

impl Compression {
    /// What the first bytes of a file say.
    pub fn detect(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip,
            // A plain frame, or a skippable one in front of it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            // The first block, or the end of a stream without one.
            [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', b'S', b'Y', ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Lz4,
            head if head.starts_with(SNAPPY_MAGIC) => Self::Snappy,
            head if head.starts_with(zip::MEMBER) || head.starts_with(zip::END) => Self::Zip,
            _ => Self::None,
        }
    }

    /// Its name in messages.
    pub fn title(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Gzip => "gzip",
            Self::Zstd => "Zstandard",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
            Self::Snappy => "snappy",
            Self::HadoopSnappy => "Hadoop's snappy",
            Self::Zip => "zip",
        }
    }

    /// What a word of the user names. No extension names the blocks of Hadoop, whose files are called as framed ones are.
    pub fn named(word: &str) -> Option<Self> {
        if word == "hadoop-snappy" { Some(Self::HadoopSnappy) } else { Self::of_extension(word) }
    }

    /// What the last extension of a file name says.
    pub fn of_extension(extension: &str) -> Option<Self> {
        COMPRESSIONS.iter().find(|(known, _)| extension.eq_ignore_ascii_case(known)).map(|(_, found)| *found)
    }

    /// The extension, with its dot; empty for none.
    pub fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
            Self::Bzip2 => ".bz2",
            Self::Xz => ".xz",
            Self::Lz4 => ".lz4",
            Self::Snappy => ".sz",
            Self::HadoopSnappy => ".snappy",
            Self::Zip => ".zip",
        }
    }

    /// Whether [`Compression::detect`] tells files of it.
    pub fn is_seen(self) -> bool {
        !matches!(self, Self::None | Self::HadoopSnappy)
    }

    /// Whether files of it are joined byte by byte, and rows added behind the last one.
    pub fn is_joinable(self) -> bool {
        self != Self::Zip
    }
}

/// The plain bytes of `inner`. Errors of the reader go through [`damage`].
pub fn reader<R: Read + Send + 'static>(compression: Compression, inner: R) -> Result<Box<dyn Read + Send>> {
    let buffered = io::BufReader::with_capacity(BUFFER_BYTES, inner);
    Ok(match compression {
        Compression::None => Box::new(buffered),
        Compression::Gzip => Box::new(Whole(Members(next_member(buffered)?))),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(buffered)?;
            decoder.window_log_max(WINDOW_LOG_MAX)?;
            Box::new(Whole(decoder))
        }
        Compression::Bzip2 => Box::new(Whole(bzip2::bufread::MultiBzDecoder::new(buffered))),
        Compression::Xz => Box::new(Whole(lzma_rust2::XzReader::new_mem_limit(buffered, true, XZ_MEMORY_KIB))),
        Compression::Lz4 => Box::new(Whole(Frames::new(buffered))),
        Compression::Snappy => Box::new(Whole(snap::read::FrameDecoder::new(buffered))),
        Compression::HadoopSnappy => Box::new(Whole(hadoop::Blocks::new(buffered))),
        Compression::Zip => Box::new(Whole(zip::Member::new(buffered))),
    })
}

/// The frames of an lz4 file, one after the other; none when all are read. Each has a decoder of its own: one for all would
/// keep the size of blocks that the first of them had.
struct Frames<R: Read>(Option<lz4_flex::frame::FrameDecoder<Ending<R>>>);

/// Notes when its end was met.
struct Ending<R> {
    inner: R,
    met: bool,
}

impl<R: Read> Read for Ending<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(buffer)?;
        self.met |= bytes == 0 && !buffer.is_empty();
        Ok(bytes)
    }
}

impl<R: BufRead> Frames<R> {
    fn new(inner: R) -> Self {
        Self(Some(lz4_flex::frame::FrameDecoder::new(Ending { inner, met: false })))
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(frame) = self.0.as_mut() {
            let bytes = frame.read(buffer)?;
            if bytes > 0 || buffer.is_empty() {
                return Ok(bytes);
            }
            // The decoder takes the end of a file that was cut before a block for the end of the frame.
            if frame.get_ref().met {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(ended) = self.0.take() {
                let mut inner = ended.into_inner().inner;
                if !inner.fill_buf()?.is_empty() {
                    *self = Self::new(inner);
                }
            }
        }
        Ok(0)
    }
}

/// The members of a gzip file, one after the other; none when all are read.
struct Members<R>(Option<flate2::bufread::GzDecoder<R>>);

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = self.0.as_mut() {
            let bytes = member.read(buffer)?;
            if bytes > 0 || buffer.is_empty() {
                return Ok(bytes);
            }
            if let Some(ended) = self.0.take() {
                self.0 = next_member(ended.into_inner())?;
            }
        }
        Ok(0)
    }
}

/// The member that begins next. Zeros before it, or before the end, are padding of tapes and block devices.
fn next_member<R: BufRead>(mut inner: R) -> io::Result<Option<flate2::bufread::GzDecoder<R>>> {
    loop {
        let bytes = inner.fill_buf()?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let more = zeros < bytes.len();
        inner.consume(zeros);
        if more {
            return Ok(Some(flate2::bufread::GzDecoder::new(inner)));
        }
    }
}

/// Data that end too early as an error of their own: readers of Arrow take an unexpected end for the end of a stream.
struct Whole<R>(R);

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            // That of xz takes an empty read for the end of a block.
            return Ok(0);
        }
        self.0.read(buffer).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::new(io::ErrorKind::InvalidData, EndsEarly),
            _ => source,
        })
    }
}

/// Compressed data are cut off.
#[derive(Debug)]
struct EndsEarly;

impl fmt::Display for EndsEarly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unexpected end of the compressed data")
    }
}

impl std::error::Error for EndsEarly {}

/// What an error of a [`reader`] means: damage of the data, unless the system or a reader of ours said what it is.
pub fn damage(source: io::Error) -> Error {
    if source.raw_os_error().is_some() {
        return source.into();
    }
    let source = match source.downcast::<Error>() {
        Ok(told) => return told,
        Err(source) => source,
    };
    if source.kind() == io::ErrorKind::OutOfMemory {
        let message = "the compressed data ask for more memory than may be had for it";
        return Error::new(ErrorKind::Resource, message).with_hint("compress the file anew, at a usual level");
    }
    let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<EndsEarly>());
    let cut = source.kind() == io::ErrorKind::UnexpectedEof || inner.is_some();
    let message = if cut { "the compressed data end too early" } else { "the compressed data are damaged" };
    Error::new(ErrorKind::Corrupt, message).with_hint("get the file anew from where it came from").with_source(source)
}

#[cfg(test)]
mod tests;
