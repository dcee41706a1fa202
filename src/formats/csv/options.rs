//! What a CSV file looks like.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::formats::Typing;
use crate::formats::value::Pattern;

/// How a CSV file is written, and what its columns are.
#[derive(Clone, Debug)]
pub struct CsvOptions {
    /// Whether the first record names the columns.
    pub header: bool,
    /// What they are called without it.
    pub numbers: Numbers,
    /// How many there are in a file without a header and without a record; none leaves such a file without columns.
    pub columns_when_empty: Option<usize>,
    /// Records that are passed over at the start of a file without a header.
    pub skip_records: usize,
    /// Between fields.
    pub delimiter: u8,
    /// Around fields; none for files without quoting.
    pub quote: Option<u8>,
    /// Before a quote, and before itself, within quotes. Without it quotes are doubled there.
    pub escape: Option<u8>,
    /// Lines that begin with it are no records.
    pub comment: Option<u8>,
    /// Whether spaces and tabs around fields are no part of them.
    pub trim: bool,
    /// An unquoted field of this text is NULL. The same text in quotes is the text.
    pub null: String,
    /// What the user says of types.
    pub typing: Typing,
    /// How dates and times are written, by the place of their column from 0: what a form has no place for is left out.
    pub forms: BTreeMap<usize, Pattern>,
    /// Whether zeros at the end of numbers, and exponents of floats, are left out when they are written.
    pub short_decimals: bool,
    /// What stands behind each record that is written.
    pub line_end: LineEnd,
}

/// What ends a line that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LineEnd {
    /// LF.
    #[default]
    Lf,
    /// CR LF.
    CrLf,
}

impl LineEnd {
    /// That of the last of `lines`.
    pub fn of(lines: &[u8]) -> Self {
        if lines.ends_with(b"\r\n") { Self::CrLf } else { Self::Lf }
    }

    pub(super) fn bytes(self) -> &'static [u8] {
        match self {
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
        }
    }

    /// Appends it to `out`.
    #[inline]
    pub(super) fn put(self, out: &mut Vec<u8>) {
        if self == Self::CrLf {
            out.push(b'\r');
        }
        out.push(b'\n');
    }
}

/// What columns are called that no header names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbers {
    /// `c1`, `c2`, ….
    #[default]
    FromOne,
    /// `0`, `1`, ….
    FromZero,
}

impl Numbers {
    /// The name of the column at `place`, from 0.
    pub fn name(self, place: usize) -> String {
        match self {
            Self::FromOne => format!("c{}", place + 1),
            Self::FromZero => place.to_string(),
        }
    }
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            header: true,
            numbers: Numbers::default(),
            columns_when_empty: None,
            skip_records: 0,
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            comment: None,
            trim: false,
            null: String::new(),
            typing: Typing::default(),
            forms: BTreeMap::new(),
            short_decimals: false,
            line_end: LineEnd::default(),
        }
    }
}

impl CsvOptions {
    /// The defaults of TSV: as CSV, with tabs.
    #[must_use]
    pub fn tabs() -> Self {
        Self { delimiter: b'\t', ..Self::default() }
    }

    pub(super) fn check(&self) -> Result<()> {
        let usage = |message: &str| Err(Error::new(ErrorKind::Usage, message));
        let special = |byte: u8| matches!(byte, 0 | b'\r' | b'\n' | 0x80..);
        if special(self.delimiter) || self.quote.is_some_and(special) {
            return usage("delimiter and quote of CSV are single ASCII characters, but no line ends");
        }
        if self.quote == Some(self.delimiter) {
            return usage("delimiter and quote of CSV must differ");
        }
        if let Some(escape) = self.escape
            && (special(escape) || escape == self.delimiter || self.quote.is_none_or(|quote| quote == escape))
        {
            return usage(
                "the escape of CSV is one ASCII character, neither the delimiter nor the quote, and for quotes alone",
            );
        }
        if self
            .comment
            .is_some_and(|comment| special(comment) || comment == self.delimiter || Some(comment) == self.quote)
        {
            return usage(
                "what comments of CSV begin with is one ASCII character, neither the delimiter nor the quote",
            );
        }
        if self.header && self.skip_records > 0 {
            return usage("records of CSV are passed over where there is no header: say header=false");
        }
        if self.trim && matches!(self.delimiter, b' ') {
            return usage("spaces cannot be trimmed where they stand between fields");
        }
        let clash = |byte: u8| matches!(byte, b'\r' | b'\n') || byte == self.delimiter || Some(byte) == self.quote;
        if self.null.bytes().any(clash) {
            return usage("the null text of CSV may not hold a delimiter, a quote or a line end");
        }
        if self.trim && self.null.trim_matches([' ', '\t']) != self.null {
            return usage("the null text of CSV may not have blanks around it where they are trimmed");
        }
        Ok(())
    }
}
