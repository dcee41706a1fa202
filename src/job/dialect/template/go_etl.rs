//! Example jobs of `go-etl`.

use serde_json::{Value as Json, json};

use super::{COLUMNS, Example, Templates};

/// Its plugins.
pub const GO_ETL: Templates = Templates {
    readers: &[
        Example { names: &["csvreader"], parameter: csv_reader },
        Example { names: &["xlsxreader"], parameter: xlsx_reader },
        Example {
            names: &[
                "mysqlreader",
                "postgresreader",
                "sqlserverreader",
                "sqlite3reader",
                "oraclereader",
                "db2reader",
                "dmreader",
            ],
            parameter: table_reader,
        },
    ],
    writers: &[
        Example { names: &["csvwriter"], parameter: csv_writer },
        Example { names: &["xlsxwriter"], parameter: xlsx_writer },
        Example {
            names: &[
                "mysqlwriter",
                "postgreswriter",
                "sqlserverwriter",
                "sqlite3writer",
                "oraclewriter",
                "db2writer",
                "dmwriter",
            ],
            parameter: table_writer,
        },
    ],
    around,
};

fn around(reader: &Json, writer: &Json) -> Json {
    json!({
        "core": {"container": {"job": {"id": 1}}},
        "job": {
            "setting": {
                "speed": {"channel": 2},
                "retry": {"type": "ntimes", "strategy": {"n": 3, "wait": "1s"}, "ignoreOneByOneError": false},
            },
            "content": [{"reader": reader, "writer": writer, "transformer": []}],
        },
    })
}

fn csv_reader(_: &str) -> Json {
    json!({
        "path": ["/data/in/orders.csv"],
        "column": [{"index": "3", "type": "time", "format": "yyyy-MM-dd"}],
        "encoding": "utf-8",
        "delimiter": ",",
        "nullFormat": "",
        "startRow": 2,
        "comment": "#",
        "compress": "",
    })
}

fn csv_writer(_: &str) -> Json {
    json!({
        "path": ["/data/out/orders.csv"],
        "column": [{"index": "3", "type": "time", "format": "yyyy-MM-dd"}],
        "encoding": "utf-8",
        "delimiter": ",",
        "nullFormat": "",
        "hasHeader": true,
        "header": COLUMNS,
        "compress": "",
    })
}

fn xlsx_reader(_: &str) -> Json {
    json!({
        "xlsxs": [{"path": "/data/in/orders.xlsx", "sheets": ["Sheet1"]}],
        "column": [{"index": "C", "type": "time", "format": "yyyy-MM-dd"}],
        "nullFormat": "",
        "startRow": 2,
    })
}

fn xlsx_writer(_: &str) -> Json {
    json!({
        "xlsxs": [{"path": "/data/out/orders.xlsx", "sheets": ["Sheet1"]}],
        "column": [{"index": "C", "type": "time", "format": "yyyy-MM-dd"}],
        "nullFormat": "",
        "hasHeader": true,
        "header": COLUMNS,
        "sheetRow": 1_000_000,
    })
}

fn table_reader(name: &str) -> Json {
    json!({
        "username": "ada",
        "password": "secret",
        "connection": connection(name),
        "column": COLUMNS,
        "where": "id > 0",
        "querySql": [],
        "trimChar": false,
    })
}

fn table_writer(name: &str) -> Json {
    json!({
        "username": "ada",
        "password": "secret",
        "connection": connection(name),
        "column": COLUMNS,
        "writeMode": "insert",
        "preSql": [],
        "postSql": [],
    })
}

/// The connection of the plugin `name`, as the driver has it that go-etl takes for the product.
fn connection(name: &str) -> Json {
    let product = name.trim_end_matches("reader").trim_end_matches("writer");
    match product {
        "mysql" => json!({"url": "tcp(host:3306)/shop", "table": {"db": "shop", "name": "orders"}}),
        "postgres" => {
            json!({"url": "postgres://host:5432/shop?sslmode=disable", "table": {"schema": "public", "name": "orders"}})
        }
        "sqlserver" => json!({
            "url": "sqlserver://host:1433?database=shop",
            "table": {"db": "shop", "schema": "dbo", "name": "orders"},
        }),
        "oracle" => {
            json!({"url": "connectString=\"host:1521/SHOP\"", "table": {"schema": "ADA", "name": "ORDERS"}})
        }
        "db2" => {
            json!({"url": "HOSTNAME=host;PORT=50000;DATABASE=SHOP", "table": {"schema": "ADA", "name": "ORDERS"}})
        }
        "dm" => json!({"url": "host:5236", "table": {"db": "SHOP", "name": "ORDERS"}}),
        _ => json!({"url": "/data/shop.db", "table": {"name": "orders"}}),
    }
}
