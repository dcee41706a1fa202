//! `etl types`: what becomes of each type of one product in another, as the plan of a copy into a new table would say it.

use std::fmt::Write as _;

use serde_json::json;

use super::args::{Output, TypesArgs};
use super::{plan, printer, table};
use crate::connector::{Connector, NativeType};
use crate::connectors::{self, CONNECTORS};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::extension::{FORMATS, Format};
use crate::sink::ColumnPlan;

/// Values that a place refuses or makes others of, though it has their type. The tests hold this list to be whole and true.
const VALUES: &str = include_str!("values.txt");

pub(super) fn run(args: &TypesArgs) -> Result<()> {
    let (source, target) = (Product::named(&args.source)?, Product::named(&args.target)?);
    let types = source.types();
    if target.types().is_empty() || types.is_empty() {
        let without = if types.is_empty() { &args.source } else { &args.target };
        let message = format!("{without} has no types of its own");
        return Err(Error::new(ErrorKind::Usage, message).with_hint(format!("use one of {}", names().join(", "))));
    }
    let ways: Vec<Way> = types.iter().map(|native| Way::of(native, &target)).collect();
    let values = values(source.place(&args.source), target.place(&args.target));
    match args.output.output {
        Output::Text => printer::data(&(text(&ways, [&args.source, &args.target]) + &told(&values))),
        Output::Json => {
            let types: Vec<_> = ways.iter().map(described).collect();
            let values: Vec<_> =
                values.iter().map(|(fate, values)| json!({ "values": values, "fate": fate })).collect();
            printer::json(&json!({ "source": args.source, "target": args.target, "types": types, "values": values }))
        }
    }
}

/// What becomes of values of `source` in `target`, `refused` or `changed`, and which they are.
fn values(source: &str, target: &str) -> Vec<(&'static str, &'static str)> {
    let mut found = Vec::new();
    let is_in = |names: &str, name: &str| names.split(' ').any(|known| known == name || known == "*");
    for line in VALUES.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let [fate, sources, _, targets, _, values] = fields[..] else { continue };
        let is_meant = source != target && is_in(sources, source) && is_in(targets, target);
        if is_meant && !found.contains(&(fate, values)) {
            found.push((fate, values));
        }
    }
    found
}

/// The same for people.
fn told(values: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let titles = [
        ("refused", "Values that are refused, with column and row, whatever their type becomes:"),
        ("changed", "Values that mean the same afterwards and look otherwise:"),
    ];
    for (fate, title) in titles {
        let of: Vec<&str> = values.iter().filter(|(known, _)| *known == fate).map(|(_, values)| *values).collect();
        if !of.is_empty() {
            let _ = writeln!(out, "\n{title}\n  {}", of.join("\n  "));
        }
    }
    out
}

/// A connector, of files in one format.
struct Product {
    connector: &'static dyn Connector,
    format: &'static str,
}

impl Product {
    fn named(word: &str) -> Result<Self> {
        Ok(match Format::of_extension(word) {
            Some(format) => Self { connector: connectors::find("file")?, format: format.extension() },
            None => Self { connector: connectors::find(word)?, format: "" },
        })
    }

    fn types(&self) -> Vec<NativeType> {
        self.connector.types(self.format)
    }

    /// How the list of values calls what is called `word` here.
    fn place<'a>(&self, word: &'a str) -> &'a str {
        match self.format {
            "" if word == "mariadb" => word,
            "" => self.connector.name(),
            "tsv" => "csv",
            "arrows" => "arrow",
            format => format,
        }
    }
}

/// The connectors whose types are their own. Each has a statement that makes a table of them.
pub(super) fn databases() -> impl Iterator<Item = &'static dyn Connector> {
    CONNECTORS.iter().copied().filter(|connector| !connector.types("").is_empty())
}

/// Every word that has types.
fn names() -> Vec<&'static str> {
    let databases = databases().map(Connector::name);
    databases.chain(FORMATS.iter().map(|(extension, _)| *extension)).collect()
}

/// The way of one type.
struct Way {
    name: String,
    arrow: Option<String>,
    /// What it becomes; else why it is refused.
    plan: Result<ColumnPlan>,
}

impl Way {
    fn of(native: &NativeType, target: &Product) -> Self {
        let name = native.name.clone();
        let table = match &native.table {
            Ok(table) => table,
            Err(error) => return Self { name, arrow: None, plan: Err(Error::new(error.kind(), error.message())) },
        };
        let arrow = table.schema.fields().first().map(|field| field.data_type().to_string());
        let lost = || Error::new(ErrorKind::Internal, "the column has no plan");
        let plans = target.connector.new_columns(table, target.format);
        Self { name, arrow, plan: plans.and_then(|plans| plans.into_iter().next().ok_or_else(lost)) }
    }
}

fn text(ways: &[Way], [source, target]: [&str; 2]) -> String {
    let row = |way: &Way| {
        let arrow = way.arrow.clone().unwrap_or_default();
        let [becomes, fate, note] = match &way.plan {
            Ok(plan) => {
                [plan.target_type.clone(), plan::fate(plan.fate).to_owned(), plan.note.clone().unwrap_or_default()]
            }
            Err(error) => [String::new(), "refused".to_owned(), error.message().to_owned()],
        };
        vec![way.name.clone(), arrow, becomes, fate, note]
    };
    let rows: Vec<Vec<String>> = ways.iter().map(row).collect();
    table::aligned(&[source, "read as", target, "values", "note"], &rows, "")
}

fn described(way: &Way) -> serde_json::Value {
    match &way.plan {
        Ok(plan) => json!({
            "type": way.name, "arrowType": way.arrow, "targetType": plan.target_type, "fate": plan.fate, "note": plan.note,
        }),
        Err(error) => json!({
            "type": way.name, "arrowType": way.arrow, "targetType": null, "fate": "refused", "note": error.message(),
        }),
    }
}
