#![no_main]

use std::sync::Arc;

use arrow_etl_fuzz::formats::csv::{Csv, CsvOptions};
use arrow_etl_fuzz::formats::value::parse_type;
use arrow_etl_fuzz::formats::{Extent, Piece, RecordFormat, Typing};
use libfuzzer_sys::fuzz_target;

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

// A text that is taken as a value and printed gives the same value when it is read again.
fuzz_target!(|input: (u8, &str)| {
    let field = parse_type(TYPES[usize::from(input.0) % TYPES.len()]).expect("the types are known").with_name("c");
    let typing = Typing { all_strings: false, casts: vec![Arc::new(field)] };
    let format = Csv::new(CsvOptions { typing, ..CsvOptions::default() }).expect("the options are valid");
    let file = format!("c\n\"{}\"\n", input.1.replace('"', "\"\""));
    let Ok(inferred) = format.infer(file.as_bytes(), Extent::Whole) else { return };
    let body = &file.as_bytes()[inferred.start.data_start..];
    let decode = |bytes: &[u8]| format.decode(&Piece { bytes, first_line: 2 }, &inferred.layout, &inferred.schema);
    let Ok(batch) = decode(body) else { return };
    let mut printed = Vec::new();
    format.encode(&batch, &mut printed).expect("what was parsed has a text form");
    assert_eq!(decode(&printed).expect("what was printed is taken"), batch);
});
