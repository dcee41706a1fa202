//! What an incremental copy says of its position and of rows that come late.

use datafusion::scalar::ScalarValue;

use super::{Window, printed};
use crate::sink::Noted;

impl Window {
    /// What the user should know, one sentence each.
    pub(in super::super) fn notes(&self) -> Vec<String> {
        let cursor = self.cursor();
        let text = |value: &ScalarValue| printed(value).unwrap_or_default();
        let mut notes = vec![match (&self.position, &self.bound) {
            (None, Some(bound)) => {
                let from = self.what.start.as_ref().map_or_else(String::new, |start| format!("from {start} on, "));
                format!("no position is known: {from}all rows with {cursor} up to {} are read", text(bound))
            }
            (None, None) => {
                let beyond = self.what.start.as_ref().map_or_else(String::new, |start| format!(" beyond {start}"));
                format!("no position is known, and no row has a {cursor}{beyond}")
            }
            (Some(position), Some(bound)) if position != bound => {
                format!("the position of {cursor} moves from {} to {}", text(position), text(bound))
            }
            (Some(position), _) => format!("the position of {cursor} stays at {}", text(position)),
        }];
        if self.streams.iter().any(|stream| stream.noted == Noted::Nowhere) {
            notes.push(
                "the target notes no position, the log of runs does: a copy that is killed just after its commit is \
                 done again by the next one"
                    .to_owned(),
            );
        }
        if self.what.lag.is_none() {
            notes.extend(self.notes_of_late_rows());
        }
        notes
    }

    /// What is said of rows that become visible after a copy, below its position: of those before this one, and behind it.
    fn notes_of_late_rows(&self) -> Vec<String> {
        let cursor = self.cursor();
        let mut notes = self.missed.notes.clone();
        if self.missed.filter.is_some() {
            notes.push(format!(
                "rows of transactions that were still running when the position was reached are read, too, whatever their {cursor} is: no \
                 index leads to them, so the whole table is looked through; --lag takes the place of that"
            ));
        }
        notes.extend(match (&self.mark, self.by_key) {
            (Some(mark), _) if !mark.running => None,
            (Some(_), true) => Some(format!(
                "transactions are running: what they bring later with a {cursor} below the position is found by the next copy, which \
                 looks through the whole table"
            )),
            (Some(_), false) => Some(format!(
                "transactions are running: what they bring later with a {cursor} up to the position is not copied: --key finds it"
            )),
            (None, _) => Some(format!(
                "rows that become visible later with a {cursor} below its position, or without --key at it, as of transactions that \
                 are still running, are not copied: --key and --lag find them"
            )),
        });
        notes
    }
}
