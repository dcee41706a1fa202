//! Options of places as they are typed, behind `?` of a locator or by a flag, in the JSON types that connectors document.

use serde_json::{Map, Value as Json};

use super::place::Side;
use super::settings::usage;
use super::size::Bytes;
use crate::connector::{Connector, End, OptionDoc};
use crate::connectors;
use crate::error::{Context as _, Error, Result};
use crate::job::locator;

/// The option that is the place itself: its locator says it.
const URL: &str = "url";

/// A word with fewer letters may be the begin of too many others.
const BEGIN_LETTERS: usize = 3;

/// Gives each `KEY=VALUE` of `--from-option` or `--to-option` to those of `sides` whose connectors have such an option.
pub(super) fn tell(sides: &mut [Side], typed: &[String]) -> Result<()> {
    for pair in typed {
        let end = sides.first().and_then(|side| side.end);
        let flag = if end == Some(End::Target) { "--to-option" } else { "--from-option" };
        tell_one(sides, pair).at("option", || flag)?;
    }
    Ok(())
}

fn tell_one(sides: &mut [Side], pair: &str) -> Result<()> {
    let form = || usage("it is not of the form KEY=VALUE").with_hint("write it like sheet=May");
    let (key, text) = pair.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(form)?;
    if key == URL {
        return Err(usage("the place is named by its locator").with_hint("leave it out"));
    }
    let mut known = false;
    for side in sides.iter_mut() {
        let Some(doc) = find(side.locator.connector(), key)? else { continue };
        known = true;
        let value = value(doc, side.end, text)?;
        if side.options.insert(key.to_owned(), value).is_some() {
            return Err(usage(format!("{key} is set twice")).with_hint("leave one of them out"));
        }
    }
    match sides.first() {
        Some(side) if !known => Err(unknown(side.locator.connector(), key)),
        _ => Ok(()),
    }
}

/// Turns the strings of `?k=v` into the JSON types that the connector documents.
pub(super) fn of_locator(connector: &str, end: Option<End>, options: &mut Map<String, Json>) -> Result<()> {
    for (key, given) in options.iter_mut().filter(|(key, _)| *key != URL) {
        let doc = find(connector, key)?.ok_or_else(|| unknown(connector, key))?;
        if let Json::String(text) = &*given {
            *given = value(doc, end, text)?;
        }
    }
    Ok(())
}

fn find(connector: &str, key: &str) -> Result<Option<&'static OptionDoc>> {
    let docs = connectors::find(connector)?.options();
    Ok(docs.iter().find(|doc| doc.name == key))
}

/// What `text` says of an option, of a place at `end`.
fn value(doc: &OptionDoc, end: Option<End>, text: &str) -> Result<Json> {
    let name = doc.name;
    match (doc.end, end) {
        (Some(End::Source), Some(End::Target)) => {
            return Err(usage(format!("{name} is for what is read")).with_hint("leave it out, or say it of the source"));
        }
        (Some(End::Target), Some(End::Source)) => {
            return Err(
                usage(format!("{name} is for what is written")).with_hint("leave it out, or say it of the target")
            );
        }
        _ => {}
    }
    let (value, form): (Option<Json>, &str) = match doc.kind {
        "boolean" => (text.parse::<bool>().ok().map(Json::from), "true or false"),
        "integer" => (integer(text), "a whole number"),
        "number" => (text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Json::from), "a number"),
        "bytes" => (text.parse::<Bytes>().ok().map(|bytes| Json::from(bytes.0)), "a size such as 64MB"),
        "list" => (Some(text.split(',').collect()), ""),
        "object" => {
            (serde_json::from_str::<Json>(text).ok().filter(Json::is_object), "JSON such as {\"name\": \"value\"}")
        }
        _ => (Some(Json::from(text)), ""),
    };
    value.ok_or_else(|| usage(format!("{name} is no {}", doc.kind)).with_hint(format!("write {form}")))
}

fn integer(text: &str) -> Option<Json> {
    text.parse::<u64>().map(Json::from).or_else(|_| text.parse::<i64>().map(Json::from)).ok()
}

fn unknown(connector: &str, key: &str) -> Error {
    let docs = connectors::find(connector).map(Connector::options).unwrap_or_default();
    let known: Vec<&str> = docs.iter().map(|doc| doc.name).filter(|name| *name != URL).collect();
    let lower = key.to_ascii_lowercase();
    let begun = |name: &&str| key.len() >= BEGIN_LETTERS && name.to_ascii_lowercase().starts_with(&lower);
    let near = known.iter().copied().find(begun).or_else(|| locator::nearest(key, &known));
    let meant = near.map_or(String::new(), |near| format!("did you mean '{near}'? "));
    usage(format!("{connector} has no option {key:?}"))
        .with_hint(format!("{meant}'etl connectors {connector}' lists them"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::args::SourceArgs;
    use super::super::place;
    use super::*;

    fn told(locator: &str, typed: &[&str]) -> Result<Json> {
        let args =
            SourceArgs { from_option: typed.iter().map(|pair| (*pair).to_owned()).collect(), ..SourceArgs::default() };
        place::source(locator, &args).map(|side| Json::Object(side.options))
    }

    #[test]
    fn options_have_the_types_of_their_connector() {
        let all = ["header=false", "skipRecords=2", "paths=b,c", "delimiter==", r#"casts={"a": "int"}"#];
        let expected =
            json!({"header": false, "skipRecords": 2, "paths": ["b", "c"], "delimiter": "=", "casts": {"a": "int"}});
        assert_eq!(told("a.csv", &all).unwrap(), expected);
        assert_eq!(told("shop.db#t", &["busyTimeout=9"]).unwrap(), json!({"busyTimeout": 9}));
    }

    #[test]
    fn an_option_that_is_none_is_told_with_the_one_that_was_meant() {
        let cases = [
            ("sheat=May", "file has no option \"sheat\"", "did you mean 'sheet'?"),
            ("delim=;", "file has no option \"delim\"", "did you mean 'delimiter'?"),
            ("NULL=-", "file has no option \"NULL\"", "did you mean 'null'?"),
            ("date_format=%F", "file has no option \"date_format\"", "did you mean 'dateFormat'?"),
            ("url=b.csv", "the place is named by its locator", "leave it out"),
            ("busyTimeout=3", "file has no option \"busyTimeout\"", "'etl connectors file' lists them"),
            ("header=maybe", "header is no boolean", "write true or false"),
            ("skipRecords=two", "skipRecords is no integer", "write a whole number"),
            ("casts=int", "casts is no object", "write JSON"),
            ("fileBytes=1MB", "fileBytes is for what is written", "of the target"),
            ("header", "it is not of the form KEY=VALUE", "sheet=May"),
        ];
        for (pair, message, hint) in cases {
            let error = told("a.csv", &[pair]).unwrap_err();
            assert_eq!(error.message(), message, "{pair}");
            assert!(error.hint().is_some_and(|told| told.contains(hint)), "{pair}: {:?}", error.hint());
            assert!(error.to_string().starts_with("option --from-option: "), "{error}");
        }
        assert_eq!(told("a.csv", &["null=-", "null="]).unwrap_err().message(), "null is set twice");
        let error = place::located("a.csv?sheat=May").unwrap_err();
        assert_eq!(error.message(), "file has no option \"sheat\"");
    }
}
