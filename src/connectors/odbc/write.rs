//! How the driver is asked for what a sink needs.

use arrow::datatypes::SchemaRef;

use super::agree::{Dialect, agree};
use super::catalog;
use super::config::Config;
use super::database::Connection;
use super::load::Load;
use crate::driven::agree::{Table, Target, Terms, Transactions};
use crate::driven::name::Name;
use crate::driven::sink::{self, Database, TableSink};
use crate::error::Result;
use crate::sink::{Agreement, WriteRequest};
use crate::source::TableShape;

/// One table.
pub(super) type OdbcSink = TableSink<Config>;
/// What became of the tokens of an endpoint.
pub(super) type Stages = sink::Stages<Load>;

impl Database for Config {
    type Filler = Load;

    fn agree(&self, name: &Name, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
        let connection = Connection::open(self)?;
        let table = match catalog::columns(&connection, name)? {
            None => None,
            Some(columns) => Some(Table { columns, filled: catalog::is_filled(&connection, name)? }),
        };
        // The last thing asked of this connection.
        let transactions = Transactions::of(connection.try_transaction())?;
        let dialect = Dialect { product: connection.product(), quote: connection.quote() };
        agree((self, dialect), incoming, request, &Target { name: name.clone(), table, transactions })
    }

    fn connect(&self, terms: &Terms, schema: &SchemaRef) -> Result<Load> {
        Load::connect(self, terms, schema)
    }

    fn count(&self, name: &Name) -> Result<Option<u64>> {
        let connection = Connection::open(self)?;
        match catalog::columns(&connection, name)? {
            Some(_) => catalog::count(&connection, name),
            None => Ok(None),
        }
    }
}
