//! The handbook: how to do what this program does, in plain words.

#[doc = include_str!("getting-started.md")]
pub mod getting_started {}

#[doc = include_str!("command-line.md")]
pub mod command_line {}

#[doc = include_str!("locators.md")]
pub mod locators {}

#[doc = include_str!("files-and-csv.md")]
pub mod files_and_csv {}

#[doc = include_str!("postgres.md")]
pub mod postgres {}

#[doc = include_str!("mysql.md")]
pub mod mysql {}

#[doc = include_str!("clickhouse.md")]
pub mod clickhouse {}

#[doc = include_str!("sqlite.md")]
pub mod sqlite {}

#[doc = include_str!("duckdb.md")]
pub mod duckdb {}

#[doc = include_str!("mssql.md")]
pub mod mssql {}

#[doc = include_str!("adbc.md")]
#[allow(clippy::doc_markdown, reason = "names of products stand as their makers write them")]
pub mod adbc {}

#[doc = include_str!("odbc.md")]
pub mod odbc {}

#[doc = include_str!("connectorx.md")]
#[allow(clippy::doc_markdown, reason = "names of products stand as their makers write them")]
pub mod connectorx {}

#[doc = include_str!("types.md")]
#[doc = ""]
#[doc = include_str!("type-matrix.md")]
#[allow(clippy::doc_markdown, reason = "the tables are what a test writes, with the words of error messages")]
pub mod types {}

#[doc = include_str!("datax-jobs.md")]
#[allow(clippy::doc_markdown, reason = "names of products stand as their makers write them")]
pub mod datax_jobs {}

#[doc = include_str!("go-etl-jobs.md")]
#[allow(clippy::doc_markdown, reason = "names of products stand as their makers write them")]
pub mod go_etl_jobs {}

#[doc = include_str!("flinkx-jobs.md")]
#[allow(clippy::doc_markdown, reason = "names of products stand as their makers write them")]
pub mod flinkx_jobs {}

#[doc = include_str!("keys-without-effect.md")]
#[allow(clippy::doc_markdown, reason = "names of products stand as their makers write them")]
pub mod keys_without_effect {}

#[doc = include_str!("generated-rows.md")]
pub mod generated_rows {}

#[doc = include_str!("transforms.md")]
pub mod transforms {}

#[doc = include_str!("modes-and-commit.md")]
pub mod modes_and_commit {}

#[doc = include_str!("several-sources.md")]
pub mod several_sources {}

#[doc = include_str!("several-targets.md")]
pub mod several_targets {}

#[doc = include_str!("rejects.md")]
pub mod rejects {}

#[doc = include_str!("interrupted-copies.md")]
pub mod interrupted_copies {}

#[doc = include_str!("diff-and-verify.md")]
pub mod diff_and_verify {}

#[doc = include_str!("job-files.md")]
pub mod job_files {}

#[doc = include_str!("speed-and-memory.md")]
pub mod speed_and_memory {}

#[doc = include_str!("watching.md")]
#[allow(clippy::doc_markdown, reason = "names of products stand as their makers write them")]
pub mod watching {}

#[doc = include_str!("adding-a-connector.md")]
pub mod adding_a_connector {}

#[doc = include_str!("library-use.md")]
pub mod library_use {}
