//! How a relation is cut: page ranges of its heaps, else ranges of an integer key, else not at all.
//!
//! Pure arithmetic over what the leader measured; every range list is complete, whatever the statistics say.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::catalog::{Leaf, Relation};
use crate::source::{Split, SplitGoal};
use crate::sql::keyset::KeyRange;

/// Tables below this are one split that the leader reads.
pub(super) const SMALL_BYTES: u64 = 1 << 20;
/// More splits than this help nobody.
const MAX_SPLITS: u64 = 100_000;
/// Tables of up to this many pages are cut between the rows of a page where these are large enough.
const CROWDED_PAGES: u64 = 256;

/// Where a row lies: its page, and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Tid(pub(super) u64, pub(super) u16);

impl Tid {
    const FIRST: Self = Self(0, 0);

    /// From the server's text, `(0,5)`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (page, place) = text.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
        Some(Self(page.parse().ok()?, place.parse().ok()?))
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{})", self.0, self.1)
    }
}

/// Which rows a split holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part {
    /// The relation to read; none for all of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) relation: Option<String>,
    /// The first place of a row and the one after the last; an open end holds what was added meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) places: Option<(Tid, Option<Tid>)>,
    /// A column in SQL and a range of it, between literals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) keys: Option<(String, KeyRange<String>)>,
    /// The file in which the places are meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<u64>,
    /// The only split of its source.
    #[serde(default)]
    pub(super) alone: bool,
}

impl Part {
    /// All rows of the source.
    pub(super) const WHOLE: Self = Self { relation: None, places: None, keys: None, file: None, alone: true };

    /// The condition on the rows; none for all of them.
    pub(super) fn condition(&self) -> Option<String> {
        match (self.places, &self.keys) {
            (Some((Tid::FIRST, None)), _) | (None, None) => None,
            (Some((from, None)), _) => Some(format!("ctid >= '{from}'::tid")),
            (Some((Tid::FIRST, Some(to))), _) => Some(format!("ctid < '{to}'::tid")),
            (Some((from, Some(to))), _) => Some(format!("ctid >= '{from}'::tid AND ctid < '{to}'::tid")),
            (None, Some((column, range))) => range.condition(column),
        }
    }

    /// Where the rows lie, in words. `number` is that of the split, from 0.
    fn place(&self, number: usize) -> Option<String> {
        if self.keys.is_some() {
            // Without its borders: they are values.
            return Some(format!("key range {}", number + 1));
        }
        let relation = self.relation.as_ref()?;
        Some(match self.places {
            None | Some((Tid::FIRST, None)) => format!("all of {relation}"),
            Some((Tid(from, 0), None)) => format!("pages {from} to the end of {relation}"),
            Some((Tid(from, 0), Some(Tid(to, 0)))) => format!("pages {from} to {} of {relation}", to.saturating_sub(1)),
            Some((from, None)) => format!("rows from {from} to the end of {relation}"),
            Some((from, Some(to))) => format!("rows from {from} up to {to} of {relation}"),
        })
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

/// Bytes of one split of a relation.
fn bytes_each(relation: &Relation, goal: &SplitGoal) -> u64 {
    goal.split_bytes.max(bytes(relation) / MAX_SPLITS).max(1)
}

/// The heaps of few pages with rows so long that a page holds more than a split should. They are cut by the places of
/// their rows, which somebody has to look up.
pub(super) fn crowded<'a>(relation: &'a Relation, goal: &SplitGoal) -> Vec<&'a Leaf> {
    let each = bytes_each(relation, goal);
    let is_crowded =
        |leaf: &&Leaf| leaf.heap && (1..=CROWDED_PAGES).contains(&leaf.pages) && leaf.bytes.div_ceil(each) > leaf.pages;
    relation.leaves.iter().filter(is_crowded).collect()
}

/// Page ranges over the leaves of a relation, each of about the wanted bytes. `rows` has the places of all rows, in
/// order, of the crowded leaves.
pub(super) fn pages(relation: &Relation, goal: &SplitGoal, rows: &HashMap<&str, Vec<Tid>>) -> Vec<Piece> {
    let each = bytes_each(relation, goal);
    let cut = |leaf: &Leaf| match rows.get(leaf.sql.as_str()) {
        Some(rows) => leaf_rows(leaf, each, rows),
        None => leaf_pages(leaf, each),
    };
    relation.leaves.iter().flat_map(cut).collect()
}

fn leaf_pages(leaf: &Leaf, bytes_each: u64) -> Vec<Piece> {
    if !leaf.heap || leaf.pages == 0 {
        let places = leaf.heap.then_some((Tid::FIRST, None));
        let part = Part { relation: Some(leaf.sql.clone()), places, keys: None, file: Some(leaf.file), alone: false };
        return vec![Piece { part, rows: leaf.rows, bytes: leaf.heap.then_some(leaf.bytes) }];
    }
    let count = leaf.bytes.div_ceil(bytes_each).clamp(1, leaf.pages);
    let borders: Vec<Tid> = (1..count).map(|index| Tid(share(leaf.pages, index, count), 0)).collect();
    between(leaf, &borders)
}

fn leaf_rows(leaf: &Leaf, bytes_each: u64, rows: &[Tid]) -> Vec<Piece> {
    let total = rows.len() as u64;
    let count = leaf.bytes.div_ceil(bytes_each).clamp(1, total.max(1));
    let borders: Vec<Tid> = (1..count).map(|index| rows[share(total, index, count) as usize]).collect();
    between(leaf, &borders)
}

/// The ranges between the borders and beyond them, with the leaf's rows and bytes dealt evenly.
fn between(leaf: &Leaf, borders: &[Tid]) -> Vec<Piece> {
    let count = borders.len() as u64 + 1;
    let lows = std::iter::once(Tid::FIRST).chain(borders.iter().copied());
    let highs = borders.iter().copied().map(Some).chain([None]);
    let piece = |(index, places): (usize, (Tid, Option<Tid>))| {
        let relation = Some(leaf.sql.clone());
        let part = Part { relation, places: Some(places), keys: None, file: Some(leaf.file), alone: false };
        let of = |whole: u64| share(whole, index as u64 + 1, count) - share(whole, index as u64, count);
        Piece { part, rows: leaf.rows.map(of), bytes: Some(of(leaf.bytes)) }
    };
    lows.zip(highs).enumerate().map(piece).collect()
}

/// The first `index` of `count` equal shares of `whole`.
fn share(whole: u64, index: u64, count: u64) -> u64 {
    (u128::from(whole) * u128::from(index) / u128::from(count)) as u64
}

/// Key ranges, with the relation's rows and bytes dealt evenly.
pub(super) fn keys(relation: &Relation, column: &str, ranges: Vec<KeyRange<String>>) -> Vec<Piece> {
    let count = ranges.len() as u64;
    let each = |whole: u64| whole / count.max(1);
    let piece = |range: KeyRange<String>| Piece {
        part: Part { relation: None, places: None, keys: Some((column.to_owned(), range)), file: None, alone: false },
        rows: rows(relation).map(each),
        bytes: Some(each(bytes(relation))),
    };
    ranges.into_iter().map(piece).collect()
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
        place: piece.part.place(id),
        detail: serde_json::to_value(piece.part).unwrap_or_default(),
    };
    pieces.into_iter().enumerate().map(split).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaf(pages: u64, bytes: u64) -> Leaf {
        let sql = "\"s\".\"t\"".into();
        Leaf { sql, row_security: false, heap: true, readable: true, pages, bytes, rows: Some(pages * 10), file: 1 }
    }

    #[test]
    fn long_values_count() {
        // A tenth of the bytes are pages of the table itself: ten times as many ranges.
        let pieces = leaf_pages(&leaf(100, 8_192_000), 819_200);
        assert_eq!(pieces.len(), 10);
        assert_eq!(pieces[1].part.condition().unwrap(), "ctid >= '(10,0)'::tid AND ctid < '(20,0)'::tid");
        assert_eq!(pieces[9].part.condition().unwrap(), "ctid >= '(90,0)'::tid");
        assert_eq!(leaf_pages(&leaf(0, 0), 1000)[0].part.condition(), None);
        let places: Vec<_> = splits(pieces).into_iter().map(|split| split.place.unwrap()).collect();
        assert_eq!(places[1], "pages 10 to 19 of \"s\".\"t\"");
        assert_eq!(places[9], "pages 90 to the end of \"s\".\"t\"");
    }

    #[test]
    fn a_page_of_long_rows_is_cut_between_them() {
        let leaf = leaf(1, 64 * 50_000_000);
        let relation = Relation {
            sql: leaf.sql.clone(),
            oid: 1,
            kind: b'r',
            row_security: false,
            leaves: vec![leaf.clone(), Leaf { sql: "other".into(), pages: 1000, ..leaf }],
        };
        let goal = SplitGoal::new(100_000_000, 2);
        let crowded = crowded(&relation, &goal);
        assert_eq!(crowded.iter().map(|leaf| leaf.pages).collect::<Vec<_>>(), [1]);
        let rows: Vec<Tid> = (1..=64).map(|place| Tid(0, place)).collect();
        let pieces = pages(&relation, &goal, &HashMap::from([(crowded[0].sql.as_str(), rows)]));
        assert_eq!(pieces.len(), 32 + 32);
        assert_eq!(pieces[1].part.condition().unwrap(), "ctid >= '(0,3)'::tid AND ctid < '(0,5)'::tid");
        assert_eq!(pieces[31].part.condition().unwrap(), "ctid >= '(0,63)'::tid");
        // Rows that are gone by now, or none at all, cost nothing.
        assert_eq!(leaf_rows(&relation.leaves[0], 1, &[]).len(), 1);
        assert_eq!(Tid::parse("(7,12)"), Some(Tid(7, 12)));
        assert_eq!(Tid::parse("7,12"), None);
    }

    proptest! {
        #[test]
        fn ranges_hold_every_page_once(pages in 0_u64..5_000, toast in 0_u64..100_000_000, each in 1_u64..10_000_000) {
            let pieces = leaf_pages(&leaf(pages, pages * 8192 + toast), each);
            let mut next = Tid::FIRST;
            for (index, piece) in pieces.iter().enumerate() {
                let (from, to) = piece.part.places.unwrap();
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
