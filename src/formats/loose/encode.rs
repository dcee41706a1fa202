//! Columns to records.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, TimeUnit};

use super::column::{Column, Forms};
use super::escape;
use super::insert::Statements;
use super::options::{BytesForm, Escape, LooseOptions, Quoting, Records};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::quote;

/// How records are written: the options, looked through once.
#[derive(Clone, Debug)]
pub(super) struct Writing {
    options: LooseOptions,
    null: Vec<u8>,
    statements: Option<Statements>,
    forms: Forms,
}

impl Writing {
    pub(super) fn new(options: &LooseOptions) -> Result<Self> {
        Ok(Self {
            null: options.null.clone().unwrap_or_default().into_bytes(),
            statements: options.insert.as_ref().map(|insert| Statements::new(insert, &options.header)),
            forms: Forms::new(options)?,
            options: options.clone(),
        })
    }

    /// The first line.
    pub(super) fn header(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.options.header.is_empty() || self.statements.is_some() {
            return out;
        }
        for (index, name) in self.options.header.iter().enumerate() {
            self.begin(index, &mut out);
            let start = out.len();
            out.extend_from_slice(name.as_bytes());
            self.quote(index, &mut out, start);
        }
        out.extend_from_slice(self.options.written_end());
        out
    }

    /// Appends one record per row.
    pub(super) fn encode(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let schema = batch.schema_ref();
        let columns = schema.fields().iter().zip(batch.columns());
        let columns: Vec<Column<'_>> =
            columns.map(|(field, array)| self.forms.column(array, field)).collect::<Result<_>>()?;
        out.reserve(batch.num_rows() * columns.len() * 8);
        if let Some(statements) = &self.statements {
            return self.write_statements(statements, (&columns, batch), out);
        }
        for row in 0..batch.num_rows() {
            let there = match self.options.records {
                Records::Even => columns.len(),
                Records::Ragged => columns.iter().rposition(|column| !column.is_null(row)).map_or(0, |last| last + 1),
            };
            for (index, column) in columns[..there].iter().enumerate() {
                self.begin(index, out);
                let start = out.len();
                if column.is_null(row) {
                    out.extend_from_slice(&self.null);
                    continue;
                }
                (column.print)(row, out).map_err(|error| error.at("column", schema.field(index).name()))?;
                self.quote(index, out, start);
            }
            out.extend_from_slice(self.options.written_end());
        }
        Ok(())
    }

    /// Appends one statement per row of `batch`, whose columns are `columns`.
    fn write_statements(
        &self,
        statements: &Statements,
        (columns, batch): (&[Column<'_>], &RecordBatch),
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let (named, found) = (statements.columns(), columns.len());
        // Without rows each column is looked at by itself, whether it can be written.
        if named != found && batch.num_rows() > 0 {
            let message = format!("the statements name {named} columns, and the rows have {found}");
            return Err(Error::new(ErrorKind::Schema, message));
        }
        for row in 0..batch.num_rows() {
            statements.begin(out);
            for (index, column) in columns.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                if column.is_null(row) {
                    out.extend_from_slice(b"NULL");
                    continue;
                }
                let start = out.len();
                let printed = (column.print)(row, out);
                printed.map_err(|error| error.at("column", batch.schema_ref().field(index).name()))?;
                Statements::quote(out, start);
            }
            statements.end((row, batch.num_rows()), self.options.written_end(), out);
        }
        Ok(())
    }

    /// What stands behind a record.
    pub(super) fn record_end(&self) -> &[u8] {
        self.options.written_end()
    }

    /// What of the values of `field` does not come back.
    pub(super) fn lost(&self, field: &Field) -> Option<String> {
        let told = match field.data_type() {
            DataType::Binary | DataType::LargeBinary if self.options.bytes == BytesForm::Base64 => vec![],
            DataType::Binary | DataType::LargeBinary => vec!["bytes that are no UTF-8 are replaced"],
            data_type if data_type.is_temporal() && self.options.date_format.is_some() => {
                vec!["what the form of dates does not show"]
            }
            DataType::Timestamp(_, Some(_)) => vec!["the zone, and parts of a second"],
            DataType::Date32 | DataType::Timestamp(TimeUnit::Second, _) | DataType::Time32(TimeUnit::Second) => vec![],
            data_type if data_type.is_temporal() => vec!["parts of a second"],
            DataType::Boolean | DataType::Null => vec![],
            data_type if data_type.is_numeric() => vec![],
            // Each stands in quotes, and NULL in none.
            _ if self.statements.is_some() => vec![],
            _ => self.lost_of_texts(),
        };
        (!told.is_empty()).then(|| told.join("; "))
    }

    fn lost_of_texts(&self) -> Vec<&'static str> {
        let (quoting, null) = (self.options.quoting, self.null.as_slice());
        // Where there are quotes, escapes are read within them alone.
        let escaped = self.options.escape == Escape::Backslash;
        let is_resolved = escaped && self.options.mark().is_none();
        let cases = [
            (quoting == Quoting::Never && !is_resolved, "delimiters and line ends in a text are not told from others"),
            (quoting != Quoting::Always && escaped && !is_resolved, "backslashes in a text without quotes are doubled"),
            (quoting != Quoting::Never && self.options.trim, "blanks around a text are dropped"),
            (quoting == Quoting::Never && !null.is_empty(), "the text of NULL becomes NULL"),
            (quoting != Quoting::Always && null.is_empty(), "an empty text becomes NULL"),
        ];
        cases.into_iter().filter(|(is_so, _)| *is_so).map(|(_, told)| told).collect()
    }

    fn begin(&self, index: usize, out: &mut Vec<u8>) {
        if index > 0 {
            out.extend_from_slice(self.options.delimiter.as_bytes());
        }
    }

    /// Puts quotes around the field that begins at `start`, where it is to have them, and escapes.
    fn quote(&self, index: usize, out: &mut Vec<u8>, start: usize) {
        let escaped = self.options.escape == Escape::Backslash;
        let comment = self.options.comment.bytes().next().unwrap_or(b'#');
        let put = |out: &mut Vec<u8>| {
            if escaped {
                let ends = [self.options.delimiter.as_bytes(), self.options.written_end()];
                escape::put(out, start, ends, (index == 0).then_some(comment));
            }
        };
        let Some(quote) = self.options.mark().filter(|_| self.options.quoting != Quoting::Never) else {
            return put(out);
        };
        if self.options.trim {
            trim(out, start);
        }
        let text = &out[start..];
        let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        let named_end = self.options.line_end.as_ref();
        let needs = || {
            let first = index == 0 && (text.is_empty() || text[0] == comment);
            let special = memchr::memchr3(quote, b'\n', b'\r', text).is_some()
                || memchr::memmem::find(text, self.options.delimiter.as_bytes()).is_some()
                || named_end.is_some_and(|end| memchr::memmem::find(text, end.as_bytes()).is_some());
            first || special || blank(text.first()) || blank(text.last()) || (text == self.null && !text.is_empty())
        };
        if self.options.quoting == Quoting::Needed && !needs() {
            return put(out);
        }
        quote::put(out, start, quote, if escaped { escape::BACKSLASH } else { quote });
    }
}

/// Removes blanks around the text that begins at `start`.
fn trim(out: &mut Vec<u8>, start: usize) {
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let behind = out[start..].iter().rev().take_while(blank).count();
    out.truncate(out.len() - behind);
    let before = out[start..].iter().take_while(blank).count();
    out.drain(start..start + before);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, Date32Array, Float32Array, Float64Array, Int32Array, StringArray, TimestampSecondArray,
    };
    use serde_json::{Value as Json, json};

    use super::super::Loose;
    use super::*;
    use crate::formats::{Extent, RecordFormat as _};

    fn written(options: &Json, columns: Vec<ArrayRef>) -> String {
        let format = Loose::new(&serde_json::from_value(options.clone()).unwrap()).unwrap();
        let names = ["a", "b"].into_iter().zip(columns).map(|(name, column)| (name, column, true));
        let batch = RecordBatch::try_from_iter_with_nullable(names).unwrap();
        let mut out = format.header(batch.schema_ref()).unwrap();
        format.encode(&batch, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn texts(texts: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(texts.to_vec()))
    }

    /// As DataX's writer of SQL files does it, but that a text which is that of NULL stays a text.
    #[test]
    fn records_may_be_statements() {
        let options = json!({"header": ["id", "n`m"], "null": "null",
            "insert": {"table": "t", "quote": "`", "commitRows": 2}});
        let ids: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
        let found = written(&options, vec![ids, texts(&[Some("it's"), None, Some("null")])]);
        let lines = [
            "INSERT INTO `t` (`id`,`n``m`) VALUES('1','it''s');",
            "INSERT INTO `t` (`id`,`n``m`) VALUES('2',NULL);",
            "commit;",
            "INSERT INTO `t` (`id`,`n``m`) VALUES('3','null');",
            "commit;",
        ];
        assert_eq!(found.lines().collect::<Vec<_>>(), lines);
        let format = Loose::new(&serde_json::from_value(options).unwrap()).unwrap();
        assert_eq!(format.start(b"INSERT", Extent::Whole).unwrap_err().kind(), ErrorKind::Usage);
    }

    #[test]
    fn a_backslash_takes_the_meaning_of_quotes_and_delimiters() {
        let values = || texts(&[Some("a\"b\\"), Some("c\\d"), Some("e,f")]);
        let options = |quoting: &str, escape: &str| json!({"quoting": quoting, "escape": escape});
        assert_eq!(written(&options("needed", "backslash"), vec![values()]), "\"a\\\"b\\\\\"\nc\\\\d\n\"e,f\"\n");
        assert_eq!(written(&options("needed", "doubled"), vec![values()]), "\"a\"\"b\\\"\nc\\d\n\"e,f\"\n");
        assert_eq!(written(&options("never", "backslash"), vec![values()]), "a\"b\\\\\nc\\\\d\ne\\,f\n");
        assert_eq!(written(&options("never", "doubled"), vec![values()]), "a\"b\\\nc\\d\ne,f\n");
    }

    #[test]
    fn bytes_are_texts_or_base64_and_comments_and_ends_are_those_that_are_named() {
        let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![b"hi".as_slice(), b"\xff\0"]));
        assert_eq!(written(&json!({"bytes": "base64"}), vec![Arc::clone(&bytes)]), "aGk=\n/wA=\n");
        assert_eq!(written(&json!({"lineEnd": "\r\n"}), vec![bytes]), "hi\r\n\u{fffd}\0\r\n");
        let marked =
            |comment: &str| written(&json!({"quoting": "needed", "comment": comment}), vec![texts(&[Some("#a")])]);
        assert_eq!((marked(""), marked(";")), ("\"#a\"\n".to_owned(), "#a\n".to_owned()));
    }

    /// As DataX's CSV library does it: what ends records is told from what stands in a text.
    #[test]
    fn what_ends_records_is_quoted_or_escaped_whatever_it_is() {
        let values = || texts(&[Some("a;b"), Some("#c"), Some("d")]);
        let options = |quoting: &str, escape: &str| json!({"quoting": quoting, "escape": escape, "lineEnd": ";"});
        assert_eq!(written(&options("needed", "doubled"), vec![values()]), "\"a;b\";\"#c\";d;");
        assert_eq!(written(&options("never", "backslash"), vec![values()]), "a\\;b;\\#c;d;");
        assert_eq!(written(&options("needed", "backslash"), vec![values()]), "\"a;b\";\"#c\";d;");
    }

    /// The short ones are the texts that the client of MariaDB shows of such doubles.
    #[test]
    fn floats_have_a_point_or_none() {
        let doubles: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 0.0, -20.0, 0.1, 1e16, 1.5e300, 1e-7]));
        let pointed = "1.0\n0.0\n-20.0\n0.1\n1.0e16\n1.5e300\n1.0e-7\n";
        assert_eq!(written(&json!({}), vec![Arc::clone(&doubles)]), pointed);
        let short = json!({"floats": "short"});
        assert_eq!(written(&short, vec![doubles]), "1\n0\n-20\n0.1\n1e16\n1.5e300\n1e-7\n");
        let singles: ArrayRef = Arc::new(Float32Array::from(vec![3.0, 1.1, f32::NAN, f32::NEG_INFINITY]));
        assert_eq!(written(&short, vec![singles]), "3\n1.1\nNaN\n-Infinity\n");
    }

    fn tried(options: &LooseOptions, column: ArrayRef) -> Result<String> {
        let batch = RecordBatch::try_from_iter_with_nullable([("c", column, true)])?;
        let mut out = Vec::new();
        Writing::new(options)?.encode(&batch, &mut out)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    /// Days and seconds reach further than microseconds do: such a date is refused, and not another one written.
    #[test]
    fn dates_that_are_too_far_are_refused() {
        let days = |days: Vec<i32>| Arc::new(Date32Array::from(days)) as ArrayRef;
        assert_eq!(tried(&LooseOptions::default(), days(vec![0, -1])).unwrap(), "1970-01-01\n1969-12-31\n");
        let formed = || LooseOptions { date_format: Some("yyyyMMdd".to_owned()), ..LooseOptions::default() };
        for options in [LooseOptions::default(), formed()] {
            for far in [i32::MAX, i32::MIN, 106_751_992] {
                let error = tried(&options, days(vec![0, far])).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Value);
                assert!(error.to_string().contains("column c: the date is more than 292,000 years away"), "{error}");
            }
            assert!(tried(&options, days(vec![106_751_991])).is_ok());
            let seconds: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX]));
            assert!(tried(&options, seconds).is_err());
        }
    }

    #[test]
    fn what_is_lost_is_told() {
        let lost = |options: &LooseOptions, data_type: DataType| {
            Writing::new(options).unwrap().lost(&Field::new("c", data_type, true))
        };
        let plain = LooseOptions::default();
        let texts = "delimiters and line ends in a text are not told from others; an empty text becomes NULL";
        assert_eq!(lost(&plain, DataType::Utf8).as_deref(), Some(texts));
        assert_eq!(lost(&plain, DataType::Int64), None);
        assert_eq!(lost(&plain, DataType::Date32), None);
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        assert_eq!(lost(&plain, micros.clone()).as_deref(), Some("parts of a second"));
        let formed = LooseOptions { date_format: Some("yyyy".to_owned()), ..LooseOptions::default() };
        assert_eq!(lost(&formed, micros).as_deref(), Some("what the form of dates does not show"));
        let careful = LooseOptions { quoting: Quoting::Always, trim: false, ..LooseOptions::default() };
        assert_eq!(lost(&careful, DataType::Utf8), None);
        let escaped = LooseOptions { escape: Escape::Backslash, quote: String::new(), ..LooseOptions::default() };
        assert_eq!(lost(&escaped, DataType::Utf8).as_deref(), Some("an empty text becomes NULL"));
        let needed = LooseOptions { escape: Escape::Backslash, quoting: Quoting::Needed, trim: false, ..plain };
        let told = "backslashes in a text without quotes are doubled; an empty text becomes NULL";
        assert_eq!(lost(&needed, DataType::Utf8).as_deref(), Some(told));
        let coded = LooseOptions { bytes: BytesForm::Base64, ..LooseOptions::default() };
        assert_eq!(lost(&coded, DataType::Binary), None);
    }
}
