//! Writing and reading as an engine does, step by step, and comparing what came back.

use std::sync::Arc;

use arrow::array::{Array, AsArray as _, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options, concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;
use futures::TryStreamExt as _;

use super::{Fixture, Target, expect};
use crate::attempt::{Attempt, Token};
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::proof::{Verdict, Verify};
use crate::sink::{Agreement, Form, Receipt, Sink, Tasks, WriteMode, WriteRequest, Writer, Writers};
use crate::source::{ReadPlan, Scan, Source, Split, SplitGoal, TableShape};

/// One run into a target: agreed on and prepared.
pub(super) struct Run {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) agreement: Agreement,
    pub(super) token: Token,
}

impl Run {
    /// Agrees and prepares.
    pub(super) async fn start(target: &Target, schema: &SchemaRef, mode: WriteMode, tasks: Tasks) -> Result<Self> {
        Self::start_in(&target.endpoint, target, (schema, mode, tasks)).await
    }

    /// The same by the process that has `endpoint`.
    async fn start_in(
        endpoint: &Arc<dyn Endpoint>,
        target: &Target,
        (schema, mode, tasks): (&SchemaRef, WriteMode, Tasks),
    ) -> Result<Self> {
        let sink = endpoint.sink(&target.object)?;
        let request = WriteRequest { tasks, verify: Verify::Checksum, ..WriteRequest::new(mode) };
        let agreement = sink.agree(&TableShape::of(Arc::clone(schema)), &request).await?;
        // An agreement is plain data: it reaches writers of other processes as text.
        let agreement: Agreement = serde_json::from_str(&serde_json::to_string(&agreement)?)?;
        let token = new_token();
        sink.prepare(&agreement, &token).await?;
        Ok(Self { sink, agreement, token })
    }

    /// How many writers may be open at once.
    pub(super) fn many(&self) -> bool {
        self.agreement.writers == Writers::Any
    }

    /// A new attempt of `task`, whose only split has its number.
    pub(super) fn attempt(&self, task: u32) -> Attempt {
        Attempt::new(self.token.clone(), task, vec![task])
    }

    /// A writer of a new attempt of `task`.
    pub(super) async fn writer(&self, task: u32) -> Result<Box<dyn Writer>> {
        self.sink.writer(&self.agreement, &self.attempt(task)).await
    }

    /// Writes `batch`, aligned.
    pub(super) async fn write(&self, writer: &mut Box<dyn Writer>, batch: &RecordBatch) -> Result<()> {
        writer.write(self.aligned(batch)?).await
    }

    /// All of a task: opens, writes, flushes.
    pub(super) async fn task(&self, task: u32, batch: &RecordBatch) -> Result<Receipt> {
        let mut writer = self.writer(task).await?;
        self.write(&mut writer, batch).await?;
        let receipt = writer.flush(&self.token).await?;
        let counts = (receipt.rows, receipt.rejected, receipt.task);
        let expected = (batch.num_rows() as u64, 0, task);
        expect(counts == expected, || format!("the receipt has rows, rejects, task {counts:?}, not {expected:?}"))?;
        Ok(serde_json::from_str(&serde_json::to_string(&receipt)?)?)
    }

    /// `batch` as the agreement wants it.
    pub(super) fn aligned(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        align(batch, &self.agreement)
    }

    pub(super) async fn verify(&self, receipts: &[Receipt]) -> Result<Verdict> {
        self.sink.verify(&self.agreement, &self.token, receipts).await
    }

    pub(super) async fn commit(&self, receipts: &[Receipt]) -> Result<()> {
        self.sink.commit(&self.agreement, &self.token, receipts).await
    }

    pub(super) async fn abort(&self) -> Result<()> {
        self.sink.abort(&self.agreement, &self.token).await
    }
}

/// Writes all of `batch` in one task and commits, in a process of its own.
pub(super) async fn load(target: &Target, batch: &RecordBatch, mode: WriteMode) -> Result<()> {
    let endpoint = target.elsewhere()?;
    let run = Run::start_in(&endpoint, target, (&batch.schema(), mode, Tasks::One)).await?;
    let receipt = run.task(0, batch).await?;
    run.commit(&[receipt]).await?;
    endpoint.finish(std::slice::from_ref(&run.agreement)).await
}

/// Fails if runs left anything beside the object. All have ended.
pub(super) async fn expect_no_debris(fixture: &dyn Fixture, target: &Target) -> Result<()> {
    let debris = fixture.debris(target).await?;
    expect(debris.is_empty(), || format!("runs that have ended left {}", debris.join(", ")))
}

/// A token that no other run has.
pub(super) fn new_token() -> Token {
    Token { run: uuid::Uuid::now_v7().simple().to_string(), transfer: 0, sink: 0, epoch: 0 }
}

/// An open source with its shape. Splits are read through sources of their own, as tasks of other processes do that
/// know nothing but the scan and the split.
pub(super) struct Reading {
    session: Arc<dyn Session>,
    object: ObjectRef,
    pub(super) source: Arc<dyn Source>,
    pub(super) shape: TableShape,
}

impl Reading {
    /// Opens `object`.
    pub(super) async fn start(endpoint: &Arc<dyn Endpoint>, object: &ObjectRef) -> Result<Self> {
        let request = OpenRequest { objects: vec![object.clone()], readers: 2, ..OpenRequest::default() };
        let session = endpoint.open(&request).await?;
        let source = session.source(object)?;
        let shape = source.describe().await?;
        Ok(Self { session, object: object.clone(), source, shape })
    }

    /// A scan of all columns.
    pub(super) fn scan(&self) -> Scan {
        let schema = Arc::clone(&self.shape.schema);
        Scan { schema, filters: Vec::new().into(), limit: None, batch_rows: 8192, batch_bytes: 16 << 20 }
    }

    /// Cut as finely as the source does.
    pub(super) async fn plan(&self, scan: &Scan) -> Result<ReadPlan> {
        let scan: Scan = serde_json::from_str(&serde_json::to_string(scan)?)?;
        let plan = self.source.plan(&scan, &SplitGoal::new(4096, 4)).await?;
        let ids: Vec<u32> = plan.splits.iter().map(|split| split.id).collect();
        expect(ids.iter().copied().eq(0..ids.len() as u32), || format!("the splits are numbered {ids:?}"))?;
        Ok(serde_json::from_str(&serde_json::to_string(&plan)?)?)
    }

    /// The batches of one split.
    pub(super) async fn split(&self, scan: &Scan, split: &Split) -> Result<Vec<RecordBatch>> {
        let attempt = Attempt::new(new_token(), split.id, vec![split.id]);
        let source = self.session.source(&self.object)?;
        let batches: Vec<RecordBatch> = source.read(scan, split, &attempt, None).await?.try_collect().await?;
        for batch in &batches {
            let same = batch.schema_ref().fields() == scan.schema.fields();
            expect(same, || "a batch has another schema than the scan".to_owned())?;
        }
        Ok(batches)
    }

    /// The rows of `splits`, one after the other.
    pub(super) async fn rows(&self, scan: &Scan, splits: &[Split]) -> Result<RecordBatch> {
        let mut batches = Vec::new();
        for split in splits {
            batches.extend(self.split(scan, split).await?);
        }
        joined(&scan.schema, &batches)
    }

    pub(super) async fn close(self) -> Result<()> {
        self.session.check().await?;
        self.session.close().await?;
        self.session.close().await
    }
}

/// Fails unless a new reader sees exactly `expected`, in any order.
pub(super) async fn expect_visible(fixture: &dyn Fixture, target: &Target, expected: &RecordBatch) -> Result<()> {
    let Some(endpoint) = fixture.reader(target, &expected.schema())? else { return Ok(()) };
    let reading = Reading::start(&endpoint, &target.object).await?;
    let scan = reading.scan();
    let plan = reading.plan(&scan).await?;
    let rows = reading.rows(&scan, &plan.splits).await?;
    reading.close().await?;
    same(fixture, expected, &by_id(&rows)?)
}

/// Fails if a new reader sees any row of a [`numbered`] table.
pub(super) async fn expect_nothing(fixture: &dyn Fixture, target: &Target) -> Result<()> {
    let Some(endpoint) = fixture.reader(target, &numbered(0..1)?.schema())? else { return Ok(()) };
    let reading = match Reading::start(&endpoint, &target.object).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        started => started?,
    };
    let scan = reading.scan();
    let plan = reading.plan(&scan).await?;
    let rows = reading.rows(&scan, &plan.splits).await?.num_rows();
    reading.close().await?;
    expect(rows == 0, || format!("a reader sees {rows} rows that are not committed"))
}

/// Fails unless `seen` has the columns and values of `expected`, both by ascending `id`.
fn same(fixture: &dyn Fixture, expected: &RecordBatch, seen: &RecordBatch) -> Result<()> {
    let counts = (expected.num_rows(), seen.num_rows());
    expect(counts.0 == counts.1, || format!("{} rows were written, {} came back", counts.0, counts.1))?;
    if counts.0 == 0 && !fixture.keeps_empty_columns() {
        return Ok(());
    }
    let names = |batch: &RecordBatch| {
        batch.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>().join(", ")
    };
    expect(names(expected) == names(seen), || format!("columns {} became {}", names(expected), names(seen)))?;
    let expected = by_id(expected)?;
    for (field, (written, read)) in expected.schema().fields().iter().zip(expected.columns().iter().zip(seen.columns()))
    {
        let returned = if field.name() == "id" { DataType::Int64 } else { fixture.returned(field) };
        expect(*read.data_type() == returned, || format!("{returned} came back as {}", read.data_type()))
            .map_err(|error| error.at("column", field.name()))?;
        let written = cast_with_options(written, &returned, &CastOptions { safe: false, ..CastOptions::default() })?;
        differing(&written, read).map_err(|error| error.at("column", field.name()))?;
    }
    Ok(())
}

fn differing(written: &dyn Array, read: &dyn Array) -> Result<()> {
    let Some(row) = (0..written.len()).find(|&row| written.slice(row, 1).as_ref() != read.slice(row, 1).as_ref())
    else {
        return Ok(());
    };
    let shown = |array: &dyn Array| -> Result<String> {
        if array.is_null(row) {
            return Ok("NULL".to_owned());
        }
        let text = format!("{:?}", array_value_to_string(array, row)?);
        Ok(text.chars().take(120).collect())
    };
    expect(false, || "a value changed".to_owned())
        .or_else(|error| Err(Error::new(error.kind(), format!("{} became {}", shown(written)?, shown(read)?))))
        .map_err(|error| error.at("row", row))
}

/// `batch` as the sink agreed to take it.
pub(super) fn align(batch: &RecordBatch, agreement: &Agreement) -> Result<RecordBatch> {
    let column = |field: &Arc<Field>| {
        let plan = agreement.columns.iter().find(|plan| plan.target.as_deref() == Some(field.name()));
        let incoming = plan.filter(|plan| plan.form == Form::Arrow).and_then(|plan| plan.incoming.as_ref());
        let array = incoming.and_then(|name| batch.column_by_name(name)).ok_or_else(|| {
            Error::new(ErrorKind::Schema, "the agreement says of no incoming Arrow column that it fills this one")
                .at("column", field.name())
        })?;
        let options = CastOptions { safe: false, ..CastOptions::default() };
        Ok(cast_with_options(array, field.data_type(), &options)?)
    };
    let columns = agreement.target.fields().iter().map(column).collect::<Result<_>>()?;
    Ok(RecordBatch::try_new(Arc::clone(&agreement.target), columns)?)
}

fn joined(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch> {
    if schema.fields().is_empty() {
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        return Ok(RecordBatch::try_new_with_options(Arc::clone(schema), Vec::new(), &options)?);
    }
    Ok(concat_batches(schema, batches)?)
}

fn by_id(rows: &RecordBatch) -> Result<RecordBatch> {
    match rows.column_by_name("id") {
        None => Ok(rows.clone()),
        Some(ids) => Ok(take_record_batch(rows, &sort_to_indices(ids, None, None)?)?),
    }
}

/// A plain table of the ids `ids` and a text each.
pub(super) fn numbered(ids: std::ops::Range<i64>) -> Result<RecordBatch> {
    texted(ids, "row")
}

/// The same with texts that begin with `word`.
pub(super) fn texted(ids: std::ops::Range<i64>, word: &str) -> Result<RecordBatch> {
    let texts = ids.clone().map(|id| format!("{word} {id}"));
    let texts: arrow::array::StringArray = texts.map(Some).collect();
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("text", DataType::Utf8, true)]);
    Ok(RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from_iter_values(ids)), Arc::new(texts)])?)
}

/// The ids of `rows`.
pub(super) fn ids(rows: &RecordBatch) -> Vec<i64> {
    let column = rows.column_by_name("id").and_then(|column| column.as_primitive_opt::<Int64Type>());
    column.map(|ids| ids.values().to_vec()).unwrap_or_default()
}
