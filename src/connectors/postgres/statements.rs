//! Cuts SQL text into statements at the semicolons that are not inside quotes or comments.

/// The statements of `sql` without their semicolons; empty ones are left out.
pub(super) fn split(sql: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < sql.len() {
        let rest = &sql[at..];
        if rest.starts_with(';') {
            statements.push(&sql[start..at]);
            start = at + 1;
        }
        at += token(rest, sql[..at].chars().next_back());
    }
    statements.push(&sql[start..]);
    statements.into_iter().map(str::trim).filter(|statement| !statement.is_empty()).collect()
}

/// Bytes of the token at the start of `rest`: a quoted text or comment as a whole, else one letter.
fn token(rest: &str, before: Option<char>) -> usize {
    let until = |open: usize, close: &str| rest[open..].find(close).map_or(rest.len(), |end| open + end + close.len());
    match rest.as_bytes() {
        [b'\'', ..] if matches!(before, Some('e' | 'E')) => escaped(rest),
        // A doubled quote is two quoted texts side by side, which is the same here.
        [b'\'', ..] => until(1, "'"),
        [b'"', ..] => until(1, "\""),
        [b'-', b'-', ..] => until(2, "\n"),
        [b'/', b'*', ..] => comment(rest),
        [b'$', ..] if !before.is_some_and(|c| c.is_alphanumeric() || c == '_') => match dollar_tag(rest) {
            Some(tag) => until(tag.len(), tag),
            None => 1,
        },
        _ => rest.chars().next().map_or(1, char::len_utf8),
    }
}

fn escaped(rest: &str) -> usize {
    let mut skip = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if skip => skip = false,
            b'\\' => skip = true,
            b'\'' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Comments nest.
fn comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    let bytes = rest.as_bytes();
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// `$$` or `$name$`.
fn dollar_tag(rest: &str) -> Option<&str> {
    let end = rest[1..].find('$')? + 2;
    let name = &rest[1..end - 1];
    let valid =
        name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    valid.then(|| &rest[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::split;

    #[test]
    fn semicolons_that_count() {
        assert_eq!(split("a; b ;;\n c"), ["a", "b", "c"]);
        assert_eq!(
            split("select ';', e'\\';', \"x;\"; do $$ ; $$; $t$ $$; $t$"),
            ["select ';', e'\\';', \"x;\"", "do $$ ; $$", "$t$ $$; $t$"]
        );
        assert_eq!(split("a -- ; b\n; /* ; /* ; */ ; */ c; x$1$; y"), ["a -- ; b", "/* ; /* ; */ ; */ c", "x$1$", "y"]);
        assert_eq!(split("it''s 'it''s;'"), ["it''s 'it''s;'"]);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_nothing_is_lost(sql in "[a-z;'\"$/*\\-\\\\ \n€]{0,40}") {
            let kept: usize = split(&sql).iter().map(|part| part.len()).sum();
            prop_assert!(kept <= sql.len());
        }
    }
}
