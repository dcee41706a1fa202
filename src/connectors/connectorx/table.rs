//! What is known of one table or query before its rows are read: its columns, how each is asked for, and the SELECT.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::backend::Backend;
use super::catalog::{self, Native, Stock};
use super::config::Config;
use super::database::describe;
use super::typemap::{Way, refused, usual, way};
use crate::driven::name::Name;
use crate::driven::origin::Origin;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::select::{list, select};

/// A table or query.
#[derive(Debug)]
pub(super) struct Table {
    backend: Backend,
    from: Origin,
    /// How each column of `schema` is read.
    ways: Vec<Way>,
    /// Whether columns of a query have other names than it gives them, since it gives some twice.
    is_renamed: bool,
    /// The columns, as they are offered.
    pub(super) schema: SchemaRef,
    /// Key and sizes.
    pub(super) stock: Stock,
}

impl Table {
    /// Looks at what `from` names.
    pub(super) fn look(config: &Config, from: Origin) -> Result<Self> {
        let from = match from {
            // It will stand in parentheses, where a line break ends a comment.
            Origin::Query(sql) => Origin::Query(format!("{}\n", sql.trim().trim_end_matches(';').trim_end())),
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
        let mut table = Self::named(backend, from, &natives);
        if table.is_renamed && table.is_rewritten() && !backend.renames() {
            let error = Error::new(ErrorKind::Schema, "two columns of the query have one name");
            return Err(error.with_hint("give one of them another name with AS"));
        }
        if backend == Backend::MySql && known.is_none() {
            table.check_rights(config)?;
        }
        let said = match known.filter(|_| !table.is_rewritten()) {
            Some(said) => said,
            None => describe(config, &table.sql(&table.readable()?, None, None))?,
        };
        table.schema = table.offered(&said.schema, &natives);
        if let Origin::Table(name) = &table.from {
            table.stock = catalog::stock(config, name)?;
        }
        Ok(table)
    }

    /// One whose columns have their names, and not yet their types.
    fn named(backend: Backend, from: Origin, natives: &[Native]) -> Self {
        let ways = natives.iter().map(|native| way(backend, native).0).collect();
        let given: Vec<String> = natives.iter().map(|native| native.name.clone()).collect();
        let names = backend.distinct(&given);
        let is_renamed = names != given;
        let columns = names.into_iter().map(|name| Field::new(name, DataType::Null, true));
        let schema = Arc::new(Schema::new(columns.collect::<Vec<_>>()));
        Self { backend, from, ways, is_renamed, schema, stock: Stock::default() }
    }

    /// Asks for all columns of a table: the catalog of MySQL hides those that this user may not read.
    fn check_rights(&self, config: &Config) -> Result<()> {
        match describe(config, &self.from.sql(None, self.backend.quote())) {
            Err(error) if error.kind() == ErrorKind::Permission => {
                Err(error.with_hint("name the columns that this user may read in a --query"))
            }
            // It may not know the type of a column that is not read.
            Err(error) if self.ways.iter().all(|way| !matches!(way, Way::Refused(_))) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The columns that are read.
    fn readable(&self) -> Result<Schema> {
        let is_read = |place: &usize| !matches!(self.ways[*place], Way::Refused(_));
        Ok(self.schema.project(&(0..self.ways.len()).filter(is_read).collect::<Vec<_>>())?)
    }

    /// All columns, of which ConnectorX reads those that are read as `said`. Those that are not are among them, as bytes: a plan that
    /// wants one is refused.
    fn offered(&self, said: &Schema, natives: &[Native]) -> SchemaRef {
        let mut said = said.fields().iter();
        let columns = self.schema.fields().iter().zip(natives).map(|(column, native)| {
            let (way, given) = way(self.backend, native);
            let read = if matches!(way, Way::Refused(_)) { None } else { said.next() };
            let given = given.or_else(|| read.map(|read| Field::new(column.name(), usual(read.data_type()), true)));
            let field = given.unwrap_or_else(|| Field::clone(column));
            field.with_name(column.name()).with_nullable(read.is_none_or(|read| read.is_nullable()))
        });
        Arc::new(Schema::new(columns.collect::<Vec<_>>()))
    }

    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) naming the first column of `wanted` that is not read.
    pub(super) fn check(&self, wanted: &Schema) -> Result<()> {
        for (field, way) in self.schema.fields().iter().zip(&self.ways) {
            if let Way::Refused(word) = way
                && wanted.index_of(field.name()).is_ok()
            {
                return Err(refused(self.backend, word).at("column", field.name()));
            }
        }
        Ok(())
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
        self.name().is_some() || self.ways.iter().any(|way| *way != Way::AsItIs)
    }

    /// The statement for the columns of `wanted`, and the rows of `condition` alone.
    pub(super) fn sql(&self, wanted: &Schema, condition: Option<&str>, limit: Option<u64>) -> String {
        let quote = self.backend.quote();
        let source = match &self.from {
            Origin::Query(sql) if !self.is_rewritten() => return sql.clone(),
            Origin::Query(sql) => {
                let names = || self.schema.fields().iter().map(|field| quote.around(field.name())).collect::<Vec<_>>();
                self.backend.derived(sql, self.is_renamed.then(|| names().join(", ")).as_deref())
            }
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
        let given: Vec<String> = given.fields().iter().map(|field| field.name().clone()).collect();
        let names = self.backend.distinct(&given);
        self.from.places(&names.iter().map(String::as_str).collect::<Vec<_>>(), wanted)
    }
}

/// What ConnectorX says of a column, where nobody else was asked.
fn of_word((field, word): (&Arc<Field>, &String)) -> Native {
    Native { name: field.name().clone(), word: word.clone(), digits: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(backend: Backend, from: Origin, ways: &[Way]) -> Table {
        let field = |name: &str| Field::new(name, DataType::Utf8, true);
        let schema = Arc::new(Schema::new(vec![field("id"), field("n")]));
        Table { backend, from, ways: ways.to_vec(), is_renamed: false, schema, stock: Stock::default() }
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

    #[test]
    fn names_that_come_again_are_numbered() {
        let native = |word: &str| Native { name: "n".to_owned(), word: word.to_owned(), digits: None };
        let query = || Origin::Query("SELECT 1 AS n, 2 AS n".to_owned());
        let found = Table::named(Backend::Postgres, query(), &[native("int4"), native("int4")]);
        assert_eq!(found.sql(&found.schema, None, None), "SELECT 1 AS n, 2 AS n");
        let twice = Schema::new(vec![Field::new("n", DataType::Int32, true); 2]);
        assert_eq!(found.places(&twice, &found.schema).unwrap(), [0, 1]);
        let found = Table::named(Backend::Postgres, query(), &[native("int4"), native("numeric")]);
        let expected = "SELECT \"n\", CAST(\"n_2\" AS text) AS \"n_2\" FROM (WITH etl_rows (\"n\", \"n_2\") AS \
                        (SELECT 1 AS n, 2 AS n) SELECT * FROM etl_rows) AS etl_query";
        assert_eq!(found.sql(&found.schema, None, None), expected);
        // To SQLite both would mean the first.
        let native = |name: &str| Native { name: name.to_owned(), word: "int8".to_owned(), digits: None };
        let found = Table::named(Backend::Sqlite, query(), &[native("n"), native("N")]);
        assert_eq!(found.schema.field(1).name(), "N_2");
    }

    #[test]
    fn what_is_refused_is_neither_described_nor_read() {
        let native = |name: &str, word: &str| Native { name: name.to_owned(), word: word.to_owned(), digits: None };
        let natives = [native("id", "int"), native("place", "point"), native("v", "varchar")];
        let mut found = Table::named(Backend::MySql, orders(), &natives);
        let said = found.readable().unwrap();
        assert_eq!(found.sql(&said, None, None), "SELECT `id`, `v` FROM `shop`.`orders`");
        let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
        let said = Schema::new(vec![field("id", DataType::Int64), field("v", DataType::LargeUtf8)]);
        found.schema = found.offered(&said, &natives);
        let types: Vec<&DataType> = found.schema.fields().iter().map(|field| field.data_type()).collect();
        assert_eq!(types, [&DataType::Int64, &DataType::Binary, &DataType::Utf8]);
        assert!(found.check(&said).is_ok());
        let told = found.check(&found.schema).unwrap_err().to_string();
        assert_eq!(told, "column place: ConnectorX may change values of point");
    }
}
