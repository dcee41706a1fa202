//! Rows that are left out of a copy, with their reasons.

use std::sync::{Mutex, PoisonError};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// The column of a rejects file that says why a row is in it. A name that no other column may have; readers leave it out.
pub const REJECT: &str = "__reject";

/// Where a row was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The source could not decode it.
    Read,
    /// An expression failed for it.
    Transform,
    /// A value of it does not fit the target.
    Write,
}

impl Stage {
    /// Its name in rejects files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Transform => "transform",
            Self::Write => "write",
        }
    }
}

/// Rows that were refused together. They have their order in the source where the source gives them.
#[derive(Debug)]
pub struct Rejects {
    /// Where.
    pub stage: Stage,
    /// The rows as they came, with the columns that the copy reads; NULL in all of them where a record has none.
    pub rows: RecordBatch,
    /// One per row: the text of a record that is no row of columns.
    pub records: Vec<Option<String>>,
    /// One per row: why, without cell values. Its frames say where: column, line or row, file, target.
    pub errors: Vec<Error>,
    /// How many rows they are: one that several targets refuse is there once for each.
    pub count: u64,
}

impl Rejects {
    /// `rows` that were refused with `errors` at `stage`.
    pub fn new(stage: Stage, rows: RecordBatch, errors: Vec<Error>) -> Self {
        debug_assert_eq!(rows.num_rows(), errors.len());
        Self { stage, records: vec![None; errors.len()], rows, count: errors.len() as u64, errors }
    }
}

/// Whether `error` is the matter of one row, which may be left out.
pub fn is_of_row(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Value | ErrorKind::Corrupt)
}

/// What becomes of rows that the target itself refuses: by a constraint, a trigger, or because it cannot read a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Refusals {
    /// The first fails the copy.
    #[default]
    Fail,
    /// They are left out and told.
    LeftOut,
}

/// A row that the target refused while it was written.
#[derive(Debug)]
pub struct Refusal {
    /// Its place among the rows of the attempt, from 0.
    pub row: u64,
    /// Why, without cell values and without its place.
    pub error: Error,
}

/// How far a target is with the rows of an attempt.
#[derive(Debug)]
pub struct Settled {
    /// What becomes of so many of them, from the first on, is decided.
    pub rows: u64,
    /// Those of them that were refused since it was asked the last time, in their order.
    pub refused: Vec<Refusal>,
}

/// Rows that were staged and that the target refuses.
#[derive(Debug)]
pub struct Refused {
    /// The rows as they were staged, under the names of the target.
    pub rows: RecordBatch,
    /// One per row: id of its attempt and place among the rows of that, from 0; none where the stage does not know it.
    pub places: Vec<Option<(String, u64)>>,
    /// One per row: why. Frames `column` and `constraint` name what refuses it.
    pub errors: Vec<Error>,
}

/// Takes rows that a target refuses.
#[async_trait]
pub trait Refuse: Send + Sync {
    /// Takes some of them.
    ///
    /// # Errors
    /// [`Value`](ErrorKind::Value) when these are too many for the job.
    async fn refuse(&self, refused: Refused) -> Result<()>;
}

/// Where a source puts the rows that it refuses, until the reader of its batches takes them.
#[derive(Debug, Default)]
pub struct Tray(Mutex<Vec<Rejects>>);

impl Tray {
    /// Puts `rejects` down. It goes with the batch that the stream gives next.
    pub fn put(&self, rejects: Rejects) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(rejects);
    }

    /// All that was put down since the last time.
    pub fn take(&self) -> Vec<Rejects> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A batch, and the rows that were left out of it.
pub type Sifted = (RecordBatch, Option<Rejects>);

/// The batch, whose rejects are put into `tray`. Without one the first of them is an error.
pub fn set_aside(tray: Option<&Tray>, (batch, rejects): Sifted) -> Result<RecordBatch> {
    match (tray, rejects) {
        (_, None) => Ok(batch),
        (Some(tray), Some(rejects)) => {
            tray.put(rejects);
            Ok(batch)
        }
        (None, Some(rejects)) => rejects.errors.into_iter().next().map_or(Ok(batch), Err),
    }
}

/// How many rows may be rejected.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MaxErrors {
    /// So many rows.
    Rows(u64),
    /// So many of a hundred rows that are read. It is judged from [`MaxErrors::ENOUGH_ROWS`] rows on, and at the end.
    Percent(f64),
}

impl MaxErrors {
    /// Of fewer rows a share says little while the run goes on.
    pub const ENOUGH_ROWS: u64 = 10_000;

    /// Whether `rejected` of `read` rows are too many.
    pub fn exceeded(self, rejected: u64, read: u64) -> bool {
        match self {
            Self::Rows(most) => rejected > most,
            Self::Percent(most) => rejected as f64 * 100.0 > most * read as f64,
        }
    }

    /// Whether that can be said when so many rows are read and others are still to come.
    pub fn is_certain(self, read: u64) -> bool {
        matches!(self, Self::Rows(_)) || read >= Self::ENOUGH_ROWS
    }
}
