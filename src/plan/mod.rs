//! From a source, a transform and a sink's agreement to the one physical plan of a transfer.
//!
//! The only folder that implements DataFusion's traits. It opens nothing and moves nothing.

pub mod ahead;
mod arrange;
mod batchwise;
pub mod checked;
pub mod codec;
mod columns;
pub mod context;
pub mod diff;
pub mod error;
pub mod gather;
mod intake;
mod leaf;
mod lineage;
mod memory;
mod outlet;
pub mod pipeline;
pub mod read;
pub mod rowwise;
mod settle;
pub mod spread;
pub mod steps;
mod table;
pub mod tasks;
mod trail;
mod transform;
pub mod unary;
pub mod write;
