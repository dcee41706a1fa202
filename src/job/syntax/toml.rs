//! TOML. Dates and times become texts.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{DEPTH, Parsed, error, number, position_of};
use crate::error::Result;
use crate::job::tree::{Position, joined};

/// Parses the whole of `text`.
pub(super) fn parse(text: &str) -> Result<Parsed> {
    let table = DeTable::parse(text).map_err(|refused| {
        let at = refused.span().map_or(0, |span| span.start);
        let said = refused.message().lines().next().unwrap_or_default();
        error(format!("this is no TOML: {said}"), position_of(text, at), "")
    })?;
    let mut builder = Builder { text, positions: HashMap::new() };
    let root = builder.table(table.get_ref(), "", 0)?;
    Ok(Parsed { root, positions: builder.positions, ..Parsed::default() })
}

struct Builder<'a> {
    text: &'a str,
    positions: HashMap<String, Position>,
}

impl Builder<'_> {
    fn table(&mut self, table: &DeTable<'_>, path: &str, depth: usize) -> Result<Json> {
        let mut object = Map::new();
        for (key, value) in table {
            let path = joined(path, key.get_ref());
            let value = self.value(value, &path, depth + 1)?;
            object.insert(key.get_ref().to_string(), value);
        }
        Ok(Json::Object(object))
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, path: &str, depth: usize) -> Result<Json> {
        let position = position_of(self.text, value.span().start);
        if depth > DEPTH {
            return Err(error(format!("values lie more than {DEPTH} deep in each other"), position, path));
        }
        self.positions.insert(path.to_owned(), position);
        Ok(match value.get_ref() {
            DeValue::String(text) => Json::from(text.as_ref()),
            DeValue::Boolean(flag) => Json::Bool(*flag),
            DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
                .map_or_else(|_| number(digits.as_str()), Json::from),
            DeValue::Float(digits) => number(digits.as_str()),
            DeValue::Datetime(time) => Json::from(time.to_string()),
            DeValue::Array(array) => {
                let mut elements = Vec::new();
                for (at, element) in array.iter().enumerate() {
                    elements.push(self.value(element, &joined(path, &at.to_string()), depth + 1)?);
                }
                Json::Array(elements)
            }
            DeValue::Table(table) => self.table(table, path, depth)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_have_the_types_of_json() {
        let parsed = parse("a = 0x1F\nb = 1.5\nc = 2024-01-02\nd = [1, {e = 'x'}]\n").unwrap();
        assert_eq!(parsed.root, json!({"a": 31, "b": 1.5, "c": "2024-01-02", "d": [1, {"e": "x"}]}));
        assert_eq!(parsed.positions["d.1.e"], Position { line: 4, column: 14 });
    }

    #[test]
    fn an_error_has_its_place() {
        let error = parse("a = 1\nb =\n").unwrap_err().to_string();
        assert!(error.contains("place line ") && error.contains("this is no TOML"), "{error}");
    }
}
