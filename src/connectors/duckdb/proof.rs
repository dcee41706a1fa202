//! What a stage holds, read back and summed up, against what was sent.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, RecordBatch};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};

use super::database::Connection;
use super::form::{self, Form};
use super::read::Select;
use super::stage::{self, Detail};
use super::typemap::Kind;
use super::zero;
use crate::attempt::Token;
use crate::error::Result;
use crate::proof::{ColumnProof, Verdict, sums, total};
use crate::reject::set_aside;
use crate::schema::record_batch;
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

/// What `batch`, whose columns are of `kinds`, adds to the proof, as it comes back: zero has no sign, and what was wire bytes none.
pub(super) fn proofs(kinds: &[Kind], batch: &RecordBatch) -> Result<Vec<ColumnProof>> {
    let column = |((kind, field), array): ((&Kind, &FieldRef), &ArrayRef)| match Form::of(field) {
        // What has no place is refused when it is written.
        Form::Wire => form::of_wire(kind, array).unwrap_or_else(|_| Arc::clone(array)),
        _ => zero::unsigned(array),
    };
    let schema = batch.schema();
    let columns = kinds.iter().zip(schema.fields()).zip(batch.columns()).map(column).collect::<Vec<_>>();
    let fields = columns
        .iter()
        .zip(schema.fields())
        .map(|(array, field)| Field::new(field.name(), array.data_type().clone(), field.is_nullable()));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    Ok(sums::of(&record_batch(&schema, columns, batch.num_rows())?))
}

/// The sums of the columns of `schema` in the rows of `receipts`. A value that is none of its type is another one than was sent.
fn sums_of(
    connection: &mut Connection,
    (detail, schema): (&Detail, &SchemaRef),
    stage: &str,
    receipts: &[Receipt],
) -> Result<Vec<ColumnProof>> {
    let kinds = detail.kinds()?;
    let field = |(field, kind): (&FieldRef, &Kind)| {
        let name = stage::waits_as(field.name());
        match Form::of(field) {
            Form::Wire => kind.native(name, true).unwrap_or_else(|| kind.column(name, true)),
            // NULL is counted wherever it stands.
            _ => field.as_ref().clone().with_name(name).with_nullable(true),
        }
    };
    let fields = schema.fields().iter().zip(&kinds).map(field);
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
    let select = Select::of(stage, (&schema, kinds.clone()), &[stage::of(receipts)], None);
    let mut sums = vec![ColumnProof::default(); schema.fields().len()];
    select.each(connection, |sifted| {
        for (sum, part) in sums.iter_mut().zip(proofs(&kinds, &set_aside(None, sifted)?)?) {
            *sum = sum.and(part);
        }
        Ok(true)
    })?;
    Ok(sums)
}
