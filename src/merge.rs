//! Rows that replace others by their key: how they find them, and what that did. Plain data.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::shape::TableShape;

/// How rows that come find those that they replace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Merge {
    /// The columns of the key; none where it is looked for.
    pub key: Vec<String>,
    /// What becomes of rows that come with the same key.
    pub duplicates: Duplicates,
    /// The columns that an update sets; none for all that come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updates: Option<Vec<String>>,
    /// Where a key is looked for that nobody names.
    #[serde(skip_serializing_if = "is_default")]
    pub key_of: KeyOf,
    /// What becomes of those columns of a row that is replaced which do not come.
    #[serde(skip_serializing_if = "is_default")]
    pub rest: Rest,
}

/// Where a key is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyOf {
    /// It is the target's primary key, else the source's.
    #[default]
    Either,
    /// It is the target's primary key, else its only unique index, of those whose columns all come.
    Target,
}

/// What becomes of those columns of a row that is replaced which do not come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Rest {
    /// They stay as they are: the row is updated.
    #[default]
    Kept,
    /// They get their defaults: the row is deleted, and the one that comes is inserted.
    Default,
}

impl Rest {
    /// What the user should know, for the plan.
    pub(crate) fn note(self) -> Option<String> {
        let note =
            "a row whose key comes is deleted, and the one that comes is inserted: other columns get their defaults";
        (self == Self::Default).then(|| note.to_owned())
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
    /// The first to arrive counts. Which one that is, nothing says where several channels bring them.
    FirstArrived,
    /// The last to arrive counts, alike.
    LastArrived,
}

impl Duplicates {
    /// What the user should know, for the plan.
    pub(crate) fn note(&self) -> Option<String> {
        let which = match self {
            Self::FirstArrived => "first",
            Self::LastArrived => "last",
            Self::Refuse | Self::First(_) | Self::Last(_) => return None,
        };
        Some(format!(
            "of several rows with one key the {which} to arrive stays, which with several channels may be any of them"
        ))
    }
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
    /// The key of a target with this `primary` key, which may be none, and these `unique` indexes beside it. Of those whose columns
    /// do not all `come` none is meant: the target numbers its rows by them.
    pub fn own<'a>(
        &self,
        primary: &'a [String],
        unique: impl IntoIterator<Item = &'a [String]>,
        comes: impl Fn(&str) -> bool,
    ) -> &'a [String] {
        let whole = |columns: &&[String]| !columns.is_empty() && columns.iter().all(|name| comes(name));
        if self.key_of == KeyOf::Either || whole(&primary) {
            return primary;
        }
        let mut unique = unique.into_iter().filter(whole);
        match (unique.next(), unique.next()) {
            (Some(only), None) => only,
            _ => primary,
        }
    }

    /// The same with its key found: the one that was asked for, else `own`, the target's, else that of the source.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) where there is no key, or one with a column that does not come.
    pub fn settled(&self, own: &[String], incoming: &TableShape) -> Result<Self> {
        let none: &[String] = &[];
        let (source, lacking) = match self.key_of {
            KeyOf::Either => (incoming.key.as_slice(), "neither source nor target has a primary key to merge by"),
            KeyOf::Target => (none, "the target has no primary key to merge by, and not one unique index alone"),
        };
        let keys = [self.key.as_slice(), own, source];
        let Some(key) = keys.into_iter().find(|key| !key.is_empty()) else {
            return Err(
                Error::new(ErrorKind::Usage, lacking).with_hint("name the columns that tell rows apart with --key")
            );
        };
        let order = match &self.duplicates {
            Duplicates::First(column) | Duplicates::Last(column) => Some(column),
            Duplicates::Refuse | Duplicates::FirstArrived | Duplicates::LastArrived => None,
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

    /// Refuses to replace rows of `product` as a whole.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported).
    pub fn refuse_defaults(&self, product: &str) -> Result<()> {
        if self.rest == Rest::Kept {
            return Ok(());
        }
        let message = format!("{product} does not give a row that is replaced the defaults of what does not come");
        Err(Error::new(ErrorKind::Unsupported, message).with_hint("let rows be updated instead"))
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
            Duplicates::First(column) => Duplicates::First(target(column)?),
            Duplicates::Last(column) => Duplicates::Last(target(column)?),
            other => other.clone(),
        };
        let updates = self.updates.as_ref().map(|names| names.iter().map(target).collect::<Result<Vec<_>>>());
        let key = self.key.iter().map(target).collect::<Result<_>>()?;
        Ok(Self { key, duplicates, updates: updates.transpose()?, ..*self })
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
pub fn duplicate_key(columns: &[String], order: &Duplicates, places: &str) -> Error {
    let (message, hint) = match order {
        Duplicates::First(column) | Duplicates::Last(column) => (
            format!("several rows of the source have the same key, and {column:?} does not say which one counts"),
            "order them by a column that differs between them",
        ),
        Duplicates::Refuse | Duplicates::FirstArrived | Duplicates::LastArrived => (
            "several rows of the source have the same key".to_owned(),
            "take one of them with --on-duplicate first or last and --order-by COLUMN, or last-arrived, or name another --key",
        ),
    };
    let error = Error::new(ErrorKind::Constraint, message).with_hint(hint);
    error.at("rows", places).at("key", columns.join(", "))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn a_key_is_looked_for_where_it_may_be() {
        let fields = ["id", "code", "v"].map(|name| Field::new(name, DataType::Int64, false));
        let incoming =
            TableShape { key: vec!["id".to_owned()], ..TableShape::of(Arc::new(Schema::new(fields.to_vec()))) };
        let key = |key_of, primary: &[&str], unique: &[&[&str]]| {
            let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
            let (primary, unique): (_, Vec<_>) = (names(primary), unique.iter().map(|index| names(index)).collect());
            let merge = Merge { key_of, ..Merge::default() };
            let comes = |name: &str| incoming.schema.field_with_name(name).is_ok();
            let own = merge.own(&primary, unique.iter().map(Vec::as_slice), comes);
            merge.settled(own, &incoming).map(|merge| merge.key.join(",")).map_err(|error| error.kind())
        };
        assert_eq!(key(KeyOf::Either, &["code"], &[&["v"]]), Ok("code".to_owned()));
        assert_eq!(key(KeyOf::Either, &[], &[&["v"]]), Ok("id".to_owned()), "that of the source");
        assert_eq!(key(KeyOf::Target, &["code"], &[&["v"]]), Ok("code".to_owned()));
        assert_eq!(key(KeyOf::Target, &[], &[&["code", "v"]]), Ok("code,v".to_owned()));
        assert_eq!(key(KeyOf::Target, &[], &[&["code"], &["v"]]), Err(ErrorKind::Usage), "which one?");
        assert_eq!(
            key(KeyOf::Target, &["number"], &[&["other"], &["v"]]),
            Ok("v".to_owned()),
            "the only one that comes"
        );
        assert_eq!(key(KeyOf::Target, &["number"], &[]), Err(ErrorKind::Usage), "a number that the target gives");
        assert_eq!(key(KeyOf::Target, &[], &[]), Err(ErrorKind::Usage), "that of the source is not asked");
    }
}
