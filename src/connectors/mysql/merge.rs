//! Merging by key: rows wait in a table beside and find those of the target at the commit.
//!
//! The columns there are those of the target, collations included, so that two keys are the same there if they are in the target.
//! Other values are compared byte by byte: what a collation takes for equal is updated all the same. `ON DUPLICATE KEY UPDATE` is not
//! used: it would let any unique index decide which row is replaced. Here another index that refuses a row is an error.

use serde::{Deserialize, Serialize};

use super::agree::Detail;
use super::catalog::{Table, Ties};
use super::connect::Connection;
use super::encode::Column;
use super::errors::{self, code};
use super::name::{Name, identifier, identifiers};
use super::typemap::Kind;
use crate::error::{Error, ErrorKind, Result};
use crate::merge::{Absent, Duplicates, Merge, Merged, Rest, duplicate_key};
use crate::sink::WriteMode;
use crate::sql::merge::OTHER_KEY;

/// The column of the table beside that numbers its rows as they come.
pub(super) const ROW: &str = "etl_row";

/// How rows are merged into the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Merging {
    /// The columns of the key, by their names in the target.
    key: Vec<String>,
    duplicates: Duplicates,
    absent: Absent,
    #[serde(default)]
    rest: Rest,
    /// Columns that are compared as bytes: texts, whose collation may take others for the same.
    texts: Vec<String>,
}

impl Merging {
    /// How rows are merged into `table` by `merge`, of which the key is settled.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for a column that is not written, [`Constraint`](ErrorKind::Constraint) where other tables would
    /// change.
    pub(super) fn new(
        merge: &Merge,
        mode: &WriteMode,
        (table, ties): (&Table, &Ties),
        columns: &[Column],
    ) -> Result<Self> {
        let is_filled = |column: &super::catalog::Column| {
            column.generated || columns.iter().any(|filled| filled.name == column.name)
        };
        // Where all columns come none is left for its default.
        let rest = if table.columns.iter().all(is_filled) { Rest::Kept } else { merge.rest };
        let merge = &Merge { rest, ..merge.clone() };
        let changes = |rule: &str| matches!(rule, "CASCADE" | "SET NULL" | "SET DEFAULT");
        let other = ties.referenced_by.iter().find(|(_, rule)| changes(rule));
        let deletes = mode.absent() == Absent::Deleted || merge.rest == Rest::Default;
        if let Some((other, _)) = other.filter(|_| deletes) {
            let message = format!("deleting rows would change those of {other}, whose foreign key refers to it");
            return Err(
                Error::new(ErrorKind::Constraint, message).with_hint("use --mode upsert, which deletes nothing")
            );
        }
        let target = |name: &str| table.column(name).map(|column| column.name.clone());
        Self::of(merge, mode, columns, target)
    }

    /// How rows are merged into a table that is to be made.
    ///
    /// # Errors
    /// Those of [`Merging::new`].
    pub(super) fn into_new(merge: &Merge, mode: &WriteMode, columns: &[Column]) -> Result<Self> {
        Self::of(merge, mode, columns, |name| Some(name.to_owned()))
    }

    fn of(
        merge: &Merge,
        mode: &WriteMode,
        columns: &[Column],
        target: impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let is_written = |name: &String| columns.iter().any(|column| column.name == *name);
        let merge = merge.within(|name| target(name).filter(is_written))?.of_all_columns()?;
        let Merge { key, duplicates, rest, .. } = merge;
        let is_text = |column: &&Column| matches!(column.kind(), Some(Kind::Text));
        let texts = columns.iter().filter(is_text).map(|column| column.name.clone()).collect();
        Ok(Self { key, duplicates, absent: mode.absent(), rest, texts })
    }

    /// What the user should know.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            self.absent.note(&self.key),
            "rows are written into a table beside first; the merge reads it and looks up each key".to_owned(),
        ];
        notes.extend(self.rest.note());
        notes.extend(self.duplicates.note());
        notes
    }

    /// The column that numbers the rows beside.
    pub(super) fn row_column() -> String {
        format!("{} bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY", identifier(ROW))
    }

    /// The statements that merge the rows of `stage`: deletion, update and insertion, as far as each is needed.
    pub(super) fn statements(&self, detail: &Detail, stage: &str) -> Vec<String> {
        let [delete, update, insert] = self.each(detail, stage);
        delete.into_iter().chain(update).chain([insert.unwrap_or_default()]).collect()
    }

    fn each(&self, detail: &Detail, stage: &str) -> [Option<String>; 3] {
        let target = detail.target.quoted();
        let all = |names: &[&str], each: &dyn Fn(&str) -> String, between: &str| {
            names.iter().map(|name| each(name)).collect::<Vec<_>>().join(between)
        };
        let key: Vec<&str> = self.key.iter().map(String::as_str).collect();
        let names = detail.columns.iter().map(|column| column.name.as_str());
        let set: Vec<&str> = names.filter(|name| !key.contains(name)).collect();
        let same = all(&key, &|name| format!("t.{0} = s.{0}", identifier(name)), " AND ");
        let first = identifier(key[0]);
        let delete = format!("DELETE t FROM {target} AS t LEFT JOIN {stage} AS s ON {same} WHERE s.{first} IS NULL");
        let equal = |name: &str| {
            let column = identifier(name);
            if self.texts.iter().any(|text| text == name) {
                format!("CAST(t.{column} AS BINARY) <=> CAST(s.{column} AS BINARY)")
            } else {
                format!("t.{column} <=> s.{column}")
            }
        };
        let update = match self.rest {
            Rest::Default => Some(format!("DELETE t FROM {target} AS t JOIN {stage} AS s ON {same}")),
            Rest::Kept => (!set.is_empty()).then(|| {
                format!(
                    "UPDATE {target} AS t JOIN {stage} AS s ON {same} SET {} WHERE NOT ({})",
                    all(&set, &|name| format!("t.{0} = s.{0}", identifier(name)), ", "),
                    all(&set, &equal, " AND ")
                )
            }),
        };
        let columns: Vec<&str> = detail.columns.iter().map(|column| column.name.as_str()).collect();
        let insert = format!(
            "INSERT INTO {target} ({}) SELECT {} FROM {stage} AS s LEFT JOIN {target} AS t ON {same} WHERE t.{first} IS NULL",
            detail.column_list(),
            all(&columns, &|name| format!("s.{}", identifier(name)), ", ")
        );
        [(self.absent == Absent::Deleted).then_some(delete), update, Some(insert)]
    }

    /// Leaves one row of each key in `stage`, which are found quickly then. Ends the open transaction.
    pub(super) async fn settle(&self, connection: &mut Connection, detail: &Detail, stage: &Name) -> Result<()> {
        let key = identifiers(self.key.iter().map(String::as_str));
        let index = format!("ALTER TABLE {} ADD INDEX etl_key ({key})", stage.quoted());
        match connection.run(&index).await {
            // Texts and bytes without a length have no index over the whole of them: they are compared one by one.
            Err(error) if errors::code_of(&error) == Some(code::KEY_WITHOUT_LENGTH) => {}
            Err(error) if errors::code_of(&error) == Some(code::KEY_EXISTS) => {}
            made => made?,
        }
        if let Some(choose) = self.choose(detail, &stage.quoted()) {
            connection.run(&choose).await?;
        }
        let row = identifier(ROW);
        let sql =
            format!("SELECT MIN({row}), MAX({row}) FROM {} GROUP BY {key} HAVING COUNT(*) > 1 LIMIT 1", stage.quoted());
        let rows = connection.rows(&sql).await?;
        let Some(found) = rows.first() else { return Ok(()) };
        let places = format!("{} and {}, as they came", found.get(0).unwrap_or("?"), found.get(1).unwrap_or("?"));
        Err(duplicate_key(&self.key, &self.duplicates, &places))
    }

    /// The statement that deletes from `stage`, which is quoted, the rows whose key another row has that counts before them. MySQL 5.7
    /// has no window functions.
    fn choose(&self, detail: &Detail, stage: &str) -> Option<String> {
        let (best, column) = match &self.duplicates {
            Duplicates::Refuse => return None,
            Duplicates::First(column) => ("MIN", column.as_str()),
            Duplicates::Last(column) => ("MAX", column.as_str()),
            Duplicates::FirstArrived => ("MIN", ROW),
            Duplicates::LastArrived => ("MAX", ROW),
        };
        let sql_type = detail.columns.iter().find(|known| known.name == column).map(|known| known.sql_type.as_str());
        // These two would take members by their names, not by their order.
        let is_list = sql_type.is_some_and(|sql_type| sql_type.starts_with("enum(") || sql_type.starts_with("set("));
        let value = format!("{}{}", identifier(column), if is_list { " + 0" } else { "" });
        let key = identifiers(self.key.iter().map(String::as_str));
        let same: Vec<String> = self.key.iter().map(|name| format!("s.{0} = b.{0}", identifier(name))).collect();
        Some(format!(
            "DELETE s FROM {stage} AS s JOIN (SELECT {key}, {best}({value}) AS etl_best FROM {stage} GROUP BY {key}) AS b \
             ON {} WHERE NOT (s.{value} <=> b.etl_best)",
            same.join(" AND ")
        ))
    }

    /// Deletes rows of the target whose key does not come, where they are to go.
    pub(super) async fn delete_absent(&self, connection: &mut Connection, detail: &Detail, stage: &str) -> Result<u64> {
        match &self.each(detail, stage)[0] {
            Some(delete) => connection.affected(delete).await,
            None => Ok(0),
        }
    }

    /// Merges some rows of a stage, without a deletion of others.
    pub(super) async fn merge_part(&self, connection: &mut Connection, detail: &Detail, part: &str) -> Result<Merged> {
        let [_, update, insert] = self.each(detail, part);
        let mut merged = Merged::default();
        if let Some(update) = update {
            merged.updated = connection.affected(&update).await.map_err(refused)?;
        }
        if let Some(insert) = insert {
            merged.inserted = connection.affected(&insert).await.map_err(refused)?;
        }
        Ok(self.counted(merged))
    }

    /// Merges the rows of `stage`, in the transaction that is open.
    pub(super) async fn merge(&self, connection: &mut Connection, detail: &Detail, stage: &str) -> Result<Merged> {
        let mut counts = [0; 3];
        for (sql, count) in self.each(detail, stage).into_iter().zip(&mut counts) {
            if let Some(sql) = sql {
                *count = connection.affected(&sql).await.map_err(refused)?;
            }
        }
        let [deleted, updated, inserted] = counts;
        Ok(self.counted(Merged { inserted, updated, deleted }))
    }

    /// What statements did, as it is told: a row that took the place of another one is not new.
    fn counted(&self, merged: Merged) -> Merged {
        match self.rest {
            Rest::Kept => merged,
            Rest::Default => Merged { inserted: merged.inserted.saturating_sub(merged.updated), ..merged },
        }
    }
}

/// The key decides which row is replaced: another unique index that refuses a row is a conflict that it does not solve.
fn refused(error: Error) -> Error {
    match errors::code_of(&error) {
        Some(code::DUPLICATE) => error.with_hint(OTHER_KEY),
        _ => error,
    }
}
