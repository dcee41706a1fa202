//! `etl types`, and the page of the handbook that shows all of it.

use std::fmt::Write as _;
use std::path::Path;

use arrow_etl::connector::{Connector, NativeType};
use arrow_etl::connectors;
use arrow_etl::sink::{ColumnFate, ColumnPlan};

use crate::program::etl;

/// What has types: the title, the connector, and the format of its files.
const PRODUCTS: &[(&str, &str, &str)] = &[
    ("PostgreSQL", "postgres", ""),
    ("MySQL", "mysql", ""),
    ("SQLite", "sqlite", ""),
    ("DuckDB", "duckdb", ""),
    ("ClickHouse", "clickhouse", ""),
    ("SQL Server", "mssql", ""),
    ("Parquet", "file", "parquet"),
    ("Arrow", "file", "arrow"),
    ("Avro", "file", "avro"),
    ("CSV", "file", "csv"),
    ("JSON lines", "file", "jsonl"),
    ("Excel", "file", "xlsx"),
];

fn connector(name: &str) -> &'static dyn Connector {
    connectors::find(name).unwrap()
}

fn mark(plan: &ColumnPlan) -> String {
    let mark = match plan.fate {
        ColumnFate::Exact => "=",
        ColumnFate::Widened => "+",
        ColumnFate::Stringified => "t",
        ColumnFate::Lossy => "~",
        ColumnFate::Added | ColumnFate::Dropped | ColumnFate::LossAllowed => "?",
    };
    format!("{mark} `{}`", plan.target_type)
}

/// What becomes of `native` in a product: the mark, or why it is refused.
fn fate(native: &NativeType, (_, name, format): (&str, &str, &str)) -> Result<String, String> {
    let table = native.table.as_ref().map_err(|error| error.message().to_owned())?;
    let plans = connector(name).new_columns(table, format).map_err(|error| error.message().to_owned())?;
    assert_eq!(plans.len(), 1, "{}", native.name);
    Ok(mark(&plans[0]))
}

/// The table of one product, and what is refused of it.
fn section(source: (&str, &str, &str)) -> String {
    let types = connector(source.1).types(source.2);
    assert!(!types.is_empty(), "{}", source.0);
    let titles: Vec<&str> = PRODUCTS.iter().map(|(title, ..)| *title).collect();
    let mut page =
        format!("\n## From {}\n\n| type | {} |\n|---|{}\n", source.0, titles.join(" | "), "---|".repeat(titles.len()));
    let mut refusals: Vec<(String, Vec<String>)> = Vec::new();
    for native in &types {
        let mut cells = Vec::new();
        for target in PRODUCTS {
            cells.push(fate(native, *target).unwrap_or_else(|why| {
                let place = format!("`{}` in {}", native.name, target.0);
                match refusals.iter_mut().find(|(known, _)| *known == why) {
                    Some((_, places)) => places.push(place),
                    None => refusals.push((why, vec![place])),
                }
                "–".to_owned()
            }));
        }
        let _ = writeln!(page, "| `{}` | {} |", native.name, cells.join(" | "));
    }
    for (why, places) in refusals {
        let all = places.len() == PRODUCTS.len();
        let places = if all { places[0].split(" in ").next().unwrap().to_owned() } else { places.join(", ") };
        let _ = writeln!(page, "\nRefused: {places}: {why}.");
    }
    page
}

/// The page changes when a type is added, lost or treated otherwise. `ETL_TEST_REWRITE=1 cargo test --test it the_page_of_types` writes it anew.
#[test]
fn the_page_of_types_is_what_is_done() {
    let page: String = PRODUCTS.iter().map(|product| section(*product)).collect();
    let page = page.trim_start().to_owned();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs/type-matrix.md");
    if std::env::var_os("ETL_TEST_REWRITE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written == page,
        "src/docs/type-matrix.md is another: ETL_TEST_REWRITE=1 cargo test --test it the_page_of_types writes it"
    );
}

#[test]
fn types_are_shown_as_text_and_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let shown = etl(folder.path(), &["types", "postgres", "mariadb"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    let line = |name: &str| -> Vec<String> {
        let line =
            shown.stdout.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{}", shown.stdout));
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    };
    assert_eq!(line("postgres"), ["postgres", "read as", "mariadb", "values", "note"]);
    assert_eq!(line("bigint"), ["bigint", "Int64", "bigint", "exact"]);
    assert_eq!(line("numeric(18,4)")[2..4], ["decimal(18,4)", "exact"]);
    assert_eq!(line("integer[]")[2..4], ["longtext", "as text"]);
    assert_eq!(line("xid8"), ["xid8", "refused", "type xid8 is not copied"]);
    let json = etl(folder.path(), &["types", "parquet", "sqlite", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let types = json["types"].as_array().unwrap();
    let of = |name: &str| types.iter().find(|native| native["type"] == name).unwrap();
    assert_eq!((&of("Int8")["targetType"], &of("Int8")["fate"]), (&"INT2".into(), &"widened".into()));
}

/// What is listed the tests of `matrix` hold to be whole and true.
#[test]
fn values_that_are_refused_are_listed_by_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let shown = |source, target| etl(folder.path(), &["types", source, target]).stdout;
    let (mysql, mariadb) = (shown("postgres", "mysql"), shown("pg", "mariadb"));
    for line in ["infinity of dates and timestamps", "24:00 of a time", "instants outside 1970 to January 2038"] {
        assert!([&mysql, &mariadb].iter().all(|page| page.lines().any(|known| known == format!("  {line}"))), "{line}");
    }
    let only = "JSON with numbers that would be rounded";
    assert!(mysql.contains(only) && !mariadb.contains(only), "{mysql}{mariadb}");
    assert!(mariadb.contains("look otherwise:\n  zero without its sign\n"), "{mariadb}");
    assert!(!shown("postgres", "postgres").contains("Values that"));
    let json = etl(folder.path(), &["types", "mysql", "csv", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let zeros = "dates with zeros in them, as 0000-00-00, unless the option zeroDates says otherwise";
    assert_eq!(json["values"][0], serde_json::json!({ "values": zeros, "fate": "refused" }));
}

#[test]
fn what_has_no_types_is_said_to_have_none() {
    let folder = tempfile::tempdir().unwrap();
    for (words, told) in [
        (["types", "null", "csv"], "null has no types of its own"),
        (["types", "csv", "gen"], "gen has no types of its own"),
        (["types", "file", "csv"], "file has no types of its own"),
        (["types", "oracle", "csv"], "oracle has no types of its own"),
        (["types", "db2", "csv"], "there is no connector \"db2\""),
    ] {
        let done = etl(folder.path(), &words);
        assert_eq!(done.code, 2, "{}", done.stderr);
        assert!(done.stderr.contains(told), "{}", done.stderr);
    }
}
