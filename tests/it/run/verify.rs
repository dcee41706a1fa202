//! Proof before and after a commit: what was dropped or changed on its way is found, and by nothing less than was asked for.

use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array as _, BooleanArray, Date32Array, Decimal128Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field};
use arrow_etl::attempt::Token;
use arrow_etl::proof::{ColumnProof, Integers, Verify};
use arrow_etl::sink::{Receipt, Writer};
use arrow_etl::testing::faults::Faults;
use arrow_etl::testing::generate;
use serde_json::json;

use super::*;
use crate::program::{copied, etl};
use crate::server;

/// `inner` with writers that do `harm` to each batch, and say nothing of it.
pub(super) fn faulty(inner: Arc<dyn Endpoint>, harm: fn(&RecordBatch) -> RecordBatch) -> Arc<dyn Endpoint> {
    Faults::new().wrapping(move |inner| Box::new(FaultyWriter { inner, harm, rows: 0 })).endpoint(inner)
}

struct FaultyWriter {
    inner: Box<dyn Writer>,
    harm: fn(&RecordBatch) -> RecordBatch,
    rows: u64,
}

#[async_trait]
impl Writer for FaultyWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        self.inner.write((self.harm)(&batch)).await
    }
    async fn flush(&mut self, token: &Token) -> Result<Receipt> {
        Ok(Receipt { rows: self.rows, ..self.inner.flush(token).await? })
    }
}

fn dropped(batch: &RecordBatch) -> RecordBatch {
    batch.slice(1, batch.num_rows() - 1)
}

fn changed(batch: &RecordBatch) -> RecordBatch {
    let ids = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(batch.column(0));
    let other = ids.unary::<_, arrow::datatypes::Int64Type>(|id| if id == 0 { 4711 } else { id });
    RecordBatch::try_new(batch.schema(), vec![Arc::new(other)]).unwrap()
}

/// Copies ten rows through a writer that does `harm`: the error, and the rows that are there after it.
async fn harmed(harm: fn(&RecordBatch) -> RecordBatch, verify: Verify) -> (Option<ErrorKind>, Option<usize>) {
    let (source, target) = (source(10, 1), Memory::new());
    let between = Between { source: source.endpoint(), target: faulty(target.endpoint(), harm), also: Vec::new() };
    let job = Job { verify, ..job() };
    let copied = copy(&job, between, &Surroundings::default()).await;
    assert_eq!(target.staged(), 0);
    (copied.err().map(|error| error.kind()), rows(&target))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_lost_is_missed_by_count_and_not_by_none() {
    assert_eq!(harmed(dropped, Verify::None).await, (None, Some(9)));
    assert_eq!(harmed(dropped, Verify::Count).await, (Some(ErrorKind::Mismatch), None));
    assert_eq!(harmed(dropped, Verify::Checksum).await, (Some(ErrorKind::Mismatch), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_changed_is_found_by_checksum_and_not_by_count() {
    assert_eq!(harmed(changed, Verify::Count).await, (None, Some(10)));
    assert_eq!(harmed(changed, Verify::Checksum).await, (Some(ErrorKind::Mismatch), None));
    assert_eq!(harmed(Clone::clone, Verify::Checksum).await, (None, Some(10)));
}

/// A log that changes the hidden table of a copy once a task has written into it, and keeps the receipts.
#[derive(Debug, Default)]
struct Tampering {
    url: String,
    sql: &'static str,
    done: AtomicBool,
    receipts: Mutex<Vec<Receipt>>,
}

#[async_trait]
impl StateLog for Tampering {
    async fn read(&self, _run: &str) -> Result<Vec<StateRecord>> {
        Ok(Vec::new())
    }
    async fn append(&self, _run: &str, record: &StateRecord) -> Result<()> {
        let StateRecord::Wrote { receipt, .. } = record else { return Ok(()) };
        self.receipts.lock().unwrap().push(receipt.clone());
        if !self.sql.is_empty() && !self.done.swap(true, Ordering::Relaxed) {
            let stage = "select relname from pg_class where relname like 'etl\\_stage\\_%' and relkind = 'r' \
                         and relname not like '%\\_done'";
            let stage = server::psql(&self.url, stage);
            assert!(!stage.is_empty() && !stage.contains('\n'), "{stage:?}");
            server::psql(&self.url, &self.sql.replace("$STAGE", &format!("\"{stage}\"")));
        }
        Ok(())
    }
    async fn runs(&self) -> Result<Vec<RunEntry>> {
        Ok(Vec::new())
    }
}

/// Four rows of several types, with NULLs and with values that add up to more than 64 bits.
fn many_types() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(2), Some(i64::MAX), Some(-7)]))),
        ("ok", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]))),
        (
            "price",
            Arc::new(
                Decimal128Array::from(vec![Some(125_000), None, Some(-1), Some(999_999_999_999)])
                    .with_precision_and_scale(12, 4)
                    .unwrap(),
            ),
        ),
        ("day", Arc::new(Date32Array::from(vec![Some(-719_162), Some(19_782), None, Some(0)]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None, Some(1_700_000_000_123_456), Some(0)]))),
        ("name", Arc::new(StringArray::from(vec![Some("é"), Some(""), None, Some("three")]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

/// Copies [`many_types`] into a new table of a database of its own while `sql` does something to its stage.
async fn tampered(sql: &'static str, verify: Verify) -> (Result<Summary>, Arc<Tampering>) {
    let log = Arc::new(Tampering { url: server::postgres(), sql, ..Tampering::default() });
    let source = Memory::new();
    source.insert("src", many_types(), 2);
    let mut job = Job { verify, ..job() };
    job.target = Place::new("postgres", json!({ "url": log.url }), ObjectRef::Table("dst".to_owned()));
    job.limits.jobs = Some(2);
    let target = arrow_etl::connectors::find("postgres").unwrap().endpoint(&job.target.options).unwrap();
    let surroundings = Surroundings { state: Some(log.clone()), ..Surroundings::default() };
    (copy(&job, Between { source: source.endpoint(), target, also: Vec::new() }, &surroundings).await, log)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_somebody_changes_is_not_published() {
    let harms = [
        "delete from $STAGE",
        "update $STAGE set id = id - 1",
        "update $STAGE set price = 0",
        "update $STAGE set day = day + 1",
        "update $STAGE set at = at + interval '1 microsecond'",
        "update $STAGE set name = name || 'x'",
        "update $STAGE set name = null, ok = null, day = null",
    ];
    for harm in harms {
        let (copied, log) = tampered(harm, Verify::Checksum).await;
        let error = copied.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{harm}: {error:?}");
        let left = server::psql(&log.url, "select count(*) from pg_class where relname ~ '^(etl_stage|dst)'");
        assert_eq!(left, "0", "{harm}");
    }
    let (copied, log) = tampered("update $STAGE set id = 0", Verify::None).await;
    assert_eq!(copied.unwrap().rows, 4);
    assert_ne!(server::psql(&log.url, "select count(*) from dst where id = 0"), "0");
}

/// A log that puts another file in the place of a part, once it was written.
#[derive(Debug)]
struct Exchanging {
    folder: std::path::PathBuf,
    with: &'static str,
}

#[async_trait]
impl StateLog for Exchanging {
    async fn read(&self, _run: &str) -> Result<Vec<StateRecord>> {
        Ok(Vec::new())
    }
    async fn append(&self, _run: &str, record: &StateRecord) -> Result<()> {
        if let StateRecord::Wrote { .. } = record {
            let parts = format!("{}/.etl-*.stage/part-*", self.folder.display());
            let parts: Vec<_> = glob::glob(&parts).unwrap().map(std::result::Result::unwrap).collect();
            assert_eq!(parts.len(), 1, "{parts:?}");
            std::fs::copy(self.folder.join(self.with), &parts[0]).unwrap();
        }
        Ok(())
    }
    async fn runs(&self) -> Result<Vec<RunEntry>> {
        Ok(Vec::new())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_file_that_is_exchanged_is_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let place = |name: &str| Place::new("file", json!({ "url": folder.join(name) }), ObjectRef::Whole);
    let file = |name: &str| arrow_etl::connectors::find("file").unwrap().endpoint(&place(name).options).unwrap();
    let numbers = |from: i64, count: i64| {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + count));
        let memory = Memory::new();
        memory.insert("src", RecordBatch::try_from_iter([("id", ids)]).unwrap(), 1);
        memory
    };
    for (name, from, count) in [("same.parquet", 0, 10), ("other.parquet", 1, 10), ("fewer.parquet", 0, 9)] {
        let job = Job { target: place(name), ..job() };
        let between = Between { source: numbers(from, count).endpoint(), target: file(name), also: Vec::new() };
        copy(&job, between, &Surroundings::default()).await.unwrap();
    }
    let expected = [
        ("same.parquet", Verify::Checksum, None),
        ("other.parquet", Verify::Count, None),
        ("other.parquet", Verify::Checksum, Some(ErrorKind::Mismatch)),
        ("fewer.parquet", Verify::Count, Some(ErrorKind::Mismatch)),
    ];
    for (with, verify, kind) in expected {
        let log = Arc::new(Exchanging { folder: folder.to_owned(), with });
        let surroundings = Surroundings { state: Some(log), ..Surroundings::default() };
        let job = Job { target: place("out.parquet"), verify, ..job() };
        let between = Between { source: numbers(0, 10).endpoint(), target: file("out.parquet"), also: Vec::new() };
        let failed = copy(&job, between, &surroundings).await.err();
        assert_eq!(failed.map(|error| error.kind()), kind, "{with} {verify:?}");
        assert_eq!(folder.join("out.parquet").exists(), kind.is_none(), "{with} {verify:?}");
        let _ = std::fs::remove_file(folder.join("out.parquet"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_type_raises_a_false_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let url = server::postgres();
    // SQLite has no NaN, and no integers beyond 64 bits with a sign; spans of time and lists become text.
    let source = |connector: &str| {
        let sqlite = connector == "sqlite";
        let limits = generate::Limits { nul: false, nan: !sqlite, ..generate::Limits::default() };
        let mut fields = generate::fields();
        let odd = |field: &Field| {
            use DataType::{Duration, Interval, List, UInt64};
            matches!(field.data_type(), UInt64 | Duration(_) | Interval(_) | List(_))
        };
        fields.retain(|field| !sqlite || !odd(field));
        let memory = Memory::new();
        memory.insert("src", generate::table(&fields, &limits).unwrap(), 3);
        memory
    };
    let file = |name: &str| {
        Place::new("file", json!({ "url": format!("{}/{name}", folder.path().display()) }), ObjectRef::Whole)
    };
    let files = [
        "all.parquet",
        "all.avro",
        "parts/",
        "all.csv",
        "all.csv.gz",
        "all.tsv",
        "all.jsonl",
        "all.arrow",
        "all.arrows",
    ];
    let everything = ObjectRef::Table("everything".to_owned());
    let targets = files.into_iter().map(file).chain([
        Place::new("postgres", json!({ "url": url }), everything.clone()),
        Place::new("sqlite", json!({ "url": folder.path().join("all.db") }), everything),
    ]);
    for target in targets {
        let mut job = Job { target: target.clone(), verify: Verify::Checksum, ..job() };
        job.limits.jobs = Some(2);
        let endpoint = arrow_etl::connectors::find(&target.connector).unwrap().endpoint(&target.options).unwrap();
        let source = source(&target.connector);
        let rows = source.table("src").unwrap().rows.num_rows() as u64;
        let between = Between { source: source.endpoint(), target: endpoint, also: Vec::new() };
        let copied = copy(&job, between, &Surroundings::default()).await;
        assert_eq!(copied.unwrap_or_else(|error| panic!("{target:?}: {error:?}")).rows, rows);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_are_those_of_the_server() {
    let (copied, log) = tampered("", Verify::Checksum).await;
    assert_eq!(copied.unwrap().rows, 4);
    let receipts = log.receipts.lock().unwrap().clone();
    let columns = arrow_etl::proof::total(receipts.iter().map(|receipt| receipt.columns.as_ref())).unwrap();
    let of = |column: &ColumnProof| {
        let Integers { sum, least, greatest } = column.integers.unwrap();
        format!("{}|{sum}|{least}|{greatest}", column.values)
    };
    let sums = |value: &str| format!("select count({value}), sum({value}), min({value}), max({value}) from dst");
    for (at, value) in ["id", "ok::int", "(price * 10000)::int8", "day - date '1970-01-01'"].into_iter().enumerate() {
        assert_eq!(of(&columns[at]), server::psql(&log.url, &sums(value)), "{value}");
    }
    let micros = "(extract(epoch from at) * 1000000)::int8";
    assert_eq!(of(&columns[4]), server::psql(&log.url, &sums(micros)));
    let bytes = server::psql(&log.url, "select count(name), sum(octet_length(name)) from dst");
    assert_eq!(format!("{}|{}", columns[5].values, columns[5].bytes.unwrap()), bytes);
    assert_eq!(many_types().column(5).null_count() as u64, columns[5].nulls);
}

#[tokio::test(flavor = "multi_thread")]
async fn digests_are_those_of_the_server() {
    let (copied, log) = tampered("", Verify::Checksum).await;
    assert_eq!(copied.unwrap().rows, 4);
    let receipts = log.receipts.lock().unwrap().clone();
    let columns = arrow_etl::proof::total(receipts.iter().map(|receipt| receipt.columns.as_ref())).unwrap();
    let hashes = [
        ("id", "hashint8extended(id, id)"),
        ("ok", "hashint4extended(ok::int, 0)"),
        ("price", "case when price < 0 then ~hash_numeric_extended(price, 0) else hash_numeric_extended(price, 0) end"),
        ("day", "hashint4extended(day - date '2000-01-01', 0)"),
        ("at", "timestamp_hash_extended(at, 0)"),
        ("name", "hashtextextended(name collate \"C\", 0)"),
    ];
    assert_eq!(columns.len(), hashes.len());
    for (ColumnProof { values, nulls, digest, .. }, (name, hash)) in columns.iter().zip(hashes) {
        // Modulo 2^64, as a number without a sign.
        let digest_of =
            format!("mod(mod(sum({hash}), 2::numeric ^ 64) + 2::numeric ^ 64, 2::numeric ^ 64)::numeric(20)");
        let sql = format!("select count({name}), count(*) - count({name}), {digest_of} from dst");
        assert_eq!(format!("{values}|{nulls}|{}", digest.unwrap()), server::psql(&log.url, &sql), "{name}");
    }
}

#[test]
fn rows_are_compared_after_the_commit_where_they_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let url = server::postgres();
    let sql = "create table t (id int primary key, v text, n numeric(8,2));
               insert into t select i, case when i % 3 > 0 then 'row ' || i end, i * 1.25 from generate_series(1, 500) i";
    server::psql(&url, sql);
    let source = format!("{url}#t");
    for target in ["a.db#t", "b.parquet", "c.csv", &format!("{url}#copy")] {
        copied(folder, &[&source, target, "--verify", "rows"]);
    }
    // A trigger that changes what it is given: nothing before the commit can tell, as it was the server that did it.
    let trigger = "create table bent (like t including all);
                   create function bend() returns trigger language plpgsql as
                   $$ begin if new.id = 7 then new.v := 'bent'; end if; return new; end $$;
                   create trigger bend before insert on bent for each row execute function bend()";
    server::psql(&url, trigger);
    let bent = etl(folder, &["copy", "-q", &source, &format!("{url}#bent"), "-j", "1", "--verify", "rows"]);
    assert_eq!(bent.code, 4, "{}", bent.stderr);
    assert!(bent.stderr.contains("the data are committed") && bent.stderr.contains("not equal: 1"), "{}", bent.stderr);
    let refused: [(&[&str], &str); 5] = [
        (&[&source, "d.csv", "--set", "v='x'", "--verify", "rows"], "rows that are changed on their way"),
        (&["c.csv", "e.csv", "--verify", "rows"], "the source has no primary key"),
        (&[&source, "c.csv", "--mode", "append", "--verify", "rows"], "a target that is added to"),
        (&[&source, "null:", "--verify", "checksum"], "this target cannot compare sums"),
        (&[&source, "null:", "--verify", "rows"], "null: keeps no rows"),
    ];
    for (words, message) in refused {
        let ended = etl(folder, &[&["copy", "-q"], words].concat());
        assert!(ended.code != 0 && ended.stderr.contains(message), "{words:?}: {}", ended.stderr);
    }
    assert!(!folder.join("d.csv").exists() && !folder.join("e.csv").exists());
    let plan = etl(folder, &["plan", &source, &format!("{url}#sums"), "--verify", "checksum"]);
    assert!(plan.stdout.contains("one scan of what was written"), "{}", plan.stdout);
    copied(folder, &[&source, &format!("{url}#sums"), "--verify", "checksum"]);
    assert_eq!(server::psql(&url, "select count(*) from (table t except table sums) x"), "0");
}

/// MariaDB keeps no spaces at the end of a `char`, and PostgreSQL pads one with nothing else.
#[test]
fn padding_that_a_target_takes_away_is_no_difference() {
    let folder = tempfile::tempdir().unwrap();
    let (url, target) = (server::postgres(), server::mariadb());
    let rows = "insert into t values (1, 'ab'), (2, ''), (3, null)";
    server::psql(&url, &format!("create table t (id int primary key, a char(5)); {rows}"));
    server::mariadb_client(&target, "create table t (id int primary key, a char(5))");
    copied(folder.path(), &[&format!("{url}#t"), &format!("{target}#t"), "--verify", "checksum"]);
    let there = server::mariadb_client(&target, "select concat('[', a, ']') from t where id < 3 order by id");
    assert_eq!(there, "[ab]\n[]");
}
