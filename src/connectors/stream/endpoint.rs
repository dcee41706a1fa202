//! The endpoint and the session of `gen:`. Nothing is opened: the same words make the same rows at any time.

use std::sync::Arc;

use async_trait::async_trait;
use glob::Pattern;

use super::config::Table;
use super::read;
use super::tpch::{self, Tpch};
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, Snapshot, StepToken};
use crate::error::{Error, ErrorKind, Result};
use crate::shape::counted;
use crate::sink::{Agreement, Sink};
use crate::source::Source;

/// What makes rows.
#[derive(Clone, Debug)]
pub(super) struct Generator(Arc<Rows>);

#[derive(Debug)]
enum Rows {
    Columns(Table),
    Tpch(Tpch),
}

impl Generator {
    pub(super) fn columns(table: Table) -> Self {
        Self(Arc::new(Rows::Columns(table)))
    }

    pub(super) fn tpch(tpch: Tpch) -> Self {
        Self(Arc::new(Rows::Tpch(tpch)))
    }
}

#[async_trait]
impl Endpoint for Generator {
    fn label(&self) -> String {
        match &*self.0 {
            Rows::Columns(table) => {
                format!("gen: ({}, {} rows)", counted(table.columns.len(), "column"), table.rows)
            }
            Rows::Tpch(Tpch { table: Some(table), scale }) => format!("gen:tpch.{}?sf={scale}", table.name),
            Rows::Tpch(Tpch { table: None, scale }) => format!("gen:tpch?sf={scale}"),
        }
    }

    async fn list(&self, pattern: &str) -> Result<Vec<ObjectRef>> {
        let pattern = Pattern::new(pattern)
            .map_err(|source| Error::new(ErrorKind::Usage, "this pattern is malformed").with_source(source))?;
        let Rows::Tpch(Tpch { table: None, .. }) = &*self.0 else { return Ok(vec![ObjectRef::Whole]) };
        let names = tpch::TABLES.iter().map(|table| table.name).filter(|name| pattern.matches(name));
        Ok(names.map(|name| ObjectRef::Table(name.to_owned())).collect())
    }

    async fn ping(&self) -> Result<Ping> {
        Ok(Ping { server: "generator".to_owned(), facts: vec![self.label()], missing: Vec::new() })
    }

    async fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Session>> {
        for object in &request.objects {
            self.source(object)?;
        }
        Ok(Arc::new(self.clone()))
    }

    async fn execute(&self, _step: &StepToken, _sql: &str) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "gen: is no database and runs no SQL"))
    }

    async fn finish(&self, _transfers: &[Agreement]) -> Result<()> {
        Ok(())
    }

    fn sink(&self, _object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        Err(Error::new(ErrorKind::Unsupported, "gen: makes rows and takes none").with_hint("null: takes any rows"))
    }
}

#[async_trait]
impl Session for Generator {
    fn snapshot(&self) -> Snapshot {
        Snapshot::Lasting("the same rows at any time".to_owned())
    }

    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        match (&*self.0, object) {
            (Rows::Columns(table), ObjectRef::Whole) => Ok(Arc::new(read::Columns::new(table.clone()))),
            (Rows::Tpch(Tpch { table: Some(table), scale }), ObjectRef::Whole) => {
                Ok(Arc::new(read::TpchTable { table, scale: *scale }))
            }
            (Rows::Tpch(Tpch { table: None, scale }), ObjectRef::Table(name)) => {
                Ok(Arc::new(read::TpchTable { table: tpch::find(name)?, scale: *scale }))
            }
            (Rows::Tpch(Tpch { table: None, .. }), ObjectRef::Whole) => {
                Err(Error::new(ErrorKind::Usage, "gen:tpch is eight tables")
                    .with_hint("name one, as in gen:tpch.lineitem"))
            }
            (_, object) => Err(Error::new(ErrorKind::NotFound, format!("{} has no {object}", self.label()))),
        }
    }

    async fn check(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
