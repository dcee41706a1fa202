//! Takes rows out of a stage: deletes them there and gives them as Arrow columns, by one statement.

use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use bytes::BytesMut;
use futures::StreamExt as _;
use tokio_postgres::CopyOutStream;

use super::super::catalog::{self, Column};
use super::super::connect::Connection;
use super::super::copy::{TRAILER, without_header};
use super::super::decode::{self, Chunk, Kind, Layout};
use super::super::errors;
use super::super::read;
use super::super::typemap::{Codec, Read};
use crate::error::{Error, ErrorKind, Result};
use crate::schema;

/// Rows and bytes of one chunk.
const CHUNK_ROWS: usize = 4096;
const CHUNK_BYTES: usize = 4 << 20;

/// How the rows of a stage are given.
#[derive(Debug)]
pub(super) struct Form {
    /// What stands in a SELECT.
    expressions: Vec<String>,
    layout: Layout,
}

/// The columns before those of the row: rule, part, place in the part.
pub(super) const HEAD: usize = 3;

impl Form {
    /// Of the columns that `select` gives, a SELECT over the stage alone.
    pub(super) async fn of(connection: &Connection, select: &str) -> Result<Self> {
        let columns = catalog::query_columns(connection, select).await?;
        let head = [("rule", DataType::Int32), ("part", DataType::Int32), ("row", DataType::Int64)];
        let mut fields: Vec<FieldRef> =
            head.map(|(name, kind)| Arc::new(Field::new(name, kind, false))).into_iter().collect();
        let mut kinds = vec![Kind::Scalar(Read::Int4), Kind::Scalar(Read::Int4), Kind::Scalar(Read::Int8)];
        let mut expressions = Vec::new();
        for column in &columns {
            let field = field(column);
            expressions.push(match column.pg.codec() {
                // Not copied from anywhere, but it may have come as text.
                Codec::Scalar(Read::Refused) => format!("{}::text", column.sql),
                _ => read::expression(column, &field)?,
            });
            kinds.push(read::kind(column, &field));
            fields.push(Arc::new(field));
        }
        Ok(Self { expressions, layout: Layout { schema: Arc::new(Schema::new(fields)), kinds } })
    }

    /// The statement that takes the rows out of `stage` that `find` finds; `place` are the columns of their place.
    pub(super) fn statement(&self, stage: &str, find: &str, place: [&str; 2]) -> String {
        let values: Vec<String> =
            self.expressions.iter().enumerate().map(|(at, value)| format!(", {value} AS v{at}")).collect();
        let [part, row] = place;
        // The rows that are gone are complete before the first one is sent: an error comes before any of them.
        format!(
            "COPY (WITH found AS ({find}), gone AS (DELETE FROM {stage} AS s USING found AS f WHERE s.ctid = f.etl_place \
             RETURNING f.etl_rule AS etl_rule, {part} AS etl_part, {row} AS etl_row{}) \
             SELECT * FROM gone ORDER BY etl_part, etl_row) TO STDOUT (FORMAT binary)",
            values.concat()
        )
    }

    /// A chunk as columns.
    pub(super) fn decode(&self, chunk: &Chunk) -> Result<RecordBatch> {
        decode::decode(&self.layout, chunk)
    }
}

/// What has values that no Arrow type holds (infinity, NaN) comes as its text.
fn field(column: &Column) -> Field {
    let is_wide = matches!(
        column.pg.codec(),
        Codec::Scalar(Read::Date | Read::Time | Read::Timestamp | Read::TimestampTz | Read::Numeric | Read::Refused)
    );
    if is_wide {
        return schema::with_metadata(Field::new(&column.name, DataType::Utf8, true), schema::FORM, schema::TEXT);
    }
    column.pg.arrow_field(&column.name, true)
}

/// The rows that a COPY gives.
pub(super) struct Rows {
    /// None once it has come to its end: asked again, the driver would take what follows for a part of it.
    stream: Option<Pin<Box<CopyOutStream>>>,
    begun: bool,
}

impl Rows {
    pub(super) async fn start(connection: &Connection, sql: &str) -> Result<Self> {
        let stream = connection.copy_out(sql).await.map_err(errors::error)?;
        Ok(Self { stream: Some(Box::pin(stream)), begun: false })
    }

    /// Some of them; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Chunk>> {
        let mut buffer = BytesMut::new();
        let mut rows = 0;
        while rows < CHUNK_ROWS && buffer.len() < CHUNK_BYTES {
            let Some(stream) = &mut self.stream else { break };
            let Some(message) = stream.next().await else {
                self.stream = None;
                break;
            };
            let mut message = message.map_err(errors::error)?;
            if !std::mem::replace(&mut self.begun, true) {
                let corrupt = || Error::new(ErrorKind::Corrupt, "the server's answer to COPY is not in binary format");
                message = without_header(&message).ok_or_else(corrupt)?;
            }
            if message[..] != TRAILER && !message.is_empty() {
                buffer.extend_from_slice(&message);
                rows += 1;
            }
        }
        Ok((rows > 0).then(|| Chunk { bytes: buffer.freeze(), rows, first_row: 0 }))
    }
}
