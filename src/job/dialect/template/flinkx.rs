//! Example jobs of `FlinkX`.

use serde_json::{Value as Json, json};

use super::{COLUMNS, Example, Templates};

/// Its plugins.
pub const FLINKX: Templates = Templates {
    readers: &[
        Example { names: &["streamreader"], parameter: stream_reader },
        Example { names: &["ftpreader", "filereader", "textfilereader"], parameter: text_reader },
        Example {
            names: &["mysqlreader", "mysqldreader", "postgresqlreader", "sqlserverreader", "oraclereader"],
            parameter: table_reader,
        },
    ],
    writers: &[
        Example { names: &["streamwriter"], parameter: stream_writer },
        Example { names: &["ftpwriter", "filewriter", "textfilewriter"], parameter: text_writer },
        Example { names: &["mysqlwriter", "postgresqlwriter", "sqlserverwriter"], parameter: table_writer },
    ],
    around,
};

fn around(reader: &Json, writer: &Json) -> Json {
    json!({
        "job": {
            "setting": {
                "speed": {"channel": 1, "readerChannel": 1, "writerChannel": 1, "rebalance": false, "bytes": 0},
                "errorLimit": {"record": 0, "percentage": 0.0},
                "restore": {"isRestore": false},
                "restart": {"strategy": "fixedDelay", "restartAttempts": 5, "delayInterval": 10},
                "log": {"isLogger": false, "level": "info", "path": "/tmp/log/"},
            },
            "content": [{"reader": reader, "writer": writer}],
        },
    })
}

fn stream_reader(_: &str) -> Json {
    json!({
        "column": [
            {"name": "id", "type": "id"},
            {"name": "name", "type": "string", "value": "anything"},
            {"name": "day", "type": "date"},
        ],
        "sliceRecordCount": [1000],
    })
}

fn stream_writer(_: &str) -> Json {
    json!({"print": true})
}

/// Text is that of this machine, which FlinkX reads and writes with its plugins for FTP.
fn text_reader(_: &str) -> Json {
    json!({
        "protocol": "file",
        "path": "/data/in",
        "column": [
            {"index": 0, "name": COLUMNS[0], "type": "bigint"},
            {"index": 1, "name": COLUMNS[1], "type": "varchar"},
            {"index": 2, "name": COLUMNS[2], "type": "date", "format": "yyyy-MM-dd"},
        ],
        "fieldDelimiter": ",",
        "isFirstLineHeader": true,
        "encoding": "UTF-8",
    })
}

fn text_writer(_: &str) -> Json {
    json!({
        "protocol": "file",
        "path": "/data/out",
        "fileName": "orders",
        "writeMode": "append",
        "fieldDelimiter": ",",
        "encoding": "UTF-8",
        "compress": "gzip",
    })
}

fn table_reader(name: &str) -> Json {
    json!({
        "username": "ada",
        "password": "secret",
        "connection": [{"jdbcUrl": [url(name)], "table": ["orders"]}],
        "column": [
            {"name": COLUMNS[0], "type": "bigint"},
            {"name": COLUMNS[1], "type": "varchar"},
            {"name": COLUMNS[2], "type": "date"},
        ],
        "where": "id > 0",
        "customSql": "",
        "splitPk": COLUMNS[0],
        "increColumn": "",
        "polling": false,
        "pollingInterval": 5000,
    })
}

fn table_writer(name: &str) -> Json {
    json!({
        "username": "ada",
        "password": "secret",
        "connection": [{"jdbcUrl": url(name), "table": ["orders"]}],
        "column": COLUMNS,
        "writeMode": "insert",
        "preSql": [],
        "postSql": [],
    })
}

/// The URL of the database that the plugin `name` has.
fn url(name: &str) -> &'static str {
    match name.trim_end_matches("reader").trim_end_matches("writer") {
        "postgresql" => "jdbc:postgresql://host:5432/database",
        "sqlserver" => "jdbc:sqlserver://host:1433;DatabaseName=database",
        "oracle" => "jdbc:oracle:thin:@host:1521:sid",
        _ => "jdbc:mysql://host:3306/database",
    }
}
