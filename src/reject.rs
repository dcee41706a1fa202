//! Rows that are left out of a copy, with their reasons.

use arrow::array::RecordBatch;
use async_trait::async_trait;
use parking_lot::Mutex;
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

/// How rejected rows stand in their file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RejectsFormat {
    /// With the columns of the source and the reason, in the format that the name of the file says.
    #[default]
    JsonLines,
    /// As `FlinkX` writes them: the row as JSON, the class of the error, its text as JSON and the time, with U+0001 between them.
    Flinkx,
}

/// What was wrong with a rejected row, in the words of `FlinkX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// NULL came where none may be.
    Null,
    /// Its key was there already.
    Duplicate,
    /// A value is none of its type, or does not fit.
    Conversion,
    /// Something else.
    Other,
}

impl Class {
    /// The class of `error`. As `FlinkX` does it, by what it says: the sentences are ours, or those of a server.
    pub fn of(error: &Error) -> Self {
        let message = error.message().to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if says(&["takes none", "takes no null", "null value in column", "not null constraint"]) {
            return Self::Null;
        }
        if says(&["has the same key", "its key is there", "its key came", "duplicate", "unique constraint"]) {
            return Self::Duplicate;
        }
        if is_of_row(error) { Self::Conversion } else { Self::Other }
    }

    /// Its name in `FlinkX`'s files of dirty rows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "npe",
            Self::Duplicate => "duplicate",
            Self::Conversion => "conversion",
            Self::Other => "other",
        }
    }
}

/// How many rows were rejected of each class. One that several targets refuse is there once for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Classes {
    /// [`Class::Null`].
    pub null: u64,
    /// [`Class::Duplicate`].
    pub duplicate: u64,
    /// [`Class::Conversion`].
    pub conversion: u64,
    /// [`Class::Other`].
    pub other: u64,
}

impl Classes {
    /// The number of a class.
    pub fn of(&mut self, class: Class) -> &mut u64 {
        match class {
            Class::Null => &mut self.null,
            Class::Duplicate => &mut self.duplicate,
            Class::Conversion => &mut self.conversion,
            Class::Other => &mut self.other,
        }
    }

    /// Each number of both by `change`.
    #[must_use]
    pub fn with(self, other: Self, change: fn(u64, u64) -> u64) -> Self {
        Self {
            null: change(self.null, other.null),
            duplicate: change(self.duplicate, other.duplicate),
            conversion: change(self.conversion, other.conversion),
            other: change(self.other, other.other),
        }
    }
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
        self.0.lock().push(rejects);
    }

    /// All that was put down since the last time.
    pub fn take(&self) -> Vec<Rejects> {
        std::mem::take(&mut *self.0.lock())
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

/// How many rows may be rejected. A file says `{"rows": N}`, `{"percent": P}`, or both.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Most", into = "Most")]
pub enum MaxErrors {
    /// So many rows.
    Rows(u64),
    /// So many of a hundred rows that are read. It is judged from [`MaxErrors::ENOUGH_ROWS`] rows on, and at the end.
    Percent(f64),
    /// Neither more rows nor a larger share.
    Both {
        /// So many rows.
        rows: u64,
        /// So many of a hundred.
        percent: f64,
    },
}

/// Rows by which a limit is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// How many were read.
    pub read: u64,
    /// How many of these were rejected.
    pub rejected: u64,
}

/// The other transfers that have one limit with this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// The rows of those before it, which have ended.
    pub before: Judged,
    /// Whether more of them follow: then all rows are not read at the end of this one.
    pub more_follow: bool,
}

impl Judged {
    /// These rows and `more`.
    #[must_use]
    pub fn and(self, more: Self) -> Self {
        Self { read: self.read + more.read, rejected: self.rejected + more.rejected }
    }
}

/// [`MaxErrors`] as files have it.
#[derive(Serialize, Deserialize)]
struct Most {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    percent: Option<f64>,
}

impl TryFrom<Most> for MaxErrors {
    type Error = &'static str;

    fn try_from(most: Most) -> Result<Self, Self::Error> {
        if most.percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
            return Err("'percent' lies between 0 and 100");
        }
        Self::of(most.rows, most.percent).ok_or("one of 'rows' and 'percent' is wanted here")
    }
}

impl From<MaxErrors> for Most {
    fn from(max: MaxErrors) -> Self {
        Self { rows: max.rows(), percent: max.percent() }
    }
}

impl MaxErrors {
    /// Of fewer rows a share says little while the run goes on.
    pub const ENOUGH_ROWS: u64 = 10_000;

    /// What holds where so many `rows` and so many of a hundred are set; none where neither is.
    pub fn of(rows: Option<u64>, percent: Option<f64>) -> Option<Self> {
        match (rows, percent) {
            (Some(rows), Some(percent)) => Some(Self::Both { rows, percent }),
            (Some(rows), None) => Some(Self::Rows(rows)),
            (None, Some(percent)) => Some(Self::Percent(percent)),
            (None, None) => None,
        }
    }

    /// The limit in rows.
    pub fn rows(self) -> Option<u64> {
        match self {
            Self::Rows(rows) | Self::Both { rows, .. } => Some(rows),
            Self::Percent(_) => None,
        }
    }

    /// The limit in rows of a hundred.
    pub fn percent(self) -> Option<f64> {
        match self {
            Self::Percent(percent) | Self::Both { percent, .. } => Some(percent),
            Self::Rows(_) => None,
        }
    }

    /// Which limit is exceeded by `rejected` of `read` rows, the one in rows first; `complete` when no others are to come.
    pub fn exceeded(self, rejected: u64, read: u64, complete: bool) -> Option<Self> {
        let rows = self.rows().filter(|most| rejected > *most).map(Self::Rows);
        let is_certain = complete || read >= Self::ENOUGH_ROWS;
        let share = |most: &f64| is_certain && rejected as f64 * 100.0 > most * read as f64;
        rows.or_else(|| self.percent().filter(share).map(Self::Percent))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Of two limits the one counts that is exceeded first, as FlinkX has it.
    #[test]
    fn of_two_limits_each_holds() {
        let both = MaxErrors::Both { rows: 10, percent: 1.0 };
        assert_eq!(both.exceeded(10, 1_000, true), None);
        assert_eq!(both.exceeded(11, 100_000, false), Some(MaxErrors::Rows(10)));
        assert_eq!(both.exceeded(2, 100, true), Some(MaxErrors::Percent(1.0)));
        assert_eq!(both.exceeded(2, 100, false), None, "of so few rows a share says nothing yet");
        assert_eq!(MaxErrors::Percent(1.0).exceeded(101, MaxErrors::ENOUGH_ROWS, false), Some(MaxErrors::Percent(1.0)));
    }

    #[test]
    fn a_file_says_one_limit_or_both() {
        let texts = [
            (MaxErrors::Rows(10), json!({"rows": 10})),
            (MaxErrors::Percent(0.5), json!({"percent": 0.5})),
            (MaxErrors::Both { rows: 10, percent: 0.5 }, json!({"rows": 10, "percent": 0.5})),
        ];
        for (max, told) in texts {
            assert_eq!(serde_json::to_value(max).unwrap(), told);
            assert_eq!(serde_json::from_value::<MaxErrors>(told).unwrap(), max);
        }
        for wrong in [json!({}), json!({"percent": 101}), json!({"rows": -1}), json!(5)] {
            assert!(serde_json::from_value::<MaxErrors>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn classes_are_told_by_what_is_said() {
        let class = |kind, message: &str| Class::of(&Error::new(kind, message));
        let (value, constraint) = (ErrorKind::Value, ErrorKind::Constraint);
        for message in [
            "NULL in a column that takes none",
            "the target refuses a row: the column takes no NULL",
            "null value in column \"a\" of relation \"t\" violates not-null constraint",
            "the target refuses a row: NOT NULL constraint failed: t.a",
        ] {
            assert_eq!(class(constraint, message), Class::Null, "{message}");
        }
        for message in [
            "another row has the same key",
            "the target refuses a row: its key is there already",
            "duplicate key value violates unique constraint \"t_pkey\"",
            "the target refuses a row: UNIQUE constraint failed: t.id",
            "the target refuses a row: its key came already",
        ] {
            assert_eq!(class(constraint, message), Class::Duplicate, "{message}");
        }
        assert_eq!(class(value, "the text is not a value of the target's type"), Class::Conversion);
        assert_eq!(class(ErrorKind::Corrupt, "the value is no bigint"), Class::Conversion);
        assert_eq!(class(constraint, "the row does not meet a check of the target"), Class::Other);
        assert_eq!(class(constraint, "the row that it refers to is not there"), Class::Other);
    }
}
