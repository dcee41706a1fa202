//! What connectors share whose databases are known by their drivers alone (ADBC, ODBC, ConnectorX): names, what a locator says, what
//! a failure means, sessions, what may be promised of a target, and the rows of a run in one transaction.
//!
//! Which types there are, what a driver does to values, and every call of a driver stay with the connectors.

pub mod agree;
pub mod kind;
pub mod load;
pub mod name;
pub mod origin;
pub mod session;
pub mod settings;
pub mod sink;
