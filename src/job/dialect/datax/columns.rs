//! The column types of plugins that read text or make rows, and the plugins that are not here.

use crate::error::Result;
use crate::job::tree::Node;

/// The types of columns, whatever their case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Long,
    Double,
    Bool,
    Date,
    Bytes,
}

/// The type that `column` says; text where it says none.
pub(super) fn kind(column: &Node<'_>) -> Result<Kind> {
    let Some(node) = column.get("type") else { return Ok(Kind::Text) };
    Ok(match node.text()?.to_lowercase().as_str() {
        "string" => Kind::Text,
        "long" | "int" | "integer" => Kind::Long,
        "double" => Kind::Double,
        "bool" | "boolean" => Kind::Bool,
        "date" => Kind::Date,
        "bytes" => Kind::Bytes,
        other => {
            return Err(node
                .error(format!("there is no column type {other:?}"))
                .with_hint("the types are string, long, double, boolean, date and bytes"));
        }
    })
}

/// Plugins that are known and not here, by the begin of their names, and what to use in their place.
pub(super) const PLUGINS: &[(&str, &str)] = &[
    ("ftp", "copy the files with sftp or curl, and read them with txtfilereader"),
    ("oss", "copy the objects with ossutil, and read them with txtfilereader"),
    ("hdfs", "copy the files with hdfs dfs -get or -put; etl copy reads and writes Parquet, Avro and text"),
    ("hbase", "export the table to files, and copy these"),
    ("obhbase", "export the table to files, and copy these"),
    ("mongodb", "export the collection with mongoexport, and copy the JSON lines"),
    ("elasticsearch", "write JSON lines, and load them with the bulk interface"),
    ("clickhouse", "use etl copy with clickhouse://host/database"),
    ("doris", "write CSV, and load it with a stream load"),
    ("starrocks", "write CSV, and load it with a stream load"),
    ("selectdb", "write CSV, and load it with COPY INTO"),
    ("databend", "write Parquet, and load it with COPY INTO"),
    ("kudu", "write Parquet, and load it with Impala"),
    ("cassandra", "use COPY of cqlsh, and copy the CSV files"),
    ("odps", "use tunnel download or upload of odpscmd, and copy the files"),
    ("ots", "export the table to files, and copy these"),
    ("ocs", "nothing here writes to memcached"),
    ("tsdb", "nothing here speaks with a time series database"),
    ("opentsdb", "nothing here speaks with a time series database"),
    ("tdengine", "export the table to CSV, and copy that"),
    ("datahub", "nothing here reads or writes DataHub"),
    ("loghub", "nothing here reads or writes log services"),
    ("gdb", "nothing here reads or writes graph databases"),
    ("neo4j", "write CSV, and load it with LOAD CSV"),
    ("milvus", "write Parquet, and load it with a bulk insert"),
    ("ads", "write CSV files, and load them there"),
    ("adb", "use mysqlwriter or postgresqlwriter for AnalyticDB"),
    ("hologres", "use postgresqlwriter"),
    ("sybase", "use etl copy with odbc:"),
    ("oscar", "use etl copy with odbc:"),
];
