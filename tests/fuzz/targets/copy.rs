#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| arrow_etl_fuzz::postgres::decode_all(input.1, usize::from(input.0)));
