//! Names of tables, and literals.

use serde::{Deserialize, Serialize};

use crate::endpoint::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::dialect::{Dialect as _, MsSql, split_name};

/// Letters of a name that the server keeps, in units of UTF-16.
const NAME_UNITS: usize = 128;

/// A table; without a schema it is in the user's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Name {
    pub(super) schema: Option<String>,
    pub(super) table: String,
}

impl Name {
    /// The table that `typed` names: `orders`, `sales.orders`, `"my schema"."or.ders"`, with brackets as well as quotes.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage).
    pub(super) fn typed(typed: &str) -> Result<Self> {
        let quoted = if typed.contains('"') { typed.to_owned() } else { typed.replace(['[', ']'], "\"") };
        let mut parts: Vec<String> = split_name(&quoted)?.into_iter().map(|part| part.text).collect();
        let table = parts.pop().unwrap_or_default();
        let schema = parts.pop();
        if !parts.is_empty() {
            let error = Error::new(ErrorKind::Usage, format!("the name {typed:?} has more than two parts"));
            return Err(error.with_hint("write schema.table, and the database in the URL"));
        }
        Ok(Self { schema, table })
    }

    /// The table that `object` names.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for a query and for no name.
    pub(super) fn of(object: &ObjectRef) -> Result<Self> {
        match object {
            ObjectRef::Table(typed) => Self::typed(typed),
            _ => Err(Error::new(ErrorKind::Usage, "a table of the database is needed")
                .with_hint("name it after #: mssql://host/database#schema.table")),
        }
    }

    /// The same, in `schema` where it named none.
    pub(super) fn within(self, schema: &str) -> Self {
        Self { schema: Some(self.schema.unwrap_or_else(|| schema.to_owned())), ..self }
    }

    /// The name as SQL has it.
    pub(super) fn quoted(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", identifier(schema), identifier(&self.table)),
            None => identifier(&self.table),
        }
    }

    /// Another table in the same schema.
    pub(super) fn beside(&self, table: impl Into<String>) -> Self {
        Self { schema: self.schema.clone(), table: table.into() }
    }
}

/// Refuses a name that the server would not take.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) naming what it is.
pub(super) fn check_name(name: &str, what: &'static str) -> Result<()> {
    let why = match name.encode_utf16().count() {
        0 => "is empty",
        _ if name.contains('\0') => "holds a NUL",
        1..=NAME_UNITS => return Ok(()),
        _ => "has more than the 128 letters that SQL Server takes",
    };
    let error = Error::new(ErrorKind::Usage, format!("the name of the {what} {why}")).at(what, format!("{name:?}"));
    Err(error.with_hint("use --rename, or another name for the target"))
}

/// `name` in brackets.
pub(super) fn identifier(name: &str) -> String {
    MsSql.identifier(name)
}

/// `names` in brackets, with commas between.
pub(super) fn identifiers<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(identifier).collect::<Vec<_>>().join(", ")
}

/// `text` as a literal. A NUL, which none can hold, is left out.
pub(super) fn literal(text: &str) -> String {
    MsSql.text(&text.replace('\0', "")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_users_type_them() {
        let name = |typed: &str| Name::typed(typed).map(|name| name.within("dbo").quoted()).ok();
        assert_eq!(name("orders").unwrap(), "[dbo].[orders]");
        assert_eq!(name("sales.Orders").unwrap(), "[sales].[Orders]");
        assert_eq!(name("[my schema].[or.ders]").unwrap(), "[my schema].[or.ders]");
        assert_eq!(name("\"my schema\".\"a]b\"").unwrap(), "[my schema].[a]]b]");
        assert_eq!(name("a.b.c"), None);
        assert_eq!(literal("it's"), "N'it''s'");
    }

    #[test]
    fn names_that_the_server_would_refuse() {
        assert!(check_name(&"ü".repeat(128), "table").is_ok());
        for name in ["", "a\0", &"😀".repeat(65)] {
            assert!(check_name(name, "table").is_err(), "{name}");
        }
    }
}
