//! One connection that fills a table by the driver's bulk path.

use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, SchemaRef};

use super::catalog;
use super::config::Config;
use super::database::Connection;
use super::driver::Product;
use super::typemap::misfit;
use crate::bridge::adbc::{Fill, Place};
use crate::driven::agree::Terms;
use crate::driven::load::{self, Filler, is_transient};
use crate::error::Result;

/// The connection of one run.
pub(super) struct Load {
    connection: Connection,
    terms: Terms,
    schema: SchemaRef,
}

impl Load {
    /// Connects, to fill the table of `terms` with rows of `schema`.
    pub(super) fn connect(config: &Config, terms: &Terms, schema: &SchemaRef) -> Result<Self> {
        Ok(Self { connection: Connection::open(config)?, terms: terms.clone(), schema: SchemaRef::clone(schema) })
    }

    fn load(&mut self, fill: Fill, batches: Vec<RecordBatch>) -> Result<()> {
        let name = &self.terms.name;
        let place = Place { catalog: name.catalog.as_deref(), schema: name.schema.as_deref(), table: &name.table };
        self.connection.fill(&place, fill, (SchemaRef::clone(&self.schema), batches))
    }
}

impl Filler for Load {
    const PATIENCE: Duration = Duration::from_secs(5);

    fn stop(&self) -> Box<dyn Fn() + Send + Sync> {
        let interrupt = self.connection.interrupt();
        Box::new(move || interrupt.interrupt())
    }

    fn begin(&mut self) -> Result<()> {
        self.connection.begin()
    }

    fn make(&mut self) -> Result<()> {
        self.load(Fill::Create, Vec::new())
    }

    fn empty(&mut self) -> Result<()> {
        self.connection.execute(&self.terms.first)
    }

    fn is_filled(&mut self) -> Result<bool> {
        catalog::is_filled(&mut self.connection, &self.terms.name)
    }

    fn count(&mut self) -> Result<Option<u64>> {
        catalog::count(&mut self.connection, &self.terms.name)
    }

    fn misfit(&self, batch: &RecordBatch) -> Option<(usize, FieldRef, &'static str)> {
        misfit(self.connection.config().product, batch)
    }

    fn fill(&mut self, batches: Vec<RecordBatch>) -> Result<()> {
        self.load(Fill::Append, batches)
    }

    fn commit(&mut self) -> Result<()> {
        let deadline = Instant::now() + Self::PATIENCE;
        let mut committed = self.connection.commit();
        // A file that somebody reads: the transaction stays open until they have done.
        let waits = self.connection.config().product == Product::Sqlite;
        while waits && is_transient(&committed) && Instant::now() < deadline {
            std::thread::sleep(load::PAUSE);
            committed = self.connection.commit();
        }
        committed
    }

    fn rollback(&mut self) -> Result<()> {
        self.connection.rollback()
    }
}
