//! Job files of `go-etl`: one reader, one writer, as `DataX` has them, but with plugins, connections and settings of its own.
//!
//! What is matched and what is put right follows what `go-etl` does when it runs, not what its pages say. Its keys count in any case of
//! their letters.

mod csv;
mod dsn;
mod duration;
mod lacks;
mod rdbms;
mod settings;
pub mod wizard;
mod xlsx;

#[cfg(test)]
mod tests;

use serde_json::Value as Json;

use self::rdbms::Product;
use self::settings::Settings;
use super::lacks::note;
use super::target::Target;
use super::{Dialect, Translation, VariablesIn, template, transformers};
use crate::error::{Error, ErrorKind, Result};
use crate::job::tree::{Node, Tree};
use crate::job::{Empty, FinerTimes, Place, TransformStep, Trim};

pub(super) use self::lacks::LACKS;

/// Job files of `go-etl`.
pub(super) const GO_ETL: Dialect = Dialect {
    name: "go-etl",
    title: "go-etl",
    recognizes,
    variables: VariablesIn::Nothing,
    translate,
    templates: Some(&template::GO_ETL),
};

/// Plugins that `DataX` does not have, without `reader` and `writer`.
const OWN: [&str; 4] = ["csv", "xlsx", "sqlite3", "postgres"];

/// What a writer is, as far as its reader has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Csv,
    Sheet,
    /// A table of MySQL.
    Mysql,
    /// A table of PostgreSQL.
    Postgres,
    /// A table of another product.
    Table,
}

impl Goal {
    fn is_file(self) -> bool {
        matches!(self, Self::Csv | Self::Sheet)
    }
}

/// What one task of `go-etl` reads: one place, or sheets of one workbook.
#[derive(Debug)]
struct Source {
    places: Vec<Place>,
    /// Which columns of a table are read; empty for all.
    select: Vec<String>,
    /// How many columns there are, where the job says it.
    width: Option<usize>,
}

impl Source {
    /// All columns of `place`.
    fn whole(place: Place) -> Self {
        Self { places: vec![place], select: Vec::new(), width: None }
    }
}

/// What is read of the job before its reader and writer.
struct Context<'a> {
    goal: Goal,
    /// Functions between reader and writer.
    steps: &'a [TransformStep],
    notes: Vec<String>,
    /// Keys that do nothing here.
    idle: Vec<String>,
    /// How the reader takes dates, by the place of their column: they are written so where the writer says nothing else.
    forms: Vec<(usize, String)>,
    trim: Option<Trim>,
    /// The zone in which the driver of MySQL takes and gives times, and that of PostgreSQL takes times without a zone from a table of its
    /// own; none where it is that of go-etl's machine, and between other products.
    zone: Option<String>,
}

impl Context<'_> {
    /// Notes the keys of `of` that `node` has and that do nothing here.
    fn idle(&mut self, of: &str, node: &Node<'_>) {
        self.idle.extend(LACKS.given(of, node));
    }
}

/// Whether a reader or writer is one that `DataX` does not have, or has a connection as it does not have it.
fn recognizes(root: &Json) -> bool {
    let first = member(root, "job").and_then(|job| member(job, "content"));
    let first = first.map(|content| content.get(0).unwrap_or(content));
    let is_own = |side: &str| {
        let plugin = member(first?, side)?;
        let name = member(plugin, "name")?.as_str()?.to_lowercase();
        let named = name.strip_suffix(side)?;
        let connection = member(plugin, "parameter").and_then(|parameter| member(parameter, "connection"));
        let one = connection.filter(|connection| connection.is_object());
        let told = |connection: &Json| {
            member(connection, "url").is_some() || member(connection, "table").is_some_and(Json::is_object)
        };
        Some(OWN.contains(&named) || Product::of(named).is_some() && one.is_some_and(told))
    };
    [is_own("reader"), is_own("writer")].contains(&Some(true))
}

/// The value of `key` in `object`, in any case of its letters.
fn member<'a>(object: &'a Json, key: &str) -> Option<&'a Json> {
    let object = object.as_object()?;
    object.get(key).or_else(|| object.iter().find(|(other, _)| other.eq_ignore_ascii_case(key)).map(|(_, value)| value))
}

fn translate(tree: &Tree) -> Result<Translation> {
    let root = tree.root().in_any_case();
    let job = root.need("job")?;
    let contents = job.need("content")?.one_or_more();
    let content = contents.first().ok_or_else(|| Error::new(ErrorKind::Usage, "job.content is empty"))?;
    let mut settings = Settings::read(&root, &job)?;
    let mut notes = std::mem::take(&mut settings.notes);
    if contents.len() > 1 {
        contents.iter().skip(1).for_each(|other| _ = other.json());
        notes.push(format!("only job.content.0 is run, as go-etl does; {} others are not", contents.len() - 1));
    }
    let steps = transformers::steps(content, &mut notes)?;
    let writer = Side::of(&content.need("writer")?)?;
    let goal = writer.goal()?;
    let idle = std::mem::take(&mut settings.idle);
    let mut context = Context { goal, steps: &steps, notes, idle, forms: Vec::new(), trim: None, zone: None };
    let sources = Side::of(&content.need("reader")?)?.sources(&mut context)?;
    let targets = writer.targets(&mut context)?;
    let Context { mut notes, idle, trim, zone, .. } = context;
    notes.extend(note(idle));
    let jobs = paired(content, sources, targets)?.into_iter().map(|(source, target)| {
        target.refuse_width(source.width, content)?;
        let job = target.job(source.places);
        let mut job = job.ok_or_else(|| content.error("the reader names nothing to read"))?;
        let names = job.transform.names.len();
        // A file without a record has no columns of its own; where nobody knows them it is refused before SQL of the user runs.
        if job.source.options["format"] == "csv" && (goal.is_file() || names > 0) {
            job.source.options["columnsWhenEmpty"] = names.max(1).into();
        }
        job.transform.steps.clone_from(&steps);
        job.transform.trim = trim;
        // Functions have their own.
        job.transform.zone = zone.clone().filter(|_| !goal.is_file() && steps.is_empty());
        // go-etl cannot tell it from NULL; here columns of text alone hold it.
        job.transform.empty = (job.source.options["format"] == "csv").then_some(Empty::NullButForText);
        job.transform.select = source.select;
        if !goal.is_file() {
            job.finer_times = FinerTimes::Cut;
        }
        job.limits.clone_from(&settings.limits);
        job.errors.clone_from(&settings.errors);
        Ok(job)
    });
    Ok(Translation { jobs: jobs.collect::<Result<_>>()?, notes, ..Translation::default() })
}

/// Each source with its target: as many on both sides by their place, or all sources into one target.
fn paired(content: &Node<'_>, sources: Vec<Source>, targets: Vec<Target>) -> Result<Vec<(Source, Target)>> {
    let (come, go) = (sources.len(), targets.len());
    refuse_one_file_twice(content, &targets)?;
    match <[Target; 1]>::try_from(targets) {
        Ok([target]) => Ok(vec![(united(sources), target)]),
        Err(targets) if come == go && come > 0 => Ok(sources.into_iter().zip(targets).collect()),
        Err(_) => {
            let message = format!("the reader gives {come} parts, and the writer names {go} files");
            let hint = "each file is written from one part: name as many on both sides, or one file to write";
            Err(content.error(message).with_hint(hint))
        }
    }
}

/// All rows of `sources`. Text files are read together, other places one behind the other.
fn united(mut sources: Vec<Source>) -> Source {
    if sources.len() == 1 {
        return sources.remove(0);
    }
    let mut places: Vec<Place> = sources.into_iter().flat_map(|source| source.places).collect();
    if places.iter().all(|place| place.options["format"] == "csv") {
        let further: Vec<Json> = places.iter().skip(1).map(|place| place.options["url"].clone()).collect();
        places.truncate(1);
        if let Some(first) = places.first_mut() {
            first.options["paths"] = further.into();
        }
    }
    Source { places, select: Vec::new(), width: None }
}

/// Refuses a file that is written twice: the rows of the first time would be gone.
fn refuse_one_file_twice(content: &Node<'_>, targets: &[Target]) -> Result<()> {
    let mut files: Vec<&Json> = Vec::new();
    for target in targets.iter().filter(|_| targets.len() > 1) {
        let file = &target.place.options["url"];
        if files.contains(&file) {
            return Err(content.error(format!("the writer names the file {file} twice")));
        }
        files.push(file);
    }
    Ok(())
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
            "csvwriter" => Ok(Goal::Csv),
            "xlsxwriter" => Ok(Goal::Sheet),
            name => match name.strip_suffix("writer").and_then(Product::of) {
                Some(Product::Mysql) => Ok(Goal::Mysql),
                Some(Product::Postgres) => Ok(Goal::Postgres),
                Some(_) => Ok(Goal::Table),
                None => Err(self.unknown()),
            },
        }
    }

    fn sources(&self, context: &mut Context<'_>) -> Result<Vec<Source>> {
        context.idle(lacks::SIDES, &self.parameter);
        match self.name.as_str() {
            "csvreader" => csv::sources(&self.parameter, context),
            "xlsxreader" => xlsx::sources(&self.parameter, context),
            name => match name.strip_suffix("reader").and_then(Product::of) {
                Some(product) => rdbms::sources(product, &self.parameter, context),
                None => Err(self.unknown()),
            },
        }
    }

    fn targets(&self, context: &mut Context<'_>) -> Result<Vec<Target>> {
        context.idle(lacks::SIDES, &self.parameter);
        match self.name.as_str() {
            "csvwriter" => csv::targets(&self.parameter, context),
            "xlsxwriter" => xlsx::targets(&self.parameter, context),
            name => match name.strip_suffix("writer").and_then(Product::of) {
                Some(product) => Ok(vec![rdbms::target(product, &self.parameter, context)?]),
                None => Err(self.unknown()),
            },
        }
    }

    fn unknown(&self) -> Error {
        self.node.error(format!("there is no plugin {}", self.name)).with_hint(
            "there are csvreader, xlsxreader, mysqlreader, postgresreader, sqlserverreader, sqlite3reader, oraclereader, \
             db2reader, dmreader, and the writers of the same names",
        )
    }
}

/// Takes `keys` for known, whatever they say.
fn known(node: &Node<'_>, keys: &[&str]) {
    for value in keys.iter().filter_map(|key| node.get(key)) {
        value.json();
    }
}

/// The text of `key`, where it is there and not empty.
fn text(node: &Node<'_>, key: &str) -> Result<Option<String>> {
    Ok(node.get(key).map(|value| value.text()).transpose()?.filter(|text| !text.is_empty()))
}

/// Whether `key` is on; off where it is not there.
fn flag(node: &Node<'_>, key: &str) -> Result<bool> {
    node.get(key).map_or(Ok(false), |value| value.flag())
}

/// The texts in the list `key`; none where it is not there.
fn texts(node: &Node<'_>, key: &str) -> Result<Vec<String>> {
    node.get(key).map_or(Ok(Vec::new()), |list| list.one_or_more().iter().map(Node::text).collect())
}

/// A path as files take it: `-` is one, too.
fn path(node: &Node<'_>) -> Result<String> {
    match node.text()?.as_str() {
        "" => Err(node.error("the path is empty")),
        "-" => Ok("./-".to_owned()),
        path if path.starts_with("file:") => Ok(format!("./{path}")),
        path => Ok(path.to_owned()),
    }
}
