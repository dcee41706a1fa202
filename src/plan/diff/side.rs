//! One side of a comparison: its rows read, encoded, and either counted in buckets or sorted by key.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::error::Result as PlanResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties as _, Partitioning};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::task::JoinSet;

use super::Side;
use super::columns::Columns;
use super::encode::{Codec, Encoder, SCHEMA, parts};
use crate::bridge::ahead::ahead;
use crate::bridge::cpu;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::flow::digest::{BucketSet, Buckets};
use crate::plan::context::Ends;
use crate::plan::error::{from_datafusion, to_datafusion};

/// One of the two sources, planned.
#[derive(Clone, Debug)]
pub struct Rows {
    side: Side,
    root: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    encoder: Arc<Encoder>,
}

impl Rows {
    /// The rows of `root`, which gives `columns` in their order and runs in `context`.
    ///
    /// # Errors
    /// [`Schema`](ErrorKind::Schema) where a column has no way to what it is compared as.
    pub fn new(
        side: Side,
        root: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        (codec, columns): (&Arc<Codec>, &Columns),
    ) -> Result<Self> {
        let encoder = Arc::new(Encoder::new(Arc::clone(codec), columns, side)?);
        Ok(Self { side, root, context, encoder })
    }

    /// Reads all rows and counts them in buckets.
    pub async fn buckets(&self) -> Result<Buckets> {
        let mut running = JoinSet::new();
        for partition in 0..self.root.output_partitioning().partition_count() {
            running.spawn(self.clone().buckets_of(partition));
        }
        let mut all = Buckets::default();
        while let Some(done) = running.join_next().await {
            let done = done.map_err(|death| {
                Error::new(ErrorKind::Internal, "counting rows failed in an unforeseen way").with_source(death)
            })?;
            all.merge(&done.at("side", || self.side)?);
        }
        Ok(all)
    }

    async fn buckets_of(self, partition: usize) -> Result<Buckets> {
        let mut batches = self.root.execute(partition, Arc::clone(&self.context)).map_err(from_datafusion)?;
        let mut buckets = Buckets::default();
        while let Some(batch) = batches.try_next().await.map_err(from_datafusion)? {
            let encoder = Arc::clone(&self.encoder);
            buckets = cpu::run(move || {
                let encoded = encoder.encode(&batch)?;
                let (keys, rows) = parts(&encoded);
                buckets.add(keys, rows);
                Ok::<_, Error>(buckets)
            })
            .await??;
        }
        Ok(buckets)
    }

    /// A plan of the rows in the buckets of `wanted`, all without one, in `partitions` by the hash of the key and in its
    /// order. Both sides deal their keys alike.
    pub fn sorted(&self, wanted: Option<&Arc<BucketSet>>, partitions: usize) -> Result<Arc<dyn ExecutionPlan>> {
        let encoded = (0..self.root.output_partitioning().partition_count()).map(|partition| {
            Arc::new(Encoded { rows: self.clone(), partition, wanted: wanted.cloned() }) as Arc<dyn PartitionStream>
        });
        let sorted = || {
            let streams = StreamingTableExec::try_new(Arc::clone(&SCHEMA), encoded.collect(), None, [], false, None)?;
            let key: Arc<dyn PhysicalExpr> = Arc::new(Column::new("key", 0));
            let dealt = Partitioning::Hash(vec![Arc::clone(&key)], partitions);
            let dealt = RepartitionExec::try_new(Arc::new(streams), dealt)?;
            let by_key = LexOrdering::from([PhysicalSortExpr::new_default(key)]);
            Ok(SortExec::new(by_key, Arc::new(dealt)).with_preserve_partitioning(true))
        };
        Ok(Arc::new(sorted().map_err(from_datafusion)?))
    }

    /// Which of the two it is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Where its plans run.
    pub fn context(&self) -> &Arc<TaskContext> {
        &self.context
    }
}

/// The encoded rows of one partition.
#[derive(Debug)]
struct Encoded {
    rows: Rows,
    partition: usize,
    wanted: Option<Arc<BucketSet>>,
}

impl PartitionStream for Encoded {
    fn schema(&self) -> &SchemaRef {
        &SCHEMA
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let ends = Ends::of(&context).ok();
        let is_long = move |batch: &PlanResult<RecordBatch>| ends.as_ref().is_some_and(|ends| ends.is_long(batch));
        let batches = match self.rows.root.execute(self.partition, context) {
            Ok(batches) => batches.boxed(),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        };
        let (encoder, wanted) = (Arc::clone(&self.rows.encoder), self.wanted.clone());
        let encoded = ahead(batches, is_long, move |batch: PlanResult<RecordBatch>| {
            let (encoder, wanted) = (Arc::clone(&encoder), wanted.clone());
            async move {
                let batch = batch?;
                let encoded = cpu::run(move || encode(&encoder, &batch, wanted.as_deref())).await.flatten();
                encoded.map_err(to_datafusion)
            }
        });
        let full = encoded.try_filter(|batch| std::future::ready(batch.num_rows() > 0));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&SCHEMA), full))
    }
}

fn encode(encoder: &Encoder, batch: &RecordBatch, wanted: Option<&BucketSet>) -> Result<RecordBatch> {
    let encoded = encoder.encode(batch)?;
    let Some(wanted) = wanted else { return Ok(encoded) };
    let held = wanted.holds(parts(&encoded).0);
    Ok(filter_record_batch(&encoded, &BooleanArray::new(held, None))?)
}
