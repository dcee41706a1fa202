//! The plugins: what serves them here, and those that are not here.

use super::super::product::Product;
use super::unsupported;
use crate::error::{Error, Result};
use crate::job::tree::Node;

/// What serves a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plugin {
    /// Rows that are made; standard output, or nowhere.
    Stream,
    /// Delimited text.
    Text,
    /// Tables of a database.
    Tables(Product, Shards),
}

/// Which of the tables that a reader names are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shards {
    /// The first of the first connection.
    First,
    /// All of all connections.
    All,
}

/// A reader or a writer.
pub(super) struct Side<'a> {
    /// Its name, in small letters.
    pub(super) name: String,
    /// Where the name stands.
    pub(super) node: Node<'a>,
    pub(super) plugin: Plugin,
    pub(super) parameter: Node<'a>,
}

/// What the names of readers end with, here and with `ChunJun`.
pub(super) const READER: [&str; 2] = ["reader", "source"];
/// What the names of writers end with.
pub(super) const WRITER: [&str; 2] = ["writer", "sink"];

impl<'a> Side<'a> {
    pub(super) fn reader(node: &Node<'a>) -> Result<Self> {
        Self::of(node, READER)
    }

    pub(super) fn writer(node: &Node<'a>) -> Result<Self> {
        Self::of(node, WRITER)
    }

    fn of(side: &Node<'a>, words: [&str; 2]) -> Result<Self> {
        let node = side.need("name")?;
        let name = node.text()?.trim().to_lowercase();
        let served = stem(&name, words).and_then(plugin);
        let plugin = served.ok_or_else(|| unknown(&node, &name, words))?;
        Ok(Self { name, node, plugin, parameter: side.need("parameter")? })
    }
}

/// The name of a plugin without the word for its side; none where it has none.
pub(super) fn stem<'a>(name: &'a str, words: [&str; 2]) -> Option<&'a str> {
    words.into_iter().find_map(|word| name.strip_suffix(word)).filter(|stem| !stem.is_empty())
}

fn plugin(stem: &str) -> Option<Plugin> {
    let tables = |product| Plugin::Tables(product, Shards::First);
    Some(match stem {
        "stream" => Plugin::Stream,
        "textfile" | "txtfile" | "file" | "ftp" | "sftp" => Plugin::Text,
        "mysql" | "polardb" | "oceanbase" | "tidb" => tables(Product::Mysql),
        "mysqld" | "polardbd" => Plugin::Tables(Product::Mysql, Shards::All),
        "postgresql" | "greenplum" | "kingbase" | "opengauss" => tables(Product::Postgres),
        "sqlserver" => tables(Product::SqlServer),
        "oracle" => tables(Product::Oracle),
        "sqlite" => tables(Product::Sqlite),
        "clickhouse" => tables(Product::Clickhouse),
        "db2" | "dm" => tables(Product::Generic),
        _ => return None,
    })
}

/// A plugin that is not here: what to use in its place.
fn unknown(node: &Node<'_>, name: &str, words: [&str; 2]) -> Error {
    let known = stem(name, words).and_then(|stem| ABSENT.iter().find(|(plugin, _)| stem.starts_with(plugin)));
    match known {
        Some((_, instead)) => unsupported(node, format!("the plugin {name} is not here"), *instead),
        None => node.error(format!("there is no plugin {name}")).with_hint(
            "there are streamreader, textfilereader, mysqlreader, mysqldreader, postgresqlreader, sqlserverreader, \
             oraclereader, sqlitereader, clickhousereader, db2reader, dmreader, and the writers of the same names",
        ),
    }
}

const CHANGES: &str = "nothing here follows changes yet: read tables by increColumn and polling";
const QUEUE: &str = "nothing here reads or writes queues";
const DRIVER: &str = "use etl copy with odbc: and the driver of the database";
const HADOOP: &str = "copy the files with hdfs dfs -get or -put; etl copy reads and writes Parquet, Avro and text";
const LOADED: &str = "write CSV, and load it with a stream load";

/// Plugins that are known and not here, by the begin of their names, and what to use in their place.
pub(super) const ABSENT: &[(&str, &str)] = &[
    ("binlog", CHANGES),
    ("mysqlcdc", CHANGES),
    ("pgwal", CHANGES),
    ("oraclelogminer", CHANGES),
    ("logminer", CHANGES),
    ("sqlservercdc", CHANGES),
    ("oceanbasecdc", CHANGES),
    ("mongodboplog", CHANGES),
    ("oplog", CHANGES),
    ("kafka", QUEUE),
    ("upsert-kafka", QUEUE),
    ("emqx", QUEUE),
    ("pulsar", QUEUE),
    ("rabbitmq", QUEUE),
    ("rocketmq", QUEUE),
    ("socket", QUEUE),
    ("hdfs", HADOOP),
    ("hive", HADOOP),
    ("carbondata", HADOOP),
    ("hudi", HADOOP),
    ("iceberg", HADOOP),
    ("arctic", HADOOP),
    ("odps", "use tunnel download or upload of odpscmd, and copy the files"),
    ("hbase", "export the table to files, and copy these"),
    ("phoenix", DRIVER),
    ("kudu", "write Parquet, and load it with Impala"),
    ("cassandra", "use COPY of cqlsh, and copy the CSV files"),
    ("mongodb", "export the collection with mongoexport, and copy the JSON lines"),
    ("elasticsearch", "write JSON lines, and load them with the bulk interface"),
    ("es", "write JSON lines, and load them with the bulk interface"),
    ("solr", "write JSON lines, and post them to its update handler"),
    ("redis", "write text, and load it with redis-cli --pipe"),
    ("http", "fetch the answer with curl, and copy the JSON lines"),
    ("restapi", "fetch the answer with curl, and copy the JSON lines"),
    ("s3", "copy the objects with the tool of their store, and read them with textfilereader"),
    ("oss", "copy the objects with ossutil, and read them with textfilereader"),
    ("influxdb", "nothing here speaks with a time series database"),
    ("nebula", "nothing here reads or writes graph databases"),
    ("doris", LOADED),
    ("starrocks", LOADED),
    ("selectdb", "write CSV, and load it with COPY INTO"),
    ("gbase", DRIVER),
    ("saphana", DRIVER),
    ("teradata", DRIVER),
    ("vertica", DRIVER),
    ("sybase", DRIVER),
    ("inceptor", DRIVER),
    ("metadata", "etl schema shows the columns of a table"),
];
