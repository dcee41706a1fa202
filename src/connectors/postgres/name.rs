//! Names of tables and literals, quoted for PostgreSQL.

use serde::{Deserialize, Serialize};

use crate::endpoint::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::dialect::{Dialect as _, Postgres, split_name};

/// A table as it is written to: exact letters, schema only when the user or the catalog gave one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Name {
    /// The schema; none means the search path.
    pub(super) schema: Option<String>,
    /// The table.
    pub(super) table: String,
}

impl Name {
    /// The table that `object` names.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for a query, for no name and for a name of three parts.
    pub(super) fn of(object: &ObjectRef) -> Result<Self> {
        let ObjectRef::Table(typed) = object else {
            return Err(Error::new(ErrorKind::Usage, "a table of the database is needed as the target")
                .with_hint("name it after #: postgres://host/db#schema.table"));
        };
        let parts: Vec<String> = split_name(typed)?.iter().map(|part| part.resolve(&Postgres)).collect();
        match <[String; 2]>::try_from(parts) {
            Ok([schema, table]) => Ok(Self { schema: Some(schema), table }),
            Err(mut parts) if parts.len() == 1 => Ok(Self { schema: None, table: parts.remove(0) }),
            Err(_) => Err(Error::new(ErrorKind::Usage, format!("the name {typed:?} has more than two parts"))
                .with_hint("write schema.table")),
        }
    }

    /// The name as SQL has it.
    pub(super) fn quoted(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", identifier(schema), identifier(&self.table)),
            None => identifier(&self.table),
        }
    }

    /// Another table in the same schema.
    pub(super) fn beside(&self, table: &str) -> Self {
        Self { schema: self.schema.clone(), table: table.to_owned() }
    }
}

/// `name` in double quotes.
pub(super) fn identifier(name: &str) -> String {
    Postgres.identifier(name)
}

/// `template` with `$WORD` replaced by the value of each word of `values`. What a value brings is not looked at again, so that
/// a name may have a word in it.
pub(super) fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let mut pieces = template.split('$');
    let mut sql = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match values.iter().find_map(|(word, value)| Some((value, piece.strip_prefix(word)?))) {
            Some((value, rest)) => sql.extend([value, rest]),
            None => sql.extend(["$", piece]),
        }
    }
    sql
}

/// `names` in double quotes, with commas between.
pub(super) fn identifiers<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(identifier).collect::<Vec<_>>().join(", ")
}

/// `text` as a literal that means the same under every setting of the server. No text of the server holds a NUL.
pub(super) fn literal(text: &str) -> String {
    Postgres.text(&text.replace('\0', "")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_replaced_once() {
        let values = [("OLD", "'$NEW'"), ("NEW", "'$OLD'")];
        assert_eq!(
            filled("SELECT $OLD, $NEW, '$', '(a|b)$' $OLD", &values),
            "SELECT '$NEW', '$OLD', '$', '(a|b)$' '$NEW'"
        );
        assert_eq!(filled("", &values), "");
    }
}
