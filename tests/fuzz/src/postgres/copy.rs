//! The decoder of binary COPY.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use bytes::Bytes;

use super::{decode, typemap};

/// How many rows there are, then these as tuples of one column, once for each built-in type.
pub fn copy(bytes: &[u8]) {
    let Some((rows, bytes)) = bytes.split_first() else { return };
    for entry in typemap::BUILT_IN {
        let pg = typemap::PgType {
            name: entry.name.to_owned(),
            base: None,
            oid: entry.oid,
            typmod: i32::from(bytes.first().copied().unwrap_or(0)) << 16 | 6,
            class: b'b',
            element: None,
            delimiter: None,
            output: String::new(),
        };
        let typemap::Codec::Scalar(read) = pg.codec() else { continue };
        let array = typemap::PgType { oid: entry.array, element: Some((entry.oid, b'b')), ..pg.clone() };
        for (pg, kind) in [(pg, decode::Kind::Scalar(read)), (array, decode::Kind::List(read))] {
            let schema = Arc::new(Schema::new(vec![Field::new("c", pg.arrow(), true)]));
            let layout = decode::Layout { schema, kinds: vec![kind] };
            let chunk = decode::Chunk { bytes: Bytes::copy_from_slice(bytes), rows: usize::from(*rows), first_row: 0 };
            let _ = decode::decode(&layout, &chunk);
        }
    }
}
