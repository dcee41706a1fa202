//! Rows that replace others by their key: how they find them, and what that did. Plain data.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::shape::TableShape;

/// How rows that come find those that they replace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Merge {
    /// The columns of the key; none for the target's primary key, else the source's.
    pub key: Vec<String>,
    /// What becomes of rows that come with the same key.
    pub duplicates: Duplicates,
    /// The columns that an update sets; none for all that come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updates: Option<Vec<String>>,
}

/// What becomes of several rows that come with the same key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Duplicates {
    /// They are refused.
    #[default]
    Refuse,
    /// The one with the lowest value of this column counts; NULL is never the lowest. Two with the same are refused.
    First(String),
    /// The one with the highest value of this column counts, alike.
    Last(String),
}

/// What becomes of rows of the target whose key does not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Absent {
    /// They stay.
    Kept,
    /// They go.
    Deleted,
}

impl Absent {
    /// What a merge by `key` does, for the plan.
    pub(crate) fn note(self, key: &[String]) -> String {
        let what = match self {
            Self::Kept => "those that differ are updated, new ones inserted",
            Self::Deleted => "those that did not come are deleted, others updated or inserted",
        };
        format!("rows are merged by {}: {what}", key.join(", "))
    }
}

impl Merge {
    /// The same with its key found: the one that was asked for, else `primary`, the target's, else that of the source.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) where there is no key, or one with a column that does not come.
    pub fn settled(&self, primary: &[String], incoming: &TableShape) -> Result<Self> {
        let keys = [self.key.as_slice(), primary, incoming.key.as_slice()];
        let Some(key) = keys.into_iter().find(|key| !key.is_empty()) else {
            return Err(Error::new(ErrorKind::Usage, "neither source nor target has a primary key to merge by")
                .with_hint("name the columns that tell rows apart with --key"));
        };
        let order = match &self.duplicates {
            Duplicates::Refuse => None,
            Duplicates::First(column) | Duplicates::Last(column) => Some(column),
        };
        for name in key.iter().chain(order) {
            if incoming.schema.field_with_name(name).is_err() {
                let message = format!("the rows have no column {name:?}, by which they were to be merged");
                return Err(Error::new(ErrorKind::Usage, message).with_hint("check --key, --order-by and --rename"));
            }
        }
        let doubled = key.iter().enumerate().find(|(at, name)| key[..*at].contains(name));
        if let Some((_, name)) = doubled {
            return Err(Error::new(ErrorKind::Usage, format!("the key names {name:?} twice")));
        }
        Ok(Self { key: key.to_vec(), ..self.clone() })
    }

    /// The same, of which updates set all columns that come.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) where they are to set some of them.
    pub fn of_all_columns(self) -> Result<Self> {
        if self.updates.is_none() {
            return Ok(self);
        }
        let message = "this target updates all columns that come, and not some of them alone";
        Err(Error::new(ErrorKind::Unsupported, message)
            .with_hint("copy the key and the columns that are to be updated"))
    }

    /// The same by the names of the target: `target` gives that of a column, if it is written.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for a column that is not written.
    pub fn within(&self, target: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let target = |name: &String| {
            let lacking = || Error::new(ErrorKind::Usage, format!("the target takes no column {name:?} to merge by"));
            target(name).ok_or_else(|| lacking().with_hint("check --key and --order-by"))
        };
        let duplicates = match &self.duplicates {
            Duplicates::Refuse => Duplicates::Refuse,
            Duplicates::First(column) => Duplicates::First(target(column)?),
            Duplicates::Last(column) => Duplicates::Last(target(column)?),
        };
        let updates = self.updates.as_ref().map(|names| names.iter().map(target).collect::<Result<Vec<_>>>());
        let updates = updates.transpose()?;
        Ok(Self { key: self.key.iter().map(target).collect::<Result<_>>()?, duplicates, updates })
    }
}

/// What a merge by key did to the target. Rows that were there as they came are in none of the numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Merged {
    /// Rows that are new.
    pub inserted: u64,
    /// Rows that changed.
    pub updated: u64,
    /// Rows that did not come and are gone.
    pub deleted: u64,
}

/// The error of several rows with the key `columns`; `places` says where two of them are, as far as it is known.
pub(crate) fn duplicate_key(columns: &[String], order: &Duplicates, places: &str) -> Error {
    let (message, hint) = match order {
        Duplicates::Refuse => (
            "several rows of the source have the same key".to_owned(),
            "take one of them with --on-duplicate first or last and --order-by COLUMN, or name another --key",
        ),
        Duplicates::First(column) | Duplicates::Last(column) => (
            format!("several rows of the source have the same key, and {column:?} does not say which one counts"),
            "order them by a column that differs between them",
        ),
    };
    let error = Error::new(ErrorKind::Constraint, message).with_hint(hint);
    error.at("rows", places).at("key", columns.join(", "))
}
