//! Avro files between this program and fastavro, which shares nothing with it: each reads what the other wrote.

use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};

use crate::program::{bash, copied, etl};
use crate::server;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/avro/files.py");

/// Runs fastavro in `folder`; see the script for its commands.
fn fastavro(folder: &Path, words: &[&str]) -> String {
    let Ok(python) = std::env::var("ETL_TEST_PYTHON") else {
        panic!("this test needs a Python with fastavro: run it by `tests/run`, which makes one");
    };
    let output = Command::new(python).arg(SCRIPT).args(words).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const TABLE: &str = r#"create table all_types (
    id bigint primary key, flag boolean, small smallint, number integer, single real, ratio double precision,
    price numeric(12,4), long_price numeric(76,38), name text, raw bytea, day date, at_time time,
    at timestamp, at_zone timestamptz, uid uuid, doc jsonb, took interval, numbers integer[], "a b" text);
    comment on column all_types.name is 'what "it" is called';
    insert into all_types values
    (1, true, -32768, 2147483647, 'NaN', '-0.0', -12345678.9012, -99999999999999999999999999999999999999.99999999999999999999999999999999999999,
     'say "hi", 雪 😀', '\x00ff', '0001-01-01', '23:59:59.999999', '9999-12-31 23:59:59.999999',
     '2024-02-29 12:34:56.123456+02', '0190163d-8694-739b-aea5-966c26f8ad91', '{"a": [1, null]}',
     '-1 year 2 days 00:00:00.000001', '{1,NULL,3}', 'x'),
    (2, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null),
    (9223372036854775807, false, 0, -1, 'infinity', '1e300', 0.0001, 0, '', '\x', '1969-12-31', '00:00:00',
     '1969-12-31 23:59:59', '0001-01-01 00:00:00+00', '00000000-0000-0000-0000-000000000000', '"x"',
     '1 month 3 hours', '{}', '')"#;

/// What fastavro says of the rows of [`TABLE`].
const ROWS: &str = r#"[1, True, -32768, 2147483647, nan, -0.0, Decimal('-12345678.9012'), Decimal('-99999999999999999999999999999999999999.99999999999999999999999999999999999999'), 'say "hi", 雪 😀', b'\x00\xff', datetime.date(1, 1, 1), datetime.time(23, 59, 59, 999999), datetime.datetime(9999, 12, 31, 23, 59, 59, 999999), datetime.datetime(2024, 2, 29, 10, 34, 56, 123456, tzinfo=datetime.timezone.utc), UUID('0190163d-8694-739b-aea5-966c26f8ad91'), '{"a": [1, null]}', '-1 years +2 days 00:00:00.000001', [1, None, 3], 'x']
[2, None, None, None, None, None, None, None, None, None, None, None, None, None, None, None, None, None, None]
[9223372036854775807, False, 0, -1, inf, 1e+300, Decimal('0.0001'), Decimal('0E-38'), '', b'', datetime.date(1969, 12, 31), datetime.time(0, 0), datetime.datetime(1969, 12, 31, 23, 59, 59), datetime.datetime(1, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), UUID('00000000-0000-0000-0000-000000000000'), '"x"', '1 mon 03:00:00', [], '']
"#;

#[test]
fn fastavro_reads_every_type_of_a_table_in_every_codec() {
    let (folder, url) = (tempfile::tempdir().unwrap(), server::postgres());
    let path = folder.path();
    server::psql(&url, TABLE);
    let source = format!("{url}#all_types");
    for codec in ["", "none", "deflate", "snappy", "zstd"] {
        let target = format!("from{codec}.avro{}", if codec.is_empty() { "" } else { "?compression=" });
        copied(path, &[&source, &format!("{target}{codec}"), "--verify", "checksum"]);
        assert_eq!(fastavro(path, &["read", &format!("from{codec}.avro")]), ROWS, "{codec}");
    }
    let schema: Json = serde_json::from_str(&fastavro(path, &["schema", "from.avro"])).unwrap();
    let field = |name: &str| schema["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).unwrap();
    assert_eq!(field("id")["type"], "long");
    assert_eq!(field("name")["doc"], "what \"it\" is called");
    assert_eq!(field("at_zone")["type"], json!(["null", {"type": "long", "logicalType": "timestamp-micros"}]));
    assert_eq!(field("a_x20b")["etl.name"], "a b");
    // And back, where the database says whether anything is another.
    copied(path, &["from.avro", &format!("{url}#back")]);
    let sql = "select a.id from all_types a full join back b using (id) \
               where (a.*)::text is distinct from (b.*)::text";
    assert_eq!(server::psql(&url, sql), "");
    let types = |table: &str| {
        server::psql(
            &url,
            &format!(
                "select attname, format_type(atttypid, atttypmod) from pg_attribute \
             where attrelid = '{table}'::regclass and attnum > 0 and attname <> 'took'"
            ),
        )
    };
    assert_eq!(types("back"), types("all_types"));
}

#[test]
fn parts_of_several_tasks_are_one_file_for_fastavro() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let lines: Vec<String> = (0..30_000).map(|id| format!("{id},name {id}\n")).collect();
    std::fs::write(path.join("a.csv"), format!("id,name\n{}", lines.concat())).unwrap();
    copied(path, &["a.csv", "a.avro", "-j", "2"]);
    copied(path, &["a.csv", "a.avro", "-j", "2", "--mode", "append"]);
    let expected = (0..30_000).map(|id| format!("[{id}, 'name {id}']\n")).collect::<Vec<_>>().concat();
    assert!(fastavro(path, &["read", "a.avro"]) == expected.repeat(2), "the rows are others");
    // Through a pipe, and as many files.
    let piped = bash(path, "$ETL copy -q a.csv - --to-format avro > b.avro && $ETL copy -q - b.csv < b.avro");
    assert_eq!((piped.code, piped.stderr.as_str()), (0, ""));
    assert!(std::fs::read(path.join("a.csv")).unwrap() == std::fs::read(path.join("b.csv")).unwrap());
    copied(path, &["a.csv", "parts/", "--to-format", "avro", "--verify", "checksum"]);
    copied(path, &["parts/", "c.csv"]);
    let sorted = bash(path, "sort a.csv | sha1sum; sort c.csv | sha1sum");
    let sums: Vec<&str> = sorted.stdout.lines().collect();
    assert_eq!(sums[0], sums[1]);
}

#[test]
fn every_type_that_fastavro_writes_arrives() {
    let (folder, url) = (tempfile::tempdir().unwrap(), server::postgres());
    let path = folder.path();
    for codec in ["null", "deflate", "snappy", "zstandard"] {
        let name = |rows: &str| format!("{rows}_{codec}");
        for rows in ["plain", "logical", "nested"] {
            let file = format!("{}.avro", name(rows));
            fastavro(path, &["write", &file, rows, codec]);
            copied(path, &[&file, &format!("{rows}.csv"), "--mode", "replace"]);
            let target = format!("{url}#{}", name(rows));
            match rows {
                "plain" => copied(path, &[&file, &target]),
                // PostgreSQL has no nanoseconds.
                "logical" => copied(path, &[&file, &target, "--drop", "at_nanos"]),
                _ => {}
            }
        }
        let text = |rows: &str| std::fs::read_to_string(path.join(format!("{rows}.csv"))).unwrap();
        assert_eq!(text("plain"), PLAIN, "{codec}");
        assert_eq!(text("logical"), LOGICAL, "{codec}");
        assert_eq!(text("nested"), NESTED, "{codec}");
        let table = name("logical");
        let same = format!(
            "select day = '1969-12-31', millis = '01:02:03.004', micros = '23:59:59.999999', \
             at_millis = '2024-02-29 12:34:56.789+00', at_micros = '2024-02-29 12:34:56.789123+00', \
             local_millis = '2024-02-29 12:34:56.789', local_micros = '2024-02-29 12:34:56.789123', \
             id = '0190163d-8694-739b-aea5-966c26f8ad91'::uuid, price = -12345678.9012, \
             long_price = -99999999999999999999999999999999999999.99999999999999999999999999999999999999, \
             took = '1 month 2 days 00:00:00.003'::interval from {table} where day < '2000-01-01'"
        );
        assert_eq!(server::psql(&url, &same), ["t"; 11].join("|"));
    }
}

const PLAIN: &str = "flag,small,large,single,ratio,name,raw,three,colour,either,number\n\
    true,-2147483648,9223372036854775807,1.5,-0.0,\"say \"\"hi\"\", 雪 😀\",\\x00ff,\\x616263,GREEN,7,1\n\
    ,2147483647,,0.0,1.0e300,\"\",\\x,\\x000000,RED,\"\"\"seven\"\"\",1099511627776\n\
    false,0,-9223372036854775808,-1.25,,,\\x78,\\x5c220a,RED,,-1\n";

const LOGICAL: &str = "day,millis,micros,at_millis,at_micros,at_nanos,local_millis,local_micros,id,price,long_price,took\n\
    1969-12-31,01:02:03.004,23:59:59.999999,2024-02-29 12:34:56.789+00:00,2024-02-29 12:34:56.789123+00:00,\
    1969-12-31 23:59:59.999999999+00:00,2024-02-29 12:34:56.789,2024-02-29 12:34:56.789123,\
    0190163d-8694-739b-aea5-966c26f8ad91,-12345678.9012,\
    -99999999999999999999999999999999999999.99999999999999999999999999999999999999,1 mon 2 days 00:00:00.003\n\
    9999-12-31,00:00:00,00:00:00,0001-01-01 00:00:00+00:00,,2024-02-29 12:34:56.789123456+00:00,\
    9999-12-31 23:59:59.999,,00000000-0000-0000-0000-000000000000,0.0001,,00:00:00\n";

const NESTED: &str = "list,map,inner,again\n\
    \"[1,null,3]\",\"{\"\"k\"\":1,\"\"\"\":-1}\",\"{\"\"a\"\":1,\"\"b\"\":\"\"x\"\"}\",\n\
    [],{},,\"{\"\"a\"\":2,\"\"b\"\":null}\"\n";

#[test]
fn rows_are_appended_to_a_file_of_fastavro_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for (rows, codec) in [("nested", "deflate"), ("logical", "zstandard"), ("many", "snappy"), ("many", "null")] {
        fastavro(path, &["write", "old.avro", rows, codec]);
        let before = fastavro(path, &["read", "old.avro"]);
        let schema = fastavro(path, &["schema", "old.avro"]);
        std::fs::copy(path.join("old.avro"), path.join("source.avro")).unwrap();
        copied(path, &["source.avro", "old.avro", "--mode", "append", "-j", "2", "--verify", "checksum"]);
        assert!(fastavro(path, &["read", "old.avro"]) == before.repeat(2), "{rows}");
        assert_eq!(fastavro(path, &["schema", "old.avro"]), schema, "{rows}");
    }
    // A union is only read.
    fastavro(path, &["write", "plain.avro", "plain", "null"]);
    let bytes = std::fs::read(path.join("plain.avro")).unwrap();
    std::fs::copy(path.join("plain.avro"), path.join("more.avro")).unwrap();
    let refused = etl(path, &["copy", "-q", "more.avro", "plain.avro", "--mode", "append"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("cannot be appended to this Avro file"), "{}", refused.stderr);
    assert!(std::fs::read(path.join("plain.avro")).unwrap() == bytes);
}
