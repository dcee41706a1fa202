//! The list of connectors. A new one is its folder, one line here and one Cargo feature.

use crate::connector::Connector;
use crate::error::{Error, ErrorKind, Result};

#[cfg(feature = "adbc")]
pub mod adbc;
#[cfg(feature = "clickhouse")]
pub mod clickhouse;
#[cfg(feature = "connectorx")]
pub mod connectorx;
#[cfg(feature = "duckdb")]
pub mod duckdb;
pub mod files;
#[cfg(feature = "mssql")]
pub mod mssql;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "odbc")]
pub mod odbc;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod stream;
#[cfg(test)]
mod tests;

/// All connectors of this build.
pub const CONNECTORS: &[&dyn Connector] = &[
    #[cfg(feature = "adbc")]
    &adbc::Adbc,
    #[cfg(feature = "clickhouse")]
    &clickhouse::Clickhouse,
    #[cfg(feature = "connectorx")]
    &connectorx::ConnectorX,
    #[cfg(feature = "duckdb")]
    &duckdb::DuckDb,
    &files::Files,
    #[cfg(feature = "mssql")]
    &mssql::Mssql,
    #[cfg(feature = "mysql")]
    &mysql::Mysql,
    #[cfg(feature = "odbc")]
    &odbc::Odbc,
    #[cfg(feature = "postgres")]
    &postgres::Postgres,
    #[cfg(feature = "sqlite")]
    &sqlite::Sqlite,
    &stream::Stream,
];

/// Connectors that a default build lacks.
const IN_FULL: [&str; 4] = ["adbc", "connectorx", "mssql", "odbc"];

/// The connector whose name or alias is `scheme`.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) naming those there are.
pub fn find(scheme: &str) -> Result<&'static dyn Connector> {
    let is_meant = |known: &&&dyn Connector| known.name() == scheme || known.aliases().contains(&scheme);
    CONNECTORS.iter().find(is_meant).copied().ok_or_else(|| {
        if IN_FULL.contains(&scheme) {
            return Error::new(ErrorKind::Usage, format!("this build has no connector {scheme:?}"))
                .with_hint("build the program with '--features full'");
        }
        let names: Vec<_> = CONNECTORS.iter().map(|connector| connector.name()).collect();
        Error::new(ErrorKind::Usage, format!("there is no connector {scheme:?}"))
            .with_hint(format!("use one of {}", names.join(", ")))
    })
}
