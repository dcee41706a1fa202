//! Calls of ConnectorX: the columns of a query, its rows, and whether a database is reached. They block, and each logs in anew.

use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use connectorx::prelude::{
    BigQueryArrowStreamTransport, BigQuerySource, ClickHouseArrowStreamTransport, ClickHouseSource,
    MySQLArrowStreamTransport, MySQLSource, OracleArrowStreamTransport, OracleSource, PostgresArrowStreamTransport,
    PostgresSource, SQLiteArrowStreamTransport, SQLiteSource, SourceConn, TrinoArrowStreamTransport, TrinoSource,
};
use connectorx::sources::mysql::{self, BinaryProtocol as MySqlBinary};
use connectorx::sources::oracle::connect_oracle;
use connectorx::sources::postgres::{BinaryProtocol as PostgresBinary, rewrite_tls_args};
use r2d2_mysql::mysql::Conn as MySqlConnection;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::NoTls;

use super::backend::Backend;
use super::config::Config;
use super::error::{failed, panicked};
use super::pull::{Described, Query, Taker, unread};
use crate::bridge::guard::guarded;
use crate::bridge::tls::settle_provider;
use crate::error::{Error, ErrorKind, Result};

/// Connections of ConnectorX's pool.
const CONNECTIONS: usize = 1;
/// Rows of a batch of short texts.
const TEXT_ROWS: usize = 1024;

/// The columns of `sql`, which is not run.
pub(super) fn describe(config: &Config, sql: &str) -> Result<Described> {
    run(Query { config, sql, taker: None })
}

/// Runs `sql` for `taker`.
pub(super) fn read(config: &Config, sql: &str, taker: Taker<'_>) -> Result<()> {
    run(Query { config, sql, taker: Some(taker) }).map(drop)
}

/// The rows of `sql`, of which all columns are text.
pub(super) fn texts(config: &Config, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
    let mut rows = Vec::new();
    let mut take = |batch: RecordBatch| -> Result<Option<usize>> {
        for row in 0..batch.num_rows() {
            let text = |array: &arrow::array::ArrayRef| {
                let texts = array.as_string_opt::<i32>()?;
                texts.is_valid(row).then(|| texts.value(row).to_owned())
            };
            rows.push(batch.columns().iter().map(text).collect());
        }
        Ok(Some(TEXT_ROWS))
    };
    read(config, sql, Taker { rows: TEXT_ROWS, take: &mut take })?;
    Ok(rows)
}

/// Logs in once. ConnectorX's pools ask a server that refuses again and again for half a minute.
pub(super) fn reach(config: &Config) -> Result<()> {
    guarded(|| login(config)).unwrap_or_else(|said| Err(panicked(config, &said)))
}

/// What the server calls itself.
pub(super) fn server(config: &Config) -> Result<String> {
    let rows = texts(config, config.backend.greeting())?;
    let said = rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
    Ok(said.unwrap_or_else(|| config.backend.name().to_owned()))
}

fn login(config: &Config) -> Result<()> {
    let url = config.url.reveal();
    match config.backend {
        Backend::Postgres => {
            let (settings, tls) = rewrite_tls_args(&place(config)?.conn).map_err(|error| unread(config, &error))?;
            let reached = match tls {
                Some(tls) => settings.connect(tls),
                None => settings.connect(NoTls),
            };
            reached.map(drop).map_err(|error| failed(config, &error))
        }
        Backend::MySql => {
            let options = mysql::build_opts(url).map_err(|error| unread(config, &error))?;
            MySqlConnection::new(options).map(drop).map_err(|error| failed(config, &error))
        }
        Backend::Oracle => {
            let connector = connect_oracle(&place(config)?.conn).map_err(|error| unread(config, &error))?;
            connector.connect().map(drop).map_err(|error| failed(config, &error))
        }
        // It would make the file.
        Backend::Sqlite if !Path::new(url).exists() => {
            Err(Error::new(ErrorKind::NotFound, "there is no such file").at("file", url))
        }
        Backend::BigQuery | Backend::ClickHouse | Backend::Sqlite | Backend::Trino => server(config).map(drop),
    }
}

fn place(config: &Config) -> Result<SourceConn> {
    SourceConn::try_from(config.url.reveal()).map_err(|error| unread(config, &error))
}

fn run(query: Query<'_, '_>) -> Result<Described> {
    let config = query.config;
    guarded(|| connected(query)).unwrap_or_else(|said| Err(panicked(config, &said)))
}

fn connected(query: Query<'_, '_>) -> Result<Described> {
    let config = query.config;
    let url = config.url.reveal();
    match config.backend {
        Backend::Postgres => {
            let (settings, tls) = rewrite_tls_args(&place(config)?.conn).map_err(|error| unread(config, &error))?;
            if let Some(tls) = tls {
                let transport = by_postgres(&tls);
                query.run(PostgresSource::<PostgresBinary, _>::new(settings, tls, CONNECTIONS), transport)
            } else {
                let source = PostgresSource::<PostgresBinary, _>::new(settings, NoTls, CONNECTIONS);
                query.run(source, by_postgres(&NoTls))
            }
        }
        Backend::MySql => {
            let source = MySQLSource::<MySqlBinary>::new(url, CONNECTIONS);
            query.run(source, PhantomData::<MySQLArrowStreamTransport<MySqlBinary>>)
        }
        Backend::Oracle => query.run(OracleSource::new(url, CONNECTIONS), PhantomData::<OracleArrowStreamTransport>),
        Backend::Sqlite => {
            // It takes escapes away.
            let source = SQLiteSource::new(&url.replace('%', "%25"), CONNECTIONS);
            query.run(source, PhantomData::<SQLiteArrowStreamTransport>)
        }
        Backend::BigQuery => {
            settle_provider();
            query.run(BigQuerySource::new(runtime()?, url), PhantomData::<BigQueryArrowStreamTransport>)
        }
        Backend::ClickHouse => {
            query.run(ClickHouseSource::new(runtime()?, url), PhantomData::<ClickHouseArrowStreamTransport>)
        }
        Backend::Trino => {
            settle_provider();
            query.run(TrinoSource::new(runtime()?, url), PhantomData::<TrinoArrowStreamTransport>)
        }
    }
}

/// The transport for a client with `_tls`, whose type has no name here.
fn by_postgres<C>(_tls: &C) -> PhantomData<PostgresArrowStreamTransport<PostgresBinary, C>> {
    PhantomData
}

/// Clients that are async ones run on the thread that asks.
fn runtime() -> Result<Arc<Runtime>> {
    Ok(Arc::new(Builder::new_current_thread().enable_all().build()?))
}
