//! Job files of `DataX`: one reader, one writer, functions between them.
//!
//! What is matched and what is put right follows what `DataX` does when it runs, not what its pages say.

mod columns;
mod lacks;
mod rdbms;
mod settings;
mod stream;
mod tasks;
mod template;
mod text;

#[cfg(test)]
mod tests;

use serde_json::Value as Json;

use self::settings::Settings;
use super::lacks::note;
use super::product::{IdleParameters, Product};
use super::target::Target;
use super::{Dialect, Translation, VariablesIn, transformers};
use crate::error::{Error, ErrorKind, Result};
use crate::job::tree::{Node, Tree};
use crate::job::{Empty, FinerTimes, Integers, Place, TransformStep};
use crate::object::ObjectRef;

pub(super) use self::lacks::LACKS;

/// Job files of `DataX`.
pub(super) const DATAX: Dialect = Dialect {
    name: "datax",
    title: "DataX",
    recognizes,
    variables: VariablesIn::Text,
    translate,
    templates: Some(&template::TEMPLATES),
};

/// What a writer is, as far as its reader has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// Text is written: dates are moments in the zone of the job.
    Text,
    /// The same in statements of SQL, each of which has all columns.
    Statements,
    /// A table of MySQL.
    Mysql,
    /// A table of another product.
    Table,
    /// Nothing is kept.
    Nowhere,
}

impl Goal {
    fn is_table(self) -> bool {
        matches!(self, Self::Mysql | Self::Table)
    }

    fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Statements)
    }
}

/// One source: where it is, and its columns where they are known.
#[derive(Debug)]
struct Source {
    place: Place,
    /// Which columns of a table are read; empty for all.
    select: Vec<String>,
    /// The query that gives these columns and no others, where `select` chooses of a table.
    query: Option<String>,
    /// How many columns there are, where the job says it.
    width: Option<usize>,
    /// Whether records may be shorter than others.
    ragged: bool,
}

/// What a reader gives: each of its tables or queries, one place of text or one of rows that are made.
#[derive(Debug)]
struct Read {
    sources: Vec<Source>,
    /// How many tasks DataX makes of it, where the job alone says it.
    tasks: Option<u64>,
}

impl Read {
    /// The one `source`.
    fn one(source: Source) -> Self {
        Self { sources: vec![source], tasks: None }
    }
}

/// What is read of the job before its reader and writer.
struct Context<'a> {
    goal: Goal,
    settings: &'a Settings,
    /// Functions between reader and writer.
    steps: &'a [TransformStep],
    /// Whether the reader gives whole tables, whose columns have the names that they have there.
    has_names: bool,
    notes: Vec<String>,
    /// Keys that do nothing here.
    idle: Vec<String>,
    /// The same of the parameters of all URLs.
    parameters: IdleParameters,
}

impl Context<'_> {
    /// Whether a filter compares the column at `place`.
    fn is_filtered(&self, place: usize) -> bool {
        self.steps.iter().any(|step| step.function == "dx_filter" && step.column_index == place)
    }

    /// Notes the keys of `of` that `node` has and that do nothing here.
    fn idle(&mut self, of: &str, node: &Node<'_>) {
        self.idle.extend(LACKS.given(of, node));
    }
}

/// Whether the first reader and writer have names like `DataX`'s own.
fn recognizes(root: &Json) -> bool {
    let content = &root["job"]["content"];
    let first = content.get(0).unwrap_or(content);
    let named = |side: &str| {
        let name = first[side]["name"].as_str().unwrap_or_default().to_lowercase();
        name.len() > side.len() && name.ends_with(side)
    };
    named("reader") || named("writer")
}

fn translate(tree: &Tree) -> Result<Translation> {
    let job = tree.root().need("job")?;
    let contents = job.need("content")?.one_or_more();
    let content = contents.first().ok_or_else(|| Error::new(ErrorKind::Usage, "job.content is empty"))?;
    let mut settings = Settings::read(&tree.root(), &job)?;
    let mut notes = std::mem::take(&mut settings.notes);
    if contents.len() > 1 {
        contents.iter().skip(1).for_each(|other| _ = other.json());
        notes.push(format!("only job.content.0 is run, as DataX does; {} others are not", contents.len() - 1));
    }
    let steps = transformers::steps(content, &mut notes)?;
    let writer = Side::of(&content.need("writer")?)?;
    let goal = writer.goal()?;
    let empty = writer.parameter.get("emptyAsNull").map_or(Ok(true), |node| node.flag())?;
    let empty = (empty && goal.is_table()).then_some(Empty::NullForNumbers);
    let idle = std::mem::take(&mut settings.idle);
    let has_names = false;
    let parameters = IdleParameters::default();
    let mut context = Context { goal, settings: &settings, steps: &steps, has_names, notes, idle, parameters };
    let reader = Side::of(&content.need("reader")?)?;
    let read = reader.read(&mut context)?;
    let targets = writer.targets(&read.sources, &mut context)?;
    let groups = grouped(content, read, targets.len(), &mut context)?;
    let Context { mut notes, idle, parameters, .. } = context;
    notes.extend(note(idle).into_iter().chain(parameters.notes()));
    let jobs = groups.into_iter().zip(targets).map(|(mut sources, target)| {
        sources.iter().try_for_each(|source| target.refuse_width(source.width, content))?;
        let select = sources.first_mut().map(|source| std::mem::take(&mut source.select)).unwrap_or_default();
        let job = target.job(sources.into_iter().map(|source| source.place));
        let mut job = job.ok_or_else(|| content.error("the reader gives nothing"))?;
        job.transform.steps.clone_from(&steps);
        text::know_columns(&mut job);
        job.transform.zone = (goal.is_table() || !steps.is_empty()).then(|| settings.zone.clone());
        job.transform.select = select;
        job.transform.empty = empty;
        // Numbers are bound as texts: MySQL makes 12 of 12.0, and others refuse it.
        job.transform.integers = (goal == Goal::Mysql).then_some(Integers::ByValue);
        if goal.is_table() {
            job.transform.date_formats.clone_from(&settings.extra_formats);
            job.finer_times = FinerTimes::Cut;
        }
        job.limits.clone_from(&settings.limits);
        job.errors.clone_from(&settings.errors);
        Ok(job)
    });
    let jobs = jobs.collect::<Result<_>>()?;
    Ok(Translation { jobs, notes, dry_run: settings.dry_run, shares_errors: true, ..Translation::default() })
}

/// What is written into each of so many tables: into one all that is read, into several each piece at its place.
fn grouped(content: &Node<'_>, read: Read, targets: usize, context: &mut Context<'_>) -> Result<Vec<Vec<Source>>> {
    let Read { mut sources, tasks } = read;
    if targets == 1 {
        if sources.len() > 1 {
            sources.iter_mut().for_each(Source::read_alike);
        }
        return Ok(vec![sources]);
    }
    if targets != sources.len() {
        let message = format!("the writer names {targets} tables, and the reader gives {}", sources.len());
        let hint = "each is written from one that is read: name as many on both sides, or one table to write";
        return Err(content.error(message).with_hint(hint));
    }
    if let Some(tasks) = tasks.filter(|tasks| *tasks != targets as u64) {
        context.notes.push(format!(
            "DataX makes {tasks} tasks of this reader and refuses {targets} tables for them: here each table is copied into the \
             one at its place"
        ));
    }
    Ok(sources.into_iter().map(|source| vec![source]).collect())
}

impl Source {
    /// Gives the columns of its list and no others, since those of several sources are paired by their places.
    fn read_alike(&mut self) {
        if let Some(query) = self.query.take() {
            self.place.object = ObjectRef::Query(query);
            self.select.clear();
        }
    }
}

/// A reader or a writer.
struct Side<'a> {
    name: String,
    node: Node<'a>,
    parameter: Node<'a>,
}

impl<'a> Side<'a> {
    fn of(node: &Node<'a>) -> Result<Self> {
        let name = node.need("name")?.text()?.to_lowercase();
        Ok(Self { name, node: node.need("name")?, parameter: node.need("parameter")? })
    }

    fn goal(&self) -> Result<Goal> {
        match self.name.as_str() {
            "txtfilewriter" if text::is_sql(&self.parameter) => Ok(Goal::Statements),
            "txtfilewriter" => Ok(Goal::Text),
            "streamwriter" if stream::is_silent(&self.parameter)? => Ok(Goal::Nowhere),
            "streamwriter" => Ok(Goal::Text),
            name => match name.strip_suffix("writer").and_then(rdbms::product_of) {
                Some(Product::Mysql) => Ok(Goal::Mysql),
                Some(_) => Ok(Goal::Table),
                None => Err(self.unknown()),
            },
        }
    }

    fn read(&self, context: &mut Context<'_>) -> Result<Read> {
        match self.name.as_str() {
            "streamreader" => Ok(Read::one(stream::source(&self.parameter, context)?)),
            "txtfilereader" => Ok(Read::one(text::source(&self.parameter, context)?)),
            name => match name.strip_suffix("reader").and_then(rdbms::product_of) {
                Some(product) => rdbms::read(product, &self.parameter, context),
                None => Err(self.unknown()),
            },
        }
    }

    fn targets(&self, sources: &[Source], context: &mut Context<'_>) -> Result<Vec<Target>> {
        let ragged = sources.iter().any(|source| source.ragged);
        match self.name.as_str() {
            "txtfilewriter" => Ok(vec![text::target(&self.parameter, ragged, context)?]),
            "streamwriter" => Ok(vec![stream::target(&self.parameter, ragged, context)?]),
            name => match name.strip_suffix("writer").and_then(rdbms::product_of) {
                Some(product) => rdbms::targets(product, &self.parameter, context),
                None => Err(self.unknown()),
            },
        }
    }

    /// A plugin that is not here: what to use in its place.
    fn unknown(&self) -> Error {
        let name = self.name.as_str();
        match LACKS.instead(name) {
            Some(instead) => {
                let error = self.node.error(format!("the plugin {name} is not here"));
                Error::new(ErrorKind::Unsupported, error.to_string()).with_hint(instead)
            }
            None => self.node.error(format!("there is no plugin {name}")).with_hint(
                "there are streamreader, txtfilereader, mysqlreader, postgresqlreader, sqlserverreader, oraclereader, \
                 rdbmsreader, and the writers of the same names",
            ),
        }
    }
}
