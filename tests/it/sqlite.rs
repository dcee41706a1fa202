//! SQLite through the suite of all connectors, and against its own client, which says what is true.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use arrow::util::pretty::pretty_format_batches;
use arrow_etl::attempt::{Attempt, Token};
use arrow_etl::connectors;
use arrow_etl::endpoint::{Endpoint, ObjectRef, OpenRequest};
use arrow_etl::error::Result;
use arrow_etl::sink::{Tasks, WriteMode, WriteRequest};
use arrow_etl::source::{Scan, SplitGoal};
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
        Ok(Target::new(endpoint(&path), table("conformance")).keeping(folder))
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
    let request = OpenRequest { objects: vec![from.1.clone()], readers: 2, join: None };
    let session = endpoint(from.0).open(&request).await?;
    let source = session.source(&from.1)?;
    let shape = source.describe().await?;
    let scan = Scan {
        schema: Arc::clone(&shape.schema),
        filters: Vec::new(),
        limit: None,
        batch_rows: 1000,
        batch_bytes: 1 << 20,
    };
    let plan = source.plan(&scan, &SplitGoal { split_bytes: 1 << 20, channels: 2 }).await?;
    let sink = endpoint(to.0).sink(&table(to.1))?;
    let request = WriteRequest { tasks: Tasks::One, ..WriteRequest::new(mode) };
    let agreement = sink.agree(&shape, &request).await?;
    let token = Token { run: uuid::Uuid::now_v7().to_string(), transfer: 0, sink: 0, epoch: 0 };
    sink.prepare(&agreement, &token).await?;
    let attempt = Attempt::new(token.clone(), 0, plan.splits.iter().map(|split| split.id).collect());
    let mut writer = sink.writer(&agreement, &attempt).await?;
    for split in &plan.splits {
        let mut stream = source.read(&scan, split, &attempt).await?;
        while let Some(batch) = stream.try_next().await? {
            writer.write(batch).await?;
        }
    }
    let receipt = writer.flush(&token).await?;
    sink.commit(&agreement, &token, &[receipt]).await?;
    session.close().await
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
    let session =
        endpoint(&path).open(&OpenRequest { objects: vec![table("t")], readers: 1, join: None }).await.unwrap();
    let source = session.source(&table("t")).unwrap();
    let shape = source.describe().await.unwrap();
    let scan = Scan { schema: shape.schema, filters: Vec::new(), limit: None, batch_rows: 10, batch_bytes: 1000 };
    let plan = source.plan(&scan, &SplitGoal { split_bytes: 1, channels: 1 }).await.unwrap();
    assert!(plan.notes.iter().any(|note| note.ends_with("read as text: a, b")), "{:?}", plan.notes);
    let token = Token { run: "r".into(), transfer: 0, sink: 0, epoch: 0 };
    let stream = source.read(&scan, &plan.splits[0], &Attempt::new(token, 0, vec![0])).await.unwrap();
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
