//! A column of the source as a job describes it, beyond its name.

use serde::{Deserialize, Serialize};

/// One column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceColumn {
    /// Its name. Where the source has none that is written so, case does not count.
    pub name: String,
    /// What its texts are read as; values that are no texts stay what they are.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<TextKind>,
    /// How dates and times stand in its texts, in the letters of strftime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// What stands in the place of NULL, as a text; in every row, where the source has no such column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl SourceColumn {
    /// The column `name` as it is.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// What a text is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TextKind {
    /// A whole number of 64 bits.
    Whole,
    /// A double.
    Double,
    /// `true` or `false`, in any case.
    Truth,
    /// A date with or without a time.
    Moment,
}
