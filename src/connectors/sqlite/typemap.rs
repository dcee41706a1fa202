//! Declared types, what columns really hold, and Arrow types.
//!
//! SQLite's columns may hold anything. A column is read as one [`Kind`]: a declared type proposes kinds, the values of
//! a sample choose among them; when none of the values fits the declaration, they alone decide. A value that does not
//! fit the kind is an error when it is read. Conversions that lose nothing are part of a kind: an integer in a REAL
//! column is that number, a REAL in a DECIMAL(p,s) column is its shortest decimal text.
//!
//! | declared | Arrow |
//! |---|---|
//! | INTEGER, BIGINT and whatever contains INT | Int64 (INT2, INT4: Int16, Int32 while the values fit) |
//! | BOOLEAN, BOOL | Boolean while the values are 0 and 1 |
//! | REAL, DOUBLE, FLOAT | Float64 (FLOAT4: Float32 while the values fit) |
//! | DECIMAL(p,s), NUMERIC(p,s), DECIMAL_TEXT(p,s) | Decimal128, Decimal256 |
//! | TEXT, CHAR, CLOB | Utf8 |
//! | DATE, TIME, TIMESTAMP or DATETIME, TIMESTAMPTZ | Date32, Time64, Timestamp without and with zone |
//! | JSON, JSON_TEXT; UUID | Utf8 `arrow.json`; FixedSizeBinary(16) `arrow.uuid` |
//! | BLOB | Binary |

use arrow::datatypes::{DataType, Field, TimeUnit};

use crate::connector::NativeType;
use crate::schema::{EXTENSION, EXTENSION_JSON, EXTENSION_UUID, NATIVE, is_json, is_uuid, with_metadata, with_native};

/// Prefix of native types in field metadata.
pub(super) const PRODUCT: &str = "sqlite";
/// Field metadata: the column holds numbers and text, all read as text.
const MIXED: &str = "sqlite.mixed";
/// Decimal digits that a double keeps: decimals up to here live in NUMERIC columns, longer ones in text.
const DOUBLE_DIGITS: u8 = 15;

/// How the values of one column are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Decimal {
        precision: u8,
        scale: i8,
    },
    Date,
    /// Nanoseconds since midnight, or microseconds.
    Time(TimeUnit),
    Timestamp {
        unit: TimeUnit,
        zoned: bool,
    },
    Uuid,
    Json,
    Text,
    /// Text, with numbers written as text.
    Mixed,
    Blob,
}

impl Kind {
    /// The kind of a field that [`Kind::field`] made; none of any other type.
    pub(super) fn of(field: &Field) -> Option<Self> {
        Some(match field.data_type() {
            DataType::Boolean => Self::Boolean,
            DataType::Int16 => Self::Int16,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            DataType::Float32 => Self::Float32,
            DataType::Float64 => Self::Float64,
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
                Self::Decimal { precision: *precision, scale: *scale }
            }
            DataType::Date32 => Self::Date,
            DataType::Time64(unit) => Self::Time(*unit),
            DataType::Timestamp(unit @ (TimeUnit::Microsecond | TimeUnit::Nanosecond), zone) => {
                Self::Timestamp { unit: *unit, zoned: zone.is_some() }
            }
            _ if is_uuid(field) => Self::Uuid,
            DataType::Utf8 if is_json(field) => Self::Json,
            DataType::Utf8 if field.metadata().contains_key(MIXED) => Self::Mixed,
            DataType::Utf8 => Self::Text,
            DataType::Binary => Self::Blob,
            _ => return None,
        })
    }

    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Decimal { precision, scale } if precision <= 38 => DataType::Decimal128(precision, scale),
            Self::Decimal { precision, scale } => DataType::Decimal256(precision, scale),
            Self::Date => DataType::Date32,
            Self::Time(unit) => DataType::Time64(unit),
            Self::Timestamp { unit, zoned } => DataType::Timestamp(unit, zoned.then(|| "UTC".into())),
            Self::Uuid => DataType::FixedSizeBinary(16),
            Self::Json | Self::Text | Self::Mixed => DataType::Utf8,
            Self::Blob => DataType::Binary,
        }
    }

    /// The field of a column of this kind whose declared type is `declared`, possibly empty.
    pub(super) fn field(self, name: &str, declared: &str, nullable: bool) -> Field {
        let field = Field::new(name, self.data_type(), nullable);
        let field = match self {
            Self::Uuid => with_metadata(field, EXTENSION, EXTENSION_UUID),
            Self::Json => with_metadata(field, EXTENSION, EXTENSION_JSON),
            Self::Mixed => with_metadata(field, MIXED, "1"),
            _ => field,
        };
        if declared.is_empty() { field } else { with_native(field, &format!("{PRODUCT}:{declared}")) }
    }

    /// What a value must be, for messages.
    pub(super) fn wants(self) -> &'static str {
        match self {
            Self::Boolean => "a boolean is the integer 0 or 1",
            Self::Int16 => "an integer of 16 bits is wanted",
            Self::Int32 => "an integer of 32 bits is wanted",
            Self::Int64 => "an integer is wanted",
            Self::Float32 => "a number of 32-bit precision is wanted",
            Self::Float64 => "a number that a double holds exactly is wanted",
            Self::Decimal { .. } => "a number with no more digits than declared is wanted",
            Self::Date => "a date is a text like 2024-02-29",
            Self::Time(_) => "a time is a text like 12:30:01.5",
            Self::Timestamp { zoned: false, .. } => "a timestamp is a text like 2024-02-29 12:30:01, without a zone",
            Self::Timestamp { zoned: true, .. } => "a timestamp is a text like 2024-02-29 12:30:01+00:00, with a zone",
            Self::Uuid => "a UUID is a text of 36 letters or a blob of 16 bytes",
            Self::Json => "JSON in UTF-8 text is wanted",
            Self::Text => "text in UTF-8 is wanted",
            Self::Mixed => "text in UTF-8 or a number is wanted",
            Self::Blob => "a blob is wanted",
        }
    }
}

/// The affinity that SQLite derives from a declared type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

impl Affinity {
    /// SQLite's five rules, in its order.
    pub(super) fn of(declared: &str) -> Self {
        let upper = declared.to_ascii_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| upper.contains(word));
        if has(&["INT"]) {
            Self::Integer
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            Self::Text
        } else if upper.is_empty() || upper == "ANY" || has(&["BLOB"]) {
            Self::Blob
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Self::Real
        } else {
            Self::Numeric
        }
    }

    /// A declared type that has it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Integer => "INTEGER",
            Self::Text => "TEXT",
            Self::Blob => "BLOB",
            Self::Real => "REAL",
            Self::Numeric => "NUMERIC",
        }
    }

    /// Whether text that looks like a number becomes one.
    pub(super) fn turns_text_into_numbers(self) -> bool {
        matches!(self, Self::Integer | Self::Real | Self::Numeric)
    }
}

/// The kinds that a declared type proposes, the narrowest first; empty when it says nothing.
pub(super) fn proposed(declared: &str) -> Vec<Kind> {
    let (name, arguments) = split(declared);
    let stamp = |unit, zoned| Kind::Timestamp { unit, zoned };
    let micros = [stamp(TimeUnit::Microsecond, false), stamp(TimeUnit::Microsecond, true)];
    let nanos = [stamp(TimeUnit::Nanosecond, false), stamp(TimeUnit::Nanosecond, true)];
    match name.as_str() {
        "BOOLEAN" | "BOOL" => vec![Kind::Boolean, Kind::Int64],
        "INT2" => vec![Kind::Int16, Kind::Int32, Kind::Int64],
        "INT4" => vec![Kind::Int32, Kind::Int64],
        "FLOAT4" => vec![Kind::Float32, Kind::Float64],
        "DECIMAL" | "NUMERIC" | "DECIMAL_TEXT" => decimal(&arguments).into_iter().collect(),
        "DATE" => [&[Kind::Date], &micros[..]].concat(),
        "DATETIME" | "TIMESTAMP" if arguments == [9] => [nanos, micros].concat(),
        "DATETIME" | "TIMESTAMP" => [micros, nanos].concat(),
        "TIMESTAMPTZ" if arguments == [9] => vec![nanos[1], nanos[0]],
        "TIMESTAMPTZ" => vec![micros[1], micros[0], nanos[1], nanos[0]],
        "TIME" if arguments == [9] => vec![Kind::Time(TimeUnit::Nanosecond)],
        "TIME" => vec![Kind::Time(TimeUnit::Microsecond), Kind::Time(TimeUnit::Nanosecond)],
        "UUID" => vec![Kind::Uuid],
        "JSON" | "JSON_TEXT" => vec![Kind::Json],
        "" | "ANY" => Vec::new(),
        _ => match Affinity::of(declared) {
            Affinity::Integer => vec![Kind::Int64],
            Affinity::Text => vec![Kind::Text],
            Affinity::Blob => vec![Kind::Blob],
            Affinity::Real => vec![Kind::Float64],
            Affinity::Numeric => Vec::new(),
        },
    }
}

/// Declarations that say something, the last one nothing.
pub(super) const TYPES: &[&str] = &[
    "BOOLEAN",
    "INT2",
    "INT4",
    "INTEGER",
    "FLOAT4",
    "REAL",
    "DECIMAL_TEXT(18,4)",
    "DATE",
    "TIME",
    "TIME(9)",
    "DATETIME",
    "DATETIME(9)",
    "TIMESTAMPTZ",
    "TIMESTAMPTZ(9)",
    "UUID",
    "JSON",
    "TEXT",
    "BLOB",
    "ANY",
];

/// The column that is read of a table whose values are all what its declaration proposes.
pub(super) fn read_as(declared: &str) -> Field {
    let kind = proposed(declared).first().copied().unwrap_or(Kind::Mixed);
    kind.field(NativeType::COLUMN, declared, true)
}

/// The kinds that values may have of themselves, the most telling first.
pub(super) const NATURAL: [Kind; 5] = [Kind::Int64, Kind::Float64, Kind::Text, Kind::Blob, Kind::Mixed];

fn decimal(arguments: &[u32]) -> Option<Kind> {
    let (precision, scale) = match arguments {
        [precision] => (*precision, 0),
        [precision, scale] => (*precision, *scale),
        _ => return None,
    };
    let fits = (1..=76).contains(&precision) && scale <= precision;
    fits.then_some(Kind::Decimal { precision: precision as u8, scale: scale as i8 })
}

/// The name of a declared type in capitals, and the numbers in its parentheses.
fn split(declared: &str) -> (String, Vec<u32>) {
    let (name, rest) = declared.split_once('(').unwrap_or((declared, ""));
    let arguments = rest.trim_end().trim_end_matches(')').split(',').filter_map(|part| part.trim().parse().ok());
    (name.trim().to_ascii_uppercase(), arguments.collect())
}

/// How a column of a new table is declared and bound; none when SQLite has no way to hold `field`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Landing {
    /// The declared type.
    pub(super) declared: String,
    /// The kind that a writer gets.
    pub(super) kind: Kind,
}

/// Where values of `field` land in a new table.
pub(super) fn landing(field: &Field) -> Option<Landing> {
    let kind = kind_for(field)?;
    let own = field.metadata().get(NATIVE).and_then(|native| native.strip_prefix("sqlite:"));
    // A declaration of SQLite's own comes back as it was, where it means the same.
    let kept = own.filter(|declared| is_plain(declared) && proposed(declared).contains(&kind));
    let declared = kept.map_or_else(|| declaration(kind), str::to_owned);
    Some(Landing { declared, kind })
}

/// The kind in which values of any `field` can be bound without loss.
pub(super) fn kind_for(field: &Field) -> Option<Kind> {
    use DataType as T;
    if is_uuid(field) {
        return Some(Kind::Uuid);
    }
    Some(match field.data_type() {
        T::Boolean => Kind::Boolean,
        T::Int8 | T::Int16 => Kind::Int16,
        T::UInt8 | T::UInt16 | T::Int32 => Kind::Int32,
        T::UInt32 | T::UInt64 | T::Int64 => Kind::Int64,
        T::Float16 | T::Float32 => Kind::Float32,
        T::Float64 => Kind::Float64,
        T::Decimal32(precision, scale)
        | T::Decimal64(precision, scale)
        | T::Decimal128(precision, scale)
        | T::Decimal256(precision, scale) => widened(*precision, *scale)?,
        T::Date32 | T::Date64 => Kind::Date,
        T::Time64(TimeUnit::Nanosecond) => Kind::Time(TimeUnit::Nanosecond),
        T::Time32(_) | T::Time64(_) => Kind::Time(TimeUnit::Microsecond),
        T::Timestamp(TimeUnit::Nanosecond, zone) => {
            Kind::Timestamp { unit: TimeUnit::Nanosecond, zoned: zone.is_some() }
        }
        T::Timestamp(_, zone) => Kind::Timestamp { unit: TimeUnit::Microsecond, zoned: zone.is_some() },
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => Kind::Blob,
        T::Utf8 | T::LargeUtf8 | T::Utf8View if is_json(field) => Kind::Json,
        T::Dictionary(_, values) => kind_for(&Field::new("", (**values).clone(), true))?,
        T::RunEndEncoded(_, values) => kind_for(values)?,
        T::List(_)
        | T::LargeList(_)
        | T::FixedSizeList(..)
        | T::ListView(_)
        | T::LargeListView(_)
        | T::Struct(_)
        | T::Map(..) => Kind::Json,
        T::Null | T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Interval(_) | T::Duration(_) => Kind::Text,
        T::Union(..) => return None,
    })
}

/// A negative scale is written out; none when that needs more than 76 digits.
fn widened(precision: u8, scale: i8) -> Option<Kind> {
    if scale >= 0 {
        return Some(Kind::Decimal { precision: precision.max(scale.unsigned_abs()), scale });
    }
    let precision = precision.checked_add(scale.unsigned_abs()).filter(|precision| *precision <= 76)?;
    Some(Kind::Decimal { precision, scale: 0 })
}

/// The declared type of a new column of `kind`: its affinity keeps every value, and reading it proposes `kind`.
fn declaration(kind: Kind) -> String {
    match kind {
        Kind::Boolean => "BOOLEAN".into(),
        Kind::Int16 => "INT2".into(),
        Kind::Int32 => "INT4".into(),
        Kind::Int64 => "INTEGER".into(),
        Kind::Float32 => "FLOAT4".into(),
        Kind::Float64 => "REAL".into(),
        Kind::Decimal { precision, scale } if precision <= DOUBLE_DIGITS => format!("DECIMAL({precision},{scale})"),
        Kind::Decimal { precision, scale } => format!("DECIMAL_TEXT({precision},{scale})"),
        Kind::Date => "DATE".into(),
        Kind::Time(TimeUnit::Nanosecond) => "TIME(9)".into(),
        Kind::Time(_) => "TIME".into(),
        Kind::Timestamp { unit, zoned } => {
            let name = if zoned { "TIMESTAMPTZ" } else { "TIMESTAMP" };
            if unit == TimeUnit::Nanosecond { format!("{name}(9)") } else { name.into() }
        }
        Kind::Uuid => "UUID".into(),
        Kind::Json => "JSON_TEXT".into(),
        Kind::Text | Kind::Mixed => "TEXT".into(),
        Kind::Blob => "BLOB".into(),
    }
}

/// Whether `declared` is words and up to two numbers in parentheses, so that it can stand in a statement.
fn is_plain(declared: &str) -> bool {
    let (name, rest) = declared.split_once('(').unwrap_or((declared, ")"));
    let Some(arguments) = rest.trim_end().strip_suffix(')') else { return false };
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b' ';
    let number = |part: &str| !part.trim().is_empty() && part.trim().bytes().all(|byte| byte.is_ascii_digit());
    let mut words = name.split_whitespace();
    let plain = name.bytes().all(word) && words.clone().count() > 0 && words.all(|word| !is_clause(word));
    plain && (arguments.is_empty() && !declared.contains('(') || arguments.split(',').all(number))
}

/// Words that would end a type and begin a constraint.
fn is_clause(word: &str) -> bool {
    let clauses = [
        "PRIMARY",
        "NOT",
        "NULL",
        "UNIQUE",
        "CHECK",
        "DEFAULT",
        "COLLATE",
        "REFERENCES",
        "GENERATED",
        "AS",
        "CONSTRAINT",
    ];
    clauses.iter().any(|clause| word.eq_ignore_ascii_case(clause))
        || word.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Kind> {
        let mut kinds = vec![Kind::Boolean, Kind::Int16, Kind::Int32, Kind::Int64, Kind::Float32, Kind::Float64];
        kinds.extend([Kind::Date, Kind::Uuid, Kind::Json, Kind::Text, Kind::Blob]);
        for unit in [TimeUnit::Microsecond, TimeUnit::Nanosecond] {
            kinds.push(Kind::Time(unit));
            kinds.extend([true, false].map(|zoned| Kind::Timestamp { unit, zoned }));
        }
        let sizes = [(5, 2), (15, 0), (15, 15), (16, 2), (38, 10), (76, 38)];
        kinds.extend(sizes.map(|(precision, scale)| Kind::Decimal { precision, scale }));
        kinds
    }

    #[test]
    fn what_is_declared_for_a_kind_proposes_it_first() {
        for kind in all() {
            let landing = landing(&kind.field("a", "", true)).unwrap();
            assert_eq!((landing.kind, proposed(&landing.declared).first()), (kind, Some(&kind)));
            assert!(is_plain(&landing.declared), "{}", landing.declared);
        }
    }

    #[test]
    fn a_field_tells_its_kind() {
        for kind in all().into_iter().chain([Kind::Mixed]) {
            assert_eq!(Kind::of(&kind.field("a", "X", false)), Some(kind));
        }
        assert_eq!(Kind::of(&Field::new("a", DataType::UInt64, true)), None);
    }

    #[test]
    fn affinities_follow_the_rules_of_sqlite() {
        let cases = [
            ("BIGINT", Affinity::Integer),
            ("CHARINT", Affinity::Integer),
            ("VARCHAR(10)", Affinity::Text),
            ("DECIMAL_TEXT(20,2)", Affinity::Text),
            ("JSON_TEXT", Affinity::Text),
            ("", Affinity::Blob),
            ("DOUBLE PRECISION", Affinity::Real),
            ("STRING", Affinity::Numeric),
            ("JSON", Affinity::Numeric),
        ];
        for (declared, affinity) in cases {
            assert_eq!(Affinity::of(declared), affinity, "{declared}");
        }
    }

    #[test]
    fn own_declarations_come_back_if_they_are_harmless() {
        let declared = |declared: &str, kind: Kind| landing(&kind.field("a", declared, true)).unwrap().declared;
        assert_eq!(declared("VARCHAR(20)", Kind::Text), "VARCHAR(20)");
        assert_eq!(declared("double precision", Kind::Float64), "double precision");
        assert_eq!(declared("TEXT); DROP TABLE t; --", Kind::Text), "TEXT");
        assert_eq!(declared("TEXT NOT NULL", Kind::Text), "TEXT");
        assert_eq!(declared("VARCHAR(", Kind::Text), "TEXT");
        assert_eq!(declared("DATETIME", Kind::Text), "TEXT");
        assert_eq!(declared("TEXT", Kind::Int64), "INTEGER");
    }
}
