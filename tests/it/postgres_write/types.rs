//! Values of every type from one table into another, through the forms that the agreement asks for. `psql` compares.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use arrow_etl::attempt::Attempt;
use arrow_etl::endpoint::{ObjectRef, OpenRequest};
use arrow_etl::error::{ErrorKind, Result};
use arrow_etl::flow::align::{Aligner, Unaligned};
use arrow_etl::schema;
use arrow_etl::sink::{Agreement, ColumnFate, Form, Tasks, WriteMode};
use arrow_etl::source::{Scan, SplitGoal};
use futures::TryStreamExt as _;

use super::{endpoint, request, sink, token};
#[cfg(target_arch = "x86_64")]
use crate::server::older_postgres;
use crate::server::{postgres, psql};

/// Copies table `from` into `to` as the engine would, one task per split.
async fn transfer(url: &str, from: &str, to: &str, mode: WriteMode) -> Result<Agreement> {
    let object = ObjectRef::Table(from.to_owned());
    let session = endpoint(url)
        .open(&OpenRequest { objects: vec![object.clone()], readers: 1, ..OpenRequest::default() })
        .await?;
    let source = session.source(&object)?;
    let shape = source.describe().await?;
    let sink = sink(url, to);
    let agreement = sink.agree(&shape, &request(mode, Tasks::Many)).await?;
    let mut wanted = Vec::new();
    for plan in agreement.columns.iter().filter(|plan| plan.incoming.is_some() && plan.target.is_some()) {
        let index = shape.schema.index_of(plan.incoming.as_deref().unwrap()).unwrap();
        let native = shape.native[index].clone().filter(|_| plan.form == Form::Native);
        wanted.push(native.unwrap_or_else(|| Arc::new(shape.schema.field(index).clone())));
    }
    let schema = Arc::new(Schema::new(wanted));
    let scan = Scan { schema, filters: Vec::new().into(), limit: None, batch_rows: 8192, batch_bytes: 1 << 20 };
    let plan = source.plan(&scan, &SplitGoal::new(1 << 20, 1)).await?;
    let token = token();
    sink.prepare(&agreement, &token).await?;
    let mut receipts = Vec::new();
    let result = async {
        for split in &plan.splits {
            let attempt = Attempt::new(token.clone(), split.id, vec![split.id]);
            let mut writer = sink.writer(&agreement, &attempt).await?;
            let batches: Vec<_> = source.read(&scan, split, &attempt, None).await?.try_collect().await?;
            for batch in batches {
                let aligner = Aligner::new(&batch.schema(), &agreement.target, &agreement.columns)?;
                // Rows of a split are one batch here: the position in it counts.
                let aligned = aligner.align(&batch).map_err(|unaligned| match unaligned {
                    Unaligned::Misfits(misfits) => misfits.into_error(1),
                    Unaligned::Error(error) => error,
                });
                writer.write(aligned?).await?;
            }
            receipts.push(writer.flush(&token).await?);
        }
        sink.commit(&agreement, &token, &receipts).await
    };
    let result = result.await;
    if result.is_err() {
        sink.abort(&agreement, &token).await?;
    }
    session.close().await?;
    result.map(|()| agreement)
}

/// A type, with values as the server reads them.
type Values<'a> = (&'a str, &'a [&'a str]);

/// Types of all kinds. Infinities of `numeric`, which came with version 14, stand first.
const VALUES: &[Values<'_>] = &[
    ("bool", &["t", "f"]),
    ("\"char\"", &["a", ""]),
    ("name", &["a name"]),
    ("int2", &["-32768", "32767"]),
    ("int4", &["-2147483648", "2147483647"]),
    ("int8", &["-9223372036854775808", "9223372036854775807"]),
    ("oid", &["0", "4294967295"]),
    ("float4", &["NaN", "Infinity", "-Infinity", "-0", "1e-45", "3.4028235e38"]),
    ("float8", &["NaN", "-Infinity", "-0", "5e-324", "1.7976931348623157e308", "0.1"]),
    (
        "numeric",
        &[
            "Infinity",
            "-Infinity",
            "NaN",
            "0",
            "0.000",
            "-1.50",
            "1e-500",
            "1e500",
            "12345678.00012300",
            "10000",
            "0.0001",
        ],
    ),
    ("numeric(10,4)", &["NaN", "-999999.9999", "0.0001", "1"]),
    ("numeric(80,40)", &["1.0000000000000000000000000000000000000001", "-1e39"]),
    ("text", &["", "a\\tb\\\\nc\\r\\n", "\u{1F600}", "\\\\N", "NULL", "\"{,}\""]),
    ("varchar(5)", &["abcde", "  x  "]),
    ("char(5)", &["ab", "abcde"]),
    ("bytea", &["", "\\\\x00ff5c0a"]),
    ("date", &["infinity", "-infinity", "4713-01-01 BC", "5874897-12-31", "2000-02-29", "1999-12-31", "0001-01-01"]),
    ("time", &["00:00", "24:00", "23:59:59.999999"]),
    ("timetz", &["24:00+15:59", "00:00:00.000001-08"]),
    (
        "timestamp",
        &["infinity", "-infinity", "4713-01-01 00:00 BC", "294276-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999"],
    ),
    ("timestamptz", &["infinity", "-infinity", "2024-02-29 12:00:00.5+02", "0044-03-15 BC"]),
    (
        "interval",
        &[
            "1 year -2 mons 3 days -04:05:06.000007",
            "178000000 years",
            "-1 mon",
            "0",
            "00:00:00.000001",
            "2147483647 hours",
        ],
    ),
    ("uuid", &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    ("json", &["{\"a\" :  1,\"a\":2}", "null"]),
    ("jsonb", &["{\"a\": [1, null, \"\\\\\\\\u00e9\"]}", "null"]),
    ("xml", &["<a>b</a>"]),
    ("money", &["-92233720368547758.08", "1.5"]),
    ("bit(3)", &["101"]),
    ("varbit", &["", "10101"]),
    ("inet", &["192.168.0.1/24", "::1"]),
    ("cidr", &["10.0.0.0/8"]),
    ("macaddr", &["08:00:2b:01:02:03"]),
    ("macaddr8", &["08:00:2b:01:02:03:04:05"]),
    ("point", &["(1.5,-2)"]),
    ("line", &["{1,2,3}"]),
    ("lseg", &["[(0,0),(1.5,-1)]"]),
    ("box", &["(1,1),(0,0)"]),
    ("path", &["[(0,0),(1,1)]", "((0,0),(1,1))"]),
    ("polygon", &["((0,0),(1,1),(1,0))"]),
    ("circle", &["<(0,0),1>"]),
    ("tsvector", &["'a':1A 'b c':2"]),
    ("tsquery", &["'a' & !'b'"]),
    ("int4range", &["empty", "[1,5)", "(,)"]),
    ("tstzrange", &["[2024-01-01,infinity)"]),
    ("nummultirange", &["{[1,2),(3,4]}"]),
    ("pg_lsn", &["16/B374D848"]),
    ("jsonpath", &["$.\"a\"[*]?(@ > 1)"]),
    ("regclass", &["pg_class"]),
    ("int2vector", &["1 2 3", ""]),
    ("oidvector", &["4294967295 0"]),
    ("refcursor", &["a cursor"]),
    ("txid_snapshot", &["10:20:10,14"]),
    ("macaddr8[]", &["{08:00:2b:01:02:03:04:05,NULL}"]),
    ("name[]", &["{a,NULL}", "{{a,b},{c,d}}", "[0:1]={a,b}"]),
    ("int4[]", &["{}", "{1,NULL,3}", "{{1,2},{3,4}}", "[0:1]={1,2}"]),
    ("text[]", &["{\"\",\"a,b\",NULL,\"null\",\"{\"}", "{\"q\\\\\"\\\\\\\\\"}"]),
    ("numeric[]", &["{NaN,1.50,NULL}"]),
    ("numeric(5,1)[]", &["{1.5,NULL}"]),
    ("timestamptz[]", &["{infinity,2024-01-01 00:00+00}"]),
    ("bytea[]", &["{\"\\\\\\\\x00\",NULL}"]),
    ("jsonb[]", &["{\"{\\\\\"a\\\\\": 1}\"}"]),
    ("mood", &["sad", "so happy"]),
    ("mood[]", &["{sad,NULL,\"so happy\"}", "{{sad},{sad}}"]),
    ("positive", &["1", "2147483647"]),
    ("cents", &["1.25", "0.10"]),
    ("positive[]", &["{1,2}"]),
    ("cents[]", &["{1.25,NULL}"]),
    ("floatrange", &["[1.5,2.5)"]),
];

/// A table `s` with a column per type of `types`, and a row per value; the columns of shorter types are NULL then.
fn make(url: &str, types: &[Values<'_>]) {
    psql(
        url,
        "create type mood as enum ('sad', 'so happy'); create domain positive as int check (value > 0);
         create domain cents as numeric(9,2); create type floatrange as range (subtype = float8)",
    );
    let columns: Vec<String> = types.iter().enumerate().map(|(at, (name, _))| format!("c{at} {name}")).collect();
    psql(url, &format!("create table s (id int primary key, {})", columns.join(", ")));
    let most = types.iter().map(|(_, values)| values.len()).max().unwrap();
    for row in 0..=most {
        let values = types.iter().map(|(_, values)| {
            values.get(row).map_or("NULL".to_owned(), |value| format!("E'{}'", value.replace('\'', "''")))
        });
        psql(url, &format!("insert into s values ({row}, {})", values.collect::<Vec<_>>().join(", ")));
    }
}

/// Both tables, as their output functions show them.
fn same(url: &str, to: &str) {
    let show = |table: &str| psql(url, &format!("select * from {table} order by id"));
    assert_eq!(show(to), show("s"));
    let kinds = |table: &str| {
        psql(
            url,
            &format!(
                "select attname, format_type(atttypid, atttypmod), attnotnull from pg_attribute
            where attrelid = '{table}'::regclass and attnum > 0 order by attnum"
            ),
        )
    };
    assert_eq!(kinds(to), kinds("s"));
}

/// What of [`VALUES`] a server of `version`, before 14, has.
#[cfg(target_arch = "x86_64")]
fn known(version: &str) -> Vec<Values<'static>> {
    let lacks: &[&str] =
        if version == "10" { &["nummultirange", "jsonpath", "positive[]", "cents[]"] } else { &["nummultirange"] };
    let finite = |(name, values): Values<'static>| (name, if name == "numeric" { &values[2..] } else { values });
    VALUES.iter().copied().filter(|(name, _)| !lacks.contains(name)).map(finite).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_goes_through_by_wire() {
    go_through_by_wire(&postgres(), VALUES).await;
}

#[cfg(target_arch = "x86_64")]
#[tokio::test(flavor = "multi_thread")]
async fn every_type_goes_through_by_wire_before_14() {
    for version in ["10", "13"] {
        go_through_by_wire(&older_postgres(version), &known(version)).await;
    }
}

async fn go_through_by_wire(url: &str, types: &[Values<'_>]) {
    // What has a text form only would make the whole table text.
    let textual = ["regclass", "mood[]", "positive[]", "cents[]", "floatrange", "int2vector", "oidvector"];
    let types: Vec<_> = types.iter().filter(|(name, _)| !textual.contains(name)).copied().collect();
    make(url, &types);
    let agreement = transfer(url, "s", "t", WriteMode::Create).await.unwrap();
    assert_eq!(agreement.detail["format"], "binary");
    for plan in &agreement.columns {
        assert_eq!(plan.fate, ColumnFate::Exact, "{plan:?}");
    }
    same(url, "t");
    transfer(url, "s", "t", WriteMode::Replace).await.unwrap();
    same(url, "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_goes_through_beside_types_with_text_only() {
    go_through_as_text(&postgres(), VALUES).await;
}

#[cfg(target_arch = "x86_64")]
#[tokio::test(flavor = "multi_thread")]
async fn every_type_goes_through_beside_types_with_text_only_before_14() {
    for version in ["10", "13"] {
        go_through_as_text(&older_postgres(version), &known(version)).await;
    }
}

async fn go_through_as_text(url: &str, types: &[Values<'_>]) {
    make(url, types);
    let agreement = transfer(url, "s", "t", WriteMode::Create).await.unwrap();
    assert_eq!(agreement.detail["format"], "text");
    for plan in &agreement.columns {
        assert_eq!(plan.fate, ColumnFate::Exact, "{plan:?}");
    }
    same(url, "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_would_round_or_cut_is_refused() {
    let url = postgres();
    psql(&url, "create domain cents as numeric(9,2)");
    let cases = [
        ("numeric", "numeric(5,2)", "12.345", "12.340"),
        ("numeric(10,4)", "numeric(5,2)", "12.3450", "12.3400"),
        ("timestamp", "timestamp(3)", "2024-01-01 00:00:00.0005", "2024-01-01 00:00:00.005"),
        ("timestamptz", "timestamptz(0)", "infinity", "2024-01-01 00:00:01"),
        ("time", "time(0)", "23:59:59.5", "24:00"),
        ("interval", "interval(0)", "1.5 s", "1 day"),
        ("interval", "interval year to month", "1 day", "14 mons"),
        ("text", "varchar(3)", "abc ", "äöü"),
        ("varchar(9)", "varchar(3)", "abc ", "abc"),
        ("numeric[]", "numeric(5,2)[]", "{1.005}", "{1.00}"),
        ("numeric[]", "cents[]", "{1.005}", "{1.00}"),
        ("int8", "numeric(5,-2)", "1234", "1200"),
        ("numeric", "numeric(5,-2)", "1200.5", "1200"),
        ("text", "char(3)", "abc ", "abc"),
        ("timetz", "timetz(3)", "12:00:00.1234+02", "12:00:00.123+02"),
        ("text", "timetz(3)", "12:00:00.1234+02", "12:00:00.123+02"),
        ("text", "numeric(5,2)[]", "{1.00,2.005}", "{1.00,2.50}"),
        ("text", "varchar(2)[]", "{ab,abc}", "{ab,a}"),
        ("text", "\"char\"", "ab", "a"),
        ("numeric", "money", "1.005", "1.05"),
        ("numeric(10,4)", "money", "1.0051", "1.0500"),
        ("text", "money[]", "{1.5,1.005}", "{1.5,1.05}"),
        ("text", "name", "0123456789012345678901234567890123456789012345678901234567890123", "short"),
    ];
    for (at, (from, to, bad, good)) in cases.into_iter().enumerate() {
        let (source, target) = (format!("s{at}"), format!("t{at}"));
        psql(
            &url,
            &format!(
                "create table {source} (id int, v {from}); create table {target} (id int, v {to});
            insert into {source} values (1, '{good}'), (2, null)"
            ),
        );
        transfer(&url, &source, &target, WriteMode::Append).await.unwrap_or_else(|error| panic!("{from}: {error:?}"));
        assert_eq!(
            psql(
                &url,
                &format!(
                    "select count(*) from {source} s join {target} t using (id)
            where s.v::text::{to} is not distinct from t.v"
                )
            ),
            "2",
            "{from}"
        );
        psql(&url, &format!("insert into {source} values (3, '{bad}')"));
        let bad_but_fits = bad == "infinity";
        let result = transfer(&url, &source, &target, WriteMode::Append).await;
        if bad_but_fits {
            result.unwrap();
            continue;
        }
        let error = result.expect_err(from);
        assert_eq!(error.kind(), ErrorKind::Value, "{from} {error:?}");
        let places: Vec<String> =
            error.frames().iter().map(|frame| format!("{} {}", frame.what, frame.which)).collect();
        assert!(places.contains(&"column v".to_owned()) && places.contains(&"row 3".to_owned()), "{from} {places:?}");
        assert_eq!(psql(&url, &format!("select count(*) from {target}")), "2");
    }
}

#[tokio::test]
async fn types_of_arrow_and_what_becomes_of_them() {
    use arrow::datatypes::{DataType as T, TimeUnit};
    let url = postgres();
    psql(
        &url,
        "create table t (a int8, b numeric(4,1), c text, d timestamptz, e json, f jsonb, g inet, h real, i int2[], j uuid)",
    );
    let json =
        |name: &str| schema::with_metadata(Field::new(name, T::Utf8, true), schema::EXTENSION, schema::EXTENSION_JSON);
    let fields = vec![
        Field::new("a", T::Int32, true),
        Field::new("b", T::Float64, true),
        Field::new("c", T::Date32, true),
        Field::new("d", T::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), true),
        json("e"),
        json("f"),
        Field::new("g", T::Utf8, true),
        Field::new("h", T::Float64, true),
        Field::new_list("i", Field::new("item", T::Int64, true), true),
        Field::new("j", T::Utf8, true),
    ];
    let shape = arrow_etl::source::TableShape::of(Arc::new(Schema::new(fields)));
    let agreement = sink(&url, "t").agree(&shape, &request(WriteMode::Append, Tasks::One)).await.unwrap();
    let fates: Vec<ColumnFate> = agreement.columns.iter().map(|plan| plan.fate).collect();
    use ColumnFate::{Exact, Lossy, Stringified, Widened};
    assert_eq!(fates, [Widened, Lossy, Stringified, Lossy, Exact, Lossy, Lossy, Lossy, Lossy, Lossy]);
    let types: Vec<&T> = agreement.target.fields().iter().map(|field| field.data_type()).collect();
    assert_eq!(types[..3], [&T::Int64, &T::Decimal128(4, 1), &T::Utf8]);
    assert_eq!(agreement.detail["format"], "text");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_the_same_kind_loses_nothing() {
    use arrow::datatypes::{DataType as T, TimeUnit};
    let url = postgres();
    psql(
        &url,
        "create table s (id int primary key, a interval(3), b interval year to month, c char(3), d numeric(5,-2),
           e \"char\"[], f name[], g varchar(3)[]);
         insert into s values (1, '1.5 s', '14 mons', 'a', 1200, '{a}', '{{a},{b}}', '{abc}')",
    );
    for mode in [WriteMode::Create, WriteMode::Append] {
        psql(&url, "create table if not exists t (like s)");
        let agreement = transfer(&url, "s", "t", mode).await.unwrap();
        for plan in &agreement.columns {
            assert_eq!(plan.fate, ColumnFate::Exact, "{plan:?}");
        }
    }
    let fields = vec![
        Field::new("a", T::UInt64, true),
        Field::new("b", T::Decimal128(38, 2), true),
        Field::new("c", T::Timestamp(TimeUnit::Millisecond, None), true),
    ];
    let shape = arrow_etl::source::TableShape::of(Arc::new(Schema::new(fields)));
    psql(&url, "create table u (a numeric(20,0), b numeric(38,2), c timestamp(3))");
    let agreement = sink(&url, "u").agree(&shape, &request(WriteMode::Append, Tasks::One)).await.unwrap();
    let fates: Vec<ColumnFate> = agreement.columns.iter().map(|plan| plan.fate).collect();
    assert_eq!(fates, [ColumnFate::Widened, ColumnFate::Exact, ColumnFate::Widened]);
}

#[tokio::test]
async fn what_no_cast_leads_to_is_refused_in_the_plan() {
    use arrow::datatypes::{DataType as T, TimeUnit};
    let url = postgres();
    psql(&url, "create table t (a timestamptz, b timestamp, c interval, d interval(0)[])");
    let zoned = T::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    for (name, data_type) in [("a", T::Date32), ("b", zoned), ("d", T::Utf8)] {
        let shape = arrow_etl::source::TableShape::of(Arc::new(Schema::new(vec![Field::new(name, data_type, true)])));
        let request = arrow_etl::sink::WriteRequest {
            schema: arrow_etl::sink::SchemaPolicy::Ignore,
            ..request(WriteMode::Append, Tasks::One)
        };
        let error = sink(&url, "t").agree(&shape, &request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema, "{name}");
        assert!(error.to_string().contains("no way into"), "{error}");
    }
    let elapsed = Field::new("c", T::Duration(TimeUnit::Microsecond), true);
    let shape = arrow_etl::source::TableShape::of(Arc::new(Schema::new(vec![elapsed.clone()])));
    let agreement = sink(&url, "x").agree(&shape, &request(WriteMode::Create, Tasks::One)).await.unwrap();
    assert!(arrow_etl::fate::possible(&elapsed, agreement.target.field(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn types_that_take_no_values_become_text() {
    let url = postgres();
    psql(&url, "create view d as select 1 as id, adbin as v from pg_attrdef limit 1");
    let agreement = transfer(&url, "d", "t", WriteMode::Create).await.unwrap();
    assert_eq!(agreement.columns[1].target_type, "text");
}
