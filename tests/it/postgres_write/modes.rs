//! Create, append, truncate and replace, by one task and by many.

use arrow_etl::attempt::Attempt;
use arrow_etl::endpoint::ObjectRef;
use arrow_etl::error::ErrorKind;
use arrow_etl::sink::{Publish, SchemaPolicy, Tasks, WriteMode, WriteRequest};

use super::{LEFT, batch, copy, endpoint, fitted, request, shape, sink, task, token};
use crate::server::{postgres, psql};

const BOTH: [Tasks; 2] = [Tasks::One, Tasks::Many];

#[tokio::test]
async fn a_missing_table_is_made_with_its_key() {
    for mode in [WriteMode::Create, WriteMode::Append, WriteMode::Truncate, WriteMode::Replace] {
        for tasks in BOTH {
            let url = postgres();
            let rows = batch(&[(1, Some("one")), (2, None)]);
            let mut shape = shape(&rows);
            shape.key = vec!["id".to_owned()];
            shape.comment = Some("it's \\ new".to_owned());
            let agreement = copy(&*sink(&url, "t"), &shape, &request(mode.clone(), tasks), &[rows]).await.unwrap();
            assert_eq!(agreement.publish, if tasks == Tasks::One { Publish::Held } else { Publish::AtOnce });
            assert_eq!(psql(&url, "select * from t order by id"), "1|one\n2|");
            assert_eq!(
                psql(&url, "select indexdef from pg_indexes where tablename = 't'"),
                "CREATE UNIQUE INDEX t_pkey ON public.t USING btree (id)"
            );
            assert_eq!(psql(&url, "select obj_description('t'::regclass)"), "it's \\ new");
            assert_eq!(psql(&url, LEFT), "");
            assert_eq!(psql(&url, "select count(*) from etl.commits"), "1");
        }
    }
}

#[tokio::test]
async fn create_refuses_rows_and_takes_an_empty_table() {
    for tasks in BOTH {
        let url = postgres();
        psql(&url, "create table t (id int not null, name text default 'x', more int default 7)");
        let rows = batch(&[(1, Some("one"))]);
        let done = copy(&*sink(&url, "t"), &shape(&rows), &request(WriteMode::Create, tasks), &[rows.clone()]).await;
        // Rows of several tasks are written once: into the table that takes its place.
        let exchanged = done.unwrap().notes.iter().any(|note| note.contains("at the end a new one takes its place"));
        assert_eq!(exchanged, tasks == Tasks::Many);
        assert_eq!(psql(&url, "select * from t"), "1|one|7");
        let again = copy(&*sink(&url, "t"), &shape(&rows), &request(WriteMode::Create, tasks), &[rows]).await;
        assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(psql(&url, "select * from t"), "1|one|7");
        assert_eq!(psql(&url, LEFT), "");
    }
}

#[tokio::test]
async fn statistics_are_gathered_where_autovacuum_does_not() {
    let url = postgres();
    psql(&url, "create table t (id int not null, name text) with (autovacuum_enabled = off)");
    let endpoint = endpoint(&url);
    let sink = endpoint.sink(&ObjectRef::Table("t".to_owned())).unwrap();
    let long = "x".repeat(700);
    let rows: Vec<(i32, Option<&str>)> = (0..2000).map(|id| (id, Some(long.as_str()))).collect();
    let rows = batch(&rows);
    let agreement = copy(&*sink, &shape(&rows), &request(WriteMode::Append, Tasks::One), &[rows]).await.unwrap();
    assert_eq!(psql(&url, "select count(*) from pg_stats where tablename = 't'"), "0");
    endpoint.finish(&[agreement]).await.unwrap();
    assert_eq!(psql(&url, "select count(*) from pg_stats where tablename = 't'"), "2");
}

#[tokio::test]
async fn an_empty_table_that_others_depend_on_is_filled_and_not_exchanged() {
    let url = postgres();
    psql(&url, "create table t (id int not null, name text); create view v as select * from t");
    let rows = batch(&[(1, Some("one"))]);
    copy(&*sink(&url, "t"), &shape(&rows), &request(WriteMode::Create, Tasks::Many), &[rows]).await.unwrap();
    assert_eq!(psql(&url, "select * from v"), "1|one");
    assert_eq!(psql(&url, LEFT), "");
}

#[tokio::test]
async fn append_adds_and_truncate_replaces_the_rows() {
    for tasks in BOTH {
        let url = postgres();
        psql(&url, "create table t (id int primary key, name text); insert into t values (9, 'nine')");
        let rows = batch(&[(1, Some("one"))]);
        copy(&*sink(&url, "t"), &shape(&rows), &request(WriteMode::Append, tasks), &[rows]).await.unwrap();
        assert_eq!(psql(&url, "select * from t order by id"), "1|one\n9|nine");
        let rows = batch(&[(2, Some("two"))]);
        copy(&*sink(&url, "t"), &shape(&rows), &request(WriteMode::Truncate, tasks), &[rows]).await.unwrap();
        assert_eq!(psql(&url, "select * from t order by id"), "2|two");
        assert_eq!(psql(&url, LEFT), "");
    }
}

#[tokio::test]
async fn many_tasks_and_no_task_at_all() {
    let url = postgres();
    let parts = [batch(&[(1, None)]), batch(&[(2, Some("zwei\t\\N\n"))]), batch(&[])];
    copy(&*sink(&url, "t"), &shape(&parts[0]), &request(WriteMode::Create, Tasks::Many), &parts).await.unwrap();
    assert_eq!(
        psql(&url, r"select id, encode(convert_to(name, 'utf8'), 'hex') from t order by 1"),
        "1|\n2|7a776569095c4e0a"
    );
    for (table, tasks) in [("none_one", Tasks::One), ("none_many", Tasks::Many)] {
        copy(&*sink(&url, table), &shape(&parts[0]), &request(WriteMode::Create, tasks), &[]).await.unwrap();
        assert_eq!(psql(&url, &format!("select count(*) from {table}")), "0");
        copy(&*sink(&url, "t"), &shape(&parts[0]), &request(WriteMode::Truncate, tasks), &[]).await.unwrap();
        assert_eq!(psql(&url, "select count(*) from t"), "0");
        psql(&url, "insert into t values (1)");
    }
    assert_eq!(psql(&url, LEFT), "");
}

#[tokio::test]
async fn nothing_is_seen_before_commit_and_commit_is_idempotent() {
    for (mode, tasks) in [
        (WriteMode::Create, Tasks::One),
        (WriteMode::Create, Tasks::Many),
        (WriteMode::Append, Tasks::One),
        (WriteMode::Append, Tasks::Many),
        (WriteMode::Replace, Tasks::Many),
    ] {
        let url = postgres();
        if mode != WriteMode::Create {
            psql(&url, "create table t (id int, name text); insert into t values (0, 'old')");
        }
        let rows = batch(&[(1, Some("one")), (2, Some("two"))]);
        let sink_one = sink(&url, "t");
        let agreement = sink_one.agree(&shape(&rows), &request(mode.clone(), tasks)).await.unwrap();
        let token = token();
        sink_one.prepare(&agreement, &token).await.unwrap();
        sink_one.prepare(&agreement, &token).await.unwrap();
        let receipt = task(&*sink_one, &agreement, &token, (0, &rows)).await.unwrap();
        assert_eq!(receipt.rows, 2);
        let before = if mode == WriteMode::Create {
            psql(&url, "select count(*) from pg_class where relname = 't'")
        } else {
            psql(&url, "select count(*) - 1 from t")
        };
        assert_eq!(before, "0");
        sink_one.commit(&agreement, &token, std::slice::from_ref(&receipt)).await.unwrap();
        sink_one.commit(&agreement, &token, std::slice::from_ref(&receipt)).await.unwrap();
        // Another process that resumes knows only the token.
        let sink_two = sink(&url, "t");
        sink_two.commit(&agreement, &token, std::slice::from_ref(&receipt)).await.unwrap();
        sink_two.abort(&agreement, &token).await.unwrap();
        let rows = if mode == WriteMode::Append { "3" } else { "2" };
        assert_eq!(psql(&url, "select count(*) from t"), rows);
        assert_eq!(psql(&url, LEFT), "");
    }
}

#[tokio::test]
async fn what_notes_the_tasks_of_an_unlogged_stage_is_unlogged_too() {
    for (kind, persistence) in [("", "pp"), ("unlogged", "uu")] {
        let url = postgres();
        psql(&url, &format!("create {kind} table t (id int, name text)"));
        let (rows, sink, token) = (batch(&[(1, Some("one"))]), sink(&url, "t"), token());
        let agreement = sink.agree(&shape(&rows), &request(WriteMode::Append, Tasks::Many)).await.unwrap();
        sink.prepare(&agreement, &token).await.unwrap();
        let both = "select string_agg(relpersistence::text, '') from pg_class where relkind = 'r' and relname like 'etl\\_stage%'";
        assert_eq!(psql(&url, both), persistence);
        sink.abort(&agreement, &token).await.unwrap();
    }
}

#[tokio::test]
async fn two_attempts_of_one_task_are_one() {
    for (mode, tasks) in [
        (WriteMode::Create, Tasks::One),
        (WriteMode::Create, Tasks::Many),
        (WriteMode::Append, Tasks::One),
        (WriteMode::Append, Tasks::Many),
        (WriteMode::Truncate, Tasks::One),
    ] {
        let url = postgres();
        if mode != WriteMode::Create {
            psql(&url, "create table t (id int primary key, name text)");
        }
        let rows = batch(&[(1, Some("one")), (2, Some("two"))]);
        let sink = sink(&url, "t");
        let agreement = sink.agree(&shape(&rows), &request(mode, tasks)).await.unwrap();
        let token = token();
        sink.prepare(&agreement, &token).await.unwrap();
        // The first is still open, the second is flushed but its receipt is lost.
        let mut zombie = sink.writer(&agreement, &Attempt::new(token.clone(), 0, vec![0])).await.unwrap();
        zombie.write(fitted(&rows, &agreement)).await.unwrap();
        task(&*sink, &agreement, &token, (0, &rows)).await.unwrap();
        let receipt = task(&*sink, &agreement, &token, (0, &rows)).await.unwrap();
        sink.commit(&agreement, &token, &[receipt]).await.unwrap();
        assert!(zombie.flush(&token).await.is_err());
        drop(zombie);
        assert_eq!(psql(&url, "select count(*) from t"), "2");
        assert_eq!(psql(&url, LEFT), "");
    }
}

#[tokio::test]
async fn columns_that_differ_are_refused_or_left_out() {
    let url = postgres();
    psql(&url, "create table t (\"Id\" int, name text, extra int, twice int generated always as (extra * 2) stored)");
    let rows = batch(&[(1, Some("one"))]);
    let strict = sink(&url, "t").agree(&shape(&rows), &request(WriteMode::Append, Tasks::One)).await.unwrap_err();
    assert_eq!(strict.kind(), ErrorKind::Schema);
    let message = strict.to_string();
    assert!(
        message.contains("id is not in the target (it has Id)") && message.contains("extra is missing"),
        "{message}"
    );
    let ignore =
        WriteRequest { schema: SchemaPolicy::Ignore, tasks: Tasks::One, ..WriteRequest::new(WriteMode::Append) };
    let agreement = sink(&url, "t").agree(&shape(&rows), &ignore).await.unwrap();
    assert_eq!(agreement.target.fields().len(), 1);
    assert_eq!(agreement.columns.len(), 5);
}
