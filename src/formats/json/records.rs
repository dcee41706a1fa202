//! The members of each object of a piece, as they stand in the bytes.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::scan::is_array;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::Piece;

/// Takes the objects of a piece.
pub(super) trait Sink<'a> {
    /// An object begins, at this offset. False to stop.
    fn begin(&mut self, offset: usize) -> bool;

    /// A member of the object: its key, and its value as it stands in the piece.
    fn member(&mut self, key: &str, raw: &'a str) -> Result<()>;

    /// The record that began last, at this offset, is refused. An error ends the walk.
    fn refuse(&mut self, record: &[u8], offset: usize, error: Error) -> Result<()>;
}

/// Walks over all objects of `piece`.
pub(super) fn walk<'a>(piece: &Piece<'a>, sink: &mut impl Sink<'a>) -> Result<()> {
    let whole = simdutf8::compat::from_utf8(piece.bytes);
    match whole {
        Ok(text) if is_array(piece.bytes) => return walk_array(piece, text, sink),
        Err(cause) if is_array(piece.bytes) => {
            let at = cause.valid_up_to();
            let line_start = memchr::memrchr(b'\n', &piece.bytes[..at]).map_or(0, |feed| feed + 1);
            return Err(not_utf8(at - line_start).at("line", line(piece, at)));
        }
        _ => {}
    }
    for (offset, record) in lines_of(piece.bytes) {
        if record.trim_ascii().is_empty() {
            continue;
        }
        if !sink.begin(offset) {
            return Ok(());
        }
        // Where the whole is not UTF-8, some lines may be.
        let text = whole.map_or_else(
            |_| simdutf8::compat::from_utf8(record).map_err(|cause| not_utf8(cause.valid_up_to())),
            |text| Ok(&text[offset..offset + record.len()]),
        );
        judged(piece, (offset, record), text.and_then(|text| object(text, sink)), sink)?;
    }
    Ok(())
}

/// The error for a line that is no UTF-8 from its byte `at` on, from 0.
fn not_utf8(at: usize) -> Error {
    Error::new(ErrorKind::Value, format!("the text is not UTF-8 from byte {} of the line on", at + 1))
        .with_hint("name the encoding of the file with --encoding")
}

/// The lines, with their line ends, and where each begins.
fn lines_of(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |feed| feed + 1);
        start += end;
        Some((start - end, &rest[..end]))
    })
}

/// The line of the byte at `offset`.
pub(super) fn line(piece: &Piece<'_>, offset: usize) -> u64 {
    let before = &piece.bytes[..offset.min(piece.bytes.len())];
    piece.first_line + memchr::memchr_iter(b'\n', before).count() as u64
}

/// Has a record refused whose members could not be `taken`.
fn judged<'a>(
    piece: &Piece<'a>,
    (offset, record): (usize, &[u8]),
    taken: Result<()>,
    sink: &mut impl Sink<'a>,
) -> Result<()> {
    let Err(error) = taken else { return Ok(()) };
    sink.refuse(record, offset, error).map_err(|error| error.at("line", line(piece, offset)))
}

/// `[`? object (`,` object)* `]`?, where a piece in the middle begins with its comma.
fn walk_array<'a>(piece: &Piece<'a>, text: &'a str, sink: &mut impl Sink<'a>) -> Result<()> {
    let mut rest = text.trim_ascii_start();
    let offset = |rest: &str| text.len() - rest.len();
    let corrupt =
        |rest: &str, message: &str| Err(Error::new(ErrorKind::Corrupt, message).at("line", line(piece, offset(rest))));
    let mut first = rest.starts_with('[');
    if first {
        rest = rest[1..].trim_ascii_start();
    }
    loop {
        if let Some(after) = rest.strip_prefix(']') {
            return if after.trim_ascii().is_empty() {
                Ok(())
            } else {
                corrupt(rest, "there is something after the array of objects")
            };
        }
        if rest.is_empty() {
            return Ok(());
        }
        if !first {
            let Some(after) = rest.strip_prefix(',') else {
                return corrupt(rest, "a comma is missing between two objects of the array");
            };
            rest = after.trim_ascii_start();
        }
        first = false;
        if !sink.begin(offset(rest)) {
            return Ok(());
        }
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        let record = match values.next() {
            Some(Ok(record)) => record.get(),
            Some(Err(cause)) => return Err(explain(cause).at("line", line(piece, offset(rest)))),
            None => return corrupt(rest, "an object is missing after a comma"),
        };
        let end = values.byte_offset();
        let taken = object(record, sink);
        judged(piece, (offset(rest), record.as_bytes()), taken, sink)?;
        rest = rest[end..].trim_ascii_start();
    }
}

fn object<'a>(text: &'a str, sink: &mut impl Sink<'a>) -> Result<()> {
    let mut refused = None;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let members = Members { sink, refused: &mut refused };
    match members.deserialize(&mut deserializer).and_then(|()| deserializer.end()) {
        Ok(()) => Ok(()),
        Err(cause) => Err(refused.unwrap_or_else(|| explain(cause))),
    }
}

fn explain(cause: serde_json::Error) -> Error {
    // Messages about data quote them, so only those about syntax are kept.
    match cause.classify() {
        Category::Data => Error::new(ErrorKind::Corrupt, "the record is not a JSON object"),
        _ => Error::new(ErrorKind::Corrupt, "the record is not valid JSON").with_source(cause),
    }
    .with_hint("each line is to hold one whole object, or the file one array of objects")
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

struct Members<'s, S> {
    sink: &'s mut S,
    refused: &'s mut Option<Error>,
}

impl<'a, S: Sink<'a>> DeserializeSeed<'a> for Members<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a, S: Sink<'a>> Visitor<'a> for Members<'_, S> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(key)) = map.next_key()? {
            let raw: &RawValue = map.next_value()?;
            if let Err(error) = self.sink.member(&key, raw.get()) {
                *self.refused = Some(error);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}
