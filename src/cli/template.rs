//! `etl template`: an example of a job file, to be filled with one's own places.

use clap::Args;
use serde_json::{Value as Json, json};

use super::job_file::Compat;
use super::printer;
use crate::connector::{Connector, examples};
use crate::connectors::{self, CONNECTORS};
use crate::endpoint::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::job::dialect::DIALECTS;
use crate::job::dialect::template::Templates;

pub(super) const TEMPLATE_EXAMPLES: &str = "\
Examples:
  etl template postgres file > job.json
  etl template mysqlreader streamwriter
  etl template mysqlreader mysqlwriter --compat flinkx";

#[derive(Debug, Args)]
pub(super) struct TemplateArgs {
    /// What reads: a connector, or a plugin of another program such as mysqlreader
    #[arg(value_name = "READER")]
    pub(super) reader: String,
    /// What writes: a connector, or a plugin of the same program
    #[arg(value_name = "WRITER")]
    pub(super) writer: String,
    /// Whose plugins they are: datax, go-etl, flinkx; none means connectors [default: the first that has both]
    #[arg(long, value_enum, value_name = "PROGRAM", hide_possible_values = true)]
    pub(super) compat: Option<Compat>,
}

/// The programs whose job files may be meant, those first whose names win.
const PROGRAMS: [Compat; 3] = [Compat::Datax, Compat::GoEtl, Compat::Flinkx];

pub(super) fn run(args: &TemplateArgs) -> Result<()> {
    printer::json(&job(args)?)
}

fn job(args: &TemplateArgs) -> Result<Json> {
    let (reader, writer) = (args.reader.as_str(), args.writer.as_str());
    let given = args.compat;
    let is_meant = move |compat: Compat| given.is_none_or(|given| given == compat);
    let programs = || PROGRAMS.into_iter().filter(move |compat| is_meant(*compat)).filter_map(templates);
    if let Some(job) = programs().find_map(|(_, templates)| templates.job(reader, writer)) {
        return Ok(job);
    }
    let mut known: Vec<String> = programs().map(|(title, templates)| names(title, templates)).collect();
    if is_meant(Compat::None) {
        if let (Ok(source), Ok(target)) = (connectors::find(reader), connectors::find(writer)) {
            return ours(source, target);
        }
        let connectors: Vec<&str> = CONNECTORS.iter().map(|connector| connector.name()).collect();
        known.insert(0, format!("connectors: {}", connectors.join(", ")));
    }
    let message = format!("there is no example from {reader:?} to {writer:?}");
    Err(Error::new(ErrorKind::Usage, message).with_hint(known.join("\n")))
}

/// The title of a program, and its examples.
fn templates(compat: Compat) -> Option<(&'static str, &'static Templates)> {
    let dialect = DIALECTS.iter().find(|dialect| compat.name() == Some(dialect.name))?;
    Some((dialect.title, dialect.templates?))
}

/// The plugins of one program, in one line.
fn names(title: &str, templates: &Templates) -> String {
    let all = templates.readers.iter().chain(templates.writers).flat_map(|example| example.names).copied();
    format!("{title}: {}", all.collect::<Vec<_>>().join(", "))
}

/// A file of ours, with the places that stand in the pages of both.
fn ours(reader: &dyn Connector, writer: &dyn Connector) -> Result<Json> {
    let missing = |connector: &dyn Connector| {
        let message = format!("the page of {} has no example of a job file", connector.name());
        Error::new(ErrorKind::Unsupported, message)
    };
    let source = examples(reader.page()).into_iter().next().ok_or_else(|| missing(reader))?;
    let target = examples(writer.page()).pop().ok_or_else(|| missing(writer))?;
    refuse_read_only(writer, &target)?;
    Ok(json!({
        "transfers": [{"source": source, "target": target, "mode": "append"}],
        "settings": {"limits": {"jobs": 4, "retries": 3}, "errors": {"onError": "fail"}, "verify": "count"},
    }))
}

/// Asks `writer` whether it writes to `place`, whose variables need not be set for that.
fn refuse_read_only(writer: &dyn Connector, place: &Json) -> Result<()> {
    let mut options = place.as_object().cloned().unwrap_or_default();
    options.remove("connector");
    let table = options.remove("table");
    let object =
        table.as_ref().and_then(Json::as_str).map_or(ObjectRef::Whole, |name| ObjectRef::Table(name.to_owned()));
    for value in options.values_mut() {
        if let Json::String(text) = value {
            *text = text.replace(['$', '{', '}'], "");
        }
    }
    writer.endpoint(&Json::Object(options))?.sink(&object).map(drop)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::args::{Cli, Command};
    use super::super::job_file::{JobFileArgs, WrongOptions, of_text};
    use super::*;
    use crate::job::Job;

    fn made(words: &[&str]) -> Result<Json> {
        match Cli::try_parse_from(["etl", "template"].iter().chain(words)).unwrap().command {
            Command::Template(args) => job(&args),
            other => unreachable!("{other:?}"),
        }
    }

    /// The jobs that `etl run` makes of `file`, whose variables have no values here; a key without a meaning is an error.
    fn loaded(file: &Json) -> Vec<Job> {
        let args = JobFileArgs { job: "job.json".to_owned(), strict: true, ..JobFileArgs::default() };
        let loaded = of_text(&file.to_string(), &args, WrongOptions::Left, |_| Ok(())).map_err(Error::from).unwrap();
        assert_eq!(loaded.notes, Vec::<String>::new());
        loaded.translation.jobs
    }

    #[test]
    fn every_pair_of_connectors_is_a_job() {
        for reader in CONNECTORS {
            for writer in CONNECTORS {
                let (reader, writer) = (*reader, *writer);
                let file = made(&[reader.name(), writer.name()]);
                if writer.name() == "connectorx" {
                    assert_eq!(file.unwrap_err().kind(), ErrorKind::Unsupported);
                    continue;
                }
                let jobs = loaded(&file.unwrap());
                assert_eq!((&*jobs[0].source.connector, &*jobs[0].target.connector), (reader.name(), writer.name()));
                for (place, connector) in [(&jobs[0].source, reader), (&jobs[0].target, writer)] {
                    let options = place.options.as_object().unwrap();
                    let known = |key: &String| connector.options().iter().any(|option| option.name == key);
                    assert_eq!(options.keys().find(|key| !known(key)), None, "{}", connector.name());
                }
            }
        }
    }

    #[test]
    fn plugins_of_another_program_give_a_job_of_that_program() {
        let file = made(&["mysqlreader", "TxtFileWriter"]).unwrap();
        let content = &file["job"]["content"][0];
        assert_eq!(content["reader"]["name"], "mysqlreader");
        assert_eq!(content["reader"]["parameter"]["connection"][0]["table"], json!(["orders"]));
        assert_eq!(content["writer"]["parameter"]["writeMode"], "truncate");
        assert_eq!(loaded(&file).len(), 1);
        assert_eq!(made(&["mysqlreader", "txtfilewriter", "--compat", "datax"]).unwrap(), file);
        // Text of FlinkX, which has it behind its plugins for FTP.
        let file = made(&["ftpreader", "mysqlwriter"]).unwrap();
        let jobs = loaded(&file);
        assert_eq!((&*jobs[0].source.connector, &*jobs[0].target.connector), ("file", "mysql"));
        assert_eq!(jobs[0].source.options["url"], "/data/in");
        let file = made(&["postgresqlreader", "FtpWriter"]).unwrap();
        assert_eq!(loaded(&file)[0].target.options["prefix"], "orders");
    }

    #[test]
    fn what_is_known_is_named() {
        let error = made(&["nosuchreader", "mysqlwriter"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        let hint = error.hint().unwrap();
        for name in ["file", "stream", "txtfilereader", "mysqlwriter"] {
            assert!(hint.contains(name), "{hint}");
        }
        let of_one = made(&["file", "stream", "--compat", "datax"]).unwrap_err();
        assert!(of_one.hint().unwrap().starts_with("DataX: streamreader, "), "{:?}", of_one.hint());
    }
}
