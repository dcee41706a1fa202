//! `etl diff`: what two places have of each other.

use std::sync::Arc;

use clap::Args;
use serde_json::json;
use serde_json::value::RawValue;

use super::args::{Output, SourceArgs, TalkArgs};
use super::files::{FileArgs, TargetFileArgs};
use super::head::cell;
use super::interrupt::Interrupt;
use super::mode::{self, Mode};
use super::place::{self, Side};
use super::settings::{self, Level};
use super::size::Bytes;
use super::{amount, printer, progress, record, table};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::meter::Meter;
use crate::job::{Limits, Place};
use crate::run::diff::{ColumnReport, Comparison, Report, Resend, Shown, Values, What};
use crate::run::{self, Surroundings};

pub(super) const DIFF_EXAMPLES: &str = "\
Examples:
  etl diff orders.csv shop.db#orders --key id
  etl diff 'postgres://ada@db/shop#orders' 'postgres://ada@dw/shop#orders' -j 4
  etl diff a.parquet b.parquet --key region,id --where \"day >= '2024-01-01'\" --output json
  etl diff shop.db#orders old.db#orders --to missing.parquet

A's values are cast to B's types as a copy from A to B would cast them. NULL equals NULL, NaN equals
NaN, and -0.0 is not 0.0. Exit code 0: equal; 4: not.";

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// One side
    pub(super) a: String,
    /// The other side
    pub(super) b: String,
    /// Columns that tell rows apart [default: primary key of A, else of B]
    #[arg(long, value_name = "A,B")]
    pub(super) key: Vec<String>,
    /// Compare only these columns beside the key
    #[arg(long, visible_alias = "columns", value_name = "A,B")]
    pub(super) select: Vec<String>,
    /// Compare only rows for which this is true, on both sides
    #[arg(long = "where", value_name = "EXPR")]
    pub(super) filter: Option<String>,
    /// Parse a column of a text file as this type; may be repeated
    #[arg(long, value_name = "COL:TYPE")]
    pub(super) cast: Vec<String>,
    /// Show no more differences than this
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(super) limit_shown: usize,
    /// Copy rows of A that B lacks or has otherwise to DST
    #[arg(long, value_name = "DST")]
    pub(super) to: Option<String>,
    /// What happens to what DST holds: create, append, truncate, replace or upsert
    #[arg(long, value_enum, default_value_t = Mode::Create, hide_possible_values = true)]
    pub(super) mode: Mode,
    /// Splits that are read at once, of both sides together [default: number of cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(super) jobs: Option<u32>,
    /// Memory for rows, 64MiB at least; what does not fit is sorted on disk [default: 512MiB]
    #[arg(long, value_name = "SIZE")]
    pub(super) memory: Option<Bytes>,
    #[command(flatten)]
    pub(super) talk: TalkArgs,
}

pub(super) async fn run(args: &DiffArgs) -> Result<()> {
    let talk = settings::talk(&args.talk);
    let side = |text: &str| place::source(text, &SourceArgs::default());
    let sides = [side(&args.a)?, side(&args.b)?];
    let comparison = comparison(args, &sides)?;
    let interrupt = Interrupt::listen()?;
    let state = if comparison.resend.is_some() { record::open(None).await.ok() } else { None };
    let meter = Arc::new(Meter::default());
    let surroundings = Surroundings { meter, stop: interrupt.token(), state, ..Surroundings::default() };
    let comparing = run::diff::diff(&comparison, &surroundings);
    let shown = (talk.progress, None);
    let compared = progress::watch(comparing, &surroundings.meter, shown, &surroundings.stop).await;
    let mut report = compared?;
    report.a = place::source_label(&report.a, &sides[0].object);
    report.b = place::source_label(&report.b, &sides[1].object);
    match talk.output {
        Output::Text => printer::data(&text(&report, talk.level))?,
        Output::Json => printer::json(&report)?,
    }
    if report.is_equal {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Mismatch, "A and B are not equal"))
}

fn comparison(args: &DiffArgs, sides: &[Side; 2]) -> Result<Comparison> {
    let is_text = [0, 1].map(|side| place::is_text(&sides[side]));
    if !args.cast.is_empty() && is_text == [false, false] {
        let message = "--cast is for text files here, and there is none";
        return Err(Error::new(ErrorKind::Usage, message).with_hint("leave --cast out"));
    }
    let place = |side: usize| -> Result<Place> {
        let casts = if is_text[side] { args.cast.as_slice() } else { &[] };
        let mut place = place::read_place(&sides[side], &FileArgs::default(), casts)?;
        // The other side knows what the text means. A filter needs types from the start, which are guessed then.
        if is_text[side] && !is_text[1 - side] && args.filter.is_none() {
            let options = place.options.as_object_mut();
            options.and_then(|options| options.entry("allStrings").or_insert(json!(true)).as_bool());
        }
        Ok(place)
    };
    let resend = |target: &String| -> Result<Resend> {
        let target = place::target(target, None, &sides[0])?;
        let none = (FileArgs::default(), TargetFileArgs::default());
        let (_, target, _) = place::copy_places((&sides[0], &[target]), (&none.0, &none.1))?;
        Ok(Resend { target, mode: mode::resending(args.mode, &args.key)? })
    };
    Ok(Comparison {
        places: [place(0)?, place(1)?],
        key: settings::columns(&args.key),
        select: settings::columns(&args.select),
        filter: args.filter.clone(),
        shown: args.limit_shown,
        resend: args.to.as_ref().map(resend).transpose()?,
        limits: Limits {
            jobs: args.jobs.map(|jobs| jobs as usize),
            memory_bytes: args.memory.map(|memory| memory.0),
            ..Limits::default()
        },
    })
}

/// Characters before the text of each part.
const MARGIN: usize = 13;

fn text(report: &Report, level: Level) -> String {
    let rows = |count: u64| amount::counted(count, "row");
    let mut parts = vec![
        ("A", report.a.clone()),
        ("B", report.b.clone()),
        ("key", report.key.join(", ")),
        ("rows", format!("{} in A, {} in B", rows(report.rows_a), rows(report.rows_b))),
        ("equal", rows(report.equal)),
    ];
    let unequal = [("only in A", report.only_in_a), ("only in B", report.only_in_b), ("different", report.different)];
    parts.extend(unequal.into_iter().filter(|(_, count)| *count > 0).map(|(head, count)| (head, rows(count))));
    for (keys, side) in [(report.duplicate_keys_a, "A"), (report.duplicate_keys_b, "B")] {
        let keys = (keys > 0).then(|| amount::counted(keys, "key"));
        let told = |keys| format!("{keys} of {side} more than once: such rows are matched with none");
        parts.extend(keys.map(|keys| ("duplicates", told(keys))));
    }
    for (columns, side) in [(&report.columns_only_in_a, "A"), (&report.columns_only_in_b, "B")] {
        let told = format!("{} (only in {side})", columns.join(", "));
        parts.extend((!columns.is_empty()).then_some(("not compared", told)));
    }
    parts.extend(report.sent.map(|sent| ("sent", rows(sent))));
    let lines: Vec<String> = parts.iter().map(|(head, line)| format!("{head:<MARGIN$}{line}\n")).collect();
    [lines.concat(), columns(report, level), differences(report)].concat()
}

/// The columns that differ, or are not compared exactly; all of them where more is wanted.
fn columns(report: &Report, level: Level) -> String {
    let told = |column: &&ColumnReport| {
        level == Level::Verbose || column.note.is_some() || column.different.is_some_and(|count| count > 0)
    };
    let row = |column: &ColumnReport| {
        let different = column.different.map_or_else(|| "key".to_owned(), |count| count.to_string());
        vec![column.name.clone(), column.compared_as.clone(), different, column.note.clone().unwrap_or_default()]
    };
    let rows: Vec<_> = report.columns.iter().filter(told).map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\ncolumns\n{}", table::aligned(&["column", "compared as", "different", ""], &rows, "  "))
}

/// The differences that are shown: one line a value that differs, or one of a key.
fn differences(report: &Report) -> String {
    let mut rows = Vec::new();
    for shown in &report.differences {
        rows.extend(lines(report, shown));
    }
    if rows.is_empty() {
        return String::new();
    }
    let mut heads: Vec<&str> = report.key.iter().map(String::as_str).collect();
    heads.extend(["", "column", "A", "B"]);
    format!("\ndifferences\n{}", table::aligned(&heads, &rows, "  "))
}

fn lines(report: &Report, shown: &Shown) -> Vec<Vec<String>> {
    let get = |row: &Values, name: &str| value(row.get(name).map(|value| &**value));
    let row = shown.a.as_ref().or(shown.b.as_ref());
    let key: Vec<String> = report.key.iter().filter_map(|name| Some(get(row?, name))).collect();
    let line = |words: [&str; 4]| [key.clone(), words.map(str::to_owned).to_vec()].concat();
    match (shown.what, &shown.a, &shown.b) {
        (What::Different, Some(a), Some(b)) => {
            let raw = |row: &Values, name: &str| row.get(name).map(|value| value.get().to_owned());
            let names = report.columns.iter().filter(|column| column.different.is_some()).map(|column| &*column.name);
            let differing = names.filter(|name| raw(a, name) != raw(b, name));
            differing.map(|name| line(["different", name, &get(a, name), &get(b, name)])).collect()
        }
        (What::OnlyInA, ..) => vec![line(["only in A", "", "", ""])],
        (What::OnlyInB, ..) => vec![line(["only in B", "", "", ""])],
        _ => {
            let count = |rows: u64| amount::counted(rows, "row");
            vec![line(["duplicate", "", &count(shown.rows_a), &count(shown.rows_b)])]
        }
    }
}

/// A JSON value as a cell: texts without their quotes, where they can be told from others so.
fn value(raw: Option<&RawValue>) -> String {
    match raw.map_or("null", RawValue::get) {
        "null" => "NULL".to_owned(),
        // Without their quotes these look like nothing, and like NULL.
        raw @ ("\"\"" | "\"NULL\"") => raw.to_owned(),
        raw => cell(&serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned())),
    }
}
