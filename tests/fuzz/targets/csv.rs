#![no_main]

use arrow_etl_fuzz::formats::csv::{Csv, CsvOptions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let format = Csv::new(CsvOptions::default()).expect("the defaults are valid");
    arrow_etl_fuzz::cut_and_whole(&format, bytes);
});
