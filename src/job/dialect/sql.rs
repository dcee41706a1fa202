//! SQL that readers of tables send.

/// The list of a SELECT with these `columns`, each of them SQL as it stands. Constants get a name of their own: some databases give them
/// none, others the same to all.
pub(super) fn list(columns: &[String]) -> String {
    let named = columns.iter().enumerate().map(|(place, column)| {
        if is_constant(column.trim()) { format!("{column} as constant_{}", place + 1) } else { column.clone() }
    });
    named.collect::<Vec<_>>().join(",")
}

/// Whether `column` is a number, a text, NULL, true or false, and nothing more.
fn is_constant(column: &str) -> bool {
    let is_word = ["null", "true", "false"].iter().any(|word| column.eq_ignore_ascii_case(word));
    let is_number = column.contains(|sign: char| sign.is_ascii_digit())
        && column.starts_with(|sign: char| sign.is_ascii_digit() || "+-.".contains(sign))
        && column.parse::<f64>().is_ok();
    let text = column.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    // A backslash may hide the quote behind it.
    let is_text = text.is_some_and(|text| !text.replace("''", "").contains(['\'', '\\']));
    is_word || is_number || is_text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_get_names_of_their_own() {
        let of = |columns: &[&str]| list(&columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>());
        let all = of(&["id", "null", "'it''s'", " -1.5e3", "''", "True"]);
        let expected =
            "id,null as constant_2,'it''s' as constant_3, -1.5e3 as constant_4,'' as constant_5,True as constant_6";
        assert_eq!(all, expected);
        for column in
            ["a", "'x' as c", "'a' || 'b'", "1 + 1", "now()", "\"1\"", "'a\\'b'", "'", "-x", "nan", "inf", "1,2", "*"]
        {
            assert_eq!(of(&[column]), column);
        }
    }
}
