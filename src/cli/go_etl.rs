//! `etl go-etl`: the flags of go-etl, and what go-etl prints at the end.

use std::ffi::OsString;

use clap::Args;

use super::http::Address;
use super::job_file::{self, AfterFailure, Compat, JobFileArgs, Loaded, Refused, WrongOptions};
use super::printer;
use super::run::{self, Ended, RunArgs};
use super::voice::Voice;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::job::dialect::go_etl::wizard::{self, Pair};

/// Exit code of go-etl where its words are wrong.
pub(super) const BAD_USAGE: u8 = 2;

pub(super) const GO_ETL_EXAMPLES: &str = "\
Examples:
  etl go-etl -c config.json
  etl go-etl -c template.json -w tables.csv

Exit codes are those of go-etl: 0 done, 1 the job or one of the pairs failed, 2 bad usage.";

#[derive(Debug, Args)]
pub(super) struct GoEtlArgs {
    /// Job file: a path, '-' for stdin, or an http(s) URL
    #[arg(short = 'c', alias = "c", value_name = "JOB", default_value = "config.json")]
    job: String,
    /// CSV file of pairs 'source,target', tables or paths: the job is run for each of them
    #[arg(short = 'w', alias = "w", value_name = "PAIRS")]
    pairs: Option<String>,
    /// Serve figures of the run at this address while it goes on; '-http' is the same
    #[arg(long, value_name = "ADDR")]
    http: Option<Address>,
    /// Print the version, and do nothing
    #[arg(value_name = "version", value_parser = ["version"], hide_possible_values = true)]
    word: Option<String>,
}

/// `word` with a second dash in front, where Go's one dash stands before a long name.
pub(super) fn with_two_dashes(word: OsString) -> OsString {
    match word.to_str() {
        Some(text) if matches!(text, "-help" | "-http") || text.starts_with("-http=") => format!("-{text}").into(),
        _ => word,
    }
}

/// Runs a job as `etl run --compat go-etl` does, for each pair where there are pairs.
pub(super) async fn run(args: GoEtlArgs) -> Ended {
    if args.word.is_some() {
        let told = printer::data(concat!("etl ", env!("CARGO_PKG_VERSION"), "\n"));
        return Ended { result: told, code: exit_code };
    }
    let file = JobFileArgs { job: args.job, compat: Some(Compat::GoEtl), ..JobFileArgs::default() };
    let whole = RunArgs { file, http: args.http, ..RunArgs::default() };
    match args.pairs {
        Some(pairs) => run::of(&whole, of_pairs(&whole.file, &pairs)).await,
        None => run::run(&whole).await,
    }
}

/// The job of `file` for each of the pairs in the file `list`.
async fn of_pairs(file: &JobFileArgs, list: &str) -> Result<Loaded, Refused> {
    // What a handshake needs is much, and seldom wanted.
    let text = Box::pin(job_file::read(&file.job)).await?;
    let pairs = pairs(list).await.at("pairs file", || list)?;
    let of = |pair: &Pair| job_file::of_text(&text, file, WrongOptions::Left, |root| wizard::fill(root, pair));
    let each = pairs.iter().map(of).collect::<Result<Vec<Loaded>, Refused>>()?;
    let named =
        |(one, pair): (&Loaded, &Pair)| vec![format!("{},{}", pair.source, pair.target); one.translation.jobs.len()];
    let names = each.iter().zip(&pairs).flat_map(named).collect();
    let whole = each.into_iter().reduce(joined).expect("there is a pair");
    // A pair that cannot be run does not stop the others.
    Ok(Loaded { after_failure: AfterFailure::GoOn { names }, ..whole })
}

async fn pairs(list: &str) -> Result<Vec<Pair>> {
    let read = tokio::fs::read_to_string(list).await;
    wizard::pairs(&read.map_err(|error| Error::from(error).as_kind(ErrorKind::Usage))?)
}

/// The jobs of both, with what is noted of both said once.
fn joined(mut whole: Loaded, one: Loaded) -> Loaded {
    whole.translation.jobs.extend(one.translation.jobs);
    for (all, more) in [(&mut whole.notes, one.notes), (&mut whole.translation.notes, one.translation.notes)] {
        let new: Vec<String> = more.into_iter().filter(|note| !all.contains(note)).collect();
        all.extend(new);
    }
    whole
}

/// What those who know go-etl read: one line at the end, beside what is shown of each transfer.
pub(super) const VOICE: Voice = Voice {
    dialect: Some("go-etl"),
    exit_code,
    shows_each: true,
    report: Some(|_| "run success\n".to_owned()),
    lines: None,
    failure: Some(|error| format!("run fail. err: {error}\n")),
};

/// Exit code of go-etl: 1 for every failure.
fn exit_code(_: ErrorKind) -> u8 {
    1
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::args::{Cli, Command};
    use super::*;

    fn typed(words: &str) -> Option<[String; 4]> {
        let words = ["etl", "go-etl"].into_iter().chain(words.split_whitespace()).map(OsString::from);
        match Cli::try_parse_from(words.map(with_two_dashes)).ok()?.command {
            Command::GoEtl(GoEtlArgs { job, pairs, http, word }) => Some([
                job,
                pairs.unwrap_or_default(),
                http.map(|address| address.to_string()).unwrap_or_default(),
                word.unwrap_or_default(),
            ]),
            other => unreachable!("{other:?}"),
        }
    }

    /// The flags of go-etl (go-etl.md §2.3), with one dash or two, as Go takes them.
    #[test]
    fn flags_are_written_as_go_has_them() {
        for (words, expected) in [
            ("", ["config.json", "", "", ""]),
            ("-c a.json", ["a.json", "", "", ""]),
            ("-c=a.json -w=p.csv -http=:6080", ["a.json", "p.csv", "127.0.0.1:6080", ""]),
            ("--c=a.json --w p.csv --http :6080", ["a.json", "p.csv", "127.0.0.1:6080", ""]),
            ("-http 127.0.0.1:6080 -w p.csv", ["config.json", "p.csv", "127.0.0.1:6080", ""]),
            ("version", ["config.json", "", "", "version"]),
        ] {
            assert_eq!(typed(words), Some(expected.map(str::to_owned)), "{words}");
        }
        for words in ["a.json", "-x", "-c", "-c a.json b.json"] {
            assert_eq!(typed(words), None, "{words}");
        }
    }
}
