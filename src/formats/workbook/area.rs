//! Names of cells, and ranges of them: `B7`, `A1:F200`, `A:F`.

use std::ops::RangeInclusive;

use super::{SHEET_COLUMNS, SHEET_ROWS};
use crate::error::{Error, ErrorKind, Result};

/// Cells of a sheet: rows and columns from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    pub(super) rows: RangeInclusive<u32>,
    pub(super) columns: RangeInclusive<u32>,
    /// Whether the user named the columns: then all of them are columns of the table, the blank ones too.
    pub(super) named: bool,
}

impl Default for Area {
    fn default() -> Self {
        Self { rows: 0..=SHEET_ROWS - 1, columns: 0..=SHEET_COLUMNS as u32 - 1, named: false }
    }
}

impl Area {
    /// The cells that `A1:F200`, `A:F` or `A5:F` name.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) when it names none.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(ErrorKind::Usage, format!("{text:?} is no range of cells"))
                .with_hint("write it like A1:F200, or A:F for whole columns")
        };
        let (from, to) = text.split_once(':').ok_or_else(wrong)?;
        let ((left, top), (right, bottom)) = (corner(from).ok_or_else(wrong)?, corner(to).ok_or_else(wrong)?);
        let (top, bottom) = (top.unwrap_or(0), bottom.unwrap_or(SHEET_ROWS - 1));
        if left > right || top > bottom {
            return Err(wrong());
        }
        Ok(Self { rows: top..=bottom, columns: left..=right, named: true })
    }

    pub(super) fn has(&self, row: u32, column: u32) -> bool {
        self.rows.contains(&row) && self.columns.contains(&column)
    }
}

/// Column and, where it is named, row of a corner.
fn corner(text: &str) -> Option<(u32, Option<u32>)> {
    let digits = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    let (letters, number) = text.split_at(digits);
    if letters.is_empty() || letters.len() > 3 || !letters.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return None;
    }
    let column = letters.bytes().fold(0, |sum, byte| sum * 26 + u32::from(byte.to_ascii_uppercase() - b'A') + 1) - 1;
    let row = match number {
        "" => None,
        number => Some(number.parse::<u32>().ok().filter(|row| (1..=SHEET_ROWS).contains(row))? - 1),
    };
    (column < SHEET_COLUMNS as u32).then_some((column, row))
}

/// The letters of a column that is counted from 0.
pub fn column_name(column: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = column + 1;
    while rest > 0 {
        letters.push(b'A' + ((rest - 1) % 26) as u8);
        rest = (rest - 1) / 26;
    }
    letters.iter().rev().map(|letter| char::from(*letter)).collect()
}

/// The name of a cell whose row and column are counted from 0.
pub(super) fn cell_name(row: u32, column: u32) -> String {
    format!("{}{}", column_name(column), u64::from(row) + 1)
}
