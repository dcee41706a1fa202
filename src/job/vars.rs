//! Variables of job files: those of `-p "-Dk=v"`, and the environment's.
//!
//! In jobs of `DataX` they are replaced in the text, before it is parsed, as `DataX` does it: `$NAME`, `${NAME}` and even
//! `${NAME` stand for what `-p` says, and stay as they are where it says nothing. Only the whole form `${NAME}` is looked for in the
//! environment, too, so that a `$` in a password does no harm, and must be set. In jobs of `FlinkX` only `${NAME}` is replaced, and only by
//! what `-p` says. In native files `${NAME}` stands within a
//! string, and `$${` for `${` itself.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value as Json;

use super::syntax::position_of;
use super::tree::Node;
use crate::error::{Error, ErrorKind, Result};

/// What variables stand for.
pub struct Variables<'a> {
    given: BTreeMap<String, String>,
    environment: &'a dyn Fn(&str) -> Option<String>,
}

impl fmt::Debug for Variables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variables").field("given", &self.given.keys()).finish_non_exhaustive()
    }
}

/// What [`Variables::of`] made of the words of `-p`.
#[derive(Debug)]
pub struct Given<'a> {
    /// The variables.
    pub variables: Variables<'a>,
    /// The words that define none, such as `-Xmx1g`.
    pub others: Vec<String>,
}

impl<'a> Variables<'a> {
    /// Those that `params`, such as `-Dk=v -Dk2=v2`, define, and those of `environment`.
    pub fn of(params: &str, environment: &'a dyn Fn(&str) -> Option<String>) -> Given<'a> {
        let mut given = BTreeMap::new();
        let mut others = Vec::new();
        for word in words(params) {
            match word.strip_prefix("-D").and_then(|pair| pair.split_once('=')) {
                Some((name, value)) => drop(given.insert(name.to_owned(), value.to_owned())),
                None => others.push(word),
            }
        }
        Given { variables: Self { given, environment }, others }
    }

    /// The text of a job of `DataX` with its variables replaced.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for `${NAME}` that is set nowhere.
    pub fn in_text(&self, text: &str) -> Result<String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let (token, after) = token(&rest[at..]);
            let place = || position_of(text, text.len() - rest.len() + at);
            let value = self.of_token(&token).map_err(|error| error.at("place", place()))?;
            out.push_str(&value.unwrap_or_else(|| token.whole.to_owned()));
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    /// The text of a job of `FlinkX` with those variables replaced that were given.
    pub fn given_in_text(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            out.push_str(&rest[..at]);
            let (token, after) = token(&rest[at..]);
            let given = self.given.get(token.name).filter(|_| token.closed);
            out.push_str(given.map_or(token.whole, String::as_str));
            rest = after;
        }
        out.push_str(rest);
        out
    }

    fn of_token(&self, token: &Token<'_>) -> Result<Option<String>> {
        // A blank value is none, as in DataX.
        let given = self.given.get(token.name).filter(|value| !value.trim().is_empty()).cloned();
        if !token.closed || given.is_some() {
            return Ok(given);
        }
        (self.environment)(token.name).map(Some).ok_or_else(|| unset(token.name))
    }

    /// `value`, which stands at `node`, with `${NAME}` replaced in all its strings.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for a variable that is set nowhere, or `${` that begins none.
    pub fn in_value(&self, value: &Json, node: &Node<'_>) -> Result<Json> {
        Ok(match value {
            Json::String(text) => Json::String(self.in_string(text).map_err(|error| node.place(error))?),
            Json::Array(array) => array.iter().map(|value| self.in_value(value, node)).collect::<Result<_>>()?,
            Json::Object(object) => {
                let filled = object.iter().map(|(key, value)| Ok((key.clone(), self.in_value(value, node)?)));
                Json::Object(filled.collect::<Result<_>>()?)
            }
            other => other.clone(),
        })
    }

    fn in_string(&self, text: &str) -> Result<String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if let Some(before) = rest[..at].strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            out.push_str(&rest[..at]);
            let (token, after) = token(&rest[at..]);
            if !token.closed {
                return Err(Error::new(ErrorKind::Usage, "'${' begins no variable here")
                    .with_hint("write '${NAME}', or '$${' for '${' itself"));
            }
            let value = self.given.get(token.name).cloned().or_else(|| (self.environment)(token.name));
            out.push_str(&value.ok_or_else(|| unset(token.name))?);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// `text` as a native file has to hold it so that it is read as it is.
pub fn escaped(text: &str) -> String {
    text.replace("${", "$${")
}

fn unset(name: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("the variable {name} is not set"))
        .with_hint(format!("export {name}=… first, or say -p \"-D{name}=…\""))
}

/// What a `$` begins.
struct Token<'a> {
    /// As it stands; the `$` alone where no name follows.
    whole: &'a str,
    name: &'a str,
    /// Whether it is `${NAME}`.
    closed: bool,
}

/// The token that `text` begins with, and what follows.
fn token(text: &str) -> (Token<'_>, &str) {
    let braced = text.starts_with("${");
    let begin = if braced { 2 } else { 1 };
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let length = text[begin..].find(|c| !is_word(c)).unwrap_or(text.len() - begin);
    let name = &text[begin..begin + length];
    let after = &text[begin + length..];
    let closed = braced && !name.is_empty() && after.starts_with('}');
    let end = match length {
        // Without a name nothing is taken but the `$`.
        0 => 1,
        _ => begin + length + usize::from(closed),
    };
    (Token { whole: &text[..end], name, closed }, &text[end..])
}

/// The words of `text`, as a shell parts them: blanks within quotes part nothing.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use super::*;
    use crate::job::tree::Tree;

    fn environment(name: &str) -> Option<String> {
        (name == "HOME_OF_ADA").then(|| "/ada".to_owned())
    }

    fn text(params: &str, text: &str) -> Result<String> {
        Variables::of(params, &environment).variables.in_text(text)
    }

    /// datax.md §1.2.
    #[test]
    fn datax_replaces_text_with_and_without_braces() {
        let params = "-Ddt=20260101 -Dn=3 -Dtb=a -Dtbl=b";
        assert_eq!(
            text(params, "{\"a\": \"$dt/${dt}/${dt\", \"channel\": ${n}}").unwrap(),
            "{\"a\": \"20260101/20260101/20260101\", \"channel\": 3}"
        );
        assert_eq!(text(params, "$tbl $tb").unwrap(), "b a");
        assert_eq!(
            text("", "pa$$word $no $HOME_OF_ADA ${user.name} $").unwrap(),
            "pa$$word $no $HOME_OF_ADA ${user.name} $"
        );
        assert_eq!(text("", "${HOME_OF_ADA}/x").unwrap(), "/ada/x");
        let error = text("-Droot=", "{\n \"a\": \"${root}/x\"}").unwrap_err();
        assert_eq!(error.to_string(), "place line 2, column 8: the variable root is not set");
    }

    #[test]
    fn flinkx_replaces_whole_forms_that_are_given() {
        let variables = Variables::of("-Dday=1 -Dnone=", &environment).variables;
        let text = "${day}/$day/${HOME_OF_ADA}/${none}/${open/${";
        assert_eq!(variables.given_in_text(text), "1/$day/${HOME_OF_ADA}//${open/${");
    }

    #[test]
    fn words_of_params_are_those_of_a_shell() {
        let given = Variables::of("-Da='x y'  -Xmx1g -Db=\"\"", &environment);
        assert_eq!(given.variables.given.get("a").map(String::as_str), Some("x y"));
        assert_eq!(given.variables.given.get("b").map(String::as_str), Some(""));
        assert_eq!(given.others, ["-Xmx1g"]);
    }

    #[test]
    fn native_strings_have_braces_and_an_escape() {
        let tree = Tree::new(json!({}), HashMap::new());
        let variables = Variables::of("-Dday=1", &environment).variables;
        let value = |value: Json| variables.in_value(&value, &tree.root());
        let filled = value(json!({"a": ["${HOME_OF_ADA}/${day}", 1], "b": "$day $${x} $"})).unwrap();
        assert_eq!(filled, json!({"a": ["/ada/1", 1], "b": "$day ${x} $"}));
        assert!(value(json!("${nope}")).unwrap_err().to_string().contains("the variable nope is not set"));
        assert!(value(json!("${a b}")).unwrap_err().to_string().contains("begins no variable"));
        assert_eq!(value(Json::from(escaped("${x} $${y}"))).unwrap(), json!("${x} $${y}"));
    }
}
