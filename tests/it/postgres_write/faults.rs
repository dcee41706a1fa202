//! What is left when something fails, and what is said of it.

use arrow_etl::attempt::Attempt;
use arrow_etl::error::ErrorKind;
use arrow_etl::sink::{Tasks, WriteMode};

use super::{LEFT, batch, copy, fitted, request, shape, sink, task, token, upsert};
use crate::server::{postgres, psql, until};

const BUSY: &str = "select count(*) from pg_stat_activity where application_name like 'etl\\_write%' \
                    and datname = current_database()";

#[tokio::test]
async fn a_dropped_writer_and_an_abort_leave_nothing() {
    for (mode, tasks) in [
        (WriteMode::Create, Tasks::One),
        (WriteMode::Create, Tasks::Many),
        (WriteMode::Append, Tasks::One),
        (WriteMode::Truncate, Tasks::One),
        (WriteMode::Replace, Tasks::Many),
        (upsert(), Tasks::Many),
    ] {
        let url = postgres();
        if mode != WriteMode::Create {
            psql(&url, "create table t (id int primary key, name text); insert into t values (7, 'old')");
        }
        let rows = batch(&[(1, Some("one"))]);
        let sink = sink(&url, "t");
        let agreement = sink.agree(&shape(&rows), &request(mode.clone(), tasks)).await.unwrap();
        let token = token();
        sink.prepare(&agreement, &token).await.unwrap();
        let mut dropped = sink.writer(&agreement, &Attempt::new(token.clone(), 0, vec![0])).await.unwrap();
        dropped.write(fitted(&rows, &agreement)).await.unwrap();
        drop(dropped);
        task(&*sink, &agreement, &token, (1, &rows)).await.unwrap();
        let mut open = sink.writer(&agreement, &Attempt::new(token.clone(), 2, vec![2])).await;
        if let Ok(open) = &mut open {
            open.write(fitted(&rows, &agreement)).await.unwrap();
        }
        sink.abort(&agreement, &token).await.unwrap();
        sink.abort(&agreement, &token).await.unwrap();
        drop(open);
        assert_eq!(psql(&url, LEFT), "");
        assert_eq!(psql(&url, "select count(*) from pg_namespace where nspname = 'etl'"), "0");
        let left = if mode == WriteMode::Create { "0" } else { "1" };
        assert_eq!(psql(&url, "select count(*) from pg_class where relname = 't'"), left);
        if mode != WriteMode::Create {
            assert_eq!(psql(&url, "select * from t"), "7|old");
        }
        until(&url, BUSY, |count| count == "0");
    }
}

#[tokio::test]
async fn a_refused_row_is_named_without_its_values() {
    let url = postgres();
    psql(
        &url,
        "create table parent (id int primary key); insert into parent values (1), (2), (3);
        create table u (id int unique, name text); create table c (id int, name text check (name <> 'secret'));
        create table f (id int references parent, name text); create table n (id int, name text not null)",
    );
    let cases = [
        ("u", batch(&[(1, None), (2, None), (1, Some("secret"))]), "u_id_key", Some("3")),
        ("c", batch(&[(1, None), (2, Some("secret"))]), "c_name_check", Some("2")),
        ("f", batch(&[(1, None), (2, None), (4711, Some("secret"))]), "f_id_fkey", None),
    ];
    for tasks in [Tasks::One, Tasks::Many] {
        for (table, rows, constraint, row) in &cases {
            let sink = sink(&url, table);
            let agreement = sink.agree(&shape(rows), &request(WriteMode::Append, tasks)).await.unwrap();
            let token = token();
            sink.prepare(&agreement, &token).await.unwrap();
            let result = match task(&*sink, &agreement, &token, (0, rows)).await {
                Ok(receipt) => sink.commit(&agreement, &token, &[receipt]).await,
                Err(error) => Err(error),
            };
            let error = result.unwrap_err();
            sink.abort(&agreement, &token).await.unwrap();
            assert_eq!(error.kind(), ErrorKind::Constraint, "{error:?}");
            let said = format!("{error:?} {:?}", error.hint());
            assert!(said.contains(constraint) && said.contains(&format!("\"{table}\"")), "{said}");
            assert!(!said.contains("secret") && !said.contains("4711"), "{said}");
            // A unique index is not built before all rows are there.
            let early = tasks == Tasks::One || constraint.ends_with("check");
            if *constraint != "c_name_check" {
                assert!(said.contains("column id"), "{said}");
            }
            assert!(error.hint().is_some_and(|hint| hint.contains("--")), "{said}");
            if let Some(row) = row.filter(|_| early) {
                let frame = error.frames().iter().find(|frame| frame.what == "row");
                assert_eq!(frame.map(|frame| frame.which.as_str()), Some(row), "{said}");
            }
            assert_eq!(psql(&url, &format!("select count(*) from {table}")), "0");
        }
    }
    let rows = batch(&[(1, None)]);
    let agreement = sink(&url, "n").agree(&shape(&rows), &request(WriteMode::Append, Tasks::One)).await.unwrap();
    assert!(!agreement.target.field_with_name("name").unwrap().is_nullable());
    assert_eq!(psql(&url, LEFT), "");
}

#[tokio::test]
async fn a_stage_of_another_run_is_not_touched() {
    let url = postgres();
    let rows = batch(&[(1, Some("one"))]);
    let (one, two) = (sink(&url, "t"), sink(&url, "t"));
    let (first, second) = (token(), token());
    let agreement = one.agree(&shape(&rows), &request(WriteMode::Create, Tasks::Many)).await.unwrap();
    one.prepare(&agreement, &first).await.unwrap();
    two.prepare(&agreement, &second).await.unwrap();
    let receipt = task(&*one, &agreement, &first, (0, &rows)).await.unwrap();
    let late = task(&*two, &agreement, &second, (0, &rows)).await.unwrap();
    two.abort(&agreement, &token()).await.unwrap();
    one.commit(&agreement, &first, &[receipt]).await.unwrap();
    assert_eq!(two.commit(&agreement, &second, &[late]).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    two.abort(&agreement, &second).await.unwrap();
    assert_eq!(psql(&url, "select * from t"), "1|one");
    assert_eq!(psql(&url, LEFT), "");
}

#[tokio::test]
async fn names_are_quoted_and_never_cut() {
    let url = postgres();
    let long = "l".repeat(63);
    psql(&url, "create schema \"My \"\"Schema\"");
    let rows = batch(&[(1, Some("one"))]);
    let odd = ["\"a\nb; select 1/0\"", "\"$NAME $OLD $1 \\ \t\"", "\"$STAGE\".\"$COLUMNS-- \""];
    psql(&url, "create schema \"$STAGE\"");
    for table in
        ["\"My Table\"", "\"it's \"\"so\"\"\"", "\"My \"\"Schema\".\"Order.s\"", &long, "select"].into_iter().chain(odd)
    {
        for tasks in [Tasks::One, Tasks::Many] {
            let mode = if tasks == Tasks::One { WriteMode::Create } else { WriteMode::Replace };
            let sql_name = if table == "select" { "\"select\"" } else { table };
            copy(&*sink(&url, table), &shape(&rows), &request(mode, tasks), &[rows.clone()]).await.unwrap();
            assert_eq!(psql(&url, &format!("select * from {sql_name}")), "1|one");
        }
    }
    let error = sink(&url, &"l".repeat(64)).agree(&shape(&rows), &request(WriteMode::Create, Tasks::One)).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(psql(&url, LEFT), "");
}
