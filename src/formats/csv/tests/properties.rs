//! Whatever the bytes, the buffers and the cuts: the same rows.

use arrow::compute::concat_batches;
use proptest::prelude::*;

use super::*;
use crate::formats::csv::tokenize::{Faulty, Records, Width, tokenize};
use crate::formats::split::{RecordStart, stitch};
use crate::formats::{Inferred, Piece};

/// The pieces of `file` that a scanner gives when it is fed with `buffers` bytes at a time.
fn pieces(format: &Csv, file: &[u8], buffers: &[usize]) -> Vec<(Vec<u8>, u64)> {
    let mut scanner = format.scanner();
    let mut rest = file;
    let mut sizes = buffers.iter().copied().cycle();
    let (mut pending, mut line) = (Vec::new(), 1);
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let (buffer, after) = rest.split_at(sizes.next().unwrap().clamp(1, rest.len()));
        rest = after;
        match scanner.feed(buffer) {
            Some(end) => {
                pending.extend_from_slice(&buffer[..end.offset]);
                pieces.push((std::mem::replace(&mut pending, buffer[end.offset..].to_vec()), line));
                line += end.lines;
            }
            None => pending.extend_from_slice(buffer),
        }
    }
    pieces.push((pending, line));
    pieces
}

fn decode_all(format: &Csv, pieces: &[(Vec<u8>, u64)], inferred: &Inferred) -> Result<RecordBatch> {
    let decode = |(bytes, first_line): &(Vec<u8>, u64)| {
        let piece = Piece { bytes, first_line: *first_line };
        format.decode(&piece, &inferred.layout, &inferred.schema)
    };
    let batches: Vec<RecordBatch> = pieces.iter().map(decode).collect::<Result<_>>()?;
    Ok(concat_batches(&inferred.schema, &batches).unwrap())
}

/// Chunks of `sizes`, stitched, as pieces.
fn stitched(format: &Csv, file: &[u8], sizes: &[usize]) -> Vec<(Vec<u8>, u64)> {
    let mut chunks = Vec::new();
    let mut rest = file;
    let mut sizes = sizes.iter().copied().cycle();
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(sizes.next().unwrap().clamp(1, rest.len()));
        chunks.push(format.scan_chunk(chunk));
        rest = after;
    }
    let starts = stitch(RecordStart { offset: 0, line: 1 }, &chunks);
    let ends = starts.iter().skip(1).map(|start| start.offset as usize).chain([file.len()]);
    starts.iter().zip(ends).map(|(start, end)| (file[start.offset as usize..end].to_vec(), start.line)).collect()
}

/// [`tokenize`], byte by byte.
fn slowly(bytes: &[u8], null: &str) -> Option<Vec<Vec<String>>> {
    let (mut rows, mut row) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < bytes.len() || !row.is_empty() {
        let mut text = Vec::new();
        let quoted = bytes.get(at) == Some(&b'"');
        if quoted {
            at += 1;
            loop {
                match (bytes.get(at)?, bytes.get(at + 1)) {
                    (b'"', Some(b'"')) => {
                        text.push(b'"');
                        at += 2;
                    }
                    (b'"', _) => break at += 1,
                    (byte, _) => {
                        text.push(*byte);
                        at += 1;
                    }
                }
            }
        } else {
            while bytes.get(at).is_some_and(|byte| !b",\r\n".contains(byte)) {
                if bytes[at] == b'"' {
                    return None;
                }
                text.push(bytes[at]);
                at += 1;
            }
        }
        let text = String::from_utf8(text).unwrap();
        row.push(if !quoted && text == null { "∅".to_owned() } else { text });
        let next = bytes.get(at).copied();
        at += 1;
        match next {
            Some(b',') => continue,
            Some(b'\r') if bytes.get(at) == Some(&b'\n') => at += 1,
            None | Some(b'\r' | b'\n') => {}
            Some(_) => return None,
        }
        let row = std::mem::take(&mut row);
        match row.len() {
            2 => rows.push(row),
            1 if row[0] == "∅" => {}
            _ => return None,
        }
    }
    Some(rows)
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a\",\r\n\\\\xN. é0]{0,6}",
        "\\PC{0,80}",
        Just(String::new()),
        Just("\\N".to_owned()),
        Just("x".repeat(70)),
    ]
}

prop_compose! {
    fn any_batch()(rows in 0_usize..40)(
        strings in prop::collection::vec(prop::option::of(any_text()), rows),
        views in prop::collection::vec(prop::option::of(any_text()), rows),
        integers in prop::collection::vec(prop::option::of(any::<i64>()), rows),
        doubles in prop::collection::vec(prop::option::of(any::<f64>().prop_filter("one NaN", |x| !x.is_nan())), rows),
        booleans in prop::collection::vec(prop::option::of(any::<bool>()), rows),
        decimals in prop::collection::vec(prop::option::of(-10_i128.pow(38) + 1..10_i128.pow(38)), rows),
        days in prop::collection::vec(prop::option::of(any::<i32>()), rows),
        times in prop::collection::vec(prop::option::of(0..86_400_000_000_i64), rows),
        stamps in prop::collection::vec(prop::option::of(any::<i64>()), rows),
        bytes in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..10)), rows),
        ids in prop::collection::vec(prop::option::of(any::<[u8; 16]>()), rows),
    ) -> RecordBatch {
        let field = |name: &str, sql_type: &str| parse_type(sql_type).unwrap().with_name(name);
        let view = Field::new("view", DataType::Utf8View, true);
        let schema = Schema::new(vec![
            field("a", "text"), view, field("i", "bigint"), field("f", "double"), field("b", "boolean"),
            field("n", "decimal(38,7)"), field("d", "date"), field("t", "time"), field("s", "timestamp"),
            field("z", "timestamptz"), field("x", "bytea"), field("u", "uuid"),
        ]);
        let ids = FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids.iter().copied(), 16).unwrap();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(strings)),
            Arc::new(StringViewArray::from_iter(views)),
            Arc::new(Int64Array::from(integers)),
            Arc::new(Float64Array::from(doubles)),
            Arc::new(BooleanArray::from(booleans)),
            Arc::new(Decimal128Array::from(decimals).with_precision_and_scale(38, 7).unwrap()),
            Arc::new(Date32Array::from(days)),
            Arc::new(Time64MicrosecondArray::from(times)),
            Arc::new(TimestampMicrosecondArray::from(stamps.clone())),
            Arc::new(TimestampMicrosecondArray::from(stamps).with_timezone("UTC")),
            Arc::new(BinaryArray::from_iter(bytes)),
            Arc::new(ids),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }
}

proptest! {
    #[test]
    fn batches_come_back(
        batch in any_batch(),
        null in prop_oneof![Just(""), Just("\\N"), Just("0"), Just("true")],
        delimiter in prop_oneof![Just(b','), Just(b'\t'), Just(b'-'), Just(b'x')],
        escape in prop_oneof![Just(None), Just(Some(b'\\')), Just(Some(b'N'))],
        sizes in prop::collection::vec(1_usize..300, 1..5),
    ) {
        let null = null.replace(char::from(delimiter), "");
        let format = csv(CsvOptions { delimiter, escape, null, ..CsvOptions::default() });
        let mut file = format.header(batch.schema_ref()).unwrap();
        format.encode(&batch, &mut file).unwrap();
        let start = format.start(&file, Extent::Whole).unwrap();
        let layout = start.layout.clone().unwrap();
        let schema: SchemaRef = batch.schema();
        let inferred = Inferred { schema, layout, start, blank: Vec::new() };
        let body = &file[inferred.start.data_start..];
        prop_assert_eq!(&decode_all(&format, &[(body.to_vec(), 2)], &inferred).unwrap(), &batch);
        prop_assert_eq!(&decode_all(&format, &pieces(&format, body, &sizes), &inferred).unwrap(), &batch);
        if escape.is_none() {
            prop_assert_eq!(&decode_all(&format, &stitched(&format, body, &sizes), &inferred).unwrap(), &batch);
        }
    }

    #[test]
    fn the_tokenizer_is_the_slow_one(file in "[ab\",\r\n]{0,150}") {
        let options = text_only();
        let piece = Piece { bytes: file.as_bytes(), first_line: 1 };
        let layout = crate::formats::Layout { columns: vec!["c1".to_owned(), "c2".to_owned()] };
        let fields = layout.columns.iter().map(|name| Field::new(name, DataType::Utf8, true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let found = csv(options).decode(&piece, &layout, &schema).ok().map(|batch| rows(&batch));
        prop_assert_eq!(found, slowly(file.as_bytes(), ""));
    }

    #[test]
    fn cuts_do_not_matter(
        file in "([ab]{0,3}(,|\r|\n|\r\n|\"\"|\"[ab,\r\n]{0,4}\")){0,60}",
        sizes in prop::collection::vec(1_usize..100, 1..5),
    ) {
        let format = csv(text_only());
        let file = file.as_bytes();
        let Ok(inferred) = format.infer(file, Extent::Whole) else { return Ok(()) };
        // The types of a file may be known of which some records cannot be read.
        let Ok(whole) = decode_all(&format, &[(file.to_vec(), 1)], &inferred) else { return Ok(()) };
        for pieces in [pieces(&format, file, &sizes), stitched(&format, file, &sizes)] {
            prop_assert_eq!(&decode_all(&format, &pieces, &inferred).unwrap(), &whole);
            let mut offset = 0;
            for (bytes, line) in &pieces {
                let all = Piece { bytes: file, first_line: 1 };
                prop_assert_eq!(crate::formats::csv::decode::line(&all, offset), *line);
                offset += bytes.len();
            }
        }
    }

    #[test]
    fn no_bytes_panic(file: Vec<u8>, near in "[a0.\",\r\n-]{0,100}", sizes in prop::collection::vec(1_usize..100, 1..5)) {
        for file in [file.as_slice(), near.as_bytes()] {
            let escaped = CsvOptions { escape: Some(b'-'), ..bare() };
            for options in [CsvOptions::default(), bare(), CsvOptions { quote: None, ..bare() }, escaped] {
                let format = csv(options);
                let _ = format.infer(file, Extent::Head);
                let _ = read(&format, file);
                let joined: Vec<u8> = pieces(&format, file, &sizes).into_iter().flat_map(|(bytes, _)| bytes).collect();
                prop_assert_eq!(joined.as_slice(), file);
                let joined: Vec<u8> = stitched(&format, file, &sizes).into_iter().flat_map(|(bytes, _)| bytes).collect();
                prop_assert_eq!(joined.as_slice(), file);
            }
        }
    }
}

#[test]
fn a_limit_stops_the_tokenizer() {
    let Records { width, end, .. } = tokenize(b"a,b\r\nc,d\n", &bare(), (Width::First, Faulty::Refused), 1).unwrap();
    assert_eq!((width, end), (2, 4));
}

/// What is left of a file, and of what is left out the record or the texts, with the error.
type Sifted = (Vec<usize>, Vec<(String, String)>);

fn sifted(format: &Csv, file: &[u8], schema: &SchemaRef) -> Result<Sifted> {
    let start = format.start(file, Extent::Whole)?;
    let piece = Piece { bytes: &file[start.data_start..], first_line: start.line };
    let (batch, rejects) = format.sift(&piece, &start.layout.unwrap(), schema)?;
    let kept = batch.column(0).as_primitive::<Int32Type>().values().iter().map(|value| *value as usize).collect();
    let Some(rejects) = rejects else { return Ok((kept, Vec::new())) };
    let texts = rows(&rejects.rows);
    let told = rejects.records.into_iter().zip(rejects.errors).enumerate();
    let told = told.map(|(row, (record, error))| (record.unwrap_or_else(|| texts[row].join("|")), error.to_string()));
    Ok((kept, told.collect()))
}

#[test]
fn records_that_cannot_be_read_are_left_out() {
    let format = csv(cast("a", "int"));
    let field = |name: &str, sql_type: &str| parse_type(sql_type).unwrap().with_name(name);
    let schema = Arc::new(Schema::new(vec![field("a", "int"), field("b", "text"), field("c", "date")]));
    let file =
        b"a,b,c\r\n1,x,2024-01-02\r\n2\r\nthree,\"y\nz\",\r\n4,\xff,\r\n5,\"q\"q,\r\n6,p\"p,\r\n7,,2024-02-30\n\n\
                 eight,v,never\n9,,,\n10,ok,\n11,\"last";
    let (kept, told) = sifted(&format, file, &schema).unwrap();
    assert_eq!(kept, [1, 10]);
    let expected = [
        ("2", "line 3: the record has 1 field, expected 3"),
        ("three|y\nz|∅", "line 4: column a: the value is no int"),
        ("4|\u{fffd}|∅", "line 6: column b: the text is not UTF-8 from its byte 1 on"),
        ("5,\"q\"q,", "line 7: text follows the closing quote of a field"),
        ("6,p\"p,", "line 8: a quote stands within an unquoted field"),
        ("7|∅|2024-02-30", "line 9: column c: the value is no date"),
        ("eight|v|never", "line 11: column a: the value is no int"),
        ("9,,,", "line 12: the record has 4 fields, expected 3"),
        ("11,\"last", "line 14: a quote that opens a field here is never closed"),
    ];
    assert_eq!(told, expected.map(|(row, error)| (row.to_owned(), error.to_owned())));
    // Where a record that is spoiled ends is not certain when it has several lines.
    for file in ["a,b,c\n1,\"x\ny\"z,\n2,,\n", "a,b,c\n1,\"x,\n2,,\n"] {
        assert_eq!(sifted(&format, file.as_bytes(), &schema).unwrap_err().kind(), ErrorKind::Corrupt, "{file:?}");
    }
    assert_eq!(sifted(&format, b"a,b,c\n1,,\n", &schema).unwrap(), (vec![1], Vec::new()));
}

proptest! {
    #[test]
    fn what_is_left_is_what_is_read_without_the_rest(lines in prop::collection::vec("[1x],[a\"]{0,2}(,[b])?", 0..12)) {
        let format = csv(cast("a", "int"));
        let field = |name: &str, sql_type: &str| parse_type(sql_type).unwrap().with_name(name);
        let schema = Arc::new(Schema::new(vec![field("a", "int"), field("b", "text")]));
        let good = |line: &&String| {
            let file = format!("a,b\n{line}\n");
            let start = format.start(file.as_bytes(), Extent::Whole).unwrap();
            let piece = Piece { bytes: &file.as_bytes()[start.data_start..], first_line: 2 };
            format.decode(&piece, &start.layout.unwrap(), &schema).is_ok()
        };
        let file = format!("a,b\n{}\n", lines.join("\n"));
        // A quote that runs over a line end is no matter of one record.
        if let Ok((kept, told)) = sifted(&format, file.as_bytes(), &schema) {
            let balanced = lines.iter().all(|line| line.matches('"').count() % 2 == 0);
            prop_assert!(!balanced || kept.len() == lines.iter().filter(good).count(), "{file:?}: {told:?}");
        }
    }
}
