//! Doors out of async Rust over Arrow 59: to the processor pool, to drivers that block, and to C.

pub mod blocking;
pub mod cpu;
pub mod ffi;
pub mod process;
