//! `--verify checksum`: one value that changes between writing and publishing is found, in every target and of every type.

use std::path::{Path, PathBuf};

use arrow::array::{AsArray as _, Float64Array, StringArray};
use arrow_etl::proof::Verify;
use arrow_etl::sink::WriteMode::{self, Append, Create, Truncate};
use serde_json::json;

use super::verify::faulty;
use super::*;
use crate::program::{copied, etl};
use crate::server;

/// A database with a table of every kind of type, in which rows of a copy's hidden table pass through `bend()`.
fn bending(url: &str) {
    let sql = "
        create type mood as enum ('sad', 'glad');
        create table src (id int primary key, big bigint, ok boolean, price numeric(12,2), loose numeric, f real, d float8,
            name text, code char(5), short varchar(9), doc json, docb jsonb, bytes bytea, ref uuid, day date, at timestamp,
            zoned timestamptz, span interval, clock time, ints int[], words text[], addr inet, feel mood, r int4range);
        insert into src select i, i * 1000000007::bigint, i % 2 = 0, i * 1.25, i / 7.0, i * 0.1, i * 0.1, 'name ' || i, 'c' || i % 9,
            'v' || i, format('{\"a\": %s}', i)::json, format('{\"b\": [%s, 1.50]}', i)::jsonb, decode(md5(i::text), 'hex'),
            md5(i::text)::uuid, date '2024-01-01' + i, timestamp '2024-01-01' + i * interval '1 s', now() + i * interval '1 s',
            i * interval '1 day 1 s', time '00:00' + i * interval '1 s', array[i, null, i + 1], array['a', 'b ' || i],
            ('10.0.0.' || i % 200)::inet, 'sad', int4range(i, i + 5) from generate_series(1, 40) i;
        insert into src (id) values (0), (41);
        create function bend() returns trigger language plpgsql as $$ begin return new; end $$;
        create function harm() returns event_trigger language plpgsql as $$ declare made record; begin
            for made in select * from pg_event_trigger_ddl_commands() where command_tag like 'CREATE TABLE%'
                and object_identity like '%etl_stage_%' and object_identity not like '%_done' loop
                execute 'create trigger bend before insert on ' || made.object_identity || ' for each row execute function bend()';
            end loop; end $$;
        create event trigger harm on ddl_command_end execute function harm()";
    server::psql(url, sql);
}

/// From now on `change` happens to the row 7 on its way into the hidden table.
fn bend(url: &str, change: &str) {
    let sql = format!(
        "create or replace function bend() returns trigger language plpgsql as \
         $$ begin if new.id = 7 then {change}; end if; return new; end $$"
    );
    server::psql(url, &sql);
}

/// The exit code of a copy that ends by its proof, with the target and nothing else as it was.
fn refused(folder: &Path, url: &str, words: &[&str], column: &str) {
    let ended = etl(folder, &[&["copy", "-q"], words, &["--verify", "checksum", "-j", "2"]].concat());
    assert_eq!(ended.code, 4, "{column}: {}", ended.stderr);
    assert!(ended.stderr.contains(&format!("in the columns {column}")), "{column}: {}", ended.stderr);
    assert_eq!(server::psql(url, "select count(*) from pg_class where relname like 'etl\\_stage%'"), "0", "{column}");
}

/// Columns of `src`, and changes of one value in them.
const HARMS: &[(&str, &str)] = &[
    ("big", "new.big := new.big + 1"),
    ("big", "new.big := -new.big"),
    ("ok", "new.ok := not new.ok"),
    ("price", "new.price := new.price + 0.01"),
    ("price", "new.price := -new.price"),
    ("loose", "new.loose := new.loose + 1e-12"),
    ("f", "new.f := new.f + 1e-6"),
    ("d", "new.d := new.d + 1e-15"),
    ("name", "new.name := 'namf 7'"),
    ("name", "new.name := null"),
    ("code", "new.code := 'd7'"),
    ("short", "new.short := 'w7'"),
    ("doc", "new.doc := '{\"a\": 8}'"),
    ("docb", "new.docb := '{\"b\": [7, 1.51]}'"),
    ("docb", "new.docb := '{\"b\": [-7, 1.50]}'"),
    ("docb", "new.docb := '{\"b\": [[7], 1.50]}'"),
    ("bytes", "new.bytes := set_byte(new.bytes, 3, 255 - get_byte(new.bytes, 3))"),
    ("ref", "new.ref := md5('8')::uuid"),
    ("day", "new.day := new.day + 1"),
    ("day", "new.day := 'infinity'"),
    ("at", "new.at := new.at + interval '1 microsecond'"),
    ("zoned", "new.zoned := new.zoned + interval '1 microsecond'"),
    ("span", "new.span := new.span + interval '1 microsecond'"),
    ("clock", "new.clock := new.clock + interval '1 microsecond'"),
];

/// Changes into values for which the server has a longer hash, of which `src` has none.
const UNUSUAL: &[(&str, &str)] = &[
    ("price", "new.price := 'NaN'"),
    ("price", "new.price := -0.01"),
    ("price", "new.price := 0"),
    ("f", "new.f := 0"),
    ("f", "new.f := -new.f"),
    ("d", "new.d := 'NaN'"),
    ("d", "new.d := '-0'"),
    ("day", "new.day := '-infinity'"),
    ("price, day", "new.day := 'infinity'; new.price := -new.price"),
];

/// Where the source has such values it is another hash that proves them.
#[test]
fn values_of_which_some_are_unusual_are_proved_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let url = server::postgres();
    bending(&url);
    let (source, target) = (format!("{url}#plain"), format!("{url}#dst"));
    let words: &[&str] = &[&source, &target];
    server::psql(&url, "create table plain as select id, price, f, d, day, code from src");
    // As it is, and with one more row of each kind of value.
    for more in
        ["", "insert into plain values (-1, -1.25, 0, '-0', '-infinity', 'é'), (-2, 0, 'NaN', 0, 'infinity', '')"]
    {
        server::psql(&url, more);
        for &(column, harm) in UNUSUAL {
            bend(&url, harm);
            refused(folder.path(), &url, words, column);
        }
        bend(&url, "null");
        copied(folder.path(), &[words, &["--verify", "checksum", "-j", "2"]].concat());
        let other = "select count(*) from (select plain::text from plain except select dst::text from dst) x";
        assert_eq!(server::psql(&url, other), "0");
        server::psql(&url, "drop table dst");
    }
}

/// How many times a copy of `src` was looked at from one end to the other: each process of the server that took part counts.
fn looks(folder: &Path, url: &str) -> u32 {
    copied(folder, &[&format!("{url}#src"), &format!("{url}#dst"), "--verify", "checksum", "-j", "2"]);
    // What a session has counted is known some time after its end.
    server::until(url, "select count(*) from pg_stat_activity where datname = current_database()", |found| {
        found == "1"
    });
    let sql = "select seq_scan from pg_stat_user_tables where relname = 'dst'";
    server::until(url, sql, |found| found != "0");
    let found = server::psql(url, sql).parse().unwrap();
    server::psql(url, "drop table dst");
    found
}

#[test]
fn several_processes_of_the_server_share_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let url = server::postgres();
    let set = |settings: &[&str]| {
        for setting in settings {
            let alter = format!("execute format('alter database %I set {setting}', current_database())");
            server::psql(&url, &format!("do $$ begin {alter}; end $$"));
        }
    };
    let sql = "create table src as select i as id, (i * 1.25)::numeric(12,2) as price, (i * 0.5)::float8 as d, 'c'::char(5) as code,
        date '2024-01-01' + i % 9 as day, timestamptz '2024-01-01' + i * interval '1 s' as at, 'name ' || i as name
        from generate_series(1, 20000) i";
    server::psql(&url, sql);
    set(&["min_parallel_table_scan_size = 0", "parallel_setup_cost = 0", "max_parallel_workers_per_gather = 0"]);
    let alone = looks(folder.path(), &url);
    set(&["max_parallel_workers_per_gather = 2"]);
    // Other tests may have all processes of the server at a moment.
    let shared = (0..5).any(|_| looks(folder.path(), &url) > alone);
    assert!(shared, "one process did all, {alone} times");
}

/// Rows that pass as the source sent them are proved by their bytes, whatever Arrow could hold of them.
#[test]
fn raw_rows_of_postgres_are_proved_without_being_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let url = server::postgres();
    bending(&url);
    let columns =
        "id, big, ok, price, loose, f, d, name, code, short, doc, docb, bytes, ref, day, at, zoned, span, clock";
    let special = "-1, -5, true, 'NaN'::numeric, 'NaN'::numeric, 'NaN'::real, '-0'::float8, '', '', '', 'null'::json, 'null'::jsonb, \
                   ''::bytea, ref, date '-infinity', timestamp 'infinity', timestamptz '-infinity', span, time '24:00'";
    server::psql(&url, &format!("create table plain as select {columns} from src"));
    server::psql(&url, &format!("insert into plain select {special} from src where id = 7"));
    let (source, target) = (format!("{url}#plain"), format!("{url}#dst"));
    let plan = etl(folder.path(), &["plan", &source, &target, "--verify", "checksum", "-j", "2"]);
    assert!(plan.stdout.contains(", raw="), "{}{}", plan.stdout, plan.stderr);
    // What has the hash of nothing, and what the server holds for equal.
    let hidden = [
        ("price", "null; end if; if new.id = -1 then new.price := null"),
        ("f", "null; end if; if new.id = -1 then new.f := null"),
        ("d", "null; end if; if new.id = -1 then new.d := 0"),
    ];
    for (column, harm) in HARMS.iter().chain(&hidden) {
        bend(&url, harm);
        refused(folder.path(), &url, &[&source, &target], column);
    }
    bend(&url, "null");
    copied(folder.path(), &[&source, &target, "--verify", "checksum", "-j", "2"]);
    let other = "select count(*) from (select plain::text from plain except select dst::text from dst) x";
    assert_eq!(server::psql(&url, other), "0");
}

#[test]
fn postgres_finds_one_changed_value_of_every_type() {
    let folder = tempfile::tempdir().unwrap();
    let url = server::postgres();
    bending(&url);
    let (source, target) = (format!("{url}#src"), format!("{url}#dst"));
    let harms = [
        ("ints", "new.ints[1] := 8"),
        ("words", "new.words[2] := 'b 8'"),
        ("addr", "new.addr := '10.0.0.8'"),
        ("feel", "new.feel := 'glad'"),
        ("r", "new.r := int4range(7, 13)"),
    ];
    for &(column, harm) in HARMS.iter().chain(UNUSUAL).chain(&harms) {
        bend(&url, harm);
        refused(folder.path(), &url, &[&source, &target], column);
        assert_eq!(server::psql(&url, "select count(*) from pg_class where relname = 'dst'"), "0", "{column}");
    }
    // Two changes that leave every sum as it was.
    bend(&url, "new.price := new.price + 1; end if; if new.id = 8 then new.price := new.price - 1");
    refused(folder.path(), &url, &[&source, &target], "price");
    bend(&url, "null");
    copied(folder.path(), &[&source, &target, "--verify", "checksum"]);
    assert_eq!(
        server::psql(&url, "select count(*) from (select src::text from src except select dst::text from dst) x"),
        "0"
    );
}

#[test]
fn what_the_server_rewrites_is_read_back_and_compared_by_what_it_means() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let url = server::postgres();
    bending(&url);
    server::psql(&url, "create table dst (id int, j jsonb, n numeric, c char(9), a inet)");
    let mut rows = "id,j,n,c,a\n".to_owned();
    for id in 0..20 {
        let json = format!("{{\"\"b\"\":1e2, \"\"a\"\":\"\"x{id}\"\",\"\"b\"\":0.50}}");
        rows = format!("{rows}{id},\"{json}\",{id}.500,c {id},10.0.0.{id}/32\n");
    }
    rows.push_str("20,,,,\n");
    std::fs::write(folder.join("rows.csv"), rows).unwrap();
    let words = ["rows.csv", &format!("{url}#dst"), "--mode", "append", "--cast", "n:text", "--cast", "j:text"];
    let plan = etl(folder, &[&["plan"], &words[..], &["--verify", "checksum"]].concat());
    assert!(!plan.stdout.contains("read back as text"), "{}{}", plan.stdout, plan.stderr);
    assert!(
        plan.stdout.contains("compared by their NULLs alone, because the server rewrites them: a"),
        "{}",
        plan.stdout
    );
    let harms = [
        ("j", "new.j := jsonb_set(new.j, '{a}', '\"x8\"')"),
        ("n", "new.n := 7.6"),
        ("c", "new.c := 'c 8'"),
        ("a", "new.a := null"),
    ];
    for (column, harm) in harms {
        bend(&url, harm);
        refused(folder, &url, &words, column);
        assert_eq!(server::psql(&url, "select count(*) from dst"), "0", "{column}");
    }
    bend(&url, "null");
    copied(folder, &[&words[..], &["--verify", "checksum"]].concat());
    assert_eq!(
        server::psql(&url, "select count(*), count(j), sum(n), min(j::text) from dst"),
        "21|20|200.000|{\"a\": \"x0\", \"b\": 0.50}"
    );
}

#[test]
fn without_the_hash_of_the_server_everything_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let url = server::postgres();
    bending(&url);
    let role = format!("r{}", uuid::Uuid::now_v7().simple());
    let sql = format!(
        "create role {role} login; grant create, usage on schema public to {role}; grant select on src to {role};
         revoke execute on function pg_catalog.hashtextextended(text, bigint) from public"
    );
    server::psql(&url, &sql);
    let (before, after) = url.split_once("postgres@").expect("the tests are a user of that name");
    let own = format!("{before}{role}@{after}");
    let words = [&format!("{own}#src") as &str, &format!("{own}#dst")];
    let plan = etl(folder, &[&["plan"], &words[..], &["--verify", "checksum"]].concat());
    assert!(plan.stdout.contains("read back as text, about as long as their copy: "), "{}{}", plan.stdout, plan.stderr);
    for (column, harm) in
        [("name", "new.name := 'namf 7'"), ("d", "new.d := new.d + 1e-15"), ("words", "new.words[2] := E'b\\\\t7'")]
    {
        bend(&url, harm);
        refused(folder, &url, &words, column);
    }
    bend(&url, "null");
    copied(folder, &[&words[..], &["--verify", "checksum"]].concat());
    assert_eq!(
        server::psql(&url, "select count(*) from (select src::text from src except select dst::text from dst) x"),
        "0"
    );
    server::psql(&url, &format!("drop owned by {role}; drop role {role}"));
}

/// A log that changes one byte of a part file, once it was written.
#[derive(Debug)]
struct Altering {
    folder: PathBuf,
    from: &'static [u8],
    to: &'static [u8],
}

#[async_trait]
impl StateLog for Altering {
    async fn read(&self, _run: &str) -> Result<Vec<StateRecord>> {
        Ok(Vec::new())
    }
    async fn append(&self, _run: &str, record: &StateRecord) -> Result<()> {
        if let StateRecord::Wrote { .. } = record {
            let parts = format!("{}/.etl-*.stage/part-*", self.folder.display());
            for part in glob::glob(&parts).unwrap().map(std::result::Result::unwrap) {
                let mut bytes = std::fs::read(&part).unwrap();
                let at = bytes.windows(self.from.len()).position(|window| window == self.from);
                let at = at.expect("the value stands in the file as it is");
                bytes[at..at + self.to.len()].copy_from_slice(self.to);
                std::fs::write(&part, bytes).unwrap();
            }
        }
        Ok(())
    }
    async fn runs(&self) -> Result<Vec<RunEntry>> {
        Ok(Vec::new())
    }
}

/// Three rows of a text and a float.
fn words_and_floats() -> Memory {
    let columns: [(&str, ArrayRef); 2] = [
        ("word", Arc::new(StringArray::from(vec![Some("alpha"), Some("beta"), None]))),
        ("float", Arc::new(Float64Array::from(vec![Some(0.25), None, Some(1234.5)]))),
    ];
    let columns = columns.map(|(name, column)| (name, column, true));
    let memory = Memory::new();
    memory.insert("src", RecordBatch::try_from_iter_with_nullable(columns).unwrap(), 1);
    memory
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_that_changes_in_a_part_file_is_found_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let one = 1234.5_f64.to_le_bytes();
    let other = 1234.5_f64.next_up().to_le_bytes();
    let (one, other): (&'static [u8], &'static [u8]) = (Box::leak(Box::new(one)), Box::leak(Box::new(other)));
    let text: [(&'static [u8], &'static [u8]); 3] = [(b"beta", b"betb"), (b"1234.5", b"1234.6"), (b"0.25", b"0.26")];
    let binary: [(&'static [u8], &'static [u8]); 2] = [(b"beta", b"betb"), (one, other)];
    let headless = json!({ "header": false });
    let cases = [
        ("a.csv", json!({}), &text[..]),
        ("b.csv", headless, &text),
        ("a.tsv", json!({}), &text),
        ("a.jsonl", json!({}), &text),
        ("a.arrow", json!({}), &binary),
        ("a.arrows", json!({}), &binary),
        ("a.parquet", json!({ "compression": "none" }), &binary[1..]),
        ("a.avro", json!({ "compression": "none" }), &binary),
    ];
    for (name, mut options, harms) in cases {
        options["url"] = json!(folder.join(name));
        let place = Place::new("file", options, ObjectRef::Whole);
        let run = async |log: Option<Altering>, verify| {
            let target = arrow_etl::connectors::find("file").unwrap().endpoint(&place.options).unwrap();
            let between = Between { source: words_and_floats().endpoint(), target, also: Vec::new() };
            let state = log.map(|log| Arc::new(log) as Arc<dyn StateLog>);
            let job = Job { target: place.clone(), verify, ..job() };
            let copied = copy(&job, between, &Surroundings { state, ..Surroundings::default() }).await;
            let there = folder.join(name).exists();
            let _ = std::fs::remove_file(folder.join(name));
            (copied.err(), there)
        };
        let altering = |(from, to): (&'static [u8], &'static [u8])| Altering { folder: folder.to_owned(), from, to };
        for harm in harms {
            let (error, there) = run(Some(altering(*harm)), Verify::Checksum).await;
            let error = error.unwrap_or_else(|| panic!("{name}: {harm:?} is not found"));
            assert_eq!((error.kind(), there), (ErrorKind::Mismatch, false), "{name}: {error:?}");
        }
        // Counting alone does not see it, and without a harm there is nothing to see.
        assert!(matches!(run(Some(altering(harms[0])), Verify::Count).await, (None, true)), "{name}");
        assert!(matches!(run(None, Verify::Checksum).await, (None, true)), "{name}");
        let left: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{name}: {left:?}");
    }
}

/// The text `beta` becomes `betb`.
fn other_letter(batch: &RecordBatch) -> RecordBatch {
    let words = batch.column(0).as_string::<i32>().iter();
    let words: StringArray = words.map(|word| word.map(|word| word.replace("beta", "betb"))).collect();
    RecordBatch::try_new(batch.schema(), vec![Arc::new(words), Arc::clone(batch.column(1))]).unwrap()
}

/// The float 0.25 becomes the next one.
fn other_float(batch: &RecordBatch) -> RecordBatch {
    let floats = batch.column(1).as_primitive::<arrow::datatypes::Float64Type>();
    let floats = floats.unary::<_, arrow::datatypes::Float64Type>(|value| {
        if value.to_bits() == 0.25_f64.to_bits() { value.next_up() } else { value }
    });
    RecordBatch::try_new(batch.schema(), vec![Arc::clone(batch.column(0)), Arc::new(floats)]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_finds_one_changed_value_among_new_rows_and_beside_old_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let place = Place::new("sqlite", json!({ "url": path }), ObjectRef::Table("dst".to_owned()));
    let run = async |harm: Option<fn(&RecordBatch) -> RecordBatch>, mode: WriteMode| {
        let sqlite = arrow_etl::connectors::find("sqlite").unwrap().endpoint(&place.options).unwrap();
        let target: Arc<dyn Endpoint> = match harm {
            Some(harm) => faulty(sqlite, harm),
            None => sqlite,
        };
        let job = Job { target: place.clone(), verify: Verify::Checksum, mode, ..job() };
        let between = Between { source: words_and_floats().endpoint(), target, also: Vec::new() };
        copy(&job, between, &Surroundings::default()).await.err().map(|error| error.kind())
    };
    for harm in [other_letter, other_float] {
        assert_eq!(run(Some(harm), Create).await, Some(ErrorKind::Mismatch));
        assert!(!path.exists());
    }
    assert_eq!(run(None, Create).await, None);
    let before = "alpha|0.25\nbeta|\n|1234.5";
    for mode in [Append, Truncate] {
        for harm in [other_letter, other_float] {
            assert_eq!(run(Some(harm), mode.clone()).await, Some(ErrorKind::Mismatch), "{mode:?}");
            assert_eq!(server::sqlite3(&path, "select word, float from dst"), before, "{mode:?}");
        }
    }
    assert_eq!(run(None, Append).await, None);
    assert_eq!(server::sqlite3(&path, "select word, float from dst"), format!("{before}\n{before}"));
    assert_eq!(run(None, Truncate).await, None);
    assert_eq!(server::sqlite3(&path, "select word, float from dst"), before);
    // A trigger of the target that changes what comes.
    server::sqlite3(
        &path,
        "create trigger bent after insert on dst begin update dst set word = 'bent' where word = 'beta'; end",
    );
    assert_eq!(run(None, Append).await, Some(ErrorKind::Mismatch));
    assert_eq!(server::sqlite3(&path, "select word, float from dst"), before);
}
