//! Example jobs of `DataX`.

use serde_json::{Value as Json, json};

use super::super::product::Product;
use super::super::template::{COLUMNS, Example, Templates};
use super::rdbms::product_of;

/// Its plugins.
pub(super) const TEMPLATES: Templates = Templates {
    readers: &[
        Example { names: &["streamreader"], parameter: stream_reader },
        Example { names: &["txtfilereader"], parameter: text_reader },
        Example {
            names: &[
                "mysqlreader",
                "drdsreader",
                "oceanbasev10reader",
                "postgresqlreader",
                "gaussdbreader",
                "kingbaseesreader",
                "sqlserverreader",
                "oraclereader",
                "rdbmsreader",
            ],
            parameter: table_reader,
        },
    ],
    writers: &[
        Example { names: &["streamwriter"], parameter: stream_writer },
        Example { names: &["txtfilewriter"], parameter: text_writer },
        Example {
            names: &[
                "mysqlwriter",
                "drdswriter",
                "oceanbasev10writer",
                "adbmysqlwriter",
                "postgresqlwriter",
                "gaussdbwriter",
                "kingbaseeswriter",
                "sqlserverwriter",
                "oraclewriter",
                "rdbmswriter",
            ],
            parameter: table_writer,
        },
    ],
    around,
};

fn around(reader: &Json, writer: &Json) -> Json {
    json!({
        "core": {
            "container": {"job": {"reportInterval": 10_000}},
            "transport": {"channel": {"speed": {"byte": -1, "record": -1}}},
        },
        "common": {"column": {"timeZone": "GMT+8"}},
        "job": {
            "setting": {
                "speed": {"channel": 2, "byte": -1, "record": -1},
                "errorLimit": {"record": 0, "percentage": 0.02},
                "dryRun": false,
            },
            "content": [{"reader": reader, "writer": writer, "transformer": []}],
        },
    })
}

fn stream_reader(_: &str) -> Json {
    json!({
        "column": [
            {"type": "long", "random": "1,1000"},
            {"type": "string", "value": "anything"},
            {"type": "date", "value": "2024-01-02 03:04:05", "dateFormat": "yyyy-MM-dd HH:mm:ss"},
        ],
        "sliceRecordCount": 1000,
    })
}

fn stream_writer(_: &str) -> Json {
    json!({"print": true, "fieldDelimiter": "\t"})
}

fn text_reader(_: &str) -> Json {
    json!({
        "path": ["/data/in/*.csv"],
        "column": [
            {"index": 0, "type": "long"},
            {"index": 1, "type": "string"},
            {"index": 2, "type": "date", "format": "yyyy-MM-dd"},
        ],
        "encoding": "UTF-8",
        "compress": "",
        "fieldDelimiter": ",",
        "nullFormat": "\\N",
        "skipHeader": true,
        "csvReaderConfig": {
            "textQualifier": "\"",
            "useTextQualifier": true,
            "escapeMode": 1,
            "trimWhitespace": true,
            "skipEmptyRecords": true,
            "useComments": false,
            "comment": "#",
        },
    })
}

fn text_writer(_: &str) -> Json {
    json!({
        "path": "/data/out",
        "fileName": "orders",
        "writeMode": "truncate",
        "fileFormat": "csv",
        "fieldDelimiter": ",",
        "lineDelimiter": "\n",
        "encoding": "UTF-8",
        "compress": "",
        "nullFormat": "\\N",
        "dateFormat": "yyyy-MM-dd HH:mm:ss",
        "byteEncoding": "",
        "header": COLUMNS,
        "csvWriterConfig": {"textQualifier": "\"", "useTextQualifier": true, "forceQualifier": false, "escapeMode": 1},
    })
}

fn table_reader(name: &str) -> Json {
    let product = product(name);
    let mut parameter = json!({
        "username": "ada",
        "password": "secret",
        "column": COLUMNS,
        "where": "id > 0",
        "connection": [{"jdbcUrl": [product.example()], "table": ["orders"]}],
    });
    if product == Product::Mysql {
        parameter["session"] = json!(SESSION);
    }
    parameter
}

fn table_writer(name: &str) -> Json {
    let product = product(name);
    let mut parameter = json!({
        "username": "ada",
        "password": "secret",
        "column": COLUMNS,
        "emptyAsNull": true,
        "preSql": [],
        "postSql": [],
        "connection": [{"jdbcUrl": product.example(), "table": ["orders"]}],
    });
    if product == Product::Mysql {
        parameter["writeMode"] = "insert".into();
        parameter["session"] = json!(SESSION);
    }
    parameter
}

/// What connections to MySQL run first.
const SESSION: [&str; 1] = ["set session lock_wait_timeout = 60"];

/// The product of the plugin `name`.
fn product(name: &str) -> Product {
    let stem = name.trim_end_matches("reader").trim_end_matches("writer");
    product_of(stem).unwrap_or(Product::Generic)
}
