//! Job files: where they are read from, whose they are, and what they ask for.

use clap::{Args, ValueEnum};
use serde_json::Value as Json;
use tokio::io::AsyncReadExt as _;

use super::place::Machine;
use super::settings::usage;
use super::{amount, fetch, printer};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::job::dialect::{DIALECTS, Dialect, Translation, VariablesIn};
use crate::job::locator::mask;
use crate::job::native::{self, Native, Places as _};
use crate::job::syntax::{self, Parsed, Syntax};
use crate::job::tree::Tree;
use crate::job::vars::{Given, Variables};
use crate::job::{Job, overrides};

/// Which file, and how it is read.
#[derive(Debug, Default, Args)]
pub(super) struct JobFileArgs {
    /// Job file: a path, '-' for stdin, or an http(s) URL; JSON, YAML or TOML
    #[arg(value_name = "JOB")]
    pub(super) job: String,
    /// Variables of the file: "-Dk=v -Dk2=v2"; those of the environment count, too
    #[arg(short, long, value_name = "DEFINITIONS", allow_hyphen_values = true)]
    pub(super) params: Vec<String>,
    /// Whose job file it is: datax, go-etl, flinkx; none is our own [default: by what stands in it]
    #[arg(long, value_enum, value_name = "PROGRAM", hide_possible_values = true)]
    pub(super) compat: Option<Compat>,
    /// Set a value of the file by its dotted path; may be repeated
    #[arg(long, value_name = "PATH=VALUE")]
    pub(super) set: Vec<String>,
    /// Refuse keys that mean nothing, instead of naming them
    #[arg(long)]
    pub(super) strict: bool,
}

/// Whose job file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Compat {
    /// `DataX`
    Datax,
    /// go-etl
    GoEtl,
    /// FlinkX, ChunJun
    Flinkx,
    /// Our own
    None,
}

impl Compat {
    /// The name of its dialect; none for our own files.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Datax => Some("datax"),
            Self::GoEtl => Some("go-etl"),
            Self::Flinkx => Some("flinkx"),
            Self::None => None,
        }
    }
}

/// What a job file asks for.
#[derive(Debug)]
pub(super) struct Loaded {
    /// Whose file it is; none where it is our own.
    pub(super) dialect: Option<&'static Dialect>,
    pub(super) translation: Translation,
    /// What the user should know, one line each, the translation's notes apart.
    pub(super) notes: Vec<String>,
    pub(super) tree: Tree,
    pub(super) after_failure: AfterFailure,
}

/// What becomes of options that the connectors of their places do not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WrongOptions {
    /// The first of them is an error: nothing of the file can be run.
    Refused,
    /// They stay as they are.
    Left,
}

/// What becomes of the other transfers when one fails.
#[derive(Debug)]
pub(super) enum AfterFailure {
    /// Those behind it are not run.
    Stop,
    /// They are run.
    GoOn {
        /// What each transfer is called in the report.
        names: Vec<String>,
    },
}

impl Loaded {
    /// The name of its dialect; none where it is our own.
    pub(super) fn dialect_name(&self) -> Option<&'static str> {
        self.dialect.map(|dialect| dialect.name)
    }
}

/// Why a file cannot be run, and whose it is, where that is known.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: Error,
    /// The name of its dialect.
    pub(super) dialect: Option<&'static str>,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { error, dialect: None }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        refused.error
    }
}

#[derive(Debug, Args)]
pub(super) struct ConvertArgs {
    #[command(flatten)]
    pub(super) file: JobFileArgs,
}

/// `etl convert`: prints a job file as one of our own. What is not done as the other program would do it is told on stderr.
pub(super) async fn convert(args: &ConvertArgs) -> Result<()> {
    let Loaded { mut translation, notes, .. } = load(&args.file, WrongOptions::Left).await?;
    for text in notes.iter().chain(&translation.notes) {
        printer::talk(&format!("note: {text}"));
    }
    if translation.again_after.is_some() || translation.log.is_some() {
        printer::talk("note: a file of ours runs once and writes no log: etl run of this one itself does as it says");
    }
    for name in native::refer_to_secrets(&mut translation.jobs) {
        printer::talk(&format!("note: a secret is left out: {name} has to be set in the environment"));
    }
    print(&translation.jobs)
}

/// Prints `jobs` as a file of ours.
pub(super) fn print(jobs: &[Job]) -> Result<()> {
    native::refuse_secrets(jobs)?;
    printer::json(&native::emit(jobs)?)
}

/// Reads a job file and turns it into jobs.
pub(super) async fn load(args: &JobFileArgs, wrong: WrongOptions) -> Result<Loaded, Refused> {
    // What a handshake needs is much, and seldom wanted.
    let text = Box::pin(read(&args.job)).await?;
    of_text(&text, args, wrong, |_| Ok(()))
}

/// What `text` asks for, where it was read from `args.job`, once `change` is made to its values.
pub(super) fn of_text(
    text: &str,
    args: &JobFileArgs,
    wrong: WrongOptions,
    change: impl Fn(&mut Json) -> Result<()>,
) -> Result<Loaded, Refused> {
    let environment = |name: &str| std::env::var(name).ok();
    let Given { variables, others } = Variables::of(&args.params.join(" "), &environment);
    let refused = |error: Error, dialect: Option<&Dialect>| Refused {
        error: error.at("job file", shown(&args.job)),
        dialect: dialect.map(|dialect| dialect.name),
    };
    let (mut parsed, dialect) = parsed(text, args, &variables).map_err(|error| refused(error, None))?;
    let changed = change(&mut parsed.root);
    let loaded = changed.and_then(|()| settled(parsed, dialect, (args, wrong), (&variables, &others)));
    loaded.map_err(|error| refused(error, dialect))
}

fn settled(
    mut parsed: Parsed,
    dialect: Option<&'static Dialect>,
    (args, wrong): (&JobFileArgs, WrongOptions),
    (variables, others): (&Variables<'_>, &[String]),
) -> Result<Loaded> {
    for typed in &args.set {
        overrides::set(&mut parsed.root, typed).at("option", || "--set")?;
    }
    let tree = parsed.into_tree();
    let mut notes: Vec<String> =
        others.iter().map(|word| format!("'{word}' of --params defines no variable and does nothing here")).collect();
    if let Some(dialect) =
        dialect.filter(|dialect| dialect.variables == VariablesIn::Nothing && !args.params.is_empty())
    {
        notes.push(format!("--params does nothing here: job files of {} have no variables", dialect.title));
    }
    let (translation, unknown, mistake) = if let Some(dialect) = dialect {
        let translation = (dialect.translate)(&tree)?;
        let mistake = mistake(&translation.jobs, &tree);
        (translation, tree.unasked(), mistake)
    } else {
        let Native { jobs, unknown, log, mistake } = native::settle(&tree, &Machine, variables)?;
        (Translation { jobs, log, ..Translation::default() }, unknown, mistake)
    };
    if args.strict && !unknown.is_empty() {
        let named: Vec<String> =
            unknown.iter().map(|path| format!("{}{}", placed(path, &tree), meant(path, &tree))).collect();
        let message = format!("{} without a meaning: {}", amount::counted(named.len() as u64, "key"), named.join(", "));
        return Err(usage(message).with_hint("mend or remove them, or leave --strict out"));
    }
    if let (WrongOptions::Refused, Some(error)) = (wrong, mistake) {
        return Err(error);
    }
    let told = |path: &String| format!("the key {} means nothing here{}", placed(path, &tree), meant(path, &tree));
    notes.extend(unknown.iter().map(told));
    Ok(Loaded { dialect, translation, notes, tree, after_failure: AfterFailure::Stop })
}

/// What the first connector has against the options that a plugin of another program became, with the path of the plugin's parameters,
/// or of the one that is called as the option is.
fn mistake(jobs: &[Job], tree: &Tree) -> Option<Error> {
    let sides = |job| {
        let sources = Job::sources(job).map(|place| (place, "reader"));
        sources.chain(Job::targets(job).map(|place| (place, "writer")))
    };
    let (error, side) =
        jobs.iter().flat_map(sides).find_map(|(place, side)| Some((Machine.check(place).err()?, side)))?;
    let all = format!("job.content.0.{side}.parameter");
    let option = error.frames().iter().find(|frame| frame.what == "option");
    let one = option.map(|option| format!("{all}.{}", option.which)).filter(|path| tree.position(path).is_some());
    Some(tree.locate(error, &one.unwrap_or(all)))
}

fn placed(path: &str, tree: &Tree) -> String {
    tree.position(path).map_or_else(|| path.to_owned(), |position| format!("{path} ({position})"))
}

/// What a key that means nothing was perhaps to be.
fn meant(path: &str, tree: &Tree) -> String {
    tree.meant(path).map_or_else(String::new, |near| format!("; perhaps '{near}' is meant"))
}

/// The values of a file, and whose it is. Only when that is known is it known which variables stand in it, and with them a text that
/// was no JSON may be JSON.
fn parsed(text: &str, args: &JobFileArgs, variables: &Variables<'_>) -> Result<(Parsed, Option<&'static Dialect>)> {
    let syntax = Syntax::of(&args.job, text);
    let filled = |place: VariablesIn| match place {
        VariablesIn::Text => syntax::parse(&variables.in_text(text)?, syntax),
        VariablesIn::Given => syntax::parse(&variables.given_in_text(text), syntax),
        VariablesIn::Nothing => syntax::parse(text, syntax),
    };
    if let Some(compat) = args.compat {
        let Some(name) = compat.name() else { return Ok((syntax::parse(text, syntax)?, None)) };
        let dialect = DIALECTS
            .iter()
            .find(|dialect| dialect.name == name)
            .ok_or_else(|| Error::new(ErrorKind::Unsupported, format!("job files of {name} are not understood yet")))?;
        return Ok((filled(dialect.variables)?, Some(dialect)));
    }
    let owner = |parsed: &Parsed| DIALECTS.iter().find(|dialect| (dialect.recognizes)(&parsed.root));
    let owned = |place: VariablesIn| -> Result<Option<(Parsed, Option<&'static Dialect>)>> {
        let parsed = filled(place)?;
        let dialect = owner(&parsed).filter(|dialect| dialect.variables == place);
        Ok(dialect.map(|dialect| (parsed, Some(dialect))))
    };
    match syntax::parse(text, syntax) {
        Ok(parsed) => match owner(&parsed) {
            Some(dialect) if dialect.variables != VariablesIn::Nothing => {
                Ok((filled(dialect.variables)?, Some(dialect)))
            }
            dialect => Ok((parsed, dialect)),
        },
        Err(error) if text.contains('$') => match owned(VariablesIn::Given) {
            Ok(Some(found)) => Ok(found),
            _ => owned(VariablesIn::Text)?.ok_or(error),
        },
        Err(error) => Err(error),
    }
}

fn is_url(place: &str) -> bool {
    place.starts_with("http://") || place.starts_with("https://")
}

/// Where a job file is, for people: a URL without what may be a secret.
fn shown(place: &str) -> String {
    if is_url(place) { mask(place) } else { place.to_owned() }
}

/// The text of a job file.
pub(super) async fn read(place: &str) -> Result<String> {
    let bytes = if place == "-" {
        let mut bytes = Vec::new();
        tokio::io::stdin().read_to_end(&mut bytes).await.at("job file", || "stdin")?;
        bytes
    } else if is_url(place) {
        fetch::get(place).await.at("job file", || shown(place))?
    } else {
        let path = place.strip_prefix("file://").unwrap_or(place);
        let read = tokio::fs::read(path).await;
        // There is no run yet that could have failed.
        read.map_err(|error| Error::from(error).as_kind(ErrorKind::Usage).at("job file", path))?
    };
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        usage(format!("byte {offset} is no UTF-8")).at("job file", shown(place)).with_hint("save the job file as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::super::args::{Cli, Command};
    use super::super::settings;
    use super::*;

    fn loaded(text: &str, args: JobFileArgs) -> Result<Loaded> {
        Ok(of_text(text, &JobFileArgs { job: "job.json".to_owned(), ..args }, WrongOptions::Left, |_| Ok(()))?)
    }

    #[test]
    fn whose_a_file_is_that_cannot_be_run_is_known() {
        let text =
            r#"{"job": {"content": [{"reader": {"name": "txtfilereader"}, "writer": {"name": "txtfilewriter"}}]}}"#;
        let args = || JobFileArgs { job: "job.json".to_owned(), ..JobFileArgs::default() };
        let refused = |text: &str| of_text(text, &args(), WrongOptions::Refused, |_| Ok(())).unwrap_err();
        assert_eq!(refused(text).dialect, Some("datax"));
        assert_eq!(refused("{").dialect, None);
    }

    fn copied(words: &[&str]) -> Job {
        let words = ["etl", "copy"].iter().chain(words);
        match Cli::try_parse_from(words).unwrap().command {
            Command::Copy(args) => settings::copy(&args).unwrap().job,
            other => unreachable!("{other:?}"),
        }
    }

    /// What `--emit-job` prints is read as the job that it was made of.
    #[test]
    fn a_job_that_is_emitted_is_the_same_when_it_is_run() {
        let commands = [
            "a.csv|shop.db",
            "a.csv?delimiter=;|out/|--to-format|parquet|--file-bytes|1MB|--no-header|--null|NA",
            "postgres://ada:${PW}@db/shop#public.orders|mysql://h/d#t|--mode|upsert|--key|a,b",
            "shop.db|-|--query|select '${x}' from t|--to-format|csv",
            "shop.db#t|a.csv|--also|other.db|--also|null:|--verify|checksum|--publish|task",
            "shop.db#t|a.csv|--union|b.csv|--union|postgres://ada:${PW}@db/shop#u",
            "a.csv|b.db#t|--mode|sync|--allow-empty|--on-duplicate|last|--order-by|at",
            "a.csv|b.db#t|--mode|upsert|--on-duplicate|last-arrived",
            "a.db#t|b.db|--mode|incremental|--cursor|id|--lag|10m|--null-cursor|skip",
            "a.csv|b.csv|--sql|select * from src|--where|a > '$b'|--set|c=a+1|--cast|d:int|--rename|e=f|\
             --select|a,c|--drop|g|--limit|5|--no-pushdown",
            "a.csv|b.csv|--on-error|skip|--max-errors|0.5%|--rejects|r.jsonl|--schema|ignore",
            "gen:?rows=10|b.db#t|-j|3|--threads|2|--memory|1GiB|--buffer|/tmp:5MB|--retry|1|--retry-max|\
             5s|--limit-rate|1MB/s|--limit-rate|5 rows/s|--pre-sql|a|--post-sql|b|--allow-lossy|x|\
             --snapshot|7|--allow-mixed-snapshot",
            "a.csv|b.csv|--writers|2|--group|3|--channel-rate|1MB/s|--channel-rate|7 rows/s|--retry-pause|2s|\
             --retry-growth|constant|--retry-within|1m|--on-error|skip|--max-errors|7|--max-errors|0.5%",
        ];
        for words in commands {
            let job = copied(&words.split('|').collect::<Vec<_>>());
            let text = native::emit(std::slice::from_ref(&job)).unwrap().to_string();
            let Loaded { translation, notes, .. } =
                loaded(&text, JobFileArgs { strict: true, ..Default::default() }).unwrap();
            assert_eq!(notes, Vec::<String>::new());
            assert_eq!(json!(translation.jobs), json!([job]), "{words:?}: {text}");
        }
    }

    #[test]
    fn values_are_set_and_keys_without_a_meaning_are_named() {
        let text = "{\"transfers\": [{\"source\": {\"locator\": \"a.csv\"},\n \"target\": {\"locator\": \"b.csv\"}, \"moed\": 1}]}";
        let set = vec!["transfers.0.mode=append".to_owned(), "settings.limits.jobs=3".to_owned()];
        let Loaded { translation, notes, .. } = loaded(text, JobFileArgs { set, ..Default::default() }).unwrap();
        let job = &translation.jobs[0];
        assert_eq!((&job.mode, job.limits.jobs), (&crate::sink::WriteMode::Append, Some(3)));
        assert_eq!(notes, ["the key transfers.0.moed (line 2, column 42) means nothing here"]);
        let error = loaded(text, JobFileArgs { strict: true, ..Default::default() }).unwrap_err();
        assert!(error.message().starts_with("1 key without a meaning: transfers.0.moed (line 2"), "{error}");
    }

    #[test]
    fn what_a_connector_does_not_take_of_a_plugin_is_named_by_its_path() {
        let text = r#"{"job": {"setting": {"speed": {"channel": 1}}, "content": [{
            "reader": {"name": "txtfilereader", "parameter": {"path": ["a"], "column": ["*"], "encoding": "klingon"}},
            "writer": {"name": "streamwriter", "parameter": {}}}]}}"#;
        let mistake = |set: &[&str]| {
            let set = set.iter().map(|set| (*set).to_owned()).collect();
            let args = JobFileArgs { job: "job.json".to_owned(), set, ..Default::default() };
            of_text(text, &args, WrongOptions::Refused, |_| Ok(())).err().map(|refused| refused.error.to_string())
        };
        let path = "job file job.json: key job.content.0.reader.parameter.encoding (line 2, ";
        assert!(mistake(&[]).is_some_and(|told| told.starts_with(path)), "{:?}", mistake(&[]));
        assert_eq!(mistake(&["job.content.0.reader.parameter.encoding=gbk"]), None);
        assert!(loaded(text, JobFileArgs::default()).is_ok());
    }

    #[test]
    fn variables_of_a_file_that_has_none_are_told() {
        let side = |side: &str| format!(r#"{{"name": "csv{side}", "parameter": {{"path": ["$a"]}}}}"#);
        let text =
            format!(r#"{{"job": {{"content": [{{"reader": {}, "writer": {}}}]}}}}"#, side("reader"), side("writer"));
        let params = vec!["-Da=b".to_owned()];
        let Loaded { translation, notes, .. } = loaded(&text, JobFileArgs { params, ..Default::default() }).unwrap();
        assert_eq!(notes, ["--params does nothing here: job files of go-etl have no variables"]);
        assert_eq!(translation.jobs[0].source.options["url"], "$a");
    }

    #[test]
    fn words_that_define_nothing_are_told() {
        let params = vec!["-Xmx1g -Dfile=c".to_owned()];
        let text = "{\"transfers\": [{\"source\": {\"locator\": \"a.csv\"}, \"target\": {\"connector\": \"file\", \"url\": \"${file}.csv\"}}]}";
        let Loaded { translation, notes, .. } = loaded(text, JobFileArgs { params, ..Default::default() }).unwrap();
        assert_eq!(notes, ["'-Xmx1g' of --params defines no variable and does nothing here"]);
        assert_eq!(translation.jobs[0].target.options, json!({"url": "c.csv"}));
    }
}
