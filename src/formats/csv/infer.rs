//! Where records begin, the names of columns, and their types.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};

use super::decode::{Column, line, records};
use super::options::CsvOptions;
use super::scan;
use super::tokenize::{Faulty, Width};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::guess::{Guess, blank};
use crate::formats::value::parse::Texts;
use crate::formats::{Extent, Inferred, Layout, Piece, SAMPLE_BYTES, SAMPLE_ROWS, Start, Typing, endless, text_start};

/// The error for a line of names that is longer than any: each of them goes into plans, statements and the record of runs.
fn no_header() -> Error {
    Error::new(ErrorKind::Corrupt, format!("the header does not end within {SAMPLE_BYTES} bytes"))
        .with_hint("check the format of the file, and its quote option, or read it without its header")
}

/// Where the records begin, and what the columns are called.
pub(super) fn start(options: &CsvOptions, head: &[u8], extent: Extent) -> Result<Start> {
    let mark = text_start(head)?;
    // Quotes in comments and behind escapes do not count, and where these stand is not seen from the middle of a file.
    let splittable = options.comment.is_none() && options.escape.is_none();
    let piece = Piece { bytes: &head[mark..], first_line: 1 };
    if piece.bytes.is_empty() {
        return Ok(Start { layout: None, data_start: mark, line: 1, splittable, extendable: true });
    }
    if extent == Extent::Head && scan::of(options).feed(piece.bytes).is_none() {
        return Err(if options.header && head.len() > SAMPLE_BYTES { no_header() } else { endless(head.len()) });
    }
    let first = records(options, &piece, (Width::First, Faulty::Refused), 1)?;
    if first.width == 0 {
        // Comments alone.
        return match extent {
            Extent::Head => Err(endless(head.len())),
            Extent::Whole => Ok(Start { layout: None, data_start: head.len(), line: 1, splittable, extendable: true }),
        };
    }
    if !options.header {
        let columns = (0..first.width).map(|place| options.numbers.name(place)).collect();
        let end = behind_skipped(options, &piece, (first.width, extent))?;
        let (layout, line) = (Some(Layout { columns }), line(&piece, end));
        return Ok(Start { layout, data_start: mark + end, line, splittable, extendable: true });
    }
    let columns = names(options, &piece, first.width)?;
    let end = behind_line_end(&piece, first.end);
    let line = if end == piece.bytes.len() && !piece.bytes.ends_with(b"\n") { 2 } else { line(&piece, end) };
    Ok(Start { layout: Some(Layout { columns }), data_start: mark + end, line, splittable, extendable: true })
}

/// Where the records behind those that are passed over begin; all have `width` fields.
fn behind_skipped(options: &CsvOptions, piece: &Piece<'_>, (width, extent): (usize, Extent)) -> Result<usize> {
    if options.skip_records == 0 {
        return Ok(0);
    }
    // The last record of a head may be cut off.
    let whole = match extent {
        Extent::Whole => piece.bytes.len(),
        Extent::Head => scan::of(options).feed(piece.bytes).map_or(0, |end| end.offset),
    };
    let part = Piece { bytes: &piece.bytes[..whole], first_line: piece.first_line };
    let skipped = records(options, &part, (Width::Exactly(width), Faulty::Refused), options.skip_records)?;
    match extent {
        _ if skipped.rows() == options.skip_records => Ok(behind_line_end(piece, skipped.end)),
        Extent::Head => Err(endless(piece.bytes.len())),
        Extent::Whole => Ok(piece.bytes.len()),
    }
}

/// The place behind the line end of a record, of which CR LF may have been seen by half.
fn behind_line_end(piece: &Piece<'_>, end: usize) -> usize {
    let feed = piece.bytes[..end].ends_with(b"\r") && piece.bytes.get(end) == Some(&b'\n');
    end + usize::from(feed)
}

fn names(options: &CsvOptions, piece: &Piece<'_>, width: usize) -> Result<Vec<String>> {
    let first = records(options, piece, (Width::First, Faulty::Refused), 1)?;
    let mut seen = HashSet::new();
    let mut names = Vec::with_capacity(width);
    let mut scratch = Vec::new();
    for index in 0..width {
        let column = Column::new(options, piece, &first, index);
        let text = column.text(0, &mut scratch).unwrap_or_default();
        let text = std::str::from_utf8(text)
            .map_err(|cause| Error::new(ErrorKind::Value, "the column's name is not UTF-8").with_source(cause))
            .at("column", || index + 1)?;
        let name = if text.is_empty() { format!("c{}", index + 1) } else { text.to_owned() };
        if !seen.insert(name.clone()) {
            return Err(Error::new(ErrorKind::Schema, "the header names this column twice")
                .with_hint("rename one of them in the file, or read it without its header")
                .at("column", name));
        }
        names.push(name);
    }
    Ok(names)
}

/// [`start`], and the types.
pub(super) fn infer(options: &CsvOptions, head: &[u8], extent: Extent) -> Result<Inferred> {
    let start = start(options, head, extent)?;
    let layout = start.layout.clone().unwrap_or_default();
    let body = &head[start.data_start..];
    let whole = match extent {
        Extent::Whole => body.len(),
        Extent::Head => scan::of(options).feed(body).ok_or_else(|| endless(head.len()))?.offset,
    };
    let piece = Piece { bytes: &body[..whole], first_line: start.line };
    // Reading refuses them, or leaves them out as well: they say nothing of the types.
    let width = (Width::Exactly(layout.columns.len()), Faulty::LeftOut);
    let records = records(options, &piece, width, SAMPLE_ROWS)?;
    let guess = |index: usize| {
        let column = Column::new(options, &piece, &records, index);
        let mut guess = Guess::new(options.typing.pattern.as_ref());
        let mut scratch = Vec::new();
        for row in 0..column.rows() {
            if let Some(text) = column.text(row, &mut scratch) {
                guess.see(text);
            }
        }
        guess
    };
    let guesses = if options.typing.all_strings {
        vec![Guess::new(None); layout.columns.len()]
    } else {
        (0..layout.columns.len()).map(guess).collect()
    };
    let blank = blank(&guesses, &layout.columns, &options.typing);
    let found = layout.columns.iter().zip(guesses).map(|(name, guess)| guess.field(name)).collect();
    let fields = apply_casts(&options.typing, found)?;
    Ok(Inferred { schema: Arc::new(Schema::new(fields)), layout, start, blank })
}

/// `fields` with the types that the user gave.
pub(in super::super) fn apply_casts(typing: &Typing, mut fields: Vec<Field>) -> Result<Vec<Field>> {
    for cast in &typing.casts {
        let field = fields.iter_mut().find(|field| field.name() == cast.name()).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "a cast names a column that the file does not have")
                .at("column", cast.name())
        })?;
        *field = cast.as_ref().clone().with_nullable(true);
    }
    Ok(fields)
}
