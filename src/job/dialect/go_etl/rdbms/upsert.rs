//! `upsertSql`: what PostgreSQL's `on conflict` says, as far as a merge by key says it, too.

use super::Product;
use crate::error::{Error, ErrorKind, Result};
use crate::job::tree::Node;
use crate::merge::{Duplicates, Merge};

const FORM: &str = "write on conflict (key) do update set a = excluded.a, or on conflict (key) do nothing; for all else, fill a table \
                    beside and merge it by postSql";

/// The merge that `node` asks for.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) for what a merge does not do.
pub(super) fn merge(node: &Node<'_>) -> Result<Merge> {
    let sql = node.text()?;
    read(&sql).ok_or_else(|| {
        let error = node.error("this statement cannot be had as a merge by key");
        Error::new(ErrorKind::Unsupported, error.to_string()).with_hint(FORM)
    })
}

fn read(sql: &str) -> Option<Merge> {
    let words = words(sql.trim().trim_end_matches(';'));
    let mut rest = words.as_slice();
    for word in ["on", "conflict", "("] {
        rest = after(rest, word)?;
    }
    let close = rest.iter().position(|word| word == ")")?;
    let key: Option<Vec<String>> = rest[..close].split(|word| word == ",").map(name).collect();
    let key = key.filter(|key| !key.is_empty())?;
    let rest = after(&rest[close + 1..], "do")?;
    let updates = match after(rest, "nothing") {
        Some(rest) => rest.is_empty().then(Vec::new)?,
        None => set(after(after(rest, "update")?, "set")?)?,
    };
    // Rows come one after the other: the first of a key is inserted, and each that follows updates it, or does nothing.
    let duplicates = if updates.is_empty() { Duplicates::FirstArrived } else { Duplicates::LastArrived };
    Some(Merge { key, updates: Some(updates), duplicates, ..Merge::default() })
}

/// `a = excluded.a, b = excluded.b`: the names.
fn set(words: &[String]) -> Option<Vec<String>> {
    let one = |words: &[String]| {
        let [column, equal, excluded, point, value] = words else { return None };
        let (column, value) = (resolved(column)?, resolved(value)?);
        let same = equal == "=" && excluded.eq_ignore_ascii_case("excluded") && point == "." && column == value;
        same.then_some(column)
    };
    words.split(|word| word == ",").map(one).collect()
}

/// The one name that `words` are.
fn name(words: &[String]) -> Option<String> {
    let [word] = words else { return None };
    resolved(word)
}

fn resolved(word: &str) -> Option<String> {
    Product::Postgres.column(word)
}

/// What stands behind `word`, which begins `words`.
fn after<'a>(words: &'a [String], word: &str) -> Option<&'a [String]> {
    let (first, rest) = words.split_first()?;
    first.eq_ignore_ascii_case(word).then_some(rest)
}

/// Names, with their quotes, and signs.
fn words(sql: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut quoted, mut open) = (false, false);
    for sign in sql.chars() {
        let part = quoted || sign == '"' || sign == '_' || sign == '$' || sign.is_alphanumeric();
        if !part {
            open = false;
            if !sign.is_whitespace() {
                words.push(sign.to_string());
            }
            continue;
        }
        quoted ^= sign == '"';
        match words.last_mut() {
            Some(word) if open => word.push(sign),
            _ => words.push(sign.to_string()),
        }
        open = true;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_that_stays_is_the_one_of_rows_that_come_one_by_one() {
        let duplicates = |sql: &str| read(sql).map(|merge| merge.duplicates);
        assert_eq!(duplicates("on conflict (id) do nothing"), Some(Duplicates::FirstArrived));
        assert_eq!(duplicates("on conflict (id) do update set x = excluded.x"), Some(Duplicates::LastArrived));
    }

    fn told(sql: &str) -> Option<(String, Option<String>)> {
        read(sql).map(|merge| (merge.key.join(","), merge.updates.map(|names| names.join(","))))
    }

    #[test]
    fn what_a_merge_says_too_is_understood() {
        let merge = |key: &str, updates: &str| Some((key.to_owned(), Some(updates.to_owned())));
        assert_eq!(told("on conflict (id) do update set x=excluded.x"), merge("id", "x"));
        let long = "ON CONFLICT (A, \"B b\")\n DO UPDATE SET Y = EXCLUDED.y , \"Z\"=excluded.\"Z\";";
        assert_eq!(told(long), merge("a,B b", "y,Z"));
        assert_eq!(told("on conflict(id) do nothing"), merge("id", ""));
    }

    #[test]
    fn what_it_does_not_say_is_not_taken_for_it() {
        for sql in [
            "",
            "on conflict do nothing",
            "on conflict on constraint c do nothing",
            "on conflict () do nothing",
            "on conflict (lower(a)) do nothing",
            "on conflict (id) where x > 1 do nothing",
            "on conflict (id) do update set x = t.x",
            "on conflict (id) do update set x = excluded.y",
            "on conflict (id) do update set x = excluded.x + 1",
            "on conflict (id) do update set (x, y) = (excluded.x, excluded.y)",
            "on conflict (id) do update set x = excluded.x where t.y > 1",
            "on conflict (id) do update set",
        ] {
            assert_eq!(told(sql), None, "{sql}");
        }
    }
}
