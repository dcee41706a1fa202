//! One database, as a locator names it: it is asked on threads of their own, and errors name it.

use std::fmt;
use std::future::Future;

use crate::bridge::blocking;
use crate::error::{Error, ErrorKind, Result};
use crate::object::ObjectRef;

/// What a locator says of a database whose driver blocks.
pub trait Located: Clone + fmt::Debug + Send + Sync + 'static {
    /// The connector, as threads are named after it.
    const CONNECTOR: &'static str;
    /// A whole locator, for advice, as a shell takes it.
    const EXAMPLE: &'static str;

    /// The locator without users, passwords and settings, for messages and plans.
    fn label(&self) -> String;

    /// `error` with the database that it concerns, unless it names it already.
    fn placed(&self, error: Error) -> Error {
        error.at("database", self.label())
    }

    /// The table that `object` names to be written, as it was typed.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for what is no table.
    fn target<'a>(&self, object: &'a ObjectRef) -> Result<&'a str> {
        let ObjectRef::Table(typed) = object else {
            let error = Error::new(ErrorKind::Usage, "a table to write must be named");
            return Err(self.placed(error.with_hint(format!("write {}", Self::EXAMPLE))));
        };
        Ok(typed)
    }

    /// Runs `work`, which blocks, on a thread that is named for what it `does`.
    fn asked<T, F>(&self, does: &str, work: F) -> impl Future<Output = Result<T>> + Send
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> Result<T> + Send + 'static,
    {
        let (asked, name) = (self.clone(), format!("{}-{does}", Self::CONNECTOR));
        async move { blocking::run(&name, move || work(&asked)).await.map_err(|error| self.placed(error)) }
    }
}
