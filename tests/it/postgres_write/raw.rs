//! Bytes of COPY that go through as they are, and COPYs that are long.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow_etl::attempt::Attempt;
use arrow_etl::endpoint::{ObjectRef, OpenRequest};
use arrow_etl::error::ErrorKind;
use arrow_etl::proof::Verify;
use arrow_etl::sink::{Tasks, WriteMode};
use arrow_etl::source::{Scan, SplitGoal};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::TryStreamExt as _;

use super::{LEFT, batch, endpoint, fitted, request, shape, sink, token};
use crate::server::{postgres, psql};

#[tokio::test(flavor = "multi_thread")]
async fn raw_frames_go_through() {
    let url = postgres();
    psql(
        &url,
        "create table s (id int not null, v numeric, a int[], t timestamptz, e text);
        insert into s values (1, 'NaN', '[0:1]={1,2}', 'infinity', E'a\\tb'), (2, null, '{{1},{2}}', '0044-03-15 BC', '')",
    );
    let endpoint = endpoint(&url);
    let object = ObjectRef::Table("s".into());
    let session = endpoint
        .open(&OpenRequest { objects: vec![object.clone()], readers: 1, ..OpenRequest::default() })
        .await
        .unwrap();
    let source = session.source(&object).unwrap();
    let shape = source.describe().await.unwrap();
    let sink = sink(&url, "t");
    let agreement = sink.agree(&shape, &request(WriteMode::Create, Tasks::Many)).await.unwrap();
    let schema = Arc::clone(&shape.schema);
    let scan = Scan { schema, filters: Vec::new().into(), limit: None, batch_rows: 8192, batch_bytes: 1 << 20 };
    assert!(sink.takes(&agreement, &source.encoding(&scan).unwrap(), Verify::Count));
    let token = token();
    sink.prepare(&agreement, &token).await.unwrap();
    let mut receipts = Vec::new();
    for split in source.plan(&scan, &SplitGoal::new(1 << 20, 1)).await.unwrap().splits {
        let attempt = Attempt::new(token.clone(), split.id, vec![split.id]);
        let mut writer = sink.writer(&agreement, &attempt).await.unwrap();
        let frames: Vec<_> = source.read_raw(&scan, &split, &attempt).await.unwrap().try_collect().await.unwrap();
        for (bytes, rows) in frames {
            writer.write_raw(bytes, rows).await.unwrap();
        }
        receipts.push(writer.flush(&token).await.unwrap());
    }
    session.close().await.unwrap();
    sink.commit(&agreement, &token, &receipts).await.unwrap();
    assert_eq!(psql(&url, "select * from t order by id"), psql(&url, "select * from s order by id"));
    assert_eq!(psql(&url, LEFT), "");
}

/// The bytes after which a refused row is heard of, with some to spare.
const LONG: usize = 80 << 20;
const ROW: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_row_is_heard_of_before_the_end() {
    let url = postgres();
    psql(&url, "create table t (id int unique, name text)");
    let rows = batch(&[(1, None)]);
    let sink = sink(&url, "t");
    let agreement = sink.agree(&shape(&rows), &request(WriteMode::Append, Tasks::One)).await.unwrap();
    let token = token();
    let mut writer = sink.writer(&agreement, &Attempt::new(token.clone(), 0, vec![0])).await.unwrap();
    let mut frame = BytesMut::new();
    frame.put_i16(2);
    frame.put_i32(4);
    frame.put_i32(7);
    frame.put_i32(ROW as i32);
    frame.put_bytes(b'x', ROW);
    let frame: Bytes = frame.freeze();
    let mut heard = None;
    for _ in 0..LONG / ROW {
        if let Err(error) = writer.write_raw(frame.clone(), 1).await {
            heard = Some(error);
            break;
        }
    }
    let error = heard.expect("the second row was refused");
    assert_eq!(error.kind(), ErrorKind::Constraint, "{error:?}");
    let places: Vec<String> = error.frames().iter().map(|frame| format!("{} {}", frame.what, frame.which)).collect();
    assert!(places.contains(&"column id".to_owned()) && places.contains(&"row 2".to_owned()), "{places:?}");
    drop(writer);
    sink.abort(&agreement, &token).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_copy_is_one_statement_for_a_table_that_would_notice() {
    let url = postgres();
    psql(
        &url,
        "create table fired (at int);
        create function f() returns trigger language plpgsql as 'begin insert into fired values (1); return null; end';
        create table t (id int primary key, name text, parent int references t);
        create table s (id int, name text, parent int);
        create trigger g after insert on s execute function f()",
    );
    let count = (LONG / ROW) as i32;
    let text = "x".repeat(ROW);
    for table in ["t", "s"] {
        let row = |id: i32| {
            let ids: ArrayRef = Arc::new(Int32Array::from(vec![id]));
            // The first row refers to the last.
            let parents: ArrayRef = Arc::new(Int32Array::from(vec![if id == 1 { count } else { 1 }]));
            let names: ArrayRef = Arc::new(StringArray::from(vec![text.as_str()]));
            RecordBatch::try_from_iter([("id", ids), ("name", names), ("parent", parents)]).unwrap()
        };
        let sink = sink(&url, table);
        let agreement = sink.agree(&shape(&row(1)), &request(WriteMode::Append, Tasks::One)).await.unwrap();
        let token = token();
        let mut writer = sink.writer(&agreement, &Attempt::new(token.clone(), 0, vec![0])).await.unwrap();
        for id in 1..=count {
            writer.write(fitted(&row(id), &agreement)).await.unwrap();
        }
        let receipt = writer.flush(&token).await.unwrap();
        sink.commit(&agreement, &token, &[receipt]).await.unwrap();
        assert_eq!(psql(&url, &format!("select count(*) from {table}")), count.to_string());
    }
    assert_eq!(psql(&url, "select count(*) from fired"), "1");
}
