//! Messages of servers, in our sentences: without values, and with a small letter at the beginning.

/// `message` with what stands between the first `quote` and the last, possibly a value, taken out.
pub fn blanked(message: &str, quote: char) -> String {
    let Some((before, _)) = message.split_once(quote) else { return message.to_owned() };
    let after = message[before.len() + quote.len_utf8()..].rsplit_once(quote).map_or("", |(_, after)| after);
    format!("{before}{quote}…{quote}{after}")
}

/// `text` without what stands in it between two of the same of `marks`.
pub fn unquoted(text: &str, marks: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut open = None;
    for letter in text.chars() {
        match open {
            Some(mark) if letter == mark => {
                open = None;
                out.push(letter);
            }
            Some(_) => {}
            None => {
                out.push(letter);
                if marks.contains(&letter) {
                    open = Some(letter);
                    out.push('…');
                }
            }
        }
    }
    out
}

/// `message` without the capital with which a sentence begins. An abbreviation (`TLS`, `WAL`) keeps its own.
pub fn lower_start(message: &str) -> String {
    let mut chars = message.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(message.chars().skip(1)).collect()
        }
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_blanked() {
        let cases = [
            (r#"syntax for type integer: "4x""#, r#"syntax for type integer: "…""#),
            (r#"value "a"b" is out of range"#, r#"value "…" is out of range"#),
            (r#"value "a is out of range"#, r#"value "…""#),
            ("it's a value", "it's a value"),
        ];
        for (message, expected) in cases {
            assert_eq!(blanked(message, '"'), expected);
        }
    }

    #[test]
    fn what_is_quoted_is_left_out() {
        let text = r#"no 'a"b' in "c", it's d"#;
        assert_eq!(unquoted(text, &['"', '\'']), r#"no '…' in "…", it'…"#);
        assert_eq!(unquoted(text, &['"']), r#"no 'a"…"c"…"#);
    }

    #[test]
    fn abbreviations_keep_their_capitals() {
        assert_eq!(
            [lower_start("Bad thing"), lower_start("TLS is off"), lower_start("X")],
            ["bad thing", "TLS is off", "X"]
        );
    }
}
