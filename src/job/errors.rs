//! What happens to rows that are refused.

use serde::{Deserialize, Serialize};

use crate::job::Place;

pub use crate::reject::{Judged, MaxErrors, Others, RejectsFormat};

/// What happens to rows that cannot be read, computed or fitted to the target.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ErrorPolicy {
    /// Whether they are left out.
    pub on_error: OnError,
    /// How many may be left out; none sets no limit.
    pub max_errors: Option<MaxErrors>,
    /// A new file that gets them with their reasons, or a folder that gets one more; without it they are counted.
    pub rejects: Option<Place>,
    /// How they stand in it.
    pub rejects_format: RejectsFormat,
    /// What else counts against the limit; of no file, for it is known only while the transfers of a job run.
    #[serde(skip)]
    pub others: Others,
}

/// What the first row that is refused does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnError {
    /// The run fails.
    #[default]
    Fail,
    /// The row is left out.
    Skip,
}
