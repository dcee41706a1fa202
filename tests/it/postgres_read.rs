//! Reading from PostgreSQL, with psql saying what is true.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Schema, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_etl::attempt::{Attempt, Token};
use arrow_etl::connectors;
use arrow_etl::endpoint::{Endpoint, ObjectRef, OpenRequest, Session, Snapshot};
use arrow_etl::error::{ErrorKind, Result};
use arrow_etl::schema;
use arrow_etl::source::Pushdown::{Exact, None as Nothing};
use arrow_etl::source::{ReadPlan, Scan, Source, SplitGoal, TableShape};
use datafusion::prelude::{Expr, col, lit};
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::json;

use crate::server::{postgres, psql};

pub(crate) fn endpoint(url: &str) -> Arc<dyn Endpoint> {
    connectors::find("postgres").unwrap().endpoint(&json!({ "url": url })).unwrap()
}

fn request(object: &ObjectRef, readers: usize) -> OpenRequest {
    OpenRequest { objects: vec![object.clone()], readers, join: None }
}

pub(crate) fn attempt() -> Attempt {
    let token = Token { run: "r".into(), transfer: 0, sink: 0, epoch: 0 };
    Attempt::new(token, 0, vec![0])
}

pub(crate) fn scan(shape: &TableShape) -> Scan {
    Scan { schema: Arc::clone(&shape.schema), filters: vec![], limit: None, batch_rows: 1000, batch_bytes: 1 << 20 }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// An open source with its shape.
pub(crate) struct Open {
    pub(crate) session: Arc<dyn Session>,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) shape: TableShape,
}

pub(crate) async fn open(url: &str, object: &ObjectRef, readers: usize) -> Result<Open> {
    let session = endpoint(url).open(&request(object, readers)).await?;
    let source = session.source(object)?;
    let shape = source.describe().await?;
    Ok(Open { session, source, shape })
}

pub(crate) async fn table(url: &str, name: &str) -> Open {
    open(url, &ObjectRef::Table(name.into()), 1).await.unwrap()
}

impl Open {
    pub(crate) async fn plan(&self, scan: &Scan, split_bytes: u64, channels: usize) -> ReadPlan {
        self.source.plan(scan, &SplitGoal { split_bytes, channels }).await.unwrap()
    }

    /// All batches of all splits, `channels` at once.
    pub(crate) async fn read(&self, scan: &Scan, plan: &ReadPlan, channels: usize) -> Result<Vec<RecordBatch>> {
        let read = async |split| -> Result<Vec<RecordBatch>> {
            self.source.read(scan, split, &attempt()).await?.try_collect().await
        };
        let batches: Vec<_> = futures::stream::iter(&plan.splits).map(read).buffered(channels).try_collect().await?;
        Ok(batches.concat())
    }

    pub(crate) async fn all(&self, scan: &Scan) -> Result<Vec<RecordBatch>> {
        let plan = self.plan(scan, u64::MAX, 1).await;
        self.read(scan, &plan, 1).await
    }
}

pub(crate) fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from_digit(u32::from(digit), 16).unwrap()).collect()
}

/// One value as plain text: numbers of days and microseconds, bytes and floats as hex.
fn show(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return "NULL".into();
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float32 => hex(&array.as_primitive::<Float32Type>().value(row).to_be_bytes()),
        DataType::Float64 => hex(&array.as_primitive::<Float64Type>().value(row).to_be_bytes()),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value_as_string(row),
        DataType::Decimal256(..) => array.as_primitive::<Decimal256Type>().value_as_string(row),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Binary => hex(array.as_binary::<i32>().value(row)),
        DataType::FixedSizeBinary(_) => hex(array.as_fixed_size_binary().value(row)),
        DataType::Date32 => array.as_primitive::<Date32Type>().value(row).to_string(),
        DataType::Time64(_) => array.as_primitive::<Time64MicrosecondType>().value(row).to_string(),
        DataType::Timestamp(..) => array.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        DataType::Interval(_) => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            format!("{} {} {}", value.months, value.days, value.nanoseconds / 1000)
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>().value(row);
            let items: Vec<String> = (0..list.len()).map(|item| show(&list, item)).collect();
            format!("{{{}}}", items.join(","))
        }
        other => panic!("no text for {other}"),
    }
}

pub(crate) fn column(batches: &[RecordBatch], index: usize) -> Vec<String> {
    let of = |batch: &RecordBatch| (0..batch.num_rows()).map(|row| show(batch.column(index), row)).collect::<Vec<_>>();
    batches.iter().flat_map(of).collect()
}

/// Types, the values to try (SQL, separated by `|`), and what psql is asked for (`v` is the value).
const TYPES: &[(&str, &str, &str)] = &[
    ("bool", "true|false|null", "v::text"),
    ("int2", "-32768|32767|0|null", "v"),
    ("int4", "-2147483648|2147483647|null", "v"),
    ("int8", "-9223372036854775808|9223372036854775807|null", "v"),
    ("oid", "0|4294967295|null", "v"),
    ("float4", "'NaN'|'-Infinity'|'-0'|1e-45|3.4028235e38|0.1|null", "right(float4send(v)::text, -2)"),
    ("float8", "'NaN'|'Infinity'|'-0'|5e-324|1.7976931348623157e308|0.1|null", "right(float8send(v)::text, -2)"),
    (
        "numeric",
        "'NaN'|'Infinity'|'-Infinity'|0|0.000|-12345678901234567890.000100|1e-100|1e100|9999.9999|10000|null",
        "v",
    ),
    ("numeric(18,4)", "0|-99999999999999.9999|0.0001|1|12.3400|10000.5|null", "v"),
    ("numeric(38,0)", "99999999999999999999999999999999999999|-1|10000|null", "v"),
    ("numeric(38,37)", "9.9999999999999999999999999999999999999|-0.0000000000000000000000000000000000001|1.5", "v"),
    ("numeric(38,38)", "0.12345678901234567890123456789012345678|-0.1|null", "v"),
    ("numeric(39,0)", "999999999999999999999999999999999999999|-1|null", "v"),
    ("numeric(76,10)", "-999999999999999999999999999999999999999999999999999999999999999999.9999999999|0.5", "v"),
    ("numeric(100,2)", "1e97|0.01|null", "v"),
    ("numeric(5,-2)", "12300|-9999900|null", "v"),
    ("numeric(3,5)", "0.00123|-0.00999|null", "v"),
    ("text", "''|' a|b'|E'\\n\\t\\\\'|'ä€😀'|repeat('x', 100000)|null", "md5(v)"),
    ("varchar(5)", "'abc'|''|null", "v"),
    ("char(5)", "'abc'|''|null", "format('%s', v)"),
    ("name", "'Some Name'|null", "v"),
    ("\"char\"", "'a'|''|null", "format('%s', v)"),
    ("bytea", "'\\x00ff'|''|decode(repeat('ab', 1000), 'hex')|null", "right(v::text, -2)"),
    ("date", "'4713-01-01 BC'|'0001-01-01'|'1970-01-01'|'9999-12-31'|'5874897-12-31'|null", "v - date '1970-01-01'"),
    ("time", "'00:00'|'23:59:59.999999'|null", "(extract(epoch from v) * 1000000)::int8"),
    (
        "timestamp",
        "'4713-01-01 BC'|'1969-12-31 23:59:59.999999'|'9999-12-31 12:00'|null",
        "(extract(epoch from v) * 1000000)::int8",
    ),
    (
        "timestamptz",
        "'2024-02-29 12:00:00.000001+05:30'|'0044-03-15 BC'|null",
        "(extract(epoch from v) * 1000000)::int8",
    ),
    (
        "interval",
        "'1 year -3 days 00:00:00.000001'|'-178000000 years'|'0'|null",
        "extract(year from v) * 12 + extract(month from v) || ' ' || extract(day from v) || ' ' \
         || ((extract(hour from v) * 3600 + extract(minute from v) * 60 + extract(second from v)) * 1000000)::int8",
    ),
    ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'|null", "replace(v::text, '-', '')"),
    ("json", "'{\"b\": 1,  \"a\": [null], \"a\": 1e400}'|'1'|null", "v"),
    ("jsonb", "'{\"b\": 1,  \"a\": [null]}'|'\"\\u00e4\"'|null", "v"),
    ("xml", "'<a b=\"1\">x</a>'|null", "v"),
    ("money", "'-12.34'|null", "v"),
    ("inet", "'10.0.0.1'|'10.0.0.1/8'|'::1/64'|null", "format('%s', v)"),
    ("cidr", "'10.0.0.0/8'|null", "format('%s', v)"),
    ("macaddr", "'08:00:2b:01:02:03'|null", "v"),
    ("macaddr8", "'08:00:2b:01:02:03:04:05'|null", "v"),
    ("bit(5)", "B'10101'|null", "v"),
    ("varbit", "B''|B'1011'|null", "v"),
    ("timetz", "'24:00:00+15:59'|'00:00-01'|null", "v"),
    ("point", "'(1,-0.5)'|null", "v"),
    ("line", "'{1,2,3}'|null", "v"),
    ("lseg", "'[(0,0),(1,1)]'|null", "v"),
    ("box", "'(1,1),(0,0)'|null", "v"),
    ("path", "'((0,0),(1,1))'|'[(0,0)]'|null", "v"),
    ("polygon", "'((0,0),(1,1),(1,0))'|null", "v"),
    ("circle", "'<(0,0),2>'|null", "v"),
    ("tsvector", "'a:1A fat:2,4B cat:5D'|null", "v"),
    ("tsquery", "'fat & (rat | !cat:*A)'|null", "v"),
    ("pg_lsn", "'16/B374D848'|null", "v"),
    ("jsonpath", "'$.a[*] ? (@ > 1)'|null", "v"),
    ("int4range", "'[1,5)'|'empty'|'(,)'|null", "v"),
    ("numrange", "'[1.50,2)'|null", "v"),
    ("tstzrange", "'[2020-01-01,infinity]'|null", "v"),
    ("int4multirange", "'{[1,3),[5,9)}'|'{}'|null", "v"),
    ("regclass", "'pg_class'|null", "v"),
    ("regtype", "'int4'|null", "v"),
    ("int2vector", "'1 2 3'|null", "v"),
    ("refcursor", "'c1'|null", "v"),
    ("mood", "'sad'|'very happy'|null", "v"),
    ("positive", "1|null", "v"),
    ("price", "1.50|null", "v"),
    ("int4[]", "'{}'|'{1,NULL,-3}'|null", "v"),
    ("bool[]", "'{t,NULL}'", "replace(replace(v::text, 't', 'true'), 'f', 'false')"),
    ("numeric(10,2)[]", "'{1.50,NULL,-3}'|null", "v"),
    ("text[]", "'{a,NULL,\"NULL\"}'|null", "replace(v::text, '\"', '')"),
    ("mood[]", "'{sad,NULL}'|null", "v"),
    ("inet[]", "'{10.0.0.0/8,10.0.0.1,::1,NULL}'|'{}'|null", "v"),
    ("box[]", "'{(1,1),(0,0);NULL;(3,3),(2,2)}'|null", "replace(v::text, ';', ',')"),
    ("feeling", "'sad'|null", "v"),
    ("feeling[]", "'{sad,NULL}'|null", "v"),
    ("span", "'[1,5)'|null", "v"),
    ("moods", "'{sad,NULL}'|null", "v"),
    ("ints", "'{1,NULL}'|null", "v"),
    ("positive[]", "'{1,NULL,7}'|null", "v"),
    ("price[]", "'{1.50,NULL}'|null", "v"),
    ("int4range[]", "'{\"[1,3)\"}'", "replace(v::text, '\"', '')"),
];

const OWN_TYPES: &str =
    "create type mood as enum ('sad', 'very happy'); create domain positive as int check (value > 0);
    create domain cents as numeric(8,2); create domain price as cents;
    create domain feeling as mood; create domain span as int4range; create domain ints as int4[];
    create domain moods as mood[];";

#[test]
fn every_type_is_what_psql_says() {
    let url = postgres();
    psql(&url, OWN_TYPES);
    for (index, (name, values, _)) in TYPES.iter().enumerate() {
        let values: Vec<String> = split_values(values).iter().map(|value| format!("(({value})::{name})")).collect();
        psql(
            &url,
            &format!(
                "create table t{index} as select row_number() over () n, v from (values {}) x(v)",
                values.join(",")
            ),
        );
    }
    runtime().block_on(async {
        for (index, (name, _, expected)) in TYPES.iter().enumerate() {
            let open = table(&url, &format!("t{index}")).await;
            let batches = open.all(&scan(&open.shape)).await.unwrap();
            let mut found = column(&batches, 1);
            if *name == "text" {
                let quoted: Vec<String> =
                    found.iter().map(|text| format!("('{}')", text.replace('\'', "''"))).collect();
                let digests = psql(&url, &format!("select md5(v) from (values {}) x(v)", quoted.join(",")));
                let nulls = found.iter().map(|text| text == "NULL");
                found = digests
                    .lines()
                    .zip(nulls)
                    .map(|(text, null)| if null { "NULL".into() } else { text.to_owned() })
                    .collect();
            }
            let expected = psql(
                &url,
                &format!(
                    "set extra_float_digits = 3; select case when v is null then 'NULL' else ({expected})::text end from t{index} order by n"
                ),
            );
            assert_eq!(found.join("\n"), expected, "{name}");
            open.session.close().await.unwrap();
        }
    });
}

/// Splits at `|` outside quotes.
fn split_values(values: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut quoted = false;
    for c in values.chars() {
        quoted ^= c == '\'';
        if c == '|' && !quoted {
            out.push(String::new());
        } else {
            out.last_mut().unwrap().push(c);
        }
    }
    out
}

/// Native forms against the type's own `send` function, or its text.
#[test]
fn native_forms_are_the_wire() {
    let url = postgres();
    psql(&url, OWN_TYPES);
    let cases: &[(&str, &str, &str, &str)] = &[
        ("numeric", "'NaN'", "numeric_send(v)", "wire"),
        ("numeric(80,2)", "1e70", "numeric_send(v)", "wire"),
        ("date", "'infinity'", "date_send(v)", "wire"),
        ("time", "'24:00'", "time_send(v)", "wire"),
        ("timestamptz", "'-infinity'", "timestamptz_send(v)", "wire"),
        ("interval", "'-178000000 years'", "interval_send(v)", "wire"),
        ("int4[]", "'[2:3][1:1]={{1},{NULL}}'", "array_send(v)", "wire"),
        ("inet", "'::1/64'", "inet_send(v)", "wire"),
        ("tsvector", "'a:1A'", "tsvectorsend(v)", "wire"),
        ("tstzrange", "'[2020-01-01,infinity]'", "range_send(v)", "wire"),
        ("money", "12.3", "cash_send(v)", "wire"),
        ("mood", "'sad'", "v", "text"),
        ("mood[]", "'{sad,NULL}'", "v", "text"),
        ("regclass", "'pg_class'", "v", "text"),
        ("feeling", "'sad'", "v", "text"),
        ("moods", "'{sad,NULL}'", "v", "text"),
        ("span", "'[1,3)'", "range_send(v)", "wire"),
        ("price[]", "'{1.50,NULL}'", "v", "text"),
    ];
    runtime().block_on(async {
        for (index, (name, value, expected, form)) in cases.iter().enumerate() {
            psql(
                &url,
                &format!(
                    "create table n{index} (v {name} not null); insert into n{index} values ({value}::text::{name})"
                ),
            );
            let open = table(&url, &format!("n{index}")).await;
            let native = open.shape.native[0].clone().unwrap();
            assert_eq!(native.metadata()[schema::FORM], *form, "{name}");
            assert_eq!(native.metadata()[schema::NATIVE], open.shape.schema.field(0).metadata()[schema::NATIVE]);
            let scan = Scan { schema: Arc::new(Schema::new(vec![native])), ..scan(&open.shape) };
            let batches = open.all(&scan).await.unwrap();
            let expected = psql(&url, &format!("select ltrim(({expected})::text, '\\x') from n{index}"));
            assert_eq!(column(&batches, 0), [expected.trim_start_matches("\\x")], "{name}");
        }
    });
}

#[test]
fn values_that_arrow_cannot_hold_are_named() {
    let url = postgres();
    let cases = [
        ("date", "'infinity'"),
        ("timestamp", "'-infinity'"),
        ("timestamp", "'294276-12-31'"),
        ("time", "'24:00'"),
        ("numeric(10,2)", "'NaN'"),
        ("int4[]", "'{{1}}'"),
        ("int4[]", "'[0:0]={1}'"),
    ];
    runtime().block_on(async {
        for (index, (name, value)) in cases.iter().enumerate() {
            psql(
                &url,
                &format!(
                    "create table e{index} (v {name}); insert into e{index} values (null), ({value}::text::{name})"
                ),
            );
            let open = table(&url, &format!("e{index}")).await;
            let error = open.all(&scan(&open.shape)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Value, "{name}");
            let text = error.to_string();
            assert!(text.starts_with(&format!("table e{index}: row 2: column v: ")), "{text}");
            // The leader's transaction is still good.
            open.session.check().await.unwrap();
        }
    });
}

#[test]
fn shapes() {
    let url = postgres();
    psql(
        &url,
        "create schema \"My S\"; create type \"My S\".\"Mood x\" as enum ('a');
         create table \"My S\".\"T.1\" (b int not null, \"A a\" numeric(18,4), m \"My S\".\"Mood x\", u uuid, j jsonb,
            gone int, primary key (\"A a\", b));
         alter table \"My S\".\"T.1\" drop column gone;
         comment on table \"My S\".\"T.1\" is 'all of it'; comment on column \"My S\".\"T.1\".b is 'bee';",
    );
    runtime().block_on(async {
        let open = table(&url, "\"My S\".\"T.1\"").await;
        let shape = &open.shape;
        assert_eq!(shape.key, ["A a", "b"]);
        assert_eq!(shape.comment.as_deref(), Some("all of it"));
        let field = |index: usize| shape.schema.field(index);
        let native = |index: usize| schema::native_of(field(index), "postgres").unwrap();
        assert_eq!(
            (0..5).map(native).collect::<Vec<_>>(),
            ["integer", "numeric(18,4)", "\"My S\".\"Mood x\"", "uuid", "jsonb"]
        );
        assert_eq!(field(0).metadata()[schema::COMMENT], "bee");
        assert!(!field(0).is_nullable() && field(2).is_nullable());
        assert!(schema::is_uuid(field(3)) && schema::is_json(field(4)));
        let encoding = open.source.encoding(&scan(shape)).unwrap();
        assert_eq!(encoding.columns[1], "numeric(18,4)");
        assert!(matches!(open.session.snapshot(), Snapshot::Shared(_)));
        open.session.close().await.unwrap();
        open.session.close().await.unwrap();
        assert_eq!(open.session.check().await.unwrap_err().kind(), ErrorKind::Cancelled);
    });
}

#[test]
fn refused_types_are_named() {
    let url = postgres();
    psql(
        &url,
        "create type pair as (a int, b int); create table r (ok int, x xid, p pair, q pair[]); insert into r values (1)",
    );
    runtime().block_on(async {
        let open = table(&url, "r").await;
        for name in ["x", "p", "q"] {
            let field = open.shape.schema.field_with_name(name).unwrap().clone();
            let scan = Scan { schema: Arc::new(Schema::new(vec![field])), ..scan(&open.shape) };
            let goal = SplitGoal { split_bytes: 1, channels: 1 };
            let error = open.source.plan(&scan, &goal).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(&format!("column {name}")), "{error}");
        }
        let ok = Scan { schema: Arc::new(open.shape.schema.project(&[0]).unwrap()), ..scan(&open.shape) };
        assert_eq!(column(&open.all(&ok).await.unwrap(), 0), ["1"]);
    });
}

/// Rows of a table with an `id`, as psql sorts them.
pub(crate) fn ids(batches: &[RecordBatch]) -> Vec<i64> {
    let mut ids: Vec<i64> = column(batches, 0).iter().map(|id| id.parse().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn many_splits_few_connections_one_point_in_time() {
    let url = postgres();
    psql(
        &url,
        "create table big as select i::int8 id, repeat('x', 200) pad from generate_series(1, 40000) i; analyze big",
    );
    runtime().block_on(async {
        let object = ObjectRef::Table("big".into());
        let open = open(&url, &object, 2).await.unwrap();
        let scan = scan(&open.shape);
        let plan = open.plan(&scan, 16 * 1024, 2).await;
        assert!(plan.splits.len() > 500, "{}", plan.splits.len());
        // A plan opens no connection; the first read opens them all.
        let count = "select count(*) from pg_stat_activity where datname = current_database() and application_name like 'etl %'";
        assert_eq!(psql(&url, count), "1");
        let first = ReadPlan { splits: plan.splits[..1].to_vec(), ..ReadPlan::default() };
        assert!(rows(&open.read(&scan, &first, 1).await.unwrap()) > 0);
        assert_eq!(psql(&url, count), "3");
        // What others do now is not seen: new rows, deletes, and a TRUNCATE that waits for us.
        psql(&url, "insert into big select i, '' from generate_series(40001, 50000) i; delete from big where id % 2 = 0");
        let truncate = {
            let url = url.clone();
            std::thread::spawn(move || psql(&url, "truncate big"))
        };
        let batches = open.read(&scan, &plan, 2).await.unwrap();
        assert_eq!(ids(&batches), (1..=40_000).collect::<Vec<_>>());
        assert_eq!(psql(&url, count), "3");
        // A split read twice, and one left in the middle.
        let again = open.source.read(&scan, &plan.splits[3], &attempt()).await.unwrap();
        let first: Vec<RecordBatch> = again.try_collect().await.unwrap();
        let second: Vec<RecordBatch> =
            open.source.read(&scan, &plan.splits[3], &attempt()).await.unwrap().try_collect().await.unwrap();
        assert_eq!(first, second);
        open.session.check().await.unwrap();
        open.session.close().await.unwrap();
        assert_eq!(tokio::task::spawn_blocking(|| truncate.join().unwrap()).await.unwrap(), "");
    });
}

#[test]
fn a_dropped_read_leaves_the_leader_whole() {
    let url = postgres();
    psql(&url, "create table big as select i::int8 id, repeat('x', 200) pad from generate_series(1, 200000) i");
    runtime().block_on(async {
        let open = table(&url, "big").await;
        let scan = Scan { batch_rows: 10, ..scan(&open.shape) };
        let plan = open.plan(&scan, 1 << 20, 1).await;
        for _ in 0..3 {
            let mut stream = open.source.read(&scan, &plan.splits[0], &attempt()).await.unwrap();
            assert_eq!(stream.next().await.unwrap().unwrap().num_rows(), 10);
        }
        let whole = Scan { batch_rows: 10_000, ..scan };
        assert_eq!(rows(&open.read(&whole, &plan, 1).await.unwrap()), 200_000);
        open.session.check().await.unwrap();
    });
}

#[test]
fn partitions_views_queries_and_empty_tables() {
    let url = postgres();
    psql(
        &url,
        "create table p (id int8, pad text) partition by range (id);
         create table p1 partition of p for values from (0) to (10000);
         create table p2 (pad text, id int8); alter table p attach partition p2 for values from (10000) to (30000);
         create table p3 partition of p for values from (30000) to (40000);
         insert into p select i, repeat('x', 200) from generate_series(0, 29999) i;
         create table parent (id int8); create table child (more int) inherits (parent);
         insert into parent select generate_series(1, 30000); insert into child select i, i from generate_series(30001, 60000) i;
         create view v as select id, pad from p where id < 10; create materialized view mv as table p;
         create table empty (id int8); create table none ();
         analyze",
    );
    runtime().block_on(async {
        for (name, count, cut) in
            [("p", 30_000, true), ("parent", 60_000, true), ("mv", 30_000, true), ("v", 10, false), ("empty", 0, false)]
        {
            let open = open(&url, &ObjectRef::Table(name.into()), 2).await.unwrap();
            let scan = scan(&open.shape);
            let plan = open.plan(&scan, 256 * 1024, 2).await;
            assert_eq!(plan.splits.len() > 2, cut, "{name}: {:?}", plan.notes);
            let batches = open.read(&scan, &plan, 2).await.unwrap();
            let ids = ids(&batches);
            assert_eq!(ids.len(), count, "{name}");
            assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{name}");
        }
        let query = ObjectRef::Query(
            "select id % 3 as k, count(*) n, max(pad)::varchar(7) m from p group by 1 order by 1 -- end\n; -- done"
                .into(),
        );
        let open = open(&url, &query, 4).await.unwrap();
        assert_eq!(schema::native_of(open.shape.schema.field(2), "postgres"), Some("character varying(7)"));
        let batches = open.all(&scan(&open.shape)).await.unwrap();
        assert_eq!(column(&batches, 1), ["10000", "10000", "10000"]);
        // No columns at all are still rows.
        let open = table(&url, "p").await;
        let counting = Scan { schema: Arc::new(Schema::empty()), ..scan(&open.shape) };
        assert_eq!(rows(&open.all(&counting).await.unwrap()), 30_000);
    });
}

#[test]
fn filters_projection_and_limit() {
    let url = postgres();
    psql(
        &url,
        "create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         create table f as select i::int8 id, (i % 7)::float8 x, ('a' || i % 5)::text collate \"C\" s,
            ('a' || i % 5)::text collate loose l, repeat('x', 300) pad from generate_series(1, 30000) i;
         update f set x = '-0' where id % 14 = 0; update f set x = 'NaN' where id % 14 = 1;
         alter table f add primary key (id); vacuum analyze f",
    );
    runtime().block_on(async {
        let object = ObjectRef::Table("f".into());
        let open = open(&url, &object, 2).await.unwrap();
        let pushdown = |filter: &Expr| open.source.pushdown(&open.shape, filter);
        assert_eq!(pushdown(&col("id").gt(lit(5_i64))), Exact);
        assert_eq!(pushdown(&col("s").lt(lit("a3"))), Exact);
        assert_eq!(pushdown(&col("l").eq(lit("A3"))), Nothing);
        assert_ne!(pushdown(&col("x").eq(lit(0.0))), Exact);

        let schema = Arc::new(open.shape.schema.project(&[0]).unwrap());
        let filtered = |filter: Expr, limit| Scan {
            schema: Arc::clone(&schema),
            filters: vec![filter],
            limit,
            ..scan(&open.shape)
        };
        let some = filtered(col("s").eq(lit("a3")), None);
        let plan = open.plan(&some, 1 << 20, 2).await;
        assert!(plan.splits.len() > 1, "{:?}", plan.notes);
        let expected = psql(&url, "select id from f where s = 'a3' order by 1");
        let found: Vec<String> = ids(&open.read(&some, &plan, 2).await.unwrap()).iter().map(i64::to_string).collect();
        assert_eq!(found.join("\n"), expected);

        let few = filtered(col("id").lt(lit(20_i64)), None);
        let plan = open.plan(&few, 1 << 20, 2).await;
        assert_eq!(plan.splits.len(), 1);
        assert!(plan.notes.iter().any(|note| note.contains("index")), "{:?}", plan.notes);
        assert_eq!(rows(&open.read(&few, &plan, 2).await.unwrap()), 19);

        let limited = filtered(col("id").gt(lit(0_i64)), Some(7));
        let plan = open.plan(&limited, u64::MAX, 1).await;
        assert_eq!(rows(&open.read(&limited, &plan, 1).await.unwrap()), 7);
    });
}

#[test]
fn large_values_and_batch_limits() {
    let url = postgres();
    psql(&url, "create table l (id int8, v bytea); insert into l select i, decode(repeat('ab', 3000000), 'hex') from generate_series(1, 4) i;
        insert into l select i, '' from generate_series(5, 2504) i");
    runtime().block_on(async {
        let open = table(&url, "l").await;
        let batches = open.all(&Scan { batch_bytes: 1 << 20, ..scan(&open.shape) }).await.unwrap();
        let counts: Vec<usize> = batches.iter().map(RecordBatch::num_rows).collect();
        assert_eq!(counts, [1, 1, 1, 1, 1000, 1000, 500]);
        assert!(
            batches[..4].iter().all(|batch| batch.column(1).as_binary::<i32>().value(0) == [0xab].repeat(3_000_000))
        );
    });
}

#[test]
fn raw_frames_are_what_copy_in_takes() {
    let url = postgres();
    psql(&url, "create table a (id int8, t text, n numeric, x int4[]); insert into a select i, repeat('ä', i % 300), i / 7.0, array[i]
        from generate_series(1, 20000) i; create table b (like a)");
    runtime().block_on(async {
        let open = open(&url, &ObjectRef::Table("a".into()), 2).await.unwrap();
        let scan = scan(&open.shape);
        let encoding = open.source.encoding(&scan).unwrap();
        assert_eq!(
            (encoding.name.as_str(), &encoding.columns[..]),
            ("postgres-copy-binary", &["bigint", "text", "numeric", "integer[]"].map(str::to_owned)[..])
        );
        let plan = open.plan(&scan, 1 << 20, 2).await;
        let mut copy = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        let mut count = 0;
        for split in &plan.splits {
            let frames: Vec<_> =
                open.source.read_raw(&scan, split, &attempt()).await.unwrap().try_collect().await.unwrap();
            let (_, whole) = frames.split_last().unwrap();
            assert!(whole.iter().all(|(bytes, _)| bytes.len() >= 256 * 1024));
            for (bytes, rows) in frames {
                copy.extend_from_slice(&bytes);
                count += rows;
            }
        }
        copy.extend_from_slice(&[0xff, 0xff]);
        assert_eq!(count, 20_000);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), copy).unwrap();
        psql(&url, &format!("\\copy b from '{}' (format binary)", file.path().display()));
        assert_eq!(psql(&url, "select count(*) from (table a except all table b) x"), "0");
    });
}

#[test]
fn plain_errors() {
    let url = postgres();
    psql(&url, "create table orders (id int); create role nobody_reads login; create index oi on orders (id)");
    let kind = |url: String, object: ObjectRef| {
        runtime().block_on(async {
            let error = open(&url, &object, 1).await.err().unwrap();
            (error.kind(), format!("{error} {}", error.hint().unwrap_or_default()))
        })
    };
    let orders = || ObjectRef::Table("orders".into());
    let (found, text) = kind(url.clone(), ObjectRef::Table("order".into()));
    assert_eq!(found, ErrorKind::NotFound);
    assert!(text.contains("table order") && text.contains("is it public.orders?"), "{text}");
    let (found, _) = kind(format!("{url}_none"), orders());
    assert_eq!(found, ErrorKind::NotFound);
    let as_user = |user: &str| {
        url.replacen("://", &format!("://{user}@"), 1).replacen(&format!("{user}@postgres@"), &format!("{user}@"), 1)
    };
    assert_eq!(kind(as_user("nobody_at_all"), orders()).0, ErrorKind::Authentication);
    assert_eq!(kind(as_user("nobody_reads"), orders()).0, ErrorKind::Permission);
    psql(&url, "drop role nobody_reads");
    assert_eq!(kind("postgres://u@127.0.0.1:1/d".into(), orders()).0, ErrorKind::Connection);
    assert_eq!(kind("postgres://u@no-such-host.invalid/d".into(), orders()).0, ErrorKind::Connection);
    assert_eq!(kind(url.clone(), ObjectRef::Table("oi".into())).0, ErrorKind::Unsupported);
    assert_eq!(kind(url.clone(), ObjectRef::Query("select 1 as a, 2 as a".into())).0, ErrorKind::Usage);
    assert_eq!(kind(url.clone(), ObjectRef::Query("selec 1".into())).0, ErrorKind::Usage);
    assert_eq!(kind(url.clone(), ObjectRef::Query("select 1 as a; select 2 as a".into())).0, ErrorKind::Usage);
    assert_eq!(kind(url.clone(), ObjectRef::Query(" -- nothing\n;".into())).0, ErrorKind::Usage);
    assert_eq!(kind(url, ObjectRef::Query("select nothing from orders".into())).0, ErrorKind::NotFound);
}

#[test]
fn key_ranges_where_pages_do_not_serve() {
    let url = postgres();
    psql(
        &url,
        "create access method other type table handler heap_tableam_handler;
         create table k (id int primary key, pad text) using other;
         insert into k select i * i, repeat('x', 500) from generate_series(-150, 20000) i on conflict do nothing; analyze k;
         create table n (id text primary key, pad text) using other; insert into n select id::text, pad from k",
    );
    runtime().block_on(async {
        let of = async |name: &str| open(&url, &ObjectRef::Table(name.into()), 3).await.unwrap();
        let open = of("k").await;
        let wanted = scan(&open.shape);
        let plan = open.plan(&wanted, 500_000, 3).await;
        assert!(plan.splits.len() > 10, "{:?}", plan.notes);
        assert_eq!(plan.splits[2].place.as_deref(), Some("key range 3"));
        let batches = open.read(&wanted, &plan, 3).await.unwrap();
        let expected = psql(&url, "select id from k order by 1");
        assert_eq!(ids(&batches).iter().map(i64::to_string).collect::<Vec<_>>().join("\n"), expected);
        let open = of("n").await;
        let plan = open.plan(&scan(&open.shape), 500_000, 3).await;
        assert_eq!(plan.splits.len(), 1, "{:?}", plan.notes);
    });
}

#[test]
fn another_process_joins_the_point_in_time() {
    let url = postgres();
    psql(&url, "create table j as select i::int8 id from generate_series(1, 10) i");
    runtime().block_on(async {
        let object = ObjectRef::Table("j".into());
        let first = open(&url, &object, 2).await.unwrap();
        let Snapshot::Shared(id) = first.session.snapshot() else { panic!("it is shared") };
        psql(&url, "insert into j values (11)");
        let joined = endpoint(&url).open(&OpenRequest { join: Some(id), ..request(&object, 2) }).await.unwrap();
        let source = joined.source(&object).unwrap();
        let second = Open { shape: source.describe().await.unwrap(), source, session: joined };
        assert_eq!(ids(&second.all(&scan(&second.shape)).await.unwrap()).len(), 10);
        assert_eq!(second.session.snapshot(), first.session.snapshot());
        first.session.close().await.unwrap();
        let Snapshot::Shared(id) = second.session.snapshot() else { panic!("it is shared") };
        second.session.close().await.unwrap();
        let late = endpoint(&url).open(&OpenRequest { join: Some(id), ..request(&object, 2) }).await;
        assert!(late.is_err());
    });
}

#[test]
fn a_lock_in_the_way_leaves_fewer_readers() {
    let url = postgres();
    psql(&url, "create table w as select i::int8 id, repeat('x', 200) pad from generate_series(1, 30000) i");
    runtime().block_on(async {
        let open = open(&url, &ObjectRef::Table("w".into()), 3).await.unwrap();
        // It waits for the leader, and new readers would wait for it.
        let truncate = {
            let url = url.clone();
            std::thread::spawn(move || psql(&url, "truncate w"))
        };
        while psql(&url, "select count(*) from pg_locks l join pg_database d on d.oid = l.database where not granted and datname = current_database()") != "1" {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let scan = scan(&open.shape);
        let plan = open.plan(&scan, 64 * 1024, 3).await;
        assert!(plan.splits.len() > 50, "{:?}", plan.notes);
        assert_eq!(plan.readers, None);
        assert_eq!(ids(&open.read(&scan, &plan, 3).await.unwrap()).len(), 30_000);
        let again = open.plan(&scan, 64 * 1024, 3).await;
        assert_eq!(again.readers, Some(1));
        open.session.close().await.unwrap();
        tokio::task::spawn_blocking(|| truncate.join().unwrap()).await.unwrap();
    });
}
