//! The parts of a workbook, which is a zip archive: those that the library takes into memory as a whole are unpacked once before, to
//! see how large they become. What an archive says of itself is not believed.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use crate::error::{Error, ErrorKind, Result};

/// Bytes of the end of an archive that are looked at: its last record, and the longest comment behind that.
const END_BYTES: u64 = 22 + u16::MAX as u64;

/// The last record, those of large archives before it, and an entry of the directory.
const END: &[u8] = b"PK\x05\x06";
const LOCATOR: &[u8] = b"PK\x06\x07";
const END_64: &[u8] = b"PK\x06\x06";
const ENTRY: &[u8] = b"PK\x01\x02";

const LOCATOR_BYTES: usize = 20;

/// Bytes of an entry, and of the head of a member, without names.
const ENTRY_BYTES: usize = 46;
const HEAD_BYTES: usize = 30;

/// Bytes that a text takes in memory beside its letters.
const TEXT_BYTES: u64 = size_of::<String>() as u64;

/// Bytes at the begin of a part in which it says how many texts it has.
const BEGIN_BYTES: u64 = 4096;

/// Refuses a workbook in which a part of this `name` unpacks to more than `most` bytes. What is no archive passes: it is for the
/// library to refuse, as are parts that are damaged.
///
/// # Errors
/// [`Resource`](ErrorKind::Resource), and those of the reader.
pub(super) fn refuse_large<R: Read + Seek>(reader: &mut R, name: &str, most: u64) -> Result<()> {
    for Part { place, bytes, method } in find(reader, name)? {
        let head = read(reader, place, HEAD_BYTES as u64)?;
        let names = |offset: usize| head.get(offset..offset + 2).map_or(0, |two| u64::from(u16_of(two)));
        reader.seek(SeekFrom::Start(place + HEAD_BYTES as u64 + names(26) + names(28)))?;
        let packed = BufReader::new(reader.by_ref().take(bytes));
        let mut raw: Box<dyn Read + '_> = match method {
            0 => Box::new(packed),
            8 => Box::new(flate2::bufread::DeflateDecoder::new(packed)),
            // The library reads no other.
            _ => continue,
        };
        let mut begin = Vec::new();
        let _ = raw.by_ref().take(BEGIN_BYTES).read_to_end(&mut begin);
        let rest = io::copy(&mut raw.take(most.saturating_add(1)), &mut io::sink()).unwrap_or(0);
        if begin.len() as u64 + rest > most || texts_of(&begin).saturating_mul(TEXT_BYTES) > most {
            let message = format!("the texts of the workbook take more than {most} bytes of memory");
            return Err(Error::new(ErrorKind::Resource, message).with_hint("save the sheet as CSV"));
        }
    }
    Ok(())
}

/// How many texts a part says that it has, for which the library makes room.
fn texts_of(begin: &[u8]) -> u64 {
    const NAME: &[u8] = b"uniqueCount=";
    let Some(at) = begin.windows(NAME.len()).position(|part| part == NAME) else { return 0 };
    let digits = begin[at + NAME.len()..].iter().skip(1).take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number: u64, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

/// Where the head of a part lies, and how it is packed.
struct Part {
    place: u64,
    bytes: u64,
    method: u16,
}

/// The parts whose names end so.
fn find<R: Read + Seek>(reader: &mut R, name: &str) -> Result<Vec<Part>> {
    let length = reader.seek(SeekFrom::End(0))?;
    let tail = read(reader, length.saturating_sub(END_BYTES), END_BYTES)?;
    let Some(end) = tail.windows(END.len()).rposition(|four| four == END) else { return Ok(Vec::new()) };
    let locator = end.checked_sub(LOCATOR_BYTES).filter(|at| tail[*at..].starts_with(LOCATOR));
    let large = locator.and_then(|at| tail[..at].windows(END_64.len()).rposition(|four| four == END_64));
    let small = |offset: usize| u32_at(&tail, end + offset).map(u64::from);
    let (end, bytes, offset) = match large {
        Some(large) => (large, u64_at(&tail, large + 40), u64_at(&tail, large + 48)),
        None => (end, small(12), small(16)),
    };
    let end = length - tail.len() as u64 + end as u64;
    let Some(begin) = bytes.and_then(|bytes| end.checked_sub(bytes)) else { return Ok(Vec::new()) };
    // Something may stand before the archive, so that places in it count from elsewhere.
    let before = begin.saturating_sub(offset.unwrap_or(begin));
    let directory = read(reader, begin, end - begin)?;
    let (mut parts, mut at) = (Vec::new(), 0);
    while let Some(entry) = directory.get(at..at + ENTRY_BYTES).filter(|entry| entry.starts_with(ENTRY)) {
        let field = |offset: usize| u16_of(&entry[offset..]);
        let [named, extra, comment] = [28, 30, 32].map(|offset| usize::from(field(offset)));
        let known = directory.get(at + ENTRY_BYTES..at + ENTRY_BYTES + named).unwrap_or_default();
        if ends_with(known, name) {
            let [bytes, place] = [20, 42].map(|offset| u32_at(entry, offset).map_or(0, u64::from));
            parts.push(Part { place: before + place, bytes, method: field(10) });
        }
        at += ENTRY_BYTES + named + extra + comment;
    }
    Ok(parts)
}

/// Whether a name in an archive ends so; parts are found whatever their case.
fn ends_with(known: &[u8], name: &str) -> bool {
    known.len().checked_sub(name.len()).is_some_and(|at| known[at..].eq_ignore_ascii_case(name.as_bytes()))
}

/// So many bytes from `begin` on, or what there is of them.
fn read<R: Read + Seek>(reader: &mut R, begin: u64, bytes: u64) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    reader.seek(SeekFrom::Start(begin))?;
    reader.by_ref().take(bytes).read_to_end(&mut out)?;
    Ok(out)
}

fn u16_of(two: &[u8]) -> u16 {
    u16::from_le_bytes([two[0], two[1]])
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
