//! Reading one table or query: one statement, whose Arrow batches are cut to size.
//!
//! What a driver gives is Arrow already, so but for infinity, and for what is known to be wrapped, no value of it can fail to be read.
//! What a driver itself fails at ends its stream: it says not which row that is.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Int64Type, Schema, SchemaRef, Time64MicrosecondType, TimeUnit,
};
use async_trait::async_trait;
use datafusion::logical_expr::Expr;
use futures::StreamExt as _;
use serde_json::Value as Json;
use tokio::sync::OnceCell;

use super::config::Config;
use super::database::{Connection, Database};
use super::driver::Product;
use super::error::failed;
use super::session::Opened;
use super::typemap::{FIRST_MICRO, changes_in_duckdb, infinity, normal, read, refused, unread};
use crate::attempt::Attempt;
use crate::bridge::adbc::Interrupt;
use crate::bridge::blocking::{self, Outlet};
use crate::driven::origin::{Origin, changed, described};
use crate::endpoint::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::cut::Cutter;
use crate::formats::parting::{Odd, Refuse};
use crate::reject::{Sifted, Tray};
use crate::source::{BatchStream, Cut, Pushdown, ReadPlan, Scan, Source, Split, SplitGoal, TableShape};
use crate::sql::located::Located as _;

const DAY_MICROS: i64 = 86_400_000_000;

/// One object of a session.
#[derive(Debug)]
pub(super) struct AdbcSource {
    opened: Arc<Opened>,
    object: ObjectRef,
    known: OnceCell<Known>,
}

/// What was found out of an object.
#[derive(Debug)]
struct Known {
    /// Those that are not read are among them, as bytes: a plan that wants one is refused.
    columns: SchemaRef,
    /// Of each column what its type is called, where it is not read.
    refused: Vec<Option<String>>,
}

impl AdbcSource {
    /// That of `object`.
    pub(super) fn of(opened: Arc<Opened>, object: ObjectRef) -> Arc<dyn Source> {
        Arc::new(Self { opened, object, known: OnceCell::new() })
    }

    async fn known(&self) -> Result<&Known> {
        let look = async || {
            let config = self.opened.config();
            let from = Origin::of(config, &self.object)?;
            let sql = from.sql(None, config.quote);
            let look = move |config: &Config, database: &Arc<Database>| {
                let mut connection = database.connect(config)?;
                let is_duckdb = Product::of(&config.driver) == Product::DuckDb;
                let changed = if is_duckdb { changed_in_duckdb(&mut connection, &sql) } else { HashMap::new() };
                let given = connection.columns(&sql)?;
                Known::of(&given, changed)
            };
            let known = self.opened.asked("describe", look).await;
            known.map_err(|error| config.placed(error.at("table", from.shown())))
        };
        self.known.get_or_try_init(look).await
    }
}

impl Known {
    /// Of the columns `given` by a driver, which changes the values of those at some places: their types are `changed`.
    fn of(given: &Schema, mut changed: HashMap<usize, String>) -> Result<Self> {
        let fields = given.fields().iter();
        let refused: Vec<Option<String>> = fields
            .clone()
            .enumerate()
            .map(|(place, field)| changed.remove(&place).or_else(|| refused(field)))
            .collect();
        let column = |(field, refused): (&FieldRef, &Option<String>)| match refused {
            Some(_) => Ok(Field::new(field.name(), DataType::Binary, true)),
            None => read(field),
        };
        let columns = described(fields.zip(&refused).map(column).collect::<Result<_>>()?);
        Ok(Self { columns, refused })
    }

    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) naming the first column of `wanted` that is not read.
    fn check(&self, wanted: &Schema) -> Result<()> {
        for (field, refused) in self.columns.fields().iter().zip(&self.refused) {
            if let Some(name) = refused.as_ref().filter(|_| wanted.index_of(field.name()).is_ok()) {
                return Err(unread(name).at("column", field.name()));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Source for AdbcSource {
    async fn describe(&self) -> Result<TableShape> {
        Ok(TableShape::of(Arc::clone(&self.known().await?.columns)))
    }

    fn pushdown(&self, _shape: &TableShape, _filter: &Expr) -> Pushdown {
        // What a comparison means is not the same for all that is reached through a driver.
        Pushdown::None
    }

    async fn plan(&self, scan: &Scan, _goal: &SplitGoal) -> Result<ReadPlan> {
        let config = self.opened.config();
        let from = Origin::of(config, &self.object)?;
        let checked = self.known().await?.check(&scan.schema);
        checked.map_err(|error| config.placed(error.at("table", from.shown())))?;
        let split = Split { id: 0, source: 0, rows: None, bytes: None, place: None, detail: Json::Null };
        let mut notes = vec!["one stream: drivers have no way in common to cut a table".to_owned()];
        let is_list = |field: &Arc<Field>| matches!(field.data_type(), DataType::List(_));
        let product = Product::of(&config.driver);
        if product == Product::Postgresql && scan.schema.fields().iter().any(is_list) {
            notes.push(
                "the driver makes a flat list of an array of several dimensions, and drops at which place an array begins: \
                 'postgres:' does neither"
                    .to_owned(),
            );
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
        let connect = |config: &Config, database: &Arc<Database>| database.connect(config);
        let connection = self.opened.asked("connect", connect).await?;
        let stop = Stop(connection.interrupt());
        let (opened, scan, tray) = (Arc::clone(&self.opened), scan.clone(), tray.cloned());
        let stream = blocking::stream("adbc-read", move |outlet| {
            let poured = pour(connection, &from, &scan, (tray.as_deref(), outlet));
            poured.map_err(|error| opened.config().placed(error.at("table", from.shown())))
        })?;
        Ok(stream
            .map(move |batch| {
                let _held = &stop;
                batch
            })
            .boxed())
    }
}

/// The columns of `sql` whose values DuckDB's driver would change, by their places, with their types: Arrow's do not tell them from
/// others.
fn changed_in_duckdb(connection: &mut Connection, sql: &str) -> HashMap<usize, String> {
    // In parentheses nothing is run: of several statements all but the first would be. What is no SELECT has no other types than texts,
    // numbers and booleans.
    let describe = format!("DESCRIBE FROM (\n{}\n)", sql.trim().trim_end_matches(';'));
    let batches = connection.batches(&describe).unwrap_or_default();
    let types =
        batches.iter().filter_map(|batch| batch.column_by_name("column_type")?.as_string_opt::<i32>()).flatten();
    let named = types.map(Option::unwrap_or_default).enumerate().filter(|(_, declared)| changes_in_duckdb(declared));
    named.map(|(place, declared)| (place, declared.to_owned())).collect()
}

/// Stops the statement when nobody reads its rows any more.
struct Stop(Interrupt);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

/// All rows, cut to size, without those that go into the tray; ends early when there are enough or nobody reads any more.
fn pour(
    mut connection: Connection,
    from: &Origin,
    scan: &Scan,
    (tray, outlet): (Option<&Tray>, &Outlet),
) -> Result<()> {
    let config = connection.config().clone();
    let product = Product::of(&config.driver);
    let rows = connection.query(&from.sql(Some(&scan.schema), config.quote))?;
    let given = rows.schema();
    let names: Vec<&str> = given.fields().iter().map(|field| field.name().as_str()).collect();
    let places = from.places(&names, &scan.schema)?;
    let mut cutter = Cutter::new(Arc::clone(&scan.schema), scan.batch_rows, scan.batch_bytes);
    let mut left = scan.limit.unwrap_or(u64::MAX);
    let mut before = 0;
    for batch in rows {
        let batch = batch.map_err(|failure| failed(&config, &failure))?;
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(batch.num_rows());
        let sifted = decoded((&batch.slice(0, wanted), before), product, &places, &scan.schema)?;
        left -= wanted as u64;
        before += wanted as u64;
        if !cutter.add_sifted(tray, sifted, |batch| outlet.send(batch))? {
            return Ok(());
        }
        if left == 0 {
            break;
        }
    }
    if let Some(rest) = cutter.end()? {
        outlet.send(rest);
    }
    Ok(())
}

/// The rows of `batch`, before which `before` others were, without those that have infinity; these come beside it.
fn decoded(
    (batch, before): (&RecordBatch, u64),
    product: Product,
    places: &[usize],
    schema: &SchemaRef,
) -> Result<Sifted> {
    let mut odd = Odd::default();
    let mut columns = Vec::with_capacity(places.len());
    for (position, (place, field)) in places.iter().zip(schema.fields()).enumerate() {
        let array = alike(batch.column(*place), field.data_type()).map_err(|error| error.at("column", field.name()))?;
        let mut refuse = odd.refuse((position, field.name()), before);
        if let Some(ends) = infinity(product, field.data_type()) {
            refuse_moments(product, &array, ends, &mut refuse)?;
        }
        if *field.data_type() == DataType::Time64(TimeUnit::Microsecond) {
            refuse_midnight(&array, &mut refuse);
        }
        // As which HUGEINT comes, too.
        if product == Product::DuckDb && *field.data_type() == DataType::Decimal128(38, 0) {
            refuse_long(&array, &mut refuse);
        }
        columns.push(array);
    }
    odd.part(schema, batch.num_rows(), columns)
}

/// Refuses the numbers that stand for `-infinity` and `infinity`, as dates and timestamps they would mean a day, and the moments that
/// a driver wraps.
fn refuse_moments(
    product: Product,
    array: &ArrayRef,
    [least, greatest]: [i64; 2],
    refuse: &mut Refuse<'_>,
) -> Result<()> {
    let numbers = cast(array, &DataType::Int64)?;
    for (row, number) in numbers.as_primitive::<Int64Type>().iter().enumerate() {
        let endless = "infinity is no point in time that Arrow has";
        let (text, why) = match number {
            Some(number) if number == least => (Some("-infinity"), endless),
            Some(number) if number == greatest => (Some("infinity"), endless),
            Some(number) if product == Product::Postgresql && number < FIRST_MICRO => {
                (None, "the driver wraps a moment that is so late")
            }
            _ => continue,
        };
        let hint = "cast the column to text in a --query, or use the connector of the database";
        refuse(row, text.map(str::to_owned), Error::new(ErrorKind::Value, why).with_hint(hint));
    }
    Ok(())
}

/// Refuses the end of a day, which is no time of day.
fn refuse_midnight(array: &ArrayRef, refuse: &mut Refuse<'_>) {
    let Some(times) = array.as_primitive_opt::<Time64MicrosecondType>() else { return };
    for (row, time) in times.iter().enumerate() {
        if time.is_some_and(|time| !(0..DAY_MICROS).contains(&time)) {
            let error = Error::new(ErrorKind::Value, "24:00:00 is no time that Arrow has");
            refuse(row, Some("24:00:00".to_owned()), error.with_hint("cast the column to text in a --query"));
        }
    }
}

/// Refuses whole numbers of 39 digits, which no decimal of 38 holds.
fn refuse_long(array: &ArrayRef, refuse: &mut Refuse<'_>) {
    let Some(numbers) = array.as_primitive_opt::<Decimal128Type>() else { return };
    for (row, number) in numbers.iter().enumerate() {
        if let Some(number) = number.filter(|number| number.unsigned_abs() >= 10_u128.pow(38)) {
            let error = Error::new(ErrorKind::Value, "the driver has no more than 38 digits, and the number has 39");
            let hint = "cast the column to text in a --query, or use 'duckdb:'";
            refuse(row, Some(number.to_string()), error.with_hint(hint));
        }
    }
}

/// `array` as what it was described as; a driver that looks at rows may find another type at each reading.
fn alike(array: &ArrayRef, described: &DataType) -> Result<ArrayRef> {
    if array.data_type() == described {
        return Ok(Arc::clone(array));
    }
    if normal(array.data_type()) == *described {
        return Ok(cast(array, described)?);
    }
    Err(changed(array.data_type(), described))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Decimal128Array, Time64MicrosecondArray, TimestampMicrosecondArray};

    use super::*;

    fn told(product: Product, array: ArrayRef) -> Vec<String> {
        let schema = Arc::new(Schema::new(vec![Field::new("c", array.data_type().clone(), true)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![array]).unwrap();
        let (staying, rejects) = decoded((&batch, 10), product, &[0], &schema).unwrap();
        let Some(rejects) = rejects else { return Vec::new() };
        assert_eq!(staying.num_rows() + rejects.errors.len(), batch.num_rows());
        let texts = rejects.rows.column(0).as_string::<i32>().iter();
        texts.zip(&rejects.errors).map(|(text, error)| format!("{} of {error}", text.unwrap())).collect()
    }

    /// DuckDB counts infinity by the greatest number. PostgreSQL's `infinity` is 2147483647 days, or 9223372036854775807 microseconds,
    /// after 2000-01-01, which is day 10957.
    #[test]
    fn infinity_is_no_day_that_a_driver_wraps_it_to() {
        let why = "column c: infinity is no point in time that Arrow has";
        let days = |days: [i32; 3]| -> ArrayRef { Arc::new(Date32Array::from(days.to_vec())) };
        let told_of = |product, array| told(product, array).join("; ");
        let expected = format!("infinity of row 12: {why}; -infinity of row 13: {why}");
        assert_eq!(told_of(Product::DuckDb, days([0, 2_147_483_647, -2_147_483_647])), expected);
        assert_eq!(told_of(Product::Postgresql, days([0, -2_147_472_692, -2_147_472_691])), expected);
        // The first and the last day of PostgreSQL.
        assert_eq!(told_of(Product::Postgresql, days([-2_440_588, 0, 2_145_031_948])), "");
        assert_eq!(told_of(Product::Other, days([0, i32::MAX, -i32::MAX])), "");
        let moments = [-9_222_425_352_054_775_809, -9_222_425_352_054_775_808, 0];
        let moments = TimestampMicrosecondArray::from(moments.to_vec()).with_timezone("UTC");
        let expected = format!("infinity of row 11: {why}; -infinity of row 12: {why}");
        assert_eq!(told_of(Product::Postgresql, Arc::new(moments)), expected);
    }

    /// The driver adds the microseconds from 1970 to 2000 to those that the server counts: 294247-01-10 04:00:54.775807 is the last
    /// moment for which there is room, 4714-11-24 BC the first of PostgreSQL.
    #[test]
    fn moments_that_the_driver_wraps_are_refused() {
        let moments = TimestampMicrosecondArray::from(vec![i64::MAX, i64::MIN, -210_866_803_200_000_000]);
        let schema = Arc::new(Schema::new(vec![Field::new("c", moments.data_type().clone(), true)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(moments)]).unwrap();
        let (staying, rejects) = decoded((&batch, 0), Product::Postgresql, &[0], &schema).unwrap();
        let rejects = rejects.unwrap();
        assert_eq!((staying.num_rows(), rejects.errors.len()), (2, 1));
        assert!(rejects.errors[0].to_string().starts_with("row 2: column c: the driver wraps"), "{:?}", rejects.errors);
    }

    #[test]
    fn the_end_of_a_day_is_no_time_of_day() {
        let times = Time64MicrosecondArray::from(vec![Some(0), None, Some(DAY_MICROS - 1), Some(DAY_MICROS)]);
        let said = "24:00:00 of row 14: column c: 24:00:00 is no time that Arrow has";
        assert_eq!(told(Product::Postgresql, Arc::new(times)), [said]);
    }

    /// The least HUGEINT has 39 digits.
    #[test]
    fn numbers_of_39_digits_are_refused() {
        let most = 10_i128.pow(38) - 1;
        let numbers = Decimal128Array::from(vec![Some(most), None, Some(-most), Some(i128::MIN)]);
        let numbers: ArrayRef = Arc::new(numbers.with_precision_and_scale(38, 0).unwrap());
        let said = "-170141183460469231731687303715884105728 of row 14: column c: the driver has no more than 38 digits, and the \
                    number has 39";
        assert_eq!(told(Product::DuckDb, Arc::clone(&numbers)), [said]);
        assert!(told(Product::Other, numbers).is_empty());
    }
}
