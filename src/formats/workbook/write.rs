//! Columns to the cells of a sheet, or of several one behind the other, row by row: the library keeps one row in memory, and the
//! others in a file without a name.

use std::io::Write;
use std::path::Path;

use arrow::array::{Array, AsArray as _, BooleanArray, RecordBatch, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Field, SchemaRef};
use rust_xlsxwriter::{Format, Formula, Workbook, Worksheet, XlsxError};

use super::{CELL_UNITS, SHEET_COLUMNS, SHEET_ROWS, Settings};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::json;
use crate::formats::value::print;
use crate::schema::batch_bytes;

mod numbers;

use numbers::{Look, Numbers};

/// A text without a letter: a blank cell is NULL, this one is not.
const EMPTY_TEXT: &str = "=\"\"";

/// What the library calls the first sheet.
const FIRST_NAME: &str = "Sheet1";

/// Writes one sheet, or those that are named.
pub struct Encoder {
    workbook: Workbook,
    schema: SchemaRef,
    formats: [Format; 4],
    settings: Settings,
    /// The sheet that is written, from 0.
    sheet: usize,
    /// The next row of it.
    row: u32,
    bytes: u64,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("schema", &self.schema).field("row", &self.row).finish_non_exhaustive()
    }
}

/// What is written of one column of a batch.
enum Cells<'a> {
    Numbers(Numbers),
    Booleans(&'a BooleanArray),
    Texts(&'a StringArray),
    /// Values in the text that other formats have for them.
    Printed(print::Column<'a>),
    /// Lists, structs and maps, as JSON.
    Nested(&'a dyn Array, json::Write<'a>),
}

impl Encoder {
    /// Starts a sheet with the columns of `schema`. Rows that are written wait in `folder`, or where the system keeps
    /// such files.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for a name that no sheet may have, [`Unsupported`](ErrorKind::Unsupported) for more
    /// columns than a sheet has.
    pub fn new(schema: &SchemaRef, settings: &Settings, folder: Option<&Path>) -> Result<Self> {
        let width = schema.fields().len();
        if width > SHEET_COLUMNS {
            let message = format!("a sheet has at most {SHEET_COLUMNS} columns, and {width} come");
            return Err(Error::new(ErrorKind::Unsupported, message).with_hint("choose fewer with --select"));
        }
        let mut workbook = Workbook::new();
        if let Some(folder) = folder {
            workbook.set_tempdir(folder).map_err(failed)?;
        }
        let mut seen = vec![settings.sheet.as_deref().unwrap_or(FIRST_NAME).to_lowercase()];
        for name in &settings.sheets {
            // Heard of now, and not when the sheets before are full.
            set_name(Workbook::new().add_worksheet(), name)?;
            if seen.contains(&name.to_lowercase()) {
                return Err(Error::new(ErrorKind::Usage, format!("two sheets are named {name:?}")));
            }
            seen.push(name.to_lowercase());
        }
        let shown = |pattern: &str| Format::new().set_num_format(pattern);
        let formats =
            [shown("yyyy-mm-dd"), shown("yyyy-mm-dd hh:mm:ss.000"), shown("hh:mm:ss.000"), shown("[h]:mm:ss.000")];
        let (schema, settings) = (SchemaRef::clone(schema), settings.clone());
        let mut encoder = Self { workbook, schema, formats, settings, sheet: 0, row: 0, bytes: 0 };
        encoder.begin_sheet()?;
        Ok(encoder)
    }

    /// Adds the sheet whose turn it is, with a header where there is to be one.
    fn begin_sheet(&mut self) -> Result<()> {
        let Settings { sheet: first, sheets, header, .. } = &self.settings;
        let sheet = self.workbook.add_worksheet_with_constant_memory().map_err(failed)?;
        sheet.set_formula_result_default("");
        if let Some(name) = self.sheet.checked_sub(1).map_or(first.as_ref(), |place| sheets.get(place)) {
            set_name(sheet, name)?;
        }
        self.row = 0;
        if *header && !self.schema.fields().is_empty() {
            for (column, field) in self.schema.fields().iter().enumerate() {
                write_text(sheet, (0, column as u16), field.name()).at("column", || field.name())?;
            }
            self.row = 1;
        }
        Ok(())
    }

    /// Goes on in the next sheet with row `row`, for which the last one has no place.
    fn turn(&mut self, row: u64) -> Result<()> {
        if self.sheet < self.settings.sheets.len() {
            self.sheet += 1;
            return self.begin_sheet();
        }
        Err(Error::new(ErrorKind::Unsupported, format!("a sheet has at most {} rows", self.rows_max()))
            .at("row", row)
            .with_hint("write a folder of workbooks ('name/' with --to-format xlsx), or another format"))
    }

    /// Rows of a sheet.
    fn rows_max(&self) -> u32 {
        self.settings.sheet_rows.unwrap_or(SHEET_ROWS)
    }

    /// Takes rows, in order, `before` of which were written, to this workbook or to others before it: errors count from there.
    ///
    /// # Errors
    /// [`Value`](ErrorKind::Value) for a value that a cell cannot hold, with its row;
    /// [`Unsupported`](ErrorKind::Unsupported) for more rows than a sheet has, and for types without a text.
    pub fn encode(&mut self, batch: &RecordBatch, before: u64) -> Result<()> {
        let columns = self.schema.fields().iter().zip(batch.columns());
        let columns = columns.map(|(field, array)| cells(array.as_ref(), field, before).at("column", || field.name()));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let most = self.rows_max();
        let mut sheet = self.workbook.worksheet_from_index(self.sheet).map_err(failed)?;
        for index in 0..batch.num_rows() {
            let row = before + index as u64 + 1;
            if self.row >= most {
                self.turn(row)?;
                sheet = self.workbook.worksheet_from_index(self.sheet).map_err(failed)?;
            }
            let mut written = 0;
            for (column, cells) in columns.iter().enumerate() {
                let place = (self.row, column as u16);
                let was = cells.write(sheet, place, index, (&self.formats, self.settings.null.as_deref()));
                written += usize::from(was.at("column", || self.schema.field(column).name()).at("row", || row)?);
            }
            if written == 0 {
                return Err(Error::new(
                    ErrorKind::Value,
                    "a row of NULLs alone is a blank row in a sheet, and none when it is read",
                )
                .at("row", row)
                .with_hint("leave such rows out with --where, or give a column a value with --set"));
            }
            self.row += 1;
        }
        self.bytes += batch_bytes(batch) as u64;
        Ok(())
    }

    /// Bytes of the batches so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Rows that may still be written.
    pub fn room(&self) -> u64 {
        let has_header = self.settings.header && !self.schema.fields().is_empty();
        let each = u64::from(self.rows_max() - u32::from(has_header));
        let further = (self.settings.sheets.len() - self.sheet) as u64;
        u64::from(self.rows_max() - self.row) + further * each
    }

    /// Writes the workbook, and gives the number of its bytes.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self, out: &mut (dyn Write + Send)) -> Result<u64> {
        let mut counted = Counted { out, bytes: 0, refused: None };
        let saved = self.workbook.save_to_writer(&mut counted);
        if let Some(refused) = counted.refused {
            return Err(refused.into());
        }
        saved.map_err(failed)?;
        Ok(counted.bytes)
    }
}

/// Counts bytes, and keeps what the system refused: the library would end the thread by it.
struct Counted<'a> {
    out: &'a mut (dyn Write + Send),
    bytes: u64,
    refused: Option<std::io::Error>,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.refused.is_none() {
            self.refused = self.out.write_all(bytes).err();
        }
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn failed(source: XlsxError) -> Error {
    match source {
        XlsxError::IoError(source) | XlsxError::TempFileError(_, source) => source.into(),
        source => Error::new(ErrorKind::Internal, "the workbook cannot be written").with_source(source),
    }
}

/// Prepares a column; numbers are checked here, all at once. `before` are the rows of earlier batches.
fn cells<'a>(array: &'a dyn Array, field: &Field, before: u64) -> Result<Cells<'a>> {
    use arrow::datatypes::DataType;
    if let Some(numbers) = numbers::of(array, field, before)? {
        return Ok(Cells::Numbers(numbers));
    }
    Ok(match field.data_type() {
        DataType::Boolean => Cells::Booleans(array.as_boolean()),
        DataType::Utf8 => Cells::Texts(array.as_string()),
        _ => match print::column(array, field) {
            Some(column) => Cells::Printed(column),
            None => Cells::Nested(array, json::writer(array, field)?),
        },
    })
}

impl Cells<'_> {
    /// Writes one cell; false for a blank one, which is NULL.
    fn write(
        &self,
        sheet: &mut Worksheet,
        (row, column): (u32, u16),
        index: usize,
        (formats, null): (&[Format; 4], Option<&str>),
    ) -> Result<bool> {
        let valid = |nulls: Option<&NullBuffer>| nulls.is_none_or(|nulls| nulls.is_valid(index));
        let mut text = Vec::new();
        match self {
            Self::Numbers(numbers) if valid(numbers.nulls.as_ref()) => {
                let number = numbers.values[index];
                match numbers.look {
                    Look::Plain => sheet.write_number(row, column, number),
                    Look::Date => sheet.write_number_with_format(row, column, number, &formats[0]),
                    Look::Moment => sheet.write_number_with_format(row, column, number, &formats[1]),
                    Look::Time => sheet.write_number_with_format(row, column, number, &formats[2]),
                    Look::Duration => sheet.write_number_with_format(row, column, number, &formats[3]),
                }
                .map_err(failed)?;
                return Ok(true);
            }
            Self::Booleans(values) if values.is_valid(index) => {
                sheet.write_boolean(row, column, values.value(index)).map_err(failed)?;
                return Ok(true);
            }
            Self::Texts(values) if values.is_valid(index) => {
                tell_apart(values.value(index), null)?;
                write_text(sheet, (row, column), values.value(index))?;
                return Ok(true);
            }
            Self::Printed(printed) if valid(printed.nulls.as_ref()) => (printed.print)(index, &mut text),
            Self::Nested(array, write) if array.is_valid(index) => write(index, &mut text)?,
            _ => {
                let Some(text) = null.filter(|text| !text.is_empty()) else { return Ok(false) };
                write_text(sheet, (row, column), text)?;
                return Ok(true);
            }
        }
        let text = String::from_utf8(text)
            .map_err(|_| Error::new(ErrorKind::Internal, "a text that was written is not UTF-8"))?;
        tell_apart(&text, null)?;
        write_text(sheet, (row, column), &text)?;
        Ok(true)
    }
}

/// An error for a text that means NULL.
fn tell_apart(text: &str, null: Option<&str>) -> Result<()> {
    if null != Some(text) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Value, "the text cannot be told from the one that means NULL")
        .with_hint("set another text with the option null"))
}

fn set_name(sheet: &mut Worksheet, name: &str) -> Result<()> {
    sheet.set_name(name).map(drop).map_err(|source| {
        Error::new(ErrorKind::Usage, format!("no sheet can be named {name:?}"))
            .with_hint("a name has 1 to 31 characters, none of them []:*?/\\, and no apostrophe at its ends")
            .with_source(source)
    })
}

fn write_text(sheet: &mut Worksheet, (row, column): (u32, u16), text: &str) -> Result<()> {
    let written = if text.is_empty() {
        sheet.write_formula(row, column, Formula::new(EMPTY_TEXT)).map(drop)
    } else {
        sheet.write_string(row, column, text).map(drop)
    };
    written.map_err(|source| match source {
        XlsxError::MaxStringLengthExceeded => {
            let message = format!("a cell holds at most {CELL_UNITS} characters, and the text has more");
            Error::new(ErrorKind::Value, message).with_hint("shorten the text with --set, or write another format")
        }
        source => failed(source),
    })
}
