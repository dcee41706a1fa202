//! Table definitions as text. The type names are the caller's.

use super::dialect::Dialect;

/// One column of a table definition.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// Its exact name.
    pub name: &'a str,
    /// Its type in the target's own words.
    pub native_type: &'a str,
    /// Whether it refuses NULL.
    pub not_null: bool,
}

/// `CREATE TABLE` for `name`, which is already quoted, with `key` as its primary key if there is one.
pub fn create_table(dialect: &dyn Dialect, name: &str, columns: &[Column<'_>], key: &[String]) -> String {
    let mut lines: Vec<String> = columns
        .iter()
        .map(|column| {
            let not_null = if column.not_null { " NOT NULL" } else { "" };
            format!("{} {}{not_null}", dialect.identifier(column.name), column.native_type)
        })
        .collect();
    if !key.is_empty() {
        lines.push(format!("PRIMARY KEY ({})", identifiers(dialect, key)));
    }
    format!("CREATE TABLE {name} (\n  {}\n)", lines.join(",\n  "))
}

/// `names` quoted, with commas between.
pub fn identifiers<S: AsRef<str>>(dialect: &dyn Dialect, names: &[S]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| dialect.identifier(name.as_ref())).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::dialect::Sqlite;

    #[test]
    fn tables_have_types_not_null_and_key() {
        let columns = [
            Column { name: "id", native_type: "INTEGER", not_null: true },
            Column { name: "na\"me", native_type: "TEXT", not_null: false },
        ];
        assert_eq!(
            create_table(&Sqlite, "\"t\"", &columns, &["id".to_owned()]),
            "CREATE TABLE \"t\" (\n  \"id\" INTEGER NOT NULL,\n  \"na\"\"me\" TEXT,\n  PRIMARY KEY (\"id\")\n)"
        );
    }
}
