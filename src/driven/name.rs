//! Names of tables: as users type them, as statements quote them, as lists show them.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::sql::dialect::split_name;

/// How names are quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quote {
    /// Not at all: the database has no quotes.
    None,
    /// Between two of this sign, which is doubled within.
    Sign(char),
    /// Between backticks, with a backslash before those within.
    Backtick,
}

impl Quote {
    /// That of the standard, also for people.
    pub const DOUBLE: Self = Self::Sign('"');

    /// `name` as an identifier that means exactly these letters, where the database has quotes.
    pub fn around(self, name: &str) -> String {
        match self {
            Self::None => name.to_owned(),
            Self::Sign(sign) => format!("{sign}{}{sign}", name.replace(sign, &format!("{sign}{sign}"))),
            Self::Backtick => format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`")),
        }
    }
}

/// The exact name of a table; what is not named is the connection's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// The database or catalog.
    pub catalog: Option<String>,
    /// The schema.
    pub schema: Option<String>,
    /// The table itself.
    pub table: String,
}

impl Name {
    /// The name that the user's `typed` name means: letters as they stand, whatever a database makes of unquoted ones.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for what is no name, or one of more than three parts.
    pub fn parse(typed: &str) -> Result<Self> {
        let mut parts: Vec<String> = split_name(typed)?.into_iter().map(|part| part.text).collect();
        let table = parts.pop().unwrap_or_default();
        let (schema, catalog) = (parts.pop(), parts.pop());
        if !parts.is_empty() {
            let error = Error::new(ErrorKind::Usage, format!("the name {typed:?} has more than three parts"));
            return Err(error.with_hint("write table, schema.table or catalog.schema.table"));
        }
        Ok(Self { catalog, schema, table })
    }

    /// For statements.
    pub fn quoted(&self, quote: Quote) -> String {
        let parts = [&self.catalog, &self.schema].into_iter().flatten().chain([&self.table]);
        parts.map(|part| quote.around(part)).collect::<Vec<_>>().join(".")
    }

    /// For people.
    pub fn shown(&self) -> String {
        self.quoted(Quote::DOUBLE)
    }
}

/// Which tables of which schemas are listed.
#[derive(Debug)]
pub struct Pattern {
    schemas: glob::Pattern,
    tables: glob::Pattern,
}

impl Pattern {
    /// `tables` or `schemas.tables`, with `*` and `?`.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for what is no pattern.
    pub fn parse(text: &str) -> Result<Self> {
        let (schemas, tables) = text.split_once('.').unwrap_or(("*", text));
        let glob = |text: &str| {
            glob::Pattern::new(text).map_err(|_| Error::new(ErrorKind::Usage, "the pattern of names is none"))
        };
        Ok(Self { schemas: glob(schemas)?, tables: glob(tables)? })
    }

    /// Whether it means `table` of `schema`; where there are no schemas that is empty.
    pub fn matches(&self, schema: &str, table: &str) -> bool {
        (schema.is_empty() || self.schemas.matches(schema)) && self.tables.matches(table)
    }
}

/// `table` of `schema` as a locator names it; of the schemas `own` the table alone.
pub fn listed(schema: &str, table: &str, own: &[&str]) -> String {
    let part = |name: &str| {
        let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if plain { name.to_owned() } else { Quote::DOUBLE.around(name) }
    };
    if schema.is_empty() || own.contains(&schema) { part(table) } else { format!("{}.{}", part(schema), part(table)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_letters() {
        let name = Name::parse("lake.\"S 1\".Orders").unwrap();
        assert_eq!(name.shown(), r#""lake"."S 1"."Orders""#);
        let parts = (name.catalog.as_deref(), name.schema.as_deref(), name.table.as_str());
        assert_eq!(parts, (Some("lake"), Some("S 1"), "Orders"));
        assert_eq!(Name::parse("a.b.c.d").unwrap_err().kind(), ErrorKind::Usage);
        let quotes = [(Quote::Backtick, r"`a\`b`"), (Quote::Sign('`'), "`a``b`"), (Quote::None, "a`b")];
        for (quote, expected) in quotes {
            assert_eq!(quote.around("a`b"), expected);
        }
    }

    #[test]
    fn lists_show_what_a_locator_names() {
        let names = [("S 1", "t", r#""S 1".t"#), ("public", "t", "t"), ("", "a b", r#""a b""#)];
        for (schema, table, expected) in names {
            assert_eq!(listed(schema, table, &["public"]), expected);
        }
        let pattern = Pattern::parse("s*.t?").unwrap();
        let matches = [("shop", "t1"), ("", "t1"), ("other", "t1"), ("shop", "t")].map(|(s, t)| pattern.matches(s, t));
        assert_eq!(matches, [true, true, false, false]);
        assert_eq!(Pattern::parse("a***").unwrap_err().kind(), ErrorKind::Usage);
    }
}
