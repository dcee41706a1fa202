//! Ranges of a key, from its least and greatest value and, better, from a sample of its values.
//!
//! Pure arithmetic. There are never more ranges than wanted, however sparse the key is: a sample puts the
//! borders where the rows are, and without one a gap costs empty ranges but no more of them.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

/// Keys from `low` up to, but without, `high`. An absent end is open, so all ranges together hold every key.
///
/// A key is a number, or whatever the SQL of its database compares with a column: a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRange<K = i64> {
    /// The least key.
    pub low: Option<K>,
    /// The first key after the range.
    pub high: Option<K>,
}

impl<K> KeyRange<K> {
    /// Every key.
    pub const ALL: Self = Self { low: None, high: None };

    /// The ranges between ascending `borders`, and those beyond them.
    pub fn between(borders: &[K]) -> Vec<Self>
    where
        K: Clone,
    {
        let lows = std::iter::once(None).chain(borders.iter().cloned().map(Some));
        let highs = borders.iter().cloned().map(Some).chain(std::iter::once(None));
        lows.zip(highs).map(|(low, high)| Self { low, high }).collect()
    }
}

impl<K: Display> KeyRange<K> {
    /// The range as a condition on `column`, which is already quoted; none when it holds every key.
    /// NULL is in no bounded range: split by a key that refuses NULL.
    pub fn condition(&self, column: &str) -> Option<String> {
        match (&self.low, &self.high) {
            (None, None) => None,
            (Some(low), None) => Some(format!("{column} >= {low}")),
            (None, Some(high)) => Some(format!("{column} < {high}")),
            (Some(low), Some(high)) => Some(format!("{column} >= {low} AND {column} < {high}")),
        }
    }
}

impl KeyRange {
    /// Where it lies, in words; none when it holds every key. `keys` is what they are called: `row ids`.
    pub fn shown(&self, keys: &str) -> Option<String> {
        match (self.low, self.high) {
            (None, None) => None,
            (None, Some(high)) => Some(format!("{keys} below {high}")),
            (Some(low), None) => Some(format!("{keys} from {low} on")),
            (Some(low), Some(high)) => Some(format!("{keys} {low} to {}", high - 1)),
        }
    }
}

/// Where the keys of a table lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The least key.
    pub min: i64,
    /// The greatest key.
    pub max: i64,
    /// Keys at even distances in rank (a histogram's bounds, a sorted sample); empty when unknown.
    pub sample: Vec<i64>,
}

/// Cuts the keys into at most `wanted` ranges, ascending, which together hold every key once.
pub fn cut(spread: &Spread, wanted: usize) -> Vec<KeyRange> {
    let mut borders = if spread.sample.is_empty() {
        even_borders(spread, wanted)
    } else {
        let mut sample = spread.sample.clone();
        sample.sort_unstable();
        at_ranks(&sample, wanted)
    };
    borders.retain(|border| *border > spread.min && *border <= spread.max);
    borders.dedup();
    KeyRange::between(&borders)
}

/// Up to `wanted` - 1 of the keys of an ascending `sample`, at even distances in rank; the first key is none of them.
pub fn at_ranks<K: Clone>(sample: &[K], wanted: usize) -> Vec<K> {
    let pieces = wanted.clamp(1, sample.len().max(1));
    (1..pieces).map(|index| sample[index * sample.len() / pieces].clone()).collect()
}

/// Borders at even distances in value.
fn even_borders(spread: &Spread, wanted: usize) -> Vec<i64> {
    let span = i128::from(spread.max) - i128::from(spread.min) + 1;
    let pieces = i128::try_from(wanted).unwrap_or(i128::MAX).clamp(1, span.max(1));
    let border = |index: i128| i64::try_from(i128::from(spread.min) + span * index / pieces).unwrap_or(i64::MAX);
    (1..pieces).map(border).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn even_keys_are_cut_evenly() {
        let ranges = cut(&Spread { min: 1, max: 100, sample: Vec::new() }, 4);
        let lows: Vec<_> = ranges.iter().map(|range| range.low).collect();
        assert_eq!(lows, [None, Some(26), Some(51), Some(76)]);
        assert_eq!(ranges[1].condition("\"id\"").unwrap(), "\"id\" >= 26 AND \"id\" < 51");
        assert_eq!(ranges[3].high, None);
        let shown: Vec<_> = ranges.iter().filter_map(|range| range.shown("keys")).collect();
        assert_eq!(shown, ["keys below 26", "keys 26 to 50", "keys 51 to 75", "keys from 76 on"]);
        assert_eq!(KeyRange::<i64>::ALL.shown("keys"), None);
    }

    #[test]
    fn few_or_no_keys_make_few_ranges() {
        assert_eq!(cut(&Spread { min: 7, max: 7, sample: Vec::new() }, 1000), [KeyRange::ALL]);
        assert_eq!(cut(&Spread { min: 1, max: 3, sample: Vec::new() }, 1000).len(), 3);
        assert_eq!(cut(&Spread { min: 1, max: 3, sample: Vec::new() }, 0), [KeyRange::ALL]);
    }

    #[test]
    fn a_sample_puts_the_borders_where_the_rows_are() {
        let mut sample: Vec<i64> = (0..99).collect();
        sample.push(i64::MAX - 1);
        let ranges = cut(&Spread { min: 0, max: i64::MAX, sample }, 4);
        assert_eq!(ranges.iter().map(|range| range.low).collect::<Vec<_>>(), [None, Some(25), Some(50), Some(75)]);
    }

    #[test]
    fn keys_of_any_type_are_cut_by_rank() {
        let sample = ["'a'", "'b'", "'c'", "'d'"];
        assert_eq!(at_ranks(&sample, 2), ["'c'"]);
        assert_eq!(at_ranks(&sample, 100), ["'b'", "'c'", "'d'"], "before the first is nothing");
        assert!(at_ranks::<String>(&[], 100).is_empty());
        let conditions: Vec<_> = KeyRange::between(&["'b'", "'d'"]).iter().map(|range| range.condition("k")).collect();
        assert_eq!(conditions.iter().flatten().collect::<Vec<_>>(), ["k < 'b'", "k >= 'b' AND k < 'd'", "k >= 'd'"]);
    }

    proptest! {
        #[test]
        fn every_key_is_in_exactly_one_range(
            keys in prop::collection::vec(any::<i64>(), 1..50),
            sampled in any::<bool>(),
            wanted in 0_usize..20,
        ) {
            let min = *keys.iter().min().unwrap();
            let max = *keys.iter().max().unwrap();
            let ranges = cut(&Spread { min, max, sample: if sampled { keys.clone() } else { Vec::new() } }, wanted);
            prop_assert!(ranges.len() <= wanted.max(1));
            let holds = |range: &KeyRange, key: i64| {
                range.low.is_none_or(|low| key >= low) && range.high.is_none_or(|high| key < high)
            };
            for key in keys {
                prop_assert_eq!(ranges.iter().filter(|range| holds(range, key)).count(), 1);
            }
        }
    }
}
