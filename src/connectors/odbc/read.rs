//! Reading one table or query: one statement, whose rows are fetched in blocks and cut to size.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::logical_expr::Expr;
use serde_json::Value as Json;
use tokio::sync::OnceCell;

use super::columns::Column;
use super::config::Config;
use super::database::Connection;
use super::driver::Product;
use super::session::Opened;
use crate::attempt::Attempt;
use crate::bridge::blocking::{self, Outlet};
use crate::driven::origin::{Origin, changed, described};
use crate::endpoint::ObjectRef;
use crate::error::Result;
use crate::formats::cut::Cutter;
use crate::reject::{Sifted, Tray};
use crate::source::{BatchStream, Cut, Pushdown, ReadPlan, Scan, Source, Split, SplitGoal, TableShape};
use crate::sql::located::Located as _;

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

impl OdbcSource {
    /// That of `object`.
    pub(super) fn of(opened: Arc<Opened>, object: ObjectRef) -> Arc<dyn Source> {
        Arc::new(Self { opened, object, known: OnceCell::new() })
    }

    async fn known(&self) -> Result<&Known> {
        let look = async || {
            let from = Origin::of(self.opened.config(), &self.object)?;
            let asked = from.clone();
            let work = move |config: &Config, _: &Arc<()>| -> Result<Known> {
                let connection = Connection::open(config)?;
                let columns = connection.columns(&asked.sql(None, connection.quote()))?;
                let fields = columns.into_iter().map(|column| column.field).collect();
                Ok(Known { columns: described(fields)?, product: connection.product() })
            };
            let known = self.opened.asked("describe", work).await;
            known.map_err(|error| error.at("table", from.shown()))
        };
        self.known.get_or_try_init(look).await
    }
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

    async fn read(
        &self,
        scan: &Scan,
        _split: &Split,
        _attempt: &Attempt,
        tray: Option<&Arc<Tray>>,
    ) -> Result<BatchStream> {
        let from = Origin::of(self.opened.config(), &self.object)?;
        let connection = self.opened.asked("connect", |config, _| Connection::open(config)).await?;
        let (opened, scan, tray) = (Arc::clone(&self.opened), scan.clone(), tray.cloned());
        blocking::stream("odbc-read", move |outlet| {
            let poured = pour(&connection, &from, &scan, (tray.as_deref(), outlet));
            poured.map_err(|error| opened.config().placed(error.at("table", from.shown())))
        })
    }
}

/// Where rows go that cannot be decoded, and where the others do.
type To<'a> = (Option<&'a Tray>, &'a Outlet);

/// All rows of `from`, in a transaction where that makes a difference.
fn pour(connection: &Connection, from: &Origin, scan: &Scan, to: To<'_>) -> Result<()> {
    if connection.product() != Product::Postgres {
        return rows(connection, from, scan, to);
    }
    // Outside of a transaction its server would make the whole result first.
    connection.begin()?;
    let poured = rows(connection, from, scan, to);
    // A driver refuses to disconnect within a transaction. What matters was said before.
    let _ = connection.rollback();
    poured
}

/// All rows, cut to size; ends early when there are enough or nobody reads any more.
fn rows(connection: &Connection, from: &Origin, scan: &Scan, (tray, outlet): To<'_>) -> Result<()> {
    let sql = from.sql(Some(&scan.schema), connection.quote());
    let mut cutter = Cutter::new(Arc::clone(&scan.schema), scan.batch_rows, scan.batch_bytes);
    let mut wanted = true;
    let take = |sifted: Sifted| -> Result<bool> {
        wanted = cutter.add_sifted(tray, sifted, |batch| outlet.send(batch))?;
        Ok(wanted)
    };
    let most = scan.limit.unwrap_or(u64::MAX);
    connection.read((&sql, most), &scan.schema, |columns| places(from, columns, &scan.schema), take)?;
    if let Some(rest) = cutter.end()?.filter(|_| wanted) {
        outlet.send(rest);
    }
    Ok(())
}

/// Where each column of `schema` is among those of a result, as what it was described.
fn places(from: &Origin, given: &[Column], schema: &Schema) -> Result<Vec<usize>> {
    let names: Vec<&str> = given.iter().map(|column| column.field.name().as_str()).collect();
    let places = from.places(&names, schema)?;
    for (place, field) in places.iter().zip(schema.fields()) {
        let now = given[*place].field.data_type();
        if now != field.data_type() {
            return Err(changed(now, field.data_type()).at("column", field.name()));
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};

    use super::super::columns::Form;
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_column_of_another_type_than_before_is_an_error() {
        let given = [Column { field: Field::new("A", DataType::Int64, true), form: Form::Whole }];
        let schema = |data_type: DataType| Schema::new(vec![Field::new("A", data_type, true)]);
        let query = Origin::Query("SELECT A FROM t".to_owned());
        assert_eq!(places(&query, &given, &schema(DataType::Int64)).unwrap(), [0]);
        assert_eq!(places(&query, &given, &schema(DataType::Utf8)).unwrap_err().kind(), ErrorKind::Schema);
    }
}
