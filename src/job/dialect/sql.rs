//! SQL that readers of tables send.

/// The list of a SELECT with these `columns`, each of them SQL as it stands. Constants get a name of their own: some databases give them
/// none, others the same to all. So does a column that is listed again.
pub(super) fn list(columns: &[String]) -> String {
    let named = columns.iter().enumerate().map(|(place, column)| {
        let again = |name: &&str| columns[..place].iter().any(|other| is_column(other, name));
        match name_of(column).filter(again) {
            Some(name) => format!("{column} as {name}_{}", place + 1),
            None if is_constant(column.trim()) => format!("{column} as constant_{}", place + 1),
            None => column.clone(),
        }
    });
    named.collect::<Vec<_>>().join(",")
}

/// The name that `column` is, if it is nothing else, without quotes around it.
fn name_of(column: &str) -> Option<&str> {
    let column = column.trim();
    let unquoted = |quote: char| column.strip_prefix(quote)?.strip_suffix(quote);
    let name = unquoted('`').or_else(|| unquoted('"')).unwrap_or(column);
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (is_word && !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit()) && !is_constant(column))
        .then_some(name)
}

fn is_column(column: &str, name: &str) -> bool {
    name_of(column).is_some_and(|own| own.eq_ignore_ascii_case(name))
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
        // What is listed again, in any case and with or without quotes.
        assert_eq!(of(&["id", "v", "`ID`", "id"]), "id,v,`ID` as ID_3,id as id_4");
        assert_eq!(of(&["null", "null", "a.id", "a.id"]), "null as constant_1,null as constant_2,a.id,a.id");
    }
}
