//! Types as ClickHouse writes them.

use arrow::datatypes::TimeUnit;

use super::{Kind, Type};
use crate::sql::list;

/// What nests deeper is not looked into.
const MOST_DEPTH: usize = 64;

/// The type `text`; none for one that is not known.
pub(super) fn parse(text: &str) -> Option<Type> {
    let (bare, nullable, low_cardinality) = unwrapped(text.trim())?;
    // JSON within something else has no text of its own.
    if bare == "JSON" || bare.starts_with("JSON(") && bare.ends_with(')') {
        return Some(Type { kind: Kind::Json, nullable, low_cardinality });
    }
    inner(text, 0)
}

/// What is inside `Nullable` and `LowCardinality`, and which of them are there.
fn unwrapped(text: &str) -> Option<(&str, bool, bool)> {
    let inside = |text: &str, name: &str| -> Option<Option<usize>> {
        match text.strip_prefix(name).and_then(|rest| rest.strip_prefix('(')) {
            Some(rest) => rest.strip_suffix(')').map(|rest| Some(rest.len())),
            None => Some(None),
        }
    };
    let mut rest = text;
    let low_cardinality = inside(rest, "LowCardinality")?;
    if let Some(length) = low_cardinality {
        rest = &rest["LowCardinality(".len()..][..length];
    }
    let nullable = inside(rest, "Nullable")?;
    if let Some(length) = nullable {
        rest = &rest["Nullable(".len()..][..length];
    }
    Some((rest, nullable.is_some(), low_cardinality.is_some()))
}

fn inner(text: &str, depth: usize) -> Option<Type> {
    if depth > MOST_DEPTH {
        return None;
    }
    let (bare, nullable, low_cardinality) = unwrapped(text.trim())?;
    if let Some(rest) = bare.strip_prefix("SimpleAggregateFunction(") {
        let arguments = parts(rest.strip_suffix(')')?)?;
        let [_, value] = arguments.as_slice() else { return None };
        return inner(value, depth + 1);
    }
    let kind = kind(bare, depth)?;
    let is_nested = !kind.can_be_null();
    (!(is_nested && (nullable || low_cardinality))).then_some(Type { kind, nullable, low_cardinality })
}

fn kind(text: &str, depth: usize) -> Option<Kind> {
    let (name, arguments) = match text.split_once('(') {
        Some((name, rest)) => (name.trim(), Some(parts(rest.strip_suffix(')')?)?)),
        None => (text, None),
    };
    let number = |text: &str| text.trim().parse::<u8>().ok();
    let digits = |text: &str| number(text).filter(|digits| *digits <= 9);
    match (name, arguments.as_deref()) {
        ("Decimal", Some([precision, scale])) => {
            let (precision, scale) = (number(precision)?, number(scale)?);
            ((1..=76).contains(&precision) && scale <= precision).then_some(Kind::Decimal { precision, scale })
        }
        ("FixedString", Some([bytes])) => bytes.trim().parse().ok().filter(|bytes| *bytes > 0).map(Kind::Fixed),
        ("DateTime", Some([zone])) => Some(Kind::DateTime(Some(unquoted(zone)?))),
        ("DateTime64", Some([places])) => Some(Kind::DateTime64(digits(places)?, None)),
        ("DateTime64", Some([places, zone])) => Some(Kind::DateTime64(digits(places)?, Some(unquoted(zone)?))),
        ("Time64", Some([places])) => Some(Kind::Time64(digits(places)?)),
        ("Enum8", Some(names)) => labels(names).map(|names| Kind::Enum(8, names)),
        ("Enum16", Some(names)) => labels(names).map(|names| Kind::Enum(16, names)),
        ("Array", Some([item])) => Some(Kind::Array(Box::new(inner(item, depth + 1)?))),
        ("Map", Some([key, value])) => {
            let (key, value) = (inner(key, depth + 1)?, inner(value, depth + 1)?);
            (!key.nullable).then(|| Kind::Map(Box::new((key, value))))
        }
        ("Tuple", Some(members)) => tuple(members, depth),
        (name, None) => plain(name),
        _ => None,
    }
}

fn plain(name: &str) -> Option<Kind> {
    let integer = |bits, signed| Kind::Integer { bits, signed };
    Some(match name {
        "Bool" => Kind::Boolean,
        "Int8" => integer(8, true),
        "Int16" => integer(16, true),
        "Int32" => integer(32, true),
        "Int64" => integer(64, true),
        "UInt8" => integer(8, false),
        "UInt16" => integer(16, false),
        "UInt32" => integer(32, false),
        "UInt64" => integer(64, false),
        "Int128" => Kind::Huge { signed: true },
        "UInt128" => Kind::Huge { signed: false },
        "Int256" => Kind::Vast { signed: true },
        "UInt256" => Kind::Vast { signed: false },
        "Float32" => Kind::Float,
        "Float64" => Kind::Double,
        "String" => Kind::Text,
        "UUID" => Kind::Uuid,
        "Date" => Kind::Date,
        "Date32" => Kind::Date32,
        "DateTime" => Kind::DateTime(None),
        "Time" => Kind::Time,
        "IntervalSecond" => Kind::Duration(TimeUnit::Second),
        "IntervalMillisecond" => Kind::Duration(TimeUnit::Millisecond),
        "IntervalMicrosecond" => Kind::Duration(TimeUnit::Microsecond),
        "IntervalNanosecond" => Kind::Duration(TimeUnit::Nanosecond),
        "IPv4" => Kind::Ipv4,
        "IPv6" => Kind::Ipv6,
        _ => return None,
    })
}

/// All members have names, or none.
fn tuple(members: &[&str], depth: usize) -> Option<Kind> {
    let named = |member: &&str| {
        let (name, rest) = name_of(member.trim())?;
        Some((Some(name), inner(rest, depth + 1)?))
    };
    let unnamed = |member: &&str| Some((None, inner(member, depth + 1)?));
    let all = members.iter().map(unnamed).collect::<Option<Vec<_>>>();
    let all = all.or_else(|| members.iter().map(named).collect::<Option<Vec<_>>>())?;
    (!all.is_empty()).then_some(Kind::Tuple(all))
}

/// `'a' = 1`.
fn labels(parts: &[&str]) -> Option<Vec<(String, i16)>> {
    let label = |part: &&str| {
        let (name, number) = part.rsplit_once('=')?;
        Some((unquoted(name)?, number.trim().parse().ok()?))
    };
    parts.iter().map(label).collect()
}

/// The text of a literal.
fn unquoted(text: &str) -> Option<String> {
    let (text, rest) = quoted(text.trim(), '\'')?;
    rest.is_empty().then_some(text)
}

/// A text in quotes, without its escapes, and what follows.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut letters = text.strip_prefix(quote)?.char_indices();
    let mut out = String::new();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => out.push(match letters.next()?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                '0' => '\0',
                other => other,
            }),
            letter if letter == quote => return Some((out, &text[1 + at + 1..])),
            letter => out.push(letter),
        }
    }
    None
}

/// The name of a member, and its type.
fn name_of(text: &str) -> Option<(String, &str)> {
    if text.starts_with('`') {
        let (name, rest) = quoted(text, '`')?;
        return rest.strip_prefix(' ').filter(|_| !name.is_empty()).map(|rest| (name, rest));
    }
    let (name, rest) = text.split_once(' ')?;
    let is_word = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    (is_word && !name.is_empty()).then(|| (name.to_owned(), rest))
}

/// What stands between the commas of `text`.
fn parts(text: &str) -> Option<Vec<&str>> {
    list::parts(text, ['\'', '`'], Some('\\'))
}
