use super::*;
use crate::connectors::mysql::{decode, typemap};
use arrow::array::AsArray as _;
use arrow::datatypes::{Field, Schema};
use proptest::prelude::*;

#[allow(unreachable_pub, reason = "the fuzz target needs it")]
#[path = "../../../../tests/fuzz/src/mysql/rows.rs"]
mod rows;

#[test]
fn every_seed_of_the_fuzz_target_passes() {
    crate::testing::tests::replay("rows", rows::rows);
}

fn layout(columns: &[(Kind, Width)], zeros: ZeroDates, times: TimeForm) -> Layout {
    let fields: Vec<Field> = columns.iter().map(|(kind, _)| Field::new("c", kind.arrow(times), true)).collect();
    let columns = columns.iter().map(|(kind, width)| Decoding { kind: *kind, width: *width, zeros, times });
    Layout { schema: Arc::new(Schema::new(fields)), columns: columns.collect() }
}

fn frames(rows: &[&[u8]]) -> Frames {
    let mut at = 0;
    let mut places = Vec::new();
    for row in rows {
        places.push((at, row.len() as u32));
        at += row.len() as u32;
    }
    Frames { bytes: Bytes::from(rows.concat()), rows: places }
}

fn one(kind: Kind, width: Width, value: &[u8], times: TimeForm) -> Result<ArrayRef> {
    let row = [&[0, 0], value].concat();
    let layout = layout(&[(kind, width)], ZeroDates::Reject, times);
    decode(&layout, &frames(&[&row]), 0).map(|batch| Arc::clone(batch.column(0)))
}

#[test]
fn lengths_of_every_width() {
    assert_eq!(length(&[0xfa, 1]), Some((0xfa, [1].as_slice())));
    assert_eq!(length(&[0xfc, 1, 2]), Some((0x0201, [].as_slice())));
    assert_eq!(length(&[0xfd, 1, 2, 3, 4]), Some((0x03_0201, [4].as_slice())));
    assert_eq!(length(&[0xfe, 1, 0, 0, 0, 0, 0, 0, 1]), Some((0x0100_0000_0000_0001, [].as_slice())));
    for short in [[].as_slice(), &[0xfb], &[0xff], &[0xfc, 1], &[0xfe, 1]] {
        assert_eq!(length(short), None, "{short:?}");
    }
}

#[test]
fn rows_with_nulls_between() {
    let layout = layout(
        &[(Kind::Int32, Width::Fixed(4)), (Kind::Text, Width::Text), (Kind::UInt8, Width::Fixed(1))],
        ZeroDates::Reject,
        TimeForm::Time,
    );
    let rows: [&[u8]; 2] = [&[0, 0b1000, 1, 0, 0, 0, 9], &[0, 0b10100, 2, b'h', b'i']];
    let batch = decode(&layout, &frames(&rows), 0).unwrap();
    assert_eq!(batch.column(0).as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(1), None]);
    assert_eq!(batch.column(1).as_string::<i32>().iter().collect::<Vec<_>>(), [None, Some("hi")]);
    assert_eq!(batch.column(2).as_primitive::<UInt8Type>().iter().collect::<Vec<_>>(), [Some(9), None]);
    let error = decode(&layout, &frames(&[&[0, 0b1000, 1, 0, 0]]), 41).unwrap_err();
    assert_eq!((error.kind(), error.to_string().starts_with("row 42")), (ErrorKind::Corrupt, true));
}

#[test]
fn dates_and_times_as_mysql_sends_them() {
    let date = |bytes: &[u8]| one(Kind::Date, Width::Temporal, bytes, TimeForm::Time);
    assert_eq!(date(&[4, 0xe8, 7, 2, 29]).unwrap().as_primitive::<Date32Type>().value(0), 19782);
    assert_eq!(date(&[0]).unwrap_err().message(), ZERO);
    assert_eq!(date(&[4, 0xe8, 7, 2, 0]).unwrap_err().message(), ZERO);
    assert_eq!(date(&[4, 0xe7, 7, 2, 29]).unwrap_err().kind(), ErrorKind::Value);
    let at = one(Kind::DateTime(6), Width::Temporal, &[11, 0xb2, 7, 1, 2, 3, 4, 5, 6, 0, 0, 0], TimeForm::Time);
    let micros = ((24 + 3) * 3600 + 4 * 60 + 5) * 1_000_000 + 6;
    assert_eq!(at.unwrap().as_primitive::<TimestampMicrosecondType>().value(0), micros);
    let long = [12, 1, 34, 0, 0, 0, 22, 59, 59, 1, 0, 0, 0];
    assert_eq!(one(Kind::Time(6), Width::Temporal, &long, TimeForm::Time).unwrap_err().message(), BEYOND);
    let duration = one(Kind::Time(6), Width::Temporal, &long, TimeForm::Duration).unwrap();
    let micros = -(((34 * 24 + 22) * 3600 + 59 * 60 + 59) * 1_000_000 + 1);
    assert_eq!(duration.as_primitive::<DurationMicrosecondType>().value(0), micros);
}

#[test]
fn zero_dates_as_null() {
    let layout = layout(&[(Kind::Date, Width::Temporal)], ZeroDates::Null, TimeForm::Time);
    let batch = decode(&layout, &frames(&[&[0, 0, 0], &[0, 0, 4, 0xb2, 7, 1, 2], &[0, 4]]), 0).unwrap();
    let days: Vec<_> = batch.column(0).as_primitive::<Date32Type>().iter().collect();
    assert_eq!(days, [None, Some(1), None]);
}

#[test]
fn rows_without_a_place_come_beside_the_others() {
    let layout = layout(
        &[(Kind::Int32, Width::Fixed(4)), (Kind::DateTime(3), Width::Temporal), (Kind::Time(0), Width::Temporal)],
        ZeroDates::Reject,
        TimeForm::Time,
    );
    let rows: [&[u8]; 4] = [
        &[0, 0, 1, 0, 0, 0, 4, 0xb2, 7, 1, 2, 8, 0, 0, 0, 0, 0, 1, 2, 3],
        &[0, 0, 2, 0, 0, 0, 11, 0xe8, 7, 2, 0, 1, 2, 3, 0x20, 0xa1, 7, 0, 12, 1, 34, 0, 0, 0, 22, 59, 59, 1, 0, 0, 0],
        &[0, 0b1_0000, 3, 0, 0, 0, 0],
        &[0, 0b1000, 4, 0, 0, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0],
    ];
    let (fitting, rejects) = sift(&layout, &frames(&rows), 10).unwrap();
    let ids = |batch: &RecordBatch| batch.column(0).as_primitive::<Int32Type>().values().to_vec();
    assert_eq!(ids(&fitting), [1]);
    assert_eq!(fitting.column(2).as_primitive::<Time64MicrosecondType>().value(0), (3600 + 2 * 60 + 3) * 1_000_000);
    let rejects = rejects.unwrap();
    assert_eq!(ids(&rejects.rows), [2, 3, 4]);
    let texts = |column: usize| rejects.rows.column(column).as_string::<i32>().iter().collect::<Vec<_>>();
    assert_eq!(texts(1), [Some("2024-02-00 01:02:03.500"), Some("0000-00-00 00:00:00.000"), None]);
    assert_eq!(texts(2), [Some("-838:59:59"), None, Some("24:00:00")]);
    let told: Vec<String> = rejects.errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            format!("row 12: column c: {ZERO}"),
            format!("row 13: column c: {ZERO}"),
            format!("row 14: column c: {BEYOND}")
        ]
    );
    // Where all rows fit there is nothing beside them.
    assert!(sift(&layout, &frames(&rows[..1]), 0).unwrap().1.is_none());
}

#[test]
fn a_geometry_keeps_its_reference_system() {
    let point = [1, 1, 0, 0, 0, 7, 7];
    let geometry = |system: &[u8]| {
        let value = [&[4 + point.len() as u8], system, &point].concat();
        one(Kind::Geometry, Width::Text, &value, TimeForm::Time).unwrap().as_binary::<i32>().value(0).to_vec()
    };
    assert_eq!(geometry(&[0; 4]), point);
    assert_eq!(geometry(&[0xe6, 0x10, 0, 0]), [1, 1, 0, 0, 0x20, 0xe6, 0x10, 0, 0, 7, 7]);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        rows::rows(&bytes);
    }
}
