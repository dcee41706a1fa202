//! Rows that wait in prepared transactions until all are there, and what becomes of them when somebody dies between.

use std::sync::Arc;
use std::time::Duration;

use arrow_etl::attempt::{Attempt, Token};
use arrow_etl::error::ErrorKind;
use arrow_etl::sink::{Agreement, Progress, Publish, Receipt, Sink, Tasks, Visible, WriteMode, WriteRequest};
use tokio_postgres::NoTls;

use super::{LEFT, batch, copy, fitted, request, shape, sink, task, token};
use crate::server::own::Own;
use crate::server::{postgres, psql, until};

/// Those of a database.
const WAITING: &str = "select count(*) from pg_prepared_xacts where database = current_database()";
const HELD: &str = "select count(*) from pg_locks where locktype = 'advisory' \
                    and database = (select oid from pg_database where datname = current_database())";
const ROWS: &str = "select * from t order by id";

pub(super) fn prepared() -> WriteRequest {
    WriteRequest { visible: Visible::Prepared, ..request(WriteMode::Append, Tasks::Many) }
}

/// A copy of two tasks, which wait, into a table that has a row.
struct Waiting {
    url: String,
    sink: Arc<dyn Sink>,
    agreement: Agreement,
    token: Token,
    receipts: Vec<Receipt>,
}

impl Waiting {
    async fn begin() -> Self {
        Self::begin_in(postgres()).await
    }

    async fn begin_in(url: String) -> Self {
        psql(&url, "create table t (id int primary key, name text); insert into t values (0, 'old')");
        let (sink, token) = (sink(&url, "t"), token());
        let agreement = sink.agree(&shape(&batch(&[])), &prepared()).await.unwrap();
        assert_eq!(agreement.publish, Publish::Prepared);
        sink.prepare(&agreement, &token).await.unwrap();
        let mut copy = Self { url, sink, agreement, token, receipts: Vec::new() };
        for (index, row) in [(1, Some("one")), (2, None)].into_iter().enumerate() {
            let receipt = task(&*copy.sink, &copy.agreement, &copy.token, (index as u32, &batch(&[row]))).await;
            copy.receipts.push(receipt.unwrap());
        }
        assert_eq!(copy.psql(WAITING), "2");
        copy
    }

    fn psql(&self, sql: &str) -> String {
        psql(&self.url, sql)
    }

    /// The name of one that waits.
    fn one(&self) -> String {
        self.psql("select min(gid) from pg_prepared_xacts where database = current_database()")
    }

    /// What decides that the rows count, without what carries it out.
    fn decide(&self) {
        let done = self.psql("select relname from pg_class where relname like 'etl\\_stage%done'");
        self.psql(&format!(
            "begin; comment on table {done} is 'tasks of an etl run in prepared transactions, to be committed, parts: 2'; \
             insert into etl.commits (token) values ('{}'); commit",
            self.token
        ));
    }

    /// Its process is gone, and the server has noticed.
    fn die(self) -> String {
        let Self { url, sink, .. } = self;
        drop(sink);
        until(&url, HELD, |held| held == "0");
        url
    }
}

/// A commit, which makes the table of marks.
async fn marked(url: &str) {
    psql(url, "create table other (id int, name text)");
    copy(&*sink(url, "other"), &shape(&batch(&[])), &request(WriteMode::Append, Tasks::One), &[batch(&[(1, None)])])
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rows_are_seen_behind_the_commit_and_none_before() {
    let copy = Waiting::begin().await;
    assert_eq!(copy.psql(ROWS), "0|old");
    for _ in 0..2 {
        copy.sink.commit(&copy.agreement, &copy.token, &copy.receipts).await.unwrap();
        assert_eq!(copy.psql(ROWS), "0|old\n1|one\n2|");
        assert_eq!((copy.psql(WAITING), copy.psql(LEFT)), ("0".to_owned(), String::new()));
    }
    copy.sink.abort(&copy.agreement, &copy.token).await.unwrap();
    assert_eq!(copy.psql(ROWS), "0|old\n1|one\n2|");
    assert_eq!(copy.psql("select count(*) from etl.commits"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_leaves_nothing_that_waits() {
    let copy = Waiting::begin().await;
    let mut open = copy.sink.writer(&copy.agreement, &Attempt::new(copy.token.clone(), 2, vec![2])).await.unwrap();
    open.write(fitted(&batch(&[(3, None)]), &copy.agreement)).await.unwrap();
    copy.sink.abort(&copy.agreement, &copy.token).await.unwrap();
    copy.sink.abort(&copy.agreement, &copy.token).await.unwrap();
    drop(open);
    assert_eq!((copy.psql(WAITING), copy.psql(LEFT)), ("0".to_owned(), String::new()));
    assert_eq!(copy.psql(ROWS), "0|old");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_an_earlier_attempt_stand() {
    let mut copy = Waiting::begin().await;
    copy.receipts[0] = task(&*copy.sink, &copy.agreement, &copy.token, (0, &batch(&[(1, Some("one"))]))).await.unwrap();
    assert_eq!((copy.receipts[0].rows, copy.psql(WAITING)), (1, "2".to_owned()));
    copy.sink.commit(&copy.agreement, &copy.token, &copy.receipts).await.unwrap();
    assert_eq!(copy.psql(ROWS), "0|old\n1|one\n2|");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_was_cut_otherwise_replaces_what_it_meets() {
    let mut copy = Waiting::begin().await;
    let both = Attempt::new(copy.token.clone(), 2, vec![0, 1]);
    let mut writer = copy.sink.writer(&copy.agreement, &both).await.unwrap();
    writer.write(fitted(&batch(&[(1, Some("one")), (2, None)]), &copy.agreement)).await.unwrap();
    copy.receipts = vec![writer.flush(&copy.token).await.unwrap()];
    assert_eq!((copy.receipts[0].rows, copy.psql(WAITING)), (2, "1".to_owned()));
    copy.sink.commit(&copy.agreement, &copy.token, &copy.receipts).await.unwrap();
    assert_eq!(copy.psql(ROWS), "0|old\n1|one\n2|");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_begins_to_wait_meanwhile_is_rolled_back() {
    let mut copy = Waiting::begin().await;
    let done = copy.psql("select relname from pg_class where relname like 'etl\\_stage%done'");
    let stage = done.strip_suffix("_done").unwrap();
    let (elder, connection) = tokio_postgres::connect(&copy.url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let wrote = format!("begin; insert into {done} values ('split 2', 'elder', 1); insert into t values (3, 'elder')");
    elder.batch_execute(&wrote).await.unwrap();
    let (sink, agreement, token) = (Arc::clone(&copy.sink), copy.agreement.clone(), copy.token.clone());
    let next =
        tokio::spawn(
            async move { task(&*sink, &agreement, &token, (2, &batch(&[(3, Some("three"))]))).await.unwrap() },
        );
    let blocked = "select count(*) from pg_stat_activity where datname = current_database() \
                   and wait_event_type = 'Lock' and application_name like 'etl\\_write%'";
    until(&copy.url, blocked, |count| count != "0");
    elder.batch_execute(&format!("prepare transaction '{stage}:2-2:1'")).await.unwrap();
    copy.receipts.push(next.await.unwrap());
    copy.sink.commit(&copy.agreement, &copy.token, &copy.receipts).await.unwrap();
    assert_eq!(copy.psql(ROWS), "0|old\n1|one\n2|\n3|three");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_twice_is_an_error_and_no_wait_for_ever() {
    let copy = Waiting::begin().await;
    let error = task(&*copy.sink, &copy.agreement, &copy.token, (2, &batch(&[(1, None)]))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("keys that come twice")), "{error:?}");
    copy.sink.abort(&copy.agreement, &copy.token).await.unwrap();
    assert_eq!((copy.psql(ROWS), copy.psql(WAITING)), ("0|old".to_owned(), "0".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_rolled_back_is_missed() {
    let copy = Waiting::begin().await;
    copy.psql(&format!("rollback prepared '{}'", copy.one()));
    let error = copy.sink.commit(&copy.agreement, &copy.token, &copy.receipts).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch, "{error:?}");
    copy.sink.abort(&copy.agreement, &copy.token).await.unwrap();
    assert_eq!((copy.psql(ROWS), copy.psql(WAITING)), ("0|old".to_owned(), "0".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_decided_is_rolled_back_by_nobody() {
    let copy = Waiting::begin().await;
    marked(&copy.url).await;
    copy.decide();
    let (sink, agreement) = (Arc::clone(&copy.sink), copy.agreement.clone());
    let both = Attempt::new(copy.token.clone(), 2, vec![0, 1]);
    let late = tokio::spawn(async move { sink.writer(&agreement, &both).await.map(drop) });
    // Longer than an earlier attempt is waited for.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((copy.psql(WAITING), late.is_finished()), ("2".to_owned(), false));
    copy.sink.abort(&copy.agreement, &copy.token).await.unwrap();
    late.await.unwrap().unwrap_err();
    assert_eq!((copy.psql(ROWS), copy.psql(WAITING)), ("0|old\n1|one\n2|".to_owned(), "0".to_owned()));
    assert_eq!(copy.psql(LEFT), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_rolled_back_after_the_decision_is_missed() {
    let copy = Waiting::begin().await;
    marked(&copy.url).await;
    copy.decide();
    copy.psql(&format!("rollback prepared '{}'", copy.one()));
    let next = sink(&copy.url, "t");
    for _ in 0..2 {
        let error = next.progress(&copy.agreement, &copy.token, &copy.receipts).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error:?}");
    }
    assert_eq!(copy.psql(WAITING), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_another_session_is_ending_is_waited_for() {
    let server = Own::start();
    let copy = Waiting::begin_in(server.url()).await;
    marked(&copy.url).await;
    copy.decide();
    copy.psql(&format!("commit prepared '{}'", copy.one()));
    // From now on a commit waits for a standby that is not there.
    copy.psql("alter system set synchronous_standby_names = 'nobody'");
    copy.psql("select pg_reload_conf()");
    until(&copy.url, "show synchronous_standby_names", |names| names == "nobody");
    // The checkpointer, without which no commit waits, is told at the same time and nobody says when it has heard.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (url, last) = (copy.url.clone(), format!("commit prepared '{}'", copy.one()));
    let ending = std::thread::spawn(move || psql(&url, &last));
    until(&copy.url, "select count(*) from pg_stat_activity where wait_event = 'SyncRep'", |count| count != "0");
    let (next, agreement, token) = (sink(&copy.url, "t"), copy.agreement.clone(), copy.token.clone());
    let late = tokio::spawn(async move { next.progress(&agreement, &token, &[]).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!late.is_finished());
    copy.psql("alter system reset synchronous_standby_names");
    copy.psql("select pg_reload_conf()");
    assert_eq!(late.await.unwrap().unwrap(), Progress::Committed);
    ending.join().unwrap();
    assert_eq!((copy.psql(ROWS), copy.psql(LEFT)), ("0|old\n1|one\n2|".to_owned(), String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_decided_over_what_another_user_has_prepared() {
    let copy = Waiting::begin().await;
    let role = format!("clerk{}", uuid::Uuid::now_v7().simple());
    copy.psql(&format!("create role {role} login in role postgres"));
    let other = sink(&copy.url.replacen("postgres@", &format!("{role}@"), 1), "t");
    let error = other.commit(&copy.agreement, &copy.token, &copy.receipts).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Permission && error.to_string().contains("\"postgres\""), "{error:?}");
    drop(other);
    copy.psql(&format!("drop role {role}"));
    copy.sink.commit(&copy.agreement, &copy.token, &copy.receipts).await.unwrap();
    assert_eq!(copy.psql(ROWS), "0|old\n1|one\n2|");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_goes_on_finds_what_waits_and_carries_out_what_was_decided() {
    let copy = Waiting::begin().await;
    marked(&copy.url).await;
    let (agreement, token) = (copy.agreement.clone(), copy.token.clone());
    // The second died before it could note its receipt.
    let receipts = copy.receipts[..1].to_vec();
    let url = copy.die();
    let next = sink(&url, "t");
    let Progress::Kept(kept) = next.progress(&agreement, &token, &receipts).await.unwrap() else {
        panic!("nothing is decided yet");
    };
    let mut found: Vec<_> = kept.iter().map(|receipt| (receipt.splits.clone(), receipt.rows)).collect();
    found.sort();
    assert_eq!(found, [(vec![0], 1), (vec![1], 1)]);
    assert_eq!(psql(&url, ROWS), "0|old");
    let copy = Waiting { url, sink: next, agreement, token, receipts: kept };
    copy.decide();
    let last = sink(&copy.url, "t");
    let progress = last.progress(&copy.agreement, &copy.token, &copy.receipts).await.unwrap();
    assert_eq!(progress, Progress::Committed);
    assert_eq!((copy.psql(ROWS), copy.psql(WAITING)), ("0|old\n1|one\n2|".to_owned(), "0".to_owned()));
    assert_eq!(copy.psql(LEFT), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_copy_leaves_what_a_process_that_goes_on_has_found() {
    let copy = Waiting::begin().await;
    let (agreement, run, receipts) = (copy.agreement.clone(), copy.token.clone(), copy.receipts.clone());
    let url = copy.die();
    let next = sink(&url, "t");
    for _ in 0..2 {
        let progress = next.progress(&agreement, &run, &receipts).await.unwrap();
        assert!(matches!(progress, Progress::Kept(kept) if kept.len() == 2));
    }
    let (other, beside) = (sink(&url, "t"), token());
    other.prepare(&agreement, &beside).await.unwrap();
    other.abort(&agreement, &beside).await.unwrap();
    assert_eq!(psql(&url, WAITING), "2");
    next.prepare(&agreement, &run).await.unwrap();
    next.commit(&agreement, &run, &receipts).await.unwrap();
    assert_eq!((psql(&url, ROWS), psql(&url, LEFT)), ("0|old\n1|one\n2|".to_owned(), String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_copy_ends_what_a_dead_one_let_wait() {
    for is_decided in [false, true] {
        let copy = Waiting::begin().await;
        marked(&copy.url).await;
        if is_decided {
            copy.decide();
        }
        let next = sink(&copy.url, "t");
        // As long as its process lives it is left alone.
        let agreement = next.agree(&shape(&batch(&[])), &prepared()).await.unwrap();
        let beside = token();
        next.prepare(&agreement, &beside).await.unwrap();
        next.abort(&agreement, &beside).await.unwrap();
        assert_eq!(copy.psql(WAITING), "2", "{is_decided}");
        let url = copy.die();
        next.prepare(&agreement, &beside).await.unwrap();
        assert_eq!(next.notes(&beside).len(), usize::from(is_decided));
        next.abort(&agreement, &beside).await.unwrap();
        let rows = if is_decided { "0|old\n1|one\n2|" } else { "0|old" };
        assert_eq!((psql(&url, ROWS), psql(&url, WAITING)), (rows.to_owned(), "0".to_owned()), "{is_decided}");
        assert_eq!(psql(&url, LEFT), "", "{is_decided}");
    }
}
