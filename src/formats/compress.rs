//! gzip and zstd around whole files: told by their first bytes, read as a stream, written as members and frames.
//!
//! What is written is a row of complete gzip members or zstd frames, so that compressing goes in parallel and files
//! are joined byte by byte. Parquet and Arrow IPC compress inside themselves and do not come here when written.

use std::fmt;
use std::io::{self, BufRead, Read, Write as _};

use serde::{Deserialize, Serialize};

use super::extension::COMPRESSIONS;
use crate::error::{Error, ErrorKind, Result};

/// Raw bytes that are worth a gzip member or zstd frame of their own.
pub const FRAME_BYTES: usize = 4 << 20;

/// Bytes that [`Compression::detect`] looks at.
pub const MAGIC_BYTES: usize = 4;

const BUFFER_BYTES: usize = 256 << 10;

/// The largest window of a zstd frame, as `zstd --long=31` writes it. Memory for it is taken only when a frame asks.
const WINDOW_LOG_MAX: u32 = 31;

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
}

impl Compression {
    /// What the first bytes of a file say.
    pub fn detect(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip,
            // A plain frame, or a skippable one in front of it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
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
        }
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
    })
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

/// What an error of a [`reader`] means: damage of the data, unless the system reported it.
pub fn damage(source: io::Error) -> Error {
    if source.raw_os_error().is_some() {
        return source.into();
    }
    let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<EndsEarly>());
    let cut = source.kind() == io::ErrorKind::UnexpectedEof || inner.is_some();
    let message = if cut { "the compressed data end too early" } else { "the compressed data are damaged" };
    Error::new(ErrorKind::Corrupt, message).with_hint("get the file anew from where it came from").with_source(source)
}

/// `bytes` as one gzip member or zstd frame; as they are without compression.
pub fn frame(compression: Compression, level: Option<i32>, bytes: Vec<u8>) -> Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(bytes),
        Compression::Gzip => {
            let level = flate2::Compression::new(level.unwrap_or(6).clamp(0, 9) as u32);
            let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(bytes.len() / 3), level);
            encoder.write_all(&bytes)?;
            Ok(encoder.finish()?)
        }
        Compression::Zstd => Ok(zstd::bulk::compress(&bytes, level.unwrap_or(1))?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(compression: Compression, bytes: Vec<u8>) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        reader(compression, std::io::Cursor::new(bytes))?.read_to_end(&mut out).map_err(damage)?;
        Ok(out)
    }

    #[test]
    fn frames_follow_each_other_and_are_told_by_their_first_bytes() {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let mut bytes = frame(compression, None, b"one,".to_vec()).unwrap();
            bytes.extend(frame(compression, Some(3), b"two".to_vec()).unwrap());
            assert_eq!(Compression::detect(&bytes), compression);
            assert_eq!(plain(compression, bytes).unwrap(), b"one,two");
        }
    }

    #[test]
    fn zeros_behind_a_gzip_member_are_padding_and_other_bytes_are_damage() {
        let one = frame(Compression::Gzip, None, b"one,".to_vec()).unwrap();
        let two = frame(Compression::Gzip, None, b"two".to_vec()).unwrap();
        let zeros = vec![0; 2 * BUFFER_BYTES];
        let padded = [one.as_slice(), &zeros, &two, &[0; 3]].concat();
        assert_eq!(plain(Compression::Gzip, padded).unwrap(), b"one,two");
        let followed = [one.as_slice(), b"words"].concat();
        assert_eq!(plain(Compression::Gzip, followed).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn zstd_windows_may_be_as_long_as_the_program_makes_them() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(28).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(b"far and wide").unwrap();
        assert_eq!(plain(Compression::Zstd, encoder.finish().unwrap()).unwrap(), b"far and wide");
    }

    #[test]
    fn an_end_too_early_is_no_unexpected_end_of_file() {
        let whole = frame(Compression::Gzip, None, vec![7; 100_000]).unwrap();
        let mut reader = reader(Compression::Gzip, std::io::Cursor::new(whole[..whole.len() - 9].to_vec())).unwrap();
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_cut_or_changed_stream_is_damage() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let text: Vec<u8> = (0..50_000u32).flat_map(u32::to_le_bytes).collect();
            let whole = frame(compression, None, text).unwrap();
            for cut in [whole.len() - 1, whole.len() / 2, 12] {
                let error = plain(compression, whole[..cut].to_vec()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                assert_eq!(error.message(), "the compressed data end too early", "{compression:?} cut at {cut}");
            }
        }
        let mut changed = frame(Compression::Gzip, None, vec![7; 100_000]).unwrap();
        let last = changed.len() - 6;
        changed[last] ^= 0xff;
        assert_eq!(plain(Compression::Gzip, changed).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
