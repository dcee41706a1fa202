//! Names of tables, and literals.

use serde::{Deserialize, Serialize};

use crate::endpoint::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::dialect::{Dialect as _, MySql, split_name};

/// Letters of a name that the server keeps.
const NAME_CHARS: usize = 64;

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Name {
    pub(super) database: String,
    pub(super) table: String,
}

impl Name {
    /// The table that `typed` names: `orders`, `shop.orders`, `"my shop"."or.ders"`, with backticks as well as quotes, of which one within
    /// a name is doubled. Without a database it is in `database`.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage).
    pub(super) fn typed(typed: &str, database: Option<&str>) -> Result<Self> {
        let has_ticks = typed.starts_with('`') || !typed.starts_with('"') && typed.contains(".`");
        let turned = |name: String| if has_ticks { exchanged(&name) } else { name };
        let split = split_name(&turned(typed.to_owned()))?;
        let mut parts: Vec<String> = split.iter().map(|part| turned(part.resolve(&MySql))).collect();
        let name = match (parts.as_mut_slice(), database) {
            ([table], Some(database)) => Self { database: database.to_owned(), table: std::mem::take(table) },
            ([database, table], _) => Self { database: std::mem::take(database), table: std::mem::take(table) },
            ([_], None) => {
                let error = Error::new(ErrorKind::Usage, format!("in which database {typed:?} is, nothing says"));
                return Err(error.with_hint("write mysql://host/database#table or #database.table"));
            }
            _ => {
                let error = Error::new(ErrorKind::Usage, format!("the name {typed:?} has more than two parts"));
                return Err(error.with_hint("write database.table"));
            }
        };
        Ok(name)
    }

    /// The table that `object` names.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for a query and for no name.
    pub(super) fn of(object: &ObjectRef, database: Option<&str>) -> Result<Self> {
        match object {
            ObjectRef::Table(typed) => Self::typed(typed, database),
            _ => Err(Error::new(ErrorKind::Usage, "a table of the database is needed")
                .with_hint("name it after #: mysql://host/database#table")),
        }
    }

    /// The name as SQL has it.
    pub(super) fn quoted(&self) -> String {
        format!("{}.{}", identifier(&self.database), identifier(&self.table))
    }

    /// Another table in the same database.
    pub(super) fn beside(&self, table: &str) -> Self {
        Self { database: self.database.clone(), table: table.to_owned() }
    }
}

/// `name` with quotes for backticks and backticks for quotes.
fn exchanged(name: &str) -> String {
    let other = |letter| match letter {
        '`' => '"',
        '"' => '`',
        letter => letter,
    };
    name.chars().map(other).collect()
}

/// Refuses a name that the server would not take.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) naming what it is.
pub(super) fn check_name(name: &str, what: &'static str) -> Result<()> {
    let why = match name.chars().count() {
        0 => "is empty",
        _ if name.contains('\0') => "holds a NUL",
        _ if name.ends_with(' ') => "ends in a space, which MySQL does not take",
        _ if name.chars().any(|c| c > '\u{ffff}') => "has a letter beyond 16 bits, which MySQL does not take",
        1..=NAME_CHARS => return Ok(()),
        _ => "has more than the 64 letters that MySQL takes",
    };
    let error = Error::new(ErrorKind::Usage, format!("the name of the {what} {why}")).at(what, format!("{name:?}"));
    Err(error.with_hint("use --rename, or another name for the target"))
}

/// `name` in backticks.
pub(super) fn identifier(name: &str) -> String {
    MySql.identifier(name)
}

/// `names` in backticks, with commas between.
pub(super) fn identifiers<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(identifier).collect::<Vec<_>>().join(", ")
}

/// `text` as a literal that means the same in every session.
pub(super) fn literal(text: &str) -> String {
    MySql.text(text).unwrap_or_default()
}

/// `text` in quotes, for statements that take no expression. Backslashes are escapes in our sessions.
pub(super) fn quoted_text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''").replace('\0', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_users_type_them() {
        let name = |typed: &str| Name::typed(typed, Some("shop")).map(|name| name.quoted()).ok();
        assert_eq!(name("orders").unwrap(), "`shop`.`orders`");
        assert_eq!(name("other.orders").unwrap(), "`other`.`orders`");
        assert_eq!(name("`my shop`.`or.ders`").unwrap(), "`my shop`.`or.ders`");
        assert_eq!(name("\"my shop\".\"a`b\"").unwrap(), "`my shop`.`a``b`");
        assert_eq!(name("other.`or.ders`").unwrap(), "`other`.`or.ders`");
        assert_eq!(name("a.b.c"), None);
        for table in ["a`b", "a\"b", "`", "a\".`b", "'"] {
            let listed = identifier(table);
            assert_eq!(name(&listed).unwrap(), format!("`shop`.{listed}"));
            assert_eq!(name(&format!("`d`.{listed}")).unwrap(), format!("`d`.{listed}"));
        }
        assert_eq!(name("a`b").unwrap(), "`shop`.`a``b`");
        assert_eq!(Name::typed("orders", None).unwrap_err().kind(), ErrorKind::Usage);
    }

    #[test]
    fn names_that_the_server_would_refuse() {
        assert!(check_name(&"ü".repeat(64), "table").is_ok());
        for name in ["", "a ", "😀", &"a".repeat(65)] {
            assert!(check_name(name, "table").is_err(), "{name}");
        }
    }
}
