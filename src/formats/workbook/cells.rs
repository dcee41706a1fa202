//! The cells of a sheet: texts, with what their cells were.

use std::collections::HashSet;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::area::{Area, cell_name, column_name};
use super::{Options, SHEET_BYTES};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::Typing;
use crate::formats::csv::apply_casts;
use crate::formats::value::parse::{Form, Misfit, Texts, parse_column};
use crate::formats::value::type_name;
use crate::schema::record_batch;

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    pub(super) const INTEGER: Self = Self(1);
    pub(super) const NUMBER: Self = Self(1 << 1);
    pub(super) const BOOLEAN: Self = Self(1 << 2);
    /// A moment at the start of its day.
    pub(super) const DATE: Self = Self(1 << 3);
    pub(super) const MOMENT: Self = Self(1 << 4);
    pub(super) const TIME: Self = Self(1 << 5);
    pub(super) const DURATION: Self = Self(1 << 6);
    pub(super) const TEXT: Self = Self(1 << 7);

    fn within(self, others: u8) -> bool {
        self.0 & !others == 0
    }

    fn data_type(self) -> DataType {
        match self {
            Self(0) => DataType::Utf8,
            Self::INTEGER => DataType::Int64,
            kinds if kinds.within(Self::INTEGER.0 | Self::NUMBER.0) => DataType::Float64,
            Self::BOOLEAN => DataType::Boolean,
            Self::DATE => DataType::Date32,
            kinds if kinds.within(Self::DATE.0 | Self::MOMENT.0) => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TIME => DataType::Time64(TimeUnit::Microsecond),
            Self::DURATION => DataType::Duration(TimeUnit::Microsecond),
            _ => DataType::Utf8,
        }
    }
}

/// Where a text stands; a start beyond all of them is a blank cell.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    bytes: u32,
}

const BLANK: Span = Span { start: u32::MAX, bytes: 0 };

/// One column: its cells up to the last that is not blank.
#[derive(Debug, Default)]
struct Column {
    kinds: Kinds,
    spans: Vec<Span>,
}

/// What is read of a sheet, in memory.
#[derive(Debug)]
pub struct Sheet {
    name: String,
    area: Area,
    typing: Typing,
    header: bool,
    null: Option<String>,
    /// Names of columns, by their place in `columns`.
    names: Vec<String>,
    /// From `first` on.
    columns: Vec<Column>,
    /// The column of the sheet that is the first here, from 0.
    first: u32,
    /// Which row of the sheet each row is, from 0. Blank ones are left out.
    rows: Vec<u32>,
    /// The row of the header, once it was seen.
    head: Option<u32>,
    texts: Vec<u8>,
    /// Bytes of spans.
    span_bytes: usize,
}

impl Sheet {
    pub(super) fn new(name: String, options: &Options) -> Self {
        Self {
            name,
            area: options.area.clone(),
            typing: options.typing.clone(),
            header: options.header,
            null: options.null.clone(),
            names: Vec::new(),
            columns: Vec::new(),
            first: *options.area.columns.start(),
            rows: Vec::new(),
            head: None,
            texts: Vec::new(),
            span_bytes: 0,
        }
    }

    /// Whether a cell is read, and not beside what was asked for.
    pub(super) fn has(&self, row: u32, column: u32) -> bool {
        self.area.has(row, column)
    }

    /// Whether some of these cells are read.
    pub(super) fn overlaps(&self, rows: &RangeInclusive<u32>, columns: &RangeInclusive<u32>) -> bool {
        let apart = |left: &RangeInclusive<u32>, right: &RangeInclusive<u32>| {
            left.end() < right.start() || right.end() < left.start()
        };
        !apart(rows, &self.area.rows) && !apart(columns, &self.area.columns)
    }

    /// Whether a text means NULL.
    pub(super) fn is_null(&self, text: &str) -> bool {
        self.null.as_deref() == Some(text)
    }

    /// Takes a cell that says NULL: its row is there, whatever else it holds.
    pub(super) fn put_null(&mut self, row: u32) {
        let is_header = self.header && self.head.is_none_or(|head| head == row);
        if !is_header && self.rows.last().is_none_or(|last| *last < row) {
            self.rows.push(row);
        }
    }

    /// Takes a cell that is not blank, behind those before it. `print` writes its text.
    pub(super) fn put(
        &mut self,
        (row, column): (u32, u32),
        kind: Kinds,
        print: impl FnOnce(&mut Vec<u8>),
    ) -> Result<()> {
        let place = (column - self.first) as usize;
        if self.header && self.head.is_none_or(|head| head == row) {
            self.head = Some(row);
            let mut text = Vec::new();
            print(&mut text);
            self.names.resize(self.names.len().max(place + 1), String::new());
            self.names[place] = String::from_utf8(text).unwrap_or_default();
            return Ok(());
        }
        match self.rows.last() {
            Some(last) if *last == row => {}
            Some(last) if *last > row => {
                let message = "the cells of the sheet are not in order";
                return Err(Error::new(ErrorKind::Corrupt, message).at("cell", cell_name(row, column)));
            }
            _ => self.rows.push(row),
        }
        if self.columns.len() <= place {
            self.columns.resize_with(place + 1, Column::default);
        }
        let index = self.rows.len() - 1;
        let start = self.texts.len();
        print(&mut self.texts);
        let cells = &mut self.columns[place];
        self.span_bytes += (index + 1).saturating_sub(cells.spans.len()) * size_of::<Span>();
        if self.span_bytes + self.texts.len() > SHEET_BYTES {
            let message = format!("the cells of the sheet take more than {SHEET_BYTES} bytes of memory");
            return Err(Error::new(ErrorKind::Resource, message)
                .with_hint("read a part of it with the option range, or save it as CSV"));
        }
        cells.spans.resize(index + 1, BLANK);
        cells.spans[index] = Span { start: start as u32, bytes: (self.texts.len() - start) as u32 };
        cells.kinds.0 |= kind.0;
        Ok(())
    }

    /// To be called behind the last cell.
    ///
    /// # Errors
    /// [`Schema`](ErrorKind::Schema) when there is no column, or two of one name.
    pub(super) fn finish(mut self) -> Result<Self> {
        let seen = self.columns.len().max(self.names.len());
        if seen == 0 && (self.header || !self.area.named) {
            return Err(Error::new(ErrorKind::Schema, "the sheet is blank, so it has no columns")
                .with_hint("name another one with the option sheet, or other cells with range"));
        }
        let mut width = seen;
        if self.area.named {
            let all = (self.area.columns.end() - self.first) as usize + 1;
            let is_whole = *self.area.columns.end() + 1 == super::SHEET_COLUMNS as u32;
            width = if is_whole { seen } else { all };
        }
        self.columns.resize_with(width, Column::default);
        self.names.resize(width, String::new());
        if !self.area.named {
            let blank = |place: &usize| self.names[*place].is_empty() && self.columns[*place].spans.is_empty();
            let lead = (0..width).take_while(blank).count();
            self.columns.drain(..lead);
            self.names.drain(..lead);
            self.first += lead as u32;
        }
        let mut known = HashSet::new();
        for (place, name) in self.names.iter_mut().enumerate() {
            if name.is_empty() {
                *name = column_name(self.first + place as u32);
            }
            if !known.insert(name.clone()) {
                return Err(Error::new(ErrorKind::Schema, "the header names this column twice")
                    .with_hint("rename one of them in the sheet, or read it without its header")
                    .at("column", name));
            }
        }
        Ok(self)
    }

    /// How many rows there are, blank ones and the header left out.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The columns: each has the type that all of its cells have, or the one that the user gave.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for a cast of a column that is not there.
    pub fn schema(&self) -> Result<SchemaRef> {
        let field = |(name, column): (&String, &Column)| {
            let data_type = if self.typing.all_strings { DataType::Utf8 } else { column.kinds.data_type() };
            Field::new(name, data_type, true)
        };
        let fields = self.names.iter().zip(&self.columns).map(field).collect();
        Ok(Arc::new(Schema::new(apply_casts(&self.typing, fields)?)))
    }

    /// Some rows of the columns of `schema`, which are chosen by name. Processor work.
    ///
    /// # Errors
    /// [`Value`](ErrorKind::Value) for a cell that is not of its column's type, with its name;
    /// [`Schema`](ErrorKind::Schema) for a column that the sheet does not have.
    pub fn decode(&self, rows: Range<usize>, schema: &SchemaRef) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let place = self.names.iter().position(|name| name == field.name());
            let place = place.ok_or_else(|| {
                Error::new(ErrorKind::Schema, "the sheet has no such column").at("column", field.name())
            })?;
            let cells = Cells { sheet: self, column: &self.columns[place], rows: rows.clone() };
            // A cell that is a date has no form of its own.
            let are_dates = self.columns[place].kinds.within(Kinds::DATE.0 | Kinds::MOMENT.0);
            let form = self.typing.pattern_of(field).filter(|_| !are_dates).map_or(Form::Any, Form::Pattern);
            let parsed = parse_column(&cells, field, form);
            columns.push(parsed.map_err(|misfit| self.explain(misfit, (rows.start, place), field))?);
        }
        record_batch(schema, columns, rows.len())
    }

    fn explain(&self, misfit: Misfit, (first, place): (usize, usize), field: &Field) -> Error {
        let name = field.name();
        let cell =
            |row: usize| cell_name(self.rows.get(first + row).copied().unwrap_or_default(), self.first + place as u32);
        let error = match misfit {
            Misfit::Row(row) | Misfit::Encoding(row, _) => {
                Error::new(ErrorKind::Value, format!("the cell is no {}", type_name(field)))
                    .with_hint(format!("read the column as text with --cast {name}:text, or name its right type"))
                    .at("cell", cell(row))
            }
            Misfit::Type => {
                Error::new(ErrorKind::Unsupported, format!("a cell cannot be read as {}", type_name(field)))
            }
            Misfit::Size => Error::new(ErrorKind::Resource, "the texts of one batch exceed 2 GiB"),
        };
        error.at("column", name).at("sheet", &self.name)
    }
}

/// Some cells of a column.
struct Cells<'a> {
    sheet: &'a Sheet,
    column: &'a Column,
    rows: Range<usize>,
}

impl Texts for Cells<'_> {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    #[inline]
    fn text<'a>(&'a self, row: usize, _scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let span = self.column.spans.get(self.rows.start + row).filter(|span| span.start != BLANK.start)?;
        self.sheet.texts.get(span.start as usize..span.start as usize + span.bytes as usize)
    }
}
