//! Columns in which the job allows loss, by their names or because of the times in them: which of them lose something, and what is said
//! of it.

use arrow::datatypes::Field;

use crate::error::{Error, ErrorKind, Result};
use crate::fate::{Loss, loss};
use crate::job::{FinerTimes, Job};
use crate::shape::TableShape;
use crate::sink::{Agreement, ColumnFate, ColumnPlan};

/// Offers the named columns as Arrow values alone: a native form passes the cast by.
pub(super) fn offer_values(job: &Job, shape: &mut TableShape) {
    let fields = shape.schema.fields().iter().zip(&mut shape.native);
    fields.filter(|(field, _)| job.allow_lossy.contains(field.name())).for_each(|(_, native)| *native = None);
}

/// Notes in `agreement` over `shape` where columns that may do so lose something.
pub(super) fn allow(job: &Job, shape: &TableShape, agreement: &mut Agreement) {
    let mut names = Vec::new();
    for plan in &mut agreement.columns {
        let Some(name) = plan.incoming.clone() else { continue };
        let Some(lost) = plan.target.as_ref().and_then(|target| {
            let to: &Field = agreement.target.field_with_name(target).ok()?;
            let from = shape.schema.field_with_name(&name).ok()?;
            if job.allow_lossy.contains(&name) || is_cut(job, shape, (from, to)) { loss(from, to) } else { None }
        }) else {
            continue;
        };
        let allowed = match lost {
            Loss::Rounded => "loss is allowed: rounded",
            Loss::Cut => "loss is allowed: cut",
        };
        plan.add_note(allowed);
        plan.fate = ColumnFate::LossAllowed;
        names.push(name);
    }
    if !names.is_empty() {
        let names = names.join(", ");
        agreement.notes.push(format!("loss is allowed in {names}: what does not fit is rounded or cut there"));
    }
}

/// Whether times of `from`, which may be texts, are cut to the unit of their target `to`, which may make one of two keys.
fn is_cut(job: &Job, shape: &TableShape, (from, to): (&Field, &Field)) -> bool {
    let is_key = key_of(job, shape).is_some_and(|key| key.contains(from.name()));
    job.finer_times == FinerTimes::Cut && to.data_type().is_temporal() && !is_key
}

/// The columns that tell rows apart, as far as the source knows.
fn key_of<'a>(job: &'a Job, shape: &'a TableShape) -> Option<&'a [String]> {
    job.mode.merge().map(|merge| if merge.key.is_empty() { shape.key.as_slice() } else { merge.key.as_slice() })
}

/// Refuses names that are no columns of `shape`, or in which nothing is lost in any of `agreements`; and keys, as two of
/// them could become one.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage).
pub(super) fn refuse_useless(job: &Job, shape: &TableShape, agreements: &[&Agreement]) -> Result<()> {
    let key = key_of(job, shape);
    for name in &job.allow_lossy {
        let plans =
            || agreements.iter().flat_map(|all| &all.columns).filter(|plan| plan.incoming.as_ref() == Some(name));
        let refused = if shape.schema.index_of(name).is_err() {
            Some(("no column of this name is copied", "use a name as it is after --set, --rename and --select"))
        } else if key.is_some_and(|key| key.contains(name)) {
            Some(("rows are told apart by this column: in a key no loss is allowed", "convert it with --set or --cast"))
        } else if plans().any(|plan| plan.fate == ColumnFate::LossAllowed) {
            None
        } else {
            Some(why_nothing(plans().next()))
        };
        if let Some((message, hint)) = refused {
            let error = Error::new(ErrorKind::Usage, message).with_hint(hint);
            return Err(error.at("column", name).at("option", "--allow-lossy"));
        }
    }
    Ok(())
}

/// Why nothing can be allowed, and what helps.
fn why_nothing(plan: Option<&ColumnPlan>) -> (&'static str, &'static str) {
    match plan.map(|plan| plan.fate) {
        None | Some(ColumnFate::Dropped) => ("this column is not copied", "leave it out of the list"),
        Some(ColumnFate::Lossy) => (
            "values of this column can neither be rounded nor cut into the target's type: what does not fit is refused",
            "convert it with --set or --cast",
        ),
        Some(_) => ("the target takes all values of this column as they are", "leave it out of the list"),
    }
}
