//! Whether the source filters or not, the rows are the same: over real sources, with what makes them differ from Arrow.

use std::path::Path;

use arrow::array::{BooleanArray, Date32Array, Decimal128Array, Float64Array};
use arrow_etl::connectors;
use arrow_etl::endpoint::Endpoint;
use serde_json::{Value as Json, json};

use super::*;
use crate::server::{postgres, psql, sqlite3};

/// Conditions over the columns id, t (text), n (decimal), f (float), d (date) and b (boolean) of all sources here.
const CONDITIONS: [&str; 26] = [
    "t = 'Ada'",
    "t <> 'ada'",
    "t > 'B'",
    "t in ('ADA', 'zoë', 'Ada ')",
    "t like 'a%'",
    "t between 'A' and 'b'",
    "t is null",
    "t = ''",
    "n = 1.50",
    "n > 1.5",
    "n in (0, -0.01, 99999999.99)",
    "n between 0 and 2",
    "n is not null",
    "f = 0.0",
    "f = -0.0",
    "f > 0",
    "f >= 0.0",
    "f < 0.0",
    "f <> f",
    "f = f",
    "f in (0.0, 1.5)",
    "d > date '2024-02-28'",
    "d = date '1969-12-31'",
    "d is null",
    "b",
    "id % 3 = 0",
];

/// The conditions, their negations, and pairs of them in a fixed but unordered choice.
fn filters() -> Vec<String> {
    let mut filters: Vec<String> = CONDITIONS.iter().map(|&condition| condition.to_owned()).collect();
    filters.extend(CONDITIONS.iter().map(|condition| format!("not ({condition})")));
    for index in 0..CONDITIONS.len() {
        let (one, other) = (CONDITIONS[index], CONDITIONS[(index * 11 + 5) % CONDITIONS.len()]);
        let word = if index % 2 == 0 { "and" } else { "or" };
        filters.push(format!("({one}) {word} not ({other} and id > 4)"));
    }
    filters
}

/// The ids that a copy under `transform` gives, or the kind of its failure.
async fn answer(source: &Arc<dyn Endpoint>, object: &ObjectRef, transform: Transform) -> Result<Vec<i64>, ErrorKind> {
    let target = Memory::new();
    let mut job = job(transform);
    job.source.object = object.clone();
    job.limits.jobs = Some(2);
    let between = Between { source: Arc::clone(source), target: target.endpoint(), also: Vec::new() };
    copy(&job, between, &Surroundings::default()).await.map_err(|error| error.kind())?;
    let rows = target.table("dst").unwrap().rows;
    let ids = arrow::compute::cast(rows.column_by_name("id").unwrap(), &arrow::datatypes::DataType::Int64).unwrap();
    Ok(sorted(ids.as_primitive::<Int64Type>().values().to_vec()))
}

async fn same_rows(source: &Arc<dyn Endpoint>, object: ObjectRef) {
    let mut some = 0;
    for filter in filters() {
        let with = |pushdown| Transform { filter: Some(filter.clone()), pushdown, ..Transform::default() };
        let on = answer(source, &object, with(Toggle::On)).await;
        let off = answer(source, &object, with(Toggle::Off)).await;
        assert_eq!(on, off, "{filter}");
        some += usize::from(off.is_ok_and(|ids| !ids.is_empty()));
    }
    assert!(some > filters().len() / 2, "only {some} filters keep a row");
    for (filter, limit) in [(None, 3), (Some("f >= 0.0"), 2), (Some("t <> 'x'"), 100), (Some("n > 0"), 1)] {
        let with = |pushdown| Transform {
            filter: filter.map(str::to_owned),
            limit: Some(limit),
            pushdown,
            ..Transform::default()
        };
        let on = answer(source, &object, with(Toggle::On)).await.map(|ids| ids.len());
        let off = answer(source, &object, with(Toggle::Off)).await.map(|ids| ids.len());
        assert_eq!(on, off, "{filter:?} limit {limit}");
    }
}

fn endpoint(connector: &str, options: Json) -> Arc<dyn Endpoint> {
    connectors::find(connector).unwrap().endpoint(&options).unwrap()
}

/// Rows as SQL values; `odd` stands for floats that not every source has.
fn values(odd: &[&str]) -> String {
    let texts = ["'Ada'", "'ada'", "'ADA'", "'Ada '", "''", "null", "'zoë'", "'Zoë'", "'b'", "'B'"];
    let decimals = ["1.50", "1.51", "0", "-0.01", "null", "99999999.99"];
    let floats: Vec<&str> = ["0.0", "-0.0", "1.5", "null", "-1.5"].iter().chain(odd).copied().collect();
    let dates = ["'2024-02-29'", "null", "'1969-12-31'", "'2024-02-28'"];
    let flags = ["true", "false", "null"];
    let row = |id: usize| {
        let pick = |list: &[&'static str]| list[(id * 7 + id / list.len()) % list.len()];
        let float = floats[(id * 3 + id / 8) % floats.len()];
        format!("({id}, {}, {}, {float}, {}, {})", pick(&texts), pick(&decimals), pick(&dates), pick(&flags))
    };
    (0..60).map(row).collect::<Vec<_>>().join(", ")
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_filters_as_arrow_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    for (table, collation) in [("plain", ""), ("folded", "collate nocase"), ("trimmed", "collate rtrim")] {
        let columns =
            format!("id integer primary key, t text {collation}, n decimal(10,2), f double, d date, b boolean");
        let rows = values(&["9e999"]);
        sqlite3(&path, &format!("create table {table} ({columns}); insert into {table} values {rows};"));
    }
    let source = endpoint("sqlite", json!({ "url": format!("sqlite:{}", path.display()) }));
    for table in ["plain", "folded", "trimmed"] {
        same_rows(&source, ObjectRef::Table(table.to_owned())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_filters_as_arrow_does() {
    let url = postgres();
    psql(&url, "create collation folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)");
    for (table, collation) in [("plain", ""), ("folds", "collate folded"), ("bytes", "collate \"C\"")] {
        let columns = format!("id int primary key, t text {collation}, n numeric(10,2), f float8, d date, b boolean");
        let rows = values(&["'NaN'", "'Infinity'", "'-Infinity'"]).replace("-0.0,", "'-0'::float8,");
        psql(&url, &format!("create table {table} ({columns}); insert into {table} values {rows}"));
    }
    assert_eq!(psql(&url, "select count(*) > 0 from plain where f::text = '-0'"), "t");
    let source = endpoint("postgres", json!({ "url": url }));
    for table in ["plain", "folds", "bytes"] {
        same_rows(&source, ObjectRef::Table(table.to_owned())).await;
    }
}

/// A Parquet file with statistics of several row groups.
async fn parquet(path: &Path) {
    let rows = 60;
    let pick = |row: usize, count: usize| (row * 7 + row / count) % count;
    let texts = [Some("Ada"), Some("ada"), Some(""), None, Some("zoë"), Some("b")];
    let floats = [Some(0.0), Some(-0.0), Some(1.5), None, Some(f64::NAN), Some(-f64::NAN), Some(f64::INFINITY)];
    let decimals = [Some(150), Some(151), Some(0), Some(-1), None, Some(9_999_999_999_i64)];
    let columns: [(&str, ArrayRef); 6] = [
        ("id", Arc::new(Int64Array::from_iter_values(0..rows as i64))),
        ("t", Arc::new((0..rows).map(|row| texts[pick(row, 6)]).collect::<StringArray>())),
        (
            "n",
            Arc::new(
                (0..rows)
                    .map(|row| decimals[pick(row, 6)].map(i128::from))
                    .collect::<Decimal128Array>()
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
        ),
        // Sorted by groups, so that statistics leave some out.
        ("f", Arc::new((0..rows).map(|row| floats[row * 7 / rows]).collect::<Float64Array>())),
        (
            "d",
            Arc::new(
                (0..rows)
                    .map(|row| [Some(19_782), None, Some(-1), Some(19_781)][row * 4 / rows])
                    .collect::<Date32Array>(),
            ),
        ),
        ("b", Arc::new((0..rows).map(|row| [Some(true), Some(false), None][pick(row, 3)]).collect::<BooleanArray>())),
    ];
    let source = Memory::new();
    let columns = columns.map(|(name, column)| (name, column, true));
    source.insert("src", RecordBatch::try_from_iter_with_nullable(columns).unwrap(), 1);
    let mut job = job(Transform::default());
    job.target.object = ObjectRef::Whole;
    let target = endpoint("file", json!({ "url": path.display().to_string(), "rowGroupRows": 8 }));
    copy(&job, Between { source: source.endpoint(), target, also: Vec::new() }, &Surroundings::default())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_filters_as_arrow_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    parquet(&path).await;
    same_rows(&endpoint("file", json!({ "url": path.display().to_string() })), ObjectRef::Whole).await;
}
