#![no_main]

use std::io::Cursor;

use arrow_etl_fuzz::formats::ipc::{File, Stream};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let owned = Bytes::copy_from_slice(bytes);
    if let Ok(file) = File::open(&owned) {
        let schema = file.schema().clone();
        if let Ok(decoder) = file.decoder(&owned, &schema) {
            for index in 0..file.batch_bytes().count().min(8) {
                let _ = file.batch(&owned, index).and_then(|fetched| decoder.decode(&fetched));
            }
        }
    }
    if let Ok(mut stream) = Stream::open(Box::new(Cursor::new(owned))) {
        let schema = stream.schema().clone();
        while let Ok(Some(_)) = stream.next_batch(&schema) {}
    }
});
