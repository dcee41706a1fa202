//! Merging by key: the rows of the stage find those of the target, in the transaction of the commit.
//!
//! Two keys are the same if the target's collations say so, also among the rows of the stage, which has none. Other values are compared
//! as they are stored: what DuckDB takes for equal and shows otherwise is updated all the same.

use serde::{Deserialize, Serialize};

use super::database::Connection;
use super::stage::{Detail, waits_as};
use super::typemap::Kind;
use crate::error::{Error, ErrorKind, Result};
use crate::merge::{Absent, Duplicates, Merge, Merged, duplicate_key};
use crate::sink::WriteMode;
use crate::sql::ddl::identifiers;
use crate::sql::dialect::{Dialect as _, DuckDb};
use crate::sql::merge::{self, PLACE, RANK, ROWS, TARGET};

/// How rows are merged into the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Merging {
    /// The columns of the key, by their names in the target.
    pub(super) key: Vec<String>,
    duplicates: Duplicates,
    absent: Absent,
}

impl Merging {
    /// How rows are merged by `merge`, which has the names of the target.
    pub(super) fn new(merge: Merge, mode: &WriteMode) -> Self {
        Self { key: merge.key, duplicates: merge.duplicates, absent: mode.absent() }
    }

    /// What the user should know.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            self.absent.note(&self.key),
            "rows are written into a stage first; the merge reads it and looks up each key".to_owned(),
        ];
        notes.extend(self.duplicates.note());
        notes
    }

    /// The statements that merge the rows of `stage`, which is quoted: deletion, update and insertion, as far as each is needed.
    pub(super) fn statements(&self, detail: &Detail, stage: &str) -> [Option<String>; 3] {
        let parts = merge::Merging {
            dialect: &DuckDb,
            table: &detail.name().quoted(),
            columns: &detail.columns,
            key: &self.key,
            rows: &format!("(SELECT {} FROM {stage}) AS {ROWS}", detail.published()),
            or: "",
            differs: &detail.columns.iter().zip(&detail.types).map(differs).collect::<Vec<_>>(),
        };
        parts.statements(self.absent)
    }

    /// Merges the rows of `stage`, which are settled, in the transaction that is open.
    pub(super) fn merge(&self, connection: &mut Connection, detail: &Detail, stage: &str) -> Result<Merged> {
        let [delete, update, insert] = self.statements(detail, stage);
        let mut run = |sql: Option<String>| sql.map_or(Ok(0), |sql| connection.count(&sql).map_err(refused));
        let (deleted, updated, inserted) = (run(delete)?, run(update)?, run(insert)?);
        Ok(Merged { inserted, updated, deleted })
    }

    /// The rows of `stage`, which is quoted, with the columns that settle which of them count. The texts of the key have the target's
    /// collations.
    fn waiting(&self, detail: &Detail, stage: &str) -> String {
        let is_text = |name: &String| {
            let mut columns = detail.columns.iter().zip(&detail.types);
            columns.any(|(column, declared)| column == name && Kind::parse(declared) == Some(Kind::Text))
        };
        if detail.create.is_some() || !self.key.iter().any(is_text) {
            return stage.to_owned();
        }
        let order = match &self.duplicates {
            Duplicates::First(column) | Duplicates::Last(column) => Some(column),
            _ => None,
        };
        let names: Vec<&String> = self.key.iter().chain(order.filter(|column| !self.key.contains(column))).collect();
        let collated = |name: &&String| {
            let is_compared = self.key.contains(name) && is_text(name);
            let value = if is_compared { DuckDb.identifier(name) } else { "NULL".to_owned() };
            format!("{value} AS {}", DuckDb.identifier(waits_as(name)))
        };
        let collated: Vec<String> = names.iter().map(collated).collect();
        let waits: Vec<&str> = names.iter().map(|name| waits_as(name)).collect();
        format!(
            "(SELECT {}, NULL::BIGINT AS rowid FROM {} WHERE false UNION ALL SELECT {}, rowid FROM {stage})",
            collated.join(", "),
            detail.name().quoted(),
            identifiers(&DuckDb, &waits)
        )
    }

    /// Leaves one row of each key.
    pub(super) fn settle(&self, connection: &mut Connection, detail: &Detail, stage: &str) -> Result<()> {
        let waits = |name: &String| waits_as(name).to_owned();
        let duplicates = match &self.duplicates {
            Duplicates::First(column) => Duplicates::First(waits(column)),
            Duplicates::Last(column) => Duplicates::Last(waits(column)),
            other => other.clone(),
        };
        let key: Vec<String> = self.key.iter().map(waits).collect();
        let table = self.waiting(detail, stage);
        let waiting = merge::Waiting { table: &table, place: "rowid", arrival: &["rowid"] };
        let ranked = merge::ranked(&DuckDb, waiting, &key, &duplicates);
        let key = identifiers(&DuckDb, &key);
        let several = format!(
            "SELECT min({PLACE})::VARCHAR, max({PLACE})::VARCHAR FROM ({ranked}) WHERE {RANK} = 1 GROUP BY {key} \
             HAVING count(*) > 1 ORDER BY min({PLACE}) LIMIT 1"
        );
        if let Some([Some(one), Some(other)]) = connection.texts(&several)?.first().map(Vec::as_slice) {
            let place = |text: &String| text.parse::<u64>().map_or(0, |place| place + 1);
            let places = format!("{} and {}, as they were written", place(one), place(other));
            return Err(duplicate_key(&self.key, &self.duplicates, &places));
        }
        if self.duplicates == Duplicates::Refuse {
            return Ok(());
        }
        let left_out = format!("SELECT {PLACE} FROM ({ranked}) WHERE {RANK} > 1");
        connection.execute(&format!("DELETE FROM {stage} WHERE rowid IN ({left_out})"))
    }
}

/// Whether the values of a column differ in target and rows. A collation may take two texts for the same, and a month is as long as 30
/// days.
fn differs((name, declared): (&String, &String)) -> String {
    let name = DuckDb.identifier(name);
    let (old, new) = (format!("{TARGET}.{name}"), format!("{ROWS}.{name}"));
    match Kind::parse(declared) {
        Some(Kind::Text) => format!("encode({old}) IS DISTINCT FROM encode({new})"),
        Some(Kind::Interval | Kind::List(_) | Kind::Array(..) | Kind::Struct(_) | Kind::Map(_)) => {
            format!("({old} IS DISTINCT FROM {new} OR {old}::VARCHAR IS DISTINCT FROM {new}::VARCHAR)")
        }
        _ => format!("{old} IS DISTINCT FROM {new}"),
    }
}

/// The key decides which row is replaced: another unique key that refuses a row is a conflict that it does not solve.
fn refused(error: Error) -> Error {
    let unique = error.kind() == ErrorKind::Constraint && error.message().contains("unique");
    if unique { error.with_hint(merge::OTHER_KEY) } else { error }
}
