//! What loose text looks like.

use serde::Deserialize;

use super::pattern::offset;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::value::Pattern;

/// Fields of a record that may be named.
const MOST_FIELDS: usize = 1 << 16;

/// How loose text is read and written.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LooseOptions {
    /// Between fields; one ASCII character where text is read.
    pub delimiter: String,
    /// Around fields: one ASCII character; empty for files without quoting.
    pub quote: String,
    /// Whether written fields get quotes.
    pub quoting: Quoting,
    /// The text that means NULL: in a file that is read none does unless it is said, in one that is written it is the empty one.
    pub null: Option<String>,
    /// What is read; without any every field of a record is text.
    pub fields: Vec<FieldOptions>,
    /// Whether records may be shorter than others.
    pub records: Records,
    /// Whether blanks around fields are no part of them; fields that are written without quotes keep theirs.
    pub trim: bool,
    /// Whether lines without a character are records.
    pub keep_blank_lines: bool,
    /// Whether an empty text is NULL where it becomes a number.
    pub empty_is_null: bool,
    /// Lines before the first record.
    pub skip_lines: usize,
    /// The fields of the first line of a file that is written; empty for none.
    pub header: Vec<String>,
    /// Behind each record that is written.
    pub line_end: String,
    /// How dates and times are written, in Java's notation; without it as `2024-01-02 03:04:05`, `2024-01-02` and `03:04:05`.
    pub date_format: Option<String>,
    /// The zone of dates, as `+08:00`: columns that are read get it, and moments are written as its clocks show them.
    pub zone: Option<String>,
}

/// Whether fields that are written get quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Quoting {
    /// They are written as they are, whatever they hold.
    #[default]
    Never,
    /// Where another program could not tell them apart.
    Needed,
    /// All of them.
    Always,
}

/// Whether records may be shorter than others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Records {
    /// A record that lacks a field which is wanted is refused.
    #[default]
    Even,
    /// What a record lacks at its end is NULL, and NULL at the end of a record is not written.
    Ragged,
}

/// One column of what is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FieldOptions {
    /// The name of the column.
    pub name: String,
    /// Where it stands in a record, from 0.
    pub index: Option<usize>,
    /// What it holds in every row, in place of a field.
    pub value: Option<String>,
    /// What its text is read as.
    #[serde(rename = "type", default)]
    pub kind: Kind,
    /// How its dates are written, in Java's notation.
    pub format: Option<String>,
    /// The text that means NULL in it, where that is another than elsewhere.
    pub null: Option<String>,
}

/// What the text of a column is read as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Itself.
    #[default]
    Text,
    /// A whole number of 64 bits; a fraction is cut off.
    Whole,
    /// A number that keeps its text.
    Number,
    /// A double.
    Double,
    /// `true` or `false`, in any case.
    Truth,
    /// A date with or without a time.
    Moment,
}

impl Default for LooseOptions {
    fn default() -> Self {
        Self {
            delimiter: ",".to_owned(),
            quote: "\"".to_owned(),
            quoting: Quoting::Never,
            null: None,
            fields: Vec::new(),
            records: Records::Even,
            trim: true,
            keep_blank_lines: false,
            empty_is_null: false,
            skip_lines: 0,
            header: Vec::new(),
            line_end: "\n".to_owned(),
            date_format: None,
            zone: None,
        }
    }
}

impl LooseOptions {
    /// The character between fields of what is read.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) where it is not one ASCII character.
    pub(super) fn separator(&self) -> Result<u8> {
        match self.delimiter.as_bytes() {
            [byte] if byte.is_ascii() => Ok(*byte),
            _ => Err(usage(format!("text is read with one ASCII character between fields, not {:?}", self.delimiter))),
        }
    }

    /// The character around fields.
    pub(super) fn mark(&self) -> Option<u8> {
        self.quote.bytes().next()
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.delimiter.is_empty() || self.line_end.is_empty() {
            return Err(usage("something has to stand between fields, and behind records"));
        }
        if self.quote.len() > 1 || !self.quote.is_ascii() {
            return Err(usage("the quote is one ASCII character, or empty for none"));
        }
        if self.quoting != Quoting::Never && self.quote.is_empty() {
            return Err(usage("fields are to be quoted, but no quote is named"));
        }
        if let Some(zone) = &self.zone {
            offset(zone).ok_or_else(|| usage(format!("{zone:?} is no zone; write it like +08:00")))?;
        }
        self.date_format.as_deref().map(Pattern::lenient).transpose()?;
        for (place, field) in self.fields.iter().enumerate() {
            if field.index.is_some() == field.value.is_some() {
                return Err(usage("a column has either an index or a value").at("column", &field.name));
            }
            if field.index.is_some_and(|index| index >= MOST_FIELDS) {
                return Err(usage(format!("a record has at most {MOST_FIELDS} fields")).at("column", &field.name));
            }
            if self.fields[..place].iter().any(|other| other.name == field.name) {
                return Err(usage("this column stands twice").at("column", &field.name));
            }
            field.format.as_deref().map(Pattern::lenient).transpose().at("column", || &field.name)?;
        }
        Ok(())
    }
}

pub(super) fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message)
}
