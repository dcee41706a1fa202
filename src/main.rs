//! The program `etl`: allocator, runtime and exit code. All else is in the library.

use std::process::ExitCode;

use arrow_etl::cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Arguments first: help, version and mistakes need no threads.
    let invocation = match cli::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(code) => return code,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(cli::run(invocation));
            // A blocking driver that does not hear of the end must not hold the program up.
            runtime.shutdown_background();
            code
        }
        Err(error) => cli::fail(&error.into()),
    }
}
