//! The program `etl`: allocator, runtime and exit code. All else is in the library.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use arrow_etl::bridge::ffi;
use arrow_etl::cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long freed memory is kept for the next who asks.
const KEPT: Duration = Duration::from_millis(25);

fn main() -> ExitCode {
    ffi::give_memory_back(KEPT);
    cli::watch_for_defects();
    // Arguments first: help, version and mistakes need no threads.
    let invocation = match cli::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(code) => return code,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => {
            let run = AssertUnwindSafe(|| runtime.block_on(cli::run(invocation)));
            // What a panic has to say was said where it happened.
            let code = catch_unwind(run).unwrap_or(ExitCode::FAILURE);
            // A blocking driver that does not hear of the end must not hold the program up.
            runtime.shutdown_background();
            code
        }
        Err(error) => cli::fail(&error.into()),
    }
}
