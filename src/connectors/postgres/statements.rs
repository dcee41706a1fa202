//! Cuts SQL text into statements at the semicolons that are not inside quotes or comments.

/// What a statement does to the transaction around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Begins,
    Ends,
}

/// What `statement` does to the transaction around it; none for all others, those on savepoints among them.
pub(super) fn control(statement: &str) -> Option<Control> {
    let words: Vec<String> = words(statement).take(3).map(str::to_ascii_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["begin", ..] | ["start", "transaction", ..] => Some(Control::Begins),
        ["rollback", "to", ..] | ["rollback", "work" | "transaction", "to"] => None,
        ["commit" | "end" | "rollback" | "abort", ..] | ["prepare", "transaction", ..] => Some(Control::Ends),
        _ => None,
    }
}

/// Whether `statement` may stand where a table does, which only those that give rows and do nothing else may. One in
/// parentheses begins with no word.
pub(super) fn may_be_a_table(statement: &str) -> bool {
    let first = words(statement).next().map(str::to_ascii_lowercase);
    matches!(first.as_deref(), None | Some("select" | "with" | "values" | "table"))
}

/// The words at the start of a statement, without the comments between.
fn words(statement: &str) -> impl Iterator<Item = &str> {
    let mut rest = statement;
    std::iter::from_fn(move || {
        rest = after_blanks(rest);
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let word = &rest[..end];
        rest = &rest[end..];
        (!word.is_empty()).then_some(word)
    })
}

/// What follows the blanks and comments at the start of `sql`.
fn after_blanks(mut sql: &str) -> &str {
    loop {
        sql = sql.trim_start();
        if !sql.starts_with("--") && !sql.starts_with("/*") {
            return sql;
        }
        sql = &sql[token(sql, None)..];
    }
}

/// The statements of `sql` without their semicolons; empty ones, and those of comments only, are left out.
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
    statements.into_iter().map(str::trim).filter(|statement| !after_blanks(statement).is_empty()).collect()
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

    use super::{Control, control, may_be_a_table, split};

    #[test]
    fn what_may_be_a_table() {
        for statement in
            ["select 1", "-- a\n WITH a AS (SELECT 1) TABLE a", "values (1)", "/* b */ table t", "(select 1)"]
        {
            assert!(may_be_a_table(statement), "{statement}");
        }
        for statement in ["delete from t returning id", "EXPLAIN select 1", "show all", "create table t (a int)"] {
            assert!(!may_be_a_table(statement), "{statement}");
        }
    }

    #[test]
    fn semicolons_that_count() {
        assert_eq!(split("a; b ;;\n c"), ["a", "b", "c"]);
        assert_eq!(
            split("select ';', e'\\';', \"x;\"; do $$ ; $$; $t$ $$; $t$"),
            ["select ';', e'\\';', \"x;\"", "do $$ ; $$", "$t$ $$; $t$"]
        );
        assert_eq!(split("a -- ; b\n; /* ; /* ; */ ; */ c; x$1$; y"), ["a -- ; b", "/* ; /* ; */ ; */ c", "x$1$", "y"]);
        assert_eq!(split("it''s 'it''s;'"), ["it''s 'it''s;'"]);
        assert_eq!(split("select 1; -- done"), ["select 1"]);
        assert_eq!(split("/* a */ -- b\n; ; select 1 -- c"), ["select 1 -- c"]);
    }

    #[test]
    fn what_ends_a_transaction() {
        for statement in
            ["commit", "END", "Rollback", "abort work", "/* now */ commit and chain", "prepare transaction 'x'"]
        {
            assert_eq!(control(statement), Some(Control::Ends), "{statement}");
        }
        for statement in ["begin", "START -- now\n transaction", "begin isolation level serializable"] {
            assert_eq!(control(statement), Some(Control::Begins), "{statement}");
        }
        for statement in
            ["rollback to a", "rollback work to savepoint a", "savepoint a", "commit_all()", "prepare x as select 1"]
        {
            assert_eq!(control(statement), None, "{statement}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_nothing_is_lost(sql in "[a-z;'\"$/*\\-\\\\ \n€]{0,40}") {
            let _ = control(&sql);
            let kept: usize = split(&sql).iter().map(|part| part.len()).sum();
            prop_assert!(kept <= sql.len());
        }
    }
}
