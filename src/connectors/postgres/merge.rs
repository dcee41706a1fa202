//! Merging by key: the rows of a stage find those of the target, in one statement within the transaction that commits.
//!
//! The stage holds all rows that came. First its keys are made to tell rows apart; then rows that did not come are
//! deleted, where that is wanted, those that differ are updated and the rest is inserted. Rows are compared as they are
//! stored (`*<>`), so that types without equality, and values that are equal and look different, are told apart too.

use serde::{Deserialize, Serialize};

use super::agree::Detail;
use super::connect::Connection;
use super::encode::Column;
use super::errors;
use super::name::{identifier, identifiers};
use super::patience::{self, affected};
use super::stage::{PART, ROW};
use super::target::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::merge::{Absent, Duplicates, Merge, Merged, Rest, duplicate_key};
use crate::sink::WriteMode;
use crate::sql::dialect::Postgres;
use crate::sql::merge::{self, PLACE, RANK};

/// How rows are merged into the target.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Merging {
    /// The columns of the key.
    pub(super) key: Vec<String>,
    duplicates: Duplicates,
    /// The columns that an update sets.
    set: Vec<String>,
    conflict: Conflict,
    absent: Absent,
    #[serde(default)]
    rest: Rest,
}

/// What is done about a row of the same key that somebody else inserts meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Conflict {
    /// A unique index finds it, and it is updated.
    Update,
    /// Nothing would find it: others are kept out.
    KeptOut,
}

impl Merging {
    /// How rows with the columns `copied` are merged by `merge`, of which the key is settled, into `table`; none where
    /// it is made.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for a key that is not written, [`Permission`](ErrorKind::Permission) and
    /// [`Constraint`](ErrorKind::Constraint) where rows may not be updated or deleted.
    pub(super) fn new(merge: &Merge, mode: &WriteMode, table: Option<&Table>, copied: &[Column]) -> Result<Self> {
        let is_copied = |name: &str| copied.iter().any(|column| column.name == name);
        let merge = merge.within(|name| is_copied(name).then(|| name.to_owned()))?;
        let Merge { key, duplicates, updates, rest, .. } = merge;
        let absent = mode.absent();
        if let Some(table) = table {
            check(table, if rest == Rest::Default { Absent::Deleted } else { absent })?;
        }
        let always = |name: &str| {
            table.is_some_and(|table| table.columns.iter().any(|column| column.name == name && column.always))
        };
        let wanted = |name: &str| updates.as_ref().is_none_or(|names| names.iter().any(|other| other == name));
        let set = copied.iter().map(|column| column.name.as_str()).filter(|name| !always(name) && wanted(name));
        let set = set.filter(|name| key.iter().all(|key| key != name)).map(str::to_owned).collect();
        let by_index =
            table.is_some_and(|table| table.uniques.iter().any(|unique| unique.arbiter && same(&unique.columns, &key)));
        let updates = by_index && absent == Absent::Kept && rest == Rest::Kept;
        let conflict = if updates { Conflict::Update } else { Conflict::KeptOut };
        Ok(Self { key, duplicates, set, conflict, absent, rest })
    }

    /// Whether nobody else may write while rows are merged.
    pub(super) fn keeps_others_out(&self) -> bool {
        self.conflict == Conflict::KeptOut
    }

    /// Whether rows are told apart by when they came.
    pub(super) fn is_by_arrival(&self) -> bool {
        matches!(self.duplicates, Duplicates::FirstArrived | Duplicates::LastArrived)
    }

    /// What the user should know of rows that have one key.
    pub(super) fn note_of_duplicates(&self) -> Option<String> {
        self.duplicates.note()
    }

    /// What the user should know.
    pub(super) fn notes(&self, table: &Table) -> Vec<String> {
        let mut notes = vec![self.absent.note(&self.key)];
        notes.push("rows are written into a table beside first; the merge reads it and looks up each key".to_owned());
        notes.extend(self.rest.note());
        if self.keeps_others_out() {
            let by_index = self.absent == Absent::Kept && self.rest == Rest::Kept;
            let why = if by_index { "as no unique index has this key, " } else { "" };
            notes.push(format!("{why}nobody else can write into the table while its rows are merged"));
        }
        let kept = table.columns.iter().filter(|column| column.always && !self.key.contains(&column.name));
        let kept: Vec<&str> = kept.map(|column| column.name.as_str()).collect();
        if !kept.is_empty() {
            notes.push(format!("an update leaves {} as it is: the table numbers its rows by it", kept.join(", ")));
        }
        notes
    }

    /// The statement that merges the rows of `stage` and counts what it did: inserted, updated, deleted.
    pub(super) fn statement(&self, detail: &Detail, stage: &str) -> String {
        let (target, all, columns) = (detail.target.quoted(), detail.alone(), detail.column_list());
        let of = |row: &str, name: &String| format!("{row}.{}", identifier(name));
        let same: Vec<String> = self.key.iter().map(|name| format!("{} = {}", of("t", name), of("s", name))).collect();
        let same = same.join(" AND ");
        let image = |row: &str| {
            let values: Vec<String> = self.set.iter().map(|name| of(row, name)).collect();
            format!("ROW({})::record", values.join(", "))
        };
        let set = |row: &str| {
            let set: Vec<String> =
                self.set.iter().map(|name| format!("{} = {}", identifier(name), of(row, name))).collect();
            set.join(", ")
        };
        // The counts make each step begin when the one before is done: what is freed by it may be taken.
        let mut steps = Vec::new();
        let mut after = "";
        if self.absent == Absent::Deleted {
            steps.push(format!(
                "gone AS (DELETE FROM {all} AS t WHERE NOT EXISTS (SELECT FROM {stage} AS s WHERE {same}) RETURNING 1)"
            ));
            after = " AND (SELECT count(*) FROM gone) >= 0";
        }
        let mut lacking = format!("NOT EXISTS (SELECT FROM {all} AS t WHERE {same})");
        if self.rest == Rest::Default {
            steps.push(format!(
                "changed AS (DELETE FROM {all} AS t USING {stage} AS s WHERE {same}{after} RETURNING 1)"
            ));
            after = " AND (SELECT count(*) FROM changed) >= 0";
            // What the statement itself has deleted is still seen by it.
            "true".clone_into(&mut lacking);
        } else if !self.set.is_empty() {
            steps.push(format!(
                "changed AS (UPDATE {all} AS t SET {} FROM {stage} AS s WHERE {same} AND {} *<> {}{after} RETURNING 1)",
                set("s"),
                image("t"),
                image("s")
            ));
            after = " AND (SELECT count(*) FROM changed) >= 0";
        }
        let conflict = match self.conflict {
            Conflict::KeptOut => String::new(),
            Conflict::Update if self.set.is_empty() => format!(" ON CONFLICT ({}) DO NOTHING", self.key_list()),
            Conflict::Update => format!(" ON CONFLICT ({}) DO UPDATE SET {}", self.key_list(), set("excluded")),
        };
        steps.push(format!(
            "came AS (INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {stage} AS s \
             WHERE {lacking}{after}{conflict} RETURNING 1)"
        ));
        let count = |step: &str| {
            let done = steps.iter().any(|text| text.starts_with(&format!("{step} AS")));
            if done { format!("(SELECT count(*) FROM {step})") } else { "0".to_owned() }
        };
        let (mut came, changed) = (count("came"), count("changed"));
        if self.rest == Rest::Default {
            // A row that took the place of another one is not new.
            came = format!("{came} - {changed}");
        }
        format!("WITH {} SELECT {came}, {changed}, {}", steps.join(", "), count("gone"))
    }

    fn key_list(&self) -> String {
        identifiers(self.key.iter().map(String::as_str))
    }

    /// Rows of `stage` with their place among those of the same key, from 1; without an order all are first. Where they lie says
    /// little of when they came: the server fills the room that is left in earlier pages.
    fn ranked(&self, stage: &str) -> String {
        let (part, row) = (identifier(PART), identifier(ROW));
        let waiting = merge::Waiting { table: stage, place: "ctid", arrival: &[part.as_str(), row.as_str()] };
        merge::ranked(&Postgres, waiting, &self.key, &self.duplicates)
    }

    /// Leaves one row of each key in `stage` and gives the number of those that went.
    ///
    /// # Errors
    /// [`Constraint`](ErrorKind::Constraint) where several rows have one key, and nothing says which of them counts.
    pub(super) async fn settle_keys(&self, connection: &Connection, stage: &str) -> Result<u64> {
        let key = self.key_list();
        let first = match self.duplicates {
            Duplicates::First(_) | Duplicates::Last(_) => {
                format!("SELECT * FROM ({}) AS ranked WHERE {RANK} = 1", self.ranked(stage))
            }
            _ => format!("SELECT ctid AS {PLACE}, {key} FROM {stage}"),
        };
        let several = format!(
            "SELECT min({PLACE}), max({PLACE}) FROM ({first}) AS first GROUP BY {key} HAVING count(*) > 1 LIMIT 1"
        );
        let found = patience::rows(connection, &several).await?;
        if self.is_by_arrival() {
            if found.is_empty() {
                return Ok(0);
            }
        } else if let Some(row) = found.first() {
            // Rows lie in the stage as they came.
            let number =
                |at| format!("(SELECT count(*) FROM {stage} WHERE ctid <= '{}')", row.get(at).unwrap_or("(0,0)"));
            let places = connection.rows(&format!("SELECT {}, {}", number(0), number(1))).await?;
            let place = |at| places.first().and_then(|row| row.get(at)).unwrap_or("?");
            let places = format!("{} and {}, as they came", place(0), place(1));
            return Err(duplicate_key(&self.key, &self.duplicates, &places));
        }
        if self.duplicates == Duplicates::Refuse {
            return Ok(0);
        }
        let ranked = self.ranked(stage);
        let sql =
            format!("DELETE FROM {stage} AS s USING ({ranked}) AS ranked WHERE s.ctid = ranked.{PLACE} AND {RANK} > 1");
        affected(connection, &sql).await
    }

    /// Merges the rows of `stage`, but for the COMMIT. The target is locked as [`Merging::keeps_others_out`] says.
    pub(super) async fn merge(&self, connection: &Connection, detail: &Detail, stage: &str) -> Result<Merged> {
        // How the rows are looked up is decided by their number.
        patience::run(connection, &format!("ANALYZE {stage}")).await?;
        self.run(connection, detail, stage).await.map_err(other_index)
    }

    /// Merges the rows of `stage`, a table or a part of it in parentheses.
    pub(super) async fn run(&self, connection: &Connection, detail: &Detail, stage: &str) -> Result<Merged> {
        let rows = patience::rows(connection, &self.statement(detail, stage)).await?;
        let number = |at: usize| rows.first().and_then(|row| row.get(at)?.parse().ok());
        match (number(0), number(1), number(2)) {
            (Some(inserted), Some(updated), Some(deleted)) => Ok(Merged { inserted, updated, deleted }),
            _ => Err(Error::new(ErrorKind::Internal, "the server did not count the rows that it merged")),
        }
    }
}

/// Whether the same columns stand in both, in any order.
fn same(columns: &[String], key: &[String]) -> bool {
    columns.len() == key.len() && columns.iter().all(|name| key.contains(name))
}

/// Refuses a target whose rows cannot be changed as is needed.
fn check(table: &Table, absent: Absent) -> Result<()> {
    if table.kind == 'f' {
        return Err(Error::new(ErrorKind::Unsupported, "rows cannot be merged into a foreign table"));
    }
    if !table.access.merge || absent == Absent::Deleted && !table.access.delete {
        return Err(Error::new(ErrorKind::Permission, "this user may not read, update or delete rows of the table")
            .with_hint("GRANT SELECT, UPDATE, DELETE ON the table TO this user"));
    }
    let changed = |key: &&super::target::Reference| matches!(key.action, 'c' | 'n' | 'd');
    match table.referenced.iter().find(changed).filter(|_| absent == Absent::Deleted) {
        Some(key) => {
            let message = format!("deleting rows would change those of {}, whose foreign key refers to it", key.table);
            Err(Error::new(ErrorKind::Constraint, message).with_hint(
                "use --mode upsert, which deletes nothing, or drop that foreign key before (--pre-sql) and make it again",
            ))
        }
        None => Ok(()),
    }
}

/// The key decides which row is replaced: another unique index that refuses a row is a conflict that it does not solve.
fn other_index(error: Error) -> Error {
    if errors::state(&error) != Some("23505") {
        return error;
    }
    error.with_hint(merge::OTHER_KEY)
}
