//! What each target does with bytes. The crate's own tests include this file, too, and replay the seeds with it.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;

use super::error::Result;
use super::formats::csv::{Csv, CsvOptions};
use super::formats::json::JsonLines;
use super::formats::split::{RecordStart, stitch};
use super::formats::value::parse_type;
use super::formats::{Extent, Inferred, Piece, RecordFormat, Typing, avro, ipc, parquet};
use super::job::locator::{self, Lookup};
use super::job::syntax::{self, Syntax};
use super::job::vars::Variables;
use super::object::ObjectRef;
use super::sqlparser::dialect::GenericDialect;
use super::sqlparser::parser::Parser;
use super::state::StateRecord;

/// What is done with bytes: it may refuse them, and never panics.
pub type Target = fn(&[u8]);

/// Every target but those of PostgreSQL's COPY and MySQL's rows, by name.
pub const TARGETS: [(&str, Target); 10] = [
    ("csv", csv),
    ("json", json),
    ("parquet", parquet),
    ("avro", avro),
    ("ipc", ipc),
    ("values", values),
    ("job", job),
    ("locator", locator),
    ("expression", expression),
    ("state", state),
];

/// Small chunks, so that cuts fall everywhere.
const CHUNK_BYTES: usize = 7;

/// How deep an expression may be nested: as deep as DataFusion lets it be.
const EXPRESSION_DEPTH: usize = 50;

/// A password that stands nowhere else.
const PASSWORD: &str = "Xq7_pAsSwOrD";

const TYPES: [&str; 14] = [
    "smallint",
    "int",
    "bigint",
    "decimal(12,2)",
    "decimal(50,10)",
    "real",
    "double",
    "boolean",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "interval",
    "bytea",
];

/// A CSV file: its pieces hold the same rows as the whole.
pub fn csv(bytes: &[u8]) {
    let format = Csv::new(CsvOptions::default()).expect("the defaults are valid");
    cut_and_whole(&format, bytes);
}

/// A file of JSON lines: its pieces hold the same rows as the whole.
pub fn json(bytes: &[u8]) {
    cut_and_whole(&JsonLines::default(), bytes);
}

/// A Parquet file.
pub fn parquet(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    let Ok(file) = parquet::File::open(&bytes) else { return };
    for group in 0..file.groups().min(4) {
        let scan = parquet::GroupScan {
            group,
            schema: file.schema().clone(),
            batch_rows: 100,
            batch_bytes: 1 << 16,
            limit: None,
            threads: 1,
        };
        let Ok(mut reader) = file.read(&bytes, &scan) else { continue };
        while let Ok(Some(_)) = reader.next_batch() {}
    }
}

/// An Avro file: what is read of it can be written, and is then the same.
pub fn avro(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    let Ok(file) = avro::File::open(&bytes) else { return };
    let schema = file.schema().clone();
    let Ok(batches) = avro_batches(&file, &bytes, 8) else { return };
    let settings = avro::Settings { codec: avro::Codec::None, level: None, sync: [7; 16] };
    for old in [None, Some(&file)] {
        let Ok(mut encoder) = avro::Encoder::new(&schema, &settings, old) else { continue };
        encoder.encode(&batches).expect("what was read has its type");
        encoder.finish().expect("what was encoded makes a block");
        let again = Bytes::from(encoder.take());
        let file = avro::File::open(&again).expect("what was written can be read");
        assert_eq!(file.schema(), &schema);
        let read = avro_batches(&file, &again, usize::MAX).expect("what was written can be read");
        let whole = |batches: &[RecordBatch]| concat_batches(&schema, batches).expect("they have one schema");
        assert_eq!(format!("{:?}", whole(&read)), format!("{:?}", whole(&batches)));
    }
}

/// The first batches of an Avro file.
fn avro_batches(file: &avro::File, bytes: &Bytes, most: usize) -> Result<Vec<RecordBatch>> {
    let wanted = avro::Wanted { schema: file.schema().clone(), batch_rows: 100, batch_bytes: 1 << 16 };
    let mut batches = Vec::new();
    for segment in file.segments() {
        let mut reader = file.read(file.fetch(bytes, segment)?, &wanted)?;
        while batches.len() < most {
            let Some(batch) = reader.next_batch()? else { break };
            batches.push(batch);
        }
    }
    Ok(batches)
}

/// An Arrow file, and an Arrow stream.
pub fn ipc(bytes: &[u8]) {
    let owned = Bytes::copy_from_slice(bytes);
    if let Ok(file) = ipc::File::open(&owned) {
        let schema = file.schema().clone();
        if let Ok(decoder) = file.decoder(&owned, &schema) {
            for index in 0..file.batch_bytes().count().min(8) {
                let _ = file.batch(&owned, index).and_then(|fetched| decoder.decode(&fetched));
            }
        }
    }
    if let Ok(mut stream) = ipc::Stream::open(Box::new(Cursor::new(owned))) {
        let schema = stream.schema().clone();
        while let Ok(Some(_)) = stream.next_batch(&schema) {}
    }
}

/// The number of a type, and a text: where it is a value of the type and is printed, it is the same value when it is read
/// again.
pub fn values(bytes: &[u8]) {
    let Some((kind, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let field = parse_type(TYPES[usize::from(*kind) % TYPES.len()]).expect("the types are known").with_name("c");
    let typing = Typing { all_strings: false, casts: vec![Arc::new(field)], ..Typing::default() };
    let format = Csv::new(CsvOptions { typing, ..CsvOptions::default() }).expect("the options are valid");
    let file = format!("c\n\"{}\"\n", text.replace('"', "\"\""));
    let Ok(inferred) = format.infer(file.as_bytes(), Extent::Whole) else { return };
    let body = &file.as_bytes()[inferred.start.data_start..];
    let decode = |bytes: &[u8]| format.decode(&Piece { bytes, first_line: 2 }, &inferred.layout, &inferred.schema);
    let Ok(batch) = decode(body) else { return };
    let mut printed = Vec::new();
    format.encode(&batch, &mut printed).expect("what was parsed has a text form");
    assert_eq!(decode(&printed).expect("what was printed is taken"), batch);
}

/// A locator, alone and behind a login: no message shows its password, and what is shown is a locator again.
pub fn locator(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(parsed) = locator::parse(text, &World) {
        let label = parsed.label();
        assert_eq!(locator::mask(&label), locator::mask(&locator::mask(&label)));
        if let Ok(place) = parsed.place(ObjectRef::Whole, &World) {
            assert_eq!(place.connector, parsed.connector());
        }
        let _ = locator::default_table(&parsed, &ObjectRef::Whole, &World);
    }
    if text.contains(PASSWORD) {
        // It stands where it is none.
        return;
    }
    for login in [format!("postgres://ada:{PASSWORD}@{text}"), format!("pg://{text}?password={PASSWORD}")] {
        match locator::parse(&login, &World) {
            Ok(parsed) => {
                let shown = format!("{} {parsed:?}", parsed.label());
                // Behind a `#` an object is named, and in a word without a login there is none to hide.
                let named = parsed.object().is_some_and(|object| object.contains(PASSWORD));
                assert!(named || !shown.contains(PASSWORD), "a password is shown");
            }
            Err(error) => assert!(!format!("{error:?}").contains(PASSWORD), "a message shows a password"),
        }
    }
}

/// The text of a job file in each syntax, with its variables replaced: what is read of it can be written as JSON, and is then the
/// same.
pub fn job(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let variables = Variables::of(text, &|_| None).variables;
    let replaced = variables.in_text(text).unwrap_or_default();
    for text in [text, &replaced] {
        for syntax in [Syntax::Json, Syntax::Yaml, Syntax::Toml] {
            let Ok(parsed) = syntax::parse(text, syntax) else { continue };
            let again = syntax::parse(&parsed.root.to_string(), Syntax::Json).expect("JSON is lenient JSON");
            assert_eq!(again.root.to_string(), parsed.root.to_string());
            let tree = parsed.into_tree();
            let _ = variables.in_value(tree.root().json(), &tree.root());
        }
    }
}

/// An expression as `--where` and `--set` have it, and a type as `--cast` has it.
pub fn expression(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let parser = Parser::new(&GenericDialect {}).with_recursion_limit(EXPRESSION_DEPTH);
    if let Ok(expression) = parser.try_with_sql(text).and_then(|mut parser| parser.parse_expr_with_alias()) {
        let _ = expression.to_string();
    }
    if let Ok(field) = parse_type(text) {
        let _ = format!("{field:?}");
    }
}

/// A record of the state log, and one with an Arrow schema of these bytes: what is read and written is the same when it is
/// read again.
pub fn state(bytes: &[u8]) {
    let schema = format!(
        r#"{{"record":"planned","transfer":0,"splits":[],"agreements":[{{"label":"t","target":"{}","columns":[],"ddl":[],
        "writers":"any","publish":"atOnce","guarantee":"exactlyOnce","taskBytes":null,"notes":[],"detail":null}}]}}"#,
        BASE64_STANDARD.encode(bytes)
    );
    for json in [bytes, schema.as_bytes()] {
        let Ok(record) = serde_json::from_slice::<StateRecord>(json) else { continue };
        let written = serde_json::to_string(&record).expect("a record can be written");
        let again: StateRecord = serde_json::from_str(&written).expect("what was written is a record");
        assert_eq!(serde_json::to_string(&again).expect("a record can be written"), written);
    }
}

/// A world with one variable, one file, and a connector of each kind.
struct World;

impl Lookup for World {
    fn connector(&self, scheme: &str) -> Option<&'static str> {
        match scheme {
            "file" => Some(locator::FILE),
            "sqlite" | "sqlite3" => Some(locator::SQLITE),
            "postgres" | "postgresql" | "pg" => Some("postgres"),
            "gen" => Some("gen"),
            _ => None,
        }
    }
    fn schemes(&self) -> Vec<&'static str> {
        vec!["file", "sqlite", "postgres", "gen"]
    }
    fn exists(&self, path: &str) -> bool {
        path == "there.csv"
    }
    fn variable(&self, name: &str) -> Option<String> {
        (name == "A").then(|| "postgres://b".to_owned())
    }
    fn is_extension(&self, word: &str) -> bool {
        matches!(word, "csv" | "gz" | "parquet")
    }
}

/// Reads `bytes` as a whole file and, where the format allows it, in pieces: both give the same rows or both fail.
fn cut_and_whole(format: &dyn RecordFormat, bytes: &[u8]) {
    let Ok(inferred) = format.infer(bytes, Extent::Whole) else { return };
    let start = &inferred.start;
    let body = &bytes[start.data_start.min(bytes.len())..];
    let whole = format.decode(&Piece { bytes: body, first_line: start.line }, &inferred.layout, &inferred.schema);
    if !start.splittable || body.is_empty() {
        return;
    }
    let pieces = pieces(format, body, &inferred);
    match (whole, pieces) {
        (Ok(whole), Ok(pieces)) => assert_eq!(whole, pieces),
        (Err(_), Err(_)) => {}
        (whole, pieces) => panic!("whole: {:?}, in pieces: {:?}", whole.map(drop), pieces.map(drop)),
    }
}

fn pieces(format: &dyn RecordFormat, body: &[u8], inferred: &Inferred) -> Result<RecordBatch> {
    let chunks: Vec<_> = body.chunks(CHUNK_BYTES).map(|chunk| format.scan_chunk(chunk)).collect();
    let starts = stitch(RecordStart { offset: 0, line: inferred.start.line }, &chunks);
    let ends = starts.iter().skip(1).map(|next| next.offset as usize).chain([body.len()]);
    let mut batches = Vec::new();
    for (start, end) in starts.iter().zip(ends) {
        let piece = Piece { bytes: &body[start.offset as usize..end], first_line: start.line };
        batches.push(format.decode(&piece, &inferred.layout, &inferred.schema)?);
    }
    Ok(concat_batches(&inferred.schema, &batches)?)
}
