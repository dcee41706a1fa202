//! A connector: one row of the static list of products that can be read or written.

use std::fmt::Debug;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::source::TableShape;

/// One product: a database, a file system, a generator.
///
/// Building is pure: [`Connector::endpoint`] parses and validates, and opens nothing.
pub trait Connector: Debug + Sync {
    /// The word that names it in locators and job files.
    fn name(&self) -> &'static str;

    /// Other URL schemes that mean the same connector.
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    /// One line for `etl connectors`.
    fn summary(&self) -> &'static str;

    /// Every option that [`Connector::endpoint`] understands; another one is an error.
    fn options(&self) -> &'static [OptionDoc];

    /// Makes an endpoint of `options`, a JSON object. Its key `url` holds what stood before `#` in the locator.
    ///
    /// # Errors
    /// [`Usage`](crate::error::ErrorKind::Usage) for an unknown option or a value that does not parse.
    fn endpoint(&self, options: &Json) -> Result<Arc<dyn Endpoint>>;

    /// The statements that would make `table` for the rows of `shape`, as `etl schema --as` shows them. Pure: what a
    /// server has or lacks is not seen.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) where there are no tables, or for a column that none can have.
    fn create_table(&self, _shape: &TableShape, _table: &str) -> Result<Vec<String>> {
        Err(Error::new(ErrorKind::Unsupported, format!("{} has no statement that makes a table", self.name())))
    }
}

/// What one option means.
#[derive(Clone, Copy, Debug)]
pub struct OptionDoc {
    /// The key, in camelCase.
    pub name: &'static str,
    /// Its JSON type: `string`, `integer`, `boolean`, `bytes` or `list`.
    pub kind: &'static str,
    /// What holds when it is left out; empty when nothing does.
    pub default: &'static str,
    /// One sentence on what it does.
    pub meaning: &'static str,
}
