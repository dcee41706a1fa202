//! Which database is behind a driver, what is known of both, and how to get the driver.

/// A database, by what its driver or itself is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    Postgres,
    MariaDb,
    MySql,
    Sqlite,
    Oracle,
    Db2,
    Dm,
    SqlServer,
    Other,
}

/// Pieces of the names of drivers and of their libraries, in small letters. The first that is found counts.
const DRIVERS: [(&str, Product); 14] = [
    ("postgres", Product::Postgres),
    ("psqlodbc", Product::Postgres),
    ("mariadb", Product::MariaDb),
    ("maodbc", Product::MariaDb),
    ("mysql", Product::MySql),
    ("myodbc", Product::MySql),
    ("sqlite", Product::Sqlite),
    ("sql server", Product::SqlServer),
    ("msodbcsql", Product::SqlServer),
    ("oracle", Product::Oracle),
    ("sqora", Product::Oracle),
    ("db2", Product::Db2),
    ("dodbc", Product::Dm),
    ("dm8", Product::Dm),
];

impl Product {
    /// The product of a driver called `name`, in odbcinst.ini or by its library.
    pub(super) fn of_driver(name: &str) -> Self {
        let name = name.to_lowercase();
        DRIVERS.iter().find(|(piece, _)| name.contains(piece)).map_or(Self::Other, |(_, product)| *product)
    }

    /// The product that calls itself `name`.
    pub(super) fn of_database(name: &str) -> Self {
        match name {
            "DM" | "DM DBMS" | "DM8" => Self::Dm,
            name => Self::of_driver(name),
        }
    }

    /// Whether tests have run against it.
    pub(super) fn is_proven(self) -> bool {
        matches!(self, Self::Postgres | Self::MariaDb | Self::Sqlite)
    }

    /// Whether its driver is known to fail a block of rows where one of them fails. Of others rows are counted.
    pub(super) fn fails_whole_blocks(self) -> bool {
        self.is_proven()
    }

    /// Whether it has `LIMIT`.
    pub(super) fn has_limit(self) -> bool {
        matches!(self, Self::Postgres | Self::MariaDb | Self::MySql | Self::Sqlite)
    }

    /// What to tell its driver unless the user says another thing: to fetch as it goes, and that booleans are such.
    pub(super) fn defaults(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Postgres => &[("UseDeclareFetch", "1"), ("Fetch", "1000"), ("BoolsAsChar", "0")],
            _ => &[],
        }
    }

    /// The package that brings its driver.
    pub(super) fn package(self) -> &'static str {
        match self {
            Self::Postgres => "odbc-postgresql (Debian, Ubuntu) or postgresql-odbc (Fedora)",
            Self::MariaDb => "odbc-mariadb (Debian, Ubuntu) or mariadb-connector-odbc (Fedora)",
            Self::MySql => "mysql-connector-odbc from MySQL",
            Self::Sqlite => "libsqliteodbc (Debian, Ubuntu) or sqliteodbc",
            Self::Oracle => "Oracle Instant Client, its packages Basic and ODBC, and run its odbc_update_ini.sh",
            Self::Db2 => "the IBM Data Server Driver for ODBC and CLI",
            Self::Dm => "the client of DM with its ODBC driver",
            Self::SqlServer => "msodbcsql18 from Microsoft, or tdsodbc (Debian, Ubuntu)",
            Self::Other => "the package of the driver",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_are_known_by_name_and_by_library() {
        let products = [
            ("PostgreSQL Unicode", Product::Postgres),
            ("/usr/lib/x86_64-linux-gnu/odbc/psqlodbcw.so", Product::Postgres),
            ("MariaDB Unicode", Product::MariaDb),
            ("MySQL ODBC 9.1 Unicode Driver", Product::MySql),
            ("SQLite3", Product::Sqlite),
            ("Oracle 19c ODBC driver", Product::Oracle),
            ("IBM DB2 ODBC DRIVER", Product::Db2),
            ("DM8 ODBC DRIVER", Product::Dm),
            ("ODBC Driver 18 for SQL Server", Product::SqlServer),
            ("Exasol", Product::Other),
        ];
        for (driver, product) in products {
            assert_eq!(Product::of_driver(driver), product, "{driver}");
        }
        assert_eq!(Product::of_database("DB2/LINUXX8664"), Product::Db2);
        assert!(Product::Postgres.is_proven() && !Product::MySql.is_proven());
    }
}
