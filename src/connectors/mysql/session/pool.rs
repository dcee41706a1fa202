//! Who reads on which connection.

use std::sync::Arc;

use super::super::config::Config;
use super::super::connect::{Connection, cancel};
use super::begin::Begun;
use crate::bridge::farewell;
use crate::bridge::pinned::{Pinned, Taken, lost};
use crate::error::Result;

/// The readers of one session.
#[derive(Debug)]
pub(in super::super) struct Pool {
    config: Config,
    connections: Pinned<Connection>,
    /// Which of the products it is.
    product: &'static str,
    /// The zone whose clock stands for instants where the other side has no zone.
    clock: Option<String>,
    notes: Vec<String>,
    is_one_point_in_time: bool,
}

/// One reader, given back when dropped.
#[derive(Debug)]
pub(in super::super) struct Lease {
    pool: Arc<Pool>,
    taken: Option<Taken<Connection>>,
}

impl Pool {
    pub(super) fn new(config: Config, begun: Begun) -> Self {
        Self {
            config,
            product: begun.readers.first().map_or("mysql", |reader| reader.server().product()),
            clock: begun.readers.first().and_then(|reader| reader.server().clock.clone()),
            connections: Pinned::new(begun.readers),
            notes: begun.notes,
            is_one_point_in_time: begun.is_one_point_in_time,
        }
    }

    /// Which of the products it is.
    pub(in super::super) fn product(&self) -> &'static str {
        self.product
    }

    /// The zone whose clock stands for instants where the other side has no zone.
    pub(in super::super) fn clock(&self) -> Option<&str> {
        self.clock.as_deref()
    }

    /// How columns are read.
    pub(in super::super) fn config(&self) -> &Config {
        &self.config
    }

    /// How it was opened, one sentence each, for plans.
    pub(in super::super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// How many splits can be read at once.
    pub(in super::super) fn readers(&self) -> usize {
        self.connections.count()
    }

    pub(super) fn is_one_point_in_time(&self) -> bool {
        self.is_one_point_in_time
    }

    /// A reader, once one is free.
    pub(in super::super) async fn lease(self: &Arc<Self>) -> Result<Lease> {
        let taken = self.connections.take().await?;
        Ok(Lease { pool: Arc::clone(self), taken: Some(taken) })
    }

    /// Every reader that is idle still answers. Those at work will be heard of.
    pub(super) async fn check(&self) -> Result<()> {
        self.connections.check()?;
        let mut result = Ok(());
        // None is put back meanwhile: who wants one waits, and does not miss it.
        let idle: Vec<_> = std::iter::from_fn(|| self.connections.take_idle()).collect();
        for mut taken in idle {
            match taken.connection.run("DO 0").await {
                Ok(()) => self.connections.put_back(taken),
                Err(error) => {
                    self.connections.lose(taken);
                    result = Err(lost().with_source(error));
                }
            }
        }
        result
    }

    pub(super) async fn close(&self) {
        futures::future::join_all(self.connections.close().into_iter().map(Connection::close)).await;
    }
}

impl Lease {
    /// The connection to read on.
    pub(in super::super) fn connection(&mut self) -> &mut Connection {
        &mut self.taken.as_mut().expect("a lease holds its connection until it is dropped").connection
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(taken) = self.taken.take() else { return };
        if taken.connection.is_ready() {
            self.pool.connections.put_back(taken);
        } else if taken.connection.is_reading() && tokio::runtime::Handle::try_current().is_ok() {
            farewell::say(recover(Arc::clone(&self.pool), taken));
        } else {
            self.pool.connections.lose(taken);
        }
    }
}

/// Ends a statement whose rows nobody wants, without an end to the transaction around it.
async fn recover(pool: Arc<Pool>, mut taken: Taken<Connection>) {
    let connection = &mut taken.connection;
    // Should it not be ended, all its rows come.
    let _ = cancel(&pool.config, connection.id()).await;
    while connection.is_reading() {
        if connection.next_rows(usize::MAX, 1 << 20).await.is_err() {
            break;
        }
    }
    // A word that came too late for the statement would hit the next one: it hits this.
    if connection.is_ready() && (connection.run("DO 0").await.is_ok() || connection.run("DO 0").await.is_ok()) {
        pool.connections.put_back(taken);
    } else {
        pool.connections.lose(taken);
    }
}
