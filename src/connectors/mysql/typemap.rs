//! The one table of types: how each is declared, how it comes over the wire, and its Arrow form.
//!
//! Sources: "Data Types" and "Binary Protocol Value" in MySQL's manual, "Data Types" in MariaDB's.

use arrow::datatypes::{DataType, Field, TimeUnit};
use mysql_common::constants::{ColumnFlags, ColumnType};
use mysql_common::packets::Column;

use crate::schema::{self, EXTENSION, EXTENSION_JSON, EXTENSION_UUID, with_metadata, with_native};

/// Product name in `etl.native`.
pub(super) const PRODUCT: &str = "mysql";

/// Field metadata of a text column: product, character set and collation, `mariadb:latin1:latin1_swedish_ci`. No other product has the
/// same collations.
pub(super) const COLLATION: &str = "etl.mysql.collation";

/// Number of the collation `binary`: bytes, not text.
const BINARY: u16 = 63;

/// The flag in `PostGIS`'s form of WKB for a geometry that names its reference system.
pub(super) const WITH_SYSTEM: u32 = 0x2000_0000;

/// Most digits of a decimal, and most of them behind the point.
pub(super) const DECIMAL_DIGITS: (u8, i8) = (65, 30);

/// What becomes of dates that are none, such as `0000-00-00` and `2024-02-00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ZeroDates {
    Reject,
    Null,
    Text,
}

/// What a column of type TIME is: a time of day, or a duration, which may be negative and longer than a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeForm {
    Time,
    Duration,
}

/// How columns of type TIMESTAMP are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timestamps {
    /// As the instants that they are.
    Instant,
    /// As the clock of the session shows them, which is that of the server unless somebody says otherwise.
    Clock,
    /// As instants; where the other side of a copy has no zone, what that clock shows stands for them, also when they are written.
    Server,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float,
    Double,
    /// Precision and scale.
    Decimal(u8, i8),
    /// So many bits.
    Bit(u8),
    Year,
    Date,
    /// A clock on the wall, and digits of its fraction.
    DateTime(u8),
    /// An instant.
    Timestamp(u8),
    Time(u8),
    Text,
    Json,
    Binary,
    Geometry,
    /// MariaDB's, which comes as text.
    Uuid,
}

/// A type as it was declared, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MyType {
    /// `bigint unsigned`, `varchar(20)`, `enum('a','b')`.
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// The types of MySQL and MariaDB, the last three those of MariaDB alone.
pub(super) const TYPES: &[&str] = &[
    "tinyint",
    "tinyint unsigned",
    "smallint",
    "smallint unsigned",
    "mediumint",
    "mediumint unsigned",
    "int",
    "int unsigned",
    "bigint",
    "bigint unsigned",
    "float",
    "double",
    "decimal(18,4)",
    "decimal(65,30)",
    "bit(1)",
    "bit(64)",
    "year",
    "date",
    "datetime",
    "datetime(6)",
    "timestamp",
    "timestamp(6)",
    "time",
    "time(6)",
    "char(10)",
    "varchar(10)",
    "tinytext",
    "text",
    "mediumtext",
    "longtext",
    "enum('a','b')",
    "set('a','b')",
    "json",
    "binary(16)",
    "varbinary(10)",
    "tinyblob",
    "blob",
    "mediumblob",
    "longblob",
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geomcollection",
    "vector(4)",
    "uuid",
    "inet4",
    "inet6",
];

impl MyType {
    /// The type declared as `name` (`COLUMN_TYPE` of the information schema); none for one that is not known.
    pub(super) fn declared(name: &str) -> Option<Self> {
        let name = without_display_width(name);
        let (word, rest) = split_word(&name);
        let unsigned = rest.contains("unsigned");
        let number = |index: usize| {
            let inside = rest.split_once('(')?.1.split_once(')')?.0;
            inside.split(',').nth(index)?.trim().parse::<u8>().ok()
        };
        let digits = number(0).unwrap_or(0);
        let kind = match word {
            "tinyint" => signed(unsigned, Kind::Int8, Kind::UInt8),
            "smallint" => signed(unsigned, Kind::Int16, Kind::UInt16),
            "mediumint" | "int" | "integer" => signed(unsigned, Kind::Int32, Kind::UInt32),
            "bigint" => signed(unsigned, Kind::Int64, Kind::UInt64),
            "float" => Kind::Float,
            "double" | "real" => Kind::Double,
            "decimal" | "numeric" => Kind::Decimal(number(0).unwrap_or(10), number(1).unwrap_or(0) as i8),
            "bit" => Kind::Bit(number(0).unwrap_or(1)),
            "year" => Kind::Year,
            "date" => Kind::Date,
            "datetime" => Kind::DateTime(digits),
            "timestamp" => Kind::Timestamp(digits),
            "time" => Kind::Time(digits),
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set" | "inet4"
            | "inet6" => Kind::Text,
            "json" => Kind::Json,
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Kind::Binary,
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
            | "geometrycollection" | "geomcollection" => Kind::Geometry,
            "uuid" => Kind::Uuid,
            _ => return None,
        };
        Some(Self { name, kind })
    }

    /// The type of a column of a query; none for one that is not known.
    pub(super) fn of_result(column: &Column) -> Option<Self> {
        use ColumnType as T;
        let unsigned = column.flags().contains(ColumnFlags::UNSIGNED_FLAG);
        let length = column.column_length();
        let digits = column.decimals().min(6);
        let fraction = |name: &str| if digits == 0 { name.to_owned() } else { format!("{name}({digits})") };
        let bytes = column.character_set() == BINARY;
        let (name, kind) = match column.column_type() {
            T::MYSQL_TYPE_TINY => ("tinyint".to_owned(), signed(unsigned, Kind::Int8, Kind::UInt8)),
            T::MYSQL_TYPE_SHORT => ("smallint".to_owned(), signed(unsigned, Kind::Int16, Kind::UInt16)),
            T::MYSQL_TYPE_INT24 => ("mediumint".to_owned(), signed(unsigned, Kind::Int32, Kind::UInt32)),
            T::MYSQL_TYPE_LONG => ("int".to_owned(), signed(unsigned, Kind::Int32, Kind::UInt32)),
            T::MYSQL_TYPE_LONGLONG => ("bigint".to_owned(), signed(unsigned, Kind::Int64, Kind::UInt64)),
            T::MYSQL_TYPE_FLOAT => ("float".to_owned(), Kind::Float),
            T::MYSQL_TYPE_DOUBLE => ("double".to_owned(), Kind::Double),
            T::MYSQL_TYPE_DECIMAL | T::MYSQL_TYPE_NEWDECIMAL => {
                // Its length counts the point and the sign.
                let scale = column.decimals().min(DECIMAL_DIGITS.1 as u8);
                let signs = u32::from(!unsigned) + u32::from(scale > 0);
                let precision = length.saturating_sub(signs).clamp(1, u32::from(DECIMAL_DIGITS.0)) as u8;
                let precision = precision.max(scale);
                (format!("decimal({precision},{scale})"), Kind::Decimal(precision, scale as i8))
            }
            T::MYSQL_TYPE_BIT => (format!("bit({length})"), Kind::Bit(length.clamp(1, 64) as u8)),
            T::MYSQL_TYPE_YEAR => ("year".to_owned(), Kind::Year),
            T::MYSQL_TYPE_DATE | T::MYSQL_TYPE_NEWDATE => ("date".to_owned(), Kind::Date),
            T::MYSQL_TYPE_DATETIME | T::MYSQL_TYPE_DATETIME2 => (fraction("datetime"), Kind::DateTime(digits)),
            T::MYSQL_TYPE_TIMESTAMP | T::MYSQL_TYPE_TIMESTAMP2 => (fraction("timestamp"), Kind::Timestamp(digits)),
            T::MYSQL_TYPE_TIME | T::MYSQL_TYPE_TIME2 => (fraction("time"), Kind::Time(digits)),
            T::MYSQL_TYPE_JSON => ("json".to_owned(), Kind::Json),
            T::MYSQL_TYPE_GEOMETRY => ("geometry".to_owned(), Kind::Geometry),
            // A NULL without a type.
            T::MYSQL_TYPE_NULL => ("varchar(1)".to_owned(), Kind::Text),
            T::MYSQL_TYPE_ENUM | T::MYSQL_TYPE_SET => ("longtext".to_owned(), Kind::Text),
            T::MYSQL_TYPE_VARCHAR
            | T::MYSQL_TYPE_VAR_STRING
            | T::MYSQL_TYPE_STRING
            | T::MYSQL_TYPE_TINY_BLOB
            | T::MYSQL_TYPE_BLOB
            | T::MYSQL_TYPE_MEDIUM_BLOB
            | T::MYSQL_TYPE_LONG_BLOB => {
                if bytes {
                    ("longblob".to_owned(), Kind::Binary)
                } else {
                    ("longtext".to_owned(), Kind::Text)
                }
            }
            _ => return None,
        };
        let name = if unsigned && !name.starts_with("decimal") { format!("{name} unsigned") } else { name };
        Some(Self { name, kind })
    }

    /// The same, of which a `timestamp` shows a clock: it is a `datetime` then.
    pub(super) fn by_the_clock(self) -> Self {
        match self.kind {
            Kind::Timestamp(digits) => {
                Self { name: self.name.replace("timestamp", "datetime"), kind: Kind::DateTime(digits) }
            }
            _ => self,
        }
    }

    /// The members of an `enum` or a `set`.
    pub(super) fn members(&self) -> Option<Vec<String>> {
        let (word, rest) = split_word(&self.name);
        let list = rest.strip_prefix('(')?.strip_suffix(')')?;
        matches!(word, "enum" | "set").then(|| listed(list))
    }

    /// Digits behind the point of a `float(m,d)` or `double(m,d)`, which rounds to them.
    pub(super) fn rounds_to(&self) -> Option<i32> {
        let digits = self.name.split_once(',')?.1.split_once(')')?.0.trim().parse().ok()?;
        matches!(self.kind, Kind::Float | Kind::Double).then_some(digits)
    }

    /// The column in its Arrow form.
    pub(super) fn arrow_field(&self, name: &str, nullable: bool, times: TimeForm) -> Field {
        let field = Field::new(name, self.kind.arrow(times), nullable);
        let field = match self.kind {
            Kind::Json => with_metadata(field, EXTENSION, EXTENSION_JSON),
            Kind::Uuid => with_metadata(field, EXTENSION, EXTENSION_UUID),
            _ => field,
        };
        with_native(field, &format!("{PRODUCT}:{}", self.name))
    }

    /// The column in its own text, where that says more than its Arrow form: dates with zeros, times beyond a day.
    pub(super) fn native_field(&self, name: &str, nullable: bool) -> Option<Field> {
        self.kind.is_temporal().then(|| {
            let field = with_metadata(Field::new(name, DataType::Utf8, nullable), schema::FORM, schema::TEXT);
            with_native(field, &format!("{PRODUCT}:{}", self.name))
        })
    }
}

impl Kind {
    /// The Arrow type that holds its values.
    pub(super) fn arrow(self, times: TimeForm) -> DataType {
        use DataType as T;
        match self {
            Self::Int8 => T::Int8,
            Self::Int16 | Self::Year => T::Int16,
            Self::Int32 => T::Int32,
            Self::Int64 => T::Int64,
            Self::UInt8 => T::UInt8,
            Self::UInt16 => T::UInt16,
            Self::UInt32 => T::UInt32,
            Self::UInt64 => T::UInt64,
            Self::Float => T::Float32,
            Self::Double => T::Float64,
            Self::Decimal(precision @ ..=38, scale) => T::Decimal128(precision, scale),
            Self::Decimal(precision, scale) => T::Decimal256(precision, scale),
            Self::Bit(1) => T::Boolean,
            Self::Bit(_) => T::UInt64,
            Self::Date => T::Date32,
            Self::DateTime(_) => T::Timestamp(TimeUnit::Microsecond, None),
            Self::Timestamp(_) => T::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Time(_) => match times {
                TimeForm::Time => T::Time64(TimeUnit::Microsecond),
                TimeForm::Duration => T::Duration(TimeUnit::Microsecond),
            },
            Self::Text | Self::Json => T::Utf8,
            Self::Binary | Self::Geometry => T::Binary,
            Self::Uuid => T::FixedSizeBinary(16),
        }
    }

    /// Whether it is a whole number of a fixed width.
    pub(super) fn is_integer(self) -> bool {
        matches!(self, Self::Int8 | Self::Int16 | Self::Int32 | Self::Int64)
            || matches!(self, Self::UInt8 | Self::UInt16 | Self::UInt32 | Self::UInt64)
    }

    /// Whether it is a date or a time.
    pub(super) fn is_temporal(self) -> bool {
        matches!(self, Self::Date | Self::DateTime(_) | Self::Timestamp(_) | Self::Time(_))
    }
}

fn signed(unsigned: bool, signed: Kind, without: Kind) -> Kind {
    if unsigned { without } else { signed }
}

/// The first word and what follows it.
fn split_word(name: &str) -> (&str, &str) {
    let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
    name.split_at(end)
}

/// The texts of a list such as `'','it''s','a\\b'`, as the information schema writes it.
fn listed(list: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut letters = list.chars().peekable();
    while letters.any(|letter| letter == '\'') {
        let mut text = String::new();
        while let Some(letter) = letters.next() {
            // Within a text a quote is doubled.
            if letter == '\'' && letters.next_if_eq(&'\'').is_none() {
                break;
            }
            text.push(if letter == '\\' { escaped(letters.next()) } else { letter });
        }
        texts.push(text);
    }
    texts
}

/// What `letter` means behind a backslash.
fn escaped(letter: Option<char>) -> char {
    match letter {
        Some('n') => '\n',
        Some('r') => '\r',
        Some('0') => '\0',
        other => other.unwrap_or('\\'),
    }
}

/// `bigint(20) unsigned zerofill` as `bigint unsigned`: a width for display is no part of the type, and newer servers leave it out.
/// `tinyint(1)` stays: it stands for a truth value.
fn without_display_width(name: &str) -> String {
    let (word, rest) = split_word(name);
    let word = word.to_ascii_lowercase();
    if word == "enum" || word == "set" {
        // Members keep their letters.
        return format!("{word}{rest}");
    }
    let rest = rest.to_ascii_lowercase().replace(" zerofill", "");
    let is_integer = ["tinyint", "smallint", "mediumint", "int", "bigint", "year"].contains(&word.as_str());
    match rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((width, rest)) if is_integer && !(word == "tinyint" && width == "1") => format!("{word}{rest}"),
        _ => format!("{word}{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str) -> Kind {
        MyType::declared(name).unwrap().kind
    }

    #[test]
    fn declared_types() {
        assert_eq!(kind("bigint(20) unsigned"), Kind::UInt64);
        assert_eq!(kind("int"), Kind::Int32);
        assert_eq!(kind("mediumint(8) unsigned zerofill"), Kind::UInt32);
        assert_eq!(kind("decimal(65,30)"), Kind::Decimal(65, 30));
        assert_eq!(kind("decimal(10,2) unsigned"), Kind::Decimal(10, 2));
        assert_eq!(kind("bit(64)"), Kind::Bit(64));
        assert_eq!(kind("datetime(6)"), Kind::DateTime(6));
        assert_eq!(kind("time"), Kind::Time(0));
        assert_eq!(kind("enum('unsigned','b(')"), Kind::Text);
        assert_eq!(kind("double(10,2)"), Kind::Double);
        assert_eq!(MyType::declared("vector(3)"), None);
    }

    #[test]
    fn the_page_names_types_that_are_known() {
        let page = include_str!("README.md");
        let (_, table) = page.split_once("| type of MySQL or MariaDB |").unwrap();
        let (table, refused) = table.split_once("Refused by name is every other type, such as ").unwrap();
        let rows = table.lines().filter(|line| line.starts_with("| `"));
        let words = rows.filter_map(|line| line.split('|').nth(1)).flat_map(|cell| cell.split('`').skip(1).step_by(2));
        let words: Vec<&str> = words.collect();
        assert!(words.len() > 40, "{words:?}");
        let unknown: Vec<_> = words.iter().filter(|word| MyType::declared(word).is_none()).collect();
        assert_eq!(unknown, Vec::<&&str>::new());
        assert_eq!(MyType::declared(refused.split('`').nth(1).unwrap()), None);
    }

    #[test]
    fn members_and_digits() {
        let of = |declared: &str| MyType::declared(declared).unwrap();
        assert_eq!(of("enum('a','b''c','1,2')").members().unwrap(), ["a", "b'c", "1,2"]);
        assert_eq!(of("enum('','a')").members().unwrap(), ["", "a"]);
        assert_eq!(of("set('a','''')").members().unwrap(), ["a", "'"]);
        assert_eq!(of(r"enum('x'',''y','a\\b','c\nd')").members().unwrap(), ["x','y", r"a\b", "c\nd"]);
        assert_eq!(of("enum('a zerofill','B')").name, "enum('a zerofill','B')");
        assert_eq!(of("varchar(3)").members(), None);
        assert_eq!((of("double(10,2)").rounds_to(), of("double").rounds_to()), (Some(2), None));
        assert_eq!(of("decimal(10,2)").rounds_to(), None);
    }

    #[test]
    fn names_without_widths() {
        let name = |declared: &str| MyType::declared(declared).unwrap().name;
        assert_eq!(name("bigint(20) unsigned zerofill"), "bigint unsigned");
        assert_eq!(name("tinyint(1)"), "tinyint(1)");
        assert_eq!(name("tinyint(4)"), "tinyint");
        assert_eq!(name("year(4)"), "year");
        assert_eq!(name("ENUM('A','b')"), "enum('A','b')");
        assert_eq!(name("varchar(20)"), "varchar(20)");
    }
}
