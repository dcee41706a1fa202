#![no_main]

use arrow_etl_fuzz::formats::json::JsonLines;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| arrow_etl_fuzz::cut_and_whole(&JsonLines::default(), bytes));
