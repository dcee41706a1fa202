//! The data plane: what batches pass between reader and writer.

pub mod align;
pub mod board;
pub mod buffer;
pub mod channel;
pub mod compact;
pub mod digest;
pub mod heavy;
pub mod meter;
pub mod reject;
pub mod throttle;
