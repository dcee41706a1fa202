//! What a sink keeps between calls: transactions that wait for their commit, writers at work.

use std::collections::{HashMap, HashSet};

use parking_lot::{Mutex, MutexGuard};

use super::super::connect::Connection;
use crate::attempt::{Attempt, Token};
use crate::sink::Merged;

/// Never awaits with its lock held.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    held: Vec<Held>,
    open: Vec<Open>,
    leases: HashMap<Token, Connection>,
    /// What holds stages of which the run that goes on has only found out so far what is in them.
    claims: HashMap<Token, Connection>,
    commits: HashMap<Token, Commit>,
    merges: HashMap<Token, Merged>,
    /// When their stage was made, the commit of a run whose process was gone was completed.
    completed_another: HashSet<Token>,
}

/// How far the commit of a token has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commit {
    /// The COMMIT may have been sent, and nothing is known of its answer.
    Begun,
    /// Nobody can say what became of it, and this was told.
    Doubtful,
    Done,
}

/// A transaction that was flushed and waits for its commit.
#[derive(Debug)]
struct Held {
    token: Token,
    attempt: String,
    connection: Connection,
}

/// A writer of a transaction that will be held: at work, or failed.
#[derive(Debug)]
struct Open {
    token: Token,
    attempt: String,
    /// Its `application_name`.
    writer: String,
}

/// What stands in the way of a new attempt: a transaction that is held open has one task.
#[derive(Debug, Default)]
pub(super) struct Elder {
    /// Transactions to roll back.
    pub(super) held: Vec<Connection>,
    /// Writers to end.
    pub(super) writers: Vec<String>,
}

impl Registry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Notes a writer, and gives the earlier attempts under its token, which it replaces.
    pub(super) fn open(&self, attempt: &Attempt, writer: String) -> Elder {
        let mut state = self.state();
        let mut elder = Elder::default();
        let (same, rest) = state.held.drain(..).partition(|held| held.token == attempt.token);
        state.held = rest;
        elder.held = Vec::into_iter(same).map(|held: Held| held.connection).collect();
        let (same, rest) = state.open.drain(..).partition(|open| open.token == attempt.token);
        state.open = rest;
        elder.writers = Vec::into_iter(same).map(|open: Open| open.writer).collect();
        state.open.push(Open { token: attempt.token.clone(), attempt: attempt.id.clone(), writer });
        elder
    }

    /// Forgets a writer whose transaction is held.
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

    /// Takes out all transactions that are held for `token`, and forgets its writers.
    pub(super) fn forget(&self, token: &Token) -> Vec<Connection> {
        let mut state = self.state();
        let (of_token, rest): (Vec<Held>, Vec<Held>) = state.held.drain(..).partition(|held| held.token == *token);
        state.held = rest;
        state.open.retain(|open| open.token != *token);
        of_token.into_iter().map(|held| held.connection).collect()
    }

    /// Keeps what holds the stage of `token`.
    pub(super) fn lease(&self, token: &Token, connection: Connection) {
        self.state().leases.insert(token.clone(), connection);
    }

    /// Whether this process holds the stage of `token`.
    pub(super) fn is_leased(&self, token: &Token) -> bool {
        self.state().leases.get(token).is_some_and(|connection| !connection.is_closed())
    }

    /// Keeps what holds the stage of `token` until it is prepared again.
    pub(super) fn claim(&self, token: &Token, connection: Connection) {
        self.state().claims.insert(token.clone(), connection);
    }

    /// Whether it is held so.
    pub(super) fn is_claimed(&self, token: &Token) -> bool {
        self.state().claims.get(token).is_some_and(|connection| !connection.is_closed())
    }

    /// Takes out what holds it so.
    pub(super) fn take_claim(&self, token: &Token) -> Option<Connection> {
        self.state().claims.remove(token).filter(|connection| !connection.is_closed())
    }

    /// Whether this process ever held the stage of `token`.
    pub(super) fn was_leased(&self, token: &Token) -> bool {
        self.state().leases.contains_key(token)
    }

    /// Takes out what holds the stage of `token`.
    pub(super) fn release(&self, token: &Token) -> Option<Connection> {
        self.state().leases.remove(token)
    }

    /// Notes that a COMMIT is about to be sent.
    pub(super) fn begin(&self, token: &Token) {
        self.state().commits.insert(token.clone(), Commit::Begun);
    }

    /// Notes that nothing of `token` was committed.
    pub(super) fn rolled_back(&self, token: &Token) {
        self.state().commits.remove(token);
    }

    /// Notes that nobody can say whether `token` was committed.
    pub(super) fn doubt(&self, token: &Token) {
        self.state().commits.insert(token.clone(), Commit::Doubtful);
    }

    /// Notes that `token` is committed.
    pub(super) fn settle(&self, token: &Token) {
        self.state().commits.insert(token.clone(), Commit::Done);
    }

    /// Notes what the commit of `token` does by key.
    pub(super) fn merged(&self, token: &Token, merged: Option<Merged>) {
        self.state().merges.extend(merged.map(|merged| (token.clone(), merged)));
    }

    /// What the commit of `token` did by key.
    pub(super) fn merged_by(&self, token: &Token) -> Option<Merged> {
        self.state().merges.get(token).copied()
    }

    /// Notes that the commit of another run, whose process is gone, was completed before the stage of `token` was made.
    pub(super) fn complete_another(&self, token: &Token) {
        self.state().completed_another.insert(token.clone());
    }

    /// Whether that was done.
    pub(super) fn has_completed_another(&self, token: &Token) -> bool {
        self.state().completed_another.contains(token)
    }

    /// How far the commit of `token` has come; none when it has not begun.
    pub(super) fn commit(&self, token: &Token) -> Option<Commit> {
        self.state().commits.get(token).copied()
    }
}
