//! Names: the table that a target gets when none is named, and the scheme that was perhaps meant.

use super::{FILE, Locator, Lookup, usage};
use crate::error::Result;
use crate::object::ObjectRef;

/// The table in a target that was named without one: the source's table without its schema, or its file's stem.
///
/// # Errors
/// [`Usage`](crate::error::ErrorKind::Usage) when the source has no name either: a query, a glob, stdin.
pub fn default_table(source: &Locator, object: &ObjectRef, lookup: &dyn Lookup) -> Result<String> {
    let name = match object {
        ObjectRef::Query(_) => None,
        ObjectRef::Table(table) => Some(last_part(table).to_owned()),
        ObjectRef::Whole if source.connector == FILE => stem(source, lookup).map(quoted),
        ObjectRef::Whole => generated(&source.url),
    };
    name.filter(|name| !name.is_empty()).ok_or_else(|| {
        usage("the target names no table, and the source has no name to lend it")
            .with_hint("add '#table' to the target, or --into table")
    })
}

/// What follows the last dot outside double quotes.
fn last_part(table: &str) -> &str {
    let mut quoted = false;
    let mut start = 0;
    for (at, c) in table.char_indices() {
        quoted ^= c == '"';
        if c == '.' && !quoted {
            start = at + 1;
        }
    }
    &table[start..]
}

fn stem<'a>(source: &'a Locator, lookup: &dyn Lookup) -> Option<&'a str> {
    if source.is_standard_stream() || source.is_glob() {
        return None;
    }
    let mut name = source.url.trim_end_matches('/').rsplit('/').next()?;
    while let Some((before, extension)) = name.rsplit_once('.') {
        if before.is_empty() || !lookup.is_extension(extension) {
            break;
        }
        name = before;
    }
    (!matches!(name, "" | "." | "..")).then_some(name)
}

/// A name as SQL reads it: in double quotes where it is no plain word.
fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// The last word of a dotted name behind the scheme, such as `lineitem` in `gen:tpch.lineitem?sf=1`.
fn generated(url: &str) -> Option<String> {
    let (_, rest) = url.split_once(':')?;
    let word = rest.split('?').next()?.rsplit('.').next()?;
    word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_').then(|| word.to_owned())
}

/// The known word that is at most two edits away from `word`.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let measured = known.iter().map(|name| (distance(word, name), *name));
    measured.filter(|(edits, name)| *edits <= 2 && *edits < name.len()).min().map(|(_, name)| name)
}

/// Levenshtein's distance. Long words are cut: they are near nothing.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().take(32).collect(), right.chars().take(32).collect());
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
