//! Test tools, behind the feature `test-util`: for this crate's own tests and for those of connectors outside it.
//!
//! [`conformance`] is the suite that every connector passes, [`memory`] a connector that needs nothing, [`faults`]
//! wrappers that fail on demand, [`generate`] makes the values that break things.

pub mod conformance;
pub mod faults;
pub mod generate;
pub mod memory;

#[cfg(test)]
pub(crate) mod tests;
