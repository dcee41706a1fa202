//! What differs between the databases that ConnectorX reads: schemes, quotes, how a column is asked for as text.

use crate::driven::name::Quote;
use crate::sql::select::{distinct, distinct_in_any_case};

/// A database behind ConnectorX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    BigQuery,
    ClickHouse,
    MySql,
    Oracle,
    Postgres,
    Sqlite,
    Trino,
}

/// Schemes of URLs, as ConnectorX wants to see them, and whose they are.
const SCHEMES: [(&str, &str, Backend); 12] = [
    ("bigquery", "bigquery", Backend::BigQuery),
    ("clickhouse", "clickhouse", Backend::ClickHouse),
    ("mariadb", "mysql", Backend::MySql),
    ("mysql", "mysql", Backend::MySql),
    ("oracle", "oracle", Backend::Oracle),
    ("pg", "postgresql", Backend::Postgres),
    ("postgres", "postgresql", Backend::Postgres),
    ("postgresql", "postgresql", Backend::Postgres),
    ("sqlite", "sqlite", Backend::Sqlite),
    ("trino", "trino", Backend::Trino),
    ("trino+http", "trino", Backend::Trino),
    ("trino+https", "trino+https", Backend::Trino),
];

impl Backend {
    /// The scheme that ConnectorX knows, and its database.
    pub(super) fn of_scheme(typed: &str) -> Option<(&'static str, Self)> {
        let found = SCHEMES.iter().find(|(scheme, ..)| typed.eq_ignore_ascii_case(scheme));
        found.map(|(_, theirs, backend)| (*theirs, *backend))
    }

    /// Whether tests run against a real one.
    pub(super) fn is_proven(self) -> bool {
        matches!(self, Self::MySql | Self::Postgres | Self::Sqlite)
    }

    /// What it is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::BigQuery => "BigQuery",
            Self::ClickHouse => "ClickHouse",
            Self::MySql => "MySQL",
            Self::Oracle => "Oracle",
            Self::Postgres => "PostgreSQL",
            Self::Sqlite => "SQLite",
            Self::Trino => "Trino",
        }
    }

    /// What stands around names.
    pub(super) fn quote(self) -> Quote {
        match self {
            Self::BigQuery | Self::ClickHouse => Quote::Backtick,
            Self::MySql => Quote::Sign('`'),
            Self::Oracle | Self::Postgres | Self::Sqlite | Self::Trino => Quote::DOUBLE,
        }
    }

    /// The quoted `column` as text, with all its digits; none where there is no such way.
    pub(super) fn text(self, column: &str) -> Option<String> {
        Some(match self {
            Self::BigQuery => format!("CAST({column} AS STRING)"),
            Self::ClickHouse => format!("toString({column})"),
            Self::MySql => format!("CAST({column} AS CHAR)"),
            Self::Oracle => format!("TO_CHAR({column}, 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''')"),
            Self::Postgres => format!("CAST({column} AS text)"),
            // It writes floats with 15 digits.
            Self::Sqlite => return None,
            Self::Trino => format!("CAST({column} AS varchar)"),
        })
    }

    /// A query as what a SELECT reads from, with other names for its columns where `names`, quoted and parted by commas, are given.
    pub(super) fn derived(self, query: &str, names: Option<&str>) -> String {
        let alias = if self == Self::Oracle { "" } else { "AS " };
        // Only WITH takes a list of names everywhere.
        match names {
            Some(names) => format!("(WITH etl_rows ({names}) AS ({query}) SELECT * FROM etl_rows) {alias}etl_query"),
            None => format!("({query}) {alias}etl_query"),
        }
    }

    /// Names of the columns of a query, each once, as a SELECT around it tells them apart.
    pub(super) fn distinct(self, names: &[String]) -> Vec<String> {
        match self {
            Self::MySql | Self::Sqlite => distinct_in_any_case(names),
            _ => distinct(names),
        }
    }

    /// Whether [`derived`](Self::derived) can call columns otherwise.
    pub(super) fn renames(self) -> bool {
        !matches!(self, Self::BigQuery | Self::ClickHouse)
    }

    /// What ends a SELECT of at most `rows` rows.
    pub(super) fn limit(self, rows: u64) -> String {
        if self == Self::Oracle { format!("FETCH FIRST {rows} ROWS ONLY") } else { format!("LIMIT {rows}") }
    }

    /// Statements before the one that reads: what decides how values are written.
    pub(super) fn first(self) -> Vec<String> {
        let statements: &[&str] = match self {
            Self::MySql => &["SET time_zone = '+00:00'"],
            Self::Postgres => &[
                "SET TimeZone = 'UTC'",
                "SET DateStyle = 'ISO'",
                "SET IntervalStyle = 'postgres'",
                "SET extra_float_digits = 3",
            ],
            _ => &[],
        };
        statements.iter().map(|statement| (*statement).to_owned()).collect()
    }

    /// A query for one text that tells which server it is.
    pub(super) fn greeting(self) -> &'static str {
        match self {
            Self::BigQuery => "SELECT 'BigQuery' AS server",
            Self::ClickHouse => "SELECT concat('ClickHouse ', version()) AS server",
            Self::MySql => "SELECT CAST(VERSION() AS CHAR) AS server",
            Self::Oracle => "SELECT 'Oracle' AS server FROM dual",
            Self::Postgres => "SELECT split_part(version(), ' (', 1) AS server",
            Self::Sqlite => "SELECT 'SQLite ' || sqlite_version() AS server",
            Self::Trino => "SELECT CAST('Trino ' || version() AS varchar) AS server",
        }
    }
}
