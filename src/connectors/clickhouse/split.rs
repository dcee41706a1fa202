//! Splits of a table: sets of its parts, and ranges of rows of large ones.
//!
//! A part never changes: a merge or a mutation puts others in its place. So the parts that are there when a table is planned are one
//! point in time of it, as long as they last. A read looks, when its first rows have come, whether all its parts are still there:
//! then they were when it began, and what has begun reads on. One that is gone by then ends the run, since its rows are in a
//! part that other splits know nothing of.

use serde::{Deserialize, Serialize};

use super::catalog::Table;
use super::connect::Server;
use super::name::{literal, literals};
use crate::error::{Error, ErrorKind, Result};
use crate::source::SplitGoal;

/// Columns that every table has, where none of its own has the name.
pub(super) const HIDDEN: [&str; 2] = ["_part", "_part_offset"];
const MOST_SPLITS: u64 = 10_000;
/// A table with fewer bytes is read in one stream.
const LEAST_BYTES: u64 = 8 << 20;
/// By then the server has merged what it wants to merge of what was written.
const REST_SECONDS: u64 = 600;
/// Rows that ClickHouse skips or reads together, unless a table says otherwise.
const GRANULE_ROWS: u64 = 8192;

/// Rows of one split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Place {
    /// All rows.
    Whole,
    /// Those of these parts.
    Parts(Vec<String>),
    /// Rows of one part by their places in it, the first and the one behind the last.
    Range(String, u64, u64),
}

/// A part that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) rows: u64,
    /// Uncompressed.
    pub(super) bytes: u64,
}

/// One split and its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) place: Place,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl Place {
    /// The condition that picks its rows; none for all of them.
    pub(super) fn condition(&self) -> Option<String> {
        match self {
            Self::Whole => None,
            Self::Parts(names) => Some(format!("_part IN ({})", literals(names.iter().map(String::as_str)))),
            Self::Range(name, from, to) => {
                Some(format!("_part = {} AND _part_offset >= {from} AND _part_offset < {to}", literal(name)))
            }
        }
    }

    /// Where it lies, in words; none for the whole table.
    pub(super) fn shown(&self) -> Option<String> {
        match self {
            Self::Whole => None,
            Self::Parts(names) => match names.as_slice() {
                [one] => Some(format!("part {one}")),
                [first, ..] => Some(format!("{} parts from {first} on", names.len())),
                [] => None,
            },
            Self::Range(name, from, to) => Some(format!("rows {from} to {} of part {name}", to - 1)),
        }
    }

    fn names(&self) -> &[String] {
        match self {
            Self::Whole => &[],
            Self::Parts(names) => names,
            Self::Range(name, ..) => std::slice::from_ref(name),
        }
    }

    /// Makes sure that all its parts are there.
    ///
    /// # Errors
    /// [`Mismatch`](ErrorKind::Mismatch) where one is not.
    pub(super) async fn check(&self, server: &Server, table: &Table) -> Result<()> {
        let names = self.names();
        if names.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT count() FROM system.parts WHERE {} AND active AND name IN ({})",
            table.name.is("table"),
            literals(names.iter().map(String::as_str))
        );
        if server.number(&sql).await? == Some(names.len() as u64) {
            return Ok(());
        }
        let message = "the table was changed or its parts were merged after it was planned: its point in time is lost";
        Err(Error::new(ErrorKind::Mismatch, message)
            .with_hint("run it again, or read in one stream with ?cut=none in the locator"))
    }
}

/// The parts of `table`.
pub(super) async fn parts(server: &Server, table: &Table) -> Result<Vec<Part>> {
    let sql = format!(
        "SELECT name, rows, data_uncompressed_bytes FROM system.parts WHERE {} AND active AND rows > 0 ORDER BY name",
        table.name.is("table")
    );
    let part = |row: Vec<Option<String>>| match row.as_slice() {
        [Some(name), Some(rows), Some(bytes)] => {
            Some(Part { name: name.clone(), rows: rows.parse().ok()?, bytes: bytes.parse().ok()? })
        }
        _ => None,
    };
    Ok(server.rows(&sql).await?.into_iter().filter_map(part).collect())
}

/// Whether the parts of `table` are likely to stay while they are read: no merge is at work, and each partition has one part or
/// nothing was written for a while.
pub(super) async fn is_at_rest(server: &Server, table: &Table) -> Result<bool> {
    let this = table.name.is("table");
    let sql = format!(
        "SELECT (SELECT count() FROM system.merges WHERE {this}) = 0 \
         AND (count() = uniqExact(partition_id) OR max(modification_time) < now() - {REST_SECONDS}) \
         FROM system.parts WHERE {this} AND active AND rows > 0"
    );
    Ok(server.number(&sql).await? == Some(1))
}

/// Whether so few bytes are read in one stream.
pub(super) fn is_small(parts: &[Part], goal: &SplitGoal) -> bool {
    let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
    bytes < LEAST_BYTES.min(goal.split_bytes)
}

/// Deals `parts` to splits of about the size of the goal, and at least one for each channel.
pub(super) fn cut(parts: &[Part], goal: &SplitGoal) -> Vec<Piece> {
    let all: u64 = parts.iter().map(|part| part.bytes).sum();
    let wanted = all.div_ceil(goal.split_bytes.max(1)).max(goal.channels as u64).clamp(1, MOST_SPLITS);
    let each = all.div_ceil(wanted).max(1);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut few = Piece { place: Place::Parts(Vec::new()), rows: 0, bytes: 0 };
    for part in parts {
        if part.bytes > each + each / 2 {
            pieces.extend(ranges(part, each));
            continue;
        }
        if few.rows > 0 && few.bytes + part.bytes > each + each / 4 {
            pieces.push(std::mem::replace(&mut few, Piece { place: Place::Parts(Vec::new()), rows: 0, bytes: 0 }));
        }
        if let Place::Parts(names) = &mut few.place {
            names.push(part.name.clone());
        }
        few.rows += part.rows;
        few.bytes += part.bytes;
    }
    if few.rows > 0 {
        pieces.push(few);
    }
    pieces
}

/// A large part in ranges of whole granules.
fn ranges(part: &Part, each: u64) -> Vec<Piece> {
    let granules = part.rows.div_ceil(GRANULE_ROWS);
    let count = part.bytes.div_ceil(each).clamp(1, granules.max(1));
    let border = |place: u64| (granules * place / count * GRANULE_ROWS).min(part.rows);
    let piece = |place: u64| {
        let (from, to) = (border(place), border(place + 1));
        let rows = to - from;
        let bytes = (u128::from(part.bytes) * u128::from(rows) / u128::from(part.rows.max(1))) as u64;
        Piece { place: Place::Range(part.name.clone(), from, to), rows, bytes }
    };
    (0..count).map(piece).filter(|piece| piece.rows > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, rows: u64, bytes: u64) -> Part {
        Part { name: name.to_owned(), rows, bytes }
    }

    #[test]
    fn every_row_is_in_one_split() {
        let parts = [part("a", 10, 100), part("b", 1_000_000, 10_000_000), part("c", 5, 50), part("d", 7, 1_000_000)];
        for (split_bytes, channels) in [(1 << 20, 4), (1 << 30, 1), (1, 1), (1 << 20, 64)] {
            let pieces = cut(&parts, &SplitGoal::new(split_bytes, channels));
            assert_eq!(pieces.iter().map(|piece| piece.rows).sum::<u64>(), 1_000_022);
            let mut of_b = Vec::new();
            for piece in &pieces {
                match &piece.place {
                    Place::Range(name, from, to) if name == "b" => of_b.push((*from, *to)),
                    Place::Parts(names) if names.iter().any(|name| name == "b") => of_b.push((0, 1_000_000)),
                    _ => {}
                }
            }
            assert_eq!((of_b[0].0, of_b[of_b.len() - 1].1), (0, 1_000_000));
            assert!(of_b.windows(2).all(|pair| pair[0].1 == pair[1].0 && pair[0].1 % GRANULE_ROWS == 0));
            for name in ["a", "c"] {
                let holds = |piece: &&Piece| piece.place.names().iter().any(|known| known == name);
                assert_eq!(pieces.iter().filter(holds).count(), 1, "{name}");
            }
        }
    }

    #[test]
    fn places_are_conditions() {
        let parts = Place::Parts(vec!["all_1_1_0".to_owned(), "x'y".to_owned()]);
        assert_eq!(parts.condition().unwrap(), r"_part IN ('all_1_1_0', 'x\'y')");
        let range = Place::Range("p".to_owned(), 8192, 16384);
        assert_eq!(range.condition().unwrap(), "_part = 'p' AND _part_offset >= 8192 AND _part_offset < 16384");
        assert_eq!(range.shown().unwrap(), "rows 8192 to 16383 of part p");
        assert_eq!(Place::Whole.condition(), None);
    }
}
