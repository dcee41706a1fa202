//! Places in texts as Java counts them: in code units of UTF-16.

use std::ops::Range;

/// The code units of `text`.
pub(super) fn count(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(char::len_utf16).sum() }
}

/// Appends those units of `text` that are in `range`. Of a character that is cut in two a `?` is left: so Java writes what
/// is no character.
pub(super) fn push(text: &str, range: Range<usize>, out: &mut Vec<u8>) {
    if text.is_ascii() {
        let end = range.end.min(text.len());
        out.extend_from_slice(&text.as_bytes()[range.start.min(end)..end]);
        return;
    }
    let mut unit = 0;
    for (byte, character) in text.char_indices() {
        if unit >= range.end || range.is_empty() {
            return;
        }
        let next = unit + character.len_utf16();
        if unit >= range.start && next <= range.end {
            out.extend_from_slice(&text.as_bytes()[byte..byte + character.len_utf8()]);
        } else if next > range.start {
            out.push(b'?');
        }
        unit = next;
    }
}

/// How `one` and `other` are ordered by their code units. Bytes are, too, but for the characters beyond U+FFFF: their
/// units come before U+E000 to U+FFFF.
pub(super) fn compare(one: &str, other: &str) -> std::cmp::Ordering {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let differing = one.iter().zip(other).find(|(one, other)| one != other);
    match differing {
        None => one.len().cmp(&other.len()),
        // Where both begin a character beyond U+DFFF, the length of that decides.
        Some((one @ 0xEE.., other @ 0xEE..)) if (*one < 0xF0) != (*other < 0xF0) => other.cmp(one),
        Some((one, other)) => one.cmp(other),
    }
}
