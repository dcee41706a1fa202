//! Regular expressions as Java reads them.

use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

use crate::error::{Error, ErrorKind, Result};

/// What matches the texts that match the Java pattern `pattern` from begin to end.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) when it is none, or needs to look around or back.
pub(super) fn compile(pattern: &str) -> Result<Regex> {
    let refused = || {
        Error::new(ErrorKind::Usage, "this pattern cannot be matched").with_hint(
            "it must be a regular expression without look-around, back-references, possessive quantifiers and \\h, \\v, \\R",
        )
    };
    let pattern = translated(pattern).ok_or_else(refused)?;
    Regex::new(&format!(r"\A(?:{pattern})\z")).map_err(|error| refused().with_source(error))
}

/// `pattern` with the classes of ASCII and the line ends of Java; none where both write the same and mean something else.
fn translated(pattern: &str) -> Option<String> {
    let dot = if pattern.contains("(?s") { "." } else { r"[^\n\r\u{85}\u{2028}\u{2029}]" };
    let mut out = String::with_capacity(pattern.len() * 2);
    let mut rest = pattern.chars().peekable();
    let mut depth = 0_usize;
    // Whether the character before is a quantifier, after which `+` would make it possessive.
    let mut quantified = false;
    while let Some(character) = rest.next() {
        let was_quantified = std::mem::take(&mut quantified);
        match character {
            '\\' => escape(&mut rest, &mut out)?,
            '[' => {
                depth += 1;
                out.push('[');
            }
            ']' => {
                depth = depth.saturating_sub(1);
                out.push(']');
            }
            '.' if depth == 0 => out.push_str(dot),
            '+' if depth == 0 && was_quantified => return None,
            _ => {
                quantified = depth == 0 && !was_quantified && matches!(character, '*' | '+' | '?' | '}');
                out.push(character);
            }
        }
    }
    Some(out)
}

/// Translates what follows a backslash.
fn escape(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Option<()> {
    match rest.next()? {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str(r"[ \t\n\x0B\f\r]"),
        'S' => out.push_str(r"[^ \t\n\x0B\f\r]"),
        'Q' => {
            let quoted: String = rest.collect();
            let (text, after) = quoted.split_once("\\E").unwrap_or((&quoted, ""));
            out.push_str(&regex::escape(text));
            out.push_str(&translated(after)?);
        }
        'h' | 'v' | 'R' => return None,
        kind @ ('p' | 'P') if rest.peek() == Some(&'{') => {
            let name: String = rest.by_ref().skip(1).take_while(|character| *character != '}').collect();
            let posix = ["Lower", "Upper", "ASCII", "Alpha", "Digit", "Alnum", "Punct", "Graph", "Print", "Blank"];
            if posix.contains(&&*name) || ["Cntrl", "XDigit", "Space"].contains(&&*name) {
                let not = if kind == 'P' { "^" } else { "" };
                out.push_str(&["[[:", not, &name.to_ascii_lowercase(), ":]]"].concat());
            } else {
                out.push_str(&["\\", if kind == 'P' { "P" } else { "p" }, "{", &name, "}"].concat());
            }
        }
        other => out.extend(['\\', other]),
    }
    Some(())
}
