use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::{Decimal128Type, Field, Schema};
use proptest::prelude::*;

use super::*;
use crate::connectors::postgres::{decode, typemap};

#[allow(unreachable_pub, reason = "the fuzz target needs it")]
#[path = "../../../../tests/fuzz/src/postgres/copy.rs"]
mod copy;

#[test]
fn every_seed_of_the_fuzz_target_passes() {
    crate::testing::tests::replay("copy", copy::copy);
}

const READS: &[Read] = &[
    Read::Bool,
    Read::Int2,
    Read::Int4,
    Read::Int8,
    Read::Oid,
    Read::Float4,
    Read::Float8,
    Read::Numeric,
    Read::Text,
    Read::Char,
    Read::Bytea,
    Read::Date,
    Read::Time,
    Read::Timestamp,
    Read::TimestampTz,
    Read::Interval,
    Read::Uuid,
    Read::Jsonb,
];

fn layout(kind: Kind, data_type: DataType) -> Layout {
    Layout { schema: Arc::new(Schema::new(vec![Field::new("c", data_type, true)])), kinds: vec![kind] }
}

fn tuples(values: &[Option<Vec<u8>>]) -> Chunk {
    let mut bytes = Vec::new();
    for value in values {
        bytes.extend_from_slice(&1_i16.to_be_bytes());
        bytes.extend_from_slice(&value.as_ref().map_or(-1, |value| value.len() as i32).to_be_bytes());
        bytes.extend_from_slice(value.as_deref().unwrap_or_default());
    }
    Chunk { bytes: bytes.into(), rows: values.len(), first_row: 0 }
}

#[test]
fn rows_without_a_place_come_beside_the_others() {
    let dates = |days: &[i32]| tuples(&days.iter().map(|day| Some(day.to_be_bytes().to_vec())).collect::<Vec<_>>());
    let dated = layout(Kind::Scalar(Read::Date), DataType::Date32);
    let (fitting, rejects) = sift(&dated, &dates(&[i32::MAX, 0, i32::MIN, 1])).unwrap();
    assert_eq!(fitting.column(0).as_primitive::<arrow::datatypes::Date32Type>().values(), &[10_957, 10_958]);
    let rejects = rejects.unwrap();
    let texts: Vec<_> = rejects.rows.column(0).as_string::<i32>().iter().collect();
    assert_eq!(texts, [Some("infinity"), Some("-infinity")]);
    assert!(rejects.errors[1].to_string().starts_with("row 3: column c: infinity"), "{}", rejects.errors[1]);
    let numbers = tuples(&[number(0, 0xC000, 0, &[]), None, number(0, 0, 1, &[1, 5000]), number(0, 0, 3, &[1, 50])]);
    let (fitting, rejects) = sift(&layout(Kind::Scalar(Read::Numeric), DataType::Decimal128(5, 1)), &numbers).unwrap();
    assert_eq!(fitting.column(0).as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>(), [None, Some(15)]);
    let told = rejects.unwrap().rows;
    assert_eq!(told.column(0).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("NaN"), Some("1.005")]);
    assert!(sift(&dated, &dates(&[1, 2])).unwrap().1.is_none());
}

#[allow(clippy::unnecessary_wraps, reason = "what stands in a list of fields")]
fn number(weight: i16, sign: u16, scale: u16, digits: &[u16]) -> Option<Vec<u8>> {
    let head = [digits.len() as u16, weight as u16, sign, scale];
    Some(head.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect())
}

fn array_of(data_type: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", data_type, true)))
}

/// The Arrow form of `read`, with bounds for a decimal.
fn form(read: Read, bounds: i32) -> DataType {
    use super::super::typemap::{BUILT_IN, PgType};
    let oid = BUILT_IN.iter().find(|entry| entry.read == read).unwrap().oid;
    let pg = PgType {
        name: String::new(),
        base: None,
        oid,
        typmod: bounds,
        class: b'b',
        element: None,
        delimiter: None,
        output: String::new(),
    };
    pg.arrow()
}

#[test]
fn decimals() {
    let data_type = DataType::Decimal128(10, 2);
    let values = [
        number(0, 0, 2, &[12, 3400]),
        number(1, 0x4000, 0, &[5]),
        number(0, 0, 2, &[]),
        None,
        number(-1, 0, 2, &[700]),
    ];
    let batch = decode(&layout(Kind::Scalar(Read::Numeric), data_type.clone()), &tuples(&values)).unwrap();
    let column = batch.column(0).as_primitive::<Decimal128Type>();
    assert_eq!(column.values(), &[1234, -5_000_000, 0, 0, 7]);
    assert!(column.is_null(3));

    let error =
        |value| decode(&layout(Kind::Scalar(Read::Numeric), data_type.clone()), &tuples(&[None, value])).unwrap_err();
    for value in
        [number(0, 0xC000, 0, &[]), number(0, 0, 3, &[1, 2345]), number(2, 0, 0, &[1]), number(i16::MAX, 0, 0, &[1])]
    {
        let error = error(value);
        assert_eq!(error.kind(), ErrorKind::Value);
        assert_eq!(error.to_string().split(": ").take(2).collect::<Vec<_>>(), ["row 2", "column c"]);
    }
    assert_eq!(error(number(0, 0x1234, 0, &[1])).kind(), ErrorKind::Corrupt);
    assert_eq!(error(number(0, 0, 0, &[10_000])).kind(), ErrorKind::Corrupt);
}

#[test]
fn decimals_at_the_limit_of_their_scale() {
    // 1 in numeric(38,35) is 10^35: the next group of digits would stand beyond the decimal.
    let wire = tuples(&[number(0, 0, 35, &[1])]);
    let batch = decode(&layout(Kind::Scalar(Read::Numeric), DataType::Decimal128(38, 35)), &wire).unwrap();
    assert_eq!(batch.column(0).as_primitive::<Decimal128Type>().value(0), 10_i128.pow(35));
}

#[test]
fn numerics_as_text() {
    let values = [
        number(1, 0x4000, 5, &[1, 20, 3000]),
        number(-2, 0, 11, &[12, 3450]),
        number(0, 0xC000, 0, &[]),
        number(0, 0xD000, 0, &[]),
        number(0, 0xF000, 0, &[]),
        number(0, 0, 3, &[]),
        number(2, 0, 0, &[9]),
    ];
    let batch = decode(&layout(Kind::Scalar(Read::Numeric), DataType::Utf8), &tuples(&values)).unwrap();
    let texts: Vec<&str> = batch.column(0).as_string::<i32>().iter().flatten().collect();
    assert_eq!(texts, ["-10020.30000", "0.00000012345", "NaN", "Infinity", "-Infinity", "0.000", "900000000"]);
}

#[test]
fn text_is_validated_per_value() {
    let of = |values: &[&[u8]]| {
        let values: Vec<_> = values.iter().map(|value| Some(value.to_vec())).collect();
        decode(&layout(Kind::Scalar(Read::Text), DataType::Utf8), &tuples(&values))
    };
    assert_eq!(of(&["ä".as_bytes(), b"", b"x"]).unwrap().num_rows(), 3);
    // Two halves of a letter make valid text together, and none of them alone.
    let error = of(&[b"ok", &"ä".as_bytes()[..1], &"ä".as_bytes()[1..]]).unwrap_err();
    assert!(error.to_string().starts_with("row 2: column c: "), "{error}");
}

#[test]
fn special_dates_and_times() {
    let kind =
        |read, bytes: Vec<u8>| decode(&layout(Kind::Scalar(read), form(read, -1)), &tuples(&[Some(bytes)])).map(|_| ());
    for (read, bytes) in [
        (Read::Date, i32::MAX.to_be_bytes().to_vec()),
        (Read::Time, 86_400_000_000_i64.to_be_bytes().to_vec()),
        (Read::Timestamp, i64::MIN.to_be_bytes().to_vec()),
        (Read::TimestampTz, (i64::MAX - 1).to_be_bytes().to_vec()),
        (Read::Interval, [vec![0x7f], vec![0xff; 7], vec![0; 8]].concat()),
    ] {
        assert_eq!(kind(read, bytes).unwrap_err().kind(), ErrorKind::Value, "{read:?}");
    }
}

#[test]
fn lists() {
    let element = |value: i32| [4_i32.to_be_bytes(), value.to_be_bytes()].concat();
    let head = |words: &[i32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
    let two = [head(&[1, 1, 23, 2, 1]), element(7), (-1_i32).to_be_bytes().to_vec()].concat();
    let layout = layout(Kind::List(Read::Int4), array_of(DataType::Int32));
    let batch = decode(&layout, &tuples(&[Some(two), None, Some(head(&[0, 0, 23]))])).unwrap();
    let lists = batch.column(0).as_list::<i32>();
    assert_eq!((lists.value_length(0), lists.is_null(1), lists.value_length(2)), (2, true, 0));
    let kind = |words: &[i32]| decode(&layout, &tuples(&[Some(head(words))])).unwrap_err().kind();
    assert_eq!(kind(&[2, 0, 23, 1, 1, 1, 1]), ErrorKind::Value);
    assert_eq!(kind(&[1, 0, 23, 1, 0, -1]), ErrorKind::Value);
    assert_eq!(kind(&[1, 0, 23, 9, 1, -1]), ErrorKind::Corrupt);
}

#[test]
fn rows_without_columns() {
    let layout = Layout { schema: Arc::new(Schema::empty()), kinds: Vec::new() };
    let chunk = Chunk { bytes: vec![0; 6].into(), rows: 3, first_row: 0 };
    assert_eq!(decode(&layout, &chunk).unwrap().num_rows(), 3);
}

#[test]
fn cut_tuples_are_corrupt() {
    let whole = tuples(&[Some(vec![1, 2, 3, 4]), None]);
    let layout = layout(Kind::Scalar(Read::Int4), DataType::Int32);
    assert!(decode(&layout, &whole).is_ok());
    for end in 0..whole.bytes.len() {
        let chunk = Chunk { bytes: whole.bytes.slice(..end), ..whole };
        assert_eq!(decode(&layout, &chunk).unwrap_err().kind(), ErrorKind::Corrupt, "{end}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), rows in 0_usize..4, which in 0..READS.len()) {
        let read = READS[which];
        for (kind, data_type) in [
            (Kind::Scalar(read), form(read, (10 << 16) + 6)),
            (Kind::List(read), array_of(form(read, (50 << 16) + 6))),
            (Kind::Wire, DataType::Binary),
        ] {
            let chunk = Chunk { bytes: bytes.clone().into(), rows, first_row: 0 };
            let _ = decode(&layout(kind, data_type.clone()), &chunk);
            let one = tuples(&[Some(bytes.clone())]);
            let _ = decode(&layout(kind, data_type), &one);
        }
    }

    #[test]
    fn integers_come_back(values in prop::collection::vec(any::<Option<i64>>(), 0..50)) {
        let wire: Vec<_> = values.iter().map(|value| value.map(|value| value.to_be_bytes().to_vec())).collect();
        let batch = decode(&layout(Kind::Scalar(Read::Int8), DataType::Int64), &tuples(&wire)).unwrap();
        let column = batch.column(0).as_primitive::<arrow::datatypes::Int64Type>();
        prop_assert_eq!(column.iter().collect::<Vec<_>>(), values);
    }

    #[test]
    fn both_decimals_and_the_text_agree(digits in "[0-9]{1,38}", negative in any::<bool>(), scale in 0_usize..=38) {
        let number = Written::new(&digits, negative, scale);
        let kind = Kind::Scalar(Read::Numeric);
        let narrow = decode(&layout(kind, DataType::Decimal128(38, scale as i8)), &number.wire()).unwrap();
        let expected: i128 = number.digits.parse().unwrap();
        prop_assert_eq!(narrow.column(0).as_primitive::<Decimal128Type>().value(0), expected);
        let wide = decode(&layout(kind, DataType::Decimal256(76, scale as i8)), &number.wire()).unwrap();
        let wide = wide.column(0).as_primitive::<arrow::datatypes::Decimal256Type>().value(0);
        prop_assert_eq!(wide.to_string(), expected.to_string());
        let text = decode(&layout(kind, DataType::Utf8), &number.wire()).unwrap();
        prop_assert_eq!(text.column(0).as_string::<i32>().value(0), number.text());
    }

    #[test]
    fn wide_decimals_reach_to_their_limits(digits in "[0-9]{1,76}", negative in any::<bool>(), scale in 0_usize..=76) {
        let number = Written::new(&digits, negative, scale);
        let layout = layout(Kind::Scalar(Read::Numeric), DataType::Decimal256(76, scale as i8));
        let wide = decode(&layout, &number.wire()).unwrap();
        let wide = wide.column(0).as_primitive::<arrow::datatypes::Decimal256Type>().value(0);
        prop_assert_eq!(wide.to_string(), number.plain());
    }
}

/// A number as decimal text, and as the server sends it.
struct Written {
    /// All digits, the last `scale` of them behind the point.
    digits: String,
    negative: bool,
    scale: usize,
}

impl Written {
    fn new(digits: &str, negative: bool, scale: usize) -> Self {
        let negative = negative && digits.bytes().any(|digit| digit != b'0');
        let sign = if negative { "-" } else { "" };
        Self { digits: format!("{sign}{digits}"), negative, scale }
    }

    /// Without sign and zeros at the start, but with a digit before the point.
    fn parts(&self) -> (String, String) {
        let digits = self.digits.trim_start_matches(['-', '0']);
        let padded = format!("{digits:0>width$}", width = self.scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - self.scale);
        (whole.to_owned(), fraction.to_owned())
    }

    /// The whole number of units of the last place.
    fn plain(&self) -> String {
        let digits = self.digits.trim_start_matches(['-', '0']);
        match digits {
            "" => "0".to_owned(),
            digits => format!("{}{digits}", if self.negative { "-" } else { "" }),
        }
    }

    fn text(&self) -> String {
        let (whole, fraction) = self.parts();
        let point = if self.scale == 0 { "" } else { "." };
        format!("{}{whole}{point}{fraction}", if self.negative { "-" } else { "" })
    }

    /// Groups of four around the point, without zero groups at both ends, as PostgreSQL strips them.
    fn wire(&self) -> Chunk {
        let (whole, fraction) = self.parts();
        let (before, behind) = (whole.len().div_ceil(4) * 4, fraction.len().div_ceil(4) * 4);
        let padded = format!("{whole:0>before$}{fraction:0<behind$}");
        let group = |four: &[u8]| std::str::from_utf8(four).unwrap().parse::<u16>().unwrap();
        let mut groups: Vec<u16> = padded.as_bytes().chunks(4).map(group).collect();
        let mut weight = (before / 4) as i16 - 1;
        while groups.first() == Some(&0) {
            groups.remove(0);
            weight -= 1;
        }
        while groups.last() == Some(&0) {
            groups.pop();
        }
        tuples(&[number(
            if groups.is_empty() { 0 } else { weight },
            if self.negative { 0x4000 } else { 0 },
            self.scale as u16,
            &groups,
        )])
    }
}
