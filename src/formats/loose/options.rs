//! What loose text looks like.

use serde::Deserialize;

use super::escape::BACKSLASH;
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
    /// How what has a meaning stands in a field as text.
    pub escape: Escape,
    /// What lines begin with that are no records, one ASCII character; empty where there are none. A first field that is written gets
    /// quotes where it begins so, or with `#` where nothing is said.
    pub comment: String,
    /// The text that means NULL: in a file that is read none does unless it is said, in one that is written it is the empty one.
    pub null: Option<String>,
    /// What is read; without any every field of a record is text.
    pub fields: Vec<FieldOptions>,
    /// How many columns there are where none are named and there is no record, either; without it there is one.
    pub columns_when_empty: Option<usize>,
    /// Whether records may be shorter than others.
    pub records: Records,
    /// Whether blanks around fields are no part of them; fields that are written without quotes keep theirs.
    pub trim: bool,
    /// Whether lines without a character are records.
    pub keep_blank_lines: bool,
    /// Lines before the first record.
    pub skip_lines: usize,
    /// The fields of the first line of a file that is written; empty for none.
    pub header: Vec<String>,
    /// Behind each record: without it LF, CR LF and CR are read, and LF is written. Of what is read one ASCII character.
    pub line_end: Option<String>,
    /// How dates and times are written, in Java's notation; without it as `2024-01-02 03:04:05`, `2024-01-02` and `03:04:05`.
    pub date_format: Option<String>,
    /// Forms in Java's notation in which texts may be dates that are none in the usual form, of columns that name no form. The first that
    /// fits counts.
    pub extra_formats: Vec<String>,
    /// The zone of dates, as `+08:00`: columns that are read get it, and moments are written as its clocks show them.
    pub zone: Option<String>,
    /// How values of bytes are written.
    pub bytes: BytesForm,
    /// How floats are written.
    pub floats: FloatForm,
    /// Records are written as statements of SQL, whose columns are those of `header`.
    pub insert: Option<InsertOptions>,
}

/// How what has a meaning stands in a field as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Escape {
    /// A quote within quotes stands twice.
    #[default]
    Doubled,
    /// A backslash stands before it, as before a letter that means a control character. Of what is read it counts within quotes,
    /// and everywhere where there are none; of what is written everywhere.
    Backslash,
}

/// How values of bytes are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BytesForm {
    /// As the text that they are; what is no UTF-8 is replaced.
    #[default]
    Text,
    /// In base64.
    Base64,
}

/// How floats are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FloatForm {
    /// With a point: `1.0`, `1.0e16`.
    #[default]
    Pointed,
    /// With a point where a fraction is behind it: `1`, `1e16`.
    Short,
}

/// Statements of SQL, one for each record: every value in single quotes, NULL as `NULL`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InsertOptions {
    /// The table.
    pub table: String,
    /// Around the names of the table and of columns, doubled within.
    pub quote: String,
    /// A `commit` stands behind so many records, or fewer.
    pub commit_rows: usize,
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
    /// A whole number that keeps its digits, however many; a fraction is cut off.
    Integer,
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
            columns_when_empty: None,
            records: Records::Even,
            trim: true,
            keep_blank_lines: false,
            skip_lines: 0,
            header: Vec::new(),
            line_end: None,
            date_format: None,
            extra_formats: Vec::new(),
            zone: None,
            escape: Escape::Doubled,
            comment: String::new(),
            bytes: BytesForm::Text,
            floats: FloatForm::Pointed,
            insert: None,
        }
    }
}

impl LooseOptions {
    /// The character between fields of what is read.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) where it is not one ASCII character.
    fn separator(&self) -> Result<u8> {
        if self.insert.is_some() {
            return Err(usage("statements of SQL are written, and not read"));
        }
        match self.delimiter.as_bytes() {
            [byte] if byte.is_ascii() => Ok(*byte),
            _ => Err(usage(format!("text is read with one ASCII character between fields, not {:?}", self.delimiter))),
        }
    }

    /// The character that ends records of what is read; none for LF, CR LF and CR.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) where it is not one ASCII character.
    fn record_end(&self) -> Result<Option<u8>> {
        match self.line_end.as_deref().map(str::as_bytes) {
            None | Some(b"\r\n") => Ok(None),
            Some([byte]) if byte.is_ascii() => Ok(Some(*byte)),
            Some(_) => Err(usage("text is read with one ASCII character behind records")),
        }
    }

    /// What ends fields and records of what is read.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) where it is not one ASCII character, or has another meaning, too.
    pub(super) fn ends(&self) -> Result<(u8, Option<u8>)> {
        let (delimiter, end) = (self.separator()?, self.record_end()?);
        let escape = (self.escape == Escape::Backslash).then_some(BACKSLASH);
        let marks = [Some(delimiter), self.mark(), self.comment.bytes().next(), escape].into_iter().flatten();
        let marks: Vec<u8> = marks.chain(end.map_or(vec![b'\n', b'\r'], |end| vec![end])).collect();
        if (1..marks.len()).any(|at| marks[..at].contains(&marks[at])) {
            return Err(usage(
                "a character has two meanings: those between fields, around them, behind records, of comments and of escapes differ",
            ));
        }
        Ok((delimiter, end))
    }

    /// What stands behind a record that is written.
    pub(super) fn written_end(&self) -> &[u8] {
        self.line_end.as_deref().unwrap_or("\n").as_bytes()
    }

    /// The character around fields.
    pub(super) fn mark(&self) -> Option<u8> {
        self.quote.bytes().next()
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.delimiter.is_empty() || self.line_end.as_deref() == Some("") {
            return Err(usage("something has to stand between fields, and behind records"));
        }
        if [&self.quote, &self.comment].into_iter().any(|mark| mark.len() > 1 || !mark.is_ascii()) {
            return Err(usage("the quote, and what comments begin with, is one ASCII character, or empty for none"));
        }
        if self.insert.as_ref().is_some_and(|insert| insert.commit_rows == 0 || self.header.is_empty()) {
            return Err(usage(
                "statements name the columns of the header, and a commit stands behind 1 record or more",
            ));
        }
        if self.quoting != Quoting::Never && self.quote.is_empty() {
            return Err(usage("fields are to be quoted, but no quote is named"));
        }
        if let Some(zone) = &self.zone {
            offset(zone).ok_or_else(|| usage(format!("{zone:?} is no zone; write it like +08:00")))?;
        }
        self.date_format.iter().chain(&self.extra_formats).try_for_each(|format| Pattern::lenient(format).map(drop))?;
        if self.columns_when_empty.is_some_and(|columns| columns == 0 || columns > MOST_FIELDS) {
            return Err(usage(format!("a file without a record has 1 to {MOST_FIELDS} columns")));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_has_one_meaning_in_what_is_read() {
        let ends = |options: LooseOptions| options.ends().map_err(|error| error.kind());
        let plain = LooseOptions::default;
        assert_eq!(ends(plain()), Ok((b',', None)));
        assert_eq!(ends(LooseOptions { line_end: Some(";".to_owned()), ..plain() }), Ok((b',', Some(b';'))));
        for wrong in [
            LooseOptions { delimiter: "\\".to_owned(), escape: Escape::Backslash, ..plain() },
            LooseOptions { delimiter: "\n".to_owned(), ..plain() },
            LooseOptions { line_end: Some(",".to_owned()), ..plain() },
            LooseOptions { comment: "\"".to_owned(), ..plain() },
        ] {
            assert_eq!(ends(wrong), Err(ErrorKind::Usage));
        }
    }
}
