//! Work on the batches of an input, each for itself, on the processor pool.
//!
//! One job per batch, the order is kept, and one batch is worked on ahead, but none beside a long row. Rows that fail end the
//! stream, or are left out where the attempt has a basket for them.

use std::sync::Arc;

use arrow::array::{BooleanArray, BooleanBufferBuilder, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt as _, TryStreamExt as _};

use super::context::{Ends, basket, task_meter};
use super::error::to_datafusion;
use super::trail::{self, Origin};
use crate::bridge::ahead::ahead;
use crate::bridge::cpu;
use crate::error::Error;
use crate::flow::meter::{Transformed, Wait};
use crate::job::OnError;
use crate::reject::Stage;

/// What an operator does with a batch.
pub(super) trait Batchwise: Send + Sync + 'static {
    /// `batch` after the work; `on_error` says what the first row that fails does.
    fn work(&self, batch: &RecordBatch, on_error: OnError) -> Result<Worked, Failed>;
}

/// What became of a batch.
pub(super) struct Worked {
    pub(super) rows: RecordBatch,
    /// Which of the incoming rows they are; all of them without it.
    pub(super) keep: Option<BooleanArray>,
    /// The incoming rows that failed, ascending.
    pub(super) refused: Vec<(usize, Error)>,
    /// For the meter.
    pub(super) transformed: Transformed,
}

/// Why there is nothing, and in which incoming row.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: Error,
    pub(super) row: Option<u64>,
}

impl Failed {
    fn located(self, origin: Option<&Origin>, first_row: u64) -> Error {
        match (self.row, origin) {
            (None, _) => self.error,
            (Some(row), Some(origin)) => origin.locate(self.error, row),
            // People count from 1.
            (Some(row), None) => self.error.at("row", first_row + row + 1),
        }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, row: None }
    }
}

impl From<ArrowError> for Failed {
    fn from(error: ArrowError) -> Self {
        Error::from(error).into()
    }
}

/// What is left of a batch while rows are left out.
pub(super) struct Left {
    pub(super) rows: RecordBatch,
    /// Which of the incoming rows these are.
    places: Vec<usize>,
    /// The incoming rows that failed.
    refused: Vec<(usize, Error)>,
}

impl Left {
    /// All of `batch`.
    pub(super) fn of(batch: &RecordBatch) -> Self {
        Self { rows: batch.clone(), places: (0..batch.num_rows()).collect(), refused: Vec::new() }
    }

    /// Leaves out the rows that fail.
    pub(super) fn refuse(&mut self, failing: Vec<(usize, Error)>) -> Result<(), ArrowError> {
        self.leave(failing, &BooleanBuffer::new_unset(self.rows.num_rows()))
    }

    /// Leaves out the rows that fail and those that are dropped.
    pub(super) fn leave(&mut self, failing: Vec<(usize, Error)>, dropped: &BooleanBuffer) -> Result<(), ArrowError> {
        if failing.is_empty() && dropped.count_set_bits() == 0 {
            return Ok(());
        }
        let mut good = BooleanBufferBuilder::new(dropped.len());
        good.append_buffer(&!dropped);
        for (row, _) in &failing {
            good.set_bit(*row, false);
        }
        self.refused.extend(failing.into_iter().map(|(row, error)| (self.places[row], error)));
        self.keep(&BooleanArray::new(good.finish(), None))
    }

    /// Keeps these rows.
    pub(super) fn keep(&mut self, keep: &BooleanArray) -> Result<(), ArrowError> {
        self.rows = filter_record_batch(&self.rows, keep)?;
        let mut kept = keep.iter();
        self.places.retain(|_| kept.next().flatten() == Some(true));
        Ok(())
    }

    /// Which of the `count` incoming rows are left, and those that failed, ascending.
    pub(super) fn settle(mut self, count: usize) -> (Option<BooleanArray>, Vec<(usize, Error)>) {
        self.refused.sort_by_key(|(row, _)| *row);
        if self.places.len() == count {
            return (None, self.refused);
        }
        let mut kept = BooleanBufferBuilder::new(count);
        kept.append_n(count, false);
        self.places.iter().for_each(|place| kept.set_bit(*place, true));
        (Some(BooleanArray::new(kept.finish(), None)), self.refused)
    }
}

/// The batches of a partition of `input` after the `work`, without those that are empty.
pub(super) fn stream<W: Batchwise>(
    work: &Arc<W>,
    (input, partition): (&Arc<dyn ExecutionPlan>, usize),
    context: &Arc<TaskContext>,
    schema: SchemaRef,
) -> PlanResult<SendableRecordBatchStream> {
    let (upward, basket) = (trail::upward(context), basket(context));
    let (meter, ends) = (task_meter(context), Ends::of(context).ok());
    let (context, trail) = trail::follow(input, context);
    let input = input.execute(partition, context)?;
    let work = Arc::clone(work);
    let mut rows = 0u64;
    let is_long = move |batch: &PlanResult<RecordBatch>| ends.as_ref().is_some_and(|ends| ends.is_long(batch));
    let worked = ahead(input.boxed(), is_long, move |batch: PlanResult<RecordBatch>| {
        let first_row = rows;
        rows += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
        let origin = if batch.is_ok() { trail.as_ref().and_then(|trail| trail.pop()) } else { None };
        let (work, meter, basket) = (Arc::clone(&work), meter.clone(), basket.clone());
        async move {
            let batch = batch?;
            let waiting = meter.waiting(Wait::Transform);
            let on_error = if basket.is_some() { OnError::Skip } else { OnError::Fail };
            let worked = cpu::run({
                let batch = batch.clone();
                move || work.work(&batch, on_error)
            });
            let worked = worked.await.map_err(to_datafusion)?;
            drop(waiting);
            let Worked { rows, keep, refused, transformed } =
                worked.map_err(|failed| to_datafusion(failed.located(origin.as_ref(), first_row)))?;
            meter.transformed(transformed);
            if let Some(basket) = basket.filter(|_| !refused.is_empty()) {
                let rejects = trail::rejects(Stage::Transform, &batch, origin.as_ref(), refused);
                basket.add(rejects.map_err(to_datafusion)?).await.map_err(to_datafusion)?;
            }
            Ok::<_, DataFusionError>((rows, origin.map(|origin| origin.filtered(keep))))
        }
    });
    let full = worked.try_filter(|(batch, _)| std::future::ready(batch.num_rows() > 0));
    let stream = full.map_ok(move |(batch, origin)| {
        if let (Some(upward), Some(origin)) = (&upward, origin) {
            upward.push(origin);
        }
        batch
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use arrow::array::{ArrayRef, Int64Array};
    use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
    use futures::stream::iter;

    use super::super::context::with_extension;
    use super::*;
    use crate::flow::heavy::HeavyDoor;

    /// Four times a batch, and how often it was asked for.
    #[derive(Debug)]
    struct Counted {
        batch: RecordBatch,
        asked: Arc<AtomicUsize>,
    }

    impl PartitionStream for Counted {
        fn schema(&self) -> &SchemaRef {
            self.batch.schema_ref()
        }

        fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
            let asked = Arc::clone(&self.asked);
            let batches = iter(vec![self.batch.clone(); 4]).map(move |batch| {
                asked.fetch_add(1, Ordering::Relaxed);
                Ok(batch)
            });
            Box::pin(RecordBatchStreamAdapter::new(self.batch.schema(), batches))
        }
    }

    struct Same;

    impl Batchwise for Same {
        fn work(&self, batch: &RecordBatch, _: OnError) -> Result<Worked, Failed> {
            let transformed = Transformed::default();
            Ok(Worked { rows: batch.clone(), keep: None, refused: Vec::new(), transformed })
        }
    }

    #[tokio::test]
    async fn one_batch_is_asked_for_ahead_but_none_beside_a_long_row() {
        for (batch_bytes, expected) in [(1 << 20, 2), (1, 1)] {
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
            let batch = RecordBatch::try_from_iter([("a", numbers)]).unwrap();
            let (schema, asked) = (batch.schema(), Arc::<AtomicUsize>::default());
            let counted: Arc<dyn PartitionStream> = Arc::new(Counted { batch, asked: Arc::clone(&asked) });
            let input = StreamingTableExec::try_new(Arc::clone(&schema), vec![counted], None, [], false, None).unwrap();
            let input: Arc<dyn ExecutionPlan> = Arc::new(input);
            let ends = Ends { heavy: HeavyDoor::new(1 << 30, batch_bytes), ..Ends::default() };
            let context = with_extension(&TaskContext::default(), Arc::new(ends));
            let mut worked = stream(&Arc::new(Same), (&input, 0), &context, schema).unwrap();
            assert_eq!(worked.try_next().await.unwrap().unwrap().num_rows(), 10);
            assert_eq!(asked.load(Ordering::Relaxed), expected, "batches of {batch_bytes} bytes");
            assert_eq!(worked.try_collect::<Vec<_>>().await.unwrap().len(), 3);
        }
    }
}
