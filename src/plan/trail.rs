//! Which rows of which split a batch holds, so that an error can name a row by its place in the source.
//!
//! A trail runs beside a stream of batches: the operator below notes the origin of each batch as it hands the batch up, the
//! one above takes it down as it gets the batch. That is only right where batches come up one by one and in order:
//! [`follow`] makes no trail over operators that mix or cut them.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array as _, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::limit::GlobalLimitExec;
use parking_lot::Mutex;

use crate::error::{Error, Frame, Result};
use crate::flow::reject::Places;
use crate::plan::context::with_extension;
use crate::reject::{Rejects, Stage};
use crate::source::Split;

/// Operators that hand up each batch, or a part of it, before they take the next one.
const KEEP_BATCHES: [&str; 7] = [
    "RowwiseExec",
    "StepsExec",
    "ProjectionExec",
    "CooperativeExec",
    "GatherExec",
    "GlobalLimitExec",
    "LocalLimitExec",
];

/// Batches whose origin a writer remembers: servers refuse a row some batches after it was sent.
const REMEMBERED: usize = 64;

/// Where the rows of one batch come from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    split: Arc<str>,
    /// Place of the batch's row 0 in the split, from 0.
    first_row: u64,
    /// The filters that its rows passed, the first one first.
    kept: Vec<BooleanArray>,
    /// The batch itself as the source gave it, where rows may be rejected.
    batch: Option<RecordBatch>,
}

impl Origin {
    /// Rows of `split` from `first_row` on.
    pub(super) fn new(split: &Arc<str>, first_row: u64) -> Self {
        Self { split: Arc::clone(split), first_row, kept: Vec::new(), batch: None }
    }

    /// The same, with the rows themselves.
    #[must_use]
    pub(super) fn with_batch(self, batch: Option<RecordBatch>) -> Self {
        Self { batch, ..self }
    }

    /// Places of `rows` of the batch among the rows that the source gave in it.
    fn places(&self, mut rows: Vec<usize>) -> Vec<usize> {
        for keep in self.kept.iter().rev() {
            let kept: Vec<usize> = keep.values().set_indices().filter(|row| keep.is_valid(*row)).collect();
            for row in &mut rows {
                *row = kept[*row];
            }
        }
        rows
    }

    fn of_split(&self, error: Error) -> Error {
        if self.split.is_empty() { error } else { error.at("split", &self.split) }
    }

    /// The rows among them that `keep` keeps.
    #[must_use]
    pub(super) fn filtered(mut self, keep: Option<BooleanArray>) -> Self {
        self.kept.extend(keep);
        self
    }

    /// Place in its split, from 1, of row `row` of the batch.
    fn row(&self, row: u64) -> u64 {
        self.first_row + 1 + self.kept.iter().rev().fold(row, |row, keep| nth_kept(keep, row))
    }

    /// `error` of row `row` of the batch.
    pub(super) fn locate(&self, error: Error, row: u64) -> Error {
        self.of_split(error.at("row", self.row(row)))
    }
}

/// The `refused` rows of `batch`, ascending, as they were when they came from the source, where `origin` knows that.
pub(super) fn rejects(
    stage: Stage,
    batch: &RecordBatch,
    origin: Option<&Origin>,
    refused: Vec<(usize, Error)>,
) -> Result<Rejects> {
    let (mut rows, mut errors): (Vec<usize>, Vec<Error>) = refused.into_iter().unzip();
    let mut batch = batch;
    let count = rows.chunk_by(|one, next| one == next).count() as u64;
    if let Some(origin) = origin {
        let places = origin.places(rows.clone());
        let at =
            |(place, error): (&usize, Error)| origin.of_split(error.at("row", origin.first_row + 1 + *place as u64));
        errors = places.iter().zip(errors).map(at).collect();
        if let Some(source) = &origin.batch {
            (batch, rows) = (source, places);
        }
    }
    let rows = UInt64Array::from_iter_values(rows.into_iter().map(|row| row as u64));
    Ok(Rejects { count, ..Rejects::new(stage, take_record_batch(batch, &rows)?, errors) })
}

/// How messages name a split; empty for the first one where its source has no word for it: rows count from there anyway.
pub(super) fn name_of(split: &Split) -> Arc<str> {
    match &split.place {
        Some(place) => format!("{} ({place})", split.id).into(),
        None if split.id == 0 => "".into(),
        None => split.id.to_string().into(),
    }
}

/// Where the row with number `row` among those that are kept stands among all.
pub(super) fn nth_kept(keep: &BooleanArray, row: u64) -> u64 {
    let kept = (0..keep.len()).filter(|row| keep.is_valid(*row) && keep.value(*row));
    kept.map(|row| row as u64).nth(row as usize).unwrap_or(row)
}

/// `error` with the split beside the row that it names; without a row or line, with the split alone.
pub(super) fn name_split(error: Error, split: &str) -> Error {
    let counted = |frame: &Frame| matches!(&*frame.what, "row" | "line");
    if split.is_empty() || error.frames().iter().any(|frame| frame.what == "line") {
        return error;
    }
    if !error.frames().iter().any(counted) {
        return error.at("split", split);
    }
    error.map_frames(|frames| insert_split(frames, split))
}

fn insert_split(frames: &mut Vec<Frame>, split: &str) {
    let Some(row) = frames.iter().position(|frame| frame.what == "row") else { return };
    frames.insert(row + 1, Frame { what: "split".into(), which: split.to_owned() });
}

/// The origins of the batches that are under way between two operators.
#[derive(Debug, Default)]
pub(super) struct Trail(Mutex<VecDeque<Origin>>);

impl Trail {
    pub(super) fn push(&self, origin: Origin) {
        self.0.lock().push_back(origin);
    }

    /// The origin of the batch that was just received.
    pub(super) fn pop(&self) -> Option<Origin> {
        self.0.lock().pop_front()
    }
}

/// The trail that the operator above wants to be kept, in the context of a task.
#[derive(Debug)]
struct Upward(Option<Arc<Trail>>);

/// The trail that the operator above wants to be kept.
pub(super) fn upward(context: &TaskContext) -> Option<Arc<Trail>> {
    context.session_config().get_extension::<Upward>().and_then(|upward| upward.0.clone())
}

/// The context in which `input` keeps a trail for the operator that calls, and that trail; none where batches lose
/// their origin on the way.
pub(super) fn follow(
    input: &Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
) -> (Arc<TaskContext>, Option<Arc<Trail>>) {
    let trail = keeps_batches(input).then(Arc::<Trail>::default);
    (with_extension(context, Arc::new(Upward(trail.clone()))), trail)
}

fn keeps_batches(node: &Arc<dyn ExecutionPlan>) -> bool {
    if node.name() == "ReadExec" {
        return true;
    }
    let skips = node.downcast_ref::<GlobalLimitExec>().is_some_and(|limit| limit.skip() > 0);
    match node.children().as_slice() {
        [child] => !skips && KEEP_BATCHES.contains(&node.name()) && keeps_batches(child),
        _ => false,
    }
}

/// Where the rows that a writer got come from. It counts them from the begin of its task.
#[derive(Debug, Default)]
pub(super) struct Written {
    rows: u64,
    batches: VecDeque<(std::ops::Range<u64>, Origin)>,
    /// Whether all batches are remembered: a bit for each row behind a filter, else next to nothing.
    complete: bool,
}

impl Written {
    /// Remembers all batches.
    pub(super) fn complete() -> Self {
        Self { complete: true, ..Self::default() }
    }

    /// What names the places of its rows; none where it has forgotten some.
    pub(super) fn into_places(self) -> Option<Places> {
        self.complete.then(|| Box::new(move |row, error| self.place(row, error)) as Places)
    }

    /// `error` of row `row` of the task, from 0.
    fn place(&self, row: u64, error: Error) -> Error {
        let at = self.batches.partition_point(|(rows, _)| rows.end <= row);
        match self.batches.get(at).filter(|(rows, _)| rows.contains(&row)) {
            Some((rows, origin)) => origin.locate(error, row - rows.start),
            None => error,
        }
    }

    /// Notes the next batch.
    pub(super) fn add(&mut self, rows: u64, origin: Option<Origin>) {
        let range = self.rows..self.rows + rows;
        self.rows = range.end;
        let Some(origin) = origin.map(|origin| origin.with_batch(None)) else { return };
        if let Some((last, known)) = self.batches.back_mut()
            && known.split == origin.split
            && known.kept.is_empty()
            && origin.kept.is_empty()
            && known.first_row + (last.end - last.start) == origin.first_row
            && last.end == range.start
        {
            last.end = range.end;
            return;
        }
        if self.batches.len() == REMEMBERED && !self.complete {
            self.batches.pop_front();
        }
        self.batches.push_back((range, origin));
    }

    /// `error`, in which a row of the task becomes one of its split.
    pub(super) fn locate(&self, error: Error) -> Error {
        let is_row = |frame: &&Frame| frame.what == "row";
        let row = error.frames().iter().find(is_row).and_then(|frame| frame.which.parse::<u64>().ok());
        let Some(row) = row.and_then(|row| row.checked_sub(1)) else { return error };
        let Some((rows, origin)) = self.batches.iter().find(|(rows, _)| rows.contains(&row)) else { return error };
        let place = origin.row(row - rows.start);
        error.map_frames(|frames| {
            if let Some(frame) = frames.iter_mut().find(|frame| frame.what == "row") {
                frame.which = place.to_string();
            }
            if !origin.split.is_empty() {
                insert_split(frames, &origin.split);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn text(error: &Error) -> String {
        error.to_string()
    }

    fn error() -> Error {
        Error::new(ErrorKind::Value, "bad")
    }

    #[test]
    fn a_row_behind_filters_is_that_of_its_split() {
        let keep = |bits: &[bool]| Some(BooleanArray::from(bits.to_vec()));
        let origin = Origin::new(&"4 (pages 8 to 9)".into(), 100)
            .filtered(keep(&[false, true, true, false, true]))
            .filtered(keep(&[true, false, true]));
        assert_eq!(text(&origin.locate(error(), 1)), "split 4 (pages 8 to 9): row 105: bad");
    }

    #[test]
    fn a_writer_s_row_becomes_that_of_the_split() {
        let mut written = Written::default();
        let (first, second): (Arc<str>, Arc<str>) = ("".into(), "1".into());
        written.add(10, Some(Origin::new(&first, 0)));
        written.add(10, Some(Origin::new(&first, 10)));
        written.add(5, Some(Origin::new(&second, 0)));
        let at = |row: u64| text(&written.locate(error().at("column", "c").at("row", row).at("table", "t")));
        assert_eq!(at(12), "table t: row 12: column c: bad");
        assert_eq!(at(23), "table t: split 1: row 3: column c: bad");
        assert_eq!(written.batches.len(), 2);
        assert_eq!(at(99), "table t: row 99: column c: bad");
    }

    #[test]
    fn a_split_is_named_once_and_not_beside_a_line() {
        assert_eq!(text(&name_split(error().at("row", 3).at("table", "t"), "7")), "table t: split 7: row 3: bad");
        assert_eq!(text(&name_split(error(), "7")), "split 7: bad");
        assert_eq!(text(&name_split(error().at("line", 3), "7")), "line 3: bad");
        assert_eq!(text(&name_split(error(), "")), "bad");
    }
}
