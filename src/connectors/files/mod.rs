//! Local files: CSV, TSV, JSON lines, Parquet, Avro, Arrow IPC and workbooks, plain or compressed; paths, globs, folders
//! and pipes.
//!
//! `config` is what the user says, `find` and `input` find files and pin them, `session` and `read` make splits and
//! batches of them, `sink`, `write`, `records` and `stage` write parts into a hidden folder and publish them at commit,
//! `append` looks at the file that rows are added to, `leftover` settles what dead runs left. The bytes themselves are the
//! business of `formats`. `ARCHITECTURE.md` here tells the ways of a file to those who change it.
#![doc = ""]
#![doc = include_str!("README.md")]

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value as Json;

use crate::bridge::blocking;
use crate::connector::{Connector, NativeType, OptionDoc};
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, StepToken};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::extension::Format;
use crate::sink::{Agreement, ColumnPlan, Sink};
use crate::source::TableShape;

mod alive;
mod append;
mod chunks;
mod columnar;
mod columns;
mod config;
mod find;
mod gate;
mod input;
mod join;
mod kept;
mod landing;
mod leftover;
mod options;
mod proof;
mod prune;
mod read;
mod records;
mod replay;
mod session;
mod sink;
mod stage;
mod text;
mod types;
mod unsaid;
mod write;

#[cfg(test)]
mod tests;

use config::{Config, Place};

/// The connector of local files.
#[derive(Debug)]
pub struct Files;

impl Connector for Files {
    fn name(&self) -> &'static str {
        "file"
    }

    fn summary(&self) -> &'static str {
        "local files: CSV, TSV, JSON lines, Parquet, Avro, Arrow IPC, Excel; plain or compressed"
    }

    fn page(&self) -> &'static str {
        include_str!("README.md")
    }

    fn options(&self) -> &'static [OptionDoc] {
        options::OPTIONS
    }

    fn endpoint(&self, options: &Json) -> Result<Arc<dyn Endpoint>> {
        Ok(Arc::new(FileEndpoint { config: Arc::new(Config::parse(options)?) }))
    }

    fn types(&self, format: &str) -> Vec<NativeType> {
        Format::of_extension(format).map(types::types).unwrap_or_default()
    }

    fn new_columns(&self, shape: &TableShape, format: &str) -> Result<Vec<ColumnPlan>> {
        let unknown = || Error::new(ErrorKind::Usage, format!("there is no format {format:?}"));
        types::columns(shape, Format::of_extension(format).ok_or_else(unknown)?)
    }
}

#[derive(Debug)]
struct FileEndpoint {
    config: Arc<Config>,
}

#[async_trait]
impl Endpoint for FileEndpoint {
    fn label(&self) -> String {
        match self.config.paths.len() {
            0 => self.config.label().to_owned(),
            more => format!("{} and {more} more", self.config.label()),
        }
    }

    async fn list(&self, pattern: &str) -> Result<Vec<ObjectRef>> {
        let Place::Path(path) = self.config.place.clone() else { return Ok(vec![ObjectRef::Whole]) };
        let pattern = glob::Pattern::new(if pattern.is_empty() { "*" } else { pattern })
            .map_err(|source| Error::new(ErrorKind::Usage, "the pattern of file names is wrong").with_source(source))?;
        let config = Arc::clone(&self.config);
        let found = blocking::run("files-list", move || find::find(&path, config.wanted())).await?;
        let matching = found.into_iter().filter_map(|path| {
            let name = path.file_name()?.to_string_lossy();
            pattern.matches(&name).then(|| ObjectRef::Table(path.to_string_lossy().into_owned()))
        });
        Ok(matching.collect())
    }

    async fn ping(&self) -> Result<Ping> {
        let config = Arc::clone(&self.config);
        let facts = blocking::run("files-ping", move || find::facts(&config.place, config.wanted())).await?;
        Ok(Ping { server: "local files".to_owned(), facts, missing: Vec::new() })
    }

    async fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Session>> {
        if request.join.is_some() {
            return Err(Error::new(ErrorKind::Unsupported, "files have no point in time that others could join"));
        }
        request.objects.iter().try_for_each(whole)?;
        session::open(Arc::clone(&self.config), request.row_bytes_max).await
    }

    fn runs_sql(&self) -> bool {
        false
    }

    async fn execute(&self, _step: &StepToken, _sql: &str) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "files take no SQL"))
    }

    async fn finish(&self, transfers: &[Agreement]) -> Result<()> {
        let transfers = transfers.to_vec();
        blocking::run("files-finish", move || transfers.iter().try_for_each(stage::forget)).await
    }

    fn sink(&self, object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        whole(object)?;
        Ok(Arc::new(sink::FileSink::new(Arc::clone(&self.config))))
    }
}

/// Files are named by the locator alone.
fn whole(object: &ObjectRef) -> Result<()> {
    match object {
        ObjectRef::Whole => Ok(()),
        ObjectRef::Table(name) => Err(Error::new(ErrorKind::Usage, "a file has no tables in it")
            .at("object", name)
            .with_hint("leave out what stands behind #; name files by path or glob")),
        ObjectRef::Query(_) => {
            Err(Error::new(ErrorKind::Unsupported, "files take no query of their own")
                .with_hint("use --sql or --where"))
        }
    }
}
