//! From what was typed to the two places of a job: locators against this machine, objects, file options.

use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::args::SourceArgs;
use super::files::{FileArgs, IsMeant, TargetFileArgs, kinds, no_sheet};
use super::options::{of_locator, tell};
use super::settings::{self, text_of};
use crate::connector::End;
use crate::connectors::{self, CONNECTORS};
use crate::endpoint::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::extension::{self, Format};
use crate::job::locator::{self, FILE, Locator, Lookup};
use crate::job::native::Places;
use crate::job::{Job, Place};

/// Connectors whose endpoint itself names what is meant: they need no `#object`.
const WHOLE: [&str; 2] = [FILE, "stream"];

/// This machine: its environment, its files, the connectors of this build.
#[derive(Debug)]
pub(super) struct Machine;

impl Lookup for Machine {
    fn connector(&self, scheme: &str) -> Option<&'static str> {
        connectors::find(scheme).ok().map(crate::connector::Connector::name)
    }

    fn schemes(&self) -> Vec<&'static str> {
        CONNECTORS.iter().flat_map(|connector| [&[connector.name()], connector.aliases()].concat()).collect()
    }

    fn exists(&self, path: &str) -> bool {
        Path::new(path).exists()
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn is_extension(&self, word: &str) -> bool {
        extension::is_known(word)
    }
}

impl Places for Machine {
    fn locate(&self, text: &str) -> Result<Place> {
        let locator = locator::parse(text, self)?;
        let object = locator.object().map_or(ObjectRef::Whole, |table| ObjectRef::Table(table.to_owned()));
        place(&Side { locator, object, end: None, options: Map::new() }, Map::new())
    }

    fn connector(&self, name: &str) -> Result<&'static str> {
        connectors::find(name).map(crate::connector::Connector::name)
    }

    fn is_whole(&self, connector: &str) -> bool {
        WHOLE.contains(&connector)
    }

    fn check(&self, place: &Place) -> Result<()> {
        connectors::find(&place.connector)?.endpoint(&place.options).map(drop)
    }
}

/// A locator, the object meant in it, and what is said of it alone.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) locator: Locator,
    pub(super) object: ObjectRef,
    /// Whether it is read or written; none where nobody knows yet.
    pub(super) end: Option<End>,
    /// What `--from-option` or `--to-option` says.
    pub(super) options: Map<String, Json>,
}

fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message)
}

/// The place to read: its locator, and the table or query named in it or by a flag.
pub(super) fn source(text: &str, args: &SourceArgs) -> Result<Side> {
    let locator = locator::parse(text, &Machine)?;
    let object = match &args.query {
        Some(_) if locator.object().is_some() => {
            return Err(usage("both '#table' and --query name what to read").with_hint("leave one of them out"));
        }
        Some(_) if locator.connector() == FILE => {
            return Err(usage("files answer no --query").with_hint("use --sql 'SELECT … FROM src' for it"));
        }
        Some(query) => ObjectRef::Query(text_of(query)?),
        None => match table(&locator, "--table", args.table.as_deref())? {
            Some(table) => ObjectRef::Table(table),
            None if WHOLE.contains(&locator.connector()) => ObjectRef::Whole,
            None => {
                return Err(usage(format!("{} names no table", locator.label()))
                    .with_hint("add '#table', or use --table or --query"));
            }
        },
    };
    let mut side = Side { locator, object, end: Some(End::Source), options: Map::new() };
    tell(std::slice::from_mut(&mut side), &args.from_option)?;
    Ok(side)
}

/// A further place to read: all that is said of it stands in its locator.
pub(super) fn union(text: &str) -> Result<Place> {
    place(&source(text, &SourceArgs::default())?, Map::new())
}

/// The place to write. Without a table of its own it takes the source's name.
pub(super) fn target(text: &str, into: Option<&str>, source: &Side) -> Result<Side> {
    let locator = locator::parse(text, &Machine)?;
    if locator.is_glob() && !Machine.exists(locator.url()) {
        return Err(usage(format!("the target {} is a pattern", locator.label()))
            .with_hint("name one file, or a folder with a '/' at its end"));
    }
    let object = match table(&locator, "--into", into)? {
        Some(table) => ObjectRef::Table(table),
        None if WHOLE.contains(&locator.connector()) => ObjectRef::Whole,
        None => ObjectRef::Table(locator::default_table(&source.locator, &source.object, &Machine)?),
    };
    Ok(Side { locator, object, end: Some(End::Target), options: Map::new() })
}

/// The place that a locator alone names.
pub(super) fn located(text: &str) -> Result<Place> {
    Machine.locate(text)
}

/// The table named by the locator or by `flag`; naming it twice is a mistake.
fn table(locator: &Locator, flag: &str, named: Option<&str>) -> Result<Option<String>> {
    match (locator.object(), named) {
        (Some(_), Some(_)) => {
            Err(usage(format!("both '#table' and {flag} name a table")).with_hint("leave one of them out"))
        }
        (_, Some(_)) if locator.connector() == FILE => Err(usage(format!("{flag} names a table, and files have none"))
            .with_hint(format!("leave {flag} out; a sheet of a workbook stands behind '#'"))),
        (object, named) => {
            named.map_or(Ok(()), locator::check_object)?;
            Ok(object.or(named).map(str::to_owned))
        }
    }
}

/// What `job` reads, for people. `endpoint` is the label of where it lies.
pub(super) fn sources_label(endpoint: &str, job: &Job) -> String {
    if job.union.is_empty() { source_label(endpoint, &job.source.object) } else { endpoint.to_owned() }
}

/// The source with the object that is read from it, for people.
pub(super) fn source_label(endpoint: &str, object: &ObjectRef) -> String {
    match object {
        ObjectRef::Whole => endpoint.to_owned(),
        ObjectRef::Table(table) => format!("{endpoint}#{table}"),
        ObjectRef::Query(_) => format!("a query of {endpoint}"),
    }
}

/// The place of a command that only reads.
pub(super) fn read_place(side: &Side, files: &FileArgs, cast: &[String]) -> Result<Place> {
    let mut options = source_options(side, files)?;
    let format = files.from_format.as_deref();
    for (named, is_meant, refusal) in kinds(files) {
        if !named.is_empty() && !may_be(side, format, is_meant) {
            return Err(refusal);
        }
        options.extend(named);
    }
    if !cast.is_empty() && !may_be(side, format, Format::is_guessed) {
        return Err(usage("--cast is for text files here, and there is none").with_hint("leave --cast out"));
    }
    if !cast.is_empty() {
        let casts = settings::casts(cast)?.into_iter().map(|(name, kind)| (name, Json::from(kind)));
        options.insert("casts".to_owned(), Json::Object(casts.collect()));
    }
    place(side, options)
}

/// The places of a copy, the first target apart, with the file options on the sides that they are meant for. Casts are left
/// to the run, which tells the source of them.
pub(super) fn copy_places(
    (source, targets): (&Side, &[Side]),
    (files, to_files): (&FileArgs, &TargetFileArgs),
) -> Result<(Place, Place, Vec<Place>)> {
    let mut source_side = source_options(source, files)?;
    let mut target_sides = target_options(targets, to_files)?;
    let to_format = to_files.to_format.as_deref();
    for (options, is_meant, refusal) in kinds(files) {
        // They say how the source is read; where it is another file, or none, how the targets are written.
        if may_be(source, files.from_format.as_deref(), is_meant) {
            source_side.extend(options);
        } else if targets.iter().any(|target| may_be(target, to_format, is_meant)) {
            for (target, side) in targets.iter().zip(&mut target_sides) {
                if !may_be(target, to_format, is_meant) {
                    continue;
                }
                for (name, value) in &options {
                    // What was said about the targets alone wins.
                    side.entry(name).or_insert_with(|| value.clone());
                }
            }
        } else if !options.is_empty() {
            return Err(refusal);
        }
    }
    let mut places = targets.iter().zip(target_sides).map(|(target, options)| place(target, options));
    let first = places.next().unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "a copy has a target")))?;
    Ok((place(source, source_side)?, first, places.collect::<Result<_>>()?))
}

/// Whether `side` is a file of such a format, as far as that can be told.
fn may_be(side: &Side, format: Option<&str>, is_meant: IsMeant) -> bool {
    side.locator.connector() == FILE && format_of(side, format).is_none_or(is_meant)
}

fn place(side: &Side, options: Map<String, Json>) -> Result<Place> {
    let mut place = side.locator.place(side.object.clone(), &Machine)?;
    if let Json::Object(said) = &mut place.options {
        of_locator(&place.connector, side.end, said)?;
        // What stands in the locator was said about this very side, and so was what is told to it alone.
        for (key, value) in side.options.clone().into_iter().chain(options) {
            said.entry(key).or_insert(value);
        }
    }
    Ok(place)
}

/// Options that only a file to be read can have.
fn source_options(side: &Side, files: &FileArgs) -> Result<Map<String, Json>> {
    let mut options = Map::new();
    let is_file = side.locator.connector() == FILE;
    if let Some(format) = &files.from_format {
        if !is_file {
            return Err(usage("--from-format is for files, and the source is none").with_hint("leave it out"));
        }
        options.insert("format".to_owned(), json!(format));
    }
    if let Some(range) = &files.range {
        if !may_be(side, files.from_format.as_deref(), Format::is_workbook) {
            return Err(no_sheet("--range", "the source is none"));
        }
        options.insert("range".to_owned(), json!(range));
    }
    if files.all_strings {
        if !may_be(side, files.from_format.as_deref(), Format::is_guessed) {
            return Err(usage("--all-strings is for text files, and the source is none").with_hint("leave it out"));
        }
        options.insert("allStrings".to_owned(), json!(true));
    }
    Ok(options)
}

/// Options that only files to be written can have, for each of `sides`.
fn target_options(sides: &[Side], files: &TargetFileArgs) -> Result<Vec<Map<String, Json>>> {
    let mut options = Map::new();
    if let Some(format) = &files.to_format {
        options.insert("format".to_owned(), json!(format));
    }
    if let Some(bytes) = files.file_bytes {
        options.insert("fileBytes".to_owned(), json!(bytes.0));
    }
    let named = [("encoding", &files.to_encoding), ("compression", &files.compress)];
    for (name, value) in named {
        options.extend(value.iter().map(|value| (name.to_owned(), json!(value))));
    }
    let is_file = |side: &Side| side.locator.connector() == FILE;
    if !options.is_empty() && !sides.iter().any(is_file) {
        let flag = match files {
            TargetFileArgs { to_format: Some(_), .. } => "--to-format",
            TargetFileArgs { to_encoding: Some(_), .. } => "--to-encoding",
            TargetFileArgs { compress: Some(_), .. } => "--compress",
            TargetFileArgs { .. } => "--file-bytes",
        };
        return Err(usage(format!("{flag} is for files, and the target is none")).with_hint("leave it out"));
    }
    Ok(sides.iter().map(|side| if is_file(side) { options.clone() } else { Map::new() }).collect())
}

/// Whether it is a file whose types are guessed, as far as its name or its options tell.
pub(super) fn is_text(side: &Side) -> bool {
    side.locator.connector() == FILE && format_of(side, None).is_some_and(Format::is_guessed)
}

/// The format named by option, flag or extension; none when nothing tells, or the word names none, which is told later.
fn format_of(Side { locator, options, .. }: &Side, flag: Option<&str>) -> Option<Format> {
    let told = options.get("format").and_then(Json::as_str);
    match locator.option("format").or(told).or(flag) {
        Some(named) => Format::of_extension(named),
        None => extension::of_path(Path::new(locator.url())).0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::native;

    /// Each connector of this build can be named in a locator, so the parser needs no list of its own.
    #[test]
    fn every_connector_has_a_scheme() {
        for connector in CONNECTORS {
            assert_eq!(Lookup::connector(&Machine, connector.name()), Some(connector.name()));
        }
    }

    /// What a job file says of a place is no option of any connector.
    #[test]
    fn no_option_has_the_name_of_a_key_of_places() {
        for option in CONNECTORS.iter().flat_map(|connector| connector.options()) {
            assert!(!native::PLACE_KEYS.contains(&option.name), "{option:?}");
        }
    }

    fn files(delim: &str) -> FileArgs {
        FileArgs { delim: Some(delim.to_owned()), ..FileArgs::default() }
    }

    fn side(text: &str) -> Side {
        let locator = locator::parse(text, &Machine).unwrap();
        Side { locator, object: ObjectRef::Whole, end: None, options: Map::new() }
    }

    fn delimiters(source: &str, target: &str) -> Result<(Option<Json>, Option<Json>)> {
        let to = TargetFileArgs::default();
        let (source, target, _) = copy_places((&side(source), &[side(target)]), (&files("tab"), &to))?;
        let of = |place: &Place| place.options.get("delimiter").cloned();
        Ok((of(&source), of(&target)))
    }

    #[test]
    fn delimiters_belong_to_a_text_source_else_to_the_target() {
        let tab = || Some(json!("\t"));
        assert_eq!(delimiters("a.csv", "b.csv").unwrap(), (tab(), None));
        assert_eq!(delimiters("a.csv.gz", "b.parquet").unwrap(), (tab(), None));
        assert_eq!(delimiters("-", "b.csv").unwrap(), (tab(), None));
        assert_eq!(delimiters("a.parquet", "b.csv").unwrap(), (None, tab()));
        assert_eq!(delimiters("a.jsonl", "b.csv").unwrap(), (None, tab()));
        assert!(delimiters("a.parquet", "b.parquet").is_err());
    }

    #[test]
    fn quotes_go_where_delimiters_go() {
        let files = || FileArgs { quote: Some("'".to_owned()), escape: Some("\\".to_owned()), ..FileArgs::default() };
        let quotes = |source: &str, target: &str| -> Result<(Json, Json)> {
            let to = TargetFileArgs::default();
            let (source, target, _) = copy_places((&side(source), &[side(target)]), (&files(), &to))?;
            let of = |place: &Place| json!([place.options.get("quote"), place.options.get("escape")]);
            Ok((of(&source), of(&target)))
        };
        let (set, none) = (json!(["'", "\\"]), json!([null, null]));
        assert_eq!(quotes("a.csv", "b.csv").unwrap(), (set.clone(), none.clone()));
        assert_eq!(quotes("a.parquet", "b.csv").unwrap(), (none, set));
        let told = quotes("a.parquet", "b.jsonl").unwrap_err();
        assert!(told.message().starts_with("--quote is for CSV files"), "{told}");
    }

    #[test]
    fn a_header_belongs_to_csv_and_to_workbooks() {
        let headers = |source: &str, target: &str| -> Result<(Option<Json>, Option<Json>)> {
            let files = FileArgs { no_header: true, ..FileArgs::default() };
            let (source, target, _) =
                copy_places((&side(source), &[side(target)]), (&files, &TargetFileArgs::default()))?;
            let of = |place: &Place| place.options.get("header").cloned();
            Ok((of(&source), of(&target)))
        };
        let no = || Some(json!(false));
        assert_eq!(headers("a.xlsx", "b.csv").unwrap(), (no(), None));
        assert_eq!(headers("a.parquet", "b.xlsx").unwrap(), (None, no()));
        assert!(headers("a.parquet", "b.jsonl").is_err());
        assert_eq!(delimiters("a.xlsx", "b.csv").unwrap(), (None, Some(json!("\t"))));
    }

    #[test]
    fn a_sheet_belongs_to_a_workbook_and_a_range_to_one_that_is_read() {
        let of = |source: &str, target: &str, range: Option<&str>| -> Result<(Json, Json)> {
            let files =
                FileArgs { sheet: Some("May".to_owned()), range: range.map(str::to_owned), ..FileArgs::default() };
            let (source, target, _) =
                copy_places((&side(source), &[side(target)]), (&files, &TargetFileArgs::default()))?;
            let of = |place: &Place| json!([place.options.get("sheet"), place.options.get("range")]);
            Ok((of(&source), of(&target)))
        };
        let none = || json!([null, null]);
        assert_eq!(of("a.xlsx", "b.csv", Some("A:F")).unwrap(), (json!(["May", "A:F"]), none()));
        assert_eq!(of("a.xls", "b.xlsx", None).unwrap(), (json!(["May", null]), none()));
        assert_eq!(of("a.xlsx#June", "b.csv", None).unwrap().0, json!(["June", null]));
        assert_eq!(of("a.csv", "b.xlsx", None).unwrap(), (none(), json!(["May", null])));
        let told = of("a.csv", "b.parquet", None).unwrap_err();
        assert_eq!(told.message(), "--sheet is for workbooks, and there is none here");
        let told = of("a.csv", "b.xlsx", Some("A:F")).unwrap_err();
        assert_eq!(told.message(), "--range is for workbooks, and the source is none");
    }

    #[test]
    fn what_is_told_to_a_place_alone_wins_over_flags_of_files() {
        let typed = |pairs: &[&str]| pairs.iter().map(|pair| (*pair).to_owned()).collect::<Vec<_>>();
        let from = SourceArgs { from_option: typed(&["format=csv", "delimiter=;"]), ..SourceArgs::default() };
        let source = source("a.txt?quote=none", &from).unwrap();
        let mut targets = [target("b.csv", None, &source).unwrap(), target("c.db#t", None, &source).unwrap()];
        tell(&mut targets, &typed(&["delimiter=|", "busyTimeout=9"])).unwrap();
        let flags = FileArgs { quote: Some("'".to_owned()), ..files("tab") };
        let (first, second, also) = copy_places((&source, &targets), (&flags, &TargetFileArgs::default())).unwrap();
        let expected = json!({"url": "a.txt", "format": "csv", "delimiter": ";", "quote": "none"});
        assert_eq!(first.options, expected);
        assert_eq!(second.options, json!({"url": "b.csv", "delimiter": "|"}));
        assert_eq!(also[0].options["busyTimeout"], json!(9));
        let none = tell(&mut targets, &typed(&["sheets=B", "nonsense=1"])).unwrap_err();
        assert_eq!(none.to_string(), "option --to-option: file has no option \"nonsense\"");
        let read = tell(&mut targets, &typed(&["range=A:F"])).unwrap_err();
        assert_eq!(read.message(), "range is for what is read");
    }

    #[test]
    fn an_encoding_belongs_to_a_text_source_else_to_the_target() {
        let encodings = |source: &str, target: &str, to: Option<&str>| -> Result<(Option<Json>, Option<Json>)> {
            let files = FileArgs { encoding: Some("gbk".to_owned()), ..FileArgs::default() };
            let to = TargetFileArgs { to_encoding: to.map(str::to_owned), ..TargetFileArgs::default() };
            let (source, target, _) = copy_places((&side(source), &[side(target)]), (&files, &to))?;
            let of = |place: &Place| place.options.get("encoding").cloned();
            Ok((of(&source), of(&target)))
        };
        let named = |name: &str| Some(json!(name));
        assert_eq!(encodings("a.csv", "b.csv", None).unwrap(), (named("gbk"), None));
        assert_eq!(encodings("a.jsonl", "b.csv", Some("big5")).unwrap(), (named("gbk"), named("big5")));
        assert_eq!(encodings("a.parquet", "b.jsonl", None).unwrap(), (None, named("gbk")));
        assert_eq!(encodings("a.parquet", "b.jsonl", Some("big5")).unwrap(), (None, named("big5")));
        assert!(encodings("a.parquet", "b.parquet", None).is_err());
    }

    #[test]
    fn the_locator_wins_over_a_flag() {
        assert_eq!(delimiters("a.csv?delimiter=;", "b.csv").unwrap().0, Some(json!(";")));
    }
}
