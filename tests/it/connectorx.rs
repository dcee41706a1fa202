//! ConnectorX against our own readers and the databases' own clients, which say what is true.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow_etl::attempt::Token;
use arrow_etl::connectors;
use arrow_etl::endpoint::ObjectRef;
use arrow_etl::error::Result;
use arrow_etl::job::{Job, Place};
use arrow_etl::run::{Between, Surroundings, copy};
use arrow_etl::sink::{Receipt, Writer};
use arrow_etl::testing::conformance;
use arrow_etl::testing::faults::Faults;
use async_trait::async_trait;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::program::{copied, etl, refused};
use crate::server::{mariadb, mariadb_client, postgres, psql, sqlite3};

#[tokio::test(flavor = "multi_thread")]
async fn conformance_of_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let (pg, maria, lite) = (postgres(), mariadb(), folder.path().join("c.db"));
    let columns = "create table c (id int primary key, price double precision, note text)";
    let rows = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 500) \
                select i, i / 4.0, concat('note ', i) from n";
    psql(&pg, &format!("{columns}; insert into c {rows}"));
    mariadb_client(&maria, &format!("{columns}; insert into c {rows}"));
    let rows = rows.replace("concat('note ', i)", "'note ' || i");
    sqlite3(&lite, &format!("{columns}; insert into c {rows}"));
    for url in [pg, maria, format!("sqlite:{}", lite.display())] {
        let endpoint = connectors::find("connectorx").unwrap();
        let endpoint = endpoint.endpoint(&json!({ "url": format!("connectorx:{url}") })).unwrap();
        let report = conformance::check_source(endpoint, ObjectRef::Table("c".to_owned())).await;
        assert!(report.passed(), "{url}: {report}");
    }
}

const POSTGRES_TABLE: &str =
    "(id int primary key, s smallint, b bigint, r real, d double precision, n numeric(12,3), w numeric(50,20),
    yes boolean, t text, v varchar(5), raw bytea, da date, ti time, ts timestamp, tz timestamptz, u uuid, j json)";

#[test]
fn postgres_values_are_those_of_our_reader() {
    let folder = tempfile::tempdir().unwrap();
    let url = postgres();
    psql(
        &url,
        &format!(
            "create table t {POSTGRES_TABLE};
             insert into t values (1, -32768, 9223372036854775807, 'NaN', 5e-324, -123456789.001,
               123456789012345678901234567890.12345678901234567890, true, E'ü😀\\n', 'vvüüü', '\\x00ff', '1999-12-31',
               '23:59:59.999999', '0001-01-01 00:00:00.000001', '2024-02-29 12:00:00.000001+05', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
               '{{\"b\": 1.50, \"a\": 12345678901234567890123}}'),
               (3, 0, 0, 1.1, 0.1::float8 + 0.2::float8, 0, 0, false, '', '', '', '2024-02-29', '00:00', '9999-12-31 23:59:59.999999',
               '0001-01-01 00:00:00+00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12', '{{}}');
             insert into t (id) values (2)"
        ),
    );
    let rows = |table: &str| psql(&url, &format!("select * from {table} order by id"));
    for (from, there) in [(format!("connectorx:{url}#t"), "theirs"), (format!("{url}#t"), "ours")] {
        psql(&url, &format!("create table {there} {POSTGRES_TABLE}"));
        copied(folder.path(), &[&from, &format!("{url}#{there}"), "--mode", "append"]);
        assert_eq!(rows(there), rows("t"), "{from}");
    }
    let done = etl(folder.path(), &["ping", &format!("connectorx:{url}")]);
    assert!(done.code == 0 && done.stdout.contains("PostgreSQL"), "{}{}", done.stdout, done.stderr);
}

#[test]
fn what_connectorx_would_change_comes_as_text_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let url = postgres();
    psql(
        &url,
        "create type mood as enum ('sad', 'ok');
         create table odd (id int, n numeric, i interval, a int[], m text[][], ip inet, net cidr, bits varbit(9), e mood, r int4range);
         insert into odd values (1, 1.123456789012345678, '1 year 2 days', '{1,NULL,3}', '{{a,b},{c,d}}', '10.0.0.1', '10.0.0.0/8',
           '101', 'ok', '[1,5)'), (2, 'NaN', '-1 second', '[0:1]={7,8}', '{}', '::1/128', '::/0', '', 'sad', 'empty'),
           (3, 123456789012345678901234567890123456789, null, null, null, null, null, null, null, null)",
    );
    let from = format!("connectorx:{url}");
    copied(folder.path(), &[&format!("{from}#odd"), &format!("{url}#made")]);
    let texts = "select id, n::text, i::text, a::text, m::text, ip::text, net::text, bits::text, e::text, r::text from odd order by id";
    assert_eq!(psql(&url, "select * from made order by id"), psql(&url, texts));
    let plan = etl(folder.path(), &["plan", &format!("{from}#odd"), "a.parquet"]).stdout;
    assert!(plan.contains("asked for as text") && plan.contains("n, i, a, m, ip"), "{plan}");
    // A query, too.
    copied(folder.path(), &[&from, "n.csv", "--query", "select 1.123456789012345678 as n;"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("n.csv")).unwrap(), "n\n1.123456789012345678\n");
    // Infinity is no day.
    psql(&url, "create table far (id int, d date); insert into far values (1, '2024-01-01'), (2, 'infinity')");
    let said = refused(folder.path(), &[&format!("{from}#far"), "far.csv"]);
    assert!(said.contains("reads infinity as a day") && said.contains("column d") && said.contains("row 2"), "{said}");
    // Nor is the end of a day its beginning, in a table or a query.
    psql(&url, "create table late (t time); insert into late values ('24:00')");
    let table = format!("{from}#late");
    for words in [&[table.as_str(), "late.csv"][..], &[from.as_str(), "late.csv", "--query", "select t from late"]] {
        let said = refused(folder.path(), words);
        assert!(said.contains("row 1: column t: a value is none of Time64"), "{said}");
    }
    // What it panics at is an error, with the exit code of one.
    let done = etl(folder.path(), &["copy", "-q", &from, "i.csv", "--query", "select interval '1 day' as i"]);
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert!(done.stderr.contains("ConnectorX does not know the type of a column"), "{}", done.stderr);
    assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
}

/// A table without the columns that its reader may not see would be another one.
#[test]
fn columns_that_may_not_be_read_are_not_left_out_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let (pg, maria) = (postgres(), mariadb());
    let role = format!("clerk{}", &uuid::Uuid::now_v7().simple().to_string()[16..]);
    let table =
        "create table t (id int primary key, a varchar(9), secret varchar(9)); insert into t values (1, 'x', 'y')";
    psql(&pg, &format!("{table}; create role {role} login; grant select (id, a) on t to {role}"));
    mariadb_client(&maria, table);
    for host in ["localhost", "127.0.0.1"] {
        let user = format!("'{role}'@'{host}'");
        mariadb_client(&maria, &format!("create user {user}; grant select (id, a) on t to {user}"));
    }
    let (of_pg, of_maria) =
        (pg.replacen("postgres@", &format!("{role}@"), 1), maria.replacen("root@", &format!("{role}@"), 1));
    for url in [of_pg, of_maria] {
        let from = format!("connectorx:{url}");
        let said = refused(folder.path(), &[&format!("{from}#t"), "t.csv"]);
        assert!(said.contains("refuses access"), "{from}: {said}");
        assert!(!folder.path().join("t.csv").exists());
        copied(folder.path(), &[&from, "t.csv", "--query", "select id, a from t"]);
        assert_eq!(std::fs::read_to_string(folder.path().join("t.csv")).unwrap(), "id,a\n1,x\n", "{from}");
        std::fs::remove_file(folder.path().join("t.csv")).unwrap();
    }
    psql(&pg, &format!("drop owned by {role}; drop role {role}"));
    mariadb_client(&maria, &format!("drop user '{role}'@'localhost', '{role}'@'127.0.0.1'"));
}

#[test]
fn a_read_that_fails_in_its_midst_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let url = postgres();
    let query = "select i, 1000 / (50000 - i) as v from generate_series(1, 60000) as i";
    let done =
        etl(folder.path(), &["copy", "-q", &format!("connectorx:{url}"), &format!("{url}#made"), "--query", query]);
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert!(done.stderr.contains("division by zero"), "{}", done.stderr);
    assert_eq!(psql(&url, "select count(*) from information_schema.tables where table_name = 'made'"), "0");
    let said = refused(folder.path(), &[&format!("connectorx:{url}#nope"), "a.csv"]);
    assert!(said.contains("the database has no such thing"), "{said}");
    std::fs::write(folder.path().join("a.csv"), "id\n1\n").unwrap();
    let said = refused(folder.path(), &["a.csv", &format!("connectorx:{url}#t")]);
    assert!(said.contains("ConnectorX only reads") && said.contains("write with 'postgres:'"), "{said}");
}

#[test]
fn a_table_with_a_key_is_read_by_ranges() {
    let folder = tempfile::tempdir().unwrap();
    let url = postgres();
    psql(&url, "create table many as select i as id, 'note ' || i as note from generate_series(-5000, 25000) as i");
    psql(&url, "alter table many add primary key (id)");
    psql(&url, "analyze many");
    let from = format!("connectorx:{url}#many");
    let plan = etl(folder.path(), &["plan", &from, "a.parquet", "-j", "4"]).stdout;
    assert!(plan.contains("even ranges of id"), "{plan}");
    copied(folder.path(), &[&from, &format!("{url}#there"), "-j", "4"]);
    let sums = |table: &str| psql(&url, &format!("select count(*), sum(id), count(distinct note) from {table}"));
    assert_eq!(sums("there"), sums("many"));
    copied(folder.path(), &[&from, "few.csv", "--limit", "3"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("few.csv")).unwrap().lines().count(), 4);
}

const MARIADB_TABLE: &str =
    "(id int primary key, u int unsigned, ub bigint unsigned, s smallint, t tinyint, f float, d double,
    n decimal(12,3), wide decimal(60,20), c char(3), v varchar(9), txt longtext, vb varbinary(9), bl longblob,
    da date, ti time(6), dt datetime(6), ts timestamp(6) null, e enum('a','long word'), y year)";

#[test]
fn mariadb_values_are_those_of_our_reader() {
    let folder = tempfile::tempdir().unwrap();
    let url = mariadb();
    let values = "(1, 4294967295, 18446744073709551615, -32768, -128, 1.5, 5e-324, -123456789.001,
          1234567890123456789012345678901234567890.12345678901234567890, 'ü😀', 'nine €€€€', 'zwei\nZeilen', x'00ff', x'5c27',
          '2024-02-29', '23:59:59.999999', '2024-02-29 12:00:00.000001', '2024-10-27 00:30:00.000001', 'long word', 2024),
          (3, 0, 0, 0, 0, 0, 0.1 + 2e-1, 0, 0, '', '', '', '', '', '1000-01-01', '00:00:00', '9999-12-31 23:59:59',
          '1970-01-01 00:00:01', 'a', 1901)";
    mariadb_client(
        &url,
        &format!(
            "set time_zone = '+00:00'; create table t {MARIADB_TABLE}; insert into t values {values}; insert into t (id) values (2)"
        ),
    );
    let columns = "id, u, ub, s, t, f, d, n, wide, c, v, txt, hex(vb), hex(bl), da, ti, dt, ts, e, y";
    let rows = |table: &str| mariadb_client(&url, &format!("select {columns} from {table} order by id"));
    for (from, there) in [(format!("connectorx:{url}#t"), "theirs"), (format!("{url}#t"), "ours")] {
        mariadb_client(&url, &format!("create table {there} {MARIADB_TABLE}"));
        copied(folder.path(), &[&from, &format!("{url}#{there}"), "--mode", "append"]);
        assert_eq!(rows(there), rows("t"), "{from}");
    }
    // Zero dates are no dates, and shapes would lose their reference system.
    mariadb_client(&url, "set sql_mode = ''; create table zero (da date); insert into zero values ('0000-00-00')");
    let done = etl(folder.path(), &["copy", "-q", &format!("connectorx:{url}#zero"), "zero.csv"]);
    assert!(done.code == 1 && !done.stderr.contains("panicked"), "{}", done.stderr);
    mariadb_client(&url, "create table places (id int, place point)");
    let said = refused(folder.path(), &[&format!("connectorx:{url}#places"), "places.csv"]);
    assert!(said.contains("may change values of point") && said.contains("column place"), "{said}");
    mariadb_client(&url, "insert into places values (7, point(1, 2))");
    copied(folder.path(), &[&format!("connectorx:{url}#places"), "ids.csv", "--drop", "place"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("ids.csv")).unwrap(), "id\n7\n");
}

#[test]
fn sqlite_values_are_those_of_our_reader() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    sqlite3(
        &path,
        "create table orders (id integer primary key, price real, note varchar(5), raw blob);
         insert into orders values (1, 12.5, 'ü, ''x''', x'00ff'), (2, -0.25, '', x''), (-9223372036854775808, 1e300, null, null);
         create table guessed (id integer, paid boolean); insert into guessed values (1, 2);
         create table mixed (v integer); insert into mixed values (1), ('secret')",
    );
    let from = format!("connectorx:sqlite:{}", path.display());
    copied(folder.path(), &[&format!("{from}#orders"), "theirs.csv"]);
    copied(folder.path(), &["shop.db#orders", "ours.csv"]);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("theirs.csv"), read("ours.csv"));
    let said = refused(folder.path(), &[&format!("{from}#guessed"), "guessed.csv"]);
    assert!(said.contains("may change values of boolean") && said.contains("column paid"), "{said}");
    copied(folder.path(), &[&format!("{from}#guessed"), "id.csv", "--drop", "paid"]);
    assert_eq!(read("id.csv"), "id\n1\n");
    let said = refused(folder.path(), &[&format!("{from}#mixed"), "mixed.csv"]);
    assert!(!said.contains("secret") && !said.contains("panicked"), "{said}");
    let said = refused(folder.path(), &["connectorx:sqlite:nope.db#t", "a.csv"]);
    assert!(said.contains("there is no such file") && !folder.path().join("nope.db").exists(), "{said}");
}

#[test]
fn columns_of_one_name_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    sqlite3(&path, "create table t (id integer, paid boolean); insert into t values (1, 2)");
    let (of_postgres, of_mariadb) = (format!("connectorx:{}", postgres()), format!("connectorx:{}", mariadb()));
    let of_sqlite = format!("connectorx:sqlite:{}", path.display());
    // A decimal is asked for as text, in a SELECT around the query.
    let (plain, decimal) = ("select 1 as a, 2 as b, 3 as a -- three", "select 1 as a, 2 as b, 3.5 as a -- three");
    for (from, query, last) in [
        (&of_postgres, plain, "3"),
        (&of_postgres, decimal, "3.5"),
        (&of_mariadb, plain, "3"),
        (&of_mariadb, decimal, "3.5"),
        (&of_sqlite, plain, "3"),
    ] {
        let read = |words: &[&str]| {
            let words = [&[from.as_str(), "rows.csv", "--mode", "replace", "--query", query], words].concat();
            copied(folder.path(), &words);
            std::fs::read_to_string(folder.path().join("rows.csv")).unwrap()
        };
        assert_eq!(read(&[]), format!("a,b,a_2\n1,2,{last}\n"), "{from}");
        assert_eq!(read(&["--drop", "a"]), format!("b,a_2\n2,{last}\n"), "{from}");
    }
    // A column that is not read is left out, and the others are those that they are called.
    let query = "select id as v, paid, id + 4 as V from t";
    copied(folder.path(), &[&of_sqlite, "some.csv", "--query", query, "--drop", "paid"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("some.csv")).unwrap(), "v,V_2\n1,5\n");
}

#[test]
fn a_missing_client_is_told_with_its_package() {
    let folder = tempfile::tempdir().unwrap();
    let done = etl(folder.path(), &["ping", "oracle://ada:s3cret@127.0.0.1:1/SHOP"]);
    assert_ne!(done.code, 0);
    assert!(done.stderr.contains("the client library of Oracle is not on this machine"), "{}", done.stderr);
    assert!(done.stderr.contains("Oracle Instant Client") && !done.stderr.contains("s3cret"), "{}", done.stderr);
}

#[test]
fn no_message_shows_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let as_nobody = |url: &str| {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (_, place) = rest.split_once('@').unwrap();
        format!("connectorx:{scheme}://nobody_here:s3cret-word@{place}#t")
    };
    for from in [as_nobody(&postgres()), as_nobody(&mariadb()), "connectorx:s3cret-word:x#t".to_owned()] {
        for words in [&["copy", &from, "a.csv"][..], &["plan", &from, "a.csv"], &["ping", &from]] {
            let done = etl(folder.path(), words);
            assert_ne!(done.code, 0, "{words:?}");
            assert!(!done.stderr.contains("s3cret") && !done.stderr.contains("t-word"), "{}", done.stderr);
        }
    }
}

#[test]
fn what_no_test_has_run_against_is_marked() {
    let folder = tempfile::tempdir().unwrap();
    let list = etl(folder.path(), &["connectors"]).stdout;
    let line = list.lines().find(|line| line.starts_with("connectorx")).unwrap();
    assert!(line.ends_with("bigquery, clickhouse, oracle, trino"), "{list}");
    let page = etl(folder.path(), &["connectors", "connectorx"]).stdout;
    for backend in ["PostgreSQL", "MySQL", "SQLite", "Oracle", "Trino", "BigQuery", "ClickHouse"] {
        assert!(page.contains(backend), "{backend}");
    }
}

/// A writer that gets on when its gate is closed for good, and not before.
struct Waiting {
    inner: Box<dyn Writer>,
    gate: Arc<Semaphore>,
}

#[async_trait]
impl Writer for Waiting {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        // Nobody gets a permit: this ends with the gate.
        let _ = self.gate.acquire().await;
        self.inner.write(batch).await
    }
    async fn flush(&mut self, token: &Token) -> Result<Receipt> {
        self.inner.flush(token).await
    }
}

/// Number of rows that the server has sent, once it sends no more.
async fn sent(url: &str) -> u64 {
    let (begin, mut before, mut since) = (Instant::now(), 0, Instant::now());
    while before == 0 || since.elapsed() < Duration::from_secs(3) {
        assert!(begin.elapsed() < Duration::from_mins(2), "{before} rows were sent, and it does not end");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let asked = url.to_owned();
        let sql = "select case when is_called then last_value else 0 end from sent";
        let now: u64 = tokio::task::spawn_blocking(move || psql(&asked, sql)).await.unwrap().parse().unwrap();
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
    before
}

/// ConnectorX's own loop would put the 154 MB of this result into a queue while nobody writes them. A sequence of the server counts
/// what it has sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn rows_that_nobody_writes_wait_in_the_server() {
    const ROWS: u64 = 120_000;
    const ROW_BYTES: u64 = 1280;
    const MEMORY_BYTES: u64 = 64 << 20;
    /// Buffers of the two sockets, and rows that the client asks for at once.
    const BETWEEN_BYTES: u64 = 32 << 20;
    let url = postgres();
    psql(&url, "create sequence sent");
    let query = format!(
        "select nextval('sent') as id, repeat(md5(g::text), {}) as pad from generate_series(1, {ROWS}) as g",
        ROW_BYTES / 32
    );
    let place = |name: &str, url: String, object: ObjectRef| Place::new(name, json!({ "url": url }), object);
    let source = place("connectorx", format!("connectorx:{url}"), ObjectRef::Query(query));
    let mut job = Job::new(source, place("null", "null:".to_owned(), ObjectRef::Whole));
    job.limits.memory_bytes = Some(MEMORY_BYTES);
    let endpoint = |place: &Place| connectors::find(&place.connector).unwrap().endpoint(&place.options).unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let waiting = Arc::clone(&gate);
    let waiting = move |inner| -> Box<dyn Writer> { Box::new(Waiting { inner, gate: Arc::clone(&waiting) }) };
    let target = Faults::new().wrapping(waiting).endpoint(endpoint(&job.target));
    let between = Between { source: endpoint(&job.source), target, also: Vec::new() };
    let surroundings = Surroundings::default();
    let watching = async {
        let stalled = sent(&url).await;
        gate.close();
        stalled
    };
    let (summary, stalled) = tokio::join!(copy(&job, between, &surroundings), watching);
    assert_eq!(summary.unwrap().rows, ROWS);
    assert_eq!(psql(&url, "select last_value from sent"), ROWS.to_string());
    let most = (MEMORY_BYTES + BETWEEN_BYTES) / ROW_BYTES;
    assert!(stalled > 0 && stalled < most && most < ROWS, "{stalled} rows were on their way, at most {most} may be");
}
