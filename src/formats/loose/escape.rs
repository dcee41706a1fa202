//! Escapes with a backslash, as the CSV library of DataX reads and writes them.

/// What stands before them.
pub(super) const BACKSLASH: u8 = b'\\';

/// `text` with that in the place of its escapes which they mean: a control character by its letter (`\n`), a character by its number
/// (`\u00e9`, `\xe9`, `\o351`, `\351`, `\d233`), else the character itself.
pub(super) fn resolve(text: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut rest = text;
    while let Some(at) = memchr::memchr(BACKSLASH, rest) {
        out.extend_from_slice(&rest[..at]);
        rest = meant(&rest[at + 1..], out);
    }
    out.extend_from_slice(rest);
}

/// Appends what the escape means that goes on with `rest`, and gives what is behind it.
fn meant<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let Some((letter, behind)) = rest.split_first() else { return rest };
    let (digits, radix) = match letter {
        b'u' | b'U' => (behind.get(..4), 16),
        b'x' | b'X' => (behind.get(..2), 16),
        b'o' | b'O' => (behind.get(..3), 8),
        b'd' | b'D' => (behind.get(..3), 10),
        b'0'..=b'7' => (rest.get(..3), 8),
        _ => (None, 10),
    };
    let number = digits.and_then(|digits| std::str::from_utf8(digits).ok());
    if let Some(number) = number.and_then(|digits| u32::from_str_radix(digits, radix).ok()) {
        let character = char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        let length = digits.map_or(0, <[u8]>::len);
        return if letter.is_ascii_digit() { &rest[length..] } else { &behind[length..] };
    }
    out.push(match letter {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'f' => 0x0c,
        b'e' => 0x1b,
        b'v' => 0x0b,
        b'a' => 0x07,
        other => *other,
    });
    behind
}

/// Puts backslashes before what has a meaning in the field without quotes that begins at `start`.
pub(super) fn put(out: &mut Vec<u8>, start: usize, delimiter: &[u8]) {
    let field = out.split_off(start);
    for (at, byte) in field.iter().enumerate() {
        if matches!(byte, b'\\' | b'\r' | b'\n') || field[at..].starts_with(delimiter) {
            out.push(BACKSLASH);
        }
        out.push(*byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_mean_what_their_letters_say() {
        for (text, meant) in [
            (r"a\tb\nc", "a\tb\nc"),
            (r#"\\ \" \, \é"#, r#"\ " , é"#),
            (r"\u00e9\xe9\o351\351\d233", "ééééé"),
            // Without the digits that belong to it a letter is itself.
            (r"\u00g1 \x \09 \D9", "u00g1 x 09 D9"),
            (r"\ud83d", "\u{fffd}"),
            ("end\\", "end"),
        ] {
            let mut out = Vec::new();
            resolve(text.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), meant, "{text}");
        }
        let mut out = b"x,a|b\\c\n".to_vec();
        put(&mut out, 2, b"|");
        assert_eq!(out, b"x,a\\|b\\\\c\\\n");
    }
}
