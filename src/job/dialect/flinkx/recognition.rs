//! Whether a file is one of `FlinkX`. Its shape is that of `DataX`: what tells it apart are the keys that only it has.

use serde_json::Value as Json;

use super::plugins::{READER, WRITER, stem};

/// Plugins that `DataX` has not, by the whole of their names.
const OWN: &[&str] = &[
    "binlog",
    "carbondata",
    "emqx",
    "es",
    "file",
    "gbase",
    "greenplum",
    "hive",
    "kafka",
    "kafka09",
    "kafka10",
    "kafka11",
    "kingbase",
    "mongodboplog",
    "mysqld",
    "oplog",
    "opengauss",
    "oraclelogminer",
    "pgwal",
    "phoenix",
    "polardb",
    "polardbd",
    "pulsar",
    "redis",
    "saphana",
    "sqlite",
    "sqlservercdc",
    "teradata",
    "textfile",
];

/// Blocks of `job.setting`.
const SETTINGS: &[&str] = &["restore", "restart", "dirty", "log", "metricPluginConf", "metricPluginConfig"];
/// Keys of `job.setting.speed`.
const SPEEDS: &[&str] = &["bytes", "readerChannel", "writerChannel", "rebalance"];
/// Keys of readers of tables.
const READING: &[&str] = &[
    "polling",
    "pollingInterval",
    "increColumn",
    "startLocation",
    "useMaxFunc",
    "customSql",
    "requestAccumulatorInterval",
    "queryTimeOut",
];
/// Keys of writers of tables.
const WRITING: &[&str] = &["insertSqlMode", "updateKey", "uniqueKey", "allReplace"];

/// Whether reader or writer are named as its plugins are, and something says that they are not those of `DataX`.
pub(super) fn recognizes(root: &Json) -> bool {
    let content = &root["job"]["content"];
    let first = content.get(0).unwrap_or(content);
    let names = [("reader", READER), ("writer", WRITER)].map(|(side, words)| (name(&first[side]), words));
    let stems: Vec<&str> = names.iter().filter_map(|(name, words)| stem(name, *words)).collect();
    if stems.is_empty() {
        return false;
    }
    let (setting, reader, writer) = (&root["job"]["setting"], &first["reader"], &first["writer"]);
    let called = names.iter().any(|(name, [_, later])| name.ends_with(later));
    let has = |node: &Json, keys: &[&str]| keys.iter().any(|key| node.get(key).is_some());
    called
        || stems.iter().any(|stem| OWN.contains(stem))
        || has(setting, SETTINGS)
        || has(&setting["speed"], SPEEDS)
        || has(&reader["parameter"], READING)
        || has(&writer["parameter"], WRITING)
        || first["transformer"].get("transformSql").is_some()
        || [reader, writer].into_iter().any(|side| describes_columns(&side["parameter"]))
        || names[0].0.starts_with("stream") && makes_rows(&reader["parameter"])
}

/// The name of a side, in small letters.
fn name(side: &Json) -> String {
    side["name"].as_str().unwrap_or_default().trim().to_lowercase()
}

fn columns(parameter: &Json) -> impl Iterator<Item = &Json> {
    parameter["column"].as_array().into_iter().flatten()
}

/// Whether columns of a table are objects, where `DataX` has names.
fn describes_columns(parameter: &Json) -> bool {
    parameter.get("connection").is_some() && columns(parameter).any(Json::is_object)
}

/// Whether `parameter` of a `streamreader` says what only `FlinkX` understands: a number of rows for each channel, or columns of any value.
fn makes_rows(parameter: &Json) -> bool {
    let free = |column: &Json| column.is_object() && column.get("value").is_none() && column.get("random").is_none();
    parameter["sliceRecordCount"].is_array() || columns(parameter).any(free)
}
