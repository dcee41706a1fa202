//! What a stage holds, read back by SQLite's own cursor and summed up, against what was sent.
//!
//! The rows of a copy stand in the target beside those that were there before. Sums add up, so what was there is summed up
//! when the transaction begins, and the target must hold both together.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use rusqlite::Connection;

use super::decode::Decoder;
use super::error::failed;
use super::stage::Detail;
use super::typemap::Kind;
use crate::error::{Error, ErrorKind, Result};
use crate::proof::{ColumnProof, Verdict, sums, total};
use crate::schema::record_batch;
use crate::sql::beside::Before;
use crate::sql::ddl::identifiers;
use crate::sql::dialect::Sqlite;

/// Rows that are summed up at once.
const BATCH_ROWS: usize = 4096;
/// Bytes after which fewer are.
const BATCH_BYTES: usize = 4 << 20;

/// Rows and columns, summed up.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) rows: u64,
    pub(super) columns: Option<Vec<ColumnProof>>,
}

/// How sums are compared, for the plan.
pub(super) fn way(detail: &Detail) -> String {
    let way = "before the commit the rows are read back and summed up: one reading of what was written";
    if detail.before == Before::Keep && detail.create.is_none() && detail.merging.is_none() {
        return format!("{way}, and two of the rows that were there");
    }
    way.to_owned()
}

impl Sums {
    /// These and `other` together.
    pub(super) fn and(&self, other: &Self) -> Self {
        let columns = match (&self.columns, &other.columns) {
            (Some(_), Some(_)) => total([self.columns.as_ref(), other.columns.as_ref()]),
            (one, other) => one.clone().or_else(|| other.clone()),
        };
        Self { rows: self.rows + other.rows, columns }
    }

    /// Whether the target, which has `columns`, holds this, given what was `wanted`.
    pub(super) fn compare(&self, wanted: &Self, schema: &SchemaRef) -> Verdict {
        if self.rows != wanted.rows {
            let message = format!("the transaction holds {} rows, it should hold {}", self.rows, wanted.rows);
            return Verdict::Unequal(message);
        }
        let (Some(found), Some(wanted)) = (&self.columns, &wanted.columns) else { return Verdict::Equal };
        Verdict::compare("the transaction holds", schema.fields(), (found, wanted))
    }
}

/// The sums of the columns of `schema` in `table`, which is quoted. A value that is none of its column's type is another one than
/// was sent.
pub(super) fn sums_of(connection: &Connection, table: &str, schema: &SchemaRef) -> Result<Sums> {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let sql = format!("SELECT {} FROM {table}", identifiers(&Sqlite, &names));
    // Text in a column that makes numbers of it reads as the same text again, and NULL is counted wherever it stands.
    let decoder = |field: &FieldRef| {
        let kind = match Kind::of(field) {
            Some(Kind::Text | Kind::Json) => Kind::Mixed,
            Some(kind) => kind,
            None => return Err(Error::new(ErrorKind::Internal, "sqlite has no such type").at("column", field.name())),
        };
        Decoder::new(&kind.field(field.name(), "", true))
    };
    let mut decoders = schema.fields().iter().map(decoder).collect::<Result<Vec<_>>>()?;
    let mut statement = connection.prepare(&sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut sums = Sums::default();
    let (mut count, mut bytes) = (0, 0);
    while let Some(row) = rows.next().map_err(failed)? {
        for (place, decoder) in decoders.iter_mut().enumerate() {
            let value = row.get_ref(place).map_err(failed)?;
            bytes += decoder.append(value).map_err(|_| decoder.error(value, schema.field(place).name()))?;
        }
        count += 1;
        if count >= BATCH_ROWS || bytes >= BATCH_BYTES {
            sums = sums.and(&taken(&mut decoders, count, schema)?);
            (count, bytes) = (0, 0);
        }
    }
    Ok(if count > 0 { sums.and(&taken(&mut decoders, count, schema)?) } else { sums })
}

/// The sums of the `count` rows that are in `decoders`.
fn taken(decoders: &mut [Decoder], count: usize, schema: &SchemaRef) -> Result<Sums> {
    let arrays = decoders.iter_mut().map(Decoder::finish).collect();
    let nullable = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let schema = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
    let batch = record_batch(&schema, arrays, count)?;
    Ok(Sums { rows: count as u64, columns: Some(proofs(&batch)?) })
}

/// What `batch` adds to the proof, as it comes back: zero has no sign.
pub(super) fn proofs(batch: &RecordBatch) -> Result<Vec<ColumnProof>> {
    Ok(sums::of(&sums::without_signed_zeros(batch)?))
}
