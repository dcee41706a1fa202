//! A step of a transform: a function of one column, which is named by its place, as DataX's transformers do it.

use serde::{Deserialize, Serialize};

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransformStep {
    /// `dx_substr`, `dx_pad`, `dx_replace`, `dx_filter` or `dx_digest`.
    pub function: String,
    /// Which column of the rows as the step gets them, from 0.
    pub column_index: usize,
    /// Its parameters, all of them as texts.
    pub parameters: Vec<String>,
}
