//! What lies between this program and the tables of PostgreSQL: a standby, a pooler, limits of time.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use arrow_etl::endpoint::ObjectRef;

use crate::postgres_read::{endpoint, ids, open, runtime, scan};
use crate::program::{copied, etl, refused};
use crate::server::own::Own;
use crate::server::{postgres, psql};

const TABLE: &str = "create table t as select i::int8 as id, repeat('x', 200) as pad from generate_series(1, 20000) i";

#[test]
fn a_standby_is_read_by_several_at_one_point_in_time() {
    let (folder, primary) = (tempfile::tempdir().unwrap(), Own::start());
    psql(&primary.url(), TABLE);
    let standby = primary.standby();
    assert_eq!(psql(&standby.url(), "select pg_is_in_recovery(), count(*) from t"), "t|20000");
    runtime().block_on(async {
        let open = open(&standby.url(), &ObjectRef::Table("t".into()), 2).await.unwrap();
        let scan = scan(&open.shape);
        let plan = open.plan(&scan, 64 * 1024, 2).await;
        assert!(plan.splits.len() > 1, "{:?}", plan.notes);
        assert!(plan.notes.iter().any(|note| note.contains("the server is a standby")), "{:?}", plan.notes);
        // The primary goes on, and its changes arrive.
        psql(&primary.url(), "delete from t where id % 2 = 0; insert into t values (0, 'new')");
        assert_eq!(ids(&open.read(&scan, &plan, 2).await.unwrap()), (1..=20_000).collect::<Vec<_>>());
        open.session.close().await.unwrap();
    });
    let rows = "gen:id:seq,pad:text(5..5)?rows=10";
    let said = refused(folder.path(), &[rows, &format!("{}#t", standby.url()), "--mode", "append"]);
    assert!(said.contains("during recovery"), "{said}");
    let (first, second) = (standby.port(), primary.port());
    let either =
        format!("postgres://postgres@127.0.0.1:{first},127.0.0.1:{second}/postgres?target_session_attrs=primary#t");
    copied(folder.path(), &[rows, &either, "--mode", "append"]);
    assert_eq!(psql(&primary.url(), "select count(*) from t where length(pad) = 5"), "10");
}

/// A pooler: it has logged in to its server before anybody asks.
struct Pooler {
    port: u16,
}

impl Pooler {
    fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ready: Vec<_> = (0..16).map(|_| logged_in(server)).collect();
        std::thread::spawn(move || {
            for (client, (server, greeting)) in listener.incoming().zip(ready) {
                let client = client.unwrap();
                std::thread::spawn(move || serve(client, server, &greeting));
            }
        });
        Self { port }
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }
}

/// A connection, and all that the server said until it was ready.
fn logged_in(server: u16) -> (TcpStream, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", server)).unwrap();
    let words = b"user\0postgres\0database\0postgres\0\0";
    let head = [(words.len() as u32 + 8).to_be_bytes(), 196_608_u32.to_be_bytes()];
    stream.write_all(&[&head.concat()[..], &words[..]].concat()).unwrap();
    let mut greeting = Vec::new();
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head).unwrap();
        let mut body = vec![0; u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4];
        stream.read_exact(&mut body).unwrap();
        greeting.extend([&head[..], &body[..]].concat());
        assert_ne!(head[0], b'E', "{}", String::from_utf8_lossy(&body));
        if head[0] == b'Z' {
            return (stream, greeting);
        }
    }
}

/// Greets a client as the server did, and then passes on what both say.
fn serve(mut client: TcpStream, mut server: TcpStream, greeting: &[u8]) {
    let mut length = [0; 4];
    client.read_exact(&mut length).unwrap();
    client.read_exact(&mut vec![0; u32::from_be_bytes(length) as usize - 4]).unwrap();
    client.write_all(greeting).unwrap();
    let (mut asked, mut answered) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let back = std::thread::spawn(move || {
        let _ = std::io::copy(&mut answered, &mut client);
        let _ = client.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut asked, &mut server);
    let _ = server.shutdown(Shutdown::Write);
    back.join().unwrap();
}

#[test]
fn a_pooler_is_noticed_and_passed() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Own::start());
    psql(&server.url(), TABLE);
    let pooler = Pooler::start(server.port());
    std::thread::sleep(Duration::from_secs(2));
    let is_said = |notes: &[String]| notes.iter().any(|note| note.contains("a connection pooler stands between"));
    runtime().block_on(async {
        for (url, pooled) in [(server.url(), false), (pooler.url(), true)] {
            assert_eq!(is_said(&endpoint(&url).ping().await.unwrap().missing), pooled, "{url}");
            let open = open(&url, &ObjectRef::Table("t".into()), 2).await.unwrap();
            let scan = scan(&open.shape);
            let plan = open.plan(&scan, 64 * 1024, 2).await;
            assert_eq!(is_said(&plan.notes), pooled, "{url}: {:?}", plan.notes);
            assert_eq!(ids(&open.read(&scan, &plan, 2).await.unwrap()).len(), 20_000);
            open.session.close().await.unwrap();
        }
    });
    copied(folder.path(), &["gen:id:seq?rows=10", &format!("{}#new", pooler.url())]);
    assert_eq!(psql(&server.url(), "select count(*) from new"), "10");
}

#[test]
fn no_limit_of_time_holds_but_that_of_the_user_and_who_is_gone_is_noticed() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let name = url.rsplit_once('/').unwrap().1;
    psql(&url, &format!("alter database {name} set statement_timeout = '1min'"));
    let set = |name| format!("current_setting('{name}')");
    let asked =
        ["tcp_keepalives_idle", "statement_timeout", "idle_in_transaction_session_timeout"].map(set).join("|| ' ' ||");
    let query = format!("select {asked} as said");
    let own = "?options=-c%20statement_timeout%3D5min%20-c%20idle-in-transaction-session-timeout%3D7min";
    for (options, said) in [("", "60 0 0"), (own, "60 5min 7min")] {
        let from = format!("{url}{options}");
        copied(folder.path(), &[&from, "said.csv", "--query", &query, "--mode", "replace"]);
        let found = std::fs::read_to_string(folder.path().join("said.csv")).unwrap();
        assert_eq!(found, format!("said\n{said}\n"));
    }
    let limited = format!("{url}?options=-c%20statement_timeout%3D500ms");
    let query = "select 1 as one from pg_sleep(60)";
    let ended = etl(folder.path(), &["copy", "-q", &limited, "one.csv", "--query", query, "--retry", "0"]);
    assert!(ended.code == 1 && ended.stderr.contains("statement timeout"), "{} {}", ended.code, ended.stderr);
}
