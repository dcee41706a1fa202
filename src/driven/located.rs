//! One database behind a driver: it is asked on threads of their own, and errors name it.

use std::fmt;
use std::future::Future;

use super::name::Name;
use super::origin::Origin;
use crate::bridge::blocking;
use crate::error::{Error, ErrorKind, Result};
use crate::object::ObjectRef;

/// What a locator says of a database.
pub trait Located: Clone + fmt::Debug + Send + Sync + 'static {
    /// The connector, as threads are named after it.
    const CONNECTOR: &'static str;
    /// A whole locator, for advice.
    const EXAMPLE: &'static str;

    /// The locator without users, passwords and settings, for messages and plans.
    fn label(&self) -> String;

    /// `error` with the database that it concerns, unless it names it already.
    fn placed(&self, error: Error) -> Error {
        error.at("database", self.label())
    }

    /// What `object` names to be read.
    ///
    /// # Errors
    /// Those of [`Origin::of`].
    fn origin(&self, object: &ObjectRef) -> Result<Origin> {
        Origin::of(object, Self::EXAMPLE).map_err(|error| self.placed(error))
    }

    /// The table that `object` names to be written.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for what is no table.
    fn target(&self, object: &ObjectRef) -> Result<Name> {
        let ObjectRef::Table(typed) = object else {
            let error = Error::new(ErrorKind::Usage, "a table to write must be named");
            return Err(self.placed(error.with_hint(format!("write '{}'", Self::EXAMPLE))));
        };
        Name::parse(typed)
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
