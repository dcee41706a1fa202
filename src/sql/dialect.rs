//! How a product writes names and literals, and how users write the names of its objects.
//!
//! A literal that a dialect cannot write exactly is `None`: the caller then leaves the expression to Arrow.

use std::fmt::{Debug, Write as _};

use crate::error::{Error, ErrorKind, Result};

/// Which clock a timestamp shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// No zone: what a wall showed.
    Wall,
    /// An instant, written in UTC.
    Utc,
}

/// The writing rules of one product.
pub trait Dialect: Debug + Send + Sync {
    /// `name` as an identifier that means exactly these letters.
    fn identifier(&self, name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    /// What an unquoted `name` stands for.
    fn fold(&self, name: &str) -> String {
        name.to_owned()
    }

    /// A text literal; none for what the product cannot hold.
    fn text(&self, value: &str) -> Option<String> {
        (!value.contains('\0')).then(|| format!("'{}'", value.replace('\'', "''")))
    }

    /// An integer literal; none beyond the product's integers.
    fn integer(&self, value: i128) -> Option<String> {
        Some(value.to_string())
    }

    /// A decimal literal from its digits, `-12.50`; none where the product would read it as a float.
    fn decimal(&self, digits: &str) -> Option<String>;

    /// A 64-bit float literal that reads back as the same bits; `value` is finite.
    fn double(&self, value: f64) -> Option<String>;

    /// A 32-bit float literal that reads back as the same bits; `value` is finite.
    fn real(&self, value: f32) -> Option<String>;

    /// A boolean literal.
    fn boolean(&self, value: bool) -> &'static str {
        if value { "TRUE" } else { "FALSE" }
    }

    /// A date literal from `2024-02-29`, years 1 to 9999.
    fn date(&self, iso: &str) -> Option<String> {
        Some(format!("DATE '{iso}'"))
    }

    /// A timestamp literal from `2024-02-29 12:00:00.000001`, years 1 to 9999.
    fn timestamp(&self, iso: &str, clock: Clock) -> Option<String> {
        Some(match clock {
            Clock::Wall => format!("TIMESTAMP '{iso}'"),
            Clock::Utc => format!("TIMESTAMPTZ '{iso}+00'"),
        })
    }

    /// A test for NaN in `column`; none when the product stores no NaN.
    fn is_nan(&self, column: &str) -> Option<String>;
}

/// PostgreSQL and what descends from it.
#[derive(Clone, Copy, Debug)]
pub struct Postgres;

impl Dialect for Postgres {
    fn fold(&self, name: &str) -> String {
        name.to_ascii_lowercase()
    }

    fn text(&self, value: &str) -> Option<String> {
        if value.contains('\0') {
            return None;
        }
        // E'' means the same whatever standard_conforming_strings is.
        let quoted = value.replace('\'', "''");
        Some(if value.contains('\\') { format!("E'{}'", quoted.replace('\\', r"\\")) } else { format!("'{quoted}'") })
    }

    fn decimal(&self, digits: &str) -> Option<String> {
        Some(format!("'{digits}'::numeric"))
    }

    fn double(&self, value: f64) -> Option<String> {
        Some(format!("'{value:e}'::float8"))
    }

    fn real(&self, value: f32) -> Option<String> {
        Some(format!("'{value:e}'::float4"))
    }

    fn is_nan(&self, column: &str) -> Option<String> {
        Some(format!("{column} = 'NaN'"))
    }
}

/// SQLite.
#[derive(Clone, Copy, Debug)]
pub struct Sqlite;

impl Dialect for Sqlite {
    fn integer(&self, value: i128) -> Option<String> {
        // A larger literal would silently be a float.
        i64::try_from(value).ok().map(|value| value.to_string())
    }

    fn decimal(&self, _digits: &str) -> Option<String> {
        None
    }

    fn double(&self, value: f64) -> Option<String> {
        // SQLite's reading of decimal text is off by the last bit for many numbers with more digits or an exponent.
        if value == 0.0 {
            return Some("0.0".to_owned());
        }
        let text = value.to_string();
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let safe = (1e-5..=1e15).contains(&value.abs()) && digits.trim_matches('0').len() <= 15;
        safe.then(|| if text.contains('.') { text } else { format!("{text}.0") })
    }

    fn real(&self, _value: f32) -> Option<String> {
        None
    }

    fn boolean(&self, value: bool) -> &'static str {
        if value { "1" } else { "0" }
    }

    fn date(&self, iso: &str) -> Option<String> {
        Some(format!("'{iso}'"))
    }

    fn timestamp(&self, _iso: &str, _clock: Clock) -> Option<String> {
        // Timestamps are text in several spellings of one instant: they do not compare as text.
        None
    }

    fn is_nan(&self, _column: &str) -> Option<String> {
        None
    }
}

/// MySQL and MariaDB, in a session that takes backslashes in texts for escapes.
#[derive(Clone, Copy, Debug)]
pub struct MySql;

impl Dialect for MySql {
    fn identifier(&self, name: &str) -> String {
        format!("`{}`", name.replace('`', "``"))
    }

    fn text(&self, value: &str) -> Option<String> {
        // Bytes mean the same in every sql_mode.
        let mut literal = "_utf8mb4 x'".to_owned();
        for byte in value.bytes() {
            let _ = write!(literal, "{byte:02x}");
        }
        Some(if value.is_empty() { "''".to_owned() } else { literal + "'" })
    }

    fn decimal(&self, digits: &str) -> Option<String> {
        // More digits would make it another number.
        let count = digits.bytes().filter(u8::is_ascii_digit).count();
        (count <= 65 && !digits.contains(['e', 'E'])).then(|| digits.to_owned())
    }

    fn double(&self, value: f64) -> Option<String> {
        Some(format!("{value:e}"))
    }

    fn real(&self, _value: f32) -> Option<String> {
        // A column of 32 bits is compared in 64 bits with a literal.
        None
    }

    fn timestamp(&self, iso: &str, _clock: Clock) -> Option<String> {
        // The session's zone is UTC.
        Some(format!("TIMESTAMP '{iso}'"))
    }

    fn is_nan(&self, _column: &str) -> Option<String> {
        None
    }
}

/// `DuckDB`.
#[derive(Clone, Copy, Debug)]
pub struct DuckDb;

impl Dialect for DuckDb {
    fn integer(&self, value: i128) -> Option<String> {
        // The least one would be read as minus one too many.
        (value > i128::MIN).then(|| value.to_string())
    }

    fn decimal(&self, _digits: &str) -> Option<String> {
        // Compared with a column of another scale, one of the two is cast, and that may fail.
        None
    }

    fn double(&self, value: f64) -> Option<String> {
        Some(format!("'{value:e}'::DOUBLE"))
    }

    fn real(&self, value: f32) -> Option<String> {
        Some(format!("'{value:e}'::FLOAT"))
    }

    fn is_nan(&self, column: &str) -> Option<String> {
        Some(format!("isnan({column})"))
    }
}

/// ClickHouse.
#[derive(Clone, Copy, Debug)]
pub struct ClickHouse;

impl Dialect for ClickHouse {
    fn identifier(&self, name: &str) -> String {
        // Backslashes are escapes in names, too.
        format!("`{}`", name.replace('\\', r"\\").replace('`', r"\`"))
    }

    fn text(&self, value: &str) -> Option<String> {
        let escaped = value.replace('\\', r"\\").replace('\'', r"\'").replace('\0', r"\0");
        Some(format!("'{escaped}'"))
    }

    fn integer(&self, value: i128) -> Option<String> {
        // Larger literals are floats.
        i64::try_from(value).ok().map(|value| value.to_string())
    }

    fn decimal(&self, _digits: &str) -> Option<String> {
        None
    }

    fn double(&self, _value: f64) -> Option<String> {
        // The reading of literals is fast and not always exact to the last bit.
        None
    }

    fn real(&self, _value: f32) -> Option<String> {
        None
    }

    fn date(&self, iso: &str) -> Option<String> {
        is_in_calendar(iso).then(|| format!("toDate32('{iso}')"))
    }

    fn timestamp(&self, iso: &str, clock: Clock) -> Option<String> {
        (clock == Clock::Utc && is_in_calendar(iso)).then(|| format!("toDateTime64('{iso}', 6, 'UTC')"))
    }

    fn is_nan(&self, column: &str) -> Option<String> {
        Some(format!("isNaN({column})"))
    }
}

/// Microsoft SQL Server.
#[derive(Clone, Copy, Debug)]
pub struct MsSql;

impl Dialect for MsSql {
    fn identifier(&self, name: &str) -> String {
        // Brackets mean the same whatever QUOTED_IDENTIFIER is.
        format!("[{}]", name.replace(']', "]]"))
    }

    fn text(&self, value: &str) -> Option<String> {
        (!value.contains('\0')).then(|| format!("N'{}'", value.replace('\'', "''")))
    }

    fn integer(&self, value: i128) -> Option<String> {
        i64::try_from(value).ok().map(|value| value.to_string())
    }

    fn decimal(&self, digits: &str) -> Option<String> {
        // With more digits the literal would be a float, or an error.
        let count = digits.bytes().filter(u8::is_ascii_digit).count();
        (count <= 38 && !digits.contains(['e', 'E'])).then(|| digits.to_owned())
    }

    fn double(&self, _value: f64) -> Option<String> {
        None
    }

    fn real(&self, _value: f32) -> Option<String> {
        None
    }

    fn boolean(&self, value: bool) -> &'static str {
        if value { "1" } else { "0" }
    }

    fn date(&self, iso: &str) -> Option<String> {
        Some(format!("CAST('{iso}' AS date)"))
    }

    fn timestamp(&self, iso: &str, clock: Clock) -> Option<String> {
        Some(match clock {
            Clock::Wall => format!("CAST('{iso}' AS datetime2(7))"),
            Clock::Utc => format!("CAST('{iso} +00:00' AS datetimeoffset(7))"),
        })
    }

    fn is_nan(&self, _column: &str) -> Option<String> {
        None
    }
}

/// Whether ClickHouse has the year with which `iso` begins: others it moves to the first or the last that it has.
fn is_in_calendar(iso: &str) -> bool {
    iso.get(..4).and_then(|year| year.parse::<u16>().ok()).is_some_and(|year| (1900..=2299).contains(&year))
}

/// One part of an object name as a user typed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePart {
    /// The letters, without quotes.
    pub text: String,
    /// Whether it stood in double quotes, so that its case counts.
    pub quoted: bool,
}

impl NamePart {
    /// The exact name it stands for.
    pub fn resolve(&self, dialect: &dyn Dialect) -> String {
        if self.quoted { self.text.clone() } else { dialect.fold(&self.text) }
    }
}

/// Splits what a user typed at its dots: `sales."My.Table"` is two parts. A doubled quote inside quotes is one.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for an empty part, an open quote, or text beside a quoted part.
pub fn split_name(typed: &str) -> Result<Vec<NamePart>> {
    let wrong = |why: &str| {
        Error::new(ErrorKind::Usage, format!("the name {typed:?} {why}"))
            .with_hint("write schema.table, with double quotes around a part that holds a dot or a quote")
    };
    let mut parts = Vec::new();
    let mut rest = typed;
    loop {
        let (part, after) = if let Some(inner) = rest.strip_prefix('"') {
            quoted_part(inner).ok_or_else(|| wrong("has a quote that does not end"))?
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            (NamePart { text: rest[..end].to_owned(), quoted: false }, &rest[end..])
        };
        if part.text.is_empty() {
            return Err(wrong("has an empty part"));
        }
        if !part.quoted && part.text.contains('"') {
            return Err(wrong("has a quote inside a part"));
        }
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(parts),
            None => return Err(wrong("has text after a quoted part")),
        }
    }
}

/// The part that began with a quote, and what follows its closing quote.
fn quoted_part(inner: &str) -> Option<(NamePart, &str)> {
    let mut text = String::new();
    let mut rest = inner;
    loop {
        let end = rest.find('"')?;
        text.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(next) => {
                text.push('"');
                rest = next;
            }
            None => return Some((NamePart { text, quoted: true }, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(typed: &str, dialect: &dyn Dialect) -> Vec<String> {
        split_name(typed).unwrap().iter().map(|part| part.resolve(dialect)).collect()
    }

    #[test]
    fn names_split_at_dots_outside_quotes() {
        assert_eq!(names(r#"Sales."My.Table""#, &Postgres), ["sales", "My.Table"]);
        assert_eq!(names(r#"Sales."My.Table""#, &Sqlite), ["Sales", "My.Table"]);
        assert_eq!(names(r#""a""b".c"#, &Sqlite), ["a\"b", "c"]);
        assert_eq!(names("order items", &Sqlite), ["order items"]);
    }

    #[test]
    fn wrong_names_are_usage_errors() {
        for typed in ["", ".", "a.", ".a", "a..b", r#""a"#, r#""a"b"#, r#"a"b"#, r#""""#] {
            assert_eq!(split_name(typed).unwrap_err().kind(), ErrorKind::Usage, "{typed}");
        }
    }

    #[test]
    fn literals_mean_what_they_say() {
        assert_eq!(Sqlite.identifier(r#"a"b"#), r#""a""b""#);
        assert_eq!(Postgres.text(r"it's a \ b").unwrap(), r"E'it''s a \\ b'");
        assert_eq!(Sqlite.text(r"it's a \ b").unwrap(), r"'it''s a \ b'");
        assert_eq!(Sqlite.text("a\0b"), None);
        assert_eq!(Sqlite.integer(i128::from(i64::MIN)).unwrap(), "-9223372036854775808");
        assert_eq!(Sqlite.integer(1 << 63), None);
        let doubles = [0.1, -0.0, 1e-5, -2.0, 1e15].map(|value| Sqlite.double(value).unwrap());
        assert_eq!(doubles, ["0.1", "0.0", "0.00001", "-2.0", "1000000000000000.0"]);
        assert_eq!([9e-6, 1.1e15, 0.1 + 0.2, 5e-324].map(|value| Sqlite.double(value)), [None, None, None, None]);
        assert_eq!(Postgres.double(1e300).unwrap(), "'1e300'::float8");
        assert_eq!(MySql.identifier("a`b"), "`a``b`");
        assert_eq!(MySql.text("it's \\").unwrap(), "_utf8mb4 x'69742773205c'");
        assert_eq!(MySql.double(0.1).unwrap(), "1e-1");
    }

    proptest! {
        #[test]
        fn sqlite_reads_doubles_back(units in -1_000_000_000_000_000_i64..1_000_000_000_000_000, places in 0..25, other in any::<f64>()) {
            let near = format!("{units}e-{places}").parse::<f64>().unwrap();
            let database = rusqlite::Connection::open_in_memory().unwrap();
            for value in [near, other] {
                let Some(text) = Sqlite.double(value) else { continue };
                let read: f64 = database.query_row(&format!("SELECT {text}"), [], |row| row.get(0)).unwrap();
                prop_assert!(read.to_bits() == value.to_bits() || (read == 0.0 && value == 0.0), "{}", text);
            }
        }
    }
}
