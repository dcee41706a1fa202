//! Sums and hashes over the columns of a stage against those of what was sent, before anything of it is visible.
//!
//! Values are hashed by the server with the functions of their types (`digest`, `numeric`; `plain` in less time), everything else
//! in a text form that is known here (`form`, `json`): one scan. What only reading can tell is read back by COPY in text format
//! (`back`). Where the server does not hash as we do (before version 11, in another encoding than UTF-8, where this user may not call
//! the function), numbers are summed up by it, and everything else is read back.

mod back;
mod digest;
mod form;
mod json;
mod numeric;
mod plain;
mod wire;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use bytes::Bytes;

use super::agree::Detail;
use super::connect::Connection;
use super::decode::{self, Chunk};
use super::encode::{Column, Layout};
use super::name::identifier;
use super::publish::check_done;
use super::stage::Stage;
use crate::attempt::Token;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::fields::Fields;
use crate::proof::hash::hash;
use crate::proof::{ColumnProof, Integers, Prover, Verdict, sums, total};
use crate::sink::{Agreement, Receipt};

use self::digest::Digest;
use self::form::Form;

/// Since this version seconds are exact numbers and not floats.
const EXACT_SECONDS: u32 = 140_000;

/// Digits of numbers of which ten billion have a sum of 128 bits; larger ones are hashed.
const SUM_DIGITS: u8 = 28;

/// Since this version the server takes trailing zeros off a numeric.
const TRIM_SCALE: u32 = 130_000;

/// Processes beside the first that a query may have where nobody has said how many.
const WORKERS: usize = 2;

/// What is hashed to see whether the server does it as we do: one that stores the high byte first does not.
const PROBE: &str = "etl";

/// How one column is compared, beside its NULLs.
#[derive(Debug, PartialEq)]
enum Way {
    /// By sum, least and greatest of this number, a unit of ours being so many decimal places below it.
    Sums(String, i8),
    /// By hashes that this expression of the server gives, and what is hashed here.
    Hashed(String, Digest),
    /// By hashes of what the text of this expression means, which is read back.
    Read(String, Digest),
    /// Not at all: the server makes of its text what it likes.
    Nulls,
}

/// The columns of an agreement, and how each is compared.
fn ways<'a>(agreement: &'a Agreement, detail: &'a Detail) -> impl Iterator<Item = (&'a Column, Way)> {
    detail
        .columns
        .iter()
        .zip(agreement.target.fields())
        .map(move |(column, field)| (column, way_of(column, field, type_of(agreement, &column.name), detail.proof)))
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

/// What finds sums and digests of what is sent.
pub(super) fn prover(agreement: &Agreement, detail: Detail) -> Prover {
    let digests = ways(agreement, &detail).map(|(_, way)| way.digest()).collect();
    let sent = Arc::new(Sent { target: Arc::clone(&agreement.target), digests, columns: detail.columns });
    let raw = Arc::clone(&sent);
    Prover::new(move |batch| sent.proofs(batch)).with_raw(move |bytes, rows| raw.proofs_of_raw(bytes, rows))
}

/// The columns that are sent.
struct Sent {
    target: SchemaRef,
    columns: Vec<Column>,
    /// What of each is hashed.
    digests: Vec<Option<Digest>>,
}

impl Sent {
    /// What `batch` adds to the columns of a receipt.
    fn proofs(&self, batch: &RecordBatch) -> Result<Vec<ColumnProof>> {
        let columns = self.columns.iter().zip(&self.digests).zip(batch.columns());
        let proof = |((column, digest), array): ((&Column, &Option<Digest>), &ArrayRef)| {
            let plain = digest.is_some_and(|digest| plain::tells(digest, column, array));
            let digest = digest.map(|digest| digest.of(column, array)).transpose()?;
            Ok(ColumnProof { digest, plain, ..sums::counted(array) })
        };
        columns.map(proof).collect()
    }

    /// The same of raw frames: of the bytes that came from the source.
    fn proofs_of_raw(&self, bytes: &Bytes, rows: u64) -> Result<Vec<ColumnProof>> {
        let chunk = Chunk { bytes: bytes.clone(), rows: rows as usize, first_row: 0 };
        let indexed = chunk.index(self.columns.len())?;
        let columns = self.columns.iter().zip(&self.digests).zip(self.target.fields()).enumerate();
        let proof = |(position, ((column, digest), field)): (usize, ((&Column, &Option<Digest>), &FieldRef))| {
            let fields = indexed.column(position);
            let Some(digest) = digest else {
                // A number that is none has no place among integers, and neither has the sum.
                let decimals = decimals(column, field, fields);
                return Ok(decimals.map_or_else(|| wire::counted(column, field, fields), |array| sums::counted(&array)));
            };
            let plain = plain::tells_fields(*digest, &column.layout, fields);
            let digest = digest.of_fields(column, fields)?;
            Ok(ColumnProof { digest: Some(digest), plain, ..wire::counted(column, field, fields) })
        };
        columns.map(proof).collect()
    }
}

/// Whether raw frames tell as much of each column as batches do.
pub(super) fn is_told_by_raw(agreement: &Agreement, detail: &Detail) -> bool {
    ways(agreement, detail).all(|(column, way)| way.digest().is_none_or(|digest| digest.is_of_wire(&column.layout)))
}

/// The values of a column of decimals; none of other types, and where one is infinite or none. Other integers are added up from
/// their bytes.
fn decimals(column: &Column, field: &Field, fields: Fields<'_>) -> Option<ArrayRef> {
    match (&column.layout, field.data_type()) {
        (Layout::Numeric, data_type @ DataType::Decimal128(..)) => decode::decimals(data_type, fields),
        _ => None,
    }
}

/// Compares the stage of `token` with `receipts`: always the counts that the server took at each COPY, and the columns where
/// receipts carry sums, with as many processes of the server beside the first as `others` connections have written.
pub(super) async fn verify(
    connection: &Connection,
    agreement: &Agreement,
    detail: &Detail,
    (token, receipts): (&Token, &[Receipt]),
    others: usize,
) -> Result<Verdict> {
    let stage = Stage::of(&detail.target, token);
    let rows: u64 = receipts.iter().map(|receipt| receipt.rows).sum();
    if let Err(error) = check_done(connection, &stage, receipts, rows).await {
        return match error.kind() {
            ErrorKind::Mismatch => Ok(Verdict::Unequal(error.message().to_owned())),
            _ => Err(error),
        };
    }
    let Some(mut proofs) = total(receipts.iter().map(|receipt| receipt.columns.as_ref())) else {
        return Ok(Verdict::Equal);
    };
    // In one state of the database, and with the text forms that do not depend on its settings.
    let (settings, workers) = (connection.server().settings(), workers(others));
    let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {settings}{workers}");
    connection.run(&begin).await?;
    let stage = stage.table.quoted();
    let found = match compared(connection, (agreement, detail), &stage, (rows, &proofs)).await {
        Err(error) if plain::is_refused(&error) => {
            // Which column has the value that was not sent is found by the hashes of all values.
            for proof in &mut proofs {
                proof.plain = false;
            }
            connection.run("ROLLBACK").await?;
            connection.run(&begin).await?;
            compared(connection, (agreement, detail), &stage, (rows, &proofs)).await?
        }
        found => found?,
    };
    connection.run("COMMIT").await?;
    Ok(found)
}

/// What lets a query have `others` processes beside its first, where nobody has said how many it may have. A server gives it fewer
/// where they are in use, and where the table is small.
fn workers(others: usize) -> String {
    if others <= WORKERS {
        return String::new();
    }
    format!(
        "SELECT pg_catalog.set_config(name, '{others}', true) FROM pg_catalog.pg_settings \
         WHERE name = 'max_parallel_workers_per_gather' AND source = 'default'; "
    )
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
    let fields = agreement.target.fields();
    for (at, (((column, way), field), proof)) in ways(agreement, detail).zip(fields).zip(proofs).enumerate() {
        let way = if proof.plain { way.plainer(column) } else { way };
        checks.push(check(&identifier(&column.name), &way, proof));
        match way {
            Way::Read(text, digest) => read.push(back::Column { at, text, digest }),
            Way::Hashed(_, digest) => {
                let text = digest.text(column, field, type_of(agreement, &column.name));
                hashed.extend(text.map(|text| back::Column { at, text, digest }));
            }
            Way::Sums(..) | Way::Nulls => {}
        }
    }
    let held = answers(connection, stage, &checks).await?;
    let failed = |index: usize| !held[index];
    if failed(0) {
        return Ok(Verdict::Unequal(format!("the stage does not hold the {rows} rows that were sent")));
    }
    let mut other: Vec<bool> = (0..proofs.len()).map(|at| failed(at + 2)).collect();
    let is_unsure = |column: &back::Column| failed(1) || column.digest.is_spelled() && failed(column.at + 2);
    let mut unsure: Vec<back::Column> = hashed.into_iter().filter(is_unsure).collect();
    for column in &unsure {
        other[column.at] = false;
    }
    read.append(&mut unsure);
    if !read.is_empty() {
        let sums = back::sums(connection, stage, &read).await.at("step", || "reading back")?;
        for (column, found) in read.iter().zip(sums) {
            let sent = &proofs[column.at];
            other[column.at] |= found.values != sent.values || found.digest != Some(sent.digest.unwrap_or(0));
        }
    }
    let names = detail.columns.iter().zip(other).filter(|(_, other)| *other);
    let names: Vec<&str> = names.map(|(column, _)| column.name.as_str()).collect();
    Ok(Verdict::of_columns("the stage holds", &names))
}

/// Which of `conditions` hold for the rows of `stage`.
async fn answers(connection: &Connection, stage: &str, conditions: &[String]) -> Result<Vec<bool>> {
    let found = connection.rows(&format!("SELECT {} FROM {stage}", conditions.join(", "))).await?;
    let row = found.first().ok_or_else(|| Error::new(ErrorKind::Internal, "the server gave no sums"))?;
    Ok((0..conditions.len()).map(|at| row.get(at) == Some("t")).collect())
}

/// The type of a target's column in its own words.
fn type_of<'a>(agreement: &'a Agreement, name: &str) -> &'a str {
    let plan = agreement.columns.iter().find(|plan| plan.target.as_deref() == Some(name));
    plan.map_or("", |plan| plan.target_type.as_str())
}

/// How a column is compared on a server of `version`, which hashes or does not.
fn way_of(column: &Column, field: &Field, target_type: &str, (version, hashes): (u32, bool)) -> Way {
    let name = identifier(&column.name);
    if hashes && let Some((hash, digest)) = digest::of_type(column, field, target_type) {
        return Way::Hashed(hash, digest);
    }
    if let (Some((value, scale)), false) = (number(column, field, &name, version), column.wire) {
        return Way::Sums(value, scale);
    }
    match form::text_of(column, field, target_type) {
        Some((_, Form::Number)) if hashes && version >= TRIM_SCALE => {
            Way::Hashed(digest::hash_of_text(&format!("trim_scale({name})::text")), Digest::Text(Form::Number))
        }
        Some((text, form @ Form::Number)) => Way::Read(text, Digest::Text(form)),
        Some((text, form)) if hashes => Way::Hashed(digest::hash_of_text(&text), Digest::Text(form)),
        Some((text, form)) => Way::Read(text, Digest::Text(form)),
        None => Way::Nulls,
    }
}

/// An SQL condition that holds when the column `name` is what `proof` says, as far as it is compared by the server.
fn check(name: &str, way: &Way, proof: &ColumnProof) -> String {
    match (way, proof.integers, proof.digest) {
        (Way::Sums(value, scale), Some(sums), _) => {
            format!("{} AND {}", count_of(name, proof), sums_check(value, *scale, sums))
        }
        (Way::Hashed(hash, _), _, Some(digest)) if proof.values > 0 => hash_check(name, hash, (proof, digest)),
        _ => count_of(name, proof),
    }
}

fn count_of(name: &str, proof: &ColumnProof) -> String {
    format!("count({name}) = {}", proof.values)
}

/// That the hashes of the values of `name` have the sum `digest`, both modulo 2^64, and that they are as many as `proof` says. A
/// count for each column would cost as much as the hash of a short value; a mean takes what the server notes for the sum, and its
/// 16 digits tell how many there were. Of a sum that is 0 it tells nothing.
fn hash_check(name: &str, hash: &str, (proof, digest): (&ColumnProof, u64)) -> String {
    let count = match digest {
        0 => count_of(name, proof),
        _ => format!("round(sum({hash}) / nullif(avg({hash}), 0)) = {}", proof.values),
    };
    format!("mod(sum({hash}) - {digest}::numeric, 18446744073709551616) = 0 AND {count}")
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

impl Way {
    /// What is hashed; none where nothing is.
    fn digest(&self) -> Option<Digest> {
        match self {
            Self::Hashed(_, digest) | Self::Read(_, digest) => Some(*digest),
            Self::Sums(..) | Self::Nulls => None,
        }
    }

    /// The same for values that a plainer hash tells from others, where there is one.
    fn plainer(self, column: &Column) -> Self {
        match self {
            Self::Hashed(hash, digest) => Self::Hashed(plain::hash_of(column, digest).unwrap_or(hash), digest),
            way => way,
        }
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

    const KNOWN: (u32, bool) = (150_000, true);

    fn of(layout: Layout, kind: DataType, target_type: &str, server: (u32, bool)) -> Way {
        // What is no Arrow form comes as wire bytes.
        let wire = kind == DataType::Binary;
        let column = Column { name: "a\"b".to_owned(), layout, wire, check: Check::None };
        way_of(&column, &Field::new("a\"b", kind, true), target_type, server)
    }

    #[test]
    fn values_are_hashed_by_their_type_or_by_their_text_as_far_as_it_is_known() {
        let name = |text: &str| text.replace('$', "\"a\"\"b\"");
        let typed = |call: &str, digest| Way::Hashed(name(call), digest);
        let signed =
            |hash: &str, digest| typed(&format!("CASE WHEN $ < 0 THEN ~{hash}($, 0) ELSE {hash}($, 0) END"), digest);
        let of_text = |text: &str| name(&format!("hashtextextended(({text}) COLLATE \"C\", 0)"));
        let hashed = |text: &str, form| Way::Hashed(of_text(text), Digest::Text(form));
        let float = |hash: &str, send: &str| {
            let bits = of_text(&format!("encode({send}($), 'hex')"));
            let hash = format!("CASE WHEN $ <> '0' AND $ <> 'NaN' THEN {hash}($, 0) ELSE {bits} END");
            typed(&hash, Digest::Float)
        };
        let read = |text: &str, form| Way::Read(name(text), Digest::Text(form));
        let (utf8, binary) = (DataType::Utf8, DataType::Binary);
        let money = DataType::Decimal128(12, 2);
        let cases = [
            (
                of(Layout::Numeric, money.clone(), "numeric(12,2)", KNOWN),
                signed("hash_numeric_extended", Digest::Groups),
            ),
            (of(Layout::Numeric, money, "numeric(12,2)", (150_000, false)), Way::Sums(name("$"), 2)),
            (
                of(Layout::Numeric, binary.clone(), "numeric(50,3)", KNOWN),
                signed("hash_numeric_extended", Digest::Groups),
            ),
            (of(Layout::Int8, DataType::Int64, "bigint", KNOWN), typed("hashint8extended($, $)", Digest::Seeded)),
            (of(Layout::Int4, DataType::Int32, "integer", KNOWN), typed("hashint4extended($, 0)", Digest::Word)),
            (of(Layout::Text, utf8.clone(), "text", KNOWN), hashed("$::text", Form::Text)),
            (of(Layout::Text, utf8.clone(), "text", (100_000, false)), read("$::text", Form::Text)),
            (
                of(Layout::Text, utf8.clone(), "character(5)", KNOWN),
                typed("hashbpcharextended($ COLLATE \"C\", 0)", Digest::Text(Form::Trimmed)),
            ),
            (of(Layout::Text, utf8.clone(), "character(5)", (100_000, false)), read("rtrim($::text)", Form::Trimmed)),
            (of(Layout::Text, utf8.clone(), "citext", KNOWN), hashed("rtrim($::text)", Form::Trimmed)),
            (of(Layout::Text, utf8.clone(), "xml", KNOWN), Way::Nulls),
            (
                of(Layout::Timestamp, binary.clone(), "timestamp without time zone", KNOWN),
                typed("timestamp_hash_extended($, 0)", Digest::Fold),
            ),
            (
                of(Layout::Timestamp, binary.clone(), "timestamp(3) with time zone", KNOWN),
                typed("timestamp_hash_extended($ AT TIME ZONE INTERVAL '0', 0)", Digest::Fold),
            ),
            (
                of(Layout::Timestamp, binary.clone(), "timestamp without time zone", (100_000, false)),
                read("encode(timestamp_send($), 'hex')", Form::Wire),
            ),
            (of(Layout::Numeric, binary.clone(), "numeric", KNOWN), hashed("trim_scale($)::text", Form::Number)),
            (of(Layout::Numeric, binary, "numeric", (120_000, true)), read("$::text", Form::Number)),
            (
                of(Layout::Float8, DataType::Float64, "double precision", KNOWN),
                float("hashfloat8extended", "float8send"),
            ),
            (of(Layout::Float4, DataType::Float32, "real", KNOWN), float("hashfloat4extended", "float4send")),
            (
                of(Layout::Float4, DataType::Float32, "real", (100_000, false)),
                read("encode(float4send($), 'hex')", Form::Wire),
            ),
            (of(Layout::Jsonb, utf8.clone(), "jsonb", KNOWN), hashed("$::text", Form::Json)),
            (of(Layout::Other, utf8, "inet", KNOWN), Way::Nulls),
        ];
        for (found, expected) in cases {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn more_processes_than_usual_are_asked_for_where_nobody_has_said_how_many() {
        assert_eq!(workers(2), "");
        let sql = workers(7);
        assert!(sql.contains("set_config(name, '7', true)") && sql.contains("source = 'default'; "), "{sql}");
    }

    #[test]
    fn conditions_hold_for_what_was_sent_alone() {
        let integers = Some(Integers { sum: 1250, least: -5, greatest: 700 });
        let proof = ColumnProof { values: 3, nulls: 1, integers, bytes: None, digest: Some(u64::MAX), plain: false };
        assert_eq!(
            check("a", &Way::Sums("a".to_owned(), 2), &proof),
            "count(a) = 3 AND coalesce(sum(a) = '1250e-2'::numeric AND min(a) = '-5e-2'::numeric \
             AND max(a) = '700e-2'::numeric, false)"
        );
        let hash = "mod(sum(h(a)) - 18446744073709551615::numeric, 18446744073709551616) = 0";
        let hashed = Way::Hashed("h(a)".to_owned(), Digest::Groups);
        assert_eq!(check("a", &hashed, &proof), format!("{hash} AND round(sum(h(a)) / nullif(avg(h(a)), 0)) = 3"));
        let zero = ColumnProof { digest: Some(0), ..proof };
        let hash = "mod(sum(h(a)) - 0::numeric, 18446744073709551616) = 0";
        assert_eq!(check("a", &hashed, &zero), format!("{hash} AND count(a) = 3"));
        assert_eq!(check("a", &hashed, &ColumnProof { values: 0, ..zero }), "count(a) = 0");
        assert_eq!(check("a", &Way::Nulls, &proof), "count(a) = 3");
    }
}
