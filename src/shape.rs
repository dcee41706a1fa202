//! What is known of an object before its rows are read: columns, size and splits. Plain data.

use arrow::datatypes::{FieldRef, SchemaRef};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::error::Result;
use crate::wire;

/// What a table, query or file set looks like.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TableShape {
    /// The columns in their Arrow form. Field metadata may carry [`NATIVE`](crate::schema::NATIVE).
    #[serde(with = "wire::schema")]
    pub schema: SchemaRef,
    /// Per column the native form, where the source offers one: what carries values that the Arrow form cannot.
    #[serde(with = "wire::optional_fields")]
    pub native: Vec<Option<FieldRef>>,
    /// Columns of the primary key, in key order.
    pub key: Vec<String>,
    /// Comment on the table.
    pub comment: Option<String>,
    /// Estimated rows.
    pub rows: Option<u64>,
    /// Estimated bytes, as stored.
    pub bytes: Option<u64>,
}

impl TableShape {
    /// A shape of columns alone: no native forms, no key, no sizes.
    pub fn of(schema: SchemaRef) -> Self {
        let native = vec![None; schema.fields().len()];
        Self { schema, native, key: Vec::new(), comment: None, rows: None, bytes: None }
    }

    /// The primary key, where all of its columns are there; else no column.
    pub fn whole_key(&self) -> &[String] {
        let is_there = |name: &String| self.schema.column_with_name(name).is_some();
        if self.key.iter().all(is_there) { &self.key } else { &[] }
    }
}

/// How large splits should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SplitGoal {
    /// Bytes of one split, about.
    pub split_bytes: u64,
    /// How many splits are read at once. With 1 there is no use in cutting.
    pub channels: usize,
    /// By what the source is to be cut.
    #[serde(default)]
    pub cut: Cut,
}

impl SplitGoal {
    /// Splits of `split_bytes`, for `channels` at once, cut by whatever is fastest.
    pub fn new(split_bytes: u64, channels: usize) -> Self {
        Self { split_bytes, channels, cut: Cut::Fastest }
    }
}

/// By what a source is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cut {
    /// By whatever is fastest: places of rows, ranges of bytes. The splits belong to one point in time.
    #[default]
    Fastest,
    /// By key, or not at all: a split means the same keys at any point in time, and all splits together mean all keys.
    ByKey,
}

/// The splits of a scan, and why they are as they are.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadPlan {
    /// The splits, ids ascending from 0.
    pub splits: Vec<Split>,
    /// The path chosen and the arithmetic, one sentence each, for `etl plan`.
    pub notes: Vec<String>,
    /// How many splits may be read at once, where that is fewer than the goal's channels.
    pub readers: Option<usize>,
    /// By what it was cut.
    #[serde(default)]
    pub cut: Cut,
    /// What the user should know of what was found, one sentence each, for `etl plan` and the end of a run.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl ReadPlan {
    /// One split for each of `parts`, with `rows` and `bytes` dealt evenly. A part means the same keys at any time, and all
    /// together mean all keys; `place` says where it lies.
    ///
    /// # Errors
    /// Those of serde, where a part is no JSON.
    pub fn by_key<P: Serialize>(
        parts: &[P],
        place: impl Fn(&P) -> Option<String>,
        (rows, bytes): (Option<u64>, Option<u64>),
        notes: Vec<String>,
    ) -> Result<Self> {
        let count = parts.len() as u64;
        let split = |(id, part): (usize, &P)| {
            Ok(Split {
                id: id as u32,
                source: 0,
                rows: rows.map(|rows| rows / count),
                bytes: bytes.map(|bytes| bytes / count),
                place: place(part),
                detail: serde_json::to_value(part)?,
            })
        };
        let splits = parts.iter().enumerate().map(split).collect::<Result<_>>()?;
        Ok(Self { splits, notes, cut: Cut::ByKey, ..Self::default() })
    }
}

/// A small fixed piece of a source that can be read alone, planned once and recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Split {
    /// Place in the order of the source, from 0.
    pub id: u32,
    /// Which source of the transfer, from 0.
    pub source: u32,
    /// Estimated rows.
    pub rows: Option<u64>,
    /// Estimated bytes.
    pub bytes: Option<u64>,
    /// Where it lies, in the source's own words, for plans and errors: `pages 0 to 999`, `from line 12001 on`.
    pub place: Option<String>,
    /// Private to the connector: a page range, a byte range, a row group.
    pub detail: Json,
}

/// What a source notes of its point in time, so that a later one finds the rows that this one does not show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// Whether transactions were under way. Their rows may come with any values, also such as look old.
    pub running: bool,
    /// Private to the connector.
    pub detail: Json,
}

/// Bytes that a source can give and a sink can take as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Encoding {
    /// The framing: `postgres-copy-binary`.
    pub name: String,
    /// One word per column on which both sides must agree: the native type.
    pub columns: Vec<String>,
}

/// So many of something, for notes: `1 split`, `2 splits`.
pub fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
