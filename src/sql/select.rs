//! SELECT statements as text.

/// The rows of `from`, which is quoted, for which all `conditions` hold, and no more than `limit` of them.
pub fn select(list: &str, from: &str, conditions: &[String], limit: Option<u64>) -> String {
    let limit = limit.map(|limit| format!(" LIMIT {limit}")).unwrap_or_default();
    format!("SELECT {list} FROM {from}{}{limit}", filtered(conditions))
}

/// What stands behind FROM where all `conditions` are to hold, with a blank before it; nothing where there are none.
pub fn filtered(conditions: &[String]) -> String {
    if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
}

/// The names of the columns of a query, each once: one that comes again has a number behind it, and one that is empty is
/// called by its place, as PostgreSQL calls those of VALUES.
pub fn distinct(names: &[String]) -> Vec<String> {
    numbered(names, |one, other| one == other)
}

/// The same where names that differ in the case of ASCII letters alone are one.
pub fn distinct_in_any_case(names: &[String]) -> Vec<String> {
    numbered(names, str::eq_ignore_ascii_case)
}

/// Gives each of `columns` a name of its own, as `apart` tells names apart. The answer is their names, where one had to change.
pub fn name_apart<C>(
    columns: &mut [C],
    name: impl Fn(&mut C) -> &mut String,
    apart: fn(&[String]) -> Vec<String>,
) -> Option<Vec<String>> {
    let given: Vec<String> = columns.iter_mut().map(|column| name(column).clone()).collect();
    let names = apart(&given);
    if names == given {
        return None;
    }
    for (column, new) in columns.iter_mut().zip(&names) {
        name(column).clone_from(new);
    }
    Some(names)
}

fn numbered(names: &[String], are_one: fn(&str, &str) -> bool) -> Vec<String> {
    let mut given: Vec<String> = Vec::with_capacity(names.len());
    for (place, name) in names.iter().enumerate() {
        let is_in = |all: &[String], new: &str| all.iter().any(|other| are_one(other, new));
        let plain = if name.is_empty() { format!("column{}", place + 1) } else { name.clone() };
        let own = std::iter::once(plain.clone()).filter(|new| !name.is_empty() || !is_in(names, new));
        let numbered = (2_usize..).map(|number| format!("{plain}_{number}")).filter(|new| !is_in(names, new));
        let free = own.chain(numbered).find(|new| !is_in(&given, new));
        given.extend(free);
    }
    given
}

/// What stands behind SELECT for `columns`: a row without any is still one.
pub fn list(columns: &[String]) -> String {
    if columns.is_empty() { "1".to_owned() } else { columns.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_for_is_left_out() {
        assert_eq!(select(&list(&[]), "t", &[], None), "SELECT 1 FROM t");
        let both = ["a", "b"].map(str::to_owned);
        assert_eq!(select(&list(&both), "t", &both, Some(3)), "SELECT a, b FROM t WHERE a AND b LIMIT 3");
    }

    #[test]
    fn a_name_that_comes_again_has_a_number() {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let of = |names: &[&str]| distinct(&owned(names)).join(",");
        assert_eq!(of(&["id", "v", "ID"]), "id,v,ID");
        assert_eq!(of(&["id", "id", "id_2", "id", "NULL", "NULL"]), "id,id_3,id_2,id_4,NULL,NULL_2");
        assert_eq!(of(&["", "v", "", "column1"]), "column1_2,v,column3,column1");
        let in_any_case = |names: &[&str]| distinct_in_any_case(&owned(names)).join(",");
        assert_eq!(in_any_case(&["id", "ID", "Id_2", "id", "v"]), "id,ID_3,Id_2,id_4,v");
    }

    #[test]
    fn columns_get_names_of_their_own() {
        let mut columns = [("a".to_owned(), 1), ("A".to_owned(), 2)];
        assert_eq!(name_apart(&mut columns, |column| &mut column.0, distinct), None);
        let names = ["a", "A_2"].map(str::to_owned);
        assert_eq!(name_apart(&mut columns, |column| &mut column.0, distinct_in_any_case), Some(names.to_vec()));
        assert_eq!(columns.map(|(name, _)| name), names);
    }
}
