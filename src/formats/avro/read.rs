//! The rows of blocks that were fetched.

use std::collections::HashMap;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;

use super::codec::Codec;
use super::cursor::Cursor;
use super::decode::Column;
use super::file::File;
use super::schema::Type;
use super::skip::skip;
use super::{BLOCK_BYTES, SYNC_BYTES, damaged};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::schema::record_batch;

/// Which columns of a segment are wanted, and in which batches.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The columns, by name, in the types of [`File::schema`].
    pub schema: SchemaRef,
    /// Rows of a batch, at most.
    pub batch_rows: usize,
    /// Bytes of a batch, about.
    pub batch_bytes: usize,
}

impl File {
    /// A reader of the rows of a segment that was fetched.
    ///
    /// # Errors
    /// [`Schema`](ErrorKind::Schema) for a column that the file does not have, or has in another type.
    pub fn read(&self, stored: Bytes, wanted: &Wanted) -> Result<Reader> {
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (place, field) in wanted.schema.fields().iter().enumerate() {
            places.insert(field.name(), place);
        }
        let mut lanes = Vec::with_capacity(self.header().members.len());
        for member in &*self.header().members {
            lanes.push(match places.remove(member.name.as_str()) {
                Some(place) => {
                    let data_type = wanted.schema.field(place).data_type();
                    let column = Column::new(&member.of, data_type).at("column", || &member.name)?;
                    Lane::Wanted(place, Box::new(column), member.name.clone())
                }
                None => Lane::Skipped(member.of.clone()),
            });
        }
        if let Some(missing) = places.keys().next() {
            return Err(Error::new(ErrorKind::Schema, "the file has no such column").at("column", missing));
        }
        Ok(Reader {
            wanted: wanted.clone(),
            codec: self.header().codec,
            sync: self.header().sync,
            is_empty: self.header().members.iter().all(|member| member.of.is_empty()),
            is_counted: wanted.schema.fields().is_empty(),
            lanes,
            stored,
            block: Bytes::new(),
            block_rows: 0,
            rows: 0,
        })
    }
}

/// What becomes of one column of a file.
#[derive(Debug)]
enum Lane {
    /// It stands at this place of the wanted ones.
    Wanted(usize, Box<Column>, String),
    Skipped(Type),
}

/// The rows of one segment.
#[derive(Debug)]
pub struct Reader {
    wanted: Wanted,
    codec: Codec,
    sync: [u8; SYNC_BYTES],
    /// Whether records take no byte.
    is_empty: bool,
    /// Whether no column is wanted: rows are counted and not looked at.
    is_counted: bool,
    lanes: Vec<Lane>,
    /// Blocks that are left.
    stored: Bytes,
    /// What is left of the block that is being read, and its rows.
    block: Bytes,
    block_rows: u64,
    /// Rows of the next batch.
    rows: usize,
}

impl Reader {
    /// The next batch. Processor work: call it on the pool.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt); [`Value`](ErrorKind::Value) for a value that its type does not have;
    /// [`Resource`](ErrorKind::Resource) for a block or record that is too large.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut bytes = 0;
        while self.rows < self.wanted.batch_rows.max(1) && bytes < self.wanted.batch_bytes.max(1) {
            if self.block_rows > 0 {
                bytes += self.decode(self.wanted.batch_bytes.max(1) - bytes)?;
            } else if !self.block.is_empty() {
                return Err(damaged());
            } else if !self.next_block()? {
                break;
            }
        }
        if self.rows == 0 { Ok(None) } else { self.flush().map(Some) }
    }

    /// Decompresses the next block; false behind the last one.
    fn next_block(&mut self) -> Result<bool> {
        if self.stored.is_empty() {
            return Ok(false);
        }
        let mut cursor = Cursor::new(&self.stored);
        let (rows, size) = (cursor.length()?, cursor.length()?);
        let from = self.stored.len() - cursor.left();
        cursor.take(size)?;
        if cursor.array::<SYNC_BYTES>()? != self.sync {
            return Err(damaged());
        }
        let rest = self.stored.len() - cursor.left();
        let stored = self.stored.slice(from..from + size);
        self.block = match self.codec {
            _ if self.is_counted => Bytes::new(),
            // Without a copy.
            Codec::None => stored,
            codec => Bytes::from(codec.decompress(&stored, BLOCK_BYTES)?.into_owned()),
        };
        self.block_rows = rows as u64;
        self.stored = self.stored.slice(rest..);
        Ok(true)
    }

    /// Decodes rows of the block up to about so many bytes, of which it gives the number.
    fn decode(&mut self, bytes: usize) -> Result<usize> {
        let most = (self.wanted.batch_rows.max(1) - self.rows) as u64;
        if self.is_empty || self.is_counted {
            let rows = most.min(self.block_rows);
            for lane in &mut self.lanes {
                if let Lane::Wanted(_, column, _) = lane {
                    column.append_empty(rows as usize);
                }
            }
            self.done(rows);
            return Ok(0);
        }
        let block = self.block.clone();
        let mut cursor = Cursor::new(&block);
        let mut rows = 0;
        let mut used = 0;
        while rows < most.min(self.block_rows) && used < bytes {
            for lane in &mut self.lanes {
                match lane {
                    Lane::Wanted(_, column, name) => column.decode(&mut cursor).at("column", || &name)?,
                    Lane::Skipped(of) => skip(of, &mut cursor)?,
                }
            }
            rows += 1;
            used = block.len() - cursor.left() + cursor.extra_bytes;
        }
        self.block = block.slice(block.len() - cursor.left()..);
        self.done(rows);
        Ok(used)
    }

    fn done(&mut self, rows: u64) {
        self.rows += rows as usize;
        self.block_rows -= rows;
    }

    fn flush(&mut self) -> Result<RecordBatch> {
        let fields = self.wanted.schema.fields();
        let mut columns: Vec<Option<ArrayRef>> = vec![None; fields.len()];
        for lane in &mut self.lanes {
            if let Lane::Wanted(place, column, name) = lane {
                columns[*place] = Some(column.finish().at("column", || &name)?);
            }
        }
        let columns = columns.into_iter().flatten().collect();
        record_batch(&self.wanted.schema, columns, std::mem::take(&mut self.rows))
    }
}
