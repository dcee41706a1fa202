//! The door to ADBC drivers: shared libraries that speak Arrow both ways.
//!
//! A driver is found and loaded once and stays loaded: its threads may outlive what was opened through it. All calls block, and
//! those on one connection wait for each other: a task has a connection of its own, on a thread of
//! [`blocking`](super::blocking).

use std::fmt;
use std::sync::Arc;

use adbc_core::options::{IngestMode, ObjectDepth, OptionConnection, OptionDatabase, OptionStatement, OptionValue};
use adbc_core::{CancelHandle, Connection as _, Database as _, Driver as _, Optionable as _, Statement as _};
use adbc_driver_manager::{ManagedConnection, ManagedDatabase, ManagedDriver, ManagedStatement};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchIterator, RecordBatchReader};

mod library;

pub use adbc_core::error::Status;
pub use library::{Library, Search};

/// What a driver says of a call that failed. Its text may hold values: whoever shows it knows the product.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The kind of failure, as far as the driver tells.
    pub status: Status,
    /// The driver's own words.
    pub message: String,
}

impl Failure {
    /// The driver's own words, out of the JSON in which DuckDB may wrap them.
    pub fn text(&self) -> String {
        let message = self.message.trim();
        let wrapped =
            message.starts_with('{').then(|| serde_json::from_str::<serde_json::Value>(message).ok()).flatten();
        let part = |key: &str| wrapped.as_ref().and_then(|json| json.get(key)).and_then(serde_json::Value::as_str);
        match (part("exception_type"), part("exception_message")) {
            (Some(class), Some(text)) => format!("{class} Error: {text}"),
            _ => message.to_owned(),
        }
    }
}

impl From<adbc_core::error::Error> for Failure {
    fn from(error: adbc_core::error::Error) -> Self {
        Self { status: error.status, message: error.message }
    }
}

impl From<ArrowError> for Failure {
    fn from(error: ArrowError) -> Self {
        let message = match error {
            // What a driver says while its rows are read.
            ArrowError::CDataInterface(message) => message,
            other => other.to_string(),
        };
        Self { status: Status::Unknown, message }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.trim_end())
    }
}

impl std::error::Error for Failure {}

/// Result of a call of a driver.
pub type Outcome<T> = std::result::Result<T, Failure>;

/// A loaded driver.
#[derive(Clone, Debug)]
pub struct Driver(ManagedDriver);

impl Driver {
    /// Opens a database with `options`, in the driver's own words.
    ///
    /// # Errors
    /// What the driver says.
    pub fn open(&self, options: &[(&str, &str)]) -> Outcome<Database> {
        let options = options.iter().map(|(key, value)| (OptionDatabase::from(*key), OptionValue::from(*value)));
        Ok(Database(self.0.clone().new_database_with_opts(options)?))
    }
}

/// An open database. Its connections keep it open.
pub struct Database(ManagedDatabase);

impl Database {
    /// A new connection.
    ///
    /// # Errors
    /// What the driver says.
    pub fn connect(&self) -> Outcome<Connection> {
        let connection = self.0.new_connection()?;
        let cancel = Interrupt(Arc::from(connection.get_cancel_handle()));
        Ok(Connection { connection, cancel })
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Database")
    }
}

/// One connection: one statement at a time.
pub struct Connection {
    connection: ManagedConnection,
    cancel: Interrupt,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    /// What stops the statement that runs, from another thread.
    pub fn interrupt(&self) -> Interrupt {
        self.cancel.clone()
    }

    /// Runs `sql` and leaves its rows alone.
    ///
    /// # Errors
    /// What the driver says.
    pub fn execute(&mut self, sql: &str) -> Outcome<()> {
        let mut statement = self.connection.new_statement()?;
        statement.set_sql_query(sql)?;
        statement.execute_update()?;
        Ok(())
    }

    /// Runs `sql` and gives its rows as they come.
    ///
    /// # Errors
    /// What the driver says.
    pub fn query(&mut self, sql: &str) -> Outcome<Rows> {
        let mut statement = self.connection.new_statement()?;
        statement.set_sql_query(sql)?;
        let reader = statement.execute()?;
        Ok(Rows { reader, _statement: statement })
    }

    /// The columns that `sql` gives. A driver that cannot tell them without running it runs it, and its rows are left.
    ///
    /// # Errors
    /// What the driver says.
    pub fn columns(&mut self, sql: &str) -> Outcome<SchemaRef> {
        let mut statement = self.connection.new_statement()?;
        statement.set_sql_query(sql)?;
        match statement.execute_schema() {
            Ok(schema) => return Ok(Arc::new(schema)),
            Err(error) if error.status == Status::NotImplemented => drop(statement),
            Err(error) => return Err(error.into()),
        }
        Ok(self.query(sql)?.schema())
    }

    /// Adds all rows of `batches`, which have the columns `schema`, to `target`.
    ///
    /// # Errors
    /// What the driver says.
    pub fn fill(
        &mut self,
        target: &Place<'_>,
        fill: Fill,
        (schema, batches): (SchemaRef, Vec<RecordBatch>),
    ) -> Outcome<()> {
        let mut statement = self.connection.new_statement()?;
        if let Some(catalog) = target.catalog {
            statement.set_option(OptionStatement::TargetCatalog, OptionValue::from(catalog))?;
        }
        if let Some(schema) = target.schema {
            statement.set_option(OptionStatement::TargetDbSchema, OptionValue::from(schema))?;
        }
        statement.set_option(OptionStatement::TargetTable, OptionValue::from(target.table))?;
        let mode = match fill {
            Fill::Create => IngestMode::Create,
            Fill::Append => IngestMode::Append,
        };
        statement.set_option(OptionStatement::IngestMode, mode.into())?;
        statement.bind_stream(Box::new(RecordBatchIterator::new(batches.into_iter().map(Ok), schema)))?;
        statement.execute_update()?;
        Ok(())
    }

    /// Begins a transaction; when it ends the next one begins.
    ///
    /// # Errors
    /// What the driver says: [`Status::NotImplemented`] and others where there are no transactions.
    pub fn begin(&mut self) -> Outcome<()> {
        Ok(self.connection.set_option(OptionConnection::AutoCommit, OptionValue::from(false))?)
    }

    /// Commits the transaction.
    ///
    /// # Errors
    /// What the driver says.
    pub fn commit(&mut self) -> Outcome<()> {
        Ok(self.connection.commit()?)
    }

    /// Rolls the transaction back.
    ///
    /// # Errors
    /// What the driver says.
    pub fn rollback(&mut self) -> Outcome<()> {
        Ok(self.connection.rollback()?)
    }

    /// Product, driver and their versions, as the specification lays them out: a code and a value in each row.
    ///
    /// # Errors
    /// What the driver says.
    pub fn info(&mut self) -> Outcome<Vec<RecordBatch>> {
        self.connection.get_info(None)?.map(|batch| batch.map_err(Failure::from)).collect()
    }

    /// Catalogs, their schemas and the tables in these, as the specification nests them.
    ///
    /// # Errors
    /// What the driver says.
    pub fn tables(&mut self) -> Outcome<Vec<RecordBatch>> {
        let objects = self.connection.get_objects(ObjectDepth::Tables, None, None, None, None, None)?;
        objects.map(|batch| batch.map_err(Failure::from)).collect()
    }
}

/// A table that takes rows; what is not named is the connection's own.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its catalog.
    pub catalog: Option<&'a str>,
    /// Its schema.
    pub schema: Option<&'a str>,
    /// Its own name.
    pub table: &'a str,
}

/// What a table is before it takes rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// It is made, with types that the driver chooses.
    Create,
    /// It is there.
    Append,
}

/// The rows of a statement. Its connection does nothing else meanwhile.
pub struct Rows {
    // Dropped in this order: the rows belong to the statement.
    reader: Box<dyn RecordBatchReader + Send>,
    _statement: ManagedStatement,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("schema", &self.schema()).finish_non_exhaustive()
    }
}

impl Rows {
    /// Their columns, in the driver's types.
    pub fn schema(&self) -> SchemaRef {
        self.reader.schema()
    }
}

impl Iterator for Rows {
    type Item = Outcome<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.reader.next()?.map_err(Failure::from))
    }
}

/// Stops what a connection does.
#[derive(Clone)]
pub struct Interrupt(Arc<dyn CancelHandle>);

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interrupt")
    }
}

impl Interrupt {
    /// Stops the statement that runs; without one it does nothing. A driver that cannot goes on.
    pub fn interrupt(&self) {
        let _ = self.0.try_cancel();
    }
}
