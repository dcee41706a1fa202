//! Writing: rows are encoded side by side, put together into blocks, and those compressed side by side.

use std::sync::Arc;

use arrow::array::{RecordBatch, new_empty_array};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::codec::Codec;
use super::cursor::{put_bytes, put_long};
use super::encode::Column;
use super::file::{File, Header};
use super::schema::{Member, parse};
use super::types::schema_of;
use super::{MAGIC, SYNC_BYTES};
use crate::error::{Context as _, Error, ErrorKind, Result};

/// Plain bytes of a block.
const BLOCK_BYTES: usize = 256 << 10;

/// Rows of a block whose records take hardly a byte.
const BLOCK_ROWS: usize = 1 << 20;

/// How a file is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// How blocks are compressed.
    pub codec: Codec,
    /// With which effort; none is that of the codec.
    pub level: Option<i32>,
    /// What stands behind every block. Files with the same columns and marker have the same header, byte by byte, and
    /// are joined by leaving it out.
    pub sync: [u8; SYNC_BYTES],
}

/// Makes the bytes of a file. All of it is processor work.
#[derive(Debug)]
pub struct Encoder {
    members: Arc<[Member]>,
    codec: Codec,
    level: Option<i32>,
    sync: [u8; SYNC_BYTES],
    /// Rows that are too few for a block.
    rest: Rows,
    out: Vec<u8>,
}

/// Encoded rows.
#[derive(Debug, Default)]
struct Rows {
    bytes: Vec<u8>,
    count: usize,
}

impl Encoder {
    /// An encoder of rows of `schema`, of which every type is [`held`](super::held). With `old` it makes blocks that may
    /// stand in that file, behind its header.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for a type that Avro cannot hold, or the old file not in that way.
    pub fn new(schema: &SchemaRef, settings: &Settings, old: Option<&File>) -> Result<Self> {
        let (members, codec, sync, out) = if let Some(file) = old {
            let Header { bytes, members, codec, sync } = file.header().clone();
            (members, codec, sync, bytes.to_vec())
        } else {
            let json = schema_of(schema)?.to_string();
            (parse(json.as_bytes())?, settings.codec, settings.sync, header(&json, settings))
        };
        let encoder = Self { members, codec, level: settings.level, sync, rest: Rows::default(), out };
        // A type that cannot be written shows here, not in the midst of the rows.
        encoder.check(schema)?;
        encoder.codec.compress(encoder.level, Vec::new()).map_err(|source| {
            Error::new(ErrorKind::Usage, "this compression level is not possible").with_source(source)
        })?;
        Ok(encoder)
    }

    fn check(&self, schema: &Schema) -> Result<()> {
        let names = |fields: &[FieldRef]| fields.iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        let own: Vec<FieldRef> = self.members.iter().map(Member::field).collect();
        if names(&own) != names(schema.fields()) {
            return Err(Error::new(ErrorKind::Internal, "the columns are not those of the Avro file"));
        }
        self.members.iter().zip(schema.fields()).try_for_each(|(member, field)| {
            Column::new(&member.of, &new_empty_array(field.data_type())).map(drop).at("column", || &member.name)
        })
    }

    /// Adds the rows of `batches`, several batches side by side.
    ///
    /// # Errors
    /// [`Value`](ErrorKind::Value) for a value that the old file cannot hold.
    pub fn encode(&mut self, batches: &[RecordBatch]) -> Result<()> {
        let encoded = batches.par_iter().map(|batch| self.rows_of(batch)).collect::<Result<Vec<_>>>()?;
        let mut blocks = Vec::new();
        for rows in encoded.into_iter().flatten() {
            if self.rest.count == 0 {
                self.rest = rows;
            } else {
                self.rest.bytes.extend_from_slice(&rows.bytes);
                self.rest.count += rows.count;
            }
            if self.rest.is_full() {
                blocks.push(std::mem::take(&mut self.rest));
            }
        }
        let blocks = blocks.into_par_iter().map(|rows| self.block(rows)).collect::<Result<Vec<_>>>()?;
        for block in &blocks {
            self.out.extend_from_slice(block);
        }
        Ok(())
    }

    /// The last block.
    pub fn finish(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rest);
        if rows.count > 0 {
            let block = self.block(rows)?;
            self.out.extend_from_slice(&block);
        }
        Ok(())
    }

    /// Takes the bytes that were made since the last call: at first those of the header.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// The rows of `batch`, in pieces of which all but the last are full.
    fn rows_of(&self, batch: &RecordBatch) -> Result<Vec<Rows>> {
        let pairs = self.members.iter().zip(batch.columns());
        let columns = pairs.map(|(member, array)| Column::new(&member.of, array).at("column", || &member.name));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let mut pieces = Vec::new();
        let mut rows = Rows::default();
        for row in 0..batch.num_rows() {
            for (column, member) in columns.iter().zip(&*self.members) {
                column.encode(row, &mut rows.bytes).at("column", || &member.name)?;
            }
            rows.count += 1;
            if rows.is_full() {
                pieces.push(std::mem::take(&mut rows));
            }
        }
        pieces.push(rows);
        Ok(pieces)
    }

    fn block(&self, rows: Rows) -> Result<Vec<u8>> {
        let stored = self.codec.compress(self.level, rows.bytes)?;
        let mut block = Vec::with_capacity(stored.len() + 2 * SYNC_BYTES);
        put_long(&mut block, rows.count as i64);
        put_bytes(&mut block, &stored);
        block.extend_from_slice(&self.sync);
        Ok(block)
    }
}

impl Rows {
    fn is_full(&self) -> bool {
        self.bytes.len() >= BLOCK_BYTES || self.count >= BLOCK_ROWS
    }
}

fn header(schema: &str, settings: &Settings) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    put_long(&mut out, 2);
    for (key, value) in [("avro.schema", schema), ("avro.codec", settings.codec.name())] {
        put_bytes(&mut out, key.as_bytes());
        put_bytes(&mut out, value.as_bytes());
    }
    put_long(&mut out, 0);
    out.extend_from_slice(&settings.sync);
    out
}
