//! Which path a read takes, and why: the one place that decides between page ranges, key ranges and one stream.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::catalog::{Column, Relation};
use super::name::literal;
use super::read::{Table, TableSource, What};
use super::split::{self, Part, Piece, SMALL_BYTES, Tid};
use super::typemap::{Codec, Read};
use crate::error::Result;
use crate::shape::counted;
use crate::source::{self, ReadPlan, Scan, SplitGoal};
use crate::sql::keyset::{self, KeyRange, Spread};

/// From this version ctid ranges are read as such; before, each of them would read the whole table.
const TID_RANGE_SCAN: u32 = 140_000;

/// Whom a read keeps waiting.
const HOLDS_UP: &str = "until all rows are read TRUNCATE, VACUUM FULL, DROP and most ALTER TABLE of what is read wait, and no dead \
                        rows of the database are cleared away";

/// Bytes of a relation where the leader could measure them.
pub(super) fn known_bytes(relation: &Relation) -> Option<u64> {
    relation.leaves.iter().any(|leaf| leaf.heap).then(|| split::bytes(relation))
}

/// Cuts `scan`.
pub(super) async fn plan(source: &TableSource, table: &Table, scan: &Scan, goal: &SplitGoal) -> Result<ReadPlan> {
    let mut notes = source.core.notes().to_vec();
    let pieces = match &source.what {
        What::Query(_) => {
            notes.push("one stream: a query is not cut".to_owned());
            vec![whole(None, None)]
        }
        What::Relation(_, relation) => Cut { source, table, relation, scan, goal }.pieces(&mut notes).await?,
    };
    if let What::Relation(_, relation) = &source.what
        // Policies of a partition do not hold for who reads the whole.
        && relation.row_security
    {
        let leader = source.core.leader()?;
        let user = &leader.server().user;
        notes.push(format!("row security applies to user {user}: only the rows that its policies show are read"));
    }
    notes.push(HOLDS_UP.to_owned());
    source.core.expect(pieces.len().min(goal.channels));
    let readers = source.core.fewer_than(goal.channels).await;
    // One piece means all rows at any time.
    let by_key = pieces.iter().all(|piece| piece.part == Part::WHOLE || piece.part.keys.is_some());
    let cut = if by_key { source::Cut::ByKey } else { source::Cut::Fastest };
    Ok(ReadPlan { splits: split::splits(pieces), notes, readers, cut, ..ReadPlan::default() })
}

fn whole(rows: Option<u64>, bytes: Option<u64>) -> Piece {
    Piece { part: Part::WHOLE, rows, bytes }
}

struct Cut<'a> {
    source: &'a TableSource,
    table: &'a Table,
    relation: &'a Relation,
    scan: &'a Scan,
    goal: &'a SplitGoal,
}

impl Cut<'_> {
    async fn pieces(&self, notes: &mut Vec<String>) -> Result<Vec<Piece>> {
        let Self { relation, goal, .. } = self;
        let bytes = split::bytes(relation);
        let one = || vec![whole(split::rows(relation), known_bytes(relation))];
        if let Some(why) = self.not_cut(bytes) {
            notes.push(format!("one stream: {why}"));
            return Ok(one());
        }
        if let Some(rows) = self.indexed_rows().await? {
            notes.push(format!("one stream: an index serves the filter, about {rows} rows are expected"));
            return Ok(one());
        }
        let version = self.source.core.leader()?.server().version_number;
        if goal.cut == source::Cut::Fastest && version >= TID_RANGE_SCAN && relation.leaves.iter().any(|leaf| leaf.heap)
        {
            let pieces = split::pages(relation, goal, &self.crowded_rows().await?);
            notes.push(self.arithmetic(&pieces));
            return Ok(pieces);
        }
        let why = if goal.cut == source::Cut::ByKey {
            "they mean the same rows at another point in time, too"
        } else if version < TID_RANGE_SCAN {
            "the server is older than 14 and cannot read page ranges"
        } else {
            "it does not lie in heap pages"
        };
        let Some(key) = self.key() else {
            notes.push(format!("one stream: {why}, and there is no key to cut by"));
            return Ok(one());
        };
        let wanted = bytes.div_ceil(goal.split_bytes.max(1)).clamp(1, 10_000) as usize;
        let borders = self.borders(key, wanted).await?;
        if borders.is_empty() && !is_integer(key) {
            notes.push(format!("one stream: {why}, and no ANALYZE has told how the values of key {} lie", key.name));
            return Ok(one());
        }
        let ranges = KeyRange::between(&borders);
        notes.push(format!("{} of key {}: {why}", counted(ranges.len(), "range"), key.name));
        Ok(split::keys(relation, &key.sql, ranges))
    }

    /// Why the relation is read in one piece.
    fn not_cut(&self, bytes: u64) -> Option<String> {
        let Self { relation, scan, goal, .. } = self;
        let leaves = &relation.leaves;
        let kind = match relation.kind {
            b'v' => Some("a view"),
            b'f' => Some("a foreign table"),
            b'S' => Some("a sequence"),
            _ => None,
        };
        if let Some(kind) = kind {
            return Some(format!("it is {kind}"));
        }
        if self.source.core.workers() == 0 || goal.channels <= 1 {
            return Some("one reader".to_owned());
        }
        if relation.is_divided() && relation.has_row_security() {
            return Some("row security of the whole is another than that of its partitions".to_owned());
        }
        if leaves.iter().any(|leaf| !leaf.readable) {
            let what = if relation.is_divided() { "partitions by themselves" } else { "columns" };
            return Some(format!("this user may not read all {what}, which page ranges need"));
        }
        if bytes < SMALL_BYTES && leaves.iter().all(|leaf| leaf.heap) {
            return Some(format!("{} is small", megabytes(bytes)));
        }
        if bytes <= goal.split_bytes && leaves.len() <= 1 {
            return Some(format!("{} is one split of {}", megabytes(bytes), megabytes(goal.split_bytes)));
        }
        let rows = split::rows(relation)?;
        let few = scan.limit.is_some_and(|limit| limit < rows / 10);
        (few && scan.filters.is_empty()).then(|| "the limit is a small part of the rows".to_owned())
    }

    /// The places of all rows in heaps of few pages with long values.
    async fn crowded_rows(&self) -> Result<HashMap<&str, Vec<Tid>>> {
        let mut rows = HashMap::new();
        for leaf in split::crowded(self.relation, self.goal) {
            let found = self.source.core.leader()?.rows(&format!("SELECT ctid FROM ONLY {}", leaf.sql)).await?;
            let mut places: Vec<Tid> = found.iter().filter_map(|row| Tid::parse(row.get(0)?)).collect();
            places.sort_unstable();
            rows.insert(leaf.sql.as_str(), places);
        }
        Ok(rows)
    }

    fn arithmetic(&self, pieces: &[Piece]) -> String {
        let leaves = &self.relation.leaves;
        let pages: u64 = leaves.iter().map(|leaf| leaf.pages).sum();
        let of = if leaves.len() > 1 { format!(" of {} partitions", leaves.len()) } else { String::new() };
        format!(
            "{} page ranges{of}: {pages} pages, {} with long values, ÷ {} a split; all under one snapshot",
            pieces.len(),
            megabytes(split::bytes(self.relation)),
            megabytes(self.goal.split_bytes),
        )
    }

    /// The rows that the planner expects where it would use an index for the filters; none where it reads the table.
    async fn indexed_rows(&self) -> Result<Option<u64>> {
        if self.scan.filters.is_empty() {
            return Ok(None);
        }
        let select = self.source.select(self.table, self.scan, &Part::WHOLE)?;
        if !select.contains(" WHERE ") {
            return Ok(None);
        }
        let rows = self.source.core.leader()?.rows(&format!("EXPLAIN (FORMAT JSON) {select}")).await?;
        let text: String = rows.iter().filter_map(|row| row.get(0)).collect();
        let Ok(plan) = serde_json::from_str::<Json>(&text) else { return Ok(None) };
        let top = &plan[0]["Plan"];
        let expected = top["Plan Rows"].as_f64().unwrap_or_default() as u64;
        let selective = split::rows(self.relation).is_none_or(|rows| expected <= rows / 10);
        Ok((selective && scans_by_index(top)).then_some(expected))
    }

    /// The first column of the primary key.
    fn key(&self) -> Option<&Column> {
        let first = self.table.columns.iter().find(|column| column.key == Some(1))?;
        matches!(first.pg.codec(), Codec::Scalar(read) if read != Read::Refused).then_some(first)
    }

    /// Where to cut `key` so that there are at most `wanted` ranges: ascending literals.
    async fn borders(&self, key: &Column, wanted: usize) -> Result<Vec<String>> {
        let bounds = self.histogram(key).await?;
        if !is_integer(key) {
            let mut borders = keyset::at_ranks(&bounds, wanted);
            borders.dedup();
            // The type of such a literal is that of the column.
            return Ok(borders.iter().map(|border| literal(border)).collect());
        }
        let (column, table) = (&key.sql, &self.relation.sql);
        let sql = format!("SELECT min({column}), max({column}) FROM {table}");
        let rows = self.source.core.leader()?.rows(&sql).await?;
        let number = |at: usize| rows.first().and_then(|row| row.get(at)?.parse::<i64>().ok());
        let (Some(min), Some(max)) = (number(0), number(1)) else { return Ok(Vec::new()) };
        let sample = bounds.iter().filter_map(|bound| bound.parse().ok()).collect();
        let ranges = keyset::cut(&Spread { min, max, sample }, wanted);
        Ok(ranges.iter().filter_map(|range| range.low).map(|low| low.to_string()).collect())
    }

    /// Values of `key` at even distances in rank, ascending; none where the server has no statistics of it.
    async fn histogram(&self, key: &Column) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT unnest(histogram_bounds::text::text[]) FROM pg_catalog.pg_stats \
             WHERE (schemaname, tablename) = (SELECT n.nspname, c.relname FROM pg_catalog.pg_class c \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = {}) \
             AND attname = {} AND inherited = {}",
            self.relation.oid,
            literal(&key.name),
            self.relation.is_divided()
        );
        let rows = self.source.core.leader()?.rows(&sql).await?;
        Ok(rows.iter().filter_map(|row| row.get(0).map(str::to_owned)).collect())
    }
}

fn is_integer(key: &Column) -> bool {
    matches!(key.pg.codec(), Codec::Scalar(Read::Int2 | Read::Int4 | Read::Int8))
}

/// Whether every scan in an EXPLAIN goes by an index.
fn scans_by_index(node: &Json) -> bool {
    let children = node["Plans"].as_array();
    match node["Node Type"].as_str().unwrap_or_default() {
        "Seq Scan" | "Tid Range Scan" | "Foreign Scan" | "Sample Scan" => false,
        "Index Scan" | "Index Only Scan" | "Bitmap Heap Scan" => true,
        _ => children.is_some_and(|children| !children.is_empty() && children.iter().all(scans_by_index)),
    }
}

fn megabytes(bytes: u64) -> String {
    if bytes < 1_000_000 { format!("{} kB", bytes.div_ceil(1_000)) } else { format!("{:.1} MB", bytes as f64 / 1e6) }
}
