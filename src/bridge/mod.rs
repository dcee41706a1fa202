//! Doors out of async Rust over Arrow 59: to the processor pool and to drivers that block.

pub mod blocking;
pub mod cpu;
