//! What the columns of a relation are read as: the declared types, judged by a sample of the values.
//!
//! A column whose declaration holds for any of its values keeps it, and a value that breaks it is an error when it is
//! read. A column whose declaration holds for none is typed by what it holds.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::catalog::{Column, Relation, Shape};
use super::decode::accepts;
use super::error::failed;
use super::spread::{self, Stock};
use super::typemap::{Kind, NATURAL, proposed};
use crate::error::Result;
use crate::sql::ddl::identifiers;
use crate::sql::dialect::Sqlite;

/// Rows of the sample from the start, and from each of the points spread over the table.
const FIRST_ROWS: usize = 1000;
const SPREAD_ROWS: usize = 8;
const SPREAD_POINTS: usize = 16;
/// A sample of long values ends here.
const SAMPLE_BYTES: usize = 16 << 20;

/// A relation with the kind of each of its columns.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) relation: Relation,
    pub(super) kinds: Vec<Kind>,
    /// Whether the sample has values of a column that are not NULL.
    pub(super) has_values: Vec<bool>,
    /// Estimated rows, and bytes of a row; exact where the sample is everything.
    pub(super) rows: Option<u64>,
    pub(super) row_bytes: u64,
    /// How its rows lie, where an integer key orders them.
    pub(super) stock: Option<Stock>,
}

/// Looks at the first rows of `relation` and at some spread over it.
pub(super) fn describe(connection: &Connection, relation: Relation) -> Result<Described> {
    let mut sample = Sample::of(&relation);
    let names: Vec<&str> = relation.columns.iter().map(|column| column.name.as_str()).collect();
    let columns = if names.is_empty() { "1".to_owned() } else { identifiers(&Sqlite, &names) };
    let from = relation.sql();
    sample.take(connection, &format!("SELECT {columns} FROM {from} LIMIT {FIRST_ROWS}"))?;
    let mut described = Described {
        kinds: Vec::new(),
        has_values: Vec::new(),
        rows: (sample.rows < FIRST_ROWS && !sample.full()).then_some(sample.rows as u64),
        row_bytes: 0,
        stock: None,
        relation,
    };
    if described.rows.is_none() {
        if let Some(key) = integer_key(&described.relation) {
            described.stock = spread::survey(connection, &from, &key)?;
        }
        if let Some(stock) = &mut described.stock {
            stock.cap(file_bytes(connection)? / sample.stored_bytes_per_row());
        }
        if let Some(stock) = &described.stock {
            described.rows = Some(stock.rows());
            for low in stock.points(SPREAD_POINTS) {
                let key = &stock.key;
                let sql =
                    format!("SELECT {columns} FROM {from} WHERE {key} >= {low} ORDER BY {key} LIMIT {SPREAD_ROWS}");
                sample.take(connection, &sql)?;
            }
        }
    }
    described.row_bytes = (sample.bytes / sample.rows.max(1)) as u64;
    described.has_values = sample.columns.iter().map(|column| column.values > 0).collect();
    described.kinds = sample.columns.iter().map(ColumnSample::kind).collect();
    Ok(described)
}

/// Bytes of the database, with what its log holds beyond the file.
fn file_bytes(connection: &Connection) -> Result<u64> {
    let number = |pragma: &str| {
        connection.query_row(&format!("PRAGMA main.{pragma}"), [], |row| row.get::<_, u64>(0)).map_err(failed)
    };
    Ok(number("page_count")?.saturating_mul(number("page_size")?))
}

/// The column, quoted, whose integers order the rows of a table: the row id, or the whole key of a WITHOUT ROWID table.
fn integer_key(relation: &Relation) -> Option<String> {
    use crate::sql::dialect::Dialect as _;
    match &relation.shape {
        Shape::Rowid { alias } => Some(Sqlite.identifier(alias)),
        Shape::Keyed => {
            let mut key = relation.columns.iter().filter(|column| column.key > 0);
            let (Some(column), None) = (key.next(), key.next()) else { return None };
            (proposed(&column.declared) == [Kind::Int64]).then(|| Sqlite.identifier(&column.name))
        }
        Shape::View | Shape::Query(_) => None,
    }
}

struct Sample {
    columns: Vec<ColumnSample>,
    rows: usize,
    bytes: usize,
    /// Bytes in the file, at least.
    stored_bytes: usize,
}

/// Of one column: how many values each kind accepts.
struct ColumnSample {
    proposed: Vec<Kind>,
    /// Of the proposed kinds, then of the natural ones.
    accepted: Vec<usize>,
    values: usize,
}

impl Sample {
    fn of(relation: &Relation) -> Self {
        let column = |column: &Column| {
            let proposed = proposed(&column.declared);
            ColumnSample { accepted: vec![0; proposed.len() + NATURAL.len()], proposed, values: 0 }
        };
        Self { columns: relation.columns.iter().map(column).collect(), rows: 0, bytes: 0, stored_bytes: 0 }
    }

    fn stored_bytes_per_row(&self) -> u64 {
        // A row takes a few bytes for itself: its place on the page, its length, its id.
        const ROW_BYTES: usize = 5;
        (self.stored_bytes / self.rows.max(1) + ROW_BYTES) as u64
    }

    fn full(&self) -> bool {
        self.bytes >= SAMPLE_BYTES
    }

    fn take(&mut self, connection: &Connection, sql: &str) -> Result<()> {
        let mut statement = connection.prepare(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while !self.full() {
            let Some(row) = rows.next().map_err(failed)? else { break };
            self.rows += 1;
            for (place, column) in self.columns.iter_mut().enumerate() {
                let value = row.get_ref(place).map_err(failed)?;
                self.bytes += bytes(value);
                self.stored_bytes += stored_bytes(value);
                column.judge(value);
            }
        }
        Ok(())
    }
}

fn bytes(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Null => 1,
        ValueRef::Integer(_) | ValueRef::Real(_) => 9,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => 2 + bytes.len(),
    }
}

/// What `value` takes in the file, at least: one byte for its type, and itself.
fn stored_bytes(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Null | ValueRef::Integer(0 | 1) => 1,
        ValueRef::Integer(value) => 1 + (65 - value.unsigned_abs().leading_zeros() as usize).div_ceil(8),
        ValueRef::Real(_) => 2,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => 1 + bytes.len(),
    }
}

impl ColumnSample {
    fn judge(&mut self, value: ValueRef<'_>) {
        if value == ValueRef::Null {
            return;
        }
        self.values += 1;
        let kinds = self.proposed.iter().chain(&NATURAL);
        for (kind, accepted) in kinds.zip(&mut self.accepted) {
            *accepted += usize::from(accepts(*kind, value));
        }
    }

    fn kind(&self) -> Kind {
        let (declared, natural) = self.accepted.split_at(self.proposed.len());
        let all = |accepted: &[usize]| accepted.iter().position(|count| *count == self.values);
        if let Some(place) = all(declared) {
            return self.proposed[place];
        }
        let best = declared.iter().max().copied().unwrap_or(0);
        if best > 0 && !self.has_both_clocks() {
            let place = declared.iter().position(|count| *count == best).unwrap_or(0);
            return self.proposed[place];
        }
        // Nothing to go by is text.
        if self.values == 0 {
            return Kind::Text;
        }
        all(natural).map_or(Kind::Mixed, |place| NATURAL[place])
    }

    /// Instants with and without a zone have only their text in common.
    fn has_both_clocks(&self) -> bool {
        let has = |wanted: bool| {
            let mut counts = self.proposed.iter().zip(&self.accepted);
            counts.any(|(kind, count)| matches!(kind, Kind::Timestamp { zoned, .. } if *zoned == wanted) && *count > 0)
        };
        has(true) && has(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::sqlite::catalog::relation;
    use crate::endpoint::ObjectRef;

    fn kinds(ddl: &str) -> Vec<Kind> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(ddl).unwrap();
        let relation = relation(&connection, &ObjectRef::Table("t".into())).unwrap();
        describe(&connection, relation).unwrap().kinds
    }

    #[test]
    fn an_empty_table_is_what_it_declares() {
        assert_eq!(
            kinds("create table t (a int, b boolean, c numeric(5,2), d datetime, e json, f, g varchar(3), h blob)"),
            [
                Kind::Int64,
                Kind::Boolean,
                Kind::Decimal { precision: 5, scale: 2 },
                Kind::Timestamp { unit: arrow::datatypes::TimeUnit::Microsecond, zoned: false },
                Kind::Json,
                Kind::Text,
                Kind::Text,
                Kind::Blob
            ]
        );
    }

    #[test]
    fn a_declaration_that_never_holds_gives_way() {
        let table = "create table t (a int, b boolean, c datetime, d date, e real, f decimal(5,2), g uuid, h blob);";
        let rows = "insert into t values ('x', 2, 1700000000, '2024-01-01 10:00', 'y', 1.2345, 'no', 'text');";
        assert_eq!(
            kinds(&format!("{table}{rows}")),
            [
                Kind::Text,
                Kind::Int64,
                Kind::Int64,
                Kind::Timestamp { unit: arrow::datatypes::TimeUnit::Microsecond, zoned: false },
                Kind::Text,
                Kind::Float64,
                Kind::Text,
                Kind::Text
            ]
        );
    }

    #[test]
    fn a_declaration_that_mostly_holds_stays() {
        let table = "create table t (a int, b boolean, c date);";
        let rows = "insert into t values (1, 1, '2024-01-01'), (2, 0, '2024-01-02'), ('x', 'no', 'soon');";
        assert_eq!(kinds(&format!("{table}{rows}")), [Kind::Int64, Kind::Boolean, Kind::Date]);
    }

    #[test]
    fn columns_without_a_declaration_are_what_they_hold() {
        let table = "create table t (a, b, c, d, e, f string);";
        let rows = "insert into t values (1, 1, 'x', x'00', 1, '01'), (2, 2.5, 'y', null, 'x', 'x');";
        assert_eq!(
            kinds(&format!("{table}{rows}")),
            [Kind::Int64, Kind::Float64, Kind::Text, Kind::Blob, Kind::Mixed, Kind::Mixed]
        );
    }

    #[test]
    fn rows_are_never_more_than_the_file_holds() {
        let connection = Connection::open_in_memory().unwrap();
        let ddl = "create table t (id integer primary key, v text);
            with recursive n(i) as (select 0 union all select i + 1 from n where i < 99999)
            insert into t select i / 100 << 48 | i % 100, printf('%0200d', i) from n;";
        connection.execute_batch(ddl).unwrap();
        let relation = relation(&connection, &ObjectRef::Table("t".into())).unwrap();
        let rows = describe(&connection, relation).unwrap().rows.unwrap();
        assert!((90_000..130_000).contains(&rows), "{rows}");
    }

    #[test]
    fn instants_with_and_without_a_zone_are_text() {
        let table = "create table t (a timestamp, b timestamp);";
        let rows = "insert into t values ('2024-01-01 10:00', '2024-01-01 10:00Z'), ('2024-01-01 10:00Z', '2024-01-01 10:00Z');";
        assert_eq!(
            kinds(&format!("{table}{rows}")),
            [Kind::Text, Kind::Timestamp { unit: arrow::datatypes::TimeUnit::Microsecond, zoned: true }]
        );
    }
}
