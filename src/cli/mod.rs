//! The command line: what was typed becomes a job, and what came of it is printed.
//!
//! Typed words (`args`) turn into settings (`settings`, `place`) before any work begins. One file per command;
//! only `printer` prints: data to stdout, talk to stderr. It decides nothing about how rows move.

mod amount;
mod args;
mod completions;
mod connectors;
mod copy;
mod count;
mod defect;
mod diff;
mod head;
mod interrupt;
mod jobs;
mod mode;
mod ping;
mod place;
mod plan;
mod printer;
mod progress;
mod record;
mod rejects;
mod schema;
mod settings;
mod size;
mod snapshot;
mod table;
mod types;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::error::{Error, Result, exit_code};
use args::{Cli, Command, Output, Progress};
pub use defect::watch_for_defects;
use snapshot::SnapshotCommand;

/// A command line that parsed.
#[derive(Debug)]
pub struct Invocation(Command);

/// Parses the words of a command line. Help and version are printed here.
///
/// # Errors
/// The exit code where there is nothing to run: 0 after help, 2 after a mistake.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Invocation, ExitCode> {
    match Cli::try_parse_from(words) {
        Ok(cli) => Ok(Invocation(cli.command)),
        Err(error) => {
            // Only a closed pipe can go wrong here, and nobody is left to be told.
            let _ = error.print();
            Err(if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS })
        }
    }
}

/// Runs a command to its end and prints its result or failure.
pub async fn run(invocation: Invocation) -> ExitCode {
    let form = invocation.0.form_of_talk();
    let done = match invocation.0 {
        Command::Copy(args) if args.into.dry_run => plan::run(&args).await,
        Command::Copy(args) => copy::run(&args).await,
        Command::Plan(args) => plan::run(&args).await,
        Command::Diff(args) => diff::run(&args).await,
        Command::Schema(args) => schema::run(&args).await,
        Command::Head(args) => head::run(&args).await,
        Command::Count(args) => count::run(&args).await,
        Command::Ping(args) => ping::run(&args).await,
        Command::Snapshot(SnapshotCommand::Hold { source, from }) => snapshot::hold(&source, &from).await,
        Command::Jobs(args) => jobs::run(&args).await,
        Command::Connectors(args) => connectors::run(&args),
        Command::Types(args) => types::run(&args),
        Command::Completions { shell } => completions::run(shell),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if form == Output::Json => {
            printer::event("failed", &printer::described(&error));
            ExitCode::from(exit_code(error.kind()))
        }
        Err(error) => fail(&error),
    }
}

impl Command {
    /// How the program talks on stderr: in JSON only where progress is wanted so.
    fn form_of_talk(&self) -> Output {
        match self {
            Self::Copy(args) if args.talk.progress == Progress::Json => Output::Json,
            Self::Diff(args) if args.talk.progress == Progress::Json => Output::Json,
            _ => Output::Text,
        }
    }
}

/// Prints a failure and gives its exit code.
pub fn fail(error: &Error) -> ExitCode {
    printer::talk(&printer::failure(error));
    ExitCode::from(exit_code(error.kind()))
}
