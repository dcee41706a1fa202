//! One connection: statements, rows fetched in blocks, transactions. A driver's calls block, so it lives on a thread of its own.

use arrow::array::{Array as _, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow_odbc::odbc_api::buffers::ColumnarDynBuffer;
use arrow_odbc::odbc_api::{self, ConnectionOptions, Cursor as _, environment};
use arrow_odbc::{OdbcWriter, WriterError};

use super::columns::{self, Column};
use super::config::Config;
use super::driver::Product;
use super::error::failed;
use super::fetch;
use crate::driven::name::Quote;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::parting::Odd;
use crate::reject::Sifted;

/// Bytes and rows of a block that is fetched at once. A row that is longer is a block of its own.
const BLOCK_BYTES: usize = 16 << 20;
const BLOCK_ROWS: usize = 4096;

/// A connection.
pub(super) struct Connection {
    inner: odbc_api::Connection<'static>,
    config: Config,
    product: Product,
    quote: Quote,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("config", &self.config)
            .field("product", &self.product)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects, and asks the driver what it is.
    pub(super) fn open(config: &Config) -> Result<Self> {
        let told = |failure| failed(config, &failure);
        let text = config.connection_string();
        let manager = environment().map_err(told)?;
        let inner =
            manager.connect_with_connection_string(text.reveal(), ConnectionOptions::default()).map_err(told)?;
        for sql in &config.session {
            inner.execute(sql, (), None).map(drop).map_err(told).at("option", || "session")?;
        }
        let product = Product::of_database(&inner.database_management_system_name().map_err(told)?);
        let quote = inner.identifier_quote_char().map_err(told)?.filter(|quote| *quote != '\0');
        let quote = quote.map_or(Quote::None, Quote::Sign);
        Ok(Self { inner, config: config.clone(), product, quote })
    }

    pub(super) fn product(&self) -> Product {
        self.product
    }

    /// What stands around names.
    pub(super) fn quote(&self) -> Quote {
        self.quote
    }

    /// What the database calls itself.
    pub(super) fn database_name(&self) -> Result<String> {
        self.told(self.inner.database_management_system_name())
    }

    /// Runs a statement whose rows nobody wants.
    pub(super) fn execute(&self, sql: &str) -> Result<()> {
        self.told(self.inner.execute(sql, (), None)).map(drop)
    }

    /// The number in the first row of `sql`; none where there is no row.
    pub(super) fn number(&self, sql: &str) -> Result<Option<u64>> {
        let Some(mut rows) = self.told(self.inner.execute(sql, (), None))? else { return Ok(None) };
        let Some(mut row) = self.told(rows.next_row())? else { return Ok(None) };
        let mut text = Vec::new();
        let is_valid = self.told(row.get_text(1, &mut text))?;
        Ok(String::from_utf8(text).ok().filter(|_| is_valid).and_then(|text| text.trim().parse().ok()))
    }

    /// The columns of `sql`, which is not run.
    pub(super) fn columns(&self, sql: &str) -> Result<Vec<Column>> {
        let mut statement = self.told(self.inner.prepare(sql))?;
        columns::columns(&mut statement, self.product, &self.config)
    }

    /// Runs `sql`, and hands the first `most` of its rows to `take` until that has enough, with those aside that have a value which is
    /// none of its column. `wanted` says which of its columns are those of `schema`, and may have some fetched in another form.
    pub(super) fn read(
        &self,
        (sql, most): (&str, u64),
        schema: &SchemaRef,
        wanted: impl FnOnce(&mut [Column]) -> Result<Vec<usize>>,
        mut take: impl FnMut(Sifted) -> Result<bool>,
    ) -> Result<()> {
        let mut statement = self.told(self.inner.prepare(sql))?;
        let mut columns = columns::columns(&mut statement, self.product, &self.config)?;
        let places = wanted(&mut columns)?;
        let row_bytes: usize = columns.iter().map(|column| column.form.buffer().bytes_per_row()).sum();
        let rows = (BLOCK_BYTES / row_bytes.max(1)).clamp(1, BLOCK_ROWS);
        let buffers = columns.iter().map(|column| column.form.buffer());
        let block = self.told(ColumnarDynBuffer::try_from_descs(rows, buffers))?;
        let Some(cursor) = self.told(statement.execute(()))? else {
            return Err(Error::new(ErrorKind::Usage, "the statement gives no rows").with_hint("use a SELECT"));
        };
        let mut cursor = self.told(cursor.bind_buffer(block))?;
        let (mut before, mut odd) = (0, Odd::default());
        // What was cut is found below: a driver that does not warn of it would not be asked.
        while before < most
            && let Some(block) = self.told(cursor.fetch_with_truncation_check(false))?
        {
            let rows = usize::try_from(most - before).unwrap_or(usize::MAX).min(block.num_rows());
            let mut arrays = Vec::with_capacity(places.len());
            for (position, place) in places.iter().enumerate() {
                let column = &columns[*place];
                let mut note = odd.refuse((position, column.field.name()), before);
                // A row that nobody wants is no reject either.
                let mut refuse = |row: usize, text: Option<String>, error: Error| {
                    if row < rows {
                        note(row, text, error);
                    }
                };
                let array = fetch::array(column, block.column(*place), &mut refuse);
                arrays.push(array.map_err(|error| error.at("column", column.field.name()))?.slice(0, rows));
            }
            before += rows as u64;
            if !take(odd.part(schema, rows, arrays)?)? {
                break;
            }
        }
        Ok(())
    }

    /// Runs `insert`, which has a parameter for each column of `batch`, for all its rows, in blocks of `rows`.
    pub(super) fn write(&self, insert: &str, batch: &RecordBatch, rows: usize) -> Result<()> {
        let has_bytes = batch.columns().iter().any(|array| *array.data_type() == DataType::Binary);
        if self.product != Product::Sqlite || !has_bytes {
            return self.write_blocks(insert, batch, rows);
        }
        // Its driver gives bytes of all rows of a statement the length of the first.
        (0..batch.num_rows()).try_for_each(|row| self.write_blocks(insert, &batch.slice(row, 1), 1))
    }

    fn write_blocks(&self, insert: &str, batch: &RecordBatch, rows: usize) -> Result<()> {
        let statement = self.told(self.inner.prepare(insert))?;
        let written = OdbcWriter::new(rows.max(1), batch.schema_ref(), statement)
            .and_then(|mut writer| writer.write_batch(batch).and_then(|()| writer.flush()));
        written.map_err(|error| match error {
            WriterError::BindParameterBuffers(failure)
            | WriterError::ExecuteStatment(failure)
            | WriterError::RebindBuffer(failure) => failed(&self.config, &failure),
            other => Error::new(ErrorKind::Internal, "a block of rows could not be given to the driver")
                .with_source(other.to_string()),
        })
    }

    /// Whether the driver has transactions, as an error where it has none. None is open afterwards, and the next statement
    /// begins one.
    pub(super) fn try_transaction(&self) -> Result<()> {
        self.begin()?;
        self.rollback()
    }

    /// Begins a transaction; when it ends the next one begins.
    pub(super) fn begin(&self) -> Result<()> {
        self.told(self.inner.set_autocommit(false))
    }

    pub(super) fn commit(&self) -> Result<()> {
        self.told(self.inner.commit())
    }

    pub(super) fn rollback(&self) -> Result<()> {
        self.told(self.inner.rollback())
    }

    /// Names of schemas and of tables and views in them.
    pub(super) fn tables(&self) -> Result<Vec<(String, String)>> {
        // These have their databases as catalogs; others list those of the connection.
        let has_catalogs = matches!(self.product, Product::MariaDb | Product::MySql | Product::SqlServer);
        let catalog = if has_catalogs { self.told(self.inner.current_catalog())? } else { "%".to_owned() };
        let mut found = Vec::new();
        for row in self.told(self.inner.tables(&catalog, "%", "%", "TABLE,VIEW"))? {
            let row = self.told(row)?;
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            found.push((text(row.schema.as_bytes()), text(row.table.as_bytes())));
        }
        Ok(found)
    }

    fn told<T>(&self, outcome: Result<T, odbc_api::Error>) -> Result<T> {
        outcome.map_err(|failure| failed(&self.config, &failure))
    }
}

/// The driver that odbc.ini names for the data source `dsn`; none where it names none.
pub(super) fn driver_of_source(dsn: &str) -> Option<String> {
    let sources = environment().ok()?.data_sources().ok()?;
    sources.into_iter().find(|source| source.server_name.eq_ignore_ascii_case(dsn)).map(|source| source.driver)
}
