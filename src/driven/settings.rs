//! What a locator says: `scheme:HEAD?name=value&…`, of which all but a few options are the driver's own. `${NAME}` is the
//! environment variable NAME.
//!
//! No error here repeats a part: any may be a piece of a password.

use serde_json::{Map, Value as Json};

use crate::bridge::login::uri::decode;
use crate::bridge::login::{Secret, Surroundings};
use crate::connector::OptionDoc;
use crate::error::{Error, ErrorKind, Result};

/// Shorter pieces of text would be found everywhere.
const LEAST_SECRET: usize = 3;

/// A locator and the options beside it.
pub struct Locator<'a> {
    /// What stands before `?`: a driver, or a data source.
    pub head: String,
    query: &'a str,
    given: &'a Map<String, Json>,
    around: &'a Surroundings<'a>,
}

impl std::fmt::Debug for Locator<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Any part may hold a password.
        f.write_str("Locator")
    }
}

impl<'a> Locator<'a> {
    /// Takes `options` of the connector `name` apart, all of which are among `known`.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for other options, and for a variable that is not set.
    pub fn parse(options: &'a Json, (name, known): (&str, &[OptionDoc]), around: &'a Surroundings<'a>) -> Result<Self> {
        let given = options.as_object().ok_or_else(|| usage("the options are no JSON object"))?;
        if let Some(unknown) = given.keys().find(|key| known.iter().all(|option| option.name != key.as_str())) {
            return Err(usage(format!("{name} has no option {unknown:?}"))
                .with_hint("options of the driver go behind ? of the locator"));
        }
        let url = given.get("url").and_then(Json::as_str).ok_or_else(|| usage("the option url is missing"))?;
        let rest = url.strip_prefix(name).and_then(|rest| rest.strip_prefix(':')).unwrap_or(url);
        let (head, query) = rest.split_once('?').unwrap_or((rest, ""));
        Ok(Self { head: around.expand(&decode(head)?)?, query, given, around })
    }

    /// What stands behind `?`, and beside the locator.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for what is no `name=value`, and for a variable that is not set.
    pub fn settings(&self) -> Result<Settings<'a>> {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                usage("a setting behind ? has no value")
                    .with_hint("write ?name=value, and & and % of a value as %26 and %25")
            })?;
            Ok((decode(name)?, self.around.expand(&decode(value)?)?))
        };
        let pairs = self.query.split('&').filter(|text| !text.is_empty()).map(pair).collect::<Result<_>>()?;
        Ok(Settings { given: self.given, pairs })
    }
}

/// The settings of a locator.
pub struct Settings<'a> {
    given: &'a Map<String, Json>,
    pairs: Vec<(String, String)>,
}

impl std::fmt::Debug for Settings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.names().collect();
        f.debug_struct("Settings").field("names", &names).finish_non_exhaustive()
    }
}

impl Settings<'_> {
    /// The names behind `?`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|(name, _)| name.as_str())
    }

    /// Takes the connector's own option `name`: the one beside the locator, else the one behind `?`.
    pub fn own(&mut self, name: &str) -> Option<String> {
        let given = self.given.get(name).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        let at = self.pairs.iter().position(|(key, _)| key == name);
        let in_url = at.map(|at| self.pairs.remove(at).1);
        given.or(in_url).filter(|text| !text.is_empty())
    }

    /// Those that are left: the driver's.
    pub fn of_driver(self) -> Vec<(String, Secret)> {
        self.pairs.into_iter().map(|(name, value)| (name, Secret::new(value))).collect()
    }
}

/// `text`, which a driver wrote, without `pieces`, which may be secret.
pub fn hide(text: &str, mut pieces: Vec<String>) -> String {
    // The longest first: what is left of it would show otherwise.
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
    let pieces = pieces.into_iter().filter(|piece| piece.len() >= LEAST_SECRET);
    pieces.fold(text.to_owned(), |text, piece| text.replace(&piece, "***"))
}

/// The error of a locator or option that means nothing.
pub fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::connector::option;

    const KNOWN: &[OptionDoc] = &[option("url", "string", "", ""), option("size", "integer", "", "")];

    #[test]
    fn a_locator_comes_apart() {
        let variable = |name: &str| (name == "PW").then(|| "s3&cret".to_owned());
        let around = Surroundings { variable: &variable, ..Surroundings::NOTHING };
        let options = json!({"url": "x:he%20ad?password=${PW}&a.b=x%26y&size=1", "size": 2});
        let locator = Locator::parse(&options, ("x", KNOWN), &around).unwrap();
        assert_eq!(locator.head, "he ad");
        let mut settings = locator.settings().unwrap();
        assert_eq!((settings.own("size").as_deref(), settings.own("size").as_deref()), (Some("2"), Some("2")));
        assert!(!format!("{settings:?}").contains("cret"));
        let left = settings.of_driver();
        let left: Vec<(&str, &str)> = left.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
        assert_eq!(left, [("password", "s3&cret"), ("a.b", "x&y")]);
        for options in [json!(1), json!({}), json!({"url": "x:a", "more": 1}), json!({"url": "x:a?s3cret"})] {
            let locator = Locator::parse(&options, ("x", KNOWN), &around);
            let error = locator.and_then(|locator| locator.settings().map(drop)).unwrap_err();
            assert!(error.kind() == ErrorKind::Usage && !error.to_string().contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn the_longest_piece_is_hidden_first() {
        let pieces = ["abc", "abcdef", "xy"].map(str::to_owned).to_vec();
        assert_eq!(hide("abcdef, abc and xy", pieces), "***, *** and xy");
    }
}
