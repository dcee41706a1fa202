//! Sums over the columns of a stage, which the server computes, against those of what was sent.
//!
//! One scan of the stage, before anything of it is visible. What the server cannot compute as we do (floats, intervals,
//! arrays, values in their wire form) is compared by the number of its NULLs; text by its bytes, but for types that pad it.

use arrow::datatypes::{DataType, Field};

use super::agree::Detail;
use super::connect::Connection;
use super::encode::{Column, Layout};
use super::name::identifier;
use super::publish::check_done;
use super::stage::Stage;
use crate::attempt::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::proof::{ColumnProof, Integers, Verdict, total};
use crate::sink::{Agreement, Receipt};

/// Since this version seconds are exact numbers and not floats.
const EXACT_SECONDS: u32 = 140_000;

/// How sums are compared, for the plan; none where rows go into the target itself.
pub(super) fn way(detail: &Detail) -> Option<String> {
    let way = "the server counts and sums up each column before rows become visible: one scan of what was written";
    (detail.path.stages() && !detail.path.held()).then(|| way.to_owned())
}

/// Compares the stage of `token` with `receipts`: always the counts that the server took at each COPY, and the sums of the
/// columns where receipts carry them.
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
    let version = connection.server().version_number;
    let mut checks = vec![format!("count(*) = {rows}")];
    for ((column, field), proof) in detail.columns.iter().zip(agreement.target.fields()).zip(&proofs) {
        checks.push(check(column, field, type_of(agreement, &column.name), proof, version));
    }
    let sql = format!("SELECT {} FROM {}", checks.join(", "), stage.table.quoted());
    let found = connection.rows(&sql).await?;
    let row = found.first().ok_or_else(|| Error::new(ErrorKind::Internal, "the server gave no sums"))?;
    let failed = |index: usize| row.get(index) != Some("t");
    if failed(0) {
        return Ok(Verdict::Unequal(format!("the stage does not hold the {rows} rows that were sent")));
    }
    let names = detail.columns.iter().enumerate().filter(|(at, _)| failed(at + 1));
    let names: Vec<&str> = names.map(|(_, column)| column.name.as_str()).collect();
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

/// An SQL condition that holds when `column` is what `proof` says.
fn check(column: &Column, field: &Field, target_type: &str, proof: &ColumnProof, version: u32) -> String {
    let name = identifier(&column.name);
    let mut all = vec![format!("count({name}) = {}", proof.values)];
    if !column.wire {
        let number = proof.integers.and_then(|sums| Some((sums, number(column, field, &name, version)?)));
        all.extend(number.map(|(sums, (value, scale))| sums_check(&value, scale, sums)));
        let bytes = proof.bytes.and_then(|bytes| Some((bytes, bytes_of(&column.layout, target_type, &name)?)));
        all.extend(bytes.map(|(bytes, value)| format!("coalesce(sum({value}), 0) = {bytes}")));
    }
    all.join(" AND ")
}

/// The value of a column as a number, and how many decimal places below it a unit of ours is.
fn number(column: &Column, field: &Field, name: &str, version: u32) -> Option<(String, i8)> {
    let seconds = || (version >= EXACT_SECONDS).then(|| (format!("extract(epoch FROM {name})"), 6));
    match (&column.layout, field.data_type()) {
        (Layout::Int2 | Layout::Int4 | Layout::Int8 | Layout::Oid, kind) if kind.is_integer() => {
            Some((format!("{name}::int8"), 0))
        }
        (Layout::Numeric, kind) if kind.is_integer() => Some((name.to_owned(), 0)),
        (Layout::Numeric, DataType::Decimal128(_, scale)) => Some((name.to_owned(), *scale)),
        (Layout::Bool, DataType::Boolean) => Some((format!("{name}::int4"), 0)),
        (Layout::Date, DataType::Date32) => Some((format!("({name} - date '1970-01-01')"), 0)),
        (Layout::Timestamp, DataType::Timestamp(..)) | (Layout::Time, DataType::Time64(_)) => seconds(),
        _ => None,
    }
}

/// The length of a text or binary value in bytes; none for types that pad or rewrite it.
fn bytes_of(layout: &Layout, target_type: &str, name: &str) -> Option<String> {
    let is_kept = matches!(target_type, "text" | "json") || target_type.starts_with("character varying");
    match layout {
        Layout::Text if is_kept => Some(format!("octet_length(convert_to({name}::text, 'UTF8'))")),
        Layout::Bytea => Some(format!("octet_length({name})")),
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
    use super::*;
    use crate::connectors::postgres::encode::Check;

    fn sql(layout: Layout, kind: DataType, target_type: &str, wire: bool, version: u32) -> String {
        let column = Column { name: "a\"b".to_owned(), layout, wire, check: Check::None };
        let integers = Some(Integers { sum: 1250, least: -5, greatest: 700 });
        let proof = ColumnProof { values: 3, nulls: 1, integers, bytes: Some(9), digest: None };
        check(&column, &Field::new("a\"b", kind, true), target_type, &proof, version)
    }

    #[test]
    fn each_type_is_summed_up_as_far_as_it_is_exact() {
        let count = "count(\"a\"\"b\") = 3";
        let decimal = sql(Layout::Numeric, DataType::Decimal128(12, 2), "numeric(12,2)", false, 150_000);
        assert_eq!(
            decimal,
            format!(
                "{count} AND coalesce(sum(\"a\"\"b\") = '1250e-2'::numeric AND min(\"a\"\"b\") = '-5e-2'::numeric \
                 AND max(\"a\"\"b\") = '700e-2'::numeric, false)"
            )
        );
        let text = |kind: &str| sql(Layout::Text, DataType::Utf8, kind, false, 150_000);
        assert_eq!(
            text("text"),
            format!("{count} AND coalesce(sum(octet_length(convert_to(\"a\"\"b\"::text, 'UTF8'))), 0) = 9")
        );
        assert_eq!(text("character(5)"), count);
        let at = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
        assert!(sql(Layout::Timestamp, at.clone(), "timestamp", false, 140_000).contains("extract(epoch"));
        assert_eq!(sql(Layout::Timestamp, at, "timestamp", false, 130_000), count);
        assert_eq!(sql(Layout::Numeric, DataType::Binary, "numeric", true, 150_000), count);
        assert_eq!(sql(Layout::Float8, DataType::Float64, "double precision", false, 150_000), count);
    }
}
