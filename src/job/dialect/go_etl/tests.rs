use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::*;
use crate::job::syntax::{self, Syntax};
use crate::job::{Job, Limits, OnError, RetryGrowth, Speed};
use crate::merge::{Duplicates, KeyOf, Merge, Rest};
use crate::object::ObjectRef;
use crate::sink::{SchemaPolicy, WriteMode};

fn translated(root: Json) -> Result<Translation> {
    translate(&Tree::new(root, HashMap::new()))
}

fn job(reader: &Json, writer: &Json) -> Json {
    json!({"core": {"container": {"job": {"id": 1}}}, "job": {"content": [{"reader": reader, "writer": writer, "transformer": []}]}})
}

fn csv_reader(more: &Json) -> Json {
    plugin("csvreader", json!({"path": ["in.csv"]}), more)
}

fn csv_writer(more: &Json) -> Json {
    plugin("csvwriter", json!({"path": ["out.csv"]}), more)
}

fn mysql(side: &str, more: &Json) -> Json {
    let parameter = json!({"username": "u", "password": "p", "column": ["*"], "connection": {
        "url": "tcp(db:3307)/shop?parseTime=false", "table": {"db": "source", "name": "num"}}});
    plugin(&format!("mysql{side}"), parameter, more)
}

fn postgres(side: &str, more: &Json) -> Json {
    let parameter = json!({"username": "u", "password": "p@ss", "column": ["*"], "connection": {
        "url": "postgres://pg:5433/shop?sslmode=disable&connect_timeout=2", "table": {"schema": "public", "name": "num"}}});
    plugin(&format!("postgres{side}"), parameter, more)
}

fn plugin(name: &str, mut parameter: Json, more: &Json) -> Json {
    for (key, value) in more.as_object().unwrap() {
        parameter[key] = value.clone();
    }
    json!({"name": name, "parameter": parameter})
}

fn only(found: &Translation) -> &Job {
    assert_eq!(found.jobs.len(), 1);
    &found.jobs[0]
}

/// The source of one job, and its options.
fn source(reader: &Json) -> (Job, Json) {
    let found = translated(job(reader, &csv_writer(&json!({})))).unwrap();
    let job = only(&found).clone();
    let options = job.source.options.clone();
    (job, options)
}

fn target(writer: &Json) -> (Job, Json) {
    let found = translated(job(&csv_reader(&json!({})), writer)).unwrap();
    let job = only(&found).clone();
    let options = job.target.options.clone();
    (job, options)
}

fn query(job: &Job) -> &str {
    match &job.source.object {
        ObjectRef::Query(query) => query,
        other => panic!("{other} is no query"),
    }
}

fn fails(root: Json, message: &str) -> Error {
    let error = translated(root).unwrap_err();
    assert!(error.to_string().contains(message), "{error}");
    error
}

fn noted(found: &Translation, text: &str) -> bool {
    found.notes.iter().any(|note| note.contains(text))
}

#[test]
fn jobs_are_known_by_plugins_and_connections_that_datax_does_not_have() {
    let nothing = json!({"name": "streamwriter"});
    for reader in [csv_reader(&json!({})), json!({"name": "XLSXReader"}), json!({"name": "sqlite3reader"})] {
        assert!(recognizes(&job(&reader, &nothing)), "{reader}");
    }
    assert!(recognizes(&job(&nothing, &json!({"name": "postgreswriter"}))));
    assert!(recognizes(&job(&mysql("reader", &json!({})), &nothing)));
    let table = json!({"Connection": {"Table": {"name": "t"}}});
    assert!(recognizes(&json!({"Job": {"Content": {"Reader": {"Name": "dmreader", "Parameter": table}}}})));
    let jdbc = json!([{"jdbcUrl": ["jdbc:mysql://h/d"], "table": ["t"]}]);
    assert!(!recognizes(&job(&mysql("reader", &json!({"connection": jdbc})), &nothing)));
    assert!(!recognizes(&job(&json!({"name": "postgresqlreader"}), &json!({"name": "txtfilewriter"}))));
    assert!(!recognizes(&job(&json!({"name": "dmreader"}), &nothing)));
    assert!(!recognizes(&json!({"transfers": []})) && !recognizes(&json!(null)));
}

/// The jobs in a folder of the tests, each with the dialect that takes it for its own.
fn owners(folder: &str) -> Vec<(String, Option<&'static str>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jobs").join(folder);
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let json = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let owner = |path: std::path::PathBuf| {
        let parsed = syntax::parse(&std::fs::read_to_string(&path).unwrap(), Syntax::Json).ok()?;
        let owner = crate::job::dialect::DIALECTS.iter().find(|dialect| (dialect.recognizes)(&parsed.root));
        Some((path.display().to_string(), owner.map(|dialect| dialect.name)))
    };
    json.filter_map(owner).collect()
}

#[test]
fn neither_takes_the_files_of_the_other() {
    for (folder, name, least) in [("datax/jobs", "datax", 70), ("go-etl", "go-etl", 10)] {
        let found = owners(folder);
        assert!(found.len() >= least, "{} files", found.len());
        let others: Vec<_> = found.iter().filter(|(_, owner)| *owner != Some(name)).collect();
        assert!(others.is_empty(), "{others:?}");
    }
}

/// The documented jobs, and ours that follow them.
#[test]
fn every_job_of_the_tests_is_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jobs/go-etl");
    for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "json") {
            let parsed = syntax::parse(&std::fs::read_to_string(&file).unwrap(), Syntax::Json).unwrap();
            let found = translate(&parsed.into_tree());
            assert!(found.is_ok(), "{}: {}", file.display(), found.unwrap_err());
        }
    }
}

#[test]
fn text_is_read_by_the_place_of_columns() {
    let (job, options) = source(&csv_reader(
        &json!({"Path": ["a.txt"], "startrow": 2, "comment": "#", "delimiter": "\u{10}",
        "nullFormat": "\\N", "encoding": "gbk", "compress": "gz", "column": [
        {"index": "1", "type": "time", "format": "yyyy-MM-dd"}, {"index": 3, "type": "time", "format": "YYYY/MM/dd HH:mm"},
        {"index": "2", "type": "bigInt"}]}),
    ));
    let expected = json!({"format": "csv", "null": "\\N", "delimiter": "\u{10}", "encoding": "gbk", "header": false,
        "columnNames": "0", "columnsWhenEmpty": 1, "allStrings": true, "comment": "#", "skipRecords": 1,
        "casts": {"0": "date('yyyy-MM-dd')", "2": "timestamp('yyyy/MM/dd HH:mm')"}, "url": "in.csv"});
    assert_eq!(options, expected);
    // Dates are written as they were read.
    let dates = json!({"1": "yyyy-MM-dd", "3": "yyyy/MM/dd HH:mm"});
    assert_eq!(job.target.options["dateFormats"], dates);
    let bad = |more: Json, message: &str| {
        drop(fails(super::tests::job(&csv_reader(&more), &csv_writer(&json!({}))), message));
    };
    bad(json!({"column": ["*"]}), "job.content.0.reader.parameter.column.0");
    bad(json!({"column": [{"index": "0", "type": "string"}]}), "columns are counted from 1");
    bad(json!({"column": [{"index": "1", "type": "long"}]}), "no column type \"long\"");
    bad(json!({"column": [{"index": "1", "type": "time"}]}), "a time needs its format");
    bad(json!({"encoding": "latin1"}), "no encoding \"latin1\"");
    bad(json!({"compress": "xz"}), "no compression \"xz\"");
    bad(json!({"startRow": -1}), "rows are counted from 1");
    bad(json!({"path": [""]}), "the path is empty");
}

#[test]
fn text_is_written_anew_with_the_names_of_its_header() {
    let (job, options) = target(&csv_writer(&json!({"hasHeader": true, "header": ["a", "b"], "compress": "zip",
        "column": [{"index": "2", "type": "time", "format": "dd.MM.yyyy"}], "batchSize": 10, "batchTimeout": "1s"})));
    let expected = json!({"format": "csv", "null": "", "delimiter": ",", "header": true, "compression": "zip",
        "shortDecimals": true, "dateFormats": {"2": "dd.MM.yyyy"}, "url": "out.csv"});
    assert_eq!((options, &job.mode), (expected, &WriteMode::Replace));
    assert_eq!(job.transform.names, ["a", "b"]);
    let (job, options) = target(&csv_writer(&json!({"header": ["a", "b"], "path": "-"})));
    assert_eq!((options["header"].clone(), options["compression"].clone()), (json!(false), json!("none")));
    assert!(job.transform.names.is_empty());
    // What is a file there is one here.
    assert_eq!(options["url"], "./-");
}

#[test]
fn files_are_paired_by_their_place_or_come_into_one() {
    let two = csv_reader(&json!({"path": ["a", "b"]}));
    let found = translated(job(&two, &csv_writer(&json!({"path": ["c", "d"]})))).unwrap();
    let urls = |job: &Job| (job.source.options["url"].clone(), job.target.options["url"].clone());
    assert_eq!(found.jobs.iter().map(urls).collect::<Vec<_>>(), [(json!("a"), json!("c")), (json!("b"), json!("d"))]);
    let found = translated(job(&two, &postgres("writer", &json!({})))).unwrap();
    let options = &only(&found).source.options;
    assert_eq!((&options["paths"], options.get("columnsWhenEmpty")), (&json!(["b"]), None));
    // What go-etl refuses for its two parts: two files into one workbook.
    let book = plugin(
        "xlsxwriter",
        json!({"xlsxs": [{"path": "o.xlsx", "sheets": ["S1", "S2"]}], "sheetRow": 100}),
        &json!({}),
    );
    let found = translated(job(&two, &book)).unwrap();
    let target = &only(&found).target.options;
    assert_eq!((&target["sheet"], &target["sheets"]), (&json!("S1"), &json!(["S2"])));
    assert_eq!(
        (&target["sheetRows"], &target["url"], &target["header"]),
        (&json!(100), &json!("o.xlsx"), &json!(false))
    );
    fails(
        job(&two, &csv_writer(&json!({"path": ["c", "d", "e"]}))),
        "the reader gives 2 parts, and the writer names 3 files",
    );
    fails(job(&two, &csv_writer(&json!({"path": ["c", "c"]}))), "the writer names the file \"c\" twice");
    let books = json!({"xlsxs": [{"path": "o.xlsx", "sheets": ["S1"]}, {"path": "o.xlsx", "sheets": ["S2"]}]});
    fails(job(&two, &plugin("xlsxwriter", books, &json!({}))), "the writer names the file \"o.xlsx\" twice");
    let none = json!({"path": []});
    fails(job(&csv_reader(&none), &csv_writer(&none)), "the reader gives 0 parts, and the writer names 0 files");
    fails(job(&csv_reader(&none), &postgres("writer", &json!({}))), "the reader names nothing to read");
}

#[test]
fn sheets_of_a_workbook_are_one_source() {
    let reader = plugin(
        "xlsxreader",
        json!({"xlsxs": [{"path": "a.xlsx", "sheets": ["One", "Two"]}], "startRow": 3, "nullFormat": "-",
            "column": [{"index": "ab", "type": "time", "format": "yyyy-MM-dd"}]}),
        &json!({}),
    );
    let (job, options) = source(&reader);
    let expected = json!({"format": "xlsx", "null": "-", "header": false, "allStrings": true, "range": "A3:XFD",
        "casts": {"AB": "date('yyyy-MM-dd')"}, "url": "a.xlsx", "sheet": "One"});
    assert_eq!(options, expected);
    assert_eq!(job.union.iter().map(|place| place.options["sheet"].clone()).collect::<Vec<_>>(), [json!("Two")]);
    assert_eq!(job.target.options["dateFormats"], json!({"28": "yyyy-MM-dd"}));
    let plain = plugin("xlsxreader", json!({"xlsxs": [{"path": "a.xlsx", "sheets": ["One"]}]}), &json!({}));
    assert_eq!(source(&plain).1["null"], "");
    let bad = |xlsxs: Json, column: Json| plugin("xlsxreader", json!({"xlsxs": xlsxs, "column": column}), &json!({}));
    let with = |reader: Json| super::tests::job(&reader, &csv_writer(&json!({})));
    fails(with(bad(json!([{"path": "a", "sheets": []}]), json!([]))), "names of its sheets");
    fails(with(bad(json!([]), json!([{"index": "XFE", "type": "string"}]))), "no column of a sheet");
}

#[test]
fn a_table_is_read_whole_or_by_the_sql_of_its_columns() {
    let (plain, options) = source(&mysql("reader", &json!({"where": " ", "split": {"key": "id"}})));
    assert_eq!(plain.source.object, ObjectRef::Table("\"source\".\"num\"".to_owned()));
    let expected = json!({"url": "mysql:", "host": "db", "port": "3307", "database": "shop", "user": "u", "password": "p",
        "time": "duration", "timestamp": "clock"});
    assert_eq!(options, expected);
    let (named, _) = source(&mysql("reader", &json!({"column": ["id", "`V v`"]})));
    assert_eq!(
        (named.transform.select, named.source.object),
        (vec!["id".to_owned(), "V v".to_owned()], plain.source.object)
    );
    let (raw, _) = source(&mysql("reader", &json!({"column": ["id", "'x' as c"], "where": "id > 1 or v is null;"})));
    assert_eq!(query(&raw), "select id,'x' as c from `source`.`num` where (id > 1 or v is null)");
    let (folded, _) = source(&postgres("reader", &json!({"column": ["ID", "\"Id\""]})));
    assert_eq!(folded.source.object, ObjectRef::Table("\"public\".\"num\"".to_owned()));
    assert_eq!(
        query(&source(&postgres("reader", &json!({"column": ["ID", "\"Id\"", "null"]}))).0),
        "select ID,\"Id\" as Id_2,null as constant_3 from \"public\".\"num\""
    );
    // No table lists this column.
    assert_eq!(
        query(&source(&mysql("reader", &json!({"column": ["id", "rowid"]}))).0),
        "select id,rowid from `source`.`num`"
    );
    let queries = json!({"querySql": ["select 1;", "select 2"], "where": "x"});
    let found = translated(job(&mysql("reader", &queries), &postgres("writer", &json!({})))).unwrap();
    let union: Vec<_> = only(&found).union.iter().map(|place| place.object.clone()).collect();
    assert_eq!((query(only(&found)), union), ("select 1", vec![ObjectRef::Query("select 2".to_owned())]));
    assert!(noted(&found, "without where"));
    // Each is a part of its own.
    let found = translated(job(&mysql("reader", &queries), &csv_writer(&json!({"path": ["a", "b"]})))).unwrap();
    assert_eq!(found.jobs.len(), 2);
    fails(job(&mysql("reader", &json!({"column": []})), &csv_writer(&json!({}))), "column is empty");
    let error = fails(
        job(&mysql("reader", &json!({"connection": []})), &csv_writer(&json!({}))),
        "an object with url and table",
    );
    assert!(error.hint().unwrap().contains("--compat datax"));
}

#[test]
fn functions_count_the_columns_of_the_list() {
    let mut root = job(&mysql("reader", &json!({"column": ["id", "v"]})), &csv_writer(&json!({})));
    root["job"]["content"][0]["transformer"] =
        json!([{"name": "dx_substr", "parameter": {"columnIndex": 1, "paras": ["0", "4"]}}]);
    let found = translated(root.clone()).unwrap();
    assert_eq!((query(only(&found)), only(&found).transform.steps.len()), ("select id,v from `source`.`num`", 1));
    root["job"]["content"][0].as_object_mut().unwrap().remove("transformer");
    assert!(only(&translated(root).unwrap()).transform.steps.is_empty());
}

#[test]
fn a_preset_range_chooses_rows() {
    let of = |side: fn(&str, &Json) -> Json, kind: &str, left: &str, right: &str| {
        let split = json!({"key": "id", "timeAccuracy": "day", "range": {"type": kind, "left": left, "right": right, "layout": "x"}});
        translated(job(&side("reader", &json!({"split": split, "where": "a = 1"})), &csv_writer(&json!({}))))
    };
    let sql = |side: fn(&str, &Json) -> Json, kind: &str, left: &str, right: &str| {
        query(only(&of(side, kind, left, right).unwrap())).to_owned()
    };
    assert_eq!(
        sql(mysql, "bigInt", "100000", "900000"),
        "select * from `source`.`num` where (a = 1) and (`id` >= 100000 and `id` <= 900000)"
    );
    assert!(noted(&of(mysql, "bigInt", "1", "2").unwrap(), "outside of \"1\" to \"2\" are not read"));
    assert!(sql(mysql, "string", "a'b", "\\").ends_with("(`id` >= 'a''b' and `id` <= '\\\\')"));
    assert!(
        sql(postgres, "time", "2020-01-02", "2020-01-02 03:04:05.5")
            .ends_with("(\"id\" >= date '2020-01-02' and \"id\" <= timestamp '2020-01-02 03:04:05.5')")
    );
    for (kind, left, message) in [
        ("bigInt", "x", "split.range.left"),
        ("time", "2020/01/02", "no time that is understood"),
        ("float", "1", "no range of \"float\""),
    ] {
        assert!(of(mysql, kind, left, "1").unwrap_err().to_string().contains(message), "{kind}");
    }
    let found = translated(job(&mysql("reader", &json!({"split": {"key": "id"}})), &csv_writer(&json!({})))).unwrap();
    assert!(noted(&found, "split.key \"id\" is not needed"));
}

#[test]
fn columns_are_paired_by_their_place() {
    let (all, _) = target(&postgres("writer", &json!({"writeMode": "copyIn"})));
    assert_eq!((all.schema, &all.mode, all.transform.names.len()), (SchemaPolicy::ByPlace, &WriteMode::Append, 0));
    assert_eq!(all.target.object, ObjectRef::Table("\"public\".\"num\"".to_owned()));
    let (some, _) = target(&postgres("writer", &json!({"column": ["Id", "\"Name\""]})));
    assert_eq!((some.schema, some.transform.names), (SchemaPolicy::Partial, vec!["id".to_owned(), "Name".to_owned()]));
    assert_eq!(some.source.options["columnsWhenEmpty"], 2);
    let reader = mysql("reader", &json!({"column": ["a", "b", "c"]}));
    fails(job(&reader, &mysql("writer", &json!({"column": ["a", "b"]}))), "the reader has 3 columns, and the writer 2");
    fails(job(&reader, &mysql("writer", &json!({"column": ["a", "A", "c"]}))), "named twice");
    fails(job(&reader, &mysql("writer", &json!({"column": ["a", "b+1", "c"]}))), "names no column to write");
}

#[test]
fn write_modes_are_those_of_the_products() {
    let mode = |writer: &Json| translated(job(&csv_reader(&json!({})), writer)).map(|found| only(&found).mode.clone());
    let upsert = |sql: &str| json!({"writeMode": "upsert", "upsertSql": sql});
    assert_eq!(mode(&mysql("writer", &json!({"writeMode": ""}))).unwrap(), WriteMode::Append);
    let (key_of, duplicates, rest) = (KeyOf::Target, Duplicates::LastArrived, Rest::Default);
    let replace = Merge { duplicates, key_of, rest, ..Merge::default() };
    assert_eq!(mode(&mysql("writer", &json!({"writeMode": "Replace"}))).unwrap(), WriteMode::Upsert(replace));
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let duplicates = Duplicates::LastArrived;
    let merge = Merge { key: names(&["k"]), updates: Some(names(&["v"])), duplicates, ..Merge::default() };
    let sql = "on conflict (k) do update set v=excluded.v";
    assert_eq!(mode(&postgres("writer", &upsert(sql))).unwrap(), WriteMode::Upsert(merge));
    let error = mode(&postgres("writer", &upsert("on conflict do nothing"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.hint().unwrap().contains("on conflict (key) do update"), "{error}");
    assert!(
        mode(&postgres("writer", &json!({"writeMode": "upsert"})))
            .unwrap_err()
            .to_string()
            .contains("'upsertSql' is missing")
    );
    for (writer, modes) in [
        (mysql("writer", &json!({"writeMode": "copyIn"})), "insert and replace"),
        (postgres("writer", &json!({"writeMode": "replace"})), "insert, copyIn and upsert"),
    ] {
        assert!(mode(&writer).unwrap_err().hint().unwrap().contains(modes));
    }
}

#[test]
fn statements_beside_the_copy_are_no_selects() {
    let (job, _) = target(&mysql("writer", &json!({"preSQL": ["truncate t", " "], "postsql": "analyze table t"})));
    assert_eq!((job.pre_sql, job.post_sql), (vec!["truncate t".to_owned()], vec!["analyze table t".to_owned()]));
    let writer = mysql("writer", &json!({"preSql": [" SELECT 1"]}));
    fails(super::tests::job(&csv_reader(&json!({})), &writer), "job.content.0.writer.parameter.preSql.0");
}

#[test]
fn channels_are_reckoned_as_go_etl_reckons_them() {
    let limits = |speed: Json, core: Json| {
        let mut root = job(&csv_reader(&json!({})), &csv_writer(&json!({})));
        root["job"]["setting"] = json!({"speed": speed});
        root["core"]["transport"] = json!({"channel": {"speed": core}});
        translated(root).map(|found| (only(&found).limits.clone(), found.notes))
    };
    let of = |speed: Json, core: Json| {
        let (limits, _) = limits(speed, core).unwrap();
        (limits.jobs, limits.speed.job_bytes, limits.speed.channel_bytes)
    };
    let hundred = || json!({"byte": 100, "record": 100});
    // A number of channels wins; a speed in bytes is that of each of them, and one in records is none.
    assert_eq!(of(json!({"byte": 3000, "record": 400, "channel": 4}), hundred()), (Some(4), None, Some(3000)));
    assert_eq!(of(json!({"byte": 10000, "record": 5000, "channel": 1}), hundred()), (Some(1), None, Some(10000)));
    assert_eq!(of(json!({"byte": 10000, "record": 5000, "channel": 0}), hundred()), (Some(50), Some(10000), None));
    assert_eq!(of(json!({"byte": 50, "channel": -1}), json!({"byte": 100})), (Some(1), Some(50), None));
    assert_eq!(of(json!({"byte": 50, "channel": 0}), json!({})), (Some(1), Some(50), None));
    assert_eq!(of(json!({"byte": 0, "record": 1024, "channel": 4}), json!({})), (Some(4), None, None));
    assert_eq!(of(json!({}), json!({})), (None, None, None));
    assert_eq!(of(json!({"byte": 7}), json!({})), (Some(1), None, Some(7)));
    let (text, notes) = limits(json!({"channel": "4"}), json!({})).unwrap();
    assert_eq!(text, Limits { jobs: Some(4), speed: Speed::default(), ..Limits::default() });
    assert!(
        notes.iter().any(|note| note.contains("job.setting.speed.channel is a text: it is taken as 4")),
        "{notes:?}"
    );
    // Rows are no speed, so that nothing is limited.
    let (rows, notes) = limits(json!({"channel": 0, "record": 100}), json!({})).unwrap();
    assert_eq!(rows, Limits { jobs: Some(1), ..Limits::default() });
    assert!(!notes.iter().any(|note| note.contains("limit of the whole job")), "{notes:?}");
    let error = limits(json!({"channel": 0}), json!({})).unwrap_err();
    assert!(error.to_string().contains("job.setting.speed"), "{error}");
}

/// Keys that do nothing are named, wherever they stand and in whatever letters.
#[test]
fn nothing_is_passed_over_in_silence() {
    for key in lacks::LACKS.keys {
        let mut root = match key.of {
            lacks::READERS => job(&mysql("reader", &json!({})), &csv_writer(&json!({}))),
            _ => job(&csv_reader(&json!({})), &postgres("writer", &json!({}))),
        };
        let place = match key.of {
            lacks::SIDES | lacks::READERS => &mut root["job"]["content"][0]["reader"]["parameter"],
            lacks::WRITERS => &mut root["job"]["content"][0]["writer"]["parameter"],
            lacks::FILES => {
                root["job"]["content"][0]["writer"] = csv_writer(&json!({}));
                &mut root["job"]["content"][0]["writer"]["parameter"]
            }
            lacks::JOB => &mut root["job"],
            lacks::CORE => &mut root,
            other => panic!("no job has {other}"),
        };
        let path: Vec<&str> = key.key.split('.').collect();
        *path.iter().fold(place, |place, key| &mut place[*key]) = json!("x");
        let tree = Tree::new(root, HashMap::new());
        let found = translate(&tree).unwrap_or_else(|error| panic!("{}: {error}", key.key));
        assert!(
            noted(&found, "these keys do nothing here: ") && noted(&found, key.key),
            "{}: {:?}",
            key.key,
            found.notes
        );
        assert_eq!(tree.unasked(), Vec::<String>::new(), "{}", key.key);
    }
    let mut root = job(&csv_reader(&json!({})), &csv_writer(&json!({"BatchSize": 1})));
    root["core"]["container"] = json!({"job": {"id": 1}, "model": "job", "taskGroup": {"channel": 3}});
    root["core"]["transport"] = json!({"channel": {"speed": {"byte": 1}}});
    let tree = Tree::new(root, HashMap::new());
    let found = translate(&tree).unwrap();
    assert!(noted(&found, "these keys do nothing here: batchSize of the writer (the page "), "{:?}", found.notes);
    assert_eq!((only(&found).limits.group_channels, tree.unasked()), (Some(3), Vec::new()));
}

/// The parameters of the documented plugins (go-etl.md §1.1 to §1.6).
#[test]
fn every_documented_parameter_is_known() {
    let range = json!({"type": "bigInt", "left": "1", "right": "9", "layout": ""});
    let read = json!({"column": ["a"], "where": "a > 1", "trimChar": true,
        "split": {"key": "a", "timeAccuracy": "day", "range": range}});
    let written = json!({"column": ["a"], "batchSize": 1, "batchTimeout": "1s", "preSql": ["x"], "postSql": ["y"], "trimChar": true,
        "bulkOption": {"KeepNulls": true}});
    let mut upsert = written.clone();
    upsert["writeMode"] = "upsert".into();
    upsert["upsertSql"] = "on conflict (a) do nothing".into();
    let column = |index: &str| json!([{"index": index, "type": "time", "format": "yyyy-MM-dd"}]);
    let from_text = json!({"column": column("1"), "encoding": "gbk", "delimiter": ";", "nullFormat": "-", "startRow": 2, "comment": "#",
        "compress": "gz"});
    let into_text = json!({"column": column("1"), "encoding": "gbk", "delimiter": ";", "nullFormat": "-", "hasHeader": true,
        "header": ["a"], "compress": "gz", "batchSize": 1, "batchTimeout": "1s"});
    let books = json!({"xlsxs": [{"path": "a.xlsx", "sheets": ["S"]}], "column": column("A"), "nullFormat": "-"});
    let (from_book, into_book) = (
        plugin("xlsxreader", books.clone(), &json!({"startRow": 2})),
        plugin(
            "xlsxwriter",
            books,
            &json!({"hasHeader": true, "header": ["a"], "sheetRow": 9, "batchSize": 1, "batchTimeout": "1s"}),
        ),
    );
    let pairs = [
        (mysql("reader", &read), mysql("writer", &written)),
        (
            mysql("reader", &json!({"querySql": ["select 1"], "column": ["a"], "where": "x"})),
            postgres("writer", &upsert),
        ),
        (csv_reader(&from_text), csv_writer(&into_text)),
        (from_book, into_book),
    ];
    for (reader, writer) in pairs {
        let mut root = job(&reader, &writer);
        root["job"]["setting"] = json!({"pool": {"maxOpenConns": 8}, "speed": {"channel": 1, "byte": 10, "record": 10},
            "retry": {"type": "ntimes", "strategy": {"n": 1, "wait": "1s"}, "ignoreOneByOneError": true}});
        let tree = Tree::new(root, HashMap::new());
        translate(&tree).unwrap_or_else(|error| panic!("{reader} {writer}: {error}"));
        assert_eq!(tree.unasked(), Vec::<String>::new(), "{} {}", reader["name"], writer["name"]);
    }
}

/// Times by the clocks that the drivers take: that of the server, and for other products `loc`; between tables of PostgreSQL that of the
/// session for instants, and UTC for times without a zone.
#[test]
fn between_tables_times_go_by_clocks() {
    let of = |reader: &Json, writer: &Json| only(&translated(job(reader, writer)).unwrap()).clone();
    let mut reader = mysql("reader", &json!({}));
    let found = of(&reader, &postgres("writer", &json!({})));
    assert_eq!((found.transform.zone.as_deref(), &found.source.options["timestamp"]), (Some("UTC"), &json!("server")));
    for (place, zone) in [("Asia%2FShanghai", Some("Asia/Shanghai")), ("Local", None)] {
        reader["parameter"]["connection"]["url"] = format!("tcp(h:1)/d?loc={place}&parseTime=true").into();
        assert_eq!(of(&reader, &postgres("writer", &json!({}))).transform.zone.as_deref(), zone);
    }
    let found = of(&postgres("reader", &json!({})), &mysql("writer", &json!({})));
    assert_eq!((found.transform.zone.as_deref(), &found.target.options["timestamp"]), (Some("UTC"), &json!("server")));
    let told = |found: &Job| (found.transform.zone.clone(), found.source.options.get("timestamptz").cloned());
    assert_eq!(told(&found), (Some("UTC".to_owned()), None));
    assert_eq!(told(&of(&postgres("reader", &json!({})), &csv_writer(&json!({})))), (None, None));
    let found = of(&postgres("reader", &json!({})), &postgres("writer", &json!({})));
    assert_eq!(told(&found), (Some("UTC".to_owned()), Some(json!("server"))));
}

#[test]
fn attempts_and_rows_that_are_refused() {
    let of = |retry: Json| {
        let mut root = job(&csv_reader(&json!({})), &csv_writer(&json!({})));
        root["job"]["setting"] = json!({"retry": retry, "pool": {"maxOpenConns": 8}});
        let found = translated(root).unwrap();
        (only(&found).limits.clone(), only(&found).errors.on_error, found)
    };
    let limits = |retries, first, max, growth| Limits {
        retries: Some(retries),
        retry_first_milliseconds: Some(first),
        retry_max_milliseconds: Some(max),
        retry_growth: growth,
        ..Limits::default()
    };
    let (found, on_error, translation) =
        of(json!({"type": "ntimes", "strategy": {"n": 3, "wait": "1s"}, "ignoreOneByOneError": true}));
    assert_eq!((found, on_error), (limits(2, 1000, 1000, RetryGrowth::Constant), OnError::Skip));
    assert!(noted(&translation, "pool") && noted(&translation, "errors.rejects"));
    // 100, 200, 400, 800, 1600 and 3200 ms; the next would be more than 4 s.
    let (found, on_error, _) = of(json!({"type": "exponential", "strategy": {"init": "100ms", "max": "4s"}}));
    assert_eq!((found, on_error), (limits(6, 100, 4000, RetryGrowth::Doubling), OnError::Fail));
    let (found, ..) = of(json!({"type": "forever", "strategy": {"wait": "1m30s"}}));
    assert_eq!(found, limits(u32::MAX, 90_000, 90_000, RetryGrowth::Constant));
    let (found, _, translation) = of(json!({"type": "sometimes"}));
    assert_eq!(found, Limits::default());
    assert!(noted(&translation, "no way \"sometimes\" to try again"));
    assert!(noted(&of(json!({"type": "ntimes", "strategy": {"n": 3, "wait": 1}})).2, "is no time"));
}

#[test]
fn connections_are_told_as_options() {
    let url = |side: fn(&str, &Json) -> Json, url: &str| {
        let mut reader = side("reader", &json!({}));
        reader["parameter"]["connection"]["url"] = url.into();
        source(&reader).1
    };
    let options =
        url(mysql, "x:y@unix(/run/my.sock)/d%20b?tls=skip-verify&timeout=1500ms&time_zone=%27%2B08%3A00%27&a=1");
    let expected = json!({"url": "mysql:", "socket": "/run/my.sock", "database": "d b", "user": "u", "password": "p",
        "sslMode": "REQUIRED", "connectTimeout": 2, "session": "SET time_zone = '+08:00'; SET a = 1", "time": "duration",
        "timestamp": "clock"});
    assert_eq!(options, expected);
    assert_eq!(url(mysql, "tcp/d")["host"], "127.0.0.1");
    let options = url(
        postgres,
        "postgresql://x@[::1],h2:5433/shop?search_path=a%20b&application_name=me&read_timeout=1s&sslmode=require",
    );
    let expected = json!({"host": "::1,h2", "port": "5432,5433", "dbname": "shop", "user": "u", "password": "p@ss",
        "application_name": "me", "sslmode": "require", "options": "-c search_path=a\\ b"});
    assert_eq!(options, expected);
    let wrong = |side: fn(&str, &Json) -> Json, text: &str| {
        let mut reader = side("reader", &json!({}));
        reader["parameter"]["connection"]["url"] = text.into();
        let error = translated(job(&reader, &csv_writer(&json!({})))).unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert!(error.to_string().contains("job.content.0.reader.parameter.connection.url"), "{error}");
    };
    wrong(mysql, "u:s3cret@tcp(h:3306)");
    wrong(postgres, "host=h password=s3cret");
}

#[test]
fn other_products_go_through_their_own_doors() {
    let place = |plugin: &str, url: &str, table: Json| {
        let reader = json!({"name": format!("{plugin}reader"), "parameter": {"username": "u", "password": "p@ss",
            "column": ["*"], "connection": {"url": url, "table": table}}});
        source(&reader).0.source
    };
    let table = || json!({"db": "d", "schema": "S", "name": "T"});
    let found = place("sqlserver", "sqlserver://ms:1444?database=x&encrypt=disable&app+name=a", table());
    assert_eq!((found.connector.as_str(), &found.object), ("mssql", &ObjectRef::Table("\"S\".\"T\"".to_owned())));
    let expected = json!({"url": "mssql:", "host": "ms", "port": "1444", "database": "d", "user": "u", "password": "p@ss",
        "encrypt": "none", "tlsCheck": "none", "applicationName": "a"});
    assert_eq!(found.options, expected);
    let found = place("sqlite3", "/data/a.db?_busy_timeout=5000", json!({"name": "t"}));
    assert_eq!(
        (found.connector.as_str(), found.options),
        ("sqlite", json!({"url": "sqlite:/data/a.db", "busyTimeout": 5}))
    );
    let found = place("db2", "HOSTNAME=h;PORT=50000;DATABASE=testdb;AUTHENTICATION=SERVER", table());
    assert_eq!(found.connector, "odbc");
    let locator = found.options["url"].as_str().unwrap();
    assert!(
        locator.contains("Hostname=h&Port=50000&Database=testdb&UID=u&PWD=p%40ss&AUTHENTICATION=SERVER"),
        "{locator}"
    );
    let found = place("dm", "h:5237", table());
    assert_eq!(found.object, ObjectRef::Table("\"d\".\"T\"".to_owned()));
    assert!(found.options["url"].as_str().unwrap().contains("SERVER=h&TCP_PORT=5237&UID=u&PWD=p%40ss"));
    let oracle =
        "connectString=\"ora:1521/xe\" heterogeneousPool=false standaloneConnection=true timezone=\"Asia/Shanghai\"";
    let found = place("oracle", oracle, table());
    assert_eq!(
        (found.connector.as_str(), &found.options["url"]),
        ("connectorx", &json!("oracle://u:p%40ss@ora:1521/xe"))
    );
    let found = place("oracle", "connectString=\"(DESCRIPTION=(ADDRESS=(HOST=h)))\"", table());
    assert!(found.connector == "odbc" && found.options["url"].as_str().unwrap().contains("DBQ=%28DESCRIPTION"));
    // ConnectorX only reads.
    let writer = json!({"name": "oraclewriter", "parameter": {"username": "u", "password": "${PW}", "column": ["id"],
        "connection": {"url": oracle, "table": table()}}});
    let (written, options) = target(&writer);
    assert_eq!((written.target.connector.as_str(), &written.transform.names), ("odbc", &vec!["ID".to_owned()]));
    assert_eq!(options["url"], "odbc:?Driver=Oracle&DBQ=%2F%2Fora%3A1521%2Fxe&UID=u&PWD=${PW}");
    let reader = json!({"name": "sqlserverreader", "parameter": {"column": ["*"], "connection": {"url": "sqlserver://h/inst", "table": {"name": "t"}}}});
    fails(job(&reader, &csv_writer(&json!({}))), "reached by its port");
}

#[test]
fn what_is_not_done_is_said() {
    let mut root =
        job(&mysql("reader", &json!({"trimChar": true})), &mysql("writer", &json!({"batchSize": 10, "session": []})));
    let second = root["job"]["content"][0].clone();
    root["job"]["content"].as_array_mut().unwrap().push(second);
    root["core"]["container"]["job"]["sleepInterval"] = json!(100);
    let tree = Tree::new(root, HashMap::new());
    let found = translate(&tree).unwrap();
    assert_eq!(only(&found).transform.trim, Some(Trim::Padded));
    assert!(noted(&found, "only job.content.0 is run, as go-etl does; 1 others are not"));
    assert!(noted(&found, "these keys do nothing here: batchSize of the writer (the page "));
    // Keys that go-etl does not read either.
    assert_eq!(tree.unasked(), ["core.container.job.sleepInterval", "job.content.0.writer.parameter.session"]);
    let error = fails(
        job(&json!({"name": "mongodbreader", "parameter": {}}), &csv_writer(&json!({}))),
        "no plugin mongodbreader",
    );
    assert!(error.hint().unwrap().contains("sqlite3reader"));
    let mut part = job(&csv_reader(&json!({})), &csv_writer(&json!({})));
    part["core"]["container"]["model"] = json!("taskGroup");
    fails(part, "cut up");
}
