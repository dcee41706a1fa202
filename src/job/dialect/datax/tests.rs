use std::collections::HashMap;

use serde_json::{Value as Json, json};

use super::*;
use crate::job::{Empty, Integers, Job, MaxErrors, OnError, RetryGrowth, Speed, UnionBy};
use crate::merge::{Duplicates, KeyOf, Merge, Rest};
use crate::sink::{SchemaPolicy, WriteMode};

fn translated(root: Json) -> Result<Translation> {
    translate(&Tree::new(root, HashMap::new()))
}

/// A job with one channel.
fn job(reader: &Json, writer: &Json) -> Json {
    json!({"job": {"setting": {"speed": {"channel": 1}}, "content": [{"reader": reader, "writer": writer}]}})
}

fn txt(parameter: &Json) -> Json {
    json!({"name": "txtfilereader", "parameter": parameter})
}

fn nothing() -> Json {
    json!({"name": "streamwriter", "parameter": {"print": false}})
}

fn into_files() -> Json {
    json!({"name": "txtfilewriter", "parameter": {"path": "/o", "fileName": "f", "writeMode": "truncate"}})
}

fn mysql(more: &Json) -> Json {
    let mut parameter = json!({"username": "u", "password": "p", "column": ["id", "v"], "connection": [
        {"jdbcUrl": ["jdbc:mysql://db:3307/shop?useSSL=false"], "table": ["num"]}]});
    for (key, value) in more.as_object().unwrap() {
        parameter[key] = value.clone();
    }
    json!({"name": "mysqlreader", "parameter": parameter})
}

fn only(translation: &Translation) -> &Job {
    assert_eq!(translation.jobs.len(), 1);
    &translation.jobs[0]
}

fn fails(root: Json, message: &str) {
    let error = translated(root).unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
}

fn query(job: &Job) -> &str {
    match &job.source.object {
        ObjectRef::Query(query) => query,
        other => panic!("{other} is no query"),
    }
}

#[test]
fn jobs_are_known_by_the_names_of_their_plugins() {
    assert!(recognizes(&job(&txt(&json!({})), &nothing())));
    assert!(recognizes(&job(&json!({"name": "MysqlReader"}), &nothing())));
    // The plugins of go-etl have shorter names.
    assert!(!recognizes(&job(&json!({"name": "csv"}), &json!({"name": "postgres"}))));
    assert!(!recognizes(&json!({"source": "a", "target": "b"})));
}

#[test]
fn text_is_read_by_the_place_of_fields() {
    let reader = txt(
        &json!({"path": ["/in/a", "/in/b*"], "fieldDelimiter": "|", "nullFormat": "\\N", "skipHeader": "true",
        "column": [{"index": 2, "type": "long"}, {"value": "x", "type": "string"}, {"index": 0, "type": "date", "format": "yyyy/MM/dd"},
                   {"index": 1, "type": "double"}]}),
    );
    let found = translated(job(&reader, &into_files())).unwrap();
    let job = only(&found);
    let options = &job.source.options;
    assert_eq!((&options["url"], &options["paths"]), (&json!("/in/a"), &json!(["/in/b*"])));
    let loose = &options["loose"];
    assert_eq!(
        loose["fields"],
        json!([
            {"name": "c1", "type": "integer", "index": 2},
            {"name": "c2", "type": "text", "value": "x"},
            {"name": "c3", "type": "moment", "index": 0, "format": "yyyy/MM/dd"},
            {"name": "c4", "type": "number", "index": 1},
        ])
    );
    assert_eq!((&loose["delimiter"], &loose["null"]), (&json!("|"), &json!("\\N")));
    assert_eq!((&loose["skipLines"], &loose["zone"]), (&json!(1), &json!("+08:00")));
    // What is written: the text `null`, and no quotes.
    let target = &job.target.options;
    assert_eq!((&target["url"], &target["prefix"]), (&json!("/o/"), &json!("f")));
    let loose = &target["loose"];
    assert_eq!((&loose["null"], loose.get("quoting"), &loose["delimiter"]), (&json!("null"), None, &json!(",")));
    assert_eq!(job.mode, WriteMode::Replace);
}

#[test]
fn all_fields_may_be_of_any_number_between_files_alone() {
    let reader = txt(&json!({"path": "/in/a", "column": ["*"]}));
    let found = translated(job(&reader, &into_files())).unwrap();
    assert_eq!(only(&found).source.options["loose"]["records"], json!("ragged"));
    assert_eq!(only(&found).target.options["loose"]["records"], json!("ragged"));
    let writer = json!({"name": "mysqlwriter", "parameter": {"column": ["a", "`b`"], "preSql": ["delete from @table"],
        "connection": [{"jdbcUrl": "jdbc:mysql://h/d", "table": ["t"]}]}});
    let found = translated(job(&reader, &writer)).unwrap();
    let job = only(&found);
    assert_eq!(job.source.options["loose"].get("records"), None);
    assert_eq!(job.source.options["loose"]["columnsWhenEmpty"], json!(2));
    assert_eq!(job.transform.date_formats, ["yyyyMMdd"]);
    assert_eq!(job.transform.integers, Some(Integers::ByValue));
    assert_eq!(job.transform.empty, Some(Empty::NullForNumbers));
    assert_eq!(job.transform.names, ["a", "b"]);
    assert_eq!((job.schema, &job.mode), (SchemaPolicy::Partial, &WriteMode::Append));
    assert_eq!(job.pre_sql, ["delete from t"]);
}

/// How many columns a file without a record has is a matter of the table, where all of it is written.
#[test]
fn a_file_without_a_record_has_the_columns_of_any_table() {
    let reader = txt(&json!({"path": "/in/a", "column": ["*"]}));
    let writer = json!({"name": "mysqlwriter", "parameter": {"column": ["*"],
        "connection": [{"jdbcUrl": "jdbc:mysql://h/d", "table": ["t"]}]}});
    let of = |writer: &Json, steps: Json| {
        let mut root = job(&reader, writer);
        root["job"]["content"][0]["transformer"] = steps;
        let found = translated(root).unwrap();
        only(&found).source.options["loose"]["columnsWhenEmpty"].clone()
    };
    let third = json!([{"name": "dx_substr", "parameter": {"columnIndex": 2, "paras": ["0", "1"]}}]);
    assert_eq!(of(&writer, json!([])), json!(1600));
    assert_eq!(of(&writer, third.clone()), json!(1600));
    assert_eq!((of(&into_files(), json!([])), of(&into_files(), third)), (json!(1), json!(3)));
}

#[test]
fn settings_of_csv_are_taken_or_refused() {
    let of = |config: Json| txt(&json!({"path": "/a", "column": ["*"], "csvReaderConfig": config}));
    let config =
        json!({"safetySwitch": false, "skipEmptyRecords": false, "useTextQualifier": false, "trimWhitespace": false});
    let found = translated(job(&of(config), &into_files())).unwrap();
    let loose = &only(&found).source.options["loose"];
    assert_eq!((&loose["quote"], &loose["trim"], &loose["keepBlankLines"]), (&json!(""), &json!(false), &json!(true)));
    assert!(found.notes.iter().any(|note| note.contains("csvReaderConfig.safetySwitch")), "{:?}", found.notes);
    let config =
        json!({"escapeMode": 2, "textQualifier": "'", "recordDelimiter": ";", "useComments": true, "delimiter": "|"});
    let found = translated(job(&of(config), &into_files())).unwrap();
    let loose = &only(&found).source.options["loose"];
    let told = ["escape", "quote", "lineEnd", "comment", "delimiter"].map(|key| loose[key].clone());
    assert_eq!(told, ["backslash", "'", ";", "#", "|"].map(Json::from));
    fails(
        job(&of(json!({"escapeMode": 3})), &into_files()),
        "job.content.0.reader.parameter.csvReaderConfig.escapeMode",
    );
    // A setting that nobody knows is left, for the warning that names such keys.
    let tree = Tree::new(job(&of(json!({"nope": 1})), &into_files()), HashMap::new());
    translate(&tree).unwrap();
    assert_eq!(tree.unasked(), ["job.content.0.reader.parameter.csvReaderConfig.nope"]);
    let wide = txt(&json!({"path": "/a", "column": ["*"], "fieldDelimiter": "||"}));
    fails(job(&wide, &into_files()), "one ASCII character");
}

fn into_files_with(more: &Json) -> Json {
    let mut writer = into_files();
    for (key, value) in more.as_object().unwrap() {
        writer["parameter"][key] = value.clone();
    }
    writer
}

#[test]
fn files_are_written_as_csv_statements_and_compressed() {
    let loose = |more: Json| {
        let reader = txt(&json!({"path": "/a", "column": ["*"]}));
        translated(job(&reader, &into_files_with(&more))).map(|found| only(&found).target.options.clone())
    };
    let config = json!({"forceQualifier": true, "textQualifier": "'", "escapeMode": 2, "comment": ";"});
    let csv = loose(json!({"fileFormat": "csv", "lineDelimiter": "\r\n", "csvWriterConfig": config})).unwrap();
    let told = ["quoting", "quote", "escape", "comment", "lineEnd"].map(|key| csv["loose"][key].clone());
    assert_eq!(told, ["always", "'", "backslash", ";", "\r"].map(Json::from));
    let plain = loose(json!({"fileFormat": "csv", "csvWriterConfig": {"useTextQualifier": false}})).unwrap();
    assert_eq!(plain["loose"]["quoting"], json!("never"));
    let sql = json!({"fileFormat": "sql", "table": "t", "quoteChar": "`", "header": ["a"], "byteEncoding": "base64"});
    let sql = loose(sql).unwrap();
    assert_eq!(sql["loose"]["insert"], json!({"table": "t", "quote": "`", "commitRows": 2000}));
    assert_eq!(sql["loose"].get("records"), None);
    assert_eq!((&sql["loose"]["bytes"], &sql["loose"]["header"]), (&json!("base64"), &json!(["a"])));
    let missing = loose(json!({"fileFormat": "sql", "table": "t", "header": ["a"]})).unwrap_err();
    assert!(missing.to_string().contains("the key 'quoteChar' is missing"), "{missing}");
    let codec = |word: &str| loose(json!({"compress": word})).map(|options| options["compression"].clone());
    for (word, known) in [("GZIP", "gz"), ("bzip2", "bz2"), ("zip", "zip"), ("hadoop-snappy", "hadoop-snappy")] {
        assert_eq!(codec(word).unwrap(), json!(known));
    }
    assert_eq!(codec("framing-snappy").unwrap(), json!("snappy"));
    let error = codec("lzo").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("job.content.0.writer.parameter.compress"), "{error}");
}

/// Keys that do nothing are named, whatever they are, and all others that the program does not know are left for the warning.
#[test]
fn nothing_is_passed_over_in_silence() {
    for key in lacks::LACKS.keys {
        let value = json!("x");
        let mut root = job(&mysql(&json!({})), &into_files());
        let place = match key.of {
            lacks::CORE => &mut root,
            lacks::JOB => &mut root["job"],
            lacks::READERS => &mut root["job"]["content"][0]["reader"]["parameter"],
            lacks::QUERY_READERS => {
                let connection = json!([{"jdbcUrl": ["jdbc:mysql://h/d"], "querySql": ["select 1"]}]);
                root["job"]["content"][0]["reader"]["parameter"]["connection"] = connection;
                &mut root["job"]["content"][0]["reader"]["parameter"]
            }
            lacks::TEXT_READER => {
                root["job"]["content"][0]["reader"] = txt(&json!({"path": "/a", "column": ["*"]}));
                &mut root["job"]["content"][0]["reader"]["parameter"]
            }
            lacks::TEXT_WRITER => &mut root["job"]["content"][0]["writer"]["parameter"],
            lacks::STREAM_WRITER => {
                root["job"]["content"][0]["writer"] = nothing();
                &mut root["job"]["content"][0]["writer"]["parameter"]
            }
            lacks::WRITERS => {
                root["job"]["content"][0]["writer"] = json!({"name": "mysqlwriter", "parameter": {"column": ["a", "b"],
                    "connection": [{"jdbcUrl": "jdbc:mysql://h/d", "table": ["t"]}]}});
                &mut root["job"]["content"][0]["writer"]["parameter"]
            }
            other => panic!("no job has {other}"),
        };
        let path: Vec<&str> = key.key.split('.').collect();
        *path.iter().fold(place, |place, key| &mut place[*key]) = value;
        let tree = Tree::new(root, HashMap::new());
        let found = translate(&tree).unwrap_or_else(|error| panic!("{}: {error}", key.key));
        let named =
            found.notes.iter().any(|note| note.starts_with("these keys do nothing here: ") && note.contains(key.key));
        assert!(named, "{}: {:?}", key.key, found.notes);
        let left = tree.unasked();
        assert!(!left.iter().any(|path| path.ends_with(key.key)), "{left:?}");
    }
}

#[test]
fn channels_are_reckoned_as_datax_reckons_them() {
    let limits = |speed: Json, core: Json| {
        let mut root = job(&txt(&json!({"path": "/a", "column": ["*"]})), &nothing());
        root["job"]["setting"]["speed"] = speed;
        root["core"] = json!({"transport": {"channel": {"speed": core}}});
        translated(root).map(|found| only(&found).limits.clone())
    };
    let of = |speed: Json, core: Json| limits(speed, core).unwrap().jobs;
    // 10000 bytes and 5000 records over 100 and 100: the smaller is 50, and channel is not asked.
    assert_eq!(of(json!({"byte": 10000, "record": 5000, "channel": 1}), json!({"byte": 100, "record": 100})), Some(50));
    assert_eq!(of(json!({"byte": 50}), json!({"byte": 100})), Some(1));
    assert_eq!(of(json!({"channel": "2"}), json!({"byte": -1})), Some(2));
    // A total without that of a channel is a limit of the job.
    let total = limits(json!({"byte": 1_048_576}), json!({})).unwrap();
    assert_eq!(total.speed, Speed { job_bytes: Some(1_048_576), ..Speed::default() });
    assert_eq!(total.jobs, Some(1));
    assert_eq!(limits(json!(1_048_576), json!({})).unwrap().speed, total.speed);
    assert!(limits(json!({}), json!({})).is_err());
    assert!(limits(json!({"channel": ""}), json!({})).is_err());
}

#[test]
fn dirty_rows_are_left_out_up_to_the_limit() {
    let errors = |limit: Json| {
        let mut root = job(&txt(&json!({"path": "/a", "column": ["*"]})), &nothing());
        root["job"]["setting"]["errorLimit"] = limit;
        translated(root).map(|found| only(&found).errors.clone())
    };
    let most = |limit: Json| {
        let errors = errors(limit).unwrap();
        assert_eq!(errors.on_error, OnError::Skip);
        errors.max_errors
    };
    assert_eq!(most(json!({})), None);
    assert_eq!(most(json!({"record": 0})), Some(MaxErrors::Rows(0)));
    assert_eq!(most(json!({"record": 10, "percentage": 0.05})), Some(MaxErrors::Rows(10)));
    assert_eq!(most(json!({"percentage": 0.5})), Some(MaxErrors::Percent(50.0)));
    assert_eq!(most(json!({"percentage": 0.29})).unwrap().exceeded(29, 100, true), None);
    assert!(errors(json!({"percentage": 2})).is_err());
}

/// datax.md §1.3: in which forms texts are dates, of tables and of columns of text that name none.
#[test]
fn extra_forms_of_dates_are_those_of_the_job() {
    let reader = txt(&json!({"path": "/in/a", "column": [{"index": 0, "type": "date"}]}));
    let mut root = job(&reader, &into_files());
    root["common"] = json!({"column": {"extraFormats": ["yyyy/MM/dd", "yyyyMM"]}});
    let found = translated(root.clone()).unwrap();
    assert!(!found.notes.iter().any(|note| note.contains("extraFormats")), "{:?}", found.notes);
    assert_eq!(only(&found).source.options["loose"]["extraFormats"], json!(["yyyy/MM/dd", "yyyyMM"]));
    assert_eq!(only(&found).transform.date_formats, Vec::<String>::new());
    root["job"]["content"][0]["writer"] = json!({"name": "postgresqlwriter", "parameter": {"column": ["a"],
        "connection": [{"jdbcUrl": "jdbc:postgresql://h/d", "table": ["t"]}]}});
    let found = translated(root).unwrap();
    assert_eq!(only(&found).transform.date_formats, ["yyyy/MM/dd", "yyyyMM"]);
    assert_eq!(only(&found).transform.integers, None);
}

/// datax.md §1.3: the size of a task group, and the attempts of a task, the first of which counts.
#[test]
fn groups_and_attempts_are_those_of_core() {
    let limits = |container: Json| {
        let mut root = job(&txt(&json!({"path": "/in/a", "column": ["*"]})), &nothing());
        root["core"] = json!({ "container": container });
        only(&translated(root).unwrap()).limits.clone()
    };
    let plain = limits(json!({}));
    assert_eq!((plain.group_channels, plain.retries), (None, None));
    let grouped = limits(json!({"taskGroup": {"channel": "3"}, "task": {"failOver": {"maxRetryTimes": 4}}}));
    assert_eq!((grouped.group_channels, grouped.retries), (Some(3), Some(3)));
    assert_eq!((grouped.retry_first_milliseconds, grouped.retry_growth), (Some(10_000), RetryGrowth::Constant));
    let never = limits(json!({"task": {"failOver": {"maxRetryTimes": 1, "retryIntervalInMsec": 5}}}));
    assert_eq!((never.retries, never.retry_max_milliseconds), (Some(0), Some(5)));
    let mut root = job(&txt(&json!({"path": "/in/a", "column": ["*"]})), &nothing());
    root["core"] = json!({"container": {"taskGroup": {"channel": 3},
        "task": {"failOver": {"maxRetryTimes": 4, "retryIntervalInMsec": 5}}}});
    let notes = translated(root).unwrap().notes;
    assert!(!notes.iter().any(|note| note.contains("core.container")), "{notes:?}");
}

#[test]
fn rows_are_made_for_each_channel() {
    let reader = json!({"name": "streamreader", "parameter": {"sliceRecordCount": 10, "column": [
        {"value": "DataX", "type": "string"}, {"value": 19_890_604, "type": "long"}, {"value": "1989-06-04 00:00:00", "type": "date"},
        {"value": true, "type": "bool"}, {"random": "1,10", "type": "long"}, {"random": "0,3", "type": "bool"}]}});
    let mut root = job(&reader, &json!({"name": "streamwriter", "parameter": {"print": true}}));
    root["job"]["setting"]["speed"]["channel"] = json!(3);
    let found = translated(root).unwrap();
    let options = &only(&found).source.options;
    assert_eq!(options["url"], json!("gen:c1:text,c2:bigint,c3:timestamptz,c4:bool,c5:bigint(1..10),c6:bool(1)"));
    assert_eq!(options["rows"], json!(30));
    let values = json!({"c1": "DataX", "c2": "19890604", "c3": "1989-06-04 00:00:00+08:00", "c4": "true"});
    assert_eq!(options["values"], values);
    let target = &only(&found).target.options;
    assert_eq!((&target["url"], &target["loose"]["delimiter"]), (&json!("-"), &json!("\t")));
}

/// Shares of false and true as DataX's program has them: `1,3` draws of 0 to 4, and takes 0 and 1 for false.
#[test]
fn truths_by_chance_have_the_shares_of_the_job() {
    let made = |column: Json| {
        let reader = json!({"name": "streamreader", "parameter": {"sliceRecordCount": 1, "column": [column]}});
        translated(job(&reader, &nothing()))
    };
    let of = |random: &str| made(json!({"type": "bool", "random": random}));
    for (random, type_word) in [
        ("1,3", "bool(0.6)"),
        ("3, 1", "bool(0.2)"),
        ("0,3", "bool(1)"),
        ("3,0", "bool(0)"),
        ("5,5", "bool(1)"),
        ("0,0", "bool(1)"),
    ] {
        let found = of(random).unwrap();
        assert_eq!(only(&found).source.options["url"], json!(format!("gen:c1:{type_word}")), "{random}");
        let is_told = found.notes.iter().any(|note| note.contains("column.0.random: of equal shares"));
        assert_eq!(is_told, random == "5,5", "{:?}", found.notes);
    }
    let error = of("-1,3").unwrap_err().to_string();
    assert!(error.contains("column.0.random: shares of false and true are 0 or more"), "{error}");
    // A value wins over a range, unless it is blank.
    let found = made(json!({"type": "long", "value": 7, "random": "1,3"})).unwrap();
    assert_eq!(only(&found).source.options["values"], json!({"c1": "7"}));
    assert!(found.notes.iter().any(|note| note.contains("column.0.random is left out")), "{:?}", found.notes);
    let found = made(json!({"type": "long", "value": "", "random": "1,3"})).unwrap();
    assert_eq!(only(&found).source.options["url"], json!("gen:c1:bigint(1..3)"));
}

/// A date that is made is read by the format of its column, and one by chance lies between its two ends, as the clock of the job has them.
#[test]
fn dates_that_are_made_have_forms_and_ends() {
    let made = |column: Json| {
        let reader = json!({"name": "streamreader", "parameter": {"sliceRecordCount": 1, "column": [column]}});
        let root = job(&reader, &json!({"name": "streamwriter", "parameter": {"print": true}}));
        translated(root).map(|found| only(&found).source.options.clone())
    };
    let value = |value: &str, format: &str| made(json!({"type": "date", "value": value, "dateFormat": format}));
    for (text, format) in [
        ("2024/01/02", "yyyy/MM/dd"),
        ("20240102", "yyyyMMdd"),
        ("00:00 2.1.2024", "HH:mm d.M.yyyy"),
        ("2024-01-02", ""),
    ] {
        let options = value(text, format).unwrap();
        assert_eq!(options["values"], json!({"c1": "2024-01-02 00:00:00+08:00"}), "{text}");
    }
    let options = made(json!({"type": "date", "random": "2024-01-01 10:00:00, 2024-01-01 11:30:00"})).unwrap();
    assert_eq!(options["url"], json!("gen:c1:timestamptz(2024-01-01T02:00:00..2024-01-01T03:30:00)"));
    for (column, wrong) in [
        (
            json!({"type": "date", "value": "2024", "dateFormat": "yyyy/MM/dd"}),
            "column.0.value: \"2024\" is no date of the form yyyy/MM/dd",
        ),
        (
            json!({"type": "date", "value": "2024", "dateFormat": "yyyy E"}),
            "column.0.dateFormat: dates of rows that are made",
        ),
        (json!({"type": "long", "value": "x5"}), "column.0.value: a whole number is wanted here"),
        (json!({"type": "bool", "value": "yes"}), "column.0.value: true or false is wanted here"),
    ] {
        let error = made(column).unwrap_err().to_string();
        assert!(error.contains(wrong), "{error}");
    }
}

#[test]
fn a_table_is_read_whole_or_by_the_sql_of_its_columns() {
    let found = translated(job(&mysql(&json!({})), &nothing())).unwrap();
    let plain = only(&found);
    assert_eq!(plain.source.object, ObjectRef::Table("num".to_owned()));
    assert_eq!(plain.transform.select, ["id", "v"]);
    let options = &plain.source.options;
    assert_eq!(
        (&options["host"], &options["port"], &options["database"]),
        (&json!("db"), &json!("3307"), &json!("shop"))
    );
    assert_eq!((&options["sslMode"], &options["zeroDates"]), (&json!("DISABLED"), &json!("null")));
    let session = json!({"session": ["set sql_mode='ANSI';", " "]});
    let found = translated(job(&mysql(&session), &nothing())).unwrap();
    assert_eq!(only(&found).source.options["session"], json!("set sql_mode='ANSI'"));
    assert!(!found.notes.iter().any(|note| note.starts_with("session")), "{:?}", found.notes);
    // A condition is in parentheses, and its semicolon goes.
    let found = translated(job(&mysql(&json!({"where": "id>10 or v is null;"})), &nothing())).unwrap();
    assert_eq!(query(only(&found)), "select id,v from num where (id>10 or v is null)");
    let found = translated(job(&mysql(&json!({"column": ["id", "'x' as c", "now()"]})), &nothing())).unwrap();
    assert_eq!(query(only(&found)), "select id,'x' as c,now() from num");
    let found = translated(job(&mysql(&json!({"column": "*"})), &nothing())).unwrap();
    assert_eq!(
        (&only(&found).source.object, only(&found).transform.select.len()),
        (&ObjectRef::Table("num".to_owned()), 0)
    );
}

/// What is read by each source of `job`, with its database.
fn read(job: &Job) -> Vec<(String, String)> {
    let of = |place: &Place| {
        let text = match &place.object {
            ObjectRef::Query(query) => query.clone(),
            other => other.to_string(),
        };
        (place.options["host"].as_str().unwrap().to_owned() + "/" + place.options["database"].as_str().unwrap(), text)
    };
    job.sources().map(of).collect()
}

#[test]
fn several_tables_are_read_as_one_by_the_places_of_columns() {
    let read_of = |more: Json| {
        let found = translated(job(&mysql(&more), &nothing())).unwrap();
        assert_eq!(only(&found).union_by, UnionBy::Place);
        assert!(only(&found).transform.select.is_empty());
        read(only(&found))
    };
    let pair = |place: &str, query: &str| (place.to_owned(), query.to_owned());
    let connection = json!([{"jdbcUrl": ["jdbc:mysql://h/d1"], "table": ["t_[08-10]"]}]);
    let tables = ["t_08", "t_09", "t_10"].map(|table| pair("h/d1", &format!("select id,v from {table}")));
    assert_eq!(read_of(json!({"connection": connection})), tables);
    // Of several servers, too; without a list of columns the tables themselves.
    let connection =
        json!([{"jdbcUrl": ["jdbc:mysql://h/d1"], "table": ["a"]}, {"jdbcUrl": ["jdbc:mysql://i/d2"], "table": ["b"]}]);
    let queries = [pair("h/d1", "select id,v from a"), pair("i/d2", "select id,v from b")];
    assert_eq!(read_of(json!({"connection": connection})), queries);
    assert_eq!(read_of(json!({"connection": connection, "column": ["*"]})), [pair("h/d1", "a"), pair("i/d2", "b")]);
}

#[test]
fn urls_are_tried_in_their_order() {
    let connection = json!([{"jdbcUrl": ["jdbc:mysql://127.0.0.1:1/x", "jdbc:mysql://db/d1"], "querySql": ["select 1;", "select 2"]}]);
    let found = translated(job(&mysql(&json!({"connection": connection})), &nothing())).unwrap();
    let options = &only(&found).source.options;
    assert_eq!(
        (&options["host"], &options["port"], &options["database"]),
        (&json!("127.0.0.1,db"), &json!("1,3306"), &json!("d1"))
    );
    assert_eq!(read(only(&found)).into_iter().map(|(_, query)| query).collect::<Vec<_>>(), ["select 1", "select 2"]);
}

#[test]
fn tables_are_paired_by_their_place() {
    let connection = json!([{"jdbcUrl": ["jdbc:mysql://h/d"], "table": ["a,b"]}]);
    let reader = mysql(&json!({"connection": connection}));
    let writer = |tables: Json| {
        json!({"name": "postgresqlwriter", "parameter": {"column": ["k", "v"], "postSql": ["analyze @table"],
            "connection": [{"jdbcUrl": "jdbc:postgresql://pg:5433/shop?currentSchema=s", "table": tables}]}})
    };
    let found = translated(job(&reader, &writer(json!(["x", "y"])))).unwrap();
    let places = |job: &Job| [job.source.object.to_string(), job.target.object.to_string(), job.post_sql[0].clone()];
    let pairs: Vec<_> = found.jobs.iter().map(places).collect();
    assert_eq!(pairs, [["a", "x", "analyze x"], ["b", "y", "analyze y"]].map(|pair| pair.map(str::to_owned)));
    assert!(found.jobs.iter().all(|job| job.union.is_empty() && job.transform.select == ["id", "v"]));
    assert!(!found.notes.iter().any(|note| note.contains("tasks")), "{:?}", found.notes);
    // With more channels than tables DataX cuts them, and refuses; here the tables count.
    let mut cut = job(&mysql(&json!({"connection": connection, "splitPk": "id"})), &writer(json!(["x", "y"])));
    cut["job"]["setting"]["speed"]["channel"] = json!(4);
    let found = translated(cut).unwrap();
    assert_eq!(found.jobs.len(), 2);
    assert!(found.notes.iter().any(|note| note.contains("DataX makes 6 tasks") && note.contains("2 tables")));
    let options = &found.jobs[0].target.options;
    assert_eq!((&options["dbname"], &options["options"]), (&json!("shop"), &json!("-c search_path=s")));
    fails(job(&reader, &writer(json!(["x", "y", "z"]))), "3 tables, and the reader gives 2");
}

/// DataX puts them into SQL as they stand: PostgreSQL makes small letters of what has no quotes.
#[test]
fn names_have_the_case_that_the_database_gives_them() {
    let names = |product: &str, columns: Json| {
        let url = format!("jdbc:{product}://h/d");
        let writer = json!({"name": format!("{product}writer"), "parameter": {"column": columns,
            "connection": [{"jdbcUrl": url, "table": ["Shop.T"]}]}});
        let found = translated(job(&mysql(&json!({})), &writer)).unwrap();
        (only(&found).transform.names.join(","), only(&found).target.object.to_string())
    };
    let pair = |names: &str, table: &str| (names.to_owned(), table.to_owned());
    assert_eq!(names("postgresql", json!(["ID", "\"Vv\""])), pair("id,Vv", "shop.t"));
    assert_eq!(names("mysql", json!(["ID", "`Vv`"])), pair("ID,Vv", "Shop.T"));
    let found = translated(job(&mysql(&json!({"column": ["id", "null", "''"]})), &nothing())).unwrap();
    assert_eq!(query(only(&found)), "select id,null as constant_2,'' as constant_3 from num");
}

#[test]
fn write_modes_are_told_by_their_begin() {
    let mode = |product: &str, mode: &str| {
        let url = format!("jdbc:{product}://h/d");
        let writer = json!({"name": format!("{product}writer"), "parameter": {"column": ["a", "b"], "writeMode": mode,
            "connection": [{"jdbcUrl": url, "table": ["t"]}]}});
        translated(job(&mysql(&json!({})), &writer)).map(|found| only(&found).mode.clone())
    };
    assert_eq!(mode("mysql", "INSERT").unwrap(), WriteMode::Append);
    let (key_of, duplicates) = (KeyOf::Target, Duplicates::LastArrived);
    let merge = |rest| WriteMode::Upsert(Merge { key_of, duplicates: duplicates.clone(), rest, ..Merge::default() });
    assert_eq!(mode("mysql", "replace into").unwrap(), merge(Rest::Default));
    assert_eq!(mode("postgresql", "update").unwrap(), merge(Rest::Kept));
    assert!(mode("mysql", "merge").is_err());
}

/// DataX pairs them by their places, and so mixes up tables whose columns have another order.
#[test]
fn all_columns_are_paired_by_their_names_where_these_are_those_of_a_table() {
    let writer = json!({"name": "mysqlwriter", "parameter": {"column": ["*"],
        "connection": [{"jdbcUrl": "jdbc:mysql://h/d", "table": ["t"]}]}});
    let pairing = |reader: &Json| {
        let found = translated(job(reader, &writer)).unwrap();
        (only(&found).schema, found.notes.iter().any(|note| note.contains("paired by their names")))
    };
    assert_eq!(pairing(&mysql(&json!({"column": ["*"]}))), (SchemaPolicy::Strict, true));
    assert_eq!(pairing(&mysql(&json!({}))), (SchemaPolicy::ByPlace, false));
    assert_eq!(pairing(&txt(&json!({"path": "/a", "column": ["*"]}))), (SchemaPolicy::ByPlace, false));
}

#[test]
fn columns_that_cannot_be_paired_are_refused() {
    let writer = |column: Json| json!({"name": "mysqlwriter", "parameter": {"column": column, "connection": [{"jdbcUrl": "jdbc:mysql://h/d", "table": ["t"]}]}});
    fails(job(&mysql(&json!({})), &writer(json!(["id"]))), "the reader has 2 columns, and the writer 1");
    fails(job(&mysql(&json!({})), &writer(json!(["id", "ID"]))), "named twice");
}

#[test]
fn functions_run_in_order() {
    let with = |transformer: Json| {
        let mut root = job(&txt(&json!({"path": "/a", "column": ["*"]})), &into_files());
        root["job"]["content"][0]["transformer"] = transformer;
        root
    };
    let found =
        translated(with(json!([{"name": "dx_substr", "parameter": {"columnIndex": 0, "paras": ["0", "4"]}}]))).unwrap();
    let step = &only(&found).transform.steps[0];
    assert_eq!((step.function.as_str(), step.column_index, step.parameters.len()), ("dx_substr", 0, 2));
    assert!(only(&translated(with(json!([]))).unwrap()).transform.steps.is_empty());
    let digest = |words: [&str; 2]| {
        let step = json!([{"name": "dx_digest", "parameter": {"columnIndex": 0, "paras": words}}]);
        let notes = translated(with(step)).unwrap().notes;
        notes.iter().filter(|note| note.starts_with("dx_digest")).count()
    };
    assert_eq!([digest(["md5", "toUpperCase"]), digest(["MD5", "TOUPPERCASE"])], [0, 2]);
    // Columns are counted in the list of the reader, and not in the table.
    let mut root = job(&mysql(&json!({})), &into_files());
    root["job"]["content"][0]["transformer"] =
        json!([{"name": "dx_substr", "parameter": {"columnIndex": 1, "paras": ["0", "4"]}}]);
    let found = translated(root).unwrap();
    assert_eq!((query(only(&found)), only(&found).transform.select.len()), ("select id,v from num", 0));
    fails(with(json!([{"name": "dx_nope", "parameter": {"columnIndex": 0}}])), "dx_nope");
    fails(with(json!([{"name": "dx_substr", "parameter": {"paras": ["0", "4"]}}])), "columnIndex");
    let error = translated(with(json!([{"name": "dx_groovy", "parameter": {"code": "return record;"}}]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.hint().unwrap_or_default().contains("--sql"), "{error}");
}

#[test]
fn plugins_that_are_not_here_are_named() {
    let hdfs = json!({"name": "hdfsreader", "parameter": {}});
    let error = translated(job(&hdfs, &nothing())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error.to_string().contains("hdfsreader") && error.hint().unwrap_or_default().contains("hdfs dfs"),
        "{error}"
    );
    fails(job(&json!({"name": "nopereader", "parameter": {}}), &nothing()), "nopereader");
    // Writers that lose rows there, of which none runs here: traps 24, 32, 33, 41 and 42.
    for writer in
        ["mongodbwriter", "doriswriter", "starrockswriter", "hdfswriter", "clickhousewriter", "elasticsearchwriter"]
    {
        let error = translated(job(&mysql(&json!({})), &json!({"name": writer, "parameter": {}}))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(writer) && error.hint().is_some(), "{error}");
    }
}

/// Trap 17: between tables times go by the clock of the job, and those of MySQL by that of its server.
#[test]
fn between_tables_times_go_by_clocks() {
    let writer = |name: &str, url: &str| {
        let connection = json!([{"jdbcUrl": url, "table": ["t"]}]);
        json!({"name": name, "parameter": {"column": ["a", "b"], "connection": connection}})
    };
    let mut root = job(&mysql(&json!({})), &writer("postgresqlwriter", "jdbc:postgresql://h/d"));
    let zone = |root: &Json| only(&translated(root.clone()).unwrap()).transform.zone.clone();
    assert_eq!(zone(&root).as_deref(), Some("+08:00"));
    root["common"] = json!({"column": {"timeZone": "GMT-3"}});
    assert_eq!(zone(&root).as_deref(), Some("-03:00"));
    let found = translated(job(&mysql(&json!({})), &writer("mysqlwriter", "jdbc:mysql://h/d"))).unwrap();
    let options = [&only(&found).source, &only(&found).target].map(|place| place.options["timestamp"].clone());
    assert_eq!(options, [json!("server"), json!("server")]);
    let found = translated(job(&mysql(&json!({})), &into_files())).unwrap();
    let Job { source, transform, .. } = only(&found);
    assert_eq!((&source.options["timestamp"], &transform.zone), (&json!("clock"), &None));
}

/// Trap 18: parameters of a URL mean what they mean to its driver; those that mean nothing here are named.
#[test]
fn parameters_of_urls_are_taken_or_named() {
    let of = |product: &str, url: &str| {
        let connection = json!([{"jdbcUrl": [url], "table": ["t"]}]);
        let reader =
            json!({"name": format!("{product}reader"), "parameter": {"column": ["*"], "connection": connection}});
        let found = translated(job(&reader, &nothing())).unwrap();
        let named = |note: &String| Some(note.split_once(" are not known, and do nothing here: ")?.1.to_owned());
        let named: Vec<String> = found.notes.iter().filter_map(named).collect();
        (only(&found).source.options.clone(), named)
    };
    let mysql = "jdbc:mysql://a:1,b/d?useUnicode=true&characterEncoding=utf8&useSSL=true&verifyServerCertificate=true\
        &connectTimeout=2500&socketTimeout=1&serverTimezone=UTC&zeroDateTimeBehavior=convertToNull&odd=1";
    let (options, named) = of("mysql", mysql);
    let told = ["host", "port", "sslMode", "connectTimeout", "zeroDates"].map(|key| options[key].clone());
    assert_eq!(told, [json!("a,b"), json!("1,3306"), json!("VERIFY_CA"), json!(3), json!("null")]);
    assert_eq!(named, ["odd"]);
    let postgres = "jdbc:postgresql://h/d?currentSchema=s&ssl=true&sslmode=verify-full&sslrootcert=/ca.pem\
        &reWriteBatchedInserts=true&connectTimeout=7&odd=1";
    let (options, named) = of("postgresql", postgres);
    let told = ["options", "sslmode", "sslrootcert", "connectTimeout"].map(|key| options[key].clone());
    assert_eq!(told, [json!("-c search_path=s"), json!("verify-full"), json!("/ca.pem"), json!(7)]);
    assert_eq!(named, ["odd"]);
    let (options, named) =
        of("sqlserver", "jdbc:sqlserver://h;DatabaseName=d;encrypt=true;trustServerCertificate=false;odd=1");
    assert_eq!((options.get("tlsCheck"), named), (None, vec!["odd".to_owned()]));
}

#[test]
fn parameters_of_all_urls_are_named_once() {
    let side = |plugin: &str, parameters: &str| {
        let connection = json!([{"jdbcUrl": format!("jdbc:mysql://h/d?{parameters}"), "table": ["t"]}]);
        json!({"name": plugin, "parameter": {"column": ["a"], "connection": connection}})
    };
    let reader = side("mysqlreader", "useUnicode=true&odd=1&even=2");
    let writer = side("mysqlwriter", "rewriteBatchedStatements=true&useUnicode=true&odd=1");
    let found = translated(job(&reader, &writer)).unwrap();
    let told: Vec<&String> = found.notes.iter().filter(|note| note.contains("parameters of the URL")).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    let known = "these parameters of the URL do nothing here: rewriteBatchedStatements, useUnicode (the page ";
    assert!(told[0].starts_with(known), "{told:?}");
    assert_eq!(told[1], "these parameters of the URL are not known, and do nothing here: even, odd");
}

#[test]
fn other_products_go_through_their_own_doors() {
    let place = |plugin: &str, url: &str| {
        let reader = json!({"name": plugin, "parameter": {"username": "u", "password": "p@ss", "column": ["a"],
            "connection": [{"jdbcUrl": [url], "table": ["t"]}]}});
        only(&translated(job(&reader, &nothing())).unwrap()).source.clone()
    };
    let found = place("sqlserverreader", "jdbc:sqlserver://ms:1444;DatabaseName=shop");
    assert_eq!(found.connector, "mssql");
    assert_eq!(
        (&found.options["host"], &found.options["port"], &found.options["database"]),
        (&json!("ms"), &json!("1444"), &json!("shop"))
    );
    let found = place("oraclereader", "jdbc:oracle:thin:@//ora:1521/XE");
    assert_eq!(
        (found.connector.as_str(), &found.options["url"]),
        ("connectorx", &json!("oracle://u:p%40ss@ora:1521/XE"))
    );
    // Names have the case that the database gives them; ConnectorX only reads.
    assert_eq!(found.object, ObjectRef::Table("T".to_owned()));
    let writer = json!({"name": "oraclewriter", "parameter": {"username": "u", "password": "p@ss", "column": ["id", "\"Name\""],
        "connection": [{"jdbcUrl": "jdbc:oracle:thin:@ora:1521:XE", "table": ["shop.\"Order s\""]}]}});
    let found = translated(job(&mysql(&json!({})), &writer)).unwrap();
    let Job { target, transform, .. } = only(&found);
    assert_eq!((&target.object, target.connector.as_str()), (&ObjectRef::Table("SHOP.\"Order s\"".to_owned()), "odbc"));
    assert_eq!(target.options["url"], "odbc:?Driver=Oracle&DBQ=%2F%2Fora%3A1521%2FXE&UID=u&PWD=p%40ss");
    assert_eq!(transform.names, ["ID", "Name"]);
    assert!(found.notes.iter().any(|note| note.contains("goes through ODBC")), "{:?}", found.notes);
    let found = place("rdbmsreader", "jdbc:dm://dm:5236/DB");
    assert_eq!(found.object, ObjectRef::Table("T".to_owned()));
    assert_eq!(found.connector, "odbc");
    let url = found.options["url"].as_str().unwrap();
    assert!(url.contains("&SERVER=dm&TCP_PORT=5236&SCHEMA=DB&UID=u&PWD=p%40ss"), "{url}");
}

/// The parameters of the documented plugins (datax.md §5.2 to §5.5), but for those that only ftp and oss have.
#[test]
fn every_documented_parameter_is_known() {
    let connection = |url: Json| json!([{"jdbcUrl": url, "table": ["t"]}]);
    let reader = |name: &str, url: &str| {
        json!({"name": name, "parameter": {"username": "u", "password": "p", "connection": connection(json!([url])),
            "column": ["a"], "splitPk": "a", "splitFactor": 5, "where": "a > 1", "fetchSize": 1, "session": ["set a = 1"],
            "mandatoryEncoding": "", "preSql": ["select 0"], "checkSlave": false, "hint": "", "samplePercentage": 0.1,
            "weakRead": true, "readByPartition": true, "partitionName": "", "readBatchSize": -1}})
    };
    let writer = |name: &str, url: &str| {
        json!({"name": name, "parameter": {"username": "u", "password": "p", "connection": connection(json!(url)),
            "column": ["a"], "writeMode": "insert", "preSql": ["x"], "postSql": ["y"], "session": ["set a = 1"],
            "batchSize": 2048, "batchByteSize": 33_554_432, "emptyAsNull": true}})
    };
    let csv = json!({"safetySwitch": false, "skipEmptyRecords": true, "useTextQualifier": true, "textQualifier": "'", "trimWhitespace": true,
        "delimiter": ",", "recordDelimiter": ";", "escapeMode": 1, "comment": "#", "useComments": true});
    let text =
        txt(&json!({"path": ["/a"], "fieldDelimiter": ",", "encoding": "UTF-8", "compress": "", "skipHeader": false,
        "nullFormat": "\\N", "csvReaderConfig": csv, "bufferSize": 8192,
        "column": [{"index": 0, "type": "date", "format": "yyyy"}, {"value": "x", "type": "string"}]}));
    let files = |format: &str, more: &Json| {
        let parameter = json!({"fieldDelimiter": ",", "lineDelimiter": "\n", "encoding": "UTF-8", "compress": "gzip", "nullFormat": "",
            "dateFormat": "yyyy", "format": "yyyy", "fileFormat": format, "header": ["a", "b"], "byteEncoding": "base64", "suffix": ".x"});
        let mut writer = into_files_with(&parameter);
        writer["parameter"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        writer
    };
    let quoted = json!({"csvWriterConfig": {"forceQualifier": true, "useTextQualifier": true, "textQualifier": "'", "escapeMode": 1,
        "recordDelimiter": ";"}});
    let made = json!({"name": "streamreader", "parameter": {"sliceRecordCount": 1, "column": [
        {"value": "2024-01-02 00:00:00", "type": "date", "dateFormat": "yyyy-MM-dd HH:mm:ss"}, {"random": "1,2", "type": "long"}]}});
    let printed = json!({"name": "streamwriter", "parameter": {"print": true, "fieldDelimiter": ",", "path": "/o", "fileName": "f",
        "recordNumBeforeSleep": 1, "sleepTime": 1, "encoding": "UTF-8"}});
    let pairs = [
        (reader("mysqlreader", "jdbc:mysql://h/d"), writer("mysqlwriter", "jdbc:mysql://h/d")),
        (reader("postgresqlreader", "jdbc:postgresql://h/d"), writer("postgresqlwriter", "jdbc:postgresql://h/d")),
        (
            reader("oraclereader", "jdbc:oracle:thin:@h:1:d"),
            writer("sqlserverwriter", "jdbc:sqlserver://h:1;DatabaseName=d"),
        ),
        (text, files("csv", &quoted)),
        (made.clone(), files("sql", &json!({"table": "t", "quoteChar": "`", "commitSize": 10}))),
        (made, printed),
    ];
    for (reader, writer) in pairs {
        let tree = Tree::new(job(&reader, &writer), HashMap::new());
        translate(&tree).unwrap_or_else(|error| panic!("{reader} {writer}: {error}"));
        assert_eq!(tree.unasked(), Vec::<String>::new(), "{} {}", reader["name"], writer["name"]);
    }
}

/// DataX runs them for three products, and passes over them for all others.
#[test]
fn statements_of_a_session_are_run_where_datax_runs_them() {
    let of = |product: &str, url: &str| {
        let connection = |url: Json| json!([{"jdbcUrl": url, "table": ["t"]}]);
        let parameter = |url: Json| {
            json!({"username": "u", "password": "p", "column": ["a"], "session": ["alter session set x = 1;", "set y 2"],
                "connection": connection(url)})
        };
        let reader = json!({"name": format!("{product}reader"), "parameter": parameter(json!([url]))});
        let writer = json!({"name": format!("{product}writer"), "parameter": parameter(json!(url))});
        let found = translated(job(&reader, &writer)).unwrap();
        let Job { source, target, .. } = only(&found);
        assert_eq!(source.connector, target.connector, "{product}");
        let noted =
            found.notes.iter().filter(|note| note.starts_with("session: its statements are run for MySQL")).count();
        (source.options.get("session").cloned(), target.options.get("session").cloned(), noted)
    };
    let (one, list) = (json!("alter session set x = 1; set y 2"), json!(["alter session set x = 1", "set y 2"]));
    let both = |session: &Json| (Some(session.clone()), Some(session.clone()), 0);
    assert_eq!(of("mysql", "jdbc:mysql://h/d"), both(&one));
    assert_eq!(of("sqlserver", "jdbc:sqlserver://h:1433;DatabaseName=d"), both(&one));
    assert_eq!(of("oracle", "jdbc:oracle:thin:@h:1521:d"), both(&list));
    assert_eq!(of("postgresql", "jdbc:postgresql://h/d"), (None, None, 2));
    assert_eq!(of("rdbms", "jdbc:dm://h/d"), (None, None, 2));
}

/// All plugins that DataX has are here or known not to be.
#[test]
fn every_plugin_of_datax_is_known() {
    let readers = "stream txtfile ftp hdfs oss mysql drds postgresql sqlserver oracle sybase kingbasees gaussdb clickhouse doris \
        starrocks rdbms oceanbasev10 obhbase tdengine odps ots otsstream hbase094x hbase11x hbase11xsql hbase20xsql mongodb \
        cassandra datahub loghub tsdb opentsdb gdb";
    let writers = "stream txtfile ftp hdfs oss mysql drds postgresql sqlserver oracle sybase kingbasees gaussdb oscar rdbms \
        clickhouse adbmysql databend oceanbasev10 adbpg hologresjdbc ads doris starrocks selectdb elasticsearch mongodb cassandra \
        hbase094x hbase11x hbase11xsql hbase20xsql obhbase kudu odps ots ocs tsdb tdengine datahub loghub gdb neo4j milvus";
    let mut known = 0;
    for (stems, side) in [(readers, "reader"), (writers, "writer")] {
        for stem in stems.split_whitespace() {
            let here = ["stream", "txtfile"].contains(&stem) || rdbms::product_of(stem).is_some();
            let absent = LACKS.plugins.iter().any(|plugin| plugin.name == format!("{stem}{side}"));
            assert!(here != absent, "{stem}{side}: here {here}, absent {absent}");
            known += 1;
        }
    }
    assert_eq!(known, 34 + 44);
}

/// An empty text is no limit, as in DataX.
#[test]
fn an_empty_limit_is_none() {
    let of = |limit: Json| {
        let mut root = job(&txt(&json!({"path": "/a", "column": ["*"]})), &nothing());
        root["job"]["setting"]["errorLimit"] = limit;
        only(&translated(root).unwrap()).errors.max_errors
    };
    assert_eq!(of(json!({"record": "", "percentage": "0.5"})), Some(MaxErrors::Percent(50.0)));
    assert_eq!(of(json!({"record": "3", "percentage": ""})), Some(MaxErrors::Rows(3)));
    assert_eq!(of(json!({"record": "", "percentage": ""})), None);
}

/// Times lose what a table has no place for, as in DataX; what is written as text has the form that the job says.
#[test]
fn times_are_cut_for_tables_alone() {
    let writer = json!({"name": "mysqlwriter", "parameter": {"column": ["a", "b"], "connection": [
        {"jdbcUrl": "jdbc:mysql://h/d", "table": ["t"]}]}});
    let of = |writer: &Json| only(&translated(job(&mysql(&json!({})), writer)).unwrap()).finer_times;
    assert_eq!((of(&writer), of(&into_files())), (FinerTimes::Cut, FinerTimes::Refused));
}

/// Of several URLs those that are none are passed over; one alone is refused, and so is that of another product.
#[test]
fn urls_are_those_of_the_product() {
    let of = |urls: Json| {
        let connection = json!([{"table": ["t"], "jdbcUrl": urls}]);
        translated(job(&mysql(&json!({"connection": connection})), &nothing()))
    };
    let urls = json!(["jdbc:mysql://h:bad_port/d", "jdbc:mysql://h:3307/d", "jdbc:postgresql://h:5432/d"]);
    let found = of(urls).unwrap();
    assert_eq!(only(&found).source.options["port"], json!("3307"));
    for place in ["jdbcUrl.0", "jdbcUrl.2"] {
        let told = |note: &&String| note.contains(place) && note.contains("it is passed over");
        assert_eq!(found.notes.iter().filter(told).count(), 1, "{:?}", found.notes);
    }
    for url in ["jdbc:mysql://h:bad_port/d", "jdbc:postgresql://h:5432/d", "jdbc:clickhouse://h/d", "h:3306/d"] {
        let message = of(json!([url])).unwrap_err().to_string();
        assert!(message.contains("jdbcUrl.0") && message.contains("no URL of JDBC for MySQL"), "{message}");
    }
    // The scheme is that of the URL which is taken.
    let mut any = mysql(&json!({"connection": [{"table": ["t"], "jdbcUrl": ["none", "jdbc:dm://h:5236/d"]}]}));
    any["name"] = json!("rdbmsreader");
    let found = translated(job(&any, &nothing())).unwrap();
    assert!(only(&found).source.options["url"].as_str().unwrap().contains("DM8"));
    // Some products have schemes of their own.
    assert!(of(json!("jdbc:oceanbase://h:2883/d")).is_ok() && of(json!("jdbc:mariadb://h/d")).is_ok());
}

/// What is blank beside tables or queries says nothing; both of them are refused.
#[test]
fn a_blank_query_or_table_is_none() {
    let of = |table: Json, query: Json| {
        let connection = json!([{"table": table, "querySql": query, "jdbcUrl": ["jdbc:mysql://h/d"]}]);
        translated(job(&mysql(&json!({"connection": connection})), &nothing()))
    };
    for blank in [json!(""), json!([""]), json!([]), json!(" "), Json::Null] {
        let found = of(json!(["t"]), blank.clone()).unwrap();
        assert_eq!(only(&found).source.object, ObjectRef::Table("t".to_owned()), "{blank}");
        let found = of(blank.clone(), json!(["select 5"])).unwrap();
        assert_eq!(query(only(&found)), "select 5", "{blank}");
    }
    let message = of(json!(["t"]), json!("select 5")).unwrap_err().to_string();
    assert!(message.contains("both 'table' and 'querySql'"), "{message}");
}
