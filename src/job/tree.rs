//! The values of a job file, each with its path and its place in the text, which is what messages name.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fmt;

use serde_json::{Map, Value as Json};

use super::locator::nearest;
use crate::error::{Error, ErrorKind, Result};

/// Line and column in a text, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Character in the line, from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A job file as a tree. It keeps which of its values were asked for, so that the others can be named, and which were missed,
/// so that one can be told what was perhaps meant.
#[derive(Debug)]
pub struct Tree {
    root: Json,
    positions: HashMap<String, Position>,
    /// Whether it was JSON that only a lenient parser takes.
    pub(super) lenient: bool,
    asked: RefCell<BTreeSet<String>>,
    missed: RefCell<BTreeSet<String>>,
}

impl Tree {
    /// The tree of `root`, whose values stand in the text where `positions` says, by their dotted paths.
    pub fn new(root: Json, positions: HashMap<String, Position>) -> Self {
        Self { root, positions, lenient: false, asked: RefCell::default(), missed: RefCell::default() }
    }

    /// The whole file.
    pub fn root(&self) -> Node<'_> {
        Node { value: &self.root, path: String::new(), tree: self, keys: Keys::AsWritten }
    }

    /// Where the value at `path` stands. A value that was set by a flag stands nowhere.
    pub fn position(&self, path: &str) -> Option<Position> {
        self.positions.get(path).copied()
    }

    /// `error` with the path at which it is, and its place in the text where it has one.
    pub fn locate(&self, error: Error, path: &str) -> Error {
        let place = self.position(path).map_or(String::new(), |position| format!(" ({position})"));
        let path = if path.is_empty() { "the whole file" } else { path };
        error.at("key", format!("{path}{place}"))
    }

    /// The paths of all values that nobody asked for, in order; where nobody asked for a whole object, its path alone.
    pub fn unasked(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.unasked_below(&self.root, "", &mut paths);
        paths
    }

    /// Notes that there might be a value at `path`, and is none.
    pub fn miss(&self, path: String) {
        self.missed.borrow_mut().insert(path);
    }

    /// The key that was missed where `path` stands, and is written nearly so.
    pub fn meant(&self, path: &str) -> Option<String> {
        let parted = |path: &str| path.rsplit_once('.').map_or((0, 0), |(above, _)| (above.len(), above.len() + 1));
        let (above, key) = parted(path);
        let missed = self.missed.borrow();
        let is_beside = |missed: &str| missed[..parted(missed).0] == path[..above] && !self.holds(missed);
        let beside = missed.iter().filter(|missed| is_beside(missed));
        let keys: Vec<&str> = beside.map(|missed| &missed[parted(missed).1..]).collect();
        nearest(&path[key..], &keys).map(str::to_owned)
    }

    fn holds(&self, path: &str) -> bool {
        let found = path.split('.').try_fold(&self.root, |value, key| match value {
            Json::Array(array) => array.get(key.parse::<usize>().ok()?),
            value => value.get(key),
        });
        found.is_some()
    }

    fn unasked_below(&self, value: &Json, path: &str, paths: &mut Vec<String>) {
        for (key, child) in children(value) {
            let path = joined(path, &key);
            if self.asked.borrow().contains(&path) {
                self.unasked_below(child, &path, paths);
            } else {
                paths.push(path);
            }
        }
    }
}

/// One value of a job file. NULL is read as if the key were not there, as DataX and FlinkX do.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    value: &'a Json,
    path: String,
    tree: &'a Tree,
    keys: Keys,
}

/// How a key finds its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    /// As it is written.
    AsWritten,
    /// In any case of its letters, where it does not stand as it is written.
    AnyCase,
}

impl<'a> Node<'a> {
    /// The same value, of which keys are found in any case of their letters, as go-etl finds them; so are those of all values within.
    #[must_use]
    pub fn in_any_case(self) -> Self {
        Self { keys: Keys::AnyCase, ..self }
    }

    /// Its dotted path: `job.content.0.reader.name`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value as it is. What lies within counts as asked for.
    pub fn json(&self) -> &'a Json {
        self.ask_for_all(self.value, &self.path);
        self.value
    }

    /// Whether it is a JSON object.
    pub fn is_object(&self) -> bool {
        self.value.is_object()
    }

    /// Whether it is a JSON array.
    pub fn is_array(&self) -> bool {
        self.value.is_array()
    }

    /// The value of `key`, if there is one.
    pub fn get(&self, key: &str) -> Option<Node<'a>> {
        let Some((key, child)) = self.entry(key) else {
            self.tree.miss(joined(&self.path, key));
            return None;
        };
        let node = self.child(key, child);
        (!child.is_null()).then_some(node)
    }

    /// The value at the dotted `path` below this one, if there is one.
    pub fn at(&self, path: &str) -> Option<Node<'a>> {
        path.split('.').try_fold(self.clone(), |node, key| node.get(key))
    }

    /// The key as it stands, and its value.
    fn entry(&self, key: &str) -> Option<(&'a str, &'a Json)> {
        let object: &'a Map<String, Json> = self.value.as_object()?;
        let alike = |(other, _): &(&String, &Json)| self.keys == Keys::AnyCase && other.eq_ignore_ascii_case(key);
        let found = object.get_key_value(key).or_else(|| object.iter().find(alike));
        found.map(|(key, value)| (key.as_str(), value))
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) where there is none.
    pub fn need(&self, key: &str) -> Result<Node<'a>> {
        self.get(key).ok_or_else(|| {
            let error = self.error(format!("the key '{key}' is missing"));
            let keys: Vec<&str> = self.value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
            match nearest(key, &keys) {
                Some(near) => error.with_hint(format!("there is '{near}': perhaps '{key}' is meant")),
                None => error,
            }
        })
    }

    /// The keys of an object and their values, in the order of the text.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) where it is no object.
    pub fn entries(&self) -> Result<Vec<(&'a str, Node<'a>)>> {
        let object: &'a Map<String, Json> = self.value.as_object().ok_or_else(|| self.wrong("an object"))?;
        Ok(object.iter().map(|(key, value)| (key.as_str(), self.child(key, value))).collect())
    }

    /// The elements of an array.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) where it is no array.
    pub fn elements(&self) -> Result<Vec<Node<'a>>> {
        let array = self.value.as_array().ok_or_else(|| self.wrong("an array"))?;
        Ok(array.iter().enumerate().map(|(at, value)| self.child(&at.to_string(), value)).collect())
    }

    /// The elements of an array, or the one value that stands instead of it.
    pub fn one_or_more(&self) -> Vec<Node<'a>> {
        self.elements().unwrap_or_else(|_| vec![self.clone()])
    }

    /// A string; a number or a boolean as it is written.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) where it is an object or an array.
    pub fn text(&self) -> Result<String> {
        match self.value {
            Json::String(text) => Ok(text.clone()),
            Json::Number(number) => Ok(number.to_string()),
            Json::Bool(flag) => Ok(flag.to_string()),
            _ => Err(self.wrong("a string")),
        }
    }

    /// A whole number; also one in a string.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) where it is something else, or beyond 64 bits.
    pub fn integer(&self) -> Result<i64> {
        let number = match self.value {
            Json::Number(number) => number.as_i64(),
            Json::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.ok_or_else(|| self.wrong("a whole number"))
    }

    /// A number; also one in a string.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) where it is something else.
    pub fn number(&self) -> Result<f64> {
        let number = match self.value {
            Json::Number(number) => number.as_f64(),
            Json::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number| number.is_finite()).ok_or_else(|| self.wrong("a number"))
    }

    /// True or false; also as a string, in any case.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) where it is something else.
    pub fn flag(&self) -> Result<bool> {
        match self.value {
            Json::Bool(flag) => Ok(*flag),
            Json::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Json::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(self.wrong("true or false")),
        }
    }

    /// An error of this value: names its path, and its place where it has one.
    pub fn error(&self, message: impl Into<String>) -> Error {
        self.place(Error::new(ErrorKind::Usage, message))
    }

    /// `error` with the path of this value, and its place where it has one.
    pub fn place(&self, error: Error) -> Error {
        self.tree.locate(error, &self.path)
    }

    fn wrong(&self, wanted: &str) -> Error {
        let found = match self.value {
            Json::Null => "null",
            Json::Bool(_) => "true or false",
            Json::Number(_) => "a number",
            Json::String(_) => "a string",
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
        };
        self.error(format!("{wanted} is wanted here, and this is {found}"))
    }

    fn child(&self, key: &str, value: &'a Json) -> Self {
        let path = joined(&self.path, key);
        self.tree.asked.borrow_mut().insert(path.clone());
        Node { value, path, tree: self.tree, keys: self.keys }
    }

    fn ask_for_all(&self, value: &Json, path: &str) {
        for (key, child) in children(value) {
            let path = joined(path, &key);
            self.ask_for_all(child, &path);
            self.tree.asked.borrow_mut().insert(path);
        }
    }
}

/// The path of a value within that at `path`.
pub(super) fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn children(value: &Json) -> Vec<(String, &Json)> {
    match value {
        Json::Object(object) => object.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Json::Array(array) => array.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tree(root: Json) -> Tree {
        let position = Position { line: 3, column: 7 };
        Tree::new(root, HashMap::from([("job.speed".to_owned(), position)]))
    }

    #[test]
    fn a_value_is_found_by_its_path_and_its_error_names_it() {
        let tree = tree(json!({"job": {"speed": "x", "content": [{"name": "a"}]}}));
        let job = tree.root().need("job").unwrap();
        let error = job.need("speed").unwrap().integer().unwrap_err().to_string();
        assert!(error.contains("job.speed (line 3, column 7)"), "{error}");
        assert!(error.contains("a whole number is wanted here, and this is a string"), "{error}");
        let content = job.need("content").unwrap().elements().unwrap();
        assert_eq!(content[0].path(), "job.content.0");
        assert_eq!(tree.root().at("job.speed").unwrap().text().unwrap(), "x");
        assert!(job.at("speed.byte").is_none() && job.at("limit.record").is_none());
        assert_eq!(content[0].need("name").unwrap().text().unwrap(), "a");
        let error = content[0].need("nme").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("job.content.0") && text.contains("the key 'nme' is missing"), "{error}");
        assert_eq!(error.hint(), Some("there is 'name': perhaps 'nme' is meant"));
        assert!(!job.need("writer").unwrap_err().hint().unwrap_or_default().contains("perhaps"));
    }

    #[test]
    fn a_key_that_was_missed_is_what_another_was_meant_for() {
        let tree = tree(json!({"job": {"sped": 1, "x": {"colum": 2}}, "jbo": 3}));
        let root = tree.root();
        let job = root.need("job").unwrap();
        assert!(job.get("speed").is_none() && job.get("errorLimit").is_none());
        assert!(job.need("x").unwrap().get("column").is_none());
        tree.miss("transfers".to_owned());
        let meant = |path: &str| tree.meant(path);
        assert_eq!(meant("job.sped").as_deref(), Some("speed"));
        assert_eq!(meant("job.x.colum").as_deref(), Some("column"));
        assert_eq!(meant("transfer").as_deref(), Some("transfers"));
        assert_eq!((meant("job.colum"), meant("jbo")), (None, None));
    }

    #[test]
    fn strings_serve_as_numbers_and_flags_and_null_as_nothing() {
        let tree = tree(json!({"channel": "2", "rate": "0.5", "header": "True", "none": null, "far": "1e400"}));
        let root = tree.root();
        assert_eq!(root.need("channel").unwrap().integer().unwrap(), 2);
        assert_eq!(root.need("rate").unwrap().number().unwrap().to_string(), "0.5");
        assert!(root.need("header").unwrap().flag().unwrap());
        assert!(root.get("none").is_none());
        assert!(root.need("far").unwrap().number().is_err());
        assert!(root.need("rate").unwrap().flag().is_err());
    }

    #[test]
    fn keys_are_found_in_any_case_where_that_is_wanted() {
        let tree = tree(json!({"preSql": 1, "presql": 2, "Content": [{"PostSQL": 3}]}));
        assert!(tree.root().get("content").is_none());
        let root = tree.root().in_any_case();
        assert_eq!(root.need("preSql").unwrap().integer().unwrap(), 1);
        assert_eq!(root.need("presql").unwrap().integer().unwrap(), 2);
        let content = root.need("content").unwrap().elements().unwrap();
        let sql = content[0].need("postSql").unwrap();
        assert_eq!((sql.path(), sql.integer().unwrap()), ("Content.0.PostSQL", 3));
        assert!(tree.unasked().is_empty());
    }

    #[test]
    fn what_nobody_asked_for_is_named() {
        let tree = tree(json!({"a": {"b": 1, "c": {"d": 2}}, "e": [{"f": 3}, {"f": 4}], "g": {"h": {"i": 5}}}));
        let root = tree.root();
        assert_eq!(root.need("a").unwrap().need("b").unwrap().integer().unwrap(), 1);
        root.need("e").unwrap().elements().unwrap()[0].need("f").unwrap();
        root.need("g").unwrap().json();
        assert_eq!(tree.unasked(), ["a.c", "e.1.f"]);
    }
}
