//! Checks of values: what goes in comes out.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema};

use super::drive::{Run, expect_visible, load, numbered};
use super::{Fixture, expect};
use crate::error::Result;
use crate::sink::{Tasks, WriteMode};
use crate::testing::generate;

/// Every hostile value of every type that the connector keeps.
pub(super) async fn types(fixture: &dyn Fixture) -> Result<()> {
    let table = generate::table(&fixture.fields(), &fixture.limits())?;
    let target = fixture.target().await?;
    load(&target, &table, WriteMode::Create).await?;
    expect_visible(fixture, &target, &table).await
}

/// Rows that are NULL but for the id, first and between others.
pub(super) async fn nulls(fixture: &dyn Fixture) -> Result<()> {
    let table = generate::table(&fixture.fields(), &fixture.limits())?;
    let nothing = |field: &Arc<Field>| new_null_array(field.data_type(), 1);
    let schema = table.schema();
    let mut rows = Vec::new();
    for at in 0..table.num_rows().min(3) {
        rows.push(RecordBatch::try_new(Arc::clone(&schema), with_id(&schema, 2 * at as i64, nothing))?);
        let mut some = table.slice(at, 1).columns().to_vec();
        some[0] = Arc::new(Int64Array::from(vec![2 * at as i64 + 1]));
        rows.push(RecordBatch::try_new(Arc::clone(&schema), some)?);
    }
    let rows = arrow::compute::concat_batches(&schema, &rows)?;
    let target = fixture.target().await?;
    load(&target, &rows, WriteMode::Create).await?;
    expect_visible(fixture, &target, &rows).await
}

fn with_id(schema: &Schema, id: i64, others: impl Fn(&Arc<Field>) -> ArrayRef) -> Vec<ArrayRef> {
    let id: ArrayRef = Arc::new(Int64Array::from(vec![id]));
    std::iter::once(id).chain(schema.fields().iter().skip(1).map(others)).collect()
}

/// No rows: by a task that writes none, and without a task.
pub(super) async fn empty(fixture: &dyn Fixture) -> Result<()> {
    let schema = numbered(0..1)?.schema();
    let none = RecordBatch::new_empty(Arc::clone(&schema));

    let target = fixture.target().await?;
    let run = Run::start(&target, &schema, WriteMode::Create, Tasks::One).await?;
    let receipt = run.writer(0).await?.flush(&run.token).await?;
    expect(receipt.rows == 0, || format!("an empty task wrote {} rows", receipt.rows))?;
    run.commit(&[receipt]).await?;
    expect_visible(fixture, &target, &none).await?;

    let target = fixture.target().await?;
    let run = Run::start(&target, &schema, WriteMode::Create, Tasks::Many).await?;
    run.commit(&[]).await?;
    expect_visible(fixture, &target, &none).await
}

/// As many columns as there may be.
pub(super) async fn wide(fixture: &dyn Fixture) -> Result<()> {
    const ROWS: i64 = 50;
    let others = fixture.widest() - 1;
    let mut fields = vec![Field::new("id", DataType::Int64, false)];
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(0..ROWS))];
    for number in 0..others as i64 {
        if number % 2 == 0 {
            fields.push(Field::new(format!("number_{number}"), DataType::Int64, true));
            let value = |row: i64| (row % 7 != number % 7).then_some(row * number);
            columns.push(Arc::new((0..ROWS).map(value).collect::<Int64Array>()));
        } else {
            fields.push(Field::new(format!("text_{number}"), DataType::Utf8, true));
            let value = |row: i64| (row % 5 != number % 5).then(|| format!("t{row}"));
            columns.push(Arc::new((0..ROWS).map(value).collect::<StringArray>()));
        }
    }
    let table = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    let target = fixture.target().await?;
    load(&target, &table, WriteMode::Create).await?;
    expect_visible(fixture, &target, &table).await
}

/// One text and, where it has them, one byte string of the greatest length, between short ones.
pub(super) async fn long(fixture: &dyn Fixture) -> Result<()> {
    let length = fixture.longest();
    // Characters of several bytes lie across any border.
    let piece = "0123456789 abcdefghijklmnopqrstuvwxyz é中😀 \"',\\\n";
    let mut text = piece.repeat(length / piece.len());
    text.push_str(&"x".repeat(length - text.len()));
    let texts = StringArray::from(vec![Some("short"), Some(text.as_str()), None, Some("")]);
    let mut fields = vec![Field::new("id", DataType::Int64, false), Field::new("text", DataType::Utf8, true)];
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(0..4)), Arc::new(texts)];
    if fixture.fields().iter().any(|field| *field.data_type() == DataType::Binary) {
        let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let values = BinaryArray::from(vec![None, Some(b"\0".as_slice()), Some(bytes.as_slice()), Some(b"")]);
        fields.push(Field::new("bytes", DataType::Binary, true));
        columns.push(Arc::new(values));
    }
    let table = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    expect(table.column(1).len() == 4, || "the table is wrong".to_owned())?;
    let target = fixture.target().await?;
    load(&target, &table, WriteMode::Create).await?;
    expect_visible(fixture, &target, &table).await
}
