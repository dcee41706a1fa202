//! What stands beside a target while a run writes: its names, what to say where it is gone, and what it finds in the target.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::sink::WriteMode;

/// What happens to the rows that are there when others become visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Before {
    /// There must be none.
    Refuse,
    /// They stay.
    Keep,
    /// They are deleted in the same transaction.
    Empty,
}

impl Before {
    /// What `mode` means for a table that is there.
    pub fn of(mode: &WriteMode) -> Self {
        match mode {
            WriteMode::Create => Self::Refuse,
            WriteMode::Truncate | WriteMode::Replace => Self::Empty,
            _ => Self::Keep,
        }
    }
}

/// A digest for names: FNV-1a, the same in every build and process, which the standard hasher does not promise.
pub fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The error of mode `create` for the `table`, which has rows.
pub fn has_rows(table: impl fmt::Display) -> Error {
    Error::new(ErrorKind::AlreadyExists, "the table exists and has rows").at("table", table)
}

/// The error of a run whose rows another process holds.
pub fn still_held() -> Error {
    Error::new(ErrorKind::Busy, "another process still holds the rows of this run")
        .with_hint("wait for its end, or stop it")
}

/// The error of a run that is gone on with where `table`, which noted its tasks, is not there any more.
pub fn notes_are_gone(table: &str) -> Error {
    let message = format!("the table {table} is gone, which noted the tasks that are in the target");
    Error::new(ErrorKind::NotFound, message)
        .with_hint("remove the rows of this run from the target and begin anew, without --resume")
}

#[cfg(test)]
mod tests {
    #[test]
    fn digests_are_those_of_the_definition() {
        // From "FNV hash parameters and test vectors" by its authors.
        assert_eq!([super::digest(""), super::digest("foobar")], [0xcbf2_9ce4_8422_2325, 0x8594_4171_f739_67e8]);
    }
}
