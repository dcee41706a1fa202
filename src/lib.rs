#![doc = include_str!("ARCHITECTURE.md")]

pub mod attempt;
pub mod bridge;
pub mod cli;
pub mod connector;
pub mod connectors;
pub mod docs;
pub mod endpoint;
pub mod error;
pub mod fate;
pub mod flow;
pub mod formats;
pub mod job;
pub mod object;
pub mod plan;
pub mod proof;
pub mod run;
pub mod runner;
pub mod schema;
pub mod shape;
pub mod sink;
pub mod source;
pub mod sql;
pub mod state;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
pub mod wire;
