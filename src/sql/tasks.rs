//! How tasks are noted in a target; and rows that are seen task by task: when a database does it, and what the user should know.

use crate::error::{Error, ErrorKind, Result};
use crate::reject::Refusals;
use crate::sink::{Tasks, Visible, WriteMode, WriteRequest};

/// One key per split; a task without splits has a key of its own.
pub fn keys(splits: &[u32], task: u32) -> Vec<String> {
    if splits.is_empty() {
        return vec![format!("task {task}")];
    }
    splits.iter().map(|split| format!("split {split}")).collect()
}

/// The split of a key.
pub fn split_of(key: &str) -> Option<u32> {
    key.strip_prefix("split ")?.parse().ok()
}

/// Refuses to take the rows that an earlier attempt brought and that `stand` for those that `came` to another one, where some of them
/// were left out: which, that attempt alone knew.
///
/// # Errors
/// [`Mismatch`](ErrorKind::Mismatch).
pub fn refuse_untold(refusals: Refusals, (stand, came): (u64, u64)) -> Result<()> {
    if refusals == Refusals::Fail || stand == came {
        return Ok(());
    }
    let message = format!(
        "an earlier attempt, whose answer was lost, brought {stand} of {came} rows, and did not tell of the others"
    );
    Err(Error::new(ErrorKind::Mismatch, message).with_hint("run the copy again"))
}

/// What the user should know of rows that are seen task by task.
pub const STAY: &str =
    "the rows of a task can be seen when it ends, and stay when the copy fails; --resume goes on behind them";

/// Whether each task is a transaction on the target itself. One task alone is one anyway.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) where that is asked for and rows are not only added.
pub fn are_seen_alone(request: &WriteRequest) -> Result<bool> {
    if request.visible != Visible::PerTask || request.tasks == Tasks::One {
        return Ok(false);
    }
    if matches!(request.mode, WriteMode::Create | WriteMode::Append) && request.advance.is_none() {
        return Ok(true);
    }
    Err(Error::new(ErrorKind::Usage, "only rows that are added can be seen task by task")
        .at("option", "--publish task")
        .with_hint("use it with --mode create or append, and --pre-sql 'TRUNCATE …' where the table is to be emptied"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_were_left_out_and_not_told_are_refused() {
        refuse_untold(Refusals::LeftOut, (10, 10)).unwrap();
        refuse_untold(Refusals::Fail, (9, 10)).unwrap();
        let error = refuse_untold(Refusals::LeftOut, (9, 10)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert!(error.to_string().contains("brought 9 of 10 rows"), "{error}");
    }
}
