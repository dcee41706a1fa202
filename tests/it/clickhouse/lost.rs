//! An answer that is lost: the server has taken the block, and nobody hears of it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::table;
use crate::program::copied;
use crate::server::{clickhouse, clickhouse_client};

/// Passes bytes on as long as `goes_on` says so, then ends both connections.
fn pass(mut from: TcpStream, mut to: TcpStream, mut goes_on: impl FnMut(&[u8]) -> bool) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if !goes_on(&bytes[..count]) || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// The locator of `url` behind a relay that ends a connection in place of the first answer to a block, and whether it has.
fn losing_one_answer(url: &str) -> (String, Arc<AtomicBool>) {
    let (before, rest) = url.split_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let behind = format!("{before}@{}/{database}", listener.local_addr().unwrap());
    let (server, lost) = (server.to_owned(), Arc::<AtomicBool>::default());
    let has_lost = Arc::clone(&lost);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
            let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let (begun, lost) = (Arc::<AtomicBool>::default(), Arc::clone(&lost));
            let is_begun = Arc::clone(&begun);
            // Only a block has its statement in the address.
            let asked = move |bytes: &[u8]| {
                let inserts = bytes.windows(12).any(|part| part == b"query=INSERT");
                begun.fetch_or(inserts, Ordering::SeqCst);
                true
            };
            let answered = move |_: &[u8]| !is_begun.load(Ordering::SeqCst) || lost.swap(true, Ordering::SeqCst);
            std::thread::spawn(move || pass(client, server, asked));
            std::thread::spawn(move || pass(back.0, back.1, answered));
        }
    });
    (behind, has_lost)
}

#[test]
fn a_block_that_is_sent_again_counts_once() {
    let (url, folder) = (clickhouse(), tempfile::tempdir().unwrap());
    let (behind, lost) = losing_one_answer(&url);
    let source = "gen:id:seq,note:text(10..30)?rows=20000";
    copied(folder.path(), &[source, &table(&behind, "t"), "-j", "1"]);
    assert!(lost.load(Ordering::SeqCst), "no answer was lost");
    assert_eq!(clickhouse_client(&url, "select count(), uniqExact(id) from t"), "20000\t20000");
}
