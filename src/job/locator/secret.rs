//! Secrets in locators: variables that stand for them, and the mask that hides them.

use super::{Lookup, usage};
use crate::error::Result;

/// Keys whose values are hidden.
const SECRET_KEYS: [&str; 6] = ["password", "passwd", "pwd", "secret", "token", "key"];

/// What a hidden value looks like.
const MASK: &str = "***";

/// `url` with every password hidden: in `user:password@`, in `?password=…` and in `password=…` of a keyword string.
pub fn mask(url: &str) -> String {
    let Some(start) = url.find("://").map(|at| at + 3) else { return mask_pairs(url) };
    let (scheme, rest) = url.split_at(start);
    let (host_at, user) = match rest.rfind('@') {
        Some(at) => (at, Some(&rest[..at])),
        None => (0, None),
    };
    let user = user.map(|user| match user.split_once(':') {
        Some((name, _)) => format!("{name}:{MASK}"),
        None => user.to_owned(),
    });
    format!("{scheme}{}{}", user.unwrap_or_default(), mask_pairs(&rest[host_at..]))
}

/// Hides the values of secret keys in `k=v` pairs that are parted by `?`, `&` or blanks.
fn mask_pairs(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let key = before.trim_end().rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
        out.push_str(before);
        out.push('=');
        rest = after;
        if is_secret(key) {
            out.push_str(MASK);
            rest = &after[value_length(after)..];
        }
    }
    out.push_str(rest);
    out
}

/// Whether the value of the option `key` is hidden.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    // `sslkey` names a file, and its name may be needed to find a mistake.
    key != "sslkey" && SECRET_KEYS.iter().any(|secret| key.ends_with(secret))
}

/// Bytes of a value: up to `&` or a blank, or a whole single-quoted string with its leading blanks.
fn value_length(text: &str) -> usize {
    let blanks = text.len() - text.trim_start().len();
    let value = &text[blanks..];
    let Some(inner) = value.strip_prefix('\'') else {
        return blanks + value.find(|c: char| c == '&' || c.is_whitespace()).unwrap_or(value.len());
    };
    let mut escaped = false;
    let end = inner.char_indices().find(|(_, c)| {
        let ends = *c == '\'' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| blanks + 1 + at + 1)
}

/// The value of the variable that `text` begins with, and the rest.
pub(super) fn leading<'a>(text: &'a str, lookup: &dyn Lookup) -> Result<(String, &'a str)> {
    let (name, rest) = variable(text)?;
    Ok((value(name, lookup)?, rest))
}

/// Replaces every `${NAME}` as it stands.
pub(super) fn fill(text: &str, lookup: &dyn Lookup) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        let (name, after) = variable(&rest[at..])?;
        out.push_str(&value(name, lookup)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// The name in `${NAME}` at the start of `text`, and what follows.
fn variable(text: &str) -> Result<(&str, &str)> {
    let parts = text.strip_prefix("${").and_then(|inner| inner.split_once('}'));
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    parts
        .filter(|(name, _)| is_name(name))
        .ok_or_else(|| usage("'${' in a locator begins no variable").with_hint("write '${NAME}', in single quotes"))
}

fn value(name: &str, lookup: &dyn Lookup) -> Result<String> {
    lookup.variable(name).ok_or_else(|| {
        usage(format!("the environment variable {name} is not set")).with_hint(format!("export {name}=… first"))
    })
}
