//! The decoder of rows of the binary protocol.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use bytes::Bytes;

use super::decode::{Decoding, Frames, Layout, Width, decode};
use super::typemap::{Kind, TimeForm, ZeroDates};

const KINDS: [(Kind, Width); 13] = [
    (Kind::Int8, Width::Fixed(1)),
    (Kind::UInt16, Width::Fixed(2)),
    (Kind::Float, Width::Fixed(4)),
    (Kind::Double, Width::Fixed(8)),
    (Kind::Date, Width::Temporal),
    (Kind::DateTime(6), Width::Temporal),
    (Kind::Time(6), Width::Temporal),
    (Kind::Decimal(65, 30), Width::Text),
    (Kind::Bit(1), Width::Text),
    (Kind::Bit(64), Width::Text),
    (Kind::Text, Width::Text),
    (Kind::Geometry, Width::Text),
    (Kind::Uuid, Width::Text),
];

/// How long each row is, in one byte before it; all as one column of each type, then as all columns together.
pub fn rows(bytes: &[u8]) {
    let mut places = Vec::new();
    let mut at = 0;
    while let Some(length) = bytes.get(at) {
        places.push((at as u32 + 1, u32::from(*length)));
        at += 1 + usize::from(*length);
    }
    let frames = Frames { bytes: Bytes::copy_from_slice(bytes), rows: places };
    for times in [TimeForm::Time, TimeForm::Duration] {
        let one = KINDS.iter().map(std::slice::from_ref);
        for kinds in one.chain([KINDS.as_slice()]) {
            let field = |(kind, _): &(Kind, Width)| Field::new("c", kind.arrow(times), true);
            let schema = Arc::new(Schema::new(kinds.iter().map(field).collect::<Vec<_>>()));
            let column = |&(kind, width): &(Kind, Width)| Decoding { kind, width, zeros: ZeroDates::Null, times };
            let layout = Layout { schema, columns: kinds.iter().map(column).collect() };
            let _ = decode(&layout, &frames, 0);
        }
    }
}
