//! Workbooks: a sheet of `.xlsx`, `.xls` or `.ods` to rows, rows to a sheet of `.xlsx`.
//!
//! A sheet is held in memory as texts, each with what its cell was: so the type of a column is that of all its cells, and
//! a cast of the user parses the text. `cells` holds them, `read` fills them from the library's cells, `write` turns
//! columns into cells, `serial` counts days, `area` names cells.
//!
//! What a cell cannot hold is refused, never rounded: numbers are doubles, times are days since 1900.

mod area;
mod cells;
mod parts;
mod read;
mod serial;
mod write;

#[cfg(test)]
mod tests;

use arrow::datatypes::{DataType, Field};
use serde::{Deserialize, Serialize};

use super::Typing;
use super::extension::Format;
use crate::error::{Error, ErrorKind};
use crate::schema::is_uuid;

pub use area::{Area, column_name};
pub use cells::Sheet;
pub use read::read;
pub use write::Encoder;

/// Rows of a sheet, its header among them.
pub const SHEET_ROWS: u32 = 1_048_576;

/// Columns of a sheet.
pub const SHEET_COLUMNS: usize = 16_384;

/// UTF-16 units of a text in a cell.
pub const CELL_UNITS: usize = 32_767;

/// Bytes of a workbook that is read.
pub const FILE_BYTES: u64 = 512 << 20;

/// Bytes that the cells of a sheet take in memory.
const SHEET_BYTES: usize = 2 << 30;

/// Bytes to which a part may unpack that is held in memory as a whole: the texts that cells share, or all of an OpenDocument.
const PART_BYTES: u64 = 1 << 30;

/// Whole numbers up to this one, and down to its negative, are all doubles.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// First bytes of a zip archive, and of the older container.
const ZIP: &[u8] = b"PK\x03\x04";
const COMPOUND: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

/// Which cells are read, and what they are.
#[derive(Clone, Debug)]
pub struct Options {
    /// The sheet by its name, or by its number from 1; none for the first.
    pub sheet: Option<String>,
    /// The cells of it that are read.
    pub area: Area,
    /// Whether the first row that is not blank names the columns; without it they are `A`, `B`, ….
    pub header: bool,
    /// A text that means NULL, as a blank cell does.
    pub null: Option<String>,
    /// What the user says of types.
    pub typing: Typing,
}

/// How a workbook is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// The name of the sheet; none for `Sheet1`.
    pub sheet: Option<String>,
    /// Further sheets, each for the rows that have no place in the one before.
    pub sheets: Vec<String>,
    /// Rows of a sheet, its header among them; none for as many as it can have.
    pub sheet_rows: Option<u32>,
    /// Whether the first row of each sheet names the columns.
    pub header: bool,
    /// The text that stands for NULL; none for a blank cell.
    pub null: Option<String>,
}

/// What cells make of the values of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// They come back as they were.
    Exact,
    /// They come back in a wider type.
    Widened,
    /// They come back as they were, or are refused: a cell holds fewer digits, or no such days.
    Fewer,
    /// They are texts.
    Text,
}

/// What cells make of the values of a column; none for bytes, which have no place in a sheet.
pub fn held(field: &Field) -> Option<Held> {
    Some(match field.data_type() {
        DataType::FixedSizeBinary(_) if !is_uuid(field) => return None,
        DataType::Null | DataType::Boolean | DataType::Float64 | DataType::Utf8 => Held::Exact,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => {
            Held::Widened
        }
        DataType::Float16 | DataType::Float32 | DataType::Time32(_) => Held::Widened,
        DataType::Time64(_) | DataType::Int64 | DataType::UInt64 => Held::Fewer,
        DataType::Decimal128(..) | DataType::Decimal256(..) | DataType::Date32 | DataType::Date64 => Held::Fewer,
        DataType::Duration(_) | DataType::Timestamp(_, None) => Held::Fewer,
        DataType::Binary => return None,
        _ => Held::Text,
    })
}

/// What the cells of a column are to the program that opens the workbook.
pub fn cell_type(field: &Field) -> &'static str {
    match field.data_type() {
        DataType::Null => "blank",
        DataType::Boolean => "boolean",
        other if other.is_numeric() => "number",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Timestamp(_, None) => "date with a time",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Duration(_) => "duration",
        _ => "text",
    }
}

/// The error of what should be a workbook.
fn no_workbook() -> Error {
    Error::new(ErrorKind::Corrupt, "it is no workbook, or a damaged one")
        .with_hint("open it in the program that made it and save it anew, or name its format with --from-format")
}

/// The kind of workbook that begins with `head`, as far as that tells.
pub fn detect(head: &[u8]) -> Option<Format> {
    if head.starts_with(COMPOUND) {
        return Some(Format::Xls);
    }
    if !head.starts_with(ZIP) {
        return None;
    }
    let first_name = head.get(30..).unwrap_or_default();
    let named = |names: &[&[u8]]| names.iter().any(|name| first_name.starts_with(name));
    if named(&[b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet"]) {
        return Some(Format::Ods);
    }
    named(&[b"[Content_Types].xml", b"_rels/", b"docProps/", b"xl/"]).then_some(Format::Xlsx)
}

/// Whether `head` begins a container that may be a workbook.
pub fn may_be(head: &[u8]) -> bool {
    head.starts_with(ZIP) || head.starts_with(COMPOUND)
}
