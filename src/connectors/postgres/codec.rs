//! The binary COPY codec by itself, for columns of built-in types: what benches, fuzz targets and other programs use.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;

use super::decode::{self, Chunk, Kind};
use super::encode::{Check, Column, Encoder, Format};
use super::target;
use super::typemap::{BUILT_IN, Codec, PgType};
use crate::error::{Error, ErrorKind, Result};

/// Turns batches into the tuples of a binary COPY and back.
#[derive(Debug)]
pub struct CopyCodec {
    decoder: decode::Layout,
    encoder: Encoder,
}

impl CopyCodec {
    /// A codec of `columns`: name and built-in type (`int4`, `text`). A `numeric` has the typmod of `numeric(38,10)`.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for a type that is not built in or has no binary form here.
    pub fn of(columns: &[(&str, &str)]) -> Result<Self> {
        let mut fields = Vec::with_capacity(columns.len());
        let mut kinds = Vec::with_capacity(columns.len());
        let mut encoded = Vec::with_capacity(columns.len());
        for (name, type_name) in columns {
            let pg = built_in(type_name)?;
            let Codec::Scalar(read) = pg.codec() else { return Err(unknown(type_name)) };
            fields.push(pg.arrow_field(name, true));
            kinds.push(Kind::Scalar(read));
            let layout = target::layout(pg.oid, 'b');
            encoded.push(Column { name: (*name).to_owned(), layout, wire: false, check: Check::None });
        }
        let decoder = decode::Layout { schema: Arc::new(Schema::new(fields)), kinds };
        Ok(Self { decoder, encoder: Encoder::new(Format::Binary, encoded) })
    }

    /// The Arrow form of the columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.decoder.schema
    }

    /// The rows of `batch` as tuples, in blocks of whole rows, without header and trailer.
    ///
    /// # Errors
    /// [`Value`](ErrorKind::Value) for a value that its type cannot hold.
    pub fn encode(&self, batch: &RecordBatch) -> Result<Vec<Bytes>> {
        self.encoder.encode(batch, 0)
    }

    /// `rows` tuples, without header and trailer, as a batch.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) for bytes that are not these tuples; [`Value`](ErrorKind::Value) for a value
    /// that the Arrow form does not hold.
    pub fn decode(&self, bytes: Bytes, rows: usize) -> Result<RecordBatch> {
        decode::decode(&self.decoder, &Chunk { bytes, rows, first_row: 0 })
    }
}

/// `numeric(38,10)`, as `pg_attribute.atttypmod` has it.
const NUMERIC_TYPMOD: i32 = (38 << 16) + 10 + 4;

/// The built-in type `name` as a column has it.
pub(super) fn built_in(name: &str) -> Result<PgType> {
    let entry = BUILT_IN.iter().find(|entry| entry.name == name).ok_or_else(|| unknown(name))?;
    let typmod = if name == "numeric" { NUMERIC_TYPMOD } else { -1 };
    Ok(PgType {
        name: name.to_owned(),
        base: None,
        oid: entry.oid,
        typmod,
        class: b'b',
        element: None,
        delimiter: None,
        output: String::new(),
    })
}

fn unknown(name: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{name} is no built-in type with a binary form here"))
}
