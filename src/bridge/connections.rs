//! The connections that write into one server: one that is idle serves the next who asks.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::error::Result;

/// Idle connections that are kept; more are given up.
const MOST: usize = 16;

/// How long a connection that holds something, and was idle, is given to answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// A connection, as it is opened, kept and ended.
#[async_trait]
pub trait Pooled: Debug + Send + Sized + 'static {
    /// How the server is reached.
    type Config: Debug + Send + Sync;

    /// A new one, with the settings of a writer.
    async fn reach(config: &Self::Config) -> Result<Self>;

    /// How the one of several servers is reached that answers first: what is written is on one server, and so is all around it.
    /// None where there is one only.
    async fn settle(_config: &Self::Config) -> Result<Option<Self::Config>> {
        Ok(None)
    }

    /// Whether another statement may be sent, as far as this side knows.
    fn is_usable(&self) -> bool;

    /// Whether the server is still there: it ends connections that were idle for long.
    async fn answers(&mut self) -> bool;

    /// The same, where no answer for a while is none.
    async fn answers_in_time(&mut self) -> bool {
        timeout(ANSWER_TIME, self.answers()).await.unwrap_or(false)
    }

    /// Ends it in order.
    async fn end(self);
}

/// What an endpoint and its sinks share. Of SQL of the user nothing is left in any of its connections.
#[derive(Debug)]
pub struct Connections<C: Pooled> {
    config: C::Config,
    here: OnceCell<Option<C::Config>>,
    idle: Mutex<Vec<C>>,
}

impl<C: Pooled> Connections<C> {
    /// None is open yet.
    pub fn new(config: C::Config) -> Self {
        Self { config, here: OnceCell::new(), idle: Mutex::default() }
    }

    /// How the server is reached, or the servers.
    pub fn config(&self) -> &C::Config {
        &self.config
    }

    /// How the one server is reached that all connections are of.
    ///
    /// # Errors
    /// Those of [`Pooled::settle`].
    pub async fn here(&self) -> Result<&C::Config> {
        let settled = self.here.get_or_try_init(|| C::settle(&self.config)).await?;
        Ok(settled.as_ref().unwrap_or(&self.config))
    }

    /// The connection that was used last, or a new one.
    ///
    /// # Errors
    /// Those of [`Pooled::reach`].
    pub async fn take(&self) -> Result<C> {
        let idle = self.idle.lock().pop();
        if let Some(mut connection) = idle
            && connection.answers().await
        {
            return Ok(connection);
        }
        self.open().await
    }

    /// A new connection, which has met nothing of what happened on others.
    ///
    /// # Errors
    /// Those of [`Pooled::reach`].
    pub async fn open(&self) -> Result<C> {
        C::reach(self.here().await?).await
    }

    /// Keeps a connection that has no transaction open and no lock, unless there are many already.
    pub fn put_back(&self, connection: C) {
        let mut idle = self.idle.lock();
        if connection.is_usable() && idle.len() < MOST {
            idle.push(connection);
        }
    }

    /// How many are idle.
    pub fn idle_count(&self) -> usize {
        self.idle.lock().len()
    }

    /// Ends the idle ones in order.
    pub async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        futures::future::join_all(idle.into_iter().map(C::end)).await;
    }
}
