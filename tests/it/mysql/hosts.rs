//! Several hosts: the one that answers first serves all of a copy, whoever is up meanwhile.

use std::io::Write as _;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{databases, table};
use crate::program::copied;
use crate::server::mariadb_client;
use crate::server::own::free_port;

/// Two addresses of one server, of which the first is dead until somebody has come to the second.
struct Addresses {
    url: String,
    first: Arc<AtomicUsize>,
    second: Arc<AtomicUsize>,
}

impl Addresses {
    /// Of the server at `url`: `mysql://user@host:port/database`.
    fn of(url: &str) -> Self {
        let (before, rest) = url.split_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let (dead, live) = (free_port(), TcpListener::bind("127.0.0.1:0").unwrap());
        let other = live.local_addr().unwrap().port();
        let url = format!("{before}@127.0.0.1,127.0.0.1:{dead},{other}/{database}");
        let (first, second) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (server, risen) = (server.to_owned(), Arc::clone(&first));
        let rise = {
            let server = server.clone();
            move || relay(TcpListener::bind((Ipv4Addr::LOCALHOST, dead)).unwrap(), server, risen, || {})
        };
        relay(live, server, Arc::clone(&second), rise);
        Self { url, first, second }
    }

    /// How many connections each of them has had.
    fn used(&self) -> (usize, usize) {
        (self.first.load(Ordering::SeqCst), self.second.load(Ordering::SeqCst))
    }
}

/// Passes connections on to `server` until the test's process ends, and counts them. `once` runs before the first is served.
fn relay(listener: TcpListener, server: String, count: Arc<AtomicUsize>, once: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        let mut once = Some(once);
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
            count.fetch_add(1, Ordering::SeqCst);
            if let Some(once) = once.take() {
                once();
            }
            let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            for (from, to) in [(client, server), back] {
                std::thread::spawn(move || pass(from, to));
            }
        }
    });
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.flush();
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
fn all_connections_go_to_the_host_that_answered_first() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        mariadb_client(
            &url,
            "create table t (id int primary key, v int); insert into t values (1, 10), (2, 20), (3, 30)",
        );
        let from = Addresses::of(&url);
        copied(folder.path(), &[&table(&from.url, "t"), "t.csv", "-j", "4"]);
        assert_eq!(std::fs::read_to_string(folder.path().join("t.csv")).unwrap(), "id,v\n1,10\n2,20\n3,30\n", "{url}");
        let (first, second) = from.used();
        assert!(first == 0 && second > 2, "{url}: {first} and {second} connections");
        // The target, too: what one task has staged the commit has to find.
        let to = Addresses::of(&url);
        copied(folder.path(), &["gen:id:seq?rows=50000", &table(&to.url, "made"), "-j", "2"]);
        assert_eq!(mariadb_client(&url, "select count(*), sum(id) from made"), "50000\t1250025000", "{url}");
        let (first, second) = to.used();
        assert!(first == 0 && second >= 2, "{url}: {first} and {second} connections");
    }
}
