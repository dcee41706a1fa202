//! Names of tables, and literals.

use serde::{Deserialize, Serialize};

use crate::endpoint::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::dialect::{ClickHouse, Dialect as _, split_name};

/// Bytes of the longest name of a table: each is the name of a file, with something behind it.
const NAME_BYTES: usize = 200;

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Name {
    pub(super) database: String,
    pub(super) table: String,
}

impl Name {
    /// The table that `typed` names: `orders`, `shop.orders`, `"my shop"."or.ders"`, or in backticks as the server writes it. Without
    /// a database it is in `database`.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage).
    pub(super) fn typed(typed: &str, database: &str) -> Result<Self> {
        let mut parts: Vec<String> =
            split_name(&in_quotes(typed))?.iter().map(|part| part.resolve(&ClickHouse)).collect();
        match parts.as_mut_slice() {
            [table] => Ok(Self { database: database.to_owned(), table: std::mem::take(table) }),
            [database, table] => Ok(Self { database: std::mem::take(database), table: std::mem::take(table) }),
            _ => {
                let error = Error::new(ErrorKind::Usage, format!("the name {typed:?} has more than two parts"));
                Err(error.with_hint("write database.table"))
            }
        }
    }

    /// The table that `object` names.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for a query and for no name.
    pub(super) fn of(object: &ObjectRef, database: &str) -> Result<Self> {
        match object {
            ObjectRef::Table(typed) => Self::typed(typed, database),
            _ => Err(Error::new(ErrorKind::Usage, "a table of the database is needed")
                .with_hint("name it after #: clickhouse://host/database#table")),
        }
    }

    /// The name as SQL has it.
    pub(super) fn quoted(&self) -> String {
        format!("{}.{}", identifier(&self.database), identifier(&self.table))
    }

    /// As a user types it.
    pub(super) fn shown(&self) -> String {
        format!("{}.{}", self.database, self.table)
    }

    /// Another table in the same database.
    pub(super) fn beside(&self, table: String) -> Self {
        Self { database: self.database.clone(), table }
    }

    /// The condition that picks it in `system.tables` and, by the columns `database` and `table`, elsewhere in `system`.
    pub(super) fn is(&self, column: &str) -> String {
        format!("database = {} AND {column} = {}", literal(&self.database), literal(&self.table))
    }
}

/// `typed` with double quotes around its parts that stand in backticks, within which a backslash or another backtick stands before a
/// backtick.
fn in_quotes(typed: &str) -> String {
    let mut quoted = String::with_capacity(typed.len());
    let (mut within, mut begins) = (None, true);
    let mut letters = typed.chars().peekable();
    while let Some(letter) = letters.next() {
        let next = letters.peek().copied();
        match (within, letter) {
            (None, '`' | '"') if begins => {
                within = Some(letter);
                quoted.push('"');
            }
            (Some('`'), '\\') if matches!(next, Some('\\' | '`')) => quoted.extend(letters.next()),
            (Some('`'), '`') if next == Some('`') => quoted.extend(letters.next()),
            (Some('`'), '"') => quoted.push_str("\"\""),
            (Some('"'), '"') if next == Some('"') => {
                letters.next();
                quoted.push_str("\"\"");
            }
            (Some(end), _) if letter == end => {
                within = None;
                quoted.push('"');
            }
            _ => quoted.push(letter),
        }
        begins = within.is_none() && letter == '.';
    }
    quoted
}

/// Refuses a name that the server would not take.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage).
pub(super) fn check_name(name: &str) -> Result<()> {
    let why = match name.len() {
        0 => "is empty",
        _ if name.contains('\0') => "holds a NUL",
        1..=NAME_BYTES => return Ok(()),
        _ => "has more than 200 bytes",
    };
    Err(Error::new(ErrorKind::Usage, format!("the name of the table {why}"))
        .with_hint("use another name for the target"))
}

/// `name` in backticks.
pub(super) fn identifier(name: &str) -> String {
    ClickHouse.identifier(name)
}

/// `names` in backticks, with commas between.
pub(super) fn identifiers<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(identifier).collect::<Vec<_>>().join(", ")
}

/// `text` as a literal.
pub(super) fn literal(text: &str) -> String {
    ClickHouse.text(text).unwrap_or_default()
}

/// `texts` as literals, with commas between.
pub(super) fn literals<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    texts.into_iter().map(literal).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_users_type_them() {
        let name = |typed: &str| Name::typed(typed, "shop").map(|name| name.quoted()).ok();
        assert_eq!(name("orders").unwrap(), "`shop`.`orders`");
        assert_eq!(name("other.Orders").unwrap(), "`other`.`Orders`");
        assert_eq!(name("`my shop`.`or.ders`").unwrap(), "`my shop`.`or.ders`");
        assert_eq!(name("\"my shop\".\"a`b\"").unwrap(), r"`my shop`.`a\`b`");
        assert_eq!(name(r#"`a"b`"#).unwrap(), r#"`shop`.`a"b`"#);
        assert_eq!(name(r#""a.""`b".`c``"d\`\\\e.f`"#).unwrap(), r#"`a."\`b`.`c\`"d\`\\\\e.f`"#);
        assert_eq!(name("a`b").unwrap(), r"`shop`.`a\`b`");
        for odd in ["a\"b", "a\\`b", "\\", "`\"`", "``\\\\", "a.b\n\"c"] {
            assert_eq!(Name::typed(&identifier(odd), "shop").unwrap().table, odd);
        }
        assert_eq!(name("a.b.c"), None);
    }

    #[test]
    fn names_that_the_server_would_refuse() {
        assert!(check_name(&"ü".repeat(100)).is_ok());
        for name in ["", "a\0", &"a".repeat(201)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
