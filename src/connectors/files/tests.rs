//! Files to files, through the calls of the contract in the order of the engine.

mod commits;
mod sources;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{Int64Type, Schema};
use datafusion::logical_expr::Expr;
use datafusion::prelude::{col, lit};
use futures::TryStreamExt as _;
use serde_json::{Value as Json, json};

use super::*;
use crate::attempt::{Attempt, Token};
use crate::schema::record_batch;
use crate::sink::{Progress, Publish, Receipt, WriteMode, WriteRequest, Writers};
use crate::source::{ReadPlan, Scan, Source, SplitGoal, TableShape};

fn endpoint(options: Json) -> Result<Arc<dyn Endpoint>> {
    let options = if let Json::String(url) = options { json!({"url": url}) } else { options };
    Files.endpoint(&options)
}

fn at(folder: &Path, name: &str) -> Json {
    json!(folder.join(name).to_str().unwrap())
}

struct Opened {
    session: Arc<dyn Session>,
    source: Arc<dyn Source>,
    shape: TableShape,
}

async fn open(options: Json) -> Result<Opened> {
    let request = OpenRequest { objects: vec![ObjectRef::Whole], readers: 2, ..OpenRequest::default() };
    let session = endpoint(options)?.open(&request).await?;
    let source = session.source(&ObjectRef::Whole)?;
    let shape = source.describe().await?;
    Ok(Opened { session, source, shape })
}

fn scan_of(shape: &TableShape) -> Scan {
    Scan {
        schema: shape.schema.clone(),
        filters: Vec::new().into(),
        limit: None,
        batch_rows: 1000,
        batch_bytes: 1 << 20,
    }
}

fn goal(split_bytes: u64) -> SplitGoal {
    SplitGoal::new(split_bytes, 4)
}

fn attempt(token: &Token, task: u32, splits: Vec<u32>) -> Attempt {
    Attempt::new(token.clone(), task, splits)
}

fn token(run: &str) -> Token {
    Token { run: run.to_owned(), transfer: 0, sink: 0, epoch: 0 }
}

async fn read_all(opened: &Opened, scan: &Scan, goal: &SplitGoal) -> Result<(ReadPlan, RecordBatch)> {
    let plan = opened.source.plan(scan, goal).await?;
    let mut batches = Vec::new();
    for split in &plan.splits {
        let stream = opened.source.read(scan, split, &attempt(&token("r"), 0, vec![split.id]), None).await?;
        batches.extend(stream.try_collect::<Vec<_>>().await?);
    }
    assert!(batches.iter().all(|batch| batch.num_rows() <= scan.batch_rows));
    Ok((plan, concat_batches(&scan.schema, &batches)?))
}

async fn rows(options: Json) -> Result<RecordBatch> {
    let opened = open(options).await?;
    Ok(read_all(&opened, &scan_of(&opened.shape), &goal(1 << 30)).await?.1)
}

/// One task per split, each writing what it reads.
struct Copy {
    sink: Arc<dyn Sink>,
    agreement: Agreement,
    token: Token,
    receipts: Vec<Receipt>,
}

impl Copy {
    async fn run(from: &Opened, to: Json, mode: WriteMode, run: &str) -> Result<Self> {
        let sink = endpoint(to)?.sink(&ObjectRef::Whole)?;
        let request = WriteRequest::new(mode);
        let agreement = sink.agree(&from.shape, &request).await?;
        let token = token(run);
        sink.prepare(&agreement, &token).await?;
        sink.prepare(&agreement, &token).await?;
        let scan = scan_of(&from.shape);
        let plan = from.source.plan(&scan, &goal(20_000)).await?;
        let mut copy = Self { sink, agreement, token, receipts: Vec::new() };
        let one = copy.agreement.writers == Writers::One;
        let tasks = if one { vec![plan.splits] } else { plan.splits.into_iter().map(|split| vec![split]).collect() };
        for (task, splits) in tasks.into_iter().enumerate() {
            let attempt = attempt(&copy.token, task as u32, splits.iter().map(|split| split.id).collect());
            let mut writer = copy.sink.writer(&copy.agreement, &attempt).await?;
            for split in &splits {
                let mut stream = from.source.read(&scan, split, &attempt, None).await?;
                while let Some(batch) = stream.try_next().await? {
                    writer.write(copy.aligned(&batch)).await?;
                }
            }
            copy.receipts.push(writer.flush(&copy.token).await?);
        }
        // The order in which tasks end says nothing.
        copy.receipts.reverse();
        Ok(copy)
    }

    fn aligned(&self, batch: &RecordBatch) -> RecordBatch {
        let columns = self
            .agreement
            .target
            .fields()
            .iter()
            .map(|field| cast(batch.column_by_name(field.name()).unwrap(), field.data_type()).unwrap());
        RecordBatch::try_new(self.agreement.target.clone(), columns.collect()).unwrap()
    }

    async fn commit(&self) -> Result<()> {
        self.sink.commit(&self.agreement, &self.token, &self.receipts).await
    }

    async fn abort(&self) -> Result<()> {
        self.sink.abort(&self.agreement, &self.token).await
    }
}

async fn copy(from: Json, to: Json, mode: WriteMode, run: &str) -> Result<()> {
    let from = open(from).await?;
    Copy::run(&from, to, mode, run).await?.commit().await
}

fn csv(rows: std::ops::Range<i64>) -> String {
    let mut text = "id,name,note\n".to_owned();
    for n in rows {
        let note = if n % 3 == 0 { "\"two\nlines\"" } else { "" };
        writeln!(text, "{n},\"name, {n}\",{note}").unwrap();
    }
    text
}

fn ids(batch: &RecordBatch) -> Vec<i64> {
    batch.column_by_name("id").unwrap().as_primitive::<Int64Type>().values().to_vec()
}

fn visible(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

#[tokio::test]
async fn every_format_takes_what_another_gives_in_the_same_order() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.csv"), csv(0..3000)).unwrap();
    let first = rows(at(folder, "a.csv")).await.unwrap();
    assert_eq!(ids(&first), (0..3000).collect::<Vec<_>>());
    let chain = ["b.parquet", "c.arrow", "d.arrows", "e.csv.gz", "i.avro", "j.xlsx", "f.tsv.zst", "g.parquet", "h.csv"];
    let mut from = "a.csv";
    for (index, to) in chain.iter().enumerate() {
        copy(at(folder, from), at(folder, to), WriteMode::Create, &format!("run{index}")).await.unwrap();
        let back = rows(at(folder, to)).await.unwrap();
        assert_eq!(back.columns(), first.columns(), "{to}");
        from = to;
    }
    assert_eq!(fs::read(folder.join("h.csv")).unwrap(), fs::read(folder.join("a.csv")).unwrap());
    let zcat = std::process::Command::new("gzip").arg("-dc").arg(folder.join("e.csv.gz")).output().unwrap();
    assert_eq!(zcat.stdout, fs::read(folder.join("a.csv")).unwrap());
}

/// Writes `batch` into a part of a new file, and gives the rows of its receipt.
async fn wrote(to: Json, run: &str, batch: &RecordBatch) -> Result<u64> {
    let sink = endpoint(to)?.sink(&ObjectRef::Whole)?;
    let agreement = sink.agree(&TableShape::of(batch.schema()), &WriteRequest::new(WriteMode::Create)).await?;
    let token = token(run);
    sink.prepare(&agreement, &token).await?;
    let mut writer = sink.writer(&agreement, &attempt(&token, 0, vec![0])).await?;
    writer.write(batch.clone()).await?;
    Ok(writer.flush(&token).await?.rows)
}

#[tokio::test]
async fn rows_without_columns_are_refused_where_nothing_would_tell_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let none = record_batch(&Arc::new(Schema::empty()), vec![], 2).unwrap();
    let plain = ["a.csv", "a.tsv", "a.parquet", "a.xlsx"].map(|name| (name, at(folder, name)));
    let loose = ("b.csv", json!({"url": at(folder, "b.csv"), "loose": {}}));
    for (name, to) in plain.into_iter().chain([loose]) {
        let error = wrote(to, name, &none).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}: {error}");
        assert!(error.to_string().contains("has no rows without columns"), "{name}: {error}");
    }
    for name in ["a.jsonl", "a.avro", "a.arrow", "a.arrows"] {
        assert_eq!(wrote(at(folder, name), name, &none).await.unwrap(), 2, "{name}");
    }
}

#[tokio::test]
async fn a_large_text_file_is_cut_at_record_ends_and_lines_are_true() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = csv(0..20_000);
    fs::write(folder.join("a.csv"), &text).unwrap();
    let opened = open(at(folder, "a.csv")).await.unwrap();
    let (plan, cut) = read_all(&opened, &scan_of(&opened.shape), &goal(30_000)).await.unwrap();
    assert!(plan.splits.len() > 5, "{}", plan.splits.len());
    assert_eq!(ids(&cut), (0..20_000).collect::<Vec<_>>());
    assert_eq!(plan.splits.iter().map(|split| split.bytes.unwrap()).sum::<u64>(), text.len() as u64 - 13);
    opened.session.check().await.unwrap();

    let bad = text.replace("\n19999,", "\nword,");
    let line = 1 + bad[..bad.find("word").unwrap()].matches('\n').count();
    fs::write(folder.join("bad.csv"), bad).unwrap();
    for name in ["bad.csv", "bad.csv.gz"] {
        if name.ends_with("gz") {
            assert!(std::process::Command::new("gzip").arg(folder.join("bad.csv")).status().unwrap().success());
        }
        let opened = open(json!({"url": at(folder, name), "casts": {"id": "bigint"}})).await.unwrap();
        let error = read_all(&opened, &scan_of(&opened.shape), &goal(30_000)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(error.to_string().contains(&format!("line {line}:")), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    assert_eq!(opened.session.check().await.map_err(|error| error.kind()), Ok(()));
    fs::write(folder.join("a.csv"), "id\n1\n").unwrap();
    assert_eq!(opened.session.check().await.unwrap_err().kind(), ErrorKind::Io);
}

#[tokio::test]
async fn parquet_gives_wanted_columns_and_skips_row_groups() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.csv"), csv(0..10_000)).unwrap();
    let to = json!({"url": at(folder, "b.parquet"), "rowGroupRows": 1000});
    copy(at(folder, "a.csv"), to, WriteMode::Create, "r").await.unwrap();
    let opened = open(at(folder, "b.parquet")).await.unwrap();
    assert_eq!(opened.shape.rows, Some(10_000));
    let filter: Expr = col("id").gt_eq(lit(9_990i64));
    assert_eq!(opened.source.pushdown(&opened.shape, &filter), crate::source::Pushdown::Superset);
    let schema = Arc::new(opened.shape.schema.project(&[2, 0]).unwrap());
    let scan = Scan { schema, filters: vec![filter].into(), ..scan_of(&opened.shape) };
    let (plan, kept) = read_all(&opened, &scan, &goal(1)).await.unwrap();
    assert!(plan.notes.iter().any(|note| note.contains("skipped")), "{:?}", plan.notes);
    assert!(kept.num_rows() < 5000 && ids(&kept).contains(&9_990) && ids(&kept).contains(&9_999));
    let scan = Scan { limit: Some(1234), ..scan_of(&opened.shape) };
    let (_, limited) = read_all(&opened, &scan, &goal(1 << 30)).await.unwrap();
    assert_eq!(ids(&limited), (0..1234).collect::<Vec<_>>());
    let none = Scan { schema: Arc::new(Schema::empty()), ..scan_of(&opened.shape) };
    let stream = opened.source.read(&none, &plan.splits[0], &attempt(&token("r"), 0, vec![0]), None).await.unwrap();
    let counted: usize = stream.try_collect::<Vec<_>>().await.unwrap().iter().map(RecordBatch::num_rows).sum();
    assert!(counted > 0);
}

#[tokio::test]
async fn modes_keep_their_promises() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.csv"), csv(0..2000)).unwrap();
    fs::write(folder.join("b.csv"), csv(2000..2500)).unwrap();
    for name in ["t.csv", "t.csv.gz", "t.parquet", "t.avro", "t.arrow", "t.arrows"] {
        let run = |step: &str| format!("{name}{step}");
        copy(at(folder, "a.csv"), at(folder, name), WriteMode::Create, &run("1")).await.unwrap();
        let again = copy(at(folder, "a.csv"), at(folder, name), WriteMode::Create, &run("2")).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        copy(at(folder, "b.csv"), at(folder, name), WriteMode::Append, &run("3")).await.unwrap();
        assert_eq!(ids(&rows(at(folder, name)).await.unwrap()), (0..2500).collect::<Vec<_>>(), "{name}");
        copy(at(folder, "b.csv"), at(folder, name), WriteMode::Append, &run("4")).await.unwrap();
        assert_eq!(rows(at(folder, name)).await.unwrap().num_rows(), 3000, "{name}");
        copy(at(folder, "b.csv"), at(folder, name), WriteMode::Replace, &run("5")).await.unwrap();
        assert_eq!(ids(&rows(at(folder, name)).await.unwrap()), (2000..2500).collect::<Vec<_>>(), "{name}");
    }
}

#[tokio::test]
async fn nothing_is_visible_before_commit_and_nothing_is_left_after() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.csv"), csv(0..3000)).unwrap();
    let from = open(at(folder, "a.csv")).await.unwrap();
    for target in ["t.parquet", "new/"] {
        let copy = Copy::run(&from, at(folder, target), WriteMode::Create, "run").await.unwrap();
        assert!(copy.receipts.len() > 1);
        assert_eq!(visible(folder), ["a.csv"]);
        copy.abort().await.unwrap();
        copy.abort().await.unwrap();
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
        assert_eq!(copy.commit().await.unwrap_err().kind(), ErrorKind::NotFound);
        copy.abort().await.unwrap();

        let copy = Copy::run(&from, at(folder, target), WriteMode::Create, "run").await.unwrap();
        copy.commit().await.unwrap();
        copy.commit().await.unwrap();
        copy.abort().await.unwrap();
        assert_eq!(ids(&rows(at(folder, target)).await.unwrap()), (0..3000).collect::<Vec<_>>());
        endpoint(at(folder, target)).unwrap().finish(&[copy.agreement]).await.unwrap();
        assert_eq!(fs::read_dir(folder).unwrap().count(), 2, "{target}");
        fs::remove_dir_all(folder.join("new")).or_else(|_| fs::remove_file(folder.join("t.parquet"))).unwrap();
    }
}

#[tokio::test]
async fn an_attempt_without_a_receipt_adds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.csv"), csv(0..500)).unwrap();
    let from = open(at(folder, "a.csv")).await.unwrap();
    let copy = Copy::run(&from, at(folder, "t.csv"), WriteMode::Create, "run").await.unwrap();
    let second = attempt(&copy.token, 0, vec![0]);
    let mut writer = copy.sink.writer(&copy.agreement, &second).await.unwrap();
    let rows_of = rows(at(folder, "a.csv")).await.unwrap();
    writer.write(rows_of).await.unwrap();
    writer.flush(&copy.token).await.unwrap();
    copy.commit().await.unwrap();
    assert_eq!(fs::read(folder.join("t.csv")).unwrap(), fs::read(folder.join("a.csv")).unwrap());
    assert_eq!(visible(folder), ["a.csv", "t.csv"]);
}

#[tokio::test]
async fn a_target_that_appeared_meanwhile_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.csv"), csv(0..10)).unwrap();
    let from = open(at(folder, "a.csv")).await.unwrap();
    let copy = Copy::run(&from, at(folder, "t.csv"), WriteMode::Create, "run").await.unwrap();
    fs::write(folder.join("t.csv"), "mine").unwrap();
    assert_eq!(copy.commit().await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    copy.abort().await.unwrap();
    assert_eq!(fs::read(folder.join("t.csv")).unwrap(), b"mine");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 2);
}

#[tokio::test]
async fn folders_get_part_files_of_the_wanted_size() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.csv"), csv(0..3000)).unwrap();
    fs::create_dir(folder.join("out")).unwrap();
    let to = json!({"url": at(folder, "out"), "format": "jsonl", "fileBytes": 1});
    let to_csv = json!({"url": at(folder, "out"), "format": "csv", "fileBytes": 1});
    drop(to);
    copy(at(folder, "a.csv"), to_csv.clone(), WriteMode::Create, "run1").await.unwrap();
    let parts = visible(&folder.join("out")).len();
    assert!(parts > 1);
    assert_eq!(ids(&rows(at(folder, "out")).await.unwrap()), (0..3000).collect::<Vec<_>>());
    let refused = copy(at(folder, "a.csv"), to_csv.clone(), WriteMode::Create, "run2").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    copy(at(folder, "a.csv"), to_csv.clone(), WriteMode::Append, "run3").await.unwrap();
    assert_eq!(visible(&folder.join("out")).len(), 2 * parts);
    assert_eq!(rows(at(folder, "out")).await.unwrap().num_rows(), 6000);
    fs::write(folder.join("out/readme.txt"), "kept").unwrap();
    copy(at(folder, "a.csv"), to_csv, WriteMode::Replace, "run4").await.unwrap();
    assert_eq!(rows(at(folder, "out")).await.unwrap().num_rows(), 3000);
    assert!(folder.join("out/readme.txt").exists());
}

#[tokio::test]
async fn columns_of_an_existing_target_are_matched_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.csv"), "id,name\n1,x\n").unwrap();
    fs::write(folder.join("b.csv"), "name,id\ny,2\n").unwrap();
    fs::write(folder.join("c.csv"), "id,other\n3,z\n").unwrap();
    for name in ["t.csv", "t.parquet", "t.avro"] {
        copy(at(folder, "a.csv"), at(folder, name), WriteMode::Create, &format!("{name}1")).await.unwrap();
        copy(at(folder, "b.csv"), at(folder, name), WriteMode::Append, &format!("{name}2")).await.unwrap();
        let both = rows(at(folder, name)).await.unwrap();
        assert_eq!(ids(&both), [1, 2]);
        assert_eq!(both.column_by_name("name").unwrap().as_string::<i32>().value(1), "y");
        let error = copy(at(folder, "c.csv"), at(folder, name), WriteMode::Append, "x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema);
        assert!(error.message().contains("no other") && error.message().contains("for name"), "{error}");
    }
    fs::write(folder.join("t.csv"), "id,name\n1,x").unwrap();
    copy(at(folder, "b.csv"), at(folder, "t.csv"), WriteMode::Append, "end").await.unwrap();
    assert_eq!(fs::read_to_string(folder.join("t.csv")).unwrap(), "id,name\n1,x\n2,y\n");
}

#[tokio::test]
async fn an_empty_source_makes_a_file_with_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.csv"), "id,name\n").unwrap();
    for name in ["t.csv", "t.csv.gz", "t.parquet", "t.avro", "t.arrow", "t.arrows"] {
        copy(at(folder, "a.csv"), at(folder, name), WriteMode::Create, name).await.unwrap();
        let empty = rows(at(folder, name)).await.unwrap();
        assert_eq!((empty.num_rows(), empty.num_columns()), (0, 2), "{name}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_said_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.csv"), csv(0..5000)).unwrap();
    copy(at(folder, "a.csv"), at(folder, "good.parquet"), WriteMode::Create, "1").await.unwrap();
    copy(at(folder, "a.csv"), at(folder, "good.csv.gz"), WriteMode::Create, "2").await.unwrap();
    let cut = |from: &str, to: &str| {
        let bytes = fs::read(folder.join(from)).unwrap();
        fs::write(folder.join(to), &bytes[..bytes.len() * 2 / 3]).unwrap();
    };
    cut("good.parquet", "cut.parquet");
    cut("good.csv.gz", "cut.csv.gz");
    fs::copy(folder.join("good.parquet"), folder.join("lying.csv")).unwrap();
    fs::copy(folder.join("good.csv.gz"), folder.join("plainly.csv")).unwrap();
    fs::write(folder.join("empty.csv"), "").unwrap();
    fs::write(folder.join("empty.parquet"), "").unwrap();
    fs::write(folder.join("text.parquet"), "a,b\n").unwrap();
    fs::write(folder.join("data.xyz"), "a,b\n").unwrap();
    fs::create_dir(folder.join("none")).unwrap();
    fs::write(folder.join("other.csv"), "id,nickname,note\n1,2,3\n").unwrap();
    for (name, kind, words) in [
        ("missing.csv", ErrorKind::NotFound, "does not exist"),
        ("none", ErrorKind::NotFound, "holds no file"),
        ("*.nothing", ErrorKind::NotFound, "no file matches"),
        ("cut.parquet", ErrorKind::Corrupt, "Parquet data"),
        ("cut.csv.gz", ErrorKind::Corrupt, "end too early"),
        ("lying.csv", ErrorKind::Usage, "holds Parquet"),
        ("empty.csv", ErrorKind::Schema, "is empty"),
        ("empty.parquet", ErrorKind::Corrupt, "is empty"),
        ("text.parquet", ErrorKind::Corrupt, "does not hold Parquet"),
        ("data.xyz", ErrorKind::Usage, "does not say what it holds"),
        ("{a,other}.csv", ErrorKind::NotFound, "does not exist"),
        ("[ao]*.csv", ErrorKind::Schema, "no such column"),
    ] {
        let error = rows(at(folder, name)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.to_string().contains(words), "{name}: {error}");
    }
    assert_eq!(rows(at(folder, "plainly.csv")).await.unwrap().num_rows(), 5000);
    let nowhere = copy(at(folder, "a.csv"), at(folder, "no/such/t.csv"), WriteMode::Create, "3").await.unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::NotFound);
    let twice = copy(at(folder, "a.csv"), at(folder, "t.parquet.gz"), WriteMode::Create, "4").await.unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Unsupported);
    assert_eq!(visible(folder).iter().filter(|name| name.starts_with('t')).count(), 1);
}

#[tokio::test]
async fn pipes_are_read_once_and_written_as_they_come() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.csv"), csv(0..5000)).unwrap();
    copy(at(folder, "a.csv"), at(folder, "b.parquet"), WriteMode::Create, "1").await.unwrap();
    copy(at(folder, "a.csv"), at(folder, "b.avro"), WriteMode::Create, "0").await.unwrap();
    copy(at(folder, "a.csv"), at(folder, "b.arrows"), WriteMode::Create, "2").await.unwrap();
    copy(at(folder, "a.csv"), at(folder, "b.csv.zst"), WriteMode::Create, "3").await.unwrap();
    let pipe = folder.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for name in ["a.csv", "b.csv.zst", "b.parquet", "b.avro", "b.arrows"] {
        let bytes = fs::read(folder.join(name)).unwrap();
        let target = pipe.clone();
        let feeder = std::thread::spawn(move || fs::write(target, bytes));
        let opened = open(at(folder, "pipe")).await.unwrap();
        let (plan, back) = read_all(&opened, &scan_of(&opened.shape), &goal(1000)).await.unwrap();
        assert_eq!(ids(&back), (0..5000).collect::<Vec<_>>(), "{name}");
        if !["b.parquet", "b.avro"].contains(&name) {
            assert_eq!(plan.splits.len(), 1);
            let second = read_all(&opened, &scan_of(&opened.shape), &goal(1000)).await.unwrap_err();
            assert_eq!(second.kind(), ErrorKind::Unsupported);
        }
        feeder.join().unwrap().unwrap();
    }
    let target = pipe.clone();
    let reader = std::thread::spawn(move || fs::read(target));
    let from = open(json!({"url": at(folder, "b.parquet")})).await.unwrap();
    let to = json!({"url": at(folder, "pipe"), "format": "csv"});
    let copy = Copy::run(&from, to, WriteMode::Create, "4").await.unwrap();
    assert_eq!(copy.agreement.publish, Publish::PerTask);
    assert_eq!(copy.agreement.writers, Writers::One);
    copy.commit().await.unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), fs::read(folder.join("a.csv")).unwrap());
}

#[tokio::test]
async fn parquet_and_avro_wrapped_in_gzip_and_files_of_a_glob_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, range) in [("p1.csv", 0..100), ("p2.csv", 100..300)] {
        fs::write(folder.join(name), csv(range)).unwrap();
        for format in ["parquet", "avro"] {
            let to = at(folder, &name.replace("csv", format));
            copy(at(folder, name), to, WriteMode::Create, &format!("{name}{format}")).await.unwrap();
        }
    }
    for name in ["p2.parquet", "p2.avro"] {
        assert!(std::process::Command::new("gzip").arg(folder.join(name)).status().unwrap().success());
    }
    for glob in ["p*.csv", "p*.parquet*", "p*.avro*"] {
        let all = rows(at(folder, glob)).await.unwrap();
        assert_eq!(ids(&all), (0..300).collect::<Vec<_>>(), "{glob}");
    }
    let listed = endpoint(at(folder, "p*.csv")).unwrap().list("*2*").await.unwrap();
    assert_eq!(listed, [ObjectRef::Table(folder.join("p2.csv").to_str().unwrap().to_owned())]);
    let ping = endpoint(at(folder, "p*.csv")).unwrap().ping().await.unwrap();
    assert!(ping.facts[0].starts_with("2 files"));
}
