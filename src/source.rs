//! What is read: the shape of an object, its splits, and their rows as Arrow batches.

use std::fmt::Debug;
use std::pin::Pin;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::logical_expr::Expr;
use futures::Stream;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::attempt::Attempt;
use crate::error::Result;
use crate::wire;

/// Batches of one split, in the order of the source.
pub type BatchStream = Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>;

/// Encoded frames of one split, each with its number of rows.
pub type RawStream = Pin<Box<dyn Stream<Item = Result<(Bytes, u64)>> + Send>>;

/// One object of a session: a table, a query or a set of files.
///
/// Calls come in the order describe, plan, read; `read` comes many times, for several splits at once.
#[async_trait]
pub trait Source: Debug + Send + Sync {
    /// Schema, key and size. May sample; changes nothing.
    async fn describe(&self) -> Result<TableShape>;

    /// How much of `filter` this source applies by itself, given that `read` gets it in the scan. Pure.
    fn pushdown(&self, shape: &TableShape, filter: &Expr) -> Pushdown;

    /// Cuts `scan` into splits that can be read alone, again, and in any order; ids ascend from 0 in the
    /// order of the source. An empty source gives no split or empty ones.
    async fn plan(&self, scan: &Scan, goal: &SplitGoal) -> Result<ReadPlan>;

    /// Streams the rows of one split, in `scan.schema`. Called again for another attempt, it gives the same rows.
    async fn read(&self, scan: &Scan, split: &Split, attempt: &Attempt) -> Result<BatchStream>;

    /// The bytes that [`Source::read_raw`] would give for `scan`; none when it has no such way.
    fn encoding(&self, _scan: &Scan) -> Option<Encoding> {
        None
    }

    /// Streams one split in the encoding named by [`Source::encoding`]. Only called after a sink took it.
    async fn read_raw(&self, _scan: &Scan, _split: &Split, _attempt: &Attempt) -> Result<RawStream> {
        Err(crate::error::Error::new(crate::error::ErrorKind::Internal, "this source has no raw encoding"))
    }
}

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
}

/// What of an object is read, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scan {
    /// The wanted columns in the wanted order; each field is the Arrow form or the native form of the shape.
    #[serde(with = "wire::schema")]
    pub schema: SchemaRef,
    /// Filters that the source answered with `Exact` or `Superset`; all must hold. Columns by name.
    #[serde(with = "wire::exprs")]
    pub filters: Vec<Expr>,
    /// More rows than this are not needed.
    pub limit: Option<u64>,
    /// Rows of a batch, at most.
    pub batch_rows: usize,
    /// Bytes of a batch: it is closed at the first row that reaches them.
    pub batch_bytes: usize,
}

/// How much of a filter the source applies by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushdown {
    /// Exactly the rows that Arrow's evaluation would keep.
    Exact,
    /// Those and perhaps others; it is filtered again.
    Superset,
    /// Nothing of it.
    None,
}

/// How large splits should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SplitGoal {
    /// Bytes of one split, about.
    pub split_bytes: u64,
    /// How many splits are read at once. With 1 there is no use in cutting.
    pub channels: usize,
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

/// Bytes that a source can give and a sink can take as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Encoding {
    /// The framing: `postgres-copy-binary`.
    pub name: String,
    /// One word per column on which both sides must agree: the native type.
    pub columns: Vec<String>,
}
