//! Old versions of `PostgreSQL`: 10, where what is promised begins, and 13, the last one that cannot read ranges of pages.

use arrow_etl::endpoint::ObjectRef;

use crate::incremental::takes_five_rounds;
use crate::postgres_read::{column, endpoint, open, runtime, scan};
use crate::program::{copied, etl, refused};
use crate::resume::adds_its_rows_once;
use crate::server::{older_postgres, postgres, psql};

/// A fresh database on each of the two servers.
fn databases() -> [String; 2] {
    ["10", "13"].map(older_postgres)
}

#[test]
fn these_are_the_versions_and_what_they_lack_is_said() {
    for (url, version) in databases().iter().zip(["10.", "13."]) {
        let found = psql(url, "show server_version");
        assert!(found.starts_with(version), "{found}");
        let ping = runtime().block_on(endpoint(url).ping()).unwrap();
        assert_eq!(ping.missing, ["no reading by page ranges before PostgreSQL 14: key ranges or one stream"]);
    }
}

/// Tables with a key that is sparse and begins below zero, one of text, one that nobody has counted, none, and heirs.
const TABLES: &str = "
    create table numbers (id int8 primary key, pad text);
    insert into numbers select case when i < 15000 then i - 10000 else i::int8 * 1000000 end, repeat('x', 200) from generate_series(1, 20000) i;
    create table words (word text primary key, pad text);
    insert into words select md5(i::text), repeat('x', 200) from generate_series(1, 20000) i;
    create table uncounted (like words including all) with (autovacuum_enabled = off);
    insert into uncounted table words;
    create table keyless as table numbers;
    create table parent (id int8 primary key, pad text); create table heir () inherits (parent);
    insert into parent select * from numbers where id < 0; insert into heir select * from numbers where id >= 0;
    analyze numbers; analyze words; analyze keyless; analyze parent; analyze heir";

const OLDER: &str = "the server is older than 14 and cannot read page ranges";

#[test]
fn tables_are_cut_by_their_key_or_read_in_one_stream() {
    let cut = |key: &str| (true, format!(" ranges of key {key}: {OLDER}"));
    let whole = |why: &str| (false, format!("one stream: {OLDER}, and {why}"));
    let cases = [
        ("numbers", cut("id")),
        ("words", cut("word")),
        ("parent", cut("id")),
        ("uncounted", whole("no ANALYZE has told how the values of key word lie")),
        ("keyless", whole("there is no key to cut by")),
    ];
    for url in databases() {
        psql(&url, TABLES);
        for (name, (is_cut, why)) in &cases {
            reads_one_point_in_time(&url, name, *is_cut, why);
        }
    }
}

/// Reads all rows of `name` by two readers while others change them.
fn reads_one_point_in_time(url: &str, name: &str, is_cut: bool, why: &str) {
    let rows = psql(url, &format!("select t::text from {name} t order by t::text collate \"C\""));
    runtime().block_on(async {
        let open = open(url, &ObjectRef::Table(name.into()), 2).await.unwrap();
        let scan = scan(&open.shape);
        let plan = open.plan(&scan, 256 * 1024, 2).await;
        assert_eq!(plan.splits.len() > 8, is_cut, "{name}: {:?}", plan.notes);
        assert!(plan.notes.iter().any(|note| note.ends_with(why)), "{name}: {:?}", plan.notes);
        psql(url, &format!("insert into {name} values ('999999999999', 'new'); update {name} set pad = 'new'"));
        let batches = open.read(&scan, &plan, 2).await.unwrap();
        let (keys, pads) = (column(&batches, 0), column(&batches, 1));
        let mut found: Vec<_> = keys.iter().zip(&pads).map(|(key, pad)| format!("({key},{pad})")).collect();
        found.sort_unstable();
        assert!(found.iter().map(String::as_str).eq(rows.lines()), "{name}");
        open.session.close().await.unwrap();
    });
}

/// Rows of many kinds.
const ROWS: &str = "
    create table s (id int8 primary key, note text, sum numeric(12,2), free numeric, at timestamptz, flag bool, facts jsonb, u uuid,
      ratio float8, day date, list int[], span int4range);
    insert into s select i, repeat('x', 300 + i % 300), i / 7.0, case when i % 9 > 0 then 1.0 / i else 'NaN' end,
      timestamptz '2024-01-01Z' + i * interval '1.5 s', i % 3 = 0, jsonb_build_object('i', i), md5(i::text)::uuid,
      case i % 100 when 0 then '-Infinity' when 1 then '-0' else 1::float8 / i end, date '2024-01-01' + i, array[i, null], int4range(i, i + 1)
    from generate_series(1, 30000) i";

#[test]
fn rows_land_in_every_mode() {
    let proved: &[&str] = &["--verify", "checksum"];
    let cases: [(&str, &str, &[&str]); 8] = [
        ("create", "1", proved),
        ("create", "2", proved),
        ("append", "2", proved),
        ("append", "2", &["--publish", "prepared"]),
        ("truncate", "2", proved),
        ("replace", "2", proved),
        ("upsert", "2", proved),
        ("sync", "2", proved),
    ];
    for (mode, jobs, words) in cases {
        for url in databases() {
            lands(&url, mode, &[&["-j", jobs], words].concat());
        }
    }
}

fn lands(url: &str, mode: &str, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    psql(url, ROWS);
    if mode != "create" {
        psql(url, "create table t (like s including all); insert into t (id, note) values (0, 'old')");
    }
    if mode == "upsert" || mode == "sync" {
        psql(url, "insert into t select * from s where id <= 100; update t set note = 'old'");
    }
    let (from, to) = (format!("{url}#s"), format!("{url}#t"));
    copied(folder.path(), &[&[from.as_str(), &to, "--mode", mode], words].concat());
    let missing = psql(url, "select count(*) from (table s except all table t) x");
    let old = psql(url, "select id, note from (table t except all table s) x");
    let kept = if mode == "append" || mode == "upsert" { "0|old" } else { "" };
    assert_eq!((missing.as_str(), old.as_str()), ("0", kept), "{mode} {words:?}");
    let left = psql(url, "select relname from pg_class where relname like 'etl\\_stage%'");
    assert_eq!(left, "", "{mode} {words:?}");
}

#[test]
fn a_killed_copy_is_gone_on_with() {
    for url in databases() {
        adds_its_rows_once(&url, "2");
    }
}

#[test]
fn rounds_of_an_incremental_copy_follow_the_source() {
    for url in databases() {
        takes_five_rounds(&url);
    }
}

/// Types and values that came with 14 and 15.
#[test]
fn what_only_a_newer_server_has_is_kept_as_far_as_it_goes() {
    let newer = postgres();
    psql(
        &newer,
        "create table s (id int primary key, thousands numeric(5,-2), small numeric(3,5), m int4multirange, ms int4multirange[]);
         insert into s values (1, 1200, 0.00123, '{[1,3),[5,9)}', '{\"{[1,3)}\"}'), (2, null, null, null, null);
         create table infinite (id int, x numeric); insert into infinite values (1, 1.5), (2, 'Infinity')",
    );
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (format!("{newer}#s"), format!("{url}#s"));
        let plan = etl(folder.path(), &["plan", &from, &to]);
        let told = "the target has no types int4multirange, int4multirange[], numeric(3,5), numeric(5,-2), and their columns get others";
        assert!(plan.stdout.contains(told), "{} {}", plan.stdout, plan.stderr);
        copied(folder.path(), &[&from, &to]);
        let types = "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = 's'::regclass and attnum > 1 order by attnum";
        assert_eq!(psql(&url, types), "numeric(7,0)\nnumeric(5,5)\ntext\ntext[]");
        let rows = "select id, thousands, small, m, ms[1] from s order by id";
        assert_eq!(psql(&url, rows), psql(&newer, &rows.replace("ms[1]", "ms[1]::text")));
        let said = refused(folder.path(), &[&format!("{newer}#infinite"), &format!("{url}#x")]);
        assert!(said.contains("row 2: column x"), "{said}");
        assert_eq!(psql(&url, "select to_regclass('x')"), "");
        // All that the older one has goes back.
        psql(&url, ROWS.replace("table s ", "table r ").replace("into s ", "into r ").as_str());
        let (from, to) = (format!("{url}#r"), format!("{newer}#r"));
        let plan = etl(folder.path(), &["plan", &from, &to, "--mode", "replace", "-j", "2"]);
        let is_planned = plan.stdout.contains(" ranges of key id: ") && !plan.stdout.contains("about 0 rows");
        assert!(is_planned, "{} {}", plan.stdout, plan.stderr);
        copied(folder.path(), &[&from, &to, "--mode", "replace", "-j", "2"]);
        let digest = "select count(*), md5(string_agg(concat_ws('|', id, note, sum, free, at, flag, facts, u, day, list, span), ';' order by id)) from r";
        assert_eq!(psql(&newer, digest), psql(&url, digest));
    }
}
