//! Lenient JSON: what `DataX`'s fastjson and `FlinkX`'s Gson take, and comments, which older releases of both took.
//!
//! Beside strict JSON there may be comments (`//`, `#`, `/* */`), a comma behind the last member or element, strings in
//! single quotes, bare keys, and any control character within a string. Of equal keys the last one counts.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use super::{DEPTH, Parsed, error, number};
use crate::error::{Error, Result};
use crate::job::tree::{Position, joined};

/// Parses the whole of `text`, which has no byte order mark.
pub(super) fn parse(text: &str) -> Result<Parsed> {
    let mut parser = Parser { text, at: 0, place: Position { line: 1, column: 1 }, positions: HashMap::new() };
    parser.skip_blanks("")?;
    let root = parser.value("", 0)?;
    parser.skip_blanks("")?;
    if parser.peek().is_some() {
        return Err(parser.error("text follows the end of the job", ""));
    }
    Ok(Parsed { root, positions: parser.positions, ..Parsed::default() })
}

struct Parser<'a> {
    text: &'a str,
    /// The next byte.
    at: usize,
    /// Where it stands.
    place: Position,
    positions: HashMap<String, Position>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        self.place.column += 1;
        if next == '\n' {
            self.place = Position { line: self.place.line + 1, column: 1 };
        }
        Some(next)
    }

    fn takes(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        if is_there {
            self.next();
        }
        is_there
    }

    fn error(&self, message: impl Into<String>, path: &str) -> Error {
        error(message, self.place, path)
    }

    /// Skips blanks and comments.
    fn skip_blanks(&mut self, path: &str) -> Result<()> {
        while let Some(next) = self.peek() {
            let rest = &self.text[self.at..];
            if next.is_whitespace() || next == '\u{8}' || next == '\u{feff}' {
                self.next();
            } else if next == '#' || rest.starts_with("//") {
                while self.peek().is_some_and(|c| c != '\n') {
                    self.next();
                }
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let Some(length) = comment.find("*/") else {
                    return Err(self.error("this comment has no end", path));
                };
                let end = self.at + 2 + length + 2;
                while self.at < end {
                    self.next();
                }
            } else {
                break;
            }
        }
        Ok(())
    }

    /// The value that begins here.
    fn value(&mut self, path: &str, depth: usize) -> Result<Json> {
        if depth > DEPTH {
            return Err(self.error(format!("values lie more than {DEPTH} deep in each other"), path));
        }
        self.positions.insert(path.to_owned(), self.place);
        match self.peek() {
            None => Err(self.error("the text ends where a value should be", path)),
            Some('{') => self.object(path, depth),
            Some('[') => self.array(path, depth),
            Some(quote @ ('"' | '\'')) => self.string(quote, path).map(Json::String),
            Some('-' | '0'..='9') => self.number(path),
            Some(_) => self.word(path),
        }
    }

    fn object(&mut self, path: &str, depth: usize) -> Result<Json> {
        self.next();
        let mut object = Map::new();
        loop {
            self.skip_blanks(path)?;
            if self.takes('}') {
                return Ok(Json::Object(object));
            }
            let key = self.key(path)?;
            let path = joined(path, &key);
            self.skip_blanks(&path)?;
            if !self.takes(':') {
                return Err(self.error("a ':' is missing behind the key", &path));
            }
            self.skip_blanks(&path)?;
            let value = self.value(&path, depth + 1)?;
            object.insert(key, value);
            self.separator('}', &path)?;
        }
    }

    fn array(&mut self, path: &str, depth: usize) -> Result<Json> {
        self.next();
        let mut array = Vec::new();
        loop {
            self.skip_blanks(path)?;
            if self.takes(']') {
                return Ok(Json::Array(array));
            }
            let path = joined(path, &array.len().to_string());
            array.push(self.value(&path, depth + 1)?);
            self.separator(']', &path)?;
        }
    }

    /// Skips the comma behind a value, which may be left out before `end` alone.
    fn separator(&mut self, end: char, path: &str) -> Result<()> {
        self.skip_blanks(path)?;
        match self.peek() {
            Some(',') => {
                self.next();
                Ok(())
            }
            Some(next) if next == end => Ok(()),
            Some(_) => Err(self.error(format!("a ',' or '{end}' is missing behind this value"), path)),
            None => Err(self.error(format!("the text ends before the '{end}'"), path)),
        }
    }

    fn key(&mut self, path: &str) -> Result<String> {
        if let Some(quote @ ('"' | '\'')) = self.peek() {
            return self.string(quote, path);
        }
        let key = self.bare();
        if key.is_empty() {
            return Err(self.error("a key should be here", path));
        }
        Ok(key)
    }

    /// The letters of a word without quotes.
    fn bare(&mut self) -> String {
        let is_letter = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '-' | '.' | '@');
        let begin = self.at;
        while self.peek().is_some_and(is_letter) {
            self.next();
        }
        self.text[begin..self.at].to_owned()
    }

    fn word(&mut self, path: &str) -> Result<Json> {
        let begin = self.place;
        match self.bare().as_str() {
            "true" => Ok(Json::Bool(true)),
            "false" => Ok(Json::Bool(false)),
            "null" => Ok(Json::Null),
            "" => Err(error("a value should be here", begin, path)),
            // It may be a secret.
            _ => Err(error("a text has to stand in quotes", begin, path)),
        }
    }

    fn number(&mut self, path: &str) -> Result<Json> {
        let begin = (self.at, self.place);
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '+' | '-' | '.' | '_');
        while self.peek().is_some_and(is_part) {
            self.next();
        }
        let digits = &self.text[begin.0..self.at];
        if !is_number(digits) {
            return Err(error("this begins as a number and is none", begin.1, path));
        }
        Ok(number(digits))
    }

    fn string(&mut self, quote: char, path: &str) -> Result<String> {
        let begin = self.place;
        self.next();
        let mut out = String::new();
        loop {
            match self.next() {
                None => return Err(error("the closing quote of this string is missing", begin, path)),
                Some('\\') => self.escape(&mut out, path)?,
                Some(c) if c == quote => return Ok(out),
                Some(c) => out.push(c),
            }
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self, out: &mut String, path: &str) -> Result<()> {
        let plain = match self.next() {
            Some(c @ ('"' | '\'' | '\\' | '/' | '\n')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('0') => '\0',
            Some('v') => '\u{b}',
            Some('x') => self.unit(2).and_then(char::from_u32).ok_or_else(|| self.half(path))?,
            Some('u') => {
                let first = self.unit(4).ok_or_else(|| self.half(path))?;
                self.joined(first).ok_or_else(|| self.half(path))?
            }
            _ => return Err(self.error("a string has no such escape; write '\\\\' for a backslash", path)),
        };
        out.push(plain);
        Ok(())
    }

    fn half(&self, path: &str) -> Error {
        self.error("this escape is no whole character", path)
    }

    /// So many hexadecimal digits.
    fn unit(&mut self, digits: usize) -> Option<u32> {
        let text = self.text.get(self.at..self.at + digits)?;
        let unit = text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(text, 16).ok())??;
        self.at += digits;
        self.place.column += digits;
        Some(unit)
    }

    /// The character of a unit of UTF-16, and of the one that follows where it is the first half of a pair.
    fn joined(&mut self, first: u32) -> Option<char> {
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        if !self.text[self.at..].starts_with("\\u") {
            return None;
        }
        self.at += 2;
        self.place.column += 2;
        let second = self.unit(4).filter(|unit| (0xdc00..0xe000).contains(unit))?;
        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))
    }
}

/// Whether `text` is a number of JSON.
fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(head, tail)| (head, Some(tail)));
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(head, tail)| (head, Some(tail)));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent = exponent.map(|exponent| exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    are_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(are_digits)
        && exponent.is_none_or(are_digits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn value(text: &str) -> Json {
        parse(text).unwrap().root
    }

    fn refused(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    /// What fastjson 2 takes of DataX's jobs (datax.md §1.1), and comments as fastjson 1 and Gson have them.
    #[test]
    fn what_the_other_programs_take_is_taken() {
        assert_eq!(
            value("{'a': 1, b: [1, 2,], \"c\": {\"d\": null,},}"),
            json!({"a": 1, "b": [1, 2], "c": {"d": null}})
        );
        assert_eq!(value("// x\n{ # y\n/* z\n * */ \"a\": true // w\n}\n"), json!({"a": true}));
        assert_eq!(value("{\"a\": \"x\ny\u{1}\"}"), json!({"a": "x\ny\u{1}"}));
        assert_eq!(value("{\"a\": 1, \"a\": 2}"), json!({"a": 2}));
        assert_eq!(value(r#"{"a": "\u00e4\uD83D\uDE00\x41\/\t"}"#), json!({"a": "ä😀A/\t"}));
        assert_eq!(value("{\"u\": \"jdbc:mysql://h:3306/db\"}"), json!({"u": "jdbc:mysql://h:3306/db"}));
        assert_eq!(value("[-0.5, 1E2, 18446744073709551615]"), json!([-0.5, 100.0, u64::MAX]));
    }

    #[test]
    fn an_error_has_line_column_and_path() {
        let table = [
            (
                "{\"job\": {\"speed\": {\"channel\": x}}}",
                "key job.speed.channel (line 1, column 31): a text has to stand in quotes",
            ),
            ("{\n  \"a\": [1\n 2]}", "key a.0 (line 3, column 2): a ',' or ']' is missing behind this value"),
            ("{\"a\" 1}", "key a (line 1, column 6): a ':' is missing behind the key"),
            ("{\"a\": \"b}", "key a (line 1, column 7): the closing quote of this string is missing"),
            ("{\"a\": \"\\N\"}", "no such escape"),
            ("{\"a\": 1} x", "place line 1, column 10: text follows the end of the job"),
            ("{\"a\": 1,, \"b\": 2}", "a key should be here"),
            ("{\"a\": 01}", "this begins as a number and is none"),
            ("{\"a\": NaN}", "a text has to stand in quotes"),
            ("{\"a\": /* 1}", "this comment has no end"),
            ("{\"a\": \"\\uD83D\"}", "this escape is no whole character"),
            ("{\"a\":", "the text ends where a value should be"),
            ("", "the text ends where a value should be"),
        ];
        for (text, message) in table {
            let error = refused(text);
            assert!(error.contains(message), "{text:?}: {error}");
        }
        assert!(refused(&"[".repeat(100_000)).contains("more than 100 deep"));
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            ".{0,8}".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::vec((".{0,4}", inner), 0..4)
                    .prop_map(|pairs| Json::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn strict_json_is_read_as_serde_reads_it(json in any_json()) {
            prop_assert_eq!(&value(&json.to_string()), &json);
            prop_assert_eq!(&value(&serde_json::to_string_pretty(&json).unwrap()), &json);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}:,'\"\\\\/*#0-9eE.+u a-dä\n-]{0,40}") {
            let _ = parse(&text);
        }
    }
}
