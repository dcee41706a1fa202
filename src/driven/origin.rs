//! What is read: a table by its columns, or a query as it was written.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::name::{Name, Quote};
use crate::error::{Error, ErrorKind, Result};
use crate::object::ObjectRef;
use crate::sql::located::Located;
use crate::sql::select::{distinct, list, select};

/// Where rows come from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A table or view.
    Table(Name),
    /// A SELECT in the database's own SQL.
    Query(String),
}

impl Origin {
    /// What `object` names in `database`.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for a locator without a table.
    pub fn of<D: Located>(database: &D, object: &ObjectRef) -> Result<Self> {
        match object {
            ObjectRef::Table(typed) => Name::parse(typed).map(Self::Table).map_err(|error| database.placed(error)),
            ObjectRef::Query(sql) => Ok(Self::Query(sql.clone())),
            ObjectRef::Whole => {
                let error = Error::new(ErrorKind::Usage, "the locator names no table");
                Err(database.placed(error.with_hint(format!("write {}, or use --query", D::EXAMPLE))))
            }
        }
    }

    /// The statement for `columns`; all of them where there are none. Of a query it always gives all.
    pub fn sql(&self, columns: Option<&Schema>, quote: Quote) -> String {
        match (self, columns) {
            (Self::Query(sql), _) => sql.clone(),
            (Self::Table(name), None) => format!("SELECT * FROM {}", name.quoted(quote)),
            (Self::Table(name), Some(columns)) => {
                let names: Vec<String> = columns.fields().iter().map(|field| quote.around(field.name())).collect();
                select(&list(&names), &name.quoted(quote), &[], None)
            }
        }
    }

    /// For people.
    pub fn shown(&self) -> String {
        match self {
            Self::Table(name) => name.shown(),
            Self::Query(_) => "(query)".to_owned(),
        }
    }

    /// The place of each column of `schema` among the columns `given` of its result.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for one that is not there any more.
    pub fn places(&self, given: &[&str], schema: &Schema) -> Result<Vec<usize>> {
        let names = named(given);
        let place = |(at, field): (usize, &Arc<Field>)| {
            let found = match self {
                // As they were asked for, whatever the driver calls them.
                Self::Table(_) => (at < given.len()).then_some(at),
                Self::Query(_) => names.iter().position(|name| name == field.name()),
            };
            found.ok_or_else(|| {
                Error::new(ErrorKind::NotFound, "there is no such column any more").at("column", field.name())
            })
        };
        schema.fields().iter().enumerate().map(place).collect()
    }
}

/// The columns `fields` of a result, each with a name of its own.
pub fn described(fields: Vec<Field>) -> SchemaRef {
    let given: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    let names = named(&given);
    Arc::new(Schema::new(fields.into_iter().zip(names).map(|(field, name)| field.with_name(name)).collect::<Vec<_>>()))
}

/// What the columns of a result are called here, which may repeat the names that are `given`.
fn named(given: &[&str]) -> Vec<String> {
    distinct(&given.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
}

/// The error of a column that is of the type `now` and was described as the type `before`.
pub fn changed(now: &DataType, before: &DataType) -> Error {
    Error::new(ErrorKind::Schema, format!("the driver reads {now} where it had found {before} before"))
        .with_hint("cast the column in a --query")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_in_a_result() {
        let field = |name: &str| Field::new(name, DataType::Int64, true);
        let schema = |name: &str| Schema::new(vec![field(name)]);
        let query = Origin::Query("SELECT A, B FROM t".to_owned());
        assert_eq!(query.places(&["A", "B"], &schema("B")).unwrap(), [1]);
        assert_eq!(query.places(&["A", "B"], &schema("C")).unwrap_err().kind(), ErrorKind::NotFound);
        let table = Origin::Table(Name::parse("t").unwrap());
        assert_eq!(table.places(&["A", "B"], &schema("B")).unwrap(), [0]);
        assert_eq!(table.sql(Some(&schema("B")), Quote::DOUBLE), r#"SELECT "B" FROM "t""#);
        assert_eq!(table.sql(Some(&Schema::empty()), Quote::Sign('`')), "SELECT 1 FROM `t`");
        let twice = described(vec![field("A"), field("B"), field("A")]);
        assert_eq!(twice.field(2).name(), "A_2");
        assert_eq!(query.places(&["A", "B", "A"], &twice).unwrap(), [0, 1, 2]);
    }
}
