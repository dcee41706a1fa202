//! `WriteExec`: batches in, one receipt out per partition and target. It opens the writers, casts, writes and flushes.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::Result as PlanResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::future::try_join_all;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use crate::attempt::{Attempt, Token};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::board::TaskMeter;
use crate::flow::meter::Wait;
use crate::flow::reject::{Basket, RejectLog};
use crate::plan::context::{Ends, task_meter, with_extension};
use crate::plan::error::{from_datafusion, to_datafusion};
use crate::plan::intake;
use crate::plan::outlet::{Fitting, Outlet};
use crate::plan::rowwise::placed;
use crate::plan::settle::Pending;
use crate::plan::trail::{self, Origin, Trail};
use crate::plan::unary::{Operation, Unary};
use crate::proof::Verify;
use crate::reject::Stage;
use crate::runner::Task;
use crate::sink::{Agreement, Receipt};

static SCHEMA: LazyLock<SchemaRef> =
    LazyLock::new(|| Arc::new(Schema::new(vec![Field::new("receipt", DataType::Utf8, false)])));

/// What a [`WriteExec`] writes: plain data, without secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WriteSpec {
    /// Where it goes: every batch to each of them.
    pub targets: Vec<WriteTarget>,
    /// What arrives.
    pub payload: Payload,
    /// How much proof the receipts carry.
    pub verify: Verify,
    /// Options of the user that operators over several rows come from, for errors.
    pub options: Option<String>,
}

/// One target of a [`WriteExec`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WriteTarget {
    /// Name of the endpoint among the job's [`Ends`].
    pub endpoint: String,
    /// How rows land.
    pub agreement: Agreement,
    /// For whom.
    pub token: Token,
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
pub type WriteExec = Unary<Write>;

/// What a [`WriteExec`] does.
#[derive(Debug)]
pub struct Write {
    spec: Arc<WriteSpec>,
    tasks: Vec<Task>,
}

impl WriteExec {
    /// Writes partition `i` of `input` as `tasks[i]`.
    pub fn new(spec: Arc<WriteSpec>, tasks: Vec<Task>, input: Arc<dyn ExecutionPlan>) -> Self {
        Self::over(input, Write { spec, tasks })
    }

    /// What is written.
    pub fn spec(&self) -> &Arc<WriteSpec> {
        &self.operation.spec
    }

    /// One task per partition.
    pub fn tasks(&self) -> &[Task] {
        &self.operation.tasks
    }
}

/// The receipts in a batch that a [`WriteExec`] gave.
pub fn receipts(batch: &RecordBatch) -> Result<Vec<Receipt>> {
    let column = batch.column(0).as_any().downcast_ref::<StringArray>();
    let column = column.ok_or_else(|| Error::new(ErrorKind::Internal, "the plan gave no receipts"))?;
    column.iter().flatten().map(|json| serde_json::from_str(json).map_err(Error::from)).collect()
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<&str> = self.spec.targets.iter().map(|target| target.agreement.label.as_str()).collect();
        f.write_str(&labels.join(", "))
    }
}

impl Operation for Write {
    const NAME: &'static str = "WriteExec";
    const EMISSION: EmissionType = EmissionType::Final;

    fn schema(&self, _: &Arc<dyn ExecutionPlan>) -> SchemaRef {
        Arc::clone(&SCHEMA)
    }

    fn again(&self) -> Self {
        Self { spec: Arc::clone(&self.spec), tasks: self.tasks.clone() }
    }

    fn execute(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> PlanResult<SendableRecordBatchStream> {
        let task =
            self.tasks.get(partition).cloned().ok_or_else(|| {
                to_datafusion(Error::new(ErrorKind::Internal, "the plan has more partitions than tasks"))
            })?;
        let ends = Ends::of(&context).map_err(to_datafusion)?;
        let meter = task_meter(&context);
        let attempt =
            |target: &WriteTarget| Attempt::new(target.token.clone(), task.id, task.splits.clone()).of_rows(task.rows);
        let attempts: Vec<Attempt> = self.spec.targets.iter().map(attempt).collect();
        // What is rejected belongs to the receipts of all of them.
        let basket = |(log, first): (&Arc<RejectLog>, &Attempt)| Arc::new(log.basket(first).told_to(&ends.meter));
        let basket = ends.rejects.as_ref().zip(attempts.first()).map(basket);
        let context = match &basket {
            Some(basket) => with_extension(&context, Arc::clone(basket)),
            None => context,
        };
        let (context, trail) = trail::follow(input, &context);
        let input = input.execute(partition, context)?;
        let writing = Writing { spec: Arc::clone(&self.spec), attempts, ends, meter, trail, basket };
        let receipts = stream::once(async move { writing.run(input).await.map_err(to_datafusion) }).boxed();
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&SCHEMA), receipts)))
    }
}

/// One attempt of one task.
struct Writing {
    spec: Arc<WriteSpec>,
    /// One for each target.
    attempts: Vec<Attempt>,
    ends: Arc<Ends>,
    meter: TaskMeter,
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
    /// Writes to all targets at once, as fast as the slowest takes it.
    async fn run(self, mut input: SendableRecordBatchStream) -> Result<RecordBatch> {
        let targets = self.spec.targets.iter().zip(&self.attempts);
        let outlets =
            try_join_all(targets.map(|(target, attempt)| Outlet::open(target, attempt, &self.ends, self.spec.verify)));
        let opening = async {
            let _waiting = self.meter.starting(Wait::Writer);
            outlets.await
        };
        // The source is at work while the writers open.
        let (outlets, first) = futures::join!(opening, input.next());
        let mut outlets = outlets?;
        let input: SendableRecordBatchStream =
            Box::pin(RecordBatchStreamAdapter::new(input.schema(), stream::iter(first).chain(input)));
        let mut refused = match self.spec.payload {
            Payload::Columns => self.write_columns(input, &mut outlets).await?,
            Payload::Frames => self.write_frames(input, &mut outlets).await?,
        };
        let flushed = self.sent(try_join_all(outlets.iter_mut().map(Outlet::flush))).await?;
        let (mut receipts, settled): (Vec<Receipt>, Vec<_>) = flushed.into_iter().unzip();
        refused += self.leave_out(settled).await?;
        if let (Some(basket), Some(first)) = (&self.basket, receipts.first()) {
            let places = outlets.into_iter().zip(&self.attempts);
            let places = places.filter_map(|(outlet, attempt)| Some((attempt.id.clone(), outlet.into_places()?)));
            // What was refused on the way is missing in every target.
            let before = basket.seal(first, places.collect()).await? - refused;
            for receipt in &mut receipts {
                receipt.rejected += before;
            }
        }
        let json = receipts.iter().map(serde_json::to_string).collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&SCHEMA), vec![Arc::new(StringArray::from(json))])?)
    }

    /// How many rows did not fit some target.
    async fn write_columns(&self, mut input: SendableRecordBatchStream, outlets: &mut [Outlet<'_>]) -> Result<u64> {
        let schema = input.schema();
        outlets.iter_mut().try_for_each(|outlet| outlet.expect(&schema))?;
        let mut refused = 0;
        while let Some(batch) = self.received(&mut input).await? {
            let waiting = self.meter.waiting(Wait::Transform);
            let origin = self.origin();
            let fitting = match &self.basket {
                None => try_join_all(outlets.iter_mut().map(|outlet| outlet.align(&batch, origin.as_ref()))).await?,
                Some(basket) => {
                    let sifting = outlets.iter_mut().map(|outlet| outlet.sift(&batch, origin.as_ref()));
                    let mut sifted = try_join_all(sifting).await?;
                    refused += self.set_aside(basket, (&batch, origin.as_ref()), &mut sifted).await?;
                    sifted
                }
            };
            drop(waiting);
            let count = fitting.iter().map(Fitting::count).max().unwrap_or(0);
            self.sent(try_join_all(outlets.iter_mut().zip(fitting).map(|(outlet, rows)| outlet.write(rows)))).await?;
            let mut settled = Vec::new();
            for outlet in outlets.iter_mut() {
                settled.push(outlet.settle().await?);
            }
            refused += self.leave_out(settled).await?;
            self.meter.wrote(count);
        }
        Ok(refused)
    }

    /// Puts the rows aside that each target has refused after they were written. How many these are.
    async fn leave_out(&self, settled: Vec<Vec<Pending>>) -> Result<u64> {
        let Some(basket) = &self.basket else { return Ok(0) };
        let mut count = 0;
        for (target, settled) in self.spec.targets.iter().zip(settled) {
            for Pending { batch, origin, refused } in settled {
                let named = refused.into_iter().map(|(row, error)| (row, self.named(target, error)));
                let rejects = trail::rejects(Stage::Write, &batch, origin.as_ref(), named.collect())?;
                count += rejects.count;
                basket.add(rejects).await?;
            }
        }
        Ok(count)
    }

    /// `error` of `target`, which is named where there are several.
    fn named(&self, target: &WriteTarget, error: Error) -> Error {
        if self.spec.targets.len() > 1 { error.at("target", &target.agreement.label) } else { error }
    }

    /// Puts the rows of `batch` that do not fit into `basket`: one that several targets refuse once for each. How many rows
    /// these are.
    async fn set_aside(
        &self,
        basket: &Basket,
        (batch, origin): (&RecordBatch, Option<&Origin>),
        sifted: &mut [Fitting],
    ) -> Result<u64> {
        let mut refused: Vec<(usize, Error)> = Vec::new();
        for (target, fitting) in self.spec.targets.iter().zip(sifted) {
            let misfits = std::mem::take(&mut fitting.misfits).into_iter();
            refused.extend(misfits.map(|misfit| (misfit.row, self.named(target, misfit.into_error("")))));
        }
        if refused.is_empty() {
            return Ok(0);
        }
        refused.sort_by_key(|(row, _)| *row);
        let rejects = trail::rejects(Stage::Write, batch, origin, refused)?;
        let count = rejects.count;
        basket.add(rejects).await?;
        Ok(count)
    }

    async fn write_frames(&self, mut input: SendableRecordBatchStream, outlets: &mut [Outlet<'_>]) -> Result<u64> {
        while let Some(batch) = self.received(&mut input).await? {
            let frame = intake::frame(&batch);
            let (bytes, count) = frame.ok_or_else(|| Error::new(ErrorKind::Internal, "the plan gave no frames"))?;
            let origin = self.origin();
            let writing = outlets.iter_mut().map(|outlet| outlet.write_raw(bytes.clone(), count, origin.clone()));
            self.sent(try_join_all(writing)).await?;
            self.meter.wrote(count);
        }
        Ok(0)
    }

    async fn received(&self, input: &mut SendableRecordBatchStream) -> Result<Option<RecordBatch>> {
        input.try_next().await.map_err(|error| placed(from_datafusion(error), self.spec.options.as_deref()))
    }

    /// Where the rows of the batch that was just received come from.
    fn origin(&self) -> Option<Origin> {
        self.trail.as_ref().and_then(|trail| trail.pop())
    }

    /// Awaits the writers, and counts the time as waiting for them.
    async fn sent<T>(&self, writing: impl Future<Output = Result<T>>) -> Result<T> {
        let _waiting = self.meter.waiting(Wait::Writer);
        writing.await
    }
}
