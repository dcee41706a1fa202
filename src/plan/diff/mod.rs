//! Two sources side by side: their rows as keys and values that compare byte by byte, and what of them differs.
//!
//! Rows of both sides are cast to one type per column and encoded by Arrow's row format, in which equal bytes are equal
//! values and the order of bytes is that of values. So comparing knows no types: a digest per bucket of keys tells which
//! buckets differ, and their rows are sorted by key, on disk where they are many, and merged.

pub mod columns;
mod encode;
pub mod merge;
pub mod side;

use std::fmt;

pub use encode::Codec;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one named first.
    A,
    /// The one named second.
    B,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}
