//! What an agreement says of one column.

use serde::{Deserialize, Serialize};

/// What happens to one column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ColumnPlan {
    /// Name in the incoming shape; none for a column that only the target has.
    pub incoming: Option<String>,
    /// Name in the target; none for a dropped column.
    pub target: Option<String>,
    /// Type in the target's own words: `numeric(18,4)`.
    pub target_type: String,
    /// Which form the sink wants to get.
    pub form: Form,
    /// What happens to the values.
    pub fate: ColumnFate,
    /// Why, where it is not plain.
    pub note: Option<String>,
}

impl ColumnPlan {
    /// The values of `name` arrive as they are, in a column of that name whose type is `target_type`.
    pub fn exact(name: &str, target_type: &str) -> Self {
        Self {
            incoming: Some(name.to_owned()),
            target: Some(name.to_owned()),
            target_type: target_type.to_owned(),
            form: Form::Arrow,
            fate: ColumnFate::Exact,
            note: None,
        }
    }

    /// `incoming` is not copied: `why`.
    pub fn dropped(incoming: &str, why: &str) -> Self {
        Self { target: None, fate: ColumnFate::Dropped, note: Some(why.to_owned()), ..Self::exact(incoming, "") }
    }

    /// Nothing comes into `target`; `note` says what is in it then.
    pub fn added(target: &str, target_type: &str, note: Option<&str>) -> Self {
        let note = note.map(str::to_owned);
        Self { incoming: None, fate: ColumnFate::Added, note, ..Self::exact(target, target_type) }
    }

    /// Says `note` before what was said of it so far.
    pub fn add_note(&mut self, note: &str) {
        self.note = Some(self.note.take().map_or_else(|| note.to_owned(), |more| format!("{note}; {more}")));
    }
}

/// The two forms in which a column may be offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Form {
    /// The field of `TableShape::schema`.
    Arrow,
    /// The field of `TableShape::native`: wire bytes or text of the source's own type.
    Native,
}

/// What happens to the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ColumnFate {
    /// Same values, same meaning.
    Exact,
    /// Same values in a wider type.
    Widened,
    /// Values may lose something: one that would is a reject, but where a note says what is lost in the form of a file.
    Lossy,
    /// Such values are rounded or cut, as the job allows; one that is beyond the range of the type is a reject.
    LossAllowed,
    /// Values become text.
    Stringified,
    /// Only the target has it: its default.
    Added,
    /// Only the source has it: not copied.
    Dropped,
}
