#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| arrow_etl_fuzz::targets::dialect(bytes));
