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
    if let Some((number, mut behind)) = numbered(rest) {
        let mut character = char::from_u32(number);
        // Java's characters are those of UTF-16: a larger one has two halves.
        if (0xd800..0xdc00).contains(&number)
            && let Some((low, after)) = behind.strip_prefix([BACKSLASH].as_slice()).and_then(numbered)
            && (0xdc00..0xe000).contains(&low)
        {
            character = char::from_u32(0x1_0000 + ((number - 0xd800) << 10) + (low - 0xdc00));
            behind = after;
        }
        let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        return behind;
    }
    let Some((letter, behind)) = rest.split_first() else { return rest };
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

/// The number of a character with which `rest` begins, and what is behind it.
fn numbered(rest: &[u8]) -> Option<(u32, &[u8])> {
    let (letter, behind) = rest.split_first()?;
    let (from, length, radix) = match letter {
        b'u' | b'U' => (behind, 4, 16),
        b'x' | b'X' => (behind, 2, 16),
        b'o' | b'O' => (behind, 3, 8),
        b'd' | b'D' => (behind, 3, 10),
        b'0'..=b'7' => (rest, 3, 8),
        _ => return None,
    };
    let (digits, behind) = from.split_at_checked(length)?;
    let number = digits.iter().try_fold(0_u32, |all, digit| Some(all * radix + char::from(*digit).to_digit(radix)?))?;
    Some((number, behind))
}

/// Puts backslashes before what has a meaning in the field without quotes that begins at `start`: what ends fields and records, and
/// at its start `comment`.
pub(super) fn put(out: &mut Vec<u8>, start: usize, ends: [&[u8]; 2], comment: Option<u8>) {
    let field = out.split_off(start);
    for (at, byte) in field.iter().enumerate() {
        let is_end = ends.iter().any(|end| field[at..].starts_with(end));
        if matches!(byte, b'\\' | b'\r' | b'\n') || is_end || at == 0 && Some(*byte) == comment {
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
            (r"\u00g1 \x \09 \D9 \x+1", "u00g1 x 09 D9 x+1"),
            (r"\ud83d\ude00 \ud83d \ud83d\u0041 \ude00", "\u{1f600} \u{fffd} \u{fffd}A \u{fffd}"),
            ("end\\", "end"),
        ] {
            let mut out = Vec::new();
            resolve(text.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), meant, "{text}");
        }
        let mut out = b"x,#a|b\\c\n#;".to_vec();
        put(&mut out, 2, [b"|", b";"], Some(b'#'));
        assert_eq!(out, b"x,\\#a\\|b\\\\c\\\n#\\;");
    }
}
