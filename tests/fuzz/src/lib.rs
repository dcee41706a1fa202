//! The parsers, included from the crate's own files, and what each target does with bytes.

/// The crate's files that build without DataFusion.
#[path = "../../../src"]
mod included {
    pub mod attempt;
    /// Of its doors the one that parses settings, and the one to code that panics.
    pub mod bridge {
        pub(crate) mod guard;
        pub mod login;
    }
    pub mod error;
    pub mod formats;
    pub mod job;
    pub mod merge;
    pub mod object;
    pub mod proof;
    pub mod reject;
    pub mod schema;
    pub mod shape;
    pub mod sink;
    pub mod state;
    pub mod wire;
}

pub use included::{attempt, bridge, error, formats, job, merge, object, proof, reject, schema, shape, sink, state, wire};
pub use sqlparser;

pub mod mysql;
pub mod postgres;
pub mod targets;
