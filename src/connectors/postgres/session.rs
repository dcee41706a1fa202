//! The open point in time: one leader that locks, exports and measures, and a pool of workers that join it.
//!
//! ```text
//! leader:  BEGIN · LOCK … ACCESS SHARE · pg_export_snapshot() · sizes · describe, plan · small reads · close
//! worker:  BEGIN · SET TRANSACTION SNAPSHOT · LOCK … NOWAIT · COPY · COPY · …                       · close
//! ```
//! How it begins is `begin.rs`; who reads on which connection is `pool.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::catalog;
use super::config::Config;
use super::connect::connect;
use super::read::TableSource;
use crate::endpoint::{ObjectRef, OpenRequest, Session, Snapshot, SnapshotId};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::source::Source;

mod begin;
mod pool;

pub(super) use pool::{Core, Lane};

/// The session.
#[derive(Debug)]
pub(super) struct PgSession {
    core: Arc<Core>,
    sources: HashMap<ObjectRef, Arc<TableSource>>,
}

impl PgSession {
    /// Opens the leader and its point in time.
    pub(super) async fn open(config: &Config, request: &OpenRequest) -> Result<Self> {
        let leader = connect(config, "leader").await?;
        let names: Vec<&str> = request.objects.iter().filter_map(table_name).collect::<Result<_>>()?;
        let found = catalog::find(&leader, &names).await?;
        let opened = begin::begin(&leader, &found, request).await?;
        let workers = if opened.shared.is_some() && request.readers > 1 { request.readers } else { 0 };
        let snapshot = opened.shared.map_or(Snapshot::Private, |id| Snapshot::Shared(SnapshotId(id)));
        let join = match &snapshot {
            Snapshot::Shared(SnapshotId(id)) => begin::join_sql(&opened.settings, id, &opened.locked),
            _ => String::new(),
        };
        let begun = pool::Begun { leader, workers, snapshot, join, notes: opened.notes };
        let core = Arc::new(Core::new(config.clone(), begun));
        let mut relations = opened.relations.into_iter();
        let mut sources = HashMap::new();
        for object in &request.objects {
            let source = match object {
                ObjectRef::Query(query) => TableSource::query(Arc::clone(&core), query)?,
                object => {
                    let gone = || Error::new(ErrorKind::NotFound, "it was dropped at this moment").at("table", object);
                    TableSource::table(Arc::clone(&core), object.to_string(), relations.next().ok_or_else(gone)?)
                }
            };
            sources.insert(object.clone(), Arc::new(source));
        }
        Ok(Self { core, sources })
    }
}

fn table_name(object: &ObjectRef) -> Option<Result<&str>> {
    match object {
        ObjectRef::Table(name) => Some(Ok(name)),
        ObjectRef::Query(_) => None,
        ObjectRef::Whole => Some(Err(Error::new(ErrorKind::Usage, "no table is named")
            .with_hint("write it after #, as in postgres://host/db#schema.table, or use --query"))),
    }
}

#[async_trait]
impl Session for PgSession {
    fn snapshot(&self) -> Snapshot {
        self.core.snapshot().clone()
    }

    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        let source = self.sources.get(object).cloned();
        let source = source.ok_or_else(|| Error::new(ErrorKind::Internal, "the session was not opened for it"));
        Ok(source.at("object", || object)?)
    }

    async fn check(&self) -> Result<()> {
        self.core.check().await
    }

    async fn close(&self) -> Result<()> {
        self.core.close().await;
        Ok(())
    }
}
