//! Known bytes are what the `send` functions of a server printed; batches are read back by a decoder of the test's own.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, Date32Array, Decimal128Array, Int32Array, Int32Builder, IntervalMonthDayNanoArray,
    ListBuilder, NullArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Decimal128Type, DecimalType, Field, IntervalMonthDayNano, Schema};
use proptest::prelude::*;

use super::super::decode::numeric_text;
use super::{Check, Column, Encoder, Format, Layout, numeric};
use crate::error::{Error, ErrorKind};

fn column(layout: Layout, check: Check) -> Column {
    Column { name: "c".into(), layout, wire: false, check }
}

fn batch(arrays: &[ArrayRef]) -> RecordBatch {
    let field = |(at, array): (usize, &ArrayRef)| Field::new(format!("c{at}"), array.data_type().clone(), true);
    let schema = Schema::new(arrays.iter().enumerate().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), arrays.to_vec()).unwrap()
}

fn encode(format: Format, columns: Vec<Column>, arrays: &[ArrayRef]) -> Result<Vec<u8>, Error> {
    let blocks = Encoder::new(format, columns).encode(&batch(arrays), 100)?;
    Ok(blocks.iter().flat_map(|block| block.iter().copied()).collect())
}

/// Rows of fields of binary COPY, without header.
fn decode(mut bytes: &[u8]) -> Vec<Vec<Option<Vec<u8>>>> {
    let mut take = |count: usize| {
        let (head, tail) = bytes.split_at(count);
        bytes = tail;
        (head.to_vec(), tail.is_empty())
    };
    let mut rows = Vec::new();
    let mut done = false;
    while !done {
        let (count, end) = take(2);
        done = end;
        let mut row = Vec::new();
        for _ in 0..u16::from_be_bytes(count.try_into().unwrap()) {
            let (length, end) = take(4);
            let length = i32::from_be_bytes(length.try_into().unwrap());
            done = end;
            row.push((length >= 0).then(|| {
                let (value, end) = take(length as usize);
                done = end;
                value
            }));
        }
        rows.push(row);
    }
    rows
}

/// The only column of `array` in `layout`.
fn values(layout: Layout, array: ArrayRef) -> Vec<Option<Vec<u8>>> {
    let bytes = encode(Format::Binary, vec![column(layout, Check::None)], &[array]).unwrap();
    decode(&bytes).into_iter().map(|mut row| row.remove(0)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|half| char::from_digit(u32::from(half), 16))
        .collect()
}

#[test]
fn numerics_as_the_server_sends_them() {
    let cases = [
        ("0", "0000000000000000"),
        ("0.00", "0000000000000002"),
        ("1", "00010000000000000001"),
        ("-1", "00010000400000000001"),
        ("10000", "00010001000000000001"),
        ("12345.678", "0003000100000003000109291a7c"),
        ("0.0001", "0001ffff000000040001"),
        ("0.00012", "0002ffff00000005000107d0"),
        ("-99999999.9999", "0003000140000004270f270f270f"),
        ("123456789012345678901234567890123456.78", "000a00080000000204d2162e23340d801ed204d2162e23340d801e78"),
        ("1e40", "0001000a000000000001"),
        ("NaN", "00000000c0000000"),
        ("100000000", "00010002000000000001"),
        ("0.10", "0001ffff0000000203e8"),
    ];
    for (text, wire) in cases {
        let mut out = Vec::new();
        assert!(numeric::put_text(text, &mut out), "{text}");
        assert_eq!(hex(&out), wire, "{text}");
    }
    for wrong in ["", "-", ".", "1.2.3", "1e", "e1", "0x10", "1_000", "12a", "--1", "1e999999"] {
        let mut out = Vec::new();
        assert!(!numeric::put_text(wrong, &mut out) && out.is_empty(), "{wrong}");
    }
}

#[test]
fn other_layouts_as_the_server_sends_them() {
    let one = |layout, array: ArrayRef| hex(values(layout, array)[0].as_ref().unwrap());
    let interval = IntervalMonthDayNano::new(10, 3, -14_706_000_007_000);
    assert_eq!(
        one(Layout::Interval, Arc::new(IntervalMonthDayNanoArray::from(vec![interval]))),
        "fffffffc93743f79000000030000000a"
    );
    assert_eq!(one(Layout::Date, Arc::new(Date32Array::from(vec![10_956]))), "ffffffff");
    assert_eq!(one(Layout::Timestamp, Arc::new(TimestampMicrosecondArray::from(vec![-1]))), "fffca2fec4c81fff");
    assert_eq!(one(Layout::Jsonb, Arc::new(StringArray::from(vec!["{\"a\": 1}"]))), "017b2261223a20317d");
    assert_eq!(values(Layout::Text, Arc::new(NullArray::new(2))), [None, None]);
}

fn ints() -> Layout {
    Layout::Array { oid: 23, element: Box::new(Layout::Int4) }
}

#[test]
fn arrays_as_the_server_sends_them() {
    let mut flat = ListBuilder::new(Int32Builder::new());
    flat.append_value([]);
    flat.append_null();
    flat.append_value([Some(7)]);
    let flat = flat.finish();
    let sent = values(ints(), Arc::new(flat.clone()));
    assert_eq!(hex(sent[0].as_ref().unwrap()), "000000000000000000000017");
    assert_eq!(sent[1], None);
    let seven = "00000001000000000000001700000001000000010000000400000007";
    assert_eq!(hex(sent[2].as_ref().unwrap()), seven);
    // A slice keeps the values of the whole.
    assert_eq!(hex(values(ints(), Arc::new(flat.slice(2, 1)))[0].as_ref().unwrap()), seven);

    let mut square = ListBuilder::new(ListBuilder::new(Int32Builder::new()));
    square.values().append_value([Some(1), Some(2)]);
    square.values().append_value([None, Some(4)]);
    square.append(true);
    assert_eq!(
        hex(values(ints(), Arc::new(square.finish()))[0].as_ref().unwrap()),
        "0000000200000001000000170000000200000001000000020000000100000004000000010000000400000002\
         ffffffff0000000400000004"
    );
}

#[test]
fn lists_that_are_no_arrays_are_refused() {
    let refused = |rows: &[&[Option<Vec<Option<i32>>>]]| {
        let mut lists = ListBuilder::new(ListBuilder::new(Int32Builder::new()));
        for row in rows {
            for inner in *row {
                match inner {
                    Some(inner) => lists.values().append_value(inner.clone()),
                    None => lists.values().append_null(),
                }
            }
            lists.append(true);
        }
        let error = encode(Format::Binary, vec![column(ints(), Check::None)], &[Arc::new(lists.finish())]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        error.frames().iter().map(|frame| format!("{} {}", frame.what, frame.which)).collect::<Vec<_>>()
    };
    let good = [Some(vec![Some(1)])];
    assert_eq!(refused(&[&good, &[Some(vec![Some(1)]), Some(vec![])]]), ["column c", "row 102"]);
    assert_eq!(refused(&[&[Some(vec![Some(1)]), None]]), ["column c", "row 101"]);
    assert_eq!(refused(&[&[Some(vec![]), Some(vec![])]]), ["column c", "row 101"]);
}

#[test]
fn texts_of_limited_types_are_looked_into() {
    let refused = |check, layout: Layout, text: &str| {
        let column = Column { wire: false, ..column(layout, check) };
        encode(Format::Text, vec![column], &[Arc::new(StringArray::from(vec![text]))]).is_err()
    };
    let array = |element| Layout::Array { oid: 0, element: Box::new(element) };
    for (text, wrong) in [
        ("{1.00,2.5,NULL}", false),
        ("[0:1]={1,\"2.25\"}", false),
        ("{}", false),
        ("{{1.00},{2.005}}", true),
        ("{\"1.005\"}", true),
        ("not an array", false),
    ] {
        assert_eq!(refused(Check::Fraction(2), array(Layout::Numeric), text), wrong, "{text}");
    }
    assert!(refused(Check::Characters(2), array(Layout::Text), r#"{ab,"a,b"}"#));
    assert!(!refused(Check::Characters(3), array(Layout::Text), r#"{ab,"a,b","\"\\"}"#));
    for (text, wrong) in [("12:00:00+02", false), ("12:00:00.1230+02", false), ("12:00:00.1234-08:30", true)] {
        assert_eq!(refused(Check::Micros(1000), Layout::Other, text), wrong, "{text}");
    }
    for (text, wrong) in [("", false), ("a", false), (r"\303", false), ("ab", true), ("é", true), (r"\400", true)] {
        assert_eq!(refused(Check::OneByte, Layout::Other, text), wrong, "{text}");
    }
    for (text, wrong) in [("1.050", false), ("-1.005", true)] {
        assert_eq!(refused(Check::Fraction(2), Layout::Other, text), wrong, "{text}");
    }
}

#[test]
fn numbers_that_are_rounded_before_the_point() {
    for (text, least) in [("1200", -2), ("30000", -4), ("10203", 0), ("0", i32::MIN), ("NaN", i32::MIN), ("0.0500", 2)]
    {
        let mut wire = Vec::new();
        assert!(numeric::put_text(text, &mut wire));
        assert_eq!(numeric::fraction_digits(&wire), Some(least), "{text}");
    }
}

#[test]
fn values_that_the_server_would_change_are_refused() {
    let refused = |check, layout: Layout, array: ArrayRef| {
        let wire = *array.data_type() == DataType::Binary;
        let column = Column { wire, ..column(layout, check) };
        let error = encode(Format::Binary, vec![column], &[array]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        error.frames().last().unwrap().which.clone()
    };
    let texts = |texts: [&str; 2]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
    assert_eq!(refused(Check::Characters(2), Layout::Text, texts(["äö", "abc"])), "102");
    assert_eq!(refused(Check::Bytes(3), Layout::Text, texts(["abc", "äö"])), "102");
    assert_eq!(refused(Check::Fraction(2), Layout::Numeric, texts(["1.100", "1.001"])), "102");
    let micros: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1000, 1001]));
    assert_eq!(refused(Check::Micros(1000), Layout::Timestamp, micros), "102");
    let wire: ArrayRef = Arc::new(BinaryArray::from(vec![i64::MAX.to_be_bytes().as_slice(), &1_i64.to_be_bytes()]));
    assert_eq!(refused(Check::Micros(1000), Layout::Timestamp, wire), "102");
    assert_eq!(refused(Check::None, Layout::Date, Arc::new(Date32Array::from(vec![0, i32::MIN + 10_957]))), "102");
    assert_eq!(refused(Check::None, Layout::Uuid, texts(["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0"])), "102");
    let fine: ArrayRef = Arc::new(IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(0, 0, 1)]));
    assert_eq!(refused(Check::None, Layout::Interval, fine), "101");
}

/// As `date_send` and `timestamp_send` have them.
#[test]
fn infinity_is_what_the_server_sends_for_it() {
    let endless = |layout, array: ArrayRef| {
        let column = Column { wire: true, ..column(layout, Check::None) };
        let binary = encode(Format::Binary, vec![column.clone()], &[Arc::clone(&array)]).unwrap();
        let text = encode(Format::Text, vec![column], &[array]).unwrap();
        let cells: Vec<String> = decode(&binary).into_iter().map(|mut row| hex(&row.remove(0).unwrap())).collect();
        (cells, String::from_utf8(text).unwrap())
    };
    let days = Arc::new(Date32Array::from(vec![i32::MAX, -i32::MAX, 10_956]));
    let (cells, text) = endless(Layout::Date, days);
    assert_eq!(cells, ["7fffffff", "80000000", "ffffffff"]);
    assert_eq!(text, "infinity\n-infinity\n1999-12-31\n");
    let at = Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX, -i64::MAX, -1]));
    let (cells, text) = endless(Layout::Timestamp, at);
    assert_eq!(cells, ["7fffffffffffffff", "8000000000000000", "fffca2fec4c81fff"]);
    assert!(text.starts_with("infinity\n-infinity\n1969-12-31 23:59:59.999999"), "{text}");
    let column = Column { wire: true, ..column(Layout::Date, Check::None) };
    let early: ArrayRef = Arc::new(Date32Array::from(vec![i32::MIN]));
    assert_eq!(encode(Format::Binary, vec![column], &[early]).unwrap_err().kind(), ErrorKind::Value);
}

#[test]
fn text_is_escaped() {
    let columns = vec![column(Layout::Other, Check::None), column(Layout::Bytea, Check::None)];
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a\tb\\c\r\nü"), None, Some("\\N"), Some("")]));
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![Some(b"\x00\xff".as_slice()), None, Some(b""), None]));
    let encoded = encode(Format::Text, columns, &[texts, bytes]).unwrap();
    let expected = "a\\tb\\\\c\\r\\nü\t\\\\x00ff\n\\N\t\\N\n\\\\N\t\\\\x\n\t\\N\n";
    assert_eq!(String::from_utf8(encoded).unwrap(), expected);
}

proptest! {
    #[test]
    fn decimals_are_their_digits(value in any::<i128>(), shift in 0_u32..127, scale in 0_i8..=38) {
        // Decimal128 has 38 digits.
        let value = (value >> shift) % 10_i128.pow(38);
        let mut wire = Vec::new();
        numeric::put_i128(value, scale, &mut wire);
        let mut from_text = Vec::new();
        let text = Decimal128Type::format_decimal(value, 38, scale);
        prop_assert!(numeric::put_text(&text, &mut from_text));
        prop_assert_eq!(&wire, &from_text);
        let mut shown = Vec::new();
        prop_assert!(numeric_text(&wire, &mut shown));
        prop_assert_eq!(String::from_utf8(shown).unwrap(), text.clone());
        // Zeros at the end of a whole number are digits that it could do without: 1200 fits numeric(5,-2).
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let zeros = |digits: &str| (digits.len() - digits.trim_end_matches('0').len()) as i32;
        let digits = match fraction.len() as i32 - zeros(fraction) {
            0 if value == 0 => i32::MIN,
            0 => -zeros(whole),
            digits => digits,
        };
        prop_assert_eq!(numeric::fraction_digits(&wire), Some(digits));
    }

    #[test]
    fn numbers_with_trailing_zeros_need_no_more_digits(value in any::<i64>(), scale in -20_i8..0) {
        let mut wire = Vec::new();
        numeric::put_i128(value.into(), scale, &mut wire);
        let mut from_text = Vec::new();
        let exponent = -i32::from(scale);
        let text = format!("{value}e{exponent}");
        prop_assert!(numeric::put_text(&text, &mut from_text));
        prop_assert_eq!(wire, from_text);
    }

    #[test]
    fn rows_come_back_in_whole_blocks(rows in proptest::collection::vec(
        (any::<Option<i32>>(), proptest::option::of(".{0,40}"), proptest::option::of(any::<i64>())), 1..300,
    ), start in 0_usize..5) {
        let ints: Int32Array = rows.iter().map(|row| row.0).collect();
        let texts: StringArray = rows.iter().map(|row| row.1.as_deref()).collect();
        let decimals: Decimal128Array = rows.iter().map(|row| row.2.map(i128::from)).collect();
        let start = start.min(rows.len() - 1);
        let arrays: Vec<ArrayRef> = vec![Arc::new(ints), Arc::new(texts), Arc::new(decimals)];
        let arrays: Vec<ArrayRef> = arrays.iter().map(|array| array.slice(start, rows.len() - start)).collect();
        let columns = [Layout::Int4, Layout::Text, Layout::Numeric].map(|layout| column(layout, Check::None));
        let decoded = decode(&encode(Format::Binary, columns.to_vec(), &arrays).unwrap());
        prop_assert_eq!(decoded.len(), rows.len() - start);
        for (fields, row) in decoded.iter().zip(&rows[start..]) {
            prop_assert_eq!(fields[0].clone(), row.0.map(|value| value.to_be_bytes().to_vec()));
            prop_assert_eq!(fields[1].clone(), row.1.as_ref().map(|value| value.as_bytes().to_vec()));
            prop_assert_eq!(fields[2].is_some(), row.2.is_some());
        }
    }

    #[test]
    fn no_wire_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let layouts = [Layout::Numeric, Layout::Date, Layout::Timestamp, Layout::Interval, Layout::Jsonb, ints()];
        for layout in layouts {
            for check in [Check::Fraction(2), Check::Micros(1000), Check::Interval { months: 12, days: false, micros: 0 }] {
                let wire = Column { wire: true, ..column(layout.clone(), check) };
                let array: ArrayRef = Arc::new(BinaryArray::from(vec![bytes.as_slice()]));
                for format in [Format::Binary, Format::Text] {
                    // What is damaged is an error or passes on to the server: both are fine here.
                    let _ = encode(format, vec![wire.clone()], &[Arc::clone(&array)]);
                }
            }
        }
    }
}
