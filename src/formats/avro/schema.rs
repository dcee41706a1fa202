//! What the header of a file says of its types: Avro's JSON, read into types with the Arrow type of each.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit,
};
use serde_json::{Map, Value as Json};

use super::types::{JSON, METADATA, NAME, ZONE};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::schema::{COMMENT, EXTENSION, EXTENSION_JSON, EXTENSION_UUID, with_metadata};

/// Types of one schema, those that are named again counted again: a few bytes of JSON can stand for any number.
const TYPES: usize = 1 << 16;

/// How deep the JSON of a schema is nested at most.
const DEPTH: usize = 64;

/// How the bytes of a value are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    /// A UUID as text.
    UuidText,
    /// So many bytes.
    Fixed(usize),
}

/// One type of a schema.
#[derive(Clone, Debug)]
pub(super) enum Type {
    /// A single value: its bytes, what they mean, and Arrow's name where it has an extension for them.
    Value(Layout, DataType, Option<&'static str>),
    Symbols(Arc<[String]>),
    List(Arc<Type>),
    Map(Arc<Type>),
    Record(Arc<[Member]>),
    Union(Arc<[Type]>),
}

/// A field of a record.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// The column: the name in Avro, or the one that Avro could not hold.
    pub(super) name: String,
    pub(super) metadata: HashMap<String, String>,
    pub(super) of: Type,
}

/// Which branch of a union of two is NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NullBranch {
    First,
    Second,
}

/// The fields of the record that `json` describes.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) for what is no schema, [`Unsupported`](ErrorKind::Unsupported) for one that is not of
/// a record, or holds itself.
pub(super) fn parse(json: &[u8]) -> Result<Arc<[Member]>> {
    let json: Json = serde_json::from_slice(json).map_err(|source| wrong().with_source(source))?;
    let mut parser = Parser { named: HashMap::new(), types: 0 };
    match parser.parse(&json, "", DEPTH)? {
        Type::Record(members) => Ok(members),
        _ => {
            Err(Error::new(ErrorKind::Unsupported, "the values of the Avro file are no records, so it has no columns"))
        }
    }
}

impl Type {
    /// The type without its NULL, where it is a union of NULL and one other.
    pub(super) fn nullable(&self) -> (Option<NullBranch>, &Self) {
        match self {
            Self::Union(branches) => match &**branches {
                [null, other] if null.is_null() && !other.is_null() => (Some(NullBranch::First), other),
                [other, null] if null.is_null() && !other.is_null() => (Some(NullBranch::Second), other),
                _ => (None, self),
            },
            other => (None, other),
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Value(Layout::Null, ..))
    }

    /// Whether its values take no byte.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Value(layout, ..) => matches!(layout, Layout::Null),
            Self::Record(members) => members.iter().all(|member| member.of.is_empty()),
            _ => false,
        }
    }

    /// The Arrow column of such values.
    pub(super) fn field(&self, name: &str) -> Field {
        let (null, of) = self.nullable();
        let field = Field::new(name, of.data_type(), null.is_some() || of.may_be_null());
        match of {
            Self::Value(_, _, Some(extension)) => with_metadata(field, EXTENSION, extension),
            Self::Union(branches) if common(branches).is_none() => with_metadata(field, EXTENSION, EXTENSION_JSON),
            _ => field,
        }
    }

    fn may_be_null(&self) -> bool {
        match self {
            Self::Union(branches) => branches.iter().any(Self::is_null),
            other => other.is_null(),
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Value(_, data_type, _) => data_type.clone(),
            Self::Symbols(_) => DataType::Utf8,
            Self::List(item) => DataType::List(Arc::new(item.field(Field::LIST_FIELD_DEFAULT_NAME))),
            Self::Map(value) => map_of(Arc::new(value.field("value"))),
            Self::Record(members) => DataType::Struct(members.iter().map(Member::field).collect()),
            // Values of several types have one of them, or are told apart as JSON.
            Self::Union(branches) => common(branches).unwrap_or(DataType::Utf8),
        }
    }
}

impl Member {
    /// Its column.
    pub(super) fn field(&self) -> FieldRef {
        let field = self.of.field(&self.name);
        let mut metadata = self.metadata.clone();
        metadata.extend(field.metadata().clone());
        Arc::new(field.with_metadata(metadata))
    }
}

fn map_of(value: FieldRef) -> DataType {
    let entries = Fields::from(vec![Arc::new(Field::new("key", DataType::Utf8, false)), value]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

/// The type that holds the values of all branches as they are; none where there is no such type.
fn common(branches: &[Type]) -> Option<DataType> {
    let mut types = branches.iter().filter(|branch| !branch.is_null()).map(Type::data_type);
    let first = types.next().unwrap_or(DataType::Null);
    types.try_fold(first, |all, other| match (&all, &other) {
        (DataType::Int32 | DataType::Int64, DataType::Int32 | DataType::Int64) => Some(DataType::Int64),
        (DataType::Float32 | DataType::Float64, DataType::Float32 | DataType::Float64) => Some(DataType::Float64),
        (DataType::Utf8, DataType::Utf8) => Some(DataType::Utf8),
        _ => None,
    })
}

struct Parser {
    /// Named types and how many types they stand for; none while a type is being read.
    named: HashMap<String, Option<(Type, usize)>>,
    types: usize,
}

impl Parser {
    fn parse(&mut self, json: &Json, namespace: &str, depth: usize) -> Result<Type> {
        self.count(1)?;
        let depth = depth.checked_sub(1).ok_or_else(|| unsupported("types are nested too deep"))?;
        match json {
            Json::String(name) => match primitive(name) {
                Some(layout) => value_of(layout, &Map::new()),
                None => self.resolve(name, namespace),
            },
            Json::Array(branches) => {
                let branches = branches.iter().map(|branch| self.parse(branch, namespace, depth));
                let branches = branches.collect::<Result<Vec<_>>>()?;
                if branches.is_empty() || branches.iter().any(|branch| matches!(branch, Type::Union(_))) {
                    return Err(wrong());
                }
                Ok(Type::Union(branches.into()))
            }
            Json::Object(object) => self.parse_object(object, namespace, depth),
            _ => Err(wrong()),
        }
    }

    fn parse_object(&mut self, object: &Map<String, Json>, namespace: &str, depth: usize) -> Result<Type> {
        let kind = object.get("type").ok_or_else(wrong)?;
        let inner = |key: &str| object.get(key).ok_or_else(wrong);
        match kind.as_str() {
            Some("array") => Ok(Type::List(Arc::new(self.parse(inner("items")?, namespace, depth)?))),
            Some("map") => Ok(Type::Map(Arc::new(self.parse(inner("values")?, namespace, depth)?))),
            Some(kind @ ("record" | "error" | "enum" | "fixed")) => self.parse_named(kind, object, namespace, depth),
            Some(name) => match primitive(name) {
                Some(layout) => value_of(layout, object),
                None => self.resolve(name, namespace),
            },
            None => self.parse(kind, namespace, depth),
        }
    }

    fn parse_named(&mut self, kind: &str, object: &Map<String, Json>, outer: &str, depth: usize) -> Result<Type> {
        let name = text(object, "name").ok_or_else(wrong)?;
        let (namespace, name) = match (name.rsplit_once('.'), text(object, "namespace")) {
            (Some((namespace, _)), _) => (namespace.to_owned(), name.to_owned()),
            (None, Some(namespace)) => (namespace.to_owned(), full_name(name, namespace)),
            (None, None) => (outer.to_owned(), full_name(name, outer)),
        };
        if self.named.insert(name.clone(), None).is_some() {
            return Err(Error::new(ErrorKind::Corrupt, format!("the schema of the Avro file defines {name:?} twice")));
        }
        let before = self.types;
        let of = match kind {
            "enum" => Type::Symbols(symbols(object)?),
            "fixed" => {
                let size = object.get("size").and_then(Json::as_u64).and_then(|size| i32::try_from(size).ok());
                // A value without bytes could stand any number of times in none.
                let size =
                    size.filter(|size| *size > 0).ok_or_else(|| unsupported("a type has a size of 0 or 2 GiB"))?;
                value_of(Layout::Fixed(size as usize), object)?
            }
            _ => {
                let fields = object.get("fields").and_then(Json::as_array).ok_or_else(wrong)?;
                let members = fields.iter().map(|field| self.parse_member(field, &namespace, depth));
                Type::Record(members.collect::<Result<Vec<_>>>()?.into())
            }
        };
        self.named.insert(name, Some((of.clone(), self.types - before + 1)));
        Ok(of)
    }

    fn parse_member(&mut self, json: &Json, namespace: &str, depth: usize) -> Result<Member> {
        let object = json.as_object().ok_or_else(wrong)?;
        let name = text(object, "name").ok_or_else(wrong)?;
        let of = self.parse(object.get("type").ok_or_else(wrong)?, namespace, depth).at("column", || name)?;
        let mut metadata = HashMap::new();
        if let Some(comment) = text(object, "doc") {
            metadata.insert(COMMENT.to_owned(), comment.to_owned());
        }
        for (key, value) in object.get(METADATA).and_then(Json::as_object).into_iter().flatten() {
            metadata.extend(value.as_str().map(|value| (key.clone(), value.to_owned())));
        }
        let name = text(object, NAME).unwrap_or(name).to_owned();
        Ok(Member { name, metadata, of })
    }

    /// The type that was defined under `name`.
    fn resolve(&mut self, name: &str, namespace: &str) -> Result<Type> {
        let known = self.named.get(&full_name(name, namespace)).or_else(|| self.named.get(name));
        match known {
            Some(Some((of, types))) => {
                let (of, types) = (of.clone(), *types);
                self.count(types)?;
                Ok(of)
            }
            Some(None) => Err(unsupported(&format!("the type {name:?} holds itself"))),
            None => {
                Err(Error::new(ErrorKind::Corrupt, format!("the schema of the Avro file does not define {name:?}")))
            }
        }
    }

    fn count(&mut self, types: usize) -> Result<()> {
        self.types += types;
        if self.types > TYPES { Err(unsupported("there are too many types")) } else { Ok(()) }
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn text<'a>(object: &'a Map<String, Json>, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Json::as_str)
}

fn symbols(object: &Map<String, Json>) -> Result<Arc<[String]>> {
    let symbols = object.get("symbols").and_then(Json::as_array).ok_or_else(wrong)?;
    symbols.iter().map(|symbol| symbol.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}

fn primitive(name: &str) -> Option<Layout> {
    Some(match name {
        "null" => Layout::Null,
        "boolean" => Layout::Boolean,
        "int" => Layout::Int,
        "long" => Layout::Long,
        "float" => Layout::Float,
        "double" => Layout::Double,
        "bytes" => Layout::Bytes,
        "string" => Layout::Text,
        _ => return None,
    })
}

/// A value with the logical type of `object`. One that is unknown, or does not fit, counts for nothing.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) for decimals that Arrow cannot hold: as bytes they would be no numbers.
fn value_of(layout: Layout, object: &Map<String, Json>) -> Result<Type> {
    let logical = text(object, "logicalType").unwrap_or_default();
    let (layout, data_type) = match (layout, logical) {
        (Layout::Text, "uuid") => (Layout::UuidText, DataType::FixedSizeBinary(16)),
        (Layout::Bytes | Layout::Fixed(_), "decimal") => (layout, decimal(object)?.unwrap_or(plain(layout))),
        (Layout::Fixed(12), "duration") => (layout, DataType::Interval(IntervalUnit::MonthDayNano)),
        (Layout::Int, _) => (layout, int_of(logical)),
        (Layout::Long, _) => (layout, long_of(logical, text(object, ZONE))),
        _ => (layout, plain(layout)),
    };
    let extension = match (logical, &data_type) {
        ("uuid", DataType::FixedSizeBinary(16)) => Some(EXTENSION_UUID),
        (JSON, DataType::Utf8) => Some(EXTENSION_JSON),
        _ => None,
    };
    Ok(Type::Value(layout, data_type, extension))
}

fn plain(layout: Layout) -> DataType {
    match layout {
        Layout::Null => DataType::Null,
        Layout::Boolean => DataType::Boolean,
        Layout::Int => DataType::Int32,
        Layout::Long => DataType::Int64,
        Layout::Float => DataType::Float32,
        Layout::Double => DataType::Float64,
        Layout::Bytes => DataType::Binary,
        Layout::Text => DataType::Utf8,
        Layout::UuidText => DataType::FixedSizeBinary(16),
        Layout::Fixed(bytes) => DataType::FixedSizeBinary(bytes as i32),
    }
}

/// Names that begin with `arrow.` are those of Arrow's own Avro library.
fn int_of(logical: &str) -> DataType {
    match logical {
        "date" => DataType::Date32,
        "time-millis" => DataType::Time32(TimeUnit::Millisecond),
        "arrow.int8" => DataType::Int8,
        "arrow.int16" => DataType::Int16,
        "arrow.uint8" => DataType::UInt8,
        "arrow.uint16" => DataType::UInt16,
        "arrow.time32-second" => DataType::Time32(TimeUnit::Second),
        _ => DataType::Int32,
    }
}

fn long_of(logical: &str, zone: Option<&str>) -> DataType {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let zone = zone.filter(|zone| zone.parse::<Tz>().is_ok()).unwrap_or("UTC");
    let moment = |unit| DataType::Timestamp(unit, Some(zone.into()));
    match logical {
        "time-micros" => DataType::Time64(Microsecond),
        "timestamp-millis" => moment(Millisecond),
        "timestamp-micros" => moment(Microsecond),
        "timestamp-nanos" => moment(Nanosecond),
        "local-timestamp-millis" => DataType::Timestamp(Millisecond, None),
        "local-timestamp-micros" => DataType::Timestamp(Microsecond, None),
        "local-timestamp-nanos" => DataType::Timestamp(Nanosecond, None),
        "arrow.timestamp-second" => moment(Second),
        "arrow.local-timestamp-second" => DataType::Timestamp(Second, None),
        "arrow.time64-nanosecond" => DataType::Time64(Nanosecond),
        "arrow.uint32" => DataType::UInt32,
        "arrow.date64" => DataType::Date64,
        "arrow.duration-seconds" => DataType::Duration(Second),
        "arrow.duration-millis" => DataType::Duration(Millisecond),
        "arrow.duration-micros" => DataType::Duration(Microsecond),
        "arrow.duration-nanos" => DataType::Duration(Nanosecond),
        _ => DataType::Int64,
    }
}

/// None where the numbers make no decimal.
fn decimal(object: &Map<String, Json>) -> Result<Option<DataType>> {
    let number =
        |key: &str| object.get(key).map(|value| value.as_u64().filter(|number| u32::try_from(*number).is_ok()));
    let (Some(Some(precision)), Some(scale)) = (number("precision"), number("scale").unwrap_or(Some(0))) else {
        return Ok(None);
    };
    if precision == 0 || scale > precision {
        return Ok(None);
    }
    let of = match u8::try_from(precision) {
        Ok(precision) if precision <= DECIMAL128_MAX_PRECISION => DataType::Decimal128,
        Ok(precision) if precision <= DECIMAL256_MAX_PRECISION => DataType::Decimal256,
        _ => return Err(unsupported(&format!("a decimal has {precision} digits, and no more than 76 can be read"))),
    };
    Ok(Some(of(precision as u8, scale as i8)))
}

fn wrong() -> Error {
    Error::new(ErrorKind::Corrupt, "the schema of the Avro file cannot be understood")
}

fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("in the schema of the Avro file {what}"))
}
