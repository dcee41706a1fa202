//! Our own job files: several transfers, named connections, settings for all of them.
//!
//! ```json
//! {"connections": {"shop": {"connector": "postgres", "url": "postgres://ada:${PW}@db/shop"}},
//!  "transfers": [{"source": {"connection": "shop", "table": "orders"}, "target": {"locator": "orders.parquet"}}],
//!  "settings": {"limits": {"jobs": 4}}}
//! ```
//!
//! A transfer is a [`Job`] in serde's form, but for its places, which are told as a user thinks of them: one `source` or several
//! `sources`, one `target` or several `targets`. `${NAME}` in a string is a variable. In the options of a connection it stays a
//! reference, which its connector replaces when it connects.

mod emit;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};

use super::locator::PATHS;
use super::tree::{Node, Tree};
use super::vars::Variables;
use super::{Job, LogFile, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::object::ObjectRef;

pub use emit::{emit, refer_to_secrets, refuse_secrets};

/// What a job file needs to know of the world.
pub trait Places {
    /// The place that a locator names: its table, else the whole.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for what is no locator.
    fn locate(&self, locator: &str) -> Result<Place>;
    /// The name of the connector that goes by `name`.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) where there is none.
    fn connector(&self, name: &str) -> Result<&'static str>;
    /// Whether an endpoint of this connector itself names what is meant, and has no tables.
    fn is_whole(&self, connector: &str) -> bool;
    /// Lets the connector of `place` look at its options. Nothing is reached.
    ///
    /// # Errors
    /// What the connector has against them.
    fn check(&self, place: &Place) -> Result<()>;
}

/// What a native file asks for.
#[derive(Debug)]
pub struct Native {
    /// Its transfers, in order.
    pub jobs: Vec<Job>,
    /// The paths of keys that mean nothing, or of connections that nobody uses.
    pub unknown: Vec<String>,
    /// Where what is said goes as well.
    pub log: Option<LogFile>,
    /// What the first connector has against the options of its place, with their path and place: no transfer can begin.
    pub mistake: Option<Error>,
}

/// Keys of a place; all others are options of its connector.
pub const PLACE_KEYS: [&str; 5] = ["connection", "connector", "locator", "table", "query"];

/// The ends of a transfer: the key for one place and that for several, and the members of a [`Job`] for the first and the others.
const ENDS: [[&str; 4]; 2] = [["source", "sources", "source", "union"], ["target", "targets", "target", "also"]];

/// Keys of `settings` that hold for each transfer.
const SETTINGS: [&str; 5] = ["limits", "errors", "verify", "visible", "schema"];

/// Modes that merge by key: their name alone means the primary key.
const MERGING: [&str; 2] = ["upsert", "sync"];

/// The transfers of a file.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for a missing key, a wrong type, an unset variable or an unknown connector, with path and place.
pub fn settle(tree: &Tree, places: &dyn Places, variables: &Variables<'_>) -> Result<Native> {
    let root = tree.root();
    let file = File { root: root.clone(), tree, places, variables, mistake: RefCell::default() };
    let transfers = root.need("transfers").map_err(|error| match root.get("job") {
        Some(_) => {
            error.with_hint("'job' begins a file of another program: name it with --compat datax, go-etl or flinkx")
        }
        None => error,
    });
    let transfers = transfers?.elements()?;
    if transfers.is_empty() {
        return Err(root.need("transfers")?.error("the file has no transfer"));
    }
    let settings = file.settings()?;
    let mut unknown = Vec::new();
    let log = file.log(&mut unknown)?;
    let jobs = transfers.iter().map(|transfer| file.job(transfer, &settings, &mut unknown)).collect::<Result<_>>()?;
    unknown.extend(tree.unasked());
    let mut seen = BTreeSet::new();
    unknown.retain(|path| seen.insert(path.clone()));
    Ok(Native { jobs, unknown, log, mistake: file.mistake.into_inner() })
}

struct File<'a> {
    root: Node<'a>,
    tree: &'a Tree,
    places: &'a dyn Places,
    variables: &'a Variables<'a>,
    /// See [`Native::mistake`].
    mistake: RefCell<Option<Error>>,
}

impl File<'_> {
    /// What holds for all transfers that do not say it themselves.
    fn settings(&self) -> Result<Map<String, Json>> {
        let Some(settings) = self.root.get("settings") else { return Ok(Map::new()) };
        let mut known = Map::new();
        for key in SETTINGS {
            if let Some(node) = settings.get(key) {
                known.insert(key.to_owned(), self.member(key, &node)?);
            }
        }
        Ok(known)
    }

    /// The log that the settings name.
    fn log(&self, unknown: &mut Vec<String>) -> Result<Option<LogFile>> {
        let Some(node) = self.root.get("settings").and_then(|settings| settings.get("log")) else { return Ok(None) };
        let path = |inner: &str| joined(node.path(), inner);
        self.told(self.filled(&node)?, &path, unknown).map(Some)
    }

    /// One transfer. Keys without a meaning go to `unknown`.
    fn job(&self, transfer: &Node<'_>, settings: &Map<String, Json>, unknown: &mut Vec<String>) -> Result<Job> {
        let mut members = Map::new();
        for [one, several, first, others] in ENDS {
            let mut places = self.ends(transfer, one, several)?.into_iter();
            members.insert(first.to_owned(), places.next().unwrap_or_default());
            members.insert(others.to_owned(), places.collect());
        }
        for (key, node) in transfer.entries()? {
            if let Some([one, several, ..]) = ENDS.iter().find(|[.., others]| key == *others) {
                let error = node.error(format!("'{key}' is no key of a transfer"));
                return Err(error.with_hint(format!("put it and '{one}' into a list '{several}'")));
            }
            if !ENDS.iter().any(|[one, several, ..]| key == *one || key == *several) {
                members.insert(key.to_owned(), self.member(key, &node)?);
            }
        }
        let own: Vec<String> = members.keys().cloned().collect();
        for (key, value) in settings {
            members.entry(key.clone()).or_insert_with(|| value.clone());
        }
        let path = |inner: &str| {
            let first = inner.split('.').next().unwrap_or_default();
            let is_shared = settings.contains_key(first) && !own.iter().any(|key| key == first);
            joined(if is_shared { "settings" } else { transfer.path() }, inner)
        };
        let job: Job = self.told(Json::Object(members), &path, unknown)?;
        // What might stand there is what stands in the job that was made.
        let mut known = serde_json::to_value(&job)?;
        known["errors"]["rejects"].take();
        if let Some(known) = known.as_object_mut() {
            known.retain(|key, _| !ENDS.iter().any(|[.., first, others]| key == first || key == others));
        }
        self.miss_members(&known, &path, "");
        Ok(job)
    }

    /// `value` as it is meant, whose members stand at `path` of theirs. Keys without a meaning go to `unknown`.
    fn told<T: DeserializeOwned>(
        &self,
        value: Json,
        path: &dyn Fn(&str) -> String,
        unknown: &mut Vec<String>,
    ) -> Result<T> {
        let mut note = |inner: serde_ignored::Path<'_>| unknown.push(path(&segments(&inner).join(".")));
        let deserializer = serde_ignored::Deserializer::new(value, &mut note);
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            let path = path(&dotted(error.path()));
            self.tree.locate(Error::new(ErrorKind::Usage, in_words(&error.inner().to_string())), &path)
        })
    }

    /// Notes the keys of `value`, which stands at `inner` of a transfer, as ones that might be there.
    fn miss_members(&self, value: &Json, path: &dyn Fn(&str) -> String, inner: &str) {
        for (key, value) in value.as_object().into_iter().flatten() {
            let inner = joined(inner, key);
            self.tree.miss(path(&inner));
            self.miss_members(value, path, &inner);
        }
    }

    /// The places that stand at `one` or, as a list, at `several`, in serde's form.
    fn ends(&self, transfer: &Node<'_>, one: &str, several: &str) -> Result<Vec<Json>> {
        match (transfer.get(one), transfer.get(several)) {
            (Some(_), Some(list)) => {
                let error = list.error(format!("both '{one}' and '{several}' are here"));
                Err(error.with_hint(format!("put all of them into '{several}'")))
            }
            (None, Some(list)) => {
                let places = list.elements()?.iter().map(|place| self.place(place)).collect::<Result<Vec<_>>>()?;
                if places.is_empty() { Err(list.error("the list names no place")) } else { Ok(places) }
            }
            (_, None) => Ok(vec![self.place(&transfer.need(one)?)?]),
        }
    }

    /// The value of `key` of a transfer or of the settings, as [`Job`] has it.
    fn member(&self, key: &str, node: &Node<'_>) -> Result<Json> {
        match key {
            "errors" => {
                let mut members = Map::new();
                for (key, node) in node.entries()? {
                    let value = if key == "rejects" { self.place(&node)? } else { self.filled(&node)? };
                    members.insert(key.to_owned(), value);
                }
                Ok(Json::Object(members))
            }
            "mode" => match self.filled(node)? {
                Json::String(mode) if MERGING.contains(&mode.as_str()) => Ok(json!({ mode: {} })),
                mode => Ok(mode),
            },
            _ => self.filled(node),
        }
    }

    fn filled(&self, node: &Node<'_>) -> Result<Json> {
        self.variables.in_value(node.json(), node)
    }

    fn text(&self, node: &Node<'_>) -> Result<String> {
        if !node.json().is_string() {
            return Err(node.error("a string is wanted here"));
        }
        Ok(self.filled(node)?.as_str().unwrap_or_default().to_owned())
    }

    /// A place, by exactly one of `connection`, `connector` and `locator`, in serde's form.
    fn place(&self, node: &Node<'_>) -> Result<Json> {
        let mut place = match (node.get("connection"), node.get("connector"), node.get("locator")) {
            (Some(name), None, None) => self.connection(&name)?,
            (None, Some(name), None) => self.by_connector(node, &name)?,
            (None, None, Some(locator)) => {
                let text = locator.text()?;
                self.places.locate(&text).map_err(|error| locator.place(error))?
            }
            _ => return Err(node.error("a place is named by one of 'connection', 'connector' and 'locator'")),
        };
        self.add_options(&mut place, node)?;
        let object = match (node.get("table"), node.get("query")) {
            (None, None) => None,
            (Some(table), None) => Some(ObjectRef::Table(self.text(&table)?)),
            (None, Some(query)) => Some(ObjectRef::Query(self.text(&query)?)),
            (Some(_), Some(query)) => return Err(query.error("both 'table' and 'query' name what to read")),
        };
        match (object, self.places.is_whole(&place.connector)) {
            (Some(_), true) => return Err(node.error(format!("{} has no tables", place.connector))),
            (Some(_), false) if place.object != ObjectRef::Whole => {
                return Err(node.error("the locator names a table already"));
            }
            (Some(object), false) => place.object = object,
            (None, true) => {}
            (None, false) if place.object == ObjectRef::Whole => {
                return Err(node.error("no table is named here").with_hint("add \"table\", or for a source \"query\""));
            }
            (None, false) => {}
        }
        self.check(&place, node)?;
        Ok(serde_json::to_value(place)?)
    }

    /// Keeps what the connector of `place` has against its options, which stand at `node` and at the connection that it names.
    fn check(&self, place: &Place, node: &Node<'_>) -> Result<()> {
        let Err(error) = self.places.check(place) else { return Ok(()) };
        let mut options = node.entries()?;
        if let (Some(name), Some(connections)) = (node.get("connection"), self.root.get("connections"))
            && let Some(connection) = connections.get(&self.text(&name)?)
        {
            options.extend(connection.entries()?);
        }
        // The wrong one is that without which the others are taken.
        let is_wrong = |key: &str| {
            let mut others = place.clone();
            let removed = others.options.as_object_mut().and_then(|options| options.remove(key));
            removed.is_some() && self.places.check(&others).is_ok()
        };
        let wrong = options.into_iter().find(|(key, _)| !PLACE_KEYS.contains(key) && is_wrong(key));
        let wrong = wrong.map(|(_, option)| option).or_else(|| node.get("locator"));
        let error = wrong.as_ref().unwrap_or(node).place(error);
        self.mistake.borrow_mut().get_or_insert(error);
        Ok(())
    }

    /// The connection of this name.
    fn connection(&self, name: &Node<'_>) -> Result<Place> {
        let wanted = self.text(name)?;
        let connections = self.root.get("connections").ok_or_else(|| name.error("the file has no connections"))?;
        let Some(connection) = connections.get(&wanted) else {
            let known: Vec<&str> = connections.entries()?.into_iter().map(|(key, _)| key).collect();
            let error = name.error(format!("there is no connection '{wanted}'"));
            return Err(error.with_hint(format!("there are {}", known.join(", "))));
        };
        let mut place = self.by_connector(&connection, &connection.need("connector")?)?;
        self.add_options(&mut place, &connection)?;
        Ok(place)
    }

    fn by_connector(&self, node: &Node<'_>, name: &Node<'_>) -> Result<Place> {
        let connector = self.places.connector(&self.text(name)?).map_err(|error| name.place(error))?;
        if node.get("url").is_none() && PATHS.contains(&connector) {
            return Err(node.error("the key 'url' is missing").with_hint("name the file by \"url\""));
        }
        Ok(Place::new(connector, json!({}), ObjectRef::Whole))
    }

    /// The options that stand at `node`. A path is replaced here, as its connector would take `${` for letters.
    fn add_options(&self, place: &mut Place, node: &Node<'_>) -> Result<()> {
        let is_path = PATHS.contains(&place.connector.as_str());
        for (key, value) in node.entries()? {
            if PLACE_KEYS.contains(&key) {
                continue;
            }
            let value = if is_path { self.filled(&value)? } else { value.json().clone() };
            if let Json::Object(options) = &mut place.options {
                options.insert(key.to_owned(), value);
            }
        }
        Ok(())
    }
}

/// The path of what stands at `inner` of `above`.
fn joined(above: &str, inner: &str) -> String {
    match (above, inner) {
        (path, "") | ("", path) => path.to_owned(),
        _ => format!("{above}.{inner}"),
    }
}

/// What serde says, with words for people where it names types of Rust.
fn in_words(message: &str) -> String {
    let Some((before, wanted)) = message.rsplit_once("expected ") else { return message.to_owned() };
    let wanted = match wanted {
        "usize" | "u8" | "u16" | "u32" | "u64" | "i64" => "a whole number",
        "f64" => "a number",
        "a sequence" => "a list",
        "a map" => "an object",
        wanted if wanted.starts_with("struct ") => "an object",
        wanted => wanted,
    };
    format!("{before}expected {wanted}")
}

/// The keys and indices of `path`.
fn segments(path: &serde_ignored::Path<'_>) -> Vec<String> {
    use serde_ignored::Path;
    let (parent, segment) = match path {
        Path::Root => return Vec::new(),
        Path::Seq { parent, index } => (parent, Some(index.to_string())),
        Path::Map { parent, key } => (parent, Some(key.clone())),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => (parent, None),
    };
    let mut segments = segments(parent);
    segments.extend(segment);
    segments
}

fn dotted(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let segments = path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    });
    segments.collect::<Vec<_>>().join(".")
}
