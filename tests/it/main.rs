//! The one integration binary. `tests/run` starts the servers that it needs and runs it.
//!
//! A test that wants PostgreSQL calls [`server::postgres`], and so on: every call is a database of its own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "everything here is a test")]
#![allow(clippy::items_after_statements, clippy::cloned_ref_to_slice_refs, reason = "tests read better so")]
#![allow(
    clippy::match_bool,
    clippy::needless_pass_by_value,
    clippy::similar_names,
    clippy::unused_self,
    reason = "tests read better so"
)]

#[cfg(feature = "adbc")]
mod adbc;
mod also;
mod avro;
mod bad_input;
mod buffer;
mod cli;
mod clickhouse;
mod clock;
mod conformance;
#[cfg(feature = "connectorx")]
mod connectorx;
mod datax;
mod diff;
mod duckdb;
mod engine;
mod example_jobs;
mod files;
mod flinkx;
mod go_etl;
mod http;
mod incremental;
mod interrupted;
mod job_files;
mod keys;
mod layering;
mod lossy;
mod matrix;
mod merge;
#[cfg(feature = "mssql")]
mod mssql;
mod mysql;
mod names;
mod new_connector;
#[cfg(feature = "odbc")]
mod odbc;
mod outage;
mod pairs;
mod plan;
mod postgres_endpoint;
mod postgres_extensions;
mod postgres_login;
mod postgres_read;
mod postgres_source;
mod postgres_surroundings;
#[cfg(target_arch = "x86_64")]
mod postgres_versions;
mod postgres_write;
mod program;
mod rejects;
mod resume;
mod row_ids;
mod run;
mod server;
mod sqlite;
mod state;
mod text_files;
mod types;
mod union;
mod writers;
mod xlsx;
