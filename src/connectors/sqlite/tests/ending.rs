//! How reads and writes end: by a drop, an interrupt, a refusal, a lost answer.

use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::writing::{Writing, batch, copy, request, shape, text};
use super::*;
use crate::error::ErrorKind;
use crate::sink::WriteMode;

/// What takes longer hangs.
const LIMIT: Duration = Duration::from_mins(1);

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.expect("this hangs")
}

#[tokio::test]
async fn a_sink_that_is_dropped_gives_its_lock_back() {
    for there in [true, false] {
        let folder = Folder::new();
        if there {
            folder.run("create table t (id integer primary key, name text)");
        }
        // One endpoint, which outlives its sinks; it does not wait for locks.
        let endpoint = folder.endpoint();
        let rows = batch(&[1], &[Some("a")]);
        for flushes in [true, false] {
            let writing = Writing::into(&endpoint, WriteMode::Append, &shape(&rows)).await.unwrap();
            let mut writer = writing.writer(0).await;
            writer.write(rows.clone()).await.unwrap();
            if flushes {
                writer.flush(&writing.token).await.unwrap();
            }
            let (agreement, token) = (writing.agreement.clone(), writing.token.clone());
            drop(writing);
            drop(writer);
            let later = endpoint.sink(&table("t")).unwrap();
            assert_eq!(later.commit(&agreement, &token, &[]).await.unwrap_err().kind(), ErrorKind::Internal);
            later.abort(&agreement, &token).await.unwrap();
        }
        let writing = Writing::into(&endpoint, WriteMode::Append, &shape(&rows)).await.unwrap();
        let receipt = writing.task(0, rows).await.unwrap();
        writing.commit(&[receipt]).await.unwrap();
        assert_eq!(text(&folder, "select * from t"), "1|a");
        assert_eq!(folder.names(), ["shop.db"]);
    }
}

#[tokio::test]
async fn a_writer_keeps_the_transaction_that_its_sink_began() {
    let folder = Folder::new();
    folder.run("create table t (id integer primary key, name text)");
    let endpoint = folder.endpoint();
    let rows = batch(&[1], &[Some("a")]);
    let writing = Writing::into(&endpoint, WriteMode::Append, &shape(&rows)).await.unwrap();
    let mut writer = writing.writer(0).await;
    let (agreement, token) = (writing.agreement.clone(), writing.token.clone());
    drop(writing);
    writer.write(rows).await.unwrap();
    let receipt = writer.flush(&token).await.unwrap();
    endpoint.sink(&table("t")).unwrap().commit(&agreement, &token, &[receipt]).await.unwrap();
    assert_eq!(text(&folder, "select * from t"), "1|a");
}

#[tokio::test]
async fn what_a_dead_run_was_building_is_swept() {
    let folder = Folder::new();
    let rows = batch(&[1], &[Some("a")]);
    let agreement = folder.endpoint().sink(&table("t")).unwrap();
    let agreement = agreement.agree(&shape(&rows), &request(WriteMode::Create)).await.unwrap();
    let left = |run: &str| folder.path(&format!(".shop.db.{}.etl-db", token(run)));
    for run in ["one", "two"] {
        Connection::open(left(run)).unwrap().execute_batch("create table t (a)").unwrap();
    }
    folder.endpoint().sink(&table("t")).unwrap().abort(&agreement, &token("one")).await.unwrap();
    assert_eq!([left("one").exists(), left("two").exists()], [false, true]);
    copy(&folder, WriteMode::Create, rows).await.unwrap();
    assert_eq!(folder.names(), ["shop.db"]);
}

#[tokio::test]
async fn another_process_finds_out_what_was_committed() {
    for there in [true, false] {
        let folder = Folder::new();
        if there {
            folder.run("create table t (id integer primary key, name text)");
        }
        let endpoint = folder.endpoint();
        let rows = batch(&[1], &[Some("a")]);
        let writing = Writing::into(&endpoint, WriteMode::Append, &shape(&rows)).await.unwrap();
        let receipts = [writing.task(0, rows.clone()).await.unwrap()];
        writing.sink.commit(&writing.agreement, &writing.token, &receipts).await.unwrap();
        let other = folder.endpoint().sink(&table("t")).unwrap();
        other.commit(&writing.agreement, &writing.token, &receipts).await.unwrap();
        other.abort(&writing.agreement, &writing.token).await.unwrap();
        let error = other.commit(&writing.agreement, &token("never"), &receipts).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert_eq!(text(&folder, "select * from t"), "1|a");
        assert_eq!(endpoint.list("*").await.unwrap(), [table("t")]);
        endpoint.finish(std::slice::from_ref(&writing.agreement)).await.unwrap();
        assert_eq!(text(&folder, "select name from sqlite_schema where type = 'table'"), "t");
    }
}

#[tokio::test]
async fn a_commit_that_meets_a_reader_can_be_called_again() {
    let folder = Folder::new();
    folder.run("create table t (id integer primary key, name text)");
    let rows = batch(&[1, 2], &[Some("a"), None]);
    let writing = Writing::begin(&folder, WriteMode::Append, &shape(&rows)).await.unwrap();
    let receipts = [writing.task(0, rows).await.unwrap()];
    let reader = folder.connection();
    reader.execute_batch("begin; select * from t").unwrap();
    for _ in 0..2 {
        assert_eq!(writing.commit(&receipts).await.unwrap_err().kind(), ErrorKind::Transient);
    }
    drop(reader);
    writing.commit(&receipts).await.unwrap();
    assert_eq!(text(&folder, "select * from t"), "1|a\n2|NULL");
}

#[tokio::test]
async fn a_trigger_that_rolls_back_leaves_nothing() {
    let folder = Folder::new();
    folder.run(
        "create table t (id integer primary key, name text);
         create trigger guard before insert on t when new.name = 'bad' begin select raise(rollback, 'no'); end;",
    );
    let ids: Vec<i64> = (0..40).collect();
    let names = |bad: i64| ids.iter().map(|id| Some(if *id == bad { "bad" } else { "x" })).collect::<Vec<_>>();
    let error = copy(&folder, WriteMode::Append, batch(&ids, &names(20))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Constraint);
    assert!(error.to_string().contains("table t: rows 17 to 32: a trigger of the target refuses a row"), "{error}");
    assert_eq!(text(&folder, "select count(*) from t"), "0");
}

#[tokio::test]
async fn rows_may_come_before_those_they_refer_to() {
    let folder = Folder::new();
    folder.run("create table t (id integer primary key, parent int references t (id))");
    let rows = |ids: &[i64], parents: &[Option<i64>]| {
        let fields = vec![Field::new("id", DataType::Int64, false), Field::new("parent", DataType::Int64, true)];
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(ids.to_vec())), Arc::new(Int64Array::from(parents.to_vec()))];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    };
    copy(&folder, WriteMode::Append, rows(&[1, 2], &[Some(2), None])).await.unwrap();
    let error = copy(&folder, WriteMode::Append, rows(&[3, 4], &[Some(4), Some(9)])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Constraint);
    assert!(error.to_string().contains("table t: row with rowid 4: the target refuses the rows"), "{error}");
    assert_eq!(text(&folder, "select * from t"), "1|2\n2|NULL");
}

#[tokio::test]
async fn a_broken_reference_is_not_traded_for_another() {
    let folder = Folder::new();
    folder.run(
        "pragma foreign_keys = off;
         create table t (id integer primary key, name text);
         create table child (t integer references t (id));
         insert into t values (1, 'a'); insert into child values (1), (7);",
    );
    // One was broken before, and one would be after: another one.
    let error = copy(&folder, WriteMode::Replace, batch(&[7], &[Some("b")])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Constraint);
    assert!(error.to_string().contains("table child: row with rowid 1"), "{error}");
    copy(&folder, WriteMode::Replace, batch(&[1], &[Some("b")])).await.unwrap();
    assert_eq!(text(&folder, "select * from t"), "1|b");
}

#[tokio::test]
async fn a_large_copy_within_one_file_does_not_wait_for_itself() {
    let folder = Folder::new();
    folder.run(
        "create table t (id integer primary key, name text); insert into t values (0, 'old');
         create table s (id integer primary key, name text);
         with recursive n(i) as (select 1 union all select i + 1 from n where i < 40000)
         insert into s select i, printf('%01000d', i) from n;",
    );
    // Waits for a day where something is locked.
    let options = json!({ "url": folder.path("shop.db").display().to_string(), "busyTimeout": 86_400 });
    let endpoint = Sqlite.endpoint(&options).unwrap();
    for mode in [WriteMode::Append, WriteMode::Replace] {
        let reading = Reading::of(&endpoint, table("s"), 2).await.unwrap();
        let writing = Writing::into(&endpoint, mode, &reading.shape).await.unwrap();
        let mut writer = writing.writer(0).await;
        for batch in reading.all(&reading.scan()).await.unwrap() {
            in_time(writer.write(batch)).await.unwrap();
        }
        let receipt = writer.flush(&writing.token).await.unwrap();
        reading.session.close().await.unwrap();
        in_time(writing.commit(&[receipt])).await.unwrap();
    }
    assert_eq!(text(&folder, "select count(*), sum(id), sum(length(name)) from t"), "40000|800020000|40000000");
}

#[tokio::test]
async fn a_statement_that_never_ends_is_stopped() {
    let folder = Folder::new();
    folder.run("create table t (id integer primary key)");
    // A thousand rows, then a search for ever.
    let endless =
        "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n where i <= 1000 or i < 0";
    let object = ObjectRef::Query(endless.to_owned());
    let reading = Reading::of(&folder.endpoint(), object, 1).await.unwrap();
    let scan = reading.scan();
    let plan = reading.plan(&scan, 1).await;
    for _ in 0..2 {
        // The only reader is free again as soon as nobody reads.
        let attempt = Attempt::new(token("r"), 0, vec![0]);
        let mut stream = in_time(reading.source.read(&scan, &plan.splits[0], &attempt, None)).await.unwrap();
        assert_eq!(in_time(stream.try_next()).await.unwrap().unwrap().num_rows(), 1000);
    }
    in_time(reading.session.close()).await.unwrap();
    folder.run("insert into t values (1)");
}

#[tokio::test]
async fn keys_that_may_be_null_are_not_passed_on() {
    let folder = Folder::new();
    folder.run(
        "create table k (code text primary key, n int); insert into k values (null, 1), (null, 2);
         create table strict_key (code text not null primary key);",
    );
    let reading = Reading::of(&folder.endpoint(), table("k"), 1).await.unwrap();
    assert!(reading.shape.key.is_empty());
    let notes = reading.plan(&reading.scan(), 1).await.notes;
    assert!(notes.iter().any(|note| note.starts_with("the primary key is not passed on")), "{notes:?}");
    let writing = Writing::begin(&folder, WriteMode::Create, &reading.shape).await.unwrap();
    let batches = reading.all(&reading.scan()).await.unwrap();
    reading.session.close().await.unwrap();
    let receipt = writing.task(0, batches[0].clone()).await.unwrap();
    writing.commit(&[receipt]).await.unwrap();
    assert_eq!(text(&folder, "select * from t"), "NULL|1\nNULL|2");
    let reading = Reading::of(&folder.endpoint(), table("strict_key"), 1).await.unwrap();
    assert_eq!(reading.shape.key, ["code"]);
}

#[tokio::test]
async fn receipts_count_the_bytes_of_the_rows_alone() {
    let folder = Folder::new();
    let names: StringArray = (0..1000).map(|_| Some("x".repeat(100))).collect();
    let whole = RecordBatch::try_from_iter([("name", Arc::new(names) as ArrayRef)]).unwrap();
    let writing = Writing::begin(&folder, WriteMode::Create, &TableShape::of(whole.schema())).await.unwrap();
    let receipt = writing.task(0, whole.slice(10, 5)).await.unwrap();
    assert!((500..600).contains(&receipt.bytes), "{}", receipt.bytes);
}
