//! The wizard of go-etl: one job for each pair of a source and a target, from one that is their template.

use serde_json::{Map, Value as Json};

use super::rdbms::Product;
use crate::error::{Error, ErrorKind, Result};

/// First lines that name the columns of pairs and are none, in small letters.
const HEADERS: [[&str; 2]; 2] = [["source", "target"], ["path[table]", "path[table]"]];

/// What takes the place of the source and the target of a job: the name of a table, or the path of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Where rows come from.
    pub source: String,
    /// Where they go.
    pub target: String,
}

/// The pairs in the lines of a CSV file, each of two fields. A first line `source,target` or `path[table],path[table]` is none.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for a line that is no pair, with its number, and where there is none at all.
pub fn pairs(text: &str) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
    for (place, (at, line)) in lines.enumerate() {
        let fields = fields(line).and_then(|fields| <[String; 2]>::try_from(fields).ok());
        let Some([source, target]) = fields.filter(|[source, target]| !source.is_empty() && !target.is_empty()) else {
            let error = Error::new(ErrorKind::Usage, "the line is no pair of a source and a target");
            return Err(error.with_hint("write source,target, one pair a line").at("line", at + 1));
        };
        let low = [source.to_lowercase(), target.to_lowercase()];
        if place > 0 || !HEADERS.iter().any(|header| low == *header) {
            pairs.push(Pair { source, target });
        }
    }
    if pairs.is_empty() {
        return Err(Error::new(ErrorKind::Usage, "there is no pair of a source and a target")
            .with_hint("write source,target, one pair a line"));
    }
    Ok(pairs)
}

/// The fields of a line of CSV; none where its quotes stand otherwise.
fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = Some(line);
    while let Some(text) = rest {
        let (field, behind) = if let Some(inner) = text.strip_prefix('"') {
            quoted(inner)?
        } else {
            let end = text.find(',').unwrap_or(text.len());
            (text[..end].to_owned(), &text[end..])
        };
        if field.contains('"') && !text.starts_with('"') {
            return None;
        }
        fields.push(field);
        rest = if behind.is_empty() { None } else { Some(behind.strip_prefix(',')?) };
    }
    Some(fields)
}

/// The field that began with a quote, and what stands behind its end.
fn quoted(inner: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = inner;
    loop {
        let (before, behind) = rest.split_once('"')?;
        field.push_str(before);
        match behind.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Some((field, behind)),
        }
    }
}

/// Puts `pair` into the job file `root`: the table of a database, the first path of text files, the first workbook.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) where the file has no reader or writer with parameters.
pub fn fill(root: &mut Json, pair: &Pair) -> Result<()> {
    for (side, value) in [("reader", &pair.source), ("writer", &pair.target)] {
        let plugin = member(root, "job").and_then(|job| member(job, "content")).and_then(|content| {
            let first = if content.is_array() { content.get_mut(0)? } else { content };
            member(first, side)
        });
        let named = plugin.and_then(|plugin| {
            let name = member(plugin, "name")?.as_str()?.to_lowercase();
            Some((name, member(plugin, "parameter").filter(|parameter| parameter.is_object())?))
        });
        let Some((name, parameter)) = named else {
            return Err(Error::new(ErrorKind::Usage, format!("the job has no {side} with a name and parameters"))
                .at("key", format!("job.content.0.{side}")));
        };
        match name.strip_suffix(side) {
            Some("csv") => *first_of(parameter, "path") = value.as_str().into(),
            Some("xlsx") => *within(first_of(parameter, "xlsxs"), "path") = value.as_str().into(),
            Some(plugin) if Product::of(plugin).is_some() => {
                *within(within(within(parameter, "connection"), "table"), "name") = value.as_str().into();
            }
            // What it is the translation says.
            _ => {}
        }
    }
    Ok(())
}

/// The value of `key` in any case of its letters.
fn member<'a>(value: &'a mut Json, key: &str) -> Option<&'a mut Json> {
    let object = value.as_object_mut()?;
    let known = known(object, key)?;
    object.get_mut(&known)
}

fn known(object: &Map<String, Json>, key: &str) -> Option<String> {
    let exact = object.contains_key(key).then(|| key.to_owned());
    exact.or_else(|| object.keys().find(|other| other.eq_ignore_ascii_case(key)).cloned())
}

/// The value of `key`, made where it is missing.
fn within<'a>(value: &'a mut Json, key: &str) -> &'a mut Json {
    let known = value.as_object().and_then(|object| known(object, key)).unwrap_or_else(|| key.to_owned());
    if !value.is_object() {
        *value = Json::Object(Map::new());
    }
    &mut value[known]
}

/// The first element of the list `key`, made where it is missing.
fn first_of<'a>(value: &'a mut Json, key: &str) -> &'a mut Json {
    let list = within(value, key);
    if list.as_array().is_none_or(Vec::is_empty) {
        *list = Json::Array(vec![Json::Null]);
    }
    &mut list[0]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_a_pair() {
        let told = |text: &str| {
            pairs(text)
                .map(|pairs| pairs.iter().map(|pair| format!("{}>{}", pair.source, pair.target)).collect::<Vec<_>>())
        };
        assert_eq!(told("a1,b1\r\n\na2,\"b,\"\"2\"\n").unwrap(), ["a1>b1", "a2>b,\"2"]);
        assert_eq!(told("\u{feff}Source,Target\na,b").unwrap(), ["a>b"]);
        assert_eq!(told("path[table],path[table]\nsource,target\n").unwrap(), ["source>target"]);
        for (text, message) in [
            ("a,b\na", "line 2: the line is no pair"),
            ("a,b,c", "line 1: the line is no pair"),
            ("a,", "line 1: the line is no pair"),
            ("\"a,b", "line 1: the line is no pair"),
            ("a\"x\",b", "line 1: the line is no pair"),
            ("source,target\n", "there is no pair"),
        ] {
            let error = pairs(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    fn filled(reader: Json, writer: Json) -> (Json, Json) {
        let side = |plugin: Json, side: &str| json!({"name": format!("{}{side}", plugin["name"].as_str().unwrap()), "Parameter": plugin["p"]});
        let mut root =
            json!({"job": {"Content": [{"reader": side(reader, "reader"), "writer": side(writer, "writer")}]}});
        fill(&mut root, &Pair { source: "from".to_owned(), target: "to".to_owned() }).unwrap();
        let content = &root["job"]["Content"][0];
        (content["reader"]["Parameter"].clone(), content["writer"]["Parameter"].clone())
    }

    #[test]
    fn a_pair_takes_the_place_of_source_and_target() {
        let files = filled(
            json!({"name": "csv", "p": {"path": ["x", "y"]}}),
            json!({"name": "xlsx", "p": {"xlsxs": [{"path": "z", "sheets": ["S"]}]}}),
        );
        assert_eq!(files, (json!({"path": ["from", "y"]}), json!({"xlsxs": [{"path": "to", "sheets": ["S"]}]})));
        let tables = filled(
            json!({"name": "mysql", "p": {"Connection": {"url": "u", "Table": {"db": "d", "Name": "t"}}}}),
            json!({"name": "dm", "p": {"connection": {"url": "v"}}}),
        );
        assert_eq!(tables.0, json!({"Connection": {"url": "u", "Table": {"db": "d", "Name": "from"}}}));
        assert_eq!(tables.1, json!({"connection": {"url": "v", "table": {"name": "to"}}}));
        let mut none = json!({"job": {"content": []}});
        let error = fill(&mut none, &Pair { source: "a".to_owned(), target: "b".to_owned() }).unwrap_err().to_string();
        assert!(error.contains("job.content.0.reader"), "{error}");
    }
}
