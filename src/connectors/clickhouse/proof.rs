//! What a stage holds, read back and summed up, against what was sent.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::catalog;
use super::connect::Server;
use super::name::Name;
use super::read::{Reading, Select};
use super::stage::{self, Detail, State};
use super::typemap::Type;
use crate::attempt::Token;
use crate::bridge::cpu;
use crate::error::Result;
use crate::proof::{ColumnProof, Verdict, sums, total};
use crate::sink::Receipt;

/// How sums are compared, for the plan.
pub(super) const WAY: &str =
    "before the commit the rows of the stage are read back and summed up: one reading of what was written";

/// Whether the stage of `token` holds what `receipts` say.
pub(super) async fn verify(
    server: &Arc<Server>,
    (detail, schema): (&Detail, &SchemaRef),
    token: &Token,
    receipts: &[Receipt],
) -> Result<Verdict> {
    if stage::state(server, detail, token).await? != State::Staging {
        return Ok(Verdict::Unknown);
    }
    let (mut found, mut wanted, mut equal) = (0, 0, true);
    for receipt in receipts {
        let held = catalog::count(server, &detail.attempt(token, &receipt.attempt)).await?.unwrap_or(0);
        (found, wanted, equal) = (found + held, wanted + receipt.rows, equal && held == receipt.rows);
    }
    if !equal {
        let message = format!("the stage holds {found} rows of these tasks, it should hold {wanted}");
        return Ok(Verdict::Unequal(message));
    }
    let Some(sent) = total(receipts.iter().map(|receipt| receipt.columns.as_ref())) else { return Ok(Verdict::Equal) };
    if wanted == 0 {
        return Ok(Verdict::Equal);
    }
    let types = detail.types()?;
    let mut sums = vec![ColumnProof::default(); schema.fields().len()];
    for receipt in receipts.iter().filter(|receipt| receipt.rows > 0) {
        add(server, &mut sums, (&types, schema), &detail.attempt(token, &receipt.attempt)).await?;
    }
    Ok(Verdict::compare("the stage holds", schema.fields(), (&sums, &sent)))
}

/// Adds what the rows of `table` sum up to.
async fn add(
    server: &Arc<Server>,
    sums: &mut [ColumnProof],
    (types, schema): (&[Type], &SchemaRef),
    table: &Name,
) -> Result<()> {
    let select = Select::of(&table.quoted(), schema, types.to_vec(), &[], None);
    let mut reading = Reading::begin(server, select, None).await?;
    while let Some(batch) = reading.next().await? {
        let parts = cpu::run(move || sums::of(&batch)).await?;
        for (sum, part) in sums.iter_mut().zip(parts) {
            *sum = sum.and(part);
        }
    }
    Ok(())
}
