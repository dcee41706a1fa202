//! What a login is made of, whichever the server: variables and files around the process, who runs it, `${NAME}`,
//! passwords that do not show, and locators in the form of URLs. What the names mean, each connector knows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value as Json;

use crate::error::{Error, ErrorKind, Result};

mod account;
mod secret;
pub mod seen;
mod settings;
pub mod uri;

pub use secret::Secret;
pub use settings::{Layer, Layers, Settings, of_variables, twice};

/// Where variables and files come from; tests bring their own.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The value of an environment variable; none where it is unset or empty.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file; none where it cannot be read.
    pub file: &'a dyn Fn(&Path) -> Option<String>,
    /// The paths in a folder, sorted; none where it cannot be read.
    pub folder: &'a dyn Fn(&Path) -> Option<Vec<PathBuf>>,
    /// Whether there is anything at a path.
    pub exists: &'a dyn Fn(&Path) -> bool,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Surroundings")
    }
}

impl Surroundings<'static> {
    /// Those of this process.
    pub const PROCESS: Self = Self { variable: &variable, file: &file, folder: &folder, exists: &Path::exists };
    /// No variables and no files.
    pub const NOTHING: Self = Self { variable: &|_| None, file: &|_| None, folder: &|_| None, exists: &|_| false };
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn file(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn folder(path: &Path) -> Option<Vec<PathBuf>> {
    let entries = std::fs::read_dir(path).ok()?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().ok()?;
    paths.sort();
    Some(paths)
}

impl Surroundings<'_> {
    /// The home of the user who runs this.
    pub fn home(&self) -> Option<PathBuf> {
        (self.variable)("HOME").or_else(|| account::of_process(self).map(|account| account.home)).map(PathBuf::from)
    }

    /// The name of the system's user, as the environment or else the system has it.
    pub fn user(&self) -> Option<String> {
        let named = (self.variable)("USER").or_else(|| (self.variable)("LOGNAME"));
        named.or_else(|| account::of_process(self).map(|account| account.name))
    }

    /// `text` with each `${NAME}` replaced by the variable.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for a variable that is not set.
    pub fn expand(&self, text: &str) -> Result<String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let name_end = after.find('}').filter(|end| {
                let name = &after[..*end];
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            });
            let Some(end) = name_end else {
                out.push_str("${");
                rest = after;
                continue;
            };
            let name = &after[..end];
            out.push_str(&(self.variable)(name).ok_or_else(|| {
                Error::new(ErrorKind::Usage, format!("the environment variable {name} is not set"))
                    .with_hint(format!("set {name} before the run"))
            })?);
            rest = &after[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// The error of a server that is not reached within `limit`.
pub fn late(limit: Duration) -> Error {
    Error::new(ErrorKind::Timeout, format!("the server did not answer within {} seconds", limit.as_secs()))
        .with_hint("check host and port, or raise connectTimeout")
}

/// The value of option `name` as the text that it would be in a URL; true is 1.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for null, a list or an object.
pub fn text_of(name: &str, value: &Json) -> Result<String> {
    match value {
        Json::String(text) => Ok(text.clone()),
        Json::Number(number) => Ok(number.to_string()),
        Json::Bool(flag) => Ok(u8::from(*flag).to_string()),
        _ => Err(Error::new(ErrorKind::Usage, format!("option {name} is no plain value"))),
    }
}

/// What `given` means among `choices`, whose first is the default.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) naming the words there are.
pub fn choose<T: Copy>(name: &str, given: Option<&str>, choices: &[(&str, T)]) -> Result<T> {
    let Some(given) = given else { return Ok(choices[0].1) };
    choices.iter().find(|(word, _)| *word == given).map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        Error::new(ErrorKind::Usage, format!("{name} has another value than those it can have"))
            .with_hint(format!("use one of {}", words.join(", ")))
    })
}
