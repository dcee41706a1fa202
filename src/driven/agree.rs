//! What is decided of a target before it takes rows, and what may be promised of it: the pure part of a sink.
//!
//! A driver tells of no keys and keeps no notes. So rows are added to a table that is made, empty or emptied, or is to keep its
//! own; and of a commit whose answer is lost nothing tells but the rows.

use std::sync::Arc;

use arrow::datatypes::Schema;
use serde::{Deserialize, Serialize};

use super::name::Name;
use crate::error::{Error, ErrorKind, Result};
use crate::reject::Refusals;
use crate::shape::TableShape;
use crate::sink::{Agreement, Guarantee, Kept, Publish, Visible, WriteMode, Writers};
use crate::sql::columns::{Draft, refuse_none};

/// What is known of a target before the agreement. `T` is what the connector knows of a table.
#[derive(Debug)]
pub struct Target<T> {
    /// Its name.
    pub name: Name,
    /// The table that is there.
    pub table: Option<Table<T>>,
    /// Whether what is written can be taken back.
    pub transactions: Transactions,
}

/// A table that is there.
#[derive(Debug)]
pub struct Table<T> {
    /// Its columns, as the connector knows them.
    pub columns: T,
    /// Whether it has rows.
    pub filled: bool,
}

/// Whether the driver has transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Transactions {
    /// It has.
    Had,
    /// It has none: what is written stays.
    Missing,
}

impl Transactions {
    /// What `begun`, the answer of the driver that was to begin one, tells.
    ///
    /// # Errors
    /// Any other failure than that there are none.
    pub fn of(begun: Result<()>) -> Result<Self> {
        match begun {
            Ok(()) => Ok(Self::Had),
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Usage) => Ok(Self::Missing),
            Err(error) => Err(error),
        }
    }
}

/// What happens to the table before it takes rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Before {
    /// It is made.
    Make,
    /// It must have no rows.
    Refuse,
    /// Its rows stay.
    Keep,
    /// Its rows are deleted.
    Empty,
}

impl Before {
    /// What `mode` means for `target`, into which `incoming` comes through what `standard` names.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) for rows where none may be; [`Unsupported`](ErrorKind::Unsupported) for rows that
    /// replace others by key, and where a table cannot be emptied in a transaction; [`Schema`](ErrorKind::Schema) for no columns.
    pub fn of<T>(standard: &str, incoming: &TableShape, mode: &WriteMode, target: &Target<T>) -> Result<Self> {
        let before = match (mode, &target.table) {
            (WriteMode::Upsert(_) | WriteMode::Sync(_) | WriteMode::Changes { .. }, _) => {
                let message = format!("{standard} has no way in which rows replace others by their key");
                return Err(Error::new(ErrorKind::Unsupported, message)
                    .with_hint("append to a table beside it and merge that one by --post-sql"));
            }
            (_, None) => Self::Make,
            (WriteMode::Create, Some(table)) if table.filled => return Err(has_rows(&target.name)),
            (WriteMode::Create, Some(_)) => Self::Refuse,
            (WriteMode::Truncate | WriteMode::Replace, Some(_)) => Self::Empty,
            (WriteMode::Append, Some(_)) => Self::Keep,
        };
        if before == Self::Empty && target.transactions == Transactions::Missing {
            let message = "the driver has no transaction in which a table is emptied and refilled";
            return Err(
                Error::new(ErrorKind::Unsupported, message).with_hint("empty it by --pre-sql, and use --mode append")
            );
        }
        refuse_none(incoming)?;
        Ok(before)
    }
}

/// The error of the table `name`, which has rows where none may be.
pub fn has_rows(name: &Name) -> Error {
    Error::new(ErrorKind::AlreadyExists, "the table has rows already")
        .with_hint("use --mode append to add to them, or --mode replace")
        .at("table", name.shown())
}

/// What writers and commit need to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
    /// The table.
    pub name: Name,
    /// What happens to it first.
    pub before: Before,
    /// Whether what is written can be taken back.
    pub transactions: Transactions,
    /// The statement that makes or empties the table; empty where none does.
    pub first: String,
    /// Bytes of rows that are gathered for one call of the driver; with 0 each batch goes alone.
    pub memory_bytes: u64,
}

impl Terms {
    /// What an agreement noted.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for that of another connector.
    pub fn of(agreement: &Agreement) -> Result<Self> {
        Ok(serde_json::from_value(agreement.detail.clone())?)
    }

    /// Whether the rows that the table has in the end are those of the run, all or none of them.
    pub fn tell_by_rows(&self) -> bool {
        matches!(self.before, Before::Make | Before::Refuse) && self.transactions == Transactions::Had
    }

    /// The agreement on the columns of `draft`. The connector has `notes` of its own, and `visible` is asked for.
    pub fn agreement<T>(self, draft: Draft<T>, mut notes: Vec<String>, visible: Visible) -> Result<Agreement> {
        notes.extend(self.notes(visible).into_iter().map(str::to_owned));
        Ok(Agreement {
            target: Arc::new(Schema::new(draft.fields)),
            columns: draft.plans,
            ddl: if self.first.is_empty() { Vec::new() } else { vec![self.first.clone()] },
            writers: Writers::One,
            publish: match self.transactions {
                Transactions::Had => Publish::Held,
                Transactions::Missing => Publish::PerTask,
            },
            guarantee: Guarantee::AtLeastOnce,
            kept: Kept::Nothing,
            marked: false,
            refusals: Refusals::Fail,
            task_bytes: None,
            notes,
            label: self.name.shown(),
            detail: serde_json::to_value(self)?,
        })
    }

    fn notes(&self, visible: Visible) -> Vec<&'static str> {
        let mut notes = Vec::new();
        if self.before == Before::Empty {
            notes.push("the table keeps its definition: it is emptied and refilled in one transaction");
        }
        match self.transactions {
            Transactions::Had => {
                notes.push(
                    "the target notes nothing of the commit: where its answer is lost, look whether the rows are there before \
                     you run it again",
                );
                if visible == Visible::PerTask {
                    notes.push("all rows are seen at the end: this target knows no other way");
                }
            }
            Transactions::Missing => notes.push(
                "the driver has no transactions: rows are seen while they are loaded, and those of a copy that fails stay",
            ),
        }
        notes
    }
}
