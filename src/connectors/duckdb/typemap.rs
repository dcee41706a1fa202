//! DuckDB's types and Arrow's.
//!
//! | DuckDB | Arrow |
//! |---|---|
//! | BOOLEAN; TINYINT to BIGINT, UTINYINT to UBIGINT | Boolean; signed and unsigned integers of the same width |
//! | HUGEINT, UHUGEINT | Decimal256(39,0) |
//! | FLOAT, DOUBLE, DECIMAL(p,s) | Float32, Float64, Decimal128(p,s) |
//! | VARCHAR, ENUM; JSON; BLOB; UUID | Utf8; Utf8 `arrow.json`; Binary; FixedSizeBinary(16) `arrow.uuid` |
//! | DATE, TIME, `TIME_NS` | Date32, Time64 in microseconds and nanoseconds |
//! | `TIMESTAMP_S`, `TIMESTAMP_MS`, TIMESTAMP, `TIMESTAMP_NS`; TIMESTAMPTZ | Timestamp of that unit; in microseconds of UTC |
//! | INTERVAL | Interval of months, days and nanoseconds |
//! | TIMETZ, BIT, BIGNUM | Utf8: DuckDB's own text |
//! | `T[]`, `T[n]`, STRUCT, MAP | List, `FixedSizeList`, Struct, Map |
//!
//! UNION is not read, because its NULL is not told from a member that is NULL; nor are VARIANT and GEOMETRY.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};

use crate::schema::{
    EXTENSION, EXTENSION_JSON, EXTENSION_UUID, is_json, is_uuid, native_of, with_metadata, with_native,
};
use crate::sql::dialect::{Dialect as _, DuckDb};

/// Prefix of native types in field metadata.
pub(super) const PRODUCT: &str = "duckdb";
/// Digits of the largest HUGEINT.
const HUGE_DIGITS: u8 = 39;
/// Elements of an ARRAY, at most.
const MOST_ELEMENTS: i32 = 100_000;
/// What nests deeper is not looked into.
const MOST_DEPTH: usize = 64;

/// The type of one column or of what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    /// Bits and sign: 8 to 64.
    Integer {
        bits: u8,
        signed: bool,
    },
    Huge {
        signed: bool,
    },
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: i8,
    },
    Text,
    Json,
    Blob,
    Uuid,
    Date,
    /// Microseconds, or nanoseconds.
    Time(TimeUnit),
    Timestamp(TimeUnit),
    Instant,
    Interval,
    TimeTz,
    Bit,
    Bignum,
    /// Its labels.
    Enum(Vec<String>),
    List(Box<Kind>),
    Array(Box<Kind>, i32),
    Struct(Vec<(String, Kind)>),
    Map(Box<(Kind, Kind)>),
}

/// The types of `DuckDB`, some of them with modifiers.
pub(super) const TYPES: &[&str] = &[
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
    "BIGNUM",
    "FLOAT",
    "DOUBLE",
    "DECIMAL(18,4)",
    "DECIMAL(38,10)",
    "VARCHAR",
    "BLOB",
    "BIT",
    "UUID",
    "JSON",
    "ENUM('a', 'b')",
    "DATE",
    "TIME",
    "TIME_NS",
    "TIME WITH TIME ZONE",
    "TIMESTAMP",
    "TIMESTAMP_S",
    "TIMESTAMP_MS",
    "TIMESTAMP_NS",
    "TIMESTAMP WITH TIME ZONE",
    "INTERVAL",
    "INTEGER[]",
    "INTEGER[3]",
    "STRUCT(a INTEGER, b VARCHAR)",
    "MAP(VARCHAR, INTEGER)",
    "UNION(a INTEGER, b VARCHAR)",
    "VARIANT",
    "GEOMETRY",
];

impl Kind {
    /// The kind of a type in DuckDB's words; none for one that is not read.
    pub(super) fn parse(text: &str) -> Option<Self> {
        parse(text.trim(), 0)
    }

    /// The kind of the inner column at `place` of a nested one.
    pub(super) fn child(&self, place: usize) -> Option<&Self> {
        match self {
            Self::List(item) | Self::Array(item, _) => Some(item.as_ref()),
            Self::Map(both) => Some(if place == 0 { &both.0 } else { &both.1 }),
            Self::Struct(members) => members.get(place).map(|(_, member)| member),
            _ => None,
        }
    }

    pub(super) fn data_type(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Integer { bits: 8, signed: true } => DataType::Int8,
            Self::Integer { bits: 16, signed: true } => DataType::Int16,
            Self::Integer { bits: 32, signed: true } => DataType::Int32,
            Self::Integer { signed: true, .. } => DataType::Int64,
            Self::Integer { bits: 8, .. } => DataType::UInt8,
            Self::Integer { bits: 16, .. } => DataType::UInt16,
            Self::Integer { bits: 32, .. } => DataType::UInt32,
            Self::Integer { .. } => DataType::UInt64,
            Self::Huge { .. } => DataType::Decimal256(HUGE_DIGITS, 0),
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale),
            Self::Text | Self::Json | Self::TimeTz | Self::Bit | Self::Bignum | Self::Enum(_) => DataType::Utf8,
            Self::Blob => DataType::Binary,
            Self::Uuid => DataType::FixedSizeBinary(16),
            Self::Date => DataType::Date32,
            Self::Time(unit) => DataType::Time64(*unit),
            Self::Timestamp(unit) => DataType::Timestamp(*unit, None),
            Self::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::List(item) => DataType::List(Arc::new(item.field(Field::LIST_FIELD_DEFAULT_NAME, true))),
            Self::Array(item, count) => {
                DataType::FixedSizeList(Arc::new(item.field(Field::LIST_FIELD_DEFAULT_NAME, true)), *count)
            }
            Self::Struct(members) => DataType::Struct(fields(members)),
            Self::Map(both) => {
                let entries = vec![both.0.field("key", false), both.1.field("value", true)];
                DataType::Map(Arc::new(Field::new_struct("entries", entries, false)), false)
            }
        }
    }

    /// A field of this kind.
    pub(super) fn field(&self, name: &str, nullable: bool) -> Field {
        let field = Field::new(name, self.data_type(), nullable);
        match self {
            Self::Uuid => with_metadata(field, EXTENSION, EXTENSION_UUID),
            Self::Json => with_metadata(field, EXTENSION, EXTENSION_JSON),
            _ => field,
        }
    }

    /// The field of a column of this kind.
    pub(super) fn column(&self, name: &str, nullable: bool) -> Field {
        with_native(self.field(name, nullable), &format!("{PRODUCT}:{}", self.sql()))
    }

    /// The type in DuckDB's words.
    pub(super) fn sql(&self) -> String {
        let members = |members: &[(String, Self)], sql: &dyn Fn(&Self) -> String| {
            let each = members.iter().map(|(name, kind)| format!("{} {}", DuckDb.identifier(name), sql(kind)));
            each.collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Boolean => "BOOLEAN".to_owned(),
            Self::Integer { bits, signed } => {
                let name = match bits {
                    8 => "TINYINT",
                    16 => "SMALLINT",
                    32 => "INTEGER",
                    _ => "BIGINT",
                };
                format!("{}{name}", if *signed { "" } else { "U" })
            }
            Self::Huge { signed } => if *signed { "HUGEINT" } else { "UHUGEINT" }.to_owned(),
            Self::Float => "FLOAT".to_owned(),
            Self::Double => "DOUBLE".to_owned(),
            Self::Decimal { precision, scale } => format!("DECIMAL({precision},{scale})"),
            Self::Text => "VARCHAR".to_owned(),
            Self::Json => "JSON".to_owned(),
            Self::Blob => "BLOB".to_owned(),
            Self::Uuid => "UUID".to_owned(),
            Self::Date => "DATE".to_owned(),
            Self::Time(TimeUnit::Nanosecond) => "TIME_NS".to_owned(),
            Self::Time(_) => "TIME".to_owned(),
            Self::Timestamp(TimeUnit::Second) => "TIMESTAMP_S".to_owned(),
            Self::Timestamp(TimeUnit::Millisecond) => "TIMESTAMP_MS".to_owned(),
            Self::Timestamp(TimeUnit::Microsecond) => "TIMESTAMP".to_owned(),
            Self::Timestamp(TimeUnit::Nanosecond) => "TIMESTAMP_NS".to_owned(),
            Self::Instant => "TIMESTAMP WITH TIME ZONE".to_owned(),
            Self::Interval => "INTERVAL".to_owned(),
            Self::TimeTz => "TIME WITH TIME ZONE".to_owned(),
            Self::Bit => "BIT".to_owned(),
            Self::Bignum => "BIGNUM".to_owned(),
            Self::Enum(labels) => {
                let labels: Vec<String> =
                    labels.iter().map(|label| format!("'{}'", label.replace('\'', "''"))).collect();
                format!("ENUM({})", labels.join(", "))
            }
            Self::List(item) => format!("{}[]", item.sql()),
            Self::Array(item, count) => format!("{}[{count}]", item.sql()),
            Self::Struct(all) => format!("STRUCT({})", members(all, &Self::sql)),
            Self::Map(both) => format!("MAP({}, {})", both.0.sql(), both.1.sql()),
        }
    }

    /// The kind as which DuckDB hands values out and takes them in, where that is another one: those that it would change on
    /// the way to Arrow, and those that its bulk path does not take, go as text.
    pub(super) fn carrier(&self, way: Way) -> Option<Self> {
        let of = |kind: &Self| kind.carrier(way).unwrap_or_else(|| kind.clone());
        let any = |members: &[(String, Self)]| members.iter().any(|(_, kind)| kind.carrier(way).is_some());
        let all = |members: &[(String, Self)]| members.iter().map(|(name, kind)| (name.clone(), of(kind))).collect();
        match self {
            Self::TimeTz | Self::Bit | Self::Bignum | Self::Enum(_) => Some(Self::Text),
            // Its microseconds overflow Arrow's nanoseconds without a word.
            Self::Interval => (way == Way::Out).then_some(Self::Text),
            Self::List(item) => item.carrier(way).map(|item| Self::List(Box::new(item))),
            Self::Array(item, count) => item.carrier(way).map(|item| Self::Array(Box::new(item), *count)),
            Self::Struct(members) => any(members).then(|| Self::Struct(all(members))),
            Self::Map(both) => {
                let changed = both.0.carrier(way).is_some() || both.1.carrier(way).is_some();
                changed.then(|| Self::Map(Box::new((of(&both.0), of(&both.1)))))
            }
            _ => None,
        }
    }

    /// Whether values of it are told from those of other kinds that are texts, too.
    pub(super) fn is_text_of_its_own(&self) -> bool {
        matches!(self, Self::TimeTz | Self::Bit | Self::Bignum | Self::Enum(_))
    }
}

/// Which way values go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Out of DuckDB.
    Out,
    /// Into it.
    In,
}

fn fields(members: &[(String, Kind)]) -> Fields {
    members.iter().map(|(name, kind)| Arc::new(kind.field(name, true)) as FieldRef).collect()
}

fn parse(text: &str, depth: usize) -> Option<Kind> {
    if depth > MOST_DEPTH {
        return None;
    }
    let inner = |text: &str| parse(text.trim(), depth + 1);
    if let Some(rest) = text.strip_suffix(']') {
        let (item, count) = rest.rsplit_once('[')?;
        let item = Box::new(inner(item)?);
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
            Some((name, inner(kind)?))
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
        ("MAP", Some([key, value])) => Some(Kind::Map(Box::new((inner(key)?, inner(value)?)))),
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

/// Cuts `text` at the commas that stand in no quotes and no parentheses.
pub(super) fn parts(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0_usize, None);
    for (at, letter) in text.char_indices() {
        match (letter, quote) {
            // A doubled quote ends and begins again.
            (letter, Some(open)) => quote = (letter != open).then_some(open),
            ('\'' | '"', None) => quote = Some(letter),
            ('(' | '[', None) => depth += 1,
            (')' | ']', None) => depth = depth.checked_sub(1)?,
            (',', None) if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (depth == 0 && quote.is_none()).then_some(parts)
}

/// The name of a member, and its type.
pub(super) fn name_of(text: &str) -> Option<(String, &str)> {
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

/// The kind in which values of any `field` are held; none where there is none.
pub(super) fn kind_for(field: &Field) -> Option<Kind> {
    use DataType as T;
    // What DuckDB itself has read comes back as it was, where it means the same.
    let own = native_of(field, PRODUCT).and_then(Kind::parse);
    if let Some(own) = own.filter(|own| own.data_type() == *field.data_type()) {
        return Some(own);
    }
    if is_uuid(field) {
        return Some(Kind::Uuid);
    }
    let integer = |bits, signed| Kind::Integer { bits, signed };
    Some(match field.data_type() {
        T::Boolean => Kind::Boolean,
        T::Int8 => integer(8, true),
        T::Int16 => integer(16, true),
        T::Int32 => integer(32, true),
        T::Int64 => integer(64, true),
        T::UInt8 => integer(8, false),
        T::UInt16 => integer(16, false),
        T::UInt32 => integer(32, false),
        T::UInt64 => integer(64, false),
        T::Float16 | T::Float32 => Kind::Float,
        T::Float64 => Kind::Double,
        T::Decimal32(precision, scale)
        | T::Decimal64(precision, scale)
        | T::Decimal128(precision, scale)
        | T::Decimal256(precision, scale) => decimal(*precision, *scale),
        T::Utf8 | T::LargeUtf8 | T::Utf8View if is_json(field) => Kind::Json,
        T::Null | T::Utf8 | T::LargeUtf8 | T::Utf8View => Kind::Text,
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => Kind::Blob,
        T::Date32 | T::Date64 => Kind::Date,
        T::Time64(TimeUnit::Nanosecond) => Kind::Time(TimeUnit::Nanosecond),
        T::Time32(_) | T::Time64(_) => Kind::Time(TimeUnit::Microsecond),
        T::Timestamp(unit, None) => Kind::Timestamp(*unit),
        T::Timestamp(_, Some(_)) => Kind::Instant,
        T::Interval(_) | T::Duration(_) => Kind::Interval,
        T::Dictionary(_, values) => kind_for(&Field::new("", (**values).clone(), true))?,
        T::RunEndEncoded(_, values) => kind_for(values)?,
        T::List(item) | T::LargeList(item) | T::ListView(item) | T::LargeListView(item) => {
            Kind::List(Box::new(kind_for(item)?))
        }
        T::FixedSizeList(item, count) if (1..=MOST_ELEMENTS).contains(count) => {
            Kind::Array(Box::new(kind_for(item)?), *count)
        }
        T::FixedSizeList(item, _) => Kind::List(Box::new(kind_for(item)?)),
        T::Struct(members) if !members.is_empty() => Kind::Struct(kinds_for(members.iter())?),
        T::Struct(_) => return None,
        T::Map(entries, _) => match entries.data_type() {
            T::Struct(both) if both.len() == 2 => Kind::Map(Box::new((kind_for(&both[0])?, kind_for(&both[1])?))),
            _ => return None,
        },
        T::Union(..) => return None,
    })
}

fn kinds_for<'a>(members: impl Iterator<Item = &'a FieldRef>) -> Option<Vec<(String, Kind)>> {
    let mut known: Vec<(String, Kind)> = Vec::new();
    for member in members {
        let name = member.name();
        if name.is_empty() || known.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return None;
        }
        known.push((name.clone(), kind_for(member)?));
    }
    Some(known)
}

/// A decimal that DuckDB has, with a negative scale written out; more digits than it has are text.
fn decimal(precision: u8, scale: i8) -> Kind {
    let (precision, scale) = match u8::try_from(scale) {
        Ok(places) => (precision.max(places), scale),
        Err(_) => (precision.saturating_add(scale.unsigned_abs()), 0),
    };
    if precision <= 38 { Kind::Decimal { precision, scale } } else { Kind::Text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 28] = [
        "BOOLEAN",
        "TINYINT",
        "UBIGINT",
        "HUGEINT",
        "UHUGEINT",
        "FLOAT",
        "DOUBLE",
        "DECIMAL(38,38)",
        "VARCHAR",
        "JSON",
        "BLOB",
        "UUID",
        "DATE",
        "TIME",
        "TIME_NS",
        "TIMESTAMP_S",
        "TIMESTAMP_MS",
        "TIMESTAMP",
        "TIMESTAMP_NS",
        "TIMESTAMP WITH TIME ZONE",
        "TIME WITH TIME ZONE",
        "INTERVAL",
        "BIT",
        "BIGNUM",
        "ENUM('a', 'it''s, (b)')",
        "INTEGER[3][]",
        "STRUCT(\"a\" INTEGER, \"b \"\"c, (\" VARCHAR[])",
        "MAP(VARCHAR, STRUCT(\"x\" DECIMAL(4,1)))",
    ];

    #[test]
    fn types_are_read_as_they_are_written() {
        for name in NAMES {
            let kind = Kind::parse(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(kind.sql(), name);
            assert_eq!(kind_for(&kind.column("c", true)).unwrap(), kind, "{name}");
        }
        assert_eq!(Kind::parse("STRUCT(a INTEGER, b VARCHAR)").unwrap().sql(), "STRUCT(\"a\" INTEGER, \"b\" VARCHAR)");
        for unknown in
            ["GEOMETRY", "VARIANT", "UNION(n INTEGER)", "VARIANT[]", "STRUCT(INTEGER)", "STRUCT(a", "ENUM(a)", "[]", ""]
        {
            assert_eq!(Kind::parse(unknown), None, "{unknown}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in r#"(STRUCT|MAP|ENUM|DECIMAL|INTEGER|[a'"é(),\[\]0-9 ]){0,24}"#) {
            if let Some(kind) = Kind::parse(&text) {
                prop_assert_eq!(Kind::parse(&kind.sql()), Some(kind));
            }
        }
    }

    #[test]
    fn what_changes_on_the_way_goes_as_text() {
        let carrier = |name: &str, way| Kind::parse(name).unwrap().carrier(way).map(|kind| kind.sql());
        assert_eq!(carrier("INTERVAL[]", Way::Out).unwrap(), "VARCHAR[]");
        assert_eq!(carrier("INTERVAL", Way::In), None);
        assert_eq!(carrier("STRUCT(a BIT, b INTEGER)", Way::Out).unwrap(), "STRUCT(\"a\" VARCHAR, \"b\" INTEGER)");
        assert_eq!(carrier("HUGEINT", Way::Out), None);
    }

    #[test]
    fn other_types_find_a_place() {
        let of = |data_type: DataType| kind_for(&Field::new("c", data_type, true)).map(|kind| kind.sql());
        assert_eq!(of(DataType::Decimal256(76, 38)).unwrap(), "VARCHAR");
        assert_eq!(of(DataType::Decimal256(20, 2)).unwrap(), "DECIMAL(20,2)");
        assert_eq!(of(DataType::Decimal128(5, -3)).unwrap(), "DECIMAL(8,0)");
        assert_eq!(of(DataType::UInt64).unwrap(), "UBIGINT");
        assert_eq!(of(DataType::Struct(Fields::empty())), None);
    }
}
