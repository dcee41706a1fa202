//! What is read: the shape of an object, its splits, and their rows as Arrow batches.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, FieldRef, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::logical_expr::Expr;
use futures::Stream;
use serde::{Deserialize, Serialize};

use crate::attempt::Attempt;
use crate::bridge::opaque::Opaque;
use crate::error::Result;
use crate::reject::Tray;
use crate::wire;

pub use crate::shape::{Cut, Encoding, Mark, ReadPlan, Split, SplitGoal, TableShape};

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
    ///
    /// The first row that cannot be decoded ends the stream with an error. Where there is a `tray` such rows are left out and put
    /// into it, before the batch that follows them; where nothing is left of many rows an empty batch comes. A source that knows
    /// no such rows says so at its implementation.
    async fn read(
        &self,
        scan: &Scan,
        split: &Split,
        attempt: &Attempt,
        tray: Option<&Arc<Tray>>,
    ) -> Result<BatchStream>;

    /// The values of `array`, whose native form `field` is bytes of this source's own, as texts or in their Arrow form, to be told; none
    /// where that is not known. Called after describe.
    fn plain(&self, _field: &Field, _array: &ArrayRef) -> Option<ArrayRef> {
        None
    }

    /// The session's point in time, to be kept with the position of an incremental copy; none where it is not known what it does not show.
    async fn mark(&self) -> Result<Option<Mark>> {
        Ok(None)
    }

    /// Among which rows those are that an earlier point in time did not show, of which there is `mark`. Called after describe.
    async fn late(&self, _mark: &Mark) -> Result<Late> {
        Ok(Late::Unknown("the source does not know when its rows came".to_owned()))
    }

    /// The bytes that [`Source::read_raw`] would give for `scan`; none when it has no such way.
    fn encoding(&self, _scan: &Scan) -> Option<Encoding> {
        None
    }

    /// Streams one split in the encoding named by [`Source::encoding`]. Only called after a sink took it.
    async fn read_raw(&self, _scan: &Scan, _split: &Split, _attempt: &Attempt) -> Result<RawStream> {
        Err(crate::error::Error::new(crate::error::ErrorKind::Internal, "this source has no raw encoding"))
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
    #[serde(with = "exprs")]
    pub filters: Opaque<Vec<Expr>>,
    /// More rows than this are not needed.
    pub limit: Option<u64>,
    /// Rows of a batch, at most.
    pub batch_rows: usize,
    /// Bytes of a batch: it is closed at the first row that reaches them.
    pub batch_bytes: usize,
}

/// Rows that came too late for a [`Mark`].
#[derive(Clone, Debug)]
pub enum Late {
    /// All of them are among those that a filter keeps.
    Among {
        /// It looks at `column`.
        filter: Opaque<Expr>,
        /// What the source has beyond its shape. It can be read and filtered like the others.
        column: FieldRef,
    },
    /// They cannot be told from others: why.
    Unknown(String),
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

/// Serde of a list of expressions: DataFusion's protobuf in base64.
mod exprs {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use datafusion::logical_expr::Expr;
    use datafusion_proto::bytes::Serializeable as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de, ser};

    use crate::bridge::opaque::Opaque;

    pub(super) fn serialize<S: Serializer>(exprs: &[Expr], serializer: S) -> Result<S::Ok, S::Error> {
        let encoded: Result<Vec<String>, _> =
            exprs.iter().map(|expr| expr.to_bytes().map(|bytes| BASE64_STANDARD.encode(bytes))).collect();
        encoded.map_err(ser::Error::custom)?.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Opaque<Vec<Expr>>, D::Error> {
        let decode = |text: String| {
            let bytes = BASE64_STANDARD.decode(text).map_err(de::Error::custom)?;
            Expr::from_bytes(&bytes).map_err(de::Error::custom)
        };
        Vec::<String>::deserialize(deserializer)?
            .into_iter()
            .map(decode)
            .collect::<Result<Vec<_>, _>>()
            .map(Opaque::from)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::prelude::{col, lit};

    use super::{Scan, TableShape};
    use crate::schema::with_native;

    #[test]
    fn shapes_and_scans_survive_as_text() {
        let amount = with_native(Field::new("amount", DataType::Decimal256(76, 38), true), "postgres:numeric");
        let at = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
        let schema = Arc::new(Schema::new(vec![amount.clone(), Field::new("at", at, false)]));
        let mut shape = TableShape::of(Arc::clone(&schema));
        shape.native[0] = Some(Arc::new(amount));
        let again: TableShape = serde_json::from_str(&serde_json::to_string(&shape).unwrap()).unwrap();
        assert_eq!((&again.schema, &again.native), (&shape.schema, &shape.native));

        let filters = vec![col("amount").gt(lit(1)).and(col("at").is_not_null())];
        let scan = Scan { schema, filters: filters.into(), limit: Some(5), batch_rows: 10, batch_bytes: 20 };
        let again: Scan = serde_json::from_str(&serde_json::to_string(&scan).unwrap()).unwrap();
        assert_eq!((again.schema, again.filters, again.limit), (scan.schema, scan.filters, scan.limit));
    }
}
