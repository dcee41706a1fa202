//! What a CSV file looks like.

use crate::error::{Error, ErrorKind, Result};
use crate::formats::Typing;

/// How a CSV file is written, and what its columns are.
#[derive(Clone, Debug)]
pub struct CsvOptions {
    /// Whether the first record names the columns; without it they are `c1`, `c2`, ….
    pub header: bool,
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
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            header: true,
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            comment: None,
            trim: false,
            null: String::new(),
            typing: Typing::default(),
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
