//! Tests of the generator and of `null:`.

use std::sync::Arc;

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int16Type, Int64Type, Schema};
use futures::TryStreamExt as _;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::columns::{Column, Kind, parse};
use super::{Stream, config, fill};
use crate::attempt::{Attempt, Token};
use crate::connector::Connector as _;
use crate::endpoint::{ObjectRef, OpenRequest};
use crate::error::{ErrorKind, Result};
use crate::proof::Verify;
use crate::sink::{WriteMode, WriteRequest};
use crate::source::{Encoding, Scan, Source, Split, SplitGoal, TableShape};

fn token() -> Token {
    Token { run: "r".to_owned(), transfer: 0, sink: 0, epoch: 0 }
}

async fn source(options: Json, object: ObjectRef) -> Result<Arc<dyn Source>> {
    let request = OpenRequest { objects: vec![object.clone()], readers: 1, ..OpenRequest::default() };
    Stream.endpoint(&options)?.open(&request).await?.source(&object)
}

fn scan(shape: &TableShape, batch_rows: usize) -> Scan {
    let schema = Arc::clone(&shape.schema);
    Scan { schema, filters: Vec::new().into(), limit: None, batch_rows, batch_bytes: 16 << 20 }
}

async fn rows_of(source: &dyn Source, scan: &Scan, splits: &[Split]) -> RecordBatch {
    let mut batches = Vec::new();
    for split in splits {
        let attempt = Attempt::new(token(), 0, vec![split.id]);
        batches.extend(source.read(scan, split, &attempt, None).await.unwrap().try_collect::<Vec<_>>().await.unwrap());
    }
    concat_batches(&scan.schema, &batches).unwrap()
}

/// All rows, cut for `channels`.
async fn table(options: Json, channels: usize, batch_rows: usize) -> (RecordBatch, usize) {
    let source = source(options, ObjectRef::Whole).await.unwrap();
    let scan = scan(&source.describe().await.unwrap(), batch_rows);
    let plan = source.plan(&scan, &SplitGoal::new(1 << 20, channels)).await.unwrap();
    (rows_of(&*source, &scan, &plan.splits).await, plan.splits.len())
}

#[test]
fn the_grammar_is_read() {
    let columns = parse(
        "id:seq(5), \"a,b\":int(-3..4),p:decimal(18,4)(-1.5..1000)~0.25,t:text(7),d:date(2020-01-01..2020-01-02),\
         day:timestamp(1970-01-01..1970-01-01),at:timestamptz(1970-01-01T00:00:01..1970-01-01T00:00:02.5)",
    );
    let kinds = [
        ("id", Kind::Sequence(5), 0.0),
        ("a,b", Kind::Int32(-3..=4), 0.0),
        ("p", Kind::Decimal { precision: 18, scale: 4, range: -15_000..=10_000_000 }, 0.25),
        ("t", Kind::Text(7..=7), 0.0),
        ("d", Kind::Date(18262..=18263), 0.0),
        ("day", Kind::Timestamp(0..=86_399_999_999), 0.0),
        ("at", Kind::TimestampTz(1_000_000..=2_500_000), 0.0),
    ];
    let expected = kinds.map(|(name, kind, nulls)| Column { name: name.to_owned(), kind, nulls, value: None });
    assert_eq!(columns.unwrap(), expected);
}

#[test]
fn what_is_wrong_is_said() {
    let cases = [
        ("gen:a", "\"a\" is no column"),
        ("gen:a:int,a:text", "column a: this column stands twice"),
        ("gen:a:number", "column a: there is no type \"number\""),
        ("gen:a:int(5..1)", "column a: (5..1) is no range of this type"),
        ("gen:a:int(0..3000000000)", "column a: (0..3000000000) is no range"),
        ("gen:a:int(0..1", "column a: the brackets of \"(0..1\" do not match"),
        ("gen:a:decimal(39,2)", "column a: a decimal is written"),
        ("gen:a:decimal(4,2)(0..100)", "column a: (0..100) is no range"),
        ("gen:a:decimal(4,2)(0..1.005)", "column a: (0..1.005) is no range"),
        ("gen:a:bool(0..1)", "column a: the share of true values \"0..1\" is no number"),
        ("gen:a:bool(1.5)", "column a: the share of true values \"1.5\""),
        ("gen:a:uuid(1)", "column a: uuid takes no range"),
        ("gen:a:int~1.5", "column a: the share of NULLs \"1.5\""),
        ("gen:a:seq~0.5", "column a: a sequence has no NULLs"),
        ("gen:a:int?row=5", "gen: has no option \"row\" here"),
        ("gen:a:int?rows=many", "option rows: \"many\" is not a number"),
        ("gen:tpch.lines", "TPC-H has no table \"lines\""),
        ("gen:tpch.orders?sf=0", "the scale factor of TPC-H is a number from"),
        ("gen:tpch.orders?rows=5", "gen: has no option \"rows\" here"),
        ("null:a", "nothing may stand behind null:"),
    ];
    for (url, expected) in cases {
        let error = Stream.endpoint(&json!({ "url": url })).unwrap_err();
        assert!(error.to_string().contains(expected), "{url} gave {error}");
    }
}

#[tokio::test]
async fn any_cut_gives_the_same_rows() {
    let options = json!({"url": "gen:?rows=20000", "seed": 7});
    let (whole, one) = table(options.clone(), 1, 20_000).await;
    let (parts, many) = table(options, 3, 777).await;
    assert_eq!((one, many, whole.num_rows()), (1, 3, 20_000));
    assert_eq!(whole, parts);
    let (other, _) = table(json!({"url": "gen:?rows=20000&seed=8"}), 1, 20_000).await;
    assert_ne!(whole.column(5), other.column(5));
}

#[tokio::test]
async fn values_stay_in_their_ranges() {
    let url = "gen:id:seq,s:smallint(-2..2)~0.5,d:decimal(10,2)(0.01..0.03),day:date(2024-02-28..2024-02-29),\
               t:text(3..5),u:unicode(2),b:bytes(0..1)?rows=2000";
    let (batch, _) = table(json!({"url": url}), 1, 1024).await;
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().values().as_ref(), (1..=2000).collect::<Vec<_>>());
    let small = batch.column(1).as_primitive::<Int16Type>();
    assert!((900..1100).contains(&small.null_count()));
    let mut seen: Vec<_> = small.iter().flatten().collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [-2, -1, 0, 1, 2]);
    assert!(batch.column(2).as_primitive::<Decimal128Type>().values().iter().all(|value| (1..=3).contains(value)));
    assert!(batch.column(3).as_primitive::<Date32Type>().values().iter().all(|day| (19781..=19782).contains(day)));
    assert!(batch.column(4).as_string::<i32>().iter().flatten().all(|text| (3..=5).contains(&text.len())));
    assert!(batch.column(5).as_string::<i32>().iter().flatten().all(|text| text.chars().count() == 2));
    assert!(batch.column(6).as_binary::<i32>().iter().flatten().all(|bytes| bytes.len() <= 1));
}

#[tokio::test]
async fn values_are_true_by_their_share() {
    let (batch, _) = table(json!({"url": "gen:a:bool(0.75),b:bool(0),c:bool(1),d:bool?rows=4000"}), 1, 1024).await;
    let counts = [0, 1, 2, 3].map(|column: usize| batch.column(column).as_boolean().true_count());
    // Five standard deviations to either side.
    assert!((2863..=3137).contains(&counts[0]) && (1842..=2158).contains(&counts[3]), "{counts:?}");
    assert_eq!(counts[1..3], [0, 4000]);
}

#[tokio::test]
async fn json_is_json() {
    let (batch, _) = table(json!({"url": "gen:j:json?rows=100"}), 1, 100).await;
    for text in batch.column(0).as_string::<i32>().iter().flatten() {
        serde_json::from_str::<Json>(text).unwrap();
    }
}

#[tokio::test]
async fn wide_values_shorten_the_batch() {
    let source = source(json!({"url": "gen:t:text(1000)?rows=100"}), ObjectRef::Whole).await.unwrap();
    let mut scan = scan(&source.describe().await.unwrap(), 8192);
    scan.batch_bytes = 10_040;
    let plan = source.plan(&scan, &SplitGoal::new(1, 8)).await.unwrap();
    let attempt = Attempt::new(token(), 0, vec![0]);
    let batches: Vec<_> =
        source.read(&scan, &plan.splits[0], &attempt, None).await.unwrap().try_collect().await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [10; 10]);
}

#[tokio::test]
async fn an_empty_table_and_no_columns_work() {
    let (batch, splits) = table(json!({"url": "gen:a:int?rows=0"}), 4, 100).await;
    assert_eq!((batch.num_rows(), splits), (0, 0));
    let source = source(json!({"url": "gen:a:int?rows=10"}), ObjectRef::Whole).await.unwrap();
    let mut scan = scan(&source.describe().await.unwrap(), 100);
    scan.schema = Arc::new(Schema::empty());
    let plan = source.plan(&scan, &SplitGoal::new(1, 1)).await.unwrap();
    let attempt = Attempt::new(token(), 0, vec![0]);
    let batches: Vec<_> =
        source.read(&scan, &plan.splits[0], &attempt, None).await.unwrap().try_collect().await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
}

#[tokio::test]
async fn tpch_has_the_rows_of_the_standard() {
    // dbgen's own first rows of region, orders and lineitem; the counts at scale 0.01 are those of its answer set.
    let (region, _) = table(json!({"url": "gen:tpch.region"}), 4, 100).await;
    let names: Vec<_> = region.column(1).as_string::<i32>().iter().flatten().collect();
    assert_eq!(names, ["AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"]);
    let (lines, parts) = table(json!({"url": "gen:tpch.lineitem?sf=0.01"}), 4, 1000).await;
    assert_eq!((lines.num_rows(), parts), (60_175, 6));
    let (again, one) = table(json!({"url": "gen:tpch.lineitem?sf=0.01"}), 1, 5000).await;
    assert_eq!(one, 1);
    assert_eq!(lines, again);
    assert!(lines.schema().fields().iter().all(|field| *field.data_type() != DataType::Utf8View));

    let all = Stream.endpoint(&json!({"url": "gen:tpch?sf=0.01"})).unwrap();
    assert_eq!(all.list("part*").await.unwrap().len(), 2);
    let orders = source(json!({"url": "gen:tpch", "sf": 0.01}), ObjectRef::Table("orders".to_owned())).await.unwrap();
    let shape = orders.describe().await.unwrap();
    assert_eq!((shape.rows, shape.key), (Some(15_000), vec!["o_orderkey".to_owned()]));
}

#[tokio::test]
async fn null_counts_rows_and_raw_bytes() {
    let (batch, _) = table(json!({"url": "gen:a:bigint?rows=100"}), 1, 100).await;
    let endpoint = Stream.endpoint(&json!({"url": "null:"})).unwrap();
    let sink = endpoint.sink(&ObjectRef::Whole).unwrap();
    let request = WriteRequest::new(WriteMode::Create);
    let agreement = sink.agree(&TableShape::of(batch.schema()), &request).await.unwrap();
    assert!(sink.takes(&agreement, &Encoding { name: "any".to_owned(), columns: Vec::new() }, Verify::Count));
    let mut writer = sink.writer(&agreement, &Attempt::new(token(), 3, vec![4, 5])).await.unwrap();
    writer.write(batch.slice(10, 50)).await.unwrap();
    writer.write_raw(bytes::Bytes::from_static(b"12345"), 2).await.unwrap();
    let receipt = writer.flush(&token()).await.unwrap();
    assert_eq!((receipt.rows, receipt.bytes, receipt.task, receipt.splits), (52, 405, 3, vec![4, 5]));
    let request = OpenRequest { objects: Vec::new(), readers: 1, ..OpenRequest::default() };
    assert_eq!(endpoint.open(&request).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

proptest! {
    #[test]
    fn no_text_breaks_the_grammar(text in "[a-z0-9:,.()~\" é-]{0,40}") {
        let _ = parse(&text);
    }
}

#[tokio::test]
async fn the_widest_decimals_are_made() {
    let limit = 10_i128.pow(38);
    let (rows, _) = table(json!({"url": "gen:a:decimal(38,0)?rows=1000"}), 1, 1000).await;
    let values = rows.column(0).as_primitive::<Decimal128Type>().values();
    assert!(values.iter().all(|value| (1 - limit..limit).contains(value)));
    assert!(values.iter().any(|value| *value < -limit / 2) && values.iter().any(|value| *value > limit / 2));
}

#[tokio::test]
async fn a_column_with_a_value_holds_it_in_every_row() {
    let options = json!({"url": "gen:n:bigint,t:text,at:timestamptz", "rows": 3, "values": {
        "n": "7", "t": "DataX", "at": "2014-05-07 00:00:00+08:00"}});
    let config::Config::Columns(table) = config::parse(&options).unwrap() else { panic!("it makes columns") };
    let placed: Vec<_> = table.columns.iter().map(|column| fill::Placed { place: 0, column: column.clone() }).collect();
    let schema = Arc::new(arrow::datatypes::Schema::new(table.columns.iter().map(Column::field).collect::<Vec<_>>()));
    let batch = fill::batch(&schema, &placed, 0, &(0..3)).unwrap();
    let shown =
        |column: usize, row: usize| arrow::util::display::array_value_to_string(batch.column(column), row).unwrap();
    for row in 0..3 {
        assert_eq!([shown(0, row), shown(1, row), shown(2, row)], ["7", "DataX", "2014-05-06T16:00:00Z"]);
    }
    let wide = "x".repeat(1000);
    let options = json!({"url": "gen:t:text(3)", "values": {"t": wide}});
    let config::Config::Columns(table) = config::parse(&options).unwrap() else { panic!("it makes columns") };
    assert_eq!(table.columns[0].width(), (1004, 1004), "batches are as small as the text asks for");
    let wrong = json!({"url": "gen:n:bigint", "values": {"n": "x"}});
    assert_eq!(config::parse(&wrong).unwrap_err().kind(), ErrorKind::Usage);
    assert!(config::parse(&json!({"url": "gen:n:bigint", "values": {"m": "1"}})).is_err());
}
