//! Fields to typed columns.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::FixedOffset;

use super::escape;
use super::options::{Escape, FieldOptions, Kind, LooseOptions, Records as Length};
use super::pattern;
use super::tokenize::{Fault, LONGEST, Marks, Records, Width, lines, tokenize};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::csv::unescape;
use crate::formats::sift::{Misfits, Refused, part};
use crate::formats::value::Pattern;
use crate::formats::value::number::is_plain;
use crate::formats::value::parse::{Form, Misfit, Texts, sift_column};
use crate::formats::{Layout, Piece};
use crate::reject::Rejects;
use crate::schema::{DIGITS, WHOLE, record_batch, with_metadata};

/// How the columns of a file are read: the options, looked through once.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) options: LooseOptions,
    pub(super) marks: Marks,
    pub(super) zone: Option<FixedOffset>,
    /// Per named column how its dates are written.
    patterns: Vec<Option<Pattern>>,
    /// How dates of the others may be written, too.
    extra: Vec<Pattern>,
}

impl Reading {
    /// `options`, of which fields and records end as told.
    pub(super) fn new(options: &LooseOptions, (delimiter, line_end): (u8, Option<u8>)) -> Result<Self> {
        let pattern = |field: &FieldOptions| {
            let format = field.format.as_deref().or(options.date_format.as_deref());
            format.map(Pattern::lenient).transpose()
        };
        Ok(Self {
            marks: Marks {
                delimiter,
                quote: options.mark(),
                trim: options.trim,
                keep_blank_lines: options.keep_blank_lines,
                escape: (options.escape == Escape::Backslash).then_some(escape::BACKSLASH),
                line_end,
                comment: options.comment.bytes().next(),
            },
            zone: options.zone.as_deref().and_then(pattern::offset),
            patterns: options.fields.iter().map(pattern).collect::<Result<_>>()?,
            extra: options.extra_formats.iter().map(|format| Pattern::lenient(format)).collect::<Result<_>>()?,
            options: options.clone(),
        })
    }

    /// The columns that were named; without names there are `width` of text.
    pub(super) fn schema(&self, width: usize) -> SchemaRef {
        let field = |name: &str, kind: Kind| {
            let field = Field::new(name, self.data_type(kind), true);
            match kind {
                Kind::Number => with_metadata(field, DIGITS, "decimal"),
                Kind::Integer => with_metadata(field, DIGITS, WHOLE),
                _ => field,
            }
        };
        let named = &self.options.fields;
        let fields: Vec<Field> = if named.is_empty() {
            (1..=width).map(|place| field(&format!("c{place}"), Kind::Text)).collect()
        } else {
            named.iter().map(|column| field(&column.name, column.kind)).collect()
        };
        Arc::new(Schema::new(fields))
    }

    fn data_type(&self, kind: Kind) -> DataType {
        match kind {
            Kind::Text | Kind::Number | Kind::Integer => DataType::Utf8,
            Kind::Whole => DataType::Int64,
            Kind::Double => DataType::Float64,
            Kind::Truth => DataType::Boolean,
            Kind::Moment => {
                let zone = self.zone.map(|zone| zone.to_string().into());
                DataType::Timestamp(TimeUnit::Microsecond, zone)
            }
        }
    }

    /// How many fields of each record are kept for `columns`.
    fn width(&self, columns: usize) -> Width {
        let fields = &self.options.fields;
        let kept = if fields.is_empty() {
            columns
        } else {
            fields.iter().filter_map(|field| field.index).max().map_or(0, |last| last + 1)
        };
        Width { kept, length: self.options.records, whole: fields.is_empty() }
    }

    /// The records of a sample, as wide as they come.
    pub(super) fn widest(&self, bytes: &[u8], limit: usize) -> usize {
        let any = Width { kept: 0, length: Length::Ragged, whole: false };
        tokenize(bytes, self.marks, any, limit).widest
    }

    /// Decodes the columns of `schema`, and gives the records that cannot be decoded beside them.
    pub(super) fn sift(
        &self,
        piece: &Piece<'_>,
        layout: &Layout,
        schema: &SchemaRef,
    ) -> Result<(RecordBatch, Option<Rejects>)> {
        if piece.bytes.len() >= LONGEST {
            let message = "a record, or a piece of records, is longer than 1 GiB";
            return Err(Error::new(ErrorKind::Resource, message).at("line", piece.first_line));
        }
        let records = tokenize(piece.bytes, self.marks, self.width(layout.columns.len()), usize::MAX);
        let columns = self.columns(piece.bytes, layout, (schema, &records))?;
        let mut misfits = Misfits::default();
        let mut arrays = Vec::with_capacity(columns.len());
        for (index, (column, field)) in columns.iter().zip(schema.fields()).enumerate() {
            let parsed = column.parse(field, &mut |misfit| misfits.note(index, misfit));
            arrays.push(parsed.map_err(|misfit| describe(misfit, field))?);
        }
        let mut refused: Vec<Refused> = records
            .bad
            .iter()
            .map(|bad| Refused {
                offset: bad.record.start,
                row: None,
                record: Some(String::from_utf8_lossy(&piece.bytes[bad.record.clone()]).into_owned()),
                error: explain(bad.fault),
            })
            .collect();
        refused.extend(misfits.of_rows().into_iter().map(|(row, index, misfit)| Refused {
            offset: records.starts[row],
            row: Some(row),
            record: None,
            error: describe(misfit, &schema.fields()[index]),
        }));
        let all = record_batch(schema, arrays, records.starts.len())?;
        part(&all, &columns, (refused, piece.first_line), |part| lines(piece.bytes, part))
    }

    fn columns<'a>(
        &'a self,
        bytes: &'a [u8],
        layout: &Layout,
        (schema, records): (&SchemaRef, &'a Records),
    ) -> Result<Vec<Column<'a>>> {
        let places = layout.places();
        let rows = records.starts.len();
        let width = records.fields.len().checked_div(rows).unwrap_or(0);
        let column = |field: &Arc<Field>| {
            let place = *places.get(field.name().as_str()).ok_or_else(|| {
                Error::new(ErrorKind::Schema, "the file has no such column").at("column", field.name())
            })?;
            let named = self.options.fields.get(place);
            let source = match named {
                Some(FieldOptions { value: Some(value), .. }) => Origin::Constant(value.as_bytes()),
                Some(FieldOptions { index: Some(index), .. }) => Origin::Place(*index),
                _ => Origin::Place(place),
            };
            Ok(Column {
                bytes,
                records,
                width,
                rows,
                source,
                kind: named.map_or(Kind::Text, |field| field.kind),
                null: named.and_then(|field| field.null.as_deref()).or(self.options.null.as_deref()),
                reading: self,
                pattern: self.patterns.get(place).and_then(Option::as_ref),
            })
        };
        schema.fields().iter().map(column).collect()
    }
}

/// Where the values of a column come from.
#[derive(Clone, Copy)]
enum Origin<'a> {
    Place(usize),
    Constant(&'a [u8]),
}

/// One column of a piece.
struct Column<'a> {
    bytes: &'a [u8],
    records: &'a Records,
    width: usize,
    rows: usize,
    source: Origin<'a>,
    kind: Kind,
    /// The text that means NULL.
    null: Option<&'a str>,
    reading: &'a Reading,
    pattern: Option<&'a Pattern>,
}

impl Column<'_> {
    /// The array; `refuse` gets each text that is no value.
    fn parse(&self, field: &Field, refuse: &mut dyn FnMut(Misfit) -> Result<(), Misfit>) -> Result<ArrayRef, Misfit> {
        match self.kind {
            Kind::Text | Kind::Whole | Kind::Double => sift_column(self, field, Form::Any, refuse),
            Kind::Truth => sift_column(self, field, Form::Plain, refuse),
            Kind::Number | Kind::Integer => self.numbers(refuse),
            Kind::Moment => self.moments(field, refuse),
        }
    }

    fn numbers(&self, refuse: &mut dyn FnMut(Misfit) -> Result<(), Misfit>) -> Result<ArrayRef, Misfit> {
        let mut texts = StringBuilder::with_capacity(self.rows, self.rows * 8);
        let (mut scratch, mut digits) = (Vec::new(), Vec::new());
        for row in 0..self.rows {
            let Some(text) = self.text(row, &mut scratch) else {
                texts.append_null();
                continue;
            };
            let number = match self.kind {
                Kind::Integer if is_integer(text) => Some(text),
                Kind::Integer => whole(text, &mut digits),
                _ => Some(text).filter(|text| is_number(text)),
            };
            if let Some(number) = number.and_then(|number| std::str::from_utf8(number).ok()) {
                texts.append_value(number);
            } else {
                refuse(Misfit::Row(row))?;
                texts.append_null();
            }
        }
        Ok(Arc::new(texts.finish()))
    }

    fn moments(&self, field: &Field, refuse: &mut dyn FnMut(Misfit) -> Result<(), Misfit>) -> Result<ArrayRef, Misfit> {
        let mut moments =
            TimestampMicrosecondBuilder::with_capacity(self.rows).with_data_type(field.data_type().clone());
        let mut scratch = Vec::new();
        for row in 0..self.rows {
            let Some(text) = self.text(row, &mut scratch) else {
                moments.append_null();
                continue;
            };
            let by = |pattern: Option<&Pattern>| pattern::read(text, pattern, self.reading.zone);
            let read = match self.pattern {
                None => by(None).or_else(|| self.reading.extra.iter().find_map(|pattern| by(Some(pattern)))),
                pattern => by(pattern),
            };
            if read.is_none() {
                refuse(Misfit::Row(row))?;
            }
            moments.append_option(read);
        }
        Ok(Arc::new(moments.finish()))
    }
}

impl Texts for Column<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    #[inline]
    fn text<'a>(&'a self, row: usize, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let text = match self.source {
            Origin::Constant(text) => text,
            Origin::Place(place) => {
                let field = self.records.fields[row * self.width + place];
                if field.is_absent() {
                    return None;
                }
                let text = &self.bytes[field.range()];
                if field.is_doubled() {
                    // It holds a quote or an escape, so it is neither a number nor true or false.
                    match self.reading.options.escape {
                        Escape::Doubled => unescape(text, self.reading.marks.quote.unwrap_or_default(), scratch),
                        Escape::Backslash => escape::resolve(text, scratch),
                    }
                    return self.known(scratch);
                }
                text
            }
        };
        let text = self.known(text)?;
        match self.kind {
            Kind::Whole if !text.iter().all(u8::is_ascii_digit) => Some(whole(text, scratch).unwrap_or(text)),
            Kind::Truth if text.eq_ignore_ascii_case(b"true") => Some(b"true"),
            Kind::Truth if text.eq_ignore_ascii_case(b"false") => Some(b"false"),
            _ => Some(text),
        }
    }
}

impl Column<'_> {
    /// `text`, unless it means NULL. A constant never does.
    fn known<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        let null = self.null.filter(|_| matches!(self.source, Origin::Place(_)));
        null.is_none_or(|null| null.as_bytes() != text).then_some(text)
    }
}

/// What [`digits`] finds.
type Digits<'a> = (&'a [u8], &'a [u8], &'a [u8], i32);

/// Digits with a point and an exponent: sign, digits, digits behind the point, exponent.
fn digits(text: &[u8]) -> Option<Digits<'_>> {
    let (sign, rest) = match text.first()? {
        b'+' | b'-' => text.split_at(1),
        _ => text.split_at(0),
    };
    let (mantissa, exponent) = match memchr::memchr2(b'e', b'E', rest) {
        Some(at) => (&rest[..at], std::str::from_utf8(&rest[at + 1..]).ok()?.parse().ok()?),
        None => (rest, 0),
    };
    let (before, behind) = match memchr::memchr(b'.', mantissa) {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &mantissa[..0]),
    };
    let all = before.iter().chain(behind).all(u8::is_ascii_digit);
    (all && !(before.is_empty() && behind.is_empty())).then_some((sign, before, behind, exponent))
}

fn is_number(text: &[u8]) -> bool {
    matches!(text, b"NaN" | b"Infinity" | b"-Infinity") || digits(text).is_some()
}

/// Whether it is an integer as programs write it.
fn is_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) && is_plain(text)
}

/// The whole part of a number, in digits, which are put into `found`; none for what is no number, and where an exponent makes more than 40
/// digits of it.
fn whole<'f>(text: &[u8], found: &'f mut Vec<u8>) -> Option<&'f [u8]> {
    let (sign, before, behind, exponent) = digits(text)?;
    let point = i32::try_from(before.len()).ok()?.checked_add(exponent)?;
    let point = usize::try_from(point).unwrap_or(0);
    if point > before.len().max(40) {
        return None;
    }
    found.clear();
    let zeros = std::iter::repeat(&b'0');
    let digits = before.iter().chain(behind).chain(zeros).take(point);
    if sign == b"-" {
        found.push(b'-');
    }
    found.extend(digits.skip_while(|digit| **digit == b'0'));
    if !found.iter().any(u8::is_ascii_digit) {
        found.clear();
        found.push(b'0');
    }
    Some(found.as_slice())
}

fn explain(fault: Fault) -> Error {
    let hint = "check the delimiter and the quote";
    let message = match fault {
        Fault::Unterminated => "a quote that opens a field is never closed".to_owned(),
        Fault::Short { found, wanted } => format!("the record has {found} of the {wanted} fields that are wanted"),
        Fault::Long { found, most } => {
            format!("the record has {found} fields, and no record of the sample had more than {most}")
        }
    };
    Error::new(ErrorKind::Corrupt, message).with_hint(hint)
}

fn describe(misfit: Misfit, field: &Field) -> Error {
    let error = match misfit {
        Misfit::Row(_) => Error::new(ErrorKind::Value, "the text is no value of the column's type")
            .with_hint("read the column as text, or name its right type or format"),
        Misfit::Encoding(_, byte) => {
            Error::new(ErrorKind::Value, format!("the text is not UTF-8 from its byte {} on", byte + 1))
                .with_hint("name the encoding of the file")
        }
        Misfit::Type => Error::new(ErrorKind::Unsupported, "text cannot be read as this type"),
        Misfit::Size => Error::new(ErrorKind::Resource, "the texts of one piece exceed 2 GiB"),
    };
    error.at("column", field.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_cut_off_as_datax_cuts_them() {
        let mut found = Vec::new();
        let cases = [
            ("12.9", "12"),
            ("1e3", "1000"),
            ("-3", "-3"),
            ("0.9", "0"),
            ("5.", "5"),
            ("+7", "7"),
            ("-0.9", "0"),
            ("-007", "-7"),
            ("18446744073709551616.5", "18446744073709551616"),
        ];
        for (text, expected) in cases {
            assert_eq!(whole(text.as_bytes(), &mut found), Some(expected.as_bytes()), "{text}");
        }
        for text in ["", "x", "0x1F", "1,000", " 5", "1e99", "."] {
            assert!(whole(text.as_bytes(), &mut found).is_none() && !is_integer(text.as_bytes()), "{text}");
        }
        for text in ["0", "-7", "123456789012345678901234567890123456789012345"] {
            assert!(is_integer(text.as_bytes()), "{text}");
        }
        for text in ["-", "-0", "+7", "007", "-07"] {
            assert!(!is_integer(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn numbers_keep_their_text() {
        for text in ["1.50", "1e3", "NaN", "-Infinity", "18446744073709551616.123456789012345678"] {
            assert!(is_number(text.as_bytes()), "{text}");
        }
        for text in ["", " 1", "1,000", "+Infinity", "abc"] {
            assert!(!is_number(text.as_bytes()), "{text}");
        }
    }
}
