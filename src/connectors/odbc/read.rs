//! Reading one table or query: one statement, whose rows are fetched in blocks and cut to size.

use std::sync::Arc;

use arrow::array::AsArray as _;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
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
use crate::driven::name::{Name, Quote};
use crate::driven::origin::{Origin, changed, described};
use crate::endpoint::ObjectRef;
use crate::error::Result;
use crate::formats::cut::Cutter;
use crate::reject::{Sifted, Tray};
use crate::source::{BatchStream, Cut, Pushdown, ReadPlan, Scan, Source, Split, SplitGoal, TableShape};
use crate::sql::located::Located as _;
use crate::sql::select::{list, select};

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
                let mut fields: Vec<Field> = columns.into_iter().map(|column| column.field).collect();
                if let (Product::Sqlite, Origin::Table(table)) = (connection.product(), &asked) {
                    for (field, name) in fields.iter_mut().zip(names_in_sqlite(&connection, table)?) {
                        field.set_name(name);
                    }
                }
                Ok(Known { columns: described(fields), product: connection.product() })
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
    let product = connection.product();
    let sql = statement(from, &scan.schema, (product, connection.quote()));
    let mut cutter = Cutter::new(Arc::clone(&scan.schema), scan.batch_rows, scan.batch_bytes);
    let mut wanted = true;
    let take = |sifted: Sifted| -> Result<bool> {
        wanted = cutter.add_sifted(tray, sifted, |batch| outlet.send(batch))?;
        Ok(wanted)
    };
    let most = scan.limit.unwrap_or(u64::MAX);
    connection.read((&sql, most), &scan.schema, |columns| places(from, columns, &scan.schema, product), take)?;
    if let Some(rest) = cutter.end()?.filter(|_| wanted) {
        outlet.send(rest);
    }
    Ok(())
}

/// Whether `field` is asked for as the text that the server makes of it. PostgreSQL's driver drops `BC` from a day and makes a day of
/// the `infinity` of a moment. A query is as it was written.
fn is_cast(from: &Origin, product: Product, field: &Field) -> bool {
    let is_ours = matches!(from, Origin::Table(_)) && product == Product::Postgres;
    is_ours && matches!(field.data_type(), DataType::Date32 | DataType::Timestamp(..))
}

/// What the columns of `table` are called, all of them. SQLite's driver leaves out what stands before a dot.
fn names_in_sqlite(connection: &Connection, table: &Name) -> Result<Vec<String>> {
    let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let place: Vec<String> =
        [Some(&table.table), table.schema.as_ref()].into_iter().flatten().map(|text| literal(text)).collect();
    // Those that a virtual table hides are not in SELECT *.
    let sql = format!("SELECT name FROM pragma_table_xinfo({}) WHERE hidden <> 1", place.join(", "));
    let schema = Arc::new(Schema::new(vec![Field::new("name", DataType::Utf8, true)]));
    let mut names = Vec::new();
    let take = |(rows, _): Sifted| -> Result<bool> {
        let texts = rows.column(0).as_string_opt::<i32>();
        names.extend(texts.into_iter().flatten().flatten().map(str::to_owned));
        Ok(true)
    };
    connection.read((&sql, u64::MAX), &schema, |_| Ok(vec![0]), take)?;
    Ok(names)
}

/// The statement for the columns of `schema`.
fn statement(from: &Origin, schema: &Schema, (product, quote): (Product, Quote)) -> String {
    let Origin::Table(table) = from else { return from.sql(Some(schema), quote) };
    let column = |field: &FieldRef| {
        let name = match product {
            // A bare name in double quotes that is no column would be a text.
            Product::Sqlite => format!("{}.{}", table.quoted(quote), quote.around(field.name())),
            _ => quote.around(field.name()),
        };
        match field.data_type() {
            _ if !is_cast(from, product, field) => name,
            DataType::Date32 => format!("CAST({name} AS text)"),
            // One with a zone is shown in that of the connection, as the driver does it.
            _ => format!("CAST(CAST({name} AS timestamp) AS text)"),
        }
    };
    let columns: Vec<String> = schema.fields().iter().map(column).collect();
    select(&list(&columns), &table.quoted(quote), &[], None)
}

/// Where each column of `schema` is among those of a result, which are `given`, as what it was described.
fn places(from: &Origin, given: &mut [Column], schema: &Schema, product: Product) -> Result<Vec<usize>> {
    let names: Vec<&str> = given.iter().map(|column| column.field.name().as_str()).collect();
    let places = from.places(&names, schema)?;
    for (place, field) in places.iter().zip(schema.fields()) {
        if is_cast(from, product, field) && *given[*place].field.data_type() == DataType::Utf8 {
            given[*place] = Column::plain(Field::clone(field));
        }
        let now = given[*place].field.data_type();
        if now != field.data_type() {
            return Err(changed(now, field.data_type()).at("column", field.name()));
        }
        given[*place].field.set_name(field.name());
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::super::columns::Form;
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_column_of_another_type_than_before_is_an_error() {
        let mut given = [Column { field: Field::new("A", DataType::Int64, true), form: Form::Whole }];
        let schema = |data_type: DataType| Schema::new(vec![Field::new("A", data_type, true)]);
        let query = Origin::Query("SELECT A FROM t".to_owned());
        let mut placed = |data_type: DataType| places(&query, &mut given, &schema(data_type), Product::Oracle);
        assert_eq!(placed(DataType::Int64).unwrap(), [0]);
        assert_eq!(placed(DataType::Utf8).unwrap_err().kind(), ErrorKind::Schema);
    }

    #[test]
    fn days_of_postgresql_are_asked_for_as_text() {
        let table = Origin::Table(Name::parse("t").unwrap());
        let schema = Schema::new(vec![
            Field::new("d", DataType::Date32, true),
            Field::new("n", DataType::Int64, true),
            Field::new("m", DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None), true),
        ]);
        let sql = |product| statement(&table, &schema, (product, Quote::DOUBLE));
        let expected = r#"SELECT CAST("d" AS text), "n", CAST(CAST("m" AS timestamp) AS text) FROM "t""#;
        assert_eq!(sql(Product::Postgres), expected);
        assert_eq!(sql(Product::Oracle), r#"SELECT "d", "n", "m" FROM "t""#);
        assert_eq!(sql(Product::Sqlite), r#"SELECT "t"."d", "t"."n", "t"."m" FROM "t""#);
    }
}
