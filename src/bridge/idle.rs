//! Connections of a driver that nobody uses just now: the next who wants one is served by one of them.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Idle connections that are kept; more are given up.
const MOST: usize = 16;

/// Idle connections.
#[derive(Debug)]
pub struct Idle<C>(Mutex<Vec<C>>);

impl<C> Default for Idle<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C> Idle<C> {
    /// The one that was used last.
    pub fn take(&self) -> Option<C> {
        self.all().pop()
    }

    /// Keeps `connection`, unless there are many already.
    pub fn keep(&self, connection: C) {
        let mut all = self.all();
        if all.len() < MOST {
            all.push(connection);
        }
    }

    /// Gives those up that are not `usable`.
    pub fn retain(&self, usable: impl Fn(&C) -> bool) {
        self.all().retain(usable);
    }

    /// All of them.
    pub fn drain(&self) -> Vec<C> {
        std::mem::take(&mut *self.all())
    }

    fn all(&self) -> MutexGuard<'_, Vec<C>> {
        // Nothing panics with the lock held; if it did, the list is still a list.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
