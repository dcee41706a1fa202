//! Job files of go-etl: what the documented ones do here, and each way in which go-etl loses rows or changes them (go-etl.md §7.3).

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::program::{self, Ended, bash, command, run};
use crate::server::{mariadb, mariadb_client, postgres, psql, sqlite3};
use crate::xlsx::openpyxl;

/// `etl go-etl` with `words`, with a state log of its own in `folder`.
fn go_etl(folder: &Path, words: &[&str]) -> Ended {
    let mut etl = command(folder, &[&["go-etl"], words].concat());
    run(etl.env("XDG_STATE_HOME", folder.join("state")))
}

/// Runs `text` as the job file that go-etl takes where none is named.
fn ran(folder: &Path, text: &str) -> Ended {
    fs::write(folder.join("config.json"), text).unwrap();
    go_etl(folder, &[])
}

/// The text of a job of the tests.
fn known(job: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/jobs/go-etl/{job}.json"));
    fs::read_to_string(path).unwrap()
}

/// A job of one reader and one writer, each a plugin and its parameters. It has neither an id nor transformers.
fn job(reader: (&str, Json), writer: (&str, Json)) -> Json {
    let plugin = |(name, parameter): (&str, Json)| json!({"name": name, "parameter": parameter});
    json!({"job": {"content": [{"reader": plugin(reader), "writer": plugin(writer)}]}})
}

/// The parameters of a table in PostgreSQL, with those of `more`.
fn table(url: &str, name: &str, more: &Json) -> Json {
    let address = url.split_once('@').unwrap().1;
    let mut parameter = json!({"username": "postgres", "column": ["*"], "connection":
        {"url": format!("postgres://{address}?sslmode=disable"), "table": {"schema": "public", "name": name}}});
    for (key, value) in more.as_object().unwrap() {
        parameter[key] = value.clone();
    }
    parameter
}

/// A job of the tests with the PostgreSQL of the tests.
fn in_postgres(job: &str, url: &str) -> String {
    known(job).replace("127.0.0.1:5432/shop", url.split_once('@').unwrap().1)
}

/// A job of the tests with the MariaDB of the tests.
fn in_mariadb(job: &str, url: &str) -> String {
    let (server, name) = url.rsplit_once('/').unwrap();
    let text = known(job).replace("127.0.0.1:3306", server.split_once('@').unwrap().1);
    let text = text.replace(")/shop?", &format!(")/{name}?")).replace("\"shop\"", &format!("\"{name}\""));
    text.replace("\"secret\"", "\"\"")
}

/// What a run that went well said on stderr.
fn done(ended: Ended) -> String {
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "run success\n"), "{}", ended.stderr);
    ended.stderr
}

/// What a run said on stderr that failed as those of go-etl fail.
fn failed(ended: Ended) -> String {
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stdout.starts_with("run fail. err: "), "{}", ended.stdout);
    ended.stderr
}

fn text(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

/// Dates by a form, an empty field is NULL, and 4 channels of 3000 bytes a second.
#[test]
fn text_comes_into_a_table() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(&url, "create table orders (day date, name text, amount bigint)");
    fs::write(folder.path().join("in.csv"), "2020-01-02,a,1\n2020-12-31,,-7\n,\"\",3\n").unwrap();
    let said = done(ran(folder.path(), &in_postgres("csvpostgres", &url)));
    let rows = psql(&url, "select day, name, name is null, amount from orders order by amount");
    assert_eq!(rows, "2020-12-31||t|-7\n2020-01-02|a|f|1\n||f|3");
    assert!(said.contains("speed.byte holds for each channel"), "{said}");
}

#[test]
fn files_are_copied_side_by_side_and_within_limits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // As the documented data: a number, a day, a short text.
    let rows: Vec<String> = (0..2000).map(|row| format!("{row},2020-01-{:02},AA{row}==\n", row % 28 + 1)).collect();
    fs::write(path.join("src.csv"), rows.concat()).unwrap();
    done(ran(path, &known("limit")));
    assert!(text(path, "dest.csv") == rows.concat());
    // Trap 1: a row of more bytes than pass in a second.
    fs::write(path.join("src.csv"), format!("1,{}\n2,x\n", "y".repeat(300))).unwrap();
    done(ran(path, &known("limit").replace("204800", "200")));
    assert_eq!(text(path, "dest.csv"), text(path, "src.csv"));
    fs::write(path.join("a1.csv"), "1,one\n").unwrap();
    fs::write(path.join("a2.csv"), "2,two\n3,\n").unwrap();
    let said = done(ran(path, &known("pairs")));
    assert!(said.contains("2 transfers: 3 rows in "), "{said}");
    assert_eq!((text(path, "b1.csv"), text(path, "b2.csv")), (text(path, "a1.csv"), text(path, "a2.csv")));
}

/// Traps 2 and 15: what is compressed, a line end in quotes, a byte order mark, and GBK in which the delimiter is a part of a letter.
#[test]
fn text_is_read_as_it_is_packed_and_encoded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let line = r#"printf '1,"x\r\ny"\n2,\n' | gzip > in.gz && printf '\xef\xbb\xbf1,a\n' > bom.csv &&
        printf '名|值\n亅|\n' | iconv -f utf-8 -t gbk > in.gbk"#;
    assert_eq!(bash(path, line).code, 0);
    let files = |reader: Json, writer: Json| {
        done(ran(path, &job(("csvreader", reader), ("csvwriter", writer)).to_string()));
    };
    files(json!({"path": ["in.gz"], "compress": "gz"}), json!({"path": ["out.gz"], "compress": "gz"}));
    assert_eq!(bash(path, "cmp <(gzip -dc in.gz) <(gzip -dc out.gz)").code, 0);
    files(json!({"path": ["bom.csv"]}), json!({"path": ["out.csv"]}));
    assert_eq!(text(path, "out.csv"), "1,a\n");
    let gbk = json!({"path": ["in.gbk"], "encoding": "gbk", "delimiter": "|", "startRow": 2});
    let header =
        json!({"path": ["out.gbk"], "encoding": "gbk", "delimiter": "|", "hasHeader": true, "header": ["名", "值"]});
    files(gbk, header);
    assert_eq!(bash(path, "cmp in.gbk out.gbk").code, 0);
}

/// Traps 13, 14 and 21: NULL alone in its line, the empty text beside it, and rows of NULLs.
#[test]
fn nulls_and_empty_texts_are_told_apart_and_counted() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    psql(&url, "create table one (v text); create table two (a text, b text)");
    for (rows, table_of, lines) in [("a\n\n\"\"\nb\n", "one", 4), (",\n,\"\"\n,\n", "two", 3)] {
        fs::write(path.join("in.csv"), rows).unwrap();
        let reader = || ("csvreader", json!({"path": ["in.csv"]}));
        let said = done(ran(path, &job(reader(), ("csvwriter", json!({"path": ["out.csv"]}))).to_string()));
        assert!(said.contains(&format!("{lines} rows from ")), "{said}");
        assert_eq!(text(path, "out.csv"), rows);
        done(ran(path, &job(reader(), ("postgreswriter", table(&url, table_of, &json!({})))).to_string()));
    }
    assert_eq!(psql(&url, "select count(*), count(v), count(nullif(v, '')) from one"), "4|3|2");
    assert_eq!(psql(&url, "select count(*), count(a), count(b) from two"), "3|0|1");
}

/// Trap 14: where no column can hold an empty text it is NULL, as go-etl has it everywhere.
#[test]
fn an_empty_text_is_null_in_a_column_of_something_else() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(&url, "create table t (n int, d date, b boolean, v text)");
    fs::write(folder.path().join("in.csv"), "1,2020-01-02,true,x\n\"\",\"\",\"\",\"\"\n,,,\n").unwrap();
    let reader = ("csvreader", json!({"path": ["in.csv"]}));
    done(ran(folder.path(), &job(reader, ("postgreswriter", table(&url, "t", &json!({})))).to_string()));
    let shown = psql(&url, "select n, d, b, v is null from t order by n, v nulls last");
    assert_eq!(shown, "1|2020-01-02|t|f\n|||f\n|||t");
}

/// Trap 8: text and a workbook for which there is no room. The limit on the size of files refuses as a full disk does.
#[test]
fn a_full_disk_ends_a_job() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let rows: Vec<String> =
        (0_u64..60_000).map(|row| format!("{row},{}\n", row.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    fs::write(path.join("in.csv"), rows.concat()).unwrap();
    let reader = || ("csvreader", json!({"path": ["in.csv"]}));
    let book = json!({"xlsxs": [{"path": "out.xlsx", "sheets": ["S"]}]});
    for (writer, name) in [(("csvwriter", json!({"path": ["out.csv"]})), "out.csv"), (("xlsxwriter", book), "out.xlsx")]
    {
        fs::write(path.join("config.json"), job(reader(), writer).to_string()).unwrap();
        let state = path.join("state");
        let line = format!("trap '' XFSZ; ulimit -f 400; XDG_STATE_HOME='{}' exec \"$ETL\" go-etl", state.display());
        failed(bash(path, &line));
        assert!(!path.join(name).exists(), "{name}");
    }
}

/// go-etl fails on two files for one workbook.
#[test]
fn two_files_become_one_workbook() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("split.csv"), "1,a\n2,\n").unwrap();
    fs::write(path.join("split1.csv"), "3,c\n").unwrap();
    let said = done(ran(path, &known("monitor")));
    assert!(said.contains("3 rows from split.csv and 1 more to Book1.xlsx"), "{said}");
    assert_eq!(openpyxl(path, &["read", "Book1.xlsx", "Sheet1"]), "['1', 'a']\n['2', None]\n['3', 'c']\n");
    // The next sheet begins when one is full.
    done(ran(path, &known("monitor").replace("\"xlsxs\"", "\"sheetRow\": 2, \"xlsxs\"")));
    assert_eq!(openpyxl(path, &["read", "Book1.xlsx", "Sheet1"]), "['1', 'a']\n['2', None]\n");
    assert_eq!(openpyxl(path, &["read", "Book1.xlsx", "Sheet2"]), "['3', 'c']\n");
}

#[test]
fn a_table_becomes_a_workbook_and_comes_back() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let columns = "(day date, name text, amount numeric(6,2))";
    psql(&url, &format!("create table orders {columns}; create table copied {columns}"));
    psql(&url, "insert into orders values ('2020-01-02', 'a', 1.50), ('2020-12-31', null, -7.25)");
    done(ran(folder.path(), &in_postgres("postgresxlsx", &url)));
    let rows =
        "[datetime.datetime(2020, 1, 2, 0, 0), 'a', 1.5]\n[datetime.datetime(2020, 12, 31, 0, 0), None, -7.25]\n";
    assert_eq!(openpyxl(folder.path(), &["read", "Book1.xlsx", "Sheet1"]), rows);
    done(ran(folder.path(), &in_postgres("xlsxpostgres", &url)));
    assert_eq!(psql(&url, "select * from copied order by day"), "2020-01-02|a|1.50\n2020-12-31||-7.25");
}

#[test]
fn a_table_of_sqlite_is_copied_within_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let shop = folder.path().join("shop.db");
    let columns = "(i INTEGER, r REAL, t TEXT, b BLOB)";
    sqlite3(&shop, &format!("create table type_table {columns}; create table type_table_copy {columns}"));
    let rows = "(1, 0.1, 'x', x'00ff'), (9223372036854775807, -1e300, '', null), (null, null, null, x'')";
    sqlite3(&shop, &format!("insert into type_table values {rows}"));
    done(ran(folder.path(), &known("sqlite3")));
    let all =
        |name: &str| sqlite3(&shop, &format!("select quote(i), quote(r), quote(t), quote(b) from {name} order by 1"));
    assert_eq!(all("type_table_copy"), all("type_table"));
}

/// A MariaDB with 101 rows, one of them without a key, and a table with one of them.
fn shop() -> String {
    let url = mariadb();
    let columns = "dt date, str varchar(10) character set utf8mb4 collate utf8mb4_general_ci)";
    let row = |id: u32| {
        let letter = if id.is_multiple_of(2) { 'K' } else { 'k' };
        format!("({id}, date_add('2020-01-01', interval {id} day), '{letter}{id}'), ")
    };
    let rows: String = (1..=100).map(row).collect();
    mariadb_client(
        &url,
        &format!(
            "create table split (id bigint, {columns}; insert into split values {rows}(null, null, null);
             create table dest (id bigint unique, {columns}; insert into dest values (1, null, 'old');
             create table names (id bigint, name varchar(20)); insert into names values (1, 'one'), (2, 'zwei'), (500, 'none')"
        ),
    );
    url
}

/// Traps 3, 5, 6, 9 and 18: a key that is NULL, a text key that the server orders otherwise than bytes are, a range, one connection for
/// both sides and several channels, rows that are refused.
#[test]
fn rows_of_mariadb_come_once_with_a_key_or_without() {
    for (job, note, rows) in [
        ("split", "are not read, as in go-etl", "82\t82\t82"),
        ("prepostsql", "split.key \"str\" is not needed", "101\t100\t100"),
        ("global", "1 row rejected", "101\t100\t100"),
    ] {
        let (folder, url) = (tempfile::tempdir().unwrap(), shop());
        let said = done(ran(folder.path(), &in_mariadb(job, &url)));
        assert!(said.contains(note), "{job}: {said}");
        let counts = "select count(*), count(id), count(distinct binary str) from dest";
        assert_eq!(mariadb_client(&url, counts), rows, "{job}: {said}");
        assert_eq!(mariadb_client(&url, "show tables like 'dest\\_new'"), "", "{job}");
    }
}

#[test]
fn a_query_becomes_a_file() {
    let (folder, url) = (tempfile::tempdir().unwrap(), shop());
    done(ran(folder.path(), &in_mariadb("querysql", &url)));
    assert_eq!(text(folder.path(), "out.csv"), "1,one\n2,zwei\n");
}

/// Only the columns that the statement names are updated.
#[test]
fn rows_are_merged_as_the_statement_says() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(
        &url,
        "create table changes (id int, amount int, note text); insert into changes values (1, 10, 'new'), (3, 30, 'x');
         create table orders (id int primary key, amount int, note text);
         insert into orders values (1, 1, 'old'), (2, 2, 'kept')",
    );
    done(ran(folder.path(), &in_postgres("upsert", &url)));
    assert_eq!(psql(&url, "select * from orders order by id"), "1|10|old\n2|2|kept\n3|30|x");
    let nothing = in_postgres("upsert", &url).replace("do update set amount=excluded.amount", "do nothing");
    psql(&url, "update changes set amount = 0; insert into changes values (4, 40, 'y')");
    done(ran(folder.path(), &nothing));
    assert_eq!(psql(&url, "select * from orders order by id"), "1|10|old\n2|2|kept\n3|30|x\n4|40|y");
    let other = in_postgres("upsert", &url).replace("amount=excluded.amount", "amount=orders.amount + 1");
    let said = failed(ran(folder.path(), &other));
    assert!(said.contains("upsertSql") && said.contains("merge it by postSql"), "{said}");
}

/// What those who read such files know: no zeros behind decimals, no fraction that is none, names in the header. Traps 16 and 17: NaN.
#[test]
fn values_are_written_as_go_etl_writes_them() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(
        &url,
        "create table orders (b boolean, n numeric(10,3), free numeric, at timestamp, d date, f float8, t text);
         insert into orders values (true, 1.5, 100.0000, '2020-01-02 03:04:05.120', '2020-01-02', 0.1, ''),
         (false, -2, 'NaN', '2020-01-02 03:04:05', null, 'NaN', null)",
    );
    done(ran(folder.path(), &in_postgres("postgrescsv", &url)));
    let expected = "b,n,free,at,d,f,t\ntrue,1.5,100,2020-01-02 03:04:05.12,2020-01-02,0.1,\"\"\n\
        false,-2,NaN,2020-01-02 03:04:05,,NaN,\n";
    assert_eq!(text(folder.path(), "out.csv"), expected);
}

/// As go-etl's driver has them (`encode.go` of lib/pq 1.10.9): an instant goes as the clock of the session shows it that reads it, and
/// a time without a zone as one of UTC.
#[test]
fn instants_of_postgres_become_times_without_a_zone_and_the_reverse() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(
        &url,
        "create table s (id int, at timestamptz, shown timestamp, kept timestamptz);
         insert into s values (1, '2024-01-31 20:00:00.123456Z', '2024-07-01 12:00:00', '2024-01-01 12:00Z'),
         (2, '2024-07-01 12:00:00Z', '2024-03-31 02:30:00', null), (3, null, null, '2024-10-27 00:30Z');
         create table t (id int, at timestamp, shown timestamptz, kept timestamptz);
         do $$ begin execute format('alter database %I set timezone = ''Asia/Tokyo''', current_database()); end $$",
    );
    for (parameter, zone) in [
        ("", "'Asia/Tokyo'"),
        ("&TimeZone=America/New_York", "'America/New_York'"),
        ("&timezone=8", "interval '8 hours'"),
    ] {
        let mut reader = table(&url, "s", &json!({}));
        let address = format!("{}{parameter}", reader["connection"]["url"].as_str().unwrap());
        reader["connection"]["url"] = address.into();
        let writer = table(&url, "t", &json!({"preSql": ["truncate table t"]}));
        done(ran(folder.path(), &job(("postgresreader", reader), ("postgreswriter", writer)).to_string()));
        let same = format!(
            "select count(*) from s join t using (id) where t.kept is not distinct from s.kept
             and t.at is not distinct from s.at at time zone {zone}
             and t.shown is not distinct from s.shown at time zone 'UTC'"
        );
        assert_eq!(psql(&url, &same), "3", "{zone}");
    }
}

/// Traps 4 and 10, and a source that is not there: nothing is emptied for it.
#[test]
fn a_table_is_emptied_only_for_a_source_that_is_there() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(
        &url,
        "create table hours (at timestamp); insert into hours select generate_series(timestamp '2020-01-01', '2020-01-02 23:00', '1 hour');
         insert into hours values (null); create table dest (at timestamp); insert into dest values ('1999-01-01')",
    );
    let run_it = |more: Json| {
        let mut split = json!({"split": {"key": "at", "timeAccuracy": "day"}});
        split.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let writer = table(&url, "dest", &json!({"preSql": ["truncate table dest"], "writeMode": "copyIn"}));
        ran(
            folder.path(),
            &job(("postgresreader", table(&url, "hours", &split)), ("postgreswriter", writer)).to_string(),
        )
    };
    let count = || psql(&url, "select count(*), count(at), max(at) from dest");
    let said = failed(run_it(json!({"column": ["nope"]})));
    assert!(said.contains("nope"), "{said}");
    assert_eq!(count(), "1|1|1999-01-01 00:00:00");
    done(run_it(json!({})));
    assert_eq!(count(), "49|48|2020-01-02 23:00:00");
    done(run_it(json!({"where": "at < '2000-01-01'"})));
    assert_eq!(count(), "0|0|");
}

/// A target is not emptied for a file of which nobody knows the columns.
#[test]
fn an_empty_file_is_no_rows_where_its_columns_are_known() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(&url, "create table t (a int, b text); insert into t values (1, 'x')");
    fs::write(folder.path().join("in.csv"), "").unwrap();
    let into = |writer| ran(folder.path(), &job(("csvreader", json!({"path": ["in.csv"]})), writer).to_string());
    done(into(("csvwriter", json!({"path": ["out.csv"]}))));
    assert_eq!(text(folder.path(), "out.csv"), "");
    let columns = |columns: Json| table(&url, "t", &json!({"column": columns, "preSql": ["truncate table t"]}));
    let said = failed(into(("postgreswriter", columns(json!(["*"])))));
    assert!(said.contains("in.csv: the file is empty"), "{said}");
    assert_eq!(psql(&url, "select count(*) from t"), "1");
    done(into(("postgreswriter", columns(json!(["a", "b"])))));
    assert_eq!(psql(&url, "select count(*) from t"), "0");
}

/// Traps 7, 11, 12, 16 and 19: a check at the commit, other widths, a number that is none of its column, a long text for a time. The
/// table is as it was.
#[test]
fn rows_that_do_not_fit_are_refused_and_nothing_is_left() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(
        &url,
        "create table parent (id bigint primary key); insert into parent values (1);
         create table t (id bigint references parent deferrable initially deferred, at timestamp); insert into t values (1, null)",
    );
    let long = format!("1,{}\n", "x".repeat(40));
    for rows in ["1,\n2,\n", "1,2020-01-02,x\n", "1\n", "1,\n1.9,\n", &long] {
        fs::write(folder.path().join("in.csv"), rows).unwrap();
        for mode in ["insert", "copyIn"] {
            let writer = table(&url, "t", &json!({"writeMode": mode}));
            let job = job(("csvreader", json!({"path": ["in.csv"]})), ("postgreswriter", writer));
            failed(ran(folder.path(), &job.to_string()));
            assert_eq!(psql(&url, "select * from t"), "1|", "{rows}");
        }
    }
}

/// Trap 18: rows that are left out are counted.
#[test]
fn rows_that_are_left_out_are_counted() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(&url, "create table t (id bigint primary key); insert into t values (2)");
    fs::write(folder.path().join("in.csv"), "1\nx\n2\n3\n").unwrap();
    let mut job = job(("csvreader", json!({"path": ["in.csv"]})), ("postgreswriter", table(&url, "t", &json!({}))));
    job["job"]["setting"] =
        json!({"retry": {"type": "ntimes", "strategy": {"n": 2, "wait": "10ms"}, "ignoreOneByOneError": true}});
    let said = done(ran(folder.path(), &job.to_string()));
    assert_eq!(psql(&url, "select string_agg(id::text, ',' order by id) from t"), "1,2,3");
    assert!(said.contains("2 rows rejected"), "{said}");
}

/// Traps 20, 22 and 23: more values than a statement takes, keys that are missing or texts, a second content, types that are none.
#[test]
fn what_go_etl_stumbles_over_is_taken_as_it_is_meant() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let columns: Vec<String> = (0..70).map(|place| format!("c{place} int")).collect();
    psql(&url, &format!("create table wide ({})", columns.join(", ")));
    fs::write(folder.path().join("in.csv"), format!("{}7\n", "7,".repeat(69)).repeat(1000)).unwrap();
    let reader =
        json!({"PATH": "in.csv", "Column": [{"index": "1", "type": "bool"}, {"index": "2", "type": "decimal"}]});
    let mut job = job(("csvreader", reader), ("postgreswriter", table(&url, "wide", &json!({"WRITEMODE": "insert"}))));
    job["job"]["setting"] = json!({"speed": {"channel": "2"}});
    let other = json!({"reader": {"name": "csvreader", "parameter": {"path": ["in.csv"]}},
        "writer": {"name": "csvwriter", "parameter": {"path": ["other.csv"]}}});
    job["job"]["content"].as_array_mut().unwrap().push(other);
    let said = done(ran(folder.path(), &job.to_string()));
    assert_eq!(psql(&url, "select count(*), sum(c0), sum(c69) from wide"), "1000|7000|7000");
    for note in ["only job.content.0 is run", "job.setting.speed.channel is a text: it is taken as 2"] {
        assert!(said.contains(note), "{said}");
    }
    assert!(!folder.path().join("other.csv").exists());
}

/// One job for each pair, in one run, whatever becomes of the others.
#[test]
fn the_wizard_runs_a_job_for_each_pair() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jobs/go-etl");
    for name in ["wizard.json", "wizard.csv"] {
        fs::copy(jobs.join(name), path.join(name)).unwrap();
    }
    fs::write(path.join("a1.csv"), "2020-01-02,one\n").unwrap();
    fs::write(path.join("a3.csv"), "2020-12-31,three\n").unwrap();
    let words = ["-c=wizard.json", "-w", "wizard.csv"];
    let said = failed(go_etl(path, &words));
    assert!(said.contains("1 of 3 transfers failed: a2.csv,b2.csv"), "{said}");
    assert!(said.contains("pair a2.csv,b2.csv"), "{said}");
    assert_eq!((text(path, "b1.csv"), text(path, "b3.csv")), (text(path, "a1.csv"), text(path, "a3.csv")));
    assert!(!path.join("b2.csv").exists());
    fs::write(path.join("a2.csv"), "2020-06-01,two\n").unwrap();
    let said = done(go_etl(path, &words));
    assert!(said.contains("3 transfers: 3 rows in "), "{said}");
    assert_eq!(text(path, "b2.csv"), text(path, "a2.csv"));
    fs::write(path.join("wizard.csv"), "a1.csv\n").unwrap();
    let said = failed(go_etl(path, &words));
    assert!(said.contains("pairs file wizard.csv") && said.contains("no pair of a source and a target"), "{said}");
}

/// The flags and exit codes of go-etl (go-etl.md §2.3), and no password anywhere.
#[test]
fn the_flags_of_go_etl_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let said = failed(go_etl(path, &[]));
    assert!(said.contains("config.json"), "{said}");
    failed(go_etl(path, &["--c", "none.json"]));
    for (words, code) in [(vec!["-x"], 2), (vec!["job.json"], 2), (vec!["-h"], 0), (vec!["-help"], 0)] {
        assert_eq!(go_etl(path, &words).code, code, "{words:?}");
    }
    let version = concat!("etl ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(go_etl(path, &["version"]).stdout, version);
    fs::write(path.join("config.json"), known("csvpostgres")).unwrap();
    for words in [vec!["go-etl"], vec!["convert", "config.json"], vec!["run", "config.json", "--dry-run"]] {
        let ended = program::etl(path, &words);
        assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("\"secret\""), "{words:?}");
    }
    // The file is known without being named.
    assert!(program::etl(path, &["convert", "config.json"]).stdout.contains("\"connector\": \"postgres\""));
}
