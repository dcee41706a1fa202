//! Quotes around texts that hold such themselves.

/// Puts `quote`s around the text from `start` on, and `escape` before each of both within: a quote that is its own escape is doubled.
/// From the back to the front, so that a long text is not copied a second time.
pub(super) fn put(out: &mut Vec<u8>, start: usize, quote: u8, escape: u8) {
    let mut read = out.len();
    let inner = memchr::memchr2_iter(quote, escape, &out[start..]).count();
    out.resize(read + inner + 2, quote);
    let mut write = out.len() - 1;
    while let Some(at) = memchr::memrchr2(quote, escape, &out[start..read]).filter(|_| write > read + 1) {
        let from = start + at;
        out.copy_within(from..read, write - (read - from));
        write -= read - from + 1;
        out[write] = escape;
        read = from;
    }
    out.copy_within(start..read, start + 1);
    out[start] = quote;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_added_in_place() {
        let texts =
            ["", "a", "\"", "\"\"", "a\"b", "\"a", "a\"", "\\", "a\\\"b", "é, \"x\" and \"\"y\"", "no quote, a comma"];
        for text in texts {
            let quoted = |escape: u8| {
                let mut out = b"before".to_vec();
                out.extend_from_slice(text.as_bytes());
                put(&mut out, 6, b'"', escape);
                String::from_utf8(out).unwrap()
            };
            assert_eq!(quoted(b'"'), format!("before\"{}\"", text.replace('"', "\"\"")), "{text:?}");
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
            assert_eq!(quoted(b'\\'), format!("before\"{escaped}\""), "{text:?}");
        }
    }
}
