//! Rows whose values do not fit: which, in which column, and why. Never the values themselves.

use std::fmt;

use arrow::buffer::BooleanBuffer;

use crate::error::{Error, ErrorKind};

/// Why a value does not fit its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// NULL for a column that takes none.
    Null,
    /// Beyond the range of the target's type.
    Range,
    /// It would lose digits or a fraction, or is outside of the range.
    Digits,
    /// It would lose a part of its time, or is outside of the range.
    Time,
    /// The clock of the transfer shows this time twice or never.
    Clock,
    /// The text has more characters than the column takes.
    Length {
        /// Characters that the column takes.
        room: usize,
    },
    /// Not as many bytes as the target's type has.
    Bytes {
        /// Bytes that it has.
        width: usize,
    },
    /// The text is not a value of the target's type.
    Text,
    /// Within a list, a struct or a map.
    Nested,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL in a column that takes none"),
            Self::Range => f.write_str("the value is beyond the range of the target's type"),
            Self::Digits => f.write_str("the value would lose digits in the target's type"),
            Self::Time => f.write_str("the value would lose a part of its time in the target's type"),
            Self::Clock => f.write_str("the clock of the transfer shows this time twice or never"),
            Self::Length { room } => write!(f, "the text is longer than {room} characters"),
            Self::Bytes { width } => write!(f, "the value does not have the {width} bytes of the target's type"),
            Self::Text => f.write_str("the text is not a value of the target's type"),
            Self::Nested => f.write_str("a value within a list or struct does not fit the target's type"),
        }
    }
}

/// One value that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Row within the batch, from 0.
    pub row: usize,
    /// Column of the target.
    pub column: String,
    /// Why it does not fit.
    pub reason: Reason,
}

impl Misfit {
    /// It as an error, without its row. `more` is said behind the reason.
    pub fn into_error(self, more: &str) -> Error {
        Error::new(ErrorKind::Value, format!("{}{more}", self.reason))
            .with_hint("convert the column with --set or --cast, leave such rows out with --where, or widen the target")
            .at("column", self.column)
    }
}

/// The misfits of one column of a batch.
#[derive(Clone, Debug)]
pub struct ColumnMisfits {
    /// Column of the target.
    pub column: String,
    /// One bit per row of the batch, set where the value does not fit.
    pub rows: BooleanBuffer,
    /// Why; where a column has several reasons, that of the first row.
    pub reason: Reason,
}

/// All misfits of a batch.
#[derive(Clone, Debug)]
pub struct Misfits {
    /// At least one, each with at least one row.
    columns: Vec<ColumnMisfits>,
}

impl Misfits {
    pub(super) fn new(columns: Vec<ColumnMisfits>) -> Self {
        debug_assert!(columns.iter().any(|column| column.rows.count_set_bits() > 0));
        Self { columns }
    }

    /// The misfits by column of the target.
    pub fn columns(&self) -> &[ColumnMisfits] {
        &self.columns
    }

    /// One bit per row of the batch, set where any value does not fit.
    pub fn rows(&self) -> BooleanBuffer {
        let mut columns = self.columns.iter().map(|column| column.rows.clone());
        let first = columns.next().unwrap_or_else(|| BooleanBuffer::new_unset(0));
        columns.fold(first, |all, rows| &all | &rows)
    }

    /// The misfit that comes first: the lowest row, in it the first column.
    pub fn first(&self) -> Option<Misfit> {
        let first = |column: &ColumnMisfits| {
            let row = column.rows.set_indices().next()?;
            Some(Misfit { row, column: column.column.clone(), reason: column.reason })
        };
        // `min_by_key` gives the first of several.
        self.columns.iter().filter_map(first).min_by_key(|misfit| misfit.row)
    }

    /// Per row that has misfits the first of them, rows ascending.
    pub fn each(&self) -> impl Iterator<Item = Misfit> + '_ {
        let rows = self.rows();
        let of_row = move |row: usize| {
            let column = self.columns.iter().find(|column| column.rows.value(row))?;
            Some(Misfit { row, column: column.column.clone(), reason: column.reason })
        };
        rows.set_indices().collect::<Vec<_>>().into_iter().filter_map(of_row)
    }

    /// How many rows have a misfit.
    pub fn count(&self) -> usize {
        self.rows().count_set_bits()
    }

    /// The first misfit as an error. The row is counted from `first_row`, the position of the batch's row 0.
    pub fn into_error(self, first_row: u64) -> Error {
        let count = self.count();
        let Some(first) = self.first() else {
            return Error::new(ErrorKind::Internal, "a batch was refused for no row");
        };
        let more = match count {
            1 => String::new(),
            2 => " (and 1 more row nearby)".to_owned(),
            count => format!(" (and {} more rows nearby)", count - 1),
        };
        let row = first_row + first.row as u64;
        first.into_error(&more).at("row", row)
    }
}

/// Why a batch could not be aligned.
#[derive(Debug)]
pub enum Unaligned {
    /// Some values do not fit.
    Misfits(Misfits),
    /// Something else failed.
    Error(Error),
}

impl From<Unaligned> for Error {
    /// Rows count from the beginning of the batch; see [`Misfits::into_error`] for another position.
    fn from(unaligned: Unaligned) -> Self {
        match unaligned {
            Unaligned::Misfits(misfits) => misfits.into_error(0),
            Unaligned::Error(error) => error,
        }
    }
}
