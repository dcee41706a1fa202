//! Records to columns: one builder per type of the schema, fed value by value.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Decimal128Builder, Decimal256Builder, FixedSizeBinaryBuilder,
    Float32Builder, Float64Builder, Int32Builder, Int64Builder, IntervalMonthDayNanoBuilder, ListArray, MapArray,
    NullArray, NullBufferBuilder, StringBuilder, StructArray,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, DecimalType as _, IntervalMonthDayNano, IntervalUnit, i256,
};

use super::cursor::Cursor;
use super::schema::{Layout, NullBranch, Type};
use super::union::{Branch, union};
use super::{damaged, too_large};
use crate::error::{Error, ErrorKind, Result};

/// Bytes of a value up to which those of a NULL are not counted.
const FREE_BYTES: usize = 16;

const NANOS_PER_MILLI: i64 = 1_000_000;

/// Builds the column of one type.
#[derive(Debug)]
pub(super) struct Column {
    null: Option<NullBranch>,
    values: Values,
    data_type: DataType,
    /// Bytes that a NULL takes in memory.
    null_bytes: usize,
}

#[derive(Debug)]
enum Values {
    Null(usize),
    Boolean(BooleanBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Float(Float32Builder),
    Double(Float64Builder),
    Bytes(BinaryBuilder),
    Text(StringBuilder),
    Symbols(Arc<[String]>, StringBuilder),
    Fixed(usize, FixedSizeBinaryBuilder),
    Uuid(FixedSizeBinaryBuilder),
    /// A decimal, in so many bytes or in as many as it takes.
    Decimal(Option<usize>, (u8, i8), Decimal128Builder),
    LargeDecimal(Option<usize>, (u8, i8), Decimal256Builder),
    Interval(IntervalMonthDayNanoBuilder),
    List(Box<Column>, Lengths),
    Map(StringBuilder, Box<Column>, Lengths),
    Record(Vec<Column>, NullBufferBuilder),
    Union(Vec<Branch>, Vec<(usize, usize)>),
}

/// Where the items of each list end.
#[derive(Debug)]
struct Lengths {
    ends: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Lengths {
    fn new() -> Self {
        Self { ends: vec![0], nulls: NullBufferBuilder::new(0) }
    }

    fn last(&self) -> i32 {
        self.ends.last().copied().unwrap_or_default()
    }

    fn push(&mut self, items: usize) -> Result<()> {
        let end = i32::try_from(items).ok().and_then(|items| self.last().checked_add(items));
        self.ends.push(end.ok_or_else(|| too_large("a list"))?);
        self.nulls.append_non_null();
        Ok(())
    }

    fn push_null(&mut self) {
        self.ends.push(self.last());
        self.nulls.append_null();
    }

    fn finish(&mut self) -> (OffsetBuffer<i32>, Option<arrow::buffer::NullBuffer>) {
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        (OffsetBuffer::new(ScalarBuffer::from(ends)), self.nulls.finish())
    }
}

impl Column {
    /// A builder of values of `of` in a column of `data_type`.
    ///
    /// # Errors
    /// [`Schema`](ErrorKind::Schema) when they are no such values.
    pub(super) fn new(of: &Type, data_type: &DataType) -> Result<Self> {
        let (null, of) = of.nullable();
        let values = Values::new(of, data_type)?;
        let null_bytes = values.null_bytes();
        Ok(Self { null, values, data_type: data_type.clone(), null_bytes })
    }

    /// Reads one value.
    pub(super) fn decode(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        if let Some(null) = self.null {
            let second = match cursor.long()? {
                0 => false,
                1 => true,
                _ => return Err(damaged()),
            };
            if second == (null == NullBranch::Second) {
                return self.append_null(cursor);
            }
        }
        self.values.decode(cursor)
    }

    fn append_null(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        if self.null_bytes > FREE_BYTES {
            cursor.charge(self.null_bytes)?;
        }
        self.values.append_null();
        Ok(())
    }

    /// Adds `count` values that take no byte.
    pub(super) fn append_empty(&mut self, count: usize) {
        match &mut self.values {
            Values::Null(nulls) => *nulls += count,
            Values::Record(fields, nulls) => {
                for field in fields {
                    field.append_empty(count);
                }
                nulls.append_n_non_nulls(count);
            }
            _ => {}
        }
    }

    /// The column of all values so far.
    pub(super) fn finish(&mut self) -> Result<ArrayRef> {
        let array = self.values.finish(&self.data_type)?;
        if *array.data_type() == self.data_type {
            return Ok(array);
        }
        // Numbers as what they stand for. A small integer may be none.
        let options = CastOptions { safe: false, ..CastOptions::default() };
        cast_with_options(&array, &self.data_type, &options).map_err(|source| {
            Error::new(ErrorKind::Value, format!("a number is none of type {}", self.data_type)).with_source(source)
        })
    }
}

impl Values {
    fn new(of: &Type, data_type: &DataType) -> Result<Self> {
        Ok(match (of, data_type) {
            (Type::Value(layout, natural, _), _) if alike(natural, data_type) => Self::of_layout(*layout, natural)?,
            (Type::Symbols(symbols), DataType::Utf8) => Self::Symbols(Arc::clone(symbols), StringBuilder::new()),
            (Type::List(of), DataType::List(item)) => {
                Self::List(Box::new(Column::new(of, item.data_type())?), Lengths::new())
            }
            (Type::Map(of), DataType::Map(entries, _)) => {
                let DataType::Struct(fields) = entries.data_type() else { return Err(other(data_type)) };
                let [key, value] = fields.as_ref() else { return Err(other(data_type)) };
                if *key.data_type() != DataType::Utf8 {
                    return Err(other(data_type));
                }
                Self::Map(StringBuilder::new(), Box::new(Column::new(of, value.data_type())?), Lengths::new())
            }
            (Type::Record(members), DataType::Struct(fields)) if members.len() == fields.len() => {
                let pairs = members.iter().zip(fields);
                let columns = pairs.map(|(member, field)| Column::new(&member.of, field.data_type()));
                Self::Record(columns.collect::<Result<_>>()?, NullBufferBuilder::new(0))
            }
            (Type::Union(branches), _) => {
                let branch = |of: &Type| {
                    let field = of.field("");
                    Ok(Branch { column: Column::new(of, field.data_type())?, field, rows: 0 })
                };
                Self::Union(branches.iter().map(branch).collect::<Result<_>>()?, Vec::new())
            }
            _ => return Err(other(data_type)),
        })
    }

    fn of_layout(layout: Layout, data_type: &DataType) -> Result<Self> {
        let fixed = if let Layout::Fixed(bytes) = layout { Some(bytes) } else { None };
        Ok(match (layout, data_type) {
            (_, DataType::Decimal128(precision, scale)) => {
                let builder = Decimal128Builder::new().with_precision_and_scale(*precision, *scale)?;
                Self::Decimal(fixed, (*precision, *scale), builder)
            }
            (_, DataType::Decimal256(precision, scale)) => {
                let builder = Decimal256Builder::new().with_precision_and_scale(*precision, *scale)?;
                Self::LargeDecimal(fixed, (*precision, *scale), builder)
            }
            (_, DataType::Interval(IntervalUnit::MonthDayNano)) => Self::Interval(IntervalMonthDayNanoBuilder::new()),
            (Layout::Null, _) => Self::Null(0),
            (Layout::Boolean, _) => Self::Boolean(BooleanBuilder::new()),
            (Layout::Int, _) => Self::Int(Int32Builder::new()),
            (Layout::Long, _) => Self::Long(Int64Builder::new()),
            (Layout::Float, _) => Self::Float(Float32Builder::new()),
            (Layout::Double, _) => Self::Double(Float64Builder::new()),
            (Layout::Bytes, _) => Self::Bytes(BinaryBuilder::new()),
            (Layout::Text, _) => Self::Text(StringBuilder::new()),
            (Layout::UuidText, _) => Self::Uuid(FixedSizeBinaryBuilder::with_capacity(0, 16)),
            (Layout::Fixed(bytes), _) => Self::Fixed(bytes, FixedSizeBinaryBuilder::with_capacity(0, bytes as i32)),
        })
    }

    fn null_bytes(&self) -> usize {
        match self {
            Self::Fixed(bytes, _) => *bytes,
            Self::LargeDecimal(..) => 32,
            Self::Record(fields, _) => fields.iter().map(|field| field.null_bytes.max(1)).sum(),
            _ => FREE_BYTES,
        }
    }

    fn decode(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        match self {
            Self::Null(count) => *count += 1,
            Self::Boolean(builder) => match cursor.array()? {
                [0] => builder.append_value(false),
                [1] => builder.append_value(true),
                _ => return Err(damaged()),
            },
            Self::Int(builder) => builder.append_value(cursor.int()?),
            Self::Long(builder) => builder.append_value(cursor.long()?),
            Self::Float(builder) => builder.append_value(f32::from_le_bytes(cursor.array()?)),
            Self::Double(builder) => builder.append_value(f64::from_le_bytes(cursor.array()?)),
            Self::Bytes(builder) => {
                let bytes = cursor.bytes()?;
                has_room(builder.values_slice().len(), bytes.len())?;
                builder.append_value(bytes);
            }
            Self::Text(builder) => append_text(builder, cursor)?,
            Self::Symbols(symbols, builder) => {
                let symbol = symbols.get(cursor.length()?).ok_or_else(damaged)?;
                cursor.charge(symbol.len())?;
                has_room(builder.values_slice().len(), symbol.len())?;
                builder.append_value(symbol);
            }
            Self::Fixed(bytes, builder) => builder.append_value(cursor.take(*bytes)?)?,
            Self::Uuid(builder) => {
                let uuid = uuid::Uuid::try_parse_ascii(cursor.bytes()?);
                let wrong = |source| Error::new(ErrorKind::Value, "a text is no UUID").with_source(source);
                builder.append_value(uuid.map_err(wrong)?.as_bytes())?;
            }
            Self::Decimal(fixed, (precision, scale), builder) => {
                let value = i128::from_be_bytes(extended(unscaled(*fixed, cursor)?)?);
                Decimal128Type::validate_decimal_precision(value, *precision, *scale).map_err(|_| too_long())?;
                builder.append_value(value);
            }
            Self::LargeDecimal(fixed, (precision, scale), builder) => {
                let value = i256::from_be_bytes(extended(unscaled(*fixed, cursor)?)?);
                Decimal256Type::validate_decimal_precision(value, *precision, *scale).map_err(|_| too_long())?;
                builder.append_value(value);
            }
            Self::Interval(builder) => builder.append_value(interval(cursor)?),
            Self::List(column, lengths) => {
                let items = decode_items(cursor, None, column)?;
                lengths.push(items)?;
            }
            Self::Map(keys, column, lengths) => {
                let items = decode_items(cursor, Some(keys), column)?;
                lengths.push(items)?;
            }
            Self::Record(fields, nulls) => {
                fields.iter_mut().try_for_each(|field| field.decode(cursor))?;
                nulls.append_non_null();
            }
            Self::Union(branches, rows) => {
                let index = cursor.length()?;
                let branch = branches.get_mut(index).ok_or_else(damaged)?;
                branch.column.decode(cursor)?;
                // The first array is the NULL that stands for none.
                rows.push((index, branch.rows));
                branch.rows += 1;
            }
        }
        Ok(())
    }

    fn append_null(&mut self) {
        match self {
            Self::Null(count) => *count += 1,
            Self::Boolean(builder) => builder.append_null(),
            Self::Int(builder) => builder.append_null(),
            Self::Long(builder) => builder.append_null(),
            Self::Float(builder) => builder.append_null(),
            Self::Double(builder) => builder.append_null(),
            Self::Bytes(builder) => builder.append_null(),
            Self::Text(builder) | Self::Symbols(_, builder) => builder.append_null(),
            Self::Fixed(_, builder) | Self::Uuid(builder) => builder.append_null(),
            Self::Decimal(.., builder) => builder.append_null(),
            Self::LargeDecimal(.., builder) => builder.append_null(),
            Self::Interval(builder) => builder.append_null(),
            Self::List(_, lengths) | Self::Map(_, _, lengths) => lengths.push_null(),
            Self::Record(fields, nulls) => {
                for field in fields {
                    field.values.append_null();
                }
                nulls.append_null();
            }
            Self::Union(branches, rows) => rows.push((branches.len(), 0)),
        }
    }

    fn finish(&mut self, data_type: &DataType) -> Result<ArrayRef> {
        Ok(match (self, data_type) {
            (Self::Null(count), _) => Arc::new(NullArray::new(std::mem::take(count))),
            (Self::Boolean(builder), _) => Arc::new(builder.finish()),
            (Self::Int(builder), _) => Arc::new(builder.finish()),
            (Self::Long(builder), _) => Arc::new(builder.finish()),
            (Self::Float(builder), _) => Arc::new(builder.finish()),
            (Self::Double(builder), _) => Arc::new(builder.finish()),
            (Self::Bytes(builder), _) => Arc::new(builder.finish()),
            (Self::Text(builder) | Self::Symbols(_, builder), _) => Arc::new(builder.finish()),
            (Self::Fixed(_, builder) | Self::Uuid(builder), _) => Arc::new(builder.finish()),
            (Self::Decimal(.., builder), _) => Arc::new(builder.finish()),
            (Self::LargeDecimal(.., builder), _) => Arc::new(builder.finish()),
            (Self::Interval(builder), _) => Arc::new(builder.finish()),
            (Self::List(column, lengths), DataType::List(item)) => {
                let (offsets, nulls) = lengths.finish();
                Arc::new(ListArray::try_new(Arc::clone(item), offsets, column.finish()?, nulls)?)
            }
            (Self::Map(keys, column, lengths), DataType::Map(entries, sorted)) => {
                let DataType::Struct(fields) = entries.data_type() else { return Err(other(data_type)) };
                let columns: Vec<ArrayRef> = vec![Arc::new(keys.finish()), column.finish()?];
                let pairs = StructArray::try_new(fields.clone(), columns, None)?;
                let (offsets, nulls) = lengths.finish();
                Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *sorted)?)
            }
            (Self::Record(columns, nulls), DataType::Struct(fields)) => {
                let length = nulls.len();
                let columns = columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>>>()?;
                let nulls = nulls.finish();
                Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, length)?)
            }
            (Self::Union(branches, rows), _) => union(branches, &std::mem::take(rows), data_type)?,
            _ => return Err(other(data_type)),
        })
    }
}

/// Reads the parts of a list, or of a map with its keys.
fn decode_items(cursor: &mut Cursor<'_>, mut keys: Option<&mut StringBuilder>, column: &mut Column) -> Result<usize> {
    let mut total = 0usize;
    while let Some(items) = cursor.items()? {
        total = total.checked_add(items).filter(|total| i32::try_from(*total).is_ok()).ok_or_else(damaged)?;
        if keys.is_none() && column.is_empty() {
            column.append_empty(items);
            continue;
        }
        // Every item takes a byte at least.
        if items > cursor.left() {
            return Err(damaged());
        }
        for _ in 0..items {
            if let Some(keys) = &mut keys {
                append_text(keys, cursor)?;
            }
            column.decode(cursor)?;
        }
    }
    Ok(total)
}

impl Column {
    fn is_empty(&self) -> bool {
        match &self.values {
            _ if self.null.is_some() => false,
            Values::Null(_) => true,
            Values::Record(fields, _) => fields.iter().all(Self::is_empty),
            _ => false,
        }
    }
}

fn append_text(builder: &mut StringBuilder, cursor: &mut Cursor<'_>) -> Result<()> {
    let bytes = cursor.bytes()?;
    let text = simdutf8::basic::from_utf8(bytes)
        .map_err(|_| Error::new(ErrorKind::Corrupt, "a text of the Avro file is not UTF-8"))?;
    has_room(builder.values_slice().len(), text.len())?;
    builder.append_value(text);
    Ok(())
}

/// Whether 32-bit offsets reach so far.
pub(super) fn has_room(bytes: usize, more: usize) -> Result<()> {
    if bytes + more > i32::MAX as usize { Err(too_large("a batch")) } else { Ok(()) }
}

fn unscaled<'a>(fixed: Option<usize>, cursor: &mut Cursor<'a>) -> Result<&'a [u8]> {
    match fixed {
        Some(bytes) => cursor.take(bytes),
        None => cursor.bytes(),
    }
}

/// A number in two's complement as one of `N` bytes.
fn extended<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
    let (more, own) = bytes.split_at(bytes.len().saturating_sub(N));
    let mut out = [sign; N];
    out[N - own.len()..].copy_from_slice(own);
    let same_sign = (out[0] ^ sign) & 0x80 == 0;
    if same_sign && more.iter().all(|byte| *byte == sign) { Ok(out) } else { Err(too_long()) }
}

fn interval(cursor: &mut Cursor<'_>) -> Result<IntervalMonthDayNano> {
    let count = |bytes: [u8; 4]| u32::from_le_bytes(bytes);
    let (months, days, millis) = (count(cursor.array()?), count(cursor.array()?), count(cursor.array()?));
    let (Ok(months), Ok(days)) = (i32::try_from(months), i32::try_from(days)) else {
        return Err(Error::new(ErrorKind::Value, "a duration has more than 2147483647 months or days"));
    };
    Ok(IntervalMonthDayNano::new(months, days, i64::from(millis) * NANOS_PER_MILLI))
}

/// Whether values of one type are those of the other: zones only say how a moment is shown.
fn alike(natural: &DataType, wanted: &DataType) -> bool {
    match (natural, wanted) {
        (DataType::Timestamp(unit, zone), DataType::Timestamp(other, another)) => {
            unit == other && zone.is_some() == another.is_some()
        }
        _ => natural == wanted,
    }
}

fn other(data_type: &DataType) -> Error {
    Error::new(ErrorKind::Schema, format!("the Avro file holds other values than {data_type}"))
}

fn too_long() -> Error {
    Error::new(ErrorKind::Value, "a decimal has more digits than its column")
}
