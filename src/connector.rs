//! A connector: one row of the static list of products that can be read or written.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use serde_json::Value as Json;

use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::sink::ColumnPlan;
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

    /// Its page for users, in Markdown, with the chapters of [`CHAPTERS`]: the `README.md` of its folder.
    fn page(&self) -> &'static str;

    /// What of it no test has run against a real server, by the names of its page; empty where all of it was.
    /// [`Endpoint::unproven`] says the same of one place.
    fn unproven(&self) -> &'static [&'static str] {
        &[]
    }

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

    /// Its types, as `etl types` shows them; none where columns have those of something else. Pure. `format` is the extension
    /// of files, for the connector that has them.
    fn types(&self, _format: &str) -> Vec<NativeType> {
        Vec::new()
    }

    /// What [`Sink::agree`](crate::sink::Sink::agree) decides of the columns of `shape` where there is no table yet. Pure: what
    /// a server has or lacks is not seen. `format` is that of [`Connector::types`].
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) where nothing is written, or for a column that cannot be.
    fn new_columns(&self, _shape: &TableShape, _format: &str) -> Result<Vec<ColumnPlan>> {
        Err(Error::new(ErrorKind::Unsupported, format!("{} has no columns of its own", self.name())))
    }
}

/// One type of a product.
#[derive(Debug)]
pub struct NativeType {
    /// What the product calls it: `numeric(18,4)`.
    pub name: String,
    /// A table with one column of it, as its source describes it; an error where it is not read.
    pub table: Result<TableShape>,
}

impl NativeType {
    /// The name of the column.
    pub const COLUMN: &str = "value";

    /// The type `name`, of which a column is offered as `field`, and as `native` where that says more.
    pub fn new(name: impl Into<String>, field: Field, native: Option<Field>) -> Self {
        let shape = TableShape::of(Arc::new(Schema::new(vec![field])));
        Self { name: name.into(), table: Ok(TableShape { native: vec![native.map(Arc::new)], ..shape }) }
    }
}

/// The chapters of every page, in this order; the one on options holds the table of [`option_table`].
pub const CHAPTERS: [&str; 7] =
    ["Introduction", "How it works", "Options", "Type conversion", "Performance", "Limits", "Questions"];

/// The places of a job file that stand in `page`, each a JSON object with the key `connector`: the first is one to read, the last one
/// to write.
pub fn examples(page: &str) -> Vec<Json> {
    let blocks = page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let places = blocks.filter_map(|block| serde_json::from_str::<Json>(block).ok());
    places.filter(|place| place.get("connector").is_some()).collect()
}

/// One end of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// What is read.
    Source,
    /// What is written.
    Target,
}

/// What one option means.
#[derive(Clone, Copy, Debug)]
pub struct OptionDoc {
    /// The key, in camelCase.
    pub name: &'static str,
    /// Its JSON type: `string`, `integer`, `number`, `boolean`, `bytes`, `list` or `object`.
    pub kind: &'static str,
    /// Whether nothing works without it.
    pub required: bool,
    /// What holds when it is left out; empty when nothing does.
    pub default: &'static str,
    /// The values that it takes; empty where all of its type will do.
    pub range: &'static str,
    /// The end of a copy that it is for; none where it is for both.
    pub end: Option<End>,
    /// One sentence on what it does.
    pub meaning: &'static str,
}

/// What option `name` means, in one line. It may be left out, and takes any value of its type.
pub const fn option(name: &'static str, kind: &'static str, default: &'static str, meaning: &'static str) -> OptionDoc {
    OptionDoc { name, kind, required: false, default, range: "", end: None, meaning }
}

impl OptionDoc {
    /// The same option where nothing works without it.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// The same option where it takes the values of `range` alone.
    #[must_use]
    pub const fn within(self, range: &'static str) -> Self {
        Self { range, ..self }
    }

    /// The same option where it means nothing at the other end.
    #[must_use]
    pub const fn only(self, end: End) -> Self {
        Self { end: Some(end), ..self }
    }
}

/// `options` as the table that stands in a connector's page, one line each, in Markdown.
pub fn option_table(options: &[OptionDoc]) -> String {
    let cell = |text: &str| if text.is_empty() { " ".to_owned() } else { format!(" {} ", text.replace('|', "\\|")) };
    let row = |option: &OptionDoc| {
        let (name, required) = (format!("`{}`", option.name), if option.required { "yes" } else { "no" });
        let cells = [&name, option.kind, required, option.default, option.range, option.meaning].map(cell);
        format!("|{}|\n", cells.join("|"))
    };
    let head = "| option | type | required | default | range | meaning |\n|---|---|---|---|---|---|\n";
    std::iter::once(head.to_owned()).chain(options.iter().map(row)).collect()
}
