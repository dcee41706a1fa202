//! Arrow columns as the text that `LOAD DATA` and `INSERT` take: each column is written as a whole, then rows are put together.
//!
//! Text and JSON are escaped, bytes are hexadecimal digits. What the server would round, cut or change without a word is refused
//! here: NaN, dates beyond its years, fractions of a second that the column does not keep, spaces at the end of a `char`, numbers
//! in JSON that it would make floats of.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Date32Type, DurationMicrosecondType, Field, Float32Type, Float64Type, Int16Type};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::check::{Check, Unfit};
use super::typemap::{Kind, MyType, WITH_SYSTEM};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::value::binary::hex_digits;
use crate::formats::value::number::print_float;
use crate::formats::value::print;
use crate::schema;

/// A column that is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Column {
    pub(super) name: String,
    /// The type as SQL has it.
    pub(super) sql_type: String,
    /// What is looked at before the server sees it.
    pub(super) checks: Vec<Check>,
    pub(super) kept: Kept,
}

/// How the server gives values back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Kept {
    /// As they went in.
    #[default]
    AsTheyCame,
    /// Written anew: JSON that it took apart.
    WrittenAnew,
    /// Without the blanks at their end, with which a source has padded the names of members.
    WithoutPadding,
}

impl Column {
    /// What it holds.
    pub(super) fn kind(&self) -> Option<Kind> {
        MyType::declared(&self.sql_type).map(|my_type| my_type.kind)
    }
}

/// For which statement rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Fields with tabs between, rows that end in a line feed, NULL as `\N`.
    Load,
    /// `(1,'a',NULL),(2,x'00',NULL)`
    Insert,
}

/// Rows as text.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    pub(super) bytes: Bytes,
    /// Where each row ends.
    pub(super) ends: Vec<usize>,
}

impl Rows {
    pub(super) fn count(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of the rows `from..to`.
    pub(super) fn slice(&self, from: usize, to: usize) -> Bytes {
        let start = |row: usize| if row == 0 { 0 } else { self.ends[row - 1] };
        self.bytes.slice(start(from)..start(to))
    }
}

/// One column as text.
#[derive(Default)]
struct Cells {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// How the server takes the cells of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taking {
    AsText,
    /// Hexadecimal digits of bytes.
    Unhex,
    /// Digits of a number, for bits.
    Number,
}

/// How cells of `column` are taken.
pub(super) fn taking(column: &Column) -> Taking {
    match column.kind() {
        Some(Kind::Binary | Kind::Geometry) => Taking::Unhex,
        Some(Kind::Bit(_)) => Taking::Number,
        _ => Taking::AsText,
    }
}

/// Writes the rows of `batch`, before which `before` rows of the same task came.
///
/// # Errors
/// [`Value`](ErrorKind::Value) with column and row for a value that would be changed.
pub(super) fn encode(batch: &RecordBatch, columns: &[Column], style: Style, before: u64) -> Result<Rows> {
    let mut all = Vec::with_capacity(columns.len());
    for ((array, field), column) in batch.columns().iter().zip(batch.schema_ref().fields()).zip(columns) {
        let cells = cells(array, field, (column, style));
        all.push(cells.map_err(|unfit| error(&unfit, column, before))?);
    }
    Ok(join(&all, style, batch.num_rows()))
}

/// A row that is refused before the server sees it: its place in the batch, and why.
pub(super) struct LeftOut {
    pub(super) row: usize,
    pub(super) error: Error,
}

/// Rows of a batch: those that are written, each piece with the place of its first row in the batch, and the others.
#[derive(Default)]
pub(super) struct Sparing {
    pub(super) written: Vec<(usize, Rows)>,
    pub(super) left: Vec<LeftOut>,
}

/// Writes those rows of `batch` that can be written, each with its place in the batch, and gives the others. Bad ones are found by
/// halves.
///
/// # Errors
/// Those of [`encode`] but [`Value`](ErrorKind::Value).
pub(super) fn encode_sparing(batch: &RecordBatch, columns: &[Column], style: Style) -> Result<Sparing> {
    let Sparing { mut written, mut left } = Sparing::default();
    let mut parts = vec![(0, batch.num_rows())];
    while let Some((from, count)) = parts.pop() {
        match encode(&batch.slice(from, count), columns, style, 0) {
            Ok(rows) => written.push((from, rows)),
            Err(error) if error.kind() != ErrorKind::Value => return Err(error),
            // Its place is told by who left it out.
            Err(error) if count == 1 => {
                left.push(LeftOut {
                    row: from,
                    error: error.map_frames(|frames| frames.retain(|frame| frame.what != "row")),
                });
            }
            Err(_) => {
                let half = count / 2;
                parts.extend([(from + half, count - half), (from, half)]);
            }
        }
    }
    Ok(Sparing { written, left })
}

fn error(unfit: &Unfit, column: &Column, before: u64) -> Error {
    let error = Error::new(ErrorKind::Value, unfit.why).at("column", &column.name);
    error.at("row", before + unfit.row as u64 + 1)
}

/// Puts rows together.
fn join(columns: &[Cells], style: Style, count: usize) -> Rows {
    let total: usize = columns.iter().map(|cells| cells.bytes.len() + count).sum();
    let mut bytes = Vec::with_capacity(total + 3 * count);
    let mut ends = Vec::with_capacity(count);
    let (open, between, close): (&[u8], u8, &[u8]) = match style {
        Style::Load => (b"", b'\t', b"\n"),
        Style::Insert => (b"(", b',', b"),"),
    };
    let mut starts = vec![0; columns.len()];
    for row in 0..count {
        bytes.extend_from_slice(open);
        for (index, (cells, start)) in columns.iter().zip(&mut starts).enumerate() {
            if index > 0 {
                bytes.push(between);
            }
            let end = cells.ends[row];
            bytes.extend_from_slice(&cells.bytes[*start..end]);
            *start = end;
        }
        bytes.extend_from_slice(close);
        ends.push(bytes.len());
    }
    Rows { bytes: bytes.into(), ends }
}

/// What NULL is.
fn null(style: Style) -> &'static [u8] {
    match style {
        Style::Load => b"\\N",
        Style::Insert => b"NULL",
    }
}

/// The texts of `array` without the blanks at their end.
pub(super) fn unpadded(array: &ArrayRef) -> ArrayRef {
    let Some(texts) = array.as_string_opt::<i32>() else { return Arc::clone(array) };
    Arc::new(texts.iter().map(|text| text.map(|text| text.trim_end_matches(' '))).collect::<StringArray>())
}

fn cells(array: &ArrayRef, field: &Field, (column, style): (&Column, Style)) -> Result<Cells, Unfit> {
    let array = &if column.kept == Kept::WithoutPadding { unpadded(array) } else { Arc::clone(array) };
    for check in &column.checks {
        check.look(array)?;
    }
    let quote = style == Style::Insert;
    let mut cells = Cells { bytes: Vec::new(), ends: Vec::with_capacity(array.len()) };
    match (field.data_type(), column.kind()) {
        (DataType::Utf8, _) => {
            let texts = array.as_string::<i32>();
            cells.fill(array, style, |row, out| escape(texts.value(row).as_bytes(), quote, out));
        }
        (DataType::Binary, Some(Kind::Geometry)) => {
            let values = array.as_binary::<i32>();
            let whole = |row: usize, out: &mut Vec<u8>| geometry(values.value(row), quote, out);
            return cells.try_fill(array, style, whole).map(|()| cells);
        }
        (DataType::Binary, _) => {
            let values = array.as_binary::<i32>();
            cells.fill(array, style, |row, out| hexadecimal(values.value(row), quote, out));
        }
        (DataType::FixedSizeBinary(_), _) if !schema::is_uuid(field) => {
            let values = array.as_fixed_size_binary();
            cells.fill(array, style, |row, out| hexadecimal(values.value(row), quote, out));
        }
        // Fewer than four digits are taken for the last of a year.
        (DataType::Int16, Some(Kind::Year)) => {
            let values = array.as_primitive::<Int16Type>();
            cells.fill(array, style, |row, out| {
                quoted(quote, out, |out| out.extend(format!("{:04}", values.value(row)).bytes()));
            });
        }
        (DataType::Boolean, _) => {
            let values = array.as_boolean();
            cells.fill(array, style, |row, out| out.push(b'0' + u8::from(values.value(row))));
        }
        (DataType::Float32, _) => {
            let values = array.as_primitive::<Float32Type>();
            // With the digits of 64 bits: those that tell it apart in 32 may lie above it, beyond the range.
            let print = |row: usize, out: &mut Vec<u8>| finite(f64::from(values.value(row)), out);
            return cells.try_fill(array, style, print).map(|()| cells);
        }
        (DataType::Float64, _) => {
            let values = array.as_primitive::<Float64Type>();
            return cells.try_fill(array, style, |row, out| finite(values.value(row), out)).map(|()| cells);
        }
        (DataType::Duration(_), _) => {
            let values = array.as_primitive::<DurationMicrosecondType>();
            cells.fill(array, style, |row, out| quoted(quote, out, |out| duration(values.value(row), out)));
        }
        (DataType::Timestamp(..), _) => {
            // The session's zone is UTC: an instant is written as the clock on the wall shows it there.
            let plain =
                field.clone().with_data_type(DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None));
            let instants = array
                .as_primitive::<arrow::datatypes::TimestampMicrosecondType>()
                .clone()
                .with_timezone_opt(None::<&str>);
            return cells.print(&instants, &plain, style).map(|()| cells);
        }
        (DataType::Date32, _) => {
            let values = array.as_primitive::<Date32Type>();
            return cells.print(values, field, style).map(|()| cells);
        }
        _ => return cells.print(array, field, style).map(|()| cells),
    }
    Ok(cells)
}

impl Cells {
    fn fill(&mut self, array: &dyn Array, style: Style, mut write: impl FnMut(usize, &mut Vec<u8>)) {
        let nulls = array.logical_nulls();
        for row in 0..array.len() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                self.bytes.extend_from_slice(null(style));
            } else {
                write(row, &mut self.bytes);
            }
            self.ends.push(self.bytes.len());
        }
    }

    fn try_fill(
        &mut self,
        array: &dyn Array,
        style: Style,
        mut write: impl FnMut(usize, &mut Vec<u8>) -> Result<(), &'static str>,
    ) -> Result<(), Unfit> {
        let mut unfit = None;
        self.fill(array, style, |row, out| {
            if unfit.is_none()
                && let Err(why) = write(row, out)
            {
                unfit = Some(Unfit { row, why });
            }
        });
        unfit.map_or(Ok(()), Err)
    }

    /// Numbers, dates and times, as all text formats here write them.
    fn print(&mut self, array: &dyn Array, field: &Field, style: Style) -> Result<(), Unfit> {
        let column = print::column(array, field).ok_or(Unfit { row: 0, why: "the column has no text form" })?;
        let quote = style == Style::Insert && column.look != print::Look::Bare;
        self.fill(array, style, |row, out| quoted(quote, out, |out| (column.print)(row, out)));
        Ok(())
    }
}

fn quoted(quote: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if quote {
        out.push(b'\'');
    }
    write(out);
    if quote {
        out.push(b'\'');
    }
}

fn finite(value: f64, out: &mut Vec<u8>) -> Result<(), &'static str> {
    if !value.is_finite() {
        return Err("NaN and infinity have no place in a column of MySQL");
    }
    print_float(value, out);
    Ok(())
}

/// Text with a backslash before what would end a field, a row or the text itself.
fn escape(text: &[u8], quote: bool, out: &mut Vec<u8>) {
    quoted(quote, out, |out| {
        let mut rest = text;
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\\' | b'\t' | b'\n' | 0 | b'\'')) {
            out.extend_from_slice(&rest[..at]);
            out.push(b'\\');
            out.push(match rest[at] {
                b'\t' => b't',
                b'\n' => b'n',
                0 => b'0',
                other => other,
            });
            rest = &rest[at + 1..];
        }
        out.extend_from_slice(rest);
    });
}

fn hexadecimal(bytes: &[u8], quote: bool, out: &mut Vec<u8>) {
    if quote {
        out.push(b'x');
    }
    quoted(quote, out, |out| out.extend(bytes.iter().flat_map(|byte| hex_digits(*byte))));
}

/// WKB as the server keeps it: after the number of its reference system.
fn geometry(wkb: &[u8], quote: bool, out: &mut Vec<u8>) -> Result<(), &'static str> {
    const NO_WKB: &str = "the bytes are no geometry in WKB";
    let [order, kind @ ..] = wkb.first_chunk::<5>().ok_or(NO_WKB)?;
    let word = |bytes: [u8; 4]| match order {
        0 => Ok(u32::from_be_bytes(bytes)),
        1 => Ok(u32::from_le_bytes(bytes)),
        _ => Err(NO_WKB),
    };
    let kind = word(*kind)?;
    let mut whole = Vec::with_capacity(wkb.len() + 4);
    if kind & WITH_SYSTEM == 0 {
        whole.extend([0; 4]);
        whole.extend_from_slice(wkb);
    } else {
        let system = word(*wkb[5..].first_chunk::<4>().ok_or(NO_WKB)?)?;
        let kind = kind & !WITH_SYSTEM;
        whole.extend(system.to_le_bytes());
        whole.push(*order);
        whole.extend(if *order == 0 { kind.to_be_bytes() } else { kind.to_le_bytes() });
        whole.extend_from_slice(&wkb[9..]);
    }
    hexadecimal(&whole, quote, out);
    Ok(())
}

/// `-838:59:59.000001`
fn duration(micros: i64, out: &mut Vec<u8>) {
    use std::io::Write as _;
    let sign = if micros < 0 { "-" } else { "" };
    let (seconds, fraction) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    // Writing to memory does not fail.
    let _ = write!(out, "{sign}{hours:02}:{minutes:02}:{seconds:02}");
    if fraction > 0 {
        let _ = write!(out, ".{fraction:06}");
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{BinaryArray, Float64Array, Int64Array};
    use arrow::datatypes::Schema;

    use super::*;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        let fields: Vec<Field> =
            columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect())
            .unwrap()
    }

    fn column(name: &str, sql_type: &str) -> Column {
        Column { name: name.to_owned(), sql_type: sql_type.to_owned(), checks: Vec::new(), kept: Kept::AsTheyCame }
    }

    #[test]
    fn rows_in_both_styles() {
        let batch = batch(vec![
            ("id", Arc::new(Int64Array::from(vec![Some(-1), None])) as ArrayRef),
            ("text", Arc::new(StringArray::from(vec![Some("a\t\\'\n\0"), Some("")]))),
            ("bytes", Arc::new(BinaryArray::from(vec![Some(b"\x00\xff".as_slice()), None]))),
        ]);
        let columns = [column("id", "bigint"), column("text", "longtext"), column("bytes", "longblob")];
        let text = |style| String::from_utf8(encode(&batch, &columns, style, 0).unwrap().bytes.to_vec()).unwrap();
        assert_eq!(text(Style::Load), "-1\ta\\t\\\\\\'\\n\\0\t00ff\n\\N\t\t\\N\n");
        assert_eq!(text(Style::Insert), "(-1,'a\\t\\\\\\'\\n\\0',x'00ff'),(NULL,'',NULL),");
    }

    #[test]
    fn what_would_be_changed_is_refused() {
        let batch = batch(vec![("x", Arc::new(Float64Array::from(vec![1.5, f64::NAN])) as ArrayRef)]);
        let error = encode(&batch, &[column("x", "double")], Style::Load, 10).unwrap_err();
        assert_eq!((error.kind(), error.to_string().starts_with("row 12: column x:")), (ErrorKind::Value, true));
    }

    #[test]
    fn durations_as_mysql_writes_them() {
        let text = |micros| {
            let mut out = Vec::new();
            duration(micros, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(-3_020_399_000_001), "-838:59:59.000001");
        assert_eq!(text(5_000_000), "00:00:05");
    }

    #[test]
    fn geometries_with_and_without_a_reference_system() {
        let text = |wkb: &[u8]| {
            let mut out = Vec::new();
            geometry(wkb, false, &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(text(&[1, 1, 0, 0, 0, 7]).unwrap(), "00000000010100000007");
        assert_eq!(text(&[1, 1, 0, 0, 0x20, 0xe6, 0x10, 0, 0, 7]).unwrap(), "e6100000010100000007");
        assert!(text(&[1, 2]).is_err());
        assert!(text(&[9, 1, 0, 0, 0]).is_err());
    }
}
