//! Doors out of async Rust over Arrow 59: to the processor pool, to drivers that block, to ADBC, to servers, to code that panics, and to C.

#[cfg(any(feature = "adbc", feature = "duckdb"))]
pub mod adbc;
pub mod ahead;
pub mod blocking;
pub mod connections;
pub mod cpu;
pub mod farewell;
pub mod ffi;
pub(crate) mod guard;
pub mod login;
pub mod opaque;
pub mod pinned;
pub mod process;
pub mod readers;
pub mod tls;
