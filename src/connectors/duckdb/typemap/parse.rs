//! Types as DuckDB writes them.

use arrow::datatypes::TimeUnit;

use super::Kind;
use crate::sql::list;

/// What nests deeper is not looked into.
const MOST_DEPTH: usize = 64;

/// The kind of the type `text`; none for one that is not read.
pub(super) fn parse(text: &str) -> Option<Kind> {
    inner(text.trim(), 0)
}

fn inner(text: &str, depth: usize) -> Option<Kind> {
    if depth > MOST_DEPTH {
        return None;
    }
    let within = |text: &str| inner(text.trim(), depth + 1);
    if let Some(rest) = text.strip_suffix(']') {
        let (item, count) = rest.rsplit_once('[')?;
        let item = Box::new(within(item)?);
        return Some(if count.is_empty() { Kind::List(item) } else { Kind::Array(item, count.trim().parse().ok()?) });
    }
    let (name, arguments) = match text.split_once('(') {
        Some((name, rest)) => (name.trim(), Some(parts(rest.strip_suffix(')')?)?)),
        None => (text, None),
    };
    let name = name.to_ascii_uppercase();
    let members = |parts: &[&str]| {
        let member = |part: &&str| {
            let (name, kind) = name_of(part.trim())?;
            Some((name, within(kind)?))
        };
        parts.iter().map(member).collect::<Option<Vec<_>>>()
    };
    match (name.as_str(), arguments.as_deref()) {
        ("DECIMAL" | "NUMERIC", Some([precision, scale])) => {
            Some(Kind::Decimal { precision: precision.trim().parse().ok()?, scale: scale.trim().parse().ok()? })
        }
        ("ENUM", Some(labels)) => {
            let label = |text: &&str| Some(text.trim().strip_prefix('\'')?.strip_suffix('\'')?.replace("''", "'"));
            labels.iter().map(label).collect::<Option<_>>().map(Kind::Enum)
        }
        ("STRUCT", Some(parts)) => members(parts).map(Kind::Struct),
        ("MAP", Some([key, value])) => Some(Kind::Map(Box::new((within(key)?, within(value)?)))),
        (name, None) => plain(name),
        _ => None,
    }
}

fn plain(name: &str) -> Option<Kind> {
    let integer = |bits, signed| Kind::Integer { bits, signed };
    Some(match name {
        "BOOLEAN" => Kind::Boolean,
        "TINYINT" => integer(8, true),
        "SMALLINT" => integer(16, true),
        "INTEGER" => integer(32, true),
        "BIGINT" => integer(64, true),
        "UTINYINT" => integer(8, false),
        "USMALLINT" => integer(16, false),
        "UINTEGER" => integer(32, false),
        "UBIGINT" => integer(64, false),
        "HUGEINT" => Kind::Huge { signed: true },
        "UHUGEINT" => Kind::Huge { signed: false },
        "FLOAT" => Kind::Float,
        "DOUBLE" => Kind::Double,
        "VARCHAR" => Kind::Text,
        "JSON" => Kind::Json,
        "BLOB" => Kind::Blob,
        "UUID" => Kind::Uuid,
        "DATE" => Kind::Date,
        "TIME" => Kind::Time(TimeUnit::Microsecond),
        "TIME_NS" => Kind::Time(TimeUnit::Nanosecond),
        "TIMESTAMP_S" => Kind::Timestamp(TimeUnit::Second),
        "TIMESTAMP_MS" => Kind::Timestamp(TimeUnit::Millisecond),
        "TIMESTAMP" => Kind::Timestamp(TimeUnit::Microsecond),
        "TIMESTAMP_NS" => Kind::Timestamp(TimeUnit::Nanosecond),
        "TIMESTAMP WITH TIME ZONE" => Kind::Instant,
        "TIME WITH TIME ZONE" => Kind::TimeTz,
        "INTERVAL" => Kind::Interval,
        "BIT" => Kind::Bit,
        // The name before version 1.4.
        "BIGNUM" | "VARINT" => Kind::Bignum,
        _ => return None,
    })
}

/// What stands between the commas of `text`.
pub(in super::super) fn parts(text: &str) -> Option<Vec<&str>> {
    list::parts(text, ['\'', '"'], None)
}

/// The name of a member, and its type.
pub(in super::super) fn name_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (name, rest) = text.split_once(' ')?;
        return Some((name.to_owned(), rest));
    };
    let mut from = 0;
    loop {
        let end = from + quoted[from..].find('"')?;
        if quoted[end + 1..].starts_with('"') {
            from = end + 2;
        } else {
            return Some((quoted[..end].replace("\"\"", "\""), &quoted[end + 1..]));
        }
    }
}
