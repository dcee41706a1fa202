//! One column of a batch into cells of COPY's text format: for tables with a type that has only a text form.
//!
//! Slower than binary, and exact: every value is written so that the server's input function reads the same value,
//! whatever the session's settings are.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt32Type,
};

use super::cells::{Cells, Encoded, bare};
use super::check::{self, Check};
use super::{Column, EPOCH_DAYS, EPOCH_MICROS, Layout, Refusal, column, infinite, json, wire_text};

/// Appends the text of a row that is not NULL; a message when it has none.
type Render<'a> = Box<dyn Fn(usize, &mut String) -> Result<(), &'static str> + 'a>;

/// Text cells of `array`, each with `end` after it.
pub(super) fn prepare(column: &Column, array: &ArrayRef, end: u8) -> Result<Box<dyn Cells>, Refusal> {
    let array = &match column.layout {
        _ if column.wire => infinite::wires(array)?,
        Layout::Array { .. } => json::literals(array),
        _ => Arc::clone(array),
    };
    if column.check != Check::None {
        checked(column, array)?;
    }
    let render = if column.wire { wire(&column.layout, array)? } else { value(array)? };
    let mut out = Encoded::with_capacity(array.len(), 16);
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) || *array.data_type() == DataType::Null {
            out.bytes.extend_from_slice(b"\\N");
        } else {
            text.clear();
            render(row, &mut text).map_err(|why| Refusal::new(row, why))?;
            escape(text.as_bytes(), &mut out.bytes);
        }
        out.bytes.push(end);
        out.end();
    }
    Ok(bare(out))
}

/// The same checks as in binary; what only the server can parse is judged by its text.
fn checked(column: &Column, array: &ArrayRef) -> Result<(), Refusal> {
    let why = |text: &str| check::spelled(column.check, text);
    match (&column.layout, array.data_type()) {
        (Layout::Other, _) => spelled(array, &why),
        (Layout::Array { element, .. }, DataType::List(_)) if **element == Layout::Other => spelled(array, &why),
        (Layout::Array { .. }, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
            spelled(array, &|text: &str| check::spelled_elements(text, why))
        }
        // The cells are not needed.
        _ => column::prepare(column, array).map(drop),
    }
}

/// Refuses the first row with a text that `why` refuses, in lists any of theirs.
fn spelled(array: &ArrayRef, why: &dyn Fn(&str) -> Option<String>) -> Result<(), Refusal> {
    if let Some(list) = array.as_list_opt::<i32>() {
        let offsets = list.value_offsets();
        let (start, end) = (offsets[0] as usize, offsets[offsets.len() - 1] as usize);
        return spelled(&list.values().slice(start, end - start), why).map_err(|refusal| {
            let owner = offsets.partition_point(|&offset| offset as usize <= start + refusal.row);
            Refusal::new(owner.saturating_sub(1), refusal.message)
        });
    }
    column::each_text(array, |row, text| why(text).map_or(Ok(()), |message| Err(Refusal::new(row, message))))
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.push(byte),
        }
    }
}

fn wire<'a>(layout: &'a Layout, array: &'a ArrayRef) -> Result<Render<'a>, Refusal> {
    let Some(array) = array.as_binary_opt::<i32>() else {
        return Err(Refusal::new(0, "the wire form of a column is not binary"));
    };
    Ok(Box::new(move |row, out| {
        wire_text::put(layout, array.value(row), out).ok_or("the value is not in the wire form of its type")
    }))
}

/// How values of `array` are written, by its Arrow type.
fn value(array: &ArrayRef) -> Result<Render<'_>, Refusal> {
    macro_rules! plain {
        ($type:ty) => {{
            let values = array.as_primitive::<$type>().values();
            Box::new(move |row, out: &mut String| shown(write!(out, "{}", values[row])))
        }};
    }
    Ok(match array.data_type() {
        DataType::Null => Box::new(|_, _| Ok(())),
        DataType::Boolean => {
            let values = array.as_boolean().values();
            Box::new(move |row, out| shown(write!(out, "{}", values.value(row))))
        }
        DataType::Int16 => plain!(Int16Type),
        DataType::Int32 => plain!(Int32Type),
        DataType::Int64 => plain!(Int64Type),
        DataType::UInt32 => plain!(UInt32Type),
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>().values();
            Box::new(move |row, out| shown(write!(out, "{:e}", values[row])))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().values();
            Box::new(move |row, out| shown(write!(out, "{:e}", values[row])))
        }
        DataType::Decimal128(..) => {
            let values = array.as_primitive::<Decimal128Type>();
            Box::new(move |row, out| shown(write!(out, "{}", values.value_as_string(row))))
        }
        DataType::Decimal256(..) => {
            let values = array.as_primitive::<Decimal256Type>();
            Box::new(move |row, out| shown(write!(out, "{}", values.value_as_string(row))))
        }
        DataType::Utf8 => texts(move |row| array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => texts(move |row| array.as_string::<i64>().value(row)),
        DataType::Utf8View => texts(move |row| array.as_string_view().value(row)),
        DataType::Binary => hex(move |row| array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => hex(move |row| array.as_binary::<i64>().value(row)),
        DataType::BinaryView => hex(move |row| array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(16) => Box::new(move |row, out| {
            let bytes = array.as_fixed_size_binary().value(row);
            uuid::Uuid::from_slice(bytes).ok().map(|uuid| shown(write!(out, "{uuid}"))).ok_or("not a UUID")?
        }),
        DataType::List(_) => list(array)?,
        _ => time(array)?,
    })
}

fn time(array: &ArrayRef) -> Result<Render<'_>, Refusal> {
    Ok(match array.data_type() {
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>().values();
            Box::new(move |row, out| {
                let days = values[row].checked_sub(EPOCH_DAYS).ok_or("the date is too early for the server")?;
                wire_text::put_date(days.into(), out);
                Ok(())
            })
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            let values = array.as_primitive::<Time64MicrosecondType>().values();
            Box::new(move |row, out| {
                wire_text::put_time(values[row], out);
                Ok(())
            })
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let values = array.as_primitive::<TimestampMicrosecondType>().values();
            Box::new(move |row, out| {
                let micros = values[row].checked_sub(EPOCH_MICROS).ok_or("the time is too early for the server")?;
                wire_text::put_timestamp(micros, out);
                Ok(())
            })
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>().values();
            Box::new(move |row, out| {
                let value = values[row];
                if value.nanoseconds % 1000 != 0 {
                    return Err("the interval is finer than a microsecond");
                }
                wire_text::put_interval(value.months, value.days, value.nanoseconds / 1000, out);
                Ok(())
            })
        }
        other => {
            let message = format!("values of the Arrow type {other} cannot be written as text for this column");
            return Err(Refusal::new(0, message));
        }
    })
}

/// Writing into memory does not fail.
fn shown(result: std::fmt::Result) -> Result<(), &'static str> {
    result.map_err(|_| "the value has no text")
}

fn texts<'a>(value: impl Fn(usize) -> &'a str + 'a) -> Render<'a> {
    Box::new(move |row, out| {
        out.push_str(value(row));
        Ok(())
    })
}

fn hex<'a>(value: impl Fn(usize) -> &'a [u8] + 'a) -> Render<'a> {
    Box::new(move |row, out| {
        wire_text::put_hex(value(row), out);
        Ok(())
    })
}

/// `{1,2,"x"}`: every element in quotes but NULL and inner lists.
fn list(array: &ArrayRef) -> Result<Render<'_>, Refusal> {
    let array = array.as_list::<i32>();
    let elements = array.values();
    let nested = matches!(elements.data_type(), DataType::List(_));
    let render = value(elements)?;
    Ok(Box::new(move |row, out| {
        let offsets = array.value_offsets();
        let range = offsets[row] as usize..offsets[row + 1] as usize;
        let start = range.start;
        let mut text = String::new();
        out.push('{');
        for at in range {
            if at > start {
                out.push(',');
            }
            if elements.is_null(at) && nested {
                return Err("a NULL stands where the array needs a further dimension");
            } else if elements.is_null(at) {
                out.push_str("NULL");
            } else if nested {
                render(at, out)?;
            } else {
                text.clear();
                render(at, &mut text)?;
                wire_text::put_quoted(&text, out);
            }
        }
        out.push('}');
        Ok(())
    }))
}
