//! Tables that are cut into even ranges of one column of whole numbers.

use serde::{Deserialize, Serialize};

use super::keyset::{self, KeyRange, Spread};
use crate::shape::SplitGoal;

/// A part has at least so many rows.
const LEAST_ROWS: u64 = 4096;

/// How many parts are wanted of a table of so many `rows` and `bytes`, up to `most`.
pub fn wanted((rows, bytes): (Option<u64>, Option<u64>), goal: &SplitGoal, most: u64) -> u64 {
    let by_size = bytes.unwrap_or(0) / goal.split_bytes.max(1);
    by_size.max(goal.channels as u64).min(rows.unwrap_or(0) / LEAST_ROWS).clamp(1, most)
}

/// What a split holds: a range of a column; all rows without one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    keys: Option<(String, KeyRange)>,
}

impl Part {
    /// At most `wanted` parts by `column`, whose least and greatest values are `ends`. Together they have all rows.
    pub fn even(column: &str, ends: (i64, i64), wanted: u64) -> Vec<Self> {
        let spread = Spread { min: ends.0, max: ends.1, sample: Vec::new() };
        let ranges = keyset::cut(&spread, wanted as usize);
        ranges.into_iter().map(|range| Self { keys: Some((column.to_owned(), range)) }).collect()
    }

    /// Its rows as a condition, with the column as `quote` writes it; none for all rows.
    pub fn condition(&self, quote: impl FnOnce(&str) -> String) -> Option<String> {
        let (column, range) = self.keys.as_ref()?;
        range.condition(&quote(column))
    }

    /// Where it lies, in words; none for all rows.
    pub fn place(&self) -> Option<String> {
        let (column, range) = self.keys.as_ref()?;
        range.shown(column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_conditions_on_a_column() {
        let parts = Part::even("id", (1, 100), 2);
        let conditions: Vec<_> = parts.iter().map(|part| part.condition(|name| format!("[{name}]"))).collect();
        assert_eq!(conditions, [Some("[id] < 51".to_owned()), Some("[id] >= 51".to_owned())]);
        assert_eq!(parts[1].place().unwrap(), "id from 51 on");
        assert_eq!((Part::default().condition(str::to_owned), Part::default().place()), (None, None));
    }

    #[test]
    fn small_tables_are_left_whole() {
        let goal = SplitGoal::new(1 << 20, 4);
        assert_eq!(wanted((None, None), &goal, 10), 1);
        assert_eq!(wanted((Some(3 * LEAST_ROWS), Some(1)), &goal, 10), 3);
        assert_eq!(wanted((Some(u64::MAX), Some(6 << 20)), &goal, 10), 6);
        assert_eq!(wanted((Some(u64::MAX), Some(u64::MAX)), &goal, 10), 10);
    }
}
