//! Columns to JSON values.
//!
//! Numbers are numbers with all their digits; NaN and infinities, which JSON lacks, are the strings `"NaN"`, `"inf"` and
//! `"-inf"`. Moments, bytes (`\x…`) and UUIDs are strings. JSON columns are embedded as they are, once checked.

use arrow::array::{
    Array, AsArray as _, FixedSizeListArray, GenericListArray, MapArray, OffsetSizeTrait, RecordBatch, StructArray,
};
use arrow::datatypes::{DataType, Field, FieldRef};
use serde::de::IgnoredAny;

use crate::error::{Error, ErrorKind, Result};
use crate::formats::Typing;
use crate::formats::value::binary::hex_digits;
use crate::formats::value::patterned;
use crate::formats::value::print::{self, Look};

/// Appends the value of one row, NULL included.
pub(crate) type Write<'a> = Box<dyn Fn(usize, &mut Vec<u8>) -> Result<()> + 'a>;

/// Appends one line per row of `batch`.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) for a type that has no text form,
/// [`Value`](ErrorKind::Value) for a JSON column that holds none.
pub fn encode(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
    encode_typed(&Typing::default(), batch, out)
}

/// [`encode`], with the dates and times in the form that the user named.
pub(super) fn encode_typed(typing: &Typing, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
    let schema = batch.schema_ref();
    let columns = schema.fields().iter().zip(batch.columns());
    let columns: Vec<(Vec<u8>, Write<'_>)> = columns
        .map(|(field, array)| {
            let write = match typing.pattern_of(field) {
                Some(pattern) => flat(patterned(array, field, pattern)?),
                None => writer(array, field)?,
            };
            Ok((key(field.name()), write))
        })
        .collect::<Result<_>>()?;
    for row in 0..batch.num_rows() {
        out.push(b'{');
        for (index, (key, write)) in columns.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(key);
            write(row, out).map_err(|error| error.at("column", schema.field(index).name()))?;
        }
        out.extend_from_slice(b"}\n");
    }
    Ok(())
}

/// Prepares the values of `field` in `array`.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) for a type that has no text form.
pub(crate) fn writer<'a>(array: &'a dyn Array, field: &Field) -> Result<Write<'a>> {
    if let Some(column) = print::column(array, field) {
        return Ok(flat(column));
    }
    let write = match field.data_type() {
        DataType::List(item) => list(array.as_list::<i32>(), item)?,
        DataType::LargeList(item) => list(array.as_list::<i64>(), item)?,
        DataType::FixedSizeList(item, _) => fixed_list(array.as_fixed_size_list(), item)?,
        DataType::Struct(_) => object(array.as_struct())?,
        DataType::Map(..) => map(array.as_map())?,
        other => {
            let message = format!("columns of type {other} have no text form");
            return Err(Error::new(ErrorKind::Unsupported, message).with_hint("cast the column, or leave it out"));
        }
    };
    Ok(Box::new(move |row, out| {
        if array.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        write(row, out)
    }))
}

fn flat(column: print::Column<'_>) -> Write<'_> {
    Box::new(move |row, out| {
        if column.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        let start = out.len();
        match column.look {
            Look::Bare => (column.print)(row, out),
            Look::Float => {
                (column.print)(row, out);
                if !out.last().is_some_and(u8::is_ascii_digit) {
                    out.insert(start, b'"');
                    out.push(b'"');
                }
            }
            Look::Plain => {
                out.push(b'"');
                (column.print)(row, out);
                out.push(b'"');
            }
            Look::Hex => {
                out.extend_from_slice(b"\"\\");
                (column.print)(row, out);
                out.push(b'"');
            }
            Look::Text => {
                out.push(b'"');
                (column.print)(row, out);
                escape(out, start + 1);
                out.push(b'"');
            }
            Look::Json => {
                (column.print)(row, out);
                return embed(out, start);
            }
        }
        Ok(())
    })
}

/// Checks the JSON from `start` on, and keeps it on one line.
fn embed(out: &mut [u8], start: usize) -> Result<()> {
    serde_json::from_slice::<IgnoredAny>(&out[start..]).map_err(|cause| {
        Error::new(ErrorKind::Value, "the value of a JSON column is not valid JSON").with_source(cause)
    })?;
    // Line ends are white space there: within strings they would be escaped.
    out[start..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    Ok(())
}

/// Escapes the text from `start` on.
fn escape(out: &mut Vec<u8>, start: usize) {
    let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    // Without an early exit this is vectorised.
    if !out[start..].iter().fold(false, |found, byte| found | special(*byte)) {
        return;
    }
    // From the back to the front, in place: a long text is not copied a second time.
    let mut read = out.len();
    let more: usize = out[start..].iter().map(|byte| escaped(*byte).1 - 1).sum();
    out.resize(read + more, 0);
    let mut write = out.len();
    while read < write {
        read -= 1;
        let (text, length) = escaped(out[read]);
        write -= length;
        out[write..write + length].copy_from_slice(&text[..length]);
    }
}

/// A byte within a string, and how many bytes of it count.
fn escaped(byte: u8) -> ([u8; 6], usize) {
    let short = |letter: u8| ([b'\\', letter, 0, 0, 0, 0], 2);
    match byte {
        b'"' | b'\\' => short(byte),
        b'\n' => short(b'n'),
        b'\r' => short(b'r'),
        b'\t' => short(b't'),
        0..0x20 => {
            let [high, low] = hex_digits(byte);
            ([b'\\', b'u', b'0', b'0', high, low], 6)
        }
        byte => ([byte, 0, 0, 0, 0, 0], 1),
    }
}

/// A key with its quotes and colon.
fn key(name: &str) -> Vec<u8> {
    let mut out = vec![b'"'];
    out.extend_from_slice(name.as_bytes());
    escape(&mut out, 1);
    out.extend_from_slice(b"\":");
    out
}

/// Writes the items of `range` of `write`.
fn items(write: &Write<'_>, range: std::ops::Range<usize>, out: &mut Vec<u8>) -> Result<()> {
    out.push(b'[');
    let first = range.start;
    for row in range {
        if row > first {
            out.push(b',');
        }
        write(row, out)?;
    }
    out.push(b']');
    Ok(())
}

fn list<'a, O: OffsetSizeTrait>(array: &'a GenericListArray<O>, item: &FieldRef) -> Result<Write<'a>> {
    let write = writer(array.values().as_ref(), item)?;
    let offsets = array.value_offsets();
    Ok(Box::new(move |row, out| items(&write, offsets[row].as_usize()..offsets[row + 1].as_usize(), out)))
}

fn fixed_list<'a>(array: &'a FixedSizeListArray, item: &FieldRef) -> Result<Write<'a>> {
    let write = writer(array.values().as_ref(), item)?;
    let length = array.value_length() as usize;
    Ok(Box::new(move |row, out| {
        let start = array.value_offset(row) as usize;
        items(&write, start..start + length, out)
    }))
}

fn object(array: &StructArray) -> Result<Write<'_>> {
    let members = array.fields().iter().zip(array.columns());
    let members: Vec<(Vec<u8>, Write<'_>)> = members
        .map(|(field, column)| Ok((key(field.name()), writer(column.as_ref(), field)?)))
        .collect::<Result<_>>()?;
    Ok(Box::new(move |row, out| {
        out.push(b'{');
        for (index, (key, write)) in members.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(key);
            write(row, out)?;
        }
        out.push(b'}');
        Ok(())
    }))
}

fn map(array: &MapArray) -> Result<Write<'_>> {
    let entries = array.entries();
    let (keys, values) = (entries.column(0).as_ref(), entries.column(1).as_ref());
    let fields = entries.fields();
    let write_key = writer(keys, &fields[0])?;
    let write_value = writer(values, &fields[1])?;
    let offsets = array.value_offsets();
    Ok(Box::new(move |row, out| {
        out.push(b'{');
        let range = offsets[row] as usize..offsets[row + 1] as usize;
        for entry in range.clone() {
            if entry > range.start {
                out.push(b',');
            }
            let start = out.len();
            write_key(entry, out)?;
            // Keys are strings in JSON, whatever they are in Arrow.
            if out[start] != b'"' {
                out.insert(start, b'"');
                escape(out, start + 1);
                out.push(b'"');
            }
            out.push(b':');
            write_value(entry, out)?;
        }
        out.push(b'}');
        Ok(())
    }))
}
