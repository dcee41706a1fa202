//! Sums and hashes over the columns of a stage against those of what was sent, before anything of it is visible.
//!
//! Numbers are summed up by the server, everything else is hashed by it in a text form that is known here (`form`): one
//! scan. What only reading can tell is read back by COPY in text format (`back`), and so is everything where the server
//! does not hash as we do: before version 11, in another encoding than UTF-8, where this user may not call the function.

mod back;
mod form;

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema};

use super::agree::Detail;
use super::connect::Connection;
use super::encode::{Column, Layout};
use super::name::identifier;
use super::publish::check_done;
use super::stage::Stage;
use crate::attempt::Token;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::proof::hash::hash;
use crate::proof::{ColumnProof, Integers, Verdict, total};
use crate::sink::{Agreement, Receipt};

use self::form::Form;

/// Since this version seconds are exact numbers and not floats.
const EXACT_SECONDS: u32 = 140_000;

/// Digits of numbers of which ten billion have a sum of 128 bits; larger ones are hashed.
const SUM_DIGITS: u8 = 28;

/// Since this version the server takes trailing zeros off a numeric.
const TRIM_SCALE: u32 = 130_000;

/// What is hashed to see whether the server does it as we do: one that stores the high byte first does not.
const PROBE: &str = "etl";

/// How one column is compared, beside its NULLs.
#[derive(Debug, PartialEq)]
enum Way {
    /// By sum, least and greatest of this number, a unit of ours being so many decimal places below it.
    Sums(String, i8),
    /// By hashes of a text, which is this expression of the server, and the form of it here.
    Hashed(String, Form),
    /// The same, but the text is read back and compared as what it means.
    Read(String, Form),
    /// Not at all: the server makes of its text what it likes.
    Nulls,
}

/// The columns of an agreement, and how each is compared.
fn ways<'a>(agreement: &'a Agreement, detail: &'a Detail) -> impl Iterator<Item = (&'a Column, Way)> {
    let (version, hashes) = detail.proof;
    detail.columns.iter().zip(agreement.target.fields()).map(move |(column, field)| {
        let way = match way_of(column, field, type_of(agreement, &column.name), version) {
            Way::Hashed(text, form) if !hashes => Way::Read(text, form),
            way => way,
        };
        (column, way)
    })
}

/// How columns are compared, for the plan; none where rows go into the target itself.
pub(super) fn way(agreement: &Agreement, detail: &Detail) -> Option<String> {
    if detail.path.held() || !detail.path.stages() {
        return None;
    }
    let names = |wanted: fn(&Way) -> bool| {
        let names: Vec<&str> =
            ways(agreement, detail).filter(|(_, way)| wanted(way)).map(|(column, _)| column.name.as_str()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let mut way =
        "before rows become visible the server sums up and hashes each column: one scan of what was written".to_owned();
    if let Some(read) = names(|way| matches!(way, Way::Read(..))) {
        way = format!("{way}; read back as text, about as long as their copy: {read}");
    }
    if let Some(counted) = names(|way| *way == Way::Nulls) {
        way = format!("{way}; compared by their NULLs alone, because the server rewrites them: {counted}");
    }
    Some(way)
}

/// `batch` with the texts in which columns are hashed.
pub(super) fn provable(agreement: &Agreement, detail: &Detail, batch: &RecordBatch) -> Result<RecordBatch> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut arrays = Vec::with_capacity(batch.num_columns());
    for ((column, way), (field, array)) in
        ways(agreement, detail).zip(batch.schema_ref().fields().iter().zip(batch.columns()))
    {
        let array = match way {
            Way::Hashed(_, form) | Way::Read(_, form) => form.of(column, array)?,
            Way::Sums(..) | Way::Nulls => Arc::clone(array),
        };
        fields.push(field.as_ref().clone().with_data_type(array.data_type().clone()));
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let schema = Arc::new(Schema::new(fields));
    Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
}

/// Compares the stage of `token` with `receipts`: always the counts that the server took at each COPY, and the columns where
/// receipts carry sums.
pub(super) async fn verify(
    connection: &Connection,
    agreement: &Agreement,
    detail: &Detail,
    (token, receipts): (&Token, &[Receipt]),
) -> Result<Verdict> {
    let stage = Stage::of(&detail.target, token);
    let rows: u64 = receipts.iter().map(|receipt| receipt.rows).sum();
    if let Err(error) = check_done(connection, &stage, receipts, rows).await {
        return match error.kind() {
            ErrorKind::Mismatch => Ok(Verdict::Unequal(error.message().to_owned())),
            _ => Err(error),
        };
    }
    let Some(proofs) = total(receipts.iter().map(|receipt| receipt.columns.as_ref())) else {
        return Ok(Verdict::Equal);
    };
    // In one state of the database, and with the text forms that do not depend on its settings.
    let settings = connection.server().settings();
    connection.run(&format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {settings}")).await?;
    let found = compared(connection, (agreement, detail), &stage.table.quoted(), (rows, &proofs)).await?;
    connection.run("COMMIT").await?;
    Ok(found)
}

async fn compared(
    connection: &Connection,
    (agreement, detail): (&Agreement, &Detail),
    stage: &str,
    (rows, proofs): (u64, &[ColumnProof]),
) -> Result<Verdict> {
    let probe = format!("hashtextextended('{PROBE}' COLLATE \"C\", 0) = {}", hash(PROBE.as_bytes()).cast_signed());
    let mut checks = vec![format!("count(*) = {rows}"), if detail.proof.1 { probe } else { "true".to_owned() }];
    let (mut read, mut hashed) = (Vec::new(), Vec::new());
    for (at, ((column, way), proof)) in ways(agreement, detail).zip(proofs).enumerate() {
        checks.push(check(&identifier(&column.name), &way, proof));
        match way {
            Way::Read(text, form) => read.push(back::Column { at, text, form }),
            Way::Hashed(text, form) => hashed.push(back::Column { at, text, form }),
            Way::Sums(..) | Way::Nulls => {}
        }
    }
    let found = connection.rows(&format!("SELECT {} FROM {stage}", checks.join(", "))).await?;
    let row = found.first().ok_or_else(|| Error::new(ErrorKind::Internal, "the server gave no sums"))?;
    let failed = |index: usize| row.get(index) != Some("t");
    if failed(0) {
        return Ok(Verdict::Unequal(format!("the stage does not hold the {rows} rows that were sent")));
    }
    let mut other: Vec<bool> = (0..proofs.len()).map(|at| failed(at + 2)).collect();
    if failed(1) {
        for column in &hashed {
            other[column.at] = false;
        }
        read.append(&mut hashed);
    }
    if !read.is_empty() {
        let sums = back::sums(connection, stage, &read).await.at("step", || "reading back")?;
        for (column, found) in read.iter().zip(sums) {
            let sent = &proofs[column.at];
            other[column.at] |= found.values != sent.values || found.digest != Some(sent.digest.unwrap_or(0));
        }
    }
    let names = detail.columns.iter().zip(other).filter(|(_, other)| *other);
    let names: Vec<&str> = names.map(|(column, _)| column.name.as_str()).collect();
    if names.is_empty() {
        return Ok(Verdict::Equal);
    }
    Ok(Verdict::Unequal(format!("the stage holds other values than were sent, in the columns {}", names.join(", "))))
}

/// The type of a target's column in its own words.
fn type_of<'a>(agreement: &'a Agreement, name: &str) -> &'a str {
    let plan = agreement.columns.iter().find(|plan| plan.target.as_deref() == Some(name));
    plan.map_or("", |plan| plan.target_type.as_str())
}

/// How a column is compared on a server of `version` that hashes.
fn way_of(column: &Column, field: &Field, target_type: &str, version: u32) -> Way {
    let name = identifier(&column.name);
    match number(column, field, &name, version) {
        Some((value, scale)) if !column.wire => Way::Sums(value, scale),
        _ => match form::text_of(column, field, target_type) {
            Some((_, Form::Number)) if version >= TRIM_SCALE => {
                Way::Hashed(format!("trim_scale({name})::text"), Form::Number)
            }
            Some((text, form @ (Form::Number | Form::Json))) => Way::Read(text, form),
            Some((text, form)) => Way::Hashed(text, form),
            None => Way::Nulls,
        },
    }
}

/// An SQL condition that holds when the column `name` is what `proof` says, as far as it is compared by the server.
fn check(name: &str, way: &Way, proof: &ColumnProof) -> String {
    let count = format!("count({name}) = {}", proof.values);
    match (way, proof.integers, proof.digest) {
        (Way::Sums(value, scale), Some(sums), _) => format!("{count} AND {}", sums_check(value, *scale, sums)),
        (Way::Hashed(text, _), _, Some(digest)) => {
            // Both are sums modulo 2^64.
            let sum = format!("sum(hashtextextended(({text}) COLLATE \"C\", 0))");
            format!("{count} AND mod(coalesce({sum}, 0) - {digest}::numeric, 18446744073709551616) = 0")
        }
        _ => count,
    }
}

/// The value of a column as a number, and how many decimal places below it a unit of ours is.
fn number(column: &Column, field: &Field, name: &str, version: u32) -> Option<(String, i8)> {
    let seconds = || (version >= EXACT_SECONDS).then(|| (format!("extract(epoch FROM {name})"), 6));
    match (&column.layout, field.data_type()) {
        (Layout::Int2 | Layout::Int4 | Layout::Int8 | Layout::Oid, kind) if kind.is_integer() => {
            Some((format!("{name}::int8"), 0))
        }
        (Layout::Numeric, kind) if kind.is_integer() => Some((name.to_owned(), 0)),
        (Layout::Numeric, DataType::Decimal128(digits, scale)) if *digits <= SUM_DIGITS => {
            Some((name.to_owned(), *scale))
        }
        (Layout::Bool, DataType::Boolean) => Some((format!("{name}::int4"), 0)),
        (Layout::Date, DataType::Date32) => Some((format!("({name} - date '1970-01-01')"), 0)),
        (Layout::Timestamp, DataType::Timestamp(..)) | (Layout::Time, DataType::Time64(_)) => seconds(),
        _ => None,
    }
}

fn sums_check(value: &str, scale: i8, sums: Integers) -> String {
    let literal = |number: i128| format!("'{number}e{}'::numeric", -i32::from(scale));
    let Integers { sum, least, greatest } = sums;
    let [sum, least, greatest] = [sum, least, greatest].map(literal);
    format!("coalesce(sum({value}) = {sum} AND min({value}) = {least} AND max({value}) = {greatest}, false)")
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;
    use crate::connectors::postgres::encode::Check;

    fn of(layout: Layout, kind: DataType, target_type: &str, wire: bool, version: u32) -> Way {
        let column = Column { name: "a\"b".to_owned(), layout, wire, check: Check::None };
        way_of(&column, &Field::new("a\"b", kind, true), target_type, version)
    }

    #[test]
    fn numbers_are_summed_up_and_all_else_is_hashed_as_far_as_its_text_is_known() {
        let name = "\"a\"\"b\"";
        let hashed = |text: &str, form| Way::Hashed(text.replace('$', name), form);
        let read = |text: &str, form| Way::Read(text.replace('$', name), form);
        let sums = |value: &str, scale| Way::Sums(value.replace('$', name), scale);
        let (utf8, binary) = (DataType::Utf8, DataType::Binary);
        let at = DataType::Timestamp(TimeUnit::Microsecond, None);
        let cases = [
            (of(Layout::Numeric, DataType::Decimal128(12, 2), "numeric(12,2)", false, 150_000), sums("$", 2)),
            (
                of(Layout::Numeric, DataType::Decimal128(38, 0), "numeric(38,0)", false, 150_000),
                hashed("trim_scale($)::text", Form::Number),
            ),
            (of(Layout::Text, utf8.clone(), "text", false, 150_000), hashed("$::text", Form::Text)),
            (of(Layout::Text, utf8.clone(), "character(5)", false, 150_000), hashed("rtrim($::text)", Form::Trimmed)),
            (of(Layout::Text, utf8.clone(), "xml", false, 150_000), Way::Nulls),
            (
                of(Layout::Timestamp, at.clone(), "timestamp without time zone", false, 140_000),
                sums("extract(epoch FROM $)", 6),
            ),
            (
                of(Layout::Timestamp, at, "timestamp without time zone", false, 130_000),
                hashed("encode(timestamp_send($), 'hex')", Form::Wire),
            ),
            (
                of(Layout::Numeric, binary.clone(), "numeric", true, 150_000),
                hashed("trim_scale($)::text", Form::Number),
            ),
            (of(Layout::Numeric, binary, "numeric", true, 120_000), read("$::text", Form::Number)),
            (
                of(Layout::Float8, DataType::Float64, "double precision", false, 150_000),
                hashed("encode(float8send($), 'hex')", Form::Wire),
            ),
            (of(Layout::Jsonb, utf8.clone(), "jsonb", false, 150_000), read("$::text", Form::Json)),
            (of(Layout::Other, utf8, "inet", false, 150_000), Way::Nulls),
        ];
        for (found, expected) in cases {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn conditions_hold_for_what_was_sent_alone() {
        let integers = Some(Integers { sum: 1250, least: -5, greatest: 700 });
        let proof = ColumnProof { values: 3, nulls: 1, integers, bytes: None, digest: Some(u64::MAX) };
        assert_eq!(
            check("a", &Way::Sums("a".to_owned(), 2), &proof),
            "count(a) = 3 AND coalesce(sum(a) = '1250e-2'::numeric AND min(a) = '-5e-2'::numeric \
             AND max(a) = '700e-2'::numeric, false)"
        );
        assert_eq!(
            check("a", &Way::Hashed("a::text".to_owned(), Form::Text), &proof),
            "count(a) = 3 AND mod(coalesce(sum(hashtextextended((a::text) COLLATE \"C\", 0)), 0) \
             - 18446744073709551615::numeric, 18446744073709551616) = 0"
        );
        assert_eq!(check("a", &Way::Nulls, &proof), "count(a) = 3");
    }
}
