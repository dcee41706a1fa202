//! Reading one table or query: one statement, whose rows are fetched in blocks and cut to size.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::logical_expr::Expr;
use serde_json::Value as Json;
use tokio::sync::OnceCell;

use super::catalog::{self, Name};
use super::columns::Column;
use super::database::Connection;
use super::driver::Product;
use super::session::Opened;
use crate::attempt::Attempt;
use crate::bridge::blocking::{self, Outlet};
use crate::endpoint::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::cut::Cutter;
use crate::source::{BatchStream, Cut, Pushdown, ReadPlan, Scan, Source, Split, SplitGoal, TableShape};

/// One object of a session.
#[derive(Debug)]
pub(super) struct OdbcSource {
    opened: Arc<Opened>,
    object: ObjectRef,
    known: OnceCell<Known>,
}

/// What was found out of an object.
#[derive(Debug)]
struct Known {
    columns: SchemaRef,
    product: Product,
}

/// What is read: a table by its columns, or a query as it was written.
#[derive(Clone, Debug)]
enum Origin {
    Table(Name),
    Query(String),
}

impl Origin {
    fn of(object: &ObjectRef) -> Result<Self> {
        match object {
            ObjectRef::Table(typed) => Ok(Self::Table(Name::parse(typed)?)),
            ObjectRef::Query(sql) => Ok(Self::Query(sql.clone())),
            ObjectRef::Whole => Err(Error::new(ErrorKind::Usage, "the locator names no table")
                .with_hint("write 'odbc:DSN#orders', or use --query")),
        }
    }

    /// The statement for `columns`; all of them where there are none. Of a query it always gives all.
    fn sql(&self, columns: Option<&Schema>, quote: Option<char>) -> String {
        match (self, columns) {
            (Self::Query(sql), _) => sql.clone(),
            (Self::Table(name), None) => format!("SELECT * FROM {}", name.quoted(quote)),
            (Self::Table(name), Some(columns)) => {
                let names: Vec<String> =
                    columns.fields().iter().map(|field| catalog::quoted(field.name(), quote)).collect();
                let list = if names.is_empty() { "1".to_owned() } else { names.join(", ") };
                format!("SELECT {list} FROM {}", name.quoted(quote))
            }
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Table(name) => name.shown(),
            Self::Query(_) => "(query)".to_owned(),
        }
    }
}

impl OdbcSource {
    pub(super) fn new(opened: Arc<Opened>, object: ObjectRef) -> Self {
        Self { opened, object, known: OnceCell::new() }
    }

    async fn known(&self) -> Result<&Known> {
        let look = async || {
            let from = Origin::of(&self.object).map_err(|error| self.opened.place(error))?;
            let asked = from.clone();
            let work = move |connection: Connection| -> Result<Known> {
                let columns = connection.columns(&asked.sql(None, connection.quote()))?;
                Ok(Known { columns: described(&columns)?, product: connection.product() })
            };
            let known = self.opened.connected("odbc-describe", work).await;
            known.map_err(|error| error.at("table", from.shown()))
        };
        self.known.get_or_try_init(look).await
    }
}

fn described(columns: &[Column]) -> Result<SchemaRef> {
    let fields: Vec<Field> = columns.iter().map(|column| column.field.clone()).collect();
    let twice = fields
        .iter()
        .enumerate()
        .find(|(place, field)| fields[..*place].iter().any(|other| other.name() == field.name()));
    if let Some((_, field)) = twice {
        let error = Error::new(ErrorKind::Schema, "two columns have this name").with_hint("name one of them with AS");
        return Err(error.at("column", field.name()));
    }
    Ok(Arc::new(Schema::new(fields)))
}

#[async_trait]
impl Source for OdbcSource {
    async fn describe(&self) -> Result<TableShape> {
        Ok(TableShape::of(Arc::clone(&self.known().await?.columns)))
    }

    fn pushdown(&self, _shape: &TableShape, _filter: &Expr) -> Pushdown {
        // What a comparison means is not the same for all that is reached through a driver.
        Pushdown::None
    }

    async fn plan(&self, _scan: &Scan, _goal: &SplitGoal) -> Result<ReadPlan> {
        let split = Split { id: 0, source: 0, rows: None, bytes: None, place: None, detail: Json::Null };
        let mut notes = vec!["one stream: drivers have no way in common to cut a table".to_owned()];
        if self.known().await?.product == Product::Sqlite {
            notes.push("the ODBC driver of SQLite reads floats with 15 digits: 'sqlite:' reads all".to_owned());
        }
        Ok(ReadPlan { splits: vec![split], notes, cut: Cut::ByKey, ..ReadPlan::default() })
    }

    async fn read(&self, scan: &Scan, _split: &Split, _attempt: &Attempt) -> Result<BatchStream> {
        let from = Origin::of(&self.object).map_err(|error| self.opened.place(error))?;
        let connection = self.opened.connected("odbc-connect", Ok).await?;
        let (opened, scan) = (Arc::clone(&self.opened), scan.clone());
        blocking::stream("odbc-read", move |outlet| {
            let poured = pour(&connection, &from, &scan, outlet);
            poured.map_err(|error| opened.place(error.at("table", from.shown())))
        })
    }
}

/// All rows of `from`, in a transaction where that makes a difference.
fn pour(connection: &Connection, from: &Origin, scan: &Scan, outlet: &Outlet) -> Result<()> {
    if connection.product() != Product::Postgres {
        return rows(connection, from, scan, outlet);
    }
    // Outside of a transaction its server would make the whole result first.
    connection.begin()?;
    let poured = rows(connection, from, scan, outlet);
    // A driver refuses to disconnect within a transaction. What matters was said before.
    let _ = connection.rollback();
    poured
}

/// All rows, cut to size; ends early when there are enough or nobody reads any more.
fn rows(connection: &Connection, from: &Origin, scan: &Scan, outlet: &Outlet) -> Result<()> {
    let sql = from.sql(Some(&scan.schema), connection.quote());
    let mut cutter = Cutter::new(Arc::clone(&scan.schema), scan.batch_rows, scan.batch_bytes);
    let mut left = scan.limit.unwrap_or(u64::MAX);
    let mut wanted = true;
    let take = |batch: RecordBatch| -> Result<bool> {
        let rows = usize::try_from(left).unwrap_or(usize::MAX).min(batch.num_rows());
        left -= rows as u64;
        wanted = cutter.add(batch.slice(0, rows), |batch| outlet.send(batch))?;
        Ok(wanted && left > 0)
    };
    connection.read(&sql, &scan.schema, |columns| places(from, columns, &scan.schema), take)?;
    if let Some(rest) = cutter.end()?.filter(|_| wanted) {
        outlet.send(rest);
    }
    Ok(())
}

/// Where each column of `schema` is among those of a result, as what it was described.
fn places(from: &Origin, given: &[Column], schema: &Schema) -> Result<Vec<usize>> {
    let place = |(at, field): (usize, &Arc<Field>)| {
        let found = match from {
            // As they were asked for, whatever the driver calls them.
            Origin::Table(_) => (at < given.len()).then_some(at),
            Origin::Query(_) => given.iter().position(|column| column.field.name() == field.name()),
        };
        let found = found.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "there is no such column any more").at("column", field.name())
        })?;
        let now = given[found].field.data_type();
        if now == field.data_type() {
            return Ok(found);
        }
        let message = format!("the driver reads {now} where it had found {} before", field.data_type());
        let error = Error::new(ErrorKind::Schema, message).with_hint("cast the column in a --query");
        Err(error.at("column", field.name()))
    };
    schema.fields().iter().enumerate().map(place).collect()
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::super::columns::Form;
    use super::*;

    #[test]
    fn columns_are_found_in_a_result() {
        let column = |name: &str| Column { field: Field::new(name, DataType::Int64, true), form: Form::Whole };
        let given = [column("A"), column("B")];
        let schema = |name: &str, data_type: DataType| Schema::new(vec![Field::new(name, data_type, true)]);
        let b = schema("B", DataType::Int64);
        let query = Origin::Query("SELECT A, B FROM t".to_owned());
        assert_eq!(places(&query, &given, &b).unwrap(), [1]);
        let table = Origin::Table(Name::parse("t").unwrap());
        assert_eq!(table.sql(Some(&b), Some('"')), r#"SELECT "B" FROM "t""#);
        assert_eq!(table.sql(Some(&Schema::empty()), Some('`')), "SELECT 1 FROM `t`");
        assert_eq!(places(&table, &given, &b).unwrap(), [0]);
        let other = schema("A", DataType::Utf8);
        assert_eq!(places(&query, &given, &other).unwrap_err().kind(), ErrorKind::Schema);
        let gone = schema("C", DataType::Int64);
        assert_eq!(places(&query, &given, &gone).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(described(&[column("A"), column("A")]).unwrap_err().kind(), ErrorKind::Schema);
    }
}
