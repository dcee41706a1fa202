//! Rows of a stage that the target would refuse, where such rows are left out: found by the target's own rules before the
//! commit, told, and taken out of the stage.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::catalog::{Name, is};
use super::database::Connection;
use super::read::Select;
use super::stage::{self, Detail};
use super::typemap::Kind;
use crate::attempt::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::reject::{Refused, set_aside};
use crate::schema::{FORM, TEXT, with_metadata};
use crate::sink::Receipt;
use crate::sql::beside::Before;
use crate::sql::ddl::identifiers;
use crate::sql::dialect::{Dialect as _, DuckDb};
use crate::sql::merge::{PLACE, ROWS, TARGET};

/// Rows that are told at once.
const TOLD_ROWS: usize = 1000;

/// One rule of a target: which rows of the stage, called [`ROWS`], break it, and what is said of them.
struct Rule {
    breaks: String,
    why: &'static str,
    frame: (&'static str, String),
}

/// Takes some rows out of the stage of `token` that the target would refuse; none when there are no more.
pub(super) fn next(
    connection: &mut Connection,
    detail: &Detail,
    token: &Token,
    receipts: &[Receipt],
) -> Result<Option<Refused>> {
    let stage = detail.stage(token);
    if !stage::exists(connection, &stage)? {
        return Ok(None);
    }
    stage::gather(connection, detail, token)?;
    let rules = rules(connection, detail, &stage)?;
    connection.transaction(|connection| {
        connection.execute(&format!("DELETE FROM {} WHERE NOT ({})", stage.quoted(), stage::of(receipts)))?;
        for rule in &rules {
            if let Some(rows) = broken(connection, detail, &stage, rule)? {
                return Ok(Some(told(rows, rule)));
            }
        }
        Ok(None)
    })
}

/// Some rows that break `rule`, taken out of the stage, under the names of the target; none when there are no more.
fn broken(connection: &mut Connection, detail: &Detail, stage: &Name, rule: &Rule) -> Result<Option<RecordBatch>> {
    let quoted = stage.quoted();
    let source = format!("(SELECT rowid AS {PLACE}, {} FROM {quoted}) AS {ROWS}", detail.published());
    let bad =
        format!("SELECT {ROWS}.{PLACE} FROM {source} WHERE {} ORDER BY {ROWS}.{PLACE} LIMIT {TOLD_ROWS}", rule.breaks);
    let kinds = detail.kinds()?;
    let field = |(name, kind): (&String, &Kind)| {
        let name = stage::waits_as(name);
        match kind.native(name, true) {
            // It may be infinite: it comes as its text.
            Some(_) => with_metadata(Field::new(name, DataType::Utf8, true), FORM, TEXT),
            None => kind.column(name, true),
        }
    };
    let fields = detail.columns.iter().zip(&kinds).map(field);
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
    let from = format!("(SELECT * FROM {quoted} WHERE rowid IN ({bad}) ORDER BY rowid)");
    let mut parts = Vec::new();
    Select::of(&from, (&schema, kinds), &[], None).each(connection, |sifted| {
        parts.push(set_aside(None, sifted)?);
        Ok(true)
    })?;
    let rows = concat_batches(&schema, &parts)?;
    if rows.num_rows() == 0 {
        return Ok(None);
    }
    connection.execute(&format!("DELETE FROM {quoted} WHERE rowid IN ({bad})"))?;
    let fields =
        schema.fields().iter().zip(&detail.columns).map(|(field, name)| field.as_ref().clone().with_name(name));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
    Ok(Some(RecordBatch::try_new(schema, rows.columns().to_vec())?))
}

fn told(rows: RecordBatch, rule: &Rule) -> Refused {
    let error = || {
        let (what, which) = &rule.frame;
        Error::new(ErrorKind::Constraint, format!("the target refuses a row: {}", rule.why)).at(*what, which)
    };
    let count = rows.num_rows();
    Refused { rows, places: vec![None; count], errors: (0..count).map(|_| error()).collect() }
}

fn rules(connection: &mut Connection, detail: &Detail, stage: &Name) -> Result<Vec<Rule>> {
    if let Some(key) = &detail.create {
        let unique = detail.merging.is_none() && !key.is_empty();
        return Ok(if unique { vec![twice(stage, key)] } else { Vec::new() });
    }
    let sql = format!(
        "SELECT constraint_type, array_to_string(constraint_column_names, chr(31)), \
         expression, referenced_table, array_to_string(referenced_column_names, chr(31)) \
         FROM duckdb_constraints() WHERE {} ORDER BY constraint_index",
        is(&detail.name())
    );
    let mut rules = Vec::new();
    for row in connection.texts(&sql)? {
        let [Some(kind), Some(columns), expression, other, others] = row.as_slice() else { continue };
        let columns: Vec<String> = columns.split('\u{1f}').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        // A rule over columns that nothing fills is left to their defaults.
        if columns.iter().any(|name| !detail.columns.contains(name)) {
            continue;
        }
        match (kind.as_str(), expression, other, others) {
            ("PRIMARY KEY" | "UNIQUE", ..) => rules.extend(unique(detail, stage, &columns)),
            ("CHECK", Some(check), ..) => rules.push(Rule {
                breaks: format!("({check}) IS FALSE"),
                why: "a check fails",
                frame: ("constraint", check.clone()),
            }),
            ("FOREIGN KEY", _, Some(table), Some(others)) => {
                let others: Vec<&str> = others.split('\u{1f}').collect();
                rules.push(reference(detail, stage, &columns, (table, &others)));
            }
            _ => {}
        }
    }
    Ok(rules)
}

/// That the values in `key` are the same to an index, for which collations do not count.
fn same(detail: &Detail, key: &[String]) -> String {
    let texts =
        detail.columns.iter().zip(&detail.types).filter(|(_, declared)| Kind::parse(declared) == Some(Kind::Text));
    let texts: Vec<&String> = texts.map(|(name, _)| name).collect();
    let pair = |name: &String| {
        let quoted = DuckDb.identifier(name);
        let (old, new) = (format!("{TARGET}.{quoted}"), format!("{ROWS}.{quoted}"));
        if texts.contains(&name) { format!("encode({old}) = encode({new})") } else { format!("{old} = {new}") }
    };
    key.iter().map(pair).collect::<Vec<_>>().join(" AND ")
}

fn all(columns: &[impl AsRef<str>], each: impl Fn(&str) -> String) -> String {
    columns.iter().map(|name| each(&DuckDb.identifier(name.as_ref()))).collect::<Vec<_>>().join(" AND ")
}

/// Rows after the first with the same values in `key`.
fn twice(stage: &Name, key: &[String]) -> Rule {
    let quoted = stage.quoted();
    let waiting: Vec<&str> = key.iter().map(|name| stage::waits_as(name)).collect();
    let ranked = format!(
        "SELECT rowid AS {PLACE}, row_number() OVER (PARTITION BY {} ORDER BY rowid) AS number FROM {quoted} WHERE {}",
        identifiers(&DuckDb, &waiting),
        all(&waiting, |name| format!("{name} IS NOT NULL"))
    );
    Rule {
        breaks: format!("{ROWS}.{PLACE} IN (SELECT {PLACE} FROM ({ranked}) WHERE number > 1)"),
        why: "its key came already",
        frame: ("column", key.join(", ")),
    }
}

/// Rows whose values in `key` are in the target, or came before.
fn unique(detail: &Detail, stage: &Name, key: &[String]) -> Vec<Rule> {
    let by_key = detail.merging.as_ref().map(|merging| &merging.key);
    if by_key.is_some_and(|merged| merged.len() == key.len() && merged.iter().all(|name| key.contains(name))) {
        return Vec::new();
    }
    let mut rules = vec![twice(stage, key)];
    if detail.before != Before::Empty {
        let other = by_key.map_or(String::new(), |merged| {
            format!(" AND NOT ({})", all(merged, |name| format!("{TARGET}.{name} = {ROWS}.{name}")))
        });
        rules.push(Rule {
            breaks: format!(
                "EXISTS (SELECT 1 FROM {} AS {TARGET} WHERE {}{other})",
                detail.name().quoted(),
                same(detail, key)
            ),
            why: "its key is there already",
            frame: ("column", key.join(", ")),
        });
    }
    rules
}

/// Rows that refer to one which is not there.
fn reference(detail: &Detail, stage: &Name, columns: &[String], (table, others): (&str, &[&str])) -> Rule {
    let is_in = |table: &Name, others: &[&str]| {
        let pairs = columns.iter().zip(others);
        let same = pairs
            .map(|(own, other)| format!("{TARGET}.{} = {ROWS}.{}", DuckDb.identifier(other), DuckDb.identifier(own)));
        let same = same.collect::<Vec<_>>().join(" AND ");
        format!("EXISTS (SELECT 1 FROM {} AS {TARGET} WHERE {same})", table.quoted())
    };
    let referred = Name { schema: detail.schema.clone(), table: table.to_owned() };
    let mut found = vec![is_in(&referred, others)];
    if table.eq_ignore_ascii_case(&detail.table) {
        let waiting: Vec<&str> = others.iter().map(|name| stage::waits_as(name)).collect();
        found.push(is_in(stage, &waiting));
    }
    Rule {
        breaks: format!(
            "{} AND NOT ({})",
            all(columns, |name| format!("{ROWS}.{name} IS NOT NULL")),
            found.join(" OR ")
        ),
        why: "what it refers to is not there",
        frame: ("column", columns.join(", ")),
    }
}
