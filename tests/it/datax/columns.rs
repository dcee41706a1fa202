//! Columns of DataX: how they are paired, and what a table has no place for.

use serde_json::{Value as Json, json};

use super::traps::{Plugin, done, folder, into_files, job, table};
use super::{LABELS, figure, written};
use crate::server::{mariadb, mariadb_client, postgres, psql};

/// Trap 43, the first half: columns are paired by their places, and a query may call several of them alike, or its constants nothing.
#[test]
fn columns_of_one_name_are_read_by_their_place() {
    let (folder, url, other) = (folder(), mariadb(), postgres());
    mariadb_client(
        &url,
        "create table s (id int, at timestamp null); insert into s values (1, '2024-01-31 20:00:00');
         create table t (a int, b int, c varchar(9), d varchar(9), e timestamp null)",
    );
    let text_of = |reader: Plugin| {
        done(folder.path(), &job(reader, into_files("x", "text")));
        written(folder.path(), "x")
    };
    let queried = |query: &str| {
        let mut reader = table("mysqlreader", &url, "");
        let connection = &mut reader.1["connection"][0];
        connection["table"].take();
        connection["querySql"] = json!([query]);
        reader
    };
    assert_eq!(text_of(queried("select id, id, null, null, 'x', 'x' from s")), "1,1,null,null,x,x\n");
    let mut listed = table("mysqlreader", &url, "s");
    listed.1["column"] = json!(["id", "ifnull(id, 0)", "ifnull(id, 0)", "s.id"]);
    assert_eq!(text_of(listed), "1,1,1,1\n");
    // An instant is asked for by another query around that of the job.
    done(folder.path(), &job(queried("select id, id, '', '', at from s"), table("mysqlwriter", &url, "t")));
    let rows = mariadb_client(&url, "select a, b, length(c), length(d), e from t");
    assert_eq!(rows.trim_end(), "1\t1\t0\t0\t2024-01-31 20:00:00");

    psql(&other, "create table s (id int, v text); insert into s values (7, 'a')");
    let address = format!("jdbc:postgresql://{}", other.split_once('@').unwrap().1);
    let reader = |more: Json, columns: Json| {
        let mut connection = json!({"jdbcUrl": [address]});
        connection.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let parameter = json!({"username": "postgres", "password": "", "column": columns, "connection": [connection]});
        ("postgresqlreader", parameter)
    };
    let columns = json!(["id", "coalesce(v, '')", "coalesce(v, 'b')", "1 + 1", "2 + 2"]);
    assert_eq!(text_of(reader(json!({"table": ["s"]}), columns)), "7,a,a,2,4\n");
    let query = json!({"querySql": ["select s.*, s.id, 'x', 'y' from s"]});
    assert_eq!(text_of(reader(query, json!(["*"]))), "7,a,7,x,y\n");
}

/// Texts of 8 digits are dates, as `core.json` has it, and those in the forms that a job names.
#[test]
fn texts_are_dates_in_the_extra_forms_of_the_job() {
    let (folder, url, other) = (folder(), mariadb(), postgres());
    let path = folder.path();
    std::fs::write(path.join("in.txt"), "20240102\n2024-01-03\n2024/01/04\n20240230\n").unwrap();
    let texts = |columns: usize| {
        let column = vec![json!({"index": 0, "type": "string"}); columns];
        ("txtfilereader", json!({"path": ["in.txt"], "column": column}))
    };
    mariadb_client(
        &url,
        "create table t (a date, b datetime); create table s (a varchar(9)); insert into s values ('20240102')",
    );
    let ended = done(path, &job(texts(2), table("mysqlwriter", &url, "t")));
    assert_eq!(figure(&ended, LABELS[1]).as_deref(), Some("2"), "{}", ended.stderr);
    let shown = || mariadb_client(&url, "select * from t order by a");
    assert_eq!(shown().trim_end(), "2024-01-02\t2024-01-02 00:00:00\n2024-01-03\t2024-01-03 00:00:00");
    psql(&other, "create table t (a date)");
    let address = format!("jdbc:postgresql://{}", other.split_once('@').unwrap().1);
    let connection = json!([{"jdbcUrl": address, "table": ["t"]}]);
    let parameter = json!({"username": "postgres", "password": "", "column": ["*"], "connection": connection});
    // Of a table, too.
    done(path, &job(table("mysqlreader", &url, "s"), ("postgresqlwriter", parameter.clone())));
    assert_eq!(psql(&other, "select * from t"), "2024-01-02");
    let mut named = job(texts(1), ("postgresqlwriter", parameter));
    named["common"] = json!({"column": {"extraFormats": ["yyyyMM", "yyyy/MM/dd"]}});
    let ended = done(path, &named);
    assert_eq!(figure(&ended, LABELS[1]).as_deref(), Some("2"), "{}", ended.stderr);
    assert_eq!(psql(&other, "select * from t order by a"), "2024-01-02\n2024-01-03\n2024-01-04");
    let reader = ("txtfilereader", json!({"path": ["in.txt"], "column": [{"index": 0, "type": "date"}]}));
    let mut named = job(reader, into_files("x", "text"));
    named["common"] = json!({"column": {"extraFormats": ["yyyy/MM/dd"]}});
    let ended = done(path, &named);
    assert_eq!(figure(&ended, LABELS[1]).as_deref(), Some("1"), "{}", ended.stderr);
    assert_eq!(written(path, "x"), "2024-01-02 00:00:00\n2024-01-03 00:00:00\n2024-01-04 00:00:00\n");
}

/// A text that names no offset is a time of the job's zone, and for a TIMESTAMP of MySQL of the server's clock, which keeps the digits.
#[test]
fn texts_become_instants_by_the_clock_of_the_job() {
    let (folder, url, other) = (folder(), mariadb(), postgres());
    let path = folder.path();
    std::fs::write(path.join("in.txt"), "2024-01-03 00:00:00\n20240102\n2024-01-03T00:00:00Z\nnoon\n").unwrap();
    let texts = || ("txtfilereader", json!({"path": ["in.txt"], "column": [{"index": 0, "type": "string"}]}));
    mariadb_client(
        &url,
        "create table t (at timestamp null); create table s (at varchar(30));
         insert into s values ('2024-01-03 00:00:00'), ('20240102'), ('2024-01-03T00:00:00Z'), ('noon')",
    );
    psql(&other, "create table t (at timestamptz)");
    let address = format!("jdbc:postgresql://{}", other.split_once('@').unwrap().1);
    let connection = json!([{"jdbcUrl": address, "table": ["t"]}]);
    let parameter = json!({"username": "postgres", "password": "", "column": ["*"], "connection": connection,
        "preSql": ["truncate table t"]});
    for reader in [texts(), table("mysqlreader", &url, "s")] {
        let mut writer = table("mysqlwriter", &url, "t");
        writer.1["session"] = json!(["set time_zone = '+09:00'"]);
        writer.1["preSql"] = json!(["truncate table t"]);
        let ended = done(path, &job(reader.clone(), writer));
        assert_eq!(figure(&ended, LABELS[1]).as_deref(), Some("1"), "{}", ended.stderr);
        let rows = mariadb_client(&url, "set time_zone = '+00:00'; select * from t order by at");
        assert_eq!(rows.trim_end(), "2024-01-01 15:00:00\n2024-01-02 15:00:00\n2024-01-03 00:00:00");
        for (zone, shown) in [
            ("GMT+8", "2024-01-01 16:00:00+00\n2024-01-02 16:00:00+00\n2024-01-03 00:00:00+00"),
            ("GMT-3", "2024-01-02 03:00:00+00\n2024-01-03 00:00:00+00\n2024-01-03 03:00:00+00"),
        ] {
            let mut job = job(reader.clone(), ("postgresqlwriter", parameter.clone()));
            job["common"] = json!({"column": {"timeZone": zone}});
            let ended = done(path, &job);
            assert_eq!(figure(&ended, LABELS[1]).as_deref(), Some("1"), "{}", ended.stderr);
            assert_eq!(psql(&other, "set timezone = 'UTC'; select * from t order by at"), shown);
        }
    }
}

/// A time of day in one of the extra forms is cut off for a column of dates, and kept for one of times.
#[test]
fn extra_forms_may_have_a_time_of_day() {
    let (folder, url, other) = (folder(), mariadb(), postgres());
    let path = folder.path();
    std::fs::write(path.join("in.txt"), "20240102030405\n2024/01/03 12:30\n20240104\n2024-01-05\n20241301000000\n")
        .unwrap();
    let column = json!({"index": 0, "type": "string"});
    let reader = || ("txtfilereader", json!({"path": ["in.txt"], "column": [column, column]}));
    mariadb_client(&url, "create table t (a date, b datetime)");
    psql(&other, "create table t (a date, b timestamp)");
    let address = format!("jdbc:postgresql://{}", other.split_once('@').unwrap().1);
    let connection = json!([{"jdbcUrl": address, "table": ["t"]}]);
    let parameter = json!({"username": "postgres", "password": "", "column": ["*"], "connection": connection});
    for writer in [table("mysqlwriter", &url, "t"), ("postgresqlwriter", parameter)] {
        let mut job = job(reader(), writer);
        job["common"] = json!({"column": {"extraFormats": ["yyyyMMddHHmmss", "yyyy/MM/dd HH:mm", "yyyyMMdd"]}});
        let ended = done(path, &job);
        assert_eq!(figure(&ended, LABELS[1]).as_deref(), Some("1"), "{}", ended.stderr);
        assert!(ended.stderr.contains("loss is allowed in"), "{}", ended.stderr);
    }
    let rows = [
        ["2024-01-02", "2024-01-02 03:04:05"],
        ["2024-01-03", "2024-01-03 12:30:00"],
        ["2024-01-04", "2024-01-04 00:00:00"],
        ["2024-01-05", "2024-01-05 00:00:00"],
    ];
    let shown = |between: &str| rows.map(|row| row.join(between)).join("\n");
    assert_eq!(mariadb_client(&url, "select * from t order by a").trim_end(), shown("\t"));
    assert_eq!(psql(&other, "select * from t order by a"), shown("|"));
}

/// Of a text with a time a column of dates has the day, as DataX writes it.
#[test]
fn a_time_behind_a_date_is_cut_off_a_text() {
    let (folder, url, other) = (folder(), mariadb(), postgres());
    let path = folder.path();
    std::fs::write(path.join("in.txt"), "2024-01-03 00:00:00\n2024-01-04 12:30:00.5\n2024-01-05 12:30:00Z\n20240102\n")
        .unwrap();
    let reader = || ("txtfilereader", json!({"path": ["in.txt"], "column": [{"index": 0, "type": "string"}]}));
    mariadb_client(&url, "create table t (a date)");
    psql(&other, "create table t (a date)");
    let address = format!("jdbc:postgresql://{}", other.split_once('@').unwrap().1);
    let connection = json!([{"jdbcUrl": address, "table": ["t"]}]);
    let parameter = json!({"username": "postgres", "password": "", "column": ["*"], "connection": connection});
    for writer in [table("mysqlwriter", &url, "t"), ("postgresqlwriter", parameter)] {
        let ended = done(path, &job(reader(), writer));
        assert_eq!(figure(&ended, LABELS[1]).as_deref(), Some("1"), "{}", ended.stderr);
        assert!(ended.stderr.contains("loss is allowed in"), "{}", ended.stderr);
    }
    let days = "2024-01-02\n2024-01-03\n2024-01-04";
    assert_eq!(mariadb_client(&url, "select * from t order by a").trim_end(), days);
    assert_eq!(psql(&other, "select * from t order by a"), days);
}

/// DataX binds numbers as texts: `'12.0'` is 12 for MySQL, and no integer for PostgreSQL, whose server refuses it. What would be rounded is
/// dirty everywhere.
#[test]
fn a_text_with_a_point_is_an_integer_for_mysql_alone() {
    let (folder, url, other) = (folder(), mariadb(), postgres());
    let path = folder.path();
    std::fs::write(path.join("in.txt"), "12.0\n1e1\n12.5\n7\n").unwrap();
    let reader = |kind: &str| ("txtfilereader", json!({"path": ["in.txt"], "column": [{"index": 0, "type": kind}]}));
    mariadb_client(&url, "create table t (a int); create table u (a bigint unsigned)");
    psql(&other, "create table t (a int)");
    let address = format!("jdbc:postgresql://{}", other.split_once('@').unwrap().1);
    let connection = json!([{"jdbcUrl": address, "table": ["t"]}]);
    let parameter = json!({"username": "postgres", "password": "", "column": ["*"], "connection": connection});
    for (kind, name) in [("string", "t"), ("double", "u")] {
        let ended = done(path, &job(reader(kind), table("mysqlwriter", &url, name)));
        assert_eq!(figure(&ended, LABELS[1]).as_deref(), Some("1"), "{}", ended.stderr);
        let rows = mariadb_client(&url, &format!("select * from {name} order by a"));
        assert_eq!(rows.trim_end(), "7\n10\n12", "{kind}");
        let ended = done(path, &job(reader(kind), ("postgresqlwriter", parameter.clone())));
        assert_eq!(figure(&ended, LABELS[1]).as_deref(), Some("3"), "{}", ended.stderr);
    }
    assert_eq!(psql(&other, "select * from t"), "7\n7");
}

/// A function makes a text of its column: it is taken as any other one, and so are those beside it.
#[test]
fn texts_that_functions_leave_are_taken_as_others_are() {
    let (folder, url) = (folder(), mariadb());
    let path = folder.path();
    mariadb_client(
        &url,
        "create table t (day date, number int, none int, other date, more int, nothing int);
         create table s (a bigint, b varchar(9), c varchar(9), d varchar(9), e varchar(9), f varchar(9));
         insert into s values (2024010299, '12.0zz', 'x', '20240103', '1e1', '')",
    );
    std::fs::write(path.join("in.txt"), "2024010299,12.0zz,x,20240103,1e1,\n").unwrap();
    let field = |index: usize| json!({"index": index, "type": if index == 0 { "long" } else { "string" }});
    let text = json!({"path": ["in.txt"], "column": (0..6).map(field).collect::<Vec<_>>()});
    let part = |column: usize, length: &str| json!({"name": "dx_substr", "parameter": {"columnIndex": column, "paras": ["0", length]}});
    for reader in [("txtfilereader", text), table("mysqlreader", &url, "s")] {
        mariadb_client(&url, "truncate table t");
        let mut job = job(reader, table("mysqlwriter", &url, "t"));
        // The columns of the reader have names that are not those of the table.
        job["job"]["content"][0]["writer"]["parameter"]["column"] =
            json!(["day", "number", "none", "other", "more", "nothing"]);
        job["job"]["content"][0]["transformer"] = json!([part(0, "8"), part(1, "4"), part(2, "0")]);
        let ended = done(path, &job);
        assert_eq!(figure(&ended, LABELS[1]).as_deref(), Some("0"), "{}", ended.stderr);
        let rows = mariadb_client(&url, "select * from t");
        assert_eq!(rows.trim_end(), "2024-01-02\t12\tNULL\t2024-01-03\t10\tNULL");
    }
}

/// A file without a record is no rows, whatever the number of columns: DataX ends with 0 for it.
#[test]
fn a_file_without_a_record_is_no_rows() {
    let (folder, url) = (folder(), mariadb());
    let path = folder.path();
    mariadb_client(&url, "create table t (a int, b varchar(9), c int); insert into t values (1, 'x', 2)");
    let mut writer = table("mysqlwriter", &url, "t");
    writer.1["column"] = json!(["a", "b"]);
    writer.1["preSql"] = json!(["delete from @table where c = 0"]);
    let substring = json!([{"name": "dx_substr", "parameter": {"columnIndex": 1, "paras": ["0", "1"]}}]);
    for (text, header) in [("", false), ("", true), ("a,b\n", true), ("\n\n", false)] {
        std::fs::write(path.join("in.txt"), text).unwrap();
        let reader = || ("txtfilereader", json!({"path": ["in.txt"], "column": ["*"], "skipHeader": header}));
        for writer in [writer.clone(), into_files("x", "text")] {
            let mut job = job(reader(), writer);
            job["job"]["content"][0]["transformer"] = substring.clone();
            let ended = done(path, &job);
            let counts = [LABELS[0], LABELS[1]].map(|label| figure(&ended, label));
            assert_eq!(counts, [Some("0".to_owned()), Some("0".to_owned())], "{text:?}: {}", ended.stderr);
        }
    }
    assert_eq!(mariadb_client(&url, "select * from t").trim_end(), "1\tx\t2");
    assert_eq!(written(path, "x"), "");
}

/// The same where the writer names no column: the table says how many there are. What is run before and after is run.
#[test]
fn a_file_without_a_record_goes_into_all_columns() {
    let (folder, url, other) = (folder(), mariadb(), postgres());
    let path = folder.path();
    std::fs::write(path.join("in.txt"), "").unwrap();
    let make =
        "create table t (a int not null, b date not null, c varchar(9)); insert into t values (1, '2024-01-02', 'x');
        create table said (word varchar(20))";
    mariadb_client(&url, make);
    psql(&other, make);
    let address = format!("jdbc:postgresql://{}", other.split_once('@').unwrap().1);
    let connection = json!([{"jdbcUrl": address, "table": ["t"]}]);
    let parameter = json!({"username": "postgres", "password": "", "column": ["*"], "connection": connection});
    for mut writer in [table("mysqlwriter", &url, "t"), ("postgresqlwriter", parameter)] {
        writer.1["preSql"] = json!(["delete from t where a = 0", "insert into said values ('before')"]);
        writer.1["postSql"] = json!(["insert into said values ('after')"]);
        let reader = ("txtfilereader", json!({"path": ["in.txt"], "column": ["*"]}));
        let mut job = job(reader, writer);
        for steps in [json!([]), json!([{"name": "dx_pad", "parameter": {"columnIndex": 1, "paras": ["l", "2", "0"]}}])]
        {
            job["job"]["content"][0]["transformer"] = steps;
            let ended = done(path, &job);
            assert_eq!(figure(&ended, LABELS[0]).as_deref(), Some("0"), "{}", ended.stderr);
        }
    }
    let shown = "select count(*) from t; select word, count(*) from said group by word order by word";
    assert_eq!(mariadb_client(&url, shown).trim_end(), "1\nafter\t2\nbefore\t2");
    assert_eq!(psql(&other, shown), "1\nafter|2\nbefore|2");
}

/// Trap 14: parts of a second are kept where the column has a place for them, and else cut off, as is the time of a day for a date.
#[test]
fn what_a_column_has_no_place_for_is_cut_off_a_time() {
    let (folder, url, other) = (folder(), mariadb(), postgres());
    let moment = "2024-01-02 03:04:05.678901";
    psql(
        &other,
        &format!(
            "create table s (a timestamp, b timestamp, c timestamp, d time, e timestamptz);
             insert into s values ('{moment}', '{moment}', '{moment}', '01:02:03.999', '{moment}+08')"
        ),
    );
    mariadb_client(
        &url,
        &format!(
            "create table s (a datetime(6), b datetime(6), c datetime(6), d time(3), e datetime(6));
             insert into s values ('{moment}', '{moment}', '{moment}', '01:02:03.999', '{moment}');
             create table t (a datetime, b datetime(3), c date, d time, e datetime)"
        ),
    );
    let connection =
        json!([{"jdbcUrl": [format!("jdbc:postgresql://{}", other.split_once('@').unwrap().1)], "table": ["s"]}]);
    let parameter = json!({"username": "postgres", "password": "", "column": ["*"], "connection": connection});
    for reader in [("postgresqlreader", parameter), table("mysqlreader", &url, "s")] {
        mariadb_client(&url, "truncate table t");
        let ended = done(folder.path(), &job(reader, table("mysqlwriter", &url, "t")));
        assert_eq!(figure(&ended, LABELS[1]).as_deref(), Some("0"), "{}", ended.stderr);
        assert!(ended.stderr.contains("loss is allowed in a, b, c, d, e"), "{}", ended.stderr);
        let rows = mariadb_client(&url, "select * from t");
        let wanted = "2024-01-02 03:04:05\t2024-01-02 03:04:05.678\t2024-01-02\t01:02:03\t2024-01-02 03:04:05";
        assert_eq!(rows.trim_end(), wanted);
    }
}
