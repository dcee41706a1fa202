//! The readers of one server. They share no point in time: ClickHouse has none over several queries. A table that is cut is read
//! at one of its own (`split.rs`), a stream sees the table as it is when it begins.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::catalog::{self, Relation};
use super::connect::Server;
use super::name::Name;
use super::read::ChSource;
use crate::endpoint::{ObjectRef, OpenRequest, Session, Snapshot};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::source::Source;

/// What all readers of a session know.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) server: Arc<Server>,
    /// How many splits are read at once.
    pub(super) readers: usize,
    lost: AtomicBool,
}

impl Shared {
    /// Says that the parts of a table are gone.
    pub(super) fn lose(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }
}

/// The session.
#[derive(Debug)]
pub(super) struct ChSession {
    shared: Arc<Shared>,
    sources: HashMap<ObjectRef, Arc<ChSource>>,
}

impl ChSession {
    /// Looks for the objects.
    pub(super) async fn open(server: Arc<Server>, request: &OpenRequest) -> Result<Self> {
        if request.join.is_some() {
            let message = "a point in time of ClickHouse cannot be joined by another process";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let shared = Arc::new(Shared { server, readers: request.readers.max(1), lost: AtomicBool::new(false) });
        let mut sources = HashMap::new();
        for object in &request.objects {
            let relation = relation(&shared.server, object).await.map_err(|error| shared.server.place(error))?;
            sources.insert(object.clone(), Arc::new(ChSource::new(Arc::clone(&shared), relation)));
        }
        Ok(Self { shared, sources })
    }
}

async fn relation(server: &Server, object: &ObjectRef) -> Result<Relation> {
    match object {
        ObjectRef::Table(typed) => {
            let name = Name::typed(typed, &server.config().database)?;
            catalog::expect(server, &name).await
        }
        ObjectRef::Query(query) => catalog::query(server, query.trim().trim_end_matches(';')).await,
        ObjectRef::Whole => Err(Error::new(ErrorKind::Usage, "no table is named")
            .with_hint("write it after #, as in clickhouse://host/database#table, or use --query")),
    }
}

#[async_trait]
impl Session for ChSession {
    fn snapshot(&self) -> Snapshot {
        Snapshot::None
    }

    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        let source = self.sources.get(object).cloned();
        let source = source.ok_or_else(|| Error::new(ErrorKind::Internal, "the session was not opened for it"));
        Ok(source.at("object", || object)?)
    }

    async fn check(&self) -> Result<()> {
        if self.shared.lost.load(Ordering::Relaxed) {
            let message = "parts of a table that was cut are gone: its point in time is lost";
            return Err(self.shared.server.place(Error::new(ErrorKind::Mismatch, message)));
        }
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        self.shared.server.close();
        Ok(())
    }
}
