//! What each target does with bytes. The crate's own tests include this file, too, and replay the seeds with it.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::TimeUnit;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use serde_json::json;

use super::error::{Error, ErrorKind, Result};
use super::formats::charset::Charset;
use super::formats::compress::{self, Compression, Packer};
use super::formats::csv::{Csv, CsvOptions};
use super::formats::extension::Format;
use super::formats::json::JsonLines;
use super::formats::loose::{Escape, Loose, LooseOptions, Records};
use super::formats::split::{RecordStart, stitch};
use super::formats::value::time::Zone;
use super::formats::value::{Pattern, parse_type};
use super::formats::{Extent, Inferred, Piece, RecordFormat, Typing, avro, ipc, parquet, workbook};
use super::job::Place;
use super::job::dialect::DIALECTS;
use super::job::dialect::go_etl::wizard;
use super::job::locator::{self, Lookup};
use super::job::native::{self, Places};
use super::job::syntax::{self, Syntax};
use super::job::tree::Tree;
use super::job::vars::Variables;
use super::object::ObjectRef;
use super::sqlparser::dialect::GenericDialect;
use super::sqlparser::parser::Parser;
use super::state::StateRecord;

/// What is done with bytes: it may refuse them, and never panics.
pub type Target = fn(&[u8]);

/// Every target but those of PostgreSQL's COPY and MySQL's rows, by name.
pub const TARGETS: [(&str, Target); 16] = [
    ("csv", csv),
    ("loose", loose),
    ("json", json),
    ("parquet", parquet),
    ("avro", avro),
    ("ipc", ipc),
    ("workbook", workbook),
    ("charset", charset),
    ("compress", compress),
    ("values", values),
    ("dates", dates),
    ("job", job),
    ("dialect", dialect),
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

/// Encodings that differ in how they are read.
const CHARSETS: [&str; 12] = [
    "utf-8",
    "utf-16",
    "latin1",
    "ascii",
    "gbk",
    "gb18030",
    "big5",
    "shift_jis",
    "euc-jp",
    "euc-kr",
    "iso-2022-jp",
    "windows-1252",
];

/// The nanoseconds of a day.
const DAY_NANOS: i64 = 86_400_000_000_000;

/// Readers of go-etl that have connections.
const READERS: [&str; 7] =
    ["mysqlreader", "postgresreader", "db2reader", "oraclereader", "sqlserverreader", "sqlite3reader", "dmreader"];

/// Readers of DataX that have them.
const JDBC_READERS: [&str; 5] = ["mysqlreader", "postgresqlreader", "sqlserverreader", "oraclereader", "rdbmsreader"];

/// A CSV file, also with escapes and comments: its pieces hold the same rows as the whole.
pub fn csv(bytes: &[u8]) {
    let format = Csv::new(CsvOptions::default()).expect("the defaults are valid");
    cut_and_whole(&format, bytes);
    let escaped =
        CsvOptions { header: false, escape: Some(b'\\'), comment: Some(b'#'), trim: true, ..CsvOptions::default() };
    fed_and_whole(&Csv::new(escaped).expect("the options are valid"), bytes);
}

/// Loose text, of which the first byte says how it is read: its pieces hold the same rows as the whole.
pub fn loose(bytes: &[u8]) {
    let Some((choice, text)) = bytes.split_first() else { return };
    let is_set = |bit: u32| *choice & (1_u8 << bit) != 0;
    let options = LooseOptions {
        quote: if is_set(0) { String::new() } else { "\"".to_owned() },
        escape: if is_set(1) { Escape::Backslash } else { Escape::Doubled },
        line_end: is_set(2).then(|| ";".to_owned()),
        comment: if is_set(3) { "#".to_owned() } else { String::new() },
        records: if is_set(4) { Records::Ragged } else { Records::Even },
        trim: !is_set(5),
        keep_blank_lines: is_set(6),
        skip_lines: usize::from(is_set(7)),
        ..LooseOptions::default()
    };
    fed_and_whole(&Loose::new(&options).expect("the options are valid"), text);
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

/// A workbook of each kind.
pub fn workbook(bytes: &[u8]) {
    let options = workbook::Options {
        sheet: None,
        area: workbook::Area::default(),
        header: true,
        null: None,
        typing: Typing::default(),
    };
    for format in [Format::Xlsx, Format::Xls, Format::Ods] {
        let Ok(sheet) = workbook::read(Cursor::new(bytes), (format, bytes.len() as u64), &options) else { continue };
        if let Ok(schema) = sheet.schema() {
            let _ = sheet.decode(0..sheet.rows(), &schema);
        }
    }
}

/// The number of an encoding, and bytes of it: they are the same text however they are handed out, and where it is encoded, it is
/// the same when it is read again.
pub fn charset(bytes: &[u8]) {
    let Some((choice, raw)) = bytes.split_first() else { return };
    let name = CHARSETS[usize::from(*choice) % CHARSETS.len()];
    let charset = Charset::parse(name).expect("the names are known").of_head(raw);
    let read = |inner: Box<dyn Read + Send>| {
        let mut text = Vec::new();
        charset.reader(inner).read_to_end(&mut text).ok().map(|_| text)
    };
    let whole = read(Box::new(Cursor::new(raw.to_vec())));
    assert_eq!(whole, read(Box::new(Drops(Cursor::new(raw.to_vec())))));
    let Some(text) = whole else { return };
    if let Ok(encoded) = charset.encode(text.clone()) {
        assert_eq!(read(Box::new(Cursor::new(encoded))), Some(text));
    }
}

/// Bytes as a file of Hadoop's snappy or of zip; and bytes that are packed so are the same when they are read again.
pub fn compress(bytes: &[u8]) {
    let Some((choice, raw)) = bytes.split_first() else { return };
    let compression = if *choice & 1 == 0 { Compression::HadoopSnappy } else { Compression::Zip };
    let read = |file: Vec<u8>| -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        let mut reader = compress::reader(compression, Cursor::new(file))?;
        reader.read_to_end(&mut plain).map_err(compress::damage)?;
        Ok(plain)
    };
    let _ = read(raw.to_vec());
    let mut packer = Packer::new(compression, None, "a");
    let mut file = packer.start();
    let piece = packer.pack(raw.to_vec()).expect("any bytes can be packed");
    file.extend(packer.add(piece));
    file.extend(packer.end());
    assert_eq!(read(file).expect("what was packed can be read"), raw);
}

/// A form of dates in the first line, and a text behind it: what is read so and printed is the same moment, if it is read again.
pub fn dates(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).ok();
    let Some((form, text)) = text.and_then(|text| text.split_once('\n')) else { return };
    let read = |pattern: &Pattern, text: &[u8]| pattern.timestamp(text, TimeUnit::Nanosecond, Zone::Zoned);
    let printed = |pattern: &Pattern, nanos: i64| {
        let mut out = Vec::new();
        pattern.print(nanos.div_euclid(DAY_NANOS), nanos.rem_euclid(DAY_NANOS) as u64, &mut out);
        out
    };
    if let Ok(lenient) = Pattern::lenient(form)
        && let Some(nanos) = read(&lenient, text.as_bytes())
    {
        let _ = read(&lenient, &printed(&lenient, nanos));
    }
    let Ok(exact) = Pattern::parse(form) else { return };
    let Some(nanos) = read(&exact, text.as_bytes()) else { return };
    if exact.holds(nanos.div_euclid(DAY_NANOS), nanos.rem_euclid(DAY_NANOS) as u64) {
        let again = read(&exact, &printed(&exact, nanos));
        assert!(again.is_none_or(|again| again == nanos), "{nanos} became {again:?}");
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
            let _ = native::settle(&tree, &World, &variables);
            let _ = variables.in_value(tree.root().json(), &tree.root());
        }
    }
}

/// A text as a job file of each other program, as a connection of go-etl and of DataX, and as the pairs of the wizard: nothing that is
/// said shows the password beside a connection.
pub fn dialect(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = wizard::pairs(text);
    if let Ok(parsed) = syntax::parse(text, Syntax::Json) {
        let tree = parsed.into_tree();
        for dialect in DIALECTS {
            let _ = (dialect.recognizes)(tree.root().json());
            let _ = (dialect.translate)(&tree);
        }
    }
    if text.contains(PASSWORD) {
        return;
    }
    let connection = json!({"url": text, "table": {"db": "shop", "name": "orders"}});
    let writer = json!({"name": "csvwriter", "parameter": {"path": ["a.csv"]}});
    let of_go_etl = READERS.map(|name| (name, &connection, &writer));
    let connections = json!([{"jdbcUrl": [text], "table": ["orders"]}]);
    let writer = json!({"name": "txtfilewriter", "parameter": {"path": "out", "fileName": "a", "writeMode": "append"}});
    let of_datax = JDBC_READERS.map(|name| (name, &connections, &writer));
    for (name, connection, writer) in of_go_etl.into_iter().chain(of_datax) {
        let reader = json!({"username": "ada", "password": PASSWORD, "connection": connection, "column": ["*"]});
        let content = json!([{"reader": {"name": name, "parameter": reader}, "writer": writer}]);
        let job = json!({"job": {"setting": {"speed": {"channel": 1}}, "content": content}});
        let tree = Tree::new(job, HashMap::new());
        for dialect in DIALECTS {
            let said = match (dialect.translate)(&tree) {
                Ok(translation) => translation.notes.join("\n"),
                Err(error) => format!("{error:?}"),
            };
            assert!(!said.contains(PASSWORD), "a password is shown");
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

impl Places for World {
    fn locate(&self, locator: &str) -> Result<Place> {
        locator::parse(locator, self)?.place(ObjectRef::Whole, self)
    }
    fn connector(&self, name: &str) -> Result<&'static str> {
        Lookup::connector(self, name).ok_or_else(|| Error::new(ErrorKind::Usage, "there is no such connector"))
    }
    fn is_whole(&self, connector: &str) -> bool {
        connector == locator::FILE
    }
    fn check(&self, _place: &Place) -> Result<()> {
        Ok(())
    }
}

/// Gives a few bytes at a time.
struct Drops(Cursor<Vec<u8>>);

impl Read for Drops {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(CHUNK_BYTES);
        self.0.read(&mut buffer[..most])
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
    same(whole, pieces(format, body, &inferred));
}

/// Reads `bytes` as a whole file and between the record ends that the scanner finds: both give the same rows or both fail.
fn fed_and_whole(format: &dyn RecordFormat, bytes: &[u8]) {
    let Ok(inferred) = format.infer(bytes, Extent::Whole) else { return };
    let start = &inferred.start;
    let body = &bytes[start.data_start.min(bytes.len())..];
    if body.is_empty() {
        return;
    }
    let decode =
        |bytes: &[u8], first_line: u64| format.decode(&Piece { bytes, first_line }, &inferred.layout, &inferred.schema);
    let (mut scanner, mut batches) = (format.scanner(), Vec::new());
    let (mut from, mut known, mut line) = (0, 0, start.line);
    for chunk in body.chunks(CHUNK_BYTES) {
        if let Some(end) = scanner.feed(chunk) {
            let to = known + end.offset;
            batches.push(decode(&body[from..to], line));
            (from, line) = (to, line + end.lines);
        }
        known += chunk.len();
    }
    batches.push(decode(&body[from..], line));
    let batches = batches.into_iter().collect::<Result<Vec<_>>>();
    same(decode(body, start.line), batches.and_then(|batches| Ok(concat_batches(&inferred.schema, &batches)?)));
}

fn same(whole: Result<RecordBatch>, pieces: Result<RecordBatch>) {
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
