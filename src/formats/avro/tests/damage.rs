//! Files that are cut off, changed or made to do harm.

use super::super::cursor::{put_bytes, put_long};
use super::*;

/// A file of one block, with these bytes.
fn block(schema: &str, codec: &str, rows: i64, data: &[u8]) -> Bytes {
    let mut bytes = header(schema, codec).to_vec();
    put_long(&mut bytes, rows);
    put_bytes(&mut bytes, data);
    bytes.extend_from_slice(b"another marker..");
    Bytes::from(bytes)
}

fn column(of: &str) -> String {
    format!(r#"{{"type": "record", "name": "r", "fields": [{{"name": "a", "type": {of}}}]}}"#)
}

/// A boolean, an integer, a text, a decimal, a list, and what is nested.
fn few(rows: i32) -> RecordBatch {
    let batch = mixed(rows);
    let last = batch.num_columns();
    batch.project(&[1, 4, 11, 18, last - 4, last - 2]).unwrap()
}

#[test]
fn a_file_that_is_cut_off_is_damage_or_ends_behind_a_block() {
    let batch = few(40);
    let (header, first) = write_into(&[batch.slice(0, 20)], Codec::Snappy, None).unwrap();
    let (_, second) = write_into(&[batch.slice(20, 20)], Codec::Snappy, None).unwrap();
    let whole = Bytes::from([header.as_slice(), &first, &second].concat());
    for cut in 0..whole.len() {
        let read = read_all(&whole.slice(..cut));
        let rows = read.as_ref().map(RecordBatch::num_rows).map_err(Error::kind);
        let expected = match cut {
            _ if cut == header.len() => Ok(0),
            _ if cut == header.len() + first.len() => Ok(20),
            _ => Err(ErrorKind::Corrupt),
        };
        assert_eq!(rows, expected, "cut at {cut}");
    }
}

#[test]
fn a_changed_byte_is_an_error_or_another_value_and_never_other_rows() {
    let batch = few(20);
    for codec in [Codec::None, Codec::Deflate, Codec::Snappy, Codec::Zstd] {
        let (header, blocks) = write_into(std::slice::from_ref(&batch), codec, None).unwrap();
        for at in 0..blocks.len() {
            for change in [0x01, 0x80] {
                let mut changed = blocks.clone();
                changed[at] ^= change;
                let read = read_all(&Bytes::from([header.as_slice(), &changed].concat()));
                assert!(read.is_err() || read.is_ok_and(|read| read.num_rows() == 20), "{codec:?} at {at}");
                // The checksum of Snappy is over all values; another copy of the same bytes is no other value.
                if codec == Codec::Snappy {
                    let read = read_all(&Bytes::from([header.as_slice(), &changed].concat()));
                    assert!(read.is_err() || read.is_ok_and(|read| read == batch), "at {at}");
                }
            }
        }
        let whole = [header.as_slice(), &blocks].concat();
        for at in 0..header.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x15;
            // Another name or type may come of it; only nothing may panic.
            let read = read_all(&Bytes::from(changed));
            assert!(read.is_err() || read.is_ok_and(|read| read.num_rows() == 20), "header at {at}");
        }
    }
}

#[test]
fn lengths_and_counts_beyond_reason_are_refused_at_once() {
    let long = |value: i64| {
        let mut out = Vec::new();
        put_long(&mut out, value);
        out
    };
    let list = |items: i64| [long(items), vec![0]].concat();
    let skipped = |items: i64| [long(-items), long(1 << 40), vec![0]].concat();
    let nulls = r#"{"type": "array", "items": "null"}"#;
    let ints = r#"{"type": "array", "items": "int"}"#;
    let cases: Vec<(String, i64, Vec<u8>)> = vec![
        (column("\"string\""), 1, long(i64::MAX)),
        (column("\"string\""), 1, long(-1)),
        (column("\"bytes\""), i64::MAX, long(0)),
        (column("\"bytes\""), 0, long(0)),
        (column("\"int\""), 1, long(1 << 40)),
        (column("\"long\""), 1, vec![0xff; 10]),
        (column("\"boolean\""), 1, vec![2]),
        (column("[\"null\", \"int\"]"), 1, long(2)),
        (column("[\"null\", \"int\", \"string\"]"), 1, long(-1)),
        (column(r#"{"type": "enum", "name": "e", "symbols": ["A"]}"#), 1, long(1)),
        (column(ints), 1, list(i64::MAX)),
        (column(ints), 1, skipped(i64::MAX)),
        (column(nulls), 1, list(i64::MAX)),
        (column(nulls), 1, skipped(1 << 40)),
        (column(r#"{"type": "map", "values": "null"}"#), 1, list(1 << 40)),
        (column("\"null\""), i64::MAX, Vec::new()),
        (column("\"null\""), 1, vec![0]),
        (column("\"string\""), 1, [long(1), vec![0xff]].concat()),
        (
            column(r#"{"type": "bytes", "logicalType": "decimal", "precision": 4}"#),
            1,
            [long(2), vec![0x27, 0x10]].concat(),
        ),
        (
            column(r#"{"type": "bytes", "logicalType": "decimal", "precision": 38}"#),
            1,
            [long(17), vec![1; 17]].concat(),
        ),
        (column(r#"{"type": "string", "logicalType": "uuid"}"#), 1, [long(1), vec![b'x']].concat()),
        (column(r#"{"type": "int", "logicalType": "arrow.int8"}"#), 1, long(128)),
        (
            column(r#"{"type": "fixed", "name": "d", "size": 12, "logicalType": "duration"}"#),
            1,
            [vec![0, 0, 0, 0x80], vec![0; 8]].concat(),
        ),
    ];
    for (schema, rows, data) in cases {
        let error = read_all(&block(&schema, "null", rows, &data)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Value), "{schema} {data:?}: {error}");
    }
    // As many NULLs as Arrow can count take no memory.
    let many = read_all(&block(&column(nulls), "null", 1, &list(i64::from(i32::MAX)))).unwrap();
    assert_eq!(many.column(0).as_list::<i32>().value_length(0), i32::MAX);
}

#[test]
fn a_few_bytes_do_not_become_gigabytes() {
    let fixed = column(r#"["null", {"type": "fixed", "name": "f", "size": 500000000}]"#);
    let records = column(r#"{"type": "array", "items": ["null", {"type": "fixed", "name": "f", "size": 500000000}]}"#);
    let list = [[20, 0].as_slice(), &[0; 9], &[0]].concat();
    assert_eq!(read_all(&block(&records, "null", 1, &list)).unwrap_err().kind(), ErrorKind::Resource);
    assert!(File::open(&block(&fixed, "null", 100, &[0; 100])).is_ok());
    for codec in [Codec::None, Codec::Deflate, Codec::Snappy, Codec::Zstd] {
        let zeros = codec.compress(None, vec![0; 1 << 20]).unwrap();
        assert_eq!(codec.decompress(&zeros, 1 << 20).unwrap().len(), 1 << 20);
        assert_eq!(codec.decompress(&zeros, (1 << 20) - 1).unwrap_err().kind(), ErrorKind::Resource, "{codec:?}");
    }
    for data in [vec![], vec![1, 2, 3], vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0]] {
        let error = read_all(&block(&column("\"int\""), "snappy", 1, &data)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Resource));
    }
}
