//! Sums over the columns of a stage, read back as any table is read, against those of what was sent.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};

use super::agree::{Detail, Path};
use super::config::{TimeForm, ZeroDates};
use super::connect::Connection;
use super::decode::{Decoding, Layout, Width, decode};
use super::encode::{Column, Kept, unpadded};
use super::name::identifier;
use super::stage::Stage;
use crate::attempt::Token;
use crate::bridge::cpu;
use crate::error::{Error, ErrorKind, Result};
use crate::proof::{ColumnProof, Verdict, sums, total};
use crate::schema;
use crate::sink::{Agreement, Receipt};

/// Rows and bytes that are summed up at once.
const BATCH_ROWS: usize = 16 << 10;
const BATCH_BYTES: usize = 8 << 20;

/// How sums are compared, for the plan; none where rows do not stand alone before the commit.
pub(super) fn way(detail: &Detail) -> Option<String> {
    let alone = !detail.path.held() && detail.path != Path::PerTask;
    alone.then(|| "before the commit the rows are read back and summed up: one reading of what was written".to_owned())
}

/// What `batch` adds to the proof. Of JSON that the server takes apart only values and NULLs are counted: it writes it anew. Zero has no
/// sign in `MariaDB`, and a `char` no spaces at its end: those of a padded text are all that is taken, as of a name of a member.
pub(super) fn proofs(detail: &Detail, batch: &RecordBatch) -> Result<Vec<ColumnProof>> {
    let mut proofs = sums::of(&without_padding(detail, &sums::without_signed_zeros(batch)?)?);
    for (proof, column) in proofs.iter_mut().zip(&detail.columns) {
        if column.kept == Kept::WrittenAnew {
            *proof = ColumnProof { values: proof.values, nulls: proof.nulls, ..ColumnProof::default() };
        }
    }
    Ok(proofs)
}

/// `batch` with the texts of `char` columns as they come back.
fn without_padding(detail: &Detail, batch: &RecordBatch) -> Result<RecordBatch> {
    let is_bare = |column: &Column| column.kept == Kept::WithoutPadding || column.sql_type.starts_with("char(");
    let column = |(array, column): (&ArrayRef, &Column)| {
        if is_bare(column) { unpadded(array) } else { Arc::clone(array) }
    };
    let columns = batch.columns().iter().zip(&detail.columns).map(column).collect();
    schema::record_batch(batch.schema_ref(), columns, batch.num_rows())
}

/// Compares the stage of `token` with `receipts`.
pub(super) async fn verify(
    connection: &mut Connection,
    (agreement, detail): (&Agreement, &Detail),
    (token, receipts): (&Token, &[Receipt]),
) -> Result<Verdict> {
    let stage = Stage::of(&detail.target, token);
    if let Err(error) = stage.check(connection, receipts).await {
        return match error.kind() {
            ErrorKind::Mismatch => Ok(Verdict::Unequal(error.message().to_owned())),
            _ => Err(error),
        };
    }
    let sent: u64 = receipts.iter().map(|receipt| receipt.rows).sum();
    if detail.path == Path::PerTask {
        return Ok(Verdict::Equal);
    }
    let table = stage.table.quoted();
    let Some(wanted) = total(receipts.iter().map(|receipt| receipt.columns.as_ref())) else {
        let held = connection.number(&format!("SELECT COUNT(*) FROM {table}")).await?.unwrap_or(0);
        return Ok(counted(held, sent));
    };
    let (held, found) = sums_of(connection, agreement, (detail, &table)).await?;
    if held != sent {
        return Ok(counted(held, sent));
    }
    Ok(Verdict::compare("the stage holds", agreement.target.fields(), (&found, &wanted)))
}

fn counted(held: u64, sent: u64) -> Verdict {
    if held == sent {
        return Verdict::Equal;
    }
    Verdict::Unequal(format!("the stage holds {held} rows, it should hold {sent}"))
}

/// Rows and sums of `table`, in the forms in which they were sent.
async fn sums_of(
    connection: &mut Connection,
    agreement: &Agreement,
    (detail, table): (&Detail, &str),
) -> Result<(u64, Vec<ColumnProof>)> {
    let fields = agreement.target.fields();
    let expression = |field: &Arc<Field>| {
        let name = identifier(field.name());
        let as_text = field.metadata().get(schema::FORM).is_some_and(|form| form == schema::TEXT);
        if as_text { format!("CAST({name} AS CHAR)") } else { name }
    };
    let list: Vec<String> = fields.iter().map(expression).collect();
    let announced = connection.open(&format!("SELECT {} FROM {table}", list.join(", "))).await?;
    let nullable = fields.iter().map(|field| field.as_ref().clone().with_nullable(true));
    let schema = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
    let decoding = |((field, announced), column): ((&Arc<Field>, &super::wire::Column), &Column)| {
        let kind = column.kind().ok_or_else(|| Error::new(ErrorKind::Internal, "a column has no type"))?;
        let times = match field.data_type() {
            DataType::Duration(_) => TimeForm::Duration,
            _ => TimeForm::Time,
        };
        Ok(Decoding { kind, width: Width::of(announced.column_type()), zeros: ZeroDates::Reject, times })
    };
    let columns = fields.iter().zip(&announced).zip(&detail.columns).map(decoding).collect::<Result<_>>()?;
    let layout = Layout { schema, columns };
    let mut found = vec![ColumnProof::default(); fields.len()];
    let mut rows = 0;
    while let Some(frames) = connection.next_rows(BATCH_ROWS, BATCH_BYTES).await? {
        let (layout, detail) = (layout.clone(), detail.clone());
        let first = rows;
        rows += frames.rows.len() as u64;
        let part = cpu::run(move || proofs(&detail, &decode(&layout, &frames, first)?)).await??;
        found = found.into_iter().zip(part).map(|(one, other)| one.and(other)).collect();
    }
    Ok((rows, found))
}
