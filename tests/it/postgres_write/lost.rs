//! The answer to a COMMIT is lost: the marker decides, and where nobody can be asked this is said.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use arrow_etl::error::ErrorKind;
use arrow_etl::sink::{Progress, Tasks, Visible, WriteMode, WriteRequest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::prepared::prepared;
use super::{LEFT, batch, request, shape, sink, task, token, upsert};
use crate::server::{postgres, psql};

const PREPARED: &str = "select count(*) from pg_prepared_xacts where database = current_database()";

/// What is lost with the next COMMIT.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
enum Lost {
    Nothing,
    /// The server commits; its answer does not arrive.
    Answer,
    /// The server never hears of it.
    Request,
    /// As `Answer`, and from then on nobody can connect.
    Server,
}

/// A server in between that loses what it is told to.
struct Between {
    url: String,
    lost: Arc<AtomicU8>,
}

impl Between {
    async fn start(url: &str) -> Self {
        let server = url.split(['@', '/']).find(|part| part.contains(':') && !part.starts_with("postgres")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url.replace(server, &listener.local_addr().unwrap().to_string());
        let lost = Arc::new(AtomicU8::new(Lost::Nothing as u8));
        let (down, mut is_down) = watch::channel(false);
        let (told, server) = (Arc::clone(&lost), server.to_owned());
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    _ = is_down.changed() => return,
                    accepted = listener.accept() => {
                        let server = TcpStream::connect(&server).await.unwrap();
                        connections.spawn(pass(accepted.unwrap().0, server, Arc::clone(&told), down.clone()));
                    }
                }
            }
        });
        Self { url, lost }
    }

    fn lose(&self, lost: Lost) {
        self.lost.store(lost as u8, Ordering::SeqCst);
    }
}

async fn pass(mut client: TcpStream, mut server: TcpStream, lost: Arc<AtomicU8>, down: watch::Sender<bool>) {
    let (mut up, mut back) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(count @ 1..) = read else { return };
                let sent = &up[..count];
                let told = lost.load(Ordering::SeqCst);
                if told != Lost::Nothing as u8 && sent.windows(7).any(|bytes| bytes == b"COMMIT\0") {
                    lost.store(Lost::Nothing as u8, Ordering::SeqCst);
                    if told != Lost::Request as u8 {
                        server.write_all(sent).await.unwrap();
                        // The answer is here, so it is committed; nobody gets it.
                        assert!(server.read(&mut back).await.unwrap() > 0);
                    }
                    if told == Lost::Server as u8 {
                        down.send(true).unwrap();
                    }
                    return;
                }
                if server.write_all(sent).await.is_err() { return }
            }
            read = server.read(&mut back) => {
                let Ok(count @ 1..) = read else { return };
                if client.write_all(&back[..count]).await.is_err() { return }
            }
        }
    }
}

/// The ways of the rows into the target.
fn ways() -> [WriteRequest; 8] {
    [
        request(WriteMode::Append, Tasks::One),
        request(WriteMode::Append, Tasks::Many),
        prepared(),
        request(WriteMode::Create, Tasks::One),
        request(WriteMode::Create, Tasks::Many),
        request(WriteMode::Replace, Tasks::Many),
        request(upsert(), Tasks::One),
        request(upsert(), Tasks::Many),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_found_by_its_marker() {
    for request in ways() {
        for lost in [Lost::Answer, Lost::Request, Lost::Server] {
            let (mode, visible) = (request.mode.clone(), request.visible);
            let case = format!("{mode:?} {:?} {visible:?} {lost:?}", request.tasks);
            let url = postgres();
            let created = mode == WriteMode::Create;
            if !created {
                psql(&url, "create table t (id int, name text); insert into t values (0, 'old')");
            }
            let between = Between::start(&url).await;
            let rows = batch(&[(1, Some("one")), (2, None)]);
            let sink = sink(&between.url, "t");
            let agreement = sink.agree(&shape(&rows), &request).await.unwrap();
            let token = token();
            sink.prepare(&agreement, &token).await.unwrap();
            let receipt = task(&*sink, &agreement, &token, (0, &rows)).await.unwrap();
            between.lose(lost);
            let committed = sink.commit(&agreement, &token, &[receipt]).await;
            let aborted = sink.abort(&agreement, &token).await;
            let is_unfinished = (visible, lost) == (Visible::Prepared, Lost::Server);
            // Who goes on with the run has to find it.
            assert_eq!(aborted.is_err(), is_unfinished, "{case}: {aborted:?}");
            if is_unfinished {
                // It is decided; whoever can reach the server carries it out.
                assert_eq!((psql(&url, "select * from t"), psql(&url, PREPARED)), ("0|old".to_owned(), "1".to_owned()));
                let progress = super::sink(&url, "t").progress(&agreement, &token, &[]).await.unwrap();
                assert_eq!(progress, Progress::Committed, "{case}");
            }
            assert_eq!(psql(&url, PREPARED), "0", "{case}");
            if lost == Lost::Request {
                assert_eq!(committed.unwrap_err().kind(), ErrorKind::Connection, "{case}");
                let there = psql(&url, "select count(*) from pg_class where relname = 't'");
                assert_eq!(there, if created { "0" } else { "1" }, "{case}");
                if !created {
                    assert_eq!(psql(&url, "select * from t"), "0|old", "{case}");
                }
                assert_eq!(psql(&url, LEFT), "", "{case}");
                continue;
            }
            let expected =
                if matches!(mode, WriteMode::Append | WriteMode::Upsert(_)) { "0|old\n1|one\n2|" } else { "1|one\n2|" };
            assert_eq!(psql(&url, "select * from t order by id"), expected, "{case}");
            if lost == Lost::Answer {
                committed.unwrap_or_else(|error| panic!("{case}: {error:?}"));
                assert_eq!(psql(&url, LEFT), "", "{case}");
            } else {
                let error = committed.unwrap_err();
                let hint = error.hint().unwrap_or_default();
                assert!(error.to_string().contains("it is not known whether"), "{case}: {error}");
                assert!(hint.contains(&token.to_string()) && hint.contains("etl.commits"), "{case}: {hint}");
                assert!(!hint.contains("again"), "{case}: {hint}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_in_doubt_is_not_swept() {
    let url = postgres();
    psql(&url, "create table t (id int, name text)");
    let between = Between::start(&url).await;
    let rows = batch(&[(1, Some("one"))]);
    let unsure = sink(&between.url, "t");
    let agreement = unsure.agree(&shape(&rows), &request(WriteMode::Append, Tasks::Many)).await.unwrap();
    let token = token();
    unsure.prepare(&agreement, &token).await.unwrap();
    let receipt = task(&*unsure, &agreement, &token, (0, &rows)).await.unwrap();
    between.lose(Lost::Server);
    unsure.commit(&agreement, &token, std::slice::from_ref(&receipt)).await.unwrap_err();
    unsure.abort(&agreement, &token).await.unwrap();
    // Whoever can reach the server finds out, and nothing is there twice.
    let sure = sink(&url, "t");
    sure.commit(&agreement, &token, &[receipt]).await.unwrap();
    sure.abort(&agreement, &token).await.unwrap();
    assert_eq!(psql(&url, "select * from t"), "1|one");
}
