//! Columns to records: what each column adds to a row, for the types of one schema.

use arrow::array::{
    Array, AsArray as _, BinaryArray, BooleanArray, Decimal128Array, Decimal256Array, FixedSizeBinaryArray,
    IntervalMonthDayNanoArray, PrimitiveArray, StringArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, IntervalUnit,
};

use super::cursor::{put_bytes, put_long};
use super::schema::{Layout, NullBranch, Type};
use crate::error::{Error, ErrorKind, Result};

const NANOS_PER_MILLI: i64 = 1_000_000;

/// The values of one column, or of the items in it.
pub(super) struct Column {
    null: Option<NullBranch>,
    nulls: Option<NullBuffer>,
    values: Values,
}

enum Values {
    Null,
    Boolean(BooleanArray),
    Int(PrimitiveArray<Int32Type>),
    Long(PrimitiveArray<Int64Type>),
    Float(PrimitiveArray<Float32Type>),
    Double(PrimitiveArray<Float64Type>),
    Bytes(BinaryArray),
    Text(StringArray),
    /// Texts, and the symbols that they must be.
    Symbols(StringArray, std::sync::Arc<[String]>),
    Fixed(FixedSizeBinaryArray),
    Uuid(FixedSizeBinaryArray),
    /// With the bytes of each number where it has always as many.
    Decimal(Decimal128Array, Option<usize>),
    LargeDecimal(Decimal256Array, Option<usize>),
    Interval(IntervalMonthDayNanoArray),
    List(OffsetBuffer<i32>, Box<Column>),
    Map(OffsetBuffer<i32>, StringArray, Box<Column>),
    Record(Vec<Column>),
}

impl Column {
    /// The values of `array` as those of `of`.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) when such values are not written, or not into that type.
    pub(super) fn new(of: &Type, array: &dyn Array) -> Result<Self> {
        let (null, of) = of.nullable();
        let nulls = array.nulls().cloned();
        Ok(Self { null, nulls, values: Values::new(of, array)? })
    }

    /// Appends the value of one row.
    ///
    /// # Errors
    /// [`Value`](ErrorKind::Value) for a value that the type does not have.
    pub(super) fn encode(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let is_null = self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        match self.null {
            Some(null) => {
                let second = (null == NullBranch::Second) == is_null;
                out.push(u8::from(second) << 1);
                if is_null { Ok(()) } else { self.values.encode(row, out) }
            }
            None if is_null => Err(Error::new(ErrorKind::Value, "a value is NULL, and the Avro file takes none there")),
            None => self.values.encode(row, out),
        }
    }
}

impl Values {
    fn new(of: &Type, array: &dyn Array) -> Result<Self> {
        let refused = || {
            let message = format!("columns of type {} are not written into this Avro file", array.data_type());
            Error::new(ErrorKind::Unsupported, message)
        };
        Ok(match (of, array.data_type()) {
            (Type::Value(layout, natural, _), data_type) if same(natural, data_type) => {
                Self::of_layout(*layout, array).ok_or_else(refused)??
            }
            (Type::Symbols(symbols), DataType::Utf8) => {
                Self::Symbols(array.as_string().clone(), std::sync::Arc::clone(symbols))
            }
            (Type::List(of), DataType::List(_)) => {
                let lists = array.as_list::<i32>();
                Self::List(lists.offsets().clone(), Box::new(Column::new(of, lists.values())?))
            }
            (Type::Map(of), DataType::Map(..)) => {
                let maps = array.as_map();
                let keys = maps.keys().as_string_opt::<i32>().ok_or_else(refused)?;
                Self::Map(maps.offsets().clone(), keys.clone(), Box::new(Column::new(of, maps.values())?))
            }
            (Type::Record(members), DataType::Struct(fields)) if members.len() == fields.len() => {
                let pairs = members.iter().zip(array.as_struct().columns());
                Self::Record(pairs.map(|(member, column)| Column::new(&member.of, column)).collect::<Result<_>>()?)
            }
            _ => return Err(refused()),
        })
    }

    fn of_layout(layout: Layout, array: &dyn Array) -> Option<Result<Self>> {
        let fixed = if let Layout::Fixed(bytes) = layout { Some(bytes) } else { None };
        Some(Ok(match (layout, array.data_type()) {
            (_, DataType::Decimal128(..)) => Self::Decimal(array.as_primitive::<Decimal128Type>().clone(), fixed),
            (_, DataType::Decimal256(..)) => Self::LargeDecimal(array.as_primitive::<Decimal256Type>().clone(), fixed),
            (_, DataType::Interval(IntervalUnit::MonthDayNano)) => {
                Self::Interval(array.as_primitive::<IntervalMonthDayNanoType>().clone())
            }
            (Layout::Null, _) => Self::Null,
            (Layout::Boolean, _) => Self::Boolean(array.as_boolean_opt()?.clone()),
            (Layout::Int, _) => return Some(numbers::<Int32Type>(array).map(Self::Int)),
            (Layout::Long, _) => return Some(numbers::<Int64Type>(array).map(Self::Long)),
            (Layout::Float, _) => Self::Float(array.as_primitive_opt()?.clone()),
            (Layout::Double, _) => Self::Double(array.as_primitive_opt()?.clone()),
            (Layout::Bytes, _) => Self::Bytes(array.as_binary_opt()?.clone()),
            (Layout::Text, _) => Self::Text(array.as_string_opt()?.clone()),
            (Layout::UuidText, _) => Self::Uuid(array.as_fixed_size_binary_opt()?.clone()),
            (Layout::Fixed(_), _) => Self::Fixed(array.as_fixed_size_binary_opt()?.clone()),
        }))
    }

    fn encode(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Null => {}
            Self::Boolean(values) => out.push(u8::from(values.value(row))),
            Self::Int(values) => put_long(out, i64::from(values.value(row))),
            Self::Long(values) => put_long(out, values.value(row)),
            Self::Float(values) => out.extend_from_slice(&values.value(row).to_le_bytes()),
            Self::Double(values) => out.extend_from_slice(&values.value(row).to_le_bytes()),
            Self::Bytes(values) => put_bytes(out, values.value(row)),
            Self::Text(values) => put_bytes(out, values.value(row).as_bytes()),
            Self::Symbols(values, symbols) => {
                let symbol = symbols.iter().position(|symbol| symbol == values.value(row));
                let wrong =
                    || Error::new(ErrorKind::Value, "a text is none of the symbols that the Avro file has for it");
                put_long(out, symbol.ok_or_else(wrong)? as i64);
            }
            Self::Fixed(values) => out.extend_from_slice(values.value(row)),
            Self::Uuid(values) => {
                let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
                let uuid = uuid::Uuid::from_slice(values.value(row));
                let uuid =
                    uuid.map_err(|source| Error::new(ErrorKind::Value, "a UUID has not 16 bytes").with_source(source))?;
                put_bytes(out, uuid.hyphenated().encode_lower(&mut text).as_bytes());
            }
            Self::Decimal(values, fixed) => put_decimal(out, &values.value(row).to_be_bytes(), *fixed)?,
            Self::LargeDecimal(values, fixed) => put_decimal(out, &values.value(row).to_be_bytes(), *fixed)?,
            Self::Interval(values) => {
                let value = values.value(row);
                let (millis, rest) = (value.nanoseconds / NANOS_PER_MILLI, value.nanoseconds % NANOS_PER_MILLI);
                let counts = (u32::try_from(value.months), u32::try_from(value.days), u32::try_from(millis));
                let (Ok(months), Ok(days), Ok(millis), 0) = (counts.0, counts.1, counts.2, rest) else {
                    let message =
                        "an interval is negative or finer than milliseconds, and the Avro file has no such durations";
                    return Err(Error::new(ErrorKind::Value, message));
                };
                for count in [months, days, millis] {
                    out.extend_from_slice(&count.to_le_bytes());
                }
            }
            Self::List(offsets, items) => {
                put_items(offsets, row, out, |item, out| items.encode(item, out))?;
            }
            Self::Map(offsets, keys, values) => put_items(offsets, row, out, |item, out| {
                put_bytes(out, keys.value(item).as_bytes());
                values.encode(item, out)
            })?,
            Self::Record(fields) => fields.iter().try_for_each(|field| field.encode(row, out))?,
        }
        Ok(())
    }
}

/// One part with all items, and the end.
fn put_items(
    offsets: &OffsetBuffer<i32>,
    row: usize,
    out: &mut Vec<u8>,
    mut put: impl FnMut(usize, &mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
    if to > from {
        put_long(out, (to - from) as i64);
        (from..to).try_for_each(|item| put(item, out))?;
    }
    put_long(out, 0);
    Ok(())
}

/// Numbers of Arrow as those of Avro: the same, or wider ones.
fn numbers<T: ArrowPrimitiveType>(array: &dyn Array) -> Result<PrimitiveArray<T>> {
    Ok(cast(array, &T::DATA_TYPE)?.as_primitive().clone())
}

/// A number in two's complement: in as few bytes as it needs, behind their number, or in `fixed`.
fn put_decimal(out: &mut Vec<u8>, bytes: &[u8], fixed: Option<usize>) -> Result<()> {
    let sign = if bytes[0] & 0x80 != 0 { 0xff } else { 0 };
    let spare = bytes.windows(2).take_while(|pair| pair[0] == sign && (pair[1] ^ sign) & 0x80 == 0).count();
    let own = &bytes[spare..];
    match fixed {
        None => put_bytes(out, own),
        Some(length) => {
            let pad = length.checked_sub(own.len()).ok_or_else(|| {
                Error::new(ErrorKind::Value, "a decimal has more digits than the bytes that the Avro file has for it")
            })?;
            out.resize(out.len() + pad, sign);
            out.extend_from_slice(own);
        }
    }
    Ok(())
}

/// Whether a column of `data_type` holds values of `natural`: zones only say how a moment is shown.
fn same(natural: &DataType, data_type: &DataType) -> bool {
    match (natural, data_type) {
        (DataType::Timestamp(unit, zone), DataType::Timestamp(other, another)) => {
            unit == other && zone.is_some() == another.is_some()
        }
        _ => natural == data_type,
    }
}
