//! Column lists: all, names, or objects with a type, a format and a value.

use std::collections::BTreeSet;

use super::super::name::{self, is_star};
use super::{present, text_of, unsupported};
use crate::error::{Error, Result};
use crate::job::tree::Node;
use crate::job::{SourceColumn, TextKind};

/// The columns that a reader of tables names.
#[derive(Debug)]
pub(super) enum Columns {
    /// All, whatever they are.
    All,
    /// These, in this order.
    Listed(Vec<SourceColumn>),
}

impl Columns {
    pub(super) fn read(parameter: &Node<'_>) -> Result<Self> {
        let node = parameter.need("column")?;
        if is_star(&node) {
            return Ok(Self::All);
        }
        let nodes = node.one_or_more();
        let listed = nodes.iter().enumerate().map(|(place, column)| described(place, column));
        let listed = listed.collect::<Result<Vec<_>>>()?;
        if listed.is_empty() {
            return Err(node.error("no column is named"));
        }
        Ok(Self::Listed(listed))
    }

    /// How many they are, where that is known.
    pub(super) fn width(&self) -> Option<usize> {
        match self {
            Self::All => None,
            Self::Listed(listed) => Some(listed.len()),
        }
    }

    /// The column that `node` names, or means by its place; it must be among them.
    pub(super) fn find(&self, node: &Node<'_>) -> Result<String> {
        let wanted = node.text()?.trim().to_owned();
        let place = wanted.parse::<usize>().ok();
        let found = match (self, place) {
            (Self::All, None) => return Ok(wanted),
            (Self::All, Some(_)) => None,
            (Self::Listed(listed), Some(place)) => listed.get(place),
            (Self::Listed(listed), None) => listed.iter().find(|column| column.name.eq_ignore_ascii_case(&wanted)),
        };
        found.map(|column| column.name.clone()).ok_or_else(|| {
            node.error(format!("{wanted} is none of the columns that are read")).with_hint("name it in column, too")
        })
    }

    pub(super) fn into_listed(self) -> Vec<SourceColumn> {
        match self {
            Self::All => Vec::new(),
            Self::Listed(listed) => listed,
        }
    }
}

/// One column of a table: a name, or an object.
fn described(place: usize, node: &Node<'_>) -> Result<SourceColumn> {
    if !node.is_object() {
        return Ok(SourceColumn::named(name::column(&node.text()?)));
    }
    // A value may be blank.
    let value = node.get("value").map(|value| value.text()).transpose()?;
    let name = match (text_of(node, "name")?, &value) {
        (Some(name), _) => name::column(&name),
        (None, Some(_)) => format!("constant_{}", place + 1),
        (None, None) => return Err(node.need("name").err().unwrap_or_else(|| node.error("the name is blank"))),
    };
    let kind = present(node, "type").map(|kind| kind_of(&kind)).transpose()?.flatten();
    // Of a column that is no date it says nothing.
    let format = present(node, "format").filter(|_| kind == Some(TextKind::Moment));
    let format = format.map(|format| strftime(&format)).transpose()?;
    Ok(SourceColumn { name, kind, format, value })
}

/// The type that `node` names, in small letters and without its length.
pub(super) fn type_word(node: &Node<'_>) -> Result<String> {
    let text = node.text()?.to_lowercase();
    Ok(text.split(['(', ' ']).next().unwrap_or_default().to_owned())
}

/// What texts of a column of this type are read as; none for texts.
pub(super) fn kind_of(node: &Node<'_>) -> Result<Option<TextKind>> {
    Ok(match type_word(node)?.as_str() {
        "tinyint" | "smallint" | "short" | "int" | "integer" | "mediumint" | "bigint" | "long" | "int32" | "int64" => {
            Some(TextKind::Whole)
        }
        "float" | "double" => Some(TextKind::Double),
        "boolean" | "bool" => Some(TextKind::Truth),
        "date" | "timestamp" | "datetime" => Some(TextKind::Moment),
        // Decimals, texts, bytes, and types of one database alone stay what they are.
        _ => None,
    })
}

/// The columns that a writer fills, by their place; none for all by their names.
pub(super) fn names(parameter: &Node<'_>) -> Result<Vec<String>> {
    let node = parameter.need("column")?;
    if is_star(&node) {
        return Ok(Vec::new());
    }
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for element in node.one_or_more() {
        let text = if element.is_object() { element.need("name")?.text()? } else { element.text()? };
        if element.is_object() {
            // The table itself says its types.
            element.json();
        }
        let name = name::column(&text);
        if !seen.insert(name.to_lowercase()) {
            return Err(element.error(format!("the column {name:?} is named twice")));
        }
        names.push(name);
    }
    if names.is_empty() {
        return Err(node.error("no column is named"));
    }
    Ok(names)
}

/// A form of dates in Java's letters, in those of strftime.
fn strftime(node: &Node<'_>) -> Result<String> {
    let text = node.text()?;
    let text = text.trim();
    let mut out = String::new();
    let mut rest = text;
    while let Some(sign) = rest.chars().next() {
        if sign == '\'' {
            let (quoted, after) = rest[1..].split_once('\'').ok_or_else(|| unknown_form(node, "'"))?;
            // Two quotes are one.
            out.push_str(&if quoted.is_empty() { "'".to_owned() } else { quoted.replace('%', "%%") });
            rest = after;
            continue;
        }
        let end = rest.find(|other| other != sign).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        out.push_str(match run {
            "yyyy" | "uuuu" => "%Y",
            "yy" => "%y",
            "M" | "MM" => "%m",
            "MMM" => "%b",
            "MMMM" => "%B",
            "d" | "dd" => "%d",
            "H" | "HH" => "%H",
            "h" | "hh" => "%I",
            "m" | "mm" => "%M",
            "s" | "ss" => "%S",
            "SSS" => "%3f",
            "SSSSSS" => "%6f",
            "SSSSSSSSS" => "%9f",
            "a" => "%p",
            _ if sign.is_ascii_alphabetic() => return Err(unknown_form(node, run)),
            "%" => "%%",
            other => other,
        });
    }
    Ok(out)
}

fn unknown_form(node: &Node<'_>, part: &str) -> Error {
    unsupported(
        node,
        format!("{part:?} in a form of dates is not understood"),
        "write it with yyyy, MM, dd, HH, mm, ss and SSS, and other text in quotes",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::{Value as Json, json};

    use super::*;
    use crate::job::tree::Tree;

    fn form(text: &str) -> Option<String> {
        let tree = Tree::new(Json::from(text), HashMap::new());
        strftime(&tree.root()).ok()
    }

    #[test]
    fn forms_of_java_become_those_of_strftime() {
        let forms = [
            ("yyyy-MM-dd HH:mm:ss", "%Y-%m-%d %H:%M:%S"),
            ("yyyyMMdd", "%Y%m%d"),
            ("dd/MM/yy hh:mm a", "%d/%m/%y %I:%M %p"),
            ("yyyy-MM-dd'T'HH:mm:ss.SSS", "%Y-%m-%dT%H:%M:%S.%3f"),
            ("MMM d, yyyy '100%'", "%b %d, %Y 100%%"),
        ];
        for (java, expected) in forms {
            assert_eq!(form(java).as_deref(), Some(expected), "{java}");
        }
        assert_eq!(["yyyy-ww", "HH:mm'h", "yyyy G"].map(form), [None, None, None]);
    }

    #[test]
    fn a_column_is_found_by_its_name_or_its_place() {
        let root = json!({"column": ["id", {"name": "Changed_At", "type": "timestamp"}], "by": "changed_at", "at": 1, "no": "x", "far": "2"});
        let tree = Tree::new(root, HashMap::new());
        let columns = Columns::read(&tree.root()).unwrap();
        let found = |key: &str| columns.find(&tree.root().need(key).unwrap()).ok();
        assert_eq!(
            ["by", "at", "no", "far"].map(found),
            [Some("Changed_At"), Some("Changed_At"), None, None].map(|name| name.map(str::to_owned))
        );
        let all = Tree::new(json!({"column": "*", "by": "id", "at": "0"}), HashMap::new());
        let columns = Columns::read(&all.root()).unwrap();
        assert_eq!(columns.find(&all.root().need("by").unwrap()).unwrap(), "id");
        assert!(columns.find(&all.root().need("at").unwrap()).is_err());
    }
}
