//! `WriteExec`: batches in, one receipt out per partition. It opens the writer, casts, writes and flushes.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as PlanResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties as _, Partitioning, PlanProperties,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use crate::attempt::{Attempt, Token};
use crate::bridge::cpu;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::align::{Aligner, Unaligned};
use crate::flow::meter::Part;
use crate::flow::reject::Basket;
use crate::plan::context::{Ends, with_extension};
use crate::plan::error::{from_datafusion, to_datafusion};
use crate::plan::read;
use crate::plan::trail::{self, Origin, Trail, Written};
use crate::proof::{ColumnProof, Verify, sums, total};
use crate::reject::Stage;
use crate::runner::Task;
use crate::sink::{Agreement, Receipt, Writer};

static SCHEMA: LazyLock<SchemaRef> =
    LazyLock::new(|| Arc::new(Schema::new(vec![Field::new("receipt", DataType::Utf8, false)])));

/// What a [`WriteExec`] writes: plain data, without secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WriteSpec {
    /// Name of the endpoint among the job's [`Ends`].
    pub endpoint: String,
    /// How rows land.
    pub agreement: Agreement,
    /// For whom.
    pub token: Token,
    /// What arrives.
    pub payload: Payload,
    /// How much proof the receipts carry.
    pub verify: Verify,
}

/// What a writer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Payload {
    /// Batches of columns, cast to the agreement's target.
    Columns,
    /// Frames that the source encoded.
    Frames,
}

/// Writes each partition of its input as one task.
#[derive(Debug)]
pub struct WriteExec {
    spec: Arc<WriteSpec>,
    tasks: Vec<Task>,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl WriteExec {
    /// Writes partition `i` of `input` as `tasks[i]`.
    pub fn new(spec: Arc<WriteSpec>, tasks: Vec<Task>, input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&SCHEMA)),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Final,
            input.boundedness(),
        );
        Self { spec, tasks, input, properties: Arc::new(properties) }
    }

    /// What is written.
    pub fn spec(&self) -> &Arc<WriteSpec> {
        &self.spec
    }

    /// One task per partition.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self::new(Arc::clone(&self.spec), self.tasks.clone(), input))
    }
}

/// The receipt in a batch that a [`WriteExec`] gave.
pub fn receipts(batch: &RecordBatch) -> Result<Vec<Receipt>> {
    let column = batch.column(0).as_any().downcast_ref::<StringArray>();
    let column = column.ok_or_else(|| Error::new(ErrorKind::Internal, "the plan gave no receipts"))?;
    column.iter().flatten().map(|json| serde_json::from_str(json).map_err(Error::from)).collect()
}

impl DisplayAs for WriteExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriteExec: {}", self.spec.agreement.label)
    }
}

impl ExecutionPlan for WriteExec {
    fn name(&self) -> &'static str {
        "WriteExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> PlanResult<TreeNodeRecursion>,
    ) -> PlanResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        Ok(self.over(children.swap_remove(0)))
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        Ok(self.over(children.swap_remove(0)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> PlanResult<SendableRecordBatchStream> {
        let task =
            self.tasks.get(partition).cloned().ok_or_else(|| {
                to_datafusion(Error::new(ErrorKind::Internal, "the plan has more partitions than tasks"))
            })?;
        let ends = Ends::of(&context).map_err(to_datafusion)?;
        let attempt = Attempt::new(self.spec.token.clone(), task.id, task.splits);
        let basket = ends.rejects.as_ref().map(|log| Arc::new(log.basket(&attempt)));
        let context = match &basket {
            Some(basket) => with_extension(&context, Arc::clone(basket)),
            None => context,
        };
        let (context, trail) = trail::follow(&self.input, &context);
        let input = self.input.execute(partition, context)?;
        let writing = Writing { spec: Arc::clone(&self.spec), attempt, ends, trail, basket };
        let receipt = stream::once(async move { writing.run(input).await.map_err(to_datafusion) }).boxed();
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&SCHEMA), receipt)))
    }
}

/// Rows that fit the target, and where they come from.
type Fitting = (RecordBatch, Option<Origin>);

/// One attempt of one task.
struct Writing {
    spec: Arc<WriteSpec>,
    attempt: Attempt,
    ends: Arc<Ends>,
    trail: Option<Arc<Trail>>,
    /// Where rows go that do not fit.
    basket: Option<Arc<Basket>>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        // Readers that were told to end may hold it a moment longer than the attempt lives.
        self.basket.iter().for_each(|basket| basket.forget());
    }
}

impl Writing {
    async fn run(self, input: SendableRecordBatchStream) -> Result<RecordBatch> {
        let agreement = &self.spec.agreement;
        let writer = self.ends.sink(&self.spec.endpoint)?.writer(agreement, &self.attempt).await;
        let mut writer = writer.map_err(|error| self.of_target(error))?;
        let mut written = Written::default();
        let (rows, columns) = match self.spec.payload {
            Payload::Columns => self.write_columns(input, &mut *writer, &mut written).await?,
            Payload::Frames => (self.write_frames(input, &mut *writer, &mut written).await?, None),
        };
        let receipt = self.sent(writer.flush(&self.spec.token), &written).await?;
        let mut receipt = Receipt { columns, ..receipt };
        if receipt.rows != rows {
            let message = format!("the target counted {} rows of {rows} that were sent", receipt.rows);
            return Err(self.of_target(Error::new(ErrorKind::Internal, message)));
        }
        if let Some(basket) = &self.basket {
            receipt.rejected = basket.seal(&receipt).await?;
        }
        let json: ArrayRef = Arc::new(StringArray::from(vec![serde_json::to_string(&receipt)?]));
        Ok(RecordBatch::try_new(Arc::clone(&SCHEMA), vec![json])?)
    }

    async fn write_columns(
        &self,
        mut input: SendableRecordBatchStream,
        writer: &mut dyn Writer,
        written: &mut Written,
    ) -> Result<(u64, Option<Vec<ColumnProof>>)> {
        let agreement = &self.spec.agreement;
        let aligner = Aligner::new(&input.schema(), &agreement.target, &agreement.columns);
        let aligner = Arc::new(aligner.map_err(|error| self.of_target(error))?);
        let mut rows = 0;
        let proves = self.spec.verify >= Verify::Checksum;
        let mut columns = proves.then(|| vec![ColumnProof::default(); agreement.target.fields().len()]);
        while let Some(batch) = self.received(&mut input).await? {
            let start = Instant::now();
            let (fitting, origin) = match &self.basket {
                Some(basket) => self.sifted(batch, &aligner, basket).await?,
                None => self.aligned(batch, &aligner, rows).await?,
            };
            self.ends.meter.waited(Part::Transform, start.elapsed());
            let count = fitting.num_rows() as u64;
            if count == 0 {
                continue;
            }
            written.add(count, origin);
            if proves {
                let summed = fitting.clone();
                let more = cpu::run(move || sums::of(&summed)).await?;
                columns = total([columns.as_ref(), Some(&more)]);
            }
            self.sent(writer.write(fitting), written).await?;
            rows += count;
            self.ends.meter.wrote(count);
        }
        Ok((rows, columns))
    }

    /// `batch` in the types of the target. `rows` rows of the task were written before it.
    async fn aligned(&self, batch: RecordBatch, aligner: &Arc<Aligner>, rows: u64) -> Result<Fitting> {
        let (origin, casts) = (self.origin(), Arc::clone(aligner));
        let fitting = cpu::run(move || casts.align(&batch)).await?;
        let fitting = fitting.map_err(|unaligned| self.of_target(located(unaligned, origin.as_ref(), rows)))?;
        Ok((fitting, origin))
    }

    /// The rows of `batch` that fit, in the types of the target; the others go into `basket`.
    async fn sifted(&self, batch: RecordBatch, aligner: &Arc<Aligner>, basket: &Basket) -> Result<Fitting> {
        let (origin, casts, rows) = (self.origin(), Arc::clone(aligner), batch.clone());
        let sifted = cpu::run(move || casts.sift(&rows)).await?.map_err(|error| self.of_target(error))?;
        if !sifted.misfits.is_empty() {
            let refused = sifted.misfits.into_iter().map(|misfit| (misfit.row, misfit.into_error("")));
            basket.add(trail::rejects(Stage::Write, &batch, origin.as_ref(), refused.collect())?).await?;
        }
        Ok((sifted.fitting, origin.map(|origin| origin.filtered(sifted.kept))))
    }

    async fn write_frames(
        &self,
        mut input: SendableRecordBatchStream,
        writer: &mut dyn Writer,
        written: &mut Written,
    ) -> Result<u64> {
        let mut rows = 0;
        while let Some(batch) = self.received(&mut input).await? {
            let frame = read::frame(&batch);
            let (bytes, count) = frame.ok_or_else(|| Error::new(ErrorKind::Internal, "the plan gave no frames"))?;
            written.add(count, self.origin());
            self.sent(writer.write_raw(bytes, count), written).await?;
            rows += count;
            self.ends.meter.wrote(count);
        }
        Ok(rows)
    }

    async fn received(&self, input: &mut SendableRecordBatchStream) -> Result<Option<RecordBatch>> {
        input.try_next().await.map_err(from_datafusion)
    }

    /// Where the rows of the batch that was just received come from.
    fn origin(&self) -> Option<Origin> {
        self.trail.as_ref().and_then(|trail| trail.pop())
    }

    /// Awaits the writer, counts the time as waiting for it, and says of an error where it happened.
    async fn sent<T>(&self, writing: impl Future<Output = Result<T>>, written: &Written) -> Result<T> {
        let start = Instant::now();
        let result = writing.await;
        self.ends.meter.waited(Part::Writer, start.elapsed());
        result.map_err(|error| self.of_target(written.locate(error)))
    }

    fn of_target(&self, error: Error) -> Error {
        error.at("target", &self.spec.agreement.label)
    }
}

/// The error of a batch before which `rows` rows of the task were written.
fn located(unaligned: Unaligned, origin: Option<&Origin>, rows: u64) -> Error {
    let misfits = match unaligned {
        Unaligned::Misfits(misfits) => misfits,
        Unaligned::Error(error) => return error,
    };
    match (misfits.first(), origin) {
        (Some(first), Some(origin)) => {
            let error = misfits.into_error(0).map_frames(|frames| frames.retain(|frame| frame.what != "row"));
            origin.locate(error, first.row as u64)
        }
        // People count rows from 1.
        _ => misfits.into_error(rows + 1),
    }
}
