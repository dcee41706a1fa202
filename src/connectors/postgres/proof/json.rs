//! JSON as the server writes a `jsonb`: of two equal keys the last, shorter keys before longer ones and else in the order of
//! their bytes, numbers as `numeric` has them.
//!
//! Source: `JsonbToCString`, `lengthCompareJsonbStringValue` and `uniqueifyJsonbObject` of the server's `jsonb.c` and
//! `jsonb_util.c`, `escape_json` of its `json.c`.

use std::io::Write as _;

use serde_json::value::RawValue;

use super::super::encode::{numeric_text, put_numeric};
use crate::formats::json::Members;

/// What is nested deeper is not looked into.
const MOST_DEPTH: usize = 100;

/// What is written no further: `1e131071` is a hundred thousand digits.
const MOST_BYTES: usize = 256 << 20;

/// What the server makes of `text`; none for what is no JSON, is nested too deep, or becomes too long.
pub(super) fn written(text: &str) -> Option<String> {
    let json: &RawValue = serde_json::from_str(text).ok()?;
    let mut out = Vec::with_capacity(text.len() + text.len() / 8);
    put(json.get(), 0, &mut out)?;
    String::from_utf8(out).ok()
}

/// Appends `json`, which is valid, without blanks around it.
fn put(json: &str, depth: usize, out: &mut Vec<u8>) -> Option<()> {
    if out.len() > MOST_BYTES {
        return None;
    }
    match json.as_bytes().first()? {
        b'{' | b'[' if depth == MOST_DEPTH => return None,
        b'{' => {
            let Members(mut members) = serde_json::from_str(json).ok()?;
            // The sort is stable: of equal keys the last stays behind the others.
            members.sort_by(|(one, _), (other, _)| one.len().cmp(&other.len()).then_with(|| one.cmp(other)));
            let mut separator: &[u8] = b"{";
            for (at, (key, value)) in members.iter().enumerate() {
                if members.get(at + 1).is_none_or(|(next, _)| next != key) {
                    out.extend_from_slice(separator);
                    put_text(key, out);
                    out.extend_from_slice(b": ");
                    put(value.get(), depth + 1, out)?;
                    separator = b", ";
                }
            }
            out.extend_from_slice(if members.is_empty() { b"{}" } else { b"}" });
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            let mut separator: &[u8] = b"[";
            for item in &items {
                out.extend_from_slice(separator);
                put(item.get(), depth + 1, out)?;
                separator = b", ";
            }
            out.extend_from_slice(if items.is_empty() { b"[]" } else { b"]" });
        }
        b'"' => put_text(&serde_json::from_str::<String>(json).ok()?, out),
        b't' | b'f' | b'n' => out.extend_from_slice(json.as_bytes()),
        _ => {
            let mut wire = Vec::with_capacity(32);
            (put_numeric(json, &mut wire) && numeric_text(&wire, out)).then_some(())?;
        }
    }
    Some(())
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
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
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(written(sent).as_deref(), Some(stored), "{sent}");
            assert_eq!(written(stored).as_deref(), Some(stored));
        }
    }

    #[test]
    fn what_it_is_not_told_of_is_none() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(written(&deep(MOST_DEPTH)), Some(deep(MOST_DEPTH)));
        for other in [deep(MOST_DEPTH + 1).as_str(), deep(100_000).as_str(), "", "{", "[1,]", "01", "x", "1 2"] {
            assert_eq!(written(other), None);
        }
    }
}
