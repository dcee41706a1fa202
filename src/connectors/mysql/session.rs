//! The open point in time: connections whose transactions all began at it, and who reads on which of them.
//!
//! ```text
//! every reader:  START TRANSACTION WITH CONSISTENT SNAPSHOT · SELECT … LIMIT 0 of each table · SELECT · SELECT · …
//! ```
//! How they begin at one point in time is `begin.rs`; no other connection can join it later, so there are as many from the start
//! as there will ever be. A read that is given up is ended on the server and its connection goes on: `pool.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::catalog;
use super::config::Config;
use super::connect::connect;
use super::name::Name;
use super::read::{MySource, What};
use crate::endpoint::{ObjectRef, OpenRequest, Session, Snapshot};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::source::Source;

mod begin;
mod pool;

pub(super) use pool::{Lease, Pool};

/// More readers than this only wait for each other.
const MOST_READERS: usize = 64;

/// The session.
#[derive(Debug)]
pub(super) struct MySession {
    pool: Arc<Pool>,
    sources: HashMap<ObjectRef, Arc<MySource>>,
}

impl MySession {
    /// Looks for the objects, and opens the point in time.
    pub(super) async fn open(config: &Config, request: &OpenRequest) -> Result<Self> {
        if request.join.is_some() {
            let message = "a point in time of MySQL cannot be joined by another process";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let mut first = connect(config).await?;
        // Another server has another point in time.
        let config = &first.same_server(config);
        let mut wanted = Vec::new();
        for object in &request.objects {
            let what = match object {
                ObjectRef::Query(query) => What::Query(query.trim().trim_end_matches(';').to_owned()),
                ObjectRef::Table(typed) => {
                    let name = Name::typed(typed, config.database.as_deref())?;
                    let found = catalog::expect(&mut first, &name).await;
                    What::Table(Box::new(found.at("table", || typed)?))
                }
                ObjectRef::Whole => {
                    return Err(Error::new(ErrorKind::Usage, "no table is named")
                        .with_hint("write it after #, as in mysql://host/database#table, or use --query"));
                }
            };
            wanted.push((object.clone(), what));
        }
        let tables: Vec<_> = wanted.iter().filter_map(|(_, what)| what.table()).collect();
        let readers = request.readers.clamp(1, MOST_READERS);
        let begun = begin::begin(config, first, (&tables, tables.len() == wanted.len()), readers).await?;
        let pool = Arc::new(Pool::new(config.clone(), begun));
        let source = |(object, what)| (object, Arc::new(MySource::new(Arc::clone(&pool), what)));
        Ok(Self { sources: wanted.into_iter().map(source).collect(), pool })
    }
}

#[async_trait]
impl Session for MySession {
    fn snapshot(&self) -> Snapshot {
        if self.pool.is_one_point_in_time() { Snapshot::Private } else { Snapshot::None }
    }

    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        let source = self.sources.get(object).cloned();
        let source = source.ok_or_else(|| Error::new(ErrorKind::Internal, "the session was not opened for it"));
        Ok(source.at("object", || object)?)
    }

    async fn check(&self) -> Result<()> {
        self.pool.check().await
    }

    async fn close(&self) -> Result<()> {
        self.pool.close().await;
        Ok(())
    }
}
