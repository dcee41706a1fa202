//! What SQL databases have in common: names and literals, lists, columns that match, table definitions, key ranges, merging by key,
//! SELECTs and filters as text, what their messages become, what becomes of the runs that write, and how one is asked whose driver
//! blocks.
//!
//! Nothing here opens a connection. Type names and types stay with the connectors.

pub mod beside;
pub mod columns;
pub mod ddl;
pub mod dialect;
pub mod file;
pub mod filter;
pub mod keyset;
pub mod list;
pub mod located;
pub mod merge;
pub mod message;
pub mod parts;
pub mod runs;
pub mod select;
pub mod tasks;
