//! The door to ADBC drivers: shared libraries that speak Arrow both ways.
//!
//! A driver is found and loaded once and stays loaded: its threads may outlive what was opened through it. All calls block, and
//! those on one connection wait for each other: a task has a connection of its own, on a thread of
//! [`blocking`](super::blocking).

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use adbc_core::options::{AdbcVersion, IngestMode, OptionDatabase, OptionStatement, OptionValue};
use adbc_core::{CancelHandle, Connection as _, Database as _, Driver as _, Optionable as _, Statement as _};
use adbc_driver_manager::{ManagedConnection, ManagedDatabase, ManagedDriver, ManagedStatement};
use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::error::{Error, ErrorKind, Result};

pub use adbc_core::error::Status;

/// Where the library of a driver is looked for, and what is said when it is not there.
#[derive(Clone, Copy, Debug)]
pub struct Library {
    /// The product, for messages.
    pub product: &'static str,
    /// The name of the library without prefix and extension: `duckdb` for `libduckdb.so`.
    pub name: &'static str,
    /// The function by which a driver is told from any other library.
    pub entry_point: &'static str,
    /// The environment variable that names the library, or the folder that it is in.
    pub variable: &'static str,
    /// How to get it.
    pub advice: &'static str,
}

impl Library {
    fn file_name(&self) -> OsString {
        library_name(self.name)
    }

    /// The driver of this library.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) when there is no such library, [`Unsupported`](ErrorKind::Unsupported) when it is
    /// another one or does not load.
    pub fn driver(&self) -> Result<Driver> {
        static LOADED: LazyLock<Mutex<HashMap<PathBuf, ManagedDriver>>> = LazyLock::new(Mutex::default);
        let path = self.place()?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(driver) = loaded.get(&path) {
            return Ok(Driver(driver.clone()));
        }
        let entry_point = Some(self.entry_point.as_bytes());
        let driver = ManagedDriver::load_dynamic_from_filename(&path, entry_point, AdbcVersion::V110)
            .map_err(|error| self.failed(&path, &Failure::from(error)))?;
        loaded.insert(path, driver.clone());
        Ok(Driver(driver))
    }

    /// Where the library is: where the variable says, next to the program, or wherever the system looks for one of its name.
    fn place(&self) -> Result<PathBuf> {
        let file = self.file_name();
        if let Some(told) = std::env::var_os(self.variable).filter(|told| !told.is_empty()) {
            let told = PathBuf::from(told);
            let path = if told.is_dir() { told.join(&file) } else { told };
            if path.is_file() {
                return Ok(std::path::absolute(path)?);
            }
            let message = format!("{} says that the library of {} is here, and it is not", self.variable, self.product);
            return Err(Error::new(ErrorKind::NotFound, message).with_hint(self.advice).at("file", path.display()));
        }
        let program = std::env::current_exe().ok();
        let folder = program.as_deref().and_then(Path::parent);
        let beside = folder.map(|folder| folder.join(&file)).filter(|path| path.is_file());
        Ok(beside.unwrap_or_else(|| PathBuf::from(file)))
    }

    fn failed(&self, path: &Path, failure: &Failure) -> Error {
        let message = &failure.message;
        let product = self.product;
        if message.contains("No such file") || message.contains("image not found") {
            let message = format!("the library of {product}, {}, is not on this machine", self.file_name().display());
            return Error::new(ErrorKind::NotFound, message).with_hint(self.advice).with_source(failure.clone());
        }
        let sentence = if message.contains(self.entry_point) || message.contains("undefined symbol") {
            format!("this is no library of {product} that speaks ADBC: it has no function {}", self.entry_point)
        } else {
            format!("the library of {product} does not load")
        };
        let error = Error::new(ErrorKind::Unsupported, sentence).with_hint(self.advice);
        error.with_source(failure.clone()).at("file", path.display())
    }
}

/// The name that the system gives a library: `libduckdb.so`.
fn library_name(name: &str) -> OsString {
    OsString::from(format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX))
}

/// What a driver says of a call that failed. Its text may hold values: whoever shows it knows the product.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The kind of failure, as far as the driver tells.
    pub status: Status,
    /// The driver's own words.
    pub message: String,
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
pub type Outcome<T> = Result<T, Failure>;

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

    /// Adds the rows of `batch` to a table that is there, column by column as they stand.
    ///
    /// # Errors
    /// What the driver says.
    pub fn ingest(&mut self, (schema, table): (&str, &str), batch: RecordBatch) -> Outcome<()> {
        let mut statement = self.connection.new_statement()?;
        statement.set_option(OptionStatement::TargetDbSchema, OptionValue::from(schema))?;
        statement.set_option(OptionStatement::TargetTable, OptionValue::from(table))?;
        statement.set_option(OptionStatement::IngestMode, IngestMode::Append.into())?;
        statement.bind(batch)?;
        statement.execute_update()?;
        Ok(())
    }
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
