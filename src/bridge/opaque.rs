//! Values that compilers need not look into.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A shared value of `T` behind an object.
///
/// Whether a future may change threads depends on all that it holds. Expressions and plans of DataFusion hold each other in
/// circles, so the compiler walks through hundreds of types, in every asynchronous function that has one of them anew. Of an
/// object it is known at once: that took two thirds of the time in which this crate was checked.
pub struct Opaque<T>(Arc<dyn Holder<T>>);

trait Holder<T>: Send + Sync {
    fn held(&self) -> &T;
}

impl<T: Send + Sync> Holder<T> for T {
    fn held(&self) -> &T {
        self
    }
}

impl<T: Send + Sync + 'static> From<T> for Opaque<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T: Default + Send + Sync + 'static> Default for Opaque<T> {
    fn default() -> Self {
        T::default().into()
    }
}

impl<T> Clone for Opaque<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Opaque<T> {
    type Target = T;

    fn deref(&self) -> &T {
        Holder::<T>::held(&*self.0)
    }
}

impl<T: fmt::Debug> fmt::Debug for Opaque<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: PartialEq> PartialEq for Opaque<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}
