//! Zip files of one member, read and written as a stream, after PKWARE's APPNOTE.
//!
//! What is read is the member where it stands: the directory at the end of the file, which a pipe shows too late, only has
//! to be there. Written are pieces of deflate that end at byte borders, so that they are made in parallel.

use std::io::{self, BufRead, Read};

use super::pack::Packed;
use crate::error::{Error, ErrorKind, Result};

/// What stands before a member.
pub(super) const MEMBER: &[u8; 4] = b"PK\x03\x04";

/// What stands before the end of the directory: the first bytes of a zip file without a member.
pub(super) const END: &[u8; 4] = b"PK\x05\x06";

const DIRECTORY: &[u8; 4] = b"PK\x01\x02";
const DESCRIPTOR: &[u8; 4] = b"PK\x07\x08";
const END_64: &[u8; 4] = b"PK\x06\x06";
const LOCATOR_64: &[u8; 4] = b"PK\x06\x07";

/// Bytes of the end record, without its comment.
const END_BYTES: usize = 22;

/// Bytes behind the last member that are looked at: directory and end.
const DIRECTORY_BYTES: u64 = 4 << 20;

/// Flags of a member: encrypted; sizes and checksum stand behind it; its name is UTF-8.
const ENCRYPTED: u16 = 1;
const DESCRIBED: u16 = 1 << 3;
const UTF8: u16 = 1 << 11;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// Sizes from here on stand in a 64-bit field of their own.
const LARGE: u64 = u32::MAX as u64;

/// The first day of the calendar of zip files.
const FIRST_DAY: u16 = (1 << 5) | 1;

/// The bytes of the one member of a zip file.
pub(super) struct Member<R> {
    data: Data<R>,
    head: Head,
    raw: flate2::Crc,
    raw_bytes: u64,
    /// Whether a member with a file was read.
    found: bool,
}

enum Data<R> {
    Between(R),
    Stored(io::Take<R>),
    Deflated(flate2::bufread::DeflateDecoder<R>),
    Ended,
}

/// What stands before a member.
#[derive(Clone, Copy, Default)]
struct Head {
    flags: u16,
    method: u16,
    crc: u32,
    packed_bytes: u64,
    raw_bytes: u64,
    /// Sizes have 64 bits.
    large: bool,
    folder: bool,
}

impl<R: BufRead> Member<R> {
    pub(super) fn new(inner: R) -> Self {
        let (head, raw) = (Head::default(), flate2::Crc::new());
        Self { data: Data::Between(inner), head, raw, raw_bytes: 0, found: false }
    }

    /// Begins the next member, or ends.
    fn begin(&mut self) -> io::Result<()> {
        let Data::Between(inner) = &mut self.data else { return Ok(()) };
        let Some(head) = next_head(inner)? else {
            if !self.found {
                return told(Error::new(ErrorKind::Corrupt, "the zip file holds no file"));
            }
            self.data = Data::Ended;
            return Ok(());
        };
        if !head.folder && std::mem::replace(&mut self.found, true) {
            let several = Error::new(ErrorKind::Unsupported, "the zip file holds several files");
            return told(several.with_hint("unpack it, and name its files by a glob"));
        }
        if head.flags & ENCRYPTED != 0 {
            return told(Error::new(ErrorKind::Unsupported, "the zip file is encrypted").with_hint("unpack it first"));
        }
        let Data::Between(inner) = std::mem::replace(&mut self.data, Data::Ended) else { return Ok(()) };
        self.data = match head.method {
            DEFLATED => Data::Deflated(flate2::bufread::DeflateDecoder::new(inner)),
            STORED if head.flags & DESCRIBED == 0 => Data::Stored(inner.take(head.packed_bytes)),
            _ => {
                let message = "the zip file is packed in a way that cannot be read as a stream";
                return told(Error::new(ErrorKind::Unsupported, message).with_hint("pack it anew with deflate"));
            }
        };
        (self.head, self.raw, self.raw_bytes) = (head, flate2::Crc::new(), 0);
        Ok(())
    }

    /// Checks the member that has ended.
    fn end(&mut self) -> io::Result<()> {
        let (mut inner, packed_bytes) = match std::mem::replace(&mut self.data, Data::Ended) {
            Data::Stored(limited) if limited.limit() > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Data::Stored(limited) => (limited.into_inner(), self.head.packed_bytes),
            Data::Deflated(decoder) => {
                let packed_bytes = decoder.total_in();
                (decoder.into_inner(), packed_bytes)
            }
            other @ (Data::Between(_) | Data::Ended) => {
                self.data = other;
                return Ok(());
            }
        };
        // A directory follows at least. Deflate alone does not tell that it was cut off.
        if inner.fill_buf()?.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut head = self.head;
        if head.flags & DESCRIBED != 0 {
            head.large |= packed_bytes >= LARGE || self.raw_bytes >= LARGE;
            (head.crc, head.packed_bytes, head.raw_bytes) = descriptor(&mut inner, head.large)?;
        }
        if (head.crc, head.packed_bytes, head.raw_bytes) != (self.raw.sum(), packed_bytes, self.raw_bytes) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the checksum or the size of the member is another",
            ));
        }
        self.data = Data::Between(inner);
        Ok(())
    }
}

impl<R: BufRead> Read for Member<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let bytes = match &mut self.data {
                Data::Ended => return Ok(0),
                Data::Between(_) => {
                    self.begin()?;
                    continue;
                }
                Data::Stored(limited) => limited.read(buffer)?,
                Data::Deflated(decoder) => decoder.read(buffer)?,
            };
            self.raw.update(&buffer[..bytes]);
            self.raw_bytes += bytes as u64;
            if bytes > 0 {
                return Ok(bytes);
            }
            self.end()?;
        }
    }
}

/// An error of ours, which [`super::damage`] takes out again.
fn told<T>(error: Error) -> io::Result<T> {
    Err(io::Error::other(error))
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no member and no directory begins where one should")
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | (u64::from(u32_at(bytes, at + 4)) << 32)
}

/// The head of the member that comes next; none where the directory begins, which is read to its end.
fn next_head(inner: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut signature = [0; 4];
    inner.read_exact(&mut signature)?;
    if &signature != MEMBER {
        let known = [DIRECTORY, END, END_64].contains(&&signature);
        return if known { directory(signature, inner).map(|()| None) } else { Err(damaged()) };
    }
    let mut fixed = [0; 26];
    inner.read_exact(&mut fixed)?;
    let mut name = vec![0; usize::from(u16_at(&fixed, 22))];
    inner.read_exact(&mut name)?;
    let mut extra = vec![0; usize::from(u16_at(&fixed, 24))];
    inner.read_exact(&mut extra)?;
    let mut head = Head {
        flags: u16_at(&fixed, 2),
        method: u16_at(&fixed, 4),
        crc: u32_at(&fixed, 10),
        packed_bytes: u64::from(u32_at(&fixed, 14)),
        raw_bytes: u64::from(u32_at(&fixed, 18)),
        large: false,
        folder: name.ends_with(b"/"),
    };
    let mut rest = extra.as_slice();
    while rest.len() >= 4 {
        let (id, length) = (u16_at(rest, 0), usize::from(u16_at(rest, 2)));
        let Some(field) = rest.get(4..4 + length) else { break };
        if id == 1 && length >= 16 {
            head.large = true;
            (head.raw_bytes, head.packed_bytes) = (u64_at(field, 0), u64_at(field, 8));
        }
        rest = &rest[4 + length..];
    }
    Ok(Some(head))
}

/// Reads to the end of the file, of which the directory must be whole.
fn directory(signature: [u8; 4], inner: &mut impl BufRead) -> io::Result<()> {
    let mut rest = signature.to_vec();
    inner.take(DIRECTORY_BYTES).read_to_end(&mut rest)?;
    let end = memchr::memmem::rfind(&rest, END).map(|at| &rest[at..]).filter(|end| end.len() >= END_BYTES);
    match end {
        Some(end) if end.len() >= END_BYTES + usize::from(u16_at(end, END_BYTES - 2)) => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Checksum and sizes behind a member, with or without their signature.
fn descriptor(inner: &mut impl BufRead, large: bool) -> io::Result<(u32, u64, u64)> {
    let mut crc = [0; 4];
    inner.read_exact(&mut crc)?;
    if &crc == DESCRIPTOR {
        inner.read_exact(&mut crc)?;
    }
    let mut sizes = [0; 16];
    let used = if large { 16 } else { 8 };
    inner.read_exact(&mut sizes[..used])?;
    let (packed, raw) = if large {
        (u64_at(&sizes, 0), u64_at(&sizes, 8))
    } else {
        (u64::from(u32_at(&sizes, 0)), u64::from(u32_at(&sizes, 4)))
    };
    Ok((u32::from_le_bytes(crc), packed, raw))
}

/// What is made ready for packed bytes at a time.
const ROOM_BYTES: usize = 32 << 10;

/// `bytes` as deflate that ends at the border of a byte, and not yet the stream.
pub(super) fn piece(level: u32, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::Compress::new(flate2::Compression::new(level), false);
    let mut out = Vec::with_capacity(bytes.len() / 3);
    loop {
        // The writer of `flate2` flushes but once, and loses the border where there was no room for it.
        out.reserve(ROOM_BYTES);
        let rest = &bytes[encoder.total_in() as usize..];
        encoder.compress_vec(rest, &mut out, flate2::FlushCompress::Sync).map_err(io::Error::from)?;
        if encoder.total_in() == bytes.len() as u64 && out.len() < out.capacity() {
            return Ok(out);
        }
    }
}

/// What a zip file of one member has around the pieces of that.
#[derive(Debug)]
pub(super) struct Archive {
    name: Vec<u8>,
    raw: flate2::Crc,
    raw_bytes: u64,
    packed_bytes: u64,
}

/// The last block of a deflate stream, without a byte in it.
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];

impl Archive {
    /// A file whose member has this name, cut where it is too long for one.
    pub(super) fn new(name: &str) -> Self {
        let name = name.as_bytes()[..name.len().min(usize::from(u16::MAX))].to_vec();
        Self { name, raw: flate2::Crc::new(), raw_bytes: 0, packed_bytes: 0 }
    }

    /// The head of the member. Its sizes stand behind it.
    pub(super) fn start(&self) -> Vec<u8> {
        let mut out = MEMBER.to_vec();
        out.extend(self.described(0, [0; 2], 20));
        out.extend(0_u16.to_le_bytes());
        out.extend_from_slice(&self.name);
        out
    }

    /// What head and directory say alike, up to the length of the name.
    fn described(&self, crc: u32, [packed, raw]: [u32; 2], version: u16) -> Vec<u8> {
        let mut out = Vec::new();
        for field in [version, DESCRIBED | UTF8, DEFLATED, 0, FIRST_DAY] {
            out.extend(field.to_le_bytes());
        }
        for field in [crc, packed, raw] {
            out.extend(field.to_le_bytes());
        }
        out.extend((self.name.len() as u16).to_le_bytes());
        out
    }

    pub(super) fn add(&mut self, piece: &Packed) {
        self.raw.combine(&piece.raw);
        self.raw_bytes += piece.raw_bytes;
        self.packed_bytes += piece.bytes.len() as u64;
    }

    /// The end of the member, its sizes, the directory and its end.
    pub(super) fn end(&mut self) -> Vec<u8> {
        self.packed_bytes += LAST_BLOCK.len() as u64;
        let crc = self.raw.sum();
        let (packed, raw) = (self.packed_bytes, self.raw_bytes);
        let large = packed >= LARGE || raw >= LARGE;
        let mut out = LAST_BLOCK.to_vec();
        out.extend_from_slice(DESCRIPTOR);
        out.extend(crc.to_le_bytes());
        for size in [packed, raw] {
            out.extend_from_slice(&size.to_le_bytes()[..if large { 8 } else { 4 }]);
        }
        let before = self.start().len() as u64 + packed + (out.len() - LAST_BLOCK.len()) as u64;
        let directory = self.directory(crc, large);
        out.extend_from_slice(&directory);
        let size = directory.len() as u64;
        if large {
            let end_64 = before + size;
            out.extend_from_slice(END_64);
            out.extend(44_u64.to_le_bytes());
            out.extend([45_u16, 45].map(u16::to_le_bytes).concat());
            out.extend([0_u32, 0].map(u32::to_le_bytes).concat());
            out.extend([1, 1, size, before].map(u64::to_le_bytes).concat());
            out.extend_from_slice(LOCATOR_64);
            out.extend(0_u32.to_le_bytes());
            out.extend(end_64.to_le_bytes());
            out.extend(1_u32.to_le_bytes());
        }
        out.extend_from_slice(END);
        out.extend([0_u16, 0, 1, 1].map(u16::to_le_bytes).concat());
        out.extend([size as u32, before.min(LARGE) as u32].map(u32::to_le_bytes).concat());
        out.extend(0_u16.to_le_bytes());
        out
    }

    fn directory(&self, crc: u32, large: bool) -> Vec<u8> {
        let (packed, raw) = (self.packed_bytes, self.raw_bytes);
        let version = if large { 45_u16 } else { 20 };
        let shown = [packed, raw].map(|size| if large { u32::MAX } else { size as u32 });
        let mut out = DIRECTORY.to_vec();
        out.extend(version.to_le_bytes());
        out.extend(self.described(crc, shown, version));
        out.extend((if large { 20_u16 } else { 0 }).to_le_bytes());
        // Comment, disk, attributes, and where the member begins: at the start.
        out.extend([0; 2 + 2 + 2 + 4 + 4]);
        out.extend_from_slice(&self.name);
        if large {
            out.extend([1_u16, 16].map(u16::to_le_bytes).concat());
            out.extend([raw, packed].map(u64::to_le_bytes).concat());
        }
        out
    }
}
