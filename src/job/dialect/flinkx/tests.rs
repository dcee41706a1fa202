use std::collections::HashMap;

use serde_json::{Value as Json, json};

use super::super::datax::DATAX;
use super::*;
use crate::job::{
    Highest, LogFile, LogLevel, MaxErrors, NullCursor, OnError, RejectsFormat, RetryGrowth, Speed, TextKind,
};
use crate::merge::{Duplicates, KeyOf, Merge, Rest};
use crate::object::ObjectRef;
use crate::sink::SchemaPolicy;

fn translated(root: Json) -> Result<Translation> {
    translate(&Tree::new(root, HashMap::new()))
}

fn job(reader: &Json, writer: &Json) -> Json {
    json!({"job": {"setting": {}, "content": [{"reader": reader, "writer": writer}]}})
}

fn with(mut root: Json, key: &str, block: Json) -> Json {
    root["job"]["setting"][key] = block;
    root
}

/// `parameter` with the keys of `more`.
fn merged(mut parameter: Json, more: &Json) -> Json {
    for (key, value) in more.as_object().unwrap() {
        parameter[key] = value.clone();
    }
    parameter
}

fn mysql(more: &Json) -> Json {
    let parameter = json!({"username": "u", "password": "p", "column": ["id", "v"], "connection": [
        {"jdbcUrl": ["jdbc:mysql://db:3307/shop?useSSL=false"], "table": ["num"]}]});
    json!({"name": "mysqlreader", "parameter": merged(parameter, more)})
}

fn into(plugin: &str, url: &str, more: &Json) -> Json {
    let parameter = json!({"username": "u", "password": "p", "column": ["a", "b"],
        "connection": [{"jdbcUrl": url, "table": ["t"]}]});
    json!({"name": plugin, "parameter": merged(parameter, more)})
}

fn into_postgres(more: &Json) -> Json {
    into("postgresqlwriter", "jdbc:postgresql://h/d", more)
}

fn nothing() -> Json {
    json!({"name": "streamwriter", "parameter": {"print": false}})
}

fn made() -> Json {
    json!({"name": "streamreader", "parameter": {"sliceRecordCount": ["3"], "column": [{"name": "id", "type": "id"}]}})
}

fn only(translation: &Translation) -> &Job {
    assert_eq!(translation.jobs.len(), 1);
    &translation.jobs[0]
}

fn fails(root: Json, message: &str) {
    let error = translated(root).unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
}

fn noted(translation: &Translation, text: &str) {
    assert!(translation.notes.iter().any(|note| note.contains(text)), "{text}: {:?}", translation.notes);
}

#[test]
fn jobs_are_known_by_what_datax_has_not() {
    let recognizes = recognition::recognizes;
    let shared = job(&mysql(&json!({})), &into_postgres(&json!({})));
    // Of both: it stays DataX's.
    assert!(!recognizes(&shared) && (DATAX.recognizes)(&shared));
    let settings = ["restore", "restart", "dirty", "log", "metricPluginConf"];
    for block in settings.map(|key| (key, json!({}))).into_iter().chain([("speed", json!({"bytes": 0}))]) {
        assert!(recognizes(&with(shared.clone(), block.0, block.1)), "{}", block.0);
    }
    let polling = job(&mysql(&json!({"polling": false})), &nothing());
    let columns = job(&mysql(&json!({"column": [{"name": "id", "type": "int"}]})), &nothing());
    let key = job(&mysql(&json!({})), &into_postgres(&json!({"updateKey": {}})));
    let named = job(&json!({"name": "mysqldreader"}), &nothing());
    let later = job(&json!({"name": "mysqlsource"}), &json!({"name": "mysqlsink"}));
    for file in [polling, columns, key, named, later, job(&made(), &nothing())] {
        assert!(recognizes(&file), "{file}");
    }
    let datax = json!({"name": "streamreader", "parameter": {"sliceRecordCount": 3, "column": [
        {"value": "x", "type": "string"}, {"random": "1,2", "type": "long"}]}});
    assert!(!recognizes(&job(&datax, &nothing())));
    // The plugins of go-etl have no word for their side.
    assert!(!recognizes(&with(job(&json!({"name": "mysql"}), &json!({"name": "csv"})), "log", json!({}))));
    assert!(!recognizes(&json!({"source": "a", "target": "b"})));
}

#[test]
fn columns_have_three_forms() {
    let of = |column: Json| {
        let writer = into_postgres(&json!({"column": ["*"]}));
        let found = translated(job(&mysql(&json!({"column": column})), &writer)).unwrap();
        (only(&found).source.object.clone(), only(&found).transform.columns.clone())
    };
    let table = || ObjectRef::Table("num".to_owned());
    assert_eq!(of(json!(["*"])), (table(), Vec::new()));
    assert_eq!(of(json!(["id", "`v`"])), (table(), vec![SourceColumn::named("id"), SourceColumn::named("v")]));
    let objects = json!([
        {"name": "id", "type": "BIGINT(20)", "key": "id"},
        {"name": "day", "type": "date", "format": "dd.MM.yyyy"},
        {"name": "v", "type": "varchar", "value": ""},
        {"value": 7, "type": "int"},
        {"name": "price", "type": "decimal(10,2)", "format": "ignored"}]);
    let kind = |name: &str, kind: TextKind| SourceColumn { kind: Some(kind), ..SourceColumn::named(name) };
    let expected = vec![
        kind("id", TextKind::Whole),
        SourceColumn { format: Some("%d.%m.%Y".to_owned()), ..kind("day", TextKind::Moment) },
        SourceColumn { value: Some(String::new()), ..SourceColumn::named("v") },
        SourceColumn { value: Some("7".to_owned()), ..kind("constant_4", TextKind::Whole) },
        SourceColumn::named("price"),
    ];
    assert_eq!(of(objects), (table(), expected));
    fails(
        job(&mysql(&json!({})), &into_postgres(&json!({"column": ["a"]}))),
        "the reader has 2 columns, and the writer 1",
    );
}

#[test]
fn rows_are_chosen_by_sql_of_the_source() {
    let of = |more: Json| {
        let found = translated(job(&mysql(&more), &nothing())).unwrap();
        let job = only(&found);
        assert_eq!(job.transform.columns.len(), 2);
        match &job.source.object {
            ObjectRef::Query(query) => query.clone(),
            other => other.to_string(),
        }
    };
    assert_eq!(of(json!({"where": " id > 3 or v = 1; "})), "select * from `num` where (id > 3 or v = 1)");
    assert_eq!(of(json!({"customSql": "select id, v from x;", "where": ""})), "select id, v from x");
    assert_eq!(of(json!({"customSql": "", "where": ""})), "num");
    let schema = json!([{"jdbcUrl": ["jdbc:mysql://h/d"], "schema": "other", "table": ["num", "two"]}]);
    assert_eq!(of(json!({"connection": schema, "where": "1"})), "select * from `other`.`num` where (1)");
}

#[test]
fn more_readers_than_one_need_a_key() {
    let speed = |speed: Json| with(job(&mysql(&json!({})), &nothing()), "speed", speed);
    fails(speed(json!({"channel": 3})), "3 channels need the key of the table in splitPk");
    fails(speed(json!({"channel": 1, "readerChannel": 2})), "2 channels need");
    let alone = translated(speed(json!({"channel": 4, "readerChannel": 1}))).unwrap();
    assert_eq!((only(&alone).limits.jobs, only(&alone).limits.writers), (Some(1), Some(4)));
    let keyed = job(&mysql(&json!({"splitPk": "id"})), &nothing());
    let found = translated(with(keyed, "speed", json!({"channel": "3", "readerChannel": -1}))).unwrap();
    assert_eq!((only(&found).limits.jobs, only(&found).limits.writers), (Some(3), None));
}

#[test]
fn shards_are_read_as_one_each_with_its_own_login() {
    let connections = json!([
        {"jdbcUrl": ["jdbc:mysql://a/one"], "table": ["t1", "t2"]},
        {"jdbcUrl": ["jdbc:mysql://b/two"], "table": ["t3"], "username": "v", "password": "q"}]);
    let mut reader = mysql(&json!({"connection": connections}));
    reader["name"] = json!("mysqldreader");
    let found = translated(with(job(&reader, &nothing()), "speed", json!({"channel": 2}))).unwrap();
    let job = only(&found);
    let places: Vec<_> = job
        .sources()
        .map(|place| (place.object.to_string(), place.options["host"].clone(), place.options["user"].clone()))
        .collect();
    let place = |table: &str, host: &str, user: &str| (table.to_owned(), json!(host), json!(user));
    assert_eq!(places, [place("t1", "a", "u"), place("t2", "a", "u"), place("t3", "b", "v")]);
    let mut grows = reader.clone();
    grows["parameter"]["increColumn"] = json!("id");
    fails(super::tests::job(&grows, &nothing()), "3 tables have one position");
    // Another reader takes the first table of the first connection.
    reader["name"] = json!("mysqlreader");
    let found = translated(super::tests::job(&reader, &nothing())).unwrap();
    assert_eq!((only(&found).source.object.to_string(), only(&found).union.len()), ("t1".to_owned(), 0));
    noted(&found, "only the first of 2 connections");
    noted(&found, "only the first of 2 tables");
}

#[test]
fn a_column_that_grows_makes_an_incremental_copy() {
    let of = |more: Json| translated(job(&mysql(&more), &nothing()));
    let plain = of(json!({"increColumn": "ID", "startLocation": "", "useMaxFunc": ""})).unwrap();
    let expected = Incremental { null_cursor: NullCursor::First, ..Incremental::by("id") };
    assert_eq!(only(&plain).incremental, Some(expected.clone()));
    assert_eq!(plain.again_after, None);
    let emptied = into_postgres(&json!({"preSql": ["truncate table t"]}));
    let emptied = translated(job(&mysql(&json!({"increColumn": "id"})), &emptied)).unwrap();
    noted(&emptied, "what preSql deletes does not come again");
    let from = of(json!({"increColumn": "1", "startLocation": 42, "useMaxFunc": true})).unwrap();
    let start = Some("42".to_owned());
    let expected = Incremental { cursor: "v".to_owned(), start, highest: Highest::Left, ..expected };
    assert_eq!(only(&from).incremental, Some(expected));
    assert!(of(json!({"increColumn": "x"})).unwrap_err().to_string().contains("x is none of the columns"));
    assert!(of(json!({"polling": true})).unwrap_err().to_string().contains("polling needs an increColumn"));
    let over = json!({"name": "textfilewriter", "parameter": {"path": "/out", "writeMode": "overwrite"}});
    fails(job(&mysql(&json!({"increColumn": "id"})), &over), "overwrite removes what earlier runs brought");
    let mut asked = job(&mysql(&json!({"increColumn": "id"})), &nothing());
    asked["job"]["content"][0]["reader"]["table"] = json!({"tableName": "t"});
    asked["job"]["content"][0]["transformer"] = json!({"transformSql": "select * from t"});
    fails(asked, "a transformSql is asked of all rows together");
    assert_eq!(only(&of(json!({"increColumn": ""})).unwrap()).incremental, None);
}

#[test]
fn polling_runs_again_and_never_ends() {
    let reader = mysql(&json!({"increColumn": "id", "polling": "true", "pollingInterval": 300}));
    let found = translated(job(&reader, &into_postgres(&json!({"postSql": ["select 1"]})))).unwrap();
    assert_eq!(found.again_after, Some(Duration::from_millis(300)));
    assert_eq!(only(&found).post_sql, Vec::<String>::new());
    noted(&found, "postSql is never run");
    let usual = translated(job(&mysql(&json!({"increColumn": "id", "polling": true})), &nothing())).unwrap();
    assert_eq!(usual.again_after, Some(Duration::from_secs(5)));
}

#[test]
fn write_modes_go_by_a_key_of_the_target() {
    let mode = |plugin: &str, url: &str, more: Json| {
        let found = translated(job(&mysql(&json!({})), &into(plugin, url, &more))).unwrap();
        (only(&found).mode.clone(), only(&found).schema)
    };
    let merge = |key: &[&str], rest: Rest| {
        let key = key.iter().map(|name| (*name).to_owned()).collect();
        let duplicates = Duplicates::LastArrived;
        WriteMode::Upsert(Merge { key, key_of: KeyOf::Target, rest, duplicates, ..Merge::default() })
    };
    let (mysql, sqlite) = (("mysqlwriter", "jdbc:mysql://h/d"), ("sqlitewriter", "jdbc:sqlite:/a.db"));
    let of = |(plugin, url): (&str, &str), more: Json| mode(plugin, url, more).0;
    assert_eq!(mode(mysql.0, mysql.1, json!({})), (WriteMode::Append, SchemaPolicy::Partial));
    assert_eq!(of(mysql, json!({"writeMode": "update"})), merge(&[], Rest::Kept));
    let keyed = json!({"writeMode": "update", "updateKey": {"key": ["a"]}});
    assert_eq!(of(mysql, keyed), merge(&["a"], Rest::Kept));
    assert_eq!(of(mysql, json!({"writeMode": "replace"})), merge(&[], Rest::Default));
    assert_eq!(of(sqlite, json!({"writeMode": "replace", "updateKey": ["b"]})), merge(&["b"], Rest::Kept));
    fails(job(&made(), &into_postgres(&json!({"writeMode": "overwrite"}))), "there is no write mode \"overwrite\"");
}

#[test]
fn oracle_is_written_through_odbc() {
    let found = translated(job(&mysql(&json!({})), &into("oraclewriter", "jdbc:oracle:thin:@h:1521:x", &json!({}))));
    assert_eq!(only(&found.unwrap()).target.connector, "odbc");
}

#[test]
fn rows_are_made_for_each_channel() {
    let of = |parameter: Json, channels: u64| {
        let reader = json!({"name": "streamreader", "parameter": parameter});
        let found = translated(with(job(&reader, &nothing()), "speed", json!({"channel": channels}))).unwrap();
        (only(&found).source.options.clone(), found.notes.clone())
    };
    let columns = json!([{"name": "id", "type": "id"}, {"name": "na?me", "type": "string", "value": "x"},
        {"name": "none", "type": "int", "value": "null"}, {"type": "date"}]);
    let (options, notes) = of(json!({"column": columns, "sliceRecordCount": ["2", 3]}), 2);
    assert_eq!(options["rows"], json!(5));
    assert_eq!(options["url"], json!("gen:\"id\":seq,\"na%3Fme\":text,\"none\":text~1,\"c4\":date"));
    assert_eq!(options["values"], json!({"na?me": "x"}));
    assert_eq!(notes, Vec::<String>::new());
    for counts in [json!([]), json!([2]), json!([2, 0])] {
        let (options, notes) = of(json!({"column": columns, "sliceRecordCount": counts}), 2);
        assert_eq!(options["rows"], json!(1_000_000_000_000_000_u64), "{notes:?}");
    }
    let (options, _) = of(json!({"column": columns, "sliceRecordCount": [i64::MAX, i64::MAX, i64::MAX]}), 3);
    assert_eq!(options["rows"], json!(1_000_000_000_000_000_u64), "their sum has more than 64 bits");
    let lists = json!({"name": "streamreader", "parameter": {"column": [{"type": "int[]"}]}});
    fails(job(&lists, &nothing()), "lists are not made here");
}

#[test]
fn text_is_parted_by_its_delimiter_alone() {
    let reader = json!({"name": "ftpreader", "parameter": {"protocol": "local", "path": "/in/a, /in/b",
        "fieldDelimiter": "\\001", "isFirstLineHeader": true, "encoding": "gbk", "column": [
            {"index": 2, "type": "int"}, {"name": "who", "type": "string"}, {"value": "x"},
            {"index": 0, "type": "date", "format": "dd.MM.yyyy"}, {"index": 3, "type": "decimal"}]}});
    let writer =
        json!({"name": "textfilewriter", "parameter": {"path": "/out", "fileName": "part", "writeMode": "overwrite"}});
    let found = translated(job(&reader, &writer)).unwrap();
    let job = only(&found);
    let options = &job.source.options;
    assert_eq!(
        (&options["url"], &options["paths"], &options["encoding"]),
        (&json!("/in/a"), &json!(["/in/b"]), &json!("gbk"))
    );
    let loose = &options["loose"];
    assert_eq!(
        (&loose["delimiter"], &loose["skipLines"], &loose["records"]),
        (&json!("\u{1}"), &json!(1), &json!("ragged"))
    );
    let fields = json!([
        {"name": "c1", "index": 2, "type": "whole", "null": ""},
        {"name": "who", "index": 1, "type": "text"},
        {"name": "c3", "value": "x", "type": "text"},
        {"name": "c4", "index": 0, "type": "moment", "format": "dd.MM.yyyy", "null": ""},
        {"name": "c5", "index": 3, "type": "number", "null": ""}]);
    assert_eq!(loose["fields"], fields);
    assert_eq!((&job.target.options["url"], &job.target.options["prefix"]), (&json!("/out/"), &json!("part")));
    assert_eq!((&job.target.options["loose"]["delimiter"], &job.mode), (&json!(","), &WriteMode::Replace));
    let far =
        json!({"name": "ftpreader", "parameter": {"protocol": "sftp", "host": "h", "path": "/a", "column": ["*"]}});
    fails(super::tests::job(&far, &nothing()), "files of other machines");
}

#[test]
fn the_whole_block_of_settings_is_understood() {
    let setting = json!({
        "speed": {"channel": 1, "readerChannel": -1, "writerChannel": -1, "bytes": 1_048_576, "rebalance": true},
        "errorLimit": {"record": 100, "percentage": 5},
        "dirty": {"path": "/tmp/dirty", "tableName": "t", "hadoopConfig": {"fs.default.name": "hdfs://ns1"}},
        "restore": {"isRestore": false, "isStream": false, "restoreColumnName": "id", "restoreColumnIndex": 0,
            "maxRowNumForCheckpoint": 10000, "restoreColumnType": "int"},
        "restart": {"strategy": "fixedDelay", "restartAttempts": 4, "delayInterval": 7},
        "log": {"isLogger": true, "level": "warn", "path": "/tmp/log", "pattern": "%d"},
        "metricPluginConf": {"pluginName": "prometheus"}});
    let mut root = job(&mysql(&json!({})), &into_postgres(&json!({})));
    root["job"]["setting"] = setting;
    let tree = Tree::new(root, HashMap::new());
    let found = translate(&tree).unwrap();
    assert_eq!(tree.unasked(), Vec::<String>::new());
    let Job { limits, errors, cut, .. } = only(&found);
    assert_eq!((limits.jobs, limits.speed), (Some(1), Speed { job_bytes: Some(1_048_576), ..Speed::default() }));
    assert_eq!((limits.retries, limits.retry_growth), (Some(4), RetryGrowth::Constant));
    assert_eq!((limits.retry_first_milliseconds, limits.retry_max_milliseconds), (Some(7000), Some(7000)));
    assert_eq!(
        (errors.on_error, errors.max_errors),
        (OnError::Skip, Some(MaxErrors::Both { rows: 100, percent: 5.0 }))
    );
    assert_eq!(errors.rejects.as_ref().map(|place| place.options["url"].clone()), Some(json!("/tmp/dirty/")));
    assert_eq!((errors.rejects_format, *cut), (RejectsFormat::Flinkx, Cut::Fastest));
    assert_eq!(
        found.log,
        Some(LogFile { path: "/tmp/log/job.log".to_owned(), bytes: LogFile::BYTES, level: LogLevel::Note })
    );
    for text in ["hadoopConfig", "restart: a task that fails is begun again 4 times", "pattern", "metricPluginConf"] {
        noted(&found, text);
    }
}

#[test]
fn refused_rows_are_limited_as_flinkx_limits_them() {
    let of = |block: Option<Json>| {
        let root = job(&made(), &nothing());
        let root = match block {
            Some(block) => with(root, "errorLimit", block),
            None => root,
        };
        let found = translated(root).unwrap();
        (only(&found).errors.on_error, only(&found).errors.max_errors)
    };
    assert_eq!(of(None), (OnError::Fail, None));
    assert_eq!(of(Some(json!({"record": 0}))), (OnError::Fail, None));
    assert_eq!(of(Some(json!({}))), (OnError::Skip, None));
    assert_eq!(of(Some(json!({"record": -1, "percentage": -1}))), (OnError::Skip, None));
    assert_eq!(of(Some(json!({"record": 10}))), (OnError::Skip, Some(MaxErrors::Rows(10))));
    assert_eq!(of(Some(json!({"percentage": 2.5}))), (OnError::Skip, Some(MaxErrors::Percent(2.5))));
    // The rows are kept, also where the first of them ends the job.
    let dirty = translated(with(job(&made(), &nothing()), "dirty", json!({"path": "/d"}))).unwrap();
    assert_eq!(
        (only(&dirty).errors.on_error, only(&dirty).errors.max_errors),
        (OnError::Skip, Some(MaxErrors::Rows(0)))
    );
    fails(with(job(&made(), &nothing()), "dirty", json!({"path": "hdfs://ns1/d"})), "to this machine alone");
    fails(with(job(&made(), &nothing()), "errorLimit", json!({"percentage": 101})), "between 0 and 100");
}

#[test]
fn what_is_gone_on_with_is_cut_by_key() {
    let restore = |reader: &Json, writer: &Json, more: Json| {
        translated(with(job(reader, writer), "restore", merged(json!({"isRestore": true}), &more)))
    };
    let found = restore(&mysql(&json!({})), &into_postgres(&json!({})), json!({"restoreColumnName": "ID"})).unwrap();
    assert_eq!((only(&found).cut, only(&found).errors.on_error), (Cut::ByKey, OnError::Fail));
    assert_eq!(only(&found).keep_stage, Toggle::On, "a failure is gone on with, too");
    let plain = translated(job(&mysql(&json!({})), &into_postgres(&json!({})))).unwrap();
    assert_eq!((only(&plain).cut, only(&plain).keep_stage), (Cut::Fastest, Toggle::Off));
    let message = |result: Result<Translation>| result.unwrap_err().to_string();
    let lacking = restore(&mysql(&json!({})), &into_postgres(&json!({})), json!({"restoreColumnName": "x"}));
    assert!(message(lacking).contains("x is none of the columns that are read"));
    assert!(message(restore(&made(), &into_postgres(&json!({})), json!({}))).contains("streamreader cannot be asked"));
    assert!(message(restore(&mysql(&json!({})), &nothing(), json!({}))).contains("streamwriter keeps nothing"));
}

#[test]
fn strategies_of_restart_take_effect() {
    let of = |block: Json| {
        let found = translated(with(job(&made(), &nothing()), "restart", block)).unwrap();
        (only(&found).limits.retries, only(&found).limits.retry_first_milliseconds)
    };
    assert_eq!(of(json!({})), (Some(5), Some(10_000)));
    assert_eq!(of(json!({"strategy": "failureRate", "delayInterval": 1})), (Some(2), Some(1000)));
    let rate = json!({"strategy": "failureRate", "failureRate": 3, "failureInterval": 20});
    let found = translated(with(job(&made(), &nothing()), "restart", rate)).unwrap();
    let limits = &only(&found).limits;
    assert_eq!((limits.retries, limits.retry_within_milliseconds), (Some(3), Some(20_000)));
    assert_eq!(of(json!({"strategy": "NoRestart"})).0, Some(0));
    fails(with(job(&made(), &nothing()), "restart", json!({"strategy": "x"})), "there is no strategy \"x\"");
    // It may stand in a parameter, too.
    let reader = mysql(&json!({"restart": {"restartAttempts": 1}}));
    assert_eq!(only(&translated(job(&reader, &nothing())).unwrap()).limits.retries, Some(1));
}

#[test]
fn a_select_runs_between_reader_and_writer() {
    let mut root = job(&made(), &into_postgres(&json!({})));
    root["job"]["content"][0]["reader"]["table"] = json!({"tableName": "orders"});
    root["job"]["content"][0]["writer"]["table"] = json!({"tableName": "sink"});
    root["job"]["content"][0]["transformer"] = json!({"transformSql": "select id, id + 1 as n from orders;"});
    let tree = Tree::new(root.clone(), HashMap::new());
    let found = translate(&tree).unwrap();
    assert_eq!(tree.unasked(), Vec::<String>::new());
    let transform = &only(&found).transform;
    assert_eq!(transform.sql.as_deref(), Some("select id, id + 1 as n from orders"));
    assert_eq!((transform.table.as_deref(), transform.names.len()), (Some("orders"), 2));
    root["job"]["content"][0]["reader"]["table"] = json!({});
    fails(root, "needs a table.tableName");
}

#[test]
fn plugins_that_are_not_here_are_named() {
    let absent = [
        ("binlogreader", "increColumn"),
        ("kafka10reader", "queues"),
        ("hdfssource", "hdfs dfs"),
        ("es6source", "export"),
    ];
    for (name, instead) in absent {
        let error = translated(job(&json!({"name": name, "parameter": {}}), &nothing())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(&format!("the plugin {name} is not here")), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains(instead)), "{error:?}");
    }
    let error = translated(job(&json!({"name": "myreader", "parameter": {}}), &nothing())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("there is no plugin myreader"), "{error}");
    // A writer that is called otherwise has the hint for writers.
    for name in ["eswriter", "essink", "es7writer"] {
        let error = translated(job(&made(), &json!({"name": name, "parameter": {}}))).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("bulk interface")), "{name}: {error:?}");
    }
}

/// Keys that do nothing are named, wherever they stand, and none is left for the warning of keys that nobody knows.
#[test]
fn nothing_is_passed_over_in_silence() {
    for key in lacks::LACKS.keys {
        let text = json!({"name": "textfilereader", "parameter": {"protocol": "file", "path": "/a", "column": ["*"]}});
        let file = json!({"name": "textfilewriter", "parameter": {"path": "/out"}});
        let described = mysql(&json!({"column": [{"name": "id"}, {"name": "v"}]}));
        let mut root = match key.of {
            lacks::READERS | lacks::WHOLE_READERS => job(&mysql(&json!({})), &nothing()),
            lacks::COLUMNS => job(&described, &nothing()),
            lacks::WRITERS => job(&mysql(&json!({})), &into_postgres(&json!({}))),
            lacks::TEXT => job(&text, &nothing()),
            lacks::TEXT_WRITERS => job(&made(), &file),
            _ => job(&made(), &nothing()),
        };
        let inside = match key.of {
            lacks::READERS | lacks::WHOLE_READERS | lacks::STREAM_READER | lacks::TEXT => "/content/0/reader/parameter",
            lacks::COLUMNS | lacks::STREAM_COLUMNS => "/content/0/reader/parameter/column/0",
            lacks::WRITERS | lacks::STREAM_WRITER | lacks::TEXT_WRITERS => "/content/0/writer/parameter",
            lacks::CONTENT => "/content/0",
            lacks::JOB => "",
            other => panic!("no job has {other}"),
        };
        let place = root["job"].pointer_mut(inside).unwrap();
        let path: Vec<&str> = key.key.split('.').collect();
        *path.iter().fold(place, |place, key| &mut place[*key]) = json!("x");
        let tree = Tree::new(root, HashMap::new());
        let found = translate(&tree).unwrap_or_else(|error| panic!("{}: {error}", key.key));
        let named = |note: &String| note.starts_with("these keys do nothing here: ") && note.contains(key.key);
        assert!(found.notes.iter().any(named), "{}: {:?}", key.key, found.notes);
        assert_eq!(tree.unasked(), Vec::<String>::new(), "{}", key.key);
    }
}

#[test]
fn rows_are_dealt_to_writers_where_it_is_asked_for() {
    let writers = |speed: Json, restore: bool| {
        let root = with(job(&mysql(&json!({"splitPk": "id"})), &into_postgres(&json!({}))), "speed", speed);
        let found = translated(with(root, "restore", json!({"isRestore": restore}))).unwrap();
        (only(&found).limits.jobs, only(&found).limits.writers)
    };
    assert_eq!(writers(json!({"channel": 4}), false), (Some(4), None));
    assert_eq!(writers(json!({"channel": 4, "rebalance": true}), false), (Some(4), Some(4)));
    assert_eq!(writers(json!({"channel": 1, "rebalance": true}), false), (Some(1), None));
    assert_eq!(writers(json!({"channel": 4, "readerChannel": -1, "writerChannel": 2}), false), (Some(4), Some(2)));
    assert_eq!(writers(json!({"channel": 8, "readerChannel": 1, "writerChannel": 4}), false), (Some(1), Some(4)));
    // Tasks of several splits together could not be gone on with.
    assert_eq!(writers(json!({"channel": 4, "rebalance": true}), true), (Some(4), None));
}

#[test]
fn a_server_has_so_long_to_answer() {
    let of = |more: Json| only(&translated(job(&mysql(&more), &nothing())).unwrap()).limits.answer_milliseconds;
    assert_eq!(of(json!({"queryTimeOut": 1000})), Some(1_000_000));
    assert_eq!(of(json!({"queryTimeOut": "7"})), Some(7000));
    for none in [json!({}), json!({"queryTimeOut": 0}), json!({"queryTimeOut": -1}), json!({"queryTimeOut": ""})] {
        assert_eq!(of(none), None);
    }
}
