//! Databases that jobs of other programs name by URLs of JDBC.

pub(super) mod options;
mod parameters;

#[cfg(test)]
mod tests;

pub(super) use self::parameters::{IdleParameters, LACKS};

/// Whose database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    Mysql,
    Postgres,
    SqlServer,
    Oracle,
    Sqlite,
    Clickhouse,
    /// Any that has a driver of ODBC, known by the scheme of its URL.
    Generic,
}

impl Product {
    /// Its name, for people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Mysql => "MySQL",
            Self::Postgres => "PostgreSQL",
            Self::SqlServer => "SQL Server",
            Self::Oracle => "Oracle",
            Self::Sqlite => "SQLite",
            Self::Clickhouse => "ClickHouse",
            Self::Generic => "a database with a driver",
        }
    }

    /// How its URLs are written.
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Mysql => "jdbc:mysql://host:3306/database",
            Self::Postgres => "jdbc:postgresql://host:5432/database",
            Self::SqlServer => "jdbc:sqlserver://host:1433;DatabaseName=database",
            Self::Oracle => "jdbc:oracle:thin:@host:1521:sid",
            Self::Sqlite => "jdbc:sqlite:/path/file.db",
            Self::Clickhouse => "jdbc:clickhouse://host:8123/database",
            Self::Generic => "jdbc:dm://host:5236/database",
        }
    }

    /// `name` in the quotes of its SQL.
    pub(super) fn quoted(self, name: &str) -> String {
        match self {
            Self::Mysql | Self::Clickhouse => format!("`{}`", name.replace('`', "``")),
            _ => format!("\"{}\"", name.replace('"', "\"\"")),
        }
    }
}
