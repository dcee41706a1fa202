//! Two processes of one run: one that was taken for dead, and one that goes on. Each has an endpoint of its own.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow_etl::attempt::{Attempt, Token};
use arrow_etl::endpoint::ObjectRef;
use arrow_etl::error::ErrorKind;
use arrow_etl::sink::{Agreement, Progress, Receipt, Sink, Tasks, WriteMode, WriteRequest};
use arrow_etl::source::TableShape;
use serde_json::json;

use super::databases;
use crate::server::mariadb_client;

/// Tables of this program that are left, but for the marks.
const LEFT: &str = "show tables like 'etl\\_stage%'";

/// The table `t` as another process has it.
fn sink(url: &str) -> Arc<dyn Sink> {
    let endpoint = arrow_etl::connectors::find("mysql").unwrap().endpoint(&json!({ "url": url })).unwrap();
    endpoint.sink(&ObjectRef::Table("t".to_owned())).unwrap()
}

fn token() -> Token {
    Token { run: uuid::Uuid::now_v7().simple().to_string(), transfer: 0, sink: 0, epoch: 0 }
}

/// The row of a task: its number.
fn row(task: u32) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("id", DataType::Int32, false)]);
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![task as i32]));
    RecordBatch::try_new(Arc::new(schema), vec![ids]).unwrap()
}

/// What was agreed on for rows that come in `mode`.
async fn agreed(sink: &dyn Sink, mode: WriteMode) -> Agreement {
    let request = WriteRequest { tasks: Tasks::Many, ..WriteRequest::new(mode) };
    sink.agree(&TableShape::of(row(0).schema()), &request).await.unwrap()
}

/// Writes the row of `task`, whose only split has its number.
async fn write(sink: &dyn Sink, agreement: &Agreement, token: &Token, task: u32) -> Receipt {
    let mut writer = sink.writer(agreement, &Attempt::new(token.clone(), task, vec![task])).await.unwrap();
    let ids = cast(row(task).column(0), agreement.target.field(0).data_type()).unwrap();
    writer.write(RecordBatch::try_new(Arc::clone(&agreement.target), vec![ids]).unwrap()).await.unwrap();
    writer.flush(token).await.unwrap()
}

fn rows(url: &str) -> String {
    mariadb_client(url, "select id from t order by id").lines().collect::<Vec<_>>().join(" ")
}

/// Tables with a row, or none, by the mode.
fn scenes() -> Vec<(String, WriteMode, &'static str)> {
    let modes = [
        (WriteMode::Create, "0 1"),
        (WriteMode::Append, "0 1 9"),
        (WriteMode::Truncate, "0 1"),
        (WriteMode::Replace, "0 1"),
    ];
    let scene = |(mode, expected): (WriteMode, &'static str)| {
        databases().map(|url| {
            if mode != WriteMode::Create {
                mariadb_client(&url, "create table t (id int not null); insert into t values (9)");
            }
            (url, mode.clone(), expected)
        })
    };
    modes.into_iter().flat_map(scene).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_at_work_is_left_alone() {
    // Each refusal takes seconds.
    for (url, mode, expected) in scenes().into_iter().filter(|(_, mode, _)| *mode == WriteMode::Append) {
        let (at_work, next, token) = (sink(&url), sink(&url), token());
        let agreement = agreed(&*at_work, mode).await;
        at_work.prepare(&agreement, &token).await.unwrap();
        let first = write(&*at_work, &agreement, &token, 0).await;
        let logged = std::slice::from_ref(&first);
        assert_eq!(next.progress(&agreement, &token, logged).await.unwrap_err().kind(), ErrorKind::Busy, "{url}");
        assert_eq!(next.prepare(&agreement, &token).await.unwrap_err().kind(), ErrorKind::Busy, "{url}");
        assert_eq!(next.abort(&agreement, &token).await.unwrap_err().kind(), ErrorKind::Busy, "{url}");
        let second = write(&*at_work, &agreement, &token, 1).await;
        let receipts = [first, second];
        at_work.commit(&agreement, &token, &receipts).await.unwrap();
        assert_eq!(next.progress(&agreement, &token, &receipts).await.unwrap(), Progress::Committed, "{url}");
        assert_eq!((rows(&url), mariadb_client(&url, LEFT)), (expected.to_owned(), String::new()), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_copy_leaves_what_a_process_that_goes_on_has_found() {
    for (url, mode, expected) in scenes() {
        let (dead, token) = (sink(&url), token());
        let agreement = agreed(&*dead, mode).await;
        dead.prepare(&agreement, &token).await.unwrap();
        let logged = [write(&*dead, &agreement, &token, 0).await];
        drop(dead);
        let next = sink(&url);
        for _ in 0..2 {
            let found = next.progress(&agreement, &token, &logged).await.unwrap();
            assert_eq!(found, Progress::Kept(logged.to_vec()), "{url}");
        }
        let (other, beside) = (sink(&url), self::token());
        other.prepare(&agreement, &beside).await.unwrap();
        other.abort(&agreement, &beside).await.unwrap();
        next.prepare(&agreement, &token).await.unwrap();
        let [first] = logged;
        let receipts = [first, write(&*next, &agreement, &token, 1).await];
        next.commit(&agreement, &token, &receipts).await.unwrap();
        assert_eq!((rows(&url), mariadb_client(&url, LEFT)), (expected.to_owned(), String::new()), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_commits_at_once_one_is_done_and_both_say_so() {
    for (url, mode, expected) in scenes() {
        let (one, other, token) = (sink(&url), sink(&url), token());
        let agreement = agreed(&*one, mode).await;
        one.prepare(&agreement, &token).await.unwrap();
        let receipts = [write(&*one, &agreement, &token, 0).await, write(&*one, &agreement, &token, 1).await];
        let (here, there) =
            tokio::join!(one.commit(&agreement, &token, &receipts), other.commit(&agreement, &token, &receipts));
        here.unwrap();
        there.unwrap();
        assert_eq!((rows(&url), mariadb_client(&url, LEFT)), (expected.to_owned(), String::new()), "{url}");
    }
}

/// A process may be killed when it has put an empty table aside, and before it has seen that somebody wrote into it meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_others_in_a_table_that_was_put_aside_are_not_removed() {
    for url in databases() {
        mariadb_client(&url, "create table t (id int not null)");
        let sink = sink(&url);
        let agreement = agreed(&*sink, WriteMode::Append).await;
        let dead = token();
        sink.prepare(&agreement, &dead).await.unwrap();
        let stage = mariadb_client(&url, LEFT).lines().next().unwrap().to_owned();
        for (row, expected) in [("", ""), ("insert into x values (7);", "7")] {
            mariadb_client(&url, &format!("create table x (id int); {row} rename table x to {stage}_unseen"));
            let next = token();
            sink.abort(&agreement, &dead).await.unwrap();
            sink.prepare(&agreement, &next).await.unwrap();
            sink.abort(&agreement, &next).await.unwrap();
            let left = mariadb_client(&url, LEFT);
            assert_eq!(left, if expected.is_empty() { String::new() } else { format!("{stage}_unseen") }, "{url}");
            if !expected.is_empty() {
                assert_eq!(mariadb_client(&url, &format!("select id from {stage}_unseen")), expected, "{url}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_answer_was_lost_is_taken_as_it_stands() {
    for (url, mode, expected) in scenes() {
        let (sink, token) = (sink(&url), token());
        let agreement = agreed(&*sink, mode).await;
        sink.prepare(&agreement, &token).await.unwrap();
        drop(write(&*sink, &agreement, &token, 0).await);
        let receipts = [write(&*sink, &agreement, &token, 0).await, write(&*sink, &agreement, &token, 1).await];
        sink.commit(&agreement, &token, &receipts).await.unwrap();
        assert_eq!((rows(&url), mariadb_client(&url, LEFT)), (expected.to_owned(), String::new()), "{url}");
    }
}

/// The locator of `url` behind a relay, and the connections of that one.
fn relayed(url: &str) -> (String, Arc<Mutex<Vec<TcpStream>>>) {
    let (before, rest) = url.split_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let behind = format!("{before}@{}/{database}", listener.local_addr().unwrap());
    let (server, streams) = (server.to_owned(), Arc::<Mutex<Vec<TcpStream>>>::default());
    let known = Arc::clone(&streams);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
            known.lock().unwrap().extend([client, server]);
        }
    });
    (behind, streams)
}

/// MySQL goes on with an exchange whose client is gone, MariaDB does not.
#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_is_under_way_when_its_connection_is_cut_is_waited_for() {
    for (url, mode, expected) in scenes().into_iter().filter(|(_, mode, _)| *mode == WriteMode::Replace) {
        let (behind, streams) = relayed(&url);
        let (sink, token) = (sink(&behind), token());
        let agreement = agreed(&*sink, mode).await;
        sink.prepare(&agreement, &token).await.unwrap();
        let receipts = [write(&*sink, &agreement, &token, 0).await, write(&*sink, &agreement, &token, 1).await];
        let reading = "start transaction; select count(*) from t; do sleep(2); commit";
        let reader = std::thread::spawn({
            let url = url.clone();
            move || mariadb_client(&url, reading)
        });
        // The exchange waits for the reader.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let cut = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            for stream in streams.lock().unwrap().drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        };
        let (committed, ()) = tokio::join!(sink.commit(&agreement, &token, &receipts), cut);
        reader.join().unwrap();
        assert_eq!(rows(&url) == expected, committed.is_ok(), "{url}: {committed:?}");
    }
}
