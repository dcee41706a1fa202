//! What is known of one table or query before its rows are read: its columns, how each is asked for, and the SELECT.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use super::backend::Backend;
use super::catalog::{self, Native, Stock};
use super::config::Config;
use super::database::describe;
use super::typemap::{Way, usual, way};
use crate::driven::name::Name;
use crate::driven::origin::{Origin, described};
use crate::error::{ErrorKind, Result};
use crate::sql::select::{list, select};

/// A table or query.
#[derive(Debug)]
pub(super) struct Table {
    backend: Backend,
    from: Origin,
    /// How each column of `schema` is read.
    ways: Vec<Way>,
    /// The columns, as they are offered.
    pub(super) schema: SchemaRef,
    /// Key and sizes.
    pub(super) stock: Stock,
}

impl Table {
    /// Looks at what `from` names.
    pub(super) fn look(config: &Config, from: Origin) -> Result<Self> {
        let from = match from {
            // It will stand in parentheses.
            Origin::Query(sql) => Origin::Query(sql.trim().trim_end_matches(';').trim_end().to_owned()),
            table @ Origin::Table(_) => table,
        };
        let backend = config.backend;
        let quote = backend.quote();
        let mut natives = match &from {
            Origin::Table(name) => catalog::columns(config, name)?,
            Origin::Query(_) => Vec::new(),
        };
        let mut known = None;
        if natives.is_empty() {
            let said = describe(config, &from.sql(None, quote))?;
            natives = said.schema.fields().iter().zip(&said.words).map(of_word).collect();
            known = Some(said);
        }
        let found = natives.iter().map(|native| way(backend, native)).collect::<Result<Vec<_>>>()?;
        if backend == Backend::MySql && known.is_none() {
            // Its catalog hides columns that this user may not read. Who asks for all of them is told.
            describe(config, &from.sql(None, quote)).map_err(|error| match error.kind() {
                ErrorKind::Permission => error.with_hint("name the columns that this user may read in a --query"),
                _ => error,
            })?;
        }
        let (ways, given): (Vec<Way>, Vec<Option<Field>>) = found.into_iter().unzip();
        let mut table = Self { backend, from, ways, schema: Arc::new(Schema::empty()), stock: Stock::default() };
        let names = natives.iter().map(|native| Field::new(&native.name, arrow::datatypes::DataType::Null, true));
        // Refused here where two have one name: a SELECT around it would be refused with other words.
        table.schema = described(names.collect())?;
        let said = match known.filter(|_| !table.is_rewritten()) {
            Some(said) => said,
            None => describe(config, &table.sql(&table.schema, None, None))?,
        };
        let offered = said.schema.fields().iter().zip(given).map(|(field, given)| offered(field, given));
        table.schema = described(offered.collect())?;
        if let Origin::Table(name) = &table.from {
            table.stock = catalog::stock(config, name)?;
        }
        Ok(table)
    }

    /// Its name; none of a query.
    pub(super) fn name(&self) -> Option<&Name> {
        match &self.from {
            Origin::Table(name) => Some(name),
            Origin::Query(_) => None,
        }
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        self.from.shown()
    }

    /// Names of the columns that are read as text.
    pub(super) fn texts(&self) -> Vec<&str> {
        let columns = self.schema.fields().iter().zip(&self.ways);
        columns.filter(|(_, way)| **way == Way::Text).map(|(field, _)| field.name().as_str()).collect()
    }

    /// Whether the SELECT is ours: of a query that is one around it.
    pub(super) fn is_rewritten(&self) -> bool {
        self.name().is_some() || self.ways.contains(&Way::Text)
    }

    /// The statement for the columns of `wanted`, and the rows of `condition` alone.
    pub(super) fn sql(&self, wanted: &Schema, condition: Option<&str>, limit: Option<u64>) -> String {
        let quote = self.backend.quote();
        let source = match &self.from {
            Origin::Query(sql) if !self.is_rewritten() => return sql.clone(),
            Origin::Query(sql) => self.backend.derived(sql),
            Origin::Table(name) => name.quoted(quote),
        };
        let column = |field: &Arc<Field>| {
            let name = quote.around(field.name());
            let place = self.schema.index_of(field.name()).ok();
            let text = place.filter(|place| self.ways[*place] == Way::Text).and_then(|_| self.backend.text(&name));
            text.map_or_else(|| name.clone(), |text| format!("{text} AS {name}"))
        };
        let columns: Vec<String> = wanted.fields().iter().map(column).collect();
        let conditions: Vec<String> = condition.into_iter().map(str::to_owned).collect();
        let sql = select(&list(&columns), &source, &conditions, None);
        match limit {
            Some(rows) => format!("{sql} {}", self.backend.limit(rows)),
            None => sql,
        }
    }

    /// Where each column of `wanted` is among those of a result.
    pub(super) fn places(&self, given: &Schema, wanted: &Schema) -> Result<Vec<usize>> {
        if self.is_rewritten() {
            return Ok((0..wanted.fields().len()).collect());
        }
        let names: Vec<&str> = given.fields().iter().map(|field| field.name().as_str()).collect();
        self.from.places(&names, wanted)
    }
}

/// What ConnectorX says of a column, where nobody else was asked.
fn of_word((field, word): (&Arc<Field>, &String)) -> Native {
    Native { name: field.name().clone(), word: word.clone(), digits: None }
}

/// The column that ConnectorX reads as `field`, as it is offered.
fn offered(field: &Field, given: Option<Field>) -> Field {
    let given = given.unwrap_or_else(|| Field::new(field.name(), usual(field.data_type()), true));
    given.with_name(field.name()).with_nullable(field.is_nullable())
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    fn table(backend: Backend, from: Origin, ways: &[Way]) -> Table {
        let field = |name: &str| Field::new(name, DataType::Utf8, true);
        let schema = Arc::new(Schema::new(vec![field("id"), field("n")]));
        Table { backend, from, ways: ways.to_vec(), schema, stock: Stock::default() }
    }

    fn orders() -> Origin {
        Origin::Table(Name::parse("shop.orders").unwrap())
    }

    #[test]
    fn columns_are_asked_for_as_text_where_that_is_their_way() {
        let ways = [Way::AsItIs, Way::Text];
        let found = table(Backend::Postgres, orders(), &ways);
        let sql = found.sql(&found.schema, Some("\"id\" < 5"), Some(7));
        assert_eq!(sql, r#"SELECT "id", CAST("n" AS text) AS "n" FROM "shop"."orders" WHERE "id" < 5 LIMIT 7"#);
        assert_eq!(found.texts(), ["n"]);
        assert_eq!(found.sql(&Schema::empty(), None, None), r#"SELECT 1 FROM "shop"."orders""#);
        let query = Origin::Query("SELECT id, n FROM t".to_owned());
        let found = table(Backend::Oracle, query.clone(), &ways);
        let sql = found.sql(&found.schema, None, None);
        let expected = r#"SELECT "id", TO_CHAR("n", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''') AS "n" FROM (SELECT id, n FROM t) etl_query"#;
        assert_eq!(sql, expected);
        let found = table(Backend::MySql, query, &[Way::AsItIs, Way::AsItIs]);
        assert_eq!(found.sql(&found.schema, None, Some(1)), "SELECT id, n FROM t");
        let given = Schema::new(vec![found.schema.field(1).clone(), found.schema.field(0).clone()]);
        assert_eq!(found.places(&given, &found.schema).unwrap(), [1, 0]);
    }
}
