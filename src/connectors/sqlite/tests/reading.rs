use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::{col, lit};

use super::*;
use crate::error::ErrorKind;
use crate::reject::Tray;
use crate::source::Pushdown;

/// A table of more than eight megabytes, so that it is cut.
const LARGE: &str = "create table t (id integer primary key, v text);
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000)
    insert into t select i, printf('%0100d', i) from n;";

fn shown(batches: &[arrow::array::RecordBatch]) -> String {
    pretty_format_batches(batches).unwrap().to_string()
}

#[tokio::test]
async fn values_of_every_kind_arrive() {
    let folder = Folder::new();
    folder.run(
        "create table t (id integer primary key, b boolean, r real, n decimal(10,2), d date, ts timestamp, u uuid, j json, x blob, s text not null);
         insert into t values (1, 1, 0.1, 12.5, '2024-02-29', '2024-02-29 12:30:01.5', '01890a5d-ac96-774b-bcce-b302099a8057', '{\"a\":1}', x'00ff', 'Grüße'),
                              (-5, null, 7, -3, null, null, null, null, null, '');",
    );
    let reading = Reading::of(&folder.endpoint(), table("t"), 2).await.unwrap();
    assert_eq!(reading.shape.key, ["id"]);
    assert_eq!(reading.shape.rows, Some(2));
    assert!(!reading.shape.schema.field(0).is_nullable());
    assert_eq!(crate::schema::native_of(reading.shape.schema.field(3), "sqlite"), Some("decimal(10,2)"));
    let expected = "\
+----+------+-----+-------+------------+-------------------------+----------------------------------+---------+------+-------+
| id | b    | r   | n     | d          | ts                      | u                                | j       | x    | s     |
+----+------+-----+-------+------------+-------------------------+----------------------------------+---------+------+-------+
| -5 |      | 7.0 | -3.00 |            |                         |                                  |         |      |       |
| 1  | true | 0.1 | 12.50 | 2024-02-29 | 2024-02-29T12:30:01.500 | 01890a5dac96774bbcceb302099a8057 | {\"a\":1} | 00ff | Grüße |
+----+------+-----+-------+------------+-------------------------+----------------------------------+---------+------+-------+";
    assert_eq!(shown(&reading.all(&reading.scan()).await.unwrap()), expected);
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_an_error_with_its_place() {
    let folder = Folder::new();
    folder.run(
        "create table t (id integer primary key, n int); insert into t values (1, 5), (7, 'secret');
         create view v as select n from t;",
    );
    let reading = Reading::of(&folder.endpoint(), table("t"), 1).await.unwrap();
    let error = reading.all(&reading.scan()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    let text = error.to_string();
    assert!(
        text.ends_with(
            "table t: row with rowid 7: column n: a TEXT value does not fit the column: an integer is wanted"
        ),
        "{text}"
    );
    let reading = Reading::of(&folder.endpoint(), table("v"), 1).await.unwrap();
    let error = reading.all(&reading.scan()).await.unwrap_err().to_string();
    assert!(error.contains("table v: row 2: column n:"), "{error}");
}

#[tokio::test]
async fn several_readers_see_one_point_in_time() {
    for journal in ["delete", "wal"] {
        let folder = Folder::new();
        folder.run(&format!("pragma journal_mode = {journal}"));
        folder.run(LARGE);
        let reading = Reading::of(&folder.endpoint(), table("t"), 4).await.unwrap();
        let scan = reading.scan();
        let plan = reading.plan(&scan, 4).await;
        assert!(plan.splits.len() >= 8, "{:?}", plan.notes);
        let writer = folder.connection();
        writer.busy_timeout(std::time::Duration::ZERO).unwrap();
        // In WAL mode the writer gets through and is not seen; else it must wait.
        let wrote = writer.execute_batch("delete from t; insert into t values (5, 'new')");
        assert_eq!(wrote.is_ok(), journal == "wal");
        let mut streams = Vec::new();
        for split in &plan.splits[..4] {
            let attempt = Attempt::new(token("r"), 0, vec![split.id]);
            streams.push(reading.source.read(&scan, split, &attempt, None).await.unwrap());
        }
        let mut ids = Vec::new();
        for stream in streams {
            let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
            ids.extend(batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()));
        }
        for split in &plan.splits[4..] {
            let batches = reading.split(&scan, split).await.unwrap();
            ids.extend(batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()));
        }
        assert_eq!(ids, (1..=100_000).collect::<Vec<i64>>());
        reading.session.check().await.unwrap();
        reading.session.close().await.unwrap();
        reading.session.close().await.unwrap();
        folder.run("insert into t values (-1, 'after')");
    }
}

#[tokio::test]
async fn a_split_can_be_read_twice_and_dropped_in_the_middle() {
    let folder = Folder::new();
    folder.run(LARGE);
    let reading = Reading::of(&folder.endpoint(), table("t"), 2).await.unwrap();
    let scan = reading.scan();
    let plan = reading.plan(&scan, 2).await;
    for _ in 0..4 {
        let attempt = Attempt::new(token("r"), 0, vec![1]);
        let mut stream = reading.source.read(&scan, &plan.splits[1], &attempt, None).await.unwrap();
        assert!(stream.try_next().await.unwrap().is_some());
    }
    let once = reading.split(&scan, &plan.splits[1]).await.unwrap();
    assert_eq!(once, reading.split(&scan, &plan.splits[1]).await.unwrap());
    assert!(rows(&once) > 1000);
}

#[tokio::test]
async fn rows_with_values_that_do_not_fit_go_into_the_tray() {
    let folder = Folder::new();
    folder.run(
        "create table t (id integer primary key, n int, d date, note text);
         insert into t values (1, 10, '2024-01-01', 'a'), (2, 'ten', 'someday', null), (3, 30, '2024-01-03', 'c'),
           (5, 50, '2024-01-05', 'e'), (6, 60, '2024-01-06', x'00'), (40, 40, '2024-01-04', cast(x'61ff' as text))",
    );
    let reading = Reading::of(&folder.endpoint(), table("t"), 1).await.unwrap();
    let scan = Scan { batch_rows: 2, ..reading.scan() };
    let plan = reading.plan(&scan, 1).await;
    let (tray, attempt) = (Arc::<Tray>::default(), Attempt::new(token("r"), 0, vec![0]));
    let stream = reading.source.read(&scan, &plan.splits[0], &attempt, Some(&tray)).await.unwrap();
    let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    let ids = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(batches.iter().map(ids).collect::<Vec<_>>(), [vec![1], vec![3, 5], vec![]]);
    let rejects = tray.take();
    let told: Vec<String> = rejects.iter().flat_map(|some| some.errors.iter().map(ToString::to_string)).collect();
    let wants = ["an integer is wanted", "text in UTF-8 is wanted"];
    assert_eq!(
        told,
        [
            format!("row 2: rowid 2: column n: a TEXT value does not fit the column: {}", wants[0]),
            format!("row 5: rowid 6: column note: a BLOB value does not fit the column: {}", wants[1]),
            format!(
                "row 6: rowid 40: column note: a TEXT value that is not UTF-8 does not fit the column: {}",
                wants[1]
            ),
        ]
    );
    let texts = |rows: &RecordBatch, column: usize| {
        let texts = rows.column(column).as_string::<i32>();
        texts.iter().map(|text| text.unwrap_or("NULL").to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids(&rejects[0].rows), [2]);
    assert_eq!((texts(&rejects[0].rows, 1), texts(&rejects[0].rows, 2)), ("ten".to_owned(), "someday".to_owned()));
    assert_eq!((ids(&rejects[1].rows), texts(&rejects[1].rows, 3)), (vec![6, 40], r"\x00 \x61ff".to_owned()));
    // Without a tray the first of them is an error.
    let error = reading.all(&reading.scan()).await.unwrap_err();
    assert!(error.to_string().contains("row with rowid 2: column n: "), "{error}");
}

#[tokio::test]
async fn tables_without_row_ids_views_and_queries_are_read() {
    let folder = Folder::new();
    folder.run(
        "create table k (a text, b int, primary key (a, b)) without rowid;
         insert into k values ('x', 2), ('x', 1), ('w', 3);
         create view v as select b, a || '!' as c from k;",
    );
    let object = [table("k"), table("V"), ObjectRef::Query("select b, count(*) over () as n from k;".into())];
    for object in object {
        let reading = Reading::of(&folder.endpoint(), object, 2).await.unwrap();
        assert_eq!(rows(&reading.all(&reading.scan()).await.unwrap()), 3);
    }
    let reading = Reading::of(&folder.endpoint(), table("k"), 2).await.unwrap();
    assert_eq!(reading.shape.key, ["a", "b"]);
    assert!(reading.shape.schema.fields().iter().all(|field| !field.is_nullable()));
}

#[tokio::test]
async fn filters_keep_what_arrow_would_keep() {
    let folder = Folder::new();
    folder.run(
        "create table t (s text collate nocase, n int, any_, d date, f real);
         insert into t values ('a', 1, '5', '2024-01-01', 0.5), ('A', 2, 5, '2024-01-02', null), (null, 3, 'x', null, 2);",
    );
    let reading = Reading::of(&folder.endpoint(), table("t"), 1).await.unwrap();
    let day = lit(datafusion::scalar::ScalarValue::Date32(Some(19_723)));
    let cases = [
        (col("s").eq(lit("a")), Pushdown::Exact, 1),
        (col("s").gt(lit("A")), Pushdown::Exact, 1),
        (col("s").is_null(), Pushdown::Exact, 1),
        (col("n").gt(lit(1_i64)), Pushdown::Exact, 2),
        (col("d").eq(day.clone()), Pushdown::Exact, 1),
        (col("f").gt(lit(0.25)), Pushdown::Superset, 2),
        (col("d").gt(day), Pushdown::None, 0),
        (col("any_").eq(lit("5")), Pushdown::None, 0),
    ];
    for (filter, pushdown, expected) in cases {
        assert_eq!(reading.source.pushdown(&reading.shape, &filter), pushdown, "{filter}");
        if pushdown != Pushdown::None {
            let scan = Scan { filters: vec![filter.clone()].into(), ..reading.scan() };
            assert_eq!(rows(&reading.all(&scan).await.unwrap()), expected, "{filter}");
        }
    }
    let scan = Scan { limit: Some(2), ..reading.scan() };
    assert_eq!(rows(&reading.all(&scan).await.unwrap()), 2);
}

#[tokio::test]
async fn projections_and_batch_limits_hold() {
    let folder = Folder::new();
    folder.run(LARGE);
    let reading = Reading::of(&folder.endpoint(), table("t"), 1).await.unwrap();
    let none = Arc::new(reading.shape.schema.project(&[]).unwrap());
    assert_eq!(rows(&reading.all(&Scan { schema: none, ..reading.scan() }).await.unwrap()), 100_000);
    let swapped = Arc::new(reading.shape.schema.project(&[1, 0]).unwrap());
    let scan = Scan { schema: swapped, batch_rows: 10, batch_bytes: 500, ..reading.scan() };
    let batches = reading.split(&scan, &reading.plan(&scan, 1).await.splits[0]).await.unwrap();
    assert_eq!(batches[0].num_rows(), 5);
    assert_eq!(batches[0].schema().field(0).data_type(), &DataType::Utf8);
    assert_eq!(batches[0].column(1).len(), 5);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_has_one_reader() {
    let folder = Folder::new();
    folder.run(LARGE);
    let path = folder.path("shop.db");
    let writer = folder.connection();
    writer.execute_batch("begin immediate").unwrap();
    let reading = Reading::of(&endpoint(&path), table("t"), 4).await.unwrap();
    let plan = reading.plan(&reading.scan(), 4).await;
    assert_eq!(plan.splits.len(), 1);
    assert!(plan.notes[0].starts_with("one reader only: another program writes to it"), "{:?}", plan.notes);
    assert_eq!(rows(&reading.all(&reading.scan()).await.unwrap()), 100_000);
}

#[tokio::test]
async fn wrong_files_and_names_are_told() {
    let folder = Folder::new();
    let kind = async |name: &str, object: &str| {
        let result = Reading::of(&endpoint(&folder.path(name)), table(object), 1).await;
        result.map(|_| ()).unwrap_err().kind()
    };
    assert_eq!(kind("missing.db", "t").await, ErrorKind::NotFound);
    std::fs::write(folder.path("text.db"), "a,b\n1,2\n".repeat(1000)).unwrap();
    assert_eq!(kind("text.db", "t").await, ErrorKind::Corrupt);
    folder.run("create table \"a.b\" (x)");
    assert_eq!(kind("shop.db", "t").await, ErrorKind::NotFound);
    assert_eq!(kind("shop.db", "a.c").await, ErrorKind::Usage);
    let listed = folder.endpoint().list("*").await.unwrap();
    assert_eq!(listed, [table("a.b")]);
    assert!(Reading::of(&folder.endpoint(), listed[0].clone(), 1).await.is_ok());
    assert!(Reading::of(&folder.endpoint(), ObjectRef::Whole, 1).await.is_ok());
    let ping = folder.endpoint().ping().await.unwrap();
    assert!(ping.server.starts_with("SQLite 3."), "{ping:?}");
}
