//! The traps of DataX (datax.md §9.3) that none of its golden jobs shows.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};

use super::{LABELS, figure, written};
use crate::program::{Ended, bash, command, end, records, run, start, until};
use crate::server::{mariadb, mariadb_client, mysql, postgres, psql};

/// A reader or a writer with its parameters.
pub(super) type Plugin = (&'static str, Json);

/// A job of one channel that leaves out up to 10 dirty rows.
pub(super) fn job(reader: Plugin, writer: Plugin) -> Json {
    let plugin = |(name, parameter): Plugin| json!({"name": name, "parameter": parameter});
    json!({"job": {"setting": {"speed": {"channel": 1}, "errorLimit": {"record": 10}},
        "content": [{"reader": plugin(reader), "writer": plugin(writer)}]}})
}

pub(super) fn ran(folder: &Path, job: &Json) -> Ended {
    fs::write(folder.join("job.json"), job.to_string()).unwrap();
    let mut etl = command(folder, &["run", "job.json", "--compat", "datax"]);
    run(etl.env("XDG_STATE_HOME", folder.join("state")))
}

/// Runs `job`, which must succeed.
pub(super) fn done(folder: &Path, job: &Json) -> Ended {
    let ended = ran(folder, job);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended
}

/// A folder with one for what is written.
pub(super) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("out")).unwrap();
    folder
}

/// All fields of the lines of `in.txt`.
fn lines() -> Plugin {
    ("txtfilereader", json!({"path": ["in.txt"], "column": ["*"]}))
}

/// `rows` with `columns`.
fn made(rows: u64, columns: Json) -> Plugin {
    ("streamreader", json!({"sliceRecordCount": rows, "column": columns}))
}

pub(super) fn into_files(name: &str, format: &str) -> Plugin {
    ("txtfilewriter", json!({"path": "out", "fileName": name, "writeMode": "truncate", "fileFormat": format}))
}

/// Traps 19, 20 and 44: a byte order mark, bytes that are no UTF-8, and a compressed file of which the job does not say so. What DataX
/// would take for rows is told in one line.
#[test]
fn text_is_taken_for_what_it_is() {
    let folder = folder();
    let path = folder.path();
    let copied = |dirty: &str| {
        let ended = done(path, &job(lines(), into_files("x", "text")));
        assert_eq!(figure(&ended, LABELS[1]).as_deref(), Some(dirty), "{}", ended.stderr);
        let told = ["the byte order mark before the text is left out", "compressed, of which nothing is said"];
        (written(path, "x"), told.map(|note| ended.stderr.matches(note).count()))
    };
    fs::write(path.join("in.txt"), "\u{feff}a,b\nc,d\n").unwrap();
    assert_eq!(copied("0"), ("a,b\nc,d\n".to_owned(), [1, 0]));
    fs::write(path.join("in.txt"), b"a\n\xffb\nc\n").unwrap();
    assert_eq!(copied("1"), ("a\nc\n".to_owned(), [0, 0]));
    // DataX logs the first dirty rows with their reasons.
    let ended = done(path, &job(lines(), into_files("x", "text")));
    assert!(ended.stderr.contains("note: rejected: ") && ended.stderr.contains("line 2"), "{}", ended.stderr);
    assert_eq!(bash(path, "printf 'a,b\\nc,d\\n' | gzip > in.txt").code, 0);
    assert_eq!(copied("0"), ("a,b\nc,d\n".to_owned(), [0, 1]));
    // What the job says is no surprise.
    let mut said = job(lines(), into_files("x", "text"));
    said["job"]["content"][0]["reader"]["parameter"]["compress"] = json!("gzip");
    assert!(!done(path, &said).stderr.contains("compressed"));
    fs::write(path.join("two.txt"), "\u{feff}e,f\n").unwrap();
    fs::copy(path.join("two.txt"), path.join("three.txt")).unwrap();
    said["job"]["content"][0]["reader"]["parameter"] = json!({"path": ["two.txt", "three.txt"], "column": ["*"]});
    let ended = done(path, &said);
    assert!(ended.stderr.contains("two.txt and 1 more file: the byte order mark"), "{}", ended.stderr);
    assert_eq!(written(path, "x"), "e,f\ne,f\n");
}

/// Trap 20: a character that the encoding lacks ends the job, and becomes no question mark.
#[test]
fn a_character_that_an_encoding_lacks_is_an_error() {
    let folder = folder();
    fs::write(folder.path().join("in.txt"), "1,é\n2,雪\n").unwrap();
    let mut writer = into_files("x", "text");
    writer.1["encoding"] = json!("ISO-8859-1");
    let ended = ran(folder.path(), &job(lines(), writer));
    assert_eq!((ended.code, figure(&ended, LABELS[0])), (1, None), "{}", ended.stderr);
    assert!(ended.stderr.contains("row 2") && ended.stderr.contains("ISO-8859-1 lacks"), "{}", ended.stderr);
    assert_eq!(written(folder.path(), "x"), "");
}

/// Trap 21: a CR within a value is told from the end of a record.
#[test]
fn a_carriage_return_is_quoted_in_csv() {
    let folder = folder();
    let columns = json!([{"value": "a\rb", "type": "string"}, {"value": "7", "type": "long"}]);
    done(folder.path(), &job(made(2, columns), into_files("x", "csv")));
    assert_eq!(written(folder.path(), "x"), "\"a\rb\",7\n\"a\rb\",7\n");
}

/// Traps 22 and 23: files whose names only begin alike stay, and a read that fails takes nothing away.
#[test]
fn truncate_removes_what_is_replaced_and_nothing_else() {
    let folder = folder();
    let path = folder.path();
    for name in ["user__old", "user_log__1", "user"] {
        fs::write(path.join("out").join(name), "kept\n").unwrap();
    }
    fs::write(path.join("in.txt"), "1\n2\n").unwrap();
    let reader = || ("txtfilereader", json!({"path": ["in.txt"], "column": [{"index": 0, "type": "long"}]}));
    done(path, &job(reader(), into_files("user", "text")));
    assert_eq!(written(path, "user"), "1\n2\n");
    fs::write(path.join("in.txt"), "3\nx\n").unwrap();
    let mut failing = job(reader(), into_files("user", "text"));
    failing["job"]["setting"]["errorLimit"]["record"] = json!(0);
    assert_eq!(ran(path, &failing).code, 1);
    assert_eq!(written(path, "user"), "1\n2\n");
    for name in ["user_log__1", "user"] {
        assert_eq!(fs::read_to_string(path.join("out").join(name)).unwrap(), "kept\n", "{name}");
    }
}

/// Trap 4: rows for each channel, both ends of a range, and for doubles one more.
#[test]
fn rows_by_chance_lie_between_the_ends_that_datax_means() {
    let folder = folder();
    let columns = json!([{"random": "1,2", "type": "long"}, {"random": "1,2", "type": "double"}]);
    let mut job = job(made(500, columns), into_files("x", "text"));
    job["job"]["setting"]["speed"]["channel"] = json!(2);
    done(folder.path(), &job);
    let text = written(folder.path(), "x");
    let rows: Vec<(u8, f64)> = text
        .lines()
        .map(|line| line.split_once(',').unwrap())
        .map(|(long, double)| (long.parse().unwrap(), double.parse().unwrap()))
        .collect();
    assert_eq!(rows.len(), 1000);
    assert!(rows.iter().all(|(long, double)| (1..=2).contains(long) && (1.0..3.0).contains(double)), "{text}");
    let any = |is_so: fn(&(u8, f64)) -> bool| rows.iter().any(is_so);
    assert!(any(|row| row.0 == 1) && any(|row| row.0 == 2) && any(|row| row.1 > 2.0), "{text}");
}

/// Trap 4, of truths: `1,3` draws of 0 to 4, and takes 0 and 1 for false.
#[test]
fn truths_by_chance_have_their_share() {
    let folder = folder();
    done(folder.path(), &job(made(2000, json!([{"random": "1,3", "type": "bool"}])), into_files("x", "text")));
    let text = written(folder.path(), "x");
    let count = text.lines().filter(|line| *line == "true").count();
    assert_eq!(text.lines().filter(|line| *line == "false").count(), 2000 - count);
    // 1200, and five standard deviations to either side.
    assert!((1090..=1310).contains(&count), "{count}");
}

/// Trap 12: a whole number of any length reaches each column that has a place for it, as it was written.
#[test]
fn long_whole_numbers_reach_what_holds_them() {
    let (folder, url, other) = (folder(), mariadb(), postgres());
    let path = folder.path();
    fs::write(path.join("in.txt"), "9223372036854775807\n18446744073709551615\n-018446744073709551616\n").unwrap();
    let longs = |columns: usize| {
        let column = json!({"index": 0, "type": "long"});
        ("txtfilereader", json!({"path": ["in.txt"], "column": vec![column; columns]}))
    };
    let dirty = |ended: &Ended| figure(ended, LABELS[1]).unwrap();
    let all = ["-18446744073709551616", "9223372036854775807", "18446744073709551615"];
    let ended = done(path, &job(longs(1), into_files("x", "text")));
    assert_eq!((dirty(&ended).as_str(), written(path, "x")), ("0", format!("{}\n{}\n{}\n", all[1], all[2], all[0])));
    mariadb_client(
        &url,
        "create table t (a decimal(30), b varchar(30)); create table u (a bigint unsigned); create table v (a bigint)",
    );
    assert_eq!(dirty(&done(path, &job(longs(2), table("mysqlwriter", &url, "t")))), "0");
    let rows = mariadb_client(&url, "select * from t order by a");
    assert_eq!(rows.trim_end(), all.map(|number| format!("{number}\t{number}")).join("\n"));
    assert_eq!(dirty(&done(path, &job(longs(1), table("mysqlwriter", &url, "u")))), "1");
    assert_eq!(mariadb_client(&url, "select * from u order by a").trim_end(), all[1..].join("\n"));
    assert_eq!(dirty(&done(path, &job(longs(1), table("mysqlwriter", &url, "v")))), "2");
    assert_eq!(mariadb_client(&url, "select * from v").trim_end(), all[1]);

    psql(
        &other,
        "create table t (a numeric, b text, c numeric(20)); create table v (a bigint); create table d (a date)",
    );
    let in_postgres = |table: &str| {
        let url = format!("jdbc:postgresql://{}", other.split_once('@').unwrap().1);
        let connection = json!([{"jdbcUrl": url, "table": [table]}]);
        let parameter = json!({"username": "postgres", "password": "", "column": ["*"], "connection": connection});
        ("postgresqlwriter", parameter)
    };
    assert_eq!(dirty(&done(path, &job(longs(3), in_postgres("t")))), "0");
    let rows = psql(&other, "select * from t order by a");
    assert_eq!(rows, all.map(|number| format!("{number}|{number}|{number}")).join("\n"));
    assert_eq!(dirty(&done(path, &job(longs(1), in_postgres("v")))), "2");
    assert_eq!(psql(&other, "select * from v"), all[1]);
    // Digits are no date.
    let ended = ran(path, &job(longs(1), in_postgres("d")));
    assert!(ended.code == 1 && ended.stderr.contains("have no way into date"), "{}", ended.stderr);
}

/// Traps 2 and 36: any number of dirty rows, and only the first content, both of which are said.
#[test]
fn what_datax_passes_over_is_said() {
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("in.txt"), "1\n".to_owned() + &"x\n".repeat(20)).unwrap();
    let reader = ("txtfilereader", json!({"path": ["in.txt"], "column": [{"index": 0, "type": "long"}]}));
    let mut job = job(reader, into_files("x", "text"));
    job["job"]["setting"].as_object_mut().unwrap().remove("errorLimit");
    let mut second = job["job"]["content"][0].clone();
    second["writer"]["parameter"]["fileName"] = json!("y");
    job["job"]["content"].as_array_mut().unwrap().push(second);
    let ended = done(path, &job);
    assert_eq!((written(path, "x"), written(path, "y")), ("1\n".to_owned(), String::new()));
    for note in ["any number of dirty rows is left out", "only job.content.0 is run, as DataX does; 1 others are not"] {
        assert!(ended.stderr.contains(note), "{}", ended.stderr);
    }
}

/// Trap 37: a job that is killed.
#[test]
fn an_interrupted_job_has_the_exit_code_of_datax_and_no_summary() {
    let folder = folder();
    let mut job = job(made(100_000, json!([{"value": "x", "type": "string"}])), into_files("x", "text"));
    job["job"]["setting"]["speed"] = json!({"record": 100});
    fs::write(folder.path().join("job.json"), job.to_string()).unwrap();
    let etl = start(folder.path(), &["run", "job.json", "--compat", "datax"]);
    until(|| records(folder.path(), "planned") > 0);
    assert!(Command::new("kill").args(["-INT", &etl.id().to_string()]).status().unwrap().success());
    let ended = end(etl);
    assert_eq!((ended.code, figure(&ended, LABELS[0])), (143, None), "{}", ended.stderr);
    assert_eq!(written(folder.path(), "x"), "");
}

/// A reader or writer of all columns of `table`.
pub(super) fn table(side: &'static str, url: &str, table: &str) -> Plugin {
    let url = format!("jdbc:mysql://{}?useSSL=false", url.split_once('@').unwrap().1);
    let connection = if side == "mysqlreader" {
        json!([{"jdbcUrl": [url], "table": [table]}])
    } else {
        json!([{"jdbcUrl": url, "table": [table]}])
    };
    (side, json!({"username": "root", "password": "", "column": ["*"], "connection": connection}))
}

/// Trap 17: moments of PostgreSQL by the clock of the job, which is GMT+8 unless it says otherwise; those of MySQL by that of the server.
#[test]
fn moments_are_shown_by_the_clock_that_datax_takes() {
    let (folder, url, other) = (folder(), postgres(), mariadb());
    let moment = "create table t (at timestamp with time zone); insert into t values ('2024-01-31 20:00:00Z')";
    psql(&url, moment);
    mariadb_client(
        &other,
        "set time_zone = '+00:00'; create table t (at timestamp null); insert into t values ('2024-01-31 20:00:00')",
    );
    let connection =
        json!([{"jdbcUrl": [format!("jdbc:postgresql://{}", url.split_once('@').unwrap().1)], "table": ["t"]}]);
    let in_postgres = json!({"username": "postgres", "password": "", "column": ["at"], "connection": connection});
    let written_by = |reader: Plugin, zone: Option<&str>| {
        let mut job = job(reader, into_files("x", "text"));
        if let Some(zone) = zone {
            job["common"] = json!({"column": {"timeZone": zone}});
        }
        done(folder.path(), &job);
        written(folder.path(), "x")
    };
    let reader = || ("postgresqlreader", in_postgres.clone());
    assert_eq!(written_by(reader(), None), "2024-02-01 04:00:00\n");
    assert_eq!(written_by(reader(), Some("GMT-3")), "2024-01-31 17:00:00\n");
    for (zone, shown) in [("+00:00", "2024-01-31 20:00:00\n"), ("+09:00", "2024-02-01 05:00:00\n")] {
        let mut reader = table("mysqlreader", &other, "t");
        reader.1["session"] = json!([format!("set time_zone = '{zone}'")]);
        assert_eq!(written_by(reader, Some("GMT-3")), shown, "{zone}");
    }
}

/// Trap 17, between tables: an instant becomes a time without a zone, and the reverse, by the clock of the job; for a TIMESTAMP of MySQL it is
/// the one of the server, which the digits keep. Where both columns hold instants they are kept.
#[test]
fn instants_and_times_without_a_zone_become_each_other() {
    let (folder, url, other) = (folder(), postgres(), mariadb());
    psql(
        &url,
        "create table t (at timestamptz, shown timestamp); create table into_t (at timestamp, shown timestamptz);
         create table from_m (at timestamp, shown timestamptz);
         insert into t values ('2024-01-31 20:00:00.5Z', '2024-01-31 20:00:00.5'), (null, null)",
    );
    mariadb_client(
        &other,
        "set time_zone = '+09:00'; create table m (at timestamp null, shown datetime); insert into m values
         ('2024-02-01 05:00:00', '2024-02-01 05:00:00'); create table into_m (at datetime, shown timestamp null);
         create table from_p (at datetime(6), shown timestamp(6) null); create table kept (at timestamp(6) null, shown datetime(6))",
    );
    let in_postgres = |side: &'static str, table: &str| {
        let url = format!("jdbc:postgresql://{}", url.split_once('@').unwrap().1);
        let url = if side == "postgresqlreader" { json!([url]) } else { json!(url) };
        let connection = json!([{"jdbcUrl": url, "table": [table]}]);
        (side, json!({"username": "postgres", "password": "", "column": ["at", "shown"], "connection": connection}))
    };
    let in_mariadb = |side: &'static str, name: &str, zone: &str| {
        let mut plugin = table(side, &other, name);
        plugin.1["column"] = json!(["at", "shown"]);
        plugin.1["session"] = json!([format!("set time_zone = '{zone}'")]);
        plugin
    };
    let path = folder.path();
    done(path, &job(in_postgres("postgresqlreader", "t"), in_postgres("postgresqlwriter", "into_t")));
    assert_eq!(
        psql(&url, "set timezone = 'UTC'; select * from into_t order by at"),
        "2024-02-01 04:00:00.5|2024-01-31 12:00:00.5+00\n|"
    );
    done(path, &job(in_mariadb("mysqlreader", "m", "+09:00"), in_mariadb("mysqlwriter", "into_m", "+00:00")));
    let found = mariadb_client(&other, "set time_zone = '+00:00'; select * from into_m");
    assert_eq!(found.trim_end(), "2024-02-01 05:00:00\t2024-02-01 05:00:00");
    // GMT-3 is the clock of the instants of PostgreSQL alone.
    let mut job_of = job(in_mariadb("mysqlreader", "m", "+09:00"), in_postgres("postgresqlwriter", "from_m"));
    job_of["common"] = json!({"column": {"timeZone": "GMT-3"}});
    done(path, &job_of);
    assert_eq!(psql(&url, "set timezone = 'UTC'; select * from from_m"), "2024-02-01 05:00:00|2024-02-01 08:00:00+00");
    done(path, &job(in_postgres("postgresqlreader", "t"), in_mariadb("mysqlwriter", "from_p", "+09:00")));
    let found = mariadb_client(&other, "set time_zone = '+09:00'; select * from from_p where at is not null");
    assert_eq!(found.trim_end(), "2024-02-01 04:00:00.500000\t2024-01-31 20:00:00.500000");
    done(path, &job(in_postgres("postgresqlreader", "t"), in_mariadb("mysqlwriter", "kept", "+09:00")));
    let found = mariadb_client(&other, "set time_zone = '+00:00'; select * from kept where at is not null");
    assert_eq!(found.trim_end(), "2024-01-31 20:00:00.500000\t2024-01-31 20:00:00.500000");
}

/// Trap 17, in SQL of the job: a condition, a query and statements on the target mean the clock of the server, and what they find stays the instant
/// that it is.
#[test]
fn sql_of_a_job_goes_by_the_clock_of_the_server() {
    for url in [mysql(), mariadb()] {
        let folder = folder();
        mariadb_client(
            &url,
            "set time_zone = '+09:00'; create table m (at timestamp(3) null, said varchar(30)); create table n like m;
             insert into m values ('2024-02-01 05:00:00.25', ''), ('2024-02-01 12:00:00', 'x'), (null, 'x')",
        );
        let in_mysql = |side: &'static str, name: &str| {
            let mut plugin = table(side, &url, name);
            plugin.1["column"] = json!(["at", "said"]);
            plugin.1["session"] = json!(["set time_zone = '+09:00'"]);
            plugin
        };
        let mut reader = in_mysql("mysqlreader", "m");
        reader.1["where"] = json!("at > '2024-02-01 06:00:00'");
        let mut writer = in_mysql("mysqlwriter", "n");
        writer.1["postSql"] = json!(["update n set said = @@session.time_zone where said = 'x'"]);
        done(folder.path(), &job(reader, writer));
        let mut reader = in_mysql("mysqlreader", "m");
        let query = "select at, date_format(at, '%Y-%m-%d') as day from m where said <> 'x' or at is null";
        reader.1["connection"][0].as_object_mut().unwrap().remove("table");
        reader.1["connection"][0]["querySql"] = json!([query]);
        done(folder.path(), &job(reader, in_mysql("mysqlwriter", "n")));
        let found = mariadb_client(&url, "set time_zone = '+00:00'; select * from n order by at");
        assert_eq!(
            found.trim_end(),
            "NULL\tNULL\n2024-01-31 20:00:00.250\t2024-02-01\n2024-02-01 03:00:00.000\t+09:00",
            "{url}"
        );
    }
}

/// Trap 27: modes are told by their begin, in any case; of two rows with one key the last one counts; REPLACE gives other columns their
/// defaults, and an update leaves them. A key that the table gives its rows itself is none.
#[test]
fn rows_with_a_known_key_take_the_place_of_others() {
    let (folder, url) = (folder(), mariadb());
    fs::write(folder.path().join("in.txt"), "1,a\n2,b\n1,c\n3,d\n1,e\n").unwrap();
    let fill = "drop table if exists t; create table t (number int auto_increment primary key, id int unique, v text,
        note varchar(9) default 'none'); insert into t values (7, 1, 'old', 'kept'), (9, 4, 'other', 'kept')";
    for (mode, note) in [("UPDATE", "kept"), ("replace into", "none")] {
        mariadb_client(&url, fill);
        let mut writer = table("mysqlwriter", &url, "t");
        writer.1["column"] = json!(["ID", "v"]);
        writer.1["writeMode"] = json!(mode);
        let ended = done(folder.path(), &job(lines(), writer));
        assert_eq!(figure(&ended, LABELS[0]).as_deref(), Some("5"));
        let rows = mariadb_client(&url, "select id, v, note from t order by id");
        assert_eq!(rows.trim_end(), format!("1\te\t{note}\n2\tb\tnone\n3\td\tnone\n4\tother\tkept"), "{mode}");
    }
    let url = postgres();
    psql(
        &url,
        "create table t (id int primary key, v text, note text default 'none'); insert into t values (1, 'old', 'kept')",
    );
    let connection =
        json!([{"jdbcUrl": format!("jdbc:postgresql://{}", url.split_once('@').unwrap().1), "table": ["t"]}]);
    let parameter = json!({"username": "postgres", "password": "", "column": ["id", "v"], "connection": connection,
        "writeMode": "update"});
    done(folder.path(), &job(lines(), ("postgresqlwriter", parameter)));
    assert_eq!(psql(&url, "select * from t order by id"), "1|e|kept\n2|b|none\n3|d|none");
}

/// Traps 23 to 25: statements once for each table that is written, whatever its tasks, with its name in them, and none where tables
/// cannot be paired or what is read is not there.
#[test]
fn statements_run_once_for_each_table_and_not_in_vain() {
    let (folder, url) = (folder(), mariadb());
    mariadb_client(
        &url,
        "create table a (i int); insert into a values (1); create table b (i int); insert into b values (2);
         create table x (i int); create table y (i int); insert into x values (9); insert into y values (9);
         create table said (word varchar(20))",
    );
    let of = |from: Json, to: Json| {
        let (mut reader, mut writer) = (table("mysqlreader", &url, ""), table("mysqlwriter", &url, ""));
        reader.1["connection"][0]["table"] = from;
        writer.1["connection"][0]["table"] = to;
        writer.1["preSql"] = json!(["delete from @table", "insert into said values ('before @table')"]);
        writer.1["postSql"] = json!(["insert into said values ('after @table')"]);
        job(reader, writer)
    };
    let shown = || {
        let sql = "select group_concat(i order by i) from x union all select group_concat(i order by i) from y
            union all select ifnull(group_concat(word order by word), 'nothing') from said";
        let text = mariadb_client(&url, sql);
        mariadb_client(&url, "delete from said");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let ended = ran(folder.path(), &of(json!(["a", "b"]), json!(["x", "y", "z"])));
    assert!(ended.code == 1 && ended.stderr.contains("3 tables, and the reader gives 2"), "{}", ended.stderr);
    assert_eq!(ran(folder.path(), &of(json!(["nope"]), json!(["x"]))).code, 1);
    let mut misspelled = of(json!(["a"]), json!(["x"]));
    misspelled["job"]["content"][0]["writer"]["parameter"]["column"] = json!(["j"]);
    let ended = ran(folder.path(), &misspelled);
    assert!(ended.code == 1 && ended.stderr.contains("j is not in the target"), "{}", ended.stderr);
    assert_eq!(shown(), ["9", "9", "nothing"]);
    done(folder.path(), &of(json!(["a", "b"]), json!(["x", "y"])));
    assert_eq!(shown(), ["1", "2", "after x,after y,before x,before y"]);
    done(folder.path(), &of(json!(["a,b"]), json!(["x"])));
    assert_eq!(shown(), ["1,2", "2", "after x,before x"]);
}

/// Trap 26: an empty text is NULL in a column of numbers, unless the job says otherwise, and stays what it is in one of text.
#[test]
fn an_empty_text_is_null_for_numbers_alone() {
    let (folder, url) = (folder(), mariadb());
    mariadb_client(&url, "create table t (a int, b varchar(9))");
    fs::write(folder.path().join("in.txt"), "1,\n,x\n").unwrap();
    let run_it = |empty: bool| {
        let mut writer = table("mysqlwriter", &url, "t");
        writer.1["emptyAsNull"] = json!(empty);
        writer.1["preSql"] = json!(["delete from t"]);
        let ended = done(folder.path(), &job(lines(), writer));
        let rows = mariadb_client(&url, "select ifnull(a, 'none'), concat('<', b, '>') from t order by b");
        (figure(&ended, LABELS[1]).unwrap(), rows.trim_end().to_owned())
    };
    assert_eq!(run_it(true), ("0".to_owned(), "1\t<>\nnone\t<x>".to_owned()));
    assert_eq!(run_it(false), ("1".to_owned(), "1\t<>".to_owned()));
    // Of a table, too.
    mariadb_client(
        &url,
        "create table s (a varchar(9), b varchar(9)); insert into s values ('1', ''), ('', 'x'); delete from t",
    );
    let ended = done(folder.path(), &job(table("mysqlreader", &url, "s"), table("mysqlwriter", &url, "t")));
    assert_eq!(figure(&ended, LABELS[1]).as_deref(), Some("0"), "{}", ended.stderr);
    assert_eq!(mariadb_client(&url, "select a, length(b) from t order by b").trim_end(), "1\t0\nNULL\t1");
}

/// Trap 28: of a batch with a row that the table refuses all others are kept.
#[test]
fn a_row_that_a_table_refuses_takes_no_other_with_it() {
    let (folder, url) = (folder(), mariadb());
    mariadb_client(&url, "create table t (a int primary key, b int); insert into t values (2, 0)");
    fs::write(folder.path().join("in.txt"), "1,1\n2,2\n3,3\n1,4\n").unwrap();
    let ended = done(folder.path(), &job(lines(), table("mysqlwriter", &url, "t")));
    assert_eq!(figure(&ended, LABELS[1]).as_deref(), Some("2"), "{}", ended.stderr);
    assert_eq!(mariadb_client(&url, "select * from t order by a").trim_end(), "1\t1\n2\t0\n3\t3");
}

/// Trap 29: a number that is too large for a TINYINT, or none, is dirty as in any other column.
#[test]
fn bad_values_are_dirty_whatever_their_column() {
    let (folder, url) = (folder(), mariadb());
    mariadb_client(&url, "create table t (a int, b tinyint)");
    fs::write(folder.path().join("in.txt"), "1,300\n2,x\n3,4\n").unwrap();
    let ended = done(folder.path(), &job(lines(), table("mysqlwriter", &url, "t")));
    assert_eq!(figure(&ended, LABELS[1]).as_deref(), Some("2"));
    assert_eq!(mariadb_client(&url, "select * from t").trim_end(), "3\t4");
}

/// Trap 43: between two tables `*` means columns by their names, with a note; from elsewhere by their places.
#[test]
fn all_columns_find_those_that_are_meant() {
    let (folder, url) = (folder(), mariadb());
    mariadb_client(&url, "create table s (a int, b int); insert into s values (1, 2); create table t (b int, a int)");
    let ended = done(folder.path(), &job(table("mysqlreader", &url, "s"), table("mysqlwriter", &url, "t")));
    assert!(ended.stderr.contains("paired by their names"), "{}", ended.stderr);
    fs::write(folder.path().join("in.txt"), "4,3\n").unwrap();
    done(folder.path(), &job(lines(), table("mysqlwriter", &url, "t")));
    assert_eq!(mariadb_client(&url, "select a, b from t order by a").trim_end(), "1\t2\n3\t4");
}

/// A column may be listed twice, all fields of text may become statements, and folders that are missing are made, as DataX does.
#[test]
fn statements_are_written_into_new_folders() {
    let (folder, url) = (folder(), mariadb());
    let path = folder.path();
    let into = |to: &str| {
        let more = json!({"path": to, "fileName": "f", "writeMode": "append", "fileFormat": "sql", "table": "t",
            "quoteChar": "`", "header": ["a", "b"]});
        ("txtfilewriter", more)
    };
    let statements = |to: &str| {
        let mut files = fs::read_dir(path.join(to)).unwrap().map(|file| file.unwrap());
        let file = files.find(|file| file.file_name().to_string_lossy().starts_with("f__")).unwrap();
        fs::read_to_string(file.path()).unwrap()
    };
    fs::write(path.join("in.txt"), "1,x\n2,y\n").unwrap();
    done(path, &job(lines(), into("deep/er")));
    mariadb_client(&url, &format!("create table t (a int, b varchar(9)); {}", statements("deep/er")));
    assert_eq!(mariadb_client(&url, "select * from t order by a").trim_end(), "1\tx\n2\ty");
    let (name, mut reader) = table("mysqlreader", &url, "t");
    reader["column"] = json!(["a", "`A`"]);
    done(path, &job((name, reader), into("new/er")));
    mariadb_client(&url, &format!("delete from t; {}", statements("new/er")));
    assert_eq!(mariadb_client(&url, "select * from t order by a").trim_end(), "1\t1\n2\t2");
    let stream = json!({"path": "made/here", "fileName": "s.txt"});
    done(path, &job(made(1, json!([{"value": "x"}])), ("streamwriter", stream)));
    assert_eq!(fs::read_to_string(path.join("made/here/s.txt")).unwrap(), "x\n");
}
