//! What SQL databases have in common: names and literals, columns that match, table definitions, key ranges,
//! filters as text.
//!
//! Pure text and arithmetic: nothing here opens a connection. Type names and types stay with the connectors.

pub mod columns;
pub mod ddl;
pub mod dialect;
pub mod filter;
pub mod keyset;
pub mod tasks;
