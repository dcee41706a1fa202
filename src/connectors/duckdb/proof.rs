//! What a stage holds, read back and summed up, against what was sent.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};

use super::database::Connection;
use super::read::Select;
use super::stage::{self, Detail};
use super::zero;
use crate::attempt::Token;
use crate::error::Result;
use crate::proof::{ColumnProof, Verdict, sums, total};
use crate::sink::Receipt;

/// How sums are compared, for the plan.
pub(super) const WAY: &str =
    "before the commit the rows of the stage are read back and summed up: one reading of what was written";

/// Whether the stage of `token` holds what `receipts` say.
pub(super) fn verify(
    connection: &mut Connection,
    (detail, schema): (&Detail, &SchemaRef),
    token: &Token,
    receipts: &[Receipt],
) -> Result<Verdict> {
    let stage = detail.stage(token);
    if !stage::exists(connection, &stage)? {
        return Ok(Verdict::Unknown);
    }
    stage::gather(connection, detail, token)?;
    let counts = stage::counts(connection, &stage)?;
    let held = |receipt: &Receipt| {
        counts.iter().find(|(attempt, _)| *attempt == receipt.attempt).map_or(0, |(_, count)| *count)
    };
    let found: u64 = receipts.iter().map(held).sum();
    let wanted: u64 = receipts.iter().map(|receipt| receipt.rows).sum();
    if receipts.iter().any(|receipt| held(receipt) != receipt.rows) {
        let message = format!("the stage holds {found} rows of these tasks, it should hold {wanted}");
        return Ok(Verdict::Unequal(message));
    }
    let Some(sent) = total(receipts.iter().map(|receipt| receipt.columns.as_ref())) else { return Ok(Verdict::Equal) };
    if wanted == 0 {
        return Ok(Verdict::Equal);
    }
    let found = sums_of(connection, (detail, schema), &stage.quoted(), receipts)?;
    Ok(Verdict::compare("the stage holds", schema.fields(), (&found, &sent)))
}

/// What `batch` adds to the proof, as it comes back: zero has no sign.
pub(super) fn proofs(batch: &RecordBatch) -> Result<Vec<ColumnProof>> {
    let columns = batch.columns().iter().map(zero::unsigned).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(sums::of(&RecordBatch::try_new_with_options(batch.schema(), columns, &options)?))
}

/// The sums of the columns of `schema` in the rows of `receipts`. A value that is none of its type is another one than was sent.
fn sums_of(
    connection: &mut Connection,
    (detail, schema): (&Detail, &SchemaRef),
    stage: &str,
    receipts: &[Receipt],
) -> Result<Vec<ColumnProof>> {
    // NULL is counted wherever it stands.
    let nullable = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let schema: SchemaRef = Arc::new(Schema::new(nullable.collect::<Vec<Field>>()));
    let select = Select::of(stage, (&schema, detail.kinds()?), &[stage::of(receipts)], None);
    let mut sums = vec![ColumnProof::default(); schema.fields().len()];
    select.each(connection, |batch| {
        for (sum, part) in sums.iter_mut().zip(proofs(&batch)?) {
            *sum = sum.and(part);
        }
        Ok(true)
    })?;
    Ok(sums)
}
