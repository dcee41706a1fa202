//! Reading one object: its columns, its splits, and the rows of a split as Arrow batches.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use async_trait::async_trait;
use datafusion::logical_expr::Expr;

use super::config::Config;
use super::endpoint::missing;
use super::typemap;
use crate::attempt::Attempt;
use crate::endpoint::ObjectRef;
use crate::error::{Context as _, Error, Result};
use crate::reject::Tray;
use crate::source::{BatchStream, Pushdown, ReadPlan, Scan, Source, Split, SplitGoal, TableShape};

/// One object of a session.
#[derive(Debug)]
pub(super) struct SampleSource {
    config: Config,
    object: ObjectRef,
}

/// A column as its own catalog describes it.
struct Column {
    name: String,
    declared: String,
    nullable: bool,
}

impl SampleSource {
    pub(super) fn new(config: Config, object: ObjectRef) -> Self {
        Self { config, object }
    }

    fn missing(&self, what: &str) -> Error {
        missing(what).at("object", &self.object).at("place", self.config.label())
    }

    #[expect(clippy::unused_async, reason = "the place will be asked")]
    async fn columns(&self) -> Result<Vec<Column>> {
        Err(self.missing("describe the columns of an object (read.rs)"))
    }
}

#[async_trait]
impl Source for SampleSource {
    async fn describe(&self) -> Result<TableShape> {
        let field = |column: &Column| -> Result<Field> {
            let data_type = typemap::data_type(&column.declared).at("column", || &column.name)?;
            Ok(Field::new(&column.name, data_type, column.nullable))
        };
        let fields = self.columns().await?.iter().map(field).collect::<Result<Vec<_>>>()?;
        Ok(TableShape::of(Arc::new(Schema::new(fields))))
    }

    fn pushdown(&self, _shape: &TableShape, _filter: &Expr) -> Pushdown {
        Pushdown::None
    }

    /// Pieces that can be read alone, again and in any order; what tells one from another is in `Split::detail`.
    async fn plan(&self, _scan: &Scan, _goal: &SplitGoal) -> Result<ReadPlan> {
        Err(self.missing("cut an object into splits (read.rs)"))
    }

    /// The columns of the scan in its order, in batches of no more than `scan.batch_rows` and about `scan.batch_bytes`. Rows that
    /// cannot be decoded go into the tray, where there is one.
    async fn read(
        &self,
        _scan: &Scan,
        _split: &Split,
        _attempt: &Attempt,
        _tray: Option<&Arc<Tray>>,
    ) -> Result<BatchStream> {
        Err(self.missing("read the rows of a split (read.rs)"))
    }
}
