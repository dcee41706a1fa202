//! SQLite through the suite of all connectors, and against its own client, which says what is true.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Field};
use arrow::util::pretty::pretty_format_batches;
use arrow_etl::attempt::{Attempt, Token};
use arrow_etl::connectors;
use arrow_etl::endpoint::{Endpoint, ObjectRef, OpenRequest, Session};
use arrow_etl::error::Result;
use arrow_etl::run::state::SqliteStateLog;
use arrow_etl::sink::{Tasks, WriteMode, WriteRequest};
use arrow_etl::source::{Scan, Source, Split, SplitGoal};
use arrow_etl::state::{StateLog as _, StateRecord};
use arrow_etl::testing::conformance::{self, Fixture, Target};
use arrow_etl::testing::generate::{self, Limits};
use async_trait::async_trait;
use futures::TryStreamExt as _;
use serde_json::json;

use crate::server::sqlite3;

fn endpoint(path: &Path) -> Arc<dyn Endpoint> {
    connectors::find("sqlite").unwrap().endpoint(&json!({ "url": format!("sqlite:{}", path.display()) })).unwrap()
}

fn table(name: &str) -> ObjectRef {
    ObjectRef::Table(name.to_owned())
}

/// A table of a file that is not there yet, or of one that has another table.
#[derive(Debug)]
struct Sqlite {
    before: Option<&'static str>,
}

#[async_trait]
impl Fixture for Sqlite {
    async fn target(&self) -> Result<Target> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("conformance.db");
        if let Some(sql) = self.before {
            sqlite3(&path, sql);
        }
        Ok(Target::opened_by(move || Ok(endpoint(&path)), table("conformance"))?.keeping(folder))
    }

    async fn debris(&self, target: &Target) -> Result<Vec<String>> {
        let label = target.endpoint.label();
        let path = Path::new(label.strip_prefix("sqlite:").unwrap());
        // A log in WAL mode stays as long as a connection is ending.
        let own = ["conformance.db", "conformance.db-wal", "conformance.db-shm"];
        let entries = std::fs::read_dir(path.parent().unwrap())?;
        let mut debris = Vec::new();
        for entry in entries {
            debris.push(entry?.file_name().into_string().unwrap());
        }
        debris.retain(|name| !own.contains(&name.as_str()));
        if path.exists() {
            let sql = "select name from sqlite_schema where type = 'table' and name not in ('other', 'conformance')";
            debris.extend(sqlite3(path, sql).lines().map(str::to_owned));
        }
        Ok(debris)
    }

    fn modes(&self) -> Vec<WriteMode> {
        conformance::modes_by_key()
    }

    fn fields(&self) -> Vec<Field> {
        // It has no integers beyond 64 bits with a sign; spans of time and lists become text.
        let kept = |field: &Field| {
            !matches!(
                field.data_type(),
                DataType::UInt64 | DataType::Duration(_) | DataType::Interval(_) | DataType::List(_)
            )
        };
        generate::fields().into_iter().filter(kept).collect()
    }

    fn limits(&self) -> Limits {
        Limits { nan: false, negative_zero: false, years: (-9999, 200_000), ..Limits::default() }
    }

    fn returned(&self, field: &Field) -> DataType {
        match field.data_type() {
            DataType::Int8 => DataType::Int16,
            DataType::UInt8 | DataType::UInt16 => DataType::Int32,
            DataType::UInt32 => DataType::Int64,
            other => other.clone(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance() {
    for before in [None, Some("create table other (a)"), Some("pragma journal_mode = wal; create table other (a)")] {
        let fixture = Sqlite { before };
        let report = conformance::check(&fixture).await;
        assert!(report.passed(), "{fixture:?}: {report}");
    }
}

/// Copies `from` into `to` by the contract alone.
async fn copy(from: (&Path, ObjectRef), to: (&Path, &str), mode: WriteMode) -> Result<()> {
    let request = OpenRequest { objects: vec![from.1.clone()], readers: 2, ..OpenRequest::default() };
    let session = endpoint(from.0).open(&request).await?;
    let source = session.source(&from.1)?;
    let shape = source.describe().await?;
    let scan = Scan {
        schema: Arc::clone(&shape.schema),
        filters: Vec::new().into(),
        limit: None,
        batch_rows: 1000,
        batch_bytes: 1 << 20,
    };
    let plan = source.plan(&scan, &SplitGoal::new(1 << 20, 2)).await?;
    let target = endpoint(to.0);
    let sink = target.sink(&table(to.1))?;
    let request = WriteRequest { tasks: Tasks::One, ..WriteRequest::new(mode) };
    let agreement = sink.agree(&shape, &request).await?;
    let token = Token { run: uuid::Uuid::now_v7().to_string(), transfer: 0, sink: 0, epoch: 0 };
    sink.prepare(&agreement, &token).await?;
    let attempt = Attempt::new(token.clone(), 0, plan.splits.iter().map(|split| split.id).collect());
    let mut writer = sink.writer(&agreement, &attempt).await?;
    for split in &plan.splits {
        let mut stream = source.read(&scan, split, &attempt, None).await?;
        while let Some(batch) = stream.try_next().await? {
            writer.write(batch).await?;
        }
    }
    let receipt = writer.flush(&token).await?;
    session.close().await?;
    sink.commit(&agreement, &token, &[receipt]).await?;
    target.finish(&[agreement]).await
}

/// One statement per fact that the two sides must agree on.
fn everything(path: &Path, table: &str) -> String {
    let columns = sqlite3(
        path,
        &format!("select group_concat('quote(\"' || name || '\")', ',') from pragma_table_info('{table}')"),
    );
    sqlite3(path, &format!("select {columns} from \"{table}\" order by 1"))
}

const SHOP: &str = "
    create table orders (
        id integer primary key, customer varchar(40) not null, total decimal(12,2), rate double precision,
        placed datetime, day date, at time, paid boolean, note text, tags json, ref uuid, photo blob, big decimal_text(30,5)
    );
    insert into orders values
        (1, 'Grüße, \"it''s\"', 12.5, 0.1, '2024-02-29 12:30:01.5', '2024-02-29', '12:30:01', 1, '', '{\"a\": 1.10}',
         '01890a5d-ac96-774b-bcce-b302099a8057', x'00ff', '123456789012345678901234.50000'),
        (-9223372036854775808, 'b', -0.01, 1e300, '0001-01-01 00:00:00', '9999-12-31', '00:00:00', 0, null, '[]', null, x'', null),
        (9223372036854775807, 'c', 9999999999.99, -5e-324, null, null, null, null, 'x', null, null, null, '-0.00001');
    with recursive n(i) as (select 2 union all select i + 1 from n where i < 5000)
    insert into orders select i, 'name ' || i, i / 100.0, i * 0.1, datetime(i * 86400, 'unixepoch'), date(i * 86400, 'unixepoch'),
        time(i, 'unixepoch'), i % 2, printf('%.*c', i % 50, 'x'), null, null, randomblob(i % 9), null from n;";

#[tokio::test(flavor = "multi_thread")]
async fn values_are_those_that_the_client_sees() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let (shop, copied) = (path("shop.db"), path("copied.db"));
    sqlite3(&shop, SHOP);
    copy((&shop, table("orders")), (&copied, "orders"), WriteMode::Create).await.unwrap();
    assert_eq!(everything(&copied, "orders"), everything(&shop, "orders"));
    let types = |path: &Path| sqlite3(path, "select name, type, pk from pragma_table_info('orders')");
    assert_eq!(types(&copied), types(&shop));
    assert_eq!(sqlite3(&copied, "pragma integrity_check"), "ok");
    // Once more, now into a table that is there; and from a query, within the same file.
    copy((&shop, table("orders")), (&copied, "orders"), WriteMode::Replace).await.unwrap();
    assert_eq!(everything(&copied, "orders"), everything(&shop, "orders"));
    let query = ObjectRef::Query("select id, total from orders where paid".into());
    copy((&shop, query), (&shop, "paid"), WriteMode::Create).await.unwrap();
    assert_eq!(
        everything(&shop, "paid"),
        sqlite3(&shop, "select quote(id), quote(total) from orders where paid order by 1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_is_what_the_client_shows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    sqlite3(
        &path,
        "create table t (a string, b, c real); insert into t values ('007', 'x', 1), ('x', 5, 0.1), (null, 2.5, null)",
    );
    let session = endpoint(&path)
        .open(&OpenRequest { objects: vec![table("t")], readers: 1, ..OpenRequest::default() })
        .await
        .unwrap();
    let source = session.source(&table("t")).unwrap();
    let shape = source.describe().await.unwrap();
    let scan =
        Scan { schema: shape.schema, filters: Vec::new().into(), limit: None, batch_rows: 10, batch_bytes: 1000 };
    let plan = source.plan(&scan, &SplitGoal::new(1, 1)).await.unwrap();
    assert!(plan.notes.iter().any(|note| note.ends_with("read as text: a, b")), "{:?}", plan.notes);
    let token = Token { run: "r".into(), transfer: 0, sink: 0, epoch: 0 };
    let stream = source.read(&scan, &plan.splits[0], &Attempt::new(token, 0, vec![0]), None).await.unwrap();
    let batches: Vec<_> = stream.try_collect().await.unwrap();
    let table = pretty_format_batches(&batches).unwrap().to_string();
    let shown: Vec<String> = table
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join("|"))
        .collect();
    assert_eq!(shown.join("\n"), sqlite3(&path, "select * from t"));
}

/// More than eight megabytes, so that several readers come: one table with row ids, one with another integer key.
const LARGE: &str = "
    create table t (id integer primary key, v text, w text);
    create table k (id int primary key, v text, w text) without rowid;
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 50000)
    insert into t select i, printf('%0100d', i), i from n;
    insert into k select * from t;";

#[tokio::test(flavor = "multi_thread")]
async fn large_tables_are_read_by_several_readers() {
    for journal in ["delete", "wal"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.db");
        sqlite3(&path, &format!("pragma journal_mode = {journal}; {LARGE}"));
        for name in ["t", "k"] {
            let report = conformance::check_source(endpoint(&path), table(name)).await;
            assert!(report.passed(), "{journal}, {name}: {report}");
            let reading = Reading::of(&path, name).await;
            let places: Vec<_> = reading.splits.iter().filter_map(|split| split.place.as_deref()).collect();
            let word = if name == "t" { "row ids " } else { "\"id\" " };
            assert!(places.len() > 2 && places.iter().all(|place| place.starts_with(word)), "{places:?}");
        }
    }
}

/// An open table with several readers, cut into splits.
struct Reading {
    session: Arc<dyn Session>,
    source: Arc<dyn Source>,
    scan: Scan,
    splits: Vec<Split>,
}

impl Reading {
    async fn of(path: &Path, name: &str) -> Self {
        let request = OpenRequest { objects: vec![table(name)], readers: 4, ..OpenRequest::default() };
        let session = endpoint(path).open(&request).await.unwrap();
        let source = session.source(&table(name)).unwrap();
        let schema = source.describe().await.unwrap().schema;
        let scan = Scan { schema, filters: Vec::new().into(), limit: None, batch_rows: 1000, batch_bytes: 1 << 20 };
        let splits = source.plan(&scan, &SplitGoal::new(1 << 20, 4)).await.unwrap().splits;
        Self { session, source, scan, splits }
    }

    async fn split(&self, split: &Split) -> Vec<RecordBatch> {
        let token = Token { run: "r".into(), transfer: 0, sink: 0, epoch: 0 };
        let attempt = Attempt::new(token, 0, vec![split.id]);
        let stream = self.source.read(&self.scan, split, &attempt, None).await.unwrap();
        stream.try_collect().await.unwrap()
    }

    /// All rows, the splits read at once.
    async fn rows(&self) -> Vec<RecordBatch> {
        futures::future::join_all(self.splits.iter().map(|split| self.split(split))).await.concat()
    }
}

/// Whether `sqlite3` gets through with `sql`.
fn tried(path: &Path, sql: &str) -> bool {
    std::process::Command::new("sqlite3")
        .args(["-batch", "-bail"])
        .arg(path)
        .arg(sql)
        .output()
        .unwrap()
        .status
        .success()
}

/// Locks of this process must hold against another one, however often the file is opened here meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn another_program_cannot_change_what_is_read() {
    for journal in ["delete", "wal"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.db");
        sqlite3(&path, &format!("pragma journal_mode = {journal}; {LARGE}"));
        let reading = Reading::of(&path, "t").await;
        endpoint(&path).ping().await.unwrap();
        // With a write-ahead log the writer gets through, and the log must stay while it is read.
        let wrote = tried(&path, "update t set v = 'new', w = 'new'; vacuum");
        assert!(journal == "wal" || !wrote);
        tried(&path, "pragma wal_checkpoint(truncate); select count(*) from t");
        let batches = reading.rows().await;
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 50_000);
        let old = |batch: &RecordBatch| batch.column(1).as_string::<i32>().iter().all(|v| v.unwrap().len() == 100);
        assert!(batches.iter().all(old), "{journal}: rows of two points in time");
        reading.session.close().await.unwrap();
        assert!(tried(&path, "delete from t"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_does_not_take_the_state_log_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let first = SqliteStateLog::open(&path).await.unwrap();
    first.append("first", &StateRecord::Finished { rows: 1, read: 0, rejected: 0 }).await.unwrap();
    let second = SqliteStateLog::open(&path).await.unwrap();
    // A last connection that closes would remove the write-ahead log under those that are open.
    sqlite3(&path, "insert into record (run, body) values ('other', '{\"record\":\"finished\",\"rows\":2}')");
    first.append("first", &StateRecord::Finished { rows: 3, read: 0, rejected: 0 }).await.unwrap();
    second.append("second", &StateRecord::Finished { rows: 4, read: 0, rejected: 0 }).await.unwrap();
    assert_eq!(sqlite3(&path, "select run from record order by id"), "first\nother\nfirst\nsecond");
    let runs: Vec<String> = second.runs().await.unwrap().into_iter().map(|entry| entry.run).collect();
    assert_eq!(runs, ["first", "other", "second"]);
}
