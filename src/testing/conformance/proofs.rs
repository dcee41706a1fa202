//! Checks of a sink's proof: a stage is what true receipts say, and what no others do.

use arrow::array::RecordBatch;

use super::drive::{Run, expect_visible, load};
use super::{Fixture, expect};
use crate::error::Result;
use crate::proof::{ColumnProof, Verdict};
use crate::sink::{Receipt, Tasks, WriteMode};
use crate::testing::generate;

/// Every value of every type in a new target, and beside rows that were there.
pub(super) async fn verify(fixture: &dyn Fixture) -> Result<()> {
    for mode in [WriteMode::Create, WriteMode::Append] {
        if fixture.modes().contains(&mode) {
            verify_in(fixture, &mode).await.map_err(|error| error.at("mode", format!("{mode:?}")))?;
        }
    }
    Ok(())
}

async fn verify_in(fixture: &dyn Fixture, mode: &WriteMode) -> Result<()> {
    let table = generate::table(&fixture.fields(), &fixture.limits())?;
    let target = fixture.target().await?;
    if *mode == WriteMode::Append {
        load(&target, &table, WriteMode::Create).await?;
    }
    let run = Run::start(&target, &table.schema(), mode.clone(), Tasks::Many).await?;
    let half = table.num_rows() / 2;
    let parts = if run.many() {
        vec![table.slice(0, half), table.slice(half, table.num_rows() - half)]
    } else {
        vec![table.clone()]
    };
    let mut receipts = Vec::new();
    for (task, part) in (0..).zip(&parts) {
        receipts.push(Receipt { columns: Some(sums_of(&run, part)?), ..run.task(task, part).await? });
    }
    if run.sink.checksum(&run.agreement).is_none() {
        return run.abort().await;
    }
    let verdict = run.verify(&receipts).await?;
    expect(verdict == Verdict::Equal, || format!("of true receipts it says {verdict:?}"))?;
    let alike = |what: &str| format!("receipts that say another {what} are not told from true ones");
    let altered = |alter: &dyn Fn(&mut Receipt)| {
        let mut altered = receipts.clone();
        altered.iter_mut().take(1).for_each(alter);
        altered
    };
    let rows = altered(&|receipt| receipt.rows += 1);
    expect(matches!(run.verify(&rows).await?, Verdict::Unequal(_)), || alike("number of rows"))?;
    for (at, field) in run.agreement.target.fields().iter().enumerate() {
        for (what, alter) in
            [("number of NULLs", fewer_nulls as fn(&mut ColumnProof)), ("sum and digest", other_values)]
        {
            let column = altered(&|receipt| receipt.columns.iter_mut().for_each(|columns| alter(&mut columns[at])));
            let verdict = run.verify(&column).await?;
            let found = matches!(&verdict, Verdict::Unequal(why) if why.contains(field.name()));
            expect(found, || alike(what)).map_err(|error| error.at("column", field.name()))?;
        }
    }
    run.commit(&receipts).await?;
    if *mode == WriteMode::Create { expect_visible(fixture, &target, &table).await } else { Ok(()) }
}

/// What an engine notes of the rows that it sends.
fn sums_of(run: &Run, rows: &RecordBatch) -> Result<Vec<ColumnProof>> {
    run.sink.prover(&run.agreement)?.of(&run.aligned(rows)?)
}

fn fewer_nulls(proof: &mut ColumnProof) {
    proof.values += 1;
    proof.nulls = proof.nulls.saturating_sub(1);
}

fn other_values(proof: &mut ColumnProof) {
    proof.digest = proof.digest.map(|digest| digest.wrapping_add(1));
    proof.integers.iter_mut().for_each(|integers| integers.sum += 1);
}
