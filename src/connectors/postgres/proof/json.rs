//! JSON as the server writes a `jsonb`: of two equal keys the last, shorter keys before longer ones and else in the order of
//! their bytes, numbers as `numeric` has them.
//!
//! It is written in one pass over the text, of which most is copied. What is no JSON need not be found here: the server
//! refuses it.
//!
//! Source: `JsonbToCString`, `lengthCompareJsonbStringValue` and `uniqueifyJsonbObject` of the server's `jsonb.c` and
//! `jsonb_util.c`, `escape_json` of its `json.c`.

use std::borrow::Cow;
use std::io::Write as _;
use std::ops::Range;

use super::super::decode::numeric_text;
use super::super::encode::put_numeric;

/// What is nested deeper is not looked into.
const MOST_DEPTH: usize = 100;

/// What is written no further: `1e131071` is a hundred thousand digits.
const MOST_BYTES: usize = 256 << 20;

/// Digits of a number that the server surely takes as they are.
const PLAIN_DIGITS: usize = 1000;

/// What is written for all that is not told.
const UNTOLD: &[u8] = b"?";

/// Writes one value after the other, and keeps the room for it.
#[derive(Debug, Default)]
pub(super) struct Writer {
    out: Vec<u8>,
    /// The keys of the objects that are open, without escapes.
    keys: Vec<u8>,
    /// The members of these objects.
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    /// Where its key lies among the keys.
    key: Range<usize>,
    /// Where key and value were written.
    text: Range<usize>,
}

impl Writer {
    /// What the server makes of `text`. All that is no JSON, is nested too deep or becomes too long is one value.
    pub(super) fn written(&mut self, text: &str) -> &[u8] {
        self.out.clear();
        self.keys.clear();
        self.members.clear();
        let rest = self.value(text.as_bytes(), 0);
        if rest.is_some_and(|rest| rest.trim_ascii_start().is_empty()) { &self.out } else { UNTOLD }
    }

    /// Writes the value with which `json` begins, and gives what follows it.
    fn value<'a>(&mut self, json: &'a [u8], depth: usize) -> Option<&'a [u8]> {
        let json = json.trim_ascii_start();
        if self.out.len() > MOST_BYTES {
            return None;
        }
        match json.split_first()? {
            (b'{' | b'[', _) if depth == MOST_DEPTH => None,
            (b'{', after) => self.object(after, depth + 1),
            (b'[', after) => self.array(after, depth + 1),
            (b'"', _) => {
                let (text, rest) = text_of(json)?;
                self.put_text(text);
                Some(rest)
            }
            (b't', _) => self.word(json, b"true"),
            (b'f', _) => self.word(json, b"false"),
            (b'n', _) => self.word(json, b"null"),
            _ => self.number(json),
        }
    }

    /// The members of an object, behind its brace.
    fn object<'a>(&mut self, json: &'a [u8], depth: usize) -> Option<&'a [u8]> {
        let (first, first_key) = (self.members.len(), self.keys.len());
        self.out.push(b'{');
        let start = self.out.len();
        let mut rest = json.trim_ascii_start();
        if let [b'}', after @ ..] = rest {
            self.out.push(b'}');
            return Some(after);
        }
        loop {
            let (from, key_from) = (self.out.len(), self.keys.len());
            let (key, after) = text_of(rest.trim_ascii_start())?;
            self.keys.extend_from_slice(&key);
            self.put_text(key);
            let key = key_from..self.keys.len();
            self.out.extend_from_slice(b": ");
            rest = self.value(after.trim_ascii_start().strip_prefix(b":")?, depth)?.trim_ascii_start();
            self.members.push(Member { key, text: from..self.out.len() });
            match rest.split_first()? {
                (b',', after) => rest = after,
                (b'}', after) => {
                    rest = after;
                    break;
                }
                _ => return None,
            }
            self.out.extend_from_slice(b", ");
        }
        self.order(first, start);
        self.members.truncate(first);
        self.keys.truncate(first_key);
        self.out.push(b'}');
        Some(rest)
    }

    /// Brings the members from `first` on, which were written from `start` on, into the order of the server.
    fn order(&mut self, first: usize, start: usize) {
        let Self { out, keys, members } = self;
        let members = &mut members[first..];
        let key = |member: &Member| {
            let key = &keys[member.key.clone()];
            (key.len(), key)
        };
        if members.is_sorted_by(|one, other| key(one) < key(other)) {
            return;
        }
        // The sort is stable: of equal keys the last stays behind the others.
        members.sort_by_key(key);
        let mut sorted = Vec::with_capacity(out.len() - start);
        for (at, member) in members.iter().enumerate() {
            if members.get(at + 1).is_none_or(|next| key(next) != key(member)) {
                if !sorted.is_empty() {
                    sorted.extend_from_slice(b", ");
                }
                sorted.extend_from_slice(&out[member.text.clone()]);
            }
        }
        out.truncate(start);
        out.append(&mut sorted);
    }

    /// The items of an array, behind its bracket.
    fn array<'a>(&mut self, json: &'a [u8], depth: usize) -> Option<&'a [u8]> {
        self.out.push(b'[');
        let mut rest = json.trim_ascii_start();
        if let [b']', after @ ..] = rest {
            self.out.push(b']');
            return Some(after);
        }
        loop {
            rest = self.value(rest, depth)?.trim_ascii_start();
            match rest.split_first()? {
                (b',', after) => rest = after,
                (b']', after) => {
                    self.out.push(b']');
                    return Some(after);
                }
                _ => return None,
            }
            self.out.extend_from_slice(b", ");
        }
    }

    fn word<'a>(&mut self, json: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
        let rest = json.strip_prefix(word)?;
        self.out.extend_from_slice(word);
        Some(rest)
    }

    fn number<'a>(&mut self, json: &'a [u8]) -> Option<&'a [u8]> {
        let is_of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = json.iter().position(|byte| !is_of_number(byte)).unwrap_or(json.len());
        let (number, rest) = json.split_at(length);
        let digits = number.strip_prefix(b"-").unwrap_or(number);
        if !digits.first()?.is_ascii_digit() || matches!(digits, [b'0', b'0'..=b'9', ..]) {
            return None;
        }
        // Without an exponent it stays as it is, but for the sign of a zero.
        let is_plain = digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
            && (digits.len() == number.len() || digits.iter().any(|digit| matches!(digit, b'1'..=b'9')));
        if is_plain && digits.len() <= PLAIN_DIGITS {
            self.out.extend_from_slice(number);
            return Some(rest);
        }
        let mut wire = Vec::with_capacity(32);
        let is_put = put_numeric(std::str::from_utf8(number).ok()?, &mut wire) && numeric_text(&wire, &mut self.out);
        is_put.then_some(rest)
    }

    /// `text`, which came without its quotes: what is owned had escapes and may have some again.
    fn put_text(&mut self, text: Cow<'_, [u8]>) {
        self.out.push(b'"');
        match text {
            Cow::Borrowed(text) => self.out.extend_from_slice(text),
            Cow::Owned(text) => put_escaped(&text, &mut self.out),
        }
        self.out.push(b'"');
    }
}

/// What the text means with which `json` begins, and what follows it. It is owned where it has escapes.
fn text_of(json: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let inner = json.strip_prefix(b"\"")?;
    let (mut at, mut has_escapes) = (0, false);
    loop {
        match inner.get(at)? {
            b'"' => break,
            b'\\' => {
                has_escapes = true;
                at += 2;
            }
            0..32 => return None,
            _ => at += 1,
        }
    }
    let text = if has_escapes {
        let meant: String = serde_json::from_slice(&json[..at + 2]).ok()?;
        Cow::Owned(meant.into_bytes())
    } else {
        Cow::Borrowed(&inner[..at])
    };
    Some((text, &inner[at + 1..]))
}

fn put_escaped(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            0..32 => {
                // Writing to a vector cannot fail.
                let _ = write!(out, "\\u{byte:04x}");
            }
            _ => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By a writer that wrote something before.
    fn written(text: &str) -> String {
        let mut writer = Writer::default();
        writer.written(r#"{"b":[{"d":1,"c":2}],"a":["#);
        String::from_utf8(writer.written(text).to_vec()).unwrap()
    }

    #[test]
    fn it_is_the_text_of_the_server() {
        // Given by PostgreSQL 15: select '…'::jsonb::text.
        let given = [
            (r#" {"b":1, "a":[1.0,true,null],"b":2} "#, r#"{"a": [1.0, true, null], "b": 2}"#),
            (r#" "é\/\n\u0001\u001f\"\\" "#, r#""é/\n\u0001\u001f\"\\""#),
            (
                "[1e2,-0,1.50,12345678901234567890123,1E-7,-0.0,1.50e1,0.0e3,-1.5e-3,2e+2]",
                "[100, 0, 1.50, 12345678901234567890123, 0.0000001, 0.0, 15.0, 0, -0.0015, 200]",
            ),
            (
                r#"{"bb":1,"a":2,"ab":{"é":[],"z":{}},"":null}"#,
                r#"{"": null, "a": 2, "ab": {"z": {}, "é": []}, "bb": 1}"#,
            ),
            (r#""\ud83d\ude00\t\b\f\r/""#, r#""😀\t\b\f\r/""#),
            (" -12.500 ", "-12.500"),
            ("[ ]", "[]"),
            (r#"{"a":{"b":1,"b":[ {"c" : false} ]}}"#, r#"{"a": {"b": [{"c": false}]}}"#),
        ];
        for (sent, stored) in given {
            assert_eq!(written(sent), stored, "{sent}");
            assert_eq!(written(stored), stored);
        }
    }

    #[test]
    fn what_it_is_not_told_of_is_one_value() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(written(&deep(MOST_DEPTH)), deep(MOST_DEPTH));
        let broken = [
            "",
            "{",
            "[1,]",
            "01",
            "x",
            "1 2",
            "\"a",
            "\"a\\",
            "\"\\ud800\"",
            "{\"a\" 1}",
            "{\"a\":1,}",
            "-",
            "[",
            "nul",
        ];
        for other in [deep(MOST_DEPTH + 1).as_str(), deep(100_000).as_str()].iter().chain(&broken) {
            assert_eq!(written(other), "?", "{other}");
        }
    }
}
