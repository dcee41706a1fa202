//! What a point in time of PostgreSQL holds against: locks, privileges, policies, refused connections, filters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow_etl::endpoint::ObjectRef;
use arrow_etl::error::ErrorKind;
use arrow_etl::source::{Pushdown, ReadPlan, Scan};
use datafusion::prelude::{Expr, SessionContext, col, lit};
use futures::TryStreamExt as _;

use crate::postgres_read::{Open, attempt, column, ids, open, rows, runtime, scan, table};
use crate::server::{postgres, psql};

/// A login of the name of the database, which no other test has; with `options` of CREATE ROLE.
struct Login {
    owner: String,
    name: String,
    url: String,
}

impl Login {
    fn new(url: &str, options: &str) -> Self {
        let name = url.rsplit_once('/').unwrap().1.to_owned();
        psql(url, &format!("create role {name} login {options}"));
        Self { owner: url.to_owned(), url: url.replacen("://postgres@", &format!("://{name}@"), 1), name }
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        psql(&self.owner, &format!("drop owned by {0}; drop role {0}", self.name));
    }
}

const WAITING: &str = "select count(*) from pg_locks l join pg_database d on d.oid = l.database \
    where not granted and datname = current_database()";

async fn until(url: &str, sql: &str, wanted: &str) {
    for _ in 0..3_000 {
        if psql(url, sql) == wanted {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("this never gave {wanted}: {sql}");
}

fn in_thread(url: &str, sql: &'static str) -> std::thread::JoinHandle<String> {
    let url = url.to_owned();
    std::thread::spawn(move || psql(&url, sql))
}

async fn joined(thread: std::thread::JoinHandle<String>) -> String {
    tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap()
}

fn noted(plan: &ReadPlan, words: &str) -> bool {
    plan.notes.iter().any(|note| note.contains(words))
}

const BIG: &str = "select i::int8 id, repeat('x', 200) pad from generate_series(1, 20000) i";

#[test]
fn row_security_of_partitions_is_that_of_the_whole() {
    let url = postgres();
    let login = Login::new(&url, "");
    psql(
        &url,
        &format!(
            "create table p (id int8, pad text) partition by range (id);
             create table p1 partition of p for values from (0) to (10000);
             create table p2 partition of p for values from (10000) to (30000); insert into p {BIG};
             alter table p1 enable row level security;
             create table q (id int8, pad text) partition by range (id);
             create table q1 partition of q default; insert into q {BIG};
             alter table q enable row level security; create policy part on q using (id % 2 = 0);
             create table s as {BIG}; alter table s enable row level security; create policy part on s using (id % 3 = 0);
             create table parent (id int8, pad text); create table heir () inherits (parent); insert into heir {BIG};
             alter table heir enable row level security;
             analyze; grant select on all tables in schema public to {}",
            login.name
        ),
    );
    runtime().block_on(async {
        for name in ["p", "q", "s", "parent"] {
            let open = open(&login.url, &ObjectRef::Table(name.into()), 2).await.unwrap();
            let scan = scan(&open.shape);
            let plan = open.plan(&scan, 64 * 1024, 2).await;
            let own_policies = matches!(name, "q" | "s");
            assert_eq!(noted(&plan, "row security applies to user"), own_policies, "{name}: {:?}", plan.notes);
            // Only what lies in one table may be cut.
            assert_eq!(plan.splits.len() > 1, name == "s", "{name}: {:?}", plan.notes);
            let found = ids(&open.read(&scan, &plan, 2).await.unwrap());
            let expected = psql(&login.url, &format!("select id from {name} order by 1"));
            assert_eq!(found.iter().map(i64::to_string).collect::<Vec<_>>().join("\n"), expected, "{name}");
            open.session.close().await.unwrap();
        }
        // Policies do not hold for who owns everything.
        let open = open(&url, &ObjectRef::Table("p".into()), 2).await.unwrap();
        let plan = open.plan(&scan(&open.shape), 64 * 1024, 2).await;
        assert!(plan.splits.len() > 1 && !noted(&plan, "row security"), "{:?}", plan.notes);
        assert_eq!(
            plan.splits[0].place.as_deref().map(|place| place.split(" of ").nth(1).unwrap()),
            Some("\"public\".\"p1\"")
        );
    });
}

#[test]
fn a_grant_on_columns_is_enough_for_them() {
    let url = postgres();
    let login = Login::new(&url, "");
    psql(&url, &format!("create table big as {BIG}; grant select (id) on big to {}", login.name));
    runtime().block_on(async {
        let open = open(&login.url, &ObjectRef::Table("big".into()), 2).await.unwrap();
        let scan = Scan { schema: Arc::new(open.shape.schema.project(&[0]).unwrap()), ..scan(&open.shape) };
        let plan = open.plan(&scan, 64 * 1024, 2).await;
        assert!(noted(&plan, "may not read all columns"), "{:?}", plan.notes);
        assert_eq!(rows(&open.read(&scan, &plan, 2).await.unwrap()), 20_000);
        open.session.close().await.unwrap();
    });
}

/// More reads at once than the session has connections, all of them from the start.
async fn read_all_at_once(open: &Open, scan: &Scan, plan: &ReadPlan) -> Vec<RecordBatch> {
    let read = |split| async move {
        let batches: Vec<RecordBatch> =
            open.source.read(scan, split, &attempt(), None).await.unwrap().try_collect().await.unwrap();
        batches
    };
    futures::future::join_all(plan.splits.iter().map(read)).await.concat()
}

#[test]
fn never_more_connections_than_readers_and_the_leader() {
    let url = postgres();
    psql(&url, &format!("create table big as {BIG}"));
    let count =
        "select count(*) from pg_stat_activity where datname = current_database() and application_name like 'etl %'";
    runtime().block_on(async {
        let open = open(&url, &ObjectRef::Table("big".into()), 3).await.unwrap();
        let scan = scan(&open.shape);
        let plan = open.plan(&scan, 256 * 1024, 3).await;
        assert!(plan.splits.len() > 10);
        let done = Arc::new(AtomicBool::new(false));
        let sampler = {
            let (url, done) = (url.clone(), Arc::clone(&done));
            std::thread::spawn(move || {
                let mut most = 0;
                while !done.load(Ordering::Relaxed) {
                    most = most.max(psql(&url, count).parse().unwrap());
                }
                most
            })
        };
        for _ in 0..10 {
            assert_eq!(ids(&read_all_at_once(&open, &scan, &plan).await), (1..=20_000).collect::<Vec<_>>());
        }
        done.store(true, Ordering::Relaxed);
        let most: usize = tokio::task::spawn_blocking(|| sampler.join().unwrap()).await.unwrap();
        assert!(most <= 4, "{most} connections");
        assert_eq!(psql(&url, count), "4");
    });
}

#[test]
fn refused_connections_leave_fewer_readers_and_no_read_waits_for_ever() {
    let url = postgres();
    let login = Login::new(&url, "connection limit 2");
    psql(&url, &format!("create table big as {BIG}; grant select on big to {}", login.name));
    runtime().block_on(async {
        let open = open(&login.url, &ObjectRef::Table("big".into()), 5).await.unwrap();
        let scan = scan(&open.shape);
        let plan = open.plan(&scan, 256 * 1024, 5).await;
        assert_eq!(ids(&read_all_at_once(&open, &scan, &plan).await).len(), 20_000);
        let again = open.plan(&scan, 256 * 1024, 5).await;
        assert_eq!(again.readers, Some(1));
        // A read that is given up takes its connection with it, and another one comes or the leader reads.
        drop(open.source.read(&scan, &plan.splits[0], &attempt(), None).await.unwrap());
        assert_eq!(ids(&read_all_at_once(&open, &scan, &plan).await).len(), 20_000);
        open.session.close().await.unwrap();
    });
}

#[test]
fn what_a_query_reads_is_locked_from_the_start() {
    let url = postgres();
    psql(&url, &format!("create table big as {BIG}; create view v as select id from big"));
    runtime().block_on(async {
        let query = ObjectRef::Query("select id from v where id > 10".into());
        let session = crate::postgres_read::endpoint(&url)
            .open(&arrow_etl::endpoint::OpenRequest {
                objects: vec![query.clone()],
                readers: 2,
                ..arrow_etl::endpoint::OpenRequest::default()
            })
            .await
            .unwrap();
        let truncate = in_thread(&url, "truncate big");
        until(&url, WAITING, "1").await;
        let source = session.source(&query).unwrap();
        let shape = source.describe().await.unwrap();
        let open = Open { session, source, shape };
        assert_eq!(rows(&open.all(&scan(&open.shape)).await.unwrap()), 19_990);
        open.session.close().await.unwrap();
        joined(truncate).await;
    });
}

#[test]
fn rewriting_a_table_waits_for_its_copy() {
    let url = postgres();
    psql(&url, &format!("create table big as {BIG}"));
    runtime().block_on(async {
        let open = open(&url, &ObjectRef::Table("big".into()), 2).await.unwrap();
        let scan = scan(&open.shape);
        let plan = open.plan(&scan, 64 * 1024, 2).await;
        let half = plan.splits.len() / 2;
        let part = |splits: &[_]| ReadPlan { splits: splits.to_vec(), ..ReadPlan::default() };
        let mut batches = open.read(&scan, &part(&plan.splits[..half]), 2).await.unwrap();
        psql(&url, "delete from big where id % 2 = 0; vacuum big");
        let vacuum = in_thread(&url, "vacuum full big");
        let alter = in_thread(&url, "alter table big add z float8 default random(), alter id type text");
        until(&url, WAITING, "2").await;
        batches.extend(open.read(&scan, &part(&plan.splits[half..]), 2).await.unwrap());
        assert_eq!(ids(&batches), (1..=20_000).collect::<Vec<_>>());
        open.session.close().await.unwrap();
        joined(vacuum).await;
        joined(alter).await;
    });
}

#[test]
fn a_lock_is_waited_for_as_long_as_the_user_says() {
    let url = postgres();
    psql(&url, "create table t as select 1 as id");
    runtime().block_on(async {
        let holder = in_thread(&url, "begin; lock table t; select pg_sleep(600)");
        until(&url, "select count(*) from pg_locks where relation = 't'::regclass and mode = 'AccessExclusiveLock'", "1").await;
        let limited = format!("{url}?options=-c%20lock_timeout%3D200");
        for object in [ObjectRef::Table("t".into()), ObjectRef::Query("select id from t".into())] {
            let error = open(&limited, &object, 1).await.err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        }
        // Without a limit it waits, and reads when the lock is free.
        let object = ObjectRef::Table("t".into());
        let opening = open(&url, &object, 1);
        let release = async {
            until(&url, WAITING, "1").await;
            psql(&url, "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(600)' and pid <> pg_backend_pid() and datname = current_database()")
        };
        let (opened, _) = tokio::join!(opening, release);
        assert_eq!(rows(&opened.unwrap().all(&scan_of_one(&url).await).await.unwrap()), 1);
        // psql fails, for its connection was ended.
        assert!(tokio::task::spawn_blocking(|| holder.join()).await.unwrap().is_err());
    });
}

async fn scan_of_one(url: &str) -> Scan {
    scan(&table(url, "t").await.shape)
}

#[test]
fn few_long_rows_are_cut_between_the_rows() {
    let url = postgres();
    psql(
        &url,
        "create table l (id int8, v bytea); alter table l alter v set storage external;
         insert into l select i, decode(repeat('ab', 1000000), 'hex') from generate_series(1, 16) i; delete from l where id = 3",
    );
    runtime().block_on(async {
        let open = open(&url, &ObjectRef::Table("l".into()), 2).await.unwrap();
        let scan = scan(&open.shape);
        let plan = open.plan(&scan, 4_000_000, 2).await;
        assert_eq!(plan.splits.len(), 5, "{:?}", plan.notes);
        let counts = futures::future::join_all(plan.splits.iter().map(|split| async {
            let batches: Vec<RecordBatch> =
                open.source.read(&scan, split, &attempt(), None).await.unwrap().try_collect().await.unwrap();
            rows(&batches)
        }))
        .await;
        assert_eq!(counts, [3; 5]);
        assert_eq!(plan.splits[1].place.as_deref(), Some("rows from (0,5) up to (0,8) of \"public\".\"l\""));
    });
}

#[test]
fn what_the_server_said_last_is_the_cause() {
    let url = postgres();
    psql(&url, "create table t as select 1 as id");
    runtime().block_on(async {
        let open = table(&url, "t").await;
        psql(&url, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'etl leader'");
        let error = loop {
            if let Err(error) = open.session.check().await {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::Connection);
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("terminating connection"), "{cause}");
    });
}

#[test]
fn foreign_tables_views_and_small_tables_say_why_they_are_one_stream() {
    let url = postgres();
    psql(
        &url,
        &format!(
            "create extension file_fdw; create server files foreign data wrapper file_fdw;
             create foreign table f (id int8) server files options (program 'seq 1 100');
             create table big as {BIG}; create view v as select id from big; create table small as select 1::int8 id;
             create materialized view mv as select id from small; analyze"
        ),
    );
    runtime().block_on(async {
        for (name, count, why) in [
            ("f", 100, "a foreign table"),
            ("v", 20_000, "a view"),
            ("small", 1, "is small"),
            ("mv", 1, "a TRUNCATE during the copy would show"),
        ] {
            let open = open(&url, &ObjectRef::Table(name.into()), 2).await.unwrap();
            let scan = scan(&open.shape);
            let plan = open.plan(&scan, 64 * 1024, 2).await;
            assert!(noted(&plan, why), "{name}: {:?}", plan.notes);
            assert_eq!(rows(&open.read(&scan, &plan, 2).await.unwrap()), count, "{name}");
        }
    });
}

/// What Arrow keeps of all rows, and what is kept when the server filters first.
async fn both_ways(open: &Open, whole: &[RecordBatch], filter: &Expr) -> (Vec<String>, Vec<String>) {
    let arrow = async |batches: Vec<RecordBatch>| {
        if rows(&batches) == 0 {
            return Vec::new();
        }
        let kept = SessionContext::new().read_batches(batches).unwrap().filter(filter.clone()).unwrap();
        let mut ids = column(&kept.select_columns(&["id"]).unwrap().collect().await.unwrap(), 0);
        ids.sort_unstable();
        ids
    };
    let filters = match open.source.pushdown(&open.shape, filter) {
        Pushdown::None => vec![],
        _ => vec![filter.clone()],
    };
    let found = open.all(&Scan { filters: filters.into(), ..scan(&open.shape) }).await.unwrap();
    let pushed = if open.source.pushdown(&open.shape, filter) == Pushdown::Exact {
        let mut ids = column(&found, 0);
        ids.sort_unstable();
        ids
    } else {
        arrow(found).await
    };
    (arrow(whole.to_vec()).await, pushed)
}

#[test]
fn the_server_filters_as_arrow_does() {
    let url = postgres();
    psql(
        &url,
        "create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         create table f (id int8, x float8, r float4, c text collate \"C\", d text, l text collate loose, n numeric(8,2), day date);
         insert into f select row_number() over (), x, x, t, t, t, n, day from
            unnest(array['-0', '0', 'NaN', '1', '-1', 'Infinity', '-Infinity', '0.1', null]::float8[]) x,
            unnest(array['a', 'A', 'b', 'B', 'ä', 'Ä', 'z', '', ' ', 'a ', null]) t,
            unnest(array[0, -0.01, 1.5, null]) n, unnest(array['2020-01-01', '0001-01-01', null]::date[]) day",
    );
    runtime().block_on(async {
        let open = table(&url, "f").await;
        let mut filters =
            vec![col("id").between(lit(5_i64), lit(50_i64)), col("x").eq(col("x")), col("n").gt(lit(0_i64))];
        for value in [0.0, -0.0, 1.0, 0.1, f64::NAN, f64::INFINITY, -1.0] {
            filters.extend([
                col("x").eq(lit(value)),
                col("x").not_eq(lit(value)),
                col("x").lt(lit(value)),
                col("x").gt(lit(value)),
                col("x").lt_eq(lit(value)),
                !col("x").gt_eq(lit(value)),
                col("x").in_list(vec![lit(value), lit(7.0)], true),
                col("r").gt(lit(value as f32)),
            ]);
        }
        for name in ["c", "d", "l"] {
            for text in ["a", "A", "ä", "Z", ""] {
                filters.extend([
                    col(name).eq(lit(text)),
                    col(name).not_eq(lit(text)),
                    col(name).lt(lit(text)),
                    col(name).gt_eq(lit(text)),
                    col(name).in_list(vec![lit(text), lit("b")], false),
                ]);
            }
        }
        let whole = open.all(&scan(&open.shape)).await.unwrap();
        for filter in filters {
            let (arrow, pushed) = both_ways(&open, &whole, &filter).await;
            assert_eq!(arrow, pushed, "{filter}");
        }
    });
}

#[test]
fn other_encodings_keep_their_order_and_get_no_letters_they_lack() {
    let server = postgres();
    let name = format!("{}_latin1", server.rsplit_once('/').unwrap().1);
    psql(&server, &format!("create database {name} encoding latin1 locale 'C' template template0"));
    let url = server.rsplit_once('/').unwrap().0.to_owned() + "/" + &name;
    psql(
        &url,
        "set client_encoding = utf8; create table t (id int8, c text collate \"C\"); insert into t values (1, 'a'), (2, 'é'), (3, 'z')",
    );
    runtime().block_on(async {
        let open = table(&url, "t").await;
        let pushdown = |filter: Expr| open.source.pushdown(&open.shape, &filter);
        assert_eq!(pushdown(col("c").lt(lit("m"))), Pushdown::None);
        assert_eq!(pushdown(col("c").eq(lit("a"))), Pushdown::Exact);
        // The server would refuse the letter itself.
        assert_eq!(pushdown(col("c").eq(lit("€"))), Pushdown::None);
        let whole = open.all(&scan(&open.shape)).await.unwrap();
        let (arrow, pushed) = both_ways(&open, &whole, &col("c").not_eq(lit("€"))).await;
        assert_eq!((arrow.len(), pushed.len()), (3, 3));
        let schema = Arc::new(Schema::new(vec![open.shape.schema.field(1).clone()]));
        assert_eq!(column(&open.all(&Scan { schema, ..scan(&open.shape) }).await.unwrap(), 0), ["a", "é", "z"]);
        open.session.close().await.unwrap();
    });
    psql(&server, &format!("drop database {name}"));
}
