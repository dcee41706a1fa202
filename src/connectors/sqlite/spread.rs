//! How the rows of a table lie along its integer key, learnt by a few hundred seeks into the b-tree.
//!
//! A probe in the middle of a stretch finds the keys on both sides of it, and so the gap between them: what is left
//! are stretches that begin and end with a row. The density at the start of each tells how many rows it has. Sparse
//! keys thus cost a few probes, never thousands of empty ranges.

use rusqlite::{Connection, OptionalExtension as _};

use super::error::failed;
use crate::error::Result;
use crate::sql::keyset::{KeyRange, Spread, cut};

/// Probes of one survey.
const PROBES: usize = 128;
/// Rows over which the density of a stretch is measured.
const DENSITY_ROWS: u32 = 64;
/// Keys of the sample that stands for the whole.
const SAMPLE_KEYS: u64 = 4096;

/// The stretches of a table, ascending.
#[derive(Clone, Debug)]
pub(super) struct Stock {
    /// The key column, quoted.
    pub(super) key: String,
    stretches: Vec<Stretch>,
}

/// Keys from one row to another, and about how many rows lie there.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch {
    first: i64,
    last: i64,
    rows: f64,
}

impl Stretch {
    fn span(&self) -> f64 {
        width((self.first, self.last)) as f64 + 1.0
    }
}

impl Stock {
    /// Estimated rows.
    pub(super) fn rows(&self) -> u64 {
        self.stretches.iter().map(|stretch| stretch.rows).sum::<f64>() as u64
    }

    /// Says that there are at most `most` rows: each stretch has its share of them. Where runs of keys are parted by
    /// gaps, the start of a stretch is denser than the rest of it.
    pub(super) fn cap(&mut self, most: u64) {
        let estimate = self.stretches.iter().map(|stretch| stretch.rows).sum::<f64>();
        if estimate > most as f64 {
            self.stretches.iter_mut().for_each(|stretch| stretch.rows *= most as f64 / estimate);
        }
    }

    /// Keys at about even distances in rank, at most `count`.
    pub(super) fn points(&self, count: usize) -> Vec<i64> {
        self.ranges(count).into_iter().filter_map(|range| range.low).collect()
    }

    /// At most `wanted` ranges of about as many rows each, which together hold every key.
    pub(super) fn ranges(&self, wanted: usize) -> Vec<KeyRange> {
        let (Some(first), Some(last)) = (self.stretches.first(), self.stretches.last()) else {
            return vec![KeyRange::ALL];
        };
        let keys = (wanted as u64 * 16).clamp(1, SAMPLE_KEYS.max(wanted as u64));
        let step = (self.rows() as f64 / keys as f64).max(1.0);
        let mut sample = Vec::new();
        let mut passed = 0.0;
        for stretch in &self.stretches {
            let mut next = (passed / step).ceil() * step - passed;
            while next < stretch.rows {
                let key = i128::from(stretch.first) + (stretch.span() * next / stretch.rows) as i128;
                sample.push(i64::try_from(key).unwrap_or(stretch.last).min(stretch.last));
                next += step;
            }
            passed += stretch.rows;
        }
        cut(&Spread { min: first.first, max: last.last, sample }, wanted)
    }
}

/// Surveys the table `from` along `key`; none when it is empty or its keys are no integers.
pub(super) fn survey(connection: &Connection, from: &str, key: &str) -> Result<Option<Stock>> {
    let edge = |order: &str| seek(connection, &format!("SELECT {key} FROM {from} ORDER BY {key} {order} LIMIT 1"), &[]);
    let (Some(first), Some(last)) = (edge("ASC")?, edge("DESC")?) else { return Ok(None) };
    let mut stretches = vec![(first, last)];
    let before = format!("SELECT {key} FROM {from} WHERE {key} < ?1 ORDER BY {key} DESC LIMIT 1");
    let after = format!("SELECT {key} FROM {from} WHERE {key} >= ?1 ORDER BY {key} LIMIT 1");
    for _ in 0..PROBES {
        let widest = (0..stretches.len()).max_by_key(|place| width(stretches[*place]));
        let Some(place) = widest.filter(|place| width(stretches[*place]) > i128::from(DENSITY_ROWS)) else { break };
        let (low, high) = stretches[place];
        let middle = low.midpoint(high) + 1;
        let (Some(left), Some(right)) = (seek(connection, &before, &[middle])?, seek(connection, &after, &[middle])?)
        else {
            return Ok(None);
        };
        stretches[place] = (low, left);
        stretches.insert(place + 1, (right, high));
    }
    let mut stock = Stock { key: key.to_owned(), stretches: Vec::with_capacity(stretches.len()) };
    let pace = format!("SELECT {key} FROM {from} WHERE {key} >= ?1 ORDER BY {key} LIMIT 1 OFFSET {DENSITY_ROWS}");
    let count = format!("SELECT count(*) FROM {from} WHERE {key} BETWEEN ?1 AND ?2");
    for (first, last) in stretches {
        let mut stretch = Stretch { first, last, rows: 1.0 };
        stretch.rows = match seek(connection, &pace, &[first])? {
            Some(key) if key < last => stretch.span() * f64::from(DENSITY_ROWS) / width((first, key)) as f64,
            // Its few rows are counted.
            _ => seek(connection, &count, &[first, last])?.unwrap_or(1) as f64,
        };
        stock.stretches.push(stretch);
    }
    Ok(Some(stock))
}

fn width((first, last): (i64, i64)) -> i128 {
    i128::from(last) - i128::from(first)
}

/// The integer that `sql` gives; none for no row and for anything else.
fn seek(connection: &Connection, sql: &str, keys: &[i64]) -> Result<Option<i64>> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let value = statement.query_row(rusqlite::params_from_iter(keys), |row| {
        Ok(if let rusqlite::types::ValueRef::Integer(key) = row.get_ref(0)? { Some(key) } else { None })
    });
    value.optional().map(Option::flatten).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stock(values: &str) -> (Connection, Option<Stock>) {
        let connection = Connection::open_in_memory().unwrap();
        let numbers = "with recursive n(i) as (select 0 union all select i + 1 from n where i < 99999)";
        let sql = format!("create table t (id integer primary key); insert into t {numbers} {values}");
        connection.execute_batch(&sql).unwrap();
        let stock = survey(&connection, "t", "id").unwrap();
        (connection, stock)
    }

    /// Rows per range, as the database counts them.
    fn counts(connection: &Connection, ranges: &[KeyRange]) -> Vec<i64> {
        let count = |range: &KeyRange| {
            let condition = range.condition("id").unwrap_or("1".into());
            connection.query_row(&format!("select count(*) from t where {condition}"), [], |row| row.get(0)).unwrap()
        };
        ranges.iter().map(count).collect()
    }

    #[test]
    fn dense_keys_are_cut_evenly() {
        let (connection, stock) = stock("select i from n");
        let counts = counts(&connection, &stock.unwrap().ranges(8));
        assert_eq!((counts.len(), counts.iter().sum::<i64>()), (8, 100_000));
        assert!(counts.iter().all(|count| (10_000..15_000).contains(count)), "{counts:?}");
    }

    #[test]
    fn sparse_keys_are_cut_where_the_rows_are() {
        let values = "select i from n where i < 50000 union all select 9000000000000000000 + i from n where i < 50000 \
                      union all select -9000000000000000000";
        let (connection, stock) = stock(values);
        let stock = stock.unwrap();
        assert!((90_000..110_000).contains(&stock.rows()), "{}", stock.rows());
        let counts = counts(&connection, &stock.ranges(10));
        assert_eq!((counts.len(), counts.iter().sum::<i64>()), (10, 100_001));
        assert!(counts.iter().all(|count| (5_000..20_000).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_capped_stock_is_cut_where_it_was() {
        // A thousand runs of a hundred keys each, with four milliards of keys from one to the next.
        let (connection, stock) = stock("select i / 100 << 32 | i % 100 from n");
        let mut stock = stock.unwrap();
        assert!(stock.rows() > 1 << 30, "{}", stock.rows());
        stock.cap(120_000);
        assert!((100_000..=120_000).contains(&stock.rows()), "{}", stock.rows());
        let counts = counts(&connection, &stock.ranges(10));
        assert_eq!((counts.len(), counts.iter().sum::<i64>()), (10, 100_000));
        assert!(counts.iter().all(|count| (5_000..20_000).contains(count)), "{counts:?}");
    }

    #[test]
    fn an_empty_table_has_no_stock() {
        assert!(stock("select i from n where 0").1.is_none());
    }
}
