//! The one table of types: how each is declared, how it is selected, its Arrow form, and in what it waits in a stage.
//!
//! Source: "Data types (Transact-SQL)" of Microsoft's documentation.

use arrow::datatypes::{DataType, Field, TimeUnit};

use super::name::identifier;
use crate::error::{Error, ErrorKind};
use crate::schema::{EXTENSION, EXTENSION_UUID, with_metadata, with_native};

/// Product name in `etl.native`.
pub(super) const PRODUCT: &str = "mssql";

/// Most digits of a decimal.
pub(super) const DECIMAL_DIGITS: u8 = 38;
/// Units of UTF-16 in the longest `nvarchar` with a length, and bytes of the longest `varbinary` with one.
pub(super) const NVARCHAR_UNITS: u32 = 4000;
pub(super) const VARBINARY_BYTES: u32 = 8000;

/// Days from 0001-01-01, the first that the server has, to 1970-01-01.
pub(super) const EPOCH_FROM_ONE: i64 = 719_162;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bit,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Real,
    Float,
    /// Precision and scale.
    Decimal(u8, i8),
    Money,
    SmallMoney,
    Date,
    /// Digits of its fraction.
    Time(u8),
    SmallDateTime,
    /// In steps of 1/300 of a second.
    DateTime,
    DateTime2(u8),
    DateTimeOffset(u8),
    /// Letters of a code page; the most bytes, none without a bound.
    Text(Option<u32>),
    /// UTF-16; the most units, none without a bound.
    Unicode(Option<u32>),
    Xml,
    /// Always so many bytes.
    FixedBinary(u32),
    Binary,
    /// Set by the server alone.
    RowVersion,
    Uuid,
}

/// A type as it was declared, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SqlType {
    /// `bigint`, `nvarchar(20)`, `datetime2(7)`.
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// The types of SQL Server, those last that are refused.
pub(super) const TYPES: &[&str] = &[
    "bit",
    "tinyint",
    "smallint",
    "int",
    "bigint",
    "real",
    "float",
    "decimal(18,4)",
    "decimal(38,38)",
    "numeric(10,0)",
    "money",
    "smallmoney",
    "date",
    "time(0)",
    "time(3)",
    "time(7)",
    "smalldatetime",
    "datetime",
    "datetime2(0)",
    "datetime2(3)",
    "datetime2(6)",
    "datetime2(7)",
    "datetimeoffset(0)",
    "datetimeoffset(7)",
    "char(10)",
    "varchar(10)",
    "varchar(max)",
    "text",
    "nchar(10)",
    "nvarchar(10)",
    "nvarchar(max)",
    "ntext",
    "xml",
    "binary(16)",
    "varbinary(10)",
    "varbinary(max)",
    "image",
    "rowversion",
    "uniqueidentifier",
    "sql_variant",
    "hierarchyid",
    "geometry",
    "geography",
    "json",
    "vector",
];

/// The error of a column of the type `name`.
pub(super) fn refused(name: &str) -> Error {
    if matches!(name, "money" | "smallmoney") {
        let message = format!("type {name} of a query would be read as a float, which changes large amounts");
        return Error::new(ErrorKind::Unsupported, message)
            .with_hint("write CAST(column AS decimal(19,4)) in the query, or leave it out with --drop");
    }
    let hint = match name {
        "geometry" | "geography" => "leave it out with --drop, or read it as bytes: --query with column.STAsBinary()",
        "hierarchyid" => "leave it out with --drop, or read it as text: --query with column.ToString()",
        "sql_variant" => "leave it out with --drop, or cast it to one type in --query",
        _ => "leave it out with --drop, or cast it in --query",
    };
    Error::new(ErrorKind::Unsupported, format!("type {name} is not copied")).with_hint(hint)
}

impl SqlType {
    /// The type that is declared as `declared`; none for one that is not known.
    pub(super) fn declared(declared: &str) -> Option<Self> {
        let declared = declared.trim().to_ascii_lowercase();
        let (name, arguments) = declared.split_once('(').unwrap_or((declared.as_str(), ""));
        let arguments: Vec<&str> = arguments.trim_end_matches(')').split(',').map(str::trim).collect();
        let number = |place: usize| arguments.get(place).and_then(|text| text.parse::<u32>().ok());
        let is_max = arguments.first() == Some(&"max");
        // Without a length it is one letter or byte, without a scale all digits.
        let length = || Some(number(0).unwrap_or(1)).filter(|_| !is_max);
        let scale = || u8::try_from(number(0).unwrap_or(7)).ok().filter(|scale| *scale <= 7);
        let kind = match name {
            "bit" => Kind::Bit,
            "tinyint" => Kind::TinyInt,
            "smallint" => Kind::SmallInt,
            "int" => Kind::Int,
            "bigint" => Kind::BigInt,
            "real" => Kind::Real,
            "float" if number(0).is_some_and(|bits| bits <= 24) => Kind::Real,
            "float" => Kind::Float,
            "decimal" | "numeric" => {
                let precision =
                    u8::try_from(number(0).unwrap_or(18)).ok().filter(|digits| *digits <= DECIMAL_DIGITS)?;
                Kind::Decimal(precision, i8::try_from(number(1).unwrap_or(0)).ok()?)
            }
            "money" => Kind::Money,
            "smallmoney" => Kind::SmallMoney,
            "date" => Kind::Date,
            "time" => Kind::Time(scale()?),
            "smalldatetime" => Kind::SmallDateTime,
            "datetime" => Kind::DateTime,
            "datetime2" => Kind::DateTime2(scale()?),
            "datetimeoffset" => Kind::DateTimeOffset(scale()?),
            "char" | "varchar" => Kind::Text(length()),
            "text" => Kind::Text(None),
            "nchar" | "nvarchar" => Kind::Unicode(length()),
            "sysname" => Kind::Unicode(Some(128)),
            "ntext" => Kind::Unicode(None),
            "xml" => Kind::Xml,
            "binary" => Kind::FixedBinary(number(0).unwrap_or(1)),
            "varbinary" | "image" => Kind::Binary,
            "rowversion" | "timestamp" => Kind::RowVersion,
            "uniqueidentifier" => Kind::Uuid,
            _ => return None,
        };
        Some(Self { name: declared, kind })
    }

    /// A column of it in Arrow.
    pub(super) fn arrow_field(&self, name: &str, nullable: bool) -> Field {
        let field = Field::new(name, self.kind.arrow(), nullable);
        let field = if self.kind == Kind::Uuid { with_metadata(field, EXTENSION, EXTENSION_UUID) } else { field };
        with_native(field, &format!("{PRODUCT}:{}", self.name))
    }
}

impl Kind {
    /// Its Arrow type.
    pub(super) fn arrow(self) -> DataType {
        match self {
            Self::Bit => DataType::Boolean,
            Self::TinyInt => DataType::UInt8,
            Self::SmallInt => DataType::Int16,
            Self::Int => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Real => DataType::Float32,
            Self::Float => DataType::Float64,
            Self::Decimal(precision, scale) => DataType::Decimal128(precision, scale),
            Self::Money => DataType::Decimal128(19, 4),
            Self::SmallMoney => DataType::Decimal128(10, 4),
            Self::Date => DataType::Date32,
            Self::Time(scale) => match unit(scale) {
                unit @ (TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(unit),
                unit => DataType::Time64(unit),
            },
            Self::SmallDateTime => DataType::Timestamp(TimeUnit::Second, None),
            // The nearest millisecond tells each step from all others.
            Self::DateTime => DataType::Timestamp(TimeUnit::Millisecond, None),
            Self::DateTime2(scale) => DataType::Timestamp(unit(scale), None),
            Self::DateTimeOffset(scale) => DataType::Timestamp(unit(scale), Some("UTC".into())),
            Self::Text(_) | Self::Unicode(_) | Self::Xml => DataType::Utf8,
            Self::FixedBinary(width) => DataType::FixedSizeBinary(width as i32),
            Self::RowVersion => DataType::FixedSizeBinary(8),
            Self::Binary => DataType::Binary,
            Self::Uuid => DataType::FixedSizeBinary(16),
        }
    }

    /// What stands in a SELECT for the column called `name`. The driver would make floats of money, knows few code pages, and old
    /// types of large values have ways of their own: the server turns them into what is read exactly.
    pub(super) fn selected(self, name: &str) -> String {
        let column = identifier(name);
        let cast = |to: &str| format!("CAST({column} AS {to})");
        match self {
            Self::Money => cast("decimal(19,4)"),
            Self::SmallMoney => cast("decimal(10,4)"),
            Self::Text(Some(bytes)) if bytes <= NVARCHAR_UNITS => cast(&format!("nvarchar({bytes})")),
            Self::Text(_) | Self::Xml => cast("nvarchar(max)"),
            // It may be declared as ntext.
            Self::Unicode(None) => cast("nvarchar(max)"),
            // It may be declared as image.
            Self::Binary => cast("varbinary(max)"),
            _ => column,
        }
    }

    /// The type in which its values wait in a stage: one of those that the driver loads as they are, whatever the target's bounds.
    pub(super) fn staged(self) -> String {
        match self {
            Self::Bit => "bit".to_owned(),
            Self::TinyInt => "tinyint".to_owned(),
            Self::SmallInt => "smallint".to_owned(),
            Self::Int => "int".to_owned(),
            Self::BigInt => "bigint".to_owned(),
            Self::Real => "real".to_owned(),
            Self::Float => "float".to_owned(),
            Self::Decimal(precision, scale) => format!("decimal({precision},{scale})"),
            Self::Money => "decimal(19,4)".to_owned(),
            Self::SmallMoney => "decimal(10,4)".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Time(_) => "time(7)".to_owned(),
            Self::SmallDateTime | Self::DateTime | Self::DateTime2(_) => "datetime2(7)".to_owned(),
            Self::DateTimeOffset(_) => "datetimeoffset(7)".to_owned(),
            Self::Text(_) | Self::Unicode(_) | Self::Xml => "nvarchar(max)".to_owned(),
            Self::FixedBinary(_) | Self::Binary | Self::RowVersion => "varbinary(max)".to_owned(),
            Self::Uuid => "uniqueidentifier".to_owned(),
        }
    }
}

/// The unit of times with `scale` digits behind the second.
fn unit(scale: u8) -> TimeUnit {
    match scale {
        0 => TimeUnit::Second,
        1..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(declared: &str) -> Option<Kind> {
        SqlType::declared(declared).map(|sql_type| sql_type.kind)
    }

    #[test]
    fn declarations_are_understood() {
        let known = [
            ("NUMERIC(10, 2)", Kind::Decimal(10, 2)),
            ("decimal", Kind::Decimal(18, 0)),
            ("float(24)", Kind::Real),
            ("float(53)", Kind::Float),
            ("datetime2", Kind::DateTime2(7)),
            ("time(0)", Kind::Time(0)),
            ("varchar(max)", Kind::Text(None)),
            ("varchar(8000)", Kind::Text(Some(8000))),
            ("nchar", Kind::Unicode(Some(1))),
            ("binary(16)", Kind::FixedBinary(16)),
            ("timestamp", Kind::RowVersion),
        ];
        for (declared, expected) in known {
            assert_eq!(kind(declared), Some(expected), "{declared}");
        }
        for declared in ["sql_variant", "geometry", "hierarchyid", "vector(3)", "time(9)", "decimal(39,0)"] {
            assert_eq!(kind(declared), None, "{declared}");
        }
        let refused: Vec<&&str> = TYPES.iter().filter(|name| kind(name).is_none()).collect();
        assert_eq!(refused, [&"sql_variant", &"hierarchyid", &"geometry", &"geography", &"json", &"vector"]);
    }

    #[test]
    fn what_the_driver_would_change_the_server_casts() {
        let selected = |declared: &str| kind(declared).unwrap().selected("a]b");
        assert_eq!(selected("money"), "CAST([a]]b] AS decimal(19,4))");
        assert_eq!(selected("varchar(20)"), "CAST([a]]b] AS nvarchar(20))");
        assert_eq!(selected("varchar(8000)"), "CAST([a]]b] AS nvarchar(max))");
        assert_eq!(selected("image"), "CAST([a]]b] AS varbinary(max))");
        assert_eq!(selected("int"), "[a]]b]");
    }
}
