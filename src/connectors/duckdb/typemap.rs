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

use crate::formats::exchange;
use crate::schema::{EXTENSION, EXTENSION_JSON, EXTENSION_UUID, FORM, INFINITE, with_metadata, with_native};
use crate::sql::dialect::{Dialect as _, DuckDb};

mod parse;
mod place;

pub(super) use parse::{name_of, parts};
pub(super) use place::kind_for;

/// Prefix of native types in field metadata.
pub(super) const PRODUCT: &str = "duckdb";

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
        parse::parse(text)
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
            Self::Integer { bits, signed } => exchange::integer((*bits, *signed)),
            Self::Huge { .. } => exchange::huge(),
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

    /// The native form of a column of this kind, where values of it may be infinite.
    pub(super) fn native(&self, name: &str, nullable: bool) -> Option<Field> {
        let is_endless = matches!(self, Self::Date | Self::Timestamp(_) | Self::Instant);
        is_endless.then(|| with_metadata(self.column(name, nullable), FORM, INFINITE))
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
