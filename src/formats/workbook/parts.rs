//! The parts of a workbook, which is a zip archive: those that the library takes into memory as a whole are unpacked once before, to
//! see how large they become. What an archive says of itself is not believed, and one in which another reader could find other parts is
//! none.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::no_workbook;
use crate::error::{Error, ErrorKind, Result};

/// The last record, those of large archives before it, and an entry of the directory.
const END: &[u8] = b"PK\x05\x06";
const LOCATOR: &[u8] = b"PK\x06\x07";
const END_64: &[u8] = b"PK\x06\x06";
const ENTRY: &[u8] = b"PK\x01\x02";

/// Bytes of these records, of an entry, and of the head of a member, without names and comments.
const END_BYTES: usize = 22;
const LOCATOR_BYTES: usize = 20;
const END_64_BYTES: usize = 56;
const ENTRY_BYTES: usize = 46;
const HEAD_BYTES: u64 = 30;

/// Bytes of the end of an archive that are looked at: its last records, and the longest comment behind them.
const TAIL_BYTES: u64 = (END_64_BYTES + LOCATOR_BYTES + END_BYTES + u16::MAX as usize) as u64;

/// Bytes that a text takes in memory beside its letters.
const TEXT_BYTES: u64 = size_of::<String>() as u64;

/// Refuses a workbook in which a part of this `name` unpacks to more than `most` bytes. What is no archive passes: it is for the
/// library to refuse, as are parts that are damaged.
///
/// # Errors
/// [`Resource`](ErrorKind::Resource), [`Corrupt`](ErrorKind::Corrupt) for an archive that is not as it should be, and those of the reader.
pub(super) fn refuse_large<R: Read + Seek>(reader: &mut R, name: &str, most: u64) -> Result<()> {
    for Part { place, bytes, method } in find(reader, name)? {
        let head = read(reader, place, HEAD_BYTES)?;
        let names = |at: usize| u16_at(&head, at).map_or(0, u64::from);
        reader.seek(SeekFrom::Start(place.saturating_add(HEAD_BYTES + names(26) + names(28))))?;
        let packed = BufReader::new(reader.by_ref().take(bytes));
        let raw: Box<dyn Read + '_> = match method {
            0 => Box::new(packed),
            8 => Box::new(flate2::bufread::DeflateDecoder::new(packed)),
            // The library reads no other.
            _ => continue,
        };
        let mut unpacked = Unpacked::default();
        let _ = io::copy(&mut raw.take(most.saturating_add(1)), &mut unpacked);
        if unpacked.bytes > most || unpacked.texts.saturating_mul(TEXT_BYTES) > most {
            let message = format!("the texts of the workbook take more than {most} bytes of memory");
            return Err(Error::new(ErrorKind::Resource, message).with_hint("save the sheet as CSV"));
        }
    }
    Ok(())
}

/// What a part unpacks to: its bytes, and the most texts that it says it has, for which the library makes room.
#[derive(Default)]
struct Unpacked {
    bytes: u64,
    texts: u64,
    /// Letters of [`COUNT`] that stand last.
    matched: usize,
    /// The number behind all of them, as far as it is known.
    number: u64,
}

/// The name of that number.
const COUNT: &[u8] = b"uniqueCount";

impl Unpacked {
    fn see(&mut self, byte: u8) {
        if self.matched == COUNT.len() {
            if byte.is_ascii_digit() {
                self.number = self.number.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
                self.texts = self.texts.max(self.number);
                return;
            }
            if self.number == 0 && (byte.is_ascii_whitespace() || matches!(byte, b'=' | b'"' | b'\'')) {
                return;
            }
            (self.matched, self.number) = (0, 0);
        }
        let is_next = COUNT.get(self.matched) == Some(&byte);
        self.matched = if is_next { self.matched + 1 } else { usize::from(COUNT.first() == Some(&byte)) };
    }
}

impl io::Write for Unpacked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        // A letter of UTF-16 has a zero beside it.
        bytes.iter().filter(|byte| **byte != 0).for_each(|byte| self.see(*byte));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where the head of a part lies, and how it is packed.
struct Part {
    place: u64,
    bytes: u64,
    method: u16,
}

/// The parts whose names end so.
fn find<R: Read + Seek>(reader: &mut R, name: &str) -> Result<Vec<Part>> {
    let from = reader.seek(SeekFrom::End(0))?.saturating_sub(TAIL_BYTES);
    let tail = read(reader, from, TAIL_BYTES)?;
    let Some(end) = tail.windows(END.len()).rposition(|four| four == END) else {
        // The library looks for it in the whole file.
        return if from == 0 { Ok(Vec::new()) } else { Err(no_workbook()) };
    };
    let Directory { entries, bytes, place } = directory((&tail, from), end).ok_or_else(no_workbook)?;
    let directory = read(reader, place, bytes)?;
    let (mut parts, mut rest) = (Vec::new(), directory.as_slice());
    for _ in 0..entries {
        let (part, behind) = entry(rest, name).ok_or_else(no_workbook)?;
        parts.extend(part);
        rest = behind;
    }
    if rest.is_empty() { Ok(parts) } else { Err(no_workbook()) }
}

/// The list of all parts.
struct Directory {
    entries: u64,
    bytes: u64,
    place: u64,
}

/// The directory of the archive whose last record lies at `end` of `tail`, which begins at `from`; none where it does not lie just before
/// its records, or in several files.
fn directory((tail, from): (&[u8], u64), end: usize) -> Option<Directory> {
    let two = |at: usize| u16_at(tail, end + at);
    let four = |at: usize| u32_at(tail, end + at);
    let is_here = two(4)? == 0 && two(6)? == 0 && two(8)? == two(10)?;
    if !is_here || end + END_BYTES + usize::from(two(20)?) > tail.len() {
        return None;
    }
    if two(10)? != u16::MAX && four(12)? != u32::MAX && four(16)? != u32::MAX {
        let found = Directory { entries: two(10)?.into(), bytes: four(12)?.into(), place: four(16)?.into() };
        return found.before(from + end as u64);
    }
    let locator = end.checked_sub(LOCATOR_BYTES).filter(|at| tail[*at..].starts_with(LOCATOR))?;
    let large = locator.checked_sub(END_64_BYTES).filter(|at| tail[*at..].starts_with(END_64))?;
    let place = from + large as u64;
    let is_here = u64_at(tail, locator + 8)? == place && u64_at(tail, large + 24)? == u64_at(tail, large + 32)?;
    let eight = |at: usize| u64_at(tail, large + at);
    let found = Directory { entries: eight(32)?, bytes: eight(40)?, place: eight(48)? };
    found.before(place).filter(|_| is_here)
}

impl Directory {
    /// It, if it ends at `end`.
    fn before(self, end: u64) -> Option<Self> {
        (self.place.checked_add(self.bytes)? == end).then_some(self)
    }
}

/// The part of the entry at the start of `bytes`, if its name ends with `name`, and what is behind the entry.
fn entry<'a>(bytes: &'a [u8], name: &str) -> Option<(Option<Part>, &'a [u8])> {
    if !bytes.starts_with(ENTRY) {
        return None;
    }
    let two = |at: usize| u16_at(bytes, at).map(usize::from);
    let (named, extra) = (ENTRY_BYTES + two(28)?, ENTRY_BYTES + two(28)? + two(30)?);
    let (said, fields) = (bytes.get(ENTRY_BYTES..named)?, bytes.get(named..extra)?);
    let behind = bytes.get(extra + two(32)?..)?;
    // A part may have another name in a field of its own, and parts are found whatever their case.
    let is_it = |part: &[u8]| part.eq_ignore_ascii_case(name.as_bytes());
    let ends = said.len().checked_sub(name.len()).is_some_and(|at| is_it(&said[at..]));
    if !ends && !fields.windows(name.len()).any(is_it) {
        return Some((None, behind));
    }
    let (mut packed, mut place) = (u64::from(u32_at(bytes, 20)?), u64::from(u32_at(bytes, 42)?));
    let is_raw_large = u32_at(bytes, 24)? == u32::MAX;
    // Numbers of 64 bits stand one after the other, those alone that 32 bits do not hold.
    let mut at = if is_raw_large { 8 } else { 0 };
    for number in [&mut packed, &mut place].into_iter().filter(|number| **number == u64::from(u32::MAX)) {
        *number = u64_at(large_numbers(fields)?, at)?;
        at += 8;
    }
    Some((Some(Part { place, bytes: packed, method: u16_at(bytes, 10)? }), behind))
}

/// The last field of `fields` that has numbers of 64 bits.
fn large_numbers(mut fields: &[u8]) -> Option<&[u8]> {
    let mut found = None;
    while let Some(length) = u16_at(fields, 2).map(usize::from) {
        let field = fields.get(4..4 + length)?;
        if u16_at(fields, 0) == Some(1) {
            found = Some(field);
        }
        fields = &fields[4 + length..];
    }
    found
}

/// So many bytes from `begin` on, or what there is of them.
fn read<R: Read + Seek>(reader: &mut R, begin: u64, bytes: u64) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    reader.seek(SeekFrom::Start(begin))?;
    reader.by_ref().take(bytes).read_to_end(&mut out)?;
    Ok(out)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
