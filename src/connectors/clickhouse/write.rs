//! The sink of one table.

use std::sync::Arc;

use async_trait::async_trait;

use super::agree::{Target, agree};
use super::catalog;
use super::connect::Server;
use super::name::{Name, literal};
use super::proof;
use super::publish;
use super::put::ChWriter;
use super::stage::{self, Detail, State};
use crate::attempt::{Attempt, Token};
use crate::endpoint::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::proof::Verdict;
use crate::sink::{Agreement, Progress, Receipt, Sink, WriteRequest, Writer};
use crate::source::TableShape;

/// One table of one server.
#[derive(Debug)]
pub(super) struct ChSink {
    server: Arc<Server>,
    name: Name,
}

impl ChSink {
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) where `object` is no table.
    pub(super) fn new(server: Arc<Server>, object: &ObjectRef) -> Result<Self> {
        let name = Name::of(object, &server.config().database).map_err(|error| server.place(error))?;
        Ok(Self { server, name })
    }

    /// What the target is like now.
    async fn look(&self) -> Result<Target> {
        let Some(relation) = catalog::find(&self.server, &self.name).await? else {
            let database = &self.name.database;
            let sql = format!("SELECT count() FROM system.databases WHERE name = {}", literal(database));
            if self.server.number(&sql).await? == Some(0) {
                return Err(Error::new(ErrorKind::NotFound, "the server has no such database")
                    .with_hint("make it with CREATE DATABASE, which --pre-sql can do")
                    .at("database", database));
            }
            return Ok(Target::Missing(self.name.clone()));
        };
        let table = relation.table().filter(|table| !table.is_view());
        let filled = match (table, relation.rows) {
            (None, _) => false,
            (Some(_), Some(rows)) => rows > 0,
            (Some(table), None) => catalog::count(&self.server, &table.name).await?.is_some_and(|rows| rows > 0),
        };
        Ok(Target::Table { relation, filled })
    }

    fn place(&self, error: Error) -> Error {
        self.server.place(error.at("table", self.name.shown()))
    }
}

fn detail(agreement: &Agreement) -> Result<Detail> {
    Ok(serde_json::from_value(agreement.detail.clone())?)
}

#[async_trait]
impl Sink for ChSink {
    async fn agree(&self, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
        let agreed = async { agree(incoming, request, &self.look().await?) };
        agreed.await.map_err(|error| self.server.place(error))
    }

    async fn prepare(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        let detail = detail(agreement)?;
        let prepared = async {
            if publish::is_committed(&self.server, &detail, token).await? {
                return Ok(());
            }
            stage::prepare(&self.server, &detail, token).await
        };
        prepared.await.map_err(|error| self.place(error))
    }

    async fn writer(&self, agreement: &Agreement, attempt: &Attempt) -> Result<Box<dyn Writer>> {
        let detail = detail(agreement)?;
        let begun = stage::begin(&self.server, &detail, &attempt.token, &attempt.id).await;
        let table = begun.map_err(|error| self.place(error))?;
        Ok(Box::new(ChWriter::new(Arc::clone(&self.server), &detail, table, attempt)?))
    }

    async fn progress(&self, agreement: &Agreement, token: &Token, logged: &[Receipt]) -> Result<Progress> {
        let detail = detail(agreement)?;
        let looked = async {
            // From now on: what its process may still do with the stage fails.
            let taken = stage::take(&self.server, &detail, token).await?;
            let state = taken.map_or(State::None, |(_, state)| state);
            // All of it was there, and a part of it may be in the target already: only the commit can go on. One that was done is
            // not done again, and what it left is swept.
            if state == State::Publishing || publish::is_committed(&self.server, &detail, token).await? {
                publish::commit(&self.server, &detail, token, logged).await?;
                return Ok(Progress::Committed);
            }
            match state {
                State::None | State::Publishing => Ok(Progress::Kept(Vec::new())),
                State::Staging => {
                    let mut kept = Vec::new();
                    for receipt in logged {
                        if publish::holds(&self.server, &detail, token, receipt).await? {
                            kept.push(receipt.clone());
                        }
                    }
                    Ok(Progress::Kept(kept))
                }
            }
        };
        looked.await.map_err(|error| self.place(error))
    }

    async fn verify(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<Verdict> {
        let detail = detail(agreement)?;
        let verdict = proof::verify(&self.server, (&detail, &agreement.target), token, receipts).await;
        verdict.map_err(|error| self.place(error))
    }

    fn checksum(&self, _agreement: &Agreement) -> Option<String> {
        Some(proof::WAY.to_owned())
    }

    async fn commit(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<()> {
        let detail = detail(agreement)?;
        publish::commit(&self.server, &detail, token, receipts).await.map_err(|error| self.place(error))
    }

    async fn abort(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        let detail = detail(agreement)?;
        publish::abort(&self.server, &detail, token).await.map_err(|error| self.place(error))
    }
}
