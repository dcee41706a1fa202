//! The cells that the library finds, as texts with their kinds.

use std::fmt::Display;
use std::io::{Read, Seek};

use arrow::datatypes::{IntervalMonthDayNano, TimeUnit};
use calamine::{Data, DataRef, Dimensions, ExcelDateTime, Ods, OdsError, Reader, Xls, XlsError, Xlsx, XlsxError};

use super::area::cell_name;
use super::cells::{Kinds, Sheet};
use super::serial::{self, DAY_MICROS, Epoch};
use super::{FILE_BYTES, Options, PART_BYTES, WHOLE, no_workbook, parts};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::extension::Format;
use crate::formats::value::time::Zone;
use crate::formats::value::{interval, number, time};

const UNIT: TimeUnit = TimeUnit::Microsecond;

/// The errors that `OpenFormula` names, as programs show them. `LibreOffice` has others by number: `Err:502`.
const FAILURES: [&str; 7] = ["#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!"];

/// Reads one sheet of a workbook of `format` that has so many bytes.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) when it is encrypted or holds merged cells,
/// [`NotFound`](ErrorKind::NotFound) for a sheet that it does not have, [`Value`](ErrorKind::Value) for a cell that holds
/// an error or a day that never was, [`Resource`](ErrorKind::Resource) when it is too large,
/// [`Corrupt`](ErrorKind::Corrupt) when it is no workbook, or damaged.
pub fn read<R: Read + Seek>(reader: R, (format, bytes): (Format, u64), options: &Options) -> Result<Sheet> {
    if bytes > FILE_BYTES {
        let message =
            format!("the workbook has {bytes} bytes, and its sheets are held in memory: {FILE_BYTES} at most");
        return Err(Error::new(ErrorKind::Resource, message).with_hint("save the sheet as CSV"));
    }
    match format {
        Format::Xls => read_xls(reader, options),
        Format::Ods => read_ods(reader, options),
        _ => read_xlsx(reader, options),
    }
}

fn read_xlsx<R: Read + Seek>(mut reader: R, options: &Options) -> Result<Sheet> {
    parts::refuse_large(&mut reader, "sharedStrings.xml", PART_BYTES)?;
    reader.rewind()?;
    let mut workbook = Xlsx::new(reader).map_err(of_xlsx)?;
    let name = chosen(&workbook.sheet_names(), options)?;
    let at = || name.clone();
    let epoch = if workbook.has_1904_epoch() { Epoch::Year1904 } else { Epoch::Year1900 };
    let merged = workbook.merge_cells_by_sheet_name(&name).map_err(of_xlsx).at("sheet", at)?;
    let mut sheet = Sheet::new(name.clone(), options);
    refuse_merged(&sheet, &merged).at("sheet", at)?;
    let mut cells = workbook.worksheet_cells_reader(&name).map_err(of_xlsx).at("sheet", at)?;
    while let Some(cell) = cells.next_cell().map_err(of_xlsx).at("sheet", at)? {
        put(&mut sheet, cell.get_position(), cell.get_value(), epoch).at("sheet", at)?;
    }
    sheet.finish().at("sheet", at)
}

fn read_xls<R: Read + Seek>(reader: R, options: &Options) -> Result<Sheet> {
    let mut workbook = Xls::new(reader).map_err(of_xls)?;
    let name = chosen(&workbook.sheet_names(), options)?;
    let epoch = if workbook.has_1904_epoch() { Epoch::Year1904 } else { Epoch::Year1900 };
    let merged = workbook.merge_cells_by_sheet_name(&name).map_err(of_xls).at("sheet", || &name)?;
    let sheet = Sheet::new(name.clone(), options);
    refuse_merged(&sheet, &merged).at("sheet", || &name)?;
    let range = workbook.worksheet_range(&name).map_err(of_xls).at("sheet", || &name)?;
    put_all(sheet, &range, epoch).at("sheet", || &name)
}

fn read_ods<R: Read + Seek>(mut reader: R, options: &Options) -> Result<Sheet> {
    parts::refuse_large(&mut reader, "content.xml", PART_BYTES)?;
    reader.rewind()?;
    let mut workbook = Ods::new(reader).map_err(of_ods)?;
    let name = chosen(&workbook.sheet_names(), options)?;
    let range = workbook.worksheet_range(&name).map_err(of_ods).at("sheet", || &name)?;
    let formulas = workbook.worksheet_formula(&name).map_err(of_ods).at("sheet", || &name)?;
    let sheet = Sheet::new(name.clone(), options);
    refuse_failed(&sheet, &range, &formulas).at("sheet", || &name)?;
    put_all(sheet, &range, Epoch::Year1900).at("sheet", || &name)
}

/// Refuses a formula without a value: to the library of OpenDocument its error is a text like any.
fn refuse_failed(sheet: &Sheet, range: &calamine::Range<Data>, formulas: &calamine::Range<String>) -> Result<()> {
    let (top, left) = range.start().unwrap_or_default();
    for (row, column, value) in range.used_cells() {
        let (row, column) = (top + row as u32, left + column as u32);
        let Data::String(text) = value else { continue };
        let is_code = |code: &str| code.parse::<u16>().is_ok();
        let is_error = FAILURES.contains(&text.as_str()) || text.strip_prefix("Err:").is_some_and(is_code);
        let is_formula = || formulas.get_value((row, column)).is_some_and(|formula| !formula.is_empty());
        if is_error && sheet.has(row, column) && is_formula() {
            return Err(failed(text).at("cell", cell_name(row, column)));
        }
    }
    Ok(())
}

fn put_all(mut sheet: Sheet, range: &calamine::Range<Data>, epoch: Epoch) -> Result<Sheet> {
    let (top, left) = range.start().unwrap_or_default();
    for (row, column, value) in range.used_cells() {
        put(&mut sheet, (top + row as u32, left + column as u32), &borrowed(value), epoch)?;
    }
    sheet.finish()
}

/// The same value without its text.
fn borrowed(value: &Data) -> DataRef<'_> {
    match value {
        Data::Int(value) => DataRef::Int(*value),
        Data::Float(value) => DataRef::Float(*value),
        Data::String(text) => DataRef::SharedString(text),
        Data::Bool(value) => DataRef::Bool(*value),
        Data::DateTime(value) => DataRef::DateTime(*value),
        Data::DateTimeIso(text) => DataRef::DateTimeIso(text.clone()),
        Data::DurationIso(text) => DataRef::DurationIso(text.clone()),
        Data::Error(error) => DataRef::Error(error.clone()),
        Data::Empty => DataRef::Empty,
    }
}

/// The sheet that is meant: by name, then by number.
fn chosen(names: &[String], options: &Options) -> Result<String> {
    let first = || Error::new(ErrorKind::Corrupt, "the workbook has no sheet");
    let Some(wanted) = &options.sheet else { return names.first().cloned().ok_or_else(first) };
    let by_number = || wanted.parse::<usize>().ok().and_then(|number| names.get(number.checked_sub(1)?));
    names.iter().find(|name| *name == wanted).or_else(by_number).cloned().ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("the workbook has no sheet {wanted:?}"))
            .with_hint(format!("it has {}", names.join(", ")))
    })
}

fn refuse_merged(sheet: &Sheet, merged: &[Dimensions]) -> Result<()> {
    let Some(cells) = merged.iter().find(|cells| {
        let (rows, columns) = (cells.start.0..=cells.end.0, cells.start.1..=cells.end.1);
        sheet.overlaps(&rows, &columns)
    }) else {
        return Ok(());
    };
    let message = "cells are merged, so nobody can tell which rows and columns the value is of";
    let place = format!("{}:{}", cell_name(cells.start.0, cells.start.1), cell_name(cells.end.0, cells.end.1));
    Err(Error::new(ErrorKind::Unsupported, message)
        .at("cells", place)
        .with_hint("unmerge them in the workbook, or read others with the option range, such as range=A5:F200"))
}

/// Puts one cell into the sheet.
fn put(sheet: &mut Sheet, (row, column): (u32, u32), value: &DataRef<'_>, epoch: Epoch) -> Result<()> {
    if !sheet.has(row, column) {
        return Ok(());
    }
    let place = (row, column);
    let text = |sheet: &mut Sheet, text: &str| {
        if sheet.is_null(text) {
            sheet.put_null(row);
            return Ok(());
        }
        sheet.put(place, Kinds::TEXT, |out| out.extend_from_slice(text.as_bytes()))
    };
    match value {
        DataRef::Empty => Ok(()),
        DataRef::Int(value) => sheet.put(place, Kinds::INTEGER, |out| number::print_integer(*value, out)),
        DataRef::Float(value) => put_number(sheet, place, *value),
        DataRef::Bool(value) => {
            let word: &[u8] = if *value { b"true" } else { b"false" };
            sheet.put(place, Kinds::BOOLEAN, |out| out.extend_from_slice(word))
        }
        DataRef::String(value) => text(sheet, value),
        DataRef::SharedString(value) => text(sheet, value),
        DataRef::DateTime(value) => put_serial(sheet, place, *value, epoch),
        DataRef::DateTimeIso(value) => match time::timestamp(value.as_bytes(), UNIT, Zone::Local) {
            Some(micros) => put_moment(sheet, place, micros),
            None => text(sheet, value),
        },
        DataRef::DurationIso(value) => {
            let parts = interval::interval(value.as_bytes()).filter(|parts| parts.months == 0);
            let micros = |parts: IntervalMonthDayNano| {
                i64::from(parts.days).checked_mul(DAY_MICROS)?.checked_add(parts.nanoseconds / 1000)
            };
            match parts.and_then(micros) {
                Some(micros) => put_time(sheet, place, micros),
                None => text(sheet, value),
            }
        }
        DataRef::Error(error) => Err(failed(error).at("cell", cell_name(row, column))),
    }
}

fn failed(error: &dyn Display) -> Error {
    Error::new(ErrorKind::Value, format!("the cell holds the error {error} and no value"))
        .with_hint("correct its formula in the workbook, or read other cells with the option range")
}

fn put_number(sheet: &mut Sheet, place: (u32, u32), value: f64) -> Result<()> {
    let whole = value.fract() == 0.0 && value.abs() <= WHOLE && (value != 0.0 || value.is_sign_positive());
    if whole {
        return sheet.put(place, Kinds::INTEGER, |out| number::print_integer(value as i64, out));
    }
    sheet.put(place, Kinds::NUMBER, |out| number::print_float(value, out))
}

/// A number that is shown as a date, a time or a duration.
fn put_serial(sheet: &mut Sheet, place: (u32, u32), value: ExcelDateTime, epoch: Epoch) -> Result<()> {
    let no_day = || {
        Error::new(ErrorKind::Value, "the cell is shown as a date, and is none from 1900-03-01 to 9999-12-31")
            .with_hint("show it as a number in the workbook, or put the date there as text")
            .at("cell", cell_name(place.0, place.1))
    };
    let number = value.as_f64();
    let micros = serial::micros(number).ok_or_else(no_day)?;
    if value.is_duration() {
        return sheet.put(place, Kinds::DURATION, |out| time::print_time(micros, UNIT, out));
    }
    // Before the first day there are times of no day.
    if (0.0..1.0).contains(&number) {
        return put_time(sheet, place, micros.min(DAY_MICROS - 1000));
    }
    let day = epoch.unix_day(micros.div_euclid(DAY_MICROS)).ok_or_else(no_day)?;
    put_moment(sheet, place, day * DAY_MICROS + micros.rem_euclid(DAY_MICROS))
}

/// A moment in microseconds since 1970.
fn put_moment(sheet: &mut Sheet, place: (u32, u32), micros: i64) -> Result<()> {
    if micros.rem_euclid(DAY_MICROS) == 0 {
        return sheet.put(place, Kinds::DATE, |out| time::print_date(micros.div_euclid(DAY_MICROS), out));
    }
    sheet.put(place, Kinds::MOMENT, |out| time::print_timestamp(micros, UNIT, Zone::Local, out))
}

/// A time of day; longer or negative ones are durations.
fn put_time(sheet: &mut Sheet, place: (u32, u32), micros: i64) -> Result<()> {
    let kind = if (0..DAY_MICROS).contains(&micros) { Kinds::TIME } else { Kinds::DURATION };
    sheet.put(place, kind, |out| time::print_time(micros, UNIT, out))
}

fn encrypted() -> Error {
    Error::new(ErrorKind::Unsupported, "the workbook is encrypted").with_hint("save it without a password")
}

fn of_xlsx(error: XlsxError) -> Error {
    match error {
        XlsxError::Io(error) => error.into(),
        XlsxError::Password => encrypted(),
        other => no_workbook().with_source(other),
    }
}

fn of_xls(error: XlsError) -> Error {
    match error {
        XlsError::Io(error) => error.into(),
        XlsError::Password => encrypted(),
        other => no_workbook().with_source(other),
    }
}

fn of_ods(error: OdsError) -> Error {
    match error {
        OdsError::Io(error) => error.into(),
        OdsError::Password => encrypted(),
        OdsError::CellLimitExceeded { max, .. } => {
            let message = format!("the sheet spans more than {max} cells");
            Error::new(ErrorKind::Resource, message).with_hint("save the sheet as CSV")
        }
        other => no_workbook().with_source(other),
    }
}
