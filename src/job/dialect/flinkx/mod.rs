//! Job files of `FlinkX`, and of `ChunJun`, as it is called since: one reader, one writer, perhaps a SELECT between them.
//!
//! What its pages promise is done, also where its programs forget it; where they lose, double or change rows, that is put right.

mod columns;
mod lacks;
mod plugins;
mod rdbms;
mod recognition;
mod settings;
mod stream;
mod text;

#[cfg(test)]
mod tests;

use std::time::Duration;

use self::plugins::{Plugin, Side};
use self::settings::{Restore, Settings};
use super::lacks::note;
use super::product::options::Times;
use super::product::{IdleParameters, Product};
use super::target::Target;
use super::{Dialect, Translation, VariablesIn, template};
use crate::error::{Error, ErrorKind, Result};
use crate::job::tree::{Node, Tree};
use crate::job::{FinerTimes, Incremental, Job, Limits, Place, SourceColumn, Toggle};
use crate::shape::Cut;
use crate::sink::WriteMode;

pub(super) use self::lacks::LACKS;

/// Job files of `FlinkX`.
pub(super) const FLINKX: Dialect = Dialect {
    name: "flinkx",
    title: "FlinkX",
    recognizes: recognition::recognizes,
    variables: VariablesIn::Given,
    translate,
    templates: Some(&template::FLINKX),
};

/// What is read.
#[derive(Debug)]
struct Source {
    place: Place,
    /// What is read as one with it.
    union: Vec<Place>,
    /// The columns that are taken; empty for all as they are.
    columns: Vec<SourceColumn>,
    /// How many there are, where the job says it.
    width: Option<usize>,
    incremental: Option<Incremental>,
    again_after: Option<Duration>,
    /// How long its server may take until the first rows come.
    answer_milliseconds: Option<u64>,
    cut: Cut,
}

impl Source {
    /// All of `place`, whose `width` may be known.
    fn plain(place: Place, width: Option<usize>) -> Self {
        let (union, columns, cut) = (Vec::new(), Vec::new(), Cut::Fastest);
        Self { place, union, columns, width, incremental: None, again_after: None, answer_milliseconds: None, cut }
    }
}

/// What is read of the job before its reader and writer, and what is told of them.
struct Context<'a> {
    settings: &'a Settings<'a>,
    /// How times of MySQL are read for the writer.
    times: Times,
    notes: Vec<String>,
    /// Keys that do nothing here.
    idle: Vec<String>,
    /// The same of the parameters of all URLs.
    parameters: IdleParameters,
}

impl Context<'_> {
    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Notes the keys of `of` that `node` has and that do nothing here.
    fn idle(&mut self, of: &str, node: &Node<'_>) {
        self.idle.extend(LACKS.given(of, node));
    }
}

/// The value of `key`, where it is not blank: empty texts stand in many of these files for what is not set.
fn present<'a>(node: &Node<'a>, key: &str) -> Option<Node<'a>> {
    node.get(key).filter(|value| !value.text().is_ok_and(|text| text.trim().is_empty()))
}

/// The text of `key`, where it is not blank.
fn text_of(node: &Node<'_>, key: &str) -> Result<Option<String>> {
    present(node, key).map(|value| value.text()).transpose()
}

/// Whether `key` is true.
fn flag_of(node: &Node<'_>, key: &str) -> Result<bool> {
    present(node, key).map_or(Ok(false), |value| value.flag())
}

/// The whole number of `key`.
fn integer_of(node: &Node<'_>, key: &str) -> Result<Option<i64>> {
    present(node, key).map(|value| value.integer()).transpose()
}

fn unsupported(node: &Node<'_>, message: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, node.error(message).to_string()).with_hint(hint)
}

fn translate(tree: &Tree) -> Result<Translation> {
    let job = tree.root().need("job")?;
    let contents = job.need("content")?.one_or_more();
    let content = contents.first().ok_or_else(|| Error::new(ErrorKind::Usage, "job.content is empty"))?;
    let (reader, writer) = (Side::reader(&content.need("reader")?)?, Side::writer(&content.need("writer")?)?);
    let mut settings = Settings::read(job.get("setting").as_ref(), [&reader.parameter, &writer.parameter])?;
    let times = match writer.plugin {
        Plugin::Tables(product, _) if product != Product::Mysql => Times::OfDay,
        _ => Times::Durations,
    };
    if matches!(settings.restore, Restore::On { .. }) {
        refuse_restore(&reader, &writer)?;
    }
    let notes = std::mem::take(&mut settings.notes);
    let parameters = IdleParameters::default();
    let mut context = Context { settings: &settings, times, notes, idle: Vec::new(), parameters };
    context.idle(lacks::JOB, &job);
    context.idle(lacks::CONTENT, content);
    if tree.lenient {
        context.note("this is no strict JSON: comments, quotes and commas are taken as FlinkX takes them");
    }
    if contents.len() > 1 {
        contents.iter().skip(1).for_each(|other| _ = other.json());
        context.note(format!("only job.content.0 is run, as FlinkX does; {} others are not", contents.len() - 1));
    }
    let source = reader.source(&mut context)?;
    let target = writer.target(&mut context)?;
    let mut translated = joined(&settings, source, target, &mut context.notes);
    if matches!(writer.plugin, Plugin::Tables(..)) {
        translated.job.finer_times = FinerTimes::Cut;
    }
    between(content, &reader, &mut translated, &mut context)?;
    refuse_part_of_rows(content, &translated.job)?;
    let Context { mut notes, idle, parameters, .. } = context;
    notes.extend(note(idle).into_iter().chain(parameters.notes()));
    let Joined { job, again_after, widths } = translated;
    if let [Some(come), Some(go)] = widths
        && come != go
        && job.transform.sql.is_none()
    {
        let message = format!("the reader has {come} columns, and the writer {go}");
        return Err(content.error(message).with_hint("columns are paired by their place"));
    }
    let log = settings.log;
    Ok(Translation { jobs: vec![job], notes, again_after, log, ..Translation::default() })
}

/// Refuses a reader that cannot be asked for the rest, and a writer that keeps nothing.
fn refuse_restore(reader: &Side<'_>, writer: &Side<'_>) -> Result<()> {
    let (side, why) = match (reader.plugin, writer.plugin) {
        (Plugin::Tables(..), Plugin::Tables(..) | Plugin::Text) => return Ok(()),
        (Plugin::Tables(..), Plugin::Stream) => (writer, "keeps nothing of a run that was interrupted"),
        _ => (reader, "cannot be asked for the rows that are missing"),
    };
    Err(side.node.error(format!("{} {why}: set restore.isRestore to false", side.name)))
}

/// Refuses what needs all rows, where only those come that are new.
fn refuse_part_of_rows(content: &Node<'_>, job: &Job) -> Result<()> {
    let why = match (&job.incremental, &job.mode, &job.transform.sql) {
        (Some(_), WriteMode::Replace, _) => "overwrite removes what earlier runs brought",
        (Some(_), _, Some(_)) => "a transformSql is asked of all rows together",
        _ => return Ok(()),
    };
    let error = content.error(format!("{why}, and an increColumn brings only rows that are new"));
    Err(error.with_hint("leave one of them out"))
}

/// Reader and writer as one job.
struct Joined {
    job: Job,
    again_after: Option<Duration>,
    /// How many columns come, and how many are written, where the job says it.
    widths: [Option<usize>; 2],
}

fn joined(settings: &Settings<'_>, source: Source, target: Target, notes: &mut Vec<String>) -> Joined {
    let widths = [source.width, Some(target.names.len()).filter(|width| *width > 0)];
    let mut job = Job::new(source.place, target.place);
    job.union = source.union;
    job.cut = source.cut;
    if matches!(settings.restore, Restore::On { .. }) {
        job.keep_stage = Toggle::On;
    }
    job.mode = target.mode;
    job.schema = target.schema;
    job.incremental = source.incremental;
    job.transform.columns = source.columns;
    job.transform.names = target.names;
    job.limits = Limits { answer_milliseconds: source.answer_milliseconds, ..settings.limits.clone() };
    job.errors.clone_from(&settings.errors);
    job.pre_sql = target.pre_sql;
    job.post_sql = target.post_sql;
    if job.incremental.is_some() && !job.pre_sql.is_empty() {
        notes.push("a run brings only rows that are new: what preSql deletes does not come again".to_owned());
    }
    if source.again_after.is_some() && !job.post_sql.is_empty() {
        // It stands for the end of a job that has none.
        job.post_sql.clear();
        notes.push("a polling job has no end: its postSql is never run, as with FlinkX".to_owned());
    }
    Joined { job, again_after: source.again_after, widths }
}

/// What `ChunJun` does between reader and writer.
fn between(content: &Node<'_>, reader: &Side<'_>, joined: &mut Joined, context: &mut Context<'_>) -> Result<()> {
    for key in ["nameMapping", "restoration", "cdc"] {
        let named = content.get(key).filter(|node| node.entries().is_ok_and(|entries| !entries.is_empty()));
        if let Some(node) = named {
            let hint = "name the columns of the writer by their place, and its table";
            return Err(unsupported(&node, format!("{key} is not here"), hint));
        }
    }
    let from = content.at("reader.table.tableName");
    let Some(transformer) = content.get("transformer") else { return Ok(()) };
    let Some(sql) = text_of(&transformer, "transformSql")? else { return Ok(()) };
    let from = from.map(|name| name.text()).transpose()?;
    let from = from.ok_or_else(|| reader.node.error("a transformSql needs a table.tableName of the reader"))?;
    joined.job.transform.sql = Some(sql.trim().trim_end_matches(';').trim_end().to_owned());
    joined.job.transform.table = Some(from);
    context.note("transformSql runs as SQL of DataFusion, over the rows of this run together");
    Ok(())
}

impl Side<'_> {
    fn source(&self, context: &mut Context<'_>) -> Result<Source> {
        match self.plugin {
            Plugin::Stream => stream::source(&self.parameter, context),
            Plugin::Text => text::source(&self.parameter, context),
            Plugin::Tables(product, shards) => rdbms::reader::source((product, shards), &self.parameter, context),
        }
    }

    fn target(&self, context: &mut Context<'_>) -> Result<Target> {
        match self.plugin {
            Plugin::Stream => stream::target(&self.parameter, context),
            Plugin::Text => text::target(&self.parameter, context),
            Plugin::Tables(product, _) => rdbms::writer::target(product, self, context),
        }
    }
}
