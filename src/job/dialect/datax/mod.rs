//! Job files of `DataX`: one reader, one writer, functions between them.
//!
//! What is matched and what is put right follows what `DataX` does when it runs, not what its pages say.

mod columns;
mod rdbms;
mod settings;
mod stream;
mod text;
mod transformers;

#[cfg(test)]
mod tests;

use serde_json::Value as Json;

use self::settings::Settings;
use super::product::Product;
use super::{Dialect, Translation, VariablesIn};
use crate::error::{Error, ErrorKind, Result};
use crate::job::tree::{Node, Tree};
use crate::job::{Job, Place, TransformStep};
use crate::sink::{SchemaPolicy, WriteMode};

/// Job files of `DataX`.
pub(super) const DATAX: Dialect =
    Dialect { name: "datax", title: "DataX", recognizes, variables: VariablesIn::Text, translate };

/// What a writer is, as far as its reader has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// Text is written: dates are moments in the zone of the job.
    Text,
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
}

/// One source: where it is, and its columns where they are known.
#[derive(Debug)]
struct Source {
    place: Place,
    /// Which columns of a table are read; empty for all.
    select: Vec<String>,
    /// How many columns there are, where the job says it.
    width: Option<usize>,
    /// Whether records may be shorter than others.
    ragged: bool,
}

/// One target.
#[derive(Debug)]
struct Target {
    place: Place,
    mode: WriteMode,
    /// The columns that are filled, by their place; empty fills those of the same name.
    names: Vec<String>,
    schema: SchemaPolicy,
    pre_sql: Vec<String>,
    post_sql: Vec<String>,
}

impl Target {
    /// A place that has no columns yet, and no statements.
    fn plain(place: Place, mode: WriteMode) -> Self {
        let schema = SchemaPolicy::Strict;
        Self { place, mode, names: Vec::new(), schema, pre_sql: Vec::new(), post_sql: Vec::new() }
    }
}

/// What is read of the job before its reader and writer.
struct Context<'a> {
    goal: Goal,
    settings: &'a Settings,
    /// Whether the writer takes an empty text for NULL in numbers.
    empty_is_null: bool,
    /// Functions between reader and writer.
    steps: &'a [TransformStep],
    notes: Vec<String>,
    /// Keys that have no meaning here.
    idle: Vec<String>,
}

impl Context<'_> {
    /// Whether a filter compares the column at `place`.
    fn is_filtered(&self, place: usize) -> bool {
        self.steps.iter().any(|step| step.function == "dx_filter" && step.column_index == place)
    }

    /// Notes that `keys` of `node` have no meaning here, where they are given.
    fn idle(&mut self, node: &Node<'_>, keys: &[&str]) {
        let given = keys.iter().filter(|key| node.get(key).map(|value| value.json()).is_some());
        self.idle.extend(given.map(|key| (*key).to_owned()));
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
    let empty_is_null = empty && goal.is_table();
    let mut context = Context { goal, empty_is_null, settings: &settings, steps: &steps, notes, idle: Vec::new() };
    let reader = Side::of(&content.need("reader")?)?;
    let mut sources = reader.sources(&mut context)?;
    let targets = writer.targets(&sources, &mut context)?;
    if targets.len() == 1 && sources.len() > 1 {
        sources = vec![rdbms::united(&reader.parameter, sources)?];
    }
    if targets.len() != sources.len() {
        let message = format!("the writer names {} tables, and the reader gives {}", targets.len(), sources.len());
        let hint = "each is written from one that is read: name as many on both sides, or one table to write";
        return Err(content.error(message).with_hint(hint));
    }
    let Context { mut notes, idle, .. } = context;
    if !idle.is_empty() {
        notes.push(format!("these keys have no meaning here: {}", idle.join(", ")));
    }
    let jobs = sources.into_iter().zip(targets).map(|(source, target)| {
        refuse_widths(content, &source, &target)?;
        let mut job = Job::new(source.place, target.place);
        job.mode = target.mode;
        job.schema = target.schema;
        job.pre_sql = target.pre_sql;
        job.post_sql = target.post_sql;
        job.transform.steps.clone_from(&steps);
        job.transform.select = source.select;
        job.transform.names = target.names;
        job.limits.clone_from(&settings.limits);
        job.errors.clone_from(&settings.errors);
        Ok(job)
    });
    let (jobs, dry_run) = (jobs.collect::<Result<_>>()?, settings.dry_run);
    Ok(Translation { jobs, notes, dry_run, ..Translation::default() })
}

fn refuse_widths(content: &Node<'_>, source: &Source, target: &Target) -> Result<()> {
    match source.width {
        Some(width) if !target.names.is_empty() && width != target.names.len() => {
            let message = format!("the reader has {width} columns, and the writer {}", target.names.len());
            Err(content.error(message).with_hint("columns are paired by their place"))
        }
        _ => Ok(()),
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

    fn sources(&self, context: &mut Context<'_>) -> Result<Vec<Source>> {
        match self.name.as_str() {
            "streamreader" => Ok(vec![stream::source(&self.parameter, context)?]),
            "txtfilereader" => Ok(vec![text::source(&self.parameter, context)?]),
            name => match name.strip_suffix("reader").and_then(rdbms::product_of) {
                Some(product) => rdbms::sources(product, &self.parameter, context),
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
        let (name, known) =
            (self.name.as_str(), columns::PLUGINS.iter().find(|(plugin, _)| self.name.starts_with(plugin)));
        match known {
            Some((_, instead)) => {
                let error = self.node.error(format!("the plugin {name} is not here"));
                Error::new(ErrorKind::Unsupported, error.to_string()).with_hint(*instead)
            }
            None => self.node.error(format!("there is no plugin {name}")).with_hint(
                "there are streamreader, txtfilereader, mysqlreader, postgresqlreader, sqlserverreader, oraclereader, \
                 rdbmsreader, and the writers of the same names",
            ),
        }
    }
}
