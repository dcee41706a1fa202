//! The engine's cast of a batch to what a sink agreed to take: same values, the target's types and names.
//!
//! One kernel per column, chosen at plan time by the two types, works on whole arrays. No cast kernel of Arrow is
//! trusted with a value: each kernel tells which rows would change, and those are [`Misfits`], never results. What
//! [`fate`](crate::fate) calls impossible is refused in [`Aligner::new`]. Columns that are alike are not copied. In columns in
//! which the job allows loss, values are brought to the nearest that fits, and what is beyond the range is a misfit still.

mod bytes;
mod clock;
mod exact;
mod float;
mod json;
mod kernel;
mod misfit;
mod nearest;
mod nested;
mod number;
mod temporal;
mod text;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, BooleanBufferBuilder, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, SchemaRef};

use crate::error::{Error, ErrorKind, Result};
use crate::fate::remedy;
use crate::schema::FORM;
use crate::sink::{ColumnFate, ColumnPlan};

use kernel::lossy_kernel;
pub(crate) use kernel::{Kernel, kernel};
pub use misfit::{ColumnMisfits, Misfit, Misfits, Reason, Unaligned};

/// Casts batches of one schema to another. Cheap to share; knows nothing of tasks and rows before its batch.
pub struct Aligner {
    target: SchemaRef,
    columns: Vec<Column>,
}

struct Column {
    /// Position in the incoming batch.
    source: usize,
    /// Name in the target, for messages.
    name: String,
    kernel: Kernel,
}

impl Aligner {
    /// Plans one cast per field of `target`; `columns` says which incoming column fills it.
    ///
    /// # Errors
    /// [`Schema`](ErrorKind::Schema) when a target column has no incoming one or no cast leads to its type.
    pub fn new(incoming: &SchemaRef, target: &SchemaRef, columns: &[ColumnPlan]) -> Result<Self> {
        let plan = |field: &Field| {
            let plan = columns.iter().find(|plan| plan.target.as_ref() == Some(field.name()));
            let Some((plan, name)) = plan.and_then(|plan| Some((plan, plan.incoming.as_ref()?))) else {
                let message = "nothing fills this column of the target";
                return Err(Error::new(ErrorKind::Schema, message).at("column", field.name()));
            };
            let Some((source, from)) = incoming.column_with_name(name) else {
                let message = "this column is not among those that are read";
                return Err(Error::new(ErrorKind::Internal, message).at("column", name));
            };
            let kernel = column_kernel(from, field, plan.fate)?;
            Ok(Column { source, name: field.name().clone(), kernel })
        };
        let columns = target.fields().iter().map(|field| plan(field)).collect::<Result<_>>()?;
        Ok(Self { target: Arc::clone(target), columns })
    }

    /// The schema of the results.
    pub fn target(&self) -> &SchemaRef {
        &self.target
    }

    /// `batch` in the target's types.
    ///
    /// # Errors
    /// [`Unaligned::Misfits`] names every row that has a value which would change, in every column;
    /// [`Unaligned::Error`] is any other failure.
    pub fn align(&self, batch: &RecordBatch) -> Result<RecordBatch, Unaligned> {
        let mut misfits = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let array = batch.columns().get(column.source).ok_or_else(|| {
                Unaligned::Error(Error::new(ErrorKind::Internal, "a batch lacks a column").at("column", &column.name))
            })?;
            let cast = column.kernel.run(array).map_err(|error| Unaligned::Error(error.at("column", &column.name)))?;
            if let Some((rows, reason)) = cast.misfits {
                misfits.push(ColumnMisfits { column: column.name.clone(), rows, reason });
            }
            arrays.push(cast.array);
        }
        if !misfits.is_empty() {
            return Err(Unaligned::Misfits(Misfits::new(misfits)));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.target), arrays, &options)
            .map_err(|error| Unaligned::Error(Error::from(error)))
    }
}

/// The rows of a batch that fit, and those that do not.
#[derive(Debug)]
pub struct Sifted {
    /// The rows that fit, in the target's types.
    pub fitting: RecordBatch,
    /// Which of the incoming rows these are; none where all are.
    pub kept: Option<BooleanArray>,
    /// The other incoming rows, ascending, each with its first misfit.
    pub misfits: Vec<Misfit>,
}

impl Aligner {
    /// `batch` in the target's types, without the rows that have a value which would change.
    ///
    /// # Errors
    /// Those that are no matter of a row.
    pub fn sift(&self, batch: &RecordBatch) -> Result<Sifted> {
        let mut kept = BooleanBuffer::new_set(batch.num_rows());
        let mut misfits = Vec::new();
        let mut left = batch.clone();
        // A cast in several steps may judge the last of them only where the others found nothing.
        loop {
            let found = match self.align(&left) {
                Ok(fitting) => {
                    misfits.sort_by_key(|misfit: &Misfit| misfit.row);
                    let kept = (!misfits.is_empty()).then(|| BooleanArray::new(kept, None));
                    return Ok(Sifted { fitting, kept, misfits });
                }
                Err(Unaligned::Error(error)) => return Err(error),
                Err(Unaligned::Misfits(found)) => found,
            };
            let places: Vec<usize> = kept.set_indices().collect();
            misfits.extend(found.each().map(|misfit| Misfit { row: places[misfit.row], ..misfit }));
            left = filter_record_batch(&left, &BooleanArray::new(!&found.rows(), None))?;
            let mut still = BooleanBufferBuilder::new(batch.num_rows());
            still.append_buffer(&kept);
            found.rows().set_indices().for_each(|row| still.set_bit(places[row], false));
            kept = still.finish();
        }
    }
}

impl fmt::Debug for Aligner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let casts: Vec<&str> =
            self.columns.iter().filter(|column| !column.kernel.is_same()).map(|column| column.name.as_str()).collect();
        f.debug_struct("Aligner").field("target", &self.target).field("casts", &casts).finish_non_exhaustive()
    }
}

fn column_kernel(from: &Field, to: &Field, fate: ColumnFate) -> Result<Kernel> {
    let found = if fate == ColumnFate::LossAllowed { lossy_kernel(from, to) } else { kernel(from, to) };
    if let Some(kernel) = found {
        return Ok(kernel);
    }
    let native = from.metadata().contains_key(FORM) || to.metadata().contains_key(FORM);
    let error = if native {
        Error::new(ErrorKind::Schema, "the native form of a value can only be passed on as it is")
    } else {
        let message = format!("no cast leads from {} to {}", from.data_type(), to.data_type());
        Error::new(ErrorKind::Schema, message).with_hint(remedy(from, to))
    };
    Err(error.at("column", to.name()))
}
