//! Merging by key as SQL: which row of a key counts, and the statements by which the rows of a stage replace those of a target.

use super::ddl::identifiers;
use super::dialect::Dialect;
use crate::merge::{Absent, Duplicates};

/// What to do about a row that another unique key refuses: the key decides which row is replaced, and does not solve that.
pub const OTHER_KEY: &str =
    "a row has another key and the same value there: mend the rows, or merge by that column with --key";

/// What [`ranked`] calls the place of a row: no column of a table has such a name.
pub const PLACE: &str = "__etl_place";

/// What [`ranked`] calls the rank of a row among those of its key: no column of a table has such a name.
pub const RANK: &str = "__etl_rank";

/// The rows of which each key keeps one.
#[derive(Clone, Copy, Debug)]
pub struct Waiting<'a> {
    /// Their table, quoted.
    pub table: &'a str,
    /// What tells each of them from all others.
    pub place: &'a str,
    /// The columns by which they are in the order in which they came.
    pub arrival: &'a [&'a str],
}

/// The `key` of the rows that wait, their [`PLACE`], and their [`RANK`] among those of the same key: 1 for those that count. Without an order
/// all do.
pub fn ranked(dialect: &dyn Dialect, waiting: Waiting<'_>, key: &[String], duplicates: &Duplicates) -> String {
    let Waiting { table, place, arrival } = waiting;
    let by_arrival = |way: &str| {
        let columns: Vec<String> = arrival.iter().map(|column| format!("{column} {way}")).collect();
        format!("ORDER BY {}", columns.join(", "))
    };
    let order = match duplicates {
        Duplicates::Refuse => String::new(),
        Duplicates::FirstArrived => by_arrival("ASC"),
        Duplicates::LastArrived => by_arrival("DESC"),
        Duplicates::First(column) => format!("ORDER BY {} ASC NULLS LAST", dialect.identifier(column)),
        Duplicates::Last(column) => format!("ORDER BY {} DESC NULLS LAST", dialect.identifier(column)),
    };
    let key = identifiers(dialect, key);
    format!("SELECT {place} AS {PLACE}, rank() OVER (PARTITION BY {key} {order}) AS {RANK}, {key} FROM {table}")
}

/// What statements call the table into which rows are merged: no column has such a name, which DuckDB would take for a struct.
pub const TARGET: &str = "__etl_target";

/// What they call the rows that come.
pub const ROWS: &str = "__etl_rows";

/// Rows that come, and the table into which they are merged.
#[derive(Clone, Copy, Debug)]
pub struct Merging<'a> {
    /// How names are written.
    pub dialect: &'a dyn Dialect,
    /// The table, quoted.
    pub table: &'a str,
    /// Its columns that are written, the key among them.
    pub columns: &'a [String],
    /// The columns of the key.
    pub key: &'a [String],
    /// The rows, called [`ROWS`]: what stands behind FROM.
    pub rows: &'a str,
    /// What stands behind UPDATE and INSERT, with a blank before it; most often nothing.
    pub or: &'a str,
    /// For each of the columns, whether its values in [`TARGET`] and [`ROWS`] differ, NULL included.
    pub differs: &'a [String],
}

impl Merging<'_> {
    /// Deletion, update and insertion, in this order, as far as each is needed.
    pub fn statements(&self, absent: Absent) -> [Option<String>; 3] {
        let Self { dialect, table, columns, key, rows, or, differs } = *self;
        let set: Vec<String> =
            columns.iter().filter(|name| !key.contains(name)).map(|name| dialect.identifier(name)).collect();
        let differing = columns.iter().zip(differs).filter(|(name, _)| !key.contains(name));
        let differing: Vec<&str> = differing.map(|(_, differs)| differs.as_str()).collect();
        let all = |names: &[String], each: &dyn Fn(&str) -> String, between: &str| {
            names.iter().map(|name| each(name)).collect::<Vec<_>>().join(between)
        };
        let key: Vec<String> = key.iter().map(|name| dialect.identifier(name)).collect();
        let columns = identifiers(dialect, columns);
        let same = all(&key, &|name| format!("{TARGET}.{name} = {ROWS}.{name}"), " AND ");
        let delete = format!("DELETE FROM {table} AS {TARGET} WHERE NOT EXISTS (SELECT 1 FROM {rows} WHERE {same})");
        let update = format!(
            "UPDATE{or} {table} AS {TARGET} SET {} FROM {rows} WHERE {same} AND ({})",
            all(&set, &|name| format!("{name} = {ROWS}.{name}"), ", "),
            differing.join(" OR ")
        );
        let insert = format!(
            "INSERT{or} INTO {table} ({columns}) SELECT {columns} FROM {rows} \
             WHERE NOT EXISTS (SELECT 1 FROM {table} AS {TARGET} WHERE {same})"
        );
        [(absent == Absent::Deleted).then_some(delete), (!set.is_empty()).then_some(update), Some(insert)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::dialect::Sqlite;

    #[test]
    fn rows_of_one_key_have_a_rank() {
        let waiting = Waiting { table: "t", place: "rowid", arrival: &["part", "row"] };
        let of = |duplicates: Duplicates| ranked(&Sqlite, waiting, &["k".to_owned()], &duplicates);
        let expected = |order: &str| {
            format!("SELECT rowid AS __etl_place, rank() OVER (PARTITION BY \"k\" {order}) AS __etl_rank, \"k\" FROM t")
        };
        assert_eq!(of(Duplicates::Refuse), expected(""));
        assert_eq!(of(Duplicates::Last("v".to_owned())), expected("ORDER BY \"v\" DESC NULLS LAST"));
        assert_eq!(of(Duplicates::FirstArrived), expected("ORDER BY part ASC, row ASC"));
        assert_eq!(of(Duplicates::LastArrived), expected("ORDER BY part DESC, row DESC"));
    }

    #[test]
    fn what_is_not_needed_is_left_out() {
        let (columns, key) = (["k".to_owned(), "v".to_owned()], ["k".to_owned()]);
        let merging = Merging {
            dialect: &Sqlite,
            table: "\"t\"",
            columns: &columns,
            key: &key,
            rows: "stage AS __etl_rows",
            or: " OR ABORT",
            differs: &columns.clone().map(|name| format!("{TARGET}.\"{name}\" IS NOT {ROWS}.\"{name}\"")),
        };
        let [delete, update, insert] = merging.statements(Absent::Kept);
        assert_eq!(delete, None);
        assert_eq!(
            update.unwrap(),
            "UPDATE OR ABORT \"t\" AS __etl_target SET \"v\" = __etl_rows.\"v\" FROM stage AS __etl_rows \
             WHERE __etl_target.\"k\" = __etl_rows.\"k\" AND (__etl_target.\"v\" IS NOT __etl_rows.\"v\")"
        );
        assert_eq!(
            insert.unwrap(),
            "INSERT OR ABORT INTO \"t\" (\"k\", \"v\") SELECT \"k\", \"v\" FROM stage AS __etl_rows \
             WHERE NOT EXISTS (SELECT 1 FROM \"t\" AS __etl_target WHERE __etl_target.\"k\" = __etl_rows.\"k\")"
        );
        let [delete, update, _] = Merging { columns: &key, ..merging }.statements(Absent::Deleted);
        assert!(delete.is_some() && update.is_none());
    }
}
