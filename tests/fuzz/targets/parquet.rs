#![no_main]

use arrow_etl_fuzz::formats::parquet::{File, GroupScan};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let bytes = Bytes::copy_from_slice(bytes);
    let Ok(file) = File::open(&bytes) else { return };
    for group in 0..file.groups().min(4) {
        let scan = GroupScan {
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
});
