//! The runs of an endpoint in this process: those that hold a connection on a thread of its own, and those that are committed.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};

use crate::attempt::Token;
use crate::bridge::blocking::Ended;
use crate::error::{ErrorKind, Result};
use crate::merge::Merged;

/// Runs that are open while somebody keeps their `H`: the sink that prepared it, or a writer of it.
pub struct Open<H>(Mutex<HashMap<Token, (Weak<H>, Ended)>>);

impl<H> Default for Open<H> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<H> fmt::Debug for Open<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("runs", &self.all().len()).finish()
    }
}

impl<H> Open<H> {
    fn all(&self) -> MutexGuard<'_, HashMap<Token, (Weak<H>, Ended)>> {
        self.0.lock()
    }

    /// Adds the run of `token`. What it locks is free when it has `ended`.
    pub fn add(&self, token: &Token, held: &Arc<H>, ended: Ended) {
        self.all().insert(token.clone(), (Arc::downgrade(held), ended));
    }

    /// What the run of `token` holds, if it is open.
    pub fn held(&self, token: &Token) -> Option<Arc<H>> {
        self.all().get(token).and_then(|(held, _)| held.upgrade())
    }

    /// Forgets the run of `token`, whoever still keeps it.
    pub fn remove(&self, token: &Token) {
        self.all().remove(token);
    }

    /// Forgets the runs that nobody keeps any more, and waits until their connections are gone.
    pub async fn bury(&self) {
        let mut dead = Vec::new();
        self.all().retain(|_, (held, ended)| {
            let is_kept = held.strong_count() > 0;
            if !is_kept {
                dead.push(ended.clone());
            }
            is_kept
        });
        for ended in dead {
            ended.wait().await;
        }
    }
}

/// The commits that this process made.
#[derive(Debug, Default)]
pub struct Commits(Mutex<HashMap<Token, Committed>>);

/// What is known of one of them.
#[derive(Clone, Debug, Default)]
pub struct Committed {
    /// Whether its mark still stands in the target.
    pub marked: bool,
    /// What it did by key, where somebody counted.
    pub merged: Option<Merged>,
    /// What the user should know.
    pub note: Option<String>,
}

impl Commits {
    fn all(&self) -> MutexGuard<'_, HashMap<Token, Committed>> {
        self.0.lock()
    }

    /// Adds that of `token`.
    pub fn add(&self, token: &Token, committed: Committed) {
        self.all().insert(token.clone(), committed);
    }

    /// Whether `token` is committed.
    pub fn has(&self, token: &Token) -> bool {
        self.all().contains_key(token)
    }

    /// What is known of that of `token`.
    pub fn get(&self, token: &Token) -> Option<Committed> {
        self.all().get(token).cloned()
    }

    fn marked(&self) -> Vec<Token> {
        self.all().iter().filter(|(_, commit)| commit.marked).map(|(token, _)| token.clone()).collect()
    }

    /// Lets `forget` take the marks away that still stand in the target. Where somebody else is at work there they stay: the data
    /// are there, and the marks, which do no harm, go with those of a later run.
    ///
    /// # Errors
    /// Those of `forget`.
    pub async fn unmark<F>(&self, forget: impl FnOnce(Vec<Token>) -> F) -> Result<()>
    where
        F: Future<Output = Result<()>>,
    {
        let tokens = self.marked();
        if tokens.is_empty() {
            return Ok(());
        }
        match forget(tokens.clone()).await {
            Err(error) if error.kind() == ErrorKind::Transient => return Ok(()),
            forgotten => forgotten?,
        }
        let mut all = self.all();
        for token in &tokens {
            if let Some(commit) = all.get_mut(token) {
                commit.marked = false;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::blocking::Worker;
    use crate::error::Error;

    fn token(run: &str) -> Token {
        Token { run: run.to_owned(), transfer: 0, sink: 0, epoch: 0 }
    }

    #[tokio::test]
    async fn a_run_is_open_as_long_as_somebody_keeps_it() {
        let (open, token) = (Open::default(), token("r"));
        let held = Arc::new(Worker::start("test", ()).unwrap());
        open.add(&token, &held, held.ended());
        open.bury().await;
        assert!(open.held(&token).is_some());
        drop(held);
        assert!(open.held(&token).is_none());
        open.bury().await;
        assert!(open.all().is_empty());
    }

    #[tokio::test]
    async fn marks_that_stay_are_asked_for_again() {
        let commits = Commits::default();
        commits.add(&token("a"), Committed { marked: true, ..Committed::default() });
        commits.add(&token("b"), Committed::default());
        commits.unmark(|_| async { Err(Error::new(ErrorKind::Transient, "locked")) }).await.unwrap();
        let broken = commits.unmark(|_| async { Err(Error::new(ErrorKind::Io, "no disk")) }).await;
        assert_eq!(broken.unwrap_err().kind(), ErrorKind::Io);
        let mut forgotten = Vec::new();
        let forget = |tokens| {
            forgotten = tokens;
            async { Ok(()) }
        };
        commits.unmark(forget).await.unwrap();
        assert_eq!(forgotten, [token("a")]);
        commits.unmark(|_| async { Err(Error::new(ErrorKind::Internal, "no mark is left")) }).await.unwrap();
        assert!(commits.has(&token("a")) && commits.has(&token("b")) && !commits.has(&token("c")));
    }
}
