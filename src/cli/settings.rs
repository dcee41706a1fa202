//! From typed flags to a job that can run: everything is checked here, before any work begins.

use std::fs;

use super::args::{CopyArgs, Output, Progress, Proof, Schema, TalkArgs, TransformArgs};
use super::{limits, mode, options, place, rejects};
use crate::endpoint::SnapshotId;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::job::locator::FILE;
use crate::job::{FinerTimes, Job, Toggle, Transform, UnionBy};
use crate::proof::Verify;
use crate::shape::Cut;
use crate::sink::SchemaPolicy;

/// A copy as it will be done.
#[derive(Debug)]
pub(super) struct CopySettings {
    pub(super) job: Job,
    pub(super) talk: Talk,
    pub(super) resume: Resume,
}

/// Whether an interrupted run of the job is gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resume {
    Wanted,
    /// It must be: where there is none, nothing begins.
    Required,
    /// The same of a job that runs in rounds: where the last of them has ended, the next one begins.
    Rounds,
    /// This is the next round of a job, whose target is prepared.
    NextRound,
    Unwanted,
}

/// How to talk about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Talk {
    pub(super) progress: Progress,
    pub(super) output: Output,
    pub(super) level: Level,
}

/// How much to say on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Errors alone.
    Quiet,
    /// Progress and a summary.
    Normal,
    /// A longer summary.
    Verbose,
}

pub(super) fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message)
}

/// Makes a job of what was typed. Reads the files named by `@FILE`, nothing else.
pub(super) fn copy(args: &CopyArgs) -> Result<CopySettings> {
    let source = place::source(&args.source, &args.from)?;
    let mut targets = vec![place::target(&args.target, args.into.into.as_deref(), &source)?];
    for also in &args.into.also {
        targets.push(place::target(also, None, &source).at("option", || "--also")?);
    }
    options::tell(&mut targets, &args.into.to_option)?;
    let transform = transform(&args.transform)?;
    let (source, target, also) = place::copy_places((&source, &targets), (&args.files, &args.to_files))?;
    let job = Job {
        source,
        union: args.union.iter().map(|text| place::union(text).at("option", || "--union")).collect::<Result<_>>()?,
        union_by: UnionBy::Name,
        snapshot: args.snapshot.clone().map(SnapshotId),
        cut: if args.allow_mixed_snapshot { Cut::ByKey } else { Cut::Fastest },
        target,
        also,
        transform,
        mode: mode::mode(args.into.mode, &args.by_key)?,
        empty_sync: mode::empty_sync(&args.by_key),
        incremental: mode::incremental(args.into.mode, &args.by_cursor)?,
        schema: match args.into.schema {
            Schema::Strict => SchemaPolicy::Strict,
            Schema::Ignore => SchemaPolicy::Ignore,
        },
        allow_lossy: columns(&args.into.allow_lossy).into_iter().collect(),
        finer_times: FinerTimes::Refused,
        visible: args.into.publish.visible(),
        keep_stage: Toggle::Off,
        verify: match args.into.verify {
            Proof::None => Verify::None,
            Proof::Count => Verify::Count,
            Proof::Checksum => Verify::Checksum,
            Proof::Rows => Verify::Rows,
        },
        pre_sql: args.into.pre_sql.iter().map(|sql| text_of(sql)).collect::<Result<_>>()?,
        post_sql: args.into.post_sql.iter().map(|sql| text_of(sql)).collect::<Result<_>>()?,
        errors: rejects::policy(&args.errors)?,
        limits: limits::limits(&args.limits, &args.retries)?,
    };
    let resume = if args.into.resume { Resume::Wanted } else { Resume::Unwanted };
    Ok(CopySettings { job, talk: talk(&args.talk), resume })
}

/// Whether a target is stdout, so that nothing else may be printed there.
pub(super) fn to_stdout(job: &Job) -> bool {
    job.targets().any(|target| target.connector == FILE && target.options["url"] == "-")
}

pub(super) fn talk(args: &TalkArgs) -> Talk {
    let level = match args {
        TalkArgs { quiet: true, .. } => Level::Quiet,
        TalkArgs { verbose: true, .. } => Level::Verbose,
        _ => Level::Normal,
    };
    let progress = if level == Level::Quiet { Progress::None } else { args.progress };
    Talk { progress, output: args.output, level }
}

fn transform(args: &TransformArgs) -> Result<Transform> {
    let mut select = Vec::new();
    let mut drop = Vec::new();
    for name in names(&args.select) {
        match name.strip_prefix('-') {
            Some(left_out) => drop.push(unquoted(left_out)),
            None => select.push(unquoted(&name)),
        }
    }
    drop.extend(columns(&args.drop));
    Ok(Transform {
        steps: Vec::new(),
        zone: args.clock.clone(),
        sql: args.sql.as_deref().map(text_of).transpose()?,
        trim: None,
        filter: args.filter.clone(),
        set: pairs(&args.set, '=', "--set col=EXPR")?,
        cast: casts(&args.cast)?,
        rename: pairs(&args.rename, '=', "--rename old=new")?
            .into_iter()
            .map(|(old, new)| (old, unquoted(&new)))
            .collect(),
        select,
        drop,
        limit: args.limit,
        pushdown: if args.no_pushdown { Toggle::Off } else { Toggle::On },
        ..Transform::default()
    })
}

/// Column names and types of `--cast`.
pub(super) fn casts(typed: &[String]) -> Result<Vec<(String, String)>> {
    pairs(typed, ':', "--cast col:type")
}

/// SQL as it was typed, or the text of the file behind `@`.
pub(super) fn text_of(typed: &str) -> Result<String> {
    let Some(path) = typed.strip_prefix('@') else { return Ok(typed.to_owned()) };
    fs::read_to_string(path).map_err(|error| {
        usage("the file with the SQL cannot be read").at("file", path).with_source(error).with_hint("check '@FILE'")
    })
}

/// Splits each at its first `mark` outside double quotes; the name before it loses its quotes.
fn pairs(typed: &[String], mark: char, form: &str) -> Result<Vec<(String, String)>> {
    let split = |text: &String| {
        let (name, value) = split_unquoted(text, mark).filter(|(name, value)| {
            // An empty name or value was surely not meant.
            !name.trim().is_empty() && !value.trim().is_empty()
        })?;
        Some((unquoted(name), value.trim().to_owned()))
    };
    typed.iter().map(|text| split(text).ok_or_else(|| usage(format!("'{text}' is not of the form {form}")))).collect()
}

fn split_unquoted(text: &str, mark: char) -> Option<(&str, &str)> {
    let mut quoted = false;
    let at = text.char_indices().find_map(|(at, c)| {
        quoted ^= c == '"';
        (c == mark && !quoted).then_some(at)
    })?;
    Some((&text[..at], &text[at + mark.len_utf8()..]))
}

/// The names in comma-parted lists.
pub(super) fn columns(lists: &[String]) -> Vec<String> {
    names(lists).iter().map(|name| unquoted(name)).collect()
}

/// The names in comma-parted lists, still in their quotes.
pub(super) fn names(lists: &[String]) -> Vec<String> {
    let mut names = Vec::new();
    for list in lists {
        let mut rest = list.as_str();
        while let Some((name, after)) = split_unquoted(rest, ',') {
            names.push(name.trim().to_owned());
            rest = after;
        }
        names.push(rest.trim().to_owned());
    }
    names.retain(|name| !name.is_empty());
    names
}

/// A name without its double quotes.
pub(super) fn unquoted(name: &str) -> String {
    let name = name.trim();
    match name.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::{Cli, Command};
    use super::*;
    use crate::job::Limits;
    use crate::sink::{Duplicates, Merge, WriteMode};

    fn settings(words: &[&str]) -> Result<CopySettings> {
        let words = ["etl", "copy"].iter().chain(words);
        match Cli::try_parse_from(words).unwrap().command {
            Command::Copy(args) => copy(&args),
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn the_short_form_is_a_whole_job() {
        let CopySettings { job, talk, resume } = settings(&["orders.csv", "shop.db"]).unwrap();
        assert_eq!((job.source.connector.as_str(), job.target.connector.as_str()), ("file", "sqlite"));
        assert_eq!(job.target.object, crate::endpoint::ObjectRef::Table("orders".to_owned()));
        assert_eq!((&job.mode, job.schema), (&WriteMode::Create, SchemaPolicy::Strict));
        assert_eq!(job.transform, Transform::default());
        assert_eq!(job.limits, Limits::default());
        assert_eq!(talk, Talk { progress: Progress::Auto, output: Output::Text, level: Level::Normal });
        assert!(!to_stdout(&job));
        assert_eq!(resume, Resume::Unwanted);
    }

    #[test]
    fn every_target_is_a_place_with_the_options_of_its_kind() {
        let words = ["shop.db#orders", "a.csv", "--also", "b.parquet", "--also", "other.db", "--delim", "tab"];
        let job = settings(&words).unwrap().job;
        let connectors: Vec<&str> = job.targets().map(|place| place.connector.as_str()).collect();
        assert_eq!(connectors, ["file", "file", "sqlite"]);
        assert_eq!(job.also[1].object, crate::endpoint::ObjectRef::Table("orders".to_owned()));
        let delimiters = job.targets().map(|place| place.options.get("delimiter").is_some());
        assert_eq!(delimiters.collect::<Vec<_>>(), [true, false, false]);
        let files = ["shop.db#orders", "other.db", "--also", "out/", "--to-format", "csv"];
        assert_eq!(settings(&files).unwrap().job.also[0].options["format"], "csv");
        assert!(to_stdout(&settings(&["a.csv", "b.csv", "--also", "-"]).unwrap().job));
    }

    #[test]
    fn lists_and_pairs_keep_quoted_names_whole() {
        let words = ["a.csv", "b.csv", "--select", r#"a,"b,c",-"d""#, "--drop", "e, f"];
        let more = ["--set", r#""x=y"=a=1"#, "--rename", r#"a="B b""#, "--cast", "n:decimal(10,2)"];
        let lossy = ["--allow-lossy", r#"b,"a,b""#, "--allow-lossy", "b"];
        let job = settings(&[&words[..], &lossy].concat()).unwrap().job;
        assert_eq!(job.allow_lossy.iter().collect::<Vec<_>>(), ["a,b", "b"]);
        let job = settings(&[&words[..], &more[..]].concat()).unwrap().job;
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(job.transform.select, ["a", "b,c"]);
        assert_eq!(job.transform.drop, ["d", "e", "f"]);
        assert_eq!(job.transform.set, [pair("x=y", "a=1")]);
        assert_eq!(job.transform.rename, [pair("a", "B b")]);
        assert_eq!(job.transform.cast, [pair("n", "decimal(10,2)")]);
    }

    #[test]
    fn a_clock_is_a_zone_of_the_transform() {
        for zone in ["+08:00", "-03:00", "Asia/Shanghai"] {
            let job = settings(&["a.csv", "b.db#t", "--clock", zone]).unwrap().job;
            assert_eq!(job.transform.zone.as_deref(), Some(zone));
        }
    }

    #[test]
    fn a_key_is_a_list_and_duplicates_have_an_order() {
        let words = ["a.csv", "b.db#t", "--mode", "upsert", "--key", r#"a,"b,c""#];
        let merge = |words: &[&str]| settings(words).unwrap().job.mode.merge().cloned().unwrap();
        let plain = merge(&words);
        assert_eq!(
            (plain.key.as_slice(), &plain.duplicates),
            (&["a", "b,c"].map(str::to_owned)[..], &Duplicates::Refuse)
        );
        let last = merge(&[&words[..], &["--on-duplicate", "last", "--order-by", "at"]].concat());
        assert_eq!(last.duplicates, Duplicates::Last("at".to_owned()));
        let arrived = merge(&[&words[..], &["--on-duplicate", "last-arrived"]].concat());
        assert_eq!(arrived.duplicates, Duplicates::LastArrived);
        let sync = settings(&["a.csv", "b.db#t", "--mode", "sync", "--allow-empty"]).unwrap().job;
        assert_eq!((sync.mode, sync.empty_sync), (WriteMode::Sync(Merge::default()), Toggle::On));
    }

    #[test]
    fn mistakes_are_usage_errors_before_any_work() {
        let mistakes: [(&[&str], &str); 17] = [
            (&["shop.db", "b.csv"], "sqlite:shop.db names no table"),
            (&["a.csv", "out-*.csv"], "the target out-*.csv is a pattern"),
            (&["a.csv", "b.csv", "--set", "x"], "'x' is not of the form --set col=EXPR"),
            (&["a.csv", "b.csv", "--query", "select 1"], "files answer no --query"),
            (&["a.csv", "b.csv", "--into", "t"], "--into names a table, and files have none"),
            (&["shop.db#t", "b.csv", "--table", "u"], "both '#table' and --table name a table"),
            (&["shop.db#t", "b.csv", "--query", "select 1"], "both '#table' and --query name what to read"),
            (&["shop.db", "other.db", "--query", "select 1"], "the target names no table, and the source has no name"),
            (&["shop.db#t", "b.csv", "--all-strings"], "--all-strings is for text files, and the source is none"),
            (&["a.csv", "shop.db", "--to-format", "csv"], "--to-format is for files, and the target is none"),
            (&["a.csv", "b.db#t", "--cursor", "id"], "--cursor is for --mode incremental"),
            (&["a.csv", "b.db#t", "--mode", "incremental"], "an incremental copy needs the column"),
            (
                &["a.csv", "b.db#t", "--mode", "append", "--on-duplicate", "last", "--order-by", "a"],
                "--on-duplicate is for rows that are merged",
            ),
            (
                &["a.csv", "b.db#t", "--mode", "upsert", "--on-duplicate", "last-arrived", "--order-by", "a"],
                "--order-by is for --on-duplicate first and last",
            ),
            (&["a.csv", "b.db#t", "--key", "id"], "--key is for rows that are merged by key"),
            (&["a.csv", "b.db#t", "--mode", "upsert", "--allow-empty"], "--allow-empty is for --mode sync"),
            (&["shop.db#t", "b.parquet", "--null", "NA"], "--null is for CSV files, and there is none here"),
        ];
        for (words, message) in mistakes {
            let error = settings(words).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.message().starts_with(message), "{words:?}: {error}");
        }
    }
}
