//! Rows of the driver into Arrow columns: each value goes into its column at once, and is counted by what it holds.
//!
//! Two sorts of values have no place there: moments of seven digits beyond what nanoseconds reach, and values that are too long for a
//! batch. Text that is no UTF-16 is none of them: the driver ends at it, and with it the rows behind it.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, BinaryBuilder, BooleanBuilder, Decimal128Builder, FixedSizeBinaryBuilder, Float32Builder,
    Float64Builder, GenericByteBuilder, Int16Builder, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
    UInt8Builder,
};
use arrow::datatypes::{ByteArrayType, DataType, SchemaRef};
use tiberius::ColumnData;

use crate::error::{Error, ErrorKind, Result};
use crate::formats::parting::Odd;
use crate::reject::{Tray, set_aside};

mod moment;

use moment::{long, long_array, short, short_array, told};

/// A longer value is refused: with one of them more, a batch stays within offsets of 32 bits.
const MOST_VALUE_BYTES: usize = 1 << 30;

/// Why a value is none of its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The server sends another type than it had announced.
    OtherType,
    /// Beyond what 64 bits of the unit hold.
    Range,
    /// A text or value that no batch holds.
    Large,
}

/// Rows that become a batch.
#[derive(Debug)]
pub(super) struct Rows {
    schema: SchemaRef,
    columns: Vec<Column>,
    count: usize,
    /// What the values hold, about.
    bytes: usize,
    /// Rows of batches before this one.
    before: u64,
    /// Values that have no place in their columns.
    odd: Odd,
    /// Where their rows go; without one they are errors.
    tray: Option<Arc<Tray>>,
}

/// One column that grows.
#[derive(Debug)]
enum Column {
    Boolean(BooleanBuilder),
    UInt8(UInt8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, u8),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Fixed(FixedSizeBinaryBuilder, usize),
    /// Days, or a time of day, in 32 bits.
    Short(Int32Builder, DataType),
    /// A time of day or a timestamp in 64 bits.
    Long(Int64Builder, DataType),
}

impl Rows {
    /// None yet.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) for a type that no column here has.
    pub(super) fn new(schema: &SchemaRef, tray: Option<&Arc<Tray>>) -> Result<Self> {
        let columns = schema.fields().iter().map(|field| Column::new(field.data_type())).collect::<Result<_>>()?;
        let schema = Arc::clone(schema);
        Ok(Self { schema, columns, count: 0, bytes: 0, before: 0, odd: Odd::default(), tray: tray.cloned() })
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes one row, whose values come in the order of the columns. Where there is a tray, it takes a row whose values have no place
    /// in theirs.
    ///
    /// # Errors
    /// [`Value`](ErrorKind::Value) or [`Schema`](ErrorKind::Schema) with column and row.
    pub(super) fn push<'a>(&mut self, values: impl Iterator<Item = &'a ColumnData<'static>>) -> Result<()> {
        let mut taken = 0;
        for value in values.take(self.columns.len()) {
            match self.columns[taken].push(value) {
                Ok(bytes) => self.bytes += bytes,
                Err(fault @ (Fault::Range | Fault::Large)) if self.tray.is_some() => {
                    let error = self.error(taken, fault);
                    self.odd.note((taken, self.count), told(value), error);
                    self.columns[taken].push_filler();
                }
                Err(fault) => return Err(self.error(taken, fault)),
            }
            taken += 1;
        }
        if taken < self.columns.len() {
            return Err(Error::new(ErrorKind::Schema, "the source has other columns than when it was planned"));
        }
        self.count += 1;
        Ok(())
    }

    fn error(&self, place: usize, fault: Fault) -> Error {
        let error = match fault {
            Fault::OtherType => Error::new(ErrorKind::Schema, "the server sends another type than when it was planned")
                .with_hint("run it again: the table or query may have changed"),
            Fault::Range => Error::new(ErrorKind::Value, "nanoseconds in 64 bits reach from 1677 to 2262")
                .with_hint("read the column with fewer digits: CAST(column AS datetime2(6)) in --query"),
            Fault::Large => Error::new(ErrorKind::Value, "a value of more than 1 GiB is not read")
                .with_hint("leave the column out with --drop"),
        };
        let row = self.before + self.count as u64 + 1;
        error.at("column", self.schema.field(place).name()).at("row", row)
    }

    /// What came so far, as a batch, without the rows that go into the tray.
    ///
    /// # Errors
    /// [`Value`](ErrorKind::Value) for a NULL in a column that is said to have none.
    pub(super) fn finish(&mut self) -> Result<RecordBatch> {
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (column, field) in self.columns.iter_mut().zip(self.schema.fields()) {
            let array = column.finish();
            if !field.is_nullable() && array.null_count() > 0 {
                let error = Error::new(ErrorKind::Value, "the server sends NULL where it said that there is none");
                return Err(error.at("column", field.name()));
            }
            arrays.push(array);
        }
        let batch = set_aside(self.tray.as_deref(), self.odd.part(&self.schema, self.count, arrays)?)?;
        self.before += self.count as u64;
        (self.count, self.bytes) = (0, 0);
        Ok(batch)
    }
}

impl Column {
    fn new(data_type: &DataType) -> Result<Self> {
        Ok(match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::UInt8 => Self::UInt8(UInt8Builder::new()),
            DataType::Int16 => Self::Int16(Int16Builder::new()),
            DataType::Int32 => Self::Int32(Int32Builder::new()),
            DataType::Int64 => Self::Int64(Int64Builder::new()),
            DataType::Float32 => Self::Float32(Float32Builder::new()),
            DataType::Float64 => Self::Float64(Float64Builder::new()),
            DataType::Decimal128(precision, scale) => {
                let builder = Decimal128Builder::new().with_precision_and_scale(*precision, *scale)?;
                Self::Decimal(builder, scale.unsigned_abs())
            }
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Binary => Self::Bytes(BinaryBuilder::new()),
            DataType::FixedSizeBinary(width) => {
                Self::Fixed(FixedSizeBinaryBuilder::new(*width), usize::try_from(*width).unwrap_or_default())
            }
            DataType::Date32 | DataType::Time32(_) => Self::Short(Int32Builder::new(), data_type.clone()),
            DataType::Time64(_) | DataType::Timestamp(..) => Self::Long(Int64Builder::new(), data_type.clone()),
            other => {
                return Err(Error::new(ErrorKind::Internal, format!("SQL Server gives no column of {other}")));
            }
        })
    }

    /// Takes one value, and says what it holds in bytes, about.
    fn push(&mut self, value: &ColumnData<'static>) -> Result<usize, Fault> {
        use ColumnData as D;
        match (self, value) {
            (Self::Boolean(builder), D::Bit(value)) => builder.append_option(*value),
            (Self::UInt8(builder), D::U8(value)) => builder.append_option(*value),
            (Self::Int16(builder), D::I16(value)) => builder.append_option(*value),
            (Self::Int32(builder), D::I32(value)) => builder.append_option(*value),
            (Self::Int64(builder), D::I64(value)) => builder.append_option(*value),
            (Self::Float32(builder), D::F32(value)) => builder.append_option(*value),
            (Self::Float64(builder), D::F64(value)) => builder.append_option(*value),
            (Self::Decimal(builder, scale), D::Numeric(value)) => {
                if value.is_some_and(|value| value.scale() != *scale) {
                    return Err(Fault::OtherType);
                }
                builder.append_option(value.map(tiberius::numeric::Numeric::value));
                return Ok(16);
            }
            (Self::Text(builder), D::String(value)) => {
                return append(builder, value.as_deref());
            }
            (Self::Text(builder), D::Xml(value)) => {
                let text: Option<&str> = value.as_deref().map(AsRef::as_ref);
                return append(builder, text);
            }
            (Self::Bytes(builder), D::Binary(value)) => {
                return append(builder, value.as_deref());
            }
            (Self::Fixed(builder, width), D::Binary(value)) => {
                match value {
                    Some(bytes) => builder.append_value(bytes).map_err(|_| Fault::OtherType)?,
                    None => builder.append_null(),
                }
                return Ok(*width);
            }
            (Self::Fixed(builder, width), D::Guid(value)) => {
                match value {
                    Some(uuid) => builder.append_value(uuid.as_bytes()).map_err(|_| Fault::OtherType)?,
                    None => builder.append_null(),
                }
                return Ok(*width);
            }
            (Self::Short(builder, data_type), value) => builder.append_option(short(data_type, value)?),
            (Self::Long(builder, data_type), value) => builder.append_option(long(data_type, value)?),
            _ => return Err(Fault::OtherType),
        }
        Ok(8)
    }

    /// Takes anything in place of a value that was refused by what it is.
    fn push_filler(&mut self) {
        match self {
            Self::Text(builder) => builder.append_value(""),
            Self::Bytes(builder) => builder.append_value([]),
            Self::Long(builder, _) => builder.append_value(0),
            // These refuse other types only.
            _ => {}
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::UInt8(builder) => Arc::new(builder.finish()),
            Self::Int16(builder) => Arc::new(builder.finish()),
            Self::Int32(builder) => Arc::new(builder.finish()),
            Self::Int64(builder) => Arc::new(builder.finish()),
            Self::Float32(builder) => Arc::new(builder.finish()),
            Self::Float64(builder) => Arc::new(builder.finish()),
            Self::Decimal(builder, _) => Arc::new(builder.finish()),
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Bytes(builder) => Arc::new(builder.finish()),
            Self::Fixed(builder, _) => Arc::new(builder.finish()),
            Self::Short(builder, data_type) => short_array(&builder.finish(), data_type),
            Self::Long(builder, data_type) => long_array(&builder.finish(), data_type),
        }
    }
}

/// Takes a text or bytes, and says how many bytes it has.
fn append<T>(builder: &mut GenericByteBuilder<T>, value: Option<&T::Native>) -> Result<usize, Fault>
where
    T: ByteArrayType<Offset = i32>,
{
    let bytes: &[u8] = value.map_or(&[], <T::Native as AsRef<[u8]>>::as_ref);
    if bytes.len() > MOST_VALUE_BYTES {
        return Err(Fault::Large);
    }
    builder.append_option(value);
    Ok(4 + bytes.len())
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use arrow::array::AsArray as _;
    use arrow::datatypes::{Field, Int32Type, Schema};
    use arrow::util::pretty::pretty_format_batches;
    use tiberius::numeric::Numeric;
    use tiberius::time::{Date, DateTime, DateTime2, DateTimeOffset, SmallDateTime, Time};

    use super::super::typemap::SqlType;
    use super::*;

    fn schema(declared: &[&str]) -> SchemaRef {
        let field = |name: &&str| SqlType::declared(name).unwrap().arrow_field(name, true);
        Arc::new(Schema::new(declared.iter().map(field).collect::<Vec<Field>>()))
    }

    #[allow(clippy::needless_pass_by_value, reason = "values are written where they are used")]
    fn one(declared: &str, value: ColumnData<'static>) -> Result<String> {
        let mut rows = Rows::new(&schema(&[declared]), None)?;
        rows.push([&value].into_iter())?;
        let batch = rows.finish()?;
        let table = pretty_format_batches(&[batch]).unwrap().to_string();
        Ok(table.lines().nth(3).unwrap().trim_matches(['|', ' ']).to_owned())
    }

    /// What the server's own client prints of these bytes, by Microsoft's documentation of the types.
    #[test]
    fn times_are_what_the_server_shows() {
        let at = |days, increments, scale| DateTime2::new(Date::new(days), Time::new(increments, scale));
        let cases = [
            ("date", ColumnData::Date(Some(Date::new(0))), "0001-01-01"),
            ("date", ColumnData::Date(Some(Date::new(3_652_058))), "9999-12-31"),
            ("time(0)", ColumnData::Time(Some(Time::new(86_399, 0))), "23:59:59"),
            ("time(2)", ColumnData::Time(Some(Time::new(1, 2))), "00:00:00.010"),
            ("time(7)", ColumnData::Time(Some(Time::new(863_999_999_999, 7))), "23:59:59.999999900"),
            ("smalldatetime", ColumnData::SmallDateTime(Some(SmallDateTime::new(65_535, 1439))), "2079-06-06T23:59:00"),
            ("datetime", ColumnData::DateTime(Some(DateTime::new(-53_690, 0))), "1753-01-01T00:00:00"),
            ("datetime", ColumnData::DateTime(Some(DateTime::new(25_567, 1))), "1970-01-01T00:00:00.003"),
            ("datetime", ColumnData::DateTime(Some(DateTime::new(25_567, 2))), "1970-01-01T00:00:00.007"),
            ("datetime", ColumnData::DateTime(Some(DateTime::new(25_567, 25_919_999))), "1970-01-01T23:59:59.997"),
            ("datetime2(3)", ColumnData::DateTime2(Some(at(0, 1, 3))), "0001-01-01T00:00:00.001"),
            ("datetime2(4)", ColumnData::DateTime2(Some(at(719_162, 1, 4))), "1970-01-01T00:00:00.000100"),
            ("datetime2(7)", ColumnData::DateTime2(Some(at(719_161, 1, 7))), "1969-12-31T00:00:00.000000100"),
            (
                "datetimeoffset(0)",
                ColumnData::DateTimeOffset(Some(DateTimeOffset::new(at(719_162, 3600, 0), 120))),
                "1970-01-01T01:00:00Z",
            ),
        ];
        for (declared, value, expected) in cases {
            assert_eq!(one(declared, value).unwrap(), expected, "{declared}");
        }
        let error = one("datetime2(7)", ColumnData::DateTime2(Some(at(3_652_058, 863_999_999_999, 7)))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(error.hint().unwrap().contains("datetime2(6)"), "{error:?}");
    }

    #[test]
    fn values_of_other_types_are_as_they_are() {
        let least = -99_999_999_999_999_999_999_999_999_999_999_999_999_i128;
        let uuid = tiberius::Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
        let cases = [
            ("bit", ColumnData::Bit(Some(true)), "true"),
            ("tinyint", ColumnData::U8(Some(255)), "255"),
            ("bigint", ColumnData::I64(Some(i64::MIN)), "-9223372036854775808"),
            (
                "decimal(38,38)",
                ColumnData::Numeric(Some(Numeric::new_with_scale(least, 38))),
                "-0.99999999999999999999999999999999999999",
            ),
            ("nvarchar(max)", ColumnData::String(Some(Cow::Borrowed("雪 😀"))), "雪 😀"),
            ("varbinary(max)", ColumnData::Binary(Some(Cow::Borrowed(&[0, 255]))), "00ff"),
            ("uniqueidentifier", ColumnData::Guid(Some(uuid)), "00112233445566778899aabbccddeeff"),
        ];
        for (declared, value, expected) in cases {
            assert_eq!(one(declared, value).unwrap(), expected, "{declared}");
        }
        assert_eq!(one("int", ColumnData::I64(Some(1))).unwrap_err().kind(), ErrorKind::Schema);
        let other_scale = ColumnData::Numeric(Some(Numeric::new_with_scale(1, 2)));
        assert_eq!(one("decimal(5,1)", other_scale).unwrap_err().kind(), ErrorKind::Schema);
    }

    #[test]
    fn nulls_keep_their_place_and_batches_begin_anew() {
        let mut rows = Rows::new(&schema(&["int", "nvarchar(5)"]), None).unwrap();
        for _ in 0..2 {
            rows.push([&ColumnData::I32(None), &ColumnData::String(Some(Cow::Borrowed("ab")))].into_iter()).unwrap();
            assert_eq!((rows.len(), rows.bytes()), (1, 14));
            let batch = rows.finish().unwrap();
            assert!(batch.column(0).is_null(0));
            assert_eq!(batch.column(1).as_string::<i32>().value(0), "ab");
        }
        let error = rows.push([&ColumnData::I32(Some(1)), &ColumnData::I32(Some(1))].into_iter()).unwrap_err();
        let shown: Vec<String> = error.frames().iter().map(|frame| format!("{} {}", frame.what, frame.which)).collect();
        assert_eq!(shown, ["column nvarchar(5)", "row 3"]);
        assert!(rows.push([&ColumnData::I32(Some(1))].into_iter()).is_err());
    }

    /// The last moment of the type, by Microsoft's documentation, and one that nanoseconds reach.
    #[test]
    fn rows_with_moments_beyond_nanoseconds_go_into_the_tray() {
        let tray = Arc::<Tray>::default();
        let declared = ["int", "datetime2(7)", "datetimeoffset(7)"];
        let mut rows = Rows::new(&schema(&declared), Some(&tray)).unwrap();
        let last = DateTime2::new(Date::new(3_652_058), Time::new(863_999_999_999, 7));
        let now = DateTime2::new(Date::new(738_885), Time::new(0, 7));
        let offset = |moment| ColumnData::DateTimeOffset(Some(DateTimeOffset::new(moment, 60)));
        for (number, plain, zoned) in [(1, now, now), (2, last, last), (3, now, now), (4, now, last)] {
            let values = [ColumnData::I32(Some(number)), ColumnData::DateTime2(Some(plain)), offset(zoned)];
            rows.push(values.iter()).unwrap();
        }
        let batch = rows.finish().unwrap();
        assert_eq!(batch.column(0).as_primitive::<Int32Type>().values()[..], [1, 3]);
        assert_eq!((batch.column(1).null_count(), batch.column(2).null_count()), (0, 0));
        let rejects = tray.take();
        let [rejects] = &rejects[..] else { panic!("{rejects:?}") };
        let told = |column: usize| rejects.rows.column(column).as_string::<i32>().iter().map(Option::unwrap);
        assert_eq!(told(1).collect::<Vec<_>>(), ["9999-12-31 23:59:59.9999999", "2024-01-01 00:00:00"]);
        assert_eq!(told(2).collect::<Vec<_>>(), ["9999-12-31 23:59:59.9999999+00:00"; 2]);
        let places: Vec<String> = rejects.errors.iter().map(ToString::to_string).collect();
        let why = "nanoseconds in 64 bits reach from 1677 to 2262";
        assert_eq!(
            places,
            [format!("row 2: column datetime2(7): {why}"), format!("row 4: column datetimeoffset(7): {why}"),]
        );
        // What the server sends of another type is no matter of a row.
        let other = [ColumnData::I64(Some(1)), ColumnData::DateTime2(None), ColumnData::DateTimeOffset(None)];
        assert_eq!(rows.push(other.iter()).unwrap_err().kind(), ErrorKind::Schema);
    }
}
