//! Reading from PostgreSQL, with psql saying what is true.

mod cuts;

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
    OpenRequest { objects: vec![object.clone()], readers, ..OpenRequest::default() }
}

pub(crate) fn attempt() -> Attempt {
    let token = Token { run: "r".into(), transfer: 0, sink: 0, epoch: 0 };
    Attempt::new(token, 0, vec![0])
}

pub(crate) fn scan(shape: &TableShape) -> Scan {
    Scan {
        schema: Arc::clone(&shape.schema),
        filters: Vec::new().into(),
        limit: None,
        batch_rows: 1000,
        batch_bytes: 1 << 20,
    }
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
        self.source.plan(scan, &SplitGoal::new(split_bytes, channels)).await.unwrap()
    }

    /// All batches of all splits, `channels` at once.
    pub(crate) async fn read(&self, scan: &Scan, plan: &ReadPlan, channels: usize) -> Result<Vec<RecordBatch>> {
        let read = async |split| -> Result<Vec<RecordBatch>> {
            self.source.read(scan, split, &attempt(), None).await?.try_collect().await
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
        "create type pair as (a int, b int); create table r (ok int, x xid, w xid8, c cid, t tid, s pg_snapshot, a aclitem, p pair,
             q pair[]); insert into r values (1)",
    );
    runtime().block_on(async {
        let open = table(&url, "r").await;
        for name in ["x", "w", "c", "t", "s", "a", "p", "q"] {
            let field = open.shape.schema.field_with_name(name).unwrap().clone();
            let scan = Scan { schema: Arc::new(Schema::new(vec![field])), ..scan(&open.shape) };
            let goal = SplitGoal::new(1, 1);
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
