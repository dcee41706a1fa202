//! The steps of a transform: functions of columns by their place, with the rules of DataX's transformers.
//!
//! Each step is one loop over a typed array. A row for which one fails is left out and told, or ends the run; later steps
//! do not see it. What is a number or a moment becomes text by its first step that edits texts. Moments are read and shown
//! by the clock of the job's zone, or else that of DataX, GMT+8.

mod edit;
mod exec;
mod filter;
mod function;
mod pattern;
mod table;
mod text;
mod units;

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_empty_array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use crate::error::{Error, ErrorKind, Result};
use crate::flow::meter::Transformed;
use crate::job::{OnError, TransformStep};
use crate::plan::batchwise::{Batchwise, Failed, Left, Worked};
use crate::schema::{DATE_FORMATS, EMPTY_IS_NULL, INTEGERS, PERHAPS};
use edit::{Edited, Reason};
use filter::Sifted;
use function::Function;
use text::Clock;

pub use exec::StepsExec;
pub(super) use table::SteppedTable;

/// Steps over rows of one schema, ready to run.
#[derive(Debug)]
pub struct Steps {
    given: Vec<TransformStep>,
    zone: Option<String>,
    ready: Vec<Step>,
    schema: SchemaRef,
}

/// One of them.
#[derive(Debug)]
struct Step {
    name: String,
    column: usize,
    /// The column as the step gets it.
    field: FieldRef,
    function: Function,
    clock: Clock,
    /// The columns after it.
    schema: SchemaRef,
}

impl Steps {
    /// `steps` over rows of `schema`, by the clock of DataX.
    ///
    /// # Errors
    /// Those of [`Steps::by_clock`].
    pub fn try_new(steps: &[TransformStep], schema: &SchemaRef) -> Result<Self> {
        Self::by_clock(steps, schema, None)
    }

    /// `steps` over rows of `schema`, by the clock of `zone`; none is that of DataX.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for functions that are not there, columns out of range and patterns that cannot be
    /// matched, [`Unsupported`](ErrorKind::Unsupported) for columns without a text. Parameters that a function does not
    /// take are none: as in DataX each row fails for them.
    pub fn by_clock(steps: &[TransformStep], schema: &SchemaRef, zone: Option<&str>) -> Result<Self> {
        let clock = zone.map_or(Some(Clock::default()), Clock::of).ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("{:?} is no zone", zone.unwrap_or_default()))
                .with_hint("write it like +08:00")
        })?;
        let mut after = Arc::clone(schema);
        let mut ready = Vec::with_capacity(steps.len());
        for step in steps {
            let step = Step::try_new(step, &after, clock).map_err(|error| error.at("transformer", &step.function))?;
            after = Arc::clone(&step.schema);
            ready.push(step);
        }
        Ok(Self { given: steps.to_vec(), zone: zone.map(str::to_owned), ready, schema: after })
    }

    /// The steps as they were given.
    pub fn given(&self) -> &[TransformStep] {
        &self.given
    }

    /// The zone whose clock they go by, where one was given.
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// The columns after all steps.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows of `batch` that are left after all steps; those that fail are not.
    ///
    /// # Errors
    /// [`Resource`](ErrorKind::Resource) when texts of the batch become longer than 2 GB.
    pub fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        self.run(batch).map(|worked| worked.rows)
    }

    /// Names of the columns that steps look at.
    pub(super) fn examined(&self) -> impl Iterator<Item = &String> {
        self.ready.iter().map(|step| step.field.name())
    }

    /// Names of the columns that steps change.
    pub(super) fn changed(&self) -> impl Iterator<Item = &String> {
        let edits = self.ready.iter().filter(|step| matches!(step.function, Function::Edit(_)));
        edits.map(|step| step.field.name())
    }

    fn run(&self, batch: &RecordBatch) -> Result<Worked> {
        let mut left = Left::of(batch);
        let mut filtered = 0;
        for step in &self.ready {
            filtered += step.run(&mut left)?;
        }
        let rows = left.rows.clone();
        let (keep, refused) = left.settle(batch.num_rows());
        let failed = refused.len() as u64;
        let transformed = Transformed { succeeded: batch.num_rows() as u64 - failed, failed, filtered };
        Ok(Worked { rows, keep, refused, transformed })
    }
}

impl Batchwise for Steps {
    fn work(&self, batch: &RecordBatch, on_error: OnError) -> Result<Worked, Failed> {
        let mut worked = self.run(batch)?;
        if on_error == OnError::Fail && !worked.refused.is_empty() {
            let (row, error) = worked.refused.swap_remove(0);
            return Err(Failed { error, row: Some(row as u64) });
        }
        Ok(worked)
    }
}

impl Step {
    fn try_new(step: &TransformStep, schema: &SchemaRef, clock: Clock) -> Result<Self> {
        let function = Function::parse(step)?;
        let column = step.column_index;
        let Some(field) = schema.fields().get(column).map(Arc::clone) else {
            let message = format!("column {column} is out of range");
            let hint = format!("there are {} columns, and the first one is 0", schema.fields().len());
            return Err(Error::new(ErrorKind::Usage, message).with_hint(hint));
        };
        // Whether values of the type have a text does not depend on them.
        clock.texts(&new_empty_array(field.data_type()), &field).map_err(|error| error.at("column", field.name()))?;
        let schema = match &function {
            Function::Edit(_) => {
                let mut fields: Vec<FieldRef> = schema.fields().to_vec();
                fields[column] = Arc::new(text_of(&field));
                Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
            }
            Function::Filter(_) | Function::Refuse(_) => Arc::clone(schema),
        };
        Ok(Self { name: step.function.clone(), column, field, function, clock, schema })
    }

    /// Takes the step with the rows that are left; gives the number of those that it dropped.
    fn run(&self, left: &mut Left) -> Result<u64> {
        let rows = left.rows.num_rows();
        let array = left.rows.column(self.column);
        let (failed, dropped) = match &self.function {
            Function::Edit(edit) => {
                let Edited { texts, failed } = edit.run(&self.clock.texts(array, &self.field)?)?;
                left.rows = self.with(&left.rows, Arc::new(texts))?;
                (failed, BooleanBuffer::new_unset(rows))
            }
            Function::Filter(filter) => {
                let Sifted { dropped, failed } = filter.run(array, &self.field, self.clock)?;
                (failed, dropped)
            }
            Function::Refuse(reason) => ((0..rows).map(|row| (row, *reason)).collect(), BooleanBuffer::new_unset(rows)),
        };
        let failed = failed.into_iter().map(|(row, reason)| (row, self.error(reason))).collect();
        left.leave(failed, &dropped)?;
        Ok(dropped.count_set_bits() as u64)
    }

    /// `rows` with `array` in place of the step's column.
    fn with(&self, rows: &RecordBatch, array: ArrayRef) -> Result<RecordBatch> {
        let mut columns = rows.columns().to_vec();
        columns[self.column] = array;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    fn error(&self, reason: Reason) -> Error {
        Error::new(ErrorKind::Value, reason)
            .with_hint("rows for which a transformer fails are left out with --on-error skip")
            .at("column", self.field.name())
            .at("transformer", &self.name)
    }
}

/// `field` once a step has made a text of it: what the job says of texts is as true of this one. It is no number any more, and of any
/// length.
fn text_of(field: &Field) -> Field {
    let said = [DATE_FORMATS, EMPTY_IS_NULL, INTEGERS, PERHAPS].into_iter();
    let said = said.filter_map(|key| Some((key.to_owned(), field.metadata().get(key)?.clone())));
    Field::new(field.name(), DataType::Utf8, field.is_nullable()).with_metadata(said.collect())
}

/// Each step as a call.
impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (step, given)) in self.ready.iter().zip(&self.given).enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(f, "{comma}{}({}", step.name, step.field.name())?;
            given.parameters.iter().try_for_each(|parameter| write!(f, ", {parameter:?}"))?;
            f.write_str(")")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
