//! Bytes and UUIDs, from and to text.

use uuid::Uuid;

/// The bytes of `\x00ff`.
pub(crate) fn hex(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (pairs, rest) = text.strip_prefix(b"\\x")?.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    for [high, low] in pairs {
        out.push(nibble(*high)? << 4 | nibble(*low)?);
    }
    Some(())
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// The two hexadecimal digits of `byte`.
#[inline]
pub(crate) fn hex_digits(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|nibble| b"0123456789abcdef"[usize::from(nibble)])
}

/// Prints `\x00ff`.
pub(crate) fn print_hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(2 + bytes.len() * 2);
    out.extend_from_slice(b"\\x");
    out.extend(bytes.iter().flat_map(|byte| hex_digits(*byte)));
}

/// The bytes of a UUID.
pub(crate) fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    Uuid::try_parse_ascii(text).ok().map(Uuid::into_bytes)
}

/// Prints a UUID in lower case with hyphens.
pub(crate) fn print_uuid(bytes: [u8; 16], out: &mut Vec<u8>) {
    let mut buffer = Uuid::encode_buffer();
    out.extend_from_slice(Uuid::from_bytes(bytes).hyphenated().encode_lower(&mut buffer).as_bytes());
}
