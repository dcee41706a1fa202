//! The text of a job file as a tree of values, each with its place in the text: JSON, YAML or TOML.

mod json;
mod toml;
mod yaml;

use std::collections::HashMap;

use serde::de::IgnoredAny;
use serde_json::{Number, Value as Json};

use super::tree::{Position, Tree};
use crate::error::{Error, ErrorKind, Result};

/// How deep values may lie within each other.
const DEPTH: usize = 100;

/// Digits up to which a decimal number is the same as a float, and back.
const FLOAT_DIGITS: usize = 15;

/// How a job file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// JSON as `DataX` and `FlinkX` take it: comments, trailing commas, single quotes, bare keys, raw line ends in strings.
    Json,
    /// YAML 1.2, one document.
    Yaml,
    /// TOML 1.1.
    Toml,
}

impl Syntax {
    /// That of a file by the extension of its `name`, else by its `text`.
    pub fn of(name: &str, text: &str) -> Self {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        match extension.as_deref() {
            Some("json" | "json5" | "jsonc") => Self::Json,
            Some("yaml" | "yml") => Self::Yaml,
            Some("toml") => Self::Toml,
            _ => Self::of_text(text),
        }
    }

    fn of_text(text: &str) -> Self {
        let text = text.trim_start_matches('\u{feff}').trim_start();
        if text.starts_with(['{', '/']) {
            return Self::Json;
        }
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or("");
        let is_table = line.starts_with('[') && line.ends_with(']');
        let is_pair = line.find('=').is_some_and(|at| !line[..at].contains(':'));
        if is_table || is_pair { Self::Toml } else { Self::Yaml }
    }
}

/// The values of a text, and where each stands, by its dotted path.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The whole.
    pub root: Json,
    positions: HashMap<String, Position>,
    /// Whether it is JSON that only a lenient parser takes.
    lenient: bool,
}

impl Parsed {
    /// The tree of it.
    pub fn into_tree(self) -> Tree {
        let mut tree = Tree::new(self.root, self.positions);
        tree.lenient = self.lenient;
        tree
    }
}

/// Parses `text`.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for what is not of this syntax: names line, column and, where it is known, the path of the key.
pub fn parse(text: &str, syntax: Syntax) -> Result<Parsed> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match syntax {
        Syntax::Json => {
            let lenient = serde_json::from_str::<IgnoredAny>(text).is_err();
            json::parse(text).map(|parsed| Parsed { lenient, ..parsed })
        }
        Syntax::Yaml => yaml::parse(text),
        Syntax::Toml => toml::parse(text),
    }
}

/// An error at a place of the text, within the value at `path`.
fn error(message: impl Into<String>, position: Position, path: &str) -> Error {
    let error = Error::new(ErrorKind::Usage, message).with_hint("mend the job file there");
    let place = if path.is_empty() { position.to_string() } else { format!("{path} ({position})") };
    error.at(if path.is_empty() { "place" } else { "key" }, place)
}

/// A number by its digits in JSON's notation. What neither 64 bits nor a float can hold exactly stays a text.
fn number(digits: &str) -> Json {
    if let Ok(whole) = digits.parse::<i64>() {
        return Json::from(whole);
    }
    if let Ok(whole) = digits.parse::<u64>() {
        return Json::from(whole);
    }
    let mantissa = digits.split(['e', 'E']).next().unwrap_or_default();
    let is_whole = mantissa.len() == digits.len() && !digits.contains('.');
    let significant: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let count = significant.trim_matches('0').len();
    let float = digits.parse::<f64>().ok().filter(|_| !is_whole && count <= FLOAT_DIGITS).and_then(Number::from_f64);
    float.map_or_else(|| Json::from(digits), Json::Number)
}

/// Where the byte `offset` of `text` stands.
pub(super) fn position_of(text: &str, offset: usize) -> Position {
    let offset = (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let before = &text[..offset];
    let line = before.rfind('\n').map_or(0, |at| at + 1);
    Position {
        line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
        column: text[line..offset].chars().count() + 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_syntax_is_known_by_the_name_or_the_text() {
        assert_eq!(Syntax::of("job.json", "a: 1"), Syntax::Json);
        assert_eq!(Syntax::of("job.YML", "{}"), Syntax::Yaml);
        assert_eq!(Syntax::of("-", "\u{feff} // one\n{}"), Syntax::Json);
        assert_eq!(Syntax::of("-", "# one\n[[transfers]]\n"), Syntax::Toml);
        assert_eq!(Syntax::of("-", "mode = \"append\"\n"), Syntax::Toml);
        assert_eq!(Syntax::of("job", "transfers:\n  - source: {locator: 'gen:?rows=1'}\n"), Syntax::Yaml);
    }

    #[test]
    fn the_three_say_the_same() {
        let wanted =
            json!({"connections": {"shop": {"port": 5432, "x": true}}, "transfers": [{"rate": 0.5, "n": "a b"}]});
        let texts = [
            (
                Syntax::Json,
                "{\"connections\": {\"shop\": {\"port\": 5432, \"x\": true}},\n \"transfers\": [{\"rate\": 0.5, \"n\": \"a b\"}]}",
            ),
            (Syntax::Yaml, "connections:\n  shop: {port: 5432, x: true}\ntransfers:\n  - rate: 0.5\n    n: a b\n"),
            (Syntax::Toml, "[connections.shop]\nport = 5432\nx = true\n[[transfers]]\nrate = 0.5\nn = \"a b\"\n"),
        ];
        for (syntax, text) in texts {
            let parsed = parse(text, syntax).unwrap();
            assert_eq!(parsed.root, wanted, "{syntax:?}");
            let line = parsed.positions["transfers.0.rate"].line;
            assert_eq!(
                line,
                match syntax {
                    Syntax::Json => 2,
                    Syntax::Yaml => 4,
                    Syntax::Toml => 5,
                },
                "{syntax:?}"
            );
        }
    }

    #[test]
    fn numbers_keep_their_digits() {
        assert_eq!(number("18446744073709551615"), json!(u64::MAX));
        assert_eq!(number("18446744073709551616"), json!("18446744073709551616"));
        assert_eq!(number("0.1"), json!(0.1));
        assert_eq!(number("-1e3"), json!(-1000.0));
        assert_eq!(number("0.12345678901234567"), json!("0.12345678901234567"));
        assert_eq!(number("1e999"), json!("1e999"));
        assert_eq!(number("100000000000000000000.0"), json!(1e20));
    }

    #[test]
    fn a_byte_has_a_line_and_a_column() {
        assert_eq!(position_of("ä\nbc", 4), Position { line: 2, column: 2 });
        assert_eq!(position_of("", 9), Position { line: 1, column: 1 });
    }
}
