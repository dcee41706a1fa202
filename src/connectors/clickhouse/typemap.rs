//! ClickHouse's types and Arrow's.
//!
//! | ClickHouse | Arrow |
//! |---|---|
//! | Bool; Int8 to Int64, UInt8 to UInt64 | Boolean; Int8 to Int64, UInt8 to UInt64 |
//! | Int128, UInt128; Int256, UInt256 | Decimal256(39,0); Utf8, as digits |
//! | Float32, Float64, Decimal(p,s) | Float32, Float64, Decimal128(p,s) and beyond 38 digits Decimal256(p,s) |
//! | String, Enum8, Enum16, IPv4, IPv6; FixedString(n) | Utf8; FixedSizeBinary(n) |
//! | UUID; JSON | FixedSizeBinary(16) `arrow.uuid`; Utf8 `arrow.json` |
//! | Date, Date32; DateTime, DateTime64(p) | Date32; Timestamp of UTC, of the unit that holds p digits |
//! | Time, Time64(p) | Time32, Time64 of the unit that holds p digits |
//! | IntervalSecond to IntervalNanosecond | Duration |
//! | Array, Map, Tuple | List, Map, Struct |
//!
//! `Nullable`, `LowCardinality` and `SimpleAggregateFunction` are seen through. A point in time without a zone and bytes that are no
//! text have no type of their own: a comment on the column marks them ([`Mark`]).
//!
//! Source: "Data types" in ClickHouse's documentation.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};

use super::name::{identifier, literal};
use crate::formats::exchange;
use crate::formats::value::time::per_second;
use crate::schema::{EXTENSION, EXTENSION_JSON, EXTENSION_UUID, with_metadata, with_native};

mod parse;
mod place;

pub(super) use place::type_for;

/// Product name in `etl.native`.
pub(super) const PRODUCT: &str = "clickhouse";

/// A type as it was declared: what it holds, and what is wrapped around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Type {
    pub(super) kind: Kind,
    pub(super) nullable: bool,
    pub(super) low_cardinality: bool,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    /// Bits and sign: 8 to 64.
    Integer {
        bits: u8,
        signed: bool,
    },
    /// 128 bits.
    Huge {
        signed: bool,
    },
    /// 256 bits.
    Vast {
        signed: bool,
    },
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    /// A String that is text.
    Text,
    /// A String that is bytes.
    Bytes,
    /// A String that is JSON.
    JsonText,
    Fixed(i32),
    Uuid,
    /// Days from 1970 on, in 16 bits.
    Date,
    /// Days from 1900 on.
    Date32,
    /// An instant in seconds, in 32 bits, and the zone in which it is shown.
    DateTime(Option<String>),
    /// An instant, the digits of its fraction, and the zone in which it is shown.
    DateTime64(u8, Option<String>),
    /// What a clock on the wall showed, kept as if it hung in UTC.
    Wall(u8),
    Time,
    Time64(u8),
    Duration(TimeUnit),
    /// Bits, and names with their numbers.
    Enum(u8, Vec<(String, i16)>),
    Ipv4,
    Ipv6,
    Json,
    Array(Box<Type>),
    Map(Box<(Type, Type)>),
    /// Names, where it has some, and types.
    Tuple(Vec<(Option<String>, Type)>),
}

/// The types of ClickHouse, some of them with parameters, and some within others.
pub(super) const TYPES: &[&str] = &[
    "Bool",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Int128",
    "Int256",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "UInt128",
    "UInt256",
    "Float32",
    "Float64",
    "BFloat16",
    "Decimal(18, 4)",
    "Decimal(76, 20)",
    "String",
    "FixedString(16)",
    "LowCardinality(String)",
    "Enum8('a' = 1, 'b' = 2)",
    "UUID",
    "IPv4",
    "IPv6",
    "JSON",
    "Date",
    "Date32",
    "DateTime",
    "DateTime64(3)",
    "DateTime64(6)",
    "DateTime64(9)",
    "Time",
    "Time64(6)",
    "IntervalSecond",
    "Nullable(Int32)",
    "Array(Int32)",
    "Map(String, Int32)",
    "Tuple(a Int32, b String)",
    "Variant(Int32, String)",
    "Dynamic",
    "Point",
    "AggregateFunction(sum, Int32)",
];

/// What a column's comment says of a type that does not say it itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Bytes,
    Json,
    Wall,
}

impl Mark {
    const ALL: [Self; 3] = [Self::Bytes, Self::Json, Self::Wall];

    /// The comment.
    pub(super) fn comment(self) -> &'static str {
        match self {
            Self::Bytes => "etl: bytes",
            Self::Json => "etl: json",
            Self::Wall => "etl: without time zone",
        }
    }

    /// The mark that `comment` is.
    pub(super) fn of(comment: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mark| mark.comment() == comment)
    }
}

impl Type {
    /// The type `text`, in ClickHouse's words; none for one that is neither read nor written.
    pub(super) fn parse(text: &str) -> Option<Self> {
        parse::parse(text)
    }

    /// One that takes no NULL.
    pub(super) fn plain(kind: Kind) -> Self {
        Self { kind, nullable: false, low_cardinality: false }
    }

    /// As `mark` has it, where it is of a type that can have the mark.
    pub(super) fn marked(mut self, mark: Option<Mark>) -> Self {
        self.kind = match (self.kind, mark) {
            (Kind::Text, Some(Mark::Bytes)) => Kind::Bytes,
            (Kind::Text, Some(Mark::Json)) => Kind::JsonText,
            (Kind::DateTime64(digits, Some(zone)), Some(Mark::Wall)) if zone == "UTC" => Kind::Wall(digits),
            (kind, _) => kind,
        };
        self
    }

    /// The mark that a column of it needs.
    pub(super) fn mark(&self) -> Option<Mark> {
        match self.kind {
            Kind::Bytes => Some(Mark::Bytes),
            Kind::JsonText => Some(Mark::Json),
            Kind::Wall(_) => Some(Mark::Wall),
            _ => None,
        }
    }

    /// The same with all Strings taken for bytes.
    pub(super) fn into_bytes(mut self) -> Self {
        self.kind = match self.kind {
            Kind::Text => Kind::Bytes,
            Kind::Array(item) => Kind::Array(Box::new(item.into_bytes())),
            Kind::Map(both) => Kind::Map(Box::new((both.0.into_bytes(), both.1.into_bytes()))),
            Kind::Tuple(members) => {
                Kind::Tuple(members.into_iter().map(|(name, member)| (name, member.into_bytes())).collect())
            }
            other => other,
        };
        self
    }

    pub(super) fn data_type(&self) -> DataType {
        self.kind.data_type()
    }

    /// A field of it.
    pub(super) fn field(&self, name: &str) -> Field {
        let field = Field::new(name, self.data_type(), self.nullable);
        match self.kind {
            Kind::Uuid => with_metadata(field, EXTENSION, EXTENSION_UUID),
            Kind::Json | Kind::JsonText => with_metadata(field, EXTENSION, EXTENSION_JSON),
            _ => field,
        }
    }

    /// The field of a column of it.
    pub(super) fn column(&self, name: &str) -> Field {
        with_native(self.field(name), &format!("{PRODUCT}:{}", self.sql()))
    }

    /// The type in ClickHouse's words.
    pub(super) fn sql(&self) -> String {
        let inner = self.kind.sql();
        let inner = if self.nullable { format!("Nullable({inner})") } else { inner };
        if self.low_cardinality { format!("LowCardinality({inner})") } else { inner }
    }
}

impl Kind {
    /// The type of the inner column at `place` of a nested one.
    pub(super) fn child(&self, place: usize) -> Option<&Type> {
        match self {
            Self::Array(item) => Some(item.as_ref()),
            Self::Map(both) => Some(if place == 0 { &both.0 } else { &both.1 }),
            Self::Tuple(members) => members.get(place).map(|(_, member)| member),
            _ => None,
        }
    }

    pub(super) fn data_type(&self) -> DataType {
        let utc = |unit| DataType::Timestamp(unit, Some("UTC".into()));
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Integer { bits, signed } => exchange::integer((*bits, *signed)),
            Self::Huge { .. } => exchange::huge(),
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Decimal { precision: precision @ ..=38, scale } => DataType::Decimal128(*precision, *scale as i8),
            Self::Decimal { precision, scale } => DataType::Decimal256(*precision, *scale as i8),
            Self::Vast { .. } | Self::Text | Self::JsonText | Self::Json | Self::Enum(..) => DataType::Utf8,
            Self::Ipv4 | Self::Ipv6 => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Fixed(bytes) => DataType::FixedSizeBinary(*bytes),
            Self::Uuid => DataType::FixedSizeBinary(16),
            Self::Date | Self::Date32 => DataType::Date32,
            Self::DateTime(_) => utc(TimeUnit::Second),
            Self::DateTime64(digits, _) => utc(unit_of(*digits)),
            Self::Wall(digits) => DataType::Timestamp(unit_of(*digits), None),
            Self::Time => DataType::Time32(TimeUnit::Second),
            Self::Time64(digits) => match unit_of(*digits) {
                unit @ (TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(unit),
                unit => DataType::Time64(unit),
            },
            Self::Duration(unit) => DataType::Duration(*unit),
            Self::Array(item) => DataType::List(Arc::new(item.field(Field::LIST_FIELD_DEFAULT_NAME))),
            Self::Map(both) => {
                let entries = vec![both.0.field("key").with_nullable(false), both.1.field("value")];
                DataType::Map(Arc::new(Field::new_struct("entries", entries, false)), false)
            }
            Self::Tuple(members) => DataType::Struct(fields(members, &Type::field)),
        }
    }

    fn sql(&self) -> String {
        let zoned = |zone: &Option<String>| zone.as_deref().map(literal);
        match self {
            Self::Boolean => "Bool".to_owned(),
            Self::Integer { bits, signed } => integer(u16::from(*bits), *signed),
            Self::Huge { signed } => integer(128, *signed),
            Self::Vast { signed } => integer(256, *signed),
            Self::Float => "Float32".to_owned(),
            Self::Double => "Float64".to_owned(),
            Self::Decimal { precision, scale } => format!("Decimal({precision}, {scale})"),
            Self::Text | Self::Bytes | Self::JsonText => "String".to_owned(),
            Self::Fixed(bytes) => format!("FixedString({bytes})"),
            Self::Uuid => "UUID".to_owned(),
            Self::Date => "Date".to_owned(),
            Self::Date32 => "Date32".to_owned(),
            Self::DateTime(zone) => zoned(zone).map_or("DateTime".to_owned(), |zone| format!("DateTime({zone})")),
            Self::DateTime64(digits, zone) => match zoned(zone) {
                Some(zone) => format!("DateTime64({digits}, {zone})"),
                None => format!("DateTime64({digits})"),
            },
            Self::Wall(digits) => format!("DateTime64({digits}, 'UTC')"),
            Self::Time => "Time".to_owned(),
            Self::Time64(digits) => format!("Time64({digits})"),
            Self::Duration(unit) => format!("Interval{unit:?}"),
            Self::Enum(bits, names) => {
                let name = |(name, number): &(String, i16)| format!("{} = {number}", literal(name));
                format!("Enum{bits}({})", names.iter().map(name).collect::<Vec<_>>().join(", "))
            }
            Self::Ipv4 => "IPv4".to_owned(),
            Self::Ipv6 => "IPv6".to_owned(),
            Self::Json => "JSON".to_owned(),
            Self::Array(item) => format!("Array({})", item.sql()),
            Self::Map(both) => format!("Map({}, {})", both.0.sql(), both.1.sql()),
            Self::Tuple(members) => {
                let member = |(name, member): &(Option<String>, Type)| match name {
                    Some(name) => format!("{} {}", identifier(name), member.sql()),
                    None => member.sql(),
                };
                format!("Tuple({})", members.iter().map(member).collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// Whether `Nullable` can be around it.
    pub(super) fn can_be_null(&self) -> bool {
        !matches!(self, Self::Array(_) | Self::Map(_) | Self::Tuple(_))
    }

    /// Whether values of it are told from those of other types that are texts, too.
    pub(super) fn is_text_of_its_own(&self) -> bool {
        matches!(self, Self::Vast { .. } | Self::Enum(..) | Self::Ipv4 | Self::Ipv6)
    }
}

/// The members of a tuple, those without names under their numbers from 1 on, as ClickHouse calls them.
pub(super) fn fields(members: &[(Option<String>, Type)], of: &dyn Fn(&Type, &str) -> Field) -> Fields {
    let field = |(place, (name, member)): (usize, &(Option<String>, Type))| {
        let field = match name {
            Some(name) => of(member, name),
            None => of(member, &(place + 1).to_string()),
        };
        Arc::new(field) as FieldRef
    };
    members.iter().enumerate().map(field).collect()
}

/// The coarsest unit that holds so many digits of a second.
pub(super) fn unit_of(digits: u8) -> TimeUnit {
    match digits {
        0 => TimeUnit::Second,
        1..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

/// Digits of a second that `unit` has.
pub(super) fn digits_of(unit: TimeUnit) -> u8 {
    per_second(unit).ilog10() as u8
}

fn integer(bits: u16, signed: bool) -> String {
    format!("{}Int{bits}", if signed { "" } else { "U" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 30] = [
        "Bool",
        "Int8",
        "UInt64",
        "Int128",
        "UInt256",
        "Float32",
        "Float64",
        "Decimal(76, 38)",
        "String",
        "FixedString(3)",
        "UUID",
        "Date",
        "Date32",
        "DateTime",
        "DateTime('Europe/Oslo')",
        "DateTime64(3)",
        "DateTime64(9, 'UTC')",
        "Time",
        "Time64(6)",
        "IntervalMicrosecond",
        "Enum8('a' = 1, 'it\\'s, (b)' = -2)",
        "IPv4",
        "IPv6",
        "JSON",
        "Nullable(Int32)",
        "LowCardinality(Nullable(String))",
        "Array(Array(Nullable(Int8)))",
        "Map(String, Array(UInt8))",
        "Tuple(`a` Int32, `b \\`c, (` Nullable(String))",
        "Tuple(Int32, String)",
    ];

    #[test]
    fn types_are_read_as_they_are_written() {
        for name in NAMES {
            let parsed = Type::parse(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(parsed.sql(), name);
            if parsed.kind != Kind::Json {
                assert_eq!(type_for(&parsed.column("c")).unwrap(), parsed, "{name}");
            }
        }
        let same = [
            ("Tuple(a Int32)", "Tuple(`a` Int32)"),
            ("SimpleAggregateFunction(sum, UInt64)", "UInt64"),
            ("JSON(max_dynamic_paths=8)", "JSON"),
        ];
        for (text, name) in same {
            assert_eq!(Type::parse(text).unwrap().sql(), name);
        }
        for unknown in [
            "AggregateFunction(sum, UInt64)",
            "Dynamic",
            "Variant(Int8, String)",
            "Point",
            "BFloat16",
            "Nothing",
            "Nullable(Array(Int8))",
            "Array(JSON)",
            "Decimal(77, 0)",
            "Decimal(2, 3)",
            "DateTime64(10)",
            "Enum8(a)",
            "Tuple()",
            "Array(Int8",
            "",
        ] {
            assert_eq!(Type::parse(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn marks_say_what_types_do_not() {
        let of = |name: &str, comment: &str| Type::parse(name).unwrap().marked(Mark::of(comment)).data_type();
        assert_eq!(of("Nullable(String)", "etl: bytes"), DataType::Binary);
        assert_eq!(of("String", "bytes"), DataType::Utf8);
        assert_eq!(of("DateTime64(6, 'UTC')", Mark::Wall.comment()), DataType::Timestamp(TimeUnit::Microsecond, None));
        // Somebody changed the type and not the comment.
        assert!(matches!(of("DateTime64(6, 'Asia/Tokyo')", Mark::Wall.comment()), DataType::Timestamp(_, Some(_))));
        assert_eq!(of("Int32", "etl: bytes"), DataType::Int32);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in r#"(Tuple|Map|Enum8|Decimal|Int8|Nullable|Array|[a'"`é(),\\ =0-9-]){0,24}"#) {
            if let Some(parsed) = Type::parse(&text) {
                prop_assert_eq!(Type::parse(&parsed.sql()), Some(parsed));
            }
        }
    }
}
