//! Lists as databases write them in types and definitions.

/// `text` cut at the commas that stand in no brackets and in none of `quotes`; a quote that is doubled stays within, and so does
/// one behind `escape`. None where something is left open.
pub fn parts(text: &str, quotes: [char; 2], escape: Option<char>) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0_usize, None);
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match quote {
            Some(_) if Some(letter) == escape => {
                letters.next()?;
            }
            // One that is doubled ends and begins again.
            Some(open) => quote = (letter != open).then_some(open),
            None => match letter {
                '(' | '[' => depth += 1,
                ')' | ']' => depth = depth.checked_sub(1)?,
                ',' if depth == 0 => {
                    parts.push(&text[start..at]);
                    start = at + 1;
                }
                letter => quote = quotes.contains(&letter).then_some(letter),
            },
        }
    }
    parts.push(&text[start..]);
    (depth == 0 && quote.is_none()).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_within_count_for_nothing() {
        let one = |text| parts(text, ['\'', '"'], None).map(|parts| parts.join("|"));
        assert_eq!(one(r#"a, (b, [c, d]), 'e'', f', "g,(""#).unwrap(), r#"a| (b, [c, d])| 'e'', f'| "g,(""#);
        assert_eq!([one("(a"), one("a)"), one("'a")], [None, None, None]);
        let other = |text| parts(text, ['\'', '`'], Some('\\')).map(|parts| parts.len());
        assert_eq!((other(r"'a\', b', `c,`"), other(r"'a\"), other("\"a")), (Some(2), None, Some(1)));
    }
}
