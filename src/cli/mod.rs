//! The command line: what was typed becomes a job, and what came of it is printed.
//!
//! Typed words (`args`) turn into settings (`settings`, `place`, `options`) before any work begins. One file per command;
//! only `printer` prints: data to stdout, talk to stderr. It decides nothing about how rows move.

mod amount;
mod args;
mod completions;
mod connectors;
mod copy;
mod count;
mod datax;
mod defect;
mod diff;
mod fetch;
mod files;
mod flinkx;
mod go_etl;
mod head;
mod http;
mod interrupt;
mod job_file;
mod jobs;
mod limits;
mod log;
mod mode;
mod options;
mod ping;
mod place;
mod plan;
mod printer;
mod progress;
mod record;
mod rejects;
mod rounds;
mod run;
mod schema;
mod settings;
mod size;
mod snapshot;
mod table;
mod template;
mod transfer;
mod types;
mod voice;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::bridge::farewell;
use crate::error::{Error, ErrorKind, Result, exit_code};
use args::{Cli, Command, Output, Progress, TalkArgs};
pub use defect::watch_for_defects;
use run::Ended;
use snapshot::SnapshotCommand;

/// A command line that parsed.
#[derive(Debug)]
pub struct Invocation(Command);

/// Commands that take the flags of another program, with its exit code for words that are wrong.
const BAD_USAGE: [(&str, u8); 3] =
    [("datax", datax::BAD_USAGE), ("flinkx", flinkx::BAD_USAGE), ("go-etl", go_etl::BAD_USAGE)];

/// Parses the words of a command line. Help and version are printed here.
///
/// # Errors
/// The exit code where there is nothing to run: 0 after help, 2 after a mistake, or what the program has whose flags were taken.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Invocation, ExitCode> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    let command = words.get(1).cloned().unwrap_or_default();
    if command == "go-etl" {
        words = words.into_iter().map(go_etl::with_two_dashes).collect();
    } else if command == "flinkx" {
        words = flinkx::with_two_dashes(words);
    }
    match Cli::try_parse_from(words) {
        Ok(cli) => Ok(Invocation(cli.command)),
        Err(error) => {
            // Only a closed pipe can go wrong here, and nobody is left to be told.
            let _ = error.print();
            let known = BAD_USAGE.iter().find(|(name, _)| command == *name);
            let bad_usage = known.map_or_else(|| exit_code(ErrorKind::Usage), |(_, code)| *code);
            Err(if error.use_stderr() { ExitCode::from(bad_usage) } else { ExitCode::SUCCESS })
        }
    }
}

/// Runs a command to its end and prints its result or failure.
pub async fn run(invocation: Invocation) -> ExitCode {
    let talk = invocation.0.talk();
    // In JSON only where progress is wanted so.
    let form = if talk.is_some_and(|talk| talk.progress == Progress::Json) { Output::Json } else { Output::Text };
    let opened = talk.and_then(|talk| talk.log.file()).map_or(Ok(()), |file| log::open(&file));
    let ours = |result| Ended { result, code: exit_code };
    let Ended { result, code } = match (opened, invocation.0) {
        (Err(error), _) => ours(Err(error)),
        (Ok(()), Command::Run(args)) => run::run(&args).await,
        (Ok(()), Command::Datax(args)) => datax::run(args).await,
        (Ok(()), Command::Flinkx(args)) => flinkx::run(*args).await,
        (Ok(()), Command::GoEtl(args)) => go_etl::run(args).await,
        (Ok(()), command) => ours(Box::pin(ended(command)).await),
    };
    let exit = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if form == Output::Json => {
            printer::event("failed", &printer::described(&error, code(error.kind())));
            ExitCode::from(code(error.kind()))
        }
        Err(error) => {
            printer::talk(&printer::failure(&error));
            ExitCode::from(code(error.kind()))
        }
    };
    farewell::said().await;
    exit
}

/// Runs a command whose exit codes are ours.
async fn ended(command: Command) -> Result<()> {
    match command {
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
        Command::Convert(args) => job_file::convert(&args).await,
        Command::Template(args) => template::run(&args),
        Command::Run(_) | Command::Datax(_) | Command::Flinkx(_) | Command::GoEtl(_) => {
            Err(Error::new(ErrorKind::Internal, "a job file has exit codes of its own"))
        }
    }
}

impl Command {
    /// How the program talks on stderr, where it can be told.
    fn talk(&self) -> Option<&TalkArgs> {
        match self {
            Self::Copy(args) | Self::Plan(args) => Some(&args.talk),
            Self::Run(args) => Some(&args.talk),
            Self::Diff(args) => Some(&args.talk),
            _ => None,
        }
    }
}

/// Prints a failure and gives its exit code.
pub fn fail(error: &Error) -> ExitCode {
    printer::talk(&printer::failure(error));
    ExitCode::from(exit_code(error.kind()))
}
