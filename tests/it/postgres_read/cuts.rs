//! How reads are cut, and that all of them see one point in time.

use super::*;

#[test]
fn many_splits_few_connections_one_point_in_time() {
    let url = postgres();
    psql(
        &url,
        "create table big as select i::int8 id, repeat('x', 200) pad from generate_series(1, 40000) i; analyze big",
    );
    runtime().block_on(async {
        let object = ObjectRef::Table("big".into());
        let open = open(&url, &object, 2).await.unwrap();
        let scan = scan(&open.shape);
        let plan = open.plan(&scan, 16 * 1024, 2).await;
        assert!(plan.splits.len() > 500, "{}", plan.splits.len());
        // A plan opens no connection; the first read opens them all.
        let count = "select count(*) from pg_stat_activity where datname = current_database() and application_name like 'etl %'";
        assert_eq!(psql(&url, count), "1");
        let first = ReadPlan { splits: plan.splits[..1].to_vec(), ..ReadPlan::default() };
        assert!(rows(&open.read(&scan, &first, 1).await.unwrap()) > 0);
        assert_eq!(psql(&url, count), "3");
        // What others do now is not seen: new rows, deletes, and a TRUNCATE that waits for us.
        psql(&url, "insert into big select i, '' from generate_series(40001, 50000) i; delete from big where id % 2 = 0");
        let truncate = {
            let url = url.clone();
            std::thread::spawn(move || psql(&url, "truncate big"))
        };
        let batches = open.read(&scan, &plan, 2).await.unwrap();
        assert_eq!(ids(&batches), (1..=40_000).collect::<Vec<_>>());
        assert_eq!(psql(&url, count), "3");
        // A split read twice, and one left in the middle.
        let again = open.source.read(&scan, &plan.splits[3], &attempt(), None).await.unwrap();
        let first: Vec<RecordBatch> = again.try_collect().await.unwrap();
        let second: Vec<RecordBatch> =
            open.source.read(&scan, &plan.splits[3], &attempt(), None).await.unwrap().try_collect().await.unwrap();
        assert_eq!(first, second);
        open.session.check().await.unwrap();
        open.session.close().await.unwrap();
        assert_eq!(tokio::task::spawn_blocking(|| truncate.join().unwrap()).await.unwrap(), "");
    });
}

#[test]
fn a_dropped_read_leaves_the_leader_whole() {
    let url = postgres();
    psql(&url, "create table big as select i::int8 id, repeat('x', 200) pad from generate_series(1, 200000) i");
    runtime().block_on(async {
        let open = table(&url, "big").await;
        let scan = Scan { batch_rows: 10, ..scan(&open.shape) };
        let plan = open.plan(&scan, 1 << 20, 1).await;
        for _ in 0..3 {
            let mut stream = open.source.read(&scan, &plan.splits[0], &attempt(), None).await.unwrap();
            assert_eq!(stream.next().await.unwrap().unwrap().num_rows(), 10);
        }
        let whole = Scan { batch_rows: 10_000, ..scan };
        assert_eq!(rows(&open.read(&whole, &plan, 1).await.unwrap()), 200_000);
        open.session.check().await.unwrap();
    });
}

#[test]
fn partitions_views_queries_and_empty_tables() {
    let url = postgres();
    psql(
        &url,
        "create table p (id int8, pad text) partition by range (id);
         create table p1 partition of p for values from (0) to (10000);
         create table p2 (pad text, id int8); alter table p attach partition p2 for values from (10000) to (30000);
         create table p3 partition of p for values from (30000) to (40000);
         insert into p select i, repeat('x', 200) from generate_series(0, 29999) i;
         create table parent (id int8); create table child (more int) inherits (parent);
         insert into parent select generate_series(1, 30000); insert into child select i, i from generate_series(30001, 60000) i;
         create view v as select id, pad from p where id < 10; create materialized view mv as table p;
         create table empty (id int8); create table none ();
         analyze",
    );
    runtime().block_on(async {
        for (name, count, cut) in
            [("p", 30_000, true), ("parent", 60_000, true), ("mv", 30_000, true), ("v", 10, false), ("empty", 0, false)]
        {
            let open = open(&url, &ObjectRef::Table(name.into()), 2).await.unwrap();
            let scan = scan(&open.shape);
            let plan = open.plan(&scan, 256 * 1024, 2).await;
            assert_eq!(plan.splits.len() > 2, cut, "{name}: {:?}", plan.notes);
            let batches = open.read(&scan, &plan, 2).await.unwrap();
            let ids = ids(&batches);
            assert_eq!(ids.len(), count, "{name}");
            assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{name}");
        }
        let query = ObjectRef::Query(
            "select id % 3 as k, count(*) n, max(pad)::varchar(7) m from p group by 1 order by 1 -- end\n; -- done"
                .into(),
        );
        let open = open(&url, &query, 4).await.unwrap();
        assert_eq!(schema::native_of(open.shape.schema.field(2), "postgres"), Some("character varying(7)"));
        let batches = open.all(&scan(&open.shape)).await.unwrap();
        assert_eq!(column(&batches, 1), ["10000", "10000", "10000"]);
        // No columns at all are still rows.
        let open = table(&url, "p").await;
        let counting = Scan { schema: Arc::new(Schema::empty()), ..scan(&open.shape) };
        assert_eq!(rows(&open.all(&counting).await.unwrap()), 30_000);
    });
}

#[test]
fn filters_projection_and_limit() {
    let url = postgres();
    psql(
        &url,
        "create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         create table f as select i::int8 id, (i % 7)::float8 x, ('a' || i % 5)::text collate \"C\" s,
            ('a' || i % 5)::text collate loose l, repeat('x', 300) pad from generate_series(1, 30000) i;
         update f set x = '-0' where id % 14 = 0; update f set x = 'NaN' where id % 14 = 1;
         alter table f add primary key (id); vacuum analyze f",
    );
    runtime().block_on(async {
        let object = ObjectRef::Table("f".into());
        let open = open(&url, &object, 2).await.unwrap();
        let pushdown = |filter: &Expr| open.source.pushdown(&open.shape, filter);
        assert_eq!(pushdown(&col("id").gt(lit(5_i64))), Exact);
        assert_eq!(pushdown(&col("s").lt(lit("a3"))), Exact);
        assert_eq!(pushdown(&col("l").eq(lit("A3"))), Nothing);
        assert_ne!(pushdown(&col("x").eq(lit(0.0))), Exact);

        let schema = Arc::new(open.shape.schema.project(&[0]).unwrap());
        let filtered = |filter: Expr, limit| Scan {
            schema: Arc::clone(&schema),
            filters: vec![filter].into(),
            limit,
            ..scan(&open.shape)
        };
        let some = filtered(col("s").eq(lit("a3")), None);
        let plan = open.plan(&some, 1 << 20, 2).await;
        assert!(plan.splits.len() > 1, "{:?}", plan.notes);
        let expected = psql(&url, "select id from f where s = 'a3' order by 1");
        let found: Vec<String> = ids(&open.read(&some, &plan, 2).await.unwrap()).iter().map(i64::to_string).collect();
        assert_eq!(found.join("\n"), expected);

        let few = filtered(col("id").lt(lit(20_i64)), None);
        let plan = open.plan(&few, 1 << 20, 2).await;
        assert_eq!(plan.splits.len(), 1);
        assert!(plan.notes.iter().any(|note| note.contains("index")), "{:?}", plan.notes);
        assert_eq!(rows(&open.read(&few, &plan, 2).await.unwrap()), 19);

        let limited = filtered(col("id").gt(lit(0_i64)), Some(7));
        let plan = open.plan(&limited, u64::MAX, 1).await;
        assert_eq!(rows(&open.read(&limited, &plan, 1).await.unwrap()), 7);
    });
}

#[test]
fn large_values_and_batch_limits() {
    let url = postgres();
    psql(&url, "create table l (id int8, v bytea); insert into l select i, decode(repeat('ab', 3000000), 'hex') from generate_series(1, 4) i;
        insert into l select i, '' from generate_series(5, 2504) i");
    runtime().block_on(async {
        let open = table(&url, "l").await;
        let batches = open.all(&Scan { batch_bytes: 1 << 20, ..scan(&open.shape) }).await.unwrap();
        let counts: Vec<usize> = batches.iter().map(RecordBatch::num_rows).collect();
        assert_eq!(counts, [1, 1, 1, 1, 1000, 1000, 500]);
        assert!(
            batches[..4].iter().all(|batch| batch.column(1).as_binary::<i32>().value(0) == [0xab].repeat(3_000_000))
        );
    });
}

#[test]
fn raw_frames_are_what_copy_in_takes() {
    let url = postgres();
    psql(&url, "create table a (id int8, t text, n numeric, x int4[]); insert into a select i, repeat('ä', i % 300), i / 7.0, array[i]
        from generate_series(1, 20000) i; create table b (like a)");
    runtime().block_on(async {
        let open = open(&url, &ObjectRef::Table("a".into()), 2).await.unwrap();
        let scan = scan(&open.shape);
        let encoding = open.source.encoding(&scan).unwrap();
        assert_eq!(
            (encoding.name.as_str(), &encoding.columns[..]),
            ("postgres-copy-binary", &["bigint", "text", "numeric", "integer[]"].map(str::to_owned)[..])
        );
        let plan = open.plan(&scan, 1 << 20, 2).await;
        let mut copy = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        let mut count = 0;
        for split in &plan.splits {
            let frames: Vec<_> =
                open.source.read_raw(&scan, split, &attempt()).await.unwrap().try_collect().await.unwrap();
            let (_, whole) = frames.split_last().unwrap();
            assert!(whole.iter().all(|(bytes, _)| bytes.len() >= 256 * 1024));
            for (bytes, rows) in frames {
                copy.extend_from_slice(&bytes);
                count += rows;
            }
        }
        copy.extend_from_slice(&[0xff, 0xff]);
        assert_eq!(count, 20_000);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), copy).unwrap();
        psql(&url, &format!("\\copy b from '{}' (format binary)", file.path().display()));
        assert_eq!(psql(&url, "select count(*) from (table a except all table b) x"), "0");
    });
}

#[test]
fn plain_errors() {
    let url = postgres();
    psql(&url, "create table orders (id int); create role nobody_reads login; create index oi on orders (id)");
    let kind = |url: String, object: ObjectRef| {
        runtime().block_on(async {
            let error = open(&url, &object, 1).await.err().unwrap();
            (error.kind(), format!("{error} {}", error.hint().unwrap_or_default()))
        })
    };
    let orders = || ObjectRef::Table("orders".into());
    let (found, text) = kind(url.clone(), ObjectRef::Table("order".into()));
    assert_eq!(found, ErrorKind::NotFound);
    assert!(text.contains("table order") && text.contains("is it public.orders?"), "{text}");
    let (found, _) = kind(format!("{url}_none"), orders());
    assert_eq!(found, ErrorKind::NotFound);
    let as_user = |user: &str| {
        url.replacen("://", &format!("://{user}@"), 1).replacen(&format!("{user}@postgres@"), &format!("{user}@"), 1)
    };
    assert_eq!(kind(as_user("nobody_at_all"), orders()).0, ErrorKind::Authentication);
    assert_eq!(kind(as_user("nobody_reads"), orders()).0, ErrorKind::Permission);
    psql(&url, "drop role nobody_reads");
    assert_eq!(kind("postgres://u@127.0.0.1:1/d".into(), orders()).0, ErrorKind::Connection);
    assert_eq!(kind("postgres://u@no-such-host.invalid/d".into(), orders()).0, ErrorKind::Connection);
    assert_eq!(kind(url.clone(), ObjectRef::Table("oi".into())).0, ErrorKind::Unsupported);
    assert_eq!(kind(url.clone(), ObjectRef::Query("selec 1".into())).0, ErrorKind::Usage);
    assert_eq!(kind(url.clone(), ObjectRef::Query("select 1 as a; select 2 as a".into())).0, ErrorKind::Usage);
    assert_eq!(kind(url.clone(), ObjectRef::Query(" -- nothing\n;".into())).0, ErrorKind::Usage);
    assert_eq!(kind(url, ObjectRef::Query("select nothing from orders".into())).0, ErrorKind::NotFound);
}

#[test]
fn key_ranges_where_pages_do_not_serve() {
    let url = postgres();
    psql(
        &url,
        "create access method other type table handler heap_tableam_handler;
         create table k (id int primary key, pad text) using other;
         insert into k select i * i, repeat('x', 500) from generate_series(-150, 20000) i on conflict do nothing; analyze k;
         create table n (id text primary key, pad text) using other with (autovacuum_enabled = off); insert into n select id::text, pad from k",
    );
    runtime().block_on(async {
        let of = async |name: &str| open(&url, &ObjectRef::Table(name.into()), 3).await.unwrap();
        let open = of("k").await;
        let wanted = scan(&open.shape);
        let plan = open.plan(&wanted, 500_000, 3).await;
        assert!(plan.splits.len() > 10, "{:?}", plan.notes);
        assert_eq!(plan.splits[2].place.as_deref(), Some("key range 3"));
        let batches = open.read(&wanted, &plan, 3).await.unwrap();
        let expected = psql(&url, "select id from k order by 1");
        assert_eq!(ids(&batches).iter().map(i64::to_string).collect::<Vec<_>>().join("\n"), expected);
        let open = of("n").await;
        let plan = open.plan(&scan(&open.shape), 500_000, 3).await;
        assert_eq!(plan.splits.len(), 1, "{:?}", plan.notes);
    });
}

#[test]
fn another_process_joins_the_point_in_time() {
    let url = postgres();
    psql(&url, "create table j as select i::int8 id from generate_series(1, 10) i");
    runtime().block_on(async {
        let object = ObjectRef::Table("j".into());
        let first = open(&url, &object, 2).await.unwrap();
        let Snapshot::Shared(id) = first.session.snapshot() else { panic!("it is shared") };
        psql(&url, "insert into j values (11)");
        let joined = endpoint(&url).open(&OpenRequest { join: Some(id), ..request(&object, 2) }).await.unwrap();
        let source = joined.source(&object).unwrap();
        let second = Open { shape: source.describe().await.unwrap(), source, session: joined };
        assert_eq!(ids(&second.all(&scan(&second.shape)).await.unwrap()).len(), 10);
        assert_eq!(second.session.snapshot(), first.session.snapshot());
        first.session.close().await.unwrap();
        let Snapshot::Shared(id) = second.session.snapshot() else { panic!("it is shared") };
        second.session.close().await.unwrap();
        let late = endpoint(&url).open(&OpenRequest { join: Some(id), ..request(&object, 2) }).await;
        assert!(late.is_err());
    });
}

#[test]
fn a_lock_in_the_way_leaves_fewer_readers() {
    let url = postgres();
    psql(&url, "create table w as select i::int8 id, repeat('x', 200) pad from generate_series(1, 30000) i");
    runtime().block_on(async {
        let open = open(&url, &ObjectRef::Table("w".into()), 3).await.unwrap();
        // It waits for the leader, and new readers would wait for it.
        let truncate = {
            let url = url.clone();
            std::thread::spawn(move || psql(&url, "truncate w"))
        };
        while psql(&url, "select count(*) from pg_locks l join pg_database d on d.oid = l.database where not granted and datname = current_database()") != "1" {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let scan = scan(&open.shape);
        let plan = open.plan(&scan, 64 * 1024, 3).await;
        assert!(plan.splits.len() > 50, "{:?}", plan.notes);
        assert_eq!(plan.readers, None);
        assert_eq!(ids(&open.read(&scan, &plan, 3).await.unwrap()).len(), 30_000);
        let again = open.plan(&scan, 64 * 1024, 3).await;
        assert_eq!(again.readers, Some(1));
        open.session.close().await.unwrap();
        tokio::task::spawn_blocking(|| truncate.join().unwrap()).await.unwrap();
    });
}
