//! The functions that give a column another text: a part of it, filled up, with a part replaced, its digest.

use arrow::array::{Array as _, StringArray};
use arrow::buffer::NullBuffer;
use md5::{Digest, Md5};
use sha1::Sha1;

use super::units;
use crate::error::Result;
use crate::formats::value::print;

/// Why a function fails for a row.
pub(super) type Reason = &'static str;

const BEFORE: Reason = "it is to begin before the text";
const BEHIND: Reason = "it is to begin behind the end of the text";
const BACKWARDS: Reason = "it is to end before it begins";
const NO_FILL: Reason = "there is nothing to fill the text up with";

/// What happens to each text of a column. Places and lengths are in code units of UTF-16.
#[derive(Debug)]
pub(super) enum Edit {
    Substr { start: i64, length: i64 },
    Replace { start: i64, length: i64, text: String },
    Pad(Pad),
    Digest { hash: Hash, digits: &'static [u8; 16] },
}

/// Filling up to a length.
#[derive(Debug)]
pub(super) struct Pad {
    pub(super) side: Side,
    pub(super) length: usize,
    pub(super) fill: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Md5,
    Sha1,
}

/// Digits of a digest.
pub(super) const LOWER: &[u8; 16] = b"0123456789abcdef";
/// The same in capitals.
pub(super) const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// The new texts, and the rows that failed: what is in these means nothing.
#[derive(Debug)]
pub(super) struct Edited {
    pub(super) texts: StringArray,
    pub(super) failed: Vec<(usize, Reason)>,
}

impl Edit {
    /// All of `texts` edited. What has no text stays so in parts and replacements, and counts as empty for the others.
    pub(super) fn run(&self, texts: &StringArray) -> Result<Edited> {
        let nulls = texts.nulls();
        match self {
            Self::Substr { start, length } => {
                let (start, length) = (*start, *length);
                edited(texts, nulls, |text, out| part(text, start, length, out))
            }
            Self::Replace { start, length, text: new } => {
                let (start, length) = (*start, *length);
                edited(texts, nulls, |text, out| replaced(text, (start, length), new, out))
            }
            Self::Pad(pad) => {
                let fill_units = units::count(&pad.fill);
                edited(texts, None, |text, out| pad.filled(text, fill_units, out))
            }
            Self::Digest { hash, digits } => {
                let hashed = match hash {
                    Hash::Md5 => digest::<Md5>,
                    Hash::Sha1 => digest::<Sha1>,
                };
                edited(texts, None, |text, out| {
                    hashed(text, digits, out);
                    Ok(())
                })
            }
        }
    }
}

fn edited(
    texts: &StringArray,
    nulls: Option<&NullBuffer>,
    edit: impl Fn(&str, &mut Vec<u8>) -> Result<(), Reason>,
) -> Result<Edited> {
    let mut failed = Vec::new();
    let texts = print::texts(nulls.cloned(), texts.len(), |row, out| {
        let text = if texts.is_valid(row) { texts.value(row) } else { "" };
        if let Err(reason) = edit(text, out) {
            failed.push((row, reason));
        }
        Ok(())
    })?;
    Ok(Edited { texts, failed })
}

/// Where a part begins, if that is in a text of `units`.
fn begin(start: i64, units: usize) -> Result<usize, Reason> {
    let start = usize::try_from(start).map_err(|_| BEFORE)?;
    if start <= units { Ok(start) } else { Err(BEHIND) }
}

fn part(text: &str, start: i64, length: i64, out: &mut Vec<u8>) -> Result<(), Reason> {
    let begin = begin(start, units::count(text))?;
    let length = usize::try_from(length).map_err(|_| BACKWARDS)?;
    units::push(text, begin..begin + length, out);
    Ok(())
}

fn replaced(text: &str, (start, length): (i64, i64), new: &str, out: &mut Vec<u8>) -> Result<(), Reason> {
    let units = units::count(text);
    let begin = begin(start, units)?;
    // A length below zero has a part of the text there twice, in DataX, too.
    let end = usize::try_from(start + length).map_err(|_| BACKWARDS)?;
    units::push(text, 0..begin, out);
    out.extend_from_slice(new.as_bytes());
    if end < units {
        units::push(text, end..units, out);
    }
    Ok(())
}

impl Pad {
    fn filled(&self, text: &str, fill_units: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
        let units = units::count(text);
        let Some(missing) = self.length.checked_sub(units).filter(|missing| *missing > 0) else {
            units::push(text, 0..self.length, out);
            return Ok(());
        };
        if fill_units == 0 {
            return Err(NO_FILL);
        }
        if self.side == Side::Right {
            out.extend_from_slice(text.as_bytes());
        }
        for _ in 0..missing / fill_units {
            out.extend_from_slice(self.fill.as_bytes());
        }
        units::push(&self.fill, 0..missing % fill_units, out);
        if self.side == Side::Left {
            out.extend_from_slice(text.as_bytes());
        }
        Ok(())
    }
}

fn digest<D: Digest>(text: &str, digits: &[u8; 16], out: &mut Vec<u8>) {
    for byte in D::digest(text.as_bytes()) {
        out.extend_from_slice(&[digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
    }
}
