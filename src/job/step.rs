//! Functions over columns by their place, which run before anything else is computed.

use serde::{Deserialize, Serialize};

/// One function over one column. It gives the column another value, or drops the row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransformStep {
    /// Its name: `dx_substr`.
    pub function: String,
    /// The place of the column, from 0.
    pub column_index: usize,
    /// What it is told, in its own order.
    pub parameters: Vec<String>,
}
