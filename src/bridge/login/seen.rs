//! What may be seen of a locator that a driver of a standard is asked by. Only the driver knows which of its settings are secret:
//! what is not known to be harmless is taken for one.

/// Ends of the names of settings of ADBC drivers that say where they go, and tell one place from another.
const ADBC_PLACES: [&str; 12] = [
    "host",
    "port",
    "username",
    "user",
    "account",
    "db",
    "database",
    "schema",
    "warehouse",
    "role",
    "project_id",
    "dataset_id",
];
/// Settings of ODBC drivers that do.
const ODBC_PLACES: [&str; 14] = [
    "driver",
    "server",
    "servername",
    "host",
    "hostname",
    "port",
    "tcp_port",
    "portnumber",
    "database",
    "dbname",
    "db",
    "dbq",
    "schema",
    "protocol",
];
const ODBC_USERS: [&str; 3] = ["uid", "user", "username"];

/// Whether `text` may be an ADBC driver: a name or a path, and no URL with a password in it.
pub fn adbc_driver(text: &str) -> bool {
    !text.contains("://") && !text.contains('@')
}

/// Whether the setting `name` of an ADBC driver says where it goes.
pub fn adbc_place(name: &str) -> bool {
    ADBC_PLACES.iter().any(|end| name.ends_with(end))
}

/// Whether `text` may be a data source of ODBC, and no connection string or URL.
pub fn odbc_source(text: &str) -> bool {
    !text.contains([';', '=', '@', '{']) && !text.contains("://")
}

/// Whether the setting `name` of an ODBC driver, in whatever letters, says where it goes.
pub fn odbc_place(name: &str) -> bool {
    ODBC_PLACES.iter().any(|place| name.eq_ignore_ascii_case(place))
}

/// Whether it says as whom.
pub fn odbc_user(name: &str) -> bool {
    ODBC_USERS.iter().any(|user| name.eq_ignore_ascii_case(user))
}
