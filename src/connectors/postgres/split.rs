//! How a relation is cut: page ranges of its heaps, else ranges of an integer key, else not at all.
//!
//! Pure arithmetic over what the leader measured; every range list is complete, whatever the statistics say.

use serde::{Deserialize, Serialize};

use super::catalog::{Leaf, Relation};
use crate::source::{Split, SplitGoal};
use crate::sql::keyset::KeyRange;

/// Tables below this are one split that the leader reads.
pub(super) const SMALL_BYTES: u64 = 1 << 20;
/// More splits than this help nobody.
const MAX_SPLITS: u64 = 100_000;

/// Which rows a split holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part {
    /// The relation to read; none for all of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) relation: Option<String>,
    /// First page and the page after the last; an open end holds what was added meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pages: Option<(u64, Option<u64>)>,
    /// A column in SQL and a range of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) keys: Option<(String, KeyRange)>,
    /// The only split of its source.
    #[serde(default)]
    pub(super) alone: bool,
}

impl Part {
    /// All rows of the source.
    pub(super) const WHOLE: Self = Self { relation: None, pages: None, keys: None, alone: true };

    /// The condition on the rows; none for all of them.
    pub(super) fn condition(&self) -> Option<String> {
        match (&self.pages, &self.keys) {
            (Some((0, None)), _) | (None, None) => None,
            (Some((from, None)), _) => Some(format!("ctid >= '({from},0)'::tid")),
            (Some((0, Some(to))), _) => Some(format!("ctid < '({to},0)'::tid")),
            (Some((from, Some(to))), _) => Some(format!("ctid >= '({from},0)'::tid AND ctid < '({to},0)'::tid")),
            (None, Some((column, range))) => range.condition(column),
        }
    }
}

/// A part with its estimates.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) part: Part,
    pub(super) rows: Option<u64>,
    pub(super) bytes: Option<u64>,
}

/// Bytes of a relation, with those of its long values.
pub(super) fn bytes(relation: &Relation) -> u64 {
    relation.leaves.iter().map(|leaf| leaf.bytes).sum()
}

/// Rows of a relation; none when a part was never counted.
pub(super) fn rows(relation: &Relation) -> Option<u64> {
    if relation.leaves.is_empty() { None } else { relation.leaves.iter().map(|leaf| leaf.rows).sum() }
}

/// Page ranges over the leaves of a relation, each of about the wanted bytes.
pub(super) fn pages(relation: &Relation, goal: &SplitGoal) -> Vec<Piece> {
    let total = bytes(relation);
    let bytes_each = goal.split_bytes.max(total / MAX_SPLITS).max(1);
    relation.leaves.iter().flat_map(|leaf| leaf_pages(leaf, bytes_each)).collect()
}

fn leaf_pages(leaf: &Leaf, bytes_each: u64) -> Vec<Piece> {
    let relation = Some(leaf.sql.clone());
    if !leaf.heap || leaf.pages == 0 {
        let part = Part { relation, pages: leaf.heap.then_some((0, None)), keys: None, alone: false };
        return vec![Piece { part, rows: leaf.rows, bytes: leaf.heap.then_some(leaf.bytes) }];
    }
    let count = leaf.bytes.div_ceil(bytes_each).clamp(1, leaf.pages);
    let share = |whole: u64, index: u64| (u128::from(whole) * u128::from(index) / u128::from(count)) as u64;
    let range = |index: u64| {
        let part = Part {
            relation: relation.clone(),
            pages: Some((share(leaf.pages, index), (index + 1 < count).then(|| share(leaf.pages, index + 1)))),
            keys: None,
            alone: false,
        };
        let of = |whole: u64| share(whole, index + 1) - share(whole, index);
        Piece { part, rows: leaf.rows.map(of), bytes: Some(of(leaf.bytes)) }
    };
    (0..count).map(range).collect()
}

/// Key ranges, with the relation's rows and bytes dealt evenly.
pub(super) fn keys(relation: &Relation, column: &str, ranges: &[KeyRange]) -> Vec<Piece> {
    let count = ranges.len() as u64;
    let each = |whole: u64| whole / count.max(1);
    let piece = |range: &KeyRange| Piece {
        part: Part { relation: None, pages: None, keys: Some((column.to_owned(), *range)), alone: false },
        rows: rows(relation).map(each),
        bytes: Some(each(bytes(relation))),
    };
    ranges.iter().map(piece).collect()
}

/// Numbers the pieces.
pub(super) fn splits(mut pieces: Vec<Piece>) -> Vec<Split> {
    if let [piece] = &mut *pieces {
        piece.part.alone = true;
    }
    let split = |(id, piece): (usize, Piece)| Split {
        id: id as u32,
        source: 0,
        rows: piece.rows,
        bytes: piece.bytes,
        place: None,
        detail: serde_json::to_value(piece.part).unwrap_or_default(),
    };
    pieces.into_iter().enumerate().map(split).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaf(pages: u64, bytes: u64) -> Leaf {
        Leaf { sql: "\"s\".\"t\"".into(), heap: true, readable: true, pages, bytes, rows: Some(pages * 10) }
    }

    #[test]
    fn long_values_count() {
        // A tenth of the bytes are pages of the table itself: ten times as many ranges.
        let pieces = leaf_pages(&leaf(100, 8_192_000), 819_200);
        assert_eq!(pieces.len(), 10);
        assert_eq!(pieces[1].part.condition().unwrap(), "ctid >= '(10,0)'::tid AND ctid < '(20,0)'::tid");
        assert_eq!(pieces[9].part.condition().unwrap(), "ctid >= '(90,0)'::tid");
        assert_eq!(leaf_pages(&leaf(0, 0), 1000)[0].part.condition(), None);
    }

    proptest! {
        #[test]
        fn ranges_hold_every_page_once(pages in 0_u64..5_000, toast in 0_u64..100_000_000, each in 1_u64..10_000_000) {
            let pieces = leaf_pages(&leaf(pages, pages * 8192 + toast), each);
            let mut next = 0;
            for (index, piece) in pieces.iter().enumerate() {
                let (from, to) = piece.part.pages.unwrap();
                prop_assert_eq!(from, next);
                prop_assert_eq!(to.is_none(), index + 1 == pieces.len());
                if let Some(to) = to {
                    prop_assert!(to > from);
                    next = to;
                }
            }
            prop_assert_eq!(pieces.iter().map(|piece| piece.rows.unwrap()).sum::<u64>(), pages * 10);
        }
    }
}
