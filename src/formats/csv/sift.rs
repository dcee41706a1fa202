//! Decoding that leaves out the records that [`super::decode`] refuses.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::decode::{columns, describe, describe_misfit, lines, records};
use super::options::CsvOptions;
use super::tokenize::{Bad, Faulty, Width};
use crate::error::Result;
use crate::formats::sift::{Misfits, Refused, part};
use crate::formats::value::parse::sift_column;
use crate::formats::{Layout, Piece};
use crate::reject::Rejects;
use crate::schema::record_batch;

/// Decodes the columns of `schema`, and gives the records that cannot be decoded beside them.
pub(super) fn sift(
    options: &CsvOptions,
    piece: &Piece<'_>,
    layout: &Layout,
    schema: &SchemaRef,
) -> Result<(RecordBatch, Option<Rejects>)> {
    let width = Width::Exactly(layout.columns.len());
    let records = records(options, piece, (width, Faulty::LeftOut), usize::MAX)?;
    let columns = columns(options, piece, layout, schema, &records)?;
    let mut misfits = Misfits::default();
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for (index, (column, field)) in columns.iter().zip(schema.fields()).enumerate() {
        let form = options.typing.form(field);
        let parsed = sift_column(column, field, form, &mut |misfit| misfits.note(index, misfit));
        arrays.push(parsed.map_err(|misfit| describe_misfit(misfit, field))?);
    }
    let unreadable = |bad: &Bad| Refused {
        offset: bad.start,
        row: None,
        record: Some(String::from_utf8_lossy(&piece.bytes[bad.start..bad.end]).into_owned()),
        error: describe(bad.fault),
    };
    let mut refused: Vec<Refused> = records.bad.iter().map(unreadable).collect();
    refused.extend(misfits.of_rows().into_iter().map(|(row, index, misfit)| Refused {
        offset: columns[index].start(row),
        row: Some(row),
        record: None,
        error: describe_misfit(misfit, &schema.fields()[index]),
    }));
    let all = record_batch(schema, arrays, records.rows())?;
    part(&all, &columns, (refused, piece.first_line), |part| lines(piece, part))
}
