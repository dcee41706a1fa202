//! How the driver is asked for what a sink needs.

use arrow::datatypes::SchemaRef;

use super::agree::{Columns, agree};
use super::catalog;
use super::config::Config;
use super::database::Connection;
use super::driver::Product;
use super::load::Load;
use crate::driven::agree::{Table, Target, Terms, Transactions};
use crate::driven::name::Name;
use crate::driven::sink::{self, Database, TableSink};
use crate::error::Result;
use crate::sink::{Agreement, WriteRequest};
use crate::source::TableShape;

/// One table.
pub(super) type AdbcSink = TableSink<Config>;
/// What became of the tokens of an endpoint.
pub(super) type Stages = sink::Stages<Load>;

impl Database for Config {
    type Filler = Load;

    fn agree(&self, name: &Name, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
        agree(self, incoming, request, &look(self, name)?)
    }

    fn connect(&self, terms: &Terms, schema: &SchemaRef) -> Result<Load> {
        Load::connect(self, terms, schema)
    }

    fn count(&self, name: &Name) -> Result<Option<u64>> {
        let mut connection = Connection::open(self)?;
        match catalog::columns(&mut connection, name)? {
            Some(_) => catalog::count(&mut connection, name),
            None => Ok(None),
        }
    }
}

/// What the target is like now.
fn look(config: &Config, name: &Name) -> Result<Target<Columns>> {
    let mut connection = Connection::open(config)?;
    let table = match catalog::columns(&mut connection, name)? {
        None => None,
        Some(schema) => {
            let sqlite = config.product == Product::Sqlite;
            let declared = if sqlite { catalog::declared(&mut connection, name)? } else { Vec::new() };
            let filled = catalog::is_filled(&mut connection, name)?;
            Some(Table { columns: Columns { schema, declared }, filled })
        }
    };
    // The last thing asked of this connection.
    let transactions = Transactions::of(connection.begin())?;
    Ok(Target { name: name.clone(), table, transactions })
}
