//! Locks that others hold, and what others do to the target between agreement and commit.

use std::time::Duration;

use arrow_etl::attempt::Attempt;
use arrow_etl::endpoint::{ObjectRef, OpenRequest};
use arrow_etl::error::ErrorKind;
use arrow_etl::sink::{Publish, Receipt, Tasks, Visible, WriteMode, WriteRequest};
use tokio_postgres::NoTls;

use super::{LEFT, batch, endpoint, request, shape, sink, task, token};
use crate::server::{postgres, psql};

/// A session with `sql` in an open transaction.
async fn session(url: &str, sql: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&format!("set application_name = 'report'; begin; {sql}")).await.unwrap();
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_attempt_that_failed_is_ended_before_the_next() {
    let url = postgres();
    psql(&url, "create table t (id int primary key, name text)");
    let (rows, sink, token) = (batch(&[(1, Some("one"))]), sink(&url, "t"), token());
    let agreement = sink.agree(&shape(&rows), &request(WriteMode::Append, Tasks::One)).await.unwrap();
    sink.prepare(&agreement, &token).await.unwrap();
    let first = Attempt::new(token.clone(), 0, vec![0]);
    let writer = sink.writer(&agreement, &first).await.unwrap();
    let of_first = "select application_name from pg_stat_activity where datname = current_database() \
                    and application_name like 'etl\\_write\\_%'";
    let name = psql(&url, of_first);
    drop(writer);
    // The server has not heard of its end: the session of the same name still holds its row.
    let elder = session(&url, &format!("set application_name = '{name}'; insert into t values (1, 'elder')")).await;
    let receipt = task(&*sink, &agreement, &token, (0, &rows)).await.unwrap();
    assert!(elder.simple_query("select 1").await.is_err());
    sink.commit(&agreement, &token, &[receipt]).await.unwrap();
    assert_eq!(psql(&url, "select * from t"), "1|one");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_attempt_that_does_not_end_is_ended() {
    let url = postgres();
    let (rows, sink, token) = (batch(&[(1, Some("one"))]), sink(&url, "t"), token());
    let agreement = sink.agree(&shape(&rows), &request(WriteMode::Create, Tasks::Many)).await.unwrap();
    sink.prepare(&agreement, &token).await.unwrap();
    let stage = psql(&url, "select relname from pg_class where relname ~ '^etl_stage_[0-9a-f]{8}_[0-9a-f]{16}$'");
    let run = stage.rsplit('_').next().unwrap();
    // It wrote its rows, and the machine of its process is cut off.
    let elder = session(
        &url,
        &format!(
            "set application_name = 'etl_write_{run}_elder'; insert into {stage} values (1, 'one'); \
             insert into {stage}_done values ('split 0', 'elder', 1)"
        ),
    )
    .await;
    // Somebody else's session is left alone, whatever it holds.
    let other = session(&url, &format!("select * from {stage}")).await;
    let receipt = task(&*sink, &agreement, &token, (0, &rows)).await.unwrap();
    assert_eq!(receipt.rows, 1);
    assert!(elder.simple_query("select 1").await.is_err());
    other.batch_execute("rollback").await.unwrap();
    sink.commit(&agreement, &token, &[receipt]).await.unwrap();
    assert_eq!(psql(&url, "select * from t"), "1|one");
    assert_eq!(psql(&url, LEFT), "");
}

/// An earlier attempt wrote two splits in one transaction, which stays open or `ends`; now each is a task of its own.
async fn cut_anew(ends: &str) -> (String, [u64; 2], bool) {
    let url = postgres();
    let (one, two) = (batch(&[(1, Some("one"))]), batch(&[(2, Some("two"))]));
    let (sink, token) = (sink(&url, "t"), token());
    let agreement = sink.agree(&shape(&one), &request(WriteMode::Create, Tasks::Many)).await.unwrap();
    sink.prepare(&agreement, &token).await.unwrap();
    let stage = psql(&url, "select relname from pg_class where relname ~ '^etl_stage_[0-9a-f]{8}_[0-9a-f]{16}$'");
    let run = stage.rsplit('_').next().unwrap();
    let elder = session(
        &url,
        &format!(
            "set application_name = 'etl_write_{run}_elder'; \
             insert into {stage}_done values ('split 0', 'elder', 2), ('split 1', 'elder', 0); \
             insert into {stage} values (1, 'one'), (2, 'two'); {ends}"
        ),
    )
    .await;
    let second = task(&*sink, &agreement, &token, (1, &two)).await.unwrap();
    let first = task(&*sink, &agreement, &token, (0, &one)).await.unwrap();
    let (rows, lives) = ([first.rows, second.rows], elder.simple_query("select 1").await.is_ok());
    sink.commit(&agreement, &token, &[first, second]).await.unwrap();
    assert_eq!(psql(&url, LEFT), "");
    (psql(&url, "select * from t order by id"), rows, lives)
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_were_cut_anew_double_no_row_of_an_attempt_that_never_ended() {
    assert_eq!(cut_anew("").await, ("1|one\n2|two".to_owned(), [1, 1], false));
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_were_cut_anew_double_no_row_of_an_attempt_that_nobody_heard_the_end_of() {
    assert_eq!(cut_anew("commit").await, ("1|one\n2|two".to_owned(), [2, 0], true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_in_use_is_not_emptied_and_its_user_is_named() {
    let url = postgres();
    psql(&url, "create table t (id int, name text); insert into t values (7, 'old')");
    let reader = session(&url, "select * from t").await;
    let rows = batch(&[(1, Some("one"))]);
    let sink = sink(&url, "t");
    let agreement = sink.agree(&shape(&rows), &request(WriteMode::Truncate, Tasks::One)).await.unwrap();
    assert_eq!(agreement.publish, Publish::Held);
    let error = task(&*sink, &agreement, &token(), (0, &rows)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert!(error.to_string().contains("in use by report"), "{error}");
    drop(reader);
    assert_eq!(psql(&url, "select * from t"), "7|old");
}

/// How many wait for a lock on a table.
const QUEUED: &str = "select count(*) from pg_locks where not granted and locktype = 'relation' \
                      and database = (select oid from pg_database where datname = current_database())";

#[tokio::test(flavor = "multi_thread")]
async fn nobody_queues_up_behind_a_copy_that_waits_for_a_lock() {
    let ways = [(Tasks::One, Visible::AtOnce), (Tasks::Many, Visible::PerTask), (Tasks::Many, Visible::Prepared)];
    for (tasks, visible) in ways {
        let url = postgres();
        psql(&url, "create table t (id int, name text)");
        let (rows, sink, token) = (batch(&[(1, Some("one"))]), sink(&url, "t"), token());
        let request = WriteRequest { visible, ..request(WriteMode::Append, tasks) };
        let agreement = sink.agree(&shape(&rows), &request).await.unwrap();
        sink.prepare(&agreement, &token).await.unwrap();
        // As one does who makes an index: others can do so, too, but not write.
        let first = session(&url, "lock table t in share mode").await;
        let second = async {
            while psql(&url, QUEUED) == "0" {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let second = session(&url, "set local lock_timeout = '20s'; lock table t in share mode").await;
            first.batch_execute("rollback").await.unwrap();
            second.batch_execute("rollback").await.unwrap();
        };
        let (receipt, ()) = tokio::join!(task(&*sink, &agreement, &token, (0, &rows)), second);
        sink.commit(&agreement, &token, &[receipt.unwrap()]).await.unwrap();
        assert_eq!(psql(&url, "select * from t"), "1|one", "{tasks:?} {visible:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_stays_locked_ends_the_copy_before_a_row_is_written() {
    let url = postgres();
    psql(&url, "create table t (id int, name text default 'none')");
    let (rows, sink) = (batch(&[(1, Some("one"))]), sink(&url, "t"));
    let holder = session(&url, "lock table t").await;
    let error = sink.agree(&shape(&rows), &request(WriteMode::Create, Tasks::Many)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    holder.batch_execute("rollback").await.unwrap();
    let agreement = sink.agree(&shape(&rows), &request(WriteMode::Replace, Tasks::Many)).await.unwrap();
    let _holder = session(&url, "lock table t").await;
    let error = sink.prepare(&agreement, &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert!(error.to_string().contains("in use by report"), "{error}");
    assert_eq!(psql(&url, LEFT), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_emptied_into_itself() {
    let url = postgres();
    psql(&url, "create table t (id int not null, name text); insert into t values (1, 'one'), (2, null)");
    let endpoint = endpoint(&url);
    let open = OpenRequest { objects: vec![ObjectRef::Table("t".into())], readers: 1, ..OpenRequest::default() };
    let reading = endpoint.open(&open).await.unwrap();
    let rows = batch(&[(1, Some("one")), (2, None)]);
    let sink = sink(&url, "t");
    let agreement = sink.agree(&shape(&rows), &request(WriteMode::Truncate, Tasks::One)).await.unwrap();
    assert_eq!(agreement.publish, Publish::AtOnce);
    let token = token();
    sink.prepare(&agreement, &token).await.unwrap();
    let receipt = task(&*sink, &agreement, &token, (0, &rows)).await.unwrap();
    reading.close().await.unwrap();
    sink.commit(&agreement, &token, &[receipt]).await.unwrap();
    assert_eq!(psql(&url, "select * from t order by id"), "1|one\n2|");
    assert_eq!(psql(&url, LEFT), "");
}

/// Writes a row in `mode` by `tasks`, with `sql` done by somebody else before the writer opens and `late` before the
/// commit.
async fn disturbed(
    url: &str,
    (mode, tasks): (WriteMode, Tasks),
    sql: &str,
    late: &str,
) -> arrow_etl::error::Result<()> {
    let rows = batch(&[(1, Some("one"))]);
    let sink = sink(url, "t");
    let agreement = sink.agree(&shape(&rows), &request(mode, tasks)).await?;
    let token = token();
    let outcome = async {
        sink.prepare(&agreement, &token).await?;
        psql(url, sql);
        let receipt: Receipt = task(&*sink, &agreement, &token, (0, &rows)).await?;
        psql(url, late);
        sink.commit(&agreement, &token, &[receipt]).await
    };
    let outcome = outcome.await;
    if outcome.is_err() {
        sink.abort(&agreement, &token).await?;
        assert_eq!(psql(url, LEFT), "");
    }
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_meanwhile_are_refused_by_create() {
    for tasks in [Tasks::One, Tasks::Many] {
        let url = postgres();
        psql(&url, "create table t (id int, name text)");
        let insert = "insert into t values (9, 'other')";
        let error = disturbed(&url, (WriteMode::Create, tasks), insert, "").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:?}");
        assert_eq!(psql(&url, "select * from t"), "9|other");
        // A commit that failed leaves not even a place for its mark.
        assert_eq!(psql(&url, "select count(*) from pg_namespace where nspname = 'etl'"), "0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_table_is_not_lost_by_an_exchange() {
    let changes = [
        ("alter table t add more int default 5", "columns"),
        ("alter table t alter name set default 'x'", "columns"),
        ("alter table t add check (id < 100)", "checks"),
        (
            "create function f() returns trigger language plpgsql as 'begin return new; end';
            create trigger g before insert on t for each row execute function f()",
            "trigger",
        ),
        ("create view v as select * from t", "view"),
        ("alter table t enable row level security", "row level security"),
        ("create table child (id int references t)", "child"),
    ];
    for (sql, word) in changes {
        let url = postgres();
        psql(&url, "create table t (id int primary key, name text); insert into t values (7, 'old')");
        let error = disturbed(&url, (WriteMode::Replace, Tasks::Many), "", sql).await.expect_err(sql);
        assert_eq!(error.kind(), ErrorKind::Schema, "{sql}: {error:?}");
        assert!(error.to_string().contains(word), "{sql}: {error}");
        assert_eq!(psql(&url, "select id, name from t"), "7|old", "{sql}");
    }
    let url = postgres();
    psql(&url, "create table t (id int, name text)");
    let narrower = "alter table t alter name type varchar(3)";
    let error = disturbed(&url, (WriteMode::Append, Tasks::Many), "", narrower).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_is_made_by_two_at_once() {
    let url = postgres();
    psql(&url, "create table one (id int, name text); create table two (id int, name text)");
    let rows = batch(&[(1, Some("one"))]);
    let mut ready = Vec::new();
    for table in ["one", "two"] {
        let sink = sink(&url, table);
        let agreement = sink.agree(&shape(&rows), &request(WriteMode::Append, Tasks::One)).await.unwrap();
        let token = token();
        let receipt = task(&*sink, &agreement, &token, (0, &rows)).await.unwrap();
        ready.push((sink, agreement, token, receipt));
    }
    let commit = |at: usize| {
        let (sink, agreement, token, receipt) = &ready[at];
        sink.commit(agreement, token, std::slice::from_ref(receipt))
    };
    let (one, two) = tokio::join!(commit(0), commit(1));
    one.unwrap();
    two.unwrap();
    assert_eq!(psql(&url, "select count(*) from etl.commits"), "2");
}
