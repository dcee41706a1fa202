//! What a row-wise operator does with a batch, and with the rows of it that fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TreeNode as _};
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;

use crate::error::Error;
use crate::flow::meter::Transformed;
use crate::job::OnError;
use crate::plan::batchwise::{Batchwise, Failed, Left, Worked};
use crate::plan::error::from_datafusion;
use crate::plan::trail;
use crate::reject::is_of_row;

/// What is done with a batch.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) predicate: Option<Step>,
    /// Which columns outlive the filter: the projection's steps count these alone. All of them without one.
    pub(super) kept: Option<Vec<usize>>,
    pub(super) projection: Option<Vec<Step>>,
    pub(super) schema: SchemaRef,
}

/// One checked expression, with what an error says of it.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) expr: Arc<dyn PhysicalExpr>,
    pub(super) text: String,
    pub(super) option: Option<String>,
}

/// What became of a batch: the rows, and which of the incoming ones they are.
type Done = (RecordBatch, Option<BooleanArray>);

impl Batchwise for Work {
    fn work(&self, batch: &RecordBatch, on_error: OnError) -> Result<Worked, Failed> {
        let ((rows, keep), refused) = match on_error {
            OnError::Skip => self.sift(batch)?,
            OnError::Fail => (self.run(batch)?, Vec::new()),
        };
        Ok(Worked { rows, keep, refused, transformed: Transformed::default() })
    }
}

impl Work {
    /// The same, in which the filter copies only the columns that the projection looks at.
    pub(super) fn narrowed(mut self) -> Result<Self> {
        let (Some(_), Some(steps)) = (&self.predicate, &mut self.projection) else { return Ok(self) };
        let mut kept: Vec<usize> =
            steps.iter().flat_map(|step| collect_columns(&step.expr)).map(|column| column.index()).collect();
        kept.sort_unstable();
        kept.dedup();
        for step in steps {
            let place = |node: Arc<dyn PhysicalExpr>| {
                let Some(column) = node.downcast_ref::<Column>() else { return Ok(Transformed::no(node)) };
                let index = kept.binary_search(&column.index()).unwrap_or(column.index());
                Ok(Transformed::yes(Arc::new(Column::new(column.name(), index)) as Arc<dyn PhysicalExpr>))
            };
            step.expr = Arc::clone(&step.expr).transform_up(place)?.data;
        }
        self.kept = Some(kept);
        Ok(self)
    }

    fn run(&self, batch: &RecordBatch) -> Result<Done, Failed> {
        let Some(filter) = &self.predicate else { return Ok((self.project(batch, None)?, None)) };
        let keep = filter.keeps(batch).map_err(|error| filter.locate(batch, error, |row| row))?;
        let kept = filter_record_batch(&self.narrow(batch)?, &keep)?;
        Ok((self.project(&kept, Some(&keep))?, Some(keep)))
    }

    /// The columns that outlive the filter.
    fn narrow(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        self.kept.as_ref().map_or_else(|| Ok(batch.clone()), |columns| batch.project(columns))
    }

    fn project(&self, batch: &RecordBatch, keep: Option<&BooleanArray>) -> Result<RecordBatch, Failed> {
        let row_of = |row: u64| keep.map_or(row, |keep| trail::nth_kept(keep, row));
        self.columns(batch).map_err(|(step, error)| match step {
            Some(step) => step.locate(batch, error, row_of),
            None => Failed { error: from_datafusion(error), row: None },
        })
    }

    /// The computed columns. An error comes with the step that failed, if it was one.
    fn columns(&self, batch: &RecordBatch) -> Result<RecordBatch, (Option<&Step>, DataFusionError)> {
        let Some(steps) = &self.projection else { return Ok(batch.clone()) };
        let columns = steps.iter().map(|step| step.evaluate(batch).map_err(|error| (Some(step), error)));
        let columns = columns.collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| (None, error.into()))
    }

    /// As [`Work::run`], without the rows that fail, which come beside the others.
    fn sift(&self, batch: &RecordBatch) -> Result<(Done, Vec<(usize, Error)>), Failed> {
        if let Some(done) = self.unharmed(batch)? {
            return Ok((done, Vec::new()));
        }
        let mut left = Left::of(batch);
        if let Some(filter) = &self.predicate {
            left.refuse(filter.failing(&left.rows)?)?;
            let keep = filter.keeps(&left.rows).map_err(|error| Failed { error: from_datafusion(error), row: None })?;
            left.rows = self.narrow(&left.rows)?;
            left.keep(&keep)?;
        }
        let mut failing = BTreeMap::new();
        for step in self.projection.iter().flatten() {
            for (row, error) in step.failing(&left.rows)? {
                failing.entry(row).or_insert(error);
            }
        }
        left.refuse(failing.into_iter().collect())?;
        let rows = self.project(&left.rows, None)?;
        let (keep, refused) = left.settle(batch.num_rows());
        Ok(((rows, keep), refused))
    }

    /// The batch, if none of its rows fails.
    fn unharmed(&self, batch: &RecordBatch) -> Result<Option<Done>, Failed> {
        let keep = self.predicate.as_ref().map(|filter| filter.keeps(batch)).transpose();
        let Ok(keep) = keep else { return Ok(None) };
        let kept = match &keep {
            Some(keep) => filter_record_batch(&self.narrow(batch)?, keep)?,
            None => batch.clone(),
        };
        Ok(self.columns(&kept).ok().map(|rows| (rows, keep)))
    }
}

impl Step {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        self.expr.evaluate(batch)?.into_array(batch.num_rows())
    }

    /// Which rows satisfy the expression, a filter.
    fn keeps(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let keep = self.evaluate(batch)?;
        Ok(keep.as_boolean_opt().cloned().unwrap_or_else(|| BooleanArray::new_null(batch.num_rows())))
    }

    /// The rows of `batch` that fail, ascending: halves are cut in halves as long as they fail.
    fn failing(&self, batch: &RecordBatch) -> Result<Vec<(usize, Error)>, Failed> {
        let mut found = Vec::new();
        let mut parts = vec![(0, batch.num_rows())];
        while let Some((start, length)) = parts.pop() {
            let Err(error) = self.evaluate(&batch.slice(start, length)) else { continue };
            let error = from_datafusion(error);
            if !is_of_row(&error) {
                return Err(Failed { error: self.told(error), row: None });
            }
            if length == 1 {
                found.push((start, self.told(error)));
                continue;
            }
            let half = length / 2;
            parts.extend([(start + half, length - half), (start, half)]);
        }
        Ok(found)
    }

    /// `error` with the expression and the option that it stands in.
    fn told(&self, error: Error) -> Error {
        let error = error.at("expression", &self.text);
        match &self.option {
            Some(option) => error.at("option", option),
            None => error,
        }
    }

    /// `error` of `batch`, with the first row that gives one.
    fn locate(&self, batch: &RecordBatch, error: DataFusionError, row_of: impl Fn(u64) -> u64) -> Failed {
        let mut error = from_datafusion(error);
        let (mut start, mut length) = (0, batch.num_rows());
        let mut found = length == 1;
        while length > 1 {
            let half = length / 2;
            let first = self.evaluate(&batch.slice(start, half));
            let (next, rows) = match first {
                Err(error) => ((start, half), Some(error)),
                Ok(_) => match self.evaluate(&batch.slice(start + half, length - half)) {
                    Err(error) => ((start + half, length - half), Some(error)),
                    // Neither half fails alone: it is no matter of a row.
                    Ok(_) => ((start, 0), None),
                },
            };
            found = rows.is_some() && next.1 == 1;
            if let Some(rows) = rows {
                error = from_datafusion(rows);
            }
            (start, length) = next;
        }
        Failed { error: self.told(error), row: found.then(|| row_of(start as u64)) }
    }
}
