//! What a sink keeps between calls: idle connections, transactions that wait for their commit, writers at work.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::connect::Connection;
use crate::attempt::{Attempt, Token};

/// Idle connections that are kept; more are closed.
const IDLE: usize = 16;

/// Never awaits with its lock held.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    idle: Vec<Connection>,
    held: Vec<Held>,
    open: Vec<Open>,
    committed: HashSet<Token>,
}

/// A transaction that was flushed and waits for its commit.
#[derive(Debug)]
struct Held {
    token: Token,
    attempt: String,
    connection: Connection,
}

/// A writer of a transaction that will be held.
#[derive(Debug)]
struct Open {
    token: Token,
    attempt: String,
    pid: i32,
}

/// What stands in the way of a new attempt: a transaction that is held open has one task.
#[derive(Debug, Default)]
pub(super) struct Elder {
    /// Transactions to roll back.
    pub(super) held: Vec<Connection>,
    /// Server processes to end.
    pub(super) pids: Vec<i32>,
}

impl Registry {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing here panics with the lock held; if it did, the lists are still lists.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn idle(&self) -> Option<Connection> {
        let mut state = self.state();
        state.idle.retain(|connection| !connection.is_closed());
        state.idle.pop()
    }

    /// Keeps a connection that has no transaction open.
    pub(super) fn put_back(&self, connection: Connection) {
        let mut state = self.state();
        if state.idle.len() < IDLE {
            state.idle.push(connection);
        }
    }

    /// Notes a writer, and gives the earlier attempts under its token, which it replaces.
    pub(super) fn open(&self, attempt: &Attempt, pid: i32) -> Elder {
        let mut state = self.state();
        let mut elder = Elder::default();
        let (same, rest) = state.held.drain(..).partition(|held| held.token == attempt.token);
        state.held = rest;
        elder.held = Vec::into_iter(same).map(|held: Held| held.connection).collect();
        let same = |open: &&Open| open.token == attempt.token;
        elder.pids = state.open.iter().filter(same).map(|open| open.pid).collect();
        state.open.retain(|open| !same(&open));
        state.open.push(Open { token: attempt.token.clone(), attempt: attempt.id.clone(), pid });
        elder
    }

    /// Forgets a writer that is gone.
    pub(super) fn close(&self, attempt: &Attempt) {
        self.state().open.retain(|open| open.attempt != attempt.id);
    }

    /// Keeps the transaction of `attempt` until its commit.
    pub(super) fn hold(&self, attempt: &Attempt, connection: Connection) {
        let held = Held { token: attempt.token.clone(), attempt: attempt.id.clone(), connection };
        self.state().held.push(held);
    }

    /// The transaction of the attempt with this id, and the id.
    pub(super) fn take(&self, attempt: &str) -> Option<(Connection, String)> {
        let mut state = self.state();
        let index = state.held.iter().position(|held| held.attempt == attempt)?;
        let held = state.held.swap_remove(index);
        Some((held.connection, held.attempt))
    }

    /// Takes out all transactions that are held for `token`.
    pub(super) fn forget(&self, token: &Token) -> Vec<Connection> {
        let mut state = self.state();
        let (of_token, rest): (Vec<Held>, Vec<Held>) = state.held.drain(..).partition(|held| held.token == *token);
        state.held = rest;
        of_token.into_iter().map(|held| held.connection).collect()
    }

    pub(super) fn settle(&self, token: &Token) {
        self.state().committed.insert(token.clone());
    }

    pub(super) fn committed(&self, token: &Token) -> bool {
        self.state().committed.contains(token)
    }
}
