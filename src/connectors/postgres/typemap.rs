//! The one table of PostgreSQL's built-in types: how each is read, its Arrow form, and whether its wire form is portable.
//!
//! A wire form is portable when it carries no OID that another database may use differently. Types that are not built in
//! (enums, extension types, ranges over them) travel as text. Domains count as their base type.
//! Sources: `pg_type.dat` of PostgreSQL 18 and the type's `send` functions.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

use crate::schema;

/// Product name in `etl.native`.
pub(super) const PRODUCT: &str = "postgres";

/// Field metadata: the base type of a domain, in the same notation as `etl.native`, where that is a domain.
pub(super) const BASE: &str = "etl.native.base";

/// Days from 1970-01-01 to 2000-01-01, PostgreSQL's day 0.
pub(super) const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
pub(super) const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// The pseudo-types `record` and `record[]`.
const RECORD: u32 = 2249;
const RECORDS: u32 = 2287;

/// Largest precision that Arrow's widest decimal holds.
const DECIMAL_DIGITS: i32 = 76;

/// One built-in type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BuiltIn {
    pub(super) oid: u32,
    /// `typname`.
    pub(super) name: &'static str,
    /// OID of the array over it; 0 when there is none.
    pub(super) array: u32,
    pub(super) read: Read,
    pub(super) wire: Wire,
}

/// How the values of a scalar type get into their Arrow form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Bool,
    Int2,
    Int4,
    Int8,
    /// Unsigned 32 bits, widened to Int64.
    Oid,
    Float4,
    Float8,
    Numeric,
    /// The wire bytes are the text.
    Text,
    /// `"char"`: one byte.
    Char,
    Bytea,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    Uuid,
    Json,
    /// As JSON, after one byte of version.
    Jsonb,
    /// The server writes the text: the output function of the type stands in the SELECT.
    AsText,
    /// Not read at all.
    Refused,
}

/// Whether the binary wire form means the same in another database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Portable,
    /// It carries OIDs, or there is no binary input.
    Local,
}

const fn row(oid: u32, name: &'static str, array: u32, read: Read, wire: Wire) -> BuiltIn {
    BuiltIn { oid, name, array, read, wire }
}

/// All built-in scalar types, by OID.
pub(super) const BUILT_IN: &[BuiltIn] = &[
    row(16, "bool", 1000, Read::Bool, Wire::Portable),
    row(17, "bytea", 1001, Read::Bytea, Wire::Portable),
    row(18, "char", 1002, Read::Char, Wire::Portable),
    row(19, "name", 1003, Read::Text, Wire::Portable),
    row(20, "int8", 1016, Read::Int8, Wire::Portable),
    row(21, "int2", 1005, Read::Int2, Wire::Portable),
    // The server does not take the wire form of an empty vector.
    row(22, "int2vector", 1006, Read::AsText, Wire::Local),
    row(23, "int4", 1007, Read::Int4, Wire::Portable),
    row(24, "regproc", 1008, Read::AsText, Wire::Local),
    row(25, "text", 1009, Read::Text, Wire::Portable),
    row(26, "oid", 1028, Read::Oid, Wire::Portable),
    row(27, "tid", 1010, Read::Refused, Wire::Local),
    row(28, "xid", 1011, Read::Refused, Wire::Local),
    row(29, "cid", 1012, Read::Refused, Wire::Local),
    row(30, "oidvector", 1013, Read::AsText, Wire::Local),
    row(114, "json", 199, Read::Json, Wire::Portable),
    row(142, "xml", 143, Read::AsText, Wire::Portable),
    row(194, "pg_node_tree", 0, Read::AsText, Wire::Local),
    row(600, "point", 1017, Read::AsText, Wire::Portable),
    row(601, "lseg", 1018, Read::AsText, Wire::Portable),
    row(602, "path", 1019, Read::AsText, Wire::Portable),
    row(603, "box", 1020, Read::AsText, Wire::Portable),
    row(604, "polygon", 1027, Read::AsText, Wire::Portable),
    row(628, "line", 629, Read::AsText, Wire::Portable),
    row(650, "cidr", 651, Read::AsText, Wire::Portable),
    row(700, "float4", 1021, Read::Float4, Wire::Portable),
    row(701, "float8", 1022, Read::Float8, Wire::Portable),
    row(705, "unknown", 0, Read::Text, Wire::Local),
    row(718, "circle", 719, Read::AsText, Wire::Portable),
    row(774, "macaddr8", 775, Read::AsText, Wire::Portable),
    row(790, "money", 791, Read::AsText, Wire::Portable),
    row(829, "macaddr", 1040, Read::AsText, Wire::Portable),
    row(869, "inet", 1041, Read::AsText, Wire::Portable),
    row(1033, "aclitem", 1034, Read::Refused, Wire::Local),
    row(1042, "bpchar", 1014, Read::Text, Wire::Portable),
    row(1043, "varchar", 1015, Read::Text, Wire::Portable),
    row(1082, "date", 1182, Read::Date, Wire::Portable),
    row(1083, "time", 1183, Read::Time, Wire::Portable),
    row(1114, "timestamp", 1115, Read::Timestamp, Wire::Portable),
    row(1184, "timestamptz", 1185, Read::TimestampTz, Wire::Portable),
    row(1186, "interval", 1187, Read::Interval, Wire::Portable),
    row(1266, "timetz", 1270, Read::AsText, Wire::Portable),
    row(1560, "bit", 1561, Read::AsText, Wire::Portable),
    row(1562, "varbit", 1563, Read::AsText, Wire::Portable),
    row(1700, "numeric", 1231, Read::Numeric, Wire::Portable),
    row(1790, "refcursor", 2201, Read::Text, Wire::Portable),
    row(2202, "regprocedure", 2207, Read::AsText, Wire::Local),
    row(2203, "regoper", 2208, Read::AsText, Wire::Local),
    row(2204, "regoperator", 2209, Read::AsText, Wire::Local),
    row(2205, "regclass", 2210, Read::AsText, Wire::Local),
    row(2206, "regtype", 2211, Read::AsText, Wire::Local),
    row(2950, "uuid", 2951, Read::Uuid, Wire::Portable),
    row(2970, "txid_snapshot", 2949, Read::AsText, Wire::Portable),
    row(3220, "pg_lsn", 3221, Read::AsText, Wire::Portable),
    row(3361, "pg_ndistinct", 0, Read::AsText, Wire::Local),
    row(3402, "pg_dependencies", 0, Read::AsText, Wire::Local),
    row(3614, "tsvector", 3643, Read::AsText, Wire::Portable),
    row(3615, "tsquery", 3645, Read::AsText, Wire::Portable),
    row(3642, "gtsvector", 3644, Read::AsText, Wire::Local),
    row(3734, "regconfig", 3735, Read::AsText, Wire::Local),
    row(3769, "regdictionary", 3770, Read::AsText, Wire::Local),
    row(3802, "jsonb", 3807, Read::Jsonb, Wire::Portable),
    row(3904, "int4range", 3905, Read::AsText, Wire::Portable),
    row(3906, "numrange", 3907, Read::AsText, Wire::Portable),
    row(3908, "tsrange", 3909, Read::AsText, Wire::Portable),
    row(3910, "tstzrange", 3911, Read::AsText, Wire::Portable),
    row(3912, "daterange", 3913, Read::AsText, Wire::Portable),
    row(3926, "int8range", 3927, Read::AsText, Wire::Portable),
    row(4072, "jsonpath", 4073, Read::AsText, Wire::Portable),
    row(4089, "regnamespace", 4090, Read::AsText, Wire::Local),
    row(4096, "regrole", 4097, Read::AsText, Wire::Local),
    row(4191, "regcollation", 4192, Read::AsText, Wire::Local),
    row(4451, "int4multirange", 6150, Read::AsText, Wire::Portable),
    row(4532, "nummultirange", 6151, Read::AsText, Wire::Portable),
    row(4533, "tsmultirange", 6152, Read::AsText, Wire::Portable),
    row(4534, "tstzmultirange", 6153, Read::AsText, Wire::Portable),
    row(4535, "datemultirange", 6155, Read::AsText, Wire::Portable),
    row(4536, "int8multirange", 6157, Read::AsText, Wire::Portable),
    row(4600, "pg_brin_bloom_summary", 0, Read::AsText, Wire::Local),
    row(4601, "pg_brin_minmax_multi_summary", 0, Read::AsText, Wire::Local),
    row(5017, "pg_mcv_list", 0, Read::AsText, Wire::Local),
    row(5038, "pg_snapshot", 5039, Read::Refused, Wire::Local),
    row(5069, "xid8", 271, Read::Refused, Wire::Local),
];

impl BuiltIn {
    /// What `format_type` calls it.
    pub(super) fn sql_name(&self) -> &'static str {
        match self.name {
            "bool" => "boolean",
            "char" => "\"char\"",
            "int2" => "smallint",
            "int4" => "integer",
            "int8" => "bigint",
            "float4" => "real",
            "float8" => "double precision",
            "varchar" => "character varying",
            "time" => "time without time zone",
            "timetz" => "time with time zone",
            "timestamp" => "timestamp without time zone",
            "timestamptz" => "timestamp with time zone",
            "varbit" => "bit varying",
            name => name,
        }
    }
}

/// The OID of the built-in type that `format_type` calls `name`.
pub(super) fn oid_of(name: &str) -> Option<u32> {
    let (name, is_array) = name.strip_suffix("[]").map_or((name, false), |element| (element, true));
    // A modifier stands behind the first word: `timestamp(3) without time zone`.
    let name = match name.split_once('(').and_then(|(word, rest)| Some((word, rest.split_once(')')?.1))) {
        Some(("character", "")) => "bpchar".to_owned(),
        Some((word, rest)) => format!("{word}{rest}"),
        None => name.to_owned(),
    };
    let entry = BUILT_IN.iter().find(|entry| entry.sql_name() == name)?;
    Some(if is_array { entry.array } else { entry.oid }).filter(|oid| *oid != 0)
}

/// The built-in type with this OID.
pub(super) fn by_oid(oid: u32) -> Option<&'static BuiltIn> {
    BUILT_IN.binary_search_by_key(&oid, |entry| entry.oid).ok().map(|index| &BUILT_IN[index])
}

/// The built-in type over which the type with this OID is an array.
fn element_of(array: u32) -> Option<&'static BuiltIn> {
    BUILT_IN.iter().find(|entry| array != 0 && entry.array == array)
}

/// What the catalog says of a column's type, domains resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PgType {
    /// `format_type` of the declared type: `numeric(18,4)`, `public.mood`, a domain's name.
    pub(super) name: String,
    /// `format_type` of the base type where the declared one is a domain.
    pub(super) base: Option<String>,
    /// OID below all domains.
    pub(super) oid: u32,
    /// Modifier below all domains, for an array that of its element; -1 for none.
    pub(super) typmod: i32,
    /// `typtype` below all domains: b, c, d, e, m, p, r.
    pub(super) class: u8,
    /// OID of the array's element below all domains and its class, where it is an array.
    pub(super) element: Option<(u32, u8)>,
    /// What parts the elements in the text of the array.
    pub(super) delimiter: Option<u8>,
    /// The output function, quoted, schema before it.
    pub(super) output: String,
}

/// How a column is read, by its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Scalar(Read),
    /// An array, as List of the Arrow form of its element.
    List(Read),
    /// An array whose elements the server writes as text: read as `text[]`.
    TextList,
}

impl PgType {
    /// How values of this type get into their Arrow form.
    pub(super) fn codec(&self) -> Codec {
        if let Some(entry) = by_oid(self.oid) {
            return Codec::Scalar(entry.read);
        }
        match (self.class, self.element) {
            (b'c', _) | (_, Some((_, b'c'))) => Codec::Scalar(Read::Refused),
            _ if matches!(self.oid, RECORD | RECORDS) => Codec::Scalar(Read::Refused),
            (_, Some((element, _))) => match by_oid(element).map(|entry| entry.read) {
                Some(Read::Refused) => Codec::Scalar(Read::Refused),
                Some(Read::AsText) | None => Codec::TextList,
                Some(read) => Codec::List(read),
            },
            _ => Codec::Scalar(Read::AsText),
        }
    }

    /// Whether the binary wire form may be handed to another database.
    pub(super) fn wire(&self) -> Wire {
        by_oid(self.oid).or_else(|| element_of(self.oid)).map_or(Wire::Local, |entry| entry.wire)
    }

    /// Precision and scale of a bounded numeric.
    pub(super) fn precision(&self) -> Option<(i32, i32)> {
        // From PostgreSQL 15 the scale is 11 bits with a sign.
        let packed = self.typmod.checked_sub(4).filter(|packed| *packed >= 0)?;
        Some((packed >> 16, ((packed & 0x7ff) ^ 1024) - 1024))
    }

    /// The Arrow type of this type's Arrow form.
    pub(super) fn arrow(&self) -> DataType {
        let item = |data_type| DataType::List(Arc::new(Field::new("item", data_type, true)));
        match self.codec() {
            Codec::Scalar(read) => self.scalar(read),
            Codec::List(read) => item(self.scalar(read)),
            Codec::TextList => item(DataType::Utf8),
        }
    }

    fn scalar(&self, read: Read) -> DataType {
        match read {
            Read::Bool => DataType::Boolean,
            Read::Int2 => DataType::Int16,
            Read::Int4 => DataType::Int32,
            Read::Int8 | Read::Oid => DataType::Int64,
            Read::Float4 => DataType::Float32,
            Read::Float8 => DataType::Float64,
            Read::Numeric => decimal(self.precision()),
            Read::Bytea => DataType::Binary,
            Read::Date => DataType::Date32,
            Read::Time => DataType::Time64(TimeUnit::Microsecond),
            Read::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Read::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Read::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Read::Uuid => DataType::FixedSizeBinary(16),
            Read::Text | Read::Char | Read::Json | Read::Jsonb | Read::AsText | Read::Refused => DataType::Utf8,
        }
    }

    /// The Arrow form of a column `name` of this type, with its native type noted.
    pub(super) fn arrow_field(&self, name: &str, nullable: bool) -> Field {
        let field = self.noted(Field::new(name, self.arrow(), nullable));
        match self.codec() {
            Codec::Scalar(Read::Json | Read::Jsonb) => {
                schema::with_metadata(field, schema::EXTENSION, schema::EXTENSION_JSON)
            }
            Codec::Scalar(Read::Uuid) => schema::with_metadata(field, schema::EXTENSION, schema::EXTENSION_UUID),
            _ => field,
        }
    }

    /// The native form of a column of this type: offered where the Arrow form cannot hold every value or loses the
    /// type's meaning.
    pub(super) fn native_field(&self, name: &str, nullable: bool) -> Option<Field> {
        let exact = match self.codec() {
            Codec::Scalar(read) => !matches!(
                read,
                Read::Numeric
                    | Read::Char
                    | Read::Date
                    | Read::Time
                    | Read::Timestamp
                    | Read::TimestampTz
                    | Read::Interval
                    | Read::AsText
            ),
            Codec::List(_) | Codec::TextList => false,
        };
        if exact {
            return None;
        }
        let (form, data_type) = match self.wire() {
            Wire::Portable => (schema::WIRE, DataType::Binary),
            Wire::Local => (schema::TEXT, DataType::Utf8),
        };
        let field = self.noted(Field::new(name, data_type, nullable));
        Some(schema::with_metadata(field, schema::FORM, form))
    }

    fn noted(&self, field: Field) -> Field {
        let field = schema::with_native(field, &format!("{PRODUCT}:{}", self.name));
        match &self.base {
            Some(base) => schema::with_metadata(field, BASE, &format!("{PRODUCT}:{base}")),
            None => field,
        }
    }
}

/// The Arrow type of numeric(precision, scale). What no decimal holds is exact text.
fn decimal(bounds: Option<(i32, i32)>) -> DataType {
    let Some((precision, scale)) = bounds else { return DataType::Utf8 };
    // numeric(5,-2) has up to seven digits before the point; numeric(3,5) has up to five behind it.
    let (precision, scale) = if scale < 0 { (precision - scale, 0) } else { (precision.max(scale), scale) };
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(digits), Ok(scale)) if digits <= 38 => DataType::Decimal128(digits, scale),
        (Ok(digits), Ok(scale)) if precision <= DECIMAL_DIGITS => DataType::Decimal256(digits, scale),
        _ => DataType::Utf8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(oid: u32, typmod: i32) -> PgType {
        PgType {
            name: "x".into(),
            base: None,
            oid,
            typmod,
            class: b'b',
            element: None,
            delimiter: None,
            output: String::new(),
        }
    }

    #[test]
    fn the_table_is_sorted_and_arrays_are_unique() {
        assert!(BUILT_IN.is_sorted_by(|a, b| a.oid < b.oid));
        let mut arrays: Vec<u32> = BUILT_IN.iter().map(|entry| entry.array).filter(|oid| *oid != 0).collect();
        let count = arrays.len();
        arrays.sort_unstable();
        arrays.dedup();
        assert_eq!(arrays.len(), count);
    }

    #[test]
    fn the_page_names_every_type() {
        let page = include_str!("README.md");
        let missing: Vec<_> =
            BUILT_IN.iter().map(|entry| entry.name).filter(|name| !page.contains(&format!("`{name}`"))).collect();
        assert_eq!(missing, Vec::<&str>::new());
        let (_, refused) = page.split_once("Refused by name are composite rows").unwrap();
        let (refused, _) = refused.split_once(':').unwrap();
        for entry in BUILT_IN {
            let is_named = refused.contains(&format!("`{}`", entry.name));
            assert_eq!(is_named, entry.read == Read::Refused, "{}", entry.name);
        }
    }

    #[test]
    fn numerics() {
        let arrow = |precision: i32, scale: i32| plain(1700, ((precision << 16) | (scale & 0x7ff)) + 4).arrow();
        assert_eq!(arrow(18, 4), DataType::Decimal128(18, 4));
        assert_eq!(arrow(38, 38), DataType::Decimal128(38, 38));
        assert_eq!(arrow(39, 0), DataType::Decimal256(39, 0));
        assert_eq!(arrow(77, 2), DataType::Utf8);
        assert_eq!(arrow(1000, 1000), DataType::Utf8);
        assert_eq!(arrow(5, -2), DataType::Decimal128(7, 0));
        assert_eq!(arrow(3, 5), DataType::Decimal128(5, 5));
        assert_eq!(plain(1700, -1).arrow(), DataType::Utf8);
    }

    #[test]
    fn forms_of_odd_types() {
        let of = |class, element| PgType { class, element, ..plain(99_999, -1) };
        assert_eq!(of(b'e', None).native_field("c", true).unwrap().data_type(), &DataType::Utf8);
        assert_eq!(of(b'c', None).codec(), Codec::Scalar(Read::Refused));
        assert_eq!(of(b'b', Some((88_888, b'e'))).codec(), Codec::TextList);
        assert_eq!(of(b'b', Some((88_888, b'c'))).codec(), Codec::Scalar(Read::Refused));
        let ints = PgType { element: Some((23, b'b')), ..plain(1007, -1) };
        assert_eq!((ints.codec(), ints.wire()), (Codec::List(Read::Int4), Wire::Portable));
        let classes = PgType { element: Some((2205, b'b')), ..plain(2210, -1) };
        assert_eq!((classes.codec(), classes.wire()), (Codec::TextList, Wire::Local));
    }
}
