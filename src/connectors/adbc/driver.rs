//! Which driver is meant, where its library is looked for, and what is known of it.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::bridge::adbc::{Library, Search};

/// A driver that is known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    Sqlite,
    Postgresql,
    DuckDb,
    Snowflake,
    BigQuery,
    FlightSql,
    Other,
}

const KNOWN: [(&str, Product); 7] = [
    ("sqlite", Product::Sqlite),
    ("postgresql", Product::Postgresql),
    ("postgres", Product::Postgresql),
    ("duckdb", Product::DuckDb),
    ("snowflake", Product::Snowflake),
    ("bigquery", Product::BigQuery),
    ("flightsql", Product::FlightSql),
];

impl Product {
    /// The product of a driver named `driver`, or of a library at that path.
    pub(super) fn of(driver: &str) -> Self {
        let file = if is_path(driver) { Path::new(driver).file_name().unwrap_or_default() } else { driver.as_ref() };
        let file = file.to_string_lossy();
        let stem = file.split('.').next().unwrap_or_default();
        let stem = stem.strip_prefix("lib").unwrap_or(stem);
        let stem = stem.strip_prefix("adbc_driver_").unwrap_or(stem);
        KNOWN.iter().find(|(name, _)| *name == stem).map_or(Self::Other, |(_, product)| *product)
    }

    /// Whether tests have run against it.
    pub(super) fn is_proven(self) -> bool {
        matches!(self, Self::Sqlite | Self::Postgresql | Self::DuckDb)
    }
}

fn is_path(driver: &str) -> bool {
    driver.contains(['/', '\\', '.'])
}

/// The library of the driver that the user calls `driver`.
pub(super) fn library(driver: &str, entry_point: Option<String>) -> Library {
    let entry_point = entry_point.map(Cow::Owned);
    let product = Product::of(driver);
    if is_path(driver) {
        let duckdb = Library::DUCKDB.entry_point.filter(|_| product == Product::DuckDb);
        return Library {
            product: Cow::Owned(format!("the ADBC driver {driver}")),
            name: Cow::Owned(driver.to_owned()),
            entry_point: entry_point.or(duckdb),
            search: Search::Path(PathBuf::from(driver)),
            advice: Cow::Borrowed(
                "name the library of an ADBC driver, or a known driver: adbc:sqlite, adbc:postgresql",
            ),
        };
    }
    if product == Product::DuckDb {
        return Library { entry_point: entry_point.or(Library::DUCKDB.entry_point), ..Library::DUCKDB };
    }
    let name = if product == Product::Postgresql { "postgresql" } else { driver };
    Library {
        product: Cow::Owned(format!("the ADBC driver {name}")),
        name: Cow::Owned(format!("adbc_driver_{name}")),
        entry_point,
        search: Search::Manifest(name.to_owned()),
        advice: Cow::Owned(advice(product, name)),
    }
}

fn advice(product: Product, name: &str) -> String {
    let place = "name the folder of the library in ADBC_DRIVER_PATH, or put it next to etl";
    if product == Product::Other {
        return format!(
            "install the driver's library, libadbc_driver_{name}; {place}; or write its path: adbc:/path/lib.so"
        );
    }
    let debian = match product {
        Product::BigQuery => String::new(),
        _ => format!(", libadbc-driver-{name}-dev from Apache's apt archive"),
    };
    format!(
        "install adbc-driver-{name} from PyPI, whose folder adbc_driver_{name} holds the library, or \
         libadbc-driver-{name} from conda-forge{debian}; {place}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_are_known_by_name_and_by_file() {
        let products = [
            ("sqlite", Product::Sqlite),
            ("postgres", Product::Postgresql),
            ("/opt/libadbc_driver_sqlite.so", Product::Sqlite),
            ("./libduckdb.so", Product::DuckDb),
            ("libadbc_driver_postgresql.so.113", Product::Postgresql),
            ("/opt/sqlite/libown.so", Product::Other),
            ("exasol", Product::Other),
        ];
        for (driver, product) in products {
            assert_eq!(Product::of(driver), product, "{driver}");
        }
        assert_eq!(library("postgres", None).name, "adbc_driver_postgresql");
        assert!(library("snowflake", None).advice.contains("adbc-driver-snowflake"));
        assert_eq!(library("duckdb", None).entry_point.as_deref(), Some("duckdb_adbc_init"));
    }
}
