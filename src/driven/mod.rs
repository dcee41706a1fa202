//! What connectors share whose databases are known by their drivers alone, which follow a standard (ADBC, ODBC): names, what a
//! locator says, what may be promised of a target, and the rows of a run in one transaction.
//!
//! Which types there are, what a driver does to values, and every call of a driver stay with the connectors.

pub mod agree;
pub mod load;
pub mod name;
pub mod origin;
pub mod settings;
pub mod sink;
